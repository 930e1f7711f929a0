//! What a profile means, said as plainly as can be.

use nskit::seccomp::{Action, Arch, Comparison, Condition, Profile};

use super::emulate::SystemCall;
use super::reference::{Reference, multiplexes, through};

/// What may become of a call. One value, or where conditional rules that
/// disagree apply to it, theirs.
pub(crate) fn meanings(profile: &Profile, native: Arch, call: &SystemCall, reference: &Reference) -> Vec<u32> {
    let archs: Vec<Arch> = std::iter::once(native).chain(profile.architectures.iter().copied()).collect();
    let arch = match archs.iter().find(|arch| arch.token() == call.token) {
        None => return vec![0],
        Some(Arch::X86_64 | Arch::X32) => match (archs.contains(&Arch::X86_64), archs.contains(&Arch::X32)) {
            (true, true) if call.number < 0x4000_0000 => Arch::X86_64,
            (true, true) => Arch::X32,
            (true, false) => Arch::X86_64,
            (false, _) => Arch::X32,
        },
        Some(&arch) => arch,
    };
    if reference.is_too_new(call) {
        return vec![Action::Errno(38).value()];
    }
    match arch {
        Arch::X86_64 if !archs.contains(&Arch::X32) && (0x4000_0000..u32::MAX).contains(&call.number) => {
            return vec![0];
        }
        Arch::X32 if call.number < 0x4000_0000 => return vec![0],
        _ => {}
    }
    let wide = arch.token() & 0x8000_0000 != 0 && !matches!(arch, Arch::X32 | Arch::Mips64n32 | Arch::Mipsel64n32);
    let base = if matches!(arch, Arch::Mips | Arch::Mipsel) { 4000 } else { 0 };
    let mut applying = Vec::new();
    for rule in profile.rules.iter().filter(|rule| rule.action != profile.default_action) {
        for &syscall in &rule.syscalls {
            let direct = (syscall.number(arch) == Some(call.number)).then_some(None);
            let multiplexed = through(syscall).filter(|&(number, _)| multiplexes(arch) && number + base == call.number);
            for first in direct.into_iter().chain(multiplexed.map(|(_, first)| Some(first))) {
                // The multiplexer's first argument says what is called, and takes the place of the rule's.
                let chosen =
                    |first| holds(&Condition { argument: 0, comparison: Comparison::Equal(first) }, call, wide);
                let holds = |condition: &Condition| match first {
                    Some(first) if condition.argument == 0 => chosen(first),
                    _ => holds(condition, call, wide),
                };
                let twice = (0..6).any(|at| rule.conditions.iter().filter(|c| c.argument == at).count() > 1);
                let holds = match twice {
                    true => rule.conditions.iter().any(holds),
                    false => rule.conditions.iter().all(holds),
                };
                let always = |condition: &Condition| match condition.comparison {
                    Comparison::MaskedEqual { mask, .. } if wide => mask == 0,
                    Comparison::MaskedEqual { mask, .. } => mask as u32 == 0,
                    _ => false,
                };
                let always = match twice {
                    true => rule.conditions.iter().any(always),
                    false => rule.conditions.iter().all(always),
                };
                if first.is_none() && always {
                    return vec![rule.action.value()];
                }
                if holds && first.is_none_or(chosen) {
                    applying.push(rule.action.value());
                }
            }
        }
    }
    if applying.is_empty() { vec![profile.default_action.value()] } else { applying }
}

fn holds(condition: &Condition, call: &SystemCall, wide: bool) -> bool {
    let cut = |value: u64| if wide { value } else { u64::from(value as u32) };
    let argument = cut(call.arguments[usize::from(condition.argument)]);
    match condition.comparison {
        Comparison::NotEqual(value) => argument != cut(value),
        Comparison::Less(value) => argument < cut(value),
        Comparison::LessOrEqual(value) => argument <= cut(value),
        Comparison::Equal(value) => argument == cut(value),
        Comparison::GreaterOrEqual(value) => argument >= cut(value),
        Comparison::Greater(value) => argument > cut(value),
        Comparison::MaskedEqual { mask, value } => argument & cut(mask) == cut(value & mask),
    }
}

/// Whether `ours` is what becomes of a call: what the profile means, and libseccomp's choice where that leaves one.
///
/// libseccomp 2.5 shares code between rules, and forgets at times that it is reached with another argument loaded: where
/// its outcome is none of those that the profile allows, it is no judge.
pub(crate) fn judge(meant: &[u32], theirs: Option<u32>, ours: u32) -> Result<(), u32> {
    match theirs {
        Some(theirs) if meant.contains(&theirs) => {
            if ours == theirs {
                Ok(())
            } else {
                Err(theirs)
            }
        }
        _ => {
            if meant.contains(&ours) {
                Ok(())
            } else {
                Err(meant[0])
            }
        }
    }
}
