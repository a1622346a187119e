//! jsonb with parts taken out, replaced or put in.

use super::{keys, read, write};
use crate::{
    error::{Error, Result, SqlState},
    pgtype::PgType,
    sql::functions::call::{Arguments, integers},
};
use arrow::{
    array::{Array, ArrayRef, AsArray, StringArray},
    datatypes::Int32Type,
};
use serde_json::{Map, Value};
use std::sync::Arc;

fn fault(message: &str) -> Error {
    Error::new(SqlState::INVALID_PARAMETER_VALUE, message)
}

/// The place of an array that a number means, counted from the end where it is negative.
fn place_of(length: usize, place: i64) -> Option<usize> {
    let place = if place < 0 { place + i64::try_from(length).ok()? } else { place };
    usize::try_from(place).ok().filter(|place| *place < length)
}

/// The place that a key of a path means in an array.
fn place_of_key(key: &str, at: usize) -> Result<i64> {
    key.trim().parse().map_err(|_| {
        Error::new(
            SqlState::INVALID_TEXT_REPRESENTATION,
            format!("path element at position {at} is not an integer: \"{key}\""),
        )
    })
}

/// `jsonb - key`, `jsonb - place`, `jsonb - keys`
pub(crate) fn delete(args: &Arguments<'_>) -> Result<ArrayRef> {
    let by_place = matches!(args.kinds[1], PgType::Int2 | PgType::Int4);
    let by_keys = matches!(args.kinds[1], PgType::Array(_));
    args.texts(|row| {
        let mut value = read(args.text(0).value(row))?;
        if by_place {
            let place = integers(&args.arrays[1])?.value(row);
            match &mut value {
                Value::Array(list) => {
                    if let Some(place) = place_of(list.len(), place) {
                        list.remove(place);
                    }
                }
                Value::Object(_) => {
                    return Err(fault("cannot delete from object using integer index"));
                }
                _ => return Err(fault("cannot delete from scalar")),
            }
        } else {
            let gone =
                if by_keys { keys(args, 1, row) } else { vec![args.text(1).value(row).to_owned()] };
            match &mut value {
                Value::Array(list) => list.retain(|element| {
                    !element.as_str().is_some_and(|text| gone.iter().any(|key| key == text))
                }),
                Value::Object(map) => map.retain(|key, _| !gone.contains(key)),
                _ => return Err(fault("cannot delete from scalar")),
            }
        }
        write(&value, args.result).map(Some)
    })
}

/// `jsonb #- path`
pub(crate) fn delete_path(args: &Arguments<'_>) -> Result<ArrayRef> {
    args.texts(|row| {
        let mut value = read(args.text(0).value(row))?;
        check_container(&value, "cannot delete path in scalar")?;
        take_out(&mut value, &keys(args, 1, row), 1)?;
        write(&value, args.result).map(Some)
    })
}

fn check_container(value: &Value, message: &str) -> Result<()> {
    if value.is_array() || value.is_object() { Ok(()) } else { Err(fault(message)) }
}

fn take_out(value: &mut Value, path: &[String], at: usize) -> Result<()> {
    let [key, rest @ ..] = path else { return Ok(()) };
    match value {
        Value::Object(map) if rest.is_empty() => {
            map.shift_remove(key);
            Ok(())
        }
        Value::Object(map) => {
            map.get_mut(key).map_or(Ok(()), |inner| take_out(inner, rest, at + 1))
        }
        Value::Array(list) => match place_of(list.len(), place_of_key(key, at)?) {
            Some(place) if rest.is_empty() => {
                list.remove(place);
                Ok(())
            }
            Some(place) => take_out(&mut list[place], rest, at + 1),
            None => Ok(()),
        },
        _ => Ok(()),
    }
}

/// What becomes of a place that a path names.
#[derive(Clone, Copy, PartialEq)]
enum Put {
    /// What is there is replaced; where nothing is, something is made if asked for.
    Set { create: bool },
    /// It stands before what is there, or behind it.
    Insert { after: bool },
}

/// `jsonb_set(jsonb, path, value, [create])`
pub(crate) fn set(args: &Arguments<'_>) -> Result<ArrayRef> {
    args.texts(|row| {
        let create = flag(args, 3, row, true);
        changed(args, row, read(args.text(2).value(row))?, Put::Set { create })
    })
}

