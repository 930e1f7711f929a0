//! CRIU, which saves processes to files and brings them back: its program, told what to do over a socket
//! (`criu swrk FD`; images/rpc.proto of CRIU 3.15 and later).

use std::convert::Infallible;
use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::BufReader;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};
use rustix::io::FdFlags;
use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType};
use rustix::process::Signal;

use crate::cgroup::TreeOptions;
use crate::container::steps::wait::Signals;
use crate::error::{Attempt, Error, Kind, Result};
use crate::launch::program::{self, Program, c_string};
use crate::launch::{Child, launch};
use crate::namespace::{self, Kinds};
use crate::protobuf::{Message, Value, fields};
use crate::sys::fd::receive_with_fd;

mod settings;

pub use settings::{CgroupMode, Folders, Settings};

/// What it is asked to do; `criu_req_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// Save a process tree.
    Dump = 1,
    /// Bring one back.
    Restore = 2,
    /// Save memory only, of which a later dump need save but what has changed; once.
    PreDump = 13,
    /// The answer to a notification.
    Notify = 6,
    /// Say what this kernel allows.
    FeatureCheck = 9,
    /// Say which version it is.
    Version = 10,
}

/// Numbers of the fields of `criu_opts` that are used.
pub mod option {
    /// The folder of the images: a descriptor of this process.
    pub const IMAGES_DIR_FD: u32 = 1;
    /// The first process.
    pub const PID: u32 = 2;
    /// The processes go on after a dump.
    pub const LEAVE_RUNNING: u32 = 3;
    /// Unix sockets may be connected to the outside.
    pub const EXT_UNIX_SK: u32 = 4;
    /// TCP connections may be open.
    pub const TCP_ESTABLISHED: u32 = 5;
    /// A device that is open may be found under another name.
    pub const EVASIVE_DEVICES: u32 = 6;
    /// The session's leader may be outside.
    pub const SHELL_JOB: u32 = 7;
    /// Locks of files are saved too.
    pub const FILE_LOCKS: u32 = 8;
    /// How much is logged.
    pub const LOG_LEVEL: u32 = 9;
    /// The name of the log, in the work folder or else with the images.
    pub const LOG_FILE: u32 = 10;
    /// The page server.
    pub const PAGE_SERVER: u32 = 11;
    /// It notifies of what it is about to do.
    pub const NOTIFY_SCRIPTS: u32 = 12;
    /// The root of the container.
    pub const ROOT: u32 = 13;
    /// The images of the dump before, seen from those of this one.
    pub const PARENT_IMG: u32 = 14;
    /// Changes of memory are watched, for the dump to come.
    pub const TRACK_MEM: u32 = 15;
    /// Pages that a later image has are dropped from earlier ones.
    pub const AUTO_DEDUP: u32 = 16;
    /// The folder of the log: a descriptor of this process.
    pub const WORK_DIR_FD: u32 = 17;
    /// Files without a name may be given one.
    pub const LINK_REMAP: u32 = 18;
    /// Mounts of the outside, a pair of names each.
    pub const EXT_MNT: u32 = 23;
    /// Cgroups are seen to.
    pub const MANAGE_CGROUPS: u32 = 24;
    /// The cgroup of a controller that what is restored comes to.
    pub const CG_ROOT: u32 = 25;
    /// What is restored becomes a child of this process.
    pub const RST_SIBLING: u32 = 26;
    /// Descriptors in the place of what was outside.
    pub const INHERIT_FD: u32 = 27;
    /// How cgroups are seen to.
    pub const MANAGE_CGROUPS_MODE: u32 = 34;
    /// Things of the outside, by kind and name.
    pub const EXTERNAL: u32 = 37;
    /// Namespaces that come back with nothing in them.
    pub const EMPTY_NS: u32 = 38;
    /// Namespaces of the outside to come back in.
    pub const JOIN_NS: u32 = 39;
    /// The cgroup by which everything is stopped.
    pub const FREEZE_CGROUP: u32 = 44;
    /// What is under way in TCP connections is dropped.
    pub const TCP_SKIP_IN_FLIGHT: u32 = 46;
    /// Memory is fetched when it is needed.
    pub const LAZY_PAGES: u32 = 48;
    /// The outer end of a terminal that nobody in the container has is handed over.
    pub const ORPHAN_PTS_MASTER: u32 = 50;
    /// The administrator's own options.
    pub const CONFIG_FILE: u32 = 51;
    /// The security label that programs come back with.
    pub const LSM_PROFILE: u32 = 53;
    /// The security label that mounts come back with.
    pub const LSM_MOUNT_CONTEXT: u32 = 63;
}

