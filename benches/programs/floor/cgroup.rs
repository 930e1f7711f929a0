//! The cgroups of the bundle: made below the caller's own, as runc does when the bundle names none.

use crate::call::{Path, at, at_mut, call, fail, must};
use crate::devices;
use std::ffi::CStr;

/// At most this many hierarchies of v1: the kernel has 13 controllers, and systemd one more.
const MOST: usize = 16;

/// What was made, by version.
pub enum Cgroups<'a> {
    /// A hierarchy per controller.
    V1 { hierarchies: [Hierarchy<'a>; MOST], count: usize, name: &'a [u8] },
    /// One hierarchy: its cgroup, opened for clone3, and its path for the end.
    V2 { directory: usize, path: Path },
}

/// A hierarchy of v1, from a line of /proc/self/cgroup.
#[derive(Clone, Copy, Default)]
pub struct Hierarchy<'a> {
    /// Its folder below /sys/fs/cgroup.
    folder: &'a [u8],
    /// The caller's own cgroup, `/` and all.
    own: &'a [u8],
}

impl Hierarchy<'_> {
    /// `rest` below the hierarchy's cgroup of this name; a path that ends in `/` when the own cgroup is the root.
    fn path(&self, name: &[u8], rest: &[u8]) -> Path {
        Path::new(&[b"/sys/fs/cgroup/", self.folder, self.own, b"/", name, rest])
    }
}

impl<'a> Cgroups<'a> {
    /// Makes the cgroups and sets what the bundle's resources ask: no devices but the ordinary ones. `file` is where
    /// /proc/self/cgroup is read into.
    pub fn create(file: &'a mut [u8], name: &'a CStr) -> Cgroups<'a> {
        let name = name.to_bytes();
        let text = read(&Path::new(&[b"/proc/self/cgroup"]), file);

        let mut hierarchies = [Hierarchy::default(); MOST];
        let mut count = 0;
        let mut unified = &b"/"[..];
        for line in text.split(|byte| *byte == b'\n') {
            let mut fields = line.splitn(3, |byte| *byte == b':');
            let (Some(_), Some(controllers), Some(own)) = (fields.next(), fields.next(), fields.next()) else {
                continue;
            };
            let own = own.strip_suffix(b"/").unwrap_or(own);
            if controllers.is_empty() {
                unified = own;
            } else if count < MOST {
                let folder = controllers.strip_prefix(b"name=").unwrap_or(controllers);
                hierarchies[count] = Hierarchy { folder, own };
                count += 1;
            }
        }
        if count == 0 {
            return Cgroups::create_v2(unified, name);
        }

        for hierarchy in &hierarchies[..count] {
            must("make a cgroup", libc::SYS_mkdir, [hierarchy.path(name, b"").at(), 0o755]);
            match hierarchy.folder {
                // A new cpuset is empty, and nothing may enter it before it has what its parent has.
                b"cpuset" => {
                    for setting in [&b"/cpuset.cpus"[..], b"/cpuset.mems"] {
                        let mut value = [0; 1024];
                        let parent = Path::new(&[b"/sys/fs/cgroup/cpuset", hierarchy.own, setting]);
                        let value = read(&parent, &mut value);
                        write(&hierarchy.path(name, setting), &[value]);
                    }
                }
                // The file takes one rule a write.
                b"devices" => {
                    write(&hierarchy.path(name, b"/devices.deny"), &[b"a"]);
                    write(&hierarchy.path(name, b"/devices.allow"), &devices::ALLOWED_V1);
                }
                _ => {}
            }
        }
        Cgroups::V1 { hierarchies, count, name }
    }

    fn create_v2(own: &[u8], name: &[u8]) -> Cgroups<'a> {
        let path = Path::new(&[b"/sys/fs/cgroup", own, b"/", name]);
        must("make a cgroup", libc::SYS_mkdir, [path.at(), 0o755]);
        let flags = (libc::O_RDONLY | libc::O_DIRECTORY | libc::O_CLOEXEC) as usize;
        let directory = must("open the cgroup", libc::SYS_open, [path.at(), flags]);
        devices::attach(directory);
        Cgroups::V2 { directory, path }
    }

    /// Moves the calling process into the cgroups of v1; on v2 it was born there.
    pub fn attach_self(&self) {
        if let Cgroups::V1 { hierarchies, count, name } = self {
            for hierarchy in &hierarchies[..*count] {
                write(&hierarchy.path(name, b"/cgroup.procs"), &[b"0"]);
            }
        }
    }

    /// The container's own cgroups at /sys/fs/cgroup, read-only: on v1 a bind mount each, in a tmpfs.
    pub fn mount(&self) {
        let read_only = (libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC | libc::MS_RDONLY) as usize;
        let Cgroups::V1 { hierarchies, count, name } = self else {
            let arguments = [at(c"cgroup"), at(c"sys/fs/cgroup"), at(c"cgroup2"), read_only, 0];
            must("mount cgroup2", libc::SYS_mount, arguments);
            return;
        };
        let writable = read_only & !libc::MS_RDONLY as usize;
        let arguments = [at(c"tmpfs"), at(c"sys/fs/cgroup"), at(c"tmpfs"), writable, at(c"mode=755")];
        must("mount a tmpfs for the cgroups", libc::SYS_mount, arguments);
        for hierarchy in &hierarchies[..*count] {
            let source = hierarchy.path(name, b"");
            let target = Path::new(&[b"sys/fs/cgroup/", hierarchy.folder]);
            must("make a mount point for a hierarchy", libc::SYS_mkdir, [target.at(), 0o755]);
            must("bind a hierarchy", libc::SYS_mount, [source.at(), target.at(), 0, libc::MS_BIND as usize, 0]);
        }
        // All ten at once: struct mount_attr is the flags to set, to clear, the propagation and a user namespace.
        let attributes = [0x1_u64 | 0x2 | 0x4 | 0x8, 0, 0, 0];
        const AT_RECURSIVE: usize = 0x8000;
        let arguments = [libc::AT_FDCWD as usize, at(c"sys/fs/cgroup"), AT_RECURSIVE, at(&attributes), 32];
        must("make the hierarchies read-only", libc::SYS_mount_setattr, arguments);
    }

    /// Removes what was made.
    pub fn remove(&self) {
        match self {
            Cgroups::V1 { hierarchies, count, name } => {
                for hierarchy in &hierarchies[..*count] {
                    must("remove a cgroup", libc::SYS_rmdir, [hierarchy.path(name, b"").at()]);
                }
            }
            Cgroups::V2 { path, .. } => {
                must("remove the cgroup", libc::SYS_rmdir, [path.at()]);
            }
        }
    }
}

/// Reads the beginning of a file, to one page: all there is of these.
fn read<'a>(path: &Path, into: &'a mut [u8]) -> &'a [u8] {
    let file = must("open a file to read", libc::SYS_open, [path.at(), (libc::O_RDONLY | libc::O_CLOEXEC) as usize]);
    let length = into.len();
    let length = must("read a file", libc::SYS_read, [file, at_mut(into), length]);
    &into[..length]
}

/// Writes to a file, a call for each text.
fn write(path: &Path, texts: &[&[u8]]) {
    let file = must("open a file to write", libc::SYS_open, [path.at(), (libc::O_WRONLY | libc::O_CLOEXEC) as usize]);
    for text in texts {
        if let Err(errno) = call(libc::SYS_write, [file, at(*text), text.len()]) {
            fail("write to a cgroup's file", errno);
        }
    }
}
