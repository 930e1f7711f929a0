//! `state`.

use std::fs;

use serde_json::{Value, json};

use crate::harness::{Container, eventually, skip_on};

#[test]
fn tells_what_the_specification_asks_for() {
    let container = Container::sleeper().set("/annotations", json!({"org.example.key": "value"})).started();
    let state = container.state();
    assert!(state["ociVersion"].as_str().is_some_and(|version| version.starts_with("1.")), "{state}");
    assert_eq!(state["id"], container.id);
    assert_eq!(state["status"], "running");
    assert_eq!(state["bundle"], container.bundle().to_str().expect("UTF-8"));
    assert_eq!(state["rootfs"], container.rootfs().to_str().expect("UTF-8"));
    assert_eq!(state["annotations"], json!({"org.example.key": "value"}));
    assert!(state["pid"].as_i64().is_some_and(|pid| pid > 1), "{state}");
    let created = state["created"].as_str().expect("a time");
    assert!(created.len() > 20 && created.contains('T') && created.ends_with('Z'), "no RFC 3339 time: {created}");
    assert!(state["owner"].is_string(), "{state}");
}

#[test]
fn goes_from_created_to_running_to_stopped() {
    let container = Container::sleeper().created();
    assert_eq!(container.status(), "created");
    container.start();
    assert_eq!(container.status(), "running");
    container.kill("KILL").ok();
    container.wait_stopped();
    assert_eq!(container.state()["pid"], 0);
}

#[test]
fn is_indented() {
    let container = Container::running();
    let output = container.verb(&["state"]).ok().stdout();
    assert!(output.starts_with("{\n  \""), "{output}");
}

#[test]
fn of_a_container_that_is_not_there_is_an_error() {
    Container::new().verb(&["state"]).exits(1).complains("does not exist").in_one_line();
}

#[test]
fn a_zombie_is_stopped() {
    // The test is the parent of the attached runtime, and the runtime of the container: it waits for it when it stops
    // itself, so the first process stays a zombie while the runtime is stopped.
    let container = Container::sleeper();
    let running = container.launch(&["run"]).start();
    eventually("the container runs", || container.verb(&["state"]).stdout().contains("\"running\""));
    running.signal(nix::sys::signal::Signal::SIGSTOP);
    container.kill("KILL").ok();
    container.wait_stopped();
    running.signal(nix::sys::signal::Signal::SIGCONT);
    running.wait().exits(137);
}

#[test]
fn is_valid_while_a_container_is_paused() {
    let container = Container::running();
    container.verb(&["pause"]).ok();
    let state: Value = container.state();
    assert_eq!(state["status"], "paused");
    container.verb(&["resume"]).ok();
    assert_eq!(container.status(), "running");
}

#[test]
fn is_not_running_before_the_program_is() {
    skip_on!(Runc | Crun, "the peers say so once there is a process");
    let (container, there, go) = Container::sleeper().waiting_hook("createContainer");
    let run = container.launch(&["run"]).start();
    eventually("the hook runs", || there.exists());
    assert_eq!(container.status(), "creating");
    fs::write(go, "").expect("let the hook end");
    eventually("the program runs", || container.status() == "running");
    // Another signal would be lost until the program has a handler: it is the first of its pid namespace.
    container.kill("KILL").ok();
    run.wait().exits(137);
}

#[test]
fn of_a_container_that_is_killed_as_soon_as_it_runs_is_that_of_its_program() {
    for _ in 0..10 {
        let container = Container::sleeper();
        let run = container.launch(&["run"]).start();
        eventually("the container runs", || container.verb(&["state"]).stdout().contains("\"running\""));
        container.kill("KILL").ok();
        run.wait().exits(137);
    }
}

#[test]
fn a_container_is_being_created_as_long_as_its_hooks_run() {
    skip_on!(Runc | Crun, "runc 1.1 says created, crun too");
    let (container, there, go) = Container::sleeper().waiting_hook("createRuntime");
    let create = container.launch(&["create"]).start();
    eventually("the hook runs", || there.exists());
    assert_eq!(container.status(), "creating");
    container.verb(&["start"]).exits(1).complains("cannot start a container in the creating state");
    std::fs::write(&go, "").expect("let the hook end");
    create.wait().ok();
    assert_eq!(container.status(), "created");
}
