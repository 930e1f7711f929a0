//! The views, one test a view.

use std::net::TcpListener;

use super::{everything, inode, linked, ns_inspect};
use crate::harness::{Running, TempDir, eventually, nskit, program};

/// A program in new namespaces of these kinds that has said `ready`, and what it said before.
pub(super) fn started(options: &[&str], script: &str) -> (Running, String) {
    let script = format!("{script}; echo ready; exec sleep 60");
    let running = program(nskit()).arg("unshare").args(options).args(["sh", "-c", &script]).start();
    eventually("it runs", || running.stdout().contains("ready"));
    let said = running.stdout();
    (running, said)
}

#[test]
fn the_overview_lists_namespaces_of_no_container_with_their_processes() {
    let (running, said) = started(&["--uts"], "readlink /proc/self/ns/uts");
    let output = ns_inspect(&["--all"]).run().ok();
    let line = said.lines().next().expect("a line").to_owned();
    let output = output.mentions(&line);
    assert!(output.stdout().lines().any(|text| text.contains(&line) && text.contains(&running.pid().to_string())));
}

#[test]
fn a_process_is_shown_with_what_it_shares_with_the_host_and_how_to_enter() {
    let (running, _) = started(&["--uts", "--ipc"], "true");
    let pid = running.pid().to_string();
    let output = ns_inspect(&[&pid]).run().ok();
    let output = output.mentions(&format!("enter with: nsenter --target {pid} --uts --ipc"));
    let line = |kind: &str| {
        output.stdout().lines().find(|line| line.trim_start().starts_with(kind)).unwrap_or_default().to_owned()
    };
    assert!(line("uts").contains(" no ") && line("network").contains("with the host"));
    ns_inspect(&["enter", &pid]).run().ok().says(&format!("nsenter --target {pid} --uts --ipc"));
    ns_inspect(&["-p", "999999999"]).run().exits(1).complains("there is no process 999999999");
}

#[test]
fn the_tree_shows_maps_and_what_a_user_namespace_owns() {
    let (running, _) = started(&["--map-root-user", "--uts"], "true");
    let user = linked(&format!("/proc/{}/ns/user", running.pid()));
    let uts = linked(&format!("/proc/{}/ns/uts", running.pid()));
    let text = ns_inspect(&["tree"]).run().ok().stdout();
    let lines: Vec<&str> = text.lines().collect();
    let at = lines.iter().position(|line| line.contains(&format!("user:[{user}]"))).expect("the namespace");
    assert!(lines[at].contains("uids 0->0"), "{}", lines[at]);
    assert!(lines[at + 1..].iter().take(3).any(|line| line.contains(&format!("uts:[{uts}]"))), "{text}");
}

#[test]
fn two_targets_are_compared_kind_by_kind() {
    let (running, _) = started(&["--uts"], "true");
    let output = ns_inspect(&["diff", &std::process::id().to_string(), &running.pid().to_string()]).run().ok();
    for line in output.stdout().lines().skip(3) {
        assert_eq!(line.ends_with("no"), line.starts_with("uts"), "{line}");
    }
}

#[test]
fn a_pid_is_translated_through_all_levels_and_back() {
    let script = "readlink /proc/self/ns/pid; sleep 60 & echo ready; wait";
    let running = program(nskit())
        .args(["unshare", "--pid", "--fork", "--mount-proc", "--kill-child", "sh", "-c", script])
        .start();
    eventually("it runs", || running.stdout().contains("ready"));
    let namespace = inode(running.stdout().lines().next().expect("a line"));
    let document = everything();
    // The one with the lowest pid need not be the first: pids begin anew.
    let member = super::namespace(&document, namespace)["leader"]["pid"].to_string();
    let said = ns_inspect(&["pid", "1", "--in", &member]).run().ok().stdout();
    let (title, command) = said.lines().next().and_then(|line| line.split_once(": ")).expect("a title and a command");
    assert!(command.starts_with("sh "), "{said}");
    let leader = title.split([' ', ',']).nth(1).expect("process PID");
    ns_inspect(&["pid", leader]).run().ok().mentions(&format!("pid:[{namespace}]  1"));
    ns_inspect(&["pid", "99", "--in", &member]).run().exits(1).complains("no process is 99 in the pid namespace");
}

