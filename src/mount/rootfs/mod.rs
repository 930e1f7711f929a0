//! The root of a container, built in its own mount namespace: the tree at its place, mounts, devices, masks, and
//! pivot_root(2).
//!
//! Everything happens below one directory descriptor of the root; what is needed of the host is opened before. The
//! process is on its way to execve(2): descriptors are [`Kept`] and go together.

mod away;
mod copy;
mod dev;
mod kept;
mod mounting;
mod protect;

use std::cell::Cell;
use std::collections::HashMap;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, StatxAttributes, StatxFlags};
use rustix::io::Errno;
use rustix::mount::UnmountFlags;

use super::apply::{Locked, attach, classic_mount, set_propagation};
use super::path::Create;
use super::{Options, Propagation};
use crate::error::{Attempt, Error, Result};
use crate::sys::fd::{Kept, close_surplus};
use crate::sys::mountinfo;
pub use away::Away;
use kept::{cloned, open_or_create, place};

/// What a mount shows.
#[derive(Debug)]
pub enum Source {
    /// A new file system of this type, with what mount(8) calls its device.
    New {
        /// As in /proc/filesystems.
        fstype: String,
        /// The device, or a name for show.
        device: String,
    },
    /// A tree of the host.
    Bind(PathBuf),
    /// A tree of the host that the parent has cloned already: for sources that the child may not open, and for id-mapped
    /// ones.
    Cloned {
        /// The tree, mounted nowhere.
        tree: OwnedFd,
        /// Whether the options may take away what the source has.
        locked: Locked,
    },
    /// The container's part of the cgroup v1 hierarchies, side by side below a tmpfs.
    CgroupV1(Vec<Hierarchy>),
    /// The cgroup v2 tree; where it may not be mounted, this folder of the host's is bound instead.
    CgroupV2 {
        /// The container's own cgroup as the host sees it.
        fallback: PathBuf,
    },
    /// The cgroup v2 tree, bound from where the host has it mounted.
    CgroupV2Bound(PathBuf),
}

/// One cgroup v1 hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hierarchy {
    /// The folder's name: `cpu,cpuacct`.
    pub name: String,
    /// Other names by which its controllers are known: `cpu`, `cpuacct`.
    pub links: Vec<String>,
    /// What a new mount of it is told: `cpu,cpuacct`, or `none,name=systemd`. `None` binds instead: without a cgroup
    /// namespace, a new mount would show the host's whole tree.
    pub options: Option<String>,
    /// The container's cgroup as the host sees it.
    pub path: PathBuf,
    /// Where the container is instead, when its own cgroup could not be made and may be done without.
    pub fallback: Option<PathBuf>,
}

/// One mount of a container.
#[derive(Debug)]
pub struct Mount {
    /// Where, in the container.
    pub target: PathBuf,
    /// What.
    pub source: Source,
    /// How.
    pub options: Options,
    /// The user namespace that an id-mapped mount refers to, which others may refer to too.
    pub idmap: Option<Rc<OwnedFd>>,
}

/// A device node or FIFO of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Where, in the container.
    pub path: PathBuf,
    /// Character, block or FIFO.
    pub file_type: FileType,
    /// Major number.
    pub major: u32,
    /// Minor number.
    pub minor: u32,
    /// Permissions.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// How the root becomes the root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pivot {
    /// pivot_root(2): nothing of the host stays mounted.
    PivotRoot,
    /// The root is moved over the old one: for an initial root file system, which pivot_root(2) refuses.
    Move,
    /// Only chroot(2): the container shares the caller's mount namespace.
    Chroot,
}

/// The root of a container and everything in it.
#[derive(Debug)]
pub struct Rootfs {
    /// The folder of the host that becomes the root.
    pub path: PathBuf,
    /// Nothing of it can be written.
    pub readonly: bool,
    /// How mount events travel between host and container.
    pub propagation: Option<(Propagation, bool)>,
    /// Mounts, in order.
    pub mounts: Vec<Mount>,
    /// Devices to create in /dev.
    pub devices: Vec<Device>,
    /// Devices are bound from the host: mknod(2) is not for user namespaces.
    pub bind_devices: bool,
    /// Nodes that the parent has made, for devices by their path, each mounted nowhere yet.
    pub made_devices: HashMap<PathBuf, OwnedFd>,
    /// Default links and devices are wanted: /dev is not the host's.
    pub populate_dev: bool,
    /// Paths that show nothing.
    pub masked: Vec<PathBuf>,
    /// Paths that cannot be written.
    pub readonly_paths: Vec<PathBuf>,
    /// The parent maps the ids of mounts: this process has no say in the host's file systems.
    pub parent_maps_ids: bool,
    /// How the root becomes the root.
    pub pivot: Pivot,
    /// It may be built in a mount namespace that begins with the root alone: nobody looks at the host's mounts in it.
    pub alone: bool,
    /// The SELinux label of files in new file systems.
    pub label: Option<String>,
}

