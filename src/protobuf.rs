//! The wire format of Protocol Buffers, which CRIU and containerd speak: numbers, texts, and messages within messages.
//! <https://protobuf.dev/programming-guides/encoding/>

/// A message that is being written.
#[derive(Clone, Debug, Default)]
pub struct Message(Vec<u8>);

/// The value of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// Of any type of integer, a truth value or an enumeration.
    Number(u64),
    /// A text or a message.
    Bytes(&'a [u8]),
}

// Kinds of fields on the wire.
const VARINT: u64 = 0;
const FIXED_64: u64 = 1;
const LENGTH: u64 = 2;
const FIXED_32: u64 = 5;

impl Message {
    fn varint(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }

    /// Adds an integer.
    pub fn number(&mut self, field: u32, number: impl Into<i64>) -> &mut Message {
        self.varint(u64::from(field) << 3 | VARINT);
        // A negative one is as long as it can be.
        self.varint(number.into() as u64);
        self
    }

    /// Adds a truth value, where it is not the one that a message has without.
    pub fn flag(&mut self, field: u32, is_set: bool) -> &mut Message {
        if is_set { self.number(field, 1) } else { self }
    }

    /// Adds a positive integer, where it is not the zero that a message has without.
    pub fn count(&mut self, field: u32, number: u64) -> &mut Message {
        if number == 0 { self } else { self.number(field, number as i64) }
    }

    /// Adds an integer without its field's number: of several that are packed in one field.
    pub fn bare(&mut self, number: u64) -> &mut Message {
        self.varint(number);
        self
    }

    /// Adds a number with a fraction, where it is not zero.
    pub fn double(&mut self, field: u32, number: f64) -> &mut Message {
        if number != 0.0 {
            self.varint(u64::from(field) << 3 | FIXED_64);
            self.0.extend_from_slice(&number.to_le_bytes());
        }
        self
    }

    /// Adds a text, where it is not empty.
    pub fn words(&mut self, field: u32, text: impl AsRef<[u8]>) -> &mut Message {
        if text.as_ref().is_empty() { self } else { self.text(field, text) }
    }

    /// Adds a text.
    pub fn text(&mut self, field: u32, text: impl AsRef<[u8]>) -> &mut Message {
        let text = text.as_ref();
        self.varint(u64::from(field) << 3 | LENGTH);
        self.varint(text.len() as u64);
        self.0.extend_from_slice(text);
        self
    }

    /// Adds a message.
    pub fn message(&mut self, field: u32, message: &Message) -> &mut Message {
        self.text(field, &message.0)
    }

    /// As it goes over the wire.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The same, to keep.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

/// A message that was read, its fields by their numbers. What it does not have is what the format says: zero, false, empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields<'a>(Vec<(u32, Value<'a>)>);

impl<'a> Fields<'a> {
    /// Reads a message; `None` for what is none.
    pub fn of(bytes: &'a [u8]) -> Option<Fields<'a>> {
        fields(bytes).map(Fields)
    }

    /// The integer of a field.
    pub fn number(&self, field: u32) -> u64 {
        self.last(field, |value| if let Value::Number(number) = value { Some(number) } else { None }).unwrap_or(0)
    }

    /// The truth value of a field.
    pub fn flag(&self, field: u32) -> bool {
        self.number(field) != 0
    }

    /// The bytes of a field.
    pub fn bytes(&self, field: u32) -> &'a [u8] {
        self.last(field, |value| if let Value::Bytes(bytes) = value { Some(bytes) } else { None }).unwrap_or(&[])
    }

    /// The text of a field; what is no UTF-8 in it is replaced.
    pub fn text(&self, field: u32) -> String {
        String::from_utf8_lossy(self.bytes(field)).into_owned()
    }

    /// All values of a field that can be there more than once.
    pub fn every(&self, field: u32) -> impl Iterator<Item = &'a [u8]> {
        self.0.iter().filter_map(move |(number, value)| match value {
            Value::Bytes(bytes) if *number == field => Some(*bytes),
            _ => None,
        })
    }

    /// The last value of a field, which is the one that holds.
    fn last<T>(&self, field: u32, of_kind: impl Fn(Value<'a>) -> Option<T>) -> Option<T> {
        self.0.iter().rev().filter(|(number, _)| *number == field).find_map(|(_, value)| of_kind(*value))
    }
}

/// The fields of a message in their order; `None` for what is no message.
pub fn fields(mut bytes: &[u8]) -> Option<Vec<(u32, Value<'_>)>> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes)?;
        let value = match key & 7 {
            VARINT => Value::Number(varint(&mut bytes)?),
            LENGTH => {
                let length = usize::try_from(varint(&mut bytes)?).ok()?;
                Value::Bytes(bytes.split_off(..length)?)
            }
            FIXED_64 => Value::Number(u64::from_le_bytes(bytes.split_off(..8)?.try_into().ok()?)),
            FIXED_32 => Value::Number(u32::from_le_bytes(bytes.split_off(..4)?.try_into().ok()?).into()),
            _ => return None,
        };
        fields.push((u32::try_from(key >> 3).ok()?, value));
    }
    Some(fields)
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let byte = *bytes.split_off_first()?;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_as_the_format_s_own_documentation_has_it() {
        assert_eq!(Message::default().number(1, 150).bytes(), [0x08, 0x96, 0x01]);
        assert_eq!(Message::default().text(2, "testing").bytes(), b"\x12\x07testing");
        let mut inner = Message::default();
        inner.number(1, 150);
        assert_eq!(Message::default().message(3, &inner).bytes(), [0x1a, 0x03, 0x08, 0x96, 0x01]);
        let minus_two = [0x08, 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
        assert_eq!(Message::default().number(1, -2).bytes(), minus_two);
        assert_eq!(Message::default().flag(1, false).flag(2, true).bytes(), [0x10, 0x01]);
    }

    #[test]
    fn what_is_written_is_read() {
        let mut message = Message::default();
        message.number(1, -2).text(70, "x").number(3, i64::MAX);
        let read = fields(message.bytes()).unwrap();
        assert_eq!(read[0], (1, Value::Number(-2_i64 as u64)));
        assert_eq!(read[1..], [(70, Value::Bytes(b"x")), (3, Value::Number(i64::MAX as u64))]);
        assert_eq!(fields(b"\x0d\x01\x00\x00\x00").unwrap(), [(1, Value::Number(1))]);
    }

    #[test]
    fn a_field_is_found_by_its_number_and_the_last_one_holds() {
        let mut message = Message::default();
        message.text(1, "first").text(1, "last").count(2, 7).count(3, 0).words(4, "").double(5, 0.5);
        let read = Fields::of(message.bytes()).unwrap();
        assert_eq!((read.text(1).as_str(), read.number(2), read.number(3), read.text(4).as_str()), ("last", 7, 0, ""));
        assert_eq!(read.every(1).collect::<Vec<_>>(), [b"first".as_slice(), b"last"]);
        assert_eq!(read.number(5), 0.5_f64.to_bits());
        assert!(!read.flag(1) && read.flag(2) && read.bytes(2).is_empty());
    }

    #[test]
    fn what_is_no_message_is_nothing() {
        for bytes in [&b"\x08"[..], b"\x12\x07test", b"\x0b", b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"] {
            assert_eq!(fields(bytes), None, "{bytes:?}");
        }
    }
}
