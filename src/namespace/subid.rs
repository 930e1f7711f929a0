//! Ranges of subordinate ids that /etc/subuid and /etc/subgid grant (subuid(5)), and maps put together from ranges and
//! one single id.

use super::idmap::Range;

/// The first range granted to a user: by name or by number, the first line that has either. subgid(5) too is keyed by
/// the user. `None` when no line is the user's, `Some(Err)` with the field that is no number.
///
/// Root may use any range: without one of its own it gets the first user's, as from util-linux, whose reading of a name
/// as a number finds root in every line.
pub fn granted(text: &str, name: &str, uid: u32) -> Option<Result<(u32, u32), String>> {
    let number = uid.to_string();
    let own = first_range(text, |owner| owner == name || owner == number);
    own.or_else(|| first_range(text, |owner| uid == 0 && !owner.starts_with(|c: char| c.is_ascii_digit())))
}

fn first_range(text: &str, is_owner: impl Fn(&str) -> bool) -> Option<Result<(u32, u32), String>> {
    text.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':');
        if !is_owner(fields.next()?) {
            return None;
        }
        let (start, count) = (fields.next()?, fields.next()?);
        let number = |field: &str| field.parse::<u32>().map_err(|_| field.to_owned());
        Some(number(start).and_then(|start| Ok((start, number(count)?))))
    })
}

/// A range that is wanted in a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Just these ids.
    Fixed(Range),
    /// All of `count` ids from `outside` on, wherever from 0 on there is room inside.
    FromZero {
        /// First id in the parent namespace.
        outside: u32,
        /// How many.
        count: u32,
    },
}

/// One map of `wanted` and of the `single` pair (inside, outside), which goes first: its two ids are left out of the
/// ranges, whose remaining ids move up to stay in order; the topmost falls off where there is no room for it.
pub fn merge(wanted: &[Wanted], single: Option<(u32, u32)>) -> Vec<Range> {
    let mut map: Vec<Range> = single.map(|(inside, outside)| Range { inside, outside, count: 1 }).into_iter().collect();
    for wanted in wanted {
        let (range, floating) = match *wanted {
            Wanted::Fixed(range) => (range, false),
            Wanted::FromZero { outside, count } => (Range { inside: 0, outside, count }, true),
        };
        match single {
            Some(single) => around(range, floating, single, &mut map),
            None if range.count > 0 => map.push(range),
            None => {}
        }
    }
    map
}

