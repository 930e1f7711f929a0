//! Whose a process is, and what its engine knows of it: by its cgroups, and by the shim or conmon above it.

use std::path::PathBuf;

use super::container::{Container, Engine};
use super::folders::json;
use super::{cgroup, config, containerd, docker, lxc, podman};
use crate::inspect::proc;

/// How far up a process's ancestors are followed.
pub(super) const ANCESTORS: usize = 32;

/// Reads what the engine keeps about the container, led there by the parent of one of its processes where possible.
pub(super) fn enrich(container: &mut Container, member: Option<i32>) {
    if let Some(pid) = member.or(container.pid) {
        follow_parent(container, pid);
    }
    match container.engine {
        Engine::Docker => docker::complete(container),
        Engine::Containerd => containerd::complete(container),
        Engine::Podman | Engine::Crio => podman::complete(container),
        Engine::Lxc => lxc::complete(container),
        _ => {}
    }
    let read = |path: &PathBuf| json(path);
    let bundle = container.bundle.as_ref().map(|bundle| bundle.join("config.json"));
    // The runtime's own copy is what holds, where it keeps one: the bundle may have been changed since.
    if let Some(found) = container.config.as_ref().and_then(read).or_else(|| bundle.as_ref().and_then(read)) {
        config::read(container, &found);
    }
}

/// Whose a process is.
pub(super) struct Owner {
    /// The container that it is in.
    pub(super) container: Option<Container>,
    /// Whether what is said holds for everything in the process's cgroups.
    pub(super) has_cgroups: bool,
}

/// Finds out whose the process in these cgroups is. `None` where it ended meanwhile: then its cgroups' owner is still
/// unknown.
pub(super) fn of(pid: i32, cgroups: &[u8]) -> Option<Owner> {
    let named = cgroup::identify(cgroups);
    let is_vague = named.as_ref().is_none_or(|container| container.engine == Engine::Systemd);
    if !is_vague || !cgroup::is_below_root(cgroups) {
        return Some(Owner { container: named, has_cgroups: true });
    }
    // Such as that of ctr, whose name says nothing: by the shim or conmon above it. The first process that is met need
    // not be the container's first: pids begin anew at the lowest.
    let mut at = pid;
    let mut parent = proc::parent(pid)?;
    for _ in 0..ANCESTORS {
        if parent <= 1 {
            break;
        }
        let (above, name) = proc::Stat::read_named(parent)?;
        let container = if name.starts_with("containerd-shim") {
            containerd::identify(parent, at, cgroups)
        } else if name.starts_with("conmon") {
            podman::identify(parent)
        } else {
            (at, parent) = (parent, above.parent);
            continue;
        };
        // What an engine runs beside its containers, and a container without cgroups of its own, are where the engine is.
        let has_cgroups = cgroup::of(parent)? != cgroups;
        return Some(Owner { container: container.or(named), has_cgroups });
    }
    Some(Owner { container: named, has_cgroups: true })
}

/// A container's first process is a child of its shim or of conmon, and these know the bundle.
fn follow_parent(container: &mut Container, member: i32) {
    let mut pid = member;
    let Some(mut parent) = proc::parent(pid) else { return };
    for _ in 0..ANCESTORS {
        let Some((above, name)) = Some(parent).filter(|&parent| parent > 1).and_then(proc::Stat::read_named) else {
            return;
        };
        if name.starts_with("containerd-shim") {
            container.pid = Some(pid);
            return containerd::follow_shim(container, parent);
        }
        if name.starts_with("conmon") {
            container.pid = Some(pid);
            return podman::follow_conmon(container, parent);
        }
        (pid, parent) = (parent, above.parent);
    }
}
