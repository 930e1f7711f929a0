//! What workers do: the runtime's verbs, called for containerd. Everything here runs in a process of its own.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::net::{AddressFamily, SocketFlags, SocketType};

use super::message::Create;
use super::metrics;
use super::options::Options;
use super::rootfs;
use super::worker::Made;
use crate::container::criu::{CgroupMode, Settings};
use crate::container::record::folder::replace_file;
use crate::container::record::instance::Container;
use crate::container::record::runtime::{CgroupDriver, Runtime};
use crate::container::spec::features;
use crate::container::spec::parse::{parse_process, parse_resources};
use crate::container::steps::wait::Signals;
use crate::container::verbs::checkpoint::{self, checkpoint};
use crate::container::verbs::create::{Options as CreateOptions, Start, begin};
use crate::container::verbs::delete::delete as delete_container;
use crate::container::verbs::exec::{Options as ExecOptions, exec as exec_process};
use crate::container::verbs::restore::{RestoreOptions, restore as restore_container};
use crate::container::verbs::run::RunOptions;
use crate::container::verbs::{kill, pause, start, update};
use crate::error::{Attempt, Error, Kind, Result};
use crate::launch::terminal;
use crate::protobuf::{Fields, Message};

/// The file in the bundle that tells the pid of the container's first process, for `delete` after the shim's death.
pub(super) const PID_FILE: &str = "init.pid";

/// What the runtime knows, as JSON.
pub(super) fn runtime_features() -> String {
    features::features().to_string()
}

/// A container as workers know it.
#[derive(Clone, Debug)]
pub(super) struct Subject {
    /// Its name.
    pub id: String,
    /// Its bundle's folder.
    pub bundle: PathBuf,
    /// What the runtime is asked besides.
    pub options: Options,
    /// containerd's namespace.
    pub namespace: String,
}

/// What has come of a process that was started.
#[derive(Clone, Debug, Default)]
pub(super) struct Started {
    /// Its pid.
    pub pid: i32,
    /// The container has a pid namespace of its own.
    pub has_own_pids: bool,
    /// The directory in which its memory is counted, empty without.
    pub memory: PathBuf,
    /// That is one of cgroup v2.
    pub is_unified: bool,
}

impl Started {
    fn of(container: &Container) -> Result<Message> {
        let cgroup = container.cgroup()?;
        let mut message = Message::default();
        message.count(1, container.state.init_process_pid as u64).flag(2, container.state.has_own_pids());
        message.words(3, cgroup.memory_dir().unwrap_or(Path::new("")).as_os_str().as_encoded_bytes());
        message.flag(4, cgroup.is_unified());
        Ok(message)
    }

    /// Reads what a worker has told.
    pub(super) fn read(bytes: &[u8]) -> Started {
        let fields = Fields::of(bytes).unwrap_or_default();
        Started {
            pid: fields.number(1) as i32,
            has_own_pids: fields.flag(2),
            memory: fields.text(3).into(),
            is_unified: fields.flag(4),
        }
    }
}

/// A socket over which a process's terminal comes.
struct Console {
    socket: OwnedFd,
    path: PathBuf,
}

impl Console {
    fn listen(bundle: &Path) -> Result<Console> {
        let path = bundle.join(format!("console-{}.sock", std::process::id()));
        let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
            .attempt(|| "create a socket for the terminal")?;
        let bound = terminal::bind_to(socket.as_fd(), &path).and_then(|()| rustix::net::listen(&socket, 1));
        bound.attempt(|| format!("listen on {}", path.display()))?;
        Ok(Console { socket, path })
    }

