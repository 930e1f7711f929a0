//! Where the cgroup file systems are on this machine, and where in them a container belongs.

use std::cell::OnceCell;
use std::path::{Component, Path, PathBuf};

use rustix::fs::FsWord;
use rustix::io::Errno;

use super::{Controller, file};
use crate::error::{Attempt, Error, Result};
use crate::sys::mountinfo;

/// Where every distribution and engine mounts them.
const ROOT: &str = "/sys/fs/cgroup";
/// Where the unified hierarchy is on a hybrid machine.
const HYBRID: &str = "/sys/fs/cgroup/unified";

// Magic numbers of statfs(2), from linux/magic.h.
const CGROUP_SUPER_MAGIC: FsWord = 0x27_e0eb;
const CGROUP2_SUPER_MAGIC: FsWord = 0x6367_7270;

/// Which versions of control groups this machine uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// v1 hierarchies only.
    Legacy,
    /// v1 hierarchies, and a unified one beside them.
    Hybrid,
    /// v2 only.
    Unified,
}

/// A mounted hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hierarchy {
    /// Its controllers: one on v1, or several that are mounted together; `Unified` alone for the unified hierarchy.
    pub(super) controllers: Vec<Controller>,
    /// Where it is mounted.
    pub(super) mount: PathBuf,
    /// The cgroup of this process, as `/proc/self/cgroup` has it; on a machine of v2 alone, once it was asked for.
    own: OnceCell<PathBuf>,
}

impl Hierarchy {
    fn own(&self) -> Result<&Path> {
        if let Some(own) = self.own.get() {
            return Ok(own);
        }
        let own = own_unified("/proc/self/cgroup")?;
        Ok(self.own.get_or_init(|| own))
    }
}

/// A directory for a container in one hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The hierarchy's controllers.
    pub controllers: Vec<Controller>,
    /// Where the hierarchy is mounted.
    pub mount: PathBuf,
    /// The directory.
    pub path: PathBuf,
}

impl Place {
    /// Whether it is in the unified hierarchy.
    pub fn is_unified(&self) -> bool {
        Controller::are_unified(&self.controllers)
    }

    /// What [`super::Cgroup::paths`] will have of it, once it is made.
    pub fn names(&self) -> impl Iterator<Item = (String, PathBuf)> {
        self.controllers.iter().map(|controller| (controller.name().to_owned(), self.path.clone()))
    }
}

/// The cgroup file systems of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    mode: Mode,
    /// In the order of their first controllers.
    pub(super) hierarchies: Vec<Hierarchy>,
}

fn file_system(path: &Path) -> Result<FsWord, Errno> {
    rustix::fs::statfs(path).map(|status| status.f_type)
}

/// Whether cgroup v2 is mounted on `path`. A failure to look is not an answer.
fn is_unified(path: &Path) -> Result<bool> {
    match file_system(path) {
        Ok(magic) => Ok(magic == CGROUP2_SUPER_MAGIC),
        Err(Errno::NOENT | Errno::NOTDIR | Errno::ACCESS | Errno::PERM) => Ok(false),
        Err(errno) => Err(Error::os(errno, format!("look at the file system of {}", path.display()))),
    }
}

impl Layout {
    /// Finds the hierarchies: one statfs(2) a hierarchy and `/proc/self/cgroup`. `mountinfo` is read only when one is
    /// not where it is on any common machine.
    ///
    /// # Errors
    /// There is none, or `/proc` is not mounted.
    pub fn detect() -> Result<Layout> {
        Layout::detect_by("/proc/self/cgroup")
    }

    /// The hierarchies with the places of the process `pid` in them, instead of this one's.
    ///
    /// # Errors
    /// As [`Layout::detect`], and when the process is gone.
    pub(super) fn of_process(pid: rustix::process::Pid) -> Result<Layout> {
        let proc_file = format!("/proc/{}/cgroup", pid.as_raw_pid());
        let layout = Layout::detect_by(&proc_file)?;
        if let ([hierarchy], true) = (&layout.hierarchies[..], layout.is_unified()) {
            let _ = hierarchy.own.set(own_unified(&proc_file)?);
        }
        Ok(layout)
    }

