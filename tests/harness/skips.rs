//! Skips that are told and counted.
//!
//! A test that cannot run here returns through [`skip`], which adds a line `TEST<tab>REASON` to the file of skips.
//! `tests/run` sums them up, and fails in CI on a reason that `tests/allowed-skips` does not list.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;

/// Writes the skip of the test `name` down.
pub(crate) fn record_skip(name: &str, reason: &str) {
    eprintln!("skipped {name}: {reason}");
    let file = std::env::var_os("NSKIT_SKIPS")
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/target/skips")), PathBuf::from);
    let line = format!("{name}\t{reason}\n");
    // One write of a short line to a file opened for appending: tests that run at once do not mix their lines.
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(&file)
        .and_then(|mut file| file.write_all(line.as_bytes()))
        .unwrap_or_else(|error| panic!("count the skip of {name} in {}: {error}", file.display()));
}

/// The name of the test that `marker`, an item inside of it, belongs to.
pub(crate) fn test_name<T>(marker: T) -> String {
    let path = std::any::type_name_of_val(&marker);
    let path = path.strip_suffix("::marker").unwrap_or(path);
    path.split_once("::").map_or(path, |(_, path)| path).to_owned()
}

/// Leaves the test, which cannot run here: `skip!("the kernel has no {controller} controller")`.
macro_rules! skip {
    ($($reason:tt)+) => {{
        fn marker() {}
        $crate::harness::record_skip(&$crate::harness::test_name(marker), &format!($($reason)+));
        return;
    }};
}

/// Leaves the test when it runs against a peer that lacks what it is about.
macro_rules! skip_on {
    ($($peer:ident)|+, $($reason:tt)+) => {
        if matches!($crate::harness::peer(), $($crate::harness::Peer::$peer)|+) {
            $crate::harness::skip!($($reason)+);
        }
    };
}

pub(crate) use {skip, skip_on};
