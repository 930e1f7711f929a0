//! What /proc tells of a container's first process; proc_pid_stat(5).
//!
//! A file that is not there means that the process is gone. A file that cannot be read means nothing: every verb fails then
//! and says so, instead of taking the container for stopped.

use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::process::Pid;

use crate::error::{Attempt, Error, Result};

/// `PF_EXITING` and `PF_FORKNOEXEC` of linux/sched.h.
const EXITING: u32 = 0x4;
const NOT_EXECUTED: u32 = 0x40;

/// What /proc/PID/stat tells of a process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stat {
    /// Its pid.
    pub(crate) pid: i32,
    /// It still runs, with its first thread or another.
    pub(crate) alive: bool,
    /// Its first thread is on its way out, and waits for the processes of its pid namespace to end.
    exiting: bool,
    /// It has executed a program since it was forked.
    pub(crate) executed: bool,
    /// When it started, in clock ticks after boot.
    pub(crate) started: u64,
    /// Signals that it ignores, a bit for each from SIGHUP on.
    pub(crate) ignored: u32,
}

impl Stat {
    /// What /proc tells of `pid`; `None` when there is no such process.
    ///
    /// # Errors
    /// When /proc/PID/stat cannot be read although the process may be there.
    pub(crate) fn of(pid: i32) -> Result<Option<Stat>> {
        let Some(process) = Pid::from_raw(pid).filter(|_| pid > 0) else { return Ok(None) };
        let file = format!("/proc/{pid}/stat");
        match read(&file) {
            // Gone, or there is no /proc: the kernel knows.
            Err(error) if error.is_not_found() || error.errno() == Some(Errno::SRCH) => {
                match rustix::process::test_kill_process(process) {
                    Err(Errno::SRCH) => Ok(None),
                    // It has ended between the two.
                    _ if matches!(read(&file), Err(again) if again.errno() == error.errno()) => Err(error),
                    _ => read(&file).map(Some),
                }
            }
            other => other.map(Some),
        }
    }

    /// What /proc tells of this process; nothing of note where there is no /proc.
    pub(crate) fn own() -> Stat {
        read("/proc/self/stat").unwrap_or_else(|_| {
            let pid = std::process::id() as i32;
            Stat { pid, alive: true, exiting: false, executed: true, started: 0, ignored: 0 }
        })
    }

    /// Its pid.
    pub(crate) fn id(&self) -> Pid {
        Pid::from_raw(self.pid).expect("a process that /proc tells of has a positive number")
    }

    /// Whether the process has been killed, or is ending, and waits for what it takes along.
    pub(crate) fn is_dying(&self) -> bool {
        self.exiting || has_sigkill_pending(self.pid)
    }

    fn parse(stat: &[u8]) -> Option<Stat> {
        let pid = std::str::from_utf8(stat.split(|byte| *byte == b' ').next()?).ok()?.parse().ok()?;
        // The name in parentheses may hold anything, parentheses and spaces too.
        let after_name = stat.iter().rposition(|byte| *byte == b')')? + 2;
        let rest = std::str::from_utf8(stat.get(after_name..)?).ok()?;
        // Field 3 comes first.
        let mut fields = rest.split(' ');
        let is_dead = matches!(fields.next()?, "Z" | "X" | "x");
        let flags: u32 = fields.nth(5)?.parse().ok()?;
        let threads: u32 = fields.nth(10)?.parse().ok()?;
        // Fields 22 and 33.
        let (started, ignored) = (fields.nth(1)?.parse().ok()?, fields.nth(10)?.parse().ok()?);
        Some(Stat {
            pid,
            alive: !is_dead || threads > 1,
            exiting: flags & EXITING != 0,
            executed: flags & NOT_EXECUTED == 0,
            started,
            ignored,
        })
    }
}

fn read(file: &str) -> Result<Stat> {
    // One read: the file is made anew for each.
    let mut buffer = [0; 1024];
    let stat = read_once(file, &mut buffer).attempt(|| format!("read {file}"))?;
    Stat::parse(stat).ok_or_else(|| Error::invalid(format!("read {file}: it is not what proc_pid_stat(5) says")))
}

/// What one read(2) gives of a small file of procfs.
///
/// # Errors
/// As open(2) and read(2), but for `EINTR`.
pub(crate) fn read_once<'a>(path: &str, buffer: &'a mut [u8]) -> Result<&'a [u8], Errno> {
    let file = rustix::io::retry_on_intr(|| rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()))?;
    let length = rustix::io::retry_on_intr(|| rustix::io::read(&file, &mut *buffer))?;
    Ok(&buffer[..length])
}

/// Whether SIGKILL waits for the process `pid` to run next; false when it cannot be told.
fn has_sigkill_pending(pid: i32) -> bool {
    let mut buffer = [0; 4096];
    let Ok(status) = read_once(&format!("/proc/{pid}/status"), &mut buffer) else { return false };
    let status = String::from_utf8_lossy(status);
    let pending = status.lines().filter_map(|line| line.strip_prefix("SigPnd:").or(line.strip_prefix("ShdPnd:")));
    let kill = 1 << (libc::SIGKILL - 1);
    pending.filter_map(|set| u64::from_str_radix(set.trim(), 16).ok()).any(|set| set & kill != 0)
}

/// Whether `pid`, which has let go of its close-on-exec descriptors, did so by execve(2) and not by its end.
///
/// A process loses its memory before its descriptors, and with it the link to its program: where that can be read, one
/// system call says that the process lives on.
///
/// # Errors
/// When neither the link nor /proc/PID/stat can be read.
pub(crate) fn has_executed(pid: i32) -> Result<bool> {
    let mut buffer = [std::mem::MaybeUninit::uninit(); 8];
    if rustix::fs::readlinkat_raw(CWD, format!("/proc/{pid}/exe"), &mut buffer).is_ok() {
        return Ok(true);
    }
    // Gone altogether, it was another process's child, which alone knows how it ended.
    Ok(Stat::of(pid)?.is_none_or(|stat| stat.executed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_by_its_start_too() {
        let stat = Stat::of(std::process::id() as i32).unwrap().unwrap();
        assert!(stat.alive && !stat.is_dying() && stat.started > 0);
        assert!(Stat::of(0).unwrap().is_none());
    }

    #[test]
    fn a_process_whose_first_thread_has_ended_is_alive_as_long_as_another_runs() {
        let stat = |state: &str, threads: u32| {
            let line = format!(
                "7 (a) b) {state} 1 7 7 0 -1 4194560 0 0 0 0 0 0 0 0 20 0 {threads} 0 99 1 1 1 1 1 1 1 1 0 0 5 0"
            );
            Stat::parse(line.as_bytes()).unwrap()
        };
        assert_eq!(["S", "Z"].map(|state| stat(state, 1).alive), [true, false]);
        assert!(stat("Z", 2).alive);
        assert_eq!((stat("S", 1).started, stat("S", 1).ignored), (99, 5));
    }
}
