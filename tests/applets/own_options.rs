//! What unshare and nsenter do that util-linux's do not: less for the program, containers by name, tools of one's own,
//! each step told.

use std::fs;
use std::path::{Path, PathBuf};

use crate::harness::{Container, Output, TempDir, nskit, program};

fn run(words: &[&str]) -> Output {
    program(nskit()).args(words).run()
}

#[test]
fn capabilities_are_dropped_from_every_set() {
    let output = run(&["unshare", "-u", "--cap-drop", "net_admin,CAP_SYS_TIME", "grep", "^Cap", "/proc/self/status"]);
    for line in output.ok().stdout().lines() {
        let set = u64::from_str_radix(line.split_whitespace().nth(1).expect("a set"), 16).expect("hexadecimal");
        assert_eq!(set & (1 << 12 | 1 << 25), 0, "{line}");
    }
    run(&["unshare", "-u", "--cap-drop", "all", "sh", "-c", "mount -t tmpfs none /mnt 2>/dev/null || echo refused"])
        .ok()
        .says("refused");
    run(&["unshare", "--cap-drop", "bogus", "true"]).exits(1).complains("unknown capability: 'bogus'").in_one_line();
}

#[test]
fn capabilities_are_kept_but_for_those_that_are_dropped() {
    let caps = ["--keep-caps", "--cap-drop", "net_raw", "sh", "-c", "grep -E '^Cap(Eff|Amb)' /proc/self/status"];
    let check = |output: Output| {
        for line in output.ok().stdout().lines() {
            let set = u64::from_str_radix(line.split_whitespace().nth(1).expect("a set"), 16).expect("hexadecimal");
            assert_eq!(set & (1 << 13 | 1 << 12), 1 << 12, "{line}");
        }
    };
    check(run(&[&["unshare", "-r"][..], &caps].concat()));
    let target = program("/usr/bin/unshare").args(["-Ur", "sleep", "9"]).start();
    std::thread::sleep(std::time::Duration::from_millis(300));
    check(run(&[&["nsenter", "-t", &target.pid().to_string(), "-U"][..], &caps].concat()));
}

#[test]
fn all_of_it_holds_for_a_program_of_another_user() {
    let dir = TempDir::new();
    let profile = dir.join("profile.json");
    fs::write(
        &profile,
        r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["sync"],"action":"SCMP_ACT_ERRNO"}]}"#,
    )
    .expect("write a profile");
    let script = "grep -c '^Cap.*:.0*$' /proc/self/status; id -u; ulimit -Hn; grep '^Seccomp:' /proc/self/status";
    let confined =
        [
            &[
                "--cap-drop",
                "all",
                "--rlimit",
                "nofile=64",
                "--seccomp",
                profile.to_str().expect("UTF-8"),
                "-S",
                "1001",
            ][..],
            &["-G", "1001", "sh", "-c", script],
        ]
        .concat();
    let expected = "5\n1001\n64\nSeccomp:\t2";
    run(&[&["unshare", "-u"][..], &confined].concat()).ok().says(expected);
    run(&[&["unshare", "-u", "--no-new-privs"][..], &confined].concat()).ok().says(expected);
    run(&[&["nsenter", "--uts=/proc/self/ns/uts"][..], &confined].concat()).ok().says(expected);
    run(&["unshare", "--cap-drop", "", "true"]).exits(1).complains("unknown capability: ''").in_one_line();
}

#[test]
fn privileges_cannot_be_gained_anew() {
    run(&["unshare", "-u", "--no-new-privs", "grep", "NoNewPrivs", "/proc/self/status"]).ok().says("NoNewPrivs:\t1");
}

