//! `create`, and the first half of `run`: from a bundle to a first process that waits to be started.
//!
//! load → plan → make → launch → settle. The order of the steps leaves `delete --force` enough to remove everything, wherever
//! the runtime is killed; docs/architecture.md, "The life of a container", has it step by step.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use crate::container::record::folder::{Folder, replace_file};
use crate::container::record::gate;
use crate::container::record::life::Status;
use crate::container::record::process::Stat;
use crate::container::record::runtime::Runtime;
use crate::container::record::state::State;
use crate::container::spec::bundle::Bundle;
use crate::container::spec::hooks::Point;
use crate::container::spec::idmaps::{self, Maps};
use crate::container::spec::process::Process;
use crate::container::spec::seccomp::send_filter;
use crate::container::steps::created::{Begun, Created, announce};
use crate::container::steps::hooks;
use crate::container::steps::inherited::Inherited;
use crate::container::steps::init::{self, Init};
use crate::container::steps::namespaces::Namespaces;
use crate::container::steps::network;
use crate::container::steps::notify;
use crate::container::steps::plan::{Asked, Plan, must_be_within_reach};
use crate::container::steps::sd_notify;
use crate::container::steps::wait::Signals;
use crate::error::{Attempt, Error, Result};
use crate::launch::link::Stage;
use crate::launch::{Child, launch, terminal};
use crate::mount::apply::map_ids;
use crate::mount::rootfs::{self, Rootfs, Source};
use crate::namespace::{self, Ahead, Kind};
use crate::sys::fd::{receive_fd, send_fd};
use crate::sys::sched::run_elsewhere;

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

impl Options {
    /// What of them the plan depends on.
    fn asked<'a>(&'a self, id: &'a str, start: Start, inherited: Inherited) -> Asked<'a> {
        Asked {
            id,
            no_pivot: self.no_pivot,
            no_new_keyring: self.no_new_keyring,
            console_socket: self.console_socket.as_deref(),
            attached: start == Start::Attached,
            inherited,
        }
    }
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
    let inherited = Inherited::find(options.preserve_fds, true)?;
    let folder = Folder::of(&runtime.root, id)?;
    let mut bundle = Bundle::load(&options.bundle)?;
    must_be_within_reach(runtime, &bundle)?;
    let namespaces = Namespaces::open(&bundle.config.spec)?;
    let mut processes = namespaces.plan(runtime.privileged());
    let ahead = Ahead::start(&mut processes);

    let begun = Begun::new(folder)?;
    sd_notify::prepare(begun.folder(), &mut bundle.config.spec)?;
    processes.time_offsets = idmaps::time_offsets(&bundle.config.spec)?;
    let wait = |fd: BorrowedFd<'_>, deadline| signals.until_readable(fd, Some(deadline));
    let mut plan = Plan::of(runtime, &bundle, &namespaces, &options.asked(id, start, inherited), &wait)?;
    log::debug!("container {id}: {namespaces}; {plan}");

    let gate = if start == Start::AtGate { Some(gate::make(begun.folder())?) } else { None };
    let made_of = (plan.root.path.as_path(), &plan.placement, namespaces.new);
    let own = Stat::own();
    let state = announce(runtime, &bundle, begun.folder(), made_of, &own)?;
    let starts_at_once = starts_at_once(start, &plan, options);
    let launching = Launching {
        bundle: &bundle,
        namespaces: &namespaces,
        processes: &processes,
        ahead: ahead.as_ref(),
        state: &state,
        gate: gate.as_ref(),
        starts_at_once,
        ignored_signals: own.ignored,
        inherited,
    };
    let (child, is_born_in_cgroup) = launching.launch(&mut plan).inspect_err(|_| plan.placement.remove_quietly())?;
    drop(gate);

    let Plan { process, maps, console, placement, root, own_cgroups, parent_is_due, .. } = plan;
    let mut created = Created::new(begun, state, bundle, child, placement, signals);
    (created.ahead, created.starts_at_once) = (ahead, starts_at_once);
    let rest = Rest {
        root: &root,
        process: process.as_ref(),
        maps: namespaces.new.contains(Kind::User).then_some(&maps),
        terminal: console.and_then(|console| console.outer),
        is_born_in_cgroup,
        moves_itself: own_cgroups.is_some(),
        parent_is_due,
        waits_at_gate: start == Start::AtGate,
    };
    match rest.settle(&mut created, options) {
        Ok(()) => Ok(created),
        Err(error) => Err(created.cause_of(error)),
    }
}

