//! Taking over a cgroup that a service manager has made.

use std::path::Path;

use super::freezer::Freezer;
use super::{Cgroup, Controller, Layout, Made, Resources, v2};
use crate::error::{Error, Kind, Result};

impl Cgroup {
    /// Looks at where somebody else is about to make the cgroup of a container, in the unified hierarchy.
    ///
    /// # Errors
    /// Of kind [`Kind::State`]: it is there already and holds processes, or it will be frozen, by itself or from above.
    pub fn check_vacant(layout: &Layout, path: &Path) -> Result<()> {
        let mount = layout.hierarchies.first().map(|hierarchy| hierarchy.mount.as_path()).unwrap_or(Path::new("/"));
        let path = mount.join(path);
        super::check_empty(&path)?;
        path.ancestors().take_while(|dir| *dir != mount).try_for_each(|dir| Freezer::V2(dir).check_thawed())
    }

    /// The cgroup that somebody else has made at `path` in the unified hierarchy, for a container that is to have
    /// `resources`: sees to it that controllers reach it which its maker does not know.
    ///
    /// # Errors
    /// It is not there, or cannot have the controllers that limits ask for.
    pub fn adopt(layout: &Layout, path: &Path, resources: &Resources) -> Result<Cgroup> {
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
}