    fn detect_by(proc_file: &str) -> Result<Layout> {
        let root = Path::new(ROOT);
        if is_unified(root)? {
            return Ok(Layout::unified(root));
        }
        let own = file::read_path(Path::new(proc_file)).attempt(|| format!("read {proc_file}"))?;
        let hybrid = is_unified(Path::new(HYBRID))?;
        let mut hierarchies = Vec::new();
        let mut mounts = None;
        for (controllers, own) in parse_own(&own) {
            let unified = Controller::are_unified(&controllers);
            let mount = if unified {
                hybrid.then(|| PathBuf::from(HYBRID))
            } else if let Some(mount) = usual_mount(&controllers) {
                Some(mount)
            } else {
                let mounts = match &mounts {
                    Some(mounts) => mounts,
                    None => mounts.insert(read_mounts()?),
                };
                mounts.iter().find(|mount| mount.holds(controllers[0])).map(|mount| mount.point.clone())
            };
            if let Some(mount) = mount {
                hierarchies.push(Hierarchy { controllers, mount, own: own.into() });
            }
        }
        if hierarchies.is_empty() {
            return Err(Error::unsupported(format!("no cgroup file system is mounted on {ROOT}")));
        }
        hierarchies.sort_by_key(|hierarchy| hierarchy.controllers[0]);
        Ok(Layout { mode: if hybrid { Mode::Hybrid } else { Mode::Legacy }, hierarchies })
    }

    /// The layout of a machine with nothing but a v2 hierarchy, mounted at `mount`.
    fn unified(mount: &Path) -> Layout {
        let hierarchy =
            Hierarchy { controllers: vec![Controller::Unified], mount: mount.to_owned(), own: OnceCell::new() };
        Layout { mode: Mode::Unified, hierarchies: vec![hierarchy] }
    }

    /// A layout that need not be this machine's, with processes at the root of every hierarchy.
    #[cfg(test)]
    pub(super) fn of(mode: Mode, hierarchies: Vec<(Vec<Controller>, PathBuf)>) -> Layout {
        let hierarchy = |(controllers, mount)| Hierarchy { controllers, mount, own: PathBuf::from("/").into() };
        Layout { mode, hierarchies: hierarchies.into_iter().map(hierarchy).collect() }
    }

    /// Which versions are in use.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// Whether this is a machine of v2 alone.
    pub fn is_unified(&self) -> bool {
        self.mode == Mode::Unified
    }

    /// Where `location` is in each hierarchy, made or not.
    ///
    /// # Errors
    /// When this process's own cgroup, which a relative location goes by, cannot be told.
    pub fn places(&self, location: &Location) -> Result<Vec<Place>> {
        let paths = self.place(location)?;
        let place = |(hierarchy, path): (&Hierarchy, PathBuf)| Place {
            controllers: hierarchy.controllers.clone(),
            mount: hierarchy.mount.clone(),
            path,
        };
        Ok(self.hierarchies.iter().zip(paths).map(place).collect())
    }

    /// Where the process that the layout was detected by is in each hierarchy.
    ///
    /// # Errors
    /// It is outside of what is mounted here.
    pub fn own_places(&self) -> Result<Vec<Place>> {
        let place = |hierarchy: &Hierarchy| {
            let (controllers, mount) = (hierarchy.controllers.clone(), hierarchy.mount.clone());
            own_dir(hierarchy).map(|path| Place { controllers, mount, path })
        };
        self.hierarchies.iter().map(place).collect()
    }

    /// The cgroup of a process in the unified hierarchy, below its mount point.
    ///
    /// # Errors
    /// The process is gone, or outside of this process's cgroup namespace.
    pub fn place_of_process(pid: rustix::process::Pid) -> Result<PathBuf> {
        let own = own_unified(&format!("/proc/{}/cgroup", pid.as_raw_pid()))?;
        if leads_out(&own) {
            return Err(Error::unsupported(format!("cgroup {} is outside this cgroup namespace", own.display())));
        }
        Ok(own.strip_prefix("/").map(Path::to_owned).unwrap_or(own))
    }

