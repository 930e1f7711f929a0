//! What a picture shows, out of what was found.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::SystemTime;

use nskit::inspect::containers::{Container, State};
use nskit::namespace::Kind;

use super::super::Choice;
use super::super::overview;
use super::super::rows::{Deviation, Row, Whose};
use super::super::strays;
use super::super::world::{Target, World};
use super::{Card, Group, Mark, Picture, Section, Stray, maps, networks};

/// How many containers are drawn, and how many groups of other namespaces.
const DRAWN: usize = 400;
const STRAYS: usize = 12;

/// What is wanted of a picture.
pub(crate) struct Wish {
    /// Which containers, by the overview's columns.
    pub(crate) choice: Choice,
    /// One of them, and those that it shares namespaces with.
    pub(crate) target: Option<Target>,
    /// The kinds of namespaces; all where there is none.
    pub(crate) kinds: Vec<Kind>,
}

impl Picture {
    /// Draws what was found.
    ///
    /// # Errors
    /// Where the target is in no container.
    pub(crate) fn of(world: &World, wish: &Wish) -> anyhow::Result<Picture> {
        Ok(Picture::of_rows(world, wish, &chosen(world, wish)?))
    }

    /// Draws these containers.
    pub(crate) fn of_rows(world: &World, wish: &Wish, rows: &[Row]) -> Picture {
        let kinds = if wish.kinds.is_empty() { Kind::ALL.to_vec() } else { wish.kinds.clone() };
        let is_whole = wish.target.is_none() && wish.choice.filter.is_none();
        let drawn = &rows[..rows.len().min(DRAWN)];
        let mut picture = Picture {
            host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            date: humantime::format_rfc3339_seconds(SystemTime::now())
                .to_string()
                .replace('T', " ")
                .replace('Z', " UTC"),
            scope: scope(wish),
            sections: sections(world, drawn, &kinds),
            count: rows.len(),
            undrawn: rows.len() - drawn.len(),
            networks: None,
            maps: None,
            strays: Vec::new(),
            more_strays: 0,
            kinds,
        };
        let of_rows = |kind: Kind| -> BTreeSet<usize> {
            let pids = drawn.iter().filter_map(|row| world.inventory.containers[row.place].pid);
            let places = pids.filter_map(|pid| world.snapshot.find_process(pid));
            places.filter_map(|place| world.snapshot.processes[place].namespace(kind)).collect()
        };
        let of_all = |kind: Kind| -> BTreeSet<usize> {
            let all = 0..world.snapshot.namespaces.len();
            all.filter(|&index| world.snapshot.namespaces[index].kind == kind).collect()
        };
        let wanted = |kind| if is_whole { of_all(kind) } else { of_rows(kind) };
        if picture.kinds.contains(&Kind::Net) {
            picture.networks = Some(networks::gather(world, &wanted(Kind::Net)));
        }
        if picture.kinds.contains(&Kind::User) {
            picture.maps = Some(maps::gather(world, &wanted(Kind::User)));
        }
        if is_whole {
            picture.strays = strays_of(world, &picture.kinds);
            picture.more_strays = picture.strays.len().saturating_sub(STRAYS);
            picture.strays.truncate(STRAYS);
        }
        picture
    }
}

/// The containers that are wanted.
///
/// # Errors
/// Where the target is in none.
pub(crate) fn chosen(world: &World, wish: &Wish) -> anyhow::Result<Vec<Row>> {
    let mut rows = overview::chosen(world, &wish.choice)?;
    if let Some(target) = &wish.target {
        let near = near(world, target)?;
        rows.retain(|row| near.contains(&row.place));
    }
    Ok(rows)
}

/// What the picture is restricted to, in words.
fn scope(wish: &Wish) -> String {
    let mut words = Vec::new();
    words.extend(wish.target.as_ref().map(Target::title));
    words.extend(wish.choice.filter.as_ref().map(|filter| format!("filter {}", filter.text())));
    if !wish.kinds.is_empty() {
        words.push(wish.kinds.iter().map(|kind| kind.proc_name()).collect::<Vec<_>>().join(" "));
    }
    words.join(" · ")
}

