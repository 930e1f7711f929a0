//! Completion for bash.

use std::fmt::Write as _;

use super::values::{Values, operands};
use super::{APPLETS, CONTAINERS, Entry, NAMES, TARGETS, programs, tools};

/// What words are completed to, as [`Values::coded`] has it.
const VALUES: &str = r#"# Completes the word $1 to what $2 says: a source, or = or , and the words of which one or some are meant.
_nskit_values() {
    local word=$1 before= words= root=()
    case $2 in
        targets)
            [[ $word == [0-9]* ]] || words=$(NAMES)
            [[ -n $words ]] || words=$(TARGETS) ;;
        processes) words=$(TARGETS | grep '^[0-9]*$') ;;
        containers)
            for ((index = 1; index < COMP_CWORD; index++)); do
                [[ ${COMP_WORDS[index]} == --root ]] || continue
                [[ ${COMP_WORDS[index+1]} == = ]] && ((index++))
                root=(--root "${COMP_WORDS[index+1]}")
            done
            words=$(CONTAINERS "${root[@]}" list -q 2>/dev/null | grep -x '[A-Za-z0-9_.+-]*') ;;
        ,*) before=${word%"${word##*[,+]}"} word=${word##*[,+]} words=${2//,/ } ;;
        =*) words=${2#=} words=${words//,/ } ;;
    esac
    COMPREPLY=($(compgen -P "$before" -W "$words" -- "$word"))
    [[ ${COMPREPLY[0]} == *= ]] && compopt -o nospace
}

"#;

