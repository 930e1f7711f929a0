//! The root of a container, built in its own mount namespace: the tree at its place, mounts, devices, masks, and
//! pivot_root(2).
//!
//! Everything happens below one directory descriptor of the root; what is needed of the host is opened before.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode, OFlags, Uid};
use rustix::io::Errno;
use rustix::mount::UnmountFlags;

use super::apply::{
    attach, classic_mount, clone_source, clone_tree, map_ids, needs_classic_mount, new_filesystem, set_options,
    set_propagation, set_read_only,
};
use super::path::{self, Create};
use super::{Options, Propagation};
use crate::error::{Attempt, Error, Kind, Result};
use crate::sys::mount::RDONLY;

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
    Cloned(OwnedFd),
    /// The container's part of the cgroup v1 hierarchies, side by side below a tmpfs.
    CgroupV1(Vec<Hierarchy>),
    /// The cgroup v2 tree; where it may not be mounted, this folder of the host's is bound instead.
    CgroupV2 {
        /// The container's own cgroup as the host sees it.
        fallback: PathBuf,
    },
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
    /// The user namespace that an id-mapped mount refers to.
    pub idmap: Option<OwnedFd>,
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
    /// Default links and devices are wanted: /dev is not the host's.
    pub populate_dev: bool,
    /// Paths that show nothing.
    pub masked: Vec<PathBuf>,
    /// Paths that cannot be written.
    pub readonly_paths: Vec<PathBuf>,
    /// How the root becomes the root.
    pub pivot: Pivot,
    /// The SELinux label of files in new file systems.
    pub label: Option<String>,
}

/// A root under construction: in place on the host, not yet the root.
#[derive(Debug)]
pub struct Built<'a> {
    plan: &'a Rootfs,
    root: OwnedFd,
    /// New file systems that were wanted read-only and had to stay writable until now.
    late_readonly: Vec<OwnedFd>,
}

const FOLDER: Mode = Mode::from_raw_mode(0o755);

