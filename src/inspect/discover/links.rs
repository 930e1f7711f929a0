//! The links in `/proc/PID/ns` and `/proc/PID/task/TID/ns`, each of which names the namespace that a task is in.

use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::os::fd::BorrowedFd;

use rustix::io::Errno;

use crate::inspect::model::Snapshot;
use crate::inspect::proc::inode_of;
use crate::namespace::Kind;

/// The links in the order of [`Kind::ALL`].
const LINKS: [&CStr; 8] = [c"mnt", c"uts", c"ipc", c"net", c"pid", c"user", c"cgroup", c"time"];

/// Reads the links of one process or thread, remembering the last answer of each kind: most processes are in the same
/// namespaces as the one before.
pub(super) struct Reader {
    last: [([u8; 32], usize, usize); 8],
}

/// How reading the links of one process went.
pub(super) enum Answer {
    /// These were read; kinds may be missing, of a kernel without them or a process that is ending.
    Read([Option<usize>; 8]),
    /// The process is gone.
    Gone,
    /// The kernel would not tell.
    Refused(Errno),
}

impl Reader {
    pub(super) fn new() -> Reader {
        Reader { last: [([0; 32], 0, 0); 8] }
    }

    /// Reads the links in the directory `ns`.
    pub(super) fn read(&mut self, ns: BorrowedFd<'_>, wanted: &[Kind], snapshot: &mut Snapshot) -> Answer {
        let mut found = [None; 8];
        for &kind in wanted {
            let mut space = [MaybeUninit::<u8>::uninit(); 32];
            match rustix::fs::readlinkat_raw(ns, LINKS[kind as usize], &mut space) {
                Ok((link, _)) => {
                    let (bytes, len, index) = &mut self.last[kind as usize];
                    if link != &bytes[..*len] {
                        let Some(inode) = inode_of(link) else { continue };
                        *index = snapshot.enter(kind, inode).0;
                        bytes[..link.len()].copy_from_slice(link);
                        *len = link.len();
                    }
                    found[kind as usize] = Some(*index);
                }
                Err(Errno::SRCH) => return Answer::Gone,
                Err(errno @ (Errno::ACCESS | Errno::PERM)) => return Answer::Refused(errno),
                Err(_) => {}
            }
        }
        Answer::Read(found)
    }
}