/// Whether the first process may start its program without another word of this one, which has nothing left to do before.
fn starts_at_once(start: Start, plan: &Plan, options: &Options) -> bool {
    start != Start::AtGate
        && plan.process.as_ref().is_some_and(|process| !process.terminal)
        && options.pid_file.is_none()
        && options.pidfd_socket.is_none()
        && !sd_notify::is_expected()
}

/// What the first process is launched with, beside the plan.
struct Launching<'a> {
    bundle: &'a Bundle,
    namespaces: &'a Namespaces,
    processes: &'a namespace::Plan,
    ahead: Option<&'a Ahead>,
    state: &'a State,
    gate: Option<&'a OwnedFd>,
    starts_at_once: bool,
    ignored_signals: u32,
    inherited: Inherited,
}

impl Launching<'_> {
    /// Makes the cgroup and launches the first process; says whether that was born in its cgroup.
    fn launch(&self, plan: &mut Plan) -> Result<(Child, bool)> {
        // Here, not in the child, for which the names may mean something else.
        let hook_output = hooks::Output::open(&self.state.annotations)?;
        let reported = self.state.reported(Status::Creating);
        plan.placement.make()?;
        let plan = &*plan;
        let init = Init {
            spec: &self.bundle.config.spec,
            rootfs: &plan.root,
            process: plan.process.as_ref(),
            targets: &self.namespaces.targets,
            ahead: self.ahead,
            own_cgroups: plan.own_cgroups.as_ref(),
            new: self.namespaces.new,
            user_namespace: self.namespaces.kinds.contains(Kind::User),
            state: &reported,
            console: plan.console.as_ref().map(|console| &console.inner),
            gate: self.gate,
            starts_at_once: self.starts_at_once,
            ignored_signals: self.ignored_signals,
            keyring: plan.keyring.as_deref(),
            parent_is_due: plan.parent_is_due,
            hook_output: &hook_output,
            preserve_fds: self.inherited.count(),
        };
        let launched_in = |cgroup: Option<BorrowedFd<'_>>| {
            launch(self.processes, &self.namespaces.targets, cgroup, |born| init::run(&init, born))
        };
        let birthplace = plan.birthplace(self.processes.is_cloned_in_own_cgroup_namespace())?;
        let (child, is_born) = match launched_in(birthplace) {
            Err(error) if birthplace.is_some() && plan.placement.goes_without_unified(&error) => {
                (launched_in(None)?, false)
            }
            launched => (launched?, birthplace.is_some()),
        };
        run_elsewhere(child.pid);
        Ok((child, is_born))
    }
}

/// What is left to do with a first process that was launched.
struct Rest<'a> {
    root: &'a Rootfs,
    process: Option<&'a Process>,
    /// The maps of its user namespace, if that is new.
    maps: Option<&'a Maps>,
    /// Where the outer end of its terminal comes out.
    terminal: Option<OwnedFd>,
    is_born_in_cgroup: bool,
    /// It moves itself to the cgroups of v1.
    moves_itself: bool,
    parent_is_due: bool,
    waits_at_gate: bool,
}

