//! A forked process that does one thing for the shim, and tells how it went. Whatever becomes of it, the shim lives on; its
//! children become the shim's when it ends.

use super::message::Exit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::time::SystemTime;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType, sockopt};
use rustix::process::{Pid, WaitStatus};

use crate::error::{Attempt, Error, Result};
use crate::protobuf::Message;
use crate::sys;
use crate::sys::clone::{Clone3, Forked, clone3, exit_now};
use crate::sys::fd::{close_kept, receive_with_fd, send_fd};

/// What a worker has to tell.
#[derive(Debug, Default)]
pub(super) struct Made {
    /// A message whose form the two have agreed on.
    pub message: Message,
    /// A descriptor: a terminal's outer end.
    pub fd: Option<OwnedFd>,
}

impl From<Message> for Made {
    fn from(message: Message) -> Made {
        Made { message, fd: None }
    }
}

/// What has come of it, as the shim has it.
#[derive(Debug)]
pub(super) struct Told {
    /// The message.
    pub bytes: Vec<u8>,
    /// The descriptor.
    pub fd: Option<OwnedFd>,
}

/// A worker that has not been reaped.
#[derive(Debug)]
pub(super) struct Worker {
    /// The process.
    pub pid: Pid,
    result: OwnedFd,
}

/// What a worker keeps of what the shim has open.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kept<'a> {
    /// The standard streams of what it starts; /dev/null without.
    pub streams: Option<[BorrowedFd<'a>; 3]>,
    /// The log.
    pub log: Option<RawFd>,
    /// What tells that a logging program is ready.
    pub readiness: Option<RawFd>,
}

impl Worker {
    /// Starts one that does `work`.
    ///
    /// # Errors
    /// As socketpair(2) and clone(2).
    pub(super) fn start(kept: Kept<'_>, work: impl FnOnce() -> Result<Made>) -> Result<Worker> {
        let (ours, theirs) =
            rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
                .attempt(|| "create a socket for a worker")?;
        let shim = rustix::process::getpid();
        match clone3(&Clone3::default()).attempt(|| "start a worker")? {
            Forked::Parent(pid, _) => Ok(Worker { pid, result: ours }),
            Forked::Child => {
                let done = prepare(kept, &theirs, shim).and_then(|()| work());
                send(&theirs, done);
                exit_now(0)
            }
        }
    }

    /// What it has told, once it is reaped with `status`.
    ///
    /// # Errors
    /// What it failed at, or what it died of.
    pub(super) fn outcome(self, status: WaitStatus) -> Result<Told, String> {
        let length = rustix::io::ioctl_fionread(&self.result).unwrap_or(0) as usize;
        let mut bytes = vec![0; length];
        let fd = match receive_with_fd(self.result.as_fd(), &mut bytes) {
            Ok((received, fd)) => {
                bytes.truncate(received);
                fd
            }
            Err(_) => return Err(died(status)),
        };
        match bytes.first() {
            Some(0) => Ok(Told { bytes: bytes.split_off(1), fd }),
            Some(_) => Err(String::from_utf8_lossy(&bytes[1..]).into_owned()),
            None => Err(died(status)),
        }
    }
}

fn died(status: WaitStatus) -> String {
    match (status.exit_status(), status.terminating_signal()) {
        (_, Some(signal)) => format!("the process that did it was killed by signal {signal}"),
        (Some(code), _) => format!("the process that did it exited with status {code} without a word"),
        _ => "the process that did it ended without a word".to_owned(),
    }
}

/// Makes a process of its own of the fork.
fn prepare(kept: Kept<'_>, result: &OwnedFd, shim: Pid) -> Result<()> {
    sys::signal::when_parent_dies(libc::SIGKILL).attempt(|| "ask for a signal when the shim dies")?;
    if rustix::process::getppid() != Some(shim) {
        exit_now(1);
    }
    if let Some([stdin, stdout, stderr]) = kept.streams {
        let attempted = || "take over the standard streams";
        rustix::stdio::dup2_stdin(stdin).attempt(attempted)?;
        rustix::stdio::dup2_stdout(stdout).attempt(attempted)?;
        rustix::stdio::dup2_stderr(stderr).attempt(attempted)?;
    }
    // Others wait for the end of what the shim has open, connections and streams among it.
    let stay: Vec<RawFd> = kept.log.into_iter().chain(kept.readiness).chain([result.as_raw_fd()]).collect();
    close_kept(3, &stay).attempt(|| "close what is the shim's")?;
    sys::signal::unblock_all();
    Ok(())
}

fn send(result: &OwnedFd, done: Result<Made>) {
    let (bytes, fd) = match done {
        Ok(made) => ([&[0][..], made.message.bytes()].concat(), made.fd),
        Err(error) => ([&[1][..], error.as_go_prints_it().as_bytes()].concat(), None),
    };
    if bytes.len() > 64 << 10 {
        // The one message must fit.
        let _ = sockopt::set_socket_send_buffer_size_force(result, bytes.len() * 2 + 4096);
    }
    let sent = match &fd {
        Some(fd) => send_fd(result.as_fd(), &bytes, fd.as_fd()),
        None => rustix::net::send(result, &bytes, SendFlags::NOSIGNAL).map(drop),
    };
    if let Err(errno) = sent {
        let told = Error::os(errno, format!("tell of {} bytes", bytes.len())).as_go_prints_it();
        let _ = rustix::net::send(result, &[&[1][..], told.as_bytes()].concat(), SendFlags::NOSIGNAL);
    }
}

/// Whether `pid` has been reaped: a child of this process that is there, dead or alive, has not.
pub(super) fn is_reaped(pid: Pid) -> bool {
    use rustix::process::{WaitId, WaitIdOptions, waitid};
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    waitid(WaitId::Pid(pid), options).is_err_and(|errno| errno == Errno::CHILD)
}

/// How a process ended, by what wait(2) says.
pub(super) fn exit_of(status: WaitStatus) -> Exit {
    let number = match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => code as u32,
        (_, Some(signal)) => 128 + signal as u32,
        _ => 255,
    };
    Exit { status: number, at: SystemTime::now() }
}
