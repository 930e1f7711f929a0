//! Namespaces that `/proc/PID/ns` does not show. Each is found with what keeps it, or it is said that it cannot be.

use std::fs::File;
use std::io::IoSlice;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::sync::mpsc;
use std::thread;

use nix::sched::{CloneFlags, unshare};
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};

use super::{everything, inode, keepers, linked, lsns, namespace, ns_inspect};
use crate::harness::{TempDir, eventually, nskit, program, skip};

/// What `make` gives back from a thread that moved to a new namespace and has ended since.
pub(super) fn from_a_thread_that_is_gone<T: Send + 'static>(
    flags: CloneFlags,
    make: impl FnOnce() -> T + Send + 'static,
) -> T {
    let thread = thread::spawn(move || {
        unshare(flags).expect("unshare a thread");
        make()
    });
    thread.join().expect("the thread ends")
}

#[test]
fn one_that_only_a_thread_is_in() {
    let (sender, receiver) = mpsc::channel();
    let (_keep, wait) = mpsc::channel::<()>();
    let thread = thread::spawn(move || {
        unshare(CloneFlags::CLONE_NEWNET).expect("unshare a thread");
        sender.send(linked("/proc/thread-self/ns/net")).expect("send");
        let _ = wait.recv();
    });
    let inode = receiver.recv().expect("the thread's namespace");
    let document = everything();
    let found = namespace(&document, inode);
    assert_eq!(found["processes"], 0);
    assert!(keepers(found).contains("thread"), "{found}");
    lsns(&["-n", "-r", "-o", "TYPE", "-Q", &format!("NS == {inode}")]).run().ok().says("net");
    drop(_keep);
    thread.join().expect("the thread ends");
}

#[test]
fn a_pid_namespace_that_has_no_process_yet() {
    if std::process::Command::new("python3").arg("-V").output().is_err() {
        skip!("there is no python3 here");
    }
    // No link in /proc leads to it before its first process is born.
    let script = "import ctypes, os, fcntl, time; ctypes.CDLL(None).unshare(0x20000000); pidfd = os.pidfd_open(os.getpid()); \
                  namespace = fcntl.ioctl(pidfd, 0xff06, 0); print(os.fstat(namespace).st_ino, flush=True); \
                  os.close(namespace); time.sleep(60)";
    let maker = program("python3").args(["-c", script]).start();
    eventually("it says which", || maker.stdout().ends_with('\n'));
    let inode: u64 = maker.stdout().trim().parse().expect("a number");
    let document = everything();
    let found = namespace(&document, inode);
    assert_eq!((found["type"].as_str(), &found["processes"]), (Some("pid"), &0.into()), "{found}");
    assert!(found["keepers"][0]["kind"] == "for-children", "{found}");
    lsns(&["-n", "-r", "-o", "TYPE", "-Q", &format!("NS == {inode}")]).run().ok().says("pid");
}

#[test]
fn threads_of_one_process_are_one_keeper() {
    let (sender, receiver) = mpsc::channel();
    let (keep, wait) = mpsc::channel::<()>();
    let thread = thread::spawn(move || {
        unshare(CloneFlags::CLONE_NEWUTS).expect("unshare a thread");
        // Threads are born where their maker is.
        let others: Vec<_> = (0..3)
            .map(|_| {
                let (keep, wait) = mpsc::channel::<()>();
                (keep, thread::spawn(move || wait.recv().is_ok()))
            })
            .collect();
        sender.send(linked("/proc/thread-self/ns/uts")).expect("send");
        let _ = wait.recv();
        for (keep, other) in others {
            drop(keep);
            other.join().expect("the thread ends");
        }
    });
    let inode = receiver.recv().expect("the threads' namespace");
    let line = format!("4 threads of process {}", std::process::id());
    ns_inspect(&[&format!("uts:[{inode}]")]).run().ok().mentions(&line);
    drop(keep);
    thread.join().expect("the thread ends");
}

#[test]
fn one_that_only_a_descriptor_holds() {
    let file = from_a_thread_that_is_gone(CloneFlags::CLONE_NEWUTS, || File::open("/proc/thread-self/ns/uts"));
    let file = file.expect("open a namespace");
    let inode = linked(&format!("/proc/self/fd/{}", file.as_raw_fd()));
    let document = everything();
    assert_eq!(keepers(namespace(&document, inode)), ["descriptor".to_owned()].into());
    ns_inspect(&[&format!("uts:[{inode}]")]).run().ok().mentions(&format!(
        "fd {} of process {}",
        file.as_raw_fd(),
        std::process::id()
    ));
}

#[test]
fn one_that_only_a_socket_holds() {
    let (socket, inode) = from_a_thread_that_is_gone(CloneFlags::CLONE_NEWNET, || {
        (UdpSocket::bind("0.0.0.0:0").expect("a socket"), linked("/proc/thread-self/ns/net"))
    });
    let document = everything();
    let found = namespace(&document, inode);
    // Who looks into all networks meanwhile, as other tests do, has it open too.
    let is_it = |keeper: &serde_json::Value| {
        keeper["kind"] == "socket" && keeper["fd"] == socket.as_raw_fd() && keeper["pid"] == std::process::id()
    };
    assert!(found["keepers"].as_array().is_some_and(|keepers| keepers.iter().any(is_it)), "{found}");
}

