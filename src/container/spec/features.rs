//! `features`: what this runtime knows, for engines to ask; runtime-spec, "Features Structure".

use serde_json::{Value, json};

use crate::container::spec::hooks::Point;
use crate::container::spec::properties;
use crate::container::spec::seccomp;
use crate::mount::options;
use crate::namespace::Kind;

/// The structure, as JSON.
pub fn features() -> Value {
    let hooks = Point::ALL.map(Point::name);
    let mut namespaces = Kind::ALL.map(Kind::oci_name);
    namespaces.sort_unstable();
    let mut capabilities: Vec<String> = caps::all().into_iter().map(|capability| capability.to_string()).collect();
    capabilities.sort_unstable();
    json!({
        "ociVersionMin": "1.0.0",
        "ociVersionMax": properties::SPEC_VERSION,
        "hooks": hooks,
        "mountOptions": options::known(),
        "linux": {
            "namespaces": namespaces,
            "capabilities": capabilities,
            "cgroup": { "v1": true, "v2": true, "systemd": true, "systemdUser": true, "rdma": true },
            "seccomp": {
                "enabled": true,
                "actions": seccomp::ACTIONS,
                "operators": seccomp::OPERATORS,
                "archs": seccomp::architectures(),
                "knownFlags": seccomp::FLAGS,
                "supportedFlags": seccomp::supported_flags(),
            },
            "apparmor": { "enabled": true },
            "selinux": { "enabled": true },
            "intelRdt": { "enabled": true, "schemata": true, "monitoring": true },
            "memoryPolicy": {
                "modes": ["MPOL_BIND", "MPOL_DEFAULT", "MPOL_INTERLEAVE", "MPOL_LOCAL", "MPOL_PREFERRED",
                    "MPOL_PREFERRED_MANY", "MPOL_WEIGHTED_INTERLEAVE"],
                "flags": ["MPOL_F_NUMA_BALANCING", "MPOL_F_RELATIVE_NODES", "MPOL_F_STATIC_NODES"],
            },
            "mountExtensions": { "idmap": { "enabled": true } },
            "netDevices": { "enabled": true },
        },
        "annotations": {
            // The name by which engines ask.
            "org.opencontainers.runc.checkpoint.enabled": "true",
            "org.nskit.version": env!("CARGO_PKG_VERSION"),
        },
        "potentiallyUnsafeConfigAnnotations": ["bundle", "org.systemd.property."],
    })
}
