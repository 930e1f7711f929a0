//! The command lines of pictures and of the page.

use clap::{Args, ValueEnum};
use nskit::namespace::Kind;

use super::graph::{self, Dress, Picture};
use super::world::{Target, World};
use super::{Rows, report as page};

/// What a picture or a page shows.
#[derive(Args, Clone)]
pub(super) struct Part {
    /// Only this container, its pod, and those that it shares namespaces with
    target: Option<String>,
    /// Only kinds of namespaces: mnt, uts, ipc, net, pid, user, cgroup, time
    #[arg(short = 't', long = "type", value_name = "KIND", value_delimiter = ',', value_parser = kind)]
    kinds: Vec<Kind>,
    #[command(flatten)]
    pub(super) rows: Rows,
}

impl Part {
    fn wish(self) -> anyhow::Result<graph::Wish> {
        let target = self.target.map(|text| Target::parse(&text)).transpose()?;
        Ok(graph::Wish { choice: self.rows.choice()?, target, kinds: self.kinds })
    }
}

/// The kind of namespaces of this name.
fn kind(name: &str) -> Result<Kind, String> {
    Kind::from_proc_name(name).or_else(|| Kind::ALL.into_iter().find(|kind| kind.oci_name() == name)).ok_or_else(|| {
        format!("there is no such kind of namespace: there are {}", Kind::ALL.map(Kind::proc_name).join(", "))
    })
}

#[derive(Clone, Copy, ValueEnum)]
pub(super) enum ReportFormat {
    /// One page that needs nothing else
    Html,
}

#[derive(Clone, Copy, ValueEnum)]
pub(super) enum GraphFormat {
    /// A picture
    Svg,
    /// Graphviz
    Dot,
    /// Mermaid
    Mermaid,
}

/// The picture.
///
/// # Errors
/// Where the machine cannot be looked at, or the target is in no container.
pub(super) fn graph(part: Part, format: GraphFormat) -> anyhow::Result<String> {
    let wish = part.wish()?;
    let picture = Picture::of(&World::look()?, &wish)?;
    Ok(match format {
        GraphFormat::Svg => picture.svg(Dress::File),
        GraphFormat::Dot => picture.dot(),
        GraphFormat::Mermaid => picture.mermaid(),
    })
}

/// The page.
///
/// # Errors
/// As [`graph`].
pub(super) fn report(part: Part, format: ReportFormat) -> anyhow::Result<String> {
    match format {
        ReportFormat::Html => page::html(&mut World::look()?, &part.wish()?),
    }
}
