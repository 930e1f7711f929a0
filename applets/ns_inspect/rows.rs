//! The containers of the overview, a row each, as the table and JSON show them: in which state each is, what it uses, whose
//! namespaces it is in, and what it is not kept from.

use std::collections::HashSet;
use std::fmt;
use std::time::Duration;

use nskit::inspect::containers::{self, Bonds, Container, Engine, Exposure, State, Usage};
use nskit::inspect::proc;
use nskit::namespace::Kind;

use super::facts;
use super::world::World;

/// Kinds of namespaces of which a container usually has its own, whoever made it. Who uses the host's can see or reach what
/// containers are kept from.
const PRIVATE: [Kind; 4] = [Kind::Mount, Kind::Net, Kind::Pid, Kind::Ipc];

/// A container of the overview.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// Where it is in the inventory.
    pub(crate) place: usize,
    /// In which state it is, when it was started, and what its cgroup is charged with.
    pub(crate) usage: Usage,
    /// How many processes are in it.
    pub(crate) processes: usize,
    /// Memory in use, bytes: of its cgroup, or of all its processes together.
    pub(crate) memory: Option<u64>,
    /// How long its first process has been running.
    pub(crate) age: Option<Duration>,
    /// Whose namespaces its first process is in, by kind.
    pub(crate) namespaces: [Whose; 8],
    /// What it is not kept from, which containers usually are.
    pub(crate) deviations: Vec<Deviation>,
    /// What it runs, or will.
    pub(crate) command: String,
}

/// Whose a namespace is that a container is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whose {
    /// The container's.
    Own,
    /// The host's.
    Host,
    /// That of the container which is here in the inventory.
    Other(usize),
    /// That cannot be known.
    Unknown,
    /// There is none: the container has no process.
    None,
}

/// What a container is not kept from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Deviation {
    /// It is in the host's namespace of this kind.
    HostNamespace(Kind),
    /// No seccomp filter binds it.
    NoSeccomp,
    /// It may have all capabilities that there are.
    AllCapabilities,
    /// Something of the host is mounted in it.
    Exposed(Exposure),
}

impl fmt::Display for Deviation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Deviation::HostNamespace(kind) => write!(f, "host {}", kind.proc_name()),
            Deviation::NoSeccomp => f.write_str("no seccomp"),
            Deviation::AllCapabilities => f.write_str("all caps"),
            Deviation::Exposed(Exposure::HostRoot { at, writable: true }) => write!(f, "host / on {at}"),
            Deviation::Exposed(Exposure::HostRoot { at, writable: false }) => write!(f, "host / on {at} (ro)"),
            Deviation::Exposed(Exposure::EngineSocket { socket, .. }) => {
                f.write_str(socket.rsplit('/').next().unwrap_or(socket))
            }
        }
    }
}

/// Which containers are wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// Those without a process too, and units of systemd.
    pub(crate) all: bool,
}

/// The rows, pods together, each with the container first that holds its namespaces.
pub(crate) fn rows(world: &World, wanted: Wanted) -> Vec<Row> {
    let mut members = vec![Vec::new(); world.inventory.containers.len()];
    for process in &world.snapshot.processes {
        if let Some(index) = world.inventory.index_of(process.pid) {
            members[index].push(process.pid);
        }
    }
    let all_capabilities = containers::all_capabilities();
    let mut places: Vec<usize> = (0..world.inventory.containers.len()).collect();
    places.retain(|&place| is_wanted(world, &world.inventory.containers[place], wanted));
    places.sort_by_cached_key(|&place| order(&world.inventory.containers[place]));
    let mut rows: Vec<Row> =
        places.into_iter().map(|place| row(world, place, &members[place], all_capabilities)).collect();
    // One whose first process has ended, and only waits for somebody to be told.
    rows.retain(|row| wanted.all || row.usage.state != State::Stopped);
    judge_users(world, &mut rows);
    rows
}

/// Pods stand where their names do among containers.
fn order(container: &Container) -> (Engine, String, String, bool, String) {
    let title = container.title();
    match &container.pod {
        Some(pod) => (container.engine, pod.name.clone(), pod.namespace.clone(), !container.is_sandbox, title),
        None => (container.engine, title, String::new(), false, String::new()),
    }
}

