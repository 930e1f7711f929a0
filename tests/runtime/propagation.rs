//! rootfsPropagation, and the propagation flags of mounts.

use std::fs;

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

/// A container that shows the fields between the options of a mount and its file system: `shared:N`, `master:N`.
fn shower(target: &str) -> Container {
    let script = format!("$5 == \"{target}\" {{ for (i = 7; $i != \"-\"; i++) print $i }}");
    Container::new().args(&["awk", &script, "/proc/self/mountinfo"])
}

#[test]
fn the_root_is_private_of_the_host_by_default() {
    let output = shower("/").output();
    assert!(!output.contains("shared"), "{output}");
}

#[test]
fn the_root_is_shared_when_asked() {
    skip_on!(Runc, "runc 1.1 forgets it");
    let output = shower("/").set("/linux/rootfsPropagation", "shared").output();
    assert!(output.contains("shared:"), "{output}");
    let output = shower("/").set("/linux/rootfsPropagation", "private").output();
    assert_eq!(output, "");
}

#[test]
fn the_root_is_a_slave_of_a_shared_host_when_asked() {
    skip_on!(Crun, "it is private");
    let container = shower("/").set("/linux/rootfsPropagation", "slave");
    let output = run_after(&container, "mount --make-rshared /").ok();
    assert!(output.stdout().contains("master:") && !output.stdout().contains("shared:"), "{}", output.stdout());
}

#[test]
fn the_root_is_a_slave_also_where_the_bundle_is_on_a_mount_of_its_own() {
    skip_on!(Runc | Crun, "it is private");
    let container = shower("/").set("/linux/rootfsPropagation", "slave");
    let output = run_after(&container, "mount --bind $DIR $DIR && mount --make-shared $DIR && cd $DIR").ok();
    assert!(output.stdout().contains("master:") && !output.stdout().contains("shared:"), "{}", output.stdout());
}

#[test]
fn an_unknown_propagation_is_refused_and_named() {
    let container = Container::new().set("/linux/rootfsPropagation", "sideways");
    container.run().exits(1).complains("sideways").in_one_line();
}

#[test]
fn a_mount_is_shared_private_or_a_slave_as_its_options_say() {
    for (option, expected) in [("shared", "shared:"), ("slave", "master:"), ("private", ""), ("rslave", "master:")] {
        let container = shower("/data");
        let source = container.dir.join("source");
        fs::create_dir(&source).expect("make a folder");
        let source = source.to_str().expect("UTF-8").to_owned();
        let container = container.mount("/data", "bind", &source, &["rbind", option]);
        // A mount can only be the slave of one that is shared.
        let output = run_after(&container, "mount -t tmpfs none $DIR/source; mount --make-shared $DIR/source").ok();
        let fields = output.stdout();
        assert!(if expected.is_empty() { fields.is_empty() } else { fields.contains(expected) }, "{option}: {fields}");
    }
}

#[test]
fn a_slave_sees_what_the_host_mounts_later() {
    let container =
        Container::script("touch /data/ready; while [ ! -e /data/later/file ]; do sleep 0.02; done; echo seen");
    let source = container.dir.join("source");
    fs::create_dir(&source).expect("make a folder");
    let source = source.to_str().expect("UTF-8").to_owned();
    let container = container.mount("/data", "bind", &source, &["rbind", "rslave"]);
    let script = "mount -t tmpfs none $DIR/source; mount --make-shared $DIR/source; mkdir $DIR/source/later
        (while [ ! -e $DIR/source/ready ]; do sleep 0.02; done
         mount -t tmpfs none $DIR/source/later; touch $DIR/source/later/file) &";
    run_after(&container, script).ok().says("seen");
}

#[test]
fn the_root_is_unbindable_when_asked() {
    for name in ["unbindable", "runbindable"] {
        let output = shower("/").set("/linux/rootfsPropagation", name).output();
        assert_eq!(output, "unbindable");
    }
}

#[test]
fn what_the_host_mounts_below_the_root_later_stays_outside() {
    skip_on!(Runc, "runc does so from 1.5 on");
    let script = "touch /ready; while [ ! -e /go ]; do sleep 0.02; done; ls /tmp";
    let container = Container::script(script);
    let script = "R=$DIR/bundle/rootfs; mount --make-rshared /; mount --bind $R $R; mount --make-shared $R
        (while [ ! -e $R/ready ]; do sleep 0.02; done
         mount -t tmpfs none $R/tmp; touch $R/tmp/leaked $R/go) &";
    run_after(&container, script).ok().says("");
}

#[test]
fn a_mount_of_the_host_whose_path_is_no_utf8_is_in_nobodys_way() {
    let container = Container::new().set("/linux/rootfsPropagation", "rshared");
    let script = "M=$(printf '%s/m\\377' $DIR); mkdir $M; mount -t tmpfs none $M; mount --make-rshared /";
    run_after(&container, script).ok();
}
