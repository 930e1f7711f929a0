//! The command line of lsns: util-linux's options, read by getopt's rules, validated in the order they come.

use std::ffi::OsString;

use clap::{Arg, Command};
use nskit::inspect::Scope;
use nskit::inspect::discover::Mounts;
use nskit::namespace::{Kind, Kinds};

use super::{FIELDS, Field};
use crate::getopt::{self, Argument, Opt, Words};
use crate::ns_inspect::filter::Filter;
use crate::ns_inspect::table::{Column, Format, Row, Table};
use crate::ns_inspect::width;

/// What an option is known by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Id {
    Json,
    List,
    NoHeadings,
    Output,
    OutputAll,
    Persistent,
    Task,
    Filter,
    Raw,
    Pairs,
    Sources,
    NoTruncate,
    NoWrap,
    Type,
    Tree,
    ListColumns,
    Help,
    Version,
}

/// Those with a common beginning are in util-linux's order, in which they are listed as possibilities.
const OPTIONS: &[Opt<Id>] = &[
    Opt::new(Id::Json, "J", "json", Argument::No, "use JSON output"),
    Opt::new(Id::List, "l", "list", Argument::No, "use a list, not a tree"),
    Opt::new(Id::NoTruncate, "u", "notruncate", Argument::No, "don't cut text to the terminal's width"),
    Opt::new(Id::NoHeadings, "n", "noheadings", Argument::No, "don't print headings"),
    Opt::new(Id::Output, "o:", "output", Argument::Required("list"), "columns to print; +LIST adds to the default"),
    Opt::new(Id::OutputAll, "", "output-all", Argument::No, "print all columns"),
    Opt::new(Id::Persistent, "P", "persistent", Argument::No, "only namespaces without processes"),
    Opt::new(Id::Task, "p:", "task", Argument::Required("pid"), "only namespaces of this process"),
    Opt::new(
        Id::Filter,
        "Q:",
        "filter",
        Argument::Required("expr"),
        "only those for which this holds, see scols-filter(5)",
    ),
    Opt::new(Id::Raw, "r", "raw", Argument::No, "use raw output"),
    Opt::own(Id::Pairs, "", "pairs", Argument::No, "use NAME=\"value\" pairs"),
    Opt::own(
        Id::Sources,
        "",
        "sources",
        Argument::Required("list"),
        "where to look: processes,threads,descriptors,mounts,lists",
    ),
    Opt::new(Id::NoWrap, "W", "nowrap", Argument::No, "one line a namespace, also with several NSFS paths"),
    Opt::new(
        Id::Type,
        "t:",
        "type",
        Argument::Required("name"),
        "only this kind: mnt, net, ipc, user, pid, uts, cgroup, time",
    ),
    Opt::new(Id::Tree, "T::", "tree", Argument::Optional("rel"), "use a tree of owner (default), parent or process"),
    Opt::new(Id::ListColumns, "H", "list-columns", Argument::No, "list the columns there are"),
    Opt::new(Id::Help, "h", "help", Argument::No, "display this help"),
    Opt::new(Id::Version, "V", "version", Argument::No, "display version"),
];

/// The command line, for manual and completions.
pub(crate) fn command() -> Command {
    let usage = "lsns [options] [<namespace ID>]";
    let about = "List namespaces, as util-linux's lsns does";
    getopt::command("lsns", about, usage, OPTIONS, "").mut_arg("program", |arg: Arg| {
        arg.value_name("namespace ID")
            .help("show the processes of the namespace with this inode number")
            .num_args(0..=1)
    })
}

/// What `--sources` takes.
const SOURCES: [&str; 5] = ["processes", "threads", "descriptors", "mounts", "lists"];

/// What a tree is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Tree {
    #[default]
    None,
    Process,
    Owner,
    Parent,
}

/// A validated command line.
#[derive(Default)]
pub(super) struct Options {
    pub(super) json: bool,
    pub(super) raw: bool,
    pub(super) pairs: bool,
    pub(super) list: bool,
    pub(super) tree: Tree,
    pub(super) persistent: bool,
    pub(super) no_headings: bool,
    pub(super) no_truncate: bool,
    pub(super) no_wrap: bool,
    pub(super) list_columns: bool,
    pub(super) task: Option<i32>,
    pub(super) namespace: Option<u64>,
    pub(super) kinds: Kinds,
    pub(super) filter: Option<Filter>,
    pub(super) sources: Option<String>,
    pub(super) output: Option<String>,
    pub(super) fields: Vec<Field>,
}

/// A complaint that ends the program: what follows `lsns: `.
pub(super) enum Stop {
    /// Say this and exit with status 1.
    Fail(String),
    /// As `Fail`, but without a message.
    Silent,
    /// getopt's complaint, after which the help is pointed at.
    Usage(String),
    /// Print this and exit with status 0.
    Print(String),
}

