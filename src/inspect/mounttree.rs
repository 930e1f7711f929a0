//! The mounts of a mount namespace as a process in it sees them: what is below what, and what is hidden by what.

use std::collections::HashMap;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::model::{Gap, Keeper, MEMBERS, Namespace, Snapshot};
use crate::error::{Errno, Error, Result, strerror};
use crate::namespace::Kind;
use crate::sys::{ioctl, mountinfo, mountlist};

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
    Ok(parse(&mountinfo::read(pid)?))
}

/// The mounts in a mountinfo.
pub fn parse(text: &[u8]) -> Vec<Mount> {
    let mut mounts: Vec<Mount> = mountinfo::lines(text).map(|line| Mount::of(&line)).collect();
    find_hidden(&mut mounts);
    mounts
}

impl Mount {
    fn of(line: &mountinfo::Line<'_>) -> Mount {
        let text = |field: &[u8]| mountinfo::unescape(field).to_string_lossy().into_owned();
        Mount {
            id: line.id,
            parent: line.parent,
            device: line.device,
            root: mountinfo::unescape(line.root),
            point: line.point(),
            options: text(line.options),
            propagation: text(line.tags),
            kind: text(line.kind),
            source: text(line.source),
            hidden_by: None,
        }
    }
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

/// What a mount has to do with a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Why {
    /// It is a mount of what is at the path or below.
    FileSystem,
    /// It is mounted on the path or below, though not where the caller sees it.
    On,
    /// It is where its own mount namespace has that path, or below, on whatever that has there.
    Path,
    /// It shows the path somewhere inside of it, being of the same file system.
    Around,
}

/// A mount that keeps a path busy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The inode number of the mount namespace.
    pub namespace: u64,
    /// A process in it, where there is one.
    pub pid: Option<i32>,
    /// What it has to do with the path.
    pub why: Why,
    /// The mount.
    pub mount: Mount,
}

/// What keeps a path busy, and how much of the machine was looked at.
#[derive(Clone, Debug, Default)]
pub struct Holders {
    /// The mounts, of one mount namespace after the other; those around the path behind all others.
    pub found: Vec<Holder>,
    /// How many mount namespaces were looked at.
    pub looked_at: usize,
    /// Those that could not be.
    pub gaps: Vec<Gap>,
}

/// A place that mounts are compared with.
struct Place {
    /// The path as the caller sees it.
    path: PathBuf,
    /// The device that it is on, and where inside of its file system.
    at: ((u32, u32), PathBuf),
    /// The same of what a mount on it is mounted on: of its parent, with its name. None of a root and of a device.
    point: Option<((u32, u32), PathBuf)>,
}

/// Finds the mounts, in every mount namespace, that show what is at or below `path`, or the file system on it where it is a
/// block device; and those on it or below, which may have been left in other namespaces when the caller's went.
///
/// # Errors
/// Where the path cannot be resolved, or the caller's own mounts cannot be read.
pub fn holders(path: &Path, snapshot: &Snapshot) -> Result<Holders> {
    let attempted = || format!("resolve {}", path.display());
    let path = path.canonicalize().map_err(|error| Error::io(&error, attempted()))?;
    let status = rustix::fs::stat(&path).map_err(|errno| Error::os(errno, attempted()))?;
    let is_block = rustix::fs::FileType::from_raw_mode(status.st_mode) == rustix::fs::FileType::BlockDevice;
    let own = parse(&mountinfo::read("self")?);
    let nowhere = || Error::invalid(format!("{} is on no mount", path.display()));
    let place = if is_block {
        let device = (rustix::fs::major(status.st_rdev), rustix::fs::minor(status.st_rdev));
        Place { path, at: (device, PathBuf::from("/")), point: None }
    } else {
        let at = place_of(&path, &own).ok_or_else(nowhere)?;
        let parent = path.parent().zip(path.file_name());
        let point = parent.and_then(|(parent, name)| {
            let (device, inside) = place_of(parent, &own)?;
            Some((device, inside.join(name)))
        });
        Place { path, at, point }
    };
    let mut holders = Holders::default();
    let mut unseen = Snapshot::default();
    for (index, namespace) in snapshot.namespaces.iter().enumerate() {
        if namespace.kind != Kind::Mount {
            continue;
        }
        let (pid, mounts) = mounts_of(snapshot, index);
        let mounts = match (mounts, pid) {
            (Ok(mounts), _) => mounts,
            (Err(why), Some(pid)) => {
                unseen.gap_of(pid, "mount namespaces", why);
                continue;
            }
            // One whose last process ended meanwhile is gone.
            (Err(_), None) if namespace.processes > 0 && namespace.keepers.is_empty() => continue,
            (Err(why), None) => {
                unseen.gap("mount namespaces", why);
                continue;
            }
        };
        holders.looked_at += 1;
        let whys = whys(&place, &mounts);
        for (mount, why) in mounts.into_iter().zip(whys) {
            holders.found.extend(why.map(|why| Holder { namespace: namespace.inode, pid, why, mount }));
        }
    }
    // What is about the path alone is not to be looked for among what is about all of its file system.
    holders.found.sort_by_key(|holder| holder.why == Why::Around);
    holders.gaps = unseen.gaps;
    Ok(holders)
}

