//! Values on their way in: a column of Arrow grows by values in PostgreSQL's text or binary form.

mod lists;
mod read;

use super::{
    Enum, NUMERIC_ANY, PgType, array, bit, bytea,
    datetime::{self, timetz::Timetz},
    faults::{exact, take, text_of_bytes},
    float, integer, interval,
    numeric::{self, Places},
    precision, sparsevec,
    string::{self, TooLong},
    style::Style,
    vector,
};
use crate::{
    error::{Error, Result, SqlState},
    text::{Document, Query},
};
use arrow::array::{
    ArrayRef, BinaryBuilder, BooleanBuilder, Date32Builder, Decimal128Builder,
    FixedSizeBinaryBuilder, Float32Builder, Float64Builder, Int16Builder, Int32Builder,
    Int64Builder, IntervalMonthDayNanoBuilder, NullArray, StringBuilder, Time64MicrosecondBuilder,
    TimestampMicrosecondBuilder, UInt32Builder,
};
use half::f16;
use lists::{Dense, Rows, list_array};
use read::{append_text, append_uuid, parse_name, read_list};
use std::sync::Arc;

/// Builds a column of one type, value by value.
///
/// A value that is refused leaves the column as it was, but for the elements of an array: after
/// an error a builder of an array type must be dropped.
#[derive(Debug)]
pub struct ColumnBuilder {
    kind: PgType,
    style: Style,
    slot: Slot,
    too_long: TooLong,
    scratch: Vec<u8>,
}

/// What the values are collected in.
#[derive(Debug)]
enum Slot {
    Bool(BooleanBuilder),
    Int2(Int16Builder),
    Int4(Int32Builder),
    Int8(Int64Builder),
    Float4(Float32Builder),
    Float8(Float64Builder),
    Numeric(Decimal128Builder, Places),
    Text(StringBuilder),
    Bytea(BinaryBuilder),
    Date(Date32Builder),
    Time(Time64MicrosecondBuilder),
    Timetz(BinaryBuilder),
    Timestamp(TimestampMicrosecondBuilder),
    Interval(IntervalMonthDayNanoBuilder),
    Uuid(FixedSizeBinaryBuilder),
    Oid(UInt32Builder),
    Enum(Arc<Enum>, Int64Builder),
    Void(usize),
    Vector(Dense<f32>),
    Halfvec(Dense<f16>),
    Sparsevec(BinaryBuilder),
    Bit(BinaryBuilder),
    List { element: Box<ColumnBuilder>, rows: Rows },
}

