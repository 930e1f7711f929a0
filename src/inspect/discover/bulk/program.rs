//! The programs that the kernel runs on every task and on every open file.
//!
//! Each writes a record of fixed size for what is of interest. A pointer that is followed may be NULL, and what it leads
//! to may go away meanwhile: the kernel lets a program load from anywhere, and gives it 0 for what is not there. Whether
//! what was read belongs together, the program sees to itself.

use super::layout::{Layout, Way};
use crate::namespace::Kind;
use crate::sys::bpf::Insn;

// Operations: class | source | operation, see the kernel's Documentation/bpf/standardization/instruction-set.rst.
const LOAD_WORD: u8 = 0x61;
const LOAD_DOUBLE: u8 = 0x79;
const STORE_WORD: u8 = 0x63;
const STORE_DOUBLE: u8 = 0x7b;
const STORE_NUMBER: u8 = 0x62;
const STORE_DOUBLE_NUMBER: u8 = 0x7a;
const MOVE: u8 = 0xbf;
const MOVE_NUMBER: u8 = 0xb7;
const ADD: u8 = 0x0f;
const ADD_NUMBER: u8 = 0x07;
const AND_NUMBER: u8 = 0x57;
const MULTIPLY_NUMBER: u8 = 0x27;
const JUMP: u8 = 0x05;
const JUMP_IF_EQUAL: u8 = 0x1d;
const JUMP_IF_NOT_EQUAL: u8 = 0x5d;
const JUMP_IF_NUMBER: u8 = 0x15;
const CALL: u8 = 0x85;
const EXIT: u8 = 0x95;

// What a program may call: `BPF_FUNC_*` of linux/bpf.h.
const PROBE_READ_KERNEL: i32 = 113; // Linux 5.5
const SEQ_WRITE: i32 = 127;
const GET_CURRENT_TASK_BTF: i32 = 158; // Linux 5.11
const SOCK_FROM_FILE: i32 = 162; // Linux 5.11

// Registers: the context comes in 1, arguments of calls are in 1 to 5, what is in 6 to 9 outlives calls, and the answer
// leaves in 0.
const ANSWER: u8 = 0;
const CONTEXT: u8 = 1;
const FIRST: u8 = 1;
const SECOND: u8 = 2;
const THIRD: u8 = 3;
const FOURTH: u8 = 4;
const TASK: u8 = 6;
const SEQ: u8 = 7;
const KEPT: u8 = 8;
const LEVEL: u8 = 9;
const FRAME: u8 = 10;

/// Magic numbers of file systems, of linux/magic.h.
const NSFS: i32 = 0x6e73_6673;
const SOCKFS: i32 = 0x534f_434b;

/// The numbers of a pid namespace are looked up for at most so many levels: the kernel has no more than 32.
const LEVELS: i32 = 63;

/// The sizes of the records, and where on the stack they are made.
pub(super) const TASK_RECORD: usize = 56;
pub(super) const FILE_RECORD: usize = 24;
const RECORD: i16 = -64;
/// Where on the stack a `struct upid` is copied to, and its size at most.
const UPID: i16 = -96;
pub(super) const UPID_SPACE: i16 = 32;

/// Where in a task's record what is.
pub(super) mod task {
    pub(in super::super) const TGID: usize = 0;
    pub(in super::super) const TID: usize = 4;
    /// Eight inode numbers in the order of the kinds, and two of the namespaces for children: pid, time.
    pub(in super::super) const NAMESPACES: usize = 8;
    pub(in super::super) const FOR_CHILDREN: usize = 40;
    /// Not 0 where the task went to other namespaces while they were read.
    pub(in super::super) const MOVED: usize = 48;
}

/// Where in a file's record what is.
pub(super) mod file {
    pub(in super::super) const TGID: usize = 0;
    pub(in super::super) const FD: usize = 4;
    pub(in super::super) const INODE: usize = 8;
    /// The inode number of a socket's network namespace, 0 where it is not known.
    pub(in super::super) const NET: usize = 16;
    pub(in super::super) const IS_SOCKET: usize = 20;
}

