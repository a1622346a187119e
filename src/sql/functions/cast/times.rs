//! Casts among dates, times and intervals, and to other precisions of the same.

use crate::{
    error::{Error, Result, SqlState},
    pgtype::{
        PgType, cast::from_text, datetime::timetz::Timetz, interval::is_infinite, precision,
        string::TooLong, style::Style,
    },
    sql::{functions::zone, typed::same},
};
use arrow::{
    array::{ArrayRef, AsArray, BinaryArray, PrimitiveArray},
    datatypes::{
        Date32Type, IntervalMonthDayNano, IntervalMonthDayNanoType, Time64MicrosecondType,
        TimestampMicrosecondType,
    },
};
use std::sync::Arc;

const DAY: i64 = 86_400_000_000;

/// A column of dates, times or intervals as another of these, or as itself under another modifier.
pub(super) fn convert(
    array: &ArrayRef,
    from: &PgType,
    to: &PgType,
    style: &Style,
) -> Result<ArrayRef> {
    adjusted(changed(array, from, to, style)?, to)
}

/// Under another type, whatever its modifier.
fn changed(array: &ArrayRef, from: &PgType, to: &PgType, style: &Style) -> Result<ArrayRef> {
    use PgType as T;
    let zone = style.time_zone;
    if same(from, to) {
        return Ok(Arc::clone(array));
    }
    Ok(match (from, to) {
        (T::Date, T::Timestamp(_)) => {
            let days = array.as_primitive::<Date32Type>();
            timestamps(days.try_unary(date_to_micros)?, to)
        }
        (T::Date, T::Timestamptz(_)) => {
            let days = array.as_primitive::<Date32Type>();
            timestamps(
                days.try_unary(|day| date_to_micros(day).map(|m| zone::to_utc(zone, m)))?,
                to,
            )
        }
        (T::Timestamp(_), T::Timestamptz(_)) => {
            let local = array.as_primitive::<TimestampMicrosecondType>();
            timestamps(local.unary(|micros| zone::to_utc(zone, micros)), to)
        }
        (T::Timestamptz(_), T::Timestamp(_)) => {
            let utc = array.as_primitive::<TimestampMicrosecondType>();
            timestamps(utc.unary(|micros| zone::to_local(zone, micros)), to)
        }
        (T::Timestamp(_) | T::Timestamptz(_), T::Date | T::Time(_)) => {
            let stamps = array.as_primitive::<TimestampMicrosecondType>();
            let local = |micros: i64| match from {
                T::Timestamptz(_) => zone::to_local(zone, micros),
                _ => micros,
            };
            match to {
                T::Date => {
                    Arc::new(stamps.unary::<_, Date32Type>(|micros| micros_date(local(micros))))
                }
                // No clock shows an infinity.
                _ => Arc::new(stamps.unary_opt::<_, Time64MicrosecondType>(|micros| {
                    is_finite(micros).then(|| local(micros).rem_euclid(DAY))
                })),
            }
        }
        (T::Timestamptz(_), T::Timetz(_)) => {
            let stamps = array.as_primitive::<TimestampMicrosecondType>();
            times_with_zone(stamps.iter().map(|micros| {
                let micros = micros.filter(|&micros| is_finite(micros))?;
                let micros_of_day = zone::to_local(zone, micros).rem_euclid(DAY);
                Some(Timetz { micros: micros_of_day, offset: zone::offset_at(zone, micros) })
            }))
        }
        (T::Time(_), T::Timetz(_)) => {
            let offset = zone::offset_at(zone, style.now.unwrap_or(0));
            let times = array.as_primitive::<Time64MicrosecondType>();
            times_with_zone(times.iter().map(|micros| Some(Timetz { micros: micros?, offset })))
        }
        (T::Timetz(_), T::Time(_)) => {
            let times = array.as_binary::<i32>().iter();
            let times = times.map(|bytes| bytes.map(|bytes| Timetz::of_carried(bytes).micros));
            Arc::new(times.collect::<PrimitiveArray<Time64MicrosecondType>>())
        }
        (T::Time(_), T::Interval(_)) => {
            let times = array.as_primitive::<Time64MicrosecondType>();
            Arc::new(times.unary::<_, IntervalMonthDayNanoType>(|micros| {
                IntervalMonthDayNano::new(0, 0, micros * 1000)
            }))
        }
        (T::Interval(_), T::Time(_)) => {
            let spans = array.as_primitive::<IntervalMonthDayNanoType>();
            Arc::new(spans.try_unary::<_, Time64MicrosecondType, Error>(|span| {
                if is_infinite(span) {
                    let message = "cannot convert infinite interval to time";
                    return Err(Error::new(SqlState::DATETIME_FIELD_OVERFLOW, message));
                }
                Ok((span.nanoseconds / 1000).rem_euclid(DAY))
            })?)
        }
        _ => super::arrow(array, to)?,
    })
}

