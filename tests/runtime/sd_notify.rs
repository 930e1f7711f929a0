//! `NOTIFY_SOCKET`: the container says that it is ready, the service manager of the runtime hears it.

use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use crate::harness::{Container, Invocation, skip_on};

/// What is sent with logger(1), whose library sends datagrams to /dev/log: the line that counts is one of several.
const SAYS_READY: &str = "ln -s $NOTIFY_SOCKET /dev/log; logger 'STATUS=starting
READY=1
X_OTHER=1'; ";

struct Manager {
    socket: UnixDatagram,
    path: std::path::PathBuf,
}

impl Manager {
    fn of(container: &Container) -> Manager {
        let path = container.dir.join("manager.sock");
        let socket = UnixDatagram::bind(&path).expect("bind a socket");
        socket.set_read_timeout(Some(Duration::from_secs(10))).expect("set a time limit");
        Manager { socket, path }
    }

    fn with(&self, runtime: Invocation) -> Invocation {
        runtime.env("NOTIFY_SOCKET", &self.path)
    }

    #[track_caller]
    fn hears(&self, text: &str) {
        let mut buffer = [0; 4096];
        let length = self.socket.recv(&mut buffer).unwrap_or_else(|error| panic!("waiting for {text:?}: {error}"));
        assert_eq!(String::from_utf8_lossy(&buffer[..length]), text);
    }
}

#[test]
fn a_created_container_is_started_when_it_says_that_it_is_ready() {
    skip_on!(Crun, "crun's datagrams differ");
    let container = Container::script(&format!("{SAYS_READY} sleep 1000"));
    let manager = Manager::of(&container);
    manager.with(container.launch(&["create"])).run().ok();
    let start = manager.with(container.runtime(&["start", &container.id])).start();
    manager.hears("READY=1\n");
    manager.hears(&format!("MAINPID={}\n", container.pid()));
    manager.hears("BARRIER=1");
    start.wait().ok();
}

#[test]
fn a_detached_run_ends_when_the_container_says_that_it_is_ready() {
    skip_on!(Crun, "crun's datagrams differ");
    let container = Container::script(&format!("sleep 0.2; {SAYS_READY} sleep 1000"));
    let manager = Manager::of(&container);
    let run = manager.with(container.launch(&["run", "--detach"])).start();
    manager.hears("READY=1\n");
    manager.hears(&format!("MAINPID={}\n", container.pid()));
    manager.hears("BARRIER=1");
    run.wait().ok();
}

#[test]
fn an_attached_run_passes_it_on_and_stays_the_main_process() {
    skip_on!(Runc | Crun, "the peers' datagrams differ");
    let container = Container::script(&format!("sleep 0.3; {SAYS_READY} sleep 0.1; echo $NOTIFY_SOCKET"));
    let manager = Manager::of(&container);
    let run = manager.with(container.launch(&["run"])).start();
    manager.hears("READY=1\n");
    run.wait().ok().says("/run/notify/notify.sock");
    manager.socket.set_nonblocking(true).expect("do not wait");
    assert!(manager.socket.recv(&mut [0; 100]).is_err(), "it heard more");
}

#[test]
fn a_container_that_ends_without_being_ready_does_not_keep_start_waiting() {
    let container = Container::script("exit 3");
    let manager = Manager::of(&container);
    manager.with(container.launch(&["create"])).run().ok();
    manager.with(container.runtime(&["start", &container.id])).at_most(5.0).run().ok();
}

#[test]
fn without_a_service_manager_there_is_no_socket() {
    let container = Container::script("echo \"${NOTIFY_SOCKET-none}\"; test -e /run/notify || echo nowhere");
    container.run().ok().says("none\nnowhere");
}
