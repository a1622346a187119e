//! What a client may say once it is let in. A message arrives whole, as a [`Frame`], so that a
//! malformed one is an error of that message and the next one is found where it starts.

use super::fault::Fault;
use crate::error::{Error, Result, SqlState};
use bytes::{Buf, Bytes};
use pgwire::messages::{
    copy::{MESSAGE_TYPE_BYTE_COPY_DATA, MESSAGE_TYPE_BYTE_COPY_DONE, MESSAGE_TYPE_BYTE_COPY_FAIL},
    extendedquery::{
        MESSAGE_TYPE_BYTE_BIND, MESSAGE_TYPE_BYTE_CLOSE, MESSAGE_TYPE_BYTE_DESCRIBE,
        MESSAGE_TYPE_BYTE_EXECUTE, MESSAGE_TYPE_BYTE_FLUSH, MESSAGE_TYPE_BYTE_PARSE,
        MESSAGE_TYPE_BYTE_SYNC, TARGET_TYPE_BYTE_PORTAL, TARGET_TYPE_BYTE_STATEMENT,
    },
    simplequery::MESSAGE_TYPE_BYTE_QUERY,
    terminate::MESSAGE_TYPE_BYTE_TERMINATE,
};

const MESSAGE_TYPE_BYTE_FUNCTION_CALL: u8 = b'F';

/// The longest message of a kind that has no reason to be long; PostgreSQL's bound.
pub(super) const SMALL_MESSAGE_BYTES_MAX: usize = 10_000;

/// One message: its type and its body, complete and within its bound.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) kind: u8,
    pub(super) body: Bytes,
}

impl Frame {
    /// How long a message of this kind may be; `None` when no client may send it.
    pub(super) fn bytes_max(kind: u8, large: usize) -> Option<usize> {
        match kind {
            MESSAGE_TYPE_BYTE_QUERY
            | MESSAGE_TYPE_BYTE_PARSE
            | MESSAGE_TYPE_BYTE_BIND
            | MESSAGE_TYPE_BYTE_COPY_DATA
            | MESSAGE_TYPE_BYTE_FUNCTION_CALL => Some(large),
            MESSAGE_TYPE_BYTE_CLOSE
            | MESSAGE_TYPE_BYTE_DESCRIBE
            | MESSAGE_TYPE_BYTE_EXECUTE
            | MESSAGE_TYPE_BYTE_FLUSH
            | MESSAGE_TYPE_BYTE_SYNC
            | MESSAGE_TYPE_BYTE_TERMINATE
            | MESSAGE_TYPE_BYTE_COPY_DONE
            | MESSAGE_TYPE_BYTE_COPY_FAIL => Some(SMALL_MESSAGE_BYTES_MAX),
            _ => None,
        }
    }

    /// Whether an error in this message is followed by silence until Sync.
    pub(super) fn is_extended(&self) -> bool {
        matches!(
            self.kind,
            MESSAGE_TYPE_BYTE_PARSE
                | MESSAGE_TYPE_BYTE_BIND
                | MESSAGE_TYPE_BYTE_DESCRIBE
                | MESSAGE_TYPE_BYTE_EXECUTE
                | MESSAGE_TYPE_BYTE_CLOSE
                | MESSAGE_TYPE_BYTE_FLUSH
        )
    }

    /// Whether, when all is done, the client is told that the next message may come.
    pub(super) fn is_answered_by_ready(&self) -> bool {
        self.is_sync() || self.kind == MESSAGE_TYPE_BYTE_QUERY
    }

    pub(super) fn is_sync(&self) -> bool {
        self.kind == MESSAGE_TYPE_BYTE_SYNC
    }

    pub(super) fn is_terminate(&self) -> bool {
        self.kind == MESSAGE_TYPE_BYTE_TERMINATE
    }

