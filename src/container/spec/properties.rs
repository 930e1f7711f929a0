//! Properties of a configuration that more than one file asks for.

use std::path::Path;

use oci_spec::runtime::{LinuxNamespaceType, Spec};

use crate::namespace::Kind;

/// The version of the runtime-spec that this runtime implements.
pub const SPEC_VERSION: &str = "1.3.0";

/// crun's annotation for a process that keeps the supplementary groups of the runtime.
pub const KEEP_GROUPS: &str = "run.oci.keep_original_groups";

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
