//! How unshare and nsenter end: as another program, or with one line that says why not.

use std::ffi::{CStr, CString, OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;
use std::process::ExitCode;

use nskit::Error;
use nskit::error::{Errno, Kind};

use super::accounts;

/// The environment of the program that is started.
#[derive(Clone, Debug, Default)]
pub(crate) enum Environment {
    /// This process's own, as it is.
    #[default]
    Inherited,
    /// These `NAME=value`, and no other.
    Only(Vec<CString>),
}

impl Environment {
    fn value(&self, name: &str) -> Option<OsString> {
        match self {
            Environment::Inherited => std::env::var_os(name),
            Environment::Only(entries) => entries
                .iter()
                .find_map(|entry| entry.to_bytes().strip_prefix(name.as_bytes())?.strip_prefix(b"="))
                .map(|value| OsStr::from_bytes(value).to_owned()),
        }
    }
}

/// Becomes `program`, or the user's shell when it is empty; returns only when that fails.
pub(crate) fn become_program(program: &[OsString], environment: &Environment) -> Error {
    let Some(name) = program.first() else { return become_shell(environment) };
    let args = program.iter().map(|arg| CString::new(arg.as_bytes()).unwrap_or_default()).collect::<Vec<_>>();
    failed(name, search_and_execute(&args[0], &args, environment))
}

/// The shell is told that it is a login shell by the `-` in front of its name.
fn become_shell(environment: &Environment) -> Error {
    let shell = environment
        .value("SHELL")
        .filter(|shell| !shell.is_empty())
        .or_else(|| accounts::user(rustix::process::getuid().as_raw())?.shell)
        .unwrap_or_else(|| "/bin/sh".into());
    let mut name = OsString::from("-");
    name.push(Path::new(&shell).file_name().unwrap_or(&shell));
    let file = CString::new(shell.as_bytes()).unwrap_or_default();
    failed(&shell, execute(&file, &[CString::new(name.into_vec()).unwrap_or_default()], environment))
}

fn failed(program: &OsStr, errno: Errno) -> Error {
    Error::os(errno, format!("failed to execute {}", program.to_string_lossy())).with_kind(Kind::Program)
}

/// As execvp(3): a name without a slash is looked up in `PATH`, and a file of no known format is a shell's script.
fn search_and_execute(name: &CStr, args: &[CString], environment: &Environment) -> Errno {
    if name.is_empty() {
        return Errno::NOENT;
    }
    if name.to_bytes().contains(&b'/') {
        return execute_or_interpret(name, args, environment);
    }
    let path = environment.value("PATH").unwrap_or_else(|| "/bin:/usr/bin".into());
    let mut failure = Errno::NOENT;
    for folder in path.as_bytes().split(|byte| *byte == b':') {
        let slash: &[u8] = if folder.is_empty() { b"" } else { b"/" };
        let Ok(file) = CString::new([folder, slash, name.to_bytes()].concat()) else { continue };
        match execute_or_interpret(&file, args, environment) {
            // Another folder may have one that can be executed; if none has, this is why.
            Errno::ACCESS => failure = Errno::ACCESS,
            Errno::NOENT | Errno::NOTDIR | Errno::STALE | Errno::NODEV | Errno::TIMEDOUT => {}
            errno => return errno,
        }
    }
    failure
}

fn execute_or_interpret(file: &CStr, args: &[CString], environment: &Environment) -> Errno {
    let errno = execute(file, args, environment);
    if errno != Errno::NOEXEC {
        return errno;
    }
    let script = [c"/bin/sh".to_owned(), file.to_owned()];
    execute(c"/bin/sh", &[&script, &args[1..]].concat(), environment)
}

fn execute(file: &CStr, args: &[CString], environment: &Environment) -> Errno {
    let Err(errno) = match environment {
        Environment::Inherited => nix::unistd::execv(file, args),
        Environment::Only(entries) => nix::unistd::execve(file, args, entries),
    };
    Errno::from_raw_os_error(errno as i32)
}

/// Ends the applet `name` with what went wrong: its line on standard error, and 126 or 127 for a program that could not
/// be executed.
pub(crate) fn fail(name: &str, error: &Error) -> ExitCode {
    complain(name, error);
    ExitCode::from(status(error))
}

/// Says what went wrong, in one write: lines of several processes do not mix.
pub(crate) fn complain(name: &str, error: &Error) {
    let _ = rustix::io::write(rustix::stdio::stderr(), format!("{name}: {error}\n").as_bytes());
}

/// What `--version` prints. Scripts that look for util-linux's version find the one whose options these are.
pub(crate) fn version(name: &str) -> String {
    format!("{name} from nskit {} (in place of util-linux 2.43)\n", env!("CARGO_PKG_VERSION"))
}

/// The exit status that a failure means.
pub(crate) fn status(error: &Error) -> u8 {
    match (error.kind(), error.errno()) {
        (Kind::Program, Some(Errno::NOENT)) => 127,
        (Kind::Program, _) => 126,
        _ => 1,
    }
}

/// What a program calls itself in messages: the last component of how it was called.
pub(crate) fn short_name(args: &[OsString]) -> String {
    let called = args.first().map_or(OsStr::new(""), OsString::as_os_str);
    Path::new(called).file_name().unwrap_or(called).to_string_lossy().into_owned()
}

/// Ends with getopt's complaint and util-linux's advice.
pub(crate) fn refuse(args: &[OsString], complaint: &str) -> ExitCode {
    let called = args.first().map_or(OsStr::new(""), OsString::as_os_str).to_string_lossy();
    eprintln!("{called}: {complaint}\nTry '{} --help' for more information.", short_name(args));
    ExitCode::FAILURE
}

/// Prints `text` on standard output; a file that cannot take it is a failure, a reader that went away is none.
pub(crate) fn print(name: &str, text: &str) -> ExitCode {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => fail(name, &Error::io(&error, "write error")),
        _ => ExitCode::SUCCESS,
    }
}
