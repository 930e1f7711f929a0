//! D-Bus messages: calls, and what is answered or told. Pure.
//!
//! See the D-Bus specification, "Message Format": 12 bytes of fixed numbers, the length of the header's fields, the
//! fields, then at a multiple of 8 the body.

use super::wire::{Damaged, Reader, Value, Writer, signature_of};

/// The longest message that is read. The specification allows 128 MiB; what systemd answers here has some hundred bytes,
/// but whoever is connected to it directly is told of changes to any unit.
const LONGEST: usize = 16 << 20;
/// The part of a header that says how long the message is.
pub const PREFIX: usize = 16;

// Fields of a header.
const PATH: u8 = 1;
const INTERFACE: u8 = 2;
const MEMBER: u8 = 3;
const ERROR_NAME: u8 = 4;
const REPLY_SERIAL: u8 = 5;
const DESTINATION: u8 = 6;
const SENDER: u8 = 7;
const SIGNATURE: u8 = 8;

/// What a message is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A call.
    Call,
    /// The answer to one.
    Return,
    /// The refusal of one.
    Error,
    /// News for whoever wants to hear it.
    Signal,
}

/// A call to be made.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// Whose object it is; nobody's on a direct connection.
    pub destination: Option<&'a str>,
    /// The object.
    pub path: &'a str,
    /// What the method belongs to.
    pub interface: &'a str,
    /// The method.
    pub member: &'a str,
    /// What it is given.
    pub arguments: &'a [Value],
}

impl Call<'_> {
    /// The message, which the answer will refer to by `serial`, never 0.
    pub fn encode(&self, serial: u32) -> Vec<u8> {
        let mut body = Writer::default();
        self.arguments.iter().for_each(|value| body.value(value));
        let field = |code: u8, value: Value| Value::Struct(vec![Value::Byte(code), value.in_variant()]);
        let mut fields = vec![
            field(PATH, Value::Path(self.path.to_owned())),
            field(INTERFACE, Value::text(self.interface)),
            field(MEMBER, Value::text(self.member)),
        ];
        fields.extend(self.destination.map(|name| field(DESTINATION, Value::text(name))));
        if !self.arguments.is_empty() {
            fields.push(field(SIGNATURE, Value::Signature(signature_of(self.arguments))));
        }
        let mut message = Writer::default();
        // Low bytes first, a call, no flags, version 1.
        [b'l', 1, 0, 1].into_iter().for_each(|byte| message.value(&Value::Byte(byte)));
        message.value(&Value::U32(body.bytes.len() as u32));
        message.value(&Value::U32(serial));
        message.value(&Value::Array("(yv)".to_owned(), fields));
        message.align(8);
        message.bytes.extend(body.bytes);
        message.bytes
    }
}

/// A message that has come.
#[derive(Clone, Debug)]
pub struct Message {
    /// What it is for.
    pub kind: Kind,
    /// Of a signal: what it belongs to.
    pub interface: String,
    /// Of a signal: which.
    pub member: String,
    /// Of an error: which.
    pub error_name: String,
    /// Of answers and errors: the serial of the call.
    pub reply_to: u32,
    /// Who has sent it, by the unique name that the bus knows them by; nobody on a direct connection.
    pub sender: String,
    /// How many bytes it had.
    pub length: usize,
    signature: String,
    body: Vec<u8>,
    big_endian: bool,
}

/// How long the message is that begins with `prefix`.
///
/// # Errors
/// It is no message, or longer than any that is expected.
pub fn length(prefix: &[u8; PREFIX]) -> Result<usize, Damaged> {
    let big_endian = is_big_endian(prefix)?;
    let mut reader = Reader::new(prefix, big_endian);
    reader.skip_to(4);
    let body = reader.u32()? as usize;
    reader.skip_to(12);
    let fields = reader.u32()? as usize;
    if fields > LONGEST || body > LONGEST {
        return Err(Damaged("it is too long"));
    }
    Ok((PREFIX + fields).next_multiple_of(8) + body)
}

fn is_big_endian(prefix: &[u8; PREFIX]) -> Result<bool, Damaged> {
    if prefix[3] != 1 {
        return Err(Damaged("its version is not 1"));
    }
    match prefix[0] {
        b'l' => Ok(false),
        b'B' => Ok(true),
        _ => Err(Damaged("its order of bytes is unknown")),
    }
}

