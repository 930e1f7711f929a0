//! Namespaces that a process has open.
//!
//! The text of the link in `/proc/PID/fd` does not tell: a namespace that was opened through a bind mount is named by
//! that mount's path. statx(2) does, and with `AT_STATX_DONT_SYNC` it does not wait for a dead file server.

use std::collections::HashSet;
use std::os::fd::AsFd;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, StatxFlags};
use rustix::io::Errno;

use super::survey::Survey;
use super::{relations, sockets};
use crate::error::strerror;
use crate::inspect::model::{Keeper, Process};
use crate::inspect::proc::{self, ProcPath, for_each_number};
use crate::namespace::Kind;
use crate::sys::kcmp;

/// The device that all namespaces' inodes are on.
pub(super) fn nsfs_device() -> Option<(u32, u32)> {
    let status = rustix::fs::stat("/proc/self/ns/mnt").ok()?;
    Some((rustix::fs::major(status.st_dev), rustix::fs::minor(status.st_dev)))
}

/// Descriptors of a process that has at most this many are guessed before their directory is read.
const GUESSED: usize = 16;

/// After so many comparisons in a row that told nothing, only one process in [`SELDOM`] is compared.
const PATIENCE: u8 = 3;
const SELDOM: i32 = 16;

/// A descriptor that processes with so many of them are likely to have.
#[derive(Clone, Copy)]
struct Usual {
    fd: i32,
    /// The last process whose file there was looked at and was no namespace; 0 where there is none.
    seen_of: i32,
    /// How many processes in a row had another file there.
    misses: u8,
}

impl Usual {
    fn new(fd: i32) -> Usual {
        Usual { fd, seen_of: 0, misses: 0 }
    }
}

/// Looks at the descriptors of processes, one after the other; what it remembers makes the next one cheap.
pub(super) struct Look {
    nsfs: (u32, u32),
    /// Sockets that were looked at: many processes share some.
    sockets: HashSet<u64>,
    /// Whether a process that `/proc` shows can be asked for a socket by its number.
    asks: bool,
    /// By count, what the last process with so many descriptors had: first 0, 1 and so on.
    usual: [Vec<Usual>; GUESSED + 1],
    /// Whether the size of `/proc/PID/fd` is the count of descriptors (Linux 6.2).
    counts: bool,
    /// Whether kcmp(2) answers, and about the processes that `/proc` numbers so.
    compares: bool,
}

impl Look {
    /// `None` where the kernel shows no namespaces.
    pub(super) fn new() -> Option<Look> {
        let compares = proc::are_own();
        Some(Look {
            nsfs: nsfs_device()?,
            sockets: HashSet::new(),
            asks: compares,
            usual: std::array::from_fn(|count| (0..count as i32).map(Usual::new).collect()),
            // This process has at least the one of `/proc` open.
            counts: rustix::fs::stat("/proc/self/fd").is_ok_and(|status| status.st_size > 0),
            compares,
        })
    }

    /// Looks at all descriptors of the process.
    pub(super) fn at(&mut self, survey: &mut Survey<'_>, process: &Process) {
        let looked = match guess(survey, process, self) {
            Ok(true) => Ok(()),
            Ok(false) => look_at_all(survey, process, self),
            Err(errno) => Err(errno),
        };
        if let Err(errno @ (Errno::ACCESS | Errno::PERM)) = looked {
            survey.snapshot.gap_of(process.pid, "processes' open files", strerror(errno));
        }
    }

    /// Looks at one descriptor. One that was closed since holds nothing any more.
    pub(super) fn at_one(&mut self, survey: &mut Survey<'_>, process: &Process, fd: i32) {
        let _ = look(survey, process, fd, self);
    }

    /// Whether no socket with this inode number was looked at before.
    pub(super) fn is_new_socket(&mut self, inode: u64) -> bool {
        self.sockets.insert(inode)
    }

