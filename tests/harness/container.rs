//! A bundle, an id, and the runtime's verbs on them. Dropped, it deletes the container and checks that nothing is left.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Instant;

use serde_json::{Value, json};

use super::{
    Invocation, Output, Peer, clean_up, eventually, left_behind, patience, program, runtime_words, unique_name,
};

/// A folder that goes away with the value.
pub(crate) struct TempDir(PathBuf);

impl TempDir {
    pub(crate) fn new() -> TempDir {
        let dir = std::env::temp_dir().join(unique_name());
        fs::create_dir(&dir).unwrap_or_else(|error| panic!("make {}: {error}", dir.display()));
        TempDir(dir)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A container of the runtime under test, in a bundle and under a state folder of its own.
pub(crate) struct Container {
    /// The folder of everything: `bundle/`, `state/`, what the test puts there.
    pub(crate) dir: TempDir,
    /// The container's id, which is also in the path of its cgroup.
    pub(crate) id: String,
    /// What `config.json` will hold.
    pub(crate) config: Value,
    /// Options before the verb, for every verb.
    options: Vec<String>,
    /// What `create` said, and what the container's process writes after it.
    created: Option<Output>,
}

impl Container {
    /// A container that would run `true` in a busybox root file system.
    pub(crate) fn new() -> Container {
        assert!(nix::unistd::geteuid().is_root(), "the runtime's tests need root (make test uses sudo)");
        let container = Container::without_rootfs();
        super::make_rootfs(&container.rootfs());
        container
    }

    /// The same without anything in its bundle.
    pub(crate) fn without_rootfs() -> Container {
        let dir = TempDir::new();
        let id = dir.path().file_name().and_then(|name| name.to_str()).expect("a name").to_owned();
        fs::create_dir(dir.join("bundle")).expect("make a bundle");
        Container { dir, id, config: super::default_config(), options: Vec::new(), created: None }
    }

    /// A container whose process runs a shell script.
    pub(crate) fn script(script: &str) -> Container {
        Container::new().args(&["sh", "-c", script])
    }

    /// A container that runs until it is told to stop.
    pub(crate) fn sleeper() -> Container {
        Container::script("trap 'exit 0' TERM; while :; do sleep 0.05; done")
    }

    /// A [`Container::sleeper`] that was created and started.
    #[track_caller]
    pub(crate) fn running() -> Container {
        Container::sleeper().started()
    }

    pub(crate) fn args(self, args: &[&str]) -> Self {
        self.set("/process/args", json!(args))
    }

    /// Sets what a JSON pointer names in config.json; `-` at its end adds to an array.
    #[track_caller]
    pub(crate) fn set(mut self, pointer: &str, value: impl Into<Value>) -> Self {
        super::set(&mut self.config, pointer, value.into());
        self
    }

    /// Adds a mount.
    /// A hook at `point` that waits: it makes the first of these files, and ends once the second is there.
    pub(crate) fn waiting_hook(self, point: &str) -> (Container, PathBuf, PathBuf) {
        let (there, go) = (self.dir.join("there"), self.dir.join("go"));
        let script = format!("touch {}; while ! test -e {}; do sleep 0.01; done", there.display(), go.display());
        let hook = serde_json::json!([{"path": "/bin/sh", "args": ["sh", "-c", script]}]);
        (self.set(&format!("/hooks/{point}"), hook), there, go)
    }

    pub(crate) fn mount(self, destination: &str, kind: &str, source: &str, options: &[&str]) -> Self {
        let mount = json!({"destination": destination, "type": kind, "source": source, "options": options});
        self.set("/mounts/-", mount)
    }

    /// Adds a namespace of `kind` (`user`, `time`): new, or that of a path.
    pub(crate) fn namespace(mut self, kind: &str, path: Option<&str>) -> Self {
        self = self.without_namespace(kind);
        let namespace = path.map_or(json!({"type": kind}), |path| json!({"type": kind, "path": path}));
        self.set("/linux/namespaces/-", namespace)
    }

    /// Leaves the namespace of `kind` as the runtime's own.
    pub(crate) fn without_namespace(mut self, kind: &str) -> Self {
        let namespaces = self.config["linux"]["namespaces"].as_array_mut().expect("namespaces");
        namespaces.retain(|namespace| namespace["type"] != kind);
        self
    }

    /// Adds a user namespace whose ids 0 to 65535 are the host's from 100000, and gives it the root file system.
    pub(crate) fn user_namespace(self) -> Self {
        let map = json!([{"containerID": 0, "hostID": 100_000, "size": 65_536}]);
        program("chown").args(["-hR", "100000:100000"]).arg(self.rootfs()).run().ok();
        self.namespace("user", None).set("/linux/uidMappings", map.clone()).set("/linux/gidMappings", map)
    }

    /// Adds an option before the verb, for every verb.
    pub(crate) fn option(mut self, option: &str) -> Self {
        self.options.push(option.to_owned());
        self
    }

    pub(crate) fn bundle(&self) -> PathBuf {
        self.dir.join("bundle")
    }

    pub(crate) fn rootfs(&self) -> PathBuf {
        self.dir.join("bundle/rootfs")
    }

    pub(crate) fn state_root(&self) -> PathBuf {
        self.dir.join("state")
    }

    /// Writes config.json.
    pub(crate) fn write_config(&self) {
        fs::write(self.bundle().join("config.json"), self.config.to_string()).expect("write config.json");
    }

    /// The runtime with `--root` and a verb, for the caller to add to.
    pub(crate) fn runtime(&self, words: &[&str]) -> Invocation {
        let start = runtime_words();
        program(&start[0]).args(&start[1..]).arg("--root").arg(self.state_root()).args(&self.options).args(words)
    }

    /// `VERB OPTIONS… ID`
    pub(crate) fn verb(&self, words: &[&str]) -> Output {
        self.runtime(words).arg(&self.id).run()
    }

    /// `create` or `run` with options, after writing config.json: for the caller to add to.
    pub(crate) fn launch(&self, words: &[&str]) -> Invocation {
        self.write_config();
        self.runtime(words).arg("--bundle").arg(self.bundle()).arg(&self.id)
    }

    /// `run`, attached, to its end.
    pub(crate) fn run(&self) -> Output {
        self.launch(&["run"]).run()
    }

    /// `run`, attached, which has to succeed: the container's output.
    #[track_caller]
    pub(crate) fn output(&self) -> String {
        self.run().ok().stdout()
    }

    /// `create` with options.
    pub(crate) fn create_with(&self, words: &[&str]) -> Output {
        self.launch(&[&["create"], words].concat()).run()
    }

    /// `create`, which has to succeed.
    #[track_caller]
    pub(crate) fn created(mut self) -> Self {
        self.created = Some(self.create_with(&[]).ok());
        self
    }

    /// `create` and `start`, which have to succeed.
    #[track_caller]
    pub(crate) fn started(self) -> Self {
        let container = self.created();
        container.start();
        container
    }

    #[track_caller]
    pub(crate) fn start(&self) {
        self.verb(&["start"]).ok();
    }

    /// What the container's process has written to its standard output since it was created.
    pub(crate) fn said(&self) -> String {
        self.created.as_ref().expect("a created container").stdout()
    }

    /// Waits for the container's process to end.
    #[track_caller]
    pub(crate) fn wait_stopped(&self) {
        eventually("the container stops", || self.status() == "stopped");
    }

    /// `state`, parsed.
    #[track_caller]
    pub(crate) fn state(&self) -> Value {
        serde_json::from_str(&self.verb(&["state"]).ok().stdout()).expect("state prints JSON")
    }

    /// The status that `state` tells.
    #[track_caller]
    pub(crate) fn status(&self) -> String {
        self.state()["status"].as_str().expect("a status").to_owned()
    }

    /// The container's first process, as the host numbers it.
    #[track_caller]
    pub(crate) fn pid(&self) -> i32 {
        self.state()["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok()).expect("a pid")
    }

    /// `exec ID WORDS…`
    pub(crate) fn exec(&self, words: &[&str]) -> Output {
        self.exec_with(&[], words)
    }

    /// `exec OPTIONS… ID WORDS…`
    pub(crate) fn exec_with(&self, options: &[&str], words: &[&str]) -> Output {
        self.runtime(&["exec"]).args(options).arg(&self.id).args(words).run()
    }

    /// `kill ID SIGNAL`
    pub(crate) fn kill(&self, signal: &str) -> Output {
        self.runtime(&["kill", &self.id, signal]).run()
    }

    /// Asserts that `name` (by default the id) is nowhere on the machine, within two seconds.
    #[track_caller]
    pub(crate) fn assert_gone(&self) {
        let give_up = Instant::now() + patience(2.0);
        loop {
            let mut found = left_behind(&self.id);
            // The state folder's place is the caller's, what is in it the container's.
            found.extend(entries(&self.state_root()).into_iter().map(|name| format!("state {name}")));
            if found.is_empty() {
                break;
            }
            assert!(Instant::now() < give_up, "left behind:\n{}", found.join("\n"));
            thread::sleep(std::time::Duration::from_millis(10));
        }
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        if thread::panicking() {
            let _ = self.runtime(&["delete", "--force", &self.id]).at_most(5.0).start();
            clean_up(&self.id);
            return;
        }
        // Nobody but the runtime may have to clean up: what it leaves fails the test.
        let deleted = self.verb(&["delete", "--force"]);
        let gone = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.assert_gone()));
        clean_up(&self.id);
        assert!(gone.is_ok(), "the runtime left something behind (above); delete --force: {}", deleted.stderr());
    }
}

/// The names in a folder, none when it is not there. Files that serve all containers (a lock, crun's cache) do not count.
fn entries(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| name.starts_with("nskit-test") || super::peer() == Peer::Ours)
        .collect()
}
