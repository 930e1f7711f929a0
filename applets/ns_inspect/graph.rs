//! A picture: user namespaces, the containers and processes in them, and what containers share with each other.
//!
//! It grows downwards, one box below the other, so that a hundred containers can still be read: ranks go from left (the
//! host) to right.

use layout::backends::svg::SVGWriter;
use layout::core::base::Orientation;
use layout::core::color::Color;
use layout::core::geometry::Point;
use layout::core::style::{LineStyleKind, StyleAttr};
use layout::std_shapes::shapes::{Arrow, Element, LineEndKind, ShapeKind};
use layout::topo::layout::VisualGraph;
use nskit::inspect::containers::{Container, Engine};
use nskit::namespace::Kind;

use super::facts;
use super::overview::keepers;
use super::width;
use super::world::World;

/// What a box stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    User,
    Container,
    Process,
    Held,
    Hub,
}

impl Shape {
    /// Fill and line, as `RRGGBB`.
    fn colours(self) -> (&'static str, &'static str) {
        match self {
            Shape::User => ("fff2cc", "b58900"),
            Shape::Container => ("dae8fc", "3b6ea5"),
            Shape::Process => ("e6f4e6", "4d8a4d"),
            Shape::Held => ("f5f5f5", "888888"),
            Shape::Hub => ("ffffff", "bbbbbb"),
        }
    }
}

struct Node {
    shape: Shape,
    lines: Vec<String>,
}

/// Boxes, and arrows between them.
pub(crate) struct Picture {
    nodes: Vec<Node>,
    arrows: Vec<(usize, usize, String)>,
}

/// How many arrows may leave one box, and how many boxes that are no containers are drawn.
const FAN: usize = 12;
const OTHERS: usize = 36;

/// Longest line in a box, characters.
const LONGEST: usize = 48;

impl Picture {
    /// Draws what was found.
    pub(crate) fn of(world: &World) -> Picture {
        let mut picture = Picture { nodes: Vec::new(), arrows: Vec::new() };
        let mut users = vec![None; world.snapshot.namespaces.len()];
        for (index, (user, namespace)) in users.iter_mut().zip(&world.snapshot.namespaces).enumerate() {
            if namespace.kind == Kind::User {
                let mut line = namespace.to_string();
                if world.is_host(index) {
                    line.push_str(" host");
                }
                let count = namespace.processes;
                *user = Some(picture.add(Shape::User, vec![line, format!("{count} processes")]));
            }
        }
        for (index, node) in users.iter().enumerate() {
            let parent = world.snapshot.find(world.snapshot.namespaces[index].parent).and_then(|parent| users[parent]);
            if let (Some(node), Some(parent)) = (node, parent) {
                picture.arrows.push((parent, *node, String::new()));
            }
        }
        let drawn = picture.add_containers(world, &users);
        picture.add_others(world, &users, drawn);
        picture.add_hubs();
        picture
    }

    fn add(&mut self, shape: Shape, lines: Vec<String>) -> usize {
        let lines = lines.iter().map(|line| width::cut(&width::printable(line), LONGEST).to_owned()).collect();
        self.nodes.push(Node { shape, lines });
        self.nodes.len() - 1
    }

    /// Adds a box for each container; returns which namespaces that covers.
    fn add_containers(&mut self, world: &World, users: &[Option<usize>]) -> Vec<bool> {
        let mut drawn = vec![false; world.snapshot.namespaces.len()];
        let mut boxes = Vec::new();
        let mut containers: Vec<&Container> = world.inventory.containers.iter().collect();
        containers.sort_by_cached_key(|container| (container.engine, container.title()));
        for container in containers {
            let Some(place) = container.pid.and_then(|pid| world.snapshot.find_process(pid)) else { continue };
            let process = world.snapshot.processes[place];
            let own: Vec<Kind> = kinds(world, |index| !world.is_host(index), place);
            if container.engine == Engine::Systemd && own.is_empty() {
                continue;
            }
            for kind in Kind::ALL {
                if let Some(index) = process.namespace(kind) {
                    drawn[index] = true;
                }
            }
            let host = kinds(world, |index| world.is_host(index), place);
            let mut lines = vec![container.title(), format!("{} · process {}", container.engine, process.pid)];
            if !own.is_empty() {
                lines.push(names(&own));
            }
            let open: Vec<Kind> =
                host.into_iter().filter(|kind| !matches!(kind, Kind::User | Kind::Time | Kind::Cgroup)).collect();
            if !open.is_empty() {
                lines.push(format!("host's {}", names(&open)));
            }
            let node = self.add(Shape::Container, lines);
            boxes.push((node, container, process));
        }
        for (node, container, process) in &boxes {
            // Whose namespaces it shares: the sandbox's, or of the one that has had them longest.
            let shared: Vec<Kind> = Kind::ALL
                .into_iter()
                .filter(|&kind| {
                    let index = process.namespace(kind);
                    index.is_some_and(|index| {
                        !world.is_host(index) && kind != Kind::User && !is_first(world, index, &container.id)
                    })
                })
                .collect();
            let first =
                shared.first().and_then(|&kind| process.namespace(kind)).and_then(|index| first_in(world, index));
            let from =
                first.and_then(|first| boxes.iter().find(|(_, other, _)| other.id == first)).map(|(node, ..)| *node);
            match from {
                Some(from) => self.arrows.push((from, *node, names(&shared))),
                None => {
                    if let Some(user) = process.namespace(Kind::User).and_then(|index| users[index]) {
                        self.arrows.push((user, *node, String::new()));
                    }
                }
            }
        }
        drawn
    }

