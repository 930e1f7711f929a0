//! `create`, and the first half of `run`: from a bundle to a first process that waits to be started.
//!
//! What is made is made in an order that leaves `delete --force` enough to remove everything, wherever the runtime is
//! killed: the folder, state.json with the place of the cgroup, the cgroup, the process, which dies with the runtime,
//! state.json with its pid.

use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use rustix::process::Resource;

use crate::container::record::folder::{Folder, Lock, replace_file};
use crate::container::record::gate;
use crate::container::record::life::Status;
use crate::container::record::process::Stat;
use crate::container::record::runtime::Runtime;
use crate::container::record::state::{self, Reported, State};
use crate::container::spec::bundle::{Bundle, KEEP_GROUPS, annotation, namespaces};
use crate::container::spec::hooks::Point;
use crate::container::spec::idmaps;
use crate::container::spec::process::Process;
use crate::container::spec::rootfs;
use crate::container::steps::cgroups::Placement;
use crate::container::steps::console::Console;
use crate::container::steps::hooks;
use crate::container::steps::init::{self, Init};
use crate::container::steps::network;
use crate::container::steps::notify;
use crate::container::steps::sd_notify;
use crate::container::steps::wait::Signals;
use crate::error::{Attempt, Error, Kind as ErrorKind, Result};
use crate::launch::link::Stage;
use crate::launch::{Child, launch, program, terminal};
use crate::namespace::{self, Ahead, Kind, Kinds, Target};

/// Options of `create`, `run` and `restore`.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The bundle's folder.
    pub bundle: PathBuf,
    /// The socket that gets the outer end of the terminal.
    pub console_socket: Option<PathBuf>,
    /// The socket that gets a pidfd of the first process.
    pub pidfd_socket: Option<PathBuf>,
    /// The file that gets the pid of the first process.
    pub pid_file: Option<PathBuf>,
    /// The root is moved over the old one instead of pivot_root(2).
    pub no_pivot: bool,
    /// The caller's session keyring is kept.
    pub no_new_keyring: bool,
    /// Descriptors from 3 on that the program inherits, beyond those of socket activation.
    pub preserve_fds: u32,
}

/// How the container will be started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// By `start`, later: the first process waits at its gate.
    AtGate,
    /// By this runtime, which goes away then.
    Detached,
    /// By this runtime, which waits for its end and lends it its terminal.
    Attached,
}

/// A container whose first process waits for leave to start.
#[derive(Debug)]
pub struct Created<'a> {
    /// Its folder.
    pub folder: Folder,
    pub(crate) lock: Lock,
    /// Its state.
    pub state: State,
    /// Its configuration.
    pub bundle: Bundle,
    /// Its first process.
    pub child: Child,
    /// The outer end of its terminal, when it is this runtime's to show.
    pub terminal: Option<OwnedFd>,
    pub(crate) placement: Placement,
    pub(crate) ahead: Option<Ahead>,
    pub(crate) signals: &'a Signals,
    pub(crate) starts_at_once: bool,
    pub(crate) done: bool,
}

impl Created<'_> {
    /// It stays: dropping it no longer removes it.
    pub fn keep(mut self) {
        self.done = true;
    }

    /// It is about to be removed by the caller, as which it is held until it is dropped: its cgroup and configuration;
    /// `None` when it was deleted by somebody else.
    pub fn take_parts(&mut self) -> Option<(Option<crate::cgroup::Cgroup>, oci_spec::runtime::Spec)> {
        self.done = true;
        self.lock.hold_again().then(|| (self.placement.take_cgroup(), std::mem::take(&mut self.bundle.config.spec)))
    }
}

