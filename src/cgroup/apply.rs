//! Setting limits: the planned writes, done, and the reason when the kernel refuses one.

use std::path::Path;

use rustix::io::Errno;

use super::devices::{self, Access, Policy, Rule};
use super::{Cgroup, Controller, Resources, Write, file};
use crate::error::{Attempt, Error, Result};
use crate::sys::sched::mask_of_list;
use crate::sys::userns;

impl Cgroup {
    /// Sets limits and device rules; what `resources` leaves out stays as it is.
    ///
    /// # Errors
    /// A value that makes no sense, a controller that the cgroup does not have, or a write that the kernel refused,
    /// with the file, the value and the reason. What was written before stays.
    pub fn apply(&mut self, resources: &Resources) -> Result<()> {
        let writes = resources.writes(self.unified)?;
        self.check_memory(resources)?;
        // A limit that is set must hold: from now on no hierarchy may be left out.
        self.lenient &= writes.is_empty();
        let mut again: Vec<&Write> = Vec::new();
        for (at, write) in writes.iter().enumerate() {
            if !self.write(write, true)? {
                again.push(write);
            }
            if writes.get(at + 1).is_none_or(|next| next.controller != write.controller) {
                for write in again.drain(..) {
                    self.write(write, false)?;
                }
            }
        }
        resources.devices.as_ref().map_or(Ok(()), |rules| self.apply_devices(rules))
    }

    /// Refuses a limit that is in use already, on v2 and when that is asked for. Where usage cannot be read there is
    /// nothing to check.
    ///
    /// # Errors
    /// Of kind [`crate::error::Kind::Invalid`], with limit and usage.
    pub fn check_memory(&self, resources: &Resources) -> Result<()> {
        if !self.unified || !resources.memory.check_before_update {
            return Ok(());
        }
        let usage = self.path(Controller::Memory).and_then(|dir| file::read(dir, "memory.current").ok());
        match usage.and_then(|usage| usage.trim().parse().ok()) {
            Some(usage) => resources.check_memory_usage(usage),
            None => Ok(()),
        }
    }

    /// Does one write; `false` when it is to be tried again after the others.
    fn write(&self, write: &Write, may_fail: bool) -> Result<bool> {
        let Some(dir) = self.path(write.controller) else {
            return if write.optional { Ok(true) } else { Err(self.no_directory(write.controller)) };
        };
        let result = match (file::write(dir, &write.file, &write.value), &write.otherwise) {
            (Err(Errno::NOENT), Some((name, value))) => (file::write(dir, name, value), *name, value.as_str()),
            (result, _) => (result, &*write.file, write.value.as_str()),
        };
        match result {
            (Ok(()), ..) => Ok(true),
            (Err(Errno::NOENT), ..) if write.optional => Ok(true),
            (Err(Errno::INVAL), ..) if may_fail && write.again => Ok(false),
            (Err(errno), name, value) => Err(self.refused(dir, write.controller, name, value, errno)),
        }
    }

    fn no_directory(&self, controller: Controller) -> Error {
        let why = match self.denied.iter().find(|(denied, _)| self.unified || *denied == controller) {
            Some((_, error)) => format!(" ({})", error.as_go_prints_it()),
            None if self.dirs.is_empty() => String::new(),
            None => format!(" (no {controller} hierarchy is mounted)"),
        };
        Error::unsupported(format!("cannot set {controller} limit: container could not join or create cgroup{why}"))
    }

    /// The reason why the kernel refused `value`.
    fn refused(&self, dir: &Path, controller: Controller, name: &str, value: &str, errno: Errno) -> Error {
        let attempted = file::writing(dir, name, value);
        match self.explain(dir, controller, name, value, errno) {
            // That something is not there, engines take for a program that is not.
            Some(why) if errno == Errno::NOENT => Error::unsupported(format!("{attempted}: {why}")),
            Some(why) => Error::os(errno, format!("{attempted} ({why})")),
            None => Error::os(errno, attempted),
        }
    }

