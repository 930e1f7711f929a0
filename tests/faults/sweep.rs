//! Walks through the faults of a case, and judges how each went.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Stdio;

use nix::sys::signal::Signal;
use nskit::error::{Errno, go_text};
use rustix::fs::{MemfdFlags, memfd_create};

use super::calls;
use super::cases::{Before, Case};
use super::inject::{Act, Call, Ended, Fault, Traced, identity, trace};
use super::scene::Scene;
use crate::harness::{nskit, patience};

/// What can be wrong with how a fault was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fail {
    /// The verb did not end.
    Hang,
    /// `delete --force` left something behind.
    Leak,
    /// `delete --force` failed.
    Undeletable,
    /// The verb said that it did its work, and something of it is not there.
    Loss,
    /// The status is neither success nor the verb's failure.
    Status,
    /// The program panicked.
    Panic,
    /// The complaint is not one line, or does not name what was attempted and why it failed.
    Unclear,
}

/// How the faults of a case went.
#[derive(Default)]
pub(super) struct Report {
    /// Faults that were reached.
    pub(super) faults: usize,
    /// Panics of a process that was refused memory.
    pub(super) out_of_memory: usize,
    pub(super) failed: BTreeMap<Fail, Vec<String>>,
}

impl Report {
    pub(super) fn count(&self, fail: Fail) -> usize {
        self.failed.get(&fail).map_or(0, Vec::len)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} faults, {} out of memory", self.faults, self.out_of_memory)?;
        for (fail, stories) in &self.failed {
            writeln!(f, "{fail:?}: {}", stories.len())?;
            for story in stories {
                writeln!(f, "  {story}")?;
            }
        }
        Ok(())
    }
}

/// What was said, and how it ended.
struct Outcome {
    ended: Ended,
    stdout: String,
    stderr: String,
}

/// One case on its container.
pub(super) struct Sweep<'a> {
    case: &'a Case,
    scene: Scene,
    binary: (u64, u64),
    /// The work of unfaulted tries, the lines of each.
    baselines: Vec<Vec<String>>,
}

