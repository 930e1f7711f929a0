//! Could a process enter another one's namespaces, and if not, exactly why.
//!
//! The rules are those of setns(2) and ptrace(2) ("Ptrace access mode checking"), applied to what `/proc` tells of both.

use std::fs;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags};

use super::proc;
use crate::error::{Errno, Error, Result, strerror};
use crate::namespace::Kind;
use crate::sys::{ioctl, mountinfo};

const CAP_SETGID: u32 = 6;
const CAP_SYS_CHROOT: u32 = 18;
const CAP_SYS_PTRACE: u32 = 19;
const CAP_SYS_ADMIN: u32 = 21;

/// Who wants to enter.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The process.
    pub pid: i32,
    uid: u32,
    capabilities: u64,
    threads: usize,
    user: u64,
    pid_namespace: u64,
    namespaces: [Option<u64>; 8],
}

/// Whether one namespace can be entered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The caller is in it.
    Same,
    /// It can be entered.
    Allowed,
    /// It can be entered after the target's user namespace.
    AfterUser,
    /// It cannot, for these reasons.
    Refused(Vec<String>),
    /// Its link cannot even be read, for these reasons.
    Hidden(Vec<String>),
    /// This kernel has no such kind, or the process has ended: what still names it then is nothing to enter.
    Missing,
}

/// What was found out about one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The kind.
    pub kind: Kind,
    /// The inode number of the target's namespace, where it could be read.
    pub inode: Option<u64>,
    /// Whether it can be entered.
    pub outcome: Outcome,
}

/// All verdicts, and what else there is to know.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Explanation {
    /// One a kind.
    pub verdicts: Vec<Verdict>,
    /// Sentences about the target that matter to one who enters: chroot, LSM, frozen, ptrace restrictions.
    pub remarks: Vec<String>,
    /// The user and mount namespace take a call of setns(2) each: one for both looks at the capabilities that the caller
    /// has before it.
    pub one_by_one: bool,
    /// Who enters the user namespace has to keep ids and groups, which nsenter would set to 0 and drop.
    pub keeps_ids: bool,
    /// The process has ended, and nobody has waited for it.
    pub is_zombie: bool,
}

struct Status(String);

impl Status {
    fn read(pid: i32) -> Result<Status> {
        let path = format!("/proc/{pid}/status");
        match proc::read_text(&path) {
            Ok(text) => Ok(Status(text)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(proc::absent(pid)),
            Err(error) => Err(Error::io(&error, format!("read {path}"))),
        }
    }

    fn field(&self, name: &str) -> &str {
        let line = self.0.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.unwrap_or_default().trim()
    }

    fn permitted(&self) -> u64 {
        u64::from_str_radix(self.field("CapPrm"), 16).unwrap_or(0)
    }

    fn is_zombie(&self) -> bool {
        self.field("State").starts_with('Z')
    }

    fn uids(&self) -> Vec<u32> {
        self.field("Uid").split_ascii_whitespace().filter_map(|uid| uid.parse().ok()).collect()
    }
}

fn open(pid: i32, kind: Kind) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    rustix::fs::open(format!("/proc/{pid}/ns/{}", kind.proc_name()), flags, Mode::empty())
}

fn inode(ns: impl AsFd) -> u64 {
    rustix::fs::fstat(ns).map_or(0, |status| status.st_ino)
}

impl Caller {
    /// Reads who the process is.
    ///
    /// # Errors
    /// Where there is no such process, or what it is in may not be read: nothing can be told of what it may enter.
    pub fn read(pid: i32) -> Result<Caller> {
        let status = Status::read(pid)?;
        let own = |kind| match open(pid, kind) {
            Ok(ns) => Ok(inode(ns)),
            // A kernel without that kind has but one.
            Err(Errno::NOENT) => Ok(kind.initial_inode()),
            Err(errno) => {
                Err(Error::os(errno, format!("what process {pid} may enter cannot be told: read its namespaces")))
            }
        };
        let (user, pid_namespace) = (own(Kind::User)?, own(Kind::Pid)?);
        let namespaces = Kind::ALL.map(|kind| proc::namespace(pid, kind));
        Ok(Caller {
            pid,
            uid: status.uids().get(1).copied().unwrap_or(u32::MAX),
            capabilities: u64::from_str_radix(status.field("CapEff"), 16).unwrap_or(0),
            threads: status.field("Threads").parse().unwrap_or(1),
            user,
            pid_namespace,
            namespaces,
        })
    }

