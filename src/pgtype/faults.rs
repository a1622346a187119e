//! The refusals that many types share, in PostgreSQL's words.

use crate::error::{Error, Result, SqlState};

/// 22P02: the text is no value of the type.
pub(super) fn syntax(kind: &str, text: &str) -> Error {
    Error::new(
        SqlState::INVALID_TEXT_REPRESENTATION,
        format!("invalid input syntax for type {kind}: \"{text}\""),
    )
}

/// 22003: the number is none of the type's.
pub(super) fn out_of_range(kind: &str, text: &str) -> Error {
    Error::new(
        SqlState::NUMERIC_VALUE_OUT_OF_RANGE,
        format!("value \"{text}\" is out of range for type {kind}"),
    )
}

/// 22P03: the bytes are no value of the type.
pub(super) fn bad_binary() -> Error {
    Error::new(SqlState::INVALID_BINARY_REPRESENTATION, "incorrect binary data format")
}

/// 08P01: the bytes end before the value does.
pub(super) fn too_short() -> Error {
    Error::new(SqlState::PROTOCOL_VIOLATION, "insufficient data left in message")
}

/// The bytes of a value whose binary form has a fixed length.
pub(super) fn exact<const N: usize>(bytes: &[u8]) -> Result<[u8; N]> {
    match bytes.len() {
        length if length < N => Err(too_short()),
        length if length > N => Err(bad_binary()),
        _ => bytes.try_into().map_err(|_| bad_binary()),
    }
}

/// Takes `N` bytes off the front.
pub(super) fn take<const N: usize>(bytes: &mut &[u8]) -> Result<[u8; N]> {
    let (head, tail) = bytes.split_first_chunk::<N>().ok_or_else(too_short)?;
    *bytes = tail;
    Ok(*head)
}

/// The text of a value as it came over the wire: UTF-8 without the byte 0.
///
/// # Errors
/// 22021, which names the offending bytes.
pub fn text_of_bytes(bytes: &[u8]) -> Result<&str> {
    let invalid = |bad: &[u8]| {
        let hex: Vec<String> = bad.iter().map(|byte| format!("0x{byte:02x}")).collect();
        Error::new(
            SqlState::CHARACTER_NOT_IN_REPERTOIRE,
            format!("invalid byte sequence for encoding \"UTF8\": {}", hex.join(" ")),
        )
    };
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let rest = &bytes[error.valid_up_to()..];
        // PostgreSQL shows as many bytes as the first one announces.
        let announced = match rest.first() {
            Some(0xc0..=0xdf) => 2,
            Some(0xe0..=0xef) => 3,
            Some(0xf0..=0xf7) => 4,
            _ => 1,
        };
        invalid(&rest[..announced.min(rest.len())])
    })?;
    if bytes.contains(&0) { Err(invalid(&[0])) } else { Ok(text) }
}

/// Whether C's `isspace` says so.
pub(super) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

/// Without the white space around it, as PostgreSQL's numbers are read.
pub(super) fn trim(text: &str) -> &str {
    text.trim_matches(|c: char| u8::try_from(c).is_ok_and(is_space))
}
