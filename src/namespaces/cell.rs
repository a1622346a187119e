//! Values on their way out: columns become JSON.

use super::attribute::{AttributeType, Scalar};
use crate::{
    error::Result,
    pgtype::{PgType, output::Encoder, style::Style},
};
use arrow::{
    array::{Array, ArrayRef, AsArray},
    datatypes::{
        DataType, Date32Type, Decimal128Type, Float16Type, Float32Type, Float64Type, Int16Type,
        Int32Type, Int64Type, TimestampMicrosecondType,
    },
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize, Serializer, ser::SerializeMap};

/// A value as JSON writes it. Numbers of single precision are written as short as they can be read
/// back.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Cell {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Single(f32),
    Double(f64),
    Text(String),
    List(Vec<Cell>),
    Vector(Vec<f32>),
    Sparse(Vec<(String, f32)>),
}

impl Serialize for Cell {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Int(value) => serializer.serialize_i64(*value),
            Self::Uint(value) => serializer.serialize_u64(*value),
            Self::Single(value) => serializer.serialize_f32(*value),
            Self::Double(value) => serializer.serialize_f64(*value),
            Self::Text(value) => serializer.serialize_str(value),
            Self::List(values) => serializer.collect_seq(values),
            Self::Vector(values) => serializer.collect_seq(values),
            Self::Sparse(elements) => {
                serializer.collect_map(elements.iter().map(|(at, weight)| (at, weight)))
            }
        }
    }
}

impl Cell {
    /// About how many bytes it is, as `billing` counts them.
    pub(super) fn logical_bytes(&self) -> u64 {
        match self {
            Self::Null => 0,
            Self::Bool(_) => 1,
            Self::Int(_) | Self::Uint(_) | Self::Double(_) => 8,
            Self::Single(_) => 4,
            Self::Text(text) => text.len() as u64,
            Self::List(values) => values.iter().map(Self::logical_bytes).sum(),
            Self::Vector(values) => values.len() as u64 * 4,
            Self::Sparse(elements) => elements.len() as u64 * 6,
        }
    }

    /// A text by which equal ids are equal.
    pub(super) fn key(&self) -> String {
        match self {
            Self::Int(value) => value.to_string(),
            Self::Uint(value) => value.to_string(),
            Self::Text(value) => value.clone(),
            other => format!("{other:?}"),
        }
    }
}

/// How vectors are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VectorEncoding {
    /// As arrays of numbers.
    #[default]
    Float,
    /// As base64 of little-endian single precision.
    Base64,
}

/// A document, or a group: names and values in order.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Fields(pub(super) Vec<(String, Cell)>);

impl Serialize for Fields {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, cell) in &self.0 {
            map.serialize_entry(name, cell)?;
        }
        map.end()
    }
}

impl Fields {
    pub(super) fn get(&self, name: &str) -> Option<&Cell> {
        self.0.iter().find(|(field, _)| field == name).map(|(_, cell)| cell)
    }

    pub(super) fn logical_bytes(&self) -> u64 {
        self.0.iter().map(|(_, cell)| cell.logical_bytes()).sum()
    }
}

