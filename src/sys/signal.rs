//! Signals: dispositions and masks that a program is started with, and signals by pidfd.

use rustix::io::Errno;
use rustix::process::Pid;

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

/// Has what `command` will start hear of signals, whatever this process holds back for itself, and has the kernel kill it
/// when this process ends (`PR_SET_PDEATHSIG`, prctl(2)); processes that it starts in turn are not meant.
pub fn attend(command: &mut std::process::Command) {
    use std::os::unix::process::CommandExt;
    // SAFETY: no arguments.
    let parent = unsafe { libc::getpid() };
    // SAFETY: between fork and exec the closure makes system calls only, and allocates nothing.
    unsafe {
        command.pre_exec(move || {
            unblock_all();
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            // It may have ended before the call.
            if libc::getppid() != parent {
                libc::_exit(1);
            }
            Ok(())
        });
    }
}

/// Has signals that ask a process to end do so until it executes a program: the first process of a pid namespace hears none
/// that it has no handler for.
pub fn end_when_asked() {
    extern "C" fn end(signal: libc::c_int) {
        // SAFETY: it is async-signal-safe; signal-safety(7).
        unsafe { libc::_exit(128 + signal) }
    }
    for signal in [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGABRT, libc::SIGTERM] {
        // SAFETY: the handler is a function of this type, and makes one system call.
        unsafe { libc::signal(signal, end as extern "C" fn(libc::c_int) as libc::sighandler_t) };
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

/// A signal that was waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrived {
    /// Its number.
    pub signal: i32,
    /// `SI_*`, or `CLD_*` for SIGCHLD; sigaction(2).
    pub code: i32,
}

/// Waits for one of the blocked signals `set`; sigwaitinfo(2).
///
/// # Errors
/// None that a valid set could cause.
pub fn wait_for(set: &libc::sigset_t) -> Result<Arrived, Errno> {
    // SAFETY: siginfo_t is plain data, for which all zeroes is valid.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    loop {
        // SAFETY: both outlive the call; the kernel writes one siginfo_t.
        match check(unsafe { libc::sigwaitinfo(std::ptr::from_ref(set), &raw mut info) }.into()) {
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
            Ok(signal) => {
                return Ok(Arrived { signal: signal as i32, code: info.si_code });
            }
        }
    }
}

/// Sends a signal by number to a child of this process that has not been reaped.
///
/// # Errors
/// As kill(2).
pub fn kill(child: rustix::process::Pid, signal: i32) -> Result<(), Errno> {
    // SAFETY: numbers only.
    check(unsafe { libc::kill(child.as_raw_nonzero().get(), signal) }.into()).map(drop)
}

/// Whether this process ignores `signal`.
pub fn is_ignored(signal: i32) -> bool {
    // SAFETY: sigaction is plain data, for which all zeroes is valid; without a new action nothing is changed.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        libc::sigaction(signal, std::ptr::null(), &raw mut action) == 0 && action.sa_sigaction == libc::SIG_IGN
    }
}

/// Gives `signal` its default action again, where it was ignored.
pub fn set_default(signal: i32) {
    // SAFETY: SIG_DFL installs no code of ours.
    unsafe { libc::signal(signal, libc::SIG_DFL) };
}

/// Gives signals their default actions again that were ignored, a bit for each from SIGHUP on: but for SIGPIPE, which
/// [`default_sigpipe`] is for.
pub fn heed(ignored: u32) {
    for signal in (1..32).filter(|signal| ignored & (1 << (signal - 1)) != 0 && *signal != libc::SIGPIPE) {
        set_default(signal);
    }
}

/// Has this process sent `signal` when its parent ends; `PR_SET_PDEATHSIG` of prctl(2). Changing credentials undoes it.
///
/// # Errors
/// `EINVAL` for a number that is no signal.
pub fn when_parent_dies(signal: i32) -> Result<(), Errno> {
    // SAFETY: numbers only.
    check(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, signal) }.into()).map(drop)
}

/// Has this process, which `parent` has just cloned, killed when its parent ends; ends it now, if that has ended already.
/// For a child in its parent's pid namespace.
pub fn die_with_parent(parent: Pid) {
    let asked = when_parent_dies(libc::SIGKILL);
    if asked.is_err() || rustix::process::getppid() != Some(parent) {
        super::clone::exit_now(1);
    }
}
