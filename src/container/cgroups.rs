//! The cgroup of a container while it is created: where it will be, made, limited, joined, and taken back.

use std::os::fd::BorrowedFd;
use std::path::PathBuf;

use oci_spec::runtime::Spec;
use rustix::process::{Pid, Signal};

use super::rootfs::CgroupView;
use super::runtime::{CgroupDriver, Runtime};
use crate::cgroup::{Cgroup, Controller, Layout, Location, Paths, Place, Resources};
use crate::error::{Error, Result};
use crate::mount::rootfs::Hierarchy;
use crate::namespace::{Kind, Kinds};

/// A container's place in the cgroup hierarchies.
#[derive(Debug)]
pub struct Placement {
    layout: Option<Layout>,
    location: Location,
    places: Vec<Place>,
    resources: Resources,
    rootless: bool,
    cgroup: Option<Cgroup>,
}

impl Placement {
    /// Plans the cgroup of the container `id`; nothing is made yet.
    ///
    /// # Errors
    /// When there are no cgroups on this machine, and for resources that are not valid.
    pub fn plan(runtime: &Runtime, spec: &Spec, id: &str) -> Result<Placement> {
        let linux = spec.linux().as_ref();
        let layout = match runtime.cgroups {
            CgroupDriver::Disabled => None,
            CgroupDriver::Systemd => {
                return Err(Error::unsupported(
                    "the systemd cgroup driver is not supported by this version: do without --systemd-cgroup and --cgroup-manager=systemd",
                ));
            }
            CgroupDriver::Cgroupfs => Some(Layout::detect()?),
        };
        let location = super::resources::location(linux, id);
        Ok(Placement {
            places: layout.as_ref().map_or(Ok(Vec::new()), |layout| layout.places(&location))?,
            location,
            resources: super::resources::for_creation(linux)?,
            rootless: runtime.rootless(),
            layout,
            cgroup: None,
        })
    }

    /// Where the directories are or will be.
    pub fn paths(&self) -> Paths {
        match &self.cgroup {
            Some(cgroup) => cgroup.paths(),
            None => self.places.iter().flat_map(Place::names).collect(),
        }
    }

    /// What mounts of type cgroup are to show: `kinds` are the container's namespaces, of which some are `new`.
    pub fn view(&self, kinds: Kinds, new: Kinds, in_own_namespace: bool) -> CgroupView {
        let Some(layout) = &self.layout else { return CgroupView::V1(Vec::new()) };
        if layout.is_unified() {
            let Some(place) = self.places.first() else { return CgroupView::V2Bound(PathBuf::from("/sys/fs/cgroup")) };
            if in_own_namespace && !kinds.contains(Kind::User) {
                return CgroupView::V2Bound(place.mount.clone());
            }
            return CgroupView::V2(place.path.clone());
        }
        let may_lack = self.rootless && !self.location.is_explicit();
        let has_namespace = new.contains(Kind::Cgroup);
        let hierarchies = self
            .places
            .iter()
            .filter(|place| place.controllers != [Controller::Unified])
            .map(|place| {
                let names: Vec<&str> = place.controllers.iter().map(|controller| controller.name()).collect();
                let name = place.mount.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
                let options = match names.as_slice() {
                    [named] if named.starts_with("name=") => format!("none,{named}"),
                    names => names.join(","),
                };
                let is_co_mounted = names.len() > 1;
                Hierarchy {
                    links: names.iter().filter(|_| is_co_mounted).map(|name| (*name).to_owned()).collect(),
                    name,
                    options: has_namespace.then_some(options),
                    path: place.path.clone(),
                    // A place that nobody asked for is below the caller's own.
                    fallback: may_lack.then(|| place.path.parent().map(Into::into)).flatten(),
                }
            })
            .collect();
        CgroupView::V1(hierarchies)
    }

    /// Whether the cgroup is made before the child: on v2, which that is born into.
    pub fn is_made_before_clone(&self) -> bool {
        self.layout.as_ref().is_some_and(Layout::is_unified)
    }

    /// Makes on v2 what the child is born into.
    ///
    /// # Errors
    /// As [`Cgroup::create`] and [`Cgroup::apply`].
    pub fn before_clone(&mut self) -> Result<()> {
        if self.is_made_before_clone() { self.make() } else { Ok(()) }
    }

    /// The directory for `CLONE_INTO_CGROUP`, on v2.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn fd_for_clone(&self) -> Result<Option<BorrowedFd<'_>>> {
        self.cgroup.as_ref().map_or(Ok(None), Cgroup::fd_for_clone)
    }

    /// Makes on v1 the directories, while the child makes its namespaces, and moves it in; on v2 moves it where it could
    /// not be born.
    ///
    /// # Errors
    /// As [`Cgroup::create`], [`Cgroup::apply`] and [`Cgroup::join`].
    pub fn after_clone(&mut self, pid: Pid, is_born_in_cgroup: bool) -> Result<()> {
        if !self.is_made_before_clone() {
            self.make()?;
        } else if is_born_in_cgroup {
            return Ok(());
        }
        self.cgroup.as_mut().map_or(Ok(()), |cgroup| cgroup.join(Some(pid)))
    }

    fn make(&mut self) -> Result<()> {
        let Some(layout) = &self.layout else { return Ok(()) };
        let cgroup = Cgroup::create(layout, &self.location, &self.resources, self.rootless)?;
        self.cgroup.insert(cgroup).apply(&self.resources)
    }

    /// The cgroup that was made.
    pub fn cgroup(&self) -> Option<&Cgroup> {
        self.cgroup.as_ref()
    }

    /// As [`Placement::cgroup`], for keeps.
    pub fn take_cgroup(&mut self) -> Option<Cgroup> {
        self.cgroup.take()
    }

    /// Kills what is in the cgroup and removes it, as far as that goes: something else has failed already.
    pub fn remove_quietly(&self) {
        if let Some(cgroup) = &self.cgroup {
            let _ = cgroup.kill(Signal::KILL);
            if let Err(error) = cgroup.remove() {
                log::warn!("{}", error.as_go_prints_it());
            }
        }
    }
}
