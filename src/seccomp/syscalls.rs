//! System calls by name, and their numbers on every architecture.

mod table;

use super::arch::{Arch, Column};

/// The name and the numbers, one a [`Column`], of one system call.
struct Row(&'static str, [u16; 18]);

/// In the table: this architecture lacks the call.
const NA: u16 = u16::MAX;

/// From here on, a cell stands for one of arm's private calls.
const ARM_PRIVATE: u16 = 0xF000;
const ARM_PRIVATE_BASE: u32 = 0x000F_0000;

/// The calls that socketcall(2) and ipc(2) make, by the number they have there.
const MULTIPLEXED: [(&str, Multiplexer, u8); 32] = [
    ("socket", Multiplexer::Socketcall, 1),
    ("bind", Multiplexer::Socketcall, 2),
    ("connect", Multiplexer::Socketcall, 3),
    ("listen", Multiplexer::Socketcall, 4),
    ("accept", Multiplexer::Socketcall, 5),
    ("getsockname", Multiplexer::Socketcall, 6),
    ("getpeername", Multiplexer::Socketcall, 7),
    ("socketpair", Multiplexer::Socketcall, 8),
    ("send", Multiplexer::Socketcall, 9),
    ("recv", Multiplexer::Socketcall, 10),
    ("sendto", Multiplexer::Socketcall, 11),
    ("recvfrom", Multiplexer::Socketcall, 12),
    ("shutdown", Multiplexer::Socketcall, 13),
    ("setsockopt", Multiplexer::Socketcall, 14),
    ("getsockopt", Multiplexer::Socketcall, 15),
    ("sendmsg", Multiplexer::Socketcall, 16),
    ("recvmsg", Multiplexer::Socketcall, 17),
    ("accept4", Multiplexer::Socketcall, 18),
    ("recvmmsg", Multiplexer::Socketcall, 19),
    ("sendmmsg", Multiplexer::Socketcall, 20),
    ("semop", Multiplexer::Ipc, 1),
    ("semget", Multiplexer::Ipc, 2),
    ("semctl", Multiplexer::Ipc, 3),
    ("semtimedop", Multiplexer::Ipc, 4),
    ("msgsnd", Multiplexer::Ipc, 11),
    ("msgrcv", Multiplexer::Ipc, 12),
    ("msgget", Multiplexer::Ipc, 13),
    ("msgctl", Multiplexer::Ipc, 14),
    ("shmat", Multiplexer::Ipc, 21),
    ("shmdt", Multiplexer::Ipc, 22),
    ("shmget", Multiplexer::Ipc, 23),
    ("shmctl", Multiplexer::Ipc, 24),
];

/// A call through which others are made; its first argument says which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Multiplexer {
    Socketcall,
    Ipc,
}

impl Multiplexer {
    /// The number, which all architectures that have the call share but for their base.
    pub(super) fn number(self) -> u32 {
        match self {
            Multiplexer::Socketcall => 102,
            Multiplexer::Ipc => 117,
        }
    }
}

const COUNT: usize = table::ROWS.len();

/// The numbers of every row. What a program looks into is made of numbers alone: pointers to names would be relocated at every
/// start, seven pages of them.
static NUMBERS: [[u16; 18]; COUNT] = {
    let mut numbers = [[NA; 18]; COUNT];
    let mut row = 0;
    while row < COUNT {
        numbers[row] = table::ROWS[row].1;
        row += 1;
    }
    numbers
};

/// Where each name ends in [`NAMES`]; it begins where the one before ends.
static ENDS: [u16; COUNT] = {
    let mut ends = [0; COUNT];
    let mut row = 0;
    let mut end = 0;
    while row < COUNT {
        end += table::ROWS[row].0.len();
        ends[row] = end as u16;
        row += 1;
    }
    ends
};

/// All names, one after the other.
static NAMES: [u8; ENDS[COUNT - 1] as usize] = {
    let mut names = [0; ENDS[COUNT - 1] as usize];
    let mut row = 0;
    let mut end = 0;
    while row < COUNT {
        let name = table::ROWS[row].0.as_bytes();
        let mut at = 0;
        while at < name.len() {
            names[end] = name[at];
            at += 1;
            end += 1;
        }
        row += 1;
    }
    names
};

/// For every row, its place in [`MULTIPLEXED`] plus one, or 0: made by the compiler, so that no call searches for it.
static MULTIPLEXED_ROWS: [u8; COUNT] = {
    let mut rows = [0; COUNT];
    let mut at = 0;
    while at < MULTIPLEXED.len() {
        let mut row = 0;
        while !same(table::ROWS[row].0.as_bytes(), MULTIPLEXED[at].0.as_bytes()) {
            row += 1;
        }
        rows[row] = at as u8 + 1;
        at += 1;
    }
    rows
};

