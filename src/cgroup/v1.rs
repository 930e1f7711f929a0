//! Making a cgroup in a v1 hierarchy.

use std::path::Path;

use super::layout::Hierarchy;
use super::{Controller, Created, Made, Resources, file};
use crate::error::{Attempt, Result};

/// Makes the directory `path` in `hierarchy`.
pub(super) fn create(hierarchy: &Hierarchy, path: &Path, resources: &Resources, made: &mut Made) -> Result<Created> {
    let cpuset = hierarchy.controllers.contains(&Controller::Cpuset);
    if cpuset && let Some(parent) = path.parent() {
        inherit_above(&hierarchy.mount, parent, made)?;
    }
    let fresh = made.mkdir(&hierarchy.mount, path)?;
    if cpuset && let Some(parent) = path.parent() {
        // A value that is about to be set must not be inherited first: it may be exclusive to another cgroup.
        let missing = [("cpuset.cpus", &resources.cpus), ("cpuset.mems", &resources.mems)];
        for (name, _) in missing.iter().filter(|(_, asked)| asked.is_none()) {
            inherit(path, parent, name, fresh)?;
        }
    }
    Ok(Created { fresh, not_enabled: None })
}

/// Makes the cgroups between the mount point and `dir`, and sees to it that they have processors and memory nodes:
/// a new cpuset has none, and then takes no process, nor can its children have any.
fn inherit_above(mount: &Path, dir: &Path, made: &mut Made) -> Result<()> {
    let Some(parent) = dir.parent().filter(|_| dir != mount) else { return Ok(()) };
    inherit_above(mount, parent, made)?;
    let fresh = made.mkdir(mount, dir)?;
    inherit(dir, parent, "cpuset.cpus", fresh)?;
    inherit(dir, parent, "cpuset.mems", fresh)
}

/// Copies a list from the parent into a cpuset that has none.
fn inherit(dir: &Path, parent: &Path, name: &str, fresh: bool) -> Result<()> {
    let read = |dir: &Path| file::read(dir, name).attempt(|| file::reading(dir, name));
    if !fresh && !read(dir)?.trim().is_empty() {
        return Ok(());
    }
    let value = read(parent)?;
    let value = value.trim();
    file::write(dir, name, value).attempt(|| file::writing(dir, name, value))
}
