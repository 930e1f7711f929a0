//! Bad input: one clear line that names the step, the object and the cause; status 1; nothing left behind.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::harness::{Container, Peer, TempDir, eventually, peer, program, skip_on};

/// [`refused`], for words that peers have too, whose logs are others.
#[track_caller]
fn refused_by(container: &Container, words: &[&str]) {
    if peer() == Peer::Ours {
        return refused(container, words);
    }
    let output = container.run();
    assert_ne!(output.code(), 0);
}

/// The container is refused with every one of `words` in the complaint, and leaves nothing, its log one error.
#[track_caller]
fn refused(container: &Container, words: &[&str]) {
    let log = container.dir.join("log");
    container.write_config();
    let path = log.to_str().expect("UTF-8");
    let mut create = container.runtime(&["--log", path, "--log-format", "json", "create", "--bundle"]);
    create = create.arg(container.bundle()).arg(&container.id);
    let mut output = create.run().exits(1).in_one_line();
    for word in words {
        output = output.complains(word);
    }
    let log = fs::read_to_string(log).expect("read the log");
    assert_eq!(log.lines().filter(|line| line.contains("\"level\":\"error\"")).count(), 1, "{log}");
    container.assert_gone();
}

#[test]
fn a_bundle_that_is_not_there() {
    let container = Container::without_rootfs();
    let create = container.runtime(&["create", "--bundle", "/no/such/bundle", &container.id]);
    create.run().exits(1).complains("/no/such/bundle").complains("o such file or directory").in_one_line();
    container.assert_gone();
}

#[test]
fn a_bundle_that_is_no_folder() {
    let container = Container::without_rootfs();
    let file = container.dir.join("file");
    fs::write(&file, "").expect("write a file");
    let create = container.runtime(&["create", "--bundle"]).arg(&file).arg(&container.id);
    create.run().exits(1).complains("ot a directory").complains(file.to_str().expect("UTF-8")).in_one_line();
    container.assert_gone();
}

#[test]
fn a_bundle_without_a_configuration() {
    let container = Container::without_rootfs();
    let create = container.runtime(&["create", "--bundle"]).arg(container.bundle()).arg(&container.id);
    create.run().exits(1).complains("config.json").in_one_line();
    container.assert_gone();
}

#[test]
fn a_configuration_that_is_no_json() {
    skip_on!(Runc | Crun, "the peers do not name the file");
    for content in ["", "{", "not json", "{\"ociVersion\": 1}"] {
        let container = Container::without_rootfs();
        fs::write(container.bundle().join("config.json"), content).expect("write config.json");
        let create = container.runtime(&["create", "--bundle"]).arg(container.bundle()).arg(&container.id);
        create.run().exits(1).complains("config.json").in_one_line();
        container.assert_gone();
    }
}

#[test]
fn an_array_in_the_place_of_an_object() {
    skip_on!(Runc | Crun, "the peers' words differ");
    let words = ["config.json", "sequence, expected an object at line 1 column"];
    refused(&Container::new().set("/process", json!([])), &words);
    refused(&Container::new().set("/process/user", json!([0, 0])), &words);
    refused(&Container::new().set("/linux", json!([])), &words);
    refused(&Container::new().set("/mounts/0", json!(["/proc", "proc"])), &words);
    refused(&Container::new().set("/annotations", json!([])), &words);
    let mut container = Container::new();
    container.config = json!([]);
    refused(&container, &words);
    let running = Container::running();
    let file = running.dir.join("array.json");
    fs::write(&file, "[]").expect("write a file");
    let name = file.to_str().expect("UTF-8");
    running.verb(&["exec", "--process", name]).exits(255).complains("expected an object").in_one_line();
    running.verb(&["update", "--resources", name]).exits(1).complains("expected an object").in_one_line();
}

#[test]
fn a_configuration_that_is_no_file() {
    skip_on!(Runc | Crun, "the peers wait for ever");
    let container = Container::without_rootfs();
    program("mkfifo").arg(container.bundle().join("config.json")).run().ok();
    let create = container.runtime(&["create", "--bundle"]).arg(container.bundle()).arg(&container.id);
    create.at_most(5.0).run().exits(1).complains("config.json: not a regular file").in_one_line();
    container.assert_gone();
}

