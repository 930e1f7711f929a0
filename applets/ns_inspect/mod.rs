//! `ns-inspect`: see every namespace on the machine, whose it is, and why you can't get in. As `lsns`, what util-linux's
//! does.

mod draw;
mod facts;
mod filter;
mod graph;
mod grid;
mod json;
mod lsns;
mod manual;
mod overview;
mod paint;
mod places;
mod report;
mod rows;
mod show;
mod strays;
mod table;
mod target;
mod tree;
mod watch;
mod width;
mod world;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, CommandFactory, Parser, Subcommand};
use nskit::inspect::pids;

pub(crate) use self::lsns::column_names as lsns_columns;

use self::draw::{GraphFormat, Part, ReportFormat};
use self::filter::Filter;
use self::grid::Grid;
use self::paint::Paint;
use self::rows::Wanted;
use self::watch::Wish;
use self::world::{Target, World};
use crate::exec::print;

/// The columns of the overview, as --sort and --output take them.
pub(crate) fn columns() -> impl Iterator<Item = &'static str> {
    overview::COLUMNS.into_iter()
}

/// See every namespace on the machine, whose it is, and why you can't get in.
///
/// Without a command, the overview of containers, or what is known of TARGET.
#[derive(Parser)]
#[command(name = "ns-inspect", version, args_conflicts_with_subcommands = true, disable_help_subcommand = true)]
#[command(after_long_help = manual::MANUAL)]
struct Line {
    #[command(subcommand)]
    verb: Option<Verb>,
    #[command(flatten)]
    view: View,
    #[command(flatten)]
    rows: Rows,
    #[command(flatten)]
    table: Table,
    /// A container (name, id or the beginning of one), CONTAINER:PID, a pid, a pod, TYPE:[INODE], a name of ip-netns, or a
    /// path
    target: Option<String>,
    /// Show the namespaces of this process; costs the same however many there are
    #[arg(short = 'p', long = "task", value_name = "PID", conflicts_with = "target")]
    task: Option<i32>,
}

/// What all views take.
#[derive(Args, Clone)]
struct View {
    /// When to colour: auto, always or never
    #[arg(long, value_name = "WHEN", default_value = "auto", value_parser = ["auto", "always", "never"])]
    color: String,
    /// Print JSON (docs/ns-inspect.schema.json)
    #[arg(short = 'J', long)]
    json: bool,
}

/// What the overview takes besides.
#[derive(Args, Clone)]
struct Rows {
    /// Sort by this column; a dash in front turns the order round
    #[arg(long, value_name = "COLUMN", allow_hyphen_values = true)]
    sort: Option<String>,
    /// Show only rows for which this holds: 'NET == "host" and AGE > 5m and MEMORY > 1.5M'
    #[arg(short = 'Q', long, value_name = "EXPRESSION")]
    filter: Option<String>,
}

/// What the overview takes, and no other view.
#[derive(Args, Clone)]
struct Table {
    /// Show containers without a process too, units of systemd, and every other namespace
    #[arg(short = 'a', long)]
    all: bool,
    /// Show these columns; after a +, these too
    #[arg(short = 'o', long, value_name = "COLUMNS")]
    output: Option<String>,
    /// Print no headings, and nothing but the rows
    #[arg(short = 'n', long = "no-headings", visible_alias = "noheadings")]
    no_headings: bool,
}

