//! `linux.resources` and `linux.cgroupsPath` of a configuration, as the cgroup module takes them.
//!
//! See the runtime specification, `config-linux.md`, "Control groups". Units stay those of the specification; what v2
//! wants differently is converted where the writes are planned.

mod devices;
mod merge;

use oci_spec::runtime::{
    Linux, LinuxBlockIo, LinuxCpu, LinuxMemory, LinuxResources, LinuxThrottleDevice, LinuxWeightDevice,
};

use crate::cgroup::{BlockIo, Cpu, DeviceRate, DeviceWeight, HugePages, Location, Memory, Rdma, Resources};
use crate::error::{Error, Result};

pub use merge::{keep_swap, merge};

/// What `linux.cgroupsPath` says, or a place by the container's id.
pub fn location(linux: Option<&Linux>, id: &str) -> Location {
    let path = linux.and_then(|linux| linux.cgroups_path().as_deref());
    Location::new(path, id)
}

/// Everything for a new container: its limits, and its device rules followed by those that every container has.
///
/// # Errors
/// A value that the specification or the kernel does not know, by its name.
pub fn for_creation(linux: Option<&Linux>) -> Result<Resources> {
    let resources = linux.and_then(|linux| linux.resources().as_ref());
    let mut plan = resources.map_or_else(|| Ok(Resources::default()), limits)?;
    plan.devices = Some(devices::rules(linux)?);
    Ok(plan)
}

/// The limits only, for an update: device rules stay as they are, since others (GPU tools) may have added to them.
///
/// # Errors
/// A value that the specification or the kernel does not know, by its name.
pub fn limits(resources: &LinuxResources) -> Result<Resources> {
    let cpu = resources.cpu().as_ref();
    let list = |value: Option<&Option<String>>| value.cloned().flatten().filter(|list| !list.is_empty());
    let mut plan = Resources {
        memory: resources.memory().as_ref().map(memory).unwrap_or_default(),
        cpu: cpu.map(processor_time).unwrap_or_default(),
        cpus: list(cpu.map(LinuxCpu::cpus)),
        mems: list(cpu.map(LinuxCpu::mems)),
        pids: resources.pids().as_ref().map(|pids| pids.limit()),
        block_io: resources.block_io().as_ref().map(block_io).unwrap_or_default(),
        ..Resources::default()
    };
    for pages in resources.hugepage_limits().iter().flatten() {
        let limit = u64::try_from(pages.limit()).map_err(|_| {
            let size = pages.page_size();
            Error::invalid(format!(
                "linux.resources.hugepageLimits: limit {} of {size} pages is negative",
                pages.limit()
            ))
        })?;
        plan.huge_pages.push(HugePages { page_size: pages.page_size().clone(), limit });
    }
    if let Some(network) = resources.network() {
        plan.network_class = network.class_id();
        for priority in network.priorities().iter().flatten() {
            if priority.name().is_empty() || priority.name().contains(char::is_whitespace) {
                let message = format!("linux.resources.network.priorities: invalid interface {:?}", priority.name());
                return Err(Error::invalid(message));
            }
            plan.network_priorities.push((priority.name().clone(), priority.priority()));
        }
    }
    for (device, limits) in resources.rdma().iter().flatten() {
        if device.is_empty() || device.contains(char::is_whitespace) {
            return Err(Error::invalid(format!("linux.resources.rdma: invalid device {device:?}")));
        }
        let limits = Rdma { handles: limits.hca_handles(), objects: limits.hca_objects() };
        plan.rdma.insert(device.clone(), limits);
    }
    // These move or kill processes, whoever's.
    let processes = ["cgroup.procs", "cgroup.threads", "cgroup.kill"];
    if let Some(name) =
        resources.unified().iter().flat_map(|all| all.keys()).find(|name| processes.contains(&name.as_str()))
    {
        return Err(Error::invalid(format!("linux.resources.unified: {name} is no limit")));
    }
    plan.unified = resources.unified().clone().unwrap_or_default().into_iter().collect();
    Ok(plan)
}

