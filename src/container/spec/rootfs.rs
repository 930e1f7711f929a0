//! What a configuration says of the root, in the terms of [`crate::mount`].

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use oci_spec::runtime::{LinuxDeviceType, LinuxIdMapping, Mount as SpecMount, Spec};
use rustix::fs::{FileType, Mode, OFlags};

use crate::container::spec::bundle::{Bundle, namespaces};
use crate::error::{Attempt, Error, Result};
use crate::mount::rootfs::{Device, Hierarchy, Mount, Pivot, Rootfs, Source};
use crate::mount::{Options, Propagation, apply};
use crate::namespace::{Kind, idmap};

/// What mounts of type cgroup are to show.
#[derive(Clone, Debug, Default)]
pub struct CgroupView {
    /// The v1 hierarchies; `None` on a machine of v2 alone.
    pub hierarchies: Option<Vec<Hierarchy>>,
    /// The v2 tree, if the host has it mounted.
    pub unified: Option<Unified>,
}

/// How the v2 tree is shown.
#[derive(Clone, Debug)]
pub enum Unified {
    /// Mounted anew, with the container's folder on the host for who may not.
    New(PathBuf),
    /// As it is mounted here on the host. In the runtime's own cgroup namespace a new mount would show the same, and would
    /// take the host's mount options (nsdelegate, memory_recursiveprot) away: they are the whole tree's.
    Bound(PathBuf),
}

impl CgroupView {
    /// What a mount of the type `fstype` shows; `None` where that is like any other file system.
    fn source(&self, fstype: &str) -> Option<Source> {
        match (fstype, &self.hierarchies, &self.unified) {
            ("cgroup", Some(hierarchies), _) => Some(Source::CgroupV1(hierarchies.clone())),
            ("cgroup" | "cgroup2", _, Some(Unified::New(fallback))) => {
                Some(Source::CgroupV2 { fallback: fallback.clone() })
            }
            ("cgroup" | "cgroup2", _, Some(Unified::Bound(tree))) => Some(Source::CgroupV2Bound(tree.clone())),
            _ => None,
        }
    }
}

/// Devices that every container has: name, major, minor; runtime-spec, "Default Devices".
const DEFAULT_DEVICES: [(&str, u32, u32); 6] =
    [("null", 1, 3), ("random", 1, 8), ("full", 1, 7), ("tty", 5, 0), ("zero", 1, 5), ("urandom", 1, 9)];

/// Plans the root of a bundle.
///
/// `clone_sources`: a new user namespace may keep the child from opening the sources of bind mounts, so they are cloned
/// here, by the runtime.
///
/// # Errors
/// Which mount or device is not valid.
pub fn plan(bundle: &Bundle, no_pivot: bool, cgroup: &CgroupView, clone_sources: bool) -> Result<Rootfs> {
    let spec = &bundle.config.spec;
    let path = bundle.root()?;
    let linux = spec.linux().as_ref();
    let own_mounts = namespaces(spec).any(|(kind, _)| kind == Kind::Mount);
    let has_userns = namespaces(spec).any(|(kind, _)| kind == Kind::User);
    let propagation =
        match linux.and_then(|linux| linux.rootfs_propagation().as_deref()).filter(|name| !name.is_empty()) {
            None => None,
            Some(name) => Some(
                Propagation::from_name(name)
                    .ok_or_else(|| Error::invalid(format!("rootfsPropagation={name} is not supported")))?,
            ),
        };
    let mut mounts = Vec::new();
    for mount in spec.mounts().iter().flatten() {
        let planned = plan_mount(mount, bundle, &path, cgroup, clone_sources)
            .attempt(|| format!("mount on {}", mount.destination().display()))?;
        mounts.push(planned);
    }
    // Whoever binds the host's /dev wants it as it is.
    let host_dev = mounts
        .iter()
        .any(|mount| mount.target == Path::new("/dev") && matches!(mount.source, Source::Bind(_) | Source::Cloned(_)));
    let devices = if host_dev { Vec::new() } else { devices(spec)? };
    let paths = |list: Option<&Vec<String>>| {
        let mut paths: Vec<PathBuf> = Vec::with_capacity(list.map_or(0, Vec::len));
        for path in list.into_iter().flatten().map(|path| absolute(Path::new(path))) {
            if !paths.contains(&path) {
                paths.push(path);
            }
        }
        paths
    };
    let masked = paths(linux.and_then(|linux| linux.masked_paths().as_ref()));
    let mut readonly_paths = paths(linux.and_then(|linux| linux.readonly_paths().as_ref()));
    // What is mounted over the root hides nothing from a process that is in the root already.
    let is_root = |path: &PathBuf| path == Path::new("/");
    if masked.iter().any(is_root) {
        return Err(Error::invalid("linux.maskedPaths: / is the container's root, which cannot be masked"));
    }
    let is_readonly = readonly_paths.extract_if(.., |path| is_root(path)).count() > 0;
    Ok(Rootfs {
        path,
        readonly: is_readonly || spec.root().as_ref().and_then(|root| root.readonly()).unwrap_or(false),
        propagation,
        mounts,
        devices,
        bind_devices: has_userns,
        populate_dev: !host_dev && own_mounts,
        masked,
        readonly_paths,
        pivot: match (own_mounts, no_pivot) {
            (false, _) => Pivot::Chroot,
            (true, false) => Pivot::PivotRoot,
            (true, true) => Pivot::Move,
        },
        label: linux.and_then(|linux| linux.mount_label().clone()).filter(|label| !label.is_empty()),
    })
}

