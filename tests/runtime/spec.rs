//! `spec`: the bundle to begin with.

use std::fs;

use serde_json::Value;

use crate::harness::{Container, Hierarchy, Peer, copy_program, hierarchy, peer, program, set, skip_on};

fn read_config(container: &Container) -> Value {
    let text = fs::read_to_string(container.bundle().join("config.json")).expect("read config.json");
    serde_json::from_str(&text).expect("JSON")
}

#[test]
fn writes_a_configuration_for_a_shell() {
    let container = Container::without_rootfs();
    container.runtime(&["spec", "-b"]).arg(container.bundle()).run().ok();
    let config = read_config(&container);
    assert!(config["ociVersion"].as_str().is_some_and(|version| version.starts_with("1.")), "{config}");
    assert_eq!(config["process"]["args"], serde_json::json!(["sh"]));
    assert_eq!(config["process"]["terminal"], true);
    assert_eq!(config["process"]["cwd"], "/");
    assert_eq!(config["root"]["path"], "rootfs");
    assert_eq!(config["root"]["readonly"], true);
}

#[test]
fn has_the_mounts_and_namespaces_of_runc_s() {
    let container = Container::without_rootfs();
    container.runtime(&["spec", "--bundle"]).arg(container.bundle()).run().ok();
    let config = read_config(&container);
    let names = |list: &Value, key: &str| -> Vec<String> {
        list.as_array().expect("an array").iter().map(|item| item[key].as_str().expect("text").to_owned()).collect()
    };
    let mounts = ["/proc", "/dev", "/dev/pts", "/dev/shm", "/dev/mqueue", "/sys", "/sys/fs/cgroup"];
    assert_eq!(names(&config["mounts"], "destination"), mounts);
    let mut namespaces = names(&config["linux"]["namespaces"], "type");
    namespaces.sort_unstable();
    // runc adds a cgroup namespace on version 2 only.
    if hierarchy() == Hierarchy::V2 {
        assert_eq!(namespaces[0], "cgroup");
    }
    namespaces.retain(|name| name != "cgroup");
    assert_eq!(namespaces, ["ipc", "mount", "network", "pid", "uts"]);
    for path in ["/proc/kcore", "/sys/firmware"] {
        assert!(config["linux"]["maskedPaths"].as_array().expect("an array").iter().any(|item| item == path), "{path}");
    }
}

#[test]
fn what_it_writes_runs_unchanged_but_for_the_program() {
    let mut container = Container::new();
    container.runtime(&["spec", "-b"]).arg(container.bundle()).run().ok();
    container.config = read_config(&container);
    set(&mut container.config, "/process/terminal", false.into());
    let container = container.args(&["sh", "-c", "echo it runs; touch /x"]);
    container.run().exits(1).says("it runs").complains("Read-only file system");
}

#[test]
fn goes_to_the_working_directory() {
    let container = Container::without_rootfs();
    container.runtime(&["spec"]).within(&container.bundle()).run().ok();
    assert!(container.bundle().join("config.json").exists());
}

#[test]
fn never_overwrites() {
    let container = Container::without_rootfs();
    fs::write(container.bundle().join("config.json"), "mine").expect("write a file");
    container.runtime(&["spec", "-b"]).arg(container.bundle()).run().exits(1).complains("exists").in_one_line();
    assert_eq!(fs::read_to_string(container.bundle().join("config.json")).expect("read the file"), "mine");
}

#[test]
fn rootless_maps_the_caller_to_root() {
    let container = Container::without_rootfs();
    container.runtime(&["spec", "--rootless", "-b"]).arg(container.bundle()).run().ok();
    let config = read_config(&container);
    let namespaces = config["linux"]["namespaces"].as_array().expect("an array");
    assert!(namespaces.iter().any(|namespace| namespace["type"] == "user"), "{namespaces:?}");
    assert!(!namespaces.iter().any(|namespace| namespace["type"] == "network"), "{namespaces:?}");
    for map in ["uidMappings", "gidMappings"] {
        let expected = serde_json::json!([{"containerID": 0, "hostID": 0, "size": 1}]);
        assert_eq!(config["linux"][map], expected, "{map}");
    }
    assert!(peer() != Peer::Ours || config["linux"]["resources"].is_null(), "{}", config["linux"]["resources"]);
}

#[test]
fn host_writes_a_bundle_that_needs_no_image() {
    skip_on!(Runc | Crun, "spec --host is ours alone");
    let mut container = Container::without_rootfs();
    container.runtime(&["spec", "--host", "-b"]).arg(container.bundle()).run().ok();
    container.config = read_config(&container);
    set(&mut container.config, "/process/terminal", false.into());
    let script = "cat /etc/os-release >/dev/null && echo the host\\'s tools; echo $$; \
        for dir in /usr /etc /bin; do touch $dir/x 2>/dev/null && echo $dir is writable; done; touch /tmp/x && echo done";
    let container = container.args(&["/bin/sh", "-c", script]);
    container.run().ok().says("the host's tools\n1\ndone");
}

#[test]
fn host_shows_nothing_of_the_host_but_its_programs() {
    skip_on!(Runc | Crun, "spec --host is ours alone");
    let mut container = Container::without_rootfs();
    container.runtime(&["spec", "--host", "-b"]).arg(container.bundle()).run().ok();
    container.config = read_config(&container);
    set(&mut container.config, "/process/terminal", false.into());
    let container =
        container.args(&["/bin/sh", "-c", "ls -A /root /home /var /tmp 2>/dev/null | grep -v ':$' | xargs"]);
    container.run().ok().says("");
}

#[test]
fn what_rootless_writes_runs_for_a_user_without_privilege() {
    skip_on!(Runc | Crun, "the arguments after -- are ours");
    let container = Container::new();
    // Where the tests were built, the user may not look.
    let own = container.dir.join("nskit");
    copy_program(&crate::harness::nskit(), &own);
    program("chown").args(["-hR", "nobody:nogroup"]).arg(container.dir.path()).run().ok();
    let as_nobody = |words: &[&str]| {
        let user = ["--reuid", "nobody", "--regid", "nogroup", "--clear-groups"];
        program("setpriv").args(user).arg(&own).args(["runtime", "--root"]).arg(container.state_root()).args(words)
    };
    let script = "id -u; test -e /sys/fs/cgroup/pids/cgroup.procs -o -e /sys/fs/cgroup/cgroup.procs && echo shown";
    as_nobody(&["spec", "--rootless", "-b"]).arg(container.bundle()).args(["--", "sh", "-c", script]).run().ok();
    as_nobody(&["run", "-b"]).arg(container.bundle()).arg(&container.id).run().ok().says("0\nshown");
    container.assert_gone();
}
