//! A process that stays outside: what has to be done from the namespaces that the caller leaves (id maps that need the
//! parent's privilege, binding files in the caller's mount namespace) is done by a child that was forked before.

use crate::exec;
use crate::hints::Failure;
use std::os::fd::OwnedFd;

use nskit::Result;
use nskit::error::{Attempt, Errno};
use nskit::launch::relay::{self, Ending};
use nskit::sys::clone::{Clone3, Forked, clone3, exit_now};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::Pid;

use crate::exec::Voice;

/// One that waits for leave to work.
pub(crate) struct Outside {
    pid: Pid,
    leave: OwnedFd,
    /// Held so that opening the gate cannot raise SIGPIPE.
    _gate: OwnedFd,
}

impl Outside {
    /// Forks a process that runs `work` when it is told to, and exits with the status that `work` returns.
    pub(crate) fn start(voice: &Voice, work: impl FnOnce() -> u8) -> Result<Outside> {
        let (wait, leave) = gate()?;
        match clone3(&Clone3::default()).attempt(|| "fork failed")? {
            Forked::Child => {
                drop(leave);
                exit_now(match passes(&wait) {
                    Ok(true) => work().into(),
                    Ok(false) => 1,
                    Err(error) => {
                        voice.complain(&error.into());
                        1
                    }
                })
            }
            Forked::Parent(pid, _) => Ok(Outside { pid, leave, _gate: wait }),
        }
    }

    /// Lets it work, and waits for its end: the status that this process must exit with, if it failed.
    pub(crate) fn work(self) -> Result<Option<u8>> {
        open_gate(&self.leave)?;
        drop(self.leave);
        Ok(match relay::wait(self.pid)? {
            Ending::Exited(0) => None,
            Ending::Exited(status) => Some(status as u8),
            Ending::Killed(signal) => Some((128 + signal) as u8),
        })
    }
}

/// A gate between two processes: who holds the first end waits at it, who holds the second opens it.
pub(crate) fn gate() -> Result<(OwnedFd, OwnedFd)> {
    pipe_with(PipeFlags::CLOEXEC).attempt(|| "pipe failed")
}

/// Waits until the gate opens; false when whoever could open it is gone.
///
/// # Errors
/// As read(2).
pub(crate) fn passes(gate: &OwnedFd) -> Result<bool> {
    loop {
        match rustix::io::read(gate, &mut [0]) {
            Err(Errno::INTR) => {}
            read => return read.attempt(|| "read from a pipe failed").map(|read| read == 1),
        }
    }
}

/// Opens the gate. That nobody waits there any more is told by the one who should have.
///
/// # Errors
/// As write(2).
pub(crate) fn open_gate(gate: &OwnedFd) -> Result<()> {
    loop {
        match rustix::io::write(gate, &[1]) {
            Err(Errno::INTR) => {}
            Err(Errno::PIPE) => return Ok(()),
            written => return written.attempt(|| "write to a pipe failed").map(drop),
        }
    }
}

/// Runs a helper's work; what went wrong is said here, and its status is the helper's.
pub(super) fn report(voice: &Voice, done: Result<(), Failure>) -> u8 {
    match done {
        Ok(()) => 0,
        Err(failure) => {
            voice.complain(&failure);
            exec::status(&failure.error)
        }
    }
}
