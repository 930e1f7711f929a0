//! What `unshare` does, in the order of util-linux's: what needs the old namespaces is forked first, then one
//! unshare(2), maps, clocks, the fork, and in what is left of it mounts, root, directory, ids and the program.

use std::ffi::{CString, OsStr};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::mount::{MsFlags, mount};
use nix::sys::signal::Signal;
use nskit::error::{Attempt, Errno};
use nskit::launch::relay::{self, Blocked, Ending};
use nskit::namespace::Kind;
use nskit::namespace::idmap;
use nskit::sys::clone::{Clone3, Forked, clone3, unshare};
use nskit::{Result, sys};
use rustix::fs::{Mode, OFlags};

use super::keep::{bind, own_mount_namespace, rise_above};
use super::maps::{Maps, set_groups_control};
use super::options::{BINFMT, Options};
use super::outside::{Outside, gate, open_gate, passes, report};

use crate::credentials;
use crate::exec::{self, Environment, Voice};
use crate::hints::{self, Failure, Hint};
use crate::signals;

/// proc and its kin hold no programs and no devices.
const NOTHING_TO_RUN: MsFlags = MsFlags::MS_NOSUID.union(MsFlags::MS_NOEXEC).union(MsFlags::MS_NODEV);

/// The clocks of a time namespace, by their numbers in clock_gettime(2).
const MONOTONIC: i32 = 1;
const BOOTTIME: i32 = 7;

/// Signals that `--forward-signals` passes on.
const FORWARDED: [Signal; 2] = [Signal::SIGINT, Signal::SIGTERM];

/// Does what `options` say; returns the exit status of a child, or of a helper that failed.
pub(super) fn run(voice: &Voice, options: &Options) -> Result<u8, Failure> {
    let maps = Maps::new(options);
    let binder = start_binder(voice, options)?;
    let mapper = start_mapper(voice, &maps)?;
    become_owner(voice, options)?;
    create(voice, options)?;
    if let Some(mapper) = mapper
        && let Some(status) = mapper.work()?
    {
        return Ok(status);
    }
    if let Some(seconds) = options.boottime {
        set_clock(BOOTTIME, seconds)?;
    }
    if let Some(seconds) = options.monotonic {
        set_clock(MONOTONIC, seconds)?;
    }
    if options.fork {
        return as_child(voice, options, &maps, binder);
    }
    if let Some(status) = keep(binder, options)? {
        return Ok(status);
    }
    // Nothing has failed yet: said to people alone.
    if options.new.contains(Kind::Pid) && rustix::termios::isatty(rustix::stdio::stderr()) {
        voice.hint(
            "the program stays outside of the new pid namespace, in which no process can be born once its first child \
             ends: add --fork",
        );
    }
    Err(inside(voice, options, &maps, None))
}

/// Whether a namespace is to be kept by a file.
fn persists(options: &Options) -> bool {
    options.files.iter().any(Option::is_some)
}

/// Starts the process that binds the namespaces to files, where this one will be unable to: paths are the caller's, and its
/// mounts and privilege are out of reach from inside.
fn start_binder(voice: &Voice, options: &Options) -> Result<Option<Outside>> {
    if !persists(options) || !(options.new.contains(Kind::Mount) || options.new.contains(Kind::User)) {
        return Ok(None);
    }
    // Asked for only where it is needed: the plainest call makes but one system call of its own.
    let us = rustix::process::getpid();
    Outside::start(voice, || report(voice, bind(us, options))).map(Some)
}

/// Starts the process that writes the maps which this one may not write.
fn start_mapper(voice: &Voice, maps: &Maps) -> Result<Option<Outside>> {
    if maps.users.is_empty() && maps.groups.is_empty() {
        return Ok(None);
    }
    let us = rustix::process::getpid();
    Outside::start(voice, || maps.write(voice, us)).map(Some)
}

/// Becomes whoever is to own the user namespace.
fn become_owner(voice: &Voice, options: &Options) -> Result<(), Failure> {
    let Some((uid, gid)) = options.owner else { return Ok(()) };
    voice.step(|| format!("become user {uid} and group {gid}, who are to own the user namespace"));
    let suspect = |_| hints::seccomp();
    drop_groups(suspect)?;
    set_group(gid, suspect)?;
    set_user(uid, suspect)
}

/// Creates the namespaces.
fn create(voice: &Voice, options: &Options) -> Result<(), Failure> {
    if !options.new.is_empty() {
        let article = if options.new.iter().count() == 1 { "a new" } else { "new" };
        voice.step(|| format!("create {article} {}", nskit::namespace::describe(options.new)));
    }
    let before = if options.files[Kind::Mount as usize].is_some() { own_mount_namespace() } else { None };
    unshare(options.new.flags()).attempt(|| "unshare failed").hint(|errno| hints::unshare(errno, options.new))?;
    if let Some(before) = before {
        rise_above(voice, &before)?;
    }
    Ok(())
}

