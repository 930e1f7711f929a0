//! What `nsenter` does, in the order of util-linux's: everything is opened first, then namespaces are entered, then come
//! root, directory, environment, cgroup, the fork, ids and the program.

use std::ffi::{CString, OsString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use nix::sys::signal::Signal;
use nskit::error::{Attempt, Errno};
use nskit::launch::relay::Blocked;
use nskit::namespace::idmap::Ids;
use nskit::namespace::{Kind, open_without_waiting};
use nskit::sys::clone::{Clone3, Forked, clone3};
use nskit::sys::ioctl;
use nskit::{Error, Result};
use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags};

use super::target::{ORDER, Target, open_in_proc};
use super::{Options, Place, Who, container};
use crate::credentials;
use crate::exec::{self, Environment, Voice};
use crate::hints::{self, Failure, Hint};

/// Does what `options` say; returns only when that fails.
pub(super) fn run(voice: &Voice, mut options: Options) -> Failure {
    let tools = options.tools.take();
    if let Err(failure) = container::choose(voice, &mut options) {
        return failure;
    }
    // Without a target the first word is the container that is missing, which is what is to be said.
    if let Some(Err(failure)) =
        tools.as_ref().filter(|_| options.has_target()).map(|tools| tools.check(&options.program))
    {
        return failure;
    }
    let is_container = options.is_container;
    match enter(voice, options) {
        Ok((program, environment)) => match tools {
            Some(tools) => {
                voice.step(|| exec::shown(&program));
                tools.become_program(&program, &environment)
            }
            None if program.is_empty() => become_shell(voice, &environment, is_container),
            None => {
                voice.step(|| exec::shown(&program));
                let failure = exec::become_program(&program, &environment);
                match is_container && program[0].as_encoded_bytes().starts_with(b"-") {
                    true => Failure { hint: Some("options come before CONTAINER".into()), ..failure },
                    false => failure,
                }
            }
        },
        Err(failure) => failure,
    }
}

/// Becomes the shell. The caller's own may be missing in a container, which is then asked for the one that most have;
/// util-linux's command lines get util-linux's failure.
fn become_shell(voice: &Voice, environment: &Environment, is_container: bool) -> Failure {
    let shell = exec::shell(environment);
    voice.step(|| format!("execute the shell, {}", shell.display()));
    let error = exec::become_shell(&shell, environment);
    let other = exec::STANDARD_SHELL;
    if error.errno() != Some(Errno::NOENT) {
        return error.into();
    }
    let has_other = shell != other && Path::new(other).exists();
    let shown = shell.display();
    if has_other && is_container {
        voice.step(|| format!("{shown} cannot be executed inside: execute {other}"));
        return exec::become_shell(other.as_ref(), environment).into();
    }
    let missing = match Path::new(&shell).exists() {
        true => format!("{shown} is inside, but not the loader that it needs"),
        false => format!("there is no {shown} inside"),
    };
    let hint = match has_other {
        true => format!("{missing}; {other} is: name it as the program"),
        false => format!("{missing}: name a program, or bring one along with --tools=FILE"),
    };
    Failure { error, hint: Some(hint.into()) }
}

/// What is opened before anything is entered: paths mean other files after it.
struct Opened {
    target: Option<Target>,
    root: Option<OwnedFd>,
    directory: Option<OwnedFd>,
    environment: Option<OwnedFd>,
    /// The target's folder in /proc, whose owner is to be followed.
    identity: Option<OwnedFd>,
    cgroup: Option<OwnedFd>,
}

impl Opened {
    /// Opens what `options` name, and completes the namespaces among them.
    fn open(options: &mut Options) -> Result<Opened, Failure> {
        if options.all {
            want_all(options)?;
        }
        if options.pid_for_children {
            options.namespaces.set(Kind::Pid, open_in_proc(options.target, "ns/pid_for_children")?);
        }
        let target = hold_target(options)?;
        let in_proc = |wanted: bool, name| wanted.then(|| open_in_proc(options.target, name)).transpose();
        let follows = [options.uid, options.gid].contains(&Some(Who::Follow));
        let opened = Opened {
            root: opened(std::mem::take(&mut options.root), options.target, "root")?,
            directory: opened(std::mem::take(&mut options.directory), options.target, "cwd")?,
            environment: in_proc(options.environment, "environ")?,
            identity: in_proc(follows, "")?,
            cgroup: if options.join_cgroup { Some(open_cgroup(options.target)?) } else { None },
            target,
        };
        if options.user_parent {
            let parent = parent_user_namespace(options, opened.target.is_some())?;
            options.namespaces.set(Kind::User, parent);
        }
        if let Some(socket) = options.net_socket {
            let namespace = namespace_of_socket(options.target, opened.target.as_ref(), socket)?;
            options.namespaces.set(Kind::Net, namespace);
        }
        Ok(opened)
    }

