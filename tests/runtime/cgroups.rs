//! linux.cgroupsPath and linux.resources: the same on one hierarchy a controller and on version 2.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::harness::{Container, Hierarchy, Peer, cgroup_dir, has_controller, hierarchy, peer, skip, skip_on};

/// A running container with these resources.
#[track_caller]
fn with(pointer: &str, value: Value) -> Container {
    Container::sleeper().set(&format!("/linux/resources/{pointer}"), value).started()
}

/// Leaves the test when the machine has no such controller.
macro_rules! needs {
    ($controller:literal) => {
        if !has_controller($controller) {
            skip!("no {} controller", $controller);
        }
    };
}

#[test]
fn the_path_of_the_configuration_is_used() {
    let container = Container::sleeper();
    let path = format!("/{}/deeper", container.id);
    let container = container.set("/linux/cgroupsPath", path.as_str()).started();
    let dir = cgroup_dir(container.pid(), "pids");
    assert!(dir.ends_with(path.trim_start_matches('/')), "{}", dir.display());
    container.verb(&["delete", "--force"]).ok();
    // The parent may serve other containers too: engines remove it.
    assert!(!dir.exists());
    remove_everywhere(&container.id);
}

/// Removes a cgroup that a test made the parent of others.
fn remove_everywhere(name: &str) {
    let _ = fs::remove_dir(Path::new("/sys/fs/cgroup").join(name));
    for controller in fs::read_dir("/sys/fs/cgroup").expect("read the hierarchies").flatten() {
        let _ = fs::remove_dir(controller.path().join(name));
    }
}

#[test]
fn without_a_path_the_container_has_a_cgroup_of_its_own() {
    let container = Container::running();
    let table = fs::read_to_string(format!("/proc/{}/cgroup", container.pid())).expect("read the cgroups");
    assert!(table.contains(&container.id), "{table}");
}

#[test]
fn every_controller_has_the_container() {
    let container = Container::running();
    let procs = |controller: &str| {
        let dir = cgroup_dir(container.pid(), controller);
        let pids = fs::read_to_string(dir.join("cgroup.procs")).expect("read the processes");
        (dir.to_string_lossy().contains(&container.id), pids.lines().any(|pid| pid == container.pid().to_string()))
    };
    for controller in ["cpu", "memory", "pids"] {
        assert_eq!(procs(controller), (true, true), "{controller}");
    }
}

#[test]
fn the_number_of_processes_is_limited() {
    let container = Container::script("for n in 1 2 3 4 5 6 7 8 9; do sleep 5 & done; wait");
    let container = container.set("/linux/resources/pids", json!({"limit": 5}));
    let output = container.run();
    assert_ne!(output.code(), 0);
    assert!(output.stderr().contains("fork"), "{}", output.stderr());
}

#[test]
fn no_limit_of_processes_is_minus_one_or_nothing() {
    assert_eq!(with("pids", json!({"limit": -1})).cgroup_value("pids", "pids.max", "pids.max"), "max");
}

#[test]
fn the_memory_is_limited() {
    let container = with("memory", json!({"limit": 67_108_864}));
    assert_eq!(container.cgroup_value("memory", "memory.limit_in_bytes", "memory.max"), "67108864");
}

#[test]
fn a_process_that_needs_more_memory_is_killed() {
    let container = Container::script("tail /dev/zero; echo $?");
    let memory = json!({"limit": 16_777_216, "swap": 16_777_216});
    container.set("/linux/resources/memory", memory).run().ok().says("137");
}

#[test]
fn the_first_process_is_killed_too() {
    let container = Container::new().args(&["tail", "/dev/zero"]);
    let memory = json!({"limit": 16_777_216, "swap": 16_777_216});
    container.set("/linux/resources/memory", memory).run().exits(137);
}

#[test]
fn a_container_of_six_mebibytes_starts() {
    skip_on!(Runc, "runc 1.1 itself needs more");
    let container =
        Container::new().args(&["echo", "small"]).set("/linux/resources/memory", json!({"limit": 6_291_456}));
    container.run().ok().says("small");
}

#[test]
fn the_soft_limit_of_memory_is_set() {
    let container = with("memory", json!({"limit": 67_108_864, "reservation": 33_554_432}));
    assert_eq!(container.cgroup_value("memory", "memory.soft_limit_in_bytes", "memory.low"), "33554432");
}

#[test]
fn swap_is_limited_together_with_memory() {
    let container = Container::sleeper();
    let memory = json!({"limit": 67_108_864, "swap": 100_663_296});
    let container = container.set("/linux/resources/memory", memory).started();
    let dir = cgroup_dir(container.pid(), "memory");
    let (name, expected) = match hierarchy() {
        Hierarchy::V1 => ("memory.memsw.limit_in_bytes", "100663296"),
        Hierarchy::V2 => ("memory.swap.max", "33554432"),
    };
    match fs::read_to_string(dir.join(name)) {
        Ok(value) => assert_eq!(value.trim(), expected),
        Err(_) => skip!("no accounting of swap"),
    }
}

