//! Reads floats: plain decimals by one multiplication or division of doubles, the rest by way of
//! the standard library.

use super::POWERS;
use crate::{
    error::{Error, Result, SqlState},
    pgtype::faults::{syntax, trim},
};

/// Reads a `real`.
pub(in crate::pgtype) fn parse_f32(text: &str) -> Result<f32> {
    let kind = "real";
    let number = trim(text);
    let (value, length) = scan_f32(number.as_bytes()).ok_or_else(|| syntax(kind, text))?;
    let (number, rest) = number.split_at(length);
    if is_lost(f64::from(value), number) {
        return Err(beyond(number, kind));
    }
    if rest.is_empty() { Ok(value) } else { Err(syntax(kind, text)) }
}

/// Reads a `double precision`.
pub(in crate::pgtype) fn parse_f64(text: &str) -> Result<f64> {
    let kind = "double precision";
    let number = trim(text);
    let length = number_length(number.as_bytes()).ok_or_else(|| syntax(kind, text))?;
    let (number, rest) = number.split_at(length);
    let value = match hexadecimal(number.as_bytes()) {
        Some(value) => value,
        None => number.parse::<f64>().map_err(|_| syntax(kind, text))?,
    };
    // The range is looked at before what follows the number.
    if is_lost(value, number) {
        return Err(beyond(number, kind));
    }
    if rest.is_empty() { Ok(value) } else { Err(syntax(kind, text)) }
}

/// Whether a number became infinity or 0 that is neither.
pub(in crate::pgtype) fn is_lost(value: f64, number: &str) -> bool {
    let number = number.as_bytes();
    (value.is_infinite() && !is_word(number)) || (value == 0.0 && has_digit(number))
}

/// 22003 for a number that the type can only show as infinity or as 0.
pub(in crate::pgtype) fn beyond(number: &str, kind: &str) -> Error {
    Error::new(
        SqlState::NUMERIC_VALUE_OUT_OF_RANGE,
        format!("\"{number}\" is out of range for type {kind}"),
    )
}

/// Reads the `real` at the front of `bytes`, and tells how many bytes it took: what C's `strtof`
/// does, without its white space. `None` where there is no number.
pub(in crate::pgtype) fn scan_f32(bytes: &[u8]) -> Option<(f32, usize)> {
    if let Some(found) = scan_short(bytes) {
        return Some(found);
    }
    let length = number_length(bytes)?;
    let number = &bytes[..length];
    #[expect(clippy::cast_possible_truncation, reason = "rounds to the nearest real")]
    let value = match hexadecimal(number) {
        Some(value) => value as f32,
        None => std::str::from_utf8(number).ok()?.parse().ok()?,
    };
    Some((value, length))
}

/// The fast path of [`scan_f32`]: a plain decimal whose digits and power of ten a double holds
/// exactly, so that one multiplication or division gives the nearest double. Its nearest real is
/// the nearest to the decimal unless the double lies just between two reals.
fn scan_short(bytes: &[u8]) -> Option<(f32, usize)> {
    let negative = bytes.first() == Some(&b'-');
    let start = usize::from(negative);
    let mut mantissa = 0;
    let mut at = digits(bytes, start, &mut mantissa);
    let mut count = at - start;
    let mut fraction = 0;
    if bytes.get(at) == Some(&b'.') {
        let start = at + 1;
        at = digits(bytes, start, &mut mantissa);
        fraction = at - start;
        count += fraction;
    }
    // Nineteen digits fit a word; beyond, the mantissa has wrapped.
    if count == 0 || count > 19 || mantissa >= 1 << 53 {
        return None;
    }
    let mut exponent = -i32::try_from(fraction).ok()?;
    if let Some(b'e' | b'E') = bytes.get(at) {
        let mut end = at + 1;
        let minus = bytes.get(end) == Some(&b'-');
        if let Some(b'-' | b'+') = bytes.get(end) {
            end += 1;
        }
        let start = end;
        let mut power = 0;
        end = digits(bytes, start, &mut power);
        if end - start > 9 {
            return None;
        }
        let power = i32::try_from(power).ok()?;
        // `1e` is the number 1 and a letter.
        if end > start {
            exponent += if minus { -power } else { power };
            at = end;
        }
    }
    // `0x…` and a letter behind a 0 are not plain decimals.
    if let Some(b'x' | b'X') = bytes.get(at) {
        return None;
    }
    #[expect(clippy::cast_precision_loss, reason = "below 2^53")]
    let mantissa = mantissa as f64;
    let power = *POWERS.get(usize::try_from(exponent.unsigned_abs()).ok()?)?;
    let value = if exponent < 0 { mantissa / power } else { mantissa * power };
    const BETWEEN: u64 = 1 << 28;
    let normal = value == 0.0 || (f64::from(f32::MIN_POSITIVE)..=3e38).contains(&value);
    if !normal || value.to_bits() & ((1 << 29) - 1) == BETWEEN {
        return None;
    }
    #[expect(clippy::cast_possible_truncation, reason = "rounds to the nearest real")]
    let value = (if negative { -value } else { value }) as f32;
    Some((value, at))
}

