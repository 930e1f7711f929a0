//! When, where and with which memory a process runs: the properties of a configuration as the kernel's calls have them.

use oci_spec::runtime::{
    IOPriorityClass, LinuxMemoryPolicy, LinuxSchedulerFlag, LinuxSchedulerPolicy, MemoryPolicyFlagType,
    MemoryPolicyModeType, Process as SpecProcess, Scheduler,
};
use rustix::process::Pid;
use rustix::thread::CpuSet;

use crate::error::{Attempt, Error, Result};
use crate::sys::sched::{SchedAttr, mask_of_list};

/// The processors that a process of `exec` may run on: before and after it is moved to the container's cgroup.
#[derive(Debug, Default)]
pub(crate) struct Affinity {
    pub(crate) initial: Option<CpuSet>,
    pub(crate) last: Option<CpuSet>,
}

pub(crate) fn affinity(process: &SpecProcess) -> Result<Affinity> {
    let Some(wanted) = process.exec_cpu_affinity() else { return Ok(Affinity::default()) };
    let set = |list: &Option<String>| -> Result<Option<CpuSet>> {
        let Some(list) = list.as_deref().filter(|list| !list.is_empty()) else { return Ok(None) };
        let mask = mask_of_list(list)
            .filter(|mask| mask.len() * 64 <= CpuSet::MAX_CPU)
            .ok_or_else(|| Error::invalid(format!("invalid execCPUAffinity: {list:?}")))?;
        let mut cpus = CpuSet::new();
        for number in (0..mask.len() * 64).filter(|number| mask[number / 64] & (1 << (number % 64)) != 0) {
            cpus.set(number);
        }
        Ok(Some(cpus))
    };
    Ok(Affinity { initial: set(wanted.initial())?, last: set(wanted.cpu_affinity_final())? })
}

pub(crate) fn set_affinity(pid: Pid, cpus: Option<&CpuSet>) -> Result<()> {
    let Some(cpus) = cpus else { return Ok(()) };
    rustix::thread::sched_setaffinity(Some(pid), cpus).attempt(|| "set execCPUAffinity")
}

pub(crate) fn shown_policy(attr: &SchedAttr) -> String {
    const NAMES: [&str; 7] = ["OTHER", "FIFO", "RR", "BATCH", "ISO", "IDLE", "DEADLINE"];
    let name = NAMES.get(attr.policy as usize).copied().unwrap_or("?");
    format!("the scheduling policy SCHED_{name} (priority {}, nice {})", attr.priority, attr.nice)
}

pub(crate) fn scheduler(scheduler: &Scheduler) -> Result<SchedAttr> {
    let policy = match scheduler.policy() {
        LinuxSchedulerPolicy::SchedOther => 0,
        LinuxSchedulerPolicy::SchedFifo => 1,
        LinuxSchedulerPolicy::SchedRr => 2,
        LinuxSchedulerPolicy::SchedBatch => 3,
        LinuxSchedulerPolicy::SchedIso => 4,
        LinuxSchedulerPolicy::SchedIdle => 5,
        LinuxSchedulerPolicy::SchedDeadline => 6,
    };
    let nice = scheduler.nice().unwrap_or(0);
    let priority = scheduler.priority().unwrap_or(0);
    if matches!(policy, 0 | 3) && !(-20..=19).contains(&nice) {
        return Err(Error::invalid(format!(
            "invalid scheduler.nice: {nice} when scheduler.policy is {}",
            scheduler.policy()
        )));
    }
    if priority != 0 && !matches!(policy, 1 | 2) {
        return Err(Error::invalid("scheduler.priority can only be specified for SchedFIFO or SchedRR policy"));
    }
    let times = [scheduler.runtime(), scheduler.deadline(), scheduler.period()].map(|time| time.unwrap_or(0));
    if policy != 6 && times.iter().any(|time| *time != 0) {
        return Err(Error::invalid("scheduler runtime/deadline/period can only be specified for SchedDeadline policy"));
    }
    let flags = scheduler.flags().iter().flatten().fold(0, |flags, flag| {
        flags
            | match flag {
                LinuxSchedulerFlag::SchedResetOnFork => 0x01,
                LinuxSchedulerFlag::SchedFlagReclaim => 0x02,
                LinuxSchedulerFlag::SchedFlagDLOverrun => 0x04,
                LinuxSchedulerFlag::SchedFlagKeepPolicy => 0x08,
                LinuxSchedulerFlag::SchedFlagKeepParams => 0x10,
                LinuxSchedulerFlag::SchedFlagUtilClampMin => 0x20,
                LinuxSchedulerFlag::SchedFlagUtilClampMax => 0x40,
            }
    });
    Ok(SchedAttr {
        policy,
        flags,
        nice,
        priority: u32::try_from(priority)
            .map_err(|_| Error::invalid(format!("invalid scheduler.priority: {priority}")))?,
        runtime: times[0],
        deadline: times[1],
        period: times[2],
        ..SchedAttr::default()
    })
}

pub(crate) fn io_priority(class: IOPriorityClass, priority: i64) -> Result<(u32, u32)> {
    let class = match class {
        IOPriorityClass::IoprioClassRt => 1,
        IOPriorityClass::IoprioClassBe => 2,
        IOPriorityClass::IoprioClassIdle => 3,
    };
    match u32::try_from(priority) {
        Ok(priority @ 0..=7) => Ok((class, priority)),
        _ => Err(Error::invalid(format!("invalid ioPriority.Priority: {priority}"))),
    }
}

pub(crate) fn memory_policy(policy: &LinuxMemoryPolicy) -> Result<(u32, Vec<u64>)> {
    let mode = match policy.mode() {
        MemoryPolicyModeType::MpolDefault => 0,
        MemoryPolicyModeType::MpolPreferred => 1,
        MemoryPolicyModeType::MpolBind => 2,
        MemoryPolicyModeType::MpolInterleave => 3,
        MemoryPolicyModeType::MpolLocal => 4,
        MemoryPolicyModeType::MpolPreferredMany => 5,
        MemoryPolicyModeType::MpolWeightedInterleave => 6,
    };
    let flags = policy.flags().iter().flatten().fold(0, |flags, flag| {
        flags
            | match flag {
                MemoryPolicyFlagType::MpolFStaticNodes => 1 << 15,
                MemoryPolicyFlagType::MpolFRelativeNodes => 1 << 14,
                MemoryPolicyFlagType::MpolFNumaBalancing => 1 << 13,
            }
    });
    let nodes = mask_of_list(policy.nodes().as_deref().unwrap_or_default()).ok_or_else(|| {
        Error::invalid(format!("invalid memory policy nodes: {:?}", policy.nodes().as_deref().unwrap_or_default()))
    })?;
    if matches!(mode, 0 | 4) && !nodes.is_empty() {
        let count: u32 = nodes.iter().map(|word| word.count_ones()).sum();
        return Err(Error::invalid(format!("memory policy mode requires 0 nodes but got {count}")));
    }
    Ok((mode | flags, nodes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_numbers_become_masks() {
        assert_eq!(mask_of_list("0-2,64"), Some(vec![7, 1]));
        assert_eq!(mask_of_list(""), Some(vec![]));
        assert_eq!(mask_of_list("3-1"), None);
        assert_eq!(mask_of_list("x"), None);
    }
}
