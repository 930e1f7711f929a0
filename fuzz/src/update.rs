//! `update --resources`, and how limits reach the kernel and systemd.

use nskit::cgroup::Resources;
use nskit::cgroup::systemd::properties;
use nskit::container::spec::parse::parse_resources;
use nskit::container::spec::resources;
use oci_spec::runtime::LinuxResources;

use super::is_clear;

/// Limits are refused with a reason, or become writes below the container's own cgroup. To set the same again changes nothing.
pub fn check(data: &[u8]) {
    match parse_resources(data) {
        Err(error) => is_clear(&error),
        Ok(change) => {
            let mut merged = LinuxResources::default();
            resources::merge(&mut merged, &change);
            let mut again = merged.clone();
            resources::merge(&mut again, &change);
            assert_eq!(again, merged);
            match resources::limits(&merged) {
                Err(error) => is_clear(&error),
                Ok(limits) => limited(&limits),
            }
        }
    }
}

/// What must hold of limits, whoever gives them.
pub(crate) fn limited(limits: &Resources) {
    for unified in [false, true] {
        match limits.writes(unified) {
            Err(error) => is_clear(&error),
            Ok(writes) => {
                for write in writes {
                    let file = &*write.file;
                    assert!(!file.is_empty() && !file.contains(['/', '\0']) && !file.starts_with('.'), "{write:?}");
                    assert!(!matches!(file, "cgroup.procs" | "cgroup.threads" | "cgroup.kill"), "{write:?}");
                }
            }
        }
    }
    for version in [240, 257] {
        match properties::of(&properties::rounded(limits), version, true) {
            Err(error) => is_clear(&error),
            Ok(properties) => assert!(properties.iter().all(|(_, value)| value.is_sendable())),
        }
    }
}
