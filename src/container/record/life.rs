//! The life of a container: where it can be in it, and what may be done to it there. Every verb asks this table.
//!
//! ```text
//! creating ──► created ──► running ──► stopped
//!     │            │         │ ▲          ▲
//!     │            │         ▼ │          │
//!     │            │        paused ───────┤
//!     └────────────┴──────────────────────┘
//! ```
//!
//! None of it is a word on disk that could be stale: state.json has the first process, and the kernel tells the rest. A first
//! process that has not executed a program since it was forked, and does not listen at its gate, is still being made: its
//! root may be the host's. [`super::instance::Container::admit`] looks.

use serde::Serialize;

use crate::error::{Error, Kind};

/// Where a container is in its life; runtime-spec, "State".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It is being made.
    Creating,
    /// It waits to be started.
    Created,
    /// Its program runs.
    Running,
    /// Its cgroup is frozen.
    Paused,
    /// Its program is gone.
    Stopped,
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Status::Creating => "creating",
            Status::Created => "created",
            Status::Running => "running",
            Status::Paused => "paused",
            Status::Stopped => "stopped",
        })
    }
}

/// What is to be done to a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Let its program start.
    Start,
    /// Start another process in it.
    Exec,
    /// Start another process in it although it is paused.
    ExecIgnoringPause,
    /// Enter its namespaces, as nsenter(1) does.
    Enter,
    /// Send its first process a signal.
    Signal,
    /// Freeze it.
    Pause,
    /// Thaw it.
    Resume,
    /// Change its limits.
    Update,
    /// List its processes.
    ListProcesses,
    /// Tell its statistics and events.
    Watch,
    /// Save its processes.
    Checkpoint,
    /// Delete it without force.
    Delete,
}

impl Verb {
    /// Whether this may be done to a container in `status`.
    pub const fn permits(self, status: Status) -> bool {
        use Status::{Created, Creating, Paused, Running, Stopped};
        match self {
            Verb::Start => matches!(status, Created),
            // Entered is what is whole: before, its root may be the host's.
            Verb::Exec | Verb::Pause => matches!(status, Created | Running),
            Verb::ExecIgnoringPause | Verb::Enter | Verb::Update | Verb::Watch => {
                matches!(status, Created | Running | Paused)
            }
            Verb::Signal => matches!(status, Creating | Created | Running | Paused),
            Verb::Resume => matches!(status, Paused),
            Verb::ListProcesses => true,
            Verb::Checkpoint => matches!(status, Running | Paused),
            // A container that was never started has nothing to lose.
            Verb::Delete => matches!(status, Created | Stopped),
        }
    }

    /// Whether a paused container is treated otherwise than the same container when it is not paused.
    pub(crate) const fn minds_pause(self) -> bool {
        !matches!(self, Verb::ExecIgnoringPause | Verb::Enter | Verb::Signal | Verb::ListProcesses | Verb::Watch)
    }

    /// Whether it waits for a process in the container to do something.
    pub(crate) const fn needs_an_answer(self) -> bool {
        matches!(self, Verb::Start | Verb::Exec)
    }

    /// Why this is refused for the container `id`, which is in `status`. Engines look for some of these words.
    pub(crate) fn refusal(self, id: &str, status: Status) -> Error {
        let text = match (self, status) {
            (Verb::Start, Status::Stopped) => "cannot start a container that has stopped".to_owned(),
            (Verb::Start, Status::Running) => "cannot start an already running container".to_owned(),
            (Verb::Start, other) => format!("cannot start a container in the {other} state"),
            (Verb::Exec | Verb::ExecIgnoringPause, Status::Stopped) => "cannot exec in a stopped container".to_owned(),
            (Verb::Exec, Status::Paused) => {
                "cannot exec in a paused container (use --ignore-paused to override)".to_owned()
            }
            (Verb::Exec | Verb::ExecIgnoringPause, _) => {
                format!("cannot exec in a container that is being created: {id} has no root of its own yet")
            }
            (Verb::Enter, Status::Creating) => {
                format!("container {id} is being created: there is nothing to enter before it has its root")
            }
            (Verb::Enter, other) => format!("container {id} is not running: it is {other}"),
            (Verb::Signal, _) => "container not running".to_owned(),
            (Verb::Pause, other) => format!("container not running: cannot pause container {id}, it is {other}"),
            (Verb::Resume, other) => format!("container not paused: cannot resume container {id}, it is {other}"),
            (Verb::Update, Status::Stopped) => format!("container not running: cannot update container {id}"),
            (Verb::Update, other) => format!("cannot update container {id}, it is {other}"),
            (Verb::Watch, Status::Stopped) => {
                format!("container not running: container with id {id} is not running")
            }
            (Verb::Watch, other) => format!("container {id} has no statistics yet, it is {other}"),
            (Verb::ListProcesses, other) => format!("the processes of container {id} cannot be listed, it is {other}"),
            (Verb::Checkpoint, other) => format!("container {id} cannot be checkpointed in {other} state"),
            (Verb::Delete, other) => format!("cannot delete container {id} that is not stopped: {other}"),
        };
        Error::new(Kind::State, text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_enters_or_changes_a_container_that_is_being_created() {
        let all = [
            Verb::Start,
            Verb::Exec,
            Verb::ExecIgnoringPause,
            Verb::Enter,
            Verb::Pause,
            Verb::Resume,
            Verb::Update,
            Verb::Watch,
            Verb::Checkpoint,
            Verb::Delete,
        ];
        assert!(all.iter().all(|verb| !verb.permits(Status::Creating)));
        assert!(Verb::Signal.permits(Status::Creating), "what hangs while it is created can be ended");
    }

    #[test]
    fn a_stopped_container_is_deleted_and_no_more() {
        for verb in [Verb::Start, Verb::Exec, Verb::Enter, Verb::Signal, Verb::Pause, Verb::Update, Verb::Checkpoint] {
            assert!(!verb.permits(Status::Stopped), "{verb:?}");
        }
        assert!(Verb::Delete.permits(Status::Stopped));
    }
}
