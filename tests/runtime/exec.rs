//! `exec`.

use std::fs;

use serde_json::json;

use crate::harness::{Container, Peer, eventually, peer, program, skip, skip_on};

#[test]
fn runs_a_program_in_the_container() {
    let container = Container::running();
    container
        .exec(&["sh", "-c", "hostname; cat /etc/passwd | head -n 1"])
        .ok()
        .says("test\nroot:x:0:0:root:/root:/bin/sh");
}

#[test]
fn exits_with_the_status_of_the_program() {
    let container = Container::running();
    container.exec(&["sh", "-c", "exit 9"]).exits(9);
    container.exec(&["sh", "-c", "kill -KILL $$"]).exits(137);
    assert_eq!(container.status(), "running");
}

#[test]
fn is_in_every_namespace_of_the_container() {
    let container = Container::running();
    for kind in ["pid", "net", "ipc", "uts", "mnt", "cgroup", "user"] {
        let expected = fs::read_link(format!("/proc/{}/ns/{kind}", container.pid())).expect("read a namespace");
        container.exec(&["readlink", &format!("/proc/self/ns/{kind}")]).ok().says(expected.to_str().expect("ASCII"));
    }
}

#[test]
fn is_in_the_cgroups_of_the_container() {
    let container = Container::running();
    let pid_file = container.dir.join("exec.pid");
    container.exec_with(&["--detach", "--pid-file", pid_file.to_str().expect("UTF-8")], &["sleep", "1000"]).ok();
    let pid = fs::read_to_string(&pid_file).expect("read the pid file");
    let read = |pid: &str| fs::read_to_string(format!("/proc/{pid}/cgroup")).expect("read the cgroup");
    assert_eq!(read(&pid), read(&container.pid().to_string()));
}

#[test]
fn passes_standard_input() {
    let container = Container::running();
    let exec = container.runtime(&["exec", &container.id, "cat"]);
    exec.input("through\n").run().ok().says("through");
}

#[test]
fn takes_the_environment_of_the_container_and_adds_to_it() {
    let container =
        Container::sleeper().set("/process/env", json!(["PATH=/bin", "A=container", "B=container"])).started();
    container
        .exec_with(&["--env", "B=exec", "--env", "C=x y"], &["sh", "-c", "echo $A $B $C"])
        .ok()
        .says("container exec x y");
}

#[test]
fn starts_where_it_is_told() {
    let container = Container::sleeper().set("/process/cwd", "/etc").started();
    container.exec(&["pwd"]).ok().says("/etc");
    container.exec_with(&["--cwd", "/tmp"], &["pwd"]).ok().says("/tmp");
}

#[test]
fn a_program_that_is_not_there_is_named_and_the_status_is_255() {
    let container = Container::running();
    container
        .exec(&["no-such-program"])
        .exits(255)
        .complains("no-such-program")
        .complains("executable file not found in $PATH");
    container.exec(&["/no/such"]).exits(255).complains("/no/such").complains("no such file or directory");
    container.exec(&["/etc/passwd"]).exits(255).complains("/etc/passwd").complains("permission denied");
}

#[test]
fn into_a_stopped_container_is_refused() {
    let container = Container::new().started();
    container.wait_stopped();
    container.exec(&["true"]).exits(255).complains("stopped").in_one_line();
}

#[test]
fn into_a_container_that_is_not_there_says_so() {
    let container = Container::new();
    container.exec(&["true"]).exits(255).complains("does not exist").in_one_line();
}

#[test]
fn into_a_created_container_works() {
    let container = Container::sleeper().created();
    container.exec(&["hostname"]).ok().says("test");
    assert_eq!(container.status(), "created");
}

#[test]
fn without_a_program_is_an_error() {
    let container = Container::running();
    container.exec(&[]).exits(if peer() == Peer::Ours { 255 } else { container.exec(&[]).code() });
    assert_ne!(container.exec(&[]).code(), 0);
}

#[test]
fn detached_it_returns_at_once_and_writes_the_pid() {
    let container = Container::running();
    let pid_file = container.dir.join("exec.pid");
    container.exec_with(&["-d", "--pid-file", pid_file.to_str().expect("UTF-8")], &["sleep", "1000"]).ok();
    let pid = fs::read_to_string(&pid_file).expect("read the pid file");
    assert!(pid.bytes().all(|byte| byte.is_ascii_digit()), "{pid:?}");
    let comm = fs::read_to_string(format!("/proc/{pid}/comm")).expect("the process lives");
    assert_eq!(comm.trim(), "sleep");
}

