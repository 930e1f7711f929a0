//! Everything as JSON, by the schema in `docs/ns-inspect.schema.json`. `version` changes when something is taken away or
//! means something else; what is new may come without.

use nskit::inspect::{Keeper, Scope, discover};
use serde_json::{Value, json};

use super::facts;
use super::world::{Target, World};

/// The version of the schema.
const VERSION: u32 = 1;

/// The document.
pub(crate) fn document(world: &mut World) -> Value {
    let namespaces: Vec<Value> = (0..world.snapshot.namespaces.len()).map(|index| namespace(world, index)).collect();
    let containers = world.inventory.containers.iter().map(|container| {
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
    });
    let containers: Vec<Value> = containers.collect();
    let gaps: Vec<Value> = world
        .snapshot
        .gaps
        .iter()
        .map(|gap| json!({"what": gap.what, "count": (gap.count > 0).then_some(gap.count), "reason": gap.reason}))
        .collect();
    json!({"version": VERSION, "namespaces": namespaces, "containers": containers, "gaps": gaps})
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
        "host": world.is_host(index),
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

/// Leaves only the namespaces of the target, and the containers in these.
pub(crate) fn restrict(document: &mut Value, target: &Target) -> anyhow::Result<()> {
    let wanted: Vec<u64> = match target {
        Target::Namespace(inode) => vec![*inode],
        Target::Process(pid) | Target::Container(_, pid) => {
            let snapshot = discover(&Scope::process(*pid))?;
            snapshot.namespaces.iter().map(|namespace| namespace.inode).collect()
        }
    };
    let is_wanted = |namespace: &Value| namespace["inode"].as_u64().is_some_and(|inode| wanted.contains(&inode));
    if let Some(namespaces) = document["namespaces"].as_array_mut() {
        namespaces.retain(is_wanted);
        anyhow::ensure!(!namespaces.is_empty(), "there is no {}", target.title());
    }
    if let (Target::Container(container, _), Some(containers)) = (target, document["containers"].as_array_mut()) {
        containers.retain(|other| other["id"] == container.id.as_str());
    }
    Ok(())
}
