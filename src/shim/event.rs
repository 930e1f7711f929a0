//! The events of a task, containerd's api/events/task.proto, in the envelope in which they are forwarded.

use std::time::SystemTime;

use super::message::{Create, Exit, Mount, add_exit, timestamp};
use crate::protobuf::Message;

/// What happened to a container.
#[derive(Clone, Debug)]
pub(super) enum Event<'a> {
    /// It was created, with this first process.
    Create(&'a Create, i32),
    /// Its first process runs.
    Start(i32),
    /// A process was added, which is not started yet.
    ExecAdded(&'a str),
    /// That process runs.
    ExecStarted(&'a str, i32),
    /// A process ended: its name, which is the container's for the first.
    Exit(&'a str, i32, Exit),
    /// It was deleted, with the end of its first process.
    Delete(i32, Option<Exit>),
    /// The kernel ran out of its memory.
    Oom,
    /// Its processes were stopped for a while.
    Paused,
    /// They go on.
    Resumed,
    /// It was saved to this folder.
    Checkpointed(&'a str),
}

impl Event<'_> {
    /// Its topic, and the last part of its type's name.
    fn names(&self) -> (&'static str, &'static str) {
        match self {
            Event::Create(..) => ("/tasks/create", "TaskCreate"),
            Event::Start(_) => ("/tasks/start", "TaskStart"),
            Event::ExecAdded(_) => ("/tasks/exec-added", "TaskExecAdded"),
            Event::ExecStarted(..) => ("/tasks/exec-started", "TaskExecStarted"),
            Event::Exit(..) => ("/tasks/exit", "TaskExit"),
            Event::Delete(..) => ("/tasks/delete", "TaskDelete"),
            Event::Oom => ("/tasks/oom", "TaskOOM"),
            Event::Paused => ("/tasks/paused", "TaskPaused"),
            Event::Resumed => ("/tasks/resumed", "TaskResumed"),
            Event::Checkpointed(_) => ("/tasks/checkpointed", "TaskCheckpointed"),
        }
    }

    fn message(&self, id: &str) -> Message {
        let mut message = Message::default();
        message.words(1, id);
        match self {
            Event::Create(create, pid) => {
                message.words(2, &create.bundle);
                create.rootfs.iter().for_each(|mount| {
                    message.message(3, &mount_message(mount));
                });
                let mut io = Message::default();
                io.words(1, &create.stdio.stdin).words(2, &create.stdio.stdout).words(3, &create.stdio.stderr);
                io.flag(4, create.stdio.terminal);
                message.message(4, &io).words(5, &create.checkpoint).count(6, *pid as u64);
            }
            Event::Start(pid) => {
                message.count(2, *pid as u64);
            }
            Event::ExecAdded(exec) => {
                message.words(2, exec);
            }
            Event::ExecStarted(exec, pid) => {
                message.words(2, exec).count(3, *pid as u64);
            }
            Event::Exit(name, pid, exit) => {
                message.words(2, name).count(3, *pid as u64);
                add_exit(&mut message, Some(*exit), 4);
            }
            Event::Delete(pid, exit) => {
                message.count(2, *pid as u64);
                add_exit(&mut message, *exit, 3);
            }
            Event::Checkpointed(folder) => {
                message.words(2, folder);
            }
            Event::Oom | Event::Paused | Event::Resumed => {}
        }
        message
    }

    /// The request that forwards it, of the container `id`.
    pub(super) fn forwarded(&self, namespace: &str, id: &str) -> Message {
        let (topic, name) = self.names();
        let mut event = Message::default();
        event.text(1, format!("containerd.events.{name}")).message(2, &self.message(id));
        let mut envelope = Message::default();
        envelope.message(1, &timestamp(SystemTime::now())).text(2, namespace).text(3, topic).message(4, &event);
        let mut request = Message::default();
        request.message(1, &envelope);
        request
    }
}

fn mount_message(mount: &Mount) -> Message {
    let mut message = Message::default();
    message.words(1, &mount.kind).words(2, &mount.source).words(3, &mount.target);
    mount.options.iter().for_each(|option| {
        message.text(4, option);
    });
    message
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protobuf::Fields;

    #[test]
    fn an_exit_is_forwarded_with_its_topic_and_type() {
        let exit = Exit { status: 7, at: SystemTime::UNIX_EPOCH };
        let request = Event::Exit("e1", 42, exit).forwarded("default", "c1");
        let request = Fields::of(request.bytes()).unwrap();
        let envelope = Fields::of(request.bytes(1)).unwrap();
        assert_eq!((envelope.text(2).as_str(), envelope.text(3).as_str()), ("default", "/tasks/exit"));
        let event = Fields::of(envelope.bytes(4)).unwrap();
        assert_eq!(event.text(1), "containerd.events.TaskExit");
        let event = Fields::of(event.bytes(2)).unwrap();
        assert_eq!((event.text(1), event.text(2), event.number(3), event.number(4)), ("c1".into(), "e1".into(), 42, 7));
    }
}
