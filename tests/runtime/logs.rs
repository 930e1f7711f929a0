//! `--log` and `--log-format`: what engines read when something fails.

use std::fs;

use serde_json::Value;

use crate::harness::{Container, Peer, peer, skip_on};

/// The container's log after `run`, which fails.
fn log_of_a_failure(options: &[&str]) -> String {
    let mut container = Container::new().args(&["/no/such/program"]);
    let file = container.dir.join("log");
    for option in ["--log", file.to_str().expect("UTF-8")].iter().chain(options) {
        container = container.option(option);
    }
    container.run().exits(1).complains("/no/such/program");
    fs::read_to_string(file).expect("read the log")
}

#[test]
fn in_json_a_failure_is_one_object_of_level_error() {
    let log = log_of_a_failure(&["--log-format", "json"]);
    let lines: Vec<Value> =
        log.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect();
    let errors: Vec<_> = lines.iter().filter(|line| line["level"] == "error").collect();
    assert_eq!(errors.len(), 1, "{log}");
    let message = errors[0]["msg"].as_str().expect("a message");
    assert!(message.contains("/no/such/program") && message.contains("no such file or directory"), "{message}");
    let time = errors[0]["time"].as_str().expect("a time");
    assert!(time.len() >= 20 && &time[10..11] == "T", "no RFC 3339 time: {time}");
}

#[test]
fn the_last_line_is_the_failure() {
    let log = log_of_a_failure(&["--log-format", "json"]);
    let last: Value = serde_json::from_str(log.lines().last().expect("a line")).expect("JSON");
    assert_eq!(last["level"], "error");
}

#[test]
fn in_text_the_failure_is_one_line_too() {
    let log = log_of_a_failure(&[]);
    assert_eq!(log.lines().filter(|line| line.contains("level=error") || peer() == Peer::Crun).count(), 1, "{log}");
    assert!(log.contains("/no/such/program"), "{log}");
}

#[test]
fn nothing_is_an_error_when_all_is_well() {
    let container = Container::new();
    let file = container.dir.join("log");
    let container =
        container.option("--log").option(file.to_str().expect("UTF-8")).option("--log-format").option("json");
    container.run().ok();
    let log = fs::read_to_string(file).unwrap_or_default();
    assert!(!log.contains("\"error\"") && !log.contains("\"warning\""), "{log}");
}

#[test]
fn the_log_is_added_to() {
    let container = Container::new();
    let file = container.dir.join("log");
    fs::write(&file, "before\n").expect("write the log");
    let container = container.option("--log").option(file.to_str().expect("UTF-8"));
    container.verb(&["state"]).exits(1);
    let log = fs::read_to_string(&file).expect("read the log");
    assert!(log.starts_with("before\n") && log.contains("does not exist"), "{log}");
}

#[test]
fn debug_says_more() {
    skip_on!(Crun, "crun 1.8 says nothing more");
    let container = Container::new();
    let file = container.dir.join("log");
    let container = container.option("--debug").option("--log").option(file.to_str().expect("UTF-8"));
    container.run().ok();
    let log = fs::read_to_string(file).expect("read the log");
    assert!(log.contains("level=debug"), "{log}");
}

#[test]
fn an_unknown_format_is_refused_and_named() {
    let container = Container::without_rootfs().option("--log-format").option("xml");
    container.runtime(&["list"]).run().exits(1).complains("xml");
}

#[test]
fn a_log_that_cannot_be_written_is_an_error_that_names_it() {
    let container = Container::without_rootfs().option("--log").option("/no/such/folder/log");
    container.runtime(&["list"]).run().exits(1).complains("/no/such/folder/log");
}

#[test]
fn options_are_accepted_with_one_dash_as_go_programs_do() {
    skip_on!(Crun, "crun is no Go program");
    let container = Container::new();
    let file = container.dir.join("log");
    let container = container.option("-log").option(file.to_str().expect("UTF-8")).option("-log-format=json");
    container.verb(&["state"]).exits(1);
    assert!(fs::read_to_string(file).expect("read the log").contains("\"level\":\"error\""));
    container.launch(&["run", "-no-subreaper"]).run().ok();
}

#[test]
fn standard_error_has_the_failure_beside_the_log() {
    let container = Container::new();
    let file = container.dir.join("log");
    let container =
        container.option("--log").option(file.to_str().expect("UTF-8")).option("--log-format").option("json");
    container.verb(&["kill"]).exits(1).complains("does not exist").in_one_line();
}
