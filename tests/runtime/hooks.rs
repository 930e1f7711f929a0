//! Hooks.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::harness::{Container, Peer, eventually, peer, skip_on};

/// A hook that runs a shell script of the host.
fn hook(script: &str) -> Value {
    json!([{"path": "/bin/sh", "args": ["sh", "-c", script]}])
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// A script that adds `word` to the container's file of events.
fn note(container: &Container, word: &str) -> String {
    format!("echo {word} >> {}", container.dir.join("events").display())
}

#[test]
fn run_in_the_order_of_the_specification() {
    skip_on!(Runc, "runc 1.1 runs poststart in create");
    let container = Container::script("echo program >> /events/events");
    let events = container.dir.join("events");
    let note = |word: &str| hook(&note(&container, word));
    let hooks = json!({
        "prestart": note("prestart"), "createRuntime": note("createRuntime"), "createContainer": note("createContainer"),
        "startContainer": hook("echo startContainer >> /events/events"),
        "poststart": note("poststart"), "poststop": note("poststop")
    });
    let dir = container.dir.path().to_str().expect("UTF-8").to_owned();
    let container = container.set("/hooks", hooks).mount("/events", "bind", &dir, &["rbind"]).created();
    assert_eq!(read(&events), "prestart\ncreateRuntime\ncreateContainer\n");
    container.start();
    container.wait_stopped();
    container.verb(&["delete"]).ok();
    let all = read(&events);
    let mut lines: Vec<_> = all.lines().collect();
    // The program and poststart run at the same time.
    let poststart = lines.iter().position(|line| *line == "poststart").expect("poststart ran");
    lines.remove(poststart);
    assert_eq!(lines, ["prestart", "createRuntime", "createContainer", "startContainer", "program", "poststop"]);
    assert!(poststart >= 4, "poststart ran before the start: {all}");
}

#[test]
fn read_the_state_from_their_standard_input() {
    let container = Container::sleeper().set("/annotations", json!({"key": "value"}));
    let file = container.dir.join("state.json");
    let container = container.set("/hooks/createRuntime", hook(&format!("cat > {}", file.display()))).created();
    let state: Value = serde_json::from_str(&read(&file)).expect("JSON");
    assert_eq!(state["id"], container.id);
    assert_eq!(state["pid"], container.pid());
    assert_eq!(state["bundle"], container.bundle().to_str().expect("UTF-8"));
    assert!(["creating", "created"].iter().any(|status| state["status"] == *status), "{state}");
    assert!(state["ociVersion"].is_string(), "{state}");
    assert_eq!(state["annotations"]["key"], "value");
}

#[test]
fn after_the_end_the_state_is_stopped() {
    let container = Container::new();
    let file = container.dir.join("state.json");
    let container = container.set("/hooks/poststop", hook(&format!("cat > {}", file.display())));
    container.run().ok();
    let state: Value = serde_json::from_str(&read(&file)).expect("JSON");
    assert_eq!(state["status"], "stopped");
}

#[test]
fn have_the_environment_and_arguments_that_they_are_given_and_no_other() {
    let container = Container::new();
    let file = container.dir.join("environment");
    let script = format!("env > {}; echo \"$0 $1\" >> {}", file.display(), file.display());
    let hooks = json!([{"path": "/bin/sh", "args": ["sh", "-c", script, "zero", "one"], "env": ["ONLY=this"]}]);
    let container = container.set("/hooks/createRuntime", hooks);
    container.launch(&["run"]).env("LEAKED", "yes").run().ok();
    let content = read(&file);
    assert!(content.contains("ONLY=this") && content.contains("zero one"), "{content}");
    assert!(!content.contains("LEAKED"), "{content}");
}

#[test]
fn run_in_the_namespaces_that_the_specification_names() {
    let host = fs::read_link("/proc/self/ns/mnt").expect("read a namespace");
    let host = host.to_str().expect("ASCII");
    let container = Container::sleeper();
    let namespace_to = |name: &str| format!("readlink /proc/self/ns/mnt > {}", container.dir.join(name).display());
    let hooks =
        json!({"createRuntime": hook(&namespace_to("runtime")), "createContainer": hook(&namespace_to("container"))});
    let container = container.set("/hooks", hooks).created();
    let inside = fs::read_link(format!("/proc/{}/ns/mnt", container.pid())).expect("read a namespace");
    assert_eq!(read(&container.dir.join("runtime")).trim(), host);
    assert_eq!(read(&container.dir.join("container")).trim(), inside.to_str().expect("ASCII"));
}

#[test]
fn start_container_runs_in_the_root_of_the_container() {
    let container = Container::new().set("/hooks/startContainer", hook("cat /etc/marker > /found"));
    fs::write(container.rootfs().join("etc/marker"), "inside").expect("write a file");
    container.run().ok();
    assert_eq!(read(&container.rootfs().join("found")), "inside");
}

#[test]
fn that_fail_before_the_start_stop_everything() {
    for kind in ["prestart", "createRuntime", "createContainer", "startContainer"] {
        let container = Container::script("echo ran > /ran").set(&format!("/hooks/{kind}"), hook("exit 3"));
        let output = container.run().exits(1);
        assert!(!container.rootfs().join("ran").exists(), "{kind}");
        assert!(peer() == Peer::Crun || output.stderr().to_lowercase().contains("hook"), "{kind}: {}", output.stderr());
        container.assert_gone();
    }
}

#[test]
fn the_complaint_names_the_hook_and_what_it_said() {
    skip_on!(Runc | Crun, "the peers' words are their own");
    let container = Container::new().set("/hooks/createRuntime", hook("echo out of luck >&2; exit 3"));
    container.run().exits(1).complains("createRuntime").complains("/bin/sh").complains("out of luck").in_one_line();
}

#[test]
fn a_hook_that_is_not_there_is_an_error_that_names_it() {
    let container = Container::new().set("/hooks/createRuntime", json!([{"path": "/no/such/hook"}]));
    container.run().exits(1).complains("/no/such/hook").complains("o such file or directory");
    container.assert_gone();
}

#[test]
fn a_hook_with_a_relative_path_is_refused() {
    skip_on!(Runc | Crun, "the peers start it");
    let container = Container::new().set("/hooks/createRuntime", json!([{"path": "true"}]));
    container.run().exits(1).complains("true").complains("absolute").in_one_line();
}

#[test]
fn that_take_longer_than_their_timeout_are_killed() {
    let hooks = json!([{"path": "/bin/sh", "args": ["sh", "-c", "exec sleep 60"], "timeout": 1}]);
    let container = Container::new().set("/hooks/createRuntime", hooks);
    container.launch(&["run"]).at_most(15.0).run().exits(1);
    container.assert_gone();
}

#[test]
fn that_take_longer_do_not_hold_the_runtime_up_by_their_children() {
    skip_on!(Runc, "runc 1.1 waits for what has the hook's output open");
    let hooks = json!([{"path": "/bin/sh", "args": ["sh", "-c", "sleep 20; true"], "timeout": 1}]);
    let container = Container::new().set("/hooks/createRuntime", hooks);
    container.launch(&["run"]).at_most(15.0).run().exits(1);
    container.assert_gone();
}

#[test]
fn that_fail_after_the_stop_do_not_keep_the_container() {
    skip_on!(Runc, "runc 1.1 leaves out the hooks after one that failed");
    let container = Container::new();
    let second = note(&container, "second");
    let hooks = json!([hook("exit 3")[0], hook(&second)[0]]);
    let container = container.set("/hooks/poststop", hooks).started();
    container.wait_stopped();
    container.verb(&["delete"]).ok();
    container.assert_gone();
    assert_eq!(read(&container.dir.join("events")), "second\n");
}

#[test]
fn poststop_runs_for_a_container_deleted_by_force() {
    let container = Container::sleeper();
    let container = container.set("/hooks/poststop", json!([]));
    let poststop = hook(&note(&container, "stopped"));
    let container = container.set("/hooks/poststop", poststop).started();
    container.verb(&["delete", "--force"]).ok();
    eventually("the hook ran", || read(&container.dir.join("events")) == "stopped\n");
}

#[test]
fn may_change_the_network_of_the_container_before_its_program_runs() {
    // What CNI does: prestart and createRuntime see the container's network by its pid.
    let container = Container::new().args(&["cat", "/proc/net/dev"]);
    let script = "pid=$(sed 's/.*\"pid\": *\\([0-9]*\\).*/\\1/' | tr -dc 0-9); \
        nsenter -t $pid -n ip link add hooked0 type dummy || nsenter -t $pid -n ip link add hooked0 type bridge || \
        nsenter -t $pid -n busybox ip tuntap add hooked0 mode tap";
    if std::process::Command::new("ip").arg("-V").output().is_err() {
        crate::harness::skip!("no ip program");
    }
    let container = container.set("/hooks/createRuntime", hook(&format!("PATH=$PATH:/sbin:/usr/sbin; {script}")));
    let output = container.run();
    if output.stderr().contains("Operation not supported") || output.stderr().contains("Unknown device type") {
        crate::harness::skip!("no virtual network devices in this kernel");
    }
    output.ok().mentions("hooked0");
}

#[test]
fn write_to_the_files_that_annotations_name() {
    skip_on!(Runc, "annotations of crun's");
    let container = Container::new();
    let (out, err) = (container.dir.join("out"), container.dir.join("err"));
    let name = |path: &Path| path.to_str().expect("UTF-8").to_owned();
    let annotations = json!({"run.oci.hooks.stdout": name(&out), "run.oci.hooks.stderr": name(&err)});
    let says = |point: &str| hook(&format!("echo {point}; echo {point}-error >&2"));
    let points = ["createRuntime", "createContainer", "startContainer", "poststart", "poststop"];
    let mut container = container.set("/annotations", annotations);
    for point in points {
        container = container.set(&format!("/hooks/{point}"), says(point));
    }
    let mut container = container.created();
    container.start();
    container.wait_stopped();
    container.verb(&["delete"]).ok();
    assert_eq!(read(&out).lines().collect::<Vec<_>>(), points);
    assert_eq!(read(&err).lines().count(), points.len(), "{}", read(&err));
    container.config["annotations"]["run.oci.hooks.stdout"] = json!("/no/such/file");
    container.run().exits(1).complains("/no/such/file: no such file or directory").in_one_line();
}

#[test]
fn without_an_environment_have_the_runtimes() {
    skip_on!(Runc, "runc 1.1 clears it");
    let container = Container::new();
    let script = format!("echo $NSKIT_PROXY >> {}", container.dir.join("events").display());
    let container = container.set("/hooks", json!({"createRuntime": hook(&script), "poststop": hook(&script)}));
    container.launch(&["run"]).env("NSKIT_PROXY", "proxy").run().ok();
    assert_eq!(read(&container.dir.join("events")), "proxy\nproxy\n");
}

#[test]
fn after_the_end_are_told_of_no_process() {
    skip_on!(Crun, "crun tells of process 0");
    let container = Container::new();
    let told = container.dir.join("told");
    let container = container.set("/hooks/poststop", hook(&format!("cat > {}", told.display())));
    container.run().ok();
    let state: Value = serde_json::from_str(&read(&told)).expect("the state is JSON");
    assert_eq!((&state["status"], state.get("pid")), (&json!("stopped"), None));
}

#[test]
fn poststart_that_fails_destroys_the_container() {
    skip_on!(Runc, "runc 1.1 runs poststart in create");
    let container = Container::sleeper();
    let poststop = hook(&note(&container, "poststop"));
    let container = container.set("/hooks", json!({"poststart": hook("exit 3"), "poststop": poststop})).created();
    container.verb(&["start"]).exits(1).in_one_line().complains("poststart hook #0");
    container.assert_gone();
    assert_eq!(read(&container.dir.join("events")), "poststop\n");
}
