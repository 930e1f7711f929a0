//! `delete`: everything of a container goes away.

use std::time::{Duration, Instant};

use oci_spec::runtime::Spec;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::Signal;

use super::hooks::{self, Point};
use super::instance::Container;
use super::runtime::Runtime;
use super::state::{Folder, Status};
use super::wait::Signals;
use crate::cgroup::Cgroup;
use crate::error::{Error, Kind, Result};

/// How long a killed process may take to be gone.
const PATIENCE: Duration = Duration::from_secs(10);

/// Deletes the container `id`. With `force`, one that still runs is killed first, and one that is not there is no error.
///
/// # Errors
/// When it is not there, not stopped, or its cgroups cannot be removed.
pub fn delete(runtime: &Runtime, id: &str, force: bool) -> Result<()> {
    let container = match Container::load(runtime, id) {
        Err(error) if error.kind() == Kind::NotFound => return delete_rest(runtime, id, force, error),
        Err(_) if force => {
            // A state that cannot be read names nothing that could be killed or removed but its folder.
            return Folder::of(&runtime.root, id)?.remove();
        }
        other => other?,
    };
    let status = container.status()?;
    match status {
        Status::Stopped => {}
        _ if force => kill_all(&container)?,
        // A container that was never started has nothing to lose.
        Status::Created => kill_all(&container)?,
        other => {
            return Err(Error::new(Kind::State, format!("cannot delete container {id} that is not stopped: {other}")));
        }
    }
    let cgroup = container.cgroup()?;
    if force || container.state.init_process_pid == 0 {
        // What a dying runtime left may have no pid on record but processes in its cgroup.
        let _ = cgroup.kill(Signal::KILL);
    }
    let spec = container.folder.load_config().ok();
    destroy(&container, Some(cgroup), spec.as_ref(), None)
}

/// A folder without a state: its creation was cut short, before there was anything else.
fn delete_rest(runtime: &Runtime, id: &str, force: bool, not_found: Error) -> Result<()> {
    let folder = Folder::of(&runtime.root, id)?;
    if force {
        return folder.remove();
    }
    Err(not_found)
}

/// Kills every process of the container and waits until its first is gone.
fn kill_all(container: &Container) -> Result<()> {
    let cgroup = container.cgroup()?;
    let init = container.state.open_init().ok();
    if let Some(init) = &init {
        let _ = rustix::process::pidfd_send_signal(init, Signal::KILL);
    }
    // Frozen processes die when they thaw; those of a shared pid namespace are not the first one's to take along.
    let killed = cgroup.kill(Signal::KILL);
    let Some(init) = init else { return Ok(()) };
    let deadline = Instant::now() + PATIENCE;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
        match rustix::event::poll(&mut [PollFd::new(&init, PollFlags::IN)], Some(&timeout)) {
            Ok(0) => {
                killed?;
                return Err(Error::new(
                    Kind::State,
                    format!(
                        "process {} of container {} does not end within {} s of SIGKILL",
                        container.state.init_process_pid,
                        container.state.id,
                        PATIENCE.as_secs()
                    ),
                ));
            }
            Ok(_) => return Ok(()),
            Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(Error::os(errno, "wait for the container's first process")),
        }
    }
}

/// Removes what is left of a container whose first process is gone: processes, cgroups, state; then runs its poststop
/// hooks, each of which one of `signals` can end.
///
/// # Errors
/// When a cgroup or the folder cannot be removed.
pub fn destroy(
    container: &Container,
    cgroup: Option<Cgroup>,
    spec: Option<&Spec>,
    signals: Option<&Signals>,
) -> Result<()> {
    if let Some(cgroup) = cgroup {
        // Without a pid namespace of its own, the first process's end is not everybody's.
        if !container.state.has_own_pids() {
            cgroup.kill(Signal::KILL)?;
        }
        cgroup.remove()?;
    }
    container.folder.remove()?;
    if let Some(spec) = spec {
        let state = container.state.reported(Status::Stopped);
        for hook in hooks::at(spec, Point::Poststop) {
            // Each has its chance; the container is gone already.
            if let Err(error) = hooks::run(std::slice::from_ref(hook), Point::Poststop, &state, &[], signals) {
                log::warn!("{}", error.as_go_prints_it());
            }
        }
    }
    Ok(())
}
