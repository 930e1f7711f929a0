//! The one error type: what was attempted, on what, and why it failed.

use std::borrow::Cow;
use std::fmt;

pub use rustix::io::Errno;

/// Result of everything in this library that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What callers tell failures apart by. Everything else about an [`Error`] is for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// A system call failed; [`Error::errno`] says how.
    Os,
    /// What the caller gave (a configuration, an option, an id) is not valid.
    Invalid,
    /// The thing that was named (a container, a process) is not there.
    NotFound,
    /// The thing to be made is already there.
    Exists,
    /// The container is not in a state that allows this.
    State,
    /// The kernel or this machine lacks what was asked for.
    Unsupported,
    /// The program to run could not be found or executed.
    Program,
    /// A process that was needed went away.
    Died,
    /// A signal asked this process to end.
    Interrupted,
}

impl Kind {
    /// The kind whose `repr` is `n`: kinds travel between processes as one byte.
    pub fn from_u8(n: u8) -> Kind {
        const ALL: [Kind; 9] = [
            Kind::Os,
            Kind::Invalid,
            Kind::NotFound,
            Kind::Exists,
            Kind::State,
            Kind::Unsupported,
            Kind::Program,
            Kind::Died,
            Kind::Interrupted,
        ];
        ALL.get(usize::from(n)).copied().unwrap_or(Kind::Os)
    }
}

/// What was attempted, on what (`mount proc on /proc`), and why it failed (an errno, or a sentence).
///
/// Displays as one line: `mount proc on /proc: Operation not permitted`.
#[derive(Debug, Clone, thiserror::Error)]
pub struct Error {
    kind: Kind,
    errno: Option<Errno>,
    message: Cow<'static, str>,
}

impl Error {
    /// A system call failed with `errno`; `attempted` names the call's purpose and its object.
    pub fn os(errno: impl Into<Errno>, attempted: impl Into<Cow<'static, str>>) -> Error {
        Error { kind: Kind::Os, errno: Some(errno.into()), message: attempted.into() }
    }

    /// A failure of another kind; `message` is a whole sentence without a full stop.
    pub fn new(kind: Kind, message: impl Into<Cow<'static, str>>) -> Error {
        Error { kind, errno: None, message: message.into() }
    }

    /// What the caller gave is not valid.
    pub fn invalid(message: impl Into<Cow<'static, str>>) -> Error {
        Error::new(Kind::Invalid, message)
    }

    /// The kernel or this machine lacks what was asked for.
    pub fn unsupported(message: impl Into<Cow<'static, str>>) -> Error {
        Error::new(Kind::Unsupported, message)
    }

    /// An I/O error: an errno where there is one, else its text.
    pub fn io(error: &std::io::Error, attempted: impl fmt::Display) -> Error {
        match Errno::from_io_error(error) {
            Some(errno) => Error::os(errno, attempted.to_string()),
            None => Error::new(Kind::Os, format!("{attempted}: {error}")),
        }
    }

    /// The same failure with `outer` in front: `outer: message: cause`.
    #[must_use]
    pub fn context(mut self, outer: impl fmt::Display) -> Error {
        self.message =
            Cow::Owned(if self.message.is_empty() { outer.to_string() } else { format!("{outer}: {}", self.message) });
        self
    }

    /// The same failure told apart differently.
    #[must_use]
    pub fn with_kind(mut self, kind: Kind) -> Error {
        self.kind = kind;
        self
    }

    /// The same failure with an errno that says why.
    #[must_use]
    pub fn with_errno(mut self, errno: impl Into<Errno>) -> Error {
        self.errno = Some(errno.into());
        self
    }

    /// What to tell failures apart by.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Whether what was named is not there, or no more.
    pub fn is_not_found(&self) -> bool {
        self.kind == Kind::NotFound || matches!(self.errno, Some(Errno::NOENT | Errno::NODEV))
    }

    /// Whether this user may not.
    pub fn is_denied(&self) -> bool {
        matches!(self.errno, Some(Errno::PERM | Errno::ACCESS))
    }

