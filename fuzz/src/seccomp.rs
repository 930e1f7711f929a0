//! Seccomp profiles: what a program of ours decides is what the profile means, and what libseccomp decides.

#[path = "../../src/seccomp/emulate.rs"]
mod emulate;
#[path = "../../tests/seccomp_oracle/meaning.rs"]
mod meaning;
#[allow(dead_code)]
#[path = "../../tests/seccomp_oracle/profiles.rs"]
mod profiles;
#[allow(dead_code)]
#[path = "../../tests/seccomp_oracle/reference.rs"]
mod reference;

use emulate::{SystemCall, run};
use meaning::{judge, meanings};
use nskit::container::spec::seccomp::from_text;
use nskit::seccomp::{Action, Arch, Condition, Instruction, Profile, Rule, Syscall, compile_for};
use profiles::{Actions, EDGES, HIGH_HALVES, MACHINES, arguments, comparison, judged, names};
use reference::Reference;

use super::is_clear;

/// How many system calls are asked about, of a profile that names many.
const MOST_CALLS: usize = 4000;

/// The text of a profile, or of a configuration that has one.
pub fn check(data: &[u8]) {
    match from_text(data) {
        Err(error) => is_clear(&error),
        Ok(profile) => {
            let before = Reference::without_rules(&profile, Arch::X86_64);
            match compile_for(&profile, Arch::X86_64) {
                Err(error) => is_clear(&error),
                Ok(program) => decides(&profile, Arch::X86_64, program.instructions(), &before, None),
            }
        }
    }
}

/// A profile made of the bytes: one of those whose rules are libseccomp's to judge.
pub fn check_with_libseccomp(data: &[u8]) {
    let mut bytes = Bytes(data.iter());
    let actions = if bytes.next() % 2 == 0 { Actions::Agreeing } else { Actions::Any };
    let most = if let Actions::Any = actions { 2 } else { 3 };
    let (native, others) = bytes.one_of(&MACHINES);
    let high = bytes.one_of(&HIGH_HALVES);
    let default = bytes.action();
    if default == Action::Notify {
        return;
    }
    let known = names();
    let agreed: Vec<Action> = known.iter().map(|_| bytes.action()).collect();
    let mut profile = Profile { architectures: others.to_vec(), ..Profile::new(default) };
    while bytes.0.len() > 0 && profile.rules.len() < 10 {
        let mut syscalls: Vec<Syscall> = (0..=bytes.next() % 3).map(|_| bytes.one_of(&known)).collect();
        syscalls.dedup();
        let action = bytes.action();
        let conditions = (0..bytes.next() % (most + 1)).map(|_| bytes.condition()).collect();
        profile.rules.push(Rule { syscalls, action, conditions });
    }
    let profile = judged(profile, actions, &agreed, high);
    let Ok(program) = compile_for(&profile, native) else { return };
    let before = Reference::without_rules(&profile, native);
    let theirs = Reference::new(&profile, native, 2);
    decides(&profile, native, program.instructions(), &before, theirs.as_ref());
}

/// Choices by bytes; zeros behind the last.
struct Bytes<'a>(std::slice::Iter<'a, u8>);

impl Bytes<'_> {
    fn next(&mut self) -> u8 {
        self.0.next().copied().unwrap_or(0)
    }

    fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[usize::from(self.next()) % choices.len()]
    }

    fn action(&mut self) -> Action {
        self.one_of(&[
            Action::Allow,
            Action::Errno(1),
            Action::Errno(22),
            Action::Errno(38),
            Action::KillThread,
            Action::KillProcess,
            Action::Trap,
            Action::Trace(7),
            Action::Log,
            Action::Notify,
        ])
    }

    fn value(&mut self) -> u64 {
        match self.next() {
            0xFF => u64::from_le_bytes([(); 8].map(|()| self.next())),
            edge => EDGES[usize::from(edge) % EDGES.len()],
        }
    }

    fn condition(&mut self) -> Condition {
        let (argument, operator) = (self.next() % 6, self.next() % 7);
        Condition { argument, comparison: comparison(operator, self.value(), self.value()) }
    }
}

fn decides(profile: &Profile, native: Arch, ours: &[Instruction], before: &Reference, theirs: Option<&Reference>) {
    let big_endian = native.token() & 0x4000_0000 == 0;
    // A machine has one byte order.
    let is_possible = |arch: &Arch| (arch.token() & 0x4000_0000 == 0) == big_endian;
    let archs = std::iter::once(native).chain(profile.architectures.iter().copied()).filter(is_possible);
    let arguments = arguments(profile);
    let mut left = MOST_CALLS;
    for arch in archs {
        for syscall in profile.rules.iter().flat_map(|rule| &rule.syscalls) {
            let Some(number) = syscall.number(arch) else { continue };
            for number in [number, number.wrapping_sub(1), number.wrapping_add(1), number ^ 0x4000_0000] {
                for arguments in &arguments {
                    if left == 0 {
                        return;
                    }
                    left -= 1;
                    let call = SystemCall { number, token: arch.token(), arguments: *arguments, big_endian };
                    let (result, _) = run(ours, &call);
                    let meant = meanings(profile, native, &call, before);
                    let wanted = judge(&meant, theirs.map(|theirs| theirs.decide(&call)), result);
                    assert_eq!(wanted, Ok(()), "{call:x?} on {native:?}: {result:#x} of {profile:?}");
                }
            }
        }
    }
}
