//! `kill`: a signal for the first process of a container, or for all of them.

use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use rustix::process::Signal;

use crate::container::record::instance::Container;
use crate::container::record::life::Verb;
use crate::container::record::runtime::Runtime;
use crate::container::steps::poll::poll_until;
use crate::container::steps::processes;
use crate::error::{Attempt, Error, Kind, Result};
use crate::sys;

/// How long `kill ID KILL` waits for the end of the first process.
const PATIENCE: Duration = Duration::from_millis(100);

/// Sends `signal` to the first process of the container `id`, or with `all` to every process in its cgroup.
///
/// # Errors
/// When the container is not there or not running: "container not running".
pub fn kill(runtime: &Runtime, id: &str, signal: i32, all: bool) -> Result<()> {
    let container = Container::load(runtime, id)?;
    if all && signal == 0 {
        // Whether there is anybody is no error, here (as runc).
        return Ok(());
    }
    if all {
        let signal = Signal::from_named_raw(signal)
            .ok_or_else(|| Error::invalid(format!("signal {signal} cannot be sent to all processes")))?;
        if processes::left_cgroup(&container)?.is_some() {
            return processes::signal_each(&container, signal);
        }
        return match container.cgroup()?.kill(signal) {
            // Without a cgroup, or with one that has gone with its last process, there is the first process or nobody.
            Err(error) if error.kind() == Kind::NotFound => match container.state.open_init()? {
                Some((init, _)) => send(&init, signal.as_raw(), id),
                None => Ok(()),
            },
            killed => killed,
        };
    }
    if signal == Signal::KILL.as_raw() && !container.state.has_own_pids() {
        // In somebody else's pid namespace nobody takes the others along in dying, and they may outlive the first.
        let cgroup = container.cgroup()?;
        if cgroup.exists() {
            return cgroup.kill(Signal::KILL);
        }
    }
    let init = container.admit(Verb::Signal)?.into_init()?;
    send(&init, signal, id)?;
    if signal == Signal::KILL.as_raw() && container.is_paused().unwrap_or(false) {
        // A frozen process cannot die (v1).
        container.cgroup()?.thaw()?;
    }
    if signal == Signal::KILL.as_raw() {
        // Callers delete it next. What takes longer is left to delete, which waits too.
        let mut fds = [PollFd::new(&init, PollFlags::IN)];
        poll_until(&mut fds, Some(Instant::now() + PATIENCE))?;
    }
    Ok(())
}

fn send(init: &OwnedFd, signal: i32, id: &str) -> Result<()> {
    match sys::signal::pidfd_send(init.as_fd(), signal) {
        Err(Errno::SRCH) => Err(Error::new(Kind::State, "container not running")),
        sent => sent.attempt(|| format!("send signal {signal} to container {id}")),
    }
}

/// The number of a signal: a name with or without `SIG`, in any case, or the number itself.
///
/// # Errors
/// When there is no such signal.
pub fn parse_signal(text: &str) -> Result<i32> {
    let unknown = || Error::invalid(format!("unknown signal {text:?}"));
    if let Ok(number) = text.parse::<i32>() {
        return if (0..=64).contains(&number) { Ok(number) } else { Err(unknown()) };
    }
    let name = text.to_ascii_uppercase();
    let name = name.strip_prefix("SIG").unwrap_or(&name);
    let real_time = |base: &str, from: i32, sign: i32| {
        name.strip_prefix(base)
            .and_then(|offset| if offset.is_empty() { Some(0) } else { offset.get(1..)?.parse().ok() })
            .map(|offset: i32| from + sign * offset)
            .filter(|number| (34..=64).contains(number))
    };
    match name {
        "IOT" => return Ok(libc::SIGABRT),
        "POLL" => return Ok(libc::SIGIO),
        "CLD" => return Ok(libc::SIGCHLD),
        _ => {}
    }
    if let Some(number) = real_time("RTMIN", 34, 1).or_else(|| real_time("RTMAX", 64, -1)) {
        return Ok(number);
    }
    format!("SIG{name}").parse::<nix::sys::signal::Signal>().map(|signal| signal as i32).map_err(|_| unknown())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_has_many_names() {
        for text in ["TERM", "SIGTERM", "sigterm", "15"] {
            assert_eq!(parse_signal(text).unwrap(), 15, "{text}");
        }
        assert_eq!(parse_signal("SIGRTMIN+3").unwrap(), 37);
        assert_eq!(parse_signal("RTMAX-1").unwrap(), 63);
        for text in ["", "SIG", "NONE", "-1", "65", "RTMIN+99"] {
            assert!(parse_signal(text).is_err(), "{text}");
        }
    }
}
