//! Writes floats: the shortest decimal that leads back, with PostgreSQL's choice among equals.

use super::POWERS;
use crate::pgtype::integer::{self, digit};
use std::io::Write as _;

/// Writes a `real`; `extra_float_digits` above 0 asks for the shortest exact form.
pub(in crate::pgtype) fn write_f32(value: f32, extra_float_digits: i32, out: &mut Vec<u8>) {
    if write_special(f64::from(value), out) {
        return;
    }
    if extra_float_digits <= 0 {
        return write_rounded(f64::from(value), 6 + extra_float_digits, out);
    }
    if let Some(decimal) = Decimal::shortest_f32(value) {
        return decimal.write(value.is_sign_negative(), 6, out);
    }
    let bits = value.to_bits() & (u32::MAX >> 1);
    let binary = Binary::of(u64::from(bits), 23, 127);
    let decimal = Decimal::shortest(out, f64::from(value.abs()), &binary, |out| {
        write!(out, "{:e}", value.abs())
    });
    decimal.write(value.is_sign_negative(), 6, out);
}

/// Writes a `double precision`; `extra_float_digits` above 0 asks for the shortest exact form.
pub(in crate::pgtype) fn write_f64(value: f64, extra_float_digits: i32, out: &mut Vec<u8>) {
    if write_special(value, out) {
        return;
    }
    if extra_float_digits <= 0 {
        return write_rounded(value, 15 + extra_float_digits, out);
    }
    let binary = Binary::of(value.to_bits() & (u64::MAX >> 1), 52, 1023);
    let decimal =
        Decimal::shortest(out, value.abs(), &binary, |out| write!(out, "{:e}", value.abs()));
    decimal.write(value.is_sign_negative(), 15, out);
}

fn write_special(value: f64, out: &mut Vec<u8>) -> bool {
    let word: &[u8] = if value.is_nan() {
        b"NaN"
    } else if value.is_infinite() {
        if value > 0.0 { b"Infinity" } else { b"-Infinity" }
    } else if value == 0.0 {
        if value.is_sign_negative() { b"-0" } else { b"0" }
    } else {
        return false;
    };
    out.extend_from_slice(word);
    true
}

/// C's `%.*g`.
fn write_rounded(value: f64, digits: i32, out: &mut Vec<u8>) {
    let digits = digits.max(1);
    let behind = usize::try_from(digits - 1).unwrap_or(0);
    let decimal = Decimal::of(out, |out| write!(out, "{:.*e}", behind, value.abs()));
    decimal.write(value < 0.0, digits, out);
}

/// The whole number next to `target × 10^power`, if its quotient leads back to the real that
/// `target` is. The outer `None` means that doubles are not exact enough to tell.
#[expect(clippy::cast_possible_truncation, reason = "rounding is the point")]
#[expect(clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "below 2^53, not negative")]
fn leads_back(target: f64, power: i32) -> Option<Option<u64>> {
    let scale = *POWERS.get(usize::try_from(power.unsigned_abs()).ok()?)?;
    let scaled = if power < 0 { target / scale } else { target * scale };
    let number = (scaled + 0.5) as u64;
    if ((scaled - number as f64).abs() - 0.5).abs() < 1e-5 {
        return None;
    }
    let back = if power < 0 { number as f64 * scale } else { number as f64 / scale };
    if back.to_bits() & ((1 << 29) - 1) == 1 << 28 {
        return None;
    }
    Some((back as f32 == target as f32).then_some(number))
}

/// A positive binary fraction: `mantissa × 2^exponent`.
struct Binary {
    mantissa: u128,
    exponent: i32,
    /// Whether the number below is only half as far as the one above.
    is_power: bool,
}

impl Binary {
    /// Takes the bits of a finite number apart, without its sign.
    fn of(bits: u64, mantissa_bits: u32, bias: i32) -> Self {
        let fraction = bits & ((1 << mantissa_bits) - 1);
        let exponent = i32::try_from(bits >> mantissa_bits).unwrap_or(0);
        let hidden = if exponent == 0 { 0 } else { 1 << mantissa_bits };
        Self {
            mantissa: u128::from(fraction | hidden),
            exponent: exponent.max(1) - bias - mantissa_bits.cast_signed(),
            is_power: fraction == 0 && exponent > 1,
        }
    }

