//! `unshare`: run a program in new namespaces; unshare(1) of util-linux, option for option.

mod keep;
mod manual;
mod maps;
mod options;
mod outside;
mod ranges;
mod run;

use std::ffi::OsString;
use std::process::ExitCode;

use nskit::namespace::Kind;
use nskit::{Error, Result};

use super::Applet;
use super::exec::Voice;
use super::getopt::Words;
use super::{exec, getopt};
use options::{Id, OPTIONS, Options};

/// `unshare` in the table of applets.
pub(crate) const APPLET: Applet = Applet {
    name: "unshare",
    aliases: &[],
    about: "Run a program in new namespaces",
    command,
    run,
    recognises: Applet::by_name_alone,
};

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

#[cfg(test)]
mod tests;
