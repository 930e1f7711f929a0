//! What happened between two looks: containers started, paused, resumed and ended; other namespaces came and went.

use std::collections::BTreeMap;
use std::time::SystemTime;

use nskit::inspect::containers::Container;
use serde_json::{Value, json};

use super::super::json;
use super::super::paint::{Paint, Style};
use super::super::width;

/// A container at one look.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) container: Container,
    pub(super) is_paused: bool,
}

/// What was seen at one look.
#[derive(Clone, Debug, Default)]
pub(super) struct Sight {
    /// By a number that each has from its start to its end.
    pub(super) containers: BTreeMap<u64, Seen>,
    /// Namespaces of no container, by inode number and id, and what they are called.
    pub(super) others: BTreeMap<(u64, u64), String>,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// It was there at the first look.
    Found,
    Started,
    Paused,
    Resumed,
    Ended,
    /// Another namespace.
    Appeared,
    Disappeared,
}

impl What {
    fn word(self) -> &'static str {
        match self {
            What::Found => "found",
            What::Started => "started",
            What::Paused => "paused",
            What::Resumed => "resumed",
            What::Ended => "ended",
            What::Appeared => "appeared",
            What::Disappeared => "disappeared",
        }
    }

    fn style(self) -> Style {
        match self {
            What::Found => Style::Plain,
            What::Started | What::Resumed | What::Appeared => Style::Good,
            What::Paused => Style::Host,
            What::Ended | What::Disappeared => Style::Bad,
        }
    }
}

/// To what.
#[derive(Clone, Debug)]
enum Subject {
    Container(Box<Container>),
    Namespace(u64, String),
}

/// Something that happened, and when it was noticed.
#[derive(Clone, Debug)]
pub(super) struct Event {
    time: SystemTime,
    pub(super) what: What,
    subject: Subject,
}

impl Event {
    fn of(what: What, time: SystemTime, container: &Container) -> Event {
        Event { time, what, subject: Subject::Container(Box::new(container.clone())) }
    }

    /// What happened to what, in one line without the time.
    fn sentence(&self) -> String {
        let word = self.what.word();
        width::printable(&match &self.subject {
            Subject::Container(container) => {
                let pid = container.pid.map(|pid| format!(", process {pid}")).unwrap_or_default();
                format!("container {} {word} ({}{pid})", container.title(), container.engine)
            }
            Subject::Namespace(_, name) => format!("namespace {name} {word}"),
        })
    }

    /// The line of a log.
    pub(super) fn line(&self, paint: Paint) -> String {
        let time = humantime::format_rfc3339_seconds(self.time).to_string();
        format!("{time} {}", paint.paint(self.what.style(), &self.sentence()))
    }

    /// The line of a screen: the time of the day, and the rest, which is of this style.
    pub(super) fn pieces(&self) -> (String, Style, String) {
        let time = humantime::format_rfc3339_seconds(self.time).to_string();
        (time.get(11..19).unwrap_or_default().to_owned(), self.what.style(), self.sentence())
    }

    /// One line of JSON, by `$defs/event` of the schema.
    pub(super) fn json(&self) -> Value {
        let mut line = json!({
            "version": json::VERSION,
            "view": "event",
            "time": humantime::format_rfc3339_millis(self.time).to_string(),
            "event": self.what.word(),
        });
        match &self.subject {
            Subject::Container(container) => line["container"] = json::identity(container),
            Subject::Namespace(inode, name) => line["namespace"] = json!({"inode": inode, "name": name}),
        }
        line
    }
}

/// What was there from the beginning.
pub(super) fn found(sight: &Sight, time: SystemTime) -> Vec<Event> {
    let mut events = Vec::new();
    for seen in sight.containers.values() {
        events.push(Event::of(What::Found, time, &seen.container));
        events.extend(seen.is_paused.then(|| Event::of(What::Paused, time, &seen.container)));
    }
    events
}

/// What happened between two looks: what went, then what changed, then what came.
pub(super) fn between(before: &Sight, now: &Sight, time: SystemTime) -> Vec<Event> {
    let mut events = Vec::new();
    let went = before.containers.iter().filter(|(identity, _)| !now.containers.contains_key(identity));
    events.extend(went.map(|(_, seen)| Event::of(What::Ended, time, &seen.container)));
    for (identity, seen) in &now.containers {
        let event = |what| Event::of(what, time, &seen.container);
        match before.containers.get(identity) {
            None => {
                events.push(event(What::Started));
                events.extend(seen.is_paused.then(|| event(What::Paused)));
            }
            Some(old) if old.is_paused && !seen.is_paused => events.push(event(What::Resumed)),
            Some(old) if !old.is_paused && seen.is_paused => events.push(event(What::Paused)),
            Some(_) => {}
        }
    }
    let namespace = |what, (&(inode, _), name): (&(u64, u64), &String)| Event {
        time,
        what,
        subject: Subject::Namespace(inode, name.clone()),
    };
    let went = before.others.iter().filter(|(identity, _)| !now.others.contains_key(identity));
    events.extend(went.map(|other| namespace(What::Disappeared, other)));
    let came = now.others.iter().filter(|(identity, _)| !before.others.contains_key(identity));
    events.extend(came.map(|other| namespace(What::Appeared, other)));
    events
}
