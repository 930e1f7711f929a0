//! Everything that most views need: what was found, whose it is, and what the host's own is.

use std::fmt;
use std::path::Path;

use anyhow::{Context, bail};
use nskit::error::Attempt;
use nskit::inspect::containers::{Container, Engine, Hierarchies, Inventory};
use nskit::inspect::{Gap, Host, Scope, Snapshot, discover, proc};
use nskit::namespace::Kind;
use rustix::fs::{Mode, OFlags};

use super::facts::Users;
use super::paint::Paint;
use super::width;

/// What a person named on the command line.
#[derive(Clone, Debug)]
pub(crate) enum Target {
    /// A process.
    Process(i32),
    /// A container, by its first process.
    Container(Box<Container>, i32),
    /// A namespace.
    Namespace(Named),
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
    /// Finds out what `text` is: `TYPE:[INODE]`, a number, a path, or a container.
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
                Ok(pid) => Err(proc::absent(pid).into()),
                Err(_) => Ok(Target::Namespace(Named { kind: None, inode: number })),
            };
        }
        // A container's name may have a slash in it too: POD/NAME.
        if text.starts_with(['/', '.']) || (text.contains('/') && Path::new(text).exists()) {
            return from_path(text);
        }
        let (container, pid) = nskit::inspect::containers::find(text)?;
        Ok(Target::Container(Box::new(container), pid))
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
        }
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

/// What was found on the machine.
pub(crate) struct World {
    pub(crate) snapshot: Snapshot,
    pub(crate) inventory: Inventory,
    pub(crate) users: Users,
    pub(crate) hierarchies: Hierarchies,
    host: Host,
    /// By namespace, the containers whose first process is in it.
    residents: Vec<Vec<u32>>,
}

impl World {
    /// Looks everywhere.
    pub(crate) fn look() -> anyhow::Result<World> {
        World::with(&Scope::EVERYTHING)
    }

    pub(crate) fn with(scope: &Scope) -> anyhow::Result<World> {
        let snapshot = discover(scope)?;
        let inventory = Inventory::gather(snapshot.processes.iter().map(|process| process.pid));
        let residents = residents(&snapshot, &inventory);
        let (users, hierarchies, host) = (Users::default(), Hierarchies::find(), Host::find());
        Ok(World { snapshot, inventory, users, hierarchies, host, residents })
    }

    /// Looks again by `scope`, and takes notice of processes that ended, began, or may be in other containers.
    pub(crate) fn update(&mut self, scope: &Scope, ended: &[i32], begun: &[i32], moved: &[i32]) -> anyhow::Result<()> {
        self.snapshot = discover(scope)?;
        self.inventory.update(ended, begun, moved);
        self.residents = residents(&self.snapshot, &self.inventory);
        Ok(())
    }

    /// Whether the namespace at `index` is one of the host's own; `None` where that cannot be known.
    pub(crate) fn of_host(&self, index: usize) -> Option<bool> {
        let namespace = &self.snapshot.namespaces[index];
        self.host.has(namespace.kind, namespace.inode)
    }

    /// Whether the namespace at `index` is known to be one of the host's own.
    pub(crate) fn is_host(&self, index: usize) -> bool {
        self.of_host(index) == Some(true)
    }

    /// What is written beside the namespace at `index` about whether it is the host's: a blank and the word, or nothing.
    pub(crate) fn host_mark(&self, index: usize) -> &'static str {
        match self.of_host(index) {
            Some(true) => " host",
            Some(false) => "",
            None => " host?",
        }
    }

    /// Whether it is what one is in who was put nowhere else: the host's, or, inside of a pid namespace, process 1's.
    pub(crate) fn is_common(&self, index: usize) -> bool {
        let first = self.snapshot.find_process(1).map(|place| self.snapshot.processes[place]);
        let kind = self.snapshot.namespaces[index].kind;
        self.is_host(index) || first.is_some_and(|first| first.namespace(kind) == Some(index))
    }

    /// Containers whose first process is in the namespace at `index`; systemd's units only where these went out of
    /// their way for it.
    pub(crate) fn containers_in(&self, index: usize) -> Vec<&Container> {
        let common = self.is_common(index);
        let wanted = |container: &&Container| !(common && container.engine == Engine::Systemd);
        self.residents[index].iter().map(|&place| &self.inventory.containers[place as usize]).filter(wanted).collect()
    }

    /// Where in the inventory the containers are whose first process is in the namespace at `index`.
    pub(crate) fn residents(&self, index: usize) -> impl Iterator<Item = usize> {
        self.residents[index].iter().map(|&place| place as usize)
    }

    /// Tells on standard error what could not be looked at. What nobody can look at with this kernel is in the manual.
    pub(crate) fn tell_gaps(&self, paint: Paint) {
        tell(self.snapshot.gaps.iter().chain(&self.inventory.gaps), paint);
    }
}

/// Tells on standard error what could not be looked at, but for what is so on every machine with this kernel.
pub(crate) fn tell<'a>(gaps: impl Iterator<Item = &'a Gap>, paint: Paint) {
    for gap in gaps.filter(|gap| !gap.of_kernel) {
        let line = format!("ns-inspect: not looked at: {}", width::printable(&gap.to_string()));
        eprint!("{}", paint.wrap(&line, ""));
    }
}

/// By namespace, the containers whose first process is in it.
fn residents(snapshot: &Snapshot, inventory: &Inventory) -> Vec<Vec<u32>> {
    let mut residents = vec![Vec::new(); snapshot.namespaces.len()];
    for (place, container) in inventory.containers.iter().enumerate() {
        let Some(process) = container.pid.and_then(|pid| snapshot.find_process(pid)) else { continue };
        for index in Kind::ALL.into_iter().filter_map(|kind| snapshot.processes[process].namespace(kind)) {
            residents[index].push(place as u32);
        }
    }
    residents
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
