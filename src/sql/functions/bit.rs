//! PostgreSQL's functions and operators of bit strings, and pgvector's distances between them.

use crate::{
    error::{Error, Result, SqlState},
    pgtype::{
        bit::{self, BLOCK, Bits},
        string::TooLong,
    },
    sql::functions::call::{self, Arguments, Body},
    vector::Metric,
};
use arrow::{
    array::{ArrayRef, AsArray, BinaryArray, Int32Array, Int64Array},
    datatypes::{Int32Type, Int64Type},
};
use std::sync::Arc;

/// How far two bit strings of one length are apart, as columns carry them.
///
/// # Panics
/// For the metrics of vectors.
#[must_use]
pub(crate) fn distance(metric: Metric, a: &[u8], b: &[u8]) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a bit string has fewer than 2^31 bits")]
    match metric {
        // What stands between the blocks is the same in both.
        Metric::Hamming => ones(a, b, |x, y| x ^ y) as f64,
        Metric::Jaccard => {
            let (mut both, mut either) = (0, 0);
            let blocks = a.chunks_exact(BLOCK + 1).zip(b.chunks_exact(BLOCK + 1));
            for (a, b) in blocks {
                both += ones(&a[..BLOCK], &b[..BLOCK], |x, y| x & y);
                either += ones(&a[..BLOCK], &b[..BLOCK], |x, y| x | y);
            }
            // As in pgvector: nothing in common is as far as can be, also between zeros.
            if both == 0 { 1.0 } else { 1.0 - (both as f64 / either as f64) }
        }
        _ => unreachable!("{metric} is between vectors"),
    }
}

/// How many bits are 1 of what two strings of bytes make, eight at a time.
fn ones(a: &[u8], b: &[u8], make: impl Fn(u64, u64) -> u64) -> u64 {
    let (a_words, a_rest) = a.as_chunks::<8>();
    let (b_words, b_rest) = b.as_chunks::<8>();
    let word = |bytes: &[u8; 8]| u64::from_le_bytes(*bytes);
    let words = a_words.iter().zip(b_words).map(|(x, y)| make(word(x), word(y)));
    let rest = a_rest.iter().zip(b_rest).map(|(&x, &y)| make(u64::from(x), u64::from(y)));
    words.chain(rest).map(|made| u64::from(made.count_ones())).sum()
}

/// `length(b)` and `bit_length(b)`.
pub(crate) fn length(args: &Arguments<'_>) -> Result<ArrayRef> {
    integers(args, |bits| i32::try_from(bit::length(bits)).unwrap_or(i32::MAX))
}

/// `octet_length(b)`.
pub(crate) fn octet_length(args: &Arguments<'_>) -> Result<ArrayRef> {
    integers(args, |bits| i32::try_from(bit::length(bits).div_ceil(8)).unwrap_or(i32::MAX))
}

fn integers(args: &Arguments<'_>, each: impl Fn(&[u8]) -> i32) -> Result<ArrayRef> {
    let rows = args.arrays[0].as_binary::<i32>().iter();
    Ok(Arc::new(rows.map(|bits| bits.map(&each)).collect::<Int32Array>()))
}

/// `bit_count(b)`.
pub(crate) fn count(args: &Arguments<'_>) -> Result<ArrayRef> {
    let rows = args.arrays[0].as_binary::<i32>().iter();
    let count = |bits: &[u8]| i64::try_from(Bits::of_carried(bits).ones()).unwrap_or(i64::MAX);
    Ok(Arc::new(rows.map(|bits| bits.map(count)).collect::<Int64Array>()))
}

/// Bit strings made row by row; NULL where an argument is.
fn rows(
    args: &Arguments<'_>,
    mut each: impl FnMut(usize, Bits) -> Result<Bits>,
) -> Result<ArrayRef> {
    let first = args.arrays[0].as_binary::<i32>();
    let made = (0..args.rows).map(|row| {
        if args.is_null(row) {
            return Ok(None);
        }
        Ok(Some(each(row, Bits::of_carried(first.value(row)))?.carried()))
    });
    Ok(Arc::new(BinaryArray::from_iter(made.collect::<Result<Vec<_>>>()?)))
}

