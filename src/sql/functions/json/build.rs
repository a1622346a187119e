//! json made of values: `to_json`, `row_to_json`, `json_build_object`, `json_agg`. It is written as text
//! from the start, so that a number keeps the digits that it has.

use crate::{
    error::{Error, Result, SqlState},
    pgtype::{PgType, cast::to_text, datestyle::DateForm, json::normalise, style::Style},
    sql::functions::{call::Arguments, lists},
};
use arrow::array::{Array, ArrayRef, AsArray, StringArray};
use serde_json::Value;
use std::{collections::HashSet, fmt::Write as _, sync::Arc};

/// What stands between the parts of an array or an object at the top.
const LINE_FEED: &str = ",\n ";

/// A column's values as json.
pub(crate) fn texts(array: &ArrayRef, kind: &PgType, style: &Style) -> Result<Vec<String>> {
    separated(array, kind, style, ",")
}

fn separated(array: &ArrayRef, kind: &PgType, style: &Style, comma: &str) -> Result<Vec<String>> {
    match kind {
        PgType::Array(element) => {
            let list = array.as_list::<i32>();
            let inner = texts(list.values(), element, style)?;
            let one = |row| format!("[{}]", inner[lists::range(list, row)].join(comma));
            Ok(or_null(array, one))
        }
        PgType::Composite(fields) => {
            let columns = array.as_struct().columns().iter().zip(fields.iter());
            let columns = columns
                .map(|(column, (name, kind))| Ok((quoted(name), texts(column, kind, style)?)))
                .collect::<Result<Vec<_>>>()?;
            let one = |row: usize| {
                let parts = columns.iter().map(|(name, column)| format!("{name}:{}", column[row]));
                format!("{{{}}}", parts.collect::<Vec<_>>().join(comma))
            };
            Ok(or_null(array, one))
        }
        _ => {
            let plain = to_text(kind, array, &Style { date_form: DateForm::Iso, ..style.clone() })?;
            let plain = plain.as_string::<i32>();
            Ok(or_null(array, |row| scalar(plain.value(row), kind)))
        }
    }
}

fn or_null(array: &ArrayRef, one: impl Fn(usize) -> String) -> Vec<String> {
    let text = |row| if array.is_null(row) { "null".to_owned() } else { one(row) };
    (0..array.len()).map(text).collect()
}

/// A value that is no array and no row.
fn scalar(text: &str, kind: &PgType) -> String {
    match kind {
        PgType::Json | PgType::Jsonb | PgType::Bool => text.to_owned(),
        PgType::Int2
        | PgType::Int4
        | PgType::Int8
        | PgType::Float4
        | PgType::Float8
        | PgType::Numeric(_)
            // There is no NaN and no infinity in json.
            if text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.e".contains(&byte)) =>
        {
            text.to_owned()
        }
        PgType::Timestamp(_) => quoted(&text.replacen(' ', "T", 1)),
        PgType::Timestamptz(_) => {
            // The offset has its minutes here: `+00:00`.
            let mut text = text.replacen(' ', "T", 1);
            let hours = text.len().checked_sub(3).and_then(|at| text.get(at..));
            if hours.is_some_and(|offset| offset.starts_with(['+', '-'])) && text.contains('T') {
                text.push_str(":00");
            }
            quoted(&text)
        }
        _ => quoted(text),
    }
}

fn quoted(text: &str) -> String {
    Value::String(text.to_owned()).to_string()
}

/// The text as the type of the result has it.
fn finished(text: String, kind: &PgType) -> Result<String> {
    if *kind == PgType::Jsonb { normalise(&text) } else { Ok(text) }
}

/// `to_json(x)`, `to_jsonb(x)`
pub(crate) fn to_json(args: &Arguments<'_>) -> Result<ArrayRef> {
    let made = texts(&args.arrays[0], &args.kinds[0], &args.context.style())?;
    args.texts(|row| finished(made[row].clone(), args.result).map(Some))
}

/// `row_to_json(record, [pretty])`, `array_to_json(anyarray, [pretty])`
pub(crate) fn whole(args: &Arguments<'_>) -> Result<ArrayRef> {
    let style = args.context.style();
    let plain = texts(&args.arrays[0], &args.kinds[0], &style)?;
    let pretty = match args.arrays.get(1) {
        Some(_) => separated(&args.arrays[0], &args.kinds[0], &style, LINE_FEED)?,
        None => Vec::new(),
    };
    args.texts(|row| {
        let is_pretty = args.arrays.get(1).is_some_and(|flags| flags.as_boolean().value(row));
        Ok(Some(if is_pretty { &pretty[row] } else { &plain[row] }.clone()))
    })
}

