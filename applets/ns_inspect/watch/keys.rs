//! What keys send: single bytes, characters in UTF-8, and sequences behind an escape character.

/// A key, or what a combination of keys is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Char(char),
    Enter,
    Back,
    Tab,
    BackTab,
    Escape,
    Up,
    Down,
    Left,
    Right,
    PageUp,
    PageDown,
    Home,
    End,
    /// Control-U: empties a line.
    Clear,
    /// Control-L: draws anew.
    Redraw,
    /// Control-C and control-D.
    Interrupt,
    /// Control-Z.
    Suspend,
    /// One that means nothing here.
    Other,
}

/// How long a sequence can be before it is taken for none.
const LONGEST: usize = 16;

/// Whether more bytes may belong to the key that these begin with.
pub(super) fn is_unfinished(bytes: &[u8]) -> bool {
    match bytes {
        [27] => true,
        [27, b'[' | b'O', rest @ ..] => rest.len() < LONGEST && !rest.iter().any(|byte| (0x40..0x7f).contains(byte)),
        [first, ..] if *first >= 128 => {
            let few = &bytes[..bytes.len().min(4)];
            std::str::from_utf8(few).is_err_and(|error| error.valid_up_to() == 0 && error.error_len().is_none())
        }
        _ => false,
    }
}

/// The key that these bytes, of which there is at least one, begin with, and how many of them it sent.
pub(super) fn read(bytes: &[u8]) -> (Key, usize) {
    match bytes {
        [] => (Key::Other, 0),
        [27, b'[' | b'O', rest @ ..] => {
            let end = rest.iter().position(|byte| (0x40..0x7f).contains(byte)).unwrap_or(rest.len().saturating_sub(1));
            (sequence(rest.get(..=end).unwrap_or_default()), (3 + end).min(bytes.len()))
        }
        [27] => (Key::Escape, 1),
        // With the meta key held down.
        [27, ..] => (Key::Escape, 1),
        [3 | 4, ..] => (Key::Interrupt, 1),
        [8 | 127, ..] => (Key::Back, 1),
        [9, ..] => (Key::Tab, 1),
        [10 | 13, ..] => (Key::Enter, 1),
        [12, ..] => (Key::Redraw, 1),
        [21, ..] => (Key::Clear, 1),
        [26, ..] => (Key::Suspend, 1),
        [0..32, ..] => (Key::Other, 1),
        _ => character(bytes),
    }
}

fn character(bytes: &[u8]) -> (Key, usize) {
    for len in 1..=bytes.len().min(4) {
        if let Some(c) = std::str::from_utf8(&bytes[..len]).ok().and_then(|text| text.chars().next()) {
            return (if c.is_control() { Key::Other } else { Key::Char(c) }, len);
        }
    }
    (Key::Other, 1)
}

/// What comes behind `ESC [` or `ESC O`, as xterm, the Linux console, tmux and screen send it.
fn sequence(rest: &[u8]) -> Key {
    match rest {
        b"A" => Key::Up,
        b"B" => Key::Down,
        b"C" => Key::Right,
        b"D" => Key::Left,
        b"H" | b"1~" | b"7~" => Key::Home,
        b"F" | b"4~" | b"8~" => Key::End,
        b"5~" => Key::PageUp,
        b"6~" => Key::PageDown,
        b"Z" => Key::BackTab,
        b"M" => Key::Enter,
        _ => Key::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_told_from_what_they_send() {
        for (bytes, key) in [
            (&b"q"[..], Key::Char('q')),
            ("ü".as_bytes(), Key::Char('ü')),
            (b"\x1b[A", Key::Up),
            (b"\x1bOB", Key::Down),
            (b"\x1b[6~", Key::PageDown),
            (b"\x1b[1;5C", Key::Other),
            (b"\x1b", Key::Escape),
            (b"\r", Key::Enter),
            (b"\x03", Key::Interrupt),
            (b"\xff", Key::Other),
        ] {
            assert_eq!(read(bytes), (key, bytes.len()), "{bytes:?}");
            // Of two at once, the first is read.
            assert_eq!(read(&[bytes, b"x"].concat()), (key, bytes.len()), "{bytes:?}");
        }
    }

    #[test]
    fn a_sequence_is_waited_for_but_not_for_ever() {
        for unfinished in [&b"\x1b"[..], b"\x1b[", b"\x1b[1;", b"\xc3"] {
            assert!(is_unfinished(unfinished), "{unfinished:?}");
        }
        for finished in [&b"\x1b[A"[..], b"a", b"\x1b[1111111111111111111", b"\xff", "ü".as_bytes()] {
            assert!(!is_unfinished(finished), "{finished:?}");
        }
        assert_eq!(read(b"\x1b["), (Key::Other, 2));
    }
}
