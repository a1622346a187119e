//! `time with time zone`: a time of day and how far from UTC the clock is that shows it.
//!
//! A column carries each value as twelve bytes that sort as PostgreSQL sorts: by the time in UTC,
//! then from east to west. Two clocks that show the same moment in different zones are not equal.
//!
//! ```text
//!   8 bytes   microseconds in UTC from midnight, the sign bit turned, most significant byte first
//!   4 bytes   seconds west of UTC, likewise
//! ```

use super::{
    calendar::DAY,
    decode::Decoder,
    write::{write_offset, write_time},
};
use crate::{
    error::{Error, Result, SqlState},
    pgtype::{faults::take, precision, style::Style},
};

/// A time with its offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timetz {
    /// What the clock shows, in microseconds from midnight.
    pub micros: i64,
    /// Seconds east of UTC.
    pub offset: i32,
}

/// So far and no further from UTC: sixteen hours, in seconds.
const OFFSET_BOUND: i32 = 16 * 3600;

const SIGN_64: u64 = 1 << 63;
const SIGN_32: u32 = 1 << 31;

impl Timetz {
    /// Reads the text of one.
    pub(in crate::pgtype) fn parse(text: &str, style: &Style) -> Result<Self> {
        let fields = Decoder::read_time_with_zone(text, style)
            .map_err(|fault| fault.error("time with time zone", text))?;
        Ok(Self { micros: fields.time(), offset: fields.offset })
    }

    /// Reads the binary form: microseconds from midnight, seconds west of UTC.
    pub(in crate::pgtype) fn from_binary(mut bytes: &[u8]) -> Result<Self> {
        let micros = i64::from_be_bytes(take(&mut bytes)?);
        let west = i32::from_be_bytes(take(&mut bytes)?);
        if !bytes.is_empty() {
            return Err(crate::pgtype::faults::bad_binary());
        }
        if !(0..=DAY).contains(&micros) {
            return Err(Error::new(SqlState::DATETIME_FIELD_OVERFLOW, "time out of range"));
        }
        if !(1 - OFFSET_BOUND..OFFSET_BOUND).contains(&west) {
            return Err(Error::new(
                SqlState::INVALID_TIME_ZONE_DISPLACEMENT,
                "time zone displacement out of range",
            ));
        }
        Ok(Self { micros, offset: -west })
    }

    /// The value of a column's bytes.
    #[must_use]
    pub fn of_carried(bytes: &[u8]) -> Self {
        let (utc, west) = match bytes.split_first_chunk::<8>() {
            Some((utc, west)) => (*utc, west.try_into().unwrap_or_default()),
            None => Default::default(),
        };
        let utc = (u64::from_be_bytes(utc) ^ SIGN_64).cast_signed();
        let west = (u32::from_be_bytes(west) ^ SIGN_32).cast_signed();
        Self { micros: utc.wrapping_sub(i64::from(west) * 1_000_000), offset: west.wrapping_neg() }
    }

    /// The bytes that a column carries.
    #[must_use]
    pub fn carried(self) -> [u8; 12] {
        let (utc, west) = (self.utc().cast_unsigned() ^ SIGN_64, self.offset.wrapping_neg());
        let west = west.cast_unsigned() ^ SIGN_32;
        let mut bytes = [0; 12];
        bytes[..8].copy_from_slice(&utc.to_be_bytes());
        bytes[8..].copy_from_slice(&west.to_be_bytes());
        bytes
    }

    /// The time in UTC, from midnight of the clock's day.
    #[must_use]
    pub fn utc(self) -> i64 {
        self.micros - i64::from(self.offset) * 1_000_000
    }

    /// What a clock shows at the same moment that is so many seconds east of UTC.
    #[must_use]
    pub fn at_offset(self, offset: i32) -> Self {
        let micros = (self.utc() + i64::from(offset) * 1_000_000).rem_euclid(DAY);
        Self { micros, offset }
    }

    /// With as many digits of the second as are kept.
    #[must_use]
    pub fn rounded(self, digits: Option<u8>) -> Self {
        Self { micros: precision::time(self.micros, digits), ..self }
    }

    /// Writes its text: `03:04:05.5+02`.
    pub(in crate::pgtype) fn write(self, out: &mut Vec<u8>) {
        write_time(self.micros, out);
        write_offset(self.offset, out);
    }

    /// Writes the binary form.
    pub(in crate::pgtype) fn write_binary(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.micros.to_be_bytes());
        out.extend_from_slice(&self.offset.wrapping_neg().to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_sort_as_values_do() {
        let hour = 3_600_000_000;
        let at = |hours: i64, east: i32| Timetz { micros: hours * hour, offset: east * 3600 };
        // The same moment in Berlin, Greenwich and New York, then later ones.
        let sorted = [at(13, 1), at(12, 0), at(7, -5), at(12, -1), at(0, -15), at(24, -15)];
        for pair in sorted.windows(2) {
            assert!(pair[0].carried() < pair[1].carried(), "{pair:?}");
        }
        for value in sorted {
            assert_eq!(Timetz::of_carried(&value.carried()), value);
        }
    }
}
