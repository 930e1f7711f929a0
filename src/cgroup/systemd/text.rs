//! Values of systemd properties as people write them in annotations: GVariant's text form, as runc takes it. Pure.
//!
//! `true`, `42`, `-1.5`, `'text'`, `uint64 42`, `@as []`, `['a', 'b']`, `('a', 1)`, `{'key': 1}`, `<'in a variant'>`,
//! `b'bytes'`. A number without a type is an `int32`, or with a point a `double`. See the documentation of GLib,
//! "GVariant Text Format".

use super::signature::{first_type, is_object_path};
use super::wire::Value;

/// How deep values may be in each other.
const DEEPEST: usize = 16;

/// The words before a value that say its type.
const TYPES: [(&str, &str); 12] = [
    ("boolean", "b"),
    ("byte", "y"),
    ("int16", "n"),
    ("uint16", "q"),
    ("int32", "i"),
    ("handle", "i"),
    ("uint32", "u"),
    ("int64", "x"),
    ("uint64", "t"),
    ("double", "d"),
    ("objectpath", "o"),
    ("signature", "g"),
];

/// Reads a value.
///
/// # Errors
/// What is wrong with it, and where.
pub fn parse(text: &str) -> Result<Value, String> {
    let mut parser = Parser { text, at: 0, depth: 0 };
    let value = parser.value(None)?;
    parser.skip_space();
    if !parser.rest().is_empty() {
        return Err(format!("{:?} is too much", parser.rest()));
    }
    // A tuple can be too wide; and the message has one byte for the length of a type, in each variant within too.
    if value.is_sendable() { Ok(value) } else { Err("its type is too long".to_owned()) }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
}

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn skip_space(&mut self) {
        self.at = self.text.len() - self.rest().trim_start().len();
    }

    fn eat(&mut self, what: &str) -> bool {
        self.skip_space();
        let found = self.rest().starts_with(what);
        if found {
            self.at += what.len();
        }
        found
    }

    fn expect(&mut self, what: &str) -> Result<(), String> {
        if self.eat(what) { Ok(()) } else { Err(format!("{what:?} is missing before {:?}", self.rest())) }
    }

    /// The characters from here on that are like this.
    fn while_like(&mut self, like: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let taken = &rest[..rest.find(|c| !like(c)).unwrap_or(rest.len())];
        self.at += taken.len();
        taken
    }

    /// The next value, which is to be of the type `wanted`, or of the one that it looks like.
    fn value(&mut self, wanted: Option<&str>) -> Result<Value, String> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err("it is nested too deeply".to_owned());
        }
        self.skip_space();
        let value = match self.rest().chars().next() {
            None => return Err("a value is missing".to_owned()),
            Some('\'' | '"') => string(self.quoted()?, wanted)?,
            Some('b') if self.rest().starts_with("b'") || self.rest().starts_with("b\"") => {
                self.at += 1;
                let mut bytes = self.quoted_bytes()?;
                // As GVariant has it.
                bytes.push(0);
                typed(Value::bytes(&bytes), wanted)?
            }
            Some('[') => self.array(wanted)?,
            Some('{') => self.dictionary(wanted)?,
            Some('(') => self.tuple(wanted)?,
            Some('<') => {
                self.at += 1;
                let inner = self.value(None)?;
                self.expect(">")?;
                typed(inner.in_variant(), wanted)?
            }
            Some('@') => {
                self.at += 1;
                let signature = self.while_like(|c| c.is_ascii_alphanumeric() || "(){}".contains(c));
                match first_type(signature) {
                    Some((whole, "")) => typed(self.value(Some(whole))?, wanted)?,
                    _ => return Err(format!("@{signature} is not a type")),
                }
            }
            Some(c) if c.is_ascii_alphabetic() => self.word(wanted)?,
            Some(_) => {
                let number = self.while_like(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
                self::number(number, wanted)?
            }
        };
        self.depth -= 1;
        Ok(value)
    }

    fn word(&mut self, wanted: Option<&str>) -> Result<Value, String> {
        let word = self.while_like(|c| c.is_ascii_alphanumeric());
        match word {
            "true" | "false" => typed(Value::Bool(word == "true"), wanted),
            "inf" | "nan" => number(word, wanted),
            "string" => typed(self.value(Some("s"))?, wanted),
            _ => match TYPES.iter().find(|(name, _)| *name == word) {
                Some((_, signature)) => typed(self.value(Some(signature))?, wanted),
                None => Err(format!("{word:?} is neither a type nor a value (a text needs quotes)")),
            },
        }
    }

    /// The text between quotes.
    fn quoted(&mut self) -> Result<String, String> {
        let mut characters = self.rest().char_indices();
        let quote = characters.next().map(|(_, quote)| quote);
        let mut text = String::new();
        while let Some((at, c)) = characters.next() {
            if Some(c) == quote {
                self.at += at + 1;
                return Ok(text);
            }
            if c != '\\' {
                text.push(c);
                continue;
            }
            match characters.next().map(|(_, escaped)| escaped) {
                Some('n') => text.push('\n'),
                Some('t') => text.push('\t'),
                Some('r') => text.push('\r'),
                Some('a') => text.push('\u{7}'),
                Some('b') => text.push('\u{8}'),
                Some('f') => text.push('\u{c}'),
                Some('v') => text.push('\u{b}'),
                Some('\n') => {}
                Some(kind @ ('u' | 'U')) => {
                    let digits: String =
                        characters.by_ref().take(if kind == 'u' { 4 } else { 8 }).map(|(_, c)| c).collect();
                    let character = u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32);
                    text.push(character.ok_or_else(|| format!("\\{kind}{digits} is no character"))?);
                }
                Some(other) => text.push(other),
                None => break,
            }
        }
        Err("a quote is missing at the end".to_owned())
    }

    /// The bytes between quotes, of which those that are no text are written `\377`, or, as runc takes them, `\xff`.
    fn quoted_bytes(&mut self) -> Result<Vec<u8>, String> {
        let rest = self.rest().as_bytes();
        let mut bytes = Vec::new();
        let mut at = 1;
        while let Some(&byte) = rest.get(at) {
            at += 1;
            if byte == rest[0] {
                self.at += at;
                return Ok(bytes);
            }
            if byte != b'\\' {
                bytes.push(byte);
                continue;
            }
            let Some(&escaped) = rest.get(at) else { break };
            let (skip, base, most) = match escaped {
                b'0'..=b'7' => (0, 8, 3),
                b'x' => (1, 16, 2),
                _ => (1, 0, 0),
            };
            at += skip;
            if base == 0 {
                match escaped {
                    b'n' => bytes.push(b'\n'),
                    b't' => bytes.push(b'\t'),
                    b'r' => bytes.push(b'\r'),
                    b'a' => bytes.push(7),
                    b'b' => bytes.push(8),
                    b'f' => bytes.push(12),
                    b'v' => bytes.push(11),
                    b'\n' => {}
                    other => bytes.push(other),
                }
                continue;
            }
            let digits: Vec<u32> = rest[at..].iter().take(most).map_while(|c| char::from(*c).to_digit(base)).collect();
            at += digits.len();
            let number = digits.iter().fold(0, |number, digit| number * base + digit);
            match u8::try_from(number) {
                Ok(number) if !digits.is_empty() => bytes.push(number),
                _ => return Err(format!("\\{} is no byte", char::from(escaped))),
            }
        }
        Err("a quote is missing at the end".to_owned())
    }

    /// Values up to `end`, with commas between.
    fn list(
        &mut self,
        end: &str,
        mut next: impl FnMut(&mut Self) -> Result<Value, String>,
    ) -> Result<Vec<Value>, String> {
        let mut values = Vec::new();
        loop {
            if self.eat(end) {
                return Ok(values);
            }
            values.push(next(self)?);
            if !self.eat(",") {
                self.expect(end)?;
                return Ok(values);
            }
        }
    }

    fn array(&mut self, wanted: Option<&str>) -> Result<Value, String> {
        self.at += 1;
        let mut element = match wanted {
            None => None,
            Some(wanted) => Some(wanted.strip_prefix('a').ok_or_else(|| mismatch("an array", wanted))?.to_owned()),
        };
        let values = self.list("]", |parser| {
            let value = parser.value(element.as_deref())?;
            // The others are as the first.
            element.get_or_insert_with(|| value.signature());
            Ok(value)
        })?;
        element.map(|element| Value::Array(element, values)).ok_or_else(unknown)
    }

    fn dictionary(&mut self, wanted: Option<&str>) -> Result<Value, String> {
        self.at += 1;
        let mut types = None;
        if let Some(wanted) = wanted {
            let inner = wanted.strip_prefix("a{").and_then(|rest| rest.strip_suffix('}'));
            let (key, value) = inner.and_then(first_type).ok_or_else(|| mismatch("a dictionary", wanted))?;
            types = Some((key.to_owned(), value.to_owned()));
        }
        let values = self.list("}", |parser| {
            let key = parser.value(types.as_ref().map(|(key, _)| key.as_str()))?;
            parser.expect(":")?;
            let value = parser.value(types.as_ref().map(|(_, value)| value.as_str()))?;
            types.get_or_insert_with(|| (key.signature(), value.signature()));
            Ok(Value::Entry(Box::new([key, value])))
        })?;
        let (key, value) = types.ok_or_else(unknown)?;
        let element = format!("{{{key}{value}}}");
        // A key that is a container itself.
        if first_type(&format!("a{element}")).is_none() {
            return Err(format!("a dictionary cannot have keys of type {key:?}"));
        }
        Ok(Value::Array(element, values))
    }

    fn tuple(&mut self, wanted: Option<&str>) -> Result<Value, String> {
        self.at += 1;
        let inner =
            |wanted: &'_ str| wanted.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')).map(str::to_owned);
        let mut left = match wanted {
            None => None,
            Some(wanted) => Some(inner(wanted).ok_or_else(|| mismatch("a tuple", wanted))?),
        };
        let fields = self.list(")", |parser| match &mut left {
            None => parser.value(None),
            Some(types) => {
                let (first, rest) = first_type(types).ok_or("a tuple has more values than its type")?;
                let value = parser.value(Some(first))?;
                *types = rest.to_owned();
                Ok(value)
            }
        })?;
        if fields.is_empty() || left.is_some_and(|types| !types.is_empty()) {
            return Err("a tuple has fewer values than its type".to_owned());
        }
        Ok(Value::Struct(fields))
    }
}

