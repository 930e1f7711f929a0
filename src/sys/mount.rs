//! mount_setattr(2), which neither nix nor rustix has.

use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::io::Errno;

use super::check;

/// Attributes to set and clear on a mount; the kernel's `struct mount_attr`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct MountAttr {
    /// `MOUNT_ATTR_*` to set.
    pub set: u64,
    /// `MOUNT_ATTR_*` to clear; cleared before `set` is set.
    pub clear: u64,
    /// One of `MS_PRIVATE`, `MS_SLAVE`, `MS_SHARED`, `MS_UNBINDABLE`, or 0 to leave it.
    pub propagation: u64,
    /// With `MOUNT_ATTR_IDMAP`: a descriptor of the user namespace whose maps to use.
    pub userns_fd: u64,
}

/// The mount is read-only.
pub const RDONLY: u64 = 0x1;
/// Set-user-id bits and file capabilities are ignored.
pub const NOSUID: u64 = 0x2;
/// Device nodes cannot be opened.
pub const NODEV: u64 = 0x4;
/// Programs cannot be executed.
pub const NOEXEC: u64 = 0x8;
/// The bits that choose among relatime (none of them), noatime and strictatime.
pub const ATIME: u64 = 0x70;
/// Access times are updated once a day and after changes: the field's zero.
pub const RELATIME: u64 = 0;
/// Access times are not updated.
pub const NOATIME: u64 = 0x10;
/// Access times are updated always.
pub const STRICTATIME: u64 = 0x20;
/// Access times of directories are not updated.
pub const NODIRATIME: u64 = 0x80;
/// Ids are mapped through a user namespace.
pub const IDMAP: u64 = 0x10_0000;
/// Symbolic links are not followed (Linux 5.10).
pub const NOSYMFOLLOW: u64 = 0x20_0000;

const AT_EMPTY_PATH: libc::c_int = 0x1000;
const AT_RECURSIVE: libc::c_int = 0x8000;

/// Changes the attributes of the mount that `fd` refers to, with all mounts below it if `recursive`; Linux 5.12.
///
/// # Errors
/// `EPERM` when an attribute is locked by a more privileged user namespace, `EINVAL` when `fd` is not the root of a
/// mount or the file system cannot map ids.
pub fn mount_setattr(fd: BorrowedFd<'_>, recursive: bool, attr: &MountAttr) -> Result<(), Errno> {
    let flags = AT_EMPTY_PATH | if recursive { AT_RECURSIVE } else { 0 };
    // SAFETY: the path is a terminated string, `attr` is the kernel's structure of the size that is passed; both
    // outlive the call, which only reads them.
    check(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            fd.as_raw_fd(),
            c"".as_ptr(),
            flags,
            std::ptr::from_ref(attr),
            size_of::<MountAttr>(),
        )
    })
    .map(drop)
}