impl ColumnBuilder {
    /// An empty column.
    #[must_use]
    pub fn new(kind: &PgType, style: &Style) -> Self {
        let slot = match kind {
            PgType::Bool => Slot::Bool(BooleanBuilder::new()),
            PgType::Int2 => Slot::Int2(Int16Builder::new()),
            PgType::Int4 => Slot::Int4(Int32Builder::new()),
            PgType::Int8 => Slot::Int8(Int64Builder::new()),
            PgType::Float4 => Slot::Float4(Float32Builder::new()),
            PgType::Float8 => Slot::Float8(Float64Builder::new()),
            PgType::Numeric(modifier) => {
                let (precision, scale) = modifier.unwrap_or(NUMERIC_ANY);
                let places = Places { precision, scale, declared: modifier.is_some() };
                let builder = Decimal128Builder::new().with_data_type(kind.arrow());
                Slot::Numeric(builder, places)
            }
            PgType::Char
            | PgType::Name
            | PgType::Text
            | PgType::Varchar(_)
            | PgType::Bpchar(_)
            | PgType::Json
            | PgType::Jsonb
            | PgType::Jsonpath
            | PgType::Tsvector
            | PgType::Tsquery
            | PgType::Unknown
            | PgType::Record
            | PgType::Composite(_) => Slot::Text(StringBuilder::new()),
            PgType::Bytea => Slot::Bytea(BinaryBuilder::new()),
            PgType::Date => Slot::Date(Date32Builder::new()),
            PgType::Time(_) => Slot::Time(Time64MicrosecondBuilder::new()),
            PgType::Timetz(_) => Slot::Timetz(BinaryBuilder::new()),
            PgType::Timestamp(_) | PgType::Timestamptz(_) => {
                let builder = TimestampMicrosecondBuilder::new().with_data_type(kind.arrow());
                Slot::Timestamp(builder)
            }
            PgType::Interval(_) => Slot::Interval(IntervalMonthDayNanoBuilder::new()),
            PgType::Uuid => Slot::Uuid(FixedSizeBinaryBuilder::new(16)),
            PgType::Oid | PgType::Xid | PgType::Reg(_) => Slot::Oid(UInt32Builder::new()),
            PgType::Enum(made) => Slot::Enum(Arc::clone(made), Int64Builder::new()),
            PgType::Void => Slot::Void(0),
            PgType::Vector(dims) => Slot::Vector(Dense::new(*dims)),
            PgType::Halfvec(dims) => Slot::Halfvec(Dense::new(*dims)),
            PgType::Sparsevec(_) => Slot::Sparsevec(BinaryBuilder::new()),
            PgType::Bit(_) | PgType::Varbit(_) => Slot::Bit(BinaryBuilder::new()),
            PgType::Int2vector => Self::list(&PgType::Int2, style),
            PgType::Oidvector => Self::list(&PgType::Oid, style),
            PgType::Array(element) => Self::list(element, style),
        };
        Self {
            kind: kind.clone(),
            style: style.clone(),
            slot,
            too_long: TooLong::Refuse,
            scratch: Vec::new(),
        }
    }

    fn list(element: &PgType, style: &Style) -> Slot {
        Slot::List { element: Box::new(Self::new(element, style)), rows: Rows::new() }
    }

    /// Decides what becomes of text that is too long for `varchar(n)` or `character(n)`.
    #[must_use]
    pub fn too_long(mut self, too_long: TooLong) -> Self {
        self.too_long = too_long;
        if let Slot::List { element, .. } = &mut self.slot {
            element.too_long = too_long;
        }
        self
    }

    /// Appends a NULL.
    ///
    /// # Errors
    /// 54000 where one batch cannot hold more.
    pub fn push_null(&mut self) -> Result<()> {
        match &mut self.slot {
            Slot::Bool(builder) => builder.append_null(),
            Slot::Int2(builder) => builder.append_null(),
            Slot::Int4(builder) => builder.append_null(),
            Slot::Int8(builder) => builder.append_null(),
            Slot::Float4(builder) => builder.append_null(),
            Slot::Float8(builder) => builder.append_null(),
            Slot::Numeric(builder, _) => builder.append_null(),
            Slot::Text(builder) => builder.append_null(),
            Slot::Bytea(builder) => builder.append_null(),
            Slot::Date(builder) => builder.append_null(),
            Slot::Time(builder) => builder.append_null(),
            Slot::Timestamp(builder) => builder.append_null(),
            Slot::Interval(builder) => builder.append_null(),
            Slot::Uuid(builder) => builder.append_null(),
            Slot::Oid(builder) => builder.append_null(),
            Slot::Enum(_, builder) => builder.append_null(),
            Slot::Void(rows) => *rows += 1,
            Slot::Vector(vectors) => vectors.push_null()?,
            Slot::Halfvec(vectors) => vectors.push_null()?,
            Slot::Sparsevec(builder) | Slot::Bit(builder) | Slot::Timetz(builder) => {
                builder.append_null();
            }
            Slot::List { element, rows } => rows.push(element.len(), false)?,
        }
        Ok(())
    }

