//! `features`: what engines ask before they use it.

use serde_json::Value;

use crate::harness::{Container, Peer, peer, skip_on};

fn features() -> Value {
    let container = Container::without_rootfs();
    serde_json::from_str(&container.runtime(&["features"]).run().ok().stdout()).expect("JSON")
}

fn has(list: &Value, names: &[&str]) {
    let list = list.as_array().unwrap_or_else(|| panic!("no array: {list}"));
    for name in names {
        assert!(list.iter().any(|item| item == name), "{name} is not in {list:?}");
    }
}

#[test]
fn tell_the_versions_of_the_specification() {
    skip_on!(Crun, "crun 1.8 has no features");
    let features = features();
    assert!(features["ociVersionMin"].as_str().is_some_and(|version| version.starts_with("1.0")), "{features}");
    assert!(features["ociVersionMax"].as_str().is_some_and(|version| version.starts_with("1.")), "{features}");
}

#[test]
fn list_hooks_namespaces_capabilities_and_mount_options() {
    skip_on!(Crun, "crun 1.8 has no features");
    let features = features();
    has(
        &features["hooks"],
        &["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"],
    );
    has(&features["mountOptions"], &["bind", "rbind", "ro", "rro", "noexec", "rslave", "tmpcopyup"]);
    has(&features["linux"]["namespaces"], &["cgroup", "ipc", "mount", "network", "pid", "user", "uts"]);
    has(&features["linux"]["capabilities"], &["CAP_SYS_ADMIN", "CAP_CHECKPOINT_RESTORE"]);
}

#[test]
fn list_what_seccomp_can() {
    skip_on!(Crun, "crun 1.8 has no features");
    let features = features();
    let seccomp = &features["linux"]["seccomp"];
    assert_eq!(seccomp["enabled"], true);
    has(
        &seccomp["actions"],
        &["SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO", "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_LOG", "SCMP_ACT_TRAP"],
    );
    has(&seccomp["operators"], &["SCMP_CMP_EQ", "SCMP_CMP_MASKED_EQ", "SCMP_CMP_NE"]);
    has(&seccomp["archs"], &["SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64"]);
}

#[test]
fn tell_which_cgroups_are_supported() {
    skip_on!(Crun, "crun 1.8 has no features");
    let cgroup = &features()["linux"]["cgroup"];
    assert_eq!(cgroup["v1"], true);
    assert_eq!(cgroup["v2"], true);
    if peer() == Peer::Ours {
        assert_eq!((&cgroup["systemd"], &cgroup["systemdUser"]), (&true.into(), &true.into()), "{cgroup}");
    }
}

#[test]
fn tell_of_idmapped_mounts_and_extensions() {
    skip_on!(Runc | Crun, "runc 1.1 and crun 1.8 tell nothing of them");
    let linux = &features()["linux"];
    assert_eq!(linux["mountExtensions"]["idmap"]["enabled"], true);
    assert!(linux["intelRdt"]["enabled"].is_boolean(), "{linux}");
    assert!(linux["apparmor"]["enabled"].is_boolean() && linux["selinux"]["enabled"].is_boolean(), "{linux}");
}
