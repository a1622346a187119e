//! The numbers of items, and what paths compute of them.

use crate::{
    error::{Error, Result, SqlState},
    pgtype::jsonpath::{Arithmetic, Sign},
};
use serde_json::{Number, Value};

pub(super) fn fault(state: &'static [u8; 5], message: impl Into<String>) -> Error {
    Error::new(SqlState::new(state), message)
}

/// The whole part of a number, where it fits.
#[expect(clippy::cast_possible_truncation, reason = "the bounds are checked")]
pub(super) fn truncated(value: f64) -> Option<i64> {
    (value.abs() < 9e18).then(|| value.trunc() as i64)
}

/// A number as it was written.
pub(super) fn number(digits: &str) -> Result<Value> {
    let digits = digits.trim();
    if let Ok(whole) = digits.parse::<i64>() {
        return Ok(Value::from(whole));
    }
    let value = digits.parse::<f64>().ok().and_then(Number::from_f64);
    value.map(Value::Number).ok_or_else(|| {
        Error::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "value overflows numeric format")
    })
}

/// A number that was computed: whole where it can be.
pub(super) fn computed(value: f64) -> Result<Value> {
    if let Some(whole) = truncated(value)
        && value.fract() == 0.0
    {
        return Ok(Value::from(whole));
    }
    Number::from_f64(value).map(Value::Number).ok_or_else(|| {
        Error::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "value overflows numeric format")
    })
}

pub(super) fn signed(sign: Sign, item: Value) -> Result<Value> {
    let Value::Number(number) = &item else {
        let sign = if sign == Sign::Minus { '-' } else { '+' };
        let what = format!("operand of unary jsonpath operator {sign} is not a numeric value");
        return Err(fault(b"2203B", what));
    };
    match (sign, number.as_i64()) {
        (Sign::Plus, _) => Ok(item),
        (Sign::Minus, Some(whole)) if whole != i64::MIN => Ok(Value::from(-whole)),
        (Sign::Minus, _) => computed(-number.as_f64().unwrap_or(f64::NAN)),
    }
}

pub(super) fn calculated(op: Arithmetic, left: &Number, right: &Number) -> Result<Value> {
    let by_zero = || Error::new(SqlState::DIVISION_BY_ZERO, "division by zero");
    if let (Some(a), Some(b)) = (left.as_i64(), right.as_i64()) {
        let whole = match op {
            Arithmetic::Add => a.checked_add(b),
            Arithmetic::Subtract => a.checked_sub(b),
            Arithmetic::Multiply => a.checked_mul(b),
            Arithmetic::Divide | Arithmetic::Modulo if b == 0 => return Err(by_zero()),
            Arithmetic::Divide if a.checked_rem(b) == Some(0) => a.checked_div(b),
            Arithmetic::Divide => None,
            Arithmetic::Modulo => a.checked_rem(b),
        };
        if let Some(whole) = whole {
            return Ok(Value::from(whole));
        }
    }
    let float = |number: &Number| number.as_f64().unwrap_or(f64::NAN);
    let (a, b) = (float(left), float(right));
    computed(match op {
        Arithmetic::Add => a + b,
        Arithmetic::Subtract => a - b,
        Arithmetic::Multiply => a * b,
        Arithmetic::Divide | Arithmetic::Modulo if b == 0.0 => return Err(by_zero()),
        Arithmetic::Divide => a / b,
        Arithmetic::Modulo => a % b,
    })
}
