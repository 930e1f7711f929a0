//! What the program does before it is relocated: nothing here may need a relocation, the C library, thread-local storage
//! or a static that holds a pointer, since none of these is there yet. It saves time only: whatever it leaves undone is
//! done again, and checked, by ordinary code later.
//!
//! - A container's verbs run from a read-only clone of the program's own mount (applets/runtime/protect.rs). Executed from
//!   here, that costs an execve(2), not a second start of the program with its relocations and its C library.
//! - Relocating a position-independent program writes to all pages of its initialised data. One madvise(2) has them
//!   copied together (`MADV_POPULATE_WRITE`, Linux 5.14), where page faults would do so one by one.

/// Defines `nskit_start`, which build.rs makes the program's first instruction; it goes on to the C library's `_start`.
#[cfg(target_arch = "x86_64")]
#[macro_export]
macro_rules! early_start {
    () => {
        // The kernel passes arguments on the stack and a function to register in rdx: both are as they were when `_start`
        // is reached. rbx is nobody's yet, and kept by the call. The stack is aligned as a call wants it.
        std::arch::global_asm!(
            ".globl nskit_start",
            ".type nskit_start, @function",
            "nskit_start:",
            "mov rbx, rdx",
            "mov rdi, rsp",
            "call {protect}",
            "lea rdi, [rip + __init_array_start]",
            "and rdi, -4096",
            "lea rsi, [rip + _end]",
            "sub rsi, rdi",
            "mov edx, 23", // MADV_POPULATE_WRITE
            "mov eax, 28", // madvise
            "syscall",
            "mov rdx, rbx",
            "jmp _start",
            protect = sym $crate::sys::early::protect,
        );
    };
}

/// As the other; on this architecture the program starts at `_start`.
#[cfg(not(target_arch = "x86_64"))]
#[macro_export]
macro_rules! early_start {
    () => {};
}

/// Executes the program once more from a read-only clone of its own mount, when its arguments say that it will enter a
/// container and it does not run from such a mount already. Returns when that is not so, or fails: then it is the
/// relocated program's to do.
///
/// # Safety
/// `stack` is the stack as execve(2) leaves it: the number of arguments, their addresses, null, those of the environment,
/// null.
#[cfg(target_arch = "x86_64")]
pub unsafe extern "C" fn protect(stack: *const usize) {
    const PATH: *const u8 = c"/proc/self/exe".as_ptr().cast();
    const EMPTY: *const u8 = c"".as_ptr().cast();
    const CWD: isize = -100;
    const EMPTY_PATH: usize = 0x1000;
    const OPEN_TREE_CLONE: usize = 1;
    const CLOEXEC: usize = 0o2_000_000;
    const RDONLY: u64 = 1;

    // SAFETY: by the caller's word, this is the layout; each argument is a terminated string.
    unsafe {
        let (count, argv) = (*stack, stack.add(1).cast::<*const u8>());
        if !enters_a_container(count, argv) {
            return;
        }
        let envp = argv.add(count + 1);
        // struct statfs has its flags after ten words: type, bsize, blocks, bfree, bavail, files, ffree, fsid, namelen, frsize.
        let mut statfs = std::mem::MaybeUninit::<[usize; 15]>::uninit();
        if call(libc::SYS_statfs, [PATH as usize, statfs.as_mut_ptr() as usize, 0, 0, 0]) < 0
            || *statfs.as_ptr().cast::<usize>().add(10) & RDONLY as usize != 0
        {
            return;
        }
        let clone = call(libc::SYS_open_tree, [CWD as usize, PATH as usize, OPEN_TREE_CLONE | CLOEXEC, 0, 0]);
        if clone < 0 {
            return;
        }
        // struct mount_attr: what to set, what to clear, propagation, user namespace.
        let attributes = [RDONLY, 0, 0, 0];
        let how = [clone as usize, EMPTY as usize, EMPTY_PATH, attributes.as_ptr() as usize, size_of_val(&attributes)];
        if call(libc::SYS_mount_setattr, how) == 0 {
            call(libc::SYS_execveat, [clone as usize, EMPTY as usize, argv as usize, envp as usize, EMPTY_PATH]);
        }
        call(libc::SYS_close, [clone as usize, 0, 0, 0, 0]);
    }
}

/// Whether this is the `runtime` applet with a verb that enters a container. An option's value that reads like a verb is
/// taken for one: then there is one more execve(2) than need be.
///
/// # Safety
/// `argv` holds `count` terminated strings.
#[cfg(target_arch = "x86_64")]
unsafe fn enters_a_container(count: usize, argv: *const *const u8) -> bool {
    // SAFETY: only the first `count` are looked at.
    unsafe {
        let is_runtime = |name| is(name, b"runc") || is(name, b"nskit-runtime") || is(name, b"runtime");
        let mut first = 1;
        if count < 2 || !is_runtime(last_component(*argv)) {
            first = 2;
            if count < 3 || !is_runtime(*argv.add(1)) {
                return false;
            }
        }
        while first < count {
            let argument = *argv.add(first);
            if is(argument, b"create") || is(argument, b"run") || is(argument, b"exec") {
                return true;
            }
            first += 1;
        }
        false
    }
}

/// # Safety
/// `path` is a terminated string.
#[cfg(target_arch = "x86_64")]
unsafe fn last_component(path: *const u8) -> *const u8 {
    let (mut name, mut at) = (path, path);
    // SAFETY: it ends where the string does. Volatile, so that the loop stays a loop: the compiler would make calls of the
    // C library of it, which are not there before relocation.
    unsafe {
        while at.read_volatile() != 0 {
            if at.read_volatile() == b'/' {
                name = at.add(1);
            }
            at = at.add(1);
        }
    }
    name
}

/// # Safety
/// `text` is a terminated string.
#[cfg(target_arch = "x86_64")]
unsafe fn is(text: *const u8, word: &[u8]) -> bool {
    let mut at = 0;
    // SAFETY: the first difference ends it, at the latest that of the terminator. Volatile: see `last_component`.
    unsafe {
        while at < word.len() {
            if text.add(at).read_volatile() != *word.as_ptr().add(at) {
                return false;
            }
            at += 1;
        }
        text.add(at).read_volatile() == 0
    }
}

/// A system call without the C library, whose errno is in thread-local storage: a negative number is an error.
///
/// # Safety
/// As the call itself.
#[cfg(target_arch = "x86_64")]
unsafe fn call(number: libc::c_long, arguments: [usize; 5]) -> isize {
    let result: isize;
    // SAFETY: the kernel changes rax, rcx and r11 and what the caller answers for.
    unsafe {
        std::arch::asm!(
            "syscall",
            inlateout("rax") number as isize => result,
            in("rdi") arguments[0],
            in("rsi") arguments[1],
            in("rdx") arguments[2],
            in("r10") arguments[3],
            in("r8") arguments[4],
            lateout("rcx") _,
            lateout("r11") _,
        );
    }
    result
}
