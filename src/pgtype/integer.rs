//! Whole numbers: `smallint`, `integer`, `bigint`, and the unsigned `oid`.

use super::faults::{is_space, out_of_range, syntax, trim};
use crate::error::Result;

/// Reads a signed number between `min` and `max` of the type called `kind`: decimal, or with
/// `0x`, `0o`, `0b` in front; underscores may stand between digits.
pub(super) fn parse(text: &str, min: i64, max: i64, kind: &str) -> Result<i64> {
    let bytes = text.as_bytes();
    let start = bytes.iter().position(|&byte| !is_space(byte)).unwrap_or(bytes.len());
    let mut rest = &bytes[start..];
    let negative = rest.first() == Some(&b'-');
    if let Some(b'-' | b'+') = rest.first() {
        rest = &rest[1..];
    }
    let radix = match rest {
        [b'0', b'x' | b'X', ..] => 16,
        [b'0', b'o' | b'O', ..] => 8,
        [b'0', b'b' | b'B', ..] => 2,
        _ => 10,
    };
    // `0x_1` is a number, `_1` is none: an underscore wants something in front of it.
    let mut may_part = radix != 10;
    if may_part {
        rest = &rest[2..];
    }
    // The magnitude may be one more than the maximum: that of the minimum.
    let limit = min.unsigned_abs();
    let mut magnitude = 0_u64;
    let mut digits = 0;
    while let [byte, tail @ ..] = rest {
        if *byte == b'_' && may_part && tail.first().is_some_and(|b| is_digit(*b, radix)) {
            rest = tail;
            continue;
        }
        let Some(digit) = char::from(*byte).to_digit(radix) else { break };
        if magnitude > limit / u64::from(radix) {
            return Err(out_of_range(kind, text));
        }
        magnitude = magnitude * u64::from(radix) + u64::from(digit);
        digits += 1;
        may_part = true;
        rest = tail;
    }
    if digits == 0 || !rest.iter().all(|&byte| is_space(byte)) {
        return Err(syntax(kind, text));
    }
    let value = if negative {
        0_i64.checked_sub_unsigned(magnitude)
    } else {
        i64::try_from(magnitude).ok().filter(|&value| value <= max)
    };
    value.filter(|&value| value >= min).ok_or_else(|| out_of_range(kind, text))
}

fn is_digit(byte: u8, radix: u32) -> bool {
    char::from(byte).is_digit(radix)
}

/// Reads an unsigned number of 32 bits as C's `strtoul` does: a leading 0 means octal, and a
/// negative number counts from the top.
pub(super) fn parse_oid(text: &str, kind: &str) -> Result<u32> {
    let trimmed = trim(text);
    let (negative, digits) = match trimmed.as_bytes().first() {
        Some(b'-') => (true, &trimmed[1..]),
        Some(b'+') => (false, &trimmed[1..]),
        _ => (false, trimmed),
    };
    let (radix, digits) = match digits.as_bytes() {
        [b'0', b'x' | b'X', rest @ ..] if !rest.is_empty() => (16, &digits[2..]),
        [b'0', _, ..] => (8, &digits[1..]),
        _ => (10, digits),
    };
    let length = digits.bytes().take_while(|&byte| is_digit(byte, radix)).count();
    if length == 0 {
        return Err(syntax(kind, text));
    }
    let value =
        u64::from_str_radix(&digits[..length], radix).map_err(|_| out_of_range(kind, text))?;
    if length < digits.len() {
        return Err(syntax(kind, text));
    }
    let value = if negative { value.wrapping_neg() } else { value };
    if let Ok(value) = u32::try_from(value) {
        return Ok(value);
    }
    i32::try_from(value.cast_signed()).map(i32::cast_unsigned).map_err(|_| out_of_range(kind, text))
}

/// Writes a number in decimal.
pub(super) fn write(value: i64, out: &mut Vec<u8>) {
    let mut digits = [0_u8; 20];
    let mut at = digits.len();
    let mut rest = value.unsigned_abs();
    loop {
        at -= 1;
        digits[at] = digit(rest % 10);
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if value < 0 {
        out.push(b'-');
    }
    out.extend_from_slice(&digits[at..]);
}

/// Writes a number in decimal with at least `width` digits.
pub(super) fn write_padded(value: u64, width: usize, out: &mut Vec<u8>) {
    let start = out.len();
    let mut rest = value;
    while rest > 0 || out.len() - start < width {
        out.push(digit(rest % 10));
        rest /= 10;
    }
    out[start..].reverse();
}

/// The digit of a number below ten.
pub(super) fn digit(value: u64) -> u8 {
    debug_assert!(value < 10, "a digit is below ten");
    b'0' + u8::try_from(value).unwrap_or(0)
}
