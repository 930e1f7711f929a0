//! User namespaces.

use std::fs;
use std::os::unix::fs::MetadataExt;

use serde_json::json;

use crate::harness::{Container, nskit, program, runtime_words, skip_on};

#[test]
fn root_inside_is_another_user_outside() {
    let container = Container::sleeper().user_namespace().started();
    container.exec(&["id", "-u"]).ok().says("0");
    assert_eq!(fs::metadata(format!("/proc/{}", container.pid())).expect("stat").uid(), 100_000);
}

#[test]
fn the_maps_are_those_of_the_configuration() {
    let container = Container::new().args(&["cat", "/proc/self/uid_map", "/proc/self/gid_map"]).user_namespace();
    let output = container.output();
    let lines: Vec<Vec<&str>> = output.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines, [["0", "100000", "65536"], ["0", "100000", "65536"]]);
}

#[test]
fn several_ranges_are_mapped() {
    let map = json!([
        {"containerID": 0, "hostID": 100_000, "size": 1000}, {"containerID": 1000, "hostID": 300_000, "size": 10},
        {"containerID": 2000, "hostID": 400_000, "size": 1}
    ]);
    let container = Container::new().args(&["cat", "/proc/self/uid_map"]).user_namespace();
    let container = container.set("/linux/uidMappings", map.clone()).set("/linux/gidMappings", map);
    assert_eq!(container.output().lines().count(), 3);
}

#[test]
fn what_the_container_writes_belongs_to_the_mapped_user() {
    let container = Container::script("touch /tmp/x; stat -c %u:%g /tmp/x").user_namespace();
    container.run().ok().says("0:0");
    let status = fs::metadata(container.rootfs().join("tmp/x")).expect("stat");
    assert_eq!((status.uid(), status.gid()), (100_000, 100_000));
}

#[test]
fn the_default_devices_work() {
    let container =
        Container::script("echo x > /dev/null && head -c 3 /dev/zero | wc -c; ls /dev | xargs").user_namespace();
    container.run().ok().mentions("3\n").mentions("null");
}

#[test]
fn all_capabilities_of_the_configuration_are_of_the_namespace() {
    let admin = json!(["CAP_SYS_ADMIN"]);
    let container = Container::script("mount -t tmpfs none /tmp && echo mounted; mknod /x c 1 3 || echo no devices");
    let container = container.user_namespace();
    let sets = json!({"bounding": admin, "permitted": admin, "effective": admin});
    container.set("/process/capabilities", sets).run().ok().says("mounted\nno devices");
}

#[test]
fn another_user_of_the_namespace_may_be_chosen() {
    let container = Container::script("id -u; id -g; id -G").user_namespace();
    let user = json!({"uid": 1000, "gid": 1000, "additionalGids": [5]});
    container.set("/process/user", user).run().ok().says("1000\n1000\n1000 5");
}

#[test]
fn an_id_that_is_not_mapped_is_an_error() {
    let container = Container::new().user_namespace().set("/process/user", json!({"uid": 70_000, "gid": 0}));
    container.run().exits(1);
    container.assert_gone();
}

#[test]
fn the_namespaces_of_the_container_belong_to_it() {
    let container = Container::script("hostname changed && hostname").user_namespace();
    let admin = json!(["CAP_SYS_ADMIN"]);
    let sets = json!({"bounding": admin, "permitted": admin, "effective": admin});
    container.set("/process/capabilities", sets).run().ok().says("changed");
}

#[test]
fn sysctls_of_the_network_are_set() {
    let container = Container::new().args(&["cat", "/proc/sys/net/ipv4/ip_forward"]).user_namespace();
    container.set("/linux/sysctl", json!({"net.ipv4.ip_forward": "1"})).run().ok().says("1");
}

#[test]
fn one_that_exists_can_be_joined() {
    skip_on!(Runc, "runc 1.1 wants its maps repeated");
    let other = Container::sleeper().user_namespace().started();
    let path = format!("/proc/{}/ns/user", other.pid());
    let container = Container::script("readlink /proc/self/ns/user; id -u").user_namespace();
    let mut container = container.namespace("user", Some(&path));
    for map in ["uidMappings", "gidMappings"] {
        container.config["linux"].as_object_mut().expect("an object").remove(map);
    }
    let expected = fs::read_link(&path).expect("read a namespace");
    let output = container.run();
    output.ok().says(&format!("{}\n0", expected.display()));
}

#[test]
fn masks_and_read_only_paths_hold() {
    let container = Container::script("cat /proc/kcore | wc -c; echo 1 > /proc/sys/kernel/panic").user_namespace();
    container.run().exits(1).mentions("0").complains("Read-only file system");
}

