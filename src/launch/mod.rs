//! The one way to start a process in namespaces: [`launch`] forks as a [`Plan`] says and runs the child's part in the
//! child; [`Child`] is the parent's side.

pub mod link;
pub mod program;
pub mod relay;
pub mod terminal;

use std::convert::Infallible;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::process::{Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, WaitOptions};

use crate::error::{Attempt, Error, Kind as ErrorKind, Result};
use crate::namespace::{self, Kind, Kinds, Plan, Target, TimeOffsets};
use crate::sys::clone::{Clone3, Forked, clone3, exit_now};
use link::{Link, Message};

/// The parent's side of a launched process.
#[derive(Debug)]
pub struct Child {
    /// The child in the caller's pid namespace.
    pub pid: Pid,
    /// Refers to the child for as long as it is open, whatever becomes of its number.
    pub pidfd: OwnedFd,
    /// What the child and its parent say to each other.
    pub link: Link,
}

/// The child's side: what it needs of the plan, and its end of the link.
#[derive(Debug)]
pub struct Born {
    /// What the child and its parent say to each other.
    pub link: Link,
    steps: Vec<namespace::Step>,
    late: Kinds,
    time_offsets: TimeOffsets,
}

impl Born {
    /// Joins and creates the namespaces that are the child's own to join and create.
    ///
    /// # Errors
    /// What step failed, and on what.
    pub fn enter(&self, targets: &[Target]) -> Result<()> {
        namespace::enter(&self.steps, targets, &self.time_offsets)
    }

    /// Creates the namespaces that had to wait until the parent had mapped ids and moved this process to its cgroup.
    ///
    /// # Errors
    /// As unshare(2).
    pub fn enter_late(&self, kinds: Kinds) -> Result<()> {
        let kinds = self.late & kinds;
        if kinds.is_empty() {
            return Ok(());
        }
        namespace::enter(&[namespace::Step::Unshare(kinds)], &[], &self.time_offsets)
    }
}

/// Ends the process when it is dropped: a child must never run its parent's destructors.
struct Ends;

impl Drop for Ends {
    fn drop(&mut self) {
        exit_now(1);
    }
}

/// Starts a child as `plan` says, in `cgroup` (a v2 directory) if given, and runs `body` in it. `body` either executes a
/// program and so never returns, or fails: then what it attempted, on what and why reaches the parent whole.
///
/// `body` dies with its parent until it says otherwise: the child is killed when the parent ends.
///
/// # Errors
/// What failed in the caller or in the process between; failures of `body` come over the link.
pub fn launch(
    plan: &Plan,
    targets: &[Target],
    cgroup: Option<BorrowedFd<'_>>,
    body: impl FnOnce(&mut Born) -> Result<Infallible>,
) -> Result<Child> {
    let (mut ours, theirs) = link::pair()?;
    let clone = Clone3 { namespaces: plan.clone.flags(), pidfd: true, cgroup, ..Clone3::default() };
    let what = || {
        if plan.clone.is_empty() {
            "clone a child process".to_owned()
        } else {
            format!("clone a child process with a new {}", namespace::describe(plan.clone))
        }
    };
    let failed = |errno: rustix::io::Errno| {
        let of_namespaces = errno == rustix::io::Errno::NOSPC && !plan.clone.is_empty();
        let why = if of_namespaces { ", of which there are as many as /proc/sys/user allows" } else { "" };
        Error::os(errno, format!("{}{why}", what()))
    };
    let Some(steps) = &plan.carrier else {
        return match clone3(&clone).map_err(failed)? {
            Forked::Child => run_child(ours, theirs, plan, body),
            Forked::Parent(pid, pidfd) => {
                drop(theirs);
                let pidfd = pidfd.expect("a pidfd was asked for");
                Ok(Child { pid, pidfd, link: ours })
            }
        };
    };
    match clone3(&Clone3::default()).attempt(|| "clone the process that enters the namespaces")? {
        Forked::Child => {
            let _ends = Ends;
            drop(ours);
            let sibling = Clone3 { sibling: true, pidfd: false, ..clone };
            let cloned = TimeOffsets::open(&plan.time_offsets)
                .and_then(|offsets| namespace::enter(steps, targets, &offsets))
                .and_then(|()| clone3(&sibling).map_err(failed));
            match cloned {
                Ok(Forked::Child) => run_child_with(theirs, plan, body),
                Ok(Forked::Parent(pid, _)) => {
                    let _ = theirs.send(&Message::Pid(pid.as_raw_nonzero().get()));
                    exit_now(0)
                }
                Err(error) => {
                    let _ = theirs.send(&Message::Failed(error));
                    exit_now(1)
                }
            }
        }
        Forked::Parent(carrier, _) => {
            drop(theirs);
            let mut early = None;
            // The child may be quicker to say something than the process between is to name it.
            let pid = loop {
                match ours.receive()? {
                    Some(Message::Pid(pid)) => break Pid::from_raw(pid),
                    Some(Message::Failed(error)) => {
                        reap(carrier);
                        return Err(error);
                    }
                    Some(other) if early.is_none() => early = Some(other),
                    Some(_) | None => break None,
                }
            };
            reap(carrier);
            let pid = pid.ok_or_else(|| {
                Error::new(ErrorKind::Died, "the process that enters the namespaces died without a word")
            })?;
            // Ours to reap, so its number cannot have been reused.
            let pidfd = rustix::process::pidfd_open(pid, PidfdFlags::empty())
                .attempt(|| format!("open child process {}", pid.as_raw_nonzero()))?;
            ours.put_back(early);
            Ok(Child { pid, pidfd, link: ours })
        }
    }
}

