//! A client of the shim's Task service, in place of containerd: it runs the shim's program, asks by ttrpc, takes events.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread;

use nskit::protobuf::{Fields, Message};
use nskit::shim::frame::{self, Frame};
use rustix::fs::Mode;

use super::{Container, Invocation, eventually, nskit, patience, program};

/// A request that failed: its code and what it says.
pub(crate) type Failure = (u64, String);

/// A container of a shim that this test started, with the shim's own client. Dropped, everything of it has to be gone.
pub(crate) struct Task {
    /// The bundle, and where the rest is kept.
    pub(crate) container: Container,
    /// Where the shim can be connected.
    pub(crate) socket: PathBuf,
    /// The topics of events that came, with the ids of processes and exit statuses where they have them.
    events: Arc<Mutex<Vec<String>>>,
}

/// A connection to a shim.
pub(crate) struct Client {
    stream: UnixStream,
    next: u32,
}

impl Task {
    /// Starts the shim for a container; nothing is created yet.
    #[track_caller]
    pub(crate) fn new(container: Container) -> Task {
        let task = Task::without_shim(container);
        task.listen();
        task.start_shim()
    }

    /// The same while nobody takes events.
    #[track_caller]
    pub(crate) fn without_shim(container: Container) -> Task {
        container.write_config();
        Task { socket: PathBuf::new(), container, events: Arc::default() }
    }

    /// Starts the shim, or finds the one of the pod.
    #[track_caller]
    pub(crate) fn start_shim(mut self) -> Task {
        let address = self.shim("start").run().ok().stdout();
        self.socket = address.strip_prefix("unix://").expect("an address").into();
        self
    }

    /// The shim's program with an action, as containerd runs it.
    pub(crate) fn shim(&self, action: &str) -> Invocation {
        program(nskit())
            .args(["shim", "-namespace", &self.namespace(), "-id", &self.container.id, "-address"])
            .arg(self.container.dir.join("containerd.sock"))
            .arg(action)
            .within(&self.bundle())
            .env("TTRPC_ADDRESS", self.events_socket())
    }

    pub(crate) fn bundle(&self) -> PathBuf {
        self.container.dir.join("bundle")
    }

    /// The namespace, by which the state's folder is called.
    pub(crate) fn namespace(&self) -> String {
        format!("ns-{}", self.container.id)
    }

    fn events_socket(&self) -> PathBuf {
        self.container.dir.join("events.sock")
    }

    /// Takes events from now on.
    pub(crate) fn listen(&self) {
        let listener = UnixListener::bind(self.events_socket()).expect("listen for events");
        let events = Arc::clone(&self.events);
        thread::spawn(move || {
            for stream in listener.incoming() {
                take_events(stream.expect("accept the shim"), &events);
            }
        });
    }

    /// The events so far.
    pub(crate) fn events(&self) -> Vec<String> {
        self.events.lock().expect("the events").clone()
    }

    /// Connects to the shim.
    #[track_caller]
    pub(crate) fn client(&self) -> Client {
        let stream = UnixStream::connect(&self.socket).expect("connect to the shim");
        stream.set_read_timeout(Some(patience(20.0))).expect("set a limit");
        Client { stream, next: 1 }
    }

    /// A request that names the container, and a process if it is another than the first.
    pub(crate) fn named(&self, exec: &str) -> Message {
        let mut message = Message::default();
        message.text(1, &self.container.id).words(2, exec);
        message
    }

    /// `Create` with these streams.
    pub(crate) fn create(&self, stdout: Option<&PathBuf>) -> Message {
        let mut message = Message::default();
        message.text(1, &self.container.id).text(2, self.bundle().to_str().expect("UTF-8"));
        if let Some(stdout) = stdout {
            message.text(6, stdout.to_str().expect("UTF-8"));
        }
        message
    }

    /// `Exec` of a shell script.
    pub(crate) fn exec(&self, exec: &str, script: &str, stdout: Option<&PathBuf>) -> Message {
        let process = serde_json::json!({"args": ["sh", "-c", script], "env": ["PATH=/bin"], "cwd": "/",
            "user": {"uid": 0, "gid": 0}});
        let mut spec = Message::default();
        spec.text(1, "types.containerd.io/opencontainers/runtime-spec/1/Process").text(2, process.to_string());
        let mut message = self.named(exec);
        if let Some(stdout) = stdout {
            message.text(5, stdout.to_str().expect("UTF-8"));
        }
        message.message(7, &spec);
        message
    }

    /// `Kill`.
    pub(crate) fn kill(&self, exec: &str, signal: i32) -> Message {
        let mut message = self.named(exec);
        message.number(3, signal);
        message
    }

    /// A FIFO, with its reading end.
    pub(crate) fn fifo(&self, name: &str) -> (PathBuf, File) {
        let path = self.container.dir.join(name);
        rustix::fs::mkfifoat(rustix::fs::CWD, &path, Mode::from_raw_mode(0o700)).expect("make a FIFO");
        let reader = File::options().read(true).custom_flags(libc::O_NONBLOCK).open(&path).expect("open a FIFO");
        (path, reader)
    }

