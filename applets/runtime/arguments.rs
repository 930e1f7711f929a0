//! Command lines as engines write them for runc: long options with one dash too, options only before a command to run.

use std::ffi::OsString;

use anyhow::anyhow;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, Command};

/// Arguments as text.
///
/// # Errors
/// When one is not UTF-8: ids, options and configurations are.
pub(super) fn text(args: Vec<OsString>) -> anyhow::Result<Vec<String>> {
    args.into_iter()
        .map(|arg| arg.into_string().map_err(|arg| anyhow!("argument {:?} is not UTF-8", arg.to_string_lossy())))
        .collect()
}

/// Splits a command line behind the global options: what is left begins with the verb.
pub(super) fn split(globals: &Command, args: Vec<String>) -> (Vec<String>, Vec<String>) {
    let mut before = Vec::new();
    let mut args = args.into_iter();
    before.extend(args.next());
    while let Some(arg) = args.next() {
        if !arg.starts_with('-') {
            return (before, std::iter::once(arg).chain(args).collect());
        }
        let arg = two_dashes(globals, arg);
        let needs_value = needs_value(globals, &arg);
        before.push(arg);
        if needs_value {
            before.extend(args.next());
        }
    }
    (before, Vec::new())
}

/// The arguments of a verb with two dashes before every long option. What follows the first positional argument of a
/// verb that runs a command is that command's.
pub(super) fn normalise(command: &Command, args: Vec<String>) -> Vec<String> {
    let takes_command = command.get_positionals().any(Arg::is_trailing_var_arg_set);
    let mut args = args.into_iter();
    let mut all: Vec<String> = args.by_ref().take(1).collect();
    while let Some(arg) = args.next() {
        if arg == "--" || (takes_command && !arg.starts_with('-')) {
            all.push(arg);
            break;
        }
        let arg = two_dashes(command, arg);
        let needs_value = needs_value(command, &arg);
        all.push(arg);
        if needs_value {
            all.extend(args.next());
        }
    }
    all.extend(args);
    all
}

fn option<'a>(command: &'a Command, name: &str) -> Option<&'a Arg> {
    command
        .get_arguments()
        .find(|arg| arg.get_long() == Some(name) || arg.get_all_aliases().is_some_and(|all| all.contains(&name)))
}

fn two_dashes(command: &Command, arg: String) -> String {
    let Some(name) = arg.strip_prefix('-').filter(|name| !name.starts_with('-') && name.len() > 1) else { return arg };
    let name = name.split('=').next().unwrap_or(name);
    if option(command, name).is_some() || name == "help" { format!("-{arg}") } else { arg }
}

fn needs_value(command: &Command, arg: &str) -> bool {
    let takes = |arg: &Arg| arg.get_action().takes_values();
    match arg.strip_prefix("--") {
        Some(name) => !name.contains('=') && option(command, name).is_some_and(takes),
        // The last of a cluster of letters may want a value, if no letter before it has taken the rest for its own.
        None => {
            let letters = arg.trim_start_matches('-');
            for (at, letter) in letters.char_indices() {
                let found = command.get_arguments().find(|arg| arg.get_short() == Some(letter));
                if found.is_some_and(takes) {
                    return at + letter.len_utf8() == letters.len();
                }
            }
            false
        }
    }
}

/// What is wrong with a command line, in one line; in Go's words where engines look for them.
pub(super) fn explain(error: &clap::Error) -> String {
    let context = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        Some(ContextValue::Strings(all)) => Some(all.join(", ")),
        _ => None,
    };
    let value = context(ContextKind::InvalidValue).unwrap_or_default();
    let arg = context(ContextKind::InvalidArg).unwrap_or_default();
    let option = arg.split([' ', '=']).next().unwrap_or_default().to_owned();
    match error.kind() {
        ErrorKind::InvalidValue if value.is_empty() => format!("flag needs an argument: {option}"),
        ErrorKind::UnknownArgument if arg.starts_with('-') => format!("flag provided but not defined: {arg}"),
        ErrorKind::UnknownArgument => format!("there is an argument too many: {arg}"),
        ErrorKind::MissingRequiredArgument => format!("missing argument: {arg}"),
        ErrorKind::InvalidValue | ErrorKind::ValueValidation => {
            let valid = context(ContextKind::ValidValue).map(|valid| format!(" (one of {valid})")).unwrap_or_default();
            let why = std::error::Error::source(error).map(|source| format!(": {source}")).unwrap_or_default();
            format!("invalid value {value:?} for {option}{valid}{why}")
        }
        _ => error.to_string().lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command() -> Command {
        Command::new("exec")
            .arg(clap::arg!(-e --env <VAR> "x"))
            .arg(clap::arg!(-t --tty "x"))
            .arg(clap::arg!(--"no-subreaper" "x"))
            .arg(clap::arg!(<ID> "x"))
            .arg(clap::arg!([ARGS] ... "x").trailing_var_arg(true))
    }

    fn normal(args: &[&str]) -> Vec<String> {
        normalise(&command(), args.iter().map(|arg| (*arg).to_owned()).collect())
    }

    #[test]
    fn one_dash_is_as_good_as_two() {
        assert_eq!(normal(&["exec", "-no-subreaper", "-env=A=1", "id"]), ["exec", "--no-subreaper", "--env=A=1", "id"]);
        assert_eq!(normal(&["exec", "-te", "-env", "id"]), ["exec", "-te", "-env", "id"]);
    }

    #[test]
    fn what_follows_the_id_belongs_to_the_command() {
        assert_eq!(normal(&["exec", "-t", "id", "ls", "-env", "-tty"]), ["exec", "-t", "id", "ls", "-env", "-tty"]);
    }

    #[test]
    fn a_missing_value_is_told_in_the_words_that_podman_looks_for() {
        let error = command().try_get_matches_from(["exec", "--env"]).unwrap_err();
        assert_eq!(explain(&error), "flag needs an argument: --env");
    }
}
