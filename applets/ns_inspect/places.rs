//! What is in network, mount and pid namespaces, and whether one could go there.

use std::collections::HashMap;
use std::path::Path;

use nskit::error::Error;
use nskit::inspect::explain::{Caller, Outcome, explain};
use nskit::inspect::mounttree::{self, Mount, Why};
use nskit::inspect::network::{self, Network};
use nskit::inspect::{containers, pids};
use nskit::namespace::Kind;

use super::facts;
use super::grid::{Cell, Grid};
use super::paint::{Paint, Style};
use super::show;
use super::width;
use super::world::{Target, World};

/// What was found in network namespaces.
pub(crate) struct Networks {
    /// All that could be looked into.
    pub(crate) all: Vec<Network>,
    /// Which processes have each socket open, by its inode number.
    pub(crate) owners: HashMap<u64, Vec<i32>>,
    failures: Vec<(u64, Error)>,
    only: Option<u64>,
}

impl Networks {
    /// Looks into all, since links lead anywhere, though only that of `only` is wanted.
    pub(crate) fn look(world: &World, only: Option<&Target>) -> anyhow::Result<Networks> {
        let only = match only {
            Some(Target::Namespace(named)) => {
                let namespace = &world.snapshot.namespaces[named.find(&world.snapshot)?];
                anyhow::ensure!(namespace.kind == Kind::Net, "{namespace} is no network namespace");
                Some(namespace.inode)
            }
            Some(target) => {
                let path = format!("/proc/{}/ns/net", target.pid()?);
                let link = std::fs::read_link(&path).map_err(|error| Error::io(&error, format!("read {path}")))?;
                link.to_str().and_then(|link| link.strip_prefix("net:[")?.strip_suffix(']')?.parse().ok())
            }
            None => None,
        };
        let (all, failures) = network::look_at_all(&world.snapshot);
        let owners = network::socket_owners(world.snapshot.processes.iter().map(|process| process.pid));
        let networks = Networks { all, owners, failures, only };
        let is_empty = networks.wanted().next().is_none() && networks.failures().next().is_none();
        match only.filter(|_| is_empty) {
            Some(inode) => anyhow::bail!("net:[{inode}] cannot be looked into: nothing that can be opened leads there"),
            None => Ok(networks),
        }
    }

    fn is_wanted(&self, inode: u64) -> bool {
        self.only.is_none_or(|only| only == inode)
    }

    /// Those that were asked for.
    pub(crate) fn wanted(&self) -> impl Iterator<Item = &Network> {
        self.all.iter().filter(|network| self.is_wanted(network.namespace))
    }

    /// Those that were asked for and could not be looked into, by inode number, with the reason.
    pub(crate) fn failures(&self) -> impl Iterator<Item = &(u64, Error)> {
        self.failures.iter().filter(|(inode, _)| self.is_wanted(*inode))
    }
}

/// Links, addresses, the other ends of veths and listening sockets, of all network namespaces or of one.
pub(crate) fn net(world: &World, only: Option<&Target>, paint: Paint) -> anyhow::Result<String> {
    let networks = Networks::look(world, only)?;
    let mut out = String::new();
    for network in networks.wanted() {
        if !out.is_empty() {
            out.push('\n');
        }
        let name = paint.paint(Style::Name, &format!("net:[{}]", network.namespace));
        let line = format!("{name}{}", width::printable(&whose(world, network.namespace)));
        out.push_str(&(paint.fit(&line) + "\n"));
        out.push_str(&links(world, &networks.all, network, paint));
        out.push_str(&listeners(network, &networks.owners, paint));
    }
    for (inode, error) in networks.failures() {
        let line = format!("net:[{inode}]{}: {error}", width::printable(&whose(world, *inode)));
        out.push_str(&paint.wrap(&line, ""));
    }
    Ok(out)
}

/// In words behind a namespace: the host's, containers', processes.
fn whose(world: &World, inode: u64) -> String {
    let Some(index) = world.snapshot.find(inode) else { return String::new() };
    if world.is_host(index) {
        return " host".into();
    }
    let containers: Vec<String> = world.containers_in(index).iter().map(|container| container.title()).collect();
    if !containers.is_empty() {
        return format!(" {}", containers.join(", "));
    }
    let namespace = &world.snapshot.namespaces[index];
    let mark = world.host_mark(index);
    match (world.snapshot.leader(namespace), namespace.keepers.first()) {
        (Some(process), _) => format!("{mark} {} {}", process.pid, facts::command(process.pid)),
        (None, Some(keeper)) => format!("{mark} kept by {keeper}"),
        _ => mark.to_owned(),
    }
}

