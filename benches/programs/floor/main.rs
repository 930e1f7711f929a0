//! The floor: what running a program in the bundle of `spec` costs when nothing is done but the system calls that it
//! needs. No configuration is read, no state is kept, no path is resolved safely, no error is explained; all that the
//! bundle asks for is there: namespaces, cgroups, devices, mounts, masks, capabilities. A runtime is measured by how
//! close it comes.
//!
//! Files are left to be closed by exec and exit, and nothing is done twice or one after the other to be safe. On cgroup
//! v1 every hierarchy gets a cgroup, as runc does; on v2 there is one, joined by clone3 itself.
//!
//!     floor [--time] ROOTFS CGROUP PROGRAM
//!
//! ROOTFS is an absolute path to a root with proc, dev and sys in it, CGROUP the name of the cgroups to make, PROGRAM
//! an absolute path inside. `--time` prints the nanoseconds of each group of calls as JSON.

#![no_main]

mod call;
mod cgroup;
mod clock;
mod devices;
mod root;

use call::{at, at_mut, call, fail, must};
use cgroup::Cgroups;
use clock::Clock;
use std::ffi::{CStr, c_char, c_int};

/// The entry point of C: std's own makes system calls of its own before its `main`.
///
/// # Safety
/// Called by the C runtime with `argc` pointers in `argv`.
#[unsafe(no_mangle)]
unsafe extern "C" fn main(argc: c_int, argv: *const *const c_char) -> c_int {
    // SAFETY: argv has argc pointers to strings that live as long as the process.
    let mut arguments = (1..argc as usize).map(|i| unsafe { CStr::from_ptr(*argv.add(i)) }).peekable();
    let keeps_time = arguments.next_if_eq(&c"--time").is_some();
    let (Some(rootfs), Some(name), Some(program)) = (arguments.next(), arguments.next(), arguments.next()) else {
        eprintln!("usage: floor [--time] ROOTFS CGROUP PROGRAM");
        return 2;
    };
    run(rootfs, name, program, &Clock::new(keeps_time))
}

fn run(rootfs: &CStr, name: &CStr, program: &CStr, clock: &Clock) -> c_int {
    let mut file = [0; 4096];
    let cgroups = Cgroups::create(&mut file, name);
    clock.lap(0);

    let pid = clone(&cgroups);
    if pid == 0 {
        // Only the child reads the clock until it ends: the parent would book what the child does meanwhile as clone3.
        clock.lap(1);
        cgroups.attach_self();
        clock.lap(2);
        root::mount(rootfs);
        clock.lap(3);
        cgroups.mount();
        clock.lap(4);
        root::mask();
        clock.lap(5);
        root::pivot();
        clock.lap(6);
        raise_loopback();
        clock.lap(7);
        restrict();
        clock.lap(8);
        execute(program);
    }

    let mut status = [0_i32];
    must("wait for the program", libc::SYS_wait4, [pid, at_mut(&mut status), 0, 0]);
    clock.lap(9);
    cgroups.remove();
    clock.lap(10);
    clock.report();
    if libc::WIFEXITED(status[0]) { libc::WEXITSTATUS(status[0]) } else { 128 + libc::WTERMSIG(status[0]) }
}

/// One clone3 for every namespace of the bundle and, on cgroup v2, for the cgroup. 0 in the child.
fn clone(cgroups: &Cgroups) -> usize {
    let namespaces =
        libc::CLONE_NEWPID | libc::CLONE_NEWNET | libc::CLONE_NEWIPC | libc::CLONE_NEWUTS | libc::CLONE_NEWNS;
    // linux/sched.h, struct clone_args: flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls,
    // set_tid, set_tid_size, cgroup.
    let mut arguments = [0_u64; 11];
    arguments[0] = namespaces as u64;
    arguments[4] = libc::SIGCHLD as u64;
    if let Cgroups::V2 { directory, .. } = cgroups {
        const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;
        // The bundle of `spec` has a cgroup namespace only where cgroup v2 rules alone.
        arguments[0] |= CLONE_INTO_CGROUP | libc::CLONE_NEWCGROUP as u64;
        arguments[10] = *directory as u64;
    }
    must("clone3 into new namespaces", libc::SYS_clone3, [at(&arguments), size_of_val(&arguments)])
}

