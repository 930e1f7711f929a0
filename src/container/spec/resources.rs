//! `linux.resources` and `linux.cgroupsPath` of a configuration, as the cgroup module takes them.
//!
//! See the runtime specification, `config-linux.md`, "Control groups". Units stay those of the specification; what v2
//! wants differently is converted where the writes are planned.

use std::path::Path;

use oci_spec::runtime::{
    Linux, LinuxBlockIo, LinuxCpu, LinuxDevice, LinuxDeviceCgroup, LinuxDeviceType, LinuxMemory, LinuxResources,
    LinuxThrottleDevice, LinuxWeightDevice,
};

use crate::cgroup::{
    Access, BlockIo, Cpu, DeviceKind, DeviceRate, DeviceWeight, HugePages, Location, Memory, Rdma, Resources, Rule,
};
use crate::error::{Error, Result};

/// A device that every container may use.
struct DefaultDevice {
    /// Where its node is, if it gets one: a device of the configuration with this path stands in for it.
    path: &'static str,
    kind: DeviceKind,
    major: Option<u32>,
    minor: Option<u32>,
    access: Access,
}

const fn node(path: &'static str, major: u32, minor: u32) -> DefaultDevice {
    DefaultDevice { path, kind: DeviceKind::Char, major: Some(major), minor: Some(minor), access: Access::ALL }
}

const fn any(kind: DeviceKind) -> DefaultDevice {
    DefaultDevice { path: "", kind, major: None, minor: None, access: Access::MKNOD }
}

/// The devices that runc allows every container: making any node, using the harmless ones, ptys, and `/dev/net/tun`.
const DEFAULT_DEVICES: [DefaultDevice; 11] = [
    any(DeviceKind::Char),
    any(DeviceKind::Block),
    node("/dev/null", 1, 3),
    node("/dev/random", 1, 8),
    node("/dev/full", 1, 7),
    node("/dev/tty", 5, 0),
    node("/dev/zero", 1, 5),
    node("/dev/urandom", 1, 9),
    DefaultDevice { path: "", kind: DeviceKind::Char, major: Some(136), minor: None, access: Access::ALL }, // pts
    DefaultDevice { path: "", ..node("", 5, 2) },                                                           // ptmx
    DefaultDevice { path: "", ..node("", 10, 200) },                                                        // tun
];

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
    let mut rules = Vec::with_capacity(24);
    for (at, device) in resources.and_then(|resources| resources.devices().as_ref()).into_iter().flatten().enumerate() {
        rules.push(device_rule(device).map_err(|error| error.context(format!("linux.resources.devices[{at}]")))?);
    }
    let own = linux.and_then(|linux| linux.devices().as_deref()).unwrap_or_default();
    rules.extend(default_rules(own));
    plan.devices = Some(rules);
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
    if memory.kernel_tcp().is_some() {
        log::warn!("kernel memory limits are ignored: the kernel has none any more");
    }
    Memory {
        limit: memory.limit(),
        swap: memory.swap(),
        reservation: memory.reservation(),
        swappiness: memory.swappiness(),
        disable_oom_killer: memory.disable_oom_killer().unwrap_or(false),
        check_before_update: memory.check_before_update().unwrap_or(false),
    }
}

