//! From text to the types of the runtime-spec, with runc's tolerance where the types have less.

use std::collections::BTreeMap;

use oci_spec::runtime::{LinuxResources, Process, Spec};
use serde::Deserialize;

use crate::container::spec::resources;
use crate::container::spec::strict;
use crate::container::spec::validate::validate;
use crate::error::{Error, Result};

/// The names of capabilities that a process is configured with.
#[derive(Deserialize)]
pub(crate) struct NamesOfProcess {
    capabilities: Option<BTreeMap<String, Option<Vec<String>>>>,
}

impl NamesOfProcess {
    /// Whether one is no capability's own name: the types take it in any case, and with any number of `CAP_` before it. To
    /// grant what is not named so would be more than the peers do.
    pub(crate) fn are_odd(&self) -> bool {
        let sets = self.capabilities.iter().flat_map(|sets| sets.values());
        sets.flatten().flatten().any(|name| !is_capability(name))
    }
}

fn is_capability(name: &str) -> bool {
    name.parse::<caps::Capability>().is_ok()
}

/// The configuration in `text`. With `is_odd`, it has names of capabilities that are none: these are left out.
///
/// # Errors
/// What does not fit, with line and column.
pub fn parse(text: &[u8], is_odd: bool) -> Result<Spec> {
    let mut spec = match strict::from_slice::<Spec>(text) {
        Ok(spec) if is_odd => as_runc_takes_it(text).unwrap_or(spec),
        Ok(spec) => spec,
        // What runc takes, and the types do not: only looked for when there is an error.
        Err(error) => as_runc_takes_it(text).ok_or_else(|| {
            let policy =
                of_memory_policy(text).map(|what| format!("invalid memory policy {what}: ")).unwrap_or_default();
            Error::invalid(format!("not a valid configuration: {policy}{error}"))
        })?,
    };
    let resources = spec.linux_mut().as_mut().and_then(|linux| linux.resources_mut().as_mut());
    resources::forget_absent_limit(resources, text, "/linux/resources/pids/limit");
    validate(&spec)?;
    Ok(spec)
}

/// A process.json of `exec`, with the same tolerance.
///
/// # Errors
/// What does not fit, with line and column.
pub fn parse_process(text: &[u8]) -> Result<Process> {
    let is_odd = serde_json::from_slice::<NamesOfProcess>(text).is_ok_and(|names| names.are_odd());
    match strict::from_slice::<Process>(text) {
        Ok(process) if !is_odd => Ok(process),
        Ok(_) => as_runc_takes_process(text).ok_or_else(|| Error::invalid("not a valid process")),
        Err(error) => {
            as_runc_takes_process(text).ok_or_else(|| Error::invalid(format!("not a valid process: {error}")))
        }
    }
}

fn as_runc_takes_process(text: &[u8]) -> Option<Process> {
    let mut value = serde_json::from_slice(text).ok()?;
    complete_process(&mut value).then(|| strict::from_slice(value.to_string().as_bytes()).ok())?
}

/// The resources of `update --resources`.
///
/// # Errors
/// What does not fit, with line and column.
pub fn parse_resources(text: &[u8]) -> Result<LinuxResources> {
    let again = || {
        let mut value = serde_json::from_slice(text).ok()?;
        resources::bring_within_range(&mut value).then(|| strict::from_slice(value.to_string().as_bytes()).ok())?
    };
    let mut resources = strict::from_slice(text)
        .or_else(|error| again().ok_or_else(|| Error::invalid(format!("not valid resources: {error}"))))?;
    resources::forget_absent_limit(Some(&mut resources), text, "/pids/limit");
    Ok(resources)
}

fn as_runc_takes_it(text: &[u8]) -> Option<Spec> {
    let mut value: serde_json::Value = serde_json::from_slice(text).ok()?;
    let mut changed = value.get_mut("process").is_some_and(complete_process);
    changed |= value.pointer_mut("/linux/resources").is_some_and(resources::bring_within_range);
    // By way of text: reading a configuration from values would be a second parser of everything in the binary.
    changed.then(|| strict::from_slice(value.to_string().as_bytes()).ok())?
}

/// What of the memory policy the types do not take, in runc's words.
fn of_memory_policy(text: &[u8]) -> Option<&'static str> {
    use oci_spec::runtime::{MemoryPolicyFlagType, MemoryPolicyModeType};
    let value: serde_json::Value = serde_json::from_slice(text).ok()?;
    let policy = value.pointer("/linux/memoryPolicy")?;
    if serde_json::from_value::<MemoryPolicyModeType>(policy.get("mode").cloned().unwrap_or_default()).is_err() {
        return Some("mode");
    }
    let flags = policy.get("flags").cloned().unwrap_or_default();
    serde_json::from_value::<Option<Vec<MemoryPolicyFlagType>>>(flags).is_err().then_some("flag")
}

