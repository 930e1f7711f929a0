//! `nskit generate [DIR]`: man pages and completions for bash, zsh and fish, from the commands that the applets describe
//! themselves by. Hidden: `make generate` calls it, and a test compares what is committed with what it writes.
//!
//! The completions ask `nskit complete` for what only the machine knows: processes and containers.

mod bash;
mod fish;
mod values;
mod zsh;

use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;

use clap::{Arg, ArgAction, Command};
use nskit::error::Attempt;

use super::APPLETS;
use super::exec::Voice;
use values::Values;

/// Runs it on the arguments behind `generate`.
pub(crate) fn run(args: &[OsString]) -> ExitCode {
    let folder = args.first().map_or(Path::new("."), Path::new);
    for (name, text) in files() {
        let path = folder.join(&name);
        let written = std::fs::create_dir_all(path.parent().unwrap_or(folder))
            .and_then(|()| std::fs::write(&path, text))
            .attempt(|| format!("write {}", path.display()));
        if let Err(error) = written {
            return Voice { name: "nskit generate".to_owned(), verbose: false }.fail(&error.into());
        }
    }
    ExitCode::SUCCESS
}

/// Runs `nskit complete`: names of running containers and ids of processes, one a line.
///
/// Shells expand what they complete from, and whoever may make a cgroup may name one: a name with anything but letters,
/// digits and the punctuation of names is left out.
pub(crate) fn complete() -> ExitCode {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let processes: Vec<i32> = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    let inventory = nskit::inspect::containers::Inventory::gather(processes.iter().copied());
    let running = inventory.containers.iter().filter(|container| container.pid.is_some());
    let is_plain = |name: &String| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:/@+".contains(&byte));
    let mut text = String::new();
    for name in running.map(nskit::inspect::containers::Container::title).filter(is_plain) {
        let _ = writeln!(text, "{name}");
    }
    for process in processes {
        let _ = writeln!(text, "{process}");
    }
    super::exec::print("nskit complete", &text)
}

/// One command of the completions: the words that lead to it, and what may follow.
struct Entry {
    words: String,
    options: Vec<OptionEntry>,
    /// What the words that are no options complete to.
    operands: Vec<Values>,
    /// The last of the operands can be given more than once.
    repeats: bool,
    subcommands: Vec<(String, String)>,
}

struct OptionEntry {
    names: Vec<String>,
    about: String,
    takes_value: bool,
    attached: bool,
    values: Values,
}

/// Every file, by its path in the project.
fn files() -> Vec<(String, String)> {
    let mut files = vec![("man/nskit.1".to_owned(), man_of_all())];
    let mut entries = Vec::new();
    for applet in APPLETS {
        let mut command = (applet.command)();
        command.build();
        let page = applet.link();
        files.push((format!("man/{page}.1"), man(page, &command)));
        collect(applet.name.to_owned(), &command, &mut entries);
    }
    let mut install = super::install::command();
    install.build();
    collect("install".to_owned(), &install, &mut entries);
    files.push(("completions/nskit.bash".to_owned(), bash::completion(&entries)));
    files.push(("completions/_nskit".to_owned(), zsh::completion(&entries)));
    files.push(("completions/nskit.fish".to_owned(), fish::completion(&entries)));
    files
}

fn collect(words: String, command: &Command, entries: &mut Vec<Entry>) {
    let visible = || command.get_subcommands().filter(|sub| !sub.is_hide_set() && sub.get_name() != "help");
    entries.push(Entry {
        options: options(command).map(|arg| option(&words, arg)).collect(),
        operands: command.get_positionals().map(|arg| Values::of(&words, arg)).collect(),
        repeats: command.get_positionals().last().is_some_and(|arg| matches!(arg.get_action(), ArgAction::Append)),
        subcommands: visible().map(|sub| (sub.get_name().to_owned(), about(sub))).collect(),
        words: words.clone(),
    });
    for sub in visible() {
        collect(format!("{words} {}", sub.get_name()), sub, entries);
    }
}

fn options(command: &Command) -> impl Iterator<Item = &Arg> {
    command.get_arguments().filter(|arg| !arg.is_positional() && !arg.is_hide_set())
}

fn option(place: &str, arg: &Arg) -> OptionEntry {
    let long = arg.get_long().map(|name| format!("--{name}"));
    let short = arg.get_short().map(|letter| format!("-{letter}"));
    let takes_value = arg.get_action().takes_values();
    OptionEntry {
        names: long.into_iter().chain(short).collect(),
        about: first_line(arg.get_help().map(ToString::to_string)),
        takes_value,
        attached: takes_value && arg.is_require_equals_set(),
        values: Values::of(place, arg),
    }
}

