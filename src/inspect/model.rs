//! What was found: processes, namespaces, what keeps each of them, and what could not be looked at.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use rustix::fs::{Mode, OFlags};

use crate::error::{self, Attempt, Errno, Error, Result};
use crate::namespace::Kind;

/// How many processes of a namespace are tried, should they end one after the other.
pub(super) const MEMBERS: usize = 8;

/// No process or namespace: fits where an index is expected and keeps [`Process`] small.
const NONE: u32 = u32::MAX;

/// A process (a thread group) and the namespaces that its first thread is in.
#[derive(Clone, Copy, Debug)]
pub struct Process {
    /// Process id, as the mounted `/proc` numbers them.
    pub pid: i32,
    namespaces: [u32; 8],
}

impl Process {
    pub(super) fn new(pid: i32) -> Process {
        Process { pid, namespaces: [NONE; 8] }
    }

    /// Where the process's namespace of this kind is in [`Snapshot::namespaces`]; `None` where it could not be read.
    pub fn namespace(&self, kind: Kind) -> Option<usize> {
        let index = self.namespaces[kind as usize];
        (index != NONE).then_some(index as usize)
    }

    pub(super) fn set_namespace(&mut self, kind: Kind, index: usize) {
        self.namespaces[kind as usize] = index as u32;
    }

    /// Whether no namespace could be read.
    pub fn is_opaque(&self) -> bool {
        self.namespaces.iter().all(|&index| index == NONE)
    }
}

/// What holds a namespace alive beside the processes in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Keeper {
    /// A thread that is in another namespace than the process's first thread.
    Thread {
        /// Its process.
        pid: i32,
        /// The thread.
        tid: i32,
    },
    /// A process whose children will be born in it (`pid_for_children`, `time_for_children`).
    ForChildren {
        /// The process.
        pid: i32,
    },
    /// An open file descriptor of the namespace.
    Descriptor {
        /// The process that has it open.
        pid: i32,
        /// Its number.
        fd: i32,
    },
    /// A socket that was made in this network namespace.
    Socket {
        /// The process that has it open.
        pid: i32,
        /// Its number.
        fd: i32,
    },
    /// A bind mount.
    Mount {
        /// The inode number of the mount namespace that the mount is in.
        namespace: u64,
        /// Where, as a process of that mount namespace sees it.
        path: PathBuf,
        /// Whether something else is mounted over it, so that the path leads elsewhere.
        covered: bool,
    },
    /// A pid or user namespace below it.
    Child {
        /// The child's inode number.
        inode: u64,
    },
    /// A namespace that it owns.
    Owned {
        /// The owned namespace's inode number.
        inode: u64,
    },
}

impl Keeper {
    fn rank(&self) -> u8 {
        match self {
            Keeper::Thread { .. } => 0,
            Keeper::ForChildren { .. } => 1,
            Keeper::Descriptor { .. } => 2,
            Keeper::Socket { .. } => 3,
            Keeper::Mount { .. } => 4,
            Keeper::Child { .. } => 5,
            Keeper::Owned { .. } => 6,
        }
    }
}

impl fmt::Display for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Keeper::Thread { pid, tid } => write!(f, "thread {tid} of process {pid}"),
            Keeper::ForChildren { pid } => write!(f, "process {pid}, for its children"),
            Keeper::Descriptor { pid, fd } => write!(f, "fd {fd} of process {pid}"),
            Keeper::Socket { pid, fd } => write!(f, "socket {fd} of process {pid}"),
            Keeper::Mount { namespace, path, covered } => {
                let covered = if *covered { " (mounted over)" } else { "" };
                write!(f, "mount on {} in mnt:[{namespace}]{covered}", path.display())
            }
            Keeper::Child { inode } => write!(f, "child [{inode}]"),
            Keeper::Owned { inode } => write!(f, "owned [{inode}]"),
        }
    }
}

/// What the caller's network namespace calls another one; `RTM_GETNSID` of rtnetlink(7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NetnsId {
    /// Not asked, or the kernel would not tell.
    #[default]
    Unknown,
    /// There is no id for it in the caller's network namespace.
    Unassigned,
    /// The id, as in `ip link`'s `link-netnsid`.
    Assigned(i32),
}

