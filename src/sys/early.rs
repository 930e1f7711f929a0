//! What the program does before it is relocated, in assembly, since compiled code might need a relocation, the C library or
//! thread-local storage, none of which is there yet. It saves time only: whatever it leaves undone is done again, and
//! checked, by ordinary code later.
//!
//! - The verbs that enter containers run from a read-only clone of the program's own mount (applets/runtime/protect.rs says
//!   why). Executed from here, that costs an execve(2), not a second start with its relocations and its C library. An
//!   option's value that reads like a verb is taken for one: then there is one more execve(2) than need be. The path that
//!   was executed is lost over it, so it is done only where `argv` alone tells that this is the runtime, as the path did
//!   (applets/dispatch.rs).
//! - Relocating a position-independent program writes to all pages of its initialised data. One madvise(2) has them copied
//!   together (`MADV_POPULATE_WRITE`, Linux 5.14), where page faults would do so one by one. Only the runtime asks for it:
//!   unshare and nsenter have a budget of system calls to keep.

/// Defines `nskit_start`, which build.rs makes the program's first instruction; it goes on to the C library's `_start`.
#[cfg(target_arch = "x86_64")]
#[macro_export]
macro_rules! early_start {
    () => {
        // The kernel passes arguments on the stack and a function to register in rdx: both are as they were when `_start`
        // is reached. Registers else are nobody's yet. Memory that is written is below the stack's end.
        std::arch::global_asm!(
            ".pushsection .rodata.nskit_start, \"a\"",
            "9: .asciz \"/proc/self/exe\"",
            "2: .asciz \"runtime\"",
            "3: .asciz \"nskit-runtime\"",
            "4: .asciz \"runc\"",
            "5: .asciz \"create\"",
            "6: .asciz \"run\"",
            "7: .asciz \"exec\"",
            "8: .asciz \"\"",
            "16: .asciz \"nskit\"",
            ".popsection",
            ".pushsection .text.nskit_start, \"ax\"",
            ".globl nskit_start",
            ".type nskit_start, @function",
            "nskit_start:",
            "mov rbx, rdx",
            "mov r12, [rsp]",             // argc
            "lea r13, [rsp + 8]",         // argv
            "lea r14, [r13 + 8*r12 + 8]", // envp
            "test r12, r12",
            "jz 95f",
            // The path that was executed (AT_EXECFN, 31) goes to r10.
            "mov rsi, r14",
            "41: mov rax, [rsi]",
            "add rsi, 8",
            "test rax, rax",
            "jnz 41b",
            "42: mov rax, [rsi]",
            "mov r10, [rsi + 8]",
            "add rsi, 16",
            "test rax, rax",
            "jz 95f",
            "cmp rax, 31",
            "jne 42b",
            // argv[0] is the runtime's name: r9 and ebp are 1. It is nskit, and the next argument is the runtime's name: ebp
            // is 1. That begins with a dash: a verb may follow. Or it is the verb.
            "xor r9d, r9d",
            "xor ebp, ebp",
            "mov r15d, 1",
            "mov rdi, [r13]",
            "call 62f",
            "call 60f",
            "jne 21f",
            "mov r9d, 1",
            "mov ebp, 1",
            "jmp 30f",
            "21: lea rdi, [rip + 16b]",
            "call 70f",
            "jne 95f",
            "cmp r12, 2",
            "jb 95f",
            "mov rsi, [r13 + 8]",
            "call 60f",
            "jne 22f",
            "inc r15",
            "mov ebp, 1",
            "jmp 30f",
            "22: cmp byte ptr [rsi], 45", // '-'
            "je 30f",
            "mov r12d, 2",
            // One of the others is a verb that enters a container.
            "30: cmp r15, r12",
            "jae 91f",
            "mov rsi, [r13 + 8*r15]",
            "inc r15",
            "lea rdi, [rip + 5b]",
            "call 70f",
            "je 40f",
            "lea rdi, [rip + 6b]",
            "call 70f",
            "je 40f",
            "lea rdi, [rip + 7b]",
            "call 70f",
            "jne 30b",
            // A program that was executed by its descriptor, as below, has that for its path: nothing is left to do. What else
            // is executed so is judged later.
            "40: movabs rax, 0x2f64662f7665642f", // "/dev/fd/"
            "cmp [r10], rax",
            "je 90f",
            // The path says no more than argv[0].
            "mov rdi, r10",
            "call 62f",
            "call 60f",
            "jne 43f",
            "test r9d, r9d",
            "jz 90f",
            "jmp 44f",
            "43: lea rdi, [rip + 16b]",
            "call 70f",
            "jne 90f",
            // statfs(2): ST_RDONLY in f_flags, the eleventh word, says that it is protected already.
            "44: sub rsp, 128",
            "mov eax, 137",
            "lea rdi, [rip + 9b]",
            "mov rsi, rsp",
            "syscall",
            "test rax, rax",
            "jnz 80f",
            "test byte ptr [rsp + 80], 1",
            "jnz 80f",
            // open_tree(AT_FDCWD, …, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC)
            "mov eax, 428",
            "mov rdi, -100",
            "lea rsi, [rip + 9b]",
            "mov edx, 0x80001",
            "syscall",
            "test rax, rax",
            "js 80f",
            "mov r15, rax",
            // mount_setattr(…, "", AT_EMPTY_PATH, { .attr_set = MOUNT_ATTR_RDONLY }, 32)
            "mov eax, 442",
            "mov rdi, r15",
            "lea rsi, [rip + 8b]",
            "mov edx, 0x1000",
            "mov qword ptr [rsp], 1",
            "mov qword ptr [rsp + 8], 0",
            "mov qword ptr [rsp + 16], 0",
            "mov qword ptr [rsp + 24], 0",
            "mov r10, rsp",
            "mov r8d, 32",
            "syscall",
            "test rax, rax",
            "jnz 50f",
            // execveat(…, "", argv, envp, AT_EMPTY_PATH)
            "mov eax, 322",
            "mov rdi, r15",
            "lea rsi, [rip + 8b]",
            "mov rdx, r13",
            "mov r10, r14",
            "mov r8d, 0x1000",
            "syscall",
            "50: mov eax, 3", // close
            "mov rdi, r15",
            "syscall",
            "80: add rsp, 128",
            "jmp 90f",
            // No verb that enters a container, and it may not be the runtime at all.
            "91: test ebp, ebp",
            "jz 95f",
            // madvise(initialised data, MADV_POPULATE_WRITE)
            "90: mov eax, 28",
            "lea rdi, [rip + __init_array_start]",
            "and rdi, -4096",
            "lea rsi, [rip + _end]",
            "sub rsi, rdi",
            "mov edx, 23",
            "syscall",
            "95: mov rdx, rbx",
            "jmp _start",
            // Whether the string at rsi names the runtime: the zero flag.
            "60: lea rdi, [rip + 2b]",
            "call 70f",
            "je 61f",
            "lea rdi, [rip + 3b]",
            "call 70f",
            "je 61f",
            "lea rdi, [rip + 4b]",
            "call 70f",
            "61: ret",
            // The last component of the path at rdi: rsi.
            "62: mov rsi, rdi",
            "63: mov al, [rdi]",
            "inc rdi",
            "cmp al, 47", // '/'
            "je 62b",
            "test al, al",
            "jnz 63b",
            "ret",
            // Whether the strings at rsi and rdi are equal: the zero flag.
            "70: xor ecx, ecx",
            "71: mov al, [rsi + rcx]",
            "cmp al, [rdi + rcx]",
            "jne 72f",
            "inc rcx",
            "test al, al",
            "jnz 71b",
            "72: ret",
            ".popsection",
        );
    };
}

/// As the other; on this architecture the program starts at `_start`.
#[cfg(not(target_arch = "x86_64"))]
#[macro_export]
macro_rules! early_start {
    () => {};
}
