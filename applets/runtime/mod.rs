//! The OCI runtime: global options, the table of verbs, and what a failure looks like.

mod advice;
mod arguments;
mod checkpoint;
mod create;
mod exec;
mod features;
mod lifecycle;
mod list;
pub(crate) mod protect;
mod spec;
mod update;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{ArgAction, ArgMatches, Args, Command, FromArgMatches};
use nskit::container::record::runtime::{CgroupDriver, Runtime};
use nskit::error::Errno;

use crate::logger::{self, Format};

/// The runtime in the table of applets.
pub(crate) const APPLET: crate::Applet = crate::Applet {
    name: "runtime",
    aliases: &["runc"],
    about: "OCI container runtime, used as runc is",
    command,
    run,
    recognises: is_command_line,
};

/// One command of the runtime.
struct Verb {
    name: &'static str,
    command: fn(Command) -> Command,
    run: fn(&Globals, &ArgMatches) -> anyhow::Result<u8>,
    /// It enters containers, or lets a child enter: this program's own file must be out of their reach.
    /// The assembly of nskit::sys::early has the same names; one that is missing there costs time, not protection.
    protected: bool,
    /// Status of its own failures.
    failure: u8,
}

const fn verb(
    name: &'static str,
    command: fn(Command) -> Command,
    run: fn(&Globals, &ArgMatches) -> anyhow::Result<u8>,
) -> Verb {
    Verb { name, command, run, protected: false, failure: 1 }
}

const VERBS: &[Verb] = &[
    verb("checkpoint", checkpoint::checkpoint_command, checkpoint::checkpoint),
    Verb { protected: true, ..verb("create", create::create_command, create::create) },
    verb("delete", lifecycle::delete_command, lifecycle::delete),
    verb("events", list::events_command, list::events),
    Verb { protected: true, failure: 255, ..verb("exec", exec::command, exec::run) },
    verb("features", features::command, features::run),
    verb("kill", lifecycle::kill_command, lifecycle::kill),
    verb("list", list::list_command, list::list),
    verb("pause", lifecycle::pause_command, lifecycle::pause),
    verb("ps", list::ps_command, list::ps),
    verb("restore", checkpoint::restore_command, checkpoint::restore),
    verb("resume", lifecycle::resume_command, lifecycle::resume),
    Verb { protected: true, ..verb("run", create::run_command, create::run) },
    verb("spec", spec::command, spec::run),
    verb("start", lifecycle::start_command, lifecycle::start),
    verb("state", list::state_command, list::state),
    verb("update", update::command, update::run),
];

/// Options before the verb.
#[derive(Args, Debug, Clone)]
struct Globals {
    /// Log more than warnings and errors
    #[arg(long)]
    debug: bool,
    /// Append the log to this file instead of standard error
    #[arg(long, value_name = "FILE")]
    log: Option<String>,
    /// Form of the log
    #[arg(long, value_name = "FORMAT", default_value = "text", value_parser = ["text", "json"])]
    log_format: String,
    /// Least severe level to log: error, warning, info or debug
    #[arg(long, value_name = "LEVEL", hide = true)]
    log_level: Option<String>,
    /// Where the state of containers is kept [default: /run/nskit, or $XDG_RUNTIME_DIR/nskit without privilege]
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    /// Have systemd make the cgroups; cgroupsPath is SLICE:PREFIX:NAME then
    #[arg(long)]
    systemd_cgroup: bool,
    /// Who makes the cgroups
    #[arg(long, value_name = "DRIVER", value_parser = ["cgroupfs", "systemd", "disabled"])]
    cgroup_manager: Option<String>,
    /// Do without cgroups that may not be made: true, false or auto
    #[arg(long, value_name = "BOOL", default_value = "auto", value_parser = ["true", "false", "auto"])]
    rootless: String,
}