/// A namespace.
#[derive(Clone, Debug)]
pub struct Namespace {
    /// What kind it is.
    pub kind: Kind,
    /// The inode number on nsfs, as in `net:[4026531840]`. Unique among all kinds while the namespace lives.
    pub inode: u64,
    /// The 64-bit id, which is never used again in one boot, where the kernel has it (Linux 6.18) and relations were
    /// asked for.
    pub id: Option<u64>,
    /// How many processes (thread groups) are in it.
    pub processes: u32,
    leader: u32,
    /// Inode number of the parent, of a pid or user namespace; 0 where there is none that the caller may see, or it
    /// was not asked for.
    pub parent: u64,
    /// Inode number of the owning user namespace; 0 as for `parent`.
    pub owner: u64,
    /// The user who created it, of a user namespace.
    pub owner_uid: Option<u32>,
    /// What the caller's network namespace calls it.
    pub netnsid: NetnsId,
    /// What else holds it alive.
    pub keepers: Vec<Keeper>,
    pub(super) related: bool,
}

impl Namespace {
    pub(super) fn new(kind: Kind, inode: u64) -> Namespace {
        Namespace {
            kind,
            inode,
            id: None,
            processes: 0,
            leader: NONE,
            parent: 0,
            owner: 0,
            owner_uid: None,
            netnsid: NetnsId::Unknown,
            keepers: Vec::new(),
            related: false,
        }
    }

    /// Where the process with the lowest pid in this namespace is in [`Snapshot::processes`].
    pub fn leader(&self) -> Option<usize> {
        (self.leader != NONE).then_some(self.leader as usize)
    }
}

/// `net:[4026531840]`, as readlink(2) of `/proc/PID/ns/net` has it.
impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:[{}]", self.kind.proc_name(), self.inode)
    }
}

/// Something that could not be looked at, so that namespaces may be missing from a [`Snapshot`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// How many of them.
    pub count: usize,
    /// Of what, in the plural: `processes`.
    pub what: Cow<'static, str>,
    /// Why, as the end of a sentence: `Permission denied`.
    pub reason: String,
    /// The first processes that it is about, where it is about processes.
    pub pids: Vec<i32>,
    /// Whether it is so on every machine with this kernel, whoever looks.
    pub of_kernel: bool,
}

/// How many processes a [`Gap`] names.
const NAMED: usize = 4;

impl Gap {
    /// Something that is not counted: a whole source that is missing.
    pub(super) fn whole(what: impl Into<Cow<'static, str>>, reason: impl Into<String>) -> Gap {
        Gap { count: 0, what: what.into(), reason: reason.into(), pids: Vec::new(), of_kernel: false }
    }
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.count, &*self.what) {
            (0, what) => write!(f, "{what}: {}", self.reason),
            (1, "processes") => write!(f, "1 process: {}", self.reason),
            (1, "processes' open files") => write!(f, "1 process's open files: {}", self.reason),
            (1, what) => write!(f, "1 {}: {}", what.strip_suffix('s').unwrap_or(what), self.reason),
            (count, what) => write!(f, "{count} {what}: {}", self.reason),
        }?;
        let pids: Vec<String> = self.pids.iter().map(i32::to_string).collect();
        match self.count.saturating_sub(pids.len()) {
            _ if pids.is_empty() => Ok(()),
            0 => write!(f, " ({})", pids.join(", ")),
            more => write!(f, " ({} and {more} more)", pids.join(", ")),
        }
    }
}

/// What only listns(2) shows.
pub(super) const UNLISTED: &str = "namespaces that only a descriptor in flight, a key or a file's credentials hold";

/// All that was found in one look.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// In the order of their pids.
    pub processes: Vec<Process>,
    /// In the order of their inode numbers.
    pub namespaces: Vec<Namespace>,
    /// What could not be looked at.
    pub gaps: Vec<Gap>,
    /// Whether the kernel told of all processes at once, by a program of ours that it ran. What it told is the same.
    pub at_once: bool,
    by_inode: HashMap<u64, u32>,
}

impl Snapshot {
    /// Where the namespace with this inode number is in `namespaces`.
    pub fn find(&self, inode: u64) -> Option<usize> {
        self.by_inode.get(&inode).map(|&index| index as usize)
    }

    /// Where the process with this pid is in `processes`.
    pub fn find_process(&self, pid: i32) -> Option<usize> {
        self.processes.binary_search_by_key(&pid, |process| process.pid).ok()
    }

    /// The process with the lowest pid in the namespace.
    pub fn leader(&self, namespace: &Namespace) -> Option<&Process> {
        namespace.leader().map(|index| &self.processes[index])
    }

