//! A signal that asks the runtime to end while it makes a container: it ends, and nothing is left.

use std::fs;

use nix::sys::signal::Signal;
use serde_json::json;

use crate::harness::{Container, eventually, program, skip_on};

/// A container with a hook at `point` that says it is there and then never ends, in two processes.
fn hanging(point: &str) -> Container {
    let container = Container::sleeper();
    let script = "touch /events/there events/there 2>/dev/null; sleep 1000; true";
    let dir = container.dir.path().to_str().expect("UTF-8").to_owned();
    let script = script.replace(" events/", &format!(" {dir}/"));
    // The id in its environment lets the check for what is left find it.
    let name = format!("OF={}", container.id);
    let hook = json!([{"path": "/bin/sh", "args": ["sh", "-c", script], "env": [name, "PATH=/bin:/usr/bin"]}]);
    container.set(&format!("/hooks/{point}"), hook).mount("/events", "bind", &dir, &["rbind"])
}

#[track_caller]
fn ends(verb: &[&str], point: &str, signal: Signal) {
    let container = hanging(point);
    let there = container.dir.join("there");
    let runtime = container.launch(verb).at_most(5.0).start();
    eventually("the hook runs", || there.exists());
    runtime.signal(signal);
    let output = runtime.wait().exits(1).in_one_line().complains(&format!("stopped by {signal}"));
    if !["createContainer", "startContainer"].contains(&point) {
        output.complains(&format!("{point} hook #0"));
    }
    container.assert_gone();
    let left = program("pgrep").args(["-f", &container.dir.path().to_string_lossy()]).run().stdout();
    assert!(left.is_empty(), "processes of the hook are left: {left}");
}

#[test]
fn ends_run_and_the_hook_that_it_waits_for() {
    skip_on!(Runc | Crun, "the peers leave the container behind");
    for point in ["prestart", "createRuntime", "createContainer", "startContainer", "poststart"] {
        ends(&["run"], point, Signal::SIGTERM);
    }
    ends(&["run"], "createRuntime", Signal::SIGINT);
    ends(&["run"], "createRuntime", Signal::SIGHUP);
    ends(&["run", "--detach"], "poststart", Signal::SIGTERM);
}

#[test]
fn ends_create_and_the_hook_that_it_waits_for() {
    skip_on!(Runc | Crun, "the peers leave the container behind");
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        ends(&["create"], "createRuntime", signal);
    }
    ends(&["create"], "createContainer", Signal::SIGTERM);
}

#[test]
fn takes_the_hook_along_that_a_killed_runtime_waited_for() {
    skip_on!(Runc | Crun, "the peers leave the hook behind");
    for point in ["createRuntime", "createContainer"] {
        let container = Container::sleeper();
        let pid_file = container.dir.join("pid");
        // The pid that the host has for it: the first of these in a nested namespace.
        let script = format!("read -r pid rest < /proc/self/stat; echo $pid > {}; exec sleep 1000", pid_file.display());
        let dir = container.dir.path().to_str().expect("UTF-8").to_owned();
        let hook = json!([{"path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/bin:/usr/bin"]}]);
        let container = container.set(&format!("/hooks/{point}"), hook).mount("/events", "bind", &dir, &["rbind"]);
        let runtime = container.launch(&["create"]).start();
        eventually("the hook runs", || fs::read_to_string(&pid_file).is_ok_and(|text| text.ends_with('\n')));
        runtime.signal(Signal::SIGKILL);
        runtime.wait();
        let pid = fs::read_to_string(&pid_file).expect("a pid");
        let executable = format!("/proc/{}/exe", pid.trim());
        eventually("the hook has gone", || fs::read_link(&executable).is_err());
        container.verb(&["delete", "--force"]).ok();
        container.assert_gone();
    }
}

#[test]
fn is_passed_over_when_the_caller_has_it_ignored() {
    skip_on!(Runc | Crun, "the peers do not stop either way");
    let (container, there, go) = Container::new().waiting_hook("createRuntime");
    container.write_config();
    let words = crate::harness::runtime_words();
    let run = program("nohup").args(&words).arg("--root").arg(container.state_root());
    let run = run.args(["run", "--bundle"]).arg(container.bundle()).arg(&container.id).start();
    eventually("the hook runs", || there.exists());
    run.signal(Signal::SIGHUP);
    std::thread::sleep(std::time::Duration::from_millis(50));
    fs::write(go, "").expect("let the hook end");
    run.wait().ok();
}

#[test]
fn that_says_something_else_is_kept_for_the_program() {
    let container = Container::script("trap 'echo heard; exit 0' USR1; while :; do sleep 0.05; done");
    let there = container.dir.join("there");
    // Long enough that the signal comes before the program is there to catch it; the program must not die of it either,
    // so as the first of its pid namespace it is safe from what it does not catch.
    let hook = format!("touch {}; sleep 0.3", there.display());
    let container = container.set("/hooks/createRuntime", json!([{"path": "/bin/sh", "args": ["sh", "-c", hook]}]));
    let run = container.launch(&["run"]).start();
    eventually("the hook runs", || there.exists());
    run.signal(Signal::SIGUSR1);
    std::thread::sleep(std::time::Duration::from_millis(600));
    run.signal(Signal::SIGUSR1);
    run.wait().ok().says("heard");
}
