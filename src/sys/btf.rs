//! The kernel's description of its own types: `/sys/kernel/btf/vmlinux` (Linux 5.4, `CONFIG_DEBUG_INFO_BTF`).

use std::ops::Deref;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::ptr::NonNull;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

/// `SYSFS_MAGIC` of linux/magic.h.
const SYSFS: u64 = 0x6265_6572;

/// The description: where it is in the kernel's memory, or a copy of it. Both are some 5 MiB.
pub struct KernelTypes(Memory);

enum Memory {
    Mapped { start: NonNull<u8>, len: usize },
    Copied(Vec<u8>),
}

impl KernelTypes {
    /// Maps the description (Linux 6.16), or reads it, four kilobytes a system call.
    ///
    /// # Errors
    /// `ENOENT` where the kernel has none; `ENODEV` where something else is mounted over it.
    pub fn open() -> Result<KernelTypes, Errno> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let file = rustix::fs::open("/sys/kernel/btf/vmlinux", flags, Mode::empty())?;
        if rustix::fs::fstatfs(&file)?.f_type as u64 != SYSFS {
            return Err(Errno::NODEV);
        }
        let len = usize::try_from(rustix::fs::fstat(&file)?.st_size).map_err(|_| Errno::FBIG)?;
        map(file.as_fd(), len).or_else(|| read(file.as_fd(), len)).map(KernelTypes).ok_or(Errno::IO)
    }
}

fn map(file: BorrowedFd<'_>, len: usize) -> Option<Memory> {
    // SAFETY: a new mapping at an address that the kernel chooses touches no memory that is in use.
    let start =
        unsafe { libc::mmap(std::ptr::null_mut(), len, libc::PROT_READ, libc::MAP_PRIVATE, file.as_raw_fd(), 0) };
    if start == libc::MAP_FAILED {
        return None;
    }
    Some(Memory::Mapped { start: NonNull::new(start.cast())?, len })
}

fn read(file: BorrowedFd<'_>, len: usize) -> Option<Memory> {
    let mut bytes = Vec::with_capacity(len);
    while bytes.len() < len {
        match rustix::io::read(file, rustix::buffer::spare_capacity(&mut bytes)) {
            Ok(0) => return None,
            Ok(_) | Err(Errno::INTR) => {}
            Err(_) => return None,
        }
    }
    Some(Memory::Copied(bytes))
}

impl Deref for KernelTypes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            // SAFETY: `map` made a readable mapping of `len` bytes there, which lives as long as `self`. It is of the
            // kernel's read-only data (the file is sysfs's, as `open` has checked), so that it never changes or shrinks.
            Memory::Mapped { start, len } => unsafe { std::slice::from_raw_parts(start.as_ptr(), *len) },
            Memory::Copied(bytes) => bytes,
        }
    }
}

impl Drop for KernelTypes {
    fn drop(&mut self) {
        if let Memory::Mapped { start, len } = &self.0 {
            // SAFETY: the mapping is this value's own, and no borrow of it is left.
            unsafe { libc::munmap(start.as_ptr().cast(), *len) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_what_is_mapped() {
        let Ok(types) = KernelTypes::open() else {
            return eprintln!("skipped: this kernel does not describe its types");
        };
        let file = std::fs::File::open("/sys/kernel/btf/vmlinux").unwrap();
        let Some(Memory::Copied(copy)) = read(file.as_fd(), types.len()) else { panic!("it cannot be read") };
        assert!(*types == *copy);
        assert!(read(file.as_fd(), 1).is_none(), "it is at its end");
    }
}
