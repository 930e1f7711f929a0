//! Containers, live: a screen on a terminal; elsewhere, and with `--json`, a log of what happens.

mod events;
mod guard;
mod keys;
mod list;
mod opened;
mod pager;
mod screen;
mod session;
mod signals;
mod survey;
mod tty;

use std::io::Write;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use self::events::{Event, Sight};
use self::survey::Survey;
use self::tty::Tty;
use super::Choice;
use super::paint::Paint;

/// What is asked for.
pub(crate) struct Wish {
    /// How long to wait between looks.
    pub(crate) every: Duration,
    /// After how many looks to end.
    pub(crate) count: Option<u64>,
    /// Rows, of which events are told.
    pub(crate) choice: Choice,
    /// Whether to tell of namespaces of no container too.
    pub(crate) all: bool,
    /// Whether to print JSON.
    pub(crate) json: bool,
    pub(crate) paint: Paint,
}

/// The shortest time between looks: less would be a busy loop.
const LEAST: Duration = Duration::from_millis(100);

/// A time between looks.
///
/// # Errors
/// Where it is none, or too short.
pub(crate) fn interval(text: &str) -> Result<Duration, String> {
    let every = humantime::parse_duration(text).map_err(|why| why.to_string())?;
    if every < LEAST {
        return Err(format!("{} is the least that looks can be apart", humantime::format_duration(LEAST)));
    }
    Ok(every)
}

/// Keeps looking.
///
/// # Errors
/// Where the machine or the terminal cannot be looked at.
pub(crate) fn run(wish: Wish) -> anyhow::Result<ExitCode> {
    match Tty::find().filter(|_| !wish.json && wish.count.is_none()) {
        Some(tty) => guard::run(tty, |tty| session::run(tty, wish)),
        None => log(wish).map(|()| ExitCode::SUCCESS),
    }
}

/// Prints a line for each event until nobody reads, or as often as was asked for.
fn log(wish: Wish) -> anyhow::Result<()> {
    let mut survey = Survey::new(wish.all);
    let mut before: Option<Sight> = None;
    let mut looks = 0;
    loop {
        survey.look()?;
        let now = survey.sight(wish.choice.filter.as_ref())?;
        let time = SystemTime::now();
        let events = match &before {
            Some(before) => events::between(before, &now, time),
            None if wish.json => events::found(&now, time),
            None => Vec::new(),
        };
        before = Some(now);
        if tell(&events, &wish).is_err() {
            return Ok(());
        }
        looks += 1;
        if wish.count.is_some_and(|count| looks >= count) {
            return Ok(());
        }
        std::thread::sleep(wish.every);
    }
}

fn tell(events: &[Event], wish: &Wish) -> std::io::Result<()> {
    let mut stdout = std::io::stdout().lock();
    for event in events {
        match wish.json {
            true => writeln!(stdout, "{}", event.json())?,
            false => writeln!(stdout, "{}", event.line(wish.paint))?,
        }
    }
    stdout.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_loop_is_refused() {
        assert_eq!(interval("2s"), Ok(Duration::from_secs(2)));
        assert!(interval("0").is_err_and(|why| why.contains("time unit") || why.contains("least")));
        assert!(interval("0s").is_err_and(|why| why.contains("100ms is the least")));
        assert!(interval("1ms").is_err());
    }
}