/// A new network namespace has its loopback device down; runc and crun raise it.
fn raise_loopback() {
    let datagram = (libc::SOCK_DGRAM | libc::SOCK_CLOEXEC) as usize;
    let socket = must("open a socket", libc::SYS_socket, [libc::AF_INET as usize, datagram, 0]);
    // struct ifreq: the name in 16 bytes, then the flags.
    let mut request = [0_u8; 40];
    request[..2].copy_from_slice(b"lo");
    request[16..18].copy_from_slice(&((libc::IFF_UP | libc::IFF_RUNNING) as u16).to_ne_bytes());
    must("raise lo", libc::SYS_ioctl, [socket, libc::SIOCSIFFLAGS as usize, at(&request)]);
}

/// What the process may do, from the bundle's `process` and `hostname`.
fn restrict() {
    must("set the host name", libc::SYS_sethostname, [at(c"floor"), 5]);
    // A session and a keyring of its own: neither the caller's terminal nor its keys are within reach.
    must("start a session", libc::SYS_setsid, []);
    match call(libc::SYS_keyctl, [libc::KEYCTL_JOIN_SESSION_KEYRING as usize, 0]) {
        Ok(_) | Err(libc::ENOSYS) => {}
        Err(errno) => fail("join a session keyring", errno),
    }
    let files = [1024_u64; 2];
    must("limit open files", libc::SYS_prlimit64, [0, libc::RLIMIT_NOFILE as usize, at(&files), 0]);
    must("drop the groups", libc::SYS_setgroups, [0, 0]);
    must("set the umask", libc::SYS_umask, [0o022]);

    // Kept: CAP_KILL, CAP_NET_BIND_SERVICE, CAP_AUDIT_WRITE. There is no call that drops more than one at once, and
    // EINVAL says that there are no more.
    const KEPT: [usize; 3] = [5, 10, 29];
    for capability in (0..64).filter(|capability| !KEPT.contains(capability)) {
        match call(libc::SYS_prctl, [libc::PR_CAPBSET_DROP as usize, capability]) {
            Ok(_) => {}
            Err(libc::EINVAL) => break,
            Err(errno) => fail("drop a capability from the bounding set", errno),
        }
    }
    let clear = [libc::PR_CAP_AMBIENT as usize, libc::PR_CAP_AMBIENT_CLEAR_ALL as usize, 0, 0, 0];
    must("clear the ambient capabilities", libc::SYS_prctl, clear);
    // linux/capability.h, version 3: effective, permitted, inheritable, twice.
    let kept = KEPT.iter().fold(0_u32, |set, capability| set | 1 << capability);
    let (header, sets) = ([0x2008_0522_u32, 0], [kept, kept, 0, 0, 0, 0]);
    must("set the capabilities", libc::SYS_capset, [at(&header), at(&sets)]);
    must("set no_new_privs", libc::SYS_prctl, [libc::PR_SET_NO_NEW_PRIVS as usize, 1, 0, 0, 0]);
    let close_on_exec = libc::CLOSE_RANGE_CLOEXEC as usize;
    must("close what was inherited", libc::SYS_close_range, [3, u32::MAX as usize, close_on_exec]);
}

/// Becomes the program.
fn execute(program: &CStr) -> ! {
    let arguments = [at(program), 0];
    let path = c"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    let environment = [at(path), at(c"TERM=xterm"), 0];
    must("execute the program", libc::SYS_execve, [at(program), at(&arguments), at(&environment)]);
    unreachable!("execve does not return when it succeeds")
}
