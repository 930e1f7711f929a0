//! Where a container's cgroup is, on every layout of hierarchies.

use std::fs;
use std::path::{Path, PathBuf};

use super::Container;

/// How the machine mounts cgroups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hierarchy {
    /// One hierarchy a controller, with or without a version 2 hierarchy beside them.
    V1,
    /// Version 2 alone.
    V2,
}

/// The machine's.
pub(crate) fn hierarchy() -> Hierarchy {
    if Path::new("/sys/fs/cgroup/cgroup.controllers").exists() { Hierarchy::V2 } else { Hierarchy::V1 }
}

/// Whether systemd runs the machine and its version 2 hierarchy.
pub(crate) fn has_systemd() -> bool {
    hierarchy() == Hierarchy::V2 && Path::new("/run/systemd/private").exists()
}

/// The folder of the cgroup of the process `pid` for a controller.
#[track_caller]
pub(crate) fn cgroup_dir(pid: i32, controller: &str) -> PathBuf {
    let table = fs::read_to_string(format!("/proc/{pid}/cgroup")).expect("read the process's cgroups");
    let wanted = if hierarchy() == Hierarchy::V2 { "" } else { controller };
    let path = table
        .lines()
        .filter_map(|line| line.splitn(3, ':').skip(1).collect::<Vec<_>>().try_into().ok())
        .find_map(|[controllers, path]: [&str; 2]| controllers.split(',').any(|name| name == wanted).then_some(path))
        .unwrap_or_else(|| panic!("no hierarchy of {controller} in {table}"));
    let mount = match hierarchy() {
        Hierarchy::V2 => PathBuf::from("/sys/fs/cgroup"),
        Hierarchy::V1 => Path::new("/sys/fs/cgroup").join(controller),
    };
    mount.join(path.trim_start_matches('/'))
}

impl Container {
    /// A value of the running container's cgroup, by the names of its file on v1 and on v2.
    #[track_caller]
    pub(crate) fn cgroup_value(&self, controller: &str, v1: &str, v2: &str) -> String {
        let name = if hierarchy() == Hierarchy::V2 { v2 } else { v1 };
        let file = cgroup_dir(self.pid(), controller).join(name);
        let value = fs::read_to_string(&file).unwrap_or_else(|error| panic!("read {}: {error}", file.display()));
        value.trim().to_owned()
    }
}

/// Whether containers can have a controller on this machine.
pub(crate) fn has_controller(controller: &str) -> bool {
    match hierarchy() {
        Hierarchy::V1 => Path::new("/sys/fs/cgroup").join(controller).join("cgroup.procs").exists(),
        Hierarchy::V2 => fs::read_to_string("/sys/fs/cgroup/cgroup.controllers")
            .is_ok_and(|names| names.split_whitespace().any(|name| name == controller)),
    }
}
