//! D-Bus: messages, values in them, and values as annotations have them.

use nskit::cgroup::systemd::message::{Call, Message, PREFIX, length};
use nskit::cgroup::systemd::text;
use nskit::cgroup::systemd::wire::{Reader, Value, Writer, signature_of};

/// The first byte says what the others are.
pub fn check(data: &[u8]) {
    let Some((first, rest)) = data.split_first() else { return };
    match first % 3 {
        0 => message(rest),
        1 => {
            let Some((signature, body)) = rest.split_first_chunk::<4>() else { return };
            let Ok(signature) = std::str::from_utf8(signature) else { return };
            values(signature.trim_end_matches('\0'), body);
        }
        _ => annotation(rest),
    }
}

/// It is refused, or as long as it says, and its body is of the types that it is asked for.
fn message(bytes: &[u8]) {
    let said = bytes.first_chunk::<PREFIX>().map(length);
    if let Ok(Some(message)) = Message::decode(bytes) {
        assert_eq!(said, Some(Ok(bytes.len())));
        assert_eq!(message.length, bytes.len());
        for signature in ["", "s", "v", "uoss", "a(sv)", "a{sv}", "so"] {
            if let Ok(values) = message.body(signature) {
                assert_eq!(signature_of(&values), signature);
            }
        }
        let _ = message.text();
    }
}

/// What is read can be written, and is read again as the same.
fn values(signature: &str, bytes: &[u8]) {
    let Ok(values) = Reader::new(bytes, false).values(signature) else { return };
    assert_eq!(signature_of(&values), signature);
    assert!(values.iter().all(Value::is_sendable));
    let written = write(&values);
    let again = Reader::new(&written, false).values(signature);
    // Not a number is not itself.
    if !format!("{values:?}").contains("NaN") {
        assert_eq!(again.as_ref(), Ok(&values));
    }
}

/// A property of an annotation is refused with a reason, or can be sent.
fn annotation(bytes: &[u8]) {
    let Ok(written) = std::str::from_utf8(bytes) else { return };
    match text::parse(written) {
        Err(why) => assert!(!why.is_empty()),
        Ok(value) => {
            assert!(value.is_sendable(), "{value:?}");
            let arguments = [value];
            let call =
                Call { destination: None, path: "/a", interface: "a.b", member: "C", arguments: &arguments }.encode(1);
            let message = Message::decode(&call).expect("a call of ours").expect("a call");
            let read = message.body(&signature_of(&arguments)).expect("a body of ours");
            if !format!("{arguments:?}").contains("NaN") {
                assert_eq!(read, arguments);
            }
        }
    }
}

fn write(values: &[Value]) -> Vec<u8> {
    let mut writer = Writer::default();
    values.iter().for_each(|value| writer.value(value));
    writer.bytes
}
