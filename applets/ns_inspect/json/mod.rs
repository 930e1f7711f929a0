//! Everything as JSON, by the schema in `docs/ns-inspect.schema.json`. `version` changes when something is taken away,
//! means something else or may have values that it had not; what is new may come without.

mod views;

use nskit::inspect::containers::Container;
use nskit::inspect::{Gap, Keeper, Scope, discover, proc};
use serde_json::{Value, json};

use super::facts;
use super::world::{Target, World};

pub(crate) use self::views::{diff, enterable, holds, mnt, net, pid};

/// The version of the schema.
pub(crate) const VERSION: u32 = 2;

/// The document, of everything or of one target: a line for each namespace, container and gap, made one at a time, so
/// that tens of thousands of namespaces need no tree of values in memory.
pub(crate) fn document(world: &mut World, target: Option<&Target>) -> anyhow::Result<String> {
    let wanted: Option<Vec<u64>> = match target {
        None => None,
        Some(Target::Namespace(named)) => Some(vec![world.snapshot.namespaces[named.find(&world.snapshot)?].inode]),
        Some(Target::Process(pid) | Target::Container(_, pid)) => {
            let snapshot = discover(&Scope::process(*pid))?;
            if snapshot.processes.is_empty() {
                return Err(proc::absent(*pid).into());
            }
            Some(snapshot.namespaces.iter().map(|namespace| namespace.inode).collect())
        }
    };
    let is_wanted = |inode: u64| wanted.as_ref().is_none_or(|wanted| wanted.contains(&inode));
    let mut out = format!("{{\n\"version\": {VERSION},\n\"view\": \"everything\",\n\"namespaces\": [");
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
    let containers = world.inventory.containers.iter().filter(|container| match target {
        Some(Target::Container(wanted, pid)) => wanted.id == container.id && container.pid == Some(*pid),
        _ => true,
    });
    for (place, found) in containers.enumerate() {
        item(&mut out, place, &container(found));
    }
    out.push_str("\n],\n\"gaps\": [");
    for (place, found) in world.snapshot.gaps.iter().chain(&world.inventory.gaps).enumerate() {
        item(&mut out, place, &gap(found));
    }
    out.push_str("\n]\n}\n");
    Ok(out)
}

fn item(out: &mut String, place: usize, value: &Value) {
    out.push_str(if place == 0 { "\n" } else { ",\n" });
    out.push_str(&value.to_string());
}

fn gap(gap: &Gap) -> Value {
    let count = (gap.count > 0).then_some(gap.count);
    json!({"what": gap.what, "count": count, "reason": gap.reason, "pids": gap.pids})
}

pub(crate) fn container(container: &Container) -> Value {
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
