//! `numeric`: decimal fractions of up to 38 digits, carried by Arrow's `Decimal128`.

use super::{
    faults::{bad_binary, is_space, syntax, take},
    integer,
};
use crate::error::{Error, Result, SqlState};

/// The places of a decimal: how many digits in all, and how many behind the point.
#[derive(Debug, Clone, Copy)]
pub(super) struct Places {
    pub(super) precision: u8,
    pub(super) scale: i8,
    /// Whether the type was declared with them, rather than left without.
    pub(super) declared: bool,
}

impl Places {
    fn overflow(self) -> Error {
        let error = Error::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "numeric field overflow");
        let (precision, scale) = (self.precision, self.scale);
        let whole = i16::from(precision) - i16::from(scale);
        if self.declared {
            let (power, bound) =
                if whole == 0 { ("", "1".to_owned()) } else { ("10^", whole.to_string()) };
            error.detail(format!(
                "A field with precision {precision}, scale {scale} must round to an absolute \
                 value less than {power}{bound}."
            ))
        } else {
            error
                .detail(format!(
                    "A numeric without precision has at most {whole} digits before the point and \
                     {scale} behind it."
                ))
                .hint("Declare a precision and a scale, such as numeric(38,0).")
        }
    }

    /// The whole number that stands for digits × 10^exponent, rounded half away from zero.
    fn fit(self, digits: &[u8], exponent: i64, negative: bool) -> Result<i128> {
        let zeros = digits.iter().take_while(|&&digit| digit == 0).count();
        let digits = &digits[zeros..];
        if digits.is_empty() {
            return Ok(0);
        }
        let shift = exponent + i64::from(self.scale);
        // How many of the digits stay before the last place that is kept.
        let kept = i64::try_from(digits.len()).unwrap_or(i64::MAX).saturating_add(shift);
        if kept > 38 {
            return Err(self.overflow());
        }
        if kept < 0 {
            return Ok(0);
        }
        let kept = usize::try_from(kept).unwrap_or(0);
        let digit = |at: usize| i128::from(digits.get(at).copied().unwrap_or(0));
        let mut value = (0..kept).fold(0_i128, |value, at| value * 10 + digit(at));
        if digit(kept) >= 5 {
            value += 1;
        }
        if value >= 10_i128.pow(u32::from(self.precision)) {
            return Err(self.overflow());
        }
        Ok(if negative { -value } else { value })
    }
}

/// 0A000 for what PostgreSQL's numeric has and a decimal of fixed places has not.
fn special(word: &str) -> Error {
    Error::unsupported(format!("numeric cannot hold {word}"))
        .hint("Use double precision for NaN and infinities.")
}

/// Reads a number: decimal with or without an exponent, or whole with `0x`, `0o`, `0b` in front.
pub(super) fn parse(text: &str, places: Places) -> Result<i128> {
    let bad = || syntax("numeric", text);
    let bytes = text.as_bytes();
    let start = bytes.iter().position(|&byte| !is_space(byte)).unwrap_or(bytes.len());
    let end = bytes.iter().rposition(|&byte| !is_space(byte)).map_or(start, |at| at + 1);
    let mut rest = &bytes[start..end];
    let negative = rest.first() == Some(&b'-');
    if let Some(b'-' | b'+') = rest.first() {
        rest = &rest[1..];
    }
    for (word, name) in [(&b"nan"[..], "NaN"), (b"infinity", "infinity"), (b"inf", "infinity")] {
        if rest.eq_ignore_ascii_case(word) && !(name == "NaN" && bytes[start] != rest[0]) {
            return Err(special(name));
        }
    }
    let radix = match rest {
        [b'0', b'x' | b'X', ..] => 16,
        [b'0', b'o' | b'O', ..] => 8,
        [b'0', b'b' | b'B', ..] => 2,
        _ => 10,
    };
    if radix != 10 {
        let digits = based(&rest[2..], radix).ok_or_else(bad)?;
        return places.fit(&digits, 0, negative);
    }

    let mut digits = Vec::with_capacity(rest.len());
    let mut exponent = 0_i64;
    let mut at = group(rest, 0, &mut digits).ok_or_else(bad)?;
    if rest.get(at) == Some(&b'.') {
        let whole = digits.len();
        at = group(rest, at + 1, &mut digits).ok_or_else(bad)?;
        exponent = -i64::try_from(digits.len() - whole).unwrap_or(i64::MAX);
    }
    if digits.is_empty() {
        return Err(bad());
    }
    if let Some(b'e' | b'E') = rest.get(at) {
        let minus = rest.get(at + 1) == Some(&b'-');
        at += 1 + usize::from(matches!(rest.get(at + 1), Some(b'-' | b'+')));
        let mut power = Vec::new();
        at = group(rest, at, &mut power).ok_or_else(bad)?;
        if power.is_empty() {
            return Err(bad());
        }
        let power = power.iter().fold(0_i64, |value, &digit| {
            value.saturating_mul(10).saturating_add(i64::from(digit)).min(1 << 32)
        });
        exponent = exponent.saturating_add(if minus { -power } else { power });
    }
    if at == rest.len() { places.fit(&digits, exponent, negative) } else { Err(bad()) }
}

/// Digits with single underscores between them; tells where they end.
fn group(bytes: &[u8], mut at: usize, digits: &mut Vec<u8>) -> Option<usize> {
    let start = at;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'0'..=b'9' => digits.push(byte - b'0'),
            b'_' => {
                let parts = at > start && bytes.get(at + 1).is_some_and(u8::is_ascii_digit);
                if !parts {
                    return None;
                }
            }
            _ => break,
        }
        at += 1;
    }
    Some(at)
}