/// Something that it is about to do, or has done.
#[derive(Debug)]
pub struct Notification {
    /// Which: `post-restore` and so on.
    pub name: String,
    /// The first process, where it has to do with one.
    pub pid: i32,
    /// What came with it.
    pub fd: Option<OwnedFd>,
}

/// What it answers to what it was asked.
#[derive(Clone, Copy, Debug, Default)]
pub struct Answer {
    /// Its version: 31500 for 3.15.
    version: i64,
    /// Changes of memory can be watched.
    pub can_track_memory: bool,
    /// Memory can be fetched when it is needed.
    pub can_restore_lazily: bool,
}

/// The oldest one that does all that is asked of it: joins pid namespaces, freezes by cgroup v2, says when pages are served.
const OLDEST: i64 = 31500;

/// Where system administrators' programs are, whatever `PATH` says.
const FOLDERS: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Finds the program.
///
/// # Errors
/// When neither `PATH` nor the usual folders have it.
pub fn find() -> Result<CString> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // A folder that is not absolute is anybody's choice.
    let folders = std::env::split_paths(&path).chain(std::env::split_paths(FOLDERS)).filter(|path| path.is_absolute());
    folders
        .map(|folder| folder.join("criu"))
        .find(|file| file.is_file() && rustix::fs::access(file, rustix::fs::Access::EXEC_OK).is_ok())
        .map(|file| c_string(file.into_os_string().into_vec(), "path of criu"))
        .transpose()?
        .ok_or_else(|| {
            Error::unsupported(
                "the program criu (https://criu.org), which saves and restores processes, is not installed",
            )
        })
}

/// The child's last step: executes CRIU from `file`, which hears on `socket`, and has `inherited` as well.
///
/// # Errors
/// As execve(2).
pub fn execute(file: &CStr, socket: BorrowedFd<'_>, inherited: &[BorrowedFd<'_>]) -> Result<Infallible> {
    // What the caller has left open is none of its business, and who waits for the end of a pipe would wait for its end.
    program::close_on_exec(0);
    for fd in inherited.iter().chain([&socket]) {
        rustix::io::fcntl_setfd(fd, FdFlags::empty()).attempt(|| "pass a descriptor on to criu")?;
    }
    let number = c_string(socket.as_raw_fd().to_string(), "descriptor")?;
    let env = std::env::vars_os().map(|(name, value)| [name.as_bytes(), b"=", value.as_bytes()].concat());
    let env = env.map(|entry| c_string(entry, "variable")).collect::<Result<_>>()?;
    Program { args: vec![c"criu".to_owned(), c"swrk".to_owned(), number], env }.execute(file)
}

/// CRIU at work.
#[derive(Debug)]
pub struct Criu {
    child: Child,
    socket: OwnedFd,
}

/// The two ends of the socket between this process and CRIU.
///
/// # Errors
/// As socketpair(2).
pub fn sockets() -> Result<(OwnedFd, OwnedFd)> {
    rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
        .attempt(|| "create a socket for criu")
}

impl Criu {
    /// Starts `file` where this process is. It outlives this process, so that what it has stopped goes on whatever happens.
    ///
    /// # Errors
    /// As [`launch`].
    pub fn start(file: &CStr) -> Result<Criu> {
        let (ours, theirs) = sockets()?;
        let plan = namespace::plan(Kinds::NONE, &[], true);
        let child = launch(&plan, &[], None, |_| {
            crate::sys::signal::unblock_all();
            // A key that is meant for this process is not meant for it.
            rustix::process::setsid().attempt(|| "start a new session")?;
            rustix::process::set_parent_process_death_signal(None).attempt(|| "outlive the parent")?;
            execute(file, theirs.as_fd(), &[])
        })?;
        Criu::meet(child, ours)
    }

