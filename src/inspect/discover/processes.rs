//! Namespaces that processes are in: the links in `/proc/PID/ns`.
//!
//! This is the hot path: with thousands of processes nearly all time is spent here, and nearly all of it in the
//! kernel. Per process one chdir(2) and one readlinkat(2) a kind. stat(2) would cost twice as much, since it makes the
//! kernel build an inode; a descriptor of the directory, opened and closed, a twentieth of it all.

use std::os::fd::OwnedFd;

use nix::sched::{CloneFlags, unshare};
use rustix::fs::{CWD, Mode, OFlags};

use super::survey::Survey;
use super::visit::Visit;
use crate::error::{Attempt, Result};
use crate::inspect::proc::ProcPath;

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
