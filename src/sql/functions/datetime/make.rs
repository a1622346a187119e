//! Times made of their parts, put into bins, moved by an interval, and periods that overlap.

use super::{
    DAY, SECOND, day_of, moved, out_of_range, rows, spans, stamps, timetz::zoned, to_micros, typed,
    zones,
};
use crate::{
    error::{Error, Result, SqlState},
    pgtype::{PgType, datetime::zone::Zone, interval::is_infinite},
    sql::functions::{call::Arguments, zone::to_utc},
};
use arrow::{
    array::{Array, ArrayRef, AsArray, BooleanArray},
    datatypes::{
        Float64Type, Int32Type, IntervalMonthDayNano, IntervalMonthDayNanoType,
        Time64MicrosecondType, TimestampMicrosecondType,
    },
};
use std::sync::Arc;

fn integer(args: &Arguments<'_>, at: usize, row: usize) -> i32 {
    args.arrays[at].as_primitive::<Int32Type>().value(row)
}

fn double(args: &Arguments<'_>, at: usize, row: usize) -> f64 {
    args.arrays[at].as_primitive::<Float64Type>().value(row)
}

/// The microseconds of a day at a time of the clock.
fn clock(hour: i32, minute: i32, second: f64) -> Option<i64> {
    let fits =
        (0..=24).contains(&hour) && (0..60).contains(&minute) && (0.0..=60.0).contains(&second);
    #[expect(clippy::cast_possible_truncation, reason = "at most 60 million")]
    let second = fits.then(|| (second * 1e6).round() as i64)?;
    let micros = (i64::from(hour) * 60 + i64::from(minute)) * 60 * SECOND + second;
    (micros <= DAY).then_some(micros)
}

fn field_out_of_range(what: &str, shown: &str) -> Error {
    Error::new(
        SqlState::DATETIME_FIELD_OVERFLOW,
        format!("{what} field value out of range: {shown}"),
    )
}

/// `make_time(hour, minute, second)`
pub(crate) fn time(args: &Arguments<'_>) -> Result<ArrayRef> {
    let made = rows::<Time64MicrosecondType>(args, |row| {
        let (hour, minute, second) =
            (integer(args, 0, row), integer(args, 1, row), double(args, 2, row));
        clock(hour, minute, second)
            .ok_or_else(|| field_out_of_range("time", &format!("{hour}:{minute:02}:{second:02}")))
    })?;
    Ok(typed(made, args))
}

/// The wall clock of a year, month, day, hour, minute and second; years below 0 are before Christ.
fn wall(args: &Arguments<'_>, row: usize) -> Result<i64> {
    let date = day_of(integer(args, 0, row), integer(args, 1, row), integer(args, 2, row))?;
    let (hour, minute, second) =
        (integer(args, 3, row), integer(args, 4, row), double(args, 5, row));
    let time = clock(hour, minute, second)
        .ok_or_else(|| field_out_of_range("time", &format!("{hour}:{minute:02}:{second:02}")))?;
    Ok(to_micros(date) + time)
}

/// `make_timestamp(year, month, day, hour, minute, second)`
pub(crate) fn timestamp(args: &Arguments<'_>) -> Result<ArrayRef> {
    let made = rows::<TimestampMicrosecondType>(args, |row| wall(args, row))?;
    Ok(typed(made, args))
}

/// `make_timestamptz(year, month, day, hour, minute, second, [zone])`
pub(crate) fn timestamptz(args: &Arguments<'_>) -> Result<ArrayRef> {
    let made = rows::<TimestampMicrosecondType>(args, |row| {
        let session = args.context.time_zone();
        let zone = match args.arrays.get(6) {
            Some(names) => Zone::of_parts(names.as_string::<i32>().value(row), session)?,
            None => session.into(),
        };
        Ok(to_utc(zone, wall(args, row)?))
    })?;
    Ok(typed(made, args))
}

/// `make_interval(years, months, weeks, days, hours, mins, secs)`
pub(crate) fn interval(args: &Arguments<'_>) -> Result<ArrayRef> {
    let fault = || out_of_range("interval");
    let made = rows::<IntervalMonthDayNanoType>(args, |row| {
        let part = |at: usize| args.arrays.get(at).map_or(0, |_| integer(args, at, row));
        let seconds = args.arrays.get(6).map_or(0.0, |_| double(args, 6, row));
        let months = part(0).checked_mul(12).and_then(|m| m.checked_add(part(1)));
        let days = part(2).checked_mul(7).and_then(|d| d.checked_add(part(3)));
        let nanos = (seconds * 1e6).round() * 1e3;
        if nanos.is_nan() || nanos.abs() >= 9.2e18 {
            return Err(fault());
        }
        #[expect(clippy::cast_possible_truncation, reason = "checked just before")]
        let nanos = nanos as i64;
        let minutes = i64::from(part(4)) * 60 + i64::from(part(5));
        let nanos = minutes.checked_mul(60 * SECOND * 1000).and_then(|m| m.checked_add(nanos));
        let (months, days) = (months.ok_or_else(fault)?, days.ok_or_else(fault)?);
        Ok(IntervalMonthDayNano::new(months, days, nanos.ok_or_else(fault)?))
    })?;
    Ok(typed(made, args))
}

