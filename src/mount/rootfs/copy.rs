//! Copying what a tmpfs hides into it.

use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Uid};

use crate::error::{Attempt, Result};

/// Copies a folder's content, with owners, permissions and links, into another, both held open. Nothing is followed.
pub(super) fn copy_tree(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> Result<()> {
    let folder = rustix::fs::openat(from, ".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .attempt(|| "open a folder")?;
    let mut entries = Vec::new();
    for entry in rustix::fs::Dir::new(folder).attempt(|| "read a folder")? {
        let entry = entry.attempt(|| "read a folder")?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            entries.push(entry.file_name().to_owned());
        }
    }
    for name in entries {
        let what = || format!("copy {}", name.to_string_lossy());
        let stat = rustix::fs::statat(from, &name, AtFlags::SYMLINK_NOFOLLOW).attempt(what)?;
        let mode = Mode::from_raw_mode(stat.st_mode);
        let open = |at: BorrowedFd<'_>, flags, mode| {
            rustix::fs::openat(at, &name, flags | OFlags::NOFOLLOW | OFlags::CLOEXEC, mode)
        };
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => {
                rustix::fs::mkdirat(to, &name, mode).attempt(what)?;
                let (source, copy) = (
                    open(from, OFlags::PATH | OFlags::DIRECTORY, Mode::empty()).attempt(what)?,
                    open(to, OFlags::PATH | OFlags::DIRECTORY, Mode::empty()).attempt(what)?,
                );
                copy_tree(source.as_fd(), copy.as_fd()).attempt(what)?;
            }
            FileType::RegularFile => {
                let mut source = std::fs::File::from(open(from, OFlags::RDONLY, Mode::empty()).attempt(what)?);
                let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
                let mut copy = std::fs::File::from(open(to, flags, mode).attempt(what)?);
                std::io::copy(&mut source, &mut copy).attempt(what)?;
            }
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(from, &name, Vec::new()).attempt(what)?;
                rustix::fs::symlinkat(&*target, to, &name).attempt(what)?;
            }
            other => rustix::fs::mknodat(to, &name, other, mode, stat.st_rdev).attempt(what)?,
        }
        let (uid, gid) = (Some(Uid::from_raw(stat.st_uid)), Some(Gid::from_raw(stat.st_gid)));
        rustix::fs::chownat(to, &name, uid, gid, AtFlags::SYMLINK_NOFOLLOW).attempt(what)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::Symlink {
            // chown clears set-id bits, and the umask took part in creation.
            rustix::fs::chmodat(to, &name, mode, AtFlags::empty()).attempt(what)?;
        }
    }
    Ok(())
}
