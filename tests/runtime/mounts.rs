//! Mounts.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use crate::harness::{Container, Peer, peer, skip_on};

/// A folder of the test with one file in it, to be bound into the container.
fn source(container: &Container) -> String {
    let dir = container.dir.join("source");
    fs::create_dir_all(&dir).expect("make a folder");
    fs::write(dir.join("file"), "content\n").expect("write a file");
    dir.to_str().expect("UTF-8").to_owned()
}

/// The options of the mount at `target`, as the container sees them: of the mount, of the file system.
fn shown_options(container: Container, target: &str) -> String {
    let script = format!("$5 == \"{target}\" {{ options = $6 }} END {{ print options }}");
    container.args(&["awk", &script, "/proc/self/mountinfo"]).output()
}

#[test]
fn a_folder_is_bound() {
    let container = Container::script("cat /data/file; echo new > /data/new");
    let source = source(&container);
    let container = container.mount("/data", "bind", &source, &["bind"]);
    container.run().ok().says("content");
    assert_eq!(fs::read_to_string(container.dir.join("source/new")).expect("read the new file"), "new\n");
}

#[test]
fn a_file_is_bound_over_a_file_that_is_made_for_it() {
    let container = Container::new().args(&["cat", "/etc/made/here"]);
    let source = source(&container) + "/file";
    container.mount("/etc/made/here", "bind", &source, &["bind", "ro"]).run().ok().says("content");
}

#[test]
fn the_type_may_be_missing_or_none_for_a_bind() {
    for kind in ["none", ""] {
        let container = Container::new().args(&["cat", "/data/file"]);
        let source = source(&container);
        container.mount("/data", kind, &source, &["rbind", "rw"]).run().ok().says("content");
    }
}

#[test]
fn a_read_only_bind_cannot_be_written_though_its_source_can() {
    let container = Container::script("cat /data/file; echo x > /data/file");
    let source = source(&container);
    let container = container.mount("/data", "bind", &source, &["bind", "ro"]);
    container.run().exits(1).says("content").complains("Read-only file system");
    fs::write(container.dir.join("source/file"), "changed").expect("the source can still be written");
}

#[test]
fn a_relative_source_is_below_the_bundle() {
    let container = Container::new().args(&["cat", "/data/file"]);
    fs::create_dir(container.bundle().join("beside")).expect("make a folder");
    fs::write(container.bundle().join("beside/file"), "beside").expect("write a file");
    container.mount("/data", "bind", "beside", &["bind"]).run().ok().says("beside");
}

#[test]
fn the_flags_of_a_bind_are_set() {
    let container = Container::new();
    let source = source(&container);
    let container = container.mount("/data", "bind", &source, &["bind", "ro", "nosuid", "nodev", "noexec", "noatime"]);
    let options = shown_options(container, "/data");
    for option in ["ro", "nosuid", "nodev", "noexec", "noatime"] {
        assert!(options.split([',', ' ']).any(|word| word == option), "{option} is not in {options}");
    }
}

#[test]
fn a_bind_without_options_keeps_the_flags_of_its_source() {
    // /dev/shm and /proc carry nosuid, nodev, noexec: a bind that clears them would be refused in user namespaces.
    let container = Container::new().mount("/data", "bind", "/proc", &["rbind", "ro"]);
    let options = shown_options(container, "/data");
    assert!(options.starts_with("ro"), "{options}");
}

#[test]
fn programs_do_not_run_from_a_mount_without_exec() {
    let container =
        Container::script("cp /bin/busybox /mnt/true; /mnt/true").mount("/mnt", "tmpfs", "tmpfs", &["noexec"]);
    container.run().exits(126).complains("Permission denied");
}

#[test]
fn a_tmpfs_has_the_size_and_mode_of_its_options() {
    let container = Container::script("stat -c %a /mnt; df -k /mnt | tail -n 1 | awk '{print $2}'");
    container.mount("/mnt", "tmpfs", "tmpfs", &["nosuid", "mode=0711", "size=128k"]).run().ok().says("711\n128");
}

#[test]
fn tmpcopyup_brings_what_was_below() {
    let container = Container::script("cat /below/file; cat /below/dir/deep; echo changed > /below/file");
    fs::create_dir_all(container.rootfs().join("below/dir")).expect("make folders");
    fs::write(container.rootfs().join("below/file"), "kept\n").expect("write a file");
    fs::write(container.rootfs().join("below/dir/deep"), "deep\n").expect("write a file");
    let container = container.mount("/below", "tmpfs", "tmpfs", &["tmpcopyup"]);
    container.run().ok().says("kept\ndeep");
    let file = container.rootfs().join("below/file");
    assert_eq!(fs::read_to_string(file).expect("read the file"), "kept\n", "the copy was changed, not the original");
}

#[test]
fn a_tmpfs_takes_the_mode_of_the_folder_that_it_covers() {
    let container = Container::script("stat -c %a /covered");
    fs::create_dir(container.rootfs().join("covered")).expect("make a folder");
    fs::set_permissions(container.rootfs().join("covered"), fs::Permissions::from_mode(0o1770)).expect("chmod");
    container.mount("/covered", "tmpfs", "tmpfs", &[]).run().ok().says("1770");
}

