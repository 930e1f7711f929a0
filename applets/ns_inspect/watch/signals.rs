//! Signals while there is a screen: held back, and told one by one.

use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nskit::sys::signal::is_ignored;

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    /// An end.
    End,
    /// To stop until it is continued.
    Stop,
    /// A look at the terminal's size.
    Resize,
    /// Nothing.
    None,
}

/// What the default action of a signal is, for a program on a terminal. A signal that is ignored asks for nothing.
pub(super) fn act(signal: i32) -> Act {
    match Signal::try_from(signal) {
        Ok(Signal::SIGTSTP) => Act::Stop,
        Ok(Signal::SIGWINCH) => Act::Resize,
        Ok(Signal::SIGCHLD | Signal::SIGCONT | Signal::SIGURG | Signal::SIGTTIN | Signal::SIGTTOU) => Act::None,
        _ if is_ignored(signal) => Act::None,
        _ => Act::End,
    }
}

/// All signals, held back from now on, and the descriptor that tells of them.
pub(super) fn hold() -> nix::Result<SignalFd> {
    SigSet::all().thread_block()?;
    SignalFd::with_flags(&SigSet::all(), SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
}

/// Stops this process as the terminal's suspend character does: not where nobody could continue it.
pub(super) fn stop_here() {
    let only: SigSet = [Signal::SIGTSTP].into_iter().collect();
    // The signal is pending from here on, and acts once it is let through.
    let _ = nix::sys::signal::raise(Signal::SIGTSTP);
    let _ = only.thread_unblock();
    let _ = only.thread_block();
}
