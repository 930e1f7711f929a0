//! Maps of user and group ids between a user namespace and its parent; user_namespaces(7).

use std::fmt::Write as _;
use std::os::fd::OwnedFd;
use std::process::Command;

use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, Signal};

use super::Kind;
use crate::error::{Attempt, Error, Result};
use crate::sys::clone::{Clone3, Forked, clone3};
use crate::sys::signal::die_with_parent;

/// One line of a map: `count` ids from `inside` on are those from `outside` on in the parent namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Range {
    /// First id in the namespace.
    pub inside: u32,
    /// First id in the parent namespace.
    pub outside: u32,
    /// How many.
    pub count: u32,
}

/// The id outside that `id` inside is, if it is mapped.
pub fn outside(map: &[Range], id: u32) -> Option<u32> {
    map.iter()
        .find(|range| id >= range.inside && id - range.inside < range.count)
        .and_then(|range| range.outside.checked_add(id - range.inside))
}

/// The kernel's text of a map: a line `INSIDE OUTSIDE COUNT` a range.
pub fn text(map: &[Range]) -> String {
    let mut text = String::with_capacity(map.len() * 24);
    for Range { inside, outside, count } in map {
        let _ = writeln!(text, "{inside} {outside} {count}");
    }
    text
}

/// Which of the two maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ids {
    /// User ids.
    Users,
    /// Group ids.
    Groups,
}

impl Ids {
    /// The name of the file in `/proc/PID/`.
    pub const fn file(self) -> &'static str {
        match self {
            Ids::Users => "uid_map",
            Ids::Groups => "gid_map",
        }
    }

    /// The set-user-id program of shadow-utils that writes a map within what /etc/subuid and /etc/subgid grant.
    pub const fn tool(self) -> &'static str {
        match self {
            Ids::Users => "newuidmap",
            Ids::Groups => "newgidmap",
        }
    }
}

/// Writes a map of process `pid`, which must be in a new user namespace.
///
/// # Errors
/// `EPERM` when the caller may not map these ids, or a map was written before; `EINVAL` for overlapping ranges.
pub fn write(pid: Pid, ids: Ids, map: &[Range]) -> Result<()> {
    let path = format!("/proc/{}/{}", pid.as_raw_nonzero(), ids.file());
    write_file(&path, text(map).as_bytes())
        .map_err(|error| error.context(format!("map {}", text(map).trim_end().replace('\n', ", "))))
}

/// Has [`Ids::tool`] write the map: for callers without privilege who have ranges of subordinate ids.
///
/// # Errors
/// When the tool is not installed or refuses; its own words are part of the message.
pub fn write_by_tool(pid: Pid, ids: Ids, map: &[Range]) -> Result<()> {
    let tool = ids.tool();
    let output = self::tool(pid, ids, map).output().map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Error::unsupported(format!(
            "{tool}, which maps ids that are not the caller's own, is not in PATH (Debian's package uidmap)"
        )),
        _ => Error::io(&error, format!("run {tool}")),
    })?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(Error::invalid(format!("{tool} failed ({}): {}", output.status, said.trim())));
    }
    Ok(())
}

/// The call of [`Ids::tool`] that writes a map.
pub fn tool(pid: Pid, ids: Ids, map: &[Range]) -> Command {
    let mut command = Command::new(ids.tool());
    command.arg(pid.as_raw_nonzero().to_string());
    for Range { inside, outside, count } in map {
        command.args([inside.to_string(), outside.to_string(), count.to_string()]);
    }
    command
}

/// Forbids setgroups(2) in the user namespace of `pid`: what the kernel demands of unprivileged callers before a group
/// map (Linux 3.19).
///
/// # Errors
/// `EPERM` once a group map is written.
pub fn deny_setgroups(pid: Pid) -> Result<()> {
    write_file(&format!("/proc/{}/setgroups", pid.as_raw_nonzero()), b"deny")
}

/// A user namespace with these maps that no process is in: what an id-mapped mount refers to.
///
/// # Errors
/// As clone3(2), and for maps that the kernel refuses.
pub fn user_namespace(users: &[Range], groups: &[Range]) -> Result<OwnedFd> {
    let clone = Clone3 { namespaces: Kind::User.flag(), pidfd: true, ..Clone3::default() };
    let attempted = || "clone a process to hold a user namespace";
    let us = rustix::process::getpid();
    let (pid, pidfd) = match clone3(&clone).attempt(attempted)? {
        // Killed as soon as its namespace is held by a descriptor, or with us.
        Forked::Child => {
            die_with_parent(us);
            loop {
                rustix::event::pause();
            }
        }
        Forked::Parent(pid, pidfd) => (pid, pidfd.expect("a pidfd was asked for")),
    };
    let opened = (|| {
        write(pid, Ids::Users, users)?;
        write(pid, Ids::Groups, groups)?;
        let path = format!("/proc/{}/ns/user", pid.as_raw_nonzero());
        rustix::fs::open(path.as_str(), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
            .attempt(|| format!("open {path}"))
    })();
    let _ = rustix::process::pidfd_send_signal(&pidfd, Signal::KILL);
    let _ = rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::empty());
    opened
}

fn write_file(path: &str, text: &[u8]) -> Result<()> {
    let file =
        rustix::fs::open(path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty()).attempt(|| format!("open {path}"))?;
    rustix::io::write(&file, text).attempt(|| format!("write {path}")).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_found_outside_only_where_it_is_mapped() {
        let map = [Range { inside: 0, outside: 1000, count: 1 }, Range { inside: 1, outside: 100_000, count: 65_536 }];
        assert_eq!(outside(&map, 0), Some(1000));
        assert_eq!(outside(&map, 65_536), Some(165_535));
        assert_eq!(outside(&map, 65_537), None);
        assert_eq!(text(&map), "0 1000 1\n1 100000 65536\n");
    }
}
