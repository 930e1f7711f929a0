//! A container that is being made: what there is of it so far, and how all of that goes again when a later step fails.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use oci_spec::runtime::Spec;

use crate::cgroup::Cgroup;
use crate::container::record::folder::{Folder, Lock};
use crate::container::record::life::Status;
use crate::container::record::process::Stat;
use crate::container::record::runtime::Runtime;
use crate::container::record::state::{self, State};
use crate::container::spec::bundle::Bundle;
use crate::container::spec::hooks::Point;
use crate::container::steps::cgroups::Placement;
use crate::container::steps::hooks;
use crate::container::steps::wait::Signals;
use crate::error::{Error, Kind as ErrorKind, Result};
use crate::launch::Child;
use crate::namespace::{Ahead, Kind, Kinds};

/// The folder of a container that is about to be made. It goes again unless it is finished.
#[derive(Debug)]
pub struct Begun(Option<(Folder, Lock)>);

impl Begun {
    /// Makes `folder`, and holds it.
    ///
    /// # Errors
    /// As [`Folder::create`].
    pub fn new(folder: Folder) -> Result<Begun> {
        let lock = folder.create()?;
        Ok(Begun(Some((folder, lock))))
    }

    /// The folder.
    pub fn folder(&self) -> &Folder {
        &self.0.as_ref().expect("only `finish` takes it, and the value with it").0
    }

    /// The folder stays.
    fn finish(mut self) -> (Folder, Lock) {
        self.0.take().expect("only this takes it, and the value with it")
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        if let Some((folder, _lock)) = &self.0 {
            let _ = folder.remove();
        }
    }
}

/// A container with a first process, which may still be on its way. Dropped, it is removed; see [`Created::keep`].
#[derive(Debug)]
pub struct Created<'a> {
    /// Its folder.
    pub folder: Folder,
    pub(crate) lock: Lock,
    /// Its state.
    pub state: State,
    /// Its configuration.
    pub bundle: Bundle,
    /// Its first process.
    pub child: Child,
    /// The outer end of its terminal, when it is this runtime's to show.
    pub terminal: Option<OwnedFd>,
    pub(crate) placement: Placement,
    /// The process that has made its network namespace: it goes when the program runs.
    pub(crate) ahead: Option<Ahead>,
    pub(crate) signals: &'a Signals,
    /// Its program starts without this runtime's leave.
    pub(crate) starts_at_once: bool,
    pub(crate) stays: bool,
}

impl<'a> Created<'a> {
    /// What `begun` has become: a container of `bundle`, with `child` for its first process. From here on whatever goes wrong
    /// takes all of it back.
    pub(crate) fn new(
        begun: Begun,
        state: State,
        bundle: Bundle,
        child: Child,
        placement: Placement,
        signals: &'a Signals,
    ) -> Created<'a> {
        let (folder, lock) = begun.finish();
        let (terminal, ahead, starts_at_once, stays) = (None, None, false, false);
        Created { folder, lock, state, bundle, child, terminal, placement, ahead, signals, starts_at_once, stays }
    }

    /// It stays: dropping it no longer removes it.
    pub fn keep(mut self) {
        self.stays = true;
    }

    /// Its cgroup and its configuration, for the caller to remove the container: this value holds its folder until it is
    /// dropped, and removes nothing any more. `None` when another process has deleted the container.
    pub fn take_parts(&mut self) -> Option<(Option<Cgroup>, Spec)> {
        self.stays = true;
        self.lock.hold_again().then(|| (self.placement.take_cgroup(), std::mem::take(&mut self.bundle.config.spec)))
    }

    /// Lets its program start, where it waits for that.
    pub(crate) fn let_start(&mut self) -> Result<()> {
        if self.starts_at_once {
            return Ok(());
        }
        self.child.proceed().map_err(|error| self.explain(error))
    }

    /// Its program runs: what helped to make its namespaces is no longer needed.
    pub(crate) fn let_helper_go(&mut self) {
        self.ahead = None;
    }

    /// `error` with what the cgroup knows of the end of the first process.
    pub(crate) fn explain(&self, error: Error) -> Error {
        explain(error, self.placement.cgroup())
    }

    /// What `error` really was. When the child has failed, what this process stumbled over is only the consequence.
    pub(crate) fn cause_of(&mut self, error: Error) -> Error {
        if error.kind() == ErrorKind::Interrupted {
            return error;
        }
        // So is whatever fails while somebody takes the container away.
        if !self.lock.hold_again() {
            return self.folder.was_deleted();
        }
        let error = self.child.link.failure().unwrap_or(error);
        self.explain(error)
    }

    /// Why the kernel may have killed its program.
    pub(crate) fn why_killed(&self) -> Option<String> {
        self.placement.cgroup()?.explain_kill()
    }

    /// Runs its hooks at `point` on the host, which are told that it is in `status`.
    ///
    /// # Errors
    /// Which hook failed, and how.
    pub(crate) fn run_hooks(&self, point: Point, status: Status) -> Result<()> {
        let hooks = point.hooks(&self.bundle.config.spec);
        hooks::run(hooks, point, &self.state.reported(status), Some(self.signals))
    }
}