/// Puts the root in place in this mount namespace and mounts everything in it. `before_cgroup` is called before the first
/// mount that shows cgroups: until then, this process need not be in its own.
///
/// # Errors
/// What was mounted where, and why it failed.
pub fn build<'a>(plan: &'a Rootfs, before_cgroup: &mut dyn FnMut() -> Result<()>) -> Result<Built<'a>> {
    if plan.pivot == Pivot::Chroot {
        let root = rustix::fs::open(&plan.path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
            .attempt(|| format!("open root {}", plan.path.display()))?;
        return Ok(Built { plan, root, late_readonly: Vec::new() });
    }
    let (propagation, recursive) = plan.propagation.unwrap_or((Propagation::Slave, true));
    let host = rustix::fs::open("/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).attempt(|| "open /")?;
    set_propagation(host.as_fd(), propagation, recursive).attempt(|| "change the propagation of the host's mounts")?;
    let place = rustix::fs::open(&plan.path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .attempt(|| format!("open root {}", plan.path.display()))?;
    if propagation == Propagation::Shared || plan.propagation.is_some_and(|(_, recursive)| !recursive) {
        // pivot_root(2) refuses a shared parent, and the root itself must not appear on the host.
        make_parent_private(&plan.path)?;
    }
    let root = clone_tree(place.as_fd(), Path::new(""), true, true)
        .attempt(|| format!("bind root {}", plan.path.display()))?;
    if propagation == Propagation::Shared {
        set_propagation(root.as_fd(), Propagation::Private, false).attempt(|| "make the root private")?;
    }
    attach(root.as_fd(), place.as_fd()).attempt(|| format!("put root {} in its place", plan.path.display()))?;
    let mut built = Built { plan, root, late_readonly: Vec::new() };
    for mount in &plan.mounts {
        if matches!(mount.source, Source::CgroupV1(_) | Source::CgroupV2 { .. }) {
            before_cgroup()?;
        }
        built.mount(mount).attempt(|| format!("mount {} on {}", mount.source.describe(), mount.target.display()))?;
    }
    if plan.populate_dev {
        built.populate_dev()?;
    }
    Ok(built)
}

/// The mount that `path` is in becomes private: found from below, as the first folder that is the root of a mount.
fn make_parent_private(path: &Path) -> Result<()> {
    for folder in path.ancestors() {
        let fd = rustix::fs::open(folder, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
            .attempt(|| format!("open {}", folder.display()))?;
        match set_propagation(fd.as_fd(), Propagation::Private, false) {
            Err(Errno::INVAL) => {}
            other => return other.attempt(|| format!("make the mount at {} private", folder.display())),
        }
    }
    Err(Error::invalid(format!("no mount holds {}", path.display())))
}

impl Source {
    /// What messages call it.
    pub fn describe(&self) -> String {
        match self {
            Source::New { fstype, .. } => fstype.clone(),
            Source::Bind(path) => path.display().to_string(),
            Source::Cloned(_) => "bind".to_owned(),
            Source::CgroupV1(_) => "cgroup".to_owned(),
            Source::CgroupV2 { .. } => "cgroup2".to_owned(),
        }
    }
}

impl Built<'_> {
    /// The root's own descriptor.
    pub fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    fn mount(&mut self, mount: &Mount) -> Result<()> {
        let options = &mount.options;
        if options.remount {
            return self.remount(mount);
        }
        match &mount.source {
            Source::New { fstype, device } => self.mount_new(mount, fstype, device),
            Source::Bind(source) => {
                if options.copy_symlink && self.copy_symlink(source, &mount.target)? {
                    return Ok(());
                }
                let tree = clone_source(source, options)?;
                self.place(tree.as_fd(), mount, false)
            }
            Source::Cloned(tree) => self.place(tree.as_fd(), mount, false),
            Source::CgroupV1(hierarchies) => self.mount_cgroup_v1(mount, hierarchies),
            Source::CgroupV2 { fallback } => self.mount_cgroup_v2(mount, fallback),
        }
    }

    /// Sets the options of a mount and gives it its place.
    fn place(&self, tree: BorrowedFd<'_>, mount: &Mount, is_new: bool) -> Result<()> {
        if let Some(userns) = &mount.idmap {
            map_ids(tree, mount.options.idmap == Some(true), userns.as_fd())?;
        }
        set_options(tree, &mount.options, is_new)?;
        if mount.target == Path::new("/proc") {
            let found = rustix::fs::fstatfs(tree).attempt(|| "look at the source")?.f_type;
            if found != rustix::fs::PROC_SUPER_MAGIC {
                return Err(Error::invalid("/proc can only be a procfs"));
            }
        }
        let is_folder = path::is_directory(tree).attempt(|| "look at the source")?;
        let target = self.target(mount, if is_folder { Create::Directory } else { Create::File })?;
        attach(tree, target.as_fd()).attempt(|| "attach the mount")
    }

    fn target(&self, mount: &Mount, create: Create) -> Result<OwnedFd> {
        if mount.options.target_nofollow {
            let (folder, name) = path::parent(self.root(), &mount.target)?;
            match rustix::fs::openat(&folder, &name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty()) {
                Err(Errno::NOENT) => {}
                other => return other.attempt(|| format!("open {}", mount.target.display())),
            }
        }
        let mode = if create == Create::Directory { FOLDER } else { Mode::from_raw_mode(0o644) };
        path::open_or_create(self.root(), &mount.target, create, mode)
    }

    fn copy_symlink(&self, source: &Path, target: &Path) -> Result<bool> {
        let Ok(link) = rustix::fs::readlink(source, Vec::new()) else { return Ok(false) };
        let (folder, name) = path::parent(self.root(), target)?;
        match rustix::fs::symlinkat(&*link, &folder, &name) {
            Ok(()) => Ok(true),
            Err(Errno::EXIST) => match rustix::fs::readlinkat(&folder, &name, Vec::new()) {
                Ok(there) if there == link => Ok(true),
                _ => Err(Error::os(Errno::EXIST, format!("create link {}", target.display()))),
            },
            Err(errno) => Err(Error::os(errno, format!("create link {}", target.display()))),
        }
    }

    fn mount_new(&mut self, mount: &Mount, fstype: &str, device: &str) -> Result<()> {
        let options = &mount.options;
        if matches!(fstype, "proc" | "sysfs") {
            self.refuse_symlink(&mount.target, fstype)?;
        }
        let mut words = options.filesystem.clone();
        if let Some(label) = self.plan.label.as_ref().filter(|_| takes_label(fstype)) {
            words.push(format!("context=\"{label}\""));
        }
        // A tmpfs on /dev is filled first, and so is one that takes a copy of what it hides.
        let late_readonly =
            options.read_only() && fstype == "tmpfs" && (options.tmpcopyup || mount.target == Path::new("/dev"));
        let mut attributes = options.attributes.set;
        if late_readonly {
            attributes &= !RDONLY;
        }
        // On a device, read-only is the superblock's business too: it keeps a journal from being replayed.
        if options.read_only() && device.starts_with('/') {
            words.push("ro".to_owned());
        }
        let target = self.target(mount, Create::Directory)?;
        if needs_classic_mount(&words) {
            classic_mount(fstype, device, &words, attributes, target.as_fd())?;
            let mounted = path::open(self.root(), &mount.target, OFlags::PATH).attempt(|| "open what was mounted")?;
            return set_options(mounted.as_fd(), options, false);
        }
        if fstype == "tmpfs" && !words.iter().any(|word| word.starts_with("mode=")) {
            // What the folder underneath allows, rather than everything to everybody.
            let stat = rustix::fs::fstat(&target).attempt(|| "look at the target")?;
            words.push(format!("mode={:o}", stat.st_mode & 0o7777));
        }
        let tree = match new_filesystem(fstype, device, &words, attributes) {
            // A sysfs shows a network namespace, and only its owner may mount one. The host's is the same view then.
            Err(error) if fstype == "sysfs" && error.errno() == Some(Errno::PERM) => {
                let tree = clone_tree(CWD, Path::new("/sys"), true, true).map_err(|_| error)?;
                set_options(tree.as_fd(), options, false)?;
                tree
            }
            other => other?,
        };
        if options.tmpcopyup {
            copy_tree(target.as_fd(), tree.as_fd()).attempt(|| "copy what the tmpfs hides")?;
        }
        if let Some(userns) = &mount.idmap {
            map_ids(tree.as_fd(), options.idmap == Some(true), userns.as_fd())?;
        }
        set_options(tree.as_fd(), options, true)?;
        attach(tree.as_fd(), target.as_fd()).attempt(|| "attach the mount")?;
        if late_readonly {
            self.late_readonly.push(tree);
        }
        Ok(())
    }

    /// /proc and /sys decide what programs believe of the system: a link could give them a place of the image's choice
    /// (CVE-2023-27561, CVE-2019-19921).
    fn refuse_symlink(&self, target: &Path, fstype: &str) -> Result<()> {
        let relative = target.strip_prefix("/").unwrap_or(target);
        match rustix::fs::statat(&self.root, relative, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) != FileType::Directory => Err(Error::invalid(format!(
                "filesystem {fstype:?} must be mounted on ordinary directory: {} is none",
                target.display()
            ))),
            _ => Ok(()),
        }
    }

    fn remount(&self, mount: &Mount) -> Result<()> {
        let there = path::open(self.root(), &mount.target, OFlags::PATH)
            .attempt(|| format!("open {}", mount.target.display()))?;
        set_options(there.as_fd(), &mount.options, false)
    }

    fn mount_cgroup_v1(&mut self, mount: &Mount, hierarchies: &[Hierarchy]) -> Result<()> {
        // The tmpfs must take folders and links before it may become read-only.
        let attributes = mount.options.attributes;
        let folder = new_filesystem("tmpfs", "tmpfs", &["mode=755".to_owned()], attributes.set & !RDONLY)?;
        set_options(folder.as_fd(), &Options { attributes: Default::default(), ..mount.options.clone() }, true)?;
        let target = self.target(mount, Create::Directory)?;
        attach(folder.as_fd(), target.as_fd()).attempt(|| "attach the tmpfs for the cgroup hierarchies")?;
        for hierarchy in hierarchies {
            let what = || format!("cgroup hierarchy {}", hierarchy.name);
            rustix::fs::mkdirat(&folder, &hierarchy.name, FOLDER).attempt(what)?;
            let place = rustix::fs::openat(&folder, &hierarchy.name, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
                .attempt(what)?;
            let tree = match &hierarchy.options {
                Some(words) => {
                    let words: Vec<String> = words.split(',').map(str::to_owned).collect();
                    new_filesystem("cgroup", "cgroup", &words, attributes.set).attempt(what)?
                }
                None => {
                    let tree = clone_tree(CWD, &hierarchy.path, true, true).attempt(what)?;
                    set_options(tree.as_fd(), &Options { attributes, ..Options::default() }, false).attempt(what)?;
                    tree
                }
            };
            attach(tree.as_fd(), place.as_fd()).attempt(what)?;
            for link in &hierarchy.links {
                match rustix::fs::symlinkat(&hierarchy.name, &folder, link) {
                    Ok(()) | Err(Errno::EXIST) => {}
                    Err(errno) => return Err(Error::os(errno, format!("link {link} to {}", hierarchy.name))),
                }
            }
        }
        if mount.options.read_only() {
            set_read_only(folder.as_fd(), false).attempt(|| "make the cgroup folder read-only")?;
        }
        Ok(())
    }

    fn mount_cgroup_v2(&mut self, mount: &Mount, fallback: &Path) -> Result<()> {
        match new_filesystem("cgroup2", "cgroup", &mount.options.filesystem, mount.options.attributes.set) {
            Ok(tree) => self.place(tree.as_fd(), mount, true),
            // Without privilege over the cgroup namespace only what is there can be shown.
            Err(error) if matches!(error.errno(), Some(Errno::PERM | Errno::BUSY)) || error.kind() == Kind::Os => {
                let tree = clone_tree(CWD, fallback, true, true).map_err(|_| error)?;
                self.place(tree.as_fd(), mount, false)
            }
            Err(error) => Err(error),
        }
    }

    fn populate_dev(&self) -> Result<()> {
        let root = self.root();
        for device in &self.plan.devices {
            self.create_device(device).attempt(|| format!("create device {}", device.path.display()))?;
        }
        let (dev, _) = path::parent(root, Path::new("/dev/x"))?;
        let links = [
            ("fd", "/proc/self/fd"),
            ("stdin", "/proc/self/fd/0"),
            ("stdout", "/proc/self/fd/1"),
            ("stderr", "/proc/self/fd/2"),
        ];
        let kcore = rustix::fs::access("/proc/kcore", rustix::fs::Access::EXISTS).is_ok();
        for (name, to) in links.into_iter().chain(kcore.then_some(("core", "/proc/kcore"))) {
            match rustix::fs::symlinkat(to, &dev, name) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(errno) => return Err(Error::os(errno, format!("link /dev/{name} to {to}"))),
            }
        }
        // Only the devpts of the container, whatever the image brought.
        match rustix::fs::symlinkat("pts/ptmx", &dev, "ptmx") {
            Err(Errno::EXIST) => {
                let _ = rustix::fs::unlinkat(&dev, "ptmx", AtFlags::empty());
                rustix::fs::symlinkat("pts/ptmx", &dev, "ptmx")
            }
            other => other,
        }
        .attempt(|| "link /dev/ptmx to pts/ptmx")
    }

    fn create_device(&self, device: &Device) -> Result<()> {
        let (folder, name) = path::parent(self.root(), &device.path)?;
        if self.plan.bind_devices && device.file_type != FileType::Fifo {
            return self.bind_device(device, folder.as_fd(), &name);
        }
        let number = rustix::fs::makedev(device.major, device.minor);
        match rustix::fs::mknodat(&folder, &name, device.file_type, Mode::from_raw_mode(device.mode), number) {
            Ok(()) => {}
            Err(Errno::EXIST) => {
                let stat = rustix::fs::statat(&folder, &name, AtFlags::SYMLINK_NOFOLLOW).attempt(|| "look at it")?;
                if FileType::from_raw_mode(stat.st_mode) == device.file_type && stat.st_rdev == number {
                    return Ok(());
                }
                return Err(Error::os(Errno::EXIST, "something else is there"));
            }
            // An unprivileged mount namespace of somebody's making, with the host's nodes in reach.
            Err(Errno::PERM) => return self.bind_device(device, folder.as_fd(), &name),
            Err(errno) => return Err(Error::os(errno, "mknod")),
        }
        if (device.uid, device.gid) != (0, 0) {
            let (uid, gid) = (Some(Uid::from_raw(device.uid)), Some(Gid::from_raw(device.gid)));
            rustix::fs::chownat(&folder, &name, uid, gid, AtFlags::SYMLINK_NOFOLLOW)
                .attempt(|| format!("give it to {}:{}", device.uid, device.gid))?;
        }
        Ok(())
    }

    fn bind_device(&self, device: &Device, folder: BorrowedFd<'_>, name: &Path) -> Result<()> {
        let tree = clone_tree(CWD, &device.path, false, true).attempt(|| "bind the host's")?;
        let flags = OFlags::CREATE | OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let place =
            rustix::fs::openat(folder, name, flags, Mode::empty()).attempt(|| "create a place for the host's")?;
        attach(tree.as_fd(), place.as_fd()).attempt(|| "attach the host's")
    }

    /// Makes sure that there is a folder at `path`.
    ///
    /// # Errors
    /// As mkdirat(2).
    pub fn make_folder(&self, path: &Path) -> Result<()> {
        match path::open_or_create(self.root(), path, Create::Directory, FOLDER) {
            // What is on a read-only file system is as it is; whoever needs the folder will say so.
            Err(error) if error.errno() == Some(Errno::ROFS) => Ok(()),
            other => other.map(drop),
        }
    }

    /// Binds the container's end of a terminal on /dev/console.
    ///
    /// # Errors
    /// As open_tree(2) and move_mount(2).
    pub fn place_console(&self, terminal: BorrowedFd<'_>) -> Result<()> {
        let (dev, name) = path::parent(self.root(), Path::new("/dev/console"))?;
        let flags =
            OFlags::CREATE | OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK;
        let place = match rustix::fs::openat(&dev, &name, flags, Mode::from_raw_mode(0o666)) {
            // A device node that is there may refuse to be opened; its place will do.
            Err(Errno::NXIO | Errno::IO | Errno::PERM | Errno::ACCESS | Errno::ROFS) => {
                rustix::fs::openat(&dev, &name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
            }
            other => other,
        }
        .attempt(|| "create /dev/console")?;
        let tree = clone_tree(terminal, Path::new(""), false, true).attempt(|| "bind the terminal")?;
        attach(tree.as_fd(), place.as_fd()).attempt(|| "attach the terminal to /dev/console")
    }

    /// Masks, read-only paths, and what else must wait until hooks have had their say.
    ///
    /// # Errors
    /// Which path, and why.
    pub fn protect(&self) -> Result<()> {
        for path in &self.plan.readonly_paths {
            self.make_readonly(path).attempt(|| format!("make {} read-only", path.display()))?;
        }
        self.mask()?;
        for mount in &self.late_readonly {
            set_read_only(mount.as_fd(), false).attempt(|| "make a tmpfs read-only")?;
        }
        if self.plan.readonly {
            set_read_only(self.root(), false).attempt(|| "make the root read-only")?;
        }
        Ok(())
    }

    fn make_readonly(&self, path: &Path) -> Result<()> {
        let there = match path::open(self.root(), path, OFlags::PATH) {
            Err(Errno::NOENT) => return Ok(()),
            other => other.attempt(|| "open it")?,
        };
        let tree = clone_tree(there.as_fd(), Path::new(""), true, true).attempt(|| "clone it")?;
        set_read_only(tree.as_fd(), false).attempt(|| "set read-only")?;
        attach(tree.as_fd(), there.as_fd()).attempt(|| "attach it")
    }

    /// Files are hidden by the host's /dev/null, folders by an empty read-only tmpfs, one for all of them.
    fn mask(&self) -> Result<()> {
        let mut null = None;
        let mut empty: Option<OwnedFd> = None;
        for path in &self.plan.masked {
            let what = || format!("mask {}", path.display());
            let there = match path::open(self.root(), path, OFlags::PATH) {
                // A path below a file is as absent as one that is not there.
                Err(Errno::NOENT | Errno::NOTDIR) => continue,
                other => other.attempt(what)?,
            };
            if path::is_directory(&there).attempt(what)? {
                let tree = match &empty {
                    Some(first) => clone_tree(first.as_fd(), Path::new(""), false, true).attempt(what)?,
                    None => {
                        let mut words = vec!["nr_blocks=1".to_owned(), "nr_inodes=1".to_owned()];
                        words.extend(self.plan.label.iter().map(|label| format!("context=\"{label}\"")));
                        new_filesystem("tmpfs", "tmpfs", &words, RDONLY).attempt(what)?
                    }
                };
                attach(tree.as_fd(), there.as_fd()).attempt(what)?;
                empty.get_or_insert(tree);
            } else {
                let null = match &null {
                    Some(null) => null,
                    None => null.insert(open_null().attempt(what)?),
                };
                let tree = clone_tree(OwnedFd::as_fd(null), Path::new(""), false, true).attempt(what)?;
                attach(tree.as_fd(), there.as_fd()).attempt(what)?;
            }
        }
        Ok(())
    }

    /// Makes the root the root of this process, and leaves nothing of the host's mounts.
    ///
    /// # Errors
    /// As pivot_root(2): `EINVAL` on an initial root file system (`--no-pivot` is for these).
    pub fn pivot(self) -> Result<()> {
        match self.plan.pivot {
            Pivot::PivotRoot => {
                rustix::process::fchdir(&self.root).attempt(|| "enter the root")?;
                rustix::process::pivot_root(".", ".")
                    .attempt(|| format!("pivot_root to {}", self.plan.path.display()))?;
                if self.plan.propagation.is_some_and(|(propagation, _)| propagation == Propagation::Shared) {
                    // Unmounting must not travel to the host.
                    rustix::mount::mount_change(
                        ".",
                        rustix::mount::MountPropagationFlags::DOWNSTREAM | rustix::mount::MountPropagationFlags::REC,
                    )
                    .attempt(|| "make the old root a slave")?;
                }
                rustix::mount::unmount(".", UnmountFlags::DETACH).attempt(|| "unmount the old root")?;
            }
            Pivot::Move => {
                hide_system_mounts(&self.plan.path);
                rustix::process::fchdir(&self.root).attempt(|| "enter the root")?;
                let host = rustix::fs::open("/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).attempt(|| "open /")?;
                attach(self.root.as_fd(), host.as_fd()).attempt(|| "move the root over the old one")?;
                rustix::process::chroot(".").attempt(|| "chroot to the root")?;
            }
            Pivot::Chroot => {
                rustix::process::fchdir(&self.root).attempt(|| "enter the root")?;
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
    let Ok(mounts) = std::fs::read_to_string("/proc/self/mountinfo") else { return };
    let below_proc_or_sys: Vec<&str> = mounts
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .filter(|point| {
            (point.starts_with("/proc") || point.starts_with("/sys")) && !Path::new(point).starts_with(root)
        })
        .collect();
    for point in below_proc_or_sys.into_iter().rev() {
        let _ = rustix::mount::unmount(point, UnmountFlags::DETACH);
    }
}

/// /dev/null of the host, and truly that.
fn open_null() -> Result<OwnedFd> {
    let fd = rustix::fs::open("/dev/null", OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
        .attempt(|| "open /dev/null")?;
    let stat = rustix::fs::fstat(&fd).attempt(|| "look at /dev/null")?;
    let is_null =
        FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice && stat.st_rdev == rustix::fs::makedev(1, 3);
    if is_null { Ok(fd) } else { Err(Error::invalid("/dev/null is not the null device")) }
}

/// Whether a file system of this type can be given an SELinux context.
fn takes_label(fstype: &str) -> bool {
    !matches!(fstype, "proc" | "sysfs" | "cgroup" | "cgroup2" | "mqueue" | "devpts")
}

/// Copies a folder's content, with owners, permissions and links, into another, both held open. Nothing is followed.
fn copy_tree(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> Result<()> {
    let folder = rustix::fs::openat(from, ".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .attempt(|| "open a folder")?;
    let mut entries = Vec::new();
    for entry in rustix::fs::Dir::new(folder).attempt(|| "read a folder")? {
        let entry = entry.attempt(|| "read a folder")?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            entries.push(entry.file_name().to_owned());
        }
    }
    for name in entries {
        let what = || format!("copy {}", name.to_string_lossy());
        let stat = rustix::fs::statat(from, &name, AtFlags::SYMLINK_NOFOLLOW).attempt(what)?;
        let mode = Mode::from_raw_mode(stat.st_mode);
        let open = |at: BorrowedFd<'_>, flags, mode| {
            rustix::fs::openat(at, &name, flags | OFlags::NOFOLLOW | OFlags::CLOEXEC, mode)
        };
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => {
                rustix::fs::mkdirat(to, &name, mode).attempt(what)?;
                let (source, copy) = (
                    open(from, OFlags::PATH | OFlags::DIRECTORY, Mode::empty()).attempt(what)?,
                    open(to, OFlags::PATH | OFlags::DIRECTORY, Mode::empty()).attempt(what)?,
                );
                copy_tree(source.as_fd(), copy.as_fd()).attempt(what)?;
            }
            FileType::RegularFile => {
                let mut source = std::fs::File::from(open(from, OFlags::RDONLY, Mode::empty()).attempt(what)?);
                let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
                let mut copy = std::fs::File::from(open(to, flags, mode).attempt(what)?);
                std::io::copy(&mut source, &mut copy).attempt(what)?;
            }
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(from, &name, Vec::new()).attempt(what)?;
                rustix::fs::symlinkat(&*target, to, &name).attempt(what)?;
            }
            other => rustix::fs::mknodat(to, &name, other, mode, stat.st_rdev).attempt(what)?,
        }
        let (uid, gid) = (Some(Uid::from_raw(stat.st_uid)), Some(Gid::from_raw(stat.st_gid)));
        rustix::fs::chownat(to, &name, uid, gid, AtFlags::SYMLINK_NOFOLLOW).attempt(what)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::Symlink {
            // chown clears set-id bits, and the umask took part in creation.
            rustix::fs::chmodat(to, &name, mode, AtFlags::empty()).attempt(what)?;
        }
    }
    Ok(())
}
