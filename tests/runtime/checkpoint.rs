//! Containers that are saved to files and come back from them. Needs CRIU: tests/criu finds or fetches one that works.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::harness::{
    Container, Invocation, Pty, Socket, eventually, needs_criu, program, runtime_words, skip, skip_on, with_criu,
};

/// A container that counts, and whose memory and tmpfs tell it from every other.
const COUNTS: &str = "exec </dev/null >/dev/null 2>&1; read token </proc/sys/kernel/random/uuid; i=0
    while :; do i=$((i + 1)); echo $token $i >/tmp/new; mv /tmp/new /tmp/count; sleep 0.02; done";

/// Saved and brought back with the images in the container's own folder.
trait Saved {
    fn images(&self) -> PathBuf;
    fn checkpoint(&self, options: &[&str]) -> Invocation;
    fn restore(&self, options: &[&str], id: &str) -> Invocation;
    fn count(&self, id: &str) -> (String, u64);
}

impl Saved for Container {
    fn images(&self) -> PathBuf {
        self.dir.join("images")
    }

    fn checkpoint(&self, options: &[&str]) -> Invocation {
        let images = self.images();
        let words = ["checkpoint", "--image-path", images.to_str().expect("a path")];
        with_criu(self.runtime(&[&words, options, &[&self.id]].concat()))
    }

    fn restore(&self, options: &[&str], id: &str) -> Invocation {
        let (images, bundle) = (self.images(), self.bundle());
        let text = |path: &Path| path.to_str().expect("a path").to_owned();
        let (images, bundle) = (text(&images), text(&bundle));
        let words = ["restore", "--image-path", &images, "--bundle", &bundle];
        with_criu(self.runtime(&[&words, options, &[id]].concat()))
    }

    fn count(&self, id: &str) -> (String, u64) {
        let output = self.runtime(&["exec", id, "cat", "/tmp/count"]).run().ok().stdout();
        let (token, count) = output.trim().split_once(' ').expect("a token and a count");
        (token.to_owned(), count.parse().expect("a count"))
    }
}

fn counting() -> Container {
    let container = Container::script(COUNTS).mount("/tmp", "tmpfs", "tmpfs", &[]).started();
    eventually("it counts", || {
        container.runtime(&["exec", &container.id, "test", "-e", "/tmp/count"]).run().code() == 0
    });
    container
}

#[test]
fn a_container_goes_on_where_it_was() {
    needs_criu!();
    let container = counting();
    let (token, before) = container.count(&container.id);
    container.checkpoint(&[]).run().ok();
    container.assert_gone();
    container.restore(&["--detach"], &container.id).run().ok();
    assert_eq!(container.status(), "running");
    let (same, after) = container.count(&container.id);
    assert_eq!(same, token);
    assert!(after >= before, "{after} < {before}");
    eventually("it goes on counting", || container.count(&container.id).1 > after);
    // And once more, as it is now.
    container.checkpoint(&[]).run().ok();
    container.restore(&["--detach"], &container.id).run().ok();
    assert_eq!(container.count(&container.id).0, token);
    container.verb(&["delete", "--force"]).ok();
    container.assert_gone();
}

#[test]
fn one_that_is_left_running_goes_on_and_comes_back_as_another_too() {
    needs_criu!();
    let container = counting();
    container.checkpoint(&["--leave-running", "--manage-cgroups-mode", "ignore"]).run().ok();
    let (token, count) = container.count(&container.id);
    eventually("it goes on counting", || container.count(&container.id).1 > count);
    let other = format!("{}-other", container.id);
    container.restore(&["--detach", "--manage-cgroups-mode", "ignore"], &other).run().ok();
    assert_eq!(container.count(&other).0, token);
    container.runtime(&["delete", "--force", &other]).run().ok();
    assert_eq!(container.status(), "running");
}

#[test]
fn a_paused_one_comes_back_running() {
    needs_criu!();
    let container = counting();
    let (token, _) = container.count(&container.id);
    container.verb(&["pause"]).ok();
    container.checkpoint(&[]).run().ok();
    container.restore(&["--detach"], &container.id).run().ok();
    assert_eq!(container.count(&container.id).0, token);
}

#[test]
fn its_end_is_waited_for() {
    needs_criu!();
    let script = "exec </dev/null >/dev/null 2>&1; until [ -e /tmp/go ]; do sleep 0.02; done; exit 7";
    let container = Container::script(script).mount("/tmp", "tmpfs", "tmpfs", &[]).started();
    container.checkpoint(&[]).run().ok();
    let restore = container.restore(&[], &container.id).start();
    eventually("it is back", || container.runtime(&["exec", &container.id, "touch", "/tmp/go"]).run().code() == 0);
    restore.wait().exits(7);
    container.assert_gone();
}

