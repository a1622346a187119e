//! JSON values become values of the types that a statement has for its parameters. Each is read
//! as PostgreSQL's text form of the type, so that whatever can be written as a string can be sent
//! as one; numbers, booleans and arrays are written as that form first.

use crate::{
    error::{Error, Result, SqlState},
    pgtype::{PgType, input::ColumnBuilder, style::Style},
};
use arrow::array::ArrayRef;
use serde_json::Value;
use std::borrow::Cow;

/// The values of a statement's parameters, each as an array of one row.
pub(super) fn parameters(
    kinds: &[PgType],
    values: &[Value],
    style: &Style,
) -> Result<Vec<ArrayRef>> {
    if kinds.len() != values.len() {
        let message =
            format!("{} params were sent, and the statement has {}", values.len(), kinds.len());
        return Err(Error::new(SqlState::PROTOCOL_VIOLATION, message));
    }
    let one = |(place, (kind, value)): (usize, (&PgType, &Value))| {
        let mut column = ColumnBuilder::new(kind, style);
        let pushed = match text(kind, value) {
            None => column.push_null(),
            Some(text) if text.contains('\0') => Err(Error::new(
                SqlState::CHARACTER_NOT_IN_REPERTOIRE,
                "invalid byte sequence for encoding \"UTF8\": 0x00",
            )),
            Some(text) => column.push_text(&text),
        };
        pushed.map_err(|error| error.context(format!("parameter ${}", place + 1)))?;
        Ok::<ArrayRef, Error>(column.finish())
    };
    kinds.iter().zip(values).enumerate().map(one).collect()
}

/// A value in the text form of a type; `None` is NULL.
fn text<'v>(kind: &PgType, value: &'v Value) -> Option<Cow<'v, str>> {
    if let (PgType::Json | PgType::Jsonb, Value::Array(_) | Value::Object(_)) = (kind, value) {
        return Some(value.to_string().into());
    }
    Some(match value {
        Value::Null => return None,
        Value::String(text) => text.into(),
        Value::Array(items) => match kind {
            PgType::Array(element) => array(element, items).into(),
            // A vector's text form is JSON's.
            _ => value.to_string().into(),
        },
        other => other.to_string().into(),
    })
}

/// The text form of an array: each element in quotes, so that it may hold any character.
fn array(element: &PgType, items: &[Value]) -> String {
    let mut out = String::from("{");
    for (place, item) in items.iter().enumerate() {
        if place > 0 {
            out.push(',');
        }
        match (item, text(element, item)) {
            (_, None) => out.push_str("NULL"),
            // Dimensions of an array stand in no quotes.
            (Value::Array(inner), _) if !has_array_text(element) => {
                out.push_str(&array(element, inner));
            }
            (_, Some(text)) => {
                out.push('"');
                for char in text.chars() {
                    if matches!(char, '"' | '\\') {
                        out.push('\\');
                    }
                    out.push(char);
                }
                out.push('"');
            }
        }
    }
    out.push('}');
    out
}

/// Whether values of a type are JSON arrays themselves.
fn has_array_text(kind: &PgType) -> bool {
    matches!(kind, PgType::Vector(_) | PgType::Halfvec(_) | PgType::Json | PgType::Jsonb)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pgtype::output::Encoder;
    use serde_json::json;

    fn through(kind: &PgType, value: Value) -> String {
        let style = Style::default();
        let arrays = parameters(std::slice::from_ref(kind), &[value], &style).unwrap();
        let encoder = Encoder::new(kind, &arrays[0], &style).unwrap();
        if encoder.is_null(0) {
            return "NULL".to_owned();
        }
        let mut out = Vec::new();
        encoder.text(0, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn values_arrive_whatever_json_has_for_them() {
        let array = |kind: PgType| PgType::Array(Box::new(kind));
        for (kind, value, expected) in [
            (PgType::Int4, json!(7), "7"),
            (PgType::Int8, json!("9007199254740993"), "9007199254740993"),
            (PgType::Float8, json!(1e-7), "1e-07"),
            (PgType::Bool, json!(true), "t"),
            (PgType::Text, json!("a'b"), "a'b"),
            (PgType::Text, json!(null), "NULL"),
            (PgType::Vector(None), json!([1, 0.5, -2]), "[1,0.5,-2]"),
            (PgType::Vector(Some(2)), json!("[1,2]"), "[1,2]"),
            (PgType::Jsonb, json!({ "a": [1, null] }), r#"{"a": [1, null]}"#),
            (array(PgType::Int4), json!([1, null, 3]), "{1,NULL,3}"),
            (array(PgType::Text), json!(["a,b", "q\"q"]), r#"{"a,b","q\"q"}"#),
            (array(PgType::Vector(None)), json!([[1, 2], [3]]), r#"{"[1,2]",[3]}"#),
        ] {
            assert_eq!(through(&kind, value), expected, "{kind}");
        }
    }

    #[test]
    fn what_does_not_fit_says_which() {
        let style = Style::default();
        let error = parameters(&[PgType::Int4], &[json!("x")], &style).unwrap_err();
        assert_eq!(error.fields().context.as_deref(), Some("parameter $1"));
        assert!(parameters(&[PgType::Int4], &[], &style).is_err());
    }
}
