//! Maps of ids: who writes them, and how.

use nskit::error::{Attempt, Kind as ErrorKind};
use nskit::namespace::idmap::{self, Range};
use nskit::namespace::subid;
use nskit::{Error, Result};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::process::Pid;

use super::options::Options;
use super::outside::report;
use crate::exec::Voice;
use crate::hints::{self, Failure, Hint};

/// Id maps: those that a helper outside writes, and the single ids that the process may map itself.
pub(super) struct Maps {
    pub(super) users: Vec<Range>,
    pub(super) groups: Vec<Range>,
    own_user: Option<Range>,
    own_group: Option<Range>,
}

impl Maps {
    pub(super) fn new(options: &Options) -> Maps {
        let user = options.map_user.map(|inside| (inside, rustix::process::geteuid().as_raw()));
        let group = options.map_group.map(|inside| (inside, rustix::process::getegid().as_raw()));
        // An owner that is not the caller may not map the caller's ids.
        let outside =
            |wanted: &[_], single: Option<_>| !wanted.is_empty() || (single.is_some() && options.owner.is_some());
        let own = |single: Option<(u32, u32)>| single.map(|(inside, outside)| Range { inside, outside, count: 1 });
        let (mut maps, users, groups) = (
            Maps { users: Vec::new(), groups: Vec::new(), own_user: None, own_group: None },
            outside(&options.users, user),
            outside(&options.groups, group),
        );
        match users {
            true => maps.users = subid::merge(&options.users, user),
            false => maps.own_user = own(user),
        }
        match groups {
            true => maps.groups = subid::merge(&options.groups, group),
            false => maps.own_group = own(group),
        }
        maps
    }

    /// The helper's work: writes the maps of `pid`, with privilege or else with the programs that have it.
    pub(super) fn write(&self, voice: &Voice, pid: Pid) -> u8 {
        let maps = [(idmap::Ids::Users, &self.users), (idmap::Ids::Groups, &self.groups)];
        for (ids, map) in maps.into_iter().filter(|(_, map)| !map.is_empty()) {
            voice.step(|| format!("map {} as {}", ids.file(), idmap::text(map).trim_end().replace('\n', ", ")));
            let status = if rustix::process::geteuid().is_root() {
                report(voice, write_map(pid, ids, map).hint(|errno| hints::map(errno, ids, map)))
            } else {
                write_by_tool(voice, pid, ids, map)
            };
            if status != 0 {
                return status;
            }
        }
        0
    }

    /// Maps the caller's own ids, from inside.
    pub(super) fn write_own(&self, voice: &Voice, options: &Options) -> Result<(), Failure> {
        if let Some(map) = self.own_user {
            map_own(voice, idmap::Ids::Users, map)?;
        }
        if let Some(map) = self.own_group {
            if options.setgroups == Some(true) {
                let message = "options --setgroups=allow and --map-group are mutually exclusive";
                return Err(Error::invalid(message).into());
            }
            // What the kernel demands of a group map that is written without privilege (Linux 3.19).
            set_groups_control(false)?;
            map_own(voice, idmap::Ids::Groups, map)?;
        }
        Ok(())
    }
}

fn map_own(voice: &Voice, ids: idmap::Ids, map: Range) -> Result<(), Failure> {
    let path = format!("/proc/self/{}", ids.file());
    let text = format!("{} {} {}", map.inside, map.outside, map.count);
    voice.step(|| format!("map {} as {text}", ids.file()));
    let write = || -> Result<()> {
        let file = rustix::fs::open(&path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())
            .attempt(|| format!("cannot open {path}"))?;
        rustix::io::write(&file, text.as_bytes()).attempt(|| format!("write failed {path}")).map(drop)
    };
    write().hint(|errno| hints::map_own(errno, ids, map))
}

/// Runs newuidmap or newgidmap, which say themselves what they refuse.
fn write_by_tool(voice: &Voice, pid: Pid, ids: idmap::Ids, map: &[Range]) -> u8 {
    use std::os::unix::process::ExitStatusExt;
    match idmap::tool(pid, ids, map).status() {
        Ok(status) if status.success() => 0,
        Ok(status) => {
            hints::map_by_tool(ids, map).iter().for_each(|cause| voice.hint(cause));
            status.code().or(status.signal().map(|signal| 128 + signal)).unwrap_or(1) as u8
        }
        Err(error) => {
            let error = Error::io(&error, format!("failed to execute {}", ids.tool()));
            report(voice, Err(error.with_kind(ErrorKind::Program).into()))
        }
    }
}

fn write_map(pid: Pid, ids: idmap::Ids, map: &[Range]) -> Result<()> {
    let path = format!("/proc/{}/{}", pid.as_raw_nonzero(), ids.file());
    let text = idmap::text(map);
    if text.len() > 4096 {
        // The kernel takes one write of at most a page.
        return Err(Error::invalid(format!("{} too large for kernel 4k limit", ids.file())));
    }
    let file = rustix::fs::open(&path, OFlags::WRONLY | OFlags::CLOEXEC | OFlags::NOCTTY, Mode::empty())
        .attempt(|| format!("failed to open {path}"))?;
    rustix::io::write(&file, text.as_bytes()).attempt(|| format!("failed to write {path}")).map(drop)
}

/// Says whether setgroups(2) may be called in the user namespace of this process.
pub(super) fn set_groups_control(allow: bool) -> Result<()> {
    let path = "/proc/self/setgroups";
    let file = match rustix::fs::open(path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty()) {
        // Linux before 3.19 controls nothing.
        Err(Errno::NOENT) => return Ok(()),
        opened => opened.attempt(|| format!("cannot open {path}"))?,
    };
    let word: &[u8] = if allow { b"allow" } else { b"deny" };
    rustix::io::write(&file, word).attempt(|| format!("write failed {path}")).map(drop)
}
