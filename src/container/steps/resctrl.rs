//! `linux.intelRdt` of a container: the resctrl group that it is put in, planned, made, recorded and taken back.

use std::path::PathBuf;

use oci_spec::runtime::{LinuxIntelRdt, Spec};
use rustix::process::Pid;

use crate::container::record::state::State;
use crate::error::{Error, Kind, Result};
use crate::resctrl::{Group, Stats, Tree};

/// What is kept of a container's group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its directory.
    pub path: PathBuf,
    /// The directory of the group below it that counts for this container alone.
    pub counting: Option<PathBuf>,
    /// It is made for this container, and goes with it.
    pub made: bool,
}

/// A group that a container will be put in.
#[derive(Debug)]
pub struct Planned {
    group: Group,
    schemata: String,
    record: Record,
}

impl Planned {
    /// Plans that of a configuration for the container `id`, if it asks for one; nothing is made yet.
    ///
    /// # Errors
    /// This machine has no resctrl file system mounted, or not the resource, or the group that is to be there is not.
    pub fn new(spec: &Spec, id: &str) -> Result<Option<Planned>> {
        let Some(asked) = spec.linux().as_ref().and_then(|linux| linux.intel_rdt().as_ref()) else { return Ok(None) };
        let tree = Tree::find()?.ok_or_else(|| {
            Error::unsupported(
                "linux.intelRdt is specified in config, but Intel RDT is not enabled: no resctrl file system is mounted",
            )
        })?;
        planned_in(&tree, asked, id).map(Some)
    }

    /// What is kept of it: on record before any of it is made.
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// Makes the group, sets its schemata and puts `pid` in.
    ///
    /// # Errors
    /// Which step the kernel refused, and its words.
    pub fn start(&mut self, pid: Pid) -> Result<()> {
        if self.record.made {
            // One that has come to be since is somebody else's.
            self.record.made = self.group.make()?;
        }
        if !self.schemata.is_empty() {
            self.group.set(&self.schemata)?;
        }
        self.group.make_counting()?;
        self.group.add(pid)
    }

    /// Removes what was made, as far as that goes: something else has failed already.
    pub fn remove_quietly(&self) {
        if let Err(error) = self.group.remove(self.record.made) {
            log::warn!("{}", error.as_go_prints_it());
        }
    }
}

fn planned_in(tree: &Tree, asked: &LinuxIntelRdt, id: &str) -> Result<Planned> {
    let name = asked.clos_id().as_deref().filter(|name| !name.is_empty());
    check_name(name.unwrap_or(id))?;
    let schemata = schemata(tree, asked)?;
    let counted_as = asked.enable_monitoring().unwrap_or(false).then_some(id);
    let group = tree.group(name.unwrap_or(id), counted_as);
    if name.is_some() && schemata.is_empty() && !group.exists() {
        let message = format!(
            "linux.intelRdt: there is no group {}: closID alone names one that exists already",
            group.path().display()
        );
        return Err(Error::new(Kind::State, message));
    }
    let record = Record {
        path: group.path().to_owned(),
        counting: group.counting().map(Into::into),
        // One with a name of its own may be others' too.
        made: name.is_none() && !group.exists(),
    };
    Ok(Planned { group, schemata, record })
}

/// What there is beside groups at the top of the file system.
const OTHERS: [&str; 3] = ["info", "mon_data", "mon_groups"];

fn check_name(name: &str) -> Result<()> {
    let is_path = name.len() > 1 && name.contains('/');
    if is_path || OTHERS.contains(&name) || matches!(name, "." | "..") {
        return Err(Error::invalid(format!(
            "linux.intelRdt: invalid closID {name:?}: it cannot be the name of a group"
        )));
    }
    Ok(())
}

/// The lines that are written: those of the older properties first, as in runc.
fn schemata(tree: &Tree, asked: &LinuxIntelRdt) -> Result<String> {
    let given = |schema: &Option<String>| schema.clone().filter(|schema| !schema.is_empty());
    let (cache, bandwidth) = (given(asked.l3_cache_schema()), given(asked.mem_bw_schema()));
    for (schema, has, name, what) in [
        (&cache, tree.has_cache(), "l3CacheSchema", "Intel RDT/CAT"),
        (&bandwidth, tree.has_bandwidth(), "memBwSchema", "Intel RDT/MBA"),
    ] {
        if schema.is_some() && !has {
            let message = format!("linux.intelRdt.{name} is specified in config, but {what} is not enabled");
            return Err(Error::unsupported(message));
        }
    }
    let lines = asked.schemata().iter().flatten().filter(|line| !line.is_empty()).cloned();
    Ok(cache.into_iter().chain(bandwidth).chain(lines).map(|line| line + "\n").collect())
}

/// The group of a container that exists, and whether it goes with it; `None` where it has none, or no longer.
fn of(state: &State) -> Result<Option<(Group, bool)>> {
    let Some(path) = state.intel_rdt_path.as_deref().filter(|path| path.is_dir()) else { return Ok(None) };
    Group::open(path, state.intel_rdt_mon_path.as_deref()).map(|group| Some((group, state.intel_rdt_made)))
}