impl Rest<'_> {
    /// The parent's side of src/launch/link.rs, to the moment in which only leave to start is missing.
    fn settle(&self, created: &mut Created<'_>, options: &Options) -> Result<()> {
        if let Some(maps) = self.maps {
            maps.write(created.child.pid)?;
            created.child.proceed()?;
        }
        put_on_record(created)?;
        self.limit(created)?;
        created.child.proceed()?;
        self.map_ids(created)?;
        if self.parent_is_due {
            do_the_hosts_part(created)?;
        }
        // Looked at now that the child is busy.
        if let (Some(profile), Some(_)) = (created.bundle.config.seccomp_profile()?, self.process) {
            send_filter(&profile, &created.child.link)?;
        }
        if let Some(outer) = &self.terminal {
            created.signals.until_readable(outer.as_fd(), None)?;
            created.terminal = Some(receive_terminal(outer, &mut created.child)?);
        }
        if self.waits_at_gate {
            let Created { child, bundle, state, signals, .. } = created;
            notify::wait_for(child, Stage::Ready, &bundle.config.spec, state, signals)?;
        }
        tell_of_process(&created.child, options)
    }

    /// Maps the ids of the mounts that a first process in a user namespace has made of what is in its root.
    fn map_ids(&self, created: &mut Created<'_>) -> Result<()> {
        let is_due = |mount: &&rootfs::Mount| mount.idmap.is_some() && matches!(mount.source, Source::Bind(_));
        let due = if self.root.parent_maps_ids { self.root.mounts.iter().filter(is_due).count() } else { 0 };
        for _ in 0..due {
            let (tree, mount) = notify::wait_for_mount(&mut created.child, created.signals)?;
            let mount = self.root.mounts.get(mount).and_then(|mount| Some((mount, mount.idmap.as_ref()?)));
            let Some((mount, userns)) = mount else {
                return Err(Error::invalid("the first process asks for ids of another mount"));
            };
            map_ids(tree.as_fd(), mount.options.idmap == Some(true), userns.as_fd())
                .attempt(|| format!("mount on {}", mount.target.display()))?;
            created.child.proceed()?;
        }
        Ok(())
    }

    /// Sets the limits, and puts the first process into its cgroup, where it was not born there and does not move itself.
    fn limit(&self, created: &mut Created<'_>) -> Result<()> {
        let wait = |fd: BorrowedFd<'_>, deadline| created.signals.until_readable(fd, Some(deadline));
        created.placement.limit_and_join(created.child.pid, self.is_born_in_cgroup, self.moves_itself, &wait)?;
        let cgroup_paths = created.placement.paths();
        if cgroup_paths != created.state.cgroup_paths {
            // Hierarchies that may be done without, and are; or the cgroup of a unit that was not started before.
            created.state.cgroup_paths = cgroup_paths;
            created.folder.save(&created.state)?;
        }
        self.process.map_or(Ok(()), |process| process.limit(created.child.pid))
    }
}

/// Says in state.json which process is the first, and lets others delete the container.
fn put_on_record(created: &mut Created<'_>) -> Result<()> {
    created.state.has_process(created.child.pid)?;
    // The configuration first: whoever sees the process finds it whole.
    created.folder.keep_config(&created.bundle.config.text)?;
    created.folder.save(&created.state)?;
    created.lock.release();
    log::debug!("container {}: its first process is {}", created.state.id, created.state.init_process_pid);
    Ok(())
}

/// Moves network devices and runs the host's hooks, when everything is mounted.
fn do_the_hosts_part(created: &mut Created<'_>) -> Result<()> {
    let Created { child, bundle, state, signals, .. } = &mut *created;
    notify::wait_for(child, Stage::Mounted, &bundle.config.spec, state, signals)?;
    network::move_devices(&bundle.config.spec, child.pid)?;
    for point in [Point::Prestart, Point::CreateRuntime] {
        created.run_hooks(point, Status::Creating)?;
    }
    created.child.proceed()
}

fn receive_terminal(outer: &OwnedFd, child: &mut Child) -> Result<OwnedFd> {
    match receive_fd(outer.as_fd()).attempt(|| "receive the terminal")? {
        Some(terminal) => {
            // Before the program starts, which may ask at once.
            terminal::fit(terminal.as_fd());
            Ok(terminal)
        }
        // It died first, and says of what.
        None => Err(child.failed("before it had a terminal")),
    }
}

/// Tells the caller which process is the first, as far as it has asked.
fn tell_of_process(child: &Child, options: &Options) -> Result<()> {
    if let Some(socket) = &options.pidfd_socket {
        let socket = terminal::connect(socket)?;
        send_fd(socket.as_fd(), b"pidfd", child.pidfd.as_fd())
            .attempt(|| "send the pidfd of the container's first process")?;
    }
    if let Some(file) = &options.pid_file {
        replace_file(file, child.pid.as_raw_nonzero().to_string().as_bytes(), 0o644)?;
    }
    Ok(())
}
