//! `start`, `kill`, `delete`, `pause`, `resume`: verbs that only need an id.

use clap::{ArgMatches, Args, Command, FromArgMatches};
use nskit::container;

use super::Globals;

#[derive(Args, Debug)]
struct Id {
    /// Name of the container
    #[arg(value_name = "ID")]
    id: String,
}

pub(super) fn start_command(command: Command) -> Command {
    Id::augment_args(command).about("Start a container that was created")
}

pub(super) fn start(globals: &Globals, matches: &ArgMatches) -> anyhow::Result<u8> {
    container::verbs::start::start(&globals.runtime()?, &Id::from_arg_matches(matches)?.id)?;
    Ok(0)
}

pub(super) fn pause_command(command: Command) -> Command {
    Id::augment_args(command).about("Stop every process of a container for a while")
}

pub(super) fn pause(globals: &Globals, matches: &ArgMatches) -> anyhow::Result<u8> {
    container::verbs::pause::pause(&globals.runtime()?, &Id::from_arg_matches(matches)?.id)?;
    Ok(0)
}

pub(super) fn resume_command(command: Command) -> Command {
    Id::augment_args(command).about("Let the processes of a paused container go on")
}

pub(super) fn resume(globals: &Globals, matches: &ArgMatches) -> anyhow::Result<u8> {
    container::verbs::pause::resume(&globals.runtime()?, &Id::from_arg_matches(matches)?.id)?;
    Ok(0)
}

#[derive(Args, Debug)]
struct Kill {
    /// Send it to every process of the container
    #[arg(short, long, hide = true)]
    all: bool,
    /// Name of the container
    #[arg(value_name = "ID")]
    id: String,
    /// Name or number of the signal
    #[arg(value_name = "SIGNAL", default_value = "SIGTERM")]
    signal: String,
}

pub(super) fn kill_command(command: Command) -> Command {
    Kill::augment_args(command).about("Send a signal to a container's first process")
}

pub(super) fn kill(globals: &Globals, matches: &ArgMatches) -> anyhow::Result<u8> {
    let args = Kill::from_arg_matches(matches)?;
    let signal = container::verbs::kill::parse_signal(&args.signal)?;
    container::verbs::kill::kill(&globals.runtime()?, &args.id, signal, args.all)?;
    Ok(0)
}

#[derive(Args, Debug)]
struct Delete {
    /// Kill it first if it still runs; that it is not there is no error
    #[arg(short, long)]
    force: bool,
    /// Name of the container
    #[arg(value_name = "ID")]
    id: String,
}

pub(super) fn delete_command(command: Command) -> Command {
    Delete::augment_args(command).about("Delete a container that has stopped")
}

pub(super) fn delete(globals: &Globals, matches: &ArgMatches) -> anyhow::Result<u8> {
    let args = Delete::from_arg_matches(matches)?;
    container::verbs::delete::delete(&globals.runtime()?, &args.id, args.force)?;
    Ok(0)
}
