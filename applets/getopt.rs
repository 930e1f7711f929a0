//! The argument grammar of getopt_long(3), with and without a leading `+`, to the letter, over a table of options from
//! which help, man pages and completions are made as well.
//!
//! clap knows no optional argument that must be attached, no unambiguous prefix among some options only and no error
//! that leaves the options before it in force; so this resolves the command line, and clap's [`Command`] is built from
//! the same table only to describe it.

use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use clap::{Arg, ArgAction, Command};

/// Whether an option takes an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Argument {
    /// None.
    No,
    /// One that must be attached; what it is called in help.
    Optional(&'static str),
    /// Attached, or else the next word; what it is called in help.
    Required(&'static str),
}

/// One option.
#[derive(Clone, Copy)]
pub(crate) struct Opt<T> {
    /// What the program knows it by.
    pub(crate) id: T,
    /// As in getopt's own string: the letter, with `:` when an argument is required and `::` when it is optional.
    /// Empty when there is none.
    pub(crate) short: &'static str,
    /// The name behind `--`.
    pub(crate) long: &'static str,
    /// The argument of the long form.
    pub(crate) argument: Argument,
    /// One line of help.
    pub(crate) help: &'static str,
    /// An option that util-linux lacks: its prefixes never make one of util-linux's ambiguous.
    pub(crate) own: bool,
}

impl<T> Opt<T> {
    /// An option of util-linux.
    pub(crate) const fn new(
        id: T,
        short: &'static str,
        long: &'static str,
        argument: Argument,
        help: &'static str,
    ) -> Opt<T> {
        Opt { id, short, long, argument, help, own: false }
    }

    /// An option of ours.
    pub(crate) const fn own(
        id: T,
        short: &'static str,
        long: &'static str,
        argument: Argument,
        help: &'static str,
    ) -> Opt<T> {
        Opt { id, short, long, argument, help, own: true }
    }
}

/// The words of a command line, taken apart one option at a time: an error leaves what came before it done.
pub(crate) struct Words<'a, T: 'static> {
    table: &'static [Opt<T>],
    args: &'a [OsString],
    next: usize,
    /// Where in `args[next]` the next letter of a cluster is; 0 when not in one.
    letter: usize,
    /// Behind `--`, where no word is an option.
    ended: bool,
}

impl<'a, T: Copy + 'static> Words<'a, T> {
    /// Over `args`, of which the first is the program's name.
    pub(crate) fn new(table: &'static [Opt<T>], args: &'a [OsString]) -> Words<'a, T> {
        Words { table, args, next: 1, letter: 0, ended: false }
    }

    /// What is left when the options have ended.
    pub(crate) fn rest(&self) -> &'a [OsString] {
        self.args.get(self.next..).unwrap_or(&[])
    }

    /// The word that is no option, where [`Words::option`] stopped; options may follow it, as they may without the
    /// leading `+`.
    pub(crate) fn operand(&mut self) -> Option<&'a OsString> {
        let word = self.args.get(self.next)?;
        self.next += 1;
        Some(word)
    }

    /// The next option and its argument; `None` at the first word that is none, or behind `--`.
    ///
    /// # Errors
    /// getopt's own sentence, without the program's name in front.
    pub(crate) fn option(&mut self) -> Result<Option<(T, Option<OsString>)>, String> {
        if self.letter > 0 {
            return self.short();
        }
        let Some(word) = self.args.get(self.next).filter(|_| !self.ended) else { return Ok(None) };
        match word.as_bytes() {
            b"--" => {
                self.next += 1;
                self.ended = true;
                Ok(None)
            }
            [b'-', b'-', name @ ..] => self.long(name),
            [b'-', _, ..] => {
                self.letter = 1;
                self.short()
            }
            _ => Ok(None),
        }
    }

    fn short(&mut self) -> Result<Option<(T, Option<OsString>)>, String> {
        let word = self.args[self.next].as_bytes();
        let letter = word[self.letter];
        let rest = &word[self.letter + 1..];
        if rest.is_empty() {
            self.next += 1;
            self.letter = 0;
        } else {
            self.letter += 1;
        }
        let found = self.table.iter().find(|option| option.short.bytes().next() == Some(letter) && letter != b':');
        let Some(option) = found else {
            // The byte as it is: it need not be a letter, nor all of one.
            return Err(format!("invalid option -- '{}'", OsStr::from_bytes(&[letter]).to_string_lossy()));
        };
        let attached = || OsString::from_vec(rest.to_vec());
        let argument = match &option.short[1..] {
            "" => return Ok(Some((option.id, None))),
            "::" if rest.is_empty() => None,
            _ if !rest.is_empty() => {
                self.next += 1;
                self.letter = 0;
                Some(attached())
            }
            _ => match self.args.get(self.next) {
                Some(word) => {
                    self.next += 1;
                    Some(word.clone())
                }
                None => return Err(format!("option requires an argument -- '{}'", char::from(letter))),
            },
        };
        Ok(Some((option.id, argument)))
    }

    fn long(&mut self, word: &[u8]) -> Result<Option<(T, Option<OsString>)>, String> {
        let (name, value) = match word.iter().position(|byte| *byte == b'=') {
            Some(at) => (&word[..at], Some(OsString::from_vec(word[at + 1..].to_vec()))),
            None => (word, None),
        };
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let exact = self.table.iter().find(|option| option.long.as_bytes() == name);
        let option = match exact {
            Some(option) => option,
            None => {
                let abbreviated =
                    |own| self.table.iter().filter(move |o| o.own == own && o.long.as_bytes().starts_with(name));
                let mut candidates: Vec<_> = abbreviated(false).collect();
                if candidates.is_empty() {
                    candidates = abbreviated(true).collect();
                }
                match candidates[..] {
                    [option] => option,
                    [] => return Err(format!("unrecognized option '--{}'", text(word))),
                    _ => {
                        let mut message = format!("option '--{}' is ambiguous; possibilities:", text(word));
                        for option in candidates {
                            let _ = write!(message, " '--{}'", option.long);
                        }
                        return Err(message);
                    }
                }
            }
        };
        self.next += 1;
        let argument = match (option.argument, value) {
            (Argument::No, Some(_)) => return Err(format!("option '--{}' doesn't allow an argument", option.long)),
            (Argument::Required(_), None) => match self.args.get(self.next) {
                Some(word) => {
                    self.next += 1;
                    Some(word.clone())
                }
                None => return Err(format!("option '--{}' requires an argument", option.long)),
            },
            (_, value) => value,
        };
        Ok(Some((option.id, argument)))
    }
}

