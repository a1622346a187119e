//! json and jsonb, which are kept as text: looked into and compared.

pub(crate) mod asked;
pub(crate) mod build;
pub(crate) mod edit;
pub(crate) mod path;
pub(crate) mod record;
pub(crate) mod table;
pub(crate) mod valid;

use crate::{
    error::{Error, Result, SqlState},
    pgtype::{PgType, json::normalise},
    sql::functions::{call::Arguments, lists::texts_as},
};
use arrow::{
    array::{ArrayRef, AsArray, BooleanArray, Int32Array, ListArray},
    datatypes::Int32Type,
};
use serde_json::{Map, Value};
use std::sync::Arc;

pub(super) fn read(text: &str) -> Result<Value> {
    serde_json::from_str(text).map_err(|_| {
        Error::new(SqlState::INVALID_TEXT_REPRESENTATION, "invalid input syntax for type json")
    })
}

/// The value as the type of json writes it.
fn write(value: &Value, kind: &PgType) -> Result<String> {
    let text = value.to_string();
    if *kind == PgType::Jsonb { normalise(&text) } else { Ok(text) }
}

/// What `->>` gives: a string without its quotes, NULL for null.
fn plain(value: &Value, kind: &PgType) -> Result<Option<String>> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text.clone())),
        other => write(other, kind).map(Some),
    }
}

fn at_place(value: &Value, place: i64) -> Option<&Value> {
    let list = value.as_array()?;
    let place = if place < 0 { place + i64::try_from(list.len()).ok()? } else { place };
    list.get(usize::try_from(place).ok()?)
}

fn step<'v>(value: &'v Value, key: &str) -> Option<&'v Value> {
    match value {
        Value::Object(map) => map.get(key),
        Value::Array(_) => at_place(value, key.trim().parse().ok()?),
        _ => None,
    }
}

fn look(
    args: &Arguments<'_>,
    text: bool,
    find: impl Fn(&Value, usize) -> Option<Value>,
) -> Result<ArrayRef> {
    let documents = args.text(0);
    args.texts(|row| {
        let Some(found) = find(&read(documents.value(row))?, row) else { return Ok(None) };
        if text { plain(&found, &args.kinds[0]) } else { write(&found, &args.kinds[0]).map(Some) }
    })
}

/// `json -> key`
pub(crate) fn field(args: &Arguments<'_>) -> Result<ArrayRef> {
    look(args, false, |value, row| value.as_object()?.get(args.text(1).value(row)).cloned())
}

/// `json ->> key`
pub(crate) fn field_text(args: &Arguments<'_>) -> Result<ArrayRef> {
    look(args, true, |value, row| value.as_object()?.get(args.text(1).value(row)).cloned())
}

/// `json -> place`
pub(crate) fn element(args: &Arguments<'_>) -> Result<ArrayRef> {
    look(args, false, |value, row| at_place(value, place(args, row)).cloned())
}

/// `json ->> place`
pub(crate) fn element_text(args: &Arguments<'_>) -> Result<ArrayRef> {
    look(args, true, |value, row| at_place(value, place(args, row)).cloned())
}

fn place(args: &Arguments<'_>, row: usize) -> i64 {
    i64::from(args.arrays[1].as_primitive::<Int32Type>().value(row))
}

/// The texts of a list.
fn keys(args: &Arguments<'_>, at: usize, row: usize) -> Vec<String> {
    let list: &ListArray = args.arrays[at].as_list::<i32>();
    let values = list.value(row);
    values.as_string::<i32>().iter().flatten().map(str::to_owned).collect()
}

fn walk(value: &Value, path: &[String]) -> Option<Value> {
    path.iter().try_fold(value, |value, key| step(value, key)).cloned()
}

/// `json #> path`
pub(crate) fn path(args: &Arguments<'_>) -> Result<ArrayRef> {
    look(args, false, |value, row| walk(value, &keys(args, 1, row)))
}

/// `json #>> path`
pub(crate) fn path_text(args: &Arguments<'_>) -> Result<ArrayRef> {
    look(args, true, |value, row| walk(value, &keys(args, 1, row)))
}

/// `json_extract_path(json, variadic keys)`
pub(crate) fn extract_path(args: &Arguments<'_>) -> Result<ArrayRef> {
    let text = *args.result == PgType::Text;
    look(args, text, |value, row| {
        let path: Vec<String> = args.arrays[1..]
            .iter()
            .map(|keys| keys.as_string::<i32>().value(row).to_owned())
            .collect();
        walk(value, &path)
    })
}

