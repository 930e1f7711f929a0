//! Which module imports from which, taken from the text of the sources, and what docs/architecture.md permits.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::sources;

/// A module by the names on the way to it, `applets` or `src` first.
type Module = Vec<String>;

/// The heading of docs/architecture.md below which the floors are, and where they end.
const FLOORS: (&str, &str) = ("Floors, the lowest first", "\n\n");

/// The floors, lowest first: modules on one, or on a lower one, know nothing of those above.
fn floors() -> Vec<Vec<Module>> {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/architecture.md"))
        .expect("read docs/architecture.md");
    let (_, rest) = text.split_once(FLOORS.0).expect("docs/architecture.md draws the floors");
    let (_, drawing) = rest.split_once("\n\n").expect("a drawing follows");
    let drawing = drawing.split_once(FLOORS.1).map_or(drawing, |(drawing, _)| drawing);
    drawing.lines().map(|line| line.split_whitespace().map(|name| module(name.split("::"))).collect()).collect()
}

fn module<'a>(names: impl Iterator<Item = &'a str>) -> Module {
    let names: Module = names.map(str::to_owned).collect();
    if names.first().is_some_and(|first| first == "applets") { names } else { [vec!["src".to_owned()], names].concat() }
}

/// What a file is called as a module.
fn module_of(path: &Path) -> Module {
    let mut names: Module = path.with_extension("").iter().map(|part| part.to_string_lossy().into_owned()).collect();
    names.pop_if(|last| last == "mod" || last == "lib" || last == "main");
    names
}

/// Every import between two modules: from, to, and where.
fn imports() -> Vec<(Module, Module, String)> {
    let files: Vec<_> = ["src", "applets"].into_iter().flat_map(sources).collect();
    let modules: BTreeSet<Module> = files.iter().map(|(path, _)| module_of(path)).collect();
    let mut found = Vec::new();
    for (path, text) in &files {
        let from = module_of(path);
        // What tests import is no part of the house.
        let text = text.split("#[cfg(test)]").next().unwrap_or_default();
        for words in paths(&without_comments(text)) {
            let Some(to) = resolve(&from, &words, &modules) else { continue };
            if to != from {
                found.push((from.clone(), to, path.display().to_string()));
            }
        }
    }
    found
}

fn without_comments(text: &str) -> String {
    text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

/// All paths of a text that begin with `crate`, `nskit`, `super` or `self`: those of `use` trees branch by branch.
fn paths(text: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for start in ["crate::", "nskit::", "super::", "self::"] {
        let mut rest = text;
        while let Some(at) = rest.find(start) {
            let is_word = rest[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':');
            if !is_word {
                branches(&rest[at..], Vec::new(), &mut found);
            }
            rest = &rest[at + start.len()..];
        }
    }
    found
}

/// Reads one path, or a tree of them in braces, from the beginning of `text`; returns what follows it.
fn branches<'a>(text: &'a str, mut words: Vec<String>, found: &mut Vec<Vec<String>>) -> &'a str {
    let mut rest = text.trim_start();
    loop {
        if let Some(inside) = rest.strip_prefix('{') {
            rest = inside.trim_start();
            while !rest.is_empty() && !rest.starts_with('}') {
                rest = branches(rest, words.clone(), found).trim_start();
                rest = rest.strip_prefix(',').unwrap_or(rest).trim_start();
                if !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_' || c == '}' || c == '{') {
                    return rest;
                }
            }
            return rest.strip_prefix('}').unwrap_or(rest);
        }
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        words.push(rest[..end].to_owned());
        rest = &rest[end..];
        match rest.strip_prefix("::") {
            Some(next) if next.starts_with(|c: char| c.is_alphanumeric() || c == '_' || c == '{') => rest = next,
            _ => break,
        }
    }
    found.push(words);
    rest
}

/// The module that a path leads to.
fn resolve(from: &Module, words: &[String], modules: &BTreeSet<Module>) -> Option<Module> {
    let mut at = match words.first()?.as_str() {
        "crate" => vec![from[0].clone()],
        "nskit" => vec!["src".to_owned()],
        _ => from.clone(),
    };
    let mut words = words.iter().skip_while(|word| ["crate", "nskit", "self"].contains(&word.as_str())).peekable();
    while words.next_if(|word| *word == "super").is_some() {
        at.pop();
    }
    for word in words {
        at.push(word.clone());
        if !modules.contains(&at) {
            at.pop();
            break;
        }
    }
    (at.len() > 1).then_some(at)
}

#[test]
fn every_import_goes_down_the_floors() {
    let floors = floors();
    let floor = |module: &Module| {
        let on = |floor: &Vec<Module>| floor.iter().any(|room| module.starts_with(room));
        floors.iter().position(on)
    };
    let mut wrong = BTreeSet::new();
    for (from, to, place) in imports() {
        match (floor(&from), floor(&to)) {
            (Some(above), Some(below)) if below < above => {}
            (Some(same), Some(other)) if same == other => {
                // On one floor a room may import within itself alone.
                let room = |module: &Module| floors[same].iter().position(|room| module.starts_with(room));
                if room(&from) != room(&to) {
                    wrong.insert(format!("{place}: {} and {} are on one floor", from.join("::"), to.join("::")));
                }
            }
            (Some(_), Some(_)) => {
                wrong.insert(format!("{place}: {} is above {}", to.join("::"), from.join("::")));
            }
            // Roots of rooms, which hold nothing but the list of what is below them.
            _ => {}
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.into_iter().collect::<Vec<_>>().join("\n"));
}

#[test]
fn every_source_is_on_a_floor() {
    let floors = floors();
    let files = ["src", "applets"].into_iter().flat_map(sources);
    let homeless: Vec<String> = files
        .map(|(path, _)| (module_of(&path), path))
        .filter(|(module, _)| !floors.iter().flatten().any(|room| module.starts_with(room) || room.starts_with(module)))
        .map(|(_, path)| path.display().to_string())
        .collect();
    assert!(homeless.is_empty(), "not in the drawing of docs/architecture.md: {}", homeless.join(", "));
}

#[test]
fn there_is_no_circle() {
    // Among the children of each module: which of them import from which.
    let mut graphs: BTreeMap<Module, BTreeMap<String, BTreeSet<String>>> = BTreeMap::new();
    for (from, to, _) in imports() {
        let common = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
        if let (Some(one), Some(other)) = (from.get(common), to.get(common)) {
            let graph = graphs.entry(from[..common].to_vec()).or_default();
            graph.entry(one.clone()).or_default().insert(other.clone());
        }
    }
    let mut circles = Vec::new();
    for (parent, graph) in &graphs {
        for start in graph.keys() {
            let mut reached = BTreeSet::new();
            let mut todo = vec![start];
            while let Some(name) = todo.pop() {
                todo.extend(graph.get(name).into_iter().flatten().filter(|next| reached.insert((*next).clone())));
            }
            if reached.contains(start) {
                circles.push(format!("{}: {start} is on a circle", parent.join("::")));
            }
        }
    }
    assert!(circles.is_empty(), "{}", circles.join("\n"));
}

#[test]
fn trees_of_imports_are_read_branch_by_branch() {
    let text = "use crate::a::{self, b::{C, d}, e};\nuse super::x;\nlet y = crate::z::w(1); mycrate::no";
    let mut found: Vec<String> = paths(text).iter().map(|words| words.join("::")).collect();
    found.sort();
    let wanted = ["crate::a::b::C", "crate::a::b::d", "crate::a::e", "crate::a::self", "crate::z::w", "super::x"];
    assert_eq!(found, wanted);
}