    /// Whether a hierarchy is mounted there: the root of one.
    pub(super) fn is_mount(&self, dir: &Path) -> bool {
        self.hierarchies.iter().any(|hierarchy| hierarchy.mount == dir)
    }

    /// Leaves the unified hierarchy of a hybrid machine out, where nothing is limited.
    pub fn leave_unified_out(&mut self) {
        if self.mode == Mode::Hybrid {
            self.hierarchies.retain(|hierarchy| !Controller::are_unified(&hierarchy.controllers));
        }
    }

    /// The directory for `location` in each hierarchy, in the order of [`Layout::hierarchies`].
    pub(super) fn place(&self, location: &Location) -> Result<Vec<PathBuf>> {
        self.hierarchies.iter().map(|hierarchy| self.place_in(hierarchy, &location.path)).collect()
    }

    fn place_in(&self, hierarchy: &Hierarchy, path: &Path) -> Result<PathBuf> {
        if let Ok(path) = path.strip_prefix("/") {
            return Ok(hierarchy.mount.join(path));
        }
        if self.mode == Mode::Unified {
            let own = hierarchy.own()?;
            if leads_out(own) {
                return Err(Error::unsupported("this process's own cgroup is outside its cgroup namespace"));
            }
            // This process is in its own cgroup, and so that one cannot pass controllers on: go beside it.
            let above = own.parent().unwrap_or(Path::new("/"));
            return Ok(hierarchy.mount.join(above.strip_prefix("/").unwrap_or(above)).join(path));
        }
        // Nothing is limited in the unified part of a hybrid machine; runc places containers below its root.
        if Controller::are_unified(&hierarchy.controllers) {
            return Ok(hierarchy.mount.join(path));
        }
        Ok(own_dir(hierarchy)?.join(path))
    }
}

/// The directory of the process's own cgroup. What `/proc/PID/cgroup` says is seen from the root of the cgroup
/// namespace; a container without one may have a part of the hierarchy mounted, which only mountinfo tells.
fn own_dir(hierarchy: &Hierarchy) -> Result<PathBuf> {
    let full = hierarchy.own()?;
    let own = full.strip_prefix("/").unwrap_or(full);
    let dir = hierarchy.mount.join(own);
    let exists = || match rustix::fs::access(&dir, rustix::fs::Access::EXISTS) {
        Ok(()) => Ok(true),
        Err(Errno::NOENT | Errno::NOTDIR | Errno::ACCESS) => Ok(false),
        Err(errno) => Err(Error::os(errno, format!("look at cgroup {}", dir.display()))),
    };
    if own.as_os_str().is_empty() || (!leads_out(own) && exists()?) {
        return Ok(dir);
    }
    let mounts = read_mounts()?;
    let below = mounts
        .iter()
        .find(|mount| mount.point == hierarchy.mount)
        .and_then(|mount| full.strip_prefix(&mount.root).ok());
    below.filter(|below| !leads_out(below)).map(|below| hierarchy.mount.join(below)).ok_or_else(|| {
        let (own, mount) = (full.display(), hierarchy.mount.display());
        Error::unsupported(format!("cgroup {own} is not below what is mounted on {mount}"))
    })
}

/// Where the process `pid` has cgroup file systems mounted, of either version, as it sees it itself.
///
/// # Errors
/// The process is gone.
pub fn mount_points_of(pid: rustix::process::Pid) -> Result<Vec<PathBuf>> {
    let mounts = mountinfo::read(pid.as_raw_pid())?;
    let of_cgroups = mountinfo::lines(&mounts).filter(|mount| matches!(mount.kind, b"cgroup" | b"cgroup2"));
    Ok(of_cgroups.map(|mount| mount.point()).collect())
}

/// Whether a path of `/proc/PID/cgroup` is outside the cgroup namespace: it begins with `/..` then.
fn leads_out(own: &Path) -> bool {
    own.components().any(|component| component == Component::ParentDir)
}

