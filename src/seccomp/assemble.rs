//! Writes classic BPF from its end to its beginning: jumps go forwards only, so every target is there before its jump.

use crate::sys::seccomp::Instruction;
use crate::{Error, Result};

/// Opcodes (linux/bpf_common.h). Only these: for them the kernel can tell beforehand that a call is always allowed, and
/// does not run the filter for it at all (`seccomp_is_const_allow`).
mod opcode {
    pub(super) const LOAD_WORD: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS
    pub(super) const AND: u16 = 0x54; // BPF_ALU | BPF_AND | BPF_K
    pub(super) const JUMP: u16 = 0x05; // BPF_JMP | BPF_JA
    pub(super) const JUMP_EQUAL: u16 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
    pub(super) const JUMP_GREATER: u16 = 0x25; // BPF_JMP | BPF_JGT | BPF_K
    pub(super) const JUMP_GREATER_OR_EQUAL: u16 = 0x35; // BPF_JMP | BPF_JGE | BPF_K
    pub(super) const JUMP_BITS: u16 = 0x45; // BPF_JMP | BPF_JSET | BPF_K
    pub(super) const RETURN: u16 = 0x06; // BPF_RET | BPF_K
}

/// The most instructions that the kernel takes (BPF_MAXINSNS).
pub(super) const MAX_INSTRUCTIONS: usize = 4096;

/// The farthest that a conditional jump reaches: its offsets have 8 bits.
const REACH: usize = u8::MAX as usize;

/// How a conditional jump compares the accumulator with its constant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Test {
    Equal,
    Greater,
    GreaterOrEqual,
    /// Any of these bits is set.
    Bits,
}

/// An instruction that is there already: its place counted from the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Label(usize);

/// Where a jump goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    Label(Label),
    /// The end of the program, with this value.
    Return(u32),
}

/// A program that grows from its end.
#[derive(Default)]
pub(super) struct Assembler {
    /// Last instruction first.
    reversed: Vec<Instruction>,
    /// The nearest return of each value.
    returns: Vec<(u32, Label)>,
}

impl Assembler {
    pub(super) fn with_capacity(instructions: usize) -> Assembler {
        Assembler { reversed: Vec::with_capacity(instructions), returns: Vec::with_capacity(8) }
    }

    fn push(&mut self, code: u16, jt: u8, jf: u8, k: u32) -> Label {
        self.reversed.push(Instruction { code, jt, jf, k });
        Label(self.reversed.len() - 1)
    }

    /// How far the next instruction to be written will be from `label`.
    fn distance(&self, label: Label) -> usize {
        self.reversed.len() - 1 - label.0
    }

    /// A place that leads to `target` and stays in reach of a conditional jump when `margin` more instructions are written
    /// before that jump. Returns are repeated where they are too far; other targets get a long jump.
    fn within_reach(&mut self, target: Target, margin: usize) -> Label {
        match target {
            Target::Label(label) if self.distance(label) + margin <= REACH => label,
            Target::Label(label) => self.push(opcode::JUMP, 0, 0, self.distance(label) as u32),
            Target::Return(value) => {
                let known = self.returns.iter().position(|&(of, _)| of == value);
                if let Some(at) = known
                    && self.distance(self.returns[at].1) + margin <= REACH
                {
                    return self.returns[at].1;
                }
                let label = self.push(opcode::RETURN, 0, 0, value);
                match known {
                    Some(at) => self.returns[at].1 = label,
                    None => self.returns.push((value, label)),
                }
                label
            }
        }
    }

    /// Goes to `yes` if the accumulator passes the test, else to `no`.
    pub(super) fn branch(&mut self, test: Test, k: u32, yes: Target, no: Target) -> Label {
        let yes = self.within_reach(yes, 1);
        let no = self.within_reach(no, 0);
        let code = match test {
            Test::Equal => opcode::JUMP_EQUAL,
            Test::Greater => opcode::JUMP_GREATER,
            Test::GreaterOrEqual => opcode::JUMP_GREATER_OR_EQUAL,
            Test::Bits => opcode::JUMP_BITS,
        };
        self.push(code, self.distance(yes) as u8, self.distance(no) as u8, k)
    }

    /// Clears all bits of the accumulator but `mask`, before what was written last.
    pub(super) fn and(&mut self, mask: u32) -> Label {
        self.push(opcode::AND, 0, 0, mask)
    }

    /// Loads the word at `offset` of `struct seccomp_data` into the accumulator, before what was written last.
    pub(super) fn load(&mut self, offset: u32) -> Label {
        self.push(opcode::LOAD_WORD, 0, 0, offset)
    }

    /// Loads the word at `offset` before `target` if that is what was written last. Else it needs nothing loaded: it is a
    /// return, or code that loads for itself.
    pub(super) fn enter(&mut self, target: Target, offset: u32) -> Target {
        match target {
            Target::Label(label) if self.distance(label) == 0 => Target::Label(self.load(offset)),
            _ => target,
        }
    }

    /// The whole program, beginning with what was written last.
    pub(super) fn finish(mut self) -> Result<Vec<Instruction>> {
        if self.reversed.len() > MAX_INSTRUCTIONS {
            return Err(Error::invalid(format!(
                "seccomp profile needs a filter of {} instructions, the kernel takes {MAX_INSTRUCTIONS}",
                self.reversed.len()
            )));
        }
        self.reversed.reverse();
        Ok(self.reversed)
    }
}