fn plan_mount(
    mount: &SpecMount,
    bundle: &Bundle,
    root: &Path,
    cgroup: &CgroupView,
    clone_sources: bool,
) -> Result<Mount> {
    let mut options = Options::parse(mount.options().as_deref().unwrap_or_default())?;
    let fstype = mount.typ().as_deref().unwrap_or_default();
    let device = mount.source().as_ref().map(|source| source.display().to_string()).unwrap_or_default();
    if fstype == "bind" && options.bind.is_none() {
        options.bind = Some(false);
    }
    // runc takes a mount without a type, or with "none", for a bind when the options say so, and else for nothing known.
    let has_maps = mount.uid_mappings().is_some() || mount.gid_mappings().is_some();
    let mut idmap = None;
    if options.idmap.is_some() || has_maps {
        if options.bind.is_none() {
            return Err(Error::invalid("id-mapped mounts are only supported for bind-mounts"));
        }
        options.idmap.get_or_insert(false);
        idmap = Some(userns_of(mount, &bundle.config.spec)?);
    }
    let source = match fstype {
        _ if options.remount => Source::New { fstype: fstype.to_owned(), device },
        _ if options.bind.is_some() => {
            // The kernel has them for all mounts of a file system at once, and a bind mount leaves them as they are.
            options.filesystem.retain(|word| !Options::is_of_superblock(word));
            if !options.filesystem.is_empty() {
                return Err(Error::invalid(format!(
                    "bind mounts cannot have any filesystem-specific options applied: {}",
                    options.filesystem.join(",")
                )));
            }
            let source = mount.source().as_ref().ok_or_else(|| Error::invalid("a bind mount needs a source"))?;
            let source = bundle.path.join(source);
            // What is in the root may be of a mount before this one, which is not there yet.
            if (clone_sources || idmap.is_some()) && !source.starts_with(root) {
                let tree = match apply::clone_source(&source, &options) {
                    // Whoever is root of its user namespace alone has no say in its mount namespace; the child has its own.
                    Err(error) if error.errno() == Some(rustix::io::Errno::PERM) && idmap.is_none() => {
                        return planned(mount, root, fstype, Source::Bind(source), options, None);
                    }
                    cloned => cloned?,
                };
                if let Some(userns) = idmap.take() {
                    // A new user namespace would keep the child from that.
                    apply::map_ids(tree.as_fd(), options.idmap == Some(true), userns.as_fd())?;
                }
                if clone_sources {
                    // The host's peer group must not come along: the container's user namespace could not leave it.
                    apply::set_propagation(tree.as_fd(), Propagation::Slave, true)
                        .attempt(|| "cut the mount off from the host")?;
                }
                Source::Cloned(tree)
            } else {
                Source::Bind(source)
            }
        }
        "" | "none" => return Err(Error::invalid("it has no type and is no bind mount")),
        _ => match cgroup.source(fstype) {
            Some(source) => {
                if !matches!(source, Source::CgroupV1(_)) {
                    // Of the v2 tree they are the host's to choose.
                    options.filesystem.clear();
                }
                source
            }
            None => Source::New { fstype: fstype.to_owned(), device },
        },
    };
    planned(mount, root, fstype, source, options, idmap)
}

