//! What the kernel itself keeps lists of: mount namespaces (`NS_MNT_GET_NEXT`, Linux 6.12) and, from Linux 6.19 on, all
//! namespaces (listns(2)). Only these show what is held by nothing that can be looked at: a descriptor on its way in a
//! socket's queue, credentials of an open file.
//!
//! Where there is no such list, what may be missing is told.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::relations;
use super::survey::{Mounts, Survey};
use crate::error::strerror;
use crate::inspect::host::Host;
use crate::inspect::model::{Keeper, UNLISTED};
use crate::inspect::pids;
use crate::inspect::proc::{self, inode_of};
use crate::namespace::Kind;
use crate::sys::{ioctl, mountlist};

const NSFS_MAGIC: u64 = 0x6e73_6673;

/// Looks at the kernel's lists.
pub(super) fn survey(survey: &mut Survey<'_>) {
    proc_is_partial(survey);
    if Host::find().is_partial() {
        let why = "the host's first process is not to be read, and before Linux 6.18 numbers do not tell";
        survey.snapshot.blind("which mnt and net namespaces are the host's", why);
    }
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    // Any namespace to ask the kernel by.
    let own = match rustix::fs::open("/proc/self/ns/mnt", flags, Mode::empty()) {
        Ok(own) => own,
        Err(errno) => {
            let why = pids::own().map_or_else(|error| error.to_string(), |_| strerror(errno));
            return survey.snapshot.blind("namespaces that no process is in", why);
        }
    };
    match mountlist::namespaces() {
        Ok(ids) => all(survey, &own, &ids),
        Err(errno) => {
            if errno == Errno::NOSYS {
                let why = "not enumerable on this kernel: listns(2) came with Linux 6.19";
                survey.snapshot.lacks(UNLISTED, why);
            } else {
                survey.snapshot.blind(UNLISTED, format!("listns: {}", strerror(errno)));
            }
            if survey.scope.kinds.contains(Kind::Mount) {
                mount_namespaces(survey, own);
            }
        }
    }
}

/// Every namespace by its id.
fn all(survey: &mut Survey<'_>, any: &OwnedFd, ids: &[u64]) {
    for &id in ids {
        match mountlist::open_namespace(any, id) {
            Ok(ns) => enter(survey, &ns),
            Err(Errno::STALE | Errno::NOENT) => {}
            Err(errno) => survey.snapshot.gap("listed namespaces", strerror(errno)),
        }
    }
}

fn enter(survey: &mut Survey<'_>, ns: &OwnedFd) {
    let (Ok(status), Ok(Some(kind))) = (rustix::fs::fstat(ns), Kind::of_file(ns)) else { return };
    if !survey.scope.kinds.contains(kind) {
        return;
    }
    let (index, new) = survey.snapshot.enter(kind, status.st_ino);
    if new {
        relations::relate(survey, index, ns.as_fd());
    }
    let namespace = &survey.snapshot.namespaces[index];
    let is_seen_from_inside =
        namespace.processes > 0 || namespace.keepers.iter().any(|keeper| matches!(keeper, Keeper::Thread { .. }));
    if kind == Kind::Mount && survey.scope.mounts == Mounts::All && !is_seen_from_inside {
        bindings(survey, ns, status.st_ino);
    }
}

/// Every mount namespace: on from the caller's own to the last, and back to the first.
fn mount_namespaces(survey: &mut Survey<'_>, own: OwnedFd) {
    for step in [ioctl::next_mount_namespace, ioctl::previous_mount_namespace] {
        let Ok(mut at) = rustix::io::fcntl_dupfd_cloexec(&own, 0) else { return };
        loop {
            match step(at.as_fd()) {
                Ok((next, _)) => {
                    enter(survey, &next);
                    at = next;
                }
                Err(Errno::NOENT) => break,
                Err(errno) => {
                    const UNVISITED: &str = "mount namespaces that no process is in";
                    return match errno {
                        Errno::NOTTY => survey.snapshot.lacks(UNVISITED, "needs Linux 6.12"),
                        errno => survey.snapshot.blind(UNVISITED, strerror(errno)),
                    };
                }
            }
        }
    }
}

/// Namespaces that are bound to a file in a mount namespace that no process is in.
fn bindings(survey: &mut Survey<'_>, ns: &OwnedFd, namespace: u64) {
    let listed = ioctl::mount_namespace_id(ns).and_then(|id| Ok((id, mountlist::mounts(id)?)));
    let (id, mounts) = match listed {
        Ok(listed) => listed,
        Err(errno) => return survey.snapshot.gap("mount namespaces", strerror(errno)),
    };
    for mount in mounts.iter().filter_map(|&mount| mountlist::mount(id, mount).ok()) {
        let root = mount.root.as_os_str().as_encoded_bytes();
        let root = root.strip_prefix(b"/").unwrap_or(root);
        let name = root.split(|&byte| byte == b':').next().and_then(|name| std::str::from_utf8(name).ok());
        if let (NSFS_MAGIC, Some(inode), Some(kind)) =
            (mount.magic, inode_of(root), name.and_then(Kind::from_proc_name))
            && survey.scope.kinds.contains(kind)
        {
            let (index, _) = survey.snapshot.enter(kind, inode);
            survey.snapshot.keep(index, Keeper::Mount { namespace, path: mount.point, covered: false });
        }
    }
}

/// Tells where `/proc` itself does not show all processes.
fn proc_is_partial(survey: &mut Survey<'_>) {
    if !is_of_host() {
        let why = "/proc was mounted inside a pid namespace, and shows only this one and those below it";
        survey.snapshot.blind("processes of other pid namespaces", why);
    }
    if let Some(hidden) = proc::hidepid()
        && !rustix::process::geteuid().is_root()
    {
        survey.snapshot.blind("processes of other users", format!("/proc is mounted with hidepid={hidden}"));
    }
}

/// Whether `/proc` shows the pid namespace that the kernel started with, wherever this process is. Its own tells where
/// `/proc` is of the same one; else that the kernel's own threads are to be seen, which are nowhere below.
fn is_of_host() -> bool {
    if proc::are_own() {
        let own = rustix::fs::stat("/proc/self/ns/pid");
        return own.is_ok_and(|status| status.st_ino == Kind::Pid.initial_inode());
    }
    // kthreadd, whose flags everybody may read.
    proc::Stat::read(2).is_some_and(|second| second.is_kernel_thread())
}
