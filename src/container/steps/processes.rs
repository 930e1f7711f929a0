//! The processes of a container, in its cgroup or, where its first process has left that, wherever they are.

use std::os::fd::{AsFd, OwnedFd};

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal};

use crate::cgroup::Left;
use crate::container::record::instance::Container;
use crate::error::{Attempt, Error, Kind, Result};
use crate::sys::ioctl::namespace_parent;

/// What of its cgroup the first process of a container has left, if it still runs: a process that may write to the cgroup
/// file system, in no cgroup namespace of its own, can go anywhere.
///
/// # Errors
/// When it cannot be told where the process is.
pub fn left_cgroup(container: &Container) -> Result<Option<Left>> {
    let Some(init) = container.state.living()? else { return Ok(None) };
    // One that ends meanwhile has left nothing: on its way out the kernel moves it to the root of every hierarchy.
    let has_ended = || Ok::<_, Error>(container.state.living()?.is_none_or(|init| init.is_dying()));
    match container.cgroup()?.left_by(init.id()) {
        Ok(None) => Ok(None),
        _ if has_ended()? => Ok(None),
        left => left,
    }
}

/// Refuses what only a cgroup with the container in it can do.
///
/// # Errors
/// Of kind [`Kind::State`], with `consequence`, when its first process has left it.
pub fn must_be_in_its_cgroup(container: &Container, consequence: &str) -> Result<()> {
    left_cgroup(container)?.map_or(Ok(()), |left| Err(has_left(container, &left, consequence)))
}

fn has_left(container: &Container, left: &Left, consequence: &str) -> Error {
    let (id, from, to) = (&container.state.id, left.from.display(), left.to.display());
    Error::new(Kind::State, format!("container {id} has moved itself from its cgroup {from} to {to}: {consequence}"))
}

/// The processes of a container, as this process's pid namespace numbers them.
///
/// # Errors
/// Its cgroup cannot be read, or its processes are not in it and not known by a pid namespace of their own either.
pub fn list(container: &Container) -> Result<Vec<Pid>> {
    let Some(left) = left_cgroup(container)? else {
        return match container.cgroup()?.processes(true) {
            Err(error) if error.is_not_found() => Ok(Vec::new()),
            listed => listed,
        };
    };
    let init = container.pid()?;
    let own = container.state.has_own_pids().then(|| PidNamespace::of(init)).flatten();
    own.ok_or_else(|| has_left(container, &left, "its processes cannot be told from others'"))?.processes()
}

/// Sends `signal` to every process of a container that has left its cgroup.
///
/// # Errors
/// As [`list`]. A process that has ended is no error.
pub fn signal_each(container: &Container, signal: Signal) -> Result<()> {
    let open = |pid| rustix::process::pidfd_open(pid, PidfdFlags::empty()).ok().map(|fd| (pid, fd));
    let open: Vec<(Pid, OwnedFd)> = list(container)?.into_iter().filter_map(open).collect();
    // A number may have been given to another process between the two.
    let still = list(container)?;
    for (pid, fd) in open.iter().filter(|(pid, _)| still.contains(pid)) {
        match rustix::process::pidfd_send_signal(fd, signal) {
            Ok(()) | Err(Errno::SRCH) => {}
            Err(errno) => return Err(Error::os(errno, format!("send a signal to process {}", pid.as_raw_nonzero()))),
        }
    }
    Ok(())
}

/// A pid namespace, by its file.
struct PidNamespace(rustix::fs::Stat);

impl PidNamespace {
    fn of(pid: Pid) -> Option<PidNamespace> {
        rustix::fs::fstat(open(pid)?).ok().map(PidNamespace)
    }

    /// The processes in it and in those below.
    fn processes(&self) -> Result<Vec<Pid>> {
        let mut found = Vec::new();
        for (name, _) in crate::sys::folder::entries(std::path::Path::new("/proc")).attempt(|| "read /proc")? {
            let pid = name.to_str().and_then(|name| name.parse().ok()).and_then(Pid::from_raw);
            found.extend(pid.filter(|pid| self.holds(*pid)));
        }
        found.sort_unstable_by_key(|pid| pid.as_raw_nonzero());
        Ok(found)
    }

    fn holds(&self, pid: Pid) -> bool {
        let mut namespace = open(pid);
        while let Some(current) = namespace {
            match rustix::fs::fstat(current.as_fd()) {
                Ok(stat) if (stat.st_dev, stat.st_ino) == (self.0.st_dev, self.0.st_ino) => return true,
                // The runtime's own has no parent that it may see.
                _ => namespace = namespace_parent(&current).ok(),
            }
        }
        false
    }
}

/// The pid namespace of a process.
fn open(pid: Pid) -> Option<OwnedFd> {
    let path = format!("/proc/{}/ns/pid", pid.as_raw_nonzero());
    let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::CLOEXEC;
    rustix::fs::open(path, flags, rustix::fs::Mode::empty()).ok()
}
