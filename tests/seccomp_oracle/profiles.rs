//! Profiles that nobody would write, for tests and for the fuzz target that compare our filters with libseccomp's.

use nskit::seccomp::{Action, Arch, Comparison, Condition, Profile, Rule, Syscall};
use proptest::prelude::*;

use super::reference::{self, through};

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

pub(crate) const MACHINES: [(Arch, &[Arch]); 9] = [
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

/// Those of them that libseccomp knows.
pub(crate) fn names() -> Vec<Syscall> {
    let known = |name: &&str| Syscall::from_name(name).is_some_and(reference::knows) && *name != "_llseek";
    NAMES.into_iter().filter(known).filter_map(Syscall::from_name).collect()
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
pub(crate) const EDGES: [u64; 16] = [
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

fn value() -> impl Strategy<Value = u64> {
    prop_oneof![8 => prop::sample::select(&EDGES[..]), 1 => any::<u64>()]
}

fn condition() -> impl Strategy<Value = Condition> {
    let comparison = (0..7u8, value(), value()).prop_map(|(operator, value, other)| comparison(operator, value, other));
    (prop_oneof![3 => 0..2u8, 1 => 2..6u8], comparison)
        .prop_map(|(argument, comparison)| Condition { argument, comparison })
}

/// One of the seven comparisons.
pub(crate) fn comparison(operator: u8, value: u64, other: u64) -> Comparison {
    match operator {
        0 => Comparison::NotEqual(value),
        1 => Comparison::Less(value),
        2 => Comparison::LessOrEqual(value),
        3 => Comparison::Equal(value),
        4 => Comparison::GreaterOrEqual(value),
        5 => Comparison::Greater(value),
        _ => Comparison::MaskedEqual { mask: value, value: other },
    }
}

/// Which actions the rules for one call have.
#[derive(Clone, Copy)]
pub(crate) enum Actions {
    /// All the same, so that their order does not matter.
    Agreeing,
    /// Any; and the comparisons are [`tame`].
    Any,
}

pub(crate) fn profile(actions: Actions, conditions: usize) -> impl Strategy<Value = (Profile, Arch)> {
    let rule = (prop::sample::subsequence(names(), 1..4), action(), prop::collection::vec(condition(), 0..=conditions));
    let agreed = prop::collection::vec(action(), NAMES.len());
    let default = action().prop_filter("not by default", |&action| action != Action::Notify);
    let machine = prop::sample::select(MACHINES.to_vec());
    let high = prop::sample::select(&HIGH_HALVES[..]);
    let rule = rule.prop_map(|(syscalls, action, conditions)| Rule { syscalls, action, conditions });
    (prop::collection::vec(rule, 0..10), agreed, default, machine, high).prop_map(
        move |(rules, agreed, default, (native, others), high)| {
            let profile = Profile { architectures: others.to_vec(), rules, ..Profile::new(default) };
            (judged(profile, actions, &agreed, high), native)
        },
    )
}

/// High halves that all values of a profile have.
pub(crate) const HIGH_HALVES: [u64; 3] = [0, 1, 0xFFFF_FFFF];

/// The profile, its rules such that libseccomp is a judge of them: those of one call do what `agreed` has for it, or their
/// comparisons are [`tame`].
pub(crate) fn judged(mut profile: Profile, actions: Actions, agreed: &[Action], high: u64) -> Profile {
    let names = names();
    let agree = |rule: Rule| {
        let conditions = rule.conditions;
        let alone = |syscall: Syscall| {
            let at = names.iter().position(|&name| name == syscall).unwrap();
            // What is made through socketcall(2) or ipc(2) meets there.
            let at = if through(syscall).is_some() || at < 2 { 0 } else { at };
            let at = if ["socketcall", "ipc"].contains(&syscall.name()) { 0 } else { at };
            Rule { syscalls: vec![syscall], action: agreed[at], conditions: conditions.clone() }
        };
        rule.syscalls.into_iter().map(alone).collect::<Vec<_>>()
    };
    match actions {
        Actions::Any => tame(&mut profile, high),
        Actions::Agreeing => profile.rules = profile.rules.into_iter().flat_map(agree).collect(),
    }
    profile
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

/// Arguments at the edges of every comparison of the profile: as many sets as there are edges, other arguments mixed.
pub(crate) fn arguments(profile: &Profile) -> Vec<[u64; 6]> {
    let mut edges = vec![0, 1, u64::from(u32::MAX), 1 << 32, u64::MAX];
    for condition in profile.rules.iter().flat_map(|rule| &rule.conditions) {
        let values = match condition.comparison {
            Comparison::MaskedEqual { mask, value } => vec![value, mask, value & mask, value | !mask, value ^ mask],
            Comparison::NotEqual(value)
            | Comparison::Less(value)
            | Comparison::LessOrEqual(value)
            | Comparison::Equal(value)
            | Comparison::GreaterOrEqual(value)
            | Comparison::Greater(value) => vec![value],
        };
        for value in values {
            let (high, low) = (value >> 32, value & u64::from(u32::MAX));
            edges.extend([value, value.wrapping_sub(1), value.wrapping_add(1), low, high << 32]);
            edges.extend([high.wrapping_add(1) << 32 | low, high.wrapping_sub(1) << 32 | low, low << 32 | high]);
        }
    }
    // And the numbers of calls made through socketcall(2) and ipc(2).
    edges.extend([3, 5, 9, 12, 14, 18, 21, 24]);
    edges.sort_unstable();
    edges.dedup();
    let mut sets = Vec::new();
    for (at, &edge) in edges.iter().enumerate() {
        sets.push([edge; 6]);
        for argument in 0..6 {
            // A small generator, so that a failure is the same the next time.
            let mut seed = (at * 6 + argument) as u64;
            let mut set = [(); 6].map(|()| {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                edges[(seed >> 33) as usize % edges.len()]
            });
            set[argument] = edge;
            sets.push(set);
        }
    }
    sets
}
