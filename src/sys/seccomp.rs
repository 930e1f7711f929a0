//! seccomp(2).

use std::os::fd::{FromRawFd, OwnedFd};

use rustix::io::Errno;

const SET_MODE_FILTER: libc::c_uint = 1;
const GET_ACTION_AVAIL: libc::c_uint = 2;

/// `SECCOMP_FILTER_FLAG_LOG`: log every action but allow (Linux 4.14).
pub const FLAG_LOG: u32 = 1 << 1;
/// `SECCOMP_FILTER_FLAG_SPEC_ALLOW`: leave speculative store bypass on (Linux 4.17).
pub const FLAG_SPEC_ALLOW: u32 = 1 << 2;
/// `SECCOMP_FILTER_FLAG_NEW_LISTENER`: return a listener for notifications (Linux 5.0).
pub const FLAG_NEW_LISTENER: u32 = 1 << 3;
/// `SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV`: only with a listener (Linux 5.19).
pub const FLAG_WAIT_KILLABLE_RECV: u32 = 1 << 5;

/// One instruction of classic BPF: `struct sock_filter`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instruction {
    /// What to do (linux/bpf_common.h).
    pub code: u16,
    /// Instructions to skip when a comparison holds.
    pub jt: u8,
    /// Instructions to skip when it does not.
    pub jf: u8,
    /// The constant.
    pub k: u32,
}

const _: () = assert!(size_of::<Instruction>() == size_of::<libc::sock_filter>());

/// Loads a filter into the calling thread; the listener, if `flags` ask for one.
///
/// # Errors
/// As seccomp(2); EINVAL too for a program of no or more than 65,535 instructions.
pub fn set_filter(flags: u32, program: &[Instruction]) -> Result<Option<OwnedFd>, Errno> {
    let len = u16::try_from(program.len()).map_err(|_| Errno::INVAL)?;
    let program = libc::sock_fprog { len, filter: program.as_ptr().cast_mut().cast() };
    // SAFETY: `program` names `len` instructions of the layout of `struct sock_filter` that outlive the call, and the
    // kernel only reads them.
    let result = unsafe { libc::syscall(libc::SYS_seccomp, SET_MODE_FILTER, flags, &raw const program) };
    if result < 0 {
        return Err(last_errno());
    }
    if flags & FLAG_NEW_LISTENER == 0 {
        return Ok(None);
    }
    // SAFETY: with that flag a result that is no error is a new file descriptor, which nothing else owns.
    Ok(Some(unsafe { OwnedFd::from_raw_fd(result as libc::c_int) }))
}

/// Whether the running kernel knows these flags together.
pub fn has_flags(flags: u32) -> bool {
    // SAFETY: a null program is never read: the kernel fails with EFAULT when it gets so far, with EINVAL before that if it
    // does not know the flags.
    let result =
        unsafe { libc::syscall(libc::SYS_seccomp, SET_MODE_FILTER, flags, std::ptr::null::<libc::sock_fprog>()) };
    result < 0 && last_errno() == Errno::FAULT
}

/// Whether the running kernel knows an action (`SECCOMP_RET_*`).
pub fn has_action(action: u32) -> bool {
    // SAFETY: the kernel reads one u32 that outlives the call.
    unsafe { libc::syscall(libc::SYS_seccomp, GET_ACTION_AVAIL, 0, &raw const action) == 0 }
}

fn last_errno() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::INVAL)
}

/// The system calls of Linux 5.1 and later for which there is nothing older to fall back on, each with arguments that the kernel
/// itself refuses as invalid before it looks at anything else, whoever calls.
const NEEDED: [(&str, libc::c_long, [usize; 5]); 6] = [
    ("openat2", libc::SYS_openat2, [usize::MAX, 0, 0, 0, 0]),
    ("pidfd_open", libc::SYS_pidfd_open, [usize::MAX, 0, 0, 0, 0]),
    ("pidfd_send_signal", libc::SYS_pidfd_send_signal, [usize::MAX, 0, 0, 0xffff_ffff, 0]),
    ("open_tree", libc::SYS_open_tree, [usize::MAX, 0, 0xffff_ffff, 0, 0]),
    ("mount_setattr", libc::SYS_mount_setattr, [usize::MAX, 0, 0, 0, 0]),
    ("memfd_create", libc::SYS_memfd_create, [0, 0xffff_ffff, 0, 0, 0]),
];

/// Which system calls that this program cannot do without are refused by the seccomp filter that it runs under. Asked of the
/// filter itself, to tell its `EPERM` and `ENOSYS` from the kernel's own; for a caller that has been refused already, since a
/// filter may also kill.
pub fn refused() -> Vec<&'static str> {
    use rustix::thread::{SecureComputingMode, secure_computing_mode};
    if !matches!(secure_computing_mode(), Ok(SecureComputingMode::Filter)) {
        return Vec::new();
    }
    let is_refused = |number, [a, b, c, d, e]: [usize; 5]| {
        // SAFETY: invalid flags, sizes or descriptors make each of these calls fail before it takes a pointer or changes anything.
        let answer = super::check(unsafe { libc::syscall(number, a, b, c, d, e) });
        matches!(answer, Err(Errno::PERM | Errno::NOSYS | Errno::ACCESS))
    };
    NEEDED.iter().filter(|(_, number, args)| is_refused(*number, *args)).map(|(name, ..)| *name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_what_the_kernel_knows() {
        assert!(has_flags(FLAG_LOG | FLAG_SPEC_ALLOW));
        assert!(!has_flags(1 << 31));
        assert!(has_action(libc::SECCOMP_RET_ALLOW));
        assert!(!has_action(0x1234_0000));
    }

    #[test]
    fn the_kernel_itself_refuses_none_of_the_calls_that_are_asked_for() {
        for (name, number, [a, b, c, d, e]) in NEEDED {
            // SAFETY: as in `refused`.
            let answer = super::super::check(unsafe { libc::syscall(number, a, b, c, d, e) });
            assert_eq!(answer, Err(Errno::INVAL), "{name}");
        }
        assert!(refused().is_empty());
    }
}
