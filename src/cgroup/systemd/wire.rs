//! Values as D-Bus has them: what they look like in a message. Pure.
//!
//! See the D-Bus specification, "Type system" and "Marshaling". Messages come from the bus, which checks them, or from a
//! service manager; they are read all the same as if an enemy had written them: every length is compared with what is
//! there, nesting and the number of values are bounded.

use std::fmt;

use super::signature::{DEEPEST, LONGEST, first_type};

/// How many values one message may have: what is asked of systemd has a handful.
const MOST_VALUES: usize = 1 << 16;

/// A value of any type.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `y`
    Byte(u8),
    /// `b`
    Bool(bool),
    /// `n`
    I16(i16),
    /// `q`
    U16(u16),
    /// `i`
    I32(i32),
    /// `u`
    U32(u32),
    /// `x`
    I64(i64),
    /// `t`
    U64(u64),
    /// `d`
    F64(f64),
    /// `s`
    Text(String),
    /// `o`: the path of an object.
    Path(String),
    /// `g`: types.
    Signature(String),
    /// `a`: elements of one type, whose signature comes first.
    Array(String, Vec<Value>),
    /// `(…)`
    Struct(Vec<Value>),
    /// `{…}`: key and value, in arrays alone.
    Entry(Box<[Value; 2]>),
    /// `v`: a value that brings its type along.
    Variant(Box<Value>),
}

impl Value {
    /// A string.
    pub fn text(text: impl Into<String>) -> Value {
        Value::Text(text.into())
    }

    /// An array of strings.
    pub fn texts<const N: usize>(texts: [&str; N]) -> Value {
        Value::Array("s".to_owned(), texts.into_iter().map(Value::text).collect())
    }

    /// An array of bytes.
    pub fn bytes(bytes: &[u8]) -> Value {
        Value::Array("y".to_owned(), bytes.iter().map(|byte| Value::Byte(*byte)).collect())
    }

    /// It, with its type before it.
    #[must_use]
    pub fn in_variant(self) -> Value {
        Value::Variant(Box::new(self))
    }

    /// Its type.
    pub fn signature(&self) -> String {
        match self {
            Value::Byte(_) => "y".to_owned(),
            Value::Bool(_) => "b".to_owned(),
            Value::I16(_) => "n".to_owned(),
            Value::U16(_) => "q".to_owned(),
            Value::I32(_) => "i".to_owned(),
            Value::U32(_) => "u".to_owned(),
            Value::I64(_) => "x".to_owned(),
            Value::U64(_) => "t".to_owned(),
            Value::F64(_) => "d".to_owned(),
            Value::Text(_) => "s".to_owned(),
            Value::Path(_) => "o".to_owned(),
            Value::Signature(_) => "g".to_owned(),
            Value::Array(element, _) => format!("a{element}"),
            Value::Struct(fields) => format!("({})", signature_of(fields)),
            Value::Entry(pair) => format!("{{{}}}", signature_of(&pair[..])),
            Value::Variant(_) => "v".to_owned(),
        }
    }

    /// Whether its type, and that of each variant within, is one that a message can have.
    pub fn is_sendable(&self) -> bool {
        let within = match self {
            Value::Array(_, values) | Value::Struct(values) => &values[..],
            Value::Entry(pair) => &pair[..],
            Value::Variant(value) => std::slice::from_ref(&**value),
            Value::Signature(types) => return types.len() <= LONGEST,
            _ => return true,
        };
        // An entry is a type in an array alone.
        let is_valid = || first_type(&self.signature()).is_some_and(|(_, rest)| rest.is_empty());
        (matches!(self, Value::Entry(_)) || is_valid()) && within.iter().all(Value::is_sendable)
    }

    /// The text of a string or a path.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Value::Text(text) | Value::Path(text) => Some(text),
            _ => None,
        }
    }
}

/// The types of several values.
pub fn signature_of(values: &[Value]) -> String {
    values.iter().map(Value::signature).collect()
}

/// What is wrong with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damaged(pub &'static str);