    /// Whether the caller has the capability in the user namespace; user_namespaces(7), "Capabilities". The error says
    /// why not.
    fn has(&self, capability: u32, namespace: BorrowedFd<'_>) -> Result<(), String> {
        let wanted = inode(namespace);
        let mut at = rustix::io::fcntl_dupfd_cloexec(namespace, 0).map_err(strerror)?;
        loop {
            let here = inode(&at);
            if here == self.user {
                let own = self.capabilities & 1 << capability != 0;
                let name = capability_name(capability);
                return if own {
                    Ok(())
                } else if here == wanted {
                    Err(format!("process {} lacks {name} in user:[{here}]", self.pid))
                } else {
                    Err(format!("process {} lacks {name} in user:[{here}], an ancestor of user:[{wanted}]", self.pid))
                };
            }
            let parent = ioctl::namespace_parent(at.as_fd());
            let is_owner = ioctl::namespace_owner_uid(&at) == Ok(self.uid);
            match parent {
                // Who made a user namespace has all capabilities in it, from the parent.
                Ok(parent) if is_owner && inode(&parent) == self.user => return Ok(()),
                Ok(parent) => at = parent,
                Err(_) => {
                    let name = capability_name(capability);
                    return Err(format!(
                        "{name} is needed in user:[{wanted}], which is not below the caller's user:[{}]",
                        self.user
                    ));
                }
            }
        }
    }
}

fn capability_name(capability: u32) -> &'static str {
    match capability {
        CAP_SYS_CHROOT => "CAP_SYS_CHROOT",
        CAP_SYS_PTRACE => "CAP_SYS_PTRACE",
        _ => "CAP_SYS_ADMIN",
    }
}

/// The names of a set of capabilities.
fn names_of(set: u64) -> String {
    let mut known: Vec<caps::Capability> =
        caps::all().into_iter().filter(|capability| set & capability.bitmask() != 0).collect();
    known.sort_unstable_by_key(|capability| capability.index());
    // A program with many of them has all.
    const NAMED: usize = 3;
    let names: Vec<String> = known.iter().take(NAMED).map(ToString::to_string).collect();
    match known.len().saturating_sub(NAMED) {
        0 => names.join(", "),
        more => format!("{} and {more} more", names.join(", ")),
    }
}

/// Explains, kind by kind, whether `caller` could enter the namespaces of process `target`.
///
/// # Errors
/// Where there is no such process.
pub fn explain(caller: &Caller, target: i32) -> Result<Explanation> {
    let status = Status::read(target)?;
    let mut explanation = Explanation::default();
    let user = open(target, Kind::User).ok();
    let hidden = why_hidden(caller, target, &status, user.as_ref());
    let user_outcome = match &user {
        Some(ns) if Some(inode(ns)) == caller.namespaces[Kind::User as usize] => Outcome::Same,
        Some(ns) => outcome_of(refusals(caller, Kind::User, ns.as_fd())),
        None => Outcome::Hidden(hidden.clone()),
    };
    for kind in Kind::ALL {
        let opened = open(target, kind);
        let number = opened.as_ref().ok().map(inode);
        let outcome = match (&opened, kind) {
            (Err(Errno::NOENT), _) => Outcome::Missing,
            (Ok(_), _) if status.is_zombie() => Outcome::Missing,
            (Err(_), _) => Outcome::Hidden(hidden.clone()),
            (_, Kind::User) => user_outcome.clone(),
            (Ok(_), _) if number == caller.namespaces[kind as usize] => Outcome::Same,
            (Ok(ns), _) => {
                let reasons = refusals(caller, kind, ns.as_fd());
                let owner = ioctl::namespace_owner(ns).ok().map(|owner| inode(&owner));
                let gained = user_outcome == Outcome::Allowed && owner == user.as_ref().map(inode);
                if !reasons.is_empty() && gained && only_privilege(caller, kind, ns.as_fd()) {
                    Outcome::AfterUser
                } else {
                    outcome_of(reasons)
                }
            }
        };
        explanation.verdicts.push(Verdict { kind, inode: number, outcome });
    }
    explanation.remarks = remarks(target, &status);
    explanation.is_zombie = status.is_zombie();
    let mount = &explanation.verdicts[Kind::Mount as usize];
    let chroot = user.as_ref().map_or(Ok(()), |ns| caller.has(CAP_SYS_CHROOT, ns.as_fd()));
    if let (Outcome::AfterUser, Err(why)) = (&mount.outcome, chroot) {
        explanation.one_by_one = true;
        explanation.remarks.push(format!(
            "one setns(2) for the user and the mount namespace, as by nsenter --target, fails, because it looks at the \
             capabilities before it: {why}; two do not: nsenter --user=FILE --mount=FILE"
        ));
    }
    explanation.keeps_ids = user_outcome == Outcome::Allowed && keeps_ids(caller, target);
    Ok(explanation)
}