impl Created<'_> {
    /// `error` with what the cgroup knows of the end of the first process.
    pub(crate) fn explain(&self, error: Error) -> Error {
        explain(error, self.placement.cgroup())
    }

    /// Lets its program start, where it waits for that.
    pub(crate) fn let_start(&mut self) -> Result<()> {
        if self.starts_at_once {
            return Ok(());
        }
        self.child.proceed().map_err(|error| self.explain(error))
    }

    /// Its program runs: what helped to make its namespaces is no longer needed.
    pub(crate) fn let_helper_go(&mut self) {
        self.ahead = None;
    }

    /// Why the kernel may have killed its program.
    pub(crate) fn why_killed(&self) -> Option<String> {
        self.placement.cgroup()?.explain_kill()
    }
}

/// `error` with what `cgroup` knows of the end of its process, if that is what went wrong.
pub(crate) fn explain(error: Error, cgroup: Option<&crate::cgroup::Cgroup>) -> Error {
    match cgroup.filter(|_| error.kind() == ErrorKind::Died).and_then(crate::cgroup::Cgroup::explain_kill) {
        Some(why) => Error::new(ErrorKind::Died, format!("{}: {why}", error.message())),
        None => error,
    }
}

/// Whatever goes wrong, nothing is left.
impl Drop for Created<'_> {
    fn drop(&mut self) {
        if self.done {
            return;
        }
        self.child.kill();
        if !self.lock.hold_again() {
            return;
        }
        self.placement.remove_quietly();
        let _ = self.folder.remove();
        let state = self.state.reported(Status::Stopped);
        let hooks = Point::Poststop.hooks(&self.bundle.config.spec);
        if let Err(error) = hooks::run(hooks, Point::Poststop, &state, &[], Some(self.signals)) {
            log::warn!("{}", error.as_go_prints_it());
        }
    }
}

/// Removes the folder unless it is taken over.
pub(crate) struct Unfinished<'a>(pub(crate) Option<&'a Folder>);

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        if let Some(folder) = self.0 {
            let _ = folder.remove();
        }
    }
}

/// Creates the container `id`.
///
/// # Errors
/// Which step failed, on what, and why; nothing of the container is left then.
pub fn create(runtime: &Runtime, id: &str, options: &Options) -> Result<()> {
    begin(runtime, id, options, Start::AtGate, &Signals::hold()?)?.keep();
    Ok(())
}