/// `jsonb_set_lax(jsonb, path, value, [create], [null])`: `jsonb_set` that says what NULL does.
pub(crate) fn set_lax(args: &Arguments<'_>) -> Result<ArrayRef> {
    let row_of = |row: usize| {
        let is_null = |at: usize| args.arrays.get(at).is_some_and(|array| array.is_null(row));
        if is_null(0) || is_null(1) || is_null(3) {
            return Ok(None);
        }
        let create = flag(args, 3, row, true);
        if !is_null(2) {
            let new = read(args.text(2).value(row))?;
            return changed(args, row, new, Put::Set { create });
        }
        let treatment = match args.arrays.get(4) {
            None => Some("use_json_null"),
            Some(texts) if texts.is_valid(row) => Some(args.text(4).value(row)),
            Some(_) => None,
        };
        match treatment {
            Some("use_json_null") => changed(args, row, Value::Null, Put::Set { create }),
            Some("return_target") => Ok(Some(args.text(0).value(row).to_owned())),
            Some("delete_key") => {
                let mut value = read(args.text(0).value(row))?;
                check_container(&value, "cannot delete path in scalar")?;
                take_out(&mut value, &keys(args, 1, row), 1)?;
                write(&value, args.result).map(Some)
            }
            Some("raise_exception") => {
                Err(Error::new(SqlState::NULL_VALUE_NOT_ALLOWED, "JSON value must not be null")
                    .detail(
                        "Exception was raised because null_value_treatment is \"raise_exception\".",
                    )
                    .hint("To avoid, either change the null_value_treatment argument or ensure that an SQL NULL is not passed."))
            }
            _ => Err(fault(
                "null_value_treatment must be \"delete_key\", \"return_target\", \
                 \"use_json_null\", or \"raise_exception\"",
            )),
        }
    };
    let rows = (0..args.rows).map(row_of).collect::<Result<StringArray>>()?;
    Ok(Arc::new(rows))
}

/// `jsonb_insert(jsonb, path, value, [after])`
pub(crate) fn insert(args: &Arguments<'_>) -> Result<ArrayRef> {
    args.texts(|row| {
        let after = flag(args, 3, row, false);
        changed(args, row, read(args.text(2).value(row))?, Put::Insert { after })
    })
}

fn flag(args: &Arguments<'_>, at: usize, row: usize, absent: bool) -> bool {
    args.arrays.get(at).map_or(absent, |flags| flags.as_boolean().value(row))
}

fn changed(args: &Arguments<'_>, row: usize, new: Value, put: Put) -> Result<Option<String>> {
    let mut value = read(args.text(0).value(row))?;
    check_container(&value, "cannot set path in scalar")?;
    place(&mut value, &keys(args, 1, row), 1, new, put)?;
    write(&value, args.result).map(Some)
}

fn place(value: &mut Value, path: &[String], at: usize, new: Value, put: Put) -> Result<()> {
    let [key, rest @ ..] = path else { return Ok(()) };
    match value {
        Value::Object(map) => match (map.get_mut(key), put) {
            (Some(inner), _) if !rest.is_empty() => place(inner, rest, at + 1, new, put)?,
            (Some(inner), Put::Set { .. }) => *inner = new,
            (Some(_), Put::Insert { .. }) => {
                return Err(fault("cannot replace existing key")
                    .hint("Try using the function jsonb_set to replace key value."));
            }
            (None, Put::Set { create: true } | Put::Insert { .. }) if rest.is_empty() => {
                map.insert(key.clone(), new);
            }
            (None, _) => {}
        },
        Value::Array(list) => {
            let number = place_of_key(key, at)?;
            match (place_of(list.len(), number), put) {
                (Some(there), _) if !rest.is_empty() => {
                    place(&mut list[there], rest, at + 1, new, put)?;
                }
                (Some(there), Put::Set { .. }) => list[there] = new,
                (Some(there), Put::Insert { after }) => {
                    list.insert(there + usize::from(after), new)
                }
                (None, Put::Set { create: false }) => {}
                (None, _) if rest.is_empty() && number < 0 => list.insert(0, new),
                (None, _) if rest.is_empty() => list.push(new),
                (None, _) => {}
            }
        }
        _ => {}
    }
    Ok(())
}

