//! A root file system from busybox, and a configuration like the one that `runc spec` writes.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::{Value, json};

/// The host's static busybox.
pub(crate) fn busybox() -> PathBuf {
    ["/usr/bin/busybox", "/bin/busybox"]
        .iter()
        .map(PathBuf::from)
        .find(|path| path.exists())
        .expect("busybox is installed (package busybox-static; tests/install-deps installs it)")
}

/// Copies a program that is to be executed.
///
/// By another process: while this one had the copy open for writing, another thread could start a program, which would
/// have it open too until its exec; and what is open for writing cannot be executed.
#[track_caller]
pub(crate) fn copy_program(from: &Path, to: &Path) {
    super::program("cp").arg(from).arg(to).run().ok();
}

/// The names under which busybox can be called.
fn applets() -> &'static [String] {
    static APPLETS: OnceLock<Vec<String>> = OnceLock::new();
    APPLETS.get_or_init(|| {
        let output = Command::new(busybox()).arg("--list").output().expect("busybox --list");
        String::from_utf8(output.stdout).expect("UTF-8").lines().map(str::to_owned).collect()
    })
}

/// Fills `dir` with busybox, its links, two users and the folders that a root file system has.
pub(crate) fn make_rootfs(dir: &Path) {
    for folder in ["bin", "dev", "etc", "proc", "root", "sys", "tmp", "var"] {
        fs::create_dir_all(dir.join(folder)).expect("make a root file system");
    }
    copy_program(&busybox(), &dir.join("bin/busybox"));
    for applet in applets().iter().filter(|applet| *applet != "busybox") {
        symlink("busybox", dir.join("bin").join(applet)).expect("link an applet of busybox");
    }
    fs::write(dir.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000:user:/tmp:/bin/sh\n")
        .and_then(|()| fs::write(dir.join("etc/group"), "root:x:0:\nuser:x:1000:\n"))
        .expect("write /etc");
}

/// A configuration that any runtime of version 1.0.2 of the specification accepts. Its program is `true`.
pub(crate) fn default_config() -> Value {
    let capabilities = json!(["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"]);
    json!({
        "ociVersion": "1.0.2",
        "process": {
            "terminal": false,
            "user": {"uid": 0, "gid": 0},
            "args": ["true"],
            "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"],
            "cwd": "/",
            "capabilities": {"bounding": capabilities, "effective": capabilities, "permitted": capabilities},
            "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}],
            "noNewPrivileges": true
        },
        "root": {"path": "rootfs", "readonly": false},
        "hostname": "test",
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs",
             "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
            {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
             "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]},
            {"destination": "/dev/shm", "type": "tmpfs", "source": "shm",
             "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]},
            {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue", "options": ["nosuid", "noexec", "nodev"]},
            {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "noexec", "nodev", "ro"]},
            {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup",
             "options": ["nosuid", "noexec", "nodev", "relatime", "ro"]}
        ],
        "linux": {
            "resources": {"devices": [{"allow": false, "access": "rwm"}]},
            "namespaces": [
                {"type": "pid"}, {"type": "network"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"},
                {"type": "cgroup"}
            ],
            "maskedPaths": ["/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
                "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/sys/firmware", "/proc/scsi"],
            "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]
        }
    })
}

/// Sets what `pointer` names (`/process/user/uid`), making the objects on the way; `-` at the end adds to an array.
#[track_caller]
pub(crate) fn set(config: &mut Value, pointer: &str, value: Value) {
    let mut place = config;
    for step in pointer.trim_start_matches('/').split('/') {
        if step == "-" {
            if !place.is_array() {
                *place = json!([]);
            }
            let array = place.as_array_mut().expect("an array");
            array.push(Value::Null);
            place = array.last_mut().expect("an element");
        } else if place.is_array() {
            let index: usize = step.parse().unwrap_or_else(|_| panic!("{pointer}: {step} is no index"));
            place = &mut place[index];
        } else {
            place = &mut place[step];
        }
    }
    *place = value;
}
