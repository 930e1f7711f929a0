//! What follows from the end of a worker, and from that of a container's process. Events go out in the order in which
//! containerd expects them: created, started, ended, deleted; other processes end before the first.

use std::time::Instant;

use rustix::process::{Pid, WaitStatus};

use super::event::Event;
use super::frame::{Code, Failure};
use super::job::Started;
use super::message::{self, Exit};
use super::pending::{Pending, What};
use super::pod::{Call, Container, Phase};
use super::server::Server;
use super::stream::Streams;
use super::worker::{Told, exit_of, is_reaped};
use crate::cgroup::OomWatch;

/// What a failure of a worker means to who asked: its text is all that there is.
fn failure(message: String) -> Failure {
    let code = if message.contains("does not exist") || message.contains("container not running") {
        Code::NotFound
    } else if message.contains("already exists") {
        Code::AlreadyExists
    } else {
        Code::Unknown
    };
    Failure::new(code, message)
}

impl Server {
    /// A child has ended.
    pub(super) fn ended(&mut self, pid: Pid, status: WaitStatus) {
        if let Some(at) = self.workers.iter().position(|pending| pending.worker.pid == pid) {
            let pending = self.workers.swap_remove(at);
            self.finished(pending, status);
            return;
        }
        let (number, exit) = (pid.as_raw_nonzero().get(), exit_of(status));
        let owns = |container: &mut Container| {
            container.processes().any(|process| process.pid == number && process.exit.is_none())
        };
        match self.containers.iter_mut().position(owns) {
            Some(at) => self.process_ended(at, number, exit),
            // It may be what a worker is about to tell of.
            None if self.workers.iter().any(|pending| pending.what.makes_process()) => {
                self.unclaimed.push((number, exit));
            }
            None => {}
        }
    }

    /// A worker has ended.
    fn finished(&mut self, pending: Pending, status: WaitStatus) {
        let Pending { worker, call, what } = pending;
        let outcome = worker.outcome(status);
        let (id, method) = what.names();
        if let Err(why) = &outcome {
            log::error!("container {id}: {method}: {why}");
        }
        let (id, is_exclusive) = (id.to_owned(), what.is_exclusive());
        let answer = match what {
            What::Create(container) => self.created(*container, outcome),
            What::Start { id } => self.started(&id, outcome),
            What::StartExec { id, exec_id } => self.exec_started(&id, &exec_id, outcome),
            What::Pause { id } => outcome.map_err(failure).map(|_| self.paused(&id, true)),
            What::Resume { id } => outcome.map_err(failure).map(|_| self.paused(&id, false)),
            What::Checkpoint { id, path } => outcome.map_err(failure).map(|_| {
                self.publish(&id, &Event::Checkpointed(&path));
                Some(Vec::new())
            }),
            What::Delete { id } => self.deleted(&id, outcome),
            What::Plain { .. } => outcome.map(|told| Some(told.bytes)).map_err(killed),
            What::KillRest { id } => {
                self.settle(&id);
                Ok(None)
            }
        };
        if let Some(call) = call {
            match answer {
                Ok(None) => {}
                Ok(Some(payload)) => self.reply(call, Ok(payload)),
                Err(failure) => self.reply(call, Err(failure)),
            }
        }
        if !self.workers.iter().any(|pending| pending.what.makes_process()) {
            self.unclaimed = Vec::new();
        }
        if is_exclusive {
            self.go_on(&id);
        }
    }

    /// Takes up what was put off while a container was changed.
    fn go_on(&mut self, id: &str) {
        let Ok(container) = self.find(id) else { return };
        container.is_busy = false;
        while let Ok(container) = self.find(id)
            && !container.is_busy
            && let Some(next) = container.deferred.pop_front()
        {
            self.call(next.call, &next.method, &next.payload);
        }
    }

    fn created(&mut self, mut container: Container, outcome: Result<Told, String>) -> Result<Option<Vec<u8>>, Failure> {
        let told = outcome.map_err(failure)?;
        let started = Started::read(&told.bytes);
        let id = container.id.clone();
        container.init.pid = started.pid;
        let create = container.create.clone();
        self.containers.push(container);
        if started.pid != 0 {
            self.has_process(&id, &started);
        }
        self.add_terminal(&id, "", told.fd);
        self.publish(&id, &Event::Create(&create, started.pid));
        self.claim(&id, started.pid);
        Ok(Some(message::pid(started.pid)))
    }

    /// Keeps what a worker tells of a first process, and watches its memory.
    fn has_process(&mut self, id: &str, started: &Started) {
        let watch = match started.memory.as_os_str() {
            none if none.is_empty() => None,
            _ => OomWatch::of(&started.memory, started.is_unified)
                .inspect_err(|error| log::warn!("container {id}: {}", error.as_go_prints_it()))
                .ok(),
        };
        let token = self.new_token();
        let watch = watch.filter(|watch| self.poll.add(watch, token, true, false).is_ok());
        if let Ok(container) = self.find(id) {
            container.init.pid = started.pid;
            container.has_own_pids = started.has_own_pids;
            container.oom = watch.map(|watch| (token, watch));
        }
    }

