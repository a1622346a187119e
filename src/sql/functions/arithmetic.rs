//! Arithmetic that refuses what PostgreSQL refuses: integers that overflow, division by zero,
//! floats that run out of range, numerics of too many digits.

use crate::{
    error::{Error, Result, SqlState},
    pgtype::PgType,
    sql::{
        error::from_arrow,
        functions::{
            call::{Arguments, Body},
            cast::decimal,
        },
    },
};
use arrow::{
    array::{Array, ArrayRef, AsArray, Decimal128Array, Float32Array, Float64Array},
    compute::kernels::numeric,
    datatypes::{DataType, Decimal128Type, Float32Type, Float64Type},
};
use std::sync::Arc;

type Kernel = fn(
    &dyn arrow::array::Datum,
    &dyn arrow::array::Datum,
) -> Result<ArrayRef, arrow::error::ArrowError>;

/// An operator on two numbers of one type that is no numeric.
pub(crate) fn operator(op: &str) -> Body {
    match op {
        "+" => |args| checked(args, numeric::add),
        "-" => |args| checked(args, numeric::sub),
        "*" => |args| checked(args, numeric::mul),
        "/" => |args| checked(args, numeric::div),
        "%" => |args| checked(args, numeric::rem),
        _ => power,
    }
}

fn overflow(kind: &PgType) -> Error {
    Error::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, format!("{kind} out of range"))
}

pub(crate) fn division_by_zero() -> Error {
    Error::new(SqlState::DIVISION_BY_ZERO, "division by zero")
}

fn checked(args: &Arguments<'_>, kernel: Kernel) -> Result<ArrayRef> {
    use arrow::error::ArrowError;
    let (a, b) = (&args.arrays[0], &args.arrays[1]);
    let made = kernel(a, b).map_err(|error| match error {
        ArrowError::ArithmeticOverflow(_) => overflow(args.result),
        other => from_arrow(other),
    })?;
    match made.data_type() {
        // Infinity is a result only of infinity.
        DataType::Float64 => {
            let (x, y, z): (&Float64Array, &Float64Array, &Float64Array) = (
                a.as_primitive::<Float64Type>(),
                b.as_primitive::<Float64Type>(),
                made.as_primitive::<Float64Type>(),
            );
            let divides = kernel as usize == (numeric::div as Kernel) as usize
                || kernel as usize == (numeric::rem as Kernel) as usize;
            for row in 0..z.len() {
                if z.is_valid(row) {
                    float_fault(x.value(row), y.value(row), z.value(row), divides)?;
                }
            }
        }
        DataType::Float32 => {
            let (x, y, z): (&Float32Array, &Float32Array, &Float32Array) = (
                a.as_primitive::<Float32Type>(),
                b.as_primitive::<Float32Type>(),
                made.as_primitive::<Float32Type>(),
            );
            let divides = kernel as usize == (numeric::div as Kernel) as usize;
            for row in 0..z.len() {
                if z.is_valid(row) {
                    float_fault(
                        f64::from(x.value(row)),
                        f64::from(y.value(row)),
                        f64::from(z.value(row)),
                        divides,
                    )?;
                }
            }
        }
        _ => {}
    }
    Ok(made)
}

fn float_fault(x: f64, y: f64, z: f64, divides: bool) -> Result<()> {
    if divides && y == 0.0 && !x.is_nan() {
        return Err(division_by_zero());
    }
    if z.is_infinite() && x.is_finite() && y.is_finite() {
        return Err(Error::new(
            SqlState::NUMERIC_VALUE_OUT_OF_RANGE,
            "value out of range: overflow",
        ));
    }
    Ok(())
}

