//! `ns-inspect` and `lsns`: what they find, what they say that they cannot find, and how they show it.

mod at_once;
mod bad_input;
mod blind_spots;
mod containers;
mod inside;
mod json;
mod lsns;
mod pictures;
mod questions;
mod scene;
mod terminal;
mod views;
mod watch;

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;

use crate::harness::{Invocation, nskit, program};

fn ns_inspect(words: &[&str]) -> Invocation {
    program(nskit()).arg("ns-inspect").args(words)
}

fn lsns(words: &[&str]) -> Invocation {
    program(nskit()).arg("lsns").args(words)
}

/// Everything that is found, as JSON.
#[track_caller]
fn everything() -> Value {
    let text = ns_inspect(&["--json"]).run().ok().stdout();
    serde_json::from_str(&text).expect("JSON")
}

/// The namespace with this inode number in what was found.
#[track_caller]
fn namespace(document: &Value, inode: u64) -> &Value {
    let found = document["namespaces"].as_array().expect("an array").iter().find(|ns| ns["inode"] == inode);
    found.unwrap_or_else(|| panic!("namespace [{inode}] was not found"))
}

/// Kinds of keepers of a namespace.
fn keepers(namespace: &Value) -> BTreeSet<String> {
    let keepers = namespace["keepers"].as_array().expect("an array");
    keepers.iter().map(|keeper| keeper["kind"].as_str().expect("a string").to_owned()).collect()
}

/// The number in `net:[4026531840]`.
#[track_caller]
fn inode(link: &str) -> u64 {
    let digits = link.split_once('[').and_then(|(_, rest)| rest.trim_end().strip_suffix(']'));
    digits.and_then(|digits| digits.parse().ok()).unwrap_or_else(|| panic!("{link:?} names no namespace"))
}

/// The caller's namespace that this path links to.
#[track_caller]
fn linked(path: &str) -> u64 {
    inode(fs::read_link(path).expect("read a namespace").to_str().expect("ASCII"))
}