#[test]
fn the_process_is_read_from_a_file() {
    let container = Container::running();
    let file = container.dir.join("process.json");
    let process = json!({
        "terminal": false, "cwd": "/tmp", "user": {"uid": 1000, "gid": 1000, "additionalGids": [5, 7]},
        "args": ["sh", "-c", "pwd; id -u; id -g; id -G; echo $X; grep NoNewPrivs /proc/self/status"],
        "env": ["PATH=/bin", "X=y"], "noNewPrivileges": true,
        "capabilities": {"bounding": ["CAP_KILL"], "effective": [], "permitted": []}
    });
    fs::write(&file, process.to_string()).expect("write process.json");
    let exec = container.runtime(&["exec", "--process", file.to_str().expect("UTF-8")]).arg(&container.id);
    exec.run().ok().says("/tmp\n1000\n1000\n1000 5 7\ny\nNoNewPrivs:\t1");
}

#[test]
fn runs_as_the_user_that_is_given_in_every_form() {
    let container = Container::running();
    for (user, expected) in [("1000", "1000 0"), ("1000:1000", "1000 1000"), ("1000:5", "1000 5"), ("0:7", "0 7")] {
        container.exec_with(&["--user", user], &["sh", "-c", "echo $(id -u) $(id -g)"]).ok().says(expected);
        container.exec_with(&[&format!("--user={user}")], &["sh", "-c", "echo $(id -u) $(id -g)"]).ok().says(expected);
        container.exec_with(&["-u", user], &["sh", "-c", "echo $(id -u) $(id -g)"]).ok().says(expected);
    }
}

#[test]
fn a_user_that_is_no_number_is_refused() {
    let container = Container::running();
    for user in ["user", "1:", ":1", "-1", "1:x", "4294967296", "1.5"] {
        if peer() != Peer::Ours && !matches!(user, "user" | "1:x") {
            continue;
        }
        let output = container.exec_with(&[&format!("--user={user}")], &["id", "-u"]);
        assert_eq!(output.code(), 255, "--user={user}: {} {}", output.stdout(), output.stderr());
        assert_eq!(output.stdout(), "", "--user={user}");
    }
}

#[test]
fn another_user_has_no_capabilities_left() {
    let container = Container::running();
    let show = ["sh", "-c", "grep -E 'Cap(Prm|Eff|Inh)' /proc/self/status"];
    let none = "CapInh:\t0000000000000000\nCapPrm:\t0000000000000000\nCapEff:\t0000000000000000";
    container.exec_with(&["--user", "1000:1000"], &show).ok().says(none);
}

#[test]
fn additional_groups_are_set() {
    let container = Container::running();
    container.exec_with(&["-u", "1000:1000", "-g", "100", "-g", "65534"], &["id", "-G"]).ok().says("1000 100 65534");
    skip_on!(Crun, "crun takes one group an option");
}

#[test]
fn capabilities_can_be_added() {
    let container = Container::running();
    let show = ["sh", "-c", "grep -E 'Cap(Prm|Eff|Bnd|Inh|Amb)' /proc/self/status"];
    let before = container.exec(&show).ok().stdout();
    // AUDIT_WRITE (29), KILL (5), NET_BIND_SERVICE (10).
    assert!(before.contains("CapEff:\t0000000020000420"), "{before}");
    let after = container.exec_with(&["--cap", "CAP_NET_RAW"], &show).ok().stdout();
    assert!(after.contains("CapEff:\t0000000020002420"), "{after}");
    assert!(after.contains("CapBnd:\t0000000020002420"), "{after}");
    assert!(after.contains("CapInh:\t0000000000000000") || peer() == Peer::Crun, "{after}");
}

#[test]
fn no_new_privileges_is_that_of_the_container_or_asked_for() {
    let container = Container::sleeper().set("/process/noNewPrivileges", false).started();
    let show = ["grep", "NoNewPrivs", "/proc/self/status"];
    container.exec_with(&["--no-new-privs"], &show).ok().says("NoNewPrivs:\t1");
    container.exec(&show).ok().says("NoNewPrivs:\t0");
}

#[test]
fn rlimits_are_those_of_the_container() {
    let limits = json!([{"type": "RLIMIT_NOFILE", "soft": 77, "hard": 99}]);
    let container = Container::sleeper().set("/process/rlimits", limits).started();
    container.exec(&["sh", "-c", "ulimit -Sn; ulimit -Hn"]).ok().says("77\n99");
}

#[test]
fn the_umask_is_that_of_the_container() {
    skip_on!(Runc | Crun, "runc 1.1 and crun 1.8 forget the umask in exec");
    let container = Container::sleeper().set("/process/user/umask", 0o77).started();
    container.exec(&["sh", "-c", "umask"]).ok().says("0077");
}

#[test]
fn options_after_the_program_are_the_program_s() {
    let container = Container::running();
    container.exec(&["echo", "--cwd", "-d", "--", "-x"]).ok().says("--cwd -d -- -x");
}

