//! Pictures: containers in boxes with what each kind of namespace is to them, pods around what shares theirs; networks from
//! the host's interfaces through bridges to containers; id maps as ranges; and everything else folded.
//!
//! What is drawn is gathered once (`gather`, `networks`, `maps`), and written in a language: [`svg`], [`dot`], [`mermaid`].

mod dot;
mod gather;
mod maps;
mod mermaid;
mod networks;
mod svg;

use nskit::namespace::Kind;

pub(crate) use self::gather::{Wish, chosen};
pub(crate) use self::svg::{Dress, escape};

/// Longest text in a box, characters.
const LONGEST: usize = 64;

/// What is drawn.
pub(crate) struct Picture {
    /// The machine, and when it was looked at.
    pub(crate) host: String,
    pub(crate) date: String,
    /// What the picture is restricted to.
    pub(crate) scope: String,
    /// The kinds of namespaces that are drawn.
    pub(crate) kinds: Vec<Kind>,
    pub(crate) sections: Vec<Section>,
    /// How many containers there are, those that are not drawn too.
    pub(crate) count: usize,
    /// How many containers there is no room for.
    pub(crate) undrawn: usize,
    pub(crate) networks: Option<Networks>,
    pub(crate) maps: Option<Maps>,
    /// Namespaces of no container, folded; and how many more groups of them there are.
    pub(crate) strays: Vec<Stray>,
    pub(crate) more_strays: usize,
}

/// Containers of one engine.
pub(crate) struct Section {
    pub(crate) title: String,
    pub(crate) groups: Vec<Group>,
}

/// Containers that share namespaces, or those of a section that share none.
#[derive(Default)]
pub(crate) struct Group {
    /// What they are called together, and which namespaces they share; empty where they share none.
    pub(crate) name: String,
    pub(crate) shared: String,
    pub(crate) cards: Vec<Card>,
}

/// A container.
pub(crate) struct Card {
    /// Where it is in the inventory.
    pub(crate) place: usize,
    pub(crate) title: String,
    /// Its state, process and image.
    pub(crate) about: String,
    pub(crate) marks: Vec<(Kind, Mark)>,
    /// What it is not kept from.
    pub(crate) warning: String,
}

/// What a namespace is to a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    Own,
    /// The host's, as is usual for this kind.
    Host,
    /// The host's, which makes it less of a container.
    Exposed,
    /// That of another.
    Shared,
    Unknown,
}

impl Mark {
    /// All, in the order of the legend.
    pub(crate) const ALL: [Mark; 5] = [Mark::Own, Mark::Shared, Mark::Host, Mark::Exposed, Mark::Unknown];

    /// The name of its class in a style sheet.
    pub(crate) fn class(self) -> &'static str {
        match self {
            Mark::Own => "own",
            Mark::Host => "host",
            Mark::Exposed => "exposed",
            Mark::Shared => "shared",
            Mark::Unknown => "unknown",
        }
    }

    /// What it means.
    pub(crate) fn meaning(self) -> &'static str {
        match self {
            Mark::Own => "its own",
            Mark::Host => "the host's, as is usual",
            Mark::Exposed => "the host's: less isolated",
            Mark::Shared => "shared with a container",
            Mark::Unknown => "not to be known",
        }
    }
}

/// How containers reach the host's network and each other.
#[derive(Default)]
pub(crate) struct Networks {
    /// The host's interfaces that lead out, and ports that lead to containers.
    pub(crate) host: Vec<String>,
    pub(crate) published: Vec<String>,
    pub(crate) bands: Vec<Band>,
    /// Network namespaces without a link that leads out.
    pub(crate) alone: Vec<String>,
    /// How many could not be looked into, or were too many.
    pub(crate) unseen: usize,
}

/// A bridge, or another way into the host's network, and what is connected to it.
pub(crate) struct Band {
    pub(crate) name: String,
    pub(crate) lines: Vec<String>,
    pub(crate) ends: Vec<End>,
}

/// A network namespace at the other end of a link.
pub(crate) struct End {
    pub(crate) title: String,
    /// The container that it is of, by its place in the inventory.
    pub(crate) place: Option<usize>,
    pub(crate) lines: Vec<String>,
}

/// Which of the host's ids user namespaces have.
#[derive(Default)]
pub(crate) struct Maps {
    pub(crate) rows: Vec<Map>,
    /// How many more there are.
    pub(crate) more: usize,
}

/// The id map of a user namespace, or the same one of several.
pub(crate) struct Map {
    pub(crate) title: String,
    /// `uids`, `gids`, or both where they are the same.
    pub(crate) ids: &'static str,
    pub(crate) ranges: Vec<Range>,
    /// With which others it has ids in common.
    pub(crate) overlaps: Vec<String>,
}

/// Ids from `outer` on, which are `inner` and so on inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Range {
    pub(crate) outer: u64,
    pub(crate) inner: u64,
    pub(crate) count: u64,
    /// Whether another user namespace beside it has some of them.
    pub(crate) is_shared: bool,
}

impl Range {
    fn end(self) -> u64 {
        self.outer + self.count
    }
}

/// Namespaces of no container that are kept by the same program, or in the same way.
pub(crate) struct Stray {
    pub(crate) name: String,
    /// How many of each kind.
    pub(crate) counts: Vec<(Kind, usize)>,
    /// Processes in them.
    pub(crate) processes: u64,
}

impl Picture {
    /// The heading.
    pub(crate) fn title(&self) -> String {
        format!("Namespaces of {}", self.host)
    }

    /// When it was made, and of what.
    pub(crate) fn subtitle(&self) -> String {
        let containers = if self.count == 1 { "1 container".to_owned() } else { format!("{} containers", self.count) };
        let scope = if self.scope.is_empty() { String::new() } else { format!(" · {}", self.scope) };
        format!("{} · {containers}{scope}", self.date)
    }

    pub(crate) fn cards(&self) -> impl Iterator<Item = &Card> {
        self.sections.iter().flat_map(|section| &section.groups).flat_map(|group| &group.cards)
    }

    /// What is said of containers that are not drawn.
    fn undrawn_line(&self) -> Option<String> {
        let more = self.undrawn;
        (more > 0).then(|| format!("{more} more containers are not drawn: name one, or choose some by --filter"))
    }

    /// What is said of strays that are not drawn.
    fn more_strays_line(&self) -> Option<String> {
        (self.more_strays > 0).then(|| format!("and {} more such groups", self.more_strays))
    }
}

impl Stray {
    /// What there is of each kind.
    fn kinds(&self) -> String {
        let counts = self.counts.iter().map(|(kind, count)| format!("{count} {}", kind.proc_name()));
        counts.collect::<Vec<_>>().join(", ")
    }

    fn processes_line(&self) -> String {
        match self.processes {
            0 => "no process".to_owned(),
            1 => "1 process".to_owned(),
            count => format!("{count} processes"),
        }
    }
}

#[cfg(test)]
mod tests;
