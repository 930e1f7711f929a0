//! config.json: reading it, and what must hold before anything is done.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use oci_spec::runtime::{LinuxNamespaceType, LinuxResources, Process, Spec};
use serde::Deserialize;

use crate::container::spec::config::Config;
use crate::container::spec::hooks::Point;
use crate::container::spec::network::is_device_name;
use crate::container::spec::resources;
use crate::container::spec::strict;
use crate::error::{Attempt, Error, Result};
use crate::namespace::{Kind, Kinds};
use crate::sys;

/// The version of the runtime-spec that this runtime implements.
pub const SPEC_VERSION: &str = "1.3.0";

/// crun's annotation for a process that keeps the supplementary groups of the runtime.
pub const KEEP_GROUPS: &str = "run.oci.keep_original_groups";

/// A bundle: its folder and its configuration.
#[derive(Debug)]
pub struct Bundle {
    /// Absolute.
    pub path: PathBuf,
    /// Its configuration.
    pub config: Config,
}

impl Bundle {
    /// Reads the configuration of the bundle in `path`.
    ///
    /// # Errors
    /// When the folder or its config.json is not there, is not JSON, or does not fit the runtime-spec; each says where.
    pub fn load(path: &Path) -> Result<Bundle> {
        let path = fs::canonicalize(path).attempt(|| format!("open bundle {}", path.display()))?;
        let what = || format!("open bundle {}", path.display());
        if !fs::metadata(&path).attempt(what)?.is_dir() {
            return Err(Error::os(rustix::io::Errno::NOTDIR, what()));
        }
        let file = path.join("config.json");
        let text = read_regular(&file).attempt(|| format!("read {}", file.display()))?;
        Ok(Bundle { path, config: Config::parse(file, text)? })
    }

    /// The folder that becomes the container's root, absolute, as the configuration has it.
    ///
    /// # Errors
    /// When it is not given, not there, or not a folder.
    pub fn root(&self) -> Result<PathBuf> {
        let root = self
            .config
            .spec
            .root()
            .as_ref()
            .ok_or_else(|| Error::invalid(format!("{}: root is not given", self.config.file().display())))?;
        if root.path().as_os_str().is_empty() {
            return Err(Error::invalid(format!("{}: root.path is empty", self.config.file().display())));
        }
        let path = self.path.join(root.path());
        let what = || format!("{}: root.path {}", self.config.file().display(), path.display());
        let stat = rustix::fs::stat(&path).attempt(what)?;
        if rustix::fs::FileType::from_raw_mode(stat.st_mode) != rustix::fs::FileType::Directory {
            return Err(Error::os(rustix::io::Errno::NOTDIR, what()));
        }
        if path == Path::new("/") && self.kinds().contains(Kind::Mount) {
            return Err(Error::invalid("config.json: root.path / is the host's own root"));
        }
        Ok(path)
    }

    /// The kinds of namespace that the configuration lists.
    pub fn kinds(&self) -> Kinds {
        namespaces(&self.config.spec).map(|(kind, _)| kind).collect()
    }
}

/// The content of a regular file. One of holes can be larger than all memory.
fn read_regular(path: &Path) -> Result<Vec<u8>> {
    const MOST: usize = 64 << 20;
    let failed = |errno| Error::os(errno, "");
    let (file, size) =
        sys::fd::open_regular(path).map_err(failed)?.ok_or_else(|| Error::invalid("not a regular file"))?;
    if size > MOST {
        return Err(failed(rustix::io::Errno::FBIG));
    }
    sys::fd::read_whole(&file, size + 1, true).map_err(failed)
}

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

/// The value of an annotation.
pub fn annotation<'a>(spec: &'a Spec, name: &str) -> Option<&'a str> {
    spec.annotations().as_ref()?.get(name).map(String::as_str)
}

/// The namespaces that a configuration lists, with the path of those that are joined.
pub fn namespaces(spec: &Spec) -> impl Iterator<Item = (Kind, Option<&Path>)> {
    spec.linux().as_ref().and_then(|linux| linux.namespaces().as_ref()).into_iter().flatten().map(|namespace| {
        let kind = match namespace.typ() {
            LinuxNamespaceType::Mount => Kind::Mount,
            LinuxNamespaceType::Cgroup => Kind::Cgroup,
            LinuxNamespaceType::Uts => Kind::Uts,
            LinuxNamespaceType::Ipc => Kind::Ipc,
            LinuxNamespaceType::User => Kind::User,
            LinuxNamespaceType::Pid => Kind::Pid,
            LinuxNamespaceType::Network => Kind::Net,
            LinuxNamespaceType::Time => Kind::Time,
        };
        let path = namespace.path().as_deref().filter(|path| !path.as_os_str().is_empty());
        (kind, path)
    })
}

