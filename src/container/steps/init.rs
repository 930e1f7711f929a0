//! The first process of a container, from its birth to execve(2): what runs in the child of `create` and `run`.

use std::convert::Infallible;
use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

use oci_spec::runtime::Spec;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::net::SocketFlags;

use crate::cgroup::{Cgroup, Paths};
use crate::container::record::life::Status;
use crate::container::record::state::Reported;
use crate::container::spec::hooks::Point;
use crate::container::spec::process::Process;
use crate::container::steps::confine;
use crate::container::steps::hooks::{self, Environment};
use crate::error::{Attempt, Error, Kind as ErrorKind, Result};
use crate::launch::link::{Link, Message, Stage};
use crate::launch::{Born, program, terminal};
use crate::lsm::{self, Proc};
use crate::mount::rootfs::{self, Ask, Rootfs};
use crate::namespace::{self, Ahead, Kind, Kinds, Target};
use crate::sys;
use crate::sys::fd::send_fd;

/// What the first process needs to know, all of it made before it was born.
#[derive(Debug)]
pub struct Init<'a> {
    /// The configuration.
    pub spec: &'a Spec,
    /// The root to build.
    pub rootfs: &'a Rootfs,
    /// What to execute; a container may be created without.
    pub process: Option<&'a Process>,
    /// Namespaces to join.
    pub targets: &'a [Target],
    /// The network namespace that somebody else makes, to join too.
    pub ahead: Option<&'a Ahead>,
    /// The cgroups of v1 that it moves itself to when the parent has made them.
    pub own_cgroups: Option<&'a Paths>,
    /// Kinds that are new.
    pub new: Kinds,
    /// It has a user namespace, new or joined.
    pub user_namespace: bool,
    /// The state, for hooks that run here.
    pub state: &'a Reported,
    /// Where the outer end of the terminal goes.
    pub console: Option<&'a OwnedFd>,
    /// The socket on which to wait for `start`; without one the parent itself says when.
    pub gate: Option<&'a OwnedFd>,
    /// The parent has nothing to do any more before the program starts, and does not say when.
    pub starts_at_once: bool,
    /// Signals that the runtime's caller ignores, a bit for each from SIGHUP on; the container does not.
    pub ignored_signals: u32,
    /// The name of the session keyring to join.
    pub keyring: Option<&'a CStr>,
    /// The parent has something to do before pivot_root(2): hooks to run, network devices to move.
    pub parent_is_due: bool,
    /// Where hooks write.
    pub hook_output: &'a hooks::Output,
    /// Descriptors beyond the standard streams that the program inherits.
    pub preserve_fds: u32,
}

/// Runs the first process.
///
/// # Errors
/// What was attempted, on what, and why it failed; [`crate::launch::launch`] takes it to the parent.
pub fn run(init: &Init<'_>, born: &mut Born) -> Result<Infallible> {
    let proc = enter(init, born)?;
    let mut placed = Placed { done: false, own_cgroups: init.own_cgroups };
    let mut built = rootfs::build(init.rootfs, None, &mut |ask| placed.answer(ask, born))?;
    placed.wait(born)?;
    if init.parent_is_due {
        born.link.send(&Message::Reached(Stage::Mounted))?;
        born.link.wait()?;
    }
    run_create_container_hooks(init, proc.as_ref(), &built)?;
    open_terminal(init, &mut built)?;
    write_sysctls(init.spec, proc.as_ref())?;
    if let Some(process) = init.process {
        built.make_folder(process.cwd())?;
    }
    built.protect()?;
    built.pivot()?;
    name_host(init.spec)?;
    let mut ready = match init.process {
        Some(process) => {
            let has_own_dev = init.rootfs.populate_dev;
            Some(process.confine(proc.as_ref(), &mut born.link, has_own_dev, init.preserve_fds)?)
        }
        None => None,
    };
    drop(proc);
    if let Some(gate) = init.gate {
        if let Some(ready) = ready.as_mut().filter(|ready| ready.has_listener()) {
            // The agent that gets it may wait for it before it has the container started.
            ready.settle(&mut born.link)?;
        }
        stand_at(gate, init, born)?;
    }
    wait_for_start(init, born)?;
    let Some(mut ready) = ready else {
        return Err(Error::new(
            ErrorKind::State,
            "the container was created without a process: there is nothing to start",
        ));
    };
    let hooks_here = Point::StartContainer.hooks(init.spec);
    if !hooks_here.is_empty() {
        // They run what the image says, as the program does: with what that can reach, and what it is denied.
        ready.settle(&mut born.link)?;
        // In here it goes by the pid that it has in here.
        let pid = rustix::process::getpid().as_raw_nonzero().get();
        let state = Reported { status: Status::Created, pid, ..init.state.clone() };
        let environment = init.process.map_or(Ok(Vec::new()), Process::environment)?;
        let environment = Environment::Of(&environment);
        hooks::run_in(None, hooks_here, Point::StartContainer, &state, environment, None, init.hook_output)?;
    }
    ready.execute(&mut born.link)
}

