//! The views as JSON: one document each, by `$defs` of the schema that are called as the view.

use std::path::Path;

use nskit::inspect::explain::{Caller, Outcome, explain};
use nskit::inspect::mounttree::{self, Mount, Why};
use nskit::inspect::network::{self, Link, Network};
use nskit::inspect::{containers, pids, users};
use nskit::namespace::Kind;
use serde_json::{Value, json};

use super::super::facts;
use super::super::places::Networks;
use super::super::tree;
use super::super::world::{Target, World};
use super::{VERSION, gap, identity};

/// The document of a view, with what all have.
fn document(view: &str, mut members: Value) -> String {
    members["version"] = VERSION.into();
    members["view"] = view.into();
    format!("{members}\n")
}

/// A process or container that was named.
pub(super) fn target(target: &Target, pid: i32) -> Value {
    let container = match target {
        Target::Container(container, _) => Some(container.id.clone()),
        _ => containers::of_process(pid).map(|container| container.id),
    };
    json!({"title": target.title(), "pid": pid, "container": container, "user": user(pid)})
}

/// Who a process is on the host, and in its own user namespace by its own list of users.
fn user(pid: i32) -> Value {
    let Some(uid) = facts::uid(pid) else { return Value::Null };
    let inside = users::inside(pid, uid).map(|inside| json!({"uid": inside.uid, "name": inside.name}));
    json!({"uid": uid, "name": facts::Users::default().name(uid), "inside": inside})
}

fn known(inode: u64) -> Option<u64> {
    (inode != 0).then_some(inode)
}

/// The namespaces of two targets.
pub(crate) fn diff(a: &Target, b: &Target) -> anyhow::Result<String> {
    let (left, right) = (a.pid()?, b.pid()?);
    let (of_a, of_b) = (tree::namespaces(left)?, tree::namespaces(right)?);
    let kinds = Kind::ALL.map(|kind| {
        let (a, b) = (of_a[kind as usize], of_b[kind as usize]);
        json!({"type": kind.proc_name(), "a": a, "b": b, "same": a.zip(b).map(|(a, b)| a == b)})
    });
    Ok(document("diff", json!({"a": target(a, left), "b": target(b, right), "kinds": kinds})))
}

/// Links, addresses and listening sockets.
pub(crate) fn net(world: &World, only: Option<&Target>) -> anyhow::Result<String> {
    let networks = Networks::look(world, only)?;
    let found: Vec<Value> = networks.wanted().map(|network| one_network(world, &networks, network)).collect();
    let failures: Vec<Value> =
        networks.failures().map(|(inode, error)| json!({"inode": inode, "reason": error.to_string()})).collect();
    Ok(document("net", json!({"networks": found, "failures": failures})))
}

fn one_network(world: &World, networks: &Networks, network: &Network) -> Value {
    let links: Vec<Value> = network.links.iter().map(|link| one_link(networks, network, link)).collect();
    let listeners: Vec<Value> = network
        .listeners
        .iter()
        .map(|listener| {
            let pids = networks.owners.get(&listener.inode);
            let processes = pids.map(|pids| {
                let process = |&pid| json!({"pid": pid, "command": facts::command(pid)});
                pids.iter().map(process).collect::<Vec<_>>()
            });
            let address = listener.address.to_string();
            json!({"protocol": listener.protocol, "address": address, "port": listener.port, "processes": processes})
        })
        .collect();
    let index = world.snapshot.find(network.namespace);
    json!({
        "inode": network.namespace,
        "host": index.and_then(|index| world.of_host(index)),
        "containers": ids_of(world, network.namespace),
        "links": links,
        "listeners": listeners,
    })
}

