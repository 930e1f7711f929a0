//! Control groups: v1, hybrid and v2, through their file systems.
//!
//! A [`Layout`] says what this machine has, a [`Location`] where in it a container belongs, [`Resources`] what it may
//! use. A [`Cgroup`] is the container's place in every hierarchy: made once with [`Cgroup::create`], found again by
//! later commands with [`Cgroup::open`] from the [`Paths`] that were saved.
//!
//! | file | holds |
//! |---|---|
//! | `layout` | where the hierarchies are, and the place of a container in them |
//! | `v1`, `v2` | making the directories, and what each version wants done on the way |
//! | `join`, `now` | putting processes in, and where a process has gone since |
//! | `resources` | limits, and the writes that set them: pure |
//! | `apply` | those writes, done, and why one failed |
//! | `devices` | device rules: v1 files and a BPF program for v2 |
//! | `stats` | what is being used |
//! | `freezer`, `processes`, `remove`, `oom` | the rest of a life |
//! | `systemd` | the other driver: directories and limits are asked of systemd |
//! | `adopt` | a directory that it has made |
//!
//! [`systemd`] asks systemd for the directory instead, and ends in [`Cgroup::adopt`]; limits that systemd lacks,
//! statistics, freezing, killing go the same way from there.
//!
//! See cgroups(7) and the kernel's `Documentation/admin-guide/cgroup-v1/` and `cgroup-v2.rst`.

mod adopt;
mod apply;
mod controller;
mod devices;
mod file;
mod freezer;
mod join;
mod layout;
mod now;
mod oom;
mod options;
mod processes;
mod remove;
mod resources;
mod stats;
mod sub;
pub mod systemd;
mod v1;
mod v2;

#[cfg(test)]
mod tests;

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::Mode as FileMode;
use rustix::io::Errno;

pub use controller::Controller;
pub use devices::{Access, DeviceKind, Policy, Rule};
use freezer::Freezer;
pub use freezer::FreezerState;
pub use join::Entrances;
pub use layout::{Layout, Location, Mode, Place, mount_points_of};
pub use now::Left;
pub use oom::{OomEvents, OomWatch};
pub use options::TreeOptions;
pub use resources::{BlockIo, Cpu, DeviceRate, DeviceWeight, HugePages, Memory, Rdma, Resources, Write};
pub use stats::{
    Blkio, BlkioEntry, CpuStats, CpuUsage, Cpuset, Hugetlb, MemoryEntry, MemoryStats, Misc, Pids, Psi, PsiLine,
    RdmaEntry, RdmaStats, Stats, Throttling,
};
pub use sub::SubCgroup;

use crate::error::{Attempt, Error, Kind, Result};

/// The directories of a cgroup by controller, as they are saved with a container's state: the names of `/proc/PID/cgroup`
/// on v1 (`memory`, `name=systemd`), the empty name for the unified hierarchy.
pub type Paths = BTreeMap<String, PathBuf>;

/// Whether there are processes in the directory of a cgroup, or below.
pub fn is_in_use(dir: &Path) -> bool {
    processes::list(dir, true).is_ok_and(|processes| !processes.is_empty())
}

/// A directory of a cgroup: one a hierarchy.
#[derive(Clone, Debug)]
struct Dir {
    path: PathBuf,
    controllers: Vec<Controller>,
    /// Whether this process has made it, and nobody else can have used it yet.
    fresh: bool,
}

impl Dir {
    fn is_unified(&self) -> bool {
        Controller::are_unified(&self.controllers)
    }

    fn is_only_for_placement(&self) -> bool {
        Controller::are_only_for_placement(&self.controllers)
    }
}

