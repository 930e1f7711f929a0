//! What is to be entered: namespaces of the target, or of files.

use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use nskit::error::{Attempt, Errno};
use nskit::namespace::{Kind, Kinds, is_shared_with, open_without_waiting};
use nskit::sys::clone::setns;
use nskit::{Error, Result};
use rustix::process::{Pid, PidfdFlags};

use super::number::{self, Bad};
use crate::hints::{self, Failure, Hint, Source};

/// A process whose namespaces are entered, held so that it stays the same one.
#[derive(Debug)]
pub(super) struct Target {
    /// What it is called.
    pub(super) pid: Pid,
    /// What it is held by.
    pub(super) pidfd: OwnedFd,
}

/// util-linux's order of kinds: the user namespace before all that it owns.
pub(super) const ORDER: [Kind; 8] =
    [Kind::User, Kind::Cgroup, Kind::Ipc, Kind::Uts, Kind::Net, Kind::Pid, Kind::Mount, Kind::Time];

/// Which namespaces to enter: of the target's, but for those of files that were opened.
#[derive(Debug, Default)]
pub(super) struct Namespaces {
    wanted: Kinds,
    /// Wanted only as one of all.
    implied: Kinds,
    files: [Option<OwnedFd>; 8],
    /// Why they could not be entered at once.
    cause: Option<String>,
}

impl Namespaces {
    /// Wants the namespace of this kind.
    pub(super) fn want(&mut self, kind: Kind) {
        self.wanted.insert(kind);
    }

    /// Wants the namespace of this kind, if the kernel has the kind.
    pub(super) fn want_if_known(&mut self, kind: Kind) {
        self.wanted.insert(kind);
        self.implied.insert(kind);
    }

    /// Every kind that is wanted.
    pub(super) fn all(&self) -> Kinds {
        self.wanted
    }

    /// Those that the target must give.
    pub(super) fn of_target(&self) -> Kinds {
        self.wanted.iter().filter(|kind| self.files[*kind as usize].is_none()).collect()
    }

    /// The descriptor of this kind, if one is open.
    pub(super) fn file(&self, kind: Kind) -> Option<BorrowedFd<'_>> {
        self.files[kind as usize].as_ref().map(AsFd::as_fd)
    }

    /// The first descriptor that is open, in [`ORDER`].
    pub(super) fn any_file(&self) -> Option<BorrowedFd<'_>> {
        ORDER.into_iter().filter(|kind| self.wanted.contains(*kind)).find_map(|kind| self.file(kind))
    }

    /// Wants what this descriptor refers to.
    pub(super) fn set(&mut self, kind: Kind, fd: OwnedFd) {
        self.wanted.insert(kind);
        self.files[kind as usize] = Some(fd);
    }

    /// Opens what an option's argument names: a file, or `:ID` of a namespace.
    pub(super) fn open(&mut self, kind: Kind, text: &OsStr) -> Result<(), Failure> {
        let fd = match text.as_bytes().strip_prefix(b":") {
            Some(id) => open_by_id(OsStr::from_bytes(id))?,
            None => open(text).hint(|errno| hints::closed_file(errno, text.as_ref()))?,
        };
        self.set(kind, fd);
        Ok(())
    }

    /// Opens what is wanted of process `pid` file by file, for when it cannot be held by a pidfd.
    pub(super) fn open_of_target(&mut self, pid: Pid) -> Result<(), Failure> {
        let missing = self.of_target();
        for kind in ORDER.into_iter().filter(|kind| missing.contains(*kind)) {
            let fd = open_in_proc(Some(pid), &format!("ns/{}", kind.proc_name()))?;
            self.set(kind, fd);
        }
        Ok(())
    }

    /// Enters everything that is wanted. When all comes from one target, that is one setns(2), which the kernel orders.
    /// Where that fails or files are among it, all but the user namespace is tried first, for it may take away the
    /// privilege, and what is left after it, for it may give it.
    pub(super) fn enter(mut self, target: Option<&Target>) -> Result<(), Failure> {
        let user = Kinds::only(Kind::User);
        if let Some(target) = target
            && self.of_target() == self.wanted
        {
            match setns(target.pidfd.as_fd(), self.wanted.flags()) {
                Ok(()) => return Ok(()),
                Err(Errno::INVAL) if self.forget_unknown() => {}
                Err(Errno::PERM) if self.forget_shared(target.pid) => return self.enter_rest(Some(target)),
                // Looked for before anything is entered: what /proc tells may be another's after it.
                Err(errno) => self.cause = hints::setns(errno, self.wanted, Source::Process(target.pid)),
            }
        }
        let _ = self.pass(target, self.wanted - user, false);
        self.pass(target, self.wanted, true)
    }

    /// Enters what is left after [`Namespaces::forget_shared`].
    fn enter_rest(self, target: Option<&Target>) -> Result<(), Failure> {
        if self.wanted.is_empty() { Ok(()) } else { self.enter(target) }
    }

    /// Gives up what was wanted only as one of all, where the caller is in it already: to enter it again takes a privilege over
    /// it, which a container has not over a time namespace of the host's. Whether there was any.
    fn forget_shared(&mut self, pid: Pid) -> bool {
        let before = self.wanted;
        let is_shared = |kind: &Kind| is_shared_with(pid.as_raw_nonzero().get(), *kind).unwrap_or(false);
        self.wanted = self.wanted - self.implied.iter().filter(is_shared).collect();
        self.wanted != before
    }

    /// Gives up what was wanted only as one of all, where the kernel is built without it: whether there was any.
    fn forget_unknown(&mut self) -> bool {
        let before = self.wanted;
        let known = |kind: &Kind| rustix::fs::stat(format!("/proc/self/ns/{}", kind.proc_name())).is_ok();
        self.wanted = self.wanted - self.implied.iter().filter(|kind| !known(kind)).collect();
        self.wanted != before
    }

    fn pass(&mut self, target: Option<&Target>, kinds: Kinds, report: bool) -> Result<(), Failure> {
        let at_once = self.of_target() & kinds;
        if let Some(target) = target
            && !at_once.is_empty()
        {
            match setns(target.pidfd.as_fd(), at_once.flags()) {
                Ok(()) => self.wanted = self.wanted - at_once,
                Err(errno) if report => {
                    let known = self.cause.take();
                    let look = |errno| hints::setns(errno, at_once, Source::Process(target.pid));
                    return Err(errno)
                        .attempt(|| "reassociate to namespaces failed")
                        .hint(|errno| known.or_else(|| look(errno)));
                }
                Err(_) => {}
            }
        }
        for kind in ORDER.into_iter().filter(|kind| kinds.contains(*kind)) {
            let Some(file) = self.file(kind) else { continue };
            match setns(file, kind.flag()) {
                Ok(()) => {
                    self.wanted.remove(kind);
                    self.files[kind as usize] = None;
                }
                Err(errno) if report => {
                    return Err(errno)
                        .attempt(|| format!("reassociate to namespace 'ns/{}' failed", kind.proc_name()))
                        .hint(|errno| hints::setns(errno, Kinds::only(kind), Source::File(file)));
                }
                Err(_) => {}
            }
        }
        Ok(())
    }
}

