//! What a dump and its restore are told alike, and the folders that both work in.

use std::fs::DirBuilder;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use super::option;
use crate::error::{Attempt, Result};
use crate::protobuf::Message;
use crate::sys::fd::path_of;

/// What a dump and its restore are told alike.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// The folder of the images.
    pub image_path: PathBuf,
    /// The folder of the log; that of the images, if not given.
    pub work_path: Option<PathBuf>,
    /// TCP connections may be open.
    pub tcp_established: bool,
    /// Unix sockets may be connected to the outside.
    pub ext_unix_sk: bool,
    /// The session's leader, and its terminal, may be outside.
    pub shell_job: bool,
    /// Locks of files are saved too.
    pub file_locks: bool,
    /// Pages that a later image has are dropped from earlier ones.
    pub auto_dedup: bool,
    /// Memory is fetched when it is needed.
    pub lazy_pages: bool,
    /// How cgroups are seen to.
    pub cgroups: CgroupMode,
}

/// How CRIU sees to cgroups; `criu_cg_mode`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CgroupMode {
    /// Not at all.
    Ignore = 0,
    /// Those that are not there are made.
    Soft = 3,
    /// All must be as they were, or not be there.
    Full = 4,
    /// None may be there.
    Strict = 5,
    /// As CRIU sees fit: soft.
    #[default]
    Default = 6,
}

/// CRIU's folders while it works.
#[derive(Debug)]
pub struct Folders {
    /// That of the images.
    pub images: OwnedFd,
    /// Its path.
    pub(super) path: PathBuf,
    work: Option<OwnedFd>,
    pub(super) log: PathBuf,
}

impl Settings {
    /// The same with paths that are relative to `folder`: runc has gone there when it looks for them.
    #[must_use]
    pub fn below(&self, folder: &Path) -> Settings {
        let work_path = self.work_path.as_ref().map(|path| folder.join(path));
        Settings { image_path: folder.join(&self.image_path), work_path, ..self.clone() }
    }

    /// Opens the folders, for a log that is called `log`; `create` makes them where they are missing.
    ///
    /// # Errors
    /// As mkdir(2) and open(2).
    pub fn open(&self, log: &str, create: bool) -> Result<Folders> {
        let work = self.work_path.as_deref().map(|path| folder(path, true)).transpose()?;
        let log = self.work_path.as_ref().unwrap_or(&self.image_path).join(log);
        Ok(Folders { images: folder(&self.image_path, create)?, path: self.image_path.clone(), work, log })
    }

    /// What every request has of them: `log` in `folders`, and that a container's `annotation` names no other file of
    /// options than the administrator's.
    pub fn write(&self, options: &mut Message, folders: &Folders, annotation: Option<&str>) {
        use option::*;
        let fd = |fd: &OwnedFd| i64::from(fd.as_raw_fd());
        options
            .number(IMAGES_DIR_FD, fd(&folders.images))
            .number(LOG_LEVEL, 4)
            .text(LOG_FILE, folders.log.file_name().unwrap_or_default().as_bytes())
            .flag(NOTIFY_SCRIPTS, true)
            .flag(TCP_ESTABLISHED, self.tcp_established)
            .flag(EXT_UNIX_SK, self.ext_unix_sk)
            .flag(SHELL_JOB, self.shell_job)
            .flag(FILE_LOCKS, self.file_locks)
            .flag(AUTO_DEDUP, self.auto_dedup)
            .flag(LAZY_PAGES, self.lazy_pages)
            .flag(ORPHAN_PTS_MASTER, true)
            .flag(MANAGE_CGROUPS, true)
            .number(MANAGE_CGROUPS_MODE, self.cgroups as i64)
            // As under runc: network devices are an engine's to make anew.
            .number(EMPTY_NS, i64::from(libc::CLONE_NEWNET));
        if let Some(work) = &folders.work {
            options.number(WORK_DIR_FD, fd(work));
        }
        // runc's: it is what says how containers of this machine are to be saved.
        match annotation.unwrap_or("/etc/criu/runc.conf") {
            "" => {}
            file => drop(options.text(CONFIG_FILE, file)),
        }
    }
}

fn folder(path: &Path, create: bool) -> Result<OwnedFd> {
    use rustix::fs::{Mode, OFlags};
    if create {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .attempt(|| format!("create folder {}", path.display()))?;
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).attempt(|| format!("open folder {}", path.display()))
}

impl Folders {
    /// The same folders as `pid` has them in its mount namespace: what is mounted on one of another cannot be.
    ///
    /// # Errors
    /// As open(2): one is not there.
    pub fn seen_by(self, pid: rustix::process::Pid) -> Result<Folders> {
        let seen = |fd: &OwnedFd| {
            let path = path_of(fd.as_fd()).attempt(|| "find the folders of images and logs by /proc")?;
            let below = path.strip_prefix("/").unwrap_or(&path);
            folder(&Path::new(&format!("/proc/{}/root", pid.as_raw_pid())).join(below), false)
        };
        let images = seen(&self.images)?;
        let work = self.work.as_ref().map(seen).transpose()?;
        Ok(Folders { images, work, ..self })
    }
}
