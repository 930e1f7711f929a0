//! A container that exists: its folder, its state, and what it is doing.

use std::os::fd::OwnedFd;

use super::folder::Folder;
use super::gate::{self, Gate};
use super::life::{Status, Verb};
use super::process::Stat;
use super::runtime::Runtime;
use super::state::State;
use crate::cgroup::{Cgroup, FreezerState};
use crate::error::{Errno, Error, Kind, Result};
use crate::launch::link::Link;

/// A container that was created by this runtime before.
#[derive(Debug)]
pub struct Container {
    /// Its folder.
    pub folder: Folder,
    /// Its state as it was saved.
    pub state: State,
}

/// A container to which something may be done, and what was opened to find that out.
#[derive(Debug)]
pub struct Admitted {
    /// Where it is in its life. One that is paused is told from one that is not only where the verb minds.
    pub status: Status,
    /// Refers to its first process, whatever becomes of the number.
    init: Option<OwnedFd>,
    /// A connection to its gate, where it waits to be started and answers.
    pub(crate) gate: Option<Link>,
}

impl Admitted {
    /// The pidfd of the first process.
    ///
    /// # Errors
    /// When there is none: "container not running".
    pub fn into_init(self) -> Result<OwnedFd> {
        self.init.ok_or_else(|| Error::new(Kind::State, "container not running"))
    }
}

impl Container {
    /// The container `id`.
    ///
    /// # Errors
    /// Of kind [`crate::error::Kind::NotFound`] when there is none: `container "x" does not exist`.
    pub fn load(runtime: &Runtime, id: &str) -> Result<Container> {
        let folder = Folder::of(&runtime.root, id)?;
        let state = folder.load()?;
        Ok(Container { folder, state })
    }

    /// Its cgroups, as far as it has any.
    ///
    /// # Errors
    /// When what was saved of them is damaged.
    pub fn cgroup(&self) -> Result<Cgroup> {
        let cgroup = Cgroup::open(&self.state.cgroup_paths)?;
        Ok(match &self.state.systemd_unit {
            Some(_) => cgroup.rootless_but_there(self.state.rootless),
            None => cgroup.rootless(self.state.rootless),
        })
    }

    /// Its first process.
    ///
    /// # Errors
    /// Before it has one.
    pub fn pid(&self) -> Result<rustix::process::Pid> {
        rustix::process::Pid::from_raw(self.state.init_process_pid)
            .ok_or_else(|| Error::new(crate::error::Kind::State, "container not running"))
    }

    /// For what only a cgroup tells.
    ///
    /// # Errors
    /// `consequence`, when the container has none of its own: a rootless one may do without.
    pub fn must_have_cgroup(&self, consequence: &str) -> Result<()> {
        if self.state.cgroup_paths.is_empty() {
            return Err(Error::unsupported(format!(
                "container {} has no cgroup of its own: {consequence}",
                self.state.id
            )));
        }
        Ok(())
    }

    /// The one gate to a container: whether `verb` may be done to it now.
    ///
    /// # Errors
    /// Of kind [`Kind::State`] when the container is where `verb` is not permitted, see [`Verb::permits`]; when it cannot be
    /// told where it is.
    pub fn admit(&self, verb: Verb) -> Result<Admitted> {
        let (init, stat) = self.state.open_init()?.unzip();
        let (mut status, gate) = self.phase(stat)?;
        if verb.minds_pause() && matches!(status, Status::Created | Status::Running) {
            let cgroup = self.cgroup()?;
            match cgroup.freezer_state().map_err(|error| self.outlived(verb, error))? {
                FreezerState::Frozen => status = Status::Paused,
                // Not paused as containers are, but an answer would be waited for as long.
                FreezerState::FrozenAbove if verb.needs_an_answer() => {
                    let above = cgroup.frozen_above().unwrap_or_default();
                    let refusal = verb.refusal(&self.state.id, Status::Paused);
                    let why =
                        format!("{}: cgroup {}, above the container's, is frozen", refusal.message(), above.display());
                    return Err(Error::new(Kind::State, why));
                }
                FreezerState::FrozenAbove | FreezerState::Thawed | FreezerState::Unknown => {}
            }
        }
        if verb.permits(status) {
            Ok(Admitted { status, init, gate })
        } else {
            Err(verb.refusal(&self.state.id, status))
        }
    }

    /// Where it is in its life.
    ///
    /// # Errors
    /// When that cannot be told: its first process, its gate or its freezer cannot be looked at.
    pub fn status(&self) -> Result<Status> {
        Ok(match self.phase(self.state.living()?)?.0 {
            Status::Created | Status::Running if self.is_paused()? => Status::Paused,
            status => status,
        })
    }

    /// Why `verb` failed: of one whose first process has died meanwhile, that it has stopped, where the failure is a
    /// consequence of that: nobody to enter, nobody who listens, a cgroup that is gone.
    pub(crate) fn outlived(&self, verb: Verb, error: Error) -> Error {
        // ENOMEM: clone(2) into a pid namespace whose first process is gone.
        let is_consequence = matches!(
            error.errno(),
            Some(Errno::SRCH | Errno::PIPE | Errno::CONNRESET | Errno::NOENT | Errno::NODEV | Errno::NOMEM)
        ) || error.kind() == Kind::Unsupported;
        match self.state.living() {
            Ok(init) if is_consequence && init.is_none_or(|init| init.is_dying()) => {
                verb.refusal(&self.state.id, Status::Stopped)
            }
            _ => error,
        }
    }

    /// Where it is in its life, paused or not, and a connection to its gate if it has come that far and no further. `init` is
    /// its first process, if that lives.
    fn phase(&self, init: Option<Stat>) -> Result<(Status, Option<Link>)> {
        let Some(init) = init else {
            return Ok((if self.has_creator()? { Status::Creating } else { Status::Stopped }, None));
        };
        if init.executed || self.state.restored {
            return Ok((Status::Running, None));
        }
        Ok(match gate::connect(&self.folder)? {
            Gate::Open(link) => (Status::Created, Some(link)),
            Gate::Crowded => (Status::Created, None),
            // It is on its way to the gate, or, of `run`, to its program.
            Gate::Closed => (Status::Creating, None),
        })
    }

    /// Whether there is no first process yet, and the runtime that makes one is at it.
    fn has_creator(&self) -> Result<bool> {
        let (pid, started) = self.state.creator;
        if self.state.init_process_pid != 0 || pid == 0 {
            return Ok(false);
        }
        Ok(Stat::of(pid)?.is_some_and(|stat| stat.alive && stat.started == started))
    }

    /// Its first process, when it has been killed or is ending, and only waits for what it takes along.
    ///
    /// # Errors
    /// When it cannot be looked at.
    pub(crate) fn dying(&self) -> Result<Option<OwnedFd>> {
        Ok(self.state.open_init()?.filter(|(_, stat)| stat.is_dying()).map(|(init, _)| init))
    }

    /// Whether its cgroup is frozen.
    ///
    /// # Errors
    /// When its freezer cannot be read.
    pub fn is_paused(&self) -> Result<bool> {
        Ok(self.cgroup()?.freezer_state()? == FreezerState::Frozen)
    }
}
