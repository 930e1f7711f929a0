//! Programs that a container lacks: this binary's applets, or a static program of the caller, from a sealed copy in
//! memory, so that nothing in the container can write to the file.

use std::borrow::Cow;
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use nskit::error::{Attempt, Errno};
use nskit::namespace::open_without_waiting;
use nskit::{Error, Result};
use rustix::fs::{FileType, MemfdFlags, SealFlags};

use crate::exec::{self, Environment};
use crate::hints::{self, Failure, Hint, Interpreter, started_by};

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
        match started_by(&copy)? {
            Interpreter::Script(_) => Some(format!("{file} is a script; --tools takes a program")),
            Interpreter::Loader(loader) => {
                let loader = loader.display();
                Some(format!("{file} is not a static program: it needs {loader}, which is not inside"))
            }
        }
    }
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
