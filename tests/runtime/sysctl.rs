//! linux.sysctl.

use std::fs;

use serde_json::json;

use crate::harness::Container;

#[test]
fn is_set_in_the_network_of_the_container() {
    let before = fs::read_to_string("/proc/sys/net/ipv4/ip_forward").expect("read the host's");
    for value in ["1", "0"] {
        let container = Container::new().args(&["cat", "/proc/sys/net/ipv4/ip_forward"]);
        container.set("/linux/sysctl", json!({"net.ipv4.ip_forward": value})).run().ok().says(value);
    }
    assert_eq!(fs::read_to_string("/proc/sys/net/ipv4/ip_forward").expect("read the host's"), before);
}

#[test]
fn is_set_in_the_ipc_namespace_of_the_container() {
    let container = Container::new().args(&["cat", "/proc/sys/kernel/shmmni"]);
    container.set("/linux/sysctl", json!({"kernel.shmmni": "1234"})).run().ok().says("1234");
}

#[test]
fn may_be_written_with_slashes() {
    let container = Container::new().args(&["cat", "/proc/sys/net/ipv4/ip_forward"]);
    container.set("/linux/sysctl", json!({"net/ipv4/ip_forward": "1"})).run().ok().says("1");
}

#[test]
fn that_would_change_the_host_is_refused_and_named() {
    for name in ["vm.swappiness", "kernel.panic", "fs.file-max"] {
        let container = Container::new().set("/linux/sysctl", json!({name: "1"}));
        container.run().exits(1).complains(name).in_one_line();
        container.assert_gone();
    }
}

#[test]
fn of_the_network_is_refused_without_a_network_namespace() {
    let container =
        Container::new().set("/linux/sysctl", json!({"net.ipv4.ip_forward": "1"})).without_namespace("network");
    container.run().exits(1).complains("net.ipv4.ip_forward").in_one_line();
}

#[test]
fn that_is_not_there_is_an_error_that_names_it() {
    let container = Container::new().set("/linux/sysctl", json!({"net.ipv4.unheard_of": "1"}));
    container.run().exits(1).complains("unheard_of").in_one_line();
    container.assert_gone();
}
