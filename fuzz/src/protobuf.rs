//! Protocol Buffers, as CRIU and containerd write them.

use nskit::protobuf::{Message, Value, fields};

/// The fields of a message, written again, are the same fields; messages within messages too.
pub fn check(data: &[u8]) {
    let Some(read) = fields(data) else { return };
    let mut written = Message::default();
    for (field, value) in &read {
        match value {
            Value::Number(number) => written.number(*field, *number as i64),
            Value::Bytes(bytes) => written.text(*field, bytes),
        };
    }
    assert_eq!(fields(written.bytes()), Some(read.clone()));
    for (_, value) in read {
        if let Value::Bytes(bytes) = value {
            let _ = fields(bytes);
        }
    }
}
