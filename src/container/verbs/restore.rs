//! `restore`: a container whose processes come back from the files of `checkpoint`.
//!
//! CRIU makes namespaces, mounts and processes; here is what it needs for that: a cgroup, in which it is started, and a
//! mount namespace of its own, in which the root is mounted with everything that the container's mounts are mounted on.
//! Nothing of that is left when it has ended.

use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, PidfdFlags, WaitOptions};

use crate::container::criu::{self, Criu, Notification, Settings, Task, option};
use crate::container::record::folder::{Folder, replace_file};
use crate::container::record::life::Status;
use crate::container::record::process::Stat;
use crate::container::record::runtime::Runtime;
use crate::container::record::state::State;
use crate::container::spec::bundle::Bundle;
use crate::container::spec::hooks::Point;
use crate::container::spec::properties::{annotation, namespaces};
use crate::container::spec::rootfs;
use crate::container::steps::cgroups::Placement;
use crate::container::steps::console::Console;
use crate::container::steps::created::{Begun, Created, announce};
use crate::container::steps::hooks;
use crate::container::steps::namespaces::is_own_cgroup_namespace;
use crate::container::steps::network;
use crate::container::steps::wait::Signals;
use crate::container::verbs::checkpoint::{CONFIG, DESCRIPTORS, NOTHING, mounts_of_host};
use crate::container::verbs::create::Options;
use crate::container::verbs::run::{RunOptions, attend};
use crate::error::{Attempt, Error, Kind as ErrorKind, Result};
use crate::launch::{Child, launch, link};
use crate::mount;
use crate::mount::rootfs::{Rootfs, Source};
use crate::namespace::{self, Kind, Kinds, Target};
use crate::protobuf::Message;
use crate::sys::clone::{Clone3, Forked, clone3, exit_now, setns};
use crate::sys::fd::send_fd;

/// Options of `restore` beyond those of `create` and `run`.
#[derive(Clone, Debug, Default)]
pub struct RestoreOptions {
    /// What the checkpoint was told too.
    pub settings: Settings,
    /// The security label that programs come back with, TYPE:NAME.
    pub lsm_profile: Option<String>,
    /// The security label that mounts come back with.
    pub lsm_mount_context: Option<String>,
}

/// The folder on which the root is mounted for CRIU: it wants a mount that nothing else is mounted over.
const ROOT: &str = "criu-root";

/// Brings the container `id` back; returns its exit status, 0 when detached.
///
/// # Errors
/// What is missing, or what CRIU failed at; nothing of the container is left then.
pub fn restore(
    runtime: &Runtime,
    id: &str,
    options: &Options,
    how: &RunOptions,
    restored: &RestoreOptions,
) -> Result<u8> {
    how.become_subreaper()?;
    let signals = Signals::hold()?;
    let file = criu::find()?;
    Criu::check(&file, false, restored.settings.lazy_pages, Some(&signals))
        .attempt(|| format!("restore container {id}"))?;
    let folder = Folder::of(&runtime.root, id)?;
    let bundle = Bundle::load(&options.bundle)?;
    let folders = restored.settings.below(&bundle.path).open("restore.log", false)?;
    let outside = Outside::open(&bundle)?;
    let kinds = bundle.kinds();
    let new = kinds - outside.kinds;

    let begun = Begun::new(folder)?;
    let wants_terminal = bundle.config.spec.process().as_ref().is_some_and(|process| process.terminal() == Some(true));
    let console = Console::open(options.console_socket.as_deref(), wants_terminal, !how.detach)?;
    let wait = |fd: BorrowedFd<'_>, deadline| signals.until_readable(fd, Some(deadline));
    let mut placement = Placement::plan(runtime, &bundle.config.spec, id, &wait)?;
    let view = placement.view(kinds, new, outside.in_own_cgroup_namespace);
    let root = rootfs::plan(&bundle, options.no_pivot, &view, false)?;
    let state = announce(runtime, &bundle, begun.folder(), (&root.path, &placement, new), &Stat::own())?;

    let mut work = Work {
        folder: begun.folder(),
        bundle: &bundle,
        state,
        new,
        read_only: root.readonly && root.pivot != mount::rootfs::Pivot::Chroot,
        console,
        signals: &signals,
        process: None,
        terminal: None,
    };
    let asked = Asked { restored, bundle: &bundle, root: &root, outside: &outside };
    let done = work.bring_back(&file, &mut placement, &asked, folders);
    let Work { state, terminal, process, .. } = work;
    let (pid, pidfd) = done.map_err(|error| {
        if let Some((_, pidfd)) = process {
            let _ = rustix::process::pidfd_send_signal(&pidfd, rustix::process::Signal::KILL);
        }
        placement.remove_quietly();
        error.context(format!("restore container {id}"))
    })?;
    let (link, _) = link::pair()?;
    let mut created = Created::new(begun, state, bundle, Child { pid, pidfd, link }, placement, &signals);
    created.lock.release();
    (created.terminal, created.starts_at_once) = (terminal, true);
    hand_over(created, options, how)
}

