//! What goes wrong with units: nothing is left, and nothing of others is touched.

use std::fs;
use std::path::Path;

use nix::sys::signal::Signal;
use serde_json::json;

use super::{assert_not_loaded, scope, shown, systemd, with_unit};
use crate::harness::{
    Container, Hierarchy, Invocation, Output, Running, eventually, hierarchy, program, runtime_words, skip, skip_on,
};

/// A scope of somebody else's, with a process in it.
#[track_caller]
fn scope_of_another(unit: &str) -> Running {
    let other = program("systemd-run").args(["--quiet", "--scope", "--unit", unit, "sleep", "1000"]).start();
    eventually("the other unit is there", || shown(unit, "ActiveState") == "active");
    other
}

/// Ends it.
fn end(other: Running) {
    other.signal(Signal::SIGKILL);
    drop(other.wait());
}

#[test]
fn a_path_that_names_no_unit_is_refused() {
    systemd!();
    for path in ["/docker/x", "a:b", "system.slice:a:b:c", "nonsense:a:b", "a/b.slice:c:d", "system.slice:a/b:c"] {
        let container = Container::new().option("--systemd-cgroup").set("/linux/cgroupsPath", path);
        container.run().exits(1).in_one_line().complains("cgroupsPath");
        container.assert_gone();
    }
}

#[test]
fn a_unit_that_exists_is_left_alone() {
    systemd!();
    let container = with_unit(Container::sleeper());
    let unit = scope(&container);
    // What a runtime leaves that is killed just before it starts the unit.
    traced_create(&container, &["-e", "inject=rename,renameat,renameat2:signal=SIGKILL:when=2"]);
    assert!(container.state_root().join(&container.id).join("state.json").exists());
    let other = scope_of_another(&unit);
    container.verb(&["delete", "--force"]).ok();
    assert_eq!(shown(&unit, "ActiveState"), "active");
    container.run().exits(1).in_one_line().complains("container's cgroup is not empty: 1 process(es)").complains(&unit);
    assert_eq!(shown(&unit, "ActiveState"), "active");
    end(other);
}

#[test]
fn a_frozen_place_is_refused_at_once() {
    systemd!();
    let container = with_unit(Container::sleeper());
    let dir = Path::new("/sys/fs/cgroup/system.slice").join(scope(&container));
    fs::create_dir(&dir).expect("make the cgroup of the scope");
    fs::write(dir.join("cgroup.freeze"), "1").expect("freeze it");
    for verb in ["run", "create"] {
        let refused = container.launch(&[verb]).run().exits(1).in_one_line();
        refused.complains("container's cgroup unexpectedly frozen");
    }
    fs::remove_dir(&dir).expect("remove the cgroup of the scope");
    // From above.
    let name = format!("nsk{}.slice", container.id.replace(|c: char| !c.is_ascii_digit(), ""));
    let slice = Path::new("/sys/fs/cgroup").join(&name);
    fs::create_dir(&slice).expect("make the cgroup of a slice");
    fs::write(slice.join("cgroup.freeze"), "1").expect("freeze it");
    let container = container.set("/linux/cgroupsPath", format!("{name}:x:y"));
    container.run().exits(1).in_one_line().complains("unexpectedly frozen").complains(&name);
    fs::remove_dir(&slice).expect("remove the cgroup of the slice");
    container.assert_gone();
}

#[test]
fn a_scope_that_failed_stays_until_it_is_deleted() {
    systemd!();
    let container = with_unit(Container::new().args(&["sleep", "1000"]))
        .set(
            "/annotations",
            json!({"org.systemd.property.RuntimeMaxSec": "1", "org.systemd.property.TimeoutStopSec": "1"}),
        )
        .started();
    container.wait_stopped();
    let unit = scope(&container);
    eventually("the scope has failed", || shown(&unit, "ActiveState") == "failed");
    container.verb(&["delete"]).ok();
    assert_not_loaded(&unit);
}

/// `create` or `run` as what `wrapper` executes.
fn wrapped(container: &Container, wrapper: Invocation, verb: &str) -> Output {
    container.write_config();
    let runtime = wrapper.args(runtime_words()).arg("--root").arg(container.state_root());
    runtime.args(["--systemd-cgroup", verb, "--bundle"]).arg(container.bundle()).arg(&container.id).run()
}

/// `create` under strace.
fn traced_create(container: &Container, options: &[&str]) -> Output {
    let strace = program("strace").args(["-qq", "-o"]).arg(container.dir.join("trace")).args(options);
    wrapped(container, strace, "create")
}

#[test]
fn a_failed_creation_leaves_no_unit() {
    systemd!();
    let hook = json!([{"path": "/bin/false"}]);
    let container = with_unit(Container::new()).set("/hooks/createRuntime", hook);
    container.run().exits(1);
    container.assert_gone();
    assert_not_loaded(&scope(&container));
    let container = with_unit(Container::new()).set("/linux/resources/unified", json!({"pids.nonsense": "1"}));
    container.run().exits(1).in_one_line().complains("pids.nonsense");
    container.assert_gone();
    assert_not_loaded(&scope(&container));
    let container = with_unit(Container::new().args(&["/no/such/program"]));
    container.run().exits(1);
    container.assert_gone();
    assert_not_loaded(&scope(&container));
}