/// `x ^ y` of doubles.
pub(crate) fn power(args: &Arguments<'_>) -> Result<ArrayRef> {
    let (x, y) = (
        args.arrays[0].as_primitive::<Float64Type>(),
        args.arrays[1].as_primitive::<Float64Type>(),
    );
    let rows = (0..args.rows).map(|row| {
        if args.is_null(row) {
            return Ok(None);
        }
        let (x, y) = (x.value(row), y.value(row));
        if x == 0.0 && y < 0.0 {
            return Err(Error::new(
                SqlState::new(b"2201F"),
                "zero raised to a negative power is undefined",
            ));
        }
        if x < 0.0 && y.fract() != 0.0 {
            return Err(Error::new(
                SqlState::new(b"2201F"),
                "a negative number raised to a non-integer power yields a complex result",
            ));
        }
        let z = x.powf(y);
        float_fault(x, y, z, false)?;
        Ok(Some(z))
    });
    Ok(Arc::new(rows.collect::<Result<Float64Array>>()?))
}

/// `-x`
pub(crate) fn negate(args: &Arguments<'_>) -> Result<ArrayRef> {
    numeric::neg(&args.arrays[0]).map_err(|_| overflow(args.result))
}

/// An operator on two numerics, each of its own scale.
pub(crate) fn numeric_operator(op: &str) -> Body {
    match op {
        "+" => |args| numerics(args, |a, b| sum(a, b, 1)),
        "-" => |args| numerics(args, |a, b| sum(a, b, -1)),
        "*" => |args| numerics(args, product),
        "/" => |args| numerics(args, quotient),
        "%" => |args| numerics(args, remainder),
        _ => |args| {
            numerics(args, |(a, s), (b, t)| {
                let (x, y) = (float(a, s), float(b, t));
                let z = x.powf(y) * 1e16;
                if z.abs() >= 1e38 || z.is_nan() {
                    return Err(too_long());
                }
                #[expect(clippy::cast_possible_truncation, reason = "checked just before")]
                let z = z.round() as i128;
                Ok((z, 16))
            })
        },
    }
}

type Digits = (i128, i8);

fn too_long() -> Error {
    Error::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "value overflows numeric format")
        .detail("A numeric holds 38 digits.")
}

pub(super) fn float(value: i128, scale: i8) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a power is computed in floating point")]
    let value = value as f64;
    value / 10_f64.powi(i32::from(scale))
}

fn numerics(
    args: &Arguments<'_>,
    one: impl Fn(Digits, Digits) -> Result<Digits>,
) -> Result<ArrayRef> {
    let ((a, s), (b, t)) = (decimal(&args.arrays[0]), decimal(&args.arrays[1]));
    let DataType::Decimal128(precision, scale) = args.result.arrow() else {
        return Err(Error::internal("a numeric is a decimal"));
    };
    let rows = (0..args.rows).map(|row| {
        if args.is_null(row) {
            return Ok(None);
        }
        let (value, found) = one((a.value(row), s), (b.value(row), t))?;
        rescale(value, found, scale).map(Some)
    });
    let made = rows.collect::<Result<Decimal128Array>>()?;
    Ok(Arc::new(made.with_data_type(DataType::Decimal128(precision, scale))))
}

/// The same number with another count of digits behind the point, rounded half away from zero.
pub(crate) fn rescale(value: i128, from: i8, to: i8) -> Result<i128> {
    let power = |n: i8| 10_i128.checked_pow(u32::from(n.unsigned_abs())).ok_or_else(too_long);
    let made = if to >= from {
        value.checked_mul(power(to - from)?).ok_or_else(too_long)?
    } else {
        divide(value, power(from - to)?)
    };
    if made.unsigned_abs() >= 10_u128.pow(38) {
        return Err(too_long());
    }
    Ok(made)
}

/// A division that rounds half away from zero.
fn divide(a: i128, b: i128) -> i128 {
    let (quotient, rest) = (a / b, a % b);
    if rest.unsigned_abs() >= b.unsigned_abs() - rest.unsigned_abs() {
        quotient + if (a < 0) == (b < 0) { 1 } else { -1 }
    } else {
        quotient
    }
}

fn aligned((a, s): Digits, (b, t): Digits) -> Result<(i128, i128, i8)> {
    let scale = s.max(t);
    Ok((rescale(a, s, scale)?, rescale(b, t, scale)?, scale))
}

