//! Stopping all processes of a cgroup, and letting them go on.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::{Cgroup, Controller, Dir, file};
use crate::error::{Attempt, Error, Kind, Result};

/// How long to wait for all processes to stop.
const PATIENCE: Duration = Duration::from_secs(10);

/// Whether the processes of a cgroup are stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FreezerState {
    /// All are stopped, by this cgroup's own freezer.
    Frozen,
    /// They run.
    Thawed,
    /// All are stopped, by the freezer of a cgroup further up alone.
    FrozenAbove,
    /// There is no freezer, or no cgroup any more.
    Unknown,
}

/// A freezer, by its directory.
#[derive(Clone, Copy)]
pub(super) enum Freezer<'a> {
    V1(&'a Path),
    /// Linux 5.2.
    V2(&'a Path),
}

impl<'a> Freezer<'a> {
    /// That of a directory, if there is one.
    pub(super) fn of(dir: &'a Dir) -> Option<Freezer<'a>> {
        dir.controllers.iter().find_map(|controller| match controller {
            Controller::Freezer => Some(Freezer::V1(&dir.path)),
            Controller::Unified => Some(Freezer::V2(&dir.path)),
            _ => None,
        })
    }

    fn dir(self) -> &'a Path {
        let (Freezer::V1(dir) | Freezer::V2(dir)) = self;
        dir
    }

    pub(super) fn state(self) -> Result<FreezerState> {
        match self {
            Freezer::V1(dir) => v1_state(dir),
            Freezer::V2(dir) => v2_state(dir),
        }
    }

    /// The nearest cgroup above that is frozen itself.
    pub(super) fn frozen_above(self) -> Option<&'a Path> {
        let file = match self {
            Freezer::V1(_) => "freezer.self_freezing",
            Freezer::V2(_) => "cgroup.freeze",
        };
        self.dir().ancestors().skip(1).find(|dir| file::read(dir, file).is_ok_and(|own| own.trim() == "1"))
    }

    /// Refuses a cgroup that is frozen, by itself or from above: whatever joins it stops there for as long.
    ///
    /// # Errors
    /// Of kind [`Kind::State`], with the cgroup that is to be thawed.
    pub(super) fn check_thawed(self) -> Result<()> {
        let dir = self.dir().display();
        let why = match self.state()? {
            FreezerState::Thawed | FreezerState::Unknown => return Ok(()),
            FreezerState::Frozen => dir.to_string(),
            FreezerState::FrozenAbove => match self.frozen_above() {
                Some(above) => format!("{dir} is below {}, which is frozen", above.display()),
                None => format!("{dir} is below one that is frozen"),
            },
        };
        Err(Error::new(Kind::State, format!("container's cgroup unexpectedly frozen: {why}")))
    }
}

impl Cgroup {
    fn freezer(&self) -> Option<Freezer<'_>> {
        // v1's where there is one: it is the one that engines look at.
        match self.path(Controller::Freezer).filter(|_| !self.unified) {
            Some(dir) => Some(Freezer::V1(dir)),
            None => self.unified_dir().map(Freezer::V2),
        }
    }

    /// The directory of its freezer.
    pub fn freezer_dir(&self) -> Option<&Path> {
        self.freezer().map(Freezer::dir)
    }

    /// Whether the processes are stopped. On v1, waits while the freezer is on the way there.
    pub fn freezer_state(&self) -> Result<FreezerState> {
        self.freezer().map_or(Ok(FreezerState::Unknown), Freezer::state)
    }

    /// The nearest cgroup above that is frozen itself, and this one with it.
    pub fn frozen_above(&self) -> Option<PathBuf> {
        self.freezer()?.frozen_above().map(Path::to_owned)
    }

    /// Stops all processes, those of child cgroups too; returns when they are.
    ///
    /// # Errors
    /// There is no freezer, or a process could not be stopped in time; then all go on.
    pub fn freeze(&self) -> Result<()> {
        match self.freezer() {
            None => Err(Error::unsupported("cannot freeze: the container has no cgroup with a freezer")),
            Some(Freezer::V1(dir)) => {
                let frozen = v1_freeze(dir);
                if frozen.is_err() {
                    // Half frozen is the worst state to leave it in.
                    let _ = file::write(dir, "freezer.state", "THAWED");
                }
                frozen
            }
            Some(Freezer::V2(dir)) => {
                v2_write(dir, "1")?;
                let frozen = v2_wait(dir, true);
                if frozen.is_err() {
                    let _ = v2_write(dir, "0");
                }
                frozen
            }
        }
    }

    /// Lets the processes go on; returns when they do.
    pub fn thaw(&self) -> Result<()> {
        match self.freezer() {
            None => Err(Error::unsupported("cannot thaw: the container has no cgroup with a freezer")),
            Some(Freezer::V1(dir)) => {
                file::write(dir, "freezer.state", "THAWED").attempt(|| file::writing(dir, "freezer.state", "THAWED"))
            }
            Some(Freezer::V2(dir)) => {
                v2_write(dir, "0")?;
                // While a cgroup above is frozen this one stays so: nothing to wait for.
                let _ = v2_wait(dir, false);
                Ok(())
            }
        }
    }

    /// Lets the processes of every child cgroup go on too, which may have been frozen on their own: on v1 a frozen
    /// process does not die of SIGKILL.
    pub(super) fn thaw_all(&self) {
        fn thaw(dir: &Path) {
            let _ = file::write(dir, "freezer.state", "THAWED");
            for child in file::children(dir).unwrap_or_default() {
                thaw(&child);
            }
        }
        match self.freezer() {
            Some(Freezer::V1(dir)) => thaw(dir),
            Some(Freezer::V2(dir)) => drop(file::write(dir, "cgroup.freeze", "0")),
            None => {}
        }
    }
}

