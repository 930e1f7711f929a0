//! Id-mapped mounts whose source or maps are out of the ordinary.

use std::fs;

use crate::harness::{Container, skip_on};

/// A folder with a file of the test's, and its path.
fn source(container: &Container) -> String {
    let dir = container.dir.join("source");
    fs::create_dir_all(&dir).expect("make a folder");
    fs::write(dir.join("f"), "content\n").expect("write a file");
    dir.to_str().expect("UTF-8").to_owned()
}

#[test]
fn in_a_user_namespace_a_mount_that_was_made_just_before_is_bound_again_with_its_ids_mapped() {
    skip_on!(Runc | Crun, "the versions of Debian 12 cannot");
    for rootless_cgroup in [false, true] {
        let container =
            Container::new().args(&["stat", "-c", "%u", "/first/f", "/final/f", "/last/f"]).user_namespace();
        let source = source(&container);
        let first = container.rootfs().join("first");
        let first = first.to_str().expect("UTF-8").to_owned();
        let mut container = container
            .mount("/first", "bind", &source, &["bind"])
            .mount("/final", "bind", &first, &["bind", "idmap"])
            .mount("/last", "bind", &first, &["rbind", "ridmap"]);
        if rootless_cgroup {
            container = container.without_namespace("cgroup");
        }
        container.run().ok().says("65534\n0\n0");
    }
}

#[test]
fn the_option_may_have_the_maps_itself() {
    skip_on!(Runc, "crun's option");
    for (option, shown) in
        [("idmap=uids=0-1000-10;gids=0-2000-10", "1000:2000"), ("idmap=uids=0-5-1#1-7-1;gids=0-6-1", "5:6")]
    {
        let container = Container::new().args(&["stat", "-c", "%u:%g", "/data/f"]);
        let source = source(&container);
        container.mount("/data", "bind", &source, &["bind", option]).run().ok().says(shown);
    }
}

#[test]
fn an_id_of_the_container_in_the_option_is_one_of_its_user_namespace() {
    skip_on!(Runc, "crun's option");
    let container = Container::new().args(&["stat", "-c", "%u:%g", "/data/f"]).user_namespace();
    let source = source(&container);
    container.mount("/data", "bind", &source, &["bind", "idmap=uids=@0-3-10;gids=@0-4-10"]).run().ok().says("3:4");
}

#[test]
fn a_map_that_is_not_understood_is_named() {
    skip_on!(Runc | Crun, "a message of ours");
    let container = Container::new();
    let source = source(&container);
    let container = container.mount("/data", "bind", &source, &["bind", "idmap=uids=0-1"]);
    container.run().exits(1).complains("\"0-1\" is not understood").in_one_line();
}
