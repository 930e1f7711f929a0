//! Terminals of launched processes: a pair made inside the container, its outer end handed over a socket, and for
//! attached commands a relay between it and the caller's own terminal.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::event::{PollFd, PollFlags};
use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use rustix::pty::OpenptFlags;
use rustix::termios::{OptionalActions, OutputModes, Termios, Winsize};

use crate::error::{Attempt, Error, Result};
use crate::mount::path;

/// `DEVPTS_SUPER_MAGIC` of linux/magic.h.
const DEVPTS: u32 = 0x1cd1;

/// Both ends of a new terminal.
#[derive(Debug)]
pub struct Terminal {
    /// The end for who shows it.
    pub outer: OwnedFd,
    /// The end for the program.
    pub inner: OwnedFd,
    /// The inner end's name in its devpts: `/dev/pts/0`.
    pub name: String,
}

/// A new terminal of the devpts at `/dev/pts` below `root`, and truly of a devpts; Linux 4.13 (`TIOCGPTPEER`).
///
/// # Errors
/// When there is no devpts, or it is full.
pub fn open(root: BorrowedFd<'_>, size: Option<Winsize>) -> Result<Terminal> {
    let outer = path::open(root, Path::new("/dev/pts/ptmx"), OFlags::RDWR | OFlags::NOCTTY)
        .attempt(|| "open /dev/pts/ptmx of the container")?;
    let found = rustix::fs::fstatfs(&outer).attempt(|| "look at /dev/pts/ptmx")?.f_type;
    if found as u32 != DEVPTS {
        return Err(Error::invalid("/dev/pts/ptmx of the container does not belong to a devpts file system"));
    }
    rustix::pty::unlockpt(&outer).attempt(|| "unlock the terminal")?;
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let inner = rustix::pty::ioctl_tiocgptpeer(&outer, flags).attempt(|| "open the inner end of the terminal")?;
    if let Some(size) = size {
        rustix::termios::tcsetwinsize(&outer, size).attempt(|| "set the size of the terminal")?;
    }
    let name = rustix::pty::ptsname(&outer, Vec::new()).attempt(|| "name the terminal")?;
    Ok(Terminal { outer, inner, name: name.to_string_lossy().into_owned() })
}

/// Connects to a unix stream socket, however long its path.
///
/// # Errors
/// As connect(2).
pub fn connect(socket: &Path) -> Result<OwnedFd> {
    let fd = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
        .attempt(|| "create a socket")?;
    connect_to(fd.as_fd(), socket).attempt(|| format!("connect to {}", socket.display()))?;
    Ok(fd)
}

/// Connects `fd` to the unix socket at `path`: by way of its folder's descriptor when the path is too long for an
/// address.
///
/// # Errors
/// As connect(2).
pub fn connect_to(fd: BorrowedFd<'_>, path: &Path) -> Result<(), Errno> {
    with_address(path, |address| rustix::net::connect(fd, address))
}

/// Binds `fd` to a unix socket at `path`, however long that is.
///
/// # Errors
/// As bind(2).
pub fn bind_to(fd: BorrowedFd<'_>, path: &Path) -> Result<(), Errno> {
    with_address(path, |address| rustix::net::bind(fd, address))
}

fn with_address(path: &Path, run: impl Fn(&SocketAddrUnix) -> Result<(), Errno>) -> Result<(), Errno> {
    match SocketAddrUnix::new(path) {
        Ok(address) => run(&address),
        Err(_) => {
            let folder = path.parent().ok_or(Errno::INVAL)?;
            let name = path.file_name().ok_or(Errno::INVAL)?;
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let folder = rustix::fs::open(folder, flags, rustix::fs::Mode::empty())?;
            let number = std::os::fd::AsRawFd::as_raw_fd(&folder);
            run(&SocketAddrUnix::new(Path::new("/proc/self/fd").join(number.to_string()).join(name))?)
        }
    }
}

/// The caller's terminal in raw mode; as it was again when dropped.
#[derive(Debug)]
pub struct Raw {
    before: Termios,
}

impl Raw {
    /// Puts standard input into raw mode, if it is a terminal.
    ///
    /// # Errors
    /// As tcsetattr(3).
    pub fn enter() -> Result<Option<Raw>> {
        let stdin = rustix::stdio::stdin();
        let Ok(before) = rustix::termios::tcgetattr(stdin) else { return Ok(None) };
        let mut raw = before.clone();
        raw.make_raw();
        rustix::termios::tcsetattr(stdin, OptionalActions::Now, &raw).attempt(|| "put the terminal into raw mode")?;
        Ok(Some(Raw { before }))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        let _ = rustix::termios::tcsetattr(rustix::stdio::stdin(), OptionalActions::Now, &self.before);
    }
}

