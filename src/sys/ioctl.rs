//! What the kernel tells about a namespace through its file descriptor (ioctl_ns(2), `linux/nsfs.h`), about a socket's
//! network namespace (`SIOCGSKNS`, `linux/sockios.h`), and about a process through its pidfd (`linux/pidfd.h`).
//!
//! Namespace file descriptors can come from anywhere a process could leave one. An ioctl number means something else
//! on another kind of file, so callers check that a descriptor is on nsfs (see [`is_nsfs`]) before asking.

use std::mem;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::path::Path;

use rustix::io::Errno;

/// `_IOC(dir, group, number, size)` of the architectures that use the generic encoding (x86, arm, riscv).
const fn ioc(direction: u32, group: u32, number: u32, size: usize) -> u32 {
    direction << 30 | (size as u32) << 16 | group << 8 | number
}

const READ: u32 = 2;
const NSIO: u32 = 0xb7;
const PIDFS: u32 = 0xff;

const NS_GET_USERNS: u32 = ioc(0, NSIO, 1, 0);
const NS_GET_PARENT: u32 = ioc(0, NSIO, 2, 0);
const NS_GET_NSTYPE: u32 = ioc(0, NSIO, 3, 0);
const NS_GET_OWNER_UID: u32 = ioc(0, NSIO, 4, 0);
const NS_GET_MNTNS_ID: u32 = ioc(READ, NSIO, 5, 8);
const NS_GET_TGID_FROM_PIDNS: u32 = ioc(READ, NSIO, 7, 4);
const NS_GET_TGID_IN_PIDNS: u32 = ioc(READ, NSIO, 9, 4);
const NS_MNT_GET_INFO: u32 = ioc(READ, NSIO, 10, mem::size_of::<MountNamespaceSummary>());
const NS_MNT_GET_NEXT: u32 = ioc(READ, NSIO, 11, mem::size_of::<MountNamespaceSummary>());
const NS_MNT_GET_PREV: u32 = ioc(READ, NSIO, 12, mem::size_of::<MountNamespaceSummary>());
const NS_GET_ID: u32 = ioc(READ, NSIO, 13, 8);
const SIOCGSKNS: u32 = 0x894c;
const PIDFD_GET_PID_FOR_CHILDREN_NAMESPACE: u32 = ioc(0, PIDFS, 6, 0);
const PIDFD_GET_INFO: u32 = ioc(READ | 1, PIDFS, 11, mem::size_of::<ProcessSummary>());

/// The magic number of nsfs in statfs(2).
const NSFS_MAGIC: i64 = 0x6e73_6673;

/// What [`mount_namespace`] and [`next_mount_namespace`] tell; `struct mnt_ns_info`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct MountNamespaceSummary {
    size: u32,
    /// How many mounts there are in the namespace.
    pub mounts: u32,
    /// The 64-bit id that listmount(2) and statmount(2) take; never used twice in one boot.
    pub id: u64,
}

/// What the kernel tells about a process through its pidfd; `struct pidfd_info` of Linux 6.13 (64 bytes).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct ProcessSummary {
    mask: u64,
    /// The id (file handle) of the process's cgroup in the unified hierarchy.
    pub cgroup_id: u64,
    /// Thread id.
    pub pid: u32,
    /// Process id.
    pub tgid: u32,
    /// Process id of the parent; 0 when it is outside the caller's pid namespace.
    pub ppid: u32,
    /// Real user id.
    pub ruid: u32,
    /// Real group id.
    pub rgid: u32,
    /// Effective user id.
    pub euid: u32,
    /// Effective group id.
    pub egid: u32,
    /// Saved user id.
    pub suid: u32,
    /// Saved group id.
    pub sgid: u32,
    /// File system user id.
    pub fsuid: u32,
    /// File system group id.
    pub fsgid: u32,
    exit_code: i32,
}

fn ioctl_fd(fd: BorrowedFd<'_>, request: u32) -> Result<OwnedFd, Errno> {
    // SAFETY: the requests passed here take no argument and return a new file descriptor or -1.
    let new = unsafe { libc::ioctl(fd.as_raw_fd(), request as _) };
    if new < 0 {
        return Err(last_errno());
    }
    // SAFETY: the kernel just made this descriptor for us; nobody else knows of it.
    Ok(unsafe { OwnedFd::from_raw_fd(new) })
}

fn ioctl_into<T>(fd: BorrowedFd<'_>, request: u32, value: &mut T) -> Result<i32, Errno> {
    // SAFETY: the requests passed here write at most size_of::<T>() bytes (it is part of the request's number, or, for
    // NS_GET_OWNER_UID, a uid_t), and `value` lives across the call.
    let returned = unsafe { libc::ioctl(fd.as_raw_fd(), request as _, std::ptr::from_mut(value)) };
    if returned < 0 { Err(last_errno()) } else { Ok(returned) }
}

