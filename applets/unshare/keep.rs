//! Namespaces that are kept by files: bound there by a process that is where the caller was.

use std::os::fd::OwnedFd;

use nskit::Result;
use nskit::error::Attempt;
use nskit::namespace::{Kind, persist};
use nskit::sys::clone::unshare;
use nskit::sys::ioctl::namespace_id;
use rustix::fs::{Mode, OFlags};
use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use super::options::Options;
use crate::exec::Voice;
use crate::hints::{self, Failure, Hint};

/// The order in which namespaces are bound to their files.
const ORDER: [Kind; 8] =
    [Kind::User, Kind::Cgroup, Kind::Ipc, Kind::Uts, Kind::Net, Kind::Pid, Kind::Mount, Kind::Time];

/// Binds the namespaces of process `pid` to the files that were named.
pub(super) fn bind(pid: Pid, options: &Options) -> Result<(), Failure> {
    for kind in ORDER {
        if let Some(file) = &options.files[kind as usize] {
            persist::bind(pid, kind, file).hint(|errno| hints::bind(errno, kind, file, options.fork))?;
        }
    }
    Ok(())
}

/// The mount namespace that the caller is in.
pub(super) fn own_mount_namespace() -> Option<OwnedFd> {
    rustix::fs::open("/proc/self/ns/mnt", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()
}

/// Makes this process's new mount namespace again, until it can be bound to a file in `before`, where that is possible.
///
/// The kernel refuses to bind a mount namespace in one with a higher id, for it might hold itself. From Linux 6.18 on each
/// processor hands out ids of a batch of its own, so that the newer namespace may have the lower id: half of all calls fail on a
/// machine with two processors. On the processor that the older one was made on, the next id is higher.
///
/// # Errors
/// As unshare(2). Where no processor helps, binding says that it fails.
pub(super) fn rise_above(voice: &Voice, before: &OwnedFd) -> Result<()> {
    // ENOTTY: an older kernel, whose ids rise.
    let Ok(least) = namespace_id(before) else { return Ok(()) };
    let is_above = || own_mount_namespace().and_then(|own| namespace_id(own).ok()).is_none_or(|id| id > least);
    if is_above() {
        return Ok(());
    }
    let Ok(allowed) = sched_getaffinity(None) else { return Ok(()) };
    for cpu in (0..CpuSet::MAX_CPU).filter(|cpu| allowed.is_set(*cpu)) {
        let mut only = CpuSet::new();
        only.set(cpu);
        if sched_setaffinity(None, &only).is_err() {
            continue;
        }
        voice.step(|| format!("create the mount namespace again, on processor {cpu}: its id is too low to be kept"));
        let made = unshare(Kind::Mount.flag()).attempt(|| "unshare failed");
        if made.is_err() || is_above() {
            sched_setaffinity(None, &allowed).attempt(|| "sched_setaffinity failed")?;
            return made;
        }
    }
    sched_setaffinity(None, &allowed).attempt(|| "sched_setaffinity failed")
}
