//! Faults: one system call of one process of the runtime fails, or a signal arrives there.
//!
//! Whatever happens, a verb ends; says 0 when it did its work and 1 (exec 255) when it did not; says in one line what
//! failed and why; loses nothing without a word; and leaves nothing that `delete --force` does not remove.
//!
//! `make faults` tries every fault of every case (tests/faults/run); a sample of them is part of `make test`.

mod calls;
mod cases;
mod inject;
mod named;
mod scene;
mod sweep;

use cases::{CASES, Case};
use sweep::{Fail, Report, Sweep};

use crate::harness::{has_systemd, skip, skip_on};

/// How many faults of each case the sample has.
const SAMPLE: usize = 24;

fn case(name: &str) -> &'static Case {
    CASES.iter().find(|case| case.name == name).unwrap_or_else(|| panic!("no case {name}"))
}

/// Tries every fault of a case, or an even choice of `sample` of them.
fn sweep(case: &Case, sample: Option<usize>) -> Report {
    let mut sweep = Sweep::new(case);
    let calls = sweep.calls();
    // More than one errno a call only where all is tried.
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let faults = Sweep::faults(&calls, number("NSKIT_ERRNOS").unwrap_or(1));
    let every = number("NSKIT_FAULTS_EVERY").unwrap_or(1);
    let step = sample.map_or(every, |sample| faults.len().div_ceil(sample));
    let mut report = Report::default();
    for (fault, _) in faults.iter().step_by(step) {
        sweep.inject(*fault, &mut report);
    }
    report
}

fn check(name: &str, report: &Report) {
    let wrong: usize =
        report.failed.keys().filter(|fail| **fail != Fail::Unclear).map(|fail| report.count(*fail)).sum();
    let unclear = report.count(Fail::Unclear);
    assert!(wrong == 0 && unclear * 200 <= report.faults, "{name}: {report}");
}

/// A test for each case: a sample of its faults, or all of them where a folder for reports is given.
macro_rules! cases {
    ($($name:ident)+) => {
        $(#[test]
        fn $name() {
            skip_on!(Runc | Crun, "they are not tried");
            let case = case(stringify!($name));
            if case.traits.systemd && !has_systemd() {
                skip!("the systemd cgroup driver is for cgroup v2, as this machine has it");
            }
            let reports = std::env::var_os("NSKIT_FAULTS").map(std::path::PathBuf::from);
            let report = sweep(case, if reports.is_some() { None } else { Some(SAMPLE) });
            if let Some(folder) = reports {
                sweep::keep(&folder, case.name, &report);
            }
            check(case.name, &report);
        })+
    };
}

cases! {
    run run_user_namespace run_time_namespace run_hooks run_terminal run_systemd run_detached run_detached_terminal
    create_start create_start_user_namespace create_start_time_namespace create_start_hooks create_start_terminal
    exec exec_user_namespace exec_time_namespace exec_terminal exec_systemd exec_detached exec_detached_terminal
    kill pause resume update delete delete_force state list ps events
}

#[test]
fn every_case_is_tried() {
    let tried = include_str!("mod.rs");
    assert!(CASES.iter().all(|case| tried.contains(case.name)));
}
