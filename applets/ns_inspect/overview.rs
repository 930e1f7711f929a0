//! The overview: a line a container, with what it shares with the host and with others marked; then every other
//! namespace, and what keeps it.

use std::collections::BTreeSet;
use std::time::Duration;

use nskit::inspect::Keeper;
use nskit::inspect::containers::{Container, Engine};
use nskit::namespace::Kind;

use super::facts;
use super::filter::Filter;
use super::grid::{Cell, Grid};
use super::paint::{Paint, Style};
use super::world::World;
use super::{Choice, arrange};

/// The columns of its lines, by which these are sorted and filtered.
const COLUMNS: [&str; 15] = [
    "CONTAINER",
    "ENGINE",
    "PID",
    "PROCS",
    "MEMORY",
    "AGE",
    "MNT",
    "UTS",
    "IPC",
    "NET",
    "PID-NS",
    "USER",
    "CGROUP",
    "TIME",
    "IMAGE",
];

/// The filter that somebody wrote.
///
/// # Errors
/// Where it is none, or names a column that there is not.
pub(crate) fn filter(text: &str) -> anyhow::Result<Filter> {
    let filter = Filter::parse_human(text).map_err(|why| anyhow::anyhow!("failed to parse \"{text}\": {why}"))?;
    Grid::new(&COLUMNS).filter(&filter)?;
    Ok(filter)
}

/// Fails where there is no such column to sort by.
pub(crate) fn check_sort(by: &str) -> anyhow::Result<()> {
    Grid::new(&COLUMNS).sort(by)
}

/// The first processes of the containers for which the filter holds.
pub(crate) fn passing(world: &World, filter: &Filter) -> anyhow::Result<BTreeSet<i32>> {
    let (grid, pids) = containers(world);
    let passes = grid.passes(filter)?;
    Ok(pids.into_iter().zip(passes).filter_map(|(pid, passes)| passes.then_some(pid)).collect())
}

/// A line a container, neither sorted nor filtered.
pub(crate) fn rows(world: &World) -> Grid {
    containers(world).0
}

/// A line for each process with other namespaces, and for what else keeps some.
pub(crate) fn others_text(world: &mut World, paint: Paint) -> String {
    others(world).print(paint, "")
}

/// How many namespaces are neither the host's nor of a container.
pub(crate) fn count_others(world: &World) -> usize {
    let is_other = |&index: &usize| !world.is_host(index) && world.containers_in(index).is_empty();
    (0..world.snapshot.namespaces.len()).filter(is_other).count()
}

/// The text of the overview.
pub(crate) fn view(world: &mut World, choice: &Choice, paint: Paint) -> anyhow::Result<String> {
    let (mut containers, _) = containers(world);
    let are_none = containers.is_empty();
    arrange(&mut containers, choice)?;
    let mut out = String::new();
    if are_none {
        out.push_str("No containers.\n");
    } else if containers.is_empty() {
        out.push_str("No container for which the filter holds.\n");
    } else {
        out.push_str(&containers.print(paint, ""));
    }
    if choice.filter.is_none() {
        let others = others(world);
        if !others.is_empty() {
            out.push_str("\nOther namespaces:\n");
            out.push_str(&others.print(paint, "  "));
        }
    }
    out.push_str(&world.gaps(paint));
    Ok(out)
}

/// Whether it is worth a line: units of systemd are only where they have a namespace of their own.
pub(crate) fn is_shown(world: &World, container: &Container) -> bool {
    let Some(place) = container.pid.and_then(|pid| world.snapshot.find_process(pid)) else { return false };
    let process = &world.snapshot.processes[place];
    let own = |kind| process.namespace(kind).is_some_and(|index| !world.is_common(index));
    container.engine != Engine::Systemd || Kind::ALL.into_iter().any(own)
}

/// A line a container, and the first process of each.
fn containers(world: &World) -> (Grid, Vec<i32>) {
    let mut pids = Vec::new();
    let mut grid =
        Grid::new(&COLUMNS).yielding(&["IMAGE", "TIME", "CGROUP", "USER", "AGE", "UTS", "IPC", "ENGINE", "MEMORY"]);
    let mut members = vec![Vec::new(); world.inventory.containers.len()];
    for process in &world.snapshot.processes {
        if let Some(index) = world.inventory.index_of(process.pid) {
            members[index].push(process.pid);
        }
    }
    let mut containers: Vec<_> = world.inventory.containers.iter().zip(&members).collect();
    containers.sort_by_cached_key(|(container, _)| (container.engine, container.title()));
    for (container, members) in containers {
        let Some(pid) = container.pid.filter(|_| is_shown(world, container)) else { continue };
        let memory: u64 = members.iter().map(|&pid| facts::resident_bytes(pid)).sum();
        let age = facts::age(pid).unwrap_or_default();
        let mut row = vec![
            Cell::name(container.title()).styled(Style::Name),
            Cell::text(container.engine.to_string()),
            Cell::number(Some(pid as u64)),
            Cell::number(Some(members.len() as u64)),
            Cell::text(size(memory)).keyed(memory),
            Cell::text(human_age(age)).keyed(age.as_secs()),
        ];
        row.extend(Kind::ALL.map(|kind| sharing(world, container, pid, kind)));
        row.push(Cell::text(container.image.clone().unwrap_or_default()).styled(Style::Faint));
        grid.add(row);
        pids.push(pid);
    }
    (grid, pids)
}

