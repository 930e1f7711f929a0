//! `list`, `state`, `ps`, `events`: verbs that only look.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::Command as Process;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::{ArgMatches, Args, Command, FromArgMatches};
use nskit::container;

use super::Globals;

fn print(text: &str) -> anyhow::Result<()> {
    // Flushed here: a last line without its end would be lost, since the process ends without unwinding.
    let mut output = std::io::stdout();
    match output.write_all(text.as_bytes()).and_then(|()| output.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error).context("write standard output"),
        _ => Ok(()),
    }
}

#[derive(Args, Debug)]
struct List {
    /// Form of the list
    #[arg(short, long, value_name = "FORMAT", default_value = "table", value_parser = ["table", "json"])]
    format: String,
    /// Only the ids
    #[arg(short, long)]
    quiet: bool,
}

pub(super) fn list_command(command: Command) -> Command {
    List::augment_args(command).about("List containers")
}

pub(super) fn list(globals: &Globals, matches: &ArgMatches) -> anyhow::Result<u8> {
    let args = List::from_arg_matches(matches)?;
    let states = container::verbs::list::list(&globals.runtime()?)?;
    let mut text = String::new();
    if args.quiet {
        for state in &states {
            writeln!(text, "{}", state.id)?;
        }
    } else if args.format == "json" {
        // An empty list is null, as Go has it; engines know no other.
        text = if states.is_empty() { "null".to_owned() } else { serde_json::to_string(&states)? } + "\n";
    } else {
        let rows: Vec<[String; 6]> = states
            .iter()
            .map(|state| {
                [
                    state.id.clone(),
                    state.pid.to_string(),
                    state.status.to_string(),
                    state.bundle.display().to_string(),
                    state.created.clone().unwrap_or_default(),
                    state.owner.clone().unwrap_or_default(),
                ]
            })
            .collect();
        let head = ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"].map(str::to_owned);
        let width = |column: usize| std::iter::once(&head).chain(&rows).map(|row| row[column].len()).max().unwrap_or(0);
        // At least as wide as runc's columns.
        let widths: Vec<usize> = (0..6).map(|column| width(column).max(9) + 3).collect();
        for row in std::iter::once(&head).chain(&rows) {
            let line: String = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
            writeln!(text, "{}", line.trim_end())?;
        }
    }
    print(&text)?;
    Ok(0)
}

#[derive(Args, Debug)]
struct State {
    /// Name of the container
    #[arg(value_name = "ID")]
    id: String,
}

pub(super) fn state_command(command: Command) -> Command {
    State::augment_args(command).about("Print the state of a container")
}

pub(super) fn state(globals: &Globals, matches: &ArgMatches) -> anyhow::Result<u8> {
    let args = State::from_arg_matches(matches)?;
    let state = container::verbs::list::state(&globals.runtime()?, &args.id)?;
    print(&(serde_json::to_string_pretty(&state)? + "\n"))?;
    Ok(0)
}

#[derive(Args, Debug)]
struct Ps {
    /// Form of the list
    #[arg(short, long, value_name = "FORMAT", default_value = "table", value_parser = ["table", "json"])]
    format: String,
    /// Name of the container
    #[arg(value_name = "ID")]
    id: String,
    /// Options for ps(1) [default: -ef]
    #[arg(value_name = "PS OPTION", trailing_var_arg = true, allow_hyphen_values = true)]
    options: Vec<String>,
}

pub(super) fn ps_command(command: Command) -> Command {
    Ps::augment_args(command).about("List the processes of a container")
}

pub(super) fn ps(globals: &Globals, matches: &ArgMatches) -> anyhow::Result<u8> {
    let args = Ps::from_arg_matches(matches)?;
    let pids: Vec<i32> = container::verbs::pause::processes(&globals.runtime()?, &args.id)?
        .into_iter()
        .map(|pid| pid.as_raw_nonzero().get())
        .collect();
    if args.format == "json" {
        print(&(serde_json::to_string(&pids)? + "\n"))?;
        return Ok(0);
    }
    let options = if args.options.is_empty() { vec!["-ef".to_owned()] } else { args.options };
    let output = Process::new("ps").args(&options).output().context("run ps")?;
    if !output.status.success() {
        bail!("ps {}: {}", options.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    let listed = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut lines = listed.lines();
    let head = lines.next().unwrap_or_default();
    let column =
        head.split_whitespace().position(|name| name == "PID").context("couldn't find PID field in ps output")?;
    let mut text = format!("{head}\n");
    for line in lines {
        let pid = line.split_whitespace().nth(column).and_then(|pid| pid.parse().ok());
        if pid.is_some_and(|pid: i32| pids.contains(&pid)) {
            writeln!(text, "{line}")?;
        }
    }
    print(&text)?;
    Ok(0)
}

#[derive(Args, Debug)]
struct Events {
    /// How often to print statistics
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = humantime::parse_duration)]
    interval: Duration,
    /// Print statistics once and exit
    #[arg(long)]
    stats: bool,
    /// Name of the container
    #[arg(value_name = "ID")]
    id: String,
}

pub(super) fn events_command(command: Command) -> Command {
    Events::augment_args(command).about("Print statistics and out-of-memory events of a container")
}

pub(super) fn events(globals: &Globals, matches: &ArgMatches) -> anyhow::Result<u8> {
    let args = Events::from_arg_matches(matches)?;
    if args.interval.is_zero() {
        bail!("--interval: duration interval must be greater than 0");
    }
    let mut write =
        |line: &str| print(&format!("{line}\n")).map_err(|error| nskit::Error::invalid(format!("{error:#}")));
    container::verbs::events::events(&globals.runtime()?, &args.id, args.interval, args.stats, &mut write)?;
    Ok(0)
}
