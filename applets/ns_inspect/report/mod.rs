//! One page that shows it all: the picture, containers by kinds of namespaces, and each container. It needs no network and no
//! server, and what runs in it is what is here: a policy in its head forbids everything else.

use std::fmt::Write as _;

use nskit::namespace::Kind;

use super::graph::{Dress, End, Picture, Wish, escape};
use super::overview::{human_age, size};
use super::rows::{Deviation, Row, Whose};
use super::world::World;

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");

/// What the page may use: the style and the script that hash to these, and nothing from anywhere. A test compares them.
const POLICY: &str = "default-src 'none'; style-src 'sha256-Vqt73xXF20f6Z+6EXHNDIJ0f2YntKg1dSQlpMA8KPWg='; script-src 'sha256-stbLbvN2TMb9qbwXK5f43hmrZfcQDnS5209mAtwWZUU='; base-uri 'none'; \
                      form-action 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

/// The page.
///
/// # Errors
/// As [`Picture::of`].
pub(crate) fn html(world: &mut World, wish: &Wish) -> anyhow::Result<String> {
    let rows = super::graph::chosen(world, wish)?;
    let picture = Picture::of_rows(world, wish, &rows);
    let svg = picture.svg(Dress::Page);
    let mut out = String::with_capacity(svg.len() + rows.len() * 2048 + (1 << 16));
    head(&mut out, &picture);
    let _ = writeln!(
        out,
        "<details class=\"part\" id=\"picture\" open><summary>Picture</summary><div class=\"wide\">\n{svg}</div></details>"
    );
    matrix(&mut out, world, &rows, &picture);
    gaps(&mut out, world);
    let _ = write!(out, "<script>{SCRIPT}</script>\n</body>\n</html>\n");
    Ok(out)
}

fn head(out: &mut String, picture: &Picture) {
    let (title, about) = (escape(&picture.title()), escape(&picture.subtitle()));
    let _ = write!(
        out,
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"referrer\" content=\"no-referrer\">\n<title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n\
         <header><h1>{title}</h1><p>{about}</p>\n<div class=\"tools\">\
         <input id=\"search\" type=\"search\" placeholder=\"Search: name, image, id, pid\" aria-label=\"Search containers\" \
         autocomplete=\"off\" spellcheck=\"false\">\
         <output id=\"count\"></output><button id=\"fold\" type=\"button\">Unfold all</button>\
         <button id=\"theme\" type=\"button\">Dark or light</button>\
         <span class=\"keys\"><kbd>/</kbd> search <kbd>j</kbd> <kbd>k</kbd> next, last <kbd>Enter</kbd> unfold \
         <kbd>Esc</kbd> all</span></div></header>\n"
    );
}

/// Containers by kinds of namespaces; each name unfolds to what is known of the container.
fn matrix(out: &mut String, world: &World, rows: &[Row], picture: &Picture) {
    out.push_str(
        "<details class=\"part\" id=\"containers\" open><summary>Containers by kinds of namespaces</summary>\
         <div class=\"wide\"><table id=\"matrix\">\n<thead><tr><th>Container</th><th>Engine</th><th>State</th><th>PID</th>\
         <th>Memory</th>",
    );
    for kind in &picture.kinds {
        let _ = write!(out, "<th>{}</th>", kind.proc_name());
    }
    out.push_str("<th>Unusual</th></tr></thead>\n<tbody>\n");
    for row in rows {
        line(out, world, row, picture);
    }
    out.push_str("</tbody></table>");
    if rows.is_empty() {
        out.push_str("<p>No containers.</p>");
    }
    out.push_str("<p id=\"none\" hidden>No container has this in it.</p></div></details>\n");
}

