//! The same command lines given to util-linux's unshare and nsenter and to ours: standard output, standard error and exit
//! status must be equal, and through what the scripts print so must be the namespaces, maps, ids, capabilities, mounts,
//! signals and files that come of them.
//!
//! `cases` is the table. Below a case may stand what is otherwise somewhere:
//!
//! ```text
//! | 2.38: STATUS "STDOUT" "STDERR"    what util-linux 2.38 does; several versions may have a line each
//! | now:  STATUS "STDOUT" "STDERR"    what the newest does, and so must ours; other versions do one of what is listed
//! | now on v1: …                      the same, of hosts with cgroup v1
//! | ours: STATUS "STDOUT" "STDERR"    what ours does instead, which docs/util-linux-differences.md explains
//! ```
//!
//! The reference is the system's, or `UTIL_LINUX=DIR` with `unshare` and `nsenter` in it. Hints of ours, which follow an
//! error on a line of their own, are not compared.

use std::fmt;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::harness::{Hierarchy, TempDir, hierarchy, nskit, program, skip};

const CASES: &str = include_str!("cases");
const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/differential");

/// What came of a script.
#[derive(Clone, PartialEq, Eq)]
struct Outcome {
    status: i32,
    stdout: String,
    stderr: String,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?} {:?}", self.status, self.stdout, self.stderr)
    }
}

struct Case {
    script: &'static str,
    /// What util-linux of these versions does.
    old: Vec<(&'static str, Outcome)>,
    /// What the newest does, where an old one differs.
    now: Option<Outcome>,
    /// What ours does on purpose.
    ours: Option<Outcome>,
}

fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for line in CASES.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let Some(note) = line.strip_prefix("| ") else {
            cases.push(Case { script: line, old: Vec::new(), now: None, ours: None });
            continue;
        };
        let (about, outcome) = note.split_once(": ").expect("a note is ABOUT: OUTCOME");
        let outcome = parse(outcome.trim_start()).unwrap_or_else(|| panic!("no outcome: {outcome}"));
        let case = cases.last_mut().expect("a note stands below a case");
        match about {
            "ours" => case.ours = Some(outcome),
            "now" => case.now = Some(outcome),
            "now on v1" => case.now = Some(outcome).filter(|_| hierarchy() == Hierarchy::V1),
            version => case.old.push((version, outcome)),
        }
    }
    cases
}

/// `STATUS "STDOUT" "STDERR"`, as [`Outcome`] is displayed.
fn parse(text: &str) -> Option<Outcome> {
    let (status, texts) = text.split_once(' ')?;
    let [stdout, stderr] =
        serde_json::from_str::<[String; 2]>(&format!("[{}]", texts.replacen("\" \"", "\",\"", 1))).ok()?;
    Some(Outcome { status: status.parse().ok()?, stdout, stderr })
}

/// Runs a script with the tools of a folder, its pauses this many times as long.
fn run(tools: &Path, host: &str, script: &str, pauses: u32) -> Outcome {
    let scratch = TempDir::new();
    let place = scratch.path().display();
    let script = format!(
        "chmod 755 {place} && mount -t tmpfs -o mode=755 none {place} && cd {place} && . {FOLDER}/prelude.sh\n{script}"
    );
    let output = program("/usr/bin/unshare")
        .args(["--mount", "--propagation", "private", "sh", "-c", &script])
        .env("TOOLS", tools)
        .env("UNSHARE", "/usr/bin/unshare")
        .env("PROGRAMS", format!("{FOLDER}/programs"))
        .env("HOST", host)
        .env("PAUSES", pauses.to_string())
        .at_most(60.0)
        .run();
    let told = |text: String| text.replace(&scratch.path().display().to_string(), "SCRATCH");
    let complaint: Vec<String> =
        output.stderr().lines().filter(|line| !line.contains(": hint: ")).map(without_pids).collect();
    Outcome { status: output.code(), stdout: without_pids(&told(output.stdout())), stderr: told(complaint.join("\n")) }
}

