//! What a cgroup uses, in the shape that `runc events --stats` prints.
//!
//! Field names and which numbers are left out when zero are those of runc's `types/events.go`: tools parse them. Objects
//! are there even when all in them is zero: runc 1.5 leaves those out, every version before it had them.

mod shape;
mod v1;
mod v2;

pub use shape::*;

use std::collections::BTreeMap;
use std::path::Path;

use rustix::io::Errno;

use super::{Cgroup, file};
use crate::error::{Attempt, Error, Result};

impl Cgroup {
    /// What the cgroup uses. Without a controller its part is zero.
    ///
    /// # Errors
    /// A file cannot be read, or is not as the kernel documents it.
    pub fn stats(&self) -> Result<Stats> {
        let mut stats = Stats::default();
        if self.unified {
            if let Some(dir) = self.dirs.first() {
                v2::read(&dir.path, &mut stats)?;
            }
        } else {
            for dir in &self.dirs {
                for controller in &dir.controllers {
                    v1::read(*controller, &dir.path, &mut stats)?;
                }
            }
        }
        Ok(stats)
    }
}

/// The content of a file; `None` where the kernel has no such file.
fn content(dir: &Path, name: &str) -> Result<Option<String>> {
    match file::read(dir, name) {
        Ok(content) => Ok(Some(content)),
        // ENODEV: the cgroup was removed just now. EOPNOTSUPP: pressure is not counted (psi=0).
        Err(Errno::NOENT | Errno::NODEV | Errno::OPNOTSUPP) => Ok(None),
        Err(errno) => Err(Error::os(errno, file::reading(dir, name))),
    }
}

fn malformed(dir: &Path, name: &str, text: &str) -> Error {
    Error::invalid(format!("unable to parse {}: {text:?}", dir.join(name).display()))
}

/// A number of the kernel: `max` is the largest, and negative (which some counters get by mistake) is 0.
fn number(text: &str) -> Option<u64> {
    match text.trim() {
        "max" => Some(u64::MAX),
        text => text.parse().ok().or_else(|| text.parse::<i64>().is_ok().then_some(0)),
    }
}

/// A file with one number.
fn value(dir: &Path, name: &str) -> Result<Option<u64>> {
    let Some(content) = content(dir, name)? else { return Ok(None) };
    number(&content).map(Some).ok_or_else(|| malformed(dir, name, content.trim()))
}

/// A file of `key value` lines.
fn table(dir: &Path, name: &str) -> Result<BTreeMap<String, u64>> {
    let Some(content) = content(dir, name)? else { return Ok(BTreeMap::new()) };
    let parse = |line: &str| {
        let (key, value) = line.split_once(' ')?;
        Some((key.to_owned(), number(value)?))
    };
    content.lines().map(|line| parse(line).ok_or_else(|| malformed(dir, name, line))).collect()
}

/// A list of processors or nodes, `0-2,7`.
fn list(dir: &Path, name: &str) -> Result<Vec<u16>> {
    let Some(content) = content(dir, name)? else { return Ok(Vec::new()) };
    let parse = |range: &str| -> Option<std::ops::RangeInclusive<u16>> {
        let (from, to) = range.split_once('-').unwrap_or((range, range));
        Some(from.parse().ok()?..=to.parse().ok()?)
    };
    let mut numbers = Vec::new();
    for range in content.trim().split(',').filter(|range| !range.is_empty()) {
        numbers.extend(parse(range).ok_or_else(|| malformed(dir, name, range))?);
    }
    Ok(numbers)
}