/// Texts as intervals: what a number without a unit counts, a type says of literals alone.
pub(super) fn intervals(texts: &ArrayRef, to: &PgType, style: &Style) -> Result<ArrayRef> {
    let spans = from_text(&PgType::Interval(None), texts, style, TooLong::Refuse)?;
    adjusted(spans, to)
}

/// With as much of each as the modifier of the type keeps.
fn adjusted(array: ArrayRef, to: &PgType) -> Result<ArrayRef> {
    use PgType as T;
    Ok(match to {
        T::Time(digits @ Some(_)) => {
            let times = array.as_primitive::<Time64MicrosecondType>();
            Arc::new(times.unary::<_, Time64MicrosecondType>(|time| precision::time(time, *digits)))
        }
        T::Timetz(digits @ Some(_)) => {
            let times = array.as_binary::<i32>().iter();
            times_with_zone(times.map(|bytes| Some(Timetz::of_carried(bytes?).rounded(*digits))))
        }
        T::Timestamp(digits @ Some(_)) | T::Timestamptz(digits @ Some(_)) => {
            let stamps = array.as_primitive::<TimestampMicrosecondType>();
            timestamps(stamps.try_unary(|stamp| precision::timestamp(stamp, *digits))?, to)
        }
        T::Interval(Some(qualifier)) => {
            let spans = array.as_primitive::<IntervalMonthDayNanoType>();
            let spans = spans
                .try_unary::<_, IntervalMonthDayNanoType, Error>(|span| qualifier.adjusted(span))?;
            Arc::new(spans)
        }
        _ => array,
    })
}

/// A column of `time with time zone`.
pub(crate) fn times_with_zone(times: impl Iterator<Item = Option<Timetz>>) -> ArrayRef {
    Arc::new(BinaryArray::from_iter(times.map(|time| time.map(Timetz::carried))))
}

fn is_finite(micros: i64) -> bool {
    ![i64::MAX, i64::MIN].contains(&micros)
}

fn timestamps(micros: PrimitiveArray<TimestampMicrosecondType>, to: &PgType) -> ArrayRef {
    Arc::new(micros.with_data_type(to.arrow()))
}

fn date_to_micros(day: i32) -> Result<i64> {
    match date_micros(day) {
        micros if is_finite(micros) || [i32::MAX, i32::MIN].contains(&day) => Ok(micros),
        _ => {
            let message = "date out of range for timestamp";
            Err(Error::new(SqlState::DATETIME_FIELD_OVERFLOW, message))
        }
    }
}

/// The first microsecond of a day; the infinities stay.
pub(crate) fn date_micros(day: i32) -> i64 {
    match day {
        i32::MAX => i64::MAX,
        i32::MIN => i64::MIN,
        day => i64::from(day).saturating_mul(DAY),
    }
}

/// The day of a microsecond; the infinities stay.
pub(crate) fn micros_date(micros: i64) -> i32 {
    match micros {
        i64::MAX => i32::MAX,
        i64::MIN => i32::MIN,
        micros => i32::try_from(micros.div_euclid(DAY)).unwrap_or(i32::MAX),
    }
}
