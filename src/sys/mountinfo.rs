//! The mounts of a process as `/proc/PID/mountinfo` lists them: proc_pid_mountinfo(5).
//!
//! Paths are bytes: the kernel writes spaces, tabs, newlines and backslashes as three octal digits behind a backslash, and
//! everything else as it is, whether it is UTF-8 or not.

use std::ffi::OsString;
use std::fmt::Display;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use crate::error::{Attempt, Result};

/// One mount. Fields are as they are written: [`unescape`] reads those that are paths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// Unique in the machine while the mount lives.
    pub id: u32,
    /// The mount that it is on.
    pub parent: u32,
    /// The device of the file system, major and minor number.
    pub device: (u32, u32),
    /// Which directory or file of the file system is mounted, escaped.
    pub root: &'a [u8],
    /// Where, as the process sees it, escaped.
    pub point: &'a [u8],
    /// Options of the mount: `rw,nosuid`.
    pub options: &'a [u8],
    /// The optional fields: `shared:1 master:2`, empty for a private mount.
    pub tags: &'a [u8],
    /// The file system's type.
    pub kind: &'a [u8],
    /// What is mounted: a device, or whatever the file system takes; escaped.
    pub source: &'a [u8],
    /// Options of the file system.
    pub super_options: &'a [u8],
}

impl<'a> Line<'a> {
    /// Reads a line without its newline; `None` for what is none.
    pub fn parse(line: &'a [u8]) -> Option<Line<'a>> {
        let mut rest = line;
        let mut next = || {
            let (field, after) = split_at_space(rest);
            rest = after?;
            Some(field)
        };
        let (id, parent) = (number(next()?)?, number(next()?)?);
        let device = next()?;
        let colon = device.iter().position(|&byte| byte == b':')?;
        let device = (number(&device[..colon])?, number(&device[colon + 1..])?);
        let (root, point, options) = (next()?, next()?, next()?);
        // No field before it is a hyphen alone.
        let tags = if rest.starts_with(b"- ") { 0 } else { rest.windows(3).position(|window| window == b" - ")? + 1 };
        let (tags, after) = (&rest[..tags.saturating_sub(1)], &rest[tags + 2..]);
        let (kind, after) = split_at_space(after);
        let (source, super_options) = split_at_space(after?);
        let super_options = super_options.unwrap_or_default();
        Some(Line { id, parent, device, root, point, options, tags, kind, source, super_options })
    }

    /// Its mount point.
    pub fn point(&self) -> PathBuf {
        unescape(self.point)
    }

    /// Whether it passes what is mounted on it on to others.
    pub fn is_shared(&self) -> bool {
        self.tags.split(|&byte| byte == b' ').any(|tag| tag.starts_with(b"shared:"))
    }
}

/// The mounts that `process` sees: a pid, `self`, or `PID/task/TID`. [`lines`] reads them.
///
/// # Errors
/// As open(2) and read(2): `ENOENT` where there is no such process, `EACCES` where it may not be looked at.
pub fn read(process: impl Display) -> Result<Vec<u8>> {
    let path = format!("/proc/{process}/mountinfo");
    std::fs::read(&path).attempt(|| format!("read {path}"))
}

/// The lines of a mountinfo, in the order in which the kernel lists them.
pub fn lines(mountinfo: &[u8]) -> impl DoubleEndedIterator<Item = Line<'_>> {
    mountinfo.split(|&byte| byte == b'\n').filter_map(Line::parse)
}

/// A path as it is, of one in a mountinfo.
pub fn unescape(field: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&byte, after)) = rest.split_first() {
        let digits = after.get(..3).filter(|digits| byte == b'\\' && digits.iter().all(|d| (b'0'..b'8').contains(d)));
        if let Some(digits) = digits {
            bytes.push(digits.iter().fold(0u8, |value, digit| value.wrapping_shl(3) | (digit - b'0')));
            rest = &after[3..];
        } else {
            bytes.push(byte);
            rest = after;
        }
    }
    PathBuf::from(OsString::from_vec(bytes))
}

/// What is before the first space, and what is behind it, if there is one.
fn split_at_space(bytes: &[u8]) -> (&[u8], Option<&[u8]>) {
    match bytes.iter().position(|&byte| byte == b' ') {
        Some(space) => (&bytes[..space], Some(&bytes[space + 1..])),
        None => (bytes, None),
    }
}

fn number(field: &[u8]) -> Option<u32> {
    std::str::from_utf8(field).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_line_has_as_many_tags_as_there_are() {
        let line =
            |tags: &str| format!("36 35 98:0 /a\\040b /mnt rw,noatime {tags}- ext3 /dev/root rw,errors=continue");
        for (written, tags) in [("", ""), ("shared:7 ", "shared:7"), ("shared:7 master:1 ", "shared:7 master:1")] {
            let line = line(written);
            let parsed = Line::parse(line.as_bytes()).unwrap();
            assert_eq!((parsed.id, parsed.parent, parsed.device), (36, 35, (98, 0)));
            assert_eq!((unescape(parsed.root), parsed.point()), ("/a b".into(), "/mnt".into()));
            assert_eq!((parsed.options, parsed.tags), (&b"rw,noatime"[..], tags.as_bytes()));
            assert_eq!((parsed.kind, parsed.source), (&b"ext3"[..], &b"/dev/root"[..]));
            assert_eq!(parsed.super_options, b"rw,errors=continue");
            assert_eq!(parsed.is_shared(), !tags.is_empty());
        }
    }

    #[test]
    fn a_mount_of_nothing_and_a_path_that_is_no_text_are_mounts_too() {
        let parsed = Line::parse(b"1 2 0:3 / /m\xff\\134\\012 rw - tmpfs  rw").unwrap();
        assert_eq!(parsed.point().as_os_str().as_bytes(), b"/m\xff\\\n");
        assert_eq!((parsed.source, parsed.super_options), (&b""[..], &b"rw"[..]));
    }

    #[test]
    fn every_mount_of_this_process_is_read() {
        let text = read("self").unwrap();
        assert_eq!(lines(&text).count(), text.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()).count());
    }

    proptest! {
        #[test]
        fn any_line_is_read_or_is_none(line in "([0-9]{1,3} ){1,3}([0-9]:[0-9] )?(/[a-z\\\\0-7]{0,5} ){0,3}[-a-z: ]{0,20}") {
            if let Some(parsed) = Line::parse(line.as_bytes()) {
                prop_assert!(parsed.point().as_os_str().len() <= parsed.point.len());
            }
        }
    }
}