/// `rdma.current` or `rdma.max`: `mlx4_0 hca_handle=2 hca_object=max`.
fn rdma_entries(dir: &Path, name: &str) -> Result<Vec<RdmaEntry>> {
    let Some(content) = content(dir, name)? else { return Ok(Vec::new()) };
    let entry = |line: &str| {
        let mut words = line.split_ascii_whitespace();
        let mut entry = RdmaEntry { device: words.next()?.to_owned(), ..RdmaEntry::default() };
        for word in words {
            let (key, value) = word.split_once('=')?;
            let value = if value == "max" { u32::MAX } else { value.parse().ok()? };
            match key {
                "hca_handle" => entry.hca_handles = value,
                "hca_object" => entry.hca_objects = value,
                _ => {}
            }
        }
        Some(entry)
    };
    Ok(content.lines().filter_map(entry).collect())
}

/// Huge pages: what `count` makes of the files of one size, of those that count reservations first. These are counted apart
/// since Linux 5.7, and they are what a limit stops.
fn hugetlb(stats: &mut Stats, count: impl Fn(&str, &str) -> Result<Option<Hugetlb>>) -> Result<()> {
    for size in huge_page_sizes()? {
        for prefix in [format!("hugetlb.{size}.rsvd"), format!("hugetlb.{size}")] {
            if let Some(pages) = count(&size, &prefix)? {
                stats.hugetlb.insert(size, pages);
                break;
            }
        }
    }
    Ok(())
}

/// Tasks, where they are counted; says whether they are.
fn pids(dir: &Path, stats: &mut Stats) -> Result<bool> {
    let Some(current) = value(dir, "pids.current")? else { return Ok(false) };
    let limit = value(dir, "pids.max")?.filter(|limit| *limit != u64::MAX).unwrap_or(0);
    stats.pids = Pids { current, limit };
    Ok(true)
}

/// RDMA is the same on both versions.
fn rdma(dir: &Path, stats: &mut Stats) -> Result<()> {
    let (current, limit) = (rdma_entries(dir, "rdma.current")?, rdma_entries(dir, "rdma.max")?);
    // A device may go away between the two.
    if current.len() == limit.len() {
        stats.rdma = RdmaStats { limit, current };
    }
    Ok(())
}

/// The sizes of huge pages of this machine, as the kernel spells them in cgroup file names.
fn huge_page_sizes() -> Result<Vec<String>> {
    let dir = "/sys/kernel/mm/hugepages";
    let entries = match crate::sys::folder::entries(Path::new(dir)) {
        Err(Errno::NOENT) => return Ok(Vec::new()),
        entries => entries.attempt(|| format!("read {dir}"))?,
    };
    let names = entries.into_iter().filter_map(|(name, _)| name.into_string().ok());
    let mut sizes: Vec<String> = names.filter_map(|name| huge_page_size(&name)).collect();
    sizes.sort_unstable();
    Ok(sizes)
}

