//! Single values and whole columns to and from text: what SQL's casts and literals need.

use super::{PgType, input::ColumnBuilder, output::Encoder, string::TooLong, style::Style};
use crate::error::{Error, Result};
use arrow::{
    array::{Array, ArrayRef, AsArray, StringArray, StringBuilder},
    compute::cast,
    datatypes::DataType,
};
use std::sync::Arc;

/// The value of a text, as an array of length 1.
///
/// # Errors
/// What PostgreSQL's input function for the type raises.
pub fn parse_text(kind: &PgType, text: &str, style: &Style) -> Result<ArrayRef> {
    let mut builder = ColumnBuilder::new(kind, style);
    builder.push_text(text)?;
    Ok(builder.finish())
}

/// The text of a row's value; `None` where it is NULL.
///
/// # Errors
/// An internal error where the array cannot be of this type.
pub fn text_of(
    kind: &PgType,
    array: &ArrayRef,
    row: usize,
    style: &Style,
) -> Result<Option<String>> {
    let encoder = Encoder::new(kind, array, style)?;
    if encoder.is_null(row) {
        return Ok(None);
    }
    let mut out = Vec::new();
    encoder.text(row, &mut out)?;
    text(out).map(Some)
}

/// A column of text under another type; `too_long` tells an explicit cast from an assignment.
///
/// # Errors
/// What PostgreSQL's input function for the type raises, for the first text that is no value.
pub fn from_text(
    kind: &PgType,
    texts: &ArrayRef,
    style: &Style,
    too_long: TooLong,
) -> Result<ArrayRef> {
    let texts = strings(texts)?;
    let mut builder = ColumnBuilder::new(kind, style).too_long(too_long);
    for text in texts.iter() {
        match text {
            Some(text) => builder.push_text(text)?,
            None => builder.push_null()?,
        }
    }
    Ok(builder.finish())
}

/// A column as text, as a cast to `text` gives it: booleans as `true` and `false`, `character(n)`
/// without its padding.
///
/// # Errors
/// An internal error where the array cannot be of this type.
pub fn to_text(kind: &PgType, array: &ArrayRef, style: &Style) -> Result<ArrayRef> {
    let encoder = Encoder::new(kind, array, style)?;
    let mut builder = StringBuilder::with_capacity(array.len(), array.len() * 16);
    let mut out = Vec::new();
    for row in 0..array.len() {
        if encoder.is_null(row) {
            builder.append_null();
            continue;
        }
        out.clear();
        encoder.text(row, &mut out)?;
        let text = std::str::from_utf8(&out).map_err(not_text)?;
        builder.append_value(match (kind, text) {
            (PgType::Bool, "t") => "true",
            (PgType::Bool, _) => "false",
            (PgType::Bpchar(_), padded) => padded.trim_end_matches(' '),
            (_, text) => text,
        });
    }
    Ok(Arc::new(builder.finish()))
}

fn strings(array: &ArrayRef) -> Result<StringArray> {
    let array = cast(array, &DataType::Utf8).map_err(|error| {
        Error::internal(format!("text came as {}", array.data_type())).source(error)
    })?;
    Ok(array.as_string::<i32>().clone())
}

fn text(bytes: Vec<u8>) -> Result<String> {
    String::from_utf8(bytes).map_err(|error| not_text(error.utf8_error()))
}

fn not_text(error: std::str::Utf8Error) -> Error {
    Error::internal("the text form of a value is not UTF-8").source(error)
}
