//! What is left when a worker or the shim is killed, at each moment of a container's life.

use std::path::Path;
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::needs_our_shim;
use crate::harness::{Client, Container, Task, eventually};

/// The children of a process.
fn children(pid: i32) -> Vec<i32> {
    let path = format!("/proc/{pid}/task/{pid}/children");
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.split_whitespace().filter_map(|word| word.parse().ok()).collect()
}

/// A task whose creation hangs in a hook, and the connection that waits for it.
fn hanging() -> (Task, Client, u32) {
    let (container, there, _) = Container::script("true").waiting_hook("createRuntime");
    let task = Task::new(container);
    let mut client = task.client();
    let stream = client.send("Create", &task.create(None));
    eventually("the hook runs", || there.exists());
    (task, client, stream)
}

#[test]
fn a_worker_that_is_killed_takes_its_container_along_and_nothing_else() {
    needs_our_shim!();
    let (task, mut client, stream) = hanging();
    let shim = task.shim_pid();
    let worker = children(shim)[0];
    kill(Pid::from_raw(worker), Signal::SIGKILL).expect("kill the worker");
    let (_, why) = client.answer(stream).expect_err("its worker was killed");
    assert!(why.contains("was killed by signal 9"), "{why}");
    assert_eq!(task.shim_pid(), shim);
    // As containerd does after a creation that failed.
    task.shim("delete").run().ok();
    client.ask("Shutdown", &task.named("")).expect("Shutdown");
    task.assert_gone();
}

#[test]
fn a_shim_that_is_killed_leaves_what_delete_takes_away() {
    needs_our_shim!();
    for moment in ["creating", "created", "running", "executing", "stopped"] {
        let task = if moment == "creating" {
            hanging().0
        } else {
            let task = Task::new(if moment == "stopped" { Container::script("true") } else { Container::sleeper() });
            let mut client = task.client();
            client.ask("Create", &task.create(None)).expect("Create");
            if moment != "created" {
                client.ask("Start", &task.named("")).expect("Start");
            }
            if moment == "executing" {
                client.ask("Exec", &task.exec("one", "sleep 1000", None)).expect("Exec");
                client.ask("Start", &task.named("one")).expect("Start");
            }
            if moment == "stopped" {
                client.ask("Wait", &task.named("")).expect("Wait");
            }
            task
        };
        kill(Pid::from_raw(task.shim_pid()), Signal::SIGKILL).expect("kill the shim");
        eventually("nobody listens", || std::os::unix::net::UnixStream::connect(&task.socket).is_err());
        task.shim("delete").run().ok();
        task.assert_gone();
    }
}

#[test]
fn a_bundle_that_is_gone_keeps_no_task_from_its_end() {
    needs_our_shim!();
    let task = Task::new(Container::sleeper());
    let mut client = task.client();
    client.ask("Create", &task.create(None)).expect("Create");
    client.ask("Start", &task.named("")).expect("Start");
    let bundle = task.bundle();
    std::fs::rename(&bundle, Path::new(&bundle).with_extension("away")).expect("move the bundle away");
    task.end();
}

#[test]
fn sigterm_ends_a_shim_when_its_last_container_is_gone() {
    needs_our_shim!();
    let task = Task::new(Container::sleeper());
    let mut client = task.client();
    client.ask("Create", &task.create(None)).expect("Create");
    client.ask("Start", &task.named("")).expect("Start");
    kill(Pid::from_raw(task.shim_pid()), Signal::SIGTERM).expect("signal the shim");
    thread::sleep(Duration::from_millis(100));
    client.ask("Kill", &task.kill("", 9)).expect("Kill");
    client.ask("Wait", &task.named("")).expect("Wait");
    client.ask("Delete", &task.named("")).expect("Delete");
    task.assert_gone();
}
