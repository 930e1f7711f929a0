//! `update`.

use std::fs;

use serde_json::json;

use crate::harness::{Container, Hierarchy, Peer, cgroup_dir, has_controller, hierarchy, peer, skip, skip_on};

#[test]
fn changes_the_limit_of_processes() {
    let container = Container::running();
    container.runtime(&["update", "--pids-limit", "42", &container.id]).run().ok();
    assert_eq!(container.cgroup_value("pids", "pids.max", "pids.max"), "42");
}

#[test]
fn changes_the_limit_of_memory_in_bytes_and_with_units() {
    let container = Container::running();
    for (limit, bytes) in [("67108864", "67108864"), ("96m", "100663296"), ("1G", "1073741824")] {
        if limit != "67108864" && peer() == Peer::Crun {
            continue;
        }
        container.runtime(&["update", "--memory", limit, &container.id]).run().ok();
        assert_eq!(container.cgroup_value("memory", "memory.limit_in_bytes", "memory.max"), bytes);
    }
}

#[test]
fn changes_the_soft_limit_of_memory() {
    let container = Container::running();
    container.runtime(&["update", "--memory-reservation", "33554432", &container.id]).run().ok();
    assert_eq!(container.cgroup_value("memory", "memory.soft_limit_in_bytes", "memory.low"), "33554432");
}

#[test]
fn changes_the_quota_of_the_cpu() {
    let container = Container::running();
    container.runtime(&["update", "--cpu-period", "50000", "--cpu-quota", "25000", &container.id]).run().ok();
    match hierarchy() {
        Hierarchy::V1 => {
            assert_eq!(container.cgroup_value("cpu", "cpu.cfs_period_us", ""), "50000");
            assert_eq!(container.cgroup_value("cpu", "cpu.cfs_quota_us", ""), "25000");
        }
        Hierarchy::V2 => assert_eq!(container.cgroup_value("cpu", "", "cpu.max"), "25000 50000"),
    }
}

#[test]
fn a_quota_alone_keeps_the_period() {
    let container =
        Container::sleeper().set("/linux/resources/cpu", json!({"period": 50_000, "quota": 10_000})).started();
    container.runtime(&["update", "--cpu-quota", "20000", &container.id]).run().ok();
    match hierarchy() {
        Hierarchy::V1 => assert_eq!(container.cgroup_value("cpu", "cpu.cfs_period_us", ""), "50000"),
        Hierarchy::V2 => assert_eq!(container.cgroup_value("cpu", "", "cpu.max"), "20000 50000"),
    }
}

#[test]
fn changes_the_weight_of_the_cpu() {
    let container = Container::running();
    container.runtime(&["update", "--cpu-share", "2048", &container.id]).run().ok();
    let value = container.cgroup_value("cpu", "cpu.shares", "cpu.weight");
    match hierarchy() {
        Hierarchy::V1 => assert_eq!(value, "2048"),
        // 79 by the linear conversion of old, 170 and more by the one that keeps the defaults equal.
        Hierarchy::V2 => assert!(value.parse().is_ok_and(|weight: u32| (60..=220).contains(&weight)), "{value}"),
    }
}

#[test]
fn reads_resources_from_standard_input() {
    for words in [&["--resources", "-"][..], &["--resources=-"], &["-r", "-"]] {
        let container = Container::running();
        let resources = json!({"pids": {"limit": 23}, "memory": {"limit": 50_331_648}});
        let update = container.runtime(&["update"]).args(words).arg(&container.id);
        update.input(resources.to_string()).run().ok();
        assert_eq!(container.cgroup_value("pids", "pids.max", "pids.max"), "23");
        assert_eq!(container.cgroup_value("memory", "memory.limit_in_bytes", "memory.max"), "50331648");
    }
}

#[test]
fn reads_resources_from_a_file() {
    let container = Container::running();
    let file = container.dir.join("resources.json");
    fs::write(&file, json!({"pids": {"limit": 24}}).to_string()).expect("write resources");
    container.runtime(&["update", "--resources"]).arg(&file).arg(&container.id).run().ok();
    assert_eq!(container.cgroup_value("pids", "pids.max", "pids.max"), "24");
}

