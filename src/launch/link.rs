//! What a child and its parent say to each other: typed messages over a SOCK_SEQPACKET socket pair.
//!
//! ```text
//! child   <────────── Proceed ──── parent     ids are mapped (only with a new user namespace)
//! child   <────────── Proceed ──── parent     the child is in its cgroup, limits hold
//! child   ── MapIds(fd, mount) ──> parent     for each id-mapped bind of what is in the root, in a user namespace
//! child   <────────── Proceed ──── parent     its ids are mapped
//! child   ── Reached(Mounted) ───> parent     only when hooks are to run before pivot_root(2), or
//!                                              network devices to come
//! child   <────────── Proceed ──── parent     they ran, and are there
//! child   <─────── Filter(...) ─── parent     only with a seccomp profile: compiled while the child mounts
//! child   ── Reached(Ready) ─────> parent     only for create: nothing is left but to start the program
//! child   ── Reached(Ready) ─────> starter    only for create: `start` has connected to the container's socket,
//!                                              and is the other side from here on
//! child   <────────── Proceed ──── parent     start it; but for run where it has nothing to do before that
//! child   ── Listener(fd) ───────> parent     only with a seccomp filter that notifies: the number of the listener,
//!                                              or where the parent may not look into the child, itself
//! child   <──────── HandedOver ─── parent     somebody answers there now; a Proceed may have come before it
//! child   ── end of file                      the program was executed: the socket is close-on-exec
//!
//! child   ── Failed(error) ──────> parent     instead of any of its messages, and the last
//! ```
//!
//! The process between, where there is one, sends Failed as well, or nothing: the parent waits for its end.
//!
//! Every wait ends with the other side: the parent holds one end alone, the child the other, and an end of file before its time
//! means that the other side died. The parent asks waitid(2) what of.

use std::fmt;
use std::mem::{ManuallyDrop, MaybeUninit};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};
use rustix::process::Pid;

use super::relay;
use crate::error::{Attempt, Error, Kind, Result};
use crate::seccomp;
use crate::sys::clone::{Clone3, Forked, clone3, exit_now};
use crate::sys::fd::{close_surely, receive_with_fd, send_fd_of_sharer};
use crate::sys::signal::die_with_parent;

/// What a child tells its parent that it has reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Stage {
    /// Everything is mounted; pivot_root(2) is next.
    Mounted,
    /// All is set up but for the program itself.
    Ready,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Stage::Mounted => "its file systems were mounted",
            Stage::Ready => "it was ready to be started",
        })
    }
}

/// One message.
#[derive(Debug)]
pub enum Message {
    /// Go on.
    Proceed,
    /// The child has reached this.
    Reached(Stage),
    /// The number of a descriptor in the child, for pidfd_getfd(2).
    Listener(i32),
    /// That descriptor.
    ListenerItself(OwnedFd),
    /// The number of a descriptor in the child, a mount without a place, and whose ids are to be mapped: those of the mount
    /// with this index.
    MapIds(i32, u32),
    /// The listener is with who answers for it.
    HandedOver,
    /// The seccomp filter to load.
    Filter(seccomp::Program),
    /// What went wrong.
    Failed(Error),
}

/// What it says, as an error names it.
impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Message::Proceed => "leave to go on",
            Message::Reached(Stage::Mounted) => "word that file systems are mounted",
            Message::Reached(Stage::Ready) => "word of being ready",
            Message::Listener(_) | Message::ListenerItself(_) => "a seccomp listener",
            Message::MapIds(..) => "a mount whose ids are to be mapped",
            Message::HandedOver => "word that the seccomp listener is handed over",
            Message::Filter(_) => "a seccomp filter",
            Message::Failed(_) => "a failure",
        })
    }
}

/// No message is longer but a filter: what a failure says is shortened.
const LONGEST: usize = 8192;

impl Message {
    fn encode(&self) -> Vec<u8> {
        match self {
            Message::Proceed => vec![0],
            Message::Reached(stage) => vec![1, *stage as u8],
            Message::Listener(fd) => [&[3][..], &fd.to_ne_bytes()].concat(),
            Message::ListenerItself(fd) => Message::Listener(fd.as_raw_fd()).encode(),
            Message::HandedOver => vec![2],
            Message::MapIds(tree, mount) => [&[6][..], &tree.to_ne_bytes(), &mount.to_ne_bytes()].concat(),
            Message::Filter(program) => program.encode(vec![5]),
            Message::Failed(error) => {
                let errno = error.errno().map_or(0, Errno::raw_os_error);
                let text = crate::error::shortened(error.message());
                [&[4, error.kind() as u8][..], &errno.to_ne_bytes(), text.as_bytes()].concat()
            }
        }
    }

