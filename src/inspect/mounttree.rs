//! The mounts of a mount namespace as a process in it sees them: what is below what, and what is hidden by what.

use std::collections::HashMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::Snapshot;
use super::discover::unescape;
use crate::error::{Error, Result};
use crate::namespace::Kind;

/// A mount; a line of proc_pid_mountinfo(5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// Unique in the machine while the mount lives.
    pub id: u32,
    /// The mount that it is on.
    pub parent: u32,
    /// The device of the file system, major and minor number.
    pub device: (u32, u32),
    /// Which directory or file of the file system is mounted.
    pub root: PathBuf,
    /// Where.
    pub point: PathBuf,
    /// Options of the mount: `rw,nosuid`.
    pub options: String,
    /// Propagation: `shared:1 master:2`, empty for private.
    pub propagation: String,
    /// The file system's type.
    pub kind: String,
    /// What is mounted: a device, or whatever the file system takes.
    pub source: String,
    /// The id of the mount that hides it.
    pub hidden_by: Option<u32>,
}

/// Reads the mounts that the process sees, in the order in which the kernel lists them.
///
/// # Errors
/// Where there is no such process, or it may not be read.
pub fn read(pid: i32) -> Result<Vec<Mount>> {
    let path = format!("/proc/{pid}/mountinfo");
    let text = fs::read(&path).map_err(|error| Error::io(&error, format!("read {path}")))?;
    Ok(parse(&text))
}

fn parse(text: &[u8]) -> Vec<Mount> {
    let mut mounts: Vec<Mount> = text.split(|&byte| byte == b'\n').filter_map(parse_line).collect();
    find_hidden(&mut mounts);
    mounts
}

fn parse_line(line: &[u8]) -> Option<Mount> {
    let separator = line.windows(3).position(|window| window == b" - ")?;
    let mut fields = line[..separator].split(|&byte| byte == b' ');
    let mut next = || fields.next();
    let number = |field: &[u8]| std::str::from_utf8(field).ok()?.parse::<u32>().ok();
    let string = |field: &[u8]| unescape(field).to_string_lossy().into_owned();
    let (id, parent) = (number(next()?)?, number(next()?)?);
    let device = next()?;
    let colon = device.iter().position(|&byte| byte == b':')?;
    let device = (number(&device[..colon])?, number(&device[colon + 1..])?);
    let (root, point, options) = (unescape(next()?), unescape(next()?), string(next()?));
    let propagation: Vec<String> = fields.map(string).collect();
    let mut rest = line[separator + 3..].split(|&byte| byte == b' ');
    Some(Mount {
        id,
        parent,
        device,
        root,
        point,
        options,
        propagation: propagation.join(" "),
        kind: string(rest.next()?),
        source: string(rest.next()?),
        hidden_by: None,
    })
}

/// A mount is hidden by one that is on its own root, or by one on the same parent at a directory above: had that been
/// there first, the mount would be on it.
fn find_hidden(mounts: &mut [Mount]) {
    let mut by_parent: HashMap<u32, Vec<usize>> = HashMap::new();
    for (place, mount) in mounts.iter().enumerate() {
        by_parent.entry(mount.parent).or_default().push(place);
    }
    let none = Vec::new();
    let hidden: Vec<Option<u32>> = mounts
        .iter()
        .map(|mount| {
            let on_it = by_parent.get(&mount.id).unwrap_or(&none).iter().map(|&place| &mounts[place]);
            let beside = by_parent.get(&mount.parent).unwrap_or(&none).iter().map(|&place| &mounts[place]);
            let covers = on_it.filter(|other| other.id != mount.id && other.point == mount.point);
            let above = beside.filter(|other| {
                other.id != mount.id && other.point != mount.point && mount.point.starts_with(&other.point)
            });
            covers.chain(above).map(|other| other.id).next()
        })
        .collect();
    for (mount, hidden_by) in mounts.iter_mut().zip(hidden) {
        mount.hidden_by = hidden_by;
    }
}

