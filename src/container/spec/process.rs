//! The process of a configuration or of `exec`: checked and looked up before the child exists, applied in the child.

use std::ffi::CString;
use std::fmt;
use std::path::PathBuf;

use oci_spec::runtime::{
    Capabilities as SpecCapabilities, Linux, LinuxPersonalityDomain, PosixRlimitType, Process as SpecProcess,
};
use rustix::process::{Pid, Resource, Rlimit};
use rustix::termios::Winsize;

use crate::container::spec::scheduling::{Affinity, affinity, io_priority, memory_policy, scheduler, set_affinity};
use crate::error::{Attempt, Error, Result};
use crate::launch::program::{self, Capabilities, Credentials, Program, c_string};
use crate::lsm;
use crate::sys::sched::SchedAttr;

/// Everything that a process is started with.
#[derive(Debug)]
pub struct Process {
    pub(crate) program: Program,
    pub(crate) cwd: PathBuf,
    pub(crate) credentials: Credentials,
    pub(crate) umask: u32,
    pub(crate) capabilities: Capabilities,
    pub(crate) no_new_privs: bool,
    pub(crate) has_filter: bool,
    /// The parent may not look into this process: it is sent the filter's listener.
    pub(crate) sends_listener: bool,
    pub(crate) apparmor: Option<String>,
    pub(crate) selinux: Option<String>,
    pub(crate) scheduler: Option<SchedAttr>,
    pub(crate) io_priority: Option<(u32, u32)>,
    pub(crate) personality: Option<u64>,
    pub(crate) memory_policy: Option<(u32, Vec<u64>)>,
    pub(crate) has_home: bool,
    /// It is to have a terminal.
    pub terminal: bool,
    /// The size of that terminal.
    pub size: Option<Winsize>,
    pub(crate) rlimits: Vec<(Resource, Rlimit)>,
    pub(crate) oom_score_adj: Option<i32>,
    pub(crate) affinity: Affinity,
}

impl Process {
    /// Prepares `process` of a container configured by `linux`. With `has_filter` the parent is to send a seccomp filter.
    ///
    /// # Errors
    /// Which property is not valid.
    pub fn prepare(process: &SpecProcess, linux: Option<&Linux>, has_filter: bool) -> Result<Process> {
        crate::container::spec::validate::validate_process(process)?;
        let strings = |list: &Option<Vec<String>>, what| -> Result<Vec<CString>> {
            list.iter().flatten().map(|text| c_string(text.as_str(), what)).collect()
        };
        let mut env = last_of_each(strings(process.env(), "environment variable")?);
        // As runc: an empty home is none.
        env.retain(|entry| entry.to_bytes() != b"HOME=");
        let has_home = env.iter().any(|entry| entry.to_bytes().starts_with(b"HOME="));
        let user = process.user();
        let size = process.console_size().filter(|size| size.height() > 0 || size.width() > 0).map(|size| Winsize {
            ws_row: u16::try_from(size.height()).unwrap_or(u16::MAX),
            ws_col: u16::try_from(size.width()).unwrap_or(u16::MAX),
            ws_xpixel: 0,
            ws_ypixel: 0,
        });
        let text = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        let apparmor = text(process.apparmor_profile());
        if let Some(profile) = &apparmor
            && profile != "unconfined"
            && !lsm::apparmor_enabled()
        {
            return Err(Error::unsupported(format!(
                "apparmor profile {profile:?} is specified in config, but apparmor is not enabled on this kernel"
            )));
        }
        Ok(Process {
            program: Program { args: strings(process.args(), "argument")?, env },
            cwd: process.cwd().clone(),
            credentials: Credentials {
                uid: user.uid(),
                gid: user.gid(),
                groups: Some(user.additional_gids().clone().unwrap_or_default()),
            },
            umask: user.umask().unwrap_or(0o022),
            capabilities: capabilities(process),
            no_new_privs: process.no_new_privileges().unwrap_or(false),
            has_filter,
            sends_listener: false,
            apparmor: apparmor.filter(|profile| profile != "unconfined"),
            selinux: text(process.selinux_label()),
            scheduler: process.scheduler().as_ref().map(scheduler).transpose()?,
            io_priority: process
                .io_priority()
                .map(|priority| io_priority(priority.class(), priority.priority()))
                .transpose()?,
            personality: linux.and_then(|linux| linux.personality().as_ref()).map(|personality| {
                // PER_LINUX32 of linux/personality.h.
                if personality.domain() == LinuxPersonalityDomain::PerLinux32 { 0x0008 } else { 0 }
            }),
            memory_policy: linux.and_then(|linux| linux.memory_policy().as_ref()).map(memory_policy).transpose()?,
            has_home,
            terminal: process.terminal().unwrap_or(false),
            size,
            rlimits: rlimits(process)?,
            oom_score_adj: process.oom_score_adj(),
            affinity: affinity(process)?,
        })
    }

    /// The user id that it runs as.
    pub fn uid(&self) -> u32 {
        self.credentials.uid
    }

