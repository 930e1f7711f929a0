//! What a container sees and owns of its cgroup, and what is told of a hierarchy that it is not in.

use std::path::Path;

use serde_json::json;

use crate::harness::{Container, Hierarchy, has_controller, hierarchy, program, skip, skip_on};

#[test]
fn a_writable_cgroup_belongs_to_the_container_s_root() {
    skip_on!(Crun, "crun 1.8 gives it to the root of any user namespace");
    skip_on!(Runc, "runc gives cgroups of systemd only");
    if hierarchy() == Hierarchy::V1 {
        skip!("v1 is not safe to delegate");
    }
    let mut container = Container::sleeper().user_namespace();
    for mount in container.config["mounts"].as_array_mut().expect("mounts") {
        if mount["type"] == "cgroup" {
            mount["options"] = json!(["nosuid", "noexec", "nodev", "rw"]);
        }
    }
    let container = container.started();
    container.exec(&["mkdir", "/sys/fs/cgroup/own"]).ok();
    container.exec(&["sh", "-c", "echo $$ > /sys/fs/cgroup/own/cgroup.procs"]).ok();
    let owner = |file: &str| container.exec(&["stat", "-c", "%u", &format!("/sys/fs/cgroup/{file}")]).ok().stdout();
    assert_eq!(owner("cgroup.procs").trim(), "0");
    // A limit stays the host's.
    assert_ne!(owner("cgroup.max.depth").trim(), "0");
    container.exec(&["rmdir", "/sys/fs/cgroup/own"]).ok();
}

#[test]
fn without_a_cgroup_of_its_own_a_container_is_shown_its_caller_s() {
    skip_on!(Runc, "runc has no such option");
    skip_on!(Crun, "crun 1.8 needs a cgroup");
    for namespace in [true, false] {
        let file = match hierarchy() {
            Hierarchy::V1 => "/sys/fs/cgroup/pids/cgroup.procs",
            Hierarchy::V2 => "/sys/fs/cgroup/cgroup.procs",
        };
        let container = Container::new().option("--cgroup-manager=disabled").args(&["head", "-c", "1", file]);
        let container = if namespace { container } else { container.without_namespace("cgroup") };
        container.run().ok();
        container.assert_gone();
    }
}

#[test]
fn a_hierarchy_that_limits_nothing_and_cannot_be_joined_is_told_of_and_leaves_no_folder() {
    skip_on!(Runc | Crun, "the peers say nothing");
    let root = Path::new("/sys/fs/cgroup/systemd");
    if !root.join("cgroup.procs").exists() {
        skip!("no hierarchy of systemd's");
    }
    let container = Container::sleeper().user_namespace();
    let dir = root.join(&container.id);
    let strace = |verb: &[&str], file: &str| {
        let inject = program("strace").args(["-qq", "-o", "/dev/null", "-e", "inject=?open,openat:error=EACCES", "-P"]);
        let runtime = inject.arg(dir.join(file)).args(crate::harness::runtime_words());
        runtime.arg("--root").arg(container.state_root()).args(verb)
    };
    container.write_config();
    let bundle = container.bundle();
    let created =
        strace(&["create", "--bundle", bundle.to_str().expect("a path"), &container.id], "cgroup.procs").run();
    if created.stderr().contains("ptrace") || created.stderr().contains("PTRACE") {
        skip!("strace does not work here");
    }
    created.ok().complains("cgroup.procs").complains("limits nothing");
    assert!(!dir.exists(), "{} is left", dir.display());
    container.verb(&["delete", "--force"]).ok();
    // One that is there, and that exec may not join.
    created_anew(&container);
    strace(&["exec", &container.id, "true"], "tasks").run().ok().complains("limits nothing");
}

/// Creates and starts the container again.
fn created_anew(container: &Container) {
    container.create_with(&[]).ok();
    container.start();
}

#[test]
fn exec_names_the_cgroup_that_takes_no_process() {
    skip_on!(Runc | Crun, "the peers' words differ");
    if hierarchy() == Hierarchy::V1 || !has_controller("pids") {
        skip!("cgroups of v1 take processes at any place");
    }
    let container = Container::script(
        "mkdir /sys/fs/cgroup/own; echo 1 > /sys/fs/cgroup/own/cgroup.procs; \
        echo +memory > /sys/fs/cgroup/cgroup.subtree_control; touch /ready; exec sleep 1000",
    );
    let mut container = container.set("/process/capabilities/bounding", json!(["CAP_DAC_OVERRIDE"]));
    for mount in container.config["mounts"].as_array_mut().expect("mounts") {
        if mount["type"] == "cgroup" {
            mount["options"] = json!(["rw"]);
        }
    }
    let container = container.started();
    crate::harness::eventually("controllers are passed on", || container.rootfs().join("ready").exists());
    container.exec(&["true"]).ok();
    let refused = container.exec_with(&["--cgroup", "/"], &["true"]).exits(255).in_one_line();
    refused.complains(&container.id).complains("controllers are enabled for its child cgroups");
}
