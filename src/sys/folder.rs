//! What is in a folder.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

use rustix::fs::{CWD, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;

/// The entries of the folder `path` but for `.` and `..`, with their types where the file system tells. Unlike
/// [`std::fs::read_dir`], it does not panic when close(2) reports an error.
///
/// # Errors
/// As open(2) and getdents64(2).
pub fn entries(path: &Path) -> Result<Vec<(OsString, FileType)>, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = rustix::io::retry_on_intr(|| rustix::fs::openat(CWD, path, flags, Mode::empty()))?;
    let mut entries = Vec::new();
    for entry in Dir::new(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if !matches!(name, b"." | b"..") {
            entries.push((OsString::from_vec(name.to_vec()), entry.file_type()));
        }
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_what_is_there_and_its_type() {
        let entries = entries(Path::new("/proc/self")).unwrap();
        let kind = |name: &str| entries.iter().find(|(entry, _)| entry == name).map(|(_, kind)| *kind);
        assert_eq!(kind("task"), Some(FileType::Directory));
        assert_eq!(kind("stat"), Some(FileType::RegularFile));
        assert_eq!(kind("."), None);
        assert_eq!(super::entries(Path::new("/proc/self/no-such")), Err(Errno::NOENT));
    }
}
