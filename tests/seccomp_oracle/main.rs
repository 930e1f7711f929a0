//! Our filters against libseccomp's: whatever a program calls, both decide alike.
//!
//! Every number of every architecture and every comparison at its edges goes through both programs, run by a small
//! emulator. What libseccomp 2.5 gets wrong is named where it is left out, and compared with the profile's meaning instead.

#[path = "../../src/seccomp/emulate.rs"]
mod emulate;
mod generated;
mod meaning;
mod profiles;
mod reference;

use emulate::{SystemCall, run};
use nskit::seccomp::{Action, Arch, Comparison, Condition, Instruction, Profile, Rule, Syscall, compile_for};
use profiles::arguments;
use reference::Reference;

/// The architectures that libseccomp 2.5 has too.
const KNOWN: [Arch; 19] = [
    Arch::X86,
    Arch::X86_64,
    Arch::X32,
    Arch::Arm,
    Arch::Aarch64,
    Arch::Mips,
    Arch::Mips64,
    Arch::Mips64n32,
    Arch::Mipsel,
    Arch::Mipsel64,
    Arch::Mipsel64n32,
    Arch::Ppc,
    Arch::Ppc64,
    Arch::Ppc64le,
    Arch::S390,
    Arch::S390x,
    Arch::Parisc,
    Arch::Parisc64,
    Arch::Riscv64,
];

/// Machines with the other architectures that their programs can have.
const MACHINES: [(Arch, &[Arch]); 10] = [
    (Arch::X86_64, &[Arch::X86, Arch::X32]),
    (Arch::X86_64, &[Arch::X86]),
    (Arch::X86_64, &[]),
    (Arch::X86, &[]),
    (Arch::Aarch64, &[Arch::Arm]),
    (Arch::Riscv64, &[]),
    (Arch::Ppc64le, &[]),
    (Arch::S390x, &[Arch::S390]),
    (Arch::Ppc64, &[Arch::Ppc]),
    (Arch::Parisc64, &[Arch::Parisc]),
];

/// Where libseccomp 2.5's table differs from the kernel's, and from libseccomp 2.6's.
const OUTDATED: [(&str, Arch); 2] = [("map_shadow_stack", Arch::X32), ("_llseek", Arch::Parisc64)];

/// Calls that libseccomp 2.5 has the same numbers for everywhere, and finds again by the numbers that it makes up for those
/// that this machine lacks, as it does not sys_debug_setcontext.
fn shared() -> impl Iterator<Item = Syscall> {
    let differs = |name: &str| name == "sys_debug_setcontext" || OUTDATED.iter().any(|&(outdated, _)| outdated == name);
    Syscall::all().filter(move |&syscall| reference::knows(syscall) && !differs(syscall.name()))
}

#[test]
fn the_tables_agree() {
    let mut compared = 0;
    let mut differences = Vec::new();
    for arch in KNOWN {
        for syscall in Syscall::all() {
            let ours = syscall.number(arch);
            match reference::number(syscall, arch) {
                Some(number) if number >= 0 => compared += usize::from(ours == Some(number as u32)),
                // Made through socketcall(2) or ipc(2): libseccomp keeps the direct number to itself.
                Some(-299..=-100) | None => continue,
                Some(_) if ours.is_none() => continue,
                Some(_) => {}
            }
            if reference::number(syscall, arch) != ours.map(|number| number as i32)
                && !OUTDATED.contains(&(syscall.name(), arch))
            {
                differences.push(format!("{} on {}: {ours:?}", syscall.name(), arch.name()));
            }
        }
    }
    assert_eq!(differences, [""; 0]);
    assert!(compared > 6000, "only {compared} numbers compared");
}

/// Numbers that matter: all that architectures have, their neighbours, and the ends.
fn numbers() -> Vec<u32> {
    let mut numbers = Vec::new();
    for base in [0, 4000, 5000, 6000, 0x4000_0000] {
        numbers.extend(base..base + 600);
    }
    numbers.extend(0x000F_0000..0x000F_0010);
    for edge in [0x4000_0000, 0x8000_0000, 0xC000_0000, 0xFFFF_FFFF_u32] {
        numbers.extend([edge.wrapping_sub(2), edge - 1, edge, edge.wrapping_add(1)]);
    }
    numbers
}

/// The tokens of all architectures, and some of none.
fn tokens() -> Vec<u32> {
    let mut tokens: Vec<u32> = Arch::ALL.iter().map(|arch| arch.token()).collect();
    tokens.extend([0, 3, 0x3E, 0xFFFF_FFFF, 0x4000_003E]);
    tokens.sort_unstable();
    tokens.dedup();
    tokens
}

