//! The processes of a cgroup: which they are, and sending them signals.

use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::{Cgroup, FreezerState, file};
use crate::error::{Error, Kind, Result};

impl Cgroup {
    /// The processes of the cgroup and, when `recursive`, of all below it, as this process's pid namespace numbers them.
    /// None when the cgroup is gone.
    pub fn processes(&self, recursive: bool) -> Result<Vec<Pid>> {
        self.main_dir().map_or(Ok(Vec::new()), |dir| list(dir, recursive))
    }

    /// Sends a signal to every process of the cgroup and below. SIGKILL reaches frozen ones too, and those that fork
    /// as fast as they can: by `cgroup.kill` (Linux 5.14), where the cgroup has a directory in the unified hierarchy,
    /// else they are stopped while signals are sent. Another signal leaves a frozen cgroup frozen.
    ///
    /// # Errors
    /// [`Kind::NotFound`]: the cgroup is gone. A process that vanished is no error.
    pub fn kill(&self, signal: Signal) -> Result<()> {
        if !self.exists() {
            return Err(Error::new(Kind::NotFound, "the container's cgroup does not exist"));
        }
        if signal == Signal::KILL && self.kill_at_once()? {
            self.thaw_all();
            return Ok(());
        }
        let was_frozen = self.freezer_state()? == FreezerState::Frozen;
        let warn = |error: &Error| {
            // The cgroup goes while the container is deleted by somebody else too.
            if error.errno() != Some(Errno::NOENT) {
                log::warn!("{}", error.as_go_prints_it());
            }
        };
        let frozen = was_frozen || self.freeze().inspect_err(warn).is_ok();
        let sent = self.signal_each(signal, frozen);
        if signal == Signal::KILL {
            self.thaw_all();
        } else if frozen && !was_frozen {
            self.thaw()?;
        }
        sent
    }

    /// Writes `cgroup.kill`; `false` where this kernel or this layout has no such file.
    fn kill_at_once(&self) -> Result<bool> {
        let Some(dir) = self.unified_dir() else { return Ok(false) };
        match file::write(dir, "cgroup.kill", "1") {
            Ok(()) => Ok(true),
            // EOPNOTSUPP: the cgroup is threaded.
            Err(Errno::NOENT | Errno::OPNOTSUPP) => Ok(false),
            Err(errno) => Err(Error::os(errno, file::writing(dir, "cgroup.kill", "1"))),
        }
    }

    /// Signals the processes one by one. When they could not be stopped, those that were born meanwhile get SIGKILL in
    /// further rounds.
    fn signal_each(&self, signal: Signal, frozen: bool) -> Result<()> {
        let rounds = if signal == Signal::KILL && !frozen { 100 } else { 1 };
        for _ in 0..rounds {
            let targets = self.targets()?;
            if targets.is_empty() {
                break;
            }
            for (pid, fd) in targets {
                match pidfd_send_signal(&fd, signal) {
                    Ok(()) | Err(Errno::SRCH) => {}
                    Err(errno) => {
                        log::warn!("{}", Error::os(errno, format!("kill {}", pid.as_raw_pid())).as_go_prints_it())
                    }
                }
            }
        }
        Ok(())
    }

    /// The processes as descriptors. A number may have been given to a process elsewhere between reading it and opening
    /// it: only those count that the cgroup still lists once they are open.
    fn targets(&self) -> Result<Vec<(Pid, OwnedFd)>> {
        let open = |pid| pidfd_open(pid, PidfdFlags::empty()).ok().map(|fd| (pid, fd));
        let mut targets: Vec<_> = self.processes(true)?.into_iter().filter_map(open).collect();
        if !targets.is_empty() {
            let still = self.processes(true)?;
            targets.retain(|(pid, _)| still.contains(pid));
        }
        Ok(targets)
    }
}

/// The processes in `dir` and, when `recursive`, in all directories below.
pub(super) fn list(dir: &Path, recursive: bool) -> Result<Vec<Pid>> {
    let mut pids = Vec::new();
    collect(dir, recursive, &mut pids)?;
    Ok(pids)
}

fn collect(dir: &Path, recursive: bool, pids: &mut Vec<Pid>) -> Result<()> {
    let content = match file::read_list(dir, "cgroup.procs") {
        // A threaded cgroup lists its threads only.
        Err(Errno::OPNOTSUPP) => file::read_list(dir, "cgroup.threads"),
        result => result,
    };
    match content {
        // 0 is a process outside this pid namespace.
        Ok(content) => pids.extend(content.lines().filter_map(|line| Pid::from_raw(line.parse().ok()?))),
        Err(Errno::NOENT | Errno::NODEV) => return Ok(()),
        Err(errno) => return Err(Error::os(errno, file::reading(dir, "cgroup.procs"))),
    }
    if recursive {
        for child in file::children(dir).unwrap_or_default() {
            collect(&child, true, pids)?;
        }
    }
    Ok(())
}
