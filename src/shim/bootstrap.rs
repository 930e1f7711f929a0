//! What containerd runs the program for: to start a pod's shim, or to find it; to clean up after one that is dead; to tell
//! what there is.

use std::io::{IsTerminal, Read};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::fs::{Mode, OFlags};
use rustix::process::Pid;
use serde::Deserialize;

use super::address;
use super::job::{self, Subject};
use super::message::{self, Any, Exit};
use super::options::{Options, kept_options};
use super::server::Config;
use crate::cgroup::{Cgroup, Layout, Location, Place};
use crate::error::{Attempt, Error, Result};
use crate::protobuf::{Fields, Message};
use crate::sys::clone::{Clone3, Forked, clone3};

/// What the program is called with.
#[derive(Clone, Debug, Default)]
pub struct Flags {
    /// containerd's namespace.
    pub namespace: String,
    /// The container.
    pub id: String,
    /// containerd's address, which the shim's own depends on.
    pub address: String,
    /// The bundle's folder, where that is not the working directory.
    pub bundle: String,
    /// Log more than warnings and errors.
    pub debug: bool,
}

/// What has come of `start`.
#[derive(Debug)]
pub enum Begun {
    /// There is a shim: what to tell containerd.
    Caller(Vec<u8>),
    /// This is the shim: how, and on what to serve.
    Shim(Config, OwnedFd),
}

/// What is read of a configuration.
#[derive(Deserialize)]
struct Annotated {
    #[serde(default)]
    annotations: Option<Annotations>,
}

/// The annotations that name the pod that a container belongs to: the first that is there does.
#[derive(Deserialize)]
struct Annotations {
    #[serde(rename = "io.containerd.runc.v2.group")]
    group: Option<String>,
    #[serde(rename = "io.kubernetes.cri.sandbox-id")]
    sandbox: Option<String>,
}

/// What containerd sends besides flags: from 2.3 on all there is to know, before that the options alone.
#[derive(Debug, Default)]
struct Asked {
    options: Any,
    /// The folder of sockets.
    sockets: Option<PathBuf>,
    events: Option<PathBuf>,
    is_debug: bool,
    /// It wants an answer of the same kind.
    is_bootstrap: bool,
}

impl Asked {
    fn read(bytes: &[u8], flags: &Flags) -> Asked {
        let fields = Fields::of(bytes).unwrap_or_default();
        // Both kinds begin with a text; only one of them names this container.
        if flags.id.is_empty() || fields.text(1) != flags.id || fields.text(2) != flags.namespace {
            return Asked { options: Any::read(bytes), ..Asked::default() };
        }
        let extensions = fields.every(8).map(|extension| Any::read(Fields::of(extension).unwrap_or_default().bytes(1)));
        let path = |text: String| Some(PathBuf::from(text)).filter(|path| !path.as_os_str().is_empty());
        Asked {
            options: extensions.into_iter().find(|any| Options::read(any).is_ok()).unwrap_or_default(),
            sockets: path(fields.text(9)),
            events: path(fields.text(5)),
            // LOG_LEVEL_DEBUG.
            is_debug: (fields.number(3) as i32) <= -4,
            is_bootstrap: true,
        }
    }

    /// What tells containerd of the shim at `address`.
    fn answer(&self, address: &str) -> Vec<u8> {
        if !self.is_bootstrap {
            // Version 2, of which every containerd knows.
            return address.as_bytes().to_vec();
        }
        let mut result = Message::default();
        result.number(1, 3).text(2, address).text(3, "ttrpc");
        result.into_bytes()
    }
}

