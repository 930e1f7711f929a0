//! The systemd driver: a container's cgroup is that of a unit, a scope or a slice, which systemd starts and limits when it
//! is asked to.
//!
//! | file | holds |
//! |---|---|
//! | `name` | which unit `linux.cgroupsPath` means, and where its cgroup is: pure |
//! | `properties`, `legacy` | limits as properties of the unit, on v2 and on v1: pure |
//! | `text` | properties as annotations have them: pure |
//! | `signature`, `wire`, `message` | D-Bus types, values and messages as bytes: pure |
//! | `address`, `bus` | where systemd is reached, and a connection to it |
//!
//! A unit's name may be somebody else's by the time it is to be stopped: another unit of that name may have been there
//! before, or come after the container's own went with its last process. So a unit is stopped by who knows its description,
//! which has the container's id and the folder of its state, unless an annotation gives another; see [`Manager::find`].
//!
//! See org.freedesktop.systemd1(5), and systemd's "The New Control Group Interfaces".

pub mod address;
pub mod bus;
pub mod legacy;
pub mod message;
pub mod name;
pub mod properties;
pub mod signature;
pub mod text;
pub mod wire;

use std::path::PathBuf;

use rustix::process::Pid;

use crate::error::{Error, Kind, Result};
use bus::{Bus, Refusal, Wait};
use message::{Call, Message};
use name::Name;
use properties::Property;
use wire::Value;

const SERVICE: &str = "org.freedesktop.systemd1";
const MANAGER: &str = "org.freedesktop.systemd1.Manager";
const UNIT: &str = "org.freedesktop.systemd1.Unit";
const OBJECT: &str = "/org/freedesktop/systemd1";

/// A container's unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit {
    /// Its name.
    pub name: String,
    /// Its description, by which it is known to be the container's.
    pub description: String,
}

impl Unit {
    fn is_slice(&self) -> bool {
        self.name.ends_with(".slice")
    }
}

/// What is there under the name of a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// The unit.
    Own,
    /// Another one.
    Other,
    /// None.
    Nothing,
}

/// A connection to a service manager.
#[derive(Debug)]
pub struct Manager {
    bus: Bus,
    /// Its version.
    version: u32,
    /// Its own cgroup, below which all units' are.
    cgroup: PathBuf,
    hears_of_jobs: bool,
}

impl Manager {
    /// Connects to the system's service manager, or to that of the calling `user`.
    ///
    /// # Errors
    /// What was attempted, and why none could be reached.
    pub fn connect(user: bool, wait: &Wait<'_>) -> Result<Manager> {
        let whose = if user { "of this user" } else { "of this machine" };
        let mut failures = Vec::new();
        for endpoint in address::endpoints(user, |name| std::env::var_os(name))? {
            match Bus::connect(&endpoint, wait).and_then(|bus| Manager::greet(bus, wait)) {
                Ok(manager) => return Ok(manager),
                Err(error) if error.kind() == Kind::Interrupted => return Err(error),
                Err(error) => failures.push(error.as_go_prints_it()),
            }
        }
        let failures = failures.join("; ");
        Err(Error::unsupported(format!("no way to the systemd {whose}: {failures}: is systemd running?")))
    }

    fn greet(bus: Bus, wait: &Wait<'_>) -> Result<Manager> {
        let mut manager = Manager { hears_of_jobs: bus.is_direct(), bus, version: 0, cgroup: PathBuf::new() };
        let version = manager.property(OBJECT, MANAGER, "Version", wait)?;
        manager.version = number_of(&version);
        let cgroup = manager.property(OBJECT, MANAGER, "ControlGroup", wait)?;
        manager.cgroup = PathBuf::from(cgroup.trim_start_matches('/'));
        Ok(manager)
    }

    /// Its version.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// Where the cgroup of a unit will be, below the mount point of the hierarchy.
    pub fn place_of(&self, name: &Name) -> PathBuf {
        self.cgroup.join(name.cgroup())
    }

    fn call(
        &mut self,
        path: &str,
        interface: &str,
        member: &str,
        arguments: &[Value],
        wait: &Wait<'_>,
    ) -> Result<std::result::Result<Message, Refusal>> {
        let destination = (!self.bus.is_direct()).then_some(SERVICE);
        self.bus.call(&Call { destination, path, interface, member, arguments }, wait)
    }

    /// A property that is a text.
    fn property(&mut self, path: &str, interface: &str, name: &str, wait: &Wait<'_>) -> Result<String> {
        let arguments = [Value::text(interface), Value::text(name)];
        let failed = |why: String| Error::new(Kind::Os, format!("ask systemd for {name} of {path}: {why}"));
        let answer = self
            .call(path, "org.freedesktop.DBus.Properties", "Get", &arguments, wait)?
            .map_err(|refusal| failed(refusal.to_string()))?;
        let values = answer.body("v").map_err(|damage| failed(damage.to_string()))?;
        match &values[..] {
            [Value::Variant(value)] => value.as_text().map(str::to_owned),
            _ => None,
        }
        .ok_or_else(|| failed("it is no text".to_owned()))
    }

