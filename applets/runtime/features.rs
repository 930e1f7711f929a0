//! `features`.

use std::process::ExitCode;

use clap::{ArgMatches, Command};
use nskit::container::spec::features::features;

use super::Globals;

pub(super) fn command(command: Command) -> Command {
    command.about("Print what this runtime knows, as JSON")
}

pub(super) fn run(_: &Globals, _: &ArgMatches) -> anyhow::Result<u8> {
    let printed = crate::print(&(serde_json::to_string_pretty(&features())? + "\n"));
    Ok(u8::from(printed != ExitCode::SUCCESS))
}
