//! pgvector's functions and operators beside distances.

use crate::{
    error::{Error, Result, SqlState},
    pgtype::vector::check_dims,
    sql::functions::{
        call::{Arguments, Body},
        vector::{Builder, Vectors},
    },
};
use arrow::array::{ArrayRef, AsArray, BooleanArray, Float64Array, Int32Array};
use std::{cmp::Ordering, sync::Arc};

/// `inner_product(a, b)`.
pub(crate) fn inner_product(args: &Arguments<'_>) -> Result<ArrayRef> {
    let (a, b) = both(args)?;
    let rows = (0..args.rows).map(|row| {
        let (Some(a), Some(b)) = (a.row(row), b.row(row)) else { return Ok(None) };
        same_dims(a, b)?;
        Ok(Some(-super::distance::distance(crate::vector::Metric::InnerProduct, a, b)))
    });
    Ok(Arc::new(rows.collect::<Result<Float64Array>>()?))
}

/// `vector_dims(v)`.
pub(crate) fn dims(args: &Arguments<'_>) -> Result<ArrayRef> {
    let vectors = Vectors::new(&args.arrays[0])?;
    let rows = (0..args.rows).map(|row| vectors.row(row).and_then(|v| i32::try_from(v.len()).ok()));
    Ok(Arc::new(rows.collect::<Int32Array>()))
}

/// `vector_norm(v)`.
pub(crate) fn norm(args: &Arguments<'_>) -> Result<ArrayRef> {
    let vectors = Vectors::new(&args.arrays[0])?;
    let rows = (0..args.rows).map(|row| vectors.row(row).map(length));
    Ok(Arc::new(rows.collect::<Float64Array>()))
}

/// `l2_normalize(v)`; a zero vector stays one.
pub(crate) fn normalize(args: &Arguments<'_>) -> Result<ArrayRef> {
    map(args, |vector| {
        let norm = length(vector);
        if norm == 0.0 {
            return Ok(vector.to_vec());
        }
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a vector's elements are single precision"
        )]
        let normalised = vector.iter().map(|&x| (f64::from(x) / norm) as f32).collect();
        Ok(normalised)
    })
}

/// `subvector(v, start, count)`.
pub(crate) fn subvector(args: &Arguments<'_>) -> Result<ArrayRef> {
    let vectors = Vectors::new(&args.arrays[0])?;
    let start = args.arrays[1].as_primitive::<arrow::datatypes::Int32Type>();
    let count = args.arrays[2].as_primitive::<arrow::datatypes::Int32Type>();
    let mut out = Builder::new(None);
    for row in 0..args.rows {
        let (Some(vector), false) = (vectors.row(row), args.is_null(row)) else {
            out.push_null();
            continue;
        };
        let count = i64::from(count.value(row));
        if count < 1 {
            return Err(Error::new(
                SqlState::DATA_EXCEPTION,
                "vector must have at least 1 dimension",
            ));
        }
        let first = i64::from(start.value(row));
        let end = (first + count).clamp(1, i64::try_from(vector.len()).unwrap_or(0) + 1);
        let first = first.clamp(1, end);
        let range = usize::try_from(first - 1).unwrap_or(0)..usize::try_from(end - 1).unwrap_or(0);
        check_dims(range.len())?;
        out.push(&vector[range])?;
    }
    Ok(out.finish())
}

/// `a || b`.
pub(crate) fn concat(args: &Arguments<'_>) -> Result<ArrayRef> {
    zip(args, |a, b| {
        check_dims(a.len() + b.len())?;
        Ok([a, b].concat())
    })
}

/// `+`, `-` and `*`, element by element.
pub(crate) fn operator(op: &str) -> Option<Body> {
    fn each(args: &Arguments<'_>, f: fn(f32, f32) -> f32) -> Result<ArrayRef> {
        zip(args, |a, b| {
            same_dims(a, b)?;
            a.iter().zip(b).map(|(&x, &y)| finite(f(x, y))).collect()
        })
    }
    Some(match op {
        "+" => |args| each(args, |x, y| x + y),
        "-" => |args| each(args, |x, y| x - y),
        "*" => |args| each(args, |x, y| x * y),
        _ => return None,
    })
}

fn finite(value: f32) -> Result<f32> {
    if value.is_finite() {
        return Ok(value);
    }
    Err(Error::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "value out of range: overflow"))
}

macro_rules! comparisons {
    ($($name:ident, $what:literal: $test:expr;)*) => {$(
        #[doc = $what]
        pub(crate) fn $name(args: &Arguments<'_>) -> Result<ArrayRef> {
            let (a, b) = both(args)?;
            let test: fn(Ordering) -> bool = $test;
            let rows = (0..args.rows).map(|row| Some(test(compare(a.row(row)?, b.row(row)?))));
            Ok(Arc::new(rows.collect::<BooleanArray>()))
        }
    )*};
}

comparisons! {
    equal, "`a = b`.": |order| order == Ordering::Equal;
    not_equal, "`a <> b`.": |order| order != Ordering::Equal;
    less, "`a < b`.": |order| order == Ordering::Less;
    less_or_equal, "`a <= b`.": |order| order != Ordering::Greater;
    greater, "`a > b`.": |order| order == Ordering::Greater;
    greater_or_equal, "`a >= b`.": |order| order != Ordering::Less;
}

/// Element by element, then by length.
fn compare(a: &[f32], b: &[f32]) -> Ordering {
    let first = a.iter().zip(b).map(|(x, y)| x.partial_cmp(y).unwrap_or(Ordering::Equal));
    first.into_iter().find(|order| order.is_ne()).unwrap_or_else(|| a.len().cmp(&b.len()))
}

fn length(vector: &[f32]) -> f64 {
    vector.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt()
}

pub(crate) fn same_dims(a: &[f32], b: &[f32]) -> Result<()> {
    if a.len() == b.len() {
        return Ok(());
    }
    Err(Error::new(
        SqlState::DATA_EXCEPTION,
        format!("different vector dimensions {} and {}", a.len(), b.len()),
    ))
}

fn both<'a>(args: &'a Arguments<'_>) -> Result<(Vectors<'a>, Vectors<'a>)> {
    Ok((Vectors::new(&args.arrays[0])?, Vectors::new(&args.arrays[1])?))
}

fn map(args: &Arguments<'_>, f: impl Fn(&[f32]) -> Result<Vec<f32>>) -> Result<ArrayRef> {
    let vectors = Vectors::new(&args.arrays[0])?;
    let mut out = Builder::new(None);
    for row in 0..args.rows {
        match vectors.row(row) {
            Some(vector) => out.push(&f(vector)?)?,
            None => out.push_null(),
        }
    }
    Ok(out.finish())
}

fn zip(args: &Arguments<'_>, f: impl Fn(&[f32], &[f32]) -> Result<Vec<f32>>) -> Result<ArrayRef> {
    let (a, b) = both(args)?;
    let mut out = Builder::new(None);
    for row in 0..args.rows {
        match (a.row(row), b.row(row)) {
            (Some(a), Some(b)) => out.push(&f(a, b)?)?,
            _ => out.push_null(),
        }
    }
    Ok(out.finish())
}
