//! Everything that most views need: what was found, whose it is, and what the host's own is.

use std::path::Path;

use anyhow::{Context, bail};
use nskit::inspect::containers::{Container, Engine, Inventory};
use nskit::inspect::discover::processes_of_proc;
use nskit::inspect::{Scope, Snapshot, discover};
use nskit::namespace::Kind;

use super::facts::Users;

/// What a person named on the command line.
#[derive(Clone, Debug)]
pub(crate) enum Target {
    /// A process.
    Process(i32),
    /// A container, by its first process.
    Container(Box<Container>, i32),
    /// A namespace, by its inode number.
    Namespace(u64),
}

impl Target {
    /// Finds out what `text` is: `TYPE:[INODE]`, a number, a path, or a container.
    pub(crate) fn parse(text: &str) -> anyhow::Result<Target> {
        if let Some(inode) = link_inode(text) {
            return Ok(Target::Namespace(inode));
        }
        if let Ok(number) = text.parse::<u64>() {
            return match i32::try_from(number) {
                Ok(pid) if Path::new(&format!("/proc/{pid}")).exists() => Ok(Target::Process(pid)),
                Ok(pid) => match nskit::inspect::containers::find(text) {
                    Ok((container, pid)) => Ok(Target::Container(Box::new(container), pid)),
                    Err(_) => bail!("there is no process {pid}"),
                },
                Err(_) => Ok(Target::Namespace(number)),
            };
        }
        if text.contains('/') && Path::new(text).exists() {
            return from_path(text);
        }
        let (container, pid) = nskit::inspect::containers::find(text)?;
        Ok(Target::Container(Box::new(container), pid))
    }

    /// The process to look at: of a namespace, the one with the lowest pid.
    pub(crate) fn pid(&self) -> anyhow::Result<i32> {
        match self {
            Target::Process(pid) | Target::Container(_, pid) => Ok(*pid),
            Target::Namespace(inode) => {
                let snapshot = discover(&Scope { relations: false, ..Scope::EVERYTHING })?;
                let index = snapshot.find(*inode).with_context(|| format!("there is no namespace [{inode}]"))?;
                let leader = snapshot.leader(&snapshot.namespaces[index]);
                Ok(leader.with_context(|| format!("no process is in namespace [{inode}]"))?.pid)
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
            Target::Namespace(inode) => format!("namespace [{inode}]"),
        }
    }
}

/// The number in `TYPE:[INODE]`, the brackets left out or not.
fn link_inode(text: &str) -> Option<u64> {
    let (kind, inode) = text.split_once(':')?;
    Kind::from_proc_name(kind)?;
    let inode = inode.strip_prefix('[').and_then(|inode| inode.strip_suffix(']')).unwrap_or(inode);
    inode.parse().ok()
}

fn from_path(text: &str) -> anyhow::Result<Target> {
    let file = std::fs::File::open(text).with_context(|| format!("open {text}"))?;
    if nskit::sys::ioctl::is_nsfs(&file) {
        let inode = rustix::fs::fstat(&file).with_context(|| format!("stat {text}"))?.st_ino;
        return Ok(Target::Namespace(inode));
    }
    let path = Path::new(text).canonicalize().with_context(|| format!("resolve {text}"))?;
    let pid =
        path.strip_prefix("/proc").ok().and_then(|rest| rest.components().next()?.as_os_str().to_str()?.parse().ok());
    if let Some(pid) = pid {
        return Ok(Target::Process(pid));
    }
    let inventory = Inventory::gather(processes_of_proc()?);
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
    host: [Option<usize>; 8],
}

impl World {
    /// Looks everywhere.
    pub(crate) fn look() -> anyhow::Result<World> {
        World::with(&Scope::EVERYTHING)
    }

    pub(crate) fn with(scope: &Scope) -> anyhow::Result<World> {
        let snapshot = discover(scope)?;
        let inventory = Inventory::gather(snapshot.processes.iter().map(|process| process.pid));
        let host = snapshot.host();
        Ok(World { snapshot, inventory, users: Users::default(), host })
    }

    /// Whether the namespace at `index` is one of the host's own.
    pub(crate) fn is_host(&self, index: usize) -> bool {
        self.host[self.snapshot.namespaces[index].kind as usize] == Some(index)
    }

    /// Containers whose first process is in the namespace at `index`; systemd's units only where it is not the host's.
    pub(crate) fn containers_in(&self, index: usize) -> Vec<&Container> {
        let kind = self.snapshot.namespaces[index].kind;
        let is_in = |container: &&Container| {
            let place = container.pid.and_then(|pid| self.snapshot.find_process(pid));
            place.is_some_and(|place| self.snapshot.processes[place].namespace(kind) == Some(index))
        };
        let host = self.is_host(index);
        let wanted = |container: &&Container| !(host && container.engine == Engine::Systemd);
        self.inventory.containers.iter().filter(is_in).filter(wanted).collect()
    }

    /// Sentences about what could not be looked at.
    pub(crate) fn gaps(&self) -> String {
        let mut text = String::new();
        for gap in &self.snapshot.gaps {
            text.push_str(&format!("  {gap}\n"));
        }
        if text.is_empty() { text } else { format!("\nCould not be looked at:\n{text}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_can_be_named_as_readlink_shows_it() {
        assert_eq!(link_inode("net:[4026531840]"), Some(4_026_531_840));
        assert_eq!(link_inode("net:4026531840"), Some(4_026_531_840));
        assert_eq!(link_inode("web:80"), None);
    }

    #[test]
    fn a_number_that_no_process_can_have_is_a_namespace() {
        assert!(matches!(Target::parse("4026531837"), Ok(Target::Namespace(4_026_531_837))));
        assert!(matches!(Target::parse("/proc/self/ns/user"), Ok(Target::Namespace(_))));
        assert!(Target::parse("no-such-container").unwrap_err().to_string().contains("no-such-container"));
    }
}
