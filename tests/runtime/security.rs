//! The attacks that other runtimes fell to, each against its defence.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use serde_json::json;

use crate::harness::{Container, Peer, Pty, Socket, eventually, peer, program, runtime_words, skip_on};

/// CVE-2019-5736: a process of the container opens the runtime through /proc/PID/exe while it enters, and writes to it
/// once nothing executes it any more. The runtime here is a copy, so a success would harm nothing.
#[test]
fn the_runtime_cannot_be_overwritten_through_proc_self_exe() {
    skip_on!(Runc | Crun, "the program that stays is an applet of ours");
    // The attacker catches whatever is executed that is not busybox.
    let attacker = "while :; do for link in /proc/[0-9]*/exe; do \
          case $(readlink $link) in */busybox|'') ;; *) exec 3<$link && echo caught > /caught && break 2;; esac; done; done; \
        n=0; while [ $n -lt 400 ]; do \
          (echo overwritten > /proc/self/fd/3) 2>/dev/null && echo overwritten > /written; n=$((n+1)); sleep 0.01; done; \
        echo done > /done; sleep 1000";
    let container = Container::script(attacker).set("/process/capabilities", all_capabilities());
    let copy = container.dir.join("nskit");
    crate::harness::copy_program(Path::new(&runtime_words()[0]), &copy);
    let before = fs::read(&copy).expect("read the runtime");
    container.write_config();
    let state = container.state_root();
    let runtime = |words: &[&str]| program(&copy).args(&runtime_words()[1..]).arg("--root").arg(&state).args(words);
    let bundle = container.bundle();
    runtime(&["run", "--detach", "--bundle", bundle.to_str().expect("UTF-8"), &container.id]).run().ok();
    // The runtime's own file is executed as the program of the container, and stays for a while.
    runtime(&["exec", "--detach", &container.id, "/proc/self/exe", "unshare", "--fork", "sleep", "2"]).run();
    for _ in 0..5 {
        runtime(&["exec", &container.id, "/proc/self/exe"]).run();
    }
    eventually("the attacker catches the runtime", || container.rootfs().join("caught").exists());
    eventually("the attacker gives up", || container.rootfs().join("done").exists());
    assert!(!container.rootfs().join("written").exists(), "the container wrote to the runtime's file");
    assert!(fs::read(&copy).expect("read the runtime") == before, "the runtime was overwritten");
}

fn all_capabilities() -> serde_json::Value {
    let all = json!(["CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_SYS_PTRACE", "CAP_KILL", "CAP_SYS_ADMIN"]);
    json!({"bounding": all, "permitted": all, "effective": all})
}

/// CVE-2024-21626: descriptors of the host stay open in the container.
#[test]
fn no_descriptor_of_the_host_is_open_in_the_container() {
    let container = Container::script("ls /proc/self/fd | xargs; while :; do sleep 0.05; done").started();
    eventually("it listed them", || !container.said().is_empty());
    // ls has the folder open as 3.
    assert_eq!(container.said(), "0 1 2 3");
    container.exec(&["sh", "-c", "ls /proc/self/fd | xargs"]).ok().says("0 1 2 3");
}

/// CVE-2024-21626: the working directory is one of the runtime's descriptors.
#[test]
fn a_working_directory_outside_of_the_root_is_refused() {
    skip_on!(Runc | Crun, "Debian's versions complain in other words");
    for fd in 3..16 {
        let container = Container::new().args(&["sh", "-c", "ls ../../../../../../../../"]);
        let container = container.set("/process/cwd", format!("/proc/self/fd/{fd}"));
        let output = container.run();
        assert_ne!(output.code(), 0, "the working directory was descriptor {fd}: {}", output.stdout());
        assert_eq!(output.stdout(), "");
    }
}

#[test]
fn a_working_directory_of_exec_outside_of_the_root_is_refused() {
    skip_on!(Runc | Crun, "Debian's versions complain in other words");
    let container = Container::running();
    for fd in 3..16 {
        let output = container.exec_with(&["--cwd", &format!("/proc/self/fd/{fd}")], &["ls", "../../../.."]);
        assert_eq!((output.code(), output.stdout()), (255, String::new()), "descriptor {fd}: {}", output.stderr());
    }
    // A link of the container to such a descriptor is no other.
    symlink("/proc/self/fd/7", container.rootfs().join("link")).expect("link");
    let output = container.exec_with(&["--cwd", "/link"], &["ls", "../../../.."]);
    assert_eq!((output.code(), output.stdout()), (255, String::new()), "{}", output.stderr());
}

/// CVE-2021-30465: the target of a mount is a link that leads out of the root.
#[test]
fn a_mount_target_that_is_a_link_never_leads_outside() {
    let container = Container::script("grep -c ' /away/target ' /proc/self/mountinfo");
    let outside = container.dir.join("outside");
    fs::create_dir(&outside).expect("make a folder");
    let absolute = format!("{}/target", outside.display());
    symlink(&absolute, container.rootfs().join("absolute")).expect("link");
    symlink("../../../../../../../../away/target", container.rootfs().join("relative")).expect("link");
    let container = container.mount("/absolute", "tmpfs", "tmpfs", &[]).mount("/relative", "tmpfs", "tmpfs", &[]);
    let output = container.run();
    // Either the link is followed inside of the root, or refused.
    if output.code() == 0 {
        assert_eq!(output.stdout(), "1");
    }
    assert_eq!(fs::read_dir(&outside).expect("read the folder").count(), 0, "something was made outside of the root");
    assert!(!Path::new("/away").exists());
}

