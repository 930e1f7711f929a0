//! What stands behind an errno: the kernel says EPERM for a dozen reasons, and which one it was can be looked up.
//!
//! A hint follows the error on a line of its own. It names a cause that was seen, not a guess; where none is seen there is
//! no hint.

mod entering;
mod ids;
mod program;

use std::borrow::Cow;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use nskit::Error;
use nskit::error::Errno;
use nskit::namespace::idmap::Ids;
use nskit::namespace::{Kind, Kinds};

pub(crate) use entering::{Source, by_id, closed, closed_file, descriptor, setns};
pub(crate) use ids::{groups, identity, map, map_by_tool, map_own};
pub(crate) use program::{Interpreter, program, started_by};

/// An error, and what may be said of its cause.
#[derive(Debug)]
pub(crate) struct Failure {
    /// What was attempted and why it failed.
    pub(crate) error: Error,
    /// The cause, and what helps.
    pub(crate) hint: Option<Cow<'static, str>>,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure { error, hint: None }
    }
}

/// Adds a hint to a failure, looked for only when there is one.
pub(crate) trait Hint<T> {
    /// `cause` gets the errno.
    fn hint<S: Into<Cow<'static, str>>>(self, cause: impl FnOnce(Errno) -> Option<S>) -> Result<T, Failure>;
}

impl<T> Hint<T> for nskit::Result<T> {
    fn hint<S: Into<Cow<'static, str>>>(self, cause: impl FnOnce(Errno) -> Option<S>) -> Result<T, Failure> {
        self.map_err(|error| {
            let hint = error.errno().and_then(cause).map(Into::into);
            Failure { error, hint }
        })
    }
}

/// The /proc to look at: none once that of a container was entered which has another thing there.
fn proc() -> Option<&'static Path> {
    const PROC_SUPER_MAGIC: i64 = 0x9fa0;
    let is_proc = rustix::fs::statfs("/proc").is_ok_and(|found| found.f_type == PROC_SUPER_MAGIC);
    is_proc.then(|| Path::new("/proc"))
}

/// Numbers of capabilities, and their names.
const CAP_SETGID: Capability = (6, "CAP_SETGID");
const CAP_SETUID: Capability = (7, "CAP_SETUID");
const CAP_SETPCAP: Capability = (8, "CAP_SETPCAP");
const CAP_SYS_CHROOT: Capability = (18, "CAP_SYS_CHROOT");
const CAP_SYS_PTRACE: Capability = (19, "CAP_SYS_PTRACE");
const CAP_SYS_ADMIN: Capability = (21, "CAP_SYS_ADMIN");
const CAP_SYS_RESOURCE: Capability = (24, "CAP_SYS_RESOURCE");
const CAP_SYS_TIME: Capability = (25, "CAP_SYS_TIME");
const CAP_SETFCAP: Capability = (31, "CAP_SETFCAP");

