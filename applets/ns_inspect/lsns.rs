//! `lsns`: the options, columns and output of util-linux's lsns(8).

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use clap::{Arg, ArgAction, Command};
use nskit::inspect::discover::Mounts;
use nskit::inspect::{Keeper, Namespace, NetnsId, Process, Scope, Snapshot, discover};
use nskit::namespace::{Kind, Kinds};

use super::facts::{self, Users};
use super::filter::{Filter, Value};
use super::getopt::{self, Item};
use super::table::{Column, Format, Row, Table};
use super::width;

/// A column of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Ns,
    Type,
    Path,
    Nprocs,
    Pid,
    Ppid,
    Command,
    Uid,
    User,
    Netnsid,
    Nsfs,
    Pns,
    Ons,
}

struct FieldRow {
    field: Field,
    name: &'static str,
    hint: usize,
    right: bool,
    number: bool,
    about: &'static str,
}

const fn field(
    field: Field,
    name: &'static str,
    hint: usize,
    right: bool,
    number: bool,
    about: &'static str,
) -> FieldRow {
    FieldRow { field, name, hint, right, number, about }
}

/// In the order of [`Field`]'s variants, which is that of `--output-all`.
const FIELDS: [FieldRow; 13] = [
    field(Field::Ns, "NS", 10, true, true, "namespace identifier (inode number)"),
    field(Field::Type, "TYPE", 5, false, false, "kind of namespace"),
    field(Field::Path, "PATH", 0, false, false, "path to the namespace"),
    field(Field::Nprocs, "NPROCS", 5, true, true, "number of processes in the namespace"),
    field(Field::Pid, "PID", 5, true, true, "lowest PID in the namespace"),
    field(Field::Ppid, "PPID", 5, true, true, "PPID of the PID"),
    field(Field::Command, "COMMAND", 0, false, false, "command line of the PID"),
    field(Field::Uid, "UID", 0, true, true, "UID of the PID"),
    field(Field::User, "USER", 0, false, false, "username of the PID"),
    field(Field::Netnsid, "NETNSID", 0, true, false, "namespace ID as used by network subsystem"),
    field(Field::Nsfs, "NSFS", 0, false, false, "nsfs mountpoint (usually used network subsystem)"),
    field(Field::Pns, "PNS", 10, true, true, "parent namespace identifier (inode number)"),
    field(Field::Ons, "ONS", 10, true, true, "owner namespace identifier (inode number)"),
];

impl Field {
    fn row(self) -> &'static FieldRow {
        &FIELDS[self as usize]
    }

    fn from_name(name: &str) -> Option<Field> {
        FIELDS.iter().find(|row| row.name.eq_ignore_ascii_case(name)).map(|row| row.field)
    }

    /// Whether all processes have to be looked at to know it.
    fn counts_processes(self) -> bool {
        !matches!(self, Field::Ns | Field::Type | Field::Netnsid | Field::Nsfs | Field::Pns | Field::Ons)
    }
}

/// What `--sources` takes.
const SOURCES: [&str; 5] = ["processes", "threads", "descriptors", "mounts", "lists"];

/// What a tree is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Tree {
    #[default]
    None,
    Process,
    Owner,
    Parent,
}

/// A validated command line.
#[derive(Default)]
struct Options {
    json: bool,
    raw: bool,
    pairs: bool,
    list: bool,
    tree: Tree,
    persistent: bool,
    no_headings: bool,
    no_truncate: bool,
    no_wrap: bool,
    list_columns: bool,
    task: Option<i32>,
    namespace: Option<u64>,
    kinds: Kinds,
    filter: Option<Filter>,
    sources: Option<String>,
    output: Option<String>,
    fields: Vec<Field>,
}

