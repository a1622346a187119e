//! Dates and times: `date`, `time`, `timestamp`, `timestamp with time zone`.
//!
//! `tokens` takes a text apart, `decode` makes sense of the pieces as PostgreSQL does, `zone`
//! knows the zones, and this file turns fields into the numbers that Arrow carries and back. A
//! date is a day and a timestamp a microsecond, counted from 1970-01-01; the largest and the
//! smallest number stand for infinity.

mod decode;
pub(super) mod tokens;
pub mod zone;

use super::{integer::write_padded, output::Style};
use crate::error::{Error, Result, SqlState};
use decode::{Decoder, Moment};

pub(super) use decode::clock_span;
use std::fmt;

/// Microseconds of a day.
pub(super) const DAY: i64 = 86_400_000_000;

/// Days between 1970-01-01, from which Arrow counts, and 2000-01-01, from which the binary forms
/// count.
pub(super) const EPOCH_DAYS: i32 = 10_957;

/// The Julian day of 1970-01-01.
const JULIAN: i64 = 2_440_588;

/// The first microsecond that PostgreSQL knows: 4714-11-24 BC, Julian day 0.
const FIRST: i64 = -JULIAN * DAY;

/// The order in which `1/2/2024` names day and month.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DateOrder {
    /// Month, day, year.
    #[default]
    Mdy,
    /// Day, month, year.
    Dmy,
    /// Year, month, day.
    Ymd,
}

/// Why a text is no date or time.
#[derive(Debug, PartialEq)]
pub(super) enum Fault {
    /// It does not look like one.
    Format,
    /// A field is beyond its bounds.
    Field,
    /// A month or a day is, which another [`DateOrder`] might mend.
    MonthDay,
    /// An interval is longer than any.
    Interval,
    /// A zone is further from UTC than any.
    Displacement,
    /// No zone has the name.
    Zone(String),
    /// `now` and its kin, where nobody has told the time.
    Timeless,
}

impl Fault {
    /// The error that PostgreSQL raises.
    pub(super) fn error(self, kind: &str, text: &str) -> Error {
        let field = || {
            Error::new(
                SqlState::DATETIME_FIELD_OVERFLOW,
                format!("date/time field value out of range: \"{text}\""),
            )
        };
        match self {
            Self::Format => Error::new(
                SqlState::INVALID_DATETIME_FORMAT,
                format!("invalid input syntax for type {kind}: \"{text}\""),
            ),
            Self::Field => field(),
            Self::MonthDay => field().hint("Perhaps you need a different \"DateStyle\" setting."),
            Self::Interval => {
                Error::new(SqlState::DATETIME_FIELD_OVERFLOW, "interval out of range")
            }
            Self::Displacement => Error::new(
                SqlState::INVALID_TIME_ZONE_DISPLACEMENT,
                format!("time zone displacement out of range: \"{text}\""),
            ),
            Self::Zone(name) => Error::new(
                SqlState::INVALID_PARAMETER_VALUE,
                format!("time zone \"{name}\" not recognized"),
            ),
            Self::Timeless => Error::unsupported(format!(
                "\"{text}\" is not supported here: it depends on the time of the statement"
            ))
            .hint("Use now() or current_date."),
        }
    }
}

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

fn date_in_range(days: i64) -> Option<i32> {
    // The last date that PostgreSQL knows is 5874897-12-31.
    (-JULIAN..2_147_483_494 - JULIAN).contains(&days).then(|| i32::try_from(days).ok())?
}

