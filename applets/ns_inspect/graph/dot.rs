//! The picture in Graphviz's language: pods and engines as clusters, bridges with wires to what is behind them.

use std::fmt::Write as _;

use super::super::width;
use super::{Band, Card, Group, LONGEST, Mark, Picture};

/// From so many on, wires to the containers of one cluster are one wire to the cluster.
const FAN: usize = 12;

impl Picture {
    /// Graphviz's language.
    pub(crate) fn dot(&self) -> String {
        let mut out = String::from(
            "digraph namespaces {\n  rankdir=LR; ranksep=0.35; nodesep=0.15; compound=true; newrank=true; labelloc=t; labeljust=l;\n  \
             node [shape=box, style=\"filled,rounded\", fontname=\"sans-serif\", fontsize=10, margin=\"0.12,0.06\"];\n  \
             edge [color=\"#8c959f\", fontname=\"sans-serif\", fontsize=9]; fontname=\"sans-serif\";\n",
        );
        let _ = writeln!(out, "  label={};", quoted(&[self.title(), self.subtitle(), legend()]));
        for (number, section) in self.sections.iter().enumerate() {
            let _ = writeln!(
                out,
                "  subgraph cluster_s{number} {{ label={}; color=\"#d0d7de\";",
                quoted(&[&section.title])
            );
            for (place, group) in section.groups.iter().enumerate() {
                dot_group(&mut out, group, &format!("s{number}g{place}"));
            }
            out.push_str("  }\n");
        }
        if let Some(line) = self.undrawn_line() {
            let _ = writeln!(out, "  undrawn [label={}, fillcolor=\"#ffffff\"];", quoted(&[line]));
        }
        self.dot_networks(&mut out);
        self.dot_maps(&mut out);
        let strays: Vec<String> = self.stray_lines().collect();
        if !strays.is_empty() {
            let label = left(&strays);
            let _ = writeln!(out, "  strays [label={label}, fillcolor=\"#f6f8fa\", color=\"#d0d7de\"];");
        }
        out + "}\n"
    }

    fn dot_networks(&self, out: &mut String) {
        let Some(networks) = &self.networks else { return };
        let lines: Vec<&String> = networks.host.iter().chain(&networks.published).collect();
        let label = left(&[&["host".to_owned()][..], &lines.into_iter().cloned().collect::<Vec<_>>()].concat());
        let _ = writeln!(out, "  host [label={label}, fillcolor=\"#eaeef2\", color=\"#8c959f\"];");
        for (number, band) in networks.bands.iter().enumerate() {
            let label = left(&[&[band.name.clone()][..], &band.lines].concat());
            let _ = writeln!(out, "  b{number} [label={label}, fillcolor=\"#fff8e5\", color=\"#d4a72c\"];");
            let _ = writeln!(out, "  host -> b{number} [arrowhead=none];");
            self.dot_ends(out, band, number);
        }
        if !networks.alone.is_empty() {
            let text = format!("no link leads out of {}", networks.alone.len());
            let names = width::fit_middle_before(&networks.alone.join(", "), LONGEST, "…");
            let _ =
                writeln!(out, "  alone [label={}, fillcolor=\"#ffffff\", color=\"#d0d7de\"];", quoted(&[text, names]));
        }
    }

    fn dot_ends(&self, out: &mut String, band: &Band, number: usize) {
        let is_drawn = |place: usize| self.cards().any(|card| card.place == place);
        let many = band.ends.len() > FAN;
        for (at, end) in band.ends.iter().enumerate() {
            match end.place.filter(|&place| is_drawn(place)) {
                Some(place) if !many => {
                    let label = quoted(&end.lines.iter().take(2).collect::<Vec<_>>());
                    let _ = writeln!(out, "  b{number} -> c{place} [label={label}, arrowhead=none];");
                }
                Some(_) => {}
                None => {
                    let label = left(&[&[end.title.clone()][..], &end.lines].concat());
                    let _ =
                        writeln!(out, "  b{number}e{at} [label={label}, fillcolor=\"#f6f8fa\", color=\"#d0d7de\"];");
                    let _ = writeln!(out, "  b{number} -> b{number}e{at} [arrowhead=none];");
                }
            }
        }
        let first = band.ends.iter().find_map(|end| end.place.filter(|&place| is_drawn(place)));
        if let Some(first) = first.filter(|_| many) {
            let _ =
                writeln!(out, "  b{number} -> c{first} [label=\"{} containers\", arrowhead=none];", band.ends.len());
        }
    }

