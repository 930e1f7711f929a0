//! The messages of the Task service, version 2 and 3, which have the same fields: what is asked, and what is answered.
//! containerd's api/runtime/task/v3/shim.proto.

use std::time::SystemTime;

use super::frame::{Code, Failure};
use crate::protobuf::{Fields, Message};

/// A file system to mount, containerd.types.Mount.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mount {
    /// `overlay`, `bind`.
    pub kind: String,
    /// What is mounted.
    pub source: String,
    /// Where below the root it goes; empty for the root itself.
    pub target: String,
    /// As in fstab(5), and what a file system has besides.
    pub options: Vec<String>,
}

/// Something of a type that its URL names, google.protobuf.Any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Any {
    /// `containerd.runc.v1.Options`.
    pub url: String,
    /// The message, or what else the type consists of.
    pub value: Vec<u8>,
}

/// Where the standard streams of a process are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stdio {
    /// A FIFO, or empty.
    pub stdin: String,
    /// A FIFO, a file, a URI `file://` or `binary://`, or empty.
    pub stdout: String,
    /// As `stdout`.
    pub stderr: String,
    /// The process has a terminal.
    pub terminal: bool,
}

/// What `Create` is asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Create {
    /// The container.
    pub id: String,
    /// Its bundle's folder.
    pub bundle: String,
    /// What its root consists of, in order; empty where the bundle has it.
    pub rootfs: Vec<Mount>,
    /// The streams of its first process.
    pub stdio: Stdio,
    /// The folder of images that it is restored from.
    pub checkpoint: String,
    /// The folder of images that those build on.
    pub parent_checkpoint: String,
    /// What the runtime is asked besides.
    pub options: Any,
}

/// What `Exec` is asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exec {
    /// The name of the process.
    pub exec_id: String,
    /// Its streams.
    pub stdio: Stdio,
    /// The process, as config.json has it.
    pub spec: Any,
}

/// What requests name first: a container, and with an exec id a process in it other than the first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Named<'a> {
    /// The container.
    pub id: String,
    /// The process, empty for the container's first.
    pub exec_id: String,
    /// What else the request has.
    pub fields: Fields<'a>,
}

/// How and when a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exit {
    /// Its exit status, 128 + the signal that it died of.
    pub status: u32,
    /// When that became known.
    pub at: SystemTime,
}

fn read(bytes: &[u8]) -> Result<Fields<'_>, Failure> {
    Fields::of(bytes).ok_or_else(|| Failure::new(Code::InvalidArgument, "the request is no message"))
}

impl Mount {
    fn read(bytes: &[u8]) -> Option<Mount> {
        let fields = Fields::of(bytes)?;
        Some(Mount {
            kind: fields.text(1),
            source: fields.text(2),
            target: fields.text(3),
            options: fields.every(4).map(|option| String::from_utf8_lossy(option).into_owned()).collect(),
        })
    }
}

impl Any {
    /// Reads one; without fields for what is none.
    pub fn read(bytes: &[u8]) -> Any {
        let fields = Fields::of(bytes).unwrap_or_default();
        Any { url: fields.text(1), value: fields.bytes(2).to_vec() }
    }

    /// The last part of the type's name.
    pub fn name(&self) -> &str {
        self.url.rsplit('/').next().unwrap_or_default()
    }

    /// As a message.
    pub fn message(&self) -> Message {
        let mut message = Message::default();
        message.words(1, &self.url).words(2, &self.value);
        message
    }
}

impl Create {
    /// Reads it.
    ///
    /// # Errors
    /// For what is no message.
    pub fn read(bytes: &[u8]) -> Result<Create, Failure> {
        let fields = read(bytes)?;
        let rootfs = fields.every(3).map(Mount::read).collect::<Option<Vec<_>>>();
        let rootfs =
            rootfs.ok_or_else(|| Failure::new(Code::InvalidArgument, "a mount of the request is no message"))?;
        Ok(Create {
            id: fields.text(1),
            bundle: fields.text(2),
            rootfs,
            stdio: Stdio {
                stdin: fields.text(5),
                stdout: fields.text(6),
                stderr: fields.text(7),
                terminal: fields.flag(4),
            },
            checkpoint: fields.text(8),
            parent_checkpoint: fields.text(9),
            options: Any::read(fields.bytes(10)),
        })
    }
}

impl Exec {
    /// Reads what the request has besides the container.
    pub fn read(named: &Named<'_>) -> Exec {
        let fields = &named.fields;
        Exec {
            exec_id: named.exec_id.clone(),
            stdio: Stdio {
                stdin: fields.text(4),
                stdout: fields.text(5),
                stderr: fields.text(6),
                terminal: fields.flag(3),
            },
            spec: Any::read(fields.bytes(7)),
        }
    }
}

impl<'a> Named<'a> {
    /// Reads a request that names a container first, and a process second where `has_exec` says so.
    ///
    /// # Errors
    /// For what is no message.
    pub fn read(bytes: &'a [u8], has_exec: bool) -> Result<Named<'a>, Failure> {
        let fields = read(bytes)?;
        let exec_id = if has_exec { fields.text(2) } else { String::new() };
        Ok(Named { id: fields.text(1), exec_id, fields })
    }
}

/// A moment, google.protobuf.Timestamp.
pub fn timestamp(at: SystemTime) -> Message {
    let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let mut message = Message::default();
    message.count(1, since.as_secs()).count(2, since.subsec_nanos().into());
    message
}

/// The part of several answers that tells of an end: fields for the status and the time, where there was one.
pub fn add_exit(message: &mut Message, exit: Option<Exit>, first_field: u32) {
    if let Some(exit) = exit {
        message.count(first_field, exit.status.into()).message(first_field + 1, &timestamp(exit.at));
    }
}

/// The answer of `Create` and `Start`.
pub fn pid(pid: i32) -> Vec<u8> {
    let mut message = Message::default();
    message.count(1, pid as u64);
    message.into_bytes()
}

/// The answer of `Wait`.
pub fn waited(exit: Exit) -> Vec<u8> {
    let mut message = Message::default();
    add_exit(&mut message, Some(exit), 1);
    message.into_bytes()
}

/// The answer of `Delete`, by the service and by the program's own action.
pub fn deleted(pid: i32, exit: Option<Exit>) -> Vec<u8> {
    let mut message = Message::default();
    message.count(1, pid as u64);
    add_exit(&mut message, exit, 2);
    message.into_bytes()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_create_has_its_mounts_and_streams() {
        let mut mount = Message::default();
        mount.text(1, "overlay").text(2, "overlay").text(4, "lowerdir=/a:/b").text(4, "ro");
        let mut request = Message::default();
        request.text(1, "c1").text(2, "/bundle").message(3, &mount).flag(4, true).text(6, "/fifo/out");
        let create = Create::read(request.bytes()).unwrap();
        assert_eq!((create.id.as_str(), create.bundle.as_str()), ("c1", "/bundle"));
        assert_eq!(create.rootfs[0].options, ["lowerdir=/a:/b", "ro"]);
        assert_eq!(create.stdio, Stdio { stdout: "/fifo/out".into(), terminal: true, ..Stdio::default() });
        assert_eq!(Create::read(b"\x0b").unwrap_err().code, Code::InvalidArgument);
    }

    #[test]
    fn an_end_has_its_status_and_time_and_a_life_has_none() {
        let at = SystemTime::UNIX_EPOCH + Duration::new(7, 5);
        assert_eq!(waited(Exit { status: 137, at }), b"\x08\x89\x01\x12\x04\x08\x07\x10\x05");
        assert_eq!(deleted(3, None), b"\x08\x03");
    }
}