    /// The errno of the system call that failed, if one did.
    pub fn errno(&self) -> Option<Errno> {
        self.errno
    }

    /// As it displays, but with the errno's text in lower case, as Go programs print it: engines look for these.
    pub fn as_go_prints_it(&self) -> String {
        match self.errno {
            Some(errno) => format!("{}: {}", self.message, go_text(errno)),
            None => self.message.to_string(),
        }
    }

    /// What was attempted, without the errno's text.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match self.errno {
            Some(errno) if self.message.is_empty() => f.write_str(&strerror(errno)),
            Some(errno) => write!(f, ": {}", strerror(errno)),
            None => Ok(()),
        }
    }
}

/// The C library's text for an errno, as strerror(3) gives it: scripts and engines match these.
pub fn strerror(errno: Errno) -> String {
    let mut text = std::io::Error::from_raw_os_error(errno.raw_os_error()).to_string();
    if let Some(end) = text.rfind(" (os error") {
        text.truncate(end);
    }
    text
}

/// An errno's text as Go programs print it.
pub fn go_text(errno: Errno) -> String {
    let mut text = strerror(errno);
    if let Some(first) = text.get_mut(..1) {
        first.make_ascii_lowercase();
    }
    text
}

/// `message`, or when it is longer than any of ours its beginning, which says what was attempted, and its end, which says
/// why it failed.
pub fn shortened(message: &str) -> Cow<'_, str> {
    const LONGEST: usize = 2048;
    if message.len() <= LONGEST {
        return message.into();
    }
    let (mut head, mut tail) = (LONGEST / 2, message.len() - LONGEST / 4);
    while !message.is_char_boundary(head) {
        head -= 1;
    }
    while !message.is_char_boundary(tail) {
        tail += 1;
    }
    format!("{} [{} bytes left out] {}", &message[..head], tail - head, &message[tail..]).into()
}

/// Adds what was attempted to a bare errno or an I/O error.
pub trait Attempt<T> {
    /// `attempted` names the purpose and the object: `mount proc on /proc`. It is made only on failure.
    fn attempt<S: Into<Cow<'static, str>>>(self, attempted: impl FnOnce() -> S) -> Result<T>;
}

impl<T> Attempt<T> for std::result::Result<T, Errno> {
    fn attempt<S: Into<Cow<'static, str>>>(self, attempted: impl FnOnce() -> S) -> Result<T> {
        self.map_err(|errno| Error::os(errno, attempted()))
    }
}

impl<T> Attempt<T> for nix::Result<T> {
    fn attempt<S: Into<Cow<'static, str>>>(self, attempted: impl FnOnce() -> S) -> Result<T> {
        self.map_err(|errno| Error::os(Errno::from_raw_os_error(errno as i32), attempted()))
    }
}

impl<T> Attempt<T> for std::io::Result<T> {
    fn attempt<S: Into<Cow<'static, str>>>(self, attempted: impl FnOnce() -> S) -> Result<T> {
        self.map_err(|error| Error::io(&error, attempted().into()))
    }
}

impl<T> Attempt<T> for Result<T> {
    fn attempt<S: Into<Cow<'static, str>>>(self, attempted: impl FnOnce() -> S) -> Result<T> {
        self.map_err(|error| error.context(attempted().into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn displays_what_was_attempted_and_why_it_failed() {
        let failed: Result<(), Errno> = Err(Errno::PERM);
        let error = failed.attempt(|| "mount proc on /proc").unwrap_err();
        assert_eq!(error.to_string(), "mount proc on /proc: Operation not permitted");
        assert_eq!(error.context("mount 3").to_string(), "mount 3: mount proc on /proc: Operation not permitted");
    }

    #[test]
    fn strerror_has_no_number_behind_it() {
        assert_eq!(strerror(Errno::NOENT), "No such file or directory");
        assert_eq!(strerror(Errno::from_raw_os_error(41)), "Unknown error 41");
    }
}
