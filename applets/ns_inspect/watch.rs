//! The overview, live: what came and what went since the look before. Not on a terminal it is a log of that.

use std::collections::{BTreeMap, VecDeque};
use std::io::{IsTerminal, Write};
use std::os::fd::AsFd;
use std::time::{Duration, SystemTime};

use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
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
    let mut screen = Screen::open();
    let mut notice = String::new();
    let mut before: Option<BTreeMap<(u64, u64), String>> = None;
    let mut events = VecDeque::new();
    let mut sort = 0;
    let mut rounds = 0;
    loop {
        let mut world = World::look()?;
        let now = names(&world, choice.filter.as_ref())?;
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
        let Some(screen) = &mut screen else {
            std::thread::sleep(every);
            continue;
        };
        let paint = paint.measured();
        let text = overview::view(&mut world, &choice, paint)?;
        screen.draw(&text, &notice, &events, &choice, paint)?;
        match screen.key(every)? {
            Key::Char('q') | Key::End => return Ok(()),
            Key::Signal(signal) => ended(screen, signal),
            Key::Char('s') => {
                choice.sort = Some(SORTS[sort % SORTS.len()].to_owned());
                sort += 1;
            }
            Key::Char('r') => {
                let by = choice.sort.take().unwrap_or_else(|| SORTS[0].to_owned());
                choice.sort = Some(by.strip_prefix('-').map_or_else(|| format!("-{by}"), str::to_owned));
            }
            Key::Char('/') => match screen.ask(paint)? {
                Answer::Kept => {}
                Answer::Line(line) => match overview::filter(line.trim()) {
                    Ok(filter) => {
                        choice.filter = Some(filter).filter(|_| !line.trim().is_empty());
                        notice.clear();
                        // What another filter shows neither came nor went.
                        before = None;
                    }
                    Err(why) => notice = why.to_string(),
                },
                Answer::Signal(signal) => ended(screen, signal),
            },
            _ => {}
        }
    }
}

/// What each namespace is called, of containers for which the filter holds where there is one.
fn names(world: &World, filter: Option<&Filter>) -> anyhow::Result<BTreeMap<(u64, u64), String>> {
    let shown = filter.map(|filter| overview::namespaces_of(world, filter)).transpose()?;
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
    let is_shown = |index: &usize| shown.as_ref().is_none_or(|shown| shown.contains(index));
    Ok((0..world.snapshot.namespaces.len()).filter(is_shown).map(name).collect())
}

/// Ends as the signal would have it, with the terminal as it was: dying puts nothing in order.
fn ended(screen: &Screen, signal: i32) -> ! {
    screen.restore();
    nskit::sys::signal::die_of(signal)
}

/// What was typed, or came in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Key {
    Char(char),
    Enter,
    Back,
    /// Empties the line.
    Clear,
    Escape,
    /// What ends programs: control-C and control-D, or the terminal's own end.
    End,
    /// An arrow and the like.
    Other,
    /// This signal asked for an end.
    Signal(i32),
    /// Nothing, for as long as was waited.
    None,
}

/// What a prompt led to.
enum Answer {
    /// It was cancelled.
    Kept,
    Line(String),
    Signal(i32),
}

/// A terminal that gives single keys; as it was when dropped.
struct Screen {
    before: Termios,
    signals: SignalFd,
    typed: VecDeque<u8>,
}

/// How long the rest of what a key sends may take behind an escape character, which is a key too.
const SEQUENCE: Duration = Duration::from_millis(40);

