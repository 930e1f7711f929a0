//! Completion for bash.

use std::fmt::Write as _;

use super::{APPLETS, Entry, TARGETS, programs};

/// Where options end for unshare and nsenter, which the program's own completion goes on from.
const PROGRAM: &str = r#"
    if [[ $place == unshare || $place == nsenter ]]; then
        local start=1
        [[ ${COMP_WORDS[0]##*/} == nskit ]] && start=2
        for ((; start < COMP_CWORD; start++)); do
            case ${COMP_WORDS[start]} in
                --) ((start++)); break ;;
                =) ((start++)) ;;
                --*) [[ " $taking " == *" ${COMP_WORDS[start]} "* && ${COMP_WORDS[start+1]} != = ]] && ((start++)) ;;
                -*) [[ " $taking " == *" -${COMP_WORDS[start]: -1} "* ]] && ((start++)) ;;
                *) break ;;
            esac
        done
        if [[ $place == nsenter && start -lt COMP_CWORD ]] && NAMES | grep -Fxqe "${COMP_WORDS[start]}"; then
            ((start++))
            place=container
        fi
        if ((start < COMP_CWORD)); then
            declare -F _command_offset >/dev/null && _command_offset $start
            return
        fi
    fi
    if [[ $place == nsenter && ( $before == -t || $before == --target ) ]]; then
        COMPREPLY=($(compgen -W "$(TARGETS)" -- "$word"))
    elif [[ " $taking " == *" $before "* ]]; then
        COMPREPLY=($(compgen -W "$values" -- "$word"))
    elif [[ $word == -* ]]; then
        COMPREPLY=($(compgen -W "$options" -- "$word"))
        [[ ${COMPREPLY[0]} == *= ]] && compopt -o nospace
    elif [[ $place == nsenter ]]; then
        COMPREPLY=($(compgen -W "$(NAMES)" -- "$word") $(compgen -c -- "$word"))
    elif [[ $place == unshare || $place == container ]]; then
        COMPREPLY=($(compgen -c -- "$word"))
    elif [[ $place == ns-inspect* ]]; then
        COMPREPLY=($(compgen -W "$verbs $(NAMES)" -- "$word"))
    elif [[ -n $verbs ]]; then
        COMPREPLY=($(compgen -W "$verbs" -- "$word"))
    fi
}

"#;

pub(super) fn completion(entries: &[Entry]) -> String {
    let mut text = String::from(
        "# bash completion for nskit and its applets; written by `nskit generate`\n\n_nskit() {\n\
         \x20   local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} place= index=1\n\
         \x20   local options= taking= values= verbs=\n\
         \x20   COMPREPLY=()\n\
         \x20   # Readline takes = for a word: --option=value is three.\n\
         \x20   [[ $before == = ]] && ((COMP_CWORD > 1)) && before=${COMP_WORDS[COMP_CWORD-2]}\n\
         \x20   [[ $word == = ]] && word=\n    case ${COMP_WORDS[0]##*/} in\n",
    );
    for (program, applet) in programs() {
        let _ = writeln!(text, "        {program}) place={applet} ;;");
    }
    text.push_str(
        "    esac\n    while ((index < COMP_CWORD)); do\n        case \"${place:+$place }${COMP_WORDS[index]}\" in\n",
    );
    let paths: Vec<String> = entries.iter().map(|entry| format!("\"{}\"", entry.words)).collect();
    let _ = writeln!(text, "            {}) place=\"${{place:+$place }}${{COMP_WORDS[index]}}\" ;;", paths.join(" | "));
    text.push_str("        esac\n        ((index++))\n    done\n    case $place in\n");
    let applets: Vec<&str> = APPLETS.iter().map(|applet| applet.name).collect();
    let _ = writeln!(text, "        '') verbs='{} install'; options='--help --version --list' ;;", applets.join(" "));
    for entry in entries {
        let verbs: Vec<&str> = entry.subcommands.iter().map(|(name, _)| name.as_str()).collect();
        let _ = writeln!(
            text,
            "        '{}')\n            verbs='{}'\n            options='{}'\n            taking='{}' ;;",
            entry.words,
            verbs.join(" "),
            options(entry).join(" "),
            taking(entry).join(" ")
        );
    }
    text.push_str("    esac\n");
    values(&mut text, entries);
    let names = format!("{TARGETS} | grep -v '^[0-9]*$'");
    text.push_str(&PROGRAM.trim_start_matches('\n').replace("TARGETS", TARGETS).replace("NAMES", &names));
    let programs: Vec<String> = programs().into_iter().map(|(program, _)| program).collect();
    let _ = writeln!(text, "complete -o default -F _nskit nskit {}", programs.join(" "));
    text
}

/// The long options, and once more with `=` those whose value is attached.
fn options(entry: &Entry) -> Vec<String> {
    let mut names = Vec::new();
    for option in &entry.options {
        for name in option.names.iter().filter(|name| name.starts_with("--")) {
            names.push(name.clone());
            names.extend(option.attached.then(|| format!("{name}=")));
        }
    }
    names
}

/// The options whose value is the next word.
fn taking(entry: &Entry) -> Vec<&str> {
    let options = entry.options.iter().filter(|option| option.takes_value && !option.attached);
    options.flat_map(|option| option.names.iter().map(String::as_str)).collect()
}

/// What the word before the cursor wants to be followed by.
fn values(text: &mut String, entries: &[Entry]) {
    text.push_str("    case \"$place $before\" in\n");
    for entry in entries {
        for option in entry.options.iter().filter(|option| !option.values.is_empty()) {
            let cases: Vec<String> = option.names.iter().map(|name| format!("'{} {name}'", entry.words)).collect();
            let _ = writeln!(text, "        {}) values='{}' ;;", cases.join(" | "), option.values.join(" "));
        }
    }
    text.push_str("    esac\n");
}