/// Where each name's row is: a hash table with open addressing, made by the compiler. A profile names hundreds of calls, and
/// a search by halves would cost each some nine comparisons.
static SLOTS: [u16; SLOT_COUNT] = {
    let mut slots = [EMPTY; SLOT_COUNT];
    let mut row = 0;
    while row < COUNT {
        let mut slot = hash(table::ROWS[row].0.as_bytes());
        while slots[slot] != EMPTY {
            slot = (slot + 1) % SLOT_COUNT;
        }
        slots[slot] = row as u16;
        row += 1;
    }
    slots
};

/// A power of two, four times the names: most are found where they are first looked for.
const SLOT_COUNT: usize = 2048;
const EMPTY: u16 = u16::MAX;

/// FNV-1a, folded to a slot.
const fn hash(name: &[u8]) -> usize {
    let mut hash = 0xCBF2_9CE4_8422_2325_u64;
    let mut at = 0;
    while at < name.len() {
        hash = (hash ^ name[at] as u64).wrapping_mul(0x0000_0100_0000_01B3);
        at += 1;
    }
    ((hash >> 32) ^ hash) as usize % SLOT_COUNT
}

const fn same(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let mut i = 0;
    while i < a.len() {
        if a[i] != b[i] {
            return false;
        }
        i += 1;
    }
    true
}

/// A system call that some architecture has.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Syscall(u16);

impl Syscall {
    /// The call of that name (`openat2`), if any architecture has it.
    pub fn from_name(name: &str) -> Option<Syscall> {
        let mut slot = hash(name.as_bytes());
        loop {
            let row = SLOTS[slot];
            if row == EMPTY {
                return None;
            }
            if Syscall(row).bytes() == name.as_bytes() {
                return Some(Syscall(row));
            }
            slot = (slot + 1) % SLOT_COUNT;
        }
    }

    /// Every call, by name.
    pub fn all() -> impl Iterator<Item = Syscall> {
        (0..COUNT as u16).map(Syscall)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        std::str::from_utf8(self.bytes()).unwrap_or_default()
    }

    fn bytes(self) -> &'static [u8] {
        let row = usize::from(self.0);
        let start = row.checked_sub(1).map_or(0, |before| ENDS[before]);
        &NAMES[usize::from(start)..usize::from(ENDS[row])]
    }

    /// The number by which a program of that architecture makes this call directly, if it can. x32's have their bit.
    pub fn number(self, arch: Arch) -> Option<u32> {
        let abi = arch.abi();
        self.number_in(abi.column).map(|number| number + abi.base)
    }

    /// [`Syscall::number`] less the architecture's base.
    pub(super) fn number_in(self, column: Column) -> Option<u32> {
        match NUMBERS[usize::from(self.0)][column as usize] {
            NA => None,
            private if private >= ARM_PRIVATE => Some(ARM_PRIVATE_BASE + u32::from(private - ARM_PRIVATE)),
            number => Some(u32::from(number)),
        }
    }

    /// The call through which this one can be made too where there is one, and the value of its first argument then.
    pub(super) fn multiplexed(self) -> Option<(Multiplexer, u32)> {
        let at = MULTIPLEXED_ROWS[usize::from(self.0)].checked_sub(1)?;
        let (_, multiplexer, call) = MULTIPLEXED[usize::from(at)];
        Some((multiplexer, u32::from(call)))
    }
}

impl std::fmt::Debug for Syscall {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found_and_stands_in_order() {
        assert!(table::ROWS.windows(2).all(|pair| pair[0].0 < pair[1].0));
        for syscall in Syscall::all() {
            assert_eq!(Syscall::from_name(syscall.name()), Some(syscall));
        }
        assert_eq!(Syscall::from_name("no_such_call"), None);
        assert_eq!(Syscall::from_name(""), None);
        let searched = |name: &str| {
            let start = hash(name.as_bytes());
            (0..).find(|away| table::ROWS[usize::from(SLOTS[(start + away) % SLOT_COUNT])].0 == name).unwrap()
        };
        let total: usize = table::ROWS.iter().map(|row| searched(row.0)).sum();
        assert!(total < table::ROWS.len() / 2, "the names' hashes collide: {total} slots too many are looked at");
    }

    #[test]
    fn numbers_are_the_architectures_own() {
        let number = |name, arch| Syscall::from_name(name).unwrap().number(arch);
        assert_eq!(number("openat2", Arch::X86_64), Some(437));
        assert_eq!(number("openat2", Arch::X32), Some(0x4000_0000 + 437));
        assert_eq!(number("read", Arch::Mips), Some(4003));
        assert_eq!(number("set_tls", Arch::Arm), Some(983_045));
        assert_eq!(number("accept", Arch::X86), None);
        assert_eq!(number("fork", Arch::Aarch64), None);
    }

    #[test]
    fn numbers_are_those_that_this_program_uses() {
        for (name, number) in [
            ("read", libc::SYS_read),
            ("clone3", libc::SYS_clone3),
            ("seccomp", libc::SYS_seccomp),
            ("mount_setattr", libc::SYS_mount_setattr),
            ("pidfd_open", libc::SYS_pidfd_open),
        ] {
            let ours = Syscall::from_name(name).unwrap().number(Arch::NATIVE);
            assert_eq!(ours.map(i64::from), Some(number), "{name}");
        }
    }
}