fn test(args: &Arguments<'_>, one: impl Fn(&Value, usize) -> Result<bool>) -> Result<ArrayRef> {
    let documents = args.text(0);
    let rows = (0..args.rows).map(|row| {
        if args.is_null(row) { Ok(None) } else { one(&read(documents.value(row))?, row).map(Some) }
    });
    Ok(Arc::new(rows.collect::<Result<BooleanArray>>()?))
}

fn has(value: &Value, key: &str) -> bool {
    match value {
        Value::Object(map) => map.contains_key(key),
        Value::Array(list) => list.iter().any(|element| element.as_str() == Some(key)),
        Value::String(text) => text == key,
        _ => false,
    }
}

/// `jsonb ? key`
pub(crate) fn has_key(args: &Arguments<'_>) -> Result<ArrayRef> {
    test(args, |value, row| Ok(has(value, args.text(1).value(row))))
}

/// `jsonb ?| keys`
pub(crate) fn has_any_key(args: &Arguments<'_>) -> Result<ArrayRef> {
    test(args, |value, row| Ok(keys(args, 1, row).iter().any(|key| has(value, key))))
}

/// `jsonb ?& keys`
pub(crate) fn has_all_keys(args: &Arguments<'_>) -> Result<ArrayRef> {
    test(args, |value, row| Ok(keys(args, 1, row).iter().all(|key| has(value, key))))
}

/// `jsonb @> jsonb`
pub(crate) fn contains(args: &Arguments<'_>) -> Result<ArrayRef> {
    test(args, |value, row| {
        let part = read(args.text(1).value(row))?;
        // At the top an array contains a scalar that is among its elements.
        if let (Value::Array(list), false) = (value, part.is_array() || part.is_object()) {
            return Ok(list.iter().any(|element| equal(element, &part)));
        }
        Ok(holds(value, &part))
    })
}

fn holds(whole: &Value, part: &Value) -> bool {
    match (whole, part) {
        (Value::Object(whole), Value::Object(part)) => {
            part.iter().all(|(key, value)| whole.get(key).is_some_and(|other| holds(other, value)))
        }
        (Value::Array(whole), Value::Array(part)) => {
            part.iter().all(|value| whole.iter().any(|other| holds(other, value)))
        }
        (whole, part) => equal(whole, part),
    }
}

fn equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        (a, b) => a == b,
    }
}

/// `jsonb <@ jsonb`
pub(crate) fn contained(args: &Arguments<'_>) -> Result<ArrayRef> {
    let arrays = args.arrays.iter().rev().map(Arc::clone).collect();
    contains(&Arguments { arrays, ..*args })
}

/// `jsonb || jsonb`
pub(crate) fn concat(args: &Arguments<'_>) -> Result<ArrayRef> {
    args.texts(|row| {
        let (a, b) = (read(args.text(0).value(row))?, read(args.text(1).value(row))?);
        let made = match (a, b) {
            (Value::Object(mut a), Value::Object(b)) => {
                a.extend(b);
                Value::Object(a)
            }
            (Value::Array(mut a), Value::Array(b)) => {
                a.extend(b);
                Value::Array(a)
            }
            (Value::Array(mut a), b) => {
                a.push(b);
                Value::Array(a)
            }
            (a, Value::Array(b)) => Value::Array(std::iter::once(a).chain(b).collect()),
            (a, b) => Value::Array(vec![a, b]),
        };
        write(&made, args.result).map(Some)
    })
}

/// `json_typeof(json)`
pub(crate) fn type_name(args: &Arguments<'_>) -> Result<ArrayRef> {
    args.texts(|row| {
        Ok(Some(
            match read(args.text(0).value(row))? {
                Value::Null => "null",
                Value::Bool(_) => "boolean",
                Value::Number(_) => "number",
                Value::String(_) => "string",
                Value::Array(_) => "array",
                Value::Object(_) => "object",
            }
            .to_owned(),
        ))
    })
}

/// `json_array_length(json)`
pub(crate) fn array_length(args: &Arguments<'_>) -> Result<ArrayRef> {
    let rows = (0..args.rows).map(|row| {
        if args.is_null(row) {
            return Ok(None);
        }
        match read(args.text(0).value(row))? {
            Value::Array(list) => Ok(i32::try_from(list.len()).ok()),
            Value::Object(_) => Err(Error::new(
                SqlState::INVALID_PARAMETER_VALUE,
                "cannot get array length of a non-array",
            )),
            _ => Err(Error::new(
                SqlState::INVALID_PARAMETER_VALUE,
                "cannot get array length of a scalar",
            )),
        }
    });
    Ok(Arc::new(rows.collect::<Result<Int32Array>>()?))
}

