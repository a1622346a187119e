//! `x IS JSON`, and documents whose keys must differ.

use crate::{
    error::{Error, Result, SqlState},
    pgtype::json::{has_unique_keys, validate},
    sql::functions::call::Arguments,
};
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray};
use std::sync::Arc;

/// `x IS JSON kind`, whose keys differ where that is asked.
pub(crate) fn is_json(args: &Arguments<'_>) -> Result<ArrayRef> {
    let rows = (0..args.rows).map(|row| {
        if args.arrays[0].is_null(row) {
            return None;
        }
        let text = match args.arrays[0].as_binary_opt::<i32>() {
            Some(bytes) => match std::str::from_utf8(bytes.value(row)) {
                Ok(text) => text,
                Err(_) => return Some(false),
            },
            None => args.text(0).value(row),
        };
        let unique = args.arrays[2].as_boolean().value(row);
        Some(is_kind(text, args.text(1).value(row)) && is_valid(text, unique))
    });
    Ok(Arc::new(rows.collect::<BooleanArray>()))
}

fn is_valid(text: &str, unique: bool) -> bool {
    match unique {
        true => matches!(has_unique_keys(text), Ok(true)),
        false => validate(text).is_ok(),
    }
}

/// Whether a document is of a kind, which its first character tells.
fn is_kind(text: &str, kind: &str) -> bool {
    let first = text.trim_start_matches([' ', '\t', '\n', '\r']).bytes().next();
    match kind {
        "object" => first == Some(b'{'),
        "array" => first == Some(b'['),
        "scalar" => !matches!(first, Some(b'{' | b'[')),
        _ => true,
    }
}

/// A document as it is, if its keys differ.
pub(crate) fn unique(args: &Arguments<'_>) -> Result<ArrayRef> {
    args.texts(|row| {
        let text = args.text(0).value(row);
        if has_unique_keys(text)? {
            return Ok(Some(text.to_owned()));
        }
        let state = SqlState::new(b"22030");
        Err(Error::new(state, "duplicate JSON object key value"))
    })
}