#[test]
fn mounts_are_made_in_their_order() {
    let container = Container::new().args(&["cat", "/a/b/file"]);
    let source = source(&container);
    let container = container.mount("/a", "tmpfs", "tmpfs", &[]).mount("/a/b", "bind", &source, &["bind"]);
    container.run().ok().says("content");
}

#[test]
fn a_later_mount_covers_an_earlier_one() {
    let container = Container::script("ls /a");
    let source = source(&container);
    container.mount("/a", "bind", &source, &["bind"]).mount("/a", "tmpfs", "tmpfs", &[]).run().ok().says("");
}

#[test]
fn rbind_brings_the_mounts_below_and_bind_does_not() {
    let inner = |options: &[&str]| {
        let container = Container::script("ls /data/pts | head -n 1").mount("/data", "bind", "/dev", options);
        container.output()
    };
    if crate::harness::cgroup_dir(1, "pids").exists() && fs::read_dir("/dev/pts").is_ok_and(|dir| dir.count() > 0) {
        assert_ne!(inner(&["rbind", "ro"]), "");
    }
    assert_eq!(inner(&["bind", "ro"]), "");
}

#[test]
fn a_destination_that_is_a_link_stays_inside_of_the_root() {
    let container = Container::script("cat /link/file; cat /real/file");
    let source = source(&container);
    fs::create_dir(container.rootfs().join("real")).expect("make a folder");
    symlink("/real", container.rootfs().join("link")).expect("link");
    container.mount("/link", "bind", &source, &["bind"]).run().ok().says("content\ncontent");
}

#[test]
fn a_destination_with_dots_stays_inside_of_the_root() {
    let container = Container::new().args(&["cat", "/data/file"]);
    let source = source(&container);
    container.mount("/x/../../../data", "bind", &source, &["bind"]).run().ok().says("content");
}

#[test]
fn a_relative_destination_is_below_the_root() {
    let container = Container::new().args(&["cat", "/data/file"]);
    let source = source(&container);
    container.mount("data", "bind", &source, &["bind"]).run().ok().says("content");
}

#[test]
fn remount_changes_an_earlier_mount() {
    let container = Container::script("touch /mnt/x").mount("/mnt", "tmpfs", "tmpfs", &[]);
    let container = container.mount("/mnt", "tmpfs", "tmpfs", &["remount", "ro"]);
    container.run().exits(1).complains("Read-only file system");
}

#[test]
fn recursive_read_only_reaches_the_mounts_below() {
    skip_on!(Crun, "crun 1.8 needs a newer kernel header for rro");
    let container = Container::script("touch /data/inner/x 2>/dev/null || echo refused");
    // The mount below lives in a mount namespace of the runtime's own.
    let source = source(&container);
    let script = format!(
        "mkdir {source}/inner && mount -t tmpfs none {source}/inner && exec \"$@\" run --bundle {} {}",
        container.bundle().display(),
        container.id
    );
    for (options, expected) in [(["rbind", "rro"], "refused"), (["rbind", "ro"], "")] {
        let _ = fs::remove_dir(container.dir.join("source/inner"));
        let mut config = container.config.clone();
        let mount = serde_json::json!({"destination": "/data", "type": "bind", "source": source, "options": options});
        crate::harness::set(&mut config, "/mounts/-", mount);
        fs::write(container.bundle().join("config.json"), config.to_string()).expect("write config.json");
        let unshare =
            crate::harness::program("unshare").args(["-m", "--propagation", "private", "sh", "-c", &script, "sh"]);
        let unshare = unshare.args(crate::harness::runtime_words()).arg("--root").arg(container.state_root());
        unshare.run().ok().says(expected);
    }
}

#[test]
fn an_unknown_file_system_is_an_error_that_names_it_and_its_place() {
    let container = Container::new().mount("/mnt", "no-such-fs", "none", &[]);
    let output = container.run().exits(1).complains("/mnt").in_one_line();
    assert!(peer() == Peer::Runc || output.stderr().contains("no-such-fs"), "{}", output.stderr());
}

#[test]
fn a_missing_source_is_an_error_that_names_it() {
    let container = Container::new().mount("/mnt", "bind", "/no/such/source", &["bind"]);
    container.run().exits(1).complains("/no/such/source").complains("o such file or directory").in_one_line();
}

#[test]
fn the_folders_made_for_a_mount_are_root_s_and_can_be_entered() {
    let container = Container::new();
    let source = source(&container);
    let container = container.mount("/made/for/it", "bind", &source, &["bind"]);
    container.run().ok();
    let status = fs::metadata(container.rootfs().join("made/for")).expect("it was made");
    assert_eq!((status.uid(), status.mode() & 0o777), (0, 0o755));
}

