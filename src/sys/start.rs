//! The program's entry without the standard library's preparations, which cost sixteen system calls: reading
//! /proc/self/maps for the stack's guard page, an alternative stack and handlers for its overflow.

use std::ffi::{CStr, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::ExitCode;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// Defines the C library's `main` as a call of `$run`, a `fn() -> ExitCode`. The crate says `#![no_main]`.
#[macro_export]
macro_rules! entry {
    ($run:path) => {
        // SAFETY: the C library calls this symbol once, on the first thread, and nothing else defines it.
        #[unsafe(no_mangle)]
        extern "C" fn main(_: std::ffi::c_int, _: *const *const std::ffi::c_char) -> std::ffi::c_int {
            $crate::sys::start::status($run())
        }
    };
}

/// The number of an exit code.
pub fn status(code: ExitCode) -> i32 {
    (0..=u8::MAX).find(|status| ExitCode::from(*status) == code).unwrap_or(1).into()
}

/// What the standard library does at startup, but for its handlers of SIGSEGV: opens /dev/null in place of standard
/// streams that are closed, so that no file of ours gets their numbers, and ignores SIGPIPE.
pub fn prepare() {
    // SAFETY: numbers 0 to 2 are only looked at; poll(2) says which of them are closed.
    let streams = unsafe { [0, 1, 2].map(|fd| std::os::fd::BorrowedFd::borrow_raw(fd)) };
    let mut polled = streams.each_ref().map(|fd| PollFd::new(fd, PollFlags::empty()));
    if poll(&mut polled, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).is_ok() {
        for _ in polled.iter().filter(|fd| fd.revents().contains(PollFlags::NVAL)) {
            // The lowest free number is taken: those of the closed streams, in order.
            // SAFETY: the path is a terminated string.
            unsafe { libc::open(c"/dev/null".as_ptr(), libc::O_RDWR) };
        }
    }
    // SAFETY: SIG_IGN installs no code of ours.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
}

/// The path that execve(2) was given for this program (`AT_EXECFN`, getauxval(3)), before links were followed. `None` where it was
/// executed by a descriptor: the kernel says `/dev/fd/N` then.
pub fn executed_file() -> Option<&'static Path> {
    // SAFETY: the kernel puts a terminated string at the end of the first thread's stack, which stays as long as the process.
    let name = unsafe {
        let name = libc::getauxval(libc::AT_EXECFN) as *const std::ffi::c_char;
        if name.is_null() {
            return None;
        }
        CStr::from_ptr::<'static>(name)
    };
    let path = Path::new(OsStr::from_bytes(name.to_bytes()));
    (!path.starts_with("/dev/fd") && path.file_name().is_some()).then_some(path)
}

/// Takes variables out of the environment of this process and of those that it starts.
pub fn forget_variables(names: &[&str]) {
    for name in names {
        // SAFETY: the environment may be changed as long as nobody else reads it, and this program has one thread.
        unsafe { std::env::remove_var(name) };
    }
}

/// Names this process, as /proc/PID/comm has it: fifteen bytes at most.
pub fn set_name(name: &std::ffi::CStr) {
    // SAFETY: PR_SET_NAME reads a terminated string.
    unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr()) };
}

/// Gives back what of this program's code and constants is resident: starting up has touched most of it, and a process that
/// stays touches little. What is needed again comes from the file's pages, which the kernel has in memory.
pub fn forget_image() {
    unsafe extern "C" {
        static __ehdr_start: u8;
        static etext: u8;
    }
    let (start, end) = ((&raw const __ehdr_start).addr(), (&raw const etext).addr() & !4095);
    // SAFETY: the linker puts headers, constants and code between the two symbols: a private mapping of the file to which nothing
    // is ever written, so that each page is read again as it was.
    unsafe { libc::madvise(start as *mut libc::c_void, end - start, libc::MADV_DONTNEED) };
}
