//! `lsns`: the options, columns and output of util-linux's lsns(8).

mod options;

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use nskit::inspect::{Keeper, Namespace, NetnsId, Process, Snapshot, discover, proc};

pub(crate) use self::options::command;
use self::options::{Options, Stop, Tree, fail, parse};
use super::facts::{self, Users};
use super::filter::Value;
use super::table::{Column, Row, Table};
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

/// The names of all columns.
pub(crate) fn column_names() -> impl Iterator<Item = &'static str> {
    FIELDS.iter().map(|row| row.name)
}

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

/// Runs `lsns`; `args` begin with the program's name.
pub(crate) fn run(args: &[OsString]) -> ExitCode {
    let argv0 = args.first().map_or_else(|| "lsns".into(), |name| name.to_string_lossy());
    let name = Path::new(&*argv0).file_name().map_or_else(|| "lsns".into(), |name| name.to_string_lossy().into_owned());
    match parse(args).and_then(|options| list(&options)) {
        Ok(text) | Err(Stop::Print(text)) => return crate::exec::print(&name, &text),
        Err(Stop::Silent) => {}
        Err(Stop::Fail(message)) => eprintln!("{name}: {message}"),
        Err(Stop::Usage(message)) => eprintln!("{argv0}: {message}\nTry '{name} --help' for more information."),
    }
    ExitCode::FAILURE
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
        *self.parents.entry(pid).or_insert_with(|| proc::parent(pid).unwrap_or(0))
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
            Field::Command => or_empty(pid.map(|pid| width::of_bytes(&facts::command_bytes(pid)))),
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