type Capability = (u32, &'static str);

/// Why unshare(2) refuses `kinds`.
pub(crate) fn unshare(errno: Errno, kinds: Kinds) -> Option<String> {
    match errno {
        Errno::PERM if kinds.contains(Kind::User) => no_user_namespace(proc()),
        Errno::PERM if !has_capability(CAP_SYS_ADMIN) => {
            let (article, verb) = if kinds.iter().count() == 1 { ("a new", "needs") } else { ("new", "need") };
            let what = nskit::namespace::describe(kinds);
            let advice = own_namespace(if maps_to_root() { "--map-root-user (-r)" } else { "--user (-U)" });
            Some(format!("{article} {what} {verb} CAP_SYS_ADMIN{advice}"))
        }
        Errno::PERM => seccomp(),
        Errno::NOSPC | Errno::USERS => Some(limit(proc()?, kinds)),
        Errno::INVAL => unknown_kind(proc()?, kinds),
        _ => None,
    }
}

/// That `option` gives what is lacking, where nothing is seen that stands against a new user namespace.
fn own_namespace(option: &str) -> String {
    let none_left = || proc().and_then(|proc| number(&proc.join("sys/user/max_user_namespaces"))) == Some(0);
    match no_user_namespace(proc()).is_some() || none_left() {
        true => String::new(),
        false => format!("; with {option} you have it in a user namespace of your own"),
    }
}

/// Whether the caller may be user 0 of a new user namespace: see [`NEEDS_SETFCAP`].
fn maps_to_root() -> bool {
    !rustix::process::geteuid().is_root() || has_capability(CAP_SETFCAP)
}

/// Why there can be no new user namespace.
fn no_user_namespace(proc: Option<&Path>) -> Option<String> {
    let sysctl = |name: &str| number(&proc?.join("sys/kernel").join(name));
    let lacks = |ids, id| proc.is_some_and(|proc| !is_mapped(proc, ids, id));
    if lacks(Ids::Users, rustix::process::geteuid().as_raw()) || lacks(Ids::Groups, rustix::process::getegid().as_raw())
    {
        return Some(
            "your user or group id is not mapped in the user namespace that you are in: it needs a map (-r) first"
                .into(),
        );
    }
    if in_chroot() {
        return Some("a process in a chroot cannot have a new user namespace; use pivot_root instead".into());
    }
    if sysctl("unprivileged_userns_clone") == Some(0) {
        return Some(
            "unprivileged user namespaces are turned off: sysctl kernel.unprivileged_userns_clone is 0".into(),
        );
    }
    if sysctl("apparmor_restrict_unprivileged_userns") == Some(1) {
        return Some(
            "AppArmor restricts unprivileged user namespaces: sysctl kernel.apparmor_restrict_unprivileged_userns is 1, \
             or give the program a profile with \"userns,\""
                .into(),
        );
    }
    seccomp()
}

/// That a filter may have refused, where there is one; what it refuses for certain is named.
pub(crate) fn seccomp() -> Option<String> {
    use rustix::thread::{SecureComputingMode, secure_computing_mode};
    filtered(Errno::PERM).or_else(|| {
        matches!(secure_computing_mode(), Ok(SecureComputingMode::Filter))
            .then(|| "a seccomp filter is in force, as container engines install: it may refuse this".into())
    })
}

/// Which system calls a filter refuses that are needed.
pub(crate) fn filtered(errno: Errno) -> Option<String> {
    if !matches!(errno, Errno::PERM | Errno::NOSYS) {
        return None;
    }
    let refused = nskit::sys::seccomp::refused();
    (!refused.is_empty()).then(|| {
        let names: Vec<String> = refused.iter().map(|name| format!("{name}(2)")).collect();
        format!("the seccomp filter that is in force refuses {}", names.join(", "))
    })
}

/// Which limit on namespaces is reached: user.max_*_namespaces of namespaces(7), or the depth of nesting.
fn limit(proc: &Path, kinds: Kinds) -> String {
    for kind in kinds.iter() {
        let name = format!("max_{}_namespaces", kind.proc_name());
        if let Some(0) = number(&proc.join("sys/user").join(&name)) {
            return format!("there may be no {kind} namespace here: sysctl user.{name} is 0");
        }
    }
    let mut limits = String::new();
    for kind in kinds.iter() {
        let name = format!("max_{}_namespaces", kind.proc_name());
        if let Some(most) = number(&proc.join("sys/user").join(&name)) {
            let _ = write!(limits, "{}user.{name} is {most}", if limits.is_empty() { "" } else { ", " });
        }
    }
    format!("a limit here or in a namespace above is reached (sysctl {limits}), or they are nested 32 deep")
}

fn unknown_kind(proc: &Path, kinds: Kinds) -> Option<String> {
    // Where this process cannot be seen, neither can its kinds.
    if !proc.join("self/ns").is_dir() {
        return None;
    }
    let kind = kinds.iter().find(|kind| !proc.join("self/ns").join(kind.proc_name()).exists())?;
    Some(format!("this kernel has no {kind} namespaces"))
}

/// Why a namespace cannot be bound to `file`.
pub(crate) fn bind(errno: Errno, kind: Kind, file: &Path, forks: bool) -> Option<String> {
    match errno {
        Errno::INVAL if kind == Kind::Mount && is_shared(file) => Some(format!(
            "{} is on a shared mount, which would copy the namespace into itself: mount --make-private it",
            file.display()
        )),
        // A pid namespace begins with its first process.
        Errno::NOENT if kind == Kind::Pid && !forks && file.exists() => {
            Some("a new pid namespace is there once it has a process: add --fork".into())
        }
        Errno::NOENT if !file.exists() => {
            Some(format!("there is no {} to bind it to: make an empty file", file.display()))
        }
        Errno::PERM | Errno::ACCESS if !has_capability(CAP_SYS_ADMIN) => {
            Some("binding a namespace to a file needs CAP_SYS_ADMIN over the caller's mount namespace".into())
        }
        _ => None,
    }
}

/// Why proc cannot be mounted.
pub(crate) fn mount_proc(errno: Errno, kinds: Kinds, forks: bool) -> Option<&'static str> {
    match errno {
        Errno::PERM if !kinds.contains(Kind::Pid) => {
            Some("proc shows a pid namespace, and this one belongs to another user namespace: add --pid --fork")
        }
        Errno::PERM if !forks => Some("only a child is in the new pid namespace: add --fork"),
        Errno::PERM if has_masks() => Some(
            "parts of /proc are masked by mounts, as container engines do: the kernel lets no new proc show what they hide",
        ),
        _ => None,
    }
}

