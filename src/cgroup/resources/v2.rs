//! Limits as writes to v2 files, see the kernel's `Documentation/admin-guide/cgroup-v2.rst`. The specification speaks
//! of v1 files; the conversions are the ones that runc and crun agreed on.

use super::{DeviceRate, Resources, Write, given, pids_max, rdma_and_huge_pages};
use crate::cgroup::Controller::{Blkio, Cpu, Cpuset, Memory, Pids, Unified};
use crate::error::{Error, Result};

/// The writes. What only v1 has (network class and priorities, swappiness, real-time budgets) is passed over, as every
/// engine expects.
pub(in crate::cgroup) fn writes(resources: &Resources) -> Result<Vec<Write>> {
    let mut writes = Vec::new();
    if let Some(limit) = resources.pids {
        writes.push(Write::new(Pids, "pids.max", pids_max(limit)));
    }
    memory(resources, &mut writes)?;
    io(resources, &mut writes);
    cpu(resources, &mut writes);
    for (file, value) in [("cpuset.cpus", &resources.cpus), ("cpuset.mems", &resources.mems)] {
        if let Some(value) = value {
            writes.push(Write::new(Cpuset, file, value));
        }
    }
    rdma_and_huge_pages(resources, "max", &mut writes)?;
    let is_idle = resources.unified.get("cpu.idle").is_some_and(|idle| idle.trim() == "1");
    for (file, value) in &resources.unified {
        if is_idle && file.starts_with("cpu.weight") {
            log::warn!("linux.resources.unified: {file} is not set: with cpu.idle, a cgroup has no weight");
            continue;
        }
        if file.contains(['/', '\0']) {
            return Err(Error::invalid(format!("unified resource {file:?} must be a file name (no slashes)")));
        }
        if !file.contains('.') || file.starts_with('.') {
            return Err(Error::invalid(format!("unified resource {file:?} must be in the form CONTROLLER.PARAMETER")));
        }
        writes.push(Write::new(Unified, file.clone(), value));
    }
    Ok(writes)
}

/// A limit as v2 spells it.
fn max(limit: i64) -> String {
    if limit == -1 { "max".to_owned() } else { limit.to_string() }
}

/// `memory.swap.max`: v1 limits memory and swap together, v2 swap alone. 0 is none of it, as crun has it; `None` leaves it
/// alone.
pub(in crate::cgroup) fn swap_max(limit: Option<i64>, swap: Option<i64>) -> Result<Option<i64>> {
    match (limit, swap) {
        // Unlimited memory means unlimited swap, as v1 has it, unless something else is said.
        (Some(-1), None) | (_, Some(-1)) => Ok(Some(-1)),
        (_, None) => Ok(None),
        (_, Some(0)) => Ok(Some(0)),
        (Some(-1), Some(swap)) => Ok(Some(swap)),
        (None, Some(_)) => Err(Error::invalid("unable to set swap limit without memory limit")),
        (Some(limit), Some(_)) if limit < 0 => Err(Error::invalid(format!("invalid memory value: {limit}"))),
        (Some(limit), Some(swap)) if swap < limit => {
            Err(Error::invalid(format!("memory+swap limit {swap} should be at least the memory limit {limit}")))
        }
        (Some(limit), Some(swap)) => Ok(Some(swap - limit)),
    }
}

fn memory(resources: &Resources, writes: &mut Vec<Write>) -> Result<()> {
    let memory = &resources.memory;
    let limit = given(memory.limit);
    if let Some(swap) = swap_max(limit, memory.swap)? {
        let write = Write::new(Memory, "memory.swap.max", max(swap));
        // Where the kernel does not count swap, there is none to be had, and no limit to it.
        writes.push(if swap <= 0 { write.optional() } else { write });
    }
    if let Some(limit) = limit {
        writes.push(Write::new(Memory, "memory.max", max(limit)));
    }
    if let Some(reservation) = given(memory.reservation) {
        writes.push(Write::new(Memory, "memory.low", max(reservation)));
    }
    Ok(())
}

/// `io.weight` (1 to 10000, default 100) of a v1 weight (10 to 1000).
fn io_weight(weight: u16) -> u64 {
    1 + u64::from(weight.saturating_sub(10)) * 9999 / 990
}