fn other(args: &Arguments<'_>, argument: usize, row: usize) -> Bits {
    Bits::of_carried(args.arrays[argument].as_binary::<i32>().value(row))
}

fn integer(args: &Arguments<'_>, argument: usize, row: usize) -> i64 {
    i64::from(args.arrays[argument].as_primitive::<Int32Type>().value(row))
}

/// `a || b`.
pub(crate) fn concat(args: &Arguments<'_>) -> Result<ArrayRef> {
    rows(args, |row, bits| Ok(bits.followed_by(&other(args, 1, row))))
}

/// `~ b`.
pub(crate) fn not(args: &Arguments<'_>) -> Result<ArrayRef> {
    rows(args, |_, mut bits| {
        bits.bytes.iter_mut().for_each(|byte| *byte = !*byte);
        bits.clear_rest();
        Ok(bits)
    })
}

/// Two bit strings of one length, bit by bit.
///
/// # Errors
/// 22026 where the lengths differ.
pub(crate) fn combine(op: &str, mut a: Bits, b: &Bits) -> Result<Bits> {
    let (word, make): (_, fn(u8, u8) -> u8) = match op {
        "&" => ("AND", |x, y| x & y),
        "|" => ("OR", |x, y| x | y),
        _ => ("XOR", |x, y| x ^ y),
    };
    if a.length != b.length {
        return Err(Error::new(
            SqlState::new(b"22026"),
            format!("cannot {word} bit strings of different sizes"),
        ));
    }
    a.bytes.iter_mut().zip(&b.bytes).for_each(|(x, y)| *x = make(*x, *y));
    Ok(a)
}

/// `a & b`.
pub(crate) fn and(args: &Arguments<'_>) -> Result<ArrayRef> {
    rows(args, |row, bits| combine("&", bits, &other(args, 1, row)))
}

/// `a | b`.
pub(crate) fn or(args: &Arguments<'_>) -> Result<ArrayRef> {
    rows(args, |row, bits| combine("|", bits, &other(args, 1, row)))
}

/// `a # b`.
pub(crate) fn xor(args: &Arguments<'_>) -> Result<ArrayRef> {
    rows(args, |row, bits| combine("#", bits, &other(args, 1, row)))
}

/// `b << n`.
pub(crate) fn shift_left(args: &Arguments<'_>) -> Result<ArrayRef> {
    rows(args, |row, bits| Ok(shifted(&bits, integer(args, 1, row))))
}

/// `b >> n`.
pub(crate) fn shift_right(args: &Arguments<'_>) -> Result<ArrayRef> {
    rows(args, |row, bits| Ok(shifted(&bits, -integer(args, 1, row))))
}

/// Moves every bit to the left, or to the right for numbers below zero; zeros come in.
fn shifted(bits: &Bits, left: i64) -> Bits {
    let places = 0..i64::try_from(bits.length).unwrap_or(i64::MAX);
    Bits::collect(places.map(|at| {
        usize::try_from(at + left).is_ok_and(|from| from < bits.length && bits.bit(from))
    }))
}

/// What an operator of two bit strings, or of one and a number, does.
pub(crate) fn operator(op: &str) -> Option<(&'static str, Body)> {
    Some(match op {
        "&" => ("bitand", and),
        "|" => ("bitor", or),
        "#" => ("bitxor", xor),
        "<<" => ("bitshiftleft", shift_left),
        ">>" => ("bitshiftright", shift_right),
        _ => return None,
    })
}

/// A place of a bit string.
fn place(bits: &Bits, at: i64) -> Result<usize> {
    usize::try_from(at).ok().filter(|&at| at < bits.length).ok_or_else(|| {
        let last = i64::try_from(bits.length).unwrap_or(i64::MAX) - 1;
        Error::new(
            SqlState::ARRAY_SUBSCRIPT_ERROR,
            format!("bit index {at} out of valid range (0..{last})"),
        )
    })
}

/// `get_bit(b, n)`.
pub(crate) fn get(args: &Arguments<'_>) -> Result<ArrayRef> {
    let made = (0..args.rows).map(|row| {
        if args.is_null(row) {
            return Ok(None);
        }
        let bits = other(args, 0, row);
        let place = place(&bits, integer(args, 1, row))?;
        Ok(Some(i32::from(bits.bit(place))))
    });
    Ok(Arc::new(made.collect::<Result<Int32Array>>()?))
}

