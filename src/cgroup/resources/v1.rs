//! Limits as writes to v1 files, see the kernel's `Documentation/admin-guide/cgroup-v1/`.

use super::{DeviceRate, Resources, Write, given, pids_max, rdma_and_huge_pages};
use crate::cgroup::Controller::{Blkio, Cpu, Cpuset, Memory, NetCls, NetPrio, Pids};
use crate::error::{Error, Result};

/// The writes, in the order of the controllers.
pub(in crate::cgroup) fn writes(resources: &Resources) -> Result<Vec<Write>> {
    if !resources.unified.is_empty() {
        return Err(Error::invalid("invalid configuration: cannot use unified on cgroup v1"));
    }
    let mut writes = Vec::new();
    cpuset(resources, &mut writes);
    memory(resources, &mut writes)?;
    cpu(resources, &mut writes)?;
    if let Some(limit) = resources.pids {
        writes.push(Write::new(Pids, "pids.max", pids_max(limit)));
    }
    blkio(resources, &mut writes);
    rdma_and_huge_pages(resources, "limit_in_bytes", &mut writes)?;
    if let Some(class) = given(resources.network_class) {
        writes.push(Write::new(NetCls, "net_cls.classid", class));
    }
    for (interface, priority) in &resources.network_priorities {
        writes.push(Write::new(NetPrio, "net_prio.ifpriomap", format!("{interface} {priority}")));
    }
    Ok(writes)
}

fn cpuset(resources: &Resources, writes: &mut Vec<Write>) {
    for (file, value) in [("cpuset.cpus", &resources.cpus), ("cpuset.mems", &resources.mems)] {
        if let Some(value) = value {
            writes.push(Write::new(Cpuset, file, value));
        }
    }
}

/// The limit may never be above that of memory and swap. Raising both, the second must come first: so the first is
/// tried, and tried again after the second when the kernel refused it.
fn memory(resources: &Resources, writes: &mut Vec<Write>) -> Result<()> {
    let memory = &resources.memory;
    let (limit, swap) = (given(memory.limit), given(memory.swap));
    // No limit of memory alone is no limit of memory and swap, where the kernel counts that.
    let both_unlimited = limit == Some(-1) && swap.is_none();
    if let Some(limit) = limit {
        writes.push(Write::new(Memory, "memory.limit_in_bytes", limit).again_if(swap.is_some() || both_unlimited));
    }
    if let Some(swap) = swap {
        writes.push(Write::new(Memory, "memory.memsw.limit_in_bytes", swap));
    } else if both_unlimited {
        writes.push(Write::new(Memory, "memory.memsw.limit_in_bytes", -1).optional());
    }
    if let Some(reservation) = given(memory.reservation) {
        writes.push(Write::new(Memory, "memory.soft_limit_in_bytes", reservation));
    }
    if let Some(limit) = given(memory.kernel_tcp) {
        // Newer kernels have none.
        writes.push(Write::new(Memory, "memory.kmem.tcp.limit_in_bytes", limit).optional());
    }
    if memory.disable_oom_killer {
        writes.push(Write::new(Memory, "memory.oom_control", 1));
    }
    match memory.swappiness {
        None | Some(u64::MAX) => {} // -1 of old engines
        Some(swappiness @ 0..=100) => writes.push(Write::new(Memory, "memory.swappiness", swappiness)),
        Some(swappiness) => {
            return Err(Error::invalid(format!("invalid memory swappiness value: {swappiness} (0 to 100 are valid)")));
        }
    }
    Ok(())
}

