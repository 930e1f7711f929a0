//! As much of netlink(7) as it takes to ask for lists.

use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, recv, send, socket_with};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

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
    /// Sockets for routing and for socket diagnosis in the network namespace. A thread of its own goes there to make
    /// them, so that the caller stays where it is.
    pub(super) fn pair_in(ns: BorrowedFd<'_>) -> Result<(Socket, Socket), Errno> {
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                move_into_link_name_space(ns, Some(LinkNameSpaceType::Network))?;
                let open = |protocol| {
                    socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, protocol).map(Socket)
                };
                // No protocol is protocol 0, which is NETLINK_ROUTE.
                Ok((open(None)?, open(Some(netlink::SOCK_DIAG))?))
            });
            thread.join().unwrap_or(Err(Errno::AGAIN))
        })
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
