//! Containers and pods by what people call them.

use std::collections::{BTreeMap, BTreeSet};

use super::container::{Container, Engine, Pod, State};
use super::inventory::{self, Inventory};
use super::{cgroup, owner, runtimes};
use crate::error::{Error, Kind, Result};
use crate::inspect::host::Host;
use crate::inspect::proc;
use crate::namespace;

/// How many names a complaint lists.
const LISTED: usize = 8;

/// Containers that belong together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// What they are: `pod prod/web-1`, `Kubernetes namespace prod`.
    pub title: String,
    /// Where in the inventory they are, the one that holds a pod's namespaces first.
    pub members: Vec<usize>,
    /// Whether it is one pod, whose containers share namespaces.
    pub is_pod: bool,
}

impl Inventory {
    /// The container with this name (`NAME`, `POD/NAME`, `NAMESPACE/POD/NAME`), id, or beginning of an id or of a name that
    /// only one has. A pod stands for the container that holds its namespaces.
    ///
    /// # Errors
    /// `NotFound` where there is none: the message has what is called alike, and what there is. `Invalid` where several fit,
    /// which the message names.
    pub fn find(&self, text: &str) -> Result<&Container> {
        let real = || self.containers.iter().filter(|container| container.engine != Engine::Systemd);
        let exact: Vec<&Container> = real().filter(|container| container.is_called(text)).collect();
        if exact.is_empty()
            && let Some(pod) = self.group(text).filter(|group| group.is_pod)
            && let Some(&first) = pod.members.first()
        {
            return Ok(&self.containers[first]);
        }
        let by_id = || real().filter(|container| !text.is_empty() && container.id.starts_with(text));
        let unit = || self.containers.iter().filter(|container| container.id == text);
        let begins = |container: &&Container| {
            let name = container.name.as_deref().unwrap_or_default();
            !text.is_empty() && (name.starts_with(text) || container.title().starts_with(text))
        };
        let found = [exact, by_id().collect(), unit().collect(), real().filter(begins).collect()];
        let found: Vec<&Container> = found.into_iter().find(|found| !found.is_empty()).unwrap_or_default();
        match found.as_slice() {
            [one] => Ok(one),
            [] => Err(self.nothing(text)),
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

    /// The pod (`POD`, `NAMESPACE/POD`) or the Kubernetes namespace that is called so, whole or by a beginning that no other
    /// has.
    pub fn group(&self, text: &str) -> Option<Group> {
        if text.is_empty() {
            return None;
        }
        let pods: BTreeSet<(&str, &str)> = self
            .containers
            .iter()
            .filter_map(|container| container.pod.as_ref())
            .map(|pod| (pod.namespace.as_str(), pod.name.as_str()))
            .collect();
        let full = |(namespace, name): &(&str, &str)| format!("{namespace}/{name}").trim_start_matches('/').to_owned();
        let is_pod = |pod: &&(&str, &str)| pod.1 == text || full(pod) == text;
        let begins = |pod: &&(&str, &str)| pod.1.starts_with(text) || full(pod).starts_with(text);
        let namespaces: BTreeSet<&str> =
            pods.iter().map(|pod| pod.0).filter(|namespace| !namespace.is_empty()).collect();
        let only = |pods: Vec<(&str, &str)>| (pods.len() == 1).then(|| (pods[0].0.to_owned(), pods[0].1.to_owned()));
        if let Some(pod) = only(pods.iter().filter(is_pod).copied().collect()) {
            return Some(self.pod(&pod.0, &pod.1));
        }
        if namespaces.contains(text) {
            let members = self.members(|pod| pod.namespace == text);
            return Some(Group { title: format!("Kubernetes namespace {text}"), members, is_pod: false });
        }
        let pod = only(pods.iter().filter(begins).copied().collect())?;
        Some(self.pod(&pod.0, &pod.1))
    }

    fn pod(&self, namespace: &str, name: &str) -> Group {
        let title = format!("pod {}", format!("{namespace}/{name}").trim_start_matches('/'));
        let members = self.members(|pod| pod.name == name && pod.namespace == namespace);
        Group { title, members, is_pod: true }
    }

    fn members(&self, is_it: impl Fn(&Pod) -> bool) -> Vec<usize> {
        let of = |&index: &usize| self.containers[index].pod.as_ref().is_some_and(&is_it);
        let mut members: Vec<usize> = (0..self.containers.len()).filter(of).collect();
        members.sort_by_cached_key(|&index| {
            let container = &self.containers[index];
            (container.pod.as_ref().map(|pod| pod.name.clone()), !container.is_sandbox, container.title())
        });
        members
    }

    /// That nothing is called so, what is called alike, and what there is.
    fn nothing(&self, text: &str) -> Error {
        let mut message = format!("no container is called '{text}'");
        if !self.gaps.is_empty() {
            let gaps: Vec<String> = self.gaps.iter().map(ToString::to_string).collect();
            let advice = if rustix::process::geteuid().is_root() { "" } else { ", root sees them" };
            message.push_str(&format!(" among those that can be seen; {}{advice}", gaps.join("; ")));
        }
        let names = self.names();
        let near = near(text, names.iter().map(String::as_str));
        if !near.is_empty() {
            let near: Vec<String> = near.iter().map(|name| format!("'{name}'")).collect();
            message.push_str(&format!("; did you mean {}?", near.join(" or ")));
        } else if names.is_empty() {
            message.push_str("; there are none");
        } else {
            message.push_str(&format!("; there are {}", listed(&names)));
        }
        Error::new(Kind::NotFound, message)
    }

    /// What containers and pods are called that have a process.
    fn names(&self) -> Vec<String> {
        let running = self.containers.iter().filter(|one| one.engine != Engine::Systemd && one.pid.is_some());
        let mut names: Vec<String> = running.map(Container::title).collect();
        names.sort();
        names.dedup();
        names
    }
}

/// The first few names, and how many more there are.
fn listed(names: &[String]) -> String {
    let shown: Vec<&str> = names.iter().take(LISTED).map(String::as_str).collect();
    match names.len().saturating_sub(LISTED) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// Up to three of the names that somebody may have meant by `text`: that have it inside, or differ by a few letters.
pub fn near<'a>(text: &str, names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    const NEAR: usize = 3;
    let allowed = (text.chars().count() / 3).clamp(1, 3);
    let mut near: Vec<(usize, &str)> = names
        .filter_map(|name| {
            let last = name.rsplit('/').next().unwrap_or(name);
            let distance = strsim::osa_distance(text, name).min(strsim::osa_distance(text, last));
            let is_inside = text.chars().count() > 2 && name.contains(text);
            (distance <= allowed || is_inside).then_some((distance, name))
        })
        .collect();
    near.sort_unstable();
    near.truncate(NEAR);
    near.into_iter().map(|(_, name)| name).collect()
}

/// Finds a running container by id, unique beginning of an id, or name, and its first process.
///
/// What is on disk is looked at first; processes only where that does not tell, or is known not to be all.
///
/// # Errors
/// As [`Inventory::find`]; also `State` where the container has no process.
pub fn find(text: &str) -> Result<(Container, i32)> {
    // A process's number, never a container's name, not even where an id begins with it: engines print 0 for a container that has
    // stopped, and scripts pass it on.
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Error::new(Kind::NotFound, format!("no container is called '{text}': digits alone are a process")));
    }
    let quick = Inventory::on_disk();
    if let Ok(container) = quick.find(text)
        && let Some(pid) = container.pid
        && quick.is_all()
    {
        let mut container = container.clone();
        let starter = || proc::parent(pid).and_then(cgroup::of);
        container.has_cgroup = cgroup::of(pid)
            .filter(|cgroups| cgroup::is_below_root(cgroups))
            .is_some_and(|cgroups| inventory::is_own(&container, &cgroups, starter().as_deref()));
        return Ok((container, pid));
    }
    let inventory = Inventory::gather(proc::pids()?);
    let container = inventory.find(text)?;
    match (container.pid, container.state()) {
        (Some(pid), _) => Ok((container.clone(), pid)),
        (None, state) => {
            Err(Error::new(Kind::State, format!("container {} is not running: it is {state}", container.title())))
        }
    }
}