/// Runs our program for everything that may make a difference; `judge` says of each result whether it is right, and if not
/// what is.
fn check(profile: &Profile, native: Arch, mut judge: impl FnMut(&SystemCall, u32) -> Result<(), u32>) {
    let ours = compile_for(profile, native).unwrap();
    let big_endian = native.token() & 0x4000_0000 == 0;
    let archs: Vec<Arch> = std::iter::once(native).chain(profile.architectures.iter().copied()).collect();
    let conditional: Vec<u32> = profile
        .rules
        .iter()
        .filter(|rule| !rule.conditions.is_empty())
        .flat_map(|rule| &rule.syscalls)
        .flat_map(|syscall| archs.iter().filter_map(|&arch| syscall.number(arch)))
        .chain([102, 117, 4102, 4117])
        .collect();
    let arguments = arguments(profile);
    let mut sample = arguments.iter().cycle();
    for token in tokens() {
        let named = archs.iter().any(|arch| arch.token() == token);
        for &number in numbers().iter().step_by(if named { 1 } else { 97 }) {
            let call = |arguments: &[u64; 6]| SystemCall { number, token, arguments: *arguments, big_endian };
            let mut compare = |call: SystemCall| {
                let (result, _) = run(ours.instructions(), &call);
                if let Err(expected) = judge(&call, result) {
                    panic!("{call:x?} on {native:?}: {result:#x}, expected {expected:#x}, {profile:?}");
                }
            };
            if named && conditional.contains(&number) {
                arguments.iter().map(call).for_each(compare);
            } else {
                compare(call(sample.next().unwrap()));
            }
        }
    }
}

fn check_with_libseccomp(profile: &Profile, native: Arch, optimize: u32) -> Option<Reference> {
    let reference = Reference::new(profile, native, optimize)?;
    check(profile, native, |call, ours| {
        let theirs = reference.decide(call);
        if ours == theirs { Ok(()) } else { Err(theirs) }
    });
    Some(reference)
}

fn syscalls(names: &[&str]) -> Vec<Syscall> {
    names.iter().map(|name| Syscall::from_name(name).unwrap_or_else(|| panic!("{name}"))).collect()
}

fn rule(names: &[&str], action: Action, conditions: &[(u8, Comparison)]) -> Rule {
    let conditions = conditions.iter().map(|&(argument, comparison)| Condition { argument, comparison }).collect();
    Rule { syscalls: syscalls(names), action, conditions }
}

/// A profile like those that engines come with: some 400 names allowed, a few by their arguments.
fn engine_profile(others: &[Arch], default_action: Action) -> Profile {
    const CONDITIONAL: [&str; 3] = ["personality", "socket", "clone"];
    const FAILS: [&str; 30] = [
        "bpf",
        "fanotify_init",
        "lookup_dcookie",
        "perf_event_open",
        "quotactl",
        "setdomainname",
        "sethostname",
        "setns",
        "chroot",
        "delete_module",
        "finit_module",
        "init_module",
        "query_module",
        "acct",
        "kcmp",
        "process_madvise",
        "ioperm",
        "iopl",
        "clock_settime",
        "clock_settime64",
        "settimeofday",
        "stime",
        "vhangup",
        "kexec_load",
        "kexec_file_load",
        "io_pgetevents",
        "userfaultfd",
        "swapon",
        "swapoff",
        "clone3",
    ];
    const UNNAMED: [&str; 12] = [
        "uselib",
        "ustat",
        "vm86",
        "vm86old",
        "sysfs",
        "nfsservctl",
        "pciconfig_iobase",
        "pciconfig_read",
        "cachestat",
        "pciconfig_write",
        "fchmodat2",
        "futex_wait",
    ];
    let allowed = shared().filter(|syscall| {
        let name = syscall.name();
        !CONDITIONAL.contains(&name) && !FAILS.contains(&name) && !UNNAMED.contains(&name)
    });
    let mut rules = vec![
        Rule { syscalls: allowed.collect(), action: Action::Allow, conditions: vec![] },
        rule(&FAILS, Action::Errno(1), &[]),
        rule(&["clone"], Action::Allow, &[(0, Comparison::MaskedEqual { mask: 0x7E02_0000, value: 0 })]),
        rule(&["socket"], Action::Errno(22), &[(0, Comparison::Equal(16)), (2, Comparison::Equal(9))]),
        rule(&["socket"], Action::Allow, &[(2, Comparison::NotEqual(9))]),
        rule(&["socket"], Action::Allow, &[(0, Comparison::NotEqual(16))]),
        rule(&["socket"], Action::Allow, &[(2, Comparison::NotEqual(9))]),
    ];
    for value in [0, 8, 0x20000, 0x20008, 0xFFFF_FFFF] {
        rules.push(rule(&["personality"], Action::Allow, &[(0, Comparison::Equal(value))]));
    }
    rules.retain_mut(|rule| {
        rule.syscalls.retain(|&syscall| reference::knows(syscall));
        !rule.syscalls.is_empty()
    });
    Profile { architectures: others.to_vec(), rules, ..Profile::new(default_action) }
}

#[test]
fn a_profile_as_engines_have_it_decides_as_with_runc_on_every_machine() {
    for (native, others) in MACHINES {
        for default in [Action::Errno(1), Action::Errno(38), Action::Allow, Action::KillProcess] {
            let profile = engine_profile(others, default);
            let reference = check_with_libseccomp(&profile, native, 1).unwrap();
            let ours = compile_for(&profile, native).unwrap();
            println!(
                "{} {others:?} {default:?}: {} instructions, libseccomp {}",
                native.name(),
                ours.instructions().len(),
                reference.len()
            );
        }
    }
}