/// What must hold of any configuration; in runc's words where engines may look for them.
fn validate(spec: &Spec) -> Result<()> {
    let fail = |message: String| Err(Error::invalid(message));
    let version = spec.version();
    let major = version.split('.').next().unwrap_or_default();
    if version.is_empty() {
        return fail("ociVersion \"\" is not valid: the specification requires one".into());
    }
    if major != "1" || !version[1..].starts_with('.') {
        return fail(format!(
            "ociVersion {version:?} is not supported: this runtime implements 1.0.0 to {SPEC_VERSION}"
        ));
    }
    if let Some(process) = spec.process() {
        validate_process(process)?;
    }
    for point in Point::ALL {
        for hook in point.hooks(spec) {
            if !hook.path().is_absolute() {
                return fail(format!("{} hook: path {} is not absolute", point.name(), hook.path().display()));
            }
            if let Some(timeout) = hook.timeout().filter(|timeout| *timeout <= 0) {
                return fail(format!(
                    "{} hook {}: timeout {timeout} is not above 0",
                    point.name(),
                    hook.path().display()
                ));
            }
        }
    }
    let mut kinds = Kinds::NONE;
    for (kind, _) in namespaces(spec) {
        if kinds.contains(kind) {
            return fail(format!("malformed spec file: duplicated ns \"{}\"", kind.oci_name()));
        }
        kinds.insert(kind);
    }
    let joins = |kind: Kind| namespaces(spec).any(|(other, path)| other == kind && path.is_some());
    let linux = spec.linux().as_ref();
    let given = |list: Option<usize>| list.is_some_and(|length| length > 0);
    if !kinds.contains(Kind::Uts) {
        for (field, value) in [("hostname", spec.hostname()), ("domainname", spec.domainname())] {
            if value.as_ref().is_some_and(|value| !value.is_empty()) {
                return fail(format!("unable to set {field} without a private UTS namespace"));
            }
        }
    }
    if let Some(linux) = linux {
        let hidden =
            given(linux.masked_paths().as_ref().map(Vec::len)) || given(linux.readonly_paths().as_ref().map(Vec::len));
        if hidden && !kinds.contains(Kind::Mount) {
            return fail("unable to restrict sys entries without a private MNT namespace".into());
        }
        let mapped =
            given(linux.uid_mappings().as_ref().map(Vec::len)) || given(linux.gid_mappings().as_ref().map(Vec::len));
        if kinds.contains(Kind::User) && !mapped && !joins(Kind::User) {
            return fail(
                "user namespaces enabled, but no namespace path to join nor mappings (uidMappings, gidMappings) to apply \
                 specified"
                    .into(),
            );
        }
        for (name, maps) in [("uidMappings", linux.uid_mappings()), ("gidMappings", linux.gid_mappings())] {
            if kinds.contains(Kind::User) && !joins(Kind::User) && !given(maps.as_ref().map(Vec::len)) {
                return fail(format!("user namespaces enabled, but no linux.{name} found"));
            }
        }
        let offsets = given(linux.time_offsets().as_ref().map(std::collections::HashMap::len));
        if offsets && !kinds.contains(Kind::Time) {
            return fail("time namespace offsets specified, but time namespace isn't enabled in the config".into());
        }
        if offsets && joins(Kind::Time) {
            return fail(
                "time namespace enabled, but both namespace path and time offsets specified -- you may only provide one"
                    .into(),
            );
        }
        if given(linux.net_devices().as_ref().map(std::collections::HashMap::len)) && !kinds.contains(Kind::Net) {
            return fail("unable to move network devices without a NET namespace".into());
        }
        for (name, device) in linux.net_devices().iter().flatten() {
            let wanted = device.name().as_deref().filter(|wanted| !wanted.is_empty());
            if let Some(name) = [Some(name.as_str()), wanted].into_iter().flatten().find(|name| !is_device_name(name)) {
                return fail(format!("invalid network device name {name:?}"));
            }
        }
        // What is not there yet is refused by its name, never passed over.
        if linux.intel_rdt().is_some() {
            return Err(Error::unsupported("linux.intelRdt is not supported by this version"));
        }
        for name in linux.sysctl().iter().flat_map(|sysctl| sysctl.keys()) {
            validate_sysctl(name, kinds, spec)?;
        }
        if linux.mount_label().as_ref().is_some_and(|label| !label.is_empty()) && !crate::lsm::selinux_enabled() {
            return fail("selinux label is specified in config, but selinux is disabled or not supported".into());
        }
    }
    for mount in spec.mounts().iter().flatten() {
        if mount.destination().as_os_str().is_empty() {
            return fail("a mount has no destination".into());
        }
        let changes_only = mount.options().iter().flatten().any(|option| option == "remount");
        if !changes_only
            && mount.destination().components().all(|part| !matches!(part, std::path::Component::Normal(_)))
        {
            return fail(format!("mount destination {:?} is the container's root", mount.destination()));
        }
    }
    Ok(())
}

