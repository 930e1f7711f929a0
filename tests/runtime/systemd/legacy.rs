//! The systemd cgroup driver on cgroup v1. The machine of tests/vm boots so with NSKIT_VM_KERNEL, see there.

use std::fs;
use std::path::Path;

use serde_json::json;

use super::{assert_not_loaded, scope, shown, with_unit};
use crate::harness::{Container, Hierarchy, cgroup_dir, hierarchy, program};

macro_rules! systemd_v1 {
    () => {
        if hierarchy() != Hierarchy::V1 || !Path::new("/run/systemd/private").exists() {
            crate::harness::skip!("systemd with cgroup v1 is not what runs this machine");
        }
        crate::harness::skip_on!(Runc | Crun, "the peers keep another state and other words");
    };
}

/// Where the container is in the hierarchies that systemd knows, and in one that it does not.
const CONTROLLERS: [&str; 5] = ["pids", "cpu", "devices", "freezer", "name=systemd"];

#[test]
fn a_container_is_in_its_scope_in_every_hierarchy() {
    systemd_v1!();
    let container = with_unit(Container::sleeper()).set("/linux/resources/pids", json!({"limit": 42})).started();
    let unit = scope(&container);
    let table = fs::read_to_string(format!("/proc/{}/cgroup", container.pid())).expect("read the cgroups");
    for controller in CONTROLLERS {
        let line = table.lines().find(|line| line.split([':', ',']).any(|name| name == controller));
        assert!(line.is_some_and(|line| line.ends_with(&format!("/system.slice/{unit}"))), "{controller}: {table}");
    }
    assert_eq!((shown(&unit, "TasksMax"), shown(&unit, "ActiveState")), ("42".into(), "active".into()));
    assert_eq!(container.cgroup_value("pids", "pids.max", ""), "42");
    container.exec(&["true"]).ok();
    container.verb(&["pause"]).ok();
    assert_eq!(container.status(), "paused");
    container.verb(&["resume"]).ok();
    container.runtime(&["update", "--pids-limit", "43", "--cpu-share", "512", &container.id]).run().ok();
    assert_eq!((shown(&unit, "TasksMax"), shown(&unit, "CPUShares")), ("43".into(), "512".into()));
    assert_eq!(container.cgroup_value("cpu", "cpu.shares", ""), "512");
    let dirs = CONTROLLERS[..4].iter().map(|controller| cgroup_dir(container.pid(), controller)).collect::<Vec<_>>();
    container.verb(&["delete", "--force"]).ok();
    container.assert_gone();
    assert_not_loaded(&unit);
    assert!(dirs.iter().all(|dir| !dir.exists()), "{dirs:?}");
}

#[test]
fn devices_outlive_a_reload_of_systemd() {
    systemd_v1!();
    let container = with_unit(Container::sleeper())
        .set("/linux/resources/devices", json!([{"allow": false, "access": "rwm"}]))
        .started();
    let list = || {
        let file = cgroup_dir(container.pid(), "devices").join("devices.list");
        let mut lines: Vec<String> =
            fs::read_to_string(file).expect("read the devices").lines().map(str::to_owned).collect();
        lines.sort_unstable();
        lines
    };
    let before = list();
    assert!(before.contains(&"c 1:3 rwm".to_owned()) && !before.iter().any(|line| line.starts_with('a')), "{before:?}");
    program("systemctl").arg("daemon-reload").run().ok();
    program("systemctl").args(["set-property", "--runtime", &scope(&container), "TasksMax=50"]).run().ok();
    assert_eq!(list(), before);
}

#[test]
fn an_attached_run_leaves_nothing() {
    systemd_v1!();
    let container = with_unit(Container::script("grep -c system.slice /proc/self/cgroup; exit 7"));
    container.without_namespace("cgroup").run().exits(7);
    let container = with_unit(Container::new()).without_namespace("pid");
    container.run().ok();
    container.assert_gone();
    assert_not_loaded(&scope(&container));
}

#[test]
fn a_scope_that_is_in_use_or_frozen_is_refused() {
    systemd_v1!();
    let container = with_unit(Container::new());
    let dir = Path::new("/sys/fs/cgroup/freezer/system.slice").join(scope(&container));
    fs::create_dir_all(&dir).expect("make a cgroup");
    fs::write(dir.join("freezer.state"), "FROZEN").expect("freeze it");
    container.run().exits(1).in_one_line().complains("container's cgroup unexpectedly frozen");
    fs::write(dir.join("freezer.state"), "THAWED").expect("thaw it");
    container.run().ok();
    container.assert_gone();
}
