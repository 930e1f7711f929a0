//! A network namespace made by another process while this one goes on: with its loopback device it costs the kernel a tenth
//! of a container's whole start.
//!
//! The other process shares this one's memory, since a fork would cost what is to be saved. It runs a few system calls in
//! assembly on a stack of its own: compiled code might take a lock or use thread-local storage, which both would share.

use std::os::fd::{AsFd, OwnedFd};

use rustix::io::Errno;
use rustix::process::Pid;

/// A process that has made a network namespace for others to join, or is about to.
#[derive(Debug)]
pub struct Ahead {
    pid: Pid,
    pidfd: OwnedFd,
    /// On it comes what became of it: 0 or an errno, in eight bytes. When it is shut, or closed by all, the process ends.
    word: OwnedFd,
}

impl Ahead {
    /// Starts it; the namespace's loopback device will be up. Linux 5.3, x86-64.
    ///
    /// # Errors
    /// As clone3(2); `ENOSYS` on other architectures.
    #[cfg(target_arch = "x86_64")]
    pub fn start() -> Result<Ahead, Errno> {
        use std::os::fd::{AsRawFd, FromRawFd};

        use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

        const STACK: usize = 64;
        let (word, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        // Never freed: nobody tells when the other process is done with them, and there is one a container.
        let stack: &'static mut [u64; STACK] = Box::leak(Box::new([0; STACK]));
        let request: &'static libc::ifreq = Box::leak(Box::new(super::net::up()));
        let mut pidfd: libc::c_int = -1;
        // SAFETY: clone_args is plain integers, for which all zeroes is the documented way to say "nothing".
        let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
        // No exit signal: who waits for other children does not see this one.
        args.flags = (libc::CLONE_VM | libc::CLONE_FS | libc::CLONE_PIDFD) as u64;
        args.pidfd = &raw mut pidfd as u64;
        args.stack = stack.as_mut_ptr() as u64;
        args.stack_size = (STACK * size_of::<u64>()) as u64;
        let mut pid: i64;
        // SAFETY: the other process never returns into compiled code: it makes system calls until it ends. It writes to
        // nothing but its stack, which is its alone and never freed, and its table of descriptors is a copy of its own.
        // Here, the block is a system call that writes to `pidfd`.
        unsafe {
            std::arch::asm!(
                "syscall", // clone3
                "test rax, rax",
                "jnz 3f",
                "mov eax, 3", // close(the other end)
                "mov edi, r14d",
                "syscall",
                "mov eax, 272", // unshare(CLONE_NEWNET)
                "mov edi, 0x40000000",
                "syscall",
                "test rax, rax",
                "jnz 4f",
                "mov eax, 41", // socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)
                "mov edi, 2",
                "mov esi, 0x80002",
                "xor edx, edx",
                "syscall",
                "test rax, rax",
                "js 4f",
                "mov edi, eax", // ioctl(the socket, SIOCSIFFLAGS, request)
                "mov eax, 16",
                "mov esi, 0x8914",
                "mov rdx, r12",
                "syscall",
                "4: neg rax",
                "push rax",
                "mov eax, 44", // sendto(what became of it, MSG_NOSIGNAL)
                "mov edi, r13d",
                "mov rsi, rsp",
                "mov edx, 8",
                "mov r10d, 0x4000",
                "xor r8d, r8d",
                "xor r9d, r9d",
                "syscall",
                "test rax, rax", // whoever waits for it finds an end of file then
                "js 5f",
                "2: xor eax, eax", // read, until nobody is there any more
                "mov edi, r13d",
                "mov rsi, rsp",
                "mov edx, 8",
                "syscall",
                "cmp rax, -4", // EINTR
                "je 2b",
                "5: mov eax, 60", // exit
                "xor edi, edi",
                "syscall",
                "ud2",
                "3:",
                inlateout("rax") libc::SYS_clone3 => pid,
                in("rdi") &raw const args,
                in("rsi") size_of::<libc::clone_args>(),
                in("r12") &raw const *request,
                in("r13") theirs.as_raw_fd() as i64,
                in("r14") word.as_raw_fd() as i64,
                out("rcx") _,
                out("r11") _,
            );
        }
        if pid < 0 {
            return Err(Errno::from_raw_os_error(-pid as i32));
        }
        let pid = Pid::from_raw(pid as i32).ok_or(Errno::SRCH)?;
        super::sched::run_elsewhere(pid);
        // SAFETY: the kernel stored a new descriptor there, which nobody else owns.
        Ok(Ahead { pid, pidfd: unsafe { OwnedFd::from_raw_fd(pidfd) }, word })
    }

    /// On other architectures there is none.
    ///
    /// # Errors
    /// `ENOSYS`.
    #[cfg(not(target_arch = "x86_64"))]
    pub fn start() -> Result<Ahead, Errno> {
        Err(Errno::NOSYS)
    }

    /// Joins the namespace when it is there. For a child of who started it, whose copy this is.
    ///
    /// # Errors
    /// Why it could not be made, or as setns(2).
    pub fn join(&self) -> Result<(), Errno> {
        let mut word = [0; 8];
        let length = loop {
            match rustix::net::recv(&self.word, &mut word, rustix::net::RecvFlags::empty()) {
                Err(Errno::INTR) => {}
                other => break other?.0,
            }
        };
        match i64::from_ne_bytes(word) {
            // It was killed.
            _ if length != word.len() => Err(Errno::SRCH),
            0 => super::clone::setns(self.pidfd.as_fd(), libc::CLONE_NEWNET as u32),
            errno => Err(Errno::from_raw_os_error(errno as i32)),
        }
    }
}

impl Drop for Ahead {
    /// Has it end, and waits for that.
    fn drop(&mut self) {
        use std::os::fd::AsRawFd;
        // Not where it was: there the container runs now.
        super::sched::run_here(self.pid);
        if rustix::net::shutdown(&self.word, rustix::net::Shutdown::Both).is_err() {
            let _ = rustix::process::pidfd_send_signal(&self.pidfd, rustix::process::Signal::KILL);
        }
        // SAFETY: siginfo_t is plain data, which the kernel fills in; the pidfd is open. `__WALL` is for children without an
        // exit signal.
        unsafe {
            let mut info: libc::siginfo_t = std::mem::zeroed();
            let id = self.pidfd.as_raw_fd() as libc::id_t;
            while libc::waitid(libc::P_PIDFD, id, &raw mut info, libc::WEXITED | libc::__WALL) != 0
                && std::io::Error::last_os_error().raw_os_error() == Some(libc::EINTR)
            {}
        }
    }
}