/// What must hold of a process, of config.json or of `exec`.
///
/// # Errors
/// Which property does not hold.
pub fn validate_process(process: &Process) -> Result<()> {
    if process.cwd().as_os_str().is_empty() {
        return Err(Error::invalid("Cwd property must not be empty"));
    }
    if !process.cwd().is_absolute() {
        return Err(Error::invalid("Cwd must be an absolute path"));
    }
    if process.args().as_ref().is_none_or(Vec::is_empty) {
        return Err(Error::invalid("args must not be empty"));
    }
    // To the kernel -1 means "as it is", which is root.
    let user = process.user();
    let ids = [("uid", user.uid()), ("gid", user.gid())];
    let groups = user.additional_gids().iter().flatten().map(|gid| ("additionalGids", *gid));
    for (name, id) in ids.into_iter().chain(groups) {
        if id == u32::MAX {
            return Err(Error::invalid(format!("process.user.{name}: {id} is no id")));
        }
    }
    for variable in process.env().iter().flatten() {
        match variable.split_once('=') {
            Some(("", _)) => {
                return Err(Error::invalid(format!("invalid environment variable {variable:?}: its name is empty")));
            }
            None => return Err(Error::invalid(format!("invalid environment variable {variable:?}: missing '='"))),
            Some(_) => {}
        }
    }
    let label = process.selinux_label().as_ref().is_some_and(|label| !label.is_empty());
    if label && !crate::lsm::selinux_enabled() {
        return Err(Error::invalid("selinux label is specified in config, but selinux is disabled or not supported"));
    }
    Ok(())
}

/// A sysctl may only touch what the container has to itself.
fn validate_sysctl(name: &str, kinds: Kinds, spec: &Spec) -> Result<()> {
    // Both separators are in use; the first one in a name says which it means.
    let dotted = match name.find(['.', '/']) {
        Some(at) if name.as_bytes()[at] == b'/' => name
            .chars()
            .map(|c| {
                if c == '/' {
                    '.'
                } else if c == '.' {
                    '/'
                } else {
                    c
                }
            })
            .collect(),
        _ => name.to_owned(),
    };
    if dotted.split(['.', '/']).any(|part| part.is_empty() || part == "..") {
        return Err(Error::invalid(format!("sysctl {name:?} is not a valid name")));
    }
    const IPC: [&str; 8] = [
        "kernel.msgmax",
        "kernel.msgmnb",
        "kernel.msgmni",
        "kernel.sem",
        "kernel.shmall",
        "kernel.shmmax",
        "kernel.shmmni",
        "kernel.shm_rmid_forced",
    ];
    if IPC.contains(&dotted.as_str()) || dotted.starts_with("fs.mqueue.") {
        return if kinds.contains(Kind::Ipc) {
            Ok(())
        } else {
            Err(Error::invalid(format!("sysctl {name:?} is not allowed in the hosts ipc namespace")))
        };
    }
    if dotted.starts_with("net.") {
        return if kinds.contains(Kind::Net) {
            Ok(())
        } else {
            Err(Error::invalid(format!("sysctl {name:?} not allowed in host network namespace")))
        };
    }
    if kinds.contains(Kind::Uts) {
        match dotted.as_str() {
            "kernel.domainname" => return Ok(()),
            "kernel.hostname" if spec.hostname().as_ref().is_some_and(|name| !name.is_empty()) => {
                return Err(Error::invalid(
                    "sysctl \"kernel.hostname\" is not allowed as it conflicts with the OCI \"hostname\" field",
                ));
            }
            "kernel.hostname" => return Ok(()),
            _ => {}
        }
    }
    if dotted.starts_with("user.") {
        return if kinds.contains(Kind::User) {
            Ok(())
        } else {
            Err(Error::invalid(format!("setting ucounts without a user namespace not allowed: {name}")))
        };
    }
    Err(Error::invalid(format!("sysctl {name:?} is not in a separate kernel namespace")))
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
