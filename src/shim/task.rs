//! The methods of the Task service. Each answers at once, or leaves a worker, or a place among those who wait, that will.

use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use rustix::process::Pid;
use rustix::termios::Winsize;

use super::event::Event;
use super::frame::{Code, Failure};
use super::job::Subject;
use super::logger::Readiness;
use super::message::{self, Any, Create, Exec, Named, add_exit};
use super::options::Options;
use super::pending::What;
use super::pod::{Call, Container, Deferred, Deletion, Phase, Process};
use super::server::Server;
use super::stream::Streams;
use super::worker::{Kept, Made, Worker};
use crate::error::{Error, Result as LibraryResult};
use crate::protobuf::Message;

/// The answer to a request; `None` when it comes later.
type Answer = Result<Option<Vec<u8>>, Failure>;

/// How long a deletion waits until what the process wrote is read.
const PATIENCE: Duration = Duration::from_secs(10);

/// An answer without fields.
const EMPTY: Answer = Ok(Some(Vec::new()));

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        use crate::error::Kind;
        let code = match error.kind() {
            Kind::Invalid => Code::InvalidArgument,
            Kind::NotFound => Code::NotFound,
            Kind::Exists => Code::AlreadyExists,
            Kind::State => Code::FailedPrecondition,
            _ => Code::Unknown,
        };
        Failure::new(code, error.as_go_prints_it())
    }
}

fn wrong_state(what: &str) -> Failure {
    Failure::new(Code::FailedPrecondition, what)
}

impl Server {
    /// Answers a request, or sees to it that it will be.
    pub(super) fn call(&mut self, call: Call, method: &str, payload: &[u8]) {
        log::debug!("{method} on stream {} of connection {}", call.stream, call.connection);
        let answer = match method {
            "Create" => self.create(call, payload),
            "Start" => self.start(call, payload),
            "State" => self.state(payload),
            "Wait" => self.wait(call, payload),
            "Kill" => self.kill(call, payload),
            "Exec" => self.exec(payload),
            "Delete" => self.delete(call, payload),
            "Pids" => self.pids(call, payload),
            "Stats" => self.stats(call, payload),
            "Pause" => self.pause(call, payload),
            "Resume" => self.resume(call, payload),
            "Update" => self.update(call, payload),
            "Checkpoint" => self.checkpoint(call, payload),
            "CloseIO" => self.close_io(payload),
            "ResizePty" => self.resize(payload),
            "Connect" => self.connect(payload),
            "Shutdown" => self.shut_down(),
            other => Err(Failure::new(Code::Unimplemented, format!("there is no method {other}"))),
        };
        match answer {
            Ok(Some(payload)) => self.reply(call, Ok(payload)),
            Ok(None) => {}
            Err(failure) => {
                log::debug!("{method}: {}", failure.message);
                self.reply(call, Err(failure));
            }
        }
    }

    pub(super) fn find(&mut self, id: &str) -> Result<&mut Container, Failure> {
        let found = self.containers.iter_mut().find(|container| container.id == id);
        found.ok_or_else(|| Failure::new(Code::NotFound, format!("container {id} not created: not found")))
    }

    fn subject(&self, container: &Container) -> Subject {
        Subject {
            id: container.id.clone(),
            bundle: container.bundle(),
            options: container.options.clone(),
            namespace: self.config.namespace.clone(),
        }
    }

    /// Starts a worker, whose end answers `call`.
    pub(super) fn work(
        &mut self,
        call: Option<Call>,
        what: What,
        streams: &Streams,
        job: impl FnOnce() -> LibraryResult<Made>,
    ) -> Answer {
        let readiness = streams.readiness.as_ref();
        let kept = Kept {
            streams: streams.for_worker(),
            log: self.config.log,
            readiness: readiness.map(|readiness| readiness.fd.as_raw_fd()),
        };
        let worker = Worker::start(kept, || {
            readiness.map_or(Ok(()), Readiness::wait)?;
            job()
        })?;
        self.workers.push(super::pending::Pending { worker, call, what });
        Ok(None)
    }

