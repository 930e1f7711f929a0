//! `nsenter`: into every namespace of a process. Full parity with util-linux has tests of its own.

use std::fs;

use crate::harness::{Container, Invocation, Output, TempDir, eventually, nskit, program};

/// A process in namespaces of its own, which ends with the value.
struct Target {
    container: Container,
    pid: String,
}

impl Target {
    fn new() -> Target {
        let container = Container::running();
        let pid = container.pid().to_string();
        Target { container, pid }
    }

    fn namespace(&self, name: &str) -> String {
        let link = fs::read_link(format!("/proc/{}/ns/{name}", self.pid)).expect("read a namespace");
        link.to_str().expect("ASCII").to_owned()
    }
}

fn nsenter(words: &[&str]) -> Invocation {
    program(nskit()).arg("nsenter").args(words)
}

fn run(words: &[&str]) -> Output {
    nsenter(words).run()
}

#[test]
fn each_kind_is_entered_by_its_short_and_its_long_option() {
    let target = Target::new();
    let kinds = [
        ("-u", "--uts", "uts"),
        ("-i", "--ipc", "ipc"),
        ("-n", "--net", "net"),
        ("-C", "--cgroup", "cgroup"),
        ("-p", "--pid", "pid"),
        ("-m", "--mount", "mnt"),
    ];
    for (short, long, name) in kinds {
        for option in [short, long] {
            // /proc of the container shows its own processes alone: the host's is read but for the mount namespace.
            let words = ["-t", &target.pid, option, "readlink", &format!("/proc/self/ns/{name}")];
            let output = match name {
                "pid" => run(&["-t", &target.pid, option, "-m", "readlink", "/proc/self/ns/pid"]),
                "mnt" => run(&["-t", &target.pid, option, "-p", "readlink", "/proc/self/ns/mnt"]),
                _ => run(&words),
            };
            output.ok().says(&target.namespace(name));
        }
    }
}

#[test]
fn all_are_entered_at_once() {
    let target = Target::new();
    for option in ["-a", "--all"] {
        let script = "for name in uts ipc net cgroup pid mnt; do readlink /proc/self/ns/$name; done; hostname; pwd";
        let expected: Vec<_> =
            ["uts", "ipc", "net", "cgroup", "pid", "mnt"].map(|name| target.namespace(name)).to_vec();
        run(&["--target", &target.pid, option, "sh", "-c", script])
            .ok()
            .says(&format!("{}\ntest\n/", expected.join("\n")));
    }
}

#[test]
fn a_namespace_is_entered_by_its_file() {
    let target = Target::new();
    let file = format!("/proc/{}/ns/uts", target.pid);
    run(&[&format!("--uts={file}"), "hostname"]).ok().says("test");
    run(&[&format!("-u{file}"), "hostname"]).ok().says("test");
}

#[test]
fn what_is_not_asked_for_is_the_caller_s() {
    let target = Target::new();
    let host = fs::read_link("/proc/self/ns/net").expect("read a namespace");
    run(&["-t", &target.pid, "-u", "readlink", "/proc/self/ns/net"]).ok().says(host.to_str().expect("ASCII"));
}

#[test]
fn exits_with_the_status_of_the_program() {
    let target = Target::new();
    run(&["-t", &target.pid, "-u", "sh", "-c", "exit 7"]).exits(7);
    run(&["-t", &target.pid, "-a", "sh", "-c", "exit 8"]).exits(8);
    run(&["-t", &target.pid, "-a", "sh", "-c", "kill -KILL $$"]).exits(137);
    run(&["-t", &target.pid, "-a", "no-such-program"]).exits(127).complains("no-such-program");
    run(&["-t", &target.pid, "-a", "/etc/passwd"]).exits(126).complains("/etc/passwd");
}

#[test]
fn the_root_and_the_working_directory_are_those_of_the_target() {
    let target = Target::new();
    fs::write(target.container.rootfs().join("etc/marker"), "inside\n").expect("write a file");
    run(&["-t", &target.pid, "-u", "-r", "-w", "cat", "/etc/marker"]).ok().says("inside");
    run(&["-t", &target.pid, "-m", "cat", "/etc/marker"]).ok().says("inside");
    let root = target.container.rootfs();
    let root = root.to_str().expect("UTF-8");
    run(&["-t", &target.pid, "-u", &format!("--root={root}"), "cat", "/etc/marker"]).ok().says("inside");
    run(&["-t", &target.pid, "-u", "--wd=/tmp", "pwd"]).ok().says("/tmp");
}

