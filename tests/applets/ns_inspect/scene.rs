//! Containers of all engines at once: each is named, and nothing that another tool sees is missed.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::harness::{TempDir, nskit, program};

#[test]
fn every_container_is_named_and_every_namespace_found_that_other_tools_find() {
    let dir = TempDir::new();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/applets/ns_inspect/scene.sh");
    let words = ["unshare", "--mount", "bash", script, dir.path().to_str().expect("UTF-8")];
    let output = program(nskit()).args(words).env("NSKIT", nskit()).at_most(180.0).run().ok();
    let (text, errors) = (output.stdout(), output.stderr());
    let lines =
        |name: &str| text.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).collect::<Vec<_>>();
    let document: Value = serde_json::from_str(lines("json").first().expect("a document")).expect("JSON");
    let containers = document["containers"].as_array().expect("an array");
    let mut started = 0;
    for engine in ["containerd", "docker", "podman", "nskit"] {
        for name in lines(engine) {
            started += 1;
            let found = containers.iter().find(|container| container["title"] == name);
            let found =
                found.unwrap_or_else(|| panic!("{engine} {name} is not among {}\n{errors}", document["containers"]));
            assert_eq!(found["engine"], engine, "{found}");
            assert!(found["pid"].is_i64(), "{found}");
            if matches!(engine, "docker" | "podman") {
                assert!(found["image"].as_str().is_some_and(|image| image.contains("scene")), "{found}");
            }
        }
    }
    // Five of ours, six of containerd's, five of Docker's and four of Podman's, of the engines that are installed.
    assert!(started >= 5, "{text}\n{errors}");
    // By what the scene would have without the process that holds namespaces for its sake.
    let holder: i64 = lines("holder")[0].parse().expect("a pid");
    let is_found = |ns: &&Value| {
        let keepers = ns["keepers"].as_array().expect("an array");
        let is_other = |keeper: &Value| keeper["kind"] != "descriptor" || keeper["pid"] != holder;
        ns["processes"] != 0 || keepers.iter().any(is_other)
    };
    let namespaces = document["namespaces"].as_array().expect("an array");
    let found: BTreeSet<u64> = namespaces.iter().filter(is_found).filter_map(|ns| ns["inode"].as_u64()).collect();
    for tool in ["proc", "lsns"] {
        let seen: BTreeSet<u64> = lines(tool)[0].split(' ').filter_map(|inode| inode.parse().ok()).collect();
        assert!(seen.len() > 20, "{seen:?}");
        assert!(seen.is_subset(&found), "{tool} sees {:?}", seen.difference(&found).collect::<Vec<_>>());
    }
}
