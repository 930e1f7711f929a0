//! What all processes, threads and descriptors are in, from the kernel at once: two programs of ours (BPF iterators,
//! Linux 5.8, those used here 5.11) that it runs on each task and on each open file.
//!
//! A process costs five microseconds so, where its fifteen system calls in `/proc` cost twenty-five; a thread that stays
//! with its process costs nearly nothing. To begin costs what a hundred processes do. So this is for machines with many.
//!
//! What is found is what [`processes`](super::processes) would find, because `/proc` has the last word: it lists the
//! processes; kcmp(2) tells which of them the caller may read, by the question that `/proc` asks as well; and what the
//! kernel says of the caller must be what `/proc` says. A process that is not certain is visited there, and so are all
//! where the kernel does not let the programs run or is not understood, for which it needs no reason.

mod btf;
mod layout;
mod program;

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixDatagram;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::thread::CapabilitySet;

use self::layout::Layout;
use self::program::{FILE_RECORD, TASK_RECORD, file, task};
use super::survey::{Scope, Survey};
use super::visit::Visit;
use super::{descriptors, sockets, threads};
use crate::inspect::model::Process;
use crate::inspect::proc::{self, ProcPath, inode_of};
use crate::namespace::Kind;
use crate::sys::bpf::{self, Insn};
use crate::sys::btf::KernelTypes;
use crate::sys::kcmp;

/// Looks at all processes, where that is worth it and allowed. `false` where it is not: then nothing has been looked at.
pub(super) fn survey(survey: &mut Survey<'_>) -> bool {
    if !is_worth(survey) || !is_shown_all() || is_filtered() {
        return false;
    }
    let Some(found) = Found::gather(survey.scope) else { return false };
    // After that, so that whoever has started since is listed.
    let Some(pids) = survey.pids().ok().filter(|pids| pids.is_sorted()) else { return false };
    let mut visit = Visit::new(survey.scope);
    let visited = found.processes(survey, &pids, &mut visit);
    if survey.scope.threads {
        found.threads(survey, &visited, &visit.wanted);
    }
    if let Some(look) = &mut visit.descriptors {
        found.descriptors(survey, &visited, look);
    }
    true
}

fn is_worth(survey: &Survey<'_>) -> bool {
    let enough = survey.scope.bulk_from;
    // The directory has a link for each process of the machine, in whatever pid namespace; and some more.
    let many = rustix::fs::fstat(survey.proc()).is_ok_and(|status| status.st_nlink as usize >= enough);
    if survey.scope.only.is_some() || !many {
        return false;
    }
    let own = rustix::fs::stat("/proc/self/ns/pid");
    if own.is_ok_and(|status| status.st_ino == Kind::Pid.initial_inode()) {
        return true;
    }
    survey.pids().is_ok_and(|pids| pids.len() >= enough)
}

/// Whether `/proc` shows the caller everything, and numbers processes as the kernel does for it.
fn is_shown_all() -> bool {
    let user = rustix::fs::stat("/proc/self/ns/user");
    let is_initial = user.is_ok_and(|status| status.st_ino == Kind::User.initial_inode());
    // What the links in /proc/PID ask for, and its directories.
    let links = CapabilitySet::SYS_PTRACE;
    let directories = CapabilitySet::DAC_READ_SEARCH | CapabilitySet::DAC_OVERRIDE;
    let may = rustix::thread::capabilities(None)
        .is_ok_and(|sets| sets.effective.contains(links) && sets.effective.intersects(directories));
    is_initial && may && proc::are_own()
}

/// Whether a filter of system calls is in force: some answer bpf(2) by killing.
fn is_filtered() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    // Linux 3.8; a kernel without the line has no filters.
    status.lines().filter_map(|line| line.strip_prefix("Seccomp:")).any(|mode| mode.trim() != "0")
}

/// What the kernel said.
struct Found {
    tasks: Vec<u8>,
    files: Vec<u8>,
}

impl Found {
    /// Asks the kernel. `None` where it refuses, or says something else than `/proc`.
    fn gather(scope: &Scope) -> Option<Found> {
        let layout = Layout::read(&KernelTypes::open().ok()?)?;
        let found = Found {
            tasks: read(&program::tasks(&layout), layout.tasks, TASK_RECORD)?,
            files: if scope.descriptors { files(&layout)? } else { Vec::new() },
        };
        found.is_credible().then_some(found)
    }

