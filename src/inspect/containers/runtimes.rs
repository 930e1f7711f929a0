//! What OCI runtimes leave on disk: one folder a container below a root, with a state file in it.

use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
use serde_json::Value;

use super::container::{Container, Engine, State};
use super::folders::{Folders, text};
use crate::inspect::proc;

/// Where a runtime keeps its state, and for whom.
#[derive(Clone, Copy, Debug)]
pub struct Root {
    /// The folder. One whose name ends in `/*` stands for all folders in it.
    pub path: &'static str,
    /// Who started the runtime.
    pub engine: Engine,
}

const fn root(path: &'static str, engine: Engine) -> Root {
    Root { path, engine }
}

/// The roots of runtimes, by default and as engines set them.
pub const ROOTS: [Root; 9] = [
    root("/run/nskit", Engine::Nskit),
    root("/run/containerd/runc/moby", Engine::Docker),
    root("/run/docker/runtime-runc/moby", Engine::Docker),
    root("/run/docker/runtime-nskit/moby", Engine::Docker),
    root("/run/containerd/runc/*", Engine::Containerd),
    root("/run/containerd/nskit/moby", Engine::Docker),
    root("/run/containerd/nskit/*", Engine::Containerd),
    root("/run/runc", Engine::Runtime),
    root("/run/crun", Engine::Runtime),
];

/// Below the folder that each user has at run time: where a user's runtimes keep their state.
const OF_USERS: [(&str, Engine); 3] = [("nskit", Engine::Nskit), ("crun", Engine::Runtime), ("runc", Engine::Runtime)];

/// All containers below all roots, and below those of users.
pub(super) fn list(look: &mut Folders) -> Vec<Container> {
    let mut found = Vec::new();
    for (root, engine) in roots(look) {
        for folder in look.below(&root) {
            found.extend(read_below(look, &root, &folder, engine));
        }
    }
    found
}

/// The containers with these ids, below whichever root.
pub(super) fn called(ids: &[&str]) -> Vec<Container> {
    let mut look = Folders::default();
    let mut found = Vec::new();
    for (root, engine) in roots(&mut look).into_iter().filter(|(root, _)| root.exists()) {
        let folders = ids.iter().map(|id| root.join(id)).filter(|folder| folder.is_dir());
        let folders: Vec<PathBuf> = folders.collect();
        found.extend(folders.iter().filter_map(|folder| read_below(&mut look, &root, folder, engine)));
    }
    found
}

fn roots(look: &mut Folders) -> Vec<(PathBuf, Engine)> {
    let mut roots: Vec<(PathBuf, Engine)> = Vec::new();
    for root in ROOTS {
        match root.path.strip_suffix("/*") {
            Some(parent) => roots.extend(look.below(Path::new(parent)).into_iter().map(|folder| (folder, root.engine))),
            None => roots.push((root.path.into(), root.engine)),
        }
    }
    let mut homes = look.below(Path::new("/run/user"));
    let own = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|folder| folder.is_absolute());
    homes.extend(own.filter(|own| !homes.contains(own)));
    homes.retain(|home| !look.below(home).is_empty());
    roots.extend(homes.iter().flat_map(|home| OF_USERS.map(|(name, engine)| (home.join(name), engine))));
    roots
}

fn read_below(look: &mut Folders, root: &Path, folder: &Path, engine: Engine) -> Option<Container> {
    let mut container = read(look, folder, engine)?;
    if container.engine == Engine::Containerd {
        container.engine_namespace = root.file_name().map(|name| name.to_string_lossy().into_owned());
    }
    Some(container)
}

/// Reads the state of one container: runc's and ours are `state.json`, crun's is `status`.
fn read(look: &mut Folders, folder: &Path, engine: Engine) -> Option<Container> {
    let id = folder.file_name()?.to_string_lossy().into_owned();
    let mut container = Container::new(engine, id);
    if let Some(state) = look.json(folder, "state.json") {
        read_state(&mut container, &state);
        container.told = told(&state, container.pid, folder);
    } else {
        let status = look.json(folder, "status")?;
        container.pid = pid_of(&status["pid"], &status["process-start-time"]);
        container.bundle = text(&status["bundle"]).map(PathBuf::from);
        container.cgroups = Some(text(&status["cgroup-path"]).into_iter().collect());
        container.told = folder.join("exec.fifo").exists().then_some(State::Created);
    }
    container.config = Some(folder.join("config.json")).filter(|config| config.exists());
    Some(container)
}