fn links(world: &World, networks: &[Network], network: &Network, paint: Paint) -> String {
    let mut grid = Grid::new(&["LINK", "KIND", "STATE", "MTU", "ADDRESSES", "LEADS TO"]);
    for link in &network.links {
        let leads = match network::peer(networks, network, link) {
            Some((inode, other)) if inode == network.namespace => other.name.clone(),
            Some((inode, other)) => format!("{} in net:[{inode}]{}", other.name, whose(world, inode)),
            None => match (link.peer, link.peer_netnsid) {
                (Some(peer), Some(id)) => format!("link {peer} in a network namespace that is not seen (netnsid {id})"),
                _ => String::new(),
            },
        };
        let bridge = link.master.and_then(|master| network.links.iter().find(|other| other.index == master));
        let leads = match bridge {
            Some(bridge) if leads.is_empty() => format!("part of {}", bridge.name),
            Some(bridge) => format!("{leads}, part of {}", bridge.name),
            None => leads,
        };
        grid.add(vec![
            Cell::text(link.name.clone()),
            Cell::text(link.kind.clone()),
            if link.up { Cell::text("up").styled(Style::Good) } else { Cell::text("down").styled(Style::Faint) },
            Cell::number(Some(u64::from(link.mtu))),
            Cell::text(link.addresses.join(" ")),
            Cell::text(leads),
        ]);
    }
    grid.print(paint, "  ")
}

fn listeners(network: &Network, owners: &HashMap<u64, Vec<i32>>, paint: Paint) -> String {
    let mut grid = Grid::new(&["LISTENS", "PROCESSES"]);
    for listener in &network.listeners {
        let processes = owners.get(&listener.inode).map(|pids| {
            let names = pids.iter().map(|&pid| format!("{pid} {}", facts::command(pid)));
            names.collect::<Vec<_>>().join(", ")
        });
        let address = std::net::SocketAddr::new(listener.address, listener.port);
        grid.add(vec![
            Cell::text(format!("{} {address}", listener.protocol)),
            Cell::text(processes.unwrap_or_else(|| "not to be seen".into())),
        ]);
    }
    if grid.is_empty() { String::new() } else { grid.print(paint, "  ") }
}

/// The mount tree that the target sees.
pub(crate) fn mnt(target: &Target, paint: Paint) -> anyhow::Result<String> {
    let mounts = mounttree::read(target.pid()?)?;
    let mut out = String::new();
    let ids: Vec<u32> = mounts.iter().map(|mount| mount.id).collect();
    let roots: Vec<&Mount> =
        mounts.iter().filter(|mount| mount.parent == mount.id || !ids.contains(&mount.parent)).collect();
    for root in roots {
        mount_branch(&mounts, root, "", "", paint, &mut out);
    }
    Ok(out)
}

fn mount_branch(mounts: &[Mount], mount: &Mount, own: &str, below: &str, paint: Paint, out: &mut String) {
    let point = mount.point.display().to_string();
    let point =
        paint.paint(if mount.hidden_by.is_some() { Style::Bad } else { Style::Name }, &width::printable(&point));
    let mut line = format!("{own}{point} {} {}", mount.kind, width::printable(&mount.source));
    if mount.root != Path::new("/") {
        line.push_str(&format!("[{}]", width::printable(&mount.root.display().to_string())));
    }
    line.push_str(&paint.paint(Style::Faint, &format!(" {} {}", mount.options, mount.propagation)));
    if let Some(over) = mount.hidden_by.and_then(|id| mounts.iter().find(|other| other.id == id)) {
        let what = format!(" hidden by {} on {}", over.kind, over.point.display());
        line.push_str(&paint.paint(Style::Bad, &width::printable(&what)));
    }
    out.push_str(&paint.fit(line.trim_end()));
    out.push('\n');
    let children: Vec<&Mount> =
        mounts.iter().filter(|other| other.parent == mount.id && other.id != mount.id).collect();
    let (line, last, bar) = if width::is_utf8() { ("├─ ", "└─ ", "│  ") } else { ("|- ", "`- ", "|  ") };
    for (number, child) in children.iter().enumerate() {
        let is_last = number + 1 == children.len();
        let own = format!("{below}{}", if is_last { last } else { line });
        let next = format!("{below}{}", if is_last { "   " } else { bar });
        mount_branch(mounts, child, &own, &next, paint, out);
    }
}

