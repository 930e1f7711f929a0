//! The state of a container as it is kept between commands, and as it is told.
//!
//! state.json has the names that runc's has, where it says the same: monitoring tools read these.

use std::collections::BTreeMap;
use std::fs;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::SystemTime;

use rustix::process::{Pid, PidfdFlags};
use serde::{Deserialize, Serialize};

use crate::error::{Attempt, Error, Kind, Result};
use crate::namespace;

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

/// The systemd unit of a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SystemdUnit {
    /// Its name.
    pub name: String,
    /// Its description, by which it is told from another unit of that name.
    pub description: String,
    /// It is one of its owner's service manager, not of the system's.
    pub user: bool,
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
    /// Its unit, when systemd has made its cgroup: on record before it is started, and its cgroup only once it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub systemd_unit: Option<SystemdUnit>,
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
    /// What its standard streams were when it was made, if they were pipes: as /proc/PID/fd has it. These are the outside's,
    /// whoever in the container has them by now.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub external_descriptors: Vec<String>,
    /// Its processes were restored: they have executed nothing since they were made.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub restored: bool,
    /// Its processes are in a time namespace that its configuration does not ask for: they were restored, by a machine with
    /// other clocks.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub time_namespace: bool,
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

/// What one read(2) gives of a small file of procfs.
pub(crate) fn read_once<'a>(path: &str, buffer: &'a mut [u8]) -> Option<&'a [u8]> {
    let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::CLOEXEC;
    let file = rustix::fs::open(path, flags, rustix::fs::Mode::empty()).ok()?;
    let length = rustix::io::read(&file, &mut *buffer).ok()?;
    Some(&buffer[..length])
}

/// What /proc/PID/stat tells of a process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stat {
    /// Which process.
    pub(crate) pid: i32,
    /// It still runs.
    alive: bool,
    /// It has executed a program since it was forked.
    pub(crate) executed: bool,
    /// When it started, in clock ticks after boot.
    pub(crate) started: u64,
    /// Signals that it ignores, a bit for each from SIGHUP on.
    pub(crate) ignored: u32,
}

/// Whether a process still runs, and when it started, in clock ticks after boot.
///
/// `None` when there is no such process.
pub fn process_start(pid: i32) -> Option<(bool, u64)> {
    process_stat(pid).map(|stat| (stat.alive, stat.started))
}

/// What /proc/PID/stat tells; `None` when there is no such process.
pub(crate) fn process_stat(pid: i32) -> Option<Stat> {
    if pid > 0 { read_stat(&format!("/proc/{pid}/stat")) } else { None }
}

fn read_stat(file: &str) -> Option<Stat> {
    // One read: the file is made anew for each.
    let mut buffer = [0; 1024];
    let stat = read_once(file, &mut buffer)?;
    let pid = std::str::from_utf8(stat.split(|byte| *byte == b' ').next()?).ok()?.parse().ok()?;
    // The name in parentheses may hold anything, parentheses and spaces too.
    let after_name = stat.iter().rposition(|byte| *byte == b')')? + 2;
    let rest = std::str::from_utf8(stat.get(after_name..)?).ok()?;
    let mut fields = rest.split(' ');
    let alive = !matches!(fields.next()?, "Z" | "X" | "x");
    // PF_FORKNOEXEC of linux/sched.h, in field 9; the state was 3.
    let executed = fields.nth(5)?.parse::<u32>().ok()? & 0x40 == 0;
    // Fields 22 and 33.
    let (started, ignored) = (fields.nth(12)?.parse().ok()?, fields.nth(10)?.parse().ok()?);
    Some(Stat { pid, alive, executed, started, ignored })
}

/// Whether `pid`, which has let go of its close-on-exec descriptors, did so by execve(2) and not by its end.
///
/// A process loses its memory before its descriptors, and with it the link to its program: with that there, one system
/// call says that it lives on.
pub(crate) fn has_executed(pid: i32) -> bool {
    let mut buffer = [std::mem::MaybeUninit::uninit(); 8];
    rustix::fs::readlinkat_raw(rustix::fs::CWD, format!("/proc/{pid}/exe"), &mut buffer).is_ok()
        // Gone altogether, it was somebody else's to reap, who knows.
        || process_stat(pid).is_none_or(|stat| stat.executed)
}

impl State {
    /// Its first process is `pid`, from now on.
    pub(crate) fn has_process(&mut self, pid: Pid) {
        self.init_process_pid = pid.as_raw_nonzero().get();
        self.init_process_start = process_start(self.init_process_pid).map_or(0, |(_, start)| start);
        self.namespace_paths = namespace_paths(self.init_process_pid);
    }

    /// Whether the first process still runs: the same one, not another with its pid.
    pub fn is_alive(&self) -> bool {
        self.living().is_some()
    }

    /// The first process, if it still runs.
    pub(crate) fn living(&self) -> Option<Stat> {
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

/// As runc keeps them: `NEWNET` → `/proc/PID/ns/net`.
fn namespace_paths(pid: i32) -> BTreeMap<String, PathBuf> {
    namespace::Kind::ALL
        .into_iter()
        .map(|kind| {
            let key = match kind {
                namespace::Kind::Mount => "NEWNS".to_owned(),
                other => format!("NEW{}", other.proc_name().to_uppercase()),
            };
            (key, PathBuf::from(format!("/proc/{pid}/ns/{}", kind.proc_name())))
        })
        .collect()
}

/// What this process's standard streams are, as /proc/PID/fd has it, if one is a pipe; what is none has no name.
pub(crate) fn pipes_of_streams() -> Vec<String> {
    use rustix::fs::FileType;
    let name = |stream| match rustix::fs::fstat(stream) {
        Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Fifo => format!("pipe:[{}]", stat.st_ino),
        _ => String::new(),
    };
    let names = [rustix::stdio::stdin(), rustix::stdio::stdout(), rustix::stdio::stderr()].map(name);
    if names.iter().all(String::is_empty) { Vec::new() } else { names.into() }
}

/// What /proc tells of this process; nothing of note where there is no /proc.
pub(crate) fn own_stat() -> Stat {
    read_stat("/proc/self/stat").unwrap_or_else(|| {
        let pid = std::process::id() as i32;
        Stat { pid, alive: true, executed: true, started: 0, ignored: 0 }
    })
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
    fn a_process_is_known_by_its_start_too() {
        let (alive, start) = process_start(std::process::id() as i32).unwrap();
        assert!(alive && start > 0);
        assert_eq!(process_start(0), None);
    }
}