impl Globals {
    /// What the library needs to know of them.
    fn runtime(&self) -> anyhow::Result<Runtime> {
        let cgroups = match self.cgroup_manager.as_deref() {
            Some("systemd") => CgroupDriver::Systemd,
            Some("disabled") => CgroupDriver::Disabled,
            None if self.systemd_cgroup => CgroupDriver::Systemd,
            _ => CgroupDriver::Cgroupfs,
        };
        let root = match &self.root {
            Some(root) => Some(std::path::absolute(root).with_context(|| format!("--root {}", root.display()))?),
            None => None,
        };
        Ok(Runtime::new(root, cgroups, self.rootless.parse().ok())?)
    }
}

/// Its command line, all verbs included.
fn command() -> Command {
    VERBS.iter().fold(globals(), |command, verb| command.subcommand((verb.command)(Command::new(verb.name))))
}

fn globals() -> Command {
    // The text of the options' type would be taken for the runtime's.
    Globals::augment_args(Command::new("runtime"))
        .bin_name("nskit runtime")
        .about("OCI container runtime, used as runc is")
        .version(env!("CARGO_PKG_VERSION"))
        .disable_version_flag(true)
        .arg(clap::arg!(-v --version "Print versions").action(ArgAction::SetTrue))
        .subcommand_value_name("COMMAND")
        .disable_help_subcommand(true)
}

/// Whether `args` read as a runtime's: the first word that is neither an option nor the value of one is a verb, or there is none
/// and an option is the runtime's alone.
fn is_command_line(args: &[OsString]) -> bool {
    let globals = globals();
    let args = args.iter().map(|arg| arg.to_string_lossy().into_owned()).collect();
    let (before, after) = arguments::split(&globals, args);
    match after.first() {
        Some(word) => VERBS.iter().any(|verb| verb.name == word),
        None => before.iter().skip(1).any(|arg| {
            let name = arg.trim_start_matches('-').split('=').next().unwrap_or_default();
            let is_own = |option: &clap::Arg| option.get_long() == Some(name) && !["help", "version"].contains(&name);
            globals.get_arguments().any(is_own)
        }),
    }
}

/// What the stack of the runtime must be allowed to grow to: with less, it would end without a word.
const LEAST_STACK: u64 = 128 << 10;

fn must_have_stack() -> anyhow::Result<()> {
    match rustix::process::getrlimit(rustix::process::Resource::Stack).current {
        Some(stack) if stack < LEAST_STACK => {
            let (stack, least) = (stack >> 10, LEAST_STACK >> 10);
            anyhow::bail!("RLIMIT_STACK allows {stack} KiB, and {least} are needed: see ulimit -s")
        }
        _ => Ok(()),
    }
}

/// Runs it.
fn run(args: Vec<OsString>) -> ExitCode {
    let args = match must_have_stack().and_then(|()| arguments::text(args)) {
        Ok(args) => args,
        Err(error) => return fail(&error, 1),
    };
    // Only the verb that is asked for is built: a command line is parsed twice for every container.
    let line = globals();
    let (before, after) = arguments::split(&line, args);
    let wants_help = |args: &[String]| args.iter().any(|arg| matches!(arg.as_str(), "-h" | "--help" | "-help"));
    let name = match after.first() {
        None if before.iter().any(|arg| matches!(arg.as_str(), "-v" | "--version")) => return version(),
        None => {
            let help = command().render_help();
            return if wants_help(&before) || before.len() == 1 {
                crate::print(&help.to_string())
            } else {
                usage("", "no command is given")
            };
        }
        Some(_) if wants_help(&before) => return crate::print(&command().render_help().to_string()),
        Some(name) if name == "help" => return help_for(after.get(1)),
        Some(name) => name.clone(),
    };
    let Some(verb) = VERBS.iter().find(|verb| verb.name == name) else {
        return usage("", &format!("there is no command '{name}': {}", advice::instead_of(&name)));
    };
    // First of all, since everything before it is done twice.
    let protected = if verb.protected { protect::own_image(&APPLET) } else { Ok(()) };
    nskit::sys::start::prepare();
    // For a caller who ignores it, as some daemons do, the kernel would reap what is waited for here.
    nskit::sys::signal::set_default(nix::sys::signal::Signal::SIGCHLD as i32);
    let globals = match globals_of(line, before) {
        Ok(globals) => globals,
        Err(error) => return usage("", &arguments::explain(&error)),
    };
    if let Err(error) = start_log(&globals) {
        return fail(&error, verb.failure);
    }
    // As with runc, whose callers rely on it: of an option that is given twice, the last holds.
    let command = (verb.command)(Command::new(verb.name))
        .bin_name(format!("nskit runtime {}", verb.name))
        .args_override_self(true);
    let after = arguments::normalise(&command, after);
    let matches = match command.try_get_matches_from(after) {
        Ok(matches) => matches,
        Err(error) if !error.use_stderr() => return crate::print(&error.render().to_string()),
        Err(error) => {
            return fail(&anyhow::anyhow!(arguments::explain(&error)), verb.failure);
        }
    };
    match protected.and_then(|()| (verb.run)(&globals, &matches)) {
        Ok(status) => ExitCode::from(status),
        Err(error) => fail(&error, verb.failure),
    }
}