/// `PID`, or `PID:INODE` with the inode of its pidfd, which no other process ever has: then the pidfd is returned.
pub(super) fn parse(text: &OsStr) -> Result<(Pid, Option<OwnedFd>)> {
    let refused = |bad| {
        let errno = if bad == Bad::Range { Errno::RANGE } else { Errno::INVAL };
        Error::os(errno, format!("failed to parse PID argument '{}'", text.to_string_lossy()))
    };
    let bytes = text.as_bytes();
    let colon = bytes.iter().position(|byte| *byte == b':').unwrap_or(bytes.len());
    let pid = number::signed(OsStr::from_bytes(&bytes[..colon])).map_err(refused)?;
    let pid = i32::try_from(pid).ok().filter(|pid| *pid > 0).and_then(Pid::from_raw);
    let pid = pid.ok_or_else(|| refused(Bad::Range))?;
    let Some(inode) = bytes.get(colon + 1..) else { return Ok((pid, None)) };
    let inode = number::signed(OsStr::from_bytes(inode)).map_err(refused)?;
    if inode <= 0 {
        return Err(refused(Bad::Range));
    }
    let fd = pidfd_with_inode(pid, inode as u64)
        .attempt(|| format!("failed to obtain a valid file descriptor for PID {}", pid.as_raw_nonzero()))?;
    Ok((pid, Some(fd)))
}

fn pidfd_with_inode(pid: Pid, inode: u64) -> Result<OwnedFd, Errno> {
    /// "PIDF": before Linux 6.9 all pidfds share one inode.
    const PIDFS_MAGIC: i64 = 0x5049_4446;
    let fd = rustix::process::pidfd_open(pid, PidfdFlags::empty())?;
    if rustix::fs::fstatfs(&fd)?.f_type as i64 != PIDFS_MAGIC {
        return Err(Errno::NOTSUP);
    }
    if rustix::fs::fstat(&fd)?.st_ino != inode {
        return Err(Errno::SRCH);
    }
    Ok(fd)
}

/// Opens a file or directory that is to be entered. Whether it can be is said when it is entered, as by util-linux.
pub(super) fn open(path: &OsStr) -> Result<OwnedFd> {
    open_without_waiting(path.as_ref()).attempt(|| format!("cannot open {}", path.to_string_lossy()))
}

/// Opens `/proc/PID/NAME`.
pub(super) fn open_in_proc(target: Option<Pid>, name: &str) -> Result<OwnedFd, Failure> {
    match target {
        Some(pid) => {
            open(format!("/proc/{}/{name}", pid.as_raw_nonzero()).as_ref()).hint(|errno| hints::closed(errno, pid))
        }
        None => Err(Error::invalid(format!("neither filename nor target pid supplied for {name}")).into()),
    }
}

/// The namespace with this id, alive or not in any process (Linux 6.19).
fn open_by_id(text: &OsStr) -> Result<OwnedFd, Failure> {
    let id = match number::signed(text) {
        Ok(id) if id >= 0 => id as u64,
        _ => return Err(Error::invalid(format!("failed to parse nsid: {}", text.to_string_lossy())).into()),
    };
    nskit::sys::handle::open_namespace(id)
        .map_err(|(filled, errno)| match filled {
            false => Error::os(errno, "failed to fill namespace file handle"),
            true => Error::os(errno, format!("cannot open namespace of id {id}")),
        })
        .hint(hints::by_id)
}
