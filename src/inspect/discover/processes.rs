//! Namespaces that processes are in: the links in `/proc/PID/ns`.
//!
//! This is the hot path: with thousands of processes nearly all time is spent here, and nearly all of it in the
//! kernel. Per process one chdir(2) and one readlinkat(2) a kind. stat(2) would cost twice as much, since it makes the
//! kernel build an inode; a descriptor of the directory, opened and closed, a twentieth of it all.

use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::sched::{CloneFlags, unshare};
use rustix::fs::{CWD, Mode, OFlags, RawDir};
use rustix::io::Errno;

use super::super::model::{Process, Snapshot};
use super::{Scope, Survey, descriptors, threads};
use crate::error::{Attempt, Result};
use crate::namespace::Kind;

/// The links in the order of [`Kind::ALL`].
const LINKS: [&CStr; 8] = [c"mnt", c"uts", c"ipc", c"net", c"pid", c"user", c"cgroup", c"time"];

/// A path below `/proc`, made without allocating: `PID/ns`, `PID/task/TID/ns`.
pub(super) struct ProcPath {
    bytes: [u8; 64],
    len: usize,
}

impl ProcPath {
    const EMPTY: ProcPath = ProcPath { bytes: [0; 64], len: 0 };

    pub(super) fn new(pid: i32) -> ProcPath {
        ProcPath::EMPTY.number(pid)
    }