/// Quota, period and burst limit each other, and the parent's limit them: one that comes too early is tried again.
fn cpu(resources: &Resources, writes: &mut Vec<Write>) -> Result<()> {
    let cpu = &resources.cpu;
    // The kernel refuses a weight while idle is 1, so leaving idle comes first.
    if let Some(idle) = cpu.idle {
        writes.push(Write::new(Cpu, "cpu.idle", idle));
    }
    if let Some(shares) = given(cpu.shares) {
        // The kernel would silently take the nearest that it allows.
        match shares {
            0..2 => return Err(Error::invalid("the minimum allowed cpu-shares is 2")),
            2..=262_144 => writes.push(Write::new(Cpu, "cpu.shares", shares)),
            _ => return Err(Error::invalid("the maximum allowed cpu-shares is 262144")),
        }
    }
    let quota = given(cpu.quota);
    if let Some(period) = given(cpu.period) {
        writes.push(Write::new(Cpu, "cpu.cfs_period_us", period).again_if(quota.is_some()));
    }
    if let Some(burst) = cpu.burst {
        writes.push(Write::new(Cpu, "cpu.cfs_burst_us", burst).optional().again_if(quota.is_some()));
    }
    if let Some(quota) = quota {
        writes.push(Write::new(Cpu, "cpu.cfs_quota_us", quota));
    }
    let runtime = given(cpu.realtime_runtime);
    if let Some(period) = given(cpu.realtime_period) {
        writes.push(Write::new(Cpu, "cpu.rt_period_us", period).again_if(runtime.is_some()));
    }
    if let Some(runtime) = runtime {
        writes.push(Write::new(Cpu, "cpu.rt_runtime_us", runtime));
    }
    Ok(())
}

