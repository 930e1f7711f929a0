//! `unshare`: every namespace, and what comes with it. Full parity with util-linux has tests of its own.

use std::fs;

use crate::harness::{Invocation, Output, Pty, TempDir, eventually, nskit, program};

fn unshare(words: &[&str]) -> Invocation {
    program(nskit()).arg("unshare").args(words)
}

fn run(words: &[&str]) -> Output {
    unshare(words).run()
}

fn of_the_host(kind: &str) -> String {
    let link = fs::read_link(format!("/proc/self/ns/{kind}")).expect("read a namespace");
    link.to_str().expect("ASCII").to_owned()
}

/// The namespace that `name` links to under /proc/self/ns, inside of `unshare WORDS`.
#[track_caller]
fn inside(words: &[&str], name: &str) -> String {
    unshare(words).args(["readlink", &format!("/proc/self/ns/{name}")]).run().ok().stdout()
}

#[test]
fn each_kind_is_new_by_its_short_and_its_long_option() {
    let kinds = [
        ("-m", "--mount", "mnt"),
        ("-u", "--uts", "uts"),
        ("-i", "--ipc", "ipc"),
        ("-n", "--net", "net"),
        ("-U", "--user", "user"),
        ("-C", "--cgroup", "cgroup"),
        ("-p", "--pid", "pid_for_children"),
        ("-T", "--time", "time_for_children"),
    ];
    for (short, long, name) in kinds {
        // The namespaces for children show in a child.
        let own = name.trim_end_matches("_for_children");
        let host = of_the_host(own);
        let words: &[&[&str]] = &[&[short], &[long]];
        for words in words {
            let words = if own == name { words.to_vec() } else { [words, &["--fork"][..]].concat() };
            let inside = inside(&words, own);
            assert!(inside.starts_with(&format!("{own}:[")) && inside != host, "{words:?}: {inside} and {host}");
        }
    }
}

#[test]
fn what_is_not_asked_for_is_the_caller_s() {
    for kind in ["mnt", "ipc", "net", "user", "pid", "cgroup"] {
        assert_eq!(inside(&["--uts"], kind), of_the_host(kind));
    }
}

#[test]
fn exits_with_the_status_of_the_program() {
    run(&["--uts", "sh", "-c", "exit 7"]).exits(7);
    run(&["--uts", "--fork", "sh", "-c", "exit 8"]).exits(8);
    run(&["--pid", "--fork", "sh", "-c", "kill -KILL $$"]).exits(0);
    run(&["--uts", "--fork", "sh", "-c", "kill -KILL $$"]).exits(137);
}

#[test]
fn a_program_that_is_not_there_is_127_and_named() {
    run(&["--uts", "no-such-program"]).exits(127).complains("no-such-program").complains("No such file or directory");
    run(&["--uts", "--fork", "no-such-program"]).exits(127).complains("no-such-program");
}

#[test]
fn a_program_that_cannot_be_executed_is_126_and_named() {
    run(&["--uts", "/etc/passwd"]).exits(126).complains("/etc/passwd").complains("Permission denied");
}

#[test]
fn the_forked_program_is_the_first_of_its_pid_namespace() {
    run(&["--pid", "--fork", "sh", "-c", "echo $$"]).ok().says("1");
}

#[test]
fn the_root_user_is_mapped() {
    let words = ["--user", "--map-root-user", "sh", "-c", "id -u; id -g; cat /proc/self/setgroups"];
    run(&words).ok().says("0\n0\ndeny");
    run(&["-r", "id", "-u"]).ok().says("0");
}

#[test]
fn the_current_user_is_mapped() {
    run(&["-c", "sh", "-c", "id -u; cat /proc/self/uid_map | xargs"]).ok().says("0\n0 0 1");
    run(&["--map-current-user", "id", "-u"]).ok().says("0");
}

#[test]
fn users_are_mapped_by_number() {
    run(&["--map-user=1234", "--map-group=2345", "sh", "-c", "id -u; id -g"]).ok().says("1234\n2345");
}

#[test]
fn ranges_of_users_are_mapped() {
    let words = ["--map-users=0:100000:1000", "--map-groups=0:100000:1000", "--setuid", "0", "--setgid", "0"];
    let words = [&words[..], &["sh", "-c", "cat /proc/self/uid_map /proc/self/gid_map | xargs"]].concat();
    run(&words).ok().says("0 100000 1000 0 100000 1000");
}

#[test]
fn proc_is_mounted_for_the_new_pid_namespace() {
    let words =
        ["--pid", "--fork", "--mount-proc", "sh", "-c", "ls -d /proc/[0-9]* | wc -l; readlink /proc/self/ns/mnt"];
    let output = run(&words).ok().stdout();
    let (count, mount) = output.split_once('\n').expect("two lines");
    assert!(count.parse::<u32>().is_ok_and(|count| count <= 4), "{output}");
    assert_ne!(mount, of_the_host("mnt"));
}

#[test]
fn mounts_inside_do_not_reach_the_host() {
    let dir = TempDir::new();
    let script = format!("mount -t tmpfs none {0} && touch {0}/inside && ls {0}", dir.path().display());
    run(&["--mount", "sh", "-c", &script]).ok().says("inside");
    assert_eq!(fs::read_dir(dir.path()).expect("read the folder").count(), 0);
}

#[test]
fn the_propagation_is_private_unless_told_otherwise() {
    let shown = ["sh", "-c", "grep ' / / ' /proc/self/mountinfo | grep -cE 'shared:|master:'"];
    run(&[&["--mount"][..], &shown].concat()).exits(1).says("0");
    run(&[&["--mount", "--propagation", "shared"][..], &shown].concat()).ok().says("1");
    run(&["--mount", "--propagation", "sideways", "true"]).exits(1).complains("sideways");
}

