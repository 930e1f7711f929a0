//! Namespaces of others that cannot be entered.

use super::fails_with;
use crate::harness::{nskit, program};

#[test]
fn a_process_that_has_ended_and_was_not_waited_for() {
    let zombie = "(: & exec sleep 2) & S=$!; sleep 0.3; Z=$(cat /proc/$S/task/$S/children); Z=${Z% }";
    for (words, error) in [("-t $Z -u", "failed: No such process"), ("-t $Z -u -r", "/root: No such file")] {
        fails_with(&format!("{zombie}; nsenter {words} true"), error, "has ended, though its parent has not");
    }
}

#[test]
fn a_capability_over_a_mount_namespace_of_a_child_user_namespace() {
    let script = "/usr/bin/unshare -Urm sleep 9 & sleep 0.3; setpriv --bounding-set -sys_chroot nsenter -t $! -m true; s=$?; kill $!; exit $s";
    fails_with(script, "failed: Operation not permitted", "this process lacks CAP_SYS_CHROOT in user:[");
}

#[test]
fn a_file_that_is_no_namespace_or_another() {
    fails_with("nsenter --uts=/etc/passwd true", "'ns/uts' failed: Invalid argument", "/etc/passwd is no namespace");
    fails_with("nsenter --uts=/proc/self/ns/net true", "'ns/uts' failed: Invalid argument", "is a network namespace");
}

#[test]
fn the_user_namespace_that_one_is_in() {
    fails_with(
        "nsenter -t $$ -U true",
        "reassociate to namespaces failed: Invalid argument",
        "in that user namespace already",
    );
}

#[test]
fn a_pid_namespace_above() {
    fails_with(
        "exec 7</proc/self/ns/pid; unshare -pf nsenter --pid=/proc/self/fd/7 true",
        "'ns/pid' failed: Invalid argument",
        "only from one that contains it",
    );
}

#[test]
fn namespaces_of_somebody_else() {
    let script = "/usr/bin/unshare -u sleep 9 & sleep 0.2; as_user nsenter -t $! -u true; s=$?; kill $!; exit $s";
    fails_with(
        script,
        "reassociate to namespaces failed: Operation not permitted",
        "its user ids (0, 0, 0) are not the caller's (12345)",
    );
}

#[test]
fn a_process_that_may_not_be_looked_into() {
    let script = "/usr/bin/unshare -u sleep 9 & sleep 0.2; as_user nsenter -t $! -a true; s=$?; kill $!; exit $s";
    fails_with(script, "ns/user failed: Permission denied", "its user ids (0, 0, 0) are not the caller's (12345)");
    let script =
        "/usr/bin/unshare -u sleep 9 & sleep 0.2; as_user nsenter --uts=/proc/$!/ns/uts true; s=$?; kill $!; exit $s";
    fails_with(script, "/ns/uts: Permission denied", "its user ids (0, 0, 0) are not the caller's (12345)");
    let script = "/usr/bin/unshare -u sleep 9 & sleep 0.2; as_user nsenter -t $! -u -r true; s=$?; kill $!; exit $s";
    fails_with(script, "/root: Permission denied", "its user ids (0, 0, 0) are not the caller's (12345)");
}

#[test]
fn a_capability_that_entering_needs() {
    let script = "/usr/bin/unshare -m sleep 9 & sleep 0.2; setpriv --bounding-set -sys_chroot nsenter -t $! -m true; s=$?; kill $!; exit $s";
    fails_with(
        script,
        "failed: Operation not permitted",
        "mount namespace: this process lacks CAP_SYS_CHROOT in user:[",
    );
    let script = "exec 7</proc/self/ns/uts; setpriv --bounding-set -sys_admin nsenter --uts=/proc/self/fd/7 true";
    fails_with(
        script,
        "'ns/uts' failed: Operation not permitted",
        "uts namespace: this process lacks CAP_SYS_ADMIN in user:[",
    );
}

#[test]
fn namespaces_that_are_the_callers_own() {
    let script = "setpriv --reuid 12345 --regid 12345 --clear-groups unshare -Um sleep 9 & sleep 0.3; as_user nsenter -t $! -U -n true; s=$?; kill $!; exit $s";
    fails_with(script, "failed: Operation not permitted", "network namespace: you are there already");
}

#[test]
fn a_user_namespace_that_has_to_be_entered_as_well() {
    let script = "setpriv --reuid 12345 --regid 12345 --clear-groups unshare -Um sleep 9 & sleep 0.3; as_user nsenter -t $! -m true; s=$?; kill $!; exit $s";
    fails_with(script, "failed: Operation not permitted", "enter that as well (-U)");
}

#[test]
fn a_pid_namespace_whose_first_process_has_ended() {
    fails_with(
        "touch f; unshare --pid=f --fork true; nsenter --pid=f true",
        "fork failed: Cannot allocate memory",
        "the first process of that pid namespace has ended",
    );
}

#[test]
fn an_id_of_a_namespace_that_none_has_or_that_the_kernel_cannot_look_up() {
    let output = program(nskit()).args(["nsenter", "--net=:999999999", "true"]).run().exits(1).stderr();
    let causes = ["needs Linux 6.19", "no namespace has this id"];
    assert!(causes.iter().any(|cause| output.contains(cause)), "{output}");
}

#[test]
fn a_descriptor_of_somebody_else() {
    fails_with(
        "sleep 9 & as_user nsenter -t $! -N 0 true; s=$?; kill $!; exit $s",
        "Operation not permitted",
        "is another user's or group's",
    );
    fails_with(
        "sleep 9 & setpriv --bounding-set -sys_ptrace nsenter -t $! -N 0 true; s=$?; kill $!; exit $s",
        "Operation not permitted",
        "has capabilities that you lack",
    );
}
