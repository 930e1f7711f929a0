//! What the tests share: running the built binary with a time limit, bundles made from busybox, guards that clean up,
//! and checks that nothing is left behind.
//!
//! Environment:
//!
//! | variable | meaning |
//! |---|---|
//! | `NSKIT_BIN` | the nskit binary to test, instead of the one that Cargo built |
//! | `NSKIT_RUNTIME` | another OCI runtime (runc, crun) to run the runtime's tests against: they describe behaviour that engines expect of any |
//! | `NSKIT_SKIPS` | the file to which skips are added, `target/skips` unless given |
//! | `NSKIT_PATIENCE` | multiplies every time limit; for slow machines |

mod cgroups;
mod command;
mod config;
mod console;
mod container;
mod engine;
mod leaks;
mod shim;
mod skips;

pub(crate) use cgroups::{Hierarchy, cgroup_dir, has_controller, has_systemd, hierarchy};
pub(crate) use command::{Invocation, Output, Running, program};
pub(crate) use config::{busybox, copy_program, default_config, make_rootfs, set};
pub(crate) use console::{Pty, Socket};
pub(crate) use container::{Container, TempDir};
pub(crate) use engine::{Containerd, Way};

pub(crate) use leaks::{clean_up, left_behind};
pub(crate) use shim::{Client, Task, number, read_to_end};
pub(crate) use skips::{record_skip, skip, skip_on, test_name};

use std::path::PathBuf;
use std::process;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// The runtime under test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    /// This project's.
    Ours,
    /// Debian's runc.
    Runc,
    /// Debian's crun.
    Crun,
}

/// Which runtime `NSKIT_RUNTIME` names.
pub(crate) fn peer() -> Peer {
    let name = std::env::var_os("NSKIT_RUNTIME").map(PathBuf::from);
    match name.as_deref().and_then(|path| path.file_name()).and_then(|name| name.to_str()) {
        Some(name) if name.starts_with("runc") => Peer::Runc,
        Some(name) if name.starts_with("crun") => Peer::Crun,
        _ => Peer::Ours,
    }
}

/// The nskit binary under test.
pub(crate) fn nskit() -> PathBuf {
    std::env::var_os("NSKIT_BIN").map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_nskit")), PathBuf::from)
}

/// The words that start the runtime under test.
pub(crate) fn runtime_words() -> Vec<String> {
    match std::env::var("NSKIT_RUNTIME") {
        Ok(path) => vec![path],
        Err(_) => vec![nskit().to_str().expect("the path of nskit is UTF-8").to_owned(), "runtime".to_owned()],
    }
}

/// A name for a container, an image, a folder: unique among tests that run at the same time.
pub(crate) fn unique_name() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("nskit-test-{}-{}", process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// `seconds`, longer on machines that `NSKIT_PATIENCE` says are slow.
pub(crate) fn patience(seconds: f64) -> Duration {
    static FACTOR: OnceLock<f64> = OnceLock::new();
    let factor =
        FACTOR.get_or_init(|| std::env::var("NSKIT_PATIENCE").ok().and_then(|text| text.parse().ok()).unwrap_or(1.0));
    Duration::from_secs_f64(seconds * factor)
}

/// Waits until `condition` holds, and panics with `what` if it takes too long.
#[track_caller]
pub(crate) fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let give_up = Instant::now() + patience(10.0);
    while !condition() {
        assert!(Instant::now() < give_up, "waited in vain: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Where a CRIU is that works on this machine: tests/criu finds or fetches it.
pub(crate) fn criu() -> Option<PathBuf> {
    std::env::var_os("NSKIT_CRIU").filter(|path| !path.is_empty()).map(PathBuf::from)
}

/// `invocation` with that CRIU in its `PATH`, where there is one.
pub(crate) fn with_criu(invocation: Invocation) -> Invocation {
    let Some(criu) = criu() else { return invocation };
    let path = std::env::var("PATH").unwrap_or_default();
    invocation.env("PATH", format!("{}:{path}", criu.display()))
}

/// Leaves the test where there is no CRIU that works.
macro_rules! needs_criu {
    () => {
        if $crate::harness::criu().is_none() {
            $crate::harness::skip!("criu does not work here");
        }
    };
}

pub(crate) use needs_criu;