    /// Takes over a `child` that is to execute it, at the other end of `socket`.
    ///
    /// # Errors
    /// Why it could not.
    pub fn meet(mut child: Child, socket: OwnedFd) -> Result<Criu> {
        let failed = match child.link.receive() {
            // It is executed, or has died: then it does not answer.
            Ok(None) => return Ok(Criu { child, socket }),
            Ok(Some(crate::launch::link::Message::Failed(error))) | Err(error) => error,
            Ok(Some(other)) => Error::new(Kind::Died, format!("{other} came where criu was to be executed")),
        };
        child.kill();
        Err(failed)
    }

    /// Its pid.
    pub fn pid(&self) -> rustix::process::Pid {
        self.child.pid
    }

    /// Ends it before it is asked anything.
    pub fn abandon(self) {
        self.child.kill();
    }

    /// Asks the program `file` for its version, and whether it can do on this kernel what is asked of it. One of `signals` can
    /// end that.
    ///
    /// # Errors
    /// When it is too old or cannot do it.
    pub fn check(file: &CStr, tracks_memory: bool, is_lazy: bool, signals: Option<&Signals>) -> Result<()> {
        let answer = Criu::start(file)?.ask(Task::Version, &mut Message::default(), signals, &mut |_| Ok(()))?;
        if answer.version < OLDEST {
            let (major, minor) = (answer.version / 10000, answer.version / 100 % 100);
            return Err(Error::unsupported(format!("criu {major}.{minor} is too old: 3.15 or later is needed")));
        }
        if !tracks_memory && !is_lazy {
            return Ok(());
        }
        let mut features = Message::default();
        features.flag(1, tracks_memory).flag(2, is_lazy);
        let mut request = Message::default();
        request.message(5, &features);
        let answer = Criu::start(file)?.ask(Task::FeatureCheck, &mut request, signals, &mut |_| Ok(()))?;
        let lacking = [
            ("watch which memory changes", tracks_memory && !answer.can_track_memory),
            ("fetch memory when it is needed", is_lazy && !answer.can_restore_lazily),
        ];
        match lacking.into_iter().find(|(_, lacks)| *lacks) {
            Some((what, _)) => Err(Error::unsupported(format!("criu cannot {what} on this kernel"))),
            None => Ok(()),
        }
    }

    /// Has it do `task` as `request` says, and waits for its end. `heed` does this side's part of what it notifies of.
    ///
    /// # Errors
    /// What went wrong, as far as it says so; of kind [`Kind::Interrupted`] when one of `signals` asks this process to end:
    /// it is no more then.
    pub fn ask(
        self,
        task: Task,
        request: &mut Message,
        signals: Option<&Signals>,
        heed: &mut dyn FnMut(Notification) -> Result<()>,
    ) -> Result<Answer> {
        request.number(1, task as i64);
        let is_asked = matches!(task, Task::Version | Task::FeatureCheck);
        // What does more than answer may take the options of the cgroup tree away.
        let tree = if is_asked { None } else { TreeOptions::now() };
        let answered = self.send(request).and_then(|()| self.converse(task, signals, heed));
        let Criu { child, socket } = self;
        // It takes back what it has done when nobody is there any more.
        drop(socket);
        let patience = if is_asked { Duration::ZERO } else { PATIENCE };
        let deadline = Instant::now() + patience;
        let mut fds = [PollFd::new(&child.pidfd, PollFlags::IN)];
        if answered.is_err() && !crate::sys::fd::poll_until(&mut fds, Some(deadline)).unwrap_or(false) {
            let _ = rustix::process::pidfd_send_signal(&child.pidfd, Signal::KILL);
        }
        child.reap();
        if let Some(Err(error)) = tree.as_ref().map(TreeOptions::put_back) {
            log::warn!("{}", error.as_go_prints_it());
        }
        answered
    }

