//! The namespaces of a configuration: those that are there are opened, the others will be new.

use std::fmt;

use oci_spec::runtime::Spec;

use crate::container::spec::properties::namespaces;
use crate::error::{Attempt, Result};
use crate::namespace::{self, Kind, Kinds, Target};

/// The namespaces that a container is to have.
#[derive(Debug)]
pub struct Namespaces {
    /// All kinds that the configuration lists.
    pub kinds: Kinds,
    /// Kinds that will be new.
    pub new: Kinds,
    /// Namespaces to join, as many as `joins`.
    pub targets: Vec<Target>,
    /// The kind of each of `targets`.
    joins: Vec<Kinds>,
    /// The container's cgroup namespace is the runtime's own, listed by its path or not at all.
    pub in_own_cgroup_namespace: bool,
}

impl Namespaces {
    /// Opens those that `spec` names by a path.
    ///
    /// # Errors
    /// As [`Target::open`].
    pub fn open(spec: &Spec) -> Result<Namespaces> {
        let kinds: Kinds = namespaces(spec).map(|(kind, _)| kind).collect();
        let (mut targets, mut joins) = (Vec::new(), Vec::new());
        let mut in_own_cgroup_namespace = !kinds.contains(Kind::Cgroup);
        for (kind, path) in namespaces(spec) {
            let Some(path) = path else { continue };
            let target = Target::open(path)?;
            in_own_cgroup_namespace |= kind == Kind::Cgroup && is_own_cgroup_namespace(&target)?;
            targets.push(target);
            joins.push(Kinds::only(kind));
        }
        let new = kinds - joins.iter().fold(Kinds::NONE, |all, kinds| all | *kinds);
        Ok(Namespaces { kinds, new, targets, joins, in_own_cgroup_namespace })
    }

    /// Which process joins and makes which of them.
    pub fn plan(&self, privileged: bool) -> namespace::Plan {
        namespace::plan(self.new, &self.joins, privileged)
    }

    /// Whether the first process keeps the right to move itself to cgroups, and sees the host's, until it mounts.
    pub fn leave_cgroups_in_reach(&self) -> bool {
        !self.kinds.contains(Kind::User) && !self.joins.iter().any(|joined| joined.contains(Kind::Mount))
    }
}

impl fmt::Display for Namespaces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "new namespaces {:?}, joined {:?}", self.new, self.kinds - self.new)
    }
}

/// Whether a cgroup namespace that is to be joined is the runtime's own.
///
/// # Errors
/// As stat(2).
pub fn is_own_cgroup_namespace(target: &Target) -> Result<bool> {
    let identity = |stat: rustix::fs::Stat| (stat.st_dev, stat.st_ino);
    let own = rustix::fs::stat("/proc/self/ns/cgroup").attempt(|| "look at /proc/self/ns/cgroup")?;
    let joined = rustix::fs::fstat(target).attempt(|| format!("look at {}", target.name()))?;
    Ok(identity(own) == identity(joined))
}
