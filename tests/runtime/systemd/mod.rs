//! The systemd cgroup driver: a container's cgroup is that of a unit.

mod failures;
mod legacy;
mod user;

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::harness::{Container, cgroup_dir, eventually, has_controller, nskit, program, skip};

/// Leaves the test when there is no systemd to ask, or not the hierarchy that it is asked about.
macro_rules! systemd {
    () => {
        if !crate::harness::has_systemd() {
            crate::harness::skip!("systemd with cgroup v2 is not what runs this machine");
        }
        crate::harness::skip_on!(Runc | Crun, "the peers keep another state and other words");
    };
}

use systemd;

/// A container whose unit is asked of systemd: `nskit-test-ID.scope` in system.slice.
fn with_unit(container: Container) -> Container {
    let path = format!("system.slice:nskit-test:{}", container.id);
    container.option("--systemd-cgroup").set("/linux/cgroupsPath", path.as_str())
}

fn scope(container: &Container) -> String {
    format!("nskit-test-{}.scope", container.id)
}

/// A property of a unit as systemctl shows it.
#[track_caller]
fn shown(unit: &str, property: &str) -> String {
    program("systemctl").args(["show", "--value", "-p", property, unit]).run().ok().stdout().trim().to_owned()
}

#[track_caller]
fn assert_not_loaded(unit: &str) {
    let list = ["list-units", "--all", "--no-legend", "--plain", unit];
    eventually("systemd forgets the unit", || program("systemctl").args(list).run().ok().stdout().is_empty());
}

#[test]
fn a_container_is_a_scope_of_systemd() {
    systemd!();
    let container = with_unit(Container::sleeper()).started();
    let unit = scope(&container);
    let dir = cgroup_dir(container.pid(), "pids");
    assert_eq!(dir, PathBuf::from("/sys/fs/cgroup/system.slice").join(&unit));
    for (property, expected) in [
        ("ActiveState", "active"),
        ("Slice", "system.slice"),
        ("Delegate", "yes"),
        ("MemoryAccounting", "yes"),
        ("TasksAccounting", "yes"),
        ("DefaultDependencies", "no"),
    ] {
        assert_eq!(shown(&unit, property), expected, "{property}");
    }
    assert!(shown(&unit, "Description").contains(&container.id));
    container.exec(&["cat", "/proc/self/cgroup"]).ok().says("0::/");
    assert_eq!(container.status(), "running");
    container.kill("TERM").ok();
    container.wait_stopped();
    container.verb(&["delete"]).ok();
    container.assert_gone();
    assert_not_loaded(&unit);
}

#[test]
fn an_attached_run_leaves_no_unit() {
    systemd!();
    let container = with_unit(Container::script("cat /proc/self/cgroup; exit 7"));
    container.run().exits(7).says("0::/");
    container.assert_gone();
    assert_not_loaded(&scope(&container));
}

#[test]
fn crun_s_option_is_taken_too() {
    systemd!();
    let container = Container::sleeper().option("--cgroup-manager=systemd").started();
    let unit = format!("runc-{}.scope", container.id);
    assert_eq!(cgroup_dir(container.pid(), "pids"), Path::new("/sys/fs/cgroup/system.slice").join(&unit));
    container.verb(&["delete", "--force"]).ok();
    assert_not_loaded(&unit);
}

