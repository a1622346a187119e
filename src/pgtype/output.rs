//! Values on their way out: a column of Arrow, looked into once, writes any of its values as
//! PostgreSQL's text or binary form.

use super::{
    Enum, NUMERIC_ANY, PgType, RegKind, array,
    bit::Bits,
    bytea, composite,
    datetime::{self, timetz::Timetz},
    float, integer, interval, numeric,
    sparsevec::Sparse,
    string,
    style::Style,
    vector,
};
use crate::{
    error::{Error, Result},
    text::{Document, Query},
};
use arrow::{
    array::{
        Array, ArrayRef, AsArray, BinaryArray, BooleanArray, Decimal128Array, FixedSizeBinaryArray,
        Float16Array, Float32Array, Float64Array, Int16Array, Int32Array, Int64Array,
        IntervalMonthDayNanoArray, PrimitiveArray, StringArray, UInt32Array,
    },
    buffer::NullBuffer,
    compute::{CastOptions, cast_with_options},
    datatypes::{
        DataType, Date32Type, Float16Type, Float32Type, Time64MicrosecondType,
        TimestampMicrosecondType,
    },
};
use std::{ops::Range, sync::Arc};

/// Writes the values of one column.
#[derive(Debug)]
pub struct Encoder {
    column: Column,
    nulls: Option<NullBuffer>,
    style: Style,
}

/// A column under its type.
#[derive(Debug)]
enum Column {
    Bool(BooleanArray),
    Int2(Int16Array),
    Int4(Int32Array),
    Int8(Int64Array),
    Float4(Float32Array),
    Float8(Float64Array),
    Numeric {
        values: Decimal128Array,
        scale: i8,
        trimmed: bool,
    },
    Text(StringArray),
    Char(StringArray),
    Jsonb(StringArray),
    Tsvector(StringArray),
    Tsquery(StringArray),
    Record(StringArray),
    Bytea(BinaryArray),
    Date(PrimitiveArray<Date32Type>),
    Time(PrimitiveArray<Time64MicrosecondType>),
    Timetz(BinaryArray),
    Timestamp(PrimitiveArray<TimestampMicrosecondType>),
    Timestamptz(PrimitiveArray<TimestampMicrosecondType>),
    Interval(IntervalMonthDayNanoArray),
    Uuid(FixedSizeBinaryArray),
    Oid(UInt32Array),
    Reg(RegKind, UInt32Array),
    Enum(Arc<Enum>, Int64Array),
    Void,
    Vector {
        values: Float32Array,
        slices: Slices,
    },
    Halfvec {
        values: Float16Array,
        slices: Slices,
    },
    Sparsevec(BinaryArray),
    Bit(BinaryArray),
    /// Numbers with blanks between them.
    Row {
        element: Box<Encoder>,
        slices: Slices,
        oid: u32,
    },
    List {
        element: Box<Encoder>,
        slices: Slices,
        oid: u32,
    },
    /// A row: its fields, each with the oid of its type.
    Composite(Vec<(Encoder, u32)>),
}

/// Where the elements of each row's list stand.
#[derive(Debug)]
enum Slices {
    Fixed(usize),
    Offsets(arrow::buffer::OffsetBuffer<i32>),
}

impl Slices {
    fn of(&self, row: usize) -> Range<usize> {
        let position = |offset: i32| usize::try_from(offset).unwrap_or(0);
        match self {
            Self::Fixed(length) => row * length..(row + 1) * length,
            Self::Offsets(offsets) => position(offsets[row])..position(offsets[row + 1]),
        }
    }
}

