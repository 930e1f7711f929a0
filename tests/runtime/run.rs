//! `run`: create, start, wait and delete in one.

use std::fs;
use std::time::Instant;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::harness::{Container, eventually, program, skip_on};

#[test]
fn exits_with_the_status_of_the_process() {
    Container::script("exit 7").run().exits(7);
}

#[test]
fn exits_with_zero_when_the_process_does() {
    Container::new().run().exits(0).says("");
}

#[test]
fn exits_with_128_and_the_signal_that_killed_the_process() {
    // The first process of a PID namespace ignores signals that it sends to itself, so a child of the runtime's kills it.
    let container = Container::sleeper();
    let running = container.launch(&["run"]).start();
    eventually("the container runs", || container.verb(&["state"]).stdout().contains("\"running\""));
    container.kill("KILL").ok();
    running.wait().exits(137);
}

#[test]
fn passes_standard_input_output_and_error() {
    let container = Container::script("read line; echo out $line; echo err $line >&2");
    container.launch(&["run"]).input("hello\n").run().ok().says("out hello").complains("err hello");
}

#[test]
fn passes_output_that_is_larger_than_a_pipe() {
    let output = Container::script("dd if=/dev/zero bs=1024 count=300 2>/dev/null | tr '\\0' x").output();
    assert_eq!(output.len(), 300 * 1024);
}

#[test]
fn passes_arguments_unchanged() {
    let container = Container::new().args(&["printf", "%s|", "two words", "", "$HOME", "ünïcode", "-x"]);
    container.run().ok().says("two words||$HOME|ünïcode|-x|");
}

#[test]
fn the_process_has_exactly_the_environment_of_the_configuration() {
    let container = Container::new().args(&["/bin/env"]).set("/process/env", json!(["A=1", "B=two words", "HOME=/x"]));
    let output = container.launch(&["run"]).env("LEAKED", "yes").run().ok().stdout();
    let mut lines: Vec<_> = output.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["A=1", "B=two words", "HOME=/x"]);
}

#[test]
fn the_last_of_two_equal_variables_counts() {
    let container = Container::script("echo $A").set("/process/env", json!(["PATH=/bin", "A=1", "A=2"]));
    container.run().ok().says("2");
}

#[test]
fn home_is_that_of_the_user_when_the_configuration_has_none() {
    Container::script("echo $HOME").run().ok().says("/root");
    Container::script("echo $HOME").set("/process/user", json!({"uid": 1000, "gid": 1000})).run().ok().says("/tmp");
    // Nobody knows this one.
    Container::script("echo $HOME").set("/process/user", json!({"uid": 4321, "gid": 1})).run().ok().says("/");
}

#[test]
fn the_program_is_looked_up_in_the_path_of_the_container() {
    let container = Container::new().args(&["where"]).set("/process/env", json!(["PATH=/nowhere:/opt/tools:/bin"]));
    let tools = container.rootfs().join("opt/tools");
    fs::create_dir_all(&tools).expect("make a folder");
    fs::write(tools.join("where"), "#!/bin/sh\necho found in $0\n").expect("write a script");
    set_mode(&tools.join("where"), 0o755);
    container.run().ok().says("found in /opt/tools/where");
}

#[test]
fn a_file_that_cannot_be_executed_is_passed_over_in_the_path() {
    let container = Container::new().args(&["tool"]).set("/process/env", json!(["PATH=/first:/second:/bin"]));
    for (dir, mode) in [("first", 0o644), ("second", 0o755)] {
        fs::create_dir(container.rootfs().join(dir)).expect("make a folder");
        let tool = container.rootfs().join(dir).join("tool");
        fs::write(&tool, format!("#!/bin/sh\necho {dir}\n")).expect("write a script");
        set_mode(&tool, mode);
    }
    container.run().ok().says("second");
}

#[test]
fn starts_in_the_working_directory_of_the_configuration() {
    Container::new().args(&["pwd"]).set("/process/cwd", "/etc").run().ok().says("/etc");
}

#[test]
fn makes_the_working_directory_when_it_is_missing() {
    Container::new().args(&["pwd"]).set("/process/cwd", "/made/for/this").run().ok().says("/made/for/this");
}

#[test]
fn a_relative_program_is_found_from_the_working_directory() {
    let container = Container::new().args(&["./busybox", "echo", "hi"]).set("/process/cwd", "/bin");
    container.run().ok().says("hi");
}

#[test]
fn the_process_is_the_first_of_its_pid_namespace() {
    Container::script("echo $$").run().ok().says("1");
}

#[test]
fn the_host_keeps_its_name_and_the_container_has_its_own() {
    let before = fs::read_to_string("/proc/sys/kernel/hostname").expect("read the host's name");
    Container::new().args(&["hostname"]).set("/hostname", "inside").run().ok().says("inside");
    assert_eq!(fs::read_to_string("/proc/sys/kernel/hostname").expect("read the host's name"), before);
}

#[test]
fn sets_the_domain_name() {
    skip_on!(Runc, "runc 1.1 has no domainname");
    let container = Container::new().args(&["cat", "/proc/sys/kernel/domainname"]).set("/domainname", "example.org");
    container.run().ok().says("example.org");
}

