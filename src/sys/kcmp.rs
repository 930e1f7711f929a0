//! kcmp(2): whether two processes have the same open file, and whether the caller may read them at all, without a path to
//! look up.

use rustix::io::Errno;

/// `KCMP_FILE`.
const FILE: libc::c_int = 0;
/// `KCMP_FS`.
const FS: libc::c_int = 3;

/// Whether descriptor `fd` of two processes is one open file description, as after fork(2).
///
/// # Errors
/// `EBADF` where either has no such descriptor, `ESRCH` where either is gone, `EPERM` where either may not be read by
/// ptrace(2)'s rules, `ENOSYS` on a kernel without `CONFIG_KCMP`.
pub fn is_same_file(one: i32, other: i32, fd: i32) -> Result<bool, Errno> {
    // SAFETY: takes numbers only, and changes nothing.
    super::check(unsafe { libc::syscall(libc::SYS_kcmp, one, other, FILE, fd, fd) }).map(|order| order == 0)
}

/// Whether the caller may read both processes by ptrace(2)'s rules, those of security modules among them: what the links in
/// `/proc/PID/ns` and `/proc/PID/fd` ask for as well.
///
/// # Errors
/// As [`is_same_file`], but for `EBADF`.
pub fn may_read(one: i32, other: i32) -> Result<(), Errno> {
    // SAFETY: takes numbers only, and changes nothing.
    super::check(unsafe { libc::syscall(libc::SYS_kcmp, one, other, FS, 0, 0) }).map(drop)
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;

    use super::*;

    #[test]
    fn a_process_has_the_same_files_as_itself() {
        let own = std::process::id() as i32;
        let file = std::fs::File::open("/dev/null").unwrap();
        assert_eq!(is_same_file(own, own, file.as_raw_fd()), Ok(true));
        assert_eq!(is_same_file(own, own, i32::MAX), Err(Errno::BADF));
    }

    #[test]
    fn a_process_may_read_itself_but_none_that_is_not_there() {
        let own = std::process::id() as i32;
        assert_eq!(may_read(own, own), Ok(()));
        assert_eq!(may_read(own, i32::MAX), Err(Errno::SRCH));
    }
}