/// A place to jump to, which is behind the jump.
#[derive(Clone, Copy)]
struct Label(usize);

/// A program while it is written.
#[derive(Default)]
struct Code {
    insns: Vec<Insn>,
    jumps: Vec<(usize, Label)>,
    places: Vec<usize>,
}

impl Code {
    fn push(&mut self, code: u8, dst: u8, src: u8, off: i16, imm: i32) {
        self.insns.push(Insn::new(code, dst, src, off, imm));
    }

    fn label(&mut self) -> Label {
        self.places.push(0);
        Label(self.places.len() - 1)
    }

    /// The label is here.
    fn place(&mut self, label: Label) {
        self.places[label.0] = self.insns.len();
    }

    fn jump(&mut self, code: u8, dst: u8, src: u8, imm: i32, to: Label) {
        self.jumps.push((self.insns.len(), to));
        self.push(code, dst, src, 0, imm);
    }

    fn call(&mut self, function: i32) {
        self.push(CALL, 0, 0, 0, function);
    }

    fn pointer(&mut self, dst: u8, src: u8, off: i16) {
        self.push(LOAD_DOUBLE, dst, src, off, 0);
    }

    /// Follows the way to its end, where `load` loads to `dst` what is there; goes to `nothing` where a pointer is NULL.
    fn follow(&mut self, load: u8, dst: u8, from: u8, way: &Way, nothing: Label) {
        let mut at = from;
        for (index, &step) in way.0.iter().enumerate() {
            if index + 1 == way.0.len() {
                self.push(load, dst, at, step, 0);
            } else {
                self.pointer(dst, at, step);
                self.jump(JUMP_IF_NUMBER, dst, 0, 0, nothing);
            }
            at = dst;
        }
    }

    /// Writes the word at the end of the way to this place in the record, where the way leads there.
    fn record(&mut self, from: u8, way: Option<&Way>, place: usize) {
        let Some(way) = way else { return };
        let nothing = self.label();
        self.follow(LOAD_WORD, FIRST, from, way, nothing);
        self.push(STORE_WORD, FRAME, FIRST, RECORD + place as i16, 0);
        self.place(nothing);
    }

    /// Fills the record with zeros.
    fn clear(&mut self, size: usize) {
        for at in (0..size).step_by(8) {
            self.push(STORE_DOUBLE_NUMBER, FRAME, 0, RECORD + at as i16, 0);
        }
    }

    /// Brings to register `LEVEL` the level of the pid namespace that the reader is in: the kernel runs the program while
    /// that reads, and counts tasks by its pid namespace.
    fn level_of_reader(&mut self, layout: &Layout) {
        self.call(GET_CURRENT_TASK_BTF);
        self.pointer(FIRST, ANSWER, layout.thread_pid);
        self.push(LOAD_WORD, LEVEL, FIRST, layout.numbers.level, 0);
    }

    /// Copies from the `struct pid` in register `SECOND` the numbers at the level in `level` to the stack; zeros, where
    /// there is none.
    fn upid(&mut self, layout: &Layout, level: u8) {
        let numbers = &layout.numbers;
        if level != FOURTH {
            self.push(MOVE, FOURTH, level, 0, 0);
        }
        self.push(AND_NUMBER, FOURTH, 0, 0, LEVELS);
        self.push(MULTIPLY_NUMBER, FOURTH, 0, 0, numbers.size.into());
        self.push(MOVE, THIRD, SECOND, 0, 0);
        self.push(ADD_NUMBER, THIRD, 0, 0, numbers.first.into());
        self.push(ADD, THIRD, FOURTH, 0, 0);
        self.probe(UPID, numbers.size);
    }

