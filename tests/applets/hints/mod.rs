//! Every errno that unshare and nsenter may get for more than one reason is followed by the one it was. Causes that this
//! machine cannot have (sysctls of other kernels, AppArmor, Yama) are tested beside applets/hints.rs.

mod entering;
mod ids;

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::harness::{Output, TempDir, copy_program, nskit, program, skip};

/// Asserts that `script`, in which `unshare` and `nsenter` are ours, fails with these two lines on standard error.
#[track_caller]
fn fails_with(script: &str, error: &str, hint: &str) {
    let output = run_script(script);
    let complaint = output.stderr();
    let lines: Vec<&str> = complaint.lines().collect();
    assert!(lines.iter().any(|line| line.contains(error)), "{error:?} is missing: {complaint}");
    assert!(
        lines.iter().any(|line| line.contains(": hint: ") && line.contains(hint)),
        "{hint:?} is missing: {complaint}"
    );
    assert!(output.code() != 0, "{script} succeeds");
}

/// Runs `script`, in which `unshare` and `nsenter` are ours.
fn run_script(script: &str) -> Output {
    let dir = TempDir::new();
    let place = dir.path();
    fs::set_permissions(place, fs::Permissions::from_mode(0o755)).expect("open the folder to all");
    copy_program(&nskit(), &place.join("unshare"));
    fs::hard_link(place.join("unshare"), place.join("nsenter")).expect("link the binary");
    let path = format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", place.display());
    let as_user = "as_user() { setpriv --reuid 12345 --regid 12345 --clear-groups \"$@\"; }";
    let script = format!("{as_user}; cd {}; {script}", place.display());
    let words = ["--mount", "--propagation", "private", "sh", "-c", &script];
    program("/usr/bin/unshare").args(words).env("PATH", path).run()
}

/// Asserts that `script` fails, and never says `wrong`.
#[track_caller]
fn fails_silently_of(script: &str, wrong: &str) {
    let complaint = run_script(script);
    assert!(complaint.code() != 0, "{script} succeeds");
    assert!(!complaint.stderr().contains(wrong), "{wrong:?} is said: {}", complaint.stderr());
}

#[test]
fn a_limit_on_namespaces_of_a_kind() {
    fails_with(
        "unshare -r sh -c 'echo 0 >/proc/sys/user/max_net_namespaces; exec unshare -n true'",
        "unshare failed: No space left on device",
        "sysctl user.max_net_namespaces is 0",
    );
}

#[test]
fn user_namespaces_nested_too_deep() {
    fails_with(
        "set --; for level in $(seq 40); do set -- unshare -r \"$@\"; done; exec \"$@\" true",
        "unshare failed: No space left on device",
        "nested 32 deep",
    );
}

#[test]
fn a_namespace_that_needs_privilege() {
    fails_with(
        "as_user unshare -n true",
        "unshare failed: Operation not permitted",
        "needs CAP_SYS_ADMIN; with --map-root-user",
    );
}

#[test]
fn a_user_namespace_in_a_chroot() {
    let script = "mkdir r; cp unshare r; mkdir r/proc; mount --bind /proc r/proc; chroot r /unshare -U /unshare";
    fails_with(script, "unshare failed: Operation not permitted", "a process in a chroot");
}

#[test]
fn a_user_namespace_in_a_chroot_into_a_mount() {
    let script = "mkdir r; mount -t tmpfs none r; cp unshare r; chroot r /unshare -U /unshare";
    fails_with(script, "unshare failed: Operation not permitted", "a process in a chroot");
}

#[test]
fn a_user_namespace_of_ones_own_is_advised_only_where_it_can_be_had() {
    let error = "unshare failed: Operation not permitted";
    fails_with("as_user unshare -mu true", error, "new mount and uts namespaces need CAP_SYS_ADMIN; with --map-root");
    let unable = "setpriv --bounding-set -sys_admin,-setfcap unshare -n true";
    fails_with(unable, error, "a new network namespace needs CAP_SYS_ADMIN; with --user (-U)");
    fails_silently_of("unshare -U unshare -n true", "you have it");
    fails_silently_of("unshare -U unshare -R / true", "you have it");
}

#[test]
fn what_is_another_s_behind_a_mount_namespace_is_not_taken_for_ones_own() {
    let target =
        "/usr/bin/unshare -Urmpf --mount-proc sleep 9 & S=$!; sleep 0.4; C=$(cat /proc/$S/task/$S/children); C=${C% }";
    let end = "s=$?; kill $S; exit $s";
    fails_with(
        &format!("{target}; unshare -pf nsenter -t $C -a true; {end}"),
        "'ns/pid' failed: Invalid argument",
        "only from one that contains it",
    );
    fails_with(
        &format!("{target}; nsenter -m/proc/$C/ns/mnt -U/proc/self/ns/user true; {end}"),
        "'ns/user' failed: Invalid argument",
        "in that user namespace already",
    );
    fails_with(
        &format!("{target}; nsenter -t $C -m -U/proc/self/ns/user true; {end}"),
        "'ns/user' failed: Invalid argument",
        "in that user namespace already",
    );
}

