//! Containers in place of pids: by id, unique beginning of an id, or name, of whichever engine.

use std::ffi::OsStr;

use nskit::error::Kind as ErrorKind;
use nskit::inspect::containers;
use nskit::{Error, Result};
use rustix::process::Pid;

use super::Options;
use crate::exec::Voice;
use crate::hints::Failure;

/// The first process of the container that is called `name`.
pub(super) fn find(name: &OsStr) -> Result<Pid> {
    let name = name.to_str().ok_or_else(|| Error::invalid("a container's name is UTF-8"))?;
    let (_, pid) = containers::find(name)?;
    Pid::from_raw(pid).ok_or_else(|| Error::new(ErrorKind::State, format!("container {name} is not running")))
}

/// Takes the first word for a container where util-linux would say that there is no target: `nsenter web ls`. All its
/// namespaces are entered unless some are named.
pub(super) fn choose(voice: &Voice, options: &mut Options) -> Result<(), Failure> {
    let named = options.namespaces.all();
    let has_target = options.target.is_some() || options.namespaces.of_target() != named;
    let Some(name) = options.program.first().filter(|_| !has_target) else { return Ok(()) };
    match find(name) {
        Ok(pid) => {
            voice.step(|| format!("container {} is process {}", name.to_string_lossy(), pid.as_raw_nonzero()));
            options.target = Some(pid);
            options.program.remove(0);
            options.all |= named.is_empty() && !options.user_parent && options.net_socket.is_none();
            Ok(())
        }
        // What it could be any of, or that it is not running, is worth more than that there is no target.
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error.into()),
        Err(_) => Ok(()),
    }
}
