//! Which functions of a program run, in the order in which each is first entered; its children's too.
//!
//!     entered PROGRAM OUTPUT COMMAND [ARGUMENT…]    run a command that executes PROGRAM, append their names to OUTPUT
//!
//! PROGRAM must have its symbols. Every function gets a breakpoint on its first instruction, which is removed when it is
//! hit, so that a run is hardly slower than without. Processes that COMMAND leaves behind go on undisturbed.

use std::collections::{BTreeMap, HashMap};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};
use std::{env, fs, io, ptr};

const BREAKPOINT: u8 = 0xcc; // int3

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let outcome = match arguments.as_slice() {
        [program, output, command @ ..] if !command.is_empty() => run(program, output, command),
        _ => Err("usage: entered PROGRAM OUTPUT COMMAND [ARGUMENT…]".to_owned()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("entered: {why}");
            ExitCode::FAILURE
        }
    }
}

/// The program: its file, and its functions by address.
struct Program {
    identity: (u64, u64),
    fixed: bool,
    functions: BTreeMap<u64, Vec<String>>,
}

/// What is known of the processes that run it.
#[derive(Default)]
struct Traced {
    /// Where the program is in each process.
    bases: HashMap<libc::pid_t, u64>,
    /// What stands where the breakpoints are.
    original: HashMap<u64, u8>,
    entered: Vec<u64>,
}

fn run(program: &str, output: &str, command: &[String]) -> Result<(), String> {
    let program = Program::read(program)?;
    let mut child = Command::new(&command[0]);
    child.args(&command[1..]);
    // SAFETY: only ptrace(2) and raise(3) are called between fork and exec.
    unsafe {
        child.pre_exec(|| {
            libc::ptrace(libc::PTRACE_TRACEME, 0, ptr::null_mut::<u8>(), ptr::null_mut::<u8>());
            Ok(())
        });
    }
    let first = child.spawn().map_err(|error| format!("{}: {error}", command[0]))?.id() as libc::pid_t;
    let mut traced = Traced::default();
    let status = traced.follow(&program, first)?;
    traced.let_go();

    let mut file = OpenOptions::new().create(true).append(true).open(output).map_err(|e| format!("{output}: {e}"))?;
    for address in &traced.entered {
        for name in &program.functions[address] {
            writeln!(file, "{name}").map_err(|error| format!("{output}: {error}"))?;
        }
    }
    if status != 0 {
        return Err(format!("{} ended with wait status {status:#x}", command[0]));
    }
    Ok(())
}

impl Program {
    fn read(path: &str) -> Result<Program, String> {
        let file = File::open(path).map_err(|error| format!("{path}: {error}"))?;
        let stat = file.metadata().map_err(|error| format!("{path}: {error}"))?;
        let mut kind = [0; 2];
        file.read_exact_at(&mut kind, 16).map_err(|error| format!("{path}: {error}"))?;
        let nm = Command::new("nm").arg(path).output().map_err(|error| format!("nm: {error}"))?;
        let mut functions = BTreeMap::<u64, Vec<String>>::new();
        for line in String::from_utf8_lossy(&nm.stdout).lines() {
            let words: Vec<&str> = line.split(' ').collect();
            if let [address, "t" | "T" | "w" | "W", name] = words[..]
                && let Ok(address) = u64::from_str_radix(address, 16)
            {
                functions.entry(address).or_default().push(name.to_owned());
            }
        }
        if functions.is_empty() {
            return Err(format!("{path} has no symbols"));
        }
        Ok(Program { identity: (stat.dev(), stat.ino()), fixed: u16::from_ne_bytes(kind) == 2, functions })
    }

    /// Where it begins in a process, if that runs it.
    fn base_in(&self, pid: libc::pid_t) -> Option<u64> {
        let stat = fs::metadata(format!("/proc/{pid}/exe")).ok()?;
        if (stat.dev(), stat.ino()) != self.identity {
            return None;
        }
        let maps = fs::read_to_string(format!("/proc/{pid}/maps")).ok()?;
        let start = maps.split('-').next()?;
        if self.fixed { Some(0) } else { u64::from_str_radix(start, 16).ok() }
    }
}

