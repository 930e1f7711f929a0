//! How wide text is on a terminal, and what of it is safe to print there.

use std::env;
use std::io::IsTerminal;
use std::sync::OnceLock;

/// Whether the locale's characters are UTF-8, by the variables that setlocale(3) reads.
pub(crate) fn is_utf8() -> bool {
    static UTF8: OnceLock<bool> = OnceLock::new();
    *UTF8.get_or_init(|| {
        let set =
            ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(|name| env::var(name).ok().filter(|v| !v.is_empty()));
        set.is_some_and(|locale| {
            let locale = locale.to_ascii_lowercase();
            locale.contains("utf-8") || locale.contains("utf8")
        })
    })
}

/// The width of the terminal on standard output; `None` where it is not one.
pub(crate) fn terminal() -> Option<usize> {
    let stdout = std::io::stdout();
    if !stdout.is_terminal() {
        return None;
    }
    let asked = rustix::termios::tcgetwinsize(&stdout).ok().map(|size| usize::from(size.ws_col)).filter(|&w| w > 0);
    asked.or_else(|| env::var("COLUMNS").ok()?.parse().ok().filter(|&w| w > 0)).or(Some(80))
}

/// Ranges of characters that take no room (combining marks, joiners) or that of two (East Asian, emoji).
const ZERO: [(u32, u32); 6] =
    [(0x300, 0x36f), (0x483, 0x489), (0x591, 0x5bd), (0x200b, 0x200f), (0xfe00, 0xfe0f), (0x20d0, 0x20f0)];
const WIDE: [(u32, u32); 9] = [
    (0x1100, 0x115f),
    (0x2e80, 0x303e),
    (0x3041, 0xa4cf),
    (0xac00, 0xd7a3),
    (0xf900, 0xfaff),
    (0xfe30, 0xfe6f),
    (0xff00, 0xff60),
    (0x1f300, 0x1faff),
    (0x20000, 0x3fffd),
];

fn of_char(c: char) -> usize {
    let code = u32::from(c);
    let within = |ranges: &[(u32, u32)]| ranges.iter().any(|&(first, last)| (first..=last).contains(&code));
    if code < 0x300 {
        1
    } else if within(&ZERO) {
        0
    } else if within(&WIDE) {
        2
    } else {
        1
    }
}

/// How many cells of a terminal the text takes. Colours (SGR sequences) take none.
pub(crate) fn of(text: &str) -> usize {
    let mut cells = 0;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c == '\x1b' {
            chars.by_ref().find(|&c| c == 'm');
        } else {
            cells += of_char(c);
        }
    }
    cells
}

/// As much of the text's beginning as fits.
pub(crate) fn cut(text: &str, wanted: usize) -> &str {
    let mut cells = 0;
    for (at, c) in text.char_indices() {
        cells += of_char(c);
        if cells > wanted {
            return &text[..at];
        }
    }
    text
}

/// What stands for what was cut off.
pub(crate) fn ellipsis() -> &'static str {
    if is_utf8() { "…" } else { "..." }
}

/// The text, or as much of its beginning as fits with an ellipsis behind it. Colours take no room, and end with it.
pub(crate) fn fit(text: &str, room: usize) -> String {
    fit_before(text, room, ellipsis())
}

/// Plain text, or as much of its beginning and its end as fits with an ellipsis in between.
pub(crate) fn fit_middle(text: &str, room: usize) -> String {
    fit_middle_before(text, room, ellipsis())
}

/// As [`fit_middle`], with this for what was cut out.
pub(crate) fn fit_middle_before(text: &str, room: usize, middle: &str) -> String {
    let left = room.saturating_sub(of(middle));
    if of(text) <= room || left < 2 {
        return fit_before(text, room, middle);
    }
    let mut end = text.len();
    let mut cells = 0;
    for (at, c) in text.char_indices().rev() {
        cells += of_char(c);
        if cells > left / 2 {
            break;
        }
        end = at;
    }
    let beginning = cut(text, left - of(&text[end..]));
    format!("{beginning}{middle}{}", &text[end..])
}

/// As [`fit`], with this for what was cut off.
pub(crate) fn fit_before(text: &str, room: usize, end: &str) -> String {
    if of(text) <= room {
        return text.to_owned();
    }
    let end = if of(end) <= room { end } else { "" };
    let mut left = room - of(end);
    let (mut fitted, mut coloured) = (String::new(), false);
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c == '\x1b' {
            let code: String = std::iter::once(c).chain(chars.by_ref().take_while(|&c| c != 'm')).collect();
            coloured = !code.ends_with("[0");
            fitted.push_str(&code);
            fitted.push('m');
            continue;
        }
        if of_char(c) > left {
            break;
        }
        left -= of_char(c);
        fitted.push(c);
    }
    fitted.push_str(end);
    if coloured {
        fitted.push_str("\x1b[0m");
    }
    fitted
}