    /// The environment as pairs, for hooks that bring none. For a process whose root is the container's.
    ///
    /// # Errors
    /// When the user's home cannot be looked up.
    pub fn environment(&self) -> Result<Vec<(String, String)>> {
        let text = |entry: &CString| entry.to_string_lossy().into_owned();
        let home = self.home()?;
        Ok(self
            .program
            .env
            .iter()
            .chain(&home)
            .filter_map(|entry| text(entry).split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned())))
            .collect())
    }

    /// The variable that tells the user's home as the container's root has it, where the configuration does not.
    pub(crate) fn home(&self) -> Result<Option<CString>> {
        if self.has_home {
            return Ok(None);
        }
        let mut variable = b"HOME=".to_vec();
        variable.extend_from_slice(program::home_of(self.credentials.uid)?.to_bytes());
        Ok(CString::new(variable).ok())
    }

    /// Whether it runs under a label, which is set through the host's procfs.
    pub fn is_labelled(&self) -> bool {
        self.apparmor.is_some() || self.selinux.is_some()
    }

    /// Where it starts.
    pub fn cwd(&self) -> &std::path::Path {
        &self.cwd
    }

    /// The SELinux context that it runs in.
    pub fn selinux_label(&self) -> Option<&str> {
        self.selinux.as_deref()
    }

    /// Adds a variable to its environment.
    ///
    /// # Errors
    /// When it has a NUL byte.
    pub fn add_variable(&mut self, variable: String) -> Result<()> {
        self.program.env.push(c_string(variable, "environment variable")?);
        Ok(())
    }

    /// Has the program start with this limit, where the configuration has none for the resource: the runtime has changed its
    /// own, which the program would inherit.
    pub fn default_limit(&mut self, resource: Resource, limit: Rlimit) {
        if self.rlimits.iter().all(|(limited, _)| *limited != resource) {
            self.rlimits.push((resource, limit));
        }
    }

    /// Leaves groups as they are: setgroups(2) is denied in the user namespace.
    ///
    /// # Errors
    /// When it is to have groups all the same.
    pub fn keep_groups(&mut self) -> Result<()> {
        if self.credentials.groups.as_ref().is_some_and(|groups| !groups.is_empty()) {
            return Err(Error::invalid("cannot set any additional groups in a rootless container"));
        }
        self.credentials.groups = None;
        Ok(())
    }

    /// Sends the listener of its filter to a parent that may not take it: one without privilege over what it has started.
    pub fn send_listener(&mut self) {
        self.sends_listener = true;
    }

    /// Leaves groups as they are, whatever the configuration lists.
    pub fn keep_original_groups(&mut self) {
        self.credentials.groups = None;
    }

    /// For `exec`: whether it is to be confined to processors.
    pub fn has_affinity(&self) -> bool {
        self.affinity.initial.is_some() || self.affinity.last.is_some()
    }

    /// For `exec`: whether it is to stay confined to processors. Otherwise it may run on all that its cgroups allow, as the
    /// container's first process may.
    pub fn ends_with_affinity(&self) -> bool {
        self.affinity.last.is_some()
    }

    /// For `exec`: confines the child to processors before it joins the container's cgroup.
    ///
    /// # Errors
    /// `EINVAL` for processors that there are not.
    pub fn set_initial_affinity(&self, pid: Pid) -> Result<()> {
        set_affinity(pid, self.affinity.initial.as_ref())
    }

    /// For `exec`: confines the child to processors once it has joined the container's cgroup.
    ///
    /// # Errors
    /// `EINVAL` for processors that there are not, or that the cgroup denies.
    pub fn set_final_affinity(&self, pid: Pid) -> Result<()> {
        set_affinity(pid, self.affinity.last.as_ref())
    }

    /// The parent's part: limits that the child may lack the privilege to set.
    ///
    /// # Errors
    /// `EPERM` for a hard limit above the caller's without `CAP_SYS_RESOURCE`, and for a lower oom_score_adj likewise.
    pub fn limit(&self, pid: Pid) -> Result<()> {
        for (resource, limit) in &self.rlimits {
            // The child still has work to do under its old limits; what it may not raise by itself is raised here.
            let own = rustix::process::getrlimit(*resource);
            let is_higher = own.maximum.is_some_and(|own| limit.maximum.is_none_or(|wanted| wanted > own));
            if is_higher {
                let raised = Rlimit { current: own.current, maximum: limit.maximum };
                rustix::process::prlimit(Some(pid), *resource, raised)
                    .attempt(|| format!("raise {} to {}", name(*resource), shown(limit)))?;
            }
        }
        if let Some(adjustment) = self.oom_score_adj {
            let path = format!("/proc/{}/oom_score_adj", pid.as_raw_nonzero());
            std::fs::write(&path, adjustment.to_string()).attempt(|| format!("write {adjustment} to {path}"))?;
        }
        Ok(())
    }
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (ids, sets) = (&self.credentials, &self.capabilities);
        write!(f, "{:?} as {}:{} in {}", self.program.args, ids.uid, ids.gid, self.cwd.display())?;
        write!(f, ", capabilities {:#x} of {:#x}, ", sets.effective, sets.bounding)?;
        let seccomp = if self.has_filter { "with" } else { "without" };
        write!(f, "{seccomp} a seccomp filter, no_new_privs {}", self.no_new_privs)
    }
}

