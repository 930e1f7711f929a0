//! Seen from inside of a container and by ordinary users: nothing is claimed that cannot be known, and nothing that is
//! missing is passed over.

use super::views::started;
use super::{inode, ns_inspect};
use crate::harness::{Container, Output, nskit, program, skip};

/// Runs a script as process 1 of a pid namespace, with these other namespaces. `$NSKIT` is the binary.
fn inside(options: &[&str], script: &str) -> Output {
    let words = ["--pid", "--fork", "--mount-proc", "--kill-child"];
    let line = program(nskit()).arg("unshare").args(options).args(words).args(["sh", "-c", script]);
    line.env("NSKIT", nskit()).run().ok()
}

/// Runs a script as an ordinary user. `$N` is a copy of the binary that he can reach.
fn as_nobody(before: &str, script: &str) -> Output {
    let script = format!(
        "mount -t tmpfs -o mode=1777 none /mnt; cp $NSKIT /mnt/nskit; chmod 755 /mnt/nskit; export N=/mnt/nskit HOME=/mnt; \
         {before}; exec setpriv --reuid 65534 --regid 65534 --clear-groups --inh-caps=-all sh -c '{script}'"
    );
    program(nskit()).args(["unshare", "--mount", "sh", "-c", &script]).env("NSKIT", nskit()).run()
}

#[test]
fn process_1_of_a_pid_namespace_is_not_the_host() {
    let script = "$NSKIT ns-inspect 1; $NSKIT ns-inspect --json";
    let output = inside(&["--map-root-user", "--uts", "--net", "--ipc"], script);
    let text = output.stdout();
    let (view, json) = text.split_at(text.find("\n{").expect("a document"));
    for kind in ["mount", "uts", "ipc", "network", "pid", "user"] {
        let line = view.lines().find(|line| line.trim_start().starts_with(kind)).unwrap_or_else(|| panic!("{view}"));
        assert!(!line.contains("with the host"), "{line}");
    }
    let document: serde_json::Value = serde_json::from_str(json).expect("JSON");
    let namespaces = document["namespaces"].as_array().expect("an array");
    for kind in ["mnt", "uts", "ipc", "net", "pid", "user"] {
        let found = namespaces.iter().find(|namespace| namespace["type"] == kind);
        let host = &found.unwrap_or_else(|| panic!("no {kind} in {json}"))["host"];
        // Before Linux 6.18 that of mnt and net cannot be known.
        assert!(*host == false || (host.is_null() && ["mnt", "net"].contains(&kind)), "{kind}: {host}");
    }
}

#[test]
fn where_the_hosts_cannot_be_known_nothing_is_claimed() {
    if !std::path::Path::new("/usr/bin/strace").exists() {
        skip!("strace is not installed");
    }
    // A kernel that numbers mount and network namespaces like any other: it has no ioctl for their ids.
    let old = "strace -f -o /dev/null -e inject=ioctl:error=ENOTTY $NSKIT ns-inspect";
    let text = inside(&["--uts", "--net"], &format!("{old} 1; {old} tree; {old} --json")).stdout();
    let line = |start: &str| text.lines().find(|line| line.trim_start().starts_with(start)).unwrap_or_default();
    assert!(line("mount ").ends_with('?') && line("network ").ends_with('?'), "{text}");
    assert!(line("uts ").ends_with("no") && line("ipc ").contains("with the host"), "{text}");
    let document = &text[text.find("\n{").unwrap_or_else(|| panic!("{text}"))..];
    let document: serde_json::Value = serde_json::from_str(document).expect("JSON");
    for namespace in document["namespaces"].as_array().expect("an array") {
        let (kind, host) = (namespace["type"].as_str().expect("a string"), &namespace["host"]);
        assert_eq!(host.is_null(), ["mnt", "net"].contains(&kind), "{namespace}");
    }
    assert_eq!(text.matches("] host?, ").count(), 2, "{text}");
    let gaps = document["gaps"].to_string();
    assert!(gaps.contains("which mnt and net namespaces are the host's"), "{gaps}");
}

#[test]
fn a_container_does_not_call_what_it_has_the_hosts() {
    let container = Container::running();
    let words = ["nsenter", "--tools", "--target", &container.pid().to_string(), "--all"];
    let output = program(nskit()).args(words).args(["ns-inspect", "1"]).run().ok();
    let text = output.stdout();
    for kind in ["mount", "uts", "ipc", "network", "pid"] {
        let line = text.lines().find(|line| line.trim_start().starts_with(kind)).unwrap_or_else(|| panic!("{text}"));
        assert!(!line.contains("with the host"), "{line}");
    }
}