#[test]
fn the_bundle_is_the_working_directory_unless_given() {
    let container = Container::new().args(&["echo", "here"]);
    container.write_config();
    container.runtime(&["run"]).arg(&container.id).within(&container.bundle()).run().ok().says("here");
}

#[test]
fn leaves_nothing_behind() {
    let container = Container::new();
    container.run().ok();
    container.assert_gone();
}

#[test]
fn keeps_the_stopped_container_when_asked() {
    skip_on!(Crun, "crun 1.8 keeps no state that others can read");
    let container = Container::new();
    container.launch(&["run", "--keep"]).run().ok();
    assert_eq!(container.status(), "stopped");
    container.verb(&["delete"]).ok();
    container.assert_gone();
}

#[test]
fn detached_it_returns_while_the_container_runs() {
    let container = Container::sleeper();
    container.launch(&["run", "--detach"]).run().ok();
    assert_eq!(container.status(), "running");
}

#[test]
fn writes_the_pid_file_without_a_newline() {
    let container = Container::sleeper();
    let file = container.dir.join("pid");
    container.launch(&["run", "--detach", "--pid-file", file.to_str().expect("UTF-8")]).run().ok();
    assert_eq!(fs::read_to_string(&file).expect("read the pid file"), container.pid().to_string());
}

#[test]
fn a_process_that_ends_at_once_never_hangs_the_runtime() {
    for _ in 0..20 {
        Container::new().launch(&["run"]).at_most(10.0).run().ok();
    }
}

#[test]
fn forwards_signals_to_the_container() {
    let container = Container::script("trap 'echo got it; exit 3' TERM; echo ready; while :; do sleep 0.02; done");
    let running = container.launch(&["run"]).start();
    eventually("the container is ready", || running.stdout().contains("ready"));
    running.signal(Signal::SIGTERM);
    running.wait().exits(3).mentions("got it");
}

#[test]
fn ends_with_the_first_process_though_others_were_left() {
    let begin = Instant::now();
    Container::script("sleep 60 & exit 5").launch(&["run"]).at_most(20.0).run().exits(5);
    assert!(begin.elapsed().as_secs() < 20);
}

#[test]
fn two_containers_run_side_by_side() {
    let (one, two) = (Container::running(), Container::running());
    assert_ne!(one.pid(), two.pid());
    assert_eq!((one.status(), two.status()), ("running".to_owned(), "running".to_owned()));
}

#[test]
fn the_read_only_root_cannot_be_written() {
    let container = Container::script("touch /file").set("/root/readonly", true);
    container.run().exits(1).complains("Read-only file system");
}

#[test]
fn the_writable_root_is_the_bundle_s() {
    let container = Container::script("echo hello > /file");
    container.run().ok();
    assert_eq!(fs::read_to_string(container.rootfs().join("file")).expect("read the file"), "hello\n");
}

#[test]
fn the_root_may_be_an_absolute_path() {
    let container = Container::new().args(&["cat", "/etc/passwd"]);
    let root = container.rootfs();
    let container = container.set("/root/path", root.to_str().expect("UTF-8"));
    container.run().ok().mentions("root:x:0:0");
}

#[test]
fn unknown_properties_of_the_configuration_are_ignored() {
    let container = Container::new().set("/com.example.unknown", json!({"a": 1})).set("/process/unheardOf", true);
    container.run().ok();
}

#[test]
fn a_newer_minor_version_of_the_specification_is_accepted() {
    Container::new().set("/ociVersion", "1.99.0").run().ok();
}

#[test]
fn annotations_change_nothing() {
    Container::new().set("/annotations", json!({"org.example.key": "value"})).run().ok();
}

#[test]
fn the_oom_score_is_adjusted() {
    Container::new().args(&["cat", "/proc/self/oom_score_adj"]).set("/process/oomScoreAdj", 321).run().ok().says("321");
}

#[test]
fn the_umask_is_that_of_the_configuration() {
    skip_on!(Crun, "crun 1.8 keeps its own umask");
    Container::script("umask").set("/process/user/umask", 0o27).run().ok().says("0027");
    Container::script("umask").run().ok().says("0022");
}

#[test]
fn no_new_privileges_is_set_when_asked() {
    for (wanted, shown) in [(true, "NoNewPrivs:\t1"), (false, "NoNewPrivs:\t0")] {
        let container = Container::new().args(&["grep", "NoNewPrivs", "/proc/self/status"]);
        container.set("/process/noNewPrivileges", wanted).run().ok().says(shown);
    }
}

