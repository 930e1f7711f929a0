//! Completion for fish.

use std::fmt::Write as _;

use super::bash::taking;
use super::values::Values;
use super::{APPLETS, CONTAINERS, Entry, TARGETS, programs, quoted, tools};

/// Where options end for unshare and nsenter, the program's own completion goes on.
const PROGRAM: &str = r#"# Completes the program behind the $argv[2] words that lead to $argv[1], whose options that take the next word follow.
function __nskit_program
    set -l place $argv[1]
    set -l taking $argv[3..-1]
    set -l words (commandline -opc)
    set -e words[1..$argv[2]]
    set -l tools
    set -l containers
    test $place = nsenter; and set containers (TARGETS | string match -rv '^[0-9]+$')
    while set -q words[1]
        set -l word $words[1]
        set -e words[1]
        # Who names a target names no container.
        string match -qr '^(--ta|-[aeFcZv]*t)' -- $word; and set containers
        switch $word
            case '--*=*'
            case --tools
                set tools yes
            case '--*'
                contains -- $word $taking; and set -e words[1]
            case '-*'
                contains -- -(string sub -s -1 -- $word) $taking; and set -e words[1]
            case '*'
                if contains -- $word $containers
                    set containers
                    continue
                end
                complete -C (string join ' ' -- (string escape -- $word $words) (commandline -ct))
                return
        end
    end
    test -z "$containers"; or printf '%s\tcontainer\n' $containers
    if test -n "$tools"
        printf '%s\n' TOOLS
    else
        complete -C (commandline -ct)
    end
end

"#;

pub(super) fn completion(entries: &[Entry]) -> String {
    let mut text = String::from(
        "# fish completion for nskit and its applets; written by `nskit generate`\n\n\
         # fish loads this by the name of the program; those of util-linux only where they are links to nskit.\n\
         set -l program (string replace -r '\\.fish$' '' -- (status basename))\n\n",
    );
    text.push_str(&PROGRAM.replace("TARGETS", TARGETS).replace("TOOLS", &tools()));
    let all = std::iter::once(("nskit".to_owned(), None));
    for (program, applet) in all.chain(programs().into_iter().map(|(program, applet)| (program, Some(applet)))) {
        let _ = writeln!(text, "if test \"$program\" = {program}");
        if applet.is_none() {
            for applet in APPLETS {
                let (name, about) = (applet.name, quoted(applet.about));
                let _ = writeln!(text, "    complete -c nskit -n __fish_use_subcommand -f -a {name} -d {about}");
            }
            let about = quoted("Install links to this binary");
            let _ = writeln!(text, "    complete -c nskit -n __fish_use_subcommand -f -a install -d {about}");
        }
        let of_program =
            |entry: &&Entry| applet.as_ref().is_none_or(|applet| entry.words.split(' ').next() == Some(applet));
        for entry in entries.iter().filter(of_program) {
            let words: Vec<&str> = entry.words.split(' ').skip(usize::from(applet.is_some())).collect();
            describe(&mut text, &program, &words, entry);
        }
        text.push_str("end\n");
    }
    text
}

/// One command, where `words` have been said.
fn describe(text: &mut String, program: &str, words: &[&str], entry: &Entry) {
    let seen: Vec<String> = words.iter().map(|word| format!("__fish_seen_subcommand_from {word}")).collect();
    let when = if seen.is_empty() { String::new() } else { format!(" -n '{}'", seen.join("; and ")) };
    for option in &entry.options {
        let _ = write!(text, "    complete -c {program}{when}");
        for name in &option.names {
            let _ = match name.strip_prefix("--") {
                Some(long) => write!(text, " -l {long}"),
                None => write!(text, " -s {}", &name[1..]),
            };
        }
        // An optional value completes only attached.
        let value = match (option.takes_value, offered(&option.values)) {
            (false, _) => String::new(),
            (true, Some(values)) if option.attached => format!(" -f -a {values}"),
            (true, Some(values)) => format!(" -x -a {values}"),
            (true, None) if option.attached => String::new(),
            (true, None) => " -r".to_owned(),
        };
        let _ = writeln!(text, "{value} -d {}", quoted(&option.about));
    }
    // Where a subcommand has been said, its own operands follow.
    let subcommands: Vec<&str> = entry.subcommands.iter().map(|(name, _)| name.as_str()).collect();
    let open = match (subcommands.is_empty(), seen.is_empty()) {
        (true, _) => when,
        (false, true) => " -n __fish_use_subcommand".to_owned(),
        (false, false) => {
            let none = format!("not __fish_seen_subcommand_from {}", subcommands.join(" "));
            format!(" -n '{}; and {none}'", seen.join("; and "))
        }
    };
    for (name, about) in &entry.subcommands {
        let _ = writeln!(text, "    complete -c {program}{open} -f -a {name} -d {}", quoted(about));
    }
    if matches!(entry.words.as_str(), "unshare" | "nsenter") {
        let skipped = 1 + words.len();
        let behind = format!("(__nskit_program {} {skipped} {})", entry.words, taking(entry).join(" "));
        let _ = writeln!(text, "    complete -c {program}{open} -f -a {}", quoted(&behind));
    }
    for operand in &entry.operands {
        if let Some(values) = offered(operand) {
            let _ = writeln!(text, "    complete -c {program}{open} -f -a {values}");
        }
    }
}

/// What `complete -a` takes.
fn offered(values: &Values) -> Option<String> {
    Some(match values {
        Values::Any => return None,
        Values::Words(words) => quoted(&words.join(" ")),
        Values::List(words) => quoted(&format!("(__fish_append , {})", words.join(" "))),
        Values::Targets => quoted(&format!("({TARGETS})")),
        Values::Processes => quoted(&format!("({TARGETS} | string match -r \"^[0-9]+\\$\")")),
        Values::Containers => quoted(&format!("({CONTAINERS} list -q 2>/dev/null)")),
    })
}