#[test]
fn a_new_pid_namespace_needs_a_fork_and_gets_it() {
    let target = Target::new();
    run(&["-t", &target.pid, "-m", "-p", "sh", "-c", "[ $$ -gt 1 ] && [ -d /proc/$$ ] && echo member"])
        .ok()
        .says("member");
    // Without a fork the program itself stays outside.
    let host = fs::read_link("/proc/self/ns/pid").expect("read a namespace");
    run(&["-t", &target.pid, "-p", "-F", "readlink", "/proc/self/ns/pid"]).ok().says(host.to_str().expect("ASCII"));
}

#[test]
fn the_user_and_group_are_changed() {
    let target = Target::new();
    run(&["-t", &target.pid, "-a", "-S", "1000", "-G", "1001", "sh", "-c", "id -u; id -g"]).ok().says("1000\n1001");
}

#[test]
fn a_user_namespace_makes_root_unless_credentials_are_preserved() {
    let mut target = Target::new();
    target.container = Container::sleeper().user_namespace().started();
    target.pid = target.container.pid().to_string();
    run(&["-t", &target.pid, "-a", "id", "-u"]).ok().says("0");
    run(&["-t", &target.pid, "-U", "--preserve-credentials", "id", "-u"]).ok().says("65534");
}

#[test]
fn standard_input_is_passed() {
    let target = Target::new();
    nsenter(&["-t", &target.pid, "-a", "cat"]).input("through\n").run().ok().says("through");
}

#[test]
fn a_target_that_is_not_there_is_an_error_that_names_it() {
    run(&["-t", "4194304", "-a", "true"]).exits(1).complains("4194304").complains("hint: there is no process 4194304");
    let output = run(&["-t", "nobody", "-a", "true"]);
    assert_ne!(output.code(), 0);
    output.complains("nobody");
}

#[test]
fn a_file_that_is_not_there_or_no_namespace_is_an_error_that_names_it() {
    run(&["--uts=/no/such/file", "true"]).exits(1).complains("/no/such/file").complains("No such file").in_one_line();
    // util-linux names the kind of namespace here, and scripts may look for it.
    run(&["--uts=/etc/passwd", "true"]).exits(1).complains("uts");
}

#[test]
fn a_fifo_does_not_block() {
    let target = Target::new();
    let dir = TempDir::new();
    let fifo = dir.join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).expect("make a FIFO");
    let fifo = fifo.to_str().expect("UTF-8");
    run(&[&format!("--uts={fifo}"), "true"])
        .exits(1)
        .complains("reassociate to namespace 'ns/uts' failed: Invalid argument")
        .complains(&format!("hint: {fifo} is no namespace"));
    for option in [format!("--root={fifo}"), format!("--wd={fifo}"), format!("--wdns={fifo}")] {
        run(&["-t", &target.pid, "-u", &option, "true"]).exits(1).complains("Not a directory").in_one_line();
    }
    run(&["-t", &target.pid, "-u", &format!("--tools={fifo}"), "true"]).exits(1).complains("is no file").in_one_line();
}

#[test]
fn no_target_and_no_file_is_an_error() {
    let output = run(&["--uts", "true"]);
    assert_ne!(output.code(), 0);
    assert_ne!(output.stderr(), "");
}

#[test]
fn without_a_program_the_shell_is_started() {
    let target = Target::new();
    let shell = nsenter(&["-t", &target.pid, "-u"]).env("SHELL", "/bin/sh").input("hostname\n");
    shell.run().ok().says("test");
}

#[test]
fn signals_that_stop_the_program_do_not_lose_it() {
    let target = Target::new();
    let running = nsenter(&["-t", &target.pid, "-a", "sh", "-c", "echo ready; sleep 0.3; exit 3"]).start();
    eventually("it is ready", || running.stdout().contains("ready"));
    running.signal(nix::sys::signal::Signal::SIGSTOP);
    running.signal(nix::sys::signal::Signal::SIGCONT);
    running.wait().exits(3);
}

#[test]
fn of_all_namespaces_those_are_left_out_that_are_shared_and_cannot_be_entered_again() {
    // Over none of them has the user namespace that the caller is in a privilege.
    let script = "exec \"$0\" unshare -r \"$0\" nsenter -t $$ -a readlink /proc/self/ns/time";
    let time = fs::read_link("/proc/self/ns/time").expect("read a namespace");
    program("sh").args(["-c", script]).arg(nskit()).run().ok().says(time.to_str().expect("ASCII"));
    // One that is named is entered, or that it cannot be is said.
    let script = "exec \"$0\" unshare -r \"$0\" nsenter -t $$ -T true";
    program("sh").args(["-c", script]).arg(nskit()).run().exits(1).complains("Operation not permitted");
}
