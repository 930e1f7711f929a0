//! From a process of the container to its program: identity, limits, labels, the seccomp filter, execve(2). What runs in the
//! child of `create`, `run` and `exec`, last.

use std::convert::Infallible;
use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::io::Errno;

use crate::container::spec::process::{Process, name, shown};
use crate::container::spec::scheduling::shown_policy;
use crate::error::{Attempt, Error, Result};
use crate::launch::link::{Link, Sender};
use crate::launch::program::{self, Program};
use crate::lsm::{self, Proc};
use crate::sys::sched;

impl Process {
    /// The first half of the child's part: all but what takes its privileges. Finds the file to execute, so that a missing
    /// program fails `create`, not `start`. `has_own_dev`: /dev is the container's, not yet the streams'.
    ///
    /// # Errors
    /// What could not be set, and in the engines' words why the program cannot be executed.
    pub fn confine(&self, proc: Option<&Proc>, link: &mut Link, has_own_dev: bool, preserve_fds: u32) -> Result<Ready> {
        if self.no_new_privs {
            rustix::thread::set_no_new_privs(true).attempt(|| "set no_new_privs")?;
        }
        self.schedule()?;
        self.label(proc)?;
        // The one who says later when to start need not know of a filter.
        let mut filter = if self.has_filter { Some(link.wait_for_filter()?) } else { None };
        // While there are descriptors to be had.
        let home = self.home()?;
        for (resource, limit) in &self.rlimits {
            rustix::process::setrlimit(*resource, *limit)
                .attempt(|| format!("set {} to {}", name(*resource), shown(limit)))?;
        }
        // Before a filter that may deny it.
        program::settle_streams(self.credentials.uid, has_own_dev)?;
        // Without no_new_privs a filter needs a privilege that is about to go.
        if let Some(filter) = filter.take_if(|_| !self.no_new_privs) {
            // Which may deny what does it at once.
            program::close_on_exec(preserve_fds);
            load(&filter, link, self.sends_listener)?;
        }
        program::limit_bounding_set(self.capabilities.bounding)?;
        // A folder that only root may enter, and one that only the user may: either is fine.
        let entered = match rustix::process::chdir(&self.cwd) {
            Err(Errno::ACCESS) => false,
            other => other
                .attempt(|| format!("chdir to cwd (\"{}\") set in config.json failed", self.cwd.display()))
                .map(|()| true)?,
        };
        program::set_credentials(&self.credentials)?;
        if entered {
            program::verify_directory()
                .attempt(|| format!("chdir to cwd (\"{}\") set in config.json", self.cwd.display()))?;
        } else {
            program::enter_directory(&self.cwd)?;
        }
        program::set_capabilities(&self.capabilities)?;
        program::set_umask(self.umask);
        let mut program = self.program.clone();
        program.env.extend(home);
        let file = program.find()?;
        let sends_listener = self.sends_listener;
        Ok(Ready { program, file, filter, sends_listener, preserve_fds, is_settled: false })
    }

    fn schedule(&self) -> Result<()> {
        if let Some(scheduler) = &self.scheduler {
            sched::set_scheduler(scheduler).map_err(|errno| {
                const DEADLINE: u32 = 6;
                let why = if errno == Errno::PERM && scheduler.policy == DEADLINE {
                    " (process scheduler can't be used together with AllowedCPUs)"
                } else {
                    ""
                };
                Error::os(errno, format!("set {}{why}", shown_policy(scheduler)))
            })?;
        }
        if let Some((class, priority)) = self.io_priority {
            sched::set_io_priority(class, priority)
                .attempt(|| format!("set I/O priority {priority} of class {class}"))?;
        }
        if let Some(domain) = self.personality {
            sched::set_personality(domain).attempt(|| format!("set personality {domain:#x}"))?;
        }
        if let Some((mode, nodes)) = &self.memory_policy {
            sched::set_memory_policy(*mode, nodes).attempt(|| format!("set memory policy {mode:#x}"))?;
        }
        Ok(())
    }

    /// Asks for the labels that the program is to have.
    fn label(&self, proc: Option<&Proc>) -> Result<()> {
        if let (Some(profile), Some(proc)) = (&self.apparmor, proc) {
            lsm::apparmor_on_exec(proc, profile)?;
        }
        if let (Some(context), Some(proc)) = (&self.selinux, proc) {
            lsm::selinux_on_exec(proc, context)?;
        }
        Ok(())
    }
}

/// Loads `filter`, and waits until its listener, where it has one, is with who answers there.
fn load(filter: &crate::seccomp::Program, link: &mut Link, sends_listener: bool) -> Result<()> {
    let sender = if sends_listener && filter.notifies() { Some(Sender::start(link)?) } else { None };
    let loaded = filter.load();
    let listener = loaded.as_ref().ok().and_then(Option::as_ref).map(AsFd::as_fd);
    // The filter holds already: `write`, which it may not notify, tells of the listener; what comes after may be answered by
    // the agent.
    match (&sender, listener) {
        (Some(sender), listener) => sender.send(listener)?,
        (None, Some(listener)) => link.tell_of_listener(listener)?,
        (None, None) => {}
    }
    let loaded = loaded?;
    sender.iter().try_for_each(Sender::reap)?;
    // It stays open until the other side has it.
    if let Some(_listener) = loaded {
        link.wait_for_hand_over()?;
    }
    Ok(())
}

/// A process with its identity, for which only leave to start is missing.
#[derive(Debug)]
pub struct Ready {
    program: Program,
    file: CString,
    /// Not loaded yet.
    filter: Option<crate::seccomp::Program>,
    sends_listener: bool,
    /// How many descriptors beyond the standard streams the program inherits.
    preserve_fds: u32,
    is_settled: bool,
}

impl Ready {
    /// Lets nothing but the standard streams and what is preserved into programs, and none of them past the seccomp filter.
    ///
    /// # Errors
    /// As prctl(2) and seccomp(2).
    pub fn settle(&mut self, link: &mut Link) -> Result<()> {
        if !std::mem::replace(&mut self.is_settled, true) {
            program::leave_nothing(self.preserve_fds)?;
            if let Some(filter) = self.filter.take() {
                load(&filter, link, self.sends_listener)?;
            }
        }
        Ok(())
    }

    /// Whether its filter has a listener, and is not loaded yet.
    pub fn has_listener(&self) -> bool {
        self.filter.as_ref().is_some_and(crate::seccomp::Program::notifies)
    }

    /// Executes the program.
    ///
    /// # Errors
    /// In the engines' words why the program cannot be executed.
    pub fn execute(mut self, link: &mut Link) -> Result<Infallible> {
        self.settle(link)?;
        self.program.execute(&self.file)
    }
}

/// Makes `terminal` the controlling terminal and the standard streams of this process.
///
/// # Errors
/// As ioctl(2) and dup2(2).
pub fn use_terminal(terminal: BorrowedFd<'_>) -> Result<()> {
    rustix::process::ioctl_tiocsctty(terminal).attempt(|| "make the terminal the controlling one")?;
    let attempted = || "make the terminal the standard streams";
    rustix::stdio::dup2_stdin(terminal).attempt(attempted)?;
    rustix::stdio::dup2_stdout(terminal).attempt(attempted)?;
    rustix::stdio::dup2_stderr(terminal).attempt(attempted)
}
