//! What is kept of a container between commands: a folder `ROOT/ID` with state.json and the configuration.
//!
//! state.json has the names that runc's has, where it says the same: monitoring tools read these.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use rustix::fs::FlockOperation;
use rustix::process::{Pid, PidfdFlags};
use serde::{Deserialize, Serialize};

use crate::error::{Attempt, Error, Kind, Result};

/// Longest container id: it becomes a file name.
const LONGEST_ID: usize = 255;

/// Where a container is in its life; runtime-spec, "State".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It is being made.
    Creating,
    /// It waits to be started.
    Created,
    /// Its program runs.
    Running,
    /// Its cgroup is frozen.
    Paused,
    /// Its program is gone.
    Stopped,
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Status::Creating => "creating",
            Status::Created => "created",
            Status::Running => "running",
            Status::Paused => "paused",
            Status::Stopped => "stopped",
        })
    }
}

/// The part of a configuration that runc keeps under the same names.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Config {
    /// The container's root on the host.
    pub rootfs: PathBuf,
    /// `key=value` of all annotations, and `bundle=PATH`.
    #[serde(default)]
    pub labels: Vec<String>,
}

/// The content of state.json.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct State {
    /// The container's id.
    pub id: String,
    /// Its first process in the runtime's pid namespace; 0 before there is one.
    pub init_process_pid: i32,
    /// When that process started, in clock ticks after boot: tells it from a later one with the same pid.
    pub init_process_start: u64,
    /// When the container was created, RFC 3339.
    pub created: String,
    /// See [`Config`].
    pub config: Config,
    /// Its cgroups, as [`crate::cgroup`] keeps them.
    #[serde(default)]
    pub cgroup_paths: BTreeMap<String, PathBuf>,
    /// Its namespaces: `NEWNET` and so on, to files in /proc.
    #[serde(default)]
    pub namespace_paths: BTreeMap<String, PathBuf>,
    /// The version of the runtime-spec that the configuration was made for.
    pub oci_version: String,
    /// The bundle's folder.
    pub bundle: PathBuf,
    /// The configuration's annotations.
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
    /// The user who created it.
    pub owner: u32,
    /// It was created with leave to go without a cgroup.
    #[serde(default)]
    pub rootless: bool,
    /// It has a new pid namespace.
    #[serde(default)]
    pub own_pids: bool,
    /// The runtime that is creating it, and when that started: while it lives, nobody else removes the container.
    #[serde(default)]
    pub creator: (i32, u64),
}

/// The state as the specification has it, for `state` and for hooks.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Reported {
    /// Version of the specification.
    pub oci_version: String,
    /// The container's id.
    pub id: String,
    /// Its first process, 0 when stopped.
    pub pid: i32,
    /// Where it is in its life.
    pub status: Status,
    /// The bundle's folder.
    pub bundle: PathBuf,
    /// The container's root; runc's addition.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rootfs: Option<PathBuf>,
    /// When it was created, RFC 3339; runc's addition.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// The configuration's annotations.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Name of the user who created it; runc's addition.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
}

/// A container's folder, held by flock(2) against being created and deleted at once. Children inherit it: it is released,
/// not only closed.
#[derive(Debug)]
pub struct Lock(OwnedFd);

impl Lock {
    /// Whether it could be had now. A file system without locks has nothing to offer, and no reason to fail.
    fn take(&self) -> Result<bool> {
        Ok(rustix::fs::flock(&self.0, FlockOperation::NonBlockingLockExclusive) != Err(rustix::io::Errno::WOULDBLOCK))
    }

    /// Whether the folder has not been removed before it could be held.
    fn is_in_place(&self) -> Result<bool> {
        Ok(rustix::fs::fstat(&self.0).attempt(|| "look at the container's folder")?.st_nlink > 0)
    }

    /// Lets others delete the container.
    pub fn release(&self) {
        let _ = rustix::fs::flock(&self.0, FlockOperation::Unlock);
    }
}

/// A container's folder.
#[derive(Clone, Debug)]
pub struct Folder {
    path: PathBuf,
    id: String,
}

impl Folder {
    /// Name of the file that holds the state.
    const STATE: &str = "state.json";
    /// Name of the copy of the configuration.
    const CONFIG: &str = "config.json";
    /// Name of the socket on which a created container waits to be started.
    const GATE: &str = "start.sock";