impl Drop for Created<'_> {
    fn drop(&mut self) {
        if self.stays {
            return;
        }
        self.child.kill();
        if !self.lock.hold_again() {
            return;
        }
        self.placement.remove_quietly();
        let _ = self.folder.remove();
        if let Err(error) = self.run_hooks(Point::Poststop, Status::Stopped) {
            log::warn!("{}", error.as_go_prints_it());
        }
    }
}

/// `error` with what `cgroup` knows of the end of its process, if that is what went wrong.
pub(crate) fn explain(error: Error, cgroup: Option<&Cgroup>) -> Error {
    match cgroup.filter(|_| error.kind() == ErrorKind::Died).and_then(Cgroup::explain_kill) {
        Some(why) => Error::new(ErrorKind::Died, format!("{}: {why}", error.message())),
        None => error,
    }
}

/// Puts on record what is about to be made of `bundle`, and that this process, `own`, makes it: where its cgroup will be,
/// before any of that is there.
///
/// # Errors
/// As [`Folder::save`].
pub(crate) fn announce(
    runtime: &Runtime,
    bundle: &Bundle,
    folder: &Folder,
    (rootfs, placement, new): (&Path, &Placement, Kinds),
    own: &Stat,
) -> Result<State> {
    let mut state = new_state(runtime, folder.id(), bundle, rootfs.to_owned(), placement, new);
    if placement.is_wanted() {
        state.creator = (own.pid, own.started);
        folder.save(&state)?;
    }
    Ok(state)
}

/// The state of a container that is being made of `bundle`, as far as it is known before it has a process.
fn new_state(
    runtime: &Runtime,
    id: &str,
    bundle: &Bundle,
    rootfs: PathBuf,
    placement: &Placement,
    new: Kinds,
) -> State {
    let spec = &bundle.config.spec;
    State {
        id: id.to_owned(),
        init_process_pid: 0,
        init_process_start: 0,
        created: state::now(),
        config: state::Config { rootfs, labels: labels(bundle) },
        cgroup_paths: placement.paths(),
        systemd_unit: placement.unit().cloned(),
        intel_rdt_path: placement.resctrl().map(|group| group.path.clone()),
        intel_rdt_mon_path: placement.resctrl().and_then(|group| group.counting.clone()),
        intel_rdt_made: placement.resctrl().is_some_and(|group| group.made),
        namespace_paths: Default::default(),
        oci_version: spec.version().clone(),
        bundle: bundle.path.clone(),
        annotations: spec.annotations().iter().flatten().map(|(key, value)| (key.clone(), value.clone())).collect(),
        owner: rustix::process::getuid().as_raw(),
        rootless: runtime.rootless(),
        own_pids: new.contains(Kind::Pid),
        external_descriptors: state::pipes_of_streams(),
        restored: false,
        time_namespace: false,
        creator: Default::default(),
    }
}

fn labels(bundle: &Bundle) -> Vec<String> {
    let annotations = bundle.config.spec.annotations().iter().flatten().map(|(key, value)| format!("{key}={value}"));
    annotations.chain(std::iter::once(format!("bundle={}", bundle.path.display()))).collect()
}
