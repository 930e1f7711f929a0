//! Limits and devices as properties of a unit on cgroup v1, where systemd has other names for them. Pure.
//!
//! There it writes `devices.allow a` whenever it comes to a unit that has no device policy: so it must be told of devices,
//! or a `daemon-reload` would give the container all of them.
//!
//! See systemd.resource-control(5) of version 239 to 257; from 258 on systemd knows cgroup v2 alone.

use super::properties::{INFINITY, Property, cpusets, property, quota_of, tasks};
use super::wire::Value;
use crate::cgroup::{DeviceKind, Policy, Resources, Rule};
use crate::error::Result;

/// The version from which on a device may be named by its numbers, whether it has a node or not.
const HAS_NUMBERS: u32 = 240;

/// The properties that set `resources`, for systemd `version`.
///
/// # Errors
/// A list of processors or device rules that are not valid.
pub fn of(resources: &Resources, version: u32) -> Result<Vec<Property>> {
    let mut all = Vec::new();
    if let Some(rules) = &resources.devices {
        devices(&Policy::from_rules(rules)?, version, &mut all);
    }
    let memory = resources.memory.limit.filter(|limit| *limit != 0);
    all.extend(memory.map(|limit| property("MemoryLimit", Value::U64(u64::try_from(limit).unwrap_or(INFINITY)))));
    let cpu = &resources.cpu;
    all.extend(cpu.shares.filter(|shares| *shares != 0).map(|shares| property("CPUShares", Value::U64(shares))));
    let quota = cpu.quota.filter(|quota| *quota != 0).map(|quota| u64::try_from(quota).ok());
    quota_of(quota, cpu.period.filter(|period| *period != 0), version, &mut all);
    let weight = resources.block_io.weight.filter(|weight| *weight != 0);
    all.extend(weight.map(|weight| property("BlockIOWeight", Value::U64(weight.into()))));
    all.extend(resources.pids.map(|limit| tasks(u64::try_from(limit).unwrap_or(INFINITY))));
    cpusets(resources, version, &mut all)?;
    Ok(all)
}

/// Only what is allowed can be told; of a policy that allows the rest, nothing is until the cgroup's own files say more.
fn devices(policy: &Policy, version: u32, all: &mut Vec<Property>) {
    let entries = |entries| property("DeviceAllow", Value::Array("(ss)".to_owned(), entries));
    // An empty list forgets what there was.
    all.push(entries(Vec::new()));
    if policy.allows_everything() {
        all.push(property("DevicePolicy", Value::text("auto")));
        return;
    }
    all.push(property("DevicePolicy", Value::text("strict")));
    let named = |rule: Rule| {
        let access = rule.access.to_string();
        Some(Value::Struct(vec![Value::Text(name(&rule, version)?), Value::Text(access)]))
    };
    let allowed: Vec<Value> = policy.allowed().filter_map(named).collect();
    if !allowed.is_empty() {
        all.push(entries(allowed));
    }
}

/// What systemd calls the devices of a rule; `None` for what it has no name for.
fn name(rule: &Rule, version: u32) -> Option<String> {
    let kind = match rule.kind {
        DeviceKind::Block => "block",
        DeviceKind::Char => "char",
        DeviceKind::All => return None,
    };
    match (rule.major, rule.minor) {
        (None, None) => Some(format!("{kind}-*")),
        (Some(major), None) => (version >= HAS_NUMBERS).then(|| format!("{kind}-{major}")),
        (Some(major), Some(minor)) => Some(format!("/dev/{kind}/{major}:{minor}")),
        (None, Some(_)) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cgroup::{Access, BlockIo, Cpu, Memory};

    fn shown(resources: &Resources, version: u32) -> Vec<String> {
        of(resources, version).unwrap().iter().map(|(name, value)| format!("{name}={value:?}")).collect()
    }

    #[test]
    fn limits_have_their_older_names() {
        let resources = Resources {
            memory: Memory { limit: Some(4096), swap: Some(8192), ..Memory::default() },
            cpu: Cpu { shares: Some(512), quota: Some(50_000), ..Cpu::default() },
            block_io: BlockIo { weight: Some(500), ..BlockIo::default() },
            pids: Some(7),
            ..Resources::default()
        };
        let names = [
            "MemoryLimit=U64(4096)",
            "CPUShares=U64(512)",
            "CPUQuotaPerSecUSec=U64(500000)",
            "BlockIOWeight=U64(500)",
            "TasksMax=U64(7)",
        ];
        assert_eq!(shown(&resources, 239), names);
    }

    #[test]
    fn devices_are_named_as_systemd_names_them() {
        let rule = |kind, major, minor| Rule { allow: true, kind, major, minor, access: Access::ALL };
        let rules = vec![
            Rule { allow: false, ..rule(DeviceKind::All, None, None) },
            Rule { access: Access::MKNOD, ..rule(DeviceKind::Char, None, None) },
            rule(DeviceKind::Char, Some(136), None),
            rule(DeviceKind::Block, Some(8), Some(0)),
        ];
        let resources = Resources { devices: Some(rules), ..Resources::default() };
        let all = of(&resources, 252).unwrap();
        assert_eq!(all[0], property("DeviceAllow", Value::Array("(ss)".to_owned(), Vec::new())));
        assert_eq!(all[1], property("DevicePolicy", Value::text("strict")));
        let entry = |name: &str, access: &str| Value::Struct(vec![Value::text(name), Value::text(access)]);
        let expected = vec![entry("char-*", "m"), entry("/dev/block/8:0", "rwm"), entry("char-136", "rwm")];
        let Value::Array(_, mut found) = all[2].1.clone() else { panic!("{all:?}") };
        found.sort_by_key(|value| format!("{value:?}"));
        let mut expected = expected;
        expected.sort_by_key(|value| format!("{value:?}"));
        assert_eq!(found, expected);
        let Value::Array(_, older) = of(&resources, 239).unwrap()[2].1.clone() else { panic!() };
        assert_eq!(older.len(), 2);
    }

    #[test]
    fn every_device_is_no_policy() {
        let all = Rule { allow: true, kind: DeviceKind::All, major: None, minor: None, access: Access::ALL };
        let resources = Resources { devices: Some(vec![all]), ..Resources::default() };
        assert_eq!(of(&resources, 252).unwrap()[1], property("DevicePolicy", Value::text("auto")));
    }
}
