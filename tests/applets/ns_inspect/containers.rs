//! Containers are named, by every engine that is here.

use super::{everything, ns_inspect};
use crate::harness::{Container, Containerd, Output, Way, left_behind, nskit, program, skip, unique_name};

#[test]
fn containers_of_our_own_runtime_are_named_from_their_state() {
    // A /run of its own: state is where it is by default, without touching the host's.
    let script = "mount -t tmpfs none /run && mkdir /run/b && cd /run/b && $NSKIT runtime spec --host >/dev/null && \
        sed -i 's/\"terminal\": true/\"terminal\": false/; s/\"sh\"/\"sleep\", \"60\"/; s/\"\\/bin\\/sh\"/\"sleep\", \"60\"/' config.json && \
        $NSKIT runtime run --detach nskit-test-inspect-named </dev/null >log 2>&1 || { cat log; exit 1; }; \
        $NSKIT ns-inspect; $NSKIT ns-inspect nskit-test-inspect-n; $NSKIT runtime delete --force nskit-test-inspect-named";
    let output: Output = program(nskit()).args(["unshare", "--mount", "sh", "-c", script]).env("NSKIT", nskit()).run();
    let output = output.ok().mentions("nskit container nskit-test-inspect-named (process ");
    let line = output
        .stdout()
        .lines()
        .find(|line| line.starts_with("nskit-test-inspect-named"))
        .unwrap_or_default()
        .to_owned();
    assert!(line.contains("nskit") && line.contains("own") && line.contains("host"), "{}", output.stdout());
}

#[test]
fn containers_of_containerd_are_named_from_their_bundles() {
    if !Containerd::is_installed() {
        skip!("containerd is not installed");
    }
    let engine = Containerd::start(Way::Runtime);
    let names: Vec<String> = (0..5).map(|number| format!("inspected-{number}")).collect();
    names.iter().for_each(|name| engine.running(name));
    let document = everything();
    let containers = document["containers"].as_array().expect("an array");
    for name in &names {
        let container = containers.iter().find(|container| container["id"] == name.as_str());
        let container = container.unwrap_or_else(|| panic!("{name} is not among {}", document["containers"]));
        assert_eq!(container["engine"], "containerd");
        assert!(container["bundle"].as_str().is_some_and(|bundle| bundle.ends_with(name)));
        let pid = container["pid"].as_i64().expect("a pid");
        ns_inspect(&[name]).run().ok().mentions(&format!("containerd container {name} (process {pid})"));
    }
    names.iter().for_each(|name| engine.remove(name));
}

#[test]
fn containers_of_cri_o_and_lxc_are_named_from_what_these_leave_on_disk() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/applets/ns_inspect/fixtures.sh");
    let name = format!("nskit-test-fixture-{}", std::process::id());
    let nskit = nskit();
    let words = ["unshare", "--mount", "bash", script, &name, nskit.to_str().expect("UTF-8"), "ns-inspect", "--json"];
    let text = program(&nskit).args(words).run().ok().stdout();
    assert_eq!(left_behind(&name), Vec::<String>::new());
    let document: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let containers = document["containers"].as_array().expect("an array");
    for (id, engine, title, image) in [
        ("a".repeat(64), "cri-o", "web-1/(sandbox)", "registry.k8s.io/POD:1.27"),
        ("b".repeat(64), "cri-o", "web-1/nginx", "registry.k8s.io/nginx:1.27"),
        ("c".repeat(64), "cri-o", "web-1/sidecar", "quay.io/sidecar:2"),
        ("shop".to_owned(), "lxc", "shop", "debian bookworm amd64"),
        ("mail".to_owned(), "lxc", "mail", "Alpine 3.20 amd64"),
    ] {
        let found = containers.iter().find(|container| container["id"] == id.as_str());
        let found = found.unwrap_or_else(|| panic!("{title} is not among {}", document["containers"]));
        assert_eq!([&found["engine"], &found["title"], &found["image"]], [engine, title, image], "{found}");
        assert!(found["pid"].is_i64(), "{found}");
        if engine == "cri-o" {
            assert_eq!(found["pod"]["namespace"], "prod", "{found}");
        }
        assert_eq!(found["sandbox"], title.contains("sandbox"), "{found}");
    }
    let is_watcher = |container: &serde_json::Value| {
        container["id"].as_str().is_some_and(|id| id.contains("conmon") || id.contains("monitor"))
    };
    assert!(!containers.iter().any(is_watcher), "conmon and LXC's monitors are no containers: {containers:?}");
}

#[test]
fn a_container_whose_state_is_nobody_knows_where_is_named_by_its_cgroup_and_keyring() {
    let container = Container::running();
    let text = ns_inspect(&[]).run().ok().stdout();
    let line = text.lines().find(|line| line.starts_with(&container.id)).unwrap_or_else(|| panic!("{text}"));
    assert!(line.contains(" runtime ") && line.contains(&container.pid().to_string()), "{line}");
    ns_inspect(&[&container.id]).run().ok().mentions(&format!("(process {})", container.pid()));
}

