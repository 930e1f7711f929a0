//! The picture in Mermaid's language, which code forges draw.

use std::fmt::Write as _;

use super::super::width;
use super::dot::{card_lines, legend};
use super::{Group, LONGEST, Picture};

/// From so many on, wires to the containers of one bridge are one wire to its list.
const FAN: usize = 12;

impl Picture {
    /// Mermaid's language.
    pub(crate) fn mermaid(&self) -> String {
        let mut out = format!("---\ntitle: \"{}\"\n---\nflowchart LR\n", escape(&self.title()));
        let mut classes = Classes::default();
        let about = [self.subtitle(), legend()];
        let _ = writeln!(out, "  about[{}]", label(&about));
        classes.quiet.push("about".into());
        for (number, section) in self.sections.iter().enumerate() {
            let _ = writeln!(out, "  subgraph s{number}[{}]\n    direction TB", label(&[&section.title]));
            for (place, group) in section.groups.iter().enumerate() {
                self.mermaid_group(&mut out, group, &format!("s{number}g{place}"), &mut classes);
            }
            out.push_str("  end\n");
        }
        if let Some(line) = self.undrawn_line() {
            let _ = writeln!(out, "  undrawn[{}]", label(&[line]));
        }
        self.mermaid_networks(&mut out, &mut classes);
        for (name, lines) in [("maps", self.map_lines().collect::<Vec<_>>()), ("strays", self.stray_lines().collect())]
        {
            if !lines.is_empty() {
                let _ = writeln!(out, "  {name}[{}]", label(&lines));
                classes.quiet.push(name.into());
            }
        }
        classes.write(&mut out);
        out
    }

    fn mermaid_group(&self, out: &mut String, group: &Group, name: &str, classes: &mut Classes) {
        if !group.name.is_empty() {
            let _ = writeln!(out, "    subgraph {name}[{}]\n      direction LR", label(&[&group.name, &group.shared]));
            classes.pods.push(name.to_owned());
        }
        for card in &group.cards {
            let _ = writeln!(out, "      c{}[{}]", card.place, label(&card_lines(card)));
            let list = if card.warning.is_empty() { &mut classes.cards } else { &mut classes.exposed };
            list.push(format!("c{}", card.place));
        }
        // Without wires between them all would be in one row.
        let abreast = (group.cards.len() as f64).sqrt().ceil() as usize;
        for row in group.cards.chunks(abreast.max(1)).filter(|row| row.len() > 1) {
            let names: Vec<String> = row.iter().map(|card| format!("c{}", card.place)).collect();
            let _ = writeln!(out, "      {}", names.join(" ~~~ "));
        }
        if !group.name.is_empty() {
            out.push_str("    end\n");
        }
    }

    fn mermaid_networks(&self, out: &mut String, classes: &mut Classes) {
        let Some(networks) = &self.networks else { return };
        let lines: Vec<&str> = std::iter::once("host")
            .chain(networks.host.iter().map(String::as_str))
            .chain(networks.published.iter().map(String::as_str))
            .collect();
        let _ = writeln!(out, "  host[{}]", label(&lines));
        classes.bridges.push("host".into());
        for (number, band) in networks.bands.iter().enumerate() {
            let lines: Vec<&str> = std::iter::once(&band.name).chain(&band.lines).map(String::as_str).collect();
            let _ = writeln!(out, "  b{number}[{}]\n  host --- b{number}", label(&lines));
            classes.bridges.push(format!("b{number}"));
            let is_drawn = |place: usize| self.cards().any(|card| card.place == place);
            if band.ends.len() > FAN {
                let names: Vec<&str> = band.ends.iter().map(|end| end.title.as_str()).collect();
                let names = width::fit_middle_before(&width::safe(&names.join(", ")), 4 * LONGEST, "…");
                let lines = [format!("{} network namespaces", band.ends.len()), names];
                let _ = writeln!(out, "  b{number}e[{}]\n  b{number} --- b{number}e", label(&lines));
                continue;
            }
            for (at, end) in band.ends.iter().enumerate() {
                let wire = label(&end.lines.iter().take(2).collect::<Vec<_>>());
                match end.place.filter(|&place| is_drawn(place)) {
                    Some(place) => drop(writeln!(out, "  b{number} -- {wire} --- c{place}")),
                    None => {
                        let name = label(&[&end.title]);
                        let _ = writeln!(out, "  b{number}e{at}[{name}]\n  b{number} -- {wire} --- b{number}e{at}");
                    }
                }
            }
        }
        if !networks.alone.is_empty() {
            let names = width::fit_middle_before(&width::safe(&networks.alone.join(", ")), 4 * LONGEST, "…");
            let lines = [format!("no link leads out of {}", networks.alone.len()), names];
            let _ = writeln!(out, "  alone[{}]", label(&lines));
            classes.quiet.push("alone".into());
        }
    }
}

/// Which boxes look alike.
#[derive(Default)]
struct Classes {
    cards: Vec<String>,
    exposed: Vec<String>,
    pods: Vec<String>,
    bridges: Vec<String>,
    quiet: Vec<String>,
}

impl Classes {
    fn write(&self, out: &mut String) {
        let looks = [
            ("card", &self.cards, "fill:#f6f8fa,stroke:#afb8c1,color:#1f2328"),
            ("exposed", &self.exposed, "fill:#fff8e5,stroke:#bf8700,color:#1f2328"),
            ("pod", &self.pods, "fill:#eef6ff,stroke:#54aeff,color:#1f2328"),
            ("bridge", &self.bridges, "fill:#fff8e5,stroke:#d4a72c,color:#1f2328"),
            ("quiet", &self.quiet, "fill:#ffffff,stroke:#d0d7de,color:#656d76"),
        ];
        for (name, list, look) in looks.into_iter().filter(|(_, list, _)| !list.is_empty()) {
            let _ = writeln!(out, "  classDef {name} {look}\n  class {} {name}", list.join(","));
        }
    }
}

/// A text in quotes, which may have any character.
fn label<S: AsRef<str>>(lines: &[S]) -> String {
    let lines = lines.iter().map(|line| escape(line.as_ref())).filter(|line| !line.is_empty());
    format!("\"{}\"", lines.collect::<Vec<_>>().join("<br/>"))
}

fn escape(text: &str) -> String {
    let entity = |c: char| if "\"<>&#[]{}()|`;\\".contains(c) { format!("#{};", u32::from(c)) } else { c.to_string() };
    width::safe(text).chars().map(entity).collect()
}