impl fmt::Display for Damaged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// The alignment of what begins with this letter.
fn alignment(code: u8) -> usize {
    match code {
        b'n' | b'q' => 2,
        b'b' | b'i' | b'u' | b's' | b'o' | b'a' => 4,
        b'x' | b't' | b'd' | b'(' | b'{' => 8,
        _ => 1,
    }
}

/// Writes values, low bytes first.
#[derive(Debug, Default)]
pub struct Writer {
    /// What was written.
    pub bytes: Vec<u8>,
}

impl Writer {
    /// Fills up with zeros.
    pub fn align(&mut self, to: usize) {
        self.bytes.resize(self.bytes.len().next_multiple_of(to), 0);
    }

    fn number<const N: usize>(&mut self, bytes: [u8; N]) {
        self.align(N);
        self.bytes.extend(bytes);
    }

    fn signature(&mut self, signature: &str) {
        self.bytes.push(signature.len() as u8);
        self.bytes.extend(signature.as_bytes());
        self.bytes.push(0);
    }

    /// Adds a value. Its texts have no NUL, and its types are valid: see [`super::text`] for what others write.
    pub fn value(&mut self, value: &Value) {
        match value {
            Value::Byte(byte) => self.bytes.push(*byte),
            Value::Bool(yes) => self.number(u32::from(*yes).to_le_bytes()),
            Value::I16(n) => self.number(n.to_le_bytes()),
            Value::U16(n) => self.number(n.to_le_bytes()),
            Value::I32(n) => self.number(n.to_le_bytes()),
            Value::U32(n) => self.number(n.to_le_bytes()),
            Value::I64(n) => self.number(n.to_le_bytes()),
            Value::U64(n) => self.number(n.to_le_bytes()),
            Value::F64(n) => self.number(n.to_le_bytes()),
            Value::Text(text) | Value::Path(text) => {
                self.number((text.len() as u32).to_le_bytes());
                self.bytes.extend(text.as_bytes());
                self.bytes.push(0);
            }
            Value::Signature(signature) => self.signature(signature),
            Value::Array(element, values) => {
                self.number(0u32.to_le_bytes());
                let length_at = self.bytes.len() - 4;
                // What fills up before the first element does not count.
                self.align(alignment(element.bytes().next().unwrap_or(b'y')));
                let start = self.bytes.len();
                values.iter().for_each(|value| self.value(value));
                let length = (self.bytes.len() - start) as u32;
                self.bytes[length_at..length_at + 4].copy_from_slice(&length.to_le_bytes());
            }
            Value::Struct(fields) => {
                self.align(8);
                fields.iter().for_each(|field| self.value(field));
            }
            Value::Entry(pair) => {
                self.align(8);
                pair.iter().for_each(|value| self.value(value));
            }
            Value::Variant(value) => {
                self.signature(&value.signature());
                self.value(value);
            }
        }
    }
}

/// Reads values.
#[derive(Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    big_endian: bool,
    values: usize,
}