    /// Appends a value from its text.
    ///
    /// # Errors
    /// What PostgreSQL's input function for the type raises.
    pub fn push_text(&mut self, text: &str) -> Result<()> {
        let (style, digits) = (&self.style, precision::of(&self.kind));
        match &mut self.slot {
            Slot::Bool(builder) => builder.append_value(string::parse_bool(text)?),
            Slot::Int2(builder) => {
                let (min, max) = (i64::from(i16::MIN), i64::from(i16::MAX));
                let value = integer::parse(text, min, max, "smallint")?;
                builder.append_value(i16::try_from(value).expect("within bounds"));
            }
            Slot::Int4(builder) => {
                let (min, max) = (i64::from(i32::MIN), i64::from(i32::MAX));
                let value = integer::parse(text, min, max, "integer")?;
                builder.append_value(i32::try_from(value).expect("within bounds"));
            }
            Slot::Int8(builder) => {
                builder.append_value(integer::parse(text, i64::MIN, i64::MAX, "bigint")?);
            }
            Slot::Float4(builder) => builder.append_value(float::parse_f32(text)?),
            Slot::Float8(builder) => builder.append_value(float::parse_f64(text)?),
            Slot::Numeric(builder, places) => {
                builder.append_value(numeric::parse(text, *places)?);
            }
            Slot::Text(builder) => append_text(builder, &self.kind, text, self.too_long)?,
            Slot::Bytea(builder) => {
                self.scratch.clear();
                bytea::parse(text, &mut self.scratch)?;
                builder.append_value(&self.scratch);
            }
            Slot::Date(builder) => builder.append_value(datetime::parse_date(text, style)?),
            Slot::Time(builder) => {
                let time = datetime::parse_time(text, style)?;
                builder.append_value(precision::time(time, digits));
            }
            Slot::Timetz(builder) => {
                builder.append_value(Timetz::parse(text, style)?.rounded(digits).carried());
            }
            Slot::Timestamp(builder) => {
                let stamp = match self.kind {
                    PgType::Timestamptz(_) => datetime::parse_timestamptz(text, style)?,
                    _ => datetime::parse_timestamp(text, style)?,
                };
                builder.append_value(precision::timestamp(stamp, digits)?);
            }
            Slot::Interval(builder) => {
                let qualifier = self.kind.qualifier();
                builder.append_value(interval::parse(text, style.interval_style, qualifier)?);
            }
            Slot::Uuid(builder) => append_uuid(builder, &bytea::parse_uuid(text)?)?,
            Slot::Oid(builder) => builder.append_value(match self.kind {
                PgType::Reg(kind) => parse_name(kind, text, style)?,
                PgType::Xid => integer::parse_oid(text, "xid")?,
                _ => integer::parse_oid(text, "oid")?,
            }),
            Slot::Enum(made, builder) => builder.append_value(made.place(text)?),
            Slot::Void(rows) => *rows += 1,
            Slot::Vector(vectors) => vectors.push(|dims, out| vector::parse(text, dims, out))?,
            Slot::Halfvec(vectors) => vectors.push(|dims, out| vector::parse(text, dims, out))?,
            Slot::Sparsevec(builder) => {
                let value = sparsevec::parse(text, sparse_dims(&self.kind))?;
                builder.append_value(value.carried());
            }
            Slot::Bit(builder) => {
                let value = bit::parse(text, self.kind.bit_length(), self.too_long)?;
                builder.append_value(value.carried());
            }
            Slot::List { element, rows } => {
                if let PgType::Int2vector | PgType::Oidvector = self.kind {
                    let is_space = |c: char| c.is_ascii_whitespace();
                    for word in text.split(is_space).filter(|word| !word.is_empty()) {
                        element.push_text(word)?;
                    }
                } else {
                    array::read(text, |item| match item {
                        Some(item) => element.push_text(item),
                        None => element.push_null(),
                    })?;
                }
                rows.push(element.len(), true)?;
            }
        }
        Ok(())
    }

