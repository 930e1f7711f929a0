//! Mounting through file descriptors: a file system is created or a tree cloned while nobody sees it, gets all its
//! attributes, and only then a place (fsopen(2), open_tree(2), mount_setattr(2), move_mount(2)).

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use nix::mount::MsFlags;
use rustix::fs::{CWD, StatVfsMountFlags};
use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags};

use super::options::{Options, Propagation, for_kernel};
use crate::error::{Attempt, Error, Kind, Result};
use crate::sys::fd::Kept;
use crate::sys::mount as attr;
use crate::sys::mount::{IDMAP, MountAttr, NODEV, NODIRATIME, NOEXEC, NOSUID, NOSYMFOLLOW, RDONLY, mount_setattr};

/// Longer values are beyond fsconfig(2).
const LONGEST_VALUE: usize = 255;

/// A new file system, mounted nowhere yet. `attributes` are `MOUNT_ATTR_*` bits.
///
/// # Errors
/// What the kernel says of the options (fsopen(2) tells more than an errno), `ENODEV` for an unknown type, `EPERM`.
pub fn new_filesystem(fstype: &str, source: &str, words: &[String], attributes: u64) -> Result<OwnedFd> {
    // Callers are about to become another program, or to end.
    let fs = rustix::mount::fsopen(fstype, FsOpenFlags::FSOPEN_CLOEXEC)
        .map(Kept::from)
        .attempt(|| format!("create a file system of type {fstype}"))?;
    let explain = |errno: Errno, step: String| {
        let error = Error::os(errno, step);
        match kernel_words(fs.as_fd()) {
            Some(words) => Error::new(Kind::Os, format!("{} ({words})", error.as_go_prints_it())),
            None => error,
        }
    };
    if !source.is_empty() {
        rustix::mount::fsconfig_set_string(fs, "source", source)
            .map_err(|errno| explain(errno, format!("set the source of {fstype} to {source}")))?;
    }
    for word in words {
        match word.split_once('=') {
            Some((key, value)) => rustix::mount::fsconfig_set_string(fs, key, value.trim_matches('"')),
            None => rustix::mount::fsconfig_set_flag(fs, word.as_str()),
        }
        .map_err(|errno| explain(errno, format!("set option {word} of {fstype}")))?;
    }
    // mount(2) has a new file system read-only when its mount is.
    if attributes & RDONLY != 0 && !words.iter().any(|word| word == "ro") {
        rustix::mount::fsconfig_set_flag(fs, "ro")
            .map_err(|errno| explain(errno, format!("set option ro of {fstype}")))?;
    }
    rustix::mount::fsconfig_create(fs)
        .map_err(|errno| explain(errno, format!("create a file system of type {fstype}")))?;
    rustix::mount::fsmount(
        fs,
        FsMountFlags::FSMOUNT_CLOEXEC,
        MountAttrFlags::from_bits_retain(attributes as libc::c_uint),
    )
    .map_err(|errno| explain(errno, format!("mount a file system of type {fstype}")))
}

/// What the kernel wrote about the last failure on a file system context.
fn kernel_words(fs: BorrowedFd<'_>) -> Option<String> {
    let mut buffer = [0u8; 1024];
    let mut words = Vec::new();
    // One message a read, "e " for an error before it.
    while let Ok(length) = rustix::io::read(fs, &mut buffer) {
        if length == 0 {
            break;
        }
        let text = String::from_utf8_lossy(&buffer[..length]);
        words.push(text.trim_start_matches(['e', 'w', 'i']).trim().to_owned());
    }
    (!words.is_empty()).then(|| words.join("; "))
}

/// Whether [`new_filesystem`] cannot take an option, which mount(2) can.
pub fn needs_classic_mount(words: &[String]) -> bool {
    words.iter().any(|word| word.split_once('=').is_some_and(|(_, value)| value.len() > LONGEST_VALUE))
}

