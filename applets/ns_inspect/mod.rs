//! `ns-inspect`, and `lsns`: see every namespace on the machine.

mod facts;
mod filter;
mod getopt;
mod lsns;
mod output;
mod table;
mod width;

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::ExitCode;

use clap::Command;

/// Both names of the applet.
pub(crate) const APPLET: crate::Applet = crate::Applet {
    name: "ns-inspect",
    aliases: &["lsns"],
    about: "show every namespace, whose it is and what keeps it",
    command,
    run,
};

/// The command line, for help, manual and completions.
fn command() -> Command {
    lsns::command("ns-inspect")
}

/// Runs the applet; `args` begin with the name that it was called by.
fn run(args: Vec<OsString>) -> ExitCode {
    let _called = args.first().and_then(|name| Path::new(name).file_name()).unwrap_or(OsStr::new("ns-inspect"));
    lsns::run(args)
}
