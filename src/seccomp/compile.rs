//! From a profile to a program: what every number of every architecture comes to, as libseccomp and runc have it.

use super::arch::{Abi, Arch, X32_BIT};
use super::assemble::{Assembler, Target, Test};
use super::decision::{self, ARGUMENTS, Alternative, Words};
use super::program::Program;
use super::{Action, Comparison, Profile, Rule, tree};
use crate::{Error, Result};

/// Offsets in `struct seccomp_data` (linux/seccomp.h).
const OFFSET_OF_NUMBER: u32 = 0;
const OFFSET_OF_ARCH: u32 = 4;

/// For calls of an architecture that the profile does not name, as libseccomp's default is.
const BAD_ARCHITECTURE: Target = Target::Return(0);

/// For calls newer than those that the profile knows: programs then try what they did before the call was there.
const NOT_IMPLEMENTED: Target = Target::Return(Action::Errno(libc::ENOSYS as u16).value());

/// Compiles a profile for this machine.
///
/// Pure: no system call is made, so it can be done long before the program is loaded.
///
/// # Errors
/// [`Kind::Invalid`](crate::error::Kind) for a profile that no filter can express: a default action of
/// [`Action::Notify`], an argument beyond the sixth, or more rules than the kernel's 4,096 instructions hold.
pub fn compile(profile: &Profile) -> Result<Program> {
    compile_for(profile, Arch::NATIVE)
}

/// [`compile`] for a machine whose native architecture is `native`.
pub fn compile_for(profile: &Profile, native: Arch) -> Result<Program> {
    if profile.default_action == Action::Notify {
        return Err(Error::invalid("seccomp: SCMP_ACT_NOTIFY cannot be used as default action"));
    }
    for condition in profile.rules.iter().flat_map(|rule| &rule.conditions) {
        if usize::from(condition.argument) >= ARGUMENTS {
            return Err(Error::invalid(format!(
                "seccomp: condition on argument {}, system calls have arguments 0 to 5",
                condition.argument
            )));
        }
    }
    let mut archs = vec![native];
    for &arch in &profile.architectures {
        if !archs.contains(&arch) {
            archs.push(arch);
        }
    }

    let mut assembler = Assembler::with_capacity(512);
    // Written from the end: the native architecture comes last, and so first in the program.
    let mut entries: Vec<(u32, Target)> = Vec::with_capacity(archs.len());
    for &arch in archs.iter().rev() {
        let token = arch.token();
        if entries.iter().all(|&(of, _)| of != token) {
            let same: Vec<Arch> = archs.iter().copied().filter(|other| other.token() == token).collect();
            entries.push((token, architecture(&mut assembler, profile, &same)));
        }
    }
    entries.sort_by_key(|&(token, _)| token == native.token());
    let root = entries.iter().fold(BAD_ARCHITECTURE, |otherwise, &(token, entry)| {
        Target::Label(assembler.branch(Test::Equal, token, entry, otherwise))
    });
    assembler.enter(root, OFFSET_OF_ARCH);
    Ok(Program::new(assembler.finish()?, profile))
}

/// Code for the architectures of one audit token: one, or x86_64 and x32, told apart by a bit of the number.
fn architecture(assembler: &mut Assembler, profile: &Profile, archs: &[Arch]) -> Target {
    let mut ranges = tree::Ranges::default();
    let calls: Vec<Calls> = archs.iter().map(|&arch| Calls::of(profile, arch, assembler)).collect();
    let find = |wanted| archs.iter().position(|&arch| arch == wanted).map(|at| &calls[at]);
    match (find(Arch::X86_64), find(Arch::X32)) {
        (None, None) => calls[0].cover(&mut ranges, 0),
        (x86_64, x32) => {
            match x86_64 {
                Some(x86_64) => x86_64.cover(&mut ranges, 0),
                None => ranges.from(0, BAD_ARCHITECTURE),
            }
            match x32 {
                Some(x32) => x32.cover(&mut ranges, X32_BIT),
                None => ranges.from(X32_BIT, BAD_ARCHITECTURE),
            }
            // Neither has numbers this high. libseccomp takes all of them for x32's; but runc's answer for what is too new
            // comes before, and goes by the bit alone.
            let high = if x32.is_some() { x86_64.or(x32).map(|calls| calls.otherwise) } else { None };
            let high = high.unwrap_or(BAD_ARCHITECTURE);
            let beyond = |calls: Option<&Calls>| calls.and_then(Calls::beyond).unwrap_or(high);
            ranges.from(0x8000_0000, beyond(x86_64));
            ranges.from(0xC000_0000, beyond(x32));
            // A tracer makes the kernel skip a call by setting its number to -1: that must not kill.
            if let (Some(x86_64), None) = (x86_64, x32) {
                ranges.from(u32::MAX, x86_64.otherwise);
            }
        }
    }
    let root = ranges.write(assembler);
    assembler.enter(root, OFFSET_OF_NUMBER)
}

/// What one architecture's calls come to.
struct Calls {
    /// In the order of numbers; chains of tests are written already.
    outcomes: Vec<(u32, Target)>,
    /// For every other number up to the newest.
    otherwise: Target,
    /// The newest number that the profile knows, if what is newer is not implemented.
    newest: Option<u32>,
}

/// A rule for one number.
#[derive(Clone, Copy)]
struct Call<'a> {
    number: u32,
    /// Through socketcall(2) or ipc(2): the value of the first argument.
    through: Option<u32>,
    rule: &'a Rule,
}