    /// Reads the body.
    ///
    /// # Errors
    /// 08P01 when it is not as its kind demands, 22021 when text is not UTF-8.
    pub(super) fn message(self) -> Result<Message, Fault> {
        let mut body = Body(self.body);
        let message = match self.kind {
            MESSAGE_TYPE_BYTE_QUERY => Message::Query(body.string()?),
            MESSAGE_TYPE_BYTE_PARSE => Message::Parse {
                name: body.string()?,
                sql: body.string()?,
                types: body.list(Body::oid)?,
            },
            MESSAGE_TYPE_BYTE_BIND => Message::Bind(Bind {
                portal: body.string()?,
                statement: body.string()?,
                parameter_formats: body.list(Body::format)?,
                parameters: body.list(Body::value)?,
                result_formats: body.list(Body::format)?,
            }),
            MESSAGE_TYPE_BYTE_DESCRIBE => Message::Describe(body.target("DESCRIBE")?),
            MESSAGE_TYPE_BYTE_CLOSE => Message::Close(body.target("CLOSE")?),
            MESSAGE_TYPE_BYTE_EXECUTE => Message::Execute {
                portal: body.string()?,
                // Zero and less mean: all.
                rows_max: u64::try_from(body.int4()?).ok().filter(|&rows| rows > 0),
            },
            MESSAGE_TYPE_BYTE_FLUSH => Message::Flush,
            MESSAGE_TYPE_BYTE_SYNC => Message::Sync,
            MESSAGE_TYPE_BYTE_TERMINATE => Message::Terminate,
            MESSAGE_TYPE_BYTE_COPY_DATA => Message::CopyData(std::mem::take(&mut body.0)),
            MESSAGE_TYPE_BYTE_COPY_DONE => Message::CopyDone,
            MESSAGE_TYPE_BYTE_COPY_FAIL => Message::CopyFail(body.string()?),
            MESSAGE_TYPE_BYTE_FUNCTION_CALL => {
                return Err(Error::unsupported("the function call message is not supported")
                    .hint("Use SELECT function(...) instead.")
                    .into());
            }
            kind => return Err(Fault::Fatal(unknown_kind(kind))),
        };
        match body.0.is_empty() {
            true => Ok(message),
            false => Err(violation("invalid message format").into()),
        }
    }
}

/// The end of a connection: after such a byte nobody knows where the next message starts.
pub(super) fn unknown_kind(kind: u8) -> Error {
    violation(format!("invalid frontend message type {kind}"))
}

pub(super) fn violation(message: impl Into<String>) -> Error {
    Error::new(SqlState::PROTOCOL_VIOLATION, message)
}

/// A message of a client that is let in.
#[derive(Debug)]
pub(super) enum Message {
    Query(String),
    Parse { name: String, sql: String, types: Vec<u32> },
    Bind(Bind),
    Describe(Target),
    Execute { portal: String, rows_max: Option<u64> },
    Close(Target),
    Flush,
    Sync,
    Terminate,
    CopyData(Bytes),
    CopyDone,
    CopyFail(String),
}

/// A portal to make of a statement and values.
#[derive(Debug)]
pub(super) struct Bind {
    pub(super) portal: String,
    pub(super) statement: String,
    pub(super) parameter_formats: Vec<Format>,
    pub(super) parameters: Vec<Option<Bytes>>,
    pub(super) result_formats: Vec<Format>,
}

/// What Describe and Close speak of.
#[derive(Debug)]
pub(super) enum Target {
    Statement(String),
    Portal(String),
}

/// How a value is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Text,
    Binary,
}

impl Format {
    /// The protocol's number.
    pub(super) fn code(self) -> i16 {
        match self {
            Self::Text => 0,
            Self::Binary => 1,
        }
    }
}

/// The rest of a body; each step checks that there is enough of it.
struct Body(Bytes);

impl Body {
    fn int2(&mut self) -> Result<i16> {
        self.0.try_get_i16().map_err(|_| insufficient())
    }

    fn int4(&mut self) -> Result<i32> {
        self.0.try_get_i32().map_err(|_| insufficient())
    }

    fn oid(&mut self) -> Result<u32> {
        self.0.try_get_u32().map_err(|_| insufficient())
    }

    fn string(&mut self) -> Result<String> {
        let end = self.0.iter().position(|&byte| byte == 0);
        let end = end.ok_or_else(|| violation("invalid string in message"))?;
        let bytes = self.0.split_to(end);
        self.0.advance(1);
        utf8(&bytes).map(str::to_owned)
    }