fn columns(args: &Arguments<'_>) -> Result<Vec<Vec<String>>> {
    let style = args.context.style();
    args.arrays.iter().zip(args.kinds).map(|(array, kind)| texts(array, kind, &style)).collect()
}

/// The texts of a column of keys.
fn keys(array: &ArrayRef, kind: &PgType, style: &Style) -> Result<StringArray> {
    Ok(to_text(kind, array, style)?.as_string::<i32>().clone())
}

/// `json_build_object(key, value, …)`
pub(crate) fn object(args: &Arguments<'_>) -> Result<ArrayRef> {
    object_by(Members::default(), args)
}

/// `JSON_OBJECT(… ABSENT ON NULL)`
pub(crate) fn object_strict(args: &Arguments<'_>) -> Result<ArrayRef> {
    object_by(Members { strict: true, unique: false }, args)
}

/// `JSON_OBJECT(… WITH UNIQUE KEYS)`
pub(crate) fn object_unique(args: &Arguments<'_>) -> Result<ArrayRef> {
    object_by(Members { strict: false, unique: true }, args)
}

/// `JSON_OBJECT(… ABSENT ON NULL WITH UNIQUE KEYS)`
pub(crate) fn object_unique_strict(args: &Arguments<'_>) -> Result<ArrayRef> {
    object_by(Members { strict: true, unique: true }, args)
}

/// What an object may have.
#[derive(Debug, Clone, Copy, Default)]
struct Members {
    /// Nothing for what is NULL.
    strict: bool,
    /// No key twice.
    unique: bool,
}

impl Members {
    /// Whether a member goes into an object that has had these keys.
    fn takes<'k>(
        self,
        known: &mut HashSet<&'k str>,
        key: &'k str,
        is_null: bool,
        kind: &PgType,
    ) -> Result<bool> {
        if self.unique && !known.insert(key) {
            let message = match kind {
                PgType::Jsonb => "duplicate JSON object key value".to_owned(),
                _ => format!("duplicate JSON object key value: {}", quoted(key)),
            };
            return Err(Error::new(SqlState::new(b"22030"), message));
        }
        Ok(!(self.strict && is_null))
    }
}

fn object_by(members: Members, args: &Arguments<'_>) -> Result<ArrayRef> {
    if args.arrays.len() % 2 == 1 {
        return Err(Error::new(
            SqlState::INVALID_PARAMETER_VALUE,
            "argument list must have even number of elements",
        )
        .hint(
            "The arguments of json_build_object() must consist of alternating keys and values.",
        ));
    }
    let columns = columns(args)?;
    let style = args.context.style();
    let names = args.arrays.iter().zip(args.kinds).step_by(2);
    let names = names.map(|(array, kind)| keys(array, kind, &style)).collect::<Result<Vec<_>>>()?;
    let rows = (0..args.rows).map(|row| {
        let mut text = String::from("{");
        let mut known = HashSet::new();
        for (at, name) in names.iter().enumerate() {
            if name.is_null(row) {
                return Err(no_key(at * 2 + 1, args.result));
            }
            let is_null = args.arrays[at * 2 + 1].is_null(row);
            if !members.takes(&mut known, name.value(row), is_null, args.result)? {
                continue;
            }
            let comma = if text.len() > 1 { ", " } else { "" };
            let value = &columns[at * 2 + 1][row];
            let _ = write!(text, "{comma}{} : {value}", quoted(name.value(row)));
        }
        text.push('}');
        finished(text, args.result).map(Some)
    });
    Ok(Arc::new(rows.collect::<Result<StringArray>>()?))
}

fn no_key(argument: usize, result: &PgType) -> Error {
    match result {
        PgType::Jsonb => Error::new(
            SqlState::INVALID_PARAMETER_VALUE,
            format!("argument {argument}: key must not be null"),
        ),
        _ => Error::new(SqlState::NULL_VALUE_NOT_ALLOWED, "null value not allowed for object key"),
    }
}

/// `json_build_array(…)`
pub(crate) fn array(args: &Arguments<'_>) -> Result<ArrayRef> {
    array_by(false, args)
}

/// `JSON_ARRAY(… ABSENT ON NULL)`
pub(crate) fn array_strict(args: &Arguments<'_>) -> Result<ArrayRef> {
    array_by(true, args)
}

