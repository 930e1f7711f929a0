//! Ranges of ids: of arguments, of /etc/subuid and /etc/subgid, and of the caller's own user namespace.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use nskit::namespace::idmap::Range;
use nskit::namespace::subid::{self, Wanted};
use nskit::{Error, Result};

use crate::{accounts, number};

/// Where ranges of one sort of ids come from.
pub(super) struct Ids {
    granted: &'static str,
    kernel: &'static str,
}

impl Ids {
    pub(super) const USERS: Ids = Ids { granted: "/etc/subuid", kernel: "/proc/self/uid_map" };
    pub(super) const GROUPS: Ids = Ids { granted: "/etc/subgid", kernel: "/proc/self/gid_map" };
}

/// The ranges that an argument of `--map-users` or `--map-groups` means.
pub(super) fn ranges(text: &OsStr, ids: Ids) -> Result<Vec<Wanted>> {
    match text.as_bytes() {
        b"auto" => Ok(vec![granted(ids, false)?]),
        b"subids" => Ok(vec![granted(ids, true)?]),
        b"all" => kernel_ranges(ids.kernel),
        _ => range(text)
            .map(|range| vec![Wanted::Fixed(range)])
            .ok_or_else(|| Error::invalid(format!("invalid mapping '{}'", text.to_string_lossy()))),
    }
}

/// `INSIDE:OUTSIDE:COUNT`, or the old `OUTSIDE,INSIDE,COUNT`.
pub(super) fn range(text: &OsStr) -> Option<Range> {
    let three = |separator: char| -> Option<[u32; 3]> {
        let mut fields = text.to_str()?.split(separator).map(|field| number::id(field.as_ref()).ok());
        let three = [fields.next()??, fields.next()??, fields.next()??];
        fields.next().is_none().then_some(three)
    };
    if let Some([inside, outside, count]) = three(':') {
        return Some(Range { inside, outside, count });
    }
    three(',').map(|[outside, inside, count]| Range { inside, outside, count })
}

/// The range that the caller is granted: from 0 on, or mapped to itself.
pub(super) fn granted(ids: Ids, identity: bool) -> Result<Wanted> {
    let uid = rustix::process::geteuid().as_raw();
    let user = accounts::user(uid).ok_or_else(|| Error::invalid(format!("you (user {uid}) don't exist.")))?;
    let name = user.name.to_string_lossy();
    let file = ids.granted;
    let text = std::fs::read(file).map_err(|error| Error::io(&error, format!("could not open '{file}'")))?;
    match subid::granted(&String::from_utf8_lossy(&text), &name, uid) {
        Some(Ok((outside, count))) if identity => Ok(Wanted::Fixed(Range { inside: outside, outside, count })),
        Some(Ok((outside, count))) => Ok(Wanted::FromZero { outside, count }),
        Some(Err(field)) => Err(Error::invalid(format!("failed to parse subid map: '{field}'"))),
        None => Err(Error::invalid(format!("no line matching user \"{name}\" in {file}"))),
    }
}

/// Every id of the caller's own user namespace, mapped to itself.
fn kernel_ranges(file: &str) -> Result<Vec<Wanted>> {
    let text = std::fs::read_to_string(file).map_err(|error| Error::io(&error, format!("could not open '{file}'")))?;
    Ok(text
        .lines()
        .filter_map(|line| {
            let fields: Vec<u32> = line.split_whitespace().filter_map(|field| field.parse().ok()).collect();
            let &[id, _, count] = fields.as_slice() else { return None };
            Some(Wanted::Fixed(Range { inside: id, outside: id, count }))
        })
        .collect())
}
