//! Values on their way in: JSON becomes columns.

use super::{
    attribute::{AttributeType, Scalar},
    fault::{Answer, Fault},
    names::{VECTOR, shortened},
    shape::Attribute,
};
use crate::pgtype::{PgType, input::ColumnBuilder, style::Style};
use arrow::array::ArrayRef;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use chrono::{DateTime, NaiveDate, NaiveDateTime, SecondsFormat, Utc};
use serde_json::Value;
use std::fmt::Write as _;

/// The longest text that is an id, in bytes.
const ID_BYTES_MAX: usize = 64;
/// The longest value of an attribute.
const VALUE_BYTES_MAX: usize = 8 << 20;
/// The most elements of a sparse vector that are not zero.
const SPARSE_ELEMENTS_MAX: usize = 1024;

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

/// What JSON has there instead.
fn unexpected(value: &Value, expected: &str) -> Fault {
    let found = match value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => format!("boolean `{value}`"),
        Value::Number(value) if value.is_f64() => format!("floating point `{value}`"),
        Value::Number(value) => format!("integer `{value}`"),
        Value::String(text) => format!("string \"{}\"", shortened(text)),
        Value::Array(_) => "sequence".to_owned(),
        Value::Object(_) => "map".to_owned(),
    };
    Fault::invalid(format!("invalid type: {found}, expected {expected}"))
}

fn string(value: &Value) -> Answer<&str> {
    value.as_str().ok_or_else(|| unexpected(value, "a string"))
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

/// A number without a fraction that JSON has as a float, such as `3.0`.
fn whole(value: &Value) -> Option<i128> {
    // Up to here floats have all whole numbers.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let float = value.as_f64().filter(|_| value.is_f64())?;
    #[expect(clippy::cast_possible_truncation, reason = "it is whole and within bounds")]
    (float.fract() == 0.0 && float.abs() <= EXACT).then_some(float as i128)
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

/// The numbers of one dense vector after the other, in the same memory.
#[derive(Debug, Default)]
struct Floats {
    values: Vec<f32>,
    bytes: Vec<u8>,
}

impl Floats {
    /// Reads an array, or base64 of little-endian single precision.
    fn read(&mut self, value: &Value) -> Answer<()> {
        self.values.clear();
        match value {
            Value::Array(values) => {
                for value in values {
                    let number = value.as_f64().ok_or_else(|| unexpected(value, "a number"))?;
                    #[expect(
                        clippy::cast_possible_truncation,
                        reason = "vectors are single precision"
                    )]
                    self.values.push(number as f32);
                }
                Ok(())
            }
            Value::String(text) => self.decode(text),
            other => Err(unexpected(other, "a vector: an array of numbers, or base64")),
        }
    }

    fn decode(&mut self, text: &str) -> Answer<()> {
        self.bytes.clear();
        STANDARD
            .decode_vec(text, &mut self.bytes)
            .map_err(|error| Fault::invalid(format!("invalid base64 of a vector: {error}")))?;
        let (floats, rest) = self.bytes.as_chunks::<4>();
        if !rest.is_empty() {
            return Err(Fault::invalid(format!(
                "invalid base64 of a vector: {} bytes are not whole numbers of 4 bytes",
                self.bytes.len()
            )));
        }
        self.values.extend(floats.iter().map(|bytes| f32::from_le_bytes(*bytes)));
        Ok(())
    }
}

/// The numbers of a dense vector: an array, or base64 of little-endian single precision.
pub(super) fn floats(value: &Value) -> Answer<Vec<f32>> {
    let mut floats = Floats::default();
    floats.read(value)?;
    Ok(floats.values)
}

/// Refuses a dense vector of other dimensions, and numbers that no distance can be told of.
fn check_vector(floats: &[f32], dims: Option<u16>) -> Answer<()> {
    if let Some(dims) = dims
        && floats.len() != usize::from(dims)
    {
        return Err(Fault::invalid(format!(
            "invalid vector: expected {dims} dimensions, got {}",
            floats.len()
        )));
    }
    if !floats.iter().all(|float| float.is_finite()) {
        return Err(Fault::invalid("invalid vector: its numbers must be finite"));
    }
    Ok(())
}

/// A sparse vector as pgvector writes it, which counts dimensions from 1.
fn sparse(value: &Value, out: &mut String) -> Answer<()> {
    let Value::Object(elements) = value else {
        return Err(unexpected(value, "a sparse vector: a map from dimension to weight"));
    };
    if elements.len() > SPARSE_ELEMENTS_MAX {
        return Err(Fault::invalid(format!(
            "invalid sparse vector: {} elements, more than {SPARSE_ELEMENTS_MAX}",
            elements.len()
        )));
    }
    let mut ordered = Vec::with_capacity(elements.len());
    for (dimension, weight) in elements {
        let place = dimension.parse::<u32>().ok().filter(|&at| at < crate::vector::SPARSE_DIMS_MAX);
        let place = place.ok_or_else(|| {
            Fault::invalid(format!(
                "invalid sparse vector: \"{}\" is no dimension below {}",
                shortened(dimension),
                crate::vector::SPARSE_DIMS_MAX
            ))
        })?;
        let weight = weight.as_f64().ok_or_else(|| unexpected(weight, "a number"))?;
        if weight != 0.0 {
            ordered.push((place, weight));
        }
    }
    ordered.sort_unstable_by_key(|&(place, _)| place);
    if ordered.windows(2).any(|pair| pair[0].0 == pair[1].0) {
        return Err(Fault::invalid("invalid sparse vector: a dimension is there twice"));
    }
    out.push('{');
    for (at, (place, weight)) in ordered.into_iter().enumerate() {
        let comma = if at > 0 { "," } else { "" };
        let _ = write!(out, "{comma}{}:{weight:?}", place + 1);
    }
    let _ = write!(out, "}}/{}", crate::vector::SPARSE_DIMS_MAX);
    Ok(())
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