impl Encoder {
    /// Looks into a column. Arrays of other Arrow types than the type's own are converted where
    /// no value is lost.
    ///
    /// # Errors
    /// An internal error where the array cannot be of this type.
    pub fn new(kind: &PgType, array: &ArrayRef, style: &Style) -> Result<Self> {
        if *kind == PgType::Void {
            return Ok(Self { column: Column::Void, nulls: None, style: style.clone() });
        }
        let array = carried(kind, array)?;
        let nulls = array.logical_nulls();
        let column = match kind {
            PgType::Bool => Column::Bool(array.as_boolean().clone()),
            PgType::Int2 => Column::Int2(array.as_primitive().clone()),
            PgType::Int4 => Column::Int4(array.as_primitive().clone()),
            PgType::Int8 => Column::Int8(array.as_primitive().clone()),
            PgType::Float4 => Column::Float4(array.as_primitive().clone()),
            PgType::Float8 => Column::Float8(array.as_primitive().clone()),
            PgType::Numeric(modifier) => {
                let values: Decimal128Array = array.as_primitive().clone();
                Column::Numeric { scale: values.scale(), values, trimmed: modifier.is_none() }
            }
            PgType::Char => Column::Char(array.as_string().clone()),
            PgType::Jsonb | PgType::Jsonpath => Column::Jsonb(array.as_string().clone()),
            PgType::Tsvector => Column::Tsvector(array.as_string().clone()),
            PgType::Tsquery => Column::Tsquery(array.as_string().clone()),
            PgType::Record => Column::Record(array.as_string().clone()),
            PgType::Name
            | PgType::Text
            | PgType::Varchar(_)
            | PgType::Bpchar(_)
            | PgType::Json
            | PgType::Unknown => Column::Text(array.as_string().clone()),
            PgType::Bytea => Column::Bytea(array.as_binary().clone()),
            PgType::Date => Column::Date(array.as_primitive().clone()),
            PgType::Time(_) => Column::Time(array.as_primitive().clone()),
            PgType::Timetz(_) => Column::Timetz(array.as_binary().clone()),
            PgType::Timestamp(_) => Column::Timestamp(array.as_primitive().clone()),
            PgType::Timestamptz(_) => Column::Timestamptz(array.as_primitive().clone()),
            PgType::Interval(_) => Column::Interval(array.as_primitive().clone()),
            PgType::Uuid => Column::Uuid(array.as_fixed_size_binary().clone()),
            PgType::Oid | PgType::Xid => Column::Oid(array.as_primitive().clone()),
            PgType::Reg(reg) => Column::Reg(*reg, array.as_primitive().clone()),
            PgType::Enum(made) => Column::Enum(Arc::clone(made), array.as_primitive().clone()),
            PgType::Void => Column::Void,
            PgType::Vector(_) => {
                let (values, slices) = list(&array)?;
                Column::Vector { values: values.as_primitive::<Float32Type>().clone(), slices }
            }
            PgType::Halfvec(_) => {
                let (values, slices) = list(&array)?;
                Column::Halfvec { values: values.as_primitive::<Float16Type>().clone(), slices }
            }
            PgType::Sparsevec(_) => Column::Sparsevec(array.as_binary().clone()),
            PgType::Bit(_) | PgType::Varbit(_) => Column::Bit(array.as_binary().clone()),
            PgType::Int2vector => Self::row(&PgType::Int2, &array, style)?,
            PgType::Oidvector => Self::row(&PgType::Oid, &array, style)?,
            PgType::Composite(fields) => {
                let columns = array.as_struct().columns();
                let fields = fields.iter().zip(columns);
                let fields = fields
                    .map(|((_, kind), column)| Ok((Self::new(kind, column, style)?, kind.oid())));
                Column::Composite(fields.collect::<Result<_>>()?)
            }
            PgType::Array(kind) => {
                let (values, slices) = list(&array)?;
                let element = Box::new(Self::new(kind, &values, style)?);
                Column::List { element, slices, oid: kind.oid() }
            }
        };
        Ok(Self { column, nulls, style: style.clone() })
    }

    fn row(kind: &PgType, array: &ArrayRef, style: &Style) -> Result<Column> {
        let (values, slices) = list(array)?;
        let element = Box::new(Self::new(kind, &values, style)?);
        Ok(Column::Row { element, slices, oid: kind.oid() })
    }

