//! The devices a container may use, as runc has them whatever the bundle denies: any may be made, the ordinary ones
//! used. Rules on cgroup v1, a program of eBPF on v2.

use crate::call::{at, must};

/// The rules of cgroup v1, after `a` was denied.
pub const ALLOWED_V1: [&[u8]; 10] = [
    b"c *:* m",
    b"b *:* m",
    b"c 1:3 rwm",
    b"c 1:5 rwm",
    b"c 1:7 rwm",
    b"c 1:8 rwm",
    b"c 1:9 rwm",
    b"c 5:0 rwm",
    b"c 5:2 rwm",
    b"c 136:* rwm",
];

/// An instruction of eBPF: code, registers (source in the high half), offset, immediate.
#[repr(C)]
struct Instruction(u8, u8, i16, i32);

/// Attaches a program that says the same to a cgroup of v2.
pub fn attach(cgroup: usize) {
    // linux/bpf.h, struct bpf_cgroup_dev_ctx, in r1: access << 16 | type, major, minor. r2 holds the type, r3 the
    // access, r4 the major number, r5 the minor. The jump's offset is the number of instructions to skip.
    const fn load(register: u8, offset: i16) -> Instruction {
        Instruction(0x61, register | 0x10, offset, 0)
    }
    const fn skip_unless_equal(register: u8, value: i32, offset: i16) -> Instruction {
        Instruction(0x55, register, offset, value)
    }
    const fn skip_if_equal(register: u8, value: i32, offset: i16) -> Instruction {
        Instruction(0x15, register, offset, value)
    }
    const fn answer(value: i32) -> Instruction {
        Instruction(0xb7, 0, 0, value)
    }
    const EXIT: Instruction = Instruction(0x95, 0, 0, 0);
    const CHARACTER: i32 = 2; // BPF_DEVCG_DEV_CHAR
    const MAKE: i32 = 1; // BPF_DEVCG_ACC_MKNOD
    let program = [
        load(2, 0),
        Instruction(0xbf, 0x23, 0, 0),      // r3 = r2
        Instruction(0x57, 0x02, 0, 0xffff), // r2 &= 0xffff
        Instruction(0x77, 0x03, 0, 16),     // r3 >>= 16
        load(4, 4),
        load(5, 8),
        skip_if_equal(3, MAKE, 13),
        skip_unless_equal(2, CHARACTER, 10),
        skip_if_equal(4, 136, 11),
        skip_unless_equal(4, 5, 2),
        skip_if_equal(5, 0, 9),
        skip_if_equal(5, 2, 8),
        skip_unless_equal(4, 1, 5),
        skip_if_equal(5, 3, 6),
        skip_if_equal(5, 5, 5),
        skip_if_equal(5, 7, 4),
        skip_if_equal(5, 8, 3),
        skip_if_equal(5, 9, 2),
        answer(0),
        EXIT,
        answer(1),
        EXIT,
    ];
    const BPF_PROG_LOAD: usize = 5;
    const BPF_PROG_ATTACH: usize = 8;
    const CGROUP_DEVICE_PROGRAM: u32 = 15; // BPF_PROG_TYPE_CGROUP_DEVICE
    const CGROUP_DEVICE: u32 = 6; // BPF_CGROUP_DEVICE
    const ALLOW_MULTI: u32 = 2; // BPF_F_ALLOW_MULTI

    // union bpf_attr for BPF_PROG_LOAD: type and count, instructions, licence, and no log.
    let load = [
        u64::from(CGROUP_DEVICE_PROGRAM) | (program.len() as u64) << 32,
        at(&program) as u64,
        at(c"Apache-2.0") as u64,
        0,
        0,
        0,
    ];
    let loaded = must("load the device program", libc::SYS_bpf, [BPF_PROG_LOAD, at(&load), size_of_val(&load)]);
    // For BPF_PROG_ATTACH: target, program, type, flags.
    let attach = [cgroup as u32, loaded as u32, CGROUP_DEVICE, ALLOW_MULTI];
    must("attach the device program", libc::SYS_bpf, [BPF_PROG_ATTACH, at(&attach), size_of_val(&attach)]);
}