    /// The folder of the container `id` below `root`, whether it exists or not.
    ///
    /// # Errors
    /// For an id that runc would refuse: empty, too long, or with other characters than letters, digits, `_`, `+`, `-`
    /// and `.`.
    pub fn of(root: &Path, id: &str) -> Result<Folder> {
        if id.is_empty() {
            return Err(Error::invalid("container id cannot be empty"));
        }
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_+-.".contains(&byte);
        if !id.bytes().all(allowed) || id == "." || id == ".." || id.len() > LONGEST_ID {
            return Err(Error::invalid(format!(
                "invalid container ID format: {id:?} (letters, digits and _+-. are allowed, at most {LONGEST_ID})"
            )));
        }
        Ok(Folder { path: root.join(id), id: id.to_owned() })
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path of the socket on which the container waits to be started.
    pub fn gate(&self) -> PathBuf {
        self.path.join(Self::GATE)
    }

    /// Makes the folder, and holds it: nobody deletes it before its lock is released or gone.
    ///
    /// # Errors
    /// Of kind [`Kind::Exists`] when it is there.
    pub fn create(&self) -> Result<Lock> {
        self.make()?;
        let deleted = || Error::new(Kind::State, format!("container {:?} was deleted while it was created", self.id));
        let lock = self.open()?.ok_or_else(deleted)?;
        if lock.take()? && lock.is_in_place()? { Ok(lock) } else { Err(deleted()) }
    }

    /// Holds the folder for who deletes it; `None` when there is none. Waits for who creates the container until it is on
    /// record what there is to delete.
    ///
    /// # Errors
    /// When that takes longer than `patience`, and as open(2).
    pub fn lock(&self, patience: Duration) -> Result<Option<Lock>> {
        let deadline = Instant::now() + patience;
        loop {
            let Some(lock) = self.open()? else { return Ok(None) };
            while !lock.take()? {
                if Instant::now() > deadline {
                    let seconds = patience.as_secs();
                    let message = format!("container {:?} is still being created after {seconds} s", self.id);
                    return Err(Error::new(Kind::State, message));
                }
                std::thread::sleep(Duration::from_millis(2));
            }
            if lock.is_in_place()? {
                return Ok(Some(lock));
            }
        }
    }

    fn open(&self) -> Result<Option<Lock>> {
        use rustix::fs::{Mode, OFlags};
        match rustix::fs::open(&self.path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()) {
            Err(rustix::io::Errno::NOENT) => Ok(None),
            other => other.attempt(|| format!("open {}", self.path.display())).map(|fd| Some(Lock(fd))),
        }
    }

    fn make(&self) -> Result<()> {
        let root = self.path.parent().unwrap_or(Path::new("/"));
        let create = || fs::DirBuilder::new().mode(0o711).create(&self.path);
        match create() {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                fs::DirBuilder::new()
                    .mode(0o711)
                    .recursive(true)
                    .create(root)
                    .attempt(|| format!("create {}", root.display()))?;
                create()
            }
            other => other,
        }
        .map_err(|error| match error.kind() {
            std::io::ErrorKind::AlreadyExists => {
                Error::new(Kind::Exists, format!("container with given ID already exists: {}", self.id))
            }
            _ => Error::io(&error, format!("create {}", self.path.display())),
        })
    }

