//! Containers: their names, images and engines, from cgroup paths and what engines leave on disk. No daemon is asked.
//!
//! A process's cgroup path tells the engine and the id ([`cgroup`]). The rest is read where the engine keeps it: the
//! bundle below the shim's working directory, conmon's arguments, the state folders of runtimes ([`runtimes`]), and
//! the engines' own files ([`docker`], [`containerd`], [`podman`], [`lxc`]).

mod cgroup;
mod containerd;
mod docker;
mod lxc;
mod podman;
mod runtimes;

use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

pub use runtimes::ROOTS;

use super::discover::processes_of_proc;
use super::model::Gap;
use crate::error::{Errno, Error, Kind, Result, strerror};

/// What manages a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Engine {
    /// Docker.
    Docker,
    /// containerd, by ctr, nerdctl or Kubernetes.
    Containerd,
    /// Podman.
    Podman,
    /// cri-o.
    Crio,
    /// LXC or Incus.
    Lxc,
    /// A container by systemd-nspawn or another that systemd-machined knows.
    Machine,
    /// A unit of systemd, which is no container but has namespaces of its own.
    Systemd,
    /// Our own runtime, without an engine.
    Nskit,
    /// Another OCI runtime, without an engine.
    Runtime,
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Engine::Docker => "docker",
            Engine::Containerd => "containerd",
            Engine::Podman => "podman",
            Engine::Crio => "cri-o",
            Engine::Lxc => "lxc",
            Engine::Machine => "machine",
            Engine::Systemd => "systemd",
            Engine::Nskit => "nskit",
            Engine::Runtime => "runtime",
        })
    }
}

impl Engine {
    /// Whether it is only a runtime: whose containers are those of whatever engine else is found to have them.
    fn is_bare(self) -> bool {
        matches!(self, Engine::Nskit | Engine::Runtime)
    }
}

/// The Kubernetes pod that a container is part of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pod {
    /// The pod's name.
    pub name: String,
    /// The Kubernetes namespace.
    pub namespace: String,
}

/// A container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// What manages it.
    pub engine: Engine,
    /// The engine's id for it.
    pub id: String,
    /// The name that people gave it.
    pub name: Option<String>,
    /// The image that it was made from.
    pub image: Option<String>,
    /// Its Kubernetes pod.
    pub pod: Option<Pod>,
    /// containerd's namespace, which is no kernel's.
    pub engine_namespace: Option<String>,
    /// It is the pause container of its pod.
    pub is_sandbox: bool,
    /// Its first process, as this `/proc` numbers them, where it is known.
    pub pid: Option<i32>,
    /// The OCI bundle.
    pub bundle: Option<PathBuf>,
}

impl Container {
    fn new(engine: Engine, id: impl Into<String>) -> Container {
        Container {
            engine,
            id: id.into(),
            name: None,
            image: None,
            pod: None,
            engine_namespace: None,
            is_sandbox: false,
            pid: None,
            bundle: None,
        }
    }

    /// The id as engines' lists show it: twelve digits, of one that nobody typed.
    pub fn short_id(&self) -> &str {
        if self.id.len() == 64 && self.id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            &self.id[..12]
        } else {
            &self.id
        }
    }

    /// The name that a person would call it by: `pod/container`, the name, or the short id.
    pub fn title(&self) -> String {
        let name = match &self.name {
            Some(name) => name.as_str(),
            None if self.is_sandbox => "(sandbox)",
            None => self.short_id(),
        };
        match &self.pod {
            Some(pod) => format!("{}/{name}", pod.name),
            None => name.to_owned(),
        }
    }

    /// Whether `text` is one of its full names.
    fn is_called(&self, text: &str) -> bool {
        let in_pod = |pod: &Pod| {
            let title = self.title();
            text == title || text.strip_prefix(&pod.namespace).and_then(|rest| rest.strip_prefix('/')) == Some(&title)
        };
        self.id == text || self.name.as_deref() == Some(text) || self.pod.as_ref().is_some_and(in_pod)
    }

    /// Takes what `other`, found elsewhere, knows more.
    fn complete(&mut self, other: Container) {
        self.name = self.name.take().or(other.name);
        self.image = self.image.take().or(other.image);
        self.pod = self.pod.take().or(other.pod);
        self.engine_namespace = self.engine_namespace.take().or(other.engine_namespace);
        self.pid = self.pid.or(other.pid);
        self.bundle = self.bundle.take().or(other.bundle);
        self.is_sandbox |= other.is_sandbox;
        if self.engine.is_bare() {
            self.engine = self.engine.min(other.engine);
        }
    }
}

