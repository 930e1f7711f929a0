//! The shape of the statistics.

use std::collections::BTreeMap;

use serde::Serialize;

/// All statistics of a cgroup. What the machine does not count is zero.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Stats {
    /// Processor time.
    pub cpu: CpuStats,
    /// Processors and memory nodes.
    pub cpuset: Cpuset,
    /// Memory.
    pub memory: MemoryStats,
    /// Tasks.
    pub pids: Pids,
    /// Block devices.
    pub blkio: Blkio,
    /// Huge pages by size (`2MB`).
    pub hugetlb: BTreeMap<String, Hugetlb>,
    /// RDMA; not in runc's output.
    #[serde(skip_serializing_if = "is_default")]
    pub rdma: RdmaStats,
    /// v2: scarce resources by name; not in runc's output.
    #[serde(skip_serializing_if = "is_default")]
    pub misc: BTreeMap<String, Misc>,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Processor time.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct CpuStats {
    /// Time used.
    pub usage: CpuUsage,
    /// Time that was wanted above the quota.
    pub throttling: Throttling,
    /// v2: how much tasks waited for a processor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub psi: Option<Psi>,
}

/// Processor time used, in nanoseconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct CpuUsage {
    /// All of it.
    #[serde(skip_serializing_if = "is_default")]
    pub total: u64,
    /// v1: by processor.
    #[serde(skip_serializing_if = "is_default")]
    pub percpu: Vec<u64>,
    /// v1: in the kernel, by processor.
    #[serde(skip_serializing_if = "is_default")]
    pub percpu_kernel: Vec<u64>,
    /// v1: in programs, by processor.
    #[serde(skip_serializing_if = "is_default")]
    pub percpu_user: Vec<u64>,
    /// In the kernel.
    pub kernel: u64,
    /// In programs.
    pub user: u64,
}

/// What the quota cost.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Throttling {
    /// Periods that passed.
    #[serde(skip_serializing_if = "is_default")]
    pub periods: u64,
    /// Periods in which the quota was used up.
    #[serde(skip_serializing_if = "is_default")]
    pub throttled_periods: u64,
    /// Nanoseconds that tasks had to wait.
    #[serde(skip_serializing_if = "is_default")]
    pub throttled_time: u64,
}

/// Pressure stall information, see the kernel's `Documentation/accounting/psi.rst`.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Psi {
    /// Some task waited.
    pub some: PsiLine,
    /// All tasks waited.
    pub full: PsiLine,
}

/// A line of pressure stall information.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct PsiLine {
    /// Per cent of the last 10 seconds.
    pub avg10: f64,
    /// Per cent of the last minute.
    pub avg60: f64,
    /// Per cent of the last five minutes.
    pub avg300: f64,
    /// Microseconds since the beginning.
    pub total: u64,
}

/// v1: the files of the cpuset controller; v2: the lists only.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Cpuset {
    /// Processors.
    #[serde(skip_serializing_if = "is_default")]
    pub cpus: Vec<u16>,
    /// Whether no other cgroup may have them.
    pub cpu_exclusive: u64,
    /// Memory nodes.
    #[serde(skip_serializing_if = "is_default")]
    pub mems: Vec<u16>,
    /// Whether kernel memory comes from these nodes only.
    pub mem_hardwall: u64,
    /// Whether no other cgroup may have them.
    pub mem_exclusive: u64,
    /// Whether pages move along when the nodes change.
    pub memory_migrate: u64,
    /// Whether page cache is spread over the nodes.
    pub memory_spread_page: u64,
    /// Whether kernel caches are spread over the nodes.
    pub memory_spread_slab: u64,
    /// How hard memory is looked for.
    pub memory_pressure: u64,
    /// Whether tasks are moved between the processors.
    pub sched_load_balance: u64,
    /// How far to look for an idle processor; -1 is the default.
    pub sched_relax_domain_level: i64,
}

