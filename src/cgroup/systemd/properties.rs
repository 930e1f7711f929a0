//! Limits as properties of a systemd unit. Pure.
//!
//! Whatever systemd sets itself it sets again when it comes to it (`daemon-reload`, another unit in the same slice): so it
//! must be told what holds. What it has no property for is written to the cgroup's files alone, and stays as it is.
//!
//! Devices are among the latter, on purpose: without a `DevicePolicy` systemd attaches no program of its own, and what
//! the container may use is up to the runtime's program and to those that hooks replace it by. With one, a
//! `daemon-reload` would take away every device that systemd was not told of.
//!
//! See systemd.resource-control(5) and org.freedesktop.systemd1(5).

use super::wire::Value;
use crate::cgroup::Resources;
use crate::cgroup::resources::v2::{cpu_weight, swap_max};
use crate::error::{Error, Result};
use crate::sys::sched::mask_of_list;

/// A property: name and value.
pub type Property = (String, Value);

/// No limit.
pub(super) const INFINITY: u64 = u64::MAX;
/// The kernel's period where none is given, in microseconds.
const PERIOD: u64 = 100_000;
/// systemd has quotas in whole percents of a processor: in steps of so many microseconds a second.
const STEP: u64 = 10_000;

// The versions of systemd from which on it knows a property.
const HAS_QUOTA_PERIOD: u32 = 242;
const HAS_CPUSET: u32 = 244;
const HAS_IDLE: u32 = 252;
const HAS_OOM_POLICY: u32 = 253;

pub(super) fn property(name: &str, value: Value) -> Property {
    (name.to_owned(), value)
}

/// The properties that set `resources`, for systemd `version`; of a `new` scope those too that cannot change later, and
/// that slices have not.
///
/// # Errors
/// What the specification does not know.
pub fn of(resources: &Resources, version: u32, new: bool) -> Result<Vec<Property>> {
    let mut all = Vec::new();
    let memory = &resources.memory;
    let given = |value: Option<i64>| value.filter(|value| *value != 0);
    let bytes = |limit: i64| Value::U64(u64::try_from(limit).unwrap_or(INFINITY));
    let limit = given(memory.limit);
    all.extend(limit.map(|limit| property("MemoryMax", bytes(limit))));
    all.extend(given(memory.reservation).map(|low| property("MemoryLow", bytes(low))));
    all.extend(swap_max(limit, memory.swap)?.map(|swap| property("MemorySwapMax", bytes(swap))));
    cpu(resources, version, &mut all);
    all.extend(resources.pids.map(|limit| tasks(u64::try_from(limit).unwrap_or(INFINITY))));
    cpusets(resources, version, &mut all)?;
    for (file, value) in &resources.unified {
        unified(resources, file, value.trim(), version, new, &mut all)
            .map_err(|why| Error::invalid(format!("linux.resources.unified: {file}: {value:?} {why}")))?;
    }
    Ok(all)
}

pub(super) fn cpusets(resources: &Resources, version: u32, all: &mut Vec<Property>) -> Result<()> {
    for (name, list) in [("AllowedCPUs", &resources.cpus), ("AllowedMemoryNodes", &resources.mems)] {
        if let Some(list) = list.as_ref().filter(|_| version >= HAS_CPUSET) {
            all.push(property(name, Value::bytes(&bits(list)?)));
        }
    }
    Ok(())
}

/// `resources` with what systemd can only set in steps as systemd sets it: the files and the unit are to say the same.
pub fn rounded(resources: &Resources) -> Resources {
    let mut resources = resources.clone();
    let cpu = &mut resources.cpu;
    if let Some(quota) = cpu.quota.and_then(|quota| u64::try_from(quota).ok()).filter(|quota| *quota > 0) {
        let period = cpu.period.filter(|period| *period != 0).unwrap_or(PERIOD);
        let a_second = quota_a_second(quota, period);
        if a_second != INFINITY {
            let rounded = u128::from(a_second) * u128::from(period) / 1_000_000;
            cpu.quota = i64::try_from(rounded).ok().or(cpu.quota);
        }
    }
    resources
}

