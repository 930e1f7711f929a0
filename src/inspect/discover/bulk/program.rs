//! The programs that the kernel runs on every task and on every open file.
//!
//! Each writes a record of fixed size for what is of interest. All is read by `bpf_probe_read_kernel()`, which gives zeros
//! for what is not there, so that a pointer may be NULL, and what it leads to may go away meanwhile. Whether what was read
//! belongs together, the program sees to itself. Loads without a call would be faster, but for each that gives a pointer
//! the kernel's verifier searches all names of its types several times (seen in Linux 6.18): a millisecond a load.

use super::layout::{LIST_SPACE, Layout, UPID_SPACE, Way};
use crate::namespace::Kind;
use crate::sys::bpf::Insn;

// Operations: class | source | operation, see the kernel's Documentation/bpf/standardization/instruction-set.rst.
const LOAD_WORD: u8 = 0x61;
const LOAD_DOUBLE: u8 = 0x79;
const STORE_WORD: u8 = 0x63;
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

/// A level of pid namespaces has these bits: the kernel has no more than 33 levels.
const LEVELS: i32 = 63;

/// The sizes of the records.
pub(super) const TASK_RECORD: usize = 56;
pub(super) const FILE_RECORD: usize = 24;

// Where on the stack what is, by its distance from the frame's end: the record; a `struct upid`; a pointer that is
// followed, or another number that is looked at; a `struct nsproxy`.
const RECORD: i16 = -64;
const UPID: i16 = RECORD - UPID_SPACE;
const NEXT: i16 = UPID - 8;
const LIST: i16 = NEXT - LIST_SPACE;

/// Where in a task's record what is.
pub(super) mod task {
    pub(in crate::inspect::discover) const TGID: usize = 0;
    pub(in crate::inspect::discover) const TID: usize = 4;
    /// Eight inode numbers in the order of the kinds, and two of the namespaces for children: pid, time.
    pub(in crate::inspect::discover) const NAMESPACES: usize = 8;
    pub(in crate::inspect::discover) const FOR_CHILDREN: usize = 40;
    /// Not 0 where the task went to other namespaces while they were read.
    pub(in crate::inspect::discover) const MOVED: usize = 48;
}

/// Where in a file's record what is.
pub(super) mod file {
    pub(in crate::inspect::discover) const TGID: usize = 0;
    pub(in crate::inspect::discover) const FD: usize = 4;
    pub(in crate::inspect::discover) const INODE: usize = 8;
    /// The inode number of a socket's network namespace, 0 where it is not known.
    pub(in crate::inspect::discover) const NET: usize = 16;
    pub(in crate::inspect::discover) const IS_SOCKET: usize = 20;
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

    /// Copies `size` bytes, from `offset` behind the address in register `from` on, to this place on the stack.
    fn probe(&mut self, place: i16, size: i16, from: u8, offset: i16) {
        if from != THIRD {
            self.push(MOVE, THIRD, from, 0, 0);
        }
        self.push(ADD_NUMBER, THIRD, 0, 0, offset.into());
        self.push(MOVE, FIRST, FRAME, 0, 0);
        self.push(ADD_NUMBER, FIRST, 0, 0, place.into());
        self.push(MOVE_NUMBER, SECOND, 0, 0, size.into());
        self.call(PROBE_READ_KERNEL);
    }

    /// Follows the way from the address in register `from`, and copies `size` bytes from its end to this place.
    fn follow(&mut self, place: i16, size: i16, from: u8, way: &Way) {
        let mut from = from;
        for (index, &step) in way.0.iter().enumerate() {
            if index + 1 == way.0.len() {
                self.probe(place, size, from, step);
            } else {
                self.probe(NEXT, 8, from, step);
                self.push(LOAD_DOUBLE, THIRD, FRAME, NEXT, 0);
                from = THIRD;
            }
        }
    }

    /// Fills the record with zeros.
    fn clear(&mut self, size: usize) {
        for at in (0..size).step_by(8) {
            self.push(STORE_DOUBLE_NUMBER, FRAME, 0, RECORD + at as i16, 0);
        }
    }

