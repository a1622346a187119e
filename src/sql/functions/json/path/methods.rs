//! What is computed of an item: `.size()`, `.double()` …

use super::numbers::{computed, fault, number, truncated};
use crate::{
    error::{Error, Result},
    pgtype::jsonpath::Method,
};
use serde_json::{Map, Value};

/// Whether a method of an array is one of its elements in lax mode.
pub(super) fn unwraps(method: &Method) -> bool {
    !matches!(method, Method::Type | Method::Size)
}

pub(super) fn apply(
    method: &Method,
    item: &Value,
    strict: bool,
    found: &mut Vec<Value>,
) -> Result<()> {
    let name = method.name();
    let value = match method {
        Method::Type => Value::from(type_name(item)),
        Method::Size => match item {
            Value::Array(list) => Value::from(list.len()),
            _ if !strict => Value::from(1),
            _ => {
                let what = "jsonpath item method .size() can only be applied to an array";
                return Err(fault(b"22039", what));
            }
        },
        Method::Abs | Method::Ceiling | Method::Floor => {
            let Value::Number(number) = item else {
                let what = format!(
                    "jsonpath item method .{name}() can only be applied to a numeric value"
                );
                return Err(fault(b"22036", what));
            };
            match (number.as_i64(), method) {
                (Some(whole), Method::Abs) => Value::from(whole.unsigned_abs()),
                (Some(whole), _) => Value::from(whole),
                (None, _) => {
                    let value = number.as_f64().unwrap_or(f64::NAN);
                    computed(match method {
                        Method::Abs => value.abs(),
                        Method::Ceiling => value.ceil(),
                        _ => value.floor(),
                    })?
                }
            }
        }
        Method::Double | Method::Number | Method::Decimal(None) => numeric(item, name)?,
        Method::Decimal(Some((precision, scale))) => {
            let digits = |text: &str| text.parse::<i32>().unwrap_or(0);
            let (precision, scale) = (digits(precision), scale.as_deref().map_or(0, digits));
            let value = numeric(item, name)?.as_f64().unwrap_or(f64::NAN);
            let factor = 10_f64.powi(scale);
            let rounded = (value * factor).round() / factor;
            if rounded.abs() >= 10_f64.powi(precision - scale) {
                return Err(not_of(&shown(item), name, "numeric"));
            }
            computed(rounded)?
        }
        Method::Bigint | Method::Integer => {
            let kind = if *method == Method::Bigint { "bigint" } else { "integer" };
            let wrong = || not_of(&shown(item), name, kind);
            let whole = match item {
                Value::Number(number) => match number.as_i64() {
                    Some(whole) => Some(whole),
                    None => number.as_f64().and_then(|value| truncated(value.round())),
                },
                Value::String(text) => text.trim().parse().ok(),
                _ => return Err(only_numbers(name)),
            };
            let fits = |whole: &i64| kind == "bigint" || i32::try_from(*whole).is_ok();
            Value::from(whole.filter(fits).ok_or_else(wrong)?)
        }
        Method::Boolean => Value::from(match item {
            Value::Bool(value) => *value,
            Value::Number(number) => match number.as_i64() {
                Some(whole) => whole != 0,
                None => return Err(not_of(&shown(item), name, "boolean")),
            },
            Value::String(text) => boolean(text).ok_or_else(|| not_of(text, name, "boolean"))?,
            _ => {
                let what = "jsonpath item method .boolean() can only be applied to a boolean, string, or numeric value";
                return Err(fault(b"22036", what));
            }
        }),
        Method::String => match item {
            Value::String(_) => item.clone(),
            Value::Number(_) | Value::Bool(_) => Value::String(item.to_string()),
            _ => {
                let what = "jsonpath item method .string() can only be applied to a boolean, string, numeric, or datetime value";
                return Err(fault(b"22036", what));
            }
        },
        Method::Keyvalue => {
            let Value::Object(map) = item else {
                let what = "jsonpath item method .keyvalue() can only be applied to an object";
                return Err(fault(b"2203C", what));
            };
            for (key, value) in map {
                let mut pair = Map::new();
                pair.insert("id".to_owned(), Value::from(0));
                pair.insert("key".to_owned(), Value::String(key.clone()));
                pair.insert("value".to_owned(), value.clone());
                found.push(Value::Object(pair));
            }
            return Ok(());
        }
        Method::Moment(..) => {
            let what = format!("jsonpath item method .{name}() is not supported");
            return Err(
                Error::unsupported(what).hint("Cast the text to a date or a timestamp in SQL.")
            );
        }
    };
    found.push(value);
    Ok(())
}

fn type_name(item: &Value) -> &'static str {
    match item {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn shown(item: &Value) -> String {
    match item {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn not_of(text: &str, name: &str, kind: &str) -> Error {
    let kind = if name == "double" { "double precision" } else { kind };
    let what =
        format!("argument \"{text}\" of jsonpath item method .{name}() is invalid for type {kind}");
    fault(b"22036", what)
}

fn only_numbers(name: &str) -> Error {
    let what =
        format!("jsonpath item method .{name}() can only be applied to a string or numeric value");
    fault(b"22036", what)
}

fn numeric(item: &Value, name: &str) -> Result<Value> {
    match item {
        Value::Number(_) => Ok(item.clone()),
        Value::String(text) => number(text).map_err(|_| not_of(text, name, "numeric")),
        _ => Err(only_numbers(name)),
    }
}

/// A text as `boolean` reads it.
fn boolean(text: &str) -> Option<bool> {
    let text = text.trim().to_ascii_lowercase();
    let starts = |word: &str, least: usize| text.len() >= least && word.starts_with(&text);
    match () {
        () if starts("true", 1) || starts("yes", 1) || text == "on" || text == "1" => Some(true),
        () if starts("false", 1) || starts("no", 1) || starts("off", 2) || text == "0" => {
            Some(false)
        }
        () => None,
    }
}