/// A mount that keeps a path's file system busy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The inode number of the mount namespace.
    pub namespace: u64,
    /// A process in it.
    pub pid: i32,
    /// The mount.
    pub mount: Mount,
}

/// Finds the mounts, in every mount namespace that has a process, of what is at or below `path`, or of the file system
/// on it where it is a block device.
///
/// # Errors
/// Where the path cannot be resolved, or the caller's own mounts cannot be read.
pub fn holders(path: &Path, snapshot: &Snapshot) -> Result<Vec<Holder>> {
    let attempted = || format!("resolve {}", path.display());
    let path = path.canonicalize().map_err(|error| Error::io(&error, attempted()))?;
    let status = rustix::fs::stat(&path).map_err(|errno| Error::os(errno, attempted()))?;
    let is_block = rustix::fs::FileType::from_raw_mode(status.st_mode) == rustix::fs::FileType::BlockDevice;
    let own = parse(&fs::read("/proc/self/mountinfo").map_err(|error| Error::io(&error, "read /proc/self/mountinfo"))?);
    let (device, inside) = if is_block {
        ((rustix::fs::major(status.st_rdev), rustix::fs::minor(status.st_rdev)), PathBuf::from("/"))
    } else {
        place_of(&path, &own).ok_or_else(|| Error::invalid(format!("{} is on no mount", path.display())))?
    };
    let mut holders = Vec::new();
    for namespace in snapshot.namespaces.iter().filter(|namespace| namespace.kind == Kind::Mount) {
        let Some(process) = snapshot.leader(namespace) else { continue };
        let Ok(mounts) = read(process.pid) else { continue };
        for mount in mounts {
            if mount.device == device && mount.root.starts_with(&inside) {
                holders.push(Holder { namespace: namespace.inode, pid: process.pid, mount });
            }
        }
    }
    Ok(holders)
}

/// On which device a path is, and where inside of its file system.
fn place_of(path: &Path, mounts: &[Mount]) -> Option<((u32, u32), PathBuf)> {
    let seen = mounts.iter().filter(|mount| mount.hidden_by.is_none() && path.starts_with(&mount.point));
    let mount = seen.max_by_key(|mount| mount.point.as_os_str().as_bytes().len())?;
    let rest = path.strip_prefix(&mount.point).ok()?;
    let inside = if rest.as_os_str().is_empty() { mount.root.clone() } else { mount.root.join(rest) };
    Some((mount.device, inside))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &[u8] = b"1 0 8:1 / / rw - ext4 /dev/sda1 rw\n\
        2 1 0:5 / /data rw,nosuid shared:3 master:1 - tmpfs tmpfs rw\n\
        3 2 0:6 / /data/in rw - tmpfs tmpfs rw\n\
        4 2 0:7 / /data rw - tmpfs over rw\n\
        5 1 8:1 /srv/a\\040b /mnt rw - ext4 /dev/sda1 rw\n";

    #[test]
    fn a_mount_hides_what_it_is_on_and_what_was_on_that_before() {
        let mounts = parse(TEXT);
        let hidden: Vec<Option<u32>> = mounts.iter().map(|mount| mount.hidden_by).collect();
        assert_eq!(hidden, [None, Some(4), Some(4), None, None]);
    }

    #[test]
    fn lines_are_read_with_escapes_and_propagation() {
        let mounts = parse(TEXT);
        assert_eq!(mounts[1].propagation, "shared:3 master:1");
        assert_eq!(mounts[4].root, Path::new("/srv/a b"));
        assert_eq!(mounts[4].device, (8, 1));
    }

    #[test]
    fn a_path_is_placed_inside_its_file_system() {
        let mounts = parse(TEXT);
        assert_eq!(place_of(Path::new("/mnt/x"), &mounts), Some(((8, 1), PathBuf::from("/srv/a b/x"))));
        assert_eq!(place_of(Path::new("/data/y"), &mounts), Some(((0, 7), PathBuf::from("/y"))));
    }
}
