//! A containerd of the test's own, with an image made from busybox, and our binary as its runtime.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use super::command::Running;
use super::{Invocation, TempDir, clean_up, eventually, left_behind, patience, program, runtime_words};

/// The name of the image that is imported.
pub(crate) const IMAGE: &str = "docker.io/library/busybox:test";

/// How its containers are started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// By containerd's own shim, which calls the runtime under test.
    Runtime,
    /// By our shim, which is the runtime.
    Shim,
}

/// A running containerd, its folders and its namespace. Dropped, it ends, and has to have left nothing.
pub(crate) struct Containerd {
    daemon: Option<Running>,
    dir: TempDir,
    /// The path of the runtime's binary.
    runtime: PathBuf,
    way: Way,
    /// The namespace of its containers, which is also the parent of their cgroups.
    pub(crate) namespace: String,
}

impl Containerd {
    /// Whether the programs are installed.
    pub(crate) fn is_installed() -> bool {
        ["containerd", "ctr"].iter().all(|name| Command::new(name).arg("--version").output().is_ok())
    }

    /// Starts one, in a mount namespace of its own, and imports the image.
    #[track_caller]
    pub(crate) fn start(way: Way) -> Containerd {
        let dir = TempDir::new();
        let namespace = dir.path().file_name().and_then(|name| name.to_str()).expect("a name").to_owned();
        let words = runtime_words();
        let runtime = if words.len() == 1 {
            PathBuf::from(&words[0])
        } else {
            // Engines know one path and no applet: the name of the link is what chooses it.
            let link = dir.join("nskit-runtime");
            symlink(&words[0], &link).expect("link to the runtime");
            link
        };
        let path = |name: &str| dir.join(name).display().to_string();
        let config = format!(
            "version = 2\nroot = {:?}\nstate = {:?}\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n\
             [grpc]\naddress = {:?}\n[ttrpc]\naddress = {:?}\n",
            path("root"),
            path("state"),
            path("socket"),
            path("socket.ttrpc")
        );
        fs::write(dir.join("config.toml"), config).expect("write the configuration of containerd");
        let daemon = program("unshare").args(["-m", "--propagation", "private", "containerd", "-c"]);
        // It looks for shims in its own PATH.
        symlink(super::nskit(), dir.join("containerd-shim-nskit-v2")).expect("link to the shim");
        let mut path = vec![dir.path().to_owned()];
        path.extend(super::criu());
        path.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
        let daemon = daemon.arg(dir.join("config.toml")).env("PATH", std::env::join_paths(path).expect("a PATH"));
        let daemon = daemon.start();
        let engine = Containerd { daemon: Some(daemon), dir, runtime, way, namespace };
        eventually("containerd answers", || engine.ctr(&["version"]).run().code() == 0);
        let archive = engine.dir.join("image.tar");
        write_image(&engine.dir.join("image"), &archive);
        engine.ctr(&["image", "import"]).arg(&archive).run().ok();
        engine
    }

    /// `ctr` with words, for the caller to add to.
    pub(crate) fn ctr(&self, words: &[&str]) -> Invocation {
        self.ctr_on(program("ctr"), words)
    }

    /// The same behind another program, which `invocation` is.
    pub(crate) fn ctr_on(&self, invocation: Invocation, words: &[&str]) -> Invocation {
        invocation
            .args(["--address", &self.dir.join("socket").display().to_string(), "--namespace", &self.namespace])
            .args(words)
            .at_most(60.0)
    }

    /// `run` with options, for the caller to add an id and a program to: see [`Containerd::container`].
    fn options(&self) -> Vec<String> {
        if self.way == Way::Shim {
            return ["--runtime", "io.containerd.nskit.v2"].map(str::to_owned).to_vec();
        }
        let root = self.runtime_root().display().to_string();
        let runtime = self.runtime.display().to_string();
        ["--runc-binary", &runtime, "--runc-root", &root].map(str::to_owned).to_vec()
    }

    /// `ctr run OPTIONS… IMAGE ID WORDS…`
    pub(crate) fn run(&self, options: &[&str], id: &str, words: &[&str]) -> Invocation {
        self.ctr(&["run"]).args(self.options()).args(options).args([IMAGE, id]).args(words)
    }

    /// The same on a terminal of its own.
    pub(crate) fn run_on_terminal(&self, options: &[&str], id: &str, words: &[&str]) -> Invocation {
        let setsid = program("setsid").args(["--ctty", "--wait", "ctr"]);
        self.ctr_on(setsid, &["run"]).args(self.options()).args(options).args([IMAGE, id]).args(words)
    }

