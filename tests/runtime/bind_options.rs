//! The attributes of bind mounts: which the source's stay, and which a user namespace may not take away.

use std::fs;

use crate::harness::{Container, Output, Peer, peer, program, runtime_words, skip_on};

/// Runs a container that shows the attributes of its mount at /data: a bind with `options` of a tmpfs that the host has
/// mounted with `source`.
fn run(container: Container, source: &str, options: &[&str]) -> Output {
    let folder = container.dir.join("source");
    fs::create_dir(&folder).expect("make a folder");
    let folder = folder.to_str().expect("UTF-8");
    let script = "awk '$5 == \"/data\" { print $6 }' /proc/self/mountinfo";
    let container = container.args(&["sh", "-c", script]).mount("/data", "none", folder, options);
    container.write_config();
    let words = runtime_words().join(" ");
    let (root, bundle) = (container.state_root(), container.bundle());
    let script = format!(
        "mount -t tmpfs tmpfs {folder} && mount -o remount,bind,{source} {folder} && exec {words} --root {} run --bundle {} {}",
        root.display(),
        bundle.display(),
        container.id
    );
    program("unshare").args(["--mount", "sh", "-c", &script]).run()
}

#[test]
fn in_a_user_namespace_a_bind_keeps_what_the_host_has_and_nobody_names() {
    skip_on!(Runc, "runc 1.1 fails");
    for (options, expected) in [
        (&["rbind", "rprivate"][..], "ro,nosuid,nodev,noexec,relatime"),
        (&["bind", "nodev"][..], "ro,nosuid,nodev,noexec,relatime"),
        (&["rbind", "rprivate", "nosuid", "relatime"][..], "ro,nosuid,nodev,noexec,relatime"),
    ] {
        let container = Container::new().user_namespace();
        run(container, "ro,nosuid,nodev,noexec,relatime", options).ok().says(expected);
    }
}

#[test]
fn in_a_user_namespace_a_bind_that_takes_something_away_is_refused_by_name() {
    skip_on!(Runc | Crun, "runc 1.1 and crun keep it and say nothing");
    for (source, options, named) in [
        ("ro,relatime", &["rbind", "rprivate", "rw"][..], "clear ro of the source"),
        ("ro,nosuid,relatime", &["bind", "rw", "suid"][..], "clear ro, nosuid of the source"),
        ("noexec,relatime", &["bind", "exec"][..], "clear noexec of the source"),
        ("noatime", &["bind", "relatime"][..], "clear noatime of the source"),
        ("nodev,relatime", &["rbind", "rdev"][..], "clear nodev of the source"),
    ] {
        run(Container::new().user_namespace(), source, options).exits(1).complains(named).in_one_line();
    }
}

#[test]
fn without_a_user_namespace_a_bind_has_what_it_names_and_no_more() {
    skip_on!(Runc, "runc 1.1 keeps what is only named to be without");
    for (source, options, expected) in [
        ("ro,nosuid,nodev,noexec,relatime", &["rbind", "rprivate", "rw"][..], "rw,relatime"),
        ("ro,nosuid,nodev,noexec,relatime", &["bind", "nodev"][..], "rw,nodev,relatime"),
        ("nosymfollow,relatime", &["bind", "ro"][..], "ro,relatime"),
        ("nosymfollow,relatime", &["bind", "symfollow"][..], "rw,relatime"),
    ] {
        run(Container::new(), source, options).ok().says(expected);
    }
}

#[test]
fn a_word_that_negates_a_way_of_updating_access_times_leaves_the_sources() {
    for (source, options, expected) in [
        ("noatime", &["bind", "ro", "atime"][..], "ro,noatime"),
        ("noatime", &["bind", "ro", "norelatime"][..], "ro,noatime"),
        ("nodiratime,relatime", &["bind", "ro", "diratime"][..], "ro,nodiratime,relatime"),
        ("strictatime", &["bind", "ro", "nostrictatime"][..], "ro"),
        ("relatime", &["bind", "noatime", "atime", "ro"][..], "ro,relatime"),
        ("noatime", &["bind", "nodiratime"][..], "rw,nodiratime,relatime"),
    ] {
        if peer() == Peer::Crun && options.contains(&"norelatime") {
            continue;
        }
        run(Container::new(), source, options).ok().says(expected);
    }
}
