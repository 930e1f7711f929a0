//! Taking over a cgroup that a service manager has made.

use std::path::Path;

use super::{Cgroup, Controller, Layout, Made, Resources, v2};
use crate::error::{Error, Kind, Result};

impl Cgroup {
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