/// Binds the namespaces to the files that were named, if any; the exit status of a helper that failed.
fn keep(binder: Option<Outside>, options: &Options) -> Result<Option<u8>, Failure> {
    match binder {
        Some(binder) => Ok(binder.work()?),
        None if persists(options) => bind(rustix::process::getpid(), options).map(|()| None),
        None => Ok(None),
    }
}

/// Forks: the child goes on as the program, and the parent waits for it.
fn as_child(voice: &Voice, options: &Options, maps: &Maps, binder: Option<Outside>) -> Result<u8, Failure> {
    let blocked = Blocked::new(&FORWARDED, options.forward_signals)?;
    // A pipe tells of this process's end as a pidfd would; no filter refuses it.
    let (parent, alive) = match options.kill_child {
        Some(signal) => {
            let (wait, alive) = gate()?;
            (Some((wait, signal)), Some(alive))
        }
        None => (None, None),
    };
    // The program finds the files bound; util-linux lets it run ahead.
    let bound = if persists(options) { Some(gate()?) } else { None };
    voice.step(|| match options.kill_child {
        Some(signal) => format!("fork, and have the child get {} when this process ends", signals::name(signal)),
        None => "fork".to_owned(),
    });
    let child = match clone3(&Clone3::default()).attempt(|| "fork failed").hint(|errno| hints::fork(errno, false))? {
        Forked::Child => {
            drop(alive);
            return match settle_child(options, &blocked, bound)? {
                true => Err(inside(voice, options, maps, parent)),
                false => Ok(1),
            };
        }
        Forked::Parent(child, _) => child,
    };
    drop(parent);
    if let Some((wait, open)) = bound {
        // The child goes, without a word, when nobody is left to open the gate.
        if let Some(status) = keep(binder, options)? {
            return Ok(status);
        }
        open_gate(&open)?;
        drop(wait);
    }
    let ending = if options.forward_signals { blocked.wait(child, false)? } else { relay::wait(child)? };
    match ending {
        Ending::Exited(status) => Ok(status as u8),
        killed @ Ending::Killed(_) => killed.follow(),
    }
}

/// The child's first steps: signals as a program expects them, and the wait until the files are bound; false when they are not.
fn settle_child(options: &Options, blocked: &Blocked, bound: Option<(OwnedFd, OwnedFd)>) -> Result<bool> {
    blocked.restore()?;
    if options.forward_signals {
        // What is forwarded arrives, even where a shell had it ignored in the background.
        FORWARDED.iter().for_each(|signal| sys::signal::set_default(*signal as i32));
    }
    let Some((wait, open)) = bound else { return Ok(true) };
    drop(open);
    passes(&wait)
}

/// The part in the new namespaces, as the child if there is one: ends as the program.
fn inside(voice: &Voice, options: &Options, maps: &Maps, parent: Option<(OwnedFd, i32)>) -> Failure {
    match prepare(voice, options, maps, parent) {
        Ok(environment) => {
            voice.step(|| exec::shown(&options.program));
            exec::become_program(&options.program, &environment)
        }
        Err(failure) => failure,
    }
}

fn prepare(
    voice: &Voice,
    options: &Options,
    maps: &Maps,
    parent: Option<(OwnedFd, i32)>,
) -> Result<Environment, Failure> {
    let die_with_parent = |signal| sys::signal::when_parent_dies(signal).attempt(|| "prctl failed");
    if let Some((_, signal)) = parent {
        die_with_parent(signal)?;
    }
    maps.write_own(voice, options)?;
    if let Some(allow) = options.setgroups {
        set_groups_control(allow)?;
    }
    mounts_and_root(voice, options)?;
    options.confinement.before_user(options.uid)?;
    let suspect = |errno| options.confinement.suspect(errno, options.uid);
    if let Some(gid) = options.gid {
        voice.step(|| format!("become group {gid}, without other groups"));
        drop_groups(suspect)?;
        set_group(gid, suspect)?;
    }
    if let Some(uid) = options.uid {
        voice.step(|| format!("become user {uid}"));
        set_user(uid, suspect)?;
    }
    if let Some((gate, signal)) = parent {
        if options.uid.is_some() || options.gid.is_some() {
            // The kernel forgets the signal when credentials change.
            die_with_parent(signal)?;
        }
        if is_abandoned(&gate)? {
            // Nobody is left to hear why.
            sys::clone::exit_now(1);
        }
    }
    if options.keep_capabilities && options.new.contains(Kind::User) {
        credentials::keep_capabilities(options.confinement.dropped())?;
    }
    options.confinement.after_user(options.uid)?;
    Ok(environment(options))
}

