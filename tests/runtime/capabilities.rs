//! process.capabilities.

use serde_json::{Value, json};

use crate::harness::{Container, Peer, peer, skip_on};

/// The sets of the process, as /proc shows them: inheritable, permitted, effective, bounding, ambient.
fn sets(container: &Container) -> Vec<u64> {
    let output = container.output();
    let values = output.lines().map(|line| u64::from_str_radix(line.split_whitespace().last().expect("a set"), 16));
    values.collect::<Result<_, _>>().unwrap_or_else(|error| panic!("{error}: {output}"))
}

fn shower(capabilities: Value) -> Container {
    Container::new().args(&["grep", "Cap", "/proc/self/status"]).set("/process/capabilities", capabilities)
}

const KILL: u64 = 1 << 5;
const NET_RAW: u64 = 1 << 13;
const SYS_CHROOT: u64 = 1 << 18;

#[test]
fn root_has_exactly_those_of_the_configuration() {
    let three = json!(["CAP_KILL", "CAP_NET_RAW", "CAP_SYS_CHROOT"]);
    let container = shower(json!({"bounding": three, "permitted": three, "effective": three}));
    let all = KILL | NET_RAW | SYS_CHROOT;
    assert_eq!(sets(&container), [0, all, all, all, 0]);
}

#[test]
fn an_empty_configuration_leaves_none() {
    assert_eq!(sets(&shower(json!({}))), [0, 0, 0, 0, 0]);
}

#[test]
fn without_a_configuration_there_are_none() {
    skip_on!(Runc, "runc 1.1 crashes");
    let mut container = Container::new().args(&["grep", "Cap", "/proc/self/status"]);
    container.config["process"].as_object_mut().expect("an object").remove("capabilities");
    let sets = sets(&container);
    assert!(sets == [0, 0, 0, 0, 0] || peer() == Peer::Crun, "{sets:x?}");
}

#[test]
fn the_bounding_set_limits_what_root_gets_by_exec() {
    let container = shower(json!({"bounding": ["CAP_KILL"], "permitted": ["CAP_KILL"], "effective": ["CAP_KILL"]}));
    assert_eq!(sets(&container)[1..4], [KILL, KILL, KILL]);
}

#[test]
fn another_user_has_none_but_ambient_ones() {
    let both = json!(["CAP_KILL", "CAP_NET_RAW"]);
    let user = json!({"uid": 1000, "gid": 1000});
    let container =
        shower(json!({"bounding": both, "permitted": both, "effective": both})).set("/process/user", user.clone());
    assert_eq!(sets(&container), [0, 0, 0, KILL | NET_RAW, 0]);
    let ambient = json!({
        "bounding": both, "permitted": both, "effective": both, "inheritable": ["CAP_NET_RAW"], "ambient": ["CAP_NET_RAW"]
    });
    let container = shower(ambient).set("/process/user", user);
    assert_eq!(sets(&container), [NET_RAW, NET_RAW, NET_RAW, KILL | NET_RAW, NET_RAW]);
}

#[test]
fn what_the_configuration_lacks_is_refused_by_the_kernel() {
    let container = Container::script("mount -t tmpfs none /tmp");
    container.run().exits(1);
    let container = Container::script("mount -t tmpfs none /tmp && echo mounted");
    let admin = json!(["CAP_SYS_ADMIN"]);
    let container =
        container.set("/process/capabilities", json!({"bounding": admin, "permitted": admin, "effective": admin}));
    container.run().ok().says("mounted");
}

#[test]
fn an_unknown_capability_is_warned_of_and_left_out() {
    skip_on!(Crun, "crun refuses it");
    let some = json!(["CAP_KILL", "CAP_UNHEARD_OF"]);
    let container = shower(json!({"bounding": some, "permitted": some, "effective": some}));
    let output = container.run().ok().complains("CAP_UNHEARD_OF");
    assert!(output.stdout().contains("CapEff:\t0000000000000020"), "{}", output.stdout());
}

#[test]
fn a_capability_goes_by_its_own_name_alone() {
    skip_on!(Crun, "crun takes some of them");
    let some = json!(["CAP_KILL", "chown", "NET_ADMIN", "cap_net_raw", "CAP_CAP_SYS_ADMIN"]);
    let capabilities = json!({"bounding": some, "permitted": some, "effective": some});
    let container = shower(capabilities.clone());
    let output = container.run().ok().complains("CAP_CAP_SYS_ADMIN");
    assert!(output.stdout().contains("CapEff:\t0000000000000020"), "{}", output.stdout());
    let container = Container::running();
    let file = container.dir.join("process.json");
    let process = json!({"args": ["grep", "CapEff", "/proc/self/status"], "cwd": "/", "user": {"uid": 0, "gid": 0},
        "env": ["PATH=/bin"], "capabilities": capabilities});
    std::fs::write(&file, process.to_string()).expect("write a process");
    let output = container.exec_with(&["--process", file.to_str().expect("UTF-8")], &[]).ok();
    assert!(output.stdout().contains("CapEff:\t0000000000000020"), "{}", output.stdout());
}
