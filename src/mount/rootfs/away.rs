//! A mount namespace that begins with the container's root alone (`OPEN_TREE_NAMESPACE`, Linux 7.0). Nothing of the host's
//! mounts is copied, only to be unmounted again: a start costs the same however many there are.
//!
//! What the container needs of the host is cloned before, since the kernel clones only what is mounted in the caller's own
//! namespace. Where anything of this fails, nothing has happened yet, and the root is built the old way, which says why if
//! that fails too.
//!
//! `create` and `run` do not take this way yet: see docs/architecture.md.

use std::os::fd::AsFd;
use std::path::Path;

use rustix::fs::{Access, CWD, Mode, OFlags};
use rustix::io::Errno;

use super::kept::{cloned, cloned_source, place};
use super::protect::open_null;
use super::{Rootfs, Source};
use crate::error::{Attempt, Result};
use crate::mount::apply::{namespace_of_tree, set_propagation};
use crate::mount::{Options, Propagation};
use crate::sys::clone::setns;
use crate::sys::fd::{Kept, path_of};
use crate::sys::userns;

/// As many sources are taken along: each is a descriptor.
const MOST_SOURCES: usize = 100;

/// The new namespace, and what is taken there.
#[derive(Debug)]
pub struct Away {
    namespace: Kept,
    /// The namespace that is left, to come back to for what cannot be cloned yet, or is needed only when something fails.
    host: Kept,
    /// The source of each mount, where it is one of the host's.
    sources: Vec<Option<Kept>>,
    /// The host's /dev/null, if something is to be masked.
    null: Option<Kept>,
    /// Whether the host has /proc/kcore.
    pub(super) has_kcore: bool,
}

impl Away {
    /// Makes the namespace and clones what `plan` needs; `None` where the root is to be built in a copy of the host's
    /// namespace.
    pub fn prepare(plan: &Rootfs) -> Option<Away> {
        if !plan.alone
            || plan.mounts.iter().filter(|mount| matches!(mount.source, Source::Bind(_))).count() > MOST_SOURCES
        {
            return None;
        }
        // This first call tells whether the kernel can do it at all.
        let namespace = namespace_of_tree(&plan.path).map(Kept::from).ok()?;
        if userns::is_in_another() {
            return None;
        }
        let host = rustix::fs::open("/proc/self/ns/mnt", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
        let host = host.map(Kept::from).ok()?;
        let root = place(&plan.path, OFlags::DIRECTORY).ok()?;
        let root = path_of(root.as_fd()).ok()?;
        let mut sources = Vec::with_capacity(plan.mounts.len());
        for mount in &plan.mounts {
            sources.push(match &mount.source {
                Source::Bind(path) if !mount.options.remount => Some(source(path, &mount.options, &root)?),
                _ => None,
            });
        }
        let null = if plan.masked.is_empty() {
            None
        } else {
            let null = cloned(open_null().ok()?.as_fd(), Path::new(""), false, true).ok()?;
            // What is mounted over a mask in the container must not come to the host's /dev/null.
            set_propagation(null.as_fd(), Propagation::Private, false).ok()?;
            Some(null)
        };
        let has_kcore = has_kcore();
        Some(Away { namespace, host, sources, null, has_kcore })
    }

    /// Goes there, and returns its root, in which mount events travel as in a copy of the host's namespace.
    ///
    /// # Errors
    /// As setns(2).
    pub(super) fn enter(&self, plan: &Rootfs) -> Result<Kept> {
        setns(self.namespace.as_fd(), libc::CLONE_NEWNS as u32).attempt(|| "enter the new mount namespace")?;
        let root = place(Path::new("/"), OFlags::DIRECTORY)?;
        // What was cloned is a peer of what it was cloned from.
        set_propagation(root.as_fd(), Propagation::Slave, true).attempt(|| "cut the root off from the host")?;
        if plan.propagation.is_none() {
            set_propagation(root.as_fd(), Propagation::Private, false).attempt(|| "make the root private")?;
        }
        Ok(root)
    }

    /// The source of the mount with this index, no peer of what it was cloned from.
    ///
    /// # Errors
    /// As mount_setattr(2).
    pub(super) fn take_source(&mut self, at: usize, options: &Options) -> Result<Option<Kept>> {
        let Some(tree) = self.sources.get_mut(at).and_then(Option::take) else { return Ok(None) };
        let covers = |recursive: bool| recursive || options.bind != Some(true);
        let is_cut_off_later = options
            .propagation
            .iter()
            .any(|(propagation, recursive)| *propagation != Propagation::Shared && covers(*recursive));
        if !is_cut_off_later {
            set_propagation(tree.as_fd(), Propagation::Slave, true).attempt(|| "cut the source off from the host")?;
        }
        Ok(Some(tree))
    }

    /// The host's /dev/null, to be mounted once; the kernel clones more of it only from where that is.
    pub(super) fn take_null(&mut self) -> Option<Kept> {
        self.null.take()
    }

    /// A clone of a tree of the host, for which this process goes back there for a moment.
    ///
    /// # Errors
    /// As open_tree(2).
    pub(super) fn clone_of_host(&self, path: &Path, recursive: bool) -> Result<Kept, Errno> {
        setns(self.host.as_fd(), libc::CLONE_NEWNS as u32)?;
        let tree = cloned(CWD, path, recursive, true);
        if setns(self.namespace.as_fd(), libc::CLONE_NEWNS as u32).is_err() {
            // Nothing may go on where the host's mounts are: not even the word of what failed.
            std::process::abort();
        }
        let tree = tree?;
        set_propagation(tree.as_fd(), Propagation::Slave, true)?;
        Ok(tree)
    }

    /// What must stay open until it is used.
    pub(super) fn kept(&self) -> impl Iterator<Item = Kept> {
        self.sources.iter().copied().flatten().chain(self.null).chain([self.namespace, self.host])
    }
}

/// Whether the host's procfs has kcore, to which containers have a link.
pub(super) fn has_kcore() -> bool {
    rustix::fs::access("/proc/kcore", Access::EXISTS).is_ok()
}

/// The source of a bind mount, cloned; `None` where it cannot be, and where it is in the root, or the root in it: then it
/// would show what is mounted in the root by then.
fn source(path: &Path, options: &Options, root: &Path) -> Option<Kept> {
    let tree = cloned_source(path, options).ok()?;
    let nofollow = if options.source_nofollow { OFlags::NOFOLLOW } else { OFlags::empty() };
    let resolved = path_of(place(path, nofollow).ok()?.as_fd()).ok()?;
    (!resolved.starts_with(root) && !root.starts_with(&resolved)).then_some(tree)
}