/// mount(2) on a place that is held open, as the working directory or by /proc, for what fsconfig(2) cannot express.
///
/// # Errors
/// As mount(2).
pub fn classic_mount(
    fstype: &str,
    source: &str,
    words: &[String],
    attributes: u64,
    target: impl AsRef<Path>,
) -> Result<()> {
    // The low attribute bits are those of mount(2); access times are not.
    let mut flags = MsFlags::from_bits_truncate((attributes & 0xf) as libc::c_ulong);
    flags.set(MsFlags::MS_NOATIME, attributes & attr::ATIME == attr::NOATIME);
    flags.set(MsFlags::MS_STRICTATIME, attributes & attr::ATIME == attr::STRICTATIME);
    flags.set(MsFlags::MS_NODIRATIME, attributes & attr::NODIRATIME != 0);
    let words: Vec<&str> = words
        .iter()
        .map(String::as_str)
        .filter(|word| {
            // A flag of mount(2), not of the file system.
            let flag = match *word {
                "ro" => MsFlags::MS_RDONLY,
                "sync" => MsFlags::MS_SYNCHRONOUS,
                "dirsync" => MsFlags::MS_DIRSYNC,
                "mand" => MsFlags::MS_MANDLOCK,
                "silent" => MsFlags::MS_SILENT,
                "iversion" => MsFlags::MS_I_VERSION,
                "lazytime" => MsFlags::MS_LAZYTIME,
                _ => MsFlags::empty(),
            };
            flags |= flag;
            flag.is_empty()
        })
        .collect();
    if attributes & attr::NOSYMFOLLOW != 0 {
        flags |= MsFlags::from_bits_retain(0x100); // MS_NOSYMFOLLOW, Linux 5.10
    }
    nix::mount::mount(Some(source), target.as_ref(), Some(fstype), flags, Some(words.join(",").as_str()))
        .attempt(|| format!("mount {source} of type {fstype}"))
}

/// A clone of the mount that `path` (relative to `at`; empty for `at` itself) is in, with `path` as its root; mounted
/// nowhere yet.
///
/// # Errors
/// `EINVAL` when the mount belongs to another mount namespace or is unbindable, `EPERM` without privilege.
pub fn clone_tree(at: BorrowedFd<'_>, path: &Path, recursive: bool, follow: bool) -> Result<OwnedFd, Errno> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
    flags.set(OpenTreeFlags::AT_RECURSIVE, recursive);
    flags.set(OpenTreeFlags::AT_SYMLINK_NOFOLLOW, !follow);
    rustix::mount::open_tree(at, path, flags)
}

/// A new mount namespace that has the tree at `path`, with the mounts below, as its root and nothing else; Linux 7.0.
///
/// # Errors
/// `EINVAL` on older kernels and for a mount that is unbindable or of another mount namespace, `EPERM` without privilege.
pub fn namespace_of_tree(path: &Path) -> Result<OwnedFd, Errno> {
    const OPEN_TREE_NAMESPACE: OpenTreeFlags = OpenTreeFlags::from_bits_retain(2);
    let flags = OPEN_TREE_NAMESPACE | OpenTreeFlags::AT_RECURSIVE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    rustix::mount::open_tree(CWD, path, flags)
}

/// The source of a bind mount, cloned: a path of the runtime's own view.
///
/// # Errors
/// As [`clone_tree`], naming the source.
pub fn clone_source(source: &Path, options: &Options) -> Result<OwnedFd> {
    let recursive = options.bind == Some(true) || options.idmap == Some(true);
    clone_tree(CWD, source, recursive, !options.source_nofollow)
        .attempt(|| format!("bind mount source {}", source.display()))
}

/// Maps the ids of a mount that is mounted nowhere yet through `userns`; Linux 5.12.
///
/// # Errors
/// `EINVAL` when the file system cannot, `EPERM` without `CAP_SYS_ADMIN` over it.
pub fn map_ids(mount: BorrowedFd<'_>, recursive: bool, userns: BorrowedFd<'_>) -> Result<()> {
    let attr = MountAttr { set: IDMAP, userns_fd: userns.as_raw_fd() as u64, ..MountAttr::default() };
    mount_setattr(mount, recursive, &attr).attempt(|| "map the ids of the mount (does its file system support this?)")
}

/// Sets on a mount what `options` ask for, but for a new file system's own attributes, which it is born with.
///
/// # Errors
/// `EPERM` when an attribute is locked by a more privileged user namespace.
pub fn set_options(mount: BorrowedFd<'_>, options: &Options, is_new: bool) -> Result<()> {
    let mut own = if is_new { MountAttr::default() } else { for_kernel(options.attributes) };
    let mut whole = for_kernel(options.recursive);
    // One call an extent: the last word on propagation goes with the attributes, words before it by themselves.
    for (propagation, recursive) in &options.propagation {
        let attr = if *recursive { &mut whole } else { &mut own };
        if attr.propagation != 0 {
            let only = MountAttr { propagation: attr.propagation, ..MountAttr::default() };
            mount_setattr(mount, *recursive, &only).attempt(|| "change the propagation of the mount")?;
        }
        attr.propagation = propagation.flag().bits().into();
    }
    for (recursive, attr) in [(true, whole), (false, own)] {
        if attr != MountAttr::default() {
            mount_setattr(mount, recursive, &attr).attempt(|| "set the options of the mount")?;
        }
    }
    Ok(())
}

/// Whether a bind mount may be without what its source has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Locked {
    /// Wherever the kernel lets it.
    ByKernel,
    /// No: the mount is for a less privileged user namespace than the caller's, whose processes could not have cleared that.
    Wholly,
}

