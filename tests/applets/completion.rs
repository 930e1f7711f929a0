//! Completion as bash does it: the function is called as readline calls it.

use std::os::unix::fs::symlink;

use crate::harness::{TempDir, nskit, program};

/// What bash offers for each command line, whose words readline has split, with two containers on the machine of which
/// one has a name that a shell would run.
fn offered(lines: &[&str]) -> Vec<String> {
    let dir = TempDir::new();
    symlink(nskit(), dir.join("nskit")).expect("link the binary");
    std::fs::write(dir.join("nskit.bash"), include_str!("../../completions/nskit.bash")).expect("write a file");
    let mut script = String::from(
        "mount -t tmpfs none /run && cd /run || exit 1
        mkdir -p nskit/web-1 'nskit/web$(touch hacked)'
        for state in nskit/*; do echo \"{\\\"init_process_pid\\\": $$}\" >\"$state/state.json\"; done
        source $FILE
        offer() {
            COMP_WORDS=(\"$@\") COMP_CWORD=$(($# - 1))
            _nskit 2>/dev/null
            echo \"=${COMPREPLY[@]}\"
        }\n",
    );
    lines.iter().for_each(|line| script.push_str(&format!("offer {line}\n")));
    script.push_str("[ ! -e hacked ] || echo hacked\n");
    let path = format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", dir.path().display());
    let output = program("/usr/bin/unshare")
        .args(["--mount", "--propagation", "private", "bash", "--norc", "-c", &script])
        .env("FILE", dir.join("nskit.bash"))
        .env("PATH", path)
        .run()
        .ok();
    output.stdout().lines().map(|line| line.trim_start_matches('=').to_owned()).collect()
}

#[test]
fn bash_completes_options_their_values_and_verbs() {
    let offered = offered(&[
        "nsenter --t",
        "nskit nsenter --tar",
        "unshare --propagation s",
        "unshare --setgroups = ''",
        "ns-inspect tr",
        "nskit-runtime --log-format j",
        "nskit uns",
    ]);
    let expected = [
        "--target --time --time= --tools --tools=",
        "--target",
        "shared slave",
        "allow deny",
        "tree",
        "json",
        "unshare",
    ];
    assert_eq!(offered, expected);
}

#[test]
fn bash_completes_containers_and_never_runs_what_one_is_called() {
    let offered = offered(&[
        "nsenter -t web",
        "nsenter --target = web",
        "nsenter web-",
        "nskit nsenter web-",
        "ns-inspect show web",
        "nsenter -t '$'",
        "nsenter web-1 /no/such/file",
    ]);
    assert_eq!(offered, ["web-1", "web-1", "web-1", "web-1", "web-1", "", ""]);
}

#[test]
fn bash_completes_process_ids() {
    assert!(offered(&["nsenter -t 1"])[0].split(' ').any(|word| word == "1"));
}