/// Tells of the first process in the file that is asked for, and leaves the container or waits for its end.
fn hand_over(created: Created<'_>, options: &Options, how: &RunOptions) -> Result<u8> {
    if let Some(file) = &options.pid_file {
        let pid = created.child.pid.as_raw_nonzero();
        replace_file(file, pid.to_string().as_bytes(), 0o644)?;
    }
    if how.detach {
        created.keep();
        return Ok(0);
    }
    let signals = created.signals;
    attend(created, how, None, signals)
}

/// Namespaces that are there, for the container to come back in.
struct Outside {
    kinds: Kinds,
    /// Those that CRIU gets as descriptors, by what the images call them.
    inherited: Vec<(&'static str, Target)>,
    /// Those that it opens by itself.
    joined: Vec<(Kind, PathBuf)>,
    in_own_cgroup_namespace: bool,
}

impl Outside {
    fn open(bundle: &Bundle) -> Result<Outside> {
        let mut outside = Outside {
            kinds: Kinds::NONE,
            inherited: Vec::new(),
            joined: Vec::new(),
            in_own_cgroup_namespace: !bundle.kinds().contains(Kind::Cgroup),
        };
        for (kind, path) in namespaces(&bundle.config.spec) {
            let Some(path) = path else { continue };
            outside.kinds = outside.kinds | kind;
            let target = Target::open(path)?;
            match criu::name_of_namespace(kind) {
                Some(name) => outside.inherited.push((name, target)),
                None if kind == Kind::Cgroup && is_own_cgroup_namespace(&target)? => {
                    outside.in_own_cgroup_namespace = true;
                }
                None if kind == Kind::Cgroup => {
                    let message =
                        format!("criu cannot bring processes back in the cgroup namespace {}", path.display());
                    return Err(Error::unsupported(message));
                }
                None => outside.joined.push((kind, path.to_owned())),
            }
        }
        Ok(outside)
    }
}

/// Starts CRIU in the container's cgroup, where the root is mounted.
fn start(
    file: &CStr,
    placement: &mut Placement,
    root: &Rootfs,
    outside: &Outside,
    folder: &Path,
    signals: &Signals,
) -> Result<Criu> {
    let at = folder.join(ROOT);
    rustix::fs::mkdir(&at, rustix::fs::Mode::from_raw_mode(0o755)).attempt(|| format!("create {}", at.display()))?;
    let (ours, theirs) = criu::sockets()?;
    let inherited: Vec<_> = outside.inherited.iter().map(|(_, target)| target.as_fd()).collect();
    let plan = namespace::plan(Kinds::only(Kind::Mount), &[], true);
    let mut child = launch(&plan, &[], None, |born| {
        crate::sys::signal::unblock_all();
        born.enter(&[], Kinds::NONE)?;
        born.link.wait()?;
        crate::sys::sched::lift_affinity();
        mount::rootfs::prepare(root, &at)?;
        criu::execute(file, theirs.as_fd(), &inherited)
    })?;
    let wait = |fd: BorrowedFd<'_>, deadline| signals.until_readable(fd, Some(deadline));
    let placed = placement.limit_and_join(child.pid, false, false, &wait).and_then(|()| child.proceed());
    if let Err(error) = placed {
        let error = child.link.failure().unwrap_or(error);
        child.kill();
        return Err(error);
    }
    drop(theirs);
    Criu::meet(child, ours)
}

/// What is asked of CRIU.
struct Asked<'a> {
    restored: &'a RestoreOptions,
    bundle: &'a Bundle,
    root: &'a Rootfs,
    outside: &'a Outside,
}

