//! What the screen shows: the list of containers with the last events below, or text in its place.

use std::collections::VecDeque;

use ratatui_core::buffer::Buffer;
use ratatui_core::layout::{Position, Rect};
use ratatui_core::style::{Modifier, Style as Look};
use ratatui_core::text::{Line, Span};

use super::super::paint::Style;
use super::super::{Choice, width};
use super::events::Event;
use super::list::List;
use super::opened::{Opened, Tab};
use super::pager::{Pager, look};

/// What is in front.
pub(super) enum Front {
    List,
    /// A filter is being typed.
    Prompt(String),
    Keys(Pager),
    Events(Pager),
    Others(Pager),
    Opened(Box<Opened>),
}

/// All that is drawn.
pub(super) struct Screen {
    pub(super) list: List,
    pub(super) choice: Choice,
    pub(super) front: Front,
    /// The last ones, the newest first.
    pub(super) events: VecDeque<Event>,
    /// How many namespaces are of no container.
    pub(super) others: usize,
    pub(super) paused: usize,
    /// What went wrong, until the next key.
    pub(super) notice: String,
    pub(super) host: String,
    pub(super) every: String,
    pub(super) colours: bool,
}

/// What the screen needs to be of any use.
const LEAST: (u16, u16) = (20, 5);

/// The keys, and what they do.
pub(super) const KEYS: [(&str, &str); 17] = [
    ("Up Down  k j", "one row up or down"),
    ("PgUp PgDn  b Space", "one page up or down"),
    ("Home End  g G", "to the first or the last row"),
    ("Enter", "open the container: namespaces, processes, mounts, network, explain"),
    ("Tab  1-5", "opened: the next tab, or that one"),
    ("Left Right  h l", "in text: to the side"),
    ("Esc  q", "back; q in the list quits"),
    ("/", "filter: an expression (NET == \"host\"), or part of a container's name"),
    ("c", "clear the filter"),
    ("s S", "sort by the next or the column before"),
    ("r", "reverse the order"),
    ("o", "other namespaces: of no container, and what keeps them"),
    ("e", "all events"),
    ("Ctrl-L", "look now, and draw anew"),
    ("Ctrl-Z", "suspend"),
    ("?", "these keys"),
    ("Ctrl-C", "quit"),
];

impl Screen {
    /// Draws everything; returns where the cursor is to be seen.
    pub(super) fn draw(&mut self, buffer: &mut Buffer) -> Option<Position> {
        let area = buffer.area;
        if area.width < LEAST.0 || area.height < LEAST.1 {
            buffer.set_stringn(0, 0, "too small", usize::from(area.width), Look::new());
            return None;
        }
        let body = Rect { y: 1, height: area.height - 3, ..area };
        let (title, status) = match &mut self.front {
            Front::List | Front::Prompt(_) => {
                let status = self.draw_list(buffer, body);
                (self.title(), status)
            }
            Front::Keys(pager) => ("Keys".to_owned(), draw_pager(buffer, body, pager)),
            Front::Events(pager) => ("Events, the newest first".to_owned(), draw_pager(buffer, body, pager)),
            Front::Others(pager) => ("Namespaces of no container".to_owned(), draw_pager(buffer, body, pager)),
            Front::Opened(opened) => {
                let ended = if opened.ended { " - it has ended" } else { "" };
                let title = format!("{} ({}){ended}", opened.container.title(), opened.container.engine);
                let tabs = Rect { height: 1, ..body };
                draw_tabs(buffer, tabs, opened.tab);
                let text = Rect { y: body.y + 1, height: body.height - 1, ..body };
                (title, draw_pager(buffer, text, &mut opened.pager))
            }
        };
        self.bar(buffer, 0, &title, &self.host);
        self.bar(buffer, area.height - 2, &status, "");
        self.last_line(buffer, area)
    }

    fn title(&self) -> String {
        let sort = self.choice.sort.as_deref().unwrap_or("engine and name");
        let filter = self.choice.filter.as_ref().map(|filter| format!("  filter: {}", width::printable(filter.text())));
        format!("ns-inspect watch  every {}  sort: {sort}{}", self.every, filter.unwrap_or_default())
    }

    /// A line over the whole width, in reverse.
    fn bar(&self, buffer: &mut Buffer, y: u16, left: &str, right: &str) {
        let wide = usize::from(buffer.area.width);
        let left = width::fit(left, wide);
        let gap = wide.saturating_sub(width::of(&left) + width::of(right));
        let line = if gap > 1 { format!("{left}{}{right}", " ".repeat(gap)) } else { format!("{left:wide$}") };
        buffer.set_stringn(0, y, line, wide, Look::new().add_modifier(Modifier::REVERSED));
    }