/// Makes a uts namespace that is bound to a file in a mount namespace of its own, then runs `then` there.
fn bound(dir: &TempDir, then: &str) -> (crate::harness::Running, u64) {
    let script = format!(
        "mkdir {0}/in && : >{0}/in/uts && {1} unshare --uts sh -c 'mount --bind /proc/self/ns/uts {0}/in/uts; \
         readlink /proc/self/ns/uts' && {then} && echo ready && exec sleep 60",
        dir.path().display(),
        nskit().display()
    );
    let running = program(nskit()).args(["unshare", "--mount", "sh", "-c", &script]).start();
    eventually("the mount is there", || running.stdout().contains("ready"));
    let inode = inode(running.stdout().lines().next().expect("a line"));
    (running, inode)
}

#[test]
fn one_that_is_bound_in_another_mount_namespace() {
    let dir = TempDir::new();
    let (running, inode) = bound(&dir, "true");
    let document = everything();
    let keeper = &namespace(&document, inode)["keepers"][0];
    assert_eq!(keeper["kind"], "mount");
    assert_eq!(keeper["path"], format!("{}/in/uts", dir.path().display()));
    assert_eq!(keeper["namespace"], linked(&format!("/proc/{}/ns/mnt", running.pid())));
    assert_eq!(keeper["covered"], false);
}

#[test]
fn one_whose_mount_is_mounted_over() {
    let dir = TempDir::new();
    let (_running, inode) = bound(&dir, &format!("mount -t tmpfs none {}/in", dir.path().display()));
    let document = everything();
    let keeper = &namespace(&document, inode)["keepers"][0];
    assert_eq!(keeper["covered"], true);
    lsns(&["-n", "-r", "-o", "TYPE,NPROCS", "-Q", &format!("NS == {inode}")]).run().ok().says("uts 0");
}

#[test]
fn a_descriptor_in_flight_is_found_or_said_not_to_be_enumerable() {
    let (sender, _receiver) = UnixStream::pair().expect("sockets");
    let file = from_a_thread_that_is_gone(CloneFlags::CLONE_NEWIPC, || File::open("/proc/thread-self/ns/ipc"));
    let file = file.expect("open a namespace");
    let inode = linked(&format!("/proc/self/fd/{}", file.as_raw_fd()));
    let rights = [file.as_raw_fd()];
    let message = [ControlMessage::ScmRights(&rights)];
    sendmsg::<()>(sender.as_raw_fd(), &[IoSlice::new(b"x")], &message, MsgFlags::empty(), None).expect("sendmsg");
    drop(file);
    let document = everything();
    let found = document["namespaces"].as_array().expect("an array").iter().any(|ns| ns["inode"] == inode);
    let said = document["gaps"].as_array().expect("an array").iter().any(|gap| {
        let (what, reason) = (gap["what"].as_str(), gap["reason"].as_str());
        what.is_some_and(|what| what.contains("in flight")) && reason.is_some_and(|reason| reason.contains("6.19"))
    });
    assert!(found != said, "either found or said: {}", document["gaps"]);
    if said {
        let denied = ns_inspect(&[&format!("ipc:[{inode}]")]).run().exits(1).in_one_line();
        denied.complains(&format!("no ipc:[{inode}] is to be seen; namespaces that only a descriptor in flight"));
    }
}

#[test]
fn a_user_namespace_that_only_its_child_keeps() {
    let script =
        format!("readlink /proc/self/ns/user; exec {} unshare -r sh -c 'echo ready; exec sleep 60'", nskit().display());
    let running = program(nskit()).args(["unshare", "-r", "sh", "-c", &script]).start();
    eventually("the child is there", || running.stdout().contains("ready"));
    let parent = inode(running.stdout().lines().next().expect("a line"));
    let child = linked(&format!("/proc/{}/ns/user", running.pid()));
    assert_ne!(parent, child);
    let document = everything();
    assert_eq!(namespace(&document, parent)["processes"], 0);
    assert_eq!(namespace(&document, child)["parent"], parent);
    ns_inspect(&[&format!("user:[{parent}]")]).run().ok().mentions(&format!("its child user:[{child}]"));
    lsns(&["-T", "-n", "-r", "-o", "NS", "-t", "user"]).run().ok().mentions(&parent.to_string());
}

#[test]
fn a_mount_namespace_that_only_a_descriptor_holds_shows_what_is_bound_in_it() {
    let dir = TempDir::new();
    let (running, bound) = bound(&dir, "true");
    let mounts = linked(&format!("/proc/{}/ns/mnt", running.pid()));
    let file = File::open(format!("/proc/{}/ns/mnt", running.pid())).expect("open a namespace");
    drop(running);
    let document = everything();
    assert_eq!(namespace(&document, mounts)["processes"], 0);
    let found = namespace(&document, bound);
    assert_eq!(found["keepers"][0]["namespace"], mounts, "{found}");
    drop(file);
}

#[test]
fn where_children_will_be_born() {
    let script = "readlink /proc/self/ns/time_for_children; echo ready; exec sleep 60";
    let words = ["unshare", "--time", "sh", "-c", script];
    let running = program(nskit()).args(words).start();
    eventually("it runs", || running.stdout().contains("ready"));
    // The program itself has been moved by exec; a child that is not yet born has not.
    let inode = inode(running.stdout().lines().next().expect("a line"));
    namespace(&everything(), inode);
}
