//! unshare's options: the table, and what they ask for.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use nskit::namespace::subid::Wanted;
use nskit::namespace::{Kind, Kinds};
use nskit::{Error, Result};

use super::ranges::{Ids, granted, ranges};
use crate::confine::{self, Confinement};
use crate::getopt::Argument::{No, Optional, Required};
use crate::getopt::Opt;
use crate::{accounts, number, signals};

/// Where binfmt_misc is mounted.
pub(super) const BINFMT: &str = "/proc/sys/fs/binfmt_misc";

/// What an option asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Id {
    New(Kind),
    MountProc,
    MountBinfmt,
    LoadInterpreter,
    Propagation,
    Root,
    Directory,
    SetUid,
    SetGid,
    Ids(IdsId),
    Fork,
    KillChild,
    ForwardSignals,
    SetGroups,
    KeepCapabilities,
    Monotonic,
    Boottime,
    ClearEnvironment,
    KeepEnvironment,
    Verbose,
    Confine(confine::Id),
    Help,
    Version,
}

/// What an option about the ids of a user namespace asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum IdsId {
    User,
    Group,
    Root,
    Current,
    Auto,
    Subids,
    Users,
    Groups,
    Owner,
}

const CONFINE: [Opt<Id>; 4] = confine::options(
    Id::Confine(confine::Id::DropCapabilities),
    Id::Confine(confine::Id::NoNewPrivileges),
    Id::Confine(confine::Id::Limit),
    Id::Confine(confine::Id::Seccomp),
);

/// In the order in which getopt names them when a prefix is ambiguous.
pub(super) const OPTIONS: &[Opt<Id>] = &[
    Opt::new(Id::Help, "h", "help", No, "Print this help"),
    Opt::new(Id::Version, "V", "version", No, "Print the version"),
    Opt::new(Id::New(Kind::Mount), "m", "mount", Optional("FILE"), "New mount namespace, kept by binding it to FILE"),
    Opt::new(Id::New(Kind::Uts), "u", "uts", Optional("FILE"), "New UTS namespace: host and domain name"),
    Opt::new(Id::New(Kind::Ipc), "i", "ipc", Optional("FILE"), "New IPC namespace: System V IPC, message queues"),
    Opt::new(Id::New(Kind::Net), "n", "net", Optional("FILE"), "New network namespace"),
    Opt::new(Id::New(Kind::Pid), "p", "pid", Optional("FILE"), "New pid namespace, for children: see --fork"),
    Opt::new(Id::New(Kind::User), "U", "user", Optional("FILE"), "New user namespace"),
    Opt::new(Id::New(Kind::Cgroup), "C", "cgroup", Optional("FILE"), "New cgroup namespace"),
    Opt::new(Id::New(Kind::Time), "T", "time", Optional("FILE"), "New time namespace"),
    Opt::new(Id::Fork, "f", "fork", No, "Run the program as a child, the first process of a new pid namespace"),
    Opt::new(
        Id::KillChild,
        "",
        "kill-child",
        Optional("SIGNAL"),
        "Signal the child (KILL) when unshare ends; implies --fork",
    ),
    Opt::new(Id::ForwardSignals, "", "forward-signals", No, "Pass TERM and INT on to the child; implies --fork"),
    Opt::new(Id::MountProc, "", "mount-proc", Optional("DIR"), "Mount proc on DIR (/proc); implies --mount"),
    Opt::new(Id::MountBinfmt, "", "mount-binfmt", Optional("DIR"), "Mount binfmt_misc on DIR; implies --mount, --user"),
    Opt::new(
        Id::Ids(IdsId::User),
        "",
        "map-user",
        Required("UID|NAME"),
        "What the effective user id is inside; implies --user",
    ),
    Opt::new(
        Id::Ids(IdsId::Users),
        "",
        "map-users",
        Required("IN:OUT:COUNT"),
        "Map COUNT user ids, or auto, subids, all; implies --user",
    ),
    Opt::new(
        Id::Ids(IdsId::Group),
        "",
        "map-group",
        Required("GID|NAME"),
        "What the effective group id is inside; implies --user",
    ),
    Opt::new(
        Id::Ids(IdsId::Groups),
        "",
        "map-groups",
        Required("IN:OUT:COUNT"),
        "Map COUNT group ids, or auto, subids, all; implies --user",
    ),
    Opt::new(Id::Ids(IdsId::Root), "r", "map-root-user", No, "Be root inside; implies --user"),
    Opt::new(Id::Ids(IdsId::Current), "c", "map-current-user", No, "Be the same user and group inside; implies --user"),
    Opt::new(
        Id::Ids(IdsId::Auto),
        "",
        "map-auto",
        No,
        "Map the first range of /etc/subuid and /etc/subgid from 0 on; implies --user",
    ),
    Opt::new(
        Id::Ids(IdsId::Subids),
        "",
        "map-subids",
        No,
        "Map the first range of /etc/subuid and /etc/subgid to itself; implies --user",
    ),
    Opt::new(Id::Ids(IdsId::Owner), "", "owner", Required("UID:GID"), "Who owns the user namespace; implies --user"),
    Opt::new(
        Id::Propagation,
        "",
        "propagation",
        Required("private|shared|slave|unchanged"),
        "How mounts propagate in a new mount namespace",
    ),
    Opt::new(
        Id::SetGroups,
        "",
        "setgroups",
        Required("allow|deny"),
        "Whether setgroups(2) works in a new user namespace",
    ),
    Opt::new(Id::KeepCapabilities, "", "keep-caps", No, "Keep the capabilities of a new user namespace"),
    Opt::new(Id::SetUid, "S:", "setuid", Required("UID"), "Run as this user id of the namespace"),
    Opt::new(
        Id::SetGid,
        "G:",
        "setgid",
        Required("GID"),
        "Run as this group id of the namespace, without other groups",
    ),
    Opt::new(Id::Root, "R:", "root", Required("DIR"), "Run with DIR as the root directory"),
    Opt::new(Id::Directory, "w:", "wd", Required("DIR"), "Run in the working directory DIR"),
    Opt::new(
        Id::Monotonic,
        "",
        "monotonic",
        Required("SECONDS"),
        "Offset of the monotonic clock in a new time namespace",
    ),
    Opt::new(
        Id::Boottime,
        "",
        "boottime",
        Required("SECONDS"),
        "Offset of the boot-time clock in a new time namespace",
    ),
    Opt::new(
        Id::LoadInterpreter,
        "l:",
        "load-interp",
        Required("STRING"),
        "Register a binfmt_misc interpreter; implies --mount-binfmt",
    ),
    Opt::new(Id::ClearEnvironment, "", "clear-env", No, "Start the program with an empty environment"),
    Opt::new(
        Id::KeepEnvironment,
        "",
        "whitelist-env",
        Required("NAME,..."),
        "Keep only these variables of the environment",
    ),
    Opt::own(Id::Verbose, "v", "verbose", No, "Say each step"),
    CONFINE[0],
    CONFINE[1],
    CONFINE[2],
    CONFINE[3],
];

