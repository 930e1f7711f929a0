//! The one way to start a process in namespaces: [`launch`] forks as a [`Plan`] says and runs the child's part in the
//! child; [`Child`] is the parent's side.

pub mod link;
pub mod program;
pub mod relay;
pub mod terminal;

use std::convert::Infallible;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, WaitId, WaitIdOptions};

use crate::error::{Attempt, Error, Kind as ErrorKind, Result};
use crate::namespace::{self, Kind, Kinds, Plan, Target, TimeOffsets};
use crate::sys::clone::{Clone3, Forked, SharedPid, clone3, exit_now};
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
    /// Joins and creates the namespaces that are the child's own to join and create, but for new ones of the kinds in `made`,
    /// which it has made otherwise.
    ///
    /// # Errors
    /// What step failed, and on what.
    pub fn enter(&self, targets: &[Target], made: Kinds) -> Result<()> {
        if made.is_empty() {
            return namespace::enter(&self.steps, targets, &self.time_offsets);
        }
        let left = |step: &namespace::Step| match step {
            namespace::Step::Unshare(kinds) if (*kinds - made).is_empty() => None,
            namespace::Step::Unshare(kinds) => Some(namespace::Step::Unshare(*kinds - made)),
            join => Some(*join),
        };
        let steps: Vec<_> = self.steps.iter().filter_map(left).collect();
        namespace::enter(&steps, targets, &self.time_offsets)
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
    let (ours, theirs) = link::pair()?;
    let clone = Clone3 { namespaces: plan.clone.flags(), cgroup, ..Clone3::default() };
    if let Some(steps) = &plan.carrier {
        return launch_by_carrier(steps, plan, targets, (ours, theirs), &clone, body);
    }
    match clone3(&Clone3 { pidfd: true, ..clone }).map_err(|errno| clone_failed(plan, errno))? {
        Forked::Child => run_child(ours, theirs, plan, body),
        Forked::Parent(pid, pidfd) => {
            theirs.leave();
            let pidfd = pidfd.expect("a pidfd was asked for");
            Ok(Child { pid, pidfd, link: ours })
        }
    }
}

/// Has a process between, the carrier, enter namespaces and clone the child, a sibling of its own.
///
/// The carrier need not live to tell of the child: its end is what is waited for, and the kernel has stored the child's pid in
/// memory that both share.
fn launch_by_carrier(
    steps: &[namespace::Step],
    plan: &Plan,
    targets: &[Target],
    (mut ours, theirs): (Link, Link),
    clone: &Clone3<'_>,
    body: impl FnOnce(&mut Born) -> Result<Infallible>,
) -> Result<Child> {
    let store = SharedPid::new().attempt(|| "share memory with the process that enters the namespaces")?;
    match clone3(&Clone3::default()).attempt(|| "clone the process that enters the namespaces")? {
        Forked::Child => {
            let _ends = Ends;
            ours.leave();
            let sibling = Clone3 { sibling: true, store: Some(&store), ..*clone };
            let cloned = TimeOffsets::open(&plan.time_offsets)
                .and_then(|offsets| namespace::enter(steps, targets, &offsets))
                .and_then(|()| clone3(&sibling).map_err(|errno| clone_failed(plan, errno)));
            match cloned {
                Ok(Forked::Child) => run_child_with(theirs, plan, body),
                Ok(Forked::Parent(..)) => exit_now(0),
                Err(error) => {
                    let _ = theirs.send(&Message::Failed(error));
                    exit_now(1)
                }
            }
        }
        Forked::Parent(carrier, _) => {
            theirs.leave();
            let ending = relay::wait(carrier);
            let Some(pid) = store.get() else {
                return Err(ours.failure().unwrap_or_else(|| carrier_died(ending)));
            };
            // Ours to reap, so its number cannot have been reused.
            let pidfd = rustix::process::pidfd_open(pid, PidfdFlags::empty())
                .attempt(|| format!("open child process {}", pid.as_raw_nonzero()))
                .inspect_err(|_| {
                    let _ = rustix::process::kill_process(pid, Signal::KILL);
                    let _ = relay::wait(pid);
                })?;
            Ok(Child { pid, pidfd, link: ours })
        }
    }
}

/// Whether [`launch`] into a cgroup may have failed by a seccomp filter that refuses clone3(2): then the child can be launched
/// without, and moved there. Where `EPERM` is the kernel's own, that fails too.
pub fn is_refusal_of_clone3(error: &Error) -> bool {
    matches!(error.errno(), Some(Errno::NOSYS | Errno::PERM))
}

fn clone_failed(plan: &Plan, errno: Errno) -> Error {
    let mut attempted = "clone a child process".to_owned();
    if !plan.clone.is_empty() {
        attempted += &format!(" with a new {}", namespace::describe(plan.clone));
        if errno == Errno::NOSPC {
            attempted += ", of which there are as many as /proc/sys/user allows";
        }
    }
    Error::os(errno, attempted)
}

/// That the process between has ended without a child, and without a word.
fn carrier_died(ending: Result<relay::Ending>) -> Error {
    let how = match ending {
        Ok(relay::Ending::Killed(signal)) => format!("was killed by signal {signal}{}", hint(signal)),
        Ok(relay::Ending::Exited(status)) => format!("exited with status {status}"),
        Err(error) => return error,
    };
    Error::new(ErrorKind::Died, format!("the process that enters the namespaces {how} before it could start another"))
}

fn run_child(ours: Link, theirs: Link, plan: &Plan, body: impl FnOnce(&mut Born) -> Result<Infallible>) -> ! {
    let _ends = Ends;
    ours.leave();
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
            Err(error) if error.errno() == Some(Errno::PIPE) => match self.link.receive() {
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
