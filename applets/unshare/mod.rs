//! `unshare`: run a program in new namespaces; unshare(1) of util-linux, option for option.

mod keep;
mod manual;
mod outside;
mod run;

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::process::ExitCode;

use nskit::namespace::idmap::Range;
use nskit::namespace::subid::{self, Wanted};
use nskit::namespace::{Kind, Kinds};
use nskit::{Error, Result};

use super::Applet;
use super::confine::{self, Confinement};
use super::exec::Voice;
use super::getopt::{Argument, Opt, Words};
use super::{accounts, exec, getopt, number, signals};

/// What an option asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Id {
    New(Kind),
    MountProc,
    MountBinfmt,
    LoadInterpreter,
    Propagation,
    Root,
    Directory,
    SetUid,
    SetGid,
    MapUser,
    MapGroup,
    MapRoot,
    MapCurrent,
    MapAuto,
    MapSubids,
    MapUsers,
    MapGroups,
    Owner,
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

use Argument::{No, Optional, Required};

const CONFINE: [Opt<Id>; 4] = confine::options(
    Id::Confine(confine::Id::DropCapabilities),
    Id::Confine(confine::Id::NoNewPrivileges),
    Id::Confine(confine::Id::Limit),
    Id::Confine(confine::Id::Seccomp),
);