    pub(super) fn number(mut self, number: i32) -> ProcPath {
        let mut digits = [0; 10];
        let mut at = digits.len();
        let mut rest = number.unsigned_abs();
        loop {
            at -= 1;
            digits[at] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        self.append(&digits[at..]);
        self
    }

    pub(super) fn text(mut self, text: &str) -> ProcPath {
        self.append(text.as_bytes());
        self
    }

    fn append(&mut self, bytes: &[u8]) {
        self.bytes[self.len..self.len + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }

    pub(super) fn as_c_str(&self) -> &CStr {
        CStr::from_bytes_with_nul(&self.bytes[..=self.len]).unwrap_or(c"")
    }
}

/// The number that a directory entry of `/proc` is named by.
pub(super) fn number(name: &CStr) -> Option<i32> {
    let bytes = name.to_bytes();
    if !bytes.first().is_some_and(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(bytes).ok()?.parse().ok()
}

/// The number between the brackets of `net:[4026531840]`.
pub(super) fn inode_of(link: &[u8]) -> Option<u64> {
    let open = link.iter().position(|&byte| byte == b'[')?;
    let digits = link[open + 1..].strip_suffix(b"]")?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// Reads the links of one process or thread, remembering the last answer of each kind: most processes are in the same
/// namespaces as the one before.
pub(super) struct Reader {
    last: [([u8; 32], usize, usize); 8],
}

/// How reading the links of one process went.
pub(super) enum Answer {
    /// These were read; kinds may be missing, of a kernel without them or a process that is ending.
    Read([Option<usize>; 8]),
    /// The process is gone.
    Gone,
    /// The kernel would not tell.
    Refused(Errno),
}

impl Reader {
    pub(super) fn new() -> Reader {
        Reader { last: [([0; 32], 0, 0); 8] }
    }

    /// Reads the links in the directory `ns`.
    pub(super) fn read(&mut self, ns: BorrowedFd<'_>, wanted: &[Kind], snapshot: &mut Snapshot) -> Answer {
        let mut found = [None; 8];
        for &kind in wanted {
            let mut space = [MaybeUninit::<u8>::uninit(); 32];
            match rustix::fs::readlinkat_raw(ns, LINKS[kind as usize], &mut space) {
                Ok((link, _)) => {
                    let (bytes, len, index) = &mut self.last[kind as usize];
                    if link != &bytes[..*len] {
                        let Some(inode) = inode_of(link) else { continue };
                        *index = snapshot.enter(kind, inode).0;
                        bytes[..link.len()].copy_from_slice(link);
                        *len = link.len();
                    }
                    found[kind as usize] = Some(*index);
                }
                Err(Errno::SRCH) => return Answer::Gone,
                Err(errno @ (Errno::ACCESS | Errno::PERM)) => return Answer::Refused(errno),
                Err(_) => {}
            }
        }
        Answer::Read(found)
    }
}

/// Calls `visit` with every number that names an entry of the directory.
pub(super) fn for_each_number(directory: impl AsFd, mut visit: impl FnMut(i32)) -> Result<(), Errno> {
    let mut space = [MaybeUninit::<u8>::uninit(); 32 * 1024];
    let mut entries = RawDir::new(directory, &mut space);
    // To the end: an answer that leaves room is no sign of it, since a signal cuts answers short.
    while let Some(entry) = entries.next() {
        if let Some(number) = number(entry?.file_name()) {
            visit(number);
        }
    }
    Ok(())
}

/// The working directory, while it goes from process to process; where it was comes back in the end.
struct Journey {
    home: OwnedFd,
}

impl Journey {
    fn begin() -> Result<Journey> {
        // No thread but this one travels. Where that is denied, as in a container, there is no other: applets have one.
        let _ = unshare(CloneFlags::CLONE_FS);
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::open(".", flags, Mode::empty())
            .map(|home| Journey { home })
            .attempt(|| "open the working directory")
    }
}

impl Drop for Journey {
    fn drop(&mut self) {
        if rustix::process::fchdir(&self.home).is_err() {
            // This user may not enter it any more, and reaches nothing by a relative path either way.
            let _ = rustix::process::chdir("/");
        }
    }
}

/// Visits processes, one after the other; of each everything at once, while what the kernel has to look up for it is at
/// hand.
pub(super) struct Visit {
    pub(super) wanted: Vec<Kind>,
    reader: Reader,
    threads: Option<threads::Look>,
    pub(super) descriptors: Option<descriptors::Look>,
}

impl Visit {
    pub(super) fn new(scope: &Scope) -> Visit {
        Visit {
            wanted: scope.kinds.iter().collect(),
            reader: Reader::new(),
            threads: scope.threads.then(threads::Look::new),
            descriptors: if scope.descriptors { descriptors::Look::new() } else { None },
        }
    }

    /// Visits a process, whose links are in the directory `ns`.
    pub(super) fn at(&mut self, survey: &mut Survey<'_>, pid: i32, ns: BorrowedFd<'_>) {
        let mut process = Process::new(pid);
        match self.reader.read(ns, &self.wanted, &mut survey.snapshot) {
            Answer::Gone => return,
            Answer::Refused(errno) => survey.snapshot.gap_of(pid, "processes", crate::error::strerror(errno)),
            Answer::Read(found) => {
                for kind in Kind::ALL {
                    if let Some(index) = found[kind as usize] {
                        process.set_namespace(kind, index);
                    }
                }
            }
        }
        survey.snapshot.add(process);
        if !process.is_opaque() {
            if let Some(threads) = &mut self.threads {
                threads.at(survey, &process, &self.wanted);
            }
            if survey.scope.for_children {
                threads::for_children(survey, &process, ns);
            }
        }
        if let Some(descriptors) = &mut self.descriptors {
            descriptors.at(survey, &process);
        }
    }
}

/// All processes, or the one that is asked for.
pub(super) fn survey(survey: &mut Survey<'_>) -> Result<()> {
    let pids = match survey.scope.only {
        Some(pid) => vec![pid],
        None => survey.pids().attempt(|| "read /proc")?,
    };
    survey.snapshot.processes.reserve(pids.len());
    let mut visit = Visit::new(survey.scope);
    let _journey = Journey::begin()?;
    for pid in pids {
        let ns = ProcPath::EMPTY.text("/proc/").number(pid).text("/ns");
        if rustix::process::chdir(ns.as_c_str()).is_ok() {
            visit.at(survey, pid, CWD);
        }
    }
    Ok(())
}