fn one_link(networks: &Networks, network: &Network, link: &Link) -> Value {
    let name = |index: i32| network.links.iter().find(|other| other.index == index).map(|other| &other.name);
    let peer = network::peer(&networks.all, network, link);
    json!({
        "index": link.index,
        "name": link.name,
        "kind": link.kind,
        "up": link.up,
        "mac": link.mac,
        "mtu": link.mtu,
        "addresses": link.addresses,
        "master": link.master.and_then(name),
        "peer": peer.map(|(inode, other)| json!({"inode": inode, "name": other.name, "index": other.index})),
        "peer_index": link.peer,
        "peer_netnsid": link.peer_netnsid,
    })
}

fn ids_of(world: &World, inode: u64) -> Vec<String> {
    let index = world.snapshot.find(inode);
    let containers = index.map(|index| world.containers_in(index)).unwrap_or_default();
    containers.into_iter().map(|container| container.id.clone()).collect()
}

/// The mounts that a target sees.
pub(crate) fn mnt(whose: &Target) -> anyhow::Result<String> {
    let pid = whose.pid()?;
    let mounts: Vec<Value> = mounttree::read(pid)?.iter().map(mount).collect();
    Ok(document("mnt", json!({"target": target(whose, pid), "mounts": mounts})))
}

fn mount(mount: &Mount) -> Value {
    json!({
        "id": mount.id,
        "parent": mount.parent,
        "device": format!("{}:{}", mount.device.0, mount.device.1),
        "root": mount.root.to_string_lossy(),
        "point": mount.point.to_string_lossy(),
        "options": mount.options,
        "propagation": mount.propagation,
        "type": mount.kind,
        "source": mount.source,
        "hidden_by": mount.hidden_by,
    })
}

/// Which mount namespaces keep a path busy.
pub(crate) fn holds(world: &World, path: &Path) -> anyhow::Result<String> {
    let found = mounttree::holders(path, &world.snapshot)?;
    let holders: Vec<Value> = found
        .found
        .iter()
        .map(|holder| {
            let containers = ids_of(world, holder.namespace);
            let why = match holder.why {
                Why::FileSystem | Why::Around => "same-file-system",
                Why::On => "mounted-on-it",
                Why::Path => "same-path",
            };
            let mount = mount(&holder.mount);
            json!({"inode": holder.namespace, "pid": holder.pid, "containers": containers, "why": why, "mount": mount})
        })
        .collect();
    let gaps: Vec<Value> = found.gaps.iter().map(gap).collect();
    let path = path.to_string_lossy();
    Ok(document("holds", json!({"path": path, "holders": holders, "looked_at": found.looked_at, "gaps": gaps})))
}

/// What a process is called at each level, and the container that it is in.
pub(crate) fn pid(pid: i32) -> anyhow::Result<String> {
    let levels: Vec<Value> =
        pids::levels(pid)?.iter().map(|level| json!({"inode": known(level.namespace), "pid": level.pid})).collect();
    Ok(document(
        "pid",
        json!({
            "pid": pid,
            "command": facts::command(pid),
            "levels": levels,
            "container": containers::of_process(pid).as_ref().map(identity),
            "user": user(pid),
        }),
    ))
}

/// Whether the caller could enter the target's namespaces.
pub(crate) fn enterable(whose: &Target, caller: i32) -> anyhow::Result<String> {
    let pid = whose.pid()?;
    let explanation = explain(&Caller::read(caller)?, pid)?;
    let kinds: Vec<Value> = explanation
        .verdicts
        .iter()
        .map(|verdict| {
            let (outcome, reasons): (&str, &[String]) = match &verdict.outcome {
                Outcome::Same => ("same", &[]),
                Outcome::Allowed => ("allowed", &[]),
                Outcome::AfterUser => ("after-user", &[]),
                Outcome::Refused(reasons) => ("refused", reasons),
                Outcome::Hidden(reasons) => ("hidden", reasons),
                Outcome::Missing => ("missing", &[]),
            };
            json!({"type": verdict.kind.proc_name(), "inode": verdict.inode, "outcome": outcome, "reasons": reasons})
        })
        .collect();
    let members =
        json!({"target": target(whose, pid), "caller": caller, "kinds": kinds, "remarks": explanation.remarks});
    Ok(document("explain", members))
}
