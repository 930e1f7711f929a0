//! Which namespaces are the host's: those that the kernel started with.
//!
//! Not those of process 1, which inside a pid namespace is the container's. Six kinds have fixed inode numbers, and from
//! Linux 6.18 on all have. Before, the mount and network namespace of the first processes are taken, where these are the
//! host's, which their pid namespace tells.

use rustix::fs::{Mode, OFlags};

use super::proc;
use crate::namespace::Kind;
use crate::sys::ioctl;

/// The host's own namespaces, by their inode numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Host {
    inodes: [Option<u64>; 8],
}

impl Host {
    /// Finds out their numbers, with at most six system calls.
    pub fn find() -> Host {
        if has_fixed_numbers() {
            return Host { inodes: Kind::ALL.map(|kind| Some(kind.initial_inode())) };
        }
        // The first process of the machine, and the kernel's own threads where that may not be read.
        let first = [1, 2].into_iter().find(|&pid| proc::namespace(pid, Kind::Pid) == Some(Kind::Pid.initial_inode()));
        Host::from(|kind| first.and_then(|pid| proc::namespace(pid, kind)))
    }

    /// On a kernel that numbers mount and network namespaces like any other; `read` tells those of the host's first
    /// process.
    fn from(read: impl Fn(Kind) -> Option<u64>) -> Host {
        Host {
            inodes: Kind::ALL.map(|kind| match kind {
                Kind::Mount | Kind::Net => read(kind),
                _ => Some(kind.initial_inode()),
            }),
        }
    }

    /// Whether the namespace of this kind with this inode number is the host's; `None` where that cannot be known.
    pub fn has(&self, kind: Kind, inode: u64) -> Option<bool> {
        self.inodes[kind as usize].map(|host| host == inode)
    }

    /// Whether there are kinds of which it cannot be known.
    pub fn is_partial(&self) -> bool {
        self.inodes.contains(&None)
    }
}

/// Whether the kernel gives fixed numbers to the mount and network namespace that it starts with: that came together with
/// `NS_GET_ID`.
fn has_fixed_numbers() -> bool {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    rustix::fs::open("/proc/self/ns/mnt", flags, Mode::empty()).is_ok_and(|ns| ioctl::namespace_id(ns).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_known_is_neither_the_hosts_nor_not_the_hosts() {
        let inside = Host::from(|_| None);
        assert_eq!(inside.has(Kind::Net, 4_026_531_840), None);
        assert_eq!(inside.has(Kind::Uts, 4_026_531_838), Some(true));
        assert_eq!(inside.has(Kind::Uts, 4_026_532_201), Some(false));
        assert!(inside.is_partial());
    }

    #[test]
    fn the_hosts_first_process_tells_where_numbers_do_not() {
        let host = Host::from(|kind| Some(kind as u64));
        assert_eq!([host.has(Kind::Net, Kind::Net as u64), host.has(Kind::Mount, 77)], [Some(true), Some(false)]);
        assert!(!host.is_partial());
    }
}
