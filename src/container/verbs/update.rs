//! `update`: other limits for a container that exists.

use oci_spec::runtime::{LinuxIntelRdt, LinuxResources};

use crate::cgroup::systemd::properties;
use crate::container::record::instance::Container;
use crate::container::record::life::Verb;
use crate::container::record::runtime::Runtime;
use crate::container::spec::config::Config;
use crate::container::spec::resources;
use crate::container::steps::{self, processes};
use crate::error::{Error, Result};

/// Sets `change` on the container `id`, and the `schemata` of its resctrl group, and keeps both for later updates. What they
/// leave out stays.
///
/// # Errors
/// When the container is not there or has stopped, and which limit was refused.
pub fn update(runtime: &Runtime, id: &str, change: &LinuxResources, schemata: &LinuxIntelRdt) -> Result<()> {
    let container = Container::load(runtime, id)?;
    container.admit(Verb::Update)?;
    processes::must_be_in_its_cgroup(&container, "limits set there would not hold for it")?;
    let mut config = Config::kept_in(&container.folder)?.into_spec()?;
    let linux = config.linux_mut().get_or_insert_default();
    let before = linux.resources().clone().unwrap_or_default();
    let mut merged = before.clone();
    resources::merge(&mut merged, change);
    let mut cgroup = container.cgroup()?;
    if cgroup.is_unified() {
        resources::keep_swap(&mut merged, &before, change);
    }
    let mut apply = |wanted: &LinuxResources| {
        let Some(unit) = &container.state.systemd_unit else { return cgroup.apply(&resources::limits(wanted)?) };
        let wanted = properties::rounded(&resources::limits(wanted)?);
        wanted.check(cgroup.is_unified())?;
        // The kernel would kill before the files are looked at.
        cgroup.check_memory(&wanted)?;
        unit.set(&wanted, cgroup.is_unified())?;
        cgroup.apply(&wanted)
    };
    if let Err(error) = apply(&merged) {
        // Some limits may be set already: all or none.
        if let Err(again) = apply(&before) {
            log::warn!("the limits from before the update could not be set again: {}", again.as_go_prints_it());
        }
        return Err(error);
    }
    if let Err(error) = steps::resctrl::update(&container.state, schemata) {
        let _ = apply(&before);
        return Err(error);
    }
    if let Some(kept) = linux.intel_rdt_mut() {
        // What the group gets from now on.
        if schemata.l3_cache_schema().is_some() {
            kept.set_l3_cache_schema(schemata.l3_cache_schema().clone());
        }
        if schemata.mem_bw_schema().is_some() {
            kept.set_mem_bw_schema(schemata.mem_bw_schema().clone());
        }
    }
    linux.set_resources(Some(merged));
    let text = serde_json::to_vec(&config).map_err(|error| Error::invalid(format!("write config.json: {error}")))?;
    container.folder.save_config(&text)
}
