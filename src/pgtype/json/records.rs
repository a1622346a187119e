//! Objects as rows: what their members are to columns of some types.

use super::{
    Value,
    parser::{Parser, Purpose},
};
use crate::{
    error::{Error, Result, SqlState},
    pgtype::{PgType, array},
};

/// The texts of a row's fields; `None` is NULL.
pub type Fields = Vec<Option<String>>;

fn fault(message: String) -> Error {
    Error::new(SqlState::INVALID_PARAMETER_VALUE, message)
}

/// The fields that an object has, each as its type's input reads it.
///
/// # Errors
/// 22P02 where the text is no json, 22023 where it is no object.
pub fn record(text: &str, fields: &[(String, PgType)]) -> Result<Fields> {
    let what = match Parser::new(text, Purpose::Build).document()? {
        Value::Object(_) if fields.is_empty() => return Ok(Vec::new()),
        value @ Value::Object(_) => return row(&value, fields),
        Value::Array(_) => "an array",
        _ => "a scalar",
    };
    Err(fault(format!("cannot call populate_composite on {what}")))
}

/// The same of an array of objects.
///
/// # Errors
/// 22P02 where the text is no json, 22023 where it is no array of objects; `function` is blamed.
pub fn records(text: &str, fields: &[(String, PgType)], function: &str) -> Result<Vec<Fields>> {
    let is_binary = function.starts_with("jsonb");
    let items = match Parser::new(text, Purpose::Build).document()? {
        Value::Array(items) => items,
        _ if is_binary => return Err(fault(format!("cannot call {function} on a non-array"))),
        Value::Object(_) => return Err(fault(format!("cannot call {function} on an object"))),
        _ => return Err(fault(format!("cannot call {function} on a scalar"))),
    };
    let one = |item: &Value| match item {
        Value::Object(_) => row(item, fields),
        _ => Err(fault(format!("argument of {function} must be an array of objects"))),
    };
    items.iter().map(one).collect()
}

/// A document as the input of a type reads it.
///
/// # Errors
/// 22P02 where the text is no json, or no array where the type is one.
pub fn value(text: &str, kind: &PgType) -> Result<Option<String>> {
    field(&Parser::new(text, Purpose::Build).document()?, kind)
}

fn row(value: &Value, fields: &[(String, PgType)]) -> Result<Fields> {
    let Value::Object(members) = value else { return Ok(vec![None; fields.len()]) };
    let member = |name: &str| {
        members.iter().find(|(key, _)| key.text == name).map_or(&Value::Null, |(_, value)| value)
    };
    fields.iter().map(|(name, kind)| field(member(name), kind)).collect()
}

fn field(value: &Value, kind: &PgType) -> Result<Option<String>> {
    let mut text = String::new();
    match (value, kind) {
        (Value::Null, _) => return Ok(None),
        (value, PgType::Json | PgType::Jsonb) => value.write(&mut text),
        (Value::Text(plain), _) => text.push_str(plain),
        (Value::Array(items), PgType::Array(element)) => {
            let mut out = vec![b'{'];
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                match field(item, element)? {
                    None => out.extend_from_slice(b"NULL"),
                    Some(item) => {
                        let start = out.len();
                        out.extend_from_slice(item.as_bytes());
                        array::quote(&mut out, start);
                    }
                }
            }
            out.push(b'}');
            text = String::from_utf8(out).map_err(|_| Error::internal("json is UTF-8"))?;
        }
        (_, PgType::Array(_)) => {
            return Err(Error::new(SqlState::INVALID_TEXT_REPRESENTATION, "expected JSON array"));
        }
        (value, _) => value.write(&mut text),
    }
    Ok(Some(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_what_the_types_of_their_columns_read() {
        let fields = [
            ("a".to_owned(), PgType::Text.array()),
            ("b".to_owned(), PgType::Json),
            ("c".to_owned(), PgType::Numeric(None)),
        ];
        let made = record(r#"{"a":["x y",null,[2]],"b":{"k":1.50},"c":1.50}"#, &fields).unwrap();
        let made: Vec<_> = made.iter().map(Option::as_deref).collect();
        assert_eq!(made, [Some(r#"{"x y",NULL,[2]}"#), Some(r#"{"k": 1.50}"#), Some("1.50")]);
        assert_eq!(records("[]", &fields, "json_to_recordset").unwrap().len(), 0);
        let error = records("[1]", &fields, "jsonb_to_recordset").unwrap_err();
        assert_eq!(error.state(), SqlState::INVALID_PARAMETER_VALUE);
    }
}
