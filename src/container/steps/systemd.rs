//! The systemd unit of a container: planned before the container's first process, started around it, found again by later
//! verbs and stopped in the end.

use std::path::PathBuf;

use oci_spec::runtime::Spec;
use rustix::process::Pid;

use crate::cgroup::systemd::bus::{Wait, wait_alone};
use crate::cgroup::systemd::legacy;
use crate::cgroup::systemd::name::Name;
use crate::cgroup::systemd::properties::{self, Property};
use crate::cgroup::systemd::wire::Value;
use crate::cgroup::systemd::{Found, Manager, Unit, text};
use crate::cgroup::{Cgroup, Layout, Resources};
use crate::container::record::runtime::Runtime;
use crate::container::record::state::SystemdUnit;
use crate::container::spec::properties::annotation;
use crate::error::{Error, Kind, Result};

/// The annotations that set properties of the unit.
const PROPERTY: &str = "org.systemd.property.";

/// A unit that is to be started.
#[derive(Debug)]
pub struct Planned {
    /// Let go once the unit is started: systemd would fill the socket.
    manager: Option<Manager>,
    unit: SystemdUnit,
    name: Name,
    properties: Vec<Property>,
    /// Which properties annotations set.
    annotated: Vec<String>,
    /// Where its cgroup will be, below the mount point.
    place: PathBuf,
    /// The cgroup below that which the container goes to.
    subgroup: Option<PathBuf>,
}

impl Planned {
    /// Plans the unit for the container `id`; nothing is started yet, but systemd was found.
    ///
    /// # Errors
    /// There is no systemd, or what the configuration says of the unit is not valid.
    pub fn new(
        runtime: &Runtime,
        spec: &Spec,
        id: &str,
        resources: &Resources,
        unified: bool,
        wait: &Wait<'_>,
    ) -> Result<Planned> {
        let path = spec.linux().as_ref().and_then(|linux| linux.cgroups_path().as_ref());
        let path = path.map(|path| {
            path.to_str().ok_or_else(|| Error::invalid("linux.cgroupsPath is not UTF-8, and so names no systemd unit"))
        });
        let user = runtime.rootless();
        let name = Name::parse(path.transpose()?, id, if user { "user.slice" } else { "system.slice" })?;
        let mut annotated = annotated(spec)?;
        // systemd would show the unit's name in its place, by which it is not known again.
        annotated.retain(|(name, value)| name != "Description" || value.as_text() != Some(""));
        let described =
            annotated.iter().rfind(|(name, _)| name == "Description").and_then(|(_, value)| value.as_text());
        let description =
            described.map_or_else(|| format!("container {id} of nskit in {}", runtime.root.display()), str::to_owned);
        let names = annotated.iter().map(|(name, _)| name.clone()).collect();
        let manager = Manager::connect(user, wait)?;
        // In the order in which runc has them: the last one of a name counts.
        let mut properties = annotated;
        properties.extend(match unified {
            true => properties::of(resources, manager.version(), !name.is_slice())?,
            false => legacy::of(resources, manager.version())?,
        });
        Ok(Planned {
            unit: SystemdUnit { name: name.unit.clone(), description, user },
            place: manager.place_of(&name),
            manager: Some(manager),
            subgroup: subgroup(spec)?,
            annotated: names,
            name,
            properties,
        })
    }

    /// What is kept of it.
    pub fn unit(&self) -> &SystemdUnit {
        &self.unit
    }

    /// Where its cgroup will be, below the mount point of the hierarchy.
    pub fn place(&self) -> &std::path::Path {
        &self.place
    }

