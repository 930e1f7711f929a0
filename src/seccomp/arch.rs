//! The architectures that a filter can name, and what of their calling conventions a filter must know.

/// An architecture (ABI) as libseccomp and the runtime-spec name them: `SCMP_ARCH_*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // the names say it all
pub enum Arch {
    X86,
    X86_64,
    X32,
    Arm,
    Aarch64,
    Mips,
    Mips64,
    Mips64n32,
    Mipsel,
    Mipsel64,
    Mipsel64n32,
    Ppc,
    Ppc64,
    Ppc64le,
    S390,
    S390x,
    Parisc,
    Parisc64,
    Riscv64,
    Loongarch64,
    M68k,
    Sh,
    Sheb,
}

/// The columns of the table: one where architectures share their numbers.
#[derive(Clone, Copy)]
pub(super) enum Column {
    X86,
    X86_64,
    X32,
    Arm,
    Aarch64,
    Riscv64,
    Loongarch64,
    Mips,
    Mips64,
    Mips64n32,
    Parisc,
    Parisc64,
    Ppc,
    Ppc64,
    S390,
    S390x,
    M68k,
    Sh,
}

/// Set in every number of the x32 ABI, which shares x86_64's audit token (`__X32_SYSCALL_BIT`).
pub(super) const X32_BIT: u32 = 0x4000_0000;

/// What a filter must know of an architecture.
pub(super) struct Abi {
    /// `AUDIT_ARCH_*`, what the kernel puts into `seccomp_data.arch`.
    pub token: u32,
    /// Arguments are compared as 64 bits, not 32.
    pub wide: bool,
    /// The high half of an argument comes first in `seccomp_data.args`.
    pub big_endian: bool,
    /// Added to every number of the column.
    pub base: u32,
    pub column: Column,
    /// Has socketcall(2) (102) and ipc(2) (117), through which other calls can be made.
    pub multiplexes: bool,
}

impl Arch {
    /// Every architecture.
    pub const ALL: [Arch; 23] = [
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
        Arch::Loongarch64,
        Arch::M68k,
        Arch::Sh,
        Arch::Sheb,
    ];

    /// The architecture that this program was built for.
    pub const NATIVE: Arch = if cfg!(target_arch = "x86_64") {
        if cfg!(target_pointer_width = "32") { Arch::X32 } else { Arch::X86_64 }
    } else if cfg!(target_arch = "x86") {
        Arch::X86
    } else if cfg!(target_arch = "aarch64") {
        Arch::Aarch64
    } else if cfg!(target_arch = "arm") {
        Arch::Arm
    } else if cfg!(target_arch = "riscv64") {
        Arch::Riscv64
    } else if cfg!(target_arch = "loongarch64") {
        Arch::Loongarch64
    } else if cfg!(target_arch = "s390x") {
        Arch::S390x
    } else if cfg!(target_arch = "powerpc64") {
        if cfg!(target_endian = "little") { Arch::Ppc64le } else { Arch::Ppc64 }
    } else {
        panic!("seccomp: this architecture has no entry in Arch::NATIVE")
    };