/// Starts the shim of the pod that the container of the bundle in the working directory belongs to, in a process of its own;
/// or finds the one that there is. Returns in both processes.
///
/// # Errors
/// When the bundle has no configuration, or the shim cannot be set up.
pub fn start(flags: &Flags) -> Result<Begun> {
    let bundle = bundle(flags)?;
    let asked = Asked::read(&standard_input()?, flags);
    let group = group(&bundle)?.unwrap_or_else(|| flags.id.clone());
    let folder = asked.sockets.clone().unwrap_or_else(|| PathBuf::from(address::FOLDER));
    let socket = address::path(&folder, &flags.address, &flags.namespace, &group);
    let address = format!("unix://{}", socket.display());
    let Some(listener) = address::listen(&socket)? else {
        keep_address(&bundle, &address)?;
        return Ok(Begun::Caller(asked.answer(&address)));
    };
    let undo = |error: Error| {
        let _ = std::fs::remove_file(&socket);
        error
    };
    let options = Options::read(&asked.options).map_err(undo)?;
    keep_address(&bundle, &address).map_err(undo)?;
    match clone3(&Clone3::default()).attempt(|| "start the shim").map_err(undo)? {
        Forked::Parent(pid, _) => {
            drop(listener);
            match confine(pid, &options) {
                Ok(()) => Ok(Begun::Caller(asked.answer(&address))),
                Err(error) => {
                    let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
                    Err(undo(error))
                }
            }
        }
        Forked::Child => {
            detach()?;
            let events = asked.events.or_else(|| std::env::var_os("TTRPC_ADDRESS").map(PathBuf::from));
            let events = events.filter(|path| !path.as_os_str().is_empty());
            if asked.is_debug {
                log::set_max_level(log::LevelFilter::Debug);
            }
            Ok(Begun::Shim(Config { namespace: flags.namespace.clone(), socket, events, log: None }, listener))
        }
    }
}

/// Cleans up after a shim that is dead: whatever is left of its container ends. Returns the answer for containerd.
///
/// # Errors
/// When a process, a cgroup or a mount cannot be removed.
pub fn delete(flags: &Flags) -> Result<Vec<u8>> {
    let bundle = bundle(flags)?;
    let subject = Subject {
        id: flags.id.clone(),
        options: kept_options(&bundle),
        namespace: flags.namespace.clone(),
        bundle: bundle.clone(),
    };
    let pid = std::fs::read_to_string(bundle.join(job::PID_FILE)).ok().and_then(|text| text.trim().parse().ok());
    subject.delete(true)?;
    remove_dead_socket(&bundle);
    let exit = Exit { status: 128 + libc::SIGKILL as u32, at: SystemTime::now() };
    Ok(message::deleted(pid.unwrap_or(0), Some(exit)))
}

/// What `-info` tells: containerd.types.RuntimeInfo, with the runtime's features.
pub fn info(version: &str, revision: &str) -> Vec<u8> {
    let mut versions = Message::default();
    versions.words(1, version).words(2, revision);
    let features = Any {
        url: "types.containerd.io/opencontainers/runtime-spec/1/features/Features".to_owned(),
        value: job::runtime_features().into_bytes(),
    };
    let mut info = Message::default();
    info.text(1, "io.containerd.nskit.v2").message(2, &versions).message(4, &features.message());
    info.into_bytes()
}

/// The bundle's folder: the working directory or, for another container of its pod, the one beside it.
fn bundle(flags: &Flags) -> Result<PathBuf> {
    if !flags.bundle.is_empty() {
        return std::path::absolute(&flags.bundle).attempt(|| format!("find the bundle {}", flags.bundle));
    }
    let here = std::env::current_dir().attempt(|| "find the working directory")?;
    let beside = here.parent().map(|folder| folder.join(&flags.id));
    Ok(beside.filter(|folder| folder.is_dir()).unwrap_or(here))
}

/// What came over standard input; nothing where that is somebody's terminal.
fn standard_input() -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let input = std::io::stdin();
    if !input.is_terminal() {
        input.lock().take(10 << 20).read_to_end(&mut bytes).attempt(|| "read standard input")?;
    }
    Ok(bytes)
}

fn group(bundle: &Path) -> Result<Option<String>> {
    let path = bundle.join("config.json");
    let text = std::fs::read(&path).attempt(|| format!("read {}", path.display()))?;
    let read: Annotated =
        serde_json::from_slice(&text).map_err(|error| Error::invalid(format!("read {}: {error}", path.display())))?;
    Ok(read.annotations.and_then(|annotations| annotations.group.or(annotations.sandbox)))
}

/// containerd 1.6 reads the address from the bundle when it is started again; `delete` does, too.
fn keep_address(bundle: &Path, address: &str) -> Result<()> {
    let path = bundle.join("address");
    let temporary = bundle.join(".address");
    let written = std::fs::write(&temporary, address).and_then(|()| std::fs::rename(&temporary, &path));
    written.attempt(|| format!("write {}", path.display()))
}

