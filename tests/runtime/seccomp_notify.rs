//! SCMP_ACT_NOTIFY: an agent outside of the container answers for its calls.

use std::fs::File;
use std::io::{IoSliceMut, Read};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::thread::JoinHandle;

use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use serde_json::{Value, json};

use crate::harness::{Container, copy_program, program, skip_on};

nix::ioctl_readwrite!(receive_notification, b'!', 0, libc::seccomp_notif);
nix::ioctl_readwrite!(send_response, b'!', 1, libc::seccomp_notif_resp);

/// What an agent was told, and how many calls it answered for.
struct Seen {
    state: Value,
    calls: Vec<i32>,
}

/// An agent on a socket at `path`: fails the calls of `fails` with the errno, and lets the others go on.
fn agent(path: &Path, fails: &'static [libc::c_long], errno: i32) -> JoinHandle<Seen> {
    let socket = UnixListener::bind(path).expect("bind the agent's socket");
    std::thread::spawn(move || {
        let (connection, _) = socket.accept().expect("accept the runtime");
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut state = vec![0; 1];
        recvmsg(&connection, &mut [IoSliceMut::new(&mut state)], &mut control, RecvFlags::CMSG_CLOEXEC)
            .expect("receive");
        let mut descriptors: Vec<OwnedFd> = Vec::new();
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(received) = message {
                descriptors.extend(received);
            }
        }
        (&connection).read_to_end(&mut state).expect("read the state");
        let state: Value = serde_json::from_slice(&state).expect("the state is JSON");
        let listener = File::from(descriptors.pop().expect("the listener"));
        let mut calls = Vec::new();
        while let Some((id, number)) = next_call(&listener) {
            calls.push(number);
            respond(&listener, id, fails.contains(&number.into()).then_some(errno));
        }
        Seen { state, calls }
    })
}

/// The next call's id and number; none when all processes under the filter are gone.
fn next_call(listener: &File) -> Option<(u64, i32)> {
    loop {
        let mut ready = [PollFd::new(listener.as_fd(), PollFlags::POLLIN)];
        assert_ne!(poll(&mut ready, PollTimeout::from(60_000_u16)).expect("poll"), 0, "nothing to answer for a minute");
        let events = ready[0].revents().expect("events");
        if !events.contains(PollFlags::POLLIN) {
            return None;
        }
        // SAFETY: all zeros are a valid seccomp_notif, a struct of numbers.
        let mut call: libc::seccomp_notif = unsafe { std::mem::zeroed() };
        // SAFETY: the listener is one of seccomp, and `call` is what this request writes to.
        match unsafe { receive_notification(listener.as_raw_fd(), &raw mut call) } {
            Ok(_) => return Some((call.id, call.data.nr)),
            // The caller was killed meanwhile.
            Err(nix::errno::Errno::ENOENT | nix::errno::Errno::EINTR) => {}
            Err(errno) => panic!("receive a notification: {errno}"),
        }
    }
}

fn respond(listener: &File, id: u64, errno: Option<i32>) {
    let flags = if errno.is_some() { 0 } else { libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE as u32 };
    let mut response = libc::seccomp_notif_resp { id, val: 0, error: -errno.unwrap_or(0), flags };
    // SAFETY: the listener is one of seccomp, and `response` is what this request reads.
    match unsafe { send_response(listener.as_raw_fd(), &raw mut response) } {
        Ok(_) | Err(nix::errno::Errno::ENOENT) => {}
        Err(errno) => panic!("respond: {errno}"),
    }
}

/// A container whose calls of `names` go to an agent at `agent.sock` in its folder.
fn watched(container: Container, names: &[&str]) -> Container {
    let path = container.dir.join("agent.sock");
    container.set(
        "/linux/seccomp",
        json!({
            "defaultAction": "SCMP_ACT_ALLOW",
            "listenerPath": path,
            "listenerMetadata": "for the agent",
            "syscalls": [{"names": names, "action": "SCMP_ACT_NOTIFY"}]
        }),
    )
}

#[test]
fn an_agent_answers_for_the_calls_of_a_container() {
    skip_on!(Crun, "crun's Debian package is built without it");
    for no_new_privileges in [true, false] {
        let container =
            watched(Container::script("mkdir /x || rmdir /tmp && echo went on"), &["mkdir", "mkdirat", "rmdir"]);
        let container = container.set("/process/noNewPrivileges", no_new_privileges);
        let agent = agent(&container.dir.join("agent.sock"), &[libc::SYS_mkdirat, libc::SYS_mkdir], libc::ENETDOWN);
        container.run().ok().says("went on").complains("Network is down");
        let seen = agent.join().expect("the agent");
        assert!(seen.calls.len() >= 2, "{:?}", seen.calls);
        assert_eq!(seen.state["fds"], json!(["seccompFd"]));
        assert_eq!(seen.state["metadata"], "for the agent");
        assert_eq!(seen.state["state"]["id"], container.id.as_str());
        assert_eq!(seen.state["state"]["pid"], seen.state["pid"]);
        assert!(seen.state["pid"].as_i64().is_some_and(|pid| pid > 1));
        assert!(seen.state["ociVersion"].is_string());
    }
}

