//! `NOTIFY_SOCKET` of sd_notify(3): a service's word that it is ready, passed on from a container to who manages the
//! runtime. As in runc, the container gets a socket of its own, of which only `READY=` goes on.

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use oci_spec::runtime::{Mount, Spec};
use rustix::event::{PollFd, PollFlags};
use rustix::net::{AddressFamily, SendFlags, SocketAddrUnix, SocketFlags, SocketType};

use crate::container::record::folder::Folder;
use crate::container::steps::poll::poll_until;
use crate::error::{Attempt, Error, Result};
use crate::launch::terminal;

const VARIABLE: &str = "NOTIFY_SOCKET";
const NAME: &str = "notify.sock";

/// How long a service manager may take to say that it has read everything.
const PATIENCE: Duration = Duration::from_secs(30);

/// The container's socket, and that of the runtime's service manager.
#[derive(Debug)]
pub struct Notify {
    container: OwnedFd,
    host: PathBuf,
}

fn host_socket() -> Option<PathBuf> {
    std::env::var_os(VARIABLE).filter(|path| !path.is_empty()).map(PathBuf::from)
}

/// Whether somebody waits for this runtime's container to be ready.
pub fn is_expected() -> bool {
    host_socket().is_some()
}

fn directory(folder: &Folder) -> PathBuf {
    folder.path().join("notify")
}

/// Gives a container that is being made the place for its socket, when this runtime has one.
///
/// # Errors
/// As mkdir(2).
pub fn prepare(folder: &Folder, spec: &mut Spec) -> Result<()> {
    if !is_expected() {
        return Ok(());
    }
    let Some(mut process) = spec.process().clone() else { return Ok(()) };
    let source = directory(folder);
    std::fs::DirBuilder::new().mode(0o755).create(&source).attempt(|| format!("create {}", source.display()))?;
    let mut mount = Mount::default();
    mount.set_destination("/run/notify".into()).set_source(Some(source)).set_typ(Some("bind".to_owned()));
    let options = ["bind", "nosuid", "noexec", "nodev", "ro"].map(str::to_owned).to_vec();
    mount.set_options(Some(options));
    let mut mounts = spec.mounts().clone().unwrap_or_default();
    mounts.push(mount);
    let mut env = process.env().clone().unwrap_or_default();
    env.push(format!("{VARIABLE}=/run/notify/{NAME}"));
    process.set_env(Some(env));
    spec.set_mounts(Some(mounts)).set_process(Some(process));
    Ok(())
}

impl Notify {
    /// Opens the container's socket, before its program may look for it; `None` where there is nobody to tell.
    ///
    /// # Errors
    /// As bind(2).
    pub fn open(folder: &Folder) -> Result<Option<Notify>> {
        let path = directory(folder).join(NAME);
        let Some(host) = host_socket().filter(|_| directory(folder).exists()) else { return Ok(None) };
        let container = rustix::net::socket_with(AddressFamily::UNIX, SocketType::DGRAM, SocketFlags::CLOEXEC, None)
            .attempt(|| "create a socket")?;
        terminal::bind_to(container.as_fd(), &path).attempt(|| format!("create {}", path.display()))?;
        // Whoever the container's program runs as.
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o777))
            .attempt(|| format!("let everybody write to {}", path.display()))?;
        Ok(Some(Notify { container, host }))
    }

    /// Becomes readable when the container says something.
    pub(crate) fn poll_fd(&self) -> PollFd<'_> {
        PollFd::new(&self.container, PollFlags::IN)
    }

    /// Waits until the container is ready or its first process `pid` behind `pidfd` has ended, and says so with the pid
    /// for the service manager to watch: this runtime is about to go.
    ///
    /// # Errors
    /// When the service manager cannot be told.
    pub fn wait(&self, pid: i32, pidfd: &OwnedFd) -> Result<()> {
        loop {
            let mut fds = [self.poll_fd(), PollFd::new(pidfd, PollFlags::IN)];
            poll_until(&mut fds, None)?;
            if fds[0].revents().is_empty() {
                return Ok(());
            }
            if let Some(ready) = self.read()? {
                let host = self.connect()?;
                send(&host, &ready)?;
                send(&host, format!("MAINPID={pid}\n").as_bytes())?;
                return self.barrier(&host);
            }
        }
    }

    /// Passes on what the container has said, if that is what it waits to hear; says whether it was.
    ///
    /// # Errors
    /// As [`Notify::wait`].
    pub(crate) fn pass_on(&self) -> Result<bool> {
        let Some(ready) = self.read()? else { return Ok(false) };
        send(&self.connect()?, &ready).map(|()| true)
    }

    /// The line of one message that says whether the container is ready.
    fn read(&self) -> Result<Option<Vec<u8>>> {
        let mut buffer = [0; 4096];
        // Descriptors that come along are dropped by the kernel.
        let (length, _) = rustix::net::recv(&self.container, &mut buffer, rustix::net::RecvFlags::DONTWAIT)
            .or_else(|errno| if errno == rustix::io::Errno::AGAIN { Ok((0, 0)) } else { Err(errno) })
            .attempt(|| "read the container's notification")?;
        let ready = buffer[..length].split(|byte| *byte == b'\n').find(|line| line.starts_with(b"READY="));
        Ok(ready.map(|line| [line, b"\n"].concat()))
    }

    fn connect(&self) -> Result<OwnedFd> {
        let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::DGRAM, SocketFlags::CLOEXEC, None)
            .attempt(|| "create a socket")?;
        let what = || format!("connect to {VARIABLE} {}", self.host.display());
        match self.host.as_os_str().as_bytes() {
            [b'@', name @ ..] => {
                let address = SocketAddrUnix::new_abstract_name(name).attempt(what)?;
                rustix::net::connect(&socket, &address).attempt(what)?;
            }
            _ => terminal::connect_to(socket.as_fd(), Path::new(&self.host)).attempt(what)?,
        }
        Ok(socket)
    }

    /// Waits until everything was read; sd_notify_barrier(3).
    fn barrier(&self, host: &OwnedFd) -> Result<()> {
        let (ours, theirs) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).attempt(|| "create a pipe")?;
        crate::sys::fd::send_fd(host.as_fd(), b"BARRIER=1", theirs.as_fd())
            .attempt(|| "send a barrier to the service manager")?;
        drop(theirs);
        // What is ready is that its other end was closed.
        if poll_until(&mut [PollFd::new(&ours, PollFlags::IN)], Some(Instant::now() + PATIENCE))? {
            return Ok(());
        }
        Err(Error::os(rustix::io::Errno::TIMEDOUT, "wait for the service manager to read what it was told"))
    }
}

fn send(host: &OwnedFd, text: &[u8]) -> Result<()> {
    rustix::net::send(host, text, SendFlags::NOSIGNAL).attempt(|| "tell the service manager").map(drop)
}
