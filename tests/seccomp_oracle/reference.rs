//! A profile as runc makes a filter of it: libseccomp's program, and runc's answer for calls that are too new before it.

use std::io::{Read, Seek};

use libseccomp::{ScmpAction, ScmpArch, ScmpArgCompare, ScmpCompareOp, ScmpFilterContext, ScmpSyscall};
use nskit::seccomp::{Action, Arch, Comparison, Condition, Instruction, Profile, Syscall};

use super::emulate::{SystemCall, run};

/// What runc would load.
pub(crate) struct Reference {
    program: Vec<Instruction>,
    newest: Vec<(Arch, u32)>,
}

impl Reference {
    /// None where libseccomp refuses a rule, as it does some that contradict each other.
    pub(crate) fn new(profile: &Profile, native: Arch, optimize: u32) -> Option<Reference> {
        let mut filter = ScmpFilterContext::new(action(profile.default_action)).unwrap();
        filter.remove_arch(ScmpArch::Native).unwrap();
        for arch in std::iter::once(&native).chain(&profile.architectures) {
            filter.add_arch(scmp_arch(*arch)).unwrap();
        }
        filter.set_ctl_optimize(optimize).unwrap();
        for rule in profile.rules.iter().filter(|rule| rule.action != profile.default_action) {
            for syscall in &rule.syscalls {
                let number = ScmpSyscall::from_name(syscall.name()).unwrap();
                let conditions: Vec<_> = rule.conditions.iter().map(compare).collect();
                let twice = (0..6).any(|at| rule.conditions.iter().filter(|c| c.argument == at).count() > 1);
                let size = if twice { 1 } else { conditions.len().max(1) };
                if conditions.is_empty() {
                    filter.add_rule(action(rule.action), number).ok()?;
                }
                for conditions in conditions.chunks(size) {
                    filter.add_rule_conditional(action(rule.action), number, conditions).ok()?;
                }
            }
        }
        let big_endian = native.token() & 0x4000_0000 == 0;
        let mut program = export(&filter, big_endian);
        if big_endian {
            // Returns that libseccomp repeats for near jumps it turns round once too often when it writes for a machine
            // of the other byte order.
            let actions =
                profile.rules.iter().map(|rule| rule.action).chain([profile.default_action, Action::KillThread]);
            let values: Vec<u32> = actions.map(Action::value).collect();
            for instruction in program.iter_mut().filter(|instruction| instruction.code == 0x06) {
                if !values.contains(&instruction.k) {
                    instruction.k = instruction.k.swap_bytes();
                }
            }
        }
        Some(Reference { program, newest: newest(profile, native) })
    }

    /// Only what comes before the rules.
    pub(crate) fn without_rules(profile: &Profile, native: Arch) -> Reference {
        Reference { program: vec![], newest: newest(profile, native) }
    }

    /// What becomes of a call.
    pub(crate) fn decide(&self, call: &SystemCall) -> u32 {
        if self.is_too_new(call) { Action::Errno(38).value() } else { run(&self.program, call).0 }
    }

