//! Namespaces that are bound to a file, in the caller's or in every mount namespace.
//!
//! A mount that is covered by another is listed in mountinfo (proc_pid_mountinfo(5)) though its path leads elsewhere;
//! the root field (`net:[4026532001]`) still tells what it is.

use std::fs;
use std::os::fd::AsFd;
use std::path::PathBuf;

use super::relations;
use super::survey::{Mounts, Survey};
use crate::error::{Errno, strerror};
use crate::inspect::model::Keeper;
use crate::inspect::proc::{self, inode_of};
use crate::namespace::Kind;
use crate::sys::ioctl;
use crate::sys::mountinfo::Line;

/// A line of mountinfo that mounts a namespace.
#[derive(Debug, PartialEq, Eq)]
struct Binding {
    kind: Option<Kind>,
    inode: u64,
    path: PathBuf,
}

/// Looks at the caller's mounts, then, where wanted, at those of one process of each other mount namespace.
pub(super) fn survey(survey: &mut Survey<'_>) {
    if survey.scope.mounts == Mounts::None {
        return;
    }
    let own = rustix::fs::stat("/proc/self/ns/mnt").map_or(0, |status| status.st_ino);
    look(survey, own, "self");
    if survey.scope.mounts == Mounts::Own {
        return;
    }
    for index in 0..survey.snapshot.namespaces.len() {
        let namespace = &survey.snapshot.namespaces[index];
        if namespace.kind != Kind::Mount || namespace.inode == own {
            continue;
        }
        let process = match (survey.snapshot.leader(namespace), namespace.keepers.first()) {
            (Some(process), _) => process.pid.to_string(),
            (None, Some(Keeper::Thread { pid, tid })) => format!("{pid}/task/{tid}"),
            _ => continue,
        };
        look(survey, namespace.inode, &process);
    }
}

fn look(survey: &mut Survey<'_>, mount_namespace: u64, process: &str) {
    let file = format!("/proc/{process}/mountinfo");
    let text = match fs::read(&file) {
        Ok(text) => text,
        Err(error) => {
            if error.kind() == std::io::ErrorKind::PermissionDenied {
                survey.snapshot.gap("mount namespaces", strerror(Errno::ACCESS));
            }
            return;
        }
    };
    let mut bindings = bindings(&text).peekable();
    if bindings.peek().is_none() {
        return;
    }
    let root = proc::root(process);
    for binding in bindings {
        let ns = root.as_ref().ok().and_then(|root| proc::open_inside(root, &binding.path).ok()).filter(|ns| {
            rustix::fs::fstat(ns).is_ok_and(|status| status.st_ino == binding.inode) && ioctl::is_nsfs(ns)
        });
        let Some(kind) = binding.kind.or_else(|| Kind::of_file(ns.as_ref()?).ok()?) else { continue };
        if !survey.scope.kinds.contains(kind) {
            continue;
        }
        let (index, _) = survey.snapshot.enter(kind, binding.inode);
        let covered = ns.is_none();
        survey.snapshot.keep(index, Keeper::Mount { namespace: mount_namespace, path: binding.path, covered });
        if let Some(ns) = ns {
            relations::relate(survey, index, ns.as_fd());
        }
    }
}

fn bindings(mountinfo: &[u8]) -> impl Iterator<Item = Binding> {
    mountinfo.split(|&byte| byte == b'\n').filter_map(|line| {
        // Cheap first: nearly no line is one.
        line.windows(8).position(|window| window == b" - nsfs ")?;
        let mount = Line::parse(line).filter(|mount| mount.kind == b"nsfs")?;
        let inode = inode_of(mount.root)?;
        let name = std::str::from_utf8(mount.root.split(|&byte| byte == b':').next()?).ok()?;
        Some(Binding { kind: Kind::from_proc_name(name), inode, path: mount.point() })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lines_that_mount_a_namespace_are_bindings() {
        let text = b"36 35 98:0 / /mnt rw,noatime master:1 - ext3 /dev/root rw\n\
            40 36 0:4 net:[4026532001] /run/netns/a\\040b rw shared:9 - nsfs nsfs rw\n";
        let found: Vec<Binding> = bindings(text).collect();
        assert_eq!(
            found,
            [Binding { kind: Some(Kind::Net), inode: 4_026_532_001, path: PathBuf::from("/run/netns/a b") }]
        );
    }
}
