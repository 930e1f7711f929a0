//! What hyperfine starts where one command is not enough, so that no shell is measured.
//!
//!     drive sequence BUNDLE ID RUNTIME [ARGUMENT…]    create, start, kill and delete a container
//!     drive peak COMMAND [ARGUMENT…]                  print the largest resident set of any process, in KiB

use std::process::{Command, ExitCode};
use std::{env, fs, io};

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match words.as_slice() {
        ["sequence", bundle, id, runtime, global @ ..] => sequence(bundle, id, runtime, global),
        ["peak", command, rest @ ..] => peak(command, rest),
        _ => Err("usage: drive sequence BUNDLE ID RUNTIME [ARGUMENT…] | drive peak COMMAND [ARGUMENT…]".to_string()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("drive: {why}");
            ExitCode::FAILURE
        }
    }
}

/// The life of a container as an engine drives it: this process adopts the container and reaps it.
fn sequence(bundle: &str, id: &str, runtime: &str, global: &[&str]) -> Result<(), String> {
    adopt_orphans();
    let pid_file = format!("{bundle}/{id}.pid");
    let verb = |arguments: &[&str]| -> Result<(), String> {
        let status = Command::new(runtime).args(global).args(arguments).status();
        match status.map_err(|error| format!("{runtime} {}: {error}", arguments[0]))? {
            status if status.success() => Ok(()),
            status => Err(format!("{runtime} {}: {status}", arguments[0])),
        }
    };
    verb(&["create", "--bundle", bundle, "--pid-file", &pid_file, id])?;
    let rest = || {
        verb(&["start", id])?;
        let pid = fs::read_to_string(&pid_file).map_err(|error| format!("read {pid_file}: {error}"))?;
        let pid = pid.trim().parse().map_err(|_| format!("{pid_file} holds {pid:?}, not a pid"))?;
        verb(&["kill", id, "KILL"])?;
        // A container is stopped once its process is no more; whoever deletes it sooner races with the kernel.
        wait_for(pid)?;
        verb(&["delete", id])
    };
    let outcome = rest().or_else(|why| verb(&["delete", "--force", id]).and(Err(why)));
    fs::remove_file(&pid_file).map_err(|error| format!("remove {pid_file}: {error}"))?;
    outcome
}

/// The command and all its descendants, to the last orphan: the kernel keeps the peak of those that were waited for,
/// from before an exec too, so what a runtime weighs inside the container counts.
fn peak(command: &str, arguments: &[&str]) -> Result<(), String> {
    adopt_orphans();
    let child = Command::new(command).args(arguments).spawn().map_err(|error| format!("{command}: {error}"))?;
    let status = wait_for(child.id() as i32)?;
    while wait_for(-1).is_ok() {}
    if status != 0 {
        return Err(format!("{command}: wait status {status:#x}"));
    }
    // SAFETY: a struct of numbers, for which zero is a value, and which getrusage fills.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_CHILDREN, &mut usage);
        usage
    };
    println!("{}", usage.ru_maxrss);
    Ok(())
}

/// Processes whose parents end become children of this one.
fn adopt_orphans() {
    // SAFETY: a prctl that takes no address.
    unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) };
}

/// Waits for a child, or for any with -1; its wait status.
fn wait_for(pid: i32) -> Result<i32, String> {
    let mut status = 0;
    // SAFETY: `status` is writable.
    if unsafe { libc::waitpid(pid, &mut status, 0) } < 0 {
        return Err(format!("wait for {pid}: {}", io::Error::last_os_error()));
    }
    Ok(status)
}
