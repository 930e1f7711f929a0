//! What a person named on the command line.

use std::fmt;
use std::path::Path;

use anyhow::{Context, bail};
use nskit::error::Attempt;
use nskit::inspect::containers::{self, Container, Engine, Inventory};
use nskit::inspect::{Scope, Snapshot, discover, pids, proc};
use nskit::namespace::Kind;
use rustix::fs::{Mode, OFlags};

/// What a person named on the command line.
#[derive(Clone, Debug)]
pub(crate) enum Target {
    /// A process.
    Process(i32),
    /// A container, by its first process.
    Container(Box<Container>, i32),
    /// A namespace.
    Namespace(Named),
    /// A pod, or a Kubernetes namespace.
    Group(Together),
}

/// Containers that belong together.
#[derive(Clone, Debug)]
pub(crate) struct Together {
    /// What they are: `pod prod/web-1`.
    pub(crate) title: String,
    /// Engines and ids.
    pub(crate) members: Vec<(Engine, String)>,
    /// The process that holds the namespaces of a pod, where they are one.
    pid: Option<i32>,
    /// What each is called.
    names: Vec<String>,
}

/// A namespace by its inode number, and its kind where that was said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Named {
    kind: Option<Kind>,
    inode: u64,
}

impl Named {
    /// Where it is among the namespaces.
    pub(crate) fn find(self, snapshot: &Snapshot) -> anyhow::Result<usize> {
        let index = snapshot.find(self.inode).with_context(|| match snapshot.unlisted() {
            Some(gap) => format!("no {self} is to be seen; {gap}"),
            None => format!("there is no {self}"),
        })?;
        let found = &snapshot.namespaces[index];
        anyhow::ensure!(self.kind.is_none_or(|kind| kind == found.kind), "there is no {self}, but {found}");
        Ok(index)
    }
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.kind.map_or("namespace ".into(), |kind| format!("{}:", kind.proc_name()));
        write!(f, "{kind}[{}]", self.inode)
    }
}

impl Target {
    /// Finds out what `text` is: `TYPE:[INODE]`, a number, a path, `CONTAINER:PID`, a container, a pod, or a network namespace
    /// that `ip netns` knows.
    pub(crate) fn parse(text: &str) -> anyhow::Result<Target> {
        if let Some(named) = link(text) {
            return Ok(Target::Namespace(named));
        }
        if let Some((kind, _)) = text.split_once(":[").filter(|(kind, rest)| !kind.contains('/') && rest.ends_with(']'))
        {
            if Kind::from_proc_name(kind).is_some() {
                bail!("'{text}' names no namespace: in brackets goes an inode number, as in {kind}:[4026531840]");
            }
            let kinds = Kind::ALL.map(Kind::proc_name).join(", ");
            bail!("there is no kind of namespace called '{kind}': there are {kinds}");
        }
        if let Ok(number) = text.parse::<u64>() {
            return match i32::try_from(number) {
                Ok(pid) if Path::new(&format!("/proc/{pid}")).exists() => Ok(Target::Process(pid)),
                Ok(pid) => match containers::find(text) {
                    Ok((container, pid)) => Ok(Target::Container(Box::new(container), pid)),
                    Err(_) => Err(proc::absent(pid).into()),
                },
                Err(_) => Ok(Target::Namespace(Named { kind: None, inode: number })),
            };
        }
        // A container's name may have a slash in it too: POD/NAME.
        if text.starts_with(['/', '.']) || (text.contains('/') && Path::new(text).exists()) {
            return from_path(text);
        }
        if let Some((name, inner)) = text.rsplit_once(':')
            && let Ok(inner) = inner.parse::<i32>()
        {
            let (container, pid) = containers::find(name)?;
            return pids::translate(inner, pid).map(Target::Process).map_err(|_| no_process(&container, pid, inner));
        }
        named(text)
    }

    /// The process to look at: of a namespace, the one with the lowest pid.
    pub(crate) fn pid(&self) -> anyhow::Result<i32> {
        match self {
            Target::Process(pid) | Target::Container(_, pid) => Ok(*pid),
            Target::Namespace(named) => {
                let snapshot = discover(&Scope { relations: false, ..Scope::EVERYTHING })?;
                let leader = snapshot.leader(&snapshot.namespaces[named.find(&snapshot)?]);
                Ok(leader.with_context(|| format!("no process is in {named}"))?.pid)
            }
            Target::Group(group) => group.pid.with_context(|| {
                format!("{} is {} containers: name one of {}", group.title, group.names.len(), group.names.join(", "))
            }),
        }
    }

    /// What to call it.
    pub(crate) fn title(&self) -> String {
        match self {
            Target::Process(pid) => format!("process {pid}"),
            Target::Container(container, pid) => {
                format!("{} container {} (process {pid})", container.engine, container.title())
            }
            Target::Namespace(named) => named.to_string(),
            Target::Group(group) => group.title.clone(),
        }
    }
}

/// Where `ip netns` has files of network namespaces.
const NETNS: &str = "/run/netns";

