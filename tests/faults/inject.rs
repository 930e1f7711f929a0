//! A fault injector: it traces the processes of the runtime by ptrace(2), and at one system call of one of them makes the
//! call fail, or sends a signal.
//!
//! The runtime's processes are numbered as they appear: 0 is the first that executes the binary under test, and those it
//! forks follow. Calls are counted for each process from 1 on. A process that executes another program (the container's,
//! a hook) is let go. x86-64 only: the registers of a call are the machine's.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::IoSliceMut;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::ptrace::{self, Event, Options};
use nix::sys::signal::{Signal, kill};
use nix::sys::uio::{RemoteIoVec, process_vm_readv};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

/// What happens at a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    /// It fails with this errno, in the way of that call.
    Fail(i32),
    /// The process that makes it gets this signal.
    Signal(Signal),
    /// The runtime's first process, which the caller waits for, gets this signal.
    SignalFirst(Signal),
}

/// One fault: at the `call`-th system call of the `process`-th process, or the next that can fail so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) process: usize,
    pub(super) call: u32,
    pub(super) act: Act,
}

/// One system call that was made.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) process: usize,
    pub(super) number: i64,
    pub(super) count: u32,
    /// The path among its arguments, if it has one.
    pub(super) path: String,
    pub(super) args: [u64; 3],
}

impl Call {
    /// Which call it is, for a report.
    pub(super) fn describe(&self) -> String {
        let name = super::calls::name(self.number);
        let [a, b, c] = self.args;
        format!("{}.{} {name}({a:#x}, {b:#x}, {c:#x}) {}", self.process, self.count, self.path)
    }
}

/// How a traced command ended.
#[derive(Debug, Default)]
pub(super) struct Ended {
    /// Its exit status as a shell gives it.
    pub(super) code: i32,
    /// It did not end within its time, and was killed.
    pub(super) hung: bool,
    /// Every call when there was no fault; else the call that the fault was at, unless it was not reached.
    pub(super) calls: Vec<Call>,
}

/// A command to trace.
pub(super) struct Traced {
    /// What the shell executes.
    pub(super) words: Vec<String>,
    pub(super) stdin: Stdio,
    pub(super) stdout: File,
    pub(super) stderr: File,
    /// The program whose processes count.
    pub(super) binary: (u64, u64),
    pub(super) limit: Duration,
}

/// The identity of a file, by which processes that execute it are known.
pub(super) fn identity(path: &std::path::Path) -> (u64, u64) {
    let metadata = fs::metadata(path).unwrap_or_else(|error| panic!("look at {}: {error}", path.display()));
    (metadata.dev(), metadata.ino())
}

/// Runs the command to its end, with a fault or, to count, without.
pub(super) fn trace(traced: Traced, fault: Option<Fault>) -> Ended {
    let limit = traced.limit;
    let live = Arc::new(Mutex::new(Vec::new()));
    let (ended, end) = mpsc::channel();
    let (seen, words) = (Arc::clone(&live), traced.words.join(" "));
    // Tracing belongs to a thread: when this one ends, the kernel lets go of whatever it still traces.
    let tracer = thread::spawn(move || {
        let result = Tracer::start(traced, fault, seen).follow();
        let _ = ended.send(());
        result
    });
    let mut hung = false;
    while end.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
        assert!(!hung, "{words} outlives SIGKILL");
        hung = true;
        for pid in live.lock().expect("the list of processes").iter() {
            let _ = kill(*pid, Signal::SIGKILL);
        }
    }
    let mut result = tracer.join().expect("the tracer");
    result.hung = hung;
    result
}

/// A traced process.
#[derive(Default)]
struct Process {
    /// Its number among the runtime's, once it is one of them.
    number: Option<usize>,
    /// It executes the binary under test now.
    counts: bool,
    calls: u32,
    in_call: bool,
    /// The errno that the call it is in is to fail with.
    failing: Option<i32>,
}

