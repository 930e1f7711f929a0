//! Seccomp filters compiled from names and rules, without libseccomp.
//!
//! ```text
//! Profile ─ resolve ──▶ one outcome per number ─ tree ──▶ ┐
//!            │                                            ├─ assemble ──▶ Program ─▶ seccomp(2)
//!            └──▶ conditions ─ decision ──▶ tests ───────▶ ┘
//! ```
//!
//! A filter decides by architecture, then by number, then by arguments. The numbers of one architecture become ranges
//! that are told apart by one balanced tree; that is what keeps a filter of 400 names at some 300 instructions, a third
//! of libseccomp's, and cheap for the kernel to check and load. What a profile *means* is libseccomp's and runc's
//! business, followed to the letter: `tests/seccomp_oracle` proves that both decide alike.

mod arch;
mod assemble;
mod compile;
mod decision;
#[cfg(test)]
mod emulate;
pub mod notify;
mod program;
mod syscalls;
#[cfg(test)]
mod tests;
mod tree;

pub use crate::sys::seccomp::Instruction;
pub use arch::Arch;
pub use compile::{compile, compile_for};
pub use program::Program;
pub use syscalls::Syscall;

/// What a filter is to do: [`compile`] makes a [`Program`] of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// For every call that no rule matches. Must not be [`Action::Notify`].
    pub default_action: Action,
    /// Architectures that programs may use besides the native one, which is always there. Calls of any other kill the
    /// thread.
    pub architectures: Vec<Arch>,
    /// How the filter is to be loaded.
    pub flags: Flags,
    /// In the profile's order. Where rules for one call disagree, an unconditional rule beats those with conditions, the
    /// first unconditional one the others, and among those with conditions libseccomp's order decides.
    pub rules: Vec<Rule>,
    /// Where the listener for [`Action::Notify`] is to be sent.
    pub listener: Option<Listener>,
}

impl Profile {
    /// A profile that does `default_action` for every call of the native architecture.
    pub fn new(default_action: Action) -> Profile {
        Profile { default_action, architectures: vec![], flags: Flags::default(), rules: vec![], listener: None }
    }

    /// Whether a rule hands calls to a listener; loading the program yields its file descriptor then.
    pub fn notifies(&self) -> bool {
        self.rules.iter().any(|rule| rule.action == Action::Notify)
    }
}

/// An action for some system calls when their arguments meet all conditions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// What it is for; a call that an architecture lacks is skipped there.
    pub syscalls: Vec<Syscall>,
    /// What to do. A rule that does the same as the profile's default is as good as absent, as in runc.
    pub action: Action,
    /// All must hold. But where two are about the same argument, each alone suffices, as in runc.
    pub conditions: Vec<Condition>,
}

/// A comparison of one argument of a system call, as unsigned numbers; of its low 32 bits where the architecture's
/// arguments have no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Condition {
    /// Which argument, 0 to 5.
    pub argument: u8,
    /// What must hold for it.
    pub comparison: Comparison,
}

/// How an argument compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// `SCMP_CMP_NE`
    NotEqual(u64),
    /// `SCMP_CMP_LT`
    Less(u64),
    /// `SCMP_CMP_LE`
    LessOrEqual(u64),
    /// `SCMP_CMP_EQ`
    Equal(u64),
    /// `SCMP_CMP_GE`
    GreaterOrEqual(u64),
    /// `SCMP_CMP_GT`
    Greater(u64),
    /// `SCMP_CMP_MASKED_EQ`: equal in the bits of `mask`.
    MaskedEqual {
        /// The bits that count.
        mask: u64,
        /// What they are compared with; its other bits do not count.
        value: u64,
    },
}

/// What the kernel does with a system call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Ends the thread (`SCMP_ACT_KILL`, `SCMP_ACT_KILL_THREAD`).
    KillThread,
    /// Ends the process.
    KillProcess,
    /// Sends SIGSYS.
    Trap,
    /// Fails the call with this errno.
    Errno(u16),
    /// Tells the tracer, with this message; without one the call fails with ENOSYS.
    Trace(u16),
    /// Lets the call through.
    Allow,
    /// Lets the call through and logs it.
    Log,
    /// Hands the call to the listener.
    Notify,
}

impl Action {
    /// What a filter returns for it: `SECCOMP_RET_*` with its data, see seccomp(2).
    pub const fn value(self) -> u32 {
        match self {
            Action::KillProcess => 0x8000_0000,
            Action::KillThread => 0x0000_0000,
            Action::Trap => 0x0003_0000,
            Action::Errno(errno) => 0x0005_0000 | errno as u32,
            Action::Notify => 0x7fc0_0000,
            Action::Trace(message) => 0x7ff0_0000 | message as u32,
            Action::Log => 0x7ffc_0000,
            Action::Allow => 0x7fff_0000,
        }
    }
}

/// How a filter is loaded: the flags of seccomp(2) that a profile can ask for.
///
/// TSYNC is not among them: the process that loads a filter has one thread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// Log every action but allow (`SECCOMP_FILTER_FLAG_LOG`, Linux 4.14).
    pub log: bool,
    /// Leave speculative store bypass on (`SECCOMP_FILTER_FLAG_SPEC_ALLOW`, Linux 4.17).
    pub spec_allow: bool,
    /// A process whose call the listener has received can only be killed, not interrupted
    /// (`SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV`, Linux 5.19). Means nothing without a rule that notifies.
    pub wait_killable_recv: bool,
}

/// Who receives the listener's file descriptor: see [`notify::send`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// A Unix stream socket that the agent listens on.
    pub path: std::path::PathBuf,
    /// Passed to the agent as it is.
    pub metadata: Option<String>,
}
