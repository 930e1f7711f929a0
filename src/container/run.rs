//! `run`: create, start, and unless detached wait for the end and delete.

use super::create::{Options, Start, begin, run_hooks};
use super::delete;
use super::hooks::Point;
use super::runtime::Runtime;
use super::state::Status;
use super::wait::Signals;
use super::{instance::Container, notify};
use crate::error::{Attempt, Result};

/// Options of `run` beyond those of `create`.
#[derive(Clone, Debug, Default)]
pub struct RunOptions {
    /// Return when the program is started.
    pub detach: bool,
    /// The container is not deleted at its end.
    pub keep: bool,
    /// Orphans of the container go to the system's init instead of this process.
    pub no_subreaper: bool,
}

/// Runs the container `id`; returns its exit status, 0 when detached.
///
/// # Errors
/// As `create` and `start`.
pub fn run(runtime: &Runtime, id: &str, options: &Options, how: &RunOptions) -> Result<u8> {
    let start = if how.detach { Start::Detached } else { Start::Attached };
    if !how.detach && !how.no_subreaper {
        rustix::process::set_child_subreaper(Some(rustix::process::getpid())).attempt(|| "become a subreaper")?;
    }
    let signals = Signals::hold()?;
    let mut created = begin(runtime, id, options, start, &signals)?;
    created.child.proceed().map_err(|error| created.explain(error))?;
    let pidfd = std::os::fd::AsFd::as_fd(&created.child.pidfd);
    notify::wait_for_exec(
        &mut created.child.link,
        pidfd,
        created.state.init_process_pid,
        &created.bundle.spec,
        &created.state,
        Some(&signals),
    )
    .map_err(|error| created.explain(error))?;
    run_hooks(&created, Point::Poststart, Status::Running)?;
    if how.detach {
        created.keep();
        return Ok(0);
    }
    let terminal = created.terminal.take();
    let status = signals.wait(created.child.pid, &created.child.pidfd, terminal)?;
    if let (137, Some(why)) = (status, created.why_killed()) {
        log::warn!("container {id} was killed: {why}");
    }
    let container = Container { folder: created.folder.clone(), state: created.state.clone() };
    let (cgroup, spec) = created.into_parts();
    if how.keep {
        return Ok(status);
    }
    delete::destroy(&container, cgroup, Some(&spec), Some(&signals))?;
    Ok(status)
}
