//! pgvector's functions and operators of dense vectors beside distances, for `vector` and `halfvec`.

use crate::{
    error::{Error, Result, SqlState},
    pgtype::{
        bit::Bits,
        vector::{Element, check_dims, fault},
    },
    sql::functions::{
        call::{Arguments, Body},
        dense::{check_same, distance},
        sparsevec::overflow,
        vector::{Builder, Vectors},
    },
    vector::Metric,
};
use arrow::{
    array::{ArrayRef, AsArray, BinaryArray, BooleanArray, Float64Array, Int32Array},
    datatypes::Int32Type,
};
use std::{cmp::Ordering, sync::Arc};

/// `inner_product(a, b)`.
pub(crate) fn inner_product<T: Element>(args: &Arguments<'_>) -> Result<ArrayRef> {
    pairs::<T>(args, |a, b| -distance(Metric::InnerProduct, a, b))
}

/// `vector_l2_squared_distance(a, b)`.
pub(crate) fn l2_squared<T: Element>(args: &Arguments<'_>) -> Result<ArrayRef> {
    pairs::<T>(args, |a, b| {
        let squares = a.iter().zip(b).map(|(x, y)| (x.real() - y.real()).powi(2));
        f64::from(squares.sum::<f32>())
    })
}

/// `vector_spherical_distance(a, b)`: the angle between unit vectors, as a share of a half turn.
pub(crate) fn spherical<T: Element>(args: &Arguments<'_>) -> Result<ArrayRef> {
    pairs::<T>(args, |a, b| {
        let dot = -distance(Metric::InnerProduct, a, b);
        dot.clamp(-1.0, 1.0).acos() / std::f64::consts::PI
    })
}

fn pairs<T: Element>(args: &Arguments<'_>, each: impl Fn(&[T], &[T]) -> f64) -> Result<ArrayRef> {
    let (a, b) = both::<T>(args)?;
    let rows = (0..args.rows).map(|row| {
        let (Some(a), Some(b)) = (a.row(row), b.row(row)) else { return Ok(None) };
        check_same(a, b)?;
        Ok(Some(each(a, b)))
    });
    Ok(Arc::new(rows.collect::<Result<Float64Array>>()?))
}

/// `vector_dims(v)`.
pub(crate) fn dims<T: Element>(args: &Arguments<'_>) -> Result<ArrayRef> {
    let vectors = Vectors::<T>::new(&args.arrays[0])?;
    let rows = (0..args.rows).map(|row| vectors.row(row).and_then(|v| i32::try_from(v.len()).ok()));
    Ok(Arc::new(rows.collect::<Int32Array>()))
}

/// `vector_norm(v)` and `l2_norm(v)`.
pub(crate) fn norm<T: Element>(args: &Arguments<'_>) -> Result<ArrayRef> {
    let vectors = Vectors::<T>::new(&args.arrays[0])?;
    let rows = (0..args.rows).map(|row| vectors.row(row).map(length));
    Ok(Arc::new(rows.collect::<Float64Array>()))
}

/// `l2_normalize(v)`; a zero vector stays one.
pub(crate) fn normalize<T: Element>(args: &Arguments<'_>) -> Result<ArrayRef> {
    map::<T>(args, |vector| {
        let norm = length(vector);
        if norm == 0.0 {
            return Ok(vector.to_vec());
        }
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a vector's elements are at most single precision"
        )]
        let shorter = |x: &T| T::near((f64::from(x.real()) / norm) as f32);
        vector.iter().map(|x| finite(shorter(x))).collect()
    })
}

/// `subvector(v, start, count)`.
pub(crate) fn subvector<T: Element>(args: &Arguments<'_>) -> Result<ArrayRef> {
    let vectors = Vectors::<T>::new(&args.arrays[0])?;
    let start = args.arrays[1].as_primitive::<Int32Type>();
    let count = args.arrays[2].as_primitive::<Int32Type>();
    let mut out = Builder::new(None);
    for row in 0..args.rows {
        let (Some(vector), false) = (vectors.row(row), args.is_null(row)) else {
            out.push_null();
            continue;
        };
        let count = i64::from(count.value(row));
        if count < 1 {
            return Err(fault(format!("{} must have at least 1 dimension", T::NAME)));
        }
        let first = i64::from(start.value(row));
        let end = (first + count).clamp(1, i64::try_from(vector.len()).unwrap_or(0) + 1);
        let first = first.clamp(1, end);
        let range = usize::try_from(first - 1).unwrap_or(0)..usize::try_from(end - 1).unwrap_or(0);
        check_dims::<T>(range.len())?;
        out.push(&vector[range])?;
    }
    Ok(out.finish())
}

/// `binary_quantize(v)`: a bit for each element, 1 where it is above zero.
pub(crate) fn binary_quantize<T: Element>(args: &Arguments<'_>) -> Result<ArrayRef> {
    let vectors = Vectors::<T>::new(&args.arrays[0])?;
    let rows = (0..args.rows).map(|row| {
        let vector = vectors.row(row)?;
        Some(Bits::collect(vector.iter().map(|x| x.real() > 0.0)).carried())
    });
    Ok(Arc::new(BinaryArray::from_iter(rows)))
}

