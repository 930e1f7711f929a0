//! What a child may ask of its parent while it goes on: to hand over the listener of a seccomp filter that notifies.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Instant;

use oci_spec::runtime::Spec;
use rustix::event::{PollFd, PollFlags};
use rustix::process::PidfdGetfdFlags;

use crate::container::record::life::Status;
use crate::container::record::process::has_executed;
use crate::container::record::state::State;
use crate::container::steps::poll::poll_until;
use crate::container::steps::wait::Signals;
use crate::error::{Attempt, Error, Kind, Result};
use crate::launch::link::{Link, Message, Stage};
use crate::launch::{Child, died};

/// Waits until `child` has reached `stage`, handing over a listener on the way.
///
/// # Errors
/// What the child failed at or died of; of kind [`Kind::Interrupted`] when a signal asks this process to end.
pub fn wait_for(child: &mut Child, stage: Stage, spec: &Spec, state: &State, signals: &Signals) -> Result<()> {
    loop {
        match receive(&mut child.link, Some(signals))? {
            Some(Message::Reached(reached)) if reached == stage => return Ok(()),
            Some(message @ (Message::Listener(_) | Message::ListenerItself(_))) => {
                hand_over(child.pidfd.as_fd(), message, child.pid.as_raw_nonzero().get(), spec, state, &child.link)?
            }
            Some(Message::Failed(error)) => return Err(error),
            Some(other) => {
                return Err(Error::new(Kind::Died, format!("{other} came before {stage}")));
            }
            None => return Err(child.failed(&format!("before {stage}"))),
        }
    }
}

/// Waits for a mount of the child's whose ids are to be mapped, and takes it: the mount, and its index in the plan.
///
/// # Errors
/// As [`wait_for`].
pub fn wait_for_mount(child: &mut Child, signals: &Signals) -> Result<(OwnedFd, usize)> {
    match receive(&mut child.link, Some(signals))? {
        Some(Message::MapIds(tree, mount)) => {
            rustix::process::pidfd_getfd(&child.pidfd, tree, PidfdGetfdFlags::empty())
                .attempt(|| "take a mount of the container's first process")
                .map(|tree| (tree, mount as usize))
        }
        Some(Message::Failed(error)) => Err(error),
        Some(other) => Err(Error::new(Kind::Died, format!("{other} came where a mount was due"))),
        None => Err(child.failed("before its file systems were mounted")),
    }
}

/// Waits until the process `pid` behind `link` has executed its program, handing over a listener on the way.
///
/// # Errors
/// What it failed at; of kind [`Kind::Interrupted`] when one of `signals` asks this process to end.
pub fn wait_for_exec(
    link: &mut Link,
    pidfd: BorrowedFd<'_>,
    pid: i32,
    spec: &Spec,
    state: &State,
    signals: Option<&Signals>,
) -> Result<()> {
    loop {
        match receive(link, signals)? {
            Some(message @ (Message::Listener(_) | Message::ListenerItself(_))) => {
                hand_over(pidfd, message, pid, spec, state, link)?
            }
            Some(Message::Failed(error)) => return Err(error),
            Some(other) => {
                return Err(Error::new(Kind::Died, format!("{other} came where the program was to be executed")));
            }
            None if is_running(pid, pidfd)? => return Ok(()),
            None => {
                let filtered = spec.linux().as_ref().is_some_and(|linux| linux.seccomp().is_some());
                let guess = if filtered { " (its seccomp profile may deny what a start needs)" } else { "" };
                return Err(died(pidfd, pid, "before it executed its program", guess));
            }
        }
    }
}

/// Whether the process `pid`, which has closed its link, lives on as its program.
fn is_running(pid: i32, pidfd: BorrowedFd<'_>) -> Result<bool> {
    has_executed(pid).or_else(|error| {
        // What /proc does not tell its descriptor does: the link is closed by execve(2) or by the end.
        let ended = poll_until(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(Instant::now()))?;
        if ended { Err(error) } else { Ok(true) }
    })
}

fn receive(link: &mut Link, signals: Option<&Signals>) -> Result<Option<Message>> {
    if let (Some(signals), false) = (signals, link.has_early()) {
        signals.until_readable(link.as_fd(), None)?;
    }
    link.receive_with_fd()
}

/// Hands the listener that `message` tells of over to who answers for it.
fn hand_over(pidfd: BorrowedFd<'_>, message: Message, pid: i32, spec: &Spec, state: &State, link: &Link) -> Result<()> {
    let listener: OwnedFd = match message {
        Message::ListenerItself(fd) => fd,
        Message::Listener(fd) => rustix::process::pidfd_getfd(pidfd, fd, PidfdGetfdFlags::empty())
            .attempt(|| "take the seccomp listener from the container's process")?,
        other => return Err(Error::new(Kind::Died, format!("{other} came where a seccomp listener was due"))),
    };
    let seccomp = spec.linux().as_ref().and_then(|linux| linux.seccomp().as_ref());
    let path = seccomp
        .and_then(|seccomp| seccomp.listener_path().as_deref())
        .ok_or_else(|| Error::invalid("a seccomp rule notifies, but listenerPath is not given"))?;
    let metadata = seccomp.and_then(|seccomp| seccomp.listener_metadata().clone()).unwrap_or_default();
    // As in runc: a container is being created as long as its own process has not started; exec's process is another.
    let status = if pid == state.init_process_pid { Status::Creating } else { Status::Running };
    // runtime-spec, "containerProcessState"
    let message = serde_json::json!({
        "ociVersion": state.oci_version,
        "fds": [crate::seccomp::notify::FD_NAME],
        "pid": pid,
        "metadata": metadata,
        "state": state.reported(status),
    });
    crate::seccomp::notify::send(listener.as_fd(), path, message.to_string().as_bytes())?;
    link.send(&Message::HandedOver)
}
