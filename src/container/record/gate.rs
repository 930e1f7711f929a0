//! The gate of a created container: the socket in its folder on which its first process waits for `start`.

use std::os::fd::{AsFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType};

use super::folder::Folder;
use crate::error::{Attempt, Error, Result};
use crate::launch::link::Link;
use crate::launch::terminal;

/// A gate as those find it who come to start the container.
#[derive(Debug)]
pub(crate) enum Gate {
    /// The first process does not wait to be started: not yet, or not any more.
    Closed,
    /// It does, and this is the connection to it.
    Open(Link),
    /// It does, and answers nobody: as many as there is room for wait already.
    Crowded,
}

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

/// Connects to the gate of the container in `folder`.
///
/// # Errors
/// As socket(2) and connect(2).
pub(crate) fn connect(folder: &Folder) -> Result<Gate> {
    let path = folder.gate();
    match rustix::fs::lstat(&path) {
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(Gate::Closed),
        looked => looked.attempt(|| format!("look at {}", path.display()))?,
    };
    // A first process that is stopped accepts nobody: do not wait for it where it has no room for one more.
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)
        .attempt(|| "create a socket")?;
    match terminal::connect_to(socket.as_fd(), &path) {
        Ok(()) => {}
        Err(Errno::CONNREFUSED | Errno::NOENT) => return Ok(Gate::Closed),
        Err(Errno::AGAIN) => return Ok(Gate::Crowded),
        Err(errno) => return Err(Error::os(errno, format!("connect to {}", path.display()))),
    }
    rustix::io::ioctl_fionbio(&socket, false).attempt(|| "make a socket blocking")?;
    Ok(Gate::Open(Link::from_fd(socket)))
}
