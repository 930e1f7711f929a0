//! The eight kinds of namespace, in one table.

use std::fmt;
use std::ops::{BitAnd, BitOr, BitOrAssign, Sub};

/// A kind of namespace; see namespaces(7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Kind {
    /// Mount points; mount_namespaces(7).
    Mount,
    /// Host name and NIS domain name; uts_namespaces(7).
    Uts,
    /// System V IPC and POSIX message queues; ipc_namespaces(7).
    Ipc,
    /// Network devices, addresses, ports; network_namespaces(7).
    Net,
    /// Process ids; pid_namespaces(7).
    Pid,
    /// User and group ids, capabilities; user_namespaces(7).
    User,
    /// The root of the cgroup tree; cgroup_namespaces(7), Linux 4.6.
    Cgroup,
    /// Offsets of the monotonic and boot-time clocks; time_namespaces(7), Linux 5.6.
    Time,
}

struct Row {
    flag: u32,
    proc_name: &'static str,
    proc_name_for_children: &'static str,
    oci_name: &'static str,
}

const fn row(flag: i32, proc_name: &'static str, for_children: &'static str, oci_name: &'static str) -> Row {
    Row { flag: flag as u32, proc_name, proc_name_for_children: for_children, oci_name }
}

/// In the order of [`Kind`]'s discriminants.
const TABLE: [Row; 8] = [
    row(libc::CLONE_NEWNS, "mnt", "mnt", "mount"),
    row(libc::CLONE_NEWUTS, "uts", "uts", "uts"),
    row(libc::CLONE_NEWIPC, "ipc", "ipc", "ipc"),
    row(libc::CLONE_NEWNET, "net", "net", "network"),
    row(libc::CLONE_NEWPID, "pid", "pid_for_children", "pid"),
    row(libc::CLONE_NEWUSER, "user", "user", "user"),
    row(libc::CLONE_NEWCGROUP, "cgroup", "cgroup", "cgroup"),
    row(0x80, "time", "time_for_children", "time"), // CLONE_NEWTIME
];

impl Kind {
    /// Every kind, in the order of the table.
    pub const ALL: [Kind; 8] =
        [Kind::Mount, Kind::Uts, Kind::Ipc, Kind::Net, Kind::Pid, Kind::User, Kind::Cgroup, Kind::Time];

    /// The `CLONE_NEW*` flag.
    pub const fn flag(self) -> u32 {
        TABLE[self as usize].flag
    }

    /// The kind of the namespace that is open as `ns`; `None` when this program does not know it. Linux 4.11.
    ///
    /// # Errors
    /// `ENOTTY` where `ns` is no namespace or the kernel is older.
    pub fn of_file(ns: impl std::os::fd::AsFd) -> Result<Option<Kind>, rustix::io::Errno> {
        crate::sys::ioctl::namespace_flag(ns).map(Kind::from_flag)
    }

    /// The kind that has this `CLONE_NEW*` flag.
    pub fn from_flag(flag: u32) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.flag() == flag)
    }

    /// The name of the link in `/proc/PID/ns/`.
    pub const fn proc_name(self) -> &'static str {
        TABLE[self as usize].proc_name
    }

    /// The name of the link in `/proc/PID/ns/` for the namespace that children will be born in: differs for pid and
    /// time.
    pub const fn proc_name_for_children(self) -> &'static str {
        TABLE[self as usize].proc_name_for_children
    }

    /// The inode number of the namespace that the kernel starts with: `*_NS_INIT_INO` of linux/nsfs.h. Mount and network
    /// namespaces have it from Linux 6.18 on; before, theirs are numbered like any other.
    pub const fn initial_inode(self) -> u64 {
        match self {
            Kind::Ipc => 0xefff_ffff,
            Kind::Uts => 0xefff_fffe,
            Kind::User => 0xefff_fffd,
            Kind::Pid => 0xefff_fffc,
            Kind::Cgroup => 0xefff_fffb,
            Kind::Time => 0xefff_fffa,
            Kind::Net => 0xefff_fff9,
            Kind::Mount => 0xefff_fff8,
        }
    }

    /// The name in an OCI `config.json`.
    pub const fn oci_name(self) -> &'static str {
        TABLE[self as usize].oci_name
    }

    /// The kind with this name in `/proc/PID/ns/`.
    pub fn from_proc_name(name: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.proc_name() == name)
    }

    /// The kind with this name in an OCI `config.json`.
    pub fn from_oci_name(name: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.oci_name() == name)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.oci_name())
    }
}

/// A set of kinds.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Kinds(u8);

impl Kinds {
    /// No kind.
    pub const NONE: Kinds = Kinds(0);
    /// All eight kinds.
    pub const ALL: Kinds = Kinds(0xff);

    /// The set that holds just `kind`.
    pub const fn only(kind: Kind) -> Kinds {
        Kinds(1 << kind as u8)
    }

    /// Whether `kind` is in the set.
    pub const fn contains(self, kind: Kind) -> bool {
        self.0 & (1 << kind as u8) != 0
    }

    /// Whether any of `other` is in the set.
    pub const fn intersects(self, other: Kinds) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether the set is empty.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Adds `kind`.
    pub fn insert(&mut self, kind: Kind) {
        self.0 |= 1 << kind as u8;
    }

    /// Takes `kind` away.
    pub fn remove(&mut self, kind: Kind) {
        self.0 &= !(1 << kind as u8);
    }

    /// The kinds in the set, in the order of [`Kind::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Kind> {
        Kind::ALL.into_iter().filter(move |kind| self.contains(*kind))
    }

    /// The `CLONE_NEW*` flags of all kinds in the set.
    pub fn flags(self) -> u32 {
        self.iter().fold(0, |flags, kind| flags | kind.flag())
    }
}

impl FromIterator<Kind> for Kinds {
    fn from_iter<I: IntoIterator<Item = Kind>>(kinds: I) -> Kinds {
        kinds.into_iter().fold(Kinds::NONE, |set, kind| set | kind)
    }
}

impl BitOr<Kind> for Kinds {
    type Output = Kinds;
    fn bitor(self, kind: Kind) -> Kinds {
        Kinds(self.0 | 1 << kind as u8)
    }
}

impl BitOr for Kinds {
    type Output = Kinds;
    fn bitor(self, other: Kinds) -> Kinds {
        Kinds(self.0 | other.0)
    }
}

impl BitOrAssign for Kinds {
    fn bitor_assign(&mut self, other: Kinds) {
        self.0 |= other.0;
    }
}

impl BitAnd for Kinds {
    type Output = Kinds;
    fn bitand(self, other: Kinds) -> Kinds {
        Kinds(self.0 & other.0)
    }
}

impl Sub for Kinds {
    type Output = Kinds;
    fn sub(self, other: Kinds) -> Kinds {
        Kinds(self.0 & !other.0)
    }
}

impl fmt::Debug for Kinds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_found_by_each_of_its_names() {
        for kind in Kind::ALL {
            assert_eq!(Kind::from_flag(kind.flag()), Some(kind));
            assert_eq!(Kind::from_proc_name(kind.proc_name()), Some(kind));
            assert_eq!(Kind::from_oci_name(kind.oci_name()), Some(kind));
        }
        assert_eq!(Kind::from_oci_name("bogus"), None);
    }

    #[test]
    fn a_set_holds_what_was_put_in() {
        let set: Kinds = [Kind::User, Kind::Pid].into_iter().collect();
        assert_eq!(set.flags(), Kind::User.flag() | Kind::Pid.flag());
        assert_eq!((set - Kinds::only(Kind::User)).iter().collect::<Vec<_>>(), [Kind::Pid]);
    }
}