    /// What is there under the unit's name.
    ///
    /// # Errors
    /// systemd cannot be asked.
    pub fn find(&mut self, unit: &Unit, wait: &Wait<'_>) -> Result<Found> {
        let path = name::object_path(&unit.name);
        if self.property(&path, UNIT, "Description", wait)? == unit.description {
            return Ok(Found::Own);
        }
        // One that is not active has no cgroup. Whether it is loaded says less: a slice always is.
        let state = self.property(&path, UNIT, "ActiveState", wait)?;
        Ok(if state == "inactive" { Found::Nothing } else { Found::Other })
    }

    /// Starts the unit, in the slice that `name` says, with `pid` in it if it is a scope, and returns when it is started.
    ///
    /// # Errors
    /// There is a unit of that name ([`Kind::Exists`]), a property is refused, or systemd could not start it.
    pub fn start(&mut self, unit: &Unit, slice: &str, pid: Pid, limits: &[Property], wait: &Wait<'_>) -> Result<()> {
        let attempted = |why: String| format!("start systemd unit {}: {why}", unit.name);
        if !unit.is_slice() {
            self.check_pids().map_err(|error| error.context(format!("start systemd unit {}", unit.name)))?;
        }
        let mut all = own_properties(unit, slice, pid);
        all.extend(limits.iter().cloned());
        let auxiliary = Value::Array("(sa(sv))".to_owned(), Vec::new());
        let arguments = [Value::text(&unit.name), Value::text("replace"), array(&all), auxiliary];
        let mut started = self.run_job("StartTransientUnit", &arguments, wait);
        if let Ok(Err(refusal)) = &started
            && refusal.name.ends_with(".UnitExists")
            && self.has_failed(unit, wait)?
        {
            // What a failure left of somebody's unit is in nobody's way.
            self.reset_failed(unit, wait);
            started = self.run_job("StartTransientUnit", &arguments, wait);
        }
        match started {
            Ok(Ok(result)) if result == "done" => Ok(()),
            Ok(Ok(result)) => Err(Error::new(Kind::State, attempted(format!("its job ended as {result:?}, not done")))),
            Ok(Err(refusal)) if refusal.name.ends_with(".UnitExists") => {
                Err(Error::new(Kind::Exists, attempted(format!("unit already exists: {refusal}"))))
            }
            Ok(Err(refusal)) => Err(Error::new(Kind::Invalid, attempted(refusal.to_string()))),
            Err(error) => Err(error.context(format!("start systemd unit {}", unit.name))),
        }
    }

    /// Before systemd is told the number of a process: by that it would know another one, and end that with the unit.
    fn check_pids(&self) -> Result<()> {
        if self.bus.shares_pids()? {
            return Ok(());
        }
        Err(Error::unsupported("systemd is outside of this pid namespace, where processes have other numbers"))
    }

    fn has_failed(&mut self, unit: &Unit, wait: &Wait<'_>) -> Result<bool> {
        let path = name::object_path(&unit.name);
        Ok(self.property(&path, UNIT, "ActiveState", wait)? == "failed")
    }

    fn reset_failed(&mut self, unit: &Unit, wait: &Wait<'_>) {
        let _ = self.call(OBJECT, MANAGER, "ResetFailedUnit", &[Value::text(&unit.name)], wait);
    }

    /// Changes properties of the unit for as long as it is there.
    ///
    /// # Errors
    /// One is refused.
    pub fn set(&mut self, unit: &Unit, properties: &[Property], wait: &Wait<'_>) -> Result<()> {
        if properties.is_empty() {
            return Ok(());
        }
        let arguments = [Value::text(&unit.name), Value::Bool(true), array(properties)];
        let attempted = || format!("change systemd unit {}", unit.name);
        self.call(OBJECT, MANAGER, "SetUnitProperties", &arguments, wait)
            .map_err(|error| error.context(attempted()))?
            .map(drop)
            .map_err(|refusal| Error::new(Kind::Invalid, format!("{}: {refusal}", attempted())))
    }

    /// Has systemd move a process into the unit, for who may not do it themselves.
    ///
    /// # Errors
    /// systemd refuses it.
    pub fn attach(&mut self, unit: &Unit, pid: Pid, wait: &Wait<'_>) -> Result<()> {
        let pids = Value::Array("u".to_owned(), vec![number(pid)]);
        let attempted = || format!("move process {} into systemd unit {}", pid.as_raw_nonzero(), unit.name);
        self.check_pids().map_err(|error| error.context(attempted()))?;
        self.call(OBJECT, MANAGER, "AttachProcessesToUnit", &[Value::text(&unit.name), Value::text(""), pids], wait)
            .map_err(|error| error.context(attempted()))?
            .map(drop)
            .map_err(|refusal| Error::new(Kind::Os, format!("{}: {refusal}", attempted())))
    }

