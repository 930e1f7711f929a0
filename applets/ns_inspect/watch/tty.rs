//! The terminal as the screen uses it: its modes, its size, keys and signals as they come, and the backend of the library
//! that draws.

use std::collections::VecDeque;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::time::Duration;

use nix::sys::signal::Signal;
use nix::sys::signalfd::SignalFd;
use ratatui_core::backend::{Backend, ClearType, WindowSize};
use ratatui_core::buffer::Cell;
use ratatui_core::layout::{Position, Size};
use ratatui_core::style::{Color, Modifier};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcgetpgrp, tcsetattr};

use super::keys::{self, Key};
use super::signals::{self, Act};

/// The alternate screen without a cursor, and back. Colours end too.
const ENTER: &str = "\x1b[?1049h\x1b[?25l";
const LEAVE: &str = "\x1b[0m\x1b[?25h\x1b[?1049l";

/// Frames between these are shown at once, by terminals that know how; others ignore it.
const BEGIN: &[u8] = b"\x1b[?2026h";
const SHOW: &[u8] = b"\x1b[?2026l";

/// The terminal as it was.
#[derive(Clone)]
pub(super) struct Before(Termios);

impl Before {
    /// Makes the terminal that again. One that went away needs nothing; one that another job has by now keeps its modes.
    pub(super) fn restore(&self) {
        let stdin = io::stdin();
        let is_anothers = tcgetpgrp(&stdin).is_ok_and(|foreground| foreground != rustix::process::getpgrp());
        if !is_anothers {
            let _ = tcsetattr(&stdin, OptionalActions::Now, &self.0);
        }
        let _ = write(LEAVE.as_bytes());
    }
}

/// Standard input and output, both the terminal.
pub(super) struct Tty {
    pub(super) before: Before,
    signals: Option<SignalFd>,
    typed: VecDeque<u8>,
    /// The signal that asked for an end.
    pub(super) ended_by: Option<i32>,
}

/// What came from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Input {
    /// A key.
    Key(Key),
    /// The terminal has another size, or has to be drawn anew.
    Resized,
    /// The terminal went away, or a signal asked for an end.
    End,
    /// Nothing, for as long as was waited.
    None,
}

impl Tty {
    /// The terminal, where standard input and output are one.
    pub(super) fn find() -> Option<Tty> {
        let stdin = io::stdin();
        if !stdin.is_terminal() || !io::stdout().is_terminal() {
            return None;
        }
        let before = tcgetattr(&stdin).ok()?;
        Some(Tty { before: Before(before), signals: None, typed: VecDeque::new(), ended_by: None })
    }

    /// Sets the modes that there are already, which only a process in the foreground may do.
    pub(super) fn claim(&self) -> io::Result<()> {
        Ok(tcsetattr(io::stdin(), OptionalActions::Now, &self.before.0)?)
    }

    /// Takes the terminal: single keys, no echo, a screen of its own.
    pub(super) fn enter(&mut self) -> io::Result<()> {
        if self.signals.is_none() {
            self.signals = Some(signals::hold()?);
        }
        let mut modes = self.before.0.clone();
        modes.local_modes -= LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG | LocalModes::IEXTEN;
        modes.input_modes -= rustix::termios::InputModes::ICRNL | rustix::termios::InputModes::IXON;
        modes.special_codes[SpecialCodeIndex::VMIN] = 1;
        modes.special_codes[SpecialCodeIndex::VTIME] = 0;
        tcsetattr(io::stdin(), OptionalActions::Now, &modes)?;
        write(ENTER.as_bytes())
    }

