//! How many system calls the hot paths may make: the budgets of docs/architecture.md, counted by strace.
//!
//! A count is not the same each time: for a program that has ended before the runtime looks, three calls more tell that
//! from a failure to start it. The budgets hold for the dearest case.

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
    let calls_of = |name: &str| {
        let row = table.lines().rfind(|line| line.split_whitespace().last() == Some(name))?;
        row.split_whitespace().nth(3)?.parse::<u32>().ok()
    };
    let total = calls_of("total").unwrap_or_else(|| panic!("no total: {table}"));
    // A debug build looks at every descriptor before it closes it; what is released does not.
    let of_debug_builds = if cfg!(debug_assertions) { calls_of("fcntl").unwrap_or(0) } else { 0 };
    Some(total - of_debug_builds)
}

/// The cgroup v1 hierarchies of this machine, and the unified one beside them; none on pure v2.
fn hierarchies() -> u32 {
    let own = fs::read_to_string("/proc/self/cgroup").expect("read the cgroups of this process");
    if own.lines().all(|line| line.starts_with("0::")) { 0 } else { own.lines().count() as u32 }
}

fn strace_is_installed() -> bool {
    std::process::Command::new("strace").arg("-V").output().is_ok()
}

/// Asserts that `calls` were counted and are within the budget, or leaves the test.
macro_rules! within {
    ($budget:expr, $what:literal, $calls:expr) => {{
        let budget: u32 = $budget;
        if !strace_is_installed() {
            skip!("strace does not work here");
        }
        let Some(calls) = $calls else { skip!("strace does not work here") };
        eprintln!("{} makes {calls} system calls, at most {budget} are in its budget", $what);
        assert!(calls <= budget, "{} makes {calls} system calls, more than {budget}", $what);
    }};
}

#[test]
fn run_makes_at_most_330_and_on_v1_what_its_hierarchies_need() {
    skip_on!(Runc | Crun, "a budget of ours");
    let mut container = Container::new().args(&["/bin/true"]);
    if hierarchies() > 0 {
        // As `spec` has it: on v1 the hierarchies are bound.
        container = container.without_namespace("cgroup");
    }
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
    // On v1 each hierarchy must be found, made, joined, shown and removed, whatever the runtime.
    within!(330 + 9 * hierarchies(), "run", count(&container.dir, run));
}

#[test]
fn exec_makes_at_most_160_and_on_v1_what_its_hierarchies_need() {
    skip_on!(Runc | Crun, "a budget of ours");
    let container = Container::running();
    let words = crate::harness::runtime_words();
    let exec = |strace: Invocation| {
        strace.args(&words).arg("--root").arg(container.state_root()).args(["exec", &container.id, "/bin/true"])
    };
    // On v1 each hierarchy must be joined.
    within!(160 + 3 * hierarchies(), "exec", count(&container.dir, exec));
}

#[test]
fn unshare_makes_at_most_15_of_its_own() {
    skip_on!(Runc | Crun, "a budget of ours");
    let dir = TempDir::new();
    // busybox does not do: it does more for others than root, and nobody is mapped.
    let alone = count(&dir, |strace| strace.arg("/bin/true"));
    let with = count(&dir, |strace| strace.arg(nskit()).args(["unshare", "-U", "/bin/true"]));
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
