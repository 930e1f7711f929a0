//! Paths inside a root that somebody else controls: opened and created through directory descriptors only, so that no
//! symbolic link, however it is swapped, leads out (openat2(2) with `RESOLVE_IN_ROOT`, Linux 5.6).

use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use crate::error::{Attempt, Error, Result};
use crate::sys::fd::path_of;

/// Resolution that stays below the root and follows no magic link of procfs.
const INSIDE: ResolveFlags = ResolveFlags::IN_ROOT.union(ResolveFlags::NO_MAGICLINKS);

/// Opens `path` inside `root`; absolute links and `..` mean the root.
///
/// # Errors
/// As openat2(2); `ELOOP` for a magic link.
pub fn open(root: BorrowedFd<'_>, path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
    let relative = path.strip_prefix("/").unwrap_or(path);
    let relative = if relative.as_os_str().is_empty() { Path::new(".") } else { relative };
    loop {
        match rustix::fs::openat2(root, relative, flags | OFlags::CLOEXEC, Mode::empty(), INSIDE) {
            // A rename raced with the resolution of "..": the kernel asks to try again.
            Err(Errno::AGAIN | Errno::INTR) => {}
            other => return other,
        }
    }
}

/// What is to be at a path, if nothing is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Create {
    /// A folder.
    Directory,
    /// An empty file.
    File,
}

/// Opens `path` inside `root` as a place (`O_PATH`), creating it and the folders above where they are missing.
/// Links are followed inside the root, dangling ones too.
///
/// # Errors
/// As openat2(2), mkdirat(2) and openat(2).
pub fn open_or_create(root: BorrowedFd<'_>, path: &Path, create: Create, mode: Mode) -> Result<OwnedFd> {
    match open(root, path, OFlags::PATH) {
        Err(Errno::NOENT) => match create_last(root, path, create, mode) {
            Some(created) => Ok(created),
            None => create_missing(root, path, create, mode),
        },
        other => other.attempt(|| format!("open {} in the container's root", path.display())),
    }
}

/// The common case: only the last component is missing. `None` when more is, or a dangling link is in the way.
fn create_last(root: BorrowedFd<'_>, path: &Path, create: Create, mode: Mode) -> Option<OwnedFd> {
    let name = path.file_name()?;
    let folder = open(root, path.parent()?, OFlags::PATH | OFlags::DIRECTORY).ok()?;
    if create == Create::File {
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        return rustix::fs::openat(&folder, name, flags, mode).ok();
    }
    rustix::fs::mkdirat(&folder, name, mode).ok()?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(&folder, name, flags, Mode::empty()).ok()
}

/// Goes down `path` component by component, following links by hand where they dangle.
fn create_missing(root: BorrowedFd<'_>, path: &Path, create: Create, mode: Mode) -> Result<OwnedFd> {
    let failed = |errno: Errno, done: &Path| {
        Error::os(errno, format!("create {} for {} in the container's root", done.display(), path.display()))
    };
    // Links are spliced into what is left to go; the limit is the kernel's own.
    let mut left: Vec<PathBuf> = components(path);
    let mut done = PathBuf::from("/");
    let mut links = 0;
    let mut here = open(root, Path::new("/"), OFlags::PATH).map_err(|errno| failed(errno, &done))?;
    while let Some(name) = left.pop() {
        if name == Path::new("..") {
            done.pop();
            here = open(root, &done, OFlags::PATH | OFlags::DIRECTORY).map_err(|errno| failed(errno, &done))?;
            continue;
        }
        let next = done.join(&name);
        let is_last = left.is_empty();
        let found = rustix::fs::openat(&here, &name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty());
        match found {
            Ok(found) => {
                let stat = rustix::fs::fstat(&found).map_err(|errno| failed(errno, &next))?;
                if FileType::from_raw_mode(stat.st_mode) == FileType::Symlink {
                    links += 1;
                    if links > 40 {
                        return Err(failed(Errno::LOOP, &next));
                    }
                    let target =
                        rustix::fs::readlinkat(&found, "", Vec::new()).map_err(|errno| failed(errno, &next))?;
                    let target = Path::new(OsStr::from_bytes(target.to_bytes()));
                    if target.is_absolute() {
                        done = PathBuf::from("/");
                        here = open(root, &done, OFlags::PATH).map_err(|errno| failed(errno, &done))?;
                    }
                    left.extend(components(target));
                    continue;
                }
                here = found;
            }
            Err(Errno::NOENT) if is_last && create == Create::File => {
                // O_EXCL: a link that appears here meanwhile is not followed.
                let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                here = rustix::fs::openat(&here, &name, flags, mode).map_err(|errno| failed(errno, &next))?;
            }
            Err(Errno::NOENT) => {
                let folder_mode = if is_last { mode } else { Mode::from_raw_mode(0o755) };
                match rustix::fs::mkdirat(&here, &name, folder_mode) {
                    Ok(()) | Err(Errno::EXIST) => {}
                    Err(errno) => return Err(failed(errno, &next)),
                }
                let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                here = rustix::fs::openat(&here, &name, flags, Mode::empty()).map_err(|errno| failed(errno, &next))?;
            }
            Err(errno) => return Err(failed(errno, &next)),
        }
        done = next;
    }
    // The walk by hand chose folders; the kernel's own resolution must agree on what is there now.
    let resolved = open(root, path, OFlags::PATH).map_err(|errno| failed(errno, path))?;
    let (walked, found) = (rustix::fs::fstat(&here), rustix::fs::fstat(&resolved));
    match (walked, found) {
        (Ok(a), Ok(b)) if (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino) => Ok(resolved),
        (Err(errno), _) | (_, Err(errno)) => Err(failed(errno, path)),
        _ => Err(Error::invalid(format!("{} in the container's root changed while it was created", path.display()))),
    }
}

