//! What runc's own integration tests ask of a runtime, and no other test here: each was wrong once.

use std::fs;

use serde_json::json;

use crate::harness::{Container, cgroup_dir, eventually, program, runtime_words, skip_on};

/// A container that is run by a shell, with `before` in its command line: a redirection, or what is to be set up.
fn run_by_shell(container: &Container, command: &str) -> crate::harness::Output {
    container.write_config();
    let runtime = format!(
        "{} --root {} run --bundle {} {}",
        runtime_words().join(" "),
        container.state_root().display(),
        container.bundle().display(),
        container.id
    );
    program("bash").args(["-c", &command.replace("RUNTIME", &runtime)]).run()
}

#[test]
fn time_offsets_hold_below_a_new_user_namespace() {
    skip_on!(Runc | Crun, "their packaged versions do not know time namespaces");
    let offsets = json!({"monotonic": {"secs": 7881, "nanosecs": 2_718_281}});
    let show = ["cat", "/proc/self/timens_offsets"];
    for with_users in [false, true] {
        let container = Container::new().args(&show).namespace("time", None);
        let container = if with_users { container.user_namespace() } else { container };
        let output = container.set("/linux/timeOffsets", offsets.clone()).output();
        let first: Vec<&str> = output.lines().next().unwrap_or_default().split_whitespace().collect();
        assert_eq!(first, ["monotonic", "7881", "2718281"], "with a user namespace: {with_users}");
    }
}

#[test]
fn an_empty_home_is_none() {
    let container = Container::script("echo $HOME").set("/process/env", json!(["PATH=/bin", "HOME="]));
    container.run().ok().says("/root");
}

#[test]
fn hooks_in_the_container_know_the_home_of_its_user() {
    skip_on!(Runc | Crun, "runc from 1.3 on");
    let container = Container::script("cat /tmp/home").set("/process/env", json!(["PATH=/bin"])).set(
        "/hooks",
        json!({"startContainer": [{"path": "/bin/sh", "args": ["sh", "-c", "echo $HOME > /tmp/home"]}]}),
    );
    container.run().ok().says("/root");
}

