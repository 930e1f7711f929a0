//! Configurations with more entries than a process usually may have descriptors: an engine masks one path a processor, and
//! binds one folder of the store a package.

use std::fs;

use serde_json::{Value, json};

use crate::harness::{Container, Output, Peer, peer, program, runtime_words};

/// More than half the usual soft limit of descriptors, so that one or two an entry are too many.
const MANY: usize = 1100;

/// A container with folders /mk/0 to /mk/MANY, a file in each.
fn with_folders(container: Container) -> Container {
    for at in 0..MANY {
        let folder = container.rootfs().join("mk").join(at.to_string());
        fs::create_dir_all(&folder).expect("make a folder");
        fs::write(folder.join("f"), "").expect("write a file");
    }
    container
}

/// Runs it under the usual limits of descriptors.
fn run(container: &Container) -> Output {
    container.write_config();
    let words = runtime_words();
    let invocation =
        program("prlimit").arg("--nofile=1024:20000").args(&words).arg("--root").arg(container.state_root());
    invocation.args(["run", "--bundle"]).arg(container.bundle()).arg(&container.id).at_most(60.0).run()
}

fn paths() -> Value {
    (0..MANY).map(|at| format!("/mk/{at}")).collect::<Vec<_>>().into()
}

#[test]
fn a_thousand_masked_paths_all_hide_what_is_there() {
    let container = with_folders(Container::script("ls -d /mk/* | wc -l; find /mk -type f | wc -l"));
    run(&container.set("/linux/maskedPaths", paths())).ok().says(&format!("{MANY}\n0"));
}

#[test]
fn a_thousand_masked_files_are_empty() {
    let container = with_folders(Container::script("cat /mk/*/f | wc -c; find /mk -type c | wc -l"));
    let files: Vec<String> = (0..MANY).map(|at| format!("/mk/{at}/f")).collect();
    run(&container.set("/linux/maskedPaths", files)).ok().says(&format!("0\n{MANY}"));
}

#[test]
fn a_thousand_read_only_paths_cannot_be_written() {
    let container = with_folders(Container::script("for d in /mk/*; do touch $d/x 2>/dev/null && echo $d; done; true"));
    run(&container.set("/linux/readonlyPaths", paths())).ok().says("");
}

#[test]
fn a_thousand_file_systems_and_binds_are_mounted() {
    let container = with_folders(Container::script("grep -c ' /mk/' /proc/self/mountinfo"));
    let source = container.dir.join("source");
    fs::create_dir(&source).expect("make a folder");
    let source = source.to_str().expect("UTF-8");
    let bind = |at| json!({"destination": format!("/mk/{at}"), "type": "bind", "source": source, "options": ["bind"]});
    let tmpfs = |at| json!({"destination": format!("/mk/{at}"), "type": "tmpfs", "source": "x"});
    let container = (0..MANY)
        .fold(container, |container, at| container.set("/mounts/-", if at % 2 == 0 { bind(at) } else { tmpfs(at) }));
    run(&container).ok().says(&MANY.to_string());
}

#[test]
fn a_thousand_binds_are_mounted_in_a_user_namespace_and_the_program_has_the_callers_limit() {
    let container = with_folders(Container::script("grep -c ' /mk/' /proc/self/mountinfo; ulimit -n; ulimit -Hn"));
    let source = container.dir.join("source");
    fs::create_dir(&source).expect("make a folder");
    let source = source.to_str().expect("UTF-8");
    let container = container.user_namespace().set("/process/rlimits", json!([]));
    let container = (0..MANY).fold(container, |container, at| {
        let mount = json!({"destination": format!("/mk/{at}"), "type": "bind", "source": source, "options": ["bind"]});
        container.set("/mounts/-", mount)
    });
    let limits = match peer() {
        Peer::Ours | Peer::Runc => "1024\n20000",
        Peer::Crun => return,
    };
    run(&container).ok().says(&format!("{MANY}\n{limits}"));
}

#[test]
fn a_thousand_devices_are_made() {
    let container = Container::script("ls /dev/m | wc -l");
    let devices: Vec<Value> =
        (0..MANY).map(|at| json!({"path": format!("/dev/m/d{at}"), "type": "c", "major": 1, "minor": 3})).collect();
    run(&container.set("/linux/devices", devices)).ok().says(&MANY.to_string());
}
