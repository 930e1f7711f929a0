//! File descriptors by number: those that a parent left open for us, and closing ranges of them; handing them over, and
//! waiting for them.

use std::cell::RefCell;
use std::io::IoSlice;
use std::mem::{ManuallyDrop, MaybeUninit};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::time::Instant;

use rustix::event::{PollFd, Timespec};
use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
};

use super::check;

const CLOSE_RANGE_CLOEXEC: libc::c_uint = 4;

/// Marks every descriptor from `first` on close-on-exec: close_range(2) (Linux 5.11), or one by one where a seccomp filter
/// denies that.
pub fn cloexec_from(first: RawFd) {
    // SAFETY: only a flag of descriptors changes; none is closed under its owner.
    let marked = check(unsafe { libc::syscall(libc::SYS_close_range, first, libc::c_uint::MAX, CLOSE_RANGE_CLOEXEC) });
    if marked.is_err() {
        one_by_one(first, RawFd::MAX, |fd| {
            // SAFETY: as above; it may be no descriptor.
            let _ = check(unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) }.into());
        });
    }
}

/// Calls `each` with every descriptor from `first` to `last`, and maybe with numbers that are none, where close_range(2) is
/// denied.
fn one_by_one(first: RawFd, last: RawFd, each: impl FnMut(RawFd)) {
    match listed() {
        Some(open) => open.into_iter().filter(|fd| (first..=last).contains(fd)).for_each(each),
        None => (first..=last.min(highest())).for_each(each),
    }
}

/// The descriptors that are open, in order; `None` where /proc does not tell. A limit is no measure of them: engines allow a
/// billion.
fn listed() -> Option<Vec<RawFd>> {
    use rustix::fs::{Dir, Mode, OFlags, PROC_SUPER_MAGIC, ResolveFlags, fstatfs, open, openat2};
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let proc = open("/proc", flags, Mode::empty()).ok()?;
    if fstatfs(&proc).ok()?.f_type != PROC_SUPER_MAGIC {
        return None;
    }
    // In a container, something else may be mounted below.
    let resolve = ResolveFlags::NO_XDEV | ResolveFlags::NO_MAGICLINKS;
    let own = openat2(&proc, "self/fd", flags, Mode::empty(), resolve).ok()?;
    let mut open = Vec::new();
    for entry in Dir::new(own).ok()? {
        open.extend(entry.ok()?.file_name().to_str().ok().and_then(|name| name.parse::<RawFd>().ok()));
    }
    open.sort_unstable();
    Some(open)
}

/// Whether `fd` is a descriptor that whoever executed this program has left open for it: its own are all close-on-exec.
pub fn is_inherited(fd: RawFd) -> bool {
    // SAFETY: the number is only looked at; it may be no descriptor.
    check(unsafe { libc::fcntl(fd, libc::F_GETFD) }.into()).is_ok_and(|flags| flags & i64::from(libc::FD_CLOEXEC) == 0)
}

/// Opens something without any meaning, an eventfd(2) that is close-on-exec, as each of `numbers` that is not open: nothing that
/// is opened later gets one of them.
///
/// # Errors
/// As eventfd(2) and dup3(2).
pub fn occupy(numbers: std::ops::Range<RawFd>) -> Result<(), Errno> {
    // SAFETY: the number is only looked at; it may be no descriptor.
    let is_closed = |fd: &RawFd| check(unsafe { libc::fcntl(*fd, libc::F_GETFD) }.into()) == Err(Errno::BADF);
    let closed: Vec<RawFd> = numbers.filter(is_closed).collect();
    if closed.is_empty() {
        return Ok(());
    }
    let nothing = rustix::event::eventfd(0, rustix::event::EventfdFlags::CLOEXEC)?;
    for fd in closed.iter().filter(|fd| **fd != nothing.as_raw_fd()) {
        // SAFETY: nothing was open by this number, so that nobody's descriptor is replaced.
        check(unsafe { libc::dup3(nothing.as_raw_fd(), *fd, libc::O_CLOEXEC) }.into())?;
    }
    if closed.contains(&nothing.as_raw_fd()) {
        // It stays as one of them.
        let _ = nothing.into_raw_fd();
    }
    Ok(())
}

/// The highest descriptor that this process can have, unless its limit was lower when it got it.
fn highest() -> RawFd {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    limit.and_then(|limit| RawFd::try_from(limit).ok()).unwrap_or(1 << 20)
}

