//! maskedPaths and readonlyPaths.

use std::fs;

use serde_json::json;

use crate::harness::{Container, skip_on};

#[test]
fn a_masked_file_reads_as_nothing() {
    let container = Container::script("cat /secret; stat -c %F /secret");
    fs::write(container.rootfs().join("secret"), "x").expect("write a file");
    container.set("/linux/maskedPaths", json!(["/secret"])).run().ok().says("character special file");
}

#[test]
fn a_masked_folder_is_empty_and_cannot_be_written() {
    let container = Container::script("ls -A /secret; touch /secret/x");
    fs::create_dir(container.rootfs().join("secret")).expect("make a folder");
    fs::write(container.rootfs().join("secret/file"), "x").expect("write a file");
    let container = container.set("/linux/maskedPaths", json!(["/secret"]));
    container.run().exits(1).says("").complains("Read-only file system");
}

#[test]
fn many_masked_folders_do_not_share_what_is_written() {
    let container = Container::script("ls -A /one /two | grep -v : | xargs");
    for name in ["one", "two"] {
        fs::create_dir(container.rootfs().join(name)).expect("make a folder");
        fs::write(container.rootfs().join(name).join("file"), "x").expect("write a file");
    }
    container.set("/linux/maskedPaths", json!(["/one", "/two"])).run().ok().says("");
}

#[test]
fn a_read_only_path_can_be_read_but_not_written() {
    let container = Container::script("cat /data/file; echo x > /data/file");
    fs::create_dir(container.rootfs().join("data")).expect("make a folder");
    fs::write(container.rootfs().join("data/file"), "content").expect("write a file");
    let container = container.set("/linux/readonlyPaths", json!(["/data"]));
    container.run().exits(1).says("content").complains("Read-only file system");
}

#[test]
fn the_read_only_paths_of_proc_hold() {
    Container::script("echo 1 > /proc/sys/kernel/panic").run().exits(1).complains("Read-only file system");
}

#[test]
fn the_masked_files_of_proc_are_empty() {
    Container::script("cat /proc/kcore /proc/timer_list | head -c 10 | wc -c").run().ok().says("0");
}

#[test]
fn paths_that_are_not_there_are_passed_over() {
    let container = Container::new().set("/linux/maskedPaths", json!(["/not/there", "/proc/nor-this"]));
    container.set("/linux/readonlyPaths", json!(["/not/here", "/proc/nor-that"])).run().ok();
}

#[test]
fn masks_hold_for_exec() {
    let container = Container::sleeper();
    fs::write(container.rootfs().join("secret"), "x").expect("write a file");
    let container = container.set("/linux/maskedPaths", json!(["/secret"])).started();
    container.exec(&["cat", "/secret"]).ok().says("");
}

#[test]
fn what_is_below_a_read_only_proc_or_sys_is_masked_too() {
    let script = "cat /proc/timer_list | wc -c; ls /proc/bus | wc -l; ls /sys/kernel | wc -l";
    let container = Container::script(script)
        .set("/linux/readonlyPaths", json!(["/proc", "/sys", "/sys/fs"]))
        .set("/linux/maskedPaths", json!(["/proc/timer_list", "/proc/bus", "/sys/kernel"]));
    assert_eq!(container.output(), "0\n0\n0");
}

#[test]
fn a_mask_over_all_of_proc_or_sys_shows_nothing_there_or_elsewhere() {
    for whole in ["/proc", "/sys"] {
        let script = format!("ls {whole} | wc -l; ls /etc | wc -l; ls /var | wc -l");
        let masked = json!([whole, "/etc", "/var", whole]);
        let container = Container::script(&script).set("/linux/maskedPaths", masked);
        assert_eq!(container.set("/linux/readonlyPaths", json!([])).output(), "0\n0\n0", "{whole}");
    }
}

#[test]
fn the_root_itself_can_be_among_the_read_only_paths() {
    skip_on!(Crun, "crun 1.8 leaves it writable");
    for path in ["/", "//"] {
        let container = Container::script("touch /x").set("/linux/readonlyPaths", json!([path]));
        container.run().exits(1).complains("Read-only file system");
        assert!(!container.rootfs().join("x").exists());
    }
}

#[test]
fn the_root_itself_is_not_masked_in_vain() {
    skip_on!(Runc | Crun, "the peers mount over it, which hides nothing");
    let container = Container::new().set("/linux/maskedPaths", json!(["/"]));
    container.run().exits(1).complains("maskedPaths").in_one_line();
    container.assert_gone();
}