#[test]
fn many_at_once_all_succeed() {
    let container = Container::running();
    let all: Vec<_> =
        (0..10).map(|n| container.runtime(&["exec", &container.id, "echo", &n.to_string()]).start()).collect();
    for (n, running) in all.into_iter().enumerate() {
        running.wait().ok().says(&n.to_string());
    }
}

#[test]
fn a_sub_cgroup_can_be_chosen() {
    skip_on!(Runc | Crun, "the peers differ on how the controller is named");
    let container = Container::running();
    let below = crate::harness::cgroup_dir(container.pid(), "pids").join("below");
    fs::create_dir(&below).expect("make a cgroup");
    let prefix = if crate::harness::hierarchy() == crate::harness::Hierarchy::V1 { "pids:" } else { "" };
    let pid_file = container.dir.join("exec.pid");
    let options = ["--detach", "--pid-file", pid_file.to_str().expect("UTF-8"), "--cgroup", &format!("{prefix}below")];
    container.exec_with(&options, &["sleep", "1000"]).ok();
    let pid = fs::read_to_string(&pid_file).expect("read the pid file");
    eventually("it is in the cgroup", || {
        fs::read_to_string(below.join("cgroup.procs")).is_ok_and(|pids| pids.lines().any(|line| line == pid))
    });
}

#[test]
fn the_program_outlives_an_exec_that_is_killed_while_detached() {
    let container = Container::running();
    container.exec_with(&["-d"], &["sh", "-c", "sleep 0.2; echo done > /done"]).ok();
    eventually("it goes on", || container.rootfs().join("done").exists());
}

#[test]
fn runs_on_the_processors_that_the_process_names() {
    skip_on!(Runc | Crun, "their packaged versions do not know execCPUAffinity");
    let container = Container::running();
    let process = serde_json::json!({
        "user": {"uid": 0, "gid": 0}, "cwd": "/", "args": ["grep", "Cpus_allowed_list", "/proc/self/status"],
        "env": ["PATH=/bin"], "execCPUAffinity": {"initial": "0", "final": "0"}
    });
    let file = container.dir.join("process.json");
    std::fs::write(&file, process.to_string()).expect("write a process");
    let output = container.exec_with(&["--process", file.to_str().expect("UTF-8")], &[]);
    assert_eq!(output.ok().stdout().split_whitespace().last(), Some("0"));
}

/// Since Linux 6.2 a cgroup no longer undoes what its processes were told by sched_setaffinity(2).
#[test]
fn runs_on_every_processor_whatever_its_caller_is_confined_to() {
    skip_on!(Runc | Crun, "runc from 1.3.1 on");
    let online = std::fs::read_to_string("/sys/devices/system/cpu/online").expect("read which processors there are");
    if online.trim() == "0" {
        skip!("this machine has one processor");
    }
    let confined = |words: &[&str], container: &Container| {
        program("taskset")
            .args(["-c", "0"])
            .args(crate::harness::runtime_words())
            .arg("--root")
            .arg(container.state_root())
            .args(words)
            .run()
    };
    let show = ["grep", "Cpus_allowed_list", "/proc/self/status"];
    let container = Container::running();
    let output = confined(&[&["exec", &container.id][..], &show].concat(), &container);
    assert_eq!(output.ok().stdout().split_whitespace().last(), Some(online.trim()), "exec");

    let container = Container::new().args(&show);
    container.write_config();
    let bundle = container.bundle();
    let output = confined(&["run", "--bundle", bundle.to_str().expect("UTF-8"), &container.id], &container);
    assert_eq!(output.ok().stdout().split_whitespace().last(), Some(online.trim()), "run");
}

#[test]
fn in_a_folder_that_is_not_the_container_s_fails_as_the_runtime_s_own_error() {
    let container = Container::running();
    for number in [3, 5, 7] {
        let folder = format!("/proc/self/fd/{number}");
        container.exec_with(&["--cwd", &folder], &["true"]).exits(255).complains("cwd").in_one_line();
    }
}

/// The program's SIGCHLD came while the runtime looked at that of the process between, and was thrown away with it.
#[test]
fn ends_when_its_program_does_however_slow_the_runtime_is_to_look() {
    skip_on!(Runc | Crun, "how ours waits");
    let container = Container::running();
    let slow = ["-o", "/dev/null", "-e", "trace=read", "-e", "inject=read:delay_exit=50000"];
    let output = program("strace")
        .args(slow)
        .args(crate::harness::runtime_words())
        .arg("--root")
        .arg(container.state_root())
        .args(["exec", &container.id, "sh", "-c", "exit 7"])
        .run();
    output.exits(7);
}

#[test]
fn an_option_for_a_variable_beats_the_containers_own() {
    skip_on!(Crun, "it keeps both");
    let container = Container::sleeper().set("/process/env", serde_json::json!(["PATH=/bin", "TERM=xterm"])).started();
    container.exec_with(&["--env", "TERM=foo"], &["sh", "-c", "echo $TERM"]).ok().says("foo");
}
