//! Taking over a cgroup that a service manager has made.

use std::path::Path;

use rustix::process::Pid;

use super::freezer::Freezer;
use super::layout::Hierarchy;
use super::{Cgroup, Controller, Dir, Layout, Made, Paths, Resources, v1, v2};
use crate::error::{Error, Kind, Result};

impl Cgroup {
    /// Looks at where somebody else is about to make the cgroup of a container.
    ///
    /// # Errors
    /// Of kind [`Kind::State`]: it is there already and holds processes, or it will be frozen, by itself or from above.
    pub fn check_vacant(layout: &Layout, path: &Path) -> Result<()> {
        for Hierarchy { controllers, mount, .. } in &layout.hierarchies {
            let path = mount.join(path);
            if layout.is_unified() || !Controller::are_only_for_placement(controllers) {
                super::check_empty(&path)?;
            }
            let freezer: fn(&Path) -> Freezer<'_> = match controllers.as_slice() {
                [Controller::Unified] => |dir| Freezer::V2(dir),
                controllers if controllers.contains(&Controller::Freezer) => |dir| Freezer::V1(dir),
                _ => continue,
            };
            path.ancestors().take_while(|dir| dir != mount).try_for_each(|dir| freezer(dir).check_thawed())?;
        }
        Ok(())
    }

    /// Makes a cgroup at `path` in the unified hierarchy, below one that somebody else has made, and moves a process there.
    ///
    /// # Errors
    /// As mkdir(2) and [`Cgroup::join`].
    pub fn move_below(layout: &Layout, path: &Path, pid: Pid) -> Result<()> {
        let mount = layout.hierarchies.first().map(|hierarchy| hierarchy.mount.as_path()).unwrap_or(Path::new("/"));
        let path = mount.join(path);
        let mut made = Made(Vec::new());
        made.mkdir(mount, &path)?;
        Cgroup::open(&[(Controller::Unified.name().to_owned(), path)].into())?.join(Some(pid))?;
        made.keep();
        Ok(())
    }

    /// The cgroup that somebody else has made at `path` in the unified hierarchy, for a container that is to have
    /// `resources`: sees to it that controllers reach it which its maker does not know. On v1, makes it in the hierarchies
    /// that its maker does not know.
    ///
    /// # Errors
    /// It is not there, or cannot have the controllers that limits ask for.
    pub fn adopt(layout: &Layout, path: &Path, resources: &Resources) -> Result<Cgroup> {
        if !layout.is_unified() {
            return Cgroup::adopt_v1(layout, path, resources);
        }
        let mount = layout.hierarchies.first().map(|hierarchy| hierarchy.mount.as_path()).unwrap_or(Path::new("/"));
        let path = mount.join(path);
        let mut cgroup = Cgroup::open(&[(Controller::Unified.name().to_owned(), path.clone())].into())?;
        // Not kept: where it was missing, it is to be missing again.
        let made = &mut Made(Vec::new());
        let found = v2::create(mount, &path, resources, made)?;
        if found.fresh {
            return Err(Error::new(Kind::NotFound, format!("there is no cgroup {}", path.display())));
        }
        cgroup.not_enabled = found.not_enabled;
        // Device rules that its maker may have set hold beside those of the container.
        cgroup.dirs[0].fresh = true;
        Ok(cgroup)
    }
    fn adopt_v1(layout: &Layout, path: &Path, resources: &Resources) -> Result<Cgroup> {
        let mut cgroup = Cgroup::open(&Paths::new())?;
        let mut made = Made(Vec::new());
        for hierarchy in &layout.hierarchies {
            let path = hierarchy.mount.join(path);
            match v1::create(hierarchy, &path, resources, &mut made) {
                Ok(dir) => {
                    let controllers = hierarchy.controllers.clone();
                    cgroup.dirs.push(Dir { path, controllers, fresh: dir.fresh });
                }
                Err(_) if Controller::are_only_for_placement(&hierarchy.controllers) => {}
                Err(error) => return Err(error.context("unable to apply cgroup configuration")),
            }
        }
        made.keep();
        Ok(cgroup)
    }
}
