//! Device policies on v2: a BPF program that the kernel runs on every open and mknod of a device.
//!
//! It is given a `struct bpf_cgroup_dev_ctx` (kind and access in one word, major, minor) and answers 1 (allowed) or 0.

use std::os::fd::{AsFd, BorrowedFd};

use super::{Access, DeviceKind, Policy};
use crate::error::{Attempt, Result};
use crate::sys::bpf::{self, Insn};

// Operations: class | source | operation, see the kernel's Documentation/bpf/standardization/instruction-set.rst.
const LOAD_WORD: u8 = 0x61;
const MOVE: u8 = 0xbf;
const MOVE_NUMBER: u8 = 0xb7;
const AND_NUMBER: u8 = 0x57;
const SHIFT_RIGHT_NUMBER: u8 = 0x77;
const JUMP: u8 = 0x05;
/// The 32-bit comparisons (Linux 5.1): the operand is a whole word and not extended by its sign.
const JUMP_IF_NOT_EQUAL: u8 = 0x56;
const JUMP_IF_ANY_BIT: u8 = 0x46;
const EXIT: u8 = 0x95;

// Registers: the context comes in 1, the answer leaves in 0.
const ANSWER: u8 = 0;
const CONTEXT: u8 = 1;
const KIND: u8 = 2;
const ACCESS: u8 = 3;
const MAJOR: u8 = 4;
const MINOR: u8 = 5;

const fn kind_number(kind: DeviceKind) -> i32 {
    match kind {
        DeviceKind::All => 0,   // holds no exceptions
        DeviceKind::Block => 1, // BPF_DEVCG_DEV_BLOCK
        DeviceKind::Char => 2,  // BPF_DEVCG_DEV_CHAR
    }
}

/// The program that decides as `policy` does.
///
/// An exception to "allowed" denies what it overlaps (opening for reading and writing is denied when writing is), an
/// exception to "denied" allows what it covers: as the v1 controller decides.
pub(in crate::cgroup) fn program(policy: &Policy) -> Vec<Insn> {
    let mut program = Vec::with_capacity(8 + policy.exceptions.len() * 7);
    program.extend([
        Insn::new(LOAD_WORD, KIND, CONTEXT, 0, 0),
        Insn::new(MOVE, ACCESS, KIND, 0, 0),
        Insn::new(AND_NUMBER, KIND, 0, 0, 0xffff),
        Insn::new(SHIFT_RIGHT_NUMBER, ACCESS, 0, 0, 16),
        Insn::new(LOAD_WORD, MAJOR, CONTEXT, 4, 0),
        Insn::new(LOAD_WORD, MINOR, CONTEXT, 8, 0),
    ]);
    for (devices, access) in &policy.exceptions {
        let start = program.len();
        program.push(Insn::new(JUMP_IF_NOT_EQUAL, KIND, 0, 0, kind_number(devices.kind)));
        if *access != Access::ALL {
            if policy.default_allow {
                program.push(Insn::new(JUMP_IF_ANY_BIT, ACCESS, 0, 1, i32::from(access.0)));
                program.push(Insn::new(JUMP, 0, 0, 0, 0));
            } else {
                let others = Access::ALL.without(*access);
                program.push(Insn::new(JUMP_IF_ANY_BIT, ACCESS, 0, 0, i32::from(others.0)));
            }
        }
        for (register, number) in [(MAJOR, devices.major), (MINOR, devices.minor)] {
            if let Some(number) = number {
                program.push(Insn::new(JUMP_IF_NOT_EQUAL, register, 0, 0, number.cast_signed()));
            }
        }
        program.extend(answer(!policy.default_allow));
        // Jumps without a distance lead to the next exception.
        let end = program.len();
        for (at, insn) in program.iter_mut().enumerate().skip(start) {
            if matches!(insn.code, JUMP | JUMP_IF_NOT_EQUAL | JUMP_IF_ANY_BIT) && insn.off == 0 {
                insn.off = (end - at - 1) as i16; // at most 6
            }
        }
    }
    program.extend(answer(policy.default_allow));
    program
}

fn answer(allow: bool) -> [Insn; 2] {
    [Insn::new(MOVE_NUMBER, ANSWER, 0, 0, i32::from(allow)), Insn::new(EXIT, 0, 0, 0, 0)]
}

/// Makes `policy` the one of the cgroup behind `cgroup`, which is `fresh` when this process has just made it.
pub(in crate::cgroup) fn set(cgroup: BorrowedFd<'_>, policy: &Policy, fresh: bool) -> Result<()> {
    let program =
        bpf::load_device_program(&program(policy), None).attempt(|| "load the device rules (BPF_PROG_LOAD)")?;
    bpf::set_device_program(cgroup, program.as_fd(), fresh).attempt(|| "attach the device rules (BPF_PROG_ATTACH)")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tests::{any_request, any_rules};
    use super::super::{Access, DeviceKind, Policy, Rule};
    use super::*;

    fn bytes(policy: &Policy) -> Vec<u8> {
        program(policy).into_iter().flat_map(Insn::to_bytes).collect()
    }

    fn run(program: &[u8], (kind, major, minor, access): (DeviceKind, u32, u32, Access)) -> bool {
        let word = u32::from(access.0) << 16 | kind_number(kind).cast_unsigned();
        let mut context: Vec<u8> = [word, major, minor].into_iter().flat_map(u32::to_ne_bytes).collect();
        let machine = rbpf::EbpfVmRaw::new(Some(program)).unwrap();
        match machine.execute_program(&mut context).unwrap() {
            0 => false,
            1 => true,
            other => panic!("the program answered {other}"),
        }
    }

    proptest! {
        #[test]
        fn the_program_decides_as_the_policy(
            rules in any_rules(),
            requests in prop::collection::vec(any_request(), 32),
        ) {
            let Ok(policy) = Policy::from_rules(&rules) else { return Ok(()) };
            let program = bytes(&policy);
            for request in requests {
                let (kind, major, minor, access) = request;
                prop_assert_eq!(run(&program, request), policy.allows(kind, major, minor, access), "{:?}", request);
            }
        }
    }

    #[test]
    fn denying_to_write_denies_to_open_for_both() {
        let all = Rule { allow: true, kind: DeviceKind::All, major: None, minor: None, access: Access::ALL };
        let write = Rule {
            allow: false,
            kind: DeviceKind::Char,
            major: Some(1),
            minor: Some(3),
            access: Access::parse("w").unwrap(),
        };
        let program = bytes(&Policy::from_rules(&[all, write]).unwrap());
        assert!(run(&program, (DeviceKind::Char, 1, 3, Access::READ)));
        assert!(!run(&program, (DeviceKind::Char, 1, 3, Access::parse("rw").unwrap())));
        assert!(run(&program, (DeviceKind::Char, 1, 5, Access::parse("rw").unwrap())));
    }

    #[test]
    fn a_policy_that_allows_everything_is_two_instructions_after_the_loads() {
        let all = Rule { allow: true, kind: DeviceKind::All, major: None, minor: None, access: Access::ALL };
        assert_eq!(program(&Policy::from_rules(&[all]).unwrap()).len(), 8);
    }
}
