//! What a container's cgroup uses, as the messages that containerd's clients know for cgroup v1 and v2: Metrics of
//! github.com/containerd/cgroups, cgroup1/stats and cgroup2/stats.

use super::message::Any;
use crate::cgroup::{BlkioEntry, MemoryEntry, Psi, RdmaEntry, Stats};
use crate::protobuf::Message;

/// The answer of `Stats`. `memory_events` are those of [`crate::cgroup::Cgroup::memory_events`].
pub(super) fn answer(stats: &Stats, memory_events: &[u64], is_unified: bool) -> Message {
    let (url, mut metrics, field) = match is_unified {
        true => ("io.containerd.cgroups.v2.Metrics", v2(stats), 8),
        false => ("io.containerd.cgroups.v1.Metrics", v1(stats), 9),
    };
    metrics.message(field, &counts(1, memory_events));
    let any = Any { url: url.to_owned(), value: metrics.into_bytes() };
    let mut answer = Message::default();
    answer.message(1, &any.message());
    answer
}

/// Numbers, the first of them field `first`.
fn counts(first: u32, numbers: &[u64]) -> Message {
    let mut message = Message::default();
    for (field, number) in (first..).zip(numbers) {
        message.count(field, *number);
    }
    message
}

fn v1(stats: &Stats) -> Message {
    let mut metrics = Message::default();
    for (size, huge) in &stats.hugetlb {
        metrics.message(1, counts(1, &[huge.usage, huge.max, huge.failcnt]).text(4, size));
    }
    metrics.message(2, &counts(1, &[stats.pids.current, stats.pids.limit]));
    let usage = &stats.cpu.usage;
    let mut time = counts(1, &[usage.total, usage.kernel, usage.user]);
    let mut processors = Message::default();
    usage.percpu.iter().for_each(|time| {
        processors.bare(*time);
    });
    time.words(4, processors.bytes());
    let throttling = &stats.cpu.throttling;
    let throttled = counts(1, &[throttling.periods, throttling.throttled_periods, throttling.throttled_time]);
    metrics.message(3, Message::default().message(1, &time).message(2, &throttled));
    metrics.message(4, &v1_memory(stats));
    let blkio = &stats.blkio;
    let mut devices = Message::default();
    let lists = [
        &blkio.io_service_bytes_recursive,
        &blkio.io_serviced_recursive,
        &blkio.io_queued_recursive,
        &blkio.io_service_time_recursive,
        &blkio.io_wait_time_recursive,
        &blkio.io_merged_recursive,
        &blkio.io_time_recursive,
        &blkio.sectors_recursive,
    ];
    for (field, list) in (1..).zip(lists) {
        list.iter().for_each(|entry| {
            devices.message(field, &v1_device(entry));
        });
    }
    metrics.message(5, &devices).message(6, &rdma(stats));
    metrics
}

/// `memory.stat` by the names that it has, in the order of the message's fields from 2 on.
const V1_MEMORY: [&str; 30] = [
    "rss",
    "rss_huge",
    "mapped_file",
    "dirty",
    "writeback",
    "pgpgin",
    "pgpgout",
    "pgfault",
    "pgmajfault",
    "inactive_anon",
    "active_anon",
    "inactive_file",
    "active_file",
    "unevictable",
    "hierarchical_memory_limit",
    "hierarchical_memsw_limit",
    "total_cache",
    "total_rss",
    "total_rss_huge",
    "total_mapped_file",
    "total_dirty",
    "total_writeback",
    "total_pgpgin",
    "total_pgpgout",
    "total_pgfault",
    "total_pgmajfault",
    "total_inactive_anon",
    "total_active_anon",
    "total_inactive_file",
    "total_active_file",
];

fn v1_memory(stats: &Stats) -> Message {
    let raw = |name: &str| stats.memory.raw.get(name).copied().unwrap_or(0);
    let mut memory = Message::default();
    memory.count(1, raw("cache"));
    for (field, name) in (2..).zip(V1_MEMORY) {
        memory.count(field, raw(name));
    }
    memory.count(32, raw("total_unevictable"));
    let entry = |entry: &MemoryEntry| counts(1, &[entry.limit, entry.usage, entry.max, entry.failcnt]);
    let usage = &stats.memory;
    for (field, of) in (33..).zip([&usage.usage, &usage.swap, &usage.kernel, &usage.kernel_tcp]) {
        memory.message(field, &entry(of));
    }
    memory
}

fn v1_device(entry: &BlkioEntry) -> Message {
    let mut message = Message::default();
    message.words(1, &entry.op).count(3, entry.major).count(4, entry.minor).count(5, entry.value);
    message
}

fn rdma(stats: &Stats) -> Message {
    let entry = |entry: &RdmaEntry| {
        let mut message = Message::default();
        message.words(1, &entry.device).count(2, entry.hca_handles.into()).count(3, entry.hca_objects.into());
        message
    };
    let mut message = Message::default();
    for (field, list) in [(1, &stats.rdma.current), (2, &stats.rdma.limit)] {
        list.iter().for_each(|device| {
            message.message(field, &entry(device));
        });
    }
    message
}