impl<'a> Reader<'a> {
    /// Reads from `bytes`, which begin at a multiple of 8 in their message.
    pub fn new(bytes: &'a [u8], big_endian: bool) -> Reader<'a> {
        Reader { bytes, at: 0, big_endian, values: 0 }
    }

    /// Where it is.
    pub fn position(&self) -> usize {
        self.at
    }

    /// Goes on from there.
    pub fn skip_to(&mut self, at: usize) {
        self.at = at;
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], Damaged> {
        let end = self.at.checked_add(length).filter(|end| *end <= self.bytes.len()).ok_or(Damaged("it is cut off"))?;
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    fn align(&mut self, to: usize) -> Result<(), Damaged> {
        let padding = self.at.next_multiple_of(to) - self.at;
        if self.take(padding)?.iter().any(|byte| *byte != 0) {
            return Err(Damaged("its padding is not zero"));
        }
        Ok(())
    }

    fn number<const N: usize>(&mut self) -> Result<[u8; N], Damaged> {
        self.align(N)?;
        let mut bytes: [u8; N] = self.take(N)?.try_into().map_err(|_| Damaged("it is cut off"))?;
        if self.big_endian {
            bytes.reverse();
        }
        Ok(bytes)
    }

    /// A number of 32 bits.
    pub fn u32(&mut self) -> Result<u32, Damaged> {
        Ok(u32::from_le_bytes(self.number()?))
    }

    fn text(&mut self, length: usize) -> Result<String, Damaged> {
        let bytes = self.take(length)?;
        if self.take(1)? != [0] || bytes.contains(&0) {
            return Err(Damaged("a string does not end where it says"));
        }
        String::from_utf8(bytes.to_vec()).map_err(|_| Damaged("a string is not UTF-8"))
    }

    fn signature(&mut self) -> Result<String, Damaged> {
        let length = self.take(1)?[0];
        self.text(length.into())
    }

    /// The values of a signature.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn values(&mut self, signature: &str) -> Result<Vec<Value>, Damaged> {
        let mut values = Vec::new();
        let mut rest = signature;
        while !rest.is_empty() {
            let (first, others) = first_type(rest).ok_or(Damaged("its signature is not valid"))?;
            values.push(self.value(first, 0)?);
            rest = others;
        }
        Ok(values)
    }

    /// A value of this type, which is a whole and valid one.
    fn value(&mut self, of: &str, depth: usize) -> Result<Value, Damaged> {
        self.values += 1;
        if depth > DEEPEST || self.values > MOST_VALUES {
            return Err(Damaged("it has more values than systemd has to tell"));
        }
        Ok(match of.as_bytes()[0] {
            b'y' => Value::Byte(self.take(1)?[0]),
            b'b' => match self.u32()? {
                0 => Value::Bool(false),
                1 => Value::Bool(true),
                _ => return Err(Damaged("a boolean is neither true nor false")),
            },
            b'n' => Value::I16(i16::from_le_bytes(self.number()?)),
            b'q' => Value::U16(u16::from_le_bytes(self.number()?)),
            b'i' => Value::I32(i32::from_le_bytes(self.number()?)),
            b'u' => Value::U32(self.u32()?),
            b'x' => Value::I64(i64::from_le_bytes(self.number()?)),
            b't' => Value::U64(u64::from_le_bytes(self.number()?)),
            b'd' => Value::F64(f64::from_le_bytes(self.number()?)),
            code @ (b's' | b'o') => {
                let length = self.u32()? as usize;
                let text = self.text(length)?;
                if code == b's' { Value::Text(text) } else { Value::Path(text) }
            }
            b'g' => Value::Signature(self.signature()?),
            b'a' => {
                let element = &of[1..];
                let length = self.u32()? as usize;
                self.align(alignment(element.as_bytes()[0]))?;
                let end = self.at.checked_add(length).filter(|end| *end <= self.bytes.len());
                let end = end.ok_or(Damaged("it is cut off"))?;
                let mut values = Vec::new();
                while self.at < end {
                    values.push(self.value(element, depth + 1)?);
                }
                if self.at != end {
                    return Err(Damaged("an array does not end where it says"));
                }
                Value::Array(element.to_owned(), values)
            }
            b'(' | b'{' => {
                self.align(8)?;
                let mut rest = &of[1..of.len() - 1];
                let mut fields = Vec::new();
                while let Some((first, others)) = first_type(rest) {
                    fields.push(self.value(first, depth + 1)?);
                    rest = others;
                }
                if of.starts_with('(') {
                    Value::Struct(fields)
                } else {
                    Value::Entry(fields.try_into().map(Box::new).map_err(|_| Damaged("an entry is no pair"))?)
                }
            }
            _ => {
                let signature = self.signature()?;
                match first_type(&signature) {
                    Some((whole, "")) => self.value(whole, depth + 1)?.in_variant(),
                    _ => return Err(Damaged("a variant is not of one type")),
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(values: &[Value]) -> Vec<u8> {
        let mut writer = Writer::default();
        values.iter().for_each(|value| writer.value(value));
        writer.bytes
    }

    fn read(signature: &str, bytes: &[u8]) -> Result<Vec<Value>, Damaged> {
        let mut reader = Reader::new(bytes, false);
        let values = reader.values(signature)?;
        if reader.position() == bytes.len() { Ok(values) } else { Err(Damaged("there is more")) }
    }

    fn samples() -> Vec<Value> {
        vec![
            Value::Byte(1),
            Value::Bool(true),
            Value::I16(-2),
            Value::U16(3),
            Value::I32(-4),
            Value::U32(5),
            Value::I64(-6),
            Value::U64(u64::MAX),
            Value::F64(1.5),
            Value::text("é"),
            Value::Path("/a".to_owned()),
            Value::Signature("a{sv}".to_owned()),
            Value::bytes(&[1, 2]),
            Value::texts(["a", ""]),
            Value::Array("(sv)".to_owned(), vec![]),
            Value::Array(
                "{sv}".to_owned(),
                vec![Value::Entry(Box::new([Value::text("k"), Value::U64(1).in_variant()]))],
            ),
            Value::Struct(vec![Value::Byte(1), Value::Struct(vec![Value::U64(2)])]),
            Value::bytes(&[7]).in_variant().in_variant(),
        ]
    }

    #[test]
    fn the_bytes_are_those_of_the_specification() {
        assert_eq!(written(&[Value::text("foo"), Value::U32(5)]), *b"\x03\0\0\0foo\0\x05\0\0\0");
        let array = Value::Array("t".to_owned(), vec![Value::U64(5)]);
        assert_eq!(written(&[array]), *b"\x08\0\0\0\0\0\0\0\x05\0\0\0\0\0\0\0");
        let empty = Value::Array("t".to_owned(), vec![]);
        assert_eq!(written(&[empty, Value::Byte(1)]), *b"\0\0\0\0\0\0\0\0\x01");
        assert_eq!(written(&[Value::U32(5).in_variant()]), *b"\x01u\0\0\x05\0\0\0");
    }

    #[test]
    fn what_is_written_is_read() {
        let values = samples();
        assert_eq!(read(&signature_of(&values), &written(&values)), Ok(values));
    }

    #[test]
    fn high_bytes_may_come_first() {
        let bytes = b"\0\0\0\x03foo\0\0\0\x01\x02";
        let values = Reader::new(bytes, true).values("su");
        assert_eq!(values, Ok(vec![Value::text("foo"), Value::U32(0x102)]));
    }

    #[test]
    fn whatever_is_cut_off_is_refused() {
        let values = samples();
        let bytes = written(&values);
        for length in 0..bytes.len() {
            assert!(read(&signature_of(&values), &bytes[..length]).is_err(), "{length} bytes");
        }
    }

    #[test]
    fn lengths_beyond_the_end_and_values_out_of_range_are_refused() {
        let long = [0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0];
        for signature in ["s", "o", "ay", "a(sv)", "at", "g", "v", "b"] {
            assert!(read(signature, &long).is_err(), "{signature}");
        }
        assert!(read("s", b"\x01\0\0\0\xff\0").is_err(), "not UTF-8");
        assert!(read("s", b"\x02\0\0\0\0a\0").is_err(), "a NUL inside");
        assert!(read("yu", b"\x01\x01\0\0\x02\0\0\0").is_err(), "padding");
        assert!(read("au", b"\x03\0\0\0\x02\0\0\0").is_err(), "an array that ends inside of an element");
    }

    #[test]
    fn nesting_and_numbers_are_bounded() {
        // Each byte pair opens a variant in a variant.
        let deep = b"\x01v\0".repeat(200);
        assert!(read("v", &deep).is_err());
        let many = [&(1u32 << 20).to_le_bytes()[..], &vec![0; 1 << 20]].concat();
        assert!(read("ay", &many).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_refused_or_understood(
            bytes in proptest::collection::vec(any::<u8>(), 0..64),
            signature in "[ybnqiuxtdsogva(){}]{0,8}",
            big_endian in any::<bool>(),
        ) {
            let _ = Reader::new(&bytes, big_endian).values(&signature);
        }
    }
}
