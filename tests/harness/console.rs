//! Terminals: the socket over which a runtime hands one to its engine, and a terminal for the runtime itself.

use std::fs::{File, OpenOptions};
use std::io::{IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use super::patience;

/// A listening Unix socket that is sent one file descriptor.
pub(crate) struct Socket {
    listener: UnixListener,
    path: PathBuf,
}

impl Socket {
    pub(crate) fn bind(path: PathBuf) -> Socket {
        let listener = UnixListener::bind(&path).unwrap_or_else(|error| panic!("bind {}: {error}", path.display()));
        Socket { listener, path }
    }

    pub(crate) fn path(&self) -> &str {
        self.path.to_str().expect("UTF-8")
    }

    /// Waits for the descriptor.
    #[track_caller]
    pub(crate) fn receive(&self) -> OwnedFd {
        assert!(readable(&self.listener), "nobody connected to {}", self.path());
        let (stream, _) = self.listener.accept().expect("accept");
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut bytes = [0; 4096];
        assert!(readable(&stream), "nothing was sent to {}", self.path());
        recvmsg(&stream, &mut [IoSliceMut::new(&mut bytes)], &mut control, RecvFlags::CMSG_CLOEXEC).expect("recvmsg");
        let mut descriptors: Vec<OwnedFd> = Vec::new();
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(received) = message {
                descriptors.extend(received);
            }
        }
        assert!(descriptors.len() == 1, "expected one descriptor, got {}", descriptors.len());
        descriptors.remove(0)
    }
}

fn readable(fd: &impl std::os::fd::AsFd) -> bool {
    let limit = Timespec::try_from(patience(10.0)).expect("a limit of some seconds");
    poll(&mut [PollFd::new(fd, PollFlags::IN)], Some(&limit)).expect("poll") == 1
}

/// The master side of a pseudo terminal.
pub(crate) struct Pty {
    master: File,
    seen: String,
}

impl Pty {
    /// A new terminal and its slave side.
    pub(crate) fn new() -> (Pty, File) {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).expect("openpt");
        grantpt(&master).and_then(|()| unlockpt(&master)).expect("unlock the terminal");
        let name = ptsname(&master, Vec::new()).expect("ptsname");
        let slave = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(nix::fcntl::OFlag::O_NOCTTY.bits())
            .open(Path::new(name.to_str().expect("ASCII")))
            .expect("open the terminal");
        (Pty::from(master), slave)
    }

    pub(crate) fn master(&self) -> &File {
        &self.master
    }

    /// Types.
    pub(crate) fn write(&mut self, text: &str) {
        self.master.write_all(text.as_bytes()).expect("write to the terminal");
    }

    /// Reads until `text` has come, and returns all that came so far.
    #[track_caller]
    pub(crate) fn expect(&mut self, text: &str) -> &str {
        let give_up = Instant::now() + patience(10.0);
        while !self.seen.contains(text) {
            assert!(Instant::now() < give_up, "waited for {text:?}, got {:?}", self.seen);
            if !self.read_some() {
                break;
            }
        }
        assert!(self.seen.contains(text), "the terminal closed before {text:?}: {:?}", self.seen);
        &self.seen
    }

    /// Reads to the end, which comes when the last process has closed its side.
    #[track_caller]
    pub(crate) fn rest(mut self) -> String {
        while self.read_some() {}
        self.seen
    }

    fn read_some(&mut self) -> bool {
        assert!(readable(&self.master), "the terminal is silent after {:?}", self.seen);
        let mut bytes = [0; 4096];
        match self.master.read(&mut bytes) {
            // The last slave side is closed.
            Ok(0) | Err(_) => false,
            Ok(count) => {
                self.seen.push_str(&String::from_utf8_lossy(&bytes[..count]));
                true
            }
        }
    }
}

impl From<OwnedFd> for Pty {
    fn from(master: OwnedFd) -> Pty {
        Pty { master: master.into(), seen: String::new() }
    }
}
