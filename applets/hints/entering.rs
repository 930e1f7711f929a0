//! Why a namespace of somebody else cannot be entered: what `ns-inspect explain` tells, asked for those that were tried.

use std::fs;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use nskit::error::Errno;
use nskit::inspect::explain::{Caller, Outcome, explain, refusals};
use nskit::namespace::{Kind, Kinds, describe};
use rustix::fs::{Mode, OFlags};
use rustix::process::Pid;

use super::{PROC, seccomp, unknown_kind};

/// Where the namespaces come from.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Source<'a> {
    /// A process.
    Process(Pid),
    /// A file.
    File(BorrowedFd<'a>),
}

/// Why setns(2) refuses `kinds` of `source`.
pub(crate) fn setns(errno: Errno, kinds: Kinds, source: Source<'_>) -> Option<String> {
    match errno {
        Errno::INVAL => {
            let actual = match source {
                Source::File(file) => actual_kind(file, kinds),
                Source::Process(_) => None,
            };
            actual.or_else(|| unknown_kind(Path::new(PROC), kinds)).or_else(|| {
                if kinds.contains(Kind::User) {
                    Some("you are in that user namespace already, and none can be entered again".into())
                } else if kinds.contains(Kind::Pid) {
                    Some("a pid namespace can be entered only from one that contains it".into())
                } else {
                    None
                }
            })
        }
        Errno::PERM => refused(kinds, source).or_else(|| seccomp(Path::new(PROC))),
        Errno::USERS => Some("a time namespace cannot be entered beside other threads".into()),
        _ => None,
    }
}

/// Why nothing of process `pid` below /proc can be opened.
pub(crate) fn closed(errno: Errno, pid: Pid) -> Option<String> {
    match errno {
        Errno::NOENT if !Path::new(PROC).join(pid.as_raw_nonzero().to_string()).exists() => {
            Some(format!("there is no process {}", pid.as_raw_nonzero()))
        }
        Errno::ACCESS | Errno::PERM => refused(Kinds::only(Kind::User), Source::Process(pid)),
        _ => None,
    }
}

/// Why `file`, which may be one of a process below /proc, cannot be opened.
pub(crate) fn closed_file(errno: Errno, file: &Path) -> Option<String> {
    let pid = file.strip_prefix(PROC).ok()?.iter().next()?.to_str()?.parse().ok()?;
    closed(errno, Pid::from_raw(pid)?)
}

/// Which privilege is missing, over what.
fn refused(kinds: Kinds, source: Source<'_>) -> Option<String> {
    let caller = Caller::read(own_pid()?).ok()?;
    // The reader knows this process by its name, not by its number.
    let lacks = |reason: String| reason.replace(&format!("process {} ", caller.pid), "this process ");
    let first = |kind, ns: BorrowedFd<'_>| refusals(&caller, kind, ns).into_iter().next().map(lacks);
    let advised = |reason: String| {
        let helps = reason.starts_with("this process lacks") && !rustix::process::geteuid().is_root();
        reason + if helps { "; be root" } else { "" }
    };
    let mut causes: Vec<(Kinds, String)> = Vec::new();
    let mut add = |kind, cause: String| match causes.iter_mut().find(|(_, known)| *known == cause) {
        Some((kinds, _)) => kinds.insert(kind),
        None => causes.push((Kinds::only(kind), cause)),
    };
    match source {
        Source::File(file) => {
            kinds.iter().filter_map(|kind| Some((kind, first(kind, file)?))).for_each(|(kind, cause)| {
                add(kind, advised(cause));
            });
        }
        Source::Process(pid) => {
            let pid = pid.as_raw_nonzero().get();
            for verdict in explain(&caller, pid).ok()?.verdicts.into_iter().filter(|found| kinds.contains(found.kind)) {
                let kind = verdict.kind;
                match verdict.outcome {
                    Outcome::Hidden(reasons) => return Some(format!("process {pid}: {}", reasons.join("; "))),
                    Outcome::Refused(reasons) => add(kind, advised(lacks(reasons.into_iter().next()?))),
                    Outcome::AfterUser if !kinds.contains(Kind::User) => {
                        add(kind, "it belongs to the target's user namespace: enter that as well (-U)".into());
                    }
                    // Privilege over what one is in already is needed too, to enter it once more.
                    Outcome::Same if kind != Kind::User => {
                        if let Some(cause) = open(pid, kind).and_then(|ns| first(kind, ns.as_fd())) {
                            let cause = format!("you are there already, and to enter again {cause}");
                            add(kind, cause + ": name the others alone");
                        }
                    }
                    _ => {}
                }
            }
        }
    }
    let causes: Vec<String> =
        causes.into_iter().map(|(kinds, cause)| format!("{}: {cause}", describe(kinds))).collect();
    (!causes.is_empty()).then(|| causes.join("; "))
}

/// This process's number in the /proc that is mounted, which need not be that of its own pid namespace.
fn own_pid() -> Option<i32> {
    fs::read_link("/proc/self").ok()?.to_str()?.parse().ok()
}

fn open(pid: i32, kind: Kind) -> Option<OwnedFd> {
    let path = format!("/proc/{pid}/ns/{}", kind.proc_name());
    rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()
}

/// What a file is, where it is not what it was given for.
fn actual_kind(file: BorrowedFd<'_>, kinds: Kinds) -> Option<String> {
    let path = fs::read_link(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&file)))
        .map_or_else(|_| "the file".to_owned(), |path| path.display().to_string());
    if !nskit::sys::ioctl::is_nsfs(file) {
        return Some(format!("{path} is no namespace"));
    }
    match nskit::sys::ioctl::namespace_kind(file) {
        Ok(Some(kind)) if !kinds.contains(kind) => Some(format!("{path} is a {kind} namespace")),
        _ => None,
    }
}

/// Why a namespace cannot be opened by its id.
pub(crate) fn by_id(errno: Errno) -> Option<String> {
    /// The first kernel that opens namespaces by id: (major, minor).
    const SINCE: (u32, u32) = (6, 19);
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    match version(&release) {
        Some(version) if version < SINCE => {
            Some(format!("opening a namespace by its id needs Linux {}.{}; this is {release}", SINCE.0, SINCE.1))
        }
        _ if errno == Errno::STALE => Some("no namespace has this id; ns-inspect lists those that there are".into()),
        _ => None,
    }
}

/// The first two numbers of a kernel's release.
fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|number| number.parse().ok());
    Some((numbers.next()??, numbers.next()??))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_kernels_version() {
        assert_eq!(version("6.18.44-fc-v657"), Some((6, 18)));
        assert_eq!(version("7.0-rc1"), Some((7, 0)));
        assert_eq!(version("strange"), None);
    }
}
