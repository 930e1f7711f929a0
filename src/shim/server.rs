//! The loop: who is connected, what is ready, and what is due.

use std::os::fd::{OwnedFd, RawFd};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::io::Errno;
use rustix::net::SocketFlags;
use rustix::process::WaitOptions;

use super::connection::Connection;
use super::event::Event;
use super::frame::{self, Code, Failure, Frame};
use super::message::Exit;
use super::pending::Pending;
use super::pod::{Call, Container};
use super::poll::Poll;
use super::publisher::Publisher;
use super::relay::{Progress, Relay};
use crate::error::{Attempt, Result};

/// What a shim is started with.
#[derive(Clone, Debug)]
pub struct Config {
    /// containerd's namespace.
    pub namespace: String,
    /// The socket that it listens on, which is removed at the end.
    pub socket: PathBuf,
    /// Where events go.
    pub events: Option<PathBuf>,
    /// The log, which workers keep open.
    pub log: Option<RawFd>,
}

const LISTENER: u64 = 1;
const SIGNALS: u64 = 2;
const PUBLISHER: u64 = 3;
/// Numbers from here on are given one after the other.
const FIRST: u64 = 16;

/// How long the end may take for what is left to send.
const PATIENCE: Duration = Duration::from_secs(5);

/// The shim.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) config: Config,
    pub(super) poll: Poll,
    listener: OwnedFd,
    signals: SignalFd,
    connections: Vec<Connection>,
    next_token: u64,
    pub(super) containers: Vec<Container>,
    pub(super) workers: Vec<Pending>,
    /// Children that have ended before it was known what they were.
    pub(super) unclaimed: Vec<(i32, Exit)>,
    pub(super) publisher: Publisher,
    pub(super) relays: Vec<Relay>,
    /// Asked to end, by the service.
    pub(super) is_shut_down: bool,
    /// Asked to end, by a signal: when the last container is gone.
    ends_when_empty: bool,
}

/// Serves the containers of a pod on `listener` until it is shut down.
///
/// # Errors
/// When the loop cannot be set up, or fails.
pub fn serve(config: Config, listener: OwnedFd) -> Result<()> {
    // Any number will do.
    rustix::process::set_child_subreaper(Some(rustix::process::Pid::INIT)).attempt(|| "become a subreaper")?;
    let mut set = SigSet::empty();
    for signal in [Signal::SIGCHLD, Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        set.add(signal);
    }
    sigprocmask(SigmaskHow::SIG_BLOCK, Some(&set), None).attempt(|| "block signals")?;
    let signals =
        SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK).attempt(|| "open a signalfd")?;
    let poll = Poll::new()?;
    poll.add(&listener, LISTENER, true, false).attempt(|| "wait for connections")?;
    poll.add(&signals, SIGNALS, true, false).attempt(|| "wait for signals")?;
    let publisher = Publisher::new(config.events.clone(), PUBLISHER);
    let mut server = Server {
        config,
        poll,
        listener,
        signals,
        connections: Vec::new(),
        next_token: FIRST,
        containers: Vec::new(),
        workers: Vec::new(),
        unclaimed: Vec::new(),
        publisher,
        relays: Vec::new(),
        is_shut_down: false,
        ends_when_empty: false,
    };
    crate::sys::start::forget_image();
    let ended = server.run();
    let _ = std::fs::remove_file(&server.config.socket);
    ended
}

impl Server {
    fn run(&mut self) -> Result<()> {
        let mut give_up = None;
        loop {
            if self.is_shut_down || self.ends_when_empty && self.is_idle() {
                let give_up = *give_up.get_or_insert_with(|| Instant::now() + PATIENCE);
                let is_sent = self.publisher.is_done() && self.connections.iter().all(Connection::is_flushed);
                if is_sent || Instant::now() >= give_up {
                    return Ok(());
                }
            }
            for ready in self.poll.wait(self.patience(give_up))? {
                match ready.token {
                    LISTENER => self.accept(),
                    SIGNALS => self.heed_signals()?,
                    PUBLISHER => self.publisher.progress(&self.poll),
                    token => self.progress(token, ready.readable, ready.writable),
                }
            }
            self.publisher.tick(&self.poll);
            self.finish_deletions();
        }
    }

    fn is_idle(&self) -> bool {
        self.containers.is_empty() && self.workers.is_empty()
    }

    /// How long nothing is due.
    fn patience(&self, give_up: Option<Instant>) -> Option<Duration> {
        let deletions = self.containers.iter().flat_map(|container| {
            let all = std::iter::once(&container.init).chain(&container.execs);
            all.filter_map(|process| process.deletion.as_ref().map(|deletion| deletion.deadline))
        });
        // One whose time is past waits for something else.
        let now = Instant::now();
        let deletions = deletions.filter(|deadline| *deadline > now);
        let due = deletions.chain(give_up).chain(self.publisher.due()).min();
        due.map(|due| due.saturating_duration_since(now))
    }

    /// A number that no source has had.
    pub(super) fn new_token(&mut self) -> u64 {
        // A relay has two.
        self.next_token += 2;
        self.next_token
    }

