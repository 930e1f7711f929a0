//! `start`: leave for a created container's first process to execute its program.

use crate::container::record::gate;
use crate::container::record::instance::Container;
use crate::container::record::runtime::Runtime;
use crate::container::record::state::Status;
use crate::container::spec::config::Config;
use crate::container::spec::hooks::Point;
use crate::container::steps::hooks;
use crate::container::steps::notify;
use crate::container::steps::sd_notify::Notify;
use crate::container::verbs::create::explain;
use crate::error::{Error, Kind, Result};
use crate::launch::link::{Message, Stage};

/// Starts the container `id`, and waits until its program is executed.
///
/// # Errors
/// When it is not there or was started before, and why its program could not be executed; then it is stopped.
pub fn start(runtime: &Runtime, id: &str) -> Result<()> {
    let container = Container::load(runtime, id)?;
    let not_created = |status: Status| {
        Error::new(
            Kind::State,
            match status {
                Status::Stopped => "cannot start a container that has stopped".to_owned(),
                Status::Running => "cannot start an already running container".to_owned(),
                other => format!("cannot start a container in the {other} state"),
            },
        )
    };
    let Some(mut link) = gate::connect(&container.folder)? else { return Err(not_created(container.status()?)) };
    let pidfd = container.state.open_init().map_err(|_| not_created(Status::Stopped))?;
    let spec = Config::kept_in(&container.folder)?.into_spec()?;
    // It would answer no sooner than it is resumed.
    container.must_not_be_frozen(|| not_created(Status::Paused))?;
    // Its greeting tells a process that waits from one that is past it, of whose gate this connection is a left-over.
    match link.receive()? {
        Some(Message::Reached(Stage::Ready)) => {}
        _ => return Err(not_created(container.status()?)),
    }
    let notify = Notify::open(&container.folder)?;
    link.send(&Message::Proceed)?;
    let started = notify::wait_for_exec(
        &mut link,
        std::os::fd::AsFd::as_fd(&pidfd),
        container.state.init_process_pid,
        &spec,
        &container.state,
        None,
    );
    let _ = std::fs::remove_file(container.folder.gate());
    started.map_err(|error| explain(error, container.cgroup().ok().as_ref()))?;
    let state = container.state.reported(Status::Running);
    hooks::run(Point::Poststart.hooks(&spec), Point::Poststart, &state, &[], None).inspect_err(|_| {
        // As in runc: what was to follow the start did not, so the container does not go on.
        let _ = rustix::process::pidfd_send_signal(&pidfd, rustix::process::Signal::KILL);
    })?;
    match notify {
        Some(notify) => notify.wait(container.state.init_process_pid, &pidfd),
        None => Ok(()),
    }
}
