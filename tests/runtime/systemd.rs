//! The systemd cgroup driver: a container's cgroup is that of a unit.

use std::fs;
use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::harness::{
    Container, Hierarchy, Invocation, Output, Running, TempDir, cgroup_dir, default_config, eventually, has_controller,
    hierarchy, make_rootfs, nskit, program, runtime_words, set, skip, skip_on, unique_name,
};

/// Leaves the test when there is no systemd to ask, or not the hierarchy that it is asked about.
macro_rules! systemd {
    () => {
        if hierarchy() != Hierarchy::V2 || !Path::new("/run/systemd/private").exists() {
            skip!("systemd with cgroup v2 is not what runs this machine");
        }
        skip_on!(Runc | Crun, "the peers keep another state and other words");
    };
}

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
        container.set("/linux/cgroupsPath", path.as_str()).set("/linux/resources/pids", json!({"limit": 42})).started();
    assert_eq!(cgroup_dir(container.pid(), "pids"), Path::new("/sys/fs/cgroup").join(&unit));
    assert_eq!((shown(&unit, "TasksMax"), shown(&unit, "ActiveState")), ("42".into(), "active".into()));
    container.verb(&["delete", "--force"]).ok();
    assert_not_loaded(&unit);
    assert!(!Path::new("/sys/fs/cgroup").join(&unit).exists());
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
    let container = Container::sleeper();
    let unit = scope(&container);
    let other = scope_of_another(&unit);
    let container = with_unit(container);
    container.run().exits(1).in_one_line().complains("unit already exists").complains(&unit);
    assert_eq!(shown(&unit, "ActiveState"), "active");
    // What a runtime leaves that is killed just before it starts the unit.
    traced_create(&container, &["-e", "inject=rename,renameat,renameat2:signal=SIGKILL:when=2"]);
    assert!(container.state_root().join(&container.id).join("state.json").exists());
    container.verb(&["delete", "--force"]).ok();
    assert_eq!(shown(&unit, "ActiveState"), "active");
    end(other);
}

