//! Every wait for another process of ours ends, whatever becomes of that process.
//!
//! `nskit unshare --seccomp` has single system calls fail, or kill whoever makes them, in the runtime and all that it starts.

use std::fs;

use serde_json::{Value, json};

use crate::harness::{Container, Output, nskit, program, skip_on};

/// Runs `exec ID sh -c 'exit 7'` under a filter with one rule.
fn exec_under(container: &Container, rule: &Value) -> Output {
    let profile = container.dir.join("profile.json");
    let filter = json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]});
    fs::write(&profile, filter.to_string()).expect("write a profile");
    let root = container.state_root();
    let invocation = program(nskit()).args(["unshare", "--seccomp"]).arg(&profile).arg(nskit());
    let invocation = invocation.args(["runtime", "--root"]).arg(root);
    invocation.args(["exec", &container.id, "sh", "-c", "exit 7"]).at_most(20.0).run()
}

#[test]
fn exec_needs_no_word_of_the_process_that_enters_the_namespaces() {
    skip_on!(Runc | Crun, "it is about this runtime's processes");
    let container = Container::running();
    // Any message of five bytes: that process told so of the child, which then waited for leave that nobody gave.
    let short = json!([{"index": 2, "value": 5, "op": "SCMP_CMP_EQ"}]);
    for (action, call) in [("SCMP_ACT_ERRNO", "sendto"), ("SCMP_ACT_KILL_PROCESS", "sendto")] {
        exec_under(&container, &json!({"names": [call], "action": action, "args": short})).exits(7);
    }
    // It is killed as it ends, when its child is there already.
    let quietly = json!([{"index": 0, "value": 0, "op": "SCMP_CMP_EQ"}]);
    let rule = json!({"names": ["exit_group"], "action": "SCMP_ACT_KILL_PROCESS", "args": quietly});
    exec_under(&container, &rule).exits(7);
}

#[test]
fn exec_says_what_the_process_that_enters_the_namespaces_died_of() {
    skip_on!(Runc | Crun, "it is about this runtime's processes");
    let container = Container::running();
    exec_under(&container, &json!({"names": ["setns"], "action": "SCMP_ACT_KILL_PROCESS"}))
        .exits(255)
        .complains("the process that enters the namespaces was killed by signal 31 (a seccomp filter)")
        .in_one_line();
    exec_under(&container, &json!({"names": ["setns"], "action": "SCMP_ACT_ERRNO"}))
        .exits(255)
        .complains("namespaces of container")
        .complains("operation not permitted")
        .in_one_line();
}

#[test]
fn a_start_does_not_wait_for_a_network_namespace_that_nobody_tells_of() {
    skip_on!(Runc | Crun, "it is about this runtime's processes");
    // The process that makes it ahead says so in eight bytes.
    let container = Container::script("exit 7");
    container.write_config();
    let profile = container.dir.join("profile.json");
    let eight = json!([{"index": 2, "value": 8, "op": "SCMP_CMP_EQ"}]);
    let rule = json!({"names": ["sendto"], "action": "SCMP_ACT_ERRNO", "args": eight});
    fs::write(&profile, json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}).to_string())
        .expect("write a profile");
    let run = program(nskit()).args(["unshare", "--seccomp"]).arg(&profile).arg(nskit());
    let run = run.args(["runtime", "--root"]).arg(container.state_root()).args(["run", "--bundle"]);
    run.arg(container.bundle()).arg(&container.id).at_most(20.0).run().exits(7);
}
