//! Being told when the kernel runs out of a cgroup's memory.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::event::{EventfdFlags, eventfd};
use rustix::fs::{Mode, OFlags, inotify};
use rustix::io::Errno;

use super::{Cgroup, Controller, file};
use crate::error::{Attempt, Error, Result};

/// What became known since one looked last. Both can: the kernel holds events back for some milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OomEvents {
    /// The limit was reached, and a process killed (v1 with the OOM killer off: stopped).
    pub oom: bool,
    /// The last process is gone, or the cgroup is: there will be no more events.
    pub gone: bool,
}

/// A watch on a cgroup's memory, begun when a process was in the cgroup. Poll it for input, then [`read`](OomWatch::read).
#[derive(Debug)]
pub struct OomWatch {
    fd: OwnedFd,
    dir: PathBuf,
    source: Source,
}

#[derive(Debug)]
enum Source {
    /// An eventfd that the kernel writes to; the watched file is kept open as long.
    V1 { _control: OwnedFd },
    /// inotify on `memory.events` and `cgroup.events`.
    V2 { kills: u64 },
}

impl Cgroup {
    /// Begins to watch for running out of memory.
    ///
    /// # Errors
    /// The cgroup has no memory controller, or is gone.
    pub fn watch_oom(&self) -> Result<OomWatch> {
        let dir = self.path(Controller::Memory).ok_or_else(|| Error::unsupported("memory controller missing"))?;
        OomWatch::of(dir, self.unified)
    }
}

impl Cgroup {
    /// What to say of a process that was killed in this cgroup, if the kernel has killed any here for want of memory.
    pub fn explain_kill(&self) -> Option<String> {
        let dir = self.path(Controller::Memory)?;
        let (events, limit) = if self.unified {
            ("memory.events", "memory.max")
        } else {
            ("memory.oom_control", "memory.limit_in_bytes")
        };
        if file::value_of(&file::read(dir, events).ok()?, "oom_kill") == 0 {
            return None;
        }
        let limit = file::read(dir, limit).ok()?;
        Some(match limit.trim() {
            // The kernel counts pages: a limit below one becomes none at all.
            "0" => "its cgroup ran out of memory, of which it may have less than one page".to_owned(),
            bytes => format!("its cgroup ran out of memory, of which it may have {bytes} bytes"),
        })
    }
}

impl Cgroup {
    /// How often memory was short. v2: `low`, `high`, `max`, `oom`, `oom_kill` and `oom_group_kill` of `memory.events`; v1:
    /// `oom_kill_disable`, `under_oom` and `oom_kill` of `memory.oom_control`. What the kernel does not count is zero.
    pub fn memory_events(&self) -> Vec<u64> {
        let (name, keys) = match self.unified {
            true => ("memory.events", &["low", "high", "max", "oom", "oom_kill", "oom_group_kill"][..]),
            false => ("memory.oom_control", &["oom_kill_disable", "under_oom", "oom_kill"][..]),
        };
        let content = self.path(Controller::Memory).and_then(|dir| file::read(dir, name).ok()).unwrap_or_default();
        keys.iter().map(|key| file::value_of(&content, key)).collect()
    }

    /// The directory in which memory is counted, for [`OomWatch::of`].
    pub fn memory_dir(&self) -> Option<&Path> {
        self.path(Controller::Memory)
    }
}

impl OomWatch {
    /// Watches the memory of a cgroup by its directory, on v2 where it `is_unified`.
    ///
    /// # Errors
    /// As [`Cgroup::watch_oom`].
    pub fn of(dir: &Path, is_unified: bool) -> Result<OomWatch> {
        if is_unified { OomWatch::v2(dir) } else { OomWatch::v1(dir) }
    }

    fn v1(dir: &Path) -> Result<OomWatch> {
        const CONTROL: &str = "memory.oom_control";
        let control = rustix::fs::open(dir.join(CONTROL), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
            .attempt(|| file::opening(dir, CONTROL))?;
        let fd = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).attempt(|| "eventfd")?;
        let value = format!("{} {}", fd.as_raw_fd(), control.as_raw_fd());
        file::write(dir, "cgroup.event_control", &value)
            .attempt(|| file::writing(dir, "cgroup.event_control", &value))?;
        Ok(OomWatch { fd, dir: dir.to_owned(), source: Source::V1 { _control: control } })
    }

    fn v2(dir: &Path) -> Result<OomWatch> {
        let fd = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK).attempt(|| "inotify")?;
        let watch = |name: &str| {
            inotify::add_watch(&fd, dir.join(name), inotify::WatchFlags::MODIFY)
                .attempt(|| format!("watch {}", dir.join(name).display()))
        };
        watch("memory.events")?;
        watch("cgroup.events")?;
        let kills = kills(dir).unwrap_or(0);
        Ok(OomWatch { fd, dir: dir.to_owned(), source: Source::V2 { kills } })
    }

    /// What happened since the last call, which may be nothing of interest. Does not wait.
    pub fn read(&mut self) -> Result<OomEvents> {
        let read = match &mut self.source {
            Source::V1 { .. } => read_v1(&self.fd, &self.dir),
            Source::V2 { kills } => read_v2(&self.fd, &self.dir, kills),
        };
        match read {
            Err(Errno::AGAIN | Errno::INTR) => Ok(OomEvents::default()),
            result => result.attempt(|| format!("read memory events of {}", self.dir.display())),
        }
    }
}

impl AsFd for OomWatch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

fn read_v1(fd: &OwnedFd, dir: &Path) -> Result<OomEvents, Errno> {
    let mut count = [0u8; 8];
    rustix::io::read(fd, &mut count)?;
    // The kernel writes to the eventfd when the cgroup is removed, too.
    let gone = rustix::fs::access(dir.join("cgroup.event_control"), rustix::fs::Access::EXISTS) == Err(Errno::NOENT);
    Ok(OomEvents { oom: !gone, gone })
}

fn read_v2(fd: &OwnedFd, dir: &Path, kills_before: &mut u64) -> Result<OomEvents, Errno> {
    // Which file changed does not matter, nor whether one did: both are asked, since the news may be late.
    let mut buffer = [std::mem::MaybeUninit::uninit(); 1024];
    let mut events = inotify::Reader::new(fd, &mut buffer);
    while events.next().is_ok() {}
    let kills = kills(dir);
    let oom = kills.is_some_and(|kills| kills > *kills_before);
    *kills_before = kills.unwrap_or(*kills_before);
    let populated = file::read(dir, "cgroup.events").map_or(0, |events| file::value_of(&events, "populated"));
    Ok(OomEvents { oom, gone: populated == 0 })
}

fn kills(dir: &Path) -> Option<u64> {
    file::read(dir, "memory.events").ok().map(|events| file::value_of(&events, "oom_kill"))
}