/// As [`find`], to enter the container.
///
/// # Errors
/// Also `State` where it is still being created: its first process has the host's root around it.
pub fn find_to_enter(text: &str) -> Result<(Container, i32)> {
    let (container, pid) = find(text)?;
    may_be_entered(&container)?;
    Ok((container, pid))
}

/// Whether a container has come far enough to be entered.
///
/// # Errors
/// `State` where it is still being created.
pub fn may_be_entered(container: &Container) -> Result<()> {
    if container.state() != State::Creating {
        return Ok(());
    }
    let title = container.title();
    let why = format!("container {title} is being created: what its first process sees may still be the host's");
    Err(Error::new(Kind::State, why))
}

/// The container that a process is in, or the unit of systemd; which costs about the same however many there are.
///
/// A process in the host's mount namespace is taken for one of a container only where its cgroup is called as an engine calls
/// them.
pub fn of_process(pid: i32) -> Option<Container> {
    let cgroups = cgroup::of(pid)?;
    let named = cgroup::identify(&cgroups);
    let is_vague = named.as_ref().is_none_or(|container| container.engine == Engine::Systemd);
    let mount = proc::namespace(pid, namespace::Kind::Mount);
    if is_vague && mount.is_none_or(|mount| Host::find().has(namespace::Kind::Mount, mount) == Some(true)) {
        return named;
    }
    contained(pid, &cgroups).or(named)
}

