//! Programs that a container lacks: this binary's applets, or a static program of the caller, from a sealed copy in
//! memory, so that nothing in the container can write to the file.

use std::borrow::Cow;
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::Path;

use nskit::error::{Attempt, Errno};
use nskit::namespace::open_without_waiting;
use nskit::{Error, Result};
use rustix::fs::{FileType, MemfdFlags, SealFlags};

use crate::exec::{self, Environment};
use crate::hints::{self, Failure, Hint};

/// The copy of a program.
#[derive(Debug)]
pub(super) struct Tools {
    copy: OwnedFd,
    /// What it is a copy of, when that is not this binary.
    file: Option<OsString>,
}

impl Tools {
    /// A sealed copy of `file`, by default of this binary.
    pub(super) fn sealed(file: Option<OsString>) -> Result<Tools, Failure> {
        let copy = sealed(file.as_deref().unwrap_or(OsStr::new("/proc/self/exe"))).hint(hints::filtered)?;
        Ok(Tools { copy, file })
    }

    /// Refuses a program that this binary has no applet for, before anything is entered.
    pub(super) fn check(&self, program: &[OsString]) -> Result<(), Failure> {
        let Some(name) = program.first().filter(|_| self.file.is_none()) else { return Ok(()) };
        let called = crate::program_name(name);
        if called == "nskit" || crate::find(called).is_some() {
            return Ok(());
        }
        let name = name.to_string_lossy();
        let error = exec::failed(OsStr::new(&*name), Errno::NOENT);
        let hint = format!("no applet of nskit is called '{name}'; --tools=FILE brings a program of your own");
        Err(Failure { error, hint: Some(hint.into()) })
    }

    /// Becomes it, as `program`, or by its own name when that is empty; returns only when that fails.
    pub(super) fn become_program(&self, program: &[OsString], environment: &Environment) -> Failure {
        let own = self.file.as_deref().unwrap_or(OsStr::new("nskit"));
        let alone = [Path::new(own).file_name().unwrap_or(own).to_owned()];
        let words = if program.is_empty() { &alone } else { program };
        let errno = exec::execute_descriptor(self.copy.as_fd(), words, environment);
        let hint = self.why_not(errno).map(Cow::Owned);
        Failure { error: exec::failed(own, errno), hint }
    }

    /// Why the program cannot be executed where the root is another.
    fn why_not(&self, errno: Errno) -> Option<String> {
        if errno != Errno::NOENT {
            return None;
        }
        let file = self.file.as_deref()?.to_string_lossy();
        let copy = std::fs::File::from(self.copy.try_clone().ok()?);
        match interpreter(&copy)? {
            Interpreter::Script => Some(format!("{file} is a script; --tools takes a program")),
            Interpreter::Loader(loader) => {
                Some(format!("{file} is not a static program: it needs {loader}, which is not inside"))
            }
        }
    }
}

/// What the kernel starts a program by.
#[derive(Debug, PartialEq, Eq)]
enum Interpreter {
    /// That of the first line.
    Script,
    /// The dynamic loader with this path.
    Loader(String),
}

/// What the kernel would start `program` by, which it looks for in the root of the moment; `None` for static programs.
fn interpreter(program: &std::fs::File) -> Option<Interpreter> {
    /// `PT_INTERP` of elf(5).
    const INTERPRETER: u32 = 3;
    let mut header = [0; 64];
    program.read_at(&mut header, 0).ok()?;
    if header.starts_with(b"#!") {
        return Some(Interpreter::Script);
    }
    // The header of a 64-bit ELF file in the byte order of the machine, as all are that this is built for.
    if !header.starts_with(b"\x7fELF\x02") {
        return None;
    }
    let number = |at: usize| u64::from_ne_bytes(header[at..at + 8].try_into().expect("eight bytes"));
    let half = |at: usize| u64::from(u16::from_ne_bytes(header[at..at + 2].try_into().expect("two bytes")));
    let (table, size, count) = (number(32), half(54), half(56));
    for index in 0..count {
        let mut entry = [0; 56];
        program.read_exact_at(&mut entry, table.checked_add(index * size)?).ok()?;
        if entry[..4] != INTERPRETER.to_ne_bytes() {
            continue;
        }
        let field = |at: usize| u64::from_ne_bytes(entry[at..at + 8].try_into().expect("eight bytes"));
        let mut path = vec![0; usize::try_from(field(32)).ok()?.min(4096)];
        program.read_exact_at(&mut path, field(8)).ok()?;
        return Some(Interpreter::Loader(String::from_utf8_lossy(&path).trim_end_matches('\0').to_owned()));
    }
    None
}

/// A sealed copy of the file at `path`.
fn sealed(path: &OsStr) -> Result<OwnedFd> {
    let shown = path.to_string_lossy();
    let source = open_without_waiting(path.as_ref()).attempt(|| format!("cannot open {shown}"))?;
    let stat = rustix::fs::fstat(&source).attempt(|| format!("cannot open {shown}"))?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(Error::invalid(format!("{shown} is no file: --tools takes a static program")));
    }
    let mut left = stat.st_size as usize;
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let copy = match rustix::fs::memfd_create("tools", flags | MemfdFlags::EXEC) {
        // The flag is needed where vm.memfd_noexec is set, which came with it (Linux 6.3).
        Err(Errno::INVAL) => rustix::fs::memfd_create("tools", flags),
        made => made,
    }
    .attempt(|| "memfd_create failed")?;
    while left > 0 {
        match rustix::fs::sendfile(&copy, &source, None, left).attempt(|| format!("copy {shown} failed"))? {
            0 => break,
            copied => left -= copied,
        }
    }
    let seals = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
    rustix::fs::fcntl_add_seals(&copy, seals).attempt(|| format!("seal the copy of {shown} failed"))?;
    Ok(copy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_what_a_program_is_started_by() {
        let of = |path: &str| interpreter(&std::fs::File::open(path).unwrap());
        assert!(matches!(of("/bin/sh"), Some(Interpreter::Loader(loader)) if loader.starts_with("/lib")));
        assert_eq!(of("/etc/passwd"), None);
    }
}
