//! The verbs, each with the state that it finds and what tells that it did its work.

use serde_json::Value;

use super::scene::{Scene, Traits};

/// One verb on one kind of container.
pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) traits: Traits,
    /// The state that the verb finds.
    pub(super) before: Before,
    /// What the shell runs; `exec` before a single verb makes the runtime the process that is waited for.
    pub(super) line: fn(&Scene) -> String,
    /// What there is when the verb has done its work, a line each; `said` is what it wrote to standard output.
    pub(super) work: fn(&Scene, said: &str) -> Vec<String>,
    /// The status of the verb's own failures.
    pub(super) failure: i32,
}

/// What a verb finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Before {
    /// No container.
    Nothing,
    /// A container that runs, and is the same for every fault.
    Running,
    /// The same, paused.
    Paused,
    /// A container that runs, a new one for every fault.
    New,
    /// One that has stopped, a new one for every fault.
    Stopped,
}

impl Before {
    /// Whether the container is the same for all faults.
    pub(super) fn is_kept(self) -> bool {
        matches!(self, Before::Running | Before::Paused)
    }
}

const PLAIN: Traits =
    Traits { user_namespace: false, time_namespace: false, hooks: false, terminal: false, systemd: false };
const USER: Traits = Traits { user_namespace: true, ..PLAIN };
const TIME: Traits = Traits { time_namespace: true, ..PLAIN };
const HOOKS: Traits = Traits { hooks: true, ..PLAIN };
const TERMINAL: Traits = Traits { terminal: true, ..PLAIN };
const SYSTEMD: Traits = Traits { systemd: true, ..PLAIN };

fn run(scene: &Scene) -> String {
    format!("exec {}", scene.launch_line("run"))
}

fn run_detached(scene: &Scene) -> String {
    format!("exec {}", scene.launch_line("run -d"))
}

fn create_and_start(scene: &Scene) -> String {
    let start = scene.line(&format!("start {}", scene.container.id));
    format!("{} && {start}", scene.launch_line("create"))
}

fn seen(scene: &Scene, _: &str) -> Vec<String> {
    scene.seen()
}

/// What was said, without the number of the process and the time: a container that had to be made anew has others.
fn said(scene: &Scene, said: &str) -> Vec<String> {
    let state: Value = serde_json::from_str(&scene.verb("state").1).unwrap_or_default();
    let mut said = said.to_owned();
    for (key, name) in [("pid", "PID"), ("created", "TIME")] {
        let value = state[key].as_str().map_or_else(|| state[key].to_string(), str::to_owned);
        said = said.replace(&value, name);
    }
    said.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

/// The names in a JSON text, and which of its numbers are zero.
fn shape(_: &Scene, said: &str) -> Vec<String> {
    fn walk(value: &Value, path: &str, lines: &mut Vec<String>) {
        match value {
            Value::Object(entries) => {
                entries.iter().for_each(|(key, value)| walk(value, &format!("{path}/{key}"), lines))
            }
            Value::Number(number) => {
                lines.push(format!("{path} {}", if number.as_f64() == Some(0.0) { "0" } else { "n" }))
            }
            _ => lines.push(path.to_owned()),
        }
    }
    let mut lines = Vec::new();
    walk(&serde_json::from_str(said).unwrap_or_default(), "", &mut lines);
    lines
}

fn on_container(scene: &Scene, verb: &str) -> String {
    format!("exec {}", scene.line(&format!("{verb} {}", scene.container.id)))
}

/// Every case; those of the systemd driver are for a machine that has it.
pub(super) const CASES: &[Case] = &[
    launch("run", PLAIN, run),
    launch("run_user_namespace", USER, run),
    launch("run_time_namespace", TIME, run),
    launch("run_hooks", HOOKS, run),
    launch("run_terminal", TERMINAL, run),
    launch("run_systemd", SYSTEMD, run),
    launch("run_detached", PLAIN, run_detached),
    launch("run_detached_terminal", TERMINAL, run_detached),
    launch("create_start", PLAIN, create_and_start),
    launch("create_start_user_namespace", USER, create_and_start),
    launch("create_start_time_namespace", TIME, create_and_start),
    launch("create_start_hooks", HOOKS, create_and_start),
    launch("create_start_terminal", TERMINAL, create_and_start),
    exec("exec", PLAIN, |scene| format!("exec {}", scene.exec_line(""))),
    exec("exec_user_namespace", USER, |scene| format!("exec {}", scene.exec_line(""))),
    exec("exec_time_namespace", TIME, |scene| format!("exec {}", scene.exec_line(""))),
    exec("exec_terminal", PLAIN, |scene| format!("exec {}", scene.exec_line("-t"))),
    exec("exec_systemd", SYSTEMD, |scene| format!("exec {}", scene.exec_line(""))),
    exec("exec_detached", PLAIN, |scene| format!("exec {}", scene.exec_line("-d"))),
    exec("exec_detached_terminal", PLAIN, |scene| format!("exec {}", scene.exec_line("-d -t"))),
    verb(
        "kill",
        Before::New,
        |scene| format!("exec {}", scene.line(&format!("kill {} KILL", scene.container.id))),
        |scene, _| vec![scene.end()],
    ),
    verb("pause", Before::Running, |scene| on_container(scene, "pause"), |scene, _| vec![scene.status()]),
    verb("resume", Before::Paused, |scene| on_container(scene, "resume"), |scene, _| vec![scene.status()]),
    verb(
        "update",
        Before::Running,
        |scene| on_container(scene, "update --memory 100663296 --pids-limit 77 --cpu-share 300"),
        |scene, _| scene.limits(),
    ),
    verb("delete", Before::Stopped, |scene| on_container(scene, "delete"), |scene, _| vec![scene.status()]),
    verb("delete_force", Before::New, |scene| on_container(scene, "delete --force"), |scene, _| vec![scene.status()]),
    verb("state", Before::Running, |scene| on_container(scene, "state"), said),
    verb("list", Before::Running, |scene| format!("exec {}", scene.line("list")), said),
    verb("ps", Before::Running, |scene| on_container(scene, "ps --format json"), said),
    verb("events", Before::Running, |scene| on_container(scene, "events --stats"), shape),
];

const fn launch(name: &'static str, traits: Traits, line: fn(&Scene) -> String) -> Case {
    Case { name, traits, before: Before::Nothing, line, work: seen, failure: 1 }
}

const fn exec(name: &'static str, traits: Traits, line: fn(&Scene) -> String) -> Case {
    Case { name, traits, before: Before::Running, line, work: seen, failure: 255 }
}

const fn verb(
    name: &'static str,
    before: Before,
    line: fn(&Scene) -> String,
    work: fn(&Scene, &str) -> Vec<String>,
) -> Case {
    Case { name, traits: PLAIN, before, line, work, failure: 1 }
}
