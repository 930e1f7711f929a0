//! `lsns` beside the system's, and beside a plain reading of all of `/proc`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::{inode, lsns, ns_inspect};
use crate::harness::{Output, eventually, nskit, program, skip};

/// util-linux's own: `UTIL_LINUX` names a folder with a newer one.
fn reference(words: &[&str]) -> Option<Output> {
    let folder = std::env::var("UTIL_LINUX").unwrap_or_else(|_| "/usr/bin".into());
    let path = Path::new(&folder).join("lsns");
    path.exists().then(|| program(path).args(words).run())
}

fn numbers(text: &str) -> BTreeSet<u64> {
    text.split_ascii_whitespace().filter_map(|word| word.parse().ok()).collect()
}

/// All namespaces that links in `/proc` name, of processes, threads and descriptors, and where the link is: numbers of
/// namespaces are used again.
fn brute_force() -> BTreeSet<(PathBuf, u64)> {
    let mut found = BTreeSet::new();
    let numbered = |path: &Path| {
        let entries = fs::read_dir(path).into_iter().flatten().flatten();
        entries
            .filter(|entry| entry.file_name().to_str().is_some_and(|name| name.parse::<u32>().is_ok()))
            .map(|entry| entry.path())
    };
    for process in numbered(Path::new("/proc")) {
        for thread in numbered(&process.join("task")) {
            for folder in ["ns", "fd"] {
                for entry in fs::read_dir(thread.join(folder)).into_iter().flatten().flatten() {
                    let Ok(link) = fs::read_link(entry.path()) else { continue };
                    let link = link.to_string_lossy();
                    let kinds = ["mnt", "uts", "ipc", "net", "pid", "user", "cgroup", "time"];
                    if kinds.iter().any(|kind| link.starts_with(&format!("{kind}:["))) {
                        found.insert((entry.path(), inode(&link)));
                    }
                }
            }
        }
    }
    found
}

#[test]
fn finds_all_that_a_plain_reading_of_proc_and_the_systems_lsns_find() {
    // Other tests make and end namespaces meanwhile: what was there before and after was there.
    let before = brute_force();
    let listed = reference(&["-n", "-r", "-o", "NS"]).map(|output| numbers(&output.stdout()));
    let ours = numbers(&lsns(&["-n", "-r", "-o", "NS"]).run().ok().stdout());
    let after = brute_force();
    let stayed: BTreeSet<u64> = before.intersection(&after).map(|(_, inode)| *inode).collect();
    assert!(stayed.is_subset(&ours), "missed: {:?}", stayed.difference(&ours).collect::<Vec<_>>());
    if let Some(listed) = listed {
        let missed: Vec<u64> = listed.intersection(&stayed).filter(|inode| !ours.contains(inode)).copied().collect();
        assert!(missed.is_empty(), "lsns finds {missed:?}");
    }
}

/// Runs a script in a pid namespace with a `/proc` of its own, so that nothing but the script shows.
pub(super) fn alone(script: &str) -> Output {
    let words = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child", "sh", "-c", script];
    program(nskit()).args(words).env("NSKIT", nskit()).run()
}