    /// The processes in the namespace at `index`, lowest pid first.
    pub fn members(&self, index: usize) -> impl Iterator<Item = &Process> {
        let kind = self.namespaces[index].kind;
        self.processes.iter().filter(move |process| process.namespace(kind) == Some(index))
    }

    /// A path in `/proc` or below a bind mount by which the namespace can be opened.
    pub fn path(&self, namespace: &Namespace) -> Option<PathBuf> {
        self.paths(namespace).next()
    }

    /// Such paths, of the first few processes in it and of what else keeps it.
    fn paths<'a>(&'a self, namespace: &'a Namespace) -> impl Iterator<Item = PathBuf> + 'a {
        let name = namespace.kind.proc_name();
        // Found without a search, and most often enough.
        let leader = self.leader(namespace).map(|process| process.pid);
        let index = self.find(namespace.inode).filter(|_| leader.is_some());
        let others = index.into_iter().flat_map(|index| self.members(index).skip(1).take(MEMBERS));
        let pids = leader.into_iter().chain(others.map(|process| process.pid));
        let kept = namespace.keepers.iter().filter_map(move |keeper| match keeper {
            Keeper::Thread { pid, tid } => Some(format!("/proc/{pid}/task/{tid}/ns/{name}").into()),
            Keeper::ForChildren { pid } => {
                Some(format!("/proc/{pid}/ns/{}", namespace.kind.proc_name_for_children()).into())
            }
            Keeper::Descriptor { pid, fd } => Some(format!("/proc/{pid}/fd/{fd}").into()),
            Keeper::Mount { namespace, path, covered: false } => {
                let holder = self.leader(&self.namespaces[self.find(*namespace)?])?;
                let inside = path.strip_prefix("/").ok()?;
                Some(PathBuf::from(format!("/proc/{}/root", holder.pid)).join(inside))
            }
            _ => None,
        });
        pids.map(move |pid| PathBuf::from(format!("/proc/{pid}/ns/{name}"))).chain(kept)
    }

    /// Opens a namespace that was found, by whatever leads there still.
    ///
    /// # Errors
    /// Where nothing does, or nothing that may be opened.
    pub fn open(&self, namespace: &Namespace) -> Result<OwnedFd> {
        let mut refused = None;
        for path in self.paths(namespace) {
            let flags = OFlags::RDONLY | OFlags::CLOEXEC;
            let opened = rustix::fs::open(&path, flags, Mode::empty()).attempt(|| format!("open {}", path.display()));
            match opened {
                // A process may have gone elsewhere, or its number to another.
                Ok(fd) if rustix::fs::fstat(&fd).is_ok_and(|status| status.st_ino == namespace.inode) => return Ok(fd),
                Ok(_) => {}
                Err(error) => refused = refused.or(Some(error).filter(|error| error.errno() == Some(Errno::ACCESS))),
            }
        }
        let nothing = || Error::new(error::Kind::NotFound, "nothing that can be opened leads there");
        Err(refused.unwrap_or_else(nothing))
    }

    /// The index of the namespace, and whether it was not known before.
    pub(super) fn enter(&mut self, kind: Kind, inode: u64) -> (usize, bool) {
        let next = self.namespaces.len() as u32;
        let index = *self.by_inode.entry(inode).or_insert(next);
        if index == next {
            self.namespaces.push(Namespace::new(kind, inode));
        }
        (index as usize, index == next)
    }

    pub(super) fn keep(&mut self, index: usize, keeper: Keeper) {
        let keepers = &mut self.namespaces[index].keepers;
        if !keepers.contains(&keeper) {
            keepers.push(keeper);
        }
    }

    pub(super) fn gap(&mut self, what: &'static str, reason: impl Into<String>) {
        self.count_gap(what, reason.into(), None);
    }

    /// Something that could not be looked at of process `pid`.
    pub(super) fn gap_of(&mut self, pid: i32, what: &'static str, reason: impl Into<String>) {
        self.count_gap(what, reason.into(), Some(pid));
    }

    fn count_gap(&mut self, what: &'static str, reason: String, pid: Option<i32>) {
        let known = self.gaps.iter().position(|gap| gap.what == what && gap.reason == reason);
        let place = known.unwrap_or_else(|| {
            self.gaps.push(Gap::whole(what, reason));
            self.gaps.len() - 1
        });
        let gap = &mut self.gaps[place];
        gap.count += 1;
        gap.pids.extend(pid.filter(|_| gap.pids.len() < NAMED));
    }

