//! The cgroup of a container while it is created: where it will be, made, limited, joined, and taken back.

use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};

use oci_spec::runtime::Spec;
use rustix::fs::Uid;
use rustix::process::{Pid, Signal};

use crate::cgroup::systemd::bus::Wait;
use crate::cgroup::systemd::properties;
use crate::cgroup::{self, Cgroup, Layout, Location, Paths, Place, Resources};
use crate::container::record::runtime::{CgroupDriver, Runtime};
use crate::container::record::state::SystemdUnit;
use crate::container::spec::delegation;
use crate::container::spec::rootfs::{CgroupView, Unified};
use crate::container::steps::resctrl;
use crate::container::steps::systemd::{Held, Planned};
use crate::error::{Error, Result};
use crate::launch::is_refusal_of_clone3;
use crate::mount::rootfs::Hierarchy;
use crate::namespace::{Kind, Kinds};

/// A container's place in the cgroup hierarchies.
#[derive(Debug)]
pub struct Placement {
    layout: Option<Layout>,
    location: Location,
    places: Vec<Place>,
    /// Without a cgroup of its own, the caller's, which the container stays in and is shown.
    callers: Vec<Place>,
    resources: Resources,
    rootless: bool,
    /// The unit that is to be started around the container, whose cgroup it will be in.
    systemd: Option<Planned>,
    cgroup: Option<Cgroup>,
    /// Which user of the host it is given to.
    owner: Option<Uid>,
    /// The resctrl group beside it.
    resctrl: Option<resctrl::Planned>,
}

impl Placement {
    /// Plans the cgroup of the container `id`; nothing is made yet. `wait` is for systemd's answers, if it is asked.
    ///
    /// # Errors
    /// When there are no cgroups on this machine, or no systemd that is to make them, and for resources that are not valid.
    pub fn plan(runtime: &Runtime, spec: &Spec, id: &str, wait: &Wait<'_>) -> Result<Placement> {
        let linux = spec.linux().as_ref();
        if runtime.cgroups == CgroupDriver::Systemd {
            return Placement::plan_unit(runtime, spec, id, wait);
        }
        let mut layout = match runtime.cgroups {
            CgroupDriver::Cgroupfs => Some(Layout::detect()?),
            _ => None,
        };
        let location = crate::container::spec::resources::location(linux, id);
        let mut places = layout.as_ref().map_or(Ok(Vec::new()), |layout| layout.places(&location))?;
        if let Some(layout) = layout.as_mut().filter(|layout| !layout.is_unified())
            && places.iter().any(|place| place.is_unified() && cgroup::is_in_use(&place.path))
        {
            // Others' processes are not the container's, to be killed with it.
            layout.leave_unified_out();
            places = layout.places(&location)?;
        }
        let callers = match runtime.cgroups {
            CgroupDriver::Disabled => Layout::detect().and_then(|layout| layout.own_places()).unwrap_or_default(),
            _ => Vec::new(),
        };
        Ok(Placement {
            places,
            callers,
            location,
            resources: crate::container::spec::resources::for_creation(linux)?,
            rootless: runtime.rootless(),
            layout,
            systemd: None,
            cgroup: None,
            owner: delegation::owner(spec),
            resctrl: resctrl::Planned::new(spec, id)?,
        })
    }

    fn plan_unit(runtime: &Runtime, spec: &Spec, id: &str, wait: &Wait<'_>) -> Result<Placement> {
        let layout = Layout::detect()?;
        if !layout.is_unified() && runtime.rootless() {
            return Err(Error::unsupported(
                "the systemd of a user limits nothing on cgroup v1: do without --systemd-cgroup and \
                 --cgroup-manager=systemd",
            ));
        }
        let resources = properties::rounded(&crate::container::spec::resources::for_creation(spec.linux().as_ref())?);
        // What the files refuse, no unit need be started for.
        resources.check(layout.is_unified())?;
        let planned = Planned::new(runtime, spec, id, &resources, layout.is_unified(), wait)?;
        let location = Location::new(Some(&Path::new("/").join(planned.place())), id);
        Ok(Placement {
            places: layout.places(&location)?,
            callers: Vec::new(),
            location,
            resources,
            rootless: runtime.rootless(),
            layout: Some(layout),
            systemd: Some(planned),
            cgroup: None,
            owner: delegation::owner(spec),
            resctrl: resctrl::Planned::new(spec, id)?,
        })
    }

    /// The unit that will be or was started.
    pub fn unit(&self) -> Option<&SystemdUnit> {
        self.systemd.as_ref().map(Planned::unit)
    }

    /// Where the directories are or will be. That of a unit is the container's only once the unit is started: until then
    /// there may be somebody else's.
    pub fn paths(&self) -> Paths {
        match &self.cgroup {
            Some(cgroup) => cgroup.paths(),
            None if self.systemd.is_some() => Paths::new(),
            None => self.places.iter().flat_map(Place::names).collect(),
        }
    }