#[test]
fn the_cpu_is_limited() {
    let container = with("cpu", json!({"period": 50_000, "quota": 10_000}));
    match hierarchy() {
        Hierarchy::V1 => assert_eq!(container.cgroup_value("cpu", "cpu.cfs_quota_us", ""), "10000"),
        Hierarchy::V2 => assert_eq!(container.cgroup_value("cpu", "", "cpu.max"), "10000 50000"),
    }
}

#[test]
fn the_weight_of_the_cpu_is_set() {
    let container = with("cpu", json!({"shares": 512}));
    let value: u32 = container.cgroup_value("cpu", "cpu.shares", "cpu.weight").parse().expect("a number");
    match hierarchy() {
        Hierarchy::V1 => assert_eq!(value, 512),
        // 20 by the linear conversion, 59 by the one that keeps the defaults equal.
        Hierarchy::V2 => assert!((15..100).contains(&value), "{value}"),
    }
}

#[test]
fn the_cpus_are_restricted() {
    needs!("cpuset");
    let container = Container::new().args(&["grep", "Cpus_allowed_list", "/proc/self/status"]);
    container.set("/linux/resources/cpu", json!({"cpus": "0", "mems": "0"})).run().ok().says("Cpus_allowed_list:\t0");
}

#[test]
fn a_cpu_that_is_not_there_is_an_error() {
    needs!("cpuset");
    let container = Container::new().set("/linux/resources/cpu", json!({"cpus": "4095"}));
    container.run().exits(1).complains("cpuset.cpus").in_one_line();
    container.assert_gone();
}

#[test]
fn huge_pages_are_limited() {
    needs!("hugetlb");
    let Some(size) = fs::read_dir("/sys/kernel/mm/hugepages").ok().and_then(|dir| dir.flatten().next()) else {
        skip!("no huge pages");
    };
    if !size.path().ends_with("hugepages-2048kB") {
        skip!("no huge pages of 2 MiB");
    }
    let container = with("hugepageLimits", json!([{"pageSize": "2MB", "limit": 4_194_304}]));
    assert_eq!(container.cgroup_value("hugetlb", "hugetlb.2MB.limit_in_bytes", "hugetlb.2MB.max"), "4194304");
}

#[test]
fn what_a_property_of_unified_names_is_written() {
    if hierarchy() == Hierarchy::V1 {
        skip!("unified is a property of cgroup v2");
    }
    let container = with("unified", json!({"memory.high": "50331648", "pids.max": "99"}));
    assert_eq!(container.cgroup_value("memory", "", "memory.high"), "50331648");
    assert_eq!(container.cgroup_value("pids", "", "pids.max"), "99");
}

#[test]
fn a_property_of_unified_that_is_not_there_is_an_error_that_names_it() {
    if hierarchy() == Hierarchy::V1 {
        skip!("unified is a property of cgroup v2");
    }
    let container = Container::new().set("/linux/resources/unified", json!({"memory.unheard_of": "1"}));
    container.run().exits(1).complains("memory.unheard_of");
    container.assert_gone();
}

#[test]
fn the_weight_of_block_devices_is_set() {
    let container = Container::sleeper().set("/linux/resources/blockIO", json!({"weight": 500}));
    container.write_config();
    let output = container.create_with(&[]);
    if output.stderr().contains("o such file") || output.stderr().contains("nvalid argument") {
        skip!("the kernel weighs no block devices");
    }
    output.ok();
    let dir = cgroup_dir(container.pid(), if hierarchy() == Hierarchy::V1 { "blkio" } else { "io" });
    let value = ["blkio.bfq.weight", "blkio.weight", "io.bfq.weight", "io.weight"]
        .iter()
        .find_map(|name| fs::read_to_string(dir.join(name)).ok())
        .expect("a weight");
    assert!(value.contains("500") || value.contains("4950") || value.contains("4949"), "{value}");
}

#[test]
fn the_cgroup_namespace_hides_where_the_container_is() {
    let output = Container::new().args(&["cat", "/proc/self/cgroup"]).output();
    assert!(output.lines().all(|line| line.ends_with(":/")), "{output}");
}

#[test]
fn the_container_sees_its_own_cgroup_and_cannot_write_it() {
    let script = match hierarchy() {
        Hierarchy::V1 => "cat /sys/fs/cgroup/pids/pids.max; echo 1 > /sys/fs/cgroup/pids/pids.max",
        Hierarchy::V2 => "cat /sys/fs/cgroup/pids.max; echo 1 > /sys/fs/cgroup/pids.max",
    };
    let container = Container::script(script).set("/linux/resources/pids", json!({"limit": 44}));
    container.run().exits(1).says("44").complains("Read-only file system");
}