/// CVE-2025-31133: /dev/null, which masks files, is a link to something else.
#[test]
fn a_mask_is_dev_null_itself_and_not_what_the_container_put_there() {
    skip_on!(Runc | Crun, "Debian's versions fall to it");
    let container = Container::script("cat /secret");
    fs::write(container.rootfs().join("secret"), "secret\n").expect("write a file");
    fs::write(container.rootfs().join("bait"), "bait\n").expect("write a file");
    let dev = container.dir.join("dev");
    fs::create_dir(&dev).expect("make a folder");
    symlink("/bait", dev.join("null")).expect("link");
    let mut container = container.set("/linux/maskedPaths", json!(["/secret"]));
    for mount in container.config["mounts"].as_array_mut().expect("mounts") {
        if mount["destination"] == "/dev" {
            *mount = json!({"destination": "/dev", "type": "bind", "source": dev, "options": ["bind"]});
        }
    }
    let output = container.run();
    assert_eq!(output.stdout(), "", "the mask shows what the container chose: {}", output.stderr());
    assert_eq!(fs::read_to_string(container.rootfs().join("bait")).expect("read the bait"), "bait\n");
}

/// CVE-2025-31133: the path to be masked is a link.
#[test]
fn a_masked_path_that_is_a_link_masks_nothing_of_the_host() {
    let container = Container::script("cat /etc/secret; cat /link/secret");
    fs::write(container.rootfs().join("etc/secret"), "secret\n").expect("write a file");
    symlink("/etc", container.rootfs().join("link")).expect("link");
    let host = fs::read("/etc/hostname").unwrap_or_default();
    let container = container.set("/linux/maskedPaths", json!(["/link"]));
    let _ = container.run();
    assert_eq!(fs::read("/etc/hostname").unwrap_or_default(), host);
    let table = fs::read_to_string("/proc/self/mountinfo").expect("read mountinfo");
    assert!(!table.lines().any(|line| line.split(' ').nth(4) == Some("/etc")), "{table}");
}

/// CVE-2025-52565: /dev/console, over which the terminal is bound, is a link.
#[test]
fn the_terminal_is_never_bound_over_the_target_of_a_link() {
    let container = Container::script("cat /target; echo end").set("/process/terminal", true);
    fs::write(container.rootfs().join("target"), "untouched\n").expect("write a file");
    let dev = container.dir.join("dev");
    fs::create_dir(&dev).expect("make a folder");
    fs::create_dir(dev.join("pts")).expect("make a folder");
    symlink("/target", dev.join("console")).expect("link");
    let mut container = container;
    for mount in container.config["mounts"].as_array_mut().expect("mounts") {
        if mount["destination"] == "/dev" {
            *mount = json!({"destination": "/dev", "type": "bind", "source": dev, "options": ["bind"]});
        }
    }
    let socket = Socket::bind(container.dir.join("console.sock"));
    let create = container.launch(&["create", "--console-socket", socket.path()]).start();
    if peer() == Peer::Ours {
        // The terminal may come before the refusal, or not at all.
        let output = create.wait();
        if output.code() != 0 {
            output.exits(1).complains("/dev/console").in_one_line();
            container.assert_gone();
            return;
        }
    } else {
        drop(create.wait());
        return;
    }
    let mut terminal = Pty::from(socket.receive());
    container.start();
    assert!(terminal.expect("end").contains("untouched"));
}

/// CVE-2023-27561: /proc is a link, so that what should be written to it goes elsewhere.
#[test]
fn proc_and_sys_that_are_links_are_refused() {
    for name in ["proc", "sys"] {
        let container = Container::new();
        fs::remove_dir(container.rootfs().join(name)).expect("remove the folder");
        fs::create_dir(container.rootfs().join("fake")).expect("make a folder");
        symlink("/fake", container.rootfs().join(name)).expect("link");
        container.run().exits(1).complains(name);
        container.assert_gone();
    }
}

