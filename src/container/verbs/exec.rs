//! `exec`: another process in a running container.

use std::convert::Infallible;
use std::os::fd::AsFd;
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
use crate::container::spec::bundle::{KEEP_GROUPS, annotation, namespaces};
use crate::container::spec::config::Config;
use crate::container::spec::process::{self, Process};
use crate::container::steps::cgroups::is_refusal_of_unified;
use crate::container::steps::console::Console;
use crate::container::steps::init;
use crate::container::steps::notify;
use crate::container::steps::wait::Signals;
use crate::container::verbs::create::pass_fds;
use crate::error::{Attempt, Error, Result};
use crate::launch::{Born, Child, is_refusal_of_clone3, launch, program, terminal};
use crate::lsm::Proc;
use crate::namespace::{self, Kind, Kinds, Target};
use crate::sys::fd::send_fd;

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
    let container = Container::load(runtime, id)?;
    let verb = if options.ignore_paused { Verb::ExecIgnoringPause } else { Verb::Exec };
    let init_pidfd = container.admit(verb)?.into_init()?;
    let mut config = Config::kept_in(&container.folder)?;
    let spec = &config.spec;
    let specified = choose(spec)?;
    let mut process = Process::prepare(&specified, spec.linux().as_ref(), config.has_profile())?;
    let preserve_fds = pass_fds(None, options.preserve_fds)?;

    let init_pid = container.state.init_process_pid;
    let mut kinds = kinds_to_join(spec, init_pid)?;
    if container.state.time_namespace {
        kinds = kinds | Kind::Time;
    }
    let has_userns = kinds.contains(Kind::User);
    if has_userns && setgroups_denied(init_pid) {
        process.keep_groups()?;
    }
    if annotation(spec, KEEP_GROUPS).is_some() {
        process.keep_original_groups();
    }
    if !runtime.privileged() {
        process.send_listener();
    }
    let targets = [Target::from_fd(init_pidfd, format!("container {id}"))];
    let plan = namespace::plan(Kinds::NONE, &[kinds], runtime.privileged());

    let signals = if options.detach { None } else { Some(Signals::hold()?) };
    let console = Console::open(options.console_socket.as_deref(), process.terminal, !options.detach)?;
    let keyring = program::c_string(format!("_ses.{id}"), "keyring name")?;
    let proc = if process.is_labelled() { Some(Proc::open()?) } else { None };
    let mut cgroup = own_cgroup(&container, options)?;
    let entrances = match &mut cgroup {
        // Affinities come before and after the cgroup, and are the parent's to set.
        Some(cgroup) if !cgroup.is_unified() && !process.has_affinity() => {
            Some(entrances(&container, options, cgroup)?)
        }
        _ => None,
    };
    let ignored_signals = Stat::own().ignored;
    let body = |born: &mut Born| -> Result<Infallible> {
        if let Some(entrances) = &entrances {
            entrances.enter()?;
        }
        crate::sys::signal::unblock_all();
        crate::sys::signal::heed(ignored_signals);
        rustix::process::setsid().attempt(|| "start a new session")?;
        init::protect_from_container()?;
        // runc has no keyring of its own for every exec: it shares the container's by name.
        init::join_keyring(&keyring, Some(&process), proc.as_ref())?;
        born.enter(&targets)?;
        if has_userns {
            init::become_root()?;
        }
        if let Some(console) = &console {
            let terminal = terminal::open(init::own_root()?.as_fd(), process.size)?;
            send_fd(console.inner.as_fd(), terminal.name.as_bytes(), terminal.outer.as_fd())
                .attempt(|| "send the terminal over the console socket")?;
            process::use_terminal(terminal.inner.as_fd())?;
        }
        born.link.wait()?;
        if !process.ends_with_affinity() {
            crate::sys::sched::lift_affinity();
        }
        let ready = process.confine(proc.as_ref(), &mut born.link, false, preserve_fds)?;
        ready.execute(&mut born.link)
    };
    let (mut child, is_born) = start(&container, options, &plan, &targets, cgroup.as_ref(), body)?;
    let joins_itself = entrances.is_some();
    entrances.into_iter().for_each(Entrances::close);
    let outer = console.and_then(|console| console.outer);
    let mut shown = None;
    let pid = child.pid;
    log::debug!("container {id}: process {} joins {kinds:?}", pid.as_raw_nonzero());
    let started = (|| {
        process.set_initial_affinity(pid)?;
        if let Some(cgroup) = &mut cgroup {
            match cgroup.join_rest(pid, is_born, joins_itself) {
                Err(error) if takes_none(&error) && options.cgroup.is_empty() => {
                    now(&container, cgroup)?.ok_or(error)?.join(Some(pid))?;
                }
                Err(error) if error.is_denied() && options.cgroup.is_empty() => {
                    container.state.systemd_unit.as_ref().ok_or(error)?.attach(pid)?;
                }
                joined => joined?,
            }
        }
        process.set_final_affinity(pid)?;
        process.limit(pid)?;
        if let Some(outer) = &outer {
            shown = crate::sys::fd::receive_fd(outer.as_fd()).attempt(|| "receive the terminal")?;
            // Before the program starts, which may ask at once.
            shown.iter().for_each(|shown| terminal::fit(shown.as_fd()));
        }
        child.proceed()?;
        // Looked at now that the child is busy.
        if let Some(profile) = config.seccomp_profile()? {
            crate::container::spec::seccomp::send_filter(&profile, &child.link)?;
        }
        notify::wait_for_exec(
            &mut child.link,
            child.pidfd.as_fd(),
            pid.as_raw_nonzero().get(),
            &config.spec,
            &container.state,
            signals.as_ref(),
        )?;
        if let Some(socket) = &options.pidfd_socket {
            let socket = terminal::connect(socket)?;
            send_fd(socket.as_fd(), b"pidfd", child.pidfd.as_fd()).attempt(|| "send the pidfd of the process")?;
        }
        if let Some(file) = &options.pid_file {
            replace_file(file, pid.as_raw_nonzero().to_string().as_bytes(), 0o644)?;
        }
        Ok(())
    })();
    if let Err(error) = started {
        let error = child.link.failure().unwrap_or(error);
        child.kill();
        return Err(error);
    }
    let status = signals.as_ref().map_or(Ok(0), |signals| signals.wait(pid, &child.pidfd, shown, None));
    // This process ends now, and the kernel closes what it has open.
    std::mem::forget((child, targets, cgroup, signals));
    status
}

