//! Statistics from v1 files.

use std::path::Path;

use super::{BlkioEntry, Hugetlb, MemoryEntry, Stats, content, list, malformed, number, table, value};
use crate::cgroup::Controller;
use crate::error::Result;

/// cpuacct.stat counts in ticks of USER_HZ, which is 100 on every architecture that this runs on.
const NANOSECONDS_A_TICK: u64 = 1_000_000_000 / 100;

/// Adds what one controller counts.
pub(super) fn read(controller: Controller, dir: &Path, stats: &mut Stats) -> Result<()> {
    match controller {
        Controller::Cpu => cpu(dir, stats),
        Controller::Cpuacct => cpuacct(dir, stats),
        Controller::Cpuset => cpuset(dir, stats),
        Controller::Memory => memory(dir, stats),
        Controller::Pids => super::pids(dir, stats).map(drop),
        Controller::Blkio => blkio(dir, stats),
        Controller::Hugetlb => hugetlb(dir, stats),
        Controller::Rdma => super::rdma(dir, stats),
        _ => Ok(()),
    }
}

fn cpu(dir: &Path, stats: &mut Stats) -> Result<()> {
    let table = table(dir, "cpu.stat")?;
    let of = |key| table.get(key).copied().unwrap_or(0);
    stats.cpu.throttling.periods = of("nr_periods");
    stats.cpu.throttling.throttled_periods = of("nr_throttled");
    stats.cpu.throttling.throttled_time = of("throttled_time");
    Ok(())
}

fn cpuacct(dir: &Path, stats: &mut Stats) -> Result<()> {
    let usage = &mut stats.cpu.usage;
    let ticks = table(dir, "cpuacct.stat")?;
    let of = |key| ticks.get(key).copied().unwrap_or(0).saturating_mul(NANOSECONDS_A_TICK);
    usage.user = of("user");
    usage.kernel = of("system");
    usage.total = value(dir, "cpuacct.usage")?.unwrap_or(0);
    if let Some(content) = content(dir, "cpuacct.usage_percpu")? {
        usage.percpu = content.split_ascii_whitespace().filter_map(number).collect();
    }
    if let Some(content) = content(dir, "cpuacct.usage_all")? {
        // A heading, then "cpu user system" by processor.
        for line in content.lines().skip(1) {
            let mut words = line.split_ascii_whitespace().skip(1);
            let mut next = || words.next().and_then(number).ok_or_else(|| malformed(dir, "cpuacct.usage_all", line));
            usage.percpu_user.push(next()?);
            usage.percpu_kernel.push(next()?);
        }
    }
    Ok(())
}

fn cpuset(dir: &Path, stats: &mut Stats) -> Result<()> {
    let of = |name: &str| value(dir, name).map(Option::unwrap_or_default);
    let set = &mut stats.cpuset;
    set.cpus = list(dir, "cpuset.cpus")?;
    set.cpu_exclusive = of("cpuset.cpu_exclusive")?;
    set.mems = list(dir, "cpuset.mems")?;
    set.mem_hardwall = of("cpuset.mem_hardwall")?;
    set.mem_exclusive = of("cpuset.mem_exclusive")?;
    set.memory_migrate = of("cpuset.memory_migrate")?;
    set.memory_spread_page = of("cpuset.memory_spread_page")?;
    set.memory_spread_slab = of("cpuset.memory_spread_slab")?;
    set.memory_pressure = of("cpuset.memory_pressure")?;
    set.sched_load_balance = of("cpuset.sched_load_balance")?;
    if let Some(level) = content(dir, "cpuset.sched_relax_domain_level")? {
        let parsed = level.trim().parse();
        set.sched_relax_domain_level =
            parsed.map_err(|_| malformed(dir, "cpuset.sched_relax_domain_level", level.trim()))?;
    }
    Ok(())
}

fn memory(dir: &Path, stats: &mut Stats) -> Result<()> {
    let entry = |prefix: &str| -> Result<MemoryEntry> {
        let of = |name: &str| value(dir, &format!("{prefix}.{name}")).map(Option::unwrap_or_default);
        Ok(MemoryEntry {
            limit: of("limit_in_bytes")?,
            usage: of("usage_in_bytes")?,
            max: of("max_usage_in_bytes")?,
            failcnt: of("failcnt")?,
        })
    };
    let memory = &mut stats.memory;
    memory.raw = table(dir, "memory.stat")?;
    memory.cache = memory.raw.get("cache").copied().unwrap_or(0);
    memory.usage = entry("memory")?;
    memory.swap = entry("memory.memsw")?;
    memory.kernel = entry("memory.kmem")?;
    memory.kernel_tcp = entry("memory.kmem.tcp")?;
    Ok(())
}

