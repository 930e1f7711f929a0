//! Completion for zsh.

use std::fmt::Write as _;

use super::bash::{aliases, filled};
use super::values::{Values, operands};
use super::{APPLETS, Entry, programs, quoted};

/// What words are completed to, as [`Values::coded`] has it.
const VALUES: &str = r#"# Completes to what $1 says: a source, or = or , and the words of which one or some are meant.
_nskit_values() {
    local -a found root
    local index
    case $1 in
        any) _files; return ;;
        targets)
            [[ $PREFIX == [0-9]* ]] || found=(${(f)"$(NAMES)"})
            (( $#found )) || found=(${(f)"$(TARGETS)"}) ;;
        processes) found=(${(f)"$(TARGETS | grep '^[0-9]*$')"}) ;;
        containers)
            index=${words[(i)--root]}
            (( index < CURRENT )) && root=(--root ${words[index+1]})
            found=(${(f)"$(CONTAINERS $root list -q 2>/dev/null)"}) ;;
        ,*) compset -P '*[,+]'; found=(${(s:,:)1#,}) ;;
        '='*) found=(${(s:,:)1#=}) ;;
    esac
    compadd -S '' -- ${(M)found:#*=}
    compadd -- ${found:#*=}
}

"#;

/// What is completed, once it is known where.
const PROGRAM: &str = r#"
    for (( index = behind; index < CURRENT; index++ )); do
        # Who names a target names no container.
        [[ $place == nsenter && $start == 0 && ${words[index]} =~ '^(--ta|-[aeFcZv]*t)' ]] && place=container
        case ${words[index]} in
            --) (( start )) || start=$((index + 1)) ;;
            --tools) tools=yes ;;
            --*=*) ;;
            --*) (( ${taking[(I)${words[index]}]} )) && (( index++ )) ;;
            -*) (( ${taking[(I)-${words[index][-1]}]} )) && (( index++ )) ;;
            *) (( start )) || start=$index
               (( nth++ )) ;;
        esac
    done
    if [[ $place == nsenter ]] && (( start && start < CURRENT )) && NAMES | grep -Fxqe "${words[start]}"; then
        (( start++ ))
        place=container
    fi
    if [[ $place == (unshare|nsenter|container) ]] && (( start && start < CURRENT )); then
        shift $((start - 1)) words
        (( CURRENT -= start - 1 ))
        _normal
    elif [[ -n $attached ]]; then
        compset -P 1 '*='
        _nskit_values $values
    elif (( ${taking[(I)$before]} )); then
        _nskit_values $values
    elif [[ ${words[CURRENT]} == -* ]]; then
        _describe -o option options
    elif [[ $place == (nsenter|unshare|container) ]]; then
        [[ $place == nsenter ]] && compadd -- ${(f)"$(NAMES)"}
        if [[ -n $tools ]]; then
            compadd -- TOOLS
        else
            _command_names -e
        fi
    else
        if [[ ${operands[-1]} == ... ]]; then
            shift -p operands
            (( nth < $#operands )) || nth=$(( $#operands - 1 ))
        fi
        (( nth == 0 && $#verbs )) && _describe command verbs
        if (( nth < $#operands )); then
            _nskit_values ${operands[nth+1]}
        elif (( ! $#verbs )); then
            _files
        fi
    fi
}

_nskit "$@"
"#;

pub(super) fn completion(entries: &[Entry]) -> String {
    let mut text = String::from("#compdef nskit\n# written by `nskit generate`\n\n");
    text.push_str(&filled(VALUES));
    text.push_str(
        "_nskit() {\n\
         \x20   local place= behind=2 start=0 nth=0 index before=${words[CURRENT-1]} attached= tools= values=any\n\
         \x20   local -a options verbs taking operands\n\
         \x20   if [[ ${words[CURRENT]} == --*=* ]]; then\n\
         \x20       before=${words[CURRENT]%%=*} attached=yes\n\
         \x20   fi\n\
         \x20   case ${words[1]:t} in\n",
    );
    for (program, applet) in programs() {
        let _ = writeln!(text, "        {program}) place={applet} ;;");
    }
    text.push_str(
        "    esac\n    for (( index = 2; index < CURRENT; index++ )); do\n        case \"${place:+$place }${words[index]}\" in\n",
    );
    let paths: Vec<String> = entries.iter().map(|entry| format!("\"{}\"", entry.words)).collect();
    let _ = writeln!(
        text,
        "            {}) place=\"${{place:+$place }}${{words[index]}}\" behind=$((index + 1)) ;;",
        paths.join("|")
    );
    for (alias, applet) in aliases() {
        let _ = writeln!(text, "            {alias}) place={applet} behind=$((index + 1)) ;;");
    }
    text.push_str("        esac\n    done\n    [[ $place == 'ns-inspect list' ]] && place=lsns\n    case $place in\n");
    text.push_str("        '')\n            verbs=(\n");
    for applet in APPLETS {
        let _ = writeln!(text, "                {}", quoted(&format!("{}:{}", applet.name, applet.about)));
    }
    text.push_str("                'install:Install links to this binary'\n            ) ;;\n");
    for entry in entries {
        let _ = writeln!(text, "        '{}')\n            options=(", entry.words);
        for option in &entry.options {
            for name in &option.names {
                let described = format!("{}:{}", name.replace(':', "\\:"), option.about.replace(':', "\\:"));
                let _ = writeln!(text, "                {}", quoted(&described));
            }
        }
        text.push_str("            )\n            verbs=(\n");
        for (name, about) in &entry.subcommands {
            let _ = writeln!(text, "                {}", quoted(&format!("{name}:{}", about.replace(':', "\\:"))));
        }
        let taking: Vec<&str> = entry
            .options
            .iter()
            .filter(|option| option.takes_value && !option.attached)
            .flat_map(|option| option.names.iter().map(String::as_str))
            .collect();
        let _ = writeln!(
            text,
            "            )\n            taking=({})\n            operands=({}) ;;",
            taking.join(" "),
            operands(entry).iter().map(|operand| quoted(operand)).collect::<Vec<_>>().join(" ")
        );
    }
    text.push_str("    esac\n    case \"$place $before\" in\n");
    for entry in entries {
        for option in entry.options.iter().filter(|option| option.values != Values::Any) {
            let cases: Vec<String> = option.names.iter().map(|name| format!("'{} {name}'", entry.words)).collect();
            let _ = writeln!(text, "        {}) values={} ;;", cases.join("|"), quoted(&option.values.coded()));
        }
    }
    text.push_str("    esac\n");
    text.push_str(filled(PROGRAM).trim_start_matches('\n'));
    text
}
