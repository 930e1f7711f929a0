//! References to namespaces that are to be entered: a file of nsfs, or the process behind a pidfd.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, PidfdFlags};

use super::{Kind, Kinds, Step};
use crate::error::{Attempt, Errno, Error, Result};
use crate::sys;

/// Whether the process `pid` is in the same namespace of `kind` as this one.
///
/// # Errors
/// As stat(2): there is no such process, or this kernel has no such namespaces.
pub fn is_shared_with(pid: i32, kind: Kind) -> Result<bool> {
    let identity = |who: &dyn std::fmt::Display| {
        let path = format!("/proc/{who}/ns/{}", kind.proc_name());
        rustix::fs::stat(path.as_str()).attempt(|| format!("look at {path}")).map(|stat| (stat.st_dev, stat.st_ino))
    };
    Ok(identity(&"self")? == identity(&pid)?)
}

/// Opens a file of somebody else's choice for reading: a FIFO without a writer does not block, and a terminal does not become
/// this process's own.
///
/// # Errors
/// As open(2).
pub fn open_without_waiting(path: &Path) -> Result<OwnedFd, Errno> {
    rustix::fs::open(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty())
}

/// Something to enter namespaces from, held open so that it cannot change under us.
#[derive(Debug)]
pub struct Target {
    fd: OwnedFd,
    name: String,
}

impl Target {
    /// The namespace that a file refers to: `/proc/PID/ns/net`, or a file that one is bound to.
    ///
    /// Any other file is refused before it is opened: a FIFO would block, and some devices act on open(2).
    ///
    /// # Errors
    /// As open(2); of kind `Invalid` for a file that is no namespace.
    pub fn open(path: &Path) -> Result<Target> {
        let shown = path.display();
        let what = || format!("open namespace {shown}");
        if !sys::ioctl::is_nsfs_path(path).attempt(what)? {
            return Err(Error::invalid(format!(
                "{shown} is no namespace: give a file in /proc/PID/ns, or one that a namespace is mounted on"
            )));
        }
        Ok(Target { fd: open_without_waiting(path).attempt(what)?, name: shown.to_string() })
    }

    /// The namespaces of a process, all of them by one pidfd (setns(2) takes these from Linux 5.8 on).
    ///
    /// # Errors
    /// `ESRCH` when there is no such process.
    pub fn of_process(pid: Pid) -> Result<Target> {
        let fd = rustix::process::pidfd_open(pid, PidfdFlags::empty())
            .attempt(|| format!("open process {}", pid.as_raw_nonzero()))?;
        Ok(Target::from_fd(fd, format!("process {}", pid.as_raw_nonzero())))
    }

    /// A descriptor of a namespace or a pidfd; `name` is what messages call it.
    pub fn from_fd(fd: OwnedFd, name: impl Into<String>) -> Target {
        Target { fd, name: name.into() }
    }

    /// What messages call it.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl AsFd for Target {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// The offsets of a time namespace that is yet to be created, and where they go: `/proc/PID/timens_offsets`.
#[derive(Debug, Default)]
pub struct TimeOffsets {
    text: String,
    file: Option<File>,
}

impl TimeOffsets {
    /// For this process to write `text`, which may be empty. To be opened before it changes its user ids or becomes
    /// undumpable, which makes its files in `/proc` somebody else's; what it creates later may be a user namespace first.
    ///
    /// # Errors
    /// As open(2).
    pub fn open(text: &str) -> Result<TimeOffsets> {
        const PATH: &str = "/proc/self/timens_offsets";
        let file = if text.is_empty() {
            None
        } else {
            Some(OpenOptions::new().write(true).open(PATH).attempt(|| format!("open {PATH}"))?)
        };
        Ok(TimeOffsets { text: text.to_owned(), file })
    }

    fn write(&self) -> Result<()> {
        let Some(mut file) = self.file.as_ref() else { return Ok(()) };
        file.write_all(self.text.as_bytes())
            .attempt(|| format!("write {:?} to /proc/self/timens_offsets", self.text.trim_end()))
    }
}

/// Carries out the steps of a plan, in their order, in this process. `time_offsets` are for a time namespace that it
/// creates.
///
/// # Errors
/// What step failed, and on what; see setns(2) and unshare(2).
pub fn enter(steps: &[Step], targets: &[Target], time_offsets: &TimeOffsets) -> Result<()> {
    for step in steps {
        match *step {
            Step::Join { target, kinds } => {
                let target = &targets[target];
                sys::clone::setns(target.as_fd(), kinds.flags())
                    .attempt(|| format!("enter the {} of {}", describe(kinds), target.name))?;
            }
            Step::Unshare(kinds) => {
                sys::clone::unshare(kinds.flags()).attempt(|| format!("create a new {}", describe(kinds)))?;
                if kinds.contains(Kind::Time) {
                    time_offsets.write()?;
                }
            }
        }
    }
    Ok(())
}

/// How messages name a set of kinds: "pid, network and mount namespaces".
pub fn describe(kinds: Kinds) -> String {
    let names: Vec<_> = kinds.iter().map(Kind::oci_name).collect();
    match names.as_slice() {
        [one] => format!("{one} namespace"),
        [most @ .., last] => format!("{} and {last} namespaces", most.join(", ")),
        [] => "namespaces".into(),
    }
}
