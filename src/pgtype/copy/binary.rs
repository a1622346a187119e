//! Takes binary data apart: a signature, flags, an extension; then rows as counts and lengths.

use super::SIGNATURE;
use crate::error::{Error, Result, SqlState};

/// A row, or what stands in its place.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// A row of so many fields, with its length in bytes.
    Row(usize),
    /// The trailer.
    End,
    /// More data must come first.
    More,
}

/// The length of the header at the front of `data`; `None` where more must come first.
pub(super) fn header(data: &[u8]) -> Result<Option<usize>> {
    let length = data.len().min(SIGNATURE.len());
    if data[..length] != SIGNATURE[..length] {
        return Err(bad("COPY file signature not recognized"));
    }
    let Some(flags) = int32(data, 11) else { return Ok(None) };
    if flags & (1 << 16) != 0 {
        return Err(bad("invalid COPY file header (WITH OIDS)"));
    }
    // The upper half may change the meaning of what follows.
    if flags.cast_unsigned() >> 16 != 0 {
        return Err(bad("unrecognized critical flags in COPY file header"));
    }
    let Some(extension) = int32(data, 15) else { return Ok(None) };
    let extension =
        usize::try_from(extension).map_err(|_| bad("invalid COPY file header (wrong length)"))?;
    Ok((data.len() >= 19 + extension).then_some(19 + extension))
}

/// Whether a whole row of `expected` fields stands at the front of `data`.
pub(super) fn row(data: &[u8], expected: usize) -> Result<Found> {
    let Some(count) = data.first_chunk::<2>().map(|bytes| i16::from_be_bytes(*bytes)) else {
        return Ok(Found::More);
    };
    if count == -1 {
        return Ok(Found::End);
    }
    if usize::try_from(count) != Ok(expected) {
        return Err(bad(format!("row field count is {count}, expected {expected}")));
    }
    let mut at = 2;
    for _ in 0..expected {
        let Some(length) = int32(data, at) else { return Ok(Found::More) };
        at += 4;
        if length == -1 {
            continue;
        }
        at += usize::try_from(length).map_err(|_| bad("invalid field size"))?;
        if at > data.len() {
            return Ok(Found::More);
        }
    }
    Ok(Found::Row(at))
}

/// The next field of a row that [`row`] has measured, `None` where it is NULL; and the rest.
pub(super) fn field(data: &[u8]) -> Result<(Option<&[u8]>, &[u8])> {
    let cut = || bad("unexpected EOF in COPY data");
    let (length, rest) = data.split_first_chunk::<4>().ok_or_else(cut)?;
    let Ok(length) = usize::try_from(i32::from_be_bytes(*length)) else { return Ok((None, rest)) };
    let (value, rest) = rest.split_at_checked(length).ok_or_else(cut)?;
    Ok((Some(value), rest))
}

fn int32(data: &[u8], at: usize) -> Option<i32> {
    data.get(at..)?.first_chunk::<4>().map(|bytes| i32::from_be_bytes(*bytes))
}

pub(super) fn bad(message: impl Into<String>) -> Error {
    Error::new(SqlState::BAD_COPY_FILE_FORMAT, message)
}
