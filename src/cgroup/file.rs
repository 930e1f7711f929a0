//! The files of a cgroup: one value, or one line, a write.
//!
//! Directories are named by path, not held open: a cgroup file system has no symbolic links, names come from tables or
//! are checked to have no slash, and one walk of a short path costs less than a descriptor a hierarchy.

use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

/// What is being attempted, for errors.
pub(super) fn opening(dir: &Path, name: &str) -> String {
    format!("open {}", dir.join(name).display())
}

/// What is being attempted, for errors.
pub(super) fn reading(dir: &Path, name: &str) -> String {
    format!("read {}", dir.join(name).display())
}

/// What is being attempted, for errors.
pub(super) fn writing(dir: &Path, name: &str, value: &str) -> String {
    format!("write {:?} to {}", value.trim_end(), dir.join(name).display())
}

fn open(path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
    loop {
        match rustix::fs::open(path, flags | OFlags::CLOEXEC, Mode::empty()) {
            Err(Errno::INTR) => {}
            result => return result,
        }
    }
}

/// The whole of a file that the kernel makes in one piece (all but the lists of processes): a short read is its end.
pub(super) fn read(dir: &Path, name: &str) -> Result<String, Errno> {
    read_to(open(&dir.join(name), OFlags::RDONLY)?, true)
}

/// The whole of a file that the kernel gives out piece by piece (`cgroup.procs`).
pub(super) fn read_list(dir: &Path, name: &str) -> Result<String, Errno> {
    read_to(open(&dir.join(name), OFlags::RDONLY)?, false)
}

/// The whole of a file outside the cgroup file systems that the kernel makes in one piece.
pub(super) fn read_path(path: &Path) -> Result<String, Errno> {
    read_to(open(path, OFlags::RDONLY)?, true)
}

fn read_to(file: OwnedFd, one_piece: bool) -> Result<String, Errno> {
    let content = crate::sys::fd::read_whole(&file, 4096, one_piece)?;
    String::from_utf8(content).map_err(|_| Errno::ILSEQ)
}

/// A file that is open for writing.
#[derive(Debug)]
pub(super) struct Writer(OwnedFd);

impl Writer {
    pub(super) fn open(dir: &Path, name: &str) -> Result<Writer, Errno> {
        open(&dir.join(name), OFlags::WRONLY).map(Writer)
    }

    /// Writes a value in one call: the kernel takes each write for a new value.
    pub(super) fn write(&self, value: &str) -> Result<(), Errno> {
        loop {
            match rustix::io::write(&self.0, value.as_bytes()) {
                Ok(n) if n == value.len() => return Ok(()),
                Ok(_) => return Err(Errno::IO),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno),
            }
        }
    }
}

impl From<Writer> for OwnedFd {
    fn from(writer: Writer) -> OwnedFd {
        writer.0
    }
}

/// Writes a value; one of several lines is written line by line.
pub(super) fn write(dir: &Path, name: &str, value: &str) -> Result<(), Errno> {
    let file = Writer::open(dir, name)?;
    if value.trim_end_matches('\n').contains('\n') {
        value.split_inclusive('\n').try_for_each(|line| file.write(line))
    } else {
        file.write(value)
    }
}

/// The directories in `dir`, which are its child cgroups.
pub(super) fn children(dir: &Path) -> Result<Vec<std::path::PathBuf>, Errno> {
    let entries = crate::sys::folder::entries(dir)?;
    Ok(entries.into_iter().filter(|(_, kind)| kind.is_dir()).map(|(name, _)| dir.join(name)).collect())
}

/// The value behind `key` in a file of `key value` lines; 0 where there is no such line.
pub(super) fn value_of(content: &str, key: &str) -> u64 {
    content
        .lines()
        .find_map(|line| line.strip_prefix(key)?.strip_prefix(' '))
        .and_then(|value| value.trim().parse().ok())
        .unwrap_or(0)
}
