//! Programs that a container lacks: this binary's applets, or a static program of the caller, from a sealed copy in
//! memory, so that nothing in the container can write to the file.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;

use nskit::Result;
use nskit::error::{Attempt, Errno};
use rustix::fs::{MemfdFlags, Mode, OFlags, SealFlags};

/// A sealed copy of `file`, by default of this binary.
pub(super) fn sealed(file: Option<&OsStr>) -> Result<OwnedFd> {
    let path = file.unwrap_or(OsStr::new("/proc/self/exe"));
    let shown = path.to_string_lossy();
    let source = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .attempt(|| format!("cannot open {shown}"))?;
    let mut left = rustix::fs::fstat(&source).attempt(|| format!("cannot open {shown}"))?.st_size as usize;
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let copy = match rustix::fs::memfd_create("tools", flags | MemfdFlags::EXEC) {
        // The flag is needed where vm.memfd_noexec is set, which came with it (Linux 6.3).
        Err(Errno::INVAL) => rustix::fs::memfd_create("tools", flags),
        made => made,
    }
    .attempt(|| "memfd_create failed")?;
    while left > 0 {
        match rustix::fs::sendfile(&copy, &source, None, left).attempt(|| format!("copy {shown} failed"))? {
            0 => break,
            copied => left -= copied,
        }
    }
    let seals = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
    rustix::fs::fcntl_add_seals(&copy, seals).attempt(|| format!("seal the copy of {shown} failed"))?;
    Ok(copy)
}
