//! `delete`: everything of a container goes away.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use oci_spec::runtime::Spec;
use rustix::event::{PollFd, PollFlags};
use rustix::process::Signal;

use crate::cgroup::systemd::bus::wait_alone;
use crate::cgroup::{Cgroup, FreezerState, Paths};
use crate::container::record::folder::Folder;
use crate::container::record::instance::Container;
use crate::container::record::life::{Status, Verb};
use crate::container::record::runtime::{CgroupDriver, Runtime};
use crate::container::spec::config::Config;
use crate::container::spec::hooks::Point;
use crate::container::steps::cgroups::Placement;
use crate::container::steps::hooks;
use crate::container::steps::poll::poll_until;
use crate::container::steps::resctrl;
use crate::container::steps::systemd::Held;
use crate::container::steps::wait::Signals;
use crate::error::{Error, Kind, Result};

/// How long a killed process may take to be gone.
const PATIENCE: Duration = Duration::from_secs(10);

/// Deletes the container `id`. With `force`, one that still runs is killed first, and one that is not there is no error.
///
/// # Errors
/// When it is not there, not stopped, or its cgroups cannot be removed.
pub fn delete(runtime: &Runtime, id: &str, force: bool) -> Result<()> {
    let folder = Folder::of(&runtime.root, id)?;
    // A container that is being created now would come to be while its folder goes.
    let lock = folder.lock(PATIENCE)?;
    let container = match Container::load(runtime, id) {
        Err(error) if error.kind() == Kind::NotFound && force => {
            return if lock.is_some() { delete_remains(runtime, &folder, id) } else { Ok(()) };
        }
        Err(error) if error.kind() == Kind::NotFound && lock.is_some() => {
            let hint = format!("{error}; what is left of one in {} goes with delete --force", folder.path().display());
            return Err(Error::new(Kind::NotFound, hint));
        }
        Err(error) if error.kind() == Kind::Invalid && force => return delete_damaged(runtime, &folder, id, error),
        other => other?,
    };
    let status = container.status()?;
    if !force && !Verb::Delete.permits(status) && !wait_for_the_dying(&container)? {
        return Err(Verb::Delete.refusal(id, status));
    }
    let unit = Held::look_for(container.state.systemd_unit.as_ref());
    let cgroup = match &unit {
        Some(unit) if unit.is_other() => {
            log::warn!("the systemd unit of container {id} is gone, and another one has its name: that is left alone");
            Cgroup::open(&Paths::new())?
        }
        _ => container.cgroup()?,
    };
    if status == Status::Created || force && status != Status::Stopped {
        kill_all(&container, &cgroup)?;
    }
    if force || container.state.init_process_pid == 0 {
        // What a dying runtime left may have no pid on record but processes in its cgroup.
        let _ = cgroup.kill(Signal::KILL);
    }
    let config = Config::kept_in(&container.folder).ok();
    destroy(&container, Some(cgroup), unit, config.as_ref().map(|config| &config.spec), None)
}

/// Waits until the first process is gone, if it has been killed or is ending already: it takes the other processes of its pid
/// namespace along, and that takes a while. Returns whether it is gone.
fn wait_for_the_dying(container: &Container) -> Result<bool> {
    let Some(init) = container.dying()? else { return Ok(container.state.living()?.is_none()) };
    wait_for_end(&init)
}

fn wait_for_end(init: &OwnedFd) -> Result<bool> {
    let mut fds = [PollFd::new(init, PollFlags::IN)];
    poll_until(&mut fds, Some(Instant::now() + PATIENCE))
}

/// Deletes what is left of a container without a state: all there is to it, if its creation was cut short; else its
/// configuration, if another program has removed its state.
fn delete_remains(runtime: &Runtime, folder: &Folder, id: &str) -> Result<()> {
    if let Ok(config) = Config::kept_in(folder) {
        delete_configured(runtime, id, &config.spec, &format!("{}/state.json is gone", folder.path().display()))?;
    }
    folder.remove()
}

/// Deletes a container whose state is damaged by what its configuration says of its cgroup, which holds its processes.
fn delete_damaged(runtime: &Runtime, folder: &Folder, id: &str, damaged: Error) -> Result<()> {
    let keep = |why: &str| {
        let path = folder.path().display();
        Error::new(
            damaged.kind(),
            format!("{damaged}, and {why}: remove {path} yourself when nothing of the container runs any more"),
        )
    };
    let spec = Config::kept_in(folder).map_err(|error| keep(&error.as_go_prints_it()))?.spec;
    let named = spec.linux().as_ref().is_some_and(|linux| linux.cgroups_path().is_some());
    if !named {
        return Err(keep("its configuration does not say where its cgroup is"));
    }
    delete_configured(runtime, id, &spec, &damaged.to_string()).map_err(|error| keep(&error.as_go_prints_it()))?;
    folder.remove()
}