/// The global options on the command line `before`; of one that is given twice, the last holds.
fn globals_of(line: Command, before: Vec<String>) -> Result<Globals, clap::Error> {
    Globals::from_arg_matches(&line.args_override_self(true).try_get_matches_from(before)?)
}

fn start_log(globals: &Globals) -> anyhow::Result<()> {
    let format = if globals.log_format == "json" { Format::Json } else { Format::Text };
    logger::start(globals.log.as_deref(), format, globals.debug, globals.log_level.as_deref())
}

fn help_for(verb: Option<&String>) -> ExitCode {
    match verb.and_then(|name| VERBS.iter().find(|verb| verb.name == *name)) {
        Some(verb) => crate::print(&(verb.command)(Command::new(verb.name)).render_long_help().to_string()),
        None => crate::print(&command().render_help().to_string()),
    }
}

fn version() -> ExitCode {
    crate::print(&format!(
        "nskit-runtime version {}\ncommit: {}\nspec: {}\n",
        env!("CARGO_PKG_VERSION"),
        // The Makefile's doing.
        option_env!("NSKIT_COMMIT").filter(|commit| !commit.is_empty()).unwrap_or("unknown"),
        nskit::container::spec::properties::SPEC_VERSION
    ))
}

fn usage(verb: &str, message: &str) -> ExitCode {
    let space = if verb.is_empty() { "" } else { " " };
    eprintln!("nskit runtime{space}{verb}: {}", logger::in_one_line(message));
    ExitCode::FAILURE
}

/// What one cause has to say, an errno as Go programs print it.
fn text(cause: &(dyn std::error::Error + 'static)) -> String {
    match cause.downcast_ref::<nskit::Error>() {
        Some(error) => error.as_go_prints_it(),
        None => errno(cause).map_or_else(|| cause.to_string(), nskit::error::go_text),
    }
}

/// The errno of one cause.
fn errno(cause: &(dyn std::error::Error + 'static)) -> Option<Errno> {
    if let Some(error) = cause.downcast_ref::<nskit::Error>() {
        return error.errno();
    }
    let io = cause.downcast_ref::<std::io::Error>().and_then(std::io::Error::raw_os_error);
    io.or_else(|| cause.downcast_ref::<nix::Error>().map(|errno| *errno as i32)).map(Errno::from_raw_os_error)
}

/// One line on standard error, one in the log.
fn fail(error: &anyhow::Error, status: u8) -> ExitCode {
    let mut message = error.chain().map(text).collect::<Vec<_>>().join(": ");
    // A filter's refusal reads as the kernel's own.
    if let Some(why) = error.chain().filter_map(errno).find_map(crate::hints::filtered) {
        message += &format!(" ({why})");
    }
    if let Some(advice) = advice::about(&message) {
        message = format!("{message}; {advice}");
    }
    log::error!("{message}");
    if logger::writes_to_file() {
        // As the log has it where that is standard error.
        eprintln!("nskit: {}", logger::in_one_line(&message));
    }
    ExitCode::from(status)
}
