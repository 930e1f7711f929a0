//! A container without a cgroup namespace that leaves its cgroup for one of its own making, and removes the first.

use std::fs;
use std::path::Path;

use serde_json::json;

use crate::harness::{Container, Hierarchy, cgroup_dir, eventually, hierarchy, skip_on};

/// The cgroup that the container makes for itself, and the one that it was given: below each hierarchy.
fn names(container: &Container) -> (String, String) {
    (format!("{}-own", container.id), format!("{}-first", container.id))
}

/// One that has moved; `after` is what its shell does first.
fn moved(after: &str) -> Container {
    let container = Container::new().without_namespace("cgroup");
    let (own, first) = names(&container);
    // In every hierarchy that it was put in; the others have nobody's limits.
    let step = format!("mkdir -p $h/{own}; echo $$ > $h/{own}/cgroup.procs; rmdir $h/{first} 2>/dev/null");
    let copy = format!("for f in cpus mems; do cat $h/cpuset.$f > $h/{own}/cpuset.$f; done");
    let hierarchies = match hierarchy() {
        Hierarchy::V1 => {
            format!("for h in /cgroups/*; do [ $h = /cgroups/cpuset ] && {{ mkdir $h/{own}; {copy}; }}; {step}; done")
        }
        Hierarchy::V2 => format!("h=/cgroups; {step}"),
    };
    let script = format!(
        "{after}
{hierarchies}; touch /moved; exec sleep 1000"
    );
    let mut container = container.args(&["sh", "-c", &script]).set("/linux/cgroupsPath", format!("/{first}")).mount(
        "/cgroups",
        "bind",
        "/sys/fs/cgroup",
        &["rbind", "rw"],
    );
    let all = json!(["CAP_DAC_OVERRIDE", "CAP_SYS_ADMIN", "CAP_KILL"]);
    for set in ["bounding", "effective", "permitted"] {
        container = container.set(&format!("/process/capabilities/{set}"), all.clone());
    }
    let container = container.started();
    eventually("the container moves", || container.rootfs().join("moved").exists());
    container
}

/// Removes what the container made for itself.
fn end(container: &Container) {
    container.verb(&["delete", "--force"]).ok();
    let root = Path::new("/sys/fs/cgroup");
    let own = names(container).0;
    for dir in fs::read_dir(root).expect("read the hierarchies").flatten().map(|entry| entry.path()) {
        let _ = fs::remove_dir(dir.join(&own));
    }
    let _ = fs::remove_dir(root.join(&own));
    container.assert_gone();
}

#[test]
fn exec_joins_where_the_first_process_is_now() {
    skip_on!(Runc | Crun, "runc 1.1 and crun 1.8 fail");
    let container = moved("");
    let dir = cgroup_dir(container.pid(), "memory");
    assert!(dir.ends_with(names(&container).0), "{}", dir.display());
    container.exec(&["cat", "/proc/self/cgroup"]).ok().mentions(&names(&container).0);
    container.exec_with(&["--cgroup", "below"], &["true"]).exits(255).in_one_line().complains("-first/below");
    end(&container);
}

#[test]
fn ps_lists_the_processes_wherever_they_are() {
    skip_on!(Runc | Crun, "the peers list nothing");
    let container = moved("sleep 1000 &");
    let listed = container.verb(&["ps", "-f", "json"]).ok().stdout();
    let listed: Vec<i32> = serde_json::from_str(&listed).expect("a list of processes");
    assert!(listed.contains(&container.pid()) && listed.len() == 2, "{listed:?}");
    end(&container);
}

#[test]
fn a_signal_for_all_processes_reaches_them() {
    skip_on!(Runc | Crun, "the peers signal nobody");
    let container = moved("sleep 1000 &");
    container.runtime(&["kill", "--all", &container.id, "KILL"]).run().ok();
    container.wait_stopped();
    end(&container);
}

#[test]
fn what_only_the_cgroup_can_do_is_refused() {
    skip_on!(Runc | Crun, "the peers' words differ");
    let container = moved("");
    for words in [&["events", "--stats"][..], &["events"], &["pause"], &["update", "--pids-limit", "9"]] {
        let refused = container.verb(words).exits(1).in_one_line().complains("has moved itself from its cgroup");
        refused.complains(&names(&container).0);
    }
    end(&container);
}
