//! Profiles that nobody would write, to find what nobody thought of.

use std::cell::Cell;

use nskit::seccomp::{Action, Arch, Comparison, Condition, Profile, Rule, Syscall};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use crate::emulate::SystemCall;
use crate::reference::{self, Reference, multiplexes, through};
use crate::{check, syscalls};

/// Few names, so that rules meet: plain ones, some of one architecture only, some that are made through others.
const NAMES: [&str; 26] = [
    "read",
    "write",
    "restart_syscall",
    "personality",
    "clone",
    "clone3",
    "socket",
    "connect",
    "accept",
    "accept4",
    "sendmmsg",
    "send",
    "semop",
    "shmat",
    "semtimedop",
    "msgctl",
    "socketcall",
    "ipc",
    "setup",
    "_llseek",
    "arch_prctl",
    "set_tls",
    "breakpoint",
    "ioctl",
    "openat2",
    "set_mempolicy_home_node",
];

const MACHINES: [(Arch, &[Arch]); 9] = [
    (Arch::X86_64, &[Arch::X86, Arch::X32]),
    (Arch::X86_64, &[Arch::X32]),
    (Arch::X86_64, &[Arch::X86]),
    (Arch::X86_64, &[Arch::Aarch64, Arch::Arm, Arch::Ppc64le, Arch::Mipsel64, Arch::Mipsel64n32]),
    (Arch::X32, &[Arch::X86]),
    (Arch::Aarch64, &[Arch::Arm]),
    (Arch::S390x, &[Arch::S390]),
    (Arch::Ppc64, &[Arch::Ppc]),
    (Arch::Mips64, &[Arch::Mips, Arch::Mips64n32]),
];

fn names() -> Vec<Syscall> {
    let known = |name: &&str| Syscall::from_name(name).is_some_and(reference::knows) && *name != "_llseek";
    syscalls(&NAMES.into_iter().filter(known).collect::<Vec<_>>())
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        4 => Just(Action::Allow),
        3 => prop::sample::select(vec![1u16, 22, 38]).prop_map(Action::Errno),
        1 => Just(Action::KillThread),
        1 => Just(Action::KillProcess),
        1 => Just(Action::Trap),
        1 => Just(Action::Trace(7)),
        1 => Just(Action::Log),
        1 => Just(Action::Notify),
    ]
}

/// Values that meet each other and the edges of their halves.
fn value() -> impl Strategy<Value = u64> {
    let edges = vec![
        0,
        1,
        2,
        5,
        9,
        0x10,
        0x7FFF_FFFF,
        0x8000_0000,
        0xFFFF_FFFF,
        0x1_0000_0000,
        0x1_0000_0005,
        0x2_0000_0001,
        0x5_0000_0005,
        0xFFFF_FFFF_0000_0000,
        0xFFFF_FFFF_FFFF_FFFE,
        u64::MAX,
    ];
    prop_oneof![8 => prop::sample::select(edges), 1 => any::<u64>()]
}

fn condition() -> impl Strategy<Value = Condition> {
    let comparison = (0..7, value(), value()).prop_map(|(operator, value, other)| match operator {
        0 => Comparison::NotEqual(value),
        1 => Comparison::Less(value),
        2 => Comparison::LessOrEqual(value),
        3 => Comparison::Equal(value),
        4 => Comparison::GreaterOrEqual(value),
        5 => Comparison::Greater(value),
        _ => Comparison::MaskedEqual { mask: value, value: other },
    });
    (prop_oneof![3 => 0..2u8, 1 => 2..6u8], comparison)
        .prop_map(|(argument, comparison)| Condition { argument, comparison })
}

/// Which actions the rules for one call have.
#[derive(Clone, Copy)]
enum Actions {
    /// All the same, so that their order does not matter.
    Agreeing,
    /// Any; and the comparisons are [`tame`].
    Any,
}

fn profile(actions: Actions, conditions: usize) -> impl Strategy<Value = (Profile, Arch)> {
    let rule = (prop::sample::subsequence(names(), 1..4), action(), prop::collection::vec(condition(), 0..=conditions));
    let agreed = prop::collection::vec(action(), NAMES.len());
    let default = action().prop_filter("not by default", |&action| action != Action::Notify);
    let machine = prop::sample::select(MACHINES.to_vec());
    let high = prop::sample::select(vec![0, 1, 0xFFFF_FFFF]);
    (prop::collection::vec(rule, 0..10), agreed, default, machine, high).prop_map(
        move |(rules, agreed, default, (native, others), high)| {
            let names = names();
            let mut profile = Profile { architectures: others.to_vec(), ..Profile::new(default) };
            for (syscalls, action, conditions) in rules {
                match actions {
                    Actions::Any => profile.rules.push(Rule { syscalls, action, conditions }),
                    Actions::Agreeing => profile.rules.extend(syscalls.into_iter().map(|syscall| {
                        let at = names.iter().position(|&name| name == syscall).unwrap();
                        // What is made through socketcall(2) or ipc(2) meets there.
                        let at = if through(syscall).is_some() || at < 2 { 0 } else { at };
                        let at = if ["socketcall", "ipc"].contains(&syscall.name()) { 0 } else { at };
                        Rule { syscalls: vec![syscall], action: agreed[at], conditions: conditions.clone() }
                    })),
                }
            }
            if let Actions::Any = actions {
                tame(&mut profile, high);
            }
            (profile, native)
        },
    )
}

