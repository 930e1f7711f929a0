//! containerd: bundles in `STATE/io.containerd.runtime.v2.task/NAMESPACE/ID`, which the shim works in.

use std::fs;
use std::path::{Path, PathBuf};

use super::cgroup;
use super::container::{Container, Engine};

/// Where bundles are unless containerd is told otherwise.
const STATES: [&str; 3] = [
    "/run/containerd/io.containerd.runtime.v2.task",
    "/run/k3s/containerd/io.containerd.runtime.v2.task",
    "/run/docker/containerd/daemon/io.containerd.runtime.v2.task",
];

/// containerd's namespace for Docker's containers.
const DOCKER: &str = "moby";

/// Reads the bundle from where the shim `pid` works. One shim serves all containers of a pod, and works in the bundle
/// of the first.
pub(super) fn follow_shim(container: &mut Container, pid: i32) {
    let Ok(folder) = fs::read_link(format!("/proc/{pid}/cwd")) else { return };
    let Some(namespace) = folder.parent() else { return };
    if container.engine.is_bare() {
        container.engine = Engine::Containerd;
    }
    set_bundle(container, namespace);
    // Which child of the shim that is: others were brought in by `exec`.
    if let Some(init) = container.bundle.as_deref().and_then(init_of) {
        container.pid = Some(init);
    }
}

/// The first process of the container with this bundle.
fn init_of(bundle: &Path) -> Option<i32> {
    fs::read_to_string(bundle.join("init.pid")).ok()?.trim().parse().ok()
}

/// The container among those of the shim that a child of the shim is in: the bundle's `init.pid` names its first
/// process, which is the child, or shares its cgroups where the child was brought in by `exec`.
pub(super) fn identify(shim: i32, child: i32, cgroups: &[u8]) -> Option<Container> {
    let folder = fs::read_link(format!("/proc/{shim}/cwd")).ok()?;
    let bundles = fs::read_dir(folder.parent()?).ok()?.flatten();
    let is_it = |bundle: &fs::DirEntry| {
        let init = init_of(&bundle.path());
        init == Some(child) || init.and_then(cgroup::of).is_some_and(|theirs| theirs == cgroups)
    };
    let bundle = bundles.into_iter().find(is_it)?;
    Some(Container::new(Engine::Containerd, bundle.file_name().to_string_lossy()))
}

/// Looks for the bundle where it is by default.
pub(super) fn complete(container: &mut Container) {
    if container.bundle.is_some() {
        return;
    }
    for state in STATES {
        for namespace in fs::read_dir(state).into_iter().flatten().flatten() {
            set_bundle(container, &namespace.path());
        }
    }
}

fn set_bundle(container: &mut Container, namespace: &Path) {
    let bundle: PathBuf = namespace.join(&container.id);
    if !bundle.join("config.json").exists() {
        return;
    }
    let name = namespace.file_name().map(|name| name.to_string_lossy().into_owned());
    if name.as_deref() == Some(DOCKER) {
        container.engine = Engine::Docker;
    } else {
        container.engine_namespace = name;
    }
    container.bundle = Some(bundle);
}
