//! `bytea`, in its hex and its escape form; and `uuid`, which is bytes too.

use super::faults::syntax;
use crate::error::{Error, Result, SqlState};

const HEX: &[u8; 16] = b"0123456789abcdef";

/// Reads `\x00ff`, or text with `\\` and `\ooo`.
pub(super) fn parse(text: &str, out: &mut Vec<u8>) -> Result<()> {
    match text.strip_prefix("\\x") {
        Some(digits) => parse_hex(digits, out),
        None => parse_escape(text, out),
    }
}

fn parse_hex(digits: &str, out: &mut Vec<u8>) -> Result<()> {
    let invalid = |message: String| Error::new(SqlState::INVALID_PARAMETER_VALUE, message);
    let value = |character: char| {
        character
            .to_digit(16)
            .and_then(|digit| u8::try_from(digit).ok())
            .ok_or_else(|| invalid(format!("invalid hexadecimal digit: \"{character}\"")))
    };
    out.reserve(digits.len() / 2);
    let mut characters = digits.chars();
    while let Some(high) = characters.next() {
        if matches!(high, ' ' | '\n' | '\t' | '\r') {
            continue;
        }
        let high = value(high)?;
        let low = characters
            .next()
            .ok_or_else(|| invalid("invalid hexadecimal data: odd number of digits".into()))?;
        out.push(high << 4 | value(low)?);
    }
    Ok(())
}

fn parse_escape(text: &str, out: &mut Vec<u8>) -> Result<()> {
    let bad =
        || Error::new(SqlState::INVALID_TEXT_REPRESENTATION, "invalid input syntax for type bytea");
    let mut rest = text.as_bytes();
    while let [byte, tail @ ..] = rest {
        rest = match (byte, tail) {
            (b'\\', [b'\\', tail @ ..]) => {
                out.push(b'\\');
                tail
            }
            (b'\\', [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', tail @ ..]) => {
                out.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                tail
            }
            (b'\\', _) => return Err(bad()),
            (byte, tail) => {
                out.push(*byte);
                tail
            }
        };
    }
    Ok(())
}

/// Writes bytes as `\x00ff`, or with escapes.
pub(super) fn write(bytes: &[u8], escape: bool, out: &mut Vec<u8>) {
    if !escape {
        out.reserve(bytes.len() * 2 + 2);
        out.extend_from_slice(b"\\x");
        for &byte in bytes {
            write_hex(byte, out);
        }
        return;
    }
    for &byte in bytes {
        match byte {
            b'\\' => out.extend_from_slice(b"\\\\"),
            0x20..=0x7e => out.push(byte),
            _ => {
                out.extend_from_slice(&[
                    b'\\',
                    b'0' + (byte >> 6),
                    b'0' + (byte >> 3 & 7),
                    b'0' + (byte & 7),
                ]);
            }
        }
    }
}

fn write_hex(byte: u8, out: &mut Vec<u8>) {
    out.extend_from_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
}

/// Reads a uuid: 32 hex digits, with a hyphen behind any four of them, in braces or not.
pub(super) fn parse_uuid(text: &str) -> Result<[u8; 16]> {
    let bad = || syntax("uuid", text);
    let (inner, braced) = match text.strip_prefix('{') {
        Some(inner) => (inner, true),
        None => (text, false),
    };
    let mut rest = inner.as_bytes();
    let mut uuid = [0; 16];
    for (at, slot) in uuid.iter_mut().enumerate() {
        let [high, low, tail @ ..] = rest else { return Err(bad()) };
        let value = |byte: &u8| {
            char::from(*byte)
                .to_digit(16)
                .and_then(|digit| u8::try_from(digit).ok())
                .ok_or_else(bad)
        };
        *slot = value(high)? << 4 | value(low)?;
        rest = tail;
        if let [b'-', tail @ ..] = rest
            && at % 2 == 1
            && at < 15
        {
            rest = tail;
        }
    }
    match (braced, rest) {
        (true, b"}") | (false, b"") => Ok(uuid),
        _ => Err(bad()),
    }
}

/// Writes a uuid in lower case, in groups of 8, 4, 4, 4 and 12 digits.
pub(super) fn write_uuid(uuid: &[u8], out: &mut Vec<u8>) {
    for (at, &byte) in uuid.iter().enumerate() {
        if matches!(at, 4 | 6 | 8 | 10) {
            out.push(b'-');
        }
        write_hex(byte, out);
    }
}
