//! A connection over which one call after the other is made: to a bus, or to systemd itself.
//!
//! ```text
//! we   ── NUL, AUTH EXTERNAL, DATA, BEGIN ─> who we are is what the kernel says of the socket's other end
//! we   <────────────────── DATA, OK ────
//! we   ── Hello ───────────────────────> only to a bus: it names us
//! we   ── call ────────────────────────>
//! we   <─────────────────── signal ──── kept, if it is one that was waited for or may be yet
//! we   <────────── answer or refusal ───
//! ```
//!
//! See the D-Bus specification, "Authentication Protocol" and "Message Bus Messages". EXTERNAL without a name, so that it
//! works from a user namespace too, where this process does not know by which number the bus knows its user.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

use super::address::Endpoint;
use super::message::{self, Call, Kind, Message};
use super::wire::Damaged;
use crate::error::{Attempt, Error, Kind as ErrorKind, Result};
use crate::sys::fd::poll_until;

/// How long an answer, or the end of a job, may take. As long as runc waits.
const PATIENCE: Duration = Duration::from_secs(30);
/// How many signals are kept while an answer is waited for, and how many bytes one may have: anybody on a bus can send us
/// some, and one that tells of a job has some hundred.
const MOST_SIGNALS: usize = 4096;
const LONGEST_SIGNAL: usize = 4096;
/// The longest line of the authentication.
const LONGEST_LINE: usize = 4096;

/// Waits until a descriptor can be read, or is at its end; false when the deadline has come first. Callers who are to
/// hear of signals meanwhile bring their own.
pub type Wait<'a> = dyn Fn(BorrowedFd<'_>, Instant) -> Result<bool> + 'a;

/// [`Wait`] for those who wait for nothing else.
///
/// # Errors
/// As poll(2).
pub fn wait_alone(fd: BorrowedFd<'_>, deadline: Instant) -> Result<bool> {
    poll_until(&mut [PollFd::new(&fd, PollFlags::IN)], Some(deadline)).attempt(|| "wait for systemd")
}

/// Why a call was refused.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// The error's name: `org.freedesktop.systemd1.UnitExists`.
    pub name: String,
    /// What it says.
    pub text: String,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = self.text.trim_end_matches('.');
        if text.is_empty() { f.write_str(&self.name) } else { write!(f, "{text} ({})", self.name) }
    }
}

/// A connection.
#[derive(Debug)]
pub struct Bus {
    socket: OwnedFd,
    /// Where it leads to, for errors.
    endpoint: Endpoint,
    serial: u32,
    /// What has come and was not taken apart yet.
    inbox: Vec<u8>,
    signals: VecDeque<Message>,
}

