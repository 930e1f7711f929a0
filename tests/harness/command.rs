//! Running programs with a time limit, and what they said.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::patience;

/// A program about to run.
///
/// Its output goes to files in memory, not to pipes: a container that lives on keeps them open without blocking the
/// test, and what it says later can be read too.
pub(crate) struct Invocation {
    command: Command,
    input: Vec<u8>,
    seconds: f64,
}

/// A program by its path or its name.
pub(crate) fn program(path: impl AsRef<OsStr>) -> Invocation {
    Invocation { command: Command::new(path), input: Vec::new(), seconds: 30.0 }
}

impl Invocation {
    pub(crate) fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.command.arg(arg);
        self
    }

    pub(crate) fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.command.args(args);
        self
    }

    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// The working directory.
    pub(crate) fn within(mut self, dir: &Path) -> Self {
        self.command.current_dir(dir);
        self
    }

    /// What the program reads from its standard input, which is otherwise empty.
    pub(crate) fn input(mut self, input: impl Into<Vec<u8>>) -> Self {
        self.input = input.into();
        self
    }

    /// The program's limit instead of 30 seconds.
    pub(crate) fn at_most(mut self, seconds: f64) -> Self {
        self.seconds = seconds;
        self
    }

    /// Starts the program with its output in memory.
    #[track_caller]
    pub(crate) fn start(mut self) -> Running {
        let (stdout, stderr) = (in_memory("stdout"), in_memory("stderr"));
        let stdin = if self.input.is_empty() { Stdio::null() } else { readable(&self.input).into() };
        self.command.stdin(stdin).stdout(duplicate(&stdout)).stderr(duplicate(&stderr));
        self.spawn(stdout, stderr)
    }

    /// Starts the program with `tty` as its standard input, output and error.
    #[track_caller]
    pub(crate) fn start_on(mut self, tty: &File) -> Running {
        self.command.stdin(duplicate(tty)).stdout(duplicate(tty)).stderr(duplicate(tty));
        self.spawn(in_memory("stdout"), in_memory("stderr"))
    }

    #[track_caller]
    fn spawn(mut self, stdout: File, stderr: File) -> Running {
        let line = self.line();
        let child = self.command.spawn().unwrap_or_else(|error| panic!("start {line}: {error}"));
        Running { child, line, stdout, stderr, seconds: self.seconds, reaped: false }
    }

    /// Runs the program to its end.
    #[track_caller]
    pub(crate) fn run(self) -> Output {
        self.start().wait()
    }

    fn line(&self) -> String {
        let words = std::iter::once(self.command.get_program()).chain(self.command.get_args());
        words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
    }
}

fn in_memory(name: &str) -> File {
    File::from(memfd_create(name, MemfdFlags::CLOEXEC).expect("memfd_create"))
}

fn readable(content: &[u8]) -> File {
    use std::io::Seek;
    let mut file = in_memory("stdin");
    file.write_all(content).and_then(|()| file.rewind()).expect("fill a memfd");
    file
}

fn duplicate(file: &File) -> Stdio {
    file.try_clone().expect("dup").into()
}

/// A program that was started. Dropped before its end, it is killed.
pub(crate) struct Running {
    child: Child,
    line: String,
    stdout: File,
    stderr: File,
    seconds: f64,
    reaped: bool,
}

impl Running {
    pub(crate) fn pid(&self) -> i32 {
        self.child.id().cast_signed()
    }

    /// What it wrote to its standard output so far.
    pub(crate) fn stdout(&self) -> String {
        content(&self.stdout)
    }

    /// Sends a signal to the program.
    #[track_caller]
    pub(crate) fn signal(&self, signal: nix::sys::signal::Signal) {
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(self.pid()), signal).expect("signal the program");
    }

    /// Waits for its end; panics when that takes longer than the limit.
    #[track_caller]
    pub(crate) fn wait(mut self) -> Output {
        let pidfd = pidfd_open(Pid::from_child(&self.child), PidfdFlags::empty()).expect("pidfd_open");
        let limit = Timespec::try_from(patience(self.seconds)).expect("a limit of some seconds");
        let ended = poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&limit)).expect("poll");
        assert!(
            ended == 1,
            "{} did not end within {} s\n--- stdout\n{}\n--- stderr\n{}",
            self.line,
            self.seconds,
            self.stdout(),
            content(&self.stderr)
        );
        let status = self.child.wait().expect("wait");
        self.reaped = true;
        Output {
            status,
            line: std::mem::take(&mut self.line),
            stdout: self.stdout.try_clone().expect("dup"),
            stderr: self.stderr.try_clone().expect("dup"),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.reaped {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

fn content(file: &File) -> String {
    let mut bytes = vec![0; file.metadata().map_or(0, |status| status.len().try_into().expect("a short output"))];
    file.read_exact_at(&mut bytes, 0).expect("read a memfd");
    String::from_utf8_lossy(&bytes).into_owned()
}

/// How a program ended, and what it, or what it left running, said.
pub(crate) struct Output {
    status: ExitStatus,
    line: String,
    stdout: File,
    stderr: File,
}

impl Output {
    /// The exit status as a shell gives it: 128 and the signal's number for a killed program.
    pub(crate) fn code(&self) -> i32 {
        self.status.code().unwrap_or_else(|| 128 + self.status.signal().unwrap_or(0))
    }

    /// Standard output, without the white space at its ends.
    pub(crate) fn stdout(&self) -> String {
        content(&self.stdout).trim().to_owned()
    }

    /// Standard error, without the white space at its ends.
    pub(crate) fn stderr(&self) -> String {
        content(&self.stderr).trim().to_owned()
    }

    fn story(&self) -> String {
        format!("{}\n--- {}\n--- stdout\n{}\n--- stderr\n{}", self.line, self.status, self.stdout(), self.stderr())
    }

    /// Asserts the exit status.
    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Self {
        assert!(self.code() == code, "expected exit status {code}: {}", self.story());
        self
    }

    /// Asserts success.
    #[track_caller]
    pub(crate) fn ok(self) -> Self {
        self.exits(0)
    }

    /// Asserts that standard output is exactly this, but for the white space at its ends.
    #[track_caller]
    pub(crate) fn says(self, text: &str) -> Self {
        assert!(self.stdout() == text.trim(), "expected output {:?}: {}", text.trim(), self.story());
        self
    }

    /// Asserts that standard output has this text in it.
    #[track_caller]
    pub(crate) fn mentions(self, text: &str) -> Self {
        assert!(self.stdout().contains(text), "expected {text:?} in the output: {}", self.story());
        self
    }

    /// Asserts that standard error has this text in it.
    #[track_caller]
    pub(crate) fn complains(self, text: &str) -> Self {
        assert!(self.stderr().contains(text), "expected {text:?} in the complaint: {}", self.story());
        self
    }

    /// Asserts that the complaint is one line, as every error of ours is.
    #[track_caller]
    pub(crate) fn in_one_line(self) -> Self {
        assert!(
            super::peer() != super::Peer::Ours || self.stderr().lines().count() == 1,
            "expected one line of complaint: {}",
            self.story()
        );
        self
    }
}