    /// Starts it around the process `pid`, whose cgroup it gives back. A process is moved into a scope by systemd, into a
    /// slice here.
    ///
    /// # Errors
    /// As [`Manager::start`], and when systemd has not done as it said.
    pub fn start(&mut self, pid: Pid, layout: &Layout, resources: &Resources, wait: &Wait<'_>) -> Result<Cgroup> {
        let Some(mut manager) = self.manager.take() else {
            return Err(Error::invalid("a systemd unit cannot be started twice"));
        };
        manager
            .start(&(&self.unit).into(), &self.name.slice, pid, &self.properties, wait)
            .map_err(|error| self.blame_annotations(error))?;
        if self.name.is_slice() || !layout.is_unified() {
            // On v1 systemd moves it in the hierarchies that it knows.
            let mut cgroup = Cgroup::adopt(layout, &self.place, resources)?;
            cgroup.join(Some(pid))?;
            return Ok(cgroup);
        }
        let place = Layout::place_of_process(pid)?;
        if place.file_name() != self.name.cgroup().file_name() {
            let message = format!(
                "systemd has started {}, but process {} is in cgroup /{}",
                self.name.unit,
                pid.as_raw_nonzero(),
                place.display()
            );
            return Err(Error::new(Kind::State, message));
        }
        let Some(subgroup) = &self.subgroup else { return Cgroup::adopt(layout, &place, resources) };
        // The scope can pass controllers on once there is no process in it.
        let place = place.join(subgroup);
        Cgroup::move_below(layout, &place, pid)?;
        Cgroup::adopt(layout, &place, resources)
    }

    /// systemd does not always say which property it refuses.
    fn blame_annotations(&self, error: Error) -> Error {
        if error.kind() != Kind::Invalid || self.annotated.is_empty() {
            return error;
        }
        let names = self.annotated.join(", ");
        Error::new(error.kind(), format!("{} (annotations {PROPERTY}* set {names})", error.message()))
    }

    /// Whether [`Planned::start`] was called.
    pub fn was_started(&self) -> bool {
        self.manager.is_none()
    }
}

/// crun's annotation for a cgroup below that of the scope, in which the container is.
const SUBGROUP: &str = "run.oci.systemd.subgroup";

fn subgroup(spec: &Spec) -> Result<Option<PathBuf>> {
    let Some(name) = annotation(spec, SUBGROUP).filter(|name| !name.is_empty()) else { return Ok(None) };
    let path = PathBuf::from(name);
    match path.components().all(|component| matches!(component, std::path::Component::Normal(_))) {
        true => Ok(Some(path)),
        false => {
            Err(Error::invalid(format!("annotation {SUBGROUP}: {name:?} is not the name of a cgroup below another")))
        }
    }
}

impl From<&SystemdUnit> for Unit {
    fn from(unit: &SystemdUnit) -> Unit {
        Unit { name: unit.name.clone(), description: unit.description.clone() }
    }
}

impl SystemdUnit {
    /// Sets limits on it. What systemd lacks is for the cgroup's files.
    ///
    /// # Errors
    /// systemd cannot be asked, or refuses one.
    pub fn set(&self, resources: &Resources, unified: bool) -> Result<()> {
        let mut manager = Manager::connect(self.user, &wait_alone)?;
        let properties = match unified {
            true => properties::of(resources, manager.version(), false)?,
            false => legacy::of(resources, manager.version())?,
        };
        manager.set(&self.into(), &properties, &wait_alone)
    }

    /// Has systemd move a process into it.
    ///
    /// # Errors
    /// systemd cannot be asked, or refuses it.
    pub fn attach(&self, pid: Pid) -> Result<()> {
        Manager::connect(self.user, &wait_alone)?.attach(&self.into(), pid, &wait_alone)
    }
}

/// The unit of a container that is to be removed: as systemd knows it now.
#[derive(Debug)]
pub struct Held {
    manager: Manager,
    unit: Unit,
    found: Found,
}

impl Held {
    /// Looks for the unit of the container that `state` is of. `None` where it has none, and where systemd cannot be asked,
    /// which is told: where there is no systemd, there is no unit either.
    pub fn look_for(unit: Option<&SystemdUnit>) -> Option<Held> {
        let unit = unit?;
        let held = Manager::connect(unit.user, &wait_alone).and_then(|mut manager| {
            let unit = unit.into();
            let found = manager.find(&unit, &wait_alone)?;
            Ok(Held { manager, unit, found })
        });
        match held {
            Ok(held) => Some(held),
            Err(error) => {
                log::warn!("look for systemd unit {}: {}", unit.name, error.as_go_prints_it());
                None
            }
        }
    }

    /// Whether its name is another unit's by now, whose cgroup is none of the container's.
    pub fn is_other(&self) -> bool {
        self.found == Found::Other
    }

