//! System calls that nix and rustix lack. All `unsafe` code of the project is below this module, one file a subject,
//! each block with the invariant that makes it sound.
#![allow(unsafe_code)]

pub mod ahead;
pub mod bpf;
pub mod btf;
pub mod clone;
pub mod early;
pub mod fd;
pub mod folder;
pub mod handle;
pub mod ioctl;
pub mod kcmp;
pub mod keyring;
pub mod libc_start;
pub mod mount;
pub mod mountinfo;
pub mod mountlist;
pub mod net;
pub mod regex;
pub mod sched;
pub mod seccomp;
pub mod signal;
pub mod start;
pub mod userns;

use rustix::io::Errno;

/// The return value of `libc::syscall` as a result: -1 means that errno says why.
fn check(returned: libc::c_long) -> Result<libc::c_long, Errno> {
    if returned < 0 {
        Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::INVAL))
    } else {
        Ok(returned)
    }
}
