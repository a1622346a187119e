//! Values on their way in: JSON becomes columns.

use super::{
    attribute::{AttributeType, Scalar},
    fault::{Answer, Fault},
    json::{string, unexpected, whole},
    names::{VECTOR, shortened},
    shape::Attribute,
    vectors::{Floats, check_vector, floats, sparse},
};
use crate::pgtype::{PgType, input::ColumnBuilder, style::Style};
use arrow::array::ArrayRef;
use chrono::{DateTime, NaiveDate, NaiveDateTime, SecondsFormat, Utc};
use serde_json::Value;
use std::fmt::Write as _;

/// The longest text that is an id, in bytes.
const ID_BYTES_MAX: usize = 64;
/// The longest value of an attribute.
const VALUE_BYTES_MAX: usize = 8 << 20;

/// Values of one attribute as a column.
pub(super) fn column<'v>(
    attribute: &Attribute,
    values: impl IntoIterator<Item = &'v Value>,
) -> Answer<ArrayRef> {
    let mut builder = Builder::new(&attribute.column, attribute.kind);
    for value in values {
        builder.push(value).map_err(|fault| fault.of(named(attribute)))?;
    }
    Ok(builder.finish())
}

/// One value that a filter compares with, as an array of one row.
pub(super) fn single(kind: &PgType, value: &Value) -> Answer<ArrayRef> {
    let mut builder = Builder::new(kind, AttributeType::of_column(kind));
    builder.push(value)?;
    Ok(builder.finish())
}

/// Several such values as an array of one row that holds them all.
pub(super) fn several(element: &PgType, values: &[&Value]) -> Answer<ArrayRef> {
    let kind = element.clone().array();
    let AttributeType::Scalar(scalar) = AttributeType::of_column(element) else {
        return Err(Fault::invalid("values of this attribute cannot be listed"));
    };
    let mut text = String::new();
    list(scalar, values.iter().copied(), &mut text)?;
    let mut builder = ColumnBuilder::new(&kind, &Style::default());
    builder.push_text(&text)?;
    Ok(builder.finish())
}

fn named(attribute: &Attribute) -> String {
    format!("attribute \"{}\"", shortened(&attribute.name))
}

/// Grows a column by values of JSON.
struct Builder {
    column: ColumnBuilder,
    kind: AttributeType,
    vector: Floats,
    text: String,
}

impl Builder {
    fn new(column: &PgType, kind: AttributeType) -> Self {
        Self {
            column: ColumnBuilder::new(column, &Style::default()),
            kind,
            vector: Floats::default(),
            text: String::new(),
        }
    }

    fn push(&mut self, value: &Value) -> Answer<()> {
        if value.is_null() {
            return Ok(self.column.push_null()?);
        }
        self.text.clear();
        match self.kind {
            AttributeType::Scalar(Scalar::String) => {
                return self.push_text(string(value)?);
            }
            AttributeType::Scalar(kind) => scalar(kind, value, &mut self.text)?,
            AttributeType::List(kind) => {
                let Value::Array(values) = value else { return Err(unexpected(value, "an array")) };
                list(kind, values, &mut self.text)?;
            }
            AttributeType::Vector { dims, .. } => {
                self.vector.read(value)?;
                check_vector(&self.vector.values, dims)?;
                return Ok(self.column.push_vector(&self.vector.values)?);
            }
            AttributeType::Sparse => sparse(value, &mut self.text)?,
            AttributeType::Other => match value {
                Value::String(text) => return self.push_text(text),
                other => self.text = other.to_string(),
            },
        }
        let text = std::mem::take(&mut self.text);
        self.push_text(&text)?;
        self.text = text;
        Ok(())
    }

    fn push_text(&mut self, text: &str) -> Answer<()> {
        if text.len() > VALUE_BYTES_MAX {
            return Err(Fault::invalid(format!(
                "a value has {} bytes, more than {VALUE_BYTES_MAX}",
                text.len()
            )));
        }
        if text.contains('\0') {
            return Err(Fault::invalid("a text holds a character of code 0"));
        }
        Ok(self.column.push_text(text)?)
    }

    fn finish(mut self) -> ArrayRef {
        self.column.finish()
    }
}

