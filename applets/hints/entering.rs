//! Why a namespace of somebody else cannot be entered: what `ns-inspect explain` tells, asked for those that were tried.

use std::fs;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use nskit::error::Errno;
use nskit::inspect::explain::{Caller, Outcome, explain, refusals};
use nskit::namespace::{Kind, Kinds, describe};
use rustix::fs::{Mode, OFlags};
use rustix::process::Pid;

use super::{CAP_SYS_PTRACE, has_capability, number, proc, seccomp, unknown_kind};

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
        Errno::INVAL => match source {
            Source::File(file) => actual_kind(file, kinds).or_else(|| file_refused(file, kinds)),
            Source::Process(pid) => process_refused(pid, kinds),
        },
        Errno::PERM => match source {
            // The number may be another process's there.
            Source::Process(_) if !shows_own_numbers() => None,
            _ => refused(kinds, source),
        }
        .or_else(seccomp),
        Errno::SRCH => match source {
            Source::Process(pid) => Some(ended(pid)),
            Source::File(_) => None,
        },
        Errno::USERS => Some("a time namespace cannot be entered beside other threads".into()),
        _ => None,
    }
}

const IN_IT: &str = "you are in that user namespace already, and none can be entered again";
const ABOVE: &str = "a pid namespace can be entered only from one that contains it";

/// Why a file is refused that is a namespace of the kind: that there is one shows that the kernel has the kind.
fn file_refused(file: BorrowedFd<'_>, kinds: Kinds) -> Option<String> {
    match Kind::of_file(file) {
        Ok(Some(Kind::User)) if kinds.contains(Kind::User) => Some(IN_IT.into()),
        Ok(Some(Kind::Pid)) if kinds.contains(Kind::Pid) => Some(ABOVE.into()),
        _ => None,
    }
}

fn process_refused(pid: Pid, kinds: Kinds) -> Option<String> {
    // All that can be wrong with it, and has to be said without /proc where a mount namespace was entered before it.
    if kinds == Kinds::only(Kind::User) {
        return Some(IN_IT.into());
    }
    if let Some(unknown) = unknown_kind(proc()?, kinds) {
        return Some(unknown);
    }
    if !shows_own_numbers() {
        return None;
    }
    let caller = Caller::read(own_pid()?).ok()?;
    let verdicts = explain(&caller, pid.as_raw_nonzero().get()).ok()?.verdicts;
    verdicts.into_iter().filter(|found| kinds.contains(found.kind)).find_map(|found| {
        match (found.kind, found.outcome) {
            (Kind::User, Outcome::Same) => Some(IN_IT.into()),
            (Kind::Pid, Outcome::Refused(reasons)) if reasons.iter().any(|reason| reason.contains("not below")) => {
                Some(ABOVE.into())
            }
            _ => None,
        }
    })
}

/// Whether the /proc that is mounted numbers processes as this process does.
fn shows_own_numbers() -> bool {
    let text = proc().and_then(|proc| fs::read_to_string(proc.join("self/status")).ok());
    // From the pid namespace of /proc down to this process's own; Linux before 4.1 does not tell.
    let numbers =
        |text: String| text.lines().find_map(|line| Some(line.strip_prefix("NSpid:")?.split_whitespace().count()));
    text.is_some_and(|text| numbers(text).is_none_or(|count| count == 1))
}

/// That a process which could be held has no namespaces.
fn ended(pid: Pid) -> String {
    let how = if is_zombie(pid) { ", though its parent has not asked how (a zombie)" } else { "" };
    format!("process {} has ended{how}: there is nothing of it left to enter", pid.as_raw_nonzero())
}

fn is_zombie(pid: Pid) -> bool {
    let status = fs::read_to_string(format!("/proc/{}/status", pid.as_raw_nonzero())).unwrap_or_default();
    status.lines().any(|line| line.starts_with("State:\tZ"))
}