/// `mount` in its place.
fn planned(
    mount: &SpecMount,
    root: &Path,
    fstype: &str,
    source: Source,
    options: Options,
    idmap: Option<OwnedFd>,
) -> Result<Mount> {
    // runc takes a destination that begins with the root's own path for one in it.
    let target = absolute(mount.destination().strip_prefix(root).unwrap_or(mount.destination()));
    check_proc(&target, fstype)?;
    Ok(Mount { target, source, options, idmap })
}

/// What is below /proc tells programs, and this runtime, what is true: a mount may only stand in for some files there that
/// tools such as lxcfs virtualise, and for /proc itself only a procfs.
fn check_proc(target: &Path, fstype: &str) -> Result<()> {
    const ALLOWED: [&str; 11] = [
        "cpuinfo",
        "diskstats",
        "meminfo",
        "stat",
        "swaps",
        "uptime",
        "loadavg",
        "slabinfo",
        "net/dev",
        "sys/kernel/ns_last_pid",
        "sys/crypto/fips_enabled",
    ];
    let Ok(below) = target.strip_prefix("/proc") else { return Ok(()) };
    if below.as_os_str().is_empty() {
        return match fstype {
            "proc" => Ok(()),
            // A bind of another procfs is one, too; what it is shows when it is opened.
            "bind" | "none" | "" => Ok(()),
            other => Err(Error::invalid(format!("/proc cannot be a file system of type {other}"))),
        };
    }
    if ALLOWED.iter().any(|allowed| below == Path::new(allowed)) {
        return Ok(());
    }
    Err(Error::invalid(format!("{} cannot be mounted because it is inside /proc", target.display())))
}

/// The user namespace for an id-mapped mount: of its own maps, else of the container's.
fn userns_of(mount: &SpecMount, spec: &Spec) -> Result<OwnedFd> {
    let linux = spec.linux().as_ref();
    let given = |maps: Option<&'_ Vec<LinuxIdMapping>>| maps.is_some_and(|maps| !maps.is_empty());
    let (users, groups) = (mount.uid_mappings().as_ref(), mount.gid_mappings().as_ref());
    let (users, groups) = match (given(users), given(groups)) {
        (false, false) => (
            linux.and_then(|linux| linux.uid_mappings().as_ref()),
            linux.and_then(|linux| linux.gid_mappings().as_ref()),
        ),
        // One alone does not take the other from the container.
        (has_users, has_groups) => (users.filter(|_| has_users), groups.filter(|_| has_groups)),
    };
    if let (None, None, Some(path)) = (users, groups, joined_userns(spec)) {
        return rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
            .attempt(|| format!("open {}", path.display()));
    }
    let (Some(users), Some(groups)) = (users, groups) else {
        return Err(Error::invalid("id-mapped mounts must have both uid and gid mappings specified"));
    };
    idmap::user_namespace(&ranges(users), &ranges(groups)).map_err(|error| {
        let why = if error.is_denied() { "id-mapped mounts need privilege over the ids: " } else { "" };
        error.context(format!("{why}make the user namespace of an id-mapped mount"))
    })
}

/// The user namespace that the container joins.
fn joined_userns(spec: &Spec) -> Option<&Path> {
    namespaces(spec).find(|(kind, _)| *kind == Kind::User).and_then(|(_, path)| path)
}

/// Id maps as the kernel's terms have them.
pub fn ranges(mappings: &[LinuxIdMapping]) -> Vec<idmap::Range> {
    mappings
        .iter()
        .map(|mapping| idmap::Range {
            inside: mapping.container_id(),
            outside: mapping.host_id(),
            count: mapping.size(),
        })
        .collect()
}

fn devices(spec: &Spec) -> Result<Vec<Device>> {
    let mut devices: Vec<Device> = DEFAULT_DEVICES
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
        .collect();
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
        // What the configuration says of a default device holds.
        devices.retain(|other| other.path != planned.path);
        devices.push(planned);
    }
    Ok(devices)
}

/// A path of the container from its root, without `.` and `..`.
fn absolute(path: &Path) -> PathBuf {
    let mut absolute = PathBuf::from("/");
    for component in path.components() {
        match component {
            Component::Normal(name) => absolute.push(name),
            Component::ParentDir => {
                absolute.pop();
            }
            _ => {}
        }
    }
    absolute
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_of_the_container_cannot_climb_out_of_it() {
        assert_eq!(absolute(Path::new("../../etc/./x")), Path::new("/etc/x"));
        assert_eq!(absolute(Path::new("relative")), Path::new("/relative"));
        assert_eq!(absolute(Path::new("/..")), Path::new("/"));
    }
}
