//! What the values of options and the operands complete to.

use clap::Arg;

use crate::{confine, install, ns_inspect, signals};

/// What a word is completed to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Values {
    /// Whatever the shell does by itself: files.
    Any,
    /// One of these. What ends in `=` is followed by more.
    Words(Vec<String>),
    /// Some of these, with commas between.
    List(Vec<String>),
    /// A container, or a process.
    Targets,
    /// A process.
    Processes,
    /// A container of this runtime.
    Containers,
}

impl Values {
    /// What `arg` of the command `place` completes to: what clap checks; the words of a name such as `allow|deny`, in which
    /// what stands for something is in capitals; or what the name stands for.
    pub(super) fn of(place: &str, arg: &Arg) -> Values {
        if !arg.get_action().takes_values() {
            return Values::Any;
        }
        let possible: Vec<String> = arg.get_possible_values().iter().map(|value| value.get_name().to_owned()).collect();
        if !possible.is_empty() {
            return Values::Words(possible);
        }
        let name = arg.get_value_names().and_then(<[_]>::first).map(|name| name.to_string()).unwrap_or_default();
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        match (place, name.as_str()) {
            (_, "SIGNAL") => Values::Words(signals::names().map(str::to_owned).collect()),
            (_, "CAPABILITY") => Values::Words(confine::capabilities()),
            (_, "CAPABILITY,...") => Values::List(confine::capabilities()),
            ("install", "APPLET") => Values::Words(install::names().map(str::to_owned).collect()),
            (_, "LIMIT=SOFT[:HARD]") => Values::Words(confine::limits().map(|name| format!("{name}=")).collect()),
            // These make a new one.
            ("runtime create" | "runtime run", "ID") => Values::Any,
            ("nsenter", "PID[:INODE]|CONTAINER") => Values::Targets,
            ("lsns", _) => match arg.get_long() {
                Some("type") => Values::Words(words(&["mnt", "net", "ipc", "user", "pid", "uts", "cgroup", "time"])),
                Some("tree") => Values::Words(words(&["owner", "parent", "process"])),
                Some("output") => Values::List(ns_inspect::lsns_columns().map(str::to_owned).collect()),
                Some("sources") => Values::List(words(&["processes", "threads", "descriptors", "mounts", "lists"])),
                Some("task") => Values::Processes,
                _ => Values::Any,
            },
            (place, "ID") if place.starts_with("runtime") => Values::Containers,
            (place, name) if place.starts_with("ns-inspect") => match name {
                "PID" => Values::Processes,
                "TARGET" | "A" | "B" => Values::Targets,
                // A dash in front turns the order round.
                "COLUMN" => Values::Words(
                    ns_inspect::columns().flat_map(|name| [name.to_owned(), format!("-{name}")]).collect(),
                ),
                "COLUMNS" => Values::List(ns_inspect::columns().map(str::to_owned).collect()),
                _ => Values::Any,
            },
            _ => {
                let all = name.split('|').filter(|_| name.contains('|'));
                let fixed = all.filter(|word| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase()));
                match fixed.map(str::to_owned).collect::<Vec<_>>() {
                    none if none.is_empty() => Values::Any,
                    some => Values::Words(some),
                }
            }
        }
    }

    /// In one word of a shell: a name, or `=` and the words of which one is meant, or `,` and those of which some are.
    pub(super) fn coded(&self) -> String {
        match self {
            Values::Any => "any".to_owned(),
            Values::Words(words) => format!("={}", words.join(",")),
            Values::List(words) => format!(",{}", words.join(",")),
            Values::Targets => "targets".to_owned(),
            Values::Processes => "processes".to_owned(),
            Values::Containers => "containers".to_owned(),
        }
    }
}

/// What all operands of a command complete to; `...` behind one that can be repeated.
pub(super) fn operands(entry: &super::Entry) -> Vec<String> {
    if entry.operands.iter().all(|operand| *operand == Values::Any) {
        return Vec::new();
    }
    let repeated = entry.repeats && entry.operands.last() != Some(&Values::Any);
    entry.operands.iter().map(Values::coded).chain(repeated.then(|| "...".to_owned())).collect()
}
