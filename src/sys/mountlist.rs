//! Mounts of any mount namespace, also of one that no process is in: listmount(2) and statmount(2), Linux 6.8, of other
//! namespaces 6.11. And listns(2), Linux 6.19: every namespace that the caller may know of.

use std::ffi::{CStr, OsStr};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use rustix::io::Errno;

const SYS_STATMOUNT: libc::c_long = 457;
const SYS_LISTMOUNT: libc::c_long = 458;
const SYS_LISTNS: libc::c_long = 470;

/// `LSMT_ROOT`: begin at the root mount.
const ROOT: u64 = u64::MAX;
const STATMOUNT_SB_BASIC: u64 = 0x01;
const STATMOUNT_MNT_BASIC: u64 = 0x02;
const STATMOUNT_MNT_ROOT: u64 = 0x08;
const STATMOUNT_MNT_POINT: u64 = 0x10;
const STATMOUNT_FS_TYPE: u64 = 0x20;
/// Where in the answer of statmount the strings begin, which the header's offsets count from.
const STRINGS: usize = 512;
/// The type of nsfs's file handles, `FILEID_NSFS`.
const FILEID_NSFS: i32 = 0xf1;

/// `struct mnt_id_req`, its second version.
#[repr(C)]
struct Request {
    size: u32,
    spare: u32,
    mount: u64,
    parameter: u64,
    namespace: u64,
}

impl Request {
    fn new(mount: u64, parameter: u64, namespace: u64) -> Request {
        Request { size: size_of::<Request>() as u32, spare: 0, mount, parameter, namespace }
    }
}

/// One mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// As in mountinfo: unique in the machine while the mount lives.
    pub id: u32,
    /// The mount that it is on, likewise.
    pub parent: u32,
    /// The device of the file system, major and minor number.
    pub device: (u32, u32),
    /// The file system's type.
    pub kind: String,
    /// The file system's magic number, as in statfs(2).
    pub magic: u64,
    /// Which directory or file of the file system is mounted.
    pub root: PathBuf,
    /// Where, as seen from the namespace's root.
    pub point: PathBuf,
}

/// The ids of all mounts of the mount namespace with this id ([`super::ioctl::mount_namespace_id`]).
///
/// # Errors
/// `ENOSYS` before Linux 6.8, `EPERM` without `CAP_SYS_ADMIN` over the namespace, `ENOENT` where it is gone.
pub fn mounts(namespace: u64) -> Result<Vec<u64>, Errno> {
    let mut all: Vec<u64> = Vec::new();
    loop {
        let request = Request::new(ROOT, all.last().copied().unwrap_or(0), namespace);
        let mut page = [0u64; 512];
        // SAFETY: the kernel reads `request.size` bytes of the request and writes at most `page.len()` ids.
        let count =
            unsafe { libc::syscall(SYS_LISTMOUNT, std::ptr::from_ref(&request), page.as_mut_ptr(), page.len(), 0) };
        let count = super::check(count)? as usize;
        all.extend(&page[..count]);
        if count < page.len() {
            return Ok(all);
        }
    }
}

/// What the mount with this id, in the mount namespace with this id, is.
///
/// # Errors
/// As [`mounts`].
pub fn mount(namespace: u64, mount: u64) -> Result<Mount, Errno> {
    let wanted =
        STATMOUNT_SB_BASIC | STATMOUNT_MNT_BASIC | STATMOUNT_FS_TYPE | STATMOUNT_MNT_ROOT | STATMOUNT_MNT_POINT;
    let request = Request::new(mount, wanted, namespace);
    let mut answer = vec![0u8; 16 * 1024];
    // SAFETY: the kernel reads `request.size` bytes of the request and writes at most `answer.len()` bytes.
    let status =
        unsafe { libc::syscall(SYS_STATMOUNT, std::ptr::from_ref(&request), answer.as_mut_ptr(), answer.len(), 0) };
    super::check(status)?;
    let number = |at: usize| u32::from_ne_bytes([answer[at], answer[at + 1], answer[at + 2], answer[at + 3]]);
    let text = |offset: usize| {
        let bytes = answer.get(STRINGS + number(offset) as usize..).unwrap_or_default();
        let bytes = CStr::from_bytes_until_nul(bytes).unwrap_or_default().to_bytes();
        PathBuf::from(OsStr::from_bytes(bytes))
    };
    Ok(Mount {
        id: number(56),
        parent: number(60),
        device: (number(16), number(20)),
        kind: text(36).to_string_lossy().into_owned(),
        magic: u64::from(number(24)) | u64::from(number(28)) << 32,
        root: text(104),
        point: text(108),
    })
}

/// `struct ns_id_req`.
#[repr(C)]
struct NamespaceRequest {
    size: u32,
    spare: u32,
    after: u64,
    kinds: u32,
    spare2: u32,
    owner: u64,
}

/// The ids of all namespaces that the caller may know of, whatever keeps them. Linux 6.19.
///
/// # Errors
/// `ENOSYS` on older kernels.
pub fn namespaces() -> Result<Vec<u64>, Errno> {
    let mut all: Vec<u64> = Vec::new();
    loop {
        let size = size_of::<NamespaceRequest>() as u32;
        let after = all.last().copied().unwrap_or(0);
        let request = NamespaceRequest { size, spare: 0, after, kinds: 0, spare2: 0, owner: 0 };
        let mut page = [0u64; 512];
        // SAFETY: the kernel reads `request.size` bytes of the request and writes at most `page.len()` ids.
        let count =
            unsafe { libc::syscall(SYS_LISTNS, std::ptr::from_ref(&request), page.as_mut_ptr(), page.len(), 0) };
        let count = super::check(count)? as usize;
        all.extend(&page[..count]);
        if count < page.len() {
            return Ok(all);
        }
    }
}

/// `struct file_handle` with `struct nsfs_file_handle` in it.
#[repr(C)]
struct Handle {
    bytes: u32,
    kind: i32,
    namespace: u64,
    namespace_kind: u32,
    inode: u32,
}

/// Opens the namespace with this id. Linux 6.19; `any` is any namespace, to tell the file system.
///
/// # Errors
/// `ESTALE` where there is none, or on older kernels; `EPERM` where the caller may not see it.
pub fn open_namespace(any: impl AsFd, id: u64) -> Result<OwnedFd, Errno> {
    let mut handle = Handle { bytes: 16, kind: FILEID_NSFS, namespace: id, namespace_kind: 0, inode: 0 };
    // SAFETY: the handle's first field is the number of bytes behind the second, all of which are ours to read.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_open_by_handle_at,
            any.as_fd().as_raw_fd(),
            std::ptr::from_mut(&mut handle),
            libc::O_RDONLY | libc::O_CLOEXEC,
        )
    };
    let fd = super::check(fd)?;
    // SAFETY: the kernel just made this descriptor for us; nobody else knows of it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::path::Path;

    use super::*;
    use crate::sys::ioctl;

    #[test]
    fn the_callers_own_root_is_among_its_mounts() {
        let Ok(namespace) = ioctl::mount_namespace_id(File::open("/proc/self/ns/mnt").unwrap()) else {
            return eprintln!("skipped: this kernel has no NS_GET_MNTNS_ID");
        };
        let mounts = mounts(namespace).unwrap();
        let found = mounts.iter().filter_map(|&id| mount(namespace, id).ok());
        assert!(found.into_iter().any(|mount| mount.point == Path::new("/")));
    }
}