fn timestamp_in_range(micros: i64) -> Option<i64> {
    (FIRST..i64::MAX).contains(&micros).then_some(micros)
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

/// Writes a date: `2024-01-02`.
pub(super) fn write_date(days: i32, out: &mut Vec<u8>) {
    match days {
        i32::MAX => out.extend_from_slice(b"infinity"),
        i32::MIN => out.extend_from_slice(b"-infinity"),
        _ => {
            let year = write_day(i64::from(days), out);
            write_era(year, out);
        }
    }
}

/// Writes a time of day: `03:04:05.5`.
pub(super) fn write_time(micros: i64, out: &mut Vec<u8>) {
    let micros = micros.unsigned_abs();
    let seconds = micros / 1_000_000;
    write_padded(seconds / 3600, 2, out);
    out.push(b':');
    write_padded(seconds / 60 % 60, 2, out);
    out.push(b':');
    write_padded(seconds % 60, 2, out);
    write_fraction(micros % 1_000_000, out);
}

/// Writes microseconds behind a point, without the zeros at their end.
pub(super) fn write_fraction(micros: u64, out: &mut Vec<u8>) {
    if micros > 0 {
        out.push(b'.');
        write_padded(micros, 6, out);
        while out.last() == Some(&b'0') {
            out.pop();
        }
    }
}

/// Writes a timestamp: `2024-01-02 03:04:05.5`, in `zone` with the offset behind it.
pub(super) fn write_timestamp(micros: i64, zone: Option<chrono_tz::Tz>, out: &mut Vec<u8>) {
    match micros {
        i64::MAX => return out.extend_from_slice(b"infinity"),
        i64::MIN => return out.extend_from_slice(b"-infinity"),
        _ => {}
    }
    let offset = zone.map(|zone| zone::offset_at(zone, micros.div_euclid(1_000_000)));
    let shift = i64::from(offset.unwrap_or(0)) * 1_000_000;
    // Near the end of time the local time may lie beyond it; wide numbers do not mind.
    let local = i128::from(micros) + i128::from(shift);
    let day = i128::from(DAY);
    let days = i64::try_from(local.div_euclid(day)).unwrap_or(0);
    let year = write_day(days, out);
    out.push(b' ');
    write_time(i64::try_from(local.rem_euclid(day)).unwrap_or(0), out);
    if let Some(offset) = offset {
        out.push(if offset < 0 { b'-' } else { b'+' });
        let offset = u64::from(offset.unsigned_abs());
        write_padded(offset / 3600, 2, out);
        if offset % 3600 > 0 {
            out.push(b':');
            write_padded(offset / 60 % 60, 2, out);
        }
        if offset % 60 > 0 {
            out.push(b':');
            write_padded(offset % 60, 2, out);
        }
    }
    write_era(year, out);
}

/// Writes year, month and day; returns the year.
fn write_day(days: i64, out: &mut Vec<u8>) -> i64 {
    let (year, month, day) = civil_of(days);
    write_padded(if year > 0 { year } else { 1 - year }.unsigned_abs(), 4, out);
    out.push(b'-');
    write_padded(u64::from(month), 2, out);
    out.push(b'-');
    write_padded(u64::from(day), 2, out);
    year
}

fn write_era(year: i64, out: &mut Vec<u8>) {
    if year <= 0 {
        out.extend_from_slice(b" BC");
    }
}

/// The days from 1970-01-01 to a date of the Gregorian calendar; year 0 is 1 BC. Months beyond
/// twelve run into the next years.
pub(super) fn days_of(year: i64, month: u32, day: u32) -> i64 {
    // Years that begin in March put the leap day at their end.
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let month = i64::from((month + 9) % 12);
    let day_of_year = (153 * month + 2) / 5 + i64::from(day) - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// Year, month and day of a number of days from 1970-01-01.
pub(super) fn civil_of(days: i64) -> (i64, u32, u32) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day = days.rem_euclid(146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + era * 400 + i64::from(month <= 2);
    (year, u32::try_from(month).unwrap_or(1), u32::try_from(day).unwrap_or(1))
}

/// How many days a month has.
fn days_of_month(year: i64, month: u32) -> u32 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

impl fmt::Display for DateOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Mdy => "MDY",
            Self::Dmy => "DMY",
            Self::Ymd => "YMD",
        })
    }
}