#[derive(Subcommand)]
enum Verb {
    /// List namespaces with the options and output of lsns
    #[command(disable_help_flag = true)]
    List {
        /// Arguments of lsns(8)
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENT")]
        args: Vec<OsString>,
    },
    /// Show a target, whatever its name is
    Show {
        /// A container, a pid, TYPE:[INODE], or a path
        target: String,
        #[command(flatten)]
        view: View,
    },
    /// Show user namespaces as a tree, with their maps and what they own
    Tree(View),
    /// Compare the namespaces of two targets
    Diff {
        /// The one
        a: String,
        /// The other
        b: String,
        #[command(flatten)]
        view: View,
    },
    /// Show links, the other ends of veths, addresses and listening sockets
    Net {
        /// Only this one's network namespace
        target: Option<String>,
        #[command(flatten)]
        view: View,
    },
    /// Show the mount tree that a target sees, or which namespaces keep a path busy
    Mnt {
        /// Whose mounts; the caller's own without
        target: Option<String>,
        /// Show which mount namespaces have this path's file system, or what is below it, mounted
        #[arg(long, value_name = "PATH", conflicts_with = "target")]
        holds: Option<PathBuf>,
        #[command(flatten)]
        view: View,
    },
    /// Show what a process is called in each pid namespace
    Pid {
        /// The process: a pid, CONTAINER:PID, or another target's first process
        #[arg(value_name = "PID")]
        pid: String,
        /// PID is what this target's pid namespace calls it
        #[arg(long = "in", value_name = "TARGET")]
        inside: Option<String>,
        #[command(flatten)]
        view: View,
    },
    /// Tell whether the caller could enter a target's namespaces, and if not why
    Explain {
        /// A container, a pid, or TYPE:[INODE]
        target: String,
        /// Tell it for this process instead of the caller
        #[arg(long = "as", value_name = "PID")]
        caller: Option<i32>,
        #[command(flatten)]
        view: View,
    },
    /// Print the nsenter command that enters a target
    Enter {
        /// A container, a pid, or TYPE:[INODE]
        target: String,
    },
    /// Keep looking: a screen on a terminal, elsewhere a line for each container that starts, pauses or ends
    Watch {
        /// How long to wait between looks: 2s, 1m; 100ms at least
        #[arg(long, value_name = "TIME", default_value = "2s", value_parser = watch::interval)]
        every: Duration,
        /// Print events, and stop after this many looks
        #[arg(long, value_name = "LOOKS")]
        count: Option<u64>,
        /// Tell of namespaces of no container too
        #[arg(short, long)]
        all: bool,
        /// Print an event a line as JSON, those that are there at first too (docs/ns-inspect.schema.json)
        #[arg(short = 'J', long)]
        json: bool,
        /// When to colour: auto, always or never
        #[arg(long, value_name = "WHEN", default_value = "auto", value_parser = ["auto", "always", "never"])]
        color: String,
        #[command(flatten)]
        rows: Rows,
    },
    /// Draw containers, what they share, their networks and id maps
    Graph {
        #[command(flatten)]
        part: Part,
        /// The language
        #[arg(long, value_enum, default_value = "svg")]
        format: GraphFormat,
    },
    /// Write a page that shows it all: a picture, a table of containers by kinds of namespaces, and each container
    Report {
        #[command(flatten)]
        part: Part,
        /// The language
        #[arg(long, value_enum, default_value = "html")]
        format: ReportFormat,
    },
}

/// Which rows to show, in which order, with which columns.
struct Choice {
    sort: Option<String>,
    filter: Option<Filter>,
    wanted: Wanted,
    columns: Vec<&'static str>,
    headings: bool,
}

impl Default for Choice {
    fn default() -> Choice {
        let (columns, wanted) = (overview::USUAL.to_vec(), Wanted::default());
        Choice { sort: None, filter: None, wanted, columns, headings: true }
    }
}

impl Rows {
    /// What is asked for, where that is valid.
    fn choice(&self) -> anyhow::Result<Choice> {
        let filter = self.filter.as_deref().map(overview::filter).transpose()?;
        self.sort.as_deref().map_or(Ok(()), overview::check_sort)?;
        Ok(Choice { sort: self.sort.clone(), filter, ..Choice::default() })
    }
}

impl View {
    fn paint(&self) -> Paint {
        Paint::new(&self.color)
    }
}

fn arrange(grid: &mut Grid, choice: &Choice) -> anyhow::Result<()> {
    if let Some(filter) = &choice.filter {
        grid.filter(filter)?;
    }
    if let Some(sort) = &choice.sort {
        grid.sort(sort)?;
    }
    Ok(())
}

/// The inspector.
pub(crate) const APPLET: crate::Applet = crate::Applet {
    name: "ns-inspect",
    aliases: &[],
    about: "show every namespace, whose it is and what keeps it",
    command: Line::command,
    run,
    recognises: crate::Applet::by_name_alone,
};

/// The same discovery behind util-linux's options.
pub(crate) const LSNS: crate::Applet = crate::Applet {
    name: "lsns",
    aliases: &[],
    about: "list namespaces as util-linux's lsns does",
    command: lsns::command,
    run: |args| lsns::run(&args),
    recognises: crate::Applet::by_name_alone,
};

/// Runs the applet; `args` begin with the name that it was called by.
fn run(args: Vec<OsString>) -> ExitCode {
    if args.get(1).is_some_and(|verb| verb == "list") {
        let words: Vec<OsString> = std::iter::once("lsns".into()).chain(args.into_iter().skip(2)).collect();
        return lsns::run(&words);
    }
    let line = match Line::try_parse_from(args).and_then(Line::checked) {
        Ok(line) => line,
        Err(error) if error.use_stderr() => {
            // Nobody is left to be told that nobody could be told.
            let _ = error.print();
            return ExitCode::from(error.exit_code() as u8);
        }
        Err(help) => return print("ns-inspect", &help.render().to_string()),
    };
    let shown = match line.verb {
        Some(Verb::Watch { every, count, all, json, color, rows }) => rows.choice().and_then(|choice| {
            let paint = Paint::new(&color);
            watch::run(Wish { every, count, choice, all, json, paint })
        }),
        _ => text_of(line).map(|text| print("ns-inspect", &text)),
    };
    match shown {
        Ok(status) => status,
        Err(error) => {
            eprintln!("ns-inspect: {error:#}");
            ExitCode::FAILURE
        }
    }
}

