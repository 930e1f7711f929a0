//! Handing the listener of a filter to the agent that answers for it.

use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::BorrowedFd;
use std::path::Path;

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags, SocketType,
    connect, sendmsg, socket_with,
};

use crate::Result;
use crate::error::Attempt;

/// The listener's name in the container process state's `fds` (runtime-spec, config-linux.md, "seccomp").
pub const FD_NAME: &str = "seccompFd";

/// Sends `listener` with `state`, the container process state as JSON, to the agent's socket at `path`: one connection
/// for one state, the file descriptor with its first byte (runtime-spec, config-linux.md, "The Container Process State").
///
/// # Errors
/// Those of connect(2) and sendmsg(2); all of them are fatal for the container, whose calls nobody would answer.
pub fn send(listener: BorrowedFd<'_>, path: &Path, state: &[u8]) -> Result<()> {
    let attempted = |what: &str| format!("{what} seccomp agent at {}", path.display());
    let address = SocketAddrUnix::new(path).attempt(|| attempted("failed to connect with"))?;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
        .attempt(|| "open a socket for the seccomp agent")?;
    connect(&socket, &address).attempt(|| attempted("failed to connect with"))?;

    let listener = [listener];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    control.push(SendAncillaryMessage::ScmRights(&listener));
    let mut rest = state;
    loop {
        match sendmsg(&socket, &[IoSlice::new(rest)], &mut control, SendFlags::NOSIGNAL) {
            Ok(sent) => rest = &rest[sent..],
            Err(Errno::INTR) => continue,
            Err(errno) => return Err(errno).attempt(|| attempted("send the seccomp listener to")),
        }
        if rest.is_empty() {
            return Ok(());
        }
        // The descriptor goes with the first part only.
        control.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixListener;

    #[test]
    fn sends_the_state_and_one_descriptor() {
        use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

        let folder = std::env::temp_dir().join(format!("nskit-test-notify-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("agent.sock");
        let agent = UnixListener::bind(&path).unwrap();
        // Larger than a socket's buffer, so that it takes several parts.
        let state: Vec<u8> = (0..2_000_000u32).map(|n| (n % 251) as u8).collect();

        let received = std::thread::spawn(move || {
            let (mut connection, _) = agent.accept().unwrap();
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
            let mut control = RecvAncillaryBuffer::new(&mut space);
            let mut first = [0; 16];
            let message = recvmsg(
                &connection,
                &mut [std::io::IoSliceMut::new(&mut first)],
                &mut control,
                RecvFlags::CMSG_CLOEXEC,
            )
            .unwrap();
            let descriptors: Vec<_> = control
                .drain()
                .flat_map(|message| match message {
                    RecvAncillaryMessage::ScmRights(descriptors) => descriptors.collect(),
                    _ => vec![],
                })
                .collect();
            let mut bytes = first[..message.bytes].to_vec();
            connection.read_to_end(&mut bytes).unwrap();
            (descriptors, bytes)
        });

        let file = std::fs::File::open("/proc/self/stat").unwrap();
        send(file.as_fd(), &path, &state).unwrap();
        let (descriptors, bytes) = received.join().unwrap();
        assert!(bytes == state, "the agent got another state of {} bytes", bytes.len());
        assert_eq!(descriptors.len(), 1);
        let same = |a, b| {
            let (a, b) = (rustix::fs::fstat(a).unwrap(), rustix::fs::fstat(b).unwrap());
            (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino)
        };
        assert!(same(descriptors[0].as_fd(), file.as_fd()));
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn names_the_socket_that_nobody_listens_on() {
        let file = std::fs::File::open("/proc/self/stat").unwrap();
        let error = send(file.as_fd(), Path::new("/nonexistent/agent.sock"), b"{}").unwrap_err();
        assert_eq!(
            error.to_string(),
            "failed to connect with seccomp agent at /nonexistent/agent.sock: No such file or directory"
        );
    }
}