    /// Stops, with the terminal as it was meanwhile.
    pub(super) fn suspend(&mut self) -> io::Result<()> {
        self.before.restore();
        // The parent too, or the shell would wait for it.
        let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(0), Signal::SIGTSTP);
        signals::stop_here();
        self.enter()
    }

    /// Waits for a key or a signal.
    pub(super) fn next(&mut self, within: Duration) -> io::Result<Input> {
        if self.typed.is_empty() {
            let limit = Timespec::try_from(within).unwrap_or(Timespec { tv_sec: 3600, tv_nsec: 0 });
            match self.wait(&limit)? {
                Some(input) => return Ok(input),
                None if self.typed.is_empty() => return Ok(Input::None),
                None => {}
            }
        }
        // The rest of what a key sends may take a moment.
        while keys::is_unfinished(self.typed.make_contiguous()) {
            let before = self.typed.len();
            let limit = Timespec { tv_sec: 0, tv_nsec: 40_000_000 };
            if let Some(input) = self.wait(&limit)? {
                return Ok(input);
            }
            if self.typed.len() == before {
                break;
            }
        }
        let (key, len) = keys::read(self.typed.make_contiguous());
        self.typed.drain(..len);
        Ok(Input::Key(key))
    }

    /// Waits for signals, which are told, and for what is typed, which is kept.
    fn wait(&mut self, limit: &Timespec) -> io::Result<Option<Input>> {
        let Some(signals) = &self.signals else { return Ok(Some(Input::End)) };
        let stdin = io::stdin();
        let mut fds = [
            PollFd::from_borrowed_fd(signals.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(stdin.as_fd(), PollFlags::IN),
        ];
        match poll(&mut fds, Some(limit)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => return Ok(None),
            Ok(_) => {}
            Err(errno) => return Err(errno.into()),
        }
        let is_typed = !fds[1].revents().is_empty();
        let arrived = std::iter::from_fn(|| signals.read_signal().ok().flatten());
        let arrived: Vec<i32> = arrived.map(|info| info.ssi_signo as i32).collect();
        let mut told = None;
        for signal in arrived {
            match signals::act(signal) {
                Act::End => {
                    self.ended_by = Some(signal);
                    return Ok(Some(Input::End));
                }
                Act::Stop => {
                    self.suspend()?;
                    told = Some(Input::Resized);
                }
                Act::Resize => told = Some(Input::Resized),
                Act::None => {}
            }
        }
        if is_typed {
            // Not through std's buffer, which poll(2) does not know.
            let mut bytes = [0; 256];
            match rustix::io::read(&stdin, &mut bytes) {
                Ok(0) | Err(rustix::io::Errno::IO) => return Ok(Some(Input::End)),
                Ok(count) => self.typed.extend(&bytes[..count]),
                Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(told)
    }
}

fn write(bytes: &[u8]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes)?;
    stdout.flush()
}

/// The size of the terminal: 80 by 24 where it does not tell.
pub(super) fn size() -> Size {
    let size = rustix::termios::tcgetwinsize(io::stdout()).ok().filter(|size| size.ws_col > 0 && size.ws_row > 0);
    size.map_or(Size::new(80, 24), |size| Size::new(size.ws_col, size.ws_row))
}

/// Writes cells that changed, a frame in one write.
#[derive(Default)]
pub(super) struct Ansi {
    frame: Vec<u8>,
}

impl Backend for Ansi {
    type Error = io::Error;

    fn draw<'a, I>(&mut self, content: I) -> io::Result<()>
    where
        I: Iterator<Item = (u16, u16, &'a Cell)>,
    {
        let mut at = None;
        let mut look = None;
        for (x, y, cell) in content {
            if at != Some((x, y)) {
                write!(self.frame, "\x1b[{};{}H", y + 1, x + 1)?;
            }
            let wanted = (cell.fg, cell.modifier);
            if look != Some(wanted) {
                self.style(wanted.0, wanted.1)?;
                look = Some(wanted);
            }
            self.frame.extend_from_slice(cell.symbol().as_bytes());
            // Characters of another width than one have the place of the next written anew.
            at = (cell.symbol().len() == 1).then(|| (x + 1, y));
        }
        if look.is_some() {
            self.frame.extend_from_slice(b"\x1b[0m");
        }
        Ok(())
    }

    fn hide_cursor(&mut self) -> io::Result<()> {
        self.frame.extend_from_slice(b"\x1b[?25l");
        Ok(())
    }

    fn show_cursor(&mut self) -> io::Result<()> {
        self.frame.extend_from_slice(b"\x1b[?25h");
        Ok(())
    }

    fn get_cursor_position(&mut self) -> io::Result<Position> {
        Ok(Position::ORIGIN)
    }

    fn set_cursor_position<P: Into<Position>>(&mut self, position: P) -> io::Result<()> {
        let position = position.into();
        write!(self.frame, "\x1b[{};{}H", position.y + 1, position.x + 1)
    }

    fn clear(&mut self) -> io::Result<()> {
        self.frame.extend_from_slice(b"\x1b[0m\x1b[2J");
        Ok(())
    }

    fn clear_region(&mut self, _: ClearType) -> io::Result<()> {
        self.clear()
    }

    fn size(&self) -> io::Result<Size> {
        Ok(size())
    }

    fn window_size(&mut self) -> io::Result<WindowSize> {
        Ok(WindowSize { columns_rows: size(), pixels: Size::ZERO })
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.frame.is_empty() {
            return Ok(());
        }
        let frame = [BEGIN, &self.frame, SHOW].concat();
        self.frame.clear();
        write(&frame)
    }
}

impl Ansi {
    fn style(&mut self, colour: Color, modifier: Modifier) -> io::Result<()> {
        self.frame.extend_from_slice(b"\x1b[0");
        let marks = [(Modifier::BOLD, 1), (Modifier::DIM, 2), (Modifier::UNDERLINED, 4), (Modifier::REVERSED, 7)];
        for (_, code) in marks.into_iter().filter(|(mark, _)| modifier.contains(*mark)) {
            write!(self.frame, ";{code}")?;
        }
        let code = match colour {
            Color::Red => 31,
            Color::Green => 32,
            Color::Yellow => 33,
            Color::Blue => 34,
            Color::Magenta => 35,
            Color::Cyan => 36,
            _ => 39,
        };
        write!(self.frame, ";{code}m")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_moved_moves_the_cursor() {
        let mut ansi = Ansi::default();
        let (a, b) = (Cell::new("a"), Cell::new("b"));
        ansi.draw([(0, 0, &a), (1, 0, &b), (5, 2, &b)].into_iter()).unwrap();
        assert_eq!(String::from_utf8(ansi.frame).unwrap(), "\x1b[1;1H\x1b[0;39mab\x1b[3;6Hb\x1b[0m");
    }
}
