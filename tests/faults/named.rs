//! Faults that were taken wrongly once, each by the call that it is at.

use super::calls;
use super::inject::{Act, Call, Fault};
use super::sweep::{Report, Sweep};
use crate::harness::{Hierarchy, hierarchy, skip, skip_on};

/// Lets the calls of a case that `is_it` fail with `errno`, one at a time; there is at least one.
#[track_caller]
fn each(case: &str, errno: i32, is_it: impl Fn(&str, &Call) -> bool) -> Report {
    let mut sweep = Sweep::new(super::case(case));
    let calls: Vec<Call> = sweep.calls().into_iter().filter(|call| is_it(calls::name(call.number), call)).collect();
    assert!(!calls.is_empty(), "{case} makes no such call");
    let mut report = Report::default();
    for call in calls {
        sweep.inject(Fault { process: call.process, call: call.count, act: Act::Fail(errno) }, &mut report);
    }
    report
}

#[track_caller]
fn is_taken_well(report: &Report) {
    assert!(report.faults > 0 && report.failed.is_empty(), "{report}");
}

#[test]
fn a_passwd_that_cannot_be_read_does_not_make_the_root_folder_a_home() {
    skip_on!(Runc | Crun, "their system calls differ");
    is_taken_well(&each("run", libc::EMFILE, |name, call| name.starts_with("open") && call.path == "/etc/passwd"));
}

#[test]
fn a_hierarchy_without_limits_is_left_out_only_when_it_refuses() {
    skip_on!(Runc | Crun, "their system calls differ");
    if hierarchy() == Hierarchy::V2 {
        skip!("cgroup v1 is not mounted");
    }
    let is_there =
        |path: &str| path.starts_with("/sys/fs/cgroup/systemd/") || path.starts_with("/sys/fs/cgroup/unified");
    is_taken_well(&each("run", libc::EIO, |name, call| {
        (name.starts_with("open") || name.starts_with("mkdir") || name == "statfs") && is_there(&call.path)
    }));
}

#[test]
fn a_new_file_system_is_read_only_whichever_way_it_was_mounted() {
    skip_on!(Runc | Crun, "their system calls differ");
    is_taken_well(&each("run", libc::ENOMEM, |name, call| name == "mount" && call.path == "sysfs"));
}

#[test]
fn a_shortage_at_the_gate_passes_without_an_end_of_the_container() {
    skip_on!(Runc | Crun, "their system calls differ");
    is_taken_well(&each("create_start", libc::EMFILE, |name, _| name == "accept4"));
    let is_greeting = |call: &Call| call.args[2] == 2;
    is_taken_well(&each("create_start", libc::ENOMEM, |name, call| name == "sendto" && is_greeting(call)));
}

#[test]
fn a_bundle_that_cannot_be_looked_at_is_not_called_a_file() {
    skip_on!(Runc | Crun, "their system calls differ");
    is_taken_well(&each("run", libc::EIO, |name, call| name.contains("stat") && call.path.ends_with("/bundle")));
}
