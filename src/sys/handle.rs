//! Namespaces by their 64-bit ids, through file handles of nsfs; open_by_handle_at(2), `linux/nsfs.h`.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::check;

/// `struct file_handle` with a `struct nsfs_file_handle` in it.
#[repr(C)]
struct NamespaceHandle {
    bytes: u32,
    kind: i32,
    id: u64,
    namespace_kind: u32,
    inode: u32,
}

const AT_HANDLE_FID: libc::c_int = 0x200;

/// Opens the namespace with this id (Linux 6.19), which needs no process that is in it.
///
/// # Errors
/// With whether the kernel knows such handles at all: if not, why; else `ESTALE` when no namespace has the id, `EPERM`
/// without privilege over it.
pub fn open_namespace(id: u64) -> Result<OwnedFd, (bool, Errno)> {
    // Any file on nsfs tells the type of its handles; every kernel has this one.
    let any = rustix::fs::open("/proc/self/ns/mnt", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|errno| (false, errno))?;
    let mut handle = NamespaceHandle { bytes: 16, kind: 0, id: 0, namespace_kind: 0, inode: 0 };
    let mut mount: libc::c_int = 0;
    let flags = libc::AT_EMPTY_PATH | AT_HANDLE_FID;
    // SAFETY: the path is a terminated string, and the kernel writes at most `bytes` bytes behind the handle's header,
    // which is the space that the structure has.
    check(unsafe {
        libc::syscall(
            libc::SYS_name_to_handle_at,
            any.as_raw_fd(),
            c"".as_ptr(),
            &raw mut handle,
            &raw mut mount,
            flags,
        )
    })
    .map_err(|errno| (false, errno))?;
    (handle.id, handle.namespace_kind, handle.inode) = (id, 0, 0);
    let flags = libc::O_RDONLY | libc::O_CLOEXEC;
    // SAFETY: the kernel reads the handle's header and `bytes` bytes behind it.
    let fd = check(unsafe { libc::syscall(libc::SYS_open_by_handle_at, any.as_raw_fd(), &raw const handle, flags) })
        .map_err(|errno| (true, errno))?;
    // SAFETY: the kernel just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}
