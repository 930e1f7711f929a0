//! Colours, where they are wanted: on a terminal, unless `NO_COLOR` is set or `--color` says otherwise.

use std::env;
use std::io::IsTerminal;

use super::width;

/// What a piece of text is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Style {
    /// Nothing special.
    #[default]
    Plain,
    /// A heading.
    Heading,
    /// Shared with the host.
    Host,
    /// Shared with another container.
    Shared,
    /// Its own.
    Own,
    /// The name of something.
    Name,
    /// Allowed, there.
    Good,
    /// Refused, missing.
    Bad,
    /// Worth less attention.
    Faint,
}

impl Style {
    fn code(self) -> &'static str {
        match self {
            Style::Plain => "",
            Style::Heading => "1",
            Style::Host => "33",
            Style::Shared => "36",
            Style::Own | Style::Good => "32",
            Style::Name => "1;34",
            Style::Bad => "31",
            Style::Faint => "2",
        }
    }
}

/// Whether to colour, and how wide to be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Paint {
    colour: bool,
    width: Option<usize>,
}

impl Paint {
    /// `when` is `auto`, `always` or `never`.
    pub(crate) fn new(when: &str) -> Paint {
        let colour = match when {
            "always" => true,
            "never" => false,
            _ => {
                let refused = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
                    || env::var_os("TERM").is_some_and(|term| term == "dumb");
                std::io::stdout().is_terminal() && !refused
            }
        };
        Paint { colour, width: width::terminal() }
    }

    /// No colour, and this wide.
    #[cfg(test)]
    pub(crate) fn plain(width: Option<usize>) -> Paint {
        Paint { colour: false, width }
    }

    /// The same, for text that need not fit.
    pub(crate) fn endless(self) -> Paint {
        Paint { width: None, ..self }
    }

    /// Whether there are colours.
    pub(crate) fn has_colour(self) -> bool {
        self.colour
    }

    /// The width to fit into.
    pub(crate) fn width(self) -> Option<usize> {
        self.width
    }

    /// A sentence, broken between words where the terminal is narrower; what follows is indented further.
    pub(crate) fn wrap(self, text: &str, indent: &str) -> String {
        let room = self.width.unwrap_or(usize::MAX);
        let mut out = String::new();
        let mut line = String::new();
        for word in text.split(' ') {
            if !line.is_empty() && width::of(&line) + 1 + width::of(word) > room {
                out.push_str(&line);
                out.push('\n');
                line = format!("{indent}  {word}");
            } else if line.is_empty() {
                line = format!("{indent}{word}");
            } else {
                line.push(' ');
                line.push_str(word);
            }
        }
        out + &line + "\n"
    }

    /// A line, cut to the terminal.
    pub(crate) fn fit(self, line: &str) -> String {
        match self.width {
            Some(room) => width::fit(line, room),
            None => line.to_owned(),
        }
    }

    pub(crate) fn paint(self, style: Style, text: &str) -> String {
        if self.colour && style != Style::Plain && !text.is_empty() {
            format!("\x1b[{}m{text}\x1b[0m", style.code())
        } else {
            text.to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_are_broken_between_words() {
        assert_eq!(Paint::plain(Some(10)).wrap("aaaa bbbb cccc", "  "), "  aaaa\n    bbbb\n    cccc\n");
        assert_eq!(Paint::plain(None).wrap("aaaa bbbb cccc", "  "), "  aaaa bbbb cccc\n");
    }

    #[test]
    fn colour_can_be_forced_and_forbidden() {
        assert_eq!(Paint::new("always").paint(Style::Bad, "no"), "\x1b[31mno\x1b[0m");
        assert_eq!(Paint::new("never").paint(Style::Bad, "no"), "no");
        assert_eq!(Paint::new("auto").paint(Style::Bad, "no"), "no", "tests have no terminal");
    }
}