#[test]
fn its_streams_are_those_of_the_restore() {
    needs_criu!();
    let container = Container::script("while :; do echo out; echo err >&2; sleep 0.02; done");
    container.write_config();
    let file = |name: &str| container.dir.join(name);
    let through_pipes = |words: &[&str], out: &Path, err: &Path| {
        // A pipe has somebody at its other end.
        let script = "o=$1 e=$2; shift 2; { \"$@\" </dev/null 2>&3 | cat >\"$o\" & } 3>&1 >&2 | cat >\"$e\" & wait";
        let words: Vec<&str> = words.to_vec();
        let start = program("sh").args(["-c", script, "sh"]).arg(out).arg(err).args(runtime_words());
        with_criu(start.arg("--root").arg(container.state_root()).args(words)).start()
    };
    let bundle = container.bundle();
    let (bundle, images) = (bundle.to_str().expect("a path"), container.images());
    let run = through_pipes(&["run", "--detach", "--bundle", bundle, &container.id], &file("o1"), &file("e1"));
    let has = |name: &str, text: &str| fs::read_to_string(file(name)).is_ok_and(|said| said.contains(text));
    eventually("it writes", || has("o1", "out") && has("e1", "err"));
    container.checkpoint(&[]).run().ok();
    run.wait();
    let words =
        ["restore", "--detach", "--bundle", bundle, "--image-path", images.to_str().expect("a path"), &container.id];
    let restore = through_pipes(&words, &file("o2"), &file("e2"));
    eventually("it writes again", || has("o2", "out") && has("e2", "err"));
    container.verb(&["delete", "--force"]).ok();
    restore.wait();
}

#[test]
fn a_pipe_of_the_container_s_own_comes_back_as_its_own() {
    needs_criu!();
    // Its standard output goes to a child of its own, as bash's `exec > >(logger)` does.
    let script = "mkfifo /tmp/fifo; (while read line; do echo $line >>/tmp/log; done </tmp/fifo >/dev/null 2>&1) &
        exec </dev/null >/tmp/fifo 2>/dev/null; rm /tmp/fifo; while :; do echo line; sleep 0.02; done";
    let container = Container::script(script).mount("/tmp", "tmpfs", "tmpfs", &[]).started();
    let lines = || container.exec(&["sh", "-c", "wc -l </tmp/log"]).stdout().trim().parse::<u64>().unwrap_or(0);
    eventually("it writes", || lines() > 0);
    container.checkpoint(&[]).run().ok();
    container.restore(&["--detach"], &container.id).run().ok();
    let before = lines();
    eventually("it goes on writing", || lines() > before);
}

#[test]
fn its_terminal_is_sent_over_the_socket() {
    needs_criu!();
    let script = "echo ready; while read line; do echo got $line; done";
    let container = Container::script(script).set("/process/terminal", true);
    let socket = Socket::bind(container.dir.join("console.sock"));
    let run = container.launch(&["run", "--detach", "--console-socket", socket.path()]).start();
    let mut terminal = Pty::from(socket.receive());
    run.wait().ok();
    terminal.expect("ready\r\n");
    container.checkpoint(&[]).run().ok();
    drop(terminal);
    container.restore(&["--detach"], &container.id).run().exits(1).in_one_line().complains("console socket");
    let restore = container.restore(&["--detach", "--console-socket", socket.path()], &container.id).start();
    let mut terminal = Pty::from(socket.receive());
    restore.wait().ok();
    terminal.write("hello\n");
    terminal.expect("got hello\r\n");
}

#[test]
fn limits_and_mounts_hold_for_what_came_back() {
    needs_criu!();
    let container = Container::script(COUNTS).mount("/tmp", "tmpfs", "tmpfs", &[]);
    fs::create_dir_all(container.rootfs().join("real")).expect("make a folder");
    std::os::unix::fs::symlink("/real", container.rootfs().join("link")).expect("make a link");
    fs::write(container.dir.join("told"), "by the host").expect("write a file");
    let source = container.dir.path().to_str().expect("a path").to_owned();
    // Through a link, and one below the other.
    let container = container.mount("/link/outer", "bind", &source, &["rbind", "ro"]);
    let container = container
        .mount("/link/outer/bundle", "bind", "/usr/share", &["rbind", "ro"])
        .set("/linux/maskedPaths", json!(["/proc/kcore", "/proc/keys", "/sys/firmware"]))
        .set("/linux/readonlyPaths", json!(["/proc/sys"]))
        .set("/linux/resources/pids", json!({"limit": 77}))
        .set("/root/readonly", true)
        .started();
    eventually("it counts", || container.exec(&["test", "-e", "/tmp/count"]).code() == 0);
    container.checkpoint(&[]).run().ok();
    container.restore(&["--detach"], &container.id).run().ok();
    assert_eq!(container.cgroup_value("pids", "pids.max", "pids.max"), "77");
    container.exec(&["cat", "/real/outer/told"]).ok().says("by the host");
    container.exec(&["touch", "/real/outer/told"]).complains("Read-only file system");
    container.exec(&["sh", "-c", "cat /proc/keys | wc -c; ls /sys/firmware | wc -l"]).ok().says("0\n0");
    container.exec(&["sh", "-c", "echo x > /proc/sys/kernel/shm_next_id"]).complains("Read-only file system");
    container.exec(&["ip", "link", "show", "lo"]).ok().mentions("UP");
    container.exec(&["touch", "/written"]).complains("Read-only file system");
    assert!(!fs::read_to_string("/proc/self/mountinfo").expect("read mountinfo").contains("criu-root"));
    container.verb(&["delete", "--force"]).ok();
    container.assert_gone();
}

