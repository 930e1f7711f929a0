//! Hooks: programs that the configuration wants run at points of a container's life; runtime-spec, "POSIX-platform
//! Hooks".

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use oci_spec::runtime::Hook;
use rustix::event::{PollFd, PollFlags};
use rustix::process::{Pid, PidfdFlags, Signal};

use crate::container::record::state::Reported;
use crate::container::spec::hooks::Point;
use crate::container::steps::poll::poll_until;
use crate::container::steps::wait::Signals;
use crate::error::{Attempt, Error, Result};

/// The files that crun's annotations name for what hooks write; else that is for the error alone.
#[derive(Debug, Default)]
pub struct Output {
    stdout: Option<File>,
    stderr: Option<File>,
}

impl Output {
    /// Opens them.
    ///
    /// # Errors
    /// As open(2).
    pub fn open(annotations: &BTreeMap<String, String>) -> Result<Output> {
        let open = |name: &str| {
            let Some(path) = annotations.get(name) else { return Ok(None) };
            let file = File::options().append(true).create(true).mode(0o700).open(path);
            file.attempt(|| format!("{name}: open {path}")).map(Some)
        };
        Ok(Output { stdout: open("run.oci.hooks.stdout")?, stderr: open("run.oci.hooks.stderr")? })
    }

    /// Their descriptors.
    pub(crate) fn fds(&self) -> impl Iterator<Item = RawFd> {
        [&self.stdout, &self.stderr].into_iter().flatten().map(AsRawFd::as_raw_fd)
    }
}

/// The environment of hooks whose configuration gives them none.
#[derive(Clone, Copy, Debug)]
pub enum Environment<'a> {
    /// The runtime's own, as with runc and crun: PATH, and what GPU toolkits and proxies are told by.
    Inherited,
    /// That of the container's program.
    Of(&'a [(String, String)]),
}

/// Runs hooks in their order, the state on their standard input. One of
/// `signals` that asks this process to end ends the hook first.
///
/// # Errors
/// Which hook failed, how, and what it wrote.
pub fn run(hooks: &[Hook], point: Point, state: &Reported, signals: Option<&Signals>) -> Result<()> {
    if hooks.is_empty() {
        return Ok(());
    }
    // What the caller has left open is none of their business.
    crate::launch::program::close_on_exec(0);
    // As runc, whose own working directory is the bundle.
    let bundle = Some(state.bundle.as_path()).filter(|bundle| bundle.is_dir());
    run_in(bundle, hooks, point, state, Environment::Inherited, signals, &Output::open(&state.annotations)?)
}

/// As [`run`], in `folder` or where this process is, and where the files that hooks write to cannot be opened any more.
///
/// # Errors
/// As [`run`].
pub fn run_in(
    folder: Option<&Path>,
    hooks: &[Hook],
    point: Point,
    state: &Reported,
    environment: Environment<'_>,
    signals: Option<&Signals>,
    output: &Output,
) -> Result<()> {
    let written = |error| Error::invalid(format!("write the state: {error}"));
    let mut told = serde_json::to_value(state).map_err(written)?;
    if let (Some(fields), 0) = (told.as_object_mut(), state.pid) {
        // A container that is gone has no process to name.
        fields.remove("pid");
    }
    let input = serde_json::to_vec(&told).map_err(written)?;
    for (number, hook) in hooks.iter().enumerate() {
        run_one(hook, &input, folder, environment, signals, output)
            .attempt(|| format!("error running {} hook #{number}: {}", point.name(), hook.path().display()))?;
    }
    Ok(())
}

fn run_one(
    hook: &Hook,
    state: &[u8],
    folder: Option<&Path>,
    environment: Environment<'_>,
    signals: Option<&Signals>,
    kept: &Output,
) -> Result<()> {
    let output = memory_file()?;
    let input = {
        let mut file = memory_file()?;
        file.write_all(state).and_then(|()| file.rewind()).attempt(|| "write the state for the hook")?;
        file
    };
    let mut command = command_of(hook, folder, environment);
    let copy =
        |kept: &Option<File>| kept.as_ref().unwrap_or(&output).try_clone().attempt(|| "prepare the hook's output");
    command.stdin(Stdio::from(input)).stdout(Stdio::from(copy(&kept.stdout)?)).stderr(Stdio::from(copy(&kept.stderr)?));
    let timeout = hook.timeout().and_then(|seconds| u64::try_from(seconds).ok()).filter(|seconds| *seconds > 0);
    let may_end_early = timeout.is_some() || signals.is_some();
    if may_end_early {
        // What it has started goes with it.
        command.process_group(0);
    }
    // Nobody would wait for it if this process were killed.
    crate::sys::signal::attend(&mut command);
    let mut child = command.spawn().attempt(|| "start")?;
    if may_end_early {
        let ended = ends_within(child.id(), timeout.map(Duration::from_secs), signals);
        if !matches!(ended, Ok(true)) {
            let group = Pid::from_child(&child);
            let _ = rustix::process::kill_process_group(group, Signal::KILL);
            let _ = child.wait();
            ended?;
            let seconds = timeout.unwrap_or_default();
            return Err(Error::invalid(format!("it ran longer than its timeout of {seconds} s{}", words_of(output))));
        }
    }
    let status = child.wait().attempt(|| "wait")?;
    if status.success() {
        return Ok(());
    }
    let how = match status.signal() {
        Some(libc::SIGSYS) => format!("killed by signal {} (bad system call)", libc::SIGSYS),
        Some(signal) => format!("killed by signal {signal}"),
        None => format!("exit status {}", status.code().unwrap_or_default()),
    };
    Err(Error::invalid(format!("{how}{}", words_of(output))))
}

/// The program of a hook, with its arguments and its environment.
fn command_of(hook: &Hook, folder: Option<&Path>, environment: Environment<'_>) -> Command {
    let mut command = Command::new(hook.path());
    let args = hook.args().as_deref().unwrap_or_default();
    if let Some((name, rest)) = args.split_first() {
        command.arg0(name).args(rest);
    }
    if let Some(folder) = folder {
        command.current_dir(folder);
    }
    match (hook.env(), environment) {
        (Some(variables), _) => {
            command.env_clear().envs(variables.iter().filter_map(|variable| variable.split_once('=')));
        }
        (None, Environment::Of(program)) => {
            command.env_clear().envs(program.iter().map(|(name, value)| (name, value)));
        }
        (None, Environment::Inherited) => {}
    }
    command
}

fn memory_file() -> Result<File> {
    rustix::fs::memfd_create("hook", rustix::fs::MemfdFlags::CLOEXEC)
        .attempt(|| "create a file in memory")
        .map(File::from)
}

/// What a hook wrote, on one line, for the error.
fn words_of(mut output: File) -> String {
    let mut text = String::new();
    let read = output.rewind().and_then(|()| (&output).take(4096).read_to_string(&mut text));
    let text = text.trim().replace('\n', "; ");
    if read.is_err() || text.is_empty() { String::new() } else { format!(", output: {text}") }
}

/// Whether the hook ends within `limit`, if there is one.
fn ends_within(pid: u32, limit: Option<Duration>, signals: Option<&Signals>) -> Result<bool> {
    let pid = Pid::from_raw(pid as i32).expect("a child has a pid");
    let pidfd = rustix::process::pidfd_open(pid, PidfdFlags::empty()).attempt(|| "watch the hook")?;
    let deadline = limit.map(|limit| Instant::now() + limit);
    match signals {
        Some(signals) => signals.until_readable(pidfd.as_fd(), deadline),
        None => poll_until(&mut [PollFd::new(&pidfd, PollFlags::IN)], deadline),
    }
}