fn unknown() -> String {
    "what is in it cannot be told, since it is empty: put its type before it, as in @as []".to_owned()
}

fn mismatch(what: &str, wanted: &str) -> String {
    format!("{what} is not of type {wanted:?}")
}

/// A value that has a type already.
fn typed(value: Value, wanted: Option<&str>) -> Result<Value, String> {
    let signature = value.signature();
    match wanted {
        Some(wanted) if wanted != signature => Err(mismatch(&format!("a value of type {signature:?}"), wanted)),
        _ => Ok(value),
    }
}

fn string(text: String, wanted: Option<&str>) -> Result<Value, String> {
    if text.contains('\0') {
        return Err("a text cannot contain NUL".to_owned());
    }
    match wanted {
        None | Some("s") => Ok(Value::Text(text)),
        Some("o") if is_object_path(&text) => Ok(Value::Path(text)),
        Some("o") => Err(format!("{text:?} is not the path of an object")),
        Some("g") => {
            let mut rest = text.as_str();
            while let Some((_, others)) = first_type(rest) {
                rest = others;
            }
            if rest.is_empty() { Ok(Value::Signature(text)) } else { Err(format!("{text:?} is not a signature")) }
        }
        Some(wanted) => Err(mismatch("a text", wanted)),
    }
}