fn mounts_and_root(voice: &Voice, options: &Options) -> Result<(), Failure> {
    if let Some(flags) = options.propagation
        && options.new.contains(Kind::Mount)
    {
        voice.step(|| "change the propagation of all mounts");
        mount(Some("none"), "/", None::<&str>, flags, None::<&str>)
            .attempt(|| "cannot change root filesystem propagation")?;
    }
    // With the flag F the kernel opens the interpreter now: it is the old root's.
    let early = options.interpreter.as_deref().filter(|line| options.root.is_some() && opens_at_once(line));
    if let Some(line) = early {
        mount_new("binfmt_misc", Path::new(BINFMT))?;
        register(Path::new(BINFMT), line)?;
    }
    if let Some(root) = &options.root {
        voice.step(|| format!("change the root directory to {}", root.display()));
        rustix::process::chroot(root)
            .attempt(|| format!("cannot change root directory to '{}'", root.display()))
            .hint(|errno| hints::chroot(errno, true))?;
    }
    if let Some(directory) = options.directory.as_deref().or(options.root.as_ref().map(|_| Path::new("/"))) {
        rustix::process::chdir(directory).attempt(|| format!("cannot change directory to {}", directory.display()))?;
    }
    if let Some(proc) = &options.proc {
        let made_private = options.propagation == Some(MsFlags::MS_REC | MsFlags::MS_PRIVATE);
        if options.root.is_none() && !made_private {
            match mount(Some("none"), proc, None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>) {
                // Not a mount point, so there is nothing to change.
                Ok(()) | Err(nix::Error::EINVAL) => {}
                failed => {
                    failed.attempt(|| format!("cannot change {} filesystem propagation", proc.display()))?;
                }
            }
        }
        voice.step(|| format!("mount proc on {}", proc.display()));
        mount_new("proc", proc).hint(|errno| hints::mount_proc(errno, options.new, options.fork))?;
    }
    if let Some(binfmt) = &options.binfmt {
        voice.step(|| format!("mount binfmt_misc on {}", binfmt.display()));
        mount_new("binfmt_misc", binfmt)?;
        if let Some(line) = options.interpreter.as_deref().filter(|_| early.is_none()) {
            register(binfmt, line)?;
        }
    }
    Ok(())
}

fn mount_new(fstype: &str, place: &Path) -> Result<()> {
    mount(Some(fstype), place, Some(fstype), NOTHING_TO_RUN, None::<&str>)
        .attempt(|| format!("mount {} failed", place.display()))
}

/// Whether a line for binfmt_misc has the flag F.
fn opens_at_once(line: &OsStr) -> bool {
    let line = line.as_bytes();
    line.iter().rposition(|byte| *byte == b':').is_some_and(|colon| line[colon..].contains(&b'F'))
}

fn register(binfmt: &Path, line: &OsStr) -> Result<(), Failure> {
    let folder = rustix::fs::open(binfmt, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .attempt(|| format!("cannot open {}", binfmt.display()))?;
    let file = rustix::fs::openat(&folder, "register", OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())
        .attempt(|| format!("cannot open {}/register", binfmt.display()))
        .hint(hints::binfmt)?;
    rustix::io::write(&file, line.as_bytes())
        .attempt(|| format!("write failed {}/register", binfmt.display()))
        .hint(hints::interpreter)
        .map(drop)
}

/// Whether nobody is left who could open the gate.
fn is_abandoned(gate: &OwnedFd) -> Result<bool> {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut [PollFd::new(gate, PollFlags::IN)], Some(&now)).attempt(|| "poll failed").map(|n| n > 0)
}

fn environment(options: &Options) -> Environment {
    let Some(names) = &options.keep_environment else {
        return if options.clear_environment { Environment::Only(Vec::new()) } else { Environment::Inherited };
    };
    // The last name comes first, as util-linux leaves them.
    let mut entries: Vec<CString> = Vec::new();
    for (index, name) in names.iter().enumerate().rev() {
        if names[index + 1..].contains(name) {
            continue;
        }
        if let Some(value) = std::env::var_os(name) {
            let entry = [name.as_bytes(), b"=", value.as_bytes()].concat();
            entries.extend(CString::new(entry));
        }
    }
    Environment::Only(entries)
}

/// As all of these, with what may be the cause where privilege is not: `suspect`.
fn drop_groups(suspect: impl Fn(Errno) -> Option<String>) -> Result<(), Failure> {
    let instead = "--map-auto and --map-groups map groups with privilege";
    credentials::drop_groups().hint(|errno| hints::groups(errno, instead).or_else(|| suspect(errno)))
}

fn set_group(gid: u32, suspect: impl Fn(Errno) -> Option<String>) -> Result<(), Failure> {
    let cause = |errno| hints::identity(errno, idmap::Ids::Groups, gid).or_else(|| suspect(errno));
    credentials::set_group(gid).hint(cause)
}

fn set_user(uid: u32, suspect: impl Fn(Errno) -> Option<String>) -> Result<(), Failure> {
    let cause = |errno| hints::identity(errno, idmap::Ids::Users, uid).or_else(|| suspect(errno));
    credentials::set_user(uid).hint(cause)
}

fn set_clock(clock: i32, seconds: i64) -> Result<(), Failure> {
    let path = "/proc/self/timens_offsets";
    let write = || -> Result<()> {
        let file = rustix::fs::open(path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())
            .attempt(|| format!("failed to open {path}"))?;
        rustix::io::write(&file, format!("{clock} {seconds} 0").as_bytes())
            .attempt(|| format!("failed to write to {path}"))
            .map(drop)
    };
    write().hint(hints::clock)
}