    /// Takes what iterators of both kinds are given: pointers to the iterator and to a task, which is missing at the end.
    fn begin(&mut self, out: Label) {
        self.push(LOAD_DOUBLE, TASK, CONTEXT, 8, 0);
        self.jump(JUMP_IF_NUMBER, TASK, 0, 0, out);
        self.push(LOAD_DOUBLE, SEQ, CONTEXT, 0, 0);
        self.push(LOAD_DOUBLE, SEQ, SEQ, 0, 0);
    }

    /// Goes to `to` if the task is the first of its process.
    fn jump_if_first(&mut self, layout: &Layout, to: Label) {
        self.push(LOAD_WORD, SECOND, TASK, layout.pid, 0);
        self.push(LOAD_WORD, THIRD, TASK, layout.tgid, 0);
        self.jump(JUMP_IF_EQUAL, SECOND, THIRD, 0, to);
    }

    /// Brings to register `LEVEL` the level of the pid namespace that the reader is in: the kernel runs the program while
    /// that reads, and counts tasks by its pid namespace.
    fn level_of_reader(&mut self, layout: &Layout) {
        self.call(GET_CURRENT_TASK_BTF);
        self.follow(NEXT, 4, ANSWER, &Way(vec![layout.thread_pid, layout.numbers.level]));
        self.push(LOAD_WORD, LEVEL, FRAME, NEXT, 0);
    }

    /// Copies the number at the level in register `level`, of the `struct pid` whose address is in register `THIRD`.
    fn upid(&mut self, layout: &Layout, level: u8) {
        let numbers = &layout.numbers;
        self.push(MOVE, FOURTH, level, 0, 0);
        self.push(AND_NUMBER, FOURTH, 0, 0, LEVELS);
        self.push(MULTIPLY_NUMBER, FOURTH, 0, 0, numbers.size.into());
        self.push(ADD, THIRD, FOURTH, 0, 0);
        self.probe(UPID, numbers.size, THIRD, numbers.first);
    }

