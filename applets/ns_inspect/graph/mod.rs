//! A picture: user namespaces, the containers and processes in them, and what containers share with each other.
//!
//! Ranks go from left (the host) to right. Where many belong to one user namespace, they are drawn side by side in a box
//! of their own, sorted by name, so that a hundred containers can still be read.

mod svg;

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
    Group,
}

impl Shape {
    /// Fill and line, as `RRGGBB`.
    fn colours(self) -> (&'static str, &'static str) {
        match self {
            Shape::User => ("fff2cc", "b58900"),
            Shape::Container => ("dae8fc", "3b6ea5"),
            Shape::Process => ("e6f4e6", "4d8a4d"),
            Shape::Held => ("f5f5f5", "888888"),
            Shape::Group => ("fafafa", "bbbbbb"),
        }
    }
}

struct Node {
    shape: Shape,
    /// What it is one of, in the plural: `docker containers`.
    class: String,
    lines: Vec<String>,
    /// The group that it is drawn in.
    group: Option<usize>,
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
const LONGEST: usize = 40;

impl Picture {
    /// Draws what was found.
    pub(crate) fn of(world: &World) -> Picture {
        let mut picture = Picture { nodes: Vec::new(), arrows: Vec::new() };
        let mut users = vec![None; world.snapshot.namespaces.len()];
        for (index, (user, namespace)) in users.iter_mut().zip(&world.snapshot.namespaces).enumerate() {
            if namespace.kind == Kind::User {
                let line = format!("{namespace}{}", world.host_mark(index));
                let count = match namespace.processes {
                    1 => "1 process".to_owned(),
                    count => format!("{count} processes"),
                };
                *user = Some(picture.add(Shape::User, "user namespaces", vec![line, count]));
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
        picture.add_groups();
        picture
    }

    fn add(&mut self, shape: Shape, class: impl Into<String>, lines: Vec<String>) -> usize {
        // Pictures are UTF-8 in any locale.
        let lines = lines.iter().map(|line| width::fit_before(&width::printable(line), LONGEST, "…")).collect();
        self.nodes.push(Node { shape, class: class.into(), lines, group: None });
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
            let own: Vec<Kind> = kinds(world, |index| !world.is_common(index), place);
            if container.engine == Engine::Systemd && own.is_empty() {
                continue;
            }
            for kind in Kind::ALL {
                if let Some(index) = process.namespace(kind) {
                    drawn[index] = true;
                }
            }
            let host = kinds(world, |index| world.is_host(index), place);
            let is_own = |&kind: &Kind| {
                process.namespace(kind).is_some_and(|index| kind == Kind::User || is_first(world, index, &container.id))
            };
            let own: Vec<Kind> = own.into_iter().filter(is_own).collect();
            let mut lines = vec![container.title(), format!("{} · process {}", container.engine, process.pid)];
            if !own.is_empty() {
                let mark = |kind: &Kind| {
                    let index = process.namespace(*kind);
                    let is_known = index.is_none_or(|index| world.of_host(index).is_some());
                    format!("{}{}", kind.proc_name(), if is_known { "" } else { "?" })
                };
                lines.push(own.iter().map(mark).collect::<Vec<_>>().join(" "));
            }
            let open: Vec<Kind> =
                host.into_iter().filter(|kind| !matches!(kind, Kind::User | Kind::Time | Kind::Cgroup)).collect();
            if !open.is_empty() {
                lines.push(format!("host's {}", names(&open)));
            }
            let class = match container.engine {
                Engine::Systemd => "units of systemd".to_owned(),
                engine => format!("{engine} containers"),
            };
            let node = self.add(Shape::Container, class, lines);
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
            let (shape, class, lines) = match world.snapshot.leader(namespace) {
                Some(process) => {
                    let place = world.snapshot.find_process(process.pid).unwrap_or_default();
                    let own = kinds(world, |index| !world.is_host(index) && !drawn[index], place);
                    for kind in &own {
                        if let Some(index) = process.namespace(*kind) {
                            drawn[index] = true;
                        }
                    }
                    let command = facts::command(process.pid);
                    (
                        Shape::Process,
                        "processes of no container",
                        vec![command, format!("process {}", process.pid), names(&own)],
                    )
                }
                None => {
                    let by = keepers(world, index).first().cloned().unwrap_or_else(|| "nothing that is seen".into());
                    (Shape::Held, "namespaces without a process", vec![namespace.to_string(), format!("kept by {by}")])
                }
            };
            others += 1;
            if others > OTHERS {
                continue;
            }
            let node = self.add(shape, class, lines);
            if let Some(owner) = owner {
                self.arrows.push((owner, node, String::new()));
            }
        }
        if others > OTHERS {
            self.add(Shape::Held, "", vec![format!("and {} others", others - OTHERS)]);
        }
    }

    /// Draws what belongs to a user namespace in groups, a class each, where it is much: side by side, sorted by name, with
    /// one arrow to all. What they share is then written into the boxes, instead of arrows from one to another.
    fn add_groups(&mut self) {
        for user in 0..self.nodes.len() {
            if self.nodes[user].shape != Shape::User {
                continue;
            }
            let mut members: Vec<usize> = self.led_to(user);
            let mut at = 0;
            while let Some(&member) = members.get(at) {
                let further: Vec<usize> =
                    self.led_to(member).into_iter().filter(|node| !members.contains(node)).collect();
                members.extend(further);
                at += 1;
            }
            if members.len() <= FAN {
                continue;
            }
            members.sort_by_cached_key(|&node| {
                let node = &self.nodes[node];
                (node.shape as u8, node.class.clone(), node.lines[0].clone(), node.lines.get(1).cloned())
            });
            self.write_sharing(&members);
            self.arrows.retain(|(_, to, _)| !members.contains(to));
            let class = |node: &usize| self.nodes[*node].class.clone();
            let groups: Vec<Vec<usize>> =
                members.chunk_by(|a, b| class(a) == class(b)).map(<[usize]>::to_vec).collect();
            for group in groups {
                if let [only] = group.as_slice() {
                    self.arrows.push((user, *only, String::new()));
                    continue;
                }
                let title = format!("{} {}", group.len(), self.nodes[group[0]].class);
                let node = self.add(Shape::Group, "", vec![title]);
                for member in group {
                    self.nodes[member].group = Some(node);
                }
                self.arrows.push((user, node, String::new()));
            }
        }
    }

    /// The boxes, but for user namespaces, that arrows lead to from this one.
    fn led_to(&self, node: usize) -> Vec<usize> {
        let arrows = self.arrows.iter().filter(|(from, to, _)| *from == node && self.nodes[*to].shape != Shape::User);
        arrows.map(|(_, to, _)| *to).collect()
    }

    /// Writes arrows between the members into the boxes that they lead to.
    fn write_sharing(&mut self, members: &[usize]) {
        for (from, to, label) in &self.arrows {
            if members.contains(from) && members.contains(to) {
                let line = format!("{label} of {}", self.nodes[*from].lines[0]);
                let line = width::fit_before(&line, LONGEST, "…");
                self.nodes[*to].lines.push(line);
            }
        }
    }

    /// What is drawn in a group, in order.
    fn members(&self, group: usize) -> Vec<usize> {
        let mut members: Vec<usize> =
            (0..self.nodes.len()).filter(|&node| self.nodes[node].group == Some(group)).collect();
        members.sort_by_cached_key(|&node| (self.nodes[node].lines[0].clone(), self.nodes[node].lines.get(1).cloned()));
        members
    }

    /// Graphviz's language.
    pub(crate) fn dot(&self) -> String {
        let mut out = String::from(
            "digraph namespaces {\n  rankdir=LR;\n  compound=true;\n  node [shape=box, style=\"filled,rounded\", \
             fontname=\"sans-serif\"];\n",
        );
        let escape = |line: &String| line.replace('\\', "\\\\").replace('"', "\\\"");
        for (number, node) in self.nodes.iter().enumerate() {
            let (fill, line) = node.shape.colours();
            let label = node.lines.iter().map(escape).collect::<Vec<_>>().join("\\n");
            if node.shape != Shape::Group {
                out.push_str(&format!("  n{number} [label=\"{label}\", fillcolor=\"#{fill}\", color=\"#{line}\"];\n"));
                continue;
            }
            let members: String = self.members(number).iter().map(|member| format!(" n{member};")).collect();
            out.push_str(&format!(
                "  subgraph cluster_{number} {{ label=\"{label}\"; style=\"filled,rounded\"; fillcolor=\"#{fill}\"; \
                 color=\"#{line}\";{members} }}\n"
            ));
        }
        for (from, to, label) in &self.arrows {
            // An arrow to a cluster is one to a box in it that ends at its edge.
            let (to, head) = match self.members(*to).first() {
                Some(&member) => (member, format!(", lhead=cluster_{to}")),
                None => (*to, String::new()),
            };
            out.push_str(&format!("  n{from} -> n{to} [label=\"{label}\"{head}];\n"));
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
        let one = |number: usize| {
            let label: Vec<String> = self.nodes[number].lines.iter().map(|line| escape(line)).collect();
            format!("n{number}[\"{}\"]\n", label.join("<br/>"))
        };
        for (number, node) in self.nodes.iter().enumerate() {
            if node.shape == Shape::Group {
                out.push_str(&format!("  subgraph {}", one(number)));
                self.members(number).into_iter().for_each(|member| out.push_str(&format!("    {}", one(member))));
                out.push_str("  end\n");
            } else if node.group.is_none() {
                out.push_str(&format!("  {}", one(number)));
            }
        }
        for (number, node) in self.nodes.iter().enumerate() {
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
        let host = picture.add(Shape::User, "", vec!["user:[1] host".into()]);
        let web = picture.add(Shape::Container, "", vec!["web \"1\" <b>".into(), "docker".into()]);
        picture.arrows.push((host, web, "net".into()));
        picture
    }

    #[test]
    fn labels_are_escaped_in_every_language() {
        let picture = picture();
        assert!(picture.dot().contains("web \\\"1\\\" <b>\\ndocker"));
        assert!(picture.mermaid().contains("web #34;1#34; #60;b#62;<br/>docker"));
        let svg = picture.svg();
        assert!(svg.contains("&lt;b&gt;") && svg.ends_with("</svg>\n"));
    }

    /// A number behind `name="` of the first element that begins so.
    fn attribute(svg: &str, element: &str, name: &str) -> f64 {
        let element = &svg[svg.find(element).unwrap()..];
        let value = element.split_once(&format!(" {name}=\"")).unwrap().1;
        value.split('"').next().unwrap().parse().unwrap()
    }

    #[test]
    fn a_hundred_containers_are_side_by_side_in_the_order_of_their_names() {
        let mut picture = Picture { nodes: Vec::new(), arrows: Vec::new() };
        let host = picture.add(Shape::User, "", vec!["user:[1] host".into()]);
        for number in (0..100).rev() {
            let name = format!("web-{number:03}");
            let node = picture.add(Shape::Container, "docker containers", vec![name, "docker".into()]);
            picture.arrows.push((host, node, String::new()));
        }
        let shared = picture.add(Shape::Container, "docker containers", vec!["side".into(), "docker".into()]);
        picture.arrows.push((1, shared, "net".into()));
        picture.add_groups();
        assert_eq!(picture.nodes.last().unwrap().lines, ["101 docker containers"]);
        assert_eq!(picture.arrows.len(), 1);
        let svg = picture.svg();
        let (width, height) = (attribute(&svg, "<svg", "width"), attribute(&svg, "<svg", "height"));
        assert!(width < 3.0 * height && height < 2.0 * width, "{width}x{height}");
        let places: Vec<usize> =
            (0..100).map(|number| svg.find(&format!(">web-{number:03}<")).expect("the name")).collect();
        assert!(places.is_sorted());
        assert!(svg.contains(">net of web-099<"));
        assert!(picture.dot().contains("lhead=cluster_") && picture.mermaid().contains("subgraph n"));
    }

    #[test]
    fn nothing_is_drawn_outside_of_a_picture_that_is_no_larger_than_what_is_drawn() {
        let svg = picture().svg();
        let (width, height) = (attribute(&svg, "<svg", "width"), attribute(&svg, "<svg", "height"));
        let boxes: Vec<[f64; 4]> = svg
            .match_indices("<rect x=")
            .map(|(at, _)| ["x", "y", "width", "height"].map(|name| attribute(&svg[at..], "<rect", name)))
            .collect();
        assert_eq!(boxes.len(), 2);
        let most = |corner: &dyn Fn(&[f64; 4]) -> f64| boxes.iter().map(corner).fold(0.0, f64::max);
        let (right, bottom) = (most(&|b| b[0] + b[2]), most(&|b| b[1] + b[3]));
        assert!(right < width && width - right < 40.0, "{svg}");
        assert!(bottom < height && height - bottom < 40.0, "{svg}");
        assert!(svg.contains("fill=\"white\""));
    }

    #[test]
    fn long_lines_end_in_an_ellipsis() {
        let mut picture = picture();
        let node = picture.add(Shape::Process, "", vec!["x".repeat(100)]);
        assert_eq!(picture.nodes[node].lines[0], "x".repeat(LONGEST - 1) + "…");
    }
}