fn io(resources: &Resources, writes: &mut Vec<Write>) {
    let io = &resources.block_io;
    if let Some(weight) = given(io.weight) {
        writes.push(Write::new(Blkio, "io.bfq.weight", weight).or("io.weight", io_weight(weight)));
    }
    for device in &io.device_weights {
        if let Some(weight) = given(device.weight) {
            let (major, minor) = device.device;
            let write = Write::new(Blkio, "io.bfq.weight", format!("{major}:{minor} {weight}"));
            writes.push(write.or("io.weight", format!("{major}:{minor} {}", io_weight(weight))).optional());
        }
    }
    let limits: [(&str, &[DeviceRate]); 4] =
        [("rbps", &io.read_bps), ("wbps", &io.write_bps), ("riops", &io.read_iops), ("wiops", &io.write_iops)];
    for (key, rates) in limits {
        for DeviceRate { device, rate } in rates {
            // 0 is no limit on v1, and refused on v2.
            let rate = if *rate == 0 { "max".to_owned() } else { rate.to_string() };
            writes.push(Write::new(Blkio, "io.max", format!("{}:{} {key}={rate}", device.0, device.1)));
        }
    }
}

/// `cpu.weight` (1 to 10000, default 100) of v1 shares (2 to 262144, default 1024): a curve of second degree between
/// the logarithms, through the two ends and the two defaults.
pub(in crate::cgroup) fn cpu_weight(shares: u64) -> u64 {
    match shares {
        0..=2 => 1,
        262_144.. => 10_000,
        _ => {
            let x = (shares as f64).log2();
            let exponent = (x * x + 125.0 * x) / 612.0 - 7.0 / 34.0;
            10f64.powf(exponent).ceil() as u64
        }
    }
}

fn cpu(resources: &Resources, writes: &mut Vec<Write>) {
    let cpu = &resources.cpu;
    // The kernel refuses a weight while idle is 1, so leaving idle comes first.
    if let Some(idle) = cpu.idle {
        writes.push(Write::new(Cpu, "cpu.idle", idle));
    }
    if let Some(shares) = given(cpu.shares) {
        writes.push(Write::new(Cpu, "cpu.weight", cpu_weight(shares)));
    }
    let (quota, period) = (given(cpu.quota), given(cpu.period));
    if let Some(burst) = cpu.burst {
        // More than the quota of before is refused: the new one follows.
        writes.push(Write::new(Cpu, "cpu.max.burst", burst).again_if(quota.is_some()));
    }
    if quota.is_some() || period.is_some() {
        let quota = quota.filter(|quota| *quota > 0).map_or_else(|| "max".to_owned(), |quota| quota.to_string());
        writes.push(Write::new(Cpu, "cpu.max", format!("{quota} {}", period.unwrap_or(100_000))));
    }
}

#[cfg(test)]
mod tests {
    use super::super::{BlockIo, Cpu, DeviceWeight, HugePages, Memory};
    use super::*;

    fn shown(resources: &Resources) -> Vec<String> {
        writes(resources).unwrap().into_iter().map(|write| format!("{}={}", write.file, write.value)).collect()
    }

    fn with_memory(limit: Option<i64>, swap: Option<i64>) -> Resources {
        Resources { memory: Memory { limit, swap, ..Memory::default() }, ..Resources::default() }
    }

    #[test]
    fn shares_become_weights_through_both_ends_and_the_default() {
        assert_eq!([2, 1024, 262_144, 1, 300_000].map(cpu_weight), [1, 100, 10_000, 1, 10_000]);
        assert_eq!([3, 512, 2048, 102_400].map(cpu_weight), [2, 59, 174, 4429]);
    }

    #[test]
    fn blkio_weights_become_io_weights_through_both_ends() {
        assert_eq!([10, 100, 500, 1000].map(io_weight), [1, 910, 4950, 10_000]);
    }

    #[test]
    fn swap_is_what_is_above_memory() {
        assert_eq!(shown(&with_memory(Some(4096), Some(8192))), ["memory.swap.max=4096", "memory.max=4096"]);
        assert_eq!(shown(&with_memory(Some(4096), Some(4096))), ["memory.swap.max=0", "memory.max=4096"]);
        assert_eq!(shown(&with_memory(Some(4096), Some(-1))), ["memory.swap.max=max", "memory.max=4096"]);
        assert_eq!(shown(&with_memory(Some(-1), None)), ["memory.swap.max=max", "memory.max=max"]);
        assert_eq!(shown(&with_memory(Some(4096), None)), ["memory.max=4096"]);
        assert_eq!(shown(&with_memory(Some(4096), Some(0))), ["memory.swap.max=0", "memory.max=4096"]);
        assert_eq!(shown(&with_memory(None, Some(0))), ["memory.swap.max=0"]);
    }