/// Whether user and group 0, or dropping the groups, will fail in the user namespace of the target. Groups can be dropped
/// before it is entered, by a caller who may, or in it, unless `/proc/PID/setgroups` forbids that.
fn keeps_ids(caller: &Caller, target: i32) -> bool {
    let read = |pid: i32, file: &str| fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
    let has_zero =
        |file: &str| read(target, file).lines().any(|line| line.split_ascii_whitespace().next() == Some("0"));
    let may_drop = |pid: i32| read(pid, "setgroups").trim() == "allow";
    let drops_before = caller.capabilities & 1 << CAP_SETGID != 0 && may_drop(caller.pid);
    !has_zero("uid_map") || !has_zero("gid_map") || !(drops_before || may_drop(target))
}

fn outcome_of(reasons: Vec<String>) -> Outcome {
    if reasons.is_empty() { Outcome::Allowed } else { Outcome::Refused(reasons) }
}

/// Why setns(2) would refuse `caller` the one namespace `ns`; empty where it would not.
pub fn refusals(caller: &Caller, kind: Kind, ns: BorrowedFd<'_>) -> Vec<String> {
    let mut reasons = obstacles(caller, kind, ns);
    let owner = if kind == Kind::User { rustix::io::fcntl_dupfd_cloexec(ns, 0) } else { ioctl::namespace_owner(ns) };
    match owner {
        Ok(owner) => reasons.extend(caller.has(CAP_SYS_ADMIN, owner.as_fd()).err()),
        Err(Errno::PERM) => reasons.push(format!(
            "CAP_SYS_ADMIN is needed in its owner, a user namespace that is not below the caller's user:[{}]",
            caller.user
        )),
        Err(errno) => reasons.push(format!("its owner cannot be told: {}", strerror(errno))),
    }
    // All but user namespaces need privilege in the caller's own user namespace too.
    let own: &[u32] = match kind {
        Kind::User => &[],
        Kind::Mount => &[CAP_SYS_CHROOT, CAP_SYS_ADMIN],
        _ => &[CAP_SYS_ADMIN],
    };
    for &capability in own.iter().filter(|&&capability| caller.capabilities & 1 << capability == 0) {
        let reason = format!("process {} lacks {} in user:[{}]", caller.pid, capability_name(capability), caller.user);
        if !reasons.contains(&reason) {
            reasons.push(reason);
        }
    }
    reasons
}

/// What no privilege helps against.
fn obstacles(caller: &Caller, kind: Kind, ns: BorrowedFd<'_>) -> Vec<String> {
    let mut reasons = Vec::new();
    if caller.threads > 1 && matches!(kind, Kind::User | Kind::Time | Kind::Mount) {
        reasons.push(format!(
            "process {} has {} threads; only a process with one can enter a {} namespace",
            caller.pid,
            caller.threads,
            kind.oci_name()
        ));
    }
    if kind == Kind::Pid && !is_below(ns, caller.pid_namespace) {
        reasons.push(format!(
            "it is not below the caller's pid:[{}]: a pid namespace can only be gone down",
            caller.pid_namespace
        ));
    }
    reasons
}

/// Whether nothing but privilege is missing.
fn only_privilege(caller: &Caller, kind: Kind, ns: BorrowedFd<'_>) -> bool {
    obstacles(caller, kind, ns).is_empty()
}

fn is_below(ns: BorrowedFd<'_>, ancestor: u64) -> bool {
    let Ok(mut at) = rustix::io::fcntl_dupfd_cloexec(ns, 0) else { return false };
    loop {
        if inode(&at) == ancestor {
            return true;
        }
        match ioctl::namespace_parent(at.as_fd()) {
            Ok(parent) => at = parent,
            Err(_) => return false,
        }
    }
}