/// The cells of a column.
pub(super) fn cells(
    column: &PgType,
    array: &ArrayRef,
    encoding: VectorEncoding,
) -> Result<Vec<Cell>> {
    let kind = AttributeType::of_column(column);
    let rows = 0..array.len();
    let read: Box<dyn Fn(usize) -> Result<Cell>> = match kind {
        AttributeType::Scalar(scalar) if is_plain(scalar, array.data_type()) => {
            let array = ArrayRef::clone(array);
            Box::new(move |row| Ok(plain(scalar, &array, row)))
        }
        AttributeType::List(scalar) if let Some(lists) = array.as_list_opt::<i32>() => {
            let lists = lists.clone();
            let PgType::Array(element) = column.clone() else {
                return texts(column, array);
            };
            Box::new(move |row| {
                let values = lists.value(row);
                if !is_plain(scalar, values.data_type()) {
                    return Ok(Cell::List(texts(&element, &values)?));
                }
                let at = |row| {
                    if values.is_null(row) { Cell::Null } else { plain(scalar, &values, row) }
                };
                Ok(Cell::List((0..values.len()).map(at).collect()))
            })
        }
        AttributeType::Vector { .. } => {
            let array = ArrayRef::clone(array);
            Box::new(move |row| {
                let values = match array.data_type() {
                    DataType::FixedSizeList(..) => array.as_fixed_size_list().value(row),
                    _ => array.as_list::<i32>().value(row),
                };
                Ok(vector(&values, encoding))
            })
        }
        AttributeType::Sparse => {
            return rows
                .zip(texts(column, array)?)
                .map(|(_, text)| {
                    Ok(match text {
                        Cell::Text(text) => sparse(&text),
                        other => other,
                    })
                })
                .collect();
        }
        _ => return texts(column, array),
    };
    rows.map(|row| if array.is_null(row) { Ok(Cell::Null) } else { read(row) }).collect()
}

/// Whether [`plain`] knows an Arrow type as this.
fn is_plain(scalar: Scalar, data_type: &DataType) -> bool {
    match scalar {
        Scalar::String => *data_type == DataType::Utf8,
        Scalar::Int => matches!(data_type, DataType::Int16 | DataType::Int32 | DataType::Int64),
        Scalar::Uint => matches!(data_type, DataType::Decimal128(_, 0)),
        Scalar::Float => matches!(data_type, DataType::Float32 | DataType::Float64),
        Scalar::Uuid => *data_type == DataType::FixedSizeBinary(16),
        Scalar::Datetime => matches!(data_type, DataType::Timestamp(..) | DataType::Date32),
        Scalar::Bool => *data_type == DataType::Boolean,
    }
}

fn plain(scalar: Scalar, array: &ArrayRef, row: usize) -> Cell {
    match (scalar, array.data_type()) {
        (Scalar::String, _) => Cell::Text(array.as_string::<i32>().value(row).to_owned()),
        (Scalar::Int, DataType::Int16) => {
            Cell::Int(array.as_primitive::<Int16Type>().value(row).into())
        }
        (Scalar::Int, DataType::Int32) => {
            Cell::Int(array.as_primitive::<Int32Type>().value(row).into())
        }
        (Scalar::Int, _) => Cell::Int(array.as_primitive::<Int64Type>().value(row)),
        (Scalar::Uint, _) => integer(array.as_primitive::<Decimal128Type>().value(row)),
        (Scalar::Float, DataType::Float32) => {
            Cell::Single(array.as_primitive::<Float32Type>().value(row))
        }
        (Scalar::Float, _) => Cell::Double(array.as_primitive::<Float64Type>().value(row)),
        (Scalar::Uuid, _) => {
            let bytes = array.as_fixed_size_binary().value(row);
            Cell::Text(uuid::Uuid::from_slice(bytes).unwrap_or_default().to_string())
        }
        (Scalar::Datetime, DataType::Date32) => {
            let days = i64::from(array.as_primitive::<Date32Type>().value(row));
            moment(days.saturating_mul(86_400_000_000))
        }
        (Scalar::Datetime, _) => {
            moment(array.as_primitive::<TimestampMicrosecondType>().value(row))
        }
        (Scalar::Bool, _) => Cell::Bool(array.as_boolean().value(row)),
    }
}

/// A whole number, as exact as JSON's readers take it.
pub(super) fn integer(value: i128) -> Cell {
    match (i64::try_from(value), u64::try_from(value)) {
        (_, Ok(value)) => Cell::Uint(value),
        (Ok(value), _) => Cell::Int(value),
        #[expect(clippy::cast_precision_loss, reason = "nothing else holds it")]
        _ => Cell::Double(value as f64),
    }
}

fn moment(micros: i64) -> Cell {
    match DateTime::<Utc>::from_timestamp_micros(micros) {
        Some(moment) => Cell::Text(rfc3339(moment)),
        None => Cell::Text(if micros < 0 { "-infinity" } else { "infinity" }.to_owned()),
    }
}