/// All containers that were found, and which processes are in them.
#[derive(Clone, Debug, Default)]
pub struct Inventory {
    /// In the order in which they were found.
    pub containers: Vec<Container>,
    /// Folders that engines and runtimes keep containers in, and that could not be read.
    pub gaps: Vec<Gap>,
    by_id: HashMap<String, usize>,
    by_cgroups: HashMap<Vec<u8>, Option<usize>>,
    /// Those that a session keyring tells of, by the path of their cgroup: ids are unique only below a runtime's root.
    by_place: HashMap<String, usize>,
    by_pid: HashMap<i32, usize>,
    /// Names of the session keyrings that OCI runtimes gave their containers: ids. Read when they are asked for.
    sessions: Option<Vec<String>>,
}

impl Inventory {
    /// What engines and runtimes have on disk in the places where they keep it by default.
    pub fn on_disk() -> Inventory {
        let mut inventory = Inventory::default();
        let mut folders = Folders::default();
        for list in [runtimes::list, podman::list, docker::list] {
            for found in list(&mut folders) {
                inventory.add(found);
            }
        }
        inventory.gaps.extend(folders.gap());
        for container in &mut inventory.containers {
            if container.pid.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()) {
                container.pid = None;
            }
            enrich(container, None);
        }
        inventory
    }

    /// What is on disk, and the containers of these processes.
    pub fn gather(pids: impl IntoIterator<Item = i32>) -> Inventory {
        let mut inventory = Inventory::on_disk();
        // The cgroup of a container's first process leads from the others to it, however the runtime names cgroups.
        for index in 0..inventory.containers.len() {
            let Some(pid) = inventory.containers[index].pid else { continue };
            inventory.by_pid.insert(pid, index);
            // But a container without a cgroup of its own is in that of whoever started it.
            let starter = parent_of(pid).and_then(cgroups_of);
            if let Some(cgroups) = cgroups_of(pid)
                && Some(&cgroups) != starter.as_ref()
                && cgroup::is_below_root(&cgroups)
            {
                inventory.by_cgroups.insert(cgroups, Some(index));
            }
        }
        for pid in pids {
            inventory.look(pid);
        }
        inventory
    }

    fn add(&mut self, container: Container) -> usize {
        if let Some(&index) = self.by_id.get(&container.id) {
            self.containers[index].complete(container);
            return index;
        }
        self.by_id.insert(container.id.clone(), self.containers.len());
        self.push(container)
    }

    fn push(&mut self, container: Container) -> usize {
        self.containers.push(container);
        self.containers.len() - 1
    }

    fn look(&mut self, pid: i32) {
        let Some(cgroups) = cgroups_of(pid) else { return };
        let index = match self.by_cgroups.get(&cgroups) {
            Some(&known) => known,
            None => {
                let Some(owner) = owner_of(pid, &cgroups) else { return };
                let found = match owner.container {
                    Some(container) => Some(self.add(of_member(container, pid))),
                    None => self.in_session(pid, &cgroups),
                };
                if owner.has_cgroups {
                    self.by_cgroups.insert(cgroups, found);
                }
                found
            }
        };
        if let Some(index) = index {
            self.by_pid.insert(pid, index);
        }
    }

    /// The container whose id is the name of a cgroup and of a session keyring: a runtime makes both, also where it is told
    /// to keep its state in a folder that nobody else knows.
    fn in_session(&mut self, pid: i32, cgroups: &[u8]) -> Option<usize> {
        let sessions = self.sessions.get_or_insert_with(sessions);
        let (container, place) = cgroup::identify_session(cgroups, sessions)?;
        if let Some(&index) = self.by_place.get(place) {
            return Some(index);
        }
        let is_here = |&index: &usize| {
            let theirs = self.containers[index].pid.and_then(cgroups_of);
            let theirs = theirs.as_deref().and_then(|theirs| cgroup::identify_session(theirs, sessions));
            theirs.is_none_or(|(_, theirs)| theirs == place)
        };
        let known = self.by_id.get(&container.id).copied();
        let index = match known {
            Some(index) if !is_here(&index) => self.push(of_member(container, pid)),
            _ => self.add(of_member(container, pid)),
        };
        self.by_place.insert(place.to_owned(), index);
        Some(index)
    }

    /// Whether session keyrings tell of more containers than these: of runtimes and engines that keep state in a folder that
    /// nobody else knows.
    fn is_all(&self) -> bool {
        sessions().iter().all(|id| self.by_id.contains_key(id))
    }

    /// The container that the process is in.
    pub fn of(&self, pid: i32) -> Option<&Container> {
        self.index_of(pid).map(|index| &self.containers[index])
    }

    /// Where the container that the process is in is in `containers`.
    pub fn index_of(&self, pid: i32) -> Option<usize> {
        self.by_pid.get(&pid).copied()
    }

    /// The container with this id, unique beginning of an id, or name (`NAME`, `POD/NAME`, `NAMESPACE/POD/NAME`).
    ///
    /// # Errors
    /// `NotFound` where there is none; `Invalid` where several fit, which the message names.
    pub fn find(&self, text: &str) -> Result<&Container> {
        let real = || self.containers.iter().filter(|container| container.engine != Engine::Systemd);
        let exact = || real().filter(|container| container.is_called(text));
        let prefix = || real().filter(|container| !text.is_empty() && container.id.starts_with(text));
        let unit = || self.containers.iter().filter(|container| container.id == text);
        let found: Vec<&Container> = [exact().collect(), prefix().collect(), unit().collect()]
            .into_iter()
            .find(|found: &Vec<_>| !found.is_empty())
            .unwrap_or_default();
        match found.as_slice() {
            [one] => Ok(one),
            [] if self.gaps.is_empty() => Err(Error::new(Kind::NotFound, format!("no container is called '{text}'"))),
            [] => {
                let gaps: Vec<String> = self.gaps.iter().map(ToString::to_string).collect();
                let message =
                    format!("no container is called '{text}' among those that can be seen; {}", gaps.join("; "));
                Err(Error::new(Kind::NotFound, message))
            }
            several => {
                let name = |container: &&Container| {
                    let pid = container.pid.map(|pid| format!(", process {pid}")).unwrap_or_default();
                    format!("{} {} ({}{pid})", container.engine, container.title(), container.short_id())
                };
                let names: Vec<String> = several.iter().map(name).collect();
                Err(Error::invalid(format!("'{text}' could be any of: {}", names.join(", "))))
            }
        }
    }
}

