//! Removing a cgroup: children first, and with patience for processes that are dying.

use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use rustix::process::{PidfdFlags, pidfd_open};

use super::freezer::{Freezer, FreezerState};
use super::{Cgroup, file, processes};
use crate::error::{Error, Result};

/// How long to wait for processes to go.
const PATIENCE: Duration = Duration::from_secs(1);

impl Cgroup {
    /// Removes the directories of the cgroup and all below them. What is gone already is no error. Processes are not
    /// killed; those that are dying get a second to be gone.
    ///
    /// # Errors
    /// A directory cannot be removed, with the processes that are still in it; the others are removed all the same.
    pub fn remove(&self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        let mut failed = None;
        for dir in &self.dirs {
            if let Err(error) = remove(&dir.path, deadline) {
                failed.get_or_insert(error);
            }
        }
        failed.map_or(Ok(()), Err)
    }
}

fn remove(dir: &Path, deadline: Instant) -> Result<()> {
    let rmdir = || match rustix::fs::rmdir(dir) {
        // A read-only cgroup file system says so even of what is not there.
        Err(Errno::ROFS) if rustix::fs::access(dir, rustix::fs::Access::EXISTS) == Err(Errno::NOENT) => Ok(()),
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(errno) => Err(errno),
    };
    match rmdir() {
        Ok(()) => return Ok(()),
        Err(Errno::BUSY) => {}
        Err(errno) => return Err(Error::os(errno, format!("rmdir {}", dir.display()))),
    }
    for child in file::children(dir).unwrap_or_default() {
        remove(&child, deadline)?;
    }
    let mut pause = Duration::from_millis(1);
    loop {
        match rmdir() {
            Ok(()) => return Ok(()),
            Err(Errno::BUSY) if Instant::now() < deadline => {}
            Err(errno) => return Err(Error::os(errno, format!("rmdir {}{}", dir.display(), still_in(dir)))),
        }
        if !wait_for_an_exit(dir, deadline) {
            // Nobody is listed, and still it is busy: the last task is between exiting and being gone.
            std::thread::sleep(pause.min(deadline.saturating_duration_since(Instant::now())));
            pause *= 2;
        }
    }
}

/// Waits until one of the processes in `dir` has exited; `false` when there is none to wait for.
fn wait_for_an_exit(dir: &Path, deadline: Instant) -> bool {
    let pids = processes::list(dir, false).unwrap_or_default();
    let open: Vec<_> = pids.into_iter().filter_map(|pid| pidfd_open(pid, PidfdFlags::empty()).ok()).collect();
    if open.is_empty() {
        return false;
    }
    let mut polled: Vec<_> = open.iter().map(|fd| PollFd::new(fd, PollFlags::IN)).collect();
    let left = deadline.saturating_duration_since(Instant::now());
    let timeout = left.try_into().ok();
    let _ = rustix::event::poll(&mut polled, timeout.as_ref());
    // One that has exited but still is listed would make this a busy loop.
    polled.iter().all(|fd| fd.revents().is_empty())
}

/// What is still in a cgroup, for the error: ` (it still holds: 12 sleep, 13 sh)`.
fn still_in(dir: &Path) -> String {
    let name = |pid: i32| {
        let comm = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        format!("{pid} {}", comm.trim()).trim_end().to_owned()
    };
    let pids = processes::list(dir, true).unwrap_or_default();
    let mut inside: Vec<String> = pids.iter().take(5).map(|pid| name(pid.as_raw_pid())).collect();
    if pids.len() > inside.len() {
        inside.push(format!("and {} more", pids.len() - inside.len()));
    }
    let children = file::children(dir).unwrap_or_default();
    inside.extend(children.iter().take(5).map(|child| format!("cgroup {}", child.display())));
    // On v1 a frozen process does not die.
    let freezer = Freezer::V1(dir);
    if matches!(freezer.state(), Ok(FreezerState::Frozen | FreezerState::FrozenAbove)) {
        let frozen = freezer.frozen_above().unwrap_or(dir);
        inside.push(format!("and {} is frozen", frozen.display()));
    }
    if inside.is_empty() { String::new() } else { format!(" (it still holds: {})", inside.join(", ")) }
}
