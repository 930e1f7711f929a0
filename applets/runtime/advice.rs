//! What to do about what people meet first: a few words behind the cause, in the same line.

/// The commands that engines have and runtimes have not, and what there is instead.
const ELSEWHERE: [(&str, &str); 8] = [
    ("stop", "`kill ID TERM` sends the signal, `delete --force ID` ends and removes the container"),
    ("restart", "`delete --force ID`, then `run ID`"),
    ("rm", "`delete ID`"),
    ("ls", "`list`"),
    ("logs", "a runtime keeps none: the container's output goes to whoever started it"),
    ("inspect", "`state ID`, or `ns-inspect ID`"),
    ("top", "`ps ID`"),
    ("attach", "`exec --tty ID PROGRAM` runs a program beside; the container's terminal is with whoever started it"),
];

/// What to do in place of the command `name`, which there is not.
pub(super) fn instead_of(name: &str) -> String {
    let known = ELSEWHERE.iter().find(|(other, _)| *other == name);
    known.map_or_else(|| "see --help".to_owned(), |(_, instead)| (*instead).to_owned())
}

/// What to do about a failure, which `message` tells.
pub(super) fn about(message: &str) -> Option<&'static str> {
    if message.starts_with("cannot allocate tty if runc will detach") {
        return Some("set process.terminal to false in config.json, give --console-socket, or leave --detach out");
    }
    let is_missing = message.starts_with("read ") && message.ends_with("config.json: no such file or directory");
    is_missing.then_some("name the bundle's folder with --bundle, or make a configuration with `nskit runtime spec`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_engines_have_is_answered_with_what_there_is() {
        assert!(instead_of("stop").contains("kill ID TERM"));
        assert_eq!(instead_of("nonsense"), "see --help");
    }

    #[test]
    fn a_folder_without_a_bundle_is_not_a_file_of_the_bundle() {
        assert!(about("read /b/config.json: no such file or directory").is_some());
        assert!(about("read /b/config.json: permission denied").is_none());
    }
}