    fn tasks(&self) -> impl Iterator<Item = Task<'_>> {
        self.tasks.chunks_exact(TASK_RECORD).map(Task)
    }

    /// Whether what it says of the caller is what `/proc` says, and processes come in order.
    fn is_credible(&self) -> bool {
        let own = std::process::id() as i32;
        let leaders = || self.tasks().filter(Task::is_process);
        leaders().map(|task| task.pid()).is_sorted()
            && leaders().find(|task| task.pid() == own).is_some_and(|task| {
                let same = |kind: Kind| link(kind.proc_name()) == task.namespace(kind);
                // Those for children may have no link yet: where they matter, it is looked at.
                let links = [Kind::Pid, Kind::Time].map(|kind| link(kind.proc_name_for_children()));
                let same_for_children =
                    links.iter().zip(task.for_children()).all(|(&link, inode)| link == 0 || link == inode);
                !task.moved() && Kind::ALL.into_iter().all(same) && same_for_children
            })
    }

    /// Processes that `/proc` lists, and where their children will be born. Gives back those that had to be visited.
    fn processes(&self, survey: &mut Survey<'_>, pids: &[i32], visit: &mut Visit) -> Vec<i32> {
        let mut last = Last::default();
        let mut visited = Vec::new();
        let mut said = self.tasks().filter(Task::is_process).peekable();
        let mut known = Vec::with_capacity(pids.len());
        for &pid in pids {
            while said.next_if(|task| task.pid() < pid).is_some() {}
            known.push(said.next_if(|task| task.pid() == pid && !task.moved()));
        }
        let mut readable = Readable::new();
        survey.snapshot.processes.reserve(pids.len());
        for (at, (&pid, task)) in pids.iter().zip(&known).enumerate() {
            let Some(task) = task.as_ref().filter(|_| readable.has(pids, at)) else {
                visited.push(pid);
                if let Some(ns) = ns(survey, pid) {
                    visit.at(survey, pid, ns.as_fd());
                }
                continue;
            };
            let mut process = Process::new(pid);
            for (kind, index) in last.enter(survey, task, &visit.wanted) {
                process.set_namespace(kind, index);
            }
            survey.snapshot.add(process);
            if survey.scope.for_children
                && task.for_children() != [Kind::Pid, Kind::Time].map(|kind| task.namespace(kind))
                && !process.is_opaque()
                && let Some(ns) = ns(survey, pid)
            {
                // Which may not be there yet, as namespaces: the link tells.
                threads::for_children(survey, &process, ns.as_fd());
            }
        }
        visited
    }

    /// Threads that went elsewhere than their process.
    fn threads(&self, survey: &mut Survey<'_>, visited: &[i32], wanted: &[Kind]) {
        let own = std::process::id() as i32;
        let mut last = Last::default();
        let mut look = threads::Look::new();
        for task in self.tasks().filter(|task| !task.is_process()) {
            let Some(process) = find(survey, task.pid(), visited).filter(|process| !process.is_opaque()) else {
                continue;
            };
            if task.moved() {
                look.at(survey, &process, wanted);
            } else if kcmp::may_read(own, task.tid()).is_ok() {
                let found: Vec<_> = last.enter(survey, &task, wanted).collect();
                threads::keep(survey, &process, task.tid(), found);
            }
        }
    }

    /// Namespaces and sockets that processes have open.
    fn descriptors(&self, survey: &mut Survey<'_>, visited: &[i32], look: &mut descriptors::Look) {
        for open in self.files.chunks_exact(FILE_RECORD) {
            let Some(process) = find(survey, signed(open, file::TGID), visited) else { continue };
            let own = process.namespace(Kind::Net).map(|index| survey.snapshot.namespaces[index].inode);
            let fd = signed(open, file::FD);
            if word(open, file::IS_SOCKET) == 0 {
                look.at_one(survey, &process, fd);
            } else if look.is_new_socket(double(open, file::INODE)) && own != Some(word(open, file::NET).into()) {
                sockets::look(survey, &process, fd);
            }
        }
    }
}

/// Which processes the caller may read. The kernel is asked for two at a time.
struct Readable {
    own: i32,
    /// The last answer: of whom, and of the one behind them as well.
    both: Option<usize>,
}

impl Readable {
    fn new() -> Readable {
        Readable { own: std::process::id() as i32, both: None }
    }

    /// Whether that may be read which is number `at` in the list; they are asked for in its order.
    fn has(&mut self, pids: &[i32], at: usize) -> bool {
        if at > 0 && self.both == Some(at - 1) {
            return true;
        }
        self.both = pids.get(at + 1).filter(|&&next| kcmp::may_read(pids[at], next).is_ok()).map(|_| at);
        self.both.is_some() || kcmp::may_read(self.own, pids[at]).is_ok()
    }
}

/// What is said of a task.
struct Task<'a>(&'a [u8]);