/// The environment with the last value of each variable alone: programs do not agree on which of several they take.
fn last_of_each(mut env: Vec<CString>) -> Vec<CString> {
    let mut seen = std::collections::HashSet::with_capacity(env.len());
    let is_last: Vec<bool> =
        env.iter().rev().map(|entry| seen.insert(entry.to_bytes().split(|byte| *byte == b'=').next())).collect();
    let mut is_last = is_last.into_iter().rev();
    env.retain(|_| is_last.next() == Some(true));
    env
}

/// Bit `n` for each capability number n of a set.
pub fn mask(set: Option<&SpecCapabilities>) -> u64 {
    set.into_iter().flatten().fold(0, |mask, capability| {
        // Both crates know the kernel's names; one of them the numbers.
        let name = format!("CAP_{capability}");
        match name.parse::<caps::Capability>() {
            Ok(capability) => mask | capability.bitmask(),
            Err(_) => mask,
        }
    })
}

fn capabilities(process: &SpecProcess) -> Capabilities {
    let Some(sets) = process.capabilities() else { return Capabilities::default() };
    let permitted = mask(sets.permitted().as_ref());
    let inheritable = mask(sets.inheritable().as_ref());
    // The kernel refuses an ambient capability that is not both; runc warns in these words and goes on.
    for capability in sets.ambient().iter().flatten() {
        if mask(Some(&std::iter::once(*capability).collect())) & permitted & inheritable == 0 {
            log::warn!("can't raise ambient capability CAP_{capability}: operation not permitted");
        }
    }
    Capabilities {
        bounding: mask(sets.bounding().as_ref()),
        effective: mask(sets.effective().as_ref()),
        permitted,
        inheritable,
        ambient: mask(sets.ambient().as_ref()) & permitted & inheritable,
    }
}

/// `SOFT:HARD` of a limit.
pub(crate) fn shown(limit: &Rlimit) -> String {
    let text = |value: Option<u64>| value.map_or("unlimited".to_owned(), |value| value.to_string());
    format!("{}:{}", text(limit.current), text(limit.maximum))
}

fn rlimits(process: &SpecProcess) -> Result<Vec<(Resource, Rlimit)>> {
    let mut limits: Vec<(Resource, Rlimit)> = Vec::new();
    for limit in process.rlimits().iter().flatten() {
        let resource = match limit.typ() {
            PosixRlimitType::RlimitCpu => Resource::Cpu,
            PosixRlimitType::RlimitFsize => Resource::Fsize,
            PosixRlimitType::RlimitData => Resource::Data,
            PosixRlimitType::RlimitStack => Resource::Stack,
            PosixRlimitType::RlimitCore => Resource::Core,
            PosixRlimitType::RlimitRss => Resource::Rss,
            PosixRlimitType::RlimitNproc => Resource::Nproc,
            PosixRlimitType::RlimitNofile => Resource::Nofile,
            PosixRlimitType::RlimitMemlock => Resource::Memlock,
            PosixRlimitType::RlimitAs => Resource::As,
            PosixRlimitType::RlimitLocks => Resource::Locks,
            PosixRlimitType::RlimitSigpending => Resource::Sigpending,
            PosixRlimitType::RlimitMsgqueue => Resource::Msgqueue,
            PosixRlimitType::RlimitNice => Resource::Nice,
            PosixRlimitType::RlimitRtprio => Resource::Rtprio,
            PosixRlimitType::RlimitRttime => Resource::Rttime,
        };
        if limits.iter().any(|(other, _)| *other == resource) {
            return Err(Error::invalid(format!("rlimit {} is given twice", limit.typ())));
        }
        // RLIM_INFINITY has no number of its own here.
        let value = |value: u64| (value != u64::MAX).then_some(value);
        limits.push((resource, Rlimit { current: value(limit.soft()), maximum: value(limit.hard()) }));
    }
    Ok(limits)
}

/// As setrlimit(2) has it.
pub(crate) fn name(resource: Resource) -> String {
    format!("RLIMIT_{resource:?}").to_uppercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_capability_of_the_specification_has_its_number() {
        let all: SpecCapabilities = serde_json::from_str(
            r#"["CAP_CHOWN", "CAP_SYS_ADMIN", "CAP_CHECKPOINT_RESTORE", "CAP_BPF", "CAP_PERFMON", "CAP_AUDIT_READ"]"#,
        )
        .unwrap();
        assert_eq!(mask(Some(&all)), 1 | 1 << 21 | 1 << 40 | 1 << 39 | 1 << 38 | 1 << 37);
    }
}
