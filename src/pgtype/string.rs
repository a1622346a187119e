//! The types that are text with a rule: `"char"`, `name`, `varchar(n)`, `character(n)`; and
//! `boolean`, which is a word.

use super::faults::{bad_binary, syntax, trim};
use crate::error::{Error, Result, SqlState};
use std::borrow::Cow;

/// The longest name, in bytes.
pub const NAME_BYTES_MAX: usize = 63;

/// What becomes of text that is too long for its type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TooLong {
    /// It is cut, as an explicit cast does.
    Cut,
    /// It is refused unless only blanks are lost, as an assignment does.
    Refuse,
}

/// Reads a boolean: any beginning of `true`, `false`, `yes`, `no`; `on`, `off`, `1`, `0`.
pub(super) fn parse_bool(text: &str) -> Result<bool> {
    let word = trim(text).to_ascii_lowercase();
    let begins = |whole: &str, least: usize| word.len() >= least && whole.starts_with(&word);
    if begins("true", 1) || begins("yes", 1) || word == "on" || word == "1" {
        Ok(true)
    } else if begins("false", 1) || begins("no", 1) || begins("off", 2) || word == "0" {
        Ok(false)
    } else {
        Err(syntax("boolean", text))
    }
}

/// The one byte of a `"char"`, as its text shows it: bytes above 127 as `\ooo`.
pub(super) fn parse_char(text: &str) -> String {
    match text.as_bytes() {
        [b'\\', a @ b'0'..=b'7', b @ b'0'..=b'7', c @ b'0'..=b'7'] => {
            // One byte has room for three of the first digit's four.
            show_char((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'))
        }
        [byte, ..] => show_char(*byte),
        [] => String::new(),
    }
}

/// A `"char"` as text.
pub(super) fn show_char(byte: u8) -> String {
    match byte {
        0 => String::new(),
        1..=127 => char::from(byte).to_string(),
        _ => format!("\\{byte:03o}"),
    }
}

/// The byte that [`show_char`] shows.
pub(super) fn char_byte(text: &str) -> u8 {
    match text.as_bytes() {
        [b'\\', a, b, c] => {
            let digit = |byte: &u8| byte.wrapping_sub(b'0') & 7;
            (digit(a) & 3) << 6 | digit(b) << 3 | digit(c)
        }
        [byte, ..] => *byte,
        [] => 0,
    }
}

/// A `name`: text cut to [`NAME_BYTES_MAX`] bytes, between characters.
#[must_use]
pub fn name(text: &str) -> &str {
    &text[..text.floor_char_boundary(NAME_BYTES_MAX)]
}

/// Text as `varchar(limit)` holds it.
///
/// # Errors
/// 22001 where it is too long and shall not be cut.
pub fn varchar(text: &str, limit: u32, too_long: TooLong) -> Result<&str> {
    cut(text, limit, too_long, "character varying")
}

/// Text as `character(length)` holds it: padded with blanks.
///
/// # Errors
/// 22001 where it is too long and shall not be cut.
pub fn bpchar(text: &str, length: u32, too_long: TooLong) -> Result<Cow<'_, str>> {
    let text = cut(text, length, too_long, "character")?;
    let missing = usize::try_from(length).unwrap_or(usize::MAX) - text.chars().count();
    if missing == 0 {
        return Ok(Cow::Borrowed(text));
    }
    Ok(Cow::Owned(format!("{text}{:missing$}", "")))
}

fn cut<'a>(text: &'a str, limit: u32, too_long: TooLong, kind: &str) -> Result<&'a str> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    if text.len() <= limit {
        return Ok(text);
    }
    let Some((end, _)) = text.char_indices().nth(limit) else { return Ok(text) };
    if too_long == TooLong::Refuse && !text[end..].bytes().all(|byte| byte == b' ') {
        return Err(Error::new(
            SqlState::STRING_DATA_RIGHT_TRUNCATION,
            format!("value too long for type {kind}({limit})"),
        ));
    }
    Ok(&text[..end])
}

/// Reads the one byte of a boolean's binary form.
pub(super) fn parse_bool_binary(bytes: &[u8]) -> Result<bool> {
    match bytes {
        [byte] => Ok(*byte != 0),
        [] => Err(super::faults::too_short()),
        _ => Err(bad_binary()),
    }
}
