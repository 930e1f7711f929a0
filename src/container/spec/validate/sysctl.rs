//! `linux.sysctl`: a container may set what it has to itself, and no more.

use oci_spec::runtime::Spec;

use crate::error::{Error, Result};
use crate::namespace::{Kind, Kinds};

/// What a new ipc namespace has of its own, beside `fs.mqueue`.
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

/// The name with dots. Both separators are in use; the first one in a name says which it means.
fn dotted(name: &str) -> String {
    let swapped = |c| match c {
        '/' => '.',
        '.' => '/',
        c => c,
    };
    match name.find(['.', '/']) {
        Some(at) if name.as_bytes()[at] == b'/' => name.chars().map(swapped).collect(),
        _ => name.to_owned(),
    }
}

/// Refuses a sysctl that is not the container's own.
pub(super) fn validate(name: &str, kinds: Kinds, spec: &Spec) -> Result<()> {
    let dotted = dotted(name);
    if dotted.split(['.', '/']).any(|part| part.is_empty() || part == "..") {
        return Err(Error::invalid(format!("sysctl {name:?} is not a valid name")));
    }
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
