//! What is under way in a forked worker, and which call its end answers.

use super::pod::{Call, Container};
use super::worker::Worker;

/// What a worker is for.
#[derive(Debug)]
pub(super) enum What {
    Create(Box<Container>),
    Start {
        id: String,
    },
    StartExec {
        id: String,
        exec_id: String,
    },
    Pause {
        id: String,
    },
    Resume {
        id: String,
    },
    Checkpoint {
        id: String,
        path: String,
    },
    Delete {
        id: String,
    },
    /// Its answer is passed on as it is.
    Plain {
        id: String,
        method: &'static str,
    },
    /// The rest of a container whose first process ended in a pid namespace of others.
    KillRest {
        id: String,
    },
}

/// A worker, and whom its end answers.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) worker: Worker,
    pub(super) call: Option<Call>,
    pub(super) what: What,
}

impl What {
    /// The container, and what is done to it, for the log.
    pub(super) fn names(&self) -> (&str, &str) {
        match self {
            What::Create(container) => (&container.id, "create"),
            What::Start { id } => (id, "start"),
            What::StartExec { id, .. } => (id, "exec"),
            What::Pause { id } => (id, "pause"),
            What::Resume { id } => (id, "resume"),
            What::Checkpoint { id, .. } => (id, "checkpoint"),
            What::Delete { id } => (id, "delete"),
            What::Plain { id, method } => (id, method),
            What::KillRest { id } => (id, "kill the rest"),
        }
    }

    pub(super) fn makes_process(&self) -> bool {
        matches!(self, What::Create(_) | What::Start { .. } | What::StartExec { .. })
    }

    pub(super) fn is_exclusive(&self) -> bool {
        match self {
            What::Create(_) | What::StartExec { .. } | What::KillRest { .. } => false,
            What::Plain { method, .. } => *method == "Update",
            _ => true,
        }
    }
}