#[test]
fn prints_what_util_linux_prints() {
    if reference(&["--version"]).is_none() {
        skip!("util-linux's lsns is not installed");
    }
    let folder = std::env::var("UTIL_LINUX").unwrap_or_else(|_| "/usr/bin".into());
    // Options of 2.38 and of every version since: newer ones have cases of their own below.
    for words in [
        "-o NS,TYPE,PATH,PID,PPID,USER,UID,COMMAND",
        "-o NS,TYPE,PID,COMMAND -r",
        "-o NS,TYPE,PID,USER -J",
        "-l -o NS,NPROCS",
        "-n -o NS,TYPE",
        "-u -o NS,TYPE",
        "-t net -o NS,NSFS,NETNSID",
        "-t net -W -o NS,NSFS",
        "-t net -t mnt -o NS,TYPE,PNS,ONS",
        "-t pid -r -o NS,PNS,ONS",
        "-p 1 -o NS,TYPE,PID,NPROCS",
        "-p 999999",
        "-p abc",
        "-t bar",
        "-o FOO",
        "-o +PPID -t uts",
        "-x",
        "--frobnicate",
        "-t",
        "--type",
        "--raw=3",
        "12",
        "xyz",
        "-p 1 4026531836",
    ] {
        let script = format!(
            "sleep 30 & exec 2>&1; {{ (exec -a lsns {folder}/lsns {words}); echo $?; }} >/mnt/a.$$; \
             ln -s $NSKIT /mnt/lsns.$$; {{ (exec -a lsns /mnt/lsns.$$ {words}); echo $?; }} >/mnt/b.$$; \
             diff /mnt/a.$$ /mnt/b.$$ | grep '^[<>]'; s=$?; rm /mnt/a.$$ /mnt/b.$$ /mnt/lsns.$$; kill %1; test $s != 0"
        );
        // `exec -a` is bash's.
        let script = format!("bash -c '{}'", script.replace('\'', "'\\''"));
        let output = alone(&format!("mount -t tmpfs none /mnt; {script}"));
        assert!(output.code() == 0, "lsns {words}\n{}{}", output.stdout(), output.stderr());
    }
}

#[test]
fn options_exclude_each_other_in_the_order_they_came() {
    for (words, complaint) in [
        (&["-J", "-r"][..], "lsns: options --json and --raw cannot be combined"),
        (&["-p", "1", "-P"], "lsns: options --task and --persistent cannot be combined"),
        (&["-Q", "NS =="], "lsns: failed to parse \"NS ==\": syntax error, unexpected end of file"),
        (&["-Q", "FOO == 1"], "lsns: unknown column: FOO\nlsns: failed to initialize filter"),
        // Newer than 2.38, which takes 0 for no pid at all.
        (&["-p", "0"], "lsns: invalid PID argument: '0': Numerical result out of range"),
        (&["-T=what"], "lsns: unknown tree type: what"),
    ] {
        let output = lsns(words).run().exits(1);
        assert_eq!(output.stderr(), complaint);
        assert_eq!(output.stdout(), "");
    }
}

#[test]
fn complaints_about_options_point_at_the_help() {
    let output = lsns(&["-x"]).run().exits(1);
    assert_eq!(output.stderr(), "lsns: invalid option -- 'x'\nTry 'lsns --help' for more information.");
    lsns(&["--help"]).run().ok().mentions("--task <pid>").mentions("NETNSID");
    lsns(&["--version"]).run().ok().mentions("lsns from nskit");
}

#[test]
fn a_tree_of_processes_is_drawn_in_the_command_column() {
    let script = "sh -c 'sleep 30 & wait' & sleep 0.3; $NSKIT lsns -o PID,PPID,COMMAND $(readlink /proc/self/ns/pid | tr -dc 0-9)";
    let output = alone(script).ok();
    assert!(output.stdout().contains("`-") || output.stdout().contains("└─"), "{}", output.stdout());
}

#[test]
fn pairs_raw_and_json_can_be_read_by_programs() {
    lsns(&["--pairs", "-o", "TYPE,COMMAND", "-p", "self"]).run().exits(1);
    let own = std::process::id().to_string();
    lsns(&["--pairs", "-t", "user", "-o", "NS,TYPE", "-p", &own]).run().ok().mentions("TYPE=\"user\"");
    let json = lsns(&["-J", "-p", &own]).run().ok().stdout();
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert!(json["namespaces"].as_array().is_some_and(|namespaces| namespaces.len() >= 7));
}

#[test]
fn a_reader_that_went_away_is_no_failure() {
    for words in ["lsns", "lsns --help", "ns-inspect --json", "ns-inspect --help", "ns-inspect tree"] {
        let script = format!("set -o pipefail; {} {words} | true", nskit().display());
        let output = program("bash").args(["-c", &script]).run();
        assert_eq!(output.code(), 0, "{words}");
        let said = output.stderr();
        assert!(said.lines().all(|line| line.contains(": not looked at: ")), "{words}: {said}");
    }
}