    /// Stops it and whatever is in it, if it is still there. Another one is left alone.
    ///
    /// # Errors
    /// systemd cannot be asked, or does not come to an end.
    pub fn remove(mut self) -> Result<()> {
        match self.found {
            Found::Own => self.manager.remove(&self.unit, &wait_alone),
            Found::Nothing | Found::Other => Ok(()),
        }
    }
}

/// The properties that annotations set: `org.systemd.property.NAME`, a value in GVariant's text form. Times that systemd
/// documents in seconds but takes in microseconds may be given either way: `TimeoutStopSec`, `TimeoutStopUSec`.
fn annotated(spec: &Spec) -> Result<Vec<Property>> {
    let mut all = Vec::new();
    for (key, value) in spec.annotations().iter().flatten() {
        let Some(name) = key.strip_prefix(PROPERTY) else { continue };
        if name.len() < 3 || !name.bytes().all(|byte| byte.is_ascii_alphabetic()) {
            return Err(Error::invalid(format!("annotation {key}: {name:?} cannot be the name of a systemd property")));
        }
        let wrong = |why: String| Error::invalid(format!("annotation {key}: {value:?}: {why}"));
        let parsed = text::parse(value).map_err(wrong)?;
        all.push(match name.strip_suffix("Sec").filter(|start| start.ends_with(|c: char| c.is_ascii_lowercase())) {
            Some(start) => {
                let microseconds =
                    microseconds(&parsed).ok_or_else(|| wrong("it is not a time in seconds".to_owned()))?;
                (format!("{start}USec"), Value::U64(microseconds))
            }
            None => (name.to_owned(), parsed),
        });
    }
    all.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(all)
}

fn microseconds(seconds: &Value) -> Option<u64> {
    let whole = match seconds {
        Value::Byte(n) => Some(u64::from(*n)),
        Value::I16(n) => u64::try_from(*n).ok(),
        Value::U16(n) => Some(u64::from(*n)),
        Value::I32(n) => u64::try_from(*n).ok(),
        Value::U32(n) => Some(u64::from(*n)),
        Value::I64(n) => u64::try_from(*n).ok(),
        Value::U64(n) => Some(*n),
        Value::F64(n) if *n >= 0.0 && n.is_finite() => return Some((n * 1e6) as u64),
        _ => None,
    };
    whole?.checked_mul(1_000_000)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn properties(annotations: serde_json::Value) -> Result<Vec<Property>> {
        let spec: Spec = serde_json::from_value(json!({"ociVersion": "1.0.0", "annotations": annotations})).unwrap();
        annotated(&spec)
    }

    #[test]
    fn annotations_set_properties() {
        let found = properties(json!({
            "org.systemd.property.TimeoutStopUSec": "uint64 5", "org.systemd.property.CollectMode": "'inactive'",
            "org.example": "x",
        }));
        let expected =
            [("CollectMode".to_owned(), Value::text("inactive")), ("TimeoutStopUSec".to_owned(), Value::U64(5))];
        assert_eq!(found.unwrap(), expected);
    }

    #[test]
    fn seconds_become_microseconds() {
        for (value, expected) in [("3", 3_000_000), ("uint64 2", 2_000_000), ("1.5", 1_500_000), ("byte 1", 1_000_000)]
        {
            let found = properties(json!({"org.systemd.property.TimeoutStopSec": value})).unwrap();
            assert_eq!(found, [("TimeoutStopUSec".to_owned(), Value::U64(expected))]);
        }
        // Not a time: no small letter before it.
        let found = properties(json!({"org.systemd.property.TimeoutUSec": "uint64 7"})).unwrap();
        assert_eq!(found, [("TimeoutUSec".to_owned(), Value::U64(7))]);
    }

    #[test]
    fn a_wrong_annotation_is_named() {
        for (name, value) in [
            ("TimeoutStopSec", "'soon'"),
            ("TimeoutStopSec", "-1"),
            ("TimeoutStopSec", "uint64 18446744073709551615"),
            ("CollectMode", "inactive"),
            ("X", "1"),
            ("A-B", "1"),
            ("", "1"),
        ] {
            let key = format!("org.systemd.property.{name}");
            let error = properties(json!({ &key: value })).unwrap_err().to_string();
            assert!(error.contains(&key), "{error}");
        }
    }
}