#[test]
fn the_tree_passes_over_no_namespace_whose_owner_is_not_to_be_seen() {
    let text =
        inside(&["--map-root-user"], "$NSKIT lsns --noheadings --raw --output NS; $NSKIT ns-inspect tree").stdout();
    let (listed, tree) = text.split_at(text.find("user:[").expect("a tree"));
    assert!(listed.lines().count() >= 7, "{listed}");
    for inode in listed.lines().map(|inode| inode.trim_matches(|c: char| !c.is_ascii_digit())) {
        assert!(tree.contains(&format!("[{inode}]")), "{inode} is not in {tree}");
    }
    assert!(tree.contains("owned by a user namespace that is not to be seen"), "{tree}");
}

#[test]
fn an_ordinary_user_sees_his_own_networks() {
    let script = "$N unshare --map-root-user --net sleep 60 & child=$!; \
        while [ $(readlink /proc/$child/ns/net) = $(readlink /proc/self/ns/net) ]; do sleep 0.05; done; \
        readlink /proc/self/ns/net /proc/$child/ns/net; $N ns-inspect net; $N ns-inspect net $child; kill $child";
    let text = as_nobody(":", script).ok().stdout();
    let names: Vec<&str> = text.lines().take(2).collect();
    for name in names {
        let at = text.lines().skip(2).position(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{text}"));
        let below = text.lines().nth(2 + at + 1).unwrap_or_default();
        assert!(below.trim_start().starts_with("LINK"), "{name}: {text}");
    }
}

#[test]
fn folders_of_containers_that_may_not_be_read_are_named() {
    let before = "mount -t tmpfs none /run; mkdir -m 700 /run/nskit";
    let output = as_nobody(before, "$N ns-inspect no-such-container");
    output.exits(1).complains("no container is called 'no-such-container' among those that can be seen");
    let output = as_nobody(before, "$N ns-inspect no-such-container");
    output.exits(1).complains("containers in /run/nskit").in_one_line();
    as_nobody(before, "$N ns-inspect").ok().complains("containers in /run/nskit");
}

#[test]
fn the_line_that_enters_works_as_it_is_for_whoever_asked() {
    // As user 0 of it, where groups cannot be dropped, and in one where there is no user 0.
    for options in ["--map-root-user --net", "--map-root-user --uts --ipc", "--user", "--map-current-user --mount"] {
        let script = format!(
            "$N unshare {options} sleep 60 & child=$!; \
             while [ $(readlink /proc/$child/ns/user) = $(readlink /proc/self/ns/user) ]; do sleep 0.05; done; sleep 0.1; \
             line=$($N ns-inspect enter $child) || exit; echo \"$line\"; set -- $line; shift; \
             for kind in user uts net ipc; do readlink /proc/$child/ns/$kind; $N nsenter \"$@\" readlink /proc/self/ns/$kind; done; \
             kill $child"
        );
        let here = format!("N=$NSKIT; {script}");
        let as_root = program("sh").args(["-c", &here]).env("NSKIT", nskit()).run();
        for output in [as_nobody(":", &script), as_root] {
            let output = output.ok();
            assert_eq!(output.stderr(), "", "{options}");
            let text = output.stdout();
            let mut lines = text.lines();
            let command = lines.next().unwrap_or_default();
            let links: Vec<&str> = lines.collect();
            assert_eq!(links.len(), 8, "{options}: {text}");
            assert!(links.chunks(2).all(|pair| pair[0] == pair[1]), "{command}: {links:?}");
        }
    }
}

#[test]
fn where_there_is_nothing_to_enter_no_command_is_printed() {
    let own = std::process::id().to_string();
    ns_inspect(&["enter", &own])
        .run()
        .exits(1)
        .complains("is in the caller's own namespaces: there is nothing to enter");
    let text = ns_inspect(&[&own]).run().ok().stdout();
    assert!(text.contains("there is nothing to enter") && !text.contains("nsenter"), "{text}");
    let script = "sh -c 'exit 0' & child=$!; \
        sh -c 'sleep 0.1 & exec sleep 2' & parent=$!; sleep 0.6; \
        for pid in $(cat /proc/$parent/task/$parent/children); do $0 ns-inspect enter $pid; done; kill $parent; wait $child";
    let output = program("sh").args(["-c", script, nskit().to_str().expect("UTF-8")]).run();
    let output = output.complains("has ended and waits for its parent: there is nothing to enter");
    assert_eq!(output.stdout(), "");
    // In a pid namespace of its own, which it names to its end.
    let script = "$0 unshare --pid sh -c 'sleep 0.1 & exec sleep 2' & parent=$!; sleep 0.6; \
        for pid in $(cat /proc/$parent/task/$parent/children); do $0 ns-inspect explain $pid; done; kill $parent";
    let text = program("sh").args(["-c", script, nskit().to_str().expect("UTF-8")]).run().ok().stdout();
    assert!(text.contains("there is nothing to enter") && !text.contains("yes"), "{text}");
    let uts = ns_inspect(&["net:[4026531833]"]).run();
    assert!(uts.stdout().lines().all(|line| line == line.trim_end()), "{}", uts.stdout());
}

#[test]
fn a_mount_namespace_of_another_user_takes_a_call_of_its_own_without_cap_sys_chroot() {
    if !std::path::Path::new("/usr/bin/setpriv").exists() {
        skip!("setpriv is not installed");
    }
    let script = "setpriv --reuid 65534 --regid 65534 --clear-groups unshare --map-root-user --mount sleep 60 & child=$!; \
        while [ \"$(readlink /proc/$child/ns/mnt)\" = \"$(readlink /proc/self/ns/mnt)\" ]; do sleep 0.05; done; sleep 0.1; \
        exec_as() { setpriv --bounding-set=-sys_chroot --inh-caps=-sys_chroot \"$@\"; }; \
        exec_as $0 ns-inspect explain $child; line=$(exec_as $0 ns-inspect enter $child); echo $line; set -- $line; shift; \
        exec_as $0 nsenter \"$@\" readlink /proc/self/ns/mnt; readlink /proc/$child/ns/mnt; \
        exec_as $0 nsenter --target $child --user --mount true; echo $?; kill $child";
    let output = program("sh").args(["-c", script, nskit().to_str().expect("UTF-8")]).run().ok();
    let output = output.mentions("yes, after the user namespace").mentions("lacks CAP_SYS_CHROOT in user:[");
    let text = output.stdout();
    let last: Vec<&str> = text.lines().rev().take(4).collect();
    // What the remark says of one call for both is so.
    assert_eq!(last[0], "1", "{text}");
    assert_eq!(inode(last[1]), inode(last[2]), "{text}");
    assert!(last[3].contains("--user=/proc/") && last[3].contains("--mount=/proc/"), "{text}");
}

#[test]
fn where_proc_numbers_processes_otherwise_the_caller_is_still_itself() {
    let (target, _) = started(&["--uts"], "true");
    let (nskit, pid) = (nskit(), target.pid().to_string());
    // Its own pid is 1, which in this /proc is another process.
    let from_below =
        |words: &[&str]| program(&nskit).args(["unshare", "-pf"]).arg(&nskit).arg("ns-inspect").args(words).run();
    let text = from_below(&["explain", &pid]).ok().stdout();
    let line = |kind: &str| text.lines().find(|line| line.trim_start().starts_with(kind)).unwrap_or_default();
    assert!(line("uts").ends_with("yes") && line("ipc").ends_with("the caller is in it"), "{text}");
    assert_eq!(from_below(&["enter", &pid]).ok().stdout(), format!("nsenter --target {pid} --uts"));
    from_below(&["mnt"]).ok().mentions("/ ");
    // This /proc shows the whole machine, or as much as of it as the tests' own does.
    let gap = "processes of other pid namespaces";
    assert_eq!(from_below(&[]).ok().stdout().contains(gap), ns_inspect(&[]).run().ok().stdout().contains(gap));
}

#[test]
fn who_is_not_to_be_seen_in_proc_is_not_taken_for_another() {
    let (target, _) = started(&["--pid", "--fork", "--mount-proc", "--kill-child"], "true");
    let children = format!("/proc/{0}/task/{0}/children", target.pid());
    let child = std::fs::read_to_string(children).expect("read its children");
    let nskit = nskit();
    let mounts = ["nsenter", "--mount", "--target", child.trim()];
    let beside = |words: &[&str]| program(&nskit).args(mounts).arg(&nskit).arg("ns-inspect").args(words).run();
    let why = "this process is not to be seen in /proc, which is that of another pid namespace";
    for words in [&["explain", "1"][..], &["explain", "1", "-J"], &["mnt"], &["enter", "1"]] {
        beside(words).exits(1).complains(why).in_one_line();
    }
    beside(&["1"]).ok().mentions(why).mentions("uts:[");
    beside(&[]).ok().complains(why);
}

#[test]
fn of_whom_nothing_can_be_read_nothing_is_claimed() {
    for json in ["", "--json"] {
        let output = as_nobody(":", &format!("$N ns-inspect explain --as $PPID $$ {json}")).exits(1);
        assert_eq!(output.stdout(), "");
        output.complains("may enter cannot be told: read its namespaces: Permission denied").in_one_line();
        let output = as_nobody(":", &format!("$N ns-inspect $PPID {json}")).exits(1);
        assert_eq!(output.stdout(), "");
        output.complains("may not be read").in_one_line();
    }
}

#[test]
fn a_process_with_more_capabilities_is_told_from_one_that_is_protected_otherwise() {
    let before = "setpriv --reuid 65534 --regid 65534 --clear-groups --inh-caps=+net_admin --ambient-caps=+net_admin \
        sleep 60 & export C=$!; while [ $(cat /proc/$C/comm) != sleep ]; do sleep 0.05; done";
    let output = as_nobody(before, "$N ns-inspect explain $C; kill $C").ok();
    let text = output.mentions("it has capabilities that the caller lacks: CAP_NET_ADMIN").stdout();
    assert!(!text.contains("dumpable"), "{text}");
}
