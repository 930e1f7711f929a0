//! What a configuration says of the root, in the terms of [`crate::mount`].

mod device;
mod idmap_option;
mod ids;
mod mount;

use std::collections::{HashMap, HashSet};
use std::path::{Component, Path, PathBuf};

use oci_spec::runtime::Spec;
use rustix::process::{Resource, Rlimit};

use crate::container::spec::bundle::Bundle;
use crate::container::spec::hooks::Point;
use crate::container::spec::properties::namespaces;
use crate::error::{Attempt, Error, Result};
use crate::mount::Propagation;
use crate::mount::rootfs::{Hierarchy, Mount, Pivot, Rootfs, Source};
use crate::namespace::Kind;
use ids::UserNamespaces;
pub use ids::ranges;
use mount::Planner;

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
    let user_namespaces = UserNamespaces::of(spec);
    let mut planner = Planner { bundle, root: &path, cgroup, clone_sources, user_namespaces };
    let mut mounts = Vec::with_capacity(spec.mounts().as_ref().map_or(0, Vec::len));
    for mount in spec.mounts().iter().flatten() {
        mounts.push(planner.plan(mount).attempt(|| format!("mount on {}", mount.destination().display()))?);
    }
    // Whoever binds the host's /dev wants it as it is.
    let host_dev = mounts.iter().any(|mount| {
        mount.target == Path::new("/dev") && matches!(mount.source, Source::Bind(_) | Source::Cloned { .. })
    });
    let devices = if host_dev { Vec::new() } else { device::plan(spec)? };
    let made_devices = if clone_sources { device::make_nodes(spec, &devices)? } else { HashMap::new() };
    let paths = |list: Option<&Vec<String>>| {
        let mut seen = HashSet::new();
        let mut paths: Vec<PathBuf> = list.into_iter().flatten().map(|path| absolute(Path::new(path))).collect();
        paths.retain(|path| seen.insert(path.clone()));
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
    let pivot = match (own_mounts, no_pivot) {
        (false, _) => Pivot::Chroot,
        (true, false) => Pivot::PivotRoot,
        (true, true) => Pivot::Move,
    };
    let alone = pivot == Pivot::PivotRoot && may_be_alone(spec, &path, propagation, &mounts);
    Ok(Rootfs {
        path,
        readonly: is_readonly || spec.root().as_ref().and_then(|root| root.readonly()).unwrap_or(false),
        propagation,
        mounts,
        devices,
        bind_devices: has_userns,
        made_devices,
        populate_dev: !host_dev && own_mounts,
        masked,
        readonly_paths,
        parent_maps_ids: clone_sources,
        pivot,
        alone,
        label: linux.and_then(|linux| linux.mount_label().clone()).filter(|label| !label.is_empty()),
    })
}

/// Whether the root may be built in a mount namespace that begins with nothing else. Not where somebody looks at the host's
/// mounts in it, as hooks do before pivot_root(2); nor in a user namespace, where the kernel lets nobody mount a procfs or sysfs
/// who does not see the host's; nor where mounts show what others have put below the root's place on the host.
fn may_be_alone(spec: &Spec, root: &Path, propagation: Option<(Propagation, bool)>, mounts: &[Mount]) -> bool {
    let is_new = |kind| namespaces(spec).any(|(listed, path)| listed == kind && path.is_none());
    let looks_at_host = [Point::Prestart, Point::CreateRuntime, Point::CreateContainer];
    let needs_host = |mount: &Mount| match &mount.source {
        Source::Bind(path) => mount.options.copy_symlink || path.starts_with(root) || root.starts_with(path),
        Source::CgroupV1(_) => true,
        Source::New { .. } | Source::Cloned { .. } | Source::CgroupV2 { .. } | Source::CgroupV2Bound(_) => false,
    };
    is_new(Kind::Mount)
        && !namespaces(spec).any(|(kind, _)| kind == Kind::User)
        && looks_at_host.iter().all(|point| point.hooks(spec).is_empty())
        && matches!(propagation, None | Some((Propagation::Slave, true)))
        && !mounts.iter().any(needs_host)
}

/// Lets this process have more descriptors than its soft limit, when the configuration has so many mounts that it may need
/// them: the runtime holds a descriptor of each source that it clones. Returns the limit to go back to.
///
/// # Errors
/// As setrlimit(2).
pub fn make_room(spec: &Spec) -> Result<Option<Rlimit>> {
    /// What else the runtime has open, and its child.
    const OTHERS: u64 = 256;
    let mounts = spec.mounts().as_ref().map_or(0, Vec::len) as u64;
    if mounts < OTHERS / 2 {
        return Ok(None);
    }
    let needed = mounts + OTHERS;
    let limit = rustix::process::getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= needed) {
        return Ok(None);
    }
    let current = Some(limit.maximum.map_or(needed, |most| most.min(needed)));
    rustix::process::setrlimit(Resource::Nofile, Rlimit { current, ..limit })
        .attempt(|| format!("allow this process {needed} file descriptors"))?;
    Ok(Some(limit))
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