#[test]
fn a_configuration_larger_than_memory() {
    skip_on!(Runc | Crun, "the peers read it");
    let container = Container::without_rootfs();
    let file = fs::File::create(container.bundle().join("config.json")).expect("create a file");
    file.set_len(4 << 40).expect("make a hole");
    let create = container.runtime(&["create", "--bundle"]).arg(container.bundle()).arg(&container.id);
    create.at_most(5.0).run().exits(1).complains("config.json: file too large").in_one_line();
    container.assert_gone();
}

#[test]
fn a_version_that_is_not_known() {
    skip_on!(Runc | Crun, "runc 1.1 accepts any version");
    for version in ["2.0.0", "0.1.0", "one", ""] {
        refused(&Container::new().set("/ociVersion", version), &["ociVersion", version]);
    }
}

#[test]
fn a_configuration_without_a_version() {
    skip_on!(Runc | Crun, "runc 1.1 accepts it");
    let mut container = Container::new();
    container.config.as_object_mut().expect("an object").remove("ociVersion");
    refused(&container, &["ociVersion"]);
}

#[test]
fn a_configuration_without_a_root() {
    let mut container = Container::new();
    container.config.as_object_mut().expect("an object").remove("root");
    refused(&container, &["root"]);
}

#[test]
fn a_root_that_is_not_there() {
    refused(&Container::new().set("/root/path", "nowhere"), &["nowhere", "o such file or directory"]);
}

#[test]
fn a_root_that_is_no_folder() {
    let container = Container::new().set("/root/path", "file");
    fs::write(container.bundle().join("file"), "").expect("write a file");
    let words =
        ["ot a directory", container.rootfs().with_file_name("file").to_str().expect("UTF-8").to_owned().leak()];
    refused(&container, if peer() == Peer::Ours { &words } else { &words[..1] });
}

#[test]
fn an_unknown_namespace() {
    refused(&Container::new().set("/linux/namespaces/-", json!({"type": "parallel"})), &["parallel"]);
}

#[test]
fn a_namespace_that_is_given_twice() {
    refused(&Container::new().set("/linux/namespaces/-", json!({"type": "network"})), &["network"]);
}

#[test]
fn a_namespace_whose_path_is_not_there() {
    let container = Container::new().namespace("network", Some("/no/such/namespace"));
    refused(&container, &["/no/such/namespace", "o such file or directory"]);
}

#[test]
fn a_namespace_whose_path_is_of_another_kind() {
    skip_on!(Runc | Crun, "the peers lose the cause");
    let container = Container::new().namespace("network", Some("/proc/self/ns/uts"));
    refused(&container, &["/proc/self/ns/uts"]);
}

#[test]
fn a_namespace_whose_path_is_a_fifo_or_another_file() {
    skip_on!(Runc | Crun, "the peers wait for somebody to write to the FIFO");
    let dir = TempDir::new();
    let fifo = dir.join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).expect("make a FIFO");
    for path in [fifo.to_str().expect("UTF-8"), "/dev/null", "/etc/passwd", "/proc/self/ns"] {
        let container = Container::new().namespace("network", Some(path));
        refused(&container, &[&format!("{path} is no namespace")]);
    }
}

#[test]
fn a_host_name_without_a_namespace_for_it() {
    refused(&Container::new().without_namespace("uts"), &["hostname"]);
}

#[test]
fn an_id_with_characters_that_are_not_allowed() {
    for id in ["a/b", "../x", "..", ".", "a b", "ä", "-leading?", "/"] {
        let mut container = Container::new();
        container.write_config();
        let own = std::mem::replace(&mut container.id, id.to_owned());
        let create = container.runtime(&["create", "--bundle"]).arg(container.bundle()).arg("--").arg(id);
        let output = create.run();
        assert_ne!(output.code(), 0, "{id:?} was accepted");
        container.id = own;
        if peer() == Peer::Ours {
            output.exits(1).complains("container ID").complains(id).in_one_line();
        }
        container.assert_gone();
    }
}

