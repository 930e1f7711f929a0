//! The user namespace's maps and the time namespace's offsets: written by the parent while the child waits.

use oci_spec::runtime::Spec;
use rustix::process::Pid;

use crate::container::record::runtime::Runtime;
use crate::container::spec::rootfs::ranges;
use crate::error::{Error, Result};
use crate::namespace::idmap::{self, Ids, Range};
use crate::namespace::{Kind, Kinds};

/// The maps of a new user namespace, and how they can be written.
#[derive(Debug, Default)]
pub struct Maps {
    users: Vec<Range>,
    groups: Vec<Range>,
    by: Writer,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Writer {
    /// Into the kernel's files.
    #[default]
    Direct,
    /// Into the kernel's files by a caller without privilege, who may map just itself.
    Unprivileged,
    /// Through newuidmap and newgidmap.
    Tools,
}

/// Plans the maps of a configuration.
///
/// # Errors
/// When the caller may not have them written.
pub fn plan(spec: &Spec, new: Kinds, runtime: &Runtime) -> Result<Maps> {
    if !new.contains(Kind::User) {
        return Ok(Maps::default());
    }
    let linux = spec.linux().as_ref();
    let users = linux.and_then(|linux| linux.uid_mappings().as_ref()).map(|maps| ranges(maps)).unwrap_or_default();
    let groups = linux.and_then(|linux| linux.gid_mappings().as_ref()).map(|maps| ranges(maps)).unwrap_or_default();
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let is_self = |map: &[Range], id| matches!(map, [Range { outside, count: 1, .. }] if *outside == id);
    let by = if runtime.privileged() {
        Writer::Direct
    } else if is_self(&users, uid) && is_self(&groups, gid) {
        Writer::Unprivileged
    } else {
        Writer::Tools
    };
    Ok(Maps { users, groups, by })
}

impl Maps {
    /// Whether setgroups(2) will be denied in the namespace.
    pub fn denies_setgroups(&self) -> bool {
        self.by == Writer::Unprivileged
    }

    /// Writes the maps of process `pid`.
    ///
    /// # Errors
    /// As [`idmap::write`] and [`idmap::write_by_tool`].
    pub fn write(&self, pid: Pid) -> Result<()> {
        if self.by == Writer::Tools {
            idmap::write_by_tool(pid, Ids::Users, &self.users)?;
            return idmap::write_by_tool(pid, Ids::Groups, &self.groups);
        }
        if self.denies_setgroups() {
            idmap::deny_setgroups(pid)?;
        }
        idmap::write(pid, Ids::Users, &self.users)?;
        idmap::write(pid, Ids::Groups, &self.groups)
    }
}

/// The lines of /proc/PID/timens_offsets that a configuration asks for; time_namespaces(7).
///
/// # Errors
/// For a clock that has no offset.
pub fn time_offsets(spec: &Spec) -> Result<String> {
    let mut text = String::new();
    let offsets = spec.linux().as_ref().and_then(|linux| linux.time_offsets().as_ref());
    for (clock, offset) in offsets.into_iter().flatten() {
        if !matches!(clock.as_str(), "monotonic" | "boottime") {
            return Err(Error::invalid(format!("timeOffsets: {clock:?} is not a clock with an offset")));
        }
        text += &format!("{clock} {} {}\n", offset.secs().unwrap_or(0), offset.nanosecs().unwrap_or(0));
    }
    Ok(text)
}