/// Finds a running container by id, unique beginning of an id, or name, and its first process.
///
/// What is on disk is looked at first; processes only where that does not tell, or is known not to be all.
///
/// # Errors
/// As [`Inventory::find`]; also `State` where the container has no process.
pub fn find(text: &str) -> Result<(Container, i32)> {
    let quick = Inventory::on_disk();
    if let Ok(container) = quick.find(text)
        && let Some(pid) = container.pid
        && quick.is_all()
    {
        return Ok((container.clone(), pid));
    }
    let inventory = Inventory::gather(processes_of_proc()?);
    let container = inventory.find(text)?;
    match container.pid {
        Some(pid) => Ok((container.clone(), pid)),
        None => Err(Error::new(Kind::State, format!("container {} is not running", container.title()))),
    }
}

/// Reads what engines keep, and remembers which folders may not be read.
#[derive(Default)]
struct Folders {
    refused: Vec<String>,
}

impl Folders {
    /// The folders in a folder; none where it is not there.
    fn below(&mut self, path: &Path) -> Vec<PathBuf> {
        match fs::read_dir(path) {
            Ok(entries) => entries
                .flatten()
                .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
                .map(|entry| entry.path())
                .collect(),
            Err(error) => {
                self.note(path, &error);
                Vec::new()
            }
        }
    }