    fn dot_maps(&self, out: &mut String) {
        let Some(maps) = self.maps.as_ref().filter(|maps| !maps.rows.is_empty()) else { return };
        let label = left(&[&["id maps".to_owned()][..], &self.map_lines().collect::<Vec<_>>()].concat());
        let is_shared = maps.rows.iter().any(|row| !row.overlaps.is_empty());
        let line = if is_shared { "#cf222e" } else { "#54aeff" };
        let _ = writeln!(out, "  maps [label={label}, fillcolor=\"#ffffff\", color=\"{line}\"];");
    }

    /// A line for each group of namespaces of no container.
    pub(super) fn stray_lines(&self) -> impl Iterator<Item = String> {
        let head = (!self.strays.is_empty()).then(|| "namespaces of no container".to_owned());
        let line = |stray: &super::Stray| {
            let name = width::fit_middle_before(&width::safe(&stray.name), LONGEST, "…");
            format!("{}: {name}; {}", stray.kinds(), stray.processes_line())
        };
        head.into_iter().chain(self.strays.iter().map(line)).chain(self.more_strays_line())
    }

    /// A line for each id map.
    pub(super) fn map_lines(&self) -> impl Iterator<Item = String> {
        let rows = self.maps.iter().flat_map(|maps| &maps.rows);
        rows.map(|row| {
            let range = |range: &super::Range| match range.count {
                1 => format!("{}", range.outer),
                _ => format!("{}-{}", range.outer, range.end() - 1),
            };
            let ranges: Vec<String> = row.ranges.iter().map(range).collect();
            let name = width::fit_middle_before(&width::safe(&row.title), LONGEST, "…");
            let overlap = match row.overlaps.is_empty() {
                true => String::new(),
                false => format!(" (overlaps with {})", row.overlaps.join(", ")),
            };
            let overlap = width::fit_middle_before(&width::safe(&overlap), LONGEST, "…");
            format!("{name}: {} {}{overlap}", row.ids, ranges.join(" "))
        })
    }
}

fn dot_group(out: &mut String, group: &Group, name: &str) {
    if !group.name.is_empty() {
        let label = quoted(&[&group.name, &group.shared]);
        let _ = writeln!(
            out,
            "    subgraph cluster_{name} {{ label={label}; style=\"filled,rounded\"; fillcolor=\"#eef6ff\"; color=\"#54aeff\";"
        );
    }
    for card in &group.cards {
        let is_exposed = !card.warning.is_empty();
        let line = if is_exposed { "#bf8700" } else { "#afb8c1" };
        let label = left(&card_lines(card));
        let _ = writeln!(out, "      c{} [label={label}, fillcolor=\"#f6f8fa\", color=\"{line}\"];", card.place);
    }
    // Without wires between them all would be in one column.
    let abreast = (group.cards.len() as f64).sqrt().ceil() as usize;
    for row in group.cards.chunks(abreast.max(1)).filter(|row| row.len() > 1) {
        let names: Vec<String> = row.iter().map(|card| format!("c{}", card.place)).collect();
        let _ = writeln!(out, "      {} [style=invis];", names.join(" -> "));
    }
    if !group.name.is_empty() {
        out.push_str("    }\n");
    }
}

/// What is written in a container's box.
pub(super) fn card_lines(card: &Card) -> Vec<String> {
    let with = |wanted: Mark| {
        let kinds = card.marks.iter().filter(|(_, mark)| *mark == wanted).map(|(kind, _)| kind.proc_name());
        kinds.collect::<Vec<_>>().join(" ")
    };
    let mut lines = vec![card.title.clone(), card.about.clone()];
    for (mark, word) in [(Mark::Own, "own"), (Mark::Shared, "shared"), (Mark::Exposed, "host's"), (Mark::Unknown, "?")]
    {
        let kinds = with(mark);
        if !kinds.is_empty() {
            lines.push(format!("{word}: {kinds}"));
        }
    }
    lines.push(card.warning.clone());
    lines.retain(|line| !line.is_empty());
    lines.iter().map(|line| width::fit_middle_before(&width::safe(line), LONGEST, "…")).collect()
}

/// What the words in boxes mean.
pub(super) fn legend() -> String {
    "own: the container's; shared: another container's too; host's: less isolated than usual".to_owned()
}

fn escape(line: &str) -> String {
    width::safe(line).replace('\\', "\\\\").replace('"', "\\\"")
}

/// A string of centred lines.
fn quoted<S: AsRef<str>>(lines: &[S]) -> String {
    let lines = lines.iter().map(AsRef::as_ref).filter(|line| !line.is_empty());
    format!("\"{}\"", lines.map(escape).collect::<Vec<_>>().join("\\n"))
}

/// A string of lines that begin on the left.
fn left(lines: &[String]) -> String {
    format!("\"{}\"", lines.iter().map(|line| escape(line) + "\\l").collect::<String>())
}
