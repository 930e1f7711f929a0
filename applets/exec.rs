//! How unshare and nsenter end: as another program, or with one line that says why not.

use std::ffi::{CStr, CString, OsStr, OsString};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;
use std::process::ExitCode;

use nskit::Error;
use nskit::error::{Errno, Kind};

use super::accounts;
use super::hints::{self, Failure};

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
pub(crate) fn become_program(program: &[OsString], environment: &Environment) -> Failure {
    let Some(name) = program.first() else { return become_shell(&shell(environment), environment).into() };
    let args = program.iter().map(|arg| CString::new(arg.as_bytes()).unwrap_or_default()).collect::<Vec<_>>();
    let errno = search_and_execute(&args[0], &args, environment);
    let hint = hints::program(errno, name, Some(search_path(environment)));
    Failure { error: failed(name, errno), hint: hint.map(Into::into) }
}

/// Where a program is looked for.
fn search_path(environment: &Environment) -> OsString {
    environment.value("PATH").unwrap_or_else(|| "/bin:/usr/bin".into())
}

/// How a step tells of the program.
pub(crate) fn shown(program: &[OsString]) -> String {
    match program {
        [] => "execute the shell".to_owned(),
        words => format!("execute {}", words.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")),
    }
}

/// Executes the program in `file`, with `args` as its arguments: a descriptor, for the path would mean another file after
/// the mount namespace or the root has changed. Returns only when that fails.
pub(crate) fn execute_descriptor(file: BorrowedFd<'_>, args: &[OsString], environment: &Environment) -> Errno {
    let args: Vec<CString> = args.iter().map(|arg| CString::new(arg.as_bytes()).unwrap_or_default()).collect();
    let inherited: Vec<CString>;
    let entries = match environment {
        Environment::Only(entries) => entries,
        Environment::Inherited => {
            let entry = |(name, value): (OsString, OsString)| [name.as_bytes(), b"=", value.as_bytes()].concat();
            inherited = std::env::vars_os().filter_map(|pair| CString::new(entry(pair)).ok()).collect();
            &inherited
        }
    };
    become_descriptor(file, &args, entries)
}

/// execveat(2) of a descriptor, or execve(2) of its link below /proc where a seccomp filter refuses that. Returns only when it
/// fails.
pub(crate) fn become_descriptor(file: BorrowedFd<'_>, args: &[CString], env: &[CString]) -> Errno {
    let Err(errno) = nix::unistd::execveat(file, c"", args, env, nix::fcntl::AtFlags::AT_EMPTY_PATH);
    let errno = Errno::from_raw_os_error(errno as i32);
    if !matches!(errno, Errno::PERM | Errno::NOSYS) {
        return errno;
    }
    let link = CString::new(format!("/proc/self/fd/{}", file.as_raw_fd())).unwrap_or_default();
    match nix::unistd::execve(&link, args, env) {
        // /proc may be another's, or none.
        Err(nix::Error::ENOENT) => errno,
        Err(errno) => Errno::from_raw_os_error(errno as i32),
    }
}

/// The program by default: that of `SHELL`, that of the user, or /bin/sh.
pub(crate) fn shell(environment: &Environment) -> OsString {
    environment
        .value("SHELL")
        .filter(|shell| !shell.is_empty())
        .or_else(|| accounts::user(rustix::process::getuid().as_raw())?.shell)
        .unwrap_or_else(|| STANDARD_SHELL.into())
}

/// The one shell that is everywhere.
pub(crate) const STANDARD_SHELL: &str = "/bin/sh";

/// Becomes `shell`, which is told that it is a login shell by the `-` in front of its name; returns only when that fails.
pub(crate) fn become_shell(shell: &OsStr, environment: &Environment) -> Error {
    let mut name = OsString::from("-");
    name.push(Path::new(shell).file_name().unwrap_or(shell));
    let file = CString::new(shell.as_bytes()).unwrap_or_default();
    failed(shell, execute(&file, &[CString::new(name.into_vec()).unwrap_or_default()], environment))
}

/// That `program` could not be executed.
pub(crate) fn failed(program: &OsStr, errno: Errno) -> Error {
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
    let path = search_path(environment);
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

/// What an applet says on standard error.
#[derive(Clone, Debug)]
pub(crate) struct Voice {
    /// What it calls itself.
    pub(crate) name: String,
    /// Whether it tells its steps.
    pub(crate) verbose: bool,
}

impl Voice {
    /// Tells a step, if asked to.
    pub(crate) fn step<S: std::fmt::Display>(&self, what: impl FnOnce() -> S) {
        if self.verbose {
            self.say(&format!("{}: {}\n", self.name, what()));
        }
    }

    /// Says what went wrong, and on a line of its own what is known of the cause.
    pub(crate) fn complain(&self, failure: &Failure) {
        self.say(&format!("{}: {}\n", self.name, failure.error));
        if let Some(hint) = &failure.hint {
            self.hint(hint);
        }
    }

    /// Names the cause of what has been complained about.
    pub(crate) fn hint(&self, cause: &str) {
        if std::env::var_os("NSKIT_HINTS").is_none_or(|on| on != "0") {
            self.say(&format!("{}: hint: {cause}\n", self.name));
        }
    }

    /// Ends with what went wrong: 126 and 127 are of a program that could not be executed.
    pub(crate) fn fail(&self, failure: &Failure) -> ExitCode {
        self.complain(failure);
        ExitCode::from(status(&failure.error))
    }

    /// In one write: lines of several processes do not mix.
    fn say(&self, text: &str) {
        let _ = rustix::io::write(rustix::stdio::stderr(), text.as_bytes());
    }
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
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Voice { name: name.to_owned(), verbose: false }.fail(&Error::io(&error, "write error").into())
        }
        _ => ExitCode::SUCCESS,
    }
}
