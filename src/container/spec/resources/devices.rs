//! Device rules: `linux.resources.devices`, and those that every container has.

use std::path::Path;

use oci_spec::runtime::{Linux, LinuxDevice, LinuxDeviceCgroup, LinuxDeviceType};

use crate::cgroup::{Access, DeviceKind, Rule};
use crate::error::{Error, Result};

/// A device that every container may use.
struct DefaultDevice {
    /// Where its node is, if it gets one: a device of the configuration with this path stands in for it.
    path: &'static str,
    kind: DeviceKind,
    major: Option<u32>,
    minor: Option<u32>,
    access: Access,
}

const fn node(path: &'static str, major: u32, minor: u32) -> DefaultDevice {
    DefaultDevice { path, kind: DeviceKind::Char, major: Some(major), minor: Some(minor), access: Access::ALL }
}

const fn any(kind: DeviceKind) -> DefaultDevice {
    DefaultDevice { path: "", kind, major: None, minor: None, access: Access::MKNOD }
}

/// The devices that runc allows every container: making any node, using the harmless ones, ptys, and `/dev/net/tun`.
const DEFAULT_DEVICES: [DefaultDevice; 11] = [
    any(DeviceKind::Char),
    any(DeviceKind::Block),
    node("/dev/null", 1, 3),
    node("/dev/random", 1, 8),
    node("/dev/full", 1, 7),
    node("/dev/tty", 5, 0),
    node("/dev/zero", 1, 5),
    node("/dev/urandom", 1, 9),
    DefaultDevice { path: "", kind: DeviceKind::Char, major: Some(136), minor: None, access: Access::ALL }, // pts
    DefaultDevice { path: "", ..node("", 5, 2) },                                                           // ptmx
    DefaultDevice { path: "", ..node("", 10, 200) },                                                        // tun
];

/// The rules of a configuration, followed by those that every container has.
///
/// # Errors
/// A rule that is not valid, by its place.
pub(super) fn rules(linux: Option<&Linux>) -> Result<Vec<Rule>> {
    let resources = linux.and_then(|linux| linux.resources().as_ref());
    let mut rules = Vec::with_capacity(24);
    for (at, device) in resources.and_then(|resources| resources.devices().as_ref()).into_iter().flatten().enumerate() {
        rules.push(device_rule(device).map_err(|error| error.context(format!("linux.resources.devices[{at}]")))?);
    }
    let own = linux.and_then(|linux| linux.devices().as_deref()).unwrap_or_default();
    rules.extend(default_rules(own));
    Ok(rules)
}

fn device_rule(device: &LinuxDeviceCgroup) -> Result<Rule> {
    let kind = match device.typ() {
        None | Some(LinuxDeviceType::A) => DeviceKind::All,
        Some(LinuxDeviceType::B) => DeviceKind::Block,
        Some(LinuxDeviceType::C | LinuxDeviceType::U) => DeviceKind::Char,
        Some(LinuxDeviceType::P) => return Err(Error::invalid("invalid cgroup device type \"p\"")),
    };
    let number = |name: &str, number: Option<i64>| match number {
        None | Some(-1) => Ok(None),
        Some(number) => {
            u32::try_from(number).map(Some).map_err(|_| Error::invalid(format!("invalid {name} number {number}")))
        }
    };
    let letters = device.access().as_deref().unwrap_or_default();
    if letters.is_empty() {
        return Err(Error::invalid("device access cannot be empty"));
    }
    let access = Access::parse(letters).ok_or_else(|| Error::invalid(format!("unknown device access {letters:?}")))?;
    let (major, minor) = (number("major", device.major())?, number("minor", device.minor())?);
    Ok(Rule { allow: device.allow(), kind, major, minor, access })
}

/// The rules for the devices that every container may use, but for those whose node is one of `own`.
fn default_rules(own: &[LinuxDevice]) -> impl Iterator<Item = Rule> {
    DEFAULT_DEVICES
        .iter()
        .filter(|device| device.path.is_empty() || own.iter().all(|other| other.path() != Path::new(device.path)))
        .map(|&DefaultDevice { kind, major, minor, access, .. }| Rule { allow: true, kind, major, minor, access })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::cgroup::Policy;

    fn creation(linux: Value) -> Result<Vec<Rule>> {
        let linux: Linux = serde_json::from_value(linux).unwrap();
        rules(Some(&linux))
    }

    fn shown(rules: &[Rule]) -> Vec<String> {
        rules.iter().map(|rule| format!("{} {rule}", if rule.allow { "allow" } else { "deny" })).collect()
    }

    #[test]
    fn what_runc_spec_writes_denies_all_but_the_default_devices() {
        let plan = creation(json!({"resources": {"devices": [{"allow": false, "access": "rwm"}]}})).unwrap();
        let rules = shown(&plan);
        assert_eq!(rules[..4], ["deny a *:* rwm", "allow c *:* m", "allow b *:* m", "allow c 1:3 rwm"]);
        assert_eq!(rules[9..], ["allow c 136:* rwm", "allow c 5:2 rwm", "allow c 10:200 rwm"]);
        assert_eq!(rules.len(), 12);
    }

    #[test]
    fn without_any_rule_only_the_default_devices_are_allowed() {
        let rules = rules(None).unwrap();
        assert!(!Policy::from_rules(&rules).unwrap().allows_everything());
        assert_eq!(rules.len(), DEFAULT_DEVICES.len());
    }

    #[test]
    fn a_device_of_the_configuration_stands_in_for_the_default_one() {
        let device = json!({"path": "/dev/null", "type": "c", "major": 1, "minor": 3});
        let rules = shown(&creation(json!({"devices": [device]})).unwrap());
        assert!(!rules.contains(&"allow c 1:3 rwm".to_owned()), "{rules:?}");
        assert!(rules.contains(&"allow c 1:5 rwm".to_owned()), "{rules:?}");
    }

    #[test]
    fn a_wrong_device_rule_is_refused_with_its_place() {
        let refused = |rule: Value| creation(json!({"resources": {"devices": [rule]}})).unwrap_err().to_string();
        assert_eq!(refused(json!({"allow": true})), "linux.resources.devices[0]: device access cannot be empty");
        assert_eq!(
            refused(json!({"allow": true, "access": "x"})),
            "linux.resources.devices[0]: unknown device access \"x\""
        );
        assert_eq!(
            refused(json!({"allow": true, "access": "r", "type": "c", "major": -7})),
            "linux.resources.devices[0]: invalid major number -7"
        );
        assert_eq!(
            refused(json!({"allow": true, "access": "r", "type": "p"})),
            "linux.resources.devices[0]: invalid cgroup device type \"p\""
        );
    }

    #[test]
    fn an_unbuffered_device_is_a_character_device() {
        let rule = json!({"allow": true, "access": "rw", "type": "u", "major": 4, "minor": -1});
        let plan = creation(json!({"resources": {"devices": [rule]}})).unwrap();
        assert_eq!(shown(&plan)[0], "allow c 4:* rw");
    }
}
