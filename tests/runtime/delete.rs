//! `delete`.

use std::fs;

use serde_json::json;

use crate::harness::{Container, cgroup_dir, eventually, set, skip_on};

#[test]
fn removes_a_stopped_container() {
    let container = Container::new().started();
    container.wait_stopped();
    container.verb(&["delete"]).ok();
    container.assert_gone();
    container.verb(&["state"]).exits(1).complains("does not exist");
}

#[test]
fn refuses_a_running_container() {
    let container = Container::running();
    container.verb(&["delete"]).exits(1).complains("running").in_one_line();
    assert_eq!(container.status(), "running");
}

#[test]
fn removes_a_created_container() {
    let container = Container::sleeper().created();
    container.verb(&["delete"]).ok();
    container.assert_gone();
}

#[test]
fn by_force_removes_a_running_container() {
    let container = Container::running();
    container.verb(&["delete", "--force"]).ok();
    container.assert_gone();
}

#[test]
fn by_force_removes_a_paused_container() {
    let container = Container::running();
    container.verb(&["pause"]).ok();
    container.verb(&["delete", "-f"]).ok();
    container.assert_gone();
}

#[test]
fn by_force_of_a_container_that_is_not_there_succeeds() {
    Container::new().verb(&["delete", "--force"]).ok();
}

#[test]
fn of_a_container_that_is_not_there_says_what_engines_look_for() {
    Container::new().verb(&["delete"]).exits(1).complains("does not exist").in_one_line();
}

#[test]
fn works_when_the_bundle_is_gone() {
    let container = Container::running();
    fs::remove_file(container.bundle().join("config.json")).expect("remove config.json");
    container.verb(&["delete", "--force"]).ok();
    container.assert_gone();
}

#[test]
fn removes_cgroups_that_the_container_made_below_its_own() {
    let container = Container::running();
    let below = cgroup_dir(container.pid(), "pids").join("below/deeper");
    fs::create_dir_all(&below).expect("make cgroups");
    container.verb(&["delete", "--force"]).ok();
    assert!(!below.exists());
    container.assert_gone();
}

#[test]
fn the_id_can_be_used_again() {
    let container = Container::running();
    container.verb(&["delete", "--force"]).ok();
    container.create_with(&[]).ok();
    assert_eq!(container.status(), "created");
}

#[test]
fn processes_that_exec_started_go_with_the_container() {
    let container = Container::running();
    container.exec_with(&["--detach"], &["sleep", "1000"]).ok();
    container.verb(&["delete", "--force"]).ok();
    container.assert_gone();
}

#[test]
fn who_comes_late_leaves_a_newer_container_of_the_same_id_alone() {
    skip_on!(Runc | Crun, "they leave two containers, or none");
    let old = Container::sleeper();
    let there = old.dir.join("there");
    let script = format!("touch {}; sleep 2", there.display());
    let old = old.set("/hooks/createRuntime", json!([{"path": "/bin/sh", "args": ["sh", "-c", script]}]));
    let create = old.launch(&["create"]).start();
    eventually("the hook runs", || there.exists());
    old.verb(&["delete", "--force"]).ok();
    // The same id and place, without the hook.
    let mut new = old;
    set(&mut new.config, "/hooks", serde_json::Value::Null);
    new.create_with(&[]).ok();
    new.start();
    create.wait().exits(1);
    assert_eq!(new.status(), "running");
}