/// Memory.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct MemoryStats {
    /// Page cache in bytes.
    #[serde(skip_serializing_if = "is_default")]
    pub cache: u64,
    /// Memory.
    pub usage: MemoryEntry,
    /// Memory and swap together.
    pub swap: MemoryEntry,
    /// v1: memory of the kernel.
    pub kernel: MemoryEntry,
    /// v1: TCP buffers.
    #[serde(rename = "kernelTCP")]
    pub kernel_tcp: MemoryEntry,
    /// All of `memory.stat`.
    #[serde(skip_serializing_if = "is_default")]
    pub raw: BTreeMap<String, u64>,
    /// v2: how much tasks waited for memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub psi: Option<Psi>,
}

/// One counter of memory, in bytes.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct MemoryEntry {
    /// The limit; the largest number is none.
    pub limit: u64,
    /// In use.
    #[serde(skip_serializing_if = "is_default")]
    pub usage: u64,
    /// The most that was in use.
    #[serde(skip_serializing_if = "is_default")]
    pub max: u64,
    /// v1: how often the limit was hit.
    pub failcnt: u64,
}

/// Tasks.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Pids {
    /// How many there are.
    #[serde(skip_serializing_if = "is_default")]
    pub current: u64,
    /// The limit; 0 is none.
    #[serde(skip_serializing_if = "is_default")]
    pub limit: u64,
}

/// Block devices.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Blkio {
    /// Bytes.
    #[serde(skip_serializing_if = "is_default")]
    pub io_service_bytes_recursive: Vec<BlkioEntry>,
    /// Operations.
    #[serde(skip_serializing_if = "is_default")]
    pub io_serviced_recursive: Vec<BlkioEntry>,
    /// v1: requests that wait.
    #[serde(rename = "ioQueueRecursive", skip_serializing_if = "is_default")]
    pub io_queued_recursive: Vec<BlkioEntry>,
    /// v1: nanoseconds that the device worked.
    #[serde(skip_serializing_if = "is_default")]
    pub io_service_time_recursive: Vec<BlkioEntry>,
    /// v1: nanoseconds that requests waited.
    #[serde(skip_serializing_if = "is_default")]
    pub io_wait_time_recursive: Vec<BlkioEntry>,
    /// v1: requests that were merged.
    #[serde(skip_serializing_if = "is_default")]
    pub io_merged_recursive: Vec<BlkioEntry>,
    /// v1: milliseconds of the device's time.
    #[serde(skip_serializing_if = "is_default")]
    pub io_time_recursive: Vec<BlkioEntry>,
    /// v1: sectors.
    #[serde(skip_serializing_if = "is_default")]
    pub sectors_recursive: Vec<BlkioEntry>,
    /// v2: how much tasks waited for devices.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub psi: Option<Psi>,
}

/// A number about a block device.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct BlkioEntry {
    /// Major number.
    #[serde(skip_serializing_if = "is_default")]
    pub major: u64,
    /// Minor number.
    #[serde(skip_serializing_if = "is_default")]
    pub minor: u64,
    /// `Read`, `Write`, `Sync`, `Async`, `Discard` or `Total`.
    #[serde(skip_serializing_if = "is_default")]
    pub op: String,
    /// The number.
    #[serde(skip_serializing_if = "is_default")]
    pub value: u64,
}

/// Huge pages of one size.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Hugetlb {
    /// Bytes in use (or reserved, where the kernel counts that).
    #[serde(skip_serializing_if = "is_default")]
    pub usage: u64,
    /// v1: the most that was in use.
    #[serde(skip_serializing_if = "is_default")]
    pub max: u64,
    /// How often the limit was hit.
    pub failcnt: u64,
}

/// RDMA devices.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct RdmaStats {
    /// Limits.
    pub limit: Vec<RdmaEntry>,
    /// In use.
    pub current: Vec<RdmaEntry>,
}

/// Numbers of an RDMA device.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct RdmaEntry {
    /// The device's name.
    pub device: String,
    /// HCA handles; the largest number is no limit.
    pub hca_handles: u32,
    /// HCA objects; the largest number is no limit.
    pub hca_objects: u32,
}

/// A scarce resource.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Misc {
    /// How much is in use.
    pub usage: u64,
    /// How often the limit was hit.
    pub events: u64,
}
