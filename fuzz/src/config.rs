//! A configuration, from its text to what the child is given: parsed, checked, planned. Nothing is opened or made but what
//! planning looks at.

use std::path::{Component, Path};

use nskit::cgroup::systemd::name::Name;
use nskit::container::spec::bundle::Bundle;
use nskit::container::spec::config::Config;
use nskit::container::spec::process::Process;
use nskit::container::spec::properties::namespaces;
use nskit::container::spec::rootfs::{self, CgroupView};
use nskit::container::spec::{idmaps, resources};
use nskit::mount::rootfs::Rootfs;
use nskit::namespace::{self, Kinds};
use nskit::{Error, seccomp};
use oci_spec::runtime::{Mount, Spec};

use super::is_clear;
use super::update::limited;

/// It is refused with a reason, or its plan stays within the container.
pub fn check(data: &[u8]) {
    match Config::parse("config.json".into(), data.to_vec()) {
        Err(error) => is_clear(&error),
        Ok(config) => {
            if let Err(error) = plan(config) {
                is_clear(&error);
            }
        }
    }
}

fn plan(mut config: Config) -> Result<(), Error> {
    let profile = config.seccomp_profile().inspect_err(is_clear).ok().flatten();
    let has_profile = config.has_profile();
    if let Some(Err(error)) = profile.map(|profile| seccomp::compile(&profile)) {
        is_clear(&error);
    }
    let mut bundle = Bundle { path: "/".into(), config };
    only_planned(&mut bundle.config.spec);
    let spec = &bundle.config.spec;
    let linux = spec.linux().as_ref();
    let joins: Vec<Kinds> =
        namespaces(spec).filter(|(_, path)| path.is_some()).map(|(kind, _)| Kinds::only(kind)).collect();
    let new = namespaces(spec).filter(|(_, path)| path.is_none()).map(|(kind, _)| kind).collect();
    namespace::plan(new, &joins, true);
    idmaps::time_offsets(spec).inspect_err(is_clear).ok();
    if let Some(process) = spec.process() {
        Process::prepare(process, linux, has_profile).inspect_err(is_clear).ok();
    }
    if let Ok(limits) = resources::for_creation(linux).inspect_err(is_clear) {
        limited(&limits);
    }
    resources::location(linux, "id");
    let path = linux.and_then(|linux| linux.cgroups_path().as_deref()).and_then(Path::to_str);
    if let Ok(name) = Name::parse(path, "id", "system.slice").inspect_err(is_clear) {
        let cgroup = name.cgroup();
        assert!(cgroup.components().all(|part| matches!(part, Component::Normal(_))), "{cgroup:?}");
    }
    is_within(&rootfs::plan(&bundle, false, &CgroupView::default(), false)?);
    Ok(())
}

/// Takes out what planning would do, not only plan: id-mapped mounts have a user namespace made. The root is one that is
/// there.
fn only_planned(spec: &mut Spec) {
    let is_planned = |mount: &Mount| {
        let mut options = mount.options().iter().flatten();
        mount.uid_mappings().is_none() && mount.gid_mappings().is_none() && !options.any(|word| word.contains("idmap"))
    };
    if let Some(mounts) = spec.mounts_mut() {
        mounts.retain(is_planned);
    }
    if let Some(root) = spec.root_mut() {
        root.set_path("/proc".into());
    }
}

/// Every place of it is below the container's root.
fn is_within(plan: &Rootfs) {
    let places = plan.mounts.iter().map(|mount| &mount.target).chain(plan.devices.iter().map(|device| &device.path));
    for place in places.chain(&plan.masked).chain(&plan.readonly_paths) {
        let is_inside = |part: Component<'_>| matches!(part, Component::RootDir | Component::Normal(_));
        assert!(place.is_absolute() && place.components().all(is_inside), "{place:?}");
    }
}
