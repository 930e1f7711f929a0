//! The container that verbs with faults are tried on, and what its program can see of what it was given.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{Container, Hierarchy, hierarchy, left_behind, patience, runtime_words};

/// Writes down what a process has and sees, to a file that appears when it is whole.
const LOOK: &str = "{ cat /proc/self/status /proc/self/limits /proc/self/mountinfo /proc/self/cgroup \
    /proc/self/oom_score_adj /proc/sys/kernel/hostname /proc/sys/net/ipv4/ip_forward; \
    cd /sys/fs/cgroup; grep -H . memory/memory.limit_in_bytes pids/pids.max cpu/cpu.shares devices/devices.list \
    memory.max pids.max cpu.weight; cd /; \
    stat -c 'device %n %F %a %u %t:%T' /dev/*; stat -Lc 'namespace %n %i' /proc/self/ns/*; env; pwd; umask; tty; \
    ls /proc/self/fd; } >/tmp/seen.new 2>/dev/null; mv /tmp/seen.new /tmp/seen";

/// What a container is beyond the usual.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Traits {
    pub(super) user_namespace: bool,
    pub(super) time_namespace: bool,
    pub(super) hooks: bool,
    pub(super) terminal: bool,
    /// The systemd cgroup driver.
    pub(super) systemd: bool,
}

/// One container, used again for one fault after the other.
pub(super) struct Scene {
    pub(super) container: Container,
    pub(super) traits: Traits,
    console: UnixListener,
    host_namespaces: BTreeSet<u64>,
}

impl Scene {
    /// A container whose program looks around, and sleeps then if it `stays`.
    pub(super) fn new(traits: Traits, stays: bool) -> Scene {
        let script = if stays { format!("{LOOK}; exec sleep 600") } else { LOOK.to_owned() };
        let mut container = furnished(Container::script(&script));
        fs::set_permissions(container.rootfs().join("tmp"), fs::Permissions::from_mode(0o1777))
            .expect("open /tmp to all");
        if traits.user_namespace {
            // A device node in a user namespace is the host's, bound: this one the host may not have.
            container = container.set("/linux/devices", json!([])).user_namespace();
        }
        if traits.time_namespace {
            container = container.namespace("time", None);
            let offsets = json!({"monotonic": {"secs": 1000, "nanosecs": 0}});
            container = container.set("/linux/timeOffsets", offsets);
        }
        if traits.hooks {
            container = with_hooks(container);
        }
        if traits.terminal {
            container = container.set("/process/terminal", true);
        }
        if traits.systemd {
            let path = format!("system.slice:nskit:{}", container.id);
            container = container.option("--systemd-cgroup").set("/linux/cgroupsPath", path);
        }
        container.write_config();
        let console = UnixListener::bind(container.dir.join("console")).expect("bind a console socket");
        console.set_nonblocking(true).expect("a socket that does not block");
        let namespaces = fs::read_dir("/proc/self/ns").expect("own namespaces").flatten();
        let host_namespaces = namespaces.map(|entry| fs::metadata(entry.path()).expect("a namespace").ino()).collect();
        Scene { container, traits, console, host_namespaces }
    }

    /// What the shell starts the runtime with, verb and all.
    pub(super) fn line(&self, words: &str) -> String {
        let systemd = if self.traits.systemd { " --systemd-cgroup" } else { "" };
        let root = self.container.state_root();
        format!("{} --root {}{systemd} {words}", runtime_words().join(" "), root.display())
    }

    /// `create` or `run`, with options.
    pub(super) fn launch_line(&self, verb: &str) -> String {
        let console = match (self.traits.terminal, verb) {
            (true, "create" | "run -d") => {
                format!(" --console-socket {}", self.container.dir.join("console").display())
            }
            _ => String::new(),
        };
        self.line(&format!("{verb} --bundle {}{console} {}", self.container.bundle().display(), self.container.id))
    }

    /// `exec` with options, of what looks around.
    pub(super) fn exec_line(&self, options: &str) -> String {
        let console = if options == "-d -t" {
            format!(" --console-socket {}", self.container.dir.join("console").display())
        } else {
            String::new()
        };
        self.line(&format!("exec {options}{console} {} sh -c \"{LOOK}\"", self.container.id))
    }