#[test]
fn processes_that_end_while_they_are_read_are_left_out_quietly() {
    let churn = program("sh").args(["-c", "while :; do true & true & wait; done"]).start();
    for _ in 0..30 {
        let output = lsns(&[]).run().ok();
        assert_eq!(output.stderr(), "");
        ns_inspect(&[]).run().ok();
    }
    drop(churn);
}

#[test]
fn an_ordinary_user_sees_their_own_and_is_told_what_is_missing() {
    if !Path::new("/usr/bin/setpriv").exists() {
        skip!("setpriv is not installed");
    }
    let as_nobody = |words: &[&str]| {
        let prefix = ["--reuid", "65534", "--regid", "65534", "--clear-groups", "--inh-caps=-all"];
        // The binary may be where nobody can reach it.
        let script = format!(
            "cp {} /mnt/nskit; chmod 755 /mnt/nskit; exec setpriv {} /mnt/nskit {}",
            nskit().display(),
            prefix.join(" "),
            words.join(" ")
        );
        program(nskit())
            .args(["unshare", "--mount", "sh", "-c", &format!("mount -t tmpfs -o mode=1777 none /mnt; {script}")])
            .run()
    };
    as_nobody(&["lsns", "-p", "self"]).exits(1);
    as_nobody(&["ns-inspect"]).ok().complains("processes: Permission denied");
    as_nobody(&["lsns"]).ok();
    let hidden = "mount -t proc -o hidepid=2 proc /proc; cp $NSKIT /mnt/nskit; exec setpriv --reuid 65534 --regid 65534 --clear-groups /mnt/nskit ns-inspect";
    alone(&format!("mount -t tmpfs -o mode=1777 none /mnt; {hidden}"))
        .ok()
        .complains("hidepid=")
        .complains("inside a pid namespace");
}

#[test]
fn each_process_costs_at_most_twelve_system_calls() {
    if !Path::new("/usr/bin/strace").exists() {
        skip!("strace is not installed");
    }
    let calls = |processes: u32| -> f64 {
        let script = format!(
            "i=0; while [ $i -lt {processes} ]; do sleep 30 & i=$((i+1)); done; \
             strace -f -c -S calls -o /mnt/count.$$ $NSKIT lsns --sources=processes >/dev/null; \
             awk '$NF == \"total\" {{ print $(NF-1) == \"total\" ? 0 : $0 }}' /mnt/count.$$"
        );
        let output = alone(&format!("mount -t tmpfs none /mnt; {script}")).ok().stdout();
        output.split_ascii_whitespace().filter_map(|word| word.parse::<f64>().ok()).fold(0.0, f64::max)
    };
    let (few, many) = (calls(10), calls(60));
    let each = (many - few) / 50.0;
    assert!(each > 8.0 && each <= 12.0, "{each} a process ({few} and {many})");
}

#[test]
fn one_process_costs_the_same_however_many_there_are() {
    let own = std::process::id().to_string();
    let count = |words: &[&str]| {
        let strace = program("strace").args(["-f", "-o", "/dev/stdout"]).arg(nskit()).args(words).run();
        strace.stdout().lines().count()
    };
    if !Path::new("/usr/bin/strace").exists() {
        skip!("strace is not installed");
    }
    assert!(count(&["ns-inspect", "-p", &own]) < 250);
    assert!(count(&["lsns", "-p", &own, "-o", "NS,TYPE"]) < 120);
}

#[test]
fn bytes_of_a_command_that_are_no_text_are_shown_as_they_are() {
    let script = r#"exec -a "$(printf 'a\377b')" sleep 60"#;
    let words = ["unshare", "--uts", "bash", "-c", script];
    let running = program(nskit()).args(words).start();
    let pid = running.pid().to_string();
    eventually("it is executed", || {
        fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.starts_with(b"a\xff"))
    });
    for (options, expected) in [("-n", r"a\xffb 60"), ("-nr", r"a\xffb\x2060")] {
        let words = [options, "-o", "COMMAND", "-t", "uts", "-p", &pid];
        lsns(&words).run().ok().says(expected);
        if let Some(output) = reference(&words) {
            output.ok().says(expected);
        }
    }
    lsns(&["-J", "-o", "COMMAND", "-t", "uts", "-p", &pid]).run().ok().mentions("a\u{fffd}b 60");
}
