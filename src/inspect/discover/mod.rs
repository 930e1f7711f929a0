//! Looks in every place that can hold a namespace: one file a source.
//!
//! | source | finds | cost |
//! |---|---|---|
//! | [`processes`] | what processes are in | nine system calls a process |
//! | [`threads`] | what single threads moved to, and where children will be born | one and two a process, 10 a thread beyond the first |
//! | [`descriptors`] | what is open, and (with [`sockets`]) where sockets came from | one a process and one a descriptor, where these are few: kcmp(2), for files shared with the process before |
//! | [`bulk`] | what these three find, where there are many processes and the kernel may be asked for all at once | two milliseconds, and half a system call a process |
//! | [`mounts`] | what is bound to a file, in every mount namespace | three a mount namespace |
//! | [`relations`] | parents and owners, up to the root | six a namespace |
//! | [`lists`] | the kernel's own lists: mount namespaces (Linux 6.12), all (6.19) | three a namespace |
//!
//! [`discover()`] chooses between the first three and [`bulk`], which fills the same [`Snapshot`] with the same.
//!
//! Everything can go away while it is looked at. What is gone is left out; what may not be looked at is told as a
//! [`Gap`](super::Gap).

mod bulk;
mod descriptors;
mod lists;
mod mounts;
mod netnsid;
mod processes;
mod relations;
mod sockets;
mod threads;

pub(super) use lists::no_process;
pub(super) use mounts::unescape;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags, PROC_SUPER_MAGIC, SeekFrom};

use super::model::Snapshot;
use crate::error::{Attempt, Errno, Error, Result};
use crate::namespace::Kinds;

/// Which mount namespaces' bind mounts are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mounts {
    /// None.
    None,
    /// Those of the caller's own mount namespace.
    Own,
    /// Those of every mount namespace that can be found.
    All,
}

/// Where to look, and what to ask.
#[derive(Clone, Debug)]
pub struct Scope {
    /// Kinds of namespaces that are wanted.
    pub kinds: Kinds,
    /// Only this process, which costs the same however many there are.
    pub only: Option<i32>,
    /// Whether to look at threads.
    pub threads: bool,
    /// Whether to look where the children of a process will be born.
    pub for_children: bool,
    /// Whether to look at open descriptors and sockets.
    pub descriptors: bool,
    /// Which bind mounts to look at.
    pub mounts: Mounts,
    /// Whether to ask for parents and owners, and follow them to namespaces that nothing else shows.
    pub relations: bool,
    /// Whether to ask for the ids of network namespaces.
    pub netnsids: bool,
    /// Whether to ask the kernel for its lists, and to tell what may be missing.
    pub lists: bool,
    /// How many processes there must be for the kernel to be asked for all of them at once, which costs much to begin.
    /// What is found is the same.
    pub bulk_from: usize,
}

impl Scope {
    /// Every source and every kind.
    pub const EVERYTHING: Scope = Scope {
        kinds: Kinds::ALL,
        only: None,
        threads: true,
        for_children: true,
        descriptors: true,
        mounts: Mounts::All,
        relations: true,
        netnsids: true,
        lists: true,
        bulk_from: bulk::WORTH,
    };

    /// What one process is in, and nothing else.
    pub fn process(pid: i32) -> Scope {
        Scope {
            only: Some(pid),
            threads: false,
            for_children: false,
            descriptors: false,
            mounts: Mounts::None,
            netnsids: false,
            relations: false,
            lists: false,
            ..Scope::EVERYTHING
        }
    }
}

/// What is being gathered, and what all sources need for it.
struct Survey<'a> {
    scope: &'a Scope,
    proc: OwnedFd,
    snapshot: Snapshot,
    netnsid: Option<netnsid::Query>,
}

impl Survey<'_> {
    fn proc(&self) -> BorrowedFd<'_> {
        self.proc.as_fd()
    }

    /// The processes that `/proc` shows now.
    fn pids(&self) -> std::result::Result<Vec<i32>, Errno> {
        // The directory may have been read before.
        rustix::fs::seek(&self.proc, SeekFrom::Start(0))?;
        let mut pids = Vec::new();
        processes::for_each_number(&self.proc, |pid| pids.push(pid))?;
        Ok(pids)
    }
}

/// The pids of all processes that `/proc` shows, lowest first.
///
/// # Errors
/// Where `/proc` cannot be opened or read.
pub fn processes_of_proc() -> Result<Vec<i32>> {
    let proc = open_proc()?;
    let mut pids = Vec::new();
    processes::for_each_number(&proc, |pid| pids.push(pid)).attempt(|| "read /proc")?;
    Ok(pids)
}

pub(super) fn open_proc() -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let proc = rustix::fs::open("/proc", flags, Mode::empty()).attempt(|| "open /proc")?;
    // An empty folder would show a machine with nothing on it.
    if rustix::fs::fstatfs(&proc).attempt(|| "stat /proc")?.f_type != PROC_SUPER_MAGIC {
        return Err(Error::unsupported("/proc is not mounted"));
    }
    Ok(proc)
}

/// The complaint about a process that [`discover()`] did not find, though it was asked for.
pub fn absent(pid: i32) -> Error {
    no_process(pid)
}

/// Looks at the machine.
///
/// # Errors
/// Where `/proc` cannot be opened or read. A process that went away, or may not be looked at, is no error.
pub fn discover(scope: &Scope) -> Result<Snapshot> {
    let proc = open_proc()?;
    let netnsid = if scope.netnsids { netnsid::Query::open().ok() } else { None };
    let mut survey = Survey { scope, proc, snapshot: Snapshot::default(), netnsid };
    survey.snapshot.at_once = bulk::survey(&mut survey);
    if !survey.snapshot.at_once {
        processes::survey(&mut survey)?;
    }
    survey.snapshot.arrange();
    mounts::survey(&mut survey);
    if scope.lists {
        lists::survey(&mut survey);
    }
    relations::survey(&mut survey);
    survey.snapshot.arrange();
    Ok(survey.snapshot)
}
