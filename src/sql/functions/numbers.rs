//! Functions of numbers beyond arithmetic: hyperbolic and in degrees, logarithms to any base,
//! factorials, what a numeric's scale is.

use super::{
    arithmetic::{division_by_zero, doubles, float, pairs, rescale},
    array::series::{SERIES_MAX, series_too_long},
    call::{Arguments, integers},
};
use crate::{
    error::{Error, Result, SqlState},
    pgtype::PgType,
};
use arrow::{
    array::{Array, ArrayRef, AsArray, Decimal128Array, Float64Array, Int32Array, ListArray},
    buffer::OffsetBuffer,
    datatypes::{DataType, Decimal128Type, Float64Type, Int32Type, Int64Type},
};
use std::sync::Arc;

fn out_of_range(message: &str) -> Error {
    Error::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, message)
}

fn overflow() -> Error {
    out_of_range("value out of range: overflow")
}

fn domain() -> Error {
    out_of_range("input is out of range")
}

/// `sinh(x)`: infinite where it is beyond a double, as PostgreSQL's.
pub(super) fn sinh(args: &Arguments<'_>) -> Result<ArrayRef> {
    doubles(args, |x| Ok(x.sinh()))
}

/// `cosh(x)`
pub(super) fn cosh(args: &Arguments<'_>) -> Result<ArrayRef> {
    doubles(args, |x| Ok(x.cosh()))
}

/// `tanh(x)`
pub(super) fn tanh(args: &Arguments<'_>) -> Result<ArrayRef> {
    doubles(args, |x| Ok(x.tanh()))
}

/// `asinh(x)`
pub(super) fn asinh(args: &Arguments<'_>) -> Result<ArrayRef> {
    // The standard library's is NaN at minus infinity on some targets.
    doubles(args, |x| Ok(if x.is_infinite() { x } else { x.asinh() }))
}

/// `acosh(x)`
pub(super) fn acosh(args: &Arguments<'_>) -> Result<ArrayRef> {
    doubles(args, |x| if x < 1.0 { Err(domain()) } else { Ok(x.acosh()) })
}

/// `atanh(x)`
pub(super) fn atanh(args: &Arguments<'_>) -> Result<ArrayRef> {
    doubles(args, |x| {
        if !(-1.0..=1.0).contains(&x) && !x.is_nan() { Err(domain()) } else { Ok(x.atanh()) }
    })
}

/// `erf(x)`
pub(super) fn erf(args: &Arguments<'_>) -> Result<ArrayRef> {
    doubles(args, |x| Ok(libm::erf(x)))
}

/// `erfc(x)`: what `erf` leaves of 1, exact where that is little.
pub(super) fn erfc(args: &Arguments<'_>) -> Result<ArrayRef> {
    doubles(args, |x| Ok(libm::erfc(x)))
}

/// `gamma(x)`
pub(super) fn gamma(args: &Arguments<'_>) -> Result<ArrayRef> {
    doubles(args, |x| {
        let has_value = x != 0.0 && x != f64::NEG_INFINITY && !(x < 0.0 && x.fract() == 0.0);
        match libm::tgamma(x) {
            _ if x.is_nan() || x == f64::INFINITY => Ok(x),
            made if !has_value || made.is_infinite() => Err(overflow()),
            0.0 => Err(out_of_range("value out of range: underflow")),
            made => Ok(made),
        }
    })
}

/// `lgamma(x)`: the logarithm of the size of gamma.
pub(super) fn lgamma(args: &Arguments<'_>) -> Result<ArrayRef> {
    doubles(args, |x| {
        let made = libm::lgamma(x);
        if made.is_infinite() && !x.is_infinite() { Err(overflow()) } else { Ok(made) }
    })
}

/// `random_normal([mean], [deviation])`: by Box and Muller.
pub(super) fn random_normal(args: &Arguments<'_>) -> Result<ArrayRef> {
    let given = |at: usize, row: usize, otherwise: f64| match args.arrays.get(at) {
        Some(array) => array.as_primitive::<Float64Type>().value(row),
        None => otherwise,
    };
    let rows = (0..args.rows).map(|row| {
        if args.is_null(row) {
            return None;
        }
        // Above 0, so that it has a logarithm.
        let (size, angle) = (1.0 - args.context.random_unit(), args.context.random_unit());
        let normal = (-2.0 * size.ln()).sqrt() * (std::f64::consts::TAU * angle).cos();
        Some(given(0, row, 0.0) + given(1, row, 1.0) * normal)
    });
    Ok(Arc::new(rows.collect::<Float64Array>()))
}