    /// What mounts of type cgroup are to show: `kinds` are the container's namespaces, of which some are `new`.
    pub fn view(&self, kinds: Kinds, new: Kinds, in_own_namespace: bool) -> CgroupView {
        let is_bound = in_own_namespace && !kinds.contains(Kind::User);
        let places = if self.layout.is_some() { &self.places } else { &self.callers };
        let unified = places.iter().find(|place| place.is_unified()).map(|place| match is_bound {
            true => Unified::Bound(place.mount.clone()),
            false => Unified::New(place.path.clone()),
        });
        if self.is_unified() || matches!(places.as_slice(), [place] if place.is_unified()) {
            let whole = || Unified::Bound(PathBuf::from("/sys/fs/cgroup"));
            return CgroupView { hierarchies: None, unified: unified.or_else(|| Some(whole())) };
        }
        let may_lack = self.rootless && !self.location.is_explicit();
        let has_namespace = new.contains(Kind::Cgroup);
        let hierarchies = places
            .iter()
            .filter(|place| !place.is_unified())
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
        CgroupView { hierarchies: Some(hierarchies), unified }
    }

    /// Whether anything will be made.
    pub fn is_wanted(&self) -> bool {
        self.layout.is_some() || self.resctrl.is_some()
    }

    /// What is kept of the resctrl group.
    pub fn resctrl(&self) -> Option<&resctrl::Record> {
        self.resctrl.as_ref().map(resctrl::Planned::record)
    }

    fn is_unified(&self) -> bool {
        self.layout.as_ref().is_some_and(Layout::is_unified)
    }

    /// Where the child is to move itself, once the directories are there: on v1, when it has still the right to and sees
    /// them (`is_free`).
    pub fn paths_to_join(&self, is_free: bool) -> Option<Paths> {
        let is_made_here = self.systemd.is_none() && self.layout.is_some();
        (is_free && is_made_here && !self.rootless && !self.is_unified()).then(|| self.paths())
    }

    /// Makes the directories, before the child: what it has to do first is less than this, and on v2 it is born in one.
    /// Where systemd will make them, looks whether they can be the container's.
    ///
    /// # Errors
    /// As [`Cgroup::create`] and [`Cgroup::check_vacant`].
    pub fn make(&mut self) -> Result<()> {
        let Some(layout) = &self.layout else { return Ok(()) };
        if let Some(planned) = &self.systemd {
            return Cgroup::check_vacant(layout, planned.place());
        }
        self.cgroup = Some(Cgroup::create(layout, &self.location, &self.resources, self.rootless)?);
        Ok(())
    }

    /// The directory for `CLONE_INTO_CGROUP`.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn fd_for_clone(&self) -> Result<Option<BorrowedFd<'_>>> {
        self.cgroup.as_ref().map_or(Ok(None), Cgroup::fd_for_clone)
    }

    /// Whether the child can be moved to its cgroup instead of being born there, after this: on a hybrid machine, or under a
    /// seccomp filter.
    pub fn goes_without_unified(&self, error: &Error) -> bool {
        is_refusal_of_clone3(error) || (!self.is_unified() && is_refusal_of_unified(error))
    }

    /// Sets the limits, while the child makes its namespaces, and moves it in: but for where it `is_born`, and where it
    /// `moves_itself` to once it is told to go on. With systemd, has its unit started first.
    ///
    /// # Errors
    /// As [`Planned::start`], [`Cgroup::apply`] and [`Cgroup::join`].
    pub fn limit_and_join(&mut self, pid: Pid, is_born: bool, moves_itself: bool, wait: &Wait<'_>) -> Result<()> {
        if let Some(resctrl) = &mut self.resctrl {
            resctrl.start(pid)?;
        }
        if let (Some(planned), Some(layout)) = (&mut self.systemd, &self.layout) {
            let cgroup = planned.start(pid, layout, &self.resources, wait)?;
            self.cgroup.insert(cgroup.rootless_but_there(self.rootless)).apply(&self.resources)?;
            return self.delegate();
        }
        let Some(cgroup) = &mut self.cgroup else { return Ok(()) };
        cgroup.apply(&self.resources)?;
        cgroup.join_rest(pid, is_born, moves_itself)?;
        self.delegate()
    }

    /// Gives the cgroup to the container's own root, where it has a writable view of it. One that is a user's own to begin
    /// with may not be given to another: the container does without, as before.
    fn delegate(&self) -> Result<()> {
        match (&self.cgroup, self.owner) {
            (Some(cgroup), Some(owner)) => match cgroup.delegate(owner) {
                Err(error) if self.rootless && error.is_denied() => {
                    log::debug!("the cgroup stays its maker's: {}", error.as_go_prints_it());
                    Ok(())
                }
                given => given,
            },
            _ => Ok(()),
        }
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
        if let Some(resctrl) = &self.resctrl {
            resctrl.remove_quietly();
        }
        if let Some(cgroup) = &self.cgroup {
            let _ = cgroup.kill(Signal::KILL);
        }
        if let Some(planned) = self.systemd.as_ref().filter(|planned| planned.was_started()) {
            let removed = Held::look_for(Some(planned.unit())).map_or(Ok(()), Held::remove);
            if let Err(error) = removed {
                log::warn!("{}", error.as_go_prints_it());
            }
        }
        if let Some(Err(error)) = self.cgroup.as_ref().map(Cgroup::remove) {
            log::warn!("{}", error.as_go_prints_it());
        }
    }
}

/// Whether a clone failed by what may be wrong with a directory of the unified hierarchy, or with a kernel before Linux 5.7.
pub(crate) fn is_refusal_of_unified(error: &Error) -> bool {
    use rustix::io::Errno;
    matches!(
        error.errno(),
        Some(
            Errno::BUSY
                | Errno::ACCESS
                | Errno::PERM
                | Errno::NOENT
                | Errno::OPNOTSUPP
                | Errno::INVAL
                | Errno::NODEV
                | Errno::TOOBIG
        )
    )
}
