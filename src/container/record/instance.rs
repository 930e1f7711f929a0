//! A container that exists: its folder, its state, and what it is doing.

use crate::cgroup::{Cgroup, FreezerState};
use crate::container::record::folder::Folder;
use crate::container::record::gate;
use crate::container::record::runtime::Runtime;
use crate::container::record::state::{State, Status, process_start};
use crate::error::{Error, Result};

/// A container that was created by this runtime before.
#[derive(Debug)]
pub struct Container {
    /// Its folder.
    pub folder: Folder,
    /// Its state as it was saved.
    pub state: State,
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

    /// Where it is in its life.
    ///
    /// # Errors
    /// When its freezer cannot be read.
    pub fn status(&self) -> Result<Status> {
        if self.state.init_process_pid == 0 {
            let (pid, start) = self.state.creator;
            let being_made = matches!(process_start(pid), Some((true, now)) if now == start);
            return Ok(if being_made { Status::Creating } else { Status::Stopped });
        }
        let Some(stat) = self.state.living() else { return Ok(Status::Stopped) };
        if self.is_paused()? {
            return Ok(Status::Paused);
        }
        Ok(match gate::connect(&self.folder)? {
            Some(_) => Status::Created,
            None if stat.executed || self.state.restored => Status::Running,
            // Of `run`, on the way to its program.
            None => Status::Creating,
        })
    }

    /// Whether its cgroup is frozen.
    ///
    /// # Errors
    /// When its freezer cannot be read.
    pub fn is_paused(&self) -> Result<bool> {
        Ok(self.cgroup()?.freezer_state()? == FreezerState::Frozen)
    }

    /// Whether its processes run, so that one of them answers. One that is paused by a cgroup above its own is not paused as
    /// containers are, but would be waited for as long.
    ///
    /// # Errors
    /// Of kind [`crate::error::Kind::State`]: `paused` when it is paused, else which cgroup is frozen.
    pub fn must_not_be_frozen(&self, paused: impl Fn() -> Error) -> Result<()> {
        let cgroup = self.cgroup()?;
        match cgroup.freezer_state()? {
            FreezerState::Thawed | FreezerState::Unknown => Ok(()),
            FreezerState::Frozen => Err(paused()),
            FreezerState::FrozenAbove => {
                let above = cgroup.frozen_above().unwrap_or_default();
                let message =
                    format!("{}: cgroup {}, above the container's, is frozen", paused().message(), above.display());
                Err(Error::new(crate::error::Kind::State, message))
            }
        }
    }
}