    fn send(&self, message: &Message) -> Result<()> {
        match rustix::net::send(&self.socket, message.bytes(), SendFlags::NOSIGNAL) {
            Err(rustix::io::Errno::PIPE) => Err(self.gone()),
            sent => sent.map(drop).attempt(|| "send a request to criu"),
        }
    }

    fn gone(&self) -> Error {
        Error::new(Kind::Died, "criu has ended without an answer")
    }

    fn converse(
        &self,
        task: Task,
        signals: Option<&Signals>,
        heed: &mut dyn FnMut(Notification) -> Result<()>,
    ) -> Result<Answer> {
        loop {
            if let Some(signals) = signals {
                signals.until_readable(self.socket.as_fd(), None)?;
            }
            let (bytes, fd) = self.receive()?;
            let response = Response::parse(&bytes).ok_or_else(|| Error::invalid("criu's answer is none"))?;
            if !response.success {
                return Err(response.failure());
            }
            if response.task != Task::Notify as u64 {
                let is_expected = response.task == task as u64;
                return if is_expected {
                    Ok(response.answer)
                } else {
                    Err(Error::invalid("criu answers another request"))
                };
            }
            let heeded = heed(Notification { name: response.script, pid: response.pid, fd });
            let mut reply = Message::default();
            reply.number(1, Task::Notify as i64).number(3, i64::from(heeded.is_ok()));
            let sent = self.send(&reply);
            heeded?;
            sent?;
        }
    }

    fn receive(&self) -> Result<(Vec<u8>, Option<OwnedFd>)> {
        let mut bytes = vec![0; 64 << 10];
        loop {
            match receive_with_fd(self.socket.as_fd(), &mut bytes) {
                Err(rustix::io::Errno::INTR) => {}
                Ok((0, _)) | Err(rustix::io::Errno::CONNRESET) => return Err(self.gone()),
                received => {
                    let (length, fd) = received.attempt(|| "hear from criu")?;
                    bytes.truncate(length);
                    return Ok((bytes, fd));
                }
            }
        }
    }
}

/// How long it may take to undo what it has begun.
const PATIENCE: Duration = Duration::from_secs(10);

/// A `criu_resp`.
#[derive(Debug, Default)]
struct Response {
    task: u64,
    success: bool,
    script: String,
    pid: i32,
    errno: i32,
    message: String,
    answer: Answer,
}

impl Response {
    fn parse(bytes: &[u8]) -> Option<Response> {
        let mut response = Response::default();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        for field in fields(bytes)? {
            match field {
                (1, Value::Number(task)) => response.task = task,
                (2, Value::Number(success)) => response.success = success != 0,
                // criu_notify
                (5, Value::Bytes(notify)) => {
                    for field in fields(notify)? {
                        match field {
                            (1, Value::Bytes(script)) => response.script = text(script),
                            (2, Value::Number(pid)) => response.pid = pid as i32,
                            _ => {}
                        }
                    }
                }
                (7, Value::Number(errno)) => response.errno = errno as i32,
                // criu_features
                (8, Value::Bytes(features)) => {
                    let has =
                        |wanted| matches!(fields(features), Some(all) if all.contains(&(wanted, Value::Number(1))));
                    response.answer.can_track_memory = has(1);
                    response.answer.can_restore_lazily = has(2);
                }
                (9, Value::Bytes(message)) => response.message = text(message),
                // criu_version: major, minor, sublevel
                (10, Value::Bytes(version)) => {
                    for field in fields(version)? {
                        match field {
                            (1, Value::Number(major)) => response.answer.version += major as i64 * 10000,
                            (2, Value::Number(minor)) => response.answer.version += minor as i64 * 100,
                            (4, Value::Number(sub)) => response.answer.version += sub as i64,
                            _ => {}
                        }
                    }
                }
                _ => {}
            }
        }
        Some(response)
    }

    fn failure(&self) -> Error {
        // Its message is the first complaint of the log, if that was kept at all.
        let what = match first_complaint(self.message.as_bytes()) {
            Some(complaint) => format!("criu failed: {complaint}"),
            None => "criu failed".to_owned(),
        };
        match self.errno {
            errno @ 1..4096 => Error::os(rustix::io::Errno::from_raw_os_error(errno), what),
            _ => Error::new(Kind::Os, what),
        }
    }
}

