//! On a terminal: everything fits its width, and it is given back as it was whatever ends `watch`.

use nix::sys::signal::Signal;
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};

use super::ns_inspect;
use super::views::started;
use crate::harness::{Container, Pty, Running};

/// `ns-inspect` on a terminal of this many columns.
fn on_terminal(words: &[&str], columns: u16) -> (Pty, Running, std::fs::File) {
    let (pty, tty) = Pty::new();
    let size = Winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(pty.master(), size).expect("set the terminal's size");
    let running = ns_inspect(words).env("TERM", "xterm").env("LC_ALL", "C.UTF-8").env("NO_COLOR", "1").start_on(&tty);
    (pty, running, tty)
}

/// The lines of a screen or of output, without what moves the cursor.
fn lines(text: &str) -> Vec<String> {
    let mut plain = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\x1b' => drop(chars.by_ref().skip(1).find(|c| c.is_ascii_alphabetic())),
            '\r' => {}
            c => plain.push(c),
        }
    }
    plain.lines().map(str::to_owned).collect()
}

#[test]
fn everything_fits_the_terminal() {
    let (running, _) = started(&["--map-root-user", "--uts", "--ipc", "--net"], "true");
    let pid = running.pid().to_string();
    for columns in [80, 50] {
        for words in [&[][..], &["tree"], &["explain", &pid], &["net", &pid], &["mnt", &pid], &["pid", &pid]] {
            let (pty, running, tty) = on_terminal(words, columns);
            drop(tty);
            let text = pty.rest();
            running.wait().ok();
            let lines = lines(&text);
            assert!(lines.len() > 1, "{words:?}: {text}");
            let wide = lines.iter().find(|line| line.chars().count() > usize::from(columns));
            assert_eq!(wide, None, "{words:?} at {columns}");
        }
    }
    // What was cut is seen to be, and is whole in a pipe.
    let (pty, running, tty) = on_terminal(&[], 50);
    drop(tty);
    assert!(pty.rest().contains('…'));
    running.wait().ok();
    assert!(!ns_inspect(&[]).env("LC_ALL", "C.UTF-8").run().ok().stdout().contains('…'));
}

#[test]
fn watch_gives_the_terminal_back_when_a_signal_ends_it() {
    for signal in [Signal::SIGTERM, Signal::SIGHUP, Signal::SIGINT, Signal::SIGQUIT] {
        let (mut pty, running, tty) = on_terminal(&["watch"], 50);
        pty.expect("ns-inspect watch");
        running.signal(signal);
        running.wait().exits(128 + signal as i32);
        let modes = tcgetattr(&tty).expect("the terminal's modes").local_modes;
        assert!(modes.contains(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG), "{modes:?}");
        drop(tty);
        let text = pty.rest();
        assert!(text.ends_with("\x1b[?25h\x1b[?1049l"), "{signal}: {text:?}");
    }
}

#[test]
fn a_containers_name_is_whole_when_other_columns_make_room() {
    let container = Container::running();
    let (pty, running, tty) = on_terminal(&[], 60);
    drop(tty);
    let text = pty.rest();
    running.wait().ok();
    let row = lines(&text).into_iter().find(|line| line.starts_with(&container.id)).unwrap_or_else(|| panic!("{text}"));
    assert!(row.contains(&container.pid().to_string()), "{row}");
}