/// `SET j['key'][2] = value`: the document with a value at a place, which is made where it is not.
/// The value comes second, the subscripts behind it: texts are keys, numbers are places.
pub(crate) fn assign(args: &Arguments<'_>) -> Result<ArrayRef> {
    let rows = (0..args.rows).map(|row| {
        let mut path = Vec::new();
        for (array, kind) in args.arrays.iter().zip(args.kinds).skip(2) {
            if array.is_null(row) {
                return Err(Error::new(
                    SqlState::NULL_VALUE_NOT_ALLOWED,
                    "jsonb subscript in assignment must not be null",
                ));
            }
            path.push(match kind {
                PgType::Text => Subscript::Key(array.as_string::<i32>().value(row)),
                _ => Subscript::Place(i64::from(array.as_primitive::<Int32Type>().value(row))),
            });
        }
        let [document, new] = [0, 1].map(|at| match args.arrays[at].is_null(row) {
            true => Ok(Value::Null),
            false => read(args.text(at).value(row)),
        });
        let mut document = match args.arrays[0].is_null(row) {
            // NULL is what the first subscript asks for.
            true => path.first().map_or(Value::Null, Subscript::empty),
            false => document?,
        };
        put_at(&mut document, &path, new?)?;
        write(&document, args.result).map(Some)
    });
    Ok(Arc::new(rows.collect::<Result<StringArray>>()?))
}

/// A subscript of json.
#[derive(Clone, Copy)]
enum Subscript<'s> {
    Key(&'s str),
    Place(i64),
}

impl Subscript<'_> {
    /// What it can be put into.
    fn empty(&self) -> Value {
        match self {
            Self::Key(_) => Value::Object(Map::new()),
            Self::Place(_) => Value::Array(Vec::new()),
        }
    }
}

/// How many places an assignment may make.
const PLACES_MAX: usize = 1 << 24;

fn put_at(value: &mut Value, path: &[Subscript<'_>], new: Value) -> Result<()> {
    let [first, rest @ ..] = path else {
        *value = new;
        return Ok(());
    };
    let inner = match value {
        Value::Object(map) => {
            let key = match first {
                Subscript::Key(key) => (*key).to_owned(),
                Subscript::Place(place) => place.to_string(),
            };
            map.entry(key).or_insert(Value::Null)
        }
        Value::Array(list) => {
            let number = match first {
                Subscript::Key(key) => place_of_key(key, 1)?,
                Subscript::Place(place) => *place,
            };
            let from_end = i64::try_from(list.len()).unwrap_or(0) + number;
            let place = if number < 0 { from_end } else { number };
            let place = usize::try_from(place).map_err(|_| {
                fault("path element at position 1 is out of range")
                    .detail(format!("The array has {} elements.", list.len()))
            })?;
            if place >= PLACES_MAX {
                return Err(Error::new(
                    SqlState::PROGRAM_LIMIT_EXCEEDED,
                    "number of jsonb array elements exceeds the maximum allowed",
                ));
            }
            if list.len() <= place {
                list.resize(place + 1, Value::Null);
            }
            &mut list[place]
        }
        _ => {
            return Err(fault("cannot replace existing key")
                .detail("The path assumes key is a composite object, but it is a scalar value."));
        }
    };
    if inner.is_null()
        && let Some(next) = rest.first()
    {
        *inner = next.empty();
    }
    put_at(inner, rest, new)
}

/// `json_object(texts)`: keys and values by turns; `json_object(keys, values)`.
pub(crate) fn object(args: &Arguments<'_>) -> Result<ArrayRef> {
    let texts = |at: usize, row: usize| -> Vec<Option<String>> {
        let list = args.arrays[at].as_list::<i32>().value(row);
        list.as_string::<i32>().iter().map(|text| text.map(str::to_owned)).collect()
    };
    let fault = |message: &str| Error::new(SqlState::ARRAY_SUBSCRIPT_ERROR, message);
    args.texts(|row| {
        let pairs: Vec<(Option<String>, Option<String>)> = if args.arrays.len() > 1 {
            let (keys, values) = (texts(0, row), texts(1, row));
            if keys.len() != values.len() {
                return Err(fault("mismatched array dimensions"));
            }
            keys.into_iter().zip(values).collect()
        } else {
            let all = texts(0, row);
            if all.len() % 2 == 1 {
                return Err(fault("array must have even number of elements"));
            }
            all.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect()
        };
        let quoted = |text: &str| Value::String(text.to_owned()).to_string();
        let mut parts = Vec::with_capacity(pairs.len());
        for (key, value) in pairs {
            let key = key.ok_or_else(|| {
                Error::new(
                    SqlState::NULL_VALUE_NOT_ALLOWED,
                    "null value not allowed for object key",
                )
            })?;
            let value = value.map_or_else(|| "null".to_owned(), |value| quoted(&value));
            parts.push(format!("{} : {value}", quoted(&key)));
        }
        // json keeps its keys as they came, twice if they came twice.
        let text = format!("{{{}}}", parts.join(", "));
        if *args.result == PgType::Jsonb {
            crate::pgtype::json::normalise(&text).map(Some)
        } else {
            Ok(Some(text))
        }
    })
}
