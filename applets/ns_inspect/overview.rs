//! The overview: a row a container, in which stands out what a container usually has and this one has not; then what other
//! namespaces there are.

use std::collections::BTreeSet;
use std::time::Duration;

use nskit::inspect::containers::{Engine, State};
use nskit::namespace::Kind;

use super::filter::Filter;
use super::grid::{Cell, Grid};
use super::paint::{Paint, Style};
use super::rows::{self, Deviation, Row, Wanted, Whose};
pub(crate) use super::strays::keepers;
use super::world::World;
use super::{Choice, strays};

/// All columns, by which rows are sorted and filtered.
pub(crate) const COLUMNS: [&str; 20] = [
    "CONTAINER",
    "ENGINE",
    "STATE",
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
    "UNUSUAL",
    "COMMAND",
    "IMAGE",
    "POD",
    "ID",
];

/// Those that are shown unless others are asked for: kinds of which containers nearly always have their own, or the host's,
/// are left out.
pub(crate) const USUAL: [&str; 15] = [
    "CONTAINER",
    "ENGINE",
    "STATE",
    "PID",
    "PROCS",
    "MEMORY",
    "AGE",
    "UTS",
    "IPC",
    "NET",
    "PID-NS",
    "USER",
    "UNUSUAL",
    "COMMAND",
    "IMAGE",
];

/// The columns that make room first.
const YIELDING: [&str; 14] = [
    "ID", "POD", "IMAGE", "COMMAND", "TIME", "CGROUP", "MNT", "UTS", "IPC", "USER", "AGE", "ENGINE", "MEMORY", "PROCS",
];

/// The filter that somebody wrote.
///
/// # Errors
/// Where it is none, or names a column that there is not.
pub(crate) fn filter(text: &str) -> anyhow::Result<Filter> {
    let filter = Filter::parse_human(text).map_err(|why| {
        let advice = if why.ends_with("unexpected '='") { "; == compares" } else { "" };
        anyhow::anyhow!("failed to parse \"{text}\": {why}{advice}")
    })?;
    Grid::new(&COLUMNS).filter(&filter)?;
    Ok(filter)
}

/// Fails where there is no such column to sort by.
pub(crate) fn check_sort(by: &str) -> anyhow::Result<()> {
    Grid::new(&COLUMNS).sort(by)
}

/// The columns of a list such as `NAME,PID`, in capitals or not; added to the usual ones where it begins with `+`.
///
/// # Errors
/// Where one is unknown.
pub(crate) fn output(list: &str) -> anyhow::Result<Vec<&'static str>> {
    let (mut chosen, list) = match list.strip_prefix('+') {
        Some(more) => (USUAL.to_vec(), more),
        None => (Vec::new(), list),
    };
    for name in list.split(',') {
        let known = COLUMNS.into_iter().find(|column| column.eq_ignore_ascii_case(name.trim()));
        chosen.push(known.ok_or_else(|| anyhow::anyhow!("unknown column: {name} (there are {})", COLUMNS.join(", ")))?);
    }
    Ok(chosen)
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
    strays::all(world).print(paint, "")
}

/// How many namespaces are neither the host's nor of a container.
pub(crate) fn count_others(world: &World) -> usize {
    let is_other = |&index: &usize| !world.is_host(index) && world.containers_in(index).is_empty();
    (0..world.snapshot.namespaces.len()).filter(is_other).count()
}

/// The rows that are wanted, in the order that is wanted.
pub(crate) fn chosen(world: &World, choice: &Choice) -> anyhow::Result<Vec<Row>> {
    let rows = rows::rows(world, choice.wanted);
    if choice.filter.is_none() && choice.sort.is_none() {
        return Ok(rows);
    }
    let mut grid = Grid::new(&COLUMNS);
    rows.iter().for_each(|row| grid.add(cells(world, row)));
    let order = grid.order(choice.filter.as_ref(), choice.sort.as_deref())?;
    let mut rows: Vec<Option<Row>> = rows.into_iter().map(Some).collect();
    Ok(order.into_iter().filter_map(|place| rows[place].take()).collect())
}

/// The rows of these containers.
pub(crate) fn of(world: &World, members: &[(Engine, String)]) -> Vec<Row> {
    let is_member = |row: &Row| {
        let container = &world.inventory.containers[row.place];
        members.iter().any(|(engine, id)| *engine == container.engine && *id == container.id)
    };
    rows::rows(world, Wanted { all: true }).into_iter().filter(is_member).collect()
}