#[test]
fn an_empty_id() {
    let container = Container::new();
    container.write_config();
    let create = container.runtime(&["create", "--bundle"]).arg(container.bundle()).arg("");
    let output = create.run().exits(1);
    if peer() == Peer::Ours {
        output.complains("cannot be empty").complains("empty").in_one_line();
    }
}

#[test]
fn an_id_of_another_container_s_state_cannot_be_reached_by_a_path() {
    let container = Container::running();
    let id = format!("../state/{}", container.id);
    for verb in ["state", "kill", "delete", "pause", "start"] {
        container.runtime(&[verb, &id]).run().exits(1);
    }
    container.runtime(&["delete", "--force", &id]).run();
    assert_eq!(container.status(), "running");
}

#[test]
fn too_many_arguments() {
    let container = Container::new();
    let output = container.runtime(&["state", "one", "two"]).run();
    assert_ne!(output.code(), 0);
}

#[test]
fn no_id() {
    for verb in
        ["create", "run", "start", "state", "kill", "delete", "pause", "resume", "exec", "ps", "update", "events"]
    {
        let container = Container::without_rootfs();
        let output = container.runtime(&[verb]).run();
        assert_ne!(output.code(), 0, "{verb}");
        assert_ne!(output.stderr() + &output.stdout(), "", "{verb}");
    }
}

#[test]
fn an_option_that_is_not_known() {
    let container = Container::without_rootfs();
    let output = container.runtime(&["create", "--frobnicate", "x"]).run();
    assert_ne!(output.code(), 0);
    assert!((output.stderr() + &output.stdout()).contains("frobnicate"));
}

#[test]
fn no_arguments_to_run() {
    refused(&Container::new().set("/process/args", json!([])), &["args"]);
}

#[test]
fn a_working_directory_that_is_relative() {
    refused(&Container::new().set("/process/cwd", "tmp"), &["wd"]);
}

#[test]
fn an_environment_variable_without_a_value_is_no_reason_to_fail() {
    let container = Container::new().args(&["env"]).set("/process/env", json!(["PATH=/bin", "EMPTY="]));
    container.run().ok().mentions("EMPTY=");
}

#[test]
fn a_mount_whose_destination_escapes_through_a_link() {
    // The link leads out of the root; inside of it the same path is a file, which no folder can be mounted on.
    let container = Container::new();
    let outside = container.dir.join("outside");
    fs::create_dir(&outside).expect("make a folder");
    std::os::unix::fs::symlink("../../outside", container.rootfs().join("link")).expect("link");
    fs::write(container.rootfs().join("outside"), "").expect("write a file");
    let container = container.mount("/link/deeper", "tmpfs", "tmpfs", &[]);
    refused(&container, &["/link/deeper"]);
    assert_eq!(fs::read_dir(&outside).expect("read the folder").count(), 0, "something was made outside of the root");
}

#[test]
fn a_mount_option_that_is_data_of_no_file_system() {
    refused(&Container::new().mount("/mnt", "tmpfs", "tmpfs", &["frobnicate=1"]), &["/mnt", "tmpfs"]);
}

#[test]
fn a_sized_mount_with_a_bad_size() {
    refused(&Container::new().mount("/mnt", "tmpfs", "tmpfs", &["size=plenty"]), &["/mnt"]);
}

#[test]
fn a_seccomp_action_that_is_not_known() {
    let container = Container::new().set("/linux/seccomp", json!({"defaultAction": "SCMP_ACT_SHRUG"}));
    refused(&container, &["config.json", "SCMP_ACT_SHRUG", "line"]);
}

#[test]
fn a_seccomp_rule_that_means_nothing_to_the_kernel() {
    let rule = json!({"names": ["mkdir"], "action": "SCMP_ACT_ERRNO", "errnoRet": 99999});
    let profile = json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]});
    let container = Container::new().set("/linux/seccomp", profile);
    refused(&container, &["config.json", "syscalls[0]", "99999"]);
}