impl Asked<'_> {
    /// The request to the process `criu`; the container's folder is `folder`.
    fn request(&self, folders: &criu::Folders, criu: Pid, folder: &Path) -> Result<Message> {
        let spec = &self.bundle.config.spec;
        let mut restore = Message::default();
        self.restored.settings.write(&mut restore, folders, annotation(spec, CONFIG));
        restore
            .flag(option::EVASIVE_DEVICES, true)
            .flag(option::RST_SIBLING, true)
            .text(option::ROOT, folder.join(ROOT).as_os_str().as_bytes());
        if let Some(label) = &self.restored.lsm_profile {
            restore.text(option::LSM_PROFILE, label);
        }
        if let Some(label) = &self.restored.lsm_mount_context {
            restore.text(option::LSM_MOUNT_CONTEXT, label);
        }
        for (place, source) in mounts_of_host(self.root)?.into_iter().chain(self.cgroup_mounts()) {
            criu::add_mount(&mut restore, &place, &source);
        }
        if !self.root.masked.is_empty() {
            criu::add_mount(&mut restore, Path::new(NOTHING), Path::new(NOTHING));
        }
        let pipes = pipes(folders)?;
        let targets = self.outside.inherited.iter().map(|(name, target)| (*name, target.as_fd().as_raw_fd()));
        for (name, fd) in targets.chain(pipes.iter().map(|(name, fd)| (name.as_str(), *fd))) {
            let mut inherited = Message::default();
            inherited.text(1, name).number(2, fd);
            restore.message(option::INHERIT_FD, &inherited);
        }
        for (kind, path) in &self.outside.joined {
            let mut joined = Message::default();
            joined.text(1, kind.proc_name()).text(2, path.as_os_str().as_bytes());
            restore.message(option::JOIN_NS, &joined);
        }
        // Where CRIU is, the container comes to be.
        let file = format!("/proc/{}/cgroup", criu.as_raw_pid());
        for line in std::fs::read_to_string(&file).attempt(|| format!("read {file}"))?.lines() {
            if let Some((controllers, path)) = line.split_once(':').and_then(|(_, rest)| rest.split_once(':')) {
                let mut cgroup = Message::default();
                cgroup.text(1, controllers).text(2, path);
                restore.message(option::CG_ROOT, &cgroup);
            }
        }
        let mut request = Message::default();
        request.message(2, &restore);
        Ok(request)
    }

    /// Cgroups that are bound from the host, when the container has no cgroup namespace: their places, and what they show.
    fn cgroup_mounts(&self) -> Vec<(PathBuf, PathBuf)> {
        if !self.outside.in_own_cgroup_namespace {
            return Vec::new();
        }
        let shown = |mount: &mount::rootfs::Mount| match &mount.source {
            Source::CgroupV1(hierarchies) => {
                hierarchies.iter().map(|one| (mount.target.join(&one.name), one.path.clone())).collect()
            }
            Source::CgroupV2 { fallback: shown } | Source::CgroupV2Bound(shown) => {
                vec![(mount.target.clone(), shown.clone())]
            }
            _ => Vec::new(),
        };
        self.root.mounts.iter().flat_map(shown).collect()
    }
}

/// The standard streams of the container that were pipes: what each was called, and which it is.
fn pipes(folders: &criu::Folders) -> Result<Vec<(String, i32)>> {
    let names: Vec<String> = criu::read_json(folders, DESCRIPTORS)?;
    Ok(names.into_iter().zip(0..3).filter(|(name, _)| name.starts_with("pipe:")).collect())
}

/// What is done, and comes to be, while CRIU works.
struct Work<'a> {
    folder: &'a Folder,
    bundle: &'a Bundle,
    state: State,
    new: Kinds,
    /// The root is to be read-only, which CRIU does not see to.
    read_only: bool,
    console: Option<Console>,
    signals: &'a Signals,
    process: Option<(Pid, OwnedFd)>,
    terminal: Option<OwnedFd>,
}