struct Tracer {
    first: Pid,
    /// The last process to have become the runtime's by execve(2).
    runtime: Option<Pid>,
    processes: HashMap<Pid, Process>,
    numbers: usize,
    binary: (u64, u64),
    fault: Option<Fault>,
    /// The fault was made.
    done: bool,
    calls: Vec<Call>,
    live: Arc<Mutex<Vec<Pid>>>,
}

impl Tracer {
    fn start(traced: Traced, fault: Option<Fault>, live: Arc<Mutex<Vec<Pid>>>) -> Tracer {
        // The shell stops itself so that it is traced from before it executes anything.
        let mut command = Command::new("sh");
        command.args(["-c", "kill -STOP $$; eval \"$0\""]).args(&traced.words);
        command.stdin(traced.stdin).stdout(traced.stdout).stderr(traced.stderr).process_group(0);
        #[expect(clippy::zombie_processes, reason = "Tracer::follow waits for all that is traced")]
        let child = command.spawn().expect("start a shell");
        let first = Pid::from_raw(child.id().cast_signed());
        live.lock().expect("the list of processes").push(first);
        waitpid(first, Some(WaitPidFlag::WUNTRACED)).expect("wait for the shell to stop");
        let options = Options::PTRACE_O_TRACESYSGOOD
            | Options::PTRACE_O_TRACEFORK
            | Options::PTRACE_O_TRACEVFORK
            | Options::PTRACE_O_TRACECLONE
            | Options::PTRACE_O_TRACEEXEC;
        ptrace::seize(first, options).expect("trace the shell");
        kill(first, Signal::SIGCONT).expect("continue the shell");
        let processes = HashMap::from([(first, Process::default())]);
        let binary = traced.binary;
        Tracer { first, runtime: None, processes, numbers: 0, binary, fault, done: false, calls: Vec::new(), live }
    }

    /// Follows every process until the first has ended.
    fn follow(mut self) -> Ended {
        let any = WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD;
        loop {
            let status = match waitpid(None, Some(any)) {
                Err(Errno::EINTR) => continue,
                other => other.expect("wait for what is traced"),
            };
            match status {
                WaitStatus::Exited(pid, code) if self.is_over(pid) => return self.ended(code),
                WaitStatus::Signaled(pid, signal, _) if self.is_over(pid) => return self.ended(128 + signal as i32),
                WaitStatus::PtraceEvent(pid, _, event) => self.at_event(pid, event),
                WaitStatus::PtraceSyscall(pid) => self.at_call(pid),
                WaitStatus::Stopped(pid, signal) => go_on(pid, Some(signal)),
                _ => {}
            }
        }
    }

    fn ended(self, code: i32) -> Ended {
        Ended { code, hung: false, calls: self.calls }
    }

    /// Forgets a process that has ended; says whether it was the first.
    fn is_over(&mut self, pid: Pid) -> bool {
        self.processes.remove(&pid);
        self.live.lock().expect("the list of processes").retain(|live| *live != pid);
        pid == self.first
    }

    fn at_event(&mut self, pid: Pid, event: i32) {
        if event == Event::PTRACE_EVENT_EXEC as i32 {
            let was = self.process(pid).counts;
            let counts = executes(pid, self.binary);
            self.process(pid).counts = counts;
            if counts {
                self.number(pid);
                if !was {
                    self.runtime = Some(pid);
                }
            } else if was {
                self.processes.remove(&pid);
                self.live.lock().expect("the list of processes").retain(|live| *live != pid);
                let _ = ptrace::detach(pid, None);
                return;
            }
        } else if [Event::PTRACE_EVENT_FORK, Event::PTRACE_EVENT_VFORK, Event::PTRACE_EVENT_CLONE]
            .iter()
            .any(|fork| *fork as i32 == event)
            && let Ok(child) = ptrace::getevent(pid)
            && self.process(pid).counts
        {
            let child = Pid::from_raw(i32::try_from(child).expect("a pid"));
            self.process(child).counts = true;
            self.number(child);
        } else if !self.processes.contains_key(&pid) {
            // A child can be seen before its parent tells of it.
            let counts = executes(pid, self.binary);
            self.process(pid).counts = counts;
            if counts {
                self.number(pid);
            }
        }
        go_on(pid, None);
    }

