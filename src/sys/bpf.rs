//! bpf(2) for device programs: load one, attach it to a cgroup, see what is attached; and for iterators: load one, read
//! what it writes.
//!
//! Only what `BPF_PROG_TYPE_CGROUP_DEVICE` needs (Linux 4.15; `BPF_F_REPLACE` Linux 5.6), and `BPF_TRACE_ITER` of
//! `BPF_PROG_TYPE_TRACING` (Linux 5.8). See bpf(2), `include/uapi/linux/bpf.h` and the kernel's
//! Documentation/bpf/bpf_iterators.rst.

use std::mem::size_of;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::io::Errno;

use super::check;

const BPF_PROG_LOAD: i32 = 5;
const BPF_PROG_ATTACH: i32 = 8;
const BPF_PROG_DETACH: i32 = 9;
const BPF_PROG_GET_FD_BY_ID: i32 = 13;
const BPF_PROG_QUERY: i32 = 16;
const BPF_LINK_CREATE: i32 = 28;
const BPF_ITER_CREATE: i32 = 33;

const BPF_PROG_TYPE_CGROUP_DEVICE: u32 = 15;
const BPF_CGROUP_DEVICE: u32 = 6;
const BPF_PROG_TYPE_TRACING: u32 = 26;
const BPF_TRACE_ITER: u32 = 28;

const BPF_F_ALLOW_MULTI: u32 = 1 << 1;
const BPF_F_REPLACE: u32 = 1 << 2;

/// One instruction, as `struct bpf_insn` of `linux/bpf.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Insn {
    /// Operation: class, source and operation bits.
    pub code: u8,
    /// Destination register in one half of the byte, source register in the other.
    pub regs: u8,
    /// Jump offset, or offset in memory.
    pub off: i16,
    /// Immediate operand.
    pub imm: i32,
}

impl Insn {
    /// An instruction from its parts; `dst` and `src` are register numbers (0 to 10).
    pub const fn new(code: u8, dst: u8, src: u8, off: i16, imm: i32) -> Insn {
        let regs = if cfg!(target_endian = "little") { src << 4 | dst } else { dst << 4 | src };
        Insn { code, regs, off, imm }
    }

    /// The instruction as the kernel reads it.
    pub fn to_bytes(self) -> [u8; 8] {
        let (off, imm) = (self.off.to_ne_bytes(), self.imm.to_ne_bytes());
        [self.code, self.regs, off[0], off[1], imm[0], imm[1], imm[2], imm[3]]
    }
}

/// `struct` of `BPF_PROG_LOAD` in `union bpf_attr`, up to the last field that is set here.
#[derive(Default)]
#[repr(C)]
struct LoadAttr {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buf: u64,
    kern_version: u32,
    prog_flags: u32,
    prog_name: [u8; 16],
}

/// `struct` of `BPF_PROG_LOAD`, on to what says where in the kernel the program belongs.
#[derive(Default)]
#[repr(C)]
struct TracingLoadAttr {
    load: LoadAttr,
    prog_ifindex: u32,
    expected_attach_type: u32,
    prog_btf_fd: u32,
    func_info_rec_size: u32,
    func_info: u64,
    func_info_cnt: u32,
    line_info_rec_size: u32,
    line_info: u64,
    line_info_cnt: u32,
    attach_btf_id: u32,
}

/// `struct` of `BPF_LINK_CREATE` in `union bpf_attr`.
#[derive(Default)]
#[repr(C)]
struct LinkAttr {
    prog_fd: u32,
    target_fd: u32,
    attach_type: u32,
    flags: u32,
}

/// `struct` of `BPF_ITER_CREATE` in `union bpf_attr`.
#[derive(Default)]
#[repr(C)]
struct IterAttr {
    link_fd: u32,
    flags: u32,
}

/// `struct` of `BPF_PROG_ATTACH` and `BPF_PROG_DETACH` in `union bpf_attr`.
#[derive(Default)]
#[repr(C)]
struct AttachAttr {
    target_fd: u32,
    attach_bpf_fd: u32,
    attach_type: u32,
    attach_flags: u32,
    replace_bpf_fd: u32,
}

/// `struct` of `BPF_PROG_QUERY` in `union bpf_attr`.
#[derive(Default)]
#[repr(C)]
struct QueryAttr {
    target_fd: u32,
    attach_type: u32,
    query_flags: u32,
    attach_flags: u32,
    prog_ids: u64,
    prog_cnt: u32,
    padding: u32,
}

/// `struct` of `BPF_*_GET_FD_BY_ID` in `union bpf_attr`.
#[derive(Default)]
#[repr(C)]
struct IdAttr {
    id: u32,
    next_id: u32,
    open_flags: u32,
    padding: u32,
}