/// The mounts of a mount namespace, as one of its processes or threads sees them; or as the kernel lists them, where there
/// is none, or none any more. The error is why they may not be read.
fn mounts_of(snapshot: &Snapshot, index: usize) -> (Option<i32>, Result<Vec<Mount>, String>) {
    let namespace = &snapshot.namespaces[index];
    let members = snapshot.members(index).map(|process| (process.pid, process.pid.to_string()));
    let threads = namespace.keepers.iter().filter_map(|keeper| match keeper {
        Keeper::Thread { pid, tid } => Some((*pid, format!("{pid}/task/{tid}"))),
        _ => None,
    });
    for (pid, process) in members.take(MEMBERS).chain(threads.take(MEMBERS)) {
        match mountinfo::read(&process) {
            Ok(text) => return (Some(pid), Ok(parse(&text))),
            Err(error) if error.errno() == Some(Errno::ACCESS) => {
                return (Some(pid), Err(strerror(Errno::ACCESS)));
            }
            // It ended meanwhile.
            Err(_) => {}
        }
    }
    (None, listed(snapshot, namespace))
}

/// The mounts of a mount namespace as statmount(2) tells them, which knows neither options nor propagation here.
fn listed(snapshot: &Snapshot, namespace: &Namespace) -> Result<Vec<Mount>, String> {
    let opened = snapshot.open(namespace).map(ioctl::mount_namespace_id);
    let id = match (opened, namespace.id) {
        (Ok(Ok(id)), _) | (_, Some(id)) => id,
        (Ok(Err(errno)), None) => return Err(strerror(errno)),
        (Err(error), None) => return Err(error.to_string()),
    };
    let ids = mountlist::mounts(id).map_err(strerror)?;
    let mounts = ids.iter().filter_map(|&mount| mountlist::mount(id, mount).ok()).map(|mount| Mount {
        id: mount.id,
        parent: mount.parent,
        device: mount.device,
        root: mount.root,
        point: mount.point,
        options: String::new(),
        propagation: String::new(),
        kind: mount.kind,
        source: String::new(),
        hidden_by: None,
    });
    let mut mounts: Vec<Mount> = mounts.collect();
    find_hidden(&mut mounts);
    Ok(mounts)
}

/// What each mount of a mount namespace has to do with the place.
fn whys(place: &Place, mounts: &[Mount]) -> Vec<Option<Why>> {
    // Where the namespace shows what the caller sees at the path: there may be several, by bind mounts.
    let shown: Vec<PathBuf> = mounts
        .iter()
        .filter_map(|mount| {
            let (_, inside) = place.point.as_ref().filter(|(device, _)| *device == mount.device)?;
            Some(joined(&mount.point, inside.strip_prefix(&mount.root).ok()?))
        })
        .collect();
    let of = |mount: &Mount| {
        let (device, at) = &place.at;
        if mount.device == *device && mount.root.starts_with(at) {
            Some(Why::FileSystem)
        } else if shown.iter().any(|shown| mount.point.starts_with(shown)) {
            Some(Why::On)
        } else if place.point.is_some() && mount.point.starts_with(&place.path) {
            Some(Why::Path)
        } else if mount.device == *device && at.starts_with(&mount.root) {
            Some(Why::Around)
        } else {
            None
        }
    };
    mounts.iter().map(of).collect()
}

/// A path below another; the other where it is none.
fn joined(path: &Path, below: &Path) -> PathBuf {
    if below.as_os_str().is_empty() { path.to_owned() } else { path.join(below) }
}

/// On which device a path is, and where inside of its file system.
fn place_of(path: &Path, mounts: &[Mount]) -> Option<((u32, u32), PathBuf)> {
    let seen = mounts.iter().filter(|mount| mount.hidden_by.is_none() && path.starts_with(&mount.point));
    let mount = seen.max_by_key(|mount| mount.point.as_os_str().as_bytes().len())?;
    let rest = path.strip_prefix(&mount.point).ok()?;
    Some((mount.device, joined(&mount.root, rest)))
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
    fn a_mount_holds_a_path_through_the_bind_that_shows_it() {
        let there = parse(
            b"1 0 9:1 / / rw - ext4 /dev/sdb1 rw\n\
            2 1 8:1 / /host rw - ext4 /dev/sda1 rw\n\
            3 2 0:9 / /host/srv/x rw - tmpfs left rw\n\
            4 1 8:1 /srv/x /mine rw - ext4 /dev/sda1 rw\n\
            5 1 0:10 / /srv/x/y rw - tmpfs namesake rw\n",
        );
        let at = ((8, 1), PathBuf::from("/srv/x"));
        let place = Place { path: PathBuf::from("/srv/x"), at: at.clone(), point: Some(at) };
        let expected = [None, Some(Why::Around), Some(Why::On), Some(Why::FileSystem), Some(Why::Path)];
        assert_eq!(whys(&place, &there), expected);
    }

    #[test]
    fn a_path_is_placed_inside_its_file_system() {
        let mounts = parse(TEXT);
        assert_eq!(place_of(Path::new("/mnt/x"), &mounts), Some(((8, 1), PathBuf::from("/srv/a b/x"))));
        assert_eq!(place_of(Path::new("/data/y"), &mounts), Some(((0, 7), PathBuf::from("/y"))));
    }
}