/// Puts another process of a container into its group.
///
/// # Errors
/// As write(2), with the kernel's words.
pub fn join(state: &State, pid: Pid) -> Result<()> {
    of(state)?.map_or(Ok(()), |(group, _)| group.add(pid))
}

/// Removes what was made for a container. What is gone is no error.
///
/// # Errors
/// As rmdir(2).
pub fn remove(state: &State) -> Result<()> {
    of(state)?.map_or(Ok(()), |(group, made)| group.remove(made))
}

/// What its group has and uses; `None` for a container without one.
///
/// # Errors
/// A file cannot be read.
pub fn stats(state: &State) -> Result<Option<Stats>> {
    of(state)?.map(|(group, _)| group.stats()).transpose()
}

/// Sets other schemata, those of `asked`.
///
/// # Errors
/// The container has no group, the machine not the resource, or the kernel refuses them.
pub fn update(state: &State, asked: &LinuxIntelRdt) -> Result<()> {
    if *asked == LinuxIntelRdt::default() {
        return Ok(());
    }
    let (group, _) = of(state)?.ok_or_else(|| {
        Error::unsupported(
            "updating a non-existent Intel RDT configuration is not supported: its configuration has no linux.intelRdt",
        )
    })?;
    let tree = Tree::find()?.ok_or_else(|| Error::unsupported("Intel RDT is not enabled: no resctrl is mounted"))?;
    match schemata(&tree, asked)? {
        none if none.is_empty() => Ok(()),
        lines => group.set(&lines),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::json;

    use super::*;

    struct Plain(PathBuf);

    impl Plain {
        fn new(name: &str, info: &[&str]) -> (Plain, Tree) {
            let root = std::env::temp_dir().join(format!("nskit-test-rdt-{name}-{}", std::process::id()));
            info.iter().for_each(|info| std::fs::create_dir_all(root.join("info").join(info)).unwrap());
            std::fs::create_dir_all(root.join("shared")).unwrap();
            let tree = Tree::at(&root);
            (Plain(root), tree)
        }
    }

    impl Drop for Plain {
        fn drop(&mut self) {
            std::fs::remove_dir_all(&self.0).unwrap();
        }
    }

    fn planned(tree: &Tree, asked: serde_json::Value) -> Result<Planned> {
        planned_in(tree, &serde_json::from_value(asked).unwrap(), "c1")
    }

    #[test]
    fn a_container_has_a_group_of_its_own_or_one_by_name() {
        let (plain, tree) = Plain::new("names", &["L3", "MB"]);
        let own = planned(&tree, json!({"l3CacheSchema": "L3:0=f", "enableMonitoring": true})).unwrap();
        let record = own.record();
        assert_eq!((record.path.as_path(), record.made), (plain.0.join("c1").as_path(), true));
        assert_eq!(record.counting.as_deref(), Some(plain.0.join("c1/mon_groups/c1").as_path()));
        let shared = planned(&tree, json!({"closID": "shared"})).unwrap();
        assert_eq!((shared.record().made, shared.record().counting.as_deref()), (false, None::<&Path>));
        let error = planned(&tree, json!({"closID": "missing"})).unwrap_err().to_string();
        assert!(error.contains("missing: closID alone names one that exists"), "{error}");
        assert!(planned(&tree, json!({"closID": "missing", "schemata": ["MB:0=20"]})).is_ok());
        assert_eq!(planned(&tree, json!({"closID": "/"})).unwrap().record().path, plain.0);
    }

    #[test]
    fn names_that_are_no_group_s_are_refused() {
        let (_plain, tree) = Plain::new("bad", &["L3"]);
        for name in [".", "..", "a/b", "info", "mon_groups"] {
            let error = planned(&tree, json!({"closID": name, "schemata": ["L3:0=f"]})).unwrap_err().to_string();
            assert!(error.contains(&format!("{name:?}")), "{error}");
        }
    }

    #[test]
    fn schemata_are_lines_in_runc_s_order() {
        let (_plain, tree) = Plain::new("lines", &["L3", "MB"]);
        let asked = json!({"schemata": ["L2:0=3", ""], "memBwSchema": "MB:0=20", "l3CacheSchema": "L3:0=f"});
        assert_eq!(planned(&tree, asked).unwrap().schemata, "L3:0=f\nMB:0=20\nL2:0=3\n");
    }

    #[test]
    fn a_resource_that_the_machine_lacks_is_named() {
        let (_plain, tree) = Plain::new("lacks", &["L3"]);
        let error = planned(&tree, json!({"memBwSchema": "MB:0=20"})).unwrap_err().to_string();
        assert_eq!(error, "linux.intelRdt.memBwSchema is specified in config, but Intel RDT/MBA is not enabled");
    }
}