/// What the build of a root needs of others.
#[derive(Debug)]
pub enum Ask<'a> {
    /// That this process is in its cgroup: what shows cgroups is mounted next.
    BeforeCgroup,
    /// That somebody with privilege over the host maps the ids of a mount, as the mount with this index of the plan says.
    MapIds(BorrowedFd<'a>, usize),
}

/// A root under construction: in place on the host, not yet the root.
#[derive(Debug)]
pub struct Built<'a> {
    plan: &'a Rootfs,
    root: Kept,
    /// New file systems that were wanted read-only and had to stay writable until now.
    late_readonly: Vec<Kept>,
    /// A /dev that was mounted here and nobody else has touched.
    fresh_dev: Option<Kept>,
    /// Roots of the procfs and sysfs that were mounted here, by their place: what is below is reached through them, so that
    /// nobody who can rename folders of the root has a say in it.
    systems: Vec<(PathBuf, Kept)>,
    /// It is the root already, in a namespace of its own tree alone.
    away: Option<Away>,
    /// The working directory, where it is the place of a mount, or holds it.
    here: Cell<Option<RawFd>>,
}

const FOLDER: Mode = Mode::from_raw_mode(0o755);

/// Puts the root in place in this mount namespace, or goes where it is alone, and mounts everything in it. `ask` is for
/// what is not in this process's power.
///
/// # Errors
/// What was mounted where, and why it failed.
pub fn build<'a>(
    plan: &'a Rootfs,
    away: Option<Away>,
    ask: &mut dyn FnMut(Ask<'_>) -> Result<()>,
) -> Result<Built<'a>> {
    if plan.pivot == Pivot::Chroot {
        return Ok(Built::new(plan, place(&plan.path, OFlags::DIRECTORY)?, None));
    }
    let root = match &away {
        Some(away) => away.enter(plan)?,
        None => put_in_place(plan)?,
    };
    let mut built = Built::new(plan, root, away);
    for (at, mount) in plan.mounts.iter().enumerate() {
        if matches!(mount.source, Source::CgroupV1(_) | Source::CgroupV2 { .. } | Source::CgroupV2Bound(_)) {
            ask(Ask::BeforeCgroup)?;
        }
        built
            .mount(at, mount, ask)
            .attempt(|| format!("mount {} on {}", mount.source.describe(), mount.target.display()))?;
        built.close_surplus(&[]);
    }
    if plan.populate_dev {
        built.populate_dev()?;
    }
    Ok(built)
}

/// Binds the root over its own place in this copy of the host's mount namespace.
fn put_in_place(plan: &Rootfs) -> Result<Kept> {
    let (propagation, recursive) = match plan.propagation {
        None => (Propagation::Slave, true),
        // The root is bound yet, and gets its own at the end.
        Some((Propagation::Unbindable, recursive)) => (Propagation::Private, recursive),
        Some(asked) => asked,
    };
    let host = place(Path::new("/"), OFlags::DIRECTORY)?;
    set_propagation(host.as_fd(), propagation, recursive).attempt(|| "change the propagation of the host's mounts")?;
    let under = place(&plan.path, OFlags::DIRECTORY)?;
    let root =
        cloned(under.as_fd(), Path::new(""), true, true).attempt(|| format!("bind root {}", plan.path.display()))?;
    if propagation == Propagation::Shared || plan.propagation.is_some_and(|(_, recursive)| !recursive) {
        // pivot_root(2) refuses a shared parent, and the root itself must not appear on the host.
        make_shared_parent_private(&plan.path)?;
    }
    if propagation != Propagation::Shared && !recursive {
        // The host's / may be another mount than the one that the root is in, which is what the root has its peers from.
        set_propagation(root.as_fd(), propagation, false).attempt(|| "set the propagation of the root")?;
    }
    if propagation == Propagation::Shared || plan.propagation.is_none() {
        // Else what the host mounts below it from now on would be mounted in here too.
        set_propagation(root.as_fd(), Propagation::Private, false).attempt(|| "make the root private")?;
    }
    attach(root.as_fd(), under.as_fd()).attempt(|| format!("put root {} in its place", plan.path.display()))?;
    Ok(root)
}