    fn explain(&self, dir: &Path, controller: Controller, name: &str, value: &str, errno: Errno) -> Option<String> {
        let current = |name: &str| {
            let content = file::read(dir, name).ok()?;
            Some(content.trim().to_owned()).filter(|content| !content.is_empty())
        };
        let parents = |name: &str| {
            let content = file::read(dir.parent()?, name).ok()?;
            Some(content.trim().to_owned()).filter(|content| !content.is_empty())
        };
        match (name, errno) {
            ("memory.limit_in_bytes" | "memory.memsw.limit_in_bytes", Errno::BUSY) => {
                let (usage, peak) = if name.contains("memsw") {
                    ("memory.memsw.usage_in_bytes", "memory.memsw.max_usage_in_bytes")
                } else {
                    ("memory.usage_in_bytes", "memory.max_usage_in_bytes")
                };
                Some(format!(
                    "unable to set memory limit (current usage: {}, peak usage: {})",
                    current(usage)?,
                    current(peak)?
                ))
            }
            ("memory.limit_in_bytes", Errno::INVAL) => {
                let swap = current("memory.memsw.limit_in_bytes")?;
                Some(format!(
                    "the limit of memory and swap together is {swap}, and cannot be lower: raise it too (--memory-swap)"
                ))
            }
            ("memory.memsw.limit_in_bytes", Errno::INVAL) => {
                let limit = current("memory.limit_in_bytes")?;
                Some(format!("the limit of memory alone is {limit}, and cannot be higher"))
            }
            ("memory.memsw.limit_in_bytes" | "memory.swap.max", Errno::NOENT) if self.has(dir, controller) => {
                Some("this kernel does not count swap (swapaccount=0, or no CONFIG_SWAP)".to_owned())
            }
            ("cpuset.cpus" | "cpuset.mems", Errno::BUSY) if !self.unified => needed_below(dir, name, value),
            ("cpuset.cpus" | "cpuset.mems", Errno::INVAL | Errno::ACCESS | Errno::RANGE | Errno::PERM) => {
                let above = if self.unified { format!("{name}.effective") } else { name.to_owned() };
                Some(format!("the cgroup above has {}", parents(&above)?))
            }
            ("cpu.cfs_quota_us" | "cpu.cfs_period_us", Errno::INVAL) => {
                let (quota, period) = (parents("cpu.cfs_quota_us")?, parents("cpu.cfs_period_us")?);
                Some(format!("1000 us is the least, and the cgroup above has {quota} us in {period} us"))
            }
            ("cpu.rt_runtime_us", Errno::INVAL) => {
                Some(format!("the cgroup above has {} us of real-time", parents(name)?))
            }
            ("cpu.max.burst" | "cpu.cfs_burst_us", Errno::INVAL) => Some("it cannot be above the quota".to_owned()),
            ("cpu.weight" | "cpu.shares", Errno::INVAL) if current("cpu.idle").is_some_and(|idle| idle == "1") => {
                Some("the cgroup is idle (cpu.idle is 1), and such a cgroup has no weight".to_owned())
            }
            (_, Errno::NODEV | Errno::NXIO) if controller == Controller::Blkio => {
                Some("no such block device, or only a partition of one".to_owned())
            }
            (_, Errno::NOENT) if self.unified && controller == Controller::Unified && dir.exists() => {
                self.not_available(dir, controller, name).or_else(|| Some("a cgroup has no such property".to_owned()))
            }
            (_, Errno::NOENT | Errno::ACCESS | Errno::PERM) if self.unified => {
                self.not_available(dir, controller, name)
            }
            (_, Errno::NOENT) => {
                Some(format!("this kernel has no such limit, or there is no cgroup {}", dir.display()))
            }
            _ => None,
        }
    }

    /// Whether the cgroup has the controller (on v1: it has its directory).
    fn has(&self, dir: &Path, controller: Controller) -> bool {
        let name = controller.unified_name();
        !self.unified
            || file::read(dir, "cgroup.controllers")
                .is_ok_and(|controllers| controllers.split_ascii_whitespace().any(|word| word == name))
    }

