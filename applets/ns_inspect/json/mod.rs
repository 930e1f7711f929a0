//! Everything as JSON, by the schema in `docs/ns-inspect.schema.json`. `version` changes when something is taken away,
//! means something else or may have values that it had not; what is new may come without.

mod views;

use nskit::inspect::containers::{Container, Exposure};
use nskit::inspect::{Gap, Keeper, Process, Scope, discover, proc};
use nskit::namespace::Kind;
use serde_json::{Value, json};

use super::rows::{Deviation, Row, Wanted, Whose, rows};
use super::world::{Target, World};
use super::{Choice, facts, overview};

pub(crate) use self::views::{diff, enterable, holds, mnt, net, pid};

/// The version of the schema.
pub(crate) const VERSION: u32 = 3;

/// The document, of everything or of one target: a line for each namespace, container and gap, made one at a time, so
/// that tens of thousands of namespaces need no tree of values in memory.
pub(crate) fn document(world: &mut World, target: Option<&Target>, choice: &Choice) -> anyhow::Result<String> {
    let wanted: Option<Vec<u64>> = match target {
        None => None,
        Some(Target::Namespace(named)) => Some(vec![world.snapshot.namespaces[named.find(&world.snapshot)?].inode]),
        Some(Target::Group(group)) => Some(namespaces_of(world, &overview::of(world, &group.members))),
        Some(Target::Process(pid) | Target::Container(_, pid)) => {
            let snapshot = discover(&Scope::process(*pid))?;
            if snapshot.processes.is_empty() {
                return Err(proc::absent(*pid).into());
            }
            Some(snapshot.namespaces.iter().map(|namespace| namespace.inode).collect())
        }
    };
    let is_wanted = |inode: u64| wanted.as_ref().is_none_or(|wanted| wanted.contains(&inode));
    let mut out = format!("{{\n\"version\": {VERSION},\n\"view\": \"everything\",\n");
    if let Some(Target::Process(pid) | Target::Container(_, pid)) = target {
        out.push_str(&format!("\"target\": {},\n", target.map_or(Value::Null, |target| views::target(target, *pid))));
    }
    out.push_str("\"namespaces\": [");
    let mut count = 0;
    for index in 0..world.snapshot.namespaces.len() {
        if is_wanted(world.snapshot.namespaces[index].inode) {
            item(&mut out, count, &namespace(world, index));
            count += 1;
        }
    }
    if let (Some(target), 0) = (target, count) {
        anyhow::bail!("the namespaces of {} may not be read", target.title());
    }
    out.push_str("\n],\n\"containers\": [");
    let rows = match target {
        None => overview::chosen(world, choice)?,
        Some(Target::Container(wanted, pid)) => {
            let mut rows = rows(world, Wanted { all: true });
            rows.retain(|row| {
                let found = &world.inventory.containers[row.place];
                found.id == wanted.id && found.pid == Some(*pid)
            });
            rows
        }
        Some(Target::Group(group)) => overview::of(world, &group.members),
        Some(Target::Process(pid)) => {
            let mut rows = rows(world, Wanted { all: true });
            rows.retain(|row| world.inventory.index_of(*pid) == Some(row.place));
            rows
        }
        Some(Target::Namespace(_)) => rows(world, Wanted::default()),
    };
    for (place, row) in rows.iter().enumerate() {
        item(&mut out, place, &container(world, row));
    }
    out.push_str("\n],\n\"gaps\": [");
    for (place, found) in world.snapshot.gaps.iter().chain(&world.inventory.gaps).enumerate() {
        item(&mut out, place, &gap(found));
    }
    out.push_str("\n]\n}\n");
    Ok(out)
}

/// The inode numbers of the namespaces that these containers are in.
fn namespaces_of(world: &World, rows: &[Row]) -> Vec<u64> {
    let pids = rows.iter().filter_map(|row| world.inventory.containers[row.place].pid);
    let processes =
        pids.filter_map(|pid| world.snapshot.find_process(pid)).map(|place| &world.snapshot.processes[place]);
    let of = |process: &Process| Kind::ALL.map(|kind| process.namespace(kind));
    processes.flat_map(of).flatten().map(|index| world.snapshot.namespaces[index].inode).collect()
}

fn item(out: &mut String, place: usize, value: &Value) {
    out.push_str(if place == 0 { "\n" } else { ",\n" });
    out.push_str(&value.to_string());
}

fn gap(gap: &Gap) -> Value {
    let count = (gap.count > 0).then_some(gap.count);
    json!({"what": gap.what, "count": count, "reason": gap.reason, "pids": gap.pids, "of_kernel": gap.of_kernel})
}