    /// Whether a decimal lies exactly halfway to a neighbour.
    fn is_between(&self, decimal: &Decimal) -> bool {
        let (digits, power) = decimal.scaled();
        let halfway = |mantissa, exponent| equal((digits, power), (mantissa, exponent));
        let below = if self.is_power {
            halfway(4 * self.mantissa - 1, self.exponent - 2)
        } else {
            halfway(2 * self.mantissa - 1, self.exponent - 1)
        };
        below || halfway(2 * self.mantissa + 1, self.exponent - 1)
    }

    /// Where this lies exactly halfway between two decimals of equal length, the one of them
    /// whose last digit is even.
    fn even(&self, decimal: &mut Decimal) {
        let (digits, power) = decimal.scaled();
        let last = &mut decimal.digits[decimal.length - 1];
        // A digit that is odd is neither 0 when it falls nor 9 when it may rise.
        if digits % 2 == 0 {
            return;
        }
        let twice = (self.mantissa, self.exponent + 1);
        if equal((2 * digits - 1, power), twice) {
            *last -= 1;
        } else if equal((2 * digits + 1, power), twice) && *last != b'9' {
            *last += 1;
        }
    }
}

/// Whether `digits × 10^power` is `mantissa × 2^exponent`.
fn equal((digits, power): (u128, i32), (mantissa, exponent): (u128, i32)) -> bool {
    // Larger powers of five divide no number of 58 bits.
    if power.abs() > 24 {
        return false;
    }
    let five = 5_u128.pow(power.unsigned_abs());
    let (ours, theirs) =
        if power >= 0 { (digits * five, mantissa) } else { (digits, mantissa * five) };
    let shift = power - exponent;
    let up = |value: u128| {
        let by = shift.unsigned_abs();
        (by <= value.leading_zeros()).then(|| value.checked_shl(by)).flatten()
    };
    if shift >= 0 { up(ours) == Some(theirs) } else { up(theirs) == Some(ours) }
}

/// A decimal number: `0.d₁d₂d₃… × 10^(exponent + 1)`, without zeros at its end.
struct Decimal {
    digits: [u8; 20],
    length: usize,
    exponent: i32,
}