    /// Puts a request off as long as a worker changes the container; true when it is.
    fn defers(&mut self, call: Call, method: &str, payload: &[u8], id: &str) -> Result<bool, Failure> {
        let container = self.find(id)?;
        if container.is_busy {
            container.deferred.push_back(Deferred { call, method: method.into(), payload: payload.into() });
        }
        Ok(container.is_busy)
    }

    /// Starts a worker that changes a container, alone.
    fn change(
        &mut self,
        call: Call,
        id: &str,
        what: What,
        streams: &Streams,
        job: impl FnOnce(Subject) -> LibraryResult<Made>,
    ) -> Answer {
        let container = self.find(id)?;
        container.is_busy = true;
        let at = self.containers.iter().position(|container| container.id == id).unwrap_or_default();
        let subject = self.subject(&self.containers[at]);
        let started = self.work(Some(call), what, streams, || job(subject));
        if started.is_err() {
            self.find(id)?.is_busy = false;
        }
        started
    }

    fn create(&mut self, call: Call, payload: &[u8]) -> Answer {
        let create = Create::read(payload)?;
        let id = create.id.clone();
        let is_making =
            |pending: &super::pending::Pending| matches!(&pending.what, What::Create(made) if made.id == id);
        if self.find(&id).is_ok() || self.workers.iter().any(is_making) {
            return Err(Failure::new(Code::AlreadyExists, format!("container {id} already exists")));
        }
        let options = Options::read(&create.options)?;
        let mut container = Container::new(create.clone(), options);
        let mut streams = self.streams_of(&create.stdio, &id, true, &container.options)?;
        container.init.held = std::mem::take(&mut streams.held);
        let subject = self.subject(&container);
        let is_restore = container.waits_for_restore();
        let job = || match is_restore {
            true => subject.prepare(&create).map(|()| Made::default()),
            false => subject.create(&create),
        };
        self.work(Some(call), What::Create(Box::new(container)), &streams, job)
    }

    fn streams_of(
        &self,
        stdio: &message::Stdio,
        name: &str,
        is_first: bool,
        options: &Options,
    ) -> LibraryResult<Streams> {
        if stdio.terminal {
            // They come with the terminal.
            return Ok(Streams::default());
        }
        Streams::open(stdio, (name, &self.config.namespace), is_first, (options.io_uid, options.io_gid))
    }

    fn start(&mut self, call: Call, payload: &[u8]) -> Answer {
        let named = Named::read(payload, true)?;
        if !named.exec_id.is_empty() {
            return self.start_exec(call, &named);
        }
        if self.defers(call, "Start", payload, &named.id)? {
            return Ok(None);
        }
        let container = self.find(&named.id)?;
        match container.init.phase {
            Phase::Created if container.init.untold.is_some() => {
                return Err(wrong_state("cannot start a stopped process"));
            }
            Phase::Created => {}
            Phase::Starting | Phase::Running => return Err(wrong_state("cannot start a running process")),
            Phase::Stopped => return Err(wrong_state("cannot start a stopped process")),
        }
        container.init.phase = Phase::Starting;
        let restored = container.waits_for_restore().then(|| container.create.clone());
        let (stdio, options) = (container.create.stdio.clone(), container.options.clone());
        let what = What::Start { id: named.id.clone() };
        let started = match restored {
            None => self.change(call, &named.id, what, &Streams::default(), |subject| subject.start()),
            Some(create) => match self.streams_of(&stdio, &named.id, true, &options) {
                Ok(mut streams) => {
                    self.find(&named.id)?.init.held = std::mem::take(&mut streams.held);
                    self.change(call, &named.id, what, &streams, move |subject| subject.restore(&create))
                }
                Err(error) => Err(error.into()),
            },
        };
        if started.is_err() {
            self.find(&named.id)?.init.phase = Phase::Created;
        }
        started
    }

