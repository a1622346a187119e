//! What JSON has where something of a type is expected.

use super::{
    fault::{Answer, Fault},
    names::shortened,
};
use serde_json::Value;

/// The fault of something else than is expected.
pub(super) fn unexpected(value: &Value, expected: &str) -> Fault {
    let found = match value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => format!("boolean `{value}`"),
        Value::Number(value) if value.is_f64() => format!("floating point `{value}`"),
        Value::Number(value) => format!("integer `{value}`"),
        Value::String(text) => format!("string \"{}\"", shortened(text)),
        Value::Array(_) => "sequence".to_owned(),
        Value::Object(_) => "map".to_owned(),
    };
    Fault::invalid(format!("invalid type: {found}, expected {expected}"))
}

/// A text.
pub(super) fn string(value: &Value) -> Answer<&str> {
    value.as_str().ok_or_else(|| unexpected(value, "a string"))
}

/// A number without a fraction that JSON has as a float, such as `3.0`.
pub(super) fn whole(value: &Value) -> Option<i128> {
    // Up to here floats have all whole numbers.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let float = value.as_f64().filter(|_| value.is_f64())?;
    #[expect(clippy::cast_possible_truncation, reason = "it is whole and within bounds")]
    (float.fract() == 0.0 && float.abs() <= EXACT).then_some(float as i128)
}