/// `set_bit(b, n, bit)`.
pub(crate) fn set(args: &Arguments<'_>) -> Result<ArrayRef> {
    rows(args, |row, mut bits| {
        let place = place(&bits, integer(args, 1, row))?;
        let bit = match integer(args, 2, row) {
            0 => false,
            1 => true,
            _ => {
                return Err(Error::new(
                    SqlState::INVALID_PARAMETER_VALUE,
                    "new bit must be 0 or 1",
                ));
            }
        };
        bits.set(place, bit);
        Ok(bits)
    })
}

/// The part of a bit string from a place, which counts from 1, on.
fn part(bits: &Bits, from: i64, count: Option<i64>) -> Result<Bits> {
    let all = i64::try_from(bits.length).unwrap_or(i64::MAX);
    let end = match count {
        Some(..0) => {
            return Err(Error::new(
                SqlState::new(b"22011"),
                "negative substring length not allowed",
            ));
        }
        Some(count) => (from + count).min(all + 1),
        None => all + 1,
    };
    let at = |n: i64| usize::try_from(n.clamp(1, all + 1) - 1).unwrap_or(0);
    Ok(bits.slice(at(from), at(end).max(at(from))))
}

/// `substring(b from n for m)`.
pub(crate) fn substring(args: &Arguments<'_>) -> Result<ArrayRef> {
    rows(args, |row, bits| {
        let count = (args.arrays.len() > 2).then(|| integer(args, 2, row));
        part(&bits, integer(args, 1, row), count)
    })
}

/// `overlay(b placing c from n for m)`.
pub(crate) fn overlay(args: &Arguments<'_>) -> Result<ArrayRef> {
    rows(args, |row, bits| {
        let new = other(args, 1, row);
        let from = integer(args, 2, row);
        let count = if args.arrays.len() > 3 {
            integer(args, 3, row)
        } else {
            i64::try_from(new.length).unwrap_or(i64::MAX)
        };
        if from < 1 {
            return Err(Error::new(
                SqlState::new(b"22011"),
                "negative substring length not allowed",
            ));
        }
        let head = part(&bits, 1, Some(from - 1))?;
        let tail = part(&bits, from + count, None)?;
        Ok(head.followed_by(&new).followed_by(&tail))
    })
}

/// `position(b in c)`, its arguments the other way round: where it begins, or 0.
pub(crate) fn position(args: &Arguments<'_>) -> Result<ArrayRef> {
    let find = |within: &Bits, sought: &Bits| {
        let last = within.length.checked_sub(sought.length)?;
        (0..=last).find(|at| (0..sought.length).all(|n| within.bit(at + n) == sought.bit(n)))
    };
    let made = (0..args.rows).map(|row| {
        let found = || find(&other(args, 0, row), &other(args, 1, row)).map_or(0, |at| at + 1);
        (!args.is_null(row)).then(found).and_then(|at| i32::try_from(at).ok())
    });
    Ok(Arc::new(made.collect::<Int32Array>()))
}

/// The bits of whole numbers, the lowest last: as many as asked for, filled up with the sign.
pub(crate) fn of_integers(array: &ArrayRef, length: u32) -> Result<ArrayRef> {
    let numbers = call::integers(array)?;
    let made = numbers.iter().map(|number| {
        number.map(|number| {
            let shift = |at: u32| (length - 1 - at).min(63);
            Bits::collect((0..length).map(|at| number >> shift(at) & 1 == 1)).carried()
        })
    });
    Ok(Arc::new(BinaryArray::from_iter(made)))
}

/// The whole numbers of so many bits, which may be fewer.
pub(crate) fn to_integers(array: &ArrayRef, name: &str, most: usize) -> Result<Int64Array> {
    let rows = array.as_binary::<i32>().iter().map(|carried| {
        let Some(carried) = carried else { return Ok(None) };
        let bits = Bits::of_carried(carried);
        if bits.length > most {
            return Err(Error::new(
                SqlState::NUMERIC_VALUE_OUT_OF_RANGE,
                format!("{name} out of range"),
            ));
        }
        let number = bits.iter().fold(0_u64, |number, bit| number << 1 | u64::from(bit));
        // All bits of the type are its sign's too.
        Ok(Some(match most {
            32 => i64::from(u32::try_from(number).unwrap_or(0).cast_signed()),
            _ => number.cast_signed(),
        }))
    });
    rows.collect()
}