    /// Namespaces of no container: by the process that is in them, or each by itself with what keeps it.
    fn add_others(&mut self, world: &World, users: &[Option<usize>], mut drawn: Vec<bool>) {
        let mut others = 0;
        for index in 0..world.snapshot.namespaces.len() {
            let namespace = &world.snapshot.namespaces[index];
            if drawn[index] || world.is_host(index) || namespace.kind == Kind::User {
                continue;
            }
            let owner = world.snapshot.find(namespace.owner).and_then(|owner| users[owner]);
            let (shape, lines) = match world.snapshot.leader(namespace) {
                Some(process) => {
                    let place = world.snapshot.find_process(process.pid).unwrap_or_default();
                    let own = kinds(world, |index| !world.is_host(index) && !drawn[index], place);
                    for kind in &own {
                        if let Some(index) = process.namespace(*kind) {
                            drawn[index] = true;
                        }
                    }
                    let command = facts::command(process.pid);
                    (Shape::Process, vec![command, format!("process {}", process.pid), names(&own)])
                }
                None => {
                    let by = keepers(world, index).first().cloned().unwrap_or_else(|| "nothing that is seen".into());
                    (Shape::Held, vec![namespace.to_string(), format!("kept by {by}")])
                }
            };
            others += 1;
            if others > OTHERS {
                continue;
            }
            let node = self.add(shape, lines);
            if let Some(owner) = owner {
                self.arrows.push((owner, node, String::new()));
            }
        }
        if others > OTHERS {
            self.add(Shape::Held, vec![format!("and {} others", others - OTHERS)]);
        }
    }

    /// Puts hubs between a user namespace and its many boxes: lines then fan out over a few rows, not over all.
    fn add_hubs(&mut self) {
        for user in 0..self.nodes.len() {
            let leads: Vec<usize> = (0..self.arrows.len())
                .filter(|&arrow| self.arrows[arrow].0 == user && self.nodes[self.arrows[arrow].1].shape != Shape::User)
                .collect();
            if self.nodes[user].shape != Shape::User || leads.len() <= FAN {
                continue;
            }
            let shape = |arrow: &usize| self.nodes[self.arrows[*arrow].1].shape;
            let by_shape: Vec<Vec<usize>> =
                leads.chunk_by(|a, b| shape(a) == shape(b)).map(<[usize]>::to_vec).collect();
            for chunk in by_shape.iter().flat_map(|leads| leads.chunks(FAN)) {
                let name = |arrow: &usize| self.nodes[self.arrows[*arrow].1].lines[0].clone();
                let first = width::cut(&name(&chunk[0]), 24).to_owned();
                let last = name(&chunk[chunk.len() - 1]);
                let lines = vec![first, format!("to {}", width::cut(&last, 24))];
                let hub = self.add(Shape::Hub, lines);
                for &arrow in chunk {
                    self.arrows[arrow].0 = hub;
                }
                self.arrows.push((user, hub, String::new()));
            }
        }
    }

    /// Graphviz's language.
    pub(crate) fn dot(&self) -> String {
        let mut out = String::from(
            "digraph namespaces {\n  rankdir=LR;\n  node [shape=box, style=\"filled,rounded\", fontname=\"sans-serif\"];\n",
        );
        for (number, node) in self.nodes.iter().enumerate() {
            let (fill, line) = node.shape.colours();
            let label: Vec<String> =
                node.lines.iter().map(|line| line.replace('\\', "\\\\").replace('"', "\\\"")).collect();
            let label = label.join("\\n");
            out.push_str(&format!("  n{number} [label=\"{label}\", fillcolor=\"#{fill}\", color=\"#{line}\"];\n"));
        }
        for (from, to, label) in &self.arrows {
            out.push_str(&format!("  n{from} -> n{to} [label=\"{label}\"];\n"));
        }
        out + "}\n"
    }