impl Decimal {
    /// Takes apart what `{:e}` writes; the end of `out` serves as scratch.
    fn of(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>) -> std::io::Result<()>) -> Self {
        let start = out.len();
        write(out).expect("a vector takes every byte");
        let text = &out[start..];
        let mark = text.iter().position(|&byte| byte == b'e').unwrap_or(text.len());
        let mut decimal = Self { digits: [0; 20], length: 0, exponent: 0 };
        for &byte in text[..mark].iter().filter(|byte| byte.is_ascii_digit()) {
            decimal.digits[decimal.length] = byte;
            decimal.length += 1;
        }
        let power = text.get(mark + 1..).and_then(|power| std::str::from_utf8(power).ok());
        decimal.exponent = power.and_then(|power| power.parse().ok()).unwrap_or(0);
        out.truncate(start);
        decimal.trim();
        decimal
    }

    /// The shortest decimal that lies strictly nearer to `value` than to its neighbours. What
    /// `write` writes may lie just between two, where reading it back relies on rounding to even;
    /// PostgreSQL does not use that, and takes more digits then: 1e23 is 9.999999999999999e+22.
    fn shortest(
        out: &mut Vec<u8>,
        value: f64,
        binary: &Binary,
        write: impl FnOnce(&mut Vec<u8>) -> std::io::Result<()>,
    ) -> Self {
        let mut decimal = Self::of(out, write);
        let mut behind = decimal.length;
        while binary.is_between(&decimal) && behind < 17 {
            decimal = Self::of(out, |out| write!(out, "{value:.behind$e}"));
            behind += 1;
        }
        binary.even(&mut decimal);
        decimal.trim();
        decimal
    }

    /// The digits as a whole number, and the power of ten that it is multiplied by.
    fn scaled(&self) -> (u128, i32) {
        let digits = self.digits[..self.length]
            .iter()
            .fold(0_u128, |value, byte| value * 10 + u128::from(byte - b'0'));
        (digits, self.exponent + 1 - i32::try_from(self.length).unwrap_or(0))
    }

    /// The shortest decimal of a common real: with six to nine digits, the fewest that lead back.
    /// Works in doubles, and gives up where their error could matter.
    fn shortest_f32(value: f32) -> Option<Self> {
        const SCALES: [f64; 14] =
            [1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8];
        let target = f64::from(value.abs());
        if !(1e-5..1e9).contains(&target) {
            return None;
        }
        let steps = SCALES.iter().take_while(|&&scale| target >= scale).count();
        let exponent = i32::try_from(steps).ok()? - 6;
        let attempt = |digits: i32| leads_back(target, digits - 1 - exponent);
        // Most reals take eight digits or nine.
        let (number, digits): (u64, i32) = match attempt(8)? {
            None => (attempt(9)??, 9),
            Some(eight) => match attempt(7)? {
                None => (eight, 8),
                Some(seven) => match attempt(6)? {
                    None => (seven, 7),
                    Some(six) => (six, 6),
                },
            },
        };
        let mut decimal = Self { digits: [0; 20], length: 0, exponent };
        // Rounding up may have made one digit more.
        let carry = i32::from(number >= 10_u64.pow(digits.unsigned_abs()));
        decimal.exponent += carry;
        decimal.length = usize::try_from(digits + carry).ok()?;
        let mut rest = number;
        for at in (0..decimal.length).rev() {
            decimal.digits[at] = digit(rest % 10);
            rest /= 10;
        }
        decimal.trim();
        Some(decimal)
    }

    fn trim(&mut self) {
        while self.length > 1 && self.digits[self.length - 1] == b'0' {
            self.length -= 1;
        }
    }

    /// Lays the digits out: with an exponent below 1e-4 and from ten to the power `fixed` on.
    fn write(&self, negative: bool, fixed: i32, out: &mut Vec<u8>) {
        let digits = &self.digits[..self.length];
        if negative {
            out.push(b'-');
        }
        if (-4..0).contains(&self.exponent) {
            out.extend_from_slice(b"0.");
            for _ in self.exponent + 1..0 {
                out.push(b'0');
            }
            out.extend_from_slice(digits);
        } else if (0..fixed).contains(&self.exponent) {
            let whole = usize::try_from(self.exponent).unwrap_or(0) + 1;
            if digits.len() <= whole {
                out.extend_from_slice(digits);
                out.resize(out.len() + whole - digits.len(), b'0');
            } else {
                out.extend_from_slice(&digits[..whole]);
                out.push(b'.');
                out.extend_from_slice(&digits[whole..]);
            }
        } else {
            out.push(digits[0]);
            if digits.len() > 1 {
                out.push(b'.');
                out.extend_from_slice(&digits[1..]);
            }
            out.extend_from_slice(if self.exponent < 0 { b"e-" } else { b"e+" });
            integer::write_padded(u64::from(self.exponent.unsigned_abs()), 2, out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::scan_f32, *};
    use rand::{RngCore, SeedableRng, rngs::SmallRng};

    /// How many numbers each check takes.
    const NUMBERS: u32 = 20_000;

    #[test]
    fn the_short_ways_lead_where_the_long_ones_do() {
        let mut chance = SmallRng::seed_from_u64(1);
        for at in 0..NUMBERS {
            let bits = chance.next_u32();
            let mut value = f32::from_bits(bits);
            // Every other one as embeddings have them.
            if at % 2 == 0 {
                value = f32::from_bits(0x3900_0000 + bits % 0x0700_0000);
            }
            if !value.is_finite() || value == 0.0 {
                continue;
            }
            let mut short = Vec::new();
            write_f32(value, 1, &mut short);
            let mut long = Vec::new();
            let binary = Binary::of(u64::from(value.abs().to_bits()), 23, 127);
            let target = f64::from(value.abs());
            Decimal::shortest(&mut long, target, &binary, |out| write!(out, "{:e}", value.abs()))
                .write(value < 0.0, 6, &mut long);
            assert_eq!(String::from_utf8_lossy(&short), String::from_utf8_lossy(&long));

            let (back, length) = scan_f32(&short).unwrap();
            assert_eq!((back.to_bits(), length), (value.to_bits(), short.len()));
            let digits = usize::try_from(bits % 17).unwrap();
            let text = format!("{:.digits$}", f64::from(value) * 1.000_001);
            let exact: f32 = text.parse().unwrap();
            assert_eq!(scan_f32(text.as_bytes()).unwrap().0.to_bits(), exact.to_bits(), "{text}");
        }
    }

    #[test]
    fn halves_go_to_the_even_digit_and_bounds_are_kept_clear_of() {
        let shown = |value: f64| {
            let mut out = Vec::new();
            write_f64(value, 1, &mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(shown(1e23), "9.999999999999999e+22");
        assert_eq!(shown(f64::from_bits(0x4305_dad2_468b_e102)), "768946396560416.2");
        assert_eq!(shown(5e-324), "5e-324");
        assert_eq!(shown(9_007_199_254_740_993.0), "9.007199254740992e+15");
    }
}