#[test]
fn a_user_namespace_without_maps() {
    skip_on!(Runc | Crun, "the peers accept it or use words of their own");
    let output = Container::new().namespace("user", None).create_with(&[]);
    assert!(output.code() == 1 && output.stderr().contains("mappings"), "{}", output.stderr());
}

#[test]
fn console_settings_that_contradict_each_other() {
    let container = Container::new().set("/process/terminal", true);
    refused(&container, &["console"]);
    let container = Container::new();
    let socket = container.dir.join("console.sock");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).expect("bind");
    let output = container.create_with(&["--console-socket", socket.to_str().expect("UTF-8")]);
    if peer() != Peer::Crun {
        output.exits(1).complains("console").in_one_line();
        container.assert_gone();
    }
}

#[test]
fn the_state_of_a_container_that_was_cut_short() {
    let container = Container::without_rootfs();
    let dir = container.state_root().join(&container.id);
    fs::create_dir_all(&dir).expect("make a state folder");
    for content in ["", "{", "null", "[1]"] {
        fs::write(dir.join("state.json"), content).expect("write a state");
        fs::write(dir.join("status"), content).expect("write a state");
        let output = container.verb(&["state"]);
        assert_ne!(output.code(), 0, "{content:?}");
    }
    let list = container.runtime(&["list", "-f", "json"]).run();
    let _: Value = serde_json::from_str(&list.stdout()).unwrap_or_default();
    let deleted = container.verb(&["delete", "--force"]);
    if peer() == Peer::Ours {
        // Nothing says any more what there is to remove, but the folder is not lost with it.
        deleted.exits(1).in_one_line().complains("state.json").complains(&format!("remove {}", dir.display()));
        assert!(dir.exists());
    }
    fs::remove_dir_all(dir).expect("remove the state");
}

/// A running container, whose state `damage` has got at, is deleted by what its configuration says, with this warning.
fn is_deleted_all_the_same(damage: impl Fn(&Container, &Path), warning: &str) {
    let container = Container::sleeper();
    let path = format!("/{}", container.id);
    let container = container.set("/linux/cgroupsPath", path.as_str()).started();
    let pid = container.pid();
    damage(&container, &container.state_root().join(&container.id).join("state.json"));
    container.verb(&["delete", "--force"]).ok().complains(warning);
    eventually("its process is gone", || {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.is_empty() || stat.contains(") Z ")
    });
    container.assert_gone();
}

#[test]
fn a_state_that_is_damaged_does_not_hide_a_container_or_keep_it_from_being_deleted() {
    skip_on!(Runc | Crun, "they keep other files, and do not delete it");
    let damage = |container: &Container, state: &Path| {
        fs::write(state, "").expect("damage the state");
        container.runtime(&["list"]).run().ok().complains(&format!("load container {}", container.id));
    };
    is_deleted_all_the_same(damage, "what its configuration names was deleted");
}

#[test]
fn a_container_whose_state_was_removed_is_deleted_all_the_same() {
    skip_on!(Runc | Crun, "they keep other files, and leave it running");
    is_deleted_all_the_same(|_, state| fs::remove_file(state).expect("remove the state"), "state.json is gone");
}

#[test]
fn a_state_that_cannot_be_read_now_is_kept() {
    skip_on!(Runc | Crun, "they need more descriptors themselves");
    let container = Container::sleeper().started();
    let words: Vec<String> = crate::harness::runtime_words();
    let command = format!(
        "ulimit -n 3; exec {} --root {} delete --force {}",
        words.join(" "),
        container.state_root().display(),
        container.id
    );
    program("/bin/sh").args(["-c", &command]).run().exits(1).complains("too many open files");
    assert_eq!(container.status(), "running");
}

