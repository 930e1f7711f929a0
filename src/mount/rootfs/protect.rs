//! What of a container's root its processes must not see or write.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;

use super::kept::{cloned, created, open};
use super::{Away, Built};
use crate::error::{Attempt, Error, Result};
use crate::mount::apply::{attach, set_read_only};
use crate::mount::path;
use crate::sys::fd::Kept;
use crate::sys::mount::RDONLY;

impl Built<'_> {
    /// Masks, read-only paths, and what else must wait until hooks have had their say.
    ///
    /// # Errors
    /// Which path, and why.
    pub fn protect(&mut self) -> Result<()> {
        for path in &self.plan.readonly_paths {
            self.make_readonly(path).attempt(|| format!("make {} read-only", path.display()))?;
            self.close_surplus(&[]);
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

    /// Opens a path of the container, what is in its procfs or sysfs through that.
    fn find(&self, path: &Path) -> Result<Kept, Errno> {
        let below = |(place, system): &(_, Kept)| {
            let rest = path.strip_prefix::<&std::path::PathBuf>(place).ok()?;
            Some((*system, rest))
        };
        match self.systems.iter().rev().find_map(below) {
            Some((system, rest)) => open(system.as_fd(), rest, OFlags::PATH),
            None => open(self.root(), path, OFlags::PATH),
        }
    }

    /// Has paths in the procfs and sysfs begin in `tree`, where that was put over their roots or over what these are in.
    fn cover(&mut self, path: &Path, tree: Kept) {
        self.systems.retain_mut(|(place, system)| {
            let Ok(rest) = place.strip_prefix(path) else { return true };
            match if rest.as_os_str().is_empty() { Ok(tree) } else { open(tree.as_fd(), rest, OFlags::PATH) } {
                Ok(found) => *system = found,
                // It is no longer to be seen.
                Err(_) => return false,
            }
            true
        });
    }

    fn make_readonly(&mut self, path: &Path) -> Result<()> {
        let there = match self.find(path) {
            Err(Errno::NOENT) => return Ok(()),
            other => other.attempt(|| "open it")?,
        };
        let tree = cloned(there.as_fd(), Path::new(""), true, true).attempt(|| "clone it")?;
        set_read_only(tree.as_fd(), false).attempt(|| "set read-only")?;
        attach(tree.as_fd(), there.as_fd()).attempt(|| "attach it")?;
        self.cover(path, tree);
        Ok(())
    }

    /// Files are hidden by the host's /dev/null, folders by an empty read-only tmpfs, one for all of them.
    fn mask(&mut self) -> Result<()> {
        let mut null: Option<Kept> = None;
        let mut empty: Option<Kept> = None;
        for path in &self.plan.masked {
            self.close_surplus(&null.into_iter().chain(empty).collect::<Vec<_>>());
            let what = || format!("mask {}", path.display());
            let there = match self.find(path) {
                // A path below a file is as absent as one that is not there.
                Err(Errno::NOENT | Errno::NOTDIR) => continue,
                other => other.attempt(what)?,
            };
            if path::is_directory(there).attempt(what)? {
                let covers = self.systems.iter().any(|(place, _)| place.starts_with(path));
                match empty {
                    Some(first) => {
                        let tree = cloned(first.as_fd(), Path::new(""), false, true).attempt(what)?;
                        attach(tree.as_fd(), there.as_fd()).attempt(what)?;
                        self.cover(path, tree);
                    }
                    None => {
                        let mut words = vec!["nr_blocks=1".to_owned(), "nr_inodes=1".to_owned()];
                        words.extend(self.plan.label.iter().map(|label| format!("context=\"{label}\"")));
                        empty = Some(if covers {
                            // Through its place one would come to what it lies over.
                            let tree = created("tmpfs", "tmpfs", &words, RDONLY).attempt(what)?;
                            attach(tree.as_fd(), there.as_fd()).attempt(what)?;
                            self.cover(path, tree);
                            tree
                        } else {
                            self.mount_classic("tmpfs", "tmpfs", &words, RDONLY, there.as_fd()).attempt(what)?;
                            self.find(path).attempt(what)?
                        });
                    }
                }
            } else {
                let tree = match (&null, self.away.as_mut().and_then(Away::take_null)) {
                    (Some(null), _) => cloned(null.as_fd(), Path::new(""), false, true).attempt(what)?,
                    // Once it is mounted here, more of it can be cloned.
                    (None, Some(taken)) => *null.insert(taken),
                    (None, None) => {
                        let null = null.insert(open_null().map(Kept::from).attempt(what)?);
                        cloned(null.as_fd(), Path::new(""), false, true).attempt(what)?
                    }
                };
                attach(tree.as_fd(), there.as_fd()).attempt(what)?;
            }
        }
        Ok(())
    }
}

/// /dev/null of the host, and truly that.
pub(super) fn open_null() -> Result<OwnedFd> {
    let fd = rustix::fs::open("/dev/null", OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
        .attempt(|| "open /dev/null")?;
    let stat = rustix::fs::fstat(&fd).attempt(|| "look at /dev/null")?;
    let is_null =
        FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice && stat.st_rdev == rustix::fs::makedev(1, 3);
    if is_null { Ok(fd) } else { Err(Error::invalid("/dev/null is not the null device")) }
}
