//! Under a seccomp filter that refuses newer system calls, as older engines' and hand-written ones do, with `EPERM` as well as
//! with `ENOSYS`: older calls serve instead, or the message says which call the filter refuses.

use std::fs;

use serde_json::json;

use crate::harness::{Container, Invocation, TempDir, nskit, program, skip_on};

/// Calls of Linux 5.1 and later, and a few before that, which some older call can stand in for.
const NEWER: [&str; 11] = [
    "clone3",
    "close_range",
    "execveat",
    "faccessat2",
    "openat2",
    "pidfd_getfd",
    "pidfd_open",
    "pidfd_send_signal",
    "process_madvise",
    "kcmp",
    "bpf",
];

/// nskit under a filter that answers `calls` with `errno`.
fn filtered(dir: &TempDir, calls: &[&str], errno: i32) -> Invocation {
    let profile = dir.join("profile.json");
    let rule = json!({"names": calls, "action": "SCMP_ACT_ERRNO", "errnoRet": errno});
    fs::write(&profile, json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}).to_string())
        .expect("write a profile");
    program(nskit()).args(["unshare", "--seccomp"]).arg(profile).arg(nskit())
}

#[test]
fn unshare_nsenter_and_lsns_do_without_newer_system_calls() {
    let dir = TempDir::new();
    let pid = std::process::id().to_string();
    for errno in [nix::libc::EPERM, nix::libc::ENOSYS] {
        for words in [
            &["unshare", "-f", "echo", "ok"][..],
            &["unshare", "-r", "-p", "-m", "-f", "--mount-proc", "echo", "ok"],
            &["unshare", "-f", "--kill-child", "echo", "ok"],
            &["unshare", "-f", "--forward-signals", "echo", "ok"],
            &["unshare", "-r", "--map-users=1:1:5", "echo", "ok"],
            &["nsenter", "-t", &pid, "-p", "echo", "ok"],
            &["nsenter", "-t", &pid, "-a", "echo", "ok"],
            &["nsenter", "-t", &pid, "-u", "--tools=/bin/busybox", "echo", "ok"],
        ] {
            filtered(&dir, &NEWER, errno).args(words).run().ok().says("ok");
        }
        filtered(&dir, &NEWER, errno)
            .args(["lsns", "-n", "-t", "mnt", "-o", "TYPE", "-p", &pid])
            .run()
            .ok()
            .says("mnt");
    }
}

#[test]
fn the_runtime_forks_where_clone3_is_refused() {
    skip_on!(Runc | Crun, "it is about this runtime's calls");
    for errno in [nix::libc::EPERM, nix::libc::ENOSYS] {
        let container = Container::sleeper();
        container.write_config();
        let calls = ["clone3", "execveat", "faccessat2", "close_range"];
        let runtime = |container: &Container, verb: &[&str]| {
            let invocation = filtered(&container.dir, &calls, errno).args(["runtime", "--root"]);
            invocation.arg(container.state_root()).args(verb)
        };
        let bundle = container.bundle();
        runtime(&container, &["create", "--bundle", bundle.to_str().expect("UTF-8"), &container.id]).run().ok();
        container.start();
        runtime(&container, &["exec", &container.id, "sh", "-c", "exit 7"]).run().exits(7);
    }
}

#[test]
fn a_call_that_nothing_stands_in_for_is_named() {
    skip_on!(Runc | Crun, "it is about this runtime's calls");
    let container = Container::new();
    container.write_config();
    for (errno, call) in
        [(nix::libc::EPERM, "openat2"), (nix::libc::ENOSYS, "openat2"), (nix::libc::EPERM, "mount_setattr")]
    {
        let run = filtered(&container.dir, &[call], errno).args(["runtime", "--root"]).arg(container.state_root());
        let run = run.args(["run", "--bundle"]).arg(container.bundle()).arg(&container.id).run();
        run.exits(1).complains(&format!("the seccomp filter that is in force refuses {call}(2)")).in_one_line();
    }
    let tools = ["nsenter", "-t", "1", "-u", "--tools", "lsns"];
    filtered(&container.dir, &["memfd_create"], nix::libc::EPERM)
        .args(tools)
        .run()
        .exits(1)
        .complains("nsenter: memfd_create failed: Operation not permitted")
        .complains("hint: the seccomp filter that is in force refuses memfd_create(2)");
}