/// A moment as clients read it.
pub(super) fn rfc3339(moment: DateTime<Utc>) -> String {
    moment.to_rfc3339_opts(SecondsFormat::Nanos, true)
}

fn vector(values: &ArrayRef, encoding: VectorEncoding) -> Cell {
    let floats: Vec<f32> = match values.data_type() {
        DataType::Float16 => {
            values.as_primitive::<Float16Type>().values().iter().map(|half| half.to_f32()).collect()
        }
        _ => values.as_primitive::<Float32Type>().values().to_vec(),
    };
    match encoding {
        VectorEncoding::Float => Cell::Vector(floats),
        VectorEncoding::Base64 => {
            let bytes: Vec<u8> = floats.iter().flat_map(|float| float.to_le_bytes()).collect();
            Cell::Text(STANDARD.encode(bytes))
        }
    }
}

/// A sparse vector out of its text, which counts dimensions from 1.
fn sparse(text: &str) -> Cell {
    let inside = text.strip_prefix('{').and_then(|rest| rest.split_once('}'));
    let elements = inside.map_or("", |(elements, _)| elements).split(',');
    let element = |element: &str| {
        let (place, weight) = element.split_once(':')?;
        let place: u64 = place.parse().ok()?;
        Some((place.checked_sub(1)?.to_string(), weight.parse().ok()?))
    };
    Cell::Sparse(elements.filter_map(element).collect())
}

/// Values as PostgreSQL writes them.
fn texts(column: &PgType, array: &ArrayRef) -> Result<Vec<Cell>> {
    let encoder = Encoder::new(column, array, &Style::default())?;
    let mut out = Vec::new();
    (0..array.len())
        .map(|row| {
            if encoder.is_null(row) {
                return Ok(Cell::Null);
            }
            out.clear();
            encoder.text(row, &mut out)?;
            Ok(Cell::Text(String::from_utf8_lossy(&out).into_owned()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::namespaces::value::single;
    use serde_json::{Value, json};

    /// What went in comes out.
    #[track_caller]
    fn check(kind: &str, value: Value, expected: &str) {
        let column = AttributeType::parse(kind).unwrap().column();
        let array = single(&column, &value).unwrap();
        let cells = cells(&column, &array, VectorEncoding::Float).unwrap();
        assert_eq!(serde_json::to_string(&cells[0]).unwrap(), expected);
    }

    #[test]
    fn values_come_out_as_they_went_in() {
        check("string", json!("é\"\n"), r#""é\"\n""#);
        check("int", json!(i64::MIN), "-9223372036854775808");
        check("uint", json!(u64::MAX), "18446744073709551615");
        check("float", json!(0.1), "0.1");
        check("bool", json!(false), "false");
        check(
            "uuid",
            json!("769c134d-07b8-4225-954a-b6cc5ffc320c"),
            r#""769c134d-07b8-4225-954a-b6cc5ffc320c""#,
        );
        check("datetime", json!("2024-03-02"), r#""2024-03-02T00:00:00.000000000Z""#);
        check("[]uint", json!([1, 2]), "[1,2]");
        check("[]datetime", json!(["2024-03-02"]), r#"["2024-03-02T00:00:00.000000000Z"]"#);
        check("[2]f32", json!([0.1, 2]), "[0.1,2.0]");
        check("[2]f16", json!([0.5, -1]), "[0.5,-1.0]");
        check("{}f16", json!({"0": 0.5, "9": 2}), r#"{"0":0.5,"9":2.0}"#);
        check("string", Value::Null, "null");
    }

    #[test]
    fn base64_is_little_endian_single_precision() {
        let column = AttributeType::parse("[2]f16").unwrap().column();
        let array = single(&column, &json!("AACAPwAAAEA=")).unwrap();
        let cells = cells(&column, &array, VectorEncoding::Base64).unwrap();
        assert_eq!(cells[0], Cell::Text("AACAPwAAAEA=".to_owned()));
    }
}
