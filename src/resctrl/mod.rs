//! Intel RDT, and what other makers have of its kind: shares of the cache and of the bandwidth to memory, handed out by the
//! kernel's resctrl file system.
//!
//! A [`Group`] is a directory of the file system: its tasks get what its schemata say. There is one level of them, and
//! below each the groups that only count (`mon_groups`). A process is in one group, and its children with it.
//!
//! See the kernel's `Documentation/filesystems/resctrl.rst` and the runtime specification, `config-linux.md`, "IntelRdt".
//! Linux 4.10; bandwidth 4.12, counting 4.14.

mod stats;

use std::path::{Path, PathBuf};

use rustix::fs::{FsWord, Mode, OFlags};
use rustix::io::Errno;
use rustix::process::Pid;

pub use stats::{BandwidthCounts, BandwidthInfo, CacheCounts, CacheInfo, Stats};

use crate::error::{Attempt, Error, Kind, Result};
use crate::sys::mountinfo;

/// Where the kernel makes a folder for it, and everybody mounts it.
const USUAL: &str = "/sys/fs/resctrl";
/// `RDTGROUP_SUPER_MAGIC` of linux/magic.h.
const MAGIC: FsWord = 0x0765_5821;

/// The file system, mounted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree {
    root: PathBuf,
}

impl Tree {
    /// Finds it at its usual place, else by mountinfo. `None` where it is not mounted: the machine lacks it, or its owner
    /// has not.
    ///
    /// # Errors
    /// mountinfo cannot be read.
    pub fn find() -> Result<Option<Tree>> {
        if rustix::fs::statfs(USUAL).is_ok_and(|status| status.f_type == MAGIC) {
            return Ok(Some(Tree::at(Path::new(USUAL))));
        }
        let table = mountinfo::read("self")?;
        let found = mountinfo::lines(&table).find(|mount| mount.kind == b"resctrl");
        Ok(found.map(|mount| Tree::at(&mount.point())))
    }

    /// The one that is mounted at `root`.
    pub fn at(root: &Path) -> Tree {
        Tree { root: root.to_owned() }
    }

    fn has(&self, info: &[&str]) -> bool {
        info.iter().any(|name| self.root.join("info").join(name).exists())
    }

    /// Whether shares of the L3 cache can be had.
    pub fn has_cache(&self) -> bool {
        self.has(&["L3", "L3CODE"])
    }

    /// Whether shares of the bandwidth to memory can be had.
    pub fn has_bandwidth(&self) -> bool {
        self.has(&["MB"])
    }

    /// The group `name`, `/` for that of everybody; `counted_as` is the name of the group below it that counts.
    pub fn group(&self, name: &str, counted_as: Option<&str>) -> Group {
        let path = if name == "/" { self.root.clone() } else { self.root.join(name) };
        let counting = counted_as.map(|name| path.join("mon_groups").join(name));
        Group { tree: self.clone(), path, counting }
    }
}

/// A group of tasks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    tree: Tree,
    path: PathBuf,
    counting: Option<PathBuf>,
}

impl Group {
    /// The group whose directories are these.
    ///
    /// # Errors
    /// They are below no resctrl file system.
    pub fn open(path: &Path, counting: Option<&Path>) -> Result<Group> {
        let tree = Tree::find()?.filter(|tree| path.starts_with(&tree.root));
        let tree =
            tree.ok_or_else(|| Error::unsupported(format!("{} is in no resctrl file system", path.display())))?;
        Ok(Group { tree, path: path.to_owned(), counting: counting.map(Path::to_owned) })
    }

    /// Its directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The directory of the group below it that counts for one container.
    pub fn counting(&self) -> Option<&Path> {
        self.counting.as_deref()
    }

    /// Whether it is there.
    pub fn exists(&self) -> bool {
        self.path.is_dir()
    }

    /// Makes it; says whether it is new.
    ///
    /// # Errors
    /// There are no more groups to be had (`ENOSPC`), and the kernel's words.
    pub fn make(&self) -> Result<bool> {
        self.mkdir(&self.path)
    }

    /// Makes the group below it that counts.
    ///
    /// # Errors
    /// As [`Group::make`].
    pub fn make_counting(&self) -> Result<()> {
        self.counting.as_deref().map_or(Ok(()), |counting| self.mkdir(counting).map(drop))
    }

    fn mkdir(&self, dir: &Path) -> Result<bool> {
        match rustix::fs::mkdir(dir, Mode::from_raw_mode(0o755)) {
            Ok(()) => Ok(true),
            Err(Errno::EXIST) => Ok(false),
            Err(errno) => Err(self.explained(Error::os(errno, format!("mkdir {}", dir.display())))),
        }
    }

    /// Moves a process, with the threads that it has now, into the group and into the one that counts.
    ///
    /// # Errors
    /// As write(2), with the kernel's words.
    pub fn add(&self, pid: Pid) -> Result<()> {
        let pid = pid.as_raw_nonzero().to_string();
        self.write(&self.path.join("tasks"), &pid)?;
        self.counting.as_deref().map_or(Ok(()), |counting| self.write(&counting.join("tasks"), &pid))
    }

    /// Sets what the group gets: a resource a line (`L3:0=ff;1=c0`, `MB:0=20`).
    ///
    /// # Errors
    /// As write(2), with the kernel's words: what of it the machine does not have.
    pub fn set(&self, schemata: &str) -> Result<()> {
        self.write(&self.path.join("schemata"), schemata)
    }

