//! A program that takes a container's output, `binary://PATH?KEY=VALUE`: it has standard output as descriptor 3 and standard
//! error as 4 to read, and closes 5 when it is ready.

use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use rustix::fs::{Access, AtFlags, CWD};
use rustix::pipe::{PipeFlags, pipe_with};

use crate::error::{Attempt, Error, Kind, Result};
use crate::launch::program::c_string;
use crate::sys;
use crate::sys::clone::{Clone3, Forked, clone3, exit_now};

/// What a URI asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Logger {
    program: PathBuf,
    args: Vec<String>,
    /// `binary-v2`: to be ready it writes a byte, too.
    says_so: bool,
}

/// One that was started.
#[derive(Debug)]
pub(super) struct Started {
    /// Standard output and error of the process that it listens to.
    pub(super) given: [OwnedFd; 2],
    /// The program itself.
    pub(super) pidfd: OwnedFd,
    /// What [`Readiness::wait`] waits for.
    pub(super) readiness: Readiness,
}

/// Tells when a logging program is ready.
#[derive(Debug)]
pub(super) struct Readiness {
    pub(super) fd: OwnedFd,
    says_so: bool,
}

impl Readiness {
    /// Waits until it is.
    ///
    /// # Errors
    /// When it ends before it has said so, where it has to.
    pub(super) fn wait(&self) -> Result<()> {
        let read = rustix::io::retry_on_intr(|| rustix::io::read(&self.fd, &mut [0u8]));
        match read.attempt(|| "wait for the logging program")? {
            0 if self.says_so => Err(Error::new(Kind::Died, "the logging program ended before it was ready")),
            _ => Ok(()),
        }
    }
}

impl Logger {
    /// Of what is behind `binary://` or `binary-v2://`.
    pub(super) fn parse(scheme: &str, rest: &str) -> Option<Logger> {
        let says_so = match scheme {
            "binary" => false,
            "binary-v2" => true,
            _ => return None,
        };
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let mut args = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            args.extend([decoded(&key.replace('+', " ")), decoded(&value.replace('+', " "))]);
        }
        Some(Logger { program: decoded(path).into(), args, says_so })
    }

    /// Starts it for a process `id`.
    ///
    /// # Errors
    /// When there is no such program, and as clone(2).
    pub(super) fn start(&self, id: &str, namespace: &str) -> Result<Started> {
        let name = self.program.display();
        rustix::fs::accessat(CWD, &self.program, Access::EXEC_OK, AtFlags::EACCESS)
            .attempt(|| format!("start the logging program {name}"))?;
        let pipe = || pipe_with(PipeFlags::CLOEXEC).attempt(|| "create a pipe");
        let ((out, stdout), (err, stderr), (ready, tell)) = (pipe()?, pipe()?, pipe()?);
        let file = c_string(self.program.as_os_str().as_encoded_bytes(), "logging program")?;
        let words = self.args.iter().map(|word| c_string(word.as_str(), "logging program's argument"));
        let args = std::iter::once(Ok(file.clone())).chain(words).collect::<Result<Vec<CString>>>()?;
        let env = [format!("CONTAINER_ID={id}"), format!("CONTAINER_NAMESPACE={namespace}")];
        let env = env.into_iter().map(|entry| c_string(entry, "variable")).collect::<Result<Vec<CString>>>()?;
        let how = Clone3 { pidfd: true, ..Clone3::default() };
        match clone3(&how).attempt(|| format!("start the logging program {name}"))? {
            Forked::Child => {
                sys::signal::unblock_all();
                sys::signal::default_sigpipe();
                if sys::fd::place(&[out.as_fd(), err.as_fd(), tell.as_fd()], 3).is_ok() {
                    let _ = nix::unistd::execve(&file, &args, &env);
                }
                exit_now(127)
            }
            Forked::Parent(_, pidfd) => Ok(Started {
                given: [stdout, stderr],
                pidfd: pidfd.expect("a pidfd was asked for"),
                readiness: Readiness { fd: ready, says_so: self.says_so },
            }),
        }
    }
}

/// `%41` as `A`.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        let code = (*byte == b'%').then(|| after.get(..2)).flatten();
        let code = code.and_then(|code| u8::from_str_radix(std::str::from_utf8(code).ok()?, 16).ok());
        (rest, bytes) = match code {
            Some(code) => (&after[2..], [bytes, vec![code]].concat()),
            None => (after, [bytes, vec![*byte]].concat()),
        };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uri_has_a_program_and_its_arguments() {
        let logger = Logger::parse("binary", "/usr/bin/log%20it?tag=a%2Fb+c&verbose").unwrap();
        assert_eq!(logger.program, PathBuf::from("/usr/bin/log it"));
        assert_eq!(logger.args, ["tag", "a/b c", "verbose", ""]);
        assert!(!logger.says_so && Logger::parse("binary-v2", "/x").unwrap().says_so);
        assert_eq!(Logger::parse("https", "/x"), None);
        assert_eq!(decoded("100%"), "100%");
    }
}