#[test]
fn a_writable_cgroup_mount_can_be_written() {
    skip_on!(Crun, "crun 1.8 mounts it read-only on v1");
    let mut container = match hierarchy() {
        Hierarchy::V1 => {
            Container::script("mkdir /sys/fs/cgroup/pids/below && rmdir /sys/fs/cgroup/pids/below && echo made")
        }
        Hierarchy::V2 => Container::script("mkdir /sys/fs/cgroup/below && rmdir /sys/fs/cgroup/below && echo made"),
    };
    for mount in container.config["mounts"].as_array_mut().expect("mounts") {
        if mount["type"] == "cgroup" {
            mount["options"] = json!(["nosuid", "noexec", "nodev", "relatime"]);
        }
    }
    container.run().ok().says("made");
}

#[test]
fn without_a_cgroup_namespace_the_container_sees_its_own_cgroup_too() {
    let script = match hierarchy() {
        Hierarchy::V1 => "cat /sys/fs/cgroup/pids/pids.max",
        Hierarchy::V2 => "cat /sys/fs/cgroup$(cut -d: -f3 /proc/self/cgroup)/pids.max",
    };
    let container = Container::script(script).without_namespace("cgroup");
    container.set("/linux/resources/pids", json!({"limit": 43})).run().ok().says("43");
}

#[test]
fn without_a_cgroup_namespace_the_host_s_cgroups_keep_their_options() {
    // nsdelegate and the like are options of the one tree: whoever mounts it in the host's namespace sets them.
    let options = || {
        let table = fs::read_to_string("/proc/self/mountinfo").expect("read mountinfo");
        let mount = table.lines().find_map(|line| line.split_once(" - cgroup2 ")).map(|(_, told)| told.to_owned());
        mount.expect("a mount of cgroup v2")
    };
    let before = options();
    Container::new().without_namespace("cgroup").run().ok();
    Container::new().namespace("cgroup", Some("/proc/self/ns/cgroup")).run().ok();
    assert_eq!(options(), before);
}

#[test]
fn a_mount_of_type_cgroup2_is_the_unified_hierarchy_beside_v1_too() {
    skip_on!(Crun, "crun refuses hybrid machines");
    let options = || {
        let table = fs::read_to_string("/proc/self/mountinfo").expect("read mountinfo");
        table.lines().filter_map(|line| line.split_once(" - cgroup2 ")).map(|(_, told)| told.to_owned()).next()
    };
    let Some(before) = options() else { skip!("no unified hierarchy is mounted") };
    let shown = |container: Container, script: &str| {
        let mount = json!({"destination": "/unified", "type": "cgroup2", "source": "cgroup2", "options": ["ro"]});
        let container = container.set("/mounts/-", mount).args(&["/bin/sh", "-c", script]);
        container.run().ok().says("shown");
    };
    // Its own cgroup is the root of what it sees.
    shown(Container::new(), "cat /unified/cgroup.procs | grep -qx 1 && echo shown");
    let own = "test -d /unified$(sed -n s/^0:://p /proc/self/cgroup) && echo shown";
    shown(Container::new().without_namespace("cgroup"), own);
    assert_eq!(options(), Some(before));
}

#[test]
fn the_cgroup_namespace_of_another_is_joined_together_with_others() {
    let first = Container::running();
    let (pid, own) = (first.pid(), Container::sleeper());
    let own =
        ["pid", "cgroup"].iter().fold(own, |own, kind| own.namespace(kind, Some(&format!("/proc/{pid}/ns/{kind}"))));
    let own = own.started();
    for kind in ["pid", "cgroup"] {
        let of = |pid: i32| fs::read_link(format!("/proc/{pid}/ns/{kind}")).expect("read a namespace");
        assert_eq!(of(own.pid()), of(pid), "{kind}");
    }
    let table = fs::read_to_string(format!("/proc/{}/cgroup", own.pid())).expect("read the cgroups");
    assert!(table.contains(&own.id), "{table}");
    own.exec(&["true"]).ok();
}

#[test]
fn a_cgroup_that_already_has_processes_is_refused_or_joined_but_never_emptied() {
    let first = Container::running();
    let path = {
        let table = fs::read_to_string(format!("/proc/{}/cgroup", first.pid())).expect("read the cgroups");
        let line =
            table.lines().find(|line| line.contains("pids") || line.starts_with("0::")).expect("a cgroup").to_owned();
        line.rsplit(':').next().expect("a path").to_owned()
    };
    let second = Container::new().set("/linux/cgroupsPath", path.as_str());
    let _ = second.run();
    assert_eq!(first.status(), "running");
}