/// In the order in which getopt names them when a prefix is ambiguous.
const OPTIONS: &[Opt<Id>] = &[
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
    Opt::new(Id::MapUser, "", "map-user", Required("UID|NAME"), "What the effective user id is inside; implies --user"),
    Opt::new(
        Id::MapUsers,
        "",
        "map-users",
        Required("IN:OUT:COUNT"),
        "Map COUNT user ids, or auto, subids, all; implies --user",
    ),
    Opt::new(
        Id::MapGroup,
        "",
        "map-group",
        Required("GID|NAME"),
        "What the effective group id is inside; implies --user",
    ),
    Opt::new(
        Id::MapGroups,
        "",
        "map-groups",
        Required("IN:OUT:COUNT"),
        "Map COUNT group ids, or auto, subids, all; implies --user",
    ),
    Opt::new(Id::MapRoot, "r", "map-root-user", No, "Be root inside; implies --user"),
    Opt::new(Id::MapCurrent, "c", "map-current-user", No, "Be the same user and group inside; implies --user"),
    Opt::new(
        Id::MapAuto,
        "",
        "map-auto",
        No,
        "Map the first range of /etc/subuid and /etc/subgid from 0 on; implies --user",
    ),
    Opt::new(
        Id::MapSubids,
        "",
        "map-subids",
        No,
        "Map the first range of /etc/subuid and /etc/subgid to itself; implies --user",
    ),
    Opt::new(Id::Owner, "", "owner", Required("UID:GID"), "Who owns the user namespace; implies --user"),
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

/// `unshare` in the table of applets.
pub(crate) const APPLET: Applet =
    Applet { name: "unshare", aliases: &[], about: "Run a program in new namespaces", command, run };
const BINFMT: &str = "/proc/sys/fs/binfmt_misc";

/// The command line, for help, man page and completions.
fn command() -> clap::Command {
    getopt::command(
        "unshare",
        APPLET.about,
        "unshare [OPTIONS] [PROGRAM [ARGUMENT]...]",
        OPTIONS,
        "What to run; by default the shell of $SHELL or of /etc/passwd, or /bin/sh",
    )
    .long_about(manual::DESCRIPTION)
    .after_long_help(manual::SECTIONS)
}

/// What the command line asks for, checked.
#[derive(Debug, Default)]
struct Options {
    new: Kinds,
    /// Files to bind the namespaces to, by [`Kind`].
    files: [Option<PathBuf>; 8],
    fork: bool,
    kill_child: Option<i32>,
    forward_signals: bool,
    proc: Option<PathBuf>,
    binfmt: Option<PathBuf>,
    interpreter: Option<OsString>,
    /// `MS_*` flags; none leaves propagation as it is.
    propagation: Option<nix::mount::MsFlags>,
    root: Option<PathBuf>,
    directory: Option<PathBuf>,
    uid: Option<u32>,
    gid: Option<u32>,
    map_user: Option<u32>,
    map_group: Option<u32>,
    users: Vec<Wanted>,
    groups: Vec<Wanted>,
    owner: Option<(u32, u32)>,
    setgroups: Option<bool>,
    keep_capabilities: bool,
    monotonic: Option<i64>,
    boottime: Option<i64>,
    clear_environment: bool,
    /// Names to keep; `None` keeps all.
    keep_environment: Option<Vec<OsString>>,
    confinement: Confinement,
    verbose: bool,
    program: Vec<OsString>,
}

enum Asked {
    Help,
    Version,
    Run(Box<Options>),
}

enum Refused {
    /// By getopt's grammar.
    Grammar(String),
    /// A value.
    Value(Error),
}

impl From<Error> for Refused {
    fn from(error: Error) -> Refused {
        Refused::Value(error)
    }
}

/// Runs `unshare`.
fn run(args: Vec<OsString>) -> ExitCode {
    let mut voice = Voice { name: exec::short_name(&args), verbose: false };
    match parse(&args) {
        Ok(Asked::Help) => exec::print(&voice.name, &command().render_help().to_string()),
        Ok(Asked::Version) => exec::print(&voice.name, &exec::version(&voice.name)),
        Ok(Asked::Run(options)) => {
            voice.verbose = options.verbose;
            match run::run(&voice, &options) {
                Ok(status) => ExitCode::from(status),
                Err(failure) => voice.fail(&failure),
            }
        }
        Err(Refused::Grammar(complaint)) => exec::refuse(&args, &complaint),
        Err(Refused::Value(error)) => voice.fail(&error.into()),
    }
}

fn parse(args: &[OsString]) -> Result<Asked, Refused> {
    let mut options = Options {
        propagation: Some(nix::mount::MsFlags::MS_REC | nix::mount::MsFlags::MS_PRIVATE),
        ..Options::default()
    };
    let mut words = Words::new(OPTIONS, args);
    while let Some((id, argument)) = words.option().map_err(Refused::Grammar)? {
        match id {
            Id::Help => return Ok(Asked::Help),
            Id::Version => return Ok(Asked::Version),
            id => options.take(id, argument)?,
        }
    }
    if (options.monotonic.is_some() || options.boottime.is_some()) && !options.new.contains(Kind::Time) {
        return Err(Refused::Value(Error::invalid(
            "options --monotonic and --boottime require unsharing of a time namespace (-T)",
        )));
    }
    options.program = words.rest().to_vec();
    Ok(Asked::Run(Box::new(options)))
}

impl Options {
    fn take(&mut self, id: Id, argument: Option<OsString>) -> Result<()> {
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
            Id::MapUser => {
                self.new.insert(Kind::User);
                self.map_user =
                    Some(accounts::uid(given).map_err(|errno| {
                        Error::os(errno, format!("failed to parse uid '{}'", given.to_string_lossy()))
                    })?);
            }
            Id::MapGroup => {
                self.new.insert(Kind::User);
                self.map_group =
                    Some(accounts::gid(given).map_err(|errno| {
                        Error::os(errno, format!("failed to parse gid '{}'", given.to_string_lossy()))
                    })?);
            }
            Id::MapRoot => self.map_both(0, 0),
            Id::MapCurrent => {
                self.map_both(rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
            }
            Id::MapAuto => {
                self.users.push(granted(Ids::USERS, false)?);
                self.groups.push(granted(Ids::GROUPS, false)?);
                self.new.insert(Kind::User);
            }
            Id::MapSubids => {
                self.users.push(granted(Ids::USERS, true)?);
                self.groups.push(granted(Ids::GROUPS, true)?);
                self.new.insert(Kind::User);
            }
            Id::MapUsers => {
                self.new.insert(Kind::User);
                self.users.extend(ranges(given, Ids::USERS)?);
            }
            Id::MapGroups => {
                self.new.insert(Kind::User);
                self.groups.extend(ranges(given, Ids::GROUPS)?);
            }
            Id::Owner => {
                self.new.insert(Kind::User);
                let owner = given
                    .to_str()
                    .and_then(|text| text.split_once(':'))
                    .and_then(|(uid, gid)| Some((number::id(uid.as_ref()).ok()?, number::id(gid.as_ref()).ok()?)));
                self.owner = Some(owner.ok_or_else(|| Error::invalid("failed to parse owner"))?);
            }
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
            Id::SetGroups => {
                self.setgroups = Some(match given.as_bytes() {
                    b"allow" => true,
                    b"deny" => false,
                    _ => {
                        let given = given.to_string_lossy();
                        return Err(Error::invalid(format!("unsupported --setgroups argument '{given}'")));
                    }
                });
            }
            Id::KeepCapabilities => self.keep_capabilities = true,
            Id::Monotonic => self.monotonic = Some(number::signed_or(given, "failed to parse monotonic offset")?),
            Id::Boottime => self.boottime = Some(number::signed_or(given, "failed to parse boottime offset")?),
            Id::ClearEnvironment => self.clear_environment = true,
            Id::KeepEnvironment => {
                let names = given.as_bytes().split(|byte| *byte == b',').filter(|name| !name.is_empty());
                self.keep_environment
                    .get_or_insert_default()
                    .extend(names.map(|name| OsStr::from_bytes(name).to_owned()));
            }
            Id::Verbose => self.verbose = true,
            Id::Confine(id) => self.confinement.take(id, given)?,
            Id::Help | Id::Version => {}
        }
        Ok(())
    }

    fn map_both(&mut self, uid: u32, gid: u32) {
        self.new.insert(Kind::User);
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

/// Where ranges of one sort of ids come from.
struct Ids {
    granted: &'static str,
    kernel: &'static str,
}

impl Ids {
    const USERS: Ids = Ids { granted: "/etc/subuid", kernel: "/proc/self/uid_map" };
    const GROUPS: Ids = Ids { granted: "/etc/subgid", kernel: "/proc/self/gid_map" };
}

/// The ranges that an argument of `--map-users` or `--map-groups` means.
fn ranges(text: &OsStr, ids: Ids) -> Result<Vec<Wanted>> {
    match text.as_bytes() {
        b"auto" => Ok(vec![granted(ids, false)?]),
        b"subids" => Ok(vec![granted(ids, true)?]),
        b"all" => kernel_ranges(ids.kernel),
        _ => range(text)
            .map(|range| vec![Wanted::Fixed(range)])
            .ok_or_else(|| Error::invalid(format!("invalid mapping '{}'", text.to_string_lossy()))),
    }
}

/// `INSIDE:OUTSIDE:COUNT`, or the old `OUTSIDE,INSIDE,COUNT`.
fn range(text: &OsStr) -> Option<Range> {
    let three = |separator: char| -> Option<[u32; 3]> {
        let mut fields = text.to_str()?.split(separator).map(|field| number::id(field.as_ref()).ok());
        let three = [fields.next()??, fields.next()??, fields.next()??];
        fields.next().is_none().then_some(three)
    };
    if let Some([inside, outside, count]) = three(':') {
        return Some(Range { inside, outside, count });
    }
    three(',').map(|[outside, inside, count]| Range { inside, outside, count })
}

/// The range that the caller is granted: from 0 on, or mapped to itself.
fn granted(ids: Ids, identity: bool) -> Result<Wanted> {
    let uid = rustix::process::geteuid().as_raw();
    let user = accounts::user(uid).ok_or_else(|| Error::invalid(format!("you (user {uid}) don't exist.")))?;
    let name = user.name.to_string_lossy();
    let file = ids.granted;
    let text = std::fs::read(file).map_err(|error| Error::io(&error, format!("could not open '{file}'")))?;
    match subid::granted(&String::from_utf8_lossy(&text), &name, uid) {
        Some(Ok((outside, count))) if identity => Ok(Wanted::Fixed(Range { inside: outside, outside, count })),
        Some(Ok((outside, count))) => Ok(Wanted::FromZero { outside, count }),
        Some(Err(field)) => Err(Error::invalid(format!("failed to parse subid map: '{field}'"))),
        None => Err(Error::invalid(format!("no line matching user \"{name}\" in {file}"))),
    }
}

/// Every id of the caller's own user namespace, mapped to itself.
fn kernel_ranges(file: &str) -> Result<Vec<Wanted>> {
    let text = std::fs::read_to_string(file).map_err(|error| Error::io(&error, format!("could not open '{file}'")))?;
    Ok(text
        .lines()
        .filter_map(|line| {
            let fields: Vec<u32> = line.split_whitespace().filter_map(|field| field.parse().ok()).collect();
            let &[id, _, count] = fields.as_slice() else { return None };
            Some(Wanted::Fixed(Range { inside: id, outside: id, count }))
        })
        .collect())
}

#[cfg(test)]
mod tests;