/// Why a descriptor of process `pid` cannot be copied: the checks of ptrace(2), in their order.
pub(crate) fn descriptor(errno: Errno, pid: Pid) -> Option<String> {
    if errno != Errno::PERM {
        return None;
    }
    let pid = pid.as_raw_nonzero();
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let others = |name: &str, own: u32| {
        field(name).is_some_and(|ids| ids.split_whitespace().take(3).any(|id| id.parse() != Ok(own)))
    };
    let is_other =
        others("Uid", rustix::process::getuid().as_raw()) || others("Gid", rustix::process::getgid().as_raw());
    let permitted = field("CapPrm").and_then(|set| u64::from_str_radix(set.trim(), 16).ok()).unwrap_or(0);
    let own = rustix::thread::capabilities(None).map_or(u64::MAX, |sets| sets.permitted.bits());
    let name = CAP_SYS_PTRACE.1;
    if !has_capability(CAP_SYS_PTRACE) && is_other {
        return Some(format!(
            "process {pid} is another user's or group's, and copying its descriptors needs {name} over it"
        ));
    }
    if !has_capability(CAP_SYS_PTRACE) && permitted & !own != 0 {
        return Some(format!(
            "process {pid} has capabilities that you lack, and copying its descriptors needs {name} over it"
        ));
    }
    match number(Path::new("/proc/sys/kernel/yama/ptrace_scope")) {
        Some(scope) if scope > 0 => Some(format!(
            "Yama restricts access to other processes: sysctl kernel.yama.ptrace_scope is {scope}; be root, or its parent"
        )),
        _ => None,
    }
}

/// Why nothing of process `pid` below /proc can be opened.
pub(crate) fn closed(errno: Errno, pid: Pid) -> Option<String> {
    match errno {
        Errno::NOENT => match proc()?.join(pid.as_raw_nonzero().to_string()).exists() {
            false => Some(format!("there is no process {}", pid.as_raw_nonzero())),
            true => is_zombie(pid).then(|| ended(pid)),
        },
        Errno::ACCESS | Errno::PERM => refused(Kinds::only(Kind::User), Source::Process(pid)),
        _ => None,
    }
}

/// Why `file`, which may be one of a process below /proc, cannot be opened.
pub(crate) fn closed_file(errno: Errno, file: &Path) -> Option<String> {
    let pid = file.strip_prefix("/proc").ok()?.iter().next()?.to_str()?.parse().ok()?;
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
            let explanation = explain(&caller, pid).ok()?;
            let at_once = explanation.remarks.into_iter().find(|remark| remark.starts_with("one setns(2)"));
            for verdict in explanation.verdicts.into_iter().filter(|found| kinds.contains(found.kind)) {
                let kind = verdict.kind;
                match verdict.outcome {
                    Outcome::Hidden(reasons) => return Some(format!("process {pid}: {}", reasons.join("; "))),
                    Outcome::Refused(reasons) => add(kind, advised(lacks(reasons.into_iter().next()?))),
                    // The capabilities before the user namespace count, and are not enough.
                    Outcome::AfterUser if kind == Kind::Mount && explanation.one_by_one => {
                        let alone = || open(pid, kind).and_then(|ns| first(kind, ns.as_fd())).map(advised);
                        let both = at_once.as_deref().filter(|_| kinds.contains(Kind::User));
                        if let Some(cause) = both.map(|remark| lacks(remark.to_owned())).or_else(alone) {
                            add(kind, cause);
                        }
                    }
                    Outcome::AfterUser if !kinds.contains(Kind::User) => {
                        let cause = "it belongs to the target's user namespace: enter that as well (-U)";
                        let reasons = open(pid, kind).map(|ns| refusals(&caller, kind, ns.as_fd())).unwrap_or_default();
                        add(
                            kind,
                            match <[String; 1]>::try_from(reasons) {
                                Ok([only]) => format!("{cause}, or without it {}", lacks(only)),
                                Err(_) => cause.to_owned(),
                            },
                        );
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
    fs::read_link(proc()?.join("self")).ok()?.to_str()?.parse().ok()
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
    match Kind::of_file(file) {
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
