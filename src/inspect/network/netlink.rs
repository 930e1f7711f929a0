//! As much of netlink(7) as it takes to ask for lists.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, SocketFlags, SocketType, netlink, recv, recvmsg, send, sendmsg, socket_with,
};
use rustix::process::{WaitOptions, waitpid};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::namespace::Kind;
use crate::sys::clone::{Clone3, Forked, clone3, exit_now, setns};
use crate::sys::ioctl;

pub(super) const RTM_GETLINK: u16 = 18;
pub(super) const RTM_GETADDR: u16 = 22;
pub(super) const SOCK_DIAG_BY_FAMILY: u16 = 20;
const RTM_NEWNSID: u16 = 88;
const RTM_GETNSID: u16 = 90;
const NETNSA_NSID: u16 = 1;
const NETNSA_FD: u16 = 3;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_DUMP: u16 = 0x300;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const HEADER: usize = 16;

/// A netlink socket.
pub(super) struct Socket(OwnedFd);

impl Socket {
    /// Sockets for routing and for socket diagnosis in the network namespace. Somebody else goes there to make them, so
    /// that the caller stays where it is: a thread, or, where the caller's privilege is in the user namespace that owns
    /// it, a process that enters that one first.
    pub(super) fn pair_in(ns: BorrowedFd<'_>) -> Result<(Socket, Socket), Errno> {
        let inode = |ns: BorrowedFd<'_>| rustix::fs::fstat(ns).map(|status| status.st_ino);
        if rustix::fs::stat("/proc/thread-self/ns/net").map(|status| status.st_ino) == inode(ns) {
            return Socket::pair();
        }
        let entered = std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                move_into_link_name_space(ns, Some(LinkNameSpaceType::Network))?;
                Socket::pair()
            });
            thread.join().unwrap_or(Err(Errno::AGAIN))
        });
        match entered {
            Err(Errno::PERM) => match ioctl::namespace_owner(ns) {
                Ok(owner) if rustix::fs::stat("/proc/self/ns/user")?.st_ino != inode(owner.as_fd())? => {
                    Socket::pair_through(owner.as_fd(), ns)
                }
                _ => Err(Errno::PERM),
            },
            other => other,
        }
    }

    /// In the caller's network namespace.
    fn pair() -> Result<(Socket, Socket), Errno> {
        let open =
            |protocol| socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, protocol).map(Socket);
        // No protocol is protocol 0, which is NETLINK_ROUTE.
        Ok((open(None)?, open(Some(netlink::SOCK_DIAG))?))
    }

    /// In the network namespace, by a child that enters its owner first and hands the sockets over. A user namespace can
    /// only be entered by a process with one thread, and not be left again.
    fn pair_through(owner: BorrowedFd<'_>, ns: BorrowedFd<'_>) -> Result<(Socket, Socket), Errno> {
        let flags = SocketFlags::CLOEXEC;
        let (ours, theirs) = rustix::net::socketpair(AddressFamily::UNIX, SocketType::DGRAM, flags, None)?;
        let child = match clone3(&Clone3::default())? {
            Forked::Child => {
                let made = setns(owner, Kind::User.flag())
                    .and_then(|()| setns(ns, Kind::Net.flag()))
                    .and_then(|()| Socket::pair())
                    .and_then(|(route, diagnosis)| hand_over(&theirs, &[route.0.as_fd(), diagnosis.0.as_fd()]));
                exit_now(made.err().map_or(0, Errno::raw_os_error));
            }
            Forked::Parent(child, _) => child,
        };
        drop(theirs);
        let status = loop {
            match waitpid(Some(child), WaitOptions::empty()) {
                Err(Errno::INTR) => {}
                other => break other?,
            }
        };
        match status.and_then(|(_, status)| status.exit_status()) {
            Some(0) => take_over(&ours),
            Some(errno) => Err(Errno::from_raw_os_error(errno)),
            None => Err(Errno::CHILD),
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
    pub(super) fn dump(&mut self, kind: u16, payload: &[u8]) -> Result<Vec<Vec<u8>>, Errno> {
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

    /// What the socket's network namespace calls another one.
    pub(super) fn netnsid(&mut self, ns: BorrowedFd<'_>) -> Option<i32> {
        // struct rtgenmsg, padded to four bytes, and one struct rtattr.
        let mut payload = vec![0; 4];
        payload.extend_from_slice(&8u16.to_ne_bytes());
        payload.extend_from_slice(&NETNSA_FD.to_ne_bytes());
        payload.extend_from_slice(&ns.as_raw_fd().to_ne_bytes());
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

/// Passes descriptors on, with a byte that carries them.
fn hand_over(to: &OwnedFd, fds: &[BorrowedFd<'_>]) -> Result<(), Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut rights = SendAncillaryBuffer::new(&mut space);
    rights.push(SendAncillaryMessage::ScmRights(fds));
    sendmsg(to, &[IoSlice::new(b"+")], &mut rights, SendFlags::empty()).map(drop)
}

fn take_over(from: &OwnedFd) -> Result<(Socket, Socket), Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut rights = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
    recvmsg(from, &mut [IoSliceMut::new(&mut [0])], &mut rights, flags)?;
    let mut sockets = rights.drain().flat_map(|message| match message {
        RecvAncillaryMessage::ScmRights(fds) => fds.map(Socket).collect::<Vec<_>>(),
        _ => Vec::new(),
    });
    Ok((sockets.next().ok_or(Errno::BADMSG)?, sockets.next().ok_or(Errno::BADMSG)?))
}

/// The attributes in a message: `struct rtattr` and its value, again and again.
pub(super) struct Attributes<'a>(pub(super) &'a [u8]);

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
