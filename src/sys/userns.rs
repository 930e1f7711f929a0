//! Which user namespace this process is in.

/// The inode of the first user namespace: `PROC_USER_INIT_INO` of linux/proc_ns.h, part of the kernel's interface
/// (Linux 3.8).
const FIRST: u64 = 0xEFFF_FFFD;

/// Whether this process is in a user namespace other than the first. Its maps do not tell: another may map every id to
/// itself too.
pub fn is_in_another() -> bool {
    rustix::fs::stat("/proc/self/ns/user").is_ok_and(|namespace| namespace.st_ino != FIRST)
}