/// A cgroup: a directory in every hierarchy.
#[derive(Debug)]
pub struct Cgroup {
    /// Whether the one directory is on v2; otherwise limits are set on v1.
    unified: bool,
    dirs: Vec<Dir>,
    /// Why a controller has no directory: an unprivileged user may not make one.
    denied: Vec<(Controller, Error)>,
    /// v2: why controllers could not be passed on to the cgroup.
    not_enabled: Option<Error>,
    rootless: bool,
    /// Whether a hierarchy that this user is denied may be left out: nobody asked for this place.
    lenient: bool,
    /// v2: the directory, opened when first needed.
    fd: OnceCell<OwnedFd>,
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
        let mut made = Made(Vec::new());
        let paths = layout.place(location).attempt(|| "unable to apply cgroup configuration")?;
        if paths.iter().any(|path| layout.is_mount(path)) {
            return Err(Error::invalid("the root of a cgroup hierarchy cannot be the cgroup of a container"));
        }
        let mut cgroup = Cgroup {
            unified: layout.is_unified(),
            dirs: Vec::with_capacity(paths.len()),
            denied: Vec::new(),
            not_enabled: None,
            rootless,
            lenient: rootless && !location.is_explicit(),
            fd: OnceCell::new(),
        };
        for (hierarchy, path) in layout.hierarchies.iter().zip(paths) {
            let controllers = &hierarchy.controllers;
            let dir = if cgroup.unified {
                v2::create(&hierarchy.mount, &path, resources, &mut made)
            } else {
                v1::create(hierarchy, &path, resources, &mut made)
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
                Err(error)
                    if !cgroup.unified
                        && Controller::are_only_for_placement(controllers)
                        && error.errno().is_none_or(is_refusal) => {}
                Err(error) if cgroup.lenient && is_denial(&error) => {
                    cgroup.denied.extend(controllers.iter().map(|controller| (*controller, error.clone())));
                }
                Err(error) => return Err(error.context("unable to apply cgroup configuration")),
            }
        }
        cgroup.check_new(layout)?;
        made.keep();
        Ok(cgroup)
    }

    /// The cgroup of a container that runs already, from what [`Cgroup::paths`] gave when it was created. Nothing is
    /// opened yet.
    ///
    /// # Errors
    /// A path that is not absolute, or not clean.
    pub fn open(paths: &Paths) -> Result<Cgroup> {
        let mut dirs: Vec<Dir> = Vec::with_capacity(paths.len());
        for controller in Controller::ALL {
            let Some(path) = paths.get(controller.name()).filter(|path| !path.as_os_str().is_empty()) else { continue };
            if !path.is_absolute() || layout::clean(path) != *path {
                return Err(Error::invalid(format!("invalid cgroup path {}", path.display())));
            }
            match dirs.iter_mut().find(|dir| dir.path == *path) {
                Some(dir) => dir.controllers.push(controller),
                None => dirs.push(Dir { path: path.clone(), controllers: vec![controller], fresh: false }),
            }
        }
        let unified = dirs.len() == 1 && dirs[0].is_unified();
        Ok(Cgroup {
            unified,
            dirs,
            denied: Vec::new(),
            not_enabled: None,
            rootless: false,
            lenient: false,
            fd: OnceCell::new(),
        })
    }

    /// The same cgroup, for a caller without full access: hierarchies that cannot be joined and device rules that cannot
    /// be set are passed over.
    #[must_use]
    pub fn rootless(self, rootless: bool) -> Cgroup {
        Cgroup { rootless, lenient: rootless, ..self }
    }

    /// As [`Cgroup::rootless`], but to be in it is what was asked for.
    #[must_use]
    pub fn rootless_but_there(self, rootless: bool) -> Cgroup {
        Cgroup { rootless, lenient: false, ..self }
    }

    /// The directories, to be saved for later commands. Empty when there are none (rootless).
    pub fn paths(&self) -> Paths {
        let of = |dir: &Dir| {
            let path = dir.path.clone();
            dir.controllers.clone().into_iter().map(move |controller| (controller.name().to_owned(), path.clone()))
        };
        self.dirs.iter().flat_map(of).collect()
    }

    /// The directory for a controller; on v2 the one there is, for every controller.
    pub fn path(&self, controller: Controller) -> Option<&Path> {
        let found = self.dirs.iter().find(|dir| self.unified || dir.controllers.contains(&controller));
        found.map(|dir| dir.path.as_path())
    }

    /// Whether it is one of v2 alone.
    pub fn is_unified(&self) -> bool {
        self.unified
    }

    /// Whether the cgroup is there.
    pub fn exists(&self) -> bool {
        self.main_dir().is_some_and(|dir| rustix::fs::access(dir, rustix::fs::Access::EXISTS).is_ok())
    }

    /// The directory that is asked about processes: on v1 that of the devices controller, which every container has.
    fn main_dir(&self) -> Option<&Path> {
        let first = || self.dirs.first().map(|dir| dir.path.as_path());
        self.path(Controller::Devices).or_else(first)
    }

    /// The directory in the unified hierarchy, where cgroup.kill and cgroup.events are.
    fn unified_dir(&self) -> Option<&Path> {
        self.dirs.iter().find(|dir| dir.controllers.contains(&Controller::Unified)).map(|dir| dir.path.as_path())
    }

    /// Refuses a directory that was there before and holds processes, and one that is frozen, by itself or from above.
    fn check_new(&self, layout: &Layout) -> Result<()> {
        for dir in self.dirs.iter().filter(|dir| !dir.fresh) {
            if !self.unified && dir.is_only_for_placement() {
                continue;
            }
            check_empty(&dir.path)?;
        }
        // A new one directly below the root cannot be frozen: the root never is.
        let may_be_frozen = |dir: &&Dir| !dir.fresh || dir.path.parent().is_some_and(|above| !layout.is_mount(above));
        self.dirs.iter().filter(may_be_frozen).filter_map(Freezer::of).try_for_each(Freezer::check_thawed)
    }
}

/// Refuses a directory with processes in it or below.
fn check_empty(dir: &Path) -> Result<()> {
    match processes::list(dir, true)?.len() {
        0 => Ok(()),
        some => {
            let dir = dir.display();
            let message = format!("container's cgroup is not empty: {some} process(es) found in {dir}");
            Err(Error::new(Kind::State, message))
        }
    }
}

/// Whether a failure means that this user may not, rather than that something is wrong.
fn is_denial(error: &Error) -> bool {
    error.is_denied() || error.errno() == Some(Errno::ROFS)
}

/// Whether a hierarchy refuses: one in which nothing is limited can be done without then. Trouble of the machine (`EMFILE`,
/// `ENOMEM`, `EIO`, `ENOSPC`) is no refusal.
fn is_refusal(errno: Errno) -> bool {
    matches!(
        errno,
        Errno::PERM
            | Errno::ACCESS
            | Errno::ROFS
            | Errno::NOENT
            | Errno::NODEV
            | Errno::BUSY
            | Errno::INVAL
            | Errno::OPNOTSUPP
            | Errno::AGAIN
    )
}

/// Directories made on the way, removed again unless all went well.
struct Made(Vec<PathBuf>);

impl Made {
    /// Makes `path`, and what is missing between it and `mount`. Tells whether `path` is new.
    fn mkdir(&mut self, mount: &Path, path: &Path) -> Result<bool> {
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

    fn keep(mut self) {
        self.0.clear();
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
struct Created {
    fresh: bool,
    not_enabled: Option<Error>,
}