#[test]
fn the_network_namespace_of_another_is_where_it_comes_back() {
    needs_criu!();
    let owner = Container::running();
    let path = format!("/proc/{}/ns/net", owner.pid());
    let container = Container::script(COUNTS).mount("/tmp", "tmpfs", "tmpfs", &[]).namespace("network", Some(&path));
    let container = container.started();
    container.checkpoint(&[]).run().ok();
    container.restore(&["--detach"], &container.id).run().ok();
    let of = |pid: i32| fs::read_link(format!("/proc/{pid}/ns/net")).expect("read a namespace");
    assert_eq!(of(container.pid()), of(owner.pid()));
}

#[test]
fn hooks_prepare_the_namespaces_anew() {
    needs_criu!();
    let container = Container::script(COUNTS).mount("/tmp", "tmpfs", "tmpfs", &[]);
    let file = container.dir.join("hooked");
    let script = format!("cat >> {0}; echo >> {0}", file.display());
    let hook = json!([{"path": "/bin/sh", "args": ["sh", "-c", script]}]);
    let container = container.set("/hooks/createRuntime", hook).started();
    container.checkpoint(&[]).run().ok();
    container.restore(&["--detach"], &container.id).run().ok();
    let told = fs::read_to_string(file).expect("read what the hook was told");
    let pids: Vec<i64> = told
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).expect("a state")["pid"].as_i64().expect("a pid"))
        .collect();
    assert_eq!((pids.len(), pids[1]), (2, i64::from(container.pid())));
}

#[test]
fn what_cannot_be_saved_goes_on_and_is_named() {
    needs_criu!();
    skip_on!(Runc | Crun, "they say it otherwise");
    // Its standard output is a file of the host's.
    let container = Container::script("while :; do echo x; sleep 0.02; done");
    container.write_config();
    let out = container.dir.join("out");
    let script = "out=$1; shift; exec \"$@\" </dev/null >\"$out\" 2>&1";
    program("sh")
        .args(["-c", script, "sh"])
        .arg(&out)
        .args(runtime_words())
        .arg("--root")
        .arg(container.state_root())
        .args(["run", "--detach", "--bundle"])
        .arg(container.bundle())
        .arg(&container.id)
        .run()
        .ok();
    let output = container.checkpoint(&[]).run().exits(1).in_one_line();
    output.complains("criu failed: ").complains("dump.log");
    assert_eq!(container.status(), "running");
    let length = || fs::metadata(&out).expect("look at the output").len();
    let before = length();
    eventually("it goes on writing", || length() > before);
}

#[test]
fn of_images_that_are_none_nothing_comes_back() {
    needs_criu!();
    skip_on!(Runc | Crun, "they say it otherwise");
    let container = counting();
    container.checkpoint(&[]).run().ok();
    for damage in ["core-1.img", "inventory.img"] {
        fs::write(container.images().join(damage), "x").expect("damage an image");
        let output = container.restore(&["--detach"], &container.id).run().exits(1).in_one_line();
        output.complains("restore container").complains("restore.log");
        container.assert_gone();
    }
    fs::remove_file(container.images().join("descriptors.json")).expect("remove a file");
    container.restore(&[], &container.id).run().exits(1).in_one_line().complains("descriptors.json");
    container.assert_gone();
}