/// Which mount namespaces keep a path busy.
pub(crate) fn holds(world: &World, path: &Path, paint: Paint) -> anyhow::Result<String> {
    let holders = mounttree::holders(path, &world.snapshot)?;
    let mut out = String::new();
    // That no more than all of its file system is mounted somewhere keeps no path busy by itself.
    if holders.found.iter().all(|holder| holder.why == Why::Around) {
        let count = match holders.looked_at {
            1 => "the one mount namespace that was looked at".to_owned(),
            count => format!("the {count} mount namespaces that were looked at"),
        };
        let path = width::printable(&path.display().to_string());
        out.push_str(
            &paint.wrap(&format!("in {count}, nothing of {path} alone is mounted, and nothing on it or below"), ""),
        );
    }
    if !holders.found.is_empty() {
        let mut grid = Grid::new(&["NAMESPACE", "WHOSE", "MOUNTED ON", "TYPE", "WHY"]);
        for holder in holders.found {
            let hidden = if holder.mount.hidden_by.is_some() { " (mounted over)" } else { "" };
            let why = match holder.why {
                Why::FileSystem => "what is at the path is mounted there",
                Why::Around => "the path's file system is mounted there",
                Why::On => "it is mounted on the path or below",
                Why::Path => "there it has the same path",
            };
            grid.add(vec![
                Cell::text(format!("mnt:[{}]", holder.namespace)),
                Cell::text(whose(world, holder.namespace).trim_start()),
                Cell::text(format!("{}{hidden}", holder.mount.point.display())),
                Cell::text(holder.mount.kind),
                Cell::text(why),
            ]);
        }
        out.push_str(&grid.print(paint, ""));
    }
    holders.gaps.iter().for_each(|gap| out.push_str(&paint.wrap(&format!("could not be looked at: {gap}"), "")));
    Ok(out)
}

/// What `/proc` calls the process: a number, which the pid namespace of `inside` may count, or a target.
pub(crate) fn translated(text: &str, inside: Option<&Target>) -> anyhow::Result<i32> {
    match (inside, text.parse::<i32>()) {
        (Some(target), Ok(pid)) => Ok(pids::translate(pid, target.pid()?)?),
        (Some(_), Err(_)) => {
            anyhow::bail!("'{text}' is no number: --in takes the pid that the target's pid namespace has")
        }
        (None, Ok(pid)) => Ok(pid),
        (None, Err(_)) => Target::parse(text)?.pid(),
    }
}

/// What a process is called at each level.
pub(crate) fn pid(pid: i32, paint: Paint) -> anyhow::Result<String> {
    let mut grid = Grid::new(&["PID NAMESPACE", "PID"]);
    for level in pids::levels(pid)? {
        let namespace = if level.namespace == 0 { "?".into() } else { format!("pid:[{}]", level.namespace) };
        grid.add(vec![Cell::text(namespace), Cell::number(Some(level.pid as u64))]);
    }
    Ok(show::heading(&Target::Process(pid), pid, containers::of_process(pid).as_ref(), paint)
        + &grid.print(paint, "  "))
}

/// Whether the caller could enter the target's namespaces.
pub(crate) fn enterable(target: &Target, caller: i32, paint: Paint) -> anyhow::Result<String> {
    let pid = target.pid()?;
    let explanation = explain(&Caller::read(caller)?, pid)?;
    let mut out = show::heading(target, pid, containers::of_process(pid).as_ref(), paint);
    let mut told: &[String] = &[];
    for verdict in &explanation.verdicts {
        let inode = verdict.inode.map(|inode| format!("[{inode}]")).unwrap_or_default();
        let (word, reasons): (String, &[String]) = match &verdict.outcome {
            Outcome::Same => (paint.paint(Style::Faint, "the caller is in it"), &[]),
            Outcome::Missing => {
                (paint.paint(Style::Faint, "none: the kernel has no such kind, or the process ends"), &[])
            }
            Outcome::Allowed => (paint.paint(Style::Good, "yes"), &[]),
            Outcome::AfterUser => (paint.paint(Style::Good, "yes, after the user namespace"), &[]),
            Outcome::Refused(reasons) => (paint.paint(Style::Bad, "no"), reasons),
            Outcome::Hidden(reasons) => (paint.paint(Style::Bad, "no, not even to be read"), reasons),
        };
        let again = !reasons.is_empty() && reasons == told;
        let end = if again {
            ", for the same reason"
        } else if reasons.is_empty() {
            ""
        } else {
            ":"
        };
        out.push_str(&paint.fit(&format!("  {:<8} {inode:<12} {word}{end}", verdict.kind.oci_name())));
        out.push('\n');
        if !again && !reasons.is_empty() {
            let indent = " ".repeat(24);
            reasons.iter().for_each(|reason| out.push_str(&paint.wrap(reason, &indent)));
            told = reasons;
        }
    }
    for remark in &explanation.remarks {
        out.push_str(&paint.wrap(&format!("note: {remark}"), "  "));
    }
    Ok(out)
}