impl Task<'_> {
    /// The process's number.
    fn pid(&self) -> i32 {
        signed(self.0, task::TGID)
    }

    /// The thread's.
    fn tid(&self) -> i32 {
        signed(self.0, task::TID)
    }

    /// Whether it is the first of its process.
    fn is_process(&self) -> bool {
        self.pid() == self.tid()
    }

    /// The inode number of its namespace; 0 where there is none, of a kernel without that kind or a task that is ending.
    fn namespace(&self, kind: Kind) -> u64 {
        word(self.0, task::NAMESPACES + 4 * kind as usize).into()
    }

    /// Those of the namespaces that its children will be born in: pid, time.
    fn for_children(&self) -> [u64; 2] {
        [0, 1].map(|which| word(self.0, task::FOR_CHILDREN + 4 * which).into())
    }

    /// Whether it went elsewhere while it was looked at.
    fn moved(&self) -> bool {
        word(self.0, task::MOVED) != 0
    }
}

/// The last answer of each kind: most processes are in the same namespaces as the one before.
#[derive(Default)]
struct Last([(u64, usize); 8]);

impl Last {
    /// The namespaces that the task is in, each with its index.
    fn enter<'a>(
        &'a mut self,
        survey: &'a mut Survey<'_>,
        task: &'a Task<'_>,
        wanted: &'a [Kind],
    ) -> impl Iterator<Item = (Kind, usize)> {
        wanted.iter().filter_map(|&kind| {
            let inode = task.namespace(kind);
            let (of, index) = &mut self.0[kind as usize];
            if inode != *of {
                // Not one of number 0.
                *index = if inode == 0 { 0 } else { survey.snapshot.enter(kind, inode).0 };
                *of = inode;
            }
            (inode != 0).then_some((kind, *index))
        })
    }
}

/// Opens the directory of a process's links.
fn ns(survey: &Survey<'_>, pid: i32) -> Option<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat(survey.proc(), ProcPath::new(pid).text("/ns").as_c_str(), flags, Mode::empty()).ok()
}

/// The process, unless it was visited: then all of it is known.
fn find(survey: &Survey<'_>, pid: i32, visited: &[i32]) -> Option<Process> {
    if visited.binary_search(&pid).is_ok() {
        return None;
    }
    survey.snapshot.find_process(pid).map(|index| survey.snapshot.processes[index])
}

/// The inode number that a link of the caller's own names; 0 where there is none.
fn link(name: &str) -> u64 {
    let link = std::fs::read_link(format!("/proc/self/ns/{name}"));
    link.ok().and_then(|link| inode_of(link.as_os_str().as_encoded_bytes())).unwrap_or(0)
}

/// What the kernel says of open files, among which must be a namespace and a socket that are open here.
fn files(layout: &Layout) -> Option<Vec<u8>> {
    let namespace = OwnedFd::from(File::open("/proc/self/ns/user").ok()?);
    let socket = OwnedFd::from(UnixDatagram::unbound().ok()?);
    let files = read(&program::files(layout), layout.files, FILE_RECORD)?;
    let own = std::process::id() as i32;
    // A socket's namespace may be unknown.
    for (fd, is_socket, nets) in [(namespace, 0, [0, 0]), (socket, 1, [0, link("net")])] {
        let inode = rustix::fs::fstat(&fd).ok()?.st_ino;
        let said = files
            .chunks_exact(FILE_RECORD)
            .find(|open| (signed(open, file::TGID), signed(open, file::FD)) == (own, fd.as_raw_fd()))?;
        let net = u64::from(word(said, file::NET));
        if (double(said, file::INODE), word(said, file::IS_SOCKET)) != (inode, is_socket) || !nets.contains(&net) {
            return None;
        }
    }
    Some(files)
}

/// Lets the kernel run the program on all that there is, and gives back the records that it wrote.
fn read(program: &[Insn], function: btf::Id, record: usize) -> Option<Vec<u8>> {
    let iterator = bpf::iterate(program, function, None).ok()?;
    let mut written = Vec::with_capacity(64 << 10);
    loop {
        written.reserve(32 << 10); // the kernel's own buffer
        match rustix::io::read(&iterator, rustix::buffer::spare_capacity(&mut written)) {
            Ok(0) => return written.len().is_multiple_of(record).then_some(written),
            // The kernel rests after a million of files that nothing was written of.
            Ok(_) | Err(Errno::INTR | Errno::AGAIN) => {}
            Err(_) => return None,
        }
    }
}

fn word(record: &[u8], at: usize) -> u32 {
    record[at..].first_chunk().map_or(0, |&bytes| u32::from_ne_bytes(bytes))
}

fn signed(record: &[u8], at: usize) -> i32 {
    word(record, at).cast_signed()
}

fn double(record: &[u8], at: usize) -> u64 {
    record[at..].first_chunk().map_or(0, |&bytes| u64::from_ne_bytes(bytes))
}
