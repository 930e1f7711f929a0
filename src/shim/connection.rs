//! A stream socket of somebody who may be slow: what came and is not whole, what is to go and did not fit.

use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};

use super::poll::Poll;

/// Who does not read answers is not heard any further with this much to go.
const MOST_UNREAD: usize = 1 << 20;

/// A connection.
#[derive(Debug)]
pub(super) struct Connection {
    /// Its number in the loop.
    pub token: u64,
    fd: OwnedFd,
    input: Vec<u8>,
    output: Vec<u8>,
    waits_to_write: bool,
}

impl Connection {
    /// Adds a connected socket that does not block to the loop.
    ///
    /// # Errors
    /// As epoll_ctl(2).
    pub(super) fn new(fd: OwnedFd, token: u64, poll: &Poll) -> Result<Connection, Errno> {
        poll.add(&fd, token, true, false)?;
        Ok(Connection { token, fd, input: Vec::new(), output: Vec::new(), waits_to_write: false })
    }

    /// Reads what is there. False at the end.
    pub(super) fn read(&mut self) -> bool {
        let mut buffer = [0; 8192];
        loop {
            match rustix::net::recv(&self.fd, &mut buffer[..], RecvFlags::empty()) {
                Ok((0, _)) => return false,
                Ok((length, _)) => {
                    self.input.extend_from_slice(&buffer[..length]);
                    if length < buffer.len() || self.output.len() > MOST_UNREAD {
                        return true;
                    }
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return true,
                Err(_) => return false,
            }
        }
    }

    /// What came, taken from the connection; what of it is not whole is [put back](Connection::put_back).
    pub(super) fn take_input(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.input)
    }

    /// Keeps the beginning of a frame whose rest is to come.
    pub(super) fn put_back(&mut self, input: &[u8]) {
        self.input = input.to_vec();
    }

    /// Sends `bytes`, now or when the other side has read what is before them. False when it is gone.
    pub(super) fn send(&mut self, bytes: &[u8], poll: &Poll) -> bool {
        self.output.extend_from_slice(bytes);
        self.flush(poll)
    }

    /// Sends what can be sent now. False when the other side is gone.
    pub(super) fn flush(&mut self, poll: &Poll) -> bool {
        let mut sent = 0;
        let is_there = loop {
            if sent == self.output.len() {
                break true;
            }
            match rustix::net::send(&self.fd, &self.output[sent..], SendFlags::NOSIGNAL) {
                Ok(length) => sent += length,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break true,
                Err(_) => break false,
            }
        };
        if sent == self.output.len() {
            self.output = Vec::new();
        } else {
            self.output.drain(..sent);
        }
        let waits = !self.output.is_empty();
        if waits != self.waits_to_write {
            self.waits_to_write = waits;
            poll.change(&self.fd, self.token, self.output.len() <= MOST_UNREAD, waits);
        }
        is_there
    }

    /// Whether all that was sent is gone.
    pub(super) fn is_flushed(&self) -> bool {
        self.output.is_empty()
    }
}