    /// Forgets what was seen before.
    pub(super) fn clear(&self) {
        for file in [self.seen_file(), self.container.rootfs().join("tmp/seen.new"), self.container.dir.join("hooked")]
        {
            let _ = fs::remove_file(file);
        }
        while self.console.accept().is_ok() {}
    }

    fn seen_file(&self) -> PathBuf {
        self.container.rootfs().join("tmp/seen")
    }

    /// What the program saw, a line each, once it has had the time to.
    pub(super) fn seen(&self) -> Vec<String> {
        let give_up = Instant::now() + patience(5.0);
        let content = loop {
            match fs::read_to_string(self.seen_file()) {
                Ok(content) => break content,
                Err(_) if Instant::now() > give_up => return vec!["the program did not run".to_owned()],
                Err(_) => thread::sleep(Duration::from_millis(2)),
            }
        };
        let mut lines: Vec<_> = content.lines().filter_map(|line| self.lasting(line)).collect();
        if self.traits.hooks {
            let hooked = fs::read_to_string(self.container.dir.join("hooked")).unwrap_or_default();
            lines.extend(hooked.lines().map(|point| format!("hook {point}")));
        }
        lines
    }

    /// A line without what is different in every container.
    fn lasting(&self, line: &str) -> Option<String> {
        let words: Vec<&str> = line.split_whitespace().collect();
        if let Some((key, _)) = line.split_once(":\t") {
            let kept = ["Umask", "Uid", "Gid", "Groups", "NoNewPrivs", "Seccomp", "Seccomp_filters", "CoreDumping"];
            // How many signals are queued for the user is not this process's affair.
            let lasts = kept.contains(&key)
                || key != "SigQ" && ["Cap", "Sig", "Shd"].iter().any(|prefix| key.starts_with(prefix));
            return lasts.then(|| line.to_owned());
        }
        if words.len() > 6 && words.contains(&"-") && words[2].contains(':') {
            return Some(format!("mount {}", words[3..].join(" ")));
        }
        match words[..] {
            ["namespace", name, inode] => {
                let whose = inode.parse().is_ok_and(|inode| self.host_namespaces.contains(&inode));
                Some(format!("namespace {name} {}", if whose { "of the host" } else { "of its own" }))
            }
            _ => Some(line.to_owned()),
        }
    }

    /// `run -d`, without a fault.
    #[track_caller]
    pub(super) fn start(&self) {
        self.clear();
        let said = self.plain(&self.launch_line("run -d"));
        assert!(said.0 == 0, "start a container without a fault: {}", said.1);
    }

    /// Runs a line without a fault: its status and what it wrote.
    pub(super) fn plain(&self, line: &str) -> (i32, String) {
        let output = crate::harness::program("sh").args(["-c", line]).run();
        (output.code(), if output.code() == 0 { output.stdout() } else { output.stderr() })
    }

    /// `VERB ID`, without a fault.
    pub(super) fn verb(&self, verb: &str) -> (i32, String) {
        self.plain(&self.line(&format!("{verb} {}", self.container.id)))
    }

    /// What `state` says that it is: nothing when there is no container.
    pub(super) fn status(&self) -> String {
        let (code, state) = self.verb("state");
        let state: Value = if code == 0 { serde_json::from_str(&state).unwrap_or_default() } else { Value::Null };
        state["status"].as_str().unwrap_or_default().to_owned()
    }