    /// Removes the folder and everything in it.
    ///
    /// # Errors
    /// As unlink(2) and rmdir(2), but not when it is gone already.
    pub fn remove(&self) -> Result<()> {
        for name in [Self::STATE, Self::CONFIG] {
            let _ = fs::remove_file(self.path.join(name));
        }
        // Usually that was all.
        if fs::remove_dir(&self.path).is_ok() {
            return Ok(());
        }
        match fs::remove_dir_all(&self.path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::io(&error, format!("remove {}", self.path.display())))
            }
            _ => Ok(()),
        }
    }

    /// Writes state.json, in one step as seen by readers.
    ///
    /// # Errors
    /// As open(2), write(2) and rename(2).
    pub fn save(&self, state: &State) -> Result<()> {
        let text = serde_json::to_vec(state).map_err(|error| Error::invalid(format!("write state.json: {error}")))?;
        replace_file(&self.path.join(Self::STATE), &text, 0o600)
    }

    /// Keeps the configuration.
    ///
    /// # Errors
    /// As open(2) and write(2).
    pub fn save_config(&self, text: &[u8]) -> Result<()> {
        let path = self.path.join(Self::CONFIG);
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&path)
            .attempt(|| format!("create {}", path.display()))?;
        file.write_all(text).attempt(|| format!("write {}", path.display()))
    }

    /// Reads state.json.
    ///
    /// # Errors
    /// Of kind [`Kind::NotFound`] when there is no such container.
    pub fn load(&self) -> Result<State> {
        let path = self.path.join(Self::STATE);
        let text = read_file(&path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => {
                Error::new(Kind::NotFound, format!("container {:?} does not exist", self.id))
            }
            _ => Error::io(&error, format!("read {}", path.display())),
        })?;
        serde_json::from_slice(&text).map_err(|error| Error::invalid(format!("read {}: {error}", path.display())))
    }

    /// Reads the configuration that the container was created with.
    ///
    /// # Errors
    /// As open(2), and when it is damaged.
    pub fn load_config(&self) -> Result<oci_spec::runtime::Spec> {
        let path = self.path.join(Self::CONFIG);
        let text = read_file(&path).attempt(|| format!("read {}", path.display()))?;
        super::spec::parse(&text).attempt(|| format!("read {}", path.display()))
    }

    /// Keeps a configuration that `update` has changed.
    ///
    /// # Errors
    /// As open(2), write(2) and rename(2).
    pub fn replace_config(&self, spec: &oci_spec::runtime::Spec) -> Result<()> {
        let text = serde_json::to_vec(spec).map_err(|error| Error::invalid(format!("write config.json: {error}")))?;
        replace_file(&self.path.join(Self::CONFIG), &text, 0o600)
    }
}

/// Reads a file that is replaced, never written to: a short read is its end, and mostly the first one.
fn read_file(path: &Path) -> std::io::Result<Vec<u8>> {
    Ok(crate::sys::fd::read_whole(&fs::File::open(path)?, 16 << 10, true)?)
}

/// Writes a file so that readers see either the old content or the new one.
///
/// # Errors
/// As open(2), write(2) and rename(2).
pub fn replace_file(path: &Path, text: &[u8], mode: u32) -> Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = path.with_file_name(format!(".{name}.{}", std::process::id()));
    let written = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(mode)
        .open(&temporary)
        .and_then(|mut file| file.write_all(text))
        .and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written.attempt(|| format!("write {}", path.display()))
}

/// What one read(2) gives of a small file of procfs.
pub(super) fn read_once<'a>(path: &str, buffer: &'a mut [u8]) -> Option<&'a [u8]> {
    let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::CLOEXEC;
    let file = rustix::fs::open(path, flags, rustix::fs::Mode::empty()).ok()?;
    let length = rustix::io::read(&file, &mut *buffer).ok()?;
    Some(&buffer[..length])
}

/// What /proc/PID/stat tells of a process.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stat {
    /// It still runs.
    alive: bool,
    /// It has executed a program since it was forked.
    pub(super) executed: bool,
    /// When it started, in clock ticks after boot.
    started: u64,
}

/// Whether a process still runs, and when it started, in clock ticks after boot.
///
/// `None` when there is no such process.
pub fn process_start(pid: i32) -> Option<(bool, u64)> {
    process_stat(pid).map(|stat| (stat.alive, stat.started))
}

/// What /proc/PID/stat tells; `None` when there is no such process.
pub(super) fn process_stat(pid: i32) -> Option<Stat> {
    if pid <= 0 {
        return None;
    }
    // One read: the file is made anew for each.
    let mut buffer = [0; 1024];
    let stat = read_once(&format!("/proc/{pid}/stat"), &mut buffer)?;
    // The name in parentheses may hold anything, parentheses and spaces too.
    let after_name = stat.iter().rposition(|byte| *byte == b')')? + 2;
    let rest = std::str::from_utf8(stat.get(after_name..)?).ok()?;
    let mut fields = rest.split(' ');
    let alive = !matches!(fields.next()?, "Z" | "X" | "x");
    // PF_FORKNOEXEC of linux/sched.h, in field 9; the state was 3.
    let executed = fields.nth(5)?.parse::<u32>().ok()? & 0x40 == 0;
    // Field 22.
    Some(Stat { alive, executed, started: fields.nth(12)?.parse().ok()? })
}

