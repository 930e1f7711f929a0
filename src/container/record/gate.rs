//! The gate of a created container: the socket in its folder on which its first process waits for `start`.

use std::os::fd::{AsFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType};

use super::folder::Folder;
use crate::error::{Attempt, Error, Result};
use crate::launch::link::Link;
use crate::launch::terminal;

/// The socket on which the first process will wait for `start`. Nobody can connect until that process listens.
///
/// # Errors
/// As socket(2) and bind(2).
pub fn make(folder: &Folder) -> Result<OwnedFd> {
    let path = folder.gate();
    let gate = rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
        .attempt(|| "create a socket")?;
    terminal::bind_to(gate.as_fd(), &path).attempt(|| format!("create {}", path.display()))?;
    Ok(gate)
}

/// Connects to the first process of a created container; `None` when it does not wait to be started (any more).
///
/// # Errors
/// As connect(2).
pub fn connect(folder: &Folder) -> Result<Option<Link>> {
    let path = folder.gate();
    if !path.exists() {
        return Ok(None);
    }
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
        .attempt(|| "create a socket")?;
    match terminal::connect_to(socket.as_fd(), &path) {
        Ok(()) => Ok(Some(Link::from_fd(socket))),
        Err(Errno::CONNREFUSED | Errno::NOENT) => Ok(None),
        Err(errno) => Err(Error::os(errno, format!("connect to {}", path.display()))),
    }
}
