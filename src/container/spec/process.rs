//! The process of a configuration or of `exec`: checked and looked up before the child exists, applied in the child.

use std::convert::Infallible;
use std::ffi::CString;
use std::fmt;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;

use oci_spec::runtime::{
    Capabilities as SpecCapabilities, Linux, LinuxPersonalityDomain, PosixRlimitType, Process as SpecProcess,
};
use rustix::io::Errno;
use rustix::process::{Pid, Resource, Rlimit};
use rustix::termios::Winsize;

use crate::container::spec::scheduling::{
    Affinity, affinity, io_priority, memory_policy, scheduler, set_affinity, shown_policy,
};
use crate::error::{Attempt, Error, Result};
use crate::launch::link::{Link, Sender};
use crate::launch::program::{self, Capabilities, Credentials, Program, c_string};
use crate::lsm::{self, Proc};
use crate::sys::sched::{self, SchedAttr};

/// Everything that a process is started with.
#[derive(Debug)]
pub struct Process {
    program: Program,
    cwd: PathBuf,
    credentials: Credentials,
    umask: u32,
    capabilities: Capabilities,
    no_new_privs: bool,
    has_filter: bool,
    /// The parent may not look into this process: it is sent the filter's listener.
    sends_listener: bool,
    apparmor: Option<String>,
    selinux: Option<String>,
    scheduler: Option<SchedAttr>,
    io_priority: Option<(u32, u32)>,
    personality: Option<u64>,
    memory_policy: Option<(u32, Vec<u64>)>,
    has_home: bool,
    /// It is to have a terminal.
    pub terminal: bool,
    /// The size of that terminal.
    pub size: Option<Winsize>,
    rlimits: Vec<(Resource, Rlimit)>,
    oom_score_adj: Option<i32>,
    affinity: Affinity,
}

