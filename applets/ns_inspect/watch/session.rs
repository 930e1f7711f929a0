//! The screen from its first look to its end: what keys do, and when to look again.

use std::collections::VecDeque;
use std::time::{Duration, Instant, SystemTime};

use ratatui_core::terminal::Terminal;
use ratatui_core::text::Line;

use super::super::filter::Filter;
use super::super::overview;
use super::super::paint::Paint;
use super::Wish;
use super::events::{self, Event, Sight};
use super::keys::Key;
use super::list::List;
use super::opened::{Opened, Tab};
use super::pager::{self, Pager};
use super::screen::{Front, KEYS, Screen, event_line};
use super::survey::Survey;
use super::tty::{Ansi, Input, Tty};

/// How many events are kept.
const EVENTS: usize = 1000;

/// Shows the screen until somebody quits it, or a signal ends it.
pub(super) fn run(tty: &mut Tty, wish: Wish) -> anyhow::Result<()> {
    let mut terminal = Terminal::new(Ansi::default())?;
    let mut session = Session::new(wish);
    session.look()?;
    let mut due = Instant::now() + session.every;
    loop {
        session.draw(&mut terminal)?;
        match tty.next(due.saturating_duration_since(Instant::now()))? {
            Input::End => return Ok(()),
            Input::Resized => terminal.clear()?,
            Input::None => {}
            Input::Key(Key::Interrupt) => return Ok(()),
            Input::Key(Key::Suspend) => {
                tty.suspend()?;
                terminal.clear()?;
            }
            Input::Key(Key::Redraw) => {
                terminal.clear()?;
                session.survey.forget();
                due = Instant::now();
            }
            Input::Key(key) => {
                if session.typed(key, &mut terminal)? {
                    return Ok(());
                }
            }
        }
        if Instant::now() >= due {
            session.look()?;
            due = Instant::now() + session.every;
        }
    }
}

/// The survey, what it saw last, and the screen.
struct Session {
    survey: Survey,
    before: Option<Sight>,
    screen: Screen,
    every: Duration,
    paint: Paint,
}

impl Session {
    fn new(wish: Wish) -> Session {
        let screen = Screen {
            list: List::new(),
            choice: wish.choice,
            front: Front::List,
            events: VecDeque::new(),
            others: 0,
            paused: 0,
            notice: String::new(),
            host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            every: humantime::format_duration(wish.every).to_string(),
            colours: wish.paint.has_colour(),
        };
        let paint = wish.paint.endless();
        Session { survey: Survey::new(wish.all), before: None, screen, every: wish.every, paint }
    }

    fn draw(&mut self, terminal: &mut Terminal<Ansi>) -> anyhow::Result<()> {
        terminal.draw(|frame| {
            let cursor = self.screen.draw(frame.buffer_mut());
            if let Some(cursor) = cursor {
                frame.set_cursor_position(cursor);
            }
        })?;
        Ok(())
    }

    /// Looks at the machine, and tells what happened since the last time.
    fn look(&mut self) -> anyhow::Result<()> {
        self.survey.look()?;
        let now = self.survey.sight(self.screen.choice.filter.as_ref())?;
        if let Some(before) = &self.before {
            let events = events::between(before, &now, SystemTime::now());
            self.note(events);
        }
        if let Front::Opened(opened) = &mut self.screen.front {
            opened.ended |= !now.containers.values().any(|seen| seen.container.pid == Some(opened.pid));
            if opened.tab == Tab::Processes {
                opened.read(self.survey.world(), self.paint);
            }
        }
        self.screen.paused = now.containers.values().filter(|seen| seen.is_paused).count();
        self.screen.others = self.survey.others();
        self.before = Some(now);
        self.fill()
    }

    fn note(&mut self, events: Vec<Event>) {
        let colours = self.screen.colours;
        for event in events {
            if let Front::Events(pager) = &mut self.screen.front {
                pager.lines.insert(0, event_line(&event, colours));
                // What is being read stays where it is.
                pager.top += usize::from(pager.top > 0);
            }
            self.screen.events.push_front(event);
        }
        self.screen.events.truncate(EVENTS);
    }

    /// Shows rows by another filter. What it lets through neither started nor ended.
    fn set_filter(&mut self, filter: Option<Filter>) -> anyhow::Result<()> {
        self.screen.choice.filter = filter;
        self.before = None;
        self.screen.list.rewind();
        self.look()
    }

    fn fill(&mut self) -> anyhow::Result<()> {
        let grid = self.survey.grid();
        self.screen.list.fill(grid, &self.screen.choice)
    }

    /// Does what a key is for; tells whether that is the end.
    fn typed(&mut self, key: Key, terminal: &mut Terminal<Ansi>) -> anyhow::Result<bool> {
        self.screen.notice.clear();
        let pager = match &mut self.screen.front {
            Front::List => return self.in_list(key, terminal),
            Front::Prompt(_) => return self.in_prompt(key).map(|()| false),
            Front::Opened(_) => return self.in_opened(key, terminal).map(|()| false),
            Front::Keys(pager) | Front::Events(pager) | Front::Others(pager) => pager,
        };
        if !pager.moved(key) && matches!(key, Key::Escape | Key::Back | Key::Char('q' | '?' | 'e' | 'o')) {
            self.screen.front = Front::List;
        }
        Ok(false)
    }

