//! A cgroup that is frozen from above its container: nobody waits for what cannot answer.

use std::fs;
use std::path::{Path, PathBuf};

use crate::harness::{Container, Hierarchy, eventually, hierarchy, skip_on, unique_name};

/// A cgroup of the test's that can be frozen; thawed and removed with this.
struct Parent(PathBuf);

impl Parent {
    fn new() -> Parent {
        let root = Path::new(match hierarchy() {
            Hierarchy::V1 => "/sys/fs/cgroup/freezer",
            Hierarchy::V2 => "/sys/fs/cgroup",
        });
        let parent = Parent(root.join(unique_name()));
        fs::create_dir_all(&parent.0).expect("make a cgroup");
        parent
    }

    fn set(&self, frozen: bool) {
        let (file, value) = match hierarchy() {
            Hierarchy::V1 => ("freezer.state", if frozen { "FROZEN" } else { "THAWED" }),
            Hierarchy::V2 => ("cgroup.freeze", if frozen { "1" } else { "0" }),
        };
        fs::write(self.0.join(file), value).expect("freeze or thaw a cgroup");
        // The kernel takes its time to stop processes.
        eventually("the cgroup is frozen or thawed", || match hierarchy() {
            Hierarchy::V1 => fs::read_to_string(self.0.join(file)).is_ok_and(|state| state.trim() == value),
            Hierarchy::V2 => fs::read_to_string(self.0.join("cgroup.events"))
                .is_ok_and(|events| events.contains(&format!("frozen {value}"))),
        });
    }

    fn name(&self) -> &str {
        self.0.to_str().expect("a name")
    }
}

impl Drop for Parent {
    fn drop(&mut self) {
        if !self.0.exists() {
            return;
        }
        self.set(false);
        let name = self.0.file_name().expect("a name");
        let _ = fs::remove_dir(&self.0);
        for dir in fs::read_dir("/sys/fs/cgroup").expect("read the hierarchies").flatten() {
            let _ = fs::remove_dir(dir.path().join(name));
        }
    }
}

/// A container below a cgroup of the test's.
fn below(container: Container) -> (Container, Parent) {
    let parent = Parent::new();
    let name = parent.0.file_name().and_then(|name| name.to_str()).expect("a name");
    let path = format!("/{name}/{}", container.id);
    (container.set("/linux/cgroupsPath", path), parent)
}

#[test]
fn nothing_is_created_below_a_frozen_cgroup() {
    skip_on!(Runc | Crun, "the peers wait without end");
    let (container, parent) = below(Container::new());
    parent.set(true);
    for verb in ["run", "create"] {
        let refused = container.launch(&[verb]).run().exits(1).in_one_line();
        refused.complains("container's cgroup unexpectedly frozen").complains(parent.name());
        container.assert_gone();
    }
    parent.set(false);
    container.run().ok();
}

#[test]
fn a_container_that_is_frozen_from_above_is_not_entered_or_started() {
    skip_on!(Runc | Crun, "the peers wait without end");
    let (container, parent) = below(Container::sleeper());
    let container = container.created();
    parent.set(true);
    container.verb(&["start"]).exits(1).in_one_line().complains(parent.name());
    parent.set(false);
    container.start();
    parent.set(true);
    assert_eq!(container.status(), "running");
    container.exec(&["true"]).exits(255).in_one_line().complains(parent.name());
    parent.set(false);
    container.exec(&["true"]).ok();
    container.verb(&["delete", "--force"]).ok();
}

#[test]
fn delete_names_the_frozen_cgroup_that_holds_it_up() {
    skip_on!(Runc | Crun, "the peers wait without end");
    let (container, parent) = below(Container::sleeper());
    let container = container.started();
    parent.set(true);
    match hierarchy() {
        // SIGKILL ends no frozen process there.
        Hierarchy::V1 => {
            container.verb(&["delete", "--force"]).exits(1).in_one_line().complains(parent.name());
            parent.set(false);
            container.verb(&["delete", "--force"]).ok();
        }
        Hierarchy::V2 => drop(container.verb(&["delete", "--force"]).ok()),
    }
    container.assert_gone();
}