/// `date_bin(stride, timestamp, origin)`
pub(crate) fn bin(args: &Arguments<'_>) -> Result<ArrayRef> {
    let fault = |message: &str| Error::new(SqlState::DATETIME_FIELD_OVERFLOW, message);
    let made = rows::<TimestampMicrosecondType>(args, |row| {
        let stride = spans(args, 0).value(row);
        let (at, origin) = (stamps(args, 1).value(row), stamps(args, 2).value(row));
        if [i64::MAX, i64::MIN].contains(&at) {
            return Ok(at);
        }
        if [i64::MAX, i64::MIN].contains(&origin) {
            return Err(fault("origin out of range"));
        }
        if is_infinite(stride) {
            return Err(fault("timestamps cannot be binned into infinite intervals"));
        }
        if stride.months != 0 {
            return Err(Error::unsupported(
                "timestamps cannot be binned into intervals containing months or years",
            ));
        }
        let stride = i64::from(stride.days)
            .checked_mul(DAY)
            .and_then(|days| days.checked_add(stride.nanoseconds / 1000))
            .ok_or_else(|| out_of_range("interval"))?;
        if stride <= 0 {
            return Err(fault("stride must be greater than zero"));
        }
        let past = at.checked_sub(origin).ok_or_else(|| out_of_range("interval"))?;
        at.checked_sub(past.rem_euclid(stride)).ok_or_else(|| out_of_range("timestamp"))
    })?;
    Ok(typed(made, args))
}

/// `date_add(timestamptz, interval, [zone])`
pub(crate) fn date_add(args: &Arguments<'_>) -> Result<ArrayRef> {
    shifted(args, 1)
}

/// `date_subtract(timestamptz, interval, [zone])`
pub(crate) fn date_subtract(args: &Arguments<'_>) -> Result<ArrayRef> {
    shifted(args, -1)
}

fn shifted(args: &Arguments<'_>, sign: i64) -> Result<ArrayRef> {
    let made = rows::<TimestampMicrosecondType>(args, |row| {
        let zone = zones::told(args, 2, row)?;
        moved(Some(zone), stamps(args, 0).value(row), spans(args, 1).value(row), sign)
    })?;
    Ok(typed(made, args))
}

/// `overlaps(start, end, start, end)`: where a NULL bound may decide, nobody knows.
pub(crate) fn overlaps(args: &Arguments<'_>) -> Result<ArrayRef> {
    let value = |at: usize, row: usize| -> Option<i64> {
        let array = &args.arrays[at];
        array.is_valid(row).then(|| match args.kinds[at] {
            PgType::Timetz(_) => zoned(args, at, row).utc(),
            PgType::Time(_) => array.as_primitive::<Time64MicrosecondType>().value(row),
            _ => array.as_primitive::<TimestampMicrosecondType>().value(row),
        })
    };
    let rows = (0..args.rows).map(|row| {
        let first = period(value(0, row), value(1, row))?;
        let second = period(value(2, row), value(3, row))?;
        let (early, late) = if first.0 <= second.0 { (first, second) } else { (second, first) };
        let both_end = early.1.is_some() && late.1.is_some();
        if early.0 == late.0 {
            return both_end.then_some(true);
        }
        match early.1? {
            end if late.0 < end => Some(true),
            _ => both_end.then_some(false),
        }
    });
    Ok(Arc::new(rows.collect::<BooleanArray>()))
}

/// A period by its earlier bound; its later one may be unknown.
fn period(a: Option<i64>, b: Option<i64>) -> Option<(i64, Option<i64>)> {
    match (a, b) {
        (Some(a), Some(b)) => Some((a.min(b), Some(a.max(b)))),
        (Some(a), None) | (None, Some(a)) => Some((a, None)),
        (None, None) => None,
    }
}

/// `justify_days(interval)`
pub(crate) fn justify_days(args: &Arguments<'_>) -> Result<ArrayRef> {
    justified(args, |months, days, nanos| alike(months + days / 30, days % 30, nanos, false))
}

/// `justify_hours(interval)`
pub(crate) fn justify_hours(args: &Arguments<'_>) -> Result<ArrayRef> {
    justified(args, |months, days, nanos| {
        let day = DAY * 1000;
        let (mut days, mut nanos) = (days + nanos / day, nanos % day);
        if days > 0 && nanos < 0 {
            (days, nanos) = (days - 1, nanos + day);
        } else if days < 0 && nanos > 0 {
            (days, nanos) = (days + 1, nanos - day);
        }
        (months, days, nanos)
    })
}

/// `justify_interval(interval)`
pub(crate) fn justify_interval(args: &Arguments<'_>) -> Result<ArrayRef> {
    justified(args, |months, days, nanos| {
        let day = DAY * 1000;
        let (days, nanos) = (days + nanos / day, nanos % day);
        alike(months + days / 30, days % 30, nanos, true)
    })
}

/// Months, days and the rest of a day of the same sign.
fn alike(mut months: i64, mut days: i64, mut nanos: i64, hours: bool) -> (i64, i64, i64) {
    let day = DAY * 1000;
    if months > 0 && (days < 0 || (hours && days == 0 && nanos < 0)) {
        (months, days) = (months - 1, days + 30);
    } else if months < 0 && (days > 0 || (hours && days == 0 && nanos > 0)) {
        (months, days) = (months + 1, days - 30);
    }
    if hours && days > 0 && nanos < 0 {
        (days, nanos) = (days - 1, nanos + day);
    } else if hours && days < 0 && nanos > 0 {
        (days, nanos) = (days + 1, nanos - day);
    }
    (months, days, nanos)
}

fn justified(args: &Arguments<'_>, one: fn(i64, i64, i64) -> (i64, i64, i64)) -> Result<ArrayRef> {
    let made = rows::<IntervalMonthDayNanoType>(args, |row| {
        let span = spans(args, 0).value(row);
        if is_infinite(span) {
            return Ok(span);
        }
        let (months, days, nanos) =
            one(i64::from(span.months), i64::from(span.days), span.nanoseconds);
        match (i32::try_from(months), i32::try_from(days)) {
            (Ok(months), Ok(days)) => Ok(IntervalMonthDayNano::new(months, days, nanos)),
            _ => Err(out_of_range("interval")),
        }
    })?;
    Ok(typed(made, args))
}
