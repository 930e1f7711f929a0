//! What a group has and uses, in the shape in which `runc events --stats` prints it (`types/events.go`).

use std::path::Path;

use serde::Serialize;

use super::{Group, content};
use crate::error::{Attempt, Error, Result};

/// All of it. What the machine does not have is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Stats {
    /// The L3 cache of the machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub l3_cache_info: Option<CacheInfo>,
    /// What everybody gets of it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub l3_cache_schema_root: String,
    /// What the group gets of it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub l3_cache_schema: String,
    /// The bandwidth to memory of the machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mem_bw_info: Option<BandwidthInfo>,
    /// What everybody gets of it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub mem_bw_schema_root: String,
    /// What the group gets of it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub mem_bw_schema: String,
    /// All lines of the group's schemata.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub schemata: Vec<String>,
    /// Bytes from and to memory, by cache.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mbm_stats: Option<Vec<BandwidthCounts>>,
    /// Bytes in the cache, by cache.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cmt_stats: Option<Vec<CacheCounts>>,
}

/// What there is of the L3 cache.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CacheInfo {
    /// The mask of all of it, hexadecimal.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub cbm_mask: String,
    /// The least bits of a mask.
    #[serde(skip_serializing_if = "is_zero")]
    pub min_cbm_bits: u64,
    /// How many groups there can be.
    #[serde(skip_serializing_if = "is_zero")]
    pub num_closids: u64,
}

/// What there is of the bandwidth to memory, in per cent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct BandwidthInfo {
    /// The steps.
    #[serde(skip_serializing_if = "is_zero")]
    pub bandwidth_gran: u64,
    /// Whether delays are linear.
    #[serde(skip_serializing_if = "is_zero")]
    pub delay_linear: u64,
    /// The least.
    #[serde(skip_serializing_if = "is_zero")]
    pub min_bandwidth: u64,
    /// How many groups there can be.
    #[serde(skip_serializing_if = "is_zero")]
    pub num_closids: u64,
}

/// Bytes from and to memory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct BandwidthCounts {
    /// All.
    pub mbm_total_bytes: u64,
    /// From and to the memory beside the cache.
    pub mbm_local_bytes: u64,
}

/// Bytes in the cache.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CacheCounts {
    /// Of the group.
    pub llc_occupancy: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

pub(super) fn read(group: &Group) -> Result<Stats> {
    let root = &group.tree.root;
    let lines = |dir: &Path| -> Result<Vec<String>> {
        Ok(content(dir, "schemata")?.lines().map(|line| line.trim().to_owned()).collect())
    };
    let (all, own) = (lines(root)?, lines(&group.path)?);
    let schema = |lines: &[String], resource: &str| {
        lines.iter().rfind(|line| line.contains(resource)).cloned().unwrap_or_default()
    };
    let mut stats = Stats::default();
    let info = root.join("info");
    if info.join("L3").exists() {
        let dir = info.join("L3");
        stats.l3_cache_info = Some(CacheInfo {
            cbm_mask: content(&dir, "cbm_mask")?,
            min_cbm_bits: number(&dir, "min_cbm_bits")?,
            num_closids: number(&dir, "num_closids")?,
        });
        (stats.l3_cache_schema_root, stats.l3_cache_schema) = (schema(&all, "L3"), schema(&own, "L3"));
    }
    if info.join("MB").exists() {
        let dir = info.join("MB");
        stats.mem_bw_info = Some(BandwidthInfo {
            bandwidth_gran: number(&dir, "bandwidth_gran")?,
            delay_linear: number(&dir, "delay_linear")?,
            min_bandwidth: number(&dir, "min_bandwidth")?,
            num_closids: number(&dir, "num_closids")?,
        });
        (stats.mem_bw_schema_root, stats.mem_bw_schema) = (schema(&all, "MB"), schema(&own, "MB"));
    }
    stats.schemata = own;
    count(group, &mut stats)?;
    Ok(stats)
}

