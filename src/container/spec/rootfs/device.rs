//! The devices of a configuration.

use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use oci_spec::runtime::{LinuxDeviceType, Spec};
use rustix::fs::{AtFlags, FileType, Gid, Mode, Uid};
use rustix::io::Errno;

use super::{absolute, ranges};
use crate::error::{Attempt, Error, Result};
use crate::mount::apply::{clone_tree, new_filesystem};
use crate::mount::rootfs::Device;
use crate::namespace::idmap::{Range, outside};

/// Devices that every container has: name, major, minor; runtime-spec, "Default Devices".
const DEFAULT_DEVICES: [(&str, u32, u32); 6] =
    [("null", 1, 3), ("random", 1, 8), ("full", 1, 7), ("tty", 5, 0), ("zero", 1, 5), ("urandom", 1, 9)];

/// Those that every container has, and those that its configuration lists.
///
/// # Errors
/// For a number or type that no device has.
pub(super) fn plan(spec: &Spec) -> Result<Vec<Device>> {
    let mut devices: Vec<Option<Device>> = DEFAULT_DEVICES
        .iter()
        .map(|(name, major, minor)| Device {
            path: Path::new("/dev").join(name),
            file_type: FileType::CharacterDevice,
            major: *major,
            minor: *minor,
            mode: 0o666,
            uid: 0,
            gid: 0,
        })
        .map(Some)
        .collect();
    let place = |(at, device): (usize, &Option<Device>)| Some((device.as_ref()?.path.clone(), at));
    let mut places: HashMap<PathBuf, usize> = devices.iter().enumerate().filter_map(place).collect();
    for device in spec.linux().iter().flat_map(|linux| linux.devices().iter().flatten()) {
        let path = absolute(device.path());
        if path == Path::new("/dev/ptmx") {
            // It is the container's own devpts' (as runc).
            continue;
        }
        let number = |what, value: i64| {
            u32::try_from(value).map_err(|_| {
                Error::invalid(format!("device {}: {what} number {value} is out of range", path.display()))
            })
        };
        let file_type = match device.typ() {
            LinuxDeviceType::B => FileType::BlockDevice,
            LinuxDeviceType::C | LinuxDeviceType::U => FileType::CharacterDevice,
            LinuxDeviceType::P => FileType::Fifo,
            LinuxDeviceType::A => {
                return Err(Error::invalid(format!("device {}: type a is only for cgroup rules", path.display())));
            }
        };
        let (major, minor) = if file_type == FileType::Fifo {
            (0, 0)
        } else {
            (number("major", device.major())?, number("minor", device.minor())?)
        };
        let planned = Device {
            file_type,
            major,
            minor,
            mode: device.file_mode().unwrap_or(0o666) & 0o7777,
            uid: device.uid().unwrap_or(0),
            gid: device.gid().unwrap_or(0),
            path,
        };
        // What the configuration says of a default device holds, and the last of what it says.
        if let Some(former) = places.insert(planned.path.clone(), devices.len()) {
            devices[former] = None;
        }
        devices.push(Some(planned));
    }
    Ok(devices.into_iter().flatten().collect())
}

/// Nodes for the devices of the configuration that the host has no equal node for, each a tree by itself that is mounted
/// nowhere: in a user namespace nobody may make one, and binding the host's would be another device, or with another mode and
/// owner. Made by a runtime with privilege; what this kernel does not let it make is missing (Linux 6.15 clones from a mount
/// that has no place).
///
/// # Errors
/// When a node cannot be made, and why.
pub(super) fn make_nodes(spec: &Spec, devices: &[Device]) -> Result<HashMap<PathBuf, OwnedFd>> {
    let mut nodes = HashMap::new();
    let linux = spec.linux().as_ref();
    let Some(listed) = linux.and_then(|linux| linux.devices().as_ref()).filter(|listed| !listed.is_empty()) else {
        return Ok(nodes);
    };
    let map = |maps: Option<&Vec<_>>| maps.map(|maps| ranges(maps)).unwrap_or_default();
    let users = map(linux.and_then(|linux| linux.uid_mappings().as_ref()));
    let groups = map(linux.and_then(|linux| linux.gid_mappings().as_ref()));
    let mut folder = None;
    for device in devices.iter().filter(|device| device.file_type != FileType::Fifo) {
        let own: Vec<_> = listed.iter().filter(|listed| absolute(listed.path()) == device.path).collect();
        let Some(listed) = own.last() else { continue };
        let owner = (listed.uid().map(|id| on_host(&users, id)), listed.gid().map(|id| on_host(&groups, id)));
        if is_like_the_hosts(device, listed.file_mode().is_some(), owner) {
            continue;
        }
        let folder = match &folder {
            Some(folder) => folder,
            None => folder.insert(new_filesystem("tmpfs", "devices", &["mode=700".to_owned()], 0)?),
        };
        let name = nodes.len().to_string();
        let what = || format!("make a node for device {}", device.path.display());
        match make_node(folder.as_fd(), &name, device, owner) {
            Ok(node) => nodes.insert(device.path.clone(), node),
            // An older kernel, or a runtime that is in a container itself: then the host's node must do.
            Err(Errno::INVAL | Errno::PERM) => return Ok(nodes),
            Err(errno) => return Err(errno).attempt(what),
        };
    }
    Ok(nodes)
}

/// An id of the container that is not mapped is nobody's.
fn on_host(map: &[Range], id: u32) -> u32 {
    const NOBODY: u32 = 65534;
    outside(map, id).unwrap_or(NOBODY)
}

/// Whether the host's node of the same path is the same device with the mode and owner that are asked for, if any are.
fn is_like_the_hosts(device: &Device, has_mode: bool, owner: (Option<u32>, Option<u32>)) -> bool {
    let Ok(there) = rustix::fs::stat(&device.path) else { return false };
    FileType::from_raw_mode(there.st_mode) == device.file_type
        && there.st_rdev == rustix::fs::makedev(device.major, device.minor)
        && (!has_mode || there.st_mode & 0o7777 == device.mode)
        && owner.0.is_none_or(|uid| there.st_uid == uid)
        && owner.1.is_none_or(|gid| there.st_gid == gid)
}

fn make_node(
    folder: BorrowedFd<'_>,
    name: &str,
    device: &Device,
    owner: (Option<u32>, Option<u32>),
) -> Result<OwnedFd, Errno> {
    let mode = Mode::from_raw_mode(device.mode);
    rustix::fs::mknodat(folder, name, device.file_type, mode, rustix::fs::makedev(device.major, device.minor))?;
    rustix::fs::chownat(
        folder,
        name,
        owner.0.map(Uid::from_raw),
        owner.1.map(Gid::from_raw),
        AtFlags::SYMLINK_NOFOLLOW,
    )?;
    // The umask took part in creation.
    rustix::fs::chmodat(folder, name, mode, AtFlags::empty())?;
    clone_tree(folder, Path::new(name), false, false)
}