impl Traced {
    /// Follows a process and its children until it ends; its wait status.
    fn follow(&mut self, program: &Program, first: libc::pid_t) -> Result<libc::c_int, String> {
        let mut begun = false;
        loop {
            let (pid, status) = wait(-1).map_err(|error| format!("wait: {error}"))?;
            if !libc::WIFSTOPPED(status) {
                self.bases.remove(&pid);
                if pid == first {
                    return Ok(status);
                }
                continue;
            }
            let (mut signal, event) = (libc::WSTOPSIG(status), status >> 16);
            let first_exec = pid == first && !begun;
            if first_exec {
                let options = libc::PTRACE_O_TRACEFORK
                    | libc::PTRACE_O_TRACEVFORK
                    | libc::PTRACE_O_TRACECLONE
                    | libc::PTRACE_O_TRACEEXEC;
                ptrace(libc::PTRACE_SETOPTIONS, pid, options as usize);
                begun = true;
            }
            if first_exec || event == libc::PTRACE_EVENT_EXEC {
                self.bases.remove(&pid);
                signal = 0;
                if let Some(base) = program.base_in(pid) {
                    self.bases.insert(pid, base);
                    self.set_breakpoints(program, pid, base).map_err(|e| format!("process {pid}: {e}"))?;
                } else if pid != first {
                    ptrace(libc::PTRACE_DETACH, pid, 0);
                    continue;
                }
            } else if event != 0 {
                let mut child: libc::c_ulong = 0;
                ptrace(libc::PTRACE_GETEVENTMSG, pid, &raw mut child as usize);
                if let Some(base) = self.bases.get(&pid) {
                    // The child has a copy of the memory, breakpoints and all.
                    self.bases.insert(child as libc::pid_t, *base);
                }
                signal = 0;
            } else if signal == libc::SIGTRAP && self.enter(pid).map_err(|e| format!("process {pid}: {e}"))? {
                signal = 0;
            } else if signal == libc::SIGSTOP {
                signal = 0; // how a child of a traced process begins
            }
            ptrace(libc::PTRACE_CONT, pid, signal as usize);
        }
    }

    fn set_breakpoints(&mut self, program: &Program, pid: libc::pid_t, base: u64) -> io::Result<()> {
        let memory = memory(pid)?;
        for address in program.functions.keys() {
            let mut byte = [0];
            memory.read_exact_at(&mut byte, base + address)?;
            self.original.entry(*address).or_insert(byte[0]);
            memory.write_all_at(&[BREAKPOINT], base + address)?;
        }
        Ok(())
    }

    /// Takes away the breakpoint that a process has come to; false when it is none of ours.
    fn enter(&mut self, pid: libc::pid_t) -> io::Result<bool> {
        let Some(base) = self.bases.get(&pid) else { return Ok(false) };
        // SAFETY: plain integers, for which zeroes are a value; the kernel fills them in.
        let mut registers: libc::user_regs_struct = unsafe { std::mem::zeroed() };
        ptrace(libc::PTRACE_GETREGS, pid, &raw mut registers as usize);
        let at = registers.rip - 1;
        let Some(byte) = self.original.get(&at.wrapping_sub(*base)) else { return Ok(false) };
        memory(pid)?.write_all_at(&[*byte], at)?;
        registers.rip = at;
        ptrace(libc::PTRACE_SETREGS, pid, &raw mut registers as usize);
        if !self.entered.contains(&(at - base)) {
            self.entered.push(at - base);
        }
        Ok(true)
    }

    /// Takes all breakpoints out of what still runs.
    fn let_go(&self) {
        for (pid, base) in &self.bases {
            // SAFETY: a child of ours that nobody has waited for: its number is its own.
            if unsafe { libc::kill(*pid, libc::SIGSTOP) } != 0 {
                continue;
            }
            while let Ok((_, status)) = wait(*pid)
                && libc::WIFSTOPPED(status)
            {
                if libc::WSTOPSIG(status) == libc::SIGSTOP {
                    if let Ok(memory) = memory(*pid) {
                        for (address, byte) in &self.original {
                            let _ = memory.write_all_at(&[*byte], base + address);
                        }
                    }
                    ptrace(libc::PTRACE_DETACH, *pid, 0);
                    break;
                }
                ptrace(libc::PTRACE_CONT, *pid, 0);
            }
        }
    }
}

fn memory(pid: libc::pid_t) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).open(format!("/proc/{pid}/mem"))
}

fn wait(pid: libc::pid_t) -> io::Result<(libc::pid_t, libc::c_int)> {
    let mut status = 0;
    // SAFETY: `status` outlives the call.
    match unsafe { libc::waitpid(pid, &raw mut status, libc::__WALL) } {
        -1 => Err(io::Error::last_os_error()),
        pid => Ok((pid, status)),
    }
}

fn ptrace(request: libc::c_uint, pid: libc::pid_t, data: usize) {
    // SAFETY: `data` is a number or the address of what the request reads or fills, which outlives the call; a tracee
    // that is gone makes it fail, which the next wait shows.
    unsafe { libc::ptrace(request, pid, ptr::null_mut::<u8>(), data) };
}
