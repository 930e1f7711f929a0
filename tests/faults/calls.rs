//! System calls: their names, and how each can plausibly fail.

use libc::{
    EACCES, EAGAIN, EBUSY, ECONNREFUSED, EINTR, EINVAL, EIO, EMFILE, ENFILE, ENOENT, ENOMEM, ENOSPC, ENOSYS, ENOTCONN,
    EPERM, EROFS,
};
use nskit::seccomp::{Arch, Syscall};

/// The name of a call of this machine.
pub(super) fn name(number: i64) -> &'static str {
    let arch = Arch::X86_64;
    let of = |call: &Syscall| call.number(arch).is_some_and(|known| i64::from(known) == number);
    Syscall::all().find(of).map_or("?", Syscall::name)
}

/// Which of a call's arguments is its path.
pub(super) fn path_index(number: i64) -> Option<usize> {
    match name(number) {
        "open" | "stat" | "lstat" | "access" | "execve" | "mkdir" | "rmdir" | "unlink" | "readlink" | "chdir"
        | "statfs" | "mount" | "umount2" | "pivot_root" | "chmod" | "rename" | "truncate" => Some(0),
        "openat" | "openat2" | "newfstatat" | "statx" | "mkdirat" | "mknodat" | "unlinkat" | "readlinkat"
        | "faccessat" | "faccessat2" | "fchmodat" | "fchownat" | "execveat" | "open_tree" | "mount_setattr"
        | "move_mount" | "symlinkat" | "renameat" | "renameat2" | "name_to_handle_at" | "write" | "fsconfig" => Some(1),
        _ => None,
    }
}

/// The errnos that a call can fail with on a machine in trouble, the likeliest first; none for one that cannot fail.
pub(super) fn plausible(number: i64, args: [u64; 3]) -> &'static [i32] {
    match name(number) {
        // Only a new limit can be refused.
        "prlimit64" if args[2] == 0 => &[],
        // Asked for 0, it tells where the heap ends.
        "brk" if args[0] == 0 => &[],
        "shutdown" => &[ENOTCONN],
        // These return what they have, or not at all.
        "getpid" | "gettid" | "getppid" | "getuid" | "geteuid" | "getgid" | "getegid" | "umask" | "exit"
        | "exit_group" | "rt_sigreturn" | "restart_syscall" | "set_tid_address" | "sched_yield" | "alarm"
        | "arch_prctl" | "time" | "clock_gettime" | "gettimeofday" | "rt_sigprocmask" | "rt_sigaction"
        | "sigaltstack" | "sched_getaffinity" => &[],
        "open" | "openat" | "openat2" => &[EMFILE, EIO, ENOMEM, EPERM, EINTR, EACCES],
        "socket" | "socketpair" | "pipe" | "pipe2" | "dup" | "dup2" | "dup3" | "memfd_create" | "epoll_create1"
        | "eventfd2" | "pidfd_open" | "pidfd_getfd" | "open_tree" | "fsopen" | "fsmount" | "fspick" | "accept"
        | "accept4" | "timerfd_create" | "signalfd4" => &[EMFILE, ENOMEM, ENFILE, EPERM],
        "mmap" | "brk" | "mremap" | "mprotect" | "munmap" | "madvise" => &[ENOMEM],
        "fork" | "vfork" | "clone" | "clone3" => &[EAGAIN, ENOMEM, EPERM, ENOSPC],
        "execve" | "execveat" => &[ENOMEM, EIO, EACCES, EMFILE],
        "read" | "pread64" | "readv" | "getdents64" | "readlink" | "readlinkat" => &[EIO, EINTR, ENOMEM],
        "write" | "pwrite64" | "writev" => &[ENOSPC, EIO, EINTR, EPERM],
        "stat" | "lstat" | "fstat" | "newfstatat" | "statx" | "access" | "faccessat" | "faccessat2" | "statfs"
        | "fstatfs" => &[EIO, ENOMEM, EACCES, EINTR],
        "mkdir" | "mkdirat" | "mknod" | "mknodat" | "symlink" | "symlinkat" | "link" | "linkat" | "rename"
        | "renameat" | "renameat2" | "ftruncate" => &[ENOSPC, EIO, EROFS, EPERM],
        "unlink" | "unlinkat" => &[EIO, EPERM, EROFS],
        "rmdir" => &[EBUSY, EIO, EPERM],
        "mount" | "umount2" | "move_mount" | "mount_setattr" | "fsconfig" | "pivot_root" | "unshare" | "setns" => {
            &[ENOMEM, EPERM, EINVAL, ENOSPC]
        }
        "connect" => &[ECONNREFUSED, EAGAIN, EINTR, EPERM],
        "sendto" | "sendmsg" | "recvfrom" | "recvmsg" => &[ENOMEM, EINTR, EIO],
        "poll" | "ppoll" | "select" | "pselect6" | "epoll_wait" | "epoll_pwait" | "wait4" | "waitid" | "nanosleep"
        | "clock_nanosleep" | "rt_sigtimedwait" | "futex" => &[EINTR, ENOMEM],
        "close" => &[EIO, EINTR],
        "ioctl" | "fcntl" => &[EIO, EINTR, ENOMEM],
        "chdir" | "fchdir" => &[EIO, ENOENT, EACCES],
        "kill" | "tgkill" | "pidfd_send_signal" => &[EPERM],
        "getrandom" => &[ENOSYS, EINTR],
        "rseq" | "set_robust_list" => &[ENOSYS],
        "setresuid" | "setresgid" | "setgroups" | "capset" | "prctl" | "seccomp" | "keyctl" | "setrlimit"
        | "prlimit64" => &[EPERM, ENOMEM],
        _ => &[EPERM, ENOMEM, EIO],
    }
}