/// A descriptor that is not closed one by one: for a child on its way to execve(2), which closes all of them at once.
/// Closing each as it goes would be a fifth of a container's system calls.
#[derive(Clone, Copy, Debug)]
pub struct Kept(BorrowedFd<'static>);

/// As many descriptors are kept before [`close_surplus`] closes any: a usual start has some 70, and the lowest limit in use
/// is 256.
const MOST_KEPT: usize = 128;

thread_local! {
    /// The numbers of all that are kept. Never freed, so that the thread registers no destructor.
    static KEPT: ManuallyDrop<RefCell<Vec<RawFd>>> = const { ManuallyDrop::new(RefCell::new(Vec::new())) };
}

impl From<OwnedFd> for Kept {
    fn from(fd: OwnedFd) -> Kept {
        let number = fd.into_raw_fd();
        KEPT.with(|kept| kept.borrow_mut().push(number));
        // SAFETY: the descriptor has no owner any more, so nothing closes it but the end of the process, execve(2), or
        // `close_kept` and `close_surplus`, whose callers are done with what these close.
        Kept(unsafe { BorrowedFd::borrow_raw(number) })
    }
}

/// Closes all that are [`Kept`] but those in `stay`, once there are more than a usual start has: what a loop over the entries
/// of a configuration calls after each, so that their number is not limited by that of descriptors. Whatever is used again
/// must be in `stay`. Returns whether any were closed.
pub fn close_surplus(stay: impl IntoIterator<Item = Kept>) -> bool {
    KEPT.with(|kept| {
        let mut kept = kept.borrow_mut();
        if kept.len() < MOST_KEPT {
            return false;
        }
        let stay: Vec<RawFd> = stay.into_iter().map(|fd| fd.0.as_raw_fd()).collect();
        let (stays, surplus) = std::mem::take(&mut *kept).into_iter().partition(|number| stay.contains(number));
        *kept = stays;
        close_numbers(surplus);
        true
    })
}

impl Kept {
    /// In a child, a descriptor that its parent has opened for it and that it uses once: it goes with the others. The child
    /// must not run its parent's destructors, and not use `fd` after that.
    pub fn of_parent(fd: &OwnedFd) -> Kept {
        let number = fd.as_raw_fd();
        KEPT.with(|kept| kept.borrow_mut().push(number));
        // SAFETY: as in `from`: the value that owns it here is neither used nor dropped any more.
        Kept(unsafe { BorrowedFd::borrow_raw(number) })
    }
}

impl AsFd for Kept {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0
    }
}

/// Closes every descriptor from 3 on but those in `stay` (sorted or not) and those below `first`: what a child has
/// [`Kept`], and whatever else it inherited. Values that own descriptors must be among `stay`.
///
/// # Errors
/// As close_range(2).
pub fn close_kept(first: RawFd, stay: &[RawFd]) -> Result<(), Errno> {
    KEPT.with(|kept| kept.borrow_mut().clear());
    let mut stay: Vec<RawFd> = stay.iter().copied().filter(|fd| *fd >= first).collect();
    stay.sort_unstable();
    let mut from = first;
    for fd in stay.into_iter().chain([RawFd::MAX]) {
        if fd > from {
            // SAFETY: as the contract says, nothing that is used again owns a descriptor in the range.
            let closed = check(unsafe { libc::syscall(libc::SYS_close_range, from, fd - 1, 0) });
            if closed.is_err() {
                // A seccomp filter denies it.
                one_by_one(from, fd - 1, |fd| {
                    // SAFETY: as above; it may be no descriptor.
                    let _ = check(unsafe { libc::close(fd) }.into());
                });
            }
        }
        from = fd.saturating_add(1);
    }
    Ok(())
}

/// Gives this process `fds` under the numbers from `first` on, for a program to inherit; what had these numbers is closed. For
/// a forked child on its way to execve(2), none of whose values close a descriptor any more.
///
/// # Errors
/// As fcntl(2) and dup2(2).
pub fn place(fds: &[BorrowedFd<'_>], first: RawFd) -> Result<(), Errno> {
    let above = first + fds.len() as RawFd;
    // None of them is overwritten before it is copied.
    let copies = fds.iter().map(|fd| rustix::io::fcntl_dupfd_cloexec(fd, above)).collect::<Result<Vec<_>, _>>()?;
    for (number, copy) in (first..).zip(&copies) {
        // SAFETY: as the contract says, whoever owned that number does not use it any more.
        check(unsafe { libc::dup2(copy.as_raw_fd(), number) }.into())?;
    }
    Ok(())
}

/// Closes descriptors, each run of neighbouring numbers with one call.
pub fn close_all(fds: Vec<OwnedFd>) {
    close_numbers(fds.into_iter().map(IntoRawFd::into_raw_fd).collect());
}

/// As [`close_all`], of numbers that the values that owned them have given up.
fn close_numbers(mut numbers: Vec<RawFd>) {
    numbers.sort_unstable();
    for run in numbers.chunk_by(|a, b| a + 1 == *b) {
        let (first, last) = (run[0], run[run.len() - 1]);
        // SAFETY: nothing owns a number of the run any more.
        if check(unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) }).is_err() {
            run.iter().for_each(|fd| {
                // SAFETY: as above.
                let _ = check(unsafe { libc::close(*fd) }.into());
            });
        }
    }
}

/// Closes a descriptor on which another process's end of file depends: while this process has it, nobody finds that end.
/// close(2) that fails may be one that a filter or a tracer has refused, which leaves the descriptor open.
pub fn close_surely(fd: OwnedFd) {
    let number = fd.into_raw_fd();
    // SAFETY: the value that owned the number has given it up.
    if check(unsafe { libc::close(number) }.into()).is_err() {
        // SAFETY: as above. Nothing has opened a file since in this process, which has one thread wherever it forks.
        let _ = check(unsafe { libc::syscall(libc::SYS_close_range, number, number, 0) });
    }
}