/// The kinds that the container has to itself: those that its configuration lists, but for a user namespace that is the
/// caller's own, which cannot be entered again.
fn kinds_to_join(spec: &Spec, init_pid: i32) -> Result<Kinds> {
    let mut kinds: Kinds = namespaces(spec).map(|(kind, _)| kind).collect();
    if kinds.contains(Kind::User) && namespace::is_shared_with(init_pid, Kind::User)? {
        kinds.remove(Kind::User);
    }
    Ok(kinds)
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

/// Launches the child in `cgroup` where it can be born there, in the unified hierarchy; says whether it was.
fn start(
    container: &Container,
    options: &Options,
    plan: &namespace::Plan,
    targets: &[Target],
    cgroup: Option<&Cgroup>,
    body: impl Fn(&mut Born) -> Result<Infallible>,
) -> Result<(Child, bool)> {
    let fd = match cgroup {
        Some(cgroup) if plan.is_cloned_in_own_cgroup_namespace() => match cgroup.fd_for_clone() {
            Err(error) if takes_none(&error) && options.cgroup.is_empty() => {
                let now = now(container, cgroup)?.ok_or(error)?;
                return Ok((launch(plan, targets, now.fd_for_clone()?, body)?, true));
            }
            opened => opened?,
        },
        _ => None,
    };
    let (Some(cgroup), Some(fd)) = (cgroup, fd) else { return Ok((launch(plan, targets, None, body)?, false)) };
    match launch(plan, targets, Some(fd), &body) {
        // Under a filter, or of a hybrid machine, where it can be moved there.
        Err(error) if is_refusal_of_clone3(&error) || (!cgroup.is_unified() && is_refusal_of_unified(&error)) => {
            Ok((launch(plan, targets, None, &body)?, false))
        }
        Err(error) if takes_none(&error) && options.cgroup.is_empty() => {
            let now = now(container, cgroup)?.ok_or(error)?;
            Ok((launch(plan, targets, now.fd_for_clone()?, &body)?, true))
        }
        // A user may move processes within what is theirs; systemd can bring one there.
        Err(error) if container.state.systemd_unit.is_some() && error.is_denied() => {
            Ok((launch(plan, targets, None, &body)?, false))
        }
        launched => Ok((launched?, true)),
    }
}
