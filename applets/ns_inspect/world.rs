//! Everything that most views need: what was found, whose it is, and what the host's own is.

use nskit::inspect::containers::{Container, Engine, Hierarchies, Inventory};
use nskit::inspect::{Gap, Host, Scope, Snapshot, discover};
use nskit::namespace::Kind;

use super::facts::Users;
use super::paint::Paint;
pub(crate) use super::target::{Named, Target};
use super::width;

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
