//! Where the standard streams of a process go: FIFOs straight to the container's first process, whose end is everybody's in
//! there; through pipes for others, which may leave somebody behind who keeps them open; a terminal's through relays.

use std::fs::OpenOptions;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Gid, Mode, OFlags, Uid};
use rustix::pipe::PipeFlags;

use super::logger::{Logger, Readiness};
use super::message::Stdio;
use crate::error::{Attempt, Error, Result};

/// The streams of a process that is about to start.
#[derive(Debug, Default)]
pub(super) struct Streams {
    /// What the process gets.
    pub given: Vec<OwnedFd>,
    /// What the shim keeps: see [`Held`].
    pub held: Held,
    /// What is copied, from where to where.
    pub copied: Vec<(OwnedFd, OwnedFd)>,
    /// A logging program that is to be ready before the process starts.
    pub readiness: Option<Readiness>,
}

/// What is kept open while a process lives.
#[derive(Debug, Default)]
pub(super) struct Held {
    /// Its standard input's other end, so that it does not end with containerd: `CloseIO` closes it.
    pub input: Option<OwnedFd>,
    /// Reading ends of FIFOs, so that writers get no EPIPE while containerd is away.
    readers: Vec<OwnedFd>,
    /// The outer end of its terminal.
    pub terminal: Option<OwnedFd>,
    /// The program that takes its output.
    logger: Option<OwnedFd>,
}

impl Held {
    /// The process is deleted: the program that takes its output may end.
    pub(super) fn end_logger(&self) {
        if let Some(logger) = &self.logger {
            let _ = rustix::process::pidfd_send_signal(logger, rustix::process::Signal::TERM);
        }
    }
}

/// What a path or URI for an output stream names.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Sink {
    Nothing,
    Path(PathBuf),
    File(PathBuf),
    Program(Logger),
}

fn sink(text: &str) -> Result<Sink> {
    match text.split_once("://") {
        _ if text.is_empty() => Ok(Sink::Nothing),
        None => Ok(Sink::Path(text.into())),
        Some(("fifo", path)) => Ok(Sink::Path(path.into())),
        Some(("file", path)) => Ok(Sink::File(path.split('?').next().unwrap_or_default().into())),
        Some((scheme, rest)) => Logger::parse(scheme, rest)
            .map(Sink::Program)
            .ok_or_else(|| Error::invalid(format!("standard stream {text}: there is no scheme {scheme}"))),
    }
}

impl Streams {
    /// For a process without a terminal, by its name and namespace; `is_first`: everybody who has the streams dies with it.
    /// Pipes are made for `owner`, its user and group.
    ///
    /// # Errors
    /// When a FIFO or file cannot be opened, or a logging program not be started.
    pub(super) fn open(stdio: &Stdio, names: (&str, &str), is_first: bool, owner: (u32, u32)) -> Result<Streams> {
        let mut streams = Streams::default();
        let input = streams.open_input(&stdio.stdin)?;
        streams.given.push(input);
        let stdout = sink(&stdio.stdout)?;
        if let Sink::Program(logger) = &stdout {
            let started = logger.start(names.0, names.1)?;
            streams.given.extend(started.given);
            streams.held.logger = Some(started.pidfd);
            streams.readiness = Some(started.readiness);
            return Ok(streams);
        }
        // A file takes both.
        let stderr = if matches!(stdout, Sink::File(_)) { stdout.clone() } else { sink(&stdio.stderr)? };
        for sink in [stdout, stderr] {
            let output = match sink {
                Sink::Nothing => open(Path::new("/dev/null"), OFlags::RDWR)?,
                Sink::File(path) => append(&path)?,
                Sink::Path(path) => streams.open_output(&path, is_first, owner)?,
                Sink::Program(_) => return Err(Error::invalid("a logging program takes both streams, or none")),
            };
            streams.given.push(output);
        }
        Ok(streams)
    }

    /// What the worker that starts the process is to have for its own.
    pub(super) fn for_worker(&self) -> Option<[BorrowedFd<'_>; 3]> {
        match &self.given[..] {
            [stdin, stdout, stderr] => Some([stdin.as_fd(), stdout.as_fd(), stderr.as_fd()]),
            _ => None,
        }
    }