#[test]
fn a_mount_inside_of_proc_is_refused_unless_it_is_one_of_a_few_files() {
    let container = Container::new();
    let folder = source(&container);
    container.mount("/proc/sys", "bind", &folder, &["bind"]).run().exits(1).complains("/proc");
    let container = Container::new().args(&["cat", "/proc/uptime"]);
    let source = source(&container) + "/file";
    container.mount("/proc/uptime", "bind", &source, &["bind"]).run().ok().says("content");
}

#[test]
fn sysfs_and_proc_are_of_the_container() {
    let container = Container::script("ls /sys/class/net; ls -d /proc/[0-9]* | wc -l");
    let output = container.output();
    assert!(!output.contains("eth") && !output.contains("ens"), "{output}");
    let processes: u32 = output.lines().last().and_then(|line| line.parse().ok()).expect("a number");
    assert!(processes <= 3, "{output}");
}

#[test]
fn message_queues_and_terminals_are_mounted() {
    let script =
        "grep -cE ' /dev/mqueue .* mqueue | /dev/pts .* devpts | /dev/shm .* tmpfs ' /proc/self/mountinfo; ls /dev/pts";
    Container::script(script).run().ok().says("3\nptmx");
}

#[test]
fn nothing_of_the_host_s_mounts_is_left_inside() {
    let table = Container::new().args(&["cat", "/proc/self/mountinfo"]).output();
    let targets: Vec<_> = table.lines().filter_map(|line| line.split(' ').nth(4)).collect();
    let allowed = ["/dev", "/proc", "/sys"];
    let strange: Vec<_> =
        targets.iter().filter(|target| **target != "/" && !allowed.iter().any(|dir| target.starts_with(dir))).collect();
    assert!(strange.is_empty(), "{strange:?}");
}

#[test]
fn the_container_s_mounts_do_not_reach_the_host() {
    let container = Container::running();
    let host = fs::read_to_string("/proc/self/mountinfo").expect("read mountinfo");
    assert!(!host.contains(&container.id), "{host}");
}

#[test]
fn an_idmapped_mount_shows_other_owners() {
    skip_on!(Runc | Crun, "runc 1.1 has no idmapped mounts; crun 1.8 asks for a user namespace");
    let container = Container::new().args(&["stat", "-c", "%u:%g", "/data/file"]);
    let source = source(&container);
    crate::harness::program("chown").args(["-R", "100000:100000", &source]).run().ok();
    let map = serde_json::json!([{"containerID": 100_000, "hostID": 0, "size": 65_536}]);
    let mount = serde_json::json!({
        "destination": "/data", "type": "bind", "source": source, "options": ["bind", "idmap"],
        "uidMappings": map, "gidMappings": map
    });
    let output = container.set("/mounts/-", mount).run();
    if output.stderr().contains("Invalid argument") {
        crate::harness::skip!("the file system of the temporary folder has no idmapped mounts");
    }
    output.ok().says("0:0");
}

#[test]
fn no_pivot_works_too() {
    let container = Container::new().args(&["cat", "/etc/passwd"]);
    container.launch(&["run", "--no-pivot"]).run().ok().mentions("root:x:0:0");
}

#[test]
fn a_bind_leaves_the_options_of_its_file_system_as_they_are() {
    let container = Container::new().args(&["cat", "/data/file"]);
    let source = source(&container);
    let options = ["rbind", "sync", "dirsync", "mand", "iversion", "silent", "lazytime"];
    container.mount("/data", "none", &source, &options).run().ok().says("content");
}

#[test]
fn what_is_no_mount_is_not_remounted_in_silence() {
    let container = Container::new();
    std::fs::create_dir(container.rootfs().join("data")).expect("make a folder");
    let container = container.mount("/data", "tmpfs", "tmpfs", &["remount"]);
    container.run().exits(1).complains("/data");
    container.assert_gone();
}

#[test]
fn a_bind_has_the_attributes_that_it_names_and_no_others() {
    skip_on!(Runc, "runc does so from 1.2 on");
    let of = |options: &[&str]| {
        let script = "$5 == \"/data\" { print $6 }";
        let container = Container::new().args(&["awk", script, "/proc/self/mountinfo"]);
        let source = source(&container);
        let container = container.mount("/data", "bind", &source, options);
        container.write_config();
        let prepare = format!("mount -t tmpfs -o ro,nosuid,nodev,noexec none {source}; exec \"$@\"");
        let run =
            crate::harness::program("unshare").args(["-m", "--propagation", "private", "sh", "-ec", &prepare, "sh"]);
        let run = run.args(crate::harness::runtime_words()).arg("--root").arg(container.state_root());
        run.args(["run", "--bundle"]).arg(container.bundle()).arg(&container.id).run().ok().stdout()
    };
    assert_eq!(of(&["rbind"]), "ro,nosuid,nodev,noexec,relatime");
    assert_eq!(of(&["rbind", "rprivate"]), "ro,nosuid,nodev,noexec,relatime");
    assert_eq!(of(&["rbind", "rw"]), "rw,relatime");
    assert_eq!(of(&["rbind", "ro", "nosuid"]), "ro,nosuid,relatime");
    assert_eq!(of(&["rbind", "noatime"]), "rw,noatime");
}
