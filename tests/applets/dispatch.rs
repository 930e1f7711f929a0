//! Which applet a name starts, and the links that `install` makes.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;

use crate::harness::{Output, TempDir, nskit, program};

/// Every applet and its aliases, as the README lists them.
const NAMES: [(&str, &[&str]); 5] = [
    ("unshare", &[]),
    ("nsenter", &[]),
    ("ns-inspect", &["lsns"]),
    ("runtime", &["nskit-runtime", "runc"]),
    ("shim", &["containerd-shim-nskit-v2"]),
];

#[test]
fn list_names_every_applet_on_a_line_of_its_own() {
    let output = program(nskit()).arg("--list").run().ok().stdout();
    for (name, _) in NAMES {
        assert!(output.lines().any(|line| line == name), "{name} is not in {output:?}");
    }
}

#[test]
fn help_names_every_applet() {
    let output = program(nskit()).arg("--help").run().ok().stdout();
    for (name, _) in NAMES {
        assert!(output.contains(name), "{name} is not in {output:?}");
    }
}

#[test]
fn every_applet_explains_itself() {
    for (name, _) in NAMES {
        let output = program(nskit()).args([name, "--help"]).run().ok().stdout();
        assert!(output.contains("Usage"), "{name} --help: {output:?}");
    }
}

#[test]
fn the_version_is_the_package_s() {
    program(nskit()).arg("--version").run().ok().mentions(env!("CARGO_PKG_VERSION"));
}

#[test]
fn without_an_applet_help_goes_to_standard_error() {
    let output = program(nskit()).run();
    assert_ne!(output.code(), 0);
    output.complains("runtime").says("");
}

#[test]
fn an_unknown_applet_is_an_error_that_names_the_nearest() {
    program(nskit()).arg("unshar").run().exits(127).complains("unshar").complains("unshare").in_one_line();
    program(nskit()).arg("runtimes").run().exits(127).complains("runtime").in_one_line();
}

#[test]
fn a_name_that_is_near_none_is_an_error_too() {
    program(nskit()).arg("zzzzzzzzzzzz").run().exits(127).complains("zzzzzzzzzzzz").in_one_line();
}

#[test]
fn a_link_starts_the_applet_of_its_name_from_any_path() {
    let dir = TempDir::new();
    for (name, aliases) in NAMES {
        for link in [&[name][..], aliases].concat() {
            symlink(nskit(), dir.join(link)).expect("link");
            let by_link = program(dir.join(link)).arg("--help").run().ok().stdout();
            assert!(by_link.contains("Usage"), "{link}: {by_link:?}");
        }
    }
}

#[test]
fn names_may_have_the_prefix_of_the_project() {
    let dir = TempDir::new();
    for (name, _) in NAMES {
        let link = dir.join(&format!("nskit-{name}"));
        symlink(nskit(), &link).expect("link");
        let help = program(&link).arg("--help").run().ok().mentions("Usage").stdout();
        // But for the name that it was called by, which usage may show.
        let plain = |text: &str| text.replace("nskit-", "");
        let by_argument = program(nskit()).args([name, "--help"]).run().ok().stdout();
        assert_eq!(plain(&help), plain(&by_argument));
        assert_ne!(help, program(nskit()).arg("--help").run().ok().stdout(), "{name} is no applet");
    }
}

#[test]
fn aliases_work_as_the_first_argument() {
    program(nskit()).args(["lsns", "--help"]).run().ok().mentions("Usage");
    program(nskit()).args(["runc", "--version"]).run().ok().mentions(" version ");
}

#[test]
fn a_link_named_unshare_unshares() {
    let dir = TempDir::new();
    let link = dir.join("unshare");
    symlink(nskit(), &link).expect("link");
    let host = fs::read_link("/proc/self/ns/uts").expect("read a namespace");
    let inside = program(&link).args(["--uts", "readlink", "/proc/self/ns/uts"]).run().ok().stdout();
    assert!(inside.starts_with("uts:[") && inside != host.to_str().expect("ASCII"), "{inside}");
}

