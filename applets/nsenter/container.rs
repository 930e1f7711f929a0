//! Containers in place of pids: by id, unique beginning of an id, or name, of whichever engine.

use std::ffi::OsStr;
use std::path::Path;

use nskit::error::{Errno, Kind as ErrorKind};
use nskit::inspect::containers;
use nskit::{Error, Result};
use rustix::fs::{Access, AtFlags, CWD};
use rustix::process::Pid;

use super::Options;
use crate::exec::Voice;
use crate::hints::Failure;

/// The first process of the container that is called `name`.
pub(super) fn find(name: &OsStr) -> Result<Pid> {
    let name = name.to_str().ok_or_else(|| Error::invalid("a container's name is UTF-8"))?;
    let (_, pid) = containers::find_to_enter(name)?;
    Pid::from_raw(pid).ok_or_else(|| Error::new(ErrorKind::State, format!("container {name} is not running")))
}

/// Takes the first word for a container where util-linux would say that there is no target: `nsenter web ls`. All its
/// namespaces are entered unless some are named.
pub(super) fn choose(voice: &Voice, options: &mut Options) -> Result<(), Failure> {
    let named = options.namespaces.all();
    if let Some(name) = options.program.first().filter(|_| !options.has_target()) {
        match find(name) {
            Ok(pid) => {
                voice.step(|| format!("container {} is process {}", name.to_string_lossy(), pid.as_raw_nonzero()));
                options.target = Some(pid);
                options.is_container = true;
                // What follows may be set off from options, which it cannot be taken for here.
                let set_off = options.program.get(1).is_some_and(|word| word == "--");
                options.program.drain(..if set_off { 2 } else { 1 });
            }
            // What it could be any of, or that it is not running, is worth more than that there is no target.
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
            Err(_) => {}
        }
    }
    options.all |= options.is_container && named.is_empty() && !options.user_parent && options.net_socket.is_none();
    Ok(())
}

/// The first process of the container that `--target` names, where its argument is no process: `error` says why not.
///
/// A number is a process, even one that no process can have: engines print 0 for a container that has stopped, and scripts pass
/// it on. An id that happens to begin with it is not what they mean.
pub(super) fn find_target(name: &OsStr, error: Error) -> Result<Pid, Failure> {
    let mut before_colon = name.as_encoded_bytes().split(|byte| *byte == b':').next().unwrap_or_default().iter();
    if error.errno() != Some(Errno::INVAL) || before_colon.all(u8::is_ascii_digit) {
        let hint = (name == "0").then(|| "an engine says 0 for a container that has stopped: start it first".into());
        return Err(Failure { error, hint });
    }
    find(name).map_err(|why| {
        let hint = match why.kind() {
            ErrorKind::NotFound => unknown(name),
            // Such as that it is not running, or could be any of several.
            _ => why.to_string(),
        };
        Failure { error, hint: Some(hint.into()) }
    })
}

/// `error`, that there is no target, and what the first word is, which could have been a container's name.
pub(super) fn no_target(error: Error, options: &Options) -> Failure {
    let name = options.program.first().filter(|_| options.target.is_none());
    let hint = name.map(|name| match process(name) {
        Some(pid) => {
            let which = if options.namespaces.all().is_empty() { "-a" } else { "OPTION..." };
            format!("{pid} is a process: nsenter -t {pid} {which} PROGRAM enters its namespaces")
        }
        None => unknown(name),
    });
    Failure { error, hint: hint.map(Into::into) }
}

/// The process that a word is the number of.
fn process(word: &OsStr) -> Option<i32> {
    let pid = word.to_str()?.parse().ok().filter(|pid| *pid > 0)?;
    Path::new(&format!("/proc/{pid}")).exists().then_some(pid)
}

/// That no container is called `name`, and which states of containers the caller cannot see.
fn unknown(name: &OsStr) -> String {
    let hint = format!("no container is called {name:?}");
    let folders = containers::ROOTS.iter().map(|root| root.path.trim_end_matches("/*"));
    let mut closed: Vec<&str> = folders
        .filter(|folder| {
            rustix::fs::accessat(CWD, *folder, Access::READ_OK | Access::EXEC_OK, AtFlags::EACCESS)
                == Err(Errno::ACCESS)
        })
        .collect();
    closed.sort_unstable();
    // What is below a folder that is closed goes without saying.
    closed.dedup_by(|folder, above| folder.starts_with(*above));
    match closed[..] {
        [] => hint + "; ns-inspect lists those that there are",
        _ => format!("{hint} among those that you may see: {} may not be read by you", closed.join(", ")),
    }
}