fn sum(a: Digits, b: Digits, sign: i128) -> Result<Digits> {
    let (a, b, scale) = aligned(a, b)?;
    Ok((a.checked_add(sign * b).ok_or_else(too_long)?, scale))
}

fn product((a, s): Digits, (b, t): Digits) -> Result<Digits> {
    // Zeros behind the point are not worth an overflow.
    let ((a, s), (b, t)) = (trimmed(a, s), trimmed(b, t));
    Ok((a.checked_mul(b).ok_or_else(too_long)?, s + t))
}

fn trimmed(mut value: i128, mut scale: i8) -> Digits {
    while scale > 0 && value % 10 == 0 {
        value /= 10;
        scale -= 1;
    }
    (value, scale)
}

fn quotient(a: Digits, b: Digits) -> Result<Digits> {
    let ((a, s), (b, t)) = (trimmed(a.0, a.1), trimmed(b.0, b.1));
    if b == 0 {
        return Err(division_by_zero());
    }
    // As many digits as the result keeps: whole first, then digit by digit of the rest.
    let (mut value, mut rest) = (a / b, a % b);
    let mut scale = i16::from(s) - i16::from(t);
    while scale < 17 {
        let Some(longer) = value.checked_mul(10) else { break };
        let Some(more) = rest.checked_mul(10) else { break };
        value = longer + more / b;
        rest = more % b;
        scale += 1;
    }
    let scale = i8::try_from(scale).map_err(|_| too_long())?;
    Ok((value, scale))
}

fn remainder(a: Digits, b: Digits) -> Result<Digits> {
    let (a, b, scale) = aligned(a, b)?;
    if b == 0 {
        return Err(division_by_zero());
    }
    Ok((a % b, scale))
}

/// `abs(x)`
pub(crate) fn abs(args: &Arguments<'_>) -> Result<ArrayRef> {
    use arrow::datatypes::{Int16Type, Int32Type, Int64Type};
    macro_rules! whole {
        ($kind:ty) => {{
            let array = args.arrays[0].as_primitive::<$kind>();
            let made = array.try_unary::<_, $kind, Error>(|x| {
                x.checked_abs().ok_or_else(|| overflow(args.result))
            })?;
            Ok(Arc::new(made))
        }};
    }
    match args.arrays[0].data_type() {
        DataType::Int16 => whole!(Int16Type),
        DataType::Int32 => whole!(Int32Type),
        DataType::Int64 => whole!(Int64Type),
        DataType::Float32 => Ok(Arc::new(
            args.arrays[0].as_primitive::<Float32Type>().unary::<_, Float32Type>(f32::abs),
        )),
        DataType::Float64 => Ok(Arc::new(
            args.arrays[0].as_primitive::<Float64Type>().unary::<_, Float64Type>(f64::abs),
        )),
        _ => decimals(args, |x, _| Ok(x.abs())),
    }
}

/// `sign(x)`
pub(crate) fn sign(args: &Arguments<'_>) -> Result<ArrayRef> {
    match args.arrays[0].data_type() {
        DataType::Float64 => Ok(Arc::new(
            args.arrays[0]
                .as_primitive::<Float64Type>()
                .unary::<_, Float64Type>(|x| if x == 0.0 || x.is_nan() { x } else { x.signum() }),
        )),
        _ => decimals(args, |x, scale| rescale(x.signum(), 0, scale)),
    }
}

/// A numeric for each numeric, of the result's scale.
fn decimals(args: &Arguments<'_>, one: impl Fn(i128, i8) -> Result<i128>) -> Result<ArrayRef> {
    let (array, scale) = decimal(&args.arrays[0]);
    let made = array.try_unary::<_, Decimal128Type, Error>(|x| one(x, scale))?;
    finish(made, scale, args)
}