/// Whether something is mounted below /proc.
fn has_masks() -> bool {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    table.lines().any(|line| line.split(' ').nth(4).is_some_and(|place| place.starts_with("/proc/")))
}

/// That the caller lacks the one capability which `what` needs.
fn lacking(errno: Errno, capability: Capability, what: &str) -> Option<String> {
    let refused = matches!(errno, Errno::PERM | Errno::ACCESS);
    (refused && !has_capability(capability)).then(|| format!("{what} needs {}", capability.1))
}

/// Why the root directory cannot be changed; where a new user namespace would help when `can_unshare`.
pub(crate) fn chroot(errno: Errno, can_unshare: bool) -> Option<String> {
    // EACCES is of the path.
    if errno != Errno::PERM {
        return None;
    }
    let hint = lacking(errno, CAP_SYS_CHROOT, "changing the root directory")?;
    Some(if can_unshare { hint + &own_namespace("--user") } else { hint })
}

/// Why a clock of a new time namespace cannot be set.
pub(crate) fn clock(errno: Errno) -> Option<String> {
    match errno {
        Errno::RANGE => Some("the clock would be before 0, or beyond some 146 years".into()),
        _ => lacking(errno, CAP_SYS_TIME, "setting a clock of a time namespace"),
    }
}

/// Why binfmt_misc takes no interpreter.
pub(crate) fn interpreter(errno: Errno) -> Option<&'static str> {
    match errno {
        Errno::INVAL => Some(
            "STRING is :NAME:M:OFFSET:MAGIC:MASK:INTERPRETER:FLAGS, or :NAME:E::EXTENSION::INTERPRETER:FLAGS, with any \
             character in place of the colons",
        ),
        Errno::EXIST => Some("an interpreter of that name is registered"),
        Errno::NOENT => Some("with the flag F the interpreter is opened at once, and it is not there"),
        _ => None,
    }
}

/// Why binfmt_misc cannot be written to.
pub(crate) fn binfmt(errno: Errno) -> Option<&'static str> {
    let proc = proc()?;
    (errno == Errno::ACCESS && !(is_mapped(proc, Ids::Users, 0) && is_mapped(proc, Ids::Groups, 0))).then_some(
        "binfmt_misc belongs to user and group 0 of the new user namespace, which are not mapped: add --map-root-user (-r)",
    )
}

/// Why a limit on a resource, which is called `name`, cannot be set.
pub(crate) fn resource(errno: Errno, name: &str) -> Option<String> {
    lacking(errno, CAP_SYS_RESOURCE, "raising a hard limit").or_else(|| too_high(proc()?, errno, name))
}

fn too_high(proc: &Path, errno: Errno, name: &str) -> Option<String> {
    if errno != Errno::PERM {
        return None;
    }
    let most = number(&proc.join("sys/fs/nr_open")).filter(|_| name == "nofile")?;
    Some(format!("nofile cannot be more than sysctl fs.nr_open, which is {most}"))
}

/// Why capabilities cannot be dropped.
pub(crate) fn bounding_set(errno: Errno) -> Option<String> {
    let hint = lacking(errno, CAP_SETPCAP, "dropping capabilities from the bounding set")?;
    Some(hint + "; --no-new-privs keeps a program that has none from getting any")
}

/// Why a seccomp filter is not taken.
pub(crate) fn filter(errno: Errno) -> Option<String> {
    lacking(errno, CAP_SYS_ADMIN, "a seccomp filter without --no-new-privs")
}

/// Why there can be no child, once a pid namespace was entered.
pub(crate) fn fork(errno: Errno, in_pid_namespace: bool) -> Option<&'static str> {
    match errno {
        Errno::NOMEM if in_pid_namespace => {
            Some("the first process of that pid namespace has ended, and no other can be born in it")
        }
        Errno::AGAIN => Some("there are as many processes as may be: see ulimit -u, and pids.max of the cgroup"),
        _ => None,
    }
}

fn number(file: &Path) -> Option<u64> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

/// Asked of the kernel, for /proc may be another's.
fn has_capability((number, _): Capability) -> bool {
    rustix::thread::capabilities(None).is_ok_and(|sets| sets.effective.bits() >> number & 1 == 1)
}

/// Whether this process's user namespace has an id; `true` where that cannot be seen.
fn is_mapped(proc: &Path, ids: Ids, id: u32) -> bool {
    let Ok(text) = fs::read_to_string(proc.join("self").join(ids.file())) else { return true };
    text.lines().any(|line| {
        let fields: Vec<u64> = line.split_whitespace().filter_map(|field| field.parse().ok()).collect();
        matches!(fields[..], [start, _, count] if (start..start + count).contains(&u64::from(id)))
    })
}