/// Creates the container `id` and leaves its first process waiting to be started as `start` says. One of `signals` can
/// end that.
///
/// # Errors
/// As [`create`].
pub fn begin<'a>(
    runtime: &Runtime,
    id: &str,
    options: &Options,
    start: Start,
    signals: &'a Signals,
) -> Result<Created<'a>> {
    let folder = Folder::of(&runtime.root, id)?;
    let mut bundle = Bundle::load(&options.bundle)?;

    let kinds = bundle.kinds();
    if !runtime.privileged() && !kinds.contains(Kind::User) {
        return Err(Error::new(
            ErrorKind::Invalid,
            "rootless container requires user namespaces: linux.namespaces has none, and only who has CAP_SYS_ADMIN \
             may do without",
        ));
    }
    let mut targets = Vec::new();
    let mut joins = Vec::new();
    let mut in_own_cgroup_namespace = !kinds.contains(Kind::Cgroup);
    for (kind, path) in namespaces(&bundle.config.spec) {
        if let Some(path) = path {
            let target = Target::open(path)?;
            in_own_cgroup_namespace |= kind == Kind::Cgroup && is_own_cgroup_namespace(&target)?;
            targets.push(target);
            joins.push(Kinds::only(kind));
        }
    }
    let new = kinds - joins.iter().fold(Kinds::NONE, |all, kinds| all | *kinds);
    let mut plan = namespace::plan(new, &joins, runtime.privileged());
    let ahead = Ahead::start(&mut plan);

    let lock = folder.create()?;
    let mut unfinished = Unfinished(Some(&folder));
    sd_notify::prepare(&folder, &mut bundle.config.spec)?;
    let spec = &bundle.config.spec;
    let linux = spec.linux().as_ref();
    plan.time_offsets = idmaps::time_offsets(spec)?;

    let mut process = match spec.process() {
        Some(process) => Some(Process::prepare(process, linux, bundle.config.has_profile())?),
        None => None,
    };
    let maps = idmaps::plan(spec, new, runtime)?;
    if let (Some(process), true) = (&mut process, maps.denies_setgroups()) {
        process.keep_groups()?;
    }
    if let (Some(process), true) = (&mut process, annotation(spec, KEEP_GROUPS).is_some()) {
        process.keep_original_groups();
    }
    if let (Some(process), false) = (&mut process, runtime.privileged()) {
        process.send_listener();
    }
    let preserve_fds = pass_fds(process.as_mut(), options.preserve_fds)?;
    let wants_terminal = process.as_ref().is_some_and(|process| process.terminal);
    let console = Console::open(options.console_socket.as_deref(), wants_terminal, start == Start::Attached)?;

    if let (Some(former), Some(process)) = (rootfs::make_room(spec)?, &mut process) {
        process.default_limit(Resource::Nofile, former);
    }

    let wait = |fd: BorrowedFd<'_>, deadline| signals.until_readable(fd, Some(deadline));
    let mut placement = Placement::plan(runtime, spec, id, &wait)?;
    let root = rootfs::plan(
        &bundle,
        options.no_pivot,
        &placement.view(kinds, new, in_own_cgroup_namespace),
        kinds.contains(Kind::User) && runtime.privileged(),
    )?;

    let mut state = new_state(runtime, id, &bundle, root.path.clone(), &placement, new);
    let gate = match start {
        Start::AtGate => Some(gate::make(&folder)?),
        Start::Detached | Start::Attached => None,
    };
    let own = Stat::own();
    if placement.is_wanted() {
        // Where the cgroup will be must be on record before any of it is there.
        state.creator = (own.pid, own.started);
        folder.save(&state)?;
    }

    let has_hooks = [Point::Prestart, Point::CreateRuntime].iter().any(|point| !point.hooks(spec).is_empty());
    let parent_is_due = has_hooks || network::has_devices(spec);
    let reported = state.reported(Status::Creating);
    // Here, not in the child, for which the names may mean something else.
    let hook_output = hooks::Output::open(&state.annotations)?;
    let starts_at_once = start != Start::AtGate
        && process.is_some()
        && !wants_terminal
        && options.pid_file.is_none()
        && options.pidfd_socket.is_none()
        && !sd_notify::is_expected();
    let is_free = !kinds.contains(Kind::User) && !joins.iter().any(|joined| joined.contains(Kind::Mount));
    let own_cgroups = placement.paths_to_join(is_free);
    let init = Init {
        spec,
        rootfs: &root,
        process: process.as_ref(),
        targets: &targets,
        ahead: ahead.as_ref(),
        own_cgroups: own_cgroups.as_ref(),
        new,
        user_namespace: kinds.contains(Kind::User),
        state: &reported,
        console: console.as_ref().map(|console| &console.inner),
        gate: gate.as_ref(),
        starts_at_once,
        ignored_signals: own.ignored,
        keyring: keyring(id, options)?,
        parent_is_due,
        hook_output: &hook_output,
        preserve_fds,
    };
    log::debug!("container {id}: new namespaces {new:?}, joined {:?}, cgroups {:?}", kinds - new, state.cgroup_paths);
    let mut is_born_in_cgroup = plan.is_cloned_in_own_cgroup_namespace();
    let launched_in = |cgroup: Option<BorrowedFd<'_>>| launch(&plan, &targets, cgroup, |born| init::run(&init, born));
    let launched = placement.make().and_then(|()| {
        let cgroup = if is_born_in_cgroup { placement.fd_for_clone()? } else { None };
        is_born_in_cgroup = cgroup.is_some();
        match launched_in(cgroup) {
            Err(error) if cgroup.is_some() && placement.goes_without_unified(&error) => {
                is_born_in_cgroup = false;
                launched_in(None)
            }
            launched => launched,
        }
    });
    let child = match launched {
        Ok(child) => child,
        Err(error) => {
            placement.remove_quietly();
            return Err(error);
        }
    };
    crate::sys::sched::run_elsewhere(child.pid);
    drop(gate);
    drop(targets);
    let outer = console.and_then(|console| console.outer);

    // From here on whatever goes wrong takes all of it back.
    unfinished.0 = None;
    drop(unfinished);
    let mut created = Created {
        folder,
        lock,
        state: state.clone(),
        bundle,
        child,
        terminal: None,
        placement,
        ahead,
        signals,
        starts_at_once,
        done: false,
    };
    let pid = created.child.pid;
    let set_up: Result<()> = (|| {
        if new.contains(Kind::User) {
            maps.write(pid)?;
            created.child.proceed()?;
        }
        state.has_process(pid)?;
        created.folder.save(&state)?;
        created.folder.save_config(&created.bundle.config.text)?;
        created.lock.release();
        created.placement.limit_and_join(pid, is_born_in_cgroup, own_cgroups.is_some(), &wait)?;
        let cgroup_paths = created.placement.paths();
        if cgroup_paths != state.cgroup_paths {
            // Hierarchies that may be done without, and are; or the cgroup of a unit that was not started before.
            state.cgroup_paths = cgroup_paths;
            created.folder.save(&state)?;
        }
        if let Some(process) = &process {
            process.limit(pid)?;
        }
        log::debug!("container {id}: its first process is {}", state.init_process_pid);
        created.child.proceed()?;
        if parent_is_due {
            let spec = &created.bundle.config.spec;
            notify::wait_for(&mut created.child, Stage::Mounted, spec, &state, signals)?;
            network::move_devices(spec, pid)?;
            let reported = state.reported(Status::Creating);
            for point in [Point::Prestart, Point::CreateRuntime] {
                hooks::run(point.hooks(spec), point, &reported, &[], Some(signals))?;
            }
            created.child.proceed()?;
        }
        // Looked at now that the child is busy.
        let profile = created.bundle.config.seccomp_profile()?;
        let spec = &created.bundle.config.spec;
        if let (Some(_), Some(profile)) = (&process, profile) {
            crate::container::spec::seccomp::send_filter(&profile, &created.child.link)?;
        }
        if let Some(outer) = &outer {
            signals.until_readable(outer.as_fd(), None)?;
            created.terminal = Some(receive_terminal(outer, &mut created.child)?);
        }
        if start == Start::AtGate {
            notify::wait_for(&mut created.child, Stage::Ready, spec, &state, signals)?;
        }
        if let Some(socket) = &options.pidfd_socket {
            let socket = terminal::connect(socket)?;
            crate::sys::fd::send_fd(socket.as_fd(), b"pidfd", created.child.pidfd.as_fd())
                .attempt(|| "send the pidfd of the container's first process")?;
        }
        if let Some(file) = &options.pid_file {
            replace_file(file, state.init_process_pid.to_string().as_bytes(), 0o644)?;
        }
        Ok(())
    })();
    created.state = state;
    match set_up {
        Ok(()) => Ok(created),
        // When the child failed, what the parent stumbled over is only the consequence.
        Err(error) if error.kind() == ErrorKind::Interrupted => Err(error),
        Err(error) => {
            let error = created.child.link.failure().unwrap_or(error);
            Err(created.explain(error))
        }
    }
}

