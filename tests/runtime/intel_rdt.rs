//! `linux.intelRdt`, on a resctrl tree of plain files: no machine of the tests has the hardware. The runtime finds it where
//! mountinfo says that one is mounted, which a mount over its own mountinfo tells it here.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::harness::{Container, Invocation, Output, nskit, program, skip_on};

/// A container, and the tree.
struct Scene {
    container: Container,
    tree: PathBuf,
}

impl Scene {
    fn new(intel_rdt: Value) -> Scene {
        let container = Container::sleeper().set("/linux/intelRdt", intel_rdt);
        let scene = Scene { tree: container.dir.join("resctrl"), container };
        for (file, content) in [
            ("info/last_cmd_status", "ok\n"),
            ("info/L3/cbm_mask", "fffff\n"),
            ("info/L3/min_cbm_bits", "1\n"),
            ("info/L3/num_closids", "16\n"),
            ("info/L3_MON/mon_features", "llc_occupancy\n"),
            ("schemata", "    L3:0=fffff\n"),
            ("tasks", ""),
            ("shared/schemata", "    L3:0=ff\n"),
            ("shared/tasks", ""),
        ] {
            scene.write(file, content);
        }
        fs::create_dir(scene.tree.join("shared/mon_groups")).expect("make a folder");
        let table = fs::read_to_string("/proc/self/mountinfo").expect("read mountinfo");
        let line = format!("999 1 0:99 / {} rw - resctrl resctrl rw\n", scene.tree.display());
        fs::write(scene.table(), table + &line).expect("write mountinfo");
        scene
    }

    fn table(&self) -> PathBuf {
        self.container.dir.join("mountinfo")
    }

    fn write(&self, file: &str, content: &str) {
        let file = self.tree.join(file);
        fs::create_dir_all(file.parent().expect("a folder")).expect("make folders");
        fs::write(file, content).expect("write a file");
    }

    fn read(&self, file: &str) -> String {
        fs::read_to_string(self.tree.join(file)).unwrap_or_else(|error| panic!("read {file}: {error}"))
    }

    /// A verb of the runtime that finds the tree.
    fn verb(&self, words: &[&str]) -> Invocation {
        let script = "mount --bind \"$0\" /proc/$$/mountinfo && exec \"$@\"";
        let own = program(nskit()).args(["unshare", "-m", "--", "sh", "-c", script]).arg(self.table());
        own.arg(nskit()).args(["runtime", "--root"]).arg(self.container.state_root()).args(words)
    }

    fn create(&self) -> Output {
        self.container.write_config();
        self.verb(&["create", "--bundle"]).arg(self.container.bundle()).arg(&self.container.id).run()
    }

    /// Deletes the container: what files there are in its own group, the kernel's would go with it.
    fn delete(&self) {
        for entry in fs::read_dir(self.tree.join(&self.container.id)).into_iter().flatten().flatten() {
            fs::remove_file(entry.path()).expect("remove a file");
        }
        self.verb(&["delete", "--force"]).arg(&self.container.id).run().ok();
        assert!(!self.tree.join(&self.container.id).exists());
        self.container.assert_gone();
    }
}

#[test]
fn a_container_gets_a_group_of_its_own() {
    skip_on!(Runc | Crun, "it is nskit that is put before the tree");
    let scene = Scene::new(json!({"l3CacheSchema": "L3:0=f", "schemata": ["MB:0=20"]}));
    scene.create().ok();
    let (id, pid) = (&scene.container.id, scene.container.pid());
    assert_eq!(scene.read(&format!("{id}/schemata")), "L3:0=f\nMB:0=20\n");
    assert_eq!(scene.read(&format!("{id}/tasks")), pid.to_string());
    scene.container.start();
    scene.verb(&["exec", id, "true"]).run().ok();
    assert_ne!(scene.read(&format!("{id}/tasks")), pid.to_string());
    scene.verb(&["update", "--l3-cache-schema", "L3:0=3", id]).run().ok();
    assert_eq!(scene.read(&format!("{id}/schemata")), "L3:0=3\n");
    scene
        .verb(&["update", "--mem-bw-schema", "MB:0=3", id])
        .run()
        .exits(1)
        .in_one_line()
        .complains("MBA is not enabled");
    scene.delete();
}

#[test]
fn a_group_by_name_is_shared_and_stays() {
    skip_on!(Runc | Crun, "it is nskit that is put before the tree");
    let scene = Scene::new(json!({"closID": "shared", "enableMonitoring": true}));
    scene.create().ok();
    let id = &scene.container.id;
    let counting = format!("shared/mon_groups/{id}");
    assert_eq!(scene.read("shared/tasks"), scene.container.pid().to_string());
    assert_eq!(scene.read(&format!("{counting}/tasks")), scene.container.pid().to_string());
    scene.write(&format!("{counting}/mon_data/mon_L3_00/llc_occupancy"), "4096\n");
    let stats: Value = serde_json::from_str(&scene.verb(&["events", "--stats", id]).run().ok().stdout()).expect("JSON");
    let rdt = &stats["data"]["intel_rdt"];
    assert_eq!(rdt["l3_cache_schema"], "L3:0=ff");
    assert_eq!(rdt["cmt_stats"], json!([{"llc_occupancy": 4096}]));
    fs::remove_dir_all(scene.tree.join(&counting)).expect("remove the group that counts");
    fs::create_dir(scene.tree.join(&counting)).expect("make it anew");
    scene.delete();
    assert!(scene.tree.join("shared").exists() && !scene.tree.join(&counting).exists());
}

#[test]
fn what_cannot_be_had_is_named_and_nothing_is_left() {
    skip_on!(Runc | Crun, "it is nskit that is put before the tree");
    for (asked, named) in [
        (json!({"closID": "missing"}), "missing: closID alone"),
        (json!({"closID": "a/b", "schemata": ["L3:0=f"]}), "closID \"a/b\""),
        (json!({"memBwSchema": "MB:0=20"}), "memBwSchema"),
        (json!({"l3CacheSchema": "L3:0=f", "enableMonitoring": true}), "mon_groups"),
    ] {
        let scene = Scene::new(asked);
        scene.create().exits(1).complains(named);
        for entry in fs::read_dir(scene.tree.join(&scene.container.id)).into_iter().flatten().flatten() {
            fs::remove_file(entry.path()).expect("remove a file");
        }
        let _ = fs::remove_dir(scene.tree.join(&scene.container.id));
        scene.container.assert_gone();
    }
}

#[test]
fn without_a_tree_it_is_refused_and_an_update_too() {
    let container = Container::new().set("/linux/intelRdt", json!({"l3CacheSchema": "L3:0=f"}));
    container.run().exits(1).in_one_line().complains("Rdt");
    container.assert_gone();
    let running = Container::running();
    running.runtime(&["update", "--l3-cache-schema", "L3:0=f", &running.id]).run().exits(1).complains("Intel RDT");
}