/// The command line as clap describes it; [`getopt`] reads it.
pub(crate) fn command(name: &'static str) -> Command {
    let flag = |id: &'static str, short: char| Arg::new(id).short(short).long(id).action(ArgAction::SetTrue);
    let value = |id: &'static str, short: char, of: &'static str| Arg::new(id).short(short).long(id).value_name(of);
    Command::new(name)
        .about("List namespaces, as util-linux's lsns does")
        .disable_version_flag(true)
        .disable_help_flag(true)
        .arg(flag("json", 'J').help("Use JSON output"))
        .arg(flag("list", 'l').help("Use a list, not a tree"))
        .arg(flag("noheadings", 'n').help("Do not print headings"))
        .arg(value("output", 'o', "list").help("Columns to print; +LIST adds to the default ones"))
        .arg(Arg::new("output-all").long("output-all").action(ArgAction::SetTrue).help("Print all columns"))
        .arg(flag("persistent", 'P').help("Only namespaces without processes"))
        .arg(value("task", 'p', "pid").help("Only namespaces of this process"))
        .arg(value("filter", 'Q', "expr").help("Only namespaces for which this holds, see scols-filter(5)"))
        .arg(flag("raw", 'r').help("Use raw output"))
        // Ours; hidden, which getopt takes for "only by its full name", so that upstream's `--p` stays what it was.
        .arg(Arg::new("pairs").long("pairs").action(ArgAction::SetTrue).hide(true).help("Use NAME=\"value\" pairs"))
        .arg(
            Arg::new("sources")
                .long("sources")
                .hide(true)
                .value_name("list")
                .help("Where to look: processes,threads,descriptors,mounts,lists"),
        )
        .arg(flag("notruncate", 'u').help("Do not cut text to the terminal's width"))
        .arg(flag("nowrap", 'W').help("One line a namespace, even with several NSFS paths"))
        .arg(
            value("type", 't', "name")
                .action(ArgAction::Append)
                .help("Only this kind: mnt, net, ipc, user, pid, uts, cgroup, time"),
        )
        .arg(value("tree", 'T', "rel").num_args(0..=1).help("Use a tree of this relation: owner, parent or process"))
        .arg(flag("list-columns", 'H').help("List the columns there are"))
        .arg(flag("help", 'h').help("Show this help"))
        .arg(flag("version", 'V').help("Show the version"))
        .arg(
            Arg::new("namespace")
                .value_name("namespace")
                .help("Show the processes of the namespace with this inode number"),
        )
}

/// A complaint that ends the program: what follows `lsns: `.
enum Stop {
    /// Say this and exit with status 1.
    Fail(String),
    /// As `Fail`, but without a message.
    Silent,
    /// getopt's complaint, after which the help is pointed at.
    Usage(String),
    /// Print this and exit with status 0.
    Print(String),
}

fn fail<T>(message: impl Into<String>) -> Result<T, Stop> {
    Err(Stop::Fail(message.into()))
}

/// Runs `lsns`; `args` begin with the program's name.
pub(crate) fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let mut args = args.into_iter();
    let argv0 = args.next().unwrap_or_else(|| "lsns".into());
    let argv0 = argv0.to_string_lossy();
    let name = Path::new(&*argv0).file_name().map_or_else(|| "lsns".into(), |name| name.to_string_lossy().into_owned());
    let (text, status) = match parse(args).and_then(|options| list(&options)) {
        Ok(text) | Err(Stop::Print(text)) => (text, ExitCode::SUCCESS),
        Err(Stop::Silent) => return ExitCode::FAILURE,
        Err(Stop::Fail(message)) => {
            eprintln!("{name}: {message}");
            return ExitCode::FAILURE;
        }
        Err(Stop::Usage(message)) => {
            eprintln!("{argv0}: {message}\nTry '{name} --help' for more information.");
            return ExitCode::FAILURE;
        }
    };
    super::output::write(&text, status)
}