#[test]
fn leaves_alone_what_it_was_not_told() {
    let container = Container::sleeper().set("/linux/resources/memory", json!({"limit": 67_108_864}));
    let container = container.set("/linux/resources/pids", json!({"limit": 50})).started();
    container.runtime(&["update", "--pids-limit", "60", &container.id]).run().ok();
    assert_eq!(container.cgroup_value("memory", "memory.limit_in_bytes", "memory.max"), "67108864");
    container.exec(&["sh", "-c", "echo ok > /dev/null"]).ok();
}

#[test]
fn restricts_the_cpus() {
    if !has_controller("cpuset") {
        skip!("no cpuset controller");
    }
    let container = Container::running();
    container.runtime(&["update", "--cpuset-cpus", "0", &container.id]).run().ok();
    assert_eq!(container.cgroup_value("cpuset", "cpuset.cpus", "cpuset.cpus"), "0");
}

#[test]
fn an_invalid_value_is_refused_and_named() {
    let container = Container::running();
    let output = container.runtime(&["update", "--memory", "plenty", &container.id]).run();
    assert_ne!(output.code(), 0);
    if peer() != Peer::Crun {
        output.complains("plenty");
    }
}

#[test]
fn resources_that_are_no_json_are_refused() {
    let container = Container::running();
    let output = container.runtime(&["update", "--resources", "-", &container.id]).input("{").run();
    assert_ne!(output.code(), 0);
}

#[test]
fn of_a_stopped_container_is_refused() {
    skip_on!(Crun, "crun 1.8 crashes on its missing cgroup");
    let container = Container::new().started();
    container.wait_stopped();
    container.runtime(&["update", "--pids-limit", "10", &container.id]).run().exits(1).in_one_line();
}

#[test]
fn of_a_container_that_is_not_there_says_so() {
    let container = Container::new();
    container.runtime(&["update", "--pids-limit", "10", &container.id]).run().exits(1).complains("does not exist");
}

#[test]
fn an_update_of_a_created_container_holds_after_its_start() {
    let container = Container::sleeper().created();
    container.runtime(&["update", "--pids-limit", "33", &container.id]).run().ok();
    container.start();
    assert_eq!(container.cgroup_value("pids", "pids.max", "pids.max"), "33");
}

#[test]
fn the_burst_of_the_cpu_can_be_changed() {
    skip_on!(Runc | Crun, "runc 1.1 and crun 1.8 have no --cpu-burst");
    let container =
        Container::sleeper().set("/linux/resources/cpu", json!({"period": 100_000, "quota": 50_000})).started();
    container.runtime(&["update", "--cpu-burst", "20000", &container.id]).run().ok();
    assert_eq!(container.cgroup_value("cpu", "cpu.cfs_burst_us", "cpu.max.burst"), "20000");
}

#[test]
fn a_container_can_be_made_idle() {
    skip_on!(Runc | Crun, "runc 1.1 and crun 1.8 have no --cpu-idle");
    let container = Container::running();
    container.runtime(&["update", "--cpu-idle", "1", &container.id]).run().ok();
    assert_eq!(container.cgroup_value("cpu", "cpu.idle", "cpu.idle"), "1");
}

#[test]
fn from_a_file_that_is_not_there_says_so_in_the_engines_words() {
    let container = Container::running();
    container
        .verb(&["update", "-r", "/no/such"])
        .exits(1)
        .in_one_line()
        .complains("/no/such: no such file or directory");
}

#[test]
fn of_a_device_that_is_there_twice_takes() {
    skip_on!(Crun, "crun 1.8 keeps no list of devices");
    if hierarchy() != Hierarchy::V1 {
        skip!("a file of cgroup v1");
    }
    let disks = fs::read_dir("/sys/block").expect("read the block devices").flatten();
    let device = disks.map(|disk| disk.path().join("dev")).find_map(|file| fs::read_to_string(file).ok());
    let Some((major, minor)) = device.as_deref().and_then(|device| device.trim().split_once(':')) else {
        skip!("no block device");
    };
    let (major, minor): (u32, u32) = (major.parse().expect("a number"), minor.parse().expect("a number"));
    let throttle = |rate: u32, times: usize| {
        let device = json!({"major": major, "minor": minor, "rate": rate});
        json!({"throttleReadBpsDevice": vec![device; times]})
    };
    let container = Container::sleeper().set("/linux/resources/blockIO", throttle(485_760, 2)).started();
    let change = json!({"blockIO": throttle(10_485_760, 1)}).to_string();
    container.runtime(&["update", "--resources", "-", &container.id]).input(change).run().ok();
    let file = cgroup_dir(container.pid(), "blkio").join("blkio.throttle.read_bps_device");
    let limits = fs::read_to_string(file).expect("read the limits");
    assert!(limits.contains(&format!("{major}:{minor} 10485760")), "{limits}");
}

