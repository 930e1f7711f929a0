//! Which of the host's ids user namespaces have, and which have the same.

use std::collections::{BTreeMap, BTreeSet};

use super::super::world::World;
use super::{Map, Maps, Range, networks};

/// How many are drawn.
const ROWS: usize = 40;

/// Namespaces with the same map.
struct Alike {
    indexes: Vec<usize>,
    ids: &'static str,
    ranges: Vec<Range>,
}

/// Reads the maps of these user namespaces.
pub(super) fn gather(world: &World, wanted: &BTreeSet<usize>) -> Maps {
    let mut alike: BTreeMap<(Vec<Range>, &'static str), Vec<usize>> = BTreeMap::new();
    for &index in wanted.iter().filter(|&&index| !world.is_host(index)) {
        let Some(process) = world.snapshot.leader(&world.snapshot.namespaces[index]) else { continue };
        let read = |file: &str| std::fs::read_to_string(format!("/proc/{}/{file}", process.pid)).unwrap_or_default();
        let (uids, gids) = (parse(&read("uid_map")), parse(&read("gid_map")));
        if uids == gids {
            alike.entry((uids, "uids and gids")).or_default().push(index);
        } else {
            alike.entry((uids, "uids")).or_default().push(index);
            alike.entry((gids, "gids")).or_default().push(index);
        }
    }
    let mut all: Vec<Alike> = alike
        .into_iter()
        .filter(|((ranges, _), _)| !ranges.is_empty())
        .map(|((ranges, ids), indexes)| Alike { indexes, ids, ranges })
        .collect();
    let more = all.len().saturating_sub(ROWS);
    all.truncate(ROWS);
    let titles: Vec<String> = all.iter().map(|one| title(world, &one.indexes)).collect();
    let rows = (0..all.len()).map(|at| row(world, &all, &titles, at)).collect();
    Maps { rows, more }
}

fn row(world: &World, all: &[Alike], titles: &[String], at: usize) -> Map {
    let own = &all[at];
    let mut overlaps = Vec::new();
    let mut taken = Vec::new();
    if own.indexes.len() > 1 {
        overlaps.push("each other".to_owned());
        taken.extend(own.ranges.iter().copied());
    }
    for (number, other) in all.iter().enumerate().filter(|(number, _)| *number != at) {
        let same_ids = own.ids == other.ids || own.ids.len() > 4 || other.ids.len() > 4;
        let common = own.ranges.iter().any(|range| other.ranges.iter().any(|other| meet(*range, *other)));
        if same_ids && common && !is_nested(world, own.indexes[0], other.indexes[0]) {
            overlaps.push(titles[number].clone());
            taken.extend(other.ranges.iter().copied());
        }
    }
    let ranges = own.ranges.iter().flat_map(|range| pieces(*range, &taken)).collect();
    Map { title: titles[at].clone(), ids: own.ids, ranges, overlaps }
}

/// Whose they are.
fn title(world: &World, indexes: &[usize]) -> String {
    let name = |&index: &usize| networks::title(world, world.snapshot.namespaces[index].inode);
    let names: Vec<String> = indexes.iter().take(2).map(name).collect();
    match indexes.len() - names.len() {
        0 => names.join(", "),
        more => format!("{}, {more} more", names.join(", ")),
    }
}

/// Whether one of them is inside of the other, which has to have its ids.
fn is_nested(world: &World, one: usize, other: usize) -> bool {
    let is_above = |above: usize, mut below: usize| {
        for _ in 0..64 {
            let parent = world.snapshot.namespaces[below].parent;
            match world.snapshot.find(parent).filter(|_| parent != 0) {
                Some(index) if index == above => return true,
                Some(index) => below = index,
                None => return false,
            }
        }
        false
    };
    is_above(one, other) || is_above(other, one)
}

/// The lines of an id map: the first id inside, the first outside, and how many.
fn parse(text: &str) -> Vec<Range> {
    let line = |line: &str| {
        let mut numbers = line.split_ascii_whitespace().map(|number| number.parse::<u64>().ok());
        let (inner, outer, count) = (numbers.next()??, numbers.next()??, numbers.next()??);
        Some(Range { outer, inner, count, is_shared: false })
    };
    let mut ranges: Vec<Range> = text.lines().filter_map(line).collect();
    ranges.sort_unstable();
    ranges
}

fn meet(one: Range, other: Range) -> bool {
    one.outer < other.end() && other.outer < one.end()
}

/// The parts of a range that others have too, and those between them.
fn pieces(range: Range, taken: &[Range]) -> Vec<Range> {
    let mut cuts = BTreeSet::from([range.outer, range.end()]);
    for other in taken.iter().filter(|other| meet(range, **other)) {
        cuts.insert(other.outer.max(range.outer));
        cuts.insert(other.end().min(range.end()));
    }
    let cuts: Vec<u64> = cuts.into_iter().collect();
    let piece = |pair: &[u64]| {
        let (outer, count) = (pair[0], pair[1] - pair[0]);
        let part = Range { outer, inner: range.inner + (outer - range.outer), count, is_shared: false };
        Range { is_shared: taken.iter().any(|other| meet(part, *other)), ..part }
    };
    let mut parts: Vec<Range> = cuts.windows(2).map(piece).collect();
    // Neighbours that are alike are one.
    parts.dedup_by(|next, last| {
        let is_same = next.is_shared == last.is_shared;
        last.count += if is_same { next.count } else { 0 };
        is_same
    });
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(outer: u64, inner: u64, count: u64, is_shared: bool) -> Range {
        Range { outer, inner, count, is_shared }
    }

    #[test]
    fn a_range_is_cut_where_others_begin_to_have_it() {
        let own = parse("         0     100000      65536\n");
        assert_eq!(own, [range(100_000, 0, 65_536, false)]);
        let taken = [range(150_000, 0, 65_536, false), range(160_000, 7, 10, false)];
        assert_eq!(pieces(own[0], &taken), [range(100_000, 0, 50_000, false), range(150_000, 50_000, 15_536, true)]);
        assert_eq!(pieces(own[0], &[]), own);
    }
}