/// The first of these groups of files whose first file has something to say is the one that the machine's I/O scheduler
/// fills: BFQ's with debugging and without, CFQ's, those of throttling.
fn blkio(dir: &Path, stats: &mut Stats) -> Result<()> {
    type Target = fn(&mut super::Blkio) -> &mut Vec<BlkioEntry>;
    const ALL: [(&str, Target); 8] = [
        ("sectors_recursive", |blkio| &mut blkio.sectors_recursive),
        ("io_service_time_recursive", |blkio| &mut blkio.io_service_time_recursive),
        ("io_wait_time_recursive", |blkio| &mut blkio.io_wait_time_recursive),
        ("io_merged_recursive", |blkio| &mut blkio.io_merged_recursive),
        ("io_queued_recursive", |blkio| &mut blkio.io_queued_recursive),
        ("time_recursive", |blkio| &mut blkio.io_time_recursive),
        ("io_serviced_recursive", |blkio| &mut blkio.io_serviced_recursive),
        ("io_service_bytes_recursive", |blkio| &mut blkio.io_service_bytes_recursive),
    ];
    const WITHOUT_RECURSION: [(&str, Target); 2] = [
        ("io_serviced", |blkio| &mut blkio.io_serviced_recursive),
        ("io_service_bytes", |blkio| &mut blkio.io_service_bytes_recursive),
    ];
    let groups: [(&str, &[(&str, Target)]); 5] = [
        ("blkio.bfq.", &ALL),
        ("blkio.bfq.", &ALL[6..]),
        ("blkio.", &ALL),
        ("blkio.throttle.", &ALL[6..]),
        ("blkio.throttle.", &WITHOUT_RECURSION),
    ];
    for (prefix, files) in groups {
        if blkio_entries(dir, &format!("{prefix}{}", files[0].0))?.is_empty() {
            continue;
        }
        for (name, target) in files {
            *target(&mut stats.blkio) = blkio_entries(dir, &format!("{prefix}{name}"))?;
        }
        break;
    }
    Ok(())
}

/// Lines of `8:0 Read 5` or `8:0 5`; the sum of all devices at the end is left out.
fn blkio_entries(dir: &Path, name: &str) -> Result<Vec<BlkioEntry>> {
    let Some(content) = content(dir, name)? else { return Ok(Vec::new()) };
    let parse = |line: &str| {
        let (device, rest) = line.split_once(' ')?;
        let (major, minor) = device.split_once(':')?;
        let (op, value) = rest.rsplit_once(' ').unwrap_or(("", rest));
        Some(BlkioEntry {
            major: major.parse().ok()?,
            minor: minor.parse().ok()?,
            op: op.to_owned(),
            value: number(value)?,
        })
    };
    content
        .lines()
        .filter(|line| !line.starts_with("Total"))
        .map(|line| parse(line).ok_or_else(|| malformed(dir, name, line)))
        .collect()
}

fn hugetlb(dir: &Path, stats: &mut Stats) -> Result<()> {
    super::hugetlb(stats, |_, prefix| {
        let of = |name: &str| value(dir, &format!("{prefix}.{name}"));
        let Some(usage) = of("usage_in_bytes")? else { return Ok(None) };
        let (max, failcnt) = (of("max_usage_in_bytes")?.unwrap_or(0), of("failcnt")?.unwrap_or(0));
        Ok(Some(Hugetlb { usage, max, failcnt }))
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::Folder;
    use super::*;

    fn read_from(controller: Controller, name: &str, files: &[(&str, &str)]) -> Stats {
        let folder = Folder::new(name, files);
        let mut stats = Stats::default();
        read(controller, folder.path(), &mut stats).unwrap();
        stats
    }

    #[test]
    fn time_is_in_nanoseconds() {
        let files = [
            ("cpuacct.stat", "user 150\nsystem 7\n"),
            ("cpuacct.usage", "1570000001\n"),
            ("cpuacct.usage_percpu", "1000 570000001 \n"),
            ("cpuacct.usage_all", "cpu user system\n0 900 100\n1 8 9\n"),
        ];
        let usage = read_from(Controller::Cpuacct, "cpuacct", &files).cpu.usage;
        assert_eq!((usage.user, usage.kernel, usage.total), (1_500_000_000, 70_000_000, 1_570_000_001));
        assert_eq!(usage.percpu, [1000, 570_000_001]);
        assert_eq!((usage.percpu_user, usage.percpu_kernel), (vec![900, 8], vec![100, 9]));
    }

    #[test]
    fn memory_without_swap_accounting_has_no_swap() {
        let files = [
            ("memory.stat", "cache 4096\nrss -1\n"),
            ("memory.usage_in_bytes", "8192\n"),
            ("memory.max_usage_in_bytes", "9000\n"),
            ("memory.limit_in_bytes", "9223372036854771712\n"),
            ("memory.failcnt", "3\n"),
        ];
        let memory = read_from(Controller::Memory, "memory1", &files).memory;
        assert_eq!(memory.cache, 4096);
        assert_eq!(memory.raw["rss"], 0);
        let usage = MemoryEntry { limit: 9_223_372_036_854_771_712, usage: 8192, max: 9000, failcnt: 3 };
        assert_eq!((memory.usage, memory.swap), (usage, MemoryEntry::default()));
    }

    #[test]
    fn the_scheduler_that_counts_is_the_one_that_is_read() {
        let throttle = "8:0 Read 1\n8:0 Write 2\n8:0 Total 3\nTotal 3\n";
        let files = [
            ("blkio.bfq.io_serviced_recursive", ""),
            ("blkio.throttle.io_serviced_recursive", throttle),
            ("blkio.throttle.io_service_bytes_recursive", "8:16 Total 4096\nTotal 4096\n"),
        ];
        let blkio = read_from(Controller::Blkio, "blkio", &files).blkio;
        let entry = |op: &str, value| BlkioEntry { major: 8, minor: 0, op: op.into(), value };
        assert_eq!(blkio.io_serviced_recursive, [entry("Read", 1), entry("Write", 2), entry("Total", 3)]);
        assert_eq!(blkio.io_service_bytes_recursive[0].value, 4096);
        let sectors = read_from(Controller::Blkio, "sectors", &[("blkio.sectors_recursive", "8:0 77\n")]).blkio;
        assert_eq!(sectors.sectors_recursive, [entry("", 77)]);
    }

    #[test]
    fn no_limit_of_tasks_is_zero() {
        let files = [("pids.current", "3\n"), ("pids.max", "max\n")];
        let pids = read_from(Controller::Pids, "pids1", &files).pids;
        assert_eq!((pids.current, pids.limit), (3, 0));
    }
}