    fn open_input(&mut self, path: &str) -> Result<OwnedFd> {
        if path.is_empty() {
            return open(Path::new("/dev/null"), OFlags::RDONLY);
        }
        let path = Path::new(path);
        let reader = open(path, OFlags::RDONLY | OFlags::NONBLOCK)?;
        if is_fifo(&reader)? {
            self.held.input = Some(open(path, OFlags::WRONLY | OFlags::NONBLOCK)?);
        }
        // Nobody expects that of standard input.
        rustix::io::ioctl_fionbio(&reader, false).attempt(|| format!("make {} wait", path.display()))?;
        Ok(reader)
    }

    fn open_output(&mut self, path: &Path, is_first: bool, owner: (u32, u32)) -> Result<OwnedFd> {
        let reader = open(path, OFlags::RDONLY | OFlags::NONBLOCK)?;
        if !is_fifo(&reader)? {
            return open(path, OFlags::WRONLY | OFlags::APPEND);
        }
        if is_first {
            // It does not wait: there is a reader.
            let writer = open(path, OFlags::WRONLY)?;
            self.held.readers.push(reader);
            return Ok(writer);
        }
        let to = open(path, OFlags::WRONLY | OFlags::NONBLOCK)?;
        self.held.readers.push(reader);
        let (from, writer) = pipe(owner)?;
        self.copied.push((from, to));
        Ok(writer)
    }

    /// For a process with a terminal, whose outer end is `outer`.
    ///
    /// # Errors
    /// When a FIFO or file cannot be opened.
    pub(super) fn of_terminal(stdio: &Stdio, outer: OwnedFd) -> Result<Streams> {
        let mut streams = Streams::default();
        rustix::io::ioctl_fionbio(&outer, true).attempt(|| "make the terminal non-blocking")?;
        let end = || outer.try_clone().attempt(|| "duplicate the terminal");
        if !stdio.stdin.is_empty() {
            let path = Path::new(&stdio.stdin);
            let reader = open(path, OFlags::RDONLY | OFlags::NONBLOCK)?;
            streams.held.input = Some(open(path, OFlags::WRONLY | OFlags::NONBLOCK)?);
            streams.copied.push((reader, end()?));
        }
        let to = match sink(&stdio.stdout)? {
            // It must be read all the same, or the program would wait for somebody to.
            Sink::Nothing => open(Path::new("/dev/null"), OFlags::WRONLY)?,
            Sink::File(path) => append(&path)?,
            Sink::Program(_) => return Err(Error::invalid("a logging program does not take a terminal's output")),
            Sink::Path(path) => {
                let reader = open(&path, OFlags::RDONLY | OFlags::NONBLOCK)?;
                let is_fifo = is_fifo(&reader)?;
                streams.held.readers.push(reader);
                open(&path, if is_fifo { OFlags::WRONLY | OFlags::NONBLOCK } else { OFlags::WRONLY | OFlags::APPEND })?
            }
        };
        streams.copied.push((end()?, to));
        streams.held.terminal = Some(outer);
        Ok(streams)
    }
}

fn open(path: &Path, flags: OFlags) -> Result<OwnedFd> {
    rustix::fs::open(path, flags | OFlags::CLOEXEC | OFlags::NOCTTY, Mode::empty())
        .attempt(|| format!("open standard stream {}", path.display()))
}

/// A log file, made with its folder where it is not there.
fn append(path: &Path) -> Result<OwnedFd> {
    let attempted = || format!("open log file {}", path.display());
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).attempt(attempted)?;
    }
    let file = OpenOptions::new().append(true).create(true).mode(0o644).open(path);
    file.attempt(attempted).map(OwnedFd::from)
}

fn pipe((uid, gid): (u32, u32)) -> Result<(OwnedFd, OwnedFd)> {
    let (reader, writer) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC).attempt(|| "create a pipe")?;
    rustix::io::ioctl_fionbio(&reader, true).attempt(|| "make a pipe non-blocking")?;
    if (uid, gid) != (0, 0) {
        rustix::fs::fchown(&writer, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))
            .attempt(|| format!("give a pipe to user {uid} and group {gid}"))?;
    }
    Ok((reader, writer))
}

fn is_fifo(fd: &OwnedFd) -> Result<bool> {
    let stat = rustix::fs::fstat(fd).attempt(|| "look at a standard stream")?;
    Ok(FileType::from_raw_mode(stat.st_mode) == FileType::Fifo)
}
