//! Profiles that nobody would write, to find what nobody thought of.

use std::cell::Cell;

use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use crate::check;
use crate::meaning::{judge, meanings};
use crate::profiles::{Actions, profile};
use crate::reference::Reference;

/// Each of `cases` generated profiles decides as it reads, and as in libseccomp where reading it leaves a choice.
fn decide_as_in_libseccomp(actions: Actions, conditions: usize) {
    let (choices, wrong) = (Cell::new(0u32), Cell::new(0u32));
    // Always the same profiles: libseccomp's mistakes are not to make a test fail now and then.
    let cases = match actions {
        Actions::Agreeing => cases(),
        // Few of these leave a choice.
        Actions::Any => 5 * cases(),
    };
    let config = Config { failure_persistence: None, ..Config::with_cases(cases) };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let result = runner.run(&profile(actions, conditions), |(profile, native)| {
        let before = Reference::without_rules(&profile, native);
        let reference = Reference::new(&profile, native, 2);
        check(&profile, native, |call, ours| {
            let meant = meanings(&profile, native, call, &before);
            let theirs = reference.as_ref().map(|reference| reference.decide(call));
            let disagree = meant.iter().any(|&other| other != meant[0]);
            match theirs {
                Some(theirs) if meant.contains(&theirs) => choices.set(choices.get() + u32::from(disagree)),
                _ => wrong.set(wrong.get() + u32::from(theirs.is_some())),
            }
            judge(&meant, theirs, ours)
        });
        Ok(())
    });
    println!("{} choices, libseccomp wrong {} times", choices.get(), wrong.get());
    if let Err(error) = result {
        panic!("{error}");
    }
    if let Actions::Any = actions {
        let (choices, wrong) = (choices.get(), wrong.get());
        assert!(choices > 1000, "only {choices} calls had a choice: the order of rules was hardly tested");
        assert!(wrong < choices / 100, "libseccomp was wrong {wrong} times: it is no judge of such profiles");
    }
}

/// How many profiles: more with `PROPTEST_CASES`.
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(40)
}

#[test]
fn rules_that_agree_decide_as_they_read_and_as_in_libseccomp() {
    decide_as_in_libseccomp(Actions::Agreeing, 3);
}

#[test]
fn rules_that_disagree_decide_as_in_libseccomp() {
    decide_as_in_libseccomp(Actions::Any, 2);
}