fn parse(args: impl Iterator<Item = OsString>) -> Result<Options, Stop> {
    let mut command = command("lsns");
    command.build();
    let mut options = Options::default();
    let mut kinds = Kinds::NONE;
    let mut operand = None;
    let mut seen: Vec<String> = Vec::new();
    for item in getopt::read(&command, args) {
        let (id, value) = match item {
            Item::Option(id, value) => (id, value),
            Item::Operand(text) => {
                operand.get_or_insert(text);
                continue;
            }
            Item::Error(message) => return Err(Stop::Usage(message)),
        };
        exclude(&mut seen, &id)?;
        let value = value.map(|value| value.to_string_lossy().into_owned());
        let text = || value.clone().unwrap_or_default();
        match id.as_str() {
            "json" => options.json = true,
            "list" => options.list = true,
            "noheadings" => options.no_headings = true,
            "output" => options.output = Some(text()),
            "output-all" => options.fields = FIELDS.iter().map(|row| row.field).collect(),
            "persistent" => options.persistent = true,
            "task" => options.task = Some(parse_pid(&text())?),
            "filter" => match Filter::parse(&text()) {
                Ok(filter) => options.filter = Some(filter),
                Err(why) => return fail(format!("failed to parse \"{}\": {why}", text())),
            },
            "raw" => (options.raw, options.no_wrap) = (true, true),
            "pairs" => (options.pairs, options.no_wrap) = (true, true),
            "sources" => {
                if let Some(unknown) = text().split(',').find(|source| !SOURCES.contains(source)) {
                    return fail(format!("unknown source: {unknown} (there are {})", SOURCES.join(", ")));
                }
                options.sources = Some(text());
            }
            "notruncate" => options.no_truncate = true,
            "nowrap" => options.no_wrap = true,
            "type" => match Kind::from_proc_name(&text()) {
                Some(kind) => kinds.insert(kind),
                None => return fail(format!("unknown namespace type: {}", text())),
            },
            "tree" => {
                let relation = text();
                options.tree = match relation.strip_prefix('=').unwrap_or(&relation) {
                    "" if value.is_none() => Tree::Owner,
                    "owner" => Tree::Owner,
                    "parent" => Tree::Parent,
                    "process" => Tree::Process,
                    other => return fail(format!("unknown tree type: {other}")),
                };
            }
            "list-columns" => options.list_columns = true,
            "help" => return Err(Stop::Print(help(&mut command))),
            "version" => return Err(Stop::Print(format!("lsns from nskit {}\n", env!("CARGO_PKG_VERSION")))),
            _ => {}
        }
    }
    if options.list_columns {
        return Err(Stop::Print(list_columns(&options)));
    }
    options.kinds = if kinds.is_empty() { Kinds::ALL } else { kinds };
    if let Some(operand) = operand {
        if options.task.is_some() {
            return fail("--task is mutually exclusive with <namespace>");
        }
        options.namespace = Some(parse_inode(&operand.to_string_lossy())?);
    }
    choose_fields(&mut options, kinds.contains(Kind::Net))?;
    Ok(options)
}

/// Default columns and tree, then what `--output` says.
fn choose_fields(options: &mut Options, with_net: bool) -> Result<(), Stop> {
    use Field::{Command, Netnsid, Nprocs, Ns, Nsfs, Pid, Ppid, Type, User};
    let default_tree = options.namespace.is_some() || options.fields.is_empty();
    if options.fields.is_empty() {
        options.fields = match (options.namespace, with_net) {
            (Some(_), _) => vec![Pid, Ppid, User, Command],
            (None, true) => vec![Ns, Type, Nprocs, Pid, User, Netnsid, Nsfs, Command],
            (None, false) => vec![Ns, Type, Nprocs, Pid, User, Command],
        };
    }
    if default_tree && options.tree == Tree::None && !options.list {
        options.tree = Tree::Process;
    }
    if let Some(output) = &options.output {
        let list = match output.strip_prefix('+') {
            Some(list) => list,
            None => {
                options.fields.clear();
                output
            }
        };
        if list.is_empty() {
            return Err(Stop::Silent);
        }
        // A comma at the end belongs to the last name, and a complaint shows all from the name on: as upstream.
        let mut rest = list;
        while !rest.is_empty() {
            let end = rest.find(',').filter(|&comma| comma + 1 < rest.len());
            let (name, after) = end.map_or((rest, ""), |comma| (&rest[..comma], &rest[comma + 1..]));
            match Field::from_name(name) {
                Some(field) => options.fields.push(field),
                None if name.is_empty() => return Err(Stop::Silent),
                None => return fail(format!("unknown column: {rest}")),
            }
            rest = after;
        }
    }
    if let Some(filter) = &options.filter {
        let unknown: Vec<&String> = filter.columns().iter().filter(|name| Field::from_name(name).is_none()).collect();
        if !unknown.is_empty() {
            let lines: Vec<String> = unknown.iter().map(|name| format!("unknown column: {name}\nlsns: ")).collect();
            return fail(format!("{}failed to initialize filter", lines.concat()));
        }
    }
    Ok(())
}

