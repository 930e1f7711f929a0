//! Names of users: the host's, and those that a container has for its own.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::proc;

/// No list of users is longer that somebody wrote.
const LONGEST: u64 = 1 << 20;

/// A user of a process, inside of the user namespace and the root that it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inside {
    /// The user's number in the process's user namespace.
    pub uid: u32,
    /// The name by the `/etc/passwd` of the process's root, where it has one.
    pub name: Option<String>,
}

/// What a process calls the user `uid`, as the caller numbers it. `None` where that user is not mapped, or the process is
/// gone.
pub fn inside(pid: i32, uid: u32) -> Option<Inside> {
    let map = std::fs::read_to_string(format!("/proc/{pid}/uid_map")).ok()?;
    let uid = mapped(&map, uid)?;
    Some(Inside { uid, name: passwd(pid).and_then(|text| name(&text, uid)) })
}

/// The number inside, by a user namespace's map.
fn mapped(map: &str, uid: u32) -> Option<u32> {
    map.lines().find_map(|line| {
        let mut numbers = line.split_ascii_whitespace().map(|number| number.parse::<u32>().ok());
        let (inner, outer, count) = (numbers.next()??, numbers.next()??, numbers.next()??);
        let offset = uid.checked_sub(outer).filter(|offset| *offset < count)?;
        inner.checked_add(offset)
    })
}

/// The list of users below the process's root. It is the container's: nothing of it is trusted but that it is a file.
fn passwd(pid: i32) -> Option<String> {
    let root = proc::root(&pid.to_string()).ok()?;
    let file = proc::open_inside(root, Path::new("etc/passwd")).ok()?;
    let status = rustix::fs::fstat(&file).ok()?;
    let is_file = rustix::fs::FileType::from_raw_mode(status.st_mode) == rustix::fs::FileType::RegularFile;
    let mut bytes = Vec::new();
    File::from(file).take(LONGEST).read_to_end(&mut bytes).ok().filter(|_| is_file)?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// The user's name in a text such as `/etc/passwd`.
pub fn name(passwd: &str, uid: u32) -> Option<String> {
    entries(passwd).find(|(_, other)| *other == uid).map(|(name, _)| name.to_owned())
}

/// Names and numbers in a text such as `/etc/passwd`.
pub fn entries(passwd: &str) -> impl Iterator<Item = (&str, u32)> {
    passwd.lines().filter_map(|line| {
        let mut fields = line.split(':');
        Some((fields.next()?, fields.nth(1)?.parse().ok()?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_mapped_and_named_by_the_containers_own_list() {
        let map = "         0     100000      65536\n    70000       1000          1\n";
        assert_eq!([mapped(map, 100_999), mapped(map, 1000), mapped(map, 0)], [Some(999), Some(70_000), None]);
        assert_eq!(mapped("0 0 4294967295\n", 7), Some(7));
        assert_eq!(name("root:x:0:0::/:/bin/sh\nodd\npostgres:x:999:999::/:\n", 999).as_deref(), Some("postgres"));
    }

    #[test]
    fn this_process_is_somebody_in_its_own_namespace() {
        let uid = rustix::process::geteuid().as_raw();
        assert_eq!(inside(std::process::id() as i32, uid).map(|inside| inside.uid), Some(uid));
    }
}
