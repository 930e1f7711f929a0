//! What cannot be shown is complained about in one line that says why, with the right exit status.

use super::views::started;
use super::{linked, ns_inspect};
use crate::harness::{TempDir, nskit, program};

#[test]
fn a_process_that_is_not_there_is_named_by_every_view() {
    let gone = "4194305"; // above any pid_max
    for words in [
        &[gone][..],
        &["-p", gone],
        &["-p", gone, "--json"],
        &["diff", "1", gone],
        &["net", gone],
        &["mnt", gone],
        &["pid", gone],
        &["explain", gone],
        &["explain", "1", "--as", gone],
        &["enter", gone],
    ] {
        let output = ns_inspect(words).run().exits(1);
        assert_eq!(output.stderr(), format!("ns-inspect: there is no process {gone}"), "{words:?}");
    }
}

#[test]
fn a_path_is_not_taken_for_a_container_and_nothing_waits_for_it() {
    let dir = TempDir::new();
    let fifo = dir.join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRUSR).expect("a FIFO");
    ns_inspect(&[fifo.to_str().expect("UTF-8")]).run().exits(1).complains("is neither a namespace nor the bundle");
    let missing = dir.join("missing").display().to_string();
    let output = ns_inspect(&[&missing]).run().exits(1);
    assert_eq!(output.stderr(), format!("ns-inspect: open {missing}: No such file or directory"));
}

#[test]
fn a_namespace_of_another_kind_is_not_shown_in_its_place() {
    let user = linked("/proc/self/ns/user");
    ns_inspect(&[&format!("net:[{user}]")])
        .run()
        .exits(1)
        .complains(&format!("there is no net:[{user}], but user:[{user}]"));
    ns_inspect(&["net", &format!("user:[{user}]")]).run().exits(1).complains("is no network namespace");
    ns_inspect(&["net:[]"]).run().exits(1).complains("'net:[]' names no namespace: in brackets goes an inode number");
    ns_inspect(&["network:[1]"]).run().exits(1).complains("no kind of namespace called 'network': there are mnt, uts");
}

#[test]
fn a_process_that_proc_hides_is_said_to_be_hidden() {
    let (running, _) = started(&["--uts"], "true");
    let script = "mount -t proc -o hidepid=invisible proc /proc && \
        exec setpriv --reuid 65534 --regid 65534 --clear-groups $0 ns-inspect $1";
    let hidden = |target: &str| {
        let nskit = nskit();
        let words = ["unshare", "--mount", "sh", "-c", script, nskit.to_str().expect("UTF-8"), target];
        program(&nskit).args(words).run()
    };
    let pid = running.pid();
    let complaint = format!("process {pid} is not to be seen: /proc is mounted with hidepid=");
    hidden(&pid.to_string()).exits(1).complains(&complaint);
    hidden("--json").ok().mentions("/proc is mounted with hidepid=invisible");
}

#[test]
fn a_machine_without_proc_is_not_an_empty_one() {
    let script = "umount -l /proc && $0 ns-inspect; echo $?; $0 lsns; echo $?";
    let nskit = nskit();
    let words = ["unshare", "--mount", "sh", "-c", script, nskit.to_str().expect("UTF-8")];
    let output = program(&nskit).args(words).run().ok().complains("ns-inspect: /proc is not mounted");
    assert_eq!(output.complains("lsns: /proc is not mounted").stdout(), "1\n1");
    // Nor one without containers.
    let words = ["unshare", "--mount", "sh", "-c", "umount -l /proc && $0 nsenter web true"];
    let output = program(&nskit).args(words).arg(&nskit).run().exits(1);
    assert_eq!(output.stderr(), "nsenter: /proc is not mounted");
}

#[test]
fn output_that_cannot_be_written_is_a_failure_by_whatever_name_it_was_called() {
    let full = |words: &str| {
        let script = format!("exec $0 {words} >/dev/full");
        let said = program("sh").args(["-c", &script, nskit().to_str().expect("UTF-8")]).run().exits(1).stderr();
        // What could not be looked at is told beside.
        said.lines().filter(|line| !line.contains(": not looked at: ")).collect::<Vec<_>>().join("\n")
    };
    for words in ["ns-inspect", "ns-inspect --help", "ns-inspect -V", "ns-inspect tree"] {
        assert_eq!(full(words), "ns-inspect: write error: No space left on device", "{words}");
    }
    for words in ["lsns", "lsns --help", "ns-inspect list"] {
        assert_eq!(full(words), "lsns: write error: No space left on device", "{words}");
    }
}

#[test]
fn possibilities_of_an_ambiguous_option_are_in_the_order_of_util_linux() {
    let possible = "option '--n' is ambiguous; possibilities: '--notruncate' '--noheadings' '--nowrap'";
    super::lsns(&["--n"]).run().exits(1).complains(possible);
}