/// `cot(x)`
pub(super) fn cot(args: &Arguments<'_>) -> Result<ArrayRef> {
    doubles(args, |x| if x.is_infinite() { Err(domain()) } else { Ok(1.0 / x.tan()) })
}

// In degrees: exact where the result is, at the multiples of 30 and 45.

fn sine_in_degrees(x: f64) -> f64 {
    let mut x = x % 360.0;
    let mut sign = 1.0;
    if x < 0.0 {
        (x, sign) = (-x, -1.0);
    }
    if x > 180.0 {
        (x, sign) = (360.0 - x, -sign);
    }
    if x > 90.0 {
        x = 180.0 - x;
    }
    sign * first_quadrant_sine(x)
}

fn first_quadrant_sine(x: f64) -> f64 {
    if x <= 30.0 {
        // Scaled so that 30 degrees are a half.
        x.to_radians().sin() / 30_f64.to_radians().sin() / 2.0
    } else {
        first_quadrant_cosine(90.0 - x)
    }
}

fn first_quadrant_cosine(x: f64) -> f64 {
    if x <= 60.0 {
        1.0 - (1.0 - x.to_radians().cos()) / (1.0 - 60_f64.to_radians().cos()) / 2.0
    } else {
        first_quadrant_sine(90.0 - x)
    }
}

fn cosine_in_degrees(x: f64) -> f64 {
    let mut x = (x % 360.0).abs();
    let mut sign = 1.0;
    if x > 180.0 {
        x = 360.0 - x;
    }
    if x > 90.0 {
        (x, sign) = (180.0 - x, -1.0);
    }
    sign * first_quadrant_cosine(x)
}

fn angle(args: &Arguments<'_>, one: fn(f64) -> f64) -> Result<ArrayRef> {
    doubles(args, |x| if x.is_infinite() { Err(domain()) } else { Ok(one(x)) })
}

/// `sind(x)`
pub(super) fn sind(args: &Arguments<'_>) -> Result<ArrayRef> {
    angle(args, sine_in_degrees)
}

/// `cosd(x)`
pub(super) fn cosd(args: &Arguments<'_>) -> Result<ArrayRef> {
    angle(args, cosine_in_degrees)
}

/// `tand(x)`
pub(super) fn tand(args: &Arguments<'_>) -> Result<ArrayRef> {
    let tangent_45 = sine_in_degrees(45.0) / cosine_in_degrees(45.0);
    doubles(args, |x| {
        if x.is_infinite() {
            return Err(domain());
        }
        let tangent = sine_in_degrees(x) / cosine_in_degrees(x) / tangent_45;
        Ok(if tangent == 0.0 { 0.0 } else { tangent })
    })
}

/// `cotd(x)`
pub(super) fn cotd(args: &Arguments<'_>) -> Result<ArrayRef> {
    let cotangent_45 = cosine_in_degrees(45.0) / sine_in_degrees(45.0);
    doubles(args, |x| {
        if x.is_infinite() {
            return Err(domain());
        }
        let cotangent = cosine_in_degrees(x) / sine_in_degrees(x) / cotangent_45;
        Ok(if cotangent == 0.0 { 0.0 } else { cotangent })
    })
}

fn arcsine_in_degrees(x: f64) -> f64 {
    if x.abs() <= 0.5 {
        x.asin() / 0.5_f64.asin() * 30.0
    } else {
        (90.0 - x.abs().acos() / 0.5_f64.acos() * 60.0).copysign(x)
    }
}

/// `asind(x)`
pub(super) fn asind(args: &Arguments<'_>) -> Result<ArrayRef> {
    doubles(args, |x| if x.abs() > 1.0 { Err(domain()) } else { Ok(arcsine_in_degrees(x)) })
}

/// `acosd(x)`
pub(super) fn acosd(args: &Arguments<'_>) -> Result<ArrayRef> {
    doubles(args, |x| if x.abs() > 1.0 { Err(domain()) } else { Ok(90.0 - arcsine_in_degrees(x)) })
}

/// `atand(x)`
pub(super) fn atand(args: &Arguments<'_>) -> Result<ArrayRef> {
    doubles(args, |x| Ok(x.atan() / 1_f64.atan() * 45.0))
}