impl Screen {
    fn open() -> Option<Screen> {
        let stdin = std::io::stdin();
        if !stdin.is_terminal() || !std::io::stdout().is_terminal() {
            return None;
        }
        let before = tcgetattr(&stdin).ok()?;
        // Blocked, so that the terminal is put in order before they act.
        let set: SigSet = [Signal::SIGTERM, Signal::SIGHUP, Signal::SIGINT, Signal::SIGQUIT].into_iter().collect();
        set.thread_block().ok()?;
        let signals = SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK).ok()?;
        let screen = Screen { before, signals, typed: VecDeque::new() };
        let mut modes = screen.before.clone();
        modes.local_modes -= LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG;
        let _ = tcsetattr(&stdin, OptionalActions::Now, &modes);
        write("\x1b[?1049h\x1b[?25l").ok()?;
        Some(screen)
    }

    /// Makes the terminal what it was. One that went away needs nothing.
    fn restore(&self) {
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, &self.before);
        let _ = write("\x1b[?25h\x1b[?1049l");
    }

    fn draw(
        &self,
        text: &str,
        notice: &str,
        events: &VecDeque<String>,
        choice: &Choice,
        paint: Paint,
    ) -> std::io::Result<()> {
        let rows = rustix::termios::tcgetwinsize(std::io::stdout()).map_or(24, |size| usize::from(size.ws_row));
        let shown = rows.saturating_sub(events.len() + 4);
        let sort = choice.sort.as_deref().unwrap_or("none");
        let filter = choice.filter.as_ref().map_or("none", |filter| filter.text());
        let head =
            format!("ns-inspect watch: q quit, s sort ({sort}), r reverse, / filter ({})", width::printable(filter));
        let notice = paint.paint(Style::Bad, &width::printable(notice));
        let lines =
            [paint.paint(Style::Heading, &head), notice].into_iter().chain(text.lines().take(shown).map(str::to_owned));
        let lines: Vec<String> = lines.chain([String::new()]).chain(events.iter().cloned()).collect();
        // Lines that are cut to the terminal do not wrap; the last one must not scroll.
        let lines: Vec<String> = lines.iter().map(|line| paint.fit(line)).collect();
        write(&format!("\x1b[H\x1b[2J{}", lines.join("\r\n")))
    }

    /// Waits for a key.
    fn key(&mut self, within: Duration) -> std::io::Result<Key> {
        let Some(byte) = self.byte(within)? else { return Ok(Key::None) };
        let byte = match byte {
            Input::Byte(byte) => byte,
            Input::Signal(signal) => return Ok(Key::Signal(signal)),
            Input::End => return Ok(Key::End),
        };
        Ok(match byte {
            3 | 4 => Key::End,
            b'\r' | b'\n' => Key::Enter,
            8 | 127 => Key::Back,
            21 => Key::Clear,
            27 => self.sequence()?,
            0..32 => Key::Other,
            _ => self.character(byte)?,
        })
    }

    /// What comes behind an escape character: nothing, or the rest of what an arrow and the like send.
    fn sequence(&mut self) -> std::io::Result<Key> {
        let mut next = || match self.byte(SEQUENCE) {
            Ok(Some(Input::Byte(byte))) => Ok(Some(byte)),
            Ok(_) => Ok(None),
            Err(error) => Err(error),
        };
        match next()? {
            None => return Ok(Key::Escape),
            Some(b'[' | b'O') => while next()?.is_some_and(|byte| !(0x40..0x7f).contains(&byte)) {},
            Some(_) => {}
        }
        Ok(Key::Other)
    }

    fn character(&mut self, first: u8) -> std::io::Result<Key> {
        let mut bytes = vec![first];
        while std::str::from_utf8(&bytes).is_err_and(|error| error.error_len().is_none()) {
            match self.byte(SEQUENCE)? {
                Some(Input::Byte(byte)) => bytes.push(byte),
                _ => break,
            }
        }
        let text = std::str::from_utf8(&bytes).ok();
        Ok(text.and_then(|text| text.chars().next()).map_or(Key::Other, Key::Char))
    }

    fn byte(&mut self, within: Duration) -> std::io::Result<Option<Input>> {
        if let Some(byte) = self.typed.pop_front() {
            return Ok(Some(Input::Byte(byte)));
        }
        let stdin = std::io::stdin();
        let timeout = Timespec { tv_sec: within.as_secs() as i64, tv_nsec: i64::from(within.subsec_nanos()) };
        let mut fds = [
            PollFd::from_borrowed_fd(self.signals.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(stdin.as_fd(), PollFlags::IN),
        ];
        match poll(&mut fds, Some(&timeout)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => return Ok(None),
            Ok(_) => {}
            Err(errno) => return Err(errno.into()),
        }
        if let Ok(Some(signal)) = self.signals.read_signal() {
            return Ok(Some(Input::Signal(signal.ssi_signo as i32)));
        }
        // Not through std's buffer, which poll(2) does not know.
        let mut bytes = [0; 64];
        match rustix::io::read(&stdin, &mut bytes)? {
            0 => Ok(Some(Input::End)),
            count => {
                self.typed.extend(&bytes[1..count]);
                Ok(Some(Input::Byte(bytes[0])))
            }
        }
    }

    /// Asks for a filter.
    fn ask(&mut self, paint: Paint) -> std::io::Result<Answer> {
        let mut line = String::new();
        loop {
            let help = paint.paint(Style::Faint, "Enter sets it, an empty one shows all, Esc keeps what there is");
            let help = paint.fit(&help);
            // As much of the end as there is room for.
            let room = paint.width().unwrap_or(80).saturating_sub("filter: ".len() + 1);
            let skipped = line.chars().count().saturating_sub(room);
            let seen: String = line.chars().skip(skipped).collect();
            write(&format!("\x1b[H\x1b[2K\r\n\x1b[2K{help}\x1b[Hfilter: {}\x1b[?25h", width::printable(&seen)))?;
            match self.key(Duration::from_secs(3600))? {
                Key::Enter => break,
                Key::Escape | Key::End => {
                    write("\x1b[?25l")?;
                    return Ok(Answer::Kept);
                }
                Key::Signal(signal) => return Ok(Answer::Signal(signal)),
                Key::Back => drop(line.pop()),
                Key::Clear => line.clear(),
                Key::Char(c) => line.push(c),
                Key::Other | Key::None => {}
            }
        }
        write("\x1b[?25l")?;
        Ok(Answer::Line(line))
    }
}

/// What the terminal, or somebody in its place, sent.
enum Input {
    Byte(u8),
    Signal(i32),
    End,
}

fn write(text: &str) -> std::io::Result<()> {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.restore();
    }
}