    /// The content of a file in `folder`.
    fn json(&mut self, folder: &Path, name: &str) -> Option<Value> {
        let text = fs::read(folder.join(name)).inspect_err(|error| self.note(folder, error)).ok()?;
        serde_json::from_slice(&text).ok()
    }

    fn note(&mut self, folder: &Path, error: &std::io::Error) {
        let folder = folder.display().to_string();
        if error.kind() == std::io::ErrorKind::PermissionDenied && !self.refused.contains(&folder) {
            self.refused.push(folder);
        }
    }

    fn gap(&self) -> Option<Gap> {
        let what = format!("containers in {}", self.refused.join(", "));
        (!self.refused.is_empty()).then(|| Gap::whole(what, strerror(Errno::ACCESS)))
    }
}

/// Names of session keyrings that OCI runtimes gave containers.
fn sessions() -> Vec<String> {
    cgroup::sessions(&fs::read("/proc/keys").unwrap_or_default())
}

/// The container, with what is known of it by one of its processes.
fn of_member(mut container: Container, pid: i32) -> Container {
    container.pid = Some(pid);
    enrich(&mut container, Some(pid));
    container
}

fn cgroups_of(pid: i32) -> Option<Vec<u8>> {
    fs::read(format!("/proc/{pid}/cgroup")).ok()
}

/// Reads what the engine keeps about the container, led there by the parent of one of its processes where possible.
fn enrich(container: &mut Container, member: Option<i32>) {
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
    if let Some(config) = container.bundle.as_ref().and_then(|bundle| json(&bundle.join("config.json"))) {
        annotations(container, &config);
    }
}

/// Whose a process is.
struct Owner {
    /// The container that it is in.
    container: Option<Container>,
    /// Whether what is said holds for everything in the process's cgroups.
    has_cgroups: bool,
}

/// Finds out whose the process in these cgroups is. `None` where it ended meanwhile: then its cgroups' owner is still
/// unknown.
fn owner_of(pid: i32, cgroups: &[u8]) -> Option<Owner> {
    let named = cgroup::identify(cgroups);
    let is_vague = named.as_ref().is_none_or(|container| container.engine == Engine::Systemd);
    if !is_vague || !cgroup::is_below_root(cgroups) {
        return Some(Owner { container: named, has_cgroups: true });
    }
    // Such as that of ctr, whose name says nothing: by the shim or conmon above it. The first process that is met need
    // not be the container's first: pids begin anew at the lowest.
    let mut at = pid;
    for _ in 0..32 {
        let parent = parent_of(at)?;
        if parent <= 1 {
            break;
        }
        let name = fs::read_to_string(format!("/proc/{parent}/comm")).ok()?;
        let container = if name.starts_with("containerd-shim") {
            containerd::identify(parent, at, cgroups)
        } else if name.starts_with("conmon") {
            podman::identify(parent)
        } else {
            at = parent;
            continue;
        };
        // What an engine runs beside its containers, and a container without cgroups of its own, are where the engine is.
        let has_cgroups = cgroups_of(parent)? != cgroups;
        return Some(Owner { container: container.or(named), has_cgroups });
    }
    Some(Owner { container: named, has_cgroups: true })
}

/// A container's first process is a child of its shim or of conmon, and these know the bundle.
fn follow_parent(container: &mut Container, member: i32) {
    let mut pid = member;
    for _ in 0..32 {
        let Some(parent) = parent_of(pid).filter(|&parent| parent > 1) else { return };
        let name = fs::read_to_string(format!("/proc/{parent}/comm")).unwrap_or_default();
        if name.starts_with("containerd-shim") {
            container.pid = Some(pid);
            return containerd::follow_shim(container, parent);
        }
        if name.starts_with("conmon") {
            container.pid = Some(pid);
            return podman::follow_conmon(container, parent);
        }
        pid = parent;
    }
}

fn parent_of(pid: i32) -> Option<i32> {
    stat_field(pid, 4)?.parse().ok()
}

/// When the process started, in clock ticks after boot.
fn started_at(pid: i32) -> Option<u64> {
    stat_field(pid, 22)?.parse().ok()
}