fn reap(pid: Pid) {
    let _ = rustix::process::waitpid(Some(pid), WaitOptions::empty());
}

fn run_child(ours: Link, theirs: Link, plan: &Plan, body: impl FnOnce(&mut Born) -> Result<Infallible>) -> ! {
    let _ends = Ends;
    drop(ours);
    run_child_with(theirs, plan, body)
}

fn run_child_with(link: Link, plan: &Plan, body: impl FnOnce(&mut Born) -> Result<Infallible>) -> ! {
    let _ends = Ends;
    let mut born = Born { link, steps: plan.child.clone(), late: plan.late, time_offsets: TimeOffsets::default() };
    let makes_time =
        |step: &namespace::Step| matches!(step, namespace::Step::Unshare(kinds) if kinds.contains(Kind::Time));
    let is_due = plan.late.contains(Kind::Time) || plan.child.iter().any(makes_time);
    let offsets = if is_due { plan.time_offsets.as_str() } else { "" };
    // Who misses the parent's death before this call sees the end of file on the link instead.
    let prepared = rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
        .attempt(|| "ask for a signal when the parent dies")
        .and_then(|()| TimeOffsets::open(offsets));
    let error = match prepared {
        Ok(offsets) => {
            born.time_offsets = offsets;
            let Err(error) = body(&mut born);
            error
        }
        Err(error) => error,
    };
    let _ = born.link.send(&Message::Failed(error));
    exit_now(1)
}

impl Child {
    /// Lets the child go on.
    ///
    /// # Errors
    /// What the child failed at, if it is no longer there to hear.
    pub fn proceed(&mut self) -> Result<()> {
        match self.link.send(&Message::Proceed) {
            Err(error) if error.errno() == Some(rustix::io::Errno::PIPE) => match self.link.receive() {
                Ok(Some(Message::Failed(error))) => Err(error),
                _ => Err(self.failed("before it could go on")),
            },
            other => other,
        }
    }

    /// Kills the child and waits for its end.
    pub fn kill(&self) {
        let _ = rustix::process::pidfd_send_signal(&self.pidfd, Signal::KILL);
        self.reap();
    }

    /// Waits for the child's end.
    pub fn reap(&self) {
        let _ = rustix::process::waitid(WaitId::PidFd(rustix::fd::AsFd::as_fd(&self.pidfd)), WaitIdOptions::EXITED);
    }

    /// What the child failed at, if it said so, or else what it died of.
    pub fn failed(&mut self, when: &str) -> Error {
        if let Some(error) = self.link.failure() {
            return error;
        }
        died(rustix::fd::AsFd::as_fd(&self.pidfd), self.pid.as_raw_nonzero().get(), when, "")
    }
}

/// What the process `pid` behind `pidfd`, which has closed its link, died of; `guess` is what may have made it end, if nobody
/// has killed it.
pub fn died(pidfd: BorrowedFd<'_>, pid: i32, when: &str, guess: &str) -> Error {
    let mut guess = guess;
    let how = match rustix::process::waitid(WaitId::PidFd(pidfd), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT) {
        Ok(Some(status)) => match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => format!("exited with status {code}"),
            (_, Some(signal)) => {
                guess = "";
                format!("was killed by signal {signal}{}", hint(signal))
            }
            _ => "ended".to_owned(),
        },
        // Somebody else's child.
        _ => "ended".to_owned(),
    };
    Error::new(ErrorKind::Died, format!("the container's process {pid} {how} {when}{guess}"))
}

/// What most likely sent a signal that nobody explains.
fn hint(signal: i32) -> &'static str {
    match signal {
        31 => " (a seccomp filter)",
        _ => "",
    }
}
