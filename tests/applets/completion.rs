//! Completion as bash does it: the function is called as readline calls it.

use std::os::unix::fs::symlink;
use std::path::Path;

use crate::harness::{Container, Output, Pty, TempDir, nskit, program, skip};

/// What bash offers for each command line, whose words readline has split, with two containers on the machine of which
/// one has a name that a shell would run.
fn offered(lines: &[&str]) -> Vec<String> {
    let dir = TempDir::new();
    symlink(nskit(), dir.join("nskit")).expect("link the binary");
    std::fs::write(dir.join("nskit.bash"), include_str!("../../completions/nskit.bash")).expect("write a file");
    let mut script = String::from(
        "mount -t tmpfs none /run && cd /run || exit 1
        mkdir -p nskit/web-1 'nskit/web$(touch hacked)'
        for state in nskit/*; do echo \"{\\\"init_process_pid\\\": $$}\" >\"$state/state.json\"; done
        source $FILE
        offer() {
            COMP_WORDS=(\"$@\") COMP_CWORD=$(($# - 1))
            _nskit 2>/dev/null
            echo \"=${COMPREPLY[@]}\"
        }\n",
    );
    lines.iter().for_each(|line| script.push_str(&format!("offer {line}\n")));
    script.push_str("[ ! -e hacked ] || echo hacked\n");
    let path = format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", dir.path().display());
    let output = program("/usr/bin/unshare")
        .args(["--mount", "--propagation", "private", "bash", "--norc", "-c", &script])
        .env("FILE", dir.join("nskit.bash"))
        .env("PATH", path)
        .run()
        .ok();
    output.stdout().lines().map(|line| line.trim_start_matches('=').to_owned()).collect()
}

#[test]
fn bash_completes_options_their_values_and_verbs() {
    let offered = offered(&[
        "nsenter --t",
        "nskit nsenter --tar",
        "unshare --propagation s",
        "unshare --setgroups = ''",
        "ns-inspect tr",
        "nskit-runtime --log-format j",
        "nskit uns",
        "nskit install --",
        "nskit install unshare nskit-r",
        "nskit install ''",
        "nskit runc sta",
        "runc sta",
        "nsenter --tools web-1 ''",
        "nsenter -t 1 --tools ''",
    ]);
    let expected = [
        "--target --time --time= --tools --tools=",
        "--target",
        "shared slave",
        "allow deny",
        "tree",
        "json",
        "unshare",
        "--dir --hard-links --force --help",
        "nskit-runtime",
        "unshare nsenter ns-inspect lsns nskit-runtime runc containerd-shim-nskit-v2",
        "start state",
        "start state",
        "unshare nsenter ns-inspect lsns runtime shim nskit",
        "unshare nsenter ns-inspect lsns runtime shim nskit",
    ];
    assert_eq!(offered, expected);
}

#[test]
fn bash_completes_containers_and_never_runs_what_one_is_called() {
    let offered = offered(&[
        "nsenter -t web",
        "nsenter --target = web",
        "nsenter web-",
        "nskit nsenter web-",
        "ns-inspect show web",
        "nsenter -t '$'",
        "nsenter web-1 /no/such/file",
    ]);
    assert_eq!(offered, ["web-1", "web-1", "web-1", "web-1", "web-1", "", ""]);
}

#[test]
fn bash_completes_what_values_and_operands_can_be() {
    let offered = offered(&[
        "unshare --kill-child = K",
        "unshare --kill-child =",
        "unshare --cap-drop net_a",
        "nsenter --cap-drop chown,net_a",
        "unshare --rlimit no",
        "unshare --mount = /no/such",
        "nskit-runtime --root /no/such state ''",
        "nskit-runtime kill web-1 KI",
        "nskit-runtime run ''",
        "nskit runtime exec web-1 /no/such",
        "ns-inspect explain ''",
        "ns-inspect graph --format ''",
        "lsns -t c",
        "ns-inspect list -o NS,NP",
        "lsns --tree = ''",
        "nsenter -S f",
    ]);
    assert!(offered[1].starts_with("HUP INT QUIT "), "{offered:?}");
    let mut rest = offered;
    rest.remove(1);
    // Units of systemd are containers too.
    rest[9] = rest[9].split(' ').next().unwrap_or_default().to_owned();
    let expected = [
        "KILL",
        "net_admin",
        "chown,net_admin",
        "nofile=",
        "",
        "",
        "KILL",
        "",
        "",
        "web-1",
        "svg dot mermaid",
        "cgroup",
        "NS,NPROCS",
        "owner parent process",
        "follow",
    ];
    assert_eq!(rest, expected);
}

#[test]
fn bash_completes_the_containers_of_the_runtime() {
    let container = Container::running();
    let root = container.state_root();
    let lines =
        ["state", "exec", "delete --force"].map(|verb| format!("nskit-runtime --root {} {verb} ''", root.display()));
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    assert!(offered(&lines).iter().all(|offer| *offer == container.id), "{:?}", offered(&lines));
}

/// What `make install` installs for these names, below a folder that goes away with the value.
fn installed(applets: &str) -> Option<TempDir> {
    let dir = TempDir::new();
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/Makefile");
    if !std::path::Path::new(source).exists() || program("make").arg("--version").run().code() != 0 {
        return None;
    }
    make_install(dir.path(), applets).ok();
    Some(dir)
}

/// Runs `make install` below `prefix`, of the binary that is tested.
fn make_install(prefix: &Path, applets: &str) -> Output {
    let binary = nskit();
    let make = program("make").args(["-s", "-C", env!("CARGO_MANIFEST_DIR"), "install", "-o"]).arg(&binary);
    let make = make.arg(format!("RELEASE={}", binary.display())).arg(format!("PREFIX={}", prefix.display()));
    // What is built needs no toolchain: root, by sudo, may have none.
    let make = make.arg("CARGO=/nskit-test/cargo");
    let make = if applets.is_empty() { make } else { make.arg(format!("APPLETS={applets}")) };
    make.run()
}

#[test]
fn what_is_installed_may_lie_in_a_folder_with_a_blank_in_its_name() {
    if installed("").is_none() {
        skip!("there is no make here");
    }
    let dir = TempDir::new();
    let prefix = dir.join("a b");
    make_install(&prefix, "unshare").ok();
    assert!(prefix.join("bin/nskit").exists() && prefix.join("bin/unshare").exists());
    assert!(!dir.join("a").exists());
}

#[test]
fn a_link_of_somebody_else_is_replaced_by_nothing_that_is_installed() {
    if installed("").is_none() {
        skip!("there is no make here");
    }
    let dir = TempDir::new();
    std::fs::create_dir(dir.join("bin")).expect("make a folder");
    // What is dangling is somebody's too, but a link that `nskit install` made is ours.
    symlink("/nskit-test/unshare", dir.join("bin/unshare")).expect("link");
    symlink("/nskit-test/nskit", dir.join("bin/lsns")).expect("link");
    let refused = make_install(dir.path(), "lsns unshare");
    assert!(refused.code() != 0);
    refused.complains("bin/unshare is there, and is no link to nskit: remove it first");
    assert!(!dir.join("bin/nskit").exists(), "a part was installed");
    make_install(dir.path(), "lsns").ok();
    assert_eq!(dir.join("bin/lsns").read_link().expect("a link").to_str(), Some("nskit"));
}

#[test]
fn what_is_installed_goes_by_the_names_that_are_asked_for() {
    let Some(dir) = installed("") else { skip!("there is no make here") };
    let there = |file: &str| dir.join(file).exists();
    assert!(there("bin/nskit") && there("share/man/man1/nskit-runtime.1"));
    for file in [
        "bin/unshare",
        "share/man/man1/unshare.1",
        "share/man/man1/lsns.1",
        "share/bash-completion/completions/nsenter",
    ] {
        assert!(!there(file), "{file} would hide util-linux's");
    }
    let Some(dir) = installed("unshare lsns") else { return };
    let there = |file: &str| dir.join(file).exists();
    for name in ["unshare", "lsns"] {
        for file in [
            format!("bin/{name}"),
            format!("share/man/man1/{name}.1"),
            format!("share/bash-completion/completions/{name}"),
            format!("share/zsh/site-functions/_{name}"),
            format!("share/fish/vendor_completions.d/{name}.fish"),
        ] {
            assert!(there(&file), "{file} is missing");
        }
    }
    assert!(!there("bin/nsenter"));
}

/// Whether there is a shell to try.
fn has(shell: &str) -> bool {
    std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).any(|folder| folder.join(shell).exists())
}

#[test]
fn fish_completes_by_the_names_that_are_installed() {
    if !has("fish") {
        skip!("fish is not installed");
    }
    let Some(dir) = installed("unshare nsenter lsns nskit-runtime ns-inspect") else { skip!("there is no make here") };
    let lines = [
        ("nsenter --tar", "--target"),
        ("unshare -r setpri", "setpriv"),
        ("unshare -rS 5 nskit-runt", "nskit-runtime"),
        ("nskit unshare -r nskit-runtime del", "delete"),
        ("nsenter -at 1 --tools nsk", "nskit"),
        ("nskit install nskit-r", "nskit-runtime"),
        ("nskit inst", "install"),
        ("unshare --kill-child=K", "--kill-child=KILL"),
        ("unshare --cap-drop chown,net_a", "chown,net_admin"),
        ("unshare --propagation sl", "slave"),
        ("unshare --rlimit nof", "nofile="),
        ("lsns -t c", "cgroup"),
        ("lsns --tree=o", "--tree=owner"),
        ("nskit lsns -o NS,NP", "NS,NPROCS"),
        ("ns-inspect graph --format d", "dot"),
        ("nskit-runtime kill x KI", "KILL"),
        ("nskit-runtime del", "delete"),
        ("nskit-runtime delete del", ""),
    ];
    let script: String = lines.iter().map(|(line, _)| format!("echo '>' (complete -C '{line}' | cut -f1)\n")).collect();
    let path = format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", dir.join("bin").display());
    let output = program("fish").args(["-c", &script]).env("PATH", path);
    let output = output.env("HOME", dir.path()).env("XDG_DATA_DIRS", dir.join("share")).run().ok();
    let offered: Vec<String> =
        output.stdout().lines().map(|line| line.trim_start_matches('>').trim().to_owned()).collect();
    assert_eq!(offered, lines.map(|(_, expected)| expected));
}

#[test]
fn zsh_completes_by_the_names_that_are_installed() {
    if !has("zsh") {
        skip!("zsh is not installed");
    }
    let Some(dir) = installed("unshare nsenter lsns nskit-runtime ns-inspect") else { skip!("there is no make here") };
    let functions = dir.join("share/zsh/site-functions");
    let settings = "autoload -Uz compinit; compinit -u -D; unsetopt beep; PS1='% '; print ready\n";
    std::fs::write(dir.join(".zshrc"), format!("fpath=({} $fpath)\n{settings}", functions.display())).expect("write");
    let (mut terminal, tty) = Pty::new();
    let path = format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", dir.join("bin").display());
    let zsh = program("setsid").args(["-c", "zsh", "-i"]).env("HOME", dir.path()).env("ZDOTDIR", dir.path());
    let zsh = zsh.env("PATH", path).env("TERM", "dumb").start_on(&tty);
    drop(tty);
    terminal.expect("ready");
    for (typed, expected) in [
        ("nsenter --tar\t", "nsenter --target"),
        ("nsenter -at 1 --tools nsk\t", "--tools nskit"),
        ("nskit install unshare nskit-r\t", "unshare nskit-runtime"),
        ("unshare --kill-child=K\t", "--kill-child=KILL"),
        ("unshare --cap-drop chown,net_a\t", "chown,net_admin"),
        ("unshare --propagation sl\t", "--propagation slave"),
        ("unshare --rlimit nof\t", "--rlimit nofile="),
        ("lsns -t cg\t", "lsns -t cgroup"),
        ("ns-inspect graph --format do\t", "--format dot"),
        ("nskit-runtime kill x KI\t", "kill x KILL"),
    ] {
        terminal.write(typed);
        terminal.expect(expected);
        // Away with the line.
        terminal.write("\x15");
    }
    terminal.write("exit\n");
    zsh.wait();
}

#[test]
fn bash_completes_process_ids() {
    assert!(offered(&["nsenter -t 1"])[0].split(' ').any(|word| word == "1"));
}