    /// What is said of namespaces of which only the kernel's own list would tell, where there is none.
    pub fn unlisted(&self) -> Option<&Gap> {
        self.gaps.iter().find(|gap| gap.what == UNLISTED)
    }

    /// Something that is not counted: a whole source that is missing.
    pub(super) fn blind(&mut self, what: &'static str, reason: impl Into<String>) {
        self.gaps.push(Gap::whole(what, reason));
    }

    /// The same, where it is the kernel that has no such source.
    pub(super) fn lacks(&mut self, what: &'static str, reason: impl Into<String>) {
        self.gaps.push(Gap { of_kernel: true, ..Gap::whole(what, reason) });
    }

    /// Adds a process; they come in any order until [`Snapshot::arrange`].
    pub(super) fn add(&mut self, process: Process) {
        for kind in Kind::ALL {
            if let Some(index) = process.namespace(kind) {
                self.namespaces[index].processes += 1;
            }
        }
        self.processes.push(process);
    }

    /// Brings processes and namespaces into order, and finds each namespace's leader.
    pub(super) fn arrange(&mut self) {
        if !self.processes.is_sorted_by_key(|process| process.pid) {
            self.processes.sort_unstable_by_key(|process| process.pid);
        }
        let mut order: Vec<u32> = (0..self.namespaces.len() as u32).collect();
        order.sort_unstable_by_key(|&index| self.namespaces[index as usize].inode);
        let mut place = vec![0; order.len()];
        for (new, &old) in order.iter().enumerate() {
            place[old as usize] = new as u32;
        }
        self.namespaces.sort_unstable_by_key(|namespace| namespace.inode);
        for index in self.by_inode.values_mut() {
            *index = place[*index as usize];
        }
        for namespace in &mut self.namespaces {
            namespace.leader = NONE;
            // The first are those through which most can be seen.
            namespace.keepers.sort_by_key(Keeper::rank);
        }
        for (number, process) in self.processes.iter_mut().enumerate() {
            for index in &mut process.namespaces {
                if *index == NONE {
                    continue;
                }
                *index = place[*index as usize];
                let namespace = &mut self.namespaces[*index as usize];
                if namespace.leader == NONE {
                    namespace.leader = number as u32;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_leader_is_the_lowest_pid_whatever_the_order_of_arrival() {
        let mut snapshot = Snapshot::default();
        let (late, _) = snapshot.enter(Kind::Net, 900);
        let (early, _) = snapshot.enter(Kind::Uts, 100);
        for pid in [70, 7, 700] {
            let mut process = Process::new(pid);
            process.set_namespace(Kind::Net, late);
            process.set_namespace(Kind::Uts, early);
            snapshot.add(process);
        }
        snapshot.arrange();
        let inodes: Vec<u64> = snapshot.namespaces.iter().map(|namespace| namespace.inode).collect();
        assert_eq!(inodes, [100, 900]);
        let net = snapshot.find(900).unwrap();
        assert_eq!(snapshot.leader(&snapshot.namespaces[net]).unwrap().pid, 7);
        assert_eq!(snapshot.namespaces[net].processes, 3);
        assert_eq!(snapshot.members(net).map(|process| process.pid).collect::<Vec<_>>(), [7, 70, 700]);
    }

    #[test]
    fn a_gap_counts_all_and_names_some() {
        let mut snapshot = Snapshot::default();
        snapshot.gap_of(1, "processes", "Permission denied");
        assert_eq!(snapshot.gaps[0].to_string(), "1 process: Permission denied (1)");
        (2..=9).for_each(|pid| snapshot.gap_of(pid, "processes", "Permission denied"));
        assert_eq!(snapshot.gaps[0].to_string(), "9 processes: Permission denied (1, 2, 3, 4 and 5 more)");
    }

    #[test]
    fn a_keeper_is_told_once() {
        let mut snapshot = Snapshot::default();
        let (index, new) = snapshot.enter(Kind::Net, 5);
        assert!(new);
        assert_eq!(snapshot.enter(Kind::Net, 5), (index, false));
        snapshot.keep(index, Keeper::Descriptor { pid: 1, fd: 3 });
        snapshot.keep(index, Keeper::Descriptor { pid: 1, fd: 3 });
        assert_eq!(snapshot.namespaces[index].keepers.len(), 1);
    }
}