/// Microseconds of a processor in a second, in systemd's steps, never less than asked for.
fn quota_a_second(quota: u64, period: u64) -> u64 {
    let exact = u128::from(quota) * 1_000_000 / u128::from(period.max(1));
    u64::try_from(exact.div_ceil(STEP.into()) * u128::from(STEP)).unwrap_or(INFINITY)
}

pub(super) fn tasks(limit: u64) -> Property {
    // systemd refuses 0.
    property("TasksMax", Value::U64(limit.max(1)))
}

fn cpu(resources: &Resources, version: u32, all: &mut Vec<Property>) {
    let cpu = &resources.cpu;
    let shares = cpu.shares.filter(|shares| *shares != 0);
    match (cpu.idle, shares) {
        // An idle cgroup has no weight.
        (Some(1), _) if version >= HAS_IDLE => all.push(weight(0)),
        (_, Some(shares)) => all.push(weight(cpu_weight(shares))),
        // No longer idle, and nothing else: the default.
        (Some(0), None) if version >= HAS_IDLE => all.push(weight(INFINITY)),
        _ => {}
    }
    let quota = cpu.quota.filter(|quota| *quota != 0);
    quota_of(quota.map(|quota| u64::try_from(quota).ok()), cpu.period.filter(|period| *period != 0), version, all);
}

fn weight(weight: u64) -> Property {
    property("CPUWeight", Value::U64(weight))
}

/// `quota` is `Some(None)` when there is to be none.
pub(super) fn quota_of(quota: Option<Option<u64>>, period: Option<u64>, version: u32, all: &mut Vec<Property>) {
    if let Some(period) = period.filter(|_| version >= HAS_QUOTA_PERIOD) {
        all.push(property("CPUQuotaPeriodUSec", Value::U64(period)));
    }
    if quota.is_some() || period.is_some() {
        let quota = quota.flatten().map_or(INFINITY, |quota| quota_a_second(quota, period.unwrap_or(PERIOD)));
        all.push(property("CPUQuotaPerSecUSec", Value::U64(quota)));
    }
}

/// A file of the cgroup, where systemd has a property for it.
fn unified(
    resources: &Resources,
    file: &str,
    value: &str,
    version: u32,
    new: bool,
    all: &mut Vec<Property>,
) -> std::result::Result<(), String> {
    let number = |value: &str| value.parse::<u64>().map_err(|_| "is not a number".to_owned());
    let limit = |value: &str| if value == "max" { Ok(INFINITY) } else { number(value) };
    let is_idle = |value: &str| value == "1" && version >= HAS_IDLE;
    let same_with_another_name = match file {
        "memory.min" => "MemoryMin",
        "memory.low" => "MemoryLow",
        "memory.high" => "MemoryHigh",
        "memory.max" => "MemoryMax",
        "memory.swap.max" => "MemorySwapMax",
        _ => "",
    };
    match file {
        _ if !same_with_another_name.is_empty() => {
            all.push(property(same_with_another_name, Value::U64(limit(value)?)));
        }
        "pids.max" => all.push(tasks(limit(value)?)),
        "cpu.idle" if is_idle(value) => all.push(weight(0)),
        "cpu.weight" if resources.unified.get("cpu.idle").is_some_and(|idle| is_idle(idle.trim())) => {}
        "cpu.weight" => all.push(weight(number(value)?)),
        "cpu.max" => {
            let mut words = value.split_ascii_whitespace();
            let quota = words.next().ok_or("is empty")?;
            let quota = if quota == "max" { None } else { Some(number(quota)?) };
            let period = words.next().map(number).transpose()?.filter(|period| *period != 0);
            quota_of(Some(quota), Some(period.unwrap_or(PERIOD)), version, all);
        }
        "cpuset.cpus" | "cpuset.mems" if version >= HAS_CPUSET => {
            let name = if file == "cpuset.cpus" { "AllowedCPUs" } else { "AllowedMemoryNodes" };
            all.push(property(name, Value::bytes(&bits(value).map_err(|error| error.to_string())?)));
        }
        "memory.oom.group" if new && version >= HAS_OOM_POLICY => match value {
            "0" => all.push(property("OOMPolicy", Value::text("continue"))),
            "1" => all.push(property("OOMPolicy", Value::text("kill"))),
            _ => {}
        },
        // The file alone.
        _ => {}
    }
    Ok(())
}