    /// Whether runc has the call fail with ENOSYS before libseccomp's program sees it.
    pub(crate) fn is_too_new(&self, call: &SystemCall) -> bool {
        let x32_bit = call.number & 0x4000_0000 != 0;
        self.newest.iter().any(|&(arch, newest)| {
            let other_mode = match arch {
                Arch::X86_64 => x32_bit,
                Arch::X32 => !x32_bit,
                _ => false,
            };
            let setup = matches!(arch, Arch::S390 | Arch::S390x) && call.number == 0;
            arch.token() == call.token && !other_mode && (call.number > newest || setup)
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.program.len()
    }
}

/// The greatest number that the profile names on each architecture, where runc looks for it.
fn newest(profile: &Profile, native: Arch) -> Vec<(Arch, u32)> {
    if matches!(profile.default_action, Action::Allow | Action::Log | Action::Trace(_)) {
        return vec![];
    }
    let of = |arch: Arch| {
        let names = profile.rules.iter().flat_map(|rule| &rule.syscalls);
        // Other than runc we count calls that can be made through socketcall(2) and ipc(2), too: libseccomp gives runc no
        // number for them, and so runc has them fail as too new, although the profile allows them.
        let base = if matches!(arch, Arch::Mips | Arch::Mipsel) { 4000 } else { 0 };
        let number = |&syscall: &Syscall| {
            let through = through(syscall).filter(|_| multiplexes(arch)).map(|(number, _)| number + base);
            syscall.number(arch).max(through)
        };
        let newest = names.filter_map(number).max();
        newest.filter(|&newest| newest != 0).map(|newest| (arch, newest))
    };
    std::iter::once(&native).chain(&profile.architectures).filter_map(|&arch| of(arch)).collect()
}

/// The number of socketcall(2) or ipc(2) and their first argument, where a call can be made through them.
pub(crate) fn through(syscall: Syscall) -> Option<(u32, u64)> {
    match number(syscall, Arch::X86)? {
        made_up @ -120..=-101 => Some((102, (-made_up - 100) as u64)),
        made_up @ -224..=-201 => Some((117, (-made_up - 200) as u64)),
        _ => None,
    }
}

/// Whether an architecture has socketcall(2) and ipc(2).
pub(crate) fn multiplexes(arch: Arch) -> bool {
    // libseccomp 2.5 does not know it of MIPS; 2.6 does.
    matches!(
        arch,
        Arch::Mips | Arch::Mipsel | Arch::X86 | Arch::Ppc | Arch::Ppc64 | Arch::Ppc64le | Arch::S390 | Arch::S390x
    )
}

/// Whether libseccomp, which may be older than our table, knows a call.
pub(crate) fn knows(syscall: Syscall) -> bool {
    ScmpSyscall::from_name(syscall.name()).is_ok()
}

/// Its number in libseccomp; negative for those that it does not have or makes through others.
pub(crate) fn number(syscall: Syscall, arch: Arch) -> Option<i32> {
    ScmpSyscall::from_name_by_arch(syscall.name(), scmp_arch(arch)).ok().map(ScmpSyscall::as_raw_syscall)
}

fn export(filter: &ScmpFilterContext, big_endian: bool) -> Vec<Instruction> {
    let memory = rustix::fs::memfd_create("nskit-test-filter", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
    filter.export_bpf(&memory).unwrap();
    let mut file = std::fs::File::from(memory);
    let mut bytes = Vec::new();
    file.rewind().unwrap();
    file.read_to_end(&mut bytes).unwrap();
    let instruction = |raw: &[u8]| {
        let (code, k) = ([raw[0], raw[1]], [raw[4], raw[5], raw[6], raw[7]]);
        let (code, k) = match big_endian {
            true => (u16::from_be_bytes(code), u32::from_be_bytes(k)),
            false => (u16::from_le_bytes(code), u32::from_le_bytes(k)),
        };
        Instruction { code, jt: raw[2], jf: raw[3], k }
    };
    bytes.chunks_exact(8).map(instruction).collect()
}

fn action(action: Action) -> ScmpAction {
    match action {
        Action::KillThread => ScmpAction::KillThread,
        Action::KillProcess => ScmpAction::KillProcess,
        Action::Trap => ScmpAction::Trap,
        Action::Errno(errno) => ScmpAction::Errno(errno.into()),
        Action::Trace(message) => ScmpAction::Trace(message),
        Action::Allow => ScmpAction::Allow,
        Action::Log => ScmpAction::Log,
        Action::Notify => ScmpAction::Notify,
    }
}

fn compare(condition: &Condition) -> ScmpArgCompare {
    let (op, value) = match condition.comparison {
        Comparison::NotEqual(value) => (ScmpCompareOp::NotEqual, value),
        Comparison::Less(value) => (ScmpCompareOp::Less, value),
        Comparison::LessOrEqual(value) => (ScmpCompareOp::LessOrEqual, value),
        Comparison::Equal(value) => (ScmpCompareOp::Equal, value),
        Comparison::GreaterOrEqual(value) => (ScmpCompareOp::GreaterEqual, value),
        Comparison::Greater(value) => (ScmpCompareOp::Greater, value),
        Comparison::MaskedEqual { mask, value } => (ScmpCompareOp::MaskedEqual(mask), value),
    };
    ScmpArgCompare::new(condition.argument.into(), op, value)
}

fn scmp_arch(arch: Arch) -> ScmpArch {
    match arch {
        Arch::X86 => ScmpArch::X86,
        Arch::X86_64 => ScmpArch::X8664,
        Arch::X32 => ScmpArch::X32,
        Arch::Arm => ScmpArch::Arm,
        Arch::Aarch64 => ScmpArch::Aarch64,
        Arch::Mips => ScmpArch::Mips,
        Arch::Mips64 => ScmpArch::Mips64,
        Arch::Mips64n32 => ScmpArch::Mips64N32,
        Arch::Mipsel => ScmpArch::Mipsel,
        Arch::Mipsel64 => ScmpArch::Mipsel64,
        Arch::Mipsel64n32 => ScmpArch::Mipsel64N32,
        Arch::Ppc => ScmpArch::Ppc,
        Arch::Ppc64 => ScmpArch::Ppc64,
        Arch::Ppc64le => ScmpArch::Ppc64Le,
        Arch::S390 => ScmpArch::S390,
        Arch::S390x => ScmpArch::S390X,
        Arch::Parisc => ScmpArch::Parisc,
        Arch::Parisc64 => ScmpArch::Parisc64,
        Arch::Riscv64 => ScmpArch::Riscv64,
        Arch::Loongarch64 => ScmpArch::Loongarch64,
        Arch::M68k => ScmpArch::M68k,
        Arch::Sh => ScmpArch::Sh,
        Arch::Sheb => ScmpArch::Sheb,
    }
}
