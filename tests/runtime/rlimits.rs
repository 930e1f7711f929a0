//! process.rlimits.

use serde_json::json;

use crate::harness::{Container, Peer, nskit, peer, program, runtime_words, skip_on};

#[test]
fn are_set_for_the_process() {
    let limits = json!([
        {"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200}, {"type": "RLIMIT_CORE", "soft": 0, "hard": 0},
        {"type": "RLIMIT_STACK", "soft": 1_048_576, "hard": 4_194_304}
    ]);
    let script = "ulimit -Sn; ulimit -Hn; ulimit -Hc; ulimit -Ss; ulimit -Hs";
    Container::script(script).set("/process/rlimits", limits).run().ok().says("100\n200\n0\n1024\n4096");
}

#[test]
fn do_not_hinder_the_runtime_itself() {
    let limits = json!([
        {"type": "RLIMIT_NOFILE", "soft": 16, "hard": 16}, {"type": "RLIMIT_AS", "soft": 16_777_216, "hard": 16_777_216},
        {"type": "RLIMIT_FSIZE", "soft": 1, "hard": 1}
    ]);
    let container = Container::script("ulimit -n").set("/process/rlimits", limits);
    if peer() == Peer::Ours {
        // The file of the output is in memory, and so short.
        container.args(&["true"]).run().ok();
    }
}

#[test]
fn an_unknown_one_is_refused_and_named() {
    let container =
        Container::new().set("/process/rlimits", json!([{"type": "RLIMIT_UNHEARD_OF", "soft": 1, "hard": 1}]));
    container.run().exits(1).complains("RLIMIT_UNHEARD_OF").in_one_line();
    container.assert_gone();
}

#[test]
fn one_that_is_given_twice_is_refused() {
    let limit = json!({"type": "RLIMIT_NOFILE", "soft": 1024, "hard": 1024});
    let container = Container::new().set("/process/rlimits", json!([limit, limit]));
    if peer() == Peer::Ours {
        container.run().exits(1).complains("RLIMIT_NOFILE").in_one_line();
    }
}

#[test]
fn that_are_refused_are_named_as_setrlimit_has_them() {
    skip_on!(Runc | Crun, "the peers' words differ");
    let limits = json!([{"type": "RLIMIT_CORE", "soft": 2, "hard": 1}]);
    let container = Container::new().set("/process/rlimits", limits);
    container.run().exits(1).in_one_line().complains("set RLIMIT_CORE to 2:1: invalid argument");
}

#[test]
fn a_stack_that_is_too_small_for_the_runtime_is_said_so() {
    skip_on!(Runc | Crun, "the peers do with less");
    let run = program("sh").args(["-c", "ulimit -s 64; exec \"$@\"", "sh"]).args(runtime_words());
    run.args(["state", "nskit-test-none"]).run().exits(1).complains("RLIMIT_STACK allows 64 KiB").in_one_line();
}

#[test]
fn death_for_want_of_memory_or_stack_is_not_silent() {
    skip_on!(Runc | Crun, "it is about this program's start");
    let limited = |limit: &str, words: &[&str]| {
        let script = format!("ulimit {limit}; exec \"$@\"");
        program("sh").args(["-c", &script, "sh"]).arg(nskit()).args(words).run()
    };
    // With less still, the kernel itself ends a program whose own data is beyond the limit.
    let said = |kib: u32| limited(&format!("-d {kib}"), &["unshare", "true"]).stderr();
    assert!((128..2048).step_by(8).any(|kib| said(kib).contains("nskit: there is no memory to start with")));
    limited("-s 64", &["lsns"]).ok().mentions("mnt");
    limited("-s 32", &["lsns", "--json"]).ok().mentions("mnt");
}