    /// Waits for the container to be stopped, or gone.
    pub(super) fn end(&self) -> String {
        let give_up = Instant::now() + patience(5.0);
        loop {
            let status = self.status();
            if !matches!(&*status, "running" | "paused" | "created") || Instant::now() > give_up {
                return format!("status {status}");
            }
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// The values of the container's own cgroup files, or of none.
    pub(super) fn limits(&self) -> Vec<String> {
        let names: &[(&str, &str)] = match hierarchy() {
            Hierarchy::V1 => &[("memory", "memory.limit_in_bytes"), ("pids", "pids.max"), ("cpu", "cpu.shares")],
            Hierarchy::V2 => &[("", "memory.max"), ("", "pids.max"), ("", "cpu.weight")],
        };
        let (code, state) = self.verb("state");
        let pid =
            serde_json::from_str::<Value>(&state).ok().and_then(|state| state["pid"].as_i64()).filter(|_| code == 0);
        let Some(pid) = pid.and_then(|pid| i32::try_from(pid).ok()) else { return vec!["no process".to_owned()] };
        let value = |(controller, name): &(&str, &str)| {
            let file = crate::harness::cgroup_dir(pid, controller).join(name);
            format!("{name} {}", fs::read_to_string(file).unwrap_or_default().trim())
        };
        names.iter().map(value).collect()
    }

    /// The processes of the container other than its first, once those had time to end.
    pub(super) fn strays(&self) -> Vec<String> {
        let give_up = Instant::now() + patience(3.0);
        loop {
            let (code, pids) = self.verb("ps --format json");
            let pids: Vec<i64> = serde_json::from_str(&pids).unwrap_or_default();
            if code != 0 || pids.len() <= 1 {
                return Vec::new();
            }
            if Instant::now() > give_up {
                return pids[1..].iter().map(|pid| format!("process {pid} {}", command_of(*pid))).collect();
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// `delete --force`, and what is there after it.
    pub(super) fn remove(&self) -> Removed {
        let mut removed = Removed::default();
        let (code, said) = self.verb("delete --force");
        if code != 0 {
            removed.refusal = Some(format!("status {code}: {said}"));
        }
        let give_up = Instant::now() + patience(2.0);
        loop {
            let mut left = left_behind(&self.container.id);
            let entries = fs::read_dir(self.container.state_root()).into_iter().flatten().flatten();
            left.extend(entries.map(|entry| format!("state {}", entry.file_name().to_string_lossy())));
            removed.left = left;
            if removed.left.is_empty() || Instant::now() > give_up {
                break;
            }
            thread::sleep(Duration::from_millis(5));
        }
        if removed.refusal.is_some() || !removed.left.is_empty() {
            crate::harness::clean_up(&self.container.id);
            let _ = fs::remove_dir_all(self.container.state_root());
        }
        removed
    }
}

/// How a removal went.
#[derive(Debug, Default)]
pub(super) struct Removed {
    /// What `delete --force` said when it failed.
    pub(super) refusal: Option<String>,
    /// What was there after it.
    pub(super) left: Vec<String>,
}

fn command_of(pid: i64) -> String {
    fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default().replace('\0', " ")
}

/// The container with something of everything that can be lost.
fn furnished(container: Container) -> Container {
    let capabilities = json!(["CAP_KILL", "CAP_NET_BIND_SERVICE"]);
    let capabilities = json!({"bounding": capabilities, "effective": capabilities, "permitted": capabilities,
        "inheritable": capabilities, "ambient": capabilities});
    let seccomp = json!({"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"],
        "syscalls": [{"names": ["swapon", "keyctl"], "action": "SCMP_ACT_ERRNO"}]});
    let resources = json!({"memory": {"limit": 67_108_864}, "pids": {"limit": 64}, "cpu": {"shares": 512},
        "devices": [{"allow": false, "access": "rwm"},
            {"allow": true, "type": "c", "major": 10, "minor": 200, "access": "rwm"}]});
    fs::create_dir(container.dir.join("shared")).expect("make a folder to bind");
    let shared = container.dir.join("shared");
    container
        .without_namespace("cgroup")
        .mount("/shared", "bind", shared.to_str().expect("UTF-8"), &["rbind", "ro", "nosuid", "nodev"])
        .set("/process/user", json!({"uid": 1000, "gid": 1000, "additionalGids": [5, 6], "umask": 0o027}))
        .set("/process/capabilities", capabilities)
        .set("/process/oomScoreAdj", 100)
        .set("/linux/seccomp", seccomp)
        .set("/linux/resources", resources)
        .set(
            "/linux/devices",
            json!([{"path": "/dev/extra", "type": "c", "major": 10, "minor": 200, "fileMode": 0o640}]),
        )
        .set("/linux/sysctl", json!({"net.ipv4.ip_forward": "1"}))
}

/// Hooks at every point, each of which writes down that it ran.
fn with_hooks(mut container: Container) -> Container {
    let file = container.dir.join("hooked");
    for point in ["prestart", "createRuntime", "createContainer", "poststart", "poststop"] {
        let script = format!("echo {point} >>{}", file.display());
        container =
            container.set(&format!("/hooks/{point}"), json!([{"path": "/bin/sh", "args": ["sh", "-c", script]}]));
    }
    container.set("/hooks/startContainer", json!([{"path": "/bin/true"}]))
}
