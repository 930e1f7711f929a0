//! Which user of the host a container's cgroup is given to, so that what is in the container may manage it: systemd, or
//! another runtime.

use std::path::Path;

use oci_spec::runtime::Spec;
use rustix::fs::Uid;

use crate::container::spec::properties::namespaces;
use crate::container::spec::rootfs::ranges;
use crate::namespace::{Kind, idmap};

/// The user that the first process of the container has on the host, when the container gets a cgroup namespace of its own
/// and a writable mount of it at `/sys/fs/cgroup`: as in runc. `None` where nothing is to be given away, or to nobody.
pub fn owner(spec: &Spec) -> Option<Uid> {
    let has_namespace = namespaces(spec).any(|(kind, path)| kind == Kind::Cgroup && path.is_none());
    if !has_namespace || !has_writable_mount(spec) {
        return None;
    }
    let uid = spec.process().as_ref().map_or(0, |process| process.user().uid());
    let is_mapped = namespaces(spec).any(|(kind, _)| kind == Kind::User);
    let maps = spec.linux().as_ref().and_then(|linux| linux.uid_mappings().as_ref());
    let outside = match is_mapped {
        true => idmap::outside(&ranges(maps?), uid)?,
        false => uid,
    };
    // What this user makes is theirs already.
    (outside != rustix::process::geteuid().as_raw()).then(|| Uid::from_raw(outside))
}

fn has_writable_mount(spec: &Spec) -> bool {
    spec.mounts().iter().flatten().any(|mount| {
        let is_read_only = mount.options().iter().flatten().fold(false, |before, option| match option.as_str() {
            "ro" | "rro" => true,
            "rw" => false,
            _ => before,
        });
        let is_cgroup = mount.typ().as_deref().is_some_and(|kind| matches!(kind, "cgroup" | "cgroup2"));
        is_cgroup && !is_read_only && mount.destination().components().eq(Path::new("/sys/fs/cgroup").components())
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn owner_of(options: Value, kinds: &[&str], uid: u32) -> Option<u32> {
        let namespaces: Vec<Value> = kinds.iter().map(|kind| json!({"type": kind})).collect();
        let map = json!([{"containerID": 0, "hostID": 100_000, "size": 1000}]);
        let spec = json!({
            "ociVersion": "1.0.0",
            "process": {"cwd": "/", "args": ["x"], "user": {"uid": uid, "gid": 0}},
            "mounts": [{"destination": "/sys/fs/cgroup/", "type": "cgroup", "source": "cgroup", "options": options}],
            "linux": {"namespaces": namespaces, "uidMappings": map, "gidMappings": map},
        });
        let spec: Spec = serde_json::from_value(spec).unwrap();
        owner(&spec).map(Uid::as_raw)
    }

    #[test]
    fn a_writable_cgroup_is_the_first_process_s_own() {
        assert_eq!(owner_of(json!(["rw"]), &["cgroup", "user"], 0), Some(100_000));
        assert_eq!(owner_of(json!(["ro", "rw"]), &["cgroup", "user"], 5), Some(100_005));
        assert_eq!(owner_of(json!([]), &["cgroup"], 70_000), Some(70_000));
    }

    #[test]
    fn nothing_is_given_away_that_cannot_be_used() {
        assert_eq!(owner_of(json!(["rw", "ro"]), &["cgroup", "user"], 0), None);
        assert_eq!(owner_of(json!([]), &["user"], 0), None);
        assert_eq!(owner_of(json!([]), &["cgroup", "user"], 5000), None);
    }
}