/// Why the links in the target's `/proc/PID/ns` cannot be read: `PTRACE_MODE_READ_FSCREDS` of ptrace(2).
fn why_hidden(caller: &Caller, target: i32, status: &Status, user: Option<&OwnedFd>) -> Vec<String> {
    let mut reasons = Vec::new();
    let uids = status.uids();
    if caller.user == Kind::User.initial_inode() && caller.capabilities & 1 << CAP_SYS_PTRACE != 0 {
        reasons
            .push("ptrace access: the caller has CAP_SYS_PTRACE everywhere, so a security module refuses".to_owned());
    } else if uids.iter().take(3).any(|&uid| uid != caller.uid) {
        let uids: Vec<String> = uids.iter().take(3).map(u32::to_string).collect();
        reasons.push(format!(
            "ptrace access: its user ids ({}) are not the caller's ({}), and CAP_SYS_PTRACE in its user namespace is missing",
            uids.join(", "),
            caller.uid
        ));
    } else if let Some(Err(why)) = user.map(|ns| caller.has(CAP_SYS_PTRACE, ns.as_fd())) {
        reasons.push(format!("ptrace access: {why}"));
    } else {
        let missing = status.permitted() & !caller.capabilities;
        reasons.push(if missing != 0 {
            format!("ptrace access: it has capabilities that the caller lacks: {}", names_of(missing))
        } else {
            "ptrace access: it is not dumpable (its program was privileged or changed its ids), or is protected by a \
             security module"
                .to_owned()
        });
    }
    if let Some(label) = label(target).filter(|label| label != "unconfined") {
        reasons.push(format!("a security module confines it as '{label}'"));
    }
    reasons
}

fn label(pid: i32) -> Option<String> {
    let text = proc::read_text(&format!("/proc/{pid}/attr/current")).ok()?;
    let text = text.trim_matches(['\0', '\n']).to_owned();
    (!text.is_empty()).then_some(text)
}

fn remarks(target: i32, status: &Status) -> Vec<String> {
    let mut remarks = Vec::new();
    if status.is_zombie() {
        remarks.push("the process has ended and waits for its parent: there is nothing to enter".into());
    }
    let mounts = mountinfo::read(target).unwrap_or_default();
    if !mounts.is_empty() && !mountinfo::lines(&mounts).any(|mount| mount.point == b"/") {
        remarks.push("its root is a chroot inside its mount namespace: enter that too, with nsenter --root".into());
    }
    if let Some(label) = label(target).filter(|label| label != "unconfined") {
        remarks.push(format!("a security module confines it as '{label}'; who enters keeps their own confinement"));
    }
    if status.field("Seccomp") == "2" {
        remarks.push("a seccomp filter binds it; who enters is not bound by it".into());
    }
    let yama = fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope").unwrap_or_default();
    match yama.trim() {
        "1" => remarks.push("yama lets only parents and CAP_SYS_PTRACE attach (ptrace_scope 1): entering is not affected, taking its files is".into()),
        "2" => remarks.push("yama lets only CAP_SYS_PTRACE attach (ptrace_scope 2): entering is not affected, taking its files is".into()),
        "3" => remarks.push("yama lets nobody attach (ptrace_scope 3): entering is not affected, taking its files is".into()),
        _ => {}
    }
    remarks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_in_its_own_namespaces() {
        let pid = std::process::id() as i32;
        let explanation = explain(&Caller::read(pid).unwrap(), pid).unwrap();
        assert!(explanation.verdicts.iter().all(|verdict| matches!(verdict.outcome, Outcome::Same | Outcome::Missing)));
    }

    #[test]
    fn a_process_with_threads_is_told_that_they_are_in_the_way() {
        let pid = std::process::id() as i32;
        let mut caller = Caller::read(pid).unwrap();
        caller.threads = 3;
        let ns = open(pid, Kind::Time).unwrap();
        let reasons = obstacles(&caller, Kind::Time, ns.as_fd());
        assert_eq!(
            reasons,
            [format!("process {pid} has 3 threads; only a process with one can enter a time namespace")]
        );
    }

    #[test]
    fn a_caller_without_capabilities_is_told_which_and_where() {
        let pid = std::process::id() as i32;
        let mut caller = Caller::read(pid).unwrap();
        caller.capabilities = 0;
        let user = caller.user;
        let ns = open(pid, Kind::Net).unwrap();
        let reasons = refusals(&caller, Kind::Net, ns.as_fd());
        assert_eq!(reasons, [format!("process {pid} lacks CAP_SYS_ADMIN in user:[{user}]")]);
    }
}
