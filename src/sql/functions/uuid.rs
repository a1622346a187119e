//! Universally unique identifiers: made by chance, and by the time.

use super::{datetime::shifted_now, lists};
use crate::{
    error::Result,
    sql::{error::from_arrow, functions::call::Arguments},
};
use arrow::array::{
    Array, ArrayRef, AsArray, FixedSizeBinaryArray, Int16Array, TimestampMicrosecondArray,
};
use std::sync::Arc;

fn column(args: &Arguments<'_>, bytes: &[[u8; 16]]) -> Result<ArrayRef> {
    if bytes.is_empty() {
        return Ok(lists::nulls(args));
    }
    Ok(Arc::new(FixedSizeBinaryArray::try_from_iter(bytes.iter()).map_err(from_arrow)?))
}

fn chance(args: &Arguments<'_>) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&args.context.random().to_le_bytes());
    bytes[8..].copy_from_slice(&args.context.random().to_le_bytes());
    bytes
}

/// `gen_random_uuid()`, `uuidv4()`
pub(crate) fn random(args: &Arguments<'_>) -> Result<ArrayRef> {
    let one = |_| uuid::Builder::from_random_bytes(chance(args)).into_uuid().into_bytes();
    column(args, &(0..args.rows).map(one).collect::<Vec<_>>())
}

/// `uuidv7([interval])`: milliseconds, and twelve bits for the parts of one, by which those of a session
/// are in the order in which they were made; all of it later or earlier by the interval.
pub(crate) fn timed(args: &Arguments<'_>) -> Result<ArrayRef> {
    let micros = args.context.clock_micros();
    let ticks_of =
        |micros: i64| micros.div_euclid(1000) * 4096 + micros.rem_euclid(1000) * 4096 / 1000;
    let now = u64::try_from(ticks_of(micros)).unwrap_or(0);
    let begun = args.context.ascending(now, args.rows as u64);
    let one = |(row, ticks): (usize, u64)| {
        if args.is_null(row) {
            return Ok(None);
        }
        let ticks = match args.arrays.first() {
            Some(_) => {
                ticks.wrapping_add_signed(ticks_of(shifted_now(args, row)?) - ticks_of(micros))
            }
            None => ticks,
        };
        let mut bytes = chance(args);
        bytes[..6].copy_from_slice(&(ticks / 4096).to_be_bytes()[2..]);
        let [.., high, low] = (ticks % 4096).to_be_bytes();
        bytes[6] = 0x70 | high;
        bytes[7] = low;
        bytes[8] = 0x80 | bytes[8] & 0x3f;
        Ok(Some(bytes))
    };
    let made = (0..args.rows).zip(begun..).map(one).collect::<Result<Vec<_>>>()?;
    if made.iter().all(Option::is_none) {
        return Ok(lists::nulls(args));
    }
    let made = FixedSizeBinaryArray::try_from_sparse_iter_with_size(made.into_iter(), 16);
    Ok(Arc::new(made.map_err(from_arrow)?))
}

/// The version of an identifier whose layout tells it.
fn version_of(bytes: &[u8]) -> Option<i16> {
    (bytes[8] & 0xc0 == 0x80).then(|| i16::from(bytes[6] >> 4))
}

/// `uuid_extract_version(uuid)`
pub(crate) fn version(args: &Arguments<'_>) -> Result<ArrayRef> {
    let values = args.arrays[0].as_fixed_size_binary();
    let one = |row| values.is_valid(row).then(|| version_of(values.value(row))).flatten();
    Ok(Arc::new((0..args.rows).map(one).collect::<Int16Array>()))
}

/// `uuid_extract_timestamp(uuid)`, of the versions 1 and 7.
pub(crate) fn timestamp(args: &Arguments<'_>) -> Result<ArrayRef> {
    let values = args.arrays[0].as_fixed_size_binary();
    let number = |bytes: &[u8]| bytes.iter().fold(0_i64, |n, &byte| n << 8 | i64::from(byte));
    let one = |row| {
        let bytes = values.is_valid(row).then(|| values.value(row))?;
        match version_of(bytes)? {
            // Hundreds of nanoseconds since 1582-10-15.
            1 => {
                let high = number(&bytes[6..8]) & 0x0fff;
                let ticks = high << 48 | number(&bytes[4..6]) << 32 | number(&bytes[..4]);
                Some((ticks - 0x01b2_1dd2_1381_4000) / 10)
            }
            7 => Some(number(&bytes[..6]) * 1000),
            _ => None,
        }
    };
    let made: TimestampMicrosecondArray = (0..args.rows).map(one).collect();
    Ok(Arc::new(made.with_data_type(args.result.arrow())))
}
