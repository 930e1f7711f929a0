//! AppArmor profiles and SELinux contexts that a program is to run under.
//!
//! Labels are written to files of procfs. A container can put anything on its /proc, so these are reached through a
//! descriptor of the host's, opened before the root changes.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags, ResolveFlags};

use crate::error::{Attempt, Error, Result};

/// The host's procfs, held open and known to be one.
#[derive(Debug)]
pub struct Proc(OwnedFd);

impl Proc {
    /// Opens /proc and checks that it is a procfs.
    ///
    /// # Errors
    /// When nothing or something else is mounted there.
    pub fn open() -> Result<Proc> {
        let fd = rustix::fs::open("/proc", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
            .attempt(|| "open /proc")?;
        let found = rustix::fs::fstatfs(&fd).attempt(|| "look at /proc")?.f_type;
        if found != rustix::fs::PROC_SUPER_MAGIC {
            return Err(Error::unsupported("/proc is not a procfs"));
        }
        Ok(Proc(fd))
    }

    /// Opens a file below it; no link or mount leads out of it.
    ///
    /// # Errors
    /// As openat2(2); `EXDEV` when something is mounted over a part of the path.
    pub fn file(&self, path: &str, flags: OFlags) -> Result<OwnedFd> {
        let inside = ResolveFlags::BENEATH | ResolveFlags::NO_XDEV | ResolveFlags::NO_MAGICLINKS;
        rustix::fs::openat2(&self.0, path, flags | OFlags::CLOEXEC, Mode::empty(), inside)
            .attempt(|| format!("open /proc/{path}"))
    }

    /// Writes `text` to a file below it.
    ///
    /// # Errors
    /// As open(2) and write(2).
    pub fn write(&self, path: &str, text: &[u8]) -> Result<()> {
        let file = self.file(path, OFlags::WRONLY)?;
        rustix::io::write(&file, text)
            .attempt(|| format!("write {} to /proc/{path}", String::from_utf8_lossy(text)))
            .map(drop)
    }
}

impl AsFd for Proc {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Whether the kernel runs AppArmor.
pub fn apparmor_enabled() -> bool {
    std::fs::read("/sys/module/apparmor/parameters/enabled").is_ok_and(|text| text.first() == Some(&b'Y'))
}

/// Whether the kernel enforces or logs by SELinux: its file system is mounted, and a policy is loaded, before which every
/// process has the context "kernel".
pub fn selinux_enabled() -> bool {
    const SELINUX_MAGIC: u32 = 0xf97c_ff8c;
    rustix::fs::statfs("/sys/fs/selinux").is_ok_and(|fs| fs.f_type as u32 == SELINUX_MAGIC)
        && std::fs::read("/proc/self/attr/current").is_ok_and(|context| context.trim_ascii_end() != b"kernel\0")
}

/// Has the next execve(2) change to the AppArmor profile `profile`.
///
/// # Errors
/// `ENOENT` when the profile is not loaded.
pub fn apparmor_on_exec(proc: &Proc, profile: &str) -> Result<()> {
    let text = format!("exec {profile}");
    // Kernels from 5.1 on have a folder for each module; older ones one file for whichever comes first.
    proc.write("thread-self/attr/apparmor/exec", text.as_bytes())
        .or_else(|_| proc.write("thread-self/attr/exec", text.as_bytes()))
        .attempt(|| format!("apply the AppArmor profile {profile}"))
}

/// Has the next execve(2) change to the SELinux context `context`.
///
/// # Errors
/// `EINVAL` for a context that the policy does not know.
pub fn selinux_on_exec(proc: &Proc, context: &str) -> Result<()> {
    proc.write("thread-self/attr/exec", context.as_bytes()).attempt(|| format!("apply the SELinux context {context}"))
}

/// Has keyrings be created with the SELinux context `context`; an empty one restores the default.
///
/// # Errors
/// As [`selinux_on_exec`].
pub fn selinux_for_keys(proc: &Proc, context: &str) -> Result<()> {
    proc.write("thread-self/attr/keycreate", context.as_bytes()).attempt(|| format!("label new keyrings {context}"))
}
