//! The table of applets, and the choice among them by `argv[0]` or the first argument.

#![cfg_attr(not(test), no_main)]

mod accounts;
mod confine;
mod credentials;
mod dispatch;
mod exec;
mod generate;
mod getopt;
mod hints;
mod install;
mod logger;
mod ns_inspect;
mod nsenter;
mod number;
mod runtime;
mod shim;
mod signals;
mod unshare;

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::process::ExitCode;

use dispatch::{Choice, choose, find, program_name};

/// One program of the binary.
struct Applet {
    /// What it is called by.
    name: &'static str,
    /// Other names by which it can be called, and links to it installed.
    aliases: &'static [&'static str],
    /// One line.
    about: &'static str,
    /// Its command line, for help, man pages and completions.
    command: fn() -> clap::Command,
    /// Runs it. The first argument is the name it was called by, as the caller wrote it.
    run: fn(Vec<OsString>) -> ExitCode,
    /// Whether a command line is its own, whatever the program is called.
    recognises: fn(&[OsString]) -> bool,
}

impl Applet {
    /// For applets that are known by their names alone.
    fn by_name_alone(_: &[OsString]) -> bool {
        false
    }

    /// What a link to it is called: for some, the name alone says too little, or others look for another one.
    fn link(&self) -> &'static str {
        match self.name {
            "runtime" => "nskit-runtime",
            "shim" => "containerd-shim-nskit-v2",
            name => name,
        }
    }
}

/// Every applet.
const APPLETS: &[Applet] =
    &[unshare::APPLET, nsenter::APPLET, ns_inspect::APPLET, ns_inspect::LSNS, runtime::APPLET, shim::APPLET];

/// Applets that become another program before long, which is to find signals and streams as they were: they do without
/// [`nskit::sys::start::prepare`], or call it when it is time.
const LEAN: &[&str] = &["unshare", "nsenter", "runtime", "shim"];

/// How far the stack of applets that are not lean must be allowed to grow: with less they would end by SIGSEGV.
const LEAST_STACK: u64 = 1 << 20;
/// The stack that they get where it is not.
const ROOMY_STACK: usize = 2 << 20;

const USAGE: &str = "\
Usage: nskit APPLET [ARGUMENT]...
   or: APPLET [ARGUMENT]...            (through a link of that name)
   or: nskit [OPTION]... VERB ...       as the runtime, by its verbs
   or: nskit --list                    names of all applets
   or: nskit install [--dir DIR] [--hard-links] [--force] [APPLET]...
   or: nskit help APPLET                what it takes
   or: nskit --help | --version
";

nskit::early_start!();
#[cfg(all(nskit_libc_start, not(test)))]
nskit::libc_start!();

#[cfg(not(test))]
nskit::entry!(run);

#[cfg(test)]
fn main() -> ExitCode {
    run()
}

fn run() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().collect();
    match choose(nskit::sys::start::executed_file(), &args) {
        Choice::Called(applet) => start(applet, args),
        Choice::Named(applet) => start(applet, args[1..].to_vec()),
        Choice::Own => own(&args),
    }
}

/// What nskit does that is no applet's.
fn own(args: &[OsString]) -> ExitCode {
    match args.get(1).map(|arg| arg.as_bytes()) {
        None => {
            eprint!("{}", help());
            ExitCode::FAILURE
        }
        Some(b"help") if args.len() > 2 => match find(&args[2]) {
            Some(applet) => print(&(applet.command)().render_long_help().to_string()),
            None => unknown(&args[2].to_string_lossy()),
        },
        Some(b"--help" | b"-h" | b"help") => print(&help()),
        Some(b"--version" | b"-V") => print(&format!("nskit {}\n", env!("CARGO_PKG_VERSION"))),
        Some(b"--list") => print(&APPLETS.iter().map(|applet| format!("{}\n", applet.name)).collect::<String>()),
        Some(b"generate") => generate::run(&args[2..]),
        Some(b"complete") => generate::complete(),
        Some(b"install") => install::run(&args[2..]),
        Some(name) => unknown(&String::from_utf8_lossy(name)),
    }
}

fn start(applet: &'static Applet, args: Vec<OsString>) -> ExitCode {
    if LEAN.contains(&applet.name) {
        return (applet.run)(args);
    }
    nskit::sys::start::prepare();
    let limit = rustix::process::getrlimit(rustix::process::Resource::Stack).current;
    if limit.is_none_or(|limit| limit >= LEAST_STACK) {
        return (applet.run)(args);
    }
    // The limit is on the first thread's stack alone.
    let thread = std::thread::Builder::new().stack_size(ROOMY_STACK).spawn(move || (applet.run)(args));
    match thread.map(std::thread::JoinHandle::join) {
        Ok(Ok(status)) => status,
        Ok(Err(_)) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{}: make room for the stack, for which ulimit -s leaves too little: {error}", applet.name);
            ExitCode::FAILURE
        }
    }
}

fn help() -> String {
    let mut text =
        format!("nskit {}: Linux namespaces in one binary\n\n{USAGE}\nApplets:\n", env!("CARGO_PKG_VERSION"));
    for applet in APPLETS {
        let aliases = match applet.aliases {
            [] => String::new(),
            aliases => format!(" (also: {})", aliases.join(", ")),
        };
        text.push_str(&format!("  {:<12} {}{aliases}\n", applet.name, applet.about));
    }
    text
}

pub(crate) fn print(text: &str) -> ExitCode {
    use std::io::Write;
    match std::io::stdout().write_all(text.as_bytes()) {
        // A reader that has seen enough is no failure.
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            eprintln!("nskit: write standard output: {error}");
            ExitCode::FAILURE
        }
        _ => ExitCode::SUCCESS,
    }
}

fn unknown(name: &str) -> ExitCode {
    let names = APPLETS.iter().flat_map(|applet| std::iter::once(&applet.name).chain(applet.aliases));
    let nearest = names.map(|known| (distance(name, known), known)).min();
    match nearest {
        Some((edits, known)) if edits <= known.len().div_ceil(2) => {
            eprintln!("nskit: no applet is called '{name}'; did you mean '{known}'?");
        }
        _ => eprintln!("nskit: no applet is called '{name}'; 'nskit --list' names all"),
    }
    ExitCode::from(127)
}

/// How many letters must be added, removed or changed to make `a` into `b`.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let next = (row[j + 1] + 1).min(row[j] + 1).min(diagonal + usize::from(x != *y));
            diagonal = std::mem::replace(&mut row[j + 1], next);
        }
    }
    row[b.len()]
}
