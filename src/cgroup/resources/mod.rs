//! Limits, and the writes to cgroup files that set them. Everything here is pure.
//!
//! The types hold what the OCI runtime specification can say (`config-linux.md`, "Control groups"), in its units;
//! [`v1`] and [`v2`] turn them into writes.

pub(super) mod v1;
pub(super) mod v2;

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::Controller;
use super::devices::Rule;
use crate::error::{Error, Result};

/// What the processes of a cgroup may use. What is `None` (or empty) is left as it is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Resources {
    /// Memory and swap.
    pub memory: Memory,
    /// Processor time.
    pub cpu: Cpu,
    /// Which processors, in list format (`0-3,7`), see cpuset(7).
    pub cpus: Option<String>,
    /// Which memory nodes, in list format.
    pub mems: Option<String>,
    /// How many tasks. Negative is no limit; 0 is written as 1, as systemd cannot do 0.
    pub pids: Option<i64>,
    /// Block devices.
    pub block_io: BlockIo,
    /// Huge pages.
    pub huge_pages: Vec<HugePages>,
    /// v1: the class that packets are tagged with.
    pub network_class: Option<u32>,
    /// v1: the priority of packets by interface.
    pub network_priorities: Vec<(String, u32)>,
    /// RDMA by device.
    pub rdma: BTreeMap<String, Rdma>,
    /// v2: any file of the cgroup, by name.
    pub unified: BTreeMap<String, String>,
    /// Which devices; `None` leaves the rules as they are.
    pub devices: Option<Vec<Rule>>,
}

/// Limits of memory, in bytes. -1 is no limit and 0 is the same as `None`, but for swap on v2.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// The limit.
    pub limit: Option<i64>,
    /// The limit of memory and swap together; 0 is no swap on v2, as `None` on v1.
    pub swap: Option<i64>,
    /// What to leave to the cgroup when memory gets short.
    pub reservation: Option<i64>,
    /// v1: the limit of TCP buffers.
    pub kernel_tcp: Option<i64>,
    /// v1: how readily to swap, 0 to 100.
    pub swappiness: Option<u64>,
    /// v1: stop instead of killing when the limit is reached.
    pub disable_oom_killer: bool,
    /// v2: refuse a limit below what is in use, as v1 does (v2 would kill).
    pub check_before_update: bool,
}

/// Processor time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cpu {
    /// Relative share, 2 to 262144 (default 1024). 0 is the same as `None`.
    pub shares: Option<u64>,
    /// Microseconds in a period; negative is no limit, 0 the same as `None`.
    pub quota: Option<i64>,
    /// Length of a period in microseconds; 0 is the same as `None`.
    pub period: Option<u64>,
    /// Microseconds of unused quota that may be saved up.
    pub burst: Option<u64>,
    /// 1: run only when nobody else wants to.
    pub idle: Option<i64>,
    /// v1: microseconds of real-time scheduling in a period; 0 is the same as `None`.
    pub realtime_runtime: Option<i64>,
    /// v1: length of a period of real-time scheduling in microseconds; 0 is the same as `None`.
    pub realtime_period: Option<u64>,
}

/// Block devices.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BlockIo {
    /// Relative weight, 10 to 1000; 0 is the same as `None`.
    pub weight: Option<u16>,
    /// v1: weight against child cgroups.
    pub leaf_weight: Option<u16>,
    /// Weights by device.
    pub device_weights: Vec<DeviceWeight>,
    /// Bytes read a second.
    pub read_bps: Vec<DeviceRate>,
    /// Bytes written a second.
    pub write_bps: Vec<DeviceRate>,
    /// Reads a second.
    pub read_iops: Vec<DeviceRate>,
    /// Writes a second.
    pub write_iops: Vec<DeviceRate>,
}

/// The weight of a block device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceWeight {
    /// Major and minor number.
    pub device: (i64, i64),
    /// Weight, 10 to 1000.
    pub weight: Option<u16>,
    /// v1: weight against child cgroups.
    pub leaf_weight: Option<u16>,
}

/// A limit of throughput of a block device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceRate {
    /// Major and minor number.
    pub device: (i64, i64),
    /// How much or how many a second; 0 is no limit.
    pub rate: u64,
}

/// A limit of huge pages of one size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HugePages {
    /// The size as the kernel spells it in file names: `2MB`, `1GB`.
    pub page_size: String,
    /// Limit in bytes.
    pub limit: u64,
}

/// Limits of one RDMA device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rdma {
    /// Most HCA handles.
    pub handles: Option<u32>,
    /// Most HCA objects.
    pub objects: Option<u32>,
}

/// One write to a cgroup file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// Whose file it is.
    pub controller: Controller,
    /// The file's name.
    pub file: Cow<'static, str>,
    /// What to write.
    pub value: String,
    /// Where the kernel has no such file, nothing is lost.
    pub optional: bool,
    /// The kernel may refuse it (EINVAL) before the writes that follow: try again after them.
    pub again: bool,
    /// What to write where the kernel has no such file.
    pub otherwise: Option<(&'static str, String)>,
}

