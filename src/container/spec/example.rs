//! `spec`: a configuration to begin with.

use std::path::Path;

use serde_json::{Value, json};

use crate::container::spec::properties::SPEC_VERSION;

/// The configuration that `runc spec` writes: a shell with a terminal and few privileges in `rootfs`.
pub fn default(has_cgroup_v2: bool) -> Value {
    let capabilities = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"];
    let mut namespaces = vec!["pid", "network", "ipc", "uts", "mount"];
    // On v1 the hierarchies are bound, one by one, and need no namespace.
    if has_cgroup_v2 {
        namespaces.push("cgroup");
    }
    json!({
        "ociVersion": SPEC_VERSION,
        "process": {
            "terminal": true,
            "user": { "uid": 0, "gid": 0 },
            "args": ["sh"],
            "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"],
            "cwd": "/",
            "capabilities": { "bounding": capabilities, "effective": capabilities, "permitted": capabilities },
            "rlimits": [{ "type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024 }],
            "noNewPrivileges": true
        },
        "root": { "path": "rootfs", "readonly": true },
        "hostname": "nskit",
        "mounts": [
            { "destination": "/proc", "type": "proc", "source": "proc" },
            { "destination": "/dev", "type": "tmpfs", "source": "tmpfs",
                "options": ["nosuid", "strictatime", "mode=755", "size=65536k"] },
            { "destination": "/dev/pts", "type": "devpts", "source": "devpts",
                "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"] },
            { "destination": "/dev/shm", "type": "tmpfs", "source": "shm",
                "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"] },
            { "destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue",
                "options": ["nosuid", "noexec", "nodev"] },
            { "destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "noexec", "nodev", "ro"] },
            { "destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup",
                "options": ["nosuid", "noexec", "nodev", "relatime", "ro"] }
        ],
        "linux": {
            "resources": { "devices": [{ "allow": false, "access": "rwm" }] },
            "namespaces": namespaces.iter().map(|kind| json!({ "type": kind })).collect::<Vec<_>>(),
            "maskedPaths": ["/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
                "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/sys/firmware", "/proc/scsi"],
            "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]
        }
    })
}

/// Changes a configuration into one for a caller without privilege: a user namespace of just the caller, and nothing that
/// needs more.
pub fn make_rootless(spec: &mut Value, uid: u32, gid: u32) {
    let linux = &mut spec["linux"];
    if let Some(namespaces) = linux["namespaces"].as_array_mut() {
        namespaces.retain(|namespace| namespace["type"] != "network" && namespace["type"] != "user");
        namespaces.push(json!({ "type": "user" }));
    }
    linux["uidMappings"] = json!([{ "containerID": 0, "hostID": uid, "size": 1 }]);
    linux["gidMappings"] = json!([{ "containerID": 0, "hostID": gid, "size": 1 }]);
    if let Some(linux) = linux.as_object_mut() {
        linux.remove("resources");
    }
    for mount in spec["mounts"].as_array_mut().into_iter().flatten() {
        if mount["destination"] == "/sys" {
            // A new sysfs needs a network namespace of one's own.
            *mount = json!({ "destination": "/sys", "type": "none", "source": "/sys",
                "options": ["rbind", "nosuid", "noexec", "nodev", "ro"] });
        } else if let Some(options) = mount["options"].as_array_mut() {
            options.retain(|option| {
                option.as_str().is_none_or(|option| !option.starts_with("uid=") && !option.starts_with("gid="))
            });
        }
    }
}

/// Folders of the host that make programs run, as far as there are such.
const HOST_FOLDERS: [&str; 8] = ["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/etc"];

/// Changes a configuration into one whose root is an empty folder: the host's programs, libraries and settings are bound
/// into it, read-only, and everything else is fresh.
///
/// `host` is the root of the host. Returns links that the empty root needs: name and target.
pub fn make_host(spec: &mut Value, host: &Path) -> Vec<(String, std::path::PathBuf)> {
    let mut links = Vec::new();
    let mut mounts = vec![
        // The root itself stays as empty as it is.
        json!({ "destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "nodev", "mode=1777"] }),
        json!({ "destination": "/run", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "nodev", "mode=755"] }),
        json!({ "destination": "/root", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "nodev", "mode=700"] }),
        json!({ "destination": "/var", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "nodev", "mode=755"] }),
    ];
    for folder in HOST_FOLDERS {
        let path = host.join(folder.trim_start_matches('/'));
        match std::fs::read_link(&path) {
            Ok(target) => links.push((folder.trim_start_matches('/').to_owned(), target)),
            Err(_) if path.is_dir() => mounts.push(json!({ "destination": folder, "type": "none", "source": path,
                "options": ["rbind", "ro", "nosuid", "nodev", "rprivate"] })),
            Err(_) => {}
        }
    }
    if let Some(all) = spec["mounts"].as_array_mut() {
        all.splice(0..0, mounts);
    }
    links
}