fn memory(memory: &LinuxMemory) -> Memory {
    Memory {
        limit: memory.limit(),
        swap: memory.swap(),
        reservation: memory.reservation(),
        kernel_tcp: memory.kernel_tcp(),
        swappiness: memory.swappiness(),
        disable_oom_killer: memory.disable_oom_killer().unwrap_or(false),
        check_before_update: memory.check_before_update().unwrap_or(false),
    }
}

fn processor_time(cpu: &LinuxCpu) -> Cpu {
    let shares = cpu.shares().filter(|shares| *shares != 0);
    let is_idle = cpu.idle() == Some(1);
    if is_idle && shares.is_some() {
        log::warn!("linux.resources.cpu: shares are not set: with idle, a cgroup has no weight");
    }
    Cpu {
        shares: shares.filter(|_| !is_idle),
        quota: cpu.quota(),
        period: cpu.period(),
        burst: cpu.burst(),
        idle: cpu.idle(),
        realtime_runtime: cpu.realtime_runtime(),
        realtime_period: cpu.realtime_period(),
    }
}

fn block_io(io: &LinuxBlockIo) -> BlockIo {
    let rates = |devices: &Option<Vec<LinuxThrottleDevice>>| {
        let rate =
            |device: &LinuxThrottleDevice| DeviceRate { device: (device.major(), device.minor()), rate: device.rate() };
        devices.iter().flatten().map(rate).collect()
    };
    let weight = |device: &LinuxWeightDevice| DeviceWeight {
        device: (device.major(), device.minor()),
        weight: device.weight(),
        leaf_weight: device.leaf_weight(),
    };
    BlockIo {
        weight: io.weight(),
        leaf_weight: io.leaf_weight(),
        device_weights: io.weight_device().iter().flatten().map(weight).collect(),
        read_bps: rates(io.throttle_read_bps_device()),
        write_bps: rates(io.throttle_write_bps_device()),
        read_iops: rates(io.throttle_read_iops_device()),
        write_iops: rates(io.throttle_write_iops_device()),
    }
}

/// Lowers limits of huge pages that the specification allows and the parsed form has no room for: what is above 2^63-1 is
/// no limit in the kernel either, which counts pages. Says whether one was lowered. `resources` is `linux.resources`.
pub(super) fn bring_within_range(resources: &mut serde_json::Value) -> bool {
    let most = i64::MAX.unsigned_abs();
    let mut changed = false;
    for pages in resources.get_mut("hugepageLimits").and_then(|all| all.as_array_mut()).into_iter().flatten() {
        if let Some(limit) = pages.get_mut("limit").filter(|limit| limit.as_u64().is_some_and(|limit| limit > most)) {
            *limit = most.into();
            changed = true;
        }
    }
    changed
}

