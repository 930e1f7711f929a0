//! `--preserve-fds` and socket activation.

use std::fs;

use crate::harness::{Container, Invocation, program, runtime_words, skip_on};

/// The runtime started by a shell with `redirections`.
fn runtime_with(container: &Container, redirections: &str, words: &[&str]) -> Invocation {
    runtime_of(container, "$$", redirections, words)
}

/// As [`runtime_with`], with sockets that are meant for the process `pid`.
fn runtime_of(container: &Container, pid: &str, redirections: &str, words: &[&str]) -> Invocation {
    container.write_config();
    program("sh")
        .args(["-c", &format!("export LISTEN_PID={pid}; exec \"$@\" {redirections}"), "sh"])
        .args(runtime_words())
        .arg("--root")
        .arg(container.state_root())
        .args(words)
}

#[test]
fn descriptors_after_the_first_three_are_passed_on_when_asked() {
    let container = Container::script("cat <&3; cat <&4");
    fs::write(container.dir.join("three"), "3\n").expect("write a file");
    fs::write(container.dir.join("four"), "4\n").expect("write a file");
    let (bundle, dir) = (container.bundle(), container.dir.path().display());
    let words = ["run", "--preserve-fds", "2", "--bundle", bundle.to_str().expect("UTF-8"), &container.id];
    runtime_with(&container, &format!("3<{dir}/three 4<{dir}/four"), &words).run().ok().says("3\n4");
}

#[test]
fn without_it_none_are_passed_on() {
    let container = Container::script("ls /proc/self/fd | xargs; cat <&3");
    let (bundle, dir) = (container.bundle(), container.dir.path().display());
    let words = ["run", "--bundle", bundle.to_str().expect("UTF-8"), &container.id];
    let output =
        runtime_with(&container, &format!("3<{dir}/bundle/config.json 9<{dir}/bundle/config.json"), &words).run();
    assert_ne!(output.code(), 0);
    // ls itself has the folder open as 3.
    assert_eq!(output.stdout(), "0 1 2 3");
}

#[test]
fn exec_passes_them_on_too() {
    let container = Container::running();
    fs::write(container.dir.join("three"), "passed\n").expect("write a file");
    let words = ["exec", "--preserve-fds=1", &container.id, "sh", "-c", "cat <&3"];
    runtime_with(&container, &format!("3<{}/three", container.dir.path().display()), &words).run().ok().says("passed");
}

#[test]
fn numbers_between_them_may_be_closed() {
    skip_on!(Runc, "runc wants all of them");
    // As `podman run --preserve-fd 6,9` has it. Nothing of the runtime's own comes to have one of the other numbers.
    let script = "ls /proc/self/fd | xargs; cat <&6; cat <&9";
    for verb in ["run", "exec"] {
        let container = if verb == "run" { Container::script(script) } else { Container::running() };
        fs::write(container.dir.join("six"), "6\n").expect("write a file");
        fs::write(container.dir.join("nine"), "9\n").expect("write a file");
        let (bundle, dir) = (container.bundle(), container.dir.path().display());
        let bundle = bundle.to_str().expect("UTF-8");
        let words = match verb {
            "run" => vec!["run", "--preserve-fds", "7", "--bundle", bundle, &container.id],
            _ => vec!["exec", "--preserve-fds", "7", &container.id, "sh", "-c", script],
        };
        let passed = runtime_with(&container, &format!("6<{dir}/six 9<{dir}/nine"), &words).run().ok();
        // ls itself has the folder open as 3.
        passed.says("0 1 2 3 6 9\n6\n9");
    }
}

#[test]
fn a_descriptor_that_is_not_open_is_an_error() {
    skip_on!(Runc | Crun, "the peers take descriptors of their own for it");
    let container = Container::new();
    let bundle = container.bundle();
    let words = ["run", "--preserve-fds", "5", "--bundle", bundle.to_str().expect("UTF-8"), &container.id];
    runtime_with(&container, "3</dev/null", &words).run().exits(1);
    container.assert_gone();
}

#[test]
fn sockets_of_the_caller_are_passed_on_with_their_variables() {
    let container = Container::script("echo $LISTEN_FDS $LISTEN_PID; cat <&3");
    fs::write(container.dir.join("three"), "socket\n").expect("write a file");
    let (bundle, dir) = (container.bundle(), container.dir.path().display());
    let words = ["run", "--bundle", bundle.to_str().expect("UTF-8"), &container.id];
    let run = runtime_with(&container, &format!("3<{dir}/three"), &words).env("LISTEN_FDS", "1");
    run.run().ok().says("1 1\nsocket");
}

#[test]
fn a_count_of_sockets_that_are_not_there_is_a_left_over() {
    let container = Container::script("echo ${LISTEN_FDS-none}");
    let bundle = container.bundle();
    let words = ["run", "--bundle", bundle.to_str().expect("UTF-8"), &container.id];
    for count in ["3", "4294967295"] {
        runtime_with(&container, "3</dev/null", &words).env("LISTEN_FDS", count).run().ok().says("none");
    }
}

#[test]
fn sockets_of_another_process_are_not_passed_on() {
    skip_on!(Crun, "crun does not look whose they are");
    let container = Container::script("ls /proc/self/fd | xargs; echo ${LISTEN_FDS-none}");
    let (bundle, dir) = (container.bundle(), container.dir.path().display());
    let words = ["run", "--bundle", bundle.to_str().expect("UTF-8"), &container.id];
    let run = runtime_of(&container, "1", &format!("3<{dir}/bundle/config.json"), &words).env("LISTEN_FDS", "1");
    // ls itself has the folder open as 3.
    run.run().ok().says("0 1 2 3\nnone");
}