/// What the command line asks for, checked.
#[derive(Debug, Default)]
pub(super) struct Options {
    pub(super) new: Kinds,
    /// Files to bind the namespaces to, by [`Kind`].
    pub(super) files: [Option<PathBuf>; 8],
    pub(super) fork: bool,
    pub(super) kill_child: Option<i32>,
    pub(super) forward_signals: bool,
    pub(super) proc: Option<PathBuf>,
    pub(super) binfmt: Option<PathBuf>,
    pub(super) interpreter: Option<OsString>,
    /// `MS_*` flags; none leaves propagation as it is.
    pub(super) propagation: Option<nix::mount::MsFlags>,
    pub(super) root: Option<PathBuf>,
    pub(super) directory: Option<PathBuf>,
    pub(super) uid: Option<u32>,
    pub(super) gid: Option<u32>,
    pub(super) map_user: Option<u32>,
    pub(super) map_group: Option<u32>,
    pub(super) users: Vec<Wanted>,
    pub(super) groups: Vec<Wanted>,
    pub(super) owner: Option<(u32, u32)>,
    pub(super) setgroups: Option<bool>,
    pub(super) keep_capabilities: bool,
    pub(super) monotonic: Option<i64>,
    pub(super) boottime: Option<i64>,
    pub(super) clear_environment: bool,
    /// Names to keep; `None` keeps all.
    pub(super) keep_environment: Option<Vec<OsString>>,
    pub(super) confinement: Confinement,
    pub(super) verbose: bool,
    pub(super) program: Vec<OsString>,
}