/// The decimal digits of a whole number in another base.
fn based(bytes: &[u8], radix: u32) -> Option<Vec<u8>> {
    let mut value = 0_i128;
    let mut last_is_digit = false;
    for (at, &byte) in bytes.iter().enumerate() {
        if byte == b'_' && (last_is_digit || at == 0) {
            last_is_digit = false;
            continue;
        }
        let digit = char::from(byte).to_digit(radix)?;
        last_is_digit = true;
        // Beyond 38 digits it overflows whatever follows.
        value = value.saturating_mul(i128::from(radix)).saturating_add(i128::from(digit));
    }
    last_is_digit.then(|| value.to_string().bytes().map(|byte| byte - b'0').collect())
}

/// Writes a decimal with `scale` digits behind the point, without the zeros at their end where
/// `trimmed`.
pub(super) fn write(value: i128, scale: i8, trimmed: bool, out: &mut Vec<u8>) {
    let (digits, scale) = apart(value, scale, trimmed);
    if value < 0 {
        out.push(b'-');
    }
    let whole = digits.len() - scale;
    out.extend_from_slice(&digits[..whole]);
    if scale > 0 {
        out.push(b'.');
        out.extend_from_slice(&digits[whole..]);
    }
}

/// The digits of a decimal, at least one before the point, and how many stand behind it.
fn apart(value: i128, scale: i8, trimmed: bool) -> (Vec<u8>, usize) {
    let mut behind = usize::from(scale.unsigned_abs());
    let mut magnitude = value.unsigned_abs();
    if scale < 0 {
        magnitude *= 10_u128.pow(u32::from(scale.unsigned_abs()));
        behind = 0;
    }
    while trimmed && behind > 0 && magnitude.is_multiple_of(10) {
        magnitude /= 10;
        behind -= 1;
    }
    let text = format!("{magnitude:0width$}", width = behind + 1);
    (text.into_bytes(), behind)
}

/// Writes the binary form: groups of four digits.
pub(super) fn write_binary(value: i128, scale: i8, trimmed: bool, out: &mut Vec<u8>) {
    let (digits, behind) = apart(value, scale, trimmed);
    let mut whole = digits.len() - behind;
    let mut padded = vec![b'0'; (4 - whole % 4) % 4];
    whole += padded.len();
    padded.extend_from_slice(&digits);
    padded.resize(padded.len().next_multiple_of(4), b'0');
    let mut groups: Vec<u16> = padded
        .chunks(4)
        .map(|four| four.iter().fold(0, |group, byte| group * 10 + u16::from(byte - b'0')))
        .collect();
    let mut weight = i16::try_from(whole / 4).unwrap_or(0) - 1;
    while groups.last() == Some(&0) {
        groups.pop();
    }
    let zeros = groups.iter().take_while(|&&group| group == 0).count();
    groups.drain(..zeros);
    weight = if groups.is_empty() { 0 } else { weight - i16::try_from(zeros).unwrap_or(0) };
    let count = u16::try_from(groups.len()).unwrap_or(0);
    let sign: u16 = if value < 0 { 0x4000 } else { 0 };
    let behind = u16::try_from(behind).unwrap_or(0);
    out.extend_from_slice(&count.to_be_bytes());
    out.extend_from_slice(&weight.to_be_bytes());
    out.extend_from_slice(&sign.to_be_bytes());
    out.extend_from_slice(&behind.to_be_bytes());
    for group in groups {
        out.extend_from_slice(&group.to_be_bytes());
    }
}

/// Reads the binary form.
pub(super) fn parse_binary(mut bytes: &[u8], places: Places) -> Result<i128> {
    let count = u16::from_be_bytes(take(&mut bytes)?);
    let weight = i16::from_be_bytes(take(&mut bytes)?);
    let sign = u16::from_be_bytes(take(&mut bytes)?);
    let behind = u16::from_be_bytes(take(&mut bytes)?);
    let invalid = |part: &str| {
        Error::new(
            SqlState::INVALID_BINARY_REPRESENTATION,
            format!("invalid {part} in external \"numeric\" value"),
        )
    };
    match sign {
        0 | 0x4000 => {}
        0xC000 => return Err(special("NaN")),
        0xD000 | 0xF000 => return Err(special("infinity")),
        _ => return Err(invalid("sign")),
    }
    if behind > 0x3fff {
        return Err(invalid("scale"));
    }
    let mut digits = Vec::with_capacity(usize::from(count) * 4);
    for _ in 0..count {
        let group = u16::from_be_bytes(take(&mut bytes)?);
        if group > 9999 {
            return Err(invalid("digit"));
        }
        for power in [1000, 100, 10, 1] {
            digits.push(integer::digit(u64::from(group / power % 10)) - b'0');
        }
    }
    if !bytes.is_empty() {
        return Err(bad_binary());
    }
    let exponent = (i64::from(weight) + 1 - i64::from(count)) * 4;
    // Digits beyond the announced scale are hidden, as PostgreSQL hides them.
    let hidden = usize::try_from(-exponent - i64::from(behind)).unwrap_or(0).min(digits.len());
    digits.truncate(digits.len() - hidden);
    let exponent = exponent + i64::try_from(hidden).unwrap_or(0);
    places.fit(&digits, exponent, sign == 0x4000)
}