#[test]
fn a_bus_that_is_not_there_is_named() {
    systemd!();
    let container = with_unit(Container::new());
    let run = container.launch(&["run"]).env("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/no/such/socket").run();
    run.exits(1).in_one_line().complains("connect to /no/such/socket: no such file or directory: is systemd running?");
    container.assert_gone();
    let run = container.launch(&["run"]).env("DBUS_SYSTEM_BUS_ADDRESS", "tcp:host=localhost").run();
    run.exits(1).in_one_line().complains("DBUS_SYSTEM_BUS_ADDRESS");
    container.assert_gone();
}

#[test]
fn from_a_pid_namespace_of_its_own_no_process_is_named_to_systemd() {
    systemd!();
    let container = with_unit(Container::new());
    let run = wrapped(&container, program("unshare").args(["--pid", "--fork", "--mount-proc"]), "run");
    run.exits(1).in_one_line().complains("outside of this pid namespace");
    container.assert_gone();
    assert_not_loaded(&scope(&container));
}

#[test]
fn a_unit_whose_name_looks_like_a_file_has_a_cgroup_of_another() {
    systemd!();
    let container = Container::sleeper();
    let path = format!("system.slice:_nskit-test:{}", container.id);
    let container = container.option("--systemd-cgroup").set("/linux/cgroupsPath", path).started();
    container.verb(&["delete", "--force"]).ok();
    container.assert_gone();
}

#[test]
fn a_bad_annotation_is_named() {
    systemd!();
    for (name, value) in [
        ("TimeoutStopSec", "'soon'"),
        ("TimeoutStopSec", "plain"),
        // Fit to be sent, but not of the type that systemd wants, or unknown to it.
        ("TimeoutStopUSec", "'soon'"),
        ("NoSuchProperty", "true"),
        ("X", "true"),
    ] {
        let key = format!("org.systemd.property.{name}");
        let container = with_unit(Container::new()).set("/annotations", json!({ &key: value }));
        container.run().exits(1).in_one_line().complains(name);
        container.assert_gone();
        assert_not_loaded(&scope(&container));
    }
}

#[test]
fn sigkill_of_create_at_any_system_call_leaves_what_delete_can_remove() {
    systemd!();
    if program("strace").args(["-qq", "-o", "/dev/null", "true"]).run().code() != 0 {
        skip!("strace does not work here");
    }
    let container = with_unit(Container::sleeper());
    traced_create(&container, &[]).ok();
    let trace = fs::read_to_string(container.dir.join("trace")).expect("read the trace");
    let (first, all) = (trace.lines().position(|line| line.contains("AUTH")), trace.lines().count());
    container.verb(&["delete", "--force"]).ok();
    let unit = scope(&container);
    for step in (first.expect("it authenticates")..=all).step_by(3) {
        let inject = format!("inject=all:signal=SIGKILL:when={step}");
        traced_create(&container, &["-e", &inject]);
        let deleted = container.verb(&["delete", "--force"]);
        assert!(deleted.code() == 0, "killed at call {step}: {}", deleted.stderr());
        container.assert_gone();
        assert_not_loaded(&unit);
    }
}

#[test]
fn a_container_whose_state_is_damaged_is_deleted_by_its_configuration() {
    systemd!();
    let container = with_unit(Container::sleeper()).started();
    fs::write(container.state_root().join(&container.id).join("state.json"), "{").expect("damage the state");
    container.verb(&["delete", "--force"]).ok();
    container.assert_gone();
    assert_not_loaded(&scope(&container));
}

#[test]
fn another_unit_of_its_name_is_not_stopped_with_it() {
    systemd!();
    let container = with_unit(Container::new().args(&["true"])).started();
    container.wait_stopped();
    let unit = scope(&container);
    assert_not_loaded(&unit);
    let other = scope_of_another(&unit);
    container.verb(&["delete", "--force"]).ok();
    assert_eq!(shown(&unit, "ActiveState"), "active");
    end(other);
}

#[test]
fn a_machine_without_systemd_is_told_of_in_one_line() {
    skip_on!(Runc | Crun, "the peers have a driver for it");
    if hierarchy() == Hierarchy::V2 {
        skip!("cgroup v2 is what this machine has");
    }
    if std::path::Path::new("/run/systemd/private").exists() {
        skip!("systemd runs this machine");
    }
    for option in ["--systemd-cgroup", "--cgroup-manager=systemd"] {
        let container = Container::new().option(option);
        container.run().exits(1).in_one_line().complains("no way to the systemd of this machine");
        container.assert_gone();
    }
}