#[test]
fn limits_are_properties_of_the_unit_and_hold() {
    systemd!();
    let container = with_unit(Container::sleeper())
        .set("/linux/resources/memory", json!({"limit": 67_108_864, "reservation": 33_554_432}))
        .set("/linux/resources/cpu", json!({"shares": 512, "quota": 33_333, "period": 100_000}))
        .set("/linux/resources/pids", json!({"limit": 42}))
        .set("/linux/resources/unified", json!({"memory.high": "50331648"}))
        .started();
    let unit = scope(&container);
    for (property, expected) in [
        ("MemoryMax", "67108864"),
        ("MemoryLow", "33554432"),
        ("MemoryHigh", "50331648"),
        ("TasksMax", "42"),
        ("CPUWeight", "59"),
        ("CPUQuotaPerSecUSec", "340ms"),
        ("CPUQuotaPeriodUSec", "100ms"),
    ] {
        assert_eq!(shown(&unit, property), expected, "{property}");
    }
    for (file, expected) in [
        ("memory.max", "67108864"),
        ("memory.low", "33554432"),
        ("memory.high", "50331648"),
        ("pids.max", "42"),
        ("cpu.weight", "59"),
        ("cpu.max", "34000 100000"),
    ] {
        assert_eq!(container.cgroup_value("", file, file), expected, "{file}");
    }
}

#[test]
fn processors_are_properties_of_the_unit() {
    systemd!();
    if !has_controller("cpuset") {
        skip!("no cpuset controller");
    }
    let container = with_unit(Container::sleeper()).set("/linux/resources/cpu", json!({"cpus": "0"})).started();
    assert_eq!(shown(&scope(&container), "AllowedCPUs"), "0");
    assert_eq!(container.cgroup_value("cpuset", "cpuset.cpus", "cpuset.cpus"), "0");
}

#[test]
fn devices_and_limits_outlive_a_reload_of_systemd() {
    systemd!();
    let container = with_unit(Container::sleeper())
        .set("/linux/resources/pids", json!({"limit": 42}))
        .set("/linux/resources/devices", json!([{"allow": false, "access": "rwm"}]))
        .started();
    let devices = "head -c 3 /dev/zero | wc -c; mknod /x b 7 0 && cat /x 2>&1 | grep -o 'not permitted'";
    let before = container.exec(&["sh", "-c", devices]).stdout();
    assert!(before.contains('3'), "{before}");
    program("systemctl").arg("daemon-reload").run().ok();
    container.exec(&["rm", "-f", "/x"]).ok();
    assert_eq!(container.exec(&["sh", "-c", devices]).stdout(), before);
    assert_eq!(container.cgroup_value("pids", "pids.max", "pids.max"), "42");
    // No program of systemd's own, which would know nothing of devices that hooks add.
    assert_eq!(shown(&scope(&container), "DevicePolicy"), "auto");
}

#[test]
fn an_update_reaches_the_unit_and_the_cgroup() {
    systemd!();
    let container = with_unit(Container::sleeper()).started();
    let unit = scope(&container);
    let resources =
        json!({"memory": {"limit": 83_886_080}, "pids": {"limit": 55}, "cpu": {"shares": 2048, "quota": 20_000}});
    // What driver it has is on record.
    let update = program(nskit()).args(["runtime", "--root"]).arg(container.state_root());
    update.args(["update", "--resources", "-", &container.id]).input(resources.to_string()).run().ok();
    for (property, expected) in
        [("MemoryMax", "83886080"), ("TasksMax", "55"), ("CPUWeight", "174"), ("CPUQuotaPerSecUSec", "200ms")]
    {
        assert_eq!(shown(&unit, property), expected, "{property}");
    }
    program("systemctl").arg("daemon-reload").run().ok();
    for (file, expected) in
        [("memory.max", "83886080"), ("pids.max", "55"), ("cpu.weight", "174"), ("cpu.max", "20000 100000")]
    {
        assert_eq!(container.cgroup_value("", file, file), expected, "{file}");
    }
    container.runtime(&["update", "--cpu-idle", "1", &container.id]).run().ok();
    assert_eq!((shown(&unit, "CPUWeight"), container.cgroup_value("", "", "cpu.idle")), ("idle".into(), "1".into()));
    container.runtime(&["update", "--cpu-idle", "0", &container.id]).run().ok();
    assert_eq!(container.cgroup_value("", "", "cpu.idle"), "0");
    assert_ne!(shown(&unit, "CPUWeight"), "idle");
}