/// Becomes a process of the container's namespaces, of which nothing shows but itself: returns the host's procfs, where that is
/// still needed, and the mount namespace that it has made but not entered yet, if it begins with the root alone.
fn enter(init: &Init<'_>, born: &mut Born) -> Result<Option<Proc>> {
    sys::signal::unblock_all();
    sys::signal::heed(init.ignored_signals);
    rustix::process::setsid().attempt(|| "start a new session")?;
    if init.new.contains(Kind::User) {
        born.link.wait()?;
    }
    if init.user_namespace {
        become_root()?;
    }
    protect_from_container()?;
    // Modes are what the configuration says; the program gets its own mask later.
    program::set_umask(0);
    let proc = if needs_proc(init) { Some(Proc::open()?) } else { None };
    if let Some(name) = init.keyring {
        join_keyring(name, init.process, proc.as_ref())?;
    }
    born.enter(init.targets, Kinds::NONE)?;
    match init.ahead {
        Some(ahead) => ahead.join()?,
        None if init.new.contains(Kind::Net) => namespace::loopback_up()?,
        None => {}
    }
    Ok(proc)
}

/// Runs the createContainer hooks, which see the container's mounts and, as their working directory, its root.
fn run_create_container_hooks(init: &Init<'_>, proc: Option<&Proc>, built: &rootfs::Built) -> Result<()> {
    let hooks_here = Point::CreateContainer.hooks(init.spec);
    if hooks_here.is_empty() {
        return Ok(());
    }
    let state = Reported { pid: own_pid(proc)?, ..init.state.clone() };
    program::close_on_exec(init.preserve_fds);
    // As runc, which is in the container's root by now.
    let root = format!("/proc/self/fd/{}", built.root().as_raw_fd());
    let root = Some(Path::new(&root));
    hooks::run_in(root, hooks_here, Point::CreateContainer, &state, Environment::Inherited, None, init.hook_output)
}

/// Opens the terminal of a process that is to have one, and hands its outer end over.
fn open_terminal(init: &Init<'_>, built: &mut rootfs::Built) -> Result<()> {
    let Some((process, console)) = init.process.filter(|process| process.terminal).zip(init.console) else {
        return Ok(());
    };
    let terminal = terminal::open(built.root(), process.size)?;
    if init.rootfs.populate_dev {
        built.place_console(terminal.inner.as_fd())?;
    }
    send_fd(console.as_fd(), terminal.name.as_bytes(), terminal.outer.as_fd())
        .attempt(|| "send the terminal over the console socket")?;
    confine::use_terminal(terminal.inner.as_fd())
}

