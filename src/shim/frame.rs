//! ttrpc's frames: a header of ten bytes and a Protocol Buffers message, over a stream socket.
//! <https://github.com/containerd/ttrpc/blob/main/PROTOCOL.md>
//!
//! ```text
//! 0        4        8      9       10
//! | length | stream | type | flags | length bytes      numbers are big-endian
//! ```

use crate::protobuf::{Fields, Message};

/// Bytes of a header.
const HEADER: usize = 10;

/// The longest message that either side accepts.
const LONGEST: usize = 4 << 20;

const REQUEST: u8 = 1;
const RESPONSE: u8 = 2;

/// Codes of failure: those of gRPC that containerd tells apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Code {
    /// What has no code of its own.
    Unknown = 2,
    /// The request is wrong.
    InvalidArgument = 3,
    /// The container or process is not there, or no more.
    NotFound = 5,
    /// It is there already.
    AlreadyExists = 6,
    /// It is not in a state that allows this.
    FailedPrecondition = 9,
    /// There is no such method.
    Unimplemented = 12,
}

/// Why a request failed, as the caller is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What to tell failures apart by.
    pub code: Code,
    /// What happened.
    pub message: String,
}

impl Failure {
    /// A failure with a text.
    pub fn new(code: Code, message: impl Into<String>) -> Failure {
        Failure { code, message: message.into() }
    }
}

/// One frame, or what a connection that is not ttrpc's has instead.
#[derive(Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// A request to answer.
    Request(Request<'a>),
    /// A response, to what this side has asked.
    Response(u32, Result<(), String>),
    /// A message that asks for nothing this side knows; its stream is told so.
    Other(u32),
}

/// A request.
#[derive(Debug, PartialEq, Eq)]
pub struct Request<'a> {
    /// The stream to answer on.
    pub stream: u32,
    /// `containerd.task.v2.Task`.
    pub service: &'a str,
    /// `Create`.
    pub method: &'a str,
    /// The message that the method takes.
    pub payload: &'a [u8],
}

/// Takes the next frame from the beginning of `bytes`: it, and how long it is. `None` while it is not whole.
///
/// # Errors
/// For bytes that are no frame: nothing after them can be understood.
pub fn next(bytes: &[u8]) -> Result<Option<(Frame<'_>, usize)>, String> {
    let Some((header, rest)) = bytes.split_at_checked(HEADER) else { return Ok(None) };
    let number = |at: usize| u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    let (length, stream) = (number(0) as usize, number(4));
    if length > LONGEST {
        return Err(format!("a message of {length} bytes came, and {LONGEST} are the most"));
    }
    let Some(message) = rest.get(..length) else { return Ok(None) };
    let frame = match header[8] {
        REQUEST => request(stream, message).unwrap_or(Frame::Other(stream)),
        RESPONSE => Frame::Response(stream, outcome(message)),
        _ => Frame::Other(stream),
    };
    Ok(Some((frame, HEADER + length)))
}

fn request(stream: u32, message: &[u8]) -> Option<Frame<'_>> {
    let fields = Fields::of(message)?;
    let text = |field| std::str::from_utf8(fields.bytes(field)).ok();
    Some(Frame::Request(Request { stream, service: text(1)?, method: text(2)?, payload: fields.bytes(3) }))
}

fn outcome(message: &[u8]) -> Result<(), String> {
    let fields = Fields::of(message).ok_or("the answer is no message")?;
    let status = Fields::of(fields.bytes(1)).ok_or("the answer is no message")?;
    if status.number(1) == 0 { Ok(()) } else { Err(status.text(2)) }
}

/// A request for `method` of `service`.
pub fn ask(stream: u32, service: &str, method: &str, payload: &Message, seconds: u32) -> Vec<u8> {
    let mut message = Message::default();
    message.text(1, service).text(2, method).message(3, payload).number(4, i64::from(seconds) * 1_000_000_000);
    framed(stream, REQUEST, message.bytes())
}

/// The answer to a request.
pub fn answer(stream: u32, outcome: &Result<Vec<u8>, Failure>) -> Vec<u8> {
    let mut message = Message::default();
    match outcome {
        Ok(payload) if payload.len() > LONGEST - 64 => {
            return answer(stream, &Err(Failure::new(Code::Unknown, "the answer is longer than a message may be")));
        }
        Ok(payload) => message.words(2, payload),
        Err(failure) => {
            let mut status = Message::default();
            status.number(1, failure.code as i64).text(2, &failure.message);
            message.message(1, &status)
        }
    };
    framed(stream, RESPONSE, message.bytes())
}

fn framed(stream: u32, kind: u8, message: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER + message.len());
    bytes.extend_from_slice(&(message.len() as u32).to_be_bytes());
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(&[kind, 0]);
    bytes.extend_from_slice(message);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_read_as_it_was_written_once_it_is_whole() {
        let mut payload = Message::default();
        payload.text(1, "c1");
        let bytes = ask(3, "containerd.task.v2.Task", "State", &payload, 5);
        for short in 0..bytes.len() {
            assert_eq!(next(&bytes[..short]), Ok(None), "{short}");
        }
        let twice = [bytes.clone(), bytes.clone()].concat();
        let Ok(Some((Frame::Request(request), length))) = next(&twice) else { panic!("no request") };
        assert_eq!((request.stream, request.service, request.method), (3, "containerd.task.v2.Task", "State"));
        assert_eq!((request.payload, length), (payload.bytes(), bytes.len()));
    }

    #[test]
    fn an_answer_tells_success_from_failure() {
        let good = answer(1, &Ok(vec![8, 1]));
        assert_eq!(next(&good).unwrap().unwrap().0, Frame::Response(1, Ok(())));
        let bad = answer(5, &Err(Failure::new(Code::NotFound, "container c1 does not exist")));
        let told = Err("container c1 does not exist".to_owned());
        assert_eq!(next(&bad).unwrap().unwrap().0, Frame::Response(5, told));
    }

    #[test]
    fn bytes_of_any_kind_are_refused_or_understood() {
        assert!(next(&[0xff; 32]).is_err());
        for kind in 0..=u8::MAX {
            let frame = framed(7, kind, &[0xff; 20]);
            assert!(matches!(next(&frame), Ok(Some((Frame::Other(7) | Frame::Response(7, Err(_)), 30)))), "{kind}");
        }
    }
}
