//! `exec`: another process in a running container.

use std::convert::Infallible;
use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use oci_spec::runtime::{Process as SpecProcess, Spec};
use rustix::io::Errno;
use rustix::process::Pid;

use crate::cgroup::{Cgroup, Entrances, SubCgroup};
use crate::container::record::folder::replace_file;
use crate::container::record::instance::Container;
use crate::container::record::life::Verb;
use crate::container::record::process::Stat;
use crate::container::record::runtime::Runtime;
use crate::container::record::state::State;
use crate::container::spec::config::Config;
use crate::container::spec::process::Process;
use crate::container::spec::properties::{KEEP_GROUPS, annotation, namespaces};
use crate::container::spec::seccomp::send_filter;
use crate::container::steps::cgroups::is_refusal_of_unified;
use crate::container::steps::confine;
use crate::container::steps::console::Console;
use crate::container::steps::inherited::Inherited;
use crate::container::steps::init;
use crate::container::steps::notify;
use crate::container::steps::resctrl;
use crate::container::steps::wait::Signals;
use crate::error::{Attempt, Error, Result};
use crate::launch::{Born, Child, is_refusal_of_clone3, launch, program, terminal};
use crate::lsm::Proc;
use crate::namespace::{self, Kind, Kinds, Target};
use crate::sys::fd::{receive_fd, send_fd};

/// Options of `exec`.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The socket that gets the outer end of the terminal.
    pub console_socket: Option<PathBuf>,
    /// The socket that gets a pidfd of the process.
    pub pidfd_socket: Option<PathBuf>,
    /// The file that gets the process's pid.
    pub pid_file: Option<PathBuf>,
    /// Return when the program is started.
    pub detach: bool,
    /// Descriptors from 3 on that the program inherits.
    pub preserve_fds: u32,
    /// `[CONTROLLERS:]PATH` below the container's cgroup.
    pub cgroup: Vec<String>,
    /// Start it in a paused container too, where it waits for the others to go on.
    pub ignore_paused: bool,
}

/// Starts a process in the container `id`: what `choose` makes of the container's own configuration. Returns its exit
/// status, 0 when detached.
///
/// # Errors
/// When the container is not running, or why the program could not be executed.
pub fn exec(
    runtime: &Runtime,
    id: &str,
    options: &Options,
    choose: impl FnOnce(&Spec) -> Result<SpecProcess>,
) -> Result<u8> {
    let inherited = Inherited::find(options.preserve_fds, false)?;
    let container = Container::load(runtime, id)?;
    let verb = if options.ignore_paused { Verb::ExecIgnoringPause } else { Verb::Exec };
    let init = container.admit(verb)?.into_init()?;
    let outlived = |error| container.outlived(verb, error);
    let mut config = Config::kept_in(&container.folder).map_err(outlived)?;
    let kinds = kinds_to_join(&config.spec, &container.state).map_err(outlived)?;
    let process = prepare(runtime, &container, &config, kinds, choose)?;
    let signals = if options.detach { None } else { Some(Signals::hold()?) };
    let mut plan = Plan::of(runtime, &container, options, kinds, process, init).map_err(outlived)?;
    let (mut child, is_born) = plan.launch(&container, options, inherited).map_err(outlived)?;
    log::debug!("container {id}: process {} joins {:?}: {}", child.pid.as_raw_pid(), plan.kinds, plan.process);
    let mut rest = Rest { container: &container, config: &mut config, options, signals: signals.as_ref() };
    let terminal = rest.settle(&mut plan, &mut child, is_born).map_err(|error| {
        let error = child.link.failure().unwrap_or(error);
        child.kill();
        outlived(error)
    })?;
    let status = signals.as_ref().map_or(Ok(0), |signals| signals.wait(child.pid, &child.pidfd, terminal, None));
    // This process ends now, and the kernel closes what it has open.
    std::mem::forget((child, plan, signals));
    status
}

/// The process that `choose` makes of the container's configuration.
fn prepare(
    runtime: &Runtime,
    container: &Container,
    config: &Config,
    kinds: Kinds,
    choose: impl FnOnce(&Spec) -> Result<SpecProcess>,
) -> Result<Process> {
    let spec = &config.spec;
    let mut process = Process::prepare(&choose(spec)?, spec.linux().as_ref(), config.has_profile())?;
    if kinds.contains(Kind::User) && setgroups_denied(container.state.init_process_pid) {
        process.keep_groups()?;
    }
    if annotation(spec, KEEP_GROUPS).is_some() {
        process.keep_original_groups();
    }
    if !runtime.privileged() {
        process.send_listener();
    }
    Ok(process)
}

/// What is looked up and opened before there is a child.
#[derive(Debug)]
struct Plan {
    process: Process,
    /// The container's own namespaces.
    kinds: Kinds,
    targets: [Target; 1],
    processes: namespace::Plan,
    console: Option<Console>,
    keyring: CString,
    proc: Option<Proc>,
    cgroup: Option<Cgroup>,
    /// The files by which the child joins the hierarchies of v1.
    entrances: Option<Entrances>,
}

