//! What the caller's network namespace calls others: `RTM_GETNSID` of rtnetlink(7).

use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with};

use crate::inspect::model::NetnsId;

const NLM_F_REQUEST: u16 = 1;
const NLMSG_HEADER: usize = 16;
const RTM_NEWNSID: u16 = 88;
const RTM_GETNSID: u16 = 90;
const NETNSA_NSID: u16 = 1;
const NETNSA_FD: u16 = 3;
const NOT_ASSIGNED: i32 = -1;

/// A socket to ask through.
pub(super) struct Query {
    socket: OwnedFd,
}

impl Query {
    pub(super) fn open() -> Result<Query, Errno> {
        // No protocol is protocol 0, which is NETLINK_ROUTE.
        let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
        Ok(Query { socket })
    }

    /// The descriptor's number.
    pub(super) fn number(&self) -> i32 {
        self.socket.as_raw_fd()
    }

    /// Asks for the id of the network namespace `ns`.
    pub(super) fn ask(&mut self, ns: BorrowedFd<'_>) -> NetnsId {
        let mut request = Vec::with_capacity(28);
        // struct nlmsghdr
        request.extend_from_slice(&28u32.to_ne_bytes());
        request.extend_from_slice(&RTM_GETNSID.to_ne_bytes());
        request.extend_from_slice(&NLM_F_REQUEST.to_ne_bytes());
        request.extend_from_slice(&[0; 8]);
        // struct rtgenmsg, padded to four bytes
        request.extend_from_slice(&[0; 4]);
        // struct rtattr
        request.extend_from_slice(&8u16.to_ne_bytes());
        request.extend_from_slice(&NETNSA_FD.to_ne_bytes());
        request.extend_from_slice(&ns.as_raw_fd().to_ne_bytes());
        if send(&self.socket, &request, SendFlags::empty()).is_err() {
            return NetnsId::Unknown;
        }
        let mut space = [MaybeUninit::<u8>::uninit(); 256];
        match recv(&self.socket, &mut space, RecvFlags::empty()) {
            Ok(((answer, _), _)) => read_answer(answer),
            Err(_) => NetnsId::Unknown,
        }
    }
}

fn read_answer(answer: &[u8]) -> NetnsId {
    let u16_at = |at: usize| answer.get(at..at + 2).map(|b| u16::from_ne_bytes([b[0], b[1]]));
    if u16_at(4) != Some(RTM_NEWNSID) {
        return NetnsId::Unknown;
    }
    let mut at = NLMSG_HEADER + 4;
    while let (Some(len), Some(kind)) = (u16_at(at), u16_at(at + 2)) {
        if kind == NETNSA_NSID
            && let Some(b) = answer.get(at + 4..at + 8)
        {
            return match i32::from_ne_bytes([b[0], b[1], b[2], b[3]]) {
                NOT_ASSIGNED => NetnsId::Unassigned,
                id => NetnsId::Assigned(id),
            };
        }
        if len < 4 {
            break;
        }
        at += usize::from(len).next_multiple_of(4);
    }
    NetnsId::Unknown
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn an_error_message_tells_nothing() {
        let mut answer = vec![0; 36];
        answer[4..6].copy_from_slice(&2u16.to_ne_bytes()); // NLMSG_ERROR
        assert_eq!(read_answer(&answer), NetnsId::Unknown);
        assert_eq!(read_answer(&[]), NetnsId::Unknown);
    }

    #[test]
    fn the_callers_own_namespace_is_answered_for() {
        let ns = File::open("/proc/self/ns/net").unwrap();
        let answer = Query::open().unwrap().ask(ns.as_fd());
        assert_ne!(answer, NetnsId::Unknown);
    }
}