    /// Whether the process has the very file that was looked at before: kcmp(2) costs a third of a lookup by path. Says
    /// no where it cannot tell.
    fn is_known(&mut self, pid: i32, usual: &mut Usual) -> bool {
        let worth = usual.misses < PATIENCE || pid % SELDOM == 0;
        if usual.seen_of == 0 || !self.compares || !worth {
            return false;
        }
        match kcmp::is_same_file(pid, usual.seen_of, usual.fd) {
            Ok(true) => usual.misses = 0,
            // Whichever of the two is gone, the lookup tells.
            Ok(false) | Err(Errno::BADF | Errno::SRCH) => usual.misses = usual.misses.saturating_add(1),
            Err(_) => self.compares = false,
        }
        self.compares && usual.misses == 0
    }
}

/// What a descriptor is of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Found {
    Namespace,
    Else,
}

/// Most processes have few descriptors, numbered as those of the process before. The directory's size is their count, so
/// that they are all seen when so many are there; which costs half of reading the directory. Returns whether they were.
fn guess(survey: &mut Survey<'_>, process: &Process, memory: &mut Look) -> Result<bool, Errno> {
    if !memory.counts {
        return Ok(false);
    }
    let pid = process.pid;
    let path = ProcPath::new(pid).text("/fd");
    let status = rustix::fs::statx(survey.proc(), path.as_c_str(), AtFlags::empty(), StatxFlags::SIZE)?;
    let count = usize::try_from(status.stx_size).unwrap_or(usize::MAX);
    if count > GUESSED {
        return Ok(false);
    }
    // The highest is the most telling.
    for at in (0..count).rev() {
        let mut usual = memory.usual[count][at];
        if !memory.is_known(pid, &mut usual) {
            match look(survey, process, usual.fd, memory) {
                Ok(found) => usual.seen_of = if found == Found::Namespace { 0 } else { pid },
                Err(Errno::NOENT) => return Ok(false),
                Err(errno) => return Err(errno),
            }
        }
        memory.usual[count][at] = usual;
    }
    Ok(true)
}

fn look_at_all(survey: &mut Survey<'_>, process: &Process, memory: &mut Look) -> Result<(), Errno> {
    let mut fds = Vec::new();
    list(survey, process.pid, &mut fds)?;
    for &fd in &fds {
        // One that was closed since holds nothing any more.
        let _ = look(survey, process, fd, memory);
    }
    if let Some(usual) = memory.usual.get_mut(fds.len()) {
        usual.clear();
        usual.extend(fds.into_iter().map(Usual::new));
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
fn look(survey: &mut Survey<'_>, process: &Process, fd: i32, memory: &mut Look) -> Result<Found, Errno> {
    let pid = process.pid;
    let path = ProcPath::new(pid).text("/fd/").number(fd);
    let flags = AtFlags::STATX_DONT_SYNC | AtFlags::NO_AUTOMOUNT;
    let status = rustix::fs::statx(survey.proc(), path.as_c_str(), flags, StatxFlags::TYPE | StatxFlags::INO)?;
    if (status.stx_dev_major, status.stx_dev_minor) == memory.nsfs {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let ns = rustix::fs::openat(survey.proc(), path.as_c_str(), flags, Mode::empty())?;
        if let Ok(Some(kind)) = Kind::of_file(&ns)
            && survey.scope.kinds.contains(kind)
        {
            let (index, _) = survey.snapshot.enter(kind, rustix::fs::fstat(&ns)?.st_ino);
            survey.snapshot.keep(index, Keeper::Descriptor { pid, fd });
            relations::relate(survey, index, ns.as_fd());
        }
        return Ok(Found::Namespace);
    }
    if FileType::from_raw_mode(u32::from(status.stx_mode)) == FileType::Socket && memory.sockets.insert(status.stx_ino)
    {
        if memory.asks {
            sockets::look(survey, process, fd);
        } else {
            survey.snapshot.gap("sockets", "/proc is that of another pid namespace than this process's own");
        }
    }
    Ok(Found::Else)
}
