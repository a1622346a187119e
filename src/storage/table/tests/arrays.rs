//! Random columns of every type.

use super::{ColumnSpec, spec};
use crate::pgtype::PgType;
use arrow::{
    array::{
        ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, FixedSizeBinaryArray,
        FixedSizeListArray, Float16Array, Float32Array, Float64Array, Int16Array, Int32Array,
        Int64Array, IntervalMonthDayNanoArray, ListArray, NullArray, StringArray,
        Time64MicrosecondArray, TimestampMicrosecondArray, UInt32Array,
    },
    buffer::{NullBuffer, OffsetBuffer},
    datatypes::{DataType, IntervalMonthDayNano},
};
use rand::{Rng, SeedableRng, rngs::SmallRng};
use std::sync::Arc;

/// A column of every type, with and without modifiers, and of every array.
pub(super) fn columns() -> Vec<ColumnSpec> {
    let with_modifiers = [
        PgType::Numeric(Some((5, 2))),
        PgType::Numeric(Some((18, 4))),
        PgType::Numeric(Some((38, 0))),
        PgType::Varchar(Some(20)),
        PgType::Vector(Some(1)),
        PgType::Vector(Some(3)),
        PgType::Vector(Some(3000)),
        PgType::Halfvec(Some(3)),
        PgType::Halfvec(Some(3000)),
    ];
    let scalars = PgType::SCALARS.iter().cloned().chain(with_modifiers);
    let kinds: Vec<PgType> = scalars.flat_map(|kind| [kind.clone(), kind.array()]).collect();
    // Arrays of wide vectors say nothing that arrays of narrow ones do not.
    let wide = [PgType::Vector(Some(3000)).array(), PgType::Halfvec(Some(3000)).array()];
    let is_wide = |kind: &PgType| wide.contains(kind);
    (1..).zip(kinds).filter(|(_, kind)| !is_wide(kind)).map(|(id, kind)| spec(id, kind)).collect()
}

/// Vectors of one value each; `None` is NULL.
pub(super) fn vectors(rows: usize, dims: usize, value: impl Fn(usize) -> Option<f32>) -> ArrayRef {
    let values = (0..rows).flat_map(|row| vec![value(row).unwrap_or_default(); dims]);
    let values: Float32Array = Float32Array::from_iter_values(values);
    let nulls: NullBuffer = (0..rows).map(|row| value(row).is_some()).collect::<Vec<_>>().into();
    let DataType::FixedSizeList(element, size) = PgType::Vector(u16::try_from(dims).ok()).arrow()
    else {
        panic!("a vector is a list of a fixed size");
    };
    let nulls = Some(nulls).filter(|nulls| nulls.null_count() > 0);
    Arc::new(FixedSizeListArray::new(element, size, Arc::new(values), nulls))
}

/// Rows of these columns, of which `nulls` thirds are NULL.
pub(super) fn random(columns: &[ColumnSpec], rows: usize, nulls: u8, seed: u64) -> Vec<ArrayRef> {
    let mut rng = SmallRng::seed_from_u64(seed);
    columns.iter().map(|spec| array(&spec.kind.arrow(), rows, nulls, &mut rng)).collect()
}