    /// Removes the group, or only the one that counts; what is gone is no error. Tasks go to the group above.
    ///
    /// # Errors
    /// As rmdir(2).
    pub fn remove(&self, whole: bool) -> Result<()> {
        let dir = if whole { Some(self.path.as_path()) } else { self.counting.as_deref() };
        match dir.map_or(Ok(()), rustix::fs::rmdir) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => {
                let dir = dir.unwrap_or(&self.path).display();
                Err(self.explained(Error::os(errno, format!("rmdir {dir}"))))
            }
        }
    }

    /// One write, which the kernel takes whole or not at all.
    fn write(&self, file: &Path, value: &str) -> Result<()> {
        let what = || format!("write {value:?} to {}", file.display());
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::CLOEXEC;
        let written = rustix::fs::open(file, flags, Mode::from_raw_mode(0o644))
            .and_then(|file| rustix::io::write(&file, value.as_bytes()));
        match written {
            Ok(length) if length == value.len() => Ok(()),
            Ok(_) => Err(self.explained(Error::os(Errno::IO, what()))),
            Err(errno) => Err(self.explained(Error::os(errno, what()))),
        }
    }

    /// `error` with what the kernel says of the last thing that it refused.
    fn explained(&self, error: Error) -> Error {
        match std::fs::read_to_string(self.tree.root.join("info/last_cmd_status")) {
            Ok(status) if !matches!(status.trim(), "" | "ok") => {
                Error::new(Kind::Os, format!("{} (last_cmd_status: {})", error.as_go_prints_it(), status.trim()))
            }
            _ => error,
        }
    }

    /// What it has, and what it uses.
    ///
    /// # Errors
    /// A file cannot be read, or is not as the kernel documents it.
    pub fn stats(&self) -> Result<Stats> {
        stats::read(self)
    }
}

/// The content of a file without the line's end.
fn content(dir: &Path, name: &str) -> Result<String> {
    let file = dir.join(name);
    let content = std::fs::read_to_string(&file).attempt(|| format!("read {}", file.display()))?;
    Ok(content.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tree of plain files, as the kernel would have it on a machine with two caches.
    pub(super) struct Plain(PathBuf);

    impl Plain {
        pub(super) fn new(name: &str) -> (Plain, Tree) {
            let root = std::env::temp_dir().join(format!("nskit-test-resctrl-{name}-{}", std::process::id()));
            let plain = Plain(root);
            for (file, content) in [
                ("info/last_cmd_status", "ok\n"),
                ("info/L3/cbm_mask", "fffff\n"),
                ("info/L3/min_cbm_bits", "1\n"),
                ("info/L3/num_closids", "16\n"),
                ("info/MB/bandwidth_gran", "10\n"),
                ("info/MB/delay_linear", "1\n"),
                ("info/MB/min_bandwidth", "10\n"),
                ("info/MB/num_closids", "8\n"),
                ("info/L3_MON/mon_features", "llc_occupancy\nmbm_total_bytes\nmbm_local_bytes\n"),
                ("schemata", "    MB:0=100;1=100\n    L3:0=fffff;1=fffff\n"),
                ("tasks", ""),
                ("mon_groups/.keep", ""),
            ] {
                plain.write(file, content);
            }
            let tree = Tree::at(&plain.0);
            (plain, tree)
        }

        pub(super) fn write(&self, file: &str, content: &str) {
            let file = self.0.join(file);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, content).unwrap();
        }

        fn read(&self, file: &str) -> String {
            std::fs::read_to_string(self.0.join(file)).unwrap()
        }
    }

    impl Drop for Plain {
        fn drop(&mut self) {
            std::fs::remove_dir_all(&self.0).unwrap();
        }
    }

    #[test]
    fn a_group_takes_a_process_and_its_schemata() {
        let (plain, tree) = Plain::new("group");
        assert!(tree.has_cache() && tree.has_bandwidth());
        let group = tree.group("c1", Some("c1"));
        assert!(!group.exists());
        assert!(group.make().unwrap());
        assert!(!group.make().unwrap());
        std::fs::create_dir(group.path().join("mon_groups")).unwrap();
        group.make_counting().unwrap();
        group.set("L3:0=f\nMB:0=20\n").unwrap();
        group.add(Pid::from_raw(42).unwrap()).unwrap();
        assert_eq!(plain.read("c1/schemata"), "L3:0=f\nMB:0=20\n");
        assert_eq!((plain.read("c1/tasks"), plain.read("c1/mon_groups/c1/tasks")), ("42".into(), "42".into()));
    }

    #[test]
    fn what_is_gone_is_removed_already() {
        let (_plain, tree) = Plain::new("gone");
        let group = tree.group("c2", Some("c2"));
        group.remove(true).unwrap();
        group.make().unwrap();
        group.remove(false).unwrap();
        assert!(group.exists());
        group.remove(true).unwrap();
        assert!(!group.exists());
    }

    #[test]
    fn an_error_has_the_kernel_s_own_words() {
        let (plain, tree) = Plain::new("words");
        plain.write("info/last_cmd_status", "Mask out of range\n");
        let error = tree.group("none", None).set("L3:0=fffffff\n").unwrap_err().to_string();
        assert!(
            error.contains("none/schemata: no such file or directory (last_cmd_status: Mask out of range)"),
            "{error}"
        );
    }

    #[test]
    fn everybody_s_group_is_the_root() {
        let tree = Tree::at(Path::new("/r"));
        assert_eq!(tree.group("/", Some("c")).counting(), Some(Path::new("/r/mon_groups/c")));
        assert_eq!(tree.group("a", None).path(), Path::new("/r/a"));
    }
}
