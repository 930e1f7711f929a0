//! What must hold of a configuration before anything is done; in runc's words where engines may look for them.

mod sysctl;

use std::path::Component;

use oci_spec::runtime::{Linux, Process, Spec};

use crate::container::spec::hooks::Point;
use crate::container::spec::network::is_device_name;
use crate::container::spec::properties::{SPEC_VERSION, namespaces};
use crate::error::{Error, Result};
use crate::namespace::{Kind, Kinds};

/// Checks a configuration.
///
/// # Errors
/// Of kind [`crate::error::Kind::Invalid`], what does not hold.
pub(crate) fn validate(spec: &Spec) -> Result<()> {
    validate_version(spec)?;
    if let Some(process) = spec.process() {
        validate_process(process)?;
    }
    validate_hooks(spec)?;
    let kinds = validate_namespaces(spec)?;
    if let Some(linux) = spec.linux() {
        validate_maps(spec, linux, kinds)?;
        validate_time_offsets(spec, linux, kinds)?;
        validate_network(linux, kinds)?;
        validate_linux(spec, linux, kinds)?;
    }
    validate_mounts(spec)
}

fn fail<T>(message: impl Into<std::borrow::Cow<'static, str>>) -> Result<T> {
    Err(Error::invalid(message))
}

fn given(list: Option<usize>) -> bool {
    list.is_some_and(|length| length > 0)
}

fn joins(spec: &Spec, kind: Kind) -> bool {
    namespaces(spec).any(|(other, path)| other == kind && path.is_some())
}

fn validate_version(spec: &Spec) -> Result<()> {
    let version = spec.version();
    let major = version.split('.').next().unwrap_or_default();
    if version.is_empty() {
        return fail("ociVersion \"\" is not valid: the specification requires one");
    }
    if major != "1" || !version[1..].starts_with('.') {
        return fail(format!(
            "ociVersion {version:?} is not supported: this runtime implements 1.0.0 to {SPEC_VERSION}"
        ));
    }
    Ok(())
}

fn validate_hooks(spec: &Spec) -> Result<()> {
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
    Ok(())
}

/// The kinds of namespace that are listed, each once.
fn validate_namespaces(spec: &Spec) -> Result<Kinds> {
    let mut kinds = Kinds::NONE;
    for (kind, _) in namespaces(spec) {
        if kinds.contains(kind) {
            return fail(format!("malformed spec file: duplicated ns \"{}\"", kind.oci_name()));
        }
        kinds.insert(kind);
    }
    if !kinds.contains(Kind::Uts) {
        for (field, value) in [("hostname", spec.hostname()), ("domainname", spec.domainname())] {
            if value.as_ref().is_some_and(|value| !value.is_empty()) {
                return fail(format!("unable to set {field} without a private UTS namespace"));
            }
        }
    }
    Ok(kinds)
}

fn validate_maps(spec: &Spec, linux: &Linux, kinds: Kinds) -> Result<()> {
    let mapped =
        given(linux.uid_mappings().as_ref().map(Vec::len)) || given(linux.gid_mappings().as_ref().map(Vec::len));
    if kinds.contains(Kind::User) && !mapped && !joins(spec, Kind::User) {
        return fail(
            "user namespaces enabled, but no namespace path to join nor mappings (uidMappings, gidMappings) to apply \
             specified",
        );
    }
    for (name, maps) in [("uidMappings", linux.uid_mappings()), ("gidMappings", linux.gid_mappings())] {
        if kinds.contains(Kind::User) && !joins(spec, Kind::User) && !given(maps.as_ref().map(Vec::len)) {
            return fail(format!("user namespaces enabled, but no linux.{name} found"));
        }
    }
    Ok(())
}

fn validate_time_offsets(spec: &Spec, linux: &Linux, kinds: Kinds) -> Result<()> {
    let offsets = given(linux.time_offsets().as_ref().map(std::collections::HashMap::len));
    if offsets && !kinds.contains(Kind::Time) {
        return fail("time namespace offsets specified, but time namespace isn't enabled in the config");
    }
    if offsets && joins(spec, Kind::Time) {
        return fail(
            "time namespace enabled, but both namespace path and time offsets specified -- you may only provide one",
        );
    }
    Ok(())
}

fn validate_network(linux: &Linux, kinds: Kinds) -> Result<()> {
    if given(linux.net_devices().as_ref().map(std::collections::HashMap::len)) && !kinds.contains(Kind::Net) {
        return fail("unable to move network devices without a NET namespace");
    }
    for (name, device) in linux.net_devices().iter().flatten() {
        let wanted = device.name().as_deref().filter(|wanted| !wanted.is_empty());
        if let Some(name) = [Some(name.as_str()), wanted].into_iter().flatten().find(|name| !is_device_name(name)) {
            return fail(format!("invalid network device name {name:?}"));
        }
    }
    Ok(())
}

fn validate_linux(spec: &Spec, linux: &Linux, kinds: Kinds) -> Result<()> {
    let hidden =
        given(linux.masked_paths().as_ref().map(Vec::len)) || given(linux.readonly_paths().as_ref().map(Vec::len));
    if hidden && !kinds.contains(Kind::Mount) {
        return fail("unable to restrict sys entries without a private MNT namespace");
    }
    for name in linux.sysctl().iter().flat_map(|sysctl| sysctl.keys()) {
        sysctl::validate(name, kinds, spec)?;
    }
    if linux.mount_label().as_ref().is_some_and(|label| !label.is_empty()) && !crate::lsm::selinux_enabled() {
        return fail("selinux label is specified in config, but selinux is disabled or not supported");
    }
    Ok(())
}

fn validate_mounts(spec: &Spec) -> Result<()> {
    for mount in spec.mounts().iter().flatten() {
        if mount.destination().as_os_str().is_empty() {
            return fail("a mount has no destination");
        }
        let changes_only = mount.options().iter().flatten().any(|option| option == "remount");
        if !changes_only && mount.destination().components().all(|part| !matches!(part, Component::Normal(_))) {
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