/// The digits of a scale as the result's type has them.
fn finish(array: Decimal128Array, scale: i8, args: &Arguments<'_>) -> Result<ArrayRef> {
    let DataType::Decimal128(precision, wanted) = args.result.arrow() else {
        return Err(Error::internal("a numeric is a decimal"));
    };
    let made = array.try_unary::<_, Decimal128Type, Error>(|x| rescale(x, scale, wanted))?;
    Ok(Arc::new(made.with_data_type(DataType::Decimal128(precision, wanted))))
}

/// `ceil(numeric)`
pub(crate) fn ceil(args: &Arguments<'_>) -> Result<ArrayRef> {
    whole(args, |quotient, rest| quotient + i128::from(rest > 0))
}

/// `floor(numeric)`
pub(crate) fn floor(args: &Arguments<'_>) -> Result<ArrayRef> {
    whole(args, |quotient, rest| quotient - i128::from(rest < 0))
}

fn whole(args: &Arguments<'_>, one: fn(i128, i128) -> i128) -> Result<ArrayRef> {
    let (array, scale) = decimal(&args.arrays[0]);
    let unit = 10_i128.pow(u32::from(scale.unsigned_abs()));
    let made: Decimal128Array = array.unary(|x| one(x / unit, x % unit));
    finish(made, 0, args)
}

/// `round(numeric, [digits])`
pub(crate) fn round(args: &Arguments<'_>) -> Result<ArrayRef> {
    digits(args, false)
}

/// `trunc(numeric, [digits])`
pub(crate) fn truncate(args: &Arguments<'_>) -> Result<ArrayRef> {
    digits(args, true)
}

fn digits(args: &Arguments<'_>, truncates: bool) -> Result<ArrayRef> {
    let (array, scale) = decimal(&args.arrays[0]);
    let counts =
        args.arrays.get(1).map(|counts| counts.as_primitive::<arrow::datatypes::Int32Type>());
    let rows = (0..args.rows).map(|row| {
        if args.is_null(row) {
            return Ok(None);
        }
        let count = counts.map_or(0, |counts| counts.value(row)).clamp(-38, i32::from(scale));
        let drop = u32::try_from(i32::from(scale) - count).map_err(|_| too_long())?;
        let Some(unit) = 10_i128.checked_pow(drop) else { return Ok(Some(0)) };
        let value = array.value(row);
        let kept = if truncates { value / unit } else { divide(value, unit) };
        kept.checked_mul(unit).map(Some).ok_or_else(too_long)
    });
    let made = rows.collect::<Result<Decimal128Array>>()?;
    finish(made, scale, args)
}

/// `round(double precision)`: half to even.
pub(crate) fn round_float(args: &Arguments<'_>) -> Result<ArrayRef> {
    Ok(Arc::new(
        args.arrays[0].as_primitive::<Float64Type>().unary::<_, Float64Type>(f64::round_ties_even),
    ))
}

/// `mod` and `div` of numerics.
pub(crate) fn modulo(args: &Arguments<'_>) -> Result<ArrayRef> {
    numerics(args, remainder)
}

/// `div(a, b)`: the whole part of the quotient.
pub(crate) fn whole_quotient(args: &Arguments<'_>) -> Result<ArrayRef> {
    numerics(args, |a, b| {
        let (a, b, _) = aligned(a, b)?;
        if b == 0 {
            return Err(division_by_zero());
        }
        Ok((a / b, 0))
    })
}

/// `sqrt(double precision)` and other functions of one double whose domain is bounded.
pub(crate) fn sqrt(args: &Arguments<'_>) -> Result<ArrayRef> {
    doubles(args, |x| {
        if x < 0.0 {
            return Err(Error::new(
                SqlState::new(b"2201F"),
                "cannot take square root of a negative number",
            ));
        }
        Ok(x.sqrt())
    })
}

/// `ln(double precision)`
pub(crate) fn ln(args: &Arguments<'_>) -> Result<ArrayRef> {
    logarithm(args, f64::ln)
}

/// `log(double precision)`: base 10.
pub(crate) fn log10(args: &Arguments<'_>) -> Result<ArrayRef> {
    logarithm(args, f64::log10)
}