    fn decode(bytes: &[u8]) -> Option<Message> {
        let number = |bytes: &[u8]| Some(i32::from_ne_bytes(bytes.get(..4)?.try_into().ok()?));
        Some(match bytes {
            [0] => Message::Proceed,
            [1, 0] => Message::Reached(Stage::Mounted),
            [1, 1] => Message::Reached(Stage::Ready),
            [3, rest @ ..] => Message::Listener(number(rest)?),
            [2] => Message::HandedOver,
            [6, rest @ ..] => Message::MapIds(number(rest)?, u32::from_ne_bytes(rest.get(4..)?.try_into().ok()?)),
            [5, rest @ ..] => Message::Filter(seccomp::Program::decode(rest)?),
            [4, kind, rest @ ..] => {
                let text = String::from_utf8_lossy(rest.get(4..)?).into_owned();
                let error = Error::new(Kind::from_u8(*kind), text);
                Message::Failed(match number(rest)? {
                    0 => error,
                    errno @ 1..4096 => error.with_errno(Errno::from_raw_os_error(errno)),
                    _ => return None,
                })
            }
            _ => return None,
        })
    }
}

/// One end.
#[derive(Debug)]
pub struct Link {
    fd: OwnedFd,
    put_back: Option<Message>,
}

/// Both ends of a new link.
///
/// # Errors
/// As socketpair(2).
pub fn pair() -> Result<(Link, Link)> {
    let (a, b) = rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
        .attempt(|| "create the socket between parent and child")?;
    Ok((Link::from_fd(a), Link::from_fd(b)))
}

impl Link {
    /// The end that is this connected socket.
    pub fn from_fd(fd: OwnedFd) -> Link {
        Link { fd, put_back: None }
    }

    /// Closes this end of a link whose other end this process keeps.
    pub(super) fn leave(self) {
        close_surely(self.fd);
    }

    /// Sends a message.
    ///
    /// # Errors
    /// `EPIPE` when the other side is gone.
    pub fn send(&self, message: &Message) -> Result<()> {
        let bytes = message.encode();
        let mut sent = rustix::net::send(&self.fd, &bytes, SendFlags::NOSIGNAL);
        if sent == Err(Errno::CONNRESET) {
            // What the other side left unread makes its close a reset, told once.
            sent = rustix::net::send(&self.fd, &bytes, SendFlags::NOSIGNAL);
        }
        sent.attempt(|| format!("send {message} between parent and child")).map(drop)
    }

    /// Tells of the listener of the seccomp filter that is in force, by write(2), the one call that it must not hand to that
    /// listener: before the other side has it, nobody would answer. [`Link::send`] makes another, sendto(2).
    ///
    /// # Errors
    /// As write(2); SIGPIPE, where it is not ignored, when the other side is gone.
    pub fn tell_of_listener(&self, listener: BorrowedFd<'_>) -> Result<()> {
        rustix::io::write(&self.fd, &Message::Listener(listener.as_raw_fd()).encode())
            .attempt(|| "send a seccomp listener between parent and child")
            .map(drop)
    }

    /// Sends the listener itself, where the other side may not take it; for a [`Sender`], which is under no filter.
    fn send_listener_of_sharer(&self, listener: RawFd) -> Result<(), Errno> {
        send_fd_of_sharer(self.fd.as_fd(), &Message::Listener(listener).encode(), listener)
    }

    /// Receives a message; `None` when the other side is gone.
    ///
    /// # Errors
    /// As recv(2).
    pub fn receive(&mut self) -> Result<Option<Message>> {
        if let Some(message) = self.put_back.take() {
            return Ok(Some(message));
        }
        self.receive_into(&mut [MaybeUninit::uninit(); LONGEST])
    }