/// Puts the root at `at` in this mount namespace, with everything in it that its mounts need to be mounted on: for who then
/// mounts them without making that (CRIU). What is in a new file system is not made: it comes with that.
///
/// # Errors
/// What could not be made, and why.
pub fn prepare(plan: &Rootfs, at: &Path) -> Result<()> {
    let host = place(Path::new("/"), OFlags::DIRECTORY)?;
    set_propagation(host.as_fd(), Propagation::Slave, true)
        .attempt(|| "change the propagation of the host's mounts")?;
    let under = place(&plan.path, OFlags::DIRECTORY)?;
    let bound =
        || cloned(under.as_fd(), Path::new(""), true, true).attempt(|| format!("bind root {}", plan.path.display()));
    // Bind mounts hold what later ones are mounted on; nothing of them stays.
    let root = bound()?;
    attach(root.as_fd(), under.as_fd()).attempt(|| format!("put root {} in its place", plan.path.display()))?;
    let mut built = Built::new(plan, root, None);
    let mut new: Vec<&Path> = Vec::new();
    let is_below = |new: &[&Path], target: &Path| new.iter().any(|new| target != *new && target.starts_with(new));
    for (at, mount) in plan.mounts.iter().enumerate().filter(|(_, mount)| !mount.options.remount) {
        let in_new = is_below(&new, &mount.target);
        let what = || format!("prepare {} for a mount of {}", mount.target.display(), mount.source.describe());
        match &mount.source {
            _ if in_new => {}
            Source::Bind(_) | Source::Cloned { .. } => built.mount(at, mount, &mut |_| Ok(())).attempt(what)?,
            Source::New { fstype, .. } if matches!(fstype.as_str(), "proc" | "sysfs") => {
                built.target_of_system(mount, fstype).map(drop).attempt(what)?;
            }
            _ => built.target(mount, Create::Directory).map(drop).attempt(what)?,
        }
        if !matches!(mount.source, Source::Bind(_) | Source::Cloned { .. }) {
            new.push(&mount.target);
        }
        built.close_surplus(&[under]);
    }
    let placed = format!("/proc/self/fd/{}", built.root.as_fd().as_raw_fd());
    rustix::mount::unmount(placed.as_str(), UnmountFlags::DETACH).attempt(|| "unmount the root")?;
    attach(bound()?.as_fd(), place(at, OFlags::DIRECTORY)?.as_fd())
        .attempt(|| format!("put the root on {}", at.display()))
}