/// `atan2d(y, x)`
pub(super) fn atan2d(args: &Arguments<'_>) -> Result<ArrayRef> {
    two_doubles(args, |y, x| Ok(y.atan2(x) / 1_f64.atan() * 45.0))
}

fn two_doubles(args: &Arguments<'_>, f: impl Fn(f64, f64) -> Result<f64>) -> Result<ArrayRef> {
    let (a, b) = (
        args.arrays[0].as_primitive::<Float64Type>(),
        args.arrays[1].as_primitive::<Float64Type>(),
    );
    let rows = (0..args.rows).map(|row| {
        if args.is_null(row) { Ok(None) } else { f(a.value(row), b.value(row)).map(Some) }
    });
    Ok(Arc::new(rows.collect::<Result<Float64Array>>()?))
}

/// `random(low, high)` of whole numbers, both bounds among them.
pub(super) fn random_between(args: &Arguments<'_>) -> Result<ArrayRef> {
    let (low, high) =
        (args.arrays[0].as_primitive::<Int64Type>(), args.arrays[1].as_primitive::<Int64Type>());
    let rows = (0..args.rows).map(|row| {
        if args.is_null(row) {
            return Ok(None);
        }
        let (low, high) = (i128::from(low.value(row)), i128::from(high.value(row)));
        if low > high {
            return Err(Error::new(
                SqlState::INVALID_PARAMETER_VALUE,
                "lower bound must be less than or equal to upper bound",
            ));
        }
        let spread = u128::from(args.context.random()) * (high - low + 1).unsigned_abs();
        // The high half of the product is even over the range, but for 2^-64 of it.
        let at = low + i128::try_from(spread >> 64).map_err(|_| overflow())?;
        i64::try_from(at).map(Some).map_err(|_| overflow())
    });
    let made = rows.collect::<Result<arrow::array::Int64Array>>()?;
    arrow::compute::cast(&made, &args.result.arrow()).map_err(crate::sql::error::from_arrow)
}

/// `lcm(a, b)`
pub(super) fn lcm(args: &Arguments<'_>) -> Result<ArrayRef> {
    let wide = args.arrays.iter().map(|array| Ok(Arc::new(integers(array)?) as ArrayRef));
    let wide = Arguments { arrays: wide.collect::<Result<_>>()?, ..*args };
    let narrow = *args.result == PgType::Int4;
    let made = pairs(&wide, |a, b| {
        let (mut x, mut y) = (a.unsigned_abs(), b.unsigned_abs());
        while y != 0 {
            (x, y) = (y, x % y);
        }
        let times = a.unsigned_abs().checked_div(x).unwrap_or(0);
        let least = times.checked_mul(b.unsigned_abs())?;
        if narrow && i32::try_from(least).is_err() {
            return None;
        }
        i64::try_from(least).ok()
    })?;
    arrow::compute::cast(&made, &args.result.arrow()).map_err(crate::sql::error::from_arrow)
}

/// The longest that 38 digits hold.
const FACTORIAL_MAX: i64 = 33;

/// `factorial(n)`
pub(super) fn factorial(args: &Arguments<'_>) -> Result<ArrayRef> {
    let numbers = args.arrays[0].as_primitive::<Int64Type>();
    let rows = (0..args.rows).map(|row| {
        if args.is_null(row) {
            return Ok(None);
        }
        match numbers.value(row) {
            n if n < 0 => Err(out_of_range("factorial of a negative number is undefined")),
            n if n > FACTORIAL_MAX => Err(out_of_range("value overflows numeric format")),
            n => Ok(Some((1..=i128::from(n)).product())),
        }
    });
    numeric(rows.collect::<Result<Decimal128Array>>()?, 0, args)
}

/// `log(base, x)`
pub(super) fn log(args: &Arguments<'_>) -> Result<ArrayRef> {
    let state = SqlState::new(b"2201E");
    let positive = |x: f64| match x {
        0.0 => Err(Error::new(state, "cannot take logarithm of zero")),
        x if x < 0.0 => Err(Error::new(state, "cannot take logarithm of a negative number")),
        x => Ok(x),
    };
    let value = |at: usize, row: usize| {
        let array = &args.arrays[at];
        positive(float(array.as_primitive::<Decimal128Type>().value(row), scale_of(array)))
    };
    let rows = (0..args.rows).map(|row| {
        if args.is_null(row) {
            return Ok(None);
        }
        let (base, x) = (value(0, row)?.ln(), value(1, row)?.ln());
        if base == 0.0 { Err(division_by_zero()) } else { digits(x / base, 16).map(Some) }
    });
    numeric(rows.collect::<Result<Decimal128Array>>()?, 16, args)
}