    /// Whether the value of a row is NULL.
    #[must_use]
    pub fn is_null(&self, row: usize) -> bool {
        self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row))
    }

    /// Appends the text of a row's value, which must not be NULL.
    ///
    /// # Errors
    /// Internal where an enumeration has no label for it.
    pub fn text(&self, row: usize, out: &mut Vec<u8>) -> Result<()> {
        match &self.column {
            Column::Bool(values) => out.push(if values.value(row) { b't' } else { b'f' }),
            Column::Int2(values) => integer::write(i64::from(values.value(row)), out),
            Column::Int4(values) => integer::write(i64::from(values.value(row)), out),
            Column::Int8(values) => integer::write(values.value(row), out),
            Column::Float4(values) => {
                float::write_f32(values.value(row), self.style.extra_float_digits, out);
            }
            Column::Float8(values) => {
                float::write_f64(values.value(row), self.style.extra_float_digits, out);
            }
            Column::Numeric { values, scale, trimmed } => {
                numeric::write(values.value(row), *scale, *trimmed, out);
            }
            Column::Text(values)
            | Column::Char(values)
            | Column::Jsonb(values)
            | Column::Tsvector(values)
            | Column::Tsquery(values)
            | Column::Record(values) => out.extend_from_slice(values.value(row).as_bytes()),
            Column::Bytea(values) => {
                bytea::write(values.value(row), self.style.bytea_escape, out);
            }
            Column::Date(values) => {
                datetime::write::write_date(values.value(row), &self.style, out)
            }
            Column::Time(values) => datetime::write::write_time(values.value(row), out),
            Column::Timetz(values) => Timetz::of_carried(values.value(row)).write(out),
            Column::Timestamp(values) => {
                datetime::write::write_timestamp(values.value(row), None, &self.style, out);
            }
            Column::Timestamptz(values) => {
                datetime::write::write_timestamp(
                    values.value(row),
                    Some(self.style.time_zone),
                    &self.style,
                    out,
                );
            }
            Column::Interval(values) => {
                interval::write::write(values.value(row), self.style.interval_style, out);
            }
            Column::Uuid(values) => bytea::write_uuid(values.value(row), out),
            Column::Oid(values) => integer::write(i64::from(values.value(row)), out),
            Column::Reg(kind, values) => self.write_name(*kind, values.value(row), out),
            Column::Enum(made, values) => {
                out.extend_from_slice(made.label(values.value(row))?.as_bytes());
            }
            Column::Void => {}
            Column::Vector { values, slices } => {
                vector::write(&values.values()[slices.of(row)], out);
            }
            Column::Halfvec { values, slices } => {
                vector::write(&values.values()[slices.of(row)], out);
            }
            Column::Sparsevec(values) => Sparse::of_carried(values.value(row)).write(out),
            Column::Bit(values) => Bits::of_carried(values.value(row)).write(out),
            Column::Row { element, slices, .. } => {
                for (at, row) in slices.of(row).enumerate() {
                    if at > 0 {
                        out.push(b' ');
                    }
                    element.text(row, out)?;
                }
            }
            Column::List { element, slices, .. } => {
                out.push(b'{');
                for (at, row) in slices.of(row).enumerate() {
                    if at > 0 {
                        out.push(b',');
                    }
                    if element.is_null(row) {
                        out.extend_from_slice(b"NULL");
                    } else {
                        let start = out.len();
                        element.text(row, out)?;
                        array::quote(out, start);
                    }
                }
                out.push(b'}');
            }
            Column::Composite(fields) => {
                out.push(b'(');
                for (at, (field, _)) in fields.iter().enumerate() {
                    if at > 0 {
                        out.push(b',');
                    }
                    if !field.is_null(row) {
                        let start = out.len();
                        field.text(row, out)?;
                        composite::quote(out, start);
                    }
                }
                out.push(b')');
            }
        }
        Ok(())
    }

    fn write_name(&self, kind: RegKind, oid: u32, out: &mut Vec<u8>) {
        let named = self.style.names.as_ref().and_then(|names| names.name(kind, oid));
        let named = named.or_else(|| match (oid, kind) {
            (0, RegKind::Operator) => Some("0".to_owned()),
            (0, _) => Some("-".to_owned()),
            (_, RegKind::Type) => PgType::from_oid(oid, -1).map(|kind| kind.to_string()),
            _ => None,
        });
        match named {
            Some(name) => out.extend_from_slice(name.as_bytes()),
            None => integer::write(i64::from(oid), out),
        }
    }

    /// Appends the binary form of a row's value, which must not be NULL; without its length.
    ///
    /// # Errors
    /// 0A000 for anonymous records, which have no binary form here.
    pub fn binary(&self, row: usize, out: &mut Vec<u8>) -> Result<()> {
        match &self.column {
            Column::Bool(values) => out.push(u8::from(values.value(row))),
            Column::Int2(values) => out.extend_from_slice(&values.value(row).to_be_bytes()),
            Column::Int4(values) => out.extend_from_slice(&values.value(row).to_be_bytes()),
            Column::Int8(values) => out.extend_from_slice(&values.value(row).to_be_bytes()),
            Column::Float4(values) => out.extend_from_slice(&values.value(row).to_be_bytes()),
            Column::Float8(values) => out.extend_from_slice(&values.value(row).to_be_bytes()),
            Column::Numeric { values, scale, trimmed } => {
                numeric::write_binary(values.value(row), *scale, *trimmed, out);
            }
            Column::Text(values) => out.extend_from_slice(values.value(row).as_bytes()),
            Column::Char(values) => out.push(string::char_byte(values.value(row))),
            Column::Jsonb(values) => {
                // The version of the format.
                out.push(1);
                out.extend_from_slice(values.value(row).as_bytes());
            }
            Column::Tsvector(values) => Document::parse(values.value(row))?.write_binary(out),
            Column::Tsquery(values) => Query::parse(values.value(row))?.write_binary(out),
            Column::Record(_) => {
                return Err(Error::unsupported("no binary output function for type record")
                    .hint("Ask for the result as text, or select the fields one by one."));
            }
            Column::Bytea(values) => out.extend_from_slice(values.value(row)),
            Column::Date(values) => {
                let days = datetime::date_to_binary(values.value(row));
                out.extend_from_slice(&days.to_be_bytes());
            }
            Column::Time(values) => out.extend_from_slice(&values.value(row).to_be_bytes()),
            Column::Timetz(values) => Timetz::of_carried(values.value(row)).write_binary(out),
            Column::Timestamp(values) | Column::Timestamptz(values) => {
                let micros = datetime::timestamp_to_binary(values.value(row));
                out.extend_from_slice(&micros.to_be_bytes());
            }
            Column::Interval(values) => interval::write_binary(values.value(row), out),
            Column::Uuid(values) => out.extend_from_slice(values.value(row)),
            Column::Oid(values) | Column::Reg(_, values) => {
                out.extend_from_slice(&values.value(row).to_be_bytes());
            }
            Column::Enum(made, values) => {
                out.extend_from_slice(made.label(values.value(row))?.as_bytes());
            }
            Column::Void => {}
            Column::Vector { values, slices } => {
                vector::write_binary(&values.values()[slices.of(row)], out)?;
            }
            Column::Halfvec { values, slices } => {
                vector::write_binary(&values.values()[slices.of(row)], out)?;
            }
            Column::Sparsevec(values) => Sparse::of_carried(values.value(row)).write_binary(out),
            Column::Bit(values) => Bits::of_carried(values.value(row)).write_binary(out)?,
            Column::Row { element, slices, oid } => {
                element.binary_list(slices.of(row), *oid, 0, out)?;
            }
            Column::List { element, slices, oid } => {
                element.binary_list(slices.of(row), *oid, 1, out)?;
            }
            Column::Composite(fields) => {
                let count = i32::try_from(fields.len()).map_err(|_| too_long())?;
                out.extend_from_slice(&count.to_be_bytes());
                for (field, oid) in fields {
                    out.extend_from_slice(&oid.to_be_bytes());
                    field.binary_item(row, out)?;
                }
            }
        }
        Ok(())
    }

    /// A value behind its length; -1 for NULL.
    fn binary_item(&self, row: usize, out: &mut Vec<u8>) -> Result<()> {
        if self.is_null(row) {
            out.extend_from_slice(&(-1_i32).to_be_bytes());
            return Ok(());
        }
        let start = out.len();
        out.extend_from_slice(&[0; 4]);
        self.binary(row, out)?;
        let length = i32::try_from(out.len() - start - 4).map_err(|_| too_long())?;
        out[start..start + 4].copy_from_slice(&length.to_be_bytes());
        Ok(())
    }

    /// Dimensions, whether there are NULLs, the element's oid; per dimension a length and a lower
    /// bound; then the elements with their lengths.
    fn binary_list(
        &self,
        rows: Range<usize>,
        oid: u32,
        lower: i32,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        let has_nulls = rows.clone().any(|row| self.is_null(row));
        // PostgreSQL's vectors of numbers have a dimension even when they are empty.
        let dimensions = i32::from(!rows.is_empty() || lower == 0);
        out.extend_from_slice(&dimensions.to_be_bytes());
        out.extend_from_slice(&i32::from(has_nulls).to_be_bytes());
        out.extend_from_slice(&oid.to_be_bytes());
        if dimensions == 0 {
            return Ok(());
        }
        let length = i32::try_from(rows.len()).map_err(|_| too_long())?;
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(&lower.to_be_bytes());
        for row in rows {
            self.binary_item(row, out)?;
        }
        Ok(())
    }
}

