//! The systemd of a user.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::systemd;
use crate::harness::{
    Invocation, TempDir, cgroup_dir, default_config, eventually, make_rootfs, nskit, program, set, unique_name,
};

/// A service manager of a user, as `user@.service` starts one for who is logged in. Dropped, it ends.
struct UserManager {
    unit: String,
    dir: TempDir,
}

impl UserManager {
    /// `daemon`: systemd wants a user that there is.
    const ID: &str = "1";

    #[track_caller]
    fn start() -> UserManager {
        let dir = TempDir::new();
        let unit = format!("{}.service", dir.path().file_name().and_then(|name| name.to_str()).expect("a name"));
        fs::create_dir(dir.join("run")).expect("make a folder");
        let manager = UserManager { unit, dir };
        manager.give_away();
        program("systemd-run")
            .args(["--quiet", "--unit", &manager.unit, "--uid", Self::ID, "--gid", Self::ID, "-p", "Delegate=yes"])
            .args(["--setenv", &manager.variable(), "/usr/lib/systemd/systemd", "--user"])
            .run()
            .ok();
        eventually("the user's systemd answers", || manager.dir.join("run/systemd/private").exists());
        manager
    }

    fn variable(&self) -> String {
        format!("XDG_RUNTIME_DIR={}", self.dir.join("run").display())
    }

    #[track_caller]
    fn give_away(&self) {
        program("chown").args(["-hR", &format!("{0}:{0}", Self::ID)]).arg(self.dir.path()).run().ok();
    }

    /// A program as this user, outside of everything that is theirs.
    fn program(&self, words: &[&str]) -> Invocation {
        program("setpriv")
            .args(["--reuid", Self::ID, "--regid", Self::ID, "--clear-groups", "env", &self.variable()])
            .args(words)
    }

    /// The runtime, in a scope of the user's.
    fn runtime(&self, words: &[&str]) -> Invocation {
        let nskit = nskit().display().to_string();
        let root = self.dir.join("state").display().to_string();
        let before = ["systemd-run", "--quiet", "--user", "--scope", &nskit, "runtime", "--root", &root];
        self.program(&[&before, words].concat())
    }
}

impl Drop for UserManager {
    fn drop(&mut self) {
        let _ = program("systemctl").args(["stop", &self.unit]).run();
        let _ = program("systemctl").args(["reset-failed", &self.unit]).run();
    }
}

#[test]
fn a_user_asks_their_own_systemd() {
    systemd!();
    let manager = UserManager::start();
    let (id, bundle) = (unique_name(), manager.dir.join("bundle"));
    fs::create_dir(&bundle).expect("make a bundle");
    make_rootfs(&bundle.join("rootfs"));
    let map = json!([{"containerID": 0, "hostID": 1, "size": 1}]);
    let mut config = default_config();
    for (pointer, value) in [
        ("/linux/namespaces/-", json!({"type": "user"})),
        ("/linux/uidMappings", map.clone()),
        ("/linux/gidMappings", map),
        ("/linux/resources", json!({"pids": {"limit": 42}})),
        ("/linux/cgroupsPath", json!(format!(":nskit-test:{id}"))),
        ("/mounts", json!([{"destination": "/proc", "type": "proc", "source": "proc"}])),
        ("/process/args", json!(["sleep", "1000"])),
    ] {
        set(&mut config, pointer, value);
    }
    fs::write(bundle.join("config.json"), config.to_string()).expect("write config.json");
    manager.give_away();
    let bundle = bundle.to_str().expect("UTF-8");
    manager.runtime(&["--systemd-cgroup", "create", "--bundle", bundle, &id]).run().ok();
    manager.runtime(&["start", &id]).run().ok();
    let state: Value = serde_json::from_str(&manager.runtime(&["state", &id]).run().ok().stdout()).expect("JSON");
    let pid = state["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok()).expect("a pid");
    let dir = cgroup_dir(pid, "pids");
    let scope = format!("user.slice/nskit-test-{id}.scope");
    assert_eq!(dir, Path::new("/sys/fs/cgroup/system.slice").join(&manager.unit).join(scope));
    let limit = || fs::read_to_string(dir.join("pids.max")).expect("read the limit").trim().to_owned();
    assert_eq!(limit(), "42");
    manager.runtime(&["exec", &id, "true"]).run().ok();
    manager.runtime(&["update", "--pids-limit", "50", &id]).run().ok();
    assert_eq!(limit(), "50");
    manager.runtime(&["pause", &id]).run().ok();
    manager.runtime(&["resume", &id]).run().ok();
    manager.runtime(&["delete", "--force", &id]).run().ok();
    assert!(!dir.exists());
    // Without a session nobody can be asked.
    let (nskit, root) = (nskit().display().to_string(), manager.dir.join("state").display().to_string());
    let words = ["env", "-u", "XDG_RUNTIME_DIR", &nskit, "runtime", "--root", &root, "--systemd-cgroup", "run"];
    let alone = manager.program(&words).args(["--bundle", bundle, &id]).run();
    alone.exits(1).in_one_line().complains("XDG_RUNTIME_DIR");
}