impl Write {
    fn new(controller: Controller, file: impl Into<Cow<'static, str>>, value: impl ToString) -> Write {
        Write {
            controller,
            file: file.into(),
            value: value.to_string(),
            optional: false,
            again: false,
            otherwise: None,
        }
    }

    fn optional(self) -> Write {
        Write { optional: true, ..self }
    }

    /// Try again after the other writes, if `more` of them follow.
    fn again_if(self, more: bool) -> Write {
        Write { again: more, ..self }
    }

    fn or(self, file: &'static str, value: impl ToString) -> Write {
        Write { otherwise: Some((file, value.to_string())), ..self }
    }
}

impl Resources {
    /// The writes for a cgroup of v2, if it is `unified`, or v1, in the order in which the kernel takes them.
    ///
    /// # Errors
    /// What the specification or the kernel does not know, or what this version of cgroups lacks.
    pub fn writes(&self, unified: bool) -> Result<Vec<Write>> {
        if unified { v2::writes(self) } else { v1::writes(self) }
    }

    /// Refuses what the files of v2, if `unified`, or of v1 could not be told.
    ///
    /// # Errors
    /// What the specification or the kernel does not know.
    pub fn check(&self, unified: bool) -> Result<()> {
        self.writes(unified).map(drop)
    }

    /// Whether a v2 controller is asked for that cannot live in a threaded cgroup.
    pub(super) fn need_a_domain(&self) -> bool {
        let memory = &self.memory;
        let cpu = &self.cpu;
        [memory.limit, memory.reservation].into_iter().any(|value| given(value).is_some())
            || memory.swap.is_some()
            || self.block_io != BlockIo::default()
            || !self.huge_pages.is_empty()
            || [given(cpu.shares), given(cpu.period)].iter().any(Option::is_some)
            || given(cpu.quota).is_some()
            || cpu.burst.is_some()
            || cpu.idle.is_some()
    }

    /// Refuses limits of memory at or below `usage`, when that is asked for.
    pub(super) fn check_memory_usage(&self, usage: u64) -> Result<()> {
        let above = |limit: Option<i64>| limit.and_then(|limit| u64::try_from(limit).ok()).filter(|limit| *limit > 0);
        for (what, limit) in [("memory+swap", self.memory.swap), ("memory", self.memory.limit)] {
            if let Some(limit) = above(limit).filter(|limit| *limit <= usage) {
                return Err(Error::invalid(format!("rejecting {what} limit {limit} <= usage {usage}")));
            }
        }
        Ok(())
    }
}

/// The value unless it is the 0 that stands for "not given".
fn given<T: Default + PartialEq>(value: Option<T>) -> Option<T> {
    value.filter(|value| *value != T::default())
}

/// `pids.max` of a limit of tasks: -1 is no limit, and 0 is written as 1.
fn pids_max(limit: i64) -> String {
    if limit < 0 { "max".to_owned() } else { limit.max(1).to_string() }
}

/// `rdma.max` of one device.
fn rdma_max(device: &str, limits: &Rdma) -> String {
    let mut value = device.to_owned();
    for (name, limit) in [("hca_handle", limits.handles), ("hca_object", limits.objects)] {
        if let Some(limit) = limit {
            value.push_str(&format!(" {name}={limit}"));
        }
    }
    value
}

/// Writes to `rdma.max` and to the files for huge pages: the same on both versions but for `suffix`.
fn rdma_and_huge_pages(resources: &Resources, suffix: &str, writes: &mut Vec<Write>) -> Result<()> {
    for pages in &resources.huge_pages {
        let size = &pages.page_size;
        if size.is_empty() || !size.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(Error::invalid(format!("invalid huge page size {size:?}")));
        }
        let file = |kind: &str| format!("hugetlb.{size}{kind}.{suffix}");
        writes.push(Write::new(Controller::Hugetlb, file(""), pages.limit));
        // Reservations are accounted apart since Linux 5.7.
        writes.push(Write::new(Controller::Hugetlb, file(".rsvd"), pages.limit).optional());
    }
    for (device, limits) in &resources.rdma {
        writes.push(Write::new(Controller::Rdma, "rdma.max", rdma_max(device, limits)));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_a_limit_that_is_in_use_already() {
        let memory = Memory { limit: Some(4096), swap: Some(8192), ..Memory::default() };
        let resources = Resources { memory, ..Resources::default() };
        resources.check_memory_usage(4095).unwrap();
        let refused = |usage| resources.check_memory_usage(usage).unwrap_err().to_string();
        assert_eq!(refused(4096), "rejecting memory limit 4096 <= usage 4096");
        assert_eq!(refused(8192), "rejecting memory+swap limit 8192 <= usage 8192");
    }

    #[test]
    fn no_limit_of_tasks_is_max_and_none_is_one() {
        assert_eq!(["max", "1", "1", "42"], [-1, 0, 1, 42].map(pids_max).each_ref().map(String::as_str));
    }
}
