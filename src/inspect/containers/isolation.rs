//! What a container is not kept from, which most are.

use std::fs;

use super::config::engine_socket;
use super::container::{Container, Exposure, State};
use crate::inspect::proc;
use crate::sys::mountinfo;

/// What binds a process, of proc_pid_status(5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bonds {
    /// Whether a seccomp filter binds it.
    pub seccomp: bool,
    /// Capabilities that it, or what it executes, can have: bits by number.
    pub capabilities: u64,
}

impl Bonds {
    /// Reads them; `None` where there is no such process.
    pub fn read(pid: i32) -> Option<Bonds> {
        let status = proc::read_text(&format!("/proc/{pid}/status")).ok()?;
        let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        Some(Bonds {
            // A kernel without filters has no such line.
            seccomp: field("Seccomp:").is_none_or(|mode| mode != "0"),
            capabilities: u64::from_str_radix(field("CapBnd:")?, 16).ok()?,
        })
    }
}

/// All capabilities that this machine has to give: those of its first process, which may have fewer than the kernel knows.
pub fn all_capabilities() -> u64 {
    let last =
        fs::read_to_string("/proc/sys/kernel/cap_last_cap").ok().and_then(|last| last.trim().parse::<u32>().ok());
    let known = last.and_then(|last| u64::MAX.checked_shr(63 - last.min(63))).unwrap_or(u64::MAX);
    // In a pid namespace, the first process is one of those that are asked about.
    let is_host = proc::Stat::read(2).is_some_and(|second| second.is_kernel_thread());
    let first = if is_host { Bonds::read(1).map(|bonds| bonds.capabilities) } else { None };
    known & first.unwrap_or(u64::MAX)
}

/// What of the host is mounted in the container: by its configuration, or by what its first process sees.
pub fn exposures(container: &Container) -> Vec<Exposure> {
    match (&container.exposures, container.pid) {
        (Some(exposures), _) => exposures.clone(),
        // One that is being made sees the host's.
        (None, Some(pid)) if container.state() >= State::Running => seen(pid),
        _ => Vec::new(),
    }
}

/// By what the process sees. The host's root has the device that the caller's own root is on.
fn seen(pid: i32) -> Vec<Exposure> {
    let text = mountinfo::read(pid).unwrap_or_default();
    let host = mountinfo::read("self").unwrap_or_default();
    let root = mountinfo::lines(&host).find(|mount| mount.point == b"/").map(|mount| (mount.device, mount.root));
    let mut found = Vec::new();
    for mount in mountinfo::lines(&text) {
        let at = mount.point().to_string_lossy().into_owned();
        if at != "/" && Some((mount.device, mount.root)) == root {
            let writable = !mount.options.split(|&byte| byte == b',').any(|option| option == b"ro");
            found.push(Exposure::HostRoot { at, writable });
        } else if let Some(socket) = std::str::from_utf8(mount.root).ok().filter(|root| root.ends_with(".sock"))
            && let Some(socket) = engine_socket(socket)
        {
            found.push(Exposure::EngineSocket { socket, at });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_binds_this_process_can_be_read() {
        assert!(Bonds::read(std::process::id() as i32).is_some());
        assert_ne!(all_capabilities(), 0);
        assert!(Bonds::read(i32::MAX).is_none());
    }
}
