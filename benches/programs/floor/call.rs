//! System calls, bare: one function that makes them, and what their arguments are made of.

/// The address of what a system call reads.
pub fn at<T: ?Sized>(what: &T) -> usize {
    (&raw const *what).cast::<u8>().expose_provenance()
}

/// The address of what a system call writes.
pub fn at_mut<T: ?Sized>(what: &mut T) -> usize {
    (&raw mut *what).cast::<u8>().expose_provenance()
}

/// Makes system call `number` and returns its result, or the errno. An argument that is an address comes from
/// `at`, or `at_mut` where the kernel writes, on something that is alive until the call returns.
pub fn call<const N: usize>(number: libc::c_long, arguments: [usize; N]) -> Result<usize, i32> {
    let mut registers = [0; 6];
    registers[..N].copy_from_slice(&arguments);
    let [a, b, c, d, e, f] = registers;
    // SAFETY: addresses are those of live memory, as every caller in this program keeps; lengths are beside them.
    let result = unsafe { libc::syscall(number, a, b, c, d, e, f) };
    // SAFETY: errno is this thread's own.
    if result < 0 { Err(unsafe { *libc::__errno_location() }) } else { Ok(result as usize) }
}

/// Makes a system call that must succeed; the program ends with a line that says what did not.
pub fn must<const N: usize>(what: &str, number: libc::c_long, arguments: [usize; N]) -> usize {
    call(number, arguments).unwrap_or_else(|errno| fail(what, errno))
}

/// Ends the program: what was attempted, and why it failed.
pub fn fail(what: &str, errno: i32) -> ! {
    eprintln!("floor: {what}: {}", std::io::Error::from_raw_os_error(errno));
    std::process::exit(1)
}

/// A path in memory of its own, without a heap: NUL-terminated, at most 511 bytes.
pub struct Path {
    bytes: [u8; 512],
}

impl Path {
    /// The pieces, one after the other.
    pub fn new(pieces: &[&[u8]]) -> Path {
        let mut bytes = [0; 512];
        let mut length = 0;
        for piece in pieces {
            if length + piece.len() >= bytes.len() {
                fail("join a path", libc::ENAMETOOLONG);
            }
            bytes[length..length + piece.len()].copy_from_slice(piece);
            length += piece.len();
        }
        Path { bytes }
    }

    /// The address of its first byte.
    pub fn at(&self) -> usize {
        at(&self.bytes)
    }
}