fn too_long() -> Error {
    Error::internal("a value is too long for the wire")
}

/// The array as the type's own carrier has it.
fn carried(kind: &PgType, array: &ArrayRef) -> Result<ArrayRef> {
    let own = match (kind, array.data_type()) {
        // Any precision and scale will do, and any list of reals.
        (PgType::Numeric(None), DataType::Decimal128(..)) => return Ok(Arc::clone(array)),
        (PgType::Numeric(None), DataType::Decimal256(_, scale)) => {
            DataType::Decimal128(NUMERIC_ANY.0, *scale)
        }
        (PgType::Vector(_), DataType::FixedSizeList(element, _) | DataType::List(element))
            if *element.data_type() == DataType::Float32 =>
        {
            return Ok(Arc::clone(array));
        }
        (PgType::Halfvec(_), DataType::FixedSizeList(element, _) | DataType::List(element))
            if *element.data_type() == DataType::Float16 =>
        {
            return Ok(Arc::clone(array));
        }
        (PgType::Array(_) | PgType::Int2vector | PgType::Oidvector, DataType::List(_)) => {
            return Ok(Arc::clone(array));
        }
        (PgType::Composite(_), DataType::Struct(_)) => return Ok(Arc::clone(array)),
        (
            PgType::Timestamptz(_),
            DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, Some(_)),
        ) => {
            return Ok(Arc::clone(array));
        }
        _ => kind.arrow(),
    };
    if *array.data_type() == own {
        return Ok(Arc::clone(array));
    }
    let options = CastOptions { safe: false, ..CastOptions::default() };
    cast_with_options(array, &own, &options).map_err(|error| {
        Error::internal(format!("a column of type {kind} came as {}", array.data_type()))
            .source(error)
    })
}

fn list(array: &ArrayRef) -> Result<(ArrayRef, Slices)> {
    if let Some(list) = array.as_list_opt::<i32>() {
        return Ok((Arc::clone(list.values()), Slices::Offsets(list.offsets().clone())));
    }
    if let Some(list) = array.as_fixed_size_list_opt() {
        let length = usize::try_from(list.value_length()).unwrap_or(0);
        return Ok((Arc::clone(list.values()), Slices::Fixed(length)));
    }
    Err(Error::internal(format!("{} is no list", array.data_type())))
}