fn processor_time(cpu: &LinuxCpu) -> Cpu {
    Cpu {
        shares: cpu.shares(),
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

fn device_rule(device: &LinuxDeviceCgroup) -> Result<Rule> {
    let kind = match device.typ() {
        None | Some(LinuxDeviceType::A) => DeviceKind::All,
        Some(LinuxDeviceType::B) => DeviceKind::Block,
        Some(LinuxDeviceType::C | LinuxDeviceType::U) => DeviceKind::Char,
        Some(LinuxDeviceType::P) => return Err(Error::invalid("invalid cgroup device type \"p\"")),
    };
    let number = |name: &str, number: Option<i64>| match number {
        None | Some(-1) => Ok(None),
        Some(number) => {
            u32::try_from(number).map(Some).map_err(|_| Error::invalid(format!("invalid {name} number {number}")))
        }
    };
    let letters = device.access().as_deref().unwrap_or_default();
    if letters.is_empty() {
        return Err(Error::invalid("device access cannot be empty"));
    }
    let access = Access::parse(letters).ok_or_else(|| Error::invalid(format!("unknown device access {letters:?}")))?;
    let (major, minor) = (number("major", device.major())?, number("minor", device.minor())?);
    Ok(Rule { allow: device.allow(), kind, major, minor, access })
}

/// The rules for the devices that every container may use, but for those whose node is one of `own`.
fn default_rules(own: &[LinuxDevice]) -> impl Iterator<Item = Rule> {
    DEFAULT_DEVICES
        .iter()
        .filter(|device| device.path.is_empty() || own.iter().all(|other| other.path() != Path::new(device.path)))
        .map(|&DefaultDevice { kind, major, minor, access, .. }| Rule { allow: true, kind, major, minor, access })
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

/// Takes an update over into the resources of a container, as `runc update` does: what the update leaves out stays, but
/// lists of processors and nodes, burst, idle, the limit of tasks and `unified` are then no longer set by later updates.
/// Devices do not change.
pub fn merge(resources: &mut LinuxResources, update: &LinuxResources) {
    if let Some(update) = update.block_io() {
        merge_block_io(resources.block_io_mut().get_or_insert_default(), update);
    }
    let none = LinuxCpu::default();
    merge_cpu(resources.cpu_mut().get_or_insert_default(), update.cpu().as_ref().unwrap_or(&none));
    let memory = resources.memory_mut().get_or_insert_default();
    memory.set_check_before_update(Some(false));
    if let Some(update) = update.memory() {
        merge_memory(memory, update);
    }
    resources.set_pids(*update.pids());
    resources.set_unified(update.unified().clone());
    // runc passes over these; to take them is what the caller meant.
    if update.hugepage_limits().is_some() {
        resources.set_hugepage_limits(update.hugepage_limits().clone());
    }
    if update.network().is_some() {
        resources.set_network(update.network().clone());
    }
    if update.rdma().is_some() {
        resources.set_rdma(update.rdma().clone());
    }
}

fn merge_memory(memory: &mut LinuxMemory, update: &LinuxMemory) {
    if let Some(limit) = update.limit() {
        memory.set_limit(Some(limit));
        if limit == -1 && update.swap().is_none() {
            // An old limit of swap makes no sense without one of memory.
            memory.set_swap(Some(0));
        }
    }
    if update.swap().is_some() {
        memory.set_swap(update.swap());
    }
    if update.reservation().is_some() {
        memory.set_reservation(update.reservation());
    }
    if update.check_before_update().is_some() {
        memory.set_check_before_update(update.check_before_update());
    }
}

fn merge_cpu(cpu: &mut LinuxCpu, update: &LinuxCpu) {
    // Period and quota are a pair. When one is given the other stays; when neither is, none is set again.
    let period = update.period().filter(|period| *period != 0);
    let quota = update.quota().filter(|quota| *quota != 0);
    if period.is_some() || quota.is_none() {
        cpu.set_period(period);
    }
    if quota.is_some() || period.is_none() {
        cpu.set_quota(quota);
    }
    if update.shares().is_some() {
        cpu.set_shares(update.shares());
    } else if update.idle().is_some() {
        // The weight of an idle cgroup cannot be set.
        cpu.set_shares(Some(0));
    }
    if update.realtime_period().is_some() {
        cpu.set_realtime_period(update.realtime_period());
    }
    if update.realtime_runtime().is_some() {
        cpu.set_realtime_runtime(update.realtime_runtime());
    }
    cpu.set_burst(update.burst());
    cpu.set_idle(update.idle());
    cpu.set_cpus(update.cpus().clone());
    cpu.set_mems(update.mems().clone());
}

fn merge_block_io(io: &mut LinuxBlockIo, update: &LinuxBlockIo) {
    fn upsert<T: Copy>(
        list: &Option<Vec<T>>,
        update: &Option<Vec<T>>,
        key: impl Fn(&T) -> (i64, i64),
    ) -> Option<Vec<T>> {
        let mut list = list.clone();
        for device in update.iter().flatten() {
            let list = list.get_or_insert_default();
            match list.iter_mut().find(|old| key(old) == key(device)) {
                Some(old) => *old = *device,
                None => list.push(*device),
            }
        }
        list
    }
    if update.weight().is_some() {
        io.set_weight(update.weight());
    }
    if update.leaf_weight().is_some() {
        io.set_leaf_weight(update.leaf_weight());
    }
    let weight = |device: &LinuxWeightDevice| (device.major(), device.minor());
    let rate = |device: &LinuxThrottleDevice| (device.major(), device.minor());
    io.set_weight_device(upsert(io.weight_device(), update.weight_device(), weight));
    io.set_throttle_read_bps_device(upsert(io.throttle_read_bps_device(), update.throttle_read_bps_device(), rate));
    io.set_throttle_write_bps_device(upsert(io.throttle_write_bps_device(), update.throttle_write_bps_device(), rate));
    io.set_throttle_read_iops_device(upsert(io.throttle_read_iops_device(), update.throttle_read_iops_device(), rate));
    io.set_throttle_write_iops_device(upsert(
        io.throttle_write_iops_device(),
        update.throttle_write_iops_device(),
        rate,
    ));
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::cgroup::Policy;

    fn parse(resources: Value) -> LinuxResources {
        serde_json::from_value(resources).unwrap()
    }

    fn creation(linux: Value) -> Result<Resources> {
        let linux: Linux = serde_json::from_value(linux).unwrap();
        for_creation(Some(&linux))
    }

    fn shown(rules: &[Rule]) -> Vec<String> {
        rules.iter().map(|rule| format!("{} {rule}", if rule.allow { "allow" } else { "deny" })).collect()
    }

    #[test]
    fn every_property_arrives() {
        let plan = limits(&parse(json!({
            "memory": {"limit": 1, "swap": 2, "reservation": 3, "swappiness": 4, "disableOOMKiller": true,
                "checkBeforeUpdate": true},
            "cpu": {"shares": 5, "quota": -1, "period": 6, "burst": 7, "idle": 1, "realtimeRuntime": 8,
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
                swappiness: Some(4),
                disable_oom_killer: true,
                check_before_update: true,
            },
            cpu: Cpu {
                shares: Some(5),
                quota: Some(-1),
                period: Some(6),
                burst: Some(7),
                idle: Some(1),
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
    fn what_runc_spec_writes_denies_all_but_the_default_devices() {
        let plan = creation(json!({"resources": {"devices": [{"allow": false, "access": "rwm"}]}})).unwrap();
        let rules = shown(plan.devices.as_ref().unwrap());
        assert_eq!(rules[..4], ["deny a *:* rwm", "allow c *:* m", "allow b *:* m", "allow c 1:3 rwm"]);
        assert_eq!(rules[9..], ["allow c 136:* rwm", "allow c 5:2 rwm", "allow c 10:200 rwm"]);
        assert_eq!(rules.len(), 12);
    }

    #[test]
    fn without_any_rule_only_the_default_devices_are_allowed() {
        let rules = for_creation(None).unwrap().devices.unwrap();
        assert!(!Policy::from_rules(&rules).unwrap().allows_everything());
        assert_eq!(rules.len(), DEFAULT_DEVICES.len());
    }

    #[test]
    fn a_device_of_the_configuration_stands_in_for_the_default_one() {
        let device = json!({"path": "/dev/null", "type": "c", "major": 1, "minor": 3});
        let rules = shown(&creation(json!({"devices": [device]})).unwrap().devices.unwrap());
        assert!(!rules.contains(&"allow c 1:3 rwm".to_owned()), "{rules:?}");
        assert!(rules.contains(&"allow c 1:5 rwm".to_owned()), "{rules:?}");
    }

    #[test]
    fn a_wrong_device_rule_is_refused_with_its_place() {
        let refused = |rule: Value| creation(json!({"resources": {"devices": [rule]}})).unwrap_err().to_string();
        assert_eq!(refused(json!({"allow": true})), "linux.resources.devices[0]: device access cannot be empty");
        assert_eq!(
            refused(json!({"allow": true, "access": "x"})),
            "linux.resources.devices[0]: unknown device access \"x\""
        );
        assert_eq!(
            refused(json!({"allow": true, "access": "r", "type": "c", "major": -7})),
            "linux.resources.devices[0]: invalid major number -7"
        );
        assert_eq!(
            refused(json!({"allow": true, "access": "r", "type": "p"})),
            "linux.resources.devices[0]: invalid cgroup device type \"p\""
        );
    }

    #[test]
    fn an_unbuffered_device_is_a_character_device() {
        let rule = json!({"allow": true, "access": "rw", "type": "u", "major": 4, "minor": -1});
        let plan = creation(json!({"resources": {"devices": [rule]}})).unwrap();
        assert_eq!(shown(&plan.devices.unwrap())[0], "allow c 4:* rw");
    }

    #[test]
    fn negative_limits_of_huge_pages_are_refused() {
        let error = limits(&parse(json!({"hugepageLimits": [{"pageSize": "2MB", "limit": -1}]}))).unwrap_err();
        assert_eq!(error.to_string(), "linux.resources.hugepageLimits: limit -1 of 2MB pages is negative");
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

    fn merged(before: Value, update: Value) -> Value {
        let mut resources = parse(before);
        merge(&mut resources, &parse(update));
        serde_json::to_value(resources).unwrap()
    }

    #[test]
    fn an_update_keeps_what_it_leaves_out() {
        let before = json!({"memory": {"limit": 1, "swap": 2}, "cpu": {"shares": 3}, "blockIO": {"weight": 4}});
        let after = merged(before, json!({"memory": {"limit": 5}}));
        assert_eq!(after["memory"], json!({"limit": 5, "swap": 2, "checkBeforeUpdate": false}));
        assert_eq!((&after["cpu"]["shares"], &after["blockIO"]["weight"]), (&json!(3), &json!(4)));
    }

    #[test]
    fn quota_and_period_are_updated_one_by_one() {
        let before = json!({"cpu": {"quota": 1, "period": 2}});
        assert_eq!(merged(before.clone(), json!({"cpu": {"quota": 3}}))["cpu"], json!({"quota": 3, "period": 2}));
        assert_eq!(merged(before.clone(), json!({"cpu": {"period": 3}}))["cpu"], json!({"quota": 1, "period": 3}));
        assert_eq!(merged(before, json!({}))["cpu"], json!({}));
    }

    #[test]
    fn unlimited_memory_drops_the_limit_of_swap() {
        let after = merged(json!({"memory": {"limit": 1, "swap": 2}}), json!({"memory": {"limit": -1}}));
        assert_eq!(after["memory"]["swap"], json!(0));
    }

    #[test]
    fn an_idle_container_loses_its_shares() {
        assert_eq!(merged(json!({"cpu": {"shares": 512}}), json!({"cpu": {"idle": 1}}))["cpu"]["shares"], json!(0));
    }

    #[test]
    fn a_device_is_updated_in_its_place() {
        let before = json!({"blockIO": {"throttleReadBpsDevice": [
            {"major": 8, "minor": 0, "rate": 1}, {"major": 8, "minor": 16, "rate": 2}]}});
        let update = json!({"blockIO": {"throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 3}]}});
        let after = merged(before, update);
        assert_eq!(
            after["blockIO"]["throttleReadBpsDevice"],
            json!([{"major": 8, "minor": 0, "rate": 3}, {"major": 8, "minor": 16, "rate": 2}])
        );
    }
}
