//! Where the time goes: a clock read between the groups of calls, when asked for. The child's readings reach the
//! parent through a shared page; reading the clock is no system call.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The groups, in the order in which they run.
pub const GROUPS: [&str; 11] = [
    "cgroup: create and limit",
    "clone3 with its namespaces",
    "cgroup: attach",
    "mounts and device nodes",
    "mounts of the cgroup hierarchies",
    "masked and read-only paths",
    "pivot_root",
    "loopback device up",
    "host name, session, capabilities, rlimit",
    "exec, the program, the end of its namespaces",
    "cgroup: remove",
];

/// Nanoseconds spent in each group, and the last reading.
pub struct Clock {
    page: Option<&'static [AtomicU64; GROUPS.len() + 1]>,
}

impl Clock {
    /// A clock that keeps time, or one that does nothing at all.
    pub fn new(keeps_time: bool) -> Clock {
        if !keeps_time {
            return Clock { page: None };
        }
        // SAFETY: a new mapping, shared with the child, zero-filled, page-aligned, never unmapped: atomics of any
        // value fit, and 'static is true.
        let page = unsafe {
            let page = libc::mmap(
                std::ptr::null_mut(),
                4096,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_ANONYMOUS,
                -1,
                0,
            );
            if page == libc::MAP_FAILED {
                crate::call::fail("map the clock's page", libc::ENOMEM);
            }
            &*page.cast()
        };
        let clock = Clock { page: Some(page) };
        page[GROUPS.len()].store(now(), Relaxed);
        clock
    }

    /// Adds the time since the last reading, in whichever process, to the group.
    pub fn lap(&self, group: usize) {
        if let Some(page) = self.page {
            let now = now();
            let last = page[GROUPS.len()].swap(now, Relaxed);
            page[group].fetch_add(now - last, Relaxed);
        }
    }

    /// One line of JSON: group to nanoseconds.
    pub fn report(&self) {
        if let Some(page) = self.page {
            let fields: Vec<String> =
                GROUPS.iter().zip(page).map(|(name, ns)| format!("\"{name}\":{}", ns.load(Relaxed))).collect();
            println!("{{{}}}", fields.join(","));
        }
    }
}

fn now() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is writable and the clock exists.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