    /// The rows, and below them the last events; returns the status line.
    fn draw_list(&mut self, buffer: &mut Buffer, body: Rect) -> String {
        let wanted = match body.height {
            ..8 => 0,
            8..14 => 2,
            14..30 => 4,
            _ => 8,
        };
        let shown = wanted.min(self.events.len() as u16);
        let rows = Rect { height: body.height - shown, ..body };
        let layout = self.list.grid.layout(Some(usize::from(body.width)));
        self.list.room = usize::from(rows.height.saturating_sub(1));
        self.list.keep();
        let wide = rows.width;
        buffer.set_line(0, rows.y, &self.line(None, &layout), wide);
        if self.list.grid.is_empty() {
            let text = if self.list.all == 0 { "No containers." } else { "No container for which the filter holds." };
            buffer.set_stringn(0, rows.y + 1, text, usize::from(wide), Look::new());
        }
        for place in 0..self.list.room.min(self.list.grid.len() - self.list.top) {
            let row = self.list.top + place;
            let y = rows.y + 1 + place as u16;
            buffer.set_line(0, y, &self.line(Some(row), &layout), wide);
            if row == self.list.selected {
                buffer
                    .set_style(Rect { x: 0, y, width: wide, height: 1 }, Look::new().add_modifier(Modifier::REVERSED));
            }
        }
        for (place, event) in self.events.iter().take(usize::from(shown)).enumerate() {
            buffer.set_line(0, rows.y + rows.height + place as u16, &event_line(event, self.colours), wide);
        }
        self.status(&layout.left_out(&self.list.grid), self.events.len() - usize::from(shown))
    }

    fn status(&self, left_out: &[&str], unseen: usize) -> String {
        let mut parts = vec![self.list.place(self.choice.filter.is_some())];
        if self.paused > 0 {
            parts.push(format!("{} paused", self.paused));
        }
        if self.others > 0 {
            parts.push(format!("+ {} other namespaces (o)", self.others));
        }
        if unseen > 0 {
            parts.push(format!("+ {unseen} events (e)"));
        }
        if !left_out.is_empty() {
            parts.push(format!("no room for {}", left_out.join(" ")));
        }
        parts.join("; ")
    }

    /// A row, or the headings, with a mark at the one that rows are sorted by.
    fn line(&self, row: Option<usize>, layout: &super::super::grid::Layout) -> Line<'static> {
        let sort = self.choice.sort.as_deref().filter(|_| row.is_none()).map(|by| by.trim_start_matches('-'));
        let spans = self.list.grid.line(row, layout).into_iter().map(|(style, text)| {
            let mut look = look(style, self.colours);
            if sort.is_some_and(|sort| sort.eq_ignore_ascii_case(&text)) {
                look = look.add_modifier(Modifier::UNDERLINED);
            }
            Span::styled(text, look)
        });
        Line::from(spans.collect::<Vec<_>>())
    }

    /// The prompt, a notice, or what the keys are.
    fn last_line(&self, buffer: &mut Buffer, area: Rect) -> Option<Position> {
        let (y, wide) = (area.height - 1, usize::from(area.width));
        if let Front::Prompt(typed) = &self.front {
            // As much of the end as there is room for.
            let mut seen = width::printable(typed);
            while width::of(&seen) + "filter: ".len() >= wide && seen.pop().is_some() {
                seen = width::printable(typed).chars().rev().take(seen.chars().count()).collect::<String>();
                seen = seen.chars().rev().collect();
            }
            let (x, _) = buffer.set_stringn(0, y, format!("filter: {seen}"), wide, Look::new());
            return Some(Position::new(x.min(area.width - 1), y));
        }
        let (text, style) = match &self.front {
            _ if !self.notice.is_empty() => (width::printable(&self.notice), Style::Bad),
            Front::List => {
                ("? keys  Enter open  / filter  s sort  r reverse  o others  e events  q quit".into(), Style::Faint)
            }
            Front::Opened(_) => ("Esc back  Tab 1-5 tabs  arrows scroll  ? keys".into(), Style::Faint),
            _ => ("Esc back  arrows scroll".into(), Style::Faint),
        };
        buffer.set_stringn(0, y, width::fit(&text, wide), wide, look(style, self.colours));
        None
    }
}

/// A line of the screen about an event.
pub(super) fn event_line(event: &Event, colours: bool) -> Line<'static> {
    let (time, style, text) = event.pieces();
    Line::from(vec![Span::styled(time + "  ", look(Style::Faint, colours)), Span::styled(text, look(style, colours))])
}

/// The text that is seen; returns the status line.
fn draw_pager(buffer: &mut Buffer, area: Rect, pager: &mut Pager) -> String {
    pager.room = (usize::from(area.height), usize::from(area.width));
    pager.keep();
    for (place, line) in pager.seen().enumerate() {
        buffer.set_line(0, area.y + place as u16, &line, area.width);
    }
    pager.place()
}

fn draw_tabs(buffer: &mut Buffer, area: Rect, current: Tab) {
    let mut spans = Vec::new();
    for (number, tab) in Tab::ALL.into_iter().enumerate() {
        let look = if tab == current { Look::new().add_modifier(Modifier::REVERSED) } else { Look::new() };
        spans.extend([Span::styled(format!(" {} {} ", number + 1, tab.name()), look), Span::raw(" ")]);
    }
    buffer.set_line(0, area.y, &Line::from(spans), area.width);
}