impl Message {
    /// Reads a whole message; `None` for one of a kind that is to be passed over.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn decode(bytes: &[u8]) -> Result<Option<Message>, Damaged> {
        let prefix = bytes.first_chunk::<PREFIX>().ok_or(Damaged("it is cut off"))?;
        if length(prefix)? != bytes.len() {
            return Err(Damaged("it is not as long as it says"));
        }
        let big_endian = is_big_endian(prefix)?;
        let kind = match prefix[1] {
            0 => return Err(Damaged("its kind is not valid")),
            1 => Kind::Call,
            2 => Kind::Return,
            3 => Kind::Error,
            4 => Kind::Signal,
            _ => return Ok(None),
        };
        let mut reader = Reader::new(bytes, big_endian);
        reader.skip_to(12);
        let fields = reader.values("a(yv)")?;
        let body = reader.position().next_multiple_of(8);
        let mut message = Message {
            kind,
            interface: String::new(),
            member: String::new(),
            error_name: String::new(),
            reply_to: 0,
            sender: String::new(),
            length: bytes.len(),
            signature: String::new(),
            body: bytes.get(body..).ok_or(Damaged("it is cut off"))?.to_vec(),
            big_endian,
        };
        let [Value::Array(_, fields)] = &fields[..] else { return Err(Damaged("it has no header")) };
        for field in fields {
            let Value::Struct(field) = field else { continue };
            let [Value::Byte(code), Value::Variant(value)] = &field[..] else { continue };
            match (*code, &**value) {
                (INTERFACE, Value::Text(text)) => message.interface.clone_from(text),
                (MEMBER, Value::Text(text)) => message.member.clone_from(text),
                (ERROR_NAME, Value::Text(text)) => message.error_name.clone_from(text),
                (REPLY_SERIAL, Value::U32(serial)) => message.reply_to = *serial,
                (SENDER, Value::Text(text)) => message.sender.clone_from(text),
                (SIGNATURE, Value::Signature(text)) => message.signature.clone_from(text),
                (INTERFACE | MEMBER | ERROR_NAME | REPLY_SERIAL | SENDER | SIGNATURE, _) => {
                    return Err(Damaged("a field of its header is of the wrong type"));
                }
                _ => {}
            }
        }
        Ok(Some(message))
    }

    /// What it says, if that has these types.
    ///
    /// # Errors
    /// It has others, or is damaged.
    pub fn body(&self, signature: &str) -> Result<Vec<Value>, Damaged> {
        if self.signature != signature {
            return Err(Damaged("it says something of another type"));
        }
        Reader::new(&self.body, self.big_endian).values(signature)
    }

    /// The text that errors begin with.
    pub fn text(&self) -> String {
        // Whatever follows it.
        let text =
            Reader::new(&self.body, self.big_endian).values(if self.signature.starts_with('s') { "s" } else { "" });
        match text.unwrap_or_default().pop() {
            Some(Value::Text(text)) => text,
            _ => String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn call() -> Vec<u8> {
        let call = Call {
            destination: Some("org.example"),
            path: "/org/example",
            interface: "org.example.Thing",
            member: "Do",
            arguments: &[Value::text("a"), Value::U32(7)],
        };
        call.encode(9)
    }

    #[test]
    fn a_call_says_how_long_it_is_and_is_read() {
        let bytes = call();
        assert_eq!(length(bytes.first_chunk().unwrap()), Ok(bytes.len()));
        let message = Message::decode(&bytes).unwrap().unwrap();
        assert_eq!((message.kind, message.member.as_str()), (Kind::Call, "Do"));
        assert_eq!(message.body("su"), Ok(vec![Value::text("a"), Value::U32(7)]));
        assert!(message.body("ss").is_err());
        assert_eq!(message.text(), "a");
    }

    #[test]
    fn a_call_without_arguments_has_neither_types_nor_a_body() {
        let call = Call { destination: None, path: "/", interface: "a.b", member: "C", arguments: &[] };
        let bytes = call.encode(1);
        assert_eq!(bytes.len() % 8, 0);
        assert_eq!(Message::decode(&bytes).unwrap().unwrap().body(""), Ok(vec![]));
    }

    #[test]
    fn what_is_cut_off_or_too_long_is_refused() {
        let bytes = call();
        for length in 0..bytes.len() {
            assert!(Message::decode(&bytes[..length]).is_err(), "{length} bytes");
        }
        let mut long = *bytes.first_chunk::<PREFIX>().unwrap();
        long[4..8].fill(0xff);
        assert_eq!(length(&long), Err(Damaged("it is too long")));
        long[0] = b'x';
        assert!(length(&long).is_err());
    }

    #[test]
    fn kinds_of_a_later_version_are_passed_over() {
        let mut bytes = call();
        bytes[1] = 9;
        assert!(Message::decode(&bytes).unwrap().is_none());
        bytes[1] = 0;
        assert!(Message::decode(&bytes).is_err());
    }

    proptest! {
        #[test]
        fn a_message_with_any_byte_changed_is_refused_or_understood(at in 0usize..100, byte in any::<u8>()) {
            let mut bytes = call();
            let at = at % bytes.len();
            bytes[at] = byte;
            if let Ok(Some(message)) = Message::decode(&bytes) {
                let _ = message.body("su");
                let _ = message.text();
            }
        }

        #[test]
        fn any_bytes_are_refused_or_understood(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = Message::decode(&bytes);
        }
    }
}