impl<'a> Sweep<'a> {
    pub(super) fn new(case: &'a Case) -> Sweep<'a> {
        let stays = case.before != Before::Nothing;
        Sweep { case, scene: Scene::new(case.traits, stays), binary: identity(&nskit()), baselines: Vec::new() }
    }

    /// Tries without a fault: the calls of the last.
    pub(super) fn calls(&mut self) -> Vec<Call> {
        let mut calls = Vec::new();
        for _ in 0..3 {
            self.prepare();
            let outcome = self.try_with(None);
            assert!(outcome.ended.code == 0, "{} without a fault: {}", self.case.name, outcome.stderr);
            self.baselines.push((self.case.work)(&self.scene, &outcome.stdout));
            calls = outcome.ended.calls;
            if !self.case.before.is_kept() {
                self.scene.remove();
            }
        }
        calls
    }

    /// Every fault at every one of `calls`: the first `errnos` plausible errnos, and signals.
    pub(super) fn faults(calls: &[Call], errnos: usize) -> Vec<(Fault, &Call)> {
        let mut faults = Vec::new();
        for call in calls {
            let mut at = |act| faults.push((Fault { process: call.process, call: call.count, act }, call));
            let plausible = calls::plausible(call.number, call.args);
            plausible.iter().take(errnos).for_each(|errno| at(Act::Fail(*errno)));
            at(Act::Signal(Signal::SIGKILL));
            at(Act::Signal(Signal::SIGTERM));
            if call.process > 0 {
                at(Act::SignalFirst(Signal::SIGKILL));
                at(Act::SignalFirst(Signal::SIGTERM));
            }
        }
        faults
    }

    /// Tries one fault.
    pub(super) fn inject(&mut self, fault: Fault, report: &mut Report) {
        self.prepare();
        let outcome = self.try_with(Some(fault));
        let mut found = Vec::new();
        let hit = outcome.ended.calls.first().cloned();
        if hit.is_some() {
            report.faults += 1;
        }
        self.judge(fault, hit.as_ref(), &outcome, &mut found, report);
        self.tidy(&mut found);
        let at = hit.as_ref().map_or_else(|| format!("{fault:?} not reached"), Call::describe);
        for (fail, what) in found {
            let said = outcome.stderr.trim().replace('\n', " / ");
            let said: String = said.chars().take(400).collect();
            let story = format!("{:?} at {at}: {what}; status {}: {said}", fault.act, outcome.ended.code);
            report.failed.entry(fail).or_default().push(story);
        }
    }

    /// Brings the container into the state that the verb is to find.
    fn prepare(&mut self) {
        let scene = &self.scene;
        match self.case.before {
            Before::Nothing => {}
            Before::New | Before::Stopped => scene.start(),
            Before::Running | Before::Paused => {
                if !matches!(&*scene.status(), "running" | "paused") {
                    scene.remove();
                    scene.start();
                    scene.seen();
                }
                let _ = scene.verb(if self.case.before == Before::Paused { "pause" } else { "resume" });
                if self.case.name == "update" {
                    let reset = "update --memory 67108864 --pids-limit 64 --cpu-share 512";
                    assert!(scene.verb(reset).0 == 0, "put limits back");
                }
            }
        }
        if self.case.before == Before::Stopped {
            scene.plain(&scene.line(&format!("kill {} KILL", scene.container.id)));
            scene.end();
        }
        scene.clear();
    }

    fn try_with(&self, fault: Option<Fault>) -> Outcome {
        let memory = |name: &str| File::from(memfd_create(name, MemfdFlags::CLOEXEC).expect("memfd_create"));
        let (stdout, stderr) = (memory("stdout"), memory("stderr"));
        let traced = Traced {
            words: vec![(self.case.line)(&self.scene)],
            stdin: Stdio::null(),
            stdout: stdout.try_clone().expect("dup"),
            stderr: stderr.try_clone().expect("dup"),
            binary: self.binary,
            limit: patience(25.0),
        };
        let ended = trace(traced, fault);
        Outcome { ended, stdout: content(&stdout), stderr: content(&stderr) }
    }

    fn judge(
        &self,
        fault: Fault,
        hit: Option<&Call>,
        outcome: &Outcome,
        found: &mut Vec<(Fail, String)>,
        report: &mut Report,
    ) {
        let (code, said) = (outcome.ended.code, &*outcome.stderr);
        if outcome.ended.hung {
            found.push((Fail::Hang, "did not end".to_owned()));
            return;
        }
        let memory = fault.act == Act::Fail(libc::ENOMEM)
            || hit.is_some_and(|call| {
                matches!(calls::name(call.number), "mmap" | "brk" | "mremap" | "mprotect" | "munmap")
            });
        // 127 is the C library's, when it cannot even start.
        if said.contains("panicked at") || matches!(code, 101 | 127 | 134 | 139) {
            if memory && !said.trim().is_empty() {
                report.out_of_memory += 1;
            } else {
                found.push((Fail::Panic, "panicked, or died without a word".to_owned()));
            }
            return;
        }
        if code == 0 {
            let warned = said.contains("warning: ");
            let differences = self.differences(&(self.case.work)(&self.scene, &outcome.stdout));
            if !differences.is_empty() && !warned {
                found.push((Fail::Loss, differences));
            }
            return;
        }
        let by_signal = match fault.act {
            Act::Fail(_) => false,
            Act::Signal(signal) | Act::SignalFirst(signal) => code == 128 + signal as i32,
        };
        if code != self.case.failure && !by_signal {
            found.push((Fail::Status, format!("status {code}")));
        }
        if let Some(why) = unclear(fault.act, said).filter(|_| !by_signal) {
            found.push((Fail::Unclear, why));
        }
    }

    /// What is not as it is without a fault.
    fn differences(&self, work: &[String]) -> String {
        let mut text = String::new();
        let steady = |line: &&String| self.baselines.iter().all(|baseline| baseline.contains(line));
        for line in self.baselines[0].iter().filter(steady).filter(|line| !work.contains(line)) {
            let _ = write!(text, "lost {line:?} ");
        }
        for line in work.iter().filter(|line| !self.baselines.iter().any(|baseline| baseline.contains(line))) {
            let _ = write!(text, "got {line:?} ");
        }
        text
    }

    /// Removes what there is, and looks for what is left.
    fn tidy(&self, found: &mut Vec<(Fail, String)>) {
        if self.case.before.is_kept() {
            let strays = self.scene.strays();
            if !strays.is_empty() {
                found.push((Fail::Leak, strays.join(", ")));
            }
            if !found.is_empty() || !matches!(&*self.scene.status(), "running" | "paused") {
                self.remove(found);
            }
        } else {
            self.remove(found);
        }
    }

    fn remove(&self, found: &mut Vec<(Fail, String)>) {
        let removed = self.scene.remove();
        if let Some(refusal) = removed.refusal {
            found.push((Fail::Undeletable, refusal));
        }
        if !removed.left.is_empty() {
            found.push((Fail::Leak, removed.left.join(", ")));
        }
    }
}

/// Why a complaint is not clear: it is one line that says what was attempted, on what, and why it failed.
fn unclear(act: Act, said: &str) -> Option<String> {
    let lines: Vec<_> = said.lines().filter(|line| !line.starts_with("nskit: warning: ")).collect();
    let [line] = lines[..] else { return Some(format!("{} lines", lines.len())) };
    if line.len() > 2200 {
        return Some(format!("{} bytes in a line", line.len()));
    }
    let Some(rest) = line.strip_prefix("nskit: ") else { return Some("a line of somebody else's".to_owned()) };
    let Act::Fail(errno) = act else {
        let says = rest.split_whitespace().count() >= 4 || rest.starts_with("stopped by SIG");
        return (!says).then(|| "a line that names nothing".to_owned());
    };
    let cause = go_text(Errno::from_raw_os_error(errno));
    match rest.to_lowercase().find(&*cause) {
        None => Some("the cause is not named".to_owned()),
        Some(at) if !rest[..at].trim_end_matches([':', ' ']).contains(' ') => {
            Some("what was attempted is not named".to_owned())
        }
        Some(_) => None,
    }
}

fn content(file: &File) -> String {
    let mut bytes = vec![0; file.metadata().map_or(0, |status| status.len().try_into().expect("a short output"))];
    file.read_exact_at(&mut bytes, 0).expect("read a memfd");
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Keeps a report in `folder`.
pub(super) fn keep(folder: &Path, name: &str, report: &Report) {
    let written = fs::create_dir_all(folder)
        .and_then(|()| File::create(folder.join(name)))
        .and_then(|mut file| write!(file, "{report}"));
    written.unwrap_or_else(|error| panic!("keep the report in {}: {error}", folder.display()));
}
