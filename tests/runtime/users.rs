//! process.user.

use serde_json::json;

use crate::harness::{Container, program, skip_on};

#[test]
fn the_process_has_the_ids_of_the_configuration() {
    let container = Container::script("id -u; id -g").set("/process/user", json!({"uid": 1000, "gid": 1001}));
    container.run().ok().says("1000\n1001");
}

#[test]
fn additional_groups_are_exactly_those_of_the_configuration() {
    let container = Container::new().args(&["grep", "Groups", "/proc/self/status"]);
    let user = json!({"uid": 1000, "gid": 1001, "additionalGids": [7, 5, 60000]});
    container.set("/process/user", user).run().ok().says("Groups:\t5 7 60000");
}

#[test]
fn without_additional_groups_the_caller_s_are_dropped() {
    let container = Container::new().args(&["grep", "Groups", "/proc/self/status"]);
    container.run().ok().says("Groups:");
}

#[test]
fn an_id_that_nobody_has_works() {
    let container = Container::script("id -u; id -g").set("/process/user", json!({"uid": 54321, "gid": 12345}));
    container.run().ok().says("54321\n12345");
}

#[test]
fn another_user_may_write_to_the_standard_output_it_was_given() {
    let container = Container::script("echo out; echo err >&2").set("/process/user", json!({"uid": 1000, "gid": 1000}));
    container.run().ok().says("out").complains("err");
}

#[test]
fn another_user_cannot_read_what_is_root_s() {
    let container = Container::script("cat /secret").set("/process/user", json!({"uid": 1000, "gid": 1000}));
    std::fs::write(container.rootfs().join("secret"), "x").expect("write a file");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(container.rootfs().join("secret"), mode).expect("chmod");
    container.run().exits(1).complains("Permission denied");
}

#[test]
fn a_working_directory_that_only_root_may_enter_works_for_other_users_as_with_runc() {
    let container =
        Container::new().set("/process/user", json!({"uid": 1000, "gid": 1000})).set("/process/cwd", "/closed");
    std::fs::create_dir(container.rootfs().join("closed")).expect("make a folder");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    std::fs::set_permissions(container.rootfs().join("closed"), mode).expect("chmod");
    container.args(&["readlink", "/proc/self/cwd"]).run().ok().says("/closed");
}

#[test]
fn the_groups_of_the_runtime_are_kept_when_an_annotation_asks() {
    skip_on!(Runc, "an annotation of crun's");
    let container = Container::new().args(&["id", "-G"]).set("/process/user/additionalGids", json!([7]));
    let container = container.set("/annotations", json!({"run.oci.keep_original_groups": "1"}));
    container.write_config();
    let words = crate::harness::runtime_words();
    let run = program("setpriv").args(["--groups", "4321,4322"]).args(words).arg("--root").arg(container.state_root());
    let run = run.args(["run", "--bundle"]).arg(container.bundle()).arg(&container.id);
    run.run().ok().says("0 4321 4322");
}
