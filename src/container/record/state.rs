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

use super::life::Status;
use super::process::Stat;
use crate::error::{Attempt, Error, Kind, Result};
use crate::namespace;

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
    /// Its resctrl group, if it has one: on record before it is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intel_rdt_path: Option<PathBuf>,
    /// The group below that which counts for this container alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intel_rdt_mon_path: Option<PathBuf>,
    /// The group was made for this container, and goes with it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub intel_rdt_made: bool,
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

impl State {
    /// Its first process is `pid`, from now on.
    ///
    /// # Errors
    /// When it cannot be told when that process started, or it is gone already.
    pub(crate) fn has_process(&mut self, pid: Pid) -> Result<()> {
        let pid = pid.as_raw_nonzero().get();
        let gone = || Error::new(Kind::Died, format!("the container's process {pid} is gone before it was on record"));
        self.init_process_start = Stat::of(pid)?.ok_or_else(gone)?.started;
        self.init_process_pid = pid;
        self.namespace_paths = namespace_paths(pid);
        Ok(())
    }

    /// The first process, if it still runs: the same one, not another with its pid.
    ///
    /// # Errors
    /// When that cannot be told.
    pub(crate) fn living(&self) -> Result<Option<Stat>> {
        Ok(Stat::of(self.init_process_pid)?.filter(|stat| stat.alive && stat.started == self.init_process_start))
    }

    /// A descriptor of the first process, by which signals reach it and no other, and what it does; `None` when it is gone,
    /// or was never there.
    ///
    /// # Errors
    /// As pidfd_open(2), and when it cannot be told whether the process is the same.
    pub(crate) fn open_init(&self) -> Result<Option<(OwnedFd, Stat)>> {
        let Some(pid) = Pid::from_raw(self.init_process_pid) else { return Ok(None) };
        let pidfd = match rustix::process::pidfd_open(pid, PidfdFlags::empty()) {
            Err(rustix::io::Errno::SRCH) => return Ok(None),
            other => other.attempt(|| format!("open process {}", self.init_process_pid))?,
        };
        // The descriptor holds whichever process had the pid when it was opened: check after, not before.
        Ok(self.living()?.map(|stat| (pidfd, stat)))
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

/// The time now, RFC 3339 with nanoseconds, UTC.
pub fn now() -> String {
    humantime::format_rfc3339_nanos(SystemTime::now()).to_string()
}

/// The name of a user by /etc/passwd; the number when it tells none.
pub fn user_name(uid: u32) -> String {
    let number = uid.to_string();
    let passwd = match fs::read_to_string("/etc/passwd") {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            log::warn!("user {uid} is shown by number: {}", Error::io(&error, "read /etc/passwd"));
            String::new()
        }
        passwd => passwd.unwrap_or_default(),
    };
    passwd
        .lines()
        .find_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next()?;
            (fields.nth(1)? == number).then(|| name.to_owned())
        })
        .unwrap_or(number)
}