    /// Receives a message, and a descriptor that comes with it.
    ///
    /// # Errors
    /// As recvmsg(2).
    pub fn receive_with_fd(&mut self) -> Result<Option<Message>> {
        if let Some(message) = self.put_back.take() {
            return Ok(Some(message));
        }
        let mut bytes = [0; LONGEST];
        let (received, fd) = loop {
            match receive_with_fd(self.fd.as_fd(), &mut bytes) {
                Err(Errno::INTR | Errno::CONNRESET) => {}
                received => break received.attempt(|| "receive from the other side of a launch")?,
            }
        };
        if received == 0 {
            return Ok(None);
        }
        match (decoded(&bytes[..received])?, fd) {
            (Message::Listener(_), Some(fd)) => Ok(Some(Message::ListenerItself(fd))),
            (message, _) => Ok(Some(message)),
        }
    }

    fn receive_into(&self, buffer: &mut [MaybeUninit<u8>]) -> Result<Option<Message>> {
        loop {
            match rustix::net::recv(&self.fd, &mut *buffer, RecvFlags::empty()) {
                // What the other side left unread makes its close a reset, told once and before what it said last.
                Err(Errno::INTR | Errno::CONNRESET) => {}
                Err(errno) => return Err(Error::os(errno, "receive from the other side of a launch")),
                Ok((([], _), _)) => return Ok(None),
                Ok(((bytes, _), _)) => return decoded(bytes).map(Some),
            }
        }
    }

    /// Waits for the filter to load.
    ///
    /// # Errors
    /// When the other side is gone.
    pub fn wait_for_filter(&mut self) -> Result<seccomp::Program> {
        // Not freed: the program is executed next, and to give memory back before costs a system call.
        let mut buffer = ManuallyDrop::new(Vec::with_capacity(LONGEST + seccomp::Program::LONGEST));
        match self.receive_into(buffer.spare_capacity_mut())? {
            Some(Message::Filter(program)) => Ok(program),
            Some(other) => Err(Error::new(Kind::Died, format!("{other} came where a seccomp filter was due"))),
            None => Err(Error::new(Kind::Died, "the runtime died while it compiled the seccomp filter")),
        }
    }

    /// Waits for leave to go on.
    ///
    /// # Errors
    /// When the other side is gone.
    pub fn wait(&mut self) -> Result<()> {
        match self.receive()? {
            Some(Message::Proceed) => Ok(()),
            Some(other) => Err(Error::new(Kind::Died, format!("{other} came where leave to go on was due"))),
            None => Err(Error::new(Kind::Died, "the runtime died while it set the container up")),
        }
    }

    /// Waits until the other side has handed a listener over. Leave to go on that comes before is kept for [`Link::wait`]:
    /// the other side may have given it for what comes next, before it knew of a listener.
    ///
    /// # Errors
    /// When the other side is gone.
    pub fn wait_for_hand_over(&mut self) -> Result<()> {
        let mut early = None;
        loop {
            match self.receive()? {
                Some(Message::HandedOver) => break,
                Some(Message::Proceed) if early.is_none() => early = Some(Message::Proceed),
                Some(other) => {
                    return Err(Error::new(
                        Kind::Died,
                        format!("{other} came where a seccomp listener was to be handed over"),
                    ));
                }
                None => {
                    return Err(Error::new(Kind::Died, "the runtime died while it handed the seccomp listener over"));
                }
            }
        }
        self.put_back = early;
        Ok(())
    }

    /// The failure that the other side has reported and nobody has read yet, without waiting for one.
    pub fn failure(&mut self) -> Option<Error> {
        while self.put_back.is_some() || self.has_message() {
            match self.receive() {
                Ok(Some(Message::Failed(error))) => return Some(error),
                Ok(Some(_)) => {}
                _ => return None,
            }
        }
        None
    }

    fn has_message(&self) -> bool {
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        rustix::event::poll(&mut [PollFd::new(&self.fd, PollFlags::IN)], Some(&now)) == Ok(1)
    }

    /// Whether a message is here already, for which nobody need wait.
    pub fn has_early(&self) -> bool {
        self.put_back.is_some()
    }
}

/// A process that sends a seccomp listener for the one that started it, which may be denied that by the filter: it has the
/// same descriptors, is started before the filter is in force, and ends when it has sent it.
#[derive(Debug)]
pub struct Sender {
    pid: Pid,
    tell: OwnedFd,
    _hear: OwnedFd,
}

