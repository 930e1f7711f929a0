//! A container's mount namespace is the same whether it is a copy of the host's that is emptied, or begins with the root alone
//! (Linux 7.0). A createContainer hook, which may look at the host's mounts, has the runtime take the copy.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::json;

use crate::harness::{Container, Output, program, runtime_words, skip_on};

/// Runs the container attached, in a mount namespace of its own, after a shell script; `$DIR` is the test's folder.
fn run_after(container: &Container, script: &str) -> Output {
    container.write_config();
    let script = format!("{script}\nexec \"$@\" run --bundle {} {}", container.bundle().display(), container.id);
    program("unshare")
        .args(["-m", "--propagation", "private", "sh", "-ec", &script, "sh"])
        .args(runtime_words())
        .arg("--root")
        .arg(container.state_root())
        .env("DIR", container.dir.path())
        .run()
}

/// mountinfo without the numbers that differ each time: every mount with the place of its parent.
fn normalised(mountinfo: &str) -> Vec<String> {
    let fields = || mountinfo.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let places: BTreeMap<&str, &str> = fields().map(|fields| (fields[0], fields[4])).collect();
    let mut mounts: Vec<String> = fields()
        .map(|fields| {
            let parent = places.get(fields[1]).copied().unwrap_or("none");
            let rest = fields[3..].iter().map(|field| match field.split_once(':') {
                Some((kind @ ("shared" | "master"), _)) => kind,
                _ => field,
            });
            format!("{parent} {}", rest.collect::<Vec<_>>().join(" "))
        })
        .collect();
    mounts.sort();
    mounts
}

/// Asserts that `container` has the same mounts in a copy of the host's namespace and in one of its own.
fn assert_same(what: &str, script: &str, container: impl Fn() -> Container) {
    let shown = |container: Container| {
        let container = container.args(&["cat", "/proc/self/mountinfo"]);
        let output = run_after(&container, script).ok().stdout();
        output.replace(container.dir.path().to_str().expect("UTF-8"), "DIR").replace(&container.id, "ID")
    };
    let hook = json!([{"path": "/bin/true"}]);
    let copied = shown(container().set("/hooks/createContainer", hook));
    assert_eq!(normalised(&shown(container())), normalised(&copied), "{what}");
}

const SOURCES: &str = "
    mkdir $DIR/shared $DIR/slave $DIR/private $DIR/unbindable
    for kind in shared slave private unbindable; do
        mount -t tmpfs -o nosuid,nodev source-$kind $DIR/$kind
        mkdir $DIR/$kind/below
    done
    mount --make-shared $DIR/shared
    mount --make-shared $DIR/slave && mount --make-slave $DIR/slave
    mount --make-unbindable $DIR/unbindable
    mount -t tmpfs -o noexec below-shared $DIR/shared/below
    mount -t tmpfs below-private $DIR/private/below
    mount --make-private $DIR/private/below
";

#[test]
fn the_default_mounts_are_the_same() {
    skip_on!(Runc | Crun, "a property of ours");
    assert_same("the default configuration", "", Container::new);
    assert_same("a slave of the host", "mount --make-rshared /", || {
        Container::new().set("/linux/rootfsPropagation", "rslave")
    });
    assert_same("a read-only root", "", || Container::new().set("/root/readonly", true));
    assert_same("the host's cgroup namespace", "", || Container::new().without_namespace("cgroup"));
}

#[test]
fn binds_of_every_kind_of_source_are_the_same() {
    skip_on!(Runc | Crun, "a property of ours");
    for kind in ["shared", "slave", "private", "unbindable"] {
        for options in [
            &["bind"][..],
            &["rbind"],
            &["rbind", "rprivate", "ro"],
            &["rbind", "rslave"],
            &["bind", "shared"],
            &["rbind", "rshared"],
            &["rbind", "rro", "nosuid"],
            &["bind", "unbindable"],
        ] {
            let container = || {
                let container = Container::new();
                let source = container.dir.join(kind);
                container.mount("/data", "bind", source.to_str().expect("UTF-8"), options)
            };
            assert_same(&format!("{kind} {options:?}"), SOURCES, container);
        }
    }
}

