//! Ids that cannot be mapped, and users and groups that cannot be changed to.

use super::{fails_silently_of, fails_with};

#[test]
fn a_user_namespace_of_an_unmapped_user() {
    fails_with(
        "unshare -U unshare -U true",
        "unshare failed: Operation not permitted",
        "not mapped in the user namespace",
    );
}

#[test]
fn ranges_that_overlap() {
    fails_with(
        "unshare --map-users=0:0:5 --map-users=3:100:5 true",
        "uid_map: Invalid argument",
        "two ranges have id 3 in common inside",
    );
}

#[test]
fn ids_that_the_parent_namespace_lacks() {
    fails_with(
        "unshare -r unshare --map-users=0:100000:10 true",
        "uid_map: Operation not permitted",
        "id 100000 is not mapped in the user namespace that you are in",
    );
}

#[test]
fn ids_that_no_file_grants() {
    let script =
        "printf '12345:100000:10\\n' >sub; mount --bind sub /etc/subuid; as_user unshare --map-users=0:500:10 true";
    fails_with(script, "newuidmap", "/etc/subuid grants 12345:100000:10, which has not all of 500:10");
}

#[test]
fn newuidmap_that_has_no_privilege_or_is_not_to_blame() {
    let granted = "printf '12345:100000:10\\n' >sub; mount --bind sub /etc/subuid; mount --bind sub /etc/subgid;";
    let map = "unshare --map-users=0:100000:10 true";
    fails_with(&format!("{granted} as_user setpriv --no-new-privs {map}"), "newuidmap", "no_new_privs is set");
    let own = "cp /usr/bin/newuidmap tool; mkdir bin; mount -t tmpfs t bin; cp tool bin/newuidmap; export PATH=$PWD/bin:$PATH;";
    let script = format!("{granted} {own} chmod 755 bin bin/newuidmap; as_user {map}");
    fails_with(&script, "newuidmap", "bin/newuidmap has neither the set-user-ID bit nor capabilities");
    let script =
        format!("{granted} {own} chmod 4755 bin/newuidmap; mount -o remount,nosuid,mode=755 bin; as_user {map}");
    fails_with(&script, "newuidmap", "bin/newuidmap is on a mount with the option nosuid");
    let two = "as_user unshare --map-users=0:100000:5 --map-users=3:100007:2 true";
    fails_with(&format!("{granted} {two}"), "newuidmap", "two ranges have id 3 in common inside");
    // Nothing is seen that stands against it.
    let refuses = "mkdir no; mount -t tmpfs -o mode=755 t no; printf '#!/bin/sh\\nexit 1\\n' >no/newuidmap; chmod 4755 no/newuidmap; PATH=$PWD/no:$PATH;";
    fails_silently_of(&format!("{granted} {refuses} as_user {map}"), "hint");
}

#[test]
fn a_map_of_ids_that_are_not_the_callers_own() {
    fails_with(
        "as_user unshare -r unshare -c --map-user=4294967294 unshare -r -S 7 true",
        "setuid() failed: Invalid argument",
        "user 7 is not mapped",
    );
}

#[test]
fn setgroups_that_is_denied() {
    fails_with(
        "as_user unshare -r -G 0 true",
        "setgroups failed: Operation not permitted",
        "setgroups is denied in this user namespace",
    );
}

#[test]
fn setgroups_that_is_denied_where_one_enters() {
    fails_with(
        "setpriv --reuid 12345 --regid 12345 --clear-groups unshare -r sleep 9 & sleep 0.3; as_user nsenter -t $! -U true; \
         s=$?; kill $!; exit $s",
        "setgroups failed: Operation not permitted",
        "--preserve-credentials keeps those",
    );
}

#[test]
fn a_user_that_is_not_mapped() {
    fails_with(
        "unshare -r -S 5 true",
        "setuid() failed: Invalid argument",
        "user 5 is not mapped in this user namespace",
    );
}

#[test]
fn a_group_that_needs_privilege() {
    fails_with("as_user unshare -U -S 5 true", "setuid() failed", "user 5 is not mapped");
    fails_with("as_user nsenter --user=/proc/self/ns/user true", "Invalid argument", "in that user namespace already");
}

#[test]
fn user_0_that_needs_a_capability_to_be_mapped() {
    let without = "setpriv --bounding-set -setfcap unshare";
    fails_with(&format!("{without} -r true"), "uid_map: Operation not permitted", "needs CAP_SETFCAP");
    fails_with(&format!("{without} --map-users=0:0:5 true"), "uid_map: Operation not permitted", "needs CAP_SETFCAP");
}

#[test]
fn ids_that_need_a_capability_to_be_mapped() {
    fails_with(
        "setpriv --bounding-set -setuid unshare --map-users=5:5:5 true",
        "uid_map: Operation not permitted",
        "mapping more ids than your own needs CAP_SETUID",
    );
}

#[test]
fn groups_where_none_is_mapped() {
    fails_with("unshare -U -G 5 true", "setgroups failed: Operation not permitted", "no group is mapped");
}