fn exclude(seen: &mut Vec<String>, id: &str) -> Result<(), Stop> {
    // Upstream means to exclude --list and --tree too, but its check never sees them; --tree wins.
    const EXCLUSIVE: [[&str; 2]; 2] = [["json", "raw"], ["persistent", "task"]];
    for pair in EXCLUSIVE {
        let other = match pair {
            [one, other] if one == id => other,
            [other, one] if one == id => other,
            _ => continue,
        };
        if seen.iter().any(|seen| seen == other) {
            return fail(format!("options --{other} and --{id} cannot be combined"));
        }
    }
    seen.push(id.to_owned());
    Ok(())
}

fn parse_pid(text: &str) -> Result<i32, Stop> {
    match text.trim_start().parse::<i128>() {
        Ok(pid) if pid > 0 && pid <= i128::from(i32::MAX) => Ok(pid as i32),
        Ok(_) => fail(format!("invalid PID argument: '{text}': Numerical result out of range")),
        Err(_) => fail(format!("invalid PID argument: '{text}'")),
    }
}

fn parse_inode(text: &str) -> Result<u64, Stop> {
    let digits = text.trim_start().trim_start_matches(['+', '-']);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return fail(format!("invalid namespace argument: '{text}'"));
    }
    match text.trim_start().trim_start_matches('+').parse() {
        Ok(inode) => Ok(inode),
        Err(_) => fail(format!("invalid namespace argument: '{text}': Numerical result out of range")),
    }
}

fn help(command: &mut Command) -> String {
    let mut text = String::from("\nUsage:\n lsns [options] [<namespace ID>]\n\nList system namespaces.\n\nOptions:\n");
    for arg in command.get_arguments().filter(|arg| !arg.is_positional()) {
        let short = arg.get_short().map_or("   ".into(), |short| format!("-{short},"));
        let long = arg.get_long().unwrap_or_default();
        let value = arg.get_value_names().and_then(|names| names.first()).filter(|_| arg.get_action().takes_values());
        let value = match value {
            Some(name) if arg.get_num_args().is_some_and(|range| range.min_values() == 0) => format!("[=<{name}>]"),
            Some(name) => format!(" <{name}>"),
            None => String::new(),
        };
        let option = format!(" {short} --{long}{value}");
        let about = arg.get_help().map(ToString::to_string).unwrap_or_default();
        text.push_str(&format!("{option:<24} {about}\n"));
    }
    text.push_str("\nAvailable output columns:\n");
    for row in &FIELDS {
        text.push_str(&format!(" {:>8}  {}\n", row.name, row.about));
    }
    text
}

fn list_columns(options: &Options) -> String {
    let column = |name, right| Column { name, hint: 0, right, cut: false, lines: false, tree: false, number: false };
    let rows = FIELDS.iter().map(|row| {
        let kind = if row.number { "<integer>" } else { "<string>" };
        Row { cells: vec![row.name.into(), kind.into(), row.about.into()], parent: None }
    });
    let table = Table {
        name: "lsns-columns",
        columns: vec![column("HOLDER", true), column("TYPE", false), column("DESCRIPTION", false)],
        rows: rows.collect(),
        headings: false,
    };
    table.print(options.format(), width::terminal())
}

impl Options {
    fn format(&self) -> Format {
        if self.json {
            Format::Json
        } else if self.pairs {
            Format::Pairs
        } else if self.raw {
            Format::Raw
        } else {
            Format::Table
        }
    }

    /// All columns that are shown or filtered by.
    fn needed(&self) -> Vec<Field> {
        let filtered = self.filter.iter().flat_map(Filter::columns).filter_map(|name| Field::from_name(name));
        self.fields.iter().copied().chain(filtered).collect()
    }

    /// Whether `--sources` leaves this source in; processes are always looked at.
    fn looks_at(&self, source: &str) -> bool {
        self.sources.as_ref().is_none_or(|sources| sources.split(',').any(|wanted| wanted == source))
    }