    /// Mermaid's language, which code forges draw.
    pub(crate) fn mermaid(&self) -> String {
        let mut out = String::from("flowchart LR\n");
        let escape = |text: &str| {
            let entity =
                |c: char| if "\"<>&#[]{}()|`".contains(c) { format!("#{};", u32::from(c)) } else { c.to_string() };
            text.chars().map(entity).collect::<String>()
        };
        for (number, node) in self.nodes.iter().enumerate() {
            let label: Vec<String> = node.lines.iter().map(|line| escape(line)).collect();
            out.push_str(&format!("  n{number}[\"{}\"]\n", label.join("<br/>")));
            let (fill, line) = node.shape.colours();
            out.push_str(&format!("  style n{number} fill:#{fill},stroke:#{line}\n"));
        }
        for (from, to, label) in &self.arrows {
            match label.as_str() {
                "" => out.push_str(&format!("  n{from} --> n{to}\n")),
                label => out.push_str(&format!("  n{from} -- \"{}\" --> n{to}\n", escape(label))),
            }
        }
        out
    }

    /// A picture, laid out here.
    pub(crate) fn svg(&self) -> String {
        let mut graph = VisualGraph::new(Orientation::LeftToRight);
        let mut handles = Vec::new();
        for node in &self.nodes {
            let (fill, line) = node.shape.colours();
            let colour = |hex: &str| Color::new(u32::from_str_radix(hex, 16).unwrap_or(0) << 8 | 0xff);
            let look = StyleAttr::new(colour(line), 1, Some(colour(fill)), 6, 14);
            let longest = node.lines.iter().map(|line| width::of(line)).max().unwrap_or(1);
            // Letters of a sans-serif font are about half as wide as high.
            let size = Point::new(longest as f64 * 8.0 + 24.0, node.lines.len() as f64 * 17.0 + 10.0);
            let shape = ShapeKind::new_box(&node.lines.join("\n"));
            handles.push(graph.add_node(Element::create(shape, look, Orientation::LeftToRight, size)));
        }
        for (from, to, label) in &self.arrows {
            // An arrow with a label, even an empty one, gets a bend in front of its end, and so passes no other box.
            let label = if label.is_empty() { " " } else { label };
            let look = StyleAttr::new(Color::new(0x8888_88ff), 1, None, 0, 12);
            let (none, arrow, line) = (LineEndKind::None, LineEndKind::Arrow, LineStyleKind::Normal);
            graph.add_edge(Arrow::new(none, arrow, line, label, &look, &None, &None), handles[*from], handles[*to]);
        }
        let mut writer = SVGWriter::new();
        graph.do_it(false, false, false, &mut writer);
        writer.finalize().replace("font-family: Times, serif", "font-family: Helvetica, Arial, sans-serif")
    }
}

/// The kinds of the process's namespaces for which `wanted` holds.
fn kinds(world: &World, wanted: impl Fn(usize) -> bool, place: usize) -> Vec<Kind> {
    let process = &world.snapshot.processes[place];
    Kind::ALL.into_iter().filter(|&kind| process.namespace(kind).is_some_and(&wanted)).collect()
}

fn names(kinds: &[Kind]) -> String {
    kinds.iter().map(|kind| kind.proc_name()).collect::<Vec<_>>().join(" ")
}

/// The id of the container whose namespace it is, of those that are in it.
fn first_in(world: &World, index: usize) -> Option<String> {
    let containers = world.containers_in(index);
    containers
        .iter()
        .min_by_key(|container| (!container.is_sandbox, container.pid))
        .map(|container| container.id.clone())
}

fn is_first(world: &World, index: usize, id: &str) -> bool {
    first_in(world, index).as_deref() == Some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture() -> Picture {
        let mut picture = Picture { nodes: Vec::new(), arrows: Vec::new() };
        let host = picture.add(Shape::User, vec!["user:[1] host".into()]);
        let web = picture.add(Shape::Container, vec!["web \"1\" <b>".into(), "docker".into()]);
        picture.arrows.push((host, web, "net".into()));
        picture
    }

    #[test]
    fn labels_are_escaped_in_every_language() {
        let picture = picture();
        assert!(picture.dot().contains("web \\\"1\\\" <b>\\ndocker"));
        assert!(picture.mermaid().contains("web #34;1#34; #60;b#62;<br/>docker"));
        let svg = picture.svg();
        assert!(svg.contains("&lt;b&gt;") && svg.ends_with("</svg>"));
    }
}
