//! How a column lies in Parquet: as itself, where Parquet has the type, else as bytes.
//!
//! | type | in Parquet |
//! |---|---|
//! | `vector(n)` | FIXED_LEN_BYTE_ARRAY(4n): n little-endian floats |
//! | `halfvec(n)` | FIXED_LEN_BYTE_ARRAY(2n): n little-endian floats of half precision |
//! | `interval` | FIXED_LEN_BYTE_ARRAY(16): months i32, days i32, nanoseconds i64, little-endian |
//! | `void` | BOOLEAN, always NULL |
//! | all else | as arrow-rs maps it |
//!
//! Arrays are lists of the same. [`restore`] gives back exactly what [`store`] was given, by the
//! type that the caller knows; what the file says of Arrow types is not relied on.

use crate::error::{Error, Result};
use arrow::{
    array::{
        Array, ArrayRef, AsArray, FixedSizeBinaryArray, FixedSizeListArray, Float16Array,
        Float32Array, IntervalMonthDayNanoArray, ListArray, NullArray, new_null_array,
    },
    buffer::{Buffer, NullBuffer},
    datatypes::{
        DataType, Field, Float16Type, Float32Type, IntervalMonthDayNano, IntervalMonthDayNanoType,
        IntervalUnit,
    },
};
use half::f16;
use std::sync::Arc;

/// Bytes of a stored interval.
const INTERVAL_BYTES: i32 = 16;

/// How many bytes a vector of a column takes; `None` for any other type.
pub(super) fn vector_bytes(kind: &DataType) -> Option<usize> {
    match kind {
        DataType::FixedSizeList(element, dims) => {
            let width = match element.data_type() {
                DataType::Float32 => 4,
                DataType::Float16 => 2,
                _ => return None,
            };
            usize::try_from(*dims).ok().map(|dims| dims * width)
        }
        _ => None,
    }
}

fn stored_bytes(kind: &DataType) -> Option<i32> {
    vector_bytes(kind).and_then(|bytes| i32::try_from(bytes).ok())
}

/// The Arrow type under which a column of type `kind` is given to Parquet.
pub(super) fn stored_type(kind: &DataType) -> DataType {
    match kind {
        DataType::FixedSizeList(..) => match stored_bytes(kind) {
            Some(bytes) => DataType::FixedSizeBinary(bytes),
            None => kind.clone(),
        },
        DataType::Interval(IntervalUnit::MonthDayNano) => DataType::FixedSizeBinary(INTERVAL_BYTES),
        DataType::Null => DataType::Boolean,
        DataType::List(element) => DataType::List(Arc::new(stored_element(element))),
        other => other.clone(),
    }
}

fn stored_element(element: &Field) -> Field {
    Field::new("element", stored_type(element.data_type()), element.is_nullable())
}

/// A column as Parquet gets it.
pub(super) fn store(array: &ArrayRef) -> Result<ArrayRef> {
    let kind = array.data_type();
    Ok(match kind {
        DataType::FixedSizeList(..) if let Some(width) = stored_bytes(kind) => {
            let list = array.as_fixed_size_list();
            let values = list.values();
            let is_partly_null = |row| list.is_valid(row) && list.value(row).null_count() > 0;
            if values.null_count() > 0 && (0..list.len()).any(is_partly_null) {
                return Err(Error::internal("a vector with a NULL element cannot be stored"));
            }
            let mut bytes = Vec::with_capacity(list.len() * vector_bytes(kind).unwrap_or(0));
            if let Some(values) = values.as_primitive_opt::<Float16Type>() {
                values.values().iter().for_each(|x| bytes.extend_from_slice(&x.to_le_bytes()));
            } else {
                let values = values.as_primitive::<Float32Type>();
                values.values().iter().for_each(|x| bytes.extend_from_slice(&x.to_le_bytes()));
            }
            let nulls = list.nulls().cloned();
            Arc::new(FixedSizeBinaryArray::try_new(width, Buffer::from_vec(bytes), nulls)?)
        }
        DataType::Interval(IntervalUnit::MonthDayNano) => {
            let intervals = array.as_primitive::<IntervalMonthDayNanoType>();
            let bytes: Vec<u8> = intervals.values().iter().flat_map(interval_bytes).collect();
            let nulls = intervals.nulls().cloned();
            Arc::new(FixedSizeBinaryArray::try_new(INTERVAL_BYTES, Buffer::from_vec(bytes), nulls)?)
        }
        DataType::Null => new_null_array(&DataType::Boolean, array.len()),
        DataType::List(element) => {
            let list = array.as_list::<i32>();
            Arc::new(ListArray::try_new(
                Arc::new(stored_element(element)),
                list.offsets().clone(),
                store(list.values())?,
                list.nulls().cloned(),
            )?)
        }
        _ => Arc::clone(array),
    })
}