    /// The constant's name in libseccomp and the runtime-spec: `SCMP_ARCH_X86_64`.
    pub fn name(self) -> &'static str {
        match self {
            Arch::X86 => "SCMP_ARCH_X86",
            Arch::X86_64 => "SCMP_ARCH_X86_64",
            Arch::X32 => "SCMP_ARCH_X32",
            Arch::Arm => "SCMP_ARCH_ARM",
            Arch::Aarch64 => "SCMP_ARCH_AARCH64",
            Arch::Mips => "SCMP_ARCH_MIPS",
            Arch::Mips64 => "SCMP_ARCH_MIPS64",
            Arch::Mips64n32 => "SCMP_ARCH_MIPS64N32",
            Arch::Mipsel => "SCMP_ARCH_MIPSEL",
            Arch::Mipsel64 => "SCMP_ARCH_MIPSEL64",
            Arch::Mipsel64n32 => "SCMP_ARCH_MIPSEL64N32",
            Arch::Ppc => "SCMP_ARCH_PPC",
            Arch::Ppc64 => "SCMP_ARCH_PPC64",
            Arch::Ppc64le => "SCMP_ARCH_PPC64LE",
            Arch::S390 => "SCMP_ARCH_S390",
            Arch::S390x => "SCMP_ARCH_S390X",
            Arch::Parisc => "SCMP_ARCH_PARISC",
            Arch::Parisc64 => "SCMP_ARCH_PARISC64",
            Arch::Riscv64 => "SCMP_ARCH_RISCV64",
            Arch::Loongarch64 => "SCMP_ARCH_LOONGARCH64",
            Arch::M68k => "SCMP_ARCH_M68K",
            Arch::Sh => "SCMP_ARCH_SH",
            Arch::Sheb => "SCMP_ARCH_SHEB",
        }
    }

    /// What the kernel reports in `seccomp_data.arch`: `AUDIT_ARCH_*` of linux/audit.h. x32 has x86_64's.
    pub fn token(self) -> u32 {
        self.abi().token
    }

    pub(super) fn abi(self) -> Abi {
        // token = ELF machine | 64 bit (0x8…) | little endian (0x4…) | MIPS n32 (0x2…)
        let plain = |token: u32, column| Abi {
            token,
            wide: token & 0x8000_0000 != 0,
            big_endian: token & 0x4000_0000 == 0,
            base: 0,
            column,
            multiplexes: false,
        };
        let multiplexing = |token, column| Abi { multiplexes: true, ..plain(token, column) };
        match self {
            Arch::X86 => multiplexing(0x4000_0003, Column::X86),
            Arch::X86_64 => plain(0xC000_003E, Column::X86_64),
            // As libseccomp does, x32's arguments are compared as the 32 bits that its programs pass.
            Arch::X32 => Abi { wide: false, base: X32_BIT, ..plain(0xC000_003E, Column::X32) },
            Arch::Arm => plain(0x4000_0028, Column::Arm),
            Arch::Aarch64 => plain(0xC000_00B7, Column::Aarch64),
            Arch::Mips => Abi { base: 4000, ..multiplexing(0x0000_0008, Column::Mips) },
            Arch::Mips64 => Abi { base: 5000, ..plain(0x8000_0008, Column::Mips64) },
            Arch::Mips64n32 => Abi { base: 6000, wide: false, ..plain(0xA000_0008, Column::Mips64n32) },
            Arch::Mipsel => Abi { base: 4000, ..multiplexing(0x4000_0008, Column::Mips) },
            Arch::Mipsel64 => Abi { base: 5000, ..plain(0xC000_0008, Column::Mips64) },
            Arch::Mipsel64n32 => Abi { base: 6000, wide: false, ..plain(0xE000_0008, Column::Mips64n32) },
            Arch::Ppc => multiplexing(0x0000_0014, Column::Ppc),
            Arch::Ppc64 => multiplexing(0x8000_0015, Column::Ppc64),
            Arch::Ppc64le => multiplexing(0xC000_0015, Column::Ppc64),
            Arch::S390 => multiplexing(0x0000_0016, Column::S390),
            Arch::S390x => multiplexing(0x8000_0016, Column::S390x),
            Arch::Parisc => plain(0x0000_000F, Column::Parisc),
            Arch::Parisc64 => plain(0x8000_000F, Column::Parisc64),
            Arch::Riscv64 => plain(0xC000_00F3, Column::Riscv64),
            Arch::Loongarch64 => plain(0xC000_0102, Column::Loongarch64),
            Arch::M68k => multiplexing(0x0000_0004, Column::M68k),
            Arch::Sh => multiplexing(0x4000_002A, Column::Sh),
            Arch::Sheb => multiplexing(0x0000_002A, Column::Sh),
        }
    }
}