/// Whether `pid`, which has let go of its close-on-exec descriptors, did so by execve(2) and not by its end.
///
/// A process loses its memory before its descriptors, and with it the link to its program: with that there, one system
/// call says that it lives on.
pub(super) fn has_executed(pid: i32) -> bool {
    let mut buffer = [std::mem::MaybeUninit::uninit(); 8];
    rustix::fs::readlinkat_raw(rustix::fs::CWD, format!("/proc/{pid}/exe"), &mut buffer).is_ok()
        // Gone altogether, it was somebody else's to reap, who knows.
        || process_stat(pid).is_none_or(|stat| stat.executed)
}

impl State {
    /// Whether the first process still runs: the same one, not another with its pid.
    pub fn is_alive(&self) -> bool {
        self.living().is_some()
    }

    /// The first process, if it still runs.
    pub(super) fn living(&self) -> Option<Stat> {
        process_stat(self.init_process_pid).filter(|stat| stat.alive && stat.started == self.init_process_start)
    }

    /// A descriptor of the first process, by which signals reach it and no other.
    ///
    /// # Errors
    /// Of kind [`Kind::State`] when it is gone: "container not running".
    pub fn open_init(&self) -> Result<OwnedFd> {
        let gone = || Error::new(Kind::State, "container not running");
        let pid = Pid::from_raw(self.init_process_pid).ok_or_else(gone)?;
        let pidfd = match rustix::process::pidfd_open(pid, PidfdFlags::empty()) {
            Err(rustix::io::Errno::SRCH) => return Err(gone()),
            other => other.attempt(|| format!("open process {}", self.init_process_pid))?,
        };
        // The descriptor holds whoever had the pid when it was opened: check after, not before.
        if self.is_alive() { Ok(pidfd) } else { Err(gone()) }
    }

    /// Whether the container has a pid namespace of its own, whose processes die with its first.
    pub fn has_own_pids(&self) -> bool {
        self.own_pids
    }

    /// The state as the specification has it.
    pub fn reported(&self, status: Status) -> Reported {
        Reported {
            oci_version: self.oci_version.clone(),
            id: self.id.clone(),
            pid: if status == Status::Stopped { 0 } else { self.init_process_pid },
            status,
            bundle: self.bundle.clone(),
            rootfs: None,
            created: None,
            annotations: self.annotations.clone(),
            owner: None,
        }
    }

    /// The state with what runc adds to it, for people and engines that list containers.
    pub fn listed(&self, status: Status) -> Reported {
        Reported {
            rootfs: Some(self.config.rootfs.clone()),
            created: Some(self.created.clone()),
            owner: Some(user_name(self.owner)),
            ..self.reported(status)
        }
    }
}

/// This process, as [`State::creator`] keeps it.
pub fn creator() -> (i32, u64) {
    let pid = std::process::id() as i32;
    (pid, process_start(pid).map_or(0, |(_, start)| start))
}

/// The time now, RFC 3339 with nanoseconds, UTC.
pub fn now() -> String {
    humantime::format_rfc3339_nanos(SystemTime::now()).to_string()
}

/// The name of a user by /etc/passwd; the number when it tells none.
pub fn user_name(uid: u32) -> String {
    let number = uid.to_string();
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    passwd
        .lines()
        .find_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next()?;
            (fields.nth(1)? == number).then(|| name.to_owned())
        })
        .unwrap_or(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_with_path_characters_are_refused() {
        let root = Path::new("/run/nskit");
        for id in ["", ".", "..", "a/b", "../x", "a b", "a\n", "ü", &"x".repeat(256)] {
            assert!(Folder::of(root, id).is_err(), "{id:?}");
        }
        for id in ["a", "nskit-test.1_+", "...", &"x".repeat(255)] {
            assert!(Folder::of(root, id).is_ok(), "{id:?}");
        }
    }

    #[test]
    fn a_process_is_known_by_its_start_too() {
        let (alive, start) = process_start(std::process::id() as i32).unwrap();
        assert!(alive && start > 0);
        assert_eq!(process_start(0), None);
    }
}