/// The text with every `/proc/NUMBER` told as `/proc/N`.
fn without_pids(text: &str) -> String {
    let mut parts = text.split("/proc/");
    let mut told = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let rest = part.trim_start_matches(|c: char| c.is_ascii_digit());
        told.push_str(if rest.len() < part.len() { "/proc/N" } else { "/proc/" });
        told.push_str(rest);
    }
    told
}

/// A folder that anybody may execute the tools of.
fn tools(source: impl Fn(&str) -> PathBuf, copy: bool) -> TempDir {
    let folder = TempDir::new();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("open the folder to all");
    let mut copied: Option<PathBuf> = None;
    for name in ["unshare", "nsenter"] {
        let link = folder.path().join(name);
        match (&copied, copy) {
            (Some(first), _) => fs::hard_link(first, &link).expect("link the binary"),
            (None, true) => {
                fs::copy(source(name), &link).expect("copy the binary");
                copied = Some(link);
            }
            (None, false) => symlink(source(name), &link).expect("link a tool"),
        }
    }
    folder
}

/// `2.38` of `unshare from util-linux 2.38.1`.
fn version(tools: &Path) -> Option<String> {
    let said = program(tools.join("unshare")).arg("--version").run().stdout();
    let version = said.strip_prefix("unshare from util-linux ")?;
    Some(version.split(['.', '-']).take(2).collect::<Vec<_>>().join("."))
}

/// What is wrong with what ours did.
fn judge(case: &Case, version: &str, got: &Outcome, reference: impl FnOnce() -> Outcome) -> Option<String> {
    if let Some(expected) = case.ours.as_ref().or(case.now.as_ref()).filter(|expected| *expected != got) {
        return Some(format!("expected {expected}"));
    }
    if case.ours.is_some() {
        return None;
    }
    let there = reference();
    // What an older one does is data too, and must be true.
    if let Some((old, known)) = case.old.iter().find(|(old, _)| *old == version) {
        return (there != *known).then(|| format!("known of {old}: {known}\n  there {there}"));
    }
    let is_known = there == *got || case.old.iter().any(|(_, known)| there == *known);
    (!is_known).then(|| format!("there {there}"))
}

#[test]
fn there_are_at_least_two_hundred_cases() {
    assert!(cases().len() >= 200, "{}", cases().len());
}

#[test]
fn no_script_can_tell_ours_from_the_originals() {
    let folder = std::env::var_os("UTIL_LINUX").map_or_else(|| PathBuf::from("/usr/bin"), PathBuf::from);
    let reference = tools(|name| folder.join(name), false);
    let Some(version) = version(reference.path()) else {
        skip!("there is no util-linux to compare with");
    };
    let ours = tools(|_| nskit(), true);
    let kinds = ["user", "cgroup", "ipc", "uts", "net", "pid", "mnt", "time"];
    let host = kinds.map(|kind| {
        let link = fs::read_link(format!("/proc/self/ns/{kind}")).expect("read a namespace");
        link.to_str().expect("ASCII").to_owned()
    });
    let host = host.join(" ");

    let mut cases = cases();
    if !Path::new("/usr/bin/python3").exists() {
        // What loads the filter is written in it.
        cases.retain(|case| !case.script.contains("refuse "));
    }
    let next = AtomicUsize::new(0);
    let failures = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    // A script that waits by the clock may have waited too short on a busy machine; what is wrong stays so.
                    let attempts = if case.script.contains("pause ") { 3 } else { 1 };
                    let mut failure = None;
                    for pauses in 1..=attempts {
                        let got = run(ours.path(), &host, case.script, pauses);
                        let wrong = judge(case, &version, &got, || run(reference.path(), &host, case.script, pauses));
                        failure = wrong.map(|wrong| format!("{}\n  ours  {got}\n  {wrong}", case.script));
                        if failure.is_none() {
                            break;
                        }
                    }
                    failures.lock().expect("lock").extend(failure);
                }
            });
        }
    });
    let failures = failures.into_inner().expect("lock");
    assert!(failures.is_empty(), "{} of {} cases:\n{}", failures.len(), cases.len(), failures.join("\n"));
}