impl Plan {
    fn of(
        runtime: &Runtime,
        container: &Container,
        options: &Options,
        kinds: Kinds,
        process: Process,
        init: OwnedFd,
    ) -> Result<Plan> {
        let id = &container.state.id;
        let console = Console::open(options.console_socket.as_deref(), process.terminal, !options.detach)?;
        let proc = if process.is_labelled() { Some(Proc::open()?) } else { None };
        let mut cgroup = own_cgroup(container, options)?;
        let entrances = match &mut cgroup {
            // Affinities come before and after the cgroup, and are the parent's to set.
            Some(cgroup) if !cgroup.is_unified() && !process.has_affinity() => {
                Some(entrances(container, options, cgroup)?)
            }
            _ => None,
        };
        Ok(Plan {
            process,
            kinds,
            targets: [Target::from_fd(init, format!("container {id}"))],
            processes: namespace::plan(Kinds::NONE, &[kinds], runtime.privileged()),
            console,
            keyring: program::c_string(format!("_ses.{id}"), "keyring name")?,
            proc,
            cgroup,
            entrances,
        })
    }

    /// Launches the child; says whether it was born in the container's cgroup. Of the console and the entrances the child has
    /// its own from here on.
    fn launch(&mut self, container: &Container, options: &Options, inherited: Inherited) -> Result<(Child, bool)> {
        let ignored = Stat::own().ignored;
        start(container, options, self, |born| self.run(born, ignored, inherited.count()))
    }

    /// The child's part.
    fn run(&self, born: &mut Born, ignored_signals: u32, inherited: u32) -> Result<Infallible> {
        if let Some(entrances) = &self.entrances {
            entrances.enter()?;
        }
        crate::sys::signal::unblock_all();
        crate::sys::signal::heed(ignored_signals);
        rustix::process::setsid().attempt(|| "start a new session")?;
        init::protect_from_container()?;
        // runc has no keyring of its own for every exec: it shares the container's by name.
        init::join_keyring(&self.keyring, Some(&self.process), self.proc.as_ref())?;
        born.enter(&self.targets, Kinds::NONE)?;
        if self.kinds.contains(Kind::User) {
            init::become_root()?;
        }
        if let Some(console) = &self.console {
            let terminal = terminal::open(init::own_root()?.as_fd(), self.process.size)?;
            send_fd(console.inner.as_fd(), terminal.name.as_bytes(), terminal.outer.as_fd())
                .attempt(|| "send the terminal over the console socket")?;
            confine::use_terminal(terminal.inner.as_fd())?;
        }
        born.link.wait()?;
        if !self.process.ends_with_affinity() {
            crate::sys::sched::lift_affinity();
        }
        let ready = self.process.confine(self.proc.as_ref(), &mut born.link, false, inherited)?;
        ready.execute(&mut born.link)
    }
}

/// What is left to do with a child that was launched.
struct Rest<'a> {
    container: &'a Container,
    config: &'a mut Config,
    options: &'a Options,
    signals: Option<&'a Signals>,
}

impl Rest<'_> {
    /// Puts the child into the container's cgroup and waits until its program is executed; returns the outer end of its
    /// terminal, when it is this runtime's to show.
    fn settle(&mut self, plan: &mut Plan, child: &mut Child, is_born: bool) -> Result<Option<OwnedFd>> {
        let joins_itself = plan.entrances.is_some();
        plan.entrances.take().into_iter().for_each(Entrances::close);
        let outer = plan.console.take().and_then(|console| console.outer);
        plan.process.set_initial_affinity(child.pid)?;
        if let Some(cgroup) = &mut plan.cgroup {
            self.join(cgroup, child.pid, is_born, joins_itself)?;
        }
        resctrl::join(&self.container.state, child.pid)?;
        plan.process.set_final_affinity(child.pid)?;
        plan.process.limit(child.pid)?;
        let mut terminal = None;
        if let Some(outer) = &outer {
            terminal = receive_fd(outer.as_fd()).attempt(|| "receive the terminal")?;
            // Before the program starts, which may ask at once.
            terminal.iter().for_each(|terminal| terminal::fit(terminal.as_fd()));
        }
        child.proceed()?;
        // Looked at now that the child is busy.
        if let Some(profile) = self.config.seccomp_profile()? {
            send_filter(&profile, &child.link)?;
        }
        let (pid, state) = (child.pid.as_raw_pid(), &self.container.state);
        notify::wait_for_exec(&mut child.link, child.pidfd.as_fd(), pid, &self.config.spec, state, self.signals)?;
        if let Some(socket) = &self.options.pidfd_socket {
            let socket = terminal::connect(socket)?;
            send_fd(socket.as_fd(), b"pidfd", child.pidfd.as_fd()).attempt(|| "send the pidfd of the process")?;
        }
        if let Some(file) = &self.options.pid_file {
            replace_file(file, pid.to_string().as_bytes(), 0o644)?;
        }
        Ok(terminal)
    }

    fn join(&self, cgroup: &mut Cgroup, pid: Pid, is_born: bool, joins_itself: bool) -> Result<()> {
        let is_default = self.options.cgroup.is_empty();
        match cgroup.join_rest(pid, is_born, joins_itself) {
            Err(error) if takes_none(&error) && is_default => {
                now(self.container, cgroup)?.ok_or(error)?.join(Some(pid))
            }
            Err(error) if error.is_denied() && is_default => {
                self.container.state.systemd_unit.as_ref().ok_or(error)?.attach(pid)
            }
            joined => joined,
        }
    }
}