/// What a container is called, and by whom.
pub(crate) fn identity(container: &Container) -> Value {
    json!({
        "id": container.id,
        "engine": container.engine.to_string(),
        "name": container.name,
        "title": container.title(),
        "image": container.image,
        "pod": container.pod.as_ref().map(|pod| json!({"name": pod.name, "namespace": pod.namespace})),
        "engine_namespace": container.engine_namespace,
        "sandbox": container.is_sandbox,
        "pid": container.pid,
        "bundle": container.bundle,
    })
}

/// A container as its row of the overview tells of it.
fn container(world: &World, row: &Row) -> Value {
    let namespaces: serde_json::Map<String, Value> =
        Kind::ALL.map(|kind| (kind.proc_name().to_owned(), whose(world, row, kind))).into_iter().collect();
    let mut value = identity(&world.inventory.containers[row.place]);
    value["state"] = row.usage.state.to_string().into();
    value["command"] = row.command.clone().into();
    value["processes"] = row.processes.into();
    value["memory"] = row.memory.into();
    value["memory_of"] = if row.usage.memory.is_some() { "cgroup" } else { "processes" }.into();
    value["age"] = row.age.map(|age| age.as_secs()).into();
    value["namespaces"] = namespaces.into();
    value["deviations"] = row.deviations.iter().map(deviation).collect::<Vec<_>>().into();
    value
}

/// Whose namespace a container is in, and which.
fn whose(world: &World, row: &Row, kind: Kind) -> Value {
    let place = world.inventory.containers[row.place].pid.and_then(|pid| world.snapshot.find_process(pid));
    let index = place.and_then(|place| world.snapshot.processes[place].namespace(kind));
    let inode = index.map(|index| world.snapshot.namespaces[index].inode);
    let (whose, of) = match row.namespaces[kind as usize] {
        Whose::Own => ("own", None),
        Whose::Host => ("host", None),
        Whose::Other(place) => ("container", Some(&world.inventory.containers[place].id)),
        Whose::Unknown => ("unknown", None),
        Whose::None => return Value::Null,
    };
    json!({"inode": inode, "whose": whose, "container": of})
}

fn deviation(deviation: &Deviation) -> Value {
    match deviation {
        Deviation::HostNamespace(kind) => json!({"kind": "host-namespace", "type": kind.proc_name()}),
        Deviation::NoSeccomp => json!({"kind": "no-seccomp"}),
        Deviation::AllCapabilities => json!({"kind": "all-capabilities"}),
        Deviation::Exposed(Exposure::HostRoot { at, writable }) => {
            json!({"kind": "host-root", "at": at, "writable": writable})
        }
        Deviation::Exposed(Exposure::EngineSocket { socket, at }) => {
            json!({"kind": "engine-socket", "socket": socket, "at": at})
        }
    }
}

fn namespace(world: &mut World, index: usize) -> Value {
    let known = |inode: u64| (inode != 0).then_some(inode);
    let leader = world.snapshot.leader(&world.snapshot.namespaces[index]).map(|process| process.pid);
    let leader = leader.map(|pid| {
        let uid = facts::uid(pid);
        json!({"pid": pid, "uid": uid, "user": uid.map(|uid| world.users.name(uid)), "command": facts::command(pid)})
    });
    let namespace = &world.snapshot.namespaces[index];
    let containers: Vec<&str> = world.containers_in(index).iter().map(|container| container.id.as_str()).collect();
    json!({
        "type": namespace.kind.proc_name(),
        "inode": namespace.inode,
        "host": world.of_host(index),
        "processes": namespace.processes,
        "leader": leader,
        "parent": known(namespace.parent),
        "owner": known(namespace.owner),
        "owner_uid": namespace.owner_uid,
        "containers": containers,
        "keepers": namespace.keepers.iter().map(keeper).collect::<Vec<_>>(),
    })
}

fn keeper(keeper: &Keeper) -> Value {
    match keeper {
        Keeper::Thread { pid, tid } => json!({"kind": "thread", "pid": pid, "tid": tid}),
        Keeper::ForChildren { pid } => json!({"kind": "for-children", "pid": pid}),
        Keeper::Descriptor { pid, fd } => json!({"kind": "descriptor", "pid": pid, "fd": fd}),
        Keeper::Socket { pid, fd } => json!({"kind": "socket", "pid": pid, "fd": fd}),
        Keeper::Mount { namespace, path, covered } => {
            json!({"kind": "mount", "namespace": namespace, "path": path.to_string_lossy(), "covered": covered})
        }
        Keeper::Child { inode } => json!({"kind": "child", "inode": inode}),
        Keeper::Owned { inode } => json!({"kind": "owned", "inode": inode}),
    }
}
