//! `nsenter`: run a program in namespaces of other processes; nsenter(1) of util-linux, option for option.

mod container;
mod manual;
mod run;
mod target;
mod tools;

use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::process::ExitCode;

use nskit::namespace::Kind;
use nskit::{Error, Result};
use rustix::process::Pid;

use super::Applet;
use super::confine::{self, Confinement};
use super::exec::Voice;
use super::getopt::{Argument, Opt, Words};
use super::hints::Failure;
use super::{exec, getopt, number};
use target::Namespaces;
use tools::Tools;

/// What an option asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Id {
    All,
    Target,
    Join(Kind),
    NetSocket,
    UserParent,
    SetUid,
    SetGid,
    PreserveCredentials,
    KeepCapabilities,
    Root,
    Directory,
    InnerDirectory,
    Environment,
    NoFork,
    JoinCgroup,
    FollowContext,
    PidForChildren,
    Tools,
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
    Opt::new(Id::All, "a", "all", No, "Enter all namespaces of the target"),
    Opt::new(Id::Help, "h", "help", No, "Print this help"),
    Opt::new(Id::Version, "V", "version", No, "Print the version"),
    Opt::new(
        Id::Target,
        "t:",
        "target",
        Required("PID[:INODE]|CONTAINER"),
        "The process whose namespaces are meant, or the container",
    ),
    Opt::new(Id::Join(Kind::Mount), "m::", "mount", Optional("FILE|:ID"), "Enter the mount namespace"),
    Opt::new(Id::Join(Kind::Uts), "u::", "uts", Optional("FILE|:ID"), "Enter the UTS namespace: host and domain name"),
    Opt::new(Id::Join(Kind::Ipc), "i::", "ipc", Optional("FILE|:ID"), "Enter the IPC namespace"),
    Opt::new(Id::Join(Kind::Net), "n::", "net", Optional("FILE|:ID"), "Enter the network namespace"),
    Opt::new(
        Id::NetSocket,
        "N:",
        "net-socket",
        Required("FD"),
        "Enter the network namespace of a socket of the target",
    ),
    Opt::new(Id::Join(Kind::Pid), "p::", "pid", Optional("FILE|:ID"), "Enter the pid namespace"),
    Opt::new(Id::Join(Kind::User), "U::", "user", Optional("FILE|:ID"), "Enter the user namespace"),
    Opt::new(Id::Join(Kind::Cgroup), "C::", "cgroup", Optional("FILE|:ID"), "Enter the cgroup namespace"),
    Opt::new(Id::Join(Kind::Time), "T::", "time", Optional("FILE|:ID"), "Enter the time namespace"),
    Opt::new(Id::SetUid, "S:", "setuid", Required("UID|follow"), "Run as this user id, or as the target's"),
    Opt::new(Id::SetGid, "G:", "setgid", Required("GID|follow"), "Run as this group id, or as the target's"),
    Opt::new(Id::Root, "r::", "root", Optional("DIR"), "Root directory: the target's, or DIR"),
    Opt::new(Id::Directory, "w::", "wd", Optional("DIR"), "Working directory: the target's, or DIR of the caller"),
    Opt::new(Id::InnerDirectory, "W:", "wdns", Required("DIR"), "Working directory inside the namespaces"),
    Opt::new(Id::Environment, "e", "env", No, "Take over the target's environment"),
    Opt::new(Id::NoFork, "F", "no-fork", No, "Do not fork before the program is started"),
    Opt::new(Id::JoinCgroup, "c", "join-cgroup", No, "Join the target's cgroup (version 2)"),
    Opt::new(Id::PreserveCredentials, "", "preserve-credentials", No, "Leave user, group and groups as they are"),
    Opt::new(Id::KeepCapabilities, "", "keep-caps", No, "Keep the capabilities of the user namespace"),
    Opt::new(Id::UserParent, "", "user-parent", No, "Enter the parent of the target's user namespace"),
    Opt::new(Id::FollowContext, "Z", "follow-context", No, "Take over the target's SELinux context"),
    Opt::own(Id::PidForChildren, "", "pid-for-children", No, "Enter the pid namespace that the target's children get"),
    Opt::own(
        Id::Tools,
        "",
        "tools",
        Optional("FILE"),
        "Run the program from nskit, or from the static program FILE, not from the container",
    ),
    Opt::own(Id::Verbose, "v", "verbose", No, "Say each step"),
    CONFINE[0],
    CONFINE[1],
    CONFINE[2],
    CONFINE[3],
];

/// `nsenter` in the table of applets.
pub(crate) const APPLET: Applet = Applet {
    name: "nsenter",
    aliases: &[],
    about: "Run a program in namespaces of other processes",
    command,
    run,
    recognises: Applet::by_name_alone,
};

/// The command line, for help, man page and completions.
fn command() -> clap::Command {
    getopt::command(
        "nsenter",
        APPLET.about,
        "nsenter [OPTIONS] [CONTAINER] [PROGRAM [ARGUMENT]...]",
        OPTIONS,
        "What to run, behind the CONTAINER where neither --target nor a file says what to enter; by default the shell of \
         $SHELL or of /etc/passwd, or /bin/sh",
    )
    .long_about(manual::DESCRIPTION)
    .after_long_help(manual::SECTIONS)
}

/// An id to change to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    Id(u32),
    /// The target's own.
    Follow,
}

/// A directory to change to.
#[derive(Debug, Default)]
enum Place {
    #[default]
    Unchanged,
    /// The target's own.
    Target,
    /// Opened before any namespace is entered.
    Open(OwnedFd),
}