#[test]
fn the_mount_tree_marks_what_is_mounted_over() {
    let dir = TempDir::new();
    let path = dir.path().display().to_string();
    let (running, _) = started(&["--mount"], &format!("mount -t tmpfs one {path}; mount -t tmpfs two {path}"));
    let text = ns_inspect(&["mnt", &running.pid().to_string()]).run().ok().stdout();
    let line = |source: &str| text.lines().find(|line| line.contains(source)).unwrap_or_default().to_owned();
    assert!(line("tmpfs one").contains("hidden by tmpfs"), "{text}");
    assert!(!line("tmpfs two").contains("hidden"), "{text}");
}

#[test]
fn a_busy_path_tells_which_mount_namespaces_hold_it() {
    let (source, target) = (TempDir::new(), TempDir::new());
    let bind = format!("mount --bind {} {}", source.path().display(), target.path().display());
    let (running, _) = started(&["--mount"], &bind);
    let namespace = linked(&format!("/proc/{}/ns/mnt", running.pid()));
    ns_inspect(&["mnt", "--holds", &source.path().display().to_string()])
        .run()
        .ok()
        .mentions(&format!("mnt:[{namespace}]"))
        .mentions(&target.path().display().to_string());
}

#[test]
fn a_mount_that_was_left_in_another_namespace_holds_the_path_that_it_is_on() {
    let dir = TempDir::new();
    let script = "mount -t tmpfs x $1; $0 unshare --mount --propagation private sleep 60 & child=$!; \
        while [ $(readlink /proc/$child/ns/mnt) = $(readlink /proc/self/ns/mnt) ]; do sleep 0.05; done; \
        umount $1; readlink /proc/$child/ns/mnt; $0 ns-inspect mnt --holds $1; $0 ns-inspect mnt --holds $1 --json; \
        kill $child; wait $child; $0 ns-inspect mnt --holds $1";
    let (nskit, path) = (nskit(), dir.path().display().to_string());
    let words = ["unshare", "--mount", "sh", "-c", script, nskit.to_str().expect("UTF-8"), &path];
    let text = program(&nskit).args(words).run().ok().stdout();
    let lines: Vec<&str> = text.lines().collect();
    let row = lines[1..].iter().find(|line| line.starts_with(lines[0])).unwrap_or_else(|| panic!("{text}"));
    assert!(row.contains(&path) && row.contains("it is mounted on the path or below"), "{row}");
    let json = lines.iter().find(|line| line.starts_with('{')).unwrap_or_else(|| panic!("{text}"));
    let document: serde_json::Value = serde_json::from_str(json).expect("JSON");
    assert_eq!(document["holders"][0]["why"], "mounted-on-it");
    // What is denied is only what was looked at.
    let is_denial = |line: &&str| line.contains("that were looked at") && line.contains("nothing on it or below");
    assert!(lines.iter().any(is_denial), "{text}");
}

#[test]
fn a_network_shows_links_addresses_and_who_listens() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a socket");
    let port = listener.local_addr().expect("an address").port();
    let output = ns_inspect(&["net", &std::process::id().to_string()]).run().ok();
    let line = format!("tcp 127.0.0.1:{port}");
    let text = output.mentions("127.0.0.1/8").mentions(&line).stdout();
    let line = text.lines().find(|text| text.contains(&line)).expect("the listener");
    assert!(line.contains(&std::process::id().to_string()), "{line}");
}

#[test]
fn a_network_whose_first_process_ends_meanwhile_is_seen_through_another() {
    if !std::path::Path::new("/usr/bin/strace").exists() {
        crate::harness::skip!("strace is not installed");
    }
    let (running, said) = started(&["--net"], "setpriv --pdeathsig KILL sleep 60 & readlink /proc/self/ns/net");
    let name = said.lines().next().expect("a line");
    // As if it were gone by the time that it is opened.
    let path = format!("/proc/{}/ns/net", running.pid());
    let gone = ["-o", "/dev/null", "-e", "trace=/open", "-P", &path, "-e", "inject=/open:error=ENOENT"];
    let output = program("strace").args(gone).arg(nskit()).args(["ns-inspect", "net", name]).run().ok();
    output.mentions(&format!("{name} {}", running.pid())).mentions("lo ");
}