/// Makes of a process what the types take: a user, who is root where none is given, and known capabilities only. Says
/// whether anything was changed.
fn complete_process(process: &mut serde_json::Value) -> bool {
    let mut changed = drop_unknown_capabilities(process) > 0;
    if let Some(process) = process.as_object_mut()
        && process.get("user").is_none_or(serde_json::Value::is_null)
    {
        process.insert("user".to_owned(), serde_json::json!({"uid": 0, "gid": 0}));
        changed = true;
    }
    // Names of the specification that the types know by others.
    let flags = process.pointer_mut("/scheduler/flags").and_then(serde_json::Value::as_array_mut);
    for flag in flags.into_iter().flatten() {
        let known = match flag.as_str() {
            Some("SCHED_FLAG_RESET_ON_FORK") => "SCHED_RESET_ON_FORK",
            Some("SCHED_FLAG_DL_OVERRUN") => "SCHED_FLAG_D_L_OVERRUN",
            _ => continue,
        };
        *flag = known.into();
        changed = true;
    }
    changed
}

/// Takes capabilities out of a process that this build does not know, with a warning each; says how many.
fn drop_unknown_capabilities(process: &mut serde_json::Value) -> usize {
    let Some(sets) = process.get_mut("capabilities").and_then(|sets| sets.as_object_mut()) else { return 0 };
    let mut dropped = 0;
    for (set, names) in sets.iter_mut() {
        if let Some(names) = names.as_array_mut() {
            names.retain(|name| {
                let known = name.as_str().is_some_and(is_capability);
                if !known {
                    log::warn!("ignoring unknown or unavailable capability {name} of the {set} set");
                    dropped += 1;
                }
                known
            });
        }
    }
    dropped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(change: impl Fn(&mut serde_json::Value)) -> Result<Spec> {
        let mut value = serde_json::json!({
            "ociVersion": "1.2.0",
            "process": { "user": {"uid": 0, "gid": 0}, "args": ["sh"], "cwd": "/" },
            "root": { "path": "rootfs" },
            "linux": { "namespaces": [{"type": "mount"}, {"type": "uts"}] }
        });
        change(&mut value);
        parse(value.to_string().as_bytes(), false)
    }

    #[test]
    fn a_newer_minor_version_is_accepted_and_another_major_one_is_not() {
        assert!(with(|value| value["ociVersion"] = "1.9.0".into()).is_ok());
        assert!(with(|value| value["ociVersion"] = "1.0.2-dev".into()).is_ok());
        for version in ["2.0.0", "0.9.0", "11.0.0", "latest"] {
            let error = with(|value| value["ociVersion"] = version.into()).unwrap_err().to_string();
            assert!(error.contains(version), "{error}");
        }
    }

    #[test]
    fn an_unknown_capability_is_left_out_and_the_rest_kept() {
        let spec = with(|value| {
            value["process"]["capabilities"] = serde_json::json!({"bounding": ["CAP_KILL", "CAP_OF_THE_FUTURE"]});
        })
        .unwrap();
        let capabilities =
            spec.process().as_ref().unwrap().capabilities().as_ref().unwrap().bounding().clone().unwrap();
        assert_eq!(capabilities.len(), 1);
    }

    #[test]
    fn what_would_touch_the_host_is_refused() {
        let refused = |change: fn(&mut serde_json::Value)| with(change).unwrap_err().to_string();
        let sysctl = refused(|value| value["linux"]["sysctl"] = serde_json::json!({"net.ipv4.ip_forward": "1"}));
        assert_eq!(sysctl, "sysctl \"net.ipv4.ip_forward\" not allowed in host network namespace");
        let sysctl = refused(|value| value["linux"]["sysctl"] = serde_json::json!({"kernel.core_pattern": "x"}));
        assert!(sysctl.contains("is not in a separate kernel namespace"), "{sysctl}");
        let hostname = refused(|value| {
            value["hostname"] = "x".into();
            value["linux"]["namespaces"] = serde_json::json!([{"type": "mount"}]);
        });
        assert_eq!(hostname, "unable to set hostname without a private UTS namespace");
    }

    #[test]
    fn an_unknown_namespace_is_named() {
        let error = with(|value| value["linux"]["namespaces"] = serde_json::json!([{"type": "bogus"}])).unwrap_err();
        assert!(error.to_string().contains("bogus"), "{error}");
    }
}