/// In reverse: the last is the next to go.
fn components(path: &Path) -> Vec<PathBuf> {
    path.components()
        .rev()
        .filter_map(|component| match component {
            Component::Normal(name) => Some(PathBuf::from(name)),
            Component::ParentDir => Some(PathBuf::from("..")),
            _ => None,
        })
        .collect()
}

/// The folder that holds the last component of `path`, and that component; folders that are missing are created.
/// The last component itself is not followed.
///
/// # Errors
/// As [`open_or_create`]; for a path without a last component.
pub fn parent(root: BorrowedFd<'_>, path: &Path) -> Result<(OwnedFd, PathBuf)> {
    let name = path.file_name().ok_or_else(|| Error::invalid(format!("{} names no file", path.display())))?;
    let folder = path.parent().unwrap_or(Path::new("/"));
    let folder = open_or_create(root, folder, Create::Directory, Mode::from_raw_mode(0o755))?;
    Ok((folder, PathBuf::from(name)))
}

/// What `path` is inside `root` when every link in it is followed, as far as something is there.
///
/// # Errors
/// As openat2(2), and when /proc is not mounted.
pub fn resolve(root: BorrowedFd<'_>, path: &Path) -> Result<PathBuf> {
    let found = match (open(root, path, OFlags::PATH), path.parent(), path.file_name()) {
        (Err(Errno::NOENT), Some(above), Some(name)) => return Ok(resolve(root, above)?.join(name)),
        (found, ..) => found.attempt(|| format!("look for {} in the container's root", path.display()))?,
    };
    let name = |fd| path_of(fd).attempt(|| format!("find {} by /proc", path.display()));
    let (root, found) = (name(root)?, name(found.as_fd())?);
    let below =
        found.strip_prefix(&root).map_err(|_| Error::invalid(format!("{} is not in the root", path.display())))?;
    Ok(Path::new("/").join(below))
}

/// Whether a descriptor is of a folder.
///
/// # Errors
/// As fstat(2).
pub fn is_directory(fd: impl AsFd) -> Result<bool, Errno> {
    Ok(FileType::from_raw_mode(rustix::fs::fstat(fd)?.st_mode) == FileType::Directory)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn scratch(name: &str) -> (PathBuf, OwnedFd) {
        let path = std::env::temp_dir().join(format!("nskit-test-path-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(path.join("root")).unwrap();
        let fd = rustix::fs::open(path.join("root"), OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).unwrap();
        (path, fd)
    }

    #[test]
    fn a_path_is_resolved_as_far_as_it_is_there() {
        let (path, root) = scratch("resolve");
        std::fs::create_dir_all(path.join("root/real/folder")).unwrap();
        symlink("/real", path.join("root/link")).unwrap();
        symlink("../../..", path.join("root/real/up")).unwrap();
        for (asked, is) in [
            ("/", "/"),
            ("/real/folder", "/real/folder"),
            ("/link/folder", "/real/folder"),
            ("/link/none/at/all", "/real/none/at/all"),
            ("/link/up/link", "/real"),
        ] {
            assert_eq!(resolve(root.as_fd(), Path::new(asked)).unwrap(), Path::new(is), "{asked}");
        }
        std::fs::remove_dir_all(path).unwrap();
    }

    #[test]
    fn links_that_lead_out_lead_to_the_root_instead() {
        let (path, root) = scratch("out");
        std::fs::create_dir(path.join("outside")).unwrap();
        symlink("../outside", path.join("root/up")).unwrap();
        symlink(path.join("outside"), path.join("root/absolute")).unwrap();
        for target in ["/up/a", "/absolute/b", "/../../c"] {
            open_or_create(root.as_fd(), Path::new(target), Create::File, Mode::from_raw_mode(0o644)).unwrap();
        }
        assert_eq!(std::fs::read_dir(path.join("outside")).unwrap().count(), 0);
        assert!(path.join("root/outside/a").is_file());
        assert!(path.join("root/c").is_file());
        std::fs::remove_dir_all(path).unwrap();
    }

    #[test]
    fn links_inside_are_followed_and_loops_refused() {
        let (path, root) = scratch("inside");
        symlink("/run", path.join("root/var-run")).unwrap();
        symlink("b", path.join("root/a")).unwrap();
        symlink("a", path.join("root/b")).unwrap();
        open_or_create(root.as_fd(), Path::new("/var-run/secrets/x"), Create::Directory, Mode::from_raw_mode(0o755))
            .unwrap();
        assert!(path.join("root/run/secrets/x").is_dir());
        let error = open_or_create(root.as_fd(), Path::new("/a/x"), Create::File, Mode::empty()).unwrap_err();
        assert_eq!(error.errno(), Some(Errno::LOOP));
        std::fs::remove_dir_all(path).unwrap();
    }

    #[test]
    fn a_magic_link_is_refused() {
        let root = rustix::fs::open("/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).unwrap();
        assert_eq!(open(root.as_fd(), Path::new("/proc/self/root/etc"), OFlags::PATH).unwrap_err(), Errno::LOOP);
    }
}