/// What the JSON file `name` beside the images says.
///
/// # Errors
/// As open(2) and read(2), and what does not fit.
pub fn read_json<T: serde::de::DeserializeOwned>(folders: &Folders, name: &str) -> Result<T> {
    use rustix::fs::{Mode, OFlags};
    let what = || format!("read {}", folders.path.join(name).display());
    let file = rustix::fs::openat(&folders.images, name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
    let text = file.and_then(|file| crate::sys::fd::read_whole(&file, 4096, false)).attempt(what)?;
    serde_json::from_slice(&text).map_err(|error| Error::invalid(format!("{}: {error}", what())))
}

/// Adds a mount that is not the container's own, by its name in the images, or with its source when they are read.
pub fn add_mount(options: &mut Message, name: &Path, value: &Path) {
    let mut pair = Message::default();
    pair.text(1, name.as_os_str().as_bytes()).text(2, value.as_os_str().as_bytes());
    options.message(option::EXT_MNT, &pair);
}

/// How a namespace of the outside is called in the images.
pub fn name_of_namespace(kind: namespace::Kind) -> Option<&'static str> {
    match kind {
        namespace::Kind::Net => Some("extRootNetNS"),
        namespace::Kind::Pid => Some("extRootPidNS"),
        _ => None,
    }
}

/// `error` with the first complaint of the log in `folders`, and where the rest is.
pub fn explained(error: Error, folders: &Folders) -> Error {
    if error.kind() == Kind::Interrupted {
        return error;
    }
    let log = &folders.log;
    let complaint = File::open(log).ok().and_then(|log| first_complaint(BufReader::new(log)));
    let what = match complaint.filter(|complaint| !error.message().contains(complaint)) {
        Some(complaint) => format!("{}: {complaint}", error.as_go_prints_it()),
        None => error.as_go_prints_it(),
    };
    Error::new(error.kind(), format!("{what} (see {})", log.display()))
}

/// `(00.012345) Error (criu/mount.c:123): mnt: …` and later lines like it; the first is what the others follow from.
fn first_complaint(log: impl std::io::BufRead) -> Option<String> {
    log.split(b'\n').map_while(std::result::Result::ok).find_map(|line| {
        let line = String::from_utf8_lossy(&line).into_owned();
        let (_, rest) = line.split_once("Error (")?;
        if rest.contains("RLIMIT_NOFILE for self") {
            // It goes on with the limit that it has.
            return None;
        }
        Some(rest.split_once("): ").map_or(rest, |(_, text)| text).trim().to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_understood() {
        let mut version = Message::default();
        version.number(1, 4).number(2, 1).number(4, 1);
        let mut answer = Message::default();
        answer.number(1, 10).number(2, 1).message(10, &version);
        let response = Response::parse(answer.bytes()).unwrap();
        assert!(response.success && response.answer.version == 40101);

        let mut notify = Message::default();
        notify.text(1, "post-restore").number(2, 77);
        let mut answer = Message::default();
        answer.number(1, 6).number(2, 1).message(5, &notify);
        let response = Response::parse(answer.bytes()).unwrap();
        assert_eq!((response.script.as_str(), response.pid), ("post-restore", 77));

        let mut answer = Message::default();
        answer.number(1, 1).number(2, 0).number(7, 3).text(9, "Error (criu/x.c:1): no such task\n");
        let failure = Response::parse(answer.bytes()).unwrap().failure();
        assert_eq!(failure.as_go_prints_it(), "criu failed: no such task: no such process");
    }

    #[test]
    fn the_first_complaint_of_a_log_is_found() {
        let log =
            "(00.1) Dumping\n(00.2) Error (criu/a.c:1): mnt: no: good\n(00.3) Error (criu/b.c:2): Dumping FAILED.\n";
        assert_eq!(first_complaint(log.as_bytes()).as_deref(), Some("mnt: no: good"));
        assert_eq!(first_complaint("(00.1) Dumping\n".as_bytes()), None);
    }
}