    /// Why a file of v2 is missing: the controller was not passed down to the cgroup.
    fn not_available(&self, dir: &Path, controller: Controller, file_name: &str) -> Option<String> {
        let name = match controller {
            Controller::Unified => file_name.split('.').next()?,
            controller => controller.unified_name(),
        };
        let available = file::read(dir, "cgroup.controllers").ok()?;
        if name == "cgroup" || available.split_ascii_whitespace().any(|word| word == name) {
            return None;
        }
        let why = self.not_enabled.as_ref().map_or(String::new(), |error| format!(": {}", error.as_go_prints_it()));
        Some(format!("controller {name:?} is not available in this cgroup{why}"))
    }

    fn apply_devices(&mut self, rules: &[Rule]) -> Result<()> {
        let policy = Policy::from_rules(rules)?;
        let main = if self.unified { Controller::Unified } else { Controller::Devices };
        let Some(at) = self.dirs.iter().position(|dir| dir.controllers.contains(&main)) else {
            if self.rootless {
                return Ok(());
            }
            return Err(Error::unsupported(
                "the devices controller is not mounted, and without it a container could use every device",
            ));
        };
        let dir = &self.dirs[at];
        let result = if self.unified {
            self.open_dir(&dir.path).and_then(|fd| devices::ebpf::set(fd, &policy, dir.fresh))
        } else {
            devices::v1::set(&dir.path, &policy, dir.fresh)
        };
        // From now on there are rules to be replaced.
        self.dirs[at].fresh = false;
        match result {
            Err(error) if self.may_go_without(rules) => {
                log::debug!("device rules cannot be set, and are not needed here: {error}");
                Ok(())
            }
            result => result.attempt(|| "set the device rules"),
        }
    }

    /// Whether a container is no less safe when its device rules cannot be set: its user could not make device nodes
    /// anyway, or (v2) the rules forbid nothing.
    fn may_go_without(&self, rules: &[Rule]) -> bool {
        self.rootless
            || userns::is_in_another()
            || (self.unified && rules.iter().all(|rule| rule.allow && rule.access == Access::ALL))
    }

    /// How many processes of the cgroup the kernel has killed for want of memory; 0 where nobody counts.
    pub fn oom_kills(&self) -> u64 {
        let name = if self.unified { "memory.events" } else { "memory.oom_control" };
        self.path(Controller::Memory)
            .and_then(|dir| file::read(dir, name).ok())
            .map_or(0, |content| file::value_of(&content, "oom_kill"))
    }

    /// Gives a v2 cgroup to a user of the host, who then may manage it as their own: the directory and those of its
    /// files that the kernel lists in `/sys/kernel/cgroup/delegate` (cgroups(7), "Delegation"). Nothing happens on v1,
    /// where that is not safe.
    ///
    /// # Errors
    /// A file cannot be given away; files that this kernel lacks are passed over.
    pub fn delegate(&self, uid: rustix::fs::Uid) -> Result<()> {
        let Some(dir) = self.path(Controller::Unified).filter(|_| self.unified) else { return Ok(()) };
        let own = |path: &Path| rustix::fs::chown(path, Some(uid), None);
        own(dir).attempt(|| format!("chown {}", dir.display()))?;
        let files = file::read_path(Path::new("/sys/kernel/cgroup/delegate"))
            .unwrap_or_else(|_| "cgroup.procs\ncgroup.subtree_control\ncgroup.threads\n".to_owned());
        for path in files.lines().filter(|name| !name.contains('/')).map(|name| dir.join(name)) {
            match own(&path) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(errno) => {
                    return Err(Error::os(errno, format!("chown {}", path.display())));
                }
            }
        }
        Ok(())
    }
}

/// Which child cgroup of v1 has processors or memory nodes that its parent is to lose, and so keeps it from that.
fn needed_below(dir: &Path, name: &str, value: &str) -> Option<String> {
    let wanted = mask_of_list(value)?;
    file::children(dir).ok()?.into_iter().find_map(|child| {
        let list = file::read(&child, name).ok()?;
        let has = mask_of_list(list.trim())?;
        let is_within = has.iter().enumerate().all(|(at, bits)| bits & !wanted.get(at).copied().unwrap_or(0) == 0);
        let (child, list) = (child.display(), list.trim());
        (!is_within).then(|| format!("the child cgroup {child} has {list}: take from that first"))
    })
}