/// What a word is the name of.
fn named(text: &str) -> anyhow::Result<Target> {
    let netns = Path::new(NETNS).join(text);
    let of_netns = || {
        let file = rustix::fs::open(&netns, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).ok()?;
        nskit::sys::ioctl::is_nsfs(&file).then(|| rustix::fs::fstat(&file).ok().map(|status| status.st_ino))?
    };
    let netns_inode = if text.contains('/') { None } else { of_netns() };
    match (containers::find(text), netns_inode) {
        (Ok((container, _)), Some(_)) if container.name.as_deref() == Some(text) => bail!(
            "'{text}' could be {} container {text}, or {}: give the id {}, or the path",
            container.engine,
            netns.display(),
            container.short_id()
        ),
        (_, Some(inode)) => Ok(Target::Namespace(Named { kind: Some(Kind::Net), inode })),
        (Ok((container, pid)), None) if container.pod.is_none() => Ok(Target::Container(Box::new(container), pid)),
        (found, None) => together(text, found),
    }
}

/// That a container has no such process, and which it has.
fn no_process(container: &Container, first: i32, inner: i32) -> anyhow::Error {
    const LISTED: usize = 8;
    let namespace = |pid: i32| pids::levels(pid).ok().and_then(|levels| levels.last().copied());
    let own = namespace(first).map(|level| level.namespace);
    let inside = |pid: &i32| namespace(*pid).filter(|level| Some(level.namespace) == own).map(|level| level.pid);
    let mut there: Vec<i32> = proc::pids().unwrap_or_default().iter().filter_map(inside).collect();
    there.sort_unstable();
    let listed: Vec<String> = there.iter().take(LISTED).map(i32::to_string).collect();
    let more = if there.len() > LISTED { format!(" and {} more", there.len() - LISTED) } else { String::new() };
    anyhow::anyhow!("container {} has no process {inner}: it has {}{more}", container.title(), listed.join(", "))
}

/// A pod or a Kubernetes namespace, or the container that was found.
fn together(text: &str, found: nskit::Result<(Container, i32)>) -> anyhow::Result<Target> {
    // The name of the container itself is nearer than that of its pod.
    if let Ok((container, pid)) = &found
        && [Some(container.id.as_str()), container.name.as_deref(), Some(&container.title())].contains(&Some(text))
    {
        return Ok(Target::Container(Box::new(container.clone()), *pid));
    }
    let inventory = Inventory::gather(proc::pids()?);
    match (inventory.group(text), found) {
        (Some(group), _) => {
            let of = |&index: &usize| &inventory.containers[index];
            let members = group.members.iter().map(of).map(|one| (one.engine, one.id.clone())).collect();
            let names = group.members.iter().map(of).map(Container::title).collect();
            let pid = group.members.first().map(of).and_then(|first| first.pid).filter(|_| group.is_pod);
            Ok(Target::Group(Together { title: group.title, members, pid, names }))
        }
        (None, Ok((container, pid))) => Ok(Target::Container(Box::new(container), pid)),
        (None, Err(error)) => Err(with_netns(text, error)),
    }
}

/// The complaint that nothing is called so, with network namespaces that are called alike.
fn with_netns(text: &str, error: nskit::Error) -> anyhow::Error {
    let entries = std::fs::read_dir(NETNS).into_iter().flatten().flatten();
    let names: Vec<String> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    match containers::near(text, names.iter().map(String::as_str)).as_slice() {
        [] => error.into(),
        near => anyhow::anyhow!("{error}; network namespace: {}", near.join(", ")),
    }
}

/// The namespace that `TYPE:[INODE]` names, the brackets left out or not.
fn link(text: &str) -> Option<Named> {
    let (kind, inode) = text.split_once(':')?;
    let kind = Some(Kind::from_proc_name(kind)?);
    let inode = inode.strip_prefix('[').and_then(|inode| inode.strip_suffix(']')).unwrap_or(inode);
    Some(Named { kind, inode: inode.parse().ok()? })
}

fn from_path(text: &str) -> anyhow::Result<Target> {
    // Nothing is read: what blocks when it is opened for reading, or acts, is left alone.
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let file = rustix::fs::open(text, flags, Mode::empty()).attempt(|| format!("open {text}"))?;
    if nskit::sys::ioctl::is_nsfs(&file) {
        let inode = rustix::fs::fstat(&file).with_context(|| format!("stat {text}"))?.st_ino;
        return Ok(Target::Namespace(Named { kind: None, inode }));
    }
    let path = Path::new(text).canonicalize().with_context(|| format!("resolve {text}"))?;
    let pid =
        path.strip_prefix("/proc").ok().and_then(|rest| rest.components().next()?.as_os_str().to_str()?.parse().ok());
    if let Some(pid) = pid {
        return Ok(Target::Process(pid));
    }
    let inventory = Inventory::gather(proc::pids()?);
    let bundle = inventory.containers.iter().find(|container| container.bundle.as_deref() == Some(&path));
    match bundle.and_then(|container| Some((container, container.pid?))) {
        Some((container, pid)) => Ok(Target::Container(Box::new(container.clone()), pid)),
        None => bail!("{text} is neither a namespace nor the bundle of a running container"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_can_be_named_as_readlink_shows_it() {
        let named = Named { kind: Some(Kind::Net), inode: 4_026_531_840 };
        assert_eq!(
            [link("net:[4026531840]"), link("net:4026531840"), link("web:80")],
            [Some(named), Some(named), None]
        );
        assert_eq!(named.to_string(), "net:[4026531840]");
    }

    #[test]
    fn a_number_that_no_process_can_have_is_a_namespace() {
        assert!(matches!(Target::parse("4026531837"), Ok(Target::Namespace(Named { inode: 4_026_531_837, .. }))));
        assert!(matches!(Target::parse("/proc/self/ns/user"), Ok(Target::Namespace(_))));
        assert!(Target::parse("no-such-container").unwrap_err().to_string().contains("no-such-container"));
    }
}