/// Tells `pids: {}`, which sets nothing, from `pids: {"limit": 0}`, which lets one task be: the parsed form has 0 for both.
/// `text` is what was parsed, `limit` the JSON pointer to the limit in it.
pub fn forget_absent_limit(resources: Option<&mut LinuxResources>, text: &[u8], limit: &str) {
    let Some(resources) = resources.filter(|all| all.pids().is_some_and(|pids| pids.limit() == 0)) else { return };
    let given = |value: serde_json::Value| value.pointer(limit).is_some_and(|limit| !limit.is_null());
    if !serde_json::from_slice(text).is_ok_and(given) {
        resources.set_pids(None);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn parse(resources: Value) -> LinuxResources {
        serde_json::from_value(resources).unwrap()
    }

    #[test]
    fn every_property_arrives() {
        let plan = limits(&parse(json!({
            "memory": {"limit": 1, "swap": 2, "reservation": 3, "kernelTCP": 25, "swappiness": 4,
                "disableOOMKiller": true, "checkBeforeUpdate": true},
            "cpu": {"shares": 5, "quota": -1, "period": 6, "burst": 7, "idle": 0, "realtimeRuntime": 8,
                "realtimePeriod": 9, "cpus": "0-1", "mems": "0"},
            "pids": {"limit": 10},
            "blockIO": {"weight": 11, "leafWeight": 12,
                "weightDevice": [{"major": 8, "minor": 0, "weight": 13, "leafWeight": 14}],
                "throttleReadBpsDevice": [{"major": 8, "minor": 1, "rate": 15}],
                "throttleWriteBpsDevice": [{"major": 8, "minor": 2, "rate": 16}],
                "throttleReadIOPSDevice": [{"major": 8, "minor": 3, "rate": 17}],
                "throttleWriteIOPSDevice": [{"major": 8, "minor": 4, "rate": 18}]},
            "hugepageLimits": [{"pageSize": "2MB", "limit": 19}],
            "network": {"classID": 20, "priorities": [{"name": "eth0", "priority": 21}]},
            "rdma": {"mlx5_1": {"hcaHandles": 22, "hcaObjects": 23}},
            "unified": {"memory.high": "24"},
        })))
        .unwrap();
        let rate = |minor, rate| vec![DeviceRate { device: (8, minor), rate }];
        let expected = Resources {
            memory: Memory {
                limit: Some(1),
                swap: Some(2),
                reservation: Some(3),
                kernel_tcp: Some(25),
                swappiness: Some(4),
                disable_oom_killer: true,
                check_before_update: true,
            },
            cpu: Cpu {
                shares: Some(5),
                quota: Some(-1),
                period: Some(6),
                burst: Some(7),
                idle: Some(0),
                realtime_runtime: Some(8),
                realtime_period: Some(9),
            },
            cpus: Some("0-1".into()),
            mems: Some("0".into()),
            pids: Some(10),
            block_io: BlockIo {
                weight: Some(11),
                leaf_weight: Some(12),
                device_weights: vec![DeviceWeight { device: (8, 0), weight: Some(13), leaf_weight: Some(14) }],
                read_bps: rate(1, 15),
                write_bps: rate(2, 16),
                read_iops: rate(3, 17),
                write_iops: rate(4, 18),
            },
            huge_pages: vec![HugePages { page_size: "2MB".into(), limit: 19 }],
            network_class: Some(20),
            network_priorities: vec![("eth0".into(), 21)],
            rdma: [("mlx5_1".to_owned(), Rdma { handles: Some(22), objects: Some(23) })].into(),
            unified: [("memory.high".to_owned(), "24".to_owned())].into(),
            devices: None,
        };
        assert_eq!(plan, expected);
    }

    #[test]
    fn negative_limits_of_huge_pages_are_refused() {
        let error = limits(&parse(json!({"hugepageLimits": [{"pageSize": "2MB", "limit": -1}]}))).unwrap_err();
        assert_eq!(error.to_string(), "linux.resources.hugepageLimits: limit -1 of 2MB pages is negative");
    }

    #[test]
    fn limits_of_huge_pages_beyond_what_the_parsed_form_has_room_for_are_no_limits() {
        let mut resources = json!({"hugepageLimits": [{"pageSize": "2MB", "limit": u64::MAX}, {"limit": 7}, {}]});
        assert!(bring_within_range(&mut resources));
        assert_eq!(resources["hugepageLimits"][0]["limit"], json!(i64::MAX));
        assert_eq!(resources["hugepageLimits"][1]["limit"], json!(7));
        assert!(!bring_within_range(&mut resources) && !bring_within_range(&mut json!([])));
    }

    #[test]
    fn an_idle_cgroup_gets_no_shares() {
        let cpu = |idle| limits(&parse(json!({"cpu": {"shares": 512, "idle": idle}}))).unwrap().cpu;
        assert_eq!((cpu(1).shares, cpu(1).idle), (None, Some(1)));
        assert_eq!((cpu(0).shares, cpu(0).idle), (Some(512), Some(0)));
    }

    #[test]
    fn no_limit_of_tasks_is_not_a_limit_of_zero() {
        let pids = |text: &str| {
            let mut resources: LinuxResources = serde_json::from_str(text).unwrap();
            forget_absent_limit(Some(&mut resources), text.as_bytes(), "/pids/limit");
            limits(&resources).unwrap().pids
        };
        assert_eq!(pids(r#"{"pids": {}}"#), None);
        assert_eq!(pids(r#"{"pids": {"limit": 0}}"#), Some(0));
        assert_eq!(pids(r#"{"pids": {"limit": -1}}"#), Some(-1));
    }
}