/// `a || b`.
pub(crate) fn concat<T: Element>(args: &Arguments<'_>) -> Result<ArrayRef> {
    zip::<T>(args, |a, b| {
        check_dims::<T>(a.len() + b.len())?;
        Ok([a, b].concat())
    })
}

/// `a + b`, element by element.
pub(crate) fn add<T: Element>(args: &Arguments<'_>) -> Result<ArrayRef> {
    each::<T>(args, |x, y| finite(T::near(x.real() + y.real())))
}

/// `a - b`, element by element.
pub(crate) fn subtract<T: Element>(args: &Arguments<'_>) -> Result<ArrayRef> {
    each::<T>(args, |x, y| finite(T::near(x.real() - y.real())))
}

/// `a * b`, element by element.
pub(crate) fn multiply<T: Element>(args: &Arguments<'_>) -> Result<ArrayRef> {
    each::<T>(args, |x, y| {
        let product = finite(T::near(x.real() * y.real()))?;
        if product.real() == 0.0 && x.real() != 0.0 && y.real() != 0.0 {
            return Err(Error::new(
                SqlState::NUMERIC_VALUE_OUT_OF_RANGE,
                "value out of range: underflow",
            ));
        }
        Ok(product)
    })
}

/// What `+`, `-` and `*` do.
pub(crate) fn operator<T: Element>(op: &str) -> Option<Body> {
    Some(match op {
        "+" => add::<T>,
        "-" => subtract::<T>,
        "*" => multiply::<T>,
        _ => return None,
    })
}

fn each<T: Element>(args: &Arguments<'_>, f: fn(T, T) -> Result<T>) -> Result<ArrayRef> {
    zip::<T>(args, |a, b| {
        check_same(a, b)?;
        a.iter().zip(b).map(|(&x, &y)| f(x, y)).collect()
    })
}

fn finite<T: Element>(value: T) -> Result<T> {
    if value.is_infinite() { Err(overflow()) } else { Ok(value) }
}

macro_rules! comparisons {
    ($($name:ident, $what:literal: $test:expr;)*) => {$(
        #[doc = $what]
        pub(crate) fn $name<T: Element>(args: &Arguments<'_>) -> Result<ArrayRef> {
            let (a, b) = both::<T>(args)?;
            let test: fn(Ordering) -> bool = $test;
            let rows = (0..args.rows).map(|row| Some(test(order(a.row(row)?, b.row(row)?))));
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

/// What a comparison does.
pub(crate) fn comparison<T: Element>(op: &str) -> Body {
    match op {
        "=" => equal::<T>,
        "<>" => not_equal::<T>,
        "<" => less::<T>,
        "<=" => less_or_equal::<T>,
        ">" => greater::<T>,
        _ => greater_or_equal::<T>,
    }
}

/// `vector_cmp(a, b)`: -1, 0 or 1.
pub(crate) fn compare<T: Element>(args: &Arguments<'_>) -> Result<ArrayRef> {
    let (a, b) = both::<T>(args)?;
    let rows = (0..args.rows).map(|row| Some(order(a.row(row)?, b.row(row)?) as i32));
    Ok(Arc::new(rows.collect::<Int32Array>()))
}

/// Element by element, then by length.
fn order<T: Element>(a: &[T], b: &[T]) -> Ordering {
    let mut first = a.iter().zip(b).map(|(x, y)| x.partial_cmp(y).unwrap_or(Ordering::Equal));
    first.find(|order| order.is_ne()).unwrap_or_else(|| a.len().cmp(&b.len()))
}

fn length<T: Element>(vector: &[T]) -> f64 {
    vector.iter().map(|x| f64::from(x.real()) * f64::from(x.real())).sum::<f64>().sqrt()
}

fn both<'a, T: Element>(args: &'a Arguments<'_>) -> Result<(Vectors<'a, T>, Vectors<'a, T>)> {
    Ok((Vectors::new(&args.arrays[0])?, Vectors::new(&args.arrays[1])?))
}

fn map<T: Element>(args: &Arguments<'_>, f: impl Fn(&[T]) -> Result<Vec<T>>) -> Result<ArrayRef> {
    let vectors = Vectors::<T>::new(&args.arrays[0])?;
    let mut out = Builder::new(None);
    for row in 0..args.rows {
        match vectors.row(row) {
            Some(vector) => out.push(&f(vector)?)?,
            None => out.push_null(),
        }
    }
    Ok(out.finish())
}

fn zip<T: Element>(
    args: &Arguments<'_>,
    f: impl Fn(&[T], &[T]) -> Result<Vec<T>>,
) -> Result<ArrayRef> {
    let (a, b) = both::<T>(args)?;
    let mut out = Builder::new(None);
    for row in 0..args.rows {
        match (a.row(row), b.row(row)) {
            (Some(a), Some(b)) => out.push(&f(a, b)?)?,
            _ => out.push_null(),
        }
    }
    Ok(out.finish())
}
