//! The descriptors that a program inherits from the runtime's caller: those of socket activation (sd_listen_fds(3)), and those
//! of `--preserve-fds`.

use crate::container::spec::process::Process;
use crate::error::{Attempt, Error, Result};
use crate::sys::fd::{is_inherited, occupy};

/// How many descriptors from 3 on a program inherits. Some of the numbers may stand for none.
#[derive(Clone, Copy, Debug)]
pub struct Inherited {
    /// Those of socket activation, which come first.
    listening: u32,
    /// Those that the caller asks for.
    preserved: u32,
}

impl Inherited {
    /// Looks for them, for a container's first process (`activated` by sockets) or another. Nothing else of this process gets
    /// a number between theirs from here on, so call it first.
    ///
    /// # Errors
    /// When the last of `preserved` is not open, and as eventfd(2) and dup3(2).
    pub fn find(preserved: u32, activated: bool) -> Result<Inherited> {
        // Variables may be a left-over: of a service whose own children do not get its sockets.
        let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u32>().ok());
        let is_meant = activated && number("LISTEN_PID").is_some_and(|pid| pid == std::process::id());
        let listening = if is_meant { number("LISTEN_FDS") } else { None };
        let listening = listening.filter(|count| (3..).take(*count as usize).all(is_inherited)).unwrap_or(0);
        let first = 3 + listening as i32;
        let last = first.saturating_add_unsigned(preserved.saturating_sub(1));
        if preserved > 0 && !is_inherited(last) {
            return Err(Error::invalid(format!(
                "preserved file descriptor {last} (the last of {preserved}) is not open: --preserve-fds counts from 3 on"
            )));
        }
        if preserved > 0 {
            occupy(first..last)
                .attempt(|| format!("keep the numbers between preserved file descriptors {first} and {last}"))?;
        }
        Ok(Inherited { listening, preserved })
    }

    /// How many numbers from 3 on.
    pub fn count(self) -> u32 {
        self.listening + self.preserved
    }

    /// Tells the container's first process of the sockets among them.
    ///
    /// # Errors
    /// As [`Process::add_variable`].
    pub fn announce(self, process: &mut Process) -> Result<()> {
        if self.listening == 0 {
            return Ok(());
        }
        process.add_variable(format!("LISTEN_FDS={}", self.listening))?;
        process.add_variable("LISTEN_PID=1".to_owned())?;
        match std::env::var("LISTEN_FDNAMES") {
            Ok(names) => process.add_variable(format!("LISTEN_FDNAMES={names}")),
            Err(_) => Ok(()),
        }
    }
}
