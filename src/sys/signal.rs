//! Signals: dispositions and masks that a program is started with, and signals by pidfd.

use rustix::io::Errno;

use super::check;

/// Unblocks every signal of this process.
pub fn unblock_all() {
    // SAFETY: sigset_t is plain data which sigemptyset initialises.
    unsafe {
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
    }
}

/// Lets SIGPIPE end this process again, as it does other command-line tools.
pub fn default_sigpipe() {
    // SAFETY: SIG_DFL installs no code of ours.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
}

/// Ends this process by `signal`, so that its parent sees what its child died of; when the signal does not end it,
/// with status 128 + `signal`.
pub fn die_of(signal: i32) -> ! {
    // SAFETY: numbers only; RLIMIT_CORE 0 keeps a second core file from being written for the child's death.
    unsafe {
        let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        libc::setrlimit(libc::RLIMIT_CORE, &raw const none);
        libc::signal(signal, libc::SIG_DFL);
    }
    unblock_all();
    // SAFETY: numbers only.
    let _ = check(unsafe { libc::syscall(libc::SYS_kill, libc::getpid(), signal) });
    super::clone::exit_now(128 + signal)
}

/// Sends `signal` (a number: real-time signals too) to the process behind a pidfd; pidfd_send_signal(2), Linux 5.1.
///
/// # Errors
/// `ESRCH` when the process is gone, `EPERM` without privilege, `EINVAL` for a number that is no signal.
pub fn pidfd_send(pidfd: std::os::fd::BorrowedFd<'_>, signal: i32) -> Result<(), Errno> {
    use std::os::fd::AsRawFd;
    // SAFETY: the siginfo pointer may be null; numbers otherwise.
    check(unsafe {
        libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), signal, std::ptr::null::<libc::siginfo_t>(), 0)
    })
    .map(drop)
}