#[test]
fn a_refused_update_changes_neither() {
    systemd!();
    let container = with_unit(Container::sleeper()).set("/linux/resources/pids", json!({"limit": 42})).started();
    let resources = json!({"pids": {"limit": 50}, "unified": {"memory.max": "lots"}});
    let update = container.runtime(&["update", "--resources", "-", &container.id]).input(resources.to_string()).run();
    update.exits(1).in_one_line().complains("memory.max");
    assert_eq!(shown(&scope(&container), "TasksMax"), "42");
    assert_eq!(container.cgroup_value("pids", "pids.max", "pids.max"), "42");
}

#[test]
fn it_is_paused_listed_and_killed_as_any_other() {
    systemd!();
    let container = with_unit(Container::sleeper()).started();
    container.verb(&["pause"]).ok();
    assert_eq!(container.status(), "paused");
    container.verb(&["resume"]).ok();
    assert_eq!(container.status(), "running");
    let processes: Value = serde_json::from_str(&container.verb(&["ps", "-f", "json"]).ok().stdout()).expect("JSON");
    assert!(processes.as_array().is_some_and(|all| all.contains(&json!(container.pid()))), "{processes}");
    container.verb(&["events", "--stats"]).ok().mentions("\"memory\"");
    container.runtime(&["kill", "--all", &container.id, "KILL"]).run().ok();
    container.wait_stopped();
}

#[test]
fn a_container_without_a_pid_namespace_goes_whole() {
    systemd!();
    let container = with_unit(Container::script("sleep 1000 & sleep 1000")).without_namespace("pid").started();
    container.verb(&["delete", "--force"]).ok();
    container.assert_gone();
    assert_not_loaded(&scope(&container));
    // Its scope goes with its last process, before it is deleted.
    let container = with_unit(Container::new().args(&["true"])).without_namespace("pid").started();
    container.wait_stopped();
    assert_not_loaded(&scope(&container));
    container.verb(&["delete"]).ok();
}

#[test]
fn a_slice_that_does_not_exist_is_made() {
    systemd!();
    let container = Container::sleeper().option("--systemd-cgroup");
    // Dashes nest: what is unique has none.
    let name = format!("nsk{}", container.id.replace(|c: char| !c.is_ascii_digit(), ""));
    let (outer, slice) = (format!("{name}.slice"), format!("{name}-inner.slice"));
    let path = format!("{slice}:x:{}", container.id);
    let container = container.set("/linux/cgroupsPath", path.as_str()).started();
    let expected = format!("/sys/fs/cgroup/{outer}/{slice}/x-{}.scope", container.id);
    assert_eq!(cgroup_dir(container.pid(), "pids"), Path::new(&expected));
    container.verb(&["delete", "--force"]).ok();
    program("systemctl").args(["stop", &outer]).run().ok();
}

#[test]
fn a_container_may_be_a_slice() {
    systemd!();
    let container = Container::sleeper().option("--systemd-cgroup");
    let unit = format!("nsk{}.slice", container.id.replace(|c: char| !c.is_ascii_digit(), ""));
    let path = format!("-.slice:x:{unit}");
    let container =
        container.set("/linux/cgroupsPath", path.as_str()).set("/linux/resources/pids", json!({"limit": 42}));
    // Which scopes have a property for, and slices have not.
    let container = container.set("/linux/resources/unified", json!({"memory.oom.group": "1"})).started();
    assert_eq!(cgroup_dir(container.pid(), "pids"), Path::new("/sys/fs/cgroup").join(&unit));
    assert_eq!((shown(&unit, "TasksMax"), shown(&unit, "ActiveState")), ("42".into(), "active".into()));
    container.verb(&["delete", "--force"]).ok();
    assert_not_loaded(&unit);
    assert!(!Path::new("/sys/fs/cgroup").join(&unit).exists());
}