    fn at_call(&mut self, pid: Pid) {
        let Ok(mut registers) = ptrace::getregs(pid) else { return };
        let fault = self.fault;
        let process = self.process(pid);
        // What a call returns is this errno before it is made.
        if process.in_call || registers.rax.cast_signed() != -i64::from(libc::ENOSYS) {
            process.in_call = false;
            if let Some(errno) = process.failing.take() {
                registers.rax = (-i64::from(errno)).cast_unsigned();
                let _ = ptrace::setregs(pid, registers);
            }
            return go_on(pid, None);
        }
        process.in_call = true;
        if let (true, Some(number)) = (process.counts, process.number) {
            process.calls += 1;
            let count = process.calls;
            let call = registers.orig_rax.cast_signed();
            let args = [registers.rdi, registers.rsi, registers.rdx];
            // Calls are not the same each time: one that cannot fail so leaves that to the next that can.
            let due = fault.is_some_and(|fault| fault.process == number && fault.call <= count) && !self.done;
            let hit = due
                && fault.is_some_and(|fault| match fault.act {
                    Act::Fail(errno) => super::calls::plausible(call, args).contains(&errno),
                    Act::Signal(_) | Act::SignalFirst(_) => true,
                });
            self.done |= hit;
            if hit || fault.is_none() {
                let path = path_argument(pid, call, args);
                self.calls.push(Call { process: number, number: call, count, path, args });
            }
            if let (true, Some(fault)) = (hit, fault) {
                match fault.act {
                    Act::Fail(errno) => {
                        self.process(pid).failing = Some(errno);
                        match super::calls::name(registers.orig_rax.cast_signed()) {
                            // It closes, whatever it says.
                            "close" => {}
                            // It fails by leaving the end of the heap where it was, which it tells.
                            "brk" => {
                                self.process(pid).failing = None;
                                registers.rdi = 0;
                            }
                            _ => registers.orig_rax = u64::MAX,
                        }
                        let _ = ptrace::setregs(pid, registers);
                    }
                    Act::Signal(signal) => drop(kill(pid, signal)),
                    Act::SignalFirst(signal) => drop(kill(self.runtime.unwrap_or(pid), signal)),
                }
            }
        }
        go_on(pid, None);
    }

    fn process(&mut self, pid: Pid) -> &mut Process {
        let live = &self.live;
        self.processes.entry(pid).or_insert_with(|| {
            live.lock().expect("the list of processes").push(pid);
            Process::default()
        })
    }

    fn number(&mut self, pid: Pid) {
        let next = self.numbers;
        let process = self.process(pid);
        if process.number.is_none() {
            process.number = Some(next);
            self.numbers += 1;
        }
    }
}

/// Lets a process run to its next call. One that was killed meanwhile is told of by its end.
fn go_on(pid: Pid, signal: Option<Signal>) {
    let _ = ptrace::syscall(pid, signal);
}

/// Whether a process executes the binary, or the sealed copy of it that stands in for it.
fn executes(pid: Pid, binary: (u64, u64)) -> bool {
    let exe = format!("/proc/{pid}/exe");
    let is_copy = || fs::read_link(&exe).is_ok_and(|name| name.to_string_lossy().starts_with("/memfd:nskit"));
    fs::metadata(&exe).is_ok_and(|metadata| (metadata.dev(), metadata.ino()) == binary) || is_copy()
}

/// The path that a call is about.
fn path_argument(pid: Pid, call: i64, args: [u64; 3]) -> String {
    let Some(index) = super::calls::path_index(call) else { return String::new() };
    let mut bytes = [0; 256];
    let address = usize::try_from(args[index]).expect("an address of 64 bits");
    // Not beyond the page, where there may be nothing.
    let len = bytes.len().min(4096 - address % 4096);
    let remote = [RemoteIoVec { base: address, len }];
    let read = process_vm_readv(pid, &mut [IoSliceMut::new(&mut bytes[..len])], &remote).unwrap_or(0);
    let end = bytes[..read].iter().position(|byte| !(32..127).contains(byte)).unwrap_or(read);
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}