    fn start_exec(&mut self, call: Call, named: &Named<'_>) -> Answer {
        let container = self.find(&named.id)?;
        if container.init.untold.is_some() || container.init.phase != Phase::Running {
            let why = format!("container {} init process is not running", named.id);
            return Err(wrong_state(&why));
        }
        let options = container.options.clone();
        let process = container.process(&named.exec_id)?;
        match process.phase {
            Phase::Created => {}
            Phase::Starting | Phase::Running => return Err(wrong_state("cannot start a running process")),
            Phase::Stopped => return Err(wrong_state("cannot start a stopped process")),
        }
        let (stdio, spec) = (process.stdio.clone(), process.spec.clone());
        let mut streams = self.streams_of(&stdio, &named.exec_id, false, &options)?;
        let at = self.containers.iter().position(|container| container.id == named.id).unwrap_or_default();
        let subject = self.subject(&self.containers[at]);
        let what = What::StartExec { id: named.id.clone(), exec_id: named.exec_id.clone() };
        let answer = self.work(Some(call), what, &streams, || subject.exec(&spec, stdio.terminal))?;
        let copied = std::mem::take(&mut streams.copied);
        let relays = copied.into_iter().filter_map(|(from, to)| self.add_relay(from, to, true)).collect();
        let process = self.find(&named.id)?.process(&named.exec_id)?;
        process.phase = Phase::Starting;
        process.held = std::mem::take(&mut streams.held);
        process.relays = relays;
        Ok(answer)
    }

    fn state(&mut self, payload: &[u8]) -> Answer {
        let named = Named::read(payload, true)?;
        let container = self.find(&named.id)?;
        let (is_paused, bundle, id) = (container.is_paused, container.create.bundle.clone(), container.id.clone());
        let process = container.process(&named.exec_id)?;
        let status = match process.phase {
            Phase::Created | Phase::Starting => 1,
            Phase::Running if is_paused => 4,
            Phase::Running => 2,
            Phase::Stopped => 3,
        };
        let mut answer = Message::default();
        let name = if process.exec_id.is_empty() { &id } else { &process.exec_id };
        answer.text(1, name).text(2, bundle).count(3, process.pid as u64).number(4, status);
        let stdio = &process.stdio;
        answer.words(5, &stdio.stdin).words(6, &stdio.stdout).words(7, &stdio.stderr).flag(8, stdio.terminal);
        add_exit(&mut answer, process.exit, 9);
        answer.words(11, &process.exec_id);
        Ok(Some(answer.into_bytes()))
    }

    fn wait(&mut self, call: Call, payload: &[u8]) -> Answer {
        let named = Named::read(payload, true)?;
        let process = self.find(&named.id)?.process(&named.exec_id)?;
        match process.exit {
            Some(exit) => Ok(Some(message::waited(exit))),
            None => {
                process.waiting.push(call);
                Ok(None)
            }
        }
    }

    fn kill(&mut self, call: Call, payload: &[u8]) -> Answer {
        let named = Named::read(payload, true)?;
        let (signal, all) = (named.fields.number(3) as i32, named.fields.flag(4));
        let container = self.find(&named.id)?;
        // What the kernel does alone: no others to take along, nobody frozen.
        let is_simple = container.has_own_pids && !container.is_paused && !all;
        let process = container.process(&named.exec_id)?;
        let finished = || Failure::new(Code::NotFound, "process already finished: not found");
        if process.exit.is_some() || process.untold.is_some() {
            return Err(finished());
        }
        let Some(pid) = Pid::from_raw(process.pid) else {
            return Err(wrong_state("process not created: failed precondition"));
        };
        if is_simple || !named.exec_id.is_empty() {
            // It has not been reaped: the number is its own.
            return match crate::sys::signal::kill(pid, signal) {
                Ok(()) => EMPTY,
                Err(rustix::io::Errno::SRCH) => Err(finished()),
                Err(errno) => Err(Error::os(errno, format!("send signal {signal} to process {}", process.pid)).into()),
            };
        }
        let at = self.containers.iter().position(|container| container.id == named.id).unwrap_or_default();
        let subject = self.subject(&self.containers[at]);
        let what = What::Plain { id: named.id.clone(), method: "Kill" };
        self.work(Some(call), what, &Streams::default(), || subject.kill(signal, all))
    }