fn about(command: &Command) -> String {
    first_line(command.get_about().map(ToString::to_string))
}

fn first_line(text: Option<String>) -> String {
    text.unwrap_or_default().lines().next().unwrap_or_default().to_owned()
}

/// Processes and containers of the machine.
const TARGETS: &str = "nskit complete 2>/dev/null";
/// Containers alone.
const NAMES: &str = "nskit complete 2>/dev/null | grep -v '^[0-9]*$'";
/// The runtime, which lists its own.
const CONTAINERS: &str = "nskit runtime";

/// The links by which applets are completed, and the applets.
fn programs() -> Vec<(String, String)> {
    let applet = |link: &str| super::find(super::program_name(link.as_ref())).map(|applet| applet.name.to_owned());
    super::install::names().filter_map(|link| Some((link.to_owned(), applet(link)?))).collect()
}

/// What `nsenter --tools` can start.
fn tools() -> String {
    let names: Vec<&str> = APPLETS.iter().map(|applet| applet.name).chain(["nskit"]).collect();
    names.join(" ")
}

/// In single quotes, for shells.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// Text as roff takes it.
fn roff(text: &str) -> String {
    let escaped = text.replace('\\', "\\e").replace('-', "\\-");
    escaped
        .lines()
        .map(|line| if line.starts_with(['.', '\'']) { format!("\\&{line}") } else { line.to_owned() })
        .collect::<Vec<_>>()
        .join("\n")
}

fn man(page: &str, command: &Command) -> String {
    let mut text = format!(
        ".\\\" written by `nskit generate`\n.TH {} 1 \"\" \"nskit {}\" \"User Commands\"\n.SH NAME\n{} \\- {}\n",
        roff(&page.to_uppercase()),
        env!("CARGO_PKG_VERSION"),
        roff(page),
        roff(&about(command))
    );
    let usage = command.clone().render_usage().to_string();
    let _ = writeln!(text, ".SH SYNOPSIS\n{}", roff(usage.strip_prefix("Usage: ").unwrap_or(&usage)));
    if let Some(long) = command.get_long_about().map(ToString::to_string) {
        let _ = writeln!(text, ".SH DESCRIPTION\n{}", roff(&long).replace("\n\n", "\n.PP\n"));
    }
    man_options(&mut text, command);
    let subcommands: Vec<&Command> =
        command.get_subcommands().filter(|sub| !sub.is_hide_set() && sub.get_name() != "help").collect();
    if !subcommands.is_empty() {
        text.push_str(".SH COMMANDS\n");
        for sub in subcommands {
            let _ = writeln!(text, ".SS {}\n{}", roff(sub.get_name()), roff(&about(sub)));
            for arg in options(sub).chain(sub.get_arguments().filter(|arg| arg.is_positional())) {
                man_option(&mut text, arg);
            }
        }
    }
    if let Some(after) = command.get_after_help().map(ToString::to_string) {
        let _ = writeln!(text, ".SH NOTES\n{}", roff(&after).replace("\n\n", "\n.PP\n"));
    }
    if let Some(after) = command.get_after_long_help().map(ToString::to_string) {
        man_sections(&mut text, &after);
    }
    text.push_str(if matches!(page, "unshare" | "nsenter") { NOTES } else { "" });
    let others = APPLETS.iter().map(super::Applet::link).filter(|other| *other != page);
    let others: Vec<String> = others.map(|other| format!(".BR {} (1)", roff(other))).collect();
    let _ = writeln!(text, ".SH SEE ALSO\n{},\n.BR namespaces (7)", others.join(",\n"));
    text
}

/// Sections as they are in long help: a heading is not indented, text is by two blanks; so is a term, with two blanks or
/// more before what it means, which may also be below it, indented further.
fn man_sections(text: &mut String, help: &str) {
    let mut paragraph = false;
    for line in help.lines() {
        let rest = line.trim_start();
        let term = rest.split_once("  ").map(|(term, meaning)| (term, meaning.trim_start()));
        let _ = match (line.len() - rest.len(), term) {
            _ if rest.is_empty() => {
                paragraph = true;
                continue;
            }
            (0, _) => writeln!(text, ".SH {}", roff(rest)),
            (2, Some((term, meaning))) => writeln!(text, ".TP\n\\fB{}\\fR\n{}", roff(term), roff(meaning)),
            (2, None) if is_term(help, line) => writeln!(text, ".TP\n\\fB{}\\fR", roff(rest)),
            (2, None) if paragraph => writeln!(text, ".PP\n{}", roff(rest)),
            _ => writeln!(text, "{}", roff(rest)),
        };
        paragraph = false;
    }
}

