//! `events`: statistics at intervals, and a line whenever a container runs out of memory.

use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use serde::Serialize;

use crate::cgroup::{Cgroup, Stats};
use crate::container::record::instance::Container;
use crate::container::record::life::Verb;
use crate::container::record::runtime::Runtime;
use crate::container::steps::{self, processes};
use crate::error::{Error, Result};
use crate::resctrl;

#[derive(Serialize)]
struct Event<'a, T: Serialize> {
    #[serde(rename = "type")]
    kind: &'a str,
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<T>,
}

/// The statistics with what runc's have besides: tools may look for it. Of networks there is nothing to say: none are made
/// here.
#[derive(Serialize)]
struct Statistics {
    #[serde(flatten)]
    cgroup: Stats,
    intel_rdt: resctrl::Stats,
    network_interfaces: (),
}

/// Writes an event a line until the container `id` ends; with `once`, statistics once.
///
/// # Errors
/// When the container is not running, or its cgroups cannot be read.
pub fn events(
    runtime: &Runtime,
    id: &str,
    interval: Duration,
    once: bool,
    write: &mut dyn FnMut(&str) -> Result<()>,
) -> Result<()> {
    let container = Container::load(runtime, id)?;
    let init = container.admit(Verb::Watch)?.into_init()?;
    container.must_have_cgroup("there are no statistics")?;
    processes::must_be_in_its_cgroup(&container, "what that uses is not what the container uses")?;
    let cgroup = container.cgroup()?;
    if once {
        return write_stats(&container, &cgroup, write);
    }
    let mut oom = cgroup.watch_oom()?;
    let mut next = Instant::now() + interval;
    loop {
        let left = next.saturating_duration_since(Instant::now());
        if left.is_zero() {
            write_stats(&container, &cgroup, write)?;
            next = Instant::now() + interval;
            continue;
        }
        let timeout = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
        let mut fds = [PollFd::new(&init, PollFlags::IN), PollFd::new(&oom, PollFlags::IN)];
        match rustix::event::poll(&mut fds, Some(&timeout)) {
            Ok(0) | Err(Errno::INTR) => continue,
            Ok(_) => {}
            Err(errno) => return Err(Error::os(errno, format!("wait for events of container {id}"))),
        }
        let ended = !fds[0].revents().is_empty();
        // Asked at the end too: what killed the container may be told later than its death.
        let events = oom.read()?;
        if events.oom {
            write_event(&Event::<()> { kind: "oom", id, data: None }, write)?;
        }
        if ended || events.gone {
            return Ok(());
        }
    }
}

fn write_stats(container: &Container, cgroup: &Cgroup, write: &mut dyn FnMut(&str) -> Result<()>) -> Result<()> {
    let intel_rdt = steps::resctrl::stats(&container.state)?.unwrap_or_default();
    let data = Statistics { cgroup: cgroup.stats()?, intel_rdt, network_interfaces: () };
    write_event(&Event { kind: "stats", id: &container.state.id, data: Some(data) }, write)
}

fn write_event<T: Serialize>(event: &Event<'_, T>, write: &mut dyn FnMut(&str) -> Result<()>) -> Result<()> {
    let line = serde_json::to_string(event).map_err(|error| Error::invalid(format!("write an event: {error}")))?;
    write(&line)
}