    fn add_terminal(&mut self, id: &str, exec_id: &str, terminal: Option<std::os::fd::OwnedFd>) {
        let Some(terminal) = terminal else { return };
        let Ok(stdio) = self.find(id).and_then(|container| Ok(container.process(exec_id)?.stdio.clone())) else {
            return;
        };
        let mut streams = match Streams::of_terminal(&stdio, terminal) {
            Ok(streams) => streams,
            Err(error) => {
                log::error!("container {id}: {}", error.as_go_prints_it());
                return;
            }
        };
        let copied = std::mem::take(&mut streams.copied);
        let relays = copied.into_iter().filter_map(|(from, to)| self.add_relay(from, to, false)).collect();
        if let Ok(process) = self.find(id).and_then(|container| container.process(exec_id)) {
            process.relays = relays;
            process.held = streams.held;
        }
    }

    fn started(&mut self, id: &str, outcome: Result<Told, String>) -> Result<Option<Vec<u8>>, Failure> {
        let told = match outcome {
            Ok(told) => told,
            Err(why) => {
                let container = self.find(id)?;
                // It waits still, unless its end is on the way.
                container.init.phase = if container.init.pid == 0 { Phase::Stopped } else { Phase::Created };
                if container.init.pid == 0 {
                    // What was to be restored has no end that could be told.
                    container.init.exit = Some(Exit { status: 255, at: std::time::SystemTime::now() });
                    self.answer_waiting(id, "");
                }
                self.settle(id);
                return Err(failure(why));
            }
        };
        let restored = Started::read(&told.bytes);
        if restored.pid != 0 {
            self.has_process(id, &restored);
            self.add_terminal(id, "", told.fd);
        }
        let container = self.find(id)?;
        container.init.phase = Phase::Running;
        let pid = container.init.pid;
        self.publish(id, &Event::Start(pid));
        self.claim(id, pid);
        self.settle(id);
        Ok(Some(message::pid(pid)))
    }

    fn exec_started(
        &mut self,
        id: &str,
        exec_id: &str,
        outcome: Result<Told, String>,
    ) -> Result<Option<Vec<u8>>, Failure> {
        match outcome {
            Ok(told) => {
                let pid = Started::read(&told.bytes).pid;
                let process = self.find(id)?.process(exec_id)?;
                (process.pid, process.phase) = (pid, Phase::Running);
                self.add_terminal(id, exec_id, told.fd);
                self.publish(id, &Event::ExecStarted(exec_id, pid));
                self.claim(id, pid);
                Ok(Some(message::pid(pid)))
            }
            Err(why) => {
                let process = self.find(id)?.process(exec_id)?;
                process.phase = Phase::Stopped;
                process.exit = Some(Exit { status: 255, at: std::time::SystemTime::now() });
                self.answer_waiting(id, exec_id);
                self.settle(id);
                Err(failure(why))
            }
        }
    }

    /// If a process that a worker has told of has ended already, its end is not lost.
    fn claim(&mut self, id: &str, pid: i32) {
        let Some(number) = Pid::from_raw(pid) else { return };
        // One that is there still is another than who had its number before.
        if let Some(at) = self.unclaimed.iter().rposition(|(ended, _)| *ended == pid)
            && is_reaped(number)
        {
            let (_, exit) = self.unclaimed.swap_remove(at);
            if let Some(at) = self.containers.iter().position(|container| container.id == id) {
                self.process_ended(at, pid, exit);
            }
        }
    }

    fn paused(&mut self, id: &str, is_paused: bool) -> Option<Vec<u8>> {
        if let Ok(container) = self.find(id) {
            container.is_paused = is_paused;
        }
        self.publish(id, if is_paused { &Event::Paused } else { &Event::Resumed });
        Some(Vec::new())
    }

    /// A process of a container has ended.
    fn process_ended(&mut self, at: usize, pid: i32, exit: Exit) {
        let container = &mut self.containers[at];
        let (id, has_own_pids) = (container.id.clone(), container.has_own_pids);
        if container.init.pid == pid {
            container.init.untold = Some(exit);
            if let Some((token, _)) = &container.oom {
                let token = *token;
                self.look_for_oom(token);
            }
            if !has_own_pids {
                self.kill_rest(&id);
            }
        } else if let Some(exec) = container.execs.iter_mut().find(|exec| exec.pid == pid && exec.exit.is_none()) {
            (exec.exit, exec.phase) = (Some(exit), Phase::Stopped);
            let name = exec.exec_id.clone();
            self.publish(&id, &Event::Exit(&name, pid, exit));
            self.answer_waiting(&id, &name);
        }
        self.settle(&id);
    }

    fn kill_rest(&mut self, id: &str) {
        let what = What::KillRest { id: id.to_owned() };
        let Some(at) = self.containers.iter().position(|container| container.id == id) else { return };
        let subject = super::job::Subject {
            id: id.to_owned(),
            bundle: self.containers[at].bundle(),
            options: self.containers[at].options.clone(),
            namespace: self.config.namespace.clone(),
        };
        let job = || subject.kill(libc::SIGKILL, true);
        if let Err(failure) = self.work(None, what, &Streams::default(), job) {
            log::error!("container {id}: kill the rest: {}", failure.message);
        }
    }