/// Whether it is worth a row. Those that wait to be started are on the machine with a process; units of systemd are where
/// they have a namespace of their own, and then still no container.
pub(crate) fn is_wanted(world: &World, container: &Container, wanted: Wanted) -> bool {
    let place = container.pid.and_then(|pid| world.snapshot.find_process(pid));
    if container.engine == Engine::Systemd {
        let is_own = |place: usize| {
            let process = &world.snapshot.processes[place];
            Kind::ALL.into_iter().filter_map(|kind| process.namespace(kind)).any(|index| !world.is_common(index))
        };
        return wanted.all && place.is_some_and(is_own);
    }
    wanted.all || place.is_some() || container.state() == State::Creating
}

fn row(world: &World, place: usize, members: &[i32], all_capabilities: u64) -> Row {
    let container = &world.inventory.containers[place];
    let usage = world.hierarchies.usage(container);
    // A process that has ended, and waits for its parent, is nowhere any more.
    let is_gone = usage.state == State::Stopped;
    let namespaces = Kind::ALL.map(|kind| if is_gone { Whose::None } else { whose(world, place, kind) });
    let resident = || members.iter().map(|&pid| facts::resident_bytes(pid)).sum();
    let command = match container.pid {
        Some(pid) if usage.state >= State::Running => facts::command(pid),
        _ => container.command.join(" "),
    };
    Row {
        place,
        memory: usage.memory.or_else(|| (!members.is_empty()).then(resident)),
        age: usage.started.and_then(proc::age),
        processes: members.len(),
        deviations: deviations(container, usage.state, &namespaces, all_capabilities),
        namespaces,
        command,
        usage,
    }
}

/// Whose namespace of this kind a container is in.
fn whose(world: &World, place: usize, kind: Kind) -> Whose {
    let container = &world.inventory.containers[place];
    let Some(pid) = container.pid else { return Whose::None };
    let process = world.snapshot.find_process(pid);
    let Some(index) = process.and_then(|process| world.snapshot.processes[process].namespace(kind)) else {
        return Whose::Unknown;
    };
    if world.is_host(index) {
        return Whose::Host;
    }
    // The one that has had it longest is whose it is.
    let first = world.residents(index).min_by_key(|&other| {
        let other = &world.inventory.containers[other];
        (!other.is_sandbox, other.pid)
    });
    match first {
        Some(first) if first != place => Whose::Other(first),
        _ if world.of_host(index).is_none() => Whose::Unknown,
        _ => Whose::Own,
    }
}

fn deviations(container: &Container, state: State, namespaces: &[Whose; 8], all_capabilities: u64) -> Vec<Deviation> {
    if container.engine == Engine::Systemd || state == State::Stopped {
        return Vec::new();
    }
    let is_host = |kind: &Kind| namespaces[*kind as usize] == Whose::Host && state >= State::Created;
    let mut found: Vec<Deviation> = PRIVATE.into_iter().filter(is_host).map(Deviation::HostNamespace).collect();
    // Before its program runs, nothing binds the first process yet.
    if let Some(bonds) = container.pid.filter(|_| state >= State::Running).and_then(Bonds::read) {
        found.extend((!bonds.seccomp).then_some(Deviation::NoSeccomp));
        let has_all = bonds.capabilities & all_capabilities == all_capabilities;
        found.extend(has_all.then_some(Deviation::AllCapabilities));
    }
    found.extend(containers::exposures(container).into_iter().map(Deviation::Exposed));
    found
}

/// The host's user namespace is usual, unless other containers of the same engine have their own.
fn judge_users(world: &World, rows: &mut [Row]) {
    let engine = |row: &Row| world.inventory.containers[row.place].engine;
    let remapped: HashSet<Engine> =
        rows.iter().filter(|row| row.namespaces[Kind::User as usize] == Whose::Own).map(engine).collect();
    for row in rows.iter_mut() {
        if row.namespaces[Kind::User as usize] == Whose::Host && remapped.contains(&engine(row)) {
            let place = row.deviations.iter().take_while(|one| matches!(one, Deviation::HostNamespace(_))).count();
            row.deviations.insert(place, Deviation::HostNamespace(Kind::User));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deviations_are_short() {
        let root = |writable| Deviation::Exposed(Exposure::HostRoot { at: "/host".into(), writable });
        let socket = Exposure::EngineSocket { socket: "/run/docker.sock".into(), at: "/s".into() };
        let all = [Deviation::HostNamespace(Kind::Net), root(true), root(false), Deviation::Exposed(socket)];
        assert_eq!(
            all.map(|one| one.to_string()),
            ["host net", "host / on /host", "host / on /host (ro)", "docker.sock"]
        );
    }
}