/// Where options end for unshare and nsenter, which the program's own completion goes on from.
const PROGRAM: &str = r#"
    for ((index = behind; index < COMP_CWORD; index++)); do
        # Who names a target names no container.
        [[ $place == nsenter && $start == 0 && ${COMP_WORDS[index]} =~ ^(--ta|-[aeFcZv]*t) ]] && place=container
        case ${COMP_WORDS[index]} in
            --) ((start)) || start=$((index + 1)) ;;
            =) ((index++)) ;;
            --tools) [[ ${COMP_WORDS[index+1]} == = ]] || tools=yes ;;
            --*) [[ " $taking " == *" ${COMP_WORDS[index]} "* && ${COMP_WORDS[index+1]} != = ]] && ((index++)) ;;
            -*) [[ " $taking " == *" -${COMP_WORDS[index]: -1} "* ]] && ((index++)) ;;
            *) ((start)) || start=$index
               ((nth++)) ;;
        esac
    done
    if [[ $place == nsenter ]] && ((start && start < COMP_CWORD)) && NAMES | grep -Fxqe "${COMP_WORDS[start]}"; then
        ((start++))
        place=container
    fi
    if [[ $place == unshare || $place == nsenter || $place == container ]] && ((start && start < COMP_CWORD)); then
        declare -F _command_offset >/dev/null && _command_offset $start
        return
    fi
    if [[ -n $attached || " $taking " == *" $before "* ]]; then
        _nskit_values "$word" "$values"
    elif [[ $word == -* ]]; then
        COMPREPLY=($(compgen -W "$options" -- "$word"))
        [[ ${COMPREPLY[0]} == *= ]] && compopt -o nospace
    elif [[ $place == nsenter || $place == container ]] && [[ -n $tools ]]; then
        [[ $place == container ]] || COMPREPLY=($(compgen -W "$(NAMES)" -- "$word"))
        COMPREPLY+=($(compgen -W 'TOOLS' -- "$word"))
    elif [[ $place == nsenter ]]; then
        COMPREPLY=($(compgen -W "$(NAMES)" -- "$word") $(compgen -c -- "$word"))
    elif [[ $place == unshare || $place == container ]]; then
        COMPREPLY=($(compgen -c -- "$word"))
    else
        operands=($operands)
        if [[ $operands && ${operands[${#operands[@]}-1]} == ... ]]; then
            unset "operands[${#operands[@]}-1]"
            ((nth < ${#operands[@]})) || nth=$((${#operands[@]} - 1))
        fi
        ((nth < ${#operands[@]})) && _nskit_values "$word" "${operands[nth]}"
        ((nth == 0)) && COMPREPLY=($(compgen -W "$verbs" -- "$word") "${COMPREPLY[@]}")
    fi
}

# As the name that bash-completion loads this file by: those of util-linux only where they are links to nskit.
_nskit_name=${BASH_SOURCE[0]##*/}
complete -o default -F _nskit nskit "${_nskit_name%.bash}"
unset _nskit_name
"#;

pub(super) fn completion(entries: &[Entry]) -> String {
    let mut text = String::from("# bash completion for nskit and its applets; written by `nskit generate`\n\n");
    text.push_str(&filled(VALUES));
    text.push_str(
        "_nskit() {\n\
         \x20   local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} attached= place= behind=1 start=0 nth=0 index\n\
         \x20   local tools= options= taking= values=any verbs= operands=\n\
         \x20   COMPREPLY=()\n\
         \x20   # Readline takes = for a word: --option=value is three.\n\
         \x20   if [[ $word == = ]]; then\n\
         \x20       word= attached=yes\n\
         \x20   elif [[ $before == = ]] && ((COMP_CWORD > 1)); then\n\
         \x20       before=${COMP_WORDS[COMP_CWORD-2]} attached=yes\n\
         \x20   fi\n\
         \x20   case ${COMP_WORDS[0]##*/} in\n",
    );
    for (program, applet) in programs() {
        let _ = writeln!(text, "        {program}) place={applet} ;;");
    }
    text.push_str(
        "    esac\n    for ((index = 1; index < COMP_CWORD; index++)); do\n        case \"${place:+$place }${COMP_WORDS[index]}\" in\n",
    );
    let paths: Vec<String> = entries.iter().map(|entry| format!("\"{}\"", entry.words)).collect();
    let _ = writeln!(
        text,
        "            {}) place=\"${{place:+$place }}${{COMP_WORDS[index]}}\" behind=$((index + 1)) ;;",
        paths.join(" | ")
    );
    for (alias, applet) in aliases() {
        let _ = writeln!(text, "            {alias}) place={applet} behind=$((index + 1)) ;;");
    }
    text.push_str("        esac\n    done\n    [[ $place == 'ns-inspect list' ]] && place=lsns\n    case $place in\n");
    let applets: Vec<&str> = APPLETS.iter().map(|applet| applet.name).collect();
    let _ = writeln!(text, "        '') verbs='{} install'; options='--help --version --list' ;;", applets.join(" "));
    for entry in entries {
        let verbs: Vec<&str> = entry.subcommands.iter().map(|(name, _)| name.as_str()).collect();
        let _ = writeln!(
            text,
            "        '{}')\n            verbs='{}'\n            options='{}'\n            taking='{}'\n            operands='{}' ;;",
            entry.words,
            verbs.join(" "),
            options(entry).join(" "),
            taking(entry).join(" "),
            operands(entry).join(" ")
        );
    }
    text.push_str("    esac\n");
    values(&mut text, entries);
    text.push_str(filled(PROGRAM).trim_start_matches('\n'));
    text
}

/// Other names of applets, and what they are names of.
pub(super) fn aliases() -> impl Iterator<Item = (&'static str, &'static str)> {
    APPLETS.iter().flat_map(|applet| applet.aliases.iter().map(|alias| (*alias, applet.name)))
}

/// With the commands in the place of what stands for them.
pub(super) fn filled(template: &str) -> String {
    template
        .replace("NAMES", NAMES)
        .replace("TOOLS", &tools())
        .replace("TARGETS", TARGETS)
        .replace("CONTAINERS", CONTAINERS)
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
pub(super) fn taking(entry: &Entry) -> Vec<&str> {
    let options = entry.options.iter().filter(|option| option.takes_value && !option.attached);
    options.flat_map(|option| option.names.iter().map(String::as_str)).collect()
}

/// What the word before the cursor wants to be followed by.
fn values(text: &mut String, entries: &[Entry]) {
    text.push_str("    case \"$place $before\" in\n");
    for entry in entries {
        for option in entry.options.iter().filter(|option| option.values != Values::Any) {
            let cases: Vec<String> = option.names.iter().map(|name| format!("'{} {name}'", entry.words)).collect();
            let _ = writeln!(text, "        {}) values='{}' ;;", cases.join(" | "), option.values.coded());
        }
    }
    text.push_str("    esac\n");
}