impl Calls {
    fn of(profile: &Profile, arch: Arch, assembler: &mut Assembler) -> Calls {
        let abi = arch.abi();
        let (calls, newest) = gather(profile, &abi);
        // A profile that lets through what it does not name has no opinion of newer calls; and a tracer answers for itself.
        let permissive = matches!(profile.default_action, Action::Allow | Action::Log | Action::Trace(_));
        let newest = newest.filter(|_| !permissive);

        let words = Words { wide: abi.wide, big_endian: abi.big_endian };
        let mut chains: Vec<(Vec<Alternative>, Target)> = Vec::new();
        let mut outcomes = Vec::with_capacity(calls.len());
        // s390 makes calls of high numbers through number 0: those that the kernel does not know arrive as such.
        let setup = (matches!(arch, Arch::S390 | Arch::S390x) && newest.is_some()).then_some((0, NOT_IMPLEMENTED));
        outcomes.extend(setup);
        for calls in calls.chunk_by(|a, b| a.number == b.number) {
            let number = calls[0].number;
            if number == 0 && setup.is_some() {
                continue;
            }
            let target = match unconditional(calls, words) {
                Some(action) => Target::Return(action.value()),
                None => {
                    let alternatives: Vec<Alternative> =
                        calls.iter().flat_map(|call| call.alternatives(words)).collect();
                    match chains.iter().find(|(written, _)| *written == alternatives) {
                        Some(&(_, target)) => target,
                        None => {
                            let ordered = decision::in_order(&alternatives, words);
                            let target = decision::write(assembler, &ordered, profile.default_action, words);
                            chains.push((alternatives, target));
                            target
                        }
                    }
                }
            };
            outcomes.push((number, target));
        }
        Calls { outcomes, otherwise: Target::Return(profile.default_action.value()), newest }
    }

    /// Ranges for all of these calls, from number `start` on.
    fn cover(&self, ranges: &mut tree::Ranges, start: u32) {
        ranges.from(start, self.otherwise);
        for &(number, target) in &self.outcomes {
            ranges.from(number, target);
            ranges.from(number + 1, self.otherwise);
        }
        if let Some(newest) = self.newest {
            ranges.from(newest + 1, NOT_IMPLEMENTED);
        }
    }

    /// For numbers beyond all that the profile knows, if there is an answer of their own.
    fn beyond(&self) -> Option<Target> {
        self.newest.map(|_| NOT_IMPLEMENTED)
    }
}

/// The rules by number (those for one number in the profile's order), and the newest number that the profile names.
///
/// That is runc's rule but for calls that can be made through socketcall(2) or ipc(2) too: of them libseccomp tells runc
/// no number, and a profile that names no other call as new has runc refuse what it allows.
fn gather<'a>(profile: &'a Profile, abi: &Abi) -> (Vec<Call<'a>>, Option<u32>) {
    let mut calls = Vec::with_capacity(profile.rules.iter().map(|rule| rule.syscalls.len()).sum::<usize>() + 32);
    let mut newest = 0;
    for rule in &profile.rules {
        // A rule that does nothing of its own is left out, but what it names is known.
        let counts = rule.action != profile.default_action;
        for &syscall in &rule.syscalls {
            if let Some(number) = syscall.number_in(abi.column) {
                let number = number + abi.base;
                newest = newest.max(number);
                if counts {
                    calls.push(Call { number, through: None, rule });
                }
            }
            if abi.multiplexes
                && let Some((multiplexer, call)) = syscall.multiplexed()
            {
                let number = multiplexer.number() + abi.base;
                newest = newest.max(number);
                if counts {
                    calls.push(Call { number, through: Some(call), rule });
                }
            }
        }
    }
    calls.sort_by_key(|call| call.number);
    (calls, (newest != 0).then_some(newest))
}

/// The action of the first rule that asks for nothing: no other rule for the number matters then.
fn unconditional(calls: &[Call<'_>], words: Words) -> Option<Action> {
    let free = |call: &&Call<'_>| {
        call.through.is_none()
            && (call.rule.conditions.is_empty()
                || call.alternatives(words).any(|alternative| alternative.comparisons.iter().all(Option::is_none)))
    };
    calls.iter().find(free).map(|call| call.rule.action)
}

impl<'a> Call<'a> {
    /// The sets of comparisons of which one must hold: one set, or one a condition where an argument is named twice.
    fn alternatives(self, words: Words) -> impl Iterator<Item = Alternative> + use<'a> {
        let Rule { conditions, action, .. } = self.rule;
        let mut named = [false; ARGUMENTS];
        let twice = conditions.iter().any(|condition| {
            let argument = usize::from(condition.argument);
            std::mem::replace(&mut named[argument], true)
        });
        let size = if twice { 1 } else { conditions.len().max(1) };
        let alternative = move |conditions: &[super::Condition]| {
            let mut comparisons: [Option<Comparison>; ARGUMENTS] = [None; ARGUMENTS];
            for condition in conditions {
                if !condition.comparison.is_tautology(words) {
                    comparisons[usize::from(condition.argument)] = Some(condition.comparison);
                }
            }
            if let Some(call) = self.through {
                // As in libseccomp: the rule's other comparisons see the arguments of the multiplexer.
                comparisons[0] = Some(Comparison::Equal(u64::from(call)));
            }
            Alternative { comparisons, action: *action }
        };
        let none = conditions.is_empty().then(|| alternative(&[]));
        none.into_iter().chain(conditions.chunks(size).map(alternative))
    }
}