/// The first of the characters that stand for bytes which are no UTF-8, so that these can be told again: at the end of
/// what is for private use, where nothing else is.
const STRAY: u32 = 0x10_fe00;

/// Text of bytes that need not be UTF-8; [`bytes_of`] gives them back.
pub(crate) fn of_bytes(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().filter_map(|&byte| char::from_u32(STRAY + u32::from(byte))));
    }
    text
}

/// The byte that the character stands for, where it is none itself.
pub(crate) fn stray(c: char) -> Option<u8> {
    u32::from(c).checked_sub(STRAY).and_then(|byte| u8::try_from(byte).ok())
}

/// The bytes that the character was.
pub(crate) fn bytes_of(c: char) -> impl Iterator<Item = u8> {
    let mut bytes = [0; 4];
    let len = match stray(c) {
        Some(byte) => {
            bytes[0] = byte;
            1
        }
        None => c.encode_utf8(&mut bytes).len(),
    };
    bytes.into_iter().take(len)
}

/// Whether a character is not to be printed though it is no control character: it ends a line or a paragraph (U+2028, U+2029), or
/// is none at all. iswprint(3) says the same, by which util-linux goes.
fn is_unprintable(c: char) -> bool {
    matches!(c, '\u{2028}' | '\u{2029}' | '\u{fdd0}'..='\u{fdef}') || u32::from(c) & 0xfffe == 0xfffe
}

/// The text with everything that a terminal could act upon written as `\xNN`.
pub(crate) fn printable(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() || is_unprintable(c) || (!c.is_ascii() && !is_utf8()) || c == '\u{fffd}' || stray(c).is_some()
        {
            for byte in bytes_of(c) {
                safe.push_str(&format!("\\x{byte:02x}"));
            }
        } else {
            safe.push(c);
        }
    }
    safe
}

/// The text for a document in UTF-8, whatever the locale: with everything that is not to be seen written as `\xNN`, and
/// what would turn the direction of the text that follows.
pub(crate) fn safe(text: &str) -> String {
    let is_hidden = |c: char| {
        c.is_control()
            || stray(c).is_some()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
            || matches!(c, '\u{feff}' | '\u{fffd}'..='\u{ffff}' | '\u{e0000}'..='\u{e0fff}')
    };
    if !text.contains(is_hidden) {
        return text.to_owned();
    }
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        if is_hidden(c) {
            bytes_of(c).for_each(|byte| safe.push_str(&format!("\\x{byte:02x}")));
        } else {
            safe.push(c);
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wide_characters_take_two_cells_and_marks_none() {
        assert_eq!(of("日本"), 4);
        assert_eq!(of("e\u{301}"), 1);
        assert_eq!(of("\x1b[1mx\x1b[0m"), 1);
        assert_eq!(cut("日本", 3), "日");
    }

    #[test]
    fn what_is_cut_ends_in_an_ellipsis_and_without_colour() {
        let end = ellipsis();
        let room = 3 + of(end);
        assert_eq!(fit("abcdefgh", room), format!("abc{end}"));
        assert_eq!(fit("abcd", 4), "abcd");
        assert_eq!(fit("\x1b[1mabcdefgh\x1b[0m", room), format!("\x1b[1mabc{end}\x1b[0m"));
        assert_eq!(fit("\x1b[1ma\x1b[0mbcdefgh", room), format!("\x1b[1ma\x1b[0mbc{end}"));
    }

    #[test]
    fn what_is_not_to_be_seen_is_told_in_documents() {
        assert_eq!(safe("ü \u{202e}x\u{0}y\u{200b}"), "ü \\xe2\\x80\\xaex\\x00y\\xe2\\x80\\x8b");
        assert_eq!(safe(&of_bytes(b"a\xff")), "a\\xff");
    }

    #[test]
    fn names_are_cut_in_the_middle() {
        let end = ellipsis();
        assert_eq!(fit_middle("abcdefgh", 5 + of(end)), format!("abc{end}gh"));
        assert_eq!(fit_middle("日本日本", 5 + of(end)), format!("日{end}本"));
        assert_eq!(fit_middle("abcd", 4), "abcd");
        assert!((0..9).all(|room| of(&fit_middle("abcdefghi", room)) <= room));
    }

    #[test]
    fn nothing_that_a_terminal_acts_upon_gets_through() {
        assert_eq!(printable("a\x1b[2Jb\n"), "a\\x1b[2Jb\\x0a");
        assert_eq!(printable(&of_bytes(b"a\xff\xc3b")), "a\\xff\\xc3b");
        assert_eq!(printable("a\u{2028}b\u{2029}c\u{ffff}"), "a\\xe2\\x80\\xa8b\\xe2\\x80\\xa9c\\xef\\xbf\\xbf");
    }
}