/// Whether the root is another than that of the mount namespace: a directory within a mount, or a mount that entering the
/// namespace anew, which starts at its root, does not lead to.
fn in_chroot() -> bool {
    use rustix::fs::{AtFlags, CWD, Mode, OFlags, Statx, StatxAttributes, StatxFlags};
    let stat = || rustix::fs::statx(CWD, "/", AtFlags::empty(), StatxFlags::INO | StatxFlags::MNT_ID);
    let Ok(root) = stat() else { return false };
    if root.stx_attributes_mask.contains(StatxAttributes::MOUNT_ROOT)
        && !root.stx_attributes.contains(StatxAttributes::MOUNT_ROOT)
    {
        return true;
    }
    let open = |path: &str| rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty());
    let own = rustix::process::pidfd_open(rustix::process::getpid(), rustix::process::PidfdFlags::empty());
    let (Ok(before), Ok(place), Ok(own)) = (open("/"), open("."), own) else { return false };
    if nskit::sys::clone::setns(std::os::fd::AsFd::as_fd(&own), Kind::Mount.flag()).is_err() {
        return false;
    }
    let which = |stat: Statx| (stat.stx_mnt_id, stat.stx_ino);
    let is_other = stat().is_ok_and(|there| which(there) != which(root));
    // Back, for what is looked at next.
    let _ = rustix::process::fchdir(before).and_then(|()| rustix::process::chroot("."));
    let _ = rustix::process::fchdir(place);
    is_other
}

/// Whether the mount that `file` is on passes on what is mounted there.
fn is_shared(file: &Path) -> bool {
    use rustix::fs::{AtFlags, CWD, StatxFlags};
    let Ok(stat) = rustix::fs::statx(CWD, file, AtFlags::empty(), StatxFlags::MNT_ID) else { return false };
    let id = stat.stx_mnt_id.to_string();
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    table.lines().any(|line| {
        let mut fields = line.split(' ');
        fields.next() == Some(&id) && fields.take_while(|field| *field != "-").any(|field| field.starts_with("shared:"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A /proc with just these files.
    struct Proc(std::path::PathBuf);

    impl Proc {
        fn new(name: &str, files: &[(&str, &str)]) -> Proc {
            let root = std::env::temp_dir().join(format!("nskit-test-hints-{}-{name}", std::process::id()));
            for (file, text) in files {
                let path = root.join(file);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, text).unwrap();
            }
            Proc(root)
        }
    }

    impl Drop for Proc {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    const ALL: &str = "0 0 4294967295\n";

    fn user_namespace(name: &str, files: &[(&str, &str)]) -> Option<String> {
        let files = [files, &[("self/uid_map", ALL), ("self/gid_map", ALL)]].concat();
        no_user_namespace(Some(&Proc::new(name, &files).0))
    }

    #[test]
    fn names_the_sysctl_that_turns_user_namespaces_off() {
        let hint = user_namespace("clone", &[("sys/kernel/unprivileged_userns_clone", "0\n")]).unwrap();
        assert!(hint.contains("kernel.unprivileged_userns_clone is 0"), "{hint}");
    }

    #[test]
    fn names_apparmors_restriction() {
        let hint = user_namespace("apparmor", &[("sys/kernel/apparmor_restrict_unprivileged_userns", "1\n")]).unwrap();
        assert!(hint.contains("kernel.apparmor_restrict_unprivileged_userns is 1"), "{hint}");
    }

    #[test]
    fn names_a_kind_that_the_kernel_lacks() {
        let proc = Proc::new("kinds", &[("self/ns/net", "")]);
        assert_eq!(unknown_kind(&proc.0, Kinds::only(Kind::Net)), None);
        let hint = unknown_kind(&proc.0, Kinds::only(Kind::Net) | Kind::Time).unwrap();
        assert_eq!(hint, "this kernel has no time namespaces");
        assert_eq!(unknown_kind(Path::new("/nskit-test-no"), Kinds::only(Kind::Time)), None);
    }

    #[test]
    fn names_the_limit_that_is_reached() {
        let proc =
            Proc::new("limits", &[("sys/user/max_net_namespaces", "0\n"), ("sys/user/max_uts_namespaces", "9\n")]);
        let both = Kinds::only(Kind::Net) | Kind::Uts;
        assert!(limit(&proc.0, both).contains("user.max_net_namespaces is 0"));
        assert!(limit(&proc.0, Kinds::only(Kind::Uts)).contains("user.max_uts_namespaces is 9"));
    }

    #[test]
    fn names_the_most_files_that_may_be_open() {
        let proc = Proc::new("files", &[("sys/fs/nr_open", "1048576\n")]);
        assert!(too_high(&proc.0, Errno::PERM, "nofile").unwrap().contains("fs.nr_open, which is 1048576"));
        assert_eq!(too_high(&proc.0, Errno::PERM, "core"), None);
    }
}