/// Listens at the gate, and tells the parent so: from here on the container outlives it.
fn stand_at(gate: &OwnedFd, init: &Init<'_>, born: &mut Born) -> Result<()> {
    // It may wait for long: nothing of the host stays open meanwhile.
    let of_hooks = init.hook_output.fds().filter(|_| !Point::StartContainer.hooks(init.spec).is_empty());
    let stay: Vec<_> = [gate.as_raw_fd(), born.link.as_fd().as_raw_fd()].into_iter().chain(of_hooks).collect();
    sys::fd::close_kept(3 + init.preserve_fds as i32, &stay).attempt(|| "close what set-up has left open")?;
    // The parent goes away as soon as it has heard.
    rustix::process::set_parent_process_death_signal(None).attempt(|| "outlive the parent")?;
    sys::signal::end_when_asked();
    rustix::net::listen(gate, 16).attempt(|| "listen for the start")?;
    born.link.send(&Message::Reached(Stage::Ready))
}

/// Whether the host's procfs is needed: for sysctls, labels, or the pid that hooks are told.
fn needs_proc(init: &Init<'_>) -> bool {
    let sysctls = init.spec.linux().as_ref().and_then(|linux| linux.sysctl().as_ref());
    sysctls.is_some_and(|sysctls| !sysctls.is_empty())
        || init.process.is_some_and(Process::is_labelled)
        || !Point::CreateContainer.hooks(init.spec).is_empty()
}

/// Waits once until the parent has made the cgroup and put this process into it, or lets it move itself.
struct Placed<'a> {
    done: bool,
    own_cgroups: Option<&'a Paths>,
}

impl Placed<'_> {
    fn answer(&mut self, ask: Ask<'_>, born: &mut Born) -> Result<()> {
        // What the parent says comes in its order: first that this process is in its cgroup.
        self.wait(born)?;
        match ask {
            Ask::BeforeCgroup => Ok(()),
            Ask::MapIds(tree, mount) => {
                born.link.send(&Message::MapIds(tree.as_raw_fd(), mount as u32))?;
                born.link.wait()
            }
        }
    }

    fn wait(&mut self, born: &mut Born) -> Result<()> {
        if !std::mem::replace(&mut self.done, true) {
            born.link.wait()?;
            if let Some(paths) = self.own_cgroups {
                let entrances = Cgroup::open(paths)?.entrances()?;
                entrances.enter()?;
                entrances.keep();
            }
            // Its cgroups say where a container may run, not what the runtime was confined to (as runc from 1.3.1 on), nor
            // where this process had to keep out of the runtime's way.
            sys::sched::lift_affinity();
            born.enter_late(Kinds::ALL)?;
        }
        Ok(())
    }
}

/// In a new user namespace: root of it, as far as it maps one.
pub(crate) fn become_root() -> Result<()> {
    use rustix::fs::{Gid, Uid};
    match rustix::thread::set_thread_res_gid(Gid::ROOT, Gid::ROOT, Gid::ROOT) {
        Ok(()) | Err(Errno::INVAL) => {}
        Err(errno) => return Err(Error::os(errno, "become group 0 of the user namespace")),
    }
    match rustix::thread::set_thread_res_uid(Uid::ROOT, Uid::ROOT, Uid::ROOT) {
        Ok(()) | Err(Errno::INVAL) => Ok(()),
        Err(errno) => Err(Error::os(errno, "become user 0 of the user namespace")),
    }
}

/// Nobody in the container may look into this process or at what it has open, until it is theirs.
pub(crate) fn protect_from_container() -> Result<()> {
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)
        .attempt(|| "make this process undumpable")
}

/// Leaves the caller's session keyring, which the container has no business with.
pub(crate) fn join_keyring(name: &CStr, process: Option<&Process>, proc: Option<&Proc>) -> Result<()> {
    let label = process.and_then(Process::selinux_label).zip(proc);
    if let Some((label, proc)) = label {
        lsm::selinux_for_keys(proc, label)?;
    }
    let joined = sys::keyring::join_session_keyring(name);
    if let Some((_, proc)) = label {
        lsm::selinux_for_keys(proc, "")?;
    }
    match joined {
        // A kernel or an outer container without keyrings: there is none to leave either.
        Err(Errno::NOSYS) => Ok(()),
        other => other.attempt(|| format!("join a new session keyring {}", name.to_string_lossy())),
    }
}