fn number(text: &str, wanted: Option<&str>) -> Result<Value, String> {
    let is_hex = text.trim_start_matches(['+', '-']).starts_with("0x");
    let wanted = wanted.unwrap_or(if !is_hex && text.contains(['.', 'e', 'n']) { "d" } else { "i" });
    let wrong = || format!("{text:?} is not a number of type {wanted:?}");
    if wanted == "d" {
        return text.parse().map(Value::F64).map_err(|_| wrong());
    }
    let whole = || -> Option<i128> {
        let (negative, digits) = match text.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (digits, base) = match digits.strip_prefix("0x") {
            Some(digits) => (digits, 16),
            None if digits.len() > 1 && digits.starts_with('0') => (&digits[1..], 8),
            None => (digits, 10),
        };
        if digits.starts_with(['+', '-']) {
            return None;
        }
        i128::from_str_radix(digits, base).ok().map(|n| if negative { -n } else { n })
    };
    let n = whole().ok_or_else(wrong)?;
    let value = match wanted {
        "y" => n.try_into().ok().map(Value::Byte),
        "n" => n.try_into().ok().map(Value::I16),
        "q" => n.try_into().ok().map(Value::U16),
        "i" => n.try_into().ok().map(Value::I32),
        "u" => n.try_into().ok().map(Value::U32),
        "x" => n.try_into().ok().map(Value::I64),
        "t" => n.try_into().ok().map(Value::U64),
        _ => None,
    };
    value.ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn plain_values_have_the_type_that_they_look_like() {
        for (text, value) in [
            ("true", Value::Bool(true)),
            ("'inactive-or-failed'", Value::text("inactive-or-failed")),
            ("\"a 'b' \\\"c\\\" \\u00e9\"", Value::text("a 'b' \"c\" é")),
            ("42", Value::I32(42)),
            (" -0x10 ", Value::I32(-16)),
            ("1.5", Value::F64(1.5)),
            ("b'ab'", Value::bytes(b"ab\0")),
            ("b'\\377\\x41\\0\\n\\'é'", Value::bytes(b"\xffA\0\n'\xc3\xa9\0")),
            ("<'x'>", Value::text("x").in_variant()),
        ] {
            assert_eq!(parse(text), Ok(value), "{text}");
        }
    }

    #[test]
    fn a_type_goes_before_its_value() {
        for (text, value) in [
            ("uint64 123456789", Value::U64(123_456_789)),
            ("@t 18446744073709551615", Value::U64(u64::MAX)),
            ("byte 0x1f", Value::Byte(31)),
            ("double 1", Value::F64(1.0)),
            ("objectpath '/a/b'", Value::Path("/a/b".to_owned())),
            ("signature 'a{sv}'", Value::Signature("a{sv}".to_owned())),
            ("@as []", Value::Array("s".to_owned(), vec![])),
        ] {
            assert_eq!(parse(text), Ok(value), "{text}");
        }
    }

    #[test]
    fn containers_take_their_types_from_what_is_first_or_told() {
        assert_eq!(parse("['a', 'b',]"), Ok(Value::texts(["a", "b"])));
        assert_eq!(parse("@ay [1, 2]"), Ok(Value::bytes(&[1, 2])));
        assert_eq!(parse("[uint32 1, 2]").unwrap().signature(), "au");
        let rule = Value::Struct(vec![Value::text("/dev/null"), Value::text("rw")]);
        assert_eq!(parse("[('/dev/null', 'rw')]"), Ok(Value::Array("(ss)".to_owned(), vec![rule])));
        assert_eq!(parse("@a(st) [('/', 5)]").unwrap().signature(), "a(st)");
        assert_eq!(parse("{'a': <1>, 'b': <'c'>}").unwrap().signature(), "a{sv}");
    }

    #[test]
    fn what_is_wrong_is_told() {
        for (text, why) in [
            ("", "a value is missing"),
            ("plain", "needs quotes"),
            ("'open", "a quote is missing"),
            ("'a' 'b'", "is too much"),
            ("[1, 'a']", "is not of type"),
            ("[]", "put its type before it"),
            ("[1", "\"]\" is missing"),
            ("3000000000", "not a number of type \"i\""),
            ("uint64 -1", "not a number of type \"t\""),
            ("uint64 'a'", "a text is not of type \"t\""),
            ("@z 1", "@z is not a type"),
            ("@(s", "is not a type"),
            ("objectpath 'x'", "not the path of an object"),
            ("'\\u0000'", "NUL"),
            ("{[1]: 2}", "cannot have keys"),
            ("1-2", "not a number"),
            ("()", "fewer values"),
            ("b'\\x'", "is no byte"),
            ("b'\\777'", "is no byte"),
            ("b'a\\", "a quote is missing"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
        assert!(parse(&"[".repeat(10_000)).is_err());
        let wide = |fields: usize| format!("({})", "1,".repeat(fields));
        assert!(parse(&wide(253)).is_ok() && parse(&format!("<{}>", wide(253))).is_ok());
        for text in
            [wide(254), format!("<{}>", wide(254)), format!("[{}]", wide(253)), format!("{{'a': <{}>}}", wide(300))]
        {
            assert!(parse(&text).unwrap_err().contains("too long"));
        }
    }

    proptest! {
        #[test]
        fn any_text_is_refused_or_has_a_valid_type(text in "[-a-z0-9@'\"\\[\\](){}<>,:. \\\\é]{0,24}") {
            if let Ok(value) = parse(&text) {
                prop_assert_eq!(first_type(&value.signature()).map(|(_, rest)| rest.to_owned()), Some(String::new()));
            }
        }
    }
}