    fn list<T>(&mut self, item: fn(&mut Self) -> Result<T>) -> Result<Vec<T>> {
        let count = self.0.try_get_u16().map_err(|_| insufficient())?;
        (0..count).map(|_| item(self)).collect()
    }

    fn format(&mut self) -> Result<Format> {
        match self.int2()? {
            0 => Ok(Format::Text),
            1 => Ok(Format::Binary),
            code => Err(Error::new(
                SqlState::INVALID_PARAMETER_VALUE,
                format!("unsupported format code: {code}"),
            )),
        }
    }

    fn value(&mut self) -> Result<Option<Bytes>> {
        match self.int4()? {
            -1 => Ok(None),
            bytes => match usize::try_from(bytes) {
                Ok(bytes) if bytes <= self.0.len() => Ok(Some(self.0.split_to(bytes))),
                _ => Err(insufficient()),
            },
        }
    }

    fn target(&mut self, message: &str) -> Result<Target> {
        match self.0.try_get_u8().map_err(|_| insufficient())? {
            TARGET_TYPE_BYTE_STATEMENT => self.string().map(Target::Statement),
            TARGET_TYPE_BYTE_PORTAL => self.string().map(Target::Portal),
            other => Err(violation(format!("invalid {message} message subtype {other}"))),
        }
    }
}

fn insufficient() -> Error {
    violation("insufficient data left in message")
}

/// The text of these bytes.
///
/// # Errors
/// 22021, naming the bytes, when they are not UTF-8.
pub(super) fn utf8(bytes: &[u8]) -> Result<&str> {
    std::str::from_utf8(bytes).map_err(|error| {
        let rest = &bytes[error.valid_up_to()..];
        let bad = &rest[..rest.len().min(error.error_len().unwrap_or(4))];
        let bad: Vec<String> = bad.iter().map(|byte| format!("0x{byte:02x}")).collect();
        Error::new(
            SqlState::CHARACTER_NOT_IN_REPERTOIRE,
            format!("invalid byte sequence for encoding \"UTF8\": {}", bad.join(" ")),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn state(kind: u8, body: &[u8]) -> SqlState {
        match (Frame { kind, body: Bytes::copy_from_slice(body) }).message() {
            Err(Fault::Error(error) | Fault::Fatal(error)) => error.state(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_body_that_is_too_short_too_long_or_not_text_is_an_error_of_the_message() {
        assert_eq!(state(b'Q', b"select 1"), SqlState::PROTOCOL_VIOLATION);
        assert_eq!(state(b'Q', b"select 1\0x"), SqlState::PROTOCOL_VIOLATION);
        assert_eq!(state(b'Q', b"\xff\0"), SqlState::CHARACTER_NOT_IN_REPERTOIRE);
        assert_eq!(state(b'P', b"\0\0\0\x02\0\0\0\x17"), SqlState::PROTOCOL_VIOLATION);
        assert_eq!(state(b'B', b"\0\0\0\x01\0\x07"), SqlState::INVALID_PARAMETER_VALUE);
        assert_eq!(state(b'B', b"\0\0\0\0\0\x01\xff\xff\xff\xfe"), SqlState::PROTOCOL_VIOLATION);
        assert_eq!(state(b'D', b"Xname\0"), SqlState::PROTOCOL_VIOLATION);
        assert_eq!(state(b'F', b""), SqlState::FEATURE_NOT_SUPPORTED);
    }

    #[test]
    fn a_bind_is_read_with_its_nulls() {
        let body = b"p\0s\0\0\x01\0\x01\0\x02\xff\xff\xff\xff\0\0\0\x01x\0\0";
        let frame = Frame { kind: b'B', body: Bytes::from_static(body) };
        let Ok(Message::Bind(bind)) = frame.message() else { panic!("a bind") };
        assert_eq!((bind.portal.as_str(), bind.statement.as_str()), ("p", "s"));
        assert_eq!(bind.parameter_formats, [Format::Binary]);
        assert_eq!(bind.parameters, [None, Some(Bytes::from_static(b"x"))]);
        assert!(bind.result_formats.is_empty());
    }

    proptest! {
        #[test]
        fn no_body_makes_it_panic(kind: u8, body: Vec<u8>) {
            let _ = Frame { kind, body: body.into() }.message();
        }
    }
}