fn blkio(resources: &Resources, writes: &mut Vec<Write>) {
    let io = &resources.block_io;
    if let Some(weight) = given(io.weight) {
        writes.push(Write::new(Blkio, "blkio.weight", weight).or("blkio.bfq.weight", weight));
    }
    if let Some(weight) = given(io.leaf_weight) {
        writes.push(Write::new(Blkio, "blkio.leaf_weight", weight));
    }
    for device in &io.device_weights {
        let value = |weight| format!("{}:{} {weight}", device.device.0, device.device.1);
        if let Some(weight) = given(device.weight) {
            let write = Write::new(Blkio, "blkio.weight_device", value(weight));
            writes.push(write.or("blkio.bfq.weight_device", value(weight)));
        }
        if let Some(weight) = given(device.leaf_weight) {
            writes.push(Write::new(Blkio, "blkio.leaf_weight_device", value(weight)));
        }
    }
    let throttles: [(&str, &[DeviceRate]); 4] = [
        ("blkio.throttle.read_bps_device", &io.read_bps),
        ("blkio.throttle.write_bps_device", &io.write_bps),
        ("blkio.throttle.read_iops_device", &io.read_iops),
        ("blkio.throttle.write_iops_device", &io.write_iops),
    ];
    for (file, rates) in throttles {
        for DeviceRate { device, rate } in rates {
            writes.push(Write::new(Blkio, file, format!("{}:{} {rate}", device.0, device.1)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{BlockIo, Cpu, DeviceWeight, HugePages, Memory, Rdma};
    use super::*;

    fn shown(resources: &Resources) -> Vec<String> {
        let show = |write: Write| {
            let mark = match (write.optional, write.again) {
                (false, false) => "",
                (true, false) => " optional",
                (false, true) => " again",
                (true, true) => " optional again",
            };
            let otherwise = write.otherwise.map_or(String::new(), |(file, value)| format!(" or {file}={value}"));
            format!("{}={}{mark}{otherwise}", write.file, write.value)
        };
        writes(resources).unwrap().into_iter().map(show).collect()
    }

    fn with_memory(limit: Option<i64>, swap: Option<i64>) -> Resources {
        Resources { memory: Memory { limit, swap, ..Memory::default() }, ..Resources::default() }
    }

    #[test]
    fn memory_comes_before_swap_and_again_after_it() {
        assert_eq!(
            shown(&with_memory(Some(4096), Some(8192))),
            ["memory.limit_in_bytes=4096 again", "memory.memsw.limit_in_bytes=8192"]
        );
        assert_eq!(shown(&with_memory(Some(4096), None)), ["memory.limit_in_bytes=4096"]);
        assert_eq!(shown(&with_memory(Some(0), Some(0))), [""; 0]);
    }

    #[test]
    fn unlimited_memory_frees_swap_too() {
        assert_eq!(
            shown(&with_memory(Some(-1), None)),
            ["memory.limit_in_bytes=-1 again", "memory.memsw.limit_in_bytes=-1 optional"]
        );
    }

    #[test]
    fn cpu_files_that_depend_on_the_quota_are_tried_again_after_it() {
        let cpu = Cpu {
            shares: Some(512),
            quota: Some(50_000),
            period: Some(100_000),
            burst: Some(1000),
            idle: Some(0),
            realtime_runtime: Some(900),
            realtime_period: Some(1000),
        };
        assert_eq!(
            shown(&Resources { cpu, ..Resources::default() }),
            [
                "cpu.idle=0",
                "cpu.shares=512",
                "cpu.cfs_period_us=100000 again",
                "cpu.cfs_burst_us=1000 optional again",
                "cpu.cfs_quota_us=50000",
                "cpu.rt_period_us=1000 again",
                "cpu.rt_runtime_us=900",
            ]
        );
        let alone = Cpu { period: Some(100_000), ..Cpu::default() };
        assert_eq!(shown(&Resources { cpu: alone, ..Resources::default() }), ["cpu.cfs_period_us=100000"]);
    }

    #[test]
    fn shares_that_the_kernel_would_clamp_are_refused() {
        let refused = |shares| {
            let cpu = Cpu { shares: Some(shares), ..Cpu::default() };
            writes(&Resources { cpu, ..Resources::default() }).unwrap_err().to_string()
        };
        assert_eq!(refused(1), "the minimum allowed cpu-shares is 2");
        assert_eq!(refused(262_145), "the maximum allowed cpu-shares is 262144");
    }

    #[test]
    fn weights_fall_back_to_bfq() {
        let device_weights = vec![DeviceWeight { device: (8, 0), weight: Some(300), leaf_weight: Some(20) }];
        let block_io = BlockIo {
            weight: Some(100),
            device_weights,
            write_iops: vec![DeviceRate { device: (8, 16), rate: 7 }],
            ..BlockIo::default()
        };
        assert_eq!(
            shown(&Resources { block_io, ..Resources::default() }),
            [
                "blkio.weight=100 or blkio.bfq.weight=100",
                "blkio.weight_device=8:0 300 or blkio.bfq.weight_device=8:0 300",
                "blkio.leaf_weight_device=8:0 20",
                "blkio.throttle.write_iops_device=8:16 7",
            ]
        );
    }

    #[test]
    fn everything_else_is_one_write_each() {
        let resources = Resources {
            cpus: Some("0-1".into()),
            mems: Some("0".into()),
            pids: Some(-1),
            huge_pages: vec![HugePages { page_size: "2MB".into(), limit: 0 }],
            network_class: Some(0x10_0001),
            network_priorities: vec![("eth0".into(), 5)],
            rdma: [("mlx5_1".to_owned(), Rdma { handles: Some(3), objects: None })].into(),
            memory: Memory {
                reservation: Some(1024),
                kernel_tcp: Some(2048),
                swappiness: Some(0),
                disable_oom_killer: true,
                ..Memory::default()
            },
            ..Resources::default()
        };
        assert_eq!(
            shown(&resources),
            [
                "cpuset.cpus=0-1",
                "cpuset.mems=0",
                "memory.soft_limit_in_bytes=1024",
                "memory.kmem.tcp.limit_in_bytes=2048 optional",
                "memory.oom_control=1",
                "memory.swappiness=0",
                "pids.max=max",
                "hugetlb.2MB.limit_in_bytes=0",
                "hugetlb.2MB.rsvd.limit_in_bytes=0 optional",
                "rdma.max=mlx5_1 hca_handle=3",
                "net_cls.classid=1048577",
                "net_prio.ifpriomap=eth0 5",
            ]
        );
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let refused = |resources: Resources| writes(&resources).unwrap_err().to_string();
        let unified = [("memory.high".to_owned(), "1".to_owned())].into();
        assert_eq!(
            refused(Resources { unified, ..Resources::default() }),
            "invalid configuration: cannot use unified on cgroup v1"
        );
        let memory = Memory { swappiness: Some(101), ..Memory::default() };
        assert_eq!(
            refused(Resources { memory, ..Resources::default() }),
            "invalid memory swappiness value: 101 (0 to 100 are valid)"
        );
        let huge_pages = vec![HugePages { page_size: "../x".into(), limit: 0 }];
        assert_eq!(refused(Resources { huge_pages, ..Resources::default() }), "invalid huge page size \"../x\"");
    }
}
