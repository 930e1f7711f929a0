//! Copying from one descriptor to another, as far as neither has to be waited for: by splice(2) where one is a pipe, else by
//! read and write.

use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::pipe::{SpliceFlags, splice};

use super::poll::Poll;

/// The most that is moved at a time, so that others have their turn.
const MOST: usize = 64 << 10;

/// One direction of a stream.
#[derive(Debug)]
pub(super) struct Relay {
    /// Its number in the loop: for what it reads; the next one is for what it writes.
    pub token: u64,
    from: OwnedFd,
    to: OwnedFd,
    splices: bool,
    /// What was read and not taken yet.
    pending: Vec<u8>,
    waits_to_write: bool,
}

/// How far a relay has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// It goes on.
    Open,
    /// There will be no more, or nobody to take it.
    Ended,
}

impl Relay {
    /// Adds one to the loop.
    ///
    /// # Errors
    /// As epoll_ctl(2).
    pub(super) fn new(token: u64, from: OwnedFd, to: OwnedFd, splices: bool, poll: &Poll) -> Result<Relay, Errno> {
        poll.add(&from, token, true, false)?;
        Ok(Relay { token, from, to, splices, pending: Vec::new(), waits_to_write: false })
    }

    /// Copies what can be copied now.
    pub(super) fn copy(&mut self, poll: &Poll) -> Progress {
        let (progress, is_blocked) = if self.splices { self.splice() } else { self.read_and_write() };
        if progress == Progress::Open && is_blocked != self.waits_to_write {
            self.wait(is_blocked, poll);
        }
        if progress == Progress::Ended {
            self.stop(poll);
        }
        progress
    }

    /// Leaves the loop: the terminal that it reads may be open elsewhere.
    pub(super) fn stop(&mut self, poll: &Poll) {
        poll.remove(&self.from);
        poll.remove(&self.to);
    }

    /// Whether nothing that was written to it is left behind.
    pub(super) fn is_drained(&self) -> bool {
        self.pending.is_empty() && rustix::io::ioctl_fionread(&self.from).unwrap_or(0) == 0
    }

    fn wait(&mut self, to_write: bool, poll: &Poll) {
        self.waits_to_write = to_write;
        if to_write {
            // A file that cannot be waited for is never full: it has failed, and says so when it is written next.
            let _ = poll.add(&self.to, self.token + 1, false, true);
            poll.remove(&self.from);
        } else {
            poll.remove(&self.to);
            let _ = poll.add(&self.from, self.token, true, false);
        }
    }

    fn splice(&mut self) -> (Progress, bool) {
        let flags = SpliceFlags::NONBLOCK | SpliceFlags::MOVE;
        match splice(&self.from, None, &self.to, None, MOST, flags) {
            Ok(0) => (Progress::Ended, false),
            Ok(_) | Err(Errno::INTR) => (Progress::Open, false),
            // There is something to read, or nothing any more.
            Err(Errno::AGAIN) => (Progress::Open, !self.is_drained()),
            Err(_) => (Progress::Ended, false),
        }
    }

    fn read_and_write(&mut self) -> (Progress, bool) {
        let mut buffer = [0; 8192];
        let mut copied = 0;
        loop {
            if !self.write() {
                return (Progress::Ended, false);
            }
            if !self.pending.is_empty() {
                return (Progress::Open, true);
            }
            if copied >= MOST {
                return (Progress::Open, false);
            }
            match rustix::io::read(&self.from, &mut buffer[..]) {
                // Of a terminal whose inner end nobody has any more: EIO.
                Ok(0) | Err(Errno::IO) => return (Progress::Ended, false),
                Ok(length) => {
                    copied += length;
                    self.pending.extend_from_slice(&buffer[..length]);
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return (Progress::Open, false),
                Err(_) => return (Progress::Ended, false),
            }
        }
    }

    /// Writes what is pending. False when nobody will take it.
    fn write(&mut self) -> bool {
        let mut written = 0;
        let is_open = loop {
            if written == self.pending.len() {
                break true;
            }
            match rustix::io::write(&self.to, &self.pending[written..]) {
                Ok(length) => written += length,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break true,
                Err(_) => break false,
            }
        };
        if written == self.pending.len() {
            self.pending = Vec::new();
        } else {
            self.pending.drain(..written);
        }
        is_open
    }
}
