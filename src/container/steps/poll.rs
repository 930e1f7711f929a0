//! Waiting for descriptors with a deadline: the one way in which a step waits, so that every wait has an end.

use std::time::Instant;

use rustix::event::PollFd;

use crate::error::{Attempt, Result};
use crate::sys;

/// Waits until one of `fds` is ready; false when `deadline` has come first.
///
/// # Errors
/// As poll(2).
pub fn poll_until(fds: &mut [PollFd<'_>], deadline: Option<Instant>) -> Result<bool> {
    sys::fd::poll_until(fds, deadline).attempt(|| "wait for a process")
}
