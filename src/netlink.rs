//! As much of netlink(7) as it takes to ask for lists and to change links and addresses: see rtnetlink(7) and
//! sock_diag(7).

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::netlink::{self, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, connect, recvfrom, send, socket_with};
use rustix::process::{WaitOptions, waitpid};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::namespace::Kind;
use crate::sys::clone::{Clone3, Forked, clone3, exit_now, setns};
use crate::sys::fd::{receive_fd, send_fd};
use crate::sys::ioctl;

pub(crate) const RTM_NEWLINK: u16 = 16;
pub(crate) const RTM_GETLINK: u16 = 18;
pub(crate) const RTM_NEWADDR: u16 = 20;
pub(crate) const RTM_GETADDR: u16 = 22;
pub(crate) const SOCK_DIAG_BY_FAMILY: u16 = 20;
const RTM_NEWNSID: u16 = 88;
const RTM_GETNSID: u16 = 90;
const NETNSA_NSID: u16 = 1;
const NETNSA_FD: u16 = 3;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_ACK: u16 = 4;
const NLM_F_DUMP_INTR: u16 = 0x10;
const NLM_F_DUMP: u16 = 0x300;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const HEADER: usize = 16;
/// How often a list is asked for until it comes without a change meanwhile.
const TRIES: usize = 8;

/// What a socket is for.
#[derive(Clone, Copy)]
pub(crate) enum Protocol {
    /// Links, addresses and routes: rtnetlink(7).
    Route,
    /// Other sockets: sock_diag(7).
    Diagnosis,
}

/// A netlink socket.
pub(crate) struct Socket(OwnedFd);