impl Sender {
    /// Starts it, to send over `link`.
    ///
    /// # Errors
    /// As pipe(2) and clone(2).
    pub fn start(link: &Link) -> Result<Sender> {
        let (hear, tell) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).attempt(|| "create a pipe")?;
        let clone = Clone3 { files: true, ..Clone3::default() };
        let starter = rustix::process::getpid();
        match clone3(&clone).attempt(|| "start the process that sends the seccomp listener")? {
            Forked::Parent(pid, _) => Ok(Sender { pid, tell, _hear: hear }),
            Forked::Child => {
                die_with_parent(starter);
                exit_now(match Sender::work(&hear, link) {
                    Ok(()) => 0,
                    Err(errno) => {
                        // The starter is under the filter: its own failure may wait for whoever is to get the listener.
                        let error = Error::os(errno, "send a seccomp listener between parent and child");
                        let _ = link.send(&Message::Failed(error));
                        1
                    }
                })
            }
        }
    }

    /// Its part: sends what it is told to, if anything.
    fn work(hear: &OwnedFd, link: &Link) -> Result<(), Errno> {
        let mut number = [0; 4];
        let length = loop {
            match rustix::io::read(hear, &mut number) {
                Err(Errno::INTR) => {}
                read => break read?,
            }
        };
        match RawFd::from_ne_bytes(number) {
            listener if length == number.len() && listener >= 0 => link.send_listener_of_sharer(listener),
            _ => Ok(()),
        }
    }

    /// Has it send `listener`, or end, if there is none.
    ///
    /// # Errors
    /// As write(2).
    pub fn send(&self, listener: Option<BorrowedFd<'_>>) -> Result<()> {
        let number = listener.map_or(-1, |listener| listener.as_raw_fd());
        rustix::io::write(&self.tell, &number.to_ne_bytes())
            .attempt(|| "send a seccomp listener between parent and child")
            .map(drop)
    }

    /// Waits for its end: the program that this process executes next knows of no child.
    ///
    /// # Errors
    /// When it has not sent the listener.
    pub fn reap(&self) -> Result<()> {
        match relay::wait(self.pid)? {
            relay::Ending::Exited(0) => Ok(()),
            _ => Err(Error::new(Kind::Died, "the process that sends the seccomp listener has not sent it")),
        }
    }
}

fn decoded(bytes: &[u8]) -> Result<Message> {
    Message::decode(bytes).ok_or_else(|| Error::new(Kind::Died, "a message between parent and child is damaged"))
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_arrives_whole() {
        let (child, mut parent) = pair().unwrap();
        child.send(&Message::Failed(Error::os(Errno::PERM, "mount proc on /proc"))).unwrap();
        let Some(Message::Failed(error)) = parent.receive().unwrap() else { panic!("no failure came") };
        assert_eq!(error.to_string(), "mount proc on /proc: Operation not permitted");
        assert_eq!(error.errno(), Some(Errno::PERM));
        drop(child);
        assert!(parent.receive().unwrap().is_none());
    }

    #[test]
    fn a_failure_arrives_whatever_its_sender_left_unread() {
        let (child, mut parent) = pair().unwrap();
        parent.send(&Message::Proceed).unwrap();
        child.send(&Message::Failed(Error::os(Errno::PERM, "mount proc on /proc"))).unwrap();
        drop(child);
        assert_eq!(parent.send(&Message::Proceed).unwrap_err().errno(), Some(Errno::PIPE));
        assert!(matches!(parent.receive().unwrap(), Some(Message::Failed(_))));
    }

    #[test]
    fn a_filter_arrives_as_it_was_compiled() {
        let mut profile = seccomp::Profile::new(seccomp::Action::Errno(1));
        let syscalls = seccomp::Syscall::all().step_by(2).collect();
        profile.rules.push(seccomp::Rule { syscalls, action: seccomp::Action::Allow, conditions: vec![] });
        let program = seccomp::compile(&profile).unwrap();
        let (mut child, parent) = pair().unwrap();
        parent.send(&Message::Filter(program.clone())).unwrap();
        assert_eq!(child.wait_for_filter().unwrap(), program);
    }

    #[test]
    fn a_message_of_any_bytes_is_refused_or_understood() {
        for first in 0..=u8::MAX {
            for length in 0..8 {
                let _ = Message::decode(&[&[first][..], &vec![0xff; length]].concat());
            }
        }
    }
}