#[test]
fn a_source_that_cannot_be_bound_fails_with_the_same_words() {
    skip_on!(Runc | Crun, "a property of ours");
    for source in ["not-there", "private/not-there"] {
        let failed = |hooks: serde_json::Value| {
            let container = Container::new();
            let place = container.dir.join(source);
            let container = container.mount("/data", "bind", place.to_str().expect("UTF-8"), &["bind"]);
            let output = run_after(&container.set("/hooks", hooks), SOURCES).exits(1).in_one_line().stderr();
            output.rsplit_once(": ").expect("a cause").1.to_owned()
        };
        assert_eq!(failed(json!({})), failed(json!({"createContainer": [{"path": "/bin/true"}]})), "{source}");
    }
}

#[test]
fn the_mounts_below_the_root_come_along_as_slaves() {
    skip_on!(Runc | Crun, "a property of ours");
    let script = "
        mkdir $DIR/bundle/rootfs/below
        mount --bind $DIR/bundle/rootfs $DIR/bundle/rootfs && mount --make-shared $DIR/bundle/rootfs
        mount -t tmpfs below $DIR/bundle/rootfs/below";
    assert_same("a root with mounts below it", script, Container::new);
    assert_same(
        "a root on a file system of its own",
        "mount -t tmpfs own $DIR/bundle/rootfs/mnt 2>/dev/null || true",
        Container::new,
    );
}

#[test]
fn a_source_in_the_root_shows_what_was_mounted_there_before() {
    skip_on!(Runc | Crun, "a property of ours");
    let container = || {
        let container = Container::script("cat /second/f; ls /link");
        fs::create_dir(container.rootfs().join("first")).expect("make a folder");
        let source = container.dir.join("source");
        fs::create_dir(&source).expect("make a folder");
        fs::write(source.join("f"), "content").expect("write a file");
        // Not by its path, but by a link, it is in the root.
        let (first, link) = (container.rootfs().join("first"), container.dir.join("link"));
        std::os::unix::fs::symlink(&first, &link).expect("make a link");
        let text = |path: &Path| path.to_str().expect("UTF-8").to_owned();
        container
            .mount("/first", "bind", &text(&source), &["bind"])
            .mount("/second", "bind", &text(&first), &["bind"])
            .mount("/link", "bind", &text(&link), &["bind"])
    };
    container().run().ok().says("contentf");
}

#[test]
fn masks_and_read_only_paths_are_the_same() {
    skip_on!(Runc | Crun, "a property of ours");
    let container = || {
        let container = Container::new();
        for name in ["one", "two", "three"] {
            fs::create_dir(container.rootfs().join(name)).expect("make a folder");
            fs::write(container.rootfs().join(name).join("f"), "x").expect("write a file");
        }
        let container =
            container.set("/linux/maskedPaths", json!(["/one/f", "/two", "/three/f", "/proc/kcore", "/sys/firmware"]));
        container.set("/linux/readonlyPaths", json!(["/one", "/proc/sys"]))
    };
    assert_same("masks", "", container);
}

#[test]
fn what_the_host_mounts_later_below_a_slave_is_seen_and_nothing_comes_back() {
    skip_on!(Runc | Crun, "a property of ours");
    let container = Container::script(
        "echo ready; while ! test -e /data/below/go; do sleep 0.01; done; mount -t tmpfs own /data/own && echo mounted",
    );
    let admin = json!(["CAP_SYS_ADMIN"]);
    let container =
        container.set("/process/capabilities", json!({"bounding": admin, "permitted": admin, "effective": admin}));
    let source = container.dir.join("shared");
    let container = container.mount("/data", "bind", source.to_str().expect("UTF-8"), &["rbind", "rslave"]);
    let output = run_after(
        &container,
        "mkdir $DIR/shared; mount -t tmpfs source $DIR/shared; mount --make-shared $DIR/shared; mkdir $DIR/shared/below $DIR/shared/own
         (sleep 1; mount -t tmpfs later $DIR/shared/below; touch $DIR/shared/below/go; sleep 1; grep -c ' own ' /proc/self/mountinfo >$DIR/came-back) &",
    );
    output.ok().says("ready\nmounted");
    crate::harness::eventually("the host has looked", || {
        fs::read_to_string(container.dir.join("came-back")).is_ok_and(|text| text.trim() == "0")
    });
}
