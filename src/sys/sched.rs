//! Scheduling and memory policies: sched_setattr(2), sched_setaffinity(2), ioprio_set(2), set_mempolicy(2), personality(2).

use std::sync::OnceLock;

use rustix::io::Errno;
use rustix::process::Pid;
use rustix::thread::CpuSet;

use super::check;

/// The kernel's `struct sched_attr` (version 1, 56 bytes; Linux 5.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct SchedAttr {
    /// The size of this structure in bytes.
    pub size: u32,
    /// `SCHED_*`.
    pub policy: u32,
    /// `SCHED_FLAG_*`.
    pub flags: u64,
    /// Niceness, for `SCHED_OTHER` and `SCHED_BATCH`.
    pub nice: i32,
    /// Priority, for `SCHED_FIFO` and `SCHED_RR`.
    pub priority: u32,
    /// `SCHED_DEADLINE`, in nanoseconds.
    pub runtime: u64,
    /// `SCHED_DEADLINE`, in nanoseconds.
    pub deadline: u64,
    /// `SCHED_DEADLINE`, in nanoseconds.
    pub period: u64,
    /// Least utilisation to assume, of 1024.
    pub util_min: u32,
    /// Greatest utilisation to assume, of 1024.
    pub util_max: u32,
}

/// Sets the scheduling policy of this process; sched_setattr(2).
///
/// # Errors
/// `EINVAL` for attributes that contradict each other, `EPERM` without `CAP_SYS_NICE`, `EBUSY` when a deadline cannot be
/// admitted.
pub fn set_scheduler(attr: &SchedAttr) -> Result<(), Errno> {
    let attr = SchedAttr { size: size_of::<SchedAttr>() as u32, ..*attr };
    // SAFETY: the kernel reads `size` bytes of the structure, which outlives the call.
    check(unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attr, 0) }).map(drop)
}

/// Sets the I/O priority of this process: `class` (0 none, 1 real time, 2 best effort, 3 idle) and `priority` (0 to 7);
/// ioprio_set(2).
///
/// # Errors
/// `EINVAL` for a class or priority out of range, `EPERM` for real time without privilege.
pub fn set_io_priority(class: u32, priority: u32) -> Result<(), Errno> {
    const IOPRIO_WHO_PROCESS: libc::c_int = 1;
    // SAFETY: numbers only.
    check(unsafe { libc::syscall(libc::SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, (class << 13) | priority) }).map(drop)
}

/// Sets the memory policy of this process; set_mempolicy(2). `mode` holds `MPOL_*` and its flags; `nodes` is a bit mask.
///
/// # Errors
/// `EINVAL` for a mode or nodes that do not exist.
pub fn set_memory_policy(mode: u32, nodes: &[u64]) -> Result<(), Errno> {
    // The kernel reads one bit less than it is told.
    let (mask, bits) = if nodes.is_empty() { (std::ptr::null(), 0) } else { (nodes.as_ptr(), nodes.len() * 64 + 1) };
    // SAFETY: the kernel reads `bits - 1` bits of `nodes`, which outlives the call, and nothing through a null pointer.
    check(unsafe { libc::syscall(libc::SYS_set_mempolicy, mode, mask, bits) }).map(drop)
}

/// Sets the execution domain of this process; personality(2).
///
/// # Errors
/// `EINVAL` when the kernel refuses it.
pub fn set_personality(domain: u64) -> Result<(), Errno> {
    // SAFETY: numbers only.
    check(unsafe { libc::syscall(libc::SYS_personality, domain) }).map(drop)
}

/// The bit mask of a list of processors or memory nodes, as `0-3,7` of cpuset(7); `None` where it is none, or names a number
/// beyond 8191, the highest that the kernel can be built for.
pub fn mask_of_list(text: &str) -> Option<Vec<u64>> {
    let mut mask = Vec::new();
    for part in text.split(',').filter(|part| !part.trim().is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (usize, usize) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        if first > last || last >= 8192 {
            return None;
        }
        if mask.len() <= last / 64 {
            mask.resize(last / 64 + 1, 0);
        }
        (first..=last).for_each(|number| mask[number / 64] |= 1 << (number % 64));
    }
    Some(mask)
}

/// Has `pid`, a process that this one has just begun and goes on beside, run on another processor than this one, where
/// there is another that it may use; until [`lift_affinity`], or until it ends.
///
/// In a virtual machine the kernel takes a processor that is halted for one that the host may have taken away
/// (`vcpu_is_preempted`), and lets a new process wait for its parent's instead.
pub fn run_elsewhere(pid: Pid) {
    // Only processors that this process may use: others may be isolated. This fails with more than a CpuSet can hold.
    static ALLOWED: OnceLock<Option<CpuSet>> = OnceLock::new();
    let allowed = ALLOWED.get_or_init(|| rustix::thread::sched_getaffinity(None).ok().filter(|cpus| cpus.count() > 1));
    if let (Some(mut cpus), Some(here)) = (*allowed, own_cpu()) {
        cpus.unset(here);
        // It is only quicker so.
        let _ = rustix::thread::sched_setaffinity(Some(pid), &cpus);
    }
}

/// Has `pid`, after [`run_elsewhere`], run where this process runs, which has nothing to do but wait for it.
pub fn run_here(pid: Pid) {
    if let Some(here) = own_cpu() {
        let mut cpus = CpuSet::new();
        cpus.set(here);
        let _ = rustix::thread::sched_setaffinity(Some(pid), &cpus);
    }
}

/// The processor that this process runs on just now, as long as a [`CpuSet`] can hold it.
fn own_cpu() -> Option<usize> {
    // SAFETY: no arguments. rustix's needs a vDSO, which user mode Linux has not.
    let cpu = unsafe { libc::sched_getcpu() };
    usize::try_from(cpu).ok().filter(|cpu| *cpu < CpuSet::MAX_CPU)
}

/// Lets this process run on every processor that its cgroups allow: what it was told by sched_setaffinity(2), or has
/// inherited, is forgotten. Where that is denied, by a seccomp filter around the runtime, it stays as it is.
pub fn lift_affinity() {
    // The kernel leaves out what the machine does not have, and what cgroups deny; 8192 is the most it can be built for.
    const EVERY: [u64; 8192 / 64] = [u64::MAX; 8192 / 64];
    // SAFETY: the kernel reads as many bytes as it is told from a constant.
    let _ = check(unsafe { libc::syscall(libc::SYS_sched_setaffinity, 0, size_of_val(&EVERY), EVERY.as_ptr()) });
}