#[test]
fn options_that_make_no_sense_are_refused() {
    skip_on!(Runc | Crun, "they say it otherwise");
    let container = Container::running();
    let refused = |words: &[&str], why: &str| {
        container
            .runtime(&[&["checkpoint"], words, &[&container.id]].concat())
            .run()
            .exits(1)
            .in_one_line()
            .complains(why);
    };
    refused(&["--page-server", "here"], "--page-server \"here\": ADDRESS:PORT");
    refused(&["--status-fd", "77"], "--status-fd 77");
    refused(&["--manage-cgroups-mode", "some"], "--manage-cgroups-mode");
    refused(&["--empty-ns", "uts"], "--empty-ns");
    // By which Podman tells whether it can be told.
    container.runtime(&["checkpoint", "--help"]).run().ok();
    container.runtime(&["restore", "--lsm-mount-context"]).run().exits(1).complains("flag needs an argument");
    container.runtime(&["checkpoint", "nskit-test-none"]).run().exits(1).complains("does not exist");
    let created = Container::sleeper().created();
    created.runtime(&["checkpoint", &created.id]).run().exits(1).complains("in created state");
    assert_eq!(container.status(), "running");
}

#[test]
fn that_criu_is_missing_is_said() {
    skip_on!(Runc | Crun, "they say it otherwise");
    if ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"]
        .iter()
        .any(|folder| Path::new(folder).join("criu").exists())
    {
        skip!("criu is installed here");
    }
    let container = Container::running();
    // One that anybody can put where the caller happens to be is none.
    let planted = container.dir.join("criu");
    fs::write(&planted, "#!/bin/sh\ntouch planted\n").expect("write a program");
    fs::set_permissions(&planted, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("make it executable");
    let checkpoint = container.runtime(&["checkpoint", &container.id]).env("PATH", ":.").within(container.dir.path());
    checkpoint.run().exits(1).in_one_line().complains("the program criu").complains("is not installed");
    assert!(!container.dir.join("planted").exists());
    assert_eq!(container.status(), "running");
}

#[test]
fn one_checkpoint_at_a_time_is_made() {
    needs_criu!();
    skip_on!(Runc | Crun, "they take each other's freezing for the container's own");
    let container = counting();
    let lock = container.state_root().join(&container.id).join("checkpoint.lock");
    let file = fs::File::create(lock).expect("create the lock");
    let held = nix::fcntl::Flock::lock(file, nix::fcntl::FlockArg::LockExclusive).expect("hold it");
    let output = container.checkpoint(&["--leave-running"]).run().exits(1).in_one_line();
    output.complains("is being checkpointed already");
    drop(held);
    // As Podman does; the last of two holds.
    let images = container.images();
    let twice = ["--leave-running", "--leave-running", "--image-path", images.to_str().expect("a path")];
    container.checkpoint(&twice).run().ok();
    assert_eq!(container.status(), "running");
}

#[test]
fn relative_paths_of_a_restore_are_below_the_bundle() {
    needs_criu!();
    let container = counting();
    let images = container.bundle().join("images");
    let words = ["checkpoint", "--image-path", images.to_str().expect("a path"), &container.id];
    with_criu(container.runtime(&words)).run().ok();
    let bundle = container.bundle();
    let words = ["restore", "-d", "-b", bundle.to_str().expect("a path"), "--image-path", "images", &container.id];
    with_criu(container.runtime(&words)).within(Path::new("/")).run().ok();
    assert_eq!(container.status(), "running");
}

#[test]
fn the_cgroup_namespace_of_the_host_by_path_is_the_host_s() {
    needs_criu!();
    skip_on!(Runc | Crun, "they cannot bring it back");
    let container = Container::script(COUNTS).mount("/tmp", "tmpfs", "tmpfs", &[]);
    let container = container.without_namespace("cgroup").namespace("cgroup", Some("/proc/self/ns/cgroup")).started();
    container.checkpoint(&[]).run().ok();
    container.restore(&["--detach"], &container.id).run().ok();
    assert_eq!(container.status(), "running");
}

#[test]
fn a_criu_that_hangs_can_be_interrupted() {
    skip_on!(Runc | Crun, "they wait for it");
    let container = Container::new();
    container.write_config();
    let folder = container.dir.join("bin");
    fs::create_dir(&folder).expect("make a folder");
    fs::write(folder.join("criu"), "#!/bin/sh\nexec sleep 300\n").expect("write a program");
    fs::set_permissions(folder.join("criu"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("chmod");
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap_or_default());
    let bundle = container.bundle();
    let words = ["restore", "--image-path", "/", "--bundle", bundle.to_str().expect("a path"), &container.id];
    let restore = container.runtime(&words).env("PATH", path).at_most(20.0).start();
    let pid = restore.pid();
    eventually("criu runs", || {
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        children
            .split_whitespace()
            .any(|child| fs::read_to_string(format!("/proc/{child}/comm")).is_ok_and(|name| name.trim() == "sleep"))
    });
    restore.signal(nix::sys::signal::Signal::SIGTERM);
    restore.wait().exits(1).in_one_line().complains("stopped by SIGTERM");
    container.assert_gone();
}