#[test]
fn hooks_in_the_container_run_under_its_filter() {
    let rules = json!([{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_KILL"}]);
    let container = Container::new()
        .args(&["true"])
        .set("/process/noNewPrivileges", true)
        .set("/linux/seccomp", json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": rules}))
        .set("/hooks", json!({"startContainer": [{"path": "/bin/mkdir", "args": ["mkdir", "/tmp/made"]}]}));
    container.run().exits(1).complains("startContainer hook #0");
    assert!(!container.rootfs().join("tmp/made").exists());
}

#[test]
fn no_hook_inherits_what_the_caller_has_open() {
    let list = |file: &str| json!([{"path": "/bin/sh", "args": ["sh", "-c", format!("ls /proc/self/fd > {file}")]}]);
    let container = Container::new().args(&["true"]);
    let outside = container.dir.join("fds");
    let hooks = json!({
        "createRuntime": list(outside.to_str().expect("UTF-8")), "startContainer": list("/tmp/fds")
    });
    let container = container.set("/hooks", hooks);
    run_by_shell(&container, "exec 7</dev/null 8</dev/null; RUNTIME").ok();
    for file in [outside, container.rootfs().join("tmp/fds")] {
        // Three streams, and the folder itself.
        let fds = fs::read_to_string(&file).expect("read what the hook wrote");
        assert_eq!(fds.lines().count(), 4, "{}: {fds}", file.display());
    }
}

#[test]
fn create_container_hooks_begin_in_the_root() {
    skip_on!(Crun, "elsewhere");
    let container = Container::script("cat /made")
        .set("/hooks", json!({"createContainer": [{"path": "/bin/sh", "args": ["sh", "-c", "echo here > ./made"]}]}));
    container.run().ok().says("here");
}

#[test]
fn a_filter_may_deny_what_only_the_runtime_uses() {
    let names = ["close_range", "fsopen", "fsconfig", "openat2", "open_tree", "move_mount", "mount_setattr"];
    let rules = json!([{"names": names, "action": "SCMP_ACT_ERRNO", "errnoRet": 38}]);
    for no_new_privileges in [false, true] {
        let container = Container::new()
            .args(&["true"])
            .set("/process/noNewPrivileges", no_new_privileges)
            .set("/linux/seccomp", json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": rules}));
        container.run().ok();
        let container = container.started();
        container.wait_stopped();
    }
}

#[test]
fn line_ends_stay_as_they_are_where_the_output_is_no_terminal() {
    skip_on!(Runc | Crun, "runc runs nothing without a terminal of its own; crun has the terminal's");
    let container = Container::script("echo one; echo two").set("/process/terminal", true);
    assert_eq!(container.output(), "one\ntwo");
}

#[test]
fn sigkill_reaches_those_whose_first_process_is_gone() {
    let container = Container::sleeper().without_namespace("pid").started();
    container.exec_with(&["-d"], &["sleep", "1000"]).ok();
    let init = container.pid();
    let file = cgroup_dir(init, "devices").join("cgroup.procs");
    let processes = || fs::read_to_string(&file).unwrap_or_default();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(init), nix::sys::signal::Signal::SIGKILL).expect("kill it");
    eventually("it is gone", || container.status() == "stopped");
    assert!(!processes().is_empty(), "the other process is still there");
    container.runtime(&["kill", &container.id, "KILL"]).run().ok();
    eventually("nobody is there", || processes().is_empty());
}

#[test]
fn a_tmpfs_with_no_folder_underneath_is_everybody_s() {
    skip_on!(Crun, "its mode is the folder's that it makes");
    let container = Container::new().args(&["stat", "-c", "%a", "/new"]).mount("/new", "tmpfs", "tmpfs", &[]);
    container.run().ok().says("1777");
}

#[test]
fn what_was_mounted_in_the_root_can_be_bound_further() {
    let container = Container::new().args(&["cat", "/final/file"]);
    let source = container.dir.join("source");
    fs::create_dir(&source).expect("make a folder");
    fs::write(source.join("file"), "found").expect("write a file");
    let root = container.rootfs();
    fs::create_dir(root.join("first")).expect("make a folder");
    fs::create_dir(root.join("final")).expect("make a folder");
    let text = |path: std::path::PathBuf| path.to_str().expect("UTF-8").to_owned();
    let container = container.mount("/first", "bind", &text(source), &["rbind"]);
    // The destination with the root's own path before it, as runc takes it.
    let destination = text(root.join("final"));
    let container = container.mount(&destination, "bind", &text(root.join("first")), &["rbind"]);
    container.run().ok().says("found");
}

#[test]
fn a_path_is_masked_once_however_often_it_is_listed() {
    skip_on!(Runc | Crun, "runc from 1.4 on");
    let container = Container::script("grep -c ' /hidden ' /proc/mounts");
    fs::create_dir(container.rootfs().join("hidden")).expect("make a folder");
    container.set("/linux/maskedPaths", json!(["/hidden", "/hidden", "/hidden/"])).run().ok().says("1");
}

#[test]
fn the_default_memory_policy_needs_no_nodes() {
    skip_on!(Runc | Crun, "their packaged versions do not know memoryPolicy");
    let container = Container::new().args(&["true"]).set("/linux/memoryPolicy", json!({"mode": "MPOL_DEFAULT"}));
    let output = container.run();
    if output.stderr().contains("function not implemented") {
        crate::harness::skip!("this kernel has no memory policies");
    }
    output.ok();
    for (policy, what) in [(json!({}), "mode"), (json!({"mode": "MPOL_DEFAULT", "flags": ["x"]}), "flag")] {
        let container = Container::new().args(&["true"]).set("/linux/memoryPolicy", policy);
        container.run().exits(1).complains(&format!("invalid memory policy {what}")).in_one_line();
    }
}

#[test]
fn flags_of_a_scheduler_have_the_names_of_the_specification() {
    skip_on!(Runc | Crun, "runc from 1.3 on");
    let scheduler = json!({"policy": "SCHED_BATCH", "nice": 3, "flags": ["SCHED_FLAG_RESET_ON_FORK"]});
    Container::new().args(&["true"]).set("/process/scheduler", scheduler).run().ok();
}

#[test]
fn an_idmapped_mount_comes_to_a_container_with_a_user_namespace() {
    skip_on!(Runc | Crun, "their packaged versions do not");
    let container = Container::new().args(&["stat", "-c", "%u:%g", "/data"]);
    let source = container.dir.join("source");
    fs::create_dir(&source).expect("make a folder");
    let container =
        container.user_namespace().mount("/data", "bind", source.to_str().expect("UTF-8"), &["bind", "idmap"]);
    let output = container.run();
    if output.stderr().contains("does its file system support this?") {
        crate::harness::skip!("the file system of the temporary folder has no idmapped mounts");
    }
    // The host's root, which the container's map has no name for, is its own here.
    output.ok().says("0:0");
}

#[test]
fn hooks_hear_of_signals() {
    let hook = |script: &str| json!([{"path": "/bin/bash", "args": ["bash", "-c", script]}]);
    let container = Container::new().args(&["true"]);
    let note = container.dir.join("ended");
    // A shell that cannot hear of its child's end waits for ever.
    let script = format!("sleep 0.1 & wait; sleep 100 & kill $!; wait; echo ended >> {}", note.display());
    let points = ["prestart", "createRuntime", "createContainer", "poststart", "poststop"];
    let hooks: serde_json::Map<_, _> = points.iter().map(|point| ((*point).to_owned(), hook(&script))).collect();
    let container = container.set("/hooks", hooks);
    run_by_shell(&container, "timeout 20 RUNTIME").ok();
    assert_eq!(fs::read_to_string(note).expect("read what hooks wrote").lines().count(), points.len());
}

#[test]
fn the_container_ignores_no_signal_that_the_caller_ignores() {
    skip_on!(Crun, "it does");
    let script = "trap 'exit 4' INT; kill -INT $$; sleep 0.2; exit 5";
    let container = Container::script(script);
    run_by_shell(&container, "trap '' HUP INT QUIT TERM USR1; RUNTIME").exits(4);
    let container = Container::running();
    let exec = [runtime_words().join(" "), "--root".into(), container.state_root().display().to_string()].join(" ");
    let command = format!("trap '' INT; {exec} exec {} sh -c \"{}\"", container.id, script.replace('$', "\\$"));
    program("bash").args(["-c", &command]).run().exits(4);
}

#[test]
fn a_mount_with_one_map_alone_is_refused() {
    skip_on!(Crun, "it takes it");
    let map = json!([{"containerID": 0, "hostID": 100_000, "size": 65_536}]);
    for (users, groups) in [(map.clone(), json!(null)), (json!(null), map), (json!([]), json!([]))] {
        let mount = json!({
            "destination": "/data", "type": "bind", "source": "/usr", "options": ["bind", "idmap"],
            "uidMappings": users, "gidMappings": groups
        });
        let container = Container::new().set("/mounts/-", mount);
        container.run().exits(1).complains("both uid and gid mappings").in_one_line();
    }
}

#[test]
fn of_an_option_that_is_given_twice_the_last_holds() {
    let container = Container::running();
    let options = ["--user", "1", "--user", "2:3", "--env", "A=1", "--env", "B=2", "--cwd", "/", "--cwd", "/tmp"];
    container.exec_with(&options, &["sh", "-c", "id -u; echo $A $B; pwd"]).ok().says("2\n1 2\n/tmp");
    let run = Container::new();
    run.launch(&["run", "--detach", "--detach"]).run().ok();
    run.runtime(&["delete", "--force", "--force", &run.id]).run().ok();
}
