//! Namespaces that a process has open.
//!
//! The text of the link in `/proc/PID/fd` does not tell: a namespace that was opened through a bind mount is named by
//! that mount's path. statx(2) does, and with `AT_STATX_DONT_SYNC` it does not wait for a dead file server.

use std::collections::HashSet;
use std::os::fd::AsFd;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, StatxFlags};
use rustix::io::Errno;

use super::super::model::Keeper;
use super::processes::{ProcPath, for_each_number};
use super::{Survey, relations, sockets};
use crate::error::strerror;
use crate::sys::ioctl;

/// The device that all namespaces' inodes are on.
pub(super) fn nsfs_device() -> Option<(u32, u32)> {
    let status = rustix::fs::stat("/proc/self/ns/mnt").ok()?;
    Some((rustix::fs::major(status.st_dev), rustix::fs::minor(status.st_dev)))
}

/// Looks at the descriptors of every process.
pub(super) fn survey(survey: &mut Survey<'_>) {
    let Some(nsfs) = nsfs_device() else { return };
    let mut fds = Vec::new();
    let mut sockets_seen = HashSet::new();
    for number in 0..survey.snapshot.processes.len() {
        let pid = survey.snapshot.processes[number].pid;
        let path = ProcPath::new(pid).text("/fd");
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = match rustix::fs::openat(survey.proc(), path.as_c_str(), flags, Mode::empty()) {
            Ok(directory) => directory,
            Err(errno @ (Errno::ACCESS | Errno::PERM)) => {
                survey.snapshot.gap("processes' open files", strerror(errno));
                continue;
            }
            Err(_) => continue,
        };
        fds.clear();
        match for_each_number(&directory, |fd| fds.push(fd)) {
            Err(errno @ (Errno::ACCESS | Errno::PERM)) => {
                survey.snapshot.gap("processes' open files", strerror(errno));
                continue;
            }
            // A process that ends while it is read holds nothing any more.
            Ok(()) | Err(_) => {}
        }
        for &fd in &fds {
            let name = ProcPath::new(fd);
            let flags = AtFlags::STATX_DONT_SYNC | AtFlags::NO_AUTOMOUNT;
            let wanted = StatxFlags::TYPE | StatxFlags::INO;
            let Ok(status) = rustix::fs::statx(&directory, name.as_c_str(), flags, wanted) else { continue };
            if (status.stx_dev_major, status.stx_dev_minor) == nsfs {
                let flags = OFlags::RDONLY | OFlags::CLOEXEC;
                let Ok(ns) = rustix::fs::openat(&directory, name.as_c_str(), flags, Mode::empty()) else { continue };
                let Ok(Some(kind)) = ioctl::namespace_kind(&ns) else { continue };
                if !survey.scope.kinds.contains(kind) {
                    continue;
                }
                let (index, _) = survey.snapshot.enter(kind, status.stx_ino);
                survey.snapshot.keep(index, Keeper::Descriptor { pid, fd });
                relations::relate(survey, index, ns.as_fd());
            } else if FileType::from_raw_mode(u32::from(status.stx_mode)) == FileType::Socket
                && sockets_seen.insert(status.stx_ino)
            {
                sockets::look(survey, number, fd);
            }
        }
    }
}
