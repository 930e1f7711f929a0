//! linux.seccomp, as the programs under the filter notice it. That the filters equal libseccomp's is tested elsewhere.

use std::fs;
use std::os::unix::fs::symlink;

use serde_json::{Value, json};

use crate::harness::{Container, skip, skip_on};

/// A container under a filter that allows all but what `rules` say.
fn filtered(script: &str, rules: Value) -> Container {
    Container::script(script).set("/linux/seccomp", json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": rules}))
}

/// A container with the host's perl, which can make any system call: `print syscall(NUMBER, …)`.
fn perl(script: &str) -> Container {
    let container =
        Container::new().args(&["/usr/bin/perl", "-e", script]).mount("/usr", "bind", "/usr", &["rbind", "ro"]);
    for name in ["lib", "lib64"] {
        symlink(format!("usr/{name}"), container.rootfs().join(name)).expect("link");
    }
    container
}

#[test]
fn a_refused_call_fails_with_the_errno_of_the_rule() {
    let rule = |errno: Value| json!([{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": errno}]);
    filtered("mkdir /x", rule(json!(libc::EXDEV))).run().exits(1).complains("Invalid cross-device link");
    filtered("mkdir /x", rule(json!(libc::ENOSPC))).run().exits(1).complains("No space left on device");
}

#[test]
fn without_an_errno_it_is_eperm() {
    let rules = json!([{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"}]);
    filtered("mkdir /x", rules).run().exits(1).complains("Operation not permitted");
}

#[test]
fn other_calls_go_on() {
    let rules = json!([{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"}]);
    filtered("touch /x && echo made", rules).run().ok().says("made");
}

#[test]
fn a_killed_process_ends_with_sigsys() {
    for action in ["SCMP_ACT_KILL", "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_TRAP"] {
        let rules = json!([{"names": ["mkdir", "mkdirat"], "action": action}]);
        // 159 is 128 and the number of SIGSYS.
        filtered("(mkdir /x); echo $?", rules).run().complains("");
        let rules = json!([{"names": ["mkdir", "mkdirat"], "action": action}]);
        filtered("mkdir /x; echo $?", rules).run().ok().says("159");
    }
}

#[test]
fn a_logged_call_succeeds() {
    let rules = json!([{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_LOG"}]);
    filtered("mkdir /x && echo made", rules).run().ok().says("made");
}

#[test]
fn the_process_shows_the_filter() {
    filtered("grep Seccomp: /proc/self/status", json!([])).run();
    let rules = json!([{"names": ["reboot"], "action": "SCMP_ACT_ERRNO"}]);
    filtered("grep Seccomp: /proc/self/status", rules).run().ok().says("Seccomp:\t2");
    Container::script("grep Seccomp: /proc/self/status").run().ok().says("Seccomp:\t0");
}

#[test]
fn arguments_are_compared_by_every_operator() {
    // kill(pid, signal): the shell's own `kill -N $$` with the signal as the second argument.
    let cases = [
        ("SCMP_CMP_EQ", 0_u64, 0_u64, true),
        ("SCMP_CMP_EQ", 1, 0, false),
        ("SCMP_CMP_NE", 1, 0, true),
        ("SCMP_CMP_NE", 0, 0, false),
        ("SCMP_CMP_LT", 1, 0, true),
        ("SCMP_CMP_LT", 0, 0, false),
        ("SCMP_CMP_LE", 0, 0, true),
        ("SCMP_CMP_GE", 0, 0, true),
        ("SCMP_CMP_GE", 1, 0, false),
        ("SCMP_CMP_GT", 0, 0, false),
        ("SCMP_CMP_MASKED_EQ", 0xff, 0, true),
        ("SCMP_CMP_MASKED_EQ", 0xff, 1, false),
    ];
    for (operator, value, second, refused) in cases {
        let argument = json!({"index": 1, "value": value, "valueTwo": second, "op": operator});
        let rules = json!([{"names": ["kill"], "action": "SCMP_ACT_ERRNO", "args": [argument]}]);
        let output = filtered("kill -0 $$ 2>/dev/null && echo allowed || echo refused", rules).output();
        assert_eq!(output, if refused { "refused" } else { "allowed" }, "{operator} {value} {second}");
    }
}

#[test]
fn all_arguments_of_a_rule_have_to_match() {
    let rule = |pid: u64| {
        json!([{"names": ["kill"], "action": "SCMP_ACT_ERRNO", "args": [
            {"index": 0, "value": pid, "op": "SCMP_CMP_EQ"}, {"index": 1, "value": 0, "op": "SCMP_CMP_EQ"}]}])
    };
    let script = "kill -0 1 2>/dev/null && echo allowed || echo refused";
    filtered(script, rule(1)).run().ok().says("refused");
    filtered(script, rule(2)).run().ok().says("allowed");
}

#[test]
fn an_allow_list_works() {
    let profile = json!({
        "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": libc::EACCES,
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32", "SCMP_ARCH_AARCH64"],
        "syscalls": [{"names": ["access", "arch_prctl", "brk", "close", "dup2", "execve", "exit", "exit_group", "fcntl",
            "fork", "fstat", "futex", "getcwd", "getpid", "getppid", "getuid", "geteuid", "getgid", "getegid", "ioctl",
            "lseek", "mmap", "mprotect", "munmap", "newfstatat", "open", "openat", "prctl", "prlimit64", "read",
            "readlink", "readlinkat", "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "rseq", "set_robust_list",
            "set_tid_address", "stat", "uname", "vfork", "wait4", "write", "writev", "clone", "getrandom", "sigaltstack",
            "capget", "capset", "setgroups", "setuid", "setgid", "setresuid", "setresgid", "fchown", "epoll_ctl",
            "epoll_pwait", "epoll_create1", "pipe2", "tgkill", "gettid", "nanosleep", "getdents64", "fstatfs", "chdir",
            "fchdir", "statx", "faccessat2", "faccessat", "close_range", "execveat", "sched_getaffinity", "sched_yield",
            "madvise", "sendmsg", "recvmsg", "sendto", "recvfrom", "eventfd2", "socket", "clone3", "kill", "pread64",
            "poll", "ppoll", "mremap", "seccomp", "keyctl", "umask", "lstat", "statfs", "openat2", "setsid", "fchownat"],
            "action": "SCMP_ACT_ALLOW"}]
    });
    let container = Container::script("echo works; mkdir /x").set("/linux/seccomp", profile);
    container.run().exits(1).says("works").complains("Permission denied");
}

#[test]
fn calls_newer_than_the_profile_are_not_there() {
    // openat2 (437) is not named, and newer than all that is: ENOSYS lets programs fall back. ptrace is older: EPERM.
    skip_on!(Crun, "crun answers EPERM");
    if !cfg!(target_arch = "x86_64") {
        skip!("the list of calls that perl needs is that of x86_64");
    }
    let profile = json!({
        "defaultAction": "SCMP_ACT_ERRNO", "architectures": ["SCMP_ARCH_X86_64"],
        "syscalls": [{"names": old_calls(), "action": "SCMP_ACT_ALLOW"}]
    });
    let script = "syscall(451, 0); print $!+0, ' '; syscall(101, 16, 999999, 0, 0); print $!+0";
    let output = perl(script).set("/linux/seccomp", profile).run().ok();
    output.says(&format!("{} {}", libc::ENOSYS, libc::EPERM));
}

/// What perl and runtimes need, none newer than clone3 (435), and not ptrace.
fn old_calls() -> Vec<&'static str> {
    "access arch_prctl brk capget capset chdir clone clone3 close dup dup2 dup3 epoll_create1 epoll_ctl epoll_pwait \
     eventfd2 execve execveat exit exit_group fchdir fchown fcntl fork fstat fstatfs futex getcwd getdents64 getegid \
     geteuid getgid getpid getppid getrandom gettid getuid ioctl keyctl kill lseek lstat madvise mmap mprotect munmap \
     nanosleep newfstatat open openat pipe2 poll prctl pread64 prlimit64 read readlink readlinkat rt_sigaction \
     rt_sigprocmask rt_sigreturn rseq sched_getaffinity sched_yield seccomp set_robust_list set_tid_address setgid \
     setgroups setresgid setresuid setuid sigaltstack stat statfs tgkill umask uname wait4 write writev sendmsg recvmsg \
     sendto recvfrom statx time getsockname setsid"
        .split_whitespace()
        .collect()
}

#[test]
fn names_that_this_kernel_s_architecture_lacks_are_passed_over() {
    let rules = json!([{"names": ["no_such_call", "mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"}]);
    filtered("mkdir /x", rules).run().exits(1).complains("Operation not permitted");
}

#[test]
fn the_filter_holds_for_exec() {
    let rules = json!([{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"}]);
    let container = Container::sleeper();
    let profile = json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": rules});
    let container = container.set("/linux/seccomp", profile).started();
    container.exec(&["mkdir", "/x"]).exits(1).complains("Operation not permitted");
}

#[test]
fn works_without_no_new_privileges_and_for_another_user() {
    for no_new_privileges in [true, false] {
        let rules = json!([{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"}]);
        let container = filtered("id -u; mkdir /tmp/x", rules).set("/process/noNewPrivileges", no_new_privileges);
        let container = container.set("/process/user", json!({"uid": 1000, "gid": 1000}));
        fs::set_permissions(container.rootfs().join("tmp"), std::os::unix::fs::PermissionsExt::from_mode(0o1777))
            .expect("chmod");
        container.run().exits(1).says("1000").complains("Operation not permitted");
    }
}

#[test]
fn the_calls_of_another_architecture_are_killed_or_refused() {
    if !cfg!(target_arch = "x86_64") {
        skip!("x32 calls are a thing of x86_64");
    }
    // x32 calls have bit 30 set; with only x86_64 listed they are none of ours.
    let profile = json!({
        "defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"],
        "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"}]
    });
    let script = "syscall(0x40000000 + 83, '/x32', 0755); print $!+0";
    let output = perl(script).set("/linux/seccomp", profile).run();
    assert!(output.code() != 0 || output.stdout() != "0", "an x32 call passed the filter");
}

#[test]
fn an_unknown_system_call_is_an_error_when_an_annotation_asks() {
    skip_on!(Runc, "an annotation of crun's");
    let rules = json!([{"names": ["read", "of_the_future"], "action": "SCMP_ACT_ALLOW"}]);
    let seccomp = json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": rules});
    let container = Container::new().set("/linux/seccomp", seccomp);
    container.run().ok();
    let container = container.set("/annotations", json!({"run.oci.seccomp_fail_unknown_syscall": "1"}));
    container.run().exits(1).complains("of_the_future").in_one_line();
}

#[test]
fn what_a_profile_denies_the_runtime_does_before_or_does_without() {
    skip_on!(Crun, "its exec needs some of them");
    let rules = json!([{"names": ["faccessat2", "prlimit64", "setrlimit", "dup2", "dup3", "fchown"],
        "action": "SCMP_ACT_ERRNO"}]);
    let container = filtered("awk '/open files/ {print $4}' /proc/self/limits; sleep 1000", rules)
        .set("/process/noNewPrivileges", false);
    let container = container.set("/process/user", json!({"uid": 1000, "gid": 1000})).started();
    container.exec(&["awk", "/open files/ {print $4}", "/proc/self/limits"]).ok().says("1024");
    crate::harness::eventually("it says its limit", || container.said() == "1024");
}