    /// Writes what the reader calls the task at the address in register `of` to this place in the record, and goes to
    /// `out` where that has no number any more.
    fn number(&mut self, layout: &Layout, of: u8, place: usize, out: Label) {
        self.probe(NEXT, 8, of, layout.thread_pid);
        self.push(LOAD_DOUBLE, THIRD, FRAME, NEXT, 0);
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
    let (out, number, tell, same) = (code.label(), code.label(), code.label(), code.label());
    code.begin(out);
    code.probe(NEXT, 8, TASK, layout.nsproxy);
    code.push(LOAD_DOUBLE, KEPT, FRAME, NEXT, 0);

    // A thread is where its process is, unless it went elsewhere by itself: then it has another list of namespaces. The
    // user namespace is not in there, but only a process without other threads can change that.
    code.jump_if_first(layout, number);
    code.follow(NEXT, 8, TASK, &Way(vec![layout.leader, layout.nsproxy]));
    code.push(LOAD_DOUBLE, FIRST, FRAME, NEXT, 0);
    code.jump(JUMP_IF_EQUAL, FIRST, KEPT, 0, out);
    code.place(number);

    code.clear(TASK_RECORD);
    code.level_of_reader(layout);
    code.number(layout, TASK, task::TID, out);
    code.push(STORE_WORD, FRAME, FIRST, RECORD + task::TGID as i16, 0);
    code.jump_if_first(layout, tell);
    code.probe(NEXT, 8, TASK, layout.leader);
    code.push(LOAD_DOUBLE, THIRD, FRAME, NEXT, 0);
    code.number(layout, THIRD, task::TGID, out);

    code.place(tell);
    // Of a task that is ending there is none, which gives zeros: it has left all but its pid and its user namespace.
    code.probe(LIST, layout.list, KEPT, 0);
    let namespaces = layout.namespaces.iter().enumerate().map(|(kind, way)| (task::NAMESPACES + 4 * kind, way));
    let for_children = layout.for_children.iter().enumerate().map(|(which, way)| (task::FOR_CHILDREN + 4 * which, way));
    for (place, way) in namespaces.chain(for_children) {
        let Some([member, inode]) = way else { continue };
        code.push(LOAD_DOUBLE, THIRD, FRAME, LIST + member, 0);
        code.probe(RECORD + place as i16, 4, THIRD, *inode);
    }
    code.follow(RECORD + (task::NAMESPACES + 4 * Kind::User as usize) as i16, 4, TASK, &layout.user);

    // The pid namespace that a task is in is the innermost that it has a number in.
    let numbers = &layout.numbers;
    code.probe(NEXT, 8, TASK, layout.thread_pid);
    code.push(LOAD_DOUBLE, LEVEL, FRAME, NEXT, 0);
    code.probe(NEXT, 4, LEVEL, numbers.level);
    code.push(MOVE, THIRD, LEVEL, 0, 0);
    code.push(LOAD_WORD, LEVEL, FRAME, NEXT, 0);
    code.upid(layout, LEVEL);
    code.push(LOAD_DOUBLE, THIRD, FRAME, UPID + numbers.namespace, 0);
    code.probe(RECORD + (task::NAMESPACES + 4 * Kind::Pid as usize) as i16, 4, THIRD, numbers.inode);

    // As soon as a task has another list of namespaces, the kernel gives the old one's memory away: what was read is
    // the task's if it has the same list still.
    code.probe(NEXT, 8, TASK, layout.nsproxy);
    code.push(LOAD_DOUBLE, FIRST, FRAME, NEXT, 0);
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
    let (out, first, socket, tell) = (code.label(), code.label(), code.label(), code.label());
    code.begin(out);
    code.push(LOAD_DOUBLE, KEPT, CONTEXT, 24, 0);
    code.jump(JUMP_IF_NUMBER, KEPT, 0, 0, out);
    // Threads come as well that have descriptors of their own.
    code.jump_if_first(layout, first);
    code.jump(JUMP, 0, 0, 0, out);
    code.place(first);

    code.clear(FILE_RECORD);
    code.push(LOAD_WORD, SECOND, CONTEXT, 16, 0);
    code.push(STORE_WORD, FRAME, SECOND, RECORD + file::FD as i16, 0);
    code.follow(NEXT, 8, KEPT, &layout.magic);
    code.push(LOAD_DOUBLE, FIRST, FRAME, NEXT, 0);
    code.jump(JUMP_IF_NUMBER, FIRST, 0, SOCKFS, socket);
    code.jump(JUMP_IF_NUMBER, FIRST, 0, NSFS, tell);
    code.jump(JUMP, 0, 0, 0, out);

    code.place(socket);
    code.push(STORE_NUMBER, FRAME, 0, RECORD + file::IS_SOCKET as i16, 1);
    if let Some(net) = &layout.socket {
        code.push(MOVE, FIRST, KEPT, 0, 0);
        code.call(SOCK_FROM_FILE);
        code.jump(JUMP_IF_NUMBER, ANSWER, 0, 0, tell);
        code.follow(RECORD + file::NET as i16, 4, ANSWER, net);
    }
    code.place(tell);
    code.follow(RECORD + file::INODE as i16, 8, KEPT, &layout.inode);
    code.level_of_reader(layout);
    code.number(layout, TASK, file::TGID, out);
    code.write(FILE_RECORD);
    code.end(out)
}

#[cfg(test)]
mod tests {
    use rustix::io::Errno;

    use super::*;
    use crate::sys::bpf;
    use crate::sys::btf::KernelTypes;

    #[test]
    fn the_verifier_takes_both() {
        let Ok(types) = KernelTypes::open() else {
            return eprintln!("skipped: this kernel does not describe its types");
        };
        let layout = Layout::read(&types).unwrap();
        for (program, function) in [(tasks(&layout), layout.tasks), (files(&layout), layout.files)] {
            let mut log = Vec::new();
            match bpf::iterate(&program, function, Some(&mut log)) {
                Err(Errno::PERM) => return eprintln!("skipped: bpf(2) is denied"),
                taken => assert!(taken.is_ok(), "{taken:?}\n{}", String::from_utf8_lossy(&log)),
            }
        }
    }

    #[test]
    fn jumps_lead_to_their_labels() {
        let mut code = Code::default();
        let (near, far) = (code.label(), code.label());
        code.jump(JUMP_IF_NUMBER, FIRST, 0, 0, far);
        code.jump(JUMP, 0, 0, 0, near);
        code.push(MOVE, FIRST, SECOND, 0, 0);
        code.place(near);
        code.push(MOVE, SECOND, FIRST, 0, 0);
        let offsets: Vec<i16> = code.end(far).iter().map(|insn| insn.off).collect();
        assert_eq!(offsets, [3, 1, 0, 0, 0, 0]);
    }
}