/// The command that `table` describes, for help, man pages and completions.
pub(crate) fn command<T>(
    name: &'static str,
    about: &'static str,
    usage: &'static str,
    table: &'static [Opt<T>],
    program: &'static str,
) -> Command {
    let mut command = Command::new(name)
        .about(about)
        .override_usage(usage)
        .disable_help_flag(true)
        .disable_version_flag(true)
        .version(env!("CARGO_PKG_VERSION"));
    let text = clap::builder::OsStringValueParser::new();
    for option in table {
        let mut arg = Arg::new(option.long).long(option.long).help(option.help);
        if let Some(letter) = option.short.chars().next() {
            arg = arg.short(letter);
        }
        arg = match option.argument {
            Argument::No => match option.long {
                "help" => arg.action(ArgAction::Help),
                "version" => arg.action(ArgAction::Version),
                _ => arg.action(ArgAction::SetTrue),
            },
            Argument::Optional(value) => {
                arg.action(ArgAction::Append).value_name(value).num_args(0..=1).require_equals(true).value_parser(text)
            }
            Argument::Required(value) => arg.action(ArgAction::Append).value_name(value).num_args(1).value_parser(text),
        };
        command = command.arg(arg);
    }
    command
        .arg(Arg::new("program").value_name("PROGRAM [ARGUMENT]...").help(program).num_args(0..=1).value_parser(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &[Opt<u8>] = &[
        Opt::new(b'f', "f", "fork", Argument::No, ""),
        Opt::new(b'm', "m::", "mount", Argument::Optional("FILE"), ""),
        Opt::new(b'p', "", "mount-proc", Argument::Optional("DIR"), ""),
        Opt::new(b'R', "R:", "root", Argument::Required("DIR"), ""),
        Opt::own(b'o', "", "rootless", Argument::No, ""),
        Opt::own(b'x', "", "xtra", Argument::No, ""),
    ];

    type Taken<S> = (u8, Option<S>);

    fn all(args: &[&str]) -> (Vec<Taken<String>>, Result<Vec<String>, String>) {
        let args: Vec<OsString> = std::iter::once(&"tool").chain(args).map(OsString::from).collect();
        let mut words = Words::new(TABLE, &args);
        let mut taken = Vec::new();
        loop {
            match words.option() {
                Ok(Some((id, argument))) => taken.push((id, argument.map(|a| a.into_string().unwrap()))),
                Ok(None) => {
                    let rest = words.rest().iter().map(|word| word.clone().into_string().unwrap()).collect();
                    return (taken, Ok(rest));
                }
                Err(error) => return (taken, Err(error)),
            }
        }
    }

    fn takes(args: &[&str], expected: &[Taken<&str>], rest: &[&str]) {
        let (taken, left) = all(args);
        let taken: Vec<_> = taken.iter().map(|(id, argument)| (*id, argument.as_deref())).collect();
        assert_eq!(taken, expected, "{args:?}");
        assert_eq!(left.unwrap(), rest, "{args:?}");
    }

    fn refuses(args: &[&str], message: &str) {
        assert_eq!(all(args).1.unwrap_err(), message, "{args:?}");
    }

    #[test]
    fn takes_clusters_apart() {
        takes(
            &["-fm", "-ffR", "/x", "y"],
            &[(b'f', None), (b'm', None), (b'f', None), (b'f', None), (b'R', Some("/x"))],
            &["y"],
        );
        takes(&["-fmfile", "-R/x"], &[(b'f', None), (b'm', Some("file")), (b'R', Some("/x"))], &[]);
        takes(&["-m=file"], &[(b'm', Some("=file"))], &[]);
    }

    #[test]
    fn attaches_optional_arguments_only() {
        takes(&["-m", "file"], &[(b'm', None)], &["file"]);
        takes(&["--mount", "file"], &[(b'm', None)], &["file"]);
        takes(&["--mount=file", "--mount="], &[(b'm', Some("file")), (b'm', Some(""))], &[]);
    }

    #[test]
    fn ends_at_the_first_word_that_is_no_option() {
        takes(&["-f", "sh", "-f"], &[(b'f', None)], &["sh", "-f"]);
        takes(&["-f", "--", "-f"], &[(b'f', None)], &["-f"]);
        takes(&["-"], &[], &["-"]);
        takes(&["-R", "--", "x"], &[(b'R', Some("--"))], &["x"]);
    }

    #[test]
    fn understands_prefixes_that_name_one_option_of_the_original() {
        takes(&["--fo"], &[(b'f', None)], &[]);
        takes(&["--roo", "/x"], &[(b'R', Some("/x"))], &[]);
        takes(&["--rootl", "--x"], &[(b'o', None), (b'x', None)], &[]);
        takes(&["--mount-=x"], &[(b'p', Some("x"))], &[]);
        refuses(&["--mou=x"], "option '--mou=x' is ambiguous; possibilities: '--mount' '--mount-proc'");
        refuses(&["--=x"], "option '--=x' is ambiguous; possibilities: '--fork' '--mount' '--mount-proc' '--root'");
    }

    #[test]
    fn refuses_in_getopts_words() {
        refuses(&["--bogus=1"], "unrecognized option '--bogus=1'");
        refuses(&["--fork=1"], "option '--fork' doesn't allow an argument");
        refuses(&["--fo=1"], "option '--fork' doesn't allow an argument");
        refuses(&["--root"], "option '--root' requires an argument");
        refuses(&["-R"], "option requires an argument -- 'R'");
        refuses(&["-fz"], "invalid option -- 'z'");
        refuses(&["-:"], "invalid option -- ':'");
        refuses(&["-f-"], "invalid option -- '-'");
    }

    #[test]
    fn describes_itself_to_clap() {
        command("tool", "", "tool", TABLE, "").debug_assert();
    }
}
