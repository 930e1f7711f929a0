//! Putting processes into a cgroup: born there, by their own writes, or moved.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{Mode as FileMode, OFlags};
use rustix::io::Errno;
use rustix::process::Pid;

use super::{Cgroup, Dir, file, is_refusal};
use crate::error::{Attempt, Error, Result};

impl Cgroup {
    /// The directory in the unified hierarchy, to start a process in it with `CLONE_INTO_CGROUP` (Linux 5.7): to be moved
    /// there by another process would have to wait for all processors, some 10 ms. `None` where there is none.
    ///
    /// # Errors
    /// The directory cannot be opened: it is gone.
    pub fn fd_for_clone(&self) -> Result<Option<BorrowedFd<'_>>> {
        self.unified_dir().map_or(Ok(None), |dir| self.open_dir(dir).map(Some))
    }

    /// What the calling process, or a child that inherits it, is to join the hierarchies of v1 by. A process without other
    /// threads that moves itself so does not wait: whoever moves another, or one with threads, waits until all processors
    /// have passed through the scheduler, some 10 ms when it was not done just before (Linux 5.5).
    ///
    /// # Errors
    /// As [`Cgroup::join`].
    pub fn entrances(&mut self) -> Result<Entrances> {
        let mut open = Vec::with_capacity(self.dirs.len());
        let mut failed = None;
        let lenient = self.lenient;
        self.dirs.retain(|dir| {
            if failed.is_some() || dir.is_unified() {
                return true;
            }
            let optional = dir.is_only_for_placement();
            match file::Writer::open(&dir.path, "tasks") {
                Ok(tasks) => open.push(Entrance { dir: dir.path.clone(), optional, tasks }),
                Err(errno) if optional && is_refusal(errno) => {
                    left_out(dir, None, errno, lenient);
                    return false;
                }
                Err(Errno::PERM | Errno::ACCESS | Errno::ROFS) if lenient => return false,
                Err(errno) => failed = Some(self::failed_join(&dir.path, None, errno)),
            }
            true
        });
        failed.map_or(Ok(Entrances(open)), Err)
    }

    /// Why a process could not be born in the cgroup: the reason that it could not join it for.
    pub fn failed_birth(&self, errno: Errno) -> Error {
        failed_join(self.unified_dir().unwrap_or(Path::new("")), None, errno)
    }

    pub(super) fn open_dir(&self, path: &Path) -> Result<BorrowedFd<'_>> {
        if let Some(fd) = self.fd.get() {
            return Ok(fd.as_fd());
        }
        let fd = open_dir(path).attempt(|| format!("open cgroup {}", path.display()))?;
        Ok(self.fd.get_or_init(|| fd).as_fd())
    }

    /// Moves a process, with all its threads, into the cgroup: one write a hierarchy. `None` is the calling process.
    ///
    /// # Errors
    /// A hierarchy refuses; those before it have been joined. Hierarchies without limits are left out instead, and from
    /// then on, and for an unprivileged user those that deny access.
    pub fn join(&mut self, pid: Option<Pid>) -> Result<()> {
        self.join_where(pid, |_| true)
    }

    /// As [`Cgroup::join`], but for what is done: it `is_born` in its place in the unified hierarchy, or it
    /// `moves_itself` to the others.
    ///
    /// # Errors
    /// As [`Cgroup::join`].
    pub fn join_rest(&mut self, pid: Pid, is_born: bool, moves_itself: bool) -> Result<()> {
        self.join_where(Some(pid), |dir| !if dir.is_unified() { is_born } else { moves_itself })
    }

    fn join_where(&mut self, pid: Option<Pid>, wanted: impl Fn(&Dir) -> bool) -> Result<()> {
        let value = pid.map_or(0, Pid::as_raw_pid).to_string();
        let mut failed = None;
        let mut opened = Vec::with_capacity(self.dirs.len());
        let (unified, lenient) = (self.unified, self.lenient);
        self.dirs.retain(|dir| {
            if failed.is_some() || !wanted(dir) {
                return true;
            }
            match join_dir(&dir.path, &value, &mut opened) {
                Ok(()) => true,
                Err(errno) if !unified && dir.is_only_for_placement() && is_refusal(errno) => {
                    left_out(dir, pid, errno, lenient);
                    false
                }
                Err(Errno::PERM | Errno::ACCESS | Errno::ROFS) if lenient => false,
                Err(errno) => {
                    failed = Some(self::failed_join(&dir.path, pid, errno));
                    true
                }
            }
        });
        crate::sys::fd::close_all(opened);
        failed.map_or(Ok(()), Err)
    }
}

