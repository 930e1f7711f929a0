//! What the kernel tells of all processes at once is what `/proc` tells of each.

use std::collections::BTreeSet;
use std::fs::File;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::process::Command;
use std::sync::mpsc;
use std::thread;

use nix::sched::{CloneFlags, unshare};
use nskit::inspect::{Keeper, Scope, Snapshot, discover};
use nskit::namespace::Kind;
use nskit::sys::bpf;

use super::blind_spots::from_a_thread_that_is_gone;
use super::lsns::alone;
use super::{inode, linked};
use crate::harness::{eventually, nskit, program, skip};

/// Why the kernel cannot be asked here, where it cannot.
fn obstacle() -> Option<&'static str> {
    if !Path::new("/sys/kernel/btf/vmlinux").exists() {
        return Some("this kernel does not describe its types");
    }
    // "Answer 1", as a device program.
    let program = [bpf::Insn::new(0xb7, 0, 0, 0, 1), bpf::Insn::new(0x95, 0, 0, 0, 0)];
    bpf::load_device_program(&program, None).err().map(|_| "bpf(2) is denied")
}

/// What was found, by at least so many processes.
fn found(bulk_from: usize) -> Snapshot {
    discover(&Scope { bulk_from, ..Scope::EVERYTHING }).expect("look at /proc")
}

fn pid_of(keeper: &Keeper) -> Option<i32> {
    match keeper {
        Keeper::Thread { pid, .. }
        | Keeper::ForChildren { pid }
        | Keeper::Descriptor { pid, .. }
        | Keeper::Socket { pid, .. } => Some(*pid),
        _ => None,
    }
}

/// What these processes are in, and what is known of these namespaces, a line each; others come and go.
fn seen(snapshot: &Snapshot, pids: &[i32], inodes: &BTreeSet<u64>) -> BTreeSet<String> {
    let name = |index: usize| snapshot.namespaces[index].to_string();
    let processes = pids.iter().map(|&pid| {
        let process = snapshot.find_process(pid).map(|index| &snapshot.processes[index]);
        let namespaces = process.map(|process| Kind::ALL.map(|kind| process.namespace(kind).map(name)));
        format!("process {pid}: {namespaces:?}")
    });
    let namespaces = inodes.iter().map(|&inode| {
        let Some(namespace) = snapshot.find(inode).map(|index| &snapshot.namespaces[index]) else {
            return format!("[{inode}] is missing");
        };
        let of_these = |keeper: &&Keeper| pid_of(keeper).is_none_or(|pid| pids.contains(&pid));
        let keepers: BTreeSet<String> = namespace.keepers.iter().filter(of_these).map(Keeper::to_string).collect();
        let relations = (namespace.id, namespace.parent, namespace.owner, namespace.owner_uid);
        format!("{namespace}: {} processes, {relations:?}, {keepers:?}", namespace.processes)
    });
    processes.chain(namespaces).collect()
}

/// The namespaces that the links of a process name.
fn links(pid: i32) -> impl Iterator<Item = u64> {
    let links = std::fs::read_dir(format!("/proc/{pid}/ns")).into_iter().flatten().flatten();
    links.filter_map(|link| Some(inode(std::fs::read_link(link.path()).ok()?.to_str()?)))
}