/// Makes a terminal fit for what it is shown on: it gets the size of the caller's terminal, or, where standard output is
/// none, leaves line ends as they are written, for a file or a pipe.
pub fn fit(outer: BorrowedFd<'_>) {
    copy_size(outer);
    if rustix::termios::isatty(rustix::stdio::stdout()) {
        return;
    }
    if let Ok(mut modes) = rustix::termios::tcgetattr(outer) {
        modes.output_modes.remove(OutputModes::ONLCR);
        let _ = rustix::termios::tcsetattr(outer, OptionalActions::Now, &modes);
    }
}

/// Gives a terminal the size of the caller's, if that is one.
fn copy_size(outer: BorrowedFd<'_>) {
    if let Ok(size) = rustix::termios::tcgetwinsize(rustix::stdio::stdin()) {
        let _ = rustix::termios::tcsetwinsize(outer, size);
    }
}

/// Copies between the caller's standard streams and the outer end of a terminal.
#[derive(Debug)]
pub struct Relay {
    outer: OwnedFd,
    reads_input: bool,
    open: bool,
    /// What was read from standard input and not yet taken by the terminal.
    pending: Vec<u8>,
    _raw: Option<Raw>,
}

impl Relay {
    /// Starts to relay: the caller's terminal becomes raw, the outer end non-blocking.
    ///
    /// # Errors
    /// As fcntl(2) and tcsetattr(3).
    pub fn start(outer: OwnedFd) -> Result<Relay> {
        rustix::io::ioctl_fionbio(&outer, true).attempt(|| "make the terminal non-blocking")?;
        let relay = Relay { outer, reads_input: true, open: true, pending: Vec::new(), _raw: Raw::enter()? };
        relay.resize();
        Ok(relay)
    }

    /// Gives the terminal the size of the caller's.
    pub fn resize(&self) {
        copy_size(self.outer.as_fd());
    }

    /// Whether standard input is among, and the last of, what to wait for.
    pub fn awaits_input(&self) -> bool {
        self.reads_input && self.pending.is_empty()
    }

    /// What to wait for.
    pub fn poll_fds(&self) -> Vec<PollFd<'_>> {
        let mut fds = Vec::with_capacity(2);
        if self.open {
            let mut events = PollFlags::IN;
            events.set(PollFlags::OUT, !self.pending.is_empty());
            fds.push(PollFd::new(&self.outer, events));
        }
        if self.awaits_input() {
            fds.push(PollFd::from_borrowed_fd(rustix::stdio::stdin(), PollFlags::IN));
        }
        fds
    }

    /// Copies whatever can be copied without waiting. `input`: standard input has something.
    ///
    /// # Errors
    /// When standard output cannot be written.
    pub fn copy(&mut self, input: bool) -> Result<()> {
        let mut buffer = [0; 8192];
        if input && self.awaits_input() {
            match rustix::io::read(rustix::stdio::stdin(), &mut buffer) {
                Ok(0) | Err(Errno::IO | Errno::BADF) => {
                    self.reads_input = false;
                    // What a terminal's user would type for "no more".
                    self.pending.push(4);
                }
                Ok(length) => self.pending.extend_from_slice(&buffer[..length]),
                Err(_) => {}
            }
        }
        if !self.pending.is_empty()
            && let Ok(length) = rustix::io::write(&self.outer, &self.pending)
        {
            self.pending.drain(..length);
        }
        self.copy_output()
    }

    /// Copies what the terminal has to say, to the last byte that is there.
    ///
    /// # Errors
    /// When standard output cannot be written.
    pub fn copy_output(&mut self) -> Result<()> {
        let mut buffer = [0; 8192];
        while self.open {
            match rustix::io::read(&self.outer, &mut buffer) {
                Ok(0) | Err(Errno::IO) => self.open = false, // nobody has the inner end any more
                Ok(length) => write_all(rustix::stdio::stdout(), &buffer[..length])?,
                Err(Errno::INTR) => {}
                Err(_) => break,
            }
        }
        Ok(())
    }
}

fn write_all(to: BorrowedFd<'_>, mut bytes: &[u8]) -> Result<()> {
    while !bytes.is_empty() {
        match rustix::io::write(to, bytes) {
            Ok(length) => bytes = &bytes[length..],
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                let _ = rustix::event::poll(&mut [PollFd::from_borrowed_fd(to, PollFlags::OUT)], None);
            }
            Err(errno) => return Err(Error::os(errno, "write what the terminal shows to standard output")),
        }
    }
    Ok(())
}
