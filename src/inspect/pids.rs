//! What a process is called in each of the pid namespaces that see it.

use std::fs;
use std::os::fd::AsFd;

use rustix::fs::{Mode, OFlags};

use super::proc;
use crate::error::{Attempt, Errno, Error, Result};
use crate::sys::ioctl;

/// One pid namespace, and what a process is called there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level {
    /// The pid namespace's inode number; 0 where it may not be known.
    pub namespace: u64,
    /// The process's id there.
    pub pid: i32,
}

/// What `/proc` calls this process: another number than getpid(2) tells, where `/proc` is that of a pid namespace above the
/// process's own.
///
/// # Errors
/// `NotFound` where it does not show this process, being that of another pid namespace; `Unsupported` where it is not
/// mounted.
pub fn own() -> Result<i32> {
    proc::open()?;
    let number = fs::read_link("/proc/self").ok().and_then(|link| link.to_str()?.parse().ok());
    number.ok_or_else(|| {
        let message = "this process is not to be seen in /proc, which is that of another pid namespace";
        Error::new(crate::error::Kind::NotFound, message)
    })
}

/// The process's ids, from the pid namespace of `/proc` inwards to its own.
///
/// # Errors
/// Where there is no such process. `NSpid` in proc_pid_status(5), Linux 4.1.
pub fn levels(pid: i32) -> Result<Vec<Level>> {
    let path = format!("/proc/{pid}/status");
    let status = proc::read_text(&path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => proc::absent(pid),
        _ => Error::io(&error, format!("read {path}")),
    })?;
    let pids = proc::nspid(&status);
    let mut namespaces = Vec::new();
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let mut next = rustix::fs::open(format!("/proc/{pid}/ns/pid"), flags, Mode::empty()).ok();
    while let Some(ns) = next.filter(|_| namespaces.len() < pids.len()) {
        namespaces.push(rustix::fs::fstat(&ns).map_or(0, |status| status.st_ino));
        next = ioctl::namespace_parent(ns.as_fd()).ok();
    }
    namespaces.resize(pids.len(), 0);
    namespaces.reverse();
    // A namespace that could not be read is missing at the inner end, and the outer ones are not known either.
    Ok(pids.into_iter().zip(namespaces).map(|(pid, namespace)| Level { namespace, pid }).collect())
}

/// What `/proc` calls the process that is `inner` in the pid namespace of process `member`.
///
/// # Errors
/// `NotFound` where there is none.
pub fn translate(inner: i32, member: i32) -> Result<i32> {
    let path = format!("/proc/{member}/ns/pid");
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let ns = rustix::fs::open(&path, flags, Mode::empty()).attempt(|| format!("open {path}"))?;
    match ioctl::pid_from_pid_namespace(&ns, inner) {
        Ok(pid) => return Ok(pid),
        Err(Errno::SRCH) => {}
        // Before Linux 6.11: look at every process.
        Err(_) => {
            let wanted = rustix::fs::fstat(&ns).attempt(|| format!("stat {path}"))?.st_ino;
            for pid in proc::pids()? {
                let Ok(levels) = levels(pid) else { continue };
                if levels.contains(&Level { namespace: wanted, pid: inner }) {
                    return Ok(pid);
                }
            }
        }
    }
    let message = format!("no process is {inner} in the pid namespace of process {member}");
    Err(Error::new(crate::error::Kind::NotFound, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_has_one_level_for_each_namespace_that_sees_it() {
        let pid = std::process::id() as i32;
        assert_eq!(levels(pid).unwrap()[0].pid, pid);
        assert_eq!(levels(i32::MAX).unwrap_err().to_string(), "there is no process 2147483647");
    }
}