    /// The target's user and group.
    fn followed(&self) -> Result<(u32, u32)> {
        let Some(identity) = &self.identity else { return Ok((0, 0)) };
        let stat = rustix::fs::fstat(identity).attempt(|| "can not get process stat")?;
        Ok((stat.st_uid, stat.st_gid))
    }
}

fn enter(voice: &Voice, mut options: Options) -> Result<(Vec<OsString>, Environment), Failure> {
    if options.follow_context {
        follow_context(options.target)?;
    }
    let mut opened = Opened::open(&mut options)?;
    let kinds = options.namespaces.all();
    if kinds.is_empty() {
        return Err(nothing_to_enter(&options));
    }
    let takes_over = kinds.contains(Kind::User) && !options.preserve_credentials;
    // Groups can be dropped before where the namespace forbids it, or after where only it allows it.
    let groups_kept = takes_over && credentials::drop_groups().is_err();
    voice.step(|| format!("enter the {}", nskit::namespace::describe(kinds)));
    std::mem::take(&mut options.namespaces).enter(opened.target.as_ref())?;
    // Closed by execve(2), which is cheaper.
    std::mem::forget(opened.target.take());

    change_places(voice, &options, &mut opened)?;
    let environment = match &opened.environment {
        Some(file) => read_environment(file)?,
        None => Environment::Inherited,
    };
    if let Some(procs) = &opened.cgroup {
        let pid = rustix::process::getpid().as_raw_nonzero().to_string();
        rustix::io::write(procs, pid.as_bytes()).attempt(|| "write cgroup.procs failed")?;
    }
    let (uid, gid) = opened.followed()?;
    let chosen = |who: Option<Who>, followed| match who {
        Some(Who::Id(id)) => Some(id),
        Some(Who::Follow) => Some(followed),
        None => takes_over.then_some(0),
    };
    let (uid, gid) = (chosen(options.uid, uid), chosen(options.gid, gid));

    if kinds.contains(Kind::Pid) && !options.no_fork {
        voice.step(|| "fork, for a pid namespace is entered by children");
        continue_as_child()?;
    }
    options.confinement.before_user(uid)?;
    change_identity(voice, &options, uid, gid, groups_kept)?;
    if options.keep_capabilities && kinds.contains(Kind::User) {
        credentials::keep_capabilities(options.confinement.dropped())?;
    }
    options.confinement.after_user(uid)?;
    Ok((options.program, environment))
}

fn nothing_to_enter(options: &Options) -> Failure {
    let error = Error::invalid("no namespace specified");
    match options.is_container {
        true => Failure { error, hint: Some("you are in all namespaces of the container already".into()) },
        false => container::no_target(error, options),
    }
}

/// Changes the root and the working directory.
fn change_places(voice: &Voice, options: &Options, opened: &mut Opened) -> Result<(), Failure> {
    if opened.root.is_some() && opened.directory.is_none() && options.inner_directory.is_none() {
        opened.directory = Some(open_directory(Path::new("."))?);
    }
    if let Some(root) = &opened.root {
        voice.step(|| "change the root directory");
        rustix::process::fchdir(root).attempt(|| "change directory by root file descriptor failed")?;
        rustix::process::chroot(".").attempt(|| "chroot failed").hint(|errno| hints::chroot(errno, false))?;
        rustix::process::chdir("/").attempt(|| "cannot change directory to /")?;
    }
    if let Some(inner) = &options.inner_directory {
        opened.directory = Some(open_directory(Path::new(inner))?);
    }
    if let Some(directory) = &opened.directory {
        rustix::process::fchdir(directory)
            .attempt(|| "change directory by working directory file descriptor failed")?;
    }
    Ok(())
}

