//! The user namespaces of id-mapped mounts.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::rc::Rc;

use oci_spec::runtime::{LinuxIdMapping, Mount as SpecMount, Spec};
use rustix::fs::{Mode, OFlags};

use super::idmap_option::IdMap;
use crate::container::spec::properties::namespaces;
use crate::error::{Attempt, Error, Result};
use crate::namespace::Kind;
use crate::namespace::idmap::{self, Range};

/// Makes user namespaces for id-mapped mounts, one for all mounts that have the same maps: each costs a process.
#[derive(Debug)]
pub(super) struct UserNamespaces<'a> {
    spec: &'a Spec,
    made: Vec<(Maps, Rc<OwnedFd>)>,
    joined: Option<Rc<OwnedFd>>,
}

#[derive(Debug, PartialEq, Eq)]
struct Maps {
    users: Vec<Range>,
    groups: Vec<Range>,
}

impl<'a> UserNamespaces<'a> {
    /// For the mounts of `spec`.
    pub(super) fn of(spec: &'a Spec) -> UserNamespaces<'a> {
        UserNamespaces { spec, made: Vec::new(), joined: None }
    }

    /// The one for `mount`, by the maps that its option gives, else its own properties, else the container's.
    ///
    /// # Errors
    /// When there are no maps, or the kernel does not take them.
    pub(super) fn for_mount(&mut self, mount: &SpecMount, option: Option<&IdMap>) -> Result<Rc<OwnedFd>> {
        let linux = self.spec.linux().as_ref();
        let given = |maps: Option<&Vec<LinuxIdMapping>>| maps.filter(|maps| !maps.is_empty()).map(|maps| ranges(maps));
        let container_users = given(linux.and_then(|linux| linux.uid_mappings().as_ref()));
        let container_groups = given(linux.and_then(|linux| linux.gid_mappings().as_ref()));
        let (users, groups) = match option {
            Some(option) => (
                option.users(|id| on_host(container_users.as_deref(), id))?,
                option.groups(|id| on_host(container_groups.as_deref(), id))?,
            ),
            None => (given(mount.uid_mappings().as_ref()), given(mount.gid_mappings().as_ref())),
        };
        let (users, groups) = match (users, groups) {
            (None, None) => (container_users, container_groups),
            // One alone does not take the other from the container.
            own => own,
        };
        if let (None, None, Some(path)) = (&users, &groups, joined_userns(self.spec)) {
            return self.joined(path);
        }
        let (Some(users), Some(groups)) = (users, groups) else {
            return Err(Error::invalid("id-mapped mounts must have both uid and gid mappings specified"));
        };
        let maps = Maps { users, groups };
        if let Some((_, made)) = self.made.iter().find(|(of, _)| *of == maps) {
            return Ok(Rc::clone(made));
        }
        let made = idmap::user_namespace(&maps.users, &maps.groups).map(Rc::new).map_err(|error| {
            let why = if error.is_denied() { "id-mapped mounts need privilege over the ids: " } else { "" };
            error.context(format!("{why}make the user namespace of an id-mapped mount"))
        })?;
        self.made.push((maps, Rc::clone(&made)));
        Ok(made)
    }

    fn joined(&mut self, path: &Path) -> Result<Rc<OwnedFd>> {
        if let Some(joined) = &self.joined {
            return Ok(Rc::clone(joined));
        }
        let joined = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
            .attempt(|| format!("open {}", path.display()))?;
        Ok(Rc::clone(self.joined.insert(Rc::new(joined))))
    }
}

/// The host's id that `id` of a container with this map is; without one they are the same.
fn on_host(map: Option<&[Range]>, id: u32) -> Option<u32> {
    map.map_or(Some(id), |map| idmap::outside(map, id))
}

/// The user namespace that the container joins.
fn joined_userns(spec: &Spec) -> Option<&Path> {
    namespaces(spec).find(|(kind, _)| *kind == Kind::User).and_then(|(_, path)| path)
}

/// Id maps as the kernel's terms have them.
pub fn ranges(mappings: &[LinuxIdMapping]) -> Vec<Range> {
    mappings
        .iter()
        .map(|mapping| Range { inside: mapping.container_id(), outside: mapping.host_id(), count: mapping.size() })
        .collect()
}
