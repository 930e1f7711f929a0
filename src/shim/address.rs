//! Where the shim of a pod listens: a socket whose name is a digest of containerd's address, the namespace and the pod.

use std::fmt::Write as _;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use sha2::{Digest, Sha256};

use crate::error::{Attempt, Result};
use crate::launch::terminal;

/// The folder of all shims' sockets.
pub(super) const FOLDER: &str = "/run/containerd/s";

/// The socket of the pod `group` in `namespace` of the containerd at `address`, as containerd's own shims name theirs.
pub(super) fn path(folder: &Path, address: &str, namespace: &str, group: &str) -> PathBuf {
    // Without what makes two spellings of one path.
    let name: PathBuf = Path::new(address).join(namespace).join(group).components().collect();
    let digest = Sha256::digest(name.as_os_str().as_encoded_bytes());
    folder.join(digest.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    }))
}

/// Listens at `path`; `None` when a shim does already.
///
/// # Errors
/// As bind(2).
pub(super) fn listen(path: &Path) -> Result<Option<OwnedFd>> {
    let attempted = || format!("listen on {}", path.display());
    let folder = path.parent().unwrap_or(Path::new("/"));
    let opened = || rustix::fs::open(folder, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
    let held = match opened() {
        Err(Errno::NOENT) => {
            let made = std::fs::DirBuilder::new().mode(0o700).recursive(true).create(folder);
            made.attempt(|| format!("create {}", folder.display()))?;
            opened()
        }
        other => other,
    }
    .attempt(|| format!("open {}", folder.display()))?;
    // Of two that come at once for one pod, the second finds the first one's socket, listening.
    rustix::fs::flock(&held, FlockOperation::LockExclusive).attempt(|| format!("lock {}", folder.display()))?;
    if is_answered(path) {
        return Ok(None);
    }
    match rustix::fs::unlink(path) {
        Ok(()) | Err(Errno::NOENT) => {}
        other => other.attempt(|| format!("remove the socket {} of a dead shim", path.display()))?,
    }
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket =
        rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None).attempt(|| "create a socket")?;
    let umask = rustix::process::umask(Mode::from_raw_mode(0o177));
    let bound = terminal::bind_to(socket.as_fd(), path);
    rustix::process::umask(umask);
    bound.and_then(|()| rustix::net::listen(&socket, 128)).attempt(attempted)?;
    Ok(Some(socket))
}

/// Whether somebody listens at `path`.
pub(super) fn is_answered(path: &Path) -> bool {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let Ok(socket) = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None) else {
        return false;
    };
    // One whose queue is full has somebody to empty it.
    matches!(terminal::connect_to(socket.as_fd(), path), Ok(()) | Err(Errno::AGAIN))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_has_one_socket_however_its_path_is_written() {
        let one = path(Path::new("/s"), "/run/containerd/containerd.sock", "default", "t1");
        assert_eq!(one, path(Path::new("/s"), "/run//containerd/./containerd.sock", "default", "t1"));
        // sha256sum of the three, joined by slashes.
        assert_eq!(one.to_str(), Some("/s/df6a0c5cd2e9a1a16d9a3f2447365d9fc6021bc1d3d9a4caa2f5b2c4f773758f"));
        assert_ne!(one, path(Path::new("/s"), "/run/containerd/containerd.sock", "default", "t2"));
    }
}