fn last_errno() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}

/// Whether `fd` is a file on nsfs, that is, a namespace.
pub fn is_nsfs(fd: impl AsFd) -> bool {
    rustix::fs::fstatfs(fd).is_ok_and(|fs| fs.f_type == NSFS_MAGIC)
}

/// Whether the file at `path`, which is not opened, is a namespace.
///
/// # Errors
/// As statfs(2).
pub fn is_nsfs_path(path: &Path) -> Result<bool, Errno> {
    rustix::fs::statfs(path).map(|fs| fs.f_type == NSFS_MAGIC)
}

/// The kind of the namespace, as its `CLONE_NEW*` flag. Linux 4.11.
///
/// # Errors
/// `ENOTTY` where `ns` is no namespace or the kernel is older.
pub fn namespace_flag(ns: impl AsFd) -> Result<u32, Errno> {
    // SAFETY: NS_GET_NSTYPE takes no argument and returns a CLONE_NEW* flag or -1.
    let flag = unsafe { libc::ioctl(ns.as_fd().as_raw_fd(), NS_GET_NSTYPE as _) };
    if flag < 0 { Err(last_errno()) } else { Ok(flag as u32) }
}

/// The user namespace that owns `ns`; for a user namespace, its parent. Linux 4.9.
///
/// # Errors
/// `EPERM` where the owner is outside the caller's own user namespace and its descendants.
pub fn namespace_owner(ns: impl AsFd) -> Result<OwnedFd, Errno> {
    ioctl_fd(ns.as_fd(), NS_GET_USERNS)
}

/// The parent of a pid or user namespace. Linux 4.9.
///
/// # Errors
/// `EPERM` where the parent is outside the caller's own namespace and its descendants, or `ns` is the initial one;
/// `EINVAL` for kinds that have no hierarchy.
pub fn namespace_parent(ns: impl AsFd) -> Result<OwnedFd, Errno> {
    ioctl_fd(ns.as_fd(), NS_GET_PARENT)
}

/// The user who created the user namespace, as the caller's user namespace sees the id. Linux 4.11.
///
/// # Errors
/// `EINVAL` where `ns` is not a user namespace.
pub fn namespace_owner_uid(ns: impl AsFd) -> Result<u32, Errno> {
    let mut uid: libc::uid_t = 0;
    ioctl_into(ns.as_fd(), NS_GET_OWNER_UID, &mut uid)?;
    Ok(uid)
}

/// The 64-bit id of the namespace, which is never used twice in one boot (inode numbers are). Linux 6.18.
///
/// # Errors
/// `ENOTTY` on older kernels.
pub fn namespace_id(ns: impl AsFd) -> Result<u64, Errno> {
    let mut id = 0u64;
    ioctl_into(ns.as_fd(), NS_GET_ID, &mut id)?;
    Ok(id)
}

/// The id of a mount namespace for listmount(2) and statmount(2). Linux 6.11.
///
/// # Errors
/// `ENOTTY` on older kernels, `EINVAL` where `ns` is not a mount namespace.
pub fn mount_namespace_id(ns: impl AsFd) -> Result<u64, Errno> {
    let mut id = 0u64;
    ioctl_into(ns.as_fd(), NS_GET_MNTNS_ID, &mut id)?;
    Ok(id)
}

/// The id of a mount namespace and the number of its mounts. Linux 6.12.
///
/// # Errors
/// As [`mount_namespace_id`].
pub fn mount_namespace(ns: impl AsFd) -> Result<MountNamespaceSummary, Errno> {
    let mut summary = MountNamespaceSummary::default();
    ioctl_into(ns.as_fd(), NS_MNT_GET_INFO, &mut summary)?;
    Ok(summary)
}

/// The mount namespace after `ns` in the kernel's own list, whether or not a process is in it. Linux 6.12.
///
/// # Errors
/// `ENOENT` after the last; `EPERM` without `CAP_SYS_ADMIN` in the initial user namespace; `ENOTTY` on older kernels.
pub fn next_mount_namespace(ns: BorrowedFd<'_>) -> Result<(OwnedFd, MountNamespaceSummary), Errno> {
    neighbour(ns, NS_MNT_GET_NEXT)
}

/// The mount namespace before `ns` in the kernel's own list. Linux 6.12.
///
/// # Errors
/// As [`next_mount_namespace`].
pub fn previous_mount_namespace(ns: BorrowedFd<'_>) -> Result<(OwnedFd, MountNamespaceSummary), Errno> {
    neighbour(ns, NS_MNT_GET_PREV)
}

fn neighbour(ns: BorrowedFd<'_>, request: u32) -> Result<(OwnedFd, MountNamespaceSummary), Errno> {
    let mut summary = MountNamespaceSummary::default();
    let fd = ioctl_into(ns, request, &mut summary)?;
    // SAFETY: both requests return a new descriptor that nobody else knows of.
    Ok((unsafe { OwnedFd::from_raw_fd(fd) }, summary))
}

