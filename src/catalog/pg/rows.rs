//! Makes the rows of a relation column by column: each column is one function of a row.
//!
//! A column that nobody sets is NULL; where NULL is refused it holds what PostgreSQL's catalogs
//! have for nothing: `false`, 0, the empty text.

use super::SystemRelation;
use crate::{
    error::{Error, Result},
    ids::Oid,
    pgtype::PgType,
};
use arrow::{
    array::{
        ArrayRef, BooleanBuilder, ListBuilder, PrimitiveBuilder, RecordBatch, RecordBatchOptions,
        StringBuilder, new_null_array,
    },
    datatypes::{
        ArrowPrimitiveType, DataType, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type,
        IntervalMonthDayNanoType, TimeUnit, TimestampMicrosecondType, UInt32Type,
    },
};
use std::{borrow::Cow, sync::Arc};

/// One value of one column, before it is put in the column's own type.
#[derive(Debug, Clone)]
pub(crate) enum Value<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(Cow<'a, str>),
    Ints(Vec<i64>),
    Texts(Vec<String>),
}

macro_rules! value_from {
    ($($source:ty, $value:pat => $made:expr;)*) => {$(
        impl From<$source> for Value<'_> {
            fn from($value: $source) -> Self {
                $made
            }
        }
    )*};
}

value_from! {
    bool, value => Self::Bool(value);
    i16, value => Self::Int(value.into());
    i32, value => Self::Int(value.into());
    i64, value => Self::Int(value);
    u32, value => Self::Int(value.into());
    Oid, Oid(value) => Self::Int(value.into());
    f64, value => Self::Float(value);
    String, value => Self::Text(value.into());
    Vec<i64>, value => Self::Ints(value);
    Vec<Oid>, value => Self::Ints(value.into_iter().map(|id| id.0.into()).collect());
    Vec<String>, value => Self::Texts(value);
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(value: &'a str) -> Self {
        Self::Text(value.into())
    }
}

impl<'a, V: Into<Value<'a>>> From<Option<V>> for Value<'a> {
    fn from(value: Option<V>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// The rows of a relation in the making.
#[derive(Debug)]
pub(super) struct Rows<'r, R> {
    relation: &'static SystemRelation,
    rows: &'r [R],
    columns: Vec<Option<ArrayRef>>,
    error: Option<Error>,
}

impl<'r, R> Rows<'r, R> {
    /// One row of the relation for each of `rows`.
    pub(super) fn of(relation: &'static SystemRelation, rows: &'r [R]) -> Self {
        let columns = vec![None; relation.columns.len()];
        Self { relation, rows, columns, error: None }
    }

    /// Sets a column. A relation without it (kin such as `pg_user` and `pg_shadow` share a
    /// function) stays as it is.
    pub(super) fn set<'v, V: Into<Value<'v>>>(
        mut self,
        name: &str,
        value: impl Fn(&'r R) -> V,
    ) -> Self {
        let Some(place) = self.relation.columns.iter().position(|column| column.name == name)
        else {
            return self;
        };
        let kind = &self.relation.columns[place].kind;
        match array(kind, self.rows.iter().map(|row| value(row).into())) {
            Ok(array) => self.columns[place] = Some(array),
            Err(error) => self.error = self.error.or(Some(error.context(name.to_owned()))),
        }
        self
    }

    /// The rows.
    pub(super) fn finish(self) -> Result<RecordBatch> {
        if let Some(error) = self.error {
            return Err(error);
        }
        let count = self.rows.len();
        let columns = self
            .columns
            .into_iter()
            .zip(&self.relation.columns)
            .map(|(array, column)| match array {
                Some(array) => Ok(array),
                None if column.not_null => nothing(&column.kind, count),
                None => Ok(new_null_array(&column.kind.arrow(), count)),
            })
            .collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        RecordBatch::try_new_with_options(self.relation.schema_ref(), columns, &options)
            .map_err(|error| broken(error).context(self.relation.name))
    }
}

/// A count as a value of a column.
pub(super) fn count(items: usize) -> i64 {
    i64::try_from(items).unwrap_or(i64::MAX)
}

/// The error of rows that do not make a batch.
pub(super) fn broken(error: arrow::error::ArrowError) -> Error {
    Error::internal("rows of a system relation do not fit its columns").source(error)
}

/// A column of what stands for nothing where NULL is refused.
pub(super) fn nothing(kind: &PgType, count: usize) -> Result<ArrayRef> {
    let value = match kind.arrow() {
        DataType::Boolean => Value::Bool(false),
        DataType::Utf8 => Value::Text("".into()),
        DataType::List(_) => Value::Ints(Vec::new()),
        _ => Value::Int(0),
    };
    array(kind, std::iter::repeat_n(value, count))
}

/// A column of a type, from values.
pub(crate) fn array<'v>(
    kind: &PgType,
    values: impl Iterator<Item = Value<'v>>,
) -> Result<ArrayRef> {
    let misfit = || Error::internal(format!("a value does not fit type {kind}"));
    Ok(match kind.arrow() {
        DataType::Boolean => {
            let mut builder = BooleanBuilder::new();
            for value in values {
                builder.append_option(match value {
                    Value::Null => None,
                    Value::Bool(value) => Some(value),
                    _ => return Err(misfit()),
                });
            }
            Arc::new(builder.finish())
        }
        DataType::Utf8 => {
            let mut builder = StringBuilder::new();
            for value in values {
                match value {
                    Value::Null => builder.append_null(),
                    Value::Text(text) => builder.append_value(text),
                    _ => return Err(misfit()),
                }
            }
            Arc::new(builder.finish())
        }
        DataType::Int16 => numbers::<Int16Type>(values, |n| i16::try_from(n).ok(), misfit)?,
        DataType::Int32 => numbers::<Int32Type>(values, |n| i32::try_from(n).ok(), misfit)?,
        DataType::Int64 => numbers::<Int64Type>(values, Some, misfit)?,
        DataType::UInt32 => numbers::<UInt32Type>(values, |n| u32::try_from(n).ok(), misfit)?,
        DataType::Timestamp(TimeUnit::Microsecond, zone) => {
            let times = numbers_builder::<TimestampMicrosecondType>(values, Some, misfit)?;
            let mut times = times;
            Arc::new(times.finish().with_timezone_opt(zone))
        }
        // An interval is told in seconds.
        DataType::Interval(_) => numbers::<IntervalMonthDayNanoType>(
            values,
            |n| Some(IntervalMonthDayNanoType::make_value(0, 0, n.checked_mul(1_000_000_000)?)),
            misfit,
        )?,
        DataType::Float32 =>
        {
            #[expect(clippy::cast_possible_truncation, reason = "a column of real keeps 24 bits")]
            floats::<Float32Type>(values, |n| n as f32, misfit)?
        }
        DataType::Float64 => floats::<Float64Type>(values, |n| n, misfit)?,
        DataType::List(element) => match element.data_type() {
            DataType::Utf8 => {
                let mut builder = ListBuilder::new(StringBuilder::new()).with_field(element);
                for value in values {
                    match value {
                        Value::Null => builder.append_null(),
                        Value::Texts(texts) => {
                            builder.append_value(texts.into_iter().map(Some));
                        }
                        Value::Ints(none) if none.is_empty() => builder.append(true),
                        _ => return Err(misfit()),
                    }
                }
                Arc::new(builder.finish())
            }
            DataType::Int16 => {
                lists::<Int16Type>(element.clone(), values, |n| i16::try_from(n).ok(), misfit)?
            }
            DataType::Int32 => {
                lists::<Int32Type>(element.clone(), values, |n| i32::try_from(n).ok(), misfit)?
            }
            DataType::Int64 => lists::<Int64Type>(element.clone(), values, Some, misfit)?,
            DataType::UInt32 => {
                lists::<UInt32Type>(element.clone(), values, |n| u32::try_from(n).ok(), misfit)?
            }
            _ => nulls(kind, values, misfit)?,
        },
        _ => nulls(kind, values, misfit)?,
    })
}