/// Appends a value as PostgreSQL reads it.
fn scalar(kind: Scalar, value: &Value, out: &mut String) -> Answer<()> {
    match kind {
        Scalar::String => out.push_str(string(value)?),
        Scalar::Int => {
            let whole = value.as_i64().or_else(|| whole(value)?.try_into().ok());
            let whole = whole.ok_or_else(|| unexpected(value, "a 64-bit integer"))?;
            let _ = write!(out, "{whole}");
        }
        Scalar::Uint => {
            let whole = value.as_u64().or_else(|| whole(value)?.try_into().ok());
            let whole = whole.ok_or_else(|| unexpected(value, "an unsigned 64-bit integer"))?;
            let _ = write!(out, "{whole}");
        }
        Scalar::Float => {
            let float = value.as_f64().ok_or_else(|| unexpected(value, "a number"))?;
            let _ = write!(out, "{float:?}");
        }
        Scalar::Uuid => {
            let text = string(value)?;
            let uuid = uuid::Uuid::try_parse(text)
                .map_err(|_| Fault::invalid(format!("invalid UUID \"{}\"", shortened(text))))?;
            let _ = write!(out, "{uuid}");
        }
        Scalar::Datetime => {
            let moment = datetime(string(value)?)?;
            out.push_str(&moment.to_rfc3339_opts(SecondsFormat::Micros, true));
        }
        Scalar::Bool => {
            let value = value.as_bool().ok_or_else(|| unexpected(value, "a boolean"))?;
            let _ = write!(out, "{value}");
        }
    }
    Ok(())
}

/// Appends values as an array of PostgreSQL.
fn list<'v>(
    kind: Scalar,
    values: impl IntoIterator<Item = &'v Value>,
    out: &mut String,
) -> Answer<()> {
    let mut element = String::new();
    out.push('{');
    for (at, value) in values.into_iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        element.clear();
        scalar(kind, value, &mut element)?;
        out.push('"');
        for char in element.chars() {
            if matches!(char, '"' | '\\') {
                out.push('\\');
            }
            out.push(char);
        }
        out.push('"');
    }
    out.push('}');
    Ok(())
}

/// A moment by ISO 8601: a date, perhaps with a time, perhaps with a zone; UTC where none is said.
pub(super) fn datetime(text: &str) -> Answer<DateTime<Utc>> {
    if let Ok(moment) = DateTime::parse_from_rfc3339(text) {
        return Ok(moment.to_utc());
    }
    for form in ["%Y-%m-%dT%H:%M:%S%.f%#z", "%Y-%m-%d %H:%M:%S%.f%#z", "%Y-%m-%dT%H:%M%#z"] {
        if let Ok(moment) = DateTime::parse_from_str(text, form) {
            return Ok(moment.to_utc());
        }
    }
    for form in ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M"] {
        if let Ok(moment) = NaiveDateTime::parse_from_str(text, form) {
            return Ok(moment.and_utc());
        }
    }
    let date = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok();
    let midnight = date.and_then(|date| date.and_hms_opt(0, 0, 0));
    midnight.map(|midnight| midnight.and_utc()).ok_or_else(|| {
        Fault::invalid(format!("invalid datetime \"{}\", expected ISO 8601", shortened(text)))
    })
}

/// Refuses what cannot be an id, and says by which text ids are equal.
pub(super) fn id_key(value: &Value, id: &Attribute) -> Answer<String> {
    let mut text = String::new();
    let checked = match (id.kind, value) {
        (_, Value::Null) => Err(Fault::invalid("a document has no id")),
        (AttributeType::Scalar(kind), value) => scalar(kind, value, &mut text),
        (_, value) => {
            text = value.to_string();
            Ok(())
        }
    };
    checked.map_err(|fault| fault.of("invalid id"))?;
    if text.len() > ID_BYTES_MAX && id.kind == AttributeType::Scalar(Scalar::String) {
        return Err(Fault::invalid(format!(
            "invalid id: \"{}\" has {} bytes, more than {ID_BYTES_MAX}",
            shortened(&text),
            text.len()
        )));
    }
    Ok(text)
}

/// The type that a value suggests; `None` for null, which suggests nothing.
pub(super) fn inferred(name: &str, value: &Value) -> Answer<Option<AttributeType>> {
    if value.is_null() {
        return Ok(None);
    }
    if name == VECTOR {
        let dims = floats(value)?.len();
        let dims = u16::try_from(dims)
            .ok()
            .filter(|dims| (1..=crate::vector::DIMS_MAX).contains(&usize::from(*dims)));
        let dims = dims.ok_or_else(|| {
            Fault::invalid(format!(
                "invalid vector: it has 1 to {} dimensions",
                crate::vector::DIMS_MAX
            ))
        })?;
        return Ok(Some(AttributeType::Vector { dims: Some(dims), half: false }));
    }
    let scalar = |value: &Value| match value {
        Value::String(_) => Ok(Scalar::String),
        Value::Bool(_) => Ok(Scalar::Bool),
        Value::Number(number) if number.is_i64() && name != super::names::ID => Ok(Scalar::Int),
        Value::Number(number) if number.is_u64() => Ok(Scalar::Uint),
        Value::Number(number) if number.is_f64() => Ok(Scalar::Float),
        other => Err(unexpected(other, "a value whose type can be told; declare it in `schema`")),
    };
    match value {
        Value::Array(values) => {
            let Some(first) = values.first() else { return Ok(None) };
            let kind = scalar(first)?;
            let mixed = kind == Scalar::Int && values.iter().any(Value::is_f64);
            Ok(Some(AttributeType::List(if mixed { Scalar::Float } else { kind })))
        }
        value => Ok(Some(AttributeType::Scalar(scalar(value)?))),
    }
}

