//! `/proc`, as every other file here reads it: which processes it shows, and the few texts that several sources parse.

use std::collections::BTreeMap;
use std::ffi::CStr;
use std::fs;
use std::io::Read;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use rustix::fs::{Mode, OFlags, PROC_SUPER_MAGIC, RawDir, ResolveFlags};
use rustix::process::{Pid, test_kill_process};

use crate::error::{self, Attempt, Errno, Error, Result};
use crate::namespace::Kind;
use crate::sys::mountinfo;

/// A path below `/proc`, made without allocating: `PID/ns`, `PID/task/TID/ns`.
pub(super) struct ProcPath {
    bytes: [u8; 64],
    len: usize,
}

impl ProcPath {
    pub(super) const EMPTY: ProcPath = ProcPath { bytes: [0; 64], len: 0 };

    pub(super) fn new(pid: i32) -> ProcPath {
        ProcPath::EMPTY.number(pid)
    }

    pub(super) fn number(mut self, number: i32) -> ProcPath {
        let mut digits = [0; 10];
        let mut at = digits.len();
        let mut rest = number.unsigned_abs();
        loop {
            at -= 1;
            digits[at] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        self.append(&digits[at..]);
        self
    }

    pub(super) fn text(mut self, text: &str) -> ProcPath {
        self.append(text.as_bytes());
        self
    }

    fn append(&mut self, bytes: &[u8]) {
        self.bytes[self.len..self.len + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }

    pub(super) fn as_c_str(&self) -> &CStr {
        CStr::from_bytes_with_nul(&self.bytes[..=self.len]).unwrap_or(c"")
    }
}

/// The number that a directory entry of `/proc` is named by.
pub(super) fn number(name: &CStr) -> Option<i32> {
    let bytes = name.to_bytes();
    if !bytes.first().is_some_and(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(bytes).ok()?.parse().ok()
}

/// The number between the brackets of `net:[4026531840]`.
pub(super) fn inode_of(link: &[u8]) -> Option<u64> {
    let open = link.iter().position(|&byte| byte == b'[')?;
    let digits = link[open + 1..].strip_suffix(b"]")?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// Calls `visit` with every number that names an entry of the directory.
pub(super) fn for_each_number(directory: impl AsFd, mut visit: impl FnMut(i32)) -> Result<(), Errno> {
    let mut space = [MaybeUninit::<u8>::uninit(); 32 * 1024];
    let mut entries = RawDir::new(directory, &mut space);
    // To the end: an answer that leaves room is no sign of it, since a signal cuts answers short.
    while let Some(entry) = entries.next() {
        if let Some(number) = number(entry?.file_name()) {
            visit(number);
        }
    }
    Ok(())
}

/// The pids of all processes that `/proc` shows, lowest first.
///
/// # Errors
/// Where `/proc` cannot be opened or read.
pub fn pids() -> Result<Vec<i32>> {
    let proc = open()?;
    let mut pids = Vec::new();
    for_each_number(&proc, |pid| pids.push(pid)).attempt(|| "read /proc")?;
    Ok(pids)
}

/// The processes that `/proc` shows, each with the inode number of its folder: a process that has the pid of another, which
/// ended, has another number, so that a list which is the same means that nothing began or ended.
///
/// The kernel may give a process another number when it was short of memory. That costs who compares a second look.
///
/// # Errors
/// Where `/proc` cannot be opened or read.
pub fn identities() -> Result<BTreeMap<i32, u64>> {
    let proc = open()?;
    let mut space = [MaybeUninit::<u8>::uninit(); 32 * 1024];
    let mut entries = RawDir::new(&proc, &mut space);
    let mut found = BTreeMap::new();
    while let Some(entry) = entries.next() {
        let entry = entry.attempt(|| "read /proc")?;
        if let Some(pid) = number(entry.file_name()) {
            found.insert(pid, entry.ino());
        }
    }
    Ok(found)
}

/// Opens `/proc`.
///
/// # Errors
/// Where it cannot be opened; `Unsupported` where it is not mounted.
pub(super) fn open() -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let proc = rustix::fs::open("/proc", flags, Mode::empty()).attempt(|| "open /proc")?;
    // An empty folder would show a machine with nothing on it.
    if rustix::fs::fstatfs(&proc).attempt(|| "stat /proc")?.f_type != PROC_SUPER_MAGIC {
        return Err(Error::unsupported("/proc is not mounted"));
    }
    Ok(proc)
}

/// The option by which `/proc` hides processes of others, where it does.
pub(super) fn hidepid() -> Option<String> {
    let mounts = mountinfo::read("self").ok()?;
    // The last mount on /proc is the one that is seen.
    let proc = mountinfo::lines(&mounts).rfind(|mount| mount.point == b"/proc")?;
    let mut options = std::str::from_utf8(proc.super_options).ok()?.split(',');
    let hidden = options.find_map(|option| option.strip_prefix("hidepid="))?;
    (!matches!(hidden, "0" | "off")).then(|| hidden.to_owned())
}

/// The complaint about a process that `/proc` does not show.
pub fn absent(pid: i32) -> Error {
    // A signal that is none tells whether there is one.
    let answers = |pid| are_own() && test_kill_process(pid) != Err(Errno::SRCH);
    let is_there = Pid::from_raw(pid).is_some_and(answers);
    let message = match (is_there, hidepid()) {
        (false, _) => format!("there is no process {pid}"),
        (true, Some(hidden)) => format!("process {pid} is not to be seen: /proc is mounted with hidepid={hidden}"),
        (true, None) => format!("process {pid} is not to be seen in /proc"),
    };
    Error::new(error::Kind::NotFound, message)
}

/// Whether `/proc` numbers processes as system calls of this process do.
pub(super) fn are_own() -> bool {
    fs::read_to_string("/proc/self/status").is_ok_and(|status| nspid(&status).len() == 1)
}

/// A process's ids, from the outermost pid namespace inwards: `NSpid` of proc_pid_status(5).
pub(super) fn nspid(status: &str) -> Vec<i32> {
    let line = status.lines().find_map(|line| line.strip_prefix("NSpid:")).unwrap_or_default();
    line.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

/// A file of `/proc` or of a cgroup, which have no size: read in pieces that hold most of them at once.
pub(super) fn read(path: &str) -> std::io::Result<Vec<u8>> {
    const PIECE: usize = 16 << 10;
    let mut file = fs::File::open(path)?;
    let mut bytes = vec![0; PIECE];
    let mut length = 0;
    loop {
        match file.read(&mut bytes[length..]) {
            Ok(0) => break,
            Ok(count) => length += count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        bytes.resize(length + PIECE, 0);
    }
    bytes.truncate(length);
    Ok(bytes)
}

/// The same as text; what is no UTF-8 is replaced.
pub(super) fn read_text(path: &str) -> std::io::Result<String> {
    read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

/// What proc_pid_stat(5) tells of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// Its state, as a letter: `R`, `S`, `Z`.
    pub state: char,
    /// Its parent; 0 where that is outside of this pid namespace.
    pub parent: i32,
    /// `PF_*` of linux/sched.h.
    pub flags: u32,
    /// When it started, in clock ticks after boot.
    pub started: u64,
}

impl Stat {
    /// Reads it; `None` where there is no such process.
    pub fn read(pid: i32) -> Option<Stat> {
        Stat::read_named(pid).map(|(stat, _)| stat)
    }

    /// The same, with the process's name.
    pub fn read_named(pid: i32) -> Option<(Stat, String)> {
        // In one piece: the kernel makes the file anew for each read, and no line is longer.
        let mut space = [0; 1024];
        let length = fs::File::open(format!("/proc/{pid}/stat")).ok()?.read(&mut space).ok()?;
        let text = &space[..length];
        let (start, end) = (text.iter().position(|&byte| byte == b'(')?, text.iter().rposition(|&byte| byte == b')')?);
        Some((Stat::parse(text)?, String::from_utf8_lossy(text.get(start + 1..end)?).into_owned()))
    }

    fn parse(stat: &[u8]) -> Option<Stat> {
        // The name is in parentheses and may hold anything, so fields are counted from the last.
        let end = stat.iter().rposition(|&byte| byte == b')')?;
        let mut fields = std::str::from_utf8(&stat[end + 1..]).ok()?.split_ascii_whitespace();
        // Fields 3, 4, 9 and 22.
        Some(Stat {
            state: fields.next()?.chars().next()?,
            parent: fields.next()?.parse().ok()?,
            flags: fields.nth(4)?.parse().ok()?,
            started: fields.nth(12)?.parse().ok()?,
        })
    }

    /// Whether it has ended, and nobody has waited for it.
    pub fn is_zombie(&self) -> bool {
        matches!(self.state, 'Z' | 'X' | 'x')
    }

    /// Whether it is one of the kernel's own threads, which are in the host's pid namespace: `PF_KTHREAD`.
    pub fn is_kernel_thread(&self) -> bool {
        self.flags & 0x0020_0000 != 0
    }

    /// Whether it has executed no program since it was made: `PF_FORKNOEXEC`.
    pub fn is_forked_only(&self) -> bool {
        self.flags & 0x40 != 0
    }
}

/// The process's parent; 0 where that is outside of this pid namespace.
pub fn parent(pid: i32) -> Option<i32> {
    Stat::read(pid).map(|stat| stat.parent)
}

/// When the process started, in clock ticks after boot.
pub fn started(pid: i32) -> Option<u64> {
    Stat::read(pid).map(|stat| stat.started)
}

/// How long ago `started` was, in clock ticks after boot.
pub fn age(started: u64) -> Option<Duration> {
    let uptime = fs::read_to_string("/proc/uptime").ok()?;
    let uptime: f64 = uptime.split(' ').next()?.parse().ok()?;
    let started = started as f64 / rustix::param::clock_ticks_per_second() as f64;
    Some(Duration::from_secs_f64((uptime - started).max(0.0)))
}

/// The command line with blanks between the arguments, or the name of a process that has none.
pub fn command(pid: i32) -> Vec<u8> {
    let mut line = read(&format!("/proc/{pid}/cmdline")).unwrap_or_default();
    while line.last() == Some(&0) {
        line.pop();
    }
    if line.is_empty() {
        line = fs::read(format!("/proc/{pid}/comm")).unwrap_or_default();
        if line.last() == Some(&b'\n') {
            line.pop();
        }
    }
    for byte in &mut line {
        if *byte == 0 {
            *byte = b' ';
        }
    }
    line
}

/// Opens a path as the process sees it: links in it cannot lead out of its root, and what blocks is not waited for.
pub(super) fn open_inside(root: impl AsFd, path: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    rustix::fs::openat2(root, path, flags, Mode::empty(), ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS)
}

/// The root of a process or thread, `PID` or `PID/task/TID`.
pub(super) fn root(process: &str) -> Result<OwnedFd, Errno> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(format!("/proc/{process}/root"), flags, Mode::empty())
}

/// The inode number of the namespace of this kind that the process is in, by its link.
pub(super) fn namespace(pid: i32, kind: Kind) -> Option<u64> {
    let link = fs::read_link(format!("/proc/{pid}/ns/{}", kind.proc_name())).ok()?;
    inode_of(link.as_os_str().as_encoded_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_come_from_the_outer_namespace_inwards() {
        assert_eq!(nspid("Name:\tx\nNSpid:\t4194303\t7\t1\n"), [4_194_303, 7, 1]);
    }

    #[test]
    fn a_process_keeps_its_identity_and_another_of_its_number_has_another() {
        let own = std::process::id() as i32;
        let (before, now) = (identities().unwrap(), identities().unwrap());
        assert!(before[&own] != 0 && before[&own] == now[&own]);
        assert_ne!(before[&own], before[&parent(own).unwrap()]);
    }

    #[test]
    fn a_name_with_parentheses_and_blanks_is_no_field() {
        let line = "7 (a) b (c) S 3 7 7 0 -1 4194368 0 0 0 0 0 0 0 0 20 0 1 0 152704 0 0";
        let stat = Stat::parse(line.as_bytes()).unwrap();
        assert_eq!(stat, Stat { state: 'S', parent: 3, flags: 4_194_368, started: 152_704 });
        assert!(stat.is_forked_only() && !stat.is_zombie());
    }

    #[test]
    fn this_process_has_a_parent_and_a_start() {
        let own = std::process::id() as i32;
        assert_eq!(parent(own), Some(std::os::unix::process::parent_id() as i32));
        assert!(started(own).is_some_and(|ticks| ticks > 0));
        assert_eq!(parent(i32::MAX), None);
    }
}
