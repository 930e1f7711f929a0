//! `ps`.

use serde_json::Value;

use crate::harness::{Container, Peer, eventually, peer, skip_on};

fn pids(container: &Container) -> Vec<i64> {
    let output = container.verb(&["ps", "--format", "json"]).ok();
    assert_eq!(output.stderr(), "", "engines merge standard error into the list");
    let list: Value = serde_json::from_str(&output.stdout()).expect("JSON");
    list.as_array().expect("an array").iter().map(|pid| pid.as_i64().expect("a number")).collect()
}

#[test]
fn in_json_lists_the_pids_that_the_host_sees() {
    let container = Container::script("sleep 1000 & while :; do read -t 1 x </dev/zero; done").started();
    eventually("both processes run", || pids(&container).len() >= 2);
    assert!(pids(&container).contains(&i64::from(container.pid())));
}

#[test]
fn of_a_created_container_lists_its_first_process() {
    let container = Container::sleeper().created();
    assert_eq!(pids(&container), [i64::from(container.pid())]);
}

#[test]
fn prints_the_table_of_ps() {
    skip_on!(Crun, "crun prints a list of pids");
    let container = Container::running();
    let output = container.verb(&["ps"]).ok().stdout();
    assert!(output.lines().next().is_some_and(|line| line.contains("PID")), "{output}");
    assert!(output.lines().skip(1).any(|line| line.contains(&container.pid().to_string())), "{output}");
}

#[test]
fn passes_arguments_on_to_ps() {
    skip_on!(Crun, "crun prints a list of pids");
    let container = Container::running();
    let output = container.runtime(&["ps", &container.id, "-o", "pid,comm"]).run().ok().stdout();
    let lines: Vec<Vec<&str>> = output.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["PID", "COMMAND"]);
    assert!(lines[1..].iter().any(|line| line[0] == container.pid().to_string()), "{output}");
}

#[test]
fn an_unknown_format_is_an_error() {
    let container = Container::running();
    container.verb(&["ps", "--format", "yaml"]).exits(1);
}

#[test]
fn of_a_container_that_is_not_there_is_an_error() {
    let output = Container::new().verb(&["ps", "--format", "json"]).exits(1);
    if peer() == Peer::Ours {
        output.complains("does not exist").in_one_line();
    }
}

#[test]
fn of_a_container_without_a_cgroup_cannot_be_told() {
    skip_on!(Runc | Crun, "they show nothing");
    let container = Container::sleeper().option("--cgroup-manager=disabled").started();
    container.verb(&["ps"]).exits(1).in_one_line().complains("no cgroup of its own");
    container.verb(&["events", "--stats"]).exits(1).in_one_line().complains("no cgroup of its own");
}
