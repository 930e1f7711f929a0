//! Hooks: programs that the configuration wants run at points of a container's life; runtime-spec, "POSIX-platform
//! Hooks".

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use oci_spec::runtime::{Hook, Spec};
use rustix::event::{PollFd, PollFlags};
use rustix::process::{Pid, PidfdFlags, Signal};

use super::state::Reported;
use crate::error::{Attempt, Error, Result};

/// The points at which hooks run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// In the runtime's namespaces, when the container's are there; deprecated, still used.
    Prestart,
    /// In the runtime's namespaces, when the container's are there.
    CreateRuntime,
    /// In the container's namespaces, before pivot_root(2).
    CreateContainer,
    /// In the container, right before its program.
    StartContainer,
    /// In the runtime's namespaces, after the program was started.
    Poststart,
    /// In the runtime's namespaces, after the container was deleted.
    Poststop,
}

impl Point {
    /// Every point, in the order of a container's life.
    pub const ALL: [Point; 6] = [
        Point::Prestart,
        Point::CreateRuntime,
        Point::CreateContainer,
        Point::StartContainer,
        Point::Poststart,
        Point::Poststop,
    ];

    /// The property of config.json.
    pub const fn name(self) -> &'static str {
        match self {
            Point::Prestart => "prestart",
            Point::CreateRuntime => "createRuntime",
            Point::CreateContainer => "createContainer",
            Point::StartContainer => "startContainer",
            Point::Poststart => "poststart",
            Point::Poststop => "poststop",
        }
    }
}

/// The hooks of a configuration that run at `point`.
pub fn at(spec: &Spec, point: Point) -> &[Hook] {
    let Some(hooks) = spec.hooks() else { return &[] };
    #[allow(deprecated)] // by the specification, not by its users
    let list = match point {
        Point::Prestart => hooks.prestart(),
        Point::CreateRuntime => hooks.create_runtime(),
        Point::CreateContainer => hooks.create_container(),
        Point::StartContainer => hooks.start_container(),
        Point::Poststart => hooks.poststart(),
        Point::Poststop => hooks.poststop(),
    };
    list.as_deref().unwrap_or_default()
}

/// Runs hooks in their order, the state on their standard input. `environment` is for those that bring none.
///
/// # Errors
/// Which hook failed, how, and what it wrote.
pub fn run(hooks: &[Hook], point: Point, state: &Reported, environment: &[(String, String)]) -> Result<()> {
    if hooks.is_empty() {
        return Ok(());
    }
    let state = serde_json::to_vec(state).map_err(|error| Error::invalid(format!("write the state: {error}")))?;
    for (number, hook) in hooks.iter().enumerate() {
        run_one(hook, &state, environment)
            .attempt(|| format!("error running {} hook #{number} ({})", point.name(), hook.path().display()))?;
    }
    Ok(())
}

fn run_one(hook: &Hook, state: &[u8], environment: &[(String, String)]) -> Result<()> {
    let output = memory_file()?;
    let input = {
        let mut file = memory_file()?;
        file.write_all(state).and_then(|()| file.rewind()).attempt(|| "write the state for the hook")?;
        file
    };
    let mut command = Command::new(hook.path());
    let args = hook.args().as_deref().unwrap_or_default();
    if let Some((name, rest)) = args.split_first() {
        command.arg0(name).args(rest);
    }
    command.env_clear();
    match hook.env() {
        Some(variables) => command.envs(variables.iter().filter_map(|variable| variable.split_once('='))),
        None => command.envs(environment.iter().map(|(name, value)| (name, value))),
    };
    let copy = || output.try_clone().attempt(|| "prepare the hook's output");
    command.stdin(Stdio::from(input)).stdout(Stdio::from(copy()?)).stderr(Stdio::from(copy()?));
    let mut child = command.spawn().attempt(|| "start")?;
    let timeout = hook.timeout().and_then(|seconds| u64::try_from(seconds).ok()).filter(|seconds| *seconds > 0);
    if let Some(seconds) = timeout
        && !ends_within(child.id(), Duration::from_secs(seconds))?
    {
        let _ = child.kill();
        let _ = child.wait();
        return Err(Error::invalid(format!("it ran longer than its timeout of {seconds} s{}", words_of(output))));
    }
    let status = child.wait().attempt(|| "wait")?;
    if status.success() {
        return Ok(());
    }
    let how = match status.signal() {
        Some(signal) => format!("killed by signal {signal}"),
        None => format!("exit status {}", status.code().unwrap_or_default()),
    };
    Err(Error::invalid(format!("{how}{}", words_of(output))))
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

fn ends_within(pid: u32, limit: Duration) -> Result<bool> {
    let pid = Pid::from_raw(pid as i32).expect("a child has a pid");
    let pidfd = rustix::process::pidfd_open(pid, PidfdFlags::empty()).attempt(|| "watch the hook")?;
    let deadline = Instant::now() + limit;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = rustix::event::Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
        let mut fds = [PollFd::new(&pidfd, PollFlags::IN)];
        match rustix::event::poll(&mut fds, Some(&timeout)) {
            Ok(0) => {
                let _ = rustix::process::pidfd_send_signal(&pidfd, Signal::KILL);
                return Ok(false);
            }
            Ok(_) => return Ok(true),
            Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(Error::os(errno, "wait for the hook")),
        }
    }
}