impl Process {
    /// Prepares `process` of a container configured by `linux`. With `has_filter` the parent is to send a seccomp filter.
    ///
    /// # Errors
    /// Which property is not valid.
    pub fn prepare(process: &SpecProcess, linux: Option<&Linux>, has_filter: bool) -> Result<Process> {
        crate::container::spec::bundle::validate_process(process)?;
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
    fn home(&self) -> Result<Option<CString>> {
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

    /// The first half of the child's part: all but what takes its privileges. Finds the file to execute, so that a missing
    /// program fails `create`, not `start`. `has_own_dev`: /dev is the container's, not yet the streams'.
    ///
    /// # Errors
    /// What could not be set, and in the engines' words why the program cannot be executed.
    pub fn confine(&self, proc: Option<&Proc>, link: &mut Link, has_own_dev: bool, preserve_fds: u32) -> Result<Ready> {
        if self.no_new_privs {
            rustix::thread::set_no_new_privs(true).attempt(|| "set no_new_privs")?;
        }
        if let Some(scheduler) = &self.scheduler {
            sched::set_scheduler(scheduler).map_err(|errno| {
                const DEADLINE: u32 = 6;
                let why = if errno == Errno::PERM && scheduler.policy == DEADLINE {
                    " (process scheduler can't be used together with AllowedCPUs)"
                } else {
                    ""
                };
                Error::os(errno, format!("set {}{why}", shown_policy(scheduler)))
            })?;
        }
        if let Some((class, priority)) = self.io_priority {
            sched::set_io_priority(class, priority)
                .attempt(|| format!("set I/O priority {priority} of class {class}"))?;
        }
        if let Some(domain) = self.personality {
            sched::set_personality(domain).attempt(|| format!("set personality {domain:#x}"))?;
        }
        if let Some((mode, nodes)) = &self.memory_policy {
            sched::set_memory_policy(*mode, nodes).attempt(|| format!("set memory policy {mode:#x}"))?;
        }
        if let (Some(profile), Some(proc)) = (&self.apparmor, proc) {
            lsm::apparmor_on_exec(proc, profile)?;
        }
        if let (Some(context), Some(proc)) = (&self.selinux, proc) {
            lsm::selinux_on_exec(proc, context)?;
        }
        // Whoever says later when to start need not know of a filter.
        let mut filter = if self.has_filter { Some(link.wait_for_filter()?) } else { None };
        for (resource, limit) in &self.rlimits {
            rustix::process::setrlimit(*resource, *limit)
                .attempt(|| format!("set {} to {}", name(*resource), shown(limit)))?;
        }
        // Before a filter that may deny it.
        program::settle_streams(self.credentials.uid, has_own_dev)?;
        // Without no_new_privs a filter needs a privilege that is about to go.
        if let Some(filter) = filter.take_if(|_| !self.no_new_privs) {
            // Which may deny what does it at once.
            program::close_on_exec(preserve_fds);
            load(&filter, link, self.sends_listener)?;
        }
        program::limit_bounding_set(self.capabilities.bounding)?;
        // A folder that only root may enter, and one that only the user may: either is fine.
        let entered = match rustix::process::chdir(&self.cwd) {
            Err(Errno::ACCESS) => false,
            other => other
                .attempt(|| format!("chdir to cwd (\"{}\") set in config.json failed", self.cwd.display()))
                .map(|()| true)?,
        };
        program::set_credentials(&self.credentials)?;
        if entered {
            program::verify_directory()
                .attempt(|| format!("chdir to cwd (\"{}\") set in config.json", self.cwd.display()))?;
        } else {
            program::enter_directory(&self.cwd)?;
        }
        program::set_capabilities(&self.capabilities)?;
        program::set_umask(self.umask);
        let mut program = self.program.clone();
        program.env.extend(self.home()?);
        let file = program.find()?;
        let sends_listener = self.sends_listener;
        Ok(Ready { program, file, filter, sends_listener, preserve_fds, is_settled: false })
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

/// Loads `filter`, and waits until its listener, where it has one, is with who answers there.
fn load(filter: &crate::seccomp::Program, link: &mut Link, sends_listener: bool) -> Result<()> {
    let sender = if sends_listener && filter.notifies() { Some(Sender::start(link)?) } else { None };
    let loaded = filter.load();
    let listener = loaded.as_ref().ok().and_then(Option::as_ref).map(AsFd::as_fd);
    // The filter holds already: `write`, which it may not notify, tells of the listener; what comes after may be answered by
    // the agent.
    match (&sender, listener) {
        (Some(sender), listener) => sender.send(listener)?,
        (None, Some(listener)) => link.tell_of_listener(listener)?,
        (None, None) => {}
    }
    let loaded = loaded?;
    sender.iter().try_for_each(Sender::reap)?;
    // It stays open until the other side has it.
    if let Some(_listener) = loaded {
        link.wait_for_hand_over()?;
    }
    Ok(())
}

/// A process with its identity, for which only leave to start is missing.
#[derive(Debug)]
pub struct Ready {
    program: Program,
    file: CString,
    /// Not loaded yet.
    filter: Option<crate::seccomp::Program>,
    sends_listener: bool,
    /// How many descriptors beyond the standard streams the program inherits.
    preserve_fds: u32,
    is_settled: bool,
}

impl Ready {
    /// Lets nothing but the standard streams and what is preserved into programs, and none of them past the seccomp filter.
    ///
    /// # Errors
    /// As prctl(2) and seccomp(2).
    pub fn settle(&mut self, link: &mut Link) -> Result<()> {
        if !std::mem::replace(&mut self.is_settled, true) {
            program::leave_nothing(self.preserve_fds)?;
            if let Some(filter) = self.filter.take() {
                load(&filter, link, self.sends_listener)?;
            }
        }
        Ok(())
    }

    /// Whether its filter has a listener, and is not loaded yet.
    pub fn has_listener(&self) -> bool {
        self.filter.as_ref().is_some_and(crate::seccomp::Program::notifies)
    }

    /// Executes the program.
    ///
    /// # Errors
    /// In the engines' words why the program cannot be executed.
    pub fn execute(mut self, link: &mut Link) -> Result<Infallible> {
        self.settle(link)?;
        self.program.execute(&self.file)
    }
}

/// Makes `terminal` the controlling terminal and the standard streams of this process.
///
/// # Errors
/// As ioctl(2) and dup2(2).
pub fn use_terminal(terminal: BorrowedFd<'_>) -> Result<()> {
    rustix::process::ioctl_tiocsctty(terminal).attempt(|| "make the terminal the controlling one")?;
    let attempted = || "make the terminal the standard streams";
    rustix::stdio::dup2_stdin(terminal).attempt(attempted)?;
    rustix::stdio::dup2_stdout(terminal).attempt(attempted)?;
    rustix::stdio::dup2_stderr(terminal).attempt(attempted)
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
fn shown(limit: &Rlimit) -> String {
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
fn name(resource: Resource) -> String {
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