/// This process's pid as the runtime sees it, whose procfs `proc` is.
fn own_pid(proc: Option<&Proc>) -> Result<i32> {
    let proc = proc.ok_or_else(|| Error::invalid("/proc was not opened"))?;
    let link = rustix::fs::readlinkat(proc, "self", Vec::new()).attempt(|| "read /proc/self")?;
    link.to_str().ok().and_then(|pid| pid.parse().ok()).ok_or_else(|| Error::invalid("/proc/self is no pid"))
}

/// The sysctls of the configuration, through the host's procfs: what they change is this process's namespaces' own.
fn write_sysctls(spec: &Spec, proc: Option<&Proc>) -> Result<()> {
    let Some(proc) = proc else { return Ok(()) };
    let sysctls = spec.linux().as_ref().and_then(|linux| linux.sysctl().as_ref());
    for (name, value) in sysctls.into_iter().flatten() {
        let path = match name.find(['.', '/']) {
            Some(at) if name.as_bytes()[at] == b'/' => name.clone(),
            // A dot in a component, as of a VLAN device, is written as a slash in the dotted form.
            _ => name
                .chars()
                .map(|c| {
                    if c == '.' {
                        '/'
                    } else if c == '/' {
                        '.'
                    } else {
                        c
                    }
                })
                .collect(),
        };
        proc.write(&format!("sys/{path}"), value.as_bytes()).attempt(|| format!("set sysctl {name} to {value:?}"))?;
    }
    Ok(())
}

fn name_host(spec: &Spec) -> Result<()> {
    if let Some(name) = spec.hostname().as_ref().filter(|name| !name.is_empty()) {
        rustix::system::sethostname(name.as_bytes()).attempt(|| format!("set the host name to {name}"))?;
    }
    if let Some(name) = spec.domainname().as_ref().filter(|name| !name.is_empty()) {
        rustix::system::setdomainname(name.as_bytes()).attempt(|| format!("set the domain name to {name}"))?;
    }
    Ok(())
}

/// How long a shortage of the machine is waited out at a time.
const SHORTAGE: std::time::Duration = std::time::Duration::from_millis(10);

/// Whether an errno says that the machine is short of something, which others may give back.
fn passes(errno: Errno) -> bool {
    matches!(errno, Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::NOBUFS)
}

/// Waits for leave to start: from the parent, or from whoever connects to the gate.
fn wait_for_start(init: &Init<'_>, born: &mut Born) -> Result<()> {
    let Some(gate) = init.gate else {
        return if init.starts_at_once { Ok(()) } else { born.link.wait() };
    };
    loop {
        let starter = match rustix::net::accept_with(gate, SocketFlags::CLOEXEC) {
            Err(Errno::INTR | Errno::CONNABORTED) => continue,
            // The starter waits meanwhile.
            Err(errno) if passes(errno) => {
                std::thread::sleep(SHORTAGE);
                continue;
            }
            other => other.attempt(|| "wait for the container to be started")?,
        };
        let mut starter = Link::from_fd(starter);
        // Some only look whether there is a container to start, and go without leave; then the next one may. Their connection
        // goes with them: a starter whose greeting cannot be sent sees its end.
        let mut greeted = starter.send(&Message::Reached(Stage::Ready));
        if greeted.as_ref().is_err_and(|error| error.errno().is_some_and(passes)) {
            std::thread::sleep(SHORTAGE);
            greeted = starter.send(&Message::Reached(Stage::Ready));
        }
        if greeted.is_ok() && matches!(starter.receive(), Ok(Some(Message::Proceed))) {
            born.link = starter;
            return Ok(());
        }
    }
}

/// Opens the root that this process has, for work inside it.
///
/// # Errors
/// As open(2).
pub(crate) fn own_root() -> Result<OwnedFd> {
    rustix::fs::open(Path::new("/"), OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .attempt(|| "open the container's root")
}