fn lists(
    args: &Arguments<'_>,
    one: impl Fn(Value) -> Result<Vec<Option<String>>>,
) -> Result<ArrayRef> {
    let rows = (0..args.rows)
        .map(|row| {
            if args.is_null(row) { Ok(None) } else { one(read(args.text(0).value(row))?).map(Some) }
        })
        .collect::<Result<Vec<_>>>()?;
    texts_as(rows, args.result, args)
}

fn elements(value: Value) -> Result<Vec<Value>> {
    match value {
        Value::Array(list) => Ok(list),
        Value::Object(_) => Err(Error::new(
            SqlState::INVALID_PARAMETER_VALUE,
            "cannot extract elements from an object",
        )),
        _ => Err(Error::new(
            SqlState::INVALID_PARAMETER_VALUE,
            "cannot extract elements from a scalar",
        )),
    }
}

/// `jsonb_array_elements(jsonb)`
pub(crate) fn array_elements(args: &Arguments<'_>) -> Result<ArrayRef> {
    let kind = &args.kinds[0];
    lists(args, |value| elements(value)?.iter().map(|value| write(value, kind).map(Some)).collect())
}

/// `jsonb_array_elements_text(jsonb)`
pub(crate) fn array_elements_text(args: &Arguments<'_>) -> Result<ArrayRef> {
    let kind = &args.kinds[0];
    lists(args, |value| elements(value)?.iter().map(|value| plain(value, kind)).collect())
}

fn members(value: Value) -> Result<Map<String, Value>> {
    match value {
        Value::Object(map) => Ok(map),
        Value::Array(_) => Err(Error::new(
            SqlState::INVALID_PARAMETER_VALUE,
            "cannot deconstruct an array as an object",
        )),
        _ => Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, "cannot deconstruct a scalar")),
    }
}

/// `jsonb_object_keys(jsonb)`
pub(crate) fn object_keys(args: &Arguments<'_>) -> Result<ArrayRef> {
    lists(args, |value| Ok(members(value)?.into_iter().map(|(key, _)| Some(key)).collect()))
}

/// The values of `jsonb_each(jsonb)`.
pub(crate) fn object_values(args: &Arguments<'_>) -> Result<ArrayRef> {
    let kind = &args.kinds[0];
    lists(args, |value| {
        members(value)?.values().map(|value| write(value, kind).map(Some)).collect()
    })
}

/// The values of `jsonb_each_text(jsonb)`.
pub(crate) fn object_values_text(args: &Arguments<'_>) -> Result<ArrayRef> {
    let kind = &args.kinds[0];
    lists(args, |value| members(value)?.values().map(|value| plain(value, kind)).collect())
}

/// `jsonb_strip_nulls(jsonb)`
pub(crate) fn strip_nulls(args: &Arguments<'_>) -> Result<ArrayRef> {
    fn strip(value: Value, in_arrays: bool) -> Value {
        let strip = |value| strip(value, in_arrays);
        match value {
            Value::Object(map) => Value::Object(
                map.into_iter()
                    .filter(|(_, value)| !value.is_null())
                    .map(|(key, value)| (key, strip(value)))
                    .collect(),
            ),
            Value::Array(list) => {
                let kept = list.into_iter().filter(|value| !(in_arrays && value.is_null()));
                Value::Array(kept.map(strip).collect())
            }
            other => other,
        }
    }
    args.texts(|row| {
        let in_arrays = args.arrays.get(1).is_some_and(|flags| flags.as_boolean().value(row));
        write(&strip(read(args.text(0).value(row))?, in_arrays), args.result).map(Some)
    })
}

/// `jsonb_pretty(jsonb)`
pub(crate) fn pretty(args: &Arguments<'_>) -> Result<ArrayRef> {
    args.texts(|row| {
        let value = read(args.text(0).value(row))?;
        let mut out = Vec::new();
        let formatter = serde_json::ser::PrettyFormatter::with_indent(b"    ");
        let mut serializer = serde_json::Serializer::with_formatter(&mut out, formatter);
        serde::Serialize::serialize(&value, &mut serializer)
            .map_err(|error| Error::internal(error.to_string()))?;
        String::from_utf8(out).map(Some).map_err(|error| Error::internal(error.to_string()))
    })
}
