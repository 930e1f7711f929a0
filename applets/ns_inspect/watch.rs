//! The overview, live: what came and what went since the look before. Not on a terminal it is a log of that.

use std::collections::{BTreeMap, VecDeque};
use std::io::{IsTerminal, Read, Write};
use std::os::fd::AsFd;
use std::time::{Duration, SystemTime};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use super::filter::Filter;
use super::paint::{Paint, Style};
use super::world::World;
use super::{Choice, facts, overview, width};

/// Columns that the key `s` goes through.
const SORTS: [&str; 6] = ["CONTAINER", "ENGINE", "PID", "-PROCS", "-MEMORY", "AGE"];

/// How many events are kept on the screen.
const EVENTS: usize = 12;

/// Keeps looking until the key `q`, or forever where there is no terminal.
pub(crate) fn run(every: Duration, count: Option<u64>, mut choice: Choice, paint: Paint) -> anyhow::Result<()> {
    let screen = Screen::open();
    let mut before: Option<BTreeMap<(u64, u64), String>> = None;
    let mut events = VecDeque::new();
    let mut sort = 0;
    let mut rounds = 0;
    loop {
        let mut world = World::look()?;
        let now = names(&world);
        let mut came = Vec::new();
        if let Some(before) = &before {
            came.extend(
                before.iter().filter(|(identity, _)| !now.contains_key(identity)).map(|(_, name)| ('-', name.clone())),
            );
            came.extend(
                now.iter().filter(|(identity, _)| !before.contains_key(identity)).map(|(_, name)| ('+', name.clone())),
            );
        }
        before = Some(now);
        let time = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
        for (sign, name) in came {
            let style = if sign == '+' { Style::Good } else { Style::Bad };
            let line = paint.paint(style, &format!("{time} {sign} {name}"));
            if screen.is_some() {
                events.push_front(line);
                events.truncate(EVENTS);
            } else {
                let mut stdout = std::io::stdout().lock();
                if writeln!(stdout, "{line}").and_then(|()| stdout.flush()).is_err() {
                    return Ok(());
                }
            }
        }
        rounds += 1;
        if count.is_some_and(|count| rounds >= count) {
            return Ok(());
        }
        let Some(screen) = &screen else {
            std::thread::sleep(every);
            continue;
        };
        screen.draw(&overview::view(&mut world, &choice, paint)?, &events, &choice, paint)?;
        match screen.key(every)? {
            Some(b'q' | 3 | 4) => return Ok(()),
            Some(b's') => {
                choice.sort = Some(SORTS[sort % SORTS.len()].to_owned());
                sort += 1;
            }
            Some(b'r') => {
                let by = choice.sort.take().unwrap_or_else(|| SORTS[0].to_owned());
                choice.sort = Some(by.strip_prefix('-').map_or_else(|| format!("-{by}"), str::to_owned));
            }
            Some(b'/') => choice.filter = screen.ask_filter()?,
            _ => {}
        }
    }
}

fn names(world: &World) -> BTreeMap<(u64, u64), String> {
    let name = |index: usize| {
        let namespace = &world.snapshot.namespaces[index];
        let containers: Vec<String> = world.containers_in(index).iter().map(|container| container.title()).collect();
        let whose = match (containers.is_empty(), world.snapshot.leader(namespace)) {
            (false, _) => containers.join(", "),
            (true, Some(process)) => format!("{} {}", process.pid, facts::command(process.pid)),
            (true, None) => overview::keepers(world, index).first().cloned().unwrap_or_default(),
        };
        // The inode number alone is used again as soon as it is free.
        ((namespace.inode, namespace.id.unwrap_or_default()), width::printable(&format!("{namespace} {whose}")))
    };
    (0..world.snapshot.namespaces.len()).map(name).collect()
}

/// A terminal that gives single keys; as it was when dropped.
struct Screen {
    before: Termios,
}

impl Screen {
    fn open() -> Option<Screen> {
        let stdin = std::io::stdin();
        if !stdin.is_terminal() || !std::io::stdout().is_terminal() {
            return None;
        }
        let before = tcgetattr(&stdin).ok()?;
        let screen = Screen { before };
        screen.raw(true);
        print!("\x1b[?1049h\x1b[?25l");
        Some(screen)
    }

    fn raw(&self, raw: bool) {
        let mut modes = self.before.clone();
        if raw {
            modes.local_modes -= LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG;
        }
        // A terminal that went away needs no modes.
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, &modes);
    }

    fn draw(&self, text: &str, events: &VecDeque<String>, choice: &Choice, paint: Paint) -> anyhow::Result<()> {
        let rows = rustix::termios::tcgetwinsize(std::io::stdout()).map_or(24, |size| usize::from(size.ws_row));
        let shown = rows.saturating_sub(events.len() + 3);
        let sort = choice.sort.as_deref().unwrap_or("none");
        let head = format!("ns-inspect watch: q quit, s sort ({sort}), r reverse, / filter");
        let mut out = format!("\x1b[H\x1b[2J{}\n", paint.paint(Style::Heading, &head));
        for line in text.lines().take(shown) {
            out.push_str(line);
            out.push('\n');
        }
        for event in events {
            out.push_str(&format!("\n{event}"));
        }
        let mut stdout = std::io::stdout().lock();
        stdout.write_all(out.as_bytes())?;
        Ok(stdout.flush()?)
    }

    fn key(&self, within: Duration) -> anyhow::Result<Option<u8>> {
        let stdin = std::io::stdin();
        let timeout = Timespec { tv_sec: within.as_secs() as i64, tv_nsec: i64::from(within.subsec_nanos()) };
        let mut fds = [PollFd::from_borrowed_fd(stdin.as_fd(), PollFlags::IN)];
        match poll(&mut fds, Some(&timeout)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => return Ok(None),
            Ok(_) => {}
            Err(errno) => return Err(errno.into()),
        }
        let mut key = [0];
        Ok(match stdin.lock().read(&mut key)? {
            0 => Some(b'q'),
            _ => Some(key[0]),
        })
    }

    fn ask_filter(&self) -> anyhow::Result<Option<Filter>> {
        self.raw(false);
        print!("\x1b[H\x1b[2Kfilter (NET == \"host\"): \x1b[?25h");
        std::io::stdout().flush()?;
        let mut line = String::new();
        std::io::stdin().read_line(&mut line)?;
        self.raw(true);
        print!("\x1b[?25l");
        Ok(Filter::parse(line.trim()).ok().filter(|_| !line.trim().is_empty()))
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.raw(false);
        print!("\x1b[?25h\x1b[?1049l");
        let _ = std::io::stdout().flush();
    }
}