    fn accept(&mut self) {
        loop {
            match rustix::net::accept_with(&self.listener, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK) {
                Ok(socket) => {
                    let token = self.new_token();
                    match Connection::new(socket, token, &self.poll) {
                        Ok(connection) => self.connections.push(connection),
                        Err(errno) => log::error!("accept a connection: {errno}"),
                    }
                }
                Err(Errno::INTR | Errno::CONNABORTED) => {}
                Err(Errno::AGAIN) => return,
                Err(errno) => {
                    log::error!("accept a connection: {errno}");
                    // The one that waits stays there to be accepted: not at once, where descriptors are what is missing.
                    std::thread::sleep(Duration::from_millis(10));
                    return;
                }
            }
        }
    }

    /// Goes on with the source of this number: a relay, a watch, or a connection.
    fn progress(&mut self, token: u64, is_readable: bool, is_writable: bool) {
        if let Some(at) = self.relays.iter().position(|relay| relay.token == token & !1) {
            if self.relays[at].copy(&self.poll) == Progress::Ended {
                self.relays.swap_remove(at);
            }
        } else if let Some(at) = self.connections.iter().position(|connection| connection.token == token) {
            let connection = &mut self.connections[at];
            let is_open = (!is_writable || connection.flush(&self.poll)) && (!is_readable || connection.read());
            if !self.hear(at) || !is_open {
                self.hang_up(token);
            }
        } else {
            self.look_for_oom(token);
        }
    }

    /// Answers what has come whole over a connection. False when what comes is not understood.
    fn hear(&mut self, at: usize) -> bool {
        let token = self.connections[at].token;
        let input = self.connections[at].take_input();
        let mut rest = &input[..];
        loop {
            match frame::next(rest) {
                Ok(None) => break,
                Ok(Some((frame, length))) => {
                    rest = &rest[length..];
                    match frame {
                        Frame::Request(request) => {
                            let call = Call { connection: token, stream: request.stream };
                            match request.service {
                                "containerd.task.v2.Task" | "containerd.task.v3.Task" => {
                                    self.call(call, request.method, request.payload);
                                }
                                other => {
                                    let why = format!("there is no service {other}");
                                    self.reply(call, Err(Failure::new(Code::Unimplemented, why)));
                                }
                            }
                        }
                        Frame::Other(stream) => {
                            let call = Call { connection: token, stream };
                            self.reply(call, Err(Failure::new(Code::InvalidArgument, "this is no request")));
                        }
                        Frame::Response(..) => {}
                    }
                }
                Err(why) => {
                    log::warn!("a connection is closed: {why}");
                    return false;
                }
            }
        }
        if let Some(connection) = self.connections.iter_mut().find(|connection| connection.token == token) {
            connection.put_back(rest);
        }
        true
    }

    /// Forgets a connection, and that anybody there waits.
    fn hang_up(&mut self, token: u64) {
        self.connections.retain(|connection| connection.token != token);
        for process in self.containers.iter_mut().flat_map(Container::processes) {
            process.waiting.retain(|call| call.connection != token);
        }
    }

    /// Answers a request, if somebody is still there to hear.
    pub(super) fn reply(&mut self, call: Call, outcome: Result<Vec<u8>, Failure>) {
        let Some(connection) = self.connections.iter_mut().find(|connection| connection.token == call.connection)
        else {
            return;
        };
        // When that fails, the end of file comes next.
        connection.send(&frame::answer(call.stream, &outcome), &self.poll);
    }

    /// Tells containerd what has happened to a container.
    pub(super) fn publish(&mut self, id: &str, event: &Event<'_>) {
        self.publisher.publish(event.forwarded(&self.config.namespace, id), &self.poll);
    }

    fn heed_signals(&mut self) -> Result<()> {
        while let Some(signal) = self.signals.read_signal().attempt(|| "read a signal")? {
            match signal.ssi_signo as i32 {
                libc::SIGCHLD => self.reap()?,
                other => {
                    self.ends_when_empty = true;
                    if !self.is_idle() {
                        log::warn!("signal {other} came: the shim ends with its last container");
                    }
                }
            }
        }
        Ok(())
    }

    /// Reaps whoever has ended: the shim's workers, containers' processes, and what these leave behind.
    fn reap(&mut self) -> Result<()> {
        loop {
            match rustix::process::wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) => self.ended(pid, status),
                Err(Errno::INTR) => {}
                Ok(None) | Err(Errno::CHILD) => return Ok(()),
                other => drop(other.attempt(|| "wait for children")?),
            }
        }
    }

    /// Adds a relay; its number, or `None` when there is nothing to wait for.
    pub(super) fn add_relay(&mut self, from: OwnedFd, to: OwnedFd, splices: bool) -> Option<u64> {
        let token = self.new_token();
        match Relay::new(token, from, to, splices, &self.poll) {
            Ok(relay) => {
                self.relays.push(relay);
                Some(token)
            }
            Err(errno) => {
                log::error!("copy a stream: {errno}");
                None
            }
        }
    }
}
