//! One container, opened: what the views of the command line show of it, in tabs.

use nskit::inspect::containers::Container;
use nskit::inspect::pids;
use ratatui_core::text::Line;

use super::super::grid::{Cell, Grid};
use super::super::overview::{human_age, size};
use super::super::paint::{Paint, Style};
use super::super::world::{Target, World};
use super::super::{facts, places, show};
use super::pager::{self, Pager};

/// What is shown of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tab {
    Namespaces,
    Processes,
    Mounts,
    Network,
    Explain,
}

impl Tab {
    pub(super) const ALL: [Tab; 5] = [Tab::Namespaces, Tab::Processes, Tab::Mounts, Tab::Network, Tab::Explain];

    pub(super) fn name(self) -> &'static str {
        match self {
            Tab::Namespaces => "namespaces",
            Tab::Processes => "processes",
            Tab::Mounts => "mounts",
            Tab::Network => "network",
            Tab::Explain => "explain",
        }
    }
}

/// A container that was opened.
pub(super) struct Opened {
    pub(super) container: Container,
    pub(super) pid: i32,
    pub(super) tab: Tab,
    pub(super) pager: Pager,
    /// What ended it, where that happened meanwhile.
    pub(super) ended: bool,
}

impl Opened {
    pub(super) fn new(container: Container, pid: i32) -> Opened {
        Opened { container, pid, tab: Tab::Namespaces, pager: Pager::default(), ended: false }
    }

    /// The tab that many further.
    pub(super) fn turn(&mut self, by: usize) {
        let place = Tab::ALL.iter().position(|tab| *tab == self.tab).unwrap_or_default();
        self.show(Tab::ALL[(place + by) % Tab::ALL.len()]);
    }

    pub(super) fn show(&mut self, tab: Tab) {
        self.tab = tab;
        (self.pager.top, self.pager.left) = (0, 0);
    }

    /// Reads the tab's text anew. That of a container that ended stays.
    pub(super) fn read(&mut self, world: &World, paint: Paint) {
        if self.ended {
            return;
        }
        let lines = match self.text(world, paint) {
            Ok(text) => pager::lines(&text),
            Err(why) => vec![Line::styled(why.to_string(), pager::look(Style::Bad, true))],
        };
        self.pager.fill(lines);
    }

    fn text(&self, world: &World, paint: Paint) -> anyhow::Result<String> {
        let target = Target::Container(Box::new(self.container.clone()), self.pid);
        match self.tab {
            Tab::Namespaces => show::view(&target, paint),
            Tab::Processes => Ok(processes(world, self.pid, paint)),
            Tab::Mounts => places::mnt(&target, paint),
            Tab::Network => places::net(&World::look()?, Some(&target), paint),
            Tab::Explain => places::enterable(&target, pids::own()?, paint),
        }
    }
}

/// A line a process of the container: also what it is called inside.
fn processes(world: &World, first: i32, paint: Paint) -> String {
    let mut grid = Grid::new(&["PID", "INSIDE", "USER", "MEMORY", "AGE", "COMMAND"]);
    let container = world.inventory.index_of(first);
    let mut users = facts::Users::default();
    for process in &world.snapshot.processes {
        let pid = process.pid;
        if pid != first && (container.is_none() || world.inventory.index_of(pid) != container) {
            continue;
        }
        let inside = pids::levels(pid).ok().and_then(|levels| levels.last().map(|level| level.pid as u64));
        let age = facts::age(pid).unwrap_or_default();
        let memory = facts::resident_bytes(pid);
        grid.add(vec![
            Cell::number(Some(pid as u64)),
            Cell::number(inside),
            Cell::text(facts::uid(pid).map(|uid| users.name(uid)).unwrap_or_default()),
            Cell::text(size(memory)).keyed(memory),
            Cell::text(human_age(age)).keyed(age.as_secs()),
            Cell::text(facts::command(pid)).styled(Style::Name),
        ]);
    }
    grid.print(paint, "")
}
