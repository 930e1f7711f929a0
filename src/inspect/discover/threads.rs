//! Namespaces that single threads moved to: unshare(2) and setns(2) act on the calling thread, and a program can leave
//! one behind that nothing but that thread shows.

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags};

use super::links::{Answer, Reader};
use super::survey::Survey;
use crate::inspect::model::{Keeper, Process};
use crate::inspect::proc::{ProcPath, for_each_number, inode_of};
use crate::namespace::Kind;
use crate::sys::ioctl;

/// Looks at the threads of processes, one after the other.
pub(super) struct Look {
    reader: Reader,
    tids: Vec<i32>,
}

impl Look {
    pub(super) fn new() -> Look {
        Look { reader: Reader::new(), tids: Vec::new() }
    }

    /// Looks at the threads of the process, where it has more than one.
    pub(super) fn at(&mut self, survey: &mut Survey<'_>, process: &Process, wanted: &[Kind]) {
        let path = ProcPath::new(process.pid).text("/task");
        // A directory has two links and one more for each directory in it: here, for each thread.
        let several = rustix::fs::statat(survey.proc(), path.as_c_str(), AtFlags::empty())
            .is_ok_and(|status| status.st_nlink > 3);
        if !several {
            return;
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let Ok(directory) = rustix::fs::openat(survey.proc(), path.as_c_str(), flags, Mode::empty()) else { return };
        self.tids.clear();
        // A process that ends while it is read has no threads left to tell of.
        let _ = for_each_number(&directory, |tid| self.tids.push(tid));
        for &tid in self.tids.iter().filter(|&&tid| tid != process.pid) {
            let path = ProcPath::new(tid).text("/ns");
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let Ok(ns) = rustix::fs::openat(&directory, path.as_c_str(), flags, Mode::empty()) else { continue };
            let Answer::Read(found) = self.reader.read(ns.as_fd(), wanted, &mut survey.snapshot) else { continue };
            let found = wanted.iter().filter_map(|&kind| Some((kind, found[kind as usize]?)));
            keep(survey, process, tid, found);
        }
    }
}

/// Enters a thread of the process into those of the namespaces that it is in which the process is not in.
pub(super) fn keep(
    survey: &mut Survey<'_>,
    process: &Process,
    tid: i32,
    found: impl IntoIterator<Item = (Kind, usize)>,
) {
    for (kind, index) in found {
        if process.namespace(kind) != Some(index) {
            survey.snapshot.keep(index, Keeper::Thread { pid: process.pid, tid });
        }
    }
}

/// The pid namespace without a process that the children of `pid` will be born in.
fn without_process(pid: i32) -> Option<u64> {
    let pidfd = rustix::process::pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()).ok()?;
    let namespace = ioctl::pid_namespace_for_children(pidfd).ok()?;
    rustix::fs::fstat(namespace).ok().map(|stat| stat.st_ino)
}

/// Where the process's children will be born, by its directory `ns`: unshare(2) and setns(2) with a pid or time namespace
/// change only that.
pub(super) fn for_children(survey: &mut Survey<'_>, process: &Process, ns: BorrowedFd<'_>) {
    for (kind, name) in [(Kind::Pid, c"pid_for_children"), (Kind::Time, c"time_for_children")] {
        if !survey.scope.kinds.contains(kind) {
            continue;
        }
        let mut space = [MaybeUninit::<u8>::uninit(); 32];
        let inode = match rustix::fs::readlinkat_raw(ns, name, &mut space) {
            Ok((link, _)) => inode_of(link),
            // A pid namespace has no link before its first process is born.
            Err(Errno::NOENT) if kind == Kind::Pid => without_process(process.pid),
            Err(_) => None,
        };
        let Some(inode) = inode else { continue };
        let own = process.namespace(kind).map(|index| survey.snapshot.namespaces[index].inode);
        if own != Some(inode) {
            let (index, _) = survey.snapshot.enter(kind, inode);
            survey.snapshot.keep(index, Keeper::ForChildren { pid: process.pid });
        }
    }
}