    fn scope(&self) -> Scope {
        let needed = self.needed();
        let needs = |field| needed.contains(&field);
        let related = matches!(self.tree, Tree::Owner | Tree::Parent) || needs(Field::Pns) || needs(Field::Ons);
        let alone = self.task.filter(|_| !related && !needed.iter().any(|field| field.counts_processes()));
        let wide = alone.is_none() && self.task.is_none();
        Scope {
            kinds: self.kinds,
            only: alone,
            threads: wide && self.looks_at("threads"),
            for_children: false,
            descriptors: wide && self.looks_at("descriptors"),
            mounts: if wide && self.looks_at("mounts") {
                Mounts::All
            } else if needs(Field::Nsfs) {
                Mounts::Own
            } else {
                Mounts::None
            },
            relations: related,
            netnsids: needs(Field::Netnsid),
            lists: wide && self.looks_at("lists"),
        }
    }
}

fn list(options: &Options) -> Result<String, Stop> {
    let snapshot = match discover(&options.scope()) {
        Ok(snapshot) => snapshot,
        Err(error) => return fail(error.to_string()),
    };
    let mut listing = Listing {
        options,
        snapshot: &snapshot,
        users: Users::default(),
        parents: HashMap::new(),
        own_mounts: rustix::fs::stat("/proc/self/ns/mnt").map_or(0, |status| status.st_ino),
        rows: Vec::new(),
        of_namespace: vec![None; snapshot.namespaces.len()],
        of_process: HashMap::new(),
    };
    match options.namespace {
        Some(inode) => match snapshot.find(inode) {
            Some(index) => listing.add_members(index),
            None => return fail(format!("not found namespace: {inode}")),
        },
        None => listing.add_namespaces(),
    }
    let table =
        Table { name: "namespaces", columns: columns(options), rows: listing.rows, headings: !options.no_headings };
    Ok(table.print(options.format(), width::terminal()))
}

fn columns(options: &Options) -> Vec<Column> {
    let by_namespace = matches!(options.tree, Tree::Owner | Tree::Parent);
    let columns = options.fields.iter().map(|field| {
        let row = field.row();
        let tree = match field {
            Field::Command => options.tree == Tree::Process,
            Field::Ns => by_namespace,
            _ => false,
        };
        Column {
            name: row.name,
            hint: row.hint,
            right: row.right && !(by_namespace && *field == Field::Ns),
            cut: *field == Field::Command && !options.no_truncate,
            lines: *field == Field::Nsfs && !options.no_wrap,
            tree,
            number: row.number,
        }
    });
    columns.collect()
}

/// Rows as they are made.
struct Listing<'a> {
    options: &'a Options,
    snapshot: &'a Snapshot,
    users: Users,
    parents: HashMap<i32, i32>,
    own_mounts: u64,
    rows: Vec<Row>,
    of_namespace: Vec<Option<usize>>,
    of_process: HashMap<i32, usize>,
}

impl<'a> Listing<'a> {
    fn add_namespaces(&mut self) {
        for index in 0..self.snapshot.namespaces.len() {
            let namespace = &self.snapshot.namespaces[index];
            if self.options.persistent && namespace.processes != 0 {
                continue;
            }
            if let Some(pid) = self.options.task {
                let process = self.snapshot.find_process(pid).map(|place| &self.snapshot.processes[place]);
                if process.is_none_or(|process| process.namespace(namespace.kind) != Some(index)) {
                    continue;
                }
            }
            self.add_namespace(index);
        }
    }

    /// Adds the namespace below the one it belongs to, which is added first.
    fn add_namespace(&mut self, index: usize) {
        if self.of_namespace[index].is_some() {
            return;
        }
        let namespace = &self.snapshot.namespaces[index];
        let parent = self.snapshot.find(namespace.parent);
        let owner = self.snapshot.find(namespace.owner);
        let (first, above) = match self.options.tree {
            Tree::Owner => (owner, owner),
            Tree::Parent => (parent.or(owner), parent),
            Tree::None | Tree::Process => (None, None),
        };
        if let Some(first) = first {
            self.add_namespace(first);
        }
        let above = above.and_then(|above| self.of_namespace[above]);
        let leader = self.snapshot.leader(namespace);
        let above = match (self.options.tree, leader) {
            (Tree::Process, Some(process)) => {
                let parent = self.parent_of(process.pid);
                self.of_process.get(&parent).copied()
            }
            _ => above,
        };
        if let Some(row) = self.add_row(namespace, leader, above) {
            match (self.options.tree, leader) {
                (Tree::Owner | Tree::Parent, _) => self.of_namespace[index] = Some(row),
                (_, Some(process)) => {
                    self.of_process.insert(process.pid, row);
                }
                _ => {}
            }
        }
    }