/// A table of rows.
pub(crate) fn table(world: &World, rows: &[Row], columns: &[&'static str]) -> Grid {
    let mut grid = Grid::new(&COLUMNS).yielding(&YIELDING).showing(columns);
    rows.iter().for_each(|row| grid.add(cells(world, row)));
    grid
}

/// The text of the overview.
pub(crate) fn view(world: &mut World, choice: &Choice, paint: Paint) -> anyhow::Result<String> {
    let rows = chosen(world, choice)?;
    let mut out = String::new();
    if !rows.is_empty() {
        let text = table(world, &rows, &choice.columns).print(paint, "");
        out.push_str(if choice.headings { &text } else { text.split_once('\n').map_or("", |(_, rest)| rest) });
    } else if choice.headings && choice.filter.is_some() {
        out.push_str(&paint.wrap("No container for which the filter holds.", ""));
    } else if choice.headings {
        let silent = world.inventory.containers.iter().any(|one| one.engine != Engine::Systemd);
        let none = if silent { "No running containers: --all shows those that are not." } else { "No containers." };
        out.push_str(&paint.wrap(none, ""));
    }
    if choice.filter.is_none() && choice.headings {
        out.push_str(&strays::text(world, choice.wanted, paint));
    }
    Ok(out)
}

/// A row a container that runs, and the first process of each.
pub(crate) fn containers(world: &World) -> (Grid, Vec<i32>) {
    let mut grid = Grid::new(&COLUMNS).yielding(&YIELDING).showing(&USUAL);
    let mut pids = Vec::new();
    for row in rows::rows(world, Wanted::default()) {
        let Some(pid) = world.inventory.containers[row.place].pid else { continue };
        grid.add(cells(world, &row));
        pids.push(pid);
    }
    (grid, pids)
}

/// A row's cells, in the order of [`COLUMNS`].
pub(crate) fn cells(world: &World, row: &Row) -> Vec<Cell> {
    let container = &world.inventory.containers[row.place];
    let state = match row.usage.state {
        State::Running => Style::Plain,
        State::Paused => Style::Shared,
        State::Creating | State::Created => Style::Name,
        State::Stopped => Style::Faint,
    };
    let memory = row.memory.map(|memory| Cell::text(size(memory)).keyed(memory)).unwrap_or_default();
    let age = row.age.map(|age| Cell::text(human_age(age)).keyed(age.as_secs())).unwrap_or_default();
    let pod = container.pod.as_ref().map(|pod| match pod.namespace.as_str() {
        "" => pod.name.clone(),
        namespace => format!("{namespace}/{}", pod.name),
    });
    let unusual: Vec<String> = row.deviations.iter().map(ToString::to_string).collect();
    let mut cells = vec![
        Cell::name(container.title()).styled(Style::Name),
        Cell::text(container.engine.to_string()),
        Cell::text(row.usage.state.to_string()).styled(state),
        Cell::number(container.pid.map(|pid| pid as u64)),
        Cell::number(container.pid.map(|_| row.processes as u64)),
        memory,
        age,
    ];
    cells.extend(Kind::ALL.map(|kind| namespace(world, row, kind)));
    cells.extend([
        Cell::text(unusual.join(", ")).styled(Style::Host),
        Cell::text(row.command.clone()),
        Cell::text(container.image.clone().unwrap_or_default()).styled(Style::Faint),
        Cell::text(pod.unwrap_or_default()),
        Cell::text(container.id.clone()),
    ]);
    cells
}

/// Whose namespace a container is in: its own, the host's, or another container's. The host's stands out where that is not
/// usual.
fn namespace(world: &World, row: &Row, kind: Kind) -> Cell {
    match row.namespaces[kind as usize] {
        Whose::Host if row.deviations.contains(&Deviation::HostNamespace(kind)) => {
            Cell::text("host").styled(Style::Host)
        }
        Whose::Host => Cell::text("host"),
        Whose::Other(place) => {
            let (own, other) = (&world.inventory.containers[row.place], &world.inventory.containers[place]);
            let is_pods = other.is_sandbox && other.pod.is_some() && other.pod == own.pod;
            let name = if is_pods { "=pod".into() } else { format!("={}", other.title()) };
            Cell::name(name).styled(Style::Shared)
        }
        Whose::Own => Cell::text("own"),
        Whose::Unknown => Cell::text("?").styled(Style::Faint),
        Whose::None => Cell::default(),
    }
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