/// `2MB` of `hugepages-2048kB`.
fn huge_page_size(name: &str) -> Option<String> {
    let size: u64 = name.strip_prefix("hugepages-")?.strip_suffix("kB")?.parse().ok()?;
    Some(match size {
        0..1024 => format!("{size}KB"),
        1024..1_048_576 => format!("{}MB", size >> 10),
        _ => format!("{}GB", size >> 20),
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A folder with files, as a cgroup would have them.
    pub(super) struct Folder(std::path::PathBuf);

    impl Folder {
        pub(super) fn new(name: &str, files: &[(&str, &str)]) -> Folder {
            let path = std::env::temp_dir().join(format!("nskit-test-stats-{name}-{}", std::process::id()));
            std::fs::create_dir_all(&path).unwrap();
            for (name, content) in files {
                std::fs::write(path.join(name), content).unwrap();
            }
            Folder(path)
        }

        pub(super) fn path(&self) -> &Path {
            &self.0
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            std::fs::remove_dir_all(&self.0).unwrap();
        }
    }

    #[test]
    fn what_is_zero_is_printed_as_runc_prints_it() {
        let none = r#"{"limit":0,"failcnt":0}"#;
        let expected = [
            r#"{"cpu":{"usage":{"kernel":0,"user":0},"throttling":{}},"#,
            r#""cpuset":{"cpu_exclusive":0,"mem_hardwall":0,"mem_exclusive":0,"memory_migrate":0,"#,
            r#""memory_spread_page":0,"memory_spread_slab":0,"memory_pressure":0,"sched_load_balance":0,"#,
            r#""sched_relax_domain_level":0},"#,
            &format!(r#""memory":{{"usage":{none},"swap":{none},"kernel":{none},"kernelTCP":{none}}},"#),
            r#""pids":{},"blkio":{},"hugetlb":{}}"#,
        ];
        let expected = expected.concat();
        assert_eq!(serde_json::to_string(&Stats::default()).unwrap(), expected);
    }

    #[test]
    fn names_are_those_that_runc_prints() {
        let stats = Stats {
            cpu: CpuStats {
                usage: CpuUsage { percpu_kernel: vec![1], ..CpuUsage::default() },
                throttling: Throttling { periods: 1, throttled_periods: 2, throttled_time: 3 },
                psi: None,
            },
            memory: MemoryStats {
                kernel_tcp: MemoryEntry { limit: 1, usage: 2, max: 3, failcnt: 4 },
                ..MemoryStats::default()
            },
            blkio: Blkio {
                io_service_bytes_recursive: vec![BlkioEntry { major: 8, minor: 0, op: "Read".into(), value: 5 }],
                io_queued_recursive: vec![BlkioEntry { major: 8, minor: 1, op: "Total".into(), value: 6 }],
                ..Blkio::default()
            },
            ..Stats::default()
        };
        let json = serde_json::to_value(&stats).unwrap();
        assert_eq!(json["cpu"]["usage"], serde_json::json!({"percpu_kernel": [1], "kernel": 0, "user": 0}));
        assert_eq!(
            json["cpu"]["throttling"],
            serde_json::json!({"periods": 1, "throttledPeriods": 2, "throttledTime": 3})
        );
        assert_eq!(json["memory"]["kernelTCP"], serde_json::json!({"limit": 1, "usage": 2, "max": 3, "failcnt": 4}));
        assert_eq!(
            json["blkio"],
            serde_json::json!({
                "ioServiceBytesRecursive": [{"major": 8, "op": "Read", "value": 5}],
                "ioQueueRecursive": [{"major": 8, "minor": 1, "op": "Total", "value": 6}],
            })
        );
    }

    #[test]
    fn sizes_of_huge_pages_are_spelt_as_in_cgroup_files() {
        let spelt = ["hugepages-64kB", "hugepages-2048kB", "hugepages-1048576kB"].map(huge_page_size);
        assert_eq!(spelt, ["64KB", "2MB", "1GB"].map(|size| Some(size.to_owned())));
        assert_eq!(huge_page_size("other"), None);
    }

    #[test]
    fn lists_are_read_in_ranges() {
        let folder = Folder::new("list", &[("ok", "0-2,7\n"), ("empty", "\n"), ("bad", "1-x\n")]);
        assert_eq!(list(folder.path(), "ok").unwrap(), [0, 1, 2, 7]);
        assert_eq!(list(folder.path(), "empty").unwrap(), [0; 0]);
        assert!(list(folder.path(), "bad").unwrap_err().to_string().ends_with("/bad: \"1-x\""));
    }

    #[test]
    fn rdma_limits_may_be_none() {
        let max = "mlx4_0 hca_handle=2 hca_object=max\n";
        let folder = Folder::new("rdma", &[("rdma.max", max), ("rdma.current", "mlx4_0 hca_handle=1 hca_object=0\n")]);
        let mut stats = Stats::default();
        rdma(folder.path(), &mut stats).unwrap();
        assert_eq!((stats.rdma.limit[0].hca_handles, stats.rdma.limit[0].hca_objects), (2, u32::MAX));
        assert_eq!(stats.rdma.current[0].hca_handles, 1);
    }
}