/// The containers that a target names, of the same pod, or in namespaces of these.
fn near(world: &World, target: &Target) -> anyhow::Result<BTreeSet<usize>> {
    let containers = &world.inventory.containers;
    let mut near: BTreeSet<usize> = match target {
        Target::Namespace(named) => world.residents(named.find(&world.snapshot)?).collect(),
        Target::Group(group) => {
            let is_member = |container: &Container| {
                group.members.iter().any(|(engine, id)| *engine == container.engine && *id == container.id)
            };
            (0..containers.len()).filter(|&place| is_member(&containers[place])).collect()
        }
        target => {
            let pid = target.pid()?;
            let by_pid = (0..containers.len()).find(|&place| containers[place].pid == Some(pid));
            by_pid.or_else(|| world.inventory.index_of(pid)).into_iter().collect()
        }
    };
    anyhow::ensure!(!near.is_empty(), "draw {}: it is in no container", target.title());
    let pods: Vec<_> = near.iter().filter_map(|&place| containers[place].pod.clone()).collect();
    let same_pod = |container: &Container| container.pod.as_ref().is_some_and(|pod| pods.contains(pod));
    near.extend((0..containers.len()).filter(|&place| same_pod(&containers[place])));
    for place in near.clone() {
        near.extend(
            own_namespaces(world, place).into_iter().flat_map(|index| world.residents(index).collect::<Vec<_>>()),
        );
    }
    Ok(near)
}

/// The namespaces of a container, but for those that everybody is in.
fn own_namespaces(world: &World, place: usize) -> Vec<usize> {
    let process = world.inventory.containers[place].pid.and_then(|pid| world.snapshot.find_process(pid));
    let Some(process) = process.map(|place| world.snapshot.processes[place]) else { return Vec::new() };
    let all = Kind::ALL.into_iter().filter_map(|kind| process.namespace(kind));
    all.filter(|&index| !world.is_common(index)).collect()
}

fn sections(world: &World, rows: &[Row], kinds: &[Kind]) -> Vec<Section> {
    let engine = |row: &Row| world.inventory.containers[row.place].engine;
    let mut by_engine: BTreeMap<_, Vec<&Row>> = BTreeMap::new();
    rows.iter().for_each(|row| by_engine.entry(engine(row)).or_default().push(row));
    let section = |(engine, rows): (_, Vec<&Row>)| {
        let plural = if rows.len() == 1 { "container" } else { "containers" };
        Section { title: format!("{} {engine} {plural}", rows.len()), groups: groups(world, &rows, kinds) }
    };
    by_engine.into_iter().map(section).collect()
}

/// Pods, others that share namespaces, and those that share none.
fn groups(world: &World, rows: &[&Row], kinds: &[Kind]) -> Vec<Group> {
    let mut root: HashMap<usize, usize> = rows.iter().map(|row| (row.place, row.place)).collect();
    let mut pods = HashMap::new();
    let find = |root: &HashMap<usize, usize>, mut place: usize| {
        while let Some(&above) = root.get(&place).filter(|&&above| above != place) {
            place = above;
        }
        place
    };
    let is_here: BTreeSet<usize> = rows.iter().map(|row| row.place).collect();
    for row in rows {
        let pod = world.inventory.containers[row.place].pod.as_ref();
        let first = pod.map(|pod| *pods.entry((&pod.namespace, &pod.name)).or_insert(row.place));
        let others = row.namespaces.iter().filter_map(|whose| match whose {
            Whose::Other(place) => Some(*place),
            _ => None,
        });
        for other in others.chain(first).filter(|other| is_here.contains(other)).collect::<Vec<_>>() {
            let (a, b) = (find(&root, row.place), find(&root, other));
            root.insert(a.max(b), a.min(b));
        }
    }
    let mut members: BTreeMap<usize, Vec<&Row>> = BTreeMap::new();
    let order: HashMap<usize, usize> = rows.iter().enumerate().map(|(number, row)| (row.place, number)).collect();
    for row in rows {
        members.entry(order[&find(&root, row.place)]).or_default().push(row);
    }
    let mut loose = Group::default();
    let mut groups = Vec::new();
    for rows in members.into_values() {
        match rows.as_slice() {
            [row] if world.inventory.containers[row.place].pod.is_none() => {
                loose.cards.push(card(world, row, kinds, &[]));
            }
            rows => groups.push(group(world, rows, kinds)),
        }
    }
    groups.extend((!loose.cards.is_empty()).then_some(loose));
    groups
}

