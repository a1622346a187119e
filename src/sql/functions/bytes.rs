//! Byte strings: parts of them, digests, text in and out of them.

use super::call::Arguments;
use crate::error::{Error, Result, SqlState};
use arrow::{
    array::{ArrayRef, AsArray, BinaryArray, Int32Array, Int64Array},
    datatypes::Int32Type,
};
use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};
use std::sync::Arc;

fn bytes<'a>(args: &'a Arguments<'_>, at: usize, row: usize) -> &'a [u8] {
    args.arrays[at].as_binary::<i32>().value(row)
}

fn integer(args: &Arguments<'_>, at: usize, row: usize) -> i32 {
    args.arrays[at].as_primitive::<Int32Type>().value(row)
}

/// Bytes for each row, NULL where an argument is NULL.
fn each(args: &Arguments<'_>, one: impl Fn(usize) -> Result<Vec<u8>>) -> Result<ArrayRef> {
    let rows =
        (0..args.rows).map(|row| if args.is_null(row) { Ok(None) } else { one(row).map(Some) });
    Ok(Arc::new(rows.collect::<Result<Vec<_>>>()?.into_iter().collect::<BinaryArray>()))
}

/// `substring(bytea, start, [count])`: bytes from 1, those before the first counted.
pub(super) fn substring(args: &Arguments<'_>) -> Result<ArrayRef> {
    each(args, |row| {
        let start = i64::from(integer(args, 1, row));
        let end = if args.arrays.len() > 2 {
            let count = i64::from(integer(args, 2, row));
            if count < 0 {
                return Err(negative_length());
            }
            start + count
        } else {
            i64::MAX
        };
        let bytes = bytes(args, 0, row);
        let place = |at: i64| usize::try_from((at - 1).max(0)).unwrap_or(0).min(bytes.len());
        let (start, end) = (place(start), place(end));
        Ok(bytes[start..end.max(start)].to_vec())
    })
}

/// `crc32(bytea)`
pub(super) fn crc32(args: &Arguments<'_>) -> Result<ArrayRef> {
    checksum(args, crc32fast::hash)
}

/// `crc32c(bytea)`
pub(super) fn crc32c(args: &Arguments<'_>) -> Result<ArrayRef> {
    checksum(args, crc32c::crc32c)
}

fn checksum(args: &Arguments<'_>, of: fn(&[u8]) -> u32) -> Result<ArrayRef> {
    let rows =
        (0..args.rows).map(|row| (!args.is_null(row)).then(|| i64::from(of(bytes(args, 0, row)))));
    Ok(Arc::new(rows.collect::<Int64Array>()))
}

fn negative_length() -> Error {
    Error::new(SqlState::SUBSTRING_ERROR, "negative substring length not allowed")
}

/// `overlay(bytea placing new from start [for count])`
pub(super) fn overlay(args: &Arguments<'_>) -> Result<ArrayRef> {
    each(args, |row| {
        let (old, new) = (bytes(args, 0, row), bytes(args, 1, row));
        let start = i64::from(integer(args, 2, row));
        if start < 1 {
            return Err(negative_length());
        }
        let count = if args.arrays.len() > 3 {
            i64::from(integer(args, 3, row))
        } else {
            i64::try_from(new.len()).unwrap_or(i64::MAX)
        };
        let place = |at: i64| usize::try_from(at.max(0)).unwrap_or(0).min(old.len());
        Ok([&old[..place(start - 1)], new, &old[place(start - 1 + count)..]].concat())
    })
}

/// `position(part in bytea)`; its arguments come as `position(bytea, part)`.
pub(super) fn position(args: &Arguments<'_>) -> Result<ArrayRef> {
    let rows = (0..args.rows).map(|row| {
        if args.is_null(row) {
            return None;
        }
        let (bytes, part) = (bytes(args, 0, row), bytes(args, 1, row));
        let at = if part.is_empty() {
            Some(0)
        } else {
            bytes.windows(part.len()).position(|window| window == part)
        };
        Some(at.map_or(0, |at| i32::try_from(at + 1).unwrap_or(i32::MAX)))
    });
    Ok(Arc::new(rows.collect::<Int32Array>()))
}

fn index(bytes: &[u8], at: i32) -> Result<usize> {
    usize::try_from(at).ok().filter(|&at| at < bytes.len()).ok_or_else(|| {
        let last = i64::try_from(bytes.len()).unwrap_or(i64::MAX) - 1;
        Error::new(
            SqlState::ARRAY_SUBSCRIPT_ERROR,
            format!("index {at} out of valid range, 0..{last}"),
        )
    })
}