#[test]
fn an_id_that_means_none_to_the_kernel() {
    for (pointer, value) in [
        ("/process/user/uid", json!(u32::MAX)),
        ("/process/user/gid", json!(u32::MAX)),
        ("/process/user/additionalGids", json!([u32::MAX])),
    ] {
        refused_by(&Container::new().set(pointer, value), &["4294967295"]);
    }
    skip_on!(Runc | Crun, "runc 1.1 and crun have other words or take it");
    let container = Container::running();
    let process = json!({"args": ["id"], "cwd": "/", "user": {"uid": u32::MAX, "gid": 0}});
    let file = container.dir.join("process.json");
    fs::write(&file, process.to_string()).expect("write a process");
    let exec = container.runtime(&["exec", "--process"]).arg(&file).arg(&container.id);
    exec.run().exits(255).in_one_line().complains("process.user.uid");
}

#[test]
fn an_environment_variable_without_a_name_or_value() {
    skip_on!(Runc | Crun, "runc 1.1 and crun take some");
    refused(&Container::new().set("/process/env", json!(["FOO"])), &["\"FOO\"", "missing '='"]);
    refused(&Container::new().set("/process/env", json!(["=x"])), &["\"=x\"", "name is empty"]);
    let container = Container::running();
    container.exec_with(&["--env", "FOO"], &["true"]).exits(255).in_one_line().complains("missing '='");
}

#[test]
fn a_mount_over_the_root() {
    skip_on!(Runc | Crun, "they have other words");
    for destination in ["/", "/..", "."] {
        let container = Container::new().mount(destination, "tmpfs", "tmpfs", &[]);
        refused(&container, &[destination, "the container's root"]);
    }
}

#[test]
fn a_folder_mounted_on_a_file_and_a_file_on_a_folder() {
    let container = Container::new();
    let (folder, file) = (container.dir.join("folder"), container.dir.join("file"));
    fs::create_dir(&folder).expect("make a folder");
    fs::write(&file, "").expect("write a file");
    fs::write(container.rootfs().join("there"), "").expect("write a file");
    let (folder, file) = (folder.display().to_string(), file.display().to_string());
    // The words that Docker looks for.
    let container = container.mount("/there", "bind", &folder, &["bind"]);
    refused_by(&container, &["/there", "ot a directory"]);
    skip_on!(Crun, "it has other words");
    refused_by(&Container::new().mount("/tmp", "bind", &file, &["bind"]), &["/tmp", "ot a directory"]);
}

#[test]
fn what_a_terminal_would_obey_is_not_shown_as_it_is() {
    skip_on!(Runc | Crun, "they show it");
    let container = Container::new().args(&["a\u{1b}[31m\nb"]);
    let output = container.run().in_one_line();
    assert!(!output.stderr().contains('\u{1b}') && output.stderr().contains("\\u{1b}[31m\\nb"), "{}", output.stderr());
}

#[test]
fn what_is_quoted_at_length_is_cut_between_what_was_attempted_and_why_it_failed() {
    let long = "x".repeat(100_000);
    let output = Container::new().args(&[&format!("/{long}")]).run().exits(1).in_one_line().complains("bytes left out");
    let line = output.stderr();
    assert!(line.len() < 2200, "{} bytes", line.len());
    assert!(line.contains("exec") && line.ends_with("file name too long"), "{line}");
    let groups: Vec<u32> = (0..65_538).collect();
    let container = Container::new().set("/process/user/additionalGids", groups);
    let output = container.run().exits(1).in_one_line().complains("set the supplementary groups 0,1,2,3,4,");
    assert!(output.stderr().len() < 300, "{}", output.stderr());
}

#[test]
fn a_property_that_is_not_supported_is_refused_by_its_name() {
    skip_on!(Runc | Crun, "they know other properties");
    refused(&Container::new().set("/linux/intelRdt", json!({"closID": "x"})), &["intelRdt"]);
}

#[test]
fn a_file_of_unified_that_moves_processes_is_no_limit() {
    skip_on!(Runc | Crun, "they write it");
    for name in ["cgroup.procs", "cgroup.threads", "cgroup.kill"] {
        let container = Container::new().set("/linux/resources/unified", json!({name: "1"}));
        refused(&container, &["linux.resources.unified", name]);
    }
}