/// A box around several, with what they share in its head.
fn group(world: &World, rows: &[&Row], kinds: &[Kind]) -> Group {
    let container = |row: &Row| &world.inventory.containers[row.place];
    let namespace = |row: &Row, kind: Kind| {
        let process = container(row).pid.and_then(|pid| world.snapshot.find_process(pid))?;
        world.snapshot.processes[process].namespace(kind).filter(|&index| !world.is_host(index))
    };
    let first = |kind: Kind| namespace(rows[0], kind);
    let is_common =
        |kind: &Kind| first(*kind).is_some() && rows.iter().all(|row| namespace(row, *kind) == first(*kind));
    let common: Vec<Kind> = if rows.len() > 1 { kinds.iter().copied().filter(is_common).collect() } else { Vec::new() };
    let pause = rows.iter().find(|row| container(row).is_sandbox && rows.len() > 1);
    let mut shared = match common.as_slice() {
        [] => String::new(),
        some => format!("share {}", some.iter().map(|kind| kind.proc_name()).collect::<Vec<_>>().join(" ")),
    };
    if let Some(pid) = pause.and_then(|row| container(row).pid) {
        let held = if shared.is_empty() { "" } else { ", " };
        shared.push_str(&format!("{held}held by {pid}"));
    }
    let name = match rows.iter().find_map(|row| container(row).pod.as_ref()) {
        Some(pod) if pod.namespace.is_empty() => format!("pod {}", pod.name),
        Some(pod) => format!("pod {} ({})", pod.name, pod.namespace),
        None => {
            let mut names: Vec<String> = rows.iter().take(3).map(|row| container(row).title()).collect();
            names.extend((rows.len() > 3).then(|| format!("{} more", rows.len() - 3)));
            names.join(", ")
        }
    };
    let is_pause = |row: &&&Row| pause.is_some_and(|pause| pause.place == row.place);
    let cards = rows.iter().filter(|row| !is_pause(row)).map(|row| card(world, row, kinds, &common)).collect();
    Group { name, shared, cards }
}

/// A container; `common` are the kinds that it shares with those in the same box.
fn card(world: &World, row: &Row, kinds: &[Kind], common: &[Kind]) -> Card {
    let container = &world.inventory.containers[row.place];
    let mark = |&kind: &Kind| {
        let mark = match row.namespaces[kind as usize] {
            _ if common.contains(&kind) => Mark::Shared,
            Whose::Own => Mark::Own,
            Whose::Host if row.deviations.contains(&Deviation::HostNamespace(kind)) => Mark::Exposed,
            Whose::Host => Mark::Host,
            Whose::Other(_) => Mark::Shared,
            Whose::Unknown | Whose::None => Mark::Unknown,
        };
        (kind, mark)
    };
    let mut about = Vec::new();
    about.extend((row.usage.state != State::Running).then(|| row.usage.state.to_string()));
    about.extend(container.pid.map(|pid| format!("pid {pid}")));
    about.extend(container.image.clone());
    // In its pod's box the pod is named already.
    let title = match (&container.pod, &container.name) {
        (Some(_), Some(name)) => name.clone(),
        _ => container.title(),
    };
    Card {
        place: row.place,
        title,
        about: about.join(" · "),
        marks: kinds.iter().map(mark).collect(),
        warning: row.deviations.iter().map(ToString::to_string).collect::<Vec<_>>().join(" · "),
    }
}

/// Namespaces of no container: by the program that leads them, or by what keeps them; the largest first.
fn strays_of(world: &World, kinds: &[Kind]) -> Vec<Stray> {
    let mut groups: HashMap<String, (BTreeMap<usize, usize>, u64)> = HashMap::new();
    for stray in strays::find(world) {
        let name = match stray.leader {
            Some(pid) => strays::name(pid),
            None => strays::kept(world, stray.namespaces[0]),
        };
        let wanted = |index: &usize| kinds.contains(&world.snapshot.namespaces[*index].kind);
        let namespaces: Vec<usize> = stray.namespaces.iter().copied().filter(wanted).collect();
        if namespaces.is_empty() {
            continue;
        }
        let (counts, processes) = groups.entry(name).or_default();
        for &index in &namespaces {
            *counts.entry(world.snapshot.namespaces[index].kind as usize).or_default() += 1;
        }
        let of = |index: &usize| u64::from(world.snapshot.namespaces[*index].processes);
        *processes += namespaces.iter().map(of).max().unwrap_or_default();
    }
    let mut folded: Vec<Stray> = groups
        .into_iter()
        .map(|(name, (counts, processes))| {
            let counts = counts.into_iter().map(|(kind, count)| (Kind::ALL[kind], count)).collect();
            Stray { name, counts, processes }
        })
        .collect();
    let total = |stray: &Stray| stray.counts.iter().map(|(_, count)| count).sum::<usize>();
    folded.sort_by(|a, b| total(b).cmp(&total(a)).then_with(|| a.name.cmp(&b.name)));
    folded
}
