//! `kill`.

use crate::harness::{Container, Peer, eventually, peer, skip_on};

#[test]
fn sends_term_unless_told_otherwise() {
    let container =
        Container::script("trap 'echo term; exit 4' TERM; echo ready; while :; do sleep 0.02; done").started();
    eventually("it is ready", || container.said().contains("ready"));
    container.verb(&["kill"]).ok();
    container.wait_stopped();
    assert_eq!(container.said(), "ready\nterm");
}

#[test]
fn takes_signals_by_name_with_and_without_sig_and_by_number() {
    for signal in ["USR1", "SIGUSR1", "10", "usr1"] {
        if signal == "usr1" && peer() == Peer::Crun {
            continue;
        }
        let container = Container::script("trap 'exit 0' USR1; echo ready; while :; do sleep 0.02; done").started();
        eventually("it is ready", || container.said().contains("ready"));
        container.kill(signal).ok();
        container.wait_stopped();
    }
}

#[test]
fn an_unknown_signal_is_an_error_that_names_it() {
    let container = Container::running();
    container.kill("NOSUCH").exits(1).complains("NOSUCH").in_one_line();
    assert_eq!(container.status(), "running");
}

#[test]
fn kills_a_created_container() {
    let container = Container::sleeper().created();
    container.kill("KILL").ok();
    container.wait_stopped();
}

#[test]
fn of_a_stopped_container_says_what_engines_look_for() {
    let container = Container::new().started();
    container.wait_stopped();
    container.kill("TERM").exits(1).complains("container not running").in_one_line();
}

#[test]
fn of_a_container_that_is_not_there_says_what_engines_look_for() {
    Container::new().kill("TERM").exits(1).complains("does not exist").in_one_line();
}

#[test]
fn all_reaches_every_process() {
    let container =
        Container::script("sleep 1000 & sleep 1000 & while :; do sleep 0.05; done").without_namespace("pid");
    let container = container.started();
    eventually("its processes run", || container.verb(&["ps", "-f", "json"]).stdout().matches(',').count() >= 2);
    container.runtime(&["kill", "--all", &container.id, "9"]).run().ok();
    container.wait_stopped();
    eventually("its processes are gone", || {
        let output = container.verb(&["ps", "-f", "json"]);
        output.code() != 0 || matches!(output.stdout().as_str(), "[]" | "null" | "[\n]")
    });
}

#[test]
fn all_of_a_stopped_container_kills_what_is_left_of_it() {
    let container = Container::script("sleep 1000 & sleep 1000 & exit 0").without_namespace("pid").started();
    container.wait_stopped();
    container.runtime(&["kill", "--all", &container.id, "KILL"]).run().ok();
    container.verb(&["delete"]).ok();
    container.assert_gone();
}

#[test]
fn kill_of_a_container_in_the_host_s_pid_namespace_reaches_all_its_processes() {
    skip_on!(Runc | Crun, "runc before 1.2 and crun kill the first process alone");
    let container = Container::script("sleep 1000 & while :; do sleep 0.05; done").without_namespace("pid").started();
    eventually("its processes run", || container.verb(&["ps", "-f", "json"]).stdout().contains(','));
    container.kill("KILL").ok();
    container.wait_stopped();
    container.verb(&["delete"]).ok();
    container.assert_gone();
}

#[test]
fn kills_a_paused_container() {
    let container = Container::running();
    container.verb(&["pause"]).ok();
    container.kill("KILL").ok();
    // On cgroup v1 a frozen process dies when it is thawed, on v2 at once.
    if container.status() == "paused" {
        container.verb(&["resume"]).ok();
    }
    container.wait_stopped();
}

#[test]
fn signal_zero_only_probes() {
    skip_on!(Crun, "crun 1.8 has no signal 0");
    let container = Container::running();
    container.kill("0").ok();
    assert_eq!(container.status(), "running");
}

#[test]
fn a_created_container_ends_when_it_is_asked_to() {
    skip_on!(Crun, "the first process of a pid namespace hears no signal that it does not handle");
    for signal in ["TERM", "INT", "HUP"] {
        let container = Container::sleeper().created();
        container.kill(signal).ok();
        container.wait_stopped();
    }
}

#[test]
fn without_a_cgroup_all_are_the_first_process() {
    skip_on!(Crun | Runc, "an option of ours");
    let container = Container::script("trap 'exit 5' USR1; echo ready; while :; do sleep 0.02; done");
    let container = container.option("--cgroup-manager=disabled").started();
    eventually("it is ready", || container.said().contains("ready"));
    container.verb(&["kill", "--all"]).ok();
    eventually("it ended or goes on", || container.verb(&["kill", "--all"]).code() == 0);
    container.runtime(&["kill", "--all", &container.id, "USR1"]).run().ok();
    container.wait_stopped();
    container.runtime(&["kill", "--all", &container.id, "KILL"]).run().ok();
}