#[test]
fn a_unit_with_an_empty_description_is_known_again() {
    systemd!();
    let container = with_unit(Container::sleeper())
        .set("/annotations", json!({"org.systemd.property.Description": "''"}))
        .started();
    assert!(shown(&scope(&container), "Description").contains(&container.id));
    let deleted = container.verb(&["delete", "--force"]).ok();
    assert_eq!(deleted.stderr(), "");
    container.assert_gone();
}

#[test]
fn a_system_bus_serves_as_well() {
    systemd!();
    program("systemctl").args(["start", "dbus.service"]).run().ok();
    let bus = "unix:path=/run/dbus/system_bus_socket";
    let container = with_unit(Container::sleeper());
    container.launch(&["create"]).env("DBUS_SYSTEM_BUS_ADDRESS", bus).run().ok();
    assert_eq!(shown(&scope(&container), "ActiveState"), "active");
    container.runtime(&["delete", "--force", &container.id]).env("DBUS_SYSTEM_BUS_ADDRESS", bus).run().ok();
    container.assert_gone();
    assert_not_loaded(&scope(&container));
}

#[test]
fn annotations_set_properties() {
    systemd!();
    let container = with_unit(Container::sleeper())
        .set(
            "/annotations",
            json!({
                "org.systemd.property.TimeoutStopSec": "uint64 7",
                "org.systemd.property.Description": "'nskit-test: of its own'",
                "org.systemd.property.After": "['basic.target']",
            }),
        )
        .started();
    let unit = scope(&container);
    assert_eq!(shown(&unit, "TimeoutStopUSec"), "7s");
    assert_eq!(shown(&unit, "Description"), "nskit-test: of its own");
    assert!(shown(&unit, "After").contains("basic.target"));
    container.verb(&["delete", "--force"]).ok();
    assert_not_loaded(&unit);
}

#[test]
fn two_parts_of_a_path_name_a_scope() {
    systemd!();
    let container = Container::sleeper().option("--systemd-cgroup");
    let path = format!("system.slice:{}.scope", container.id);
    let container = container.set("/linux/cgroupsPath", path).started();
    let unit = format!("{}.scope", container.id);
    assert_eq!(cgroup_dir(container.pid(), "pids"), Path::new("/sys/fs/cgroup/system.slice").join(&unit));
    container.verb(&["delete", "--force"]).ok();
    assert_not_loaded(&unit);
}

#[test]
fn an_annotation_puts_the_container_below_its_scope() {
    systemd!();
    let container = with_unit(Container::sleeper())
        .set("/annotations", json!({"run.oci.systemd.subgroup": "container"}))
        .set("/linux/resources/pids", json!({"limit": 42}))
        .started();
    let dir = Path::new("/sys/fs/cgroup/system.slice").join(scope(&container)).join("container");
    assert_eq!(cgroup_dir(container.pid(), "pids"), dir);
    assert_eq!(container.cgroup_value("pids", "pids.max", "pids.max"), "42");
    container.exec(&["true"]).ok();
    container.verb(&["pause"]).ok();
    container.verb(&["resume"]).ok();
    container.verb(&["delete", "--force"]).ok();
    container.assert_gone();
    assert_not_loaded(&scope(&container));
    for bad in ["../x", "/x", "a/../b"] {
        let container = with_unit(Container::new()).set("/annotations", json!({"run.oci.systemd.subgroup": bad}));
        container.run().exits(1).in_one_line().complains("run.oci.systemd.subgroup");
        container.assert_gone();
    }
}

#[test]
fn the_scope_of_a_user_namespace_belongs_to_its_root() {
    systemd!();
    let mut container = with_unit(Container::sleeper()).user_namespace();
    for mount in container.config["mounts"].as_array_mut().expect("mounts") {
        if mount["type"] == "cgroup" {
            mount["options"] = json!(["rw"]);
        }
    }
    let container = container.started();
    let own = "mkdir /sys/fs/cgroup/own && echo $$ > /sys/fs/cgroup/own/cgroup.procs && echo own";
    container.exec(&["sh", "-c", own]).ok().says("own");
}