    /// Tells of the end of a first process, once that is its turn.
    fn settle(&mut self, id: &str) {
        let is_killing = |pending: &Pending| matches!(&pending.what, What::KillRest { id: of } if of == id);
        let is_awaited = self.workers.iter().any(is_killing);
        let Ok(container) = self.find(id) else { return };
        let others = container.execs.iter().any(super::pod::Process::is_under_way);
        let Some(exit) = container.init.untold.filter(|_| !others && !is_awaited) else { return };
        if container.init.phase == Phase::Starting {
            return;
        }
        container.init.untold = None;
        container.init.exit = Some(exit);
        container.init.phase = Phase::Stopped;
        container.is_paused = false;
        container.oom = None;
        let pid = container.init.pid;
        self.publish(id, &Event::Exit(id, pid, exit));
        self.answer_waiting(id, "");
    }

    fn answer_waiting(&mut self, id: &str, exec_id: &str) {
        let Ok(process) = self.find(id).and_then(|container| container.process(exec_id)) else { return };
        let Some(exit) = process.exit else { return };
        for call in std::mem::take(&mut process.waiting) {
            self.reply(call, Ok(message::waited(exit)));
        }
    }

    fn deleted(&mut self, id: &str, outcome: Result<Told, String>) -> Result<Option<Vec<u8>>, Failure> {
        let container = self.find(id)?;
        match outcome {
            // The end of a process that was never started may be still to come.
            Ok(_) => container.is_deleted = true,
            Err(why) => {
                container.init.deletion = None;
                return Err(failure(why));
            }
        }
        Ok(None)
    }

    /// Answers deletions that wait for nothing any more.
    pub(super) fn finish_deletions(&mut self) {
        let ids: Vec<String> = self.containers.iter().map(|container| container.id.clone()).collect();
        for id in ids {
            while let Some((exec_id, call)) = self.next_deletion(&id) {
                self.finish_deletion(&id, &exec_id, call);
            }
        }
    }

    fn next_deletion(&mut self, id: &str) -> Option<(String, Call)> {
        let now = Instant::now();
        let relays = &self.relays;
        let container = self.containers.iter().find(|container| container.id == id)?;
        let all = std::iter::once(&container.init).chain(&container.execs);
        all.filter(|process| {
            let is_first = process.exec_id.is_empty();
            // Nothing of a process that never was can be waited for.
            let has_ended = process.exit.is_some() || process.pid == 0;
            let is_read = || {
                let mut own = relays.iter().filter(|relay| process.relays.contains(&relay.token));
                own.all(super::relay::Relay::is_drained)
            };
            let is_due = |deadline: Instant| deadline <= now || is_read();
            process
                .deletion
                .as_ref()
                .is_some_and(|deletion| has_ended && (!is_first || container.is_deleted) && is_due(deletion.deadline))
        })
        .find_map(|process| Some((process.exec_id.clone(), process.deletion.as_ref()?.call)))
    }

    fn finish_deletion(&mut self, id: &str, exec_id: &str, call: Call) {
        let Some(at) = self.containers.iter().position(|container| container.id == id) else { return };
        let container = &mut self.containers[at];
        let gone = if exec_id.is_empty() {
            let mut container = self.containers.remove(at);
            for deferred in std::mem::take(&mut container.deferred) {
                self.call(deferred.call, &deferred.method, &deferred.payload);
            }
            self.publish(id, &Event::Delete(container.init.pid, container.init.exit));
            let init = std::mem::replace(
                &mut container.init,
                super::pod::Process::new(String::new(), Default::default(), Vec::new()),
            );
            container.execs.drain(..).chain([init]).collect::<Vec<_>>()
        } else {
            container.execs.extract_if(.., |exec| exec.exec_id == exec_id).collect()
        };
        for process in &gone {
            process.held.end_logger();
            for relay in self.relays.extract_if(.., |relay| process.relays.contains(&relay.token)) {
                let mut relay = relay;
                relay.stop(&self.poll);
            }
        }
        if let Some(process) = gone.last() {
            self.reply(call, Ok(message::deleted(process.pid, process.exit)));
        }
    }

    /// Looks at a watch of a container's memory.
    pub(super) fn look_for_oom(&mut self, token: u64) {
        let watched = |container: &&mut Container| container.oom.as_ref().is_some_and(|(own, _)| *own == token);
        let Some(container) = self.containers.iter_mut().find(watched) else { return };
        let Some((_, watch)) = &mut container.oom else { return };
        let events = watch.read();
        let id = container.id.clone();
        match events {
            Ok(events) => {
                if events.gone {
                    container.oom = None;
                }
                if events.oom {
                    self.publish(&id, &Event::Oom);
                }
            }
            Err(error) => {
                log::warn!("container {id}: {}", error.as_go_prints_it());
                container.oom = None;
            }
        }
    }
}

/// As [`failure`], in the words that clients of `Kill` look for.
fn killed(message: String) -> Failure {
    if message.contains("container not running") {
        return Failure::new(Code::NotFound, "process already finished: not found");
    }
    failure(message)
}