impl Socket {
    /// In the caller's network namespace.
    ///
    /// # Errors
    /// As socket(2).
    pub(crate) fn open(protocol: Protocol) -> Result<Socket, Errno> {
        // No protocol is protocol 0, which is NETLINK_ROUTE.
        let protocol = match protocol {
            Protocol::Route => None,
            Protocol::Diagnosis => Some(netlink::SOCK_DIAG),
        };
        let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, protocol)?;
        // Others with CAP_NET_ADMIN in a container's namespace could answer in the kernel's place, without end.
        connect(&socket, &SocketAddrNetlink::new(0, 0))?;
        Ok(Socket(socket))
    }

    /// One for each protocol, in another network namespace. Somebody else goes there to make them, so that the caller stays
    /// where it is: a thread, or, where the caller's privilege is in the user namespace that owns it, a process that enters
    /// that one first.
    ///
    /// # Errors
    /// `EPERM` without `CAP_SYS_ADMIN` over it or over its owner, but for the caller's own.
    pub(crate) fn open_in(ns: BorrowedFd<'_>, protocols: &[Protocol]) -> Result<Vec<Socket>, Errno> {
        let inode = |ns: BorrowedFd<'_>| rustix::fs::fstat(ns).map(|status| status.st_ino);
        let open = || protocols.iter().map(|protocol| Socket::open(*protocol)).collect();
        if rustix::fs::stat("/proc/thread-self/ns/net").map(|status| status.st_ino) == inode(ns) {
            return open();
        }
        let entered = std::thread::scope(|scope| {
            let thread = std::thread::Builder::new().spawn_scoped(scope, || {
                move_into_link_name_space(ns, Some(LinkNameSpaceType::Network))?;
                open()
            });
            let thread = thread.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::AGAIN))?;
            thread.join().unwrap_or(Err(Errno::AGAIN))
        });
        match entered {
            Err(Errno::PERM) => match ioctl::namespace_owner(ns) {
                Ok(owner) if rustix::fs::stat("/proc/self/ns/user")?.st_ino != inode(owner.as_fd())? => {
                    Socket::open_through(owner.as_fd(), ns, protocols)
                }
                _ => Err(Errno::PERM),
            },
            other => other,
        }
    }

    /// In the network namespace, by a child that enters its owner first and hands the sockets over. A user namespace can
    /// only be entered by a process with one thread, and not be left again.
    fn open_through(owner: BorrowedFd<'_>, ns: BorrowedFd<'_>, protocols: &[Protocol]) -> Result<Vec<Socket>, Errno> {
        let flags = SocketFlags::CLOEXEC;
        let (ours, theirs) = rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
        let child = match clone3(&Clone3::default())? {
            Forked::Child => {
                let hand_over = |protocol: &Protocol| send_fd(theirs.as_fd(), b"+", Socket::open(*protocol)?.0.as_fd());
                let made = setns(owner, Kind::User.flag())
                    .and_then(|()| setns(ns, Kind::Net.flag()))
                    .and_then(|()| protocols.iter().try_for_each(hand_over));
                exit_now(made.err().map_or(0, Errno::raw_os_error));
            }
            Forked::Parent(child, _) => child,
        };
        drop(theirs);
        let sockets: Result<Option<Vec<Socket>>, Errno> =
            protocols.iter().map(|_| Ok(receive_fd(ours.as_fd())?.map(Socket))).collect();
        let status = loop {
            match waitpid(Some(child), WaitOptions::empty()) {
                Err(Errno::INTR) => {}
                // The kernel has reaped it already for a caller who ignores SIGCHLD.
                other => break other.ok().flatten(),
            }
        };
        match (sockets?, status.and_then(|(_, status)| status.exit_status())) {
            (Some(sockets), _) => Ok(sockets),
            (None, Some(errno)) if errno != 0 => Err(Errno::from_raw_os_error(errno)),
            (None, _) => Err(Errno::CHILD),
        }
    }

    fn request(&self, kind: u16, flags: u16, payload: &[u8]) -> Result<(), Errno> {
        let mut message = Vec::with_capacity(HEADER + payload.len());
        message.extend_from_slice(&((HEADER + payload.len()) as u32).to_ne_bytes());
        message.extend_from_slice(&kind.to_ne_bytes());
        message.extend_from_slice(&(NLM_F_REQUEST | flags).to_ne_bytes());
        message.extend_from_slice(&[0; 8]);
        message.extend_from_slice(payload);
        send(&self.0, &message, SendFlags::empty()).map(drop)
    }

    /// The next message, or several of a list.
    fn receive<'a>(&self, space: &'a mut [u8]) -> Result<&'a [u8], Errno> {
        let length = loop {
            let (length, _, from) = recvfrom(&self.0, &mut *space, RecvFlags::empty())?;
            // One of somebody else's may have come before the socket was connected.
            if from.and_then(|from| SocketAddrNetlink::try_from(from).ok()).is_some_and(|from| from.pid() == 0) {
                break length;
            }
        };
        Ok(&space[..length])
    }

    /// Asks for a list, and returns the messages without their headers. One that changed while it came may lack what was
    /// there all the time, and is asked for again; if it always does, it is as good as it gets.
    ///
    /// # Errors
    /// What the kernel answers.
    pub(crate) fn dump(&mut self, kind: u16, payload: &[u8]) -> Result<Vec<Vec<u8>>, Errno> {
        let mut space = vec![0; 64 * 1024];
        let mut tries = 1..TRIES;
        loop {
            self.request(kind, NLM_F_DUMP, payload)?;
            let mut list = List::default();
            while !list.take(self.receive(&mut space)?)? {}
            if !list.changed || tries.next().is_none() {
                return Ok(list.messages);
            }
        }
    }

    /// Has something done: `payload` is the fixed part of the message, and attributes behind it.
    ///
    /// # Errors
    /// What the kernel answers.
    pub(crate) fn act(&mut self, kind: u16, payload: &[u8]) -> Result<(), Errno> {
        self.request(kind, NLM_F_ACK, payload)?;
        let mut space = [0; 8192];
        let answer = self.receive(&mut space)?;
        match answer.get(HEADER..).and_then(error_in) {
            Some(None) if answer[4..6] == NLMSG_ERROR.to_ne_bytes() => Ok(()),
            Some(Some(errno)) => Err(errno),
            _ => Err(Errno::BADMSG),
        }
    }

    /// What the socket's network namespace calls another one.
    pub(crate) fn netnsid(&mut self, ns: BorrowedFd<'_>) -> Option<i32> {
        // struct rtgenmsg, padded to four bytes.
        let mut payload = vec![0; 4];
        add_attribute(&mut payload, NETNSA_FD, &ns.as_raw_fd().to_ne_bytes());
        self.request(RTM_GETNSID, 0, &payload).ok()?;
        let mut space = [0; 256];
        let bytes = self.receive(&mut space).ok()?;
        if bytes.get(4..6)? != RTM_NEWNSID.to_ne_bytes() {
            return None;
        }
        let id = Attributes(bytes.get(HEADER + 4..)?).find(|(kind, _)| *kind == NETNSA_NSID)?.1;
        id.try_into().ok().map(i32::from_ne_bytes).filter(|&id| id >= 0)
    }
}

/// A list while it comes.
#[derive(Default)]
struct List {
    messages: Vec<Vec<u8>>,
    /// Whether what is listed changed meanwhile.
    changed: bool,
}

impl List {
    /// Takes what has come; whether that is all.
    fn take(&mut self, mut bytes: &[u8]) -> Result<bool, Errno> {
        while bytes.len() >= HEADER {
            let len = u32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) as usize;
            let kind = u16::from_ne_bytes([bytes[4], bytes[5]]);
            let flags = u16::from_ne_bytes([bytes[6], bytes[7]]);
            if len < HEADER || len > bytes.len() {
                return Err(Errno::BADMSG);
            }
            let payload = &bytes[HEADER..len];
            self.changed |= flags & NLM_F_DUMP_INTR != 0;
            match kind {
                // What went wrong on the way is told at the end.
                NLMSG_DONE => return error_in(payload).flatten().map_or(Ok(true), Err),
                NLMSG_ERROR => return Err(error_in(payload).flatten().unwrap_or(Errno::BADMSG)),
                _ => self.messages.push(payload.to_vec()),
            }
            bytes = bytes.get(len.next_multiple_of(4)..).unwrap_or_default();
        }
        Ok(false)
    }
}

