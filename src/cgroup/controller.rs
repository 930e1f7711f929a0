//! The controllers (v1 calls them subsystems), and the hierarchies that have none.

use std::fmt;

/// A controller, or a hierarchy without one that processes are placed in all the same. The order is the one in which
/// runc sets them up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Controller {
    /// Processors and memory nodes.
    Cpuset,
    /// v1: devices. On v2 a BPF program does it.
    Devices,
    /// Memory.
    Memory,
    /// Processor time.
    Cpu,
    /// v1: accounting of processor time; part of `cpu` on v2.
    Cpuacct,
    /// Number of tasks.
    Pids,
    /// Block devices; `io` on v2.
    Blkio,
    /// Huge pages.
    Hugetlb,
    /// v1: class of network packets.
    NetCls,
    /// v1: priority of network packets.
    NetPrio,
    /// Performance counters.
    PerfEvent,
    /// v1: stopping all processes. Part of every cgroup on v2.
    Freezer,
    /// RDMA.
    Rdma,
    /// v1: systemd's own hierarchy.
    Systemd,
    /// Scarce resources of the machine (encryption keys).
    Misc,
    /// The unified hierarchy: all of v2, or the part of a hybrid machine that has no limits.
    Unified,
}

const TABLE: [(&str, &str); 16] = [
    // name on v1, which is the key in `cgroup_paths`; name on v2
    ("cpuset", "cpuset"),
    ("devices", ""),
    ("memory", "memory"),
    ("cpu", "cpu"),
    ("cpuacct", "cpu"),
    ("pids", "pids"),
    ("blkio", "io"),
    ("hugetlb", "hugetlb"),
    ("net_cls", ""),
    ("net_prio", ""),
    ("perf_event", "perf_event"),
    ("freezer", ""),
    ("rdma", "rdma"),
    ("name=systemd", ""),
    ("misc", "misc"),
    ("", ""),
];

impl Controller {
    /// Every one, in order.
    pub const ALL: [Controller; 16] = [
        Controller::Cpuset,
        Controller::Devices,
        Controller::Memory,
        Controller::Cpu,
        Controller::Cpuacct,
        Controller::Pids,
        Controller::Blkio,
        Controller::Hugetlb,
        Controller::NetCls,
        Controller::NetPrio,
        Controller::PerfEvent,
        Controller::Freezer,
        Controller::Rdma,
        Controller::Systemd,
        Controller::Misc,
        Controller::Unified,
    ];

    /// The name in `/proc/PID/cgroup`, which is the key in the saved paths of a container.
    pub const fn name(self) -> &'static str {
        TABLE[self as usize].0
    }

    /// The name in `cgroup.controllers` of v2; empty for what v2 has no controller for.
    pub const fn unified_name(self) -> &'static str {
        TABLE[self as usize].1
    }

    /// The controller with this [`name`](Controller::name).
    pub fn from_name(name: &str) -> Option<Controller> {
        Controller::ALL.into_iter().find(|controller| controller.name() == name)
    }

    /// Whether a container can do without it when it cannot be had: nothing is limited there.
    const fn is_only_for_placement(self) -> bool {
        matches!(self, Controller::Systemd | Controller::Misc | Controller::Unified)
    }

    /// Whether a hierarchy with these is the unified one.
    pub const fn are_unified(controllers: &[Controller]) -> bool {
        matches!(controllers, [Controller::Unified])
    }

    /// Whether a container can do without a hierarchy with these when it cannot be had.
    pub(super) fn are_only_for_placement(controllers: &[Controller]) -> bool {
        controllers.iter().all(|controller| controller.is_only_for_placement())
    }
}

impl fmt::Display for Controller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Controller::Unified { "unified" } else { self.name() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_controller_is_found_by_its_name() {
        for controller in Controller::ALL {
            assert_eq!(Controller::from_name(controller.name()), Some(controller));
        }
        assert_eq!(Controller::from_name("systemd"), None);
    }
}
