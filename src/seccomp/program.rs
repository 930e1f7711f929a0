//! A compiled filter, and loading it.

use std::os::fd::OwnedFd;

use super::{Instruction, Profile};
use crate::sys::seccomp as sys;
use crate::{Error, Result};

/// A filter that is ready to be loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    instructions: Vec<Instruction>,
    flags: u32,
}

impl Program {
    pub(super) fn new(instructions: Vec<Instruction>, profile: &Profile) -> Program {
        let notifies = profile.notifies();
        let mut flags = 0;
        for (wanted, flag) in [
            (profile.flags.log, sys::FLAG_LOG),
            (profile.flags.spec_allow, sys::FLAG_SPEC_ALLOW),
            (notifies, sys::FLAG_NEW_LISTENER),
            // The kernel refuses this flag without a listener, for which alone it means something.
            (notifies && profile.flags.wait_killable_recv, sys::FLAG_WAIT_KILLABLE_RECV),
        ] {
            if wanted {
                flags |= flag;
            }
        }
        log::debug!("seccomp filter flags: {flags}");
        Program { instructions, flags }
    }

    /// Whether it comes with a listener when it is loaded.
    pub fn notifies(&self) -> bool {
        self.flags & sys::FLAG_NEW_LISTENER != 0
    }

    /// So many bytes has the longest that [`Program::encode`] appends: the kernel takes 4,096 instructions (seccomp(2)).
    pub(crate) const LONGEST: usize = 4 + 4096 * size_of::<Instruction>();

    /// Appends it to a message.
    pub(crate) fn encode(&self, mut bytes: Vec<u8>) -> Vec<u8> {
        bytes.reserve(4 + size_of_val(self.instructions.as_slice()));
        bytes.extend_from_slice(&self.flags.to_ne_bytes());
        for Instruction { code, jt, jf, k } in &self.instructions {
            bytes.extend_from_slice(&code.to_ne_bytes());
            bytes.extend_from_slice(&[*jt, *jf]);
            bytes.extend_from_slice(&k.to_ne_bytes());
        }
        bytes
    }

    /// The program of [`Program::encode`].
    pub(crate) fn decode(bytes: &[u8]) -> Option<Program> {
        let (flags, instructions) = bytes.split_first_chunk()?;
        let (instructions, rest) = instructions.as_chunks();
        let instruction = |&[c0, c1, jt, jf, k0, k1, k2, k3]: &[u8; 8]| Instruction {
            code: u16::from_ne_bytes([c0, c1]),
            jt,
            jf,
            k: u32::from_ne_bytes([k0, k1, k2, k3]),
        };
        rest.is_empty().then(|| Program {
            flags: u32::from_ne_bytes(*flags),
            instructions: instructions.iter().map(instruction).collect(),
        })
    }

    /// The filter, as the kernel takes it.
    pub fn instructions(&self) -> &[Instruction] {
        &self.instructions
    }

    /// Whether [`Program::load`] returns a listener.
    pub fn has_listener(&self) -> bool {
        self.flags & sys::FLAG_NEW_LISTENER != 0
    }

    /// Loads the filter into the calling thread, for good: every later system call goes through it, and through all
    /// programs that it executes. Allocates nothing.
    ///
    /// Returns the listener (close-on-exec) where a rule notifies: see seccomp_unotify(2). Mind that a call which the
    /// filter hands to the listener waits until somebody answers there.
    ///
    /// # Errors
    /// EACCES without CAP_SYS_ADMIN in the thread's user namespace and without `no_new_privs`; EBUSY if a filter of the
    /// thread has a listener already; EINVAL if the kernel lacks a flag; ENOSYS without CONFIG_SECCOMP_FILTER.
    pub fn load(&self) -> Result<Option<OwnedFd>> {
        sys::set_filter(self.flags, &self.instructions).map_err(|errno| Error::os(errno, "load the seccomp filter"))
    }
}