/// CVE-2019-19921, CVE-2025-52881: what the runtime writes to procfs is redirected by a file system put over /proc.
#[test]
fn a_fake_proc_does_not_catch_what_is_written_to_it() {
    skip_on!(Runc | Crun, "Debian's versions fall to it");
    let container = Container::new().args(&["cat", "/real/sys/net/ipv4/ip_forward"]);
    let fake = container.dir.join("fake");
    fs::create_dir_all(fake.join("sys/net/ipv4")).expect("make folders");
    fs::create_dir_all(fake.join("self/attr")).expect("make folders");
    fs::write(fake.join("sys/net/ipv4/ip_forward"), "untouched").expect("write a file");
    fs::write(fake.join("self/attr/exec"), "untouched").expect("write a file");
    let mut container = container.set("/linux/sysctl", json!({"net.ipv4.ip_forward": "1"}));
    container.config["mounts"].as_array_mut().expect("mounts").retain(|mount| mount["destination"] != "/proc");
    let container = container.mount("/proc", "bind", fake.to_str().expect("UTF-8"), &["bind"]);
    let container = container.mount("/real", "proc", "proc", &[]);
    let output = container.run();
    if output.code() == 0 {
        assert_eq!(output.stdout(), "1", "the sysctl was neither set nor refused");
    }
    assert_eq!(fs::read_to_string(fake.join("sys/net/ipv4/ip_forward")).expect("read the file"), "untouched");
}

/// CVE-2022-29162: inheritable capabilities come with exec.
#[test]
fn there_are_no_inheritable_capabilities_unless_asked_for() {
    let show = ["grep", "CapInh", "/proc/self/status"];
    Container::new().args(&show).run().ok().says("CapInh:\t0000000000000000");
    let container = Container::running();
    container.exec(&show).ok().says("CapInh:\t0000000000000000");
}

/// CVE-2016-9962: while exec enters the container, its processes must not trace or read it.
#[test]
fn exec_cannot_be_read_by_the_container_s_processes() {
    let script = "while :; do for dir in /proc/[0-9]*; do case $(readlink $dir/exe 2>/dev/null) in \
        */busybox|'') ;; *) ls $dir/fd >> /seen 2>/dev/null;; esac; done; done";
    // Without CAP_SYS_PTRACE even root may only look into processes that let themselves be dumped.
    let container = Container::script(script).started();
    for _ in 0..20 {
        container.exec(&["true"]).ok();
    }
    let seen = fs::read_to_string(container.rootfs().join("seen")).unwrap_or_default();
    assert_eq!(seen, "", "the container saw the runtime's descriptors");
}

/// A container that is in the host's mount namespace of devices may not reach the runtime's state.
#[test]
fn the_state_is_root_s_alone() {
    use std::os::unix::fs::MetadataExt;
    let container = Container::running();
    let mode = fs::metadata(container.state_root().join(&container.id)).expect("the state's folder").mode() & 0o777;
    assert_eq!(mode & 0o066, 0, "the state's folder has mode {mode:o}");
}

#[test]
fn the_root_of_the_host_cannot_be_reached_by_chroot() {
    // pivot_root leaves no way back: the old root is not among the mounts, even for one who may chroot.
    let script = "mkdir -p /tmp/a; exec 3</; chroot /tmp/a /bin/true 2>/dev/null; ls /../../../../.. | xargs";
    let all = json!(["CAP_SYS_CHROOT", "CAP_SYS_ADMIN"]);
    let sets = json!({"bounding": all, "permitted": all, "effective": all});
    let output = Container::script(script).set("/process/capabilities", sets).output();
    assert_eq!(output, "bin dev etc proc root sys tmp var");
}

#[test]
fn a_hook_s_environment_and_the_container_s_have_nothing_of_the_runtime_s() {
    let container = Container::new().args(&["/bin/env"]);
    let output = container.launch(&["run"]).env("SECRET_OF_THE_ENGINE", "1").run().ok().stdout();
    assert!(!output.contains("SECRET_OF_THE_ENGINE"), "{output}");
    assert!(!output.contains("_NSKIT") && !output.contains("_LIBCONTAINER"), "{output}");
}

#[test]
fn a_passwd_that_has_no_end_or_keeps_its_reader_waiting_is_not_read() {
    skip_on!(Runc | Crun, "they fail at the first, wait at the second");
    for (make, name) in [("ln -s /dev/zero /etc/passwd", "endless"), ("mkfifo /etc/passwd", "FIFO")] {
        let container = Container::script(&format!("rm -f /etc/passwd; {make}; exec sleep 1000"));
        let container = container.set("/process/env", json!(["PATH=/bin"])).started();
        eventually(name, || {
            let kind = fs::symlink_metadata(container.rootfs().join("etc/passwd"));
            kind.is_ok_and(|kind| !kind.is_file())
        });
        let exec = container.runtime(&["exec", &container.id, "sh", "-c", "echo $HOME"]).at_most(5.0).run();
        exec.ok().says("/");
    }
}

#[test]
fn what_is_masked_does_not_depend_on_names_that_somebody_changes() {
    skip_on!(Runc | Crun, "they go by names");
    // Between the mounts and the masks: the procfs goes along with the folder, and the name leads elsewhere.
    let container = Container::script("stat -c %t:%T /was-proc/timer_list; ls /proc")
        .set("/linux/maskedPaths", json!(["/proc/timer_list"]));
    let rootfs = container.rootfs().display().to_string();
    let script = format!("mv {rootfs}/proc {rootfs}/was-proc && mkdir {rootfs}/proc");
    let hook = json!([{"path": "/bin/sh", "args": ["sh", "-c", script]}]);
    let container = container.set("/hooks/createRuntime", hook);
    assert_eq!(container.output(), "1:3");
}