/// The kinds that the container has to itself: those that its configuration lists, but for a user namespace that is the
/// caller's own, which cannot be entered again; and a time namespace that `create` made unasked.
fn kinds_to_join(spec: &Spec, state: &State) -> Result<Kinds> {
    let mut kinds: Kinds = namespaces(spec).map(|(kind, _)| kind).collect();
    if kinds.contains(Kind::User) && namespace::is_shared_with(state.init_process_pid, Kind::User)? {
        kinds.remove(Kind::User);
    }
    Ok(if state.time_namespace { kinds | Kind::Time } else { kinds })
}

fn setgroups_denied(pid: i32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/setgroups")).is_ok_and(|text| text.starts_with("deny"))
}

/// Whether a cgroup takes no process: it passes controllers on (EBUSY), or is gone.
fn takes_none(error: &Error) -> bool {
    matches!(error.errno(), Some(Errno::BUSY | Errno::NOENT | Errno::NODEV))
}

/// Where the container's first process is, when the container's own cgroup takes none: its processes moved down, so that it
/// could pass controllers on, or elsewhere altogether, and removed it.
fn now(container: &Container, cgroup: &Cgroup) -> Result<Option<Cgroup>> {
    Pid::from_raw(container.state.init_process_pid).map(|init| cgroup.of_process(init)).transpose()
}

/// The files by which the child joins the hierarchies of v1.
fn entrances(container: &Container, options: &Options, cgroup: &mut Cgroup) -> Result<Entrances> {
    match cgroup.entrances() {
        Err(error) if takes_none(&error) && options.cgroup.is_empty() => {
            *cgroup = now(container, cgroup)?.ok_or(error)?;
            cgroup.entrances()
        }
        opened => opened,
    }
}

/// The container's cgroup, or the one below it that is asked for.
fn own_cgroup(container: &Container, options: &Options) -> Result<Option<Cgroup>> {
    if container.state.cgroup_paths.is_empty() {
        return Ok(None);
    }
    let cgroup = container.cgroup()?;
    Ok(Some(match SubCgroup::parse(&options.cgroup)? {
        sub if sub.is_empty() => cgroup,
        sub => cgroup.sub(&sub)?,
    }))
}

/// Launches the child where it can be born in its cgroup, in the unified hierarchy; says whether it was.
fn start(
    container: &Container,
    options: &Options,
    plan: &Plan,
    body: impl Fn(&mut Born) -> Result<Infallible>,
) -> Result<(Child, bool)> {
    let launch_in = |cgroup| launch(&plan.processes, &plan.targets, cgroup, &body);
    let is_default = options.cgroup.is_empty();
    let Some(cgroup) = plan.cgroup.as_ref().filter(|_| plan.processes.is_cloned_in_own_cgroup_namespace()) else {
        return Ok((launch_in(None)?, false));
    };
    let launched = match cgroup.fd_for_clone() {
        Ok(None) => return Ok((launch_in(None)?, false)),
        Ok(Some(fd)) => launch_in(Some(fd)),
        Err(error) => Err(error),
    };
    match launched {
        // Under a filter, or of a hybrid machine, where it can be moved there.
        Err(error) if is_refusal_of_clone3(&error) || (!cgroup.is_unified() && is_refusal_of_unified(&error)) => {
            Ok((launch_in(None)?, false))
        }
        Err(error) if takes_none(&error) && is_default => {
            let now = now(container, cgroup)?.ok_or(error)?;
            Ok((launch_in(now.fd_for_clone()?)?, true))
        }
        // A user may move processes within what is theirs; systemd can bring one there.
        Err(error) if container.state.systemd_unit.is_some() && error.is_denied() => Ok((launch_in(None)?, false)),
        // clone3(2) does not say which one takes no process.
        Err(error) if matches!(error.errno(), Some(Errno::BUSY | Errno::OPNOTSUPP)) => {
            Err(error.errno().map_or(error, |errno| cgroup.failed_birth(errno)))
        }
        launched => Ok((launched?, true)),
    }
}
