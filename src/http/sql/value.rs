//! A row of Arrow becomes a JSON array.
//!
//! | type | JSON |
//! |---|---|
//! | boolean | true, false |
//! | smallint, integer, oid; bigint within ±2^53; finite real and double precision | a number |
//! | json, jsonb | as it is |
//! | vector, halfvec | an array of numbers |
//! | everything else | PostgreSQL's text form, as a string |

use crate::{
    error::{Error, Result},
    pgtype::{PgType, output::Encoder, style::Style},
    session::OutputColumn,
};
use arrow::array::{ArrayRef, RecordBatch};

/// Integers up to here are the same to every reader of JSON.
const SAFE_INTEGER: i64 = (1 << 53) - 1;

/// Writes the rows of one batch.
pub(super) struct RowWriter {
    columns: Vec<(Encoder, Shape)>,
}

/// What JSON has for a type.
#[derive(Debug, Clone, Copy)]
enum Shape {
    Bool,
    Integer,
    Float,
    /// The text form is JSON already.
    Json,
    Text,
}

impl Shape {
    fn of(kind: &PgType) -> Self {
        match kind {
            PgType::Bool => Self::Bool,
            PgType::Int2 | PgType::Int4 | PgType::Int8 | PgType::Oid => Self::Integer,
            PgType::Float4 | PgType::Float8 => Self::Float,
            PgType::Json | PgType::Jsonb | PgType::Vector(_) | PgType::Halfvec(_) => Self::Json,
            _ => Self::Text,
        }
    }
}

impl RowWriter {
    pub(super) fn new(
        columns: &[OutputColumn],
        batch: &RecordBatch,
        style: &Style,
    ) -> Result<Self> {
        let column = |(column, array): (&OutputColumn, &ArrayRef)| {
            Ok::<_, Error>((Encoder::new(&column.kind, array, style)?, Shape::of(&column.kind)))
        };
        let columns = columns.iter().zip(batch.columns()).map(column).collect::<Result<_>>()?;
        Ok(Self { columns })
    }

    /// Appends one row.
    pub(super) fn row(&self, row: usize, out: &mut Vec<u8>) -> Result<()> {
        let mut text = Vec::new();
        out.push(b'[');
        for (place, (encoder, shape)) in self.columns.iter().enumerate() {
            if place > 0 {
                out.push(b',');
            }
            if encoder.is_null(row) {
                out.extend_from_slice(b"null");
                continue;
            }
            text.clear();
            encoder.text(row, &mut text)?;
            value(*shape, &text, out)?;
        }
        out.push(b']');
        Ok(())
    }
}

fn value(shape: Shape, text: &[u8], out: &mut Vec<u8>) -> Result<()> {
    match shape {
        Shape::Bool => out.extend_from_slice(if text == b"t" { b"true" } else { b"false" }),
        Shape::Integer if is_safe(text) => out.extend_from_slice(text),
        // NaN and the infinities are no numbers to JSON.
        Shape::Float if text.iter().all(|byte| b"0123456789.eE+-".contains(byte)) => {
            out.extend_from_slice(text);
        }
        // White space within `json` may be a line's end, which is not to end a line of ours.
        Shape::Json => out.extend(text.iter().map(|&byte| match byte {
            b'\n' | b'\r' => b' ',
            byte => byte,
        })),
        Shape::Integer | Shape::Float | Shape::Text => {
            let text = std::str::from_utf8(text)
                .map_err(|error| Error::internal("a value is no text").source(error))?;
            serde_json::to_writer(out, text)
                .map_err(|error| Error::internal("a value cannot be written").source(error))?;
        }
    }
    Ok(())
}

fn is_safe(text: &[u8]) -> bool {
    let number = std::str::from_utf8(text).ok().and_then(|text| text.parse::<i64>().ok());
    number.is_some_and(|number| (-SAFE_INTEGER..=SAFE_INTEGER).contains(&number))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_are_what_json_has_for_them() {
        let written = |kind: &PgType, text: &str| {
            let mut out = Vec::new();
            value(Shape::of(kind), text.as_bytes(), &mut out).unwrap();
            serde_json::from_slice::<serde_json::Value>(&out).unwrap()
        };
        assert_eq!(written(&PgType::Bool, "t"), json!(true));
        assert_eq!(written(&PgType::Int8, "9007199254740991"), json!(9_007_199_254_740_991_i64));
        assert_eq!(written(&PgType::Int8, "9007199254740993"), json!("9007199254740993"));
        assert_eq!(written(&PgType::Float8, "1e-07"), json!(1e-7));
        assert_eq!(written(&PgType::Float8, "NaN"), json!("NaN"));
        assert_eq!(written(&PgType::Float4, "-Infinity"), json!("-Infinity"));
        assert_eq!(written(&PgType::Numeric(None), "1.50"), json!("1.50"));
        assert_eq!(written(&PgType::Vector(None), "[1,0.5]"), json!([1, 0.5]));
        assert_eq!(written(&PgType::Json, "{\"a\":\n1}"), json!({ "a": 1 }));
        assert_eq!(written(&PgType::Text, "a\"\n\u{1}ä"), json!("a\"\n\u{1}ä"));
    }
}
