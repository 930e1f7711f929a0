//! The terminal is given back as it was, whatever ends the screen.
//!
//! Two processes see to it. The child draws, and restores the terminal when it ends or when its parent dies
//! (`PR_SET_PDEATHSIG`). The parent waits, restores the terminal when the child was killed (`SIGKILL`, a fault, an abort
//! after a panic), and then ends as the child did.

use std::os::fd::AsFd;
use std::process::ExitCode;
use std::time::Duration;

use nix::sys::signalfd::{SignalFd, siginfo};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nskit::sys::clone::{Clone3, Forked, clone3};
use nskit::sys::signal::{die_of, pidfd_send, when_parent_dies};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::signals::{Act, act, hold, stop_here};
use super::tty::Tty;

/// How long the child may take to put the terminal in order before it is killed.
const PATIENCE: Duration = Duration::from_secs(3);

/// Runs `draw` in a child that has the terminal, and ends as it does.
///
/// # Errors
/// Where there can be no child, or the terminal cannot be set. Errors of `draw` are printed when the terminal is back.
pub(super) fn run(tty: Tty, draw: impl FnOnce(&mut Tty) -> anyhow::Result<()>) -> anyhow::Result<ExitCode> {
    // In the background this stops, as it should, until somebody brings it to the foreground.
    tty.claim()?;
    let signals = hold()?;
    let parent = std::process::id();
    match clone3(&Clone3 { pidfd: true, ..Clone3::default() })? {
        Forked::Child => {
            let _ = when_parent_dies(libc::SIGTERM);
            if std::os::unix::process::parent_id() != parent {
                std::process::exit(1);
            }
            std::process::exit(draw_on(tty, draw));
        }
        Forked::Parent(child, pidfd) => {
            let child = nix::unistd::Pid::from_raw(child.as_raw_nonzero().get());
            let pidfd = pidfd.ok_or_else(|| anyhow::anyhow!("the kernel gave no pidfd of the child"))?;
            let send = |signal| pidfd_send(pidfd.as_fd(), signal).unwrap_or_default();
            Ok(wait(&tty, &signals, child, &send))
        }
    }
}

/// The child: draws, and puts the terminal in order before it says anything.
fn draw_on(mut tty: Tty, draw: impl FnOnce(&mut Tty) -> anyhow::Result<()>) -> i32 {
    let hook = std::panic::take_hook();
    let before = tty.before.clone();
    std::panic::set_hook(Box::new(move |panic| {
        before.restore();
        hook(panic);
    }));
    let result = tty.enter().map_err(anyhow::Error::from).and_then(|()| draw(&mut tty));
    tty.before.restore();
    match result {
        Ok(()) => tty.ended_by.map_or(0, |signal| 128 + signal),
        Err(error) => {
            eprintln!("ns-inspect: {error:#}");
            1
        }
    }
}

/// The parent: passes signals on, and ends as the child did.
fn wait(tty: &Tty, signals: &SignalFd, child: nix::unistd::Pid, send: &dyn Fn(i32)) -> ExitCode {
    let mut asked: Option<i32> = None;
    loop {
        let limit = Timespec::try_from(PATIENCE).ok().filter(|_| asked.is_some());
        let mut fds = [PollFd::new(signals, PollFlags::IN)];
        let arrived = poll(&mut fds, limit.as_ref());
        if arrived == Ok(0) {
            send(libc::SIGKILL);
        }
        while let Ok(Some(info)) = signals.read_signal() {
            let signal = info.ssi_signo as i32;
            match act(signal) {
                Act::End => {
                    asked = asked.or(Some(signal));
                    send(libc::SIGTERM);
                }
                // The child stops everybody once the terminal is in order.
                Act::Stop if is_from(&info, child) => stop_here(),
                Act::Stop => send(libc::SIGTSTP),
                Act::Resize | Act::None => {}
            }
        }
        match waitpid(child, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(_, code)) => match asked.or((code > 128).then(|| code - 128)) {
                Some(signal) => die_of(signal),
                None => return ExitCode::from(code as u8),
            },
            Ok(WaitStatus::Signaled(_, signal, _)) => {
                tty.before.restore();
                die_of(asked.unwrap_or(signal as i32));
            }
            Ok(_) => {}
            Err(_) => return ExitCode::FAILURE,
        }
    }
}

fn is_from(info: &siginfo, process: nix::unistd::Pid) -> bool {
    i32::try_from(info.ssi_pid) == Ok(process.as_raw())
}