/// What a profile means, said as plainly as can be: what may become of a call. One value, or where conditional rules that
/// disagree apply to it, theirs.
fn meanings(profile: &Profile, native: Arch, call: &SystemCall, reference: &Reference) -> Vec<u32> {
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

/// Each of `cases` generated profiles decides as it reads, and as in libseccomp where reading it leaves a choice.
///
/// libseccomp 2.5 shares code between rules, and forgets at times that it is reached with another argument loaded: where
/// its outcome is none of those that the profile allows, it is no judge.
fn decide_as_in_libseccomp(actions: Actions, conditions: usize) {
    let (choices, wrong) = (Cell::new(0u32), Cell::new(0u32));
    // Always the same profiles: libseccomp's mistakes are not to make a test fail now and then.
    let cases = match actions {
        Actions::Agreeing => cases(),
        // Few of these leave a choice.
        Actions::Any => 5 * cases(),
    };
    let config = Config { failure_persistence: None, ..Config::with_cases(cases) };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let result = runner.run(&profile(actions, conditions), |(profile, native)| {
        let before = Reference::without_rules(&profile, native);
        let reference = Reference::new(&profile, native, 2);
        check(&profile, native, |call, ours| {
            let meant = meanings(&profile, native, call, &before);
            let theirs = reference.as_ref().map(|reference| reference.decide(call));
            let disagree = meant.iter().any(|&other| other != meant[0]);
            match theirs {
                Some(theirs) if meant.contains(&theirs) => {
                    choices.set(choices.get() + u32::from(disagree));
                    if ours == theirs { Ok(()) } else { Err(theirs) }
                }
                _ => {
                    wrong.set(wrong.get() + u32::from(theirs.is_some()));
                    if meant.contains(&ours) { Ok(()) } else { Err(meant[0]) }
                }
            }
        });
        Ok(())
    });
    println!("{} choices, libseccomp wrong {} times", choices.get(), wrong.get());
    if let Err(error) = result {
        panic!("{error}");
    }
    if let Actions::Any = actions {
        let (choices, wrong) = (choices.get(), wrong.get());
        assert!(choices > 1000, "only {choices} calls had a choice: the order of rules was hardly tested");
        assert!(wrong < choices / 100, "libseccomp was wrong {wrong} times: it is no judge of such profiles");
    }
}

/// Makes all comparisons such that libseccomp 2.5 has an order for them, and follows it: with one high half, since it
/// otherwise compares low halves where it means high ones; without masks, which it forgets to take off; "less" with no high
/// half, which before 2.6.1 it merges wrongly (GHSA-4q85-33p6-j5g6); several together only for equality, since of others
/// it may drop the whole rule.
fn tame(profile: &mut Profile, high: u64) {
    use Comparison::{Equal, Greater, GreaterOrEqual, Less, LessOrEqual, MaskedEqual, NotEqual};
    let conditions = profile.rules.iter().flat_map(|rule| &rule.conditions);
    let less = |condition: &Condition| matches!(condition.comparison, Less(_) | LessOrEqual(_));
    let high = if conditions.into_iter().any(less) { 0 } else { high };
    for rule in &mut profile.rules {
        let several = rule.conditions.len() > 1;
        for condition in &mut rule.conditions {
            let tame = |value: u64| high << 32 | u64::from(value as u32);
            condition.comparison = match condition.comparison {
                Equal(value) | MaskedEqual { value, .. } => Equal(tame(value)),
                NotEqual(value) | Less(value) | LessOrEqual(value) | GreaterOrEqual(value) | Greater(value)
                    if several =>
                {
                    Equal(tame(value))
                }
                NotEqual(value) => NotEqual(tame(value)),
                Less(value) => Less(tame(value)),
                LessOrEqual(value) => LessOrEqual(tame(value)),
                GreaterOrEqual(value) => GreaterOrEqual(tame(value)),
                Greater(value) => Greater(tame(value)),
            };
        }
    }
}

/// How many profiles: more with `PROPTEST_CASES`.
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(40)
}

#[test]
fn rules_that_agree_decide_as_they_read_and_as_in_libseccomp() {
    decide_as_in_libseccomp(Actions::Agreeing, 3);
}

#[test]
fn rules_that_disagree_decide_as_in_libseccomp() {
    decide_as_in_libseccomp(Actions::Any, 2);
}
