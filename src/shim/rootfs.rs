//! The file systems that a container's root consists of, mounted below its bundle as containerd's snapshotters ask for them.

use std::os::fd::{AsFd, AsRawFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use rustix::mount::UnmountFlags;

use super::message::Mount;
use crate::error::{Attempt, Error, Result};
use crate::mount::apply::{self, Locked};
use crate::mount::options::Options;

/// What mount(2) takes of options: a page, less its last byte.
const LONGEST: usize = 4095;

/// Mounts all of `mounts` at `root`, in their order; for a process that is to end soon: it may leave its working directory.
///
/// # Errors
/// Which one failed, and why; none is left then.
pub(super) fn mount_all(mounts: &[Mount], root: &Path) -> Result<()> {
    if mounts.is_empty() {
        return Ok(());
    }
    match rustix::fs::mkdir(root, Mode::from_raw_mode(0o711)) {
        Ok(()) | Err(Errno::EXIST) => {}
        other => other.attempt(|| format!("create {}", root.display()))?,
    }
    for (done, mount) in mounts.iter().enumerate() {
        let mounted = mount_one(mount, root).attempt(|| {
            format!("mount the container's root: {} of type {} at {}", mount.source, mount.kind, root.display())
        });
        if let Err(error) = mounted {
            if done > 0 {
                let _ = unmount_all(root);
            }
            return Err(error);
        }
    }
    Ok(())
}

fn mount_one(mount: &Mount, root: &Path) -> Result<()> {
    let mut options = Options::parse(&mount.options)?;
    // Notes for who made the mount, not for the kernel.
    options.filesystem.retain(|word| !word.starts_with("X-") && !word.starts_with("x-"));
    if let Some(word) = options.filesystem.iter().find(|word| is_not_understood(word)) {
        return Err(Error::unsupported(format!("mount option {word} is not understood")));
    }
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut target = rustix::fs::open(root, flags, Mode::empty()).attempt(|| format!("open {}", root.display()))?;
    let below = mount.target.trim_start_matches('/');
    if !below.is_empty() {
        target = rustix::fs::openat2(&target, below, flags, Mode::empty(), ResolveFlags::IN_ROOT)
            .attempt(|| format!("open {} below it", mount.target))?;
    }
    if options.bind.is_some() || mount.kind == "bind" || mount.kind == "rbind" {
        options.bind.get_or_insert(mount.kind == "rbind");
        let tree = apply::clone_source(Path::new(&mount.source), &options)?;
        apply::set_bind_options(tree.as_fd(), &options, Locked::ByKernel)?;
        return apply::attach(tree.as_fd(), target.as_fd()).attempt(|| "attach it");
    }
    let mut words = options.filesystem.clone();
    if words.iter().map(|word| word.len() + 1).sum::<usize>() > LONGEST {
        shorten(&mut words)?;
    }
    let attributes = options.attributes.set;
    if attributes & crate::sys::mount::RDONLY != 0 {
        // The superblock too, as mount(8) has it: overlayfs has nothing to write to then.
        words.push("ro".to_owned());
    }
    let place = format!("/proc/self/fd/{}", target.as_fd().as_raw_fd());
    apply::classic_mount(&mount.kind, &mount.source, &words, attributes, &place)?;
    for (propagation, recursive) in options.propagation {
        let mounted = rustix::fs::open(root.join(below), flags, Mode::empty()).attempt(|| "open the mount")?;
        apply::set_propagation(mounted.as_fd(), propagation, recursive).attempt(|| "change its propagation")?;
    }
    Ok(())
}

/// What only others do: a loop device to attach, ids to map.
fn is_not_understood(word: &str) -> bool {
    word == "loop" || word.starts_with("uidmap=") || word.starts_with("gidmap=")
}

/// Makes the paths of overlayfs's layers relative to the folder that they have in common, which becomes the working
/// directory.
fn shorten(words: &mut [String]) -> Result<()> {
    let Some(lower) =
        words.iter_mut().find_map(|word| word.strip_prefix("lowerdir=").map(str::to_owned).map(|l| (word, l)))
    else {
        return Ok(());
    };
    let (word, layers) = lower;
    let layers: Vec<&str> = layers.split(':').collect();
    let common = common_folder(&layers);
    rustix::process::chdir(&common).attempt(|| format!("change to {}", common.display()))?;
    let relative = |layer: &&str| Path::new(layer).strip_prefix(&common).ok()?.to_str().map(str::to_owned);
    let relative = layers.iter().map(relative).collect::<Option<Vec<_>>>();
    *word = format!("lowerdir={}", relative.unwrap_or_default().join(":"));
    Ok(())
}

/// The folder that all paths are below.
fn common_folder(paths: &[&str]) -> PathBuf {
    let mut common = Path::new(paths[0]).parent().unwrap_or(Path::new("/")).to_owned();
    for path in &paths[1..] {
        while !Path::new(path).parent().is_some_and(|folder| folder.starts_with(&common)) && common.pop() {}
    }
    common
}

/// How long something that is about to end may keep a mount busy.
const PATIENCE: Duration = Duration::from_secs(2);

/// Unmounts all that is mounted at `root`, one over the other.
///
/// # Errors
/// As umount(2); but what stays busy is detached, and goes when nobody uses it any more.
pub(super) fn unmount_all(root: &Path) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match rustix::mount::unmount(root, UnmountFlags::NOFOLLOW) {
            Ok(()) | Err(Errno::INTR) => {}
            // Nothing is mounted there, or nothing is there.
            Err(Errno::INVAL | Errno::NOENT | Errno::NOTDIR) => return Ok(()),
            Err(Errno::BUSY) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(10)),
            Err(Errno::BUSY) => {
                log::warn!("{} stays busy: it is detached", root.display());
                rustix::mount::unmount(root, UnmountFlags::NOFOLLOW | UnmountFlags::DETACH)
                    .attempt(|| format!("detach {}", root.display()))?;
            }
            Err(errno) => return Err(Error::os(errno, format!("unmount {}", root.display()))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_have_the_deepest_folder_in_common() {
        let layers = ["/var/lib/snapshots/1/fs", "/var/lib/snapshots/22/fs", "/var/lib/snapshots/3/fs"];
        assert_eq!(common_folder(&layers), Path::new("/var/lib/snapshots"));
        assert_eq!(common_folder(&["/a/b", "/c"]), Path::new("/"));
        assert_eq!(common_folder(&["/a/b"]), Path::new("/a"));
        assert_eq!(common_folder(&["/a/b/c", "/a/bc/d"]), Path::new("/a"));
    }
}