pub(super) fn fail<T>(message: impl Into<String>) -> Result<T, Stop> {
    Err(Stop::Fail(message.into()))
}

/// Reads the words, of which the first is the program's name.
pub(super) fn parse(args: &[OsString]) -> Result<Options, Stop> {
    let mut options = Options::default();
    let mut kinds = Kinds::NONE;
    let mut operand = None;
    let mut seen = Vec::new();
    let mut words = Words::new(OPTIONS, args);
    loop {
        let Some((id, value)) = words.option().map_err(Stop::Usage)? else {
            let Some(word) = words.operand() else { break };
            operand = operand.or(Some(word));
            if std::env::var_os("POSIXLY_CORRECT").is_some() {
                break;
            }
            continue;
        };
        exclude(&mut seen, id)?;
        let value = value.map(|value| value.to_string_lossy().into_owned());
        let text = || value.clone().unwrap_or_default();
        match id {
            Id::Json => options.json = true,
            Id::List => options.list = true,
            Id::NoHeadings => options.no_headings = true,
            Id::Output => options.output = Some(text()),
            Id::OutputAll => options.fields = FIELDS.iter().map(|row| row.field).collect(),
            Id::Persistent => options.persistent = true,
            Id::Task => options.task = Some(parse_pid(&text())?),
            Id::Filter => match Filter::parse(&text()) {
                Ok(filter) => options.filter = Some(filter),
                Err(why) => return fail(format!("failed to parse \"{}\": {why}", text())),
            },
            Id::Raw => (options.raw, options.no_wrap) = (true, true),
            Id::Pairs => (options.pairs, options.no_wrap) = (true, true),
            Id::Sources => {
                if let Some(unknown) = text().split(',').find(|source| !SOURCES.contains(source)) {
                    return fail(format!("unknown source: {unknown} (there are {})", SOURCES.join(", ")));
                }
                options.sources = Some(text());
            }
            Id::NoTruncate => options.no_truncate = true,
            Id::NoWrap => options.no_wrap = true,
            Id::Type => match Kind::from_proc_name(&text()) {
                Some(kind) => kinds.insert(kind),
                None => return fail(format!("unknown namespace type: {}", text())),
            },
            Id::Tree => {
                let relation = text();
                options.tree = match relation.strip_prefix('=').unwrap_or(&relation) {
                    "" if value.is_none() => Tree::Owner,
                    "owner" => Tree::Owner,
                    "parent" => Tree::Parent,
                    "process" => Tree::Process,
                    other => return fail(format!("unknown tree type: {other}")),
                };
            }
            Id::ListColumns => options.list_columns = true,
            Id::Help => return Err(Stop::Print(help())),
            Id::Version => return Err(Stop::Print(format!("lsns from nskit {}\n", env!("CARGO_PKG_VERSION")))),
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

fn exclude(seen: &mut Vec<Id>, id: Id) -> Result<(), Stop> {
    // Upstream means to exclude --list and --tree too, but its check never sees them; --tree wins.
    const EXCLUSIVE: [[Id; 2]; 2] = [[Id::Json, Id::Raw], [Id::Persistent, Id::Task]];
    for pair in EXCLUSIVE {
        let other = match pair {
            [one, other] if one == id => other,
            [other, one] if one == id => other,
            _ => continue,
        };
        if seen.contains(&other) {
            let name = |id| OPTIONS.iter().find(|option| option.id == id).map_or("", |option| option.long);
            return fail(format!("options --{} and --{} cannot be combined", name(other), name(id)));
        }
    }
    seen.push(id);
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

fn help() -> String {
    let mut text = String::from("\nUsage:\n lsns [options] [<namespace ID>]\n\nList system namespaces.\n\nOptions:\n");
    for option in OPTIONS {
        let short = option.short.chars().next().map_or("   ".into(), |short| format!("-{short},"));
        let value = match option.argument {
            Argument::No => String::new(),
            Argument::Optional(name) => format!("[=<{name}>]"),
            Argument::Required(name) => format!(" <{name}>"),
        };
        let words = format!(" {short} --{}{value}", option.long);
        text.push_str(&format!("{words:<24} {}\n", option.help));
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
    /// How to print.
    pub(super) fn format(&self) -> Format {
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

    /// What to discover.
    pub(super) fn scope(&self) -> Scope {
        let needed = self.needed();
        let needs = |field| needed.contains(&field);
        let related = matches!(self.tree, Tree::Owner | Tree::Parent) || needs(Field::Pns) || needs(Field::Ons);
        let alone = self.task.filter(|_| !related && !needed.iter().any(|field| field.counts_processes()));
        let wide = alone.is_none() && self.task.is_none();
        Scope {
            kinds: self.kinds,
            only: alone,
            threads: wide && self.looks_at("threads"),
            for_children: wide && self.looks_at("processes"),
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
            ..Scope::EVERYTHING
        }
    }
}