/// `cgroup.events` tells whether the processes have stopped, by whichever cgroup; `cgroup.freeze` whether by this one.
fn v2_state(dir: &Path) -> Result<FreezerState> {
    let read = |name: &str| match file::read(dir, name) {
        Ok(content) => Ok(Some(content)),
        Err(Errno::NOENT | Errno::NODEV) => Ok(None),
        Err(errno) => Err(Error::os(errno, file::reading(dir, name))),
    };
    match read("cgroup.events")?.map(|events| file::value_of(&events, "frozen")) {
        None => Ok(FreezerState::Unknown),
        Some(0) => Ok(FreezerState::Thawed),
        Some(_) => Ok(match read("cgroup.freeze")?.as_deref().map(str::trim) {
            Some("1") => FreezerState::Frozen,
            Some(_) => FreezerState::FrozenAbove,
            None => FreezerState::Unknown,
        }),
    }
}

fn v2_write(dir: &Path, value: &str) -> Result<()> {
    file::write(dir, "cgroup.freeze", value).attempt(|| file::writing(dir, "cgroup.freeze", value))
}

/// Waits until `cgroup.events` says so; the kernel wakes those who poll the file when it changes.
fn v2_wait(dir: &Path, frozen: bool) -> Result<()> {
    let wanted = u64::from(frozen);
    let reached =
        wait_for_event(dir, Instant::now() + if frozen { PATIENCE } else { Duration::from_millis(100) }, |events| {
            file::value_of(events, "frozen") == wanted
        })
        .attempt(|| file::reading(dir, "cgroup.events"))?;
    if reached {
        return Ok(());
    }
    let message = format!("{}: not all processes could be frozen within {} s", dir.display(), PATIENCE.as_secs());
    Err(Error::new(Kind::State, message))
}

/// Waits until `cgroup.events` of a cgroup in the unified hierarchy is as wanted; `false` when time is up.
pub(super) fn wait_for_event(dir: &Path, deadline: Instant, wanted: impl Fn(&str) -> bool) -> Result<bool, Errno> {
    let events: PathBuf = dir.join("cgroup.events");
    let fd = rustix::fs::open(&events, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    loop {
        let mut buffer = [0u8; 256];
        let length = rustix::io::pread(&fd, &mut buffer, 0)?;
        if wanted(&String::from_utf8_lossy(&buffer[..length])) {
            return Ok(true);
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(false);
        }
        let timeout = left.try_into().map_err(|_| Errno::INVAL)?;
        match rustix::event::poll(&mut [PollFd::new(&fd, PollFlags::PRI)], Some(&timeout)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

fn v1_state(dir: &Path) -> Result<FreezerState> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let state = match file::read(dir, "freezer.state") {
            Ok(state) => state,
            Err(Errno::NOENT | Errno::NODEV) => return Ok(FreezerState::Unknown),
            Err(errno) => return Err(Error::os(errno, file::reading(dir, "freezer.state"))),
        };
        match state.trim() {
            "FREEZING" if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(1)),
            "FROZEN" => {
                // By itself, or because a cgroup above is?
                let own = file::read(dir, "freezer.self_freezing").unwrap_or_else(|_| "1".to_owned());
                return Ok(if own.trim() == "0" { FreezerState::FrozenAbove } else { FreezerState::Frozen });
            }
            _ => return Ok(FreezerState::Thawed),
        }
    }
}

/// v1 does not freeze what appears while it is freezing: ask again, now and then let all go on for a moment.
fn v1_freeze(dir: &Path) -> Result<()> {
    let write =
        |value: &str| file::write(dir, "freezer.state", value).attempt(|| file::writing(dir, "freezer.state", value));
    let deadline = Instant::now() + PATIENCE;
    for attempt in 1.. {
        if attempt % 50 == 0 {
            write("THAWED")?;
            std::thread::sleep(Duration::from_millis(10));
        }
        write("FROZEN")?;
        if attempt % 25 == 0 {
            std::thread::sleep(Duration::from_micros(10));
        }
        let state = file::read(dir, "freezer.state").attempt(|| file::reading(dir, "freezer.state"))?;
        if state.trim() == "FROZEN" {
            return Ok(());
        }
        if Instant::now() >= deadline {
            break;
        }
    }
    Err(Error::new(Kind::State, format!("unable to freeze {}: new processes keep appearing in it", dir.display())))
}