/// Bit strings under another declared length.
pub(crate) fn resized(
    array: &ArrayRef,
    length: bit::Length,
    too_long: TooLong,
) -> Result<ArrayRef> {
    if length == bit::Length::Any {
        return Ok(Arc::clone(array));
    }
    let rows = array.as_binary::<i32>().iter().map(|carried| {
        let Some(carried) = carried else { return Ok(None) };
        let bits = length.apply(Bits::of_carried(carried), too_long)?;
        Ok(Some(bits.carried()))
    });
    Ok(Arc::new(BinaryArray::from_iter(rows.collect::<Result<Vec<_>>>()?)))
}

/// `get_bit(bytea, n)`: bits count from the lowest of the first byte.
pub(crate) fn get_of_bytes(args: &Arguments<'_>) -> Result<ArrayRef> {
    let bytes = args.arrays[0].as_binary::<i32>();
    let places = args.arrays[1].as_primitive::<Int64Type>();
    let made = (0..args.rows).map(|row| {
        if args.is_null(row) {
            return Ok(None);
        }
        let (byte, bit) = byte_place(bytes.value(row), places.value(row))?;
        Ok(Some(i32::from(bytes.value(row)[byte] >> bit & 1)))
    });
    Ok(Arc::new(made.collect::<Result<Int32Array>>()?))
}

/// `set_bit(bytea, n, bit)`.
pub(crate) fn set_of_bytes(args: &Arguments<'_>) -> Result<ArrayRef> {
    let bytes = args.arrays[0].as_binary::<i32>();
    let places = args.arrays[1].as_primitive::<Int64Type>();
    let made = (0..args.rows).map(|row| {
        if args.is_null(row) {
            return Ok(None);
        }
        let (byte, bit) = byte_place(bytes.value(row), places.value(row))?;
        let mut made = bytes.value(row).to_vec();
        match integer(args, 2, row) {
            0 => made[byte] &= !(1 << bit),
            1 => made[byte] |= 1 << bit,
            _ => {
                return Err(Error::new(
                    SqlState::INVALID_PARAMETER_VALUE,
                    "new bit must be 0 or 1",
                ));
            }
        }
        Ok(Some(made))
    });
    Ok(Arc::new(BinaryArray::from_iter(made.collect::<Result<Vec<_>>>()?)))
}

fn byte_place(bytes: &[u8], at: i64) -> Result<(usize, usize)> {
    let most = bytes.len().saturating_mul(8);
    let place = usize::try_from(at).ok().filter(|&at| at < most).ok_or_else(|| {
        let last = i64::try_from(most).unwrap_or(i64::MAX) - 1;
        Error::new(
            SqlState::ARRAY_SUBSCRIPT_ERROR,
            format!("index {at} out of valid range, 0..{last}"),
        )
    })?;
    Ok((place / 8, place % 8))
}

/// `bit_count(bytea)`.
pub(crate) fn count_of_bytes(args: &Arguments<'_>) -> Result<ArrayRef> {
    let rows = args.arrays[0].as_binary::<i32>().iter();
    let count = |bytes: &[u8]| bytes.iter().map(|byte| i64::from(byte.count_ones())).sum();
    Ok(Arc::new(rows.map(|bytes| bytes.map(count)).collect::<Int64Array>()))
}

/// `bit_length(text)`, and of `bytea`.
pub(crate) fn length_of_text(args: &Arguments<'_>) -> Result<ArrayRef> {
    let bits = |bytes: usize| i32::try_from(bytes.saturating_mul(8)).unwrap_or(i32::MAX);
    let made: Int32Array = match args.arrays[0].as_binary_opt::<i32>() {
        Some(bytes) => bytes.iter().map(|value| value.map(|value| bits(value.len()))).collect(),
        None => args.text(0).iter().map(|text| text.map(|text| bits(text.len()))).collect(),
    };
    Ok(Arc::new(made))
}