    #[test]
    fn no_swap_is_fine_where_the_kernel_does_not_count_swap() {
        let optional = |limit, swap| writes(&with_memory(limit, swap)).unwrap()[0].optional;
        assert!(optional(Some(4096), Some(4096)));
        assert!(optional(Some(4096), Some(-1)));
        assert!(!optional(Some(4096), Some(8192)));
    }

    #[test]
    fn swap_that_makes_no_sense_is_refused() {
        let refused = |limit, swap| writes(&with_memory(limit, swap)).unwrap_err().to_string();
        assert_eq!(refused(None, Some(4096)), "unable to set swap limit without memory limit");
        assert_eq!(refused(Some(2), Some(1)), "memory+swap limit 1 should be at least the memory limit 2");
        assert_eq!(refused(Some(-2), Some(1)), "invalid memory value: -2");
    }

    #[test]
    fn quota_and_period_share_a_file() {
        let with = |cpu| shown(&Resources { cpu, ..Resources::default() });
        assert_eq!(with(Cpu { quota: Some(5000), ..Cpu::default() }), ["cpu.max=5000 100000"]);
        assert_eq!(with(Cpu { period: Some(5000), ..Cpu::default() }), ["cpu.max=max 5000"]);
        assert_eq!(with(Cpu { quota: Some(-1), period: Some(9), ..Cpu::default() }), ["cpu.max=max 9"]);
        let idle = Cpu { idle: Some(0), shares: Some(1024), burst: Some(10), quota: Some(20), ..Cpu::default() };
        assert_eq!(with(idle), ["cpu.idle=0", "cpu.weight=100", "cpu.max.burst=10", "cpu.max=20 100000"]);
    }

    #[test]
    fn block_io_uses_bfq_or_io_weight() {
        let block_io = BlockIo {
            weight: Some(500),
            device_weights: vec![DeviceWeight { device: (8, 0), weight: Some(10), leaf_weight: None }],
            read_bps: vec![DeviceRate { device: (8, 0), rate: 1024 }],
            write_bps: vec![DeviceRate { device: (8, 0), rate: 0 }],
            ..BlockIo::default()
        };
        let resources = Resources { block_io, ..Resources::default() };
        assert_eq!(
            shown(&resources),
            ["io.bfq.weight=500", "io.bfq.weight=8:0 10", "io.max=8:0 rbps=1024", "io.max=8:0 wbps=max"]
        );
        let otherwise: Vec<_> = writes(&resources).unwrap().into_iter().filter_map(|write| write.otherwise).collect();
        assert_eq!(otherwise, [("io.weight", "4950".to_owned()), ("io.weight", "8:0 1".to_owned())]);
    }

    #[test]
    fn an_idle_cgroup_gets_no_weight() {
        let unified = [("cpu.idle".to_owned(), "1".to_owned()), ("cpu.weight".to_owned(), "5".to_owned())].into();
        assert_eq!(shown(&Resources { unified, ..Resources::default() }), ["cpu.idle=1"]);
    }

    #[test]
    fn unified_names_are_files_of_a_controller_and_come_last() {
        let with = |file: &str| Resources {
            pids: Some(5),
            huge_pages: vec![HugePages { page_size: "1GB".into(), limit: 7 }],
            unified: [(file.to_owned(), "x".to_owned())].into(),
            ..Resources::default()
        };
        assert_eq!(
            shown(&with("memory.high")),
            ["pids.max=5", "hugetlb.1GB.max=7", "hugetlb.1GB.rsvd.max=7", "memory.high=x"]
        );
        let refused = |file| writes(&with(file)).unwrap_err().to_string();
        assert_eq!(refused("../cgroup.procs"), "unified resource \"../cgroup.procs\" must be a file name (no slashes)");
        assert_eq!(refused("nodot"), "unified resource \"nodot\" must be in the form CONTROLLER.PARAMETER");
    }
}