/// `get_byte(bytea, n)`
pub(super) fn get_byte(args: &Arguments<'_>) -> Result<ArrayRef> {
    let rows = (0..args.rows).map(|row| {
        if args.is_null(row) {
            return Ok(None);
        }
        let bytes = bytes(args, 0, row);
        Ok(Some(i32::from(bytes[index(bytes, integer(args, 1, row))?])))
    });
    Ok(Arc::new(rows.collect::<Result<Int32Array>>()?))
}

/// `set_byte(bytea, n, value)`
pub(super) fn set_byte(args: &Arguments<'_>) -> Result<ArrayRef> {
    each(args, |row| {
        let mut made = bytes(args, 0, row).to_vec();
        let at = index(&made, integer(args, 1, row))?;
        made[at] = integer(args, 2, row).to_le_bytes()[0];
        Ok(made)
    })
}

/// `btrim(bytea, set)`
pub(super) fn btrim(args: &Arguments<'_>) -> Result<ArrayRef> {
    trimmed(args, true, true)
}

/// `ltrim(bytea, set)`
pub(super) fn ltrim(args: &Arguments<'_>) -> Result<ArrayRef> {
    trimmed(args, true, false)
}

/// `rtrim(bytea, set)`
pub(super) fn rtrim(args: &Arguments<'_>) -> Result<ArrayRef> {
    trimmed(args, false, true)
}

fn trimmed(args: &Arguments<'_>, front: bool, back: bool) -> Result<ArrayRef> {
    each(args, |row| {
        let (mut rest, set) = (bytes(args, 0, row), bytes(args, 1, row));
        while let Some((first, tail)) = rest.split_first()
            && front
            && set.contains(first)
        {
            rest = tail;
        }
        while let Some((last, head)) = rest.split_last()
            && back
            && set.contains(last)
        {
            rest = head;
        }
        Ok(rest.to_vec())
    })
}

/// `reverse(bytea)`
pub(super) fn reverse(args: &Arguments<'_>) -> Result<ArrayRef> {
    each(args, |row| Ok(bytes(args, 0, row).iter().rev().copied().collect()))
}

/// `sha224(bytea)`
pub(super) fn sha224(args: &Arguments<'_>) -> Result<ArrayRef> {
    each(args, |row| Ok(Sha224::digest(bytes(args, 0, row)).to_vec()))
}

/// `sha256(bytea)`
pub(super) fn sha256(args: &Arguments<'_>) -> Result<ArrayRef> {
    each(args, |row| Ok(Sha256::digest(bytes(args, 0, row)).to_vec()))
}

/// `sha384(bytea)`
pub(super) fn sha384(args: &Arguments<'_>) -> Result<ArrayRef> {
    each(args, |row| Ok(Sha384::digest(bytes(args, 0, row)).to_vec()))
}

/// `sha512(bytea)`
pub(super) fn sha512(args: &Arguments<'_>) -> Result<ArrayRef> {
    each(args, |row| Ok(Sha512::digest(bytes(args, 0, row)).to_vec()))
}

/// Refuses encodings other than the server's own.
fn utf8(name: &str) -> Result<()> {
    let bare: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
    match bare.to_ascii_lowercase().as_str() {
        "utf8" | "unicode" => Ok(()),
        _ => Err(Error::unsupported(format!("encoding \"{name}\" is not supported"))
            .hint("Text is UTF-8 everywhere.")),
    }
}

/// `convert_from(bytea, encoding)`
pub(super) fn convert_from(args: &Arguments<'_>) -> Result<ArrayRef> {
    args.texts(|row| {
        utf8(args.text(1).value(row))?;
        match std::str::from_utf8(bytes(args, 0, row)) {
            Ok(text) if !text.contains('\0') => Ok(Some(text.to_owned())),
            Ok(_) => Err(invalid(&[0])),
            Err(fault) => {
                let rest = &bytes(args, 0, row)[fault.valid_up_to()..];
                Err(invalid(&rest[..fault.error_len().unwrap_or(rest.len()).min(rest.len())]))
            }
        }
    })
}

fn invalid(bytes: &[u8]) -> Error {
    let shown: Vec<String> = bytes.iter().map(|byte| format!("0x{byte:02x}")).collect();
    Error::new(
        SqlState::CHARACTER_NOT_IN_REPERTOIRE,
        format!("invalid byte sequence for encoding \"UTF8\": {}", shown.join(" ")),
    )
}

/// `convert_to(text, encoding)`
pub(super) fn convert_to(args: &Arguments<'_>) -> Result<ArrayRef> {
    each(args, |row| {
        utf8(args.text(1).value(row))?;
        Ok(args.text(0).value(row).as_bytes().to_vec())
    })
}