#[test]
fn a_path_that_may_not_be_searched_is_no_missing_capability() {
    fails_silently_of("mkdir -m 700 d; mkdir d/r; as_user unshare -R d/r true", "hint");
}

#[test]
fn a_profile_of_seccomp_that_refuses_the_change_of_user() {
    let profile = r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["setuid"],"action":"SCMP_ACT_ERRNO","errnoRet":1}]}"#;
    for tool in ["unshare -u", "nsenter --uts=/proc/self/ns/uts"] {
        let script = format!("echo '{profile}' >p; {tool} --seccomp p -S 1000 true");
        fails_with(&script, "setuid() failed: Operation not permitted", "the seccomp profile p is in force by now");
    }
}

#[test]
fn a_file_of_binfmt_misc_that_belongs_to_nobody_who_is_mapped() {
    fails_with("unshare -l ':foo' -pf true", "/register: Permission denied", "add --map-root-user (-r)");
}

#[test]
fn a_namespace_that_is_bound_to_a_file_that_is_not_there() {
    fails_with("unshare --uts=f true", "on f failed: No such file", "there is no f to bind it to");
}

#[test]
fn a_pid_namespace_that_is_bound_before_it_has_a_process() {
    let place = TempDir::new();
    let script = format!("cd {}; touch f; /usr/bin/unshare --pid=f true", place.path().display());
    let words = ["--mount", "--propagation", "private", "sh", "-c", &script];
    if program("/usr/bin/unshare").args(words).run().code() == 0 {
        skip!("this kernel binds a pid namespace without a process");
    }
    fails_with("touch f; unshare --pid=f true", "on f failed: No such file", "add --fork");
}

#[test]
fn a_container_that_is_missing_rather_than_a_tool() {
    fails_with(
        "nsenter --tools nskit-test-no lsns",
        "no namespace specified",
        "no container is called \"nskit-test-no\"",
    );
    fails_with("nsenter -t 7nskit-test -u true", "PID argument", "no container is called \"7nskit-test\"");
    let ended = "mount -t tmpfs none /run; mkdir -p /run/nskit/7nskit-test; \
        echo '{\"init_process_pid\": 4000000}' >/run/nskit/7nskit-test/state.json; nsenter -t 7nskit-test -u true";
    fails_with(ended, "PID argument '7nskit-test': Invalid argument", "container 7nskit-test is not running");
}

#[test]
fn a_seccomp_filter() {
    let profile = r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["unshare"],"action":"SCMP_ACT_ERRNO","errnoRet":1}]}"#;
    let script = format!("echo '{profile}' >filter; unshare -u --seccomp filter unshare -n true");
    fails_with(&script, "unshare failed: Operation not permitted", "a seccomp filter is in force");
}

#[test]
fn a_program_without_what_starts_it() {
    let script = "printf '#! /no/such -x\\n' >tool; chmod +x tool; unshare -u ./tool";
    fails_with(script, "failed to execute ./tool: No such file", "the interpreter of its first line, /no/such");
    let script = "printf '#!/no/such\\n' >own-tool; chmod +x own-tool; PATH=$PATH:$PWD; nsenter -t $$ -u own-tool";
    fails_with(script, "failed to execute own-tool: No such file", "the interpreter of its first line, /no/such");
    // A root folder that has the program, but not its libraries.
    let script = "mkdir -p root/bin; cp /bin/true root/bin/; unshare -R root /bin/true";
    fails_with(
        script,
        "failed to execute /bin/true: No such file",
        "/bin/true is there, but not the loader that it needs, /lib",
    );
    fails_with("echo x >file; unshare -u ./file", "Permission denied", "./file is not executable: chmod +x ./file");
    fails_with("unshare -u /etc", "Permission denied", "/etc is a folder");
    let script = "mkdir d; mount -t tmpfs -o noexec t d; cp /bin/true d/; unshare -u d/true";
    fails_with(script, "Permission denied", "d/true is on a mount with the option noexec");
    fails_silently_of("unshare -u /no/such", "hint");
}

#[test]
fn a_pid_namespace_without_a_fork_is_explained_to_people_alone() {
    let script = "unshare -p true 2>said; cat said >&2; exit 1";
    fails_silently_of(script, "hint");
    let script = "script -qec 'unshare -p true; exit 1' /dev/null >said </dev/null; cat said >&2; exit 1";
    fails_with(script, "hint", "the program stays outside of the new pid namespace");
    fails_silently_of("script -qec 'unshare -pf true' /dev/null >said </dev/null; cat said >&2; exit 1", "hint");
}

