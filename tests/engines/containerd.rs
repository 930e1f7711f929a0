//! Debian's containerd with our binary as its runtime, and as its shim.

use serde_json::json;

use crate::harness::{
    Containerd, Peer, Pty, Way, cgroup_dir, eventually, has_systemd, hierarchy, needs_criu, nskit, peer, program, skip,
    unique_name,
};

/// An engine, or the end of the test when containerd is not installed.
macro_rules! engine {
    ($way:ident) => {{
        if !Containerd::is_installed() {
            skip!("containerd is not installed");
        }
        if $way == Way::Shim && peer() != Peer::Ours {
            skip!("the shim is nskit's own");
        }
        Containerd::start($way)
    }};
}

/// Each of these twice: under containerd's own shim, which calls our binary, and under ours.
macro_rules! both_ways {
    ($($name:ident)*) => {
        mod under_runc_s_shim {
            $(#[test] fn $name() { super::$name(super::Way::Runtime) })*
        }
        mod under_our_shim {
            $(#[test] fn $name() { super::$name(super::Way::Shim) })*
        }
    };
}

both_ways! {
    a_container_runs_and_its_status_comes_back
    standard_input_is_passed
    a_container_runs_on_a_terminal
    programs_are_started_in_a_running_container
    an_exec_has_a_terminal_when_asked
    signals_reach_the_container
    a_container_is_paused_and_resumed
    limits_are_updated_as_the_shim_does
    the_engine_reads_metrics_and_processes
    a_container_that_cannot_start_says_why
    a_mount_that_cannot_be_made_is_named
    twenty_containers_start_at_once
    limits_a_profile_and_privileges_are_taken_from_the_command_line
    nsenter_finds_containers_by_id_and_unique_beginning
    systemd_makes_the_cgroup_when_it_is_asked_to
    a_container_comes_back_from_a_checkpoint
}

fn a_container_runs_and_its_status_comes_back(way: Way) {
    let engine = engine!(way);
    engine
        .run(&["--rm"], "status", &["sh", "-c", "echo hello; echo oops >&2; exit 7"])
        .run()
        .exits(7)
        .mentions("hello");
    engine.assert_nothing_left("status");
    engine.run(&["--rm"], "zero", &["true"]).run().ok();
    engine.assert_nothing_left("zero");
}

fn standard_input_is_passed(way: Way) {
    let engine = engine!(way);
    engine
        .run(&["--rm"], "input", &["sh", "-c", "read line; echo $line"])
        .input("through\n")
        .run()
        .ok()
        .says("through");
}

fn a_container_runs_on_a_terminal(way: Way) {
    let engine = engine!(way);
    let (mut terminal, slave) = Pty::new();
    let words = ["sh", "-c", "tty; stty size; read line; echo got $line; exit 3"];
    let run = engine.run_on_terminal(&["--rm", "--tty"], "terminal", &words).start_on(&slave);
    drop(slave);
    terminal.expect("/dev/pts/0");
    terminal.write("typed\n");
    terminal.expect("got typed");
    run.wait().exits(3);
    engine.assert_nothing_left("terminal");
}

fn programs_are_started_in_a_running_container(way: Way) {
    let engine = engine!(way);
    engine.running("execs");
    let exec = |id: &str, words: &[&str]| engine.ctr(&["task", "exec", "--exec-id", id, "execs"]).args(words).run();
    exec("one", &["sh", "-c", "echo inside; exit 9"]).exits(9).says("inside");
    exec("two", &["ps"]).ok().mentions("sleep");
    let missing = exec("three", &["no-such-program"]);
    assert_ne!(missing.code(), 0);
    missing.complains("no-such-program").complains("executable file not found in $PATH");
    engine.remove("execs");
    engine.assert_nothing_left("execs");
}

fn an_exec_has_a_terminal_when_asked(way: Way) {
    let engine = engine!(way);
    engine.running("exec-tty");
    let (mut terminal, slave) = Pty::new();
    let setsid = crate::harness::program("setsid").args(["--ctty", "--wait", "ctr"]);
    let words = ["task", "exec", "--tty", "--exec-id", "tty", "exec-tty", "sh", "-c", "tty; read line; echo got $line"];
    let exec = engine.ctr_on(setsid, &words).start_on(&slave);
    drop(slave);
    terminal.expect("/dev/pts/0");
    terminal.write("typed\n");
    terminal.expect("got typed");
    exec.wait().ok();
    engine.remove("exec-tty");
}

fn signals_reach_the_container(way: Way) {
    let engine = engine!(way);
    engine.running("killed");
    engine.ctr(&["task", "kill", "--signal", "SIGTERM", "killed"]).run().ok();
    crate::harness::eventually("it stops", || engine.status("killed") == "STOPPED");
    engine.remove("killed");
    engine.assert_nothing_left("killed");
    engine.running("all");
    engine.ctr(&["task", "kill", "--all", "--signal", "SIGKILL", "all"]).run().ok();
    crate::harness::eventually("it stops", || engine.status("all") == "STOPPED");
    engine.remove("all");
    engine.assert_nothing_left("all");
}

fn a_container_is_paused_and_resumed(way: Way) {
    let engine = engine!(way);
    engine.running("paused");
    engine.ctr(&["task", "pause", "paused"]).run().ok();
    assert_eq!(engine.status("paused"), "PAUSED");
    engine.ctr(&["task", "resume", "paused"]).run().ok();
    assert_eq!(engine.status("paused"), "RUNNING");
    engine.remove("paused");
    engine.assert_nothing_left("paused");
}

fn limits_are_updated_as_the_shim_does(way: Way) {
    // ctr has no verb for it: this is the call that the shim makes of its Update request.
    let engine = engine!(way);
    engine.running("updated");
    let resources = json!({"pids": {"limit": 55}, "memory": {"limit": 83_886_080}});
    engine.runtime(&["update", "--resources", "-", "updated"]).input(resources.to_string()).run().ok();
    let state = engine.runtime(&["state", "updated"]).run().ok().stdout();
    let state: serde_json::Value = serde_json::from_str(&state).expect("JSON");
    let pid = state["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok()).expect("a pid");
    let limit = std::fs::read_to_string(cgroup_dir(pid, "pids").join("pids.max")).expect("read the limit");
    assert_eq!(limit.trim(), "55");
    engine.remove("updated");
    engine.assert_nothing_left("updated");
}

fn the_engine_reads_metrics_and_processes(way: Way) {
    let engine = engine!(way);
    engine.running("measured");
    let metrics = engine.ctr(&["task", "metrics", "measured"]).run().ok().stdout();
    let name = if hierarchy() == crate::harness::Hierarchy::V2 { "memory.usage" } else { "memory.usage_in_bytes" };
    let usage = metrics.lines().find(|line| line.starts_with(name)).and_then(|line| line.split_whitespace().last());
    assert!(usage.and_then(|bytes| bytes.parse::<u64>().ok()).is_some_and(|bytes| bytes > 0), "{metrics}");
    let processes = engine.ctr(&["task", "ps", "measured"]).run().ok().stdout();
    assert!(processes.lines().count() >= 2, "{processes}");
    engine.remove("measured");
}

fn a_container_that_cannot_start_says_why(way: Way) {
    let engine = engine!(way);
    let output = engine.run(&["--rm"], "missing", &["no-such-program"]).run();
    assert_ne!(output.code(), 0);
    output.complains("no-such-program").complains("executable file not found in $PATH");
    let output = engine.run(&["--rm"], "missing-path", &["/no/such/program"]).run();
    assert_ne!(output.code(), 0);
    output.complains("/no/such/program").complains("no such file or directory");
    engine.assert_nothing_left("missing");
}

fn a_mount_that_cannot_be_made_is_named(way: Way) {
    let engine = engine!(way);
    let mount = "type=bind,src=/no/such/source,dst=/data,options=rbind:ro";
    let output = engine.run(&["--rm", "--mount", mount], "mount", &["true"]).run();
    assert_ne!(output.code(), 0);
    output.complains("/no/such/source");
    engine.assert_nothing_left("mount");
}

fn twenty_containers_start_at_once(way: Way) {
    let engine = engine!(way);
    let ids: Vec<_> = (0..20).map(|n| format!("many-{n}")).collect();
    let all: Vec<_> = ids
        .iter()
        .enumerate()
        .map(|(n, id)| engine.run(&["--rm"], id, &["sh", "-c", &format!("echo {n}; exit {n}")]).at_most(120.0).start())
        .collect();
    for (n, running) in all.into_iter().enumerate() {
        running.wait().exits(i32::try_from(n).expect("a small number")).says(&n.to_string());
    }
    engine.assert_nothing_left("many");
}

fn limits_a_profile_and_privileges_are_taken_from_the_command_line(way: Way) {
    let engine = engine!(way);
    let limited = engine.run(
        &["--rm", "--memory-limit", "67108864", "--seccomp"],
        "limited",
        &["grep", "Seccomp:", "/proc/self/status"],
    );
    limited.run().ok().says("Seccomp:\t2");
    let privileged =
        engine.run(&["--rm", "--privileged"], "privileged", &["sh", "-c", "mount -t tmpfs none /tmp && echo mounted"]);
    privileged.run().ok().says("mounted");
    let host = std::fs::read_link("/proc/self/ns/net").expect("read a namespace");
    let shared = engine.run(&["--rm", "--net-host"], "shared", &["readlink", "/proc/self/ns/net"]).run();
    shared.ok().says(host.to_str().expect("ASCII"));
    let read_only = engine.run(&["--rm", "--read-only"], "read-only", &["touch", "/x"]).run();
    assert_ne!(read_only.code(), 0);
    if peer() == Peer::Ours {
        engine.assert_nothing_left("limited");
    }
}

fn nsenter_finds_containers_by_id_and_unique_beginning(way: Way) {
    let engine = engine!(way);
    // Other engines of the machine may have containers from the same test.
    let common = format!("entered{}-", std::process::id());
    let ids = ["one", "two"].map(|name| format!("{common}{name}"));
    ids.iter().for_each(|id| engine.running(id));
    let nsenter = |words: &[&str]| program(nskit()).arg("nsenter").args(words).run();
    let inside = ["sh", "-c", "readlink /proc/self/ns/mnt"];
    let of_one = nsenter(&[&[ids[0].as_str()], inside.as_slice()].concat()).ok().stdout();
    let of_beginning = nsenter(&[&[&ids[0][..common.len() + 1]], inside.as_slice()].concat()).ok().stdout();
    let of_two = nsenter(&[&["-a", "-t", ids[1].as_str()], inside.as_slice()].concat()).ok().stdout();
    assert_eq!(of_one, of_beginning);
    assert_ne!(of_one, of_two);
    let kept = nsenter(&["-t", &ids[1], "-p", "sh", "-c", "readlink /proc/self/ns/mnt"]).ok().stdout();
    assert!(kept != of_two, "only the pid namespace was to be entered");
    nsenter(&[&common, "true"]).exits(1).complains("could be any of: ").complains(&ids[1]);
    ids.iter().for_each(|id| engine.remove(id));
    nsenter(&[&ids[0], "true"]).exits(1).complains("no namespace specified");
}

fn systemd_makes_the_cgroup_when_it_is_asked_to(way: Way) {
    if way == Way::Shim {
        skip!("ctr hands --runc-systemd-cgroup to runc's shim alone");
    }
    if !has_systemd() {
        skip!("systemd with cgroup v2 is not what runs this machine");
    }
    let engine = engine!(way);
    let path = format!("system.slice:{}:scoped", engine.namespace);
    let options = ["--detach", "--runc-systemd-cgroup", "--cgroup", &path, "--memory-limit", "67108864"];
    engine.run(&options, "scoped", &["sleep", "1000"]).run().ok();
    let unit = format!("{}-scoped.scope", engine.namespace);
    let shown =
        |property: &str| program("systemctl").args(["show", "--value", "-p", property, &unit]).run().ok().stdout();
    assert_eq!((shown("ActiveState").trim(), shown("MemoryMax").trim()), ("active", "67108864"));
    let metrics = engine.ctr(&["task", "metrics", "scoped"]).run().ok().stdout();
    assert!(metrics.contains("memory.usage"), "{metrics}");
    engine.ctr(&["task", "exec", "--exec-id", "one", "scoped", "cat", "/proc/self/cgroup"]).run().ok().mentions(&unit);
    engine.remove("scoped");
    engine.assert_nothing_left("scoped");
    crate::harness::eventually("the unit is gone", || shown("LoadState").trim() == "not-found");
}

fn a_container_comes_back_from_a_checkpoint(way: Way) {
    needs_criu!();
    if matches!(way, Way::Shim) {
        skip!(
            "our shim hands containerd's FIFOs to the container, and criu does not save what is outside of its mounts"
        );
    }
    let engine = engine!(way);
    let id = unique_name();
    let script = "i=0; while :; do i=$((i + 1)); echo $i >/new; mv /new /count; sleep 0.02; done";
    engine.run(&["--detach"], &id, &["sh", "-c", script]).run().ok();
    let count = || {
        let exec = unique_name();
        let output = engine.ctr(&["task", "exec", "--exec-id", &exec, &id, "cat", "/count"]).run();
        output.stdout().trim().parse::<u64>().ok()
    };
    eventually("it counts", || count().is_some());
    let image = format!("{id}:saved");
    engine.ctr(&["container", "checkpoint", "--task", "--rw", "--image", &id, &image]).run().ok();
    let before = count().expect("a count");
    engine.remove(&id);
    engine.ctr(&["container", "restore", "--rw", "--live", &id, &image]).run().ok();
    assert_eq!(engine.status(&id), "RUNNING");
    eventually("it goes on counting", || count() > Some(before));
    engine.remove(&id);
    engine.assert_nothing_left(&id);
}