/// The messages of a list in what came of it, without their headers.
///
/// # Errors
/// The errno in it, and `EBADMSG` for what is no list.
pub(crate) fn messages(bytes: &[u8]) -> Result<Vec<Vec<u8>>, Errno> {
    let mut list = List::default();
    list.take(bytes)?;
    Ok(list.messages)
}

/// The errno that a message begins with, negative; `Some(None)` for none, `None` where there is no number.
fn error_in(payload: &[u8]) -> Option<Option<Errno>> {
    let number = i32::from_ne_bytes(*payload.first_chunk()?);
    // What is no errno is none that the kernel sends.
    let errno = |number: i32| if number <= 4095 { Errno::from_raw_os_error(number) } else { Errno::BADMSG };
    Some((number < 0).then(|| number.checked_neg().map_or(Errno::BADMSG, errno)))
}

/// Adds an attribute to a message's payload.
pub(crate) fn add_attribute(payload: &mut Vec<u8>, kind: u16, value: &[u8]) {
    payload.extend_from_slice(&(4 + value.len() as u16).to_ne_bytes());
    payload.extend_from_slice(&kind.to_ne_bytes());
    payload.extend_from_slice(value);
    payload.resize(payload.len().next_multiple_of(4), 0);
}

/// The attributes in a message: `struct rtattr` and its value, again and again.
pub(crate) struct Attributes<'a>(pub(crate) &'a [u8]);

impl<'a> Iterator for Attributes<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<(u16, &'a [u8])> {
        let len = usize::from(u16::from_ne_bytes(self.0.get(..2)?.try_into().ok()?));
        let kind = u16::from_ne_bytes(self.0.get(2..4)?.try_into().ok()?);
        let value = self.0.get(4..len)?;
        self.0 = self.0.get(len.next_multiple_of(4)..).unwrap_or_default();
        // The upper two bits are flags.
        Some((kind & 0x3fff, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_read_to_the_end_and_no_further() {
        let mut bytes = Vec::new();
        for (kind, value) in [(3u16, &b"eth0\0"[..]), (4, &[1, 2, 3, 4])] {
            bytes.extend_from_slice(&(value.len() as u16 + 4).to_ne_bytes());
            bytes.extend_from_slice(&kind.to_ne_bytes());
            bytes.extend_from_slice(value);
            bytes.resize(bytes.len().next_multiple_of(4), 0);
        }
        bytes.extend_from_slice(&[200, 0, 1, 0]);
        let found: Vec<_> = Attributes(&bytes).collect();
        assert_eq!(found, [(3, &b"eth0\0"[..]), (4, &[1, 2, 3, 4])]);
    }

    fn message(kind: u16, flags: u16, payload: &[u8]) -> Vec<u8> {
        let mut bytes = ((HEADER + payload.len()) as u32).to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(flags.to_ne_bytes());
        bytes.extend([0; 8]);
        bytes.extend(payload);
        bytes
    }

    #[test]
    fn a_list_tells_when_it_is_torn_or_cut_short() {
        let taken = |bytes: &[u8]| {
            let mut list = List::default();
            list.take(bytes).map(|whole| (whole, list.changed, list.messages.len()))
        };
        let (one, done) = (message(RTM_NEWLINK, 2, &[0; 20]), message(NLMSG_DONE, 2, &[0; 4]));
        assert_eq!(taken(&one), Ok((false, false, 1)));
        assert_eq!(taken(&[one.clone(), done].concat()), Ok((true, false, 1)));
        let torn = message(NLMSG_DONE, NLM_F_DUMP_INTR, &[0; 4]);
        assert_eq!(taken(&[one.clone(), torn].concat()), Ok((true, true, 1)));
        let failed = message(NLMSG_DONE, 2, &(-12i32).to_ne_bytes());
        assert_eq!(taken(&[one, failed].concat()), Err(Errno::NOMEM));
        assert_eq!(taken(&message(NLMSG_ERROR, 0, &(-1i32).to_ne_bytes())), Err(Errno::PERM));
        assert_eq!(taken(&message(NLMSG_ERROR, 0, &[])), Err(Errno::BADMSG));
        for number in [-4096, i32::MIN] {
            assert_eq!(taken(&message(NLMSG_ERROR, 0, &number.to_ne_bytes())), Err(Errno::BADMSG));
        }
        assert_eq!(taken(&[40, 0, 0, 0].repeat(5)), Err(Errno::BADMSG));
    }

    #[test]
    fn nobody_but_the_kernel_can_answer() {
        let asker = Socket::open(Protocol::Route).unwrap();
        let name = SocketAddrNetlink::try_from(rustix::net::getsockname(&asker.0).unwrap()).unwrap();
        let other = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None).unwrap();
        let forged = message(NLMSG_DONE, 2, &[0; 4]);
        let sent = rustix::net::sendto(&other, &forged, SendFlags::empty(), &name);
        // Without privilege it is denied, with privilege nobody is there who would listen.
        assert!(matches!(sent, Err(Errno::PERM | Errno::CONNREFUSED)), "{sent:?}");
        let mut asker = asker;
        assert!(!asker.dump(RTM_GETLINK, &[0; 16]).unwrap().is_empty());
    }
}