/// Changes to the user and group, where they are to be changed.
fn change_identity(
    voice: &Voice,
    options: &Options,
    uid: Option<u32>,
    gid: Option<u32>,
    groups_kept: bool,
) -> Result<(), Failure> {
    let suspect = |errno| options.confinement.suspect(errno, uid);
    // A container that is entered by name is not asked to make its caller root: where its user namespace has none, or lets no
    // groups be dropped, the caller stays whoever they are.
    let asked = |who: Option<Who>| who.is_some() || !options.is_container;
    let lets = |done: Result<()>, refusal, asked: bool| match done {
        Err(error) if !asked && error.errno() == Some(refusal) => {
            voice.step(|| format!("{error}: go on without"));
            Ok(())
        }
        done => done,
    };
    if let Some(gid) = gid {
        voice.step(|| format!("become group {gid}, without other groups"));
        let dropped = credentials::drop_groups();
        if groups_kept {
            let instead = "--preserve-credentials keeps those that one has";
            lets(dropped, Errno::PERM, asked(options.gid))
                .hint(|errno| hints::groups(errno, instead).or_else(|| suspect(errno)))?;
        }
        lets(credentials::set_group(gid), Errno::INVAL, asked(options.gid))
            .hint(|errno| hints::identity(errno, Ids::Groups, gid).or_else(|| suspect(errno)))?;
    }
    if let Some(uid) = uid {
        voice.step(|| format!("become user {uid}"));
        lets(credentials::set_user(uid), Errno::INVAL, asked(options.uid))
            .hint(|errno| hints::identity(errno, Ids::Users, uid).or_else(|| suspect(errno)))?;
    }
    Ok(())
}

/// Wants every kind that is not wanted yet, but for the caller's own user namespace, which cannot be entered again; of a
/// container, also but for all else that the caller is in, for which it may lack the privilege.
fn want_all(options: &mut Options) -> Result<(), Failure> {
    let pid = options.target.map_or(0, |pid| pid.as_raw_nonzero().get());
    let inode = |pid: &str, kind: Kind| {
        rustix::fs::stat(format!("/proc/{pid}/ns/{}", kind.proc_name())).map(|stat| stat.st_ino)
    };
    for kind in ORDER.into_iter().filter(|kind| !options.namespaces.all().contains(*kind)).collect::<Vec<_>>() {
        if kind == Kind::User || options.is_container {
            let Ok(own) = inode("self", kind) else { continue };
            let path = format!("/proc/{pid}/ns/{}", kind.proc_name());
            let theirs = inode(&pid.to_string(), kind).attempt(|| format!("stat of {path} failed"));
            let theirs = match options.target {
                Some(pid) => theirs.hint(|errno| hints::closed(errno, pid))?,
                None => theirs.map_err(|error| container::no_target(error, options))?,
            };
            if theirs == own {
                continue;
            }
        }
        options.namespaces.want_if_known(kind);
    }
    Ok(())
}

/// The target, when it is needed, by a pidfd; its files are opened where there can be none.
fn hold_target(options: &mut Options) -> Result<Option<Target>, Failure> {
    let needed = options.namespaces.of_target();
    if needed.is_empty() && options.net_socket.is_none() && !options.user_parent {
        return Ok(None);
    }
    let Some(pid) = options.target else {
        return Err(container::no_target(Error::invalid("no target PID specified"), options));
    };
    let pidfd = match options.pidfd.take() {
        Some(pidfd) => Some(pidfd),
        None => rustix::process::pidfd_open(pid, PidfdFlags::empty()).ok(),
    };
    if pidfd.is_none() && !needed.is_empty() {
        options.namespaces.open_of_target(pid)?;
    }
    Ok(pidfd.map(|pidfd| Target { pid, pidfd }))
}

fn opened(place: Place, target: Option<Pid>, name: &str) -> Result<Option<OwnedFd>, Failure> {
    match place {
        Place::Unchanged => Ok(None),
        Place::Target => open_in_proc(target, name).map(Some),
        Place::Open(fd) => Ok(Some(fd)),
    }
}

fn open_directory(path: &Path) -> Result<OwnedFd> {
    open_without_waiting(path).attempt(|| "cannot open current working directory")
}

/// The user namespace above the target's, or above that of the first namespace that was given.
fn parent_user_namespace(options: &Options, has_target: bool) -> Result<OwnedFd, Failure> {
    let parent = |fd: BorrowedFd<'_>| Ok(ioctl::namespace_owner(fd).attempt(|| "failed to open parent namespace")?);
    if let Some(user) = options.namespaces.file(Kind::User) {
        return parent(user);
    }
    if !has_target && let Some(any) = options.namespaces.any_file() {
        return parent(any);
    }
    parent(open_in_proc(options.target, "ns/user")?.as_fd())
}