/// Appends `range` without the ids of `single`.
fn around(range: Range, floating: bool, single: (u32, u32), map: &mut Vec<Range>) {
    let (hole_inside, hole_outside) = (u64::from(single.0), u64::from(single.1));
    let (mut inside, mut outside) = (u64::from(range.inside), u64::from(range.outside));
    let mut left = u64::from(range.count);
    let within = |start: u64, id: u64| (start..start + left).contains(&id);
    if within(outside, hole_outside) || (!floating && within(inside, hole_inside)) {
        left -= 1;
    }
    while left > 0 {
        inside += u64::from(inside == hole_inside);
        outside += u64::from(outside == hole_outside);
        let before = |at: u64, hole: u64| if hole > at { hole - at } else { u64::MAX };
        let count = left.min(before(inside, hole_inside)).min(before(outside, hole_outside));
        // Beyond 32 bits the kernel refuses the range that it is part of.
        let id = |id: u64| id.try_into().unwrap_or(u32::MAX);
        map.push(Range { inside: id(inside), outside: id(outside), count: id(count) });
        inside += count;
        outside += count;
        left -= count;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixed(inside: u32, outside: u32, count: u32) -> Wanted {
        Wanted::Fixed(Range { inside, outside, count })
    }

    fn merged(wanted: &[Wanted], single: Option<(u32, u32)>) -> Vec<(u32, u32, u32)> {
        merge(wanted, single).iter().map(|r| (r.inside, r.outside, r.count)).collect()
    }

    #[test]
    fn a_user_is_granted_the_first_line_by_name_or_number() {
        let text = "# alice:1:2\nbob:300000:10\nalice:100000:65536\n1000:200000:5\nbroken:1\nbad:x:1\nodd:1:y\n";
        assert_eq!(granted(text, "alice", 1000), Some(Ok((100_000, 65_536))));
        assert_eq!(granted(text, "other", 1000), Some(Ok((200_000, 5))));
        assert_eq!(granted("1000:1:2\n", "root", 0), None);
        assert_eq!(granted("bob:1:2\n0:5:6\n", "root", 0), Some(Ok((5, 6))));
        assert_eq!(granted("bob:1:2\n", "root", 0), Some(Ok((1, 2))));
        assert_eq!(granted(text, "broken", 7), None);
        assert_eq!(granted(text, "bad", 7), Some(Err("x".to_owned())));
        assert_eq!(granted(text, "odd", 7), Some(Err("y".to_owned())));
    }

    #[test]
    fn a_floating_range_makes_room_for_the_single_id_without_losing_one() {
        let auto = Wanted::FromZero { outside: 100_000, count: 65_536 };
        assert_eq!(merged(&[auto], Some((0, 1000))), [(0, 1000, 1), (1, 100_000, 65_536)]);
        assert_eq!(merged(&[auto], Some((1000, 1000))), [(1000, 1000, 1), (0, 100_000, 1000), (1001, 101_000, 64_536)]);
        assert_eq!(merged(&[auto], None), [(0, 100_000, 65_536)]);
        // An id outside that is the range's own can be mapped once only.
        assert_eq!(merged(&[auto], Some((0, 100_000))), [(0, 100_000, 1), (1, 100_001, 65_535)]);
    }

    #[test]
    fn a_fixed_range_loses_its_topmost_id_only_when_the_single_id_is_in_it() {
        assert_eq!(merged(&[fixed(0, 100_000, 10)], Some((10, 0))), [(10, 0, 1), (0, 100_000, 10)]);
        assert_eq!(merged(&[fixed(0, 100_000, 10)], Some((9, 0))), [(9, 0, 1), (0, 100_000, 9)]);
        assert_eq!(merged(&[fixed(0, 100_000, 10)], Some((5, 0))), [(5, 0, 1), (0, 100_000, 5), (6, 100_005, 4)]);
        assert_eq!(merged(&[fixed(0, 100_000, 10)], Some((0, 0))), [(0, 0, 1), (1, 100_000, 9)]);
        assert_eq!(merged(&[fixed(0, 0, 10)], Some((3, 7))), [(3, 7, 1), (0, 0, 3), (4, 3, 4), (8, 8, 2)],);
        assert_eq!(merged(&[fixed(0, 0, 10)], Some((3, 3))), [(3, 3, 1), (0, 0, 3), (4, 4, 6)]);
        assert_eq!(merged(&[fixed(5, 5, 1)], Some((5, 9))), [(5, 9, 1)]);
    }

    #[test]
    fn several_ranges_keep_their_order_and_empty_ones_vanish() {
        assert_eq!(merged(&[fixed(0, 0, 1), fixed(5, 5, 0), fixed(1, 1000, 2)], None), [(0, 0, 1), (1, 1000, 2)]);
    }

    #[test]
    fn no_id_of_a_merged_map_is_mapped_twice() {
        for inside in 0..12 {
            for outside in 0..12 {
                let map = merge(&[fixed(2, 3, 6)], Some((inside, outside)));
                let mut seen: (Vec<u32>, Vec<u32>) = Default::default();
                for range in &map {
                    seen.0.extend(range.inside..range.inside + range.count);
                    seen.1.extend(range.outside..range.outside + range.count);
                }
                for mut ids in [seen.0, seen.1] {
                    let all = ids.len();
                    ids.sort_unstable();
                    ids.dedup();
                    assert_eq!(ids.len(), all, "{inside} {outside}: {map:?}");
                }
            }
        }
    }
}