impl Work<'_> {
    /// Makes the cgroup, starts CRIU in it, and has it bring back what was saved: returns the first process.
    fn bring_back(
        &mut self,
        file: &CStr,
        placement: &mut Placement,
        asked: &Asked<'_>,
        folders: criu::Folders,
    ) -> Result<(Pid, OwnedFd)> {
        let (folder, signals) = (self.folder.path(), self.signals);
        placement.make()?;
        let criu = start(file, placement, asked.root, asked.outside, folder, signals)?;
        // Hierarchies that may be done without, and are; or the cgroup of a unit that was not started before.
        self.state.cgroup_paths = placement.paths();
        let prepared =
            folders.seen_by(criu.pid()).and_then(|folders| Ok((asked.request(&folders, criu.pid(), folder)?, folders)));
        let (mut request, folders) = match prepared {
            Ok(prepared) => prepared,
            Err(error) => {
                criu.abandon();
                return Err(error);
            }
        };
        criu.ask(Task::Restore, &mut request, Some(signals), &mut |notification| self.heed(notification))
            .map_err(|error| criu::explained(error, &folders))?;
        let _ = rustix::fs::rmdir(folder.join(ROOT));
        self.process.take().ok_or_else(|| Error::new(ErrorKind::Died, "criu has brought back no process"))
    }

    fn heed(&mut self, notification: Notification) -> Result<()> {
        log::debug!("criu: {} {}", notification.name, notification.pid);
        match notification.name.as_str() {
            "setup-namespaces" => self.set_up(notification.pid),
            "post-restore" => self.is_restored(notification.pid).and_then(|()| match self.read_only {
                true => make_root_read_only(notification.pid),
                false => Ok(()),
            }),
            "orphan-pts-master" => self.give_terminal(notification.fd),
            _ => Ok(()),
        }
    }

    /// The namespaces are there, the processes not yet.
    fn set_up(&mut self, pid: i32) -> Result<()> {
        if self.new.contains(Kind::Net) {
            network::bring_loopback_up(pid_of(pid)?)?;
        }
        let mut reported = self.state.reported(Status::Creating);
        reported.pid = pid;
        for point in [Point::Prestart, Point::CreateRuntime] {
            let hooks = point.hooks(&self.bundle.config.spec);
            hooks::run(hooks, point, &reported, Some(self.signals))?;
        }
        Ok(())
    }

    /// The processes are there, and about to go on: they are on record first.
    fn is_restored(&mut self, pid: i32) -> Result<()> {
        let pid = pid_of(pid)?;
        let pidfd = rustix::process::pidfd_open(pid, PidfdFlags::empty())
            .attempt(|| format!("open process {}", pid.as_raw_pid()))?;
        self.process = Some((pid, pidfd));
        self.state.has_process(pid)?;
        self.state.restored = true;
        let is_asked_for = self.bundle.kinds().contains(Kind::Time);
        // A kernel without them has but one.
        let is_own = namespace::is_shared_with(self.state.init_process_pid, Kind::Time).unwrap_or(true);
        self.state.time_namespace = !is_asked_for && !is_own;
        self.folder.save(&self.state)?;
        self.folder.save_config(&self.bundle.config.text)
    }

    fn give_terminal(&mut self, outer: Option<OwnedFd>) -> Result<()> {
        let outer = outer.ok_or_else(|| Error::invalid("criu sends a terminal without a descriptor"))?;
        match &self.console {
            // It stays with this process.
            Some(Console { outer: Some(_), .. }) => {
                crate::launch::terminal::fit(outer.as_fd());
                self.terminal = Some(outer);
                Ok(())
            }
            Some(console) => send_fd(console.inner.as_fd(), b"/dev/ptmx", outer.as_fd())
                .attempt(|| "send the terminal over the console socket"),
            None => Err(Error::invalid("the container comes back with a terminal, and process.terminal is not set")),
        }
    }
}

/// Makes the root of `pid`'s mount namespace read-only: from inside, which this process is not to enter.
fn make_root_read_only(pid: i32) -> Result<()> {
    let what = || "make the container's root read-only";
    let open = |path: &str, flags| rustix::fs::open(path, flags | OFlags::CLOEXEC, Mode::empty());
    let namespace = open(&format!("/proc/{pid}/ns/mnt"), OFlags::RDONLY).attempt(what)?;
    let child = match clone3(&Clone3::default()).attempt(what)? {
        Forked::Child => {
            let made = setns(namespace.as_fd(), Kind::Mount.flag())
                .and_then(|()| open("/", OFlags::PATH | OFlags::DIRECTORY))
                .and_then(|root| mount::apply::set_read_only(root.as_fd(), false));
            exit_now(made.err().map_or(0, rustix::io::Errno::raw_os_error));
        }
        Forked::Parent(child, _) => child,
    };
    let ended = rustix::process::waitpid(Some(child), WaitOptions::empty()).attempt(what)?;
    match ended.and_then(|(_, status)| status.exit_status()) {
        Some(0) => Ok(()),
        Some(errno) => Err(Error::os(rustix::io::Errno::from_raw_os_error(errno), what())),
        None => Err(Error::new(ErrorKind::Died, format!("{}: who was to do it died", what()))),
    }
}

fn pid_of(pid: i32) -> Result<Pid> {
    Pid::from_raw(pid).ok_or_else(|| Error::invalid("criu tells of no process"))
}