impl Bus {
    /// Connects, and says who this is.
    ///
    /// # Errors
    /// What was attempted, and why it failed.
    pub fn connect(endpoint: &Endpoint, wait: &Wait<'_>) -> Result<Bus> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)
            .attempt(|| "create a socket")?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            match endpoint.address().and_then(|address| rustix::net::connect(&socket, &address)) {
                Ok(()) => break,
                Err(Errno::INTR) => {}
                // So many want to connect that there is no more room in the queue.
                Err(Errno::AGAIN) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(10)),
                Err(errno) => return Err(Error::os(errno, format!("connect to {endpoint}"))),
            }
        }
        let mut bus =
            Bus { socket, endpoint: endpoint.clone(), serial: 0, inbox: Vec::new(), signals: VecDeque::new() };
        bus.authenticate(deadline, wait).map_err(|error| error.context(format!("connect to {endpoint}")))?;
        if !endpoint.is_direct {
            bus.daemon("Hello", &[], wait)?;
        }
        Ok(bus)
    }

    /// Whether the other end numbers processes as this one does, and not in a pid namespace outside of this one's.
    ///
    /// # Errors
    /// As getsockopt(2).
    pub fn shares_pids(&self) -> Result<bool> {
        let peer = nix::sys::socket::getsockopt(&self.socket, nix::sys::socket::sockopt::PeerCredentials);
        // Who has no number here is given as 0.
        Ok(peer.attempt(|| format!("ask who is behind {}", self.endpoint))?.pid() != 0)
    }

    /// Whether systemd itself is at the other end.
    pub fn is_direct(&self) -> bool {
        self.endpoint.is_direct
    }

    fn authenticate(&mut self, deadline: Instant, wait: &Wait<'_>) -> Result<()> {
        // All at once, and nothing behind it before the answer: what systemd reads together with BEGIN it leaves lying.
        self.send(b"\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n", deadline)?;
        let mut line = self.line(deadline, wait)?;
        if line == "DATA" {
            line = self.line(deadline, wait)?;
        }
        if !line.starts_with("OK") {
            let message = format!("it does not let this user in: it answered {line:?}");
            return Err(Error::new(ErrorKind::Unsupported, message));
        }
        Ok(())
    }

    /// The next line of the authentication.
    fn line(&mut self, deadline: Instant, wait: &Wait<'_>) -> Result<String> {
        loop {
            if let Some(end) = self.inbox.windows(2).position(|pair| pair == b"\r\n") {
                let line = String::from_utf8_lossy(&self.inbox[..end]).into_owned();
                self.inbox.drain(..end + 2);
                return Ok(line);
            }
            if self.inbox.len() > LONGEST_LINE {
                return Err(Error::new(ErrorKind::Unsupported, "what is there does not speak D-Bus"));
            }
            self.receive(deadline, wait)?;
        }
    }

    fn send(&self, mut bytes: &[u8], deadline: Instant) -> Result<()> {
        while !bytes.is_empty() {
            match rustix::net::send(&self.socket, bytes, SendFlags::NOSIGNAL) {
                Ok(sent) => bytes = &bytes[sent..],
                Err(Errno::INTR) => {}
                // The other side has not read what came before for long.
                Err(Errno::AGAIN) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(1)),
                Err(errno) => return Err(Error::os(errno, "send")),
            }
        }
        Ok(())
    }

    /// Reads what is there into the inbox, when there is something.
    fn receive(&mut self, deadline: Instant, wait: &Wait<'_>) -> Result<()> {
        let late = || Error::os(Errno::TIMEDOUT, format!("no answer within {} s", PATIENCE.as_secs()));
        // Somebody who never stops talking would keep us for ever.
        if Instant::now() >= deadline {
            return Err(late());
        }
        self.inbox.reserve(4096);
        loop {
            match rustix::net::recv(&self.socket, spare_capacity(&mut self.inbox), RecvFlags::empty()) {
                Ok((0, _)) => return Err(Error::new(ErrorKind::Died, "it has closed the connection")),
                Ok(_) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    if !wait(self.socket.as_fd(), deadline)? {
                        return Err(late());
                    }
                }
                Err(errno) => return Err(Error::os(errno, "receive")),
            }
        }
    }

    /// The next message.
    fn next(&mut self, deadline: Instant, wait: &Wait<'_>) -> Result<Message> {
        let damaged = |damage: Damaged| Error::new(ErrorKind::Died, format!("a message is damaged: {damage}"));
        loop {
            if let Some(prefix) = self.inbox.first_chunk() {
                let length = message::length(prefix).map_err(damaged)?;
                if self.inbox.len() >= length {
                    let message = Message::decode(&self.inbox[..length]).map_err(damaged);
                    self.inbox.drain(..length);
                    match message? {
                        Some(message) => return Ok(message),
                        None => continue,
                    }
                }
            }
            self.receive(deadline, wait)?;
        }
    }

    /// Makes a call, and waits for its answer.
    ///
    /// # Errors
    /// The connection failed. That the call was refused is an answer.
    pub fn call(&mut self, call: &Call<'_>, wait: &Wait<'_>) -> Result<std::result::Result<Message, Refusal>> {
        let deadline = Instant::now() + PATIENCE;
        let attempted = || format!("ask {} for {}", self.endpoint, call.member);
        self.serial += 1;
        let serial = self.serial;
        self.send(&call.encode(serial), deadline).attempt(attempted)?;
        loop {
            let message = self
                .next(deadline, wait)
                .map_err(|error| error.context(format!("ask {} for {}", self.endpoint, call.member)))?;
            match message.kind {
                Kind::Return if message.reply_to == serial => return Ok(Ok(message)),
                Kind::Error if message.reply_to == serial => {
                    return Ok(Err(Refusal { text: message.text(), name: message.error_name }));
                }
                Kind::Signal if message.length <= LONGEST_SIGNAL && self.signals.len() < MOST_SIGNALS => {
                    self.signals.push_back(message);
                }
                _ => {}
            }
        }
    }

    /// A call of the bus itself.
    pub fn daemon(&mut self, member: &str, arguments: &[super::wire::Value], wait: &Wait<'_>) -> Result<()> {
        let call = Call {
            destination: Some("org.freedesktop.DBus"),
            path: "/org/freedesktop/DBus",
            interface: "org.freedesktop.DBus",
            member,
            arguments,
        };
        self.call(&call, wait)?
            .map(drop)
            .map_err(|refusal| Error::new(ErrorKind::Os, format!("ask {} for {member}: {refusal}", self.endpoint)))
    }

    /// Forgets what was told until now.
    pub fn forget_signals(&mut self) {
        self.signals.clear();
    }

    /// The next signal: one that came while an answer was waited for, or one to come.
    ///
    /// # Errors
    /// The connection failed, or there was none for long.
    pub fn signal(&mut self, deadline: Instant, wait: &Wait<'_>) -> Result<Message> {
        if let Some(signal) = self.signals.pop_front() {
            return Ok(signal);
        }
        loop {
            let message = self.next(deadline, wait)?;
            if message.kind == Kind::Signal {
                return Ok(message);
            }
        }
    }

    /// When to give up what begins now.
    pub fn deadline() -> Instant {
        Instant::now() + PATIENCE
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixListener;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::thread::JoinHandle;

    use super::super::address::endpoints;
    use super::*;

    /// Somebody who answers each line or message with the next of `answers`.
    fn other_side(answers: &'static [&'static [u8]]) -> (Endpoint, JoinHandle<Vec<u8>>) {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("nskit-test-bus-{}-{number}", std::process::id()));
        std::fs::create_dir(&dir).unwrap();
        let path = dir.join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        let address = format!("unix:path={}", path.display());
        let endpoint = endpoints(false, |_| Some(address.clone().into())).unwrap().remove(0);
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            std::fs::remove_dir_all(dir).unwrap();
            let mut heard = Vec::new();
            for answer in answers {
                let mut buffer = [0; 1024];
                let length = stream.read(&mut buffer).unwrap();
                heard.extend(&buffer[..length]);
                stream.write_all(answer).unwrap();
            }
            heard
        });
        (endpoint, server)
    }

    fn fails(answers: &'static [&'static [u8]]) -> String {
        let (endpoint, server) = other_side(answers);
        let error = Bus::connect(&endpoint, &wait_alone).unwrap_err();
        let _ = server.join();
        error.to_string()
    }

    #[test]
    fn whoever_does_not_speak_the_protocol_is_refused() {
        assert!(fails(&[b"REJECTED EXTERNAL\r\n"]).contains("REJECTED EXTERNAL"));
        assert!(fails(&[b""]).contains("closed the connection"));
        assert!(fails(&[&[b'x'; 8192]]).contains("does not speak D-Bus"));
        assert!(fails(&[b"DATA\r\nOK 1\r\n", b"not a message, is it?"]).contains("damaged"));
    }

    #[test]
    fn whoever_talks_without_end_is_not_listened_to_for_ever() {
        let (ours, mut theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let endpoint = endpoints(false, |_| Some("unix:path=/x".into())).unwrap().remove(0);
        let mut bus = Bus { socket: ours.into(), endpoint, serial: 0, inbox: Vec::new(), signals: VecDeque::new() };
        let chatter = std::thread::spawn(move || {
            let call = Call { destination: None, path: "/", interface: "a.b", member: "C", arguments: &[] };
            let bytes = call.encode(1).repeat(100);
            while theirs.write_all(&bytes).is_ok() {}
        });
        let begun = Instant::now();
        // There is always something to read.
        let error = bus.signal(begun + Duration::from_millis(50), &|_, _| Ok(true)).unwrap_err();
        assert_eq!(error.errno(), Some(Errno::TIMEDOUT));
        assert!(bus.shares_pids().unwrap());
        drop(bus);
        chatter.join().unwrap();
    }

    #[test]
    fn who_we_are_is_for_the_kernel_to_say() {
        let (endpoint, server) = other_side(&[b"DATA\r\nOK 1\r\n", b"x"]);
        let _ = Bus::connect(&endpoint, &wait_alone);
        let heard = server.join().unwrap();
        assert!(heard.starts_with(b"\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n"), "{heard:?}");
    }

    #[test]
    fn nobody_there_is_told_with_the_socket() {
        let endpoint = endpoints(false, |_| Some("unix:path=/no/such/socket".into())).unwrap().remove(0);
        let error = Bus::connect(&endpoint, &wait_alone).unwrap_err();
        assert_eq!(error.as_go_prints_it(), "connect to /no/such/socket: no such file or directory");
    }
}
