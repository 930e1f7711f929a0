//! The plan of a container: all that is decided, looked up and opened before there is more of it than its folder.

use std::ffi::CString;
use std::fmt;
use std::os::fd::BorrowedFd;

use oci_spec::runtime::Spec;
use rustix::process::Resource;

use crate::cgroup::Paths;
use crate::cgroup::systemd::bus::Wait;
use crate::container::record::runtime::Runtime;
use crate::container::spec::bundle::Bundle;
use crate::container::spec::hooks::Point;
use crate::container::spec::idmaps::{self, Maps};
use crate::container::spec::process::Process;
use crate::container::spec::properties::{KEEP_GROUPS, annotation};
use crate::container::spec::rootfs;
use crate::container::steps::cgroups::Placement;
use crate::container::steps::console::Console;
use crate::container::steps::inherited::Inherited;
use crate::container::steps::namespaces::Namespaces;
use crate::container::steps::network;
use crate::error::{Error, Result};
use crate::launch::program;
use crate::mount::rootfs::Rootfs;
use crate::namespace::Kind;

/// What the plan depends on beside the configuration.
#[derive(Debug)]
pub struct Asked<'a> {
    /// The container's id.
    pub id: &'a str,
    /// The root is moved over the old one instead of pivot_root(2).
    pub no_pivot: bool,
    /// The caller's session keyring is kept.
    pub no_new_keyring: bool,
    /// Where the outer end of the terminal goes.
    pub console_socket: Option<&'a std::path::Path>,
    /// The runtime stays with the container, and shows its terminal.
    pub attached: bool,
    /// What the program inherits.
    pub inherited: Inherited,
}

/// The plan of a container.
#[derive(Debug)]
pub struct Plan {
    /// What is executed; a container may be created without.
    pub process: Option<Process>,
    /// The maps of its user namespace.
    pub maps: Maps,
    /// Its terminal.
    pub console: Option<Console>,
    /// Its cgroup.
    pub placement: Placement,
    /// Its root.
    pub root: Rootfs,
    /// The cgroups of v1 to which the first process moves itself.
    pub own_cgroups: Option<Paths>,
    /// The name of its session keyring.
    pub keyring: Option<CString>,
    /// This process has something to do when everything is mounted: hooks to run, network devices to move.
    pub parent_is_due: bool,
}

impl Plan {
    /// Plans the container of `bundle` in `namespaces`. `wait` is for systemd's answers, if it is asked.
    ///
    /// # Errors
    /// Which property cannot be had, and why.
    pub fn of(
        runtime: &Runtime,
        bundle: &Bundle,
        namespaces: &Namespaces,
        asked: &Asked<'_>,
        wait: &Wait<'_>,
    ) -> Result<Plan> {
        let spec = &bundle.config.spec;
        let maps = idmaps::plan(spec, namespaces.new, runtime)?;
        let mut process = first_process(runtime, bundle, &maps, asked.inherited)?;
        let wants_terminal = process.as_ref().is_some_and(|process| process.terminal);
        let console = Console::open(asked.console_socket, wants_terminal, asked.attached)?;
        if let (Some(former), Some(process)) = (rootfs::make_room(spec)?, &mut process) {
            process.default_limit(Resource::Nofile, former);
        }
        let placement = Placement::plan(runtime, spec, asked.id, wait)?;
        let view = placement.view(namespaces.kinds, namespaces.new, namespaces.in_own_cgroup_namespace);
        let maps_ids_itself = namespaces.kinds.contains(Kind::User) && runtime.privileged();
        let mut root = rootfs::plan(bundle, asked.no_pivot, &view, maps_ids_itself)?;
        // There, procfs may be mounted only where one is in sight.
        root.alone &= !runtime.is_in_user_namespace();
        let keyring = match asked.no_new_keyring {
            true => None,
            false => Some(program::c_string(format!("_ses.{}", asked.id), "keyring name")?),
        };
        Ok(Plan {
            process,
            maps,
            console,
            own_cgroups: placement.paths_to_join(namespaces.leave_cgroups_in_reach()),
            placement,
            root,
            keyring,
            parent_is_due: has_work_for_the_parent(spec),
        })
    }

    /// Where its first process is born, in the unified hierarchy, if it can be.
    ///
    /// # Errors
    /// When the directory cannot be opened.
    pub fn birthplace(&self, is_seen: bool) -> Result<Option<BorrowedFd<'_>>> {
        if is_seen { self.placement.fd_for_clone() } else { Ok(None) }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "root {}, {} mounts, ", self.root.path.display(), self.root.mounts.len())?;
        write!(f, "{} masked and {} read-only paths, ", self.root.masked.len(), self.root.readonly_paths.len())?;
        write!(f, "{} devices, cgroups {:?}, ", self.root.devices.len(), self.placement.paths())?;
        match &self.process {
            Some(process) => write!(f, "program {process}"),
            None => write!(f, "no program"),
        }
    }
}

/// The first process of `bundle`'s configuration, which may have none.
fn first_process(runtime: &Runtime, bundle: &Bundle, maps: &Maps, inherited: Inherited) -> Result<Option<Process>> {
    let spec = &bundle.config.spec;
    let Some(specified) = spec.process() else { return Ok(None) };
    let mut process = Process::prepare(specified, spec.linux().as_ref(), bundle.config.has_profile())?;
    if maps.denies_setgroups() {
        process.keep_groups()?;
    }
    if annotation(spec, KEEP_GROUPS).is_some() {
        process.keep_original_groups();
    }
    if !runtime.privileged() {
        process.send_listener();
    }
    inherited.announce(&mut process)?;
    Ok(Some(process))
}

fn has_work_for_the_parent(spec: &Spec) -> bool {
    let has_hooks = [Point::Prestart, Point::CreateRuntime].iter().any(|point| !point.hooks(spec).is_empty());
    has_hooks || network::has_devices(spec)
}

/// Refuses a configuration that only a privileged runtime can make a container of.
///
/// # Errors
/// Of kind [`crate::error::Kind::Invalid`], without privilege and without a user namespace.
pub fn must_be_within_reach(runtime: &Runtime, bundle: &Bundle) -> Result<()> {
    if runtime.privileged() || bundle.kinds().contains(Kind::User) {
        return Ok(());
    }
    Err(Error::invalid(
        "rootless container requires user namespaces: linux.namespaces has none, and it takes CAP_SYS_ADMIN to do without",
    ))
}