#[test]
fn an_empty_resources_object_is_no_reason_to_fail() {
    Container::new().set("/linux/resources", json!({})).run().ok();
    Container::new().set("/linux/resources", Value::Null).run().ok();
    let all =
        json!({"memory": {}, "cpu": {}, "pids": {"limit": 0}, "blockIO": {}, "hugepageLimits": [], "network": {}});
    if peer() != Peer::Crun {
        Container::new().set("/linux/resources", all).run().ok();
    }
}

#[test]
fn a_killed_container_of_many_processes_is_gone_at_once() {
    let container = Container::script("for n in 1 2 3 4 5 6 7 8 9; do sleep 1000 & done; wait").started();
    container.verb(&["delete", "--force"]).ok();
    container.assert_gone();
}

#[test]
fn a_limit_of_memory_that_cannot_hold_the_program_is_named_as_the_cause() {
    skip_on!(Runc | Crun, "the peers' words differ");
    if !has_controller("memory") {
        skip!("no memory controller");
    }
    let container = Container::new().set("/linux/resources/memory", json!({"limit": 1000}));
    let output = container.run().exits(1).in_one_line().complains("memory");
    if hierarchy() != Hierarchy::V2 {
        // On v2 the process is born under the limit, if it can be.
        output.complains("killed by signal 9 before").complains("its cgroup ran out of memory");
    }
    container.assert_gone();
    container.create_with(&[]).exits(1).in_one_line().complains("memory");
    container.assert_gone();
}

#[test]
fn run_says_that_its_program_was_killed_for_want_of_memory() {
    skip_on!(Runc | Crun, "the peers say nothing");
    if !has_controller("memory") {
        skip!("no memory controller");
    }
    let container = Container::new().args(&["dd", "if=/dev/zero", "of=/dev/null", "bs=64M", "count=1"]);
    let container = container.set("/linux/resources/memory", json!({"limit": 8 << 20}));
    container.run().exits(137).in_one_line().complains("ran out of memory, of which it may have 8388608 bytes");
}

#[test]
fn others_processes_in_the_unified_hierarchy_of_a_hybrid_machine_are_left_alone() {
    skip_on!(Runc | Crun, "they do otherwise");
    let unified = Path::new("/sys/fs/cgroup/unified");
    if !unified.join("cgroup.procs").exists() {
        skip!("no hybrid cgroups");
    }
    let container = Container::sleeper();
    let place = format!("/{}", container.id);
    let container = container.set("/linux/cgroupsPath", place.as_str());
    let dir = unified.join(&container.id);
    fs::create_dir(&dir).expect("make a cgroup");
    let mut other = std::process::Command::new("sleep").arg("1000").spawn().expect("start a process");
    fs::write(dir.join("cgroup.procs"), other.id().to_string()).expect("move it");
    let container = container.started();
    container.runtime(&["kill", "--all", &container.id, "KILL"]).run().ok();
    container.verb(&["delete", "--force"]).ok();
    let survived = other.try_wait().expect("look at it").is_none();
    other.kill().expect("end it");
    other.wait().expect("reap it");
    fs::remove_dir(&dir).expect("remove the cgroup");
    assert!(survived, "it was killed");
}

#[test]
fn the_largest_limit_of_huge_pages_is_none() {
    needs!("hugetlb");
    if !Path::new("/sys/kernel/mm/hugepages/hugepages-2048kB").exists() {
        skip!("no huge pages of 2 MiB");
    }
    with("hugepageLimits", json!([{"pageSize": "2MB", "limit": u64::MAX}]));
}

#[test]
fn no_swap_at_all_is_zero() {
    skip_on!(Runc, "runc takes it for nothing said");
    if hierarchy() == Hierarchy::V1 {
        skip!("v1 has no limit of swap alone");
    }
    let container = with("memory", json!({"limit": 67_108_864, "swap": 0}));
    match fs::read_to_string(cgroup_dir(container.pid(), "memory").join("memory.swap.max")) {
        Ok(value) => assert_eq!(value.trim(), "0"),
        Err(_) => skip!("no accounting of swap"),
    }
}

#[test]
fn an_option_that_no_cgroup2_mount_has_is_refused() {
    let refused = |container: Container| {
        let mount = json!({"destination": "/unified", "type": "cgroup2", "source": "cgroup2", "options": ["bogus"]});
        let container = container.set("/mounts/-", mount);
        container.run().exits(1).complains("bogus");
        container.assert_gone();
    };
    skip_on!(Crun, "crun 1.8 refuses hybrid machines");
    refused(Container::new());
    refused(Container::new().without_namespace("cgroup"));
}
