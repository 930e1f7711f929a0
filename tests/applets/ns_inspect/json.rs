//! `--json`: every view that has it keeps to the committed schema; what has none says so.

use serde_json::Value;

use super::views::started;
use super::{everything, ns_inspect};
use crate::harness::TempDir;

fn schema() -> Value {
    serde_json::from_str(include_str!("../../../docs/ns-inspect.schema.json")).expect("JSON")
}

/// The document that a view prints, held against the schema of that view.
#[track_caller]
fn view(name: &str, words: &[&str]) -> Value {
    let schema = schema();
    let text = ns_inspect(words).arg("--json").run().ok().stdout();
    let document: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(document["view"], name);
    let reference = format!("#/$defs/{name}");
    let is_listed = schema["oneOf"].as_array().expect("views").iter().any(|view| view["$ref"] == reference.as_str());
    assert!(is_listed, "{name} is not in the schema");
    check(&document, &schema["$defs"][name], &schema, name);
    document
}

#[test]
fn everything_keeps_to_the_committed_schema() {
    let (running, _) = started(&["--uts", "--net"], "true");
    let schema = schema();
    let document = everything();
    check(&document, &schema["$defs"]["everything"], &schema, "document");
    assert_eq!(document["version"], 3);
    for words in [&["tree"][..], &["-p", &running.pid().to_string()], &["show", &running.pid().to_string()]] {
        view("everything", words);
    }
}

#[test]
fn every_view_of_one_target_keeps_to_the_committed_schema() {
    let dir = TempDir::new();
    let path = dir.path().display().to_string();
    let script = format!("mount -t tmpfs inspected {path}; mount -t tmpfs over {path}");
    let (running, _) = started(&["--mount", "--uts"], &script);
    let (own, pid) = (std::process::id().to_string(), running.pid().to_string());

    let diff = view("diff", &["diff", &own, &pid]);
    assert_eq!((diff["a"]["pid"].to_string(), diff["b"]["pid"].to_string()), (own.clone(), pid.clone()));
    let of = |document: &Value, kind: &str| {
        let kinds = document["kinds"].as_array().expect("an array");
        kinds.iter().find(|entry| entry["type"] == kind).cloned().expect("the kind")
    };
    assert_eq!([&of(&diff, "uts")["same"], &of(&diff, "net")["same"]], [false, true]);

    let net = view("net", &["net", &pid]);
    assert!(net["networks"][0]["links"].as_array().is_some_and(|links| links.iter().any(|link| link["name"] == "lo")));

    let mounts = view("mnt", &["mnt", &pid]);
    let named = |source: &str| {
        let mounts = mounts["mounts"].as_array().expect("an array");
        mounts.iter().find(|mount| mount["source"] == source).cloned().expect("the mount")
    };
    assert_eq!(named("inspected")["hidden_by"], named("over")["id"]);

    let holds = view("holds", &["mnt", "--holds", &path]);
    assert!(holds["holders"].as_array().expect("an array").iter().all(|holder| holder["mount"]["point"].is_string()));
    assert_eq!(view("pid", &["pid", &pid])["levels"][0]["pid"].to_string(), pid);
    let explained = view("explain", &["explain", &pid]);
    assert_eq!([&of(&explained, "uts")["outcome"], &of(&explained, "net")["outcome"]], ["allowed", "same"]);
}

#[test]
fn what_has_no_json_or_no_rows_says_so() {
    for verb in ["graph", "enter"] {
        ns_inspect(&[verb, "--json"]).run().exits(2).complains("unexpected argument '--json'");
    }
    for words in [&["1", "--filter", "PID > 1"][..], &["-p", "1", "--sort", "PID"], &["1", "--all"]] {
        ns_inspect(words).run().exits(2).complains("are for the overview, not for one target");
    }
    ns_inspect(&["net", "--sort", "LINK"]).run().exits(2).complains("unexpected argument '--sort'");
}

/// As much of JSON Schema as the schema uses.
pub(super) fn check(value: &serde_json::Value, schema: &serde_json::Value, root: &serde_json::Value, place: &str) {
    if let Some(reference) = schema["$ref"].as_str() {
        let target = root.pointer(reference.trim_start_matches('#')).expect("a definition");
        return check(value, target, root, place);
    }
    if let Some(any) = schema["anyOf"].as_array() {
        let (null, others): (Vec<_>, Vec<_>) = any.iter().partition(|one| one["type"] == "null");
        return if value.is_null() {
            assert!(!null.is_empty(), "{place}")
        } else {
            check(value, others[0], root, place)
        };
    }
    let kinds = match &schema["type"] {
        serde_json::Value::String(kind) => vec![kind.as_str()],
        serde_json::Value::Array(kinds) => kinds.iter().filter_map(|kind| kind.as_str()).collect(),
        _ => vec![],
    };
    let kind = match value {
        serde_json::Value::Null => "null",
        serde_json::Value::Bool(_) => "boolean",
        serde_json::Value::Number(_) => "integer",
        serde_json::Value::String(_) => "string",
        serde_json::Value::Array(_) => "array",
        serde_json::Value::Object(_) => "object",
    };
    assert!(kinds.is_empty() || kinds.contains(&kind), "{place} is {value}, not {kinds:?}");
    if let Some(allowed) = schema["enum"].as_array() {
        assert!(allowed.contains(value), "{place} is {value}");
    }
    if let Some(object) = value.as_object() {
        for name in schema["required"].as_array().into_iter().flatten().filter_map(|name| name.as_str()) {
            assert!(object.contains_key(name), "{place} lacks {name}");
        }
        for (name, member) in object {
            let known = &schema["properties"][name];
            assert!(!known.is_null(), "{place}.{name} is not in the schema");
            check(member, known, root, &format!("{place}.{name}"));
        }
    }
    for item in value.as_array().into_iter().flatten() {
        check(item, &schema["items"], root, &format!("{place}[]"));
    }
}