impl Options {
    pub(super) fn take(&mut self, id: Id, argument: Option<OsString>) -> Result<()> {
        let given = argument.as_deref().unwrap_or_default();
        match id {
            Id::New(kind) => {
                self.new.insert(kind);
                if let Some(file) = argument {
                    self.files[kind as usize] = Some(file.into());
                }
            }
            Id::MountProc => {
                self.new.insert(Kind::Mount);
                self.proc = Some(argument.unwrap_or_else(|| "/proc".into()).into());
            }
            Id::MountBinfmt => {
                self.binfmt = argument.map(PathBuf::from);
                self.need_binfmt();
            }
            Id::LoadInterpreter => {
                self.need_binfmt();
                self.interpreter = argument;
            }
            Id::Propagation => self.propagation = propagation(given)?,
            Id::Root => self.root = argument.map(PathBuf::from),
            Id::Directory => self.directory = argument.map(PathBuf::from),
            Id::SetUid => self.uid = Some(number::id_or(given, "failed to parse uid")?),
            Id::SetGid => self.gid = Some(number::id_or(given, "failed to parse gid")?),
            Id::Ids(id) => self.take_ids(id, given)?,
            Id::Fork => self.fork = true,
            Id::KillChild => {
                self.fork = true;
                self.kill_child = Some(match &argument {
                    None => libc::SIGKILL,
                    Some(signal) => signals::number(signal)
                        .ok_or_else(|| Error::invalid(format!("unknown signal: {}", signal.to_string_lossy())))?,
                });
            }
            Id::ForwardSignals => {
                self.fork = true;
                self.forward_signals = true;
            }
            Id::SetGroups => self.setgroups = Some(allowed(given)?),
            Id::KeepCapabilities => self.keep_capabilities = true,
            Id::Monotonic => self.monotonic = Some(number::signed_or(given, "failed to parse monotonic offset")?),
            Id::Boottime => self.boottime = Some(number::signed_or(given, "failed to parse boottime offset")?),
            Id::ClearEnvironment => self.clear_environment = true,
            Id::KeepEnvironment => self.keep_environment.get_or_insert_default().extend(names(given)),
            Id::Verbose => self.verbose = true,
            Id::Confine(id) => self.confinement.take(id, given)?,
            Id::Help | Id::Version => {}
        }
        Ok(())
    }

    /// All of them imply a new user namespace.
    fn take_ids(&mut self, id: IdsId, given: &OsStr) -> Result<()> {
        self.new.insert(Kind::User);
        match id {
            IdsId::User => {
                self.map_user =
                    Some(accounts::uid(given).map_err(|errno| {
                        Error::os(errno, format!("failed to parse uid '{}'", given.to_string_lossy()))
                    })?);
            }
            IdsId::Group => {
                self.map_group =
                    Some(accounts::gid(given).map_err(|errno| {
                        Error::os(errno, format!("failed to parse gid '{}'", given.to_string_lossy()))
                    })?);
            }
            IdsId::Root => self.map_both(0, 0),
            IdsId::Current => {
                self.map_both(rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
            }
            IdsId::Auto => {
                self.users.push(granted(Ids::USERS, false)?);
                self.groups.push(granted(Ids::GROUPS, false)?);
            }
            IdsId::Subids => {
                self.users.push(granted(Ids::USERS, true)?);
                self.groups.push(granted(Ids::GROUPS, true)?);
            }
            IdsId::Users => self.users.extend(ranges(given, Ids::USERS)?),
            IdsId::Groups => self.groups.extend(ranges(given, Ids::GROUPS)?),
            IdsId::Owner => {
                let owner = given
                    .to_str()
                    .and_then(|text| text.split_once(':'))
                    .and_then(|(uid, gid)| Some((number::id(uid.as_ref()).ok()?, number::id(gid.as_ref()).ok()?)));
                self.owner = Some(owner.ok_or_else(|| Error::invalid("failed to parse owner"))?);
            }
        }
        Ok(())
    }

    fn map_both(&mut self, uid: u32, gid: u32) {
        self.map_user = Some(uid);
        self.map_group = Some(gid);
    }

    fn need_binfmt(&mut self) {
        self.new.insert(Kind::Mount);
        self.new.insert(Kind::User);
        if self.binfmt.is_none() {
            self.proc.get_or_insert_with(|| "/proc".into());
            self.binfmt = Some(BINFMT.into());
        }
    }
}

fn propagation(name: &OsStr) -> Result<Option<nix::mount::MsFlags>> {
    use nix::mount::MsFlags;
    Ok(match name.as_bytes() {
        b"private" => Some(MsFlags::MS_REC | MsFlags::MS_PRIVATE),
        b"shared" => Some(MsFlags::MS_REC | MsFlags::MS_SHARED),
        b"slave" => Some(MsFlags::MS_REC | MsFlags::MS_SLAVE),
        b"unchanged" => None,
        _ => return Err(Error::invalid(format!("unsupported propagation mode: {}", name.to_string_lossy()))),
    })
}

/// What `--setgroups` says.
fn allowed(given: &OsStr) -> Result<bool> {
    match given.as_bytes() {
        b"allow" => Ok(true),
        b"deny" => Ok(false),
        _ => Err(Error::invalid(format!("unsupported --setgroups argument '{}'", given.to_string_lossy()))),
    }
}

/// The names of a list.
fn names(given: &OsStr) -> impl Iterator<Item = OsString> {
    let names = given.as_bytes().split(|byte| *byte == b',').filter(|name| !name.is_empty());
    names.map(|name| OsStr::from_bytes(name).to_owned())
}