#[test]
fn resources_are_limited() {
    run(&["unshare", "-u", "--rlimit", "nofile=64:128", "sh", "-c", "ulimit -Sn; ulimit -Hn"]).ok().says("64\n128");
    run(&["unshare", "--rlimit", "nofile=x", "true"]).exits(1).complains("failed to parse rlimit: 'nofile=x'");
    run(&["unshare", "--rlimit", "nofile=2:1", "true"]).exits(1).complains("a soft limit above the hard one");
    run(&["unshare", "--rlimit", "bogus=1", "true"]).exits(1).complains("unknown rlimit: 'bogus'").in_one_line();
    run(&["unshare", "-u", "--rlimit", "core=-1", "sh", "-c", "ulimit -c"]).ok().says("unlimited");
}

#[test]
fn of_two_limits_on_a_resource_the_last_counts() {
    let script =
        "setpriv --bounding-set -sys_resource \"$0\" unshare --rlimit nofile=10 --rlimit nofile=20 sh -c 'ulimit -n'";
    program("sh").args(["-c", script]).arg(nskit()).run().ok().says("20");
}

#[test]
fn system_calls_are_filtered() {
    let dir = TempDir::new();
    let file = dir.path().join("profile.json");
    let rules =
        r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["mkdir","mkdirat"],"action":"SCMP_ACT_ERRNO"}]}"#;
    fs::write(&file, rules).expect("write a profile");
    let (file, place) = (file.to_str().expect("UTF-8"), dir.path().join("new"));
    run(&["unshare", "-u", "--seccomp", file, "mkdir", place.to_str().expect("UTF-8")])
        .exits(1)
        .complains("Operation not permitted");
    run(&["unshare", "--seccomp", "/etc/passwd", "true"]).exits(1).complains("/etc/passwd: not JSON").in_one_line();
    fs::write(file, "{\n\"defaultAction\":\"SCMP_ACT_ALLOW\",\"defaultAction\":\"SCMP_ACT_LOG\"}")
        .expect("write a profile");
    let twice = run(&["unshare", "--seccomp", file, "true"]).exits(1);
    twice.complains("profile.json: not a seccomp profile: duplicate field").complains("line 2 column").in_one_line();
}

#[test]
fn help_shows_options_without_dots() {
    for tool in ["unshare", "nsenter", "lsns"] {
        let help = run(&[tool, "--help"]).ok().stdout();
        let options = help.lines().filter(|line| line.trim_start().starts_with('-'));
        for line in options {
            assert!(!line.contains("...") || line.contains(",...>"), "{line}");
        }
    }
}

#[test]
fn each_step_is_told_when_asked() {
    let output = run(&["unshare", "-v", "-rm", "--mount-proc", "-pf", "true"]).ok().stderr();
    for step in
        ["create new mount, pid and user namespaces", "map uid_map as 0 0 1", "mount proc on /proc", "execute true"]
    {
        assert!(output.contains(step), "{step} is missing: {output}");
    }
    assert_eq!(run(&["unshare", "-u", "true"]).ok().stderr(), "");
    run(&["unshare", "-v", "-pf", "true"]).ok().complains("unshare: fork\n");
    run(&["unshare", "-v", "--kill-child", "true"]).ok().complains("unshare: fork, and have the child get SIGKILL");
}

/// A container's state where the runtime keeps it when nobody says.
struct Listed(PathBuf);

impl Listed {
    fn new(container: &Container) -> Listed {
        Listed::called(container, &container.id)
    }

