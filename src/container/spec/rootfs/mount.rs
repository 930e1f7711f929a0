//! The mounts of a configuration.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::rc::Rc;

use oci_spec::runtime::Mount as SpecMount;

use super::idmap_option::IdMap;
use super::ids::UserNamespaces;
use super::{CgroupView, absolute};
use crate::container::spec::bundle::Bundle;
use crate::error::{Attempt, Error, Result};
use crate::mount::apply::Locked;
use crate::mount::rootfs::{Mount, Source};
use crate::mount::{Options, Propagation, apply};

/// What the mounts of a configuration are planned with.
pub(super) struct Planner<'a> {
    pub(super) bundle: &'a Bundle,
    /// The container's root on the host.
    pub(super) root: &'a Path,
    pub(super) cgroup: &'a CgroupView,
    /// Sources of bind mounts are cloned here, by the runtime.
    pub(super) clone_sources: bool,
    pub(super) user_namespaces: UserNamespaces<'a>,
}

impl Planner<'_> {
    /// One of them.
    ///
    /// # Errors
    /// What of it is not valid, or why its source cannot be cloned.
    pub(super) fn plan(&mut self, mount: &SpecMount) -> Result<Mount> {
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
            let maps = options.idmap_ids.as_deref().map(IdMap::parse).transpose()?;
            idmap = Some(self.user_namespaces.for_mount(mount, maps.as_ref())?);
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
                let source = self.bundle.path.join(source);
                // What is in the root may be of a mount before this one, which is not there yet.
                if (self.clone_sources || idmap.is_some()) && !source.starts_with(self.root) {
                    let tree = match apply::clone_source(&source, &options) {
                        // Whoever is root of its user namespace alone has no say in its mount namespace; the child has its own.
                        Err(error) if error.errno() == Some(rustix::io::Errno::PERM) && idmap.is_none() => {
                            return planned(mount, self.root, fstype, Source::Bind(source), options, None);
                        }
                        cloned => cloned?,
                    };
                    if let Some(userns) = idmap.take() {
                        // A new user namespace would keep the child from that.
                        apply::map_ids(tree.as_fd(), options.idmap == Some(true), userns.as_fd())?;
                    }
                    if self.clone_sources {
                        // The host's peer group must not come along: the container's user namespace could not leave it.
                        apply::set_propagation(tree.as_fd(), Propagation::Slave, true)
                            .attempt(|| "cut the mount off from the host")?;
                    }
                    Source::Cloned { tree, locked: if self.clone_sources { Locked::Wholly } else { Locked::ByKernel } }
                } else {
                    Source::Bind(source)
                }
            }
            "" | "none" => return Err(Error::invalid("it has no type and is no bind mount")),
            _ => match self.cgroup.source(fstype) {
                Some(source) => {
                    if !matches!(source, Source::CgroupV1(_)) {
                        if let Some(unknown) = options.filesystem.iter().find(|word| !is_of_cgroup2(word)) {
                            return Err(Error::invalid(format!("a cgroup2 mount has no option {unknown:?}")));
                        }
                        // Of the v2 tree they are the host's to choose.
                        options.filesystem.clear();
                    }
                    source
                }
                None => Source::New { fstype: fstype.to_owned(), device },
            },
        };
        planned(mount, self.root, fstype, source, options, idmap)
    }
}

/// Whether the cgroup v2 file system has this option, or engines write it for one of v1.
fn is_of_cgroup2(word: &str) -> bool {
    matches!(
        word,
        "nsdelegate"
            | "favordynmods"
            | "nofavordynmods"
            | "memory_localevents"
            | "memory_recursiveprot"
            | "memory_hugetlb_accounting"
            | "pids_localevents"
            | "none"
            | "xattr"
            | "clone_children"
            | "noprefix"
    ) || word.starts_with("name=")
        || Options::is_of_superblock(word)
}

/// `mount` in its place.
fn planned(
    mount: &SpecMount,
    root: &Path,
    fstype: &str,
    source: Source,
    options: Options,
    idmap: Option<Rc<OwnedFd>>,
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
