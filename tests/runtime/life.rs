//! The moments between the states of a container: while it is created, while it dies, when its files are half gone, and when the
//! kernel does not tell.

use std::fs;

use crate::harness::{Container, Running, eventually, program, runtime_words, skip, skip_on};

/// A container whose creation waits in a createRuntime hook, and that creation.
fn being_created(verb: &[&str]) -> (Container, Running) {
    let (container, there, _) = Container::sleeper().waiting_hook("createRuntime");
    let creation = container.launch(verb).start();
    eventually("the hook runs", || there.exists());
    (container, creation)
}

#[test]
fn nothing_enters_or_changes_a_container_while_it_is_being_created() {
    skip_on!(Runc | Crun, "they do not know it yet, or enter the host's root");
    for verb in ["create", "run"] {
        let (container, creation) = being_created(&[verb]);
        container.exec(&["true"]).exits(255).in_one_line().complains("being created");
        container.exec_with(&["--ignore-paused"], &["true"]).exits(255).complains("being created");
        container.verb(&["start"]).exits(1).in_one_line().complains("creating");
        container.verb(&["pause"]).exits(1).in_one_line().complains("creating");
        container.verb(&["resume"]).exits(1).in_one_line().complains("creating");
        container.verb(&["update", "--pids-limit", "100"]).exits(1).in_one_line().complains("creating");
        container.verb(&["events", "--stats"]).exits(1).in_one_line().complains("creating");
        container.verb(&["delete"]).exits(1).in_one_line().complains("creating");
        assert_eq!(container.status(), "creating");
        fs::write(container.dir.join("go"), "").expect("let the hook go on");
        eventually("it is created", || container.status() != "creating");
        if verb == "create" {
            creation.wait().ok();
            container.exec(&["true"]).ok();
        }
        container.verb(&["delete", "--force"]).ok();
    }
}

#[test]
fn kill_ends_a_container_that_is_being_created() {
    skip_on!(Runc | Crun, "they do not know it yet");
    let (container, creation) = being_created(&["create"]);
    container.kill("KILL").ok();
    fs::write(container.dir.join("go"), "").expect("let the hook go on");
    creation.wait().exits(1).in_one_line().complains("was killed by signal 9");
    container.assert_gone();
}

#[test]
fn no_exec_sees_the_hosts_root_however_early_it_comes() {
    let host = fs::metadata("/").map(|root| format!("{}:{}", dev(&root), ino(&root))).expect("look at /");
    for _ in 0..25 {
        let container = Container::sleeper();
        let creation = container.launch(&["create"]).start();
        for _ in 0..40 {
            let root = container.exec(&["stat", "-c", "%d:%i", "/"]).stdout();
            assert_ne!(root, host, "exec ran in the host's root");
            if !root.is_empty() {
                break;
            }
        }
        creation.wait().ok();
        container.verb(&["delete", "--force"]).ok();
    }
}

fn dev(file: &fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::dev(file)
}

fn ino(file: &fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(file)
}

#[test]
fn delete_waits_for_a_container_that_is_dying() {
    for children in [0, 3, 8] {
        for _ in 0..5 {
            let script = format!("i=0; while [ $i -lt {children} ]; do sleep 1000 & i=$((i+1)); done; sleep 1000");
            let container = Container::script(&script).started();
            container.kill("KILL").ok();
            container.verb(&["delete"]).ok();
            container.assert_gone();
        }
    }
}

#[test]
fn delete_refuses_a_container_that_only_runs() {
    let container = Container::running();
    container.verb(&["delete"]).exits(1).in_one_line().complains("not stopped");
    assert_eq!(container.status(), "running");
}

/// A container that ran and was deleted, and what `delete` leaves when it is killed in between.
fn deleted_but_for(left: &[&str]) -> Container {
    let container = Container::running();
    let folder = container.state_root().join(&container.id);
    let kept: Vec<_> = left.iter().map(|name| fs::read(folder.join(name)).expect("read what is kept")).collect();
    container.verb(&["delete", "--force"]).ok();
    fs::create_dir_all(&folder).expect("make the folder");
    for (name, content) in left.iter().zip(kept) {
        fs::write(folder.join(name), content).expect("write what is left");
    }
    container.args(&["true"])
}

#[test]
fn whatever_a_killed_delete_leaves_can_be_deleted_again() {
    skip_on!(Runc | Crun, "they keep other files");
    for left in [&["state.json"][..], &["config.json"], &["state.json", "config.json"], &[]] {
        let container = deleted_but_for(left);
        container.verb(&["delete", "--force"]).ok();
        container.assert_gone();
        container.run().ok();
    }
}

#[test]
fn a_folder_without_a_state_keeps_no_container_from_being_created() {
    skip_on!(Runc | Crun, "they keep other files");
    let container = deleted_but_for(&[]);
    let folder = container.state_root().join(&container.id);
    fs::create_dir(folder.join("notify")).expect("make a folder");
    fs::write(folder.join(".state.json.1"), "half").expect("write a file");
    container.verb(&["delete"]).exits(1).in_one_line().complains("does not exist");
    container.run().ok();
    container.assert_gone();
}

#[test]
fn a_first_process_that_cannot_be_looked_at_is_not_taken_for_stopped() {
    skip_on!(Runc | Crun, "they look elsewhere");
    if std::process::Command::new("strace").arg("-V").output().is_err() {
        skip!("strace does not work here");
    }
    let container = Container::running();
    let file = format!("/proc/{}/stat", container.pid());
    for errno in ["EMFILE", "ENOMEM", "EIO"] {
        let faulted = |words: &[&str]| {
            let inject = format!("inject=open,openat:error={errno}");
            let words = words.iter().map(|word| (*word).to_owned());
            let trace = program("strace").args(["-f", "-qq", "-o", "/dev/null", "-P", &file, "-e", &inject]);
            let root = ["--root".to_owned(), container.state_root().to_string_lossy().into_owned()];
            trace.args(runtime_words()).args(root).args(words).arg(&container.id).run()
        };
        faulted(&["state"]).exits(1).in_one_line().complains(&file);
        faulted(&["kill"]).exits(1).in_one_line().complains(&file);
        faulted(&["delete"]).exits(1).in_one_line().complains(&file);
        faulted(&["delete", "--force"]).exits(1).in_one_line().complains(&file);
    }
    assert_eq!(container.status(), "running");
    container.exec(&["true"]).ok();
}

#[test]
fn start_of_a_first_process_that_does_not_answer_says_so() {
    skip_on!(Runc | Crun, "they wait for ever");
    let container = Container::sleeper().created();
    let init = nix::unistd::Pid::from_raw(container.pid());
    nix::sys::signal::kill(init, nix::sys::signal::Signal::SIGSTOP).expect("stop the first process");
    container.verb(&["start"]).exits(1).in_one_line().complains("does not answer within 10 s");
    nix::sys::signal::kill(init, nix::sys::signal::Signal::SIGCONT).expect("let it go on");
    container.start();
    assert_eq!(container.status(), "running");
}