/// Opens a directory of a cgroup for `CLONE_INTO_CGROUP`.
fn open_dir(path: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, FileMode::empty())
}

/// The files by which a process moves itself to its place in each hierarchy of v1.
#[derive(Debug)]
pub struct Entrances(Vec<Entrance>);

#[derive(Debug)]
struct Entrance {
    dir: PathBuf,
    /// Nothing is limited there.
    optional: bool,
    tasks: file::Writer,
}

impl Entrances {
    /// Moves the calling process, which has one thread.
    ///
    /// # Errors
    /// As [`Cgroup::join`].
    pub fn enter(&self) -> Result<()> {
        for Entrance { dir, optional, tasks } in &self.0 {
            match tasks.write("0") {
                Ok(()) => {}
                Err(errno) if *optional && is_refusal(errno) => tell_left_out(dir, None, errno, log::Level::Warn),
                Err(errno) => return Err(failed_join(dir, None, errno)),
            }
        }
        Ok(())
    }

    /// Closes them together.
    pub fn close(self) {
        crate::sys::fd::close_all(self.0.into_iter().map(|entrance| entrance.tasks.into()).collect());
    }

    /// Leaves them open until the calling process executes a program.
    pub fn keep(self) {
        std::mem::forget(self);
    }
}

/// Tells of a hierarchy without limits that the container does without, and leaves nothing of it: a folder that is
/// not on record, nobody would remove.
fn left_out(dir: &Dir, pid: Option<Pid>, errno: Errno, lenient: bool) {
    let is_denial = matches!(errno, Errno::PERM | Errno::ACCESS | Errno::ROFS);
    // It is not there, or a user's own to do without.
    let is_expected = matches!(errno, Errno::NOENT | Errno::NODEV) || (lenient && is_denial);
    let level = if is_expected { log::Level::Debug } else { log::Level::Warn };
    tell_left_out(&dir.path, pid, errno, level);
    if dir.fresh {
        let _ = rustix::fs::rmdir(&dir.path);
    }
}

fn tell_left_out(dir: &Path, pid: Option<Pid>, errno: Errno, level: log::Level) {
    let error = failed_join(dir, pid, errno);
    log::log!(level, "{}: it stays where it was in this hierarchy, which limits nothing", error.as_go_prints_it());
}

/// Why a process could not join the cgroup `dir`, in runc's words.
fn failed_join(dir: &Path, pid: Option<Pid>, errno: Errno) -> Error {
    let why = match errno {
        Errno::BUSY => " (controllers are enabled for its child cgroups, and then a v2 cgroup takes no processes)",
        Errno::OPNOTSUPP => " (the cgroup is not a valid domain: a cgroup above it is threaded)",
        _ => "",
    };
    let who = pid.map_or("pid 0 (this process)".to_owned(), |pid| format!("pid {pid}"));
    let file = dir.join("cgroup.procs");
    Error::os(errno, format!("unable to apply cgroup configuration: adding {who} to cgroups: {}{why}", file.display()))
}

/// Writes to `cgroup.procs`. The kernel refuses a task that has not begun to run yet (EINVAL): that passes.
fn join_dir(dir: &Path, pid: &str, opened: &mut Vec<OwnedFd>) -> Result<(), Errno> {
    let procs = file::Writer::open(dir, "cgroup.procs")?;
    let mut tries = 0;
    let written = loop {
        match procs.write(pid) {
            Err(Errno::INVAL) if tries < 5 => std::thread::sleep(Duration::from_millis(5 << tries)),
            result => break result,
        }
        tries += 1;
    };
    opened.push(procs.into());
    written
}