/// A column of type `kind`, from what Parquet gave.
pub(super) fn restore(stored: &ArrayRef, kind: &DataType) -> Result<ArrayRef> {
    if *stored.data_type() != stored_type(kind) && !matches!(kind, DataType::List(_)) {
        return Err(Error::internal(format!(
            "a stored column has type {}, not {kind}",
            stored.data_type()
        )));
    }
    Ok(match kind {
        DataType::FixedSizeList(..) if vector_bytes(kind).is_some() => {
            let bytes = stored.as_fixed_size_binary();
            vectors(kind, bytes.value_data(), bytes.nulls().cloned())?
        }
        DataType::Interval(IntervalUnit::MonthDayNano) => {
            let bytes = stored.as_fixed_size_binary();
            let (values, _) = bytes.value_data().as_chunks::<16>();
            let values: Vec<_> = values.iter().map(interval).collect();
            let nulls = bytes.nulls().cloned();
            Arc::new(IntervalMonthDayNanoArray::try_new(values.into(), nulls)?)
        }
        DataType::Null => Arc::new(NullArray::new(stored.len())),
        DataType::List(element) => {
            let Some(list) = stored.as_list_opt::<i32>() else {
                return Err(Error::internal(format!("a stored column is no list but {kind}")));
            };
            Arc::new(ListArray::try_new(
                Arc::clone(element),
                list.offsets().clone(),
                restore(list.values(), element.data_type())?,
                list.nulls().cloned(),
            )?)
        }
        _ => Arc::clone(stored),
    })
}

/// The column of a vector type whose elements these bytes are; vectors that are NULL have theirs.
pub(super) fn vectors(
    kind: &DataType,
    bytes: &[u8],
    nulls: Option<NullBuffer>,
) -> Result<ArrayRef> {
    let DataType::FixedSizeList(element, dims) = kind else {
        return Err(Error::internal(format!("{kind} is no vector")));
    };
    let values: ArrayRef = if *element.data_type() == DataType::Float16 {
        let (values, _) = bytes.as_chunks::<2>();
        Arc::new(Float16Array::from_iter_values(values.iter().map(|&x| f16::from_le_bytes(x))))
    } else {
        let (values, _) = bytes.as_chunks::<4>();
        Arc::new(Float32Array::from_iter_values(values.iter().map(|&x| f32::from_le_bytes(x))))
    };
    Ok(Arc::new(FixedSizeListArray::try_new(Arc::clone(element), *dims, values, nulls)?))
}

fn interval_bytes(value: &IntervalMonthDayNano) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..4].copy_from_slice(&value.months.to_le_bytes());
    bytes[4..8].copy_from_slice(&value.days.to_le_bytes());
    bytes[8..].copy_from_slice(&value.nanoseconds.to_le_bytes());
    bytes
}

fn interval(bytes: &[u8; 16]) -> IntervalMonthDayNano {
    let all = i128::from_le_bytes(*bytes);
    #[expect(clippy::cast_possible_truncation, reason = "each takes its own bits")]
    IntervalMonthDayNano::new(all as i32, (all >> 32) as i32, (all >> 64) as i64)
}