/// The container of a process that is likely to be in one.
fn contained(pid: i32, cgroups: &[u8]) -> Option<Container> {
    let quick = owner::of(pid, cgroups).and_then(|owner| owner.container);
    if let Some(mut container) = quick.filter(|container| container.engine != Engine::Systemd) {
        owner::enrich(&mut container, Some(pid));
        container.pid = container.pid.or(Some(pid));
        // The runtime's own state, whatever the engine says.
        if let Some(found) = recorded(cgroups, Some(&container.id)) {
            container.complete(found);
        }
        return Some(Container { has_cgroup: true, ..container });
    }
    if let Some(mut container) = recorded(cgroups, None) {
        owner::enrich(&mut container, None);
        return Some(Container { has_cgroup: true, ..container });
    }
    // Of a runtime that keeps its state where nobody else knows.
    if let Some((mut container, _)) = cgroup::identify_session(cgroups, &inventory::sessions()) {
        container.pid = Some(pid);
        owner::enrich(&mut container, Some(pid));
        return Some(Container { has_cgroup: true, ..container });
    }
    // One without a cgroup of its own is in a pid namespace of its own at least.
    let own = |pid: &str| std::fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
    if own(&pid.to_string()).is_none_or(|theirs| Some(theirs) == own("self")) {
        return None;
    }
    let inventory = Inventory::gather([pid]);
    inventory.of(pid).filter(|container| container.engine != Engine::Systemd).cloned()
}

/// The container of a runtime whose state is where it is by default, and has one of these cgroups on record.
fn recorded(cgroups: &[u8], id: Option<&str>) -> Option<Container> {
    let mut places = BTreeMap::new();
    cgroup::innermost(cgroups, |path| {
        let name = path.rsplit('/').next().unwrap_or(path);
        // systemd's scopes are called by the runtime and the container.
        let scope = name.strip_suffix(".scope").and_then(|name| Some(name.split_once('-')?.1));
        let name = id.or(scope).unwrap_or(name);
        places.entry(name.to_owned()).or_insert_with(Vec::new).push(path.to_owned());
        None::<()>
    });
    if places.is_empty() {
        return None;
    }
    let ids: Vec<&str> = places.keys().map(String::as_str).collect();
    runtimes::called(&ids).into_iter().find(|found| {
        let recorded = found.cgroups.as_deref().unwrap_or_default();
        places.get(&found.id).is_some_and(|paths| paths.iter().any(|path| cgroup::is_recorded_at(path, recorded)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inventory() -> Inventory {
        let mut inventory = Inventory::default();
        let pod = |name: &str| Some(Pod { name: name.into(), namespace: "prod".into() });
        let all = [
            ("aa11", Some("db"), None),
            ("aa22", None, None),
            ("bb33", Some("nginx"), pod("web-1")),
            ("cc44", Some("log"), pod("web-1")),
            ("dd55", Some("queue"), pod("jobs")),
        ];
        for (id, name, pod) in all {
            let name = name.map(str::to_owned);
            let is_sandbox = id == "cc44";
            inventory.add(Container { name, pod, is_sandbox, pid: Some(1), ..Container::new(Engine::Docker, id) });
        }
        inventory
    }

    #[test]
    fn a_container_is_found_by_id_unique_beginning_or_any_of_its_names() {
        let inventory = inventory();
        for text in ["bb33", "b", "nginx", "web-1/nginx", "prod/web-1/nginx", "ngi"] {
            assert_eq!(inventory.find(text).unwrap().id, "bb33", "{text}");
        }
        assert_eq!(inventory.find("db").unwrap().id, "aa11");
    }

    #[test]
    fn an_ambiguous_beginning_names_what_it_could_be() {
        let error = inventory().find("aa").unwrap_err();
        assert_eq!(error.kind(), Kind::Invalid);
        assert_eq!(
            error.to_string(),
            "'aa' could be any of: docker db (aa11, process 1), docker aa22 (aa22, process 1)"
        );
    }

    #[test]
    fn a_pod_stands_for_the_container_that_holds_its_namespaces() {
        let inventory = inventory();
        for text in ["web-1", "prod/web-1", "web"] {
            assert_eq!(inventory.find(text).unwrap().id, "cc44", "{text}");
            let group = inventory.group(text).unwrap();
            assert_eq!((group.title.as_str(), group.members.as_slice()), ("pod prod/web-1", &[3, 2][..]), "{text}");
        }
        let namespace = inventory.group("prod").unwrap();
        assert_eq!((namespace.title.as_str(), namespace.members.len()), ("Kubernetes namespace prod", 3));
        assert_eq!(inventory.group("pro"), None, "several pods begin so");
    }

    #[test]
    fn what_is_not_there_is_answered_with_what_is_near_or_what_there_is() {
        let said = |text: &str| inventory().find(text).unwrap_err().to_string();
        assert_eq!(said("ngnix"), "no container is called 'ngnix'; did you mean 'web-1/nginx'?");
        assert_eq!(
            said("zzzz"),
            "no container is called 'zzzz'; there are aa22, db, jobs/queue, web-1/log, web-1/nginx"
        );
        assert_eq!(
            Inventory::default().find("x").unwrap_err().to_string(),
            "no container is called 'x'; there are none"
        );
    }
}