fn array(kind: &DataType, rows: usize, nulls: u8, rng: &mut SmallRng) -> ArrayRef {
    macro_rules! values {
        ($array:ty, $value:expr) => {
            values!($array, $value, |array| array)
        };
        ($array:ty, $value:expr, $finish:expr) => {{
            let mut values = Vec::new();
            for _ in 0..rows {
                let is_null = rng.random_range(0..3) < nulls;
                values.push((!is_null).then(|| $value(&mut *rng)));
            }
            let finish: fn($array) -> $array = $finish;
            Arc::new(finish(values.into_iter().collect::<$array>())) as ArrayRef
        }};
    }
    match kind {
        DataType::Null => Arc::new(NullArray::new(rows)),
        DataType::Boolean => values!(BooleanArray, |r: &mut SmallRng| r.random::<bool>()),
        DataType::Int16 => values!(Int16Array, |r: &mut SmallRng| r.random::<i16>()),
        DataType::Int32 => values!(Int32Array, |r: &mut SmallRng| r.random::<i32>()),
        DataType::Int64 => values!(Int64Array, |r: &mut SmallRng| r.random::<i64>()),
        DataType::UInt32 => values!(UInt32Array, |r: &mut SmallRng| r.random::<u32>()),
        DataType::Date32 => values!(Date32Array, |r: &mut SmallRng| r.random::<i32>()),
        DataType::Time64(_) => {
            values!(Time64MicrosecondArray, |r: &mut SmallRng| r.random_range(0..86_400_000_000))
        }
        DataType::Timestamp(_, None) => {
            values!(TimestampMicrosecondArray, |r: &mut SmallRng| r.random::<i64>())
        }
        DataType::Timestamp(_, Some(_)) => {
            values!(TimestampMicrosecondArray, |r: &mut SmallRng| r.random::<i64>(), |array| array
                .with_timezone("UTC"))
        }
        DataType::Float16 => {
            values!(Float16Array, |r: &mut SmallRng| half::f16::from_bits(r.random()))
        }
        DataType::Float32 => values!(Float32Array, float),
        DataType::Float64 => values!(Float64Array, |r: &mut SmallRng| f64::from(float(r)) / 3.0),
        DataType::Decimal128(precision, scale) => {
            let bound = 10_i128.pow(u32::from(*precision));
            let mut values = Vec::new();
            for _ in 0..rows {
                let value = rng.random_range(-bound + 1..bound);
                values.push((rng.random_range(0..3) >= nulls).then_some(value));
            }
            let array = Decimal128Array::from(values);
            Arc::new(array.with_precision_and_scale(*precision, *scale).unwrap())
        }
        DataType::Utf8 => values!(StringArray, text),
        DataType::Binary => values!(BinaryArray, |r: &mut SmallRng| {
            let length = r.random_range(0..9);
            (0..length).map(|_| r.random()).collect::<Vec<u8>>()
        }),
        DataType::Interval(_) => values!(IntervalMonthDayNanoArray, |r: &mut SmallRng| {
            IntervalMonthDayNano::new(r.random(), r.random(), r.random())
        }),
        DataType::FixedSizeBinary(size) => {
            let mut values = Vec::new();
            for _ in 0..rows {
                let bytes: Vec<u8> = (0..*size).map(|_| rng.random()).collect();
                values.push((rng.random_range(0..3) >= nulls).then_some(bytes));
            }
            let values = values.into_iter();
            Arc::new(FixedSizeBinaryArray::try_from_sparse_iter_with_size(values, *size).unwrap())
        }
        DataType::FixedSizeList(element, size) => {
            let length = rows * usize::try_from(*size).unwrap();
            let values = array(element.data_type(), length, 0, rng);
            let nulls = validity(rows, nulls, rng);
            Arc::new(FixedSizeListArray::new(Arc::clone(element), *size, values, nulls))
        }
        DataType::List(element) => {
            let nulls = validity(rows, nulls, rng);
            let length = |row: usize| {
                if nulls.as_ref().is_some_and(|n| n.is_null(row)) {
                    0
                } else {
                    rng.random_range(0..4)
                }
            };
            let lengths: Vec<usize> = (0..rows).map(length).collect();
            let inner = if element.is_nullable() { 1 } else { 0 };
            let values = array(element.data_type(), lengths.iter().sum(), inner, rng);
            let offsets = OffsetBuffer::from_lengths(lengths);
            Arc::new(ListArray::new(Arc::clone(element), offsets, values, nulls))
        }
        other => panic!("no random values of {other}"),
    }
}

fn validity(rows: usize, nulls: u8, rng: &mut SmallRng) -> Option<NullBuffer> {
    let valid: Vec<bool> = (0..rows).map(|_| rng.random_range(0..3) >= nulls).collect();
    (nulls > 0).then(|| valid.into())
}

fn float(rng: &mut SmallRng) -> f32 {
    match rng.random_range(0..6) {
        0 => -0.0,
        1 => f32::NAN,
        2 => f32::NEG_INFINITY,
        3 => f32::MIN_POSITIVE / 3.0,
        _ => rng.random(),
    }
}

fn text(rng: &mut SmallRng) -> String {
    let length = rng.random_range(0..80);
    let alphabet = ['a', 'z', ' ', '\'', 'é', '漢', '🦀', '\n'];
    (0..length).map(|_| alphabet[rng.random_range(0..alphabet.len())]).collect()
}