/// The cgroup of a process in the unified hierarchy, from its `/proc/PID/cgroup`.
pub(super) fn own_unified(proc_file: &str) -> Result<PathBuf> {
    let content = file::read_path(Path::new(proc_file)).attempt(|| format!("read {proc_file}"))?;
    let own = content.lines().find_map(|line| line.strip_prefix("0::"));
    match own {
        None => Err(Error::unsupported(format!("{proc_file} names no cgroup of the unified hierarchy"))),
        Some(own) if own.ends_with(" (deleted)") => {
            Err(Error::unsupported(format!("the cgroup of this process ({proc_file}) has been removed")))
        }
        Some(own) => Ok(PathBuf::from(own)),
    }
}

/// The hierarchies in `/proc/PID/cgroup` (cgroups(7)) that containers are placed in, with the process's cgroup.
fn parse_own(content: &str) -> Vec<(Vec<Controller>, PathBuf)> {
    let hierarchies = content.lines().filter_map(|line| {
        let (_, rest) = line.split_once(':')?;
        let (names, own) = rest.split_once(':')?;
        let mut controllers: Vec<_> = names.split(',').filter_map(Controller::from_name).collect();
        controllers.sort_unstable();
        (!controllers.is_empty()).then(|| (controllers, PathBuf::from(own)))
    });
    hierarchies.collect()
}

/// The mount point of a v1 hierarchy by its usual names: all its controllers as the kernel or as distributions order
/// them (`cpu,cpuacct`, `net_cls,net_prio`), or a link with the name of one of them.
fn usual_mount(controllers: &[Controller]) -> Option<PathBuf> {
    let name = |controller: &Controller| controller.name().trim_start_matches("name=");
    let together = controllers.iter().map(name).collect::<Vec<_>>().join(",");
    let root = Path::new(ROOT);
    let is_hierarchy = |path: &PathBuf| file_system(path) == Ok(CGROUP_SUPER_MAGIC);
    std::iter::once(together.as_str())
        .chain(controllers.iter().map(name).filter(|_| controllers.len() > 1))
        .map(|name| root.join(name))
        .find(is_hierarchy)
}

/// A v1 hierarchy in `/proc/self/mountinfo`.
#[derive(Debug, PartialEq, Eq)]
struct Mount {
    root: PathBuf,
    point: PathBuf,
    options: String,
}

impl Mount {
    fn holds(&self, controller: Controller) -> bool {
        self.options.split(',').any(|option| option == controller.name())
    }
}

fn read_mounts() -> Result<Vec<Mount>> {
    Ok(parse_mounts(&mountinfo::read("self")?))
}

/// The v1 hierarchies in a mountinfo.
fn parse_mounts(mounts: &[u8]) -> Vec<Mount> {
    let of_v1 = mountinfo::lines(mounts).filter(|mount| mount.kind == b"cgroup");
    let options = |mount: &mountinfo::Line<'_>| String::from_utf8_lossy(mount.super_options).into_owned();
    of_v1
        .map(|mount| Mount { root: mountinfo::unescape(mount.root), point: mount.point(), options: options(&mount) })
        .collect()
}

/// Where in the hierarchies a container belongs: `linux.cgroupsPath`, or a place of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    /// Without `.` and `..`: absolute is below the mount points, relative below the cgroup of this process.
    path: PathBuf,
    /// Whether somebody asked for this place.
    explicit: bool,
}

impl Location {
    /// The place for the container `id` whose configuration has `cgroups_path`.
    ///
    /// An absolute path is below each hierarchy's mount point. A relative one, or the id where there is none, is below
    /// the cgroup of this process; on v2 beside it, since a cgroup with processes passes no controllers on. `..` leads
    /// nowhere above.
    pub fn new(cgroups_path: Option<&Path>, id: &str) -> Location {
        let explicit = cgroups_path.filter(|path| !path.as_os_str().is_empty());
        let path = clean(explicit.unwrap_or(Path::new(id)));
        Location { path, explicit: explicit.is_some() }
    }

    /// Whether the configuration asked for this place.
    pub fn is_explicit(&self) -> bool {
        self.explicit
    }
}

