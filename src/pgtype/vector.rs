//! pgvector's `vector`: its text `[1,2,3]` and its binary form, with pgvector's checks and words.

use super::{
    faults::{bad_binary, is_space, syntax, take},
    float,
};
use crate::{
    error::{Error, Result, SqlState},
    vector::DIMS_MAX,
};

/// Reads a vector's text and appends its elements; tells how many they are.
pub(super) fn parse(text: &str, expected: Option<u16>, out: &mut Vec<f32>) -> Result<usize> {
    let bad = || syntax("vector", text);
    let bytes = text.as_bytes();
    let start = out.len();
    let mut at = skip(bytes, 0);
    if bytes.get(at) != Some(&b'[') {
        return Err(bad().detail("Vector contents must start with \"[\"."));
    }
    at = skip(bytes, at + 1);
    if bytes.get(at) == Some(&b']') {
        return Err(check_dims(0).expect_err("no dimensions are too few"));
    }
    loop {
        if out.len() - start == DIMS_MAX {
            return Err(check_dims(DIMS_MAX + 1).expect_err("too many"));
        }
        at = skip(bytes, at);
        let (value, length) = float::scan_f32(&bytes[at..]).ok_or_else(bad)?;
        let number = &text[at..at + length];
        if value.is_infinite() && !number.contains(['n', 'N']) {
            return Err(float::beyond(number, "vector"));
        }
        check_element(value)?;
        out.push(value);
        at = skip(bytes, at + length);
        match bytes.get(at) {
            Some(b',') => at += 1,
            Some(b']') => break,
            _ => return Err(bad()),
        }
    }
    if skip(bytes, at + 1) != bytes.len() {
        return Err(bad().detail("Junk after closing right brace."));
    }
    let dims = out.len() - start;
    check_expected(expected, dims)?;
    Ok(dims)
}

/// Reads a vector's binary form and appends its elements; tells how many they are.
pub(super) fn parse_binary(
    mut bytes: &[u8],
    expected: Option<u16>,
    out: &mut Vec<f32>,
) -> Result<usize> {
    let dims = i16::from_be_bytes(take(&mut bytes)?);
    let unused = i16::from_be_bytes(take(&mut bytes)?);
    let dims = usize::try_from(dims).unwrap_or(0);
    check_dims(dims)?;
    check_expected(expected, dims)?;
    if unused != 0 {
        return Err(fault(format!("expected unused to be 0, not {unused}")));
    }
    for _ in 0..dims {
        let value = f32::from_be_bytes(take(&mut bytes)?);
        check_element(value)?;
        out.push(value);
    }
    if bytes.is_empty() { Ok(dims) } else { Err(bad_binary()) }
}

/// Writes `[1,2,3]`.
pub(super) fn write(values: &[f32], out: &mut Vec<u8>) {
    out.reserve(values.len() * 12 + 2);
    out.push(b'[');
    for (at, value) in values.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        float::write_f32(*value, 1, out);
    }
    out.push(b']');
}

/// Writes the binary form.
pub(super) fn write_binary(values: &[f32], out: &mut Vec<u8>) -> Result<()> {
    check_dims(values.len())?;
    let dims = i16::try_from(values.len()).map_err(|_| bad_binary())?;
    out.extend_from_slice(&dims.to_be_bytes());
    out.extend_from_slice(&[0, 0]);
    out.reserve(values.len() * 4);
    for value in values {
        out.extend_from_slice(&value.to_be_bytes());
    }
    Ok(())
}

/// Refuses the elements that no distance can be told of.
///
/// # Errors
/// 22000, in pgvector's words.
pub fn check_element(value: f32) -> Result<()> {
    if value.is_nan() {
        Err(fault("NaN not allowed in vector"))
    } else if value.is_infinite() {
        Err(fault("infinite value not allowed in vector"))
    } else {
        Ok(())
    }
}

/// Refuses a number of dimensions that no vector can have.
///
/// # Errors
/// 22000 where there are none, 54000 where there are more than [`DIMS_MAX`].
pub fn check_dims(dims: usize) -> Result<()> {
    match dims {
        0 => Err(fault("vector must have at least 1 dimension")),
        1..=DIMS_MAX => Ok(()),
        _ => Err(Error::new(
            SqlState::PROGRAM_LIMIT_EXCEEDED,
            format!("vector cannot have more than {DIMS_MAX} dimensions"),
        )),
    }
}

/// Refuses a vector whose dimensions are not those declared.
///
/// # Errors
/// 22000, in pgvector's words.
pub fn check_expected(expected: Option<u16>, dims: usize) -> Result<()> {
    match expected {
        Some(expected) if usize::from(expected) != dims => {
            Err(fault(format!("expected {expected} dimensions, not {dims}")))
        }
        _ => Ok(()),
    }
}

fn fault(message: impl Into<String>) -> Error {
    Error::new(SqlState::DATA_EXCEPTION, message)
}

fn skip(bytes: &[u8], mut at: usize) -> usize {
    while bytes.get(at).is_some_and(|&byte| is_space(byte)) {
        at += 1;
    }
    at
}