    /// Kills what is in the unit, stops it, and has it forgotten: one that was found to be the container's.
    ///
    /// # Errors
    /// systemd cannot be asked, or does not come to an end.
    pub fn remove(&mut self, unit: &Unit, wait: &Wait<'_>) -> Result<()> {
        let name = || Value::text(&unit.name);
        // Otherwise it asks processes to end first, and waits for that. Of slices it kills nothing, nor has anything to.
        let _ =
            self.call(OBJECT, MANAGER, "KillUnit", &[name(), Value::text("all"), Value::I32(libc::SIGKILL)], wait)?;
        match self.run_job("StopUnit", &[name(), Value::text("replace")], wait) {
            Ok(Ok(result)) if result != "done" => {
                log::warn!("stop systemd unit {}: its job ended as {result:?}, not done", unit.name);
            }
            // It is gone already.
            Ok(_) => {}
            Err(error) => return Err(error.context(format!("stop systemd unit {}", unit.name))),
        }
        self.reset_failed(unit, wait);
        Ok(())
    }

    /// Makes a call that begins a job, and waits for the job's end; says how that was.
    fn run_job(
        &mut self,
        member: &str,
        arguments: &[Value],
        wait: &Wait<'_>,
    ) -> Result<std::result::Result<String, Refusal>> {
        self.hear_of_jobs(wait)?;
        self.bus.forget_signals();
        let answer = match self.call(OBJECT, MANAGER, member, arguments, wait)? {
            Ok(answer) => answer,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let damaged = |damage| Error::new(Kind::Died, format!("what systemd answers to {member} is damaged: {damage}"));
        let job = answer.body("o").map_err(damaged)?;
        let deadline = Bus::deadline();
        loop {
            let signal = self.bus.signal(deadline, wait).map_err(|error| error.context("wait for its job"))?;
            // Anybody on a bus may send a signal: it must come from who has answered, whom the bus names.
            if signal.member != "JobRemoved" || signal.interface != MANAGER || signal.sender != answer.sender {
                continue;
            }
            if let Ok([_, path, _, Value::Text(result)]) = signal.body("uoss").as_deref()
                && job.first() == Some(path)
            {
                return Ok(Ok(result.clone()));
            }
        }
    }

    /// A bus tells only those of jobs who have asked for it, and systemd tells a bus only if somebody has.
    fn hear_of_jobs(&mut self, wait: &Wait<'_>) -> Result<()> {
        if !self.hears_of_jobs {
            let rule =
                format!("type='signal',sender='{SERVICE}',path='{OBJECT}',interface='{MANAGER}',member='JobRemoved'");
            self.bus.daemon("AddMatch", &[Value::Text(rule)], wait)?;
            self.call(OBJECT, MANAGER, "Subscribe", &[], wait)?
                .map_err(|refusal| Error::new(Kind::Os, format!("ask systemd to tell of jobs: {refusal}")))?;
            self.hears_of_jobs = true;
        }
        Ok(())
    }
}

fn number(pid: Pid) -> Value {
    Value::U32(pid.as_raw_nonzero().get().cast_unsigned())
}

/// What makes a unit a container's.
fn own_properties(unit: &Unit, slice: &str, pid: Pid) -> Vec<Property> {
    let mut all = vec![
        ("Description", Value::text(&unit.description)),
        ("DefaultDependencies", Value::Bool(false)),
        ("MemoryAccounting", Value::Bool(true)),
        ("CPUAccounting", Value::Bool(true)),
        ("IOAccounting", Value::Bool(true)),
        ("TasksAccounting", Value::Bool(true)),
    ];
    if unit.is_slice() {
        // Its name says what slice it is in, and no process can be given to it.
        all.push(("Wants", Value::texts([slice])));
    } else {
        all.push(("Slice", Value::text(slice)));
        all.push(("Delegate", Value::Bool(true)));
        all.push(("PIDs", Value::Array("u".to_owned(), vec![number(pid)])));
    }
    all.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn array(properties: &[Property]) -> Value {
    let property = |(name, value): &Property| Value::Struct(vec![Value::text(name), value.clone().in_variant()]);
    Value::Array("(sv)".to_owned(), properties.iter().map(property).collect())
}

/// The number in a version: 257 of `257.9-1~deb13u1`, `v257` and the like; 0 when there is none.
fn number_of(version: &str) -> u32 {
    let digits = version.trim_start_matches(|c: char| !c.is_ascii_digit());
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    digits[..end].parse().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_begins_with_its_number() {
        assert_eq!(["257.9-1~deb13u1", "v245.4", "239", ""].map(number_of), [257, 245, 239, 0]);
    }

    #[test]
    fn a_slice_is_wanted_where_a_scope_is_in_one() {
        let unit = |name: &str| Unit { name: name.to_owned(), description: "x".to_owned() };
        let names = |name: &str| -> Vec<String> {
            own_properties(&unit(name), "a.slice", Pid::INIT).into_iter().map(|(name, _)| name).collect()
        };
        let (scope, slice) = (names("b-c.scope"), names("a-b.slice"));
        assert!(scope.ends_with(&["Slice", "Delegate", "PIDs"].map(str::to_owned)), "{scope:?}");
        assert_eq!(slice.last().map(String::as_str), Some("Wants"));
        assert!(!slice.iter().any(|name| name == "PIDs" || name == "Delegate"));
    }
}