#[test]
fn a_process_that_ends_while_its_container_is_looked_for_does_not_hide_it() {
    if !std::path::Path::new("/usr/bin/strace").exists() {
        skip!("strace is not installed");
    }
    let container = Container::script("sleep 60 & exec sleep 60").started();
    // The first look at the container's first process finds none: as if it had ended since it was listed.
    let gone = ["-P", &format!("/proc/{}/stat", container.pid()), "-e", "inject=openat:error=ENOENT:when=1"];
    let strace = program("strace").args(["-o", "/dev/null", "-e", "trace=openat"]).args(gone);
    let output = strace.arg(nskit()).args(["ns-inspect", &container.id]).run().ok();
    output.mentions(&format!("container {} (process ", container.id));
}

#[test]
fn what_containers_share_with_each_other_is_told_of_both() {
    let first = Container::running();
    let path = |kind: &str| format!("/proc/{}/ns/{kind}", first.pid());
    let second = Container::sleeper().without_namespace("network").without_namespace("ipc");
    let second = second.namespace("network", Some(&path("net"))).namespace("ipc", Some(&path("ipc"))).started();
    for (one, other) in [(&first, &second), (&second, &first)] {
        let text = ns_inspect(&[&one.id]).run().ok().stdout();
        for (kind, shared) in [("ipc", true), ("network", true), ("uts", false), ("pid", false)] {
            let line =
                text.lines().find(|line| line.trim_start().starts_with(kind)).unwrap_or_else(|| panic!("{text}"));
            assert_eq!(line.contains(&format!("with {}", other.id)), shared, "{line}");
        }
    }
}

#[test]
fn a_container_that_is_not_there_is_named_in_the_complaint() {
    ns_inspect(&["no-such-container"]).run().exits(1).complains("no container is called 'no-such-container'");
}

/// Runs a script in a mount namespace with a /run and a /var/lib of its own, which has `run FOLDER --root ROOT` start a
/// container that is called `$NAME`, in a cgroup below FOLDER.
fn with_namesakes(script: &str) -> Output {
    let name = unique_name();
    let before = r#"
        mount -t tmpfs none /run && mount -t tmpfs none /var/lib && mkdir /run/b && cd /run/b || exit
        $NSKIT runtime spec --host >/dev/null
        sed -i 's/"terminal": true/"terminal": false/; s/"sh"/"sleep", "60"/; s/"\/bin\/sh"/"sleep", "60"/' config.json
        cp config.json plain.json
        run() {
            sed "s,\"linux\": {,\"linux\": { \"cgroupsPath\": \"/$NAME/$1/$NAME\"\,," plain.json >config.json && shift
            $NSKIT runtime "$@" run --detach $NAME </dev/null >log 2>&1 || cat log
        }
        ended() {
            for root in /run/one /run/two; do $NSKIT runtime --root $root delete --force $NAME; done 2>/dev/null
            find /sys/fs/cgroup/$NAME /sys/fs/cgroup/*/$NAME -depth -type d -exec rmdir {} \; 2>/dev/null
        }
        trap ended EXIT
    "#;
    let script = format!("{before}{script}");
    let line = program(nskit()).args(["unshare", "--mount", "bash", "-c", &script]).env("NSKIT", nskit());
    let output = line.env("NAME", &name).run();
    assert_eq!(left_behind(&name), Vec::<String>::new());
    output
}

#[test]
fn a_name_of_a_container_on_disk_that_one_has_whose_state_nobody_knows_names_neither() {
    let script = r#"
        id=$(printf 'd%.0s' $(seq 64))
        mkdir -p /var/lib/containers/storage/overlay-containers /run/crun/$id
        echo "[{\"id\": \"$id\", \"names\": [\"$NAME\"]}]" >/var/lib/containers/storage/overlay-containers/containers.json
        $NSKIT unshare --uts --kill-child sleep 60 & other=$!
        echo "{\"pid\": $other, \"bundle\": \"/run/none\"}" >/run/crun/$id/status
        sleep 0.1; $NSKIT ns-inspect $NAME | head -1; run one --root /run/one
        $NSKIT ns-inspect $NAME; $NSKIT nsenter $NAME true; kill $other
    "#;
    let output = with_namesakes(script).mentions("podman container nskit-test-");
    assert_eq!(output.stdout().lines().count(), 1, "{}", output.stdout());
    let said = output.stderr();
    let is_told = |line: &&str| line.contains("could be any of: podman nskit-") && line.contains(", runtime nskit-");
    assert_eq!(said.lines().filter(is_told).count(), 2, "{said}");
}

#[test]
fn containers_of_one_id_below_two_roots_are_two() {
    let script =
        "run one --root /run/one; run two --root /run/two; $NSKIT ns-inspect | grep ^$NAME; $NSKIT ns-inspect $NAME";
    let output = with_namesakes(script).complains("could be any of: runtime nskit-test-");
    let text = output.stdout();
    let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows.iter().map(|row| row[4]).collect::<Vec<_>>(), ["1", "1"], "{text}");
    assert_ne!(rows[0][3], rows[1][3]);
    assert!(rows.iter().all(|row| output.stderr().contains(&format!("process {}", row[3]))), "{}", output.stderr());
}