/// A column of a type of which the catalogs hold no value but NULL.
fn nulls<'v>(
    kind: &PgType,
    values: impl Iterator<Item = Value<'v>>,
    misfit: impl Fn() -> Error,
) -> Result<ArrayRef> {
    let mut count = 0;
    for value in values {
        let Value::Null = value else { return Err(misfit()) };
        count += 1;
    }
    Ok(new_null_array(&kind.arrow(), count))
}

fn numbers<'v, T: ArrowPrimitiveType>(
    values: impl Iterator<Item = Value<'v>>,
    narrow: impl Fn(i64) -> Option<T::Native>,
    misfit: impl Fn() -> Error,
) -> Result<ArrayRef> {
    Ok(Arc::new(numbers_builder::<T>(values, narrow, misfit)?.finish()))
}

fn numbers_builder<'v, T: ArrowPrimitiveType>(
    values: impl Iterator<Item = Value<'v>>,
    narrow: impl Fn(i64) -> Option<T::Native>,
    misfit: impl Fn() -> Error,
) -> Result<PrimitiveBuilder<T>> {
    let mut builder = PrimitiveBuilder::<T>::new();
    for value in values {
        builder.append_option(match value {
            Value::Null => None,
            Value::Int(value) => Some(narrow(value).ok_or_else(&misfit)?),
            _ => return Err(misfit()),
        });
    }
    Ok(builder)
}

fn floats<'v, T: ArrowPrimitiveType>(
    values: impl Iterator<Item = Value<'v>>,
    narrow: impl Fn(f64) -> T::Native,
    misfit: impl Fn() -> Error,
) -> Result<ArrayRef> {
    let mut builder = PrimitiveBuilder::<T>::new();
    for value in values {
        builder.append_option(match value {
            Value::Null => None,
            #[expect(clippy::cast_precision_loss, reason = "counts of rows; an estimate will do")]
            Value::Int(value) => Some(narrow(value as f64)),
            Value::Float(value) => Some(narrow(value)),
            _ => return Err(misfit()),
        });
    }
    Ok(Arc::new(builder.finish()))
}

fn lists<'v, T: ArrowPrimitiveType>(
    element: arrow::datatypes::FieldRef,
    values: impl Iterator<Item = Value<'v>>,
    narrow: impl Fn(i64) -> Option<T::Native>,
    misfit: impl Fn() -> Error,
) -> Result<ArrayRef> {
    let mut builder = ListBuilder::new(PrimitiveBuilder::<T>::new()).with_field(element);
    for value in values {
        match value {
            Value::Null => builder.append_null(),
            Value::Ints(list) => {
                for item in list {
                    builder.values().append_value(narrow(item).ok_or_else(&misfit)?);
                }
                builder.append(true);
            }
            _ => return Err(misfit()),
        }
    }
    Ok(Arc::new(builder.finish()))
}
