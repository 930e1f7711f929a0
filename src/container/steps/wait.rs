//! Waiting for a process that this runtime started and stays with: signals passed on, its terminal shown, its status
//! returned.

use std::cell::RefCell;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Instant;

use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use rustix::process::{Pid, WaitOptions};

use crate::container::steps::poll::poll_until;
use crate::container::steps::sd_notify::Notify;
use crate::error::{Attempt, Error, Kind, Result};
use crate::launch::terminal::Relay;
use crate::sys;

/// Signals of this process, kept for the one it waits for: blocked from before that is started, so that none is lost.
/// Until it is started, those that ask a program to end mean this one: see [`Signals::until_readable`].
#[derive(Debug)]
pub struct Signals {
    fd: SignalFd,
    /// What came before there was a process to pass it on to.
    early: RefCell<Vec<i32>>,
}

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
            .map(|fd| Signals { fd, early: RefCell::default() })
    }

    /// Waits until `fd` can be read, or is at its end. What has become readable goes first: a signal that came as the
    /// program was started is the program's. False when `deadline` has come first.
    ///
    /// # Errors
    /// Of kind [`Kind::Interrupted`] when a signal asks this process to end; as poll(2).
    pub fn until_readable(&self, fd: BorrowedFd<'_>, deadline: Option<Instant>) -> Result<bool> {
        loop {
            let mut fds = [PollFd::new(&fd, PollFlags::IN), PollFd::new(&self.fd, PollFlags::IN)];
            if !poll_until(&mut fds, deadline)? {
                return Ok(false);
            }
            if !fds[0].revents().is_empty() {
                return Ok(true);
            }
            while let Some(signal) = self.next()? {
                match signal {
                    // A caller who has it ignored, as nohup(1) does, does not mean it.
                    libc::SIGTERM | libc::SIGINT | libc::SIGHUP if !sys::signal::is_ignored(signal) => {
                        let name = match signal {
                            libc::SIGTERM => "SIGTERM",
                            libc::SIGINT => "SIGINT",
                            _ => "SIGHUP",
                        };
                        return Err(Error::new(Kind::Interrupted, format!("stopped by {name}")));
                    }
                    // SIGCHLD too: it may be the program's own, which began and ended meanwhile, and comes but once.
                    other => self.early.borrow_mut().push(other),
                }
            }
        }
    }

    /// Waits for the end of `pid`, whose pidfd is `pidfd`, and for that of every process that is left to this one.
    /// Signals are passed on, and to the service manager, by `notify`, that the container is ready; `terminal` is the
    /// outer end of its terminal.
    ///
    /// Returns its exit status, 128 + the signal that it died of.
    ///
    /// # Errors
    /// As poll(2) and waitpid(2).
    pub fn wait(&self, pid: Pid, pidfd: &OwnedFd, terminal: Option<OwnedFd>, mut notify: Option<Notify>) -> Result<u8> {
        let mut relay = terminal.map(Relay::start).transpose()?;
        let early = self.early.take();
        let mut may_have_ended = early.contains(&libc::SIGCHLD);
        for signal in early.into_iter().filter(|signal| *signal != libc::SIGCHLD) {
            pass_on(signal, pidfd, relay.as_ref());
        }
        loop {
            if std::mem::take(&mut may_have_ended)
                && let Some(status) = reap(pid)?
            {
                if let Some(relay) = &mut relay {
                    relay.copy_output()?;
                }
                return Ok(status);
            }
            let mut fds = vec![PollFd::new(&self.fd, PollFlags::IN)];
            fds.extend(notify.iter().map(Notify::poll_fd));
            fds.extend(relay.iter().flat_map(Relay::poll_fds));
            match rustix::event::poll(&mut fds, None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => return Err(Error::os(errno, "wait for the container's process")),
            }
            // The relay's last is standard input, when it still reads that.
            let input = relay.as_ref().is_some_and(Relay::awaits_input)
                && fds.last().is_some_and(|fd| !fd.revents().is_empty());
            let has_news = notify.is_some() && !fds[1].revents().is_empty();
            if let (Some(news), true) = (&notify, has_news) {
                // That nobody hears it is no reason to stop the container.
                match news.pass_on() {
                    Ok(false) => {}
                    Ok(true) => notify = None,
                    Err(error) => log::warn!("{}", error.as_go_prints_it()),
                }
            }
            if let Some(relay) = &mut relay {
                relay.copy(input)?;
            }
            if let Some(signal) = self.next()? {
                match signal {
                    libc::SIGCHLD => may_have_ended = true,
                    other => pass_on(other, pidfd, relay.as_ref()),
                }
            }
        }
    }

    fn next(&self) -> Result<Option<i32>> {
        Ok(self.fd.read_signal().attempt(|| "read a signal")?.map(|signal| signal.ssi_signo as i32))
    }
}

fn pass_on(signal: i32, pidfd: &OwnedFd, relay: Option<&Relay>) {
    match (signal, relay) {
        (libc::SIGWINCH, Some(relay)) => relay.resize(),
        // Its own terminal's doing, or the Go runtime's.
        (libc::SIGPIPE | libc::SIGURG, _) => {}
        _ => {
            let _ = sys::signal::pidfd_send(pidfd.as_fd(), signal);
        }
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