/// As [`set_options`], for a tree that was bound: when `options` name any attribute, even one to be without, it has those that
/// they name and no other, whatever its source has. What is locked by a more privileged user namespace stays though, unless it
/// is named to be without.
///
/// # Errors
/// Which attributes are locked and were to go.
pub fn set_bind_options(mount: BorrowedFd<'_>, options: &Options, locked: Locked) -> Result<()> {
    let clears_below = locked == Locked::Wholly && options.recursive.clear != 0;
    if !options.names_attributes && !clears_below {
        return set_options(mount, options, false);
    }
    if locked == Locked::ByKernel {
        let mut exactly = options.clone();
        exactly.attributes.clear |= (LOCKABLE | NOSYMFOLLOW) & !exactly.attributes.set;
        if names_access_times(&exactly.attributes) {
            exactly.attributes.clear |= (attr::ATIME | NODIRATIME) & !exactly.attributes.set;
        }
        match set_options(mount, &exactly, false) {
            Err(error) if error.errno() == Some(Errno::PERM) => {}
            set => return set,
        }
    }
    refuse_locked(mount, options)?;
    set_options(mount, options, false)
}

/// What a user namespace keeps of its parent's mounts, besides the way in which access times are updated.
const LOCKABLE: u64 = RDONLY | NOSUID | NODEV | NOEXEC;

/// Whether a word asks for a way of updating access times.
fn names_access_times(attributes: &MountAttr) -> bool {
    (attributes.set | attributes.clear) & attr::ATIME != 0 || attributes.set & NODIRATIME != 0
}

/// Refuses options that take away what the mount has.
fn refuse_locked(mount: BorrowedFd<'_>, options: &Options) -> Result<()> {
    let flags = rustix::fs::fstatvfs(mount).attempt(|| "look at the options of the source")?.f_flag;
    let has = |flag: StatVfsMountFlags| flags.contains(flag);
    let wanted = &options.attributes;
    let cleared = wanted.clear | options.recursive.clear;
    let mut locked: Vec<&str> = [
        (StatVfsMountFlags::RDONLY, RDONLY, "ro"),
        (StatVfsMountFlags::NOSUID, NOSUID, "nosuid"),
        (StatVfsMountFlags::NODEV, NODEV, "nodev"),
        (StatVfsMountFlags::NOEXEC, NOEXEC, "noexec"),
    ]
    .into_iter()
    .filter_map(|(flag, attribute, word)| (has(flag) && cleared & attribute != 0).then_some(word))
    .collect();
    if names_access_times(wanted) {
        let (way, word) = match (has(StatVfsMountFlags::NOATIME), has(StatVfsMountFlags::RELATIME)) {
            (true, _) => (attr::NOATIME, "noatime"),
            (_, true) => (attr::RELATIME, "relatime"),
            _ => (attr::STRICTATIME, "strictatime"),
        };
        // A word for directories alone asks for relatime too, as with mount(2).
        if wanted.set & attr::ATIME != way {
            locked.push(word);
        }
        if has(StatVfsMountFlags::NODIRATIME) != (wanted.set & NODIRATIME != 0) {
            locked.push(if has(StatVfsMountFlags::NODIRATIME) { "nodiratime" } else { "diratime" });
        }
    }
    if locked.is_empty() {
        return Ok(());
    }
    Err(Error::os(
        Errno::PERM,
        format!(
            "clear {} of the source, which a user namespace has to leave as the host has it (leave the opposite out of the \
             options, or change the host's mount)",
            locked.join(", ")
        ),
    ))
}

/// Makes a mount read-only.
///
/// # Errors
/// As mount_setattr(2).
pub fn set_read_only(mount: BorrowedFd<'_>, recursive: bool) -> Result<(), Errno> {
    mount_setattr(mount, recursive, &MountAttr { set: RDONLY, ..MountAttr::default() })
}

/// Changes the propagation of a mount.
///
/// # Errors
/// `EINVAL` when `mount` is not the root of one.
pub fn set_propagation(mount: BorrowedFd<'_>, propagation: Propagation, recursive: bool) -> Result<(), Errno> {
    let attr = MountAttr { propagation: propagation.flag().bits().into(), ..MountAttr::default() };
    mount_setattr(mount, recursive, &attr)
}

/// Gives a mount its place.
///
/// # Errors
/// `ENOTDIR` for a file over a folder or the other way round, `ELOOP` for a tree below itself.
pub fn attach(mount: BorrowedFd<'_>, target: BorrowedFd<'_>) -> Result<(), Errno> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    match rustix::mount::move_mount(mount, "", target, "", flags) {
        // move_mount(2) says so of a file and a folder, for which mount(2) has a word that engines look for.
        Err(Errno::INVAL) if super::path::is_directory(mount)? != super::path::is_directory(target)? => {
            Err(Errno::NOTDIR)
        }
        other => other,
    }
}