/// Whose namespace a container is in: its own, the host's, or another container's.
fn sharing(world: &World, container: &Container, pid: i32, kind: Kind) -> Cell {
    let place = world.snapshot.find_process(pid);
    let Some(index) = place.and_then(|place| world.snapshot.processes[place].namespace(kind)) else {
        return Cell::text("?").styled(Style::Faint);
    };
    if world.is_host(index) {
        return Cell::text("host").styled(Style::Host);
    }
    let containers = world.containers_in(index);
    // The one that has had it longest is whose it is.
    match containers.iter().min_by_key(|other| (!other.is_sandbox, other.pid)) {
        Some(first) if first.pid != container.pid => Cell::name(format!("={}", first.title())).styled(Style::Shared),
        _ if world.of_host(index).is_none() => Cell::text("?").styled(Style::Faint),
        _ => Cell::text("own").styled(Style::Own),
    }
}

/// By the process that is in them, or each by itself with what keeps it.
fn others(world: &mut World) -> Grid {
    let mut grid = Grid::new(&["NAMESPACES", "PROCS", "USER", "KEPT BY"]).yielding(&["KEPT BY", "NAMESPACES"]);
    let mut rows: Vec<(Option<i32>, Vec<usize>)> = Vec::new();
    for index in 0..world.snapshot.namespaces.len() {
        if world.is_host(index) || !world.containers_in(index).is_empty() {
            continue;
        }
        let leader = world.snapshot.leader(&world.snapshot.namespaces[index]).map(|process| process.pid);
        match rows.iter_mut().find(|(pid, _)| pid.is_some() && *pid == leader) {
            Some((_, namespaces)) => namespaces.push(index),
            None => rows.push((leader, vec![index])),
        }
    }
    for (leader, namespaces) in rows {
        let first = &world.snapshot.namespaces[namespaces[0]];
        let uid = leader.and_then(facts::uid).or(first.owner_uid);
        let kept = match leader {
            Some(pid) => match world.inventory.of(pid) {
                // One that a container made inside of itself.
                Some(container) => format!("{pid} {} (in {})", facts::command(pid), container.title()),
                None => format!("{pid} {}", facts::command(pid)),
            },
            None => match keepers(world, namespaces[0]) {
                none if none.is_empty() => "nothing that can be seen".to_owned(),
                keepers => keepers.join("; "),
            },
        };
        let names: Vec<String> = namespaces
            .iter()
            .map(|&index| format!("{}{}", world.snapshot.namespaces[index], world.host_mark(index)))
            .collect();
        let row = vec![
            Cell::text(names.join(" ")),
            Cell::number(Some(u64::from(first.processes))),
            Cell::text(uid.map(|uid| world.users.name(uid)).unwrap_or_default()),
            Cell::text(kept),
        ];
        grid.add(row);
    }
    grid
}

/// Everything that keeps a namespace, but for the processes in it.
pub(crate) fn keepers(world: &World, index: usize) -> Vec<String> {
    let namespace = &world.snapshot.namespaces[index];
    let mut keepers = Vec::new();
    let process = |keeper: &Keeper| match keeper {
        Keeper::Thread { pid, .. } => Some(*pid),
        _ => None,
    };
    // Threads of one process come one after the other.
    for group in namespace.keepers.chunk_by(|a, b| process(a).is_some() && process(a) == process(b)) {
        keepers.push(match (group, process(&group[0])) {
            ([_, _, ..], Some(pid)) => format!("{} threads of process {pid}", group.len()),
            _ => group[0].to_string(),
        });
    }
    for other in &world.snapshot.namespaces {
        if other.parent == namespace.inode && other.kind == namespace.kind {
            keepers.push(format!("its child {other}"));
        } else if other.owner == namespace.inode {
            keepers.push(format!("{other}, which it owns"));
        }
    }
    keepers
}

/// A number of bytes as people write it.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "K", "M", "G", "T"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1000.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 || value >= 10.0 { format!("{value:.0}{}", UNITS[unit]) } else { format!("{value:.1}{}", UNITS[unit]) }
}

/// A time in its two largest units.
pub(crate) fn human_age(age: Duration) -> String {
    let text = humantime::format_duration(Duration::from_secs(age.as_secs())).to_string();
    text.split(' ').take(2).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_ages_are_short() {
        assert_eq!([size(999), size(1536), size(20 << 20)], ["999B", "1.5K", "20M"]);
        assert_eq!(human_age(Duration::from_secs(93_784)), "1day 2h");
        assert_eq!(human_age(Duration::from_millis(4_200)), "4s");
    }
}
