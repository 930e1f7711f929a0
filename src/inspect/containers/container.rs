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

/// The Kubernetes pod that a container is part of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pod {
    /// The pod's name.
    pub name: String,
    /// The Kubernetes namespace.
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
    /// Its Kubernetes pod.
    pub pod: Option<Pod>,
    /// containerd's namespace, which is no kernel's.
    pub engine_namespace: Option<String>,
    /// It is the pause container of its pod.
    pub is_sandbox: bool,
    /// Its first process, as this `/proc` numbers them, where it is known.
    pub pid: Option<i32>,
    /// The OCI bundle.
    pub bundle: Option<PathBuf>,
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
            Some(name) => name.as_str(),
            None if self.is_sandbox => "(sandbox)",
            None => self.short_id(),
        };
        match &self.pod {
            Some(pod) => format!("{}/{name}", pod.name),
            None => name.to_owned(),
        }
    }

    /// Whether `text` is one of its full names.
    pub(super) fn is_called(&self, text: &str) -> bool {
        let in_pod = |pod: &Pod| {
            let title = self.title();
            text == title || text.strip_prefix(&pod.namespace).and_then(|rest| rest.strip_prefix('/')) == Some(&title)
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
        if self.engine.is_bare() {
            self.engine = self.engine.min(other.engine);
        }
    }
}