/// The state of a container that is being made of `bundle`, as far as it is known before it has a process.
pub(crate) fn new_state(
    runtime: &Runtime,
    id: &str,
    bundle: &Bundle,
    rootfs: PathBuf,
    placement: &Placement,
    new: Kinds,
) -> State {
    let spec = &bundle.config.spec;
    State {
        id: id.to_owned(),
        init_process_pid: 0,
        init_process_start: 0,
        created: state::now(),
        config: state::Config { rootfs, labels: labels(bundle) },
        cgroup_paths: placement.paths(),
        systemd_unit: placement.unit().cloned(),
        namespace_paths: Default::default(),
        oci_version: spec.version().clone(),
        bundle: bundle.path.clone(),
        annotations: spec.annotations().iter().flatten().map(|(key, value)| (key.clone(), value.clone())).collect(),
        owner: rustix::process::getuid().as_raw(),
        rootless: runtime.rootless(),
        own_pids: new.contains(Kind::Pid),
        external_descriptors: state::pipes_of_streams(),
        restored: false,
        time_namespace: false,
        creator: Default::default(),
    }
}

/// Whether a cgroup namespace that is to be joined is the runtime's own.
pub(crate) fn is_own_cgroup_namespace(target: &Target) -> Result<bool> {
    let identity = |stat: rustix::fs::Stat| (stat.st_dev, stat.st_ino);
    let own = rustix::fs::stat("/proc/self/ns/cgroup").attempt(|| "look at /proc/self/ns/cgroup")?;
    let joined = rustix::fs::fstat(target).attempt(|| format!("look at {}", target.name()))?;
    Ok(identity(own) == identity(joined))
}