/// A double as the digits of a numeric.
fn digits(x: f64, scale: i32) -> Result<i128> {
    let scaled = (x * 10_f64.powi(scale)).round();
    if !scaled.is_finite() || scaled.abs() >= 1e38 {
        return Err(overflow());
    }
    #[expect(clippy::cast_possible_truncation, reason = "checked just before")]
    let scaled = scaled as i128;
    Ok(scaled)
}

/// Digits of a scale as the result's type has them.
fn numeric(array: Decimal128Array, scale: i8, args: &Arguments<'_>) -> Result<ArrayRef> {
    let DataType::Decimal128(precision, wanted) = args.result.arrow() else {
        return Err(Error::internal("a numeric is a decimal"));
    };
    let made = array.try_unary::<_, Decimal128Type, Error>(|x| rescale(x, scale, wanted))?;
    Ok(Arc::new(made.with_data_type(DataType::Decimal128(precision, wanted))))
}

fn scale_of(array: &ArrayRef) -> i8 {
    match array.data_type() {
        DataType::Decimal128(_, scale) => *scale,
        _ => 0,
    }
}

/// `scale(numeric)`: the digits behind the point that the value's type keeps.
pub(super) fn scale(args: &Arguments<'_>) -> Result<ArrayRef> {
    // Without a declared scale a value is shown with the digits that it needs.
    if args.kinds[0] == PgType::Numeric(None) {
        return min_scale(args);
    }
    let scale = i32::from(scale_of(&args.arrays[0]));
    let rows = (0..args.rows).map(|row| (!args.is_null(row)).then_some(scale));
    Ok(Arc::new(rows.collect::<Int32Array>()))
}

/// `min_scale(numeric)`: the digits behind the point that the value needs.
pub(super) fn min_scale(args: &Arguments<'_>) -> Result<ArrayRef> {
    let scale = scale_of(&args.arrays[0]);
    let made =
        args.arrays[0].as_primitive::<Decimal128Type>().unary::<_, Int32Type>(|mut value| {
            let mut scale = i32::from(scale);
            while scale > 0 && value % 10 == 0 {
                value /= 10;
                scale -= 1;
            }
            scale
        });
    Ok(Arc::new(made))
}

/// `trim_scale(numeric)`: a numeric without a declared scale is shown without the zeros at its end.
pub(super) fn trim_scale(args: &Arguments<'_>) -> Result<ArrayRef> {
    let scale = scale_of(&args.arrays[0]);
    numeric(args.arrays[0].as_primitive::<Decimal128Type>().clone(), scale, args)
}

/// `generate_series(numeric, numeric, [numeric])`
pub(super) fn series(args: &Arguments<'_>) -> Result<ArrayRef> {
    let DataType::List(field) = args.result.arrow() else {
        return Err(Error::internal("a series is a list"));
    };
    let DataType::Decimal128(precision, scale) = *field.data_type() else {
        return Err(Error::internal("a series of numerics is one of decimals"));
    };
    let at = |argument: usize, row: usize| {
        let array = &args.arrays[argument];
        rescale(array.as_primitive::<Decimal128Type>().value(row), scale_of(array), scale)
    };
    let (mut values, mut lengths) = (Vec::new(), Vec::with_capacity(args.rows));
    for row in 0..args.rows {
        let before = values.len();
        if !args.is_null(row) {
            let (start, stop) = (at(0, row)?, at(1, row)?);
            let step = if args.arrays.len() > 2 { at(2, row)? } else { rescale(1, 0, scale)? };
            if step == 0 {
                return Err(Error::new(
                    SqlState::INVALID_PARAMETER_VALUE,
                    "step size cannot equal zero",
                ));
            }
            let mut next = start;
            while if step > 0 { next <= stop } else { next >= stop } {
                values.push(next);
                if values.len() - before > SERIES_MAX {
                    return Err(series_too_long());
                }
                next = next.checked_add(step).ok_or_else(overflow)?;
            }
        }
        lengths.push(values.len() - before);
    }
    let values =
        Decimal128Array::from(values).with_data_type(DataType::Decimal128(precision, scale));
    Ok(Arc::new(ListArray::new(field, OffsetBuffer::from_lengths(lengths), Arc::new(values), None)))
}
