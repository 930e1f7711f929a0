//! The devices of a configuration.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use oci_spec::runtime::{LinuxDeviceType, Spec};
use rustix::fs::FileType;

use super::absolute;
use crate::error::{Error, Result};
use crate::mount::rootfs::Device;

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
