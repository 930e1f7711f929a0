//! File descriptors by number: those that a parent left open for us, and closing ranges of them.

use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use rustix::io::Errno;

use super::check;

const CLOSE_RANGE_CLOEXEC: libc::c_uint = 4;

/// Marks every descriptor from `first` on close-on-exec (close_range(2), Linux 5.11).
///
/// # Errors
/// `ENOSYS` or `EINVAL` on older kernels.
pub fn cloexec_from(first: RawFd) -> Result<(), Errno> {
    // SAFETY: only a flag of descriptors changes; none is closed under its owner.
    check(unsafe { libc::syscall(libc::SYS_close_range, first, libc::c_uint::MAX, CLOSE_RANGE_CLOEXEC) }).map(drop)
}

/// Takes over a descriptor that an interface names by number (LISTEN_FDS, `--preserve-fds`, `-N FD`).
/// `None` when it is not open.
///
/// Each number may be taken once: the caller must not own it by another value.
pub fn take(fd: RawFd) -> Option<OwnedFd> {
    // SAFETY: F_GETFD takes no pointer.
    if fd < 0 || unsafe { libc::fcntl(fd, libc::F_GETFD) } < 0 {
        return None;
    }
    // SAFETY: the descriptor is open, was inherited rather than made by this program, and is taken once.
    Some(unsafe { OwnedFd::from_raw_fd(fd) })
}
