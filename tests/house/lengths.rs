//! A file over 500 lines is two things, a function over 60 several.

use super::sources;

const LONGEST_FILE: usize = 500;
const LONGEST_FUNCTION: usize = 60;

/// Files and functions that are longer, and why. Those that are to be split may only become fewer.
const EXCEPTIONS: [(&str, &str); 12] = [
    ("src/seccomp/syscalls/table.rs", "a table"),
    ("applets/ns_inspect/lsns/options.rs:parse", "a table"),
    ("src/sys/ahead.rs:start", "assembly"),
    ("src/container/criu/mod.rs", TO_BE_SPLIT),
    ("src/cgroup/apply.rs:explain", TO_BE_SPLIT),
    ("src/cgroup/systemd/wire.rs:value", TO_BE_SPLIT),
    ("src/container/spec/rootfs/mod.rs:plan", TO_BE_SPLIT),
    ("src/container/spec/rootfs/mount.rs:plan", TO_BE_SPLIT),
    ("src/mount/path.rs:create_missing", TO_BE_SPLIT),
    ("applets/generate/zsh.rs:completion", TO_BE_SPLIT),
    ("applets/hints/entering.rs:refused", TO_BE_SPLIT),
    ("applets/ns_inspect/mod.rs:text_of", TO_BE_SPLIT),
];

const TO_BE_SPLIT: &str = "to be split";

fn is_excepted(place: &str) -> bool {
    EXCEPTIONS.iter().any(|(exception, _)| place == *exception)
}

#[test]
fn no_file_is_longer_than_500_lines() {
    let all = ["src", "applets", "tests", "benches"].into_iter().flat_map(sources);
    let long: Vec<String> = all
        .map(|(path, text)| (path.display().to_string(), text.lines().count()))
        .filter(|(path, lines)| *lines > LONGEST_FILE && !is_excepted(path))
        .map(|(path, lines)| format!("{path}: {lines} lines"))
        .collect();
    assert!(long.is_empty(), "{}", long.join("\n"));
}

#[test]
fn no_function_is_longer_than_60_lines() {
    let all = ["src", "applets"].into_iter().flat_map(sources);
    let long: Vec<String> = all
        .flat_map(|(path, text)| {
            let path = path.display().to_string();
            functions(&text).into_iter().map(move |(name, lines)| (format!("{path}:{name}"), lines)).collect::<Vec<_>>()
        })
        .filter(|(place, lines)| *lines > LONGEST_FUNCTION && !is_excepted(place))
        .map(|(place, lines)| format!("{place}: {lines} lines"))
        .collect();
    assert!(long.is_empty(), "{}", long.join("\n"));
}

/// The functions of a file as rustfmt lays it out, with their lengths: each ends at the brace below its first letter.
fn functions(text: &str) -> Vec<(String, usize)> {
    let mut found = Vec::new();
    let mut open: Option<(String, usize, usize)> = None;
    for (number, line) in text.lines().enumerate() {
        let indent = line.len() - line.trim_start().len();
        let before_name = line.find("fn ").filter(|at| {
            let words = ["pub", "pub(crate)", "pub(super)", "const", "unsafe", "extern", "\"C\""];
            line[..*at].split_whitespace().all(|word| words.contains(&word))
        });
        if let Some(at) = before_name {
            let name: String = line[at + 3..].chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            open = Some((name, indent, number));
        }
        if let Some((name, _, from)) = open.take_if(|(_, at, _)| *at == indent && line.trim_start().starts_with('}')) {
            found.push((name, number - from + 1));
        }
    }
    found
}

#[test]
fn functions_are_found_with_their_lengths() {
    let text = "pub fn a() {\n}\nimpl X {\n    const fn b() {\n        if c {\n        }\n    }\n}\n";
    assert_eq!(functions(text), [("a".to_owned(), 2), ("b".to_owned(), 4)]);
}
