//! What a container uses, and whether it goes on: its cgroup tells.

use std::fs;
use std::path::{Path, PathBuf};

use super::container::{Container, State};
use crate::cgroup::{Controller, Layout, Location};
use crate::inspect::proc;

/// Where the hierarchies are mounted that tell of memory and of the freezer.
#[derive(Clone, Debug, Default)]
pub struct Hierarchies {
    memory: Option<PathBuf>,
    freezer: Option<PathBuf>,
    unified: Option<PathBuf>,
}

/// What a container uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Where the container is in its life.
    pub state: State,
    /// Memory that its cgroup is charged with, bytes, without files that can be dropped at any time: `memory.current` less
    /// `inactive_file`. `None` where it has no cgroup of its own, or that does not account for memory.
    pub memory: Option<u64>,
    /// When its first process started, in clock ticks after boot.
    pub started: Option<u64>,
}

impl Hierarchies {
    /// Finds them: some ten system calls.
    pub fn find() -> Hierarchies {
        let root = Location::new(Some(Path::new("/")), "");
        let places = Layout::detect().and_then(|layout| layout.places(&root)).unwrap_or_default();
        let of = |wanted: Controller| {
            places.iter().find(|place| place.controllers.contains(&wanted)).map(|place| place.mount.clone())
        };
        Hierarchies {
            memory: of(Controller::Memory),
            freezer: of(Controller::Freezer),
            unified: of(Controller::Unified),
        }
    }

    /// What the container uses, by the cgroups of its first process.
    pub fn usage(&self, container: &Container) -> Usage {
        let mut usage = Usage { state: container.state(), memory: None, started: None };
        let Some(pid) = container.pid else { return usage };
        let Some(stat) = proc::Stat::read(pid) else { return Usage { state: State::Stopped, ..usage } };
        usage.started = Some(stat.started);
        if stat.is_zombie() {
            return Usage { state: State::Stopped, ..usage };
        }
        if usage.state == State::Running && is_waiting(pid, stat) {
            usage.state = State::Created;
        }
        if !container.has_cgroup {
            return usage;
        }
        let text = proc::read_text(&format!("/proc/{pid}/cgroup")).unwrap_or_default();
        let folder = |controller: &str, mount: &Option<PathBuf>| folder(&text, controller, mount.as_deref()?);
        let unified = folder("", &self.unified);
        usage.memory = match folder("memory", &self.memory) {
            Some(folder) => charged(&folder, "memory.usage_in_bytes", "total_inactive_file"),
            None => unified.as_deref().and_then(|folder| charged(folder, "memory.current", "inactive_file")),
        };
        let is_frozen = match folder("freezer", &self.freezer) {
            Some(folder) => {
                fs::read_to_string(folder.join("freezer.state")).is_ok_and(|state| state.trim() == "FROZEN")
            }
            None => unified.is_some_and(|folder| field(&folder.join("cgroup.events"), "frozen") == Some(1)),
        };
        if is_frozen {
            usage.state = State::Paused;
        }
        usage
    }
}

/// Whether the process is that of a runtime still, which waits to be started: it has executed nothing since it was forked,
/// as what CRIU restored has not either, and has the runtime's image; or is runc's, which says so.
fn is_waiting(pid: i32, stat: proc::Stat) -> bool {
    const RUNTIMES: [&str; 3] = ["nskit", "crun", "youki"];
    if stat.is_forked_only() {
        let image = fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
        let name = image.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        return RUNTIMES.contains(&name.trim_end_matches(" (deleted)"));
    }
    fs::read(format!("/proc/{pid}/comm")).is_ok_and(|name| name.starts_with(b"runc:["))
}

/// The folder that the line of `/proc/PID/cgroup` with this controller names; that of the unified hierarchy has none.
fn folder(text: &str, controller: &str, mount: &Path) -> Option<PathBuf> {
    let path = text.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let mut controllers = fields.next()?.split(',');
        fields.next().filter(|path| controllers.any(|other| other == controller) && *path != "/")
    })?;
    // One outside of the caller's cgroup namespace is not below the mount.
    let below = path.strip_prefix('/').filter(|path| !path.starts_with(".."))?;
    Some(mount.join(below))
}

fn charged(folder: &Path, current: &str, droppable: &str) -> Option<u64> {
    let charged: u64 = fs::read_to_string(folder.join(current)).ok()?.trim().parse().ok()?;
    Some(charged.saturating_sub(field(&folder.join("memory.stat"), droppable).unwrap_or(0)))
}

/// The number behind a word, in a file of such lines.
fn field(file: &Path, name: &str) -> Option<u64> {
    let text = fs::read_to_string(file).ok()?;
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cgroup_is_below_the_mount_of_its_hierarchy() {
        let text = "9:name=systemd:/x\n4:cpu,memory:/docker/a\n0::/y\n";
        let mount = Path::new("/sys/fs/cgroup/memory");
        assert_eq!(folder(text, "memory", mount), Some(mount.join("docker/a")));
        assert_eq!(folder(text, "", mount), Some(mount.join("y")));
        assert_eq!(folder(text, "freezer", mount), None);
        assert_eq!(folder("4:memory:/../b\n3:freezer:/\n", "memory", mount), None);
        assert_eq!(folder("3:freezer:/\n", "freezer", mount), None);
    }
}