    /// Copies `size` bytes from the address in register `THIRD` to this place on the stack.
    fn probe(&mut self, place: i16, size: i16) {
        self.push(MOVE, FIRST, FRAME, 0, 0);
        self.push(ADD_NUMBER, FIRST, 0, 0, place.into());
        self.push(MOVE_NUMBER, SECOND, 0, 0, size.into());
        self.call(PROBE_READ_KERNEL);
    }

    /// Writes what the reader calls the task in register `of` to this place in the record, and goes to `out` where that
    /// has no number any more.
    fn number(&mut self, layout: &Layout, of: u8, place: usize, out: Label) {
        self.pointer(SECOND, of, layout.thread_pid);
        self.upid(layout, LEVEL);
        self.push(LOAD_WORD, FIRST, FRAME, UPID + layout.numbers.number, 0);
        self.jump(JUMP_IF_NUMBER, FIRST, 0, 0, out);
        self.push(STORE_WORD, FRAME, FIRST, RECORD + place as i16, 0);
    }

    /// Writes the record out.
    fn write(&mut self, size: usize) {
        self.push(MOVE, FIRST, SEQ, 0, 0);
        self.push(MOVE, SECOND, FRAME, 0, 0);
        self.push(ADD_NUMBER, SECOND, 0, 0, RECORD.into());
        self.push(MOVE_NUMBER, THIRD, 0, 0, size as i32);
        self.call(SEQ_WRITE);
    }

    /// Ends the program, at `out`: the kernel is to go on to the next.
    fn end(mut self, out: Label) -> Vec<Insn> {
        self.place(out);
        self.push(MOVE_NUMBER, ANSWER, 0, 0, 0);
        self.push(EXIT, 0, 0, 0, 0);
        for (at, label) in self.jumps {
            self.insns[at].off = (self.places[label.0] - at - 1) as i16; // programs have some 200 instructions
        }
        self.insns
    }
}

/// Tells of every task, but of those threads that are where the first of their process is. The kernel gives it a
/// `struct bpf_iter__task`: two pointers, to the iterator and to the task.
pub(super) fn tasks(layout: &Layout) -> Vec<Insn> {
    let mut code = Code::default();
    let (out, tell, ending, nowhere, same) = (code.label(), code.label(), code.label(), code.label(), code.label());
    code.pointer(TASK, CONTEXT, 8);
    code.jump(JUMP_IF_NUMBER, TASK, 0, 0, out);
    code.pointer(SEQ, CONTEXT, 0);
    code.pointer(SEQ, SEQ, 0);
    code.pointer(KEPT, TASK, layout.nsproxy);

    // A thread is where its process is, unless it went elsewhere by itself: then it has another list of namespaces. The
    // user namespace is not in there, but only a process without other threads can change that.
    code.push(LOAD_WORD, FIRST, TASK, layout.pid, 0);
    code.push(LOAD_WORD, SECOND, TASK, layout.tgid, 0);
    code.jump(JUMP_IF_EQUAL, FIRST, SECOND, 0, tell);
    code.pointer(THIRD, TASK, layout.leader);
    code.pointer(FOURTH, THIRD, layout.nsproxy);
    code.jump(JUMP_IF_EQUAL, FOURTH, KEPT, 0, out);
    code.place(tell);

    code.clear(TASK_RECORD);
    // A task that is ending has left all but its pid and its user namespace.
    code.jump(JUMP_IF_NUMBER, KEPT, 0, 0, ending);
    for (kind, way) in layout.namespaces.iter().enumerate() {
        code.record(KEPT, way.as_ref(), task::NAMESPACES + 4 * kind);
    }
    for (which, way) in layout.for_children.iter().enumerate() {
        code.record(KEPT, way.as_ref(), task::FOR_CHILDREN + 4 * which);
    }
    code.place(ending);
    code.record(TASK, Some(&layout.user), task::NAMESPACES + 4 * Kind::User as usize);

    code.level_of_reader(layout);
    code.number(layout, TASK, task::TID, out);
    code.pointer(FIRST, TASK, layout.leader);
    code.number(layout, FIRST, task::TGID, out);
    // The pid namespace that a task is in is the innermost that it has a number in.
    code.pointer(SECOND, TASK, layout.thread_pid);
    code.push(LOAD_WORD, FOURTH, SECOND, layout.numbers.level, 0);
    code.upid(layout, FOURTH);
    code.pointer(THIRD, FRAME, UPID + layout.numbers.namespace);
    code.jump(JUMP_IF_NUMBER, THIRD, 0, 0, nowhere);
    code.push(ADD_NUMBER, THIRD, 0, 0, layout.numbers.inode.into());
    code.probe(RECORD + (task::NAMESPACES + 4 * Kind::Pid as usize) as i16, 4);
    code.place(nowhere);

    // As soon as a task has another list of namespaces, the kernel gives the old one's memory away: what was read is
    // the task's if it has the same list still.
    code.pointer(FIRST, TASK, layout.nsproxy);
    code.jump(JUMP_IF_EQUAL, FIRST, KEPT, 0, same);
    code.push(STORE_NUMBER, FRAME, 0, RECORD + task::MOVED as i16, 1);
    code.place(same);
    code.write(TASK_RECORD);
    code.end(out)
}