/// `create` under strace.
fn traced_create(container: &Container, options: &[&str]) -> Output {
    container.write_config();
    program("strace")
        .args(["-qq", "-o"])
        .arg(container.dir.join("trace"))
        .args(options)
        .args(runtime_words())
        .arg("--root")
        .arg(container.state_root())
        .args(["--systemd-cgroup", "create", "--bundle"])
        .arg(container.bundle())
        .arg(&container.id)
        .run()
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

/// A service manager of a user, as `user@.service` starts one for who is logged in. Dropped, it ends.
struct UserManager {
    unit: String,
    dir: TempDir,
}

impl UserManager {
    /// `daemon`: systemd wants a user that there is.
    const ID: &str = "1";

    #[track_caller]
    fn start() -> UserManager {
        let dir = TempDir::new();
        let unit = format!("{}.service", dir.path().file_name().and_then(|name| name.to_str()).expect("a name"));
        fs::create_dir(dir.join("run")).expect("make a folder");
        let manager = UserManager { unit, dir };
        manager.give_away();
        program("systemd-run")
            .args(["--quiet", "--unit", &manager.unit, "--uid", Self::ID, "--gid", Self::ID, "-p", "Delegate=yes"])
            .args(["--setenv", &manager.variable(), "/usr/lib/systemd/systemd", "--user"])
            .run()
            .ok();
        eventually("the user's systemd answers", || manager.dir.join("run/systemd/private").exists());
        manager
    }

    fn variable(&self) -> String {
        format!("XDG_RUNTIME_DIR={}", self.dir.join("run").display())
    }

    #[track_caller]
    fn give_away(&self) {
        program("chown").args(["-hR", &format!("{0}:{0}", Self::ID)]).arg(self.dir.path()).run().ok();
    }

    /// A program as this user, outside of everything that is theirs.
    fn program(&self, words: &[&str]) -> Invocation {
        program("setpriv")
            .args(["--reuid", Self::ID, "--regid", Self::ID, "--clear-groups", "env", &self.variable()])
            .args(words)
    }

    /// The runtime, in a scope of the user's.
    fn runtime(&self, words: &[&str]) -> Invocation {
        let nskit = nskit().display().to_string();
        let root = self.dir.join("state").display().to_string();
        let before = ["systemd-run", "--quiet", "--user", "--scope", &nskit, "runtime", "--root", &root];
        self.program(&[&before, words].concat())
    }
}

impl Drop for UserManager {
    fn drop(&mut self) {
        let _ = program("systemctl").args(["stop", &self.unit]).run();
        let _ = program("systemctl").args(["reset-failed", &self.unit]).run();
    }
}

#[test]
fn a_user_asks_their_own_systemd() {
    systemd!();
    let manager = UserManager::start();
    let (id, bundle) = (unique_name(), manager.dir.join("bundle"));
    fs::create_dir(&bundle).expect("make a bundle");
    make_rootfs(&bundle.join("rootfs"));
    let map = json!([{"containerID": 0, "hostID": 1, "size": 1}]);
    let mut config = default_config();
    for (pointer, value) in [
        ("/linux/namespaces/-", json!({"type": "user"})),
        ("/linux/uidMappings", map.clone()),
        ("/linux/gidMappings", map),
        ("/linux/resources", json!({"pids": {"limit": 42}})),
        ("/linux/cgroupsPath", json!(format!(":nskit-test:{id}"))),
        ("/mounts", json!([{"destination": "/proc", "type": "proc", "source": "proc"}])),
        ("/process/args", json!(["sleep", "1000"])),
    ] {
        set(&mut config, pointer, value);
    }
    fs::write(bundle.join("config.json"), config.to_string()).expect("write config.json");
    manager.give_away();
    let bundle = bundle.to_str().expect("UTF-8");
    manager.runtime(&["--systemd-cgroup", "create", "--bundle", bundle, &id]).run().ok();
    manager.runtime(&["start", &id]).run().ok();
    let state: Value = serde_json::from_str(&manager.runtime(&["state", &id]).run().ok().stdout()).expect("JSON");
    let pid = state["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok()).expect("a pid");
    let dir = cgroup_dir(pid, "pids");
    let scope = format!("user.slice/nskit-test-{id}.scope");
    assert_eq!(dir, Path::new("/sys/fs/cgroup/system.slice").join(&manager.unit).join(scope));
    let limit = || fs::read_to_string(dir.join("pids.max")).expect("read the limit").trim().to_owned();
    assert_eq!(limit(), "42");
    manager.runtime(&["exec", &id, "true"]).run().ok();
    manager.runtime(&["update", "--pids-limit", "50", &id]).run().ok();
    assert_eq!(limit(), "50");
    manager.runtime(&["pause", &id]).run().ok();
    manager.runtime(&["resume", &id]).run().ok();
    manager.runtime(&["delete", "--force", &id]).run().ok();
    assert!(!dir.exists());
    // Without a session nobody can be asked.
    let (nskit, root) = (nskit().display().to_string(), manager.dir.join("state").display().to_string());
    let words = ["env", "-u", "XDG_RUNTIME_DIR", &nskit, "runtime", "--root", &root, "--systemd-cgroup", "run"];
    let alone = manager.program(&words).args(["--bundle", bundle, &id]).run();
    alone.exits(1).in_one_line().complains("XDG_RUNTIME_DIR");
}

#[test]
fn a_machine_with_cgroup_v1_is_refused() {
    skip_on!(Runc | Crun, "the peers have a driver for it");
    if hierarchy() == Hierarchy::V2 {
        skip!("the systemd cgroup driver is for cgroup v2, as this machine has it");
    }
    for option in ["--systemd-cgroup", "--cgroup-manager=systemd"] {
        let container = Container::new().option(option);
        container.run().exits(1).in_one_line().complains("systemd cgroup driver needs a machine with cgroup v2");
        container.assert_gone();
    }
}
