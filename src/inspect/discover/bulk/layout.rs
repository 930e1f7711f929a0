//! Where in the running kernel's structures is what `/proc` tells: no two kernels agree on that, and each describes its
//! own.

use super::btf::{Btf, Id};
use crate::namespace::Kind;

/// How large a `struct upid` and a `struct nsproxy` may be.
pub(super) const UPID_SPACE: i16 = 32;
pub(super) const LIST_SPACE: i16 = 128;

/// How to get to something from a structure: where in it the pointer is to follow, where in what that points to the next,
/// and last where the thing itself is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Way(pub(super) Vec<i16>);

impl Way {
    /// The way along these members, of which each but the last is a pointer, and the last has `size` bytes.
    fn find(btf: &Btf<'_>, from: Id, members: &[&str], size: usize) -> Option<Way> {
        let mut steps = Vec::with_capacity(members.len());
        let mut at = from;
        for (index, member) in members.iter().enumerate() {
            let (offset, id) = btf.member(at, member)?;
            steps.push(i16::try_from(offset).ok()?);
            if index + 1 < members.len() {
                at = btf.pointee(id)?;
            } else if btf.size(id)? as usize != size {
                return None;
            }
        }
        Some(Way(steps))
    }
}

/// Where a pid namespace's number of a process is: `struct pid` has one `struct upid` for each level of them.
#[derive(Debug)]
pub(super) struct Numbers {
    /// How many there are, beside the outermost: in `struct pid`.
    pub(super) level: i16,
    /// The first of them: in `struct pid`.
    pub(super) first: i16,
    /// The size of one.
    pub(super) size: i16,
    /// The number: in one.
    pub(super) number: i16,
    /// The pointer to the pid namespace: in one.
    pub(super) namespace: i16,
    /// The inode number: in the pid namespace.
    pub(super) inode: i16,
}

/// What the programs need to know.
#[derive(Debug)]
pub(super) struct Layout {
    /// The function that tracing programs attach to that are to see all tasks.
    pub(super) tasks: Id,
    /// The one for all open files.
    pub(super) files: Id,
    /// In `struct task_struct`: the number in the first pid namespace, the one of its thread group, and pointers to its
    /// namespaces, to the first of its thread group and to its `struct pid`.
    pub(super) pid: i16,
    pub(super) tgid: i16,
    pub(super) nsproxy: i16,
    pub(super) leader: i16,
    pub(super) thread_pid: i16,
    pub(super) numbers: Numbers,
    /// The inode number of a task's user namespace, from the task.
    pub(super) user: Way,
    /// The size of its list of namespaces.
    pub(super) list: i16,
    /// In that list the pointers to the other namespaces, and in those their inode numbers; the one of the pid namespace
    /// is in `numbers`, and kinds that the kernel lacks are nowhere.
    pub(super) namespaces: [Option<[i16; 2]>; 8],
    /// Those that its children will be born in: pid, time.
    pub(super) for_children: [Option<[i16; 2]>; 2],
    /// From an open file: the magic number of its file system, and its inode number.
    pub(super) magic: Way,
    pub(super) inode: Way,
    /// From a `struct socket`: the inode number of its network namespace.
    pub(super) socket: Option<Way>,
}

const POINTER: usize = size_of::<u64>();
const INODE: usize = size_of::<u32>();

impl Layout {
    /// Finds out. `None` where the kernel is another than this knows.
    pub(super) fn read(description: &[u8]) -> Option<Layout> {
        // Programs load pointers of eight bytes.
        if size_of::<usize>() != POINTER {
            return None;
        }
        let names = ["bpf_iter_task", "bpf_iter_task_file", "sock_from_file"];
        let (btf, [tasks, files, sockets]) = Btf::read(description, names)?;
        let (tasks, files) = (tasks?, files?);
        // bpf_iter_task(meta, task) and bpf_iter_task_file(meta, task, fd, file)
        let task = btf.pointee(btf.parameter(tasks, 1)?)?;
        let file = btf.pointee(btf.parameter(files, 3)?)?;
        let nsproxy = btf.pointee(btf.member(task, "nsproxy")?.1)?;
        let in_task = |name, size| Way::find(&btf, task, &[name], size).map(|way| way.0[0]);
        let in_nsproxy = |name| Way::find(&btf, nsproxy, &[name, "ns.inum"], INODE)?.0.try_into().ok();
        let namespaces = Kind::ALL.map(|kind| {
            in_nsproxy(match kind {
                Kind::Mount => "mnt_ns",
                Kind::Uts => "uts_ns",
                Kind::Ipc => "ipc_ns",
                Kind::Net => "net_ns",
                Kind::Cgroup => "cgroup_ns",
                Kind::Time => "time_ns",
                Kind::Pid | Kind::User => return None,
            })
        });
        Some(Layout {
            tasks,
            files,
            pid: in_task("pid", 4)?,
            tgid: in_task("tgid", 4)?,
            nsproxy: in_task("nsproxy", POINTER)?,
            leader: in_task("group_leader", POINTER)?,
            thread_pid: in_task("thread_pid", POINTER)?,
            numbers: Numbers::read(&btf, task)?,
            list: btf.size(nsproxy).and_then(|size| i16::try_from(size).ok()).filter(|&size| size <= LIST_SPACE)?,
            user: Way::find(&btf, task, &["real_cred", "user_ns", "ns.inum"], INODE)?,
            namespaces,
            for_children: ["pid_ns_for_children", "time_ns_for_children"].map(in_nsproxy),
            magic: Way::find(&btf, file, &["f_inode", "i_sb", "s_magic"], 8)?,
            inode: Way::find(&btf, file, &["f_inode", "i_ino"], 8)?,
            socket: sockets.and_then(|function| {
                let socket = btf.pointee(btf.returned(function)?)?;
                Way::find(&btf, socket, &["sk", "__sk_common.skc_net.net", "ns.inum"], INODE)
            }),
        })
    }
}

impl Numbers {
    fn read(btf: &Btf<'_>, task: Id) -> Option<Numbers> {
        let pid = btf.pointee(btf.member(task, "thread_pid")?.1)?;
        let (first, numbers) = btf.member(pid, "numbers")?;
        let one = btf.element(numbers)?;
        let size = btf.size(one).filter(|&size| size <= UPID_SPACE as u32)?;
        let namespace = btf.pointee(btf.member(one, "ns")?.1)?;
        let place = |of, member, size| Way::find(btf, of, &[member], size).map(|way| way.0[0]);
        Some(Numbers {
            level: place(pid, "level", 4)?,
            first: i16::try_from(first).ok()?,
            size: i16::try_from(size).ok()?,
            number: place(one, "nr", 4)?,
            namespace: place(one, "ns", POINTER)?,
            inode: place(namespace, "ns.inum", INODE)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::btf::KernelTypes;

    #[test]
    fn this_kernel_is_known() {
        let Ok(types) = KernelTypes::open() else {
            return eprintln!("skipped: this kernel does not describe its types");
        };
        let layout = Layout::read(&types).unwrap();
        assert!(layout.namespaces.iter().flatten().count() >= 5, "{layout:?}");
    }
}
