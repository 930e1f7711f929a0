//! One mount of a container: created or cloned while nobody sees it, given its options, then its place.

use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, XattrFlags};
use rustix::io::Errno;
use rustix::mount::MoveMountFlags;

use super::copy::copy_tree;
use super::kept::{cloned, cloned_source, created, open, open_or_create, parent};
use super::{Ask, Built, FOLDER, Hierarchy, Mount, Source, mount_at};
use crate::error::{Attempt, Error, Kind, Result};
use crate::mount::Options;
use crate::mount::apply::{
    Locked, attach, classic_mount, map_ids, needs_classic_mount, set_bind_options, set_options, set_read_only,
};
use crate::mount::options::for_kernel;
use crate::mount::path::{self, Create};
use crate::sys::fd::Kept;
use crate::sys::mount::{MountAttr, RDONLY, mount_setattr};

impl Built<'_> {
    /// Mounts the mount `at` of the plan.
    pub(super) fn mount(&mut self, at: usize, mount: &Mount, ask: &mut dyn FnMut(Ask<'_>) -> Result<()>) -> Result<()> {
        let options = &mount.options;
        if options.remount {
            return self.remount(mount);
        }
        // What it covers is no longer what a path leads to.
        self.systems.retain(|(place, _)| !place.starts_with(&mount.target));
        match &mount.source {
            Source::New { fstype, device } => self.mount_new(mount, fstype, device),
            Source::Bind(source) => {
                if options.copy_symlink && self.copy_symlink(source, &mount.target)? {
                    return Ok(());
                }
                let taken = match &mut self.away {
                    Some(away) => away.take_source(at, options)?,
                    None => None,
                };
                let tree = match taken {
                    Some(tree) => tree,
                    None => cloned_source(source, options)?,
                };
                if mount.idmap.is_some() && self.plan.parent_maps_ids {
                    ask(Ask::MapIds(tree.as_fd(), at))?;
                }
                self.place(tree.as_fd(), mount, false)
            }
            Source::Cloned { tree, .. } => self.place(Kept::of_parent(tree).as_fd(), mount, false),
            Source::CgroupV1(hierarchies) => self.mount_cgroup_v1(mount, hierarchies),
            Source::CgroupV2 { fallback } => self.mount_cgroup_v2(mount, fallback),
            Source::CgroupV2Bound(tree) => {
                let tree = self.of_host(tree, true).attempt(|| format!("bind {}", tree.display()))?;
                self.place(tree.as_fd(), mount, false)
            }
        }
    }

    /// Sets the options of a mount and gives it its place.
    fn place(&self, tree: BorrowedFd<'_>, mount: &Mount, is_new: bool) -> Result<()> {
        if let Some(userns) = mount.idmap.as_ref().filter(|_| !self.plan.parent_maps_ids) {
            map_ids(tree, mount.options.idmap == Some(true), userns.as_fd())?;
        }
        match &mount.source {
            _ if is_new => set_options(tree, &mount.options, true),
            Source::Cloned { locked, .. } => set_bind_options(tree, &mount.options, *locked),
            _ => set_bind_options(tree, &mount.options, Locked::ByKernel),
        }?;
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

    pub(super) fn target(&self, mount: &Mount, create: Create) -> Result<Kept> {
        if mount.options.target_nofollow {
            let (folder, name) = parent(self.root(), &mount.target)?;
            match rustix::fs::openat(folder, &name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty()) {
                Err(Errno::NOENT) => {}
                other => return other.map(Kept::from).attempt(|| format!("open {}", mount.target.display())),
            }
        }
        let mode = if create == Create::Directory { FOLDER } else { Mode::from_raw_mode(0o644) };
        open_or_create(self.root(), &mount.target, create, mode)
    }

    /// The place of a new file system.
    fn place_of_new(&self, mount: &Mount, fstype: &str) -> Result<Place> {
        if matches!(fstype, "proc" | "sysfs") {
            return self.target_of_system(mount, fstype).map(Place::Held);
        }
        if let (Some(dev), Ok(name)) = (self.fresh_dev, mount.target.strip_prefix("/dev"))
            && name.components().count() == 1
            && rustix::fs::mkdirat(dev, name, FOLDER).is_ok()
        {
            return Ok(Place::InDev(dev, name.to_owned()));
        }
        self.target(mount, Create::Directory).map(Place::Held)
    }

    /// [`classic_mount`](crate::mount::apply::classic_mount) there.
    fn mount_at_place(
        &mut self,
        fstype: &str,
        device: &str,
        words: &[String],
        attributes: u64,
        place: &Place,
    ) -> Result<()> {
        match place {
            Place::Held(place) => self.mount_classic(fstype, device, words, attributes, place.as_fd()),
            Place::InDev(dev, name) => {
                self.enter(dev.as_fd())?;
                classic_mount(fstype, device, words, attributes, name)
            }
        }
    }

    fn copy_symlink(&self, source: &Path, target: &Path) -> Result<bool> {
        let Ok(link) = rustix::fs::readlink(source, Vec::new()) else { return Ok(false) };
        let (folder, name) = parent(self.root(), target)?;
        match rustix::fs::symlinkat(&*link, folder, &name) {
            Ok(()) => Ok(true),
            Err(Errno::EXIST) => match rustix::fs::readlinkat(folder, &name, Vec::new()) {
                Ok(there) if there == link => Ok(true),
                _ => Err(Error::os(Errno::EXIST, format!("create link {}", target.display()))),
            },
            Err(errno) => Err(Error::os(errno, format!("create link {}", target.display()))),
        }
    }

    fn mount_new(&mut self, mount: &Mount, fstype: &str, device: &str) -> Result<()> {
        let options = &mount.options;
        let words = self.words_of_new(mount, fstype, device)?;
        // A tmpfs on /dev is filled first, and so is one that takes a copy of what it hides.
        let late_readonly =
            options.read_only() && fstype == "tmpfs" && (options.tmpcopyup || mount.target == Path::new("/dev"));
        let mut attributes = options.attributes.set;
        if late_readonly {
            attributes &= !RDONLY;
        }
        let place = self.place_of_new(mount, fstype)?;
        let label = self.plan.label.as_deref().filter(|_| fstype == "mqueue");
        // One call does for most what six to eight do by fsconfig(2); these can say more, also of what went wrong.
        let is_plain = options.recursive == MountAttr::default()
            && options.propagation.is_empty()
            && mount.idmap.is_none()
            && label.is_none()
            && !options.tmpcopyup
            && !late_readonly;
        if is_plain && self.mount_at_place(fstype, device, &words, attributes, &place).is_ok() {
            return self.note_new(mount, fstype);
        }
        if needs_classic_mount(&words) {
            self.mount_at_place(fstype, device, &words, attributes, &place)?;
            let mounted = open(self.root(), &mount.target, OFlags::PATH).attempt(|| "open what was mounted")?;
            return set_options(mounted.as_fd(), options, false);
        }
        let target = place.open()?;
        let tree = match created(fstype, device, &words, attributes) {
            // A sysfs shows a network namespace, and only its owner may mount one. The host's is the same view then.
            Err(error) if fstype == "sysfs" && error.errno() == Some(Errno::PERM) => {
                let tree = self.of_host(Path::new("/sys"), true).map_err(|_| error)?;
                set_options(tree.as_fd(), options, false)?;
                tree
            }
            other => other?,
        };
        if let Some(label) = label {
            label_root(tree.as_fd(), label)?;
        }
        if options.tmpcopyup {
            copy_tree(target.as_fd(), tree.as_fd()).attempt(|| "copy what the tmpfs hides")?;
        }
        if let Some(userns) = &mount.idmap {
            map_ids(tree.as_fd(), options.idmap == Some(true), userns.as_fd())?;
        }
        set_options(tree.as_fd(), options, true)?;
        attach(tree.as_fd(), target.as_fd()).attempt(|| "attach the mount")?;
        if late_readonly && mount.target == Path::new("/dev") {
            self.late_readonly.push(tree);
        } else if late_readonly {
            set_read_only(tree.as_fd(), false).attempt(|| "make the tmpfs read-only")?;
        } else if matches!(fstype, "proc" | "sysfs") {
            self.keep_system(mount, fstype, tree)?;
        }
        Ok(())
    }

    /// What a new file system is told: its options, and what follows from where it is to be.
    fn words_of_new(&self, mount: &Mount, fstype: &str, device: &str) -> Result<Vec<String>> {
        let mut words = mount.options.filesystem.clone();
        if let Some(label) = self.plan.label.as_ref().filter(|_| takes_label(fstype)) {
            words.push(format!("context=\"{label}\""));
        }
        // On a device, read-only is the superblock's business too: it keeps a journal from being replayed.
        if mount.options.read_only() && device.starts_with('/') {
            words.push("ro".to_owned());
        }
        if fstype == "tmpfs" && !words.iter().any(|word| word.starts_with("mode=")) {
            // What a folder that is there allows, rather than everything to everybody.
            match open(self.root(), &mount.target, OFlags::PATH) {
                Err(Errno::NOENT) => {}
                there => {
                    let stat = there.and_then(rustix::fs::fstat).attempt(|| "look at the target")?;
                    words.push(format!("mode={:o}", stat.st_mode & 0o7777));
                }
            }
        }
        Ok(words)
    }

    /// Opens what mount(2) has just mounted, if it is needed again.
    fn note_new(&mut self, mount: &Mount, fstype: &str) -> Result<()> {
        if matches!(fstype, "proc" | "sysfs") {
            let system = open(self.root(), &mount.target, OFlags::PATH).attempt(|| "open what was mounted")?;
            self.keep_system(mount, fstype, system)?;
        } else if mount.target == Path::new("/dev") {
            self.fresh_dev = Some(open(self.root(), &mount.target, OFlags::PATH).attempt(|| "open the new /dev")?);
        }
        Ok(())
    }

    /// Keeps the root of a new procfs or sysfs, if that is what was found at its place.
    fn keep_system(&mut self, mount: &Mount, fstype: &str, system: Kept) -> Result<()> {
        let magic = if fstype == "proc" { rustix::fs::PROC_SUPER_MAGIC } else { SYSFS_MAGIC };
        if rustix::fs::fstatfs(system).attempt(|| "look at what was mounted")?.f_type != magic {
            return Err(Error::invalid("something else is there: the root is being changed by somebody"));
        }
        self.systems.push((mount.target.clone(), system));
        Ok(())
    }

    /// The place of a procfs or sysfs. These decide what programs believe of the system: a link could give them a place of
    /// the image's choice (CVE-2023-27561, CVE-2019-19921).
    pub(super) fn target_of_system(&self, mount: &Mount, fstype: &str) -> Result<Kept> {
        let relative = mount.target.strip_prefix("/").unwrap_or(&mount.target);
        let no_links = ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        match rustix::fs::openat2(self.root(), relative, flags, Mode::empty(), no_links) {
            Ok(place) => Ok(place.into()),
            Err(Errno::NOENT) => self.target(mount, Create::Directory),
            Err(Errno::LOOP | Errno::NOTDIR) => Err(Error::invalid(format!(
                "filesystem {fstype:?} must be mounted on ordinary directory: {} is a link or no directory",
                mount.target.display()
            ))),
            Err(errno) => Err(Error::os(errno, format!("open {}", mount.target.display()))),
        }
    }

    fn remount(&self, mount: &Mount) -> Result<()> {
        let there =
            open(self.root(), &mount.target, OFlags::PATH).attempt(|| format!("open {}", mount.target.display()))?;
        if mount_at(there.as_fd()).attempt(|| format!("look at {}", mount.target.display()))?.is_none() {
            return Err(Error::os(Errno::INVAL, "remount what is no mount"));
        }
        set_options(there.as_fd(), &mount.options, false)
    }

    fn mount_cgroup_v1(&mut self, mount: &Mount, hierarchies: &[Hierarchy]) -> Result<()> {
        // The tmpfs must take folders and links before it may become read-only.
        let folder = created("tmpfs", "tmpfs", &["mode=755".to_owned()], mount.options.attributes.set & !RDONLY)?;
        set_options(folder.as_fd(), &Options { attributes: MountAttr::default(), ..mount.options.clone() }, true)?;
        let target = self.target(mount, Create::Directory)?;
        attach(folder.as_fd(), target.as_fd()).attempt(|| "attach the tmpfs for the cgroup hierarchies")?;
        for hierarchy in hierarchies {
            let what = || format!("cgroup hierarchy {}", hierarchy.name);
            rustix::fs::mkdirat(folder, &hierarchy.name, FOLDER).attempt(what)?;
            let tree = match &hierarchy.options {
                Some(words) => {
                    let words: Vec<String> = words.split(',').map(str::to_owned).collect();
                    created("cgroup", "cgroup", &words, 0).attempt(what)?
                }
                None => match (cloned(CWD, &hierarchy.path, true, true), &hierarchy.fallback) {
                    (Err(Errno::NOENT), Some(fallback)) => cloned(CWD, fallback, true, true),
                    (tree, _) => tree,
                }
                .attempt(what)?,
            };
            // Nobody else knows this tmpfs yet: names in it are what was made here.
            let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
            rustix::mount::move_mount(tree, "", folder, &hierarchy.name, flags).attempt(what)?;
            for link in &hierarchy.links {
                match rustix::fs::symlinkat(&hierarchy.name, folder, link) {
                    Ok(()) | Err(Errno::EXIST) => {}
                    Err(errno) => return Err(Error::os(errno, format!("link {link} to {}", hierarchy.name))),
                }
            }
        }
        mount_setattr(folder.as_fd(), true, &for_kernel(mount.options.attributes))
            .attempt(|| "set the options of the cgroup hierarchies")?;
        Ok(())
    }

    fn mount_cgroup_v2(&mut self, mount: &Mount, fallback: &Path) -> Result<()> {
        match created("cgroup2", "cgroup", &mount.options.filesystem, mount.options.attributes.set) {
            Ok(tree) => self.place(tree.as_fd(), mount, true),
            // Without privilege over the cgroup namespace only what is there can be shown.
            Err(error) if matches!(error.errno(), Some(Errno::PERM | Errno::BUSY)) || error.kind() == Kind::Os => {
                let tree = self.of_host(fallback, true).map_err(|_| error)?;
                self.place(tree.as_fd(), mount, false)
            }
            Err(error) => Err(error),
        }
    }
}

/// Where a new file system goes.
enum Place {
    /// A folder held open.
    Held(Kept),
    /// A folder that was just made in a /dev that nobody else has touched.
    InDev(Kept, PathBuf),
}

impl Place {
    fn open(self) -> Result<Kept> {
        match self {
            Place::Held(place) => Ok(place),
            Place::InDev(dev, name) => {
                let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let opened = rustix::fs::openat(dev, &name, flags, Mode::empty());
                opened.map(Kept::from).attempt(|| format!("open /dev/{}", name.display()))
            }
        }
    }
}

/// `SYSFS_MAGIC` of linux/magic.h.
const SYSFS_MAGIC: rustix::fs::FsWord = 0x6265_6572;

/// Gives the root of a file system that takes no context its SELinux label, where there are any.
fn label_root(tree: BorrowedFd<'_>, label: &str) -> Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::openat(tree, ".", flags, Mode::empty()).attempt(|| "open the root of the mount")?;
    match rustix::fs::fsetxattr(root, "security.selinux", label.as_bytes(), XattrFlags::empty()) {
        // Without SELinux, or a policy that labels it.
        Err(Errno::NOTSUP) => Ok(()),
        other => other.attempt(|| format!("label the root of the mount {label}")),
    }
}

/// Whether a file system of this type can be given an SELinux context.
fn takes_label(fstype: &str) -> bool {
    !matches!(fstype, "proc" | "sysfs" | "cgroup" | "cgroup2" | "mqueue")
}