    /// Appends a dense vector from its elements, each as near as the type has it.
    ///
    /// # Errors
    /// What pgvector's casts from arrays raise. Internal where the column is of another type.
    pub fn push_vector(&mut self, elements: &[f32]) -> Result<()> {
        match &mut self.slot {
            Slot::Vector(vectors) => {
                vectors.push(|dims, out| vector::from_reals(elements, dims, out))
            }
            Slot::Halfvec(vectors) => {
                vectors.push(|dims, out| vector::from_reals(elements, dims, out))
            }
            _ => Err(Error::internal(format!("{} is no dense vector", self.kind))),
        }
    }

    /// Appends a value from its binary form.
    ///
    /// # Errors
    /// What PostgreSQL's receive function for the type raises; 22P03 where bytes are left over.
    pub fn push_binary(&mut self, bytes: &[u8]) -> Result<()> {
        let digits = precision::of(&self.kind);
        match &mut self.slot {
            Slot::Bool(builder) => builder.append_value(string::parse_bool_binary(bytes)?),
            Slot::Int2(builder) => builder.append_value(i16::from_be_bytes(exact(bytes)?)),
            Slot::Int4(builder) => builder.append_value(i32::from_be_bytes(exact(bytes)?)),
            Slot::Int8(builder) => builder.append_value(i64::from_be_bytes(exact(bytes)?)),
            Slot::Float4(builder) => builder.append_value(f32::from_be_bytes(exact(bytes)?)),
            Slot::Float8(builder) => builder.append_value(f64::from_be_bytes(exact(bytes)?)),
            Slot::Numeric(builder, places) => {
                builder.append_value(numeric::parse_binary(bytes, *places)?);
            }
            Slot::Text(builder) => match self.kind {
                PgType::Char => {
                    let [byte] = exact(bytes)?;
                    builder.append_value(string::show_char(byte));
                }
                PgType::Jsonb | PgType::Jsonpath => {
                    let mut rest = bytes;
                    let [version] = take(&mut rest)?;
                    if version != 1 {
                        return Err(Error::internal(format!(
                            "unsupported jsonb version number {version}"
                        )));
                    }
                    append_text(builder, &self.kind, text_of_bytes(rest)?, self.too_long)?;
                }
                PgType::Tsvector => {
                    builder.append_value(Document::read_binary(bytes)?.to_string());
                }
                PgType::Tsquery => {
                    builder.append_value(Query::read_binary(bytes)?.to_string());
                }
                _ => append_text(builder, &self.kind, text_of_bytes(bytes)?, self.too_long)?,
            },
            Slot::Bytea(builder) => builder.append_value(bytes),
            Slot::Date(builder) => {
                let days = i32::from_be_bytes(exact(bytes)?);
                builder.append_value(datetime::date_from_binary(days)?);
            }
            Slot::Time(builder) => {
                let micros = i64::from_be_bytes(exact(bytes)?);
                if !(0..=datetime::calendar::DAY).contains(&micros) {
                    return Err(Error::new(SqlState::DATETIME_FIELD_OVERFLOW, "time out of range"));
                }
                builder.append_value(precision::time(micros, digits));
            }
            Slot::Timetz(builder) => {
                builder.append_value(Timetz::from_binary(bytes)?.rounded(digits).carried());
            }
            Slot::Timestamp(builder) => {
                let stamp = datetime::timestamp_from_binary(i64::from_be_bytes(exact(bytes)?))?;
                builder.append_value(precision::timestamp(stamp, digits)?);
            }
            Slot::Interval(builder) => {
                let qualifier = self.kind.qualifier();
                builder.append_value(interval::from_binary(exact(bytes)?, qualifier)?);
            }
            Slot::Uuid(builder) => append_uuid(builder, &exact::<16>(bytes)?)?,
            Slot::Oid(builder) => builder.append_value(u32::from_be_bytes(exact(bytes)?)),
            Slot::Enum(made, builder) => {
                builder.append_value(made.place(text_of_bytes(bytes)?)?);
            }
            Slot::Void(rows) => *rows += 1,
            Slot::Vector(vectors) => {
                vectors.push(|dims, out| vector::parse_binary(bytes, dims, out))?;
            }
            Slot::Halfvec(vectors) => {
                vectors.push(|dims, out| vector::parse_binary(bytes, dims, out))?;
            }
            Slot::Sparsevec(builder) => {
                let value = sparsevec::parse_binary(bytes, sparse_dims(&self.kind))?;
                builder.append_value(value.carried());
            }
            Slot::Bit(builder) => {
                let value = bit::parse_binary(bytes, self.kind.bit_length())?;
                builder.append_value(value.carried());
            }
            Slot::List { element, rows } => {
                read_list(element, bytes)?;
                rows.push(element.len(), true)?;
            }
        }
        Ok(())
    }

