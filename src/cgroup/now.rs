//! Where a process is now: one that may write to the cgroup file system, and has no cgroup namespace of its own, can move
//! itself anywhere.

use std::path::PathBuf;

use rustix::process::Pid;

use super::{Cgroup, Controller, Dir, Layout, Paths};
use crate::error::Result;

/// A directory of a cgroup that a process has left, and the one that it is in instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Left {
    /// Where it was put.
    pub from: PathBuf,
    /// Where it is.
    pub to: PathBuf,
}

impl Cgroup {
    /// The cgroup that a process is in now, in the hierarchies that this one has a directory in.
    ///
    /// # Errors
    /// The process is gone, or outside of what is mounted here.
    pub fn of_process(&self, pid: Pid) -> Result<Cgroup> {
        let layout = Layout::of_process(pid)?;
        let mut paths = Paths::new();
        for place in layout.own_places()? {
            if self.dirs.iter().any(|dir| dir.controllers.iter().any(|ours| place.controllers.contains(ours))) {
                paths.extend(place.names());
            }
        }
        Ok(Cgroup { rootless: self.rootless, lenient: self.lenient, ..Cgroup::open(&paths)? })
    }

    /// The first directory of the cgroup that a process is neither in nor below. Hierarchies in which nothing is limited do
    /// not count: containers may do without.
    ///
    /// # Errors
    /// As [`Cgroup::of_process`].
    pub fn left_by(&self, pid: Pid) -> Result<Option<Left>> {
        let now = self.of_process(pid)?;
        let counts = |dir: &&Dir| self.unified || !dir.is_only_for_placement();
        Ok(self.dirs.iter().filter(counts).find_map(|dir| {
            let main = dir.controllers.first().copied().unwrap_or(Controller::Unified);
            let to = now.path(main)?;
            (!to.starts_with(&dir.path)).then(|| Left { from: dir.path.clone(), to: to.to_owned() })
        }))
    }
}