/// Calls bpf(2) with `attr`, a `repr(C)` prefix of `union bpf_attr`.
///
/// # Safety
/// Every pointer in `attr` must be valid for what `command` does with it for the length of the call, and `T` must
/// have no padding bytes that are not initialised.
unsafe fn bpf<T>(command: i32, attr: &mut T) -> Result<i64, Errno> {
    // SAFETY: `attr` is a live, exclusive reference whose size is passed along; the caller answers for what it points
    // to.
    check(unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(attr), size_of::<T>()) })
}

fn raw(fd: BorrowedFd<'_>) -> u32 {
    fd.as_raw_fd().cast_unsigned()
}

/// Takes what a bpf(2) command that makes a descriptor returned.
///
/// # Safety
/// It must be a descriptor that the kernel has just made (close-on-exec, as every BPF descriptor) and nothing else owns.
unsafe fn owned(returned: i64) -> Result<OwnedFd, Errno> {
    let fd = i32::try_from(returned).map_err(|_| Errno::BADF)?;
    // SAFETY: nothing else owns it, as the caller says.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Loads a device program. On a kernel that refuses it, `log` (when there is one) is filled with what its verifier says.
pub fn load_device_program(program: &[Insn], log: Option<&mut Vec<u8>>) -> Result<OwnedFd, Errno> {
    let mut attr = LoadAttr {
        prog_type: BPF_PROG_TYPE_CGROUP_DEVICE,
        insn_cnt: program.len().try_into().map_err(|_| Errno::TOOBIG)?,
        insns: program.as_ptr() as u64,
        license: c"Apache-2.0".as_ptr() as u64,
        prog_name: *b"nskit_devices\0\0\0",
        ..LoadAttr::default()
    };
    let mut log = log;
    if let Some(log) = log.as_deref_mut() {
        empty_log(log, &mut attr);
    }
    // SAFETY: `insns` points to `insn_cnt` instructions, `license` to a terminated string, `log_buf` to `log_size`
    // writable bytes; all outlive the call. `LoadAttr` has no padding.
    let loaded = unsafe { bpf(BPF_PROG_LOAD, &mut attr) };
    if let Some(log) = log {
        cut_log(log);
    }
    // SAFETY: the kernel has just made this descriptor.
    unsafe { owned(loaded?) }
}

/// A log of the verifier, filled when the kernel refuses a program.
fn empty_log(log: &mut Vec<u8>, attr: &mut LoadAttr) {
    log.resize(64 << 10, 0);
    attr.log_level = 1;
    attr.log_size = log.len() as u32;
    attr.log_buf = log.as_mut_ptr() as u64;
}

fn cut_log(log: &mut Vec<u8>) {
    let end = log.iter().position(|byte| *byte == 0).unwrap_or(log.len());
    log.truncate(end);
}

/// Loads a program that the kernel runs on each object of an iterator, whose function (`bpf_iter_task`) has this number
/// among the kernel's types; and opens the iterator. Reading from it runs the program, which ends with it. Linux 5.8.
///
/// # Errors
/// `EPERM` without CAP_BPF and CAP_PERFMON (before Linux 5.11 also where the limit of locked memory is low); `EINVAL` on
/// a kernel without the iterator; `EACCES` and others where the verifier refuses the program, and `log` says why.
pub fn iterate(program: &[Insn], function: u32, log: Option<&mut Vec<u8>>) -> Result<OwnedFd, Errno> {
    let mut attr = TracingLoadAttr {
        load: LoadAttr {
            prog_type: BPF_PROG_TYPE_TRACING,
            insn_cnt: program.len().try_into().map_err(|_| Errno::TOOBIG)?,
            insns: program.as_ptr() as u64,
            // What the program says of itself, and not this one's licence: the kernel lets no other call
            // bpf_seq_write() and bpf_probe_read_kernel().
            license: c"GPL".as_ptr() as u64,
            prog_name: *b"nskit_iterator\0\0",
            ..LoadAttr::default()
        },
        expected_attach_type: BPF_TRACE_ITER,
        attach_btf_id: function,
        ..TracingLoadAttr::default()
    };
    let mut log = log;
    if let Some(log) = log.as_deref_mut() {
        empty_log(log, &mut attr.load);
    }
    // SAFETY: `insns` points to `insn_cnt` instructions, `license` to a terminated string, `log_buf` to `log_size`
    // writable bytes; all outlive the call. `TracingLoadAttr` has no padding.
    let loaded = unsafe { bpf(BPF_PROG_LOAD, &mut attr) };
    if let Some(log) = log {
        cut_log(log);
    }
    // SAFETY: the kernel has just made this descriptor.
    let program = unsafe { owned(loaded?) }?;
    let mut attr = LinkAttr { prog_fd: raw(program.as_fd()), attach_type: BPF_TRACE_ITER, ..LinkAttr::default() };
    // SAFETY: `LinkAttr` holds no pointers and no padding; the descriptor that is returned was just made.
    let link = unsafe { owned(bpf(BPF_LINK_CREATE, &mut attr)?) }?;
    let mut attr = IterAttr { link_fd: raw(link.as_fd()), ..IterAttr::default() };
    // SAFETY: `IterAttr` holds no pointers and no padding; the descriptor that is returned was just made.
    unsafe { owned(bpf(BPF_ITER_CREATE, &mut attr)?) }
}

/// Attaches a device program to a cgroup of the unified hierarchy, beside those that are there already (a process must
/// be allowed by all), or in the place of `replace`.
pub fn attach_device_program(
    cgroup: BorrowedFd<'_>,
    program: BorrowedFd<'_>,
    replace: Option<BorrowedFd<'_>>,
) -> Result<(), Errno> {
    let mut attr = AttachAttr {
        target_fd: raw(cgroup),
        attach_bpf_fd: raw(program),
        attach_type: BPF_CGROUP_DEVICE,
        attach_flags: BPF_F_ALLOW_MULTI | replace.map_or(0, |_| BPF_F_REPLACE),
        replace_bpf_fd: replace.map_or(0, raw),
    };
    // SAFETY: `AttachAttr` holds no pointers and no padding.
    unsafe { bpf(BPF_PROG_ATTACH, &mut attr) }.map(drop)
}

/// Detaches a device program from a cgroup.
pub fn detach_device_program(cgroup: BorrowedFd<'_>, program: BorrowedFd<'_>) -> Result<(), Errno> {
    let mut attr = AttachAttr {
        target_fd: raw(cgroup),
        attach_bpf_fd: raw(program),
        attach_type: BPF_CGROUP_DEVICE,
        ..AttachAttr::default()
    };
    // SAFETY: `AttachAttr` holds no pointers and no padding.
    unsafe { bpf(BPF_PROG_DETACH, &mut attr) }.map(drop)
}

/// The device programs attached to this very cgroup (not to its ancestors). A program that may not be looked at (an
/// LSM can forbid it) is left out.
pub fn device_programs(cgroup: BorrowedFd<'_>) -> Result<Vec<OwnedFd>, Errno> {
    // The kernel attaches at most 64 programs of a type to a cgroup (BPF_CGROUP_MAX_PROGS).
    let mut ids = [0u32; 64];
    let mut attr = QueryAttr {
        target_fd: raw(cgroup),
        attach_type: BPF_CGROUP_DEVICE,
        prog_ids: ids.as_mut_ptr() as u64,
        prog_cnt: ids.len() as u32,
        ..QueryAttr::default()
    };
    // SAFETY: `prog_ids` points to `prog_cnt` writable numbers that outlive the call. `QueryAttr` has no hidden padding.
    unsafe { bpf(BPF_PROG_QUERY, &mut attr) }?;
    let count = (attr.prog_cnt as usize).min(ids.len());
    let mut programs = Vec::with_capacity(count);
    for id in &ids[..count] {
        match program_by_id(*id) {
            Ok(program) => programs.push(program),
            Err(Errno::ACCESS | Errno::PERM | Errno::NOENT) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(programs)
}

fn program_by_id(id: u32) -> Result<OwnedFd, Errno> {
    let mut attr = IdAttr { id, ..IdAttr::default() };
    // SAFETY: `IdAttr` holds no pointers and no hidden padding; the descriptor that is returned was just made.
    unsafe { owned(bpf(BPF_PROG_GET_FD_BY_ID, &mut attr)?) }
}

/// Puts `program` in the place of all device programs attached to `cgroup`, or just attaches it when `fresh` says that
/// none can be there. At no time is the cgroup without a program that restricts it.
pub fn set_device_program(cgroup: BorrowedFd<'_>, program: BorrowedFd<'_>, fresh: bool) -> Result<(), Errno> {
    let old = if fresh { Vec::new() } else { device_programs(cgroup)? };
    if let [only] = old.as_slice() {
        return attach_device_program(cgroup, program, Some(only.as_fd()));
    }
    attach_device_program(cgroup, program, None)?;
    for program in &old {
        detach_device_program(cgroup, program.as_fd())?;
    }
    Ok(())
}
