//! Making a cgroup: first its directory in the unified hierarchy, which a process can be born in, then the others.

use std::cell::OnceCell;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};

use rustix::fs::Mode as FileMode;
use rustix::io::Errno;

use super::layout::Hierarchy;
use super::{Cgroup, Controller, Dir, FreezerState, Layout, Location, Resources, file, is_in_use, processes, v1, v2};
use crate::error::{Attempt, Error, Kind, Result};

/// A cgroup of which only the directory in the unified hierarchy is made, where there is one. Dropped, it is removed; before
/// that, what is in it must have ended.
#[derive(Debug)]
pub struct Begun {
    cgroup: Cgroup,
    made: Made,
    missing: Vec<PathBuf>,
}

impl Begun {
    /// As [`Cgroup::fd_for_clone`].
    ///
    /// # Errors
    /// As [`Cgroup::fd_for_clone`].
    pub fn fd_for_clone(&self) -> Result<Option<BorrowedFd<'_>>> {
        self.cgroup.fd_for_clone()
    }

    /// Makes the other directories.
    ///
    /// # Errors
    /// As [`Cgroup::create`].
    pub fn make_rest(&mut self, layout: &Layout, resources: &Resources) -> Result<()> {
        let made_before = self.cgroup.dirs.len();
        let rest = layout.hierarchies.iter().filter(|hierarchy| !Controller::are_unified(&hierarchy.controllers));
        for (hierarchy, path) in rest.zip(std::mem::take(&mut self.missing)) {
            self.make(hierarchy, path, resources)?;
        }
        self.cgroup.check_new(made_before..)
    }

    /// The cgroup, which stays.
    pub fn keep(mut self) -> Cgroup {
        self.made.0.clear();
        self.cgroup
    }

    fn make(&mut self, hierarchy: &Hierarchy, path: PathBuf, resources: &Resources) -> Result<()> {
        let cgroup = &mut self.cgroup;
        let controllers = &hierarchy.controllers;
        let dir = if cgroup.unified {
            v2::create(&hierarchy.mount, &path, resources, &mut self.made)
        } else {
            v1::create(hierarchy, &path, resources, &mut self.made)
        };
        match dir {
            // Others' processes are none of the container's: nothing is limited there, and so it does without.
            Ok(dir)
                if !cgroup.unified
                    && !dir.fresh
                    && !Controller::are_unified(controllers)
                    && Controller::are_only_for_placement(controllers)
                    && is_in_use(&path) => {}
            Ok(dir) => {
                cgroup.not_enabled = dir.not_enabled;
                cgroup.dirs.push(Dir { path, controllers: controllers.clone(), fresh: dir.fresh });
            }
            Err(_) if !cgroup.unified && Controller::are_only_for_placement(controllers) => {}
            Err(error) if cgroup.lenient && is_denial(&error) => {
                cgroup.denied.extend(controllers.iter().map(|controller| (*controller, error.clone())));
            }
            Err(error) => return Err(error.context("unable to apply cgroup configuration")),
        }
        Ok(())
    }
}

impl Cgroup {
    /// Makes the cgroup at `location` in every hierarchy, without limits and without processes. `resources` are those
    /// that will be applied: they decide what v1's cpuset inherits, and whether the cgroup may be threaded.
    ///
    /// A `rootless` caller who asked for no place may be denied any or all of the hierarchies: the cgroup does without,
    /// until a limit is applied there.
    ///
    /// # Errors
    /// A directory cannot be made, the devices controller of v1 is missing, the cgroup exists and holds processes or is
    /// frozen ([`Kind::State`]). What was made until then is removed.
    pub fn create(layout: &Layout, location: &Location, resources: &Resources, rootless: bool) -> Result<Cgroup> {
        let mut begun = Cgroup::begin(layout, location, resources, rootless)?;
        begun.make_rest(layout, resources)?;
        Ok(begun.keep())
    }