fn receive_terminal(outer: &OwnedFd, child: &mut Child) -> Result<OwnedFd> {
    match crate::sys::fd::receive_fd(outer.as_fd()).attempt(|| "receive the terminal")? {
        Some(terminal) => {
            // Before the program starts, which may ask at once.
            terminal::fit(terminal.as_fd());
            Ok(terminal)
        }
        // It died first, and says of what.
        None => Err(child.failed("before it had a terminal")),
    }
}

/// How many descriptors from 3 on the program inherits: those of socket activation, which are the first `process`'s, and
/// those that the caller asks for.
pub(crate) fn pass_fds(process: Option<&mut Process>, preserve_fds: u32) -> Result<u32> {
    use crate::sys::fd::is_inherited;
    // sd_listen_fds(3). Variables may be a left-over: of a service whose own children do not get its sockets.
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u32>().ok());
    let listen = match process {
        Some(_) if number("LISTEN_PID").is_some_and(|pid| pid == std::process::id()) => number("LISTEN_FDS"),
        _ => None,
    };
    let listen = listen.filter(|listen| (3..).take(*listen as usize).all(is_inherited)).unwrap_or(0);
    if let (Some(process), true) = (process, listen > 0) {
        process.add_variable(format!("LISTEN_FDS={listen}"))?;
        process.add_variable("LISTEN_PID=1".to_owned())?;
        if let Ok(names) = std::env::var("LISTEN_FDNAMES") {
            process.add_variable(format!("LISTEN_FDNAMES={names}"))?;
        }
    }
    let mut preserved = (3 + listen as i32..).take(preserve_fds as usize);
    if let Some(number) = preserved.find(|number| !is_inherited(*number)) {
        return Err(Error::invalid(format!(
            "preserved file descriptor {number} (of {preserve_fds}) is not open: --preserve-fds counts from 3 on"
        )));
    }
    Ok(listen + preserve_fds)
}

fn keyring(id: &str, options: &Options) -> Result<Option<CString>> {
    if options.no_new_keyring { Ok(None) } else { program::c_string(format!("_ses.{id}"), "keyring name").map(Some) }
}

fn labels(bundle: &Bundle) -> Vec<String> {
    let annotations = bundle.config.spec.annotations().iter().flatten().map(|(key, value)| format!("{key}={value}"));
    annotations.chain(std::iter::once(format!("bundle={}", bundle.path.display()))).collect()
}

/// Hooks and the state they are told, for verbs beyond this file.
pub(crate) fn run_hooks(created: &Created<'_>, point: Point, status: Status) -> Result<()> {
    let reported: Reported = created.state.reported(status);
    hooks::run(point.hooks(&created.bundle.config.spec), point, &reported, &[], Some(created.signals))
}