/// Tells of every descriptor of a process that is of a namespace or of a socket. The kernel gives it a
/// `struct bpf_iter__task_file`: pointers to the iterator and to the task, the descriptor, a pointer to the file.
pub(super) fn files(layout: &Layout) -> Vec<Insn> {
    let mut code = Code::default();
    let (out, socket, tell) = (code.label(), code.label(), code.label());
    code.pointer(TASK, CONTEXT, 8);
    code.jump(JUMP_IF_NUMBER, TASK, 0, 0, out);
    code.pointer(KEPT, CONTEXT, 24);
    code.jump(JUMP_IF_NUMBER, KEPT, 0, 0, out);
    // Threads come as well that have descriptors of their own.
    code.push(LOAD_WORD, SECOND, TASK, layout.pid, 0);
    code.push(LOAD_WORD, THIRD, TASK, layout.tgid, 0);
    code.jump(JUMP_IF_NOT_EQUAL, SECOND, THIRD, 0, out);

    code.clear(FILE_RECORD);
    code.pointer(SEQ, CONTEXT, 0);
    code.pointer(SEQ, SEQ, 0);
    code.push(LOAD_WORD, SECOND, CONTEXT, 16, 0);
    code.push(STORE_WORD, FRAME, SECOND, RECORD + file::FD as i16, 0);
    code.follow(LOAD_DOUBLE, FIRST, KEPT, &layout.magic, out);
    code.jump(JUMP_IF_NUMBER, FIRST, 0, SOCKFS, socket);
    code.jump(JUMP_IF_NUMBER, FIRST, 0, NSFS, tell);
    code.jump(JUMP, 0, 0, 0, out);

    code.place(socket);
    code.push(STORE_NUMBER, FRAME, 0, RECORD + file::IS_SOCKET as i16, 1);
    if layout.socket.is_some() {
        code.push(MOVE, FIRST, KEPT, 0, 0);
        code.call(SOCK_FROM_FILE);
        code.jump(JUMP_IF_NUMBER, ANSWER, 0, 0, tell);
        code.record(ANSWER, layout.socket.as_ref(), file::NET);
    }
    code.place(tell);
    code.follow(LOAD_DOUBLE, FIRST, KEPT, &layout.inode, out);
    code.push(STORE_DOUBLE, FRAME, FIRST, RECORD + file::INODE as i16, 0);
    code.level_of_reader(layout);
    code.number(layout, TASK, file::TGID, out);
    code.write(FILE_RECORD);
    code.end(out)
}
