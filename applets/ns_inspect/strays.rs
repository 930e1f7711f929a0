//! Namespaces that are neither the host's nor a container's: whose they are, and what keeps them.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::path::Path;

use nskit::inspect::Keeper;
use nskit::inspect::proc;
use nskit::namespace::Kind;

use super::facts;
use super::grid::{Cell, Grid};
use super::paint::Paint;
use super::rows::Wanted;
use super::world::World;

/// How many groups are shown unless all are wanted; the rest is counted.
const GROUPS: usize = 5;

/// Namespaces with the same leading process; or one that no process is in.
pub(crate) struct Stray {
    pub(crate) leader: Option<i32>,
    pub(crate) namespaces: Vec<usize>,
}

/// The part of the overview that tells of them: a line a group of processes of one program, or, where all are wanted, a line
/// a process.
pub(crate) fn text(world: &mut World, wanted: Wanted, paint: Paint) -> String {
    if wanted.all {
        let all = all(world);
        return if all.is_empty() { String::new() } else { format!("\nOther namespaces:\n{}", all.print(paint, "  ")) };
    }
    let mut groups = groups(find(world));
    let rest = groups.split_off(groups.len().min(GROUPS));
    if groups.is_empty() {
        return String::new();
    }
    let mut grid = new_grid();
    for group in &groups {
        match group.as_slice() {
            [one] => add(world, &mut grid, one),
            several => add_group(world, &mut grid, several),
        }
    }
    let mut out = format!("\nOther namespaces:\n{}", grid.print(paint, "  "));
    if !rest.is_empty() {
        let namespaces: usize = rest.iter().flatten().map(|stray| stray.namespaces.len()).sum();
        let processes: u64 = rest.iter().flatten().map(|stray| processes(world, stray)).sum();
        out.push_str(&paint.wrap(&format!("+ {namespaces} of {processes} processes: --all"), "  "));
    } else if groups.iter().any(|group| group.len() > 1) {
        out.push_str("  --all shows each of them\n");
    }
    out
}

/// A line for each process that leads some, and for each that no process is in.
pub(crate) fn all(world: &mut World) -> Grid {
    let mut grid = new_grid();
    find(world).iter().for_each(|stray| add(world, &mut grid, stray));
    grid
}

fn new_grid() -> Grid {
    Grid::new(&["NAMESPACES", "PROCS", "USER", "KEPT BY"]).yielding(&["KEPT BY", "NAMESPACES"])
}

/// Those that there are, but for the ones that the kernel's own threads have.
pub(crate) fn find(world: &World) -> Vec<Stray> {
    let mut strays: Vec<Stray> = Vec::new();
    let mut by_leader: HashMap<i32, usize> = HashMap::new();
    for index in 0..world.snapshot.namespaces.len() {
        if world.is_host(index) || !world.containers_in(index).is_empty() {
            continue;
        }
        let leader = world.snapshot.leader(&world.snapshot.namespaces[index]).map(|process| process.pid);
        match leader.and_then(|pid| by_leader.get(&pid)) {
            Some(&place) => strays[place].namespaces.push(index),
            None => {
                by_leader.extend(leader.map(|pid| (pid, strays.len())));
                strays.push(Stray { leader, namespaces: vec![index] });
            }
        }
    }
    let is_kernels =
        |stray: &Stray| stray.leader.and_then(proc::Stat::read).is_some_and(|leader| leader.is_kernel_thread());
    strays.retain(|stray| !is_kernels(stray));
    strays
}

/// By the program that leads them, the largest first; each that no process is in is a group of its own, and these come last.
fn groups(strays: Vec<Stray>) -> Vec<Vec<Stray>> {
    let mut groups: BTreeMap<(bool, String), Vec<Stray>> = BTreeMap::new();
    for stray in strays {
        let name = match stray.leader {
            Some(pid) => std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default(),
            None => stray.namespaces[0].to_string(),
        };
        groups.entry((stray.leader.is_none(), name)).or_default().push(stray);
    }
    let mut groups: Vec<((bool, String), Vec<Stray>)> = groups.into_iter().collect();
    groups.sort_by_key(|((is_kept, _), group)| (*is_kept, std::cmp::Reverse(group.len())));
    groups.into_iter().map(|(_, group)| group).collect()
}

