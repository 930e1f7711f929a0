//! `create` and `start`.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::harness::{Container, eventually, left_behind};

#[test]
fn a_created_container_has_not_run_its_program() {
    let container = Container::script("echo started > /started; sleep 100").created();
    assert_eq!(container.status(), "created");
    assert!(!container.rootfs().join("started").exists());
    container.start();
    eventually("the program runs", || container.rootfs().join("started").exists());
    assert_eq!(container.status(), "running");
}

#[test]
fn the_output_of_a_created_container_is_create_s() {
    let container = Container::script("echo out").started();
    container.wait_stopped();
    assert_eq!(container.said(), "out");
}

#[test]
fn create_writes_the_pid_of_the_container() {
    let container = Container::sleeper();
    let file = container.dir.join("pid");
    container.create_with(&["--pid-file", file.to_str().expect("UTF-8")]).ok();
    assert_eq!(fs::read_to_string(&file).expect("read the pid file"), container.pid().to_string());
}

#[test]
fn the_bundle_may_be_relative_to_the_working_directory() {
    let container = Container::sleeper();
    container.write_config();
    container.runtime(&["create", "-b", "bundle"]).arg(&container.id).within(container.dir.path()).run().ok();
    assert_eq!(container.state()["bundle"], container.bundle().to_str().expect("UTF-8"));
}

#[test]
fn an_id_that_exists_is_refused_and_the_first_container_lives_on() {
    let container = Container::running();
    let pid = container.pid();
    container.create_with(&[]).exits(1).complains("exist").in_one_line();
    assert_eq!((container.status(), container.pid()), ("running".to_owned(), pid));
}

#[test]
fn start_of_a_running_container_is_refused() {
    let container = Container::running();
    container.verb(&["start"]).exits(1).in_one_line();
    assert_eq!(container.status(), "running");
}

#[test]
fn start_of_a_stopped_container_is_refused() {
    let container = Container::new().started();
    container.wait_stopped();
    container.verb(&["start"]).exits(1).complains("stopped").in_one_line();
}

#[test]
fn start_of_a_container_that_is_not_there_says_so() {
    Container::new().verb(&["start"]).exits(1).complains("does not exist").in_one_line();
}

#[test]
fn create_of_a_missing_program_fails_and_names_it() {
    // Since the program is looked up in `create`, engines report a failed start at once.
    let container = Container::new().args(&["no-such-program"]);
    container.create_with(&[]).exits(1).complains("no-such-program").complains("executable file not found in $PATH");
    container.assert_gone();
}

#[test]
fn a_missing_program_with_a_path_is_no_such_file() {
    let container = Container::new().args(&["/no/such/program"]);
    container.run().exits(1).complains("/no/such/program").complains("no such file or directory");
    container.assert_gone();
}

#[test]
fn a_program_without_permission_is_refused_as_such() {
    let container = Container::new().args(&["/file"]);
    fs::write(container.rootfs().join("file"), "#!/bin/sh\n").expect("write a file");
    fs::set_permissions(container.rootfs().join("file"), fs::Permissions::from_mode(0o644)).expect("chmod");
    container.run().exits(1).complains("/file").complains("permission denied");
}

#[test]
fn a_program_that_is_a_folder_is_refused_as_such() {
    let output = Container::new().args(&["/etc"]).run().exits(1).complains("/etc");
    assert!(["is a directory", "permission denied"].iter().any(|text| output.stderr().contains(text)));
}

#[test]
fn a_failed_create_leaves_nothing() {
    let container = Container::new().mount("/data", "bind", "/no/such/source", &["bind"]);
    container
        .create_with(&[])
        .exits(1)
        .complains("/no/such/source")
        .complains("o such file or directory")
        .in_one_line();
    container.assert_gone();
}

#[test]
fn a_failed_create_removes_the_cgroups_that_it_made() {
    let container = Container::new().mount("/data", "no-such-filesystem", "none", &[]);
    container.create_with(&[]).exits(1);
    assert_eq!(left_behind(&container.id), Vec::<String>::new());
}

#[test]
fn the_state_is_that_of_the_root_folder() {
    let container = Container::running();
    let other = Container::without_rootfs();
    other.runtime(&["state", &container.id]).run().exits(1).complains("does not exist");
}

#[test]
fn ids_may_have_every_character_that_runc_allows() {
    let mut container = Container::sleeper();
    container.id = format!("{}_A.b+c-1", container.id);
    let container = container.started();
    assert_eq!(container.state()["id"], container.id);
    container.verb(&["delete", "--force"]).ok();
    container.assert_gone();
}

#[test]
fn the_process_of_a_created_container_is_in_its_cgroup() {
    let container = Container::sleeper().created();
    let cgroup = fs::read_to_string(format!("/proc/{}/cgroup", container.pid())).expect("read the cgroup");
    assert!(cgroup.contains(&container.id), "{cgroup}");
}

#[test]
fn changes_of_the_bundle_after_create_have_no_effect() {
    let container = Container::script("echo first").created();
    let changed = container.config.to_string().replace("first", "second");
    fs::write(container.bundle().join("config.json"), changed).expect("change config.json");
    container.start();
    container.wait_stopped();
    assert_eq!(container.said(), "first");
}
