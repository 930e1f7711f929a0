//! As much of netlink(7) as it takes to ask for lists and to change links and addresses: see rtnetlink(7) and
//! sock_diag(7).

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, recv, send, socket_with};
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
const NLM_F_DUMP: u16 = 0x300;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const HEADER: usize = 16;

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
        socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, protocol).map(Socket)
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
            let thread = scope.spawn(|| {
                move_into_link_name_space(ns, Some(LinkNameSpaceType::Network))?;
                open()
            });
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

    /// Asks for a list, and returns the messages without their headers.
    pub(crate) fn dump(&mut self, kind: u16, payload: &[u8]) -> Result<Vec<Vec<u8>>, Errno> {
        self.request(kind, NLM_F_DUMP, payload)?;
        let mut messages = Vec::new();
        let mut space = vec![MaybeUninit::<u8>::uninit(); 64 * 1024];
        loop {
            let ((mut bytes, _), _) = recv(&self.0, space.as_mut_slice(), RecvFlags::empty())?;
            while bytes.len() >= HEADER {
                let len = u32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) as usize;
                let kind = u16::from_ne_bytes([bytes[4], bytes[5]]);
                if len < HEADER || len > bytes.len() {
                    return Err(Errno::BADMSG);
                }
                let payload = &bytes[HEADER..len];
                match kind {
                    NLMSG_DONE => return Ok(messages),
                    NLMSG_ERROR => {
                        let errno = payload.get(..4).and_then(|b| b.try_into().ok()).map_or(0, i32::from_ne_bytes);
                        return Err(Errno::from_raw_os_error(-errno));
                    }
                    _ => messages.push(payload.to_vec()),
                }
                let next = len.next_multiple_of(4).min(bytes.len());
                bytes = &mut bytes[next..];
            }
        }
    }

    /// Has something done: `payload` is the fixed part of the message, and attributes behind it.
    ///
    /// # Errors
    /// What the kernel answers.
    pub(crate) fn act(&mut self, kind: u16, payload: &[u8]) -> Result<(), Errno> {
        self.request(kind, NLM_F_ACK, payload)?;
        let mut space = [MaybeUninit::<u8>::uninit(); 8192];
        let ((bytes, _), _) = recv(&self.0, &mut space, RecvFlags::empty())?;
        match bytes.get(HEADER..HEADER + 4).and_then(|errno| errno.try_into().ok()).map(i32::from_ne_bytes) {
            Some(0) => Ok(()),
            Some(errno) => Err(Errno::from_raw_os_error(-errno)),
            None => Err(Errno::BADMSG),
        }
    }

    /// What the socket's network namespace calls another one.
    pub(crate) fn netnsid(&mut self, ns: BorrowedFd<'_>) -> Option<i32> {
        // struct rtgenmsg, padded to four bytes.
        let mut payload = vec![0; 4];
        add_attribute(&mut payload, NETNSA_FD, &ns.as_raw_fd().to_ne_bytes());
        self.request(RTM_GETNSID, 0, &payload).ok()?;
        let mut space = [MaybeUninit::<u8>::uninit(); 256];
        let ((bytes, _), _) = recv(&self.0, &mut space, RecvFlags::empty()).ok()?;
        if bytes.get(4..6)? != RTM_NEWNSID.to_ne_bytes() {
            return None;
        }
        let id = Attributes(bytes.get(HEADER + 4..)?).find(|(kind, _)| *kind == NETNSA_NSID)?.1;
        id.try_into().ok().map(i32::from_ne_bytes).filter(|&id| id >= 0)
    }
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
}
