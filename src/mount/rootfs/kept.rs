//! What a child on its way to execve(2) opens, and does not close one by one.

use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::error::{Attempt, Result};
use crate::mount::path::{self, Create};
use crate::mount::{Options, apply};
use crate::sys::fd::Kept;

/// [`apply::clone_tree`], kept.
pub(super) fn cloned(at: BorrowedFd<'_>, path: &Path, recursive: bool, follow: bool) -> Result<Kept, Errno> {
    apply::clone_tree(at, path, recursive, follow).map(Kept::from)
}

/// [`apply::clone_source`], kept.
pub(super) fn cloned_source(source: &Path, options: &Options) -> Result<Kept> {
    apply::clone_source(source, options).map(Kept::from)
}

/// [`apply::new_filesystem`], kept.
pub(super) fn created(fstype: &str, source: &str, words: &[String], attributes: u64) -> Result<Kept> {
    apply::new_filesystem(fstype, source, words, attributes).map(Kept::from)
}

/// [`path::open`], kept.
pub(super) fn open(root: BorrowedFd<'_>, path: &Path, flags: OFlags) -> Result<Kept, Errno> {
    path::open(root, path, flags).map(Kept::from)
}

/// [`path::open_or_create`], kept.
pub(super) fn open_or_create(root: BorrowedFd<'_>, path: &Path, create: Create, mode: Mode) -> Result<Kept> {
    path::open_or_create(root, path, create, mode).map(Kept::from)
}

/// [`path::parent`], kept.
pub(super) fn parent(root: BorrowedFd<'_>, path: &Path) -> Result<(Kept, PathBuf)> {
    path::parent(root, path).map(|(folder, name)| (Kept::from(folder), name))
}

/// A folder or place of the host.
pub(super) fn place(path: &Path, flags: OFlags) -> Result<Kept> {
    rustix::fs::open(path, flags | OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
        .map(Kept::from)
        .attempt(|| format!("open {}", path.display()))
}
