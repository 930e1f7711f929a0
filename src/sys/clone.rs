//! clone3(2): a child process in new namespaces and, on cgroup v2, in its cgroup from the first instruction.

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicI32, Ordering};

use rustix::io::Errno;
use rustix::process::Pid;

use super::check;

/// Which side of the fork this is.
#[derive(Debug)]
pub enum Forked {
    /// The new process.
    Child,
    /// The old process, with the child's pid in its own pid namespace and a pidfd to it, if one was asked for.
    Parent(Pid, Option<OwnedFd>),
}

/// What the child shares with the caller or gets anew.
#[derive(Debug, Default)]
pub struct Clone3<'a> {
    /// `CLONE_NEW*` flags.
    pub namespaces: u32,
    /// The child becomes a sibling of the caller (`CLONE_PARENT`) instead of its child.
    pub sibling: bool,
    /// The child and the caller have the same descriptors (`CLONE_FILES`): what one opens or closes, both do.
    pub files: bool,
    /// A pidfd of the child is wanted.
    pub pidfd: bool,
    /// The cgroup v2 directory that the child is born in (`CLONE_INTO_CGROUP`, Linux 5.7).
    pub cgroup: Option<BorrowedFd<'a>>,
    /// Where the kernel stores the child's pid before the child runs (`CLONE_PARENT_SETTID`).
    pub store: Option<&'a SharedPid>,
}

/// A pid in memory that forks of this process share. Whoever clones a child may die before it can tell of it; what the kernel
/// has stored here stays.
#[derive(Debug)]
pub struct SharedPid(NonNull<AtomicI32>);

impl SharedPid {
    /// One without a pid.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub fn new() -> Result<SharedPid, Errno> {
        let (protection, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_ANONYMOUS);
        // SAFETY: the kernel chooses the address of a new mapping, so nothing else is there.
        let page = unsafe { libc::mmap(std::ptr::null_mut(), size_of::<AtomicI32>(), protection, flags, -1, 0) };
        match NonNull::new(page) {
            Some(start) if page != libc::MAP_FAILED => Ok(SharedPid(start.cast())),
            _ => Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::NOMEM)),
        }
    }

    fn number(&self) -> &AtomicI32 {
        // SAFETY: the mapping is page-aligned, zeroed, and stays until `self` is dropped; all who share it write atomically.
        unsafe { self.0.as_ref() }
    }

    /// The pid that is stored, in the pid namespace of whoever cloned.
    pub fn get(&self) -> Option<Pid> {
        Pid::from_raw(self.number().load(Ordering::Acquire))
    }
}

impl Drop for SharedPid {
    fn drop(&mut self) {
        // SAFETY: the mapping is this value's own, and no reference to it outlives it.
        unsafe { libc::munmap(self.0.as_ptr().cast(), size_of::<AtomicI32>()) };
    }
}

/// `CLONE_INTO_CGROUP` of linux/sched.h, which does not fit the 32-bit flags of clone(2).
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// What clone(2) takes as well: flags of 32 bits, less the time namespace's, whose bit means a signal there.
const OLD_FLAGS: u64 = 0xffff_ff00;

