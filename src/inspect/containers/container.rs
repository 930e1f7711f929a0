//! A container: what manages it, and what it is called.

use std::fmt;
use std::path::PathBuf;

/// What manages a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Engine {
    /// Docker.
    Docker,
    /// containerd, by ctr, nerdctl or Kubernetes.
    Containerd,
    /// Podman.
    Podman,
    /// cri-o.
    Crio,
    /// LXC or Incus.
    Lxc,
    /// A container by systemd-nspawn or another that systemd-machined knows.
    Machine,
    /// A unit of systemd, which is no container but has namespaces of its own.
    Systemd,
    /// Our own runtime, without an engine.
    Nskit,
    /// Another OCI runtime, without an engine.
    Runtime,
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Engine::Docker => "docker",
            Engine::Containerd => "containerd",
            Engine::Podman => "podman",
            Engine::Crio => "cri-o",
            Engine::Lxc => "lxc",
            Engine::Machine => "machine",
            Engine::Systemd => "systemd",
            Engine::Nskit => "nskit",
            Engine::Runtime => "runtime",
        })
    }
}

impl Engine {
    /// Whether it is only a runtime: whose containers are those of whatever engine else is found to have them.
    pub(super) fn is_bare(self) -> bool {
        matches!(self, Engine::Nskit | Engine::Runtime)
    }
}

/// Where a container is in its life; runtime-spec, "State".
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// It is being made: what its first process is in may still be the host's.
    Creating,
    /// It waits to be started; a process waits in it, unless its engine makes that later.
    Created,
    /// Its program runs.
    Running,
    /// Its cgroup is frozen.
    Paused,
    /// Its program is gone.
    Stopped,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            State::Creating => "creating",
            State::Created => "created",
            State::Running => "running",
            State::Paused => "paused",
            State::Stopped => "stopped",
        })
    }
}

/// The pod that a container is part of, of Kubernetes or of Podman.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pod {
    /// The pod's name.
    pub name: String,
    /// The Kubernetes namespace; empty for Podman, which has none.
    pub namespace: String,
}

/// A container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// What manages it.
    pub engine: Engine,
    /// The engine's id for it.
    pub id: String,
    /// The name that people gave it.
    pub name: Option<String>,
    /// The image that it was made from.
    pub image: Option<String>,
    /// Its pod.
    pub pod: Option<Pod>,
    /// containerd's namespace, which is no kernel's.
    pub engine_namespace: Option<String>,
    /// It is the pause container of its pod.
    pub is_sandbox: bool,
    /// Its first process, as this `/proc` numbers them, where it is known.
    pub pid: Option<i32>,
    /// The OCI bundle.
    pub bundle: Option<PathBuf>,
    /// What its configuration says that it executes; empty where that is not known.
    pub command: Vec<String>,
    /// Ways out of it that its configuration names: what of the host is mounted in it. `None` where there is no
    /// configuration to read.
    pub exposures: Option<Vec<Exposure>>,
    /// Whether its processes are in cgroups of its own, not in those of who started it.
    pub has_cgroup: bool,
    /// Where it is in its life, by what its runtime or engine wrote down last.
    pub(super) told: Option<State>,
    /// The id of the container that holds its pod's namespaces.
    pub(super) sandbox: Option<String>,
    /// The host name that its configuration gives it.
    pub(super) hostname: Option<String>,
    /// Where its runtime keeps its configuration, beside the bundle.
    pub(super) config: Option<PathBuf>,
    /// Its cgroups by its runtime's state: paths whose ends are those in `/proc/PID/cgroup`. `None` where that says
    /// nothing.
    pub(super) cgroups: Option<Vec<String>>,
}

/// What of the host is mounted in a container, so that it may get out.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exposure {
    /// The host's root.
    HostRoot {
        /// Where in the container.
        at: String,
        /// Whether it may be written to there.
        writable: bool,
    },
    /// A socket by which an engine takes orders.
    EngineSocket {
        /// The socket on the host.
        socket: String,
        /// Where in the container.
        at: String,
    },
}

impl Container {
    pub(super) fn new(engine: Engine, id: impl Into<String>) -> Container {
        Container {
            engine,
            id: id.into(),
            name: None,
            image: None,
            pod: None,
            engine_namespace: None,
            is_sandbox: false,
            pid: None,
            bundle: None,
            command: Vec::new(),
            exposures: None,
            has_cgroup: false,
            told: None,
            sandbox: None,
            hostname: None,
            config: None,
            cgroups: None,
        }
    }

    /// The id as engines' lists show it: twelve digits, of one that nobody typed.
    pub fn short_id(&self) -> &str {
        if self.id.len() == 64 && self.id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            &self.id[..12]
        } else {
            &self.id
        }
    }

    /// The name that a person would call it by: `pod/container`, the name, or the short id.
    pub fn title(&self) -> String {
        let name = match &self.name {
            // Podman's is called by its pod's id.
            Some(name) if !(self.is_sandbox && self.pod.is_some() && name.ends_with("-infra")) => name.as_str(),
            _ if self.is_sandbox => "(sandbox)",
            Some(name) => name.as_str(),
            None => self.short_id(),
        };
        match &self.pod {
            Some(pod) => format!("{}/{name}", pod.name),
            None => name.to_owned(),
        }
    }

    /// Where it is in its life, as far as files tell: whether it is paused, its cgroup does (`Usage`).
    pub fn state(&self) -> State {
        match (self.told, self.pid) {
            (Some(state @ (State::Creating | State::Created)), _) => state,
            (_, Some(_)) => State::Running,
            (_, None) => State::Stopped,
        }
    }

    /// Whether `text` is one of its full names.
    pub(super) fn is_called(&self, text: &str) -> bool {
        let in_pod = |pod: &Pod| {
            let title = self.title();
            let below = text.strip_prefix(&pod.namespace).and_then(|rest| rest.strip_prefix('/'));
            text == title || (!pod.namespace.is_empty() && below == Some(&title))
        };
        self.id == text || self.name.as_deref() == Some(text) || self.pod.as_ref().is_some_and(in_pod)
    }

    /// Takes what `other`, found elsewhere, knows more.
    pub(super) fn complete(&mut self, other: Container) {
        self.name = self.name.take().or(other.name);
        self.image = self.image.take().or(other.image);
        self.pod = self.pod.take().or(other.pod);
        self.engine_namespace = self.engine_namespace.take().or(other.engine_namespace);
        self.pid = self.pid.or(other.pid);
        self.bundle = self.bundle.take().or(other.bundle);
        self.is_sandbox |= other.is_sandbox;
        self.told = self.told.or(other.told);
        self.config = self.config.take().or(other.config);
        self.cgroups = self.cgroups.take().or(other.cgroups);
        if self.engine.is_bare() {
            self.engine = self.engine.min(other.engine);
        }
    }
}
