//! `events`.

use serde_json::{Value, json};

use crate::harness::{Container, eventually, skip_on};

fn parse(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
}

#[test]
fn stats_are_one_object_with_what_runc_has() {
    skip_on!(Crun, "crun has no events");
    let container = Container::running();
    let output = container.verb(&["events", "--stats"]).ok().stdout();
    assert_eq!(output.lines().count(), 1, "{output}");
    let event = parse(&output);
    assert_eq!((&event["type"], &event["id"]), (&json!("stats"), &json!(container.id)));
    let data = &event["data"];
    assert!(data["pids"]["current"].as_u64().is_some_and(|count| count >= 1), "{data}");
    assert!(data["memory"]["usage"]["usage"].as_u64().is_some_and(|bytes| bytes > 0), "{data}");
    assert!(data["memory"]["raw"].is_object(), "{data}");
    assert!(data["cpu"]["throttling"].is_object(), "{data}");
    assert!(data["blkio"].is_object(), "{data}");
    // A kernel that counts by its clock's ticks, as User Mode Linux does, has counted none at first.
    eventually("processor time was counted", || {
        let event = parse(&container.verb(&["events", "--stats"]).ok().stdout());
        event["data"]["cpu"]["usage"]["total"].as_u64().is_some_and(|time| time > 0)
    });
}

#[test]
fn stats_show_the_limits() {
    skip_on!(Crun, "crun has no events");
    let container = Container::sleeper().set("/linux/resources/pids", json!({"limit": 77}));
    let container = container.set("/linux/resources/memory", json!({"limit": 67_108_864})).started();
    let event = parse(&container.verb(&["events", "--stats"]).ok().stdout());
    assert_eq!(event["data"]["pids"]["limit"], 77);
    assert_eq!(event["data"]["memory"]["usage"]["limit"], 67_108_864);
}

#[test]
fn come_at_the_interval_until_the_container_is_deleted() {
    skip_on!(Crun, "crun has no events");
    let container = Container::running();
    let events = container.runtime(&["events", "--interval", "100ms", &container.id]).start();
    eventually("three events", || events.stdout().lines().count() >= 3);
    container.verb(&["delete", "--force"]).ok();
    let output = events.wait().ok().stdout();
    assert!(output.lines().all(|line| parse(line)["type"] == "stats"), "{output}");
}

#[test]
fn tell_when_the_container_ran_out_of_memory() {
    skip_on!(Crun, "crun has no events");
    let container = Container::script("while [ ! -e /go ]; do sleep 0.02; done; tail /dev/zero; sleep 30");
    let container =
        container.set("/linux/resources/memory", json!({"limit": 33_554_432, "swap": 33_554_432})).started();
    let events = container.runtime(&["events", "--interval", "100ms", &container.id]).start();
    eventually("the first event", || !events.stdout().is_empty());
    std::fs::write(container.rootfs().join("go"), "").expect("let it go");
    let oom = || events.stdout().lines().map(parse).find(|event| event["type"] == "oom");
    eventually("an event of the kind oom", || oom().is_some());
    assert_eq!(oom().expect("an event")["id"], container.id);
}

#[test]
fn of_a_stopped_container_are_refused() {
    skip_on!(Crun, "crun has no events");
    let container = Container::new().started();
    container.wait_stopped();
    container.verb(&["events", "--stats"]).exits(1).complains("not running").in_one_line();
}

#[test]
fn of_a_container_that_is_not_there_say_so() {
    skip_on!(Crun, "crun has no events");
    Container::new().verb(&["events", "--stats"]).exits(1).complains("does not exist").in_one_line();
}