/// Whether the line behind this one is indented further.
fn is_term(help: &str, line: &str) -> bool {
    help.lines().skip_while(|other| *other != line).nth(1).is_some_and(|next| next.starts_with("   "))
}

const NOTES: &str = "\
.SH EXIT STATUS
.TP
.B 0\\-255
That of the program.
.TP
.B 1
Something before the program failed; what, and often why, is on standard error.
.TP
.B 126
The program cannot be executed.
.TP
.B 127
The program is not there.
.PP
A program that a signal killed ends the process that waits for it by the same signal, which shells tell as 128 and the
signal's number; where that process is the first of a pid namespace, which no signal of its own kills, it exits with
that number.
.SH ENVIRONMENT
.TP
.B SHELL
The program by default.
.TP
.B NSKIT_HINTS
When 0, errors are not followed by hints at their causes.
";

fn man_options(text: &mut String, command: &Command) {
    text.push_str(".SH OPTIONS\n");
    for arg in options(command).chain(command.get_arguments().filter(|arg| arg.is_positional())) {
        man_option(text, arg);
    }
}

fn man_option(text: &mut String, arg: &Arg) {
    let mut names: Vec<String> = Vec::new();
    names.extend(arg.get_short().map(|letter| format!("\\fB\\-{letter}\\fR")));
    names.extend(arg.get_long().map(|name| format!("\\fB\\-\\-{}\\fR", roff(name))));
    let value = arg.get_value_names().map(|names| names.iter().map(|name| roff(name)).collect::<Vec<_>>().join(" "));
    let value = value.filter(|_| arg.get_action().takes_values());
    let head = match value {
        Some(value) if arg.is_positional() => format!("\\fI{value}\\fR"),
        Some(value) if arg.is_require_equals_set() => format!("{}[=\\fI{value}\\fR]", names.join(", ")),
        Some(value) => format!("{} \\fI{value}\\fR", names.join(", ")),
        None => names.join(", "),
    };
    let help = arg.get_long_help().or(arg.get_help()).map(ToString::to_string).unwrap_or_default();
    let _ = writeln!(text, ".TP\n{head}\n{}", roff(&help));
}

fn man_of_all() -> String {
    let mut text = format!(
        ".\\\" written by `nskit generate`\n.TH NSKIT 1 \"\" \"nskit {}\" \"User Commands\"\n.SH NAME\nnskit \\- Linux namespaces in one \
         binary\n.SH SYNOPSIS\nnskit APPLET [ARGUMENT]...\n.br\nnskit \\-\\-list | \\-\\-help | \\-\\-version\n.br\nnskit install [\\-\\-dir DIR] \
         [\\-\\-hard\\-links] [\\-\\-force] [APPLET]...\n.SH APPLETS\n",
        env!("CARGO_PKG_VERSION")
    );
    for applet in APPLETS {
        let _ = writeln!(text, ".TP\n.B {}\n{}", roff(applet.name), roff(applet.about));
    }
    text.push_str(
        ".SH DESCRIPTION\nThe file that is executed says which applet starts: a link to the binary, or a copy of it, by the name of \
         an applet, with \\fBnskit\\-\\fR in front or any other words around it, such as \\fBrootless\\-unshare\\fR or \
         \\fBunshare.real\\fR. A link to such a link does too. What the caller gives for the program's name (\\fIargv\\fR[0]) \
         counts only where the file says nothing.\n.PP\nUnder any other name the first argument is the applet; options and \
         commands of a container runtime, as in \\fBnskit \\-\\-root DIR create ID\\fR, start the runtime.\n.PP\n\\fBnskit install\\fR makes such links in DIR (/usr/local/bin), for all applets or those that are named. It \
         replaces links to nskit, and other programs only with \\fB\\-\\-force\\fR.\n",
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_committed_is_what_is_generated() {
        for (name, text) in files() {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(&name);
            let committed = std::fs::read_to_string(&path).unwrap_or_default();
            assert!(committed == text, "{name} is stale: run `make generate`");
        }
    }
}