/// The mount that `path` is in becomes private, if it is shared: found from below, as the first folder that is the root of
/// a mount.
fn make_shared_parent_private(path: &Path) -> Result<()> {
    for folder in path.ancestors() {
        let fd = rustix::fs::open(folder, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
            .attempt(|| format!("open {}", folder.display()))?;
        if let Some(is_shared) = shares(fd.as_fd()).attempt(|| format!("look at {}", folder.display()))? {
            return if is_shared { set_propagation(fd.as_fd(), Propagation::Private, false) } else { Ok(()) }
                .attempt(|| format!("make the mount at {} private", folder.display()));
        }
    }
    Err(Error::invalid(format!("no mount holds {}", path.display())))
}

/// The id of the mount that has its root here, if one has.
fn mount_at(there: BorrowedFd<'_>) -> Result<Option<u64>, Errno> {
    let status = rustix::fs::statx(there, "", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID)?;
    Ok(status.stx_attributes.contains(StatxAttributes::MOUNT_ROOT).then_some(status.stx_mnt_id))
}

/// Whether the mount that has its root here is shared with others; `None` where no mount has.
fn shares(folder: BorrowedFd<'_>) -> Result<Option<bool>, Errno> {
    let Some(id) = mount_at(folder)? else { return Ok(None) };
    let mounts = mountinfo::read("self").map_err(|error| error.errno().unwrap_or(Errno::IO))?;
    Ok(Some(mountinfo::lines(&mounts).any(|mount| u64::from(mount.id) == id && mount.is_shared())))
}

impl Source {
    /// What messages call it.
    pub fn describe(&self) -> String {
        match self {
            Source::New { fstype, .. } => fstype.clone(),
            Source::Bind(path) => path.display().to_string(),
            Source::Cloned { .. } => "bind".to_owned(),
            Source::CgroupV1(_) => "cgroup".to_owned(),
            Source::CgroupV2 { .. } | Source::CgroupV2Bound(_) => "cgroup2".to_owned(),
        }
    }
}

impl<'a> Built<'a> {
    fn new(plan: &'a Rootfs, root: Kept, away: Option<Away>) -> Built<'a> {
        Built {
            plan,
            root,
            late_readonly: Vec::new(),
            fresh_dev: None,
            systems: Vec::new(),
            away,
            here: Cell::new(None),
        }
    }
}

impl Built<'_> {
    /// The root's own descriptor.
    pub fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// Closes what is no longer needed of the entries that are done, when that has become much; `more` stays too.
    fn close_surplus(&self, more: &[Kept]) {
        let systems = self.systems.iter().map(|(_, system)| *system);
        let away = self.away.iter().flat_map(Away::kept);
        let own =
            away.chain(systems).chain(self.late_readonly.iter().copied()).chain(self.fresh_dev).chain([self.root]);
        if close_surplus(own.chain(more.iter().copied())) {
            self.here.set(None);
        }
    }

    /// Makes sure that there is a folder at `path`.
    ///
    /// # Errors
    /// As mkdirat(2).
    pub fn make_folder(&self, path: &Path) -> Result<()> {
        match open_or_create(self.root(), path, Create::Directory, FOLDER) {
            // What is on a read-only file system is as it is; whoever needs the folder will say so.
            Err(error) if error.errno() == Some(Errno::ROFS) => Ok(()),
            other => other.map(drop),
        }
    }

    /// A clone of a tree of the host.
    fn of_host(&self, path: &Path, recursive: bool) -> Result<Kept, Errno> {
        match &self.away {
            Some(away) => {
                self.here.set(None);
                away.clone_of_host(path, recursive)
            }
            None => cloned(CWD, path, recursive, true),
        }
    }

    /// mount(2) takes a path: what is left of one when `folder` is the working directory.
    fn enter(&self, folder: BorrowedFd<'_>) -> Result<()> {
        if self.here.get() != Some(folder.as_raw_fd()) {
            rustix::process::fchdir(folder).attempt(|| "enter the place of a mount")?;
            self.here.set(Some(folder.as_raw_fd()));
        }
        Ok(())
    }

    /// [`classic_mount`] on a folder held open.
    fn mount_classic(
        &self,
        fstype: &str,
        source: &str,
        words: &[String],
        attributes: u64,
        target: BorrowedFd<'_>,
    ) -> Result<()> {
        if self.away.is_none() {
            let path = format!("/proc/self/fd/{}", target.as_raw_fd());
            return classic_mount(fstype, source, words, attributes, &path);
        }
        // There is no /proc here but the container's.
        self.enter(target)?;
        classic_mount(fstype, source, words, attributes, ".")
    }

    /// Makes the root the root of this process, and leaves nothing of the host's mounts.
    ///
    /// # Errors
    /// As pivot_root(2): `EINVAL` on an initial root file system (`--no-pivot` is for these).
    pub fn pivot(self) -> Result<()> {
        match self.plan.pivot {
            // It was from the beginning.
            _ if self.away.is_some() => {}
            Pivot::PivotRoot => {
                let old = place(Path::new("/"), OFlags::DIRECTORY)?;
                rustix::process::fchdir(self.root).attempt(|| "enter the root")?;
                rustix::process::pivot_root(".", ".")
                    .attempt(|| format!("pivot_root to {}", self.plan.path.display()))?;
                // The working directory is the new root, the old one lies over it. It is held by descriptor: unmounting a
                // tree that is still shared would unmount the host's.
                set_propagation(old.as_fd(), Propagation::Slave, true).attempt(|| "make the old root a slave")?;
                rustix::process::fchdir(old).attempt(|| "enter the old root")?;
                rustix::mount::unmount(".", UnmountFlags::DETACH).attempt(|| "unmount the old root")?;
            }
            Pivot::Move => {
                // Before anything is unmounted: nothing of that may reach the host.
                let host = place(Path::new("/"), OFlags::DIRECTORY)?;
                set_propagation(host.as_fd(), Propagation::Slave, true).attempt(|| "make the host's mounts slaves")?;
                hide_system_mounts(&self.plan.path);
                rustix::process::fchdir(self.root).attempt(|| "enter the root")?;
                let host = rustix::fs::open("/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).attempt(|| "open /")?;
                attach(self.root.as_fd(), host.as_fd()).attempt(|| "move the root over the old one")?;
                rustix::process::chroot(".").attempt(|| "chroot to the root")?;
            }
            Pivot::Chroot => {
                rustix::process::fchdir(self.root).attempt(|| "enter the root")?;
                rustix::process::chroot(".").attempt(|| "chroot to the root")?;
            }
        }
        rustix::process::chdir("/").attempt(|| "chdir to /")?;
        if let (Some((propagation, recursive)), true) = (self.plan.propagation, self.plan.pivot != Pivot::Chroot) {
            set_propagation(self.root.as_fd(), propagation, recursive).attempt(|| "set the propagation of the root")?;
        }
        Ok(())
    }
}

/// Moved over, the old root stays underneath: the host's full views of /proc and /sys must not be reachable through it.
fn hide_system_mounts(root: &Path) {
    let Ok(mounts) = mountinfo::read("self") else { return };
    let is_of_system = |point: &PathBuf| {
        let text = point.as_os_str().as_encoded_bytes();
        (text.starts_with(b"/proc") || text.starts_with(b"/sys")) && !point.starts_with(root)
    };
    for point in mountinfo::lines(&mounts).rev().map(|mount| mount.point()).filter(is_of_system) {
        let _ = rustix::mount::unmount(&point, UnmountFlags::DETACH);
    }
}
