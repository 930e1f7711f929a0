//! Parents and owners, followed up to the root: namespaces that nothing but a child or what they own keeps alive.

use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{Mode, OFlags};

use super::survey::Survey;
use crate::inspect::model::Keeper;
use crate::inspect::proc::ProcPath;
use crate::namespace::Kind;
use crate::sys::ioctl;

/// Asks every namespace that has a process in it, and was not asked yet, for its relations.
pub(super) fn survey(survey: &mut Survey<'_>) {
    let asked = |kind| survey.scope.relations || (survey.scope.netnsids && kind == Kind::Net);
    for index in 0..survey.snapshot.namespaces.len() {
        let namespace = &survey.snapshot.namespaces[index];
        if namespace.related || !asked(namespace.kind) {
            continue;
        }
        let links = [namespace.kind.proc_name(), namespace.kind.proc_name_for_children()];
        let path = match (survey.snapshot.leader(namespace), namespace.keepers.first()) {
            (Some(process), _) => ProcPath::new(process.pid).text("/ns/").text(links[0]),
            (None, Some(Keeper::Thread { pid, tid })) => {
                ProcPath::new(*pid).text("/task/").number(*tid).text("/ns/").text(links[0])
            }
            (None, Some(Keeper::ForChildren { pid })) => ProcPath::new(*pid).text("/ns/").text(links[1]),
            _ => continue,
        };
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        if let Ok(ns) = rustix::fs::openat(survey.proc(), path.as_c_str(), flags, Mode::empty())
            // The process may have gone elsewhere, or its number to another.
            && rustix::fs::fstat(&ns).is_ok_and(|status| status.st_ino == survey.snapshot.namespaces[index].inode)
        {
            relate(survey, index, ns.as_fd());
        }
    }
}

/// Asks the namespace for its parent and owner, and those that are new for theirs.
pub(super) fn relate(survey: &mut Survey<'_>, index: usize, ns: BorrowedFd<'_>) {
    let namespace = &mut survey.snapshot.namespaces[index];
    if std::mem::replace(&mut namespace.related, true) {
        return;
    }
    let kind = namespace.kind;
    if survey.scope.relations {
        namespace.id = ioctl::namespace_id(ns).ok();
    }
    if kind == Kind::Net
        && let Some(query) = &mut survey.netnsid
    {
        namespace.netnsid = query.ask(ns);
    }
    if kind == Kind::User {
        namespace.owner_uid = ioctl::namespace_owner_uid(ns).ok();
    }
    // A user namespace's owner is its parent, so that one question will do.
    if let Ok(owner) = ioctl::namespace_owner(ns)
        && let Some(inode) = ghost(survey, Kind::User, owner.as_fd())
    {
        let namespace = &mut survey.snapshot.namespaces[index];
        namespace.owner = inode;
        if kind == Kind::User {
            namespace.parent = inode;
        }
    }
    if kind == Kind::Pid
        && let Ok(parent) = ioctl::namespace_parent(ns)
        && let Some(inode) = ghost(survey, Kind::Pid, parent.as_fd())
    {
        survey.snapshot.namespaces[index].parent = inode;
    }
}

/// The inode number of a related namespace, which may be one that nothing else shows.
fn ghost(survey: &mut Survey<'_>, kind: Kind, ns: BorrowedFd<'_>) -> Option<u64> {
    let inode = rustix::fs::fstat(ns).ok()?.st_ino;
    if survey.scope.kinds.contains(kind) {
        let (index, _) = survey.snapshot.enter(kind, inode);
        relate(survey, index, ns);
    }
    Some(inode)
}
