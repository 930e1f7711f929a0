//! What is read of single processes and users only when it is shown.

use std::collections::HashMap;
use std::fs;
use std::time::Duration;

use nskit::inspect::{proc, users};

/// Names of users, from `/etc/passwd`. A static binary cannot ask the name service switch: users that only a directory
/// server knows are shown as numbers.
#[derive(Default)]
pub(crate) struct Users {
    names: Option<HashMap<u32, String>>,
}

impl Users {
    /// The user's name, or the number.
    pub(crate) fn name(&mut self, uid: u32) -> String {
        let names = self.names.get_or_insert_with(|| {
            let text = fs::read_to_string("/etc/passwd").unwrap_or_default();
            let mut names = HashMap::new();
            for (name, uid) in users::entries(&text) {
                names.entry(uid).or_insert_with(|| name.to_owned());
            }
            names
        });
        names.get(&uid).cloned().unwrap_or_else(|| uid.to_string())
    }
}

/// Who the process is: by the host's list of users, and beside it, of a process in a container, by the container's own.
pub(crate) fn who(pid: i32, is_contained: bool, host: &mut Users) -> Option<String> {
    let uid = uid(pid)?;
    let outside = host.name(uid);
    let inside = if is_contained { users::inside(pid, uid) } else { None };
    let Some(inside) = inside else { return Some(outside) };
    if inside.name.is_none() && inside.uid == uid {
        return Some(outside);
    }
    let name = inside.name.unwrap_or_else(|| inside.uid.to_string());
    Some(if name == outside { outside } else { format!("{name} in the container, {outside} on the host") })
}

/// The command line with blanks between the arguments, or the name of a process that has none.
pub(crate) fn command(pid: i32) -> String {
    String::from_utf8_lossy(&command_bytes(pid)).into_owned()
}

/// The same, byte by byte as the process has it.
pub(crate) fn command_bytes(pid: i32) -> Vec<u8> {
    proc::command(pid)
}

/// The process's effective user, as the owner of its directory in `/proc`.
pub(crate) fn uid(pid: i32) -> Option<u32> {
    rustix::fs::stat(format!("/proc/{pid}")).ok().map(|status| status.st_uid)
}

/// Memory that the process has in use, bytes; pages that it shares are counted for each.
pub(crate) fn resident_bytes(pid: i32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/statm")).unwrap_or_default();
    let pages: u64 = text.split(' ').nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(0);
    pages * rustix::param::page_size() as u64
}

/// How long the process has been running.
pub(crate) fn age(pid: i32) -> Option<Duration> {
    proc::age(proc::started(pid)?)
}