    /// The container's state under another id.
    fn called(container: &Container, id: &str) -> Listed {
        let folder = Path::new("/run/nskit").join(id);
        fs::create_dir_all(&folder).expect("create the folder of states");
        let state = container.state_root().join(&container.id).join("state.json");
        let state = fs::read_to_string(state).expect("read the state").replace(&container.id, id);
        fs::write(folder.join("state.json"), state).expect("copy the state");
        Listed(folder)
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_container_is_entered_by_name() {
    let container = Container::running();
    let id = container.id.as_str();
    let _listed = Listed::new(&container);
    run(&["nsenter", id, "hostname"]).ok().says("test");
    run(&["nsenter", "-u", id, "hostname"]).ok().says("test");
    run(&["nsenter", "-t", id, "-u", "hostname"]).ok().says("test");
    run(&["nsenter", id, "--", "hostname"]).ok().says("test");
    run(&["nsenter", id, "-v", "hostname"]).exits(127).complains("hint: options come before CONTAINER");
    run(&["nsenter", "nskit-test-no-such", "true"])
        .exits(1)
        .complains("no namespace specified")
        .complains("no container is called \"nskit-test-no-such\"");
}

#[test]
fn a_number_is_a_process_and_never_a_container_whose_id_begins_with_it() {
    let container = Container::running();
    for number in ["0", "4194305"] {
        let id = format!("{number}{}", container.id);
        let _listed = Listed::called(&container, &id);
        run(&["nsenter", "-t", &id, "-u", "hostname"]).ok().says("test");
        run(&["nsenter", "-t", number, "-u", "hostname"]).exits(1).says("").complains(number);
        run(&["nsenter", number, "hostname"]).exits(1).says("").complains("no namespace specified");
        run(&["ns-inspect", "enter", number]).exits(1).says("").complains(number);
    }
    run(&["nsenter", "-t", "0", "-u", "hostname"])
        .complains("failed to parse PID argument '0': Numerical result out of range")
        .complains("hint: an engine says 0 for a container that has stopped");
}

#[test]
fn a_container_that_is_the_target_is_entered_whole_unless_namespaces_are_named() {
    let container = Container::running();
    let id = container.id.as_str();
    let _listed = Listed::new(&container);
    let kinds = "readlink /proc/self/ns/uts; readlink /proc/self/ns/mnt";
    let whole = run(&["nsenter", id, "sh", "-c", kinds]).ok().stdout();
    run(&["nsenter", "-t", id, "sh", "-c", kinds]).ok().says(&whole);
    let host = fs::read_link("/proc/self/ns/mnt").expect("read a namespace");
    let part = run(&["nsenter", "-t", id, "-u", "sh", "-c", kinds]).ok().stdout();
    assert!(part.ends_with(host.to_str().expect("ASCII")), "{part}");
}

#[test]
fn an_ordinary_user_enters_a_container_of_their_own() {
    let dir = TempDir::new();
    let home = dir.join("home");
    fs::create_dir(&home).expect("make a folder");
    std::os::unix::fs::chown(&home, Some(12345), Some(12345)).expect("chown");
    crate::harness::copy_program(&nskit(), &dir.join("nskit"));
    let id = dir.path().file_name().expect("a name");
    let as_user = |script: &str| {
        program("setpriv")
            .args(["--reuid", "12345", "--regid", "12345", "--groups", "12345,23456", "sh", "-ec", script])
            .args([dir.join("nskit").as_os_str(), id])
            .env("XDG_RUNTIME_DIR", &home)
            .within(&home)
            .run()
    };
    as_user("\"$0\" runtime spec --rootless --host --bundle .").ok();
    let file = home.join("config.json");
    let mut config: serde_json::Value = serde_json::from_slice(&fs::read(&file).expect("read")).expect("JSON");
    config["process"]["args"] = serde_json::json!(["sleep", "100"]);
    config["process"]["terminal"] = false.into();
    let mut enter = |inside: u32, script: &str| {
        for map in ["uidMappings", "gidMappings"] {
            config["linux"][map][0]["containerID"] = inside.into();
        }
        config["process"]["user"] = serde_json::json!({"uid": inside, "gid": inside});
        fs::write(&file, config.to_string()).expect("write config.json");
        let start =
            "\"$0\" runtime run -d --bundle . \"$1\" >/dev/null 2>run.log </dev/null || { cat run.log; exit 1; }
            trap '\"$0\" runtime delete --force \"$1\"' EXIT\n";
        as_user(&format!("{start}{script}")).ok()
    };
    let script = "\"$0\" nsenter \"$1\" sh -c 'id -u; id -g; cat /proc/1/comm'
        \"$0\" nsenter --preserve-credentials \"$1\" id -u
        \"$0\" nsenter -t \"$1\" -S 0 hostname
        \"$0\" nsenter -G 0 \"$1\" true || echo \"groups cannot be changed\"";
    enter(0, script).says("0\n0\nsleep\n0\nnskit\ngroups cannot be changed");
    // Without a root in it, it is entered as whom the caller is.
    let script = "\"$0\" nsenter \"$1\" sh -c 'id -u; id -g'
        \"$0\" nsenter -S 0 \"$1\" true || echo \"there is no root\"";
    enter(1000, script).says("1000\n1000\nthere is no root");
}

#[test]
fn a_container_gets_its_own_shell_where_the_callers_is_missing() {
    let container = Container::running();
    let _listed = Listed::new(&container);
    let shell = program(nskit()).args(["nsenter", &container.id]).env("SHELL", "/no/such/shell");
    shell.input("echo $0\n").run().ok().says("-sh");
}

#[test]
fn tools_are_named_when_they_cannot_be_run() {
    let container = Container::running();
    let id = container.id.as_str();
    let _listed = Listed::new(&container);
    run(&["nsenter", "--tools=/bin/busybox", id]).ok().mentions("BusyBox");
    run(&["nsenter", "--tools=/etc/passwd", id, "ls"])
        .exits(126)
        .complains("failed to execute /etc/passwd: Exec format error");
    run(&["nsenter", "--tools=/bin/bash", id, "bash"])
        .exits(127)
        .complains("failed to execute /bin/bash: No such file")
        .complains("hint: /bin/bash is not a static program: it needs /lib");
    run(&["nsenter", "--tools=/tmp", id, "foo"]).exits(1).complains("/tmp is no file: --tools takes a static program");
    run(&["nsenter", "--tools", id, "foo"]).exits(127).complains("no applet of nskit is called 'foo'");
    run(&["nsenter", "--tools", id, "nskit", "--list"]).ok().mentions("unshare");
}

#[test]
fn a_container_without_a_shell_gets_tools_of_the_caller() {
    let container = Container::running();
    let pid = container.pid().to_string();
    run(&["nsenter", "-t", &pid, "-a", "--tools", "unshare", "--version"]).ok().mentions("unshare from nskit");
    let words = [
        "nsenter",
        "-t",
        &pid,
        "-a",
        "--tools",
        "unshare",
        "-u",
        "--",
        "/bin/sh",
        "-c",
        "readlink /proc/$PPID/exe; echo > /proc/self/exe",
    ];
    let output = run(&words);
    assert!(!output.stdout().contains("target"), "the host's path shows");
}

#[test]
fn the_copy_of_the_tools_cannot_be_written_to() {
    let container = Container::running();
    let pid = container.pid().to_string();
    let script = "sleep 1 & exec 9<>/proc/self/exe";
    run(&["nsenter", "-t", &pid, "-a", "--tools=/bin/busybox", "sh", "-c", script]).complains("/proc/self/exe");
}

#[test]
fn the_pid_namespace_of_the_children_is_entered() {
    // Not before its first process is there: who enters an empty one is that itself.
    let holder = program(nskit()).args(["unshare", "-p", "sh", "-c", "sleep 20 & echo ready; wait"]).start();
    let pid = holder.pid().to_string();
    crate::harness::eventually("the children's namespace has a child", || holder.stdout().contains("ready"));
    let expected = fs::read_link(format!("/proc/{pid}/ns/pid_for_children")).expect("read a namespace");
    run(&["nsenter", "-t", &pid, "--pid-for-children", "sh", "-c", "[ $$ -gt 1 ] && echo inside"]).ok().says("inside");
    assert_ne!(expected, fs::read_link("/proc/self/ns/pid").expect("read a namespace"));
}

#[test]
fn a_program_does_not_start_when_its_namespace_cannot_be_kept() {
    let dir = TempDir::new();
    let mark = dir.path().join("started");
    run(&["unshare", "--uts=/nonexistent", "--fork", "touch", mark.to_str().expect("UTF-8")])
        .exits(1)
        .complains("mount /proc/")
        .complains("/nonexistent failed: No such file or directory");
    assert!(!mark.exists(), "the program ran");
}
