//! A filter run as the kernel would: classic BPF on one `struct seccomp_data`, as far as seccomp(2) allows it.

use super::Instruction;

/// What a filter sees of a system call: `struct seccomp_data`.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SystemCall {
    pub(crate) number: u32,
    pub(crate) token: u32,
    pub(crate) arguments: [u64; 6],
    /// The machine's byte order: which half of an argument comes first.
    pub(crate) big_endian: bool,
}

impl SystemCall {
    fn word(&self, offset: u32) -> u32 {
        let argument = (offset.wrapping_sub(16) / 8) as usize;
        match offset {
            0 => self.number,
            4 => self.token,
            8 | 12 => 0,
            16..64 if offset.is_multiple_of(4) => {
                let first = offset.is_multiple_of(8);
                let value = self.arguments[argument];
                if first == self.big_endian { (value >> 32) as u32 } else { value as u32 }
            }
            _ => panic!("load of offset {offset}"),
        }
    }
}

/// The value that `program` returns for `call`, and after how many instructions.
///
/// # Panics
/// When the kernel's checker would refuse the program: an unknown instruction, a jump beyond the end.
pub(crate) fn run(program: &[Instruction], call: &SystemCall) -> (u32, usize) {
    let mut accumulator = 0u32;
    let mut at = 0;
    let mut steps = 0;
    loop {
        let Instruction { code, jt, jf, k } = program[at];
        at += 1;
        steps += 1;
        let holds = match code {
            0x20 => {
                accumulator = call.word(k);
                continue;
            }
            0x54 => {
                accumulator &= k;
                continue;
            }
            0x05 => {
                at += k as usize;
                continue;
            }
            0x06 => return (k, steps),
            0x15 => accumulator == k,
            0x25 => accumulator > k,
            0x35 => accumulator >= k,
            0x45 => accumulator & k != 0,
            _ => panic!("instruction {code:#x}"),
        };
        at += usize::from(if holds { jt } else { jf });
    }
}