/// About how many bytes a value is, as `billing` counts them.
pub(super) fn logical_bytes(value: &Value, kind: AttributeType) -> u64 {
    let count = match (value, kind) {
        (Value::Null, _) => 0,
        (_, AttributeType::Vector { dims, half }) => {
            usize::from(dims.unwrap_or(0)) * if half { 2 } else { 4 }
        }
        (Value::Bool(_), _) => 1,
        (Value::Number(_), _) | (_, AttributeType::Scalar(Scalar::Datetime)) => 8,
        (_, AttributeType::Scalar(Scalar::Uuid)) => 16,
        (Value::String(text), _) => text.len(),
        (Value::Array(values), AttributeType::List(kind)) => values
            .iter()
            .map(|value| {
                let kind = AttributeType::Scalar(kind);
                usize::try_from(logical_bytes(value, kind)).unwrap_or(usize::MAX)
            })
            .sum(),
        (Value::Array(values), _) => values.len() * 8,
        (Value::Object(elements), _) => elements.len() * 6,
    };
    count as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pgtype::output::Encoder;
    use serde_json::json;

    fn shown(kind: &PgType, value: &Value) -> String {
        let array = single(kind, value).unwrap();
        let mut out = Vec::new();
        Encoder::new(kind, &array, &Style::default()).unwrap().text(0, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[track_caller]
    fn check(kind: &str, value: Value, expected: &str) {
        assert_eq!(shown(&AttributeType::parse(kind).unwrap().column(), &value), expected);
    }

    #[test]
    fn values_become_what_their_type_is() {
        check("string", json!("a'b\"c"), "a'b\"c");
        check("int", json!(-5), "-5");
        check("int", json!(3.0), "3");
        check("uint", json!(u64::MAX), "18446744073709551615");
        check("float", json!(2), "2");
        check("float", json!(1e300), "1e+300");
        check("bool", json!(true), "t");
        check(
            "uuid",
            json!("769C134D-07B8-4225-954A-B6CC5FFC320C"),
            "769c134d-07b8-4225-954a-b6cc5ffc320c",
        );
        check("[]string", json!(["a", "b\"\\,{}", ""]), "{a,\"b\\\"\\\\,{}\",\"\"}");
        check("[]int", json!([1, -2]), "{1,-2}");
        check("[]bool", json!([]), "{}");
        check("[3]f32", json!([1, 2.5, -3]), "[1,2.5,-3]");
        check("[2]f16", json!([1, 0.5]), "[1,0.5]");
        check("[2]f32", json!("AACAPwAAAEA="), "[1,2]");
        check("{}f16", json!({"7": 1, "0": 0.5, "3": 0}), "{1:0.5,8:1}/1000000000");
    }

    #[test]
    fn moments_are_read_in_all_their_forms() {
        let noon = "2024-03-02 12:00:00+00";
        for text in [
            "2024-03-02T12:00:00Z",
            "2024-03-02T12:00:00",
            "2024-03-02 12:00:00",
            "2024-03-02T14:00:00+02:00",
            "2024-03-02T12:00",
            "2024-03-02T12:00:00.000000000Z",
            "2024-03-02T14:00:00+0200",
        ] {
            check("datetime", json!(text), noon);
        }
        check("datetime", json!("2024-03-02"), "2024-03-02 00:00:00+00");
        assert!(datetime("yesterday").is_err());
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        for (kind, value) in [
            ("int", json!(1.5)),
            ("int", json!("1")),
            ("int", json!(u64::MAX)),
            ("uint", json!(-1)),
            ("bool", json!(1)),
            ("float", json!("1")),
            ("string", json!(1)),
            ("uuid", json!("x")),
            ("[]int", json!(1)),
            ("[]int", json!([null])),
            ("[2]f32", json!([1])),
            ("[2]f32", json!("AAAA")),
            ("[2]f32", json!("!")),
            ("[1]f32", json!([1e300])),
            ("[1]f16", json!([1e10])),
            ("{}f16", json!({"x": 1})),
            ("{}f16", json!([1])),
            ("string", json!("a\0b")),
            ("{}f16", json!({"1": 1, "01": 2})),
        ] {
            let column = AttributeType::parse(kind).unwrap().column();
            assert!(single(&column, &value).is_err(), "{kind} {value}");
        }
    }
}
