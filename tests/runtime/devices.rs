//! Devices: the default ones, those of the configuration, and what the cgroup allows.

use std::fs;

use serde_json::json;

use crate::harness::{Container, skip, skip_on};

const MKNOD: [&str; 1] = ["CAP_MKNOD"];

fn with_mknod(container: Container) -> Container {
    container.set("/process/capabilities", json!({"bounding": MKNOD, "permitted": MKNOD, "effective": MKNOD}))
}

#[test]
fn the_default_ones_are_there_for_everybody() {
    let script = "for name in null zero full random urandom tty; do stat -c '%n %F %t:%T %a' /dev/$name; done";
    let expected = "/dev/null character special file 1:3 666\n/dev/zero character special file 1:5 666\n\
        /dev/full character special file 1:7 666\n/dev/random character special file 1:8 666\n\
        /dev/urandom character special file 1:9 666\n/dev/tty character special file 5:0 666";
    Container::script(script).run().ok().says(expected);
}

#[test]
fn the_links_of_dev_are_there() {
    let script = "for name in fd stdin stdout stderr ptmx; do readlink /dev/$name; done";
    Container::script(script)
        .run()
        .ok()
        .says("/proc/self/fd\n/proc/self/fd/0\n/proc/self/fd/1\n/proc/self/fd/2\npts/ptmx");
}

#[test]
fn the_default_ones_work() {
    let script =
        "echo x > /dev/null && head -c 4 /dev/zero | wc -c && head -c 4 /dev/urandom | wc -c; echo x > /dev/full";
    Container::script(script).run().exits(1).says("4\n4").complains("No space left");
}

#[test]
fn those_of_the_configuration_are_made() {
    let container = Container::script("stat -c '%F %t:%T %a %u:%g' /dev/mine /dev/block /dev/pipe /deep/in/dev");
    let container = container
        .set(
            "/linux/devices/-",
            json!({"path": "/dev/mine", "type": "c", "major": 1, "minor": 5, "fileMode": 0o640, "uid": 7, "gid": 8}),
        )
        .set(
            "/linux/devices/-",
            json!({"path": "/dev/block", "type": "b", "major": 7, "minor": 200, "fileMode": 0o600}),
        )
        .set("/linux/devices/-", json!({"path": "/dev/pipe", "type": "p", "fileMode": 0o622}))
        .set(
            "/linux/devices/-",
            json!({"path": "/deep/in/dev", "type": "u", "major": 1, "minor": 3, "fileMode": 0o666}),
        );
    let expected = "character special file 1:5 640 7:8\nblock special file 7:c8 600 0:0\nfifo 0:0 622 0:0\n\
        character special file 1:3 666 0:0";
    container.run().ok().says(expected);
}

#[test]
fn what_the_cgroup_does_not_allow_cannot_be_opened() {
    let container = with_mknod(Container::script("mknod /dev/mem c 1 1 && head -c 1 /dev/mem"));
    container.run().exits(1).complains("Operation not permitted");
}

#[test]
fn what_the_cgroup_allows_can_be_opened() {
    // 1:11 is /dev/kmsg, which is in no default list.
    let container = with_mknod(Container::script("mknod /dev/log c 1 11 && exec 3>/dev/log && echo opened"));
    container.run().exits(1).complains("Operation not permitted");
    let container = with_mknod(Container::script("mknod /dev/log c 1 11 && exec 3>/dev/log && echo opened"));
    let rule = json!({"allow": true, "type": "c", "major": 1, "minor": 11, "access": "rwm"});
    container.set("/linux/resources/devices/-", rule).run().ok().says("opened");
}

#[test]
fn access_is_allowed_by_its_letters() {
    let script = "mknod /dev/log c 1 11; (exec 3>/dev/log) && echo written; (exec 3</dev/log) && echo read";
    let rule = json!({"allow": true, "type": "c", "major": 1, "minor": 11, "access": "w"});
    let container = with_mknod(Container::script(script)).set("/linux/resources/devices/-", rule);
    assert_eq!(container.run().stdout(), "written");
}

#[test]
fn a_later_rule_takes_back_what_an_earlier_one_allowed() {
    let allow = json!({"allow": true, "type": "c", "major": 1, "minor": 11, "access": "rwm"});
    let deny = json!({"allow": false, "type": "c", "major": 1, "minor": 11, "access": "r"});
    let script = "mknod /dev/log c 1 11; (exec 3>/dev/log) && echo written; (exec 3</dev/log) && echo read";
    let container = with_mknod(Container::script(script)).set("/linux/resources/devices/-", allow);
    assert_eq!(container.set("/linux/resources/devices/-", deny).run().stdout(), "written");
}

