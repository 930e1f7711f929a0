//! Containers and their processes as the shim knows them. What is on disk is the runtime's.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::time::Instant;

use super::frame::{Code, Failure};
use super::message::{Create, Exit, Stdio};
use super::options::Options;
use super::stream::Held;
use crate::cgroup::OomWatch;

/// Whom an answer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Call {
    /// The connection's number in the loop.
    pub connection: u64,
    /// The stream of the request.
    pub stream: u32,
}

/// A request that waits for its turn.
#[derive(Debug)]
pub(super) struct Deferred {
    /// Whom to answer.
    pub call: Call,
    /// What is asked.
    pub method: String,
    /// Of what.
    pub payload: Vec<u8>,
}

/// Where a process is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// It waits to be started; an exec is only a name.
    Created,
    /// A worker starts it.
    Starting,
    /// Its program runs, or has ended with an end that is not told yet.
    Running,
    /// It ended, or could not be started.
    Stopped,
}

/// A deletion that waits for the end of what it deletes.
#[derive(Debug)]
pub(super) struct Deletion {
    /// Whom to answer.
    pub call: Call,
    /// Until when its streams may take.
    pub deadline: Instant,
}

/// A process of a container.
#[derive(Debug)]
pub(super) struct Process {
    /// Its name; empty for the container's first.
    pub exec_id: String,
    /// Its streams, as they were asked for.
    pub stdio: Stdio,
    /// What it is, as config.json has it; empty for the container's first.
    pub spec: Vec<u8>,
    /// The process, 0 before there is one.
    pub pid: i32,
    /// Where it is in its life.
    pub phase: Phase,
    /// How it ended, once that is told.
    pub exit: Option<Exit>,
    /// How it ended, as long as that is not to be told.
    pub untold: Option<Exit>,
    /// Who waits for its end.
    pub waiting: Vec<Call>,
    /// What of its streams is the shim's.
    pub held: Held,
    /// The numbers of relays that copy them.
    pub relays: Vec<u64>,
    /// Who wants it gone.
    pub deletion: Option<Deletion>,
}

impl Process {
    /// A process that is not started.
    pub(super) fn new(exec_id: String, stdio: Stdio, spec: Vec<u8>) -> Process {
        Process {
            exec_id,
            stdio,
            spec,
            pid: 0,
            phase: Phase::Created,
            exit: None,
            untold: None,
            waiting: Vec::new(),
            held: Held::default(),
            relays: Vec::new(),
            deletion: None,
        }
    }

    /// Whether it counts as one whose end comes before that of the container's first.
    pub(super) fn is_under_way(&self) -> bool {
        matches!(self.phase, Phase::Starting | Phase::Running)
    }
}

/// A container.
#[derive(Debug)]
pub(super) struct Container {
    /// Its name.
    pub id: String,
    /// How it was asked for.
    pub create: Create,
    /// What the runtime is asked besides.
    pub options: Options,
    /// Its first process.
    pub init: Process,
    /// Other processes.
    pub execs: Vec<Process>,
    /// Its processes are stopped for a while.
    pub is_paused: bool,
    /// It has a pid namespace of its own, whose processes end with its first.
    pub has_own_pids: bool,
    /// Tells when the kernel runs out of its memory.
    pub oom: Option<(u64, OomWatch)>,
    /// A worker changes it: others that would wait.
    pub is_busy: bool,
    /// Those.
    pub deferred: VecDeque<Deferred>,
    /// The runtime has deleted it.
    pub is_deleted: bool,
}

impl Container {
    /// A container that is being created.
    pub(super) fn new(create: Create, options: Options) -> Container {
        let init = Process::new(String::new(), create.stdio.clone(), Vec::new());
        Container {
            id: create.id.clone(),
            create,
            options,
            init,
            execs: Vec::new(),
            is_paused: false,
            has_own_pids: true,
            oom: None,
            is_busy: false,
            deferred: VecDeque::new(),
            is_deleted: false,
        }
    }

    /// The process with this name.
    ///
    /// # Errors
    /// When there is none.
    pub(super) fn process(&mut self, exec_id: &str) -> Result<&mut Process, Failure> {
        if exec_id.is_empty() {
            return Ok(&mut self.init);
        }
        let found = self.execs.iter_mut().find(|exec| exec.exec_id == exec_id);
        found.ok_or_else(|| Failure::new(Code::NotFound, format!("process does not exist {exec_id}: not found")))
    }

    /// All processes.
    pub(super) fn processes(&mut self) -> impl Iterator<Item = &mut Process> {
        std::iter::once(&mut self.init).chain(&mut self.execs)
    }

    /// Whether it was asked to be restored, and is not yet.
    pub(super) fn waits_for_restore(&self) -> bool {
        !self.create.checkpoint.is_empty() && self.init.pid == 0
    }

    /// Its bundle's folder.
    pub(super) fn bundle(&self) -> PathBuf {
        PathBuf::from(&self.create.bundle)
    }
}