/// Runs a script in which $1 is `file`.
fn shell(script: &str, file: &Path) -> Output {
    program("bash").args(["-c", script, "bash"]).arg(file).run()
}

#[test]
fn the_executed_file_decides_whatever_argv_0_says() {
    let dir = TempDir::new();
    for name in ["unshare", "nsenter", "lsns", "nskit-runtime"] {
        symlink(nskit(), dir.join(name)).expect("link");
    }
    for called in ["firefox", "-unshare", "lsns", "install", "runc", "/x/nskit", ""] {
        let script = format!("exec -a '{called}' \"$1\" -r sh -c 'id -u' run");
        shell(&script, &dir.join("unshare")).ok().says("0");
        let script = format!("exec -a '{called}' \"$1\" -n -o TYPE -t mnt -p $$");
        shell(&script, &dir.join("lsns")).ok().says("mnt");
        let script = format!("exec -a '{called}' \"$1\" -t $$ -u id -u");
        shell(&script, &dir.join("nsenter")).ok().says("0");
        let script = format!("exec -a '{called}' \"$1\" exec nskit-test-none true");
        shell(&script, &dir.join("nskit-runtime")).exits(255).complains("nskit-test-none").in_one_line();
    }
    // Complaints are in the caller's name for it, as util-linux's are.
    shell("exec -a firefox \"$1\" -z", &dir.join("unshare")).exits(1).complains("firefox: invalid option -- 'z'");
}

#[test]
fn links_and_copies_of_another_name_start_the_applet_that_is_in_it() {
    let dir = TempDir::new();
    for name in ["rootless-unshare", "unshare.real", "unshare-2.43"] {
        let link = dir.join(name);
        symlink(nskit(), &link).expect("link");
        program(&link).args(["-r", "id", "-u"]).run().ok().says("0");
    }
    symlink("rootless-unshare", dir.join("sandbox")).expect("link");
    program(dir.join("sandbox")).args(["-r", "id", "-u"]).run().ok().says("0");
    crate::harness::copy_program(&nskit(), &dir.join("distro-unshare"));
    program(dir.join("distro-unshare")).args(["-r", "id", "-u"]).run().ok().says("0");
}

#[test]
fn the_runtime_is_known_by_its_verbs_and_options_under_any_name() {
    let dir = TempDir::new();
    let root = dir.join("state");
    fs::create_dir(&root).expect("make a folder");
    let root = root.to_str().expect("UTF-8");
    for name in ["crun", "docker-runc", "nskit-runtime-0.2", "x8f2k", "nskit"] {
        let copy = dir.join(name);
        if name == "nskit" {
            symlink(nskit(), &copy).expect("link")
        } else {
            crate::harness::copy_program(&nskit(), &copy)
        }
        program(&copy).args(["--root", root, "list", "--format", "json"]).run().ok();
        program(&copy)
            .args(["-root", root, "--systemd-cgroup", "state", "nskit-test-none"])
            .run()
            .exits(1)
            .complains("none");
        program(&copy).args(["exec", "nskit-test-none", "true"]).run().exits(255).complains("nskit-test-none");
        program(&copy).arg("features").run().ok().mentions("ociVersionMax");
    }
    program(nskit()).arg("--version").run().ok().says(&format!("nskit {}", env!("CARGO_PKG_VERSION")));
}

#[test]
fn install_links_every_applet_but_runc() {
    // A link named runc would hide another runtime: it is made when it is asked for.
    let dir = TempDir::new();
    program(nskit()).args(["install", "--dir"]).arg(dir.path()).run().ok();
    for name in ["unshare", "nsenter", "ns-inspect", "lsns", "nskit-runtime", "containerd-shim-nskit-v2"] {
        let link = dir.join(name);
        assert!(fs::symlink_metadata(&link).expect("a link").is_symlink(), "{name}");
        assert_eq!(link.canonicalize().expect("a target"), nskit().canonicalize().expect("a path"), "{name}");
        program(&link).arg("--help").run().ok().mentions("Usage");
    }
    assert!(!dir.join("runc").exists());
}

