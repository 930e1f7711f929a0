//! Reads a command line by the rules of getopt_long(3), which scripts written for util-linux rely on: clusters of short
//! options, values attached to them, unambiguous prefixes of long options, options after operands. What there is to read
//! comes from the clap command, so that help, manual and parser cannot disagree. Hidden options are known only by their
//! full names.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use clap::{Arg, Command};

/// What an option takes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Takes {
    Nothing,
    /// A value, attached or not.
    Value,
    /// A value, only where it is attached.
    Optional,
}

/// One thing that was read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Item {
    /// An option, by clap's id, with its value.
    Option(String, Option<OsString>),
    /// Something that is no option.
    Operand(OsString),
    /// getopt's complaint, without the program's name in front. Nothing follows it.
    Error(String),
}

fn takes(arg: &Arg) -> Takes {
    if !arg.get_action().takes_values() {
        return Takes::Nothing;
    }
    match arg.get_num_args() {
        Some(range) if range.min_values() == 0 => Takes::Optional,
        _ => Takes::Value,
    }
}

/// Reads the arguments (without the program's name) in order; operands come in their places.
pub(crate) fn read(command: &Command, args: impl IntoIterator<Item = OsString>) -> Vec<Item> {
    let options: Vec<&Arg> = command.get_arguments().filter(|arg| !arg.is_positional()).collect();
    let stop_at_operand = std::env::var_os("POSIXLY_CORRECT").is_some();
    let mut items = Vec::new();
    let mut args = args.into_iter();
    while let Some(arg) = args.next() {
        let bytes = arg.as_bytes();
        if bytes == b"--" {
            items.extend(args.by_ref().map(Item::Operand));
        } else if let Some(long) = bytes.strip_prefix(b"--") {
            items.push(read_long(&options, long, &mut args));
        } else if bytes.len() > 1 && bytes[0] == b'-' {
            read_cluster(&options, &bytes[1..], &mut args, &mut items);
        } else if stop_at_operand {
            items.push(Item::Operand(arg));
            items.extend(args.by_ref().map(Item::Operand));
        } else {
            items.push(Item::Operand(arg));
        }
        if matches!(items.last(), Some(Item::Error(_))) {
            break;
        }
    }
    items
}

fn read_long(options: &[&Arg], text: &[u8], rest: &mut impl Iterator<Item = OsString>) -> Item {
    let (name, value) = match text.iter().position(|&byte| byte == b'=') {
        Some(at) => (&text[..at], Some(OsStr::from_bytes(&text[at + 1..]).to_owned())),
        None => (text, None),
    };
    let name = String::from_utf8_lossy(name);
    let all = || options.iter().filter_map(|arg| Some((arg.get_long()?, *arg)));
    let (long, arg) = match all().find(|(long, _)| *long == name) {
        Some(exact) => exact,
        None => {
            let mut candidates = all().filter(|(long, arg)| long.starts_with(&*name) && !arg.is_hide_set());
            match (candidates.next(), candidates.next()) {
                (None, _) => return Item::Error(format!("unrecognized option '--{}'", String::from_utf8_lossy(text))),
                (Some(only), None) => only,
                _ => {
                    let list: Vec<String> = all()
                        .filter(|(long, arg)| long.starts_with(&*name) && !arg.is_hide_set())
                        .map(|(long, _)| format!("'--{long}'"))
                        .collect();
                    let text = String::from_utf8_lossy(text);
                    return Item::Error(format!("option '--{text}' is ambiguous; possibilities: {}", list.join(" ")));
                }
            }
        }
    };
    let id = arg.get_id().to_string();
    match (takes(arg), value) {
        (Takes::Nothing, Some(_)) => Item::Error(format!("option '--{long}' doesn't allow an argument")),
        (Takes::Value, None) => match rest.next() {
            Some(value) => Item::Option(id, Some(value)),
            None => Item::Error(format!("option '--{long}' requires an argument")),
        },
        (_, value) => Item::Option(id, value),
    }
}

fn read_cluster(
    options: &[&Arg],
    mut cluster: &[u8],
    rest: &mut impl Iterator<Item = OsString>,
    items: &mut Vec<Item>,
) {
    while let Some((&letter, after)) = cluster.split_first() {
        cluster = after;
        let Some(arg) = options.iter().find(|arg| arg.get_short() == Some(char::from(letter))) else {
            let letter = OsString::from_vec(vec![letter]);
            items.push(Item::Error(format!("invalid option -- '{}'", letter.to_string_lossy())));
            return;
        };
        let attached = (!after.is_empty()).then(|| OsStr::from_bytes(after).to_owned());
        let value = match takes(arg) {
            Takes::Nothing => {
                items.push(Item::Option(arg.get_id().to_string(), None));
                continue;
            }
            Takes::Optional => attached,
            Takes::Value => match attached.or_else(|| rest.next()) {
                Some(value) => Some(value),
                None => {
                    items.push(Item::Error(format!("option requires an argument -- '{}'", char::from(letter))));
                    return;
                }
            },
        };
        items.push(Item::Option(arg.get_id().to_string(), value));
        return;
    }
}

#[cfg(test)]
mod tests {
    use clap::ArgAction;

    use super::*;

    fn items(args: &[&str]) -> Vec<Item> {
        let mut command = Command::new("t")
            .arg(Arg::new("raw").short('r').long("raw").action(ArgAction::SetTrue))
            .arg(Arg::new("type").short('t').long("type").action(ArgAction::Append))
            .arg(Arg::new("task").short('p').long("task").action(ArgAction::Set))
            .arg(Arg::new("tree").short('T').long("tree").num_args(0..=1));
        command.build();
        read(&command, args.iter().map(OsString::from))
    }

    fn option(id: &str, value: Option<&str>) -> Item {
        Item::Option(id.into(), value.map(OsString::from))
    }

    #[test]
    fn letters_cluster_and_the_last_may_have_its_value_attached() {
        assert_eq!(items(&["-rtnet"]), [option("raw", None), option("type", Some("net"))]);
        assert_eq!(items(&["-rt", "net", "x"])[1..], [option("type", Some("net")), Item::Operand("x".into())]);
    }

    #[test]
    fn an_optional_value_must_be_attached() {
        assert_eq!(items(&["-T", "owner"]), [option("tree", None), Item::Operand("owner".into())]);
        assert_eq!(items(&["-Towner"]), [option("tree", Some("owner"))]);
        assert_eq!(items(&["--tree=owner"]), [option("tree", Some("owner"))]);
    }

    #[test]
    fn long_options_may_be_cut_short_while_they_stay_unambiguous() {
        assert_eq!(items(&["--ra"]), [option("raw", None)]);
        assert_eq!(items(&["--ty", "net"]), [option("type", Some("net"))]);
        let complaint = "option '--t' is ambiguous; possibilities: '--type' '--task' '--tree'";
        assert_eq!(items(&["--t"]), [Item::Error(complaint.into())]);
    }

    #[test]
    fn complaints_are_getopts_own() {
        for (args, complaint) in [
            (&["-x"][..], "invalid option -- 'x'"),
            (&["-t"], "option requires an argument -- 't'"),
            (&["--ty"], "option '--type' requires an argument"),
            (&["--raw=1"], "option '--raw' doesn't allow an argument"),
            (&["--what=1"], "unrecognized option '--what=1'"),
        ] {
            assert_eq!(items(args), [Item::Error(complaint.into())]);
        }
    }
}