#[test]
fn a_file_on_a_shared_mount() {
    fails_with(
        "mount -t tmpfs none /mnt; mount --make-shared /mnt; touch /mnt/f; unshare --mount=/mnt/f true",
        "/mnt/f failed: Invalid argument",
        "/mnt/f is on a shared mount",
    );
}

#[test]
fn proc_without_a_pid_namespace_of_ones_own() {
    fails_with(
        "as_user unshare -r --mount-proc true",
        "mount /proc failed: Operation not permitted",
        "add --pid --fork",
    );
}

#[test]
fn proc_without_a_child_in_the_pid_namespace() {
    fails_with(
        "as_user unshare -rp --mount-proc true",
        "mount /proc failed",
        "only a child is in the new pid namespace",
    );
}

#[test]
fn proc_that_would_show_what_is_masked() {
    fails_with(
        "mount -t tmpfs none /proc/fs; as_user unshare -rpf --mount-proc true",
        "mount /proc failed: Operation not permitted",
        "parts of /proc are masked",
    );
}

#[test]
fn a_root_directory_that_needs_a_capability() {
    let error = "cannot change root directory to '/': Operation not permitted";
    fails_with("setpriv --bounding-set -sys_chroot unshare -R / true", error, "needs CAP_SYS_CHROOT");
    fails_with("as_user unshare -R / true", error, "with --user you have it");
    fails_with(
        "setpriv --bounding-set -sys_chroot nsenter -t $$ -u -r true",
        "chroot failed: Operation not permitted",
        "needs CAP_SYS_CHROOT",
    );
}

#[test]
fn a_clock_that_needs_a_capability() {
    fails_with(
        "setpriv --bounding-set -sys_time unshare -T --boottime 100 true",
        "timens_offsets: Operation not permitted",
        "needs CAP_SYS_TIME",
    );
    fails_with("unshare -T --boottime -1000000000 true", "timens_offsets: Numerical", "the clock would be before 0");
}

#[test]
fn a_limit_that_needs_a_capability_or_is_too_high() {
    fails_with(
        "ulimit -n 100; as_user unshare --rlimit nofile=200 true",
        "set rlimit nofile failed: Operation not permitted",
        "raising a hard limit needs CAP_SYS_RESOURCE",
    );
}

#[test]
fn an_interpreter_in_no_known_form() {
    fails_with("unshare -l junk -pf -r true", "register: Invalid argument", "STRING is :NAME:M:");
}

#[test]
fn a_seccomp_filter_without_privilege() {
    fails_with(
        r#"echo '{"defaultAction":"SCMP_ACT_ALLOW"}' >filter; as_user unshare --seccomp filter true"#,
        "load the seccomp filter: Permission denied",
        "without --no-new-privs needs CAP_SYS_ADMIN",
    );
}

#[test]
fn capabilities_that_cannot_be_dropped() {
    fails_with("as_user unshare --cap-drop all true", "from the bounding set", "needs CAP_SETPCAP; --no-new-privs");
}

#[test]
fn a_process_that_is_given_where_a_container_is_looked_for() {
    fails_with(
        "sleep 9 & nsenter $! true; s=$?; kill $!; exit $s",
        "no namespace specified",
        "is a process: nsenter -t ",
    );
}

#[test]
fn a_target_that_is_no_container() {
    let error = "failed to parse PID argument 'nskit-test-no': Invalid argument";
    fails_with("nsenter -t nskit-test-no -u true", error, "no container is called \"nskit-test-no\"");
    let error = "stat of /proc/0/ns/user failed: No such file";
    fails_with("nsenter -a nskit-test-no true", error, "no container is called \"nskit-test-no\"");
    let error = "failed to parse PID argument 'nskit-test-no': Invalid argument";
    let hidden = "mount -t tmpfs none /run; mkdir -m 700 /run/nskit; as_user nsenter -t nskit-test-no -u true";
    fails_with(hidden, error, "among those that you may see: /run/nskit may not be read by you");
}

#[test]
fn a_shell_that_a_container_lacks() {
    fails_with(
        "SHELL=/no/such nsenter -t $$ -u",
        "failed to execute /no/such: No such file or directory",
        "there is no /no/such inside; /bin/sh is: name it",
    );
}

#[test]
fn hints_can_be_turned_off() {
    let output = program(nskit()).args(["nsenter", "--uts=/etc/passwd", "true"]).env("NSKIT_HINTS", "0").run();
    output.exits(1).in_one_line();
}
