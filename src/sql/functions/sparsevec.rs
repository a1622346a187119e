//! pgvector's functions of sparse vectors, and the arithmetic of their distances.

use crate::{
    error::{Error, Result, SqlState},
    pgtype::sparsevec::{Sparse, entries},
    sql::functions::{call::Arguments, dense::cosine},
    vector::Metric,
};
use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, Float64Array};
use std::sync::Arc;

/// How far a sparse vector, as a column carries it, is from another of the same dimensions.
///
/// # Panics
/// For the metrics of bit strings.
#[must_use]
pub(crate) fn distance(metric: Metric, carried: &[u8], to: &Sparse) -> f64 {
    match metric {
        Metric::L2 => f64::from(sum(carried, to, |x, y| (x - y) * (x - y))).sqrt(),
        Metric::InnerProduct => -f64::from(sum(carried, to, |x, y| x * y)),
        Metric::L1 => f64::from(sum(carried, to, |x, y| (x - y).abs())),
        Metric::Cosine => {
            let dot = f64::from(sum(carried, to, |x, y| x * y));
            let own: f32 = entries(carried).map(|(_, x)| x * x).sum();
            let other: f32 = to.values.iter().map(|x| x * x).sum();
            cosine(dot, f64::from(own) * f64::from(other))
        }
        Metric::Hamming | Metric::Jaccard => unreachable!("{metric} is between bit strings"),
    }
}

/// The sum of what two elements at one index make, where either is not zero.
fn sum(carried: &[u8], to: &Sparse, term: impl Fn(f32, f32) -> f32) -> f32 {
    let mut sum = 0.0;
    let mut at = 0;
    for (index, x) in entries(carried) {
        while let Some(&other) = to.indices.get(at)
            && other < index
        {
            sum += term(0.0, to.values[at]);
            at += 1;
        }
        if to.indices.get(at) == Some(&index) {
            sum += term(x, to.values[at]);
            at += 1;
        } else {
            sum += term(x, 0.0);
        }
    }
    to.values[at..].iter().fold(sum, |sum, &y| sum + term(0.0, y))
}

fn norm(carried: &[u8]) -> f64 {
    // The sum of nothing is -0.
    entries(carried).fold(0.0, |sum, (_, x)| sum + f64::from(x) * f64::from(x)).sqrt()
}

/// `l2_norm(v)`.
pub(crate) fn l2_norm(args: &Arguments<'_>) -> Result<ArrayRef> {
    let vectors = args.arrays[0].as_binary::<i32>();
    Ok(Arc::new(vectors.iter().map(|v| v.map(norm)).collect::<Float64Array>()))
}

/// `l2_normalize(v)`; a zero vector stays one.
pub(crate) fn normalize(args: &Arguments<'_>) -> Result<ArrayRef> {
    let vectors = args.arrays[0].as_binary::<i32>();
    let rows = vectors.iter().map(|carried| {
        let Some(carried) = carried else { return Ok(None) };
        let norm = norm(carried);
        let mut made = Sparse::of_carried(carried);
        if norm > 0.0 {
            let elements = std::mem::take(&mut made.values).into_iter();
            let indices = std::mem::take(&mut made.indices).into_iter();
            for (index, value) in indices.zip(elements) {
                #[expect(
                    clippy::cast_possible_truncation,
                    reason = "a vector's elements are single precision"
                )]
                let value = (f64::from(value) / norm) as f32;
                if value.is_infinite() {
                    return Err(overflow());
                }
                // What became zero is no longer there.
                if value != 0.0 {
                    made.indices.push(index);
                    made.values.push(value);
                }
            }
        }
        Ok(Some(made.carried()))
    });
    let rows = rows.collect::<Result<Vec<_>>>()?;
    Ok(Arc::new(BinaryArray::from_iter(rows)))
}

/// `inner_product(a, b)` and `sparsevec_l2_squared_distance(a, b)` are distances without their last
/// step.
pub(crate) fn inner_product(args: &Arguments<'_>) -> Result<ArrayRef> {
    pairs(args, |a, b| f64::from(sum(a, b, |x, y| x * y)))
}

/// `sparsevec_l2_squared_distance(a, b)`.
pub(crate) fn l2_squared(args: &Arguments<'_>) -> Result<ArrayRef> {
    pairs(args, |a, b| f64::from(sum(a, b, |x, y| (x - y) * (x - y))))
}

fn pairs(args: &Arguments<'_>, each: impl Fn(&[u8], &Sparse) -> f64) -> Result<ArrayRef> {
    let (a, b) = (args.arrays[0].as_binary::<i32>(), args.arrays[1].as_binary::<i32>());
    let rows = (0..args.rows).map(|row| {
        if a.is_null(row) || b.is_null(row) {
            return Ok(None);
        }
        let dims = crate::pgtype::sparsevec::dims(a.value(row)) as usize;
        let other = Sparse::of_carried(b.value(row));
        if dims != other.dims as usize {
            let right = other.dims as usize;
            return Err(crate::pgtype::vector::different_dimensions("sparsevec", dims, right));
        }
        Ok(Some(each(a.value(row), &other)))
    });
    Ok(Arc::new(rows.collect::<Result<Float64Array>>()?))
}

/// 22003, in PostgreSQL's words.
pub(crate) fn overflow() -> Error {
    Error::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "value out of range: overflow")
}
