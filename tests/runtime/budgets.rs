//! How many system calls the hot paths may make: the budgets of docs/architecture.md, counted by strace.

use std::fs;

use crate::harness::{Container, Invocation, TempDir, busybox, nskit, program, skip, skip_on};

/// All system calls of a program and of the processes that it starts; nothing when strace does not work here.
fn count(dir: &TempDir, traced: impl FnOnce(Invocation) -> Invocation) -> Option<u32> {
    let trace = dir.join("counts");
    let output = traced(program("strace").args(["-f", "-qq", "-c", "-o"]).arg(&trace)).run();
    if output.stderr().contains("ptrace") || output.stderr().contains("PTRACE") {
        return None;
    }
    output.ok();
    let table = fs::read_to_string(&trace).expect("read the counts");
    let total = table.lines().rfind(|line| line.ends_with(" total")).unwrap_or_else(|| panic!("no total: {table}"));
    Some(total.split_whitespace().nth(3).and_then(|calls| calls.parse().ok()).expect("a number"))
}

fn strace_is_installed() -> bool {
    std::process::Command::new("strace").arg("-V").output().is_ok()
}

/// Asserts that `calls` were counted and are within the budget, or leaves the test.
macro_rules! within {
    ($budget:literal, $what:literal, $calls:expr) => {{
        if !strace_is_installed() {
            skip!("strace does not work here");
        }
        let Some(calls) = $calls else { skip!("strace does not work here") };
        eprintln!("{} makes {calls} system calls, at most {} are in its budget", $what, $budget);
        assert!(calls <= $budget, "{} makes {calls} system calls, more than {}", $what, $budget);
    }};
}

#[test]
fn run_makes_at_most_330() {
    skip_on!(Runc | Crun, "a budget of ours");
    let container = Container::new().args(&["/bin/true"]);
    container.write_config();
    let words = crate::harness::runtime_words();
    let run = |strace: Invocation| {
        strace
            .args(&words)
            .arg("--root")
            .arg(container.state_root())
            .args(["run", "--bundle"])
            .arg(container.bundle())
            .arg(&container.id)
    };
    within!(330, "run", count(&container.dir, run));
}

#[test]
fn exec_makes_at_most_160() {
    skip_on!(Runc | Crun, "a budget of ours");
    let container = Container::running();
    let words = crate::harness::runtime_words();
    let exec = |strace: Invocation| {
        strace.args(&words).arg("--root").arg(container.state_root()).args(["exec", &container.id, "/bin/true"])
    };
    within!(160, "exec", count(&container.dir, exec));
}

#[test]
fn unshare_makes_at_most_15_of_its_own() {
    skip_on!(Runc | Crun, "a budget of ours");
    let dir = TempDir::new();
    let alone = count(&dir, |strace| strace.arg(busybox()).arg("true"));
    let with = count(&dir, |strace| strace.arg(nskit()).args(["unshare", "-U"]).arg(busybox()).arg("true"));
    within!(15, "unshare -U", with.zip(alone).map(|(with, alone)| with - alone));
}

#[test]
fn nsenter_makes_at_most_25_of_its_own() {
    skip_on!(Runc | Crun, "a budget of ours");
    let container = Container::running();
    let pid = container.pid().to_string();
    let alone = count(&container.dir, |strace| strace.arg(busybox()).arg("true"));
    let with = count(&container.dir, |strace| strace.arg(nskit()).args(["nsenter", "-t", &pid, "-a", "/bin/true"]));
    within!(25, "nsenter -a", with.zip(alone).map(|(with, alone)| with - alone));
}
