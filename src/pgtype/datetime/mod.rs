//! Dates and times: `date`, `time`, `time with time zone`, `timestamp`, `timestamp with time zone`.
//!
//! A date is a day and a timestamp a microsecond, counted from 1970-01-01; the largest and the
//! smallest number stand for infinity. This file reads them from text and from the binary forms:
//!
//! ```text
//!   tokens     takes a text apart              decode     makes sense of the pieces as PostgreSQL does
//!   clock      hh:mm:ss                        zone       knows the zones
//!   calendar   days and dates                  write      the way back to text
//!   timetz     a time of day with its offset                fault      why a text is none of these
//! ```

pub(super) mod calendar;
pub(super) mod clock;
mod decode;
pub(super) mod fault;
pub mod timetz;
pub(super) mod tokens;
pub(super) mod write;
pub mod zone;

use super::style::Style;
use crate::error::{Error, Result, SqlState};
use calendar::{DAY, EPOCH_DAYS, days_of};
pub use calendar::{date_in_range, timestamp_in_range};
use decode::{Decoder, Moment};

/// Reads a `date`, as days from 1970-01-01.
pub(super) fn parse_date(text: &str, style: &Style) -> Result<i32> {
    let moment = Decoder::read(text, style).map_err(|fault| fault.error("date", text))?;
    Ok(match moment {
        Moment::Late => i32::MAX,
        Moment::Early => i32::MIN,
        Moment::Epoch => 0,
        Moment::At(fields) => {
            let days = days_of(fields.year, fields.month, fields.day);
            date_in_range(days).ok_or_else(|| beyond("date", text))?
        }
    })
}

/// Reads a `time`, as microseconds from midnight.
pub(super) fn parse_time(text: &str, style: &Style) -> Result<i64> {
    let fields = Decoder::read_time(text, style).map_err(|fault| fault.error("time", text))?;
    Ok(fields.time())
}

/// Reads a `timestamp`, as microseconds from 1970-01-01; a zone in the text is passed over.
pub(super) fn parse_timestamp(text: &str, style: &Style) -> Result<i64> {
    let kind = "timestamp";
    let moment = Decoder::read(text, style).map_err(|fault| fault.error(kind, text))?;
    timestamp_of(&moment, false).ok_or_else(|| beyond(kind, text))
}

/// Reads a `timestamp with time zone`, as microseconds from 1970-01-01 UTC.
pub(super) fn parse_timestamptz(text: &str, style: &Style) -> Result<i64> {
    let kind = "timestamp with time zone";
    let moment = Decoder::read(text, style).map_err(|fault| fault.error(kind, text))?;
    timestamp_of(&moment, true).ok_or_else(|| beyond("timestamp", text))
}

fn timestamp_of(moment: &Moment, zoned: bool) -> Option<i64> {
    let fields = match moment {
        Moment::Late => return Some(i64::MAX),
        Moment::Early => return Some(i64::MIN),
        Moment::Epoch => return Some(0),
        Moment::At(fields) => fields,
    };
    let days = days_of(fields.year, fields.month, fields.day);
    let local = days.checked_mul(DAY)?.checked_add(fields.time())?;
    let offset = if zoned { i64::from(fields.offset) * 1_000_000 } else { 0 };
    timestamp_in_range(local.checked_sub(offset)?)
}

fn beyond(kind: &str, text: &str) -> Error {
    Error::new(SqlState::DATETIME_FIELD_OVERFLOW, format!("{kind} out of range: \"{text}\""))
}

/// Reads the binary form of a date: days from 2000-01-01.
pub(super) fn date_from_binary(days: i32) -> Result<i32> {
    match days {
        i32::MAX | i32::MIN => Ok(days),
        _ => date_in_range(i64::from(days) + i64::from(EPOCH_DAYS))
            .ok_or_else(|| Error::new(SqlState::DATETIME_FIELD_OVERFLOW, "date out of range")),
    }
}

/// The binary form of a date.
pub(super) fn date_to_binary(days: i32) -> i32 {
    match days {
        i32::MAX | i32::MIN => days,
        _ => days.saturating_sub(EPOCH_DAYS),
    }
}

/// Reads the binary form of a timestamp: microseconds from 2000-01-01.
pub(super) fn timestamp_from_binary(micros: i64) -> Result<i64> {
    match micros {
        i64::MAX | i64::MIN => Ok(micros),
        _ => micros
            .checked_add(i64::from(EPOCH_DAYS) * DAY)
            .and_then(timestamp_in_range)
            .ok_or_else(|| Error::new(SqlState::DATETIME_FIELD_OVERFLOW, "timestamp out of range")),
    }
}

/// The binary form of a timestamp.
pub(super) fn timestamp_to_binary(micros: i64) -> i64 {
    match micros {
        i64::MAX | i64::MIN => micros,
        _ => micros.saturating_sub(i64::from(EPOCH_DAYS) * DAY),
    }
}
