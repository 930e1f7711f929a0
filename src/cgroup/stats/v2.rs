//! Statistics from v2 files.

use std::path::Path;

use super::{BlkioEntry, Hugetlb, MemoryEntry, Psi, PsiLine, Stats, content, list, malformed, number, table, value};
use crate::cgroup::file;
use crate::error::Result;

/// Reads all statistics of the cgroup `dir`.
pub(super) fn read(dir: &Path, stats: &mut Stats) -> Result<()> {
    cpu(dir, stats)?;
    stats.cpuset.cpus = list(dir, "cpuset.cpus.effective")?;
    stats.cpuset.mems = list(dir, "cpuset.mems.effective")?;
    memory(dir, stats)?;
    pids(dir, stats)?;
    io(dir, stats)?;
    hugetlb(dir, stats)?;
    super::rdma(dir, stats)?;
    misc(dir, stats)
}

fn cpu(dir: &Path, stats: &mut Stats) -> Result<()> {
    let table = table(dir, "cpu.stat")?;
    let of = |key| table.get(key).copied().unwrap_or(0);
    let nanoseconds = |key| of(key).saturating_mul(1000);
    let cpu = &mut stats.cpu;
    cpu.usage.total = nanoseconds("usage_usec");
    cpu.usage.user = nanoseconds("user_usec");
    cpu.usage.kernel = nanoseconds("system_usec");
    cpu.throttling.periods = of("nr_periods");
    cpu.throttling.throttled_periods = of("nr_throttled");
    cpu.throttling.throttled_time = nanoseconds("throttled_usec");
    cpu.psi = psi(dir, "cpu.pressure")?;
    Ok(())
}

fn memory(dir: &Path, stats: &mut Stats) -> Result<()> {
    let memory = &mut stats.memory;
    memory.psi = psi(dir, "memory.pressure")?;
    memory.raw = table(dir, "memory.stat")?;
    memory.cache = memory.raw.get("file").copied().unwrap_or(0);
    let entry = |prefix: &str| -> Result<Option<MemoryEntry>> {
        let of = |name: &str| value(dir, &format!("{prefix}.{name}"));
        let Some(usage) = of("current")? else { return Ok(None) };
        // The peaks are there since Linux 5.19 (memory) and 6.5 (swap).
        let (limit, max) = (of("max")?.unwrap_or(0), of("peak")?.unwrap_or(0));
        Ok(Some(MemoryEntry { limit, usage, max, failcnt: 0 }))
    };
    let Some(usage) = entry("memory")? else { return Ok(()) };
    let swap = entry("memory.swap")?.unwrap_or_default();
    // v1 counts memory and swap together. The peaks of two things do not add up.
    memory.swap = MemoryEntry {
        limit: if swap.limit == u64::MAX { u64::MAX } else { swap.limit.saturating_add(usage.limit) },
        usage: swap.usage + usage.usage,
        max: 0,
        failcnt: 0,
    };
    memory.usage = usage;
    Ok(())
}

fn pids(dir: &Path, stats: &mut Stats) -> Result<()> {
    if !super::pids(dir, stats)? {
        // Without the controller the processes can be counted, at least.
        let content = file::read_list(dir, "cgroup.procs").or_else(|_| file::read_list(dir, "cgroup.threads"));
        stats.pids.current = content.map_or(0, |content| content.lines().count() as u64);
    }
    Ok(())
}

/// `io.stat`: `8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0`, under the names of v1.
fn io(dir: &Path, stats: &mut Stats) -> Result<()> {
    stats.blkio.psi = psi(dir, "io.pressure")?;
    let Some(content) = content(dir, "io.stat")? else { return Ok(()) };
    for line in content.lines() {
        let mut words = line.split_ascii_whitespace();
        let Some((major, minor)) = words.next().and_then(|device| device.split_once(':')) else { continue };
        let (Ok(major), Ok(minor)) = (major.parse(), minor.parse()) else {
            return Err(malformed(dir, "io.stat", line));
        };
        for word in words {
            let Some((key, text)) = word.split_once('=') else { continue };
            let (op, target) = match key {
                "rbytes" => ("Read", &mut stats.blkio.io_service_bytes_recursive),
                "wbytes" => ("Write", &mut stats.blkio.io_service_bytes_recursive),
                "rios" => ("Read", &mut stats.blkio.io_serviced_recursive),
                "wios" => ("Write", &mut stats.blkio.io_serviced_recursive),
                _ => continue,
            };
            let value = number(text).ok_or_else(|| malformed(dir, "io.stat", line))?;
            target.push(BlkioEntry { major, minor, op: op.to_owned(), value });
        }
    }
    Ok(())
}

fn hugetlb(dir: &Path, stats: &mut Stats) -> Result<()> {
    super::hugetlb(stats, |size, prefix| {
        let Some(usage) = value(dir, &format!("{prefix}.current"))? else { return Ok(None) };
        let events = content(dir, &format!("hugetlb.{size}.events"))?.unwrap_or_default();
        Ok(Some(Hugetlb { usage, max: 0, failcnt: file::value_of(&events, "max") }))
    })
}

