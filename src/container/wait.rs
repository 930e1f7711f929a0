//! Waiting for a process that this runtime started and stays with: signals passed on, its terminal shown, its status
//! returned.

use std::os::fd::{AsFd, OwnedFd};

use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use rustix::process::{Pid, WaitOptions};

use crate::error::{Attempt, Error, Result};
use crate::launch::terminal::Relay;
use crate::sys;

/// Signals of this process, kept for the one it waits for: blocked from before that is started, so that none is lost.
#[derive(Debug)]
pub struct Signals(SignalFd);

impl Signals {
    /// Blocks every signal that can be passed on.
    ///
    /// # Errors
    /// As signalfd(2).
    pub fn hold() -> Result<Signals> {
        let mut held = SigSet::all();
        // Faults of this process itself are nobody else's.
        for own in [Signal::SIGSEGV, Signal::SIGBUS, Signal::SIGILL, Signal::SIGFPE, Signal::SIGABRT, Signal::SIGTRAP] {
            held.remove(own);
        }
        sigprocmask(SigmaskHow::SIG_BLOCK, Some(&held), None).attempt(|| "block signals")?;
        SignalFd::with_flags(&held, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
            .attempt(|| "open a signalfd")
            .map(Signals)
    }

    /// Waits for the end of `pid`, whose pidfd is `pidfd`, and for that of every process that is left to this one.
    /// Signals are passed on; `terminal` is the outer end of its terminal.
    ///
    /// Returns its exit status, 128 + the signal that it died of.
    ///
    /// # Errors
    /// As poll(2) and waitpid(2).
    pub fn wait(&self, pid: Pid, pidfd: &OwnedFd, terminal: Option<OwnedFd>) -> Result<u8> {
        let mut relay = terminal.map(Relay::start).transpose()?;
        loop {
            let mut fds = vec![PollFd::new(&self.0, PollFlags::IN)];
            fds.extend(relay.iter().flat_map(Relay::poll_fds));
            match rustix::event::poll(&mut fds, None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => return Err(Error::os(errno, "wait for the container's process")),
            }
            // The relay's last is standard input, when it still reads that.
            let input = relay.as_ref().is_some_and(Relay::awaits_input)
                && fds.last().is_some_and(|fd| !fd.revents().is_empty());
            if let Some(relay) = &mut relay {
                relay.copy(input)?;
            }
            if let Some(signal) = self.next()? {
                match signal {
                    libc::SIGCHLD => {
                        if let Some(status) = reap(pid)? {
                            if let Some(relay) = &mut relay {
                                relay.copy_output()?;
                            }
                            return Ok(status);
                        }
                    }
                    libc::SIGWINCH if relay.is_some() => relay.iter().for_each(Relay::resize),
                    // Its own terminal's doing, or the Go runtime's.
                    libc::SIGPIPE | libc::SIGURG => {}
                    other => {
                        let _ = sys::signal::pidfd_send(pidfd.as_fd(), other);
                    }
                }
            }
        }
    }

    fn next(&self) -> Result<Option<i32>> {
        Ok(self.0.read_signal().attempt(|| "read a signal")?.map(|signal| signal.ssi_signo as i32))
    }
}

/// Reaps whoever has ended, up to `pid`, whose status it returns.
fn reap(pid: Pid) -> Result<Option<u8>> {
    loop {
        match rustix::process::wait(WaitOptions::NOHANG) {
            Ok(Some((ended, status))) if ended == pid => {
                return Ok(Some(match (status.exit_status(), status.terminating_signal()) {
                    (Some(code), _) => code as u8,
                    (_, Some(signal)) => 128 + signal as u8,
                    _ => continue,
                }));
            }
            Ok(Some(_)) | Err(Errno::INTR) => {}
            Ok(None) | Err(Errno::CHILD) => return Ok(None),
            Err(errno) => return Err(Error::os(errno, "wait for children")),
        }
    }
}