#[test]
fn an_agent_may_watch_the_calls_that_the_runtime_itself_makes() {
    // As bypass4netns does: all that is left of the runtime under the filter goes through the agent, too.
    let calls = ["sendto", "sendmsg", "recvfrom", "recvmsg", "close", "connect", "execve", "prctl", "fcntl", "read"];
    for no_new_privileges in [true, false] {
        let container = watched(Container::script("echo done"), &calls);
        let container = container.set("/process/noNewPrivileges", no_new_privileges);
        let agent = agent(&container.dir.join("agent.sock"), &[], 0);
        container.run().ok().says("done");
        assert!(agent.join().expect("the agent").calls.contains(&(libc::SYS_execve as i32)));
    }
}

#[test]
fn every_exec_has_a_listener_of_its_own() {
    for no_new_privileges in [true, false] {
        let container = watched(Container::sleeper(), &["mkdir", "mkdirat"]);
        let container = container.set("/process/noNewPrivileges", no_new_privileges);
        let path = container.dir.join("agent.sock");
        let first = agent(&path, &[], 0);
        let container = container.started();
        std::fs::remove_file(&path).expect("remove the first agent's socket");
        let second = agent(&path, &[libc::SYS_mkdirat, libc::SYS_mkdir], libc::ENETDOWN);
        container.exec(&["mkdir", "/x"]).exits(1).complains("Network is down");
        let state = second.join().expect("the second agent").state;
        assert_ne!(state["pid"], state["state"]["pid"], "the process is exec's, the container its init's");
        container.kill("KILL").ok();
        container.wait_stopped();
        first.join().expect("the first agent");
    }
}

#[test]
fn the_listener_is_handed_over_before_the_container_is_started() {
    skip_on!(Crun, "crun's Debian package is built without it");
    for no_new_privileges in [true, false] {
        let container = watched(Container::sleeper(), &["mkdir"]).set("/process/noNewPrivileges", no_new_privileges);
        let socket = UnixListener::bind(container.dir.join("agent.sock")).expect("bind the agent's socket");
        let container = container.created();
        socket.set_nonblocking(true).expect("do not wait");
        socket.accept().expect("the runtime has connected by now");
        assert_eq!(container.status(), "created");
    }
}

#[test]
fn without_an_agent_nothing_starts() {
    let container = watched(Container::script("echo started"), &["mkdir"]);
    container.run().exits(1).says("").complains("agent.sock");
    container.assert_gone();
}

#[test]
fn what_cannot_be_watched_is_refused() {
    let refused = |seccomp: Value, because: &str| {
        Container::new().set("/linux/seccomp", seccomp).run().exits(1).complains(because);
    };
    let rules = |name: &str| json!([{"names": [name], "action": "SCMP_ACT_NOTIFY"}]);
    refused(
        json!({"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/x", "syscalls": rules("write")}),
        "SCMP_ACT_NOTIFY cannot be used for the write syscall",
    );
    refused(
        json!({"defaultAction": "SCMP_ACT_NOTIFY", "listenerPath": "/x"}),
        "SCMP_ACT_NOTIFY cannot be used as default action",
    );
    refused(json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": rules("mkdir")}), "listenerPath is not set");
}

#[test]
fn a_user_without_privilege_is_answered_too() {
    skip_on!(Runc | Crun, "the arguments after -- are ours");
    // As bypass4netns does: all that is left of the runtime under the filter goes through the agent, too.
    let calls = ["mkdir", "mkdirat", "sendto", "sendmsg", "recvfrom", "recvmsg", "close", "wait4", "prctl"];
    for no_new_privileges in [true, false] {
        let mut container = Container::new();
        let own = container.dir.join("nskit");
        copy_program(&crate::harness::nskit(), &own);
        let (bundle, root) = (container.bundle(), container.state_root());
        let as_nobody = |container: &Container, words: &[&str]| {
            program("chown").args(["-hR", "nobody:nogroup"]).arg(container.dir.path()).run().ok();
            let user = ["--reuid", "nobody", "--regid", "nogroup", "--clear-groups"];
            program("setpriv").args(user).arg(&own).args(["runtime", "--root"]).arg(&root).args(words)
        };
        // Nobody's child but its own is left to the program.
        let parents = "for s in /proc/[0-9]*/status; do while read k v; do [ $k != PPid: ] || echo $v; done <$s; done";
        let script = format!("mkdir /tmp/x; {parents}");
        let words = ["--", "sh", "-c", &script];
        as_nobody(&container, &["spec", "--rootless", "-b"]).arg(&bundle).args(words).run().ok();
        let config = std::fs::read(bundle.join("config.json")).expect("read the configuration");
        container.config = serde_json::from_slice(&config).expect("a configuration");
        let container = watched(container, &calls).set("/process/noNewPrivileges", no_new_privileges);
        container.write_config();
        let agent = agent(&container.dir.join("agent.sock"), &[libc::SYS_mkdirat, libc::SYS_mkdir], libc::ENETDOWN);
        let run = as_nobody(&container, &["run", "-b"]).arg(&bundle).arg(&container.id);
        run.run().ok().says("0").complains("Network is down");
        agent.join().expect("the agent");
    }
}
