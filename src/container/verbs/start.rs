//! `start`: leave for a created container's first process to execute its program.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};

use crate::container::record::instance::Container;
use crate::container::record::life::{Status, Verb};
use crate::container::record::runtime::Runtime;
use crate::container::spec::config::Config;
use crate::container::spec::hooks::Point;
use crate::container::steps::created::explain;
use crate::container::steps::hooks;
use crate::container::steps::notify;
use crate::container::steps::poll::poll_until;
use crate::container::steps::sd_notify::Notify;
use crate::container::verbs::delete::delete;
use crate::error::{Error, Kind, Result};
use crate::launch::link::{Link, Message, Stage};

/// How long a first process may take to greet who comes to start it.
const PATIENCE: Duration = Duration::from_secs(10);

/// Starts the container `id`, and waits until its program is executed.
///
/// # Errors
/// When it is not there or was started before, and why its program could not be executed; then it is stopped.
pub fn start(runtime: &Runtime, id: &str) -> Result<()> {
    let container = Container::load(runtime, id)?;
    let mut admitted = container.admit(Verb::Start)?;
    let gate = admitted.gate.take();
    let init = admitted.into_init()?;
    let mut link = greeted(&container, gate, init.as_fd())?;
    let outlived = |error| container.outlived(Verb::Start, error);
    let spec = Config::kept_in(&container.folder).map_err(outlived)?.into_spec()?;
    let notify = Notify::open(&container.folder)?;
    link.send(&Message::Proceed).map_err(outlived)?;
    let started =
        notify::wait_for_exec(&mut link, init.as_fd(), container.state.init_process_pid, &spec, &container.state, None);
    let _ = std::fs::remove_file(container.folder.gate());
    started.map_err(|error| explain(error, container.cgroup().ok().as_ref()))?;
    let state = container.state.reported(Status::Running);
    if let Err(error) = hooks::run(Point::Poststart.hooks(&spec), Point::Poststart, &state, None) {
        // What was to follow the start did not, so the container does not go on; runtime-spec, "Lifecycle".
        if let Err(left) = delete(runtime, id, true) {
            log::warn!("{}", left.as_go_prints_it());
        }
        return Err(error);
    }
    match notify {
        Some(notify) => notify.wait(container.state.init_process_pid, &init),
        None => Ok(()),
    }
}

/// The connection to the first process through its `gate`, which greets who comes. A greeting tells a process that waits from
/// one that is past its gate, of which this connection is a left-over.
fn greeted(container: &Container, gate: Option<Link>, init: BorrowedFd<'_>) -> Result<Link> {
    let answers = |link: &Link| {
        let mut fds = [PollFd::new(link, PollFlags::IN), PollFd::new(&init, PollFlags::IN)];
        poll_until(&mut fds, Some(Instant::now() + PATIENCE))
    };
    let mut link = match gate {
        Some(link) if answers(&link)? => link,
        _ => {
            return Err(Error::new(
                Kind::State,
                format!(
                    "start container {}: its first process, {}, does not answer within {} s; is it stopped, or its cgroup \
                     frozen from outside?",
                    container.state.id,
                    container.state.init_process_pid,
                    PATIENCE.as_secs()
                ),
            ));
        }
    };
    match link.receive()? {
        Some(Message::Reached(Stage::Ready)) => Ok(link),
        _ => match container.status()? {
            Status::Creating | Status::Created => Err(Error::new(
                Kind::State,
                format!(
                    "start container {}: its first process, {}, hung up before it answered: start it again",
                    container.state.id, container.state.init_process_pid
                ),
            )),
            other => Err(Verb::Start.refusal(&container.state.id, other)),
        },
    }
}
