//! Text that scrolls both ways: the keys, all events, other namespaces, and what is known of one container.

use ratatui_core::style::{Color, Modifier, Style as Look};
use ratatui_core::text::{Line, Span};

use super::super::paint::Style;
use super::keys::Key;

/// How far one step to the side goes.
const STEP: usize = 8;

/// Lines, and which of them are seen.
#[derive(Clone, Debug, Default)]
pub(super) struct Pager {
    pub(super) lines: Vec<Line<'static>>,
    /// The first line that is seen, and the first cell of it.
    pub(super) top: usize,
    pub(super) left: usize,
    /// How many lines and cells there is room for, since it was drawn last.
    pub(super) room: (usize, usize),
}

impl Pager {
    /// Shows other text in the same place.
    pub(super) fn fill(&mut self, lines: Vec<Line<'static>>) {
        self.lines = lines;
        self.keep();
    }

    /// Moves by a key; tells whether it was one of those that do.
    pub(super) fn moved(&mut self, key: Key) -> bool {
        let page = self.room.0.saturating_sub(1).max(1);
        match key {
            Key::Up | Key::Char('k') => self.top = self.top.saturating_sub(1),
            Key::Down | Key::Char('j') => self.top += 1,
            Key::PageUp | Key::Char('b') => self.top = self.top.saturating_sub(page),
            Key::PageDown | Key::Char(' ') => self.top += page,
            Key::Home | Key::Char('g') => (self.top, self.left) = (0, 0),
            Key::End | Key::Char('G') => self.top = usize::MAX / 2,
            Key::Left | Key::Char('h') => self.left = self.left.saturating_sub(STEP),
            Key::Right | Key::Char('l') => self.left += STEP,
            _ => return false,
        }
        self.keep();
        true
    }

    /// Keeps what is seen within the text.
    pub(super) fn keep(&mut self) {
        let widest = self.lines.iter().map(Line::width).max().unwrap_or_default();
        self.top = self.top.min(self.lines.len().saturating_sub(self.room.0));
        self.left = self.left.min((widest + STEP).saturating_sub(self.room.1).div_ceil(STEP).saturating_sub(1) * STEP);
    }

    /// What is seen of all, for the status line.
    pub(super) fn place(&self) -> String {
        let last = (self.top + self.room.0).min(self.lines.len());
        let side = if self.left > 0 { format!(", from column {}", self.left + 1) } else { String::new() };
        match self.lines.len() {
            0 => "nothing".to_owned(),
            all => format!("lines {}-{last} of {all}{side}", self.top + 1),
        }
    }

    /// The lines that are seen, cut on the left.
    pub(super) fn seen(&self) -> impl Iterator<Item = Line<'static>> {
        self.lines.iter().skip(self.top).take(self.room.0).map(|line| skip(line, self.left))
    }
}

/// A line without its first cells.
fn skip(line: &Line<'static>, cells: usize) -> Line<'static> {
    let mut left = cells;
    let mut spans = Vec::new();
    for span in &line.spans {
        let mut text = span.content.as_ref();
        while left > 0
            && let Some(c) = text.chars().next()
        {
            let wide = Span::raw(&text[..c.len_utf8()]).width();
            left = left.saturating_sub(wide);
            text = &text[c.len_utf8()..];
        }
        spans.push(Span::styled(text.to_owned(), span.style));
    }
    Line::from(spans)
}

/// How the screen shows a piece of text of this style.
pub(super) fn look(style: Style, colours: bool) -> Look {
    let colour = |colour: Color| if colours { Look::new().fg(colour) } else { Look::new() };
    match style {
        Style::Plain => Look::new(),
        Style::Heading => Look::new().add_modifier(Modifier::BOLD),
        Style::Host => colour(Color::Yellow),
        Style::Shared => colour(Color::Cyan),
        Style::Own | Style::Good => colour(Color::Green),
        Style::Name => colour(Color::Blue).add_modifier(Modifier::BOLD),
        Style::Bad => colour(Color::Red),
        Style::Faint => Look::new().add_modifier(Modifier::DIM),
    }
}

/// The lines of a view's text, whose colours are written as a terminal takes them.
pub(super) fn lines(text: &str) -> Vec<Line<'static>> {
    text.lines().map(line).collect()
}

fn line(text: &str) -> Line<'static> {
    let mut spans = Vec::new();
    let mut look = Look::new();
    for (number, piece) in text.split("\x1b[").enumerate() {
        let text = match piece.split_once('m').filter(|_| number > 0) {
            Some((codes, rest)) => {
                look = codes.split(';').fold(look, coded);
                rest
            }
            None => piece,
        };
        if !text.is_empty() {
            spans.push(Span::styled(text.to_owned(), look));
        }
    }
    Line::from(spans)
}

fn coded(look: Look, code: &str) -> Look {
    match code {
        "1" => look.add_modifier(Modifier::BOLD),
        "2" => look.add_modifier(Modifier::DIM),
        "31" => look.fg(Color::Red),
        "32" => look.fg(Color::Green),
        "33" => look.fg(Color::Yellow),
        "34" => look.fg(Color::Blue),
        "36" => look.fg(Color::Cyan),
        _ => Look::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_of_a_view_are_kept() {
        let lines = lines("a \x1b[1;34mname\x1b[0m b\n");
        let spans: Vec<(&str, Look)> = lines[0].spans.iter().map(|span| (span.content.as_ref(), span.style)).collect();
        let name = Look::new().fg(Color::Blue).add_modifier(Modifier::BOLD);
        assert_eq!(spans, [("a ", Look::new()), ("name", name), (" b", Look::new())]);
    }

    #[test]
    fn a_pager_stays_within_its_text() {
        let mut pager = Pager { room: (3, 10), ..Pager::default() };
        pager.fill((0..10).map(|number| Line::raw(format!("{number} {}", "x".repeat(20)))).collect());
        assert!(pager.moved(Key::End) && pager.moved(Key::Down));
        assert_eq!((pager.top, pager.place().as_str()), (7, "lines 8-10 of 10"));
        assert!((0..9).all(|_| pager.moved(Key::Right)));
        assert_eq!(pager.left, 16);
        assert_eq!(pager.seen().next().unwrap().to_string(), "xxxxxx");
        assert!(!pager.moved(Key::Char('q')));
    }
}