/// A list of processors or memory nodes (`0-3,7`) as systemd takes it: a bit each, the lowest first.
fn bits(list: &str) -> Result<Vec<u8>> {
    let mask = mask_of_list(list).filter(|mask| !mask.is_empty());
    let mask = mask.ok_or_else(|| Error::invalid(format!("{list:?} is not a list of processors or memory nodes")))?;
    let mut bits: Vec<u8> = mask.into_iter().flat_map(u64::to_le_bytes).collect();
    bits.truncate(bits.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1));
    Ok(bits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cgroup::{Cpu, Memory};

    fn shown(resources: &Resources, version: u32) -> Vec<String> {
        let number = |value: &Value| match value {
            Value::U64(u64::MAX) => "infinity".to_owned(),
            Value::U64(n) => n.to_string(),
            other => format!("{other:?}"),
        };
        of(resources, version, true).unwrap().iter().map(|(name, value)| format!("{name}={}", number(value))).collect()
    }

    fn unified(file: &str, value: &str) -> Resources {
        Resources { unified: [(file.to_owned(), value.to_owned())].into(), ..Resources::default() }
    }

    fn with_cpu(cpu: Cpu) -> Resources {
        Resources { cpu, ..Resources::default() }
    }

    #[test]
    fn memory_has_three_limits() {
        let memory = Memory { limit: Some(4096), swap: Some(8192), reservation: Some(1024), ..Memory::default() };
        let resources = Resources { memory, ..Resources::default() };
        assert_eq!(shown(&resources, 257), ["MemoryMax=4096", "MemoryLow=1024", "MemorySwapMax=4096"]);
        let memory = Memory { limit: Some(-1), reservation: Some(0), ..Memory::default() };
        let resources = Resources { memory, ..Resources::default() };
        assert_eq!(shown(&resources, 257), ["MemoryMax=infinity", "MemorySwapMax=infinity"]);
    }

    #[test]
    fn quotas_are_rounded_up_to_whole_percents() {
        let quota = |quota, period| with_cpu(Cpu { quota: Some(quota), period, ..Cpu::default() });
        assert_eq!(shown(&quota(50_000, None), 257), ["CPUQuotaPerSecUSec=500000"]);
        assert_eq!(
            shown(&quota(33_333, Some(100_000)), 257),
            ["CPUQuotaPeriodUSec=100000", "CPUQuotaPerSecUSec=340000"]
        );
        assert_eq!(shown(&quota(33_333, Some(100_000)), 241), ["CPUQuotaPerSecUSec=340000"]);
        assert_eq!(shown(&quota(-1, None), 257), ["CPUQuotaPerSecUSec=infinity"]);
        assert_eq!(shown(&quota(0, None), 257), [""; 0]);
        assert_eq!(shown(&quota(0, Some(5000)), 257), ["CPUQuotaPeriodUSec=5000", "CPUQuotaPerSecUSec=infinity"]);
        assert_eq!(shown(&quota(i64::MAX, Some(1)), 257)[1], "CPUQuotaPerSecUSec=infinity");
    }

    #[test]
    fn the_files_get_the_quota_that_systemd_sets() {
        let quota = |quota, period| rounded(&with_cpu(Cpu { quota, period, ..Cpu::default() })).cpu.quota;
        assert_eq!(quota(Some(33_333), Some(100_000)), Some(34_000));
        assert_eq!(quota(Some(50_000), None), Some(50_000));
        assert_eq!(quota(Some(-1), None), Some(-1));
        assert_eq!(quota(None, Some(7)), None);
        assert_eq!(quota(Some(i64::MAX), Some(1)), Some(i64::MAX));
    }

    #[test]
    fn shares_are_weights_and_idle_is_a_weight_of_its_own() {
        let cpu = |shares, idle| with_cpu(Cpu { shares, idle, ..Cpu::default() });
        assert_eq!(shown(&cpu(Some(1024), None), 257), ["CPUWeight=100"]);
        assert_eq!(shown(&cpu(Some(1024), Some(1)), 257), ["CPUWeight=0"]);
        assert_eq!(shown(&cpu(Some(1024), Some(1)), 251), ["CPUWeight=100"]);
        assert_eq!(shown(&cpu(Some(0), Some(0)), 257), ["CPUWeight=infinity"]);
    }

    #[test]
    fn tasks_are_never_none() {
        let pids = |limit| shown(&Resources { pids: Some(limit), ..Resources::default() }, 257);
        assert_eq!([pids(-1), pids(0), pids(7)], [["TasksMax=infinity"], ["TasksMax=1"], ["TasksMax=7"]]);
    }

    #[test]
    fn lists_are_bits() {
        assert_eq!(bits("0-3,7, 9").unwrap(), [0b1000_1111, 0b10]);
        for wrong in ["", ",", "3-1", "a", "0-", "99999999", "-1"] {
            assert!(bits(wrong).is_err(), "{wrong}");
        }
        let resources = Resources { cpus: Some("1".to_owned()), ..Resources::default() };
        assert_eq!(of(&resources, 257, true).unwrap(), [property("AllowedCPUs", Value::bytes(&[2]))]);
        assert_eq!(of(&resources, 243, true).unwrap(), []);
    }

    #[test]
    fn files_of_the_unified_hierarchy_are_properties_where_systemd_has_them() {
        for (file, value, expected) in [
            ("memory.high", " 4096\n", "MemoryHigh=4096"),
            ("memory.swap.max", "max", "MemorySwapMax=infinity"),
            ("pids.max", "0", "TasksMax=1"),
            ("cpu.weight", "200", "CPUWeight=200"),
            ("cpu.idle", "1", "CPUWeight=0"),
        ] {
            assert_eq!(shown(&unified(file, value), 257), [expected]);
        }
        assert_eq!(
            shown(&unified("cpu.max", "max"), 257),
            ["CPUQuotaPeriodUSec=100000", "CPUQuotaPerSecUSec=infinity"]
        );
        assert_eq!(
            shown(&unified("cpu.max", "5000 10000"), 257),
            ["CPUQuotaPeriodUSec=10000", "CPUQuotaPerSecUSec=500000"]
        );
        assert_eq!(shown(&unified("memory.zswap.max", "1"), 257), [""; 0]);
        let both = Resources {
            unified: [("cpu.idle".to_owned(), "1".to_owned()), ("cpu.weight".to_owned(), "5".to_owned())].into(),
            ..Resources::default()
        };
        assert_eq!(shown(&both, 257), ["CPUWeight=0"]);
    }

    #[test]
    fn a_value_that_is_no_number_is_refused_by_its_file() {
        for (file, value) in [("memory.max", "lots"), ("cpu.max", ""), ("cpu.max", "x 1"), ("cpuset.cpus", "z")] {
            let error = of(&unified(file, value), 257, true).unwrap_err().to_string();
            assert!(error.contains(file) && error.contains(value), "{error}");
        }
    }

    #[test]
    fn what_a_unit_does_when_memory_is_out_is_told_once() {
        let resources = unified("memory.oom.group", "1");
        assert_eq!(of(&resources, 257, true).unwrap(), [property("OOMPolicy", Value::text("kill"))]);
        assert_eq!(of(&resources, 257, false).unwrap(), []);
    }
}