    fn in_list(&mut self, key: Key, terminal: &mut Terminal<Ansi>) -> anyhow::Result<bool> {
        if self.screen.list.moved(key) {
            return Ok(false);
        }
        match key {
            Key::Char('q') => return Ok(true),
            Key::Char('?') => self.screen.front = Front::Keys(keys()),
            Key::Char('/') => {
                let typed = self.screen.choice.filter.as_ref().map(|filter| filter.text().to_owned());
                self.screen.front = Front::Prompt(typed.unwrap_or_default());
            }
            Key::Char('c') => self.set_filter(None)?,
            Key::Char('s') => self.sort(1)?,
            Key::Char('S') => self.sort(self.screen.list.grid.columns().len() - 1)?,
            Key::Char('r') => {
                let by =
                    self.screen.choice.sort.take().unwrap_or_else(|| self.screen.list.grid.columns()[0].to_owned());
                self.sort_by(by.strip_prefix('-').map_or_else(|| format!("-{by}"), str::to_owned))?;
            }
            Key::Char('e') => {
                let lines = self.screen.events.iter().map(|event| event_line(event, self.screen.colours));
                let lines: Vec<Line<'static>> = lines.collect();
                self.screen.front = Front::Events(Pager { lines, ..Pager::default() });
            }
            Key::Char('o') => {
                let text = self.survey.others_text(self.paint)?;
                self.screen.front = Front::Others(Pager { lines: pager::lines(&text), ..Pager::default() });
            }
            Key::Enter => self.open(terminal)?,
            _ => {}
        }
        Ok(false)
    }

    /// Sorts by the column that many further.
    fn sort(&mut self, by: usize) -> anyhow::Result<()> {
        let columns = self.screen.list.grid.columns();
        let now = self.screen.choice.sort.as_deref().map(|by| by.trim_start_matches('-'));
        let place = now.and_then(|now| columns.iter().position(|name| name.eq_ignore_ascii_case(now)));
        // Of these the largest come first, as whoever asks for them wants it.
        let next = columns[place.map_or(0, |place| (place + by) % columns.len())];
        let sign = if matches!(next, "PROCS" | "MEMORY") { "-" } else { "" };
        self.sort_by(format!("{sign}{next}"))
    }

    fn sort_by(&mut self, by: String) -> anyhow::Result<()> {
        self.screen.choice.sort = Some(by);
        self.screen.list.rewind();
        self.fill()
    }

    fn open(&mut self, terminal: &mut Terminal<Ansi>) -> anyhow::Result<()> {
        let Some(pid) = self.screen.list.pid() else { return Ok(()) };
        let container = self.survey.world().inventory.containers.iter().find(|found| found.pid == Some(pid));
        let Some(container) = container.cloned() else {
            self.screen.notice = format!("process {pid} is in no container any more");
            return Ok(());
        };
        self.screen.front = Front::Opened(Box::new(Opened::new(container, pid)));
        self.read(terminal)
    }

    /// Reads the text of the opened container's tab, which can take a moment.
    fn read(&mut self, terminal: &mut Terminal<Ansi>) -> anyhow::Result<()> {
        if let Front::Opened(opened) = &mut self.screen.front {
            opened.pager.fill(vec![Line::raw("looking...")]);
        }
        self.draw(terminal)?;
        if let Front::Opened(opened) = &mut self.screen.front {
            opened.read(self.survey.world(), self.paint);
        }
        Ok(())
    }

    fn in_opened(&mut self, key: Key, terminal: &mut Terminal<Ansi>) -> anyhow::Result<()> {
        let Front::Opened(opened) = &mut self.screen.front else { return Ok(()) };
        match key {
            Key::Tab => opened.turn(1),
            Key::BackTab => opened.turn(Tab::ALL.len() - 1),
            Key::Char(digit @ '1'..='5') => opened.show(Tab::ALL[digit as usize - '1' as usize]),
            Key::Escape | Key::Back | Key::Char('q') => {
                self.screen.front = Front::List;
                return Ok(());
            }
            Key::Char('?') => {
                self.screen.front = Front::Keys(keys());
                return Ok(());
            }
            _ => {
                opened.pager.moved(key);
                return Ok(());
            }
        }
        self.read(terminal)
    }

    fn in_prompt(&mut self, key: Key) -> anyhow::Result<()> {
        let Front::Prompt(typed) = &mut self.screen.front else { return Ok(()) };
        match key {
            Key::Char(c) => typed.push(c),
            Key::Back => drop(typed.pop()),
            Key::Clear => typed.clear(),
            Key::Escape => self.screen.front = Front::List,
            Key::Enter => {
                let wanted = typed.trim().to_owned();
                match filter(&wanted) {
                    Ok(filter) => {
                        self.screen.front = Front::List;
                        self.set_filter(filter)?;
                    }
                    Err(why) => {
                        self.screen.notice = why.to_string();
                        self.screen.front = Front::List;
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// The filter that was typed: none, an expression, or a part of names.
fn filter(typed: &str) -> anyhow::Result<Option<Filter>> {
    if typed.is_empty() {
        return Ok(None);
    }
    let is_name = |c: char| c.is_alphanumeric() || "._:/-".contains(c);
    if typed.chars().all(is_name) {
        return Ok(Some(overview::filter(&format!("CONTAINER =~ '{}'", typed.replace('.', "[.]")))?));
    }
    Ok(Some(overview::filter(typed)?))
}

fn keys() -> Pager {
    let lines = KEYS.iter().map(|(keys, what)| Line::raw(format!("{keys:<22}{what}"))).collect();
    Pager { lines, ..Pager::default() }
}