    /// The pid of the shim.
    #[track_caller]
    pub(crate) fn shim_pid(&self) -> i32 {
        let connected = self.client().ask("Connect", &self.named("")).expect("Connect");
        Fields::of(&connected).expect("a message").number(1) as i32
    }

    /// Asserts that the shim has ended and that nothing of the container is left.
    #[track_caller]
    pub(crate) fn assert_gone(&self) {
        let id = &self.container.id;
        eventually("everything is gone", || {
            super::left_behind(id).is_empty() && !self.socket.exists() && UnixStream::connect(&self.socket).is_err()
        });
        let state = PathBuf::from("/run/containerd/nskit").join(self.namespace());
        assert!(!state.join(id).exists(), "state is left");
        let _ = std::fs::remove_dir(state);
    }

    /// Ends a task that runs: killed, deleted, the shim shut down.
    #[track_caller]
    pub(crate) fn end(&self) {
        let mut client = self.client();
        let _ = client.ask("Kill", &self.kill("", 9));
        let _ = client.ask("Wait", &self.named(""));
        client.ask("Delete", &self.named("")).expect("Delete");
        client.ask("Shutdown", &self.named("")).expect("Shutdown");
        self.assert_gone();
    }
}

impl Client {
    /// Sends a request, and does not wait for its answer. Its stream.
    pub(crate) fn send(&mut self, method: &str, request: &Message) -> u32 {
        let stream = self.next;
        self.next += 2;
        self.send_bytes(&frame::ask(stream, "containerd.task.v2.Task", method, request, 20));
        stream
    }

    pub(crate) fn send_bytes(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("ask the shim");
    }

    /// Asks, and waits for the answer.
    #[track_caller]
    pub(crate) fn ask(&mut self, method: &str, request: &Message) -> Result<Vec<u8>, Failure> {
        let stream = self.send(method, request);
        self.answer(stream)
    }

    /// Waits for an answer, which is to be the next one.
    #[track_caller]
    pub(crate) fn answer(&mut self, stream: u32) -> Result<Vec<u8>, Failure> {
        let mut header = [0; 10];
        self.stream.read_exact(&mut header).expect("an answer of the shim");
        let number = |at: usize| u32::from_be_bytes(header[at..at + 4].try_into().expect("four bytes"));
        assert_eq!((number(4), header[8]), (stream, 2), "the answer of another request");
        let mut message = vec![0; number(0) as usize];
        self.stream.read_exact(&mut message).expect("the rest of an answer");
        let fields = Fields::of(&message).expect("a message");
        let status = Fields::of(fields.bytes(1)).expect("a status");
        match status.number(1) {
            0 => Ok(fields.bytes(2).to_vec()),
            code => Err((code, status.text(2))),
        }
    }
}

/// The number of a field of an answer.
pub(crate) fn number(answer: &[u8], field: u32) -> u64 {
    Fields::of(answer).expect("a message").number(field)
}

/// Answers a shim's requests to forward events until it hangs up.
fn take_events(mut stream: UnixStream, events: &Mutex<Vec<String>>) {
    let mut input = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(length @ 1..) = stream.read(&mut buffer) {
        input.extend_from_slice(&buffer[..length]);
        while let Ok(Some((Frame::Request(request), length))) = frame::next(&input) {
            let forwarded = Fields::of(request.payload).expect("a message");
            let envelope = Fields::of(forwarded.bytes(1)).expect("an envelope");
            let event = Fields::of(envelope.bytes(4)).expect("an event");
            let event = Fields::of(event.bytes(2)).expect("what the event holds");
            let told = match envelope.text(3).trim_start_matches("/tasks/") {
                "exit" => format!("exit {} {}", event.text(2), event.number(4)),
                "delete" => format!("delete {}", event.number(3)),
                topic @ ("exec-added" | "exec-started") => format!("{topic} {}", event.text(2)),
                topic => topic.to_owned(),
            };
            events.lock().expect("the events").push(told);
            let answer = frame::answer(request.stream, &Ok(Vec::new()));
            if stream.write_all(&answer).is_err() {
                return;
            }
            input.drain(..length);
        }
    }
}

/// What can be read from a FIFO until its end.
#[track_caller]
pub(crate) fn read_to_end(fifo: &mut File) -> String {
    let mut text = String::new();
    let mut buffer = [0; 4096];
    eventually("the stream ends", || match fifo.read(&mut buffer) {
        Ok(0) => true,
        Ok(length) => {
            text.push_str(&String::from_utf8_lossy(&buffer[..length]));
            false
        }
        Err(error) if error.kind() == ErrorKind::WouldBlock => false,
        Err(error) => panic!("read a FIFO: {error}"),
    });
    text
}