/// A field of proc_pid_stat(5) behind the name, numbered from 1 as there.
pub(super) fn stat_field(pid: i32, number: usize) -> Option<String> {
    let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
    let end = stat.iter().rposition(|&byte| byte == b')')?;
    let text = std::str::from_utf8(&stat[end + 1..]).ok()?;
    text.split_ascii_whitespace().nth(number.checked_sub(3)?).map(str::to_owned)
}

/// Reads names out of a bundle's annotations: Kubernetes through containerd or cri-o, nerdctl, podman.
fn annotations(container: &mut Container, config: &Value) {
    let annotation = |name: &str| config["annotations"][name].as_str().filter(|value| !value.is_empty());
    let first = |names: &[&str]| names.iter().find_map(|name| annotation(name)).map(str::to_owned);
    let set = |field: &mut Option<String>, names: &[&str]| {
        if field.is_none() {
            *field = first(names);
        }
    };
    set(&mut container.image, &["io.kubernetes.cri.image-name", "io.kubernetes.cri-o.ImageName", "nerdctl/image"]);
    let name = ["io.kubernetes.cri.container-name", "io.kubernetes.container.name", "nerdctl/name"];
    set(&mut container.name, &name);
    let pod = first(&["io.kubernetes.cri.sandbox-name", "io.kubernetes.pod.name"]);
    if let (Some(pod), None) = (pod, &container.pod) {
        let namespace = first(&["io.kubernetes.cri.sandbox-namespace", "io.kubernetes.pod.namespace"]);
        container.pod = Some(Pod { name: pod, namespace: namespace.unwrap_or_else(|| "default".into()) });
    }
    let kind = first(&["io.kubernetes.cri.container-type", "io.kubernetes.cri-o.ContainerType"]);
    container.is_sandbox |= kind.as_deref() == Some("sandbox");
    // The kubelet's name for what holds a pod's namespaces, which cri-o writes down as a container's.
    if container.is_sandbox && container.name.as_deref() == Some("POD") {
        container.name = None;
    }
    if annotation("io.container.manager") == Some("cri-o") {
        container.engine = Engine::Crio;
    }
}

fn json(path: &Path) -> Option<Value> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

fn text(value: &Value) -> Option<String> {
    value.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inventory() -> Inventory {
        let mut inventory = Inventory::default();
        let pod = Pod { name: "web-1".into(), namespace: "prod".into() };
        for (id, name, pod) in [("aa11", Some("db"), None), ("aa22", None, None), ("bb33", Some("nginx"), Some(pod))] {
            let name = name.map(str::to_owned);
            inventory.add(Container { name, pod, ..Container::new(Engine::Docker, id) });
        }
        inventory
    }

    #[test]
    fn a_container_is_found_by_id_unique_prefix_or_any_of_its_names() {
        let inventory = inventory();
        for text in ["bb33", "b", "nginx", "web-1/nginx", "prod/web-1/nginx"] {
            assert_eq!(inventory.find(text).unwrap().id, "bb33", "{text}");
        }
        assert_eq!(inventory.find("db").unwrap().id, "aa11");
    }

    #[test]
    fn an_ambiguous_prefix_names_what_it_could_be() {
        let error = inventory().find("aa").unwrap_err();
        assert_eq!(error.kind(), Kind::Invalid);
        assert_eq!(error.to_string(), "'aa' could be any of: docker db (aa11), docker aa22 (aa22)");
        assert_eq!(inventory().find("zz").unwrap_err().kind(), Kind::NotFound);
    }

    #[test]
    fn kubernetes_annotations_name_pod_and_container() {
        let config = serde_json::json!({"annotations": {
            "io.kubernetes.cri.container-name": "nginx",
            "io.kubernetes.cri.sandbox-name": "web-1",
            "io.kubernetes.cri.sandbox-namespace": "prod",
            "io.kubernetes.cri.container-type": "container",
            "io.kubernetes.cri.image-name": "docker.io/library/nginx:1"
        }});
        let mut container = Container::new(Engine::Containerd, "cc");
        annotations(&mut container, &config);
        assert_eq!(container.title(), "web-1/nginx");
        assert_eq!(container.pod.unwrap().namespace, "prod");
        assert_eq!(container.image.as_deref(), Some("docker.io/library/nginx:1"));
        assert!(!container.is_sandbox);
    }
}