#[test]
fn install_makes_hard_links_when_asked() {
    // Hard links need the same file system: the binary is copied beside them.
    let dir = TempDir::new();
    let binary = dir.join("nskit");
    crate::harness::copy_program(&nskit(), &binary);
    let bin = dir.join("bin");
    fs::create_dir(&bin).expect("make a folder");
    program(&binary).args(["install", "--hard-links", "--dir"]).arg(&bin).run().ok();
    let inode = fs::metadata(&binary).expect("stat").ino();
    assert_eq!(fs::symlink_metadata(bin.join("unshare")).expect("stat").ino(), inode);
    // Once more changes nothing, and leaves nothing.
    let names = || fs::read_dir(&bin).expect("read the folder").count();
    let before = names();
    program(&binary).args(["install", "--hard-links", "--dir"]).arg(&bin).run().ok();
    assert_eq!(names(), before);
}

#[test]
fn install_makes_the_links_that_are_named_and_no_others() {
    let dir = TempDir::new();
    program(nskit()).args(["install", "--dir"]).arg(dir.path()).args(["unshare", "runc", "nskit-runtime"]).run().ok();
    let mut names: Vec<_> = fs::read_dir(dir.path())
        .expect("read the folder")
        .flatten()
        .map(|entry| entry.file_name().into_string().expect("UTF-8"))
        .collect();
    names.sort_unstable();
    assert_eq!(names, ["nskit-runtime", "runc", "unshare"]);
}

#[test]
fn install_replaces_no_program_of_somebody_else_unless_forced() {
    let dir = TempDir::new();
    fs::write(dir.join("unshare"), "precious").expect("write a file");
    symlink("/bin/busybox", dir.join("nsenter")).expect("link");
    // What an earlier install left, wherever nskit was then, and a copy of it, are its own.
    symlink("/opt/old/nskit", dir.join("lsns")).expect("link");
    fs::copy(nskit(), dir.join("ns-inspect")).expect("copy the binary");
    let install = |words: &[&str]| program(nskit()).args(["install", "--dir"]).arg(dir.path()).args(words).run();
    let refused = install(&[]).exits(1).complains("--force replaces it").in_one_line();
    for name in ["unshare", "nsenter"] {
        assert!(refused.stderr().contains(dir.join(name).to_str().expect("UTF-8")), "{name} is not named");
    }
    assert_eq!(fs::read_to_string(dir.join("unshare")).expect("read"), "precious");
    assert!(!dir.join("nskit-runtime").exists(), "a part was installed");
    install(&["lsns", "ns-inspect"]).ok();
    assert_eq!(dir.join("lsns").canonicalize().expect("a target"), nskit().canonicalize().expect("a path"));
    install(&["--force"]).ok();
    assert_eq!(dir.join("unshare").canonicalize().expect("a target"), nskit().canonicalize().expect("a path"));
}

#[test]
fn install_of_an_unknown_applet_is_an_error_that_names_it() {
    let dir = TempDir::new();
    let output = program(nskit()).args(["install", "--dir"]).arg(dir.path()).arg("frobnicate").run();
    assert_ne!(output.code(), 0);
    output.complains("frobnicate").in_one_line();
    assert_eq!(fs::read_dir(dir.path()).expect("read the folder").count(), 0);
}

#[test]
fn install_into_a_folder_that_is_not_there_is_an_error_that_names_it() {
    let output = program(nskit()).args(["install", "--dir", "/no/such/folder"]).run();
    assert_ne!(output.code(), 0);
    output.complains("/no/such/folder").in_one_line();
}

#[test]
fn a_closed_pipe_is_no_reason_to_complain() {
    let script = format!("{} --help | true; {} --list | true", nskit().display(), nskit().display());
    let output = program("sh").args(["-c", &script]).run().ok();
    assert_eq!(output.stderr(), "");
}