/// Takes over a descriptor that an interface names by number (LISTEN_FDS, `--preserve-fds`, `-N FD`).
/// `None` when it is not open.
///
/// Each number may be taken once: the caller must not own it by another value.
pub fn take(fd: RawFd) -> Option<OwnedFd> {
    // SAFETY: F_GETFD takes no pointer.
    if fd < 0 || unsafe { libc::fcntl(fd, libc::F_GETFD) } < 0 {
        return None;
    }
    // SAFETY: the descriptor is open, was inherited rather than made by this program, and is taken once.
    Some(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Opens a file of somebody else's choice to be read, and its size; `None` for what is no regular file: a FIFO or a device
/// could keep the reader for ever.
///
/// # Errors
/// As open(2).
pub fn open_regular(path: &std::path::Path) -> Result<Option<(OwnedFd, usize)>, Errno> {
    use rustix::fs::{FileType, Mode, OFlags};
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = rustix::fs::open(path, flags, Mode::empty())?;
    let stat = rustix::fs::fstat(&file)?;
    let is_regular = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
    Ok(is_regular.then_some((file, stat.st_size as usize)))
}

/// The whole of a file, with room for `capacity` bytes to begin with; with `one_piece`, a short read is its end, which
/// saves the read that would say so.
///
/// # Errors
/// As read(2).
pub fn read_whole(file: impl AsFd, capacity: usize, one_piece: bool) -> Result<Vec<u8>, Errno> {
    let mut content = Vec::with_capacity(capacity);
    loop {
        if content.capacity() == content.len() {
            content.reserve(content.len());
        }
        let room = content.capacity() - content.len();
        match rustix::io::read(&file, rustix::buffer::spare_capacity(&mut content)) {
            Ok(0) => return Ok(content),
            Ok(read) if one_piece && read < room => return Ok(content),
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

/// The path by which the kernel knows what `fd` is, from this process's root.
///
/// # Errors
/// As readlink(2), when /proc is not mounted.
pub fn path_of(fd: BorrowedFd<'_>) -> std::io::Result<std::path::PathBuf> {
    std::fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd()))
}

/// Waits until one of `fds` is ready; false when `deadline` has come first.
///
/// # Errors
/// As poll(2).
pub fn poll_until(fds: &mut [PollFd<'_>], deadline: Option<Instant>) -> Result<bool, Errno> {
    loop {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let timeout = left.map(Timespec::try_from).transpose().map_err(|_| Errno::INVAL)?;
        match rustix::event::poll(fds, timeout.as_ref()) {
            Err(Errno::INTR) => {}
            other => return other.map(|ready| ready > 0),
        }
    }
}

/// Sends a descriptor with `bytes` over a connected unix socket (`SCM_RIGHTS`, unix(7)).
///
/// # Errors
/// As sendmsg(2).
pub fn send_fd(socket: BorrowedFd<'_>, bytes: &[u8], fd: BorrowedFd<'_>) -> Result<(), Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let fds = [fd];
    control.push(SendAncillaryMessage::ScmRights(&fds));
    rustix::net::sendmsg(socket, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL).map(drop)
}

/// As [`send_fd`], of a descriptor that another process has opened, which has the same descriptors (`CLONE_FILES`) and keeps it
/// open until it is sent.
///
/// # Errors
/// As sendmsg(2); `EBADF` when it is not open.
pub fn send_fd_of_sharer(socket: BorrowedFd<'_>, bytes: &[u8], fd: RawFd) -> Result<(), Errno> {
    if fd < 0 {
        return Err(Errno::BADF);
    }
    // SAFETY: it is borrowed for this call, in which its owner, who waits for it to be sent, does not close it; were it not
    // open, sendmsg(2) would say so.
    send_fd(socket, bytes, unsafe { BorrowedFd::borrow_raw(fd) })
}

/// Receives bytes, and a descriptor that comes with them: one recvmsg(2), of which 0 bytes are the end.
///
/// # Errors
/// As recvmsg(2).
pub fn receive_with_fd(socket: BorrowedFd<'_>, bytes: &mut [u8]) -> Result<(usize, Option<OwnedFd>), Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut parts = [std::io::IoSliceMut::new(bytes)];
    let received = rustix::net::recvmsg(socket, &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC)?.bytes;
    let fd = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
        _ => None,
    });
    Ok((received, fd))
}

/// Receives a descriptor; `None` when the other side closed without sending one.
///
/// # Errors
/// As recvmsg(2).
pub fn receive_fd(socket: BorrowedFd<'_>) -> Result<Option<OwnedFd>, Errno> {
    receive_with_fd(socket, &mut [0; 4096]).map(|(_, fd)| fd)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_descriptors_are_listed() {
        let open: Vec<OwnedFd> = (0..3).map(|_| std::fs::File::open("/").unwrap().into()).collect();
        let listed = listed().unwrap();
        assert!(listed.is_sorted());
        for fd in &open {
            assert!(listed.contains(&std::os::fd::AsRawFd::as_raw_fd(fd)), "{listed:?}");
        }
    }
}