/// How many processes are in the namespace of it that has the most.
fn processes(world: &World, stray: &Stray) -> u64 {
    let of = |&index: &usize| u64::from(world.snapshot.namespaces[index].processes);
    stray.namespaces.iter().map(of).max().unwrap_or(0)
}

fn user(world: &mut World, stray: &Stray) -> String {
    let owner = world.snapshot.namespaces[stray.namespaces[0]].owner_uid;
    let uid = stray.leader.and_then(facts::uid).or(owner);
    uid.map(|uid| world.users.name(uid)).unwrap_or_default()
}

/// A line for one.
fn add(world: &mut World, grid: &mut Grid, stray: &Stray) {
    let kept = match stray.leader {
        Some(pid) => match world.inventory.of(pid) {
            // One that a container made inside of itself.
            Some(container) => format!("{pid} {} (in {})", facts::command(pid), container.title()),
            None => format!("{pid} {}", facts::command(pid)),
        },
        None => match keepers(world, stray.namespaces[0]) {
            none if none.is_empty() => "nothing that can be seen".to_owned(),
            keepers => keepers.join("; "),
        },
    };
    let name = |&index: &usize| format!("{}{}", world.snapshot.namespaces[index], world.host_mark(index));
    let names: Vec<String> = stray.namespaces.iter().map(name).collect();
    let user = user(world, stray);
    grid.add(vec![
        Cell::text(names.join(" ")),
        Cell::number(Some(processes(world, stray))),
        Cell::text(user),
        Cell::text(kept),
    ]);
}

/// A line for those of several processes of one program.
fn add_group(world: &mut World, grid: &mut Grid, group: &[Stray]) {
    let mut kinds: BTreeMap<Kind, usize> = BTreeMap::new();
    for &index in group.iter().flat_map(|stray| &stray.namespaces) {
        *kinds.entry(world.snapshot.namespaces[index].kind).or_default() += 1;
    }
    let kinds: Vec<String> = kinds.iter().map(|(kind, count)| format!("{count} {}", kind.proc_name())).collect();
    let total: u64 = group.iter().map(|stray| processes(world, stray)).sum();
    let mut users: Vec<String> = group.iter().map(|stray| user(world, stray)).collect();
    users.sort();
    users.dedup();
    let first = group[0].leader.unwrap_or_default();
    let kept = format!("{first} {} and {} more", facts::command(first), group.len() - 1);
    grid.add(vec![
        Cell::text(kinds.join(", ")),
        Cell::number(Some(total)),
        Cell::text(users.join(", ")),
        Cell::text(kept),
    ]);
}

/// What keeps a namespace that no process is in, in words that fit others which are kept alike.
pub(crate) fn kept(world: &World, index: usize) -> String {
    match world.snapshot.namespaces[index].keepers.first() {
        Some(Keeper::Mount { path, .. }) => match path.parent().filter(|parent| *parent != Path::new("/")) {
            Some(parent) => format!("mounts in {}", parent.display()),
            None => format!("mount {}", path.display()),
        },
        Some(Keeper::Thread { pid, .. } | Keeper::ForChildren { pid }) => {
            format!("threads and children of {}", name(*pid))
        }
        Some(Keeper::Descriptor { pid, .. } | Keeper::Socket { pid, .. }) => format!("open files of {}", name(*pid)),
        Some(Keeper::Child { .. } | Keeper::Owned { .. }) => "namespaces below".to_owned(),
        None => match keepers(world, index).is_empty() {
            true => "nothing that can be seen".to_owned(),
            false => "namespaces below".to_owned(),
        },
    }
}

/// A process's name, as proc_pid_comm(5) tells it.
pub(crate) fn name(pid: i32) -> String {
    std::fs::read_to_string(format!("/proc/{pid}/comm"))
        .map_or_else(|_| "a process that ended".to_owned(), |name| name.trim_end().to_owned())
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