fn misc(dir: &Path, stats: &mut Stats) -> Result<()> {
    for (key, usage) in table(dir, "misc.current")? {
        stats.misc.entry(key).or_default().usage = usage;
    }
    for (key, events) in table(dir, "misc.events")? {
        let key = key.trim_end_matches(".max").to_owned();
        stats.misc.entry(key).or_default().events = events;
    }
    Ok(())
}

/// Pressure; `None` where the kernel does not count it.
fn psi(dir: &Path, name: &str) -> Result<Option<Psi>> {
    let Some(content) = content(dir, name)? else { return Ok(None) };
    let mut psi = Psi::default();
    for line in content.lines() {
        let (target, rest) = match line.split_once(' ') {
            Some(("some", rest)) => (&mut psi.some, rest),
            Some(("full", rest)) => (&mut psi.full, rest),
            _ => continue,
        };
        *target = psi_line(rest).ok_or_else(|| malformed(dir, name, line))?;
    }
    Ok(Some(psi))
}

fn psi_line(text: &str) -> Option<PsiLine> {
    let mut line = PsiLine::default();
    for word in text.split_ascii_whitespace() {
        let (key, value) = word.split_once('=')?;
        match key {
            "avg10" => line.avg10 = value.parse().ok()?,
            "avg60" => line.avg60 = value.parse().ok()?,
            "avg300" => line.avg300 = value.parse().ok()?,
            "total" => line.total = value.parse().ok()?,
            _ => {}
        }
    }
    Some(line)
}

#[cfg(test)]
mod tests {
    use super::super::tests::Folder;
    use super::*;

    fn read_from(name: &str, files: &[(&str, &str)]) -> Stats {
        let folder = Folder::new(name, files);
        let mut stats = Stats::default();
        read(folder.path(), &mut stats).unwrap();
        stats
    }

    #[test]
    fn time_is_in_nanoseconds() {
        let stat = "usage_usec 30\nuser_usec 20\nsystem_usec 10\nnr_periods 4\nnr_throttled 3\nthrottled_usec 2\n";
        let cpu = read_from("cpu2", &[("cpu.stat", stat)]).cpu;
        assert_eq!((cpu.usage.total, cpu.usage.user, cpu.usage.kernel), (30_000, 20_000, 10_000));
        let throttling = cpu.throttling;
        assert_eq!((throttling.periods, throttling.throttled_periods, throttling.throttled_time), (4, 3, 2000));
    }

    #[test]
    fn swap_is_memory_and_swap_together_as_on_v1() {
        let files = [
            ("memory.stat", "anon 1\nfile 4096\n"),
            ("memory.current", "100\n"),
            ("memory.max", "200\n"),
            ("memory.peak", "150\n"),
            ("memory.swap.current", "10\n"),
            ("memory.swap.max", "50\n"),
        ];
        let memory = read_from("memory2", &files).memory;
        assert_eq!(memory.cache, 4096);
        assert_eq!(memory.usage, MemoryEntry { limit: 200, usage: 100, max: 150, failcnt: 0 });
        assert_eq!(memory.swap, MemoryEntry { limit: 250, usage: 110, max: 0, failcnt: 0 });
    }

    #[test]
    fn no_limit_is_the_largest_number() {
        let files = [("memory.current", "1\n"), ("memory.max", "max\n"), ("memory.swap.current", "0\n")];
        let files = [files.as_slice(), &[("memory.swap.max", "max\n")]].concat();
        let memory = read_from("memory3", &files).memory;
        assert_eq!((memory.usage.limit, memory.swap.limit), (u64::MAX, u64::MAX));
    }

    #[test]
    fn pressure_is_read_where_it_is_counted() {
        let pressure =
            "some avg10=1.25 avg60=0.50 avg300=0.00 total=7\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n";
        let stats = read_from("psi", &[("cpu.pressure", pressure)]);
        let some = PsiLine { avg10: 1.25, avg60: 0.5, avg300: 0.0, total: 7 };
        assert_eq!(stats.cpu.psi, Some(Psi { some, full: PsiLine::default() }));
        assert_eq!(stats.memory.psi, None);
    }

    #[test]
    fn io_has_the_names_of_v1() {
        let stats = read_from("io", &[("io.stat", "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6\n7:1 \n")]);
        let entry = |op: &str, value| BlkioEntry { major: 8, minor: 0, op: op.into(), value };
        assert_eq!(stats.blkio.io_service_bytes_recursive, [entry("Read", 1), entry("Write", 2)]);
        assert_eq!(stats.blkio.io_serviced_recursive, [entry("Read", 3), entry("Write", 4)]);
    }

    #[test]
    fn scarce_resources_have_usage_and_events() {
        let stats = read_from("misc", &[("misc.current", "res_a 3\n"), ("misc.events", "res_a.max 2\n")]);
        assert_eq!((stats.misc["res_a"].usage, stats.misc["res_a"].events), (3, 2));
    }
}