    fn exec(&mut self, payload: &[u8]) -> Answer {
        let named = Named::read(payload, true)?;
        let exec = Exec::read(&named);
        let container = self.find(&named.id)?;
        if exec.exec_id.is_empty() {
            return Err(Failure::new(Code::InvalidArgument, "the process to execute has no id"));
        }
        if container.process(&exec.exec_id).is_ok() {
            return Err(Failure::new(Code::AlreadyExists, format!("id {}: already exists", exec.exec_id)));
        }
        match container.init.phase {
            Phase::Created | Phase::Starting => return Err(wrong_state("cannot exec in a created state")),
            Phase::Stopped => return Err(wrong_state("cannot exec in a stopped state")),
            Phase::Running if container.is_paused => return Err(wrong_state("cannot exec in a paused state")),
            Phase::Running => {}
        }
        container.execs.push(Process::new(exec.exec_id.clone(), exec.stdio, exec.spec.value));
        self.publish(&named.id, &Event::ExecAdded(&exec.exec_id));
        EMPTY
    }

    fn delete(&mut self, call: Call, payload: &[u8]) -> Answer {
        let named = Named::read(payload, true)?;
        let deletion = Deletion { call, deadline: Instant::now() + PATIENCE };
        if named.exec_id.is_empty() && self.defers(call, "Delete", payload, &named.id)? {
            return Ok(None);
        }
        let container = self.find(&named.id)?;
        let process = container.process(&named.exec_id)?;
        if process.deletion.is_some() {
            return Err(wrong_state("the process is being deleted"));
        }
        if process.is_under_way() {
            return Err(wrong_state("cannot delete a running process"));
        }
        process.deletion = Some(deletion);
        if !named.exec_id.is_empty() {
            return Ok(None);
        }
        let what = What::Delete { id: named.id.clone() };
        let started = self.change(call, &named.id, what, &Streams::default(), |subject| subject.delete(false));
        if started.is_err() {
            self.find(&named.id)?.init.deletion = None;
        }
        started
    }

    fn pids(&mut self, call: Call, payload: &[u8]) -> Answer {
        let named = Named::read(payload, false)?;
        let container = self.find(&named.id)?;
        let execs: Vec<_> = container.execs.iter().map(|exec| (exec.pid, exec.exec_id.clone())).collect();
        self.ask(call, &named.id, "Pids", |subject| subject.pids(&execs))
    }

    fn stats(&mut self, call: Call, payload: &[u8]) -> Answer {
        let named = Named::read(payload, false)?;
        self.ask(call, &named.id, "Stats", |subject| subject.stats())
    }

    /// Starts a worker that changes nothing; what it tells is the answer.
    fn ask(
        &mut self,
        call: Call,
        id: &str,
        method: &'static str,
        job: impl FnOnce(Subject) -> LibraryResult<Made>,
    ) -> Answer {
        let at = self.containers.iter().position(|container| container.id == id);
        let at = at.ok_or_else(|| Failure::new(Code::NotFound, format!("container {id} not created: not found")))?;
        let subject = self.subject(&self.containers[at]);
        let what = What::Plain { id: id.to_owned(), method };
        self.work(Some(call), what, &Streams::default(), || job(subject))
    }

