//! `update`.

use std::fs;

use serde_json::json;

use crate::harness::{Container, Hierarchy, Peer, has_controller, hierarchy, peer, skip, skip_on};

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
