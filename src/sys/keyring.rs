//! Session keyrings; keyctl(2).

use std::ffi::CStr;

use rustix::io::Errno;

use super::check;

const KEYCTL_JOIN_SESSION_KEYRING: libc::c_ulong = 1;
const KEYCTL_SETPERM: libc::c_ulong = 5;
const KEYCTL_DESCRIBE: libc::c_ulong = 6;
/// `KEY_USR_SEARCH` of linux/key.h: the owner may search the keyring.
const OWNER_SEARCH: u32 = 0x0008_0000;

/// Leaves the parent's session keyring for one named `name`, and lets its owner search it.
///
/// # Errors
/// `ENOSYS` when the kernel has no keyrings, `EDQUOT` when the user has too many keys, `EPERM` under a seccomp filter.
pub fn join_session_keyring(name: &CStr) -> Result<(), Errno> {
    // SAFETY: `name` is a terminated string that outlives the call.
    let key = check(unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, name.as_ptr()) })?;
    let mut described = [0u8; 512];
    // SAFETY: the kernel writes at most the length that is passed.
    let length = check(unsafe {
        libc::syscall(libc::SYS_keyctl, KEYCTL_DESCRIBE, key, described.as_mut_ptr(), described.len())
    })? as usize;
    // "type;uid;gid;perm;description", the permissions in hexadecimal
    let permissions = described[..length.min(described.len())]
        .split(|b| *b == b';')
        .nth(3)
        .and_then(|field| std::str::from_utf8(field).ok())
        .and_then(|field| u32::from_str_radix(field, 16).ok())
        .ok_or(Errno::INVAL)?;
    if permissions & OWNER_SEARCH != 0 {
        return Ok(());
    }
    // SAFETY: numbers only.
    check(unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_SETPERM, key, permissions | OWNER_SEARCH) }).map(drop)
}
