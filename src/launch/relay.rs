//! Waiting for a child in the foreground: signals reach it, its stops are ours, and its end is passed on.

use nix::sys::signal::{SigSet, SigmaskHow, Signal};
use rustix::process::{Pid, WaitOptions};

use crate::error::{Attempt, Result};
use crate::sys::signal::{self, die_of};

/// How a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It exited with this status.
    Exited(i32),
    /// This signal killed it.
    Killed(i32),
}

impl Ending {
    /// Ends this process in the same way: a signal's death too, so that the parent sees what the program died of.
    pub fn follow(self) -> ! {
        match self {
            Ending::Exited(status) => crate::sys::clone::exit_now(status),
            Ending::Killed(signal) => die_of(signal),
        }
    }
}

/// Signals that are blocked in this process from before it forks until it has passed them on.
#[derive(Debug)]
pub struct Blocked {
    forwarded: SigSet,
    before: SigSet,
}

impl Blocked {
    /// Blocks `signals`, and SIGCHLD when `waited_for` says that [`Blocked::wait`] is to forward them. SIGCHLD's default
    /// is put back: a child would leave no status when it is ignored.
    ///
    /// # Errors
    /// As sigprocmask(2).
    pub fn new(signals: &[Signal], waited_for: bool) -> Result<Blocked> {
        signal::set_default(Signal::SIGCHLD as i32);
        let mut set: SigSet = signals.iter().copied().collect();
        if waited_for {
            set.add(Signal::SIGCHLD);
        }
        let before = set.thread_swap_mask(SigmaskHow::SIG_BLOCK).attempt(|| "sigprocmask block failed")?;
        Ok(Blocked { forwarded: set, before })
    }

    /// The child's part: puts back the mask of before.
    ///
    /// # Errors
    /// As sigprocmask(2).
    pub fn restore(&self) -> Result<()> {
        self.before.thread_set_mask().attempt(|| "sigprocmask restore failed")
    }

    /// Waits until `child` ends, forwarding the blocked signals to it and, if `stops`, stopping when it stops and
    /// continuing it when this process is continued.
    ///
    /// # Errors
    /// As waitpid(2).
    pub fn wait(&self, child: Pid, stops: bool) -> Result<Ending> {
        loop {
            let arrived = signal::wait_for(self.forwarded.as_ref()).attempt(|| "wait for signals")?;
            if arrived.signal != Signal::SIGCHLD as i32 {
                self.forward(child, &arrived);
                continue;
            }
            // SIGCHLD tells how the child ended, but it must be reaped all the same: left to the first process of a pid
            // namespace that does not wait for strangers, it would stay there dead.
            let mut options = WaitOptions::NOHANG;
            options.set(WaitOptions::UNTRACED, stops);
            match rustix::process::waitpid(Some(child), options).attempt(|| "waitpid failed")? {
                Some((_, status)) => {
                    if let Some(ending) = ending(status) {
                        return Ok(ending);
                    }
                    if stops && status.stopped() {
                        // SIGSTOP, for a mask or a handler must not keep the shell from getting its terminal back.
                        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::STOP);
                        let _ = rustix::process::kill_process(child, rustix::process::Signal::CONT);
                    }
                }
                None => continue,
            }
        }
    }

    fn forward(&self, child: Pid, arrived: &signal::Arrived) {
        // A terminal signals all of its foreground process group: the child has had it, unless it left the group.
        let from_terminal = arrived.code == libc::SI_KERNEL;
        let group = |pid| rustix::process::getpgid(pid).ok();
        if !from_terminal || group(Some(child)) != group(None) {
            let _ = signal::kill(child, arrived.signal);
        }
    }
}

/// Waits until `child` ends, whatever is blocked.
///
/// # Errors
/// As waitpid(2).
pub fn wait(child: Pid) -> Result<Ending> {
    loop {
        match rustix::process::waitpid(Some(child), WaitOptions::empty()) {
            Ok(Some((_, status))) => {
                if let Some(ending) = ending(status) {
                    return Ok(ending);
                }
            }
            Ok(None) | Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno).attempt(|| "waitpid failed"),
        }
    }
}

fn ending(status: rustix::process::WaitStatus) -> Option<Ending> {
    status.exit_status().map(Ending::Exited).or_else(|| status.terminating_signal().map(Ending::Killed))
}