/// The network namespace that descriptor number `socket` of the target was made in.
fn namespace_of_socket(pid: Option<Pid>, target: Option<&Target>, socket: i32) -> Result<OwnedFd, Failure> {
    use std::os::fd::AsRawFd;
    let pid = pid.ok_or_else(|| Error::invalid("no target PID specified"))?;
    let own;
    let target = match target {
        Some(target) => &target.pidfd,
        None => {
            own = rustix::process::pidfd_open(pid, PidfdFlags::empty())
                .attempt(|| format!("failed to pidfd_open() for {}", pid.as_raw_nonzero()))?;
            &own
        }
    };
    let copy = rustix::process::pidfd_getfd(target, socket, PidfdGetfdFlags::empty())
        .attempt(|| format!("pidfd_getfd({}, {socket})", target.as_raw_fd()))
        .hint(|errno| hints::descriptor(errno, pid))?;
    let namespace = ioctl::socket_namespace(&copy).attempt(|| format!("ioctl({}, SIOCGSKNS)", copy.as_raw_fd()))?;
    Ok(namespace)
}

/// The file that processes are written to, to be moved to the target's cgroup.
fn open_cgroup(target: Option<Pid>) -> Result<OwnedFd, Failure> {
    const CGROUP2_MAGIC: i64 = 0x6367_7270;
    let root = "/sys/fs/cgroup";
    let found = rustix::fs::statfs(root).attempt(|| format!("statfs {root} failed"))?.f_type as i64;
    if found != CGROUP2_MAGIC {
        return Err(Error::invalid("--join-cgroup is only supported in cgroup v2").into());
    }
    let text = read_all(&open_in_proc(target, "cgroup")?).attempt(|| "failed to get cgroup path")?;
    let line = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let Some(colon) = line.iter().rposition(|byte| *byte == b':') else {
        return Err(Error::invalid("failed to get cgroup path").into());
    };
    let path = [root.as_bytes(), b"/", &line[colon + 1..], b"/cgroup.procs"].concat();
    let file = rustix::fs::open(path, OFlags::WRONLY | OFlags::APPEND | OFlags::CLOEXEC, Mode::empty());
    Ok(file.attempt(|| "failed to open cgroup.procs")?)
}

fn read_all(file: &OwnedFd) -> Result<Vec<u8>, Errno> {
    let mut text = Vec::new();
    loop {
        text.reserve(8192);
        if rustix::io::read(file, rustix::buffer::spare_capacity(&mut text))? == 0 {
            return Ok(text);
        }
    }
}

/// The variables of `/proc/PID/environ`, the last first, as util-linux leaves them; of two with one name the last counts.
fn read_environment(file: &OwnedFd) -> Result<Environment> {
    let text = read_all(file).attempt(|| "failed to get environment variables")?;
    let mut entries: Vec<CString> = Vec::new();
    for entry in text.split(|byte| *byte == 0).rev() {
        let Some(equals) = entry.iter().position(|byte| *byte == b'=') else { continue };
        let name = &entry[..=equals];
        if equals > 0 && !entries.iter().any(|earlier| earlier.to_bytes().starts_with(name)) {
            entries.extend(CString::new(entry));
        }
    }
    Ok(Environment::Only(entries))
}

/// Has the program run with the SELinux context of the target; without SELinux there is nothing to do. That a thing
/// failed is all that util-linux says.
fn follow_context(target: Option<Pid>) -> Result<()> {
    if !nskit::lsm::selinux_enabled() {
        return Ok(());
    }
    let pid = target.ok_or_else(|| Error::invalid("no target PID specified for --follow-context"))?.as_raw_nonzero();
    let context = std::fs::read(format!("/proc/{pid}/attr/current"))
        .map_err(|_| Error::invalid(format!("failed to get {pid} SELinux context")))?;
    let shown = String::from_utf8_lossy(&context).trim_end_matches('\0').to_owned();
    std::fs::write("/proc/thread-self/attr/exec", &context)
        .map_err(|_| Error::invalid(format!("failed to set exec context to '{shown}'")))
}

/// Forks: only the child returns. The parent passes on signals, stops, and the child's end.
fn continue_as_child() -> Result<(), Failure> {
    let blocked = Blocked::new(&[Signal::SIGTERM, Signal::SIGHUP, Signal::SIGINT], true)?;
    match clone3(&Clone3::default()).attempt(|| "fork failed").hint(|errno| hints::fork(errno, true))? {
        Forked::Child => Ok(blocked.restore()?),
        Forked::Parent(child, _) => blocked.wait(child, true)?.follow(),
    }
}
