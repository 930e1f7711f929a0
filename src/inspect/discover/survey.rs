//! What to look for, and what is gathered on the way through all sources.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::SeekFrom;

use super::netnsid;
use crate::error::Errno;
use crate::inspect::model::Snapshot;
use crate::inspect::proc;
use crate::namespace::Kinds;

/// From so many processes on it is worth it to ask the kernel for all at once. It costs less than reading `/proc` from some
/// eighty on, with Linux 6.18, and from twice that on where the kernel's description of its types has to be copied.
const MANY: usize = 200;

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
        bulk_from: MANY,
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
pub(super) struct Survey<'a> {
    pub(super) scope: &'a Scope,
    pub(super) proc: OwnedFd,
    pub(super) snapshot: Snapshot,
    pub(super) netnsid: Option<netnsid::Query>,
}

impl Survey<'_> {
    pub(super) fn proc(&self) -> BorrowedFd<'_> {
        self.proc.as_fd()
    }

    /// The processes that `/proc` shows now.
    pub(super) fn pids(&self) -> std::result::Result<Vec<i32>, Errno> {
        // The directory may have been read before.
        rustix::fs::seek(&self.proc, SeekFrom::Start(0))?;
        let mut pids = Vec::new();
        proc::for_each_number(&self.proc, |pid| pids.push(pid))?;
        Ok(pids)
    }
}
