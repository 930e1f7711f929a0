//! /dev of a container: nodes, links, and its console.

use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Uid};
use rustix::io::Errno;

use super::away::has_kcore;
use super::kept::{cloned, parent};
use super::{Built, Device};
use crate::error::{Attempt, Error, Result};
use crate::mount::apply::attach;
use crate::sys::fd::Kept;

impl Built<'_> {
    pub(super) fn populate_dev(&self) -> Result<()> {
        let root = self.root();
        let dev = match self.fresh_dev {
            Some(dev) => dev,
            None => parent(root, Path::new("/dev/x"))?.0,
        };
        for device in &self.plan.devices {
            let what = || format!("create device {}", device.path.display());
            match device.path.strip_prefix("/dev") {
                Ok(name) if name.components().count() == 1 => self.create_device(device, dev.as_fd(), name),
                _ => parent(root, &device.path)
                    .and_then(|(folder, name)| self.create_device(device, folder.as_fd(), &name)),
            }
            .attempt(what)?;
            self.close_surplus(&[dev]);
        }
        let links = [
            ("fd", "/proc/self/fd"),
            ("stdin", "/proc/self/fd/0"),
            ("stdout", "/proc/self/fd/1"),
            ("stderr", "/proc/self/fd/2"),
        ];
        let kcore = self.away.as_ref().map_or_else(has_kcore, |away| away.has_kcore);
        for (name, to) in links.into_iter().chain(kcore.then_some(("core", "/proc/kcore"))) {
            match rustix::fs::symlinkat(to, dev, name) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(errno) => return Err(Error::os(errno, format!("link /dev/{name} to {to}"))),
            }
        }
        // Only the devpts of the container, whatever the image brought.
        match rustix::fs::symlinkat("pts/ptmx", dev, "ptmx") {
            Err(Errno::EXIST) => {
                let _ = rustix::fs::unlinkat(dev, "ptmx", AtFlags::empty());
                rustix::fs::symlinkat("pts/ptmx", dev, "ptmx")
            }
            other => other,
        }
        .attempt(|| "link /dev/ptmx to pts/ptmx")
    }

    fn create_device(&self, device: &Device, folder: BorrowedFd<'_>, name: &Path) -> Result<()> {
        if self.plan.bind_devices && device.file_type != FileType::Fifo {
            return self.bind_device(device, folder, name);
        }
        let number = rustix::fs::makedev(device.major, device.minor);
        match rustix::fs::mknodat(folder, name, device.file_type, Mode::from_raw_mode(device.mode), number) {
            Ok(()) => {}
            Err(Errno::EXIST) => {
                let stat = rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW).attempt(|| "look at it")?;
                if FileType::from_raw_mode(stat.st_mode) == device.file_type && stat.st_rdev == number {
                    return Ok(());
                }
                return Err(Error::os(Errno::EXIST, "something else is there"));
            }
            // An unprivileged mount namespace of somebody's making, with the host's nodes in reach.
            Err(Errno::PERM) => return self.bind_device(device, folder, name),
            Err(errno) => return Err(Error::os(errno, "mknod")),
        }
        if (device.uid, device.gid) != (0, 0) {
            let (uid, gid) = (Some(Uid::from_raw(device.uid)), Some(Gid::from_raw(device.gid)));
            rustix::fs::chownat(folder, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW)
                .attempt(|| format!("give it to {}:{}", device.uid, device.gid))?;
        }
        Ok(())
    }

    fn bind_device(&self, device: &Device, folder: BorrowedFd<'_>, name: &Path) -> Result<()> {
        let of_host;
        let tree = match self.plan.made_devices.get(&device.path) {
            Some(made) => made.as_fd(),
            None => {
                of_host = self.device_of_host(device)?;
                of_host.as_fd()
            }
        };
        let flags = OFlags::CREATE | OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let place =
            rustix::fs::openat(folder, name, flags, Mode::empty()).attempt(|| "create a place for the host's")?;
        attach(tree.as_fd(), place.as_fd()).attempt(|| "attach the host's")
    }

    /// The host's node for a device, cloned: the one of the same path, or where that is another device, the one that udev lists
    /// by number. Its permissions and owner are the host's.
    fn device_of_host(&self, device: &Device) -> Result<Kept> {
        let number = rustix::fs::makedev(device.major, device.minor);
        let is_wanted = |tree: Kept| {
            let found = rustix::fs::fstat(tree)?;
            Ok::<_, Errno>(FileType::from_raw_mode(found.st_mode) == device.file_type && found.st_rdev == number)
        };
        let of_same_path = self.of_host(&device.path, false);
        if let Ok(tree) = of_same_path
            && is_wanted(tree).attempt(|| format!("look at the host's {}", device.path.display()))?
        {
            return Ok(tree);
        }
        let (list, kind) = match device.file_type {
            FileType::BlockDevice => ("block", "block"),
            _ => ("char", "character"),
        };
        let by_number = format!("/dev/{list}/{}:{}", device.major, device.minor);
        match self.of_host(Path::new(&by_number), false) {
            Ok(tree) if is_wanted(tree).unwrap_or(false) => return Ok(tree),
            _ => {}
        }
        let hint = "in a user namespace a device can only be bound, so the host needs a node for it";
        match of_same_path {
            Err(errno) => Err(Error::os(errno, format!("bind the host's {} ({hint})", device.path.display()))),
            Ok(_) => Err(Error::invalid(format!(
                "the host's {} is not {kind} device {}:{}, and there is no {by_number} ({hint})",
                device.path.display(),
                device.major,
                device.minor
            ))),
        }
    }

    /// Binds the container's end of a terminal on /dev/console.
    ///
    /// # Errors
    /// As open_tree(2) and move_mount(2).
    pub fn place_console(&self, terminal: BorrowedFd<'_>) -> Result<()> {
        let (dev, name) = parent(self.root(), Path::new("/dev/console"))?;
        let flags =
            OFlags::CREATE | OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK;
        let place = match rustix::fs::openat(dev, &name, flags, Mode::from_raw_mode(0o666)) {
            // A device node that is there may refuse to be opened; its place will do.
            Err(Errno::NXIO | Errno::IO | Errno::PERM | Errno::ACCESS | Errno::ROFS) => {
                rustix::fs::openat(dev, &name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
            }
            other => other,
        }
        .attempt(|| "create /dev/console")?;
        let tree = cloned(terminal, Path::new(""), false, true).attempt(|| "bind the terminal")?;
        attach(tree.as_fd(), place.as_fd()).attempt(|| "attach the terminal to /dev/console")
    }
}
