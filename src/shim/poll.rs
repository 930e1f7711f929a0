//! What the loop waits for: epoll(7), each source with a number of its own.

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;

use crate::error::{Attempt, Result};

/// A source that is ready.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ready {
    /// What it was added by.
    pub token: u64,
    /// It can be written.
    pub writable: bool,
    /// It can be read, is at its end, or has failed.
    pub readable: bool,
}

/// All sources.
#[derive(Debug)]
pub(super) struct Poll(OwnedFd);

impl Poll {
    /// Without sources.
    ///
    /// # Errors
    /// As epoll_create1(2).
    pub(super) fn new() -> Result<Poll> {
        epoll::create(CreateFlags::CLOEXEC).attempt(|| "create an epoll").map(Poll)
    }

    /// Waits for `fd` from now on: for input, unless it is to be written only.
    ///
    /// # Errors
    /// `EPERM` for what is always ready, a regular file.
    pub(super) fn add(&self, fd: impl AsFd, token: u64, read: bool, write: bool) -> Result<(), Errno> {
        epoll::add(&self.0, fd, EventData::new_u64(token), flags(read, write))
    }

    /// Waits for something else of `fd` from now on.
    pub(super) fn change(&self, fd: impl AsFd, token: u64, read: bool, write: bool) {
        let _ = epoll::modify(&self.0, fd, EventData::new_u64(token), flags(read, write));
    }

    /// Waits for `fd` no longer. To close it is enough where nobody else has the same open file.
    pub(super) fn remove(&self, fd: impl AsFd) {
        let _ = epoll::delete(&self.0, fd);
    }

    /// Waits until something is ready, or `timeout` has passed.
    ///
    /// # Errors
    /// As epoll_wait(2).
    pub(super) fn wait(&self, timeout: Option<Duration>) -> Result<Vec<Ready>> {
        let mut buffer = [const { MaybeUninit::<Event>::uninit() }; 16];
        let timeout =
            timeout.map(|left| Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() });
        let (events, _) = match epoll::wait(&self.0, &mut buffer, timeout.as_ref()) {
            Err(Errno::INTR) => return Ok(Vec::new()),
            other => other.attempt(|| "wait for events")?,
        };
        let ready = |event: &Event| {
            let flags = { event.flags };
            Ready {
                token: event.data.u64(),
                writable: flags.intersects(EventFlags::OUT | EventFlags::ERR | EventFlags::HUP),
                readable: flags.intersects(EventFlags::IN | EventFlags::ERR | EventFlags::HUP | EventFlags::RDHUP),
            }
        };
        Ok(events.iter().map(ready).collect())
    }
}

fn flags(read: bool, write: bool) -> EventFlags {
    let mut flags = EventFlags::empty();
    flags.set(EventFlags::IN, read);
    flags.set(EventFlags::OUT, write);
    flags
}