/// Kills and removes what is in the cgroup, or the systemd unit, that `spec` gives to the container `id`.
fn delete_configured(runtime: &Runtime, id: &str, spec: &Spec, why: &str) -> Result<()> {
    let mut runtime = runtime.clone();
    if names_unit(spec) {
        // Whatever this command was told: nobody writes a path of directories so.
        runtime.cgroups = CgroupDriver::Systemd;
    }
    let placement = || Placement::plan(&runtime, spec, id, &wait_alone);
    let first = placement()?;
    if let Some(unit) = first.unit() {
        let unknown = || Error::new(Kind::State, "systemd does not tell of its unit");
        Held::look_for(Some(unit)).ok_or_else(unknown)?.remove()?;
    } else {
        let cgroup = Cgroup::open(&first.paths())?;
        if cgroup.exists() {
            cgroup.kill(Signal::KILL)?;
            cgroup.remove()?;
        }
        // A place in the unified hierarchy of a hybrid machine is no part of it as long as there are processes.
        Cgroup::open(&placement()?.paths())?.remove()?;
    }
    log::warn!("{why}: what its configuration names was deleted");
    Ok(())
}

/// Whether `linux.cgroupsPath` is SLICE:PREFIX:NAME or SLICE:NAME, of the systemd cgroup driver.
fn names_unit(spec: &Spec) -> bool {
    let path = spec.linux().as_ref().and_then(|linux| linux.cgroups_path().as_ref()?.to_str());
    path.is_some_and(|path| matches!(path.split(':').count(), 2 | 3) && !path.contains('/'))
}

/// Kills every process of the container and waits until its first is gone.
fn kill_all(container: &Container, cgroup: &Cgroup) -> Result<()> {
    let init = container.state.open_init()?.map(|(init, _)| init);
    if let Some(init) = &init {
        let _ = rustix::process::pidfd_send_signal(init, Signal::KILL);
    }
    // Frozen processes die when they thaw; those of a shared pid namespace are not the first one's to take along.
    let killed = cgroup.kill(Signal::KILL);
    let Some(init) = init else { return Ok(()) };
    // On v1 a frozen process does not die, and whoever has frozen the cgroup above may have a reason.
    if !cgroup.is_unified() && cgroup.freezer_state()? == FreezerState::FrozenAbove {
        let above = cgroup.frozen_above().unwrap_or_default();
        let (pid, id) = (container.state.init_process_pid, &container.state.id);
        let message = format!(
            "process {pid} of container {id} cannot end: cgroup {}, above the container's, is frozen: thaw it, then delete",
            above.display()
        );
        return Err(Error::new(Kind::State, message));
    }
    if wait_for_end(&init)? {
        return Ok(());
    }
    killed?;
    Err(Error::new(
        Kind::State,
        format!(
            "process {} of container {} does not end within {} s of SIGKILL",
            container.state.init_process_pid,
            container.state.id,
            PATIENCE.as_secs()
        ),
    ))
}

/// Removes what is left of a container whose first process is gone: processes, its systemd unit, cgroups, state; then runs
/// its poststop hooks, each of which one of `signals` can end.
///
/// # Errors
/// When a cgroup or the folder cannot be removed.
pub fn destroy(
    container: &Container,
    cgroup: Option<Cgroup>,
    unit: Option<Held>,
    spec: Option<&Spec>,
    signals: Option<&Signals>,
) -> Result<()> {
    if let Some(cgroup) = cgroup {
        // Without a pid namespace of its own, the first process's end is not everybody's.
        let shares_pids = !container.state.has_own_pids();
        if shares_pids {
            match cgroup.kill(Signal::KILL) {
                // systemd removes the cgroup of a unit with the last process in it.
                Err(error) if container.state.systemd_unit.is_some() && error.is_not_found() => {}
                killed => killed?,
            }
        }
        if let Some(unit) = unit {
            unit.remove()?;
        }
        match cgroup.remove() {
            // Somebody's exec may have come in since.
            Err(error) if shares_pids => {
                let _ = cgroup.kill(Signal::KILL);
                cgroup.remove().map_err(|_| error)?;
            }
            removed => removed?,
        }
    }
    resctrl::remove(&container.state)?;
    container.folder.remove()?;
    if let Some(spec) = spec {
        let state = container.state.reported(Status::Stopped);
        for hook in Point::Poststop.hooks(spec) {
            // Each has its chance; the container is gone already.
            if let Err(error) = hooks::run(std::slice::from_ref(hook), Point::Poststop, &state, signals) {
                log::warn!("{}", error.as_go_prints_it());
            }
        }
    }
    Ok(())
}
