//! The container's root: the mounts, nodes, links and masks of the bundle of `spec`, by paths below the new root's own
//! folder, which is the working directory until `pivot`.

use crate::call::{at, call, fail, must};
use std::ffi::CStr;

const NOSUID: usize = libc::MS_NOSUID as usize;
const NOEXEC: usize = libc::MS_NOEXEC as usize;
const NODEV: usize = libc::MS_NODEV as usize;
const RDONLY: usize = libc::MS_RDONLY as usize;
const BIND: usize = libc::MS_BIND as usize;
const REMOUNT: usize = libc::MS_REMOUNT as usize;

/// Mounts everything but the cgroups, and fills /dev.
pub fn mount(rootfs: &CStr) {
    // Nothing that is mounted here shows up outside.
    must("make mounts private", libc::SYS_mount, [0, at(c"/"), 0, (libc::MS_REC | libc::MS_SLAVE) as usize, 0]);
    must("bind the root to itself", libc::SYS_mount, [at(rootfs), at(rootfs), 0, BIND | libc::MS_REC as usize, 0]);
    must("enter the root", libc::SYS_chdir, [at(rootfs)]);

    fresh(c"proc", c"proc", 0, c"");
    fresh(c"tmpfs", c"dev", NOSUID | libc::MS_STRICTATIME as usize, c"mode=755,size=65536k");
    for folder in [c"dev/pts", c"dev/shm", c"dev/mqueue"] {
        must("make a folder in /dev", libc::SYS_mkdir, [at(folder), 0o755]);
    }
    fresh(c"devpts", c"dev/pts", NOSUID | NOEXEC, c"newinstance,ptmxmode=0666,mode=0620,gid=5");
    fresh(c"tmpfs", c"dev/shm", NOSUID | NOEXEC | NODEV, c"mode=1777,size=65536k");
    fresh(c"mqueue", c"dev/mqueue", NOSUID | NOEXEC | NODEV, c"");
    fresh(c"sysfs", c"sys", NOSUID | NOEXEC | NODEV | RDONLY, c"");

    // The nodes that the specification wants in every container, with the mode asked for, not what a umask leaves.
    must("clear the umask", libc::SYS_umask, [0]);
    let nodes = [
        (c"dev/null", 1, 3),
        (c"dev/zero", 1, 5),
        (c"dev/full", 1, 7),
        (c"dev/random", 1, 8),
        (c"dev/urandom", 1, 9),
        (c"dev/tty", 5, 0),
    ];
    for (path, major, minor) in nodes {
        let number = libc::makedev(major, minor) as usize;
        must("make a device node", libc::SYS_mknod, [at(path), (libc::S_IFCHR | 0o666) as usize, number]);
    }
    let links = [
        (c"/proc/self/fd", c"dev/fd"),
        (c"/proc/self/fd/0", c"dev/stdin"),
        (c"/proc/self/fd/1", c"dev/stdout"),
        (c"/proc/self/fd/2", c"dev/stderr"),
        (c"/proc/kcore", c"dev/core"),
        (c"pts/ptmx", c"dev/ptmx"),
    ];
    for (target, path) in links {
        must("make a link in /dev", libc::SYS_symlink, [at(target), at(path)]);
    }
}

/// Hides the bundle's masked paths and makes its read-only paths so.
pub fn mask() {
    for path in [
        c"proc/kcore",
        c"proc/keys",
        c"proc/latency_stats",
        c"proc/timer_list",
        c"proc/timer_stats",
        c"proc/sched_debug",
    ] {
        only_where_present("mask a file", call(libc::SYS_mount, [at(c"dev/null"), at(path), 0, BIND, 0]));
    }
    // One read-only tmpfs hides every folder: bind mounts of a file system that is read-only are so too.
    let mut mask: Option<&CStr> = None;
    for path in [c"proc/acpi", c"proc/asound", c"proc/scsi", c"sys/firmware"] {
        let mounted = match mask {
            None => call(libc::SYS_mount, [at(c"tmpfs"), at(path), at(c"tmpfs"), RDONLY, 0]),
            Some(mask) => call(libc::SYS_mount, [at(mask), at(path), 0, BIND, 0]),
        };
        if only_where_present("mask a folder", mounted) {
            mask.get_or_insert(path);
        }
    }
    for path in [c"proc/bus", c"proc/fs", c"proc/irq", c"proc/sys", c"proc/sysrq-trigger"] {
        if only_where_present("bind a path to itself", call(libc::SYS_mount, [at(path), at(path), 0, BIND, 0])) {
            must("make a path read-only", libc::SYS_mount, [0, at(path), 0, BIND | REMOUNT | RDONLY, 0]);
        }
    }
}

/// Leaves the host's root behind; the bundle's is read-only.
pub fn pivot() {
    must("make the root read-only", libc::SYS_mount, [0, at(c"."), 0, BIND | REMOUNT | RDONLY, 0]);
    must("pivot the root", libc::SYS_pivot_root, [at(c"."), at(c".")]);
    must("detach the old root", libc::SYS_umount2, [at(c"."), libc::MNT_DETACH as usize]);
    must("enter the working directory", libc::SYS_chdir, [at(c"/")]);
}

/// Mounts a file system of its own.
fn fresh(kind: &CStr, path: &CStr, flags: usize, options: &CStr) {
    if let Err(errno) = call(libc::SYS_mount, [at(kind), at(path), at(kind), flags, at(options)]) {
        fail(&format!("mount {kind:?} on {path:?}"), errno);
    }
}

/// Kernels differ in which of the paths they have.
fn only_where_present(what: &str, outcome: Result<usize, i32>) -> bool {
    match outcome {
        Ok(_) => true,
        Err(libc::ENOENT) => false,
        Err(errno) => fail(what, errno),
    }
}
