//! `pause` and `resume`.

use std::fs;
use std::thread;
use std::time::Duration;

use crate::harness::{Container, eventually, skip_on};

#[test]
fn a_paused_container_does_nothing_until_it_is_resumed() {
    let container = Container::script("i=0; while :; do i=$((i+1)); echo $i > /count; sleep 0.01; done").started();
    let count = || fs::read_to_string(container.rootfs().join("count")).unwrap_or_default();
    eventually("it counts", || !count().is_empty());
    container.verb(&["pause"]).ok();
    let before = count();
    thread::sleep(Duration::from_millis(100));
    assert_eq!(count(), before);
    container.verb(&["resume"]).ok();
    eventually("it counts on", || count() != before);
}

#[test]
fn pause_of_a_stopped_container_is_refused() {
    let container = Container::new().started();
    container.wait_stopped();
    container.verb(&["pause"]).exits(1).in_one_line();
    container.verb(&["resume"]).exits(1).in_one_line();
}

#[test]
fn resume_of_a_container_that_runs_is_refused() {
    let container = Container::running();
    container.verb(&["resume"]).exits(1).in_one_line();
    assert_eq!(container.status(), "running");
}

#[test]
fn of_a_container_that_is_not_there_says_so() {
    Container::new().verb(&["pause"]).exits(1).complains("does not exist").in_one_line();
    Container::new().verb(&["resume"]).exits(1).complains("does not exist").in_one_line();
}

#[test]
fn exec_into_a_paused_container_is_refused() {
    let container = Container::running();
    container.verb(&["pause"]).ok();
    container.exec(&["true"]).exits(255).complains("paused");
    container.verb(&["resume"]).ok();
    container.exec(&["true"]).ok();
}

#[test]
fn a_created_container_can_be_paused() {
    let container = Container::sleeper().created();
    container.verb(&["pause"]).ok();
    assert_eq!(container.status(), "paused");
    container.verb(&["resume"]).ok();
    assert_eq!(container.status(), "created");
}

#[test]
fn a_paused_one_cannot_be_started() {
    skip_on!(Crun, "crun starts it, which waits");
    let container = Container::sleeper().created();
    container.verb(&["pause"]).ok();
    let start = container.runtime(&["start", &container.id]).at_most(10.0).run();
    start.exits(1).complains("cannot start a container in the paused state").in_one_line();
    container.verb(&["resume"]).ok();
    container.start();
    assert_eq!(container.status(), "running");
}