impl Line {
    /// Rows are the overview's alone, and what chooses them has to be valid.
    fn checked(self) -> Result<Line, clap::Error> {
        let rows = match &self.verb {
            Some(Verb::Watch { rows, .. }) => rows,
            Some(Verb::Graph { part, .. } | Verb::Report { part, .. }) => &part.rows,
            _ => &self.rows,
        };
        if let Err(why) = rows.choice().and(self.choice()) {
            return Err(Line::command().error(clap::error::ErrorKind::ValueValidation, why));
        }
        let is_chosen = self.rows.sort.is_some() || self.rows.filter.is_some() || self.table.is_given();
        if is_chosen && (self.target.is_some() || self.task.is_some()) {
            let message =
                "--sort, --filter, --all, --output and --no-headings are for the overview, not for one target";
            return Err(Line::command().error(clap::error::ErrorKind::ArgumentConflict, message));
        }
        Ok(self)
    }

    /// What the overview is to show.
    fn choice(&self) -> anyhow::Result<Choice> {
        let columns = self.table.output.as_deref().map_or(Ok(overview::USUAL.to_vec()), overview::output)?;
        let (wanted, headings) = (Wanted { all: self.table.all }, !self.table.no_headings);
        Ok(Choice { columns, wanted, headings, ..self.rows.choice()? })
    }
}

impl Table {
    fn is_given(&self) -> bool {
        self.all || self.output.is_some() || self.no_headings
    }
}

/// What the command line asks for.
fn text_of(line: Line) -> anyhow::Result<String> {
    let choice = line.choice()?;
    let Some(verb) = line.verb else {
        let target = match (line.target, line.task) {
            (Some(text), _) => Some(Target::parse(&text)?),
            (None, Some(pid)) => Some(Target::Process(pid)),
            (None, None) => None,
        };
        return match target {
            Some(target) => show(&target, &line.view),
            None if line.view.json => everything(&choice),
            None => {
                let mut world = World::look()?;
                world.tell_gaps(line.view.paint());
                overview::view(&mut world, &choice, line.view.paint())
            }
        };
    };
    let parse = |text: Option<String>| text.map(|text| Target::parse(&text)).transpose();
    match verb {
        Verb::List { .. } | Verb::Watch { .. } => Ok(String::new()),
        Verb::Show { target, view } => show(&Target::parse(&target)?, &view),
        Verb::Tree(view) if view.json => everything(&choice),
        Verb::Tree(view) => Ok(tree::view(&mut World::look()?, view.paint())),
        Verb::Diff { a, b, view } => {
            let (a, b) = (Target::parse(&a)?, Target::parse(&b)?);
            if view.json { json::diff(&a, &b) } else { tree::diff(&a, &b, view.paint()) }
        }
        Verb::Net { target, view } => {
            let (world, target) = (World::look()?, parse(target)?);
            if view.json {
                json::net(&world, target.as_ref())
            } else {
                places::net(&world, target.as_ref(), view.paint())
            }
        }
        Verb::Mnt { holds: Some(path), view, .. } => {
            let world = World::look()?;
            if view.json { json::holds(&world, &path) } else { places::holds(&world, &path, view.paint()) }
        }
        Verb::Mnt { target, view, .. } => {
            let target = match parse(target)? {
                Some(target) => target,
                None => Target::Process(pids::own()?),
            };
            if view.json { json::mnt(&target) } else { places::mnt(&target, view.paint()) }
        }
        Verb::Pid { pid, inside, view } => {
            let pid = places::translated(&pid, parse(inside)?.as_ref())?;
            if view.json { json::pid(pid) } else { places::pid(pid, view.paint()) }
        }
        Verb::Explain { target, caller, view } => {
            let target = Target::parse(&target)?;
            let caller = caller.map_or_else(pids::own, Ok)?;
            if view.json { json::enterable(&target, caller) } else { places::enterable(&target, caller, view.paint()) }
        }
        Verb::Enter { target } => Ok(show::enter(&Target::parse(&target)?)? + "\n"),
        Verb::Graph { part, format } => draw::graph(part, format),
        Verb::Report { part, format } => draw::report(part, format),
    }
}

fn show(target: &Target, view: &View) -> anyhow::Result<String> {
    if view.json {
        return json::document(&mut World::look()?, Some(target), &Choice::default());
    }
    show::view(target, view.paint())
}

fn everything(choice: &Choice) -> anyhow::Result<String> {
    json::document(&mut World::look()?, None, choice)
}
