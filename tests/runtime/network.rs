//! linux.netDevices. The host's network here is a namespace that each test makes for itself.

use serde_json::{Value, json};

use crate::harness::{Container, Output, nskit, program, runtime_words, skip, skip_on};

/// Two devices, the ends of one cable; the first with addresses.
const SETUP: &str = "ip link add nskt0 type veth peer name nskt1
    ip address add 10.9.8.7/24 dev nskt0
    ip address add fd00:9::7/64 dev nskt0 nodad
    ip link set nskt0 up";

/// Whether these tests can run at all.
fn is_ready() -> bool {
    let tried = program(nskit()).args(["unshare", "--net", "sh", "-ec", SETUP]).run();
    tried.code() == 0
}

/// Runs the container where the devices are; what the host's network has after it goes to standard error.
fn run(container: &Container) -> Output {
    container.write_config();
    let runtime = runtime_words().join(" ");
    let (root, bundle) = (container.state_root(), container.bundle());
    let script = format!(
        "{SETUP}
         status=0
         {runtime} --root {} run --bundle {} {} || status=$?
         ip -o address show dev nskt0 >&2 || true
         exit $status",
        root.display(),
        bundle.display(),
        container.id
    );
    program(nskit()).args(["unshare", "--net", "sh", "-ec", &script]).run()
}

fn with(devices: &Value, args: &[&str]) -> Container {
    Container::new().set("/linux/netDevices", devices.clone()).args(args)
}

macro_rules! needs_veth {
    () => {
        skip_on!(Runc | Crun, "their packaged versions do not know netDevices");
        if !is_ready() {
            skip!("no virtual network devices in this kernel");
        }
    };
}

#[test]
fn a_device_comes_with_its_addresses_under_its_new_name() {
    needs_veth!();
    let devices = json!({"nskt0": {"name": "eth7"}});
    let output = run(&with(&devices, &["ip", "address", "show", "eth7"])).ok();
    output.mentions("10.9.8.7/24").mentions("fd00:9::7/64").mentions(",UP").complains("does not exist");
}

#[test]
fn a_device_keeps_its_name_where_it_is_given_no_other() {
    needs_veth!();
    let devices = json!({"nskt0": {}});
    run(&with(&devices, &["ip", "address", "show", "nskt0"])).ok().mentions("10.9.8.7/24");
}

#[test]
fn a_name_may_be_left_to_the_kernel_to_complete() {
    needs_veth!();
    let devices = json!({"nskt0": {"name": "dev%d"}});
    run(&with(&devices, &["ip", "address", "show", "dev0"])).ok().mentions("10.9.8.7/24");
}

#[test]
fn a_device_comes_to_a_container_with_a_user_namespace() {
    needs_veth!();
    let devices = json!({"nskt0": {}});
    let container = with(&devices, &["ip", "address", "show", "nskt0"]).user_namespace();
    run(&container).ok().mentions("10.9.8.7/24").mentions(",UP");
}

#[test]
fn a_name_that_is_taken_leaves_the_device_where_it_is() {
    needs_veth!();
    let devices = json!({"nskt0": {"name": "lo"}});
    let container = with(&devices, &["true"]);
    let output = run(&container).exits(1);
    output.complains("nskt0").complains("as lo").complains("10.9.8.7/24").complains("fd00:9::7/64");
    container.assert_gone();
}

#[test]
fn a_device_that_is_not_there_is_an_error_that_names_it() {
    needs_veth!();
    let devices = json!({"nskt7": {}});
    let container = with(&devices, &["true"]);
    run(&container).exits(1).complains("nskt7").complains("no such device");
    container.assert_gone();
}

#[test]
fn a_name_that_no_device_can_have_is_refused() {
    skip_on!(Runc | Crun, "their packaged versions do not know netDevices");
    for devices in [json!({"a/b": {}}), json!({"eth0": {"name": "sixteen-letters-"}}), json!({"": {}})] {
        with(&devices, &["true"]).run().exits(1).complains("invalid network device name").in_one_line();
    }
    let container = with(&json!({"nskt0": {}}), &["true"]).without_namespace("network");
    container.run().exits(1).complains("NET namespace").in_one_line();
}

#[test]
fn what_another_device_keeps_from_moving_stays_or_comes_back() {
    needs_veth!();
    for (devices, why) in [
        (json!({"nskt0": {}, "zz": {}}), "zz"),
        (json!({"nskt0": {"name": "x"}, "nskt1": {"name": "x"}}), "nskt1"),
        // Which name the template gives is known only when it has been moved.
        (json!({"nskt0": {"name": "eth%d"}, "nskt1": {"name": "eth0"}}), "nskt1"),
    ] {
        let container = with(&devices, &["true"]);
        run(&container).exits(1).complains(why).complains("10.9.8.7/24").complains("fd00:9::7/64");
        container.assert_gone();
    }
}