/// The path without `.`, `..` and doubled slashes, by its letters alone; above its start there is nothing.
pub(super) fn clean(path: &Path) -> PathBuf {
    let mut cleaned = PathBuf::new();
    for component in path.components() {
        match component {
            Component::RootDir => cleaned.push("/"),
            Component::Normal(name) => cleaned.push(name),
            Component::ParentDir => {
                cleaned.pop();
            }
            Component::CurDir | Component::Prefix(_) => {}
        }
    }
    cleaned
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path_of(cgroups_path: &str) -> String {
        Location::new(Some(Path::new(cgroups_path)), "id").path.to_str().unwrap().to_owned()
    }

    #[test]
    fn a_path_cannot_lead_out_of_the_hierarchy() {
        assert_eq!(path_of("/a/../../b/./c//d"), "/b/c/d");
        assert_eq!(path_of("../../a/b/.."), "a");
        assert_eq!(path_of("/../.."), "/");
    }

    #[test]
    fn without_a_path_the_id_is_the_place() {
        let location = Location::new(None, "c1");
        assert_eq!((location.path.as_path(), location.is_explicit()), (Path::new("c1"), false));
        assert_eq!(Location::new(Some(Path::new("")), "c1"), location);
        assert!(Location::new(Some(Path::new("/x")), "c1").is_explicit());
    }

    #[test]
    fn reads_which_hierarchies_there_are() {
        let own =
            "12:net_prio,net_cls:/\n4:cpu,cpuacct:/docker/x\n3:name=elogind:/\n1:name=systemd:/user.slice\n0::/\n";
        assert_eq!(
            parse_own(own),
            [
                (vec![Controller::NetCls, Controller::NetPrio], PathBuf::from("/")),
                (vec![Controller::Cpu, Controller::Cpuacct], PathBuf::from("/docker/x")),
                (vec![Controller::Systemd], PathBuf::from("/user.slice")),
                (vec![Controller::Unified], PathBuf::from("/")),
            ]
        );
    }

    #[test]
    fn reads_v1_hierarchies_out_of_mountinfo() {
        let line =
            "34 25 0:30 /docker/x /sys/fs/cg\\040roup/cpu,cpuacct rw,nosuid shared:9 - cgroup cgroup rw,cpu,cpuacct";
        let [mount] = &parse_mounts(line.as_bytes())[..] else { panic!("not one hierarchy: {line}") };
        assert_eq!(mount.root, Path::new("/docker/x"));
        assert_eq!(mount.point, Path::new("/sys/fs/cg roup/cpu,cpuacct"));
        assert!(mount.holds(Controller::Cpuacct) && !mount.holds(Controller::Memory));
        assert!(parse_mounts(b"30 25 0:26 / /sys/fs/cgroup/unified rw - cgroup2 cgroup rw").is_empty());
    }

    #[test]
    fn places_absolute_paths_below_the_mount_points() {
        let layout = Layout {
            mode: Mode::Hybrid,
            hierarchies: vec![
                Hierarchy {
                    controllers: vec![Controller::Pids],
                    mount: "/m/pids".into(),
                    own: PathBuf::from("/").into(),
                },
                Hierarchy {
                    controllers: vec![Controller::Unified],
                    mount: "/m/unified".into(),
                    own: PathBuf::from("/x").into(),
                },
            ],
        };
        let place = |path: &str| layout.place(&Location::new(Some(Path::new(path)), "id")).unwrap();
        assert_eq!(place("/a/b"), [Path::new("/m/pids/a/b"), Path::new("/m/unified/a/b")]);
        assert_eq!(place("a/b"), [Path::new("/m/pids/a/b"), Path::new("/m/unified/a/b")]);
    }

    #[test]
    fn finds_what_this_machine_has() {
        let layout = Layout::detect().unwrap();
        assert_eq!(layout.is_unified(), layout.hierarchies[0].controllers == [Controller::Unified]);
        for hierarchy in &layout.hierarchies {
            assert!(hierarchy.mount.join("cgroup.procs").exists(), "{}", hierarchy.mount.display());
        }
    }
}