/// What the caller's pid namespace calls the process that is `pid` in the pid namespace `ns`. Linux 6.11.
///
/// # Errors
/// `ESRCH` where there is no such process; `ENOTTY` on older kernels.
pub fn pid_from_pid_namespace(ns: impl AsFd, pid: i32) -> Result<i32, Errno> {
    pid_translation(ns.as_fd(), NS_GET_TGID_FROM_PIDNS, pid)
}

/// What the pid namespace `ns` calls the process that is `pid` in the caller's. Linux 6.11.
///
/// # Errors
/// `ESRCH` where the process is not in `ns` or a descendant; `ENOTTY` on older kernels.
pub fn pid_in_pid_namespace(ns: impl AsFd, pid: i32) -> Result<i32, Errno> {
    pid_translation(ns.as_fd(), NS_GET_TGID_IN_PIDNS, pid)
}

fn pid_translation(ns: BorrowedFd<'_>, request: u32, pid: i32) -> Result<i32, Errno> {
    // SAFETY: despite its number these requests take the pid by value and touch no memory of ours.
    let translated = unsafe { libc::ioctl(ns.as_raw_fd(), request as _, libc::c_long::from(pid)) };
    if translated < 0 { Err(last_errno()) } else { Ok(translated) }
}

/// The network namespace in which the socket was made. Linux 4.9.
///
/// # Errors
/// `EPERM` without `CAP_NET_ADMIN` in the namespace's owner; `ENOTTY` where `socket` is no socket.
pub fn socket_namespace(socket: impl AsFd) -> Result<OwnedFd, Errno> {
    ioctl_fd(socket.as_fd(), SIOCGSKNS)
}

/// Parent, credentials and cgroup of the process behind a pidfd, in one call. Linux 6.13.
///
/// # Errors
/// `ESRCH` where the process is gone and reaped; `ENOTTY` on older kernels.
pub fn process(pidfd: impl AsFd) -> Result<ProcessSummary, Errno> {
    const PID_AND_CREDENTIALS_AND_CGROUP: u64 = 1 | 2 | 4;
    let mut summary = ProcessSummary { mask: PID_AND_CREDENTIALS_AND_CGROUP, ..ProcessSummary::default() };
    ioctl_into(pidfd.as_fd(), PIDFD_GET_INFO, &mut summary)?;
    Ok(summary)
}

/// The pid namespace that the children of the process behind a pidfd will be born in: also one that has no process yet, to which
/// no link in /proc leads. Linux 6.11.
///
/// # Errors
/// `ENOTTY` on older kernels; `ESRCH` when the process has ended; `EACCES` or `EPERM` as ptrace(2).
pub fn pid_namespace_for_children(pidfd: impl AsFd) -> Result<OwnedFd, Errno> {
    // SAFETY: the request takes no argument and returns a new descriptor or -1.
    let fd = unsafe { libc::ioctl(pidfd.as_fd().as_raw_fd(), PIDFD_GET_PID_FOR_CHILDREN_NAMESPACE as _, 0) };
    if fd < 0 {
        return Err(last_errno());
    }
    // SAFETY: the kernel has just opened it, and nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    #[test]
    fn requests_have_the_numbers_of_the_kernel_headers() {
        assert_eq!(NS_GET_USERNS, 0xb701);
        assert_eq!(NS_GET_MNTNS_ID, 0x8008_b705);
        assert_eq!(NS_MNT_GET_NEXT, 0x8010_b70b);
        assert_eq!(NS_GET_ID, 0x8008_b70d);
        assert_eq!(PIDFD_GET_INFO, 0xc040_ff0b);
        assert_eq!(PIDFD_GET_PID_FOR_CHILDREN_NAMESPACE, 0xff06);
    }

    #[test]
    fn a_namespace_tells_its_kind_and_owner() {
        let net = File::open("/proc/self/ns/net").unwrap();
        assert!(is_nsfs(&net));
        assert_eq!(namespace_flag(&net), Ok(libc::CLONE_NEWNET as u32));
        let owner = namespace_owner(&net).unwrap();
        assert_eq!(namespace_flag(&owner), Ok(libc::CLONE_NEWUSER as u32));
        let again = File::open("/proc/self/ns/net").unwrap();
        assert_eq!(namespace_id(&net), namespace_id(&again));
        assert_ne!(namespace_id(&net).ok(), namespace_id(&owner).ok().or(Some(0)));
    }

    #[test]
    fn a_file_that_is_no_namespace_is_told_apart() {
        let null = File::open("/dev/null").unwrap();
        assert!(!is_nsfs(&null));
        assert_eq!(namespace_flag(&null), Err(Errno::NOTTY));
    }
}