#[test]
fn the_root_and_the_working_directory_are_changed() {
    let dir = TempDir::new();
    crate::harness::make_rootfs(dir.path());
    let root = dir.path().to_str().expect("UTF-8").to_owned();
    run(&["--mount", "-R", &root, "/bin/pwd"]).ok().says("/");
    run(&["--mount", &format!("--root={root}"), "-w", "/etc", "/bin/pwd"]).ok().says("/etc");
    run(&["--uts", "--wd=/tmp", "pwd"]).ok().says("/tmp");
}

#[test]
fn the_user_and_group_are_changed() {
    run(&["--uts", "-S", "1000", "-G", "1001", "sh", "-c", "id -u; id -g"]).ok().says("1000\n1001");
}

#[test]
fn the_child_dies_with_its_parent_when_asked() {
    let dir = TempDir::new();
    let file = dir.join("pid");
    let script = format!("echo $$ > {}; exec sleep 1000", file.display());
    let running = unshare(&["--uts", "--fork", "--kill-child", "sh", "-c", &script]).start();
    let pid = || fs::read_to_string(&file).ok().and_then(|text| text.trim().parse::<i32>().ok());
    eventually("the child writes its pid", || pid().is_some());
    let child = pid().expect("a pid");
    running.signal(nix::sys::signal::Signal::SIGKILL);
    drop(running.wait());
    eventually("the child is gone", || {
        fs::read_to_string(format!("/proc/{child}/stat")).is_ok_and(|stat| stat.contains(") Z"))
            || !dead_or_alive(child)
    });
}

fn dead_or_alive(pid: i32) -> bool {
    fs::exists(format!("/proc/{pid}")).expect("look at /proc")
}

#[test]
fn what_the_terminal_sends_arrives_once() {
    let script = "n=0; trap 'n=$((n+1)); echo got $n' INT; echo ready; \
                  i=0; while [ $i -lt 12 ]; do sleep 0.1; i=$((i+1)); done; echo done $n";
    let (mut terminal, tty) = Pty::new();
    let words = ["-c", "-w"];
    let running = program("setsid").args(words).arg(nskit()).args(["unshare", "--forward-signals", "sh", "-c", script]);
    let running = running.start_on(&tty);
    drop(tty);
    terminal.expect("ready");
    terminal.write("\x03");
    terminal.expect("done 1");
    running.wait();
}

#[test]
fn namespaces_are_made_persistent_by_a_file() {
    let dir = TempDir::new();
    let file = dir.join("uts");
    fs::write(&file, "").expect("make a file");
    // In a mount namespace of the test's own, so that no mount is left.
    let script = format!(
        "mount --bind {dir} {dir} && mount --make-private {dir} && \"$0\" unshare --uts={file} hostname persistent && \
         \"$0\" nsenter --uts={file} hostname && umount {file}",
        dir = dir.path().display(),
        file = file.display()
    );
    let output = program("unshare").args(["-m", "--propagation", "private", "sh", "-ec", &script]).arg(nskit()).run();
    output.ok().says("persistent");
}

#[test]
fn without_a_program_the_shell_is_started() {
    unshare(&["--uts"]).env("SHELL", "/bin/sh").input("echo from the shell\n").run().ok().says("from the shell");
}

#[test]
fn an_unprivileged_user_may_make_a_user_namespace_and_more() {
    let binary = nskit();
    let dir = TempDir::new();
    // Other users may not reach the folder that the binary was built in.
    let copy = dir.join("nskit");
    crate::harness::copy_program(&binary, &copy);
    let output = program("setpriv")
        .args(["--reuid", "1000", "--regid", "1000", "--clear-groups"])
        .arg(&copy)
        .args(["unshare", "--user", "--map-root-user", "--net", "--uts", "--mount", "id", "-u"])
        .run();
    output.ok().says("0");
}

#[test]
fn an_unprivileged_user_may_not_make_others_and_is_told_which() {
    let dir = TempDir::new();
    let copy = dir.join("nskit");
    crate::harness::copy_program(&nskit(), &copy);
    let output = program("setpriv")
        .args(["--reuid", "1000", "--regid", "1000", "--clear-groups"])
        .arg(&copy)
        .args(["unshare", "--uts", "true"])
        .run();
    // util-linux's line, and ours that says what would help.
    let said = output.exits(1).complains("unshare: unshare failed: Operation not permitted\n").stderr();
    assert!(said.lines().nth(1).is_some_and(|hint| hint.starts_with("unshare: hint: ")), "{said}");
}

#[test]
fn an_unknown_option_is_an_error_that_names_it() {
    let output = run(&["--frobnicate", "true"]);
    assert_ne!(output.code(), 0);
    output.complains("frobnicate");
}

#[test]
fn a_mount_namespace_is_kept_whatever_processor_it_is_made_on() {
    // From Linux 6.18 on every other one had too low an id, by the processor that the caller's was made on.
    let keep = "d=$(mktemp -d); mount -t tmpfs t $d; touch $d/f; for i in 1 2 3 4 5 6 7 8 9 10 11 12; do \
                \"$0\" unshare --mount=$d/f true || echo failed; umount $d/f; done; umount $d; rmdir $d";
    for cpu in ["0", "1"] {
        let script = format!(
            "taskset -pc {cpu} $$ >/dev/null 2>&1 || exit 0; exec unshare -m --propagation private \
                              sh -c 'taskset -pc 0-1 $$ >/dev/null; {keep}' \"$0\""
        );
        program("sh").args(["-c", &script]).arg(nskit()).run().ok().says("");
    }
}