/// Where a container is in its life, where its program does not run yet. Ours has a first process that has executed nothing
/// since it was forked, and waits at a socket or is on its way there; runc's is runc's, and waits at a FIFO.
fn told(state: &Value, pid: Option<i32>, folder: &Path) -> Option<State> {
    let is_ours = state["creator"].is_array();
    let Some(pid) = pid else {
        let creator = pid_of(&state["creator"][0], &state["creator"][1]).and_then(proc::Stat::read);
        let is_begun = state["init_process_pid"] == 0 && creator.is_some_and(|creator| !creator.is_zombie());
        return is_begun.then_some(State::Creating);
    };
    if !is_ours {
        return folder.join("exec.fifo").exists().then_some(State::Created);
    }
    let is_waiting = proc::Stat::read(pid).is_some_and(|init| init.is_forked_only()) && state["restored"] != true;
    is_waiting.then(|| if is_open(folder) { State::Created } else { State::Creating })
}

/// Whether the first process listens at its gate: the socket is there before it does. A connection that nothing is said on
/// does not start it.
fn is_open(folder: &Path) -> bool {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let Ok(folder) = rustix::fs::open(folder, flags, Mode::empty()) else { return false };
    // By its descriptor: paths of sockets are short.
    let path = format!("/proc/self/fd/{}/start.sock", folder.as_raw_fd());
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None);
    let (Ok(socket), Ok(address)) = (socket, SocketAddrUnix::new(path)) else { return false };
    // There is no room for one more, or that is not for the caller: but it is there.
    matches!(connect(&socket, &address), Ok(()) | Err(Errno::AGAIN | Errno::ACCESS))
}

fn read_state(container: &mut Container, state: &Value) {
    container.pid = pid_of(&state["init_process_pid"], &state["init_process_start"]);
    let labels = state["config"]["labels"].as_array().into_iter().flatten().filter_map(Value::as_str);
    container.bundle = labels.filter_map(|label| label.strip_prefix("bundle=")).next().map(PathBuf::from);
    if container.bundle.is_none() {
        container.bundle = text(&state["bundle"]).map(PathBuf::from);
    }
    let cgroups = state["cgroup_paths"].as_object().into_iter().flatten();
    container.cgroups = Some(cgroups.filter_map(|(_, path)| text(path)).collect());
}

/// The process with this pid, unless it is seen to have started at another time, in clock ticks after boot: state outlives
/// processes where a runtime was killed, and pids are used again.
fn pid_of(value: &Value, started: &Value) -> Option<i32> {
    let pid = value.as_i64().and_then(|pid| i32::try_from(pid).ok()).filter(|&pid| pid > 0)?;
    let started = started.as_u64().filter(|&ticks| ticks > 0);
    let is_other = started.is_some_and(|ticks| proc::started(pid).is_some_and(|actual| actual != ticks));
    (!is_other).then_some(pid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_with_runcs_names_tells_pid_and_bundle() {
        let state = serde_json::json!({
            "id": "a", "init_process_pid": 4_000_000,
            "config": {"labels": ["x=y", "bundle=/run/bundles/a"]}
        });
        let mut container = Container::new(Engine::Runtime, "a");
        read_state(&mut container, &state);
        assert_eq!(container.pid, Some(4_000_000));
        assert_eq!(container.bundle.as_deref(), Some(Path::new("/run/bundles/a")));
    }

    #[test]
    fn a_pid_that_was_used_again_is_not_the_containers() {
        let own = std::process::id();
        let started = proc::started(own as i32).unwrap();
        let pid = |started: u64| pid_of(&own.into(), &started.into());
        assert_eq!([pid(started), pid(0), pid(started + 1)], [Some(own as i32), Some(own as i32), None]);
    }
}