    /// How many values there are.
    #[must_use]
    pub fn len(&self) -> usize {
        use arrow::array::ArrayBuilder as _;
        match &self.slot {
            Slot::Bool(builder) => builder.len(),
            Slot::Int2(builder) => builder.len(),
            Slot::Int4(builder) => builder.len(),
            Slot::Int8(builder) => builder.len(),
            Slot::Float4(builder) => builder.len(),
            Slot::Float8(builder) => builder.len(),
            Slot::Numeric(builder, _) => builder.len(),
            Slot::Text(builder) => builder.len(),
            Slot::Bytea(builder) => builder.len(),
            Slot::Date(builder) => builder.len(),
            Slot::Time(builder) => builder.len(),
            Slot::Timestamp(builder) => builder.len(),
            Slot::Interval(builder) => builder.len(),
            Slot::Uuid(builder) => builder.len(),
            Slot::Oid(builder) => builder.len(),
            Slot::Enum(_, builder) => builder.len(),
            Slot::Void(rows) => *rows,
            Slot::Sparsevec(builder) | Slot::Bit(builder) | Slot::Timetz(builder) => builder.len(),
            Slot::Vector(Dense { rows, .. })
            | Slot::Halfvec(Dense { rows, .. })
            | Slot::List { rows, .. } => rows.offsets.len() - 1,
        }
    }

    /// Whether there are no values.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The column, of the Arrow type [`PgType::arrow`]; the builder begins anew.
    pub fn finish(&mut self) -> ArrayRef {
        match &mut self.slot {
            Slot::Bool(builder) => Arc::new(builder.finish()),
            Slot::Int2(builder) => Arc::new(builder.finish()),
            Slot::Int4(builder) => Arc::new(builder.finish()),
            Slot::Int8(builder) => Arc::new(builder.finish()),
            Slot::Float4(builder) => Arc::new(builder.finish()),
            Slot::Float8(builder) => Arc::new(builder.finish()),
            Slot::Numeric(builder, _) => Arc::new(builder.finish()),
            Slot::Text(builder) => Arc::new(builder.finish()),
            Slot::Bytea(builder) => Arc::new(builder.finish()),
            Slot::Date(builder) => Arc::new(builder.finish()),
            Slot::Time(builder) => Arc::new(builder.finish()),
            Slot::Timestamp(builder) => Arc::new(builder.finish()),
            Slot::Interval(builder) => Arc::new(builder.finish()),
            Slot::Uuid(builder) => Arc::new(builder.finish()),
            Slot::Oid(builder) => Arc::new(builder.finish()),
            Slot::Enum(_, builder) => Arc::new(builder.finish()),
            Slot::Void(rows) => Arc::new(NullArray::new(std::mem::take(rows))),
            Slot::Vector(vectors) => vectors.finish(&self.kind.arrow()),
            Slot::Halfvec(vectors) => vectors.finish(&self.kind.arrow()),
            Slot::Sparsevec(builder) | Slot::Bit(builder) | Slot::Timetz(builder) => {
                Arc::new(builder.finish())
            }
            Slot::List { element, rows } => {
                let values = element.finish();
                list_array(&self.kind.arrow(), values, rows)
            }
        }
    }
}

fn sparse_dims(kind: &PgType) -> Option<u32> {
    match kind {
        PgType::Sparsevec(dims) => *dims,
        _ => None,
    }
}
