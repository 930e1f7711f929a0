//! `run`: create, start, and unless detached wait for the end and delete.

use crate::container::record::instance::Container;
use crate::container::record::life::Status;
use crate::container::record::runtime::Runtime;
use crate::container::spec::hooks::Point;
use crate::container::steps::created::Created;
use crate::container::steps::notify;
use crate::container::steps::sd_notify::Notify;
use crate::container::steps::systemd::Held;
use crate::container::steps::wait::Signals;
use crate::container::verbs::create::{Options, Start, begin};
use crate::container::verbs::delete;
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

impl RunOptions {
    /// Becomes the parent of the container's orphans, where it stays with it.
    pub(crate) fn become_subreaper(&self) -> Result<()> {
        if self.detach || self.no_subreaper {
            return Ok(());
        }
        // Any number will do.
        rustix::process::set_child_subreaper(Some(rustix::process::Pid::INIT)).attempt(|| "become a subreaper")
    }
}

/// Runs the container `id`; returns its exit status, 0 when detached.
///
/// # Errors
/// As `create` and `start`.
pub fn run(runtime: &Runtime, id: &str, options: &Options, how: &RunOptions) -> Result<u8> {
    let start = if how.detach { Start::Detached } else { Start::Attached };
    how.become_subreaper()?;
    let signals = Signals::hold()?;
    let mut created = begin(runtime, id, options, start, &signals)?;
    let notify = Notify::open(&created.folder)?;
    created.let_start()?;
    let pidfd = std::os::fd::AsFd::as_fd(&created.child.pidfd);
    notify::wait_for_exec(
        &mut created.child.link,
        pidfd,
        created.state.init_process_pid,
        &created.bundle.config.spec,
        &created.state,
        Some(&signals),
    )
    .map_err(|error| created.explain(error))?;
    created.let_helper_go();
    created.run_hooks(Point::Poststart, Status::Running)?;
    if how.detach {
        let notify = notify.map(|notify| (notify, created.child.pid, created.child.pidfd.try_clone()));
        created.keep();
        if let Some((notify, pid, pidfd)) = notify {
            // The container stays, whatever ends this process.
            crate::sys::signal::unblock_all();
            notify.wait(pid.as_raw_nonzero().get(), &pidfd.attempt(|| "keep the pidfd of the container's process")?)?;
        }
        return Ok(0);
    }
    attend(created, how, notify, &signals).inspect(|_| std::mem::forget(signals))
}

/// Stays with a container until its end; returns its exit status, and deletes it unless it is to be kept.
pub(crate) fn attend(
    mut created: Created<'_>,
    how: &RunOptions,
    notify: Option<Notify>,
    signals: &Signals,
) -> Result<u8> {
    let terminal = created.terminal.take();
    let status = signals.wait(created.child.pid, &created.child.pidfd, terminal, notify)?;
    if let (137, Some(why)) = (status, created.why_killed()) {
        log::warn!("container {} was killed: {why}", created.state.id);
    }
    let container = Container { folder: created.folder.clone(), state: created.state.clone() };
    if how.keep {
        created.keep();
        return Ok(status);
    }
    if let Some((cgroup, spec)) = created.take_parts() {
        let unit = Held::look_for(container.state.systemd_unit.as_ref());
        delete::destroy(&container, cgroup, unit, Some(&spec), Some(signals))?;
        std::mem::forget(spec);
    }
    // This process ends now, and the kernel takes back what it has.
    std::mem::forget((created, container));
    Ok(status)
}