#[test]
fn a_veth_leads_to_its_other_end() {
    if !std::path::Path::new("/usr/sbin/ip").exists() {
        crate::harness::skip!("iproute2 is not installed");
    }
    let script = format!(
        "readlink /proc/self/ns/net; setpriv --pdeathsig KILL {} unshare --net sh -c 'echo $$; readlink /proc/self/ns/net; exec sleep 60' & sleep 0.5; \
         ip link add near type veth peer name far netns $(pgrep -P $$ sleep)",
        nskit().display()
    );
    let (_running, said) = started(&["--net"], &script);
    let namespaces: Vec<&str> = said.lines().filter(|line| line.starts_with("net:")).collect();
    let text = ns_inspect(&["net", namespaces[0]]).run().ok().stdout();
    assert!(text.contains(&format!("far in {}", namespaces[1])), "{text}");
}

#[test]
fn explains_for_an_ordinary_process_why_it_may_not_enter() {
    let (target, _) = started(&["--uts"], "true");
    let caller = program("setpriv").args(["--reuid", "65534", "--clear-groups", "sleep", "60"]).start();
    // Until setpriv has executed it, it still has capabilities.
    eventually("it is nobody", || {
        std::fs::read_to_string(format!("/proc/{}/status", caller.pid()))
            .is_ok_and(|text| text.contains("Name:\tsleep") && text.contains("Uid:\t65534"))
    });
    let words = ["explain", &target.pid().to_string(), "--as", &caller.pid().to_string()];
    let output = ns_inspect(&words).run().ok();
    output.mentions(&format!("process {} lacks CAP_SYS_ADMIN in user:[", caller.pid())).mentions("the caller is in it");
    let own = ns_inspect(&["explain", &target.pid().to_string()]).run().ok().stdout();
    let uts = own.lines().find(|line| line.trim_start().starts_with("uts")).unwrap_or_default();
    assert!(uts.ends_with("yes"), "{own}");
}

#[test]
fn a_folder_inside_of_a_file_system_is_held_by_whoever_has_that_mounted() {
    let dir = TempDir::new();
    let folder = dir.join("in/a/b");
    let script =
        format!("mkdir -p {0}/in; mount -t tmpfs x {0}/in; mkdir -p {1}", dir.path().display(), folder.display());
    let script = format!(
        "{script}; $0 unshare --mount sleep 60 & child=$!; while [ $(readlink /proc/$child/ns/mnt) = \
         $(readlink /proc/self/ns/mnt) ]; do sleep 0.05; done; readlink /proc/self/ns/mnt /proc/$child/ns/mnt; \
         $0 ns-inspect mnt --holds {}; kill $child",
        folder.display()
    );
    let nskit = nskit();
    let words = ["unshare", "--mount", "sh", "-c", &script, nskit.to_str().expect("UTF-8")];
    let text = program(&nskit).args(words).run().ok().stdout();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 6, "{text}");
    for namespace in &lines[..2] {
        let row = lines[4..].iter().find(|line| line.starts_with(namespace)).unwrap_or_else(|| panic!("{text}"));
        assert!(row.contains("/in ") && row.contains("the path's file system is mounted there"), "{row}");
    }
}

#[test]
fn rows_are_filtered_and_sorted_by_column() {
    let (_running, _) = started(&["--uts"], "true");
    // There may be none at all; that none is shown is the filter's doing where there are.
    let none = ns_inspect(&["--filter", "ENGINE == 'none' and AGE > 1h30m and MEMORY > 1.5M"]).run().ok().stdout();
    assert!(none.contains("No containers.") || none.contains("No container for which the filter holds."), "{none}");
    ns_inspect(&["--filter", "AGE > 5x"]).run().exits(2).complains("\"5x\" is neither a size");
    ns_inspect(&["--sort", "-MEMORY"]).run().ok();
    ns_inspect(&["--sort", "WEIGHT"]).run().exits(2).complains("unknown column: WEIGHT");
    ns_inspect(&["--filter", "PROCS >"]).run().exits(2).complains("unexpected end of file");
    ns_inspect(&["watch", "--filter", "WEIGHT > 1"]).run().exits(2).complains("unknown column: WEIGHT");
}

#[test]
fn colour_is_only_for_terminals_unless_it_is_asked_for() {
    let plain = ns_inspect(&[]).run().ok().stdout();
    assert!(!plain.contains('\x1b'));
    ns_inspect(&["--color", "always"]).run().ok().mentions("\x1b[");
}