    /// Makes of a cgroup, as [`Cgroup::create`] does, what the first process can be born in: [`Begun::make_rest`] makes
    /// the rest, of v1, while that process is busy.
    ///
    /// # Errors
    /// As [`Cgroup::create`].
    pub fn begin(layout: &Layout, location: &Location, resources: &Resources, rootless: bool) -> Result<Begun> {
        let paths = layout.place(location).attempt(|| "unable to apply cgroup configuration")?;
        if layout.hierarchies.iter().zip(&paths).any(|(hierarchy, path)| hierarchy.mount == *path) {
            return Err(Error::invalid("the root of a cgroup hierarchy cannot be the cgroup of a container"));
        }
        let cgroup = Cgroup {
            unified: layout.is_unified(),
            dirs: Vec::with_capacity(paths.len()),
            denied: Vec::new(),
            not_enabled: None,
            rootless,
            lenient: rootless && !location.is_explicit(),
            fd: OnceCell::new(),
        };
        let mut begun = Begun { cgroup, made: Made(Vec::new()), missing: Vec::new() };
        for (hierarchy, path) in layout.hierarchies.iter().zip(paths) {
            if Controller::are_unified(&hierarchy.controllers) {
                begun.make(hierarchy, path, resources)?;
            } else {
                begun.missing.push(path);
            }
        }
        begun.cgroup.check_new(..)?;
        Ok(begun)
    }

    /// Refuses those of its directories that were there before and hold processes, or are frozen.
    fn check_new(&self, which: impl std::slice::SliceIndex<[Dir], Output = [Dir]>) -> Result<()> {
        let dirs = &self.dirs[which];
        // A new cgroup below a frozen one is frozen, and what joins it stops (v1).
        let frozen = |dir: &&Dir| dir.fresh && dir.controllers.contains(&Controller::Freezer);
        if let Some(dir) = dirs.iter().find(frozen)
            && file::read(&dir.path, "freezer.state").is_ok_and(|state| state.trim() != "THAWED")
        {
            let message = format!("container's cgroup is frozen by one above it: {}", dir.path.display());
            return Err(Error::new(Kind::State, message));
        }
        for dir in dirs.iter().filter(|dir| !dir.fresh) {
            if !self.unified && dir.is_only_for_placement() {
                continue;
            }
            let processes = processes::list(&dir.path, true)?;
            if !processes.is_empty() {
                let message = format!(
                    "container's cgroup is not empty: {} process(es) found in {}",
                    processes.len(),
                    dir.path.display()
                );
                return Err(Error::new(Kind::State, message));
            }
            if dir.controllers.iter().any(|c| matches!(c, Controller::Freezer | Controller::Unified))
                && self.freezer_state()? == FreezerState::Frozen
            {
                let message = format!("container's cgroup unexpectedly frozen: {}", dir.path.display());
                return Err(Error::new(Kind::State, message));
            }
        }
        Ok(())
    }
}

/// Whether a failure means that this user may not, rather than that something is wrong.
pub(super) fn is_denial(error: &Error) -> bool {
    error.is_denied() || error.errno() == Some(Errno::ROFS)
}

/// Directories made on the way, removed again unless all went well.
#[derive(Debug)]
pub(super) struct Made(pub(super) Vec<PathBuf>);

impl Made {
    /// Makes `path`, and what is missing between it and `mount`. Tells whether `path` is new.
    pub(super) fn mkdir(&mut self, mount: &Path, path: &Path) -> Result<bool> {
        let mode = FileMode::from_raw_mode(0o755);
        match rustix::fs::mkdir(path, mode) {
            Ok(()) => {
                self.0.push(path.to_owned());
                Ok(true)
            }
            Err(Errno::EXIST) => Ok(false),
            Err(Errno::NOENT) if path.parent().is_some_and(|parent| parent != mount) => {
                self.mkdir(mount, path.parent().unwrap_or(mount))?;
                match rustix::fs::mkdir(path, mode) {
                    Ok(()) => self.0.push(path.to_owned()),
                    Err(Errno::EXIST) => return Ok(false),
                    Err(errno) => return Err(Error::os(errno, format!("mkdir {}", path.display()))),
                }
                Ok(true)
            }
            Err(errno) => Err(Error::os(errno, format!("mkdir {}", path.display()))),
        }
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        for dir in self.0.iter().rev() {
            let _ = rustix::fs::rmdir(dir);
        }
    }
}

/// A directory that was made, or was there.
pub(super) struct Created {
    pub(super) fresh: bool,
    pub(super) not_enabled: Option<Error>,
}