#[test]
fn binds_of_the_host_stay_as_locked_as_they_were() {
    skip_on!(Runc, "runc 1.1 does not keep locked flags");
    let container = Container::script("touch /data/x 2>/dev/null || echo refused").user_namespace();
    let source = container.dir.join("source");
    fs::create_dir(&source).expect("make a folder");
    let container = container.mount("/data", "bind", source.to_str().expect("UTF-8"), &["bind", "ro"]);
    container.run().ok().says("refused");
}

#[test]
fn exec_joins_it() {
    let container = Container::sleeper().user_namespace().started();
    let expected = fs::read_link(format!("/proc/{}/ns/user", container.pid())).expect("read a namespace");
    container.exec(&["readlink", "/proc/self/ns/user"]).ok().says(expected.to_str().expect("ASCII"));
    container.exec_with(&["-u", "1000"], &["id", "-u"]).ok().says("1000");
}

#[test]
fn the_network_namespace_of_the_host_may_be_kept() {
    skip_on!(Crun | Runc, "the peers need /sys to be bound by the configuration");
    let container =
        Container::new().args(&["readlink", "/proc/self/ns/net"]).user_namespace().without_namespace("network");
    let host = fs::read_link("/proc/self/ns/net").expect("read a namespace");
    container.run().ok().says(host.to_str().expect("ASCII"));
}

#[test]
fn deletion_leaves_nothing() {
    let container = Container::sleeper().user_namespace().started();
    container.verb(&["delete", "--force"]).ok();
    container.assert_gone();
}

#[test]
fn maps_without_a_namespace_are_passed_over() {
    let map = json!([{"containerID": 0, "hostID": 100_000, "size": 10}]);
    let container = Container::script("id -u; readlink /proc/self/ns/user");
    let container = container.set("/linux/uidMappings", map.clone()).set("/linux/gidMappings", map);
    let own = fs::read_link("/proc/self/ns/user").expect("read a link");
    container.run().ok().says(&format!("0\n{}", own.display()));
}

#[test]
fn where_groups_cannot_be_set_an_empty_list_is_no_error() {
    skip_on!(Crun, "crun refuses some of them");
    let in_one = |container: &Container, unshare: &[&str]| {
        container.write_config();
        let run = program(nskit()).arg("unshare").args(unshare).args(runtime_words()).arg("--root");
        run.arg(container.state_root()).args(["run", "--bundle"]).arg(container.bundle()).arg(&container.id).run()
    };
    let map = json!([{"containerID": 0, "hostID": 0, "size": 1}]);
    // The devices and terminals of the default configuration want more than one group.
    let plain = || {
        Container::new()
            .args(&["id", "-u"])
            .set("/mounts", json!([{"destination": "/proc", "type": "proc", "source": "proc"}]))
    };
    let of_its_own = || {
        plain().namespace("user", None).set("/linux/uidMappings", map.clone()).set("/linux/gidMappings", map.clone())
    };
    in_one(&plain(), &["-Urm"]).ok().says("0");
    in_one(&of_its_own(), &["-Urm"]).ok().says("0");
    // Its mount namespace is not its user namespace's: the runtime itself may clone nothing.
    let bound = of_its_own().mount("/usr/share", "bind", "/usr/share", &["rbind", "ro"]);
    in_one(&bound, &["-Ur"]).ok().says("0");
    let more = plain().set("/process/user/additionalGids", json!([7]));
    in_one(&more, &["-Urm"]).exits(1).in_one_line().complains("additional groups");
}

#[test]
fn a_runtime_in_a_user_namespace_that_maps_every_id_to_itself_knows_that_it_is_in_one() {
    skip_on!(Runc | Crun, "both take it for the first user namespace");
    // Newer versions of systemd make such (PrivateUsers=full). Device rules cannot be set there.
    let mounts = json!([
        {"destination": "/proc", "type": "proc", "source": "proc"},
        {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["mode=755"]}
    ]);
    let rules = json!([{"allow": false, "access": "rwm"}]);
    let container = Container::script("echo x > /dev/null && echo fine");
    let container = container.set("/mounts", mounts).set("/linux/resources/devices", rules);
    container.write_config();
    let all = "0:0:4294967295";
    let invocation = program(nskit()).args(["unshare", "--user", "--mount", "--map-users", all, "--map-groups", all]);
    let invocation = invocation.args(runtime_words()).arg("--root").arg(container.state_root());
    invocation.args(["run", "--bundle"]).arg(container.bundle()).arg(&container.id).run().ok().says("fine");
}