fn logarithm(args: &Arguments<'_>, f: fn(f64) -> f64) -> Result<ArrayRef> {
    doubles(args, |x| {
        let state = SqlState::new(b"2201E");
        if x == 0.0 {
            return Err(Error::new(state, "cannot take logarithm of zero"));
        }
        if x < 0.0 {
            return Err(Error::new(state, "cannot take logarithm of a negative number"));
        }
        Ok(f(x))
    })
}

/// `exp(double precision)`
pub(crate) fn exp(args: &Arguments<'_>) -> Result<ArrayRef> {
    doubles(args, |x| {
        let z = x.exp();
        float_fault(x, 0.0, z, false)?;
        Ok(z)
    })
}

pub(crate) fn doubles(args: &Arguments<'_>, f: impl Fn(f64) -> Result<f64>) -> Result<ArrayRef> {
    let made =
        args.arrays[0].as_primitive::<Float64Type>().try_unary::<_, Float64Type, Error>(f)?;
    Ok(Arc::new(made))
}

/// `width_bucket(value, low, high, count)`
pub(crate) fn width_bucket(args: &Arguments<'_>) -> Result<ArrayRef> {
    let column = |at: usize| args.arrays[at].as_primitive::<Float64Type>();
    let counts = args.arrays[3].as_primitive::<arrow::datatypes::Int32Type>();
    let rows = (0..args.rows).map(|row| {
        if args.is_null(row) {
            return Ok(None);
        }
        let (value, low, high, count) =
            (column(0).value(row), column(1).value(row), column(2).value(row), counts.value(row));
        let fault = |message: &str| Error::new(SqlState::new(b"2201G"), message);
        if count <= 0 {
            return Err(fault("count must be greater than zero"));
        }
        if low == high {
            return Err(fault("lower bound cannot equal upper bound"));
        }
        let share = (value - low) / (high - low);
        Ok(Some(if share < 0.0 {
            0
        } else if share >= 1.0 {
            count + 1
        } else {
            #[expect(
                clippy::cast_possible_truncation,
                reason = "less than the count, which is an i32"
            )]
            let bucket = (share * f64::from(count)).floor() as i32;
            bucket + 1
        }))
    });
    Ok(Arc::new(rows.collect::<Result<arrow::array::Int32Array>>()?))
}

/// `gcd(a, b)` of bigints.
pub(crate) fn gcd(args: &Arguments<'_>) -> Result<ArrayRef> {
    pairs(args, |a, b| {
        let (mut a, mut b) = (a.unsigned_abs(), b.unsigned_abs());
        while b != 0 {
            (a, b) = (b, a % b);
        }
        i64::try_from(a).ok()
    })
}

/// `div(a, b)` of bigints.
pub(crate) fn pairs(args: &Arguments<'_>, f: impl Fn(i64, i64) -> Option<i64>) -> Result<ArrayRef> {
    use arrow::datatypes::Int64Type;
    let (a, b) =
        (args.arrays[0].as_primitive::<Int64Type>(), args.arrays[1].as_primitive::<Int64Type>());
    let rows = (0..args.rows).map(|row| {
        if args.is_null(row) {
            return Ok(None);
        }
        f(a.value(row), b.value(row)).map(Some).ok_or_else(|| overflow(args.result))
    });
    Ok(Arc::new(rows.collect::<Result<arrow::array::Int64Array>>()?))
}

/// `~x`
pub(crate) fn bitnot(args: &Arguments<'_>) -> Result<ArrayRef> {
    use arrow::datatypes::{Int16Type, Int32Type, Int64Type};
    Ok(match args.arrays[0].data_type() {
        DataType::Int16 => {
            Arc::new(args.arrays[0].as_primitive::<Int16Type>().unary::<_, Int16Type>(|x| !x))
        }
        DataType::Int32 => {
            Arc::new(args.arrays[0].as_primitive::<Int32Type>().unary::<_, Int32Type>(|x| !x))
        }
        _ => Arc::new(args.arrays[0].as_primitive::<Int64Type>().unary::<_, Int64Type>(|x| !x)),
    })
}