fn array_by(strict: bool, args: &Arguments<'_>) -> Result<ArrayRef> {
    let columns = columns(args)?;
    let rows = (0..args.rows).map(|row| {
        let values = columns.iter().zip(&args.arrays);
        let values = values.filter(|(_, array)| !(strict && array.is_null(row)));
        let parts: Vec<&str> = values.map(|(column, _)| column[row].as_str()).collect();
        finished(format!("[{}]", parts.join(", ")), args.result).map(Some)
    });
    Ok(Arc::new(rows.collect::<Result<StringArray>>()?))
}

/// What `json_agg` makes of the values that it has collected.
pub(crate) fn agg(args: &Arguments<'_>) -> Result<ArrayRef> {
    agg_by(false, args)
}

/// The same of `json_agg_strict`, which leaves out what is NULL.
pub(crate) fn agg_strict(args: &Arguments<'_>) -> Result<ArrayRef> {
    agg_by(true, args)
}

fn agg_by(strict: bool, args: &Arguments<'_>) -> Result<ArrayRef> {
    let PgType::Array(element) = &args.kinds[0] else {
        return Err(Error::internal("an aggregate of json collects an array"));
    };
    let list = args.arrays[0].as_list::<i32>();
    let inner = texts(list.values(), element, &args.context.style())?;
    // What has parts itself stands on a line of its own.
    let comma = match **element {
        PgType::Array(_) | PgType::Composite(_) => ", \n ",
        _ => ", ",
    };
    args.texts(|row| {
        let values = lists::range(list, row).filter(|&at| !(strict && list.values().is_null(at)));
        let values: Vec<&str> = values.map(|at| inner[at].as_str()).collect();
        finished(format!("[{}]", values.join(comma)), args.result).map(Some)
    })
}

/// What `JSON_ARRAY(query)` makes of the rows: nothing where there are none.
pub(crate) fn array_of(args: &Arguments<'_>) -> Result<ArrayRef> {
    let made = agg_by(true, args)?;
    let list = args.arrays[0].as_list::<i32>();
    let some = (0..args.rows).map(|row| list.is_valid(row) && !lists::range(list, row).is_empty());
    let made = made.as_string::<i32>().iter().zip(some);
    Ok(Arc::new(made.map(|(text, some)| text.filter(|_| some)).collect::<StringArray>()))
}

/// What `json_object_agg` makes of the pairs that it has collected.
pub(crate) fn object_agg(args: &Arguments<'_>) -> Result<ArrayRef> {
    object_agg_by(Members::default(), args)
}

/// The same of `json_object_agg_strict`.
pub(crate) fn object_agg_strict(args: &Arguments<'_>) -> Result<ArrayRef> {
    object_agg_by(Members { strict: true, unique: false }, args)
}

/// The same of `json_object_agg_unique`.
pub(crate) fn object_agg_unique(args: &Arguments<'_>) -> Result<ArrayRef> {
    object_agg_by(Members { strict: false, unique: true }, args)
}

/// The same of `json_object_agg_unique_strict`.
pub(crate) fn object_agg_unique_strict(args: &Arguments<'_>) -> Result<ArrayRef> {
    object_agg_by(Members { strict: true, unique: true }, args)
}

fn object_agg_by(members: Members, args: &Arguments<'_>) -> Result<ArrayRef> {
    let missing = || Error::internal("an aggregate of json collects pairs");
    let PgType::Array(element) = &args.kinds[0] else { return Err(missing()) };
    let Some([(_, key), (_, value)]) = element.fields() else { return Err(missing()) };
    let list = args.arrays[0].as_list::<i32>();
    let pairs = list.values().as_struct();
    let style = args.context.style();
    let (names, values) =
        (keys(pairs.column(0), key, &style)?, texts(pairs.column(1), value, &style)?);
    args.texts(|row| {
        let (mut parts, mut known) = (Vec::new(), HashSet::new());
        for at in lists::range(list, row) {
            if names.is_null(at) {
                return Err(match args.result {
                    PgType::Jsonb => {
                        Error::new(SqlState::INVALID_PARAMETER_VALUE, "field name must not be null")
                    }
                    _ => no_key(0, args.result),
                });
            }
            let is_null = pairs.column(1).is_null(at);
            if members.takes(&mut known, names.value(at), is_null, args.result)? {
                parts.push(format!("{} : {}", quoted(names.value(at)), values[at]));
            }
        }
        finished(format!("{{ {} }}", parts.join(", ")), args.result).map(Some)
    })
}