#[test]
fn both_ways_find_the_same() {
    if let Some(why) = obstacle() {
        skip!("{why}");
    }
    let own = std::process::id() as i32;
    let mut pids = vec![own, 1, 2];
    let mut inodes = BTreeSet::new();

    // Processes in namespaces of their own: the first has only those of its children changed.
    let words = ["--mount", "--uts", "--ipc", "--net", "--pid", "--user", "-r", "--cgroup", "--time", "--fork"];
    let script = "echo ready; sleep 60 & exec sleep 60";
    let running = program(nskit()).arg("unshare").args(words).args(["sh", "-c", script]).start();
    eventually("it runs", || running.stdout().contains("ready"));
    let children = |pid: i32| -> Vec<i32> {
        let text = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        text.split_ascii_whitespace().filter_map(|word| word.parse().ok()).collect()
    };
    pids.push(running.pid());
    let first = *children(running.pid()).first().expect("a child");
    pids.push(first);
    eventually("its child is there", || !children(first).is_empty());
    pids.extend(children(first));
    inodes.extend(pids.iter().skip(1).copied().flat_map(links));

    // A pid namespace that has no process yet, which some kernels do not show.
    let words = ["unshare", "--pid", "--user", "-r", "sleep", "60"];
    let empty = program(nskit()).args(words).start();
    eventually("it is executed", || {
        std::fs::read_to_string(format!("/proc/{}/comm", empty.pid())).is_ok_and(|name| name.trim() == "sleep")
    });
    pids.push(empty.pid());
    inodes.extend(links(empty.pid()));

    // A thread, a descriptor and a socket of this process.
    let (sender, receiver) = mpsc::channel();
    let (keep, wait) = mpsc::channel::<()>();
    let thread = thread::spawn(move || {
        unshare(CloneFlags::CLONE_NEWNET).expect("unshare a thread");
        sender.send(linked("/proc/thread-self/ns/net")).expect("send");
        let _ = wait.recv();
    });
    let of_thread = receiver.recv().expect("the thread's namespace");
    let file = from_a_thread_that_is_gone(CloneFlags::CLONE_NEWUTS, || File::open("/proc/thread-self/ns/uts"));
    let file = file.expect("open a namespace");
    let of_file = linked(&format!("/proc/self/fd/{}", file.as_raw_fd()));
    let (socket, of_socket) = from_a_thread_that_is_gone(CloneFlags::CLONE_NEWNET, || {
        (UdpSocket::bind("0.0.0.0:0").expect("a socket"), linked("/proc/thread-self/ns/net"))
    });
    inodes.extend([of_thread, of_file, of_socket]);

    // A process that has ended and was not waited for.
    let mut zombie = Command::new("true").spawn().expect("start true");
    let zombie_pid = zombie.id() as i32;
    eventually("it has ended", || {
        std::fs::read_to_string(format!("/proc/{zombie_pid}/stat")).is_ok_and(|stat| stat.contains(") Z "))
    });
    pids.push(zombie_pid);

    let (one_by_one, at_once) = (found(usize::MAX), found(0));
    assert!(!one_by_one.at_once);
    assert!(at_once.at_once, "the kernel does not tell");
    // Whoever comes and goes is counted in those of this process.
    for inode in links(own) {
        inodes.remove(&inode);
    }
    let (expected, seen) = (seen(&one_by_one, &pids, &inodes), seen(&at_once, &pids, &inodes));
    for what in [
        "\"thread ",
        &format!("\"process {}, for its children", running.pid()),
        &format!("\"fd {} of process {own}", file.as_raw_fd()),
        &format!("\"socket {} of process {own}", socket.as_raw_fd()),
        &format!("process {zombie_pid}: Some"),
    ] {
        assert!(expected.iter().any(|line| line.contains(what)), "{what} is missing in {expected:#?}");
    }
    let differences: Vec<_> = expected.symmetric_difference(&seen).collect();
    assert!(differences.is_empty(), "{differences:#?}");
    let gaps = |snapshot: &Snapshot| snapshot.gaps.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(gaps(&at_once), gaps(&one_by_one));
    drop(keep);
    thread.join().expect("the thread ends");
    zombie.wait().expect("wait");
}

#[test]
fn many_processes_cost_few_system_calls_where_the_kernel_may_be_asked_and_look_the_same_where_not() {
    if let Some(why) = obstacle() {
        skip!("{why}");
    }
    if !Path::new("/usr/bin/strace").exists() {
        skip!("strace is not installed");
    }
    let script = "mount -t tmpfs none /mnt; i=0; while [ $i -lt 250 ]; do sleep 60 & i=$((i+1)); done; sleep .5; \
        look() { \"$@\" strace -f -o /mnt/calls $NSKIT lsns -nr -o NS,TYPE,NPROCS,PID; wc -l </mnt/calls >&2; }; \
        look env >/mnt/at-once; look setpriv --bounding-set=-sys_admin,-bpf,-perfmon >/mnt/one-by-one; \
        cat /mnt/at-once; cmp /mnt/at-once /mnt/one-by-one";
    let output = alone(script).ok();
    let calls: Vec<u32> = output.stderr().lines().filter_map(|line| line.trim().parse().ok()).collect();
    assert!(matches!(calls[..], [at_once, one_by_one] if at_once < 2 * 250 && one_by_one > 8 * 250), "{calls:?}");
    assert!(
        output.stdout().lines().any(|line| line.contains(" pid 25") && line.ends_with(" 1")),
        "{}",
        output.stdout()
    );
}