/// What is counted, cache by cache: of the container alone where it has a group for that, else of its whole group.
fn count(group: &Group, stats: &mut Stats) -> Result<()> {
    let Ok(features) = content(&group.tree.root.join("info/L3_MON"), "mon_features") else { return Ok(()) };
    let has = |name: &str| features.lines().any(|feature| feature == name);
    let (total, local, occupancy) = (has("mbm_total_bytes"), has("mbm_local_bytes"), has("llc_occupancy"));
    if !(total || local || occupancy) {
        return Ok(());
    }
    let dir = group.counting.as_deref().unwrap_or(&group.path).join("mon_data");
    let entries = std::fs::read_dir(&dir).attempt(|| format!("read {}", dir.display()))?;
    let mut caches: Vec<_> =
        entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.is_dir()).collect();
    caches.sort_unstable();
    let of = |cache: &Path, is_counted: bool, name: &str| if is_counted { number(cache, name) } else { Ok(0) };
    let bandwidth = |cache: &std::path::PathBuf| -> Result<BandwidthCounts> {
        Ok(BandwidthCounts {
            mbm_total_bytes: of(cache, total, "mbm_total_bytes")?,
            mbm_local_bytes: of(cache, local, "mbm_local_bytes")?,
        })
    };
    let cached = |cache: &std::path::PathBuf| -> Result<CacheCounts> {
        Ok(CacheCounts { llc_occupancy: of(cache, occupancy, "llc_occupancy")? })
    };
    if total || local {
        stats.mbm_stats = Some(caches.iter().map(bandwidth).collect::<Result<_>>()?);
    }
    if occupancy {
        stats.cmt_stats = Some(caches.iter().map(cached).collect::<Result<_>>()?);
    }
    Ok(())
}

fn number(dir: &Path, name: &str) -> Result<u64> {
    let text = content(dir, name)?;
    let wrong = || Error::invalid(format!("unable to parse {}: {text:?}", dir.join(name).display()));
    text.parse().map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::super::tests::Plain;

    #[test]
    fn statistics_have_runc_s_names() {
        let (plain, tree) = Plain::new("stats");
        plain.write("c/schemata", "    MB:0=20;1=100\n    L3:0=f;1=fffff\n");
        for (cache, bytes) in [("00", 1), ("01", 2)] {
            let file = |name: &str| format!("c/mon_groups/x/mon_data/mon_L3_{cache}/{name}");
            plain.write(&file("llc_occupancy"), &format!("{bytes}\n"));
            plain.write(&file("mbm_total_bytes"), &format!("{}\n", bytes * 10));
            plain.write(&file("mbm_local_bytes"), &format!("{}\n", bytes * 100));
        }
        let stats = serde_json::to_value(tree.group("c", Some("x")).stats().unwrap()).unwrap();
        let expected = serde_json::json!({
            "l3_cache_info": {"cbm_mask": "fffff", "min_cbm_bits": 1, "num_closids": 16},
            "l3_cache_schema_root": "L3:0=fffff;1=fffff",
            "l3_cache_schema": "L3:0=f;1=fffff",
            "mem_bw_info": {"bandwidth_gran": 10, "delay_linear": 1, "min_bandwidth": 10, "num_closids": 8},
            "mem_bw_schema_root": "MB:0=100;1=100",
            "mem_bw_schema": "MB:0=20;1=100",
            "schemata": ["MB:0=20;1=100", "L3:0=f;1=fffff"],
            "mbm_stats": [
                {"mbm_total_bytes": 10, "mbm_local_bytes": 100}, {"mbm_total_bytes": 20, "mbm_local_bytes": 200}],
            "cmt_stats": [{"llc_occupancy": 1}, {"llc_occupancy": 2}],
        });
        assert_eq!(stats, expected);
    }

    #[test]
    fn what_is_not_counted_is_left_out() {
        let (plain, tree) = Plain::new("uncounted");
        plain.write("info/L3_MON/mon_features", "");
        plain.write("c/schemata", "L3:0=f\n");
        let stats = tree.group("c", None).stats().unwrap();
        assert_eq!((stats.mbm_stats, stats.cmt_stats), (None, None));
    }
}
