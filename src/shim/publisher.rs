//! Events on their way to containerd: one after the other, kept while it is away.

use std::collections::VecDeque;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SocketFlags, SocketType};

use super::connection::Connection;
use super::frame::{self, Frame};
use super::poll::Poll;
use crate::launch::terminal;
use crate::protobuf::Message;

const SERVICE: &str = "containerd.services.events.ttrpc.v1.Events";
/// How long containerd may take to accept an event, in seconds.
const PATIENCE: u32 = 5;
/// How long to wait before it is tried again.
const PAUSE: Duration = Duration::from_secs(1);
/// More events than this are not kept: the oldest go.
const MOST: usize = 4096;

/// The way to containerd.
#[derive(Debug)]
pub(super) struct Publisher {
    socket: Option<PathBuf>,
    token: u64,
    connection: Option<Connection>,
    /// The first is on its way where `sent` says so.
    queue: VecDeque<Message>,
    sent: bool,
    stream: u32,
    /// When to give up on an answer, or to try again.
    due: Option<Instant>,
}

impl Publisher {
    /// To the socket where containerd takes events; without one they are dropped. `token` is for its connection.
    pub(super) fn new(socket: Option<PathBuf>, token: u64) -> Publisher {
        Publisher { socket, token, connection: None, queue: VecDeque::new(), sent: false, stream: 1, due: None }
    }

    /// Sends an event, now or when those before it are gone.
    pub(super) fn publish(&mut self, request: Message, poll: &Poll) {
        if self.socket.is_none() {
            return;
        }
        if self.queue.len() >= MOST {
            log::warn!("containerd has taken no event for long: the oldest of {MOST} is dropped");
            self.queue.remove(usize::from(self.sent));
        }
        self.queue.push_back(request);
        if self.due.is_none() {
            self.send_next(poll);
        }
    }

    /// Whether nothing is left to send.
    pub(super) fn is_done(&self) -> bool {
        self.queue.is_empty()
    }

    /// When [`Publisher::tick`] wants to be called.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Gives up on an answer, or tries again, if that is due.
    pub(super) fn tick(&mut self, poll: &Poll) {
        if self.due.is_some_and(|due| due <= Instant::now()) {
            if self.sent {
                log::warn!("containerd does not take an event within {PATIENCE} s: it is sent again");
                self.connection = None;
            }
            self.send_next(poll);
        }
    }

    /// Goes on with what came over the connection.
    pub(super) fn progress(&mut self, poll: &Poll) {
        let Some(connection) = &mut self.connection else { return };
        let is_open = connection.read() && connection.flush(poll);
        let input = connection.take_input();
        let mut rest = &input[..];
        let mut is_understood = true;
        while is_understood {
            match frame::next(rest) {
                Ok(Some((frame, length))) => {
                    rest = &rest[length..];
                    if let Frame::Response(stream, outcome) = frame
                        && self.sent
                        && stream == self.stream
                    {
                        if let Err(why) = outcome {
                            log::warn!("containerd refuses an event: {why}");
                        }
                        self.queue.pop_front();
                        (self.sent, self.due) = (false, None);
                    }
                }
                Ok(None) => break,
                Err(_) => is_understood = false,
            }
        }
        connection.put_back(rest);
        if !is_open || !is_understood {
            self.connection = None;
            if self.sent {
                (self.sent, self.due) = (false, Some(Instant::now() + PAUSE));
            }
        }
        if self.due.is_none() {
            self.send_next(poll);
        }
    }

    fn send_next(&mut self, poll: &Poll) {
        (self.sent, self.due) = (false, None);
        let Some(request) = self.queue.front() else { return };
        if self.connection.is_none() {
            self.connection = connect(self.socket.as_deref(), self.token, poll);
        }
        // A client's streams are odd.
        self.stream = self.stream.wrapping_add(2) | 1;
        let bytes = frame::ask(self.stream, SERVICE, "Forward", request, PATIENCE);
        self.sent = self.connection.as_mut().is_some_and(|connection| connection.send(&bytes, poll));
        let patience = match self.sent {
            true => Duration::from_secs(PATIENCE.into()),
            false => {
                self.connection = None;
                PAUSE
            }
        };
        self.due = Some(Instant::now() + patience);
    }
}

fn connect(socket: Option<&std::path::Path>, token: u64, poll: &Poll) -> Option<Connection> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let fd = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None).ok()?;
    terminal::connect_to(fd.as_fd(), socket?).ok()?;
    Connection::new(fd, token, poll).ok()
}