    /// The terminal that has come.
    fn receive(self) -> Result<OwnedFd> {
        let sender = rustix::net::accept_with(&self.socket, SocketFlags::CLOEXEC);
        let sender = sender.attempt(|| "accept the terminal's sender")?;
        crate::sys::fd::receive_fd(sender.as_fd())
            .attempt(|| "receive the terminal")?
            .ok_or_else(|| Error::new(Kind::Died, "the process ended before its terminal came"))
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

impl Subject {
    fn runtime(&self) -> Result<Runtime> {
        let driver = if self.options.systemd_cgroup { CgroupDriver::Systemd } else { CgroupDriver::Cgroupfs };
        Runtime::new(Some(self.options.state_folder(&self.namespace)), driver, None)
    }

    fn rootfs(&self) -> PathBuf {
        self.bundle.join("rootfs")
    }

    /// Mounts the root, and creates the container.
    ///
    /// # Errors
    /// As `create`; nothing is left then.
    pub(super) fn create(&self, asked: &Create) -> Result<Made> {
        self.prepare(asked)?;
        self.create_container(asked.stdio.terminal).attempt(|| "OCI runtime create failed").inspect_err(|_| {
            self.unmount(&asked.rootfs);
        })
    }

    /// Mounts the root, and keeps what `delete` needs to know.
    ///
    /// # Errors
    /// When the root cannot be mounted, or a file not be written.
    pub(super) fn prepare(&self, asked: &Create) -> Result<()> {
        if self.options != Options::default() {
            super::options::keep_options(&self.bundle, &self.options)?;
        }
        rootfs::mount_all(&asked.rootfs, &self.rootfs())
    }

    fn create_container(&self, has_terminal: bool) -> Result<Made> {
        let console = if has_terminal { Some(Console::listen(&self.bundle)?) } else { None };
        let options = CreateOptions {
            bundle: self.bundle.clone(),
            console_socket: console.as_ref().map(|console| console.path.clone()),
            no_pivot: self.options.no_pivot_root,
            no_new_keyring: self.options.no_new_keyring,
            ..CreateOptions::default()
        };
        let signals = Signals::hold()?;
        let created = begin(&self.runtime()?, &self.id, &options, Start::AtGate, &signals)?;
        let fd = console.map(Console::receive).transpose()?;
        let container = Container { folder: created.folder.clone(), state: created.state.clone() };
        self.keep_pid(container.state.init_process_pid)?;
        let message = Started::of(&container)?;
        created.keep();
        Ok(Made { message, fd })
    }

    fn keep_pid(&self, pid: i32) -> Result<()> {
        replace_file(&self.bundle.join(PID_FILE), pid.to_string().as_bytes(), 0o644)
    }

    fn unmount(&self, mounts: &[super::message::Mount]) {
        if !mounts.is_empty()
            && let Err(error) = rootfs::unmount_all(&self.rootfs())
        {
            log::error!("container {}: {}", self.id, error.as_go_prints_it());
        }
    }

    /// Restores the container, whose processes go on at once.
    ///
    /// # Errors
    /// As `restore`.
    pub(super) fn restore(&self, asked: &Create) -> Result<Made> {
        let run = || -> Result<Made> {
            let console = if asked.stdio.terminal { Some(Console::listen(&self.bundle)?) } else { None };
            let options = CreateOptions {
                bundle: self.bundle.clone(),
                console_socket: console.as_ref().map(|console| console.path.clone()),
                pid_file: Some(self.bundle.join(PID_FILE)),
                no_pivot: self.options.no_pivot_root,
                ..CreateOptions::default()
            };
            let settings = Settings {
                image_path: asked.checkpoint.clone().into(),
                work_path: Some(self.criu_work()).filter(|path| !path.as_os_str().is_empty()),
                ..Settings::default()
            };
            let how = RunOptions { detach: true, keep: true, no_subreaper: true };
            let restored = RestoreOptions { settings, lsm_profile: None, lsm_mount_context: None };
            let runtime = self.runtime()?;
            restore_container(&runtime, &self.id, &options, &how, &restored)?;
            let fd = console.map(Console::receive).transpose()?;
            Ok(Made { message: Started::of(&Container::load(&runtime, &self.id)?)?, fd })
        };
        run().attempt(|| "OCI runtime restore failed")
    }

    fn criu_work(&self) -> PathBuf {
        if self.options.criu_work_path.is_empty() { self.bundle.clone() } else { (&self.options.criu_work_path).into() }
    }

    /// Starts the created container.
    ///
    /// # Errors
    /// As `start`.
    pub(super) fn start(&self) -> Result<Made> {
        start::start(&self.runtime()?, &self.id).attempt(|| "OCI runtime start failed").map(|()| Made::default())
    }

    /// Starts another process in the container.
    ///
    /// # Errors
    /// As `exec`.
    pub(super) fn exec(&self, spec: &[u8], has_terminal: bool) -> Result<Made> {
        let run = || -> Result<Made> {
            let console = if has_terminal { Some(Console::listen(&self.bundle)?) } else { None };
            let pid_file = self.bundle.join(format!("exec-{}.pid", std::process::id()));
            let options = ExecOptions {
                console_socket: console.as_ref().map(|console| console.path.clone()),
                pid_file: Some(pid_file.clone()),
                detach: true,
                ..ExecOptions::default()
            };
            let mut process = parse_process(spec)?;
            process.set_terminal(Some(has_terminal));
            exec_process(&self.runtime()?, &self.id, &options, |_| Ok(process))?;
            let text = std::fs::read_to_string(&pid_file).attempt(|| format!("read {}", pid_file.display()))?;
            let _ = std::fs::remove_file(&pid_file);
            let pid: u64 = text.trim().parse().map_err(|_| Error::invalid(format!("{text:?} is no pid")))?;
            let fd = console.map(Console::receive).transpose()?;
            let mut message = Message::default();
            message.count(1, pid);
            Ok(Made { message, fd })
        };
        run().attempt(|| "OCI runtime exec failed")
    }

    /// Sends a signal to the first process, or to all.
    ///
    /// # Errors
    /// As `kill`.
    pub(super) fn kill(&self, signal: i32, all: bool) -> Result<Made> {
        kill::kill(&self.runtime()?, &self.id, signal, all).map(|()| Made::default())
    }

    /// Stops all processes for a while.
    ///
    /// # Errors
    /// As `pause`.
    pub(super) fn pause(&self) -> Result<Made> {
        pause::pause(&self.runtime()?, &self.id).attempt(|| "OCI runtime pause failed").map(|()| Made::default())
    }

    /// Lets them go on.
    ///
    /// # Errors
    /// As `resume`.
    pub(super) fn resume(&self) -> Result<Made> {
        pause::resume(&self.runtime()?, &self.id).attempt(|| "OCI runtime resume failed").map(|()| Made::default())
    }

    /// Sets limits: `resources` as config.json has them.
    ///
    /// # Errors
    /// As `update`.
    pub(super) fn update(&self, resources: &[u8]) -> Result<Made> {
        let change = parse_resources(resources).attempt(|| "read the resources")?;
        update::update(&self.runtime()?, &self.id, &change, &Default::default()).map(|()| Made::default())
    }

    /// The pids of all processes, with the names of those that are execs: the answer of `Pids`.
    ///
    /// # Errors
    /// As `ps`.
    pub(super) fn pids(&self, execs: &[(i32, String)]) -> Result<Made> {
        let mut answer = Message::default();
        for pid in pause::processes(&self.runtime()?, &self.id)? {
            let pid = pid.as_raw_nonzero().get();
            let mut process = Message::default();
            process.count(1, pid as u64);
            if let Some((_, name)) = execs.iter().find(|(exec, _)| *exec == pid) {
                let mut details = Message::default();
                details.text(1, name);
                let mut any = Message::default();
                process.message(2, any.text(1, "containerd.runc.v1.ProcessDetails").message(2, &details));
            }
            answer.message(1, &process);
        }
        Ok(answer.into())
    }

    /// What the container uses: the answer of `Stats`.
    ///
    /// # Errors
    /// When it has no cgroup, or that cannot be read.
    pub(super) fn stats(&self) -> Result<Made> {
        let container = Container::load(&self.runtime()?, &self.id)?;
        container.must_have_cgroup("there are no statistics")?;
        let cgroup = container.cgroup()?;
        Ok(metrics::answer(&cgroup.stats()?, &cgroup.memory_events(), cgroup.is_unified()).into())
    }

    /// Saves the container's processes to `path`. `options` are containerd.runc.v1.CheckpointOptions.
    ///
    /// # Errors
    /// As `checkpoint`.
    pub(super) fn checkpoint(&self, path: &str, options: &[u8]) -> Result<Made> {
        let fields =
            Fields::of(options).ok_or_else(|| Error::invalid("the options of the checkpoint are no message"))?;
        let given = |text: String| Some(PathBuf::from(text)).filter(|path| !path.as_os_str().is_empty());
        let settings = Settings {
            image_path: given(path.to_owned()).or_else(|| given(fields.text(8))).unwrap_or_else(|| self.criu_images()),
            work_path: given(fields.text(9)).or_else(|| Some(self.criu_work())),
            tcp_established: fields.flag(2),
            ext_unix_sk: fields.flag(3),
            shell_job: fields.flag(4),
            file_locks: fields.flag(5),
            cgroups: match fields.text(7).as_str() {
                "soft" => CgroupMode::Soft,
                "full" => CgroupMode::Full,
                "strict" => CgroupMode::Strict,
                "ignore" => CgroupMode::Ignore,
                _ => CgroupMode::Default,
            },
            ..Settings::default()
        };
        let options = checkpoint::Options {
            settings,
            parent_path: given(fields.text(10)),
            leave_running: !fields.flag(1),
            ..checkpoint::Options::default()
        };
        checkpoint(&self.runtime()?, &self.id, options).map(|()| Made::default())
    }

    fn criu_images(&self) -> PathBuf {
        match self.options.criu_image_path.as_str() {
            "" => self.bundle.join("checkpoint"),
            path => path.into(),
        }
    }

    /// Deletes the container, which has stopped or was never started, and unmounts its root. That the runtime does not know
    /// it any more is no error.
    ///
    /// # Errors
    /// As `delete` and umount(2).
    pub(super) fn delete(&self, force: bool) -> Result<Made> {
        let deleted = match delete_container(&self.runtime()?, &self.id, force) {
            Err(error) if error.kind() == Kind::NotFound => Ok(()),
            other => other.attempt(|| "failed to delete task"),
        };
        let unmounted = rootfs::unmount_all(&self.rootfs()).attempt(|| "failed rootfs umount");
        deleted.and(unmounted).map(|()| Made::default())
    }
}