/// `memory.stat` by the names that it has, in the order of the message's fields from 1 on. Others are sums; see
/// [`v2_memory`].
const V2_MEMORY: [&str; 31] = [
    "anon",
    "file",
    "kernel_stack",
    "slab",
    "sock",
    "shmem",
    "file_mapped",
    "file_dirty",
    "file_writeback",
    "anon_thp",
    "inactive_anon",
    "active_anon",
    "inactive_file",
    "active_file",
    "unevictable",
    "slab_reclaimable",
    "slab_unreclaimable",
    "pgfault",
    "pgmajfault",
    "workingset_refault",
    "workingset_activate",
    "workingset_nodereclaim",
    "pgrefill",
    "pgscan",
    "pgsteal",
    "pgactivate",
    "pgdeactivate",
    "pglazyfree",
    "pglazyfreed",
    "thp_fault_alloc",
    "thp_collapse_alloc",
];

fn v2(stats: &Stats) -> Message {
    let mut metrics = Message::default();
    // No limit is the largest number, as the Go shim has it.
    let limit = if stats.pids.limit == 0 { u64::MAX } else { stats.pids.limit };
    metrics.message(1, &counts(1, &[stats.pids.current, limit]));
    let (usage, throttling) = (&stats.cpu.usage, &stats.cpu.throttling);
    let micros = |nanos: u64| nanos / 1000;
    let mut cpu = counts(
        1,
        &[
            micros(usage.total),
            micros(usage.user),
            micros(usage.kernel),
            throttling.periods,
            throttling.throttled_periods,
            micros(throttling.throttled_time),
        ],
    );
    pressure(&mut cpu, 7, stats.cpu.psi.as_ref());
    metrics.message(2, &cpu).message(4, &v2_memory(stats)).message(5, &rdma(stats));
    metrics.message(6, &v2_devices(stats));
    for (size, huge) in &stats.hugetlb {
        metrics.message(7, counts(1, &[huge.usage, huge.max]).text(3, size).count(4, huge.failcnt));
    }
    metrics
}

fn v2_memory(stats: &Stats) -> Message {
    let raw = |name: &str| stats.memory.raw.get(name).copied().unwrap_or(0);
    let sum = |names: [&str; 2]| names.into_iter().map(raw).sum::<u64>();
    let mut memory = Message::default();
    for (field, name) in (1..).zip(V2_MEMORY) {
        let number = match name {
            // Split in two by newer kernels.
            "workingset_refault" => raw(name) + sum(["workingset_refault_anon", "workingset_refault_file"]),
            "workingset_activate" => raw(name) + sum(["workingset_activate_anon", "workingset_activate_file"]),
            name => raw(name),
        };
        memory.count(field, number);
    }
    let (usage, swap) = (&stats.memory.usage, &stats.memory.swap);
    // Memory and swap together, as runc counts, are apart here.
    let apart = |both: u64, one: u64| if both == u64::MAX { both } else { both.saturating_sub(one) };
    let swap_limit = if swap.limit == u64::MAX { u64::MAX } else { apart(swap.limit, usage.limit) };
    memory.count(32, usage.usage).count(33, usage.limit).count(34, apart(swap.usage, usage.usage));
    memory.count(35, swap_limit).count(36, usage.max).count(37, swap.max);
    pressure(&mut memory, 38, stats.memory.psi.as_ref());
    memory
}

fn v2_devices(stats: &Stats) -> Message {
    let blkio = &stats.blkio;
    let mut devices: Vec<(u64, u64)> = Vec::new();
    let all = blkio.io_service_bytes_recursive.iter().chain(&blkio.io_serviced_recursive);
    for entry in all {
        if !devices.contains(&(entry.major, entry.minor)) {
            devices.push((entry.major, entry.minor));
        }
    }
    let find = |list: &[BlkioEntry], device: (u64, u64), op: &str| {
        let mut of = list.iter().filter(|entry| (entry.major, entry.minor) == device && entry.op == op);
        of.next().map_or(0, |entry| entry.value)
    };
    let mut io = Message::default();
    for (major, minor) in devices {
        let bytes = |op| find(&blkio.io_service_bytes_recursive, (major, minor), op);
        let operations = |op| find(&blkio.io_serviced_recursive, (major, minor), op);
        let numbers = [major, minor, bytes("Read"), bytes("Write"), operations("Read"), operations("Write")];
        io.message(1, &counts(1, &numbers));
    }
    pressure(&mut io, 2, blkio.psi.as_ref());
    io
}

fn pressure(message: &mut Message, field: u32, psi: Option<&Psi>) {
    let Some(psi) = psi else { return };
    let mut both = Message::default();
    for (field, line) in [(1, &psi.some), (2, &psi.full)] {
        let mut numbers = Message::default();
        numbers.double(1, line.avg10).double(2, line.avg60).double(3, line.avg300).count(4, line.total);
        both.message(field, &numbers);
    }
    message.message(field, &both);
}