/// What the command line asks for; files that it names are open.
#[derive(Debug, Default)]
struct Options {
    all: bool,
    target: Option<Pid>,
    /// The target is the first process of a container that was named.
    is_container: bool,
    /// The target, when its inode was given and is right.
    pidfd: Option<OwnedFd>,
    namespaces: Namespaces,
    net_socket: Option<i32>,
    user_parent: bool,
    uid: Option<Who>,
    gid: Option<Who>,
    preserve_credentials: bool,
    keep_capabilities: bool,
    root: Place,
    directory: Place,
    inner_directory: Option<OsString>,
    environment: bool,
    no_fork: bool,
    join_cgroup: bool,
    follow_context: bool,
    pid_for_children: bool,
    /// What is executed in place of a file of the container.
    tools: Option<Tools>,
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
    Value(Failure),
}

impl<F: Into<Failure>> From<F> for Refused {
    fn from(failure: F) -> Refused {
        Refused::Value(failure.into())
    }
}

/// Runs `nsenter`.
fn run(args: Vec<OsString>) -> ExitCode {
    let mut voice = Voice { name: exec::short_name(&args), verbose: false };
    match parse(&args) {
        Ok(Asked::Help) => exec::print(&voice.name, &command().render_help().to_string()),
        Ok(Asked::Version) => exec::print(&voice.name, &exec::version(&voice.name)),
        Ok(Asked::Run(options)) => {
            voice.verbose = options.verbose;
            voice.fail(&run::run(&voice, *options))
        }
        Err(Refused::Grammar(complaint)) => exec::refuse(&args, &complaint),
        Err(Refused::Value(failure)) => voice.fail(&failure),
    }
}

fn parse(args: &[OsString]) -> Result<Asked, Refused> {
    let mut options = Options::default();
    let mut words = Words::new(OPTIONS, args);
    // Which of --wd and --wdns came first.
    let mut place = None;
    while let Some((id, argument)) = words.option().map_err(Refused::Grammar)? {
        if matches!(id, Id::Directory | Id::InnerDirectory) {
            let long = |id| if id == Id::Directory { "wd" } else { "wdns" };
            let first = *place.get_or_insert(id);
            if first != id {
                let message = format!("options --{} and --{} cannot be combined", long(first), long(id));
                return Err(Error::invalid(message).into());
            }
        }
        match id {
            Id::Help => return Ok(Asked::Help),
            Id::Version => return Ok(Asked::Version),
            id => options.take(id, argument)?,
        }
    }
    options.program = words.rest().to_vec();
    Ok(Asked::Run(Box::new(options)))
}

impl Options {
    /// Whether it is said what to enter, by a target or a file.
    fn has_target(&self) -> bool {
        self.target.is_some() || self.namespaces.of_target() != self.namespaces.all()
    }

    fn take(&mut self, id: Id, argument: Option<OsString>) -> Result<(), Failure> {
        let given = argument.as_deref().unwrap_or_default();
        match id {
            Id::All => self.all = true,
            Id::Target => {
                if self.target.is_some() {
                    return Err(Error::invalid("option --target may be given only once").into());
                }
                let (pid, pidfd) = match target::parse(given) {
                    Ok(target) => target,
                    Err(error) => {
                        self.is_container = true;
                        (container::find_target(given, error)?, None)
                    }
                };
                self.target = Some(pid);
                self.pidfd = pidfd;
            }
            Id::Join(kind) => {
                self.namespaces.want(kind);
                if let Some(file) = argument {
                    self.namespaces.open(kind, &without_equals(file))?;
                }
            }
            Id::NetSocket => {
                let message = "failed to parse file descriptor";
                let fd = number::signed_or(given, message)?;
                let fd = i32::try_from(fd).ok().filter(|fd| *fd >= 0);
                self.net_socket = Some(fd.ok_or_else(|| number::refused(number::Bad::Range, given, message))?);
            }
            Id::UserParent => self.user_parent = true,
            Id::SetUid => self.uid = Some(who(given, "failed to parse uid")?),
            Id::SetGid => self.gid = Some(who(given, "failed to parse gid")?),
            Id::PreserveCredentials => self.preserve_credentials = true,
            Id::KeepCapabilities => self.keep_capabilities = true,
            Id::Root => self.root = place(argument)?,
            Id::Directory => self.directory = place(argument)?,
            Id::InnerDirectory => self.inner_directory = argument.map(without_equals),
            Id::Environment => self.environment = true,
            Id::NoFork => self.no_fork = true,
            Id::JoinCgroup => self.join_cgroup = true,
            Id::FollowContext => self.follow_context = true,
            Id::PidForChildren => self.pid_for_children = true,
            Id::Tools => self.tools = Some(Tools::sealed(argument)?),
            Id::Verbose => self.verbose = true,
            Id::Confine(id) => self.confinement.take(id, given)?,
            Id::Help | Id::Version => {}
        }
        Ok(())
    }
}

/// `-n=FILE` means what `-nFILE` and `--net=FILE` mean.
fn without_equals(value: OsString) -> OsString {
    match value.as_bytes().strip_prefix(b"=") {
        Some(rest) => OsString::from_vec(rest.to_vec()),
        None => value,
    }
}

fn place(argument: Option<OsString>) -> Result<Place> {
    match argument {
        Some(directory) => target::open(&without_equals(directory)).map(Place::Open),
        None => Ok(Place::Target),
    }
}

fn who(given: &OsStr, message: &str) -> Result<Who> {
    if given == "follow" { Ok(Who::Follow) } else { number::id_or(given, message).map(Who::Id) }
}

#[cfg(test)]
mod tests;
