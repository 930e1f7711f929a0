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
}
