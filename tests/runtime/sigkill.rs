//! SIGKILL at any step of create: what is left can be removed by `delete --force`.

use std::fs;

use crate::harness::{Container, Peer, left_behind, patience, peer, program, skip, skip_on};

/// strace with options, tracing `create` or `run` of the container.
fn traced(container: &Container, options: &[&str], verb: &str) -> crate::harness::Output {
    container.write_config();
    let trace = container.dir.join("trace");
    program("strace")
        .args(["-qq", "-o"])
        .arg(&trace)
        .args(options)
        .args(crate::harness::runtime_words())
        .arg("--root")
        .arg(container.state_root())
        .args([verb, "--bundle"])
        .arg(container.bundle())
        .arg(&container.id)
        .run()
}

fn strace_works() -> bool {
    std::process::Command::new("strace")
        .args(["-qq", "-o", "/dev/null", "true"])
        .status()
        .is_ok_and(|status| status.success())
}

/// How many system calls the runtime's process makes in a create.
fn steps() -> usize {
    let container = Container::sleeper();
    traced(&container, &[], "create").ok();
    let trace = fs::read_to_string(container.dir.join("trace")).expect("read the trace");
    trace.lines().count()
}

#[track_caller]
fn removable_after(container: &Container, step: usize) {
    let output = container.verb(&["delete", "--force"]);
    assert!(output.code() == 0, "killed at call {step}: delete --force: {}", output.stderr());
    let give_up = std::time::Instant::now() + patience(3.0);
    loop {
        let found = left_behind(&container.id);
        if found.is_empty() {
            break;
        }
        assert!(std::time::Instant::now() < give_up, "killed at call {step}, left behind:\n{}", found.join("\n"));
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    assert!(!container.state_root().join(&container.id).exists(), "killed at call {step}: the state is left");
}

#[test]
fn of_the_runtime_at_any_system_call_leaves_what_delete_can_remove() {
    skip_on!(Runc | Crun, "the peers leave things behind");
    if !strace_works() {
        skip!("strace does not work here");
    }
    let steps = steps();
    assert!(steps > 20, "{steps} system calls in a create?");
    let container = Container::sleeper();
    for step in 1..=steps {
        let inject = format!("inject=all:signal=SIGKILL:when={step}");
        traced(&container, &["-e", &inject], "create");
        removable_after(&container, step);
    }
}

#[test]
fn of_the_child_at_any_system_call_is_reported_and_leaves_nothing() {
    skip_on!(Runc | Crun, "the peers leave things behind");
    if !strace_works() {
        skip!("strace does not work here");
    }
    // With -f every process is killed at its own call of that number: the runtime too, where it comes so far. In run,
    // since strace waits for all processes, and those of a created container stay.
    let container = Container::new();
    for step in (1..=240).step_by(3) {
        let inject = format!("inject=all:signal=SIGKILL:when={step}");
        traced(&container, &["-f", "-e", &inject], "run");
        removable_after(&container, step);
    }
}

#[test]
fn after_some_milliseconds_leaves_what_delete_can_remove() {
    skip_on!(Crun, "crun leaves things behind");
    for delay in (0..40).step_by(if peer() == Peer::Ours { 1 } else { 8 }) {
        let container = Container::sleeper();
        let create = container.launch(&["create"]).start();
        std::thread::sleep(std::time::Duration::from_micros(delay * 500));
        create.signal(nix::sys::signal::Signal::SIGKILL);
        drop(create.wait());
        if peer() == Peer::Ours {
            removable_after(&container, usize::try_from(delay).expect("a small number"));
        }
    }
}

#[test]
fn of_an_attached_run_leaves_a_container_that_can_be_removed() {
    let container = Container::sleeper();
    let run = container.launch(&["run"]).start();
    crate::harness::eventually("the container runs", || container.verb(&["state"]).stdout().contains("\"running\""));
    run.signal(nix::sys::signal::Signal::SIGKILL);
    run.wait().exits(137);
    container.verb(&["delete", "--force"]).ok();
    container.assert_gone();
}

#[test]
fn of_an_exec_leaves_the_container_running() {
    let container = Container::running();
    for delay in 0..10 {
        let exec = container.runtime(&["exec", &container.id, "sleep", "0.1"]).start();
        std::thread::sleep(std::time::Duration::from_millis(delay));
        exec.signal(nix::sys::signal::Signal::SIGKILL);
        drop(exec.wait());
    }
    assert_eq!(container.status(), "running");
    container.exec(&["echo", "still"]).ok().says("still");
}

#[test]
fn a_create_and_a_delete_at_once_leave_a_container_that_is_known_or_none() {
    skip_on!(Runc | Crun, "they make other calls");
    if !strace_works() {
        skip!("strace does not work here");
    }
    let container = Container::sleeper();
    container.write_config();
    let strace = |call: &str, verb: &[&str]| {
        let delay = format!("inject={call}:delay_enter=300000:when=1");
        let trace = format!("trace={call}");
        let strace = program("strace").args(["-qq", "-o", "/dev/null", "-e", &trace, "-e", &delay]);
        strace.args(crate::harness::runtime_words()).arg("--root").arg(container.state_root()).args(verb)
    };
    let bundle = container.bundle();
    let folder = container.state_root().join(&container.id);
    // The state is on its way to its place, while delete has found none.
    let create = strace("rename", &["create", "--bundle", bundle.to_str().expect("UTF-8"), &container.id]).start();
    crate::harness::eventually("the folder is there", || folder.exists());
    strace("unlink", &["delete", "--force", &container.id]).run().ok();
    let created = create.wait();
    if folder.exists() {
        assert_eq!(created.code(), 0, "{}", created.stderr());
        container.verb(&["delete", "--force"]).ok();
    }
    container.assert_gone();
}