fn line(out: &mut String, world: &World, row: &Row, picture: &Picture) {
    let container = &world.inventory.containers[row.place];
    let pid = container.pid.map(|pid| pid.to_string()).unwrap_or_default();
    let _ = write!(out, "<tr id=\"c{}\"><td><details><summary>{}</summary>", row.place, escape(&container.title()));
    facts(out, world, row, picture);
    let _ = write!(
        out,
        "</details></td><td>{}</td><td>{}</td><td class=\"number\">{pid}</td><td class=\"number\">{}</td>",
        container.engine,
        row.usage.state,
        row.memory.map(size).unwrap_or_default()
    );
    for &kind in &picture.kinds {
        let (class, text) = sharing(world, row, kind);
        let text = escape(&text);
        let whole = if class == "shared" { format!(" title=\"{text}\"") } else { String::new() };
        let _ = write!(out, "<td class=\"kind {class}\"{whole}>{text}</td>");
    }
    let unusual: Vec<String> = row.deviations.iter().map(ToString::to_string).collect();
    let _ = writeln!(out, "<td class=\"warning\">{}</td></tr>", escape(&unusual.join(", ")));
}

/// The class and the text of a cell.
fn sharing(world: &World, row: &Row, kind: Kind) -> (&'static str, String) {
    match row.namespaces[kind as usize] {
        Whose::Own => ("own", "own".to_owned()),
        Whose::Host if row.deviations.contains(&Deviation::HostNamespace(kind)) => ("exposed", "host".to_owned()),
        Whose::Host => ("host", "host".to_owned()),
        Whose::Other(place) => ("shared", format!("={}", world.inventory.containers[place].title())),
        Whose::Unknown => ("unknown", "?".to_owned()),
        Whose::None => ("unknown", String::new()),
    }
}

/// What is known of a container.
fn facts(out: &mut String, world: &World, row: &Row, picture: &Picture) {
    let container = &world.inventory.containers[row.place];
    out.push_str("<dl>");
    let mut fact = |name: &str, value: &str| {
        if !value.is_empty() {
            let _ = write!(out, "<dt>{name}</dt><dd>{}</dd>", escape(value));
        }
    };
    fact("id", &container.id);
    fact("image", container.image.as_deref().unwrap_or_default());
    fact("command", &row.command);
    fact("processes", &row.processes.to_string());
    fact("age", &row.age.map(human_age).unwrap_or_default());
    if let Some(pod) = &container.pod {
        fact("pod", [&pod.namespace, &pod.name].map(String::as_str).join("/").trim_start_matches('/'));
    }
    fact("bundle", &container.bundle.as_ref().map(|path| path.display().to_string()).unwrap_or_default());
    fact("namespaces", &namespaces(world, row));
    let is_its = |end: &&End| end.place == Some(row.place);
    let ends =
        picture.networks.iter().flat_map(|networks| &networks.bands).flat_map(|band| {
            band.ends.iter().filter(is_its).map(|end| format!("{}, {}", end.lines.join(", "), band.name))
        });
    fact("network", &ends.collect::<Vec<_>>().join("; "));
    out.push_str("</dl>");
}

/// Its namespaces as readlink(1) has them.
fn namespaces(world: &World, row: &Row) -> String {
    let pid = world.inventory.containers[row.place].pid;
    let Some(place) = pid.and_then(|pid| world.snapshot.find_process(pid)) else { return String::new() };
    let process = &world.snapshot.processes[place];
    let all = Kind::ALL.into_iter().filter_map(|kind| process.namespace(kind));
    all.map(|index| world.snapshot.namespaces[index].to_string()).collect::<Vec<_>>().join(" ")
}

fn gaps(out: &mut String, world: &World) {
    let gaps: Vec<String> = world.snapshot.gaps.iter().chain(&world.inventory.gaps).map(ToString::to_string).collect();
    if gaps.is_empty() {
        return;
    }
    out.push_str("<details class=\"part\" id=\"gaps\"><summary>What could not be looked at</summary><ul>\n");
    for gap in gaps {
        let _ = writeln!(out, "<li>{}</li>", escape(&gap));
    }
    out.push_str("</ul></details>\n");
}