#[test]
fn a_container_may_be_allowed_everything() {
    let allow = json!([{"allow": true, "access": "rwm"}]);
    let container = with_mknod(Container::script("mknod /dev/log c 1 11 && exec 3>/dev/log && echo opened"));
    container.set("/linux/resources/devices", allow).run().ok().says("opened");
}

#[test]
fn the_rules_hold_for_exec() {
    let container = with_mknod(Container::sleeper()).started();
    container
        .exec(&["sh", "-c", "mknod /dev/mem c 1 1 && head -c 1 /dev/mem"])
        .exits(1)
        .complains("Operation not permitted");
    container.exec(&["sh", "-c", "echo x > /dev/null"]).ok();
}

#[test]
fn an_unknown_type_is_refused_and_named() {
    let device = json!({"path": "/dev/odd", "type": "z", "major": 1, "minor": 1});
    Container::new().set("/linux/devices/-", device).run().exits(1);
}

#[test]
fn the_host_s_devices_are_not_touched() {
    let before = fs::symlink_metadata("/dev/null").expect("stat");
    Container::new().run().ok();
    let after = fs::symlink_metadata("/dev/null").expect("stat");
    use std::os::unix::fs::MetadataExt;
    assert_eq!((before.mode(), before.uid(), before.ino()), (after.mode(), after.uid(), after.ino()));
}

#[test]
fn ptmx_is_the_container_s_own_whatever_is_listed() {
    let listed =
        || Container::new().set("/linux/devices", json!([{"path": "/dev/ptmx", "type": "c", "major": 5, "minor": 2}]));
    for container in [listed(), listed().user_namespace()] {
        container.args(&["readlink", "/dev/ptmx"]).run().ok().says("pts/ptmx");
    }
}

/// A container in a user namespace with this device, whose number, mode and owner it shows.
fn shows_device(device: serde_json::Value) -> Container {
    let path = device["path"].as_str().expect("a path").to_owned();
    let container = Container::new().args(&["stat", "-c", "%t:%T %a %u:%g", &path]).user_namespace();
    container.set("/linux/devices", serde_json::json!([device]))
}

/// Whether the kernel clones a mount that has no place, as of Linux 6.15.
fn clones_what_has_no_place() -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").expect("read the kernel's release");
    let mut numbers = release.split(['.', '-']).map_while(|number| number.parse::<u32>().ok());
    (numbers.next(), numbers.next()) >= (Some(6), Some(15))
}

#[test]
fn in_a_user_namespace_a_device_is_the_one_that_is_asked_for_whatever_the_host_has_there() {
    skip_on!(Runc, "runc binds what the host has there");
    if !clones_what_has_no_place() {
        skip!("this kernel does not clone a mount that has no place");
    }
    let json = |path: &str, minor| serde_json::json!({"path": path, "type": "c", "major": 1, "minor": minor, "fileMode": 0o640, "uid": 5, "gid": 6});
    shows_device(json("/dev/zero", 3)).run().ok().says("1:3 640 5:6");
    shows_device(json("/dev/renamed", 5)).run().ok().says("1:5 640 5:6");
    shows_device(serde_json::json!({"path": "/dev/null", "type": "c", "major": 1, "minor": 3}))
        .run()
        .ok()
        .mentions("1:3 666");
}

#[test]
fn a_device_that_a_user_cannot_be_given_is_refused_with_the_host_s_path() {
    skip_on!(Runc | Crun, "a message of ours");
    // A runtime without privilege over the host can only bind.
    let device = serde_json::json!({"path": "/dev/zero", "type": "c", "major": 1, "minor": 3});
    let container = Container::new().set("/linux/devices", serde_json::json!([device]));
    let container = container.set("/linux/resources", serde_json::json!({}));
    let mounts = serde_json::json!([
        {"destination": "/proc", "type": "proc", "source": "proc"},
        {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["mode=755"]}
    ]);
    let container = container.set("/mounts", mounts);
    container.write_config();
    let run = || {
        let invocation = crate::harness::program("unshare").args(["--user", "--map-root-user", "--mount"]);
        let invocation = invocation.args(crate::harness::runtime_words()).arg("--root").arg(container.state_root());
        invocation.args(["run", "--bundle"]).arg(container.bundle()).arg(&container.id).run()
    };
    run().exits(1).complains("the host's /dev/zero is not character device 1:3").in_one_line();
}
