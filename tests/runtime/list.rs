//! `list`.

use serde_json::{Value, json};

use crate::harness::{Container, Peer, peer, skip_on};

#[test]
fn shows_every_container_in_a_table() {
    let container = Container::running();
    let output = container.runtime(&["list"]).run().ok().stdout();
    let mut lines = output.lines();
    let head: Vec<_> = lines.next().expect("a head").split_whitespace().collect();
    assert_eq!(&head[..5], ["ID", "PID", "STATUS", "BUNDLE", "CREATED"].as_slice());
    let row: Vec<_> = lines.next().expect("a row").split_whitespace().collect();
    let (pid, bundle) = (container.pid().to_string(), container.bundle());
    assert_eq!(
        &row[..4],
        [&container.id, &pid, "running", bundle.to_str().expect("UTF-8")].map(String::from).as_slice()
    );
    assert_eq!(lines.next(), None);
}

#[test]
fn shows_the_owner_in_the_table() {
    let container = Container::running();
    let output = container.runtime(&["list"]).run().ok().stdout();
    let columns: Vec<_> = output.lines().map(|line| line.split_whitespace().last().expect("a column")).collect();
    assert_eq!(columns, ["OWNER", "root"]);
}

#[test]
fn in_quiet_shows_ids_only() {
    let container = Container::running();
    container.runtime(&["list", "-q"]).run().ok().says(&container.id);
}

#[test]
fn in_json_shows_what_state_does() {
    let container = Container::running();
    let output = container.runtime(&["list", "--format", "json"]).run().ok().stdout();
    let list: Value = serde_json::from_str(&output).expect("JSON");
    let (entry, state) = (&list[0], container.state());
    for key in ["id", "pid", "status", "bundle"] {
        assert_eq!(entry[key], state[key], "{key}");
    }
    if peer() != Peer::Crun {
        assert_eq!(entry["rootfs"], state["rootfs"]);
    }
    assert_eq!(list.as_array().map(Vec::len), Some(1));
}

#[test]
fn of_no_containers_is_null_in_json_and_a_head_in_a_table() {
    let container = Container::without_rootfs();
    std::fs::create_dir_all(container.state_root()).expect("make the folder of all containers");
    let empty: Value =
        serde_json::from_str(&container.runtime(&["list", "-f", "json"]).run().ok().stdout()).expect("JSON");
    assert_eq!(empty, if peer() == Peer::Crun { json!([]) } else { Value::Null });
    assert_eq!(container.runtime(&["list"]).run().ok().stdout().lines().count(), 1);
    container.runtime(&["list", "-q"]).run().ok().says("");
}

#[test]
fn of_a_root_that_is_named_and_not_there_is_an_error() {
    skip_on!(Crun, "an empty list");
    let container = Container::without_rootfs();
    container.runtime(&["list"]).run().exits(1).complains("no such file or directory").in_one_line();
}

#[test]
fn shows_stopped_containers_with_pid_zero() {
    let container = Container::new().started();
    container.wait_stopped();
    let output = container.runtime(&["list"]).run().ok().stdout();
    let row: Vec<_> = output.lines().nth(1).expect("a row").split_whitespace().collect();
    assert_eq!(&row[1..3], ["0", "stopped"].as_slice());
}

#[test]
fn an_unknown_format_is_an_error() {
    Container::without_rootfs().runtime(&["list", "--format", "yaml"]).run().exits(1);
}
