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

/// Descriptors of a process that has at most this many are guessed before their directory is read.
const GUESSED: usize = 16;

/// What is remembered from one process to the next.
struct Memory {
    nsfs: (u32, u32),
    /// Sockets that were looked at: many processes share some.
    sockets: HashSet<u64>,
    /// The numbers that the last process with so many descriptors had: first 0, 1 and so on.
    numbers: [Vec<i32>; GUESSED + 1],
}

/// Looks at the descriptors of every process.
pub(super) fn survey(survey: &mut Survey<'_>) {
    let Some(nsfs) = nsfs_device() else { return };
    let numbers = std::array::from_fn(|count| (0..count as i32).collect());
    let mut memory = Memory { nsfs, sockets: HashSet::new(), numbers };
    for process in 0..survey.snapshot.processes.len() {
        let looked = match guess(survey, process, &mut memory) {
            Ok(true) => Ok(()),
            Ok(false) => look_at_all(survey, process, &mut memory),
            Err(errno) => Err(errno),
        };
        if let Err(errno @ (Errno::ACCESS | Errno::PERM)) = looked {
            survey.snapshot.gap("processes' open files", strerror(errno));
        }
    }
}

/// Most processes have few descriptors, numbered as those of the process before. The directory's size is their count
/// (Linux 6.2), so that they are all seen when so many are there; which costs half of reading the directory. Returns
/// whether they were.
fn guess(survey: &mut Survey<'_>, process: usize, memory: &mut Memory) -> Result<bool, Errno> {
    let path = ProcPath::new(survey.snapshot.processes[process].pid).text("/fd");
    let status = rustix::fs::statx(survey.proc(), path.as_c_str(), AtFlags::empty(), StatxFlags::SIZE)?;
    let count = usize::try_from(status.stx_size).unwrap_or(usize::MAX);
    if count == 0 || count > GUESSED {
        return Ok(false);
    }
    // The highest is the most telling.
    for at in (0..count).rev() {
        let fd = memory.numbers[count][at];
        match look(survey, process, fd, memory) {
            Ok(()) => {}
            Err(Errno::NOENT) => return Ok(false),
            Err(errno) => return Err(errno),
        }
    }
    Ok(true)
}

fn look_at_all(survey: &mut Survey<'_>, process: usize, memory: &mut Memory) -> Result<(), Errno> {
    let mut fds = Vec::new();
    list(survey, survey.snapshot.processes[process].pid, &mut fds)?;
    for &fd in &fds {
        // One that was closed since holds nothing any more.
        let _ = look(survey, process, fd, memory);
    }
    if let Some(numbers) = memory.numbers.get_mut(fds.len()) {
        *numbers = fds;
    }
    Ok(())
}

fn list(survey: &Survey<'_>, pid: i32, fds: &mut Vec<i32>) -> Result<(), Errno> {
    let path = ProcPath::new(pid).text("/fd");
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = rustix::fs::openat(survey.proc(), path.as_c_str(), flags, Mode::empty())?;
    for_each_number(&directory, |fd| fds.push(fd))
}

/// Looks at one descriptor.
fn look(survey: &mut Survey<'_>, process: usize, fd: i32, memory: &mut Memory) -> Result<(), Errno> {
    let pid = survey.snapshot.processes[process].pid;
    let path = ProcPath::new(pid).text("/fd/").number(fd);
    let flags = AtFlags::STATX_DONT_SYNC | AtFlags::NO_AUTOMOUNT;
    let status = rustix::fs::statx(survey.proc(), path.as_c_str(), flags, StatxFlags::TYPE | StatxFlags::INO)?;
    if (status.stx_dev_major, status.stx_dev_minor) == memory.nsfs {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let ns = rustix::fs::openat(survey.proc(), path.as_c_str(), flags, Mode::empty())?;
        if let Ok(Some(kind)) = ioctl::namespace_kind(&ns)
            && survey.scope.kinds.contains(kind)
        {
            let (index, _) = survey.snapshot.enter(kind, rustix::fs::fstat(&ns)?.st_ino);
            survey.snapshot.keep(index, Keeper::Descriptor { pid, fd });
            relations::relate(survey, index, ns.as_fd());
        }
    } else if FileType::from_raw_mode(u32::from(status.stx_mode)) == FileType::Socket
        && memory.sockets.insert(status.stx_ino)
    {
        sockets::look(survey, process, fd);
    }
    Ok(())
}