/// Reads the digits from `at` on into a number that may wrap; tells where they end.
fn digits(bytes: &[u8], mut at: usize, number: &mut u64) -> usize {
    // Eight at a time, as Lemire showed.
    while let Some(eight) = bytes.get(at..).and_then(<[u8]>::first_chunk::<8>) {
        let word = u64::from_le_bytes(*eight);
        let above = word.wrapping_add(0x4646_4646_4646_4646);
        let below = word.wrapping_sub(0x3030_3030_3030_3030);
        if (above | below) & 0x8080_8080_8080_8080 != 0 {
            break;
        }
        let pairs = below.wrapping_mul(10).wrapping_add(below >> 8);
        let upper = (pairs & 0x0000_00ff_0000_00ff).wrapping_mul(0x000f_4240_0000_0064);
        let lower = (pairs >> 16 & 0x0000_00ff_0000_00ff).wrapping_mul(0x0000_2710_0000_0001);
        *number = number.wrapping_mul(100_000_000).wrapping_add(upper.wrapping_add(lower) >> 32);
        at += 8;
    }
    while let Some(digit) = bytes.get(at).map(|byte| byte.wrapping_sub(b'0')).filter(|&d| d < 10) {
        *number = number.wrapping_mul(10).wrapping_add(u64::from(digit));
        at += 1;
    }
    at
}

/// How many bytes at the front are a number for C's `strtod`.
fn number_length(bytes: &[u8]) -> Option<usize> {
    let sign = usize::from(matches!(bytes.first(), Some(b'-' | b'+')));
    let rest = &bytes[sign..];
    for word in [&b"infinity"[..], b"inf", b"nan"] {
        if rest.len() >= word.len() && rest[..word.len()].eq_ignore_ascii_case(word) {
            return Some(sign + word.len());
        }
    }
    let run = |from: usize, hex: bool| {
        let is = |byte: &u8| if hex { byte.is_ascii_hexdigit() } else { byte.is_ascii_digit() };
        rest.get(from..).map_or(0, |tail| tail.iter().take_while(|byte| is(byte)).count())
    };
    let hex = matches!(rest, [b'0', b'x' | b'X', next, ..]
        if next.is_ascii_hexdigit() || (*next == b'.' && run(3, true) > 0));
    let mut at = if hex { 2 } else { 0 };
    let whole = run(at, hex);
    at += whole;
    let mut fraction = 0;
    if rest.get(at) == Some(&b'.') {
        fraction = run(at + 1, hex);
        if whole + fraction > 0 {
            at += 1 + fraction;
        }
    }
    if whole + fraction == 0 {
        return None;
    }
    let marks: &[u8] = if hex { b"pP" } else { b"eE" };
    if rest.get(at).is_some_and(|byte| marks.contains(byte)) {
        let signed = usize::from(matches!(rest.get(at + 1), Some(b'-' | b'+')));
        let power = run(at + 1 + signed, false);
        if power > 0 {
            at += 1 + signed + power;
        }
    }
    Some(sign + at)
}

/// The value of a number that [`number_length`] has measured, if it is hexadecimal.
fn hexadecimal(number: &[u8]) -> Option<f64> {
    let text = std::str::from_utf8(number).ok()?.to_ascii_lowercase();
    let negative = text.starts_with('-');
    let rest = text.trim_start_matches(['-', '+']).strip_prefix("0x")?;
    let (digits, power) = rest.split_once('p').unwrap_or((rest, "0"));
    let mut exponent: i32 = power.parse().unwrap_or(i32::MAX / 2);
    let mut value = 0.0_f64;
    let mut behind_point = false;
    for digit in digits.chars() {
        match digit.to_digit(16) {
            Some(digit) => value = value * 16.0 + f64::from(digit),
            None => behind_point = true,
        }
        exponent -= if behind_point && digit != '.' { 4 } else { 0 };
    }
    let value = value * 2.0_f64.powi(exponent);
    Some(if negative { -value } else { value })
}

fn is_word(number: &[u8]) -> bool {
    matches!(
        number.trim_ascii_start(),
        [b'-' | b'+', b'i' | b'I' | b'n' | b'N', ..] | [b'i' | b'I' | b'n' | b'N', ..]
    )
}

/// Whether a digit before the exponent is not 0: whether a 0 stands for something else.
fn has_digit(number: &[u8]) -> bool {
    let hex = number.windows(2).any(|pair| pair.eq_ignore_ascii_case(b"0x"));
    number.iter().take_while(|byte| !if hex { b"pP" } else { b"eE" }.contains(byte)).any(
        |byte| if hex { byte.is_ascii_hexdigit() } else { byte.is_ascii_digit() } && *byte != b'0',
    )
}