    fn add_members(&mut self, index: usize) {
        let members: Vec<Process> = self.snapshot.members(index).copied().collect();
        for process in members {
            self.add_member(index, &process);
        }
    }

    /// Adds the process below its parent, which is added first where it is in the same namespace.
    fn add_member(&mut self, index: usize, process: &Process) {
        if self.of_process.contains_key(&process.pid) {
            return;
        }
        let namespace = &self.snapshot.namespaces[index];
        let mut above = None;
        if self.options.tree == Tree::Process {
            let parent = self.parent_of(process.pid);
            if let Some(place) = self.snapshot.find_process(parent).filter(|_| parent != process.pid) {
                let parent = self.snapshot.processes[place];
                if parent.namespace(namespace.kind) == Some(index) {
                    self.add_member(index, &parent);
                }
            }
            above = self.of_process.get(&parent).copied();
        }
        if let Some(row) = self.add_row(namespace, Some(process), above) {
            self.of_process.insert(process.pid, row);
        }
    }

    /// Adds a row, unless the filter is against it.
    fn add_row(&mut self, namespace: &'a Namespace, process: Option<&Process>, above: Option<usize>) -> Option<usize> {
        let options = self.options;
        if let Some(filter) = &options.filter {
            let passes = filter.passes(|column| {
                let Some(field) = Field::from_name(&filter.columns()[column]) else { return Value::Empty };
                let cell = self.cell(field, namespace, process);
                match (cell.as_str(), field.row().number) {
                    ("", _) => Value::Empty,
                    (cell, true) => cell.parse().map_or(Value::Empty, Value::Number),
                    (_, false) => Value::Text(cell.trim().to_owned()),
                }
            });
            if !passes {
                return None;
            }
        }
        let cells = options.fields.iter().map(|field| self.cell(*field, namespace, process)).collect();
        self.rows.push(Row { cells, parent: above });
        Some(self.rows.len() - 1)
    }

    fn parent_of(&mut self, pid: i32) -> i32 {
        *self.parents.entry(pid).or_insert_with(|| facts::parent(pid))
    }

    fn cell(&mut self, field: Field, namespace: &Namespace, process: Option<&Process>) -> String {
        let pid = process.map(|process| process.pid);
        let or_empty = |text: Option<String>| text.unwrap_or_default();
        match field {
            Field::Ns => namespace.inode.to_string(),
            Field::Type => namespace.kind.proc_name().to_owned(),
            Field::Nprocs => namespace.processes.to_string(),
            Field::Pns => namespace.parent.to_string(),
            Field::Ons => namespace.owner.to_string(),
            Field::Pid => or_empty(pid.map(|pid| pid.to_string())),
            Field::Ppid => or_empty(pid.map(|pid| self.parent_of(pid).to_string())),
            Field::Path => or_empty(pid.map(|pid| format!("/proc/{pid}/ns/{}", namespace.kind.proc_name()))),
            Field::Command => or_empty(pid.map(facts::command)),
            Field::Uid => self.uid(namespace, pid).to_string(),
            Field::User => {
                let uid = self.uid(namespace, pid);
                self.users.name(uid)
            }
            Field::Netnsid => match namespace.netnsid {
                NetnsId::Assigned(id) => id.to_string(),
                NetnsId::Unassigned => "unassigned".to_owned(),
                NetnsId::Unknown => String::new(),
            },
            Field::Nsfs => {
                let separator = if self.options.no_wrap { "," } else { "\n" };
                let paths = namespace.keepers.iter().filter_map(|keeper| match keeper {
                    Keeper::Mount { namespace, path, .. } if *namespace == self.own_mounts => path.to_str(),
                    _ => None,
                });
                paths.collect::<Vec<_>>().join(separator)
            }
        }
    }

    /// The user of the process, or who made a user namespace that has none.
    fn uid(&self, namespace: &Namespace, pid: Option<i32>) -> u32 {
        match pid {
            Some(pid) => facts::uid(pid).unwrap_or(0),
            None => namespace.owner_uid.unwrap_or(0),
        }
    }
}