    fn pause(&mut self, call: Call, payload: &[u8]) -> Answer {
        let named = Named::read(payload, false)?;
        if self.defers(call, "Pause", payload, &named.id)? {
            return Ok(None);
        }
        let container = self.find(&named.id)?;
        match container.init.phase {
            Phase::Running if container.is_paused => return Err(wrong_state("cannot pause a paused container")),
            Phase::Running => {}
            Phase::Created | Phase::Starting => return Err(wrong_state("cannot pause task in created state")),
            Phase::Stopped => return Err(wrong_state("cannot pause a stopped container")),
        }
        let what = What::Pause { id: named.id.clone() };
        self.change(call, &named.id, what, &Streams::default(), |subject| subject.pause())
    }

    fn resume(&mut self, call: Call, payload: &[u8]) -> Answer {
        let named = Named::read(payload, false)?;
        if self.defers(call, "Resume", payload, &named.id)? {
            return Ok(None);
        }
        let container = self.find(&named.id)?;
        match container.init.phase {
            Phase::Running if container.is_paused => {}
            Phase::Running => return Err(wrong_state("cannot resume a running process")),
            Phase::Created | Phase::Starting => return Err(wrong_state("cannot resume task in created state")),
            Phase::Stopped => return Err(wrong_state("cannot resume a stopped container")),
        }
        let what = What::Resume { id: named.id.clone() };
        self.change(call, &named.id, what, &Streams::default(), |subject| subject.resume())
    }

    fn update(&mut self, call: Call, payload: &[u8]) -> Answer {
        let named = Named::read(payload, false)?;
        if self.defers(call, "Update", payload, &named.id)? {
            return Ok(None);
        }
        if self.find(&named.id)?.init.phase == Phase::Stopped {
            return Err(wrong_state("cannot update a stopped container"));
        }
        let resources = Any::read(named.fields.bytes(2)).value;
        let what = What::Plain { id: named.id.clone(), method: "Update" };
        self.change(call, &named.id, what, &Streams::default(), |subject| subject.update(&resources))
    }

    fn checkpoint(&mut self, call: Call, payload: &[u8]) -> Answer {
        let named = Named::read(payload, false)?;
        if self.defers(call, "Checkpoint", payload, &named.id)? {
            return Ok(None);
        }
        match self.find(&named.id)?.init.phase {
            Phase::Running => {}
            Phase::Created | Phase::Starting => return Err(wrong_state("cannot checkpoint a task in created state")),
            Phase::Stopped => return Err(wrong_state("cannot checkpoint a stopped container")),
        }
        let (path, options) = (named.fields.text(2), Any::read(named.fields.bytes(3)).value);
        let what = What::Checkpoint { id: named.id.clone(), path: path.clone() };
        self.change(call, &named.id, what, &Streams::default(), |subject| subject.checkpoint(&path, &options))
    }

    fn close_io(&mut self, payload: &[u8]) -> Answer {
        let named = Named::read(payload, true)?;
        if named.fields.flag(3) {
            self.find(&named.id)?.process(&named.exec_id)?.held.input = None;
        }
        EMPTY
    }

    fn resize(&mut self, payload: &[u8]) -> Answer {
        let named = Named::read(payload, true)?;
        let process = self.find(&named.id)?.process(&named.exec_id)?;
        if process.phase == Phase::Stopped && !named.exec_id.is_empty() {
            return Err(wrong_state("cannot resize a stopped container"));
        }
        let size = Winsize {
            ws_col: named.fields.number(3) as u16,
            ws_row: named.fields.number(4) as u16,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        if let Some(terminal) = &process.held.terminal {
            rustix::termios::tcsetwinsize(terminal, size).map_err(|errno| Error::os(errno, "resize the terminal"))?;
        }
        EMPTY
    }

    fn connect(&mut self, payload: &[u8]) -> Answer {
        let named = Named::read(payload, false)?;
        let task = self.find(&named.id).map_or(0, |container| container.init.pid);
        let mut answer = Message::default();
        answer.count(1, std::process::id().into()).count(2, task as u64);
        Ok(Some(answer.into_bytes()))
    }

    fn shut_down(&mut self) -> Answer {
        if self.containers.is_empty() && self.workers.is_empty() {
            self.is_shut_down = true;
        }
        EMPTY
    }
}