#[test]
fn namespaces_of_the_configuration_are_new_and_others_are_the_host_s() {
    for kind in ["pid", "net", "ipc", "uts", "mnt", "cgroup"] {
        let link = format!("/proc/self/ns/{kind}");
        let inside = Container::new().args(&["readlink", &link]).output();
        let host = fs::read_link(&link).expect("read the host's namespace");
        assert_ne!(inside, host.to_str().expect("ASCII"), "{kind} is shared with the host");
    }
    for (kind, name) in [("network", "net"), ("ipc", "ipc"), ("uts", "uts")] {
        let link = format!("/proc/self/ns/{name}");
        let mut container = Container::new().args(&["readlink", &link]).without_namespace(kind);
        container.config.as_object_mut().expect("an object").remove("hostname");
        let host = fs::read_link(&link).expect("read the host's namespace");
        assert_eq!(container.output(), host.to_str().expect("ASCII"), "{kind} is not the host's");
    }
}

#[test]
fn joins_a_namespace_by_its_path() {
    let other = Container::running();
    for (kind, name) in [("network", "net"), ("ipc", "ipc"), ("uts", "uts"), ("pid", "pid")] {
        let path = format!("/proc/{}/ns/{name}", other.pid());
        let mut container = Container::new().args(&["readlink", &format!("/proc/self/ns/{name}")]);
        container = container.namespace(kind, Some(&path));
        if kind == "uts" {
            container.config.as_object_mut().expect("an object").remove("hostname");
        }
        let expected = fs::read_link(&path).expect("read a namespace");
        assert_eq!(container.output(), expected.to_str().expect("ASCII"), "{kind}");
    }
}

#[test]
fn a_container_without_a_pid_namespace_runs_among_the_host_s_processes() {
    let container = Container::script("readlink /proc/self/ns/pid").without_namespace("pid");
    let host = fs::read_link("/proc/self/ns/pid").expect("read the host's namespace");
    assert_eq!(container.output(), host.to_str().expect("ASCII"));
}

#[test]
fn deleting_a_container_without_a_pid_namespace_kills_all_its_processes() {
    let container =
        Container::script("sleep 1000 & sleep 1000 & while :; do sleep 0.05; done").without_namespace("pid");
    let container = container.started();
    eventually("its processes run", || container.verb(&["ps", "-f", "json"]).stdout().matches(',').count() >= 2);
    container.verb(&["delete", "--force"]).ok();
    skip_on!(Runc, "runc 1.1 leaves the cgroup of dying processes on v2");
    container.assert_gone();
}

#[test]
fn the_loopback_interface_of_a_new_network_is_up() {
    let output = Container::new().args(&["cat", "/sys/class/net/lo/flags"]).output();
    let flags = u32::from_str_radix(output.trim_start_matches("0x"), 16).expect("hexadecimal flags");
    assert_eq!(flags & 1, 1, "flags of lo: {output}");
}

#[test]
fn the_version_names_the_program_and_the_specification() {
    let container = Container::without_rootfs();
    let output = container.runtime(&["--version"]).run().ok().stdout();
    assert!(output.lines().next().is_some_and(|line| line.contains(" version ")), "{output}");
    assert!(output.lines().any(|line| line.starts_with("commit: ")), "{output}");
    assert!(output.lines().any(|line| line.starts_with("spec: 1.")), "{output}");
}

#[test]
fn no_verb_or_an_unknown_one_is_an_error_that_names_it() {
    let container = Container::without_rootfs();
    container.runtime(&["frobnicate"]).run().exits(expected_usage_status()).complains("frobnicate");
    fn expected_usage_status() -> i32 {
        if crate::harness::peer() == crate::harness::Peer::Runc { 3 } else { 1 }
    }
}

fn set_mode(path: &std::path::Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("chmod");
}

#[test]
fn a_configuration_without_mounts_and_devices_works() {
    let container = Container::new().args(&["/bin/busybox", "echo", "bare"]).set("/mounts", Value::Array(Vec::new()));
    let container = container.set("/linux/maskedPaths", json!([])).set("/linux/readonlyPaths", json!([]));
    // Without /proc: what a runtime needs of it, it has to bring itself.
    if crate::harness::peer() == crate::harness::Peer::Ours {
        container.run().ok().says("bare");
    }
}

#[test]
fn a_process_without_a_user_is_roots() {
    skip_on!(Crun, "it wants one");
    let container = Container::new().args(&["id", "-u"]).set("/process/user", serde_json::Value::Null);
    assert_eq!(container.output(), "0");
}

#[test]
fn of_several_values_of_a_variable_the_last_counts_and_is_alone() {
    skip_on!(Crun, "it keeps all");
    let env = serde_json::json!(["X=1", "PATH=/bin", "X=2"]);
    let container = Container::script("env | grep ^X; echo $X").set("/process/env", env);
    assert_eq!(container.output(), "X=2\n2");
}

#[test]
fn the_status_reaches_a_caller_who_ignores_sigchld() {
    let container = Container::script("exit 7")
        .set("/hooks", json!({"createRuntime": [{"path": "/bin/true"}], "poststop": [{"path": "/bin/true"}]}));
    container.write_config();
    let command = format!(
        "trap '' CHLD; exec {} --root {} run --bundle {} {}",
        crate::harness::runtime_words().join(" "),
        container.state_root().display(),
        container.bundle().display(),
        container.id
    );
    program("timeout").args(["20", "sh", "-c", &command]).run().exits(7);
    container.assert_gone();
}