/// Forks with clone3(2), Linux 5.3, or with clone(2) where a filter refuses that: such as container engines install cannot look
/// into clone3's structure, and say `ENOSYS`, or in older ones and those written by hand `EPERM`.
///
/// # Errors
/// `EINVAL` when the process has more than one thread (checked here: a child that is forked beside threads may find
/// locks held for ever), `ENOSPC` when a limit on namespaces is reached, `EPERM` without the needed privilege, `EUSERS`
/// when user namespaces are nested too deeply, `EBUSY` when the cgroup cannot hold processes.
pub fn clone3(how: &Clone3<'_>) -> Result<Forked, Errno> {
    if !single_threaded() {
        // SAFETY: unshare(2) with CLONE_THREAD changes nothing; it fails with EINVAL when there is more than one thread.
        check(unsafe { libc::syscall(libc::SYS_unshare, libc::CLONE_THREAD) })?;
    }
    let mut pidfd: libc::c_int = -1;
    // SAFETY: clone_args is plain integers, for which all zeroes is the documented way to say "nothing".
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    args.flags = u64::from(how.namespaces);
    if how.pidfd {
        args.flags |= libc::CLONE_PIDFD as u64;
        args.pidfd = &raw mut pidfd as u64;
    }
    if how.files {
        args.flags |= libc::CLONE_FILES as u64;
    }
    if how.sibling {
        args.flags |= libc::CLONE_PARENT as u64;
    } else {
        args.exit_signal = libc::SIGCHLD as u64;
    }
    if let Some(cgroup) = how.cgroup {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = cgroup.as_raw_fd() as u64;
    }
    let mut stored = std::ptr::null_mut();
    if let Some(store) = how.store {
        args.flags |= libc::CLONE_PARENT_SETTID as u64;
        stored = store.0.as_ptr();
        args.parent_tid = stored as u64;
        // The page is there before the kernel writes to it: a fault could fail in a process that is being killed.
        store.number().store(0, Ordering::Release);
    }
    // SAFETY: no CLONE_VM and no stack, so this is a fork: the child runs on a copy of this stack and memory. The
    // process has one thread, so no lock is held by a thread that the child lacks. `args` and `pidfd` outlive the call.
    let pid = match check(unsafe { libc::syscall(libc::SYS_clone3, &raw const args, size_of::<libc::clone_args>()) }) {
        // Where `EPERM` is the kernel's own, clone(2) says the same.
        Err(Errno::NOSYS | Errno::PERM) if args.flags & !OLD_FLAGS == 0 => {
            let flags = args.flags | args.exit_signal;
            // clone(2) has one place for either of both, and refuses to be asked for both.
            let place = if how.store.is_some() { stored.cast() } else { &raw mut pidfd };
            // SAFETY: as above.
            check(unsafe { libc::syscall(libc::SYS_clone, flags, 0, place, 0, 0) })?
        }
        other => other?,
    };
    if pid == 0 {
        return Ok(Forked::Child);
    }
    let pid = Pid::from_raw(pid as i32).ok_or(Errno::SRCH)?;
    // SAFETY: the kernel stored a new descriptor there, which nobody else owns.
    let pidfd = how.pidfd.then(|| unsafe { OwnedFd::from_raw_fd(pidfd) });
    Ok(Forked::Parent(pid, pidfd))
}

/// Whether the C library never started a thread; false says nothing.
#[cfg(target_env = "gnu")]
fn single_threaded() -> bool {
    unsafe extern "C" {
        static __libc_single_threaded: std::ffi::c_char;
    }
    // SAFETY: a variable of the C library (2.32), which only pthread_create(3) and pthread_join(3) change: on true there
    // is no other thread that could be doing so.
    unsafe { std::ptr::read_volatile(&raw const __libc_single_threaded) != 0 }
}

#[cfg(not(target_env = "gnu"))]
fn single_threaded() -> bool {
    false
}

/// Detaches the caller from `namespaces` (`CLONE_NEW*` flags) with unshare(2): a new pid or time namespace is for
/// its children.
///
/// # Errors
/// As [`clone3`]; `EINVAL` for a user namespace in a process with threads.
pub fn unshare(namespaces: u32) -> Result<(), Errno> {
    // SAFETY: only CLONE_NEW* flags get here: descriptors stay shared, so I/O safety holds.
    check(unsafe { libc::syscall(libc::SYS_unshare, namespaces as libc::c_int) }).map(drop)
}

/// Enters the namespace that `fd` refers to, or, when it is a pidfd (Linux 5.8), those of its process that `kinds`
/// (`CLONE_NEW*` flags) names, all at once or none.
///
/// # Errors
/// setns(2): `EINVAL` for a namespace of another kind or the caller's own user namespace, `EPERM` without the needed
/// privilege, `ESRCH` when the pidfd's process is gone.
pub fn setns(fd: BorrowedFd<'_>, kinds: u32) -> Result<(), Errno> {
    // SAFETY: setns(2) takes no pointers, and `fd` is open for as long as it is borrowed.
    check(unsafe { libc::syscall(libc::SYS_setns, fd.as_raw_fd(), kinds) }).map(drop)
}

/// Ends this process without running destructors or exit handlers: what a forked child must do.
pub fn exit_now(status: i32) -> ! {
    // SAFETY: _exit(2) does not return and touches no memory of the process.
    unsafe { libc::_exit(status) }
}