    /// Starts a container that runs until it is told to stop.
    #[track_caller]
    pub(crate) fn running(&self, id: &str) {
        let script = "trap 'exit 0' TERM; while :; do sleep 0.05; done";
        self.run(&["--detach"], id, &["sh", "-c", script]).run().ok();
        assert_eq!(self.status(id), "RUNNING");
    }

    /// The status of a task as `ctr task ls` shows it, empty when there is none.
    pub(crate) fn status(&self, id: &str) -> String {
        let table = self.ctr(&["task", "ls"]).run().ok().stdout();
        let row = table.lines().find(|line| line.split_whitespace().next() == Some(id));
        row.and_then(|line| line.split_whitespace().last()).unwrap_or_default().to_owned()
    }

    /// Kills and deletes a container.
    #[track_caller]
    pub(crate) fn remove(&self, id: &str) {
        if !matches!(self.status(id).as_str(), "" | "STOPPED") {
            self.ctr(&["task", "kill", "--signal", "SIGKILL", id]).run().ok();
            eventually("the task stops", || self.status(id) == "STOPPED");
        }
        if !self.status(id).is_empty() {
            let deleted = self.ctr(&["task", "delete", id]).run();
            // A killed task's status is the status of its deletion.
            assert!(matches!(deleted.code(), 0 | 1 | 137), "{}", deleted.stderr());
        }
        self.ctr(&["container", "delete", id]).run().ok();
    }

    /// The runtime's state folder, that of the namespace of the engine.
    pub(crate) fn runtime_root(&self) -> PathBuf {
        match self.way {
            Way::Runtime => self.dir.join("runtime-root"),
            Way::Shim => PathBuf::from("/run/containerd/nskit"),
        }
    }

    /// The runtime as the shim calls it for a container.
    pub(crate) fn runtime(&self, words: &[&str]) -> Invocation {
        program(&self.runtime).arg("--root").arg(self.runtime_root().join(&self.namespace)).args(words)
    }

    /// Asserts that no container left a cgroup, a process, a mount or state.
    #[track_caller]
    pub(crate) fn assert_nothing_left(&self, id: &str) {
        let give_up = Instant::now() + patience(5.0);
        loop {
            let mut found = left_behind(&format!("{}/{id}", self.namespace));
            found.extend(
                fs::exists(self.runtime_root().join(&self.namespace).join(id))
                    .ok()
                    .filter(|left| *left)
                    .map(|_| "state".into()),
            );
            if found.is_empty() {
                break;
            }
            assert!(Instant::now() < give_up, "left behind:\n{}", found.join("\n"));
            thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        if let Some(daemon) = self.daemon.take() {
            daemon.signal(nix::sys::signal::Signal::SIGTERM);
            if !thread::panicking() {
                drop(daemon.wait());
            }
        }
        // What is left of a failed test: shims, containers. The parent of the containers' cgroups is the engine's.
        clean_up(&self.namespace);
        let _ = fs::remove_dir(PathBuf::from("/run/containerd/nskit").join(&self.namespace));
    }
}

/// Writes a docker-archive with one layer: the root file system of the tests.
fn write_image(dir: &Path, archive: &Path) {
    let layer = dir.join("layer.tar");
    let rootfs = dir.with_extension("rootfs");
    fs::create_dir_all(dir).expect("make a folder");
    super::make_rootfs(&rootfs);
    program("tar").arg("-C").arg(&rootfs).arg("-cf").arg(&layer).arg(".").run().ok();
    let digest = program("sha256sum").arg(&layer).run().ok().stdout();
    let digest = digest.split_whitespace().next().expect("a digest");
    let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    let config = serde_json::json!({
        "architecture": architecture, "os": "linux",
        "config": {"Env": ["PATH=/bin"], "Cmd": ["sh"]},
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{digest}")]}
    });
    let manifest = serde_json::json!([{"Config": "config.json", "RepoTags": [IMAGE], "Layers": ["layer.tar"]}]);
    fs::write(dir.join("config.json"), config.to_string()).expect("write the image's configuration");
    fs::write(dir.join("manifest.json"), manifest.to_string()).expect("write the manifest");
    program("tar")
        .arg("-C")
        .arg(dir)
        .arg("-cf")
        .arg(archive)
        .args(["manifest.json", "config.json", "layer.tar"])
        .run()
        .ok();
    let _ = fs::remove_dir_all(rootfs);
}
