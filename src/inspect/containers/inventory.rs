//! All containers that can be found, and which processes are in them.

use std::collections::HashMap;
use std::path::Path;

use super::container::{Container, Engine, Pod};
use super::folders::Folders;
use super::{cgroup, docker, owner, podman, runtimes};
use crate::inspect::model::Gap;
use crate::inspect::proc;
use crate::namespace;

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
    /// Containers by the cgroups that are theirs alone.
    by_path: HashMap<String, usize>,
    /// Containers in cgroups that are not theirs alone, by these.
    guests: HashMap<Vec<u8>, Vec<usize>>,
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
            owner::enrich(container, None);
        }
        inventory.name_pods();
        inventory
    }

    /// What is on disk, and the containers of these processes.
    pub fn gather(pids: impl IntoIterator<Item = i32>) -> Inventory {
        let mut inventory = Inventory::on_disk();
        for index in 0..inventory.containers.len() {
            inventory.settle(index);
        }
        for pid in pids {
            inventory.look(pid);
        }
        inventory.name_pods();
        inventory
    }

    /// Takes notice of processes that ended (`ended`), began (`begun`), or may be elsewhere than they were (`moved`), and
    /// leaves the rest as it is. A number can have ended and begun: then another process has it.
    ///
    /// What engines keep on disk is read for new containers only, and by the process that was met first.
    pub fn update(&mut self, ended: &[i32], begun: &[i32], moved: &[i32]) {
        for pid in ended {
            if let Some(index) = self.by_pid.remove(pid) {
                self.without(index, *pid);
            }
        }
        self.sessions = None;
        for &pid in begun {
            self.look(pid);
        }
        for &pid in moved {
            let before = self.by_pid.remove(&pid);
            self.look(pid);
            if let Some(before) = before.filter(|_| self.by_pid.get(&pid) != before.as_ref()) {
                self.without(before, pid);
            }
        }
    }

    /// Another process of the container comes first, where this one did.
    fn without(&mut self, index: usize, pid: i32) {
        if self.containers[index].pid == Some(pid) {
            let members = self.by_pid.iter().filter(|(_, place)| **place == index);
            self.containers[index].pid = members.map(|(&pid, _)| pid).min();
        }
    }

    /// Takes the cgroups of a container's first process for its own, where they are: they lead from its other processes to
    /// it, however its runtime names cgroups.
    fn settle(&mut self, index: usize) {
        let Some(pid) = self.containers[index].pid else { return };
        self.by_pid.insert(pid, index);
        let Some(cgroups) = cgroup::of(pid).filter(|cgroups| cgroup::is_below_root(cgroups)) else { return };
        let starter = proc::parent(pid).and_then(cgroup::of);
        let container = &mut self.containers[index];
        container.has_cgroup = is_own(container, &cgroups, starter.as_deref());
        if !container.has_cgroup {
            self.guests.entry(cgroups).or_default().push(index);
            return;
        }
        for path in cgroup::own_paths(&cgroups, starter.as_deref()) {
            self.by_path.insert(path.to_owned(), index);
        }
        self.by_cgroups.insert(cgroups, Some(index));
    }

    pub(super) fn add(&mut self, container: Container) -> usize {
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
        if self.by_pid.contains_key(&pid) {
            return;
        }
        let Some(cgroups) = cgroup::of(pid) else { return };
        if let Some(index) = self.guests.get(&cgroups).and_then(|guests| self.guest(guests, pid)) {
            self.by_pid.insert(pid, index);
            return;
        }
        let index = match self.by_cgroups.get(&cgroups) {
            Some(&known) => known,
            None => {
                let Some((found, has_cgroups)) = self.owner(pid, &cgroups) else { return };
                if let Some(index) = found.filter(|_| has_cgroups) {
                    self.containers[index].has_cgroup = true;
                }
                if has_cgroups && !self.guests.contains_key(&cgroups) {
                    self.by_cgroups.insert(cgroups, found);
                }
                found
            }
        };
        if let Some(index) = index {
            self.by_pid.insert(pid, index);
            // Started again in the cgroups that it had.
            self.containers[index].pid.get_or_insert(pid);
        }
    }

    /// Whose a process is that is met first in its cgroups, and whether all others in them are as well. `None` where it ended
    /// meanwhile.
    fn owner(&mut self, pid: i32, cgroups: &[u8]) -> Option<(Option<usize>, bool)> {
        let is_named = cgroup::identify(cgroups).is_some_and(|named| named.engine != Engine::Systemd);
        // In a cgroup that a container made below its own.
        let above = cgroup::innermost(cgroups, |path| self.by_path.get(path).copied()).filter(|_| !is_named);
        if above.is_some() {
            return Some((above, true));
        }
        let owner = owner::of(pid, cgroups)?;
        let found = match owner.container {
            Some(container) => Some(self.add(of_member(container, pid))),
            None => self.in_session(pid, cgroups),
        };
        Some((found, owner.has_cgroups))
    }

    /// Which of the containers without cgroups of their own the process is in that shares theirs: the one whose pid namespace
    /// it is in, or whose first process it descends from.
    fn guest(&self, guests: &[usize], pid: i32) -> Option<usize> {
        let own = proc::namespace(pid, namespace::Kind::Pid);
        let is_inside = |&&index: &&usize| {
            let first = self.containers[index].pid?;
            let theirs = proc::namespace(first, namespace::Kind::Pid)?;
            let is_shared =
                Some(theirs) == proc::parent(first).and_then(|parent| proc::namespace(parent, namespace::Kind::Pid));
            let descends = || {
                let ancestors = std::iter::successors(Some(pid), |&at| proc::parent(at).filter(|&parent| parent > 1));
                ancestors.take(owner::ANCESTORS).any(|at| at == first)
            };
            Some((!is_shared && own == Some(theirs)) || descends())
        };
        guests.iter().find(|index| is_inside(index) == Some(true)).copied()
    }

    /// Podman has a pod's name nowhere but in a database; the one that holds the pod's namespaces has it for a host name.
    fn name_pods(&mut self) {
        let of_podman = |container: &&Container| container.engine == Engine::Podman;
        let names: HashMap<String, String> = self
            .containers
            .iter()
            .filter(of_podman)
            .filter(|container| container.is_sandbox)
            .filter_map(|container| Some((container.id.clone(), container.hostname.clone()?)))
            .collect();
        for container in self.containers.iter_mut().filter(|container| container.engine == Engine::Podman) {
            let id = if container.is_sandbox { Some(&container.id) } else { container.sandbox.as_ref() };
            let name = id.and_then(|id| names.get(id)).filter(|_| container.pod.is_none());
            container.pod =
                container.pod.take().or(name.map(|name| Pod { name: name.clone(), namespace: String::new() }));
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
            let theirs = self.containers[index].pid.and_then(cgroup::of);
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
    pub(super) fn is_all(&self) -> bool {
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
}

/// Whether the cgroups that a container's first process is in are the container's own: by their names, by the runtime's state,
/// or because whoever started it is in others.
pub(super) fn is_own(container: &Container, cgroups: &[u8], starter: Option<&[u8]>) -> bool {
    let is_named = || cgroup::identify(cgroups).is_some_and(|named| named.id == container.id);
    match &container.cgroups {
        Some(recorded) => is_named() || cgroup::is_recorded(cgroups, recorded),
        None => is_named() || Some(cgroups) != starter,
    }
}

/// Names of session keyrings that OCI runtimes gave containers.
pub(super) fn sessions() -> Vec<String> {
    cgroup::sessions(&proc::read("/proc/keys").unwrap_or_default())
}

/// The container, with what is known of it by one of its processes.
fn of_member(mut container: Container, pid: i32) -> Container {
    container.pid = Some(pid);
    owner::enrich(&mut container, Some(pid));
    container
}