fn remove_dead_socket(bundle: &Path) {
    let Ok(address) = std::fs::read_to_string(bundle.join("address")) else { return };
    let path = Path::new(address.trim().trim_start_matches("unix://"));
    if path.is_absolute() && !address::is_answered(path) {
        let _ = std::fs::remove_file(path);
    }
}

/// Puts the shim where it belongs: in a cgroup, if one is asked for, and a little more dispensable than containerd.
fn confine(shim: Pid, options: &Options) -> Result<()> {
    if !options.shim_cgroup.is_empty() {
        let attempted = || format!("move the shim to the cgroup {}", options.shim_cgroup);
        let location = Location::new(Some(Path::new(&options.shim_cgroup)), "shim");
        let places = Layout::detect().and_then(|layout| layout.places(&location)).attempt(attempted)?;
        // As with others' shims it must be there: where it is not, in none of the hierarchies, nothing is made.
        let paths = places.iter().filter(|place| place.path.is_dir()).flat_map(Place::names).collect();
        Cgroup::open(&paths).and_then(|mut cgroup| cgroup.join(Some(shim))).attempt(attempted)?;
    }
    let parent = rustix::process::getppid().map_or(1, |pid| pid.as_raw_nonzero().get());
    let own = std::fs::read_to_string(format!("/proc/{parent}/oom_score_adj")).unwrap_or_default();
    if let Ok(score) = own.trim().parse::<i32>() {
        let path = format!("/proc/{}/oom_score_adj", shim.as_raw_nonzero());
        let score = (score + 1).min(1000);
        // Not where a container is around containerd that forbids it.
        if let Err(error) = std::fs::write(&path, score.to_string()) {
            log::debug!("write {score} to {path}: {error}");
        }
    }
    Ok(())
}

/// Leaves whoever has started this process: session, streams, and what means the service that containerd is.
fn detach() -> Result<()> {
    rustix::process::setsid().attempt(|| "start a new session")?;
    let null =
        rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()).attempt(|| "open /dev/null")?;
    let attempted = || "let go of the standard streams";
    rustix::stdio::dup2_stdin(&null).attempt(attempted)?;
    rustix::stdio::dup2_stdout(&null).attempt(attempted)?;
    rustix::stdio::dup2_stderr(&null).attempt(attempted)?;
    crate::sys::start::forget_variables(&["NOTIFY_SOCKET", "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"]);
    crate::sys::start::set_name(c"containerd-shim");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags() -> Flags {
        Flags { namespace: "default".into(), id: "c1".into(), ..Flags::default() }
    }

    #[test]
    fn who_sends_all_there_is_to_know_is_answered_alike() {
        let mut options = Message::default();
        options.text(1, "containerd.runc.v1.Options").message(2, Message::default().text(7, "/run/x"));
        let mut extension = Message::default();
        extension.message(1, &options);
        let mut params = Message::default();
        params.text(1, "c1").text(2, "default").number(3, -4).text(5, "/run/events").message(8, &extension);
        let asked = Asked::read(params.bytes(), &flags());
        assert!(asked.is_bootstrap && asked.is_debug);
        assert_eq!(asked.events.as_deref(), Some(Path::new("/run/events")));
        assert_eq!(Options::read(&asked.options).unwrap().root, "/run/x");
        assert_eq!(asked.answer("unix:///s"), b"\x08\x03\x12\x09unix:///s\x1a\x05ttrpc");
    }

    #[test]
    fn others_get_the_address_alone() {
        let mut any = Message::default();
        any.text(1, "containerd.runc.v1.Options").message(2, Message::default().text(3, "/shims"));
        let asked = Asked::read(any.bytes(), &flags());
        assert_eq!(Options::read(&asked.options).unwrap().shim_cgroup, "/shims");
        assert_eq!(asked.answer("unix:///s"), b"unix:///s");
        assert!(!Asked::read(b"", &flags()).is_bootstrap);
        // Of another container, or made of what is none.
        let mut params = Message::default();
        assert!(!Asked::read(params.text(1, "c2").text(2, "default").bytes(), &flags()).is_bootstrap);
    }
}