#[test]
fn an_idle_container_gets_no_shares_and_a_warning() {
    skip_on!(Runc | Crun, "the peers fail");
    let container = Container::sleeper().set("/linux/resources/cpu", json!({"shares": 512, "idle": 1})).created();
    assert_eq!(container.cgroup_value("cpu", "cpu.idle", "cpu.idle"), "1");
    container.start();
    let update = ["update", "--cpu-idle", "1", "--cpu-share", "1024", &container.id];
    container.runtime(&update).run().ok().complains("shares are not set");
    assert_eq!(container.cgroup_value("cpu", "cpu.idle", "cpu.idle"), "1");
    container.runtime(&["update", "--cpu-idle", "0", "--cpu-share", "1024", &container.id]).run().ok();
    assert_eq!(
        container.cgroup_value("cpu", "cpu.shares", "cpu.weight"),
        match hierarchy() {
            Hierarchy::V1 => "1024",
            Hierarchy::V2 => "100",
        }
    );
}

#[test]
fn more_memory_than_the_old_limit_of_both_leaves_as_much_swap() {
    skip_on!(Runc, "runc 1.5 refuses it");
    let memory = json!({"limit": 64 << 20, "swap": 96 << 20});
    let container = Container::sleeper().set("/linux/resources/memory", memory).started();
    let update = container.runtime(&["update", "--memory", "128m", &container.id]).run();
    match hierarchy() {
        // The kernel refuses it, or counts no swap.
        Hierarchy::V1 if update.code() != 0 => drop(update.in_one_line().complains("--memory-swap")),
        Hierarchy::V1 => {}
        Hierarchy::V2 => {
            update.ok();
            assert_eq!(container.cgroup_value("memory", "", "memory.max"), (128 << 20).to_string());
            assert_eq!(container.cgroup_value("memory", "", "memory.swap.max"), (32 << 20).to_string());
        }
    }
}

#[test]
fn the_child_cgroup_that_needs_a_processor_is_named() {
    skip_on!(Runc | Crun, "the peers do not say");
    if hierarchy() != Hierarchy::V1 || !has_controller("cpuset") {
        skip!("only cpusets of v1 are in each other's way");
    }
    let container = Container::running();
    let child = cgroup_dir(container.pid(), "cpuset").join("child");
    let set = |dir: &std::path::Path, value: &str| fs::write(dir.join("cpuset.cpus"), value);
    let all = fs::read_to_string("/sys/fs/cgroup/cpuset/cpuset.cpus").expect("read the processors");
    fs::create_dir(&child).expect("make a cgroup");
    set(&child, all.trim()).expect("give it all processors");
    let update = container.runtime(&["update", "--cpuset-cpus", "0", &container.id]).run();
    if all.trim() != "0" {
        update.exits(1).in_one_line().complains(child.to_str().expect("a name"));
    }
}

#[test]
fn the_limit_of_tcp_buffers_is_set_where_there_is_one() {
    skip_on!(Runc | Crun, "runc has none, and crun another file");
    let container = Container::sleeper().set("/linux/resources/memory", json!({"kernelTCP": 16 << 20})).started();
    let file = cgroup_dir(container.pid(), "memory").join("memory.kmem.tcp.limit_in_bytes");
    let limit = || fs::read_to_string(&file).map(|limit| limit.trim().to_owned());
    if limit().is_err() {
        skip!("this kernel limits no TCP buffers apart");
    }
    assert_eq!(limit().expect("a limit"), (16 << 20).to_string());
    container.runtime(&["update", "--kernel-memory-tcp", "32m", &container.id]).run().ok();
    assert_eq!(limit().expect("a limit"), (32 << 20).to_string());
}
