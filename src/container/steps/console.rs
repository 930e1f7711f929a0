//! Where the terminal of a process goes: to a console socket, or to the runtime that stays with the process.

use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::net::{AddressFamily, SocketFlags, SocketType};

use crate::error::{Attempt, Error, Result};
use crate::launch::terminal;

/// The socket over which the child sends the outer end of its terminal.
#[derive(Debug)]
pub struct Console {
    /// The child's side.
    pub inner: OwnedFd,
    /// Where it comes out, when it is this runtime's to show.
    pub outer: Option<OwnedFd>,
}

impl Console {
    /// Opens what a process needs whose terminal is `wanted`: `socket` is the engine's; `attached` is a runtime that stays.
    ///
    /// # Errors
    /// When a socket is given to who needs none, or missing where nobody stays; as connect(2).
    pub fn open(socket: Option<&Path>, wanted: bool, attached: bool) -> Result<Option<Console>> {
        match socket {
            Some(_) if attached || !wanted => {
                Err(Error::invalid("cannot use console socket if runc will not detach or allocate tty"))
            }
            Some(socket) => {
                let inner = terminal::connect(socket).attempt(|| "console socket")?;
                Ok(Some(Console { inner, outer: None }))
            }
            None if wanted && !attached => {
                Err(Error::invalid("cannot allocate tty if runc will detach without setting console socket"))
            }
            None if wanted => {
                let (outer, inner) =
                    rustix::net::socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
                        .attempt(|| "create a socket for the terminal")?;
                Ok(Some(Console { inner, outer: Some(outer) }))
            }
            None => Ok(None),
        }
    }
}
