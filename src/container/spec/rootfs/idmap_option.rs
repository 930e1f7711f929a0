//! crun's option `idmap=uids=FROM-TO-COUNT#…;gids=…`: how the ids of one mount are mapped. Pure.

use crate::error::{Error, Result};
use crate::namespace::idmap::Range;

/// What the option says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct IdMap {
    users: Vec<Entry>,
    groups: Vec<Entry>,
}

/// Ids of the file system from `range.inside` on are shown as those from `range.outside` on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    range: Range,
    /// The id that is shown is one of the container (`@`), not of the host.
    is_of_container: bool,
}

impl IdMap {
    /// Reads what comes after `idmap=`.
    ///
    /// # Errors
    /// Which part is not of this form.
    pub(super) fn parse(text: &str) -> Result<IdMap> {
        let mut map = IdMap::default();
        for part in text.split(';').filter(|part| !part.is_empty()) {
            let (entries, list) = match part.split_once('=') {
                Some(("uids", list)) => (&mut map.users, list),
                Some(("gids", list)) => (&mut map.groups, list),
                _ => return Err(invalid(text, part)),
            };
            for entry in list.split('#').filter(|entry| !entry.is_empty()) {
                entries.push(Entry::parse(entry).ok_or_else(|| invalid(text, entry))?);
            }
        }
        Ok(map)
    }

    /// The map of user ids, `None` where the option has none; `on_host` is the host's id for one of the container.
    ///
    /// # Errors
    /// For an id of the container that the host has none for.
    pub(super) fn users(&self, on_host: impl Fn(u32) -> Option<u32>) -> Result<Option<Vec<Range>>> {
        on_the_host(&self.users, on_host)
    }

    /// As [`IdMap::users`], of group ids.
    ///
    /// # Errors
    /// As [`IdMap::users`].
    pub(super) fn groups(&self, on_host: impl Fn(u32) -> Option<u32>) -> Result<Option<Vec<Range>>> {
        on_the_host(&self.groups, on_host)
    }
}

fn on_the_host(entries: &[Entry], on_host: impl Fn(u32) -> Option<u32>) -> Result<Option<Vec<Range>>> {
    if entries.is_empty() {
        return Ok(None);
    }
    let ranges: Result<Vec<Range>> = entries
        .iter()
        .map(|entry| {
            if !entry.is_of_container {
                return Ok(entry.range);
            }
            let outside = on_host(entry.range.outside).ok_or_else(|| {
                Error::invalid(format!(
                    "mount option idmap: @ means an id of the container, and its user namespace does not map {}",
                    entry.range.outside
                ))
            })?;
            Ok(Range { outside, ..entry.range })
        })
        .collect();
    ranges.map(Some)
}

impl Entry {
    fn parse(text: &str) -> Option<Entry> {
        let (is_of_container, text) = match text.strip_prefix('@') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let mut numbers = text.split('-').map(|number| number.parse::<u32>().ok());
        let range = Range { inside: numbers.next()??, outside: numbers.next()??, count: numbers.next()?? };
        numbers.next().is_none().then_some(Entry { range, is_of_container })
    }
}

fn invalid(text: &str, part: &str) -> Error {
    Error::invalid(format!(
        "mount option idmap={text}: {part:?} is not understood: write uids=FROM-TO-COUNT#…;gids=FROM-TO-COUNT#…"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(inside: u32, outside: u32, count: u32) -> Range {
        Range { inside, outside, count }
    }

    #[test]
    fn ranges_of_users_and_groups_are_read() {
        let map = IdMap::parse("uids=0-1-10#10-11-10;gids=0-100-10").unwrap();
        assert_eq!(map.users(|_| None).unwrap(), Some(vec![range(0, 1, 10), range(10, 11, 10)]));
        assert_eq!(map.groups(|_| None).unwrap(), Some(vec![range(0, 100, 10)]));
    }

    #[test]
    fn an_id_of_the_container_is_translated_to_the_hosts() {
        let map = IdMap::parse("uids=@0-1-10").unwrap();
        assert_eq!(map.users(|id| Some(id + 1000)).unwrap(), Some(vec![range(0, 1001, 10)]));
        assert!(map.users(|_| None).unwrap_err().message().contains("does not map 1"));
        assert_eq!(map.groups(|_| None).unwrap(), None);
    }

    #[test]
    fn what_is_no_map_is_named() {
        for (text, part) in [("uids=0-1", "0-1"), ("pids=0-1-2", "pids=0-1-2"), ("uids=0-1-2-3", "0-1-2-3"), ("x", "x")]
        {
            let error = IdMap::parse(text).unwrap_err();
            assert!(error.message().contains(&format!("{part:?}")), "{error:?}");
        }
    }
}
