//! Dates and times: arithmetic, parts, truncation, zones, now.

pub(crate) mod make;
pub(crate) mod operators;
pub(crate) mod parts;
pub(crate) mod template;
pub(crate) mod timetz;
mod unit;
pub(crate) mod zones;

pub(crate) use operators::divided;

use crate::{
    error::{Error, Result, SqlState},
    pgtype::{
        PgType,
        datetime::{timestamp_in_range, timetz::Timetz, zone::Zone},
        interval::is_infinite,
    },
    sql::functions::{
        call::Arguments,
        cast::{date_micros, micros_date, times_with_zone},
        zone::{offset_at, to_local, to_utc},
    },
};
use arrow::{
    array::{ArrayRef, AsArray, PrimitiveArray},
    datatypes::{
        ArrowPrimitiveType, DataType, Date32Type, Float64Type, Int32Type, IntervalMonthDayNano,
        IntervalMonthDayNanoType, Time64MicrosecondType, TimestampMicrosecondType,
    },
};
use chrono::{DateTime, Datelike, Months, NaiveDate, NaiveDateTime};
use std::sync::Arc;

pub(crate) const DAY: i64 = 86_400_000_000;
const SECOND: i64 = 1_000_000;

pub(crate) fn out_of_range(what: &str) -> Error {
    Error::new(SqlState::DATETIME_FIELD_OVERFLOW, format!("{what} out of range"))
}

/// No time of day is moved by an infinity.
fn refuse_infinite(span: IntervalMonthDayNano, sign: i64) -> Result<()> {
    if !is_infinite(span) {
        return Ok(());
    }
    let what =
        if sign > 0 { "add infinite interval to" } else { "subtract infinite interval from" };
    Err(Error::new(SqlState::DATETIME_FIELD_OVERFLOW, format!("cannot {what} time")))
}

/// A value for each row without a NULL.
fn rows<T: ArrowPrimitiveType>(
    args: &Arguments<'_>,
    one: impl Fn(usize) -> Result<T::Native>,
) -> Result<PrimitiveArray<T>> {
    (0..args.rows)
        .map(|row| if args.is_null(row) { Ok(None) } else { one(row).map(Some) })
        .collect()
}

fn typed<T: ArrowPrimitiveType>(array: PrimitiveArray<T>, args: &Arguments<'_>) -> ArrayRef {
    Arc::new(array.with_data_type(args.result.arrow()))
}

fn dates<'a>(args: &'a Arguments<'_>, at: usize) -> &'a PrimitiveArray<Date32Type> {
    args.arrays[at].as_primitive()
}

fn stamps<'a>(args: &'a Arguments<'_>, at: usize) -> &'a PrimitiveArray<TimestampMicrosecondType> {
    args.arrays[at].as_primitive()
}

fn spans<'a>(args: &'a Arguments<'_>, at: usize) -> &'a PrimitiveArray<IntervalMonthDayNanoType> {
    args.arrays[at].as_primitive()
}

fn times<'a>(args: &'a Arguments<'_>, at: usize) -> &'a PrimitiveArray<Time64MicrosecondType> {
    args.arrays[at].as_primitive()
}

/// A time of the wall clock plus months, then days, then the rest.
fn add(local: i64, span: IntervalMonthDayNano, sign: i64) -> Result<i64> {
    if local == i64::MAX || local == i64::MIN {
        return Ok(local);
    }
    let fault = || out_of_range("timestamp");
    let mut micros = local;
    if span.months != 0 {
        let naive = naive(micros).ok_or_else(fault)?;
        let months = Months::new(span.months.unsigned_abs());
        let forward = (span.months > 0) == (sign > 0);
        let moved = if forward {
            naive.checked_add_months(months)
        } else {
            naive.checked_sub_months(months)
        };
        micros = moved.ok_or_else(fault)?.and_utc().timestamp_micros();
    }
    let days = i64::from(span.days).checked_mul(DAY);
    let rest = days.and_then(|days| days.checked_add(span.nanoseconds / 1000));
    let rest = rest.and_then(|rest| rest.checked_mul(sign));
    let made = rest.and_then(|rest| micros.checked_add(rest));
    made.and_then(timestamp_in_range).ok_or_else(fault)
}

/// A time of a day. The infinities stay.
fn moment_of(day: i32, time: i64) -> Result<i64> {
    if [i32::MAX, i32::MIN].contains(&day) {
        return Ok(date_micros(day));
    }
    let moment = i64::from(day).checked_mul(DAY).and_then(|day| day.checked_add(time));
    moment.and_then(timestamp_in_range).ok_or_else(|| {
        Error::new(SqlState::DATETIME_FIELD_OVERFLOW, "date out of range for timestamp")
    })
}

/// A moment plus or minus an interval: in a zone months and days go by the clock on the wall, hours by
/// time that passes.
fn moved(zone: Option<Zone>, at: i64, span: IntervalMonthDayNano, sign: i64) -> Result<i64> {
    if is_infinite(span) {
        let end = if (span.months > 0) == (sign > 0) { i64::MAX } else { i64::MIN };
        // An infinity and its opposite make nothing.
        let opposed = [i64::MAX, i64::MIN].contains(&at) && at != end;
        return if opposed { Err(out_of_range("timestamp")) } else { Ok(end) };
    }
    let Some(zone) = zone else { return add(at, span, sign) };
    let days = IntervalMonthDayNano { nanoseconds: 0, ..span };
    let at = if span.months == 0 && span.days == 0 {
        at
    } else {
        to_utc(zone, add(to_local(zone, at), days, sign)?)
    };
    add(at, IntervalMonthDayNano { months: 0, days: 0, ..span }, sign)
}

pub(crate) fn naive(micros: i64) -> Option<NaiveDateTime> {
    DateTime::from_timestamp_micros(micros).map(|at| at.naive_utc())
}

// Now.

/// The clock's time plus the interval that is the first argument.
pub(super) fn shifted_now(args: &Arguments<'_>, row: usize) -> Result<i64> {
    let zone = args.context.time_zone().into();
    moved(Some(zone), args.context.clock_micros(), spans(args, 0).value(row), 1)
}

/// `now()`
pub(crate) fn now(args: &Arguments<'_>) -> Result<ArrayRef> {
    instant(args, args.context.transaction_micros())
}

fn instant(args: &Arguments<'_>, utc: i64) -> Result<ArrayRef> {
    let zone = args.context.time_zone();
    let local = to_local(zone, utc);
    let n = args.rows;
    Ok(match args.result {
        PgType::Date => Arc::new(PrimitiveArray::<Date32Type>::from_value(micros_date(local), n)),
        PgType::Time(_) => {
            Arc::new(PrimitiveArray::<Time64MicrosecondType>::from_value(local.rem_euclid(DAY), n))
        }
        PgType::Timetz(_) => {
            let now = Timetz { micros: local.rem_euclid(DAY), offset: offset_at(zone, utc) };
            times_with_zone(std::iter::repeat_n(Some(now), n))
        }
        PgType::Timestamp(_) => {
            Arc::new(PrimitiveArray::<TimestampMicrosecondType>::from_value(local, n))
        }
        _ => Arc::new(
            PrimitiveArray::<TimestampMicrosecondType>::from_value(utc, n)
                .with_data_type(args.result.arrow()),
        ),
    })
}

/// `timeofday()`
pub(crate) fn time_of_day(args: &Arguments<'_>) -> Result<ArrayRef> {
    args.texts(|_| {
        let local = to_local(args.context.time_zone(), args.context.clock_micros());
        Ok(naive(local).map(|at| at.format("%a %b %d %H:%M:%S%.6f %Y").to_string()))
    })
}

// Parts.

fn to_micros(date: NaiveDate) -> i64 {
    i64::from(date.num_days_from_ce() - 719_163) * DAY
}

/// The day of a year, which is before Christ below 0, a month and a day.
fn day_of(year: i32, month: i32, day: i32) -> Result<NaiveDate> {
    u32::try_from(month)
        .ok()
        .zip(u32::try_from(day).ok())
        .filter(|_| year != 0)
        .and_then(|(m, d)| NaiveDate::from_ymd_opt(if year < 0 { year + 1 } else { year }, m, d))
        .ok_or_else(|| {
            let message = format!("date field value out of range: {year}-{month:02}-{day:02}");
            Error::new(SqlState::DATETIME_FIELD_OVERFLOW, message)
        })
}

/// `make_date(year, month, day)`
pub(crate) fn make_date(args: &Arguments<'_>) -> Result<ArrayRef> {
    let column = |at: usize| args.arrays[at].as_primitive::<Int32Type>();
    let made = rows::<Date32Type>(args, |row| {
        let date = day_of(column(0).value(row), column(1).value(row), column(2).value(row))?;
        Ok(micros_date(to_micros(date)))
    })?;
    Ok(typed(made, args))
}

/// `to_timestamp(seconds)`
pub(crate) fn to_timestamp(args: &Arguments<'_>) -> Result<ArrayRef> {
    let seconds = args.arrays[0].as_primitive::<Float64Type>();
    let made = rows::<TimestampMicrosecondType>(args, |row| {
        let seconds = seconds.value(row);
        if seconds.is_infinite() {
            return Ok(if seconds > 0.0 { i64::MAX } else { i64::MIN });
        }
        if seconds.is_nan() {
            let message = "timestamp cannot be NaN";
            return Err(Error::new(SqlState::DATETIME_FIELD_OVERFLOW, message));
        }
        let micros = (seconds * 1e6).round_ties_even();
        if !(-2.1e17..9.22e18).contains(&micros) {
            return Err(Error::new(
                SqlState::DATETIME_FIELD_OVERFLOW,
                format!("timestamp out of range: \"{seconds}\""),
            ));
        }
        #[expect(clippy::cast_possible_truncation, reason = "checked just before")]
        let micros = micros as i64;
        Ok(micros)
    })?;
    Ok(typed(made, args))
}

/// `generate_series` of times, in a zone where one is told.
pub(crate) fn series(args: &Arguments<'_>) -> Result<ArrayRef> {
    let PgType::Array(element) = args.result else {
        return Err(Error::internal("a series is a list"));
    };
    let zoned = matches!(**element, PgType::Timestamptz(_));
    let mut lists: Vec<Vec<i64>> = Vec::with_capacity(args.rows);
    for row in 0..args.rows {
        let mut list = Vec::new();
        if !args.is_null(row) {
            let (start, stop, step) =
                (stamps(args, 0).value(row), stamps(args, 1).value(row), spans(args, 2).value(row));
            let length = parts::micros_of(step);
            let up = length > 0;
            if length == 0 {
                return Err(Error::new(
                    SqlState::INVALID_PARAMETER_VALUE,
                    "step size cannot equal zero",
                ));
            }
            if is_infinite(step) {
                return Err(Error::new(
                    SqlState::INVALID_PARAMETER_VALUE,
                    "step size cannot be infinite",
                ));
            }
            let zone = zoned.then(|| zones::told(args, 3, row)).transpose()?;
            let mut at = start;
            while if up { at <= stop } else { at >= stop } {
                list.push(at);
                if list.len() > 10_000_000 {
                    return Err(Error::new(
                        SqlState::PROGRAM_LIMIT_EXCEEDED,
                        "generate_series makes at most 10000000 rows",
                    ));
                }
                at = moved(zone, at, step, 1)?;
            }
        }
        lists.push(list);
    }
    let lengths: Vec<usize> = lists.iter().map(Vec::len).collect();
    let values =
        PrimitiveArray::<TimestampMicrosecondType>::from_iter_values(lists.into_iter().flatten());
    let DataType::List(field) = args.result.arrow() else {
        return Err(Error::internal("a series is a list"));
    };
    let offsets = arrow::buffer::OffsetBuffer::from_lengths(lengths);
    let values = Arc::new(values.with_data_type(element.arrow()));
    Ok(Arc::new(arrow::array::ListArray::new(field, offsets, values, None)))
}

/// `isfinite(x)`
pub(crate) fn is_finite(args: &Arguments<'_>) -> Result<ArrayRef> {
    let rows = (0..args.rows).map(|row| {
        (!args.is_null(row)).then(|| match args.kinds[0] {
            PgType::Date => ![i32::MAX, i32::MIN].contains(&dates(args, 0).value(row)),
            PgType::Interval(_) => !is_infinite(spans(args, 0).value(row)),
            _ => ![i64::MAX, i64::MIN].contains(&stamps(args, 0).value(row)),
        })
    });
    Ok(Arc::new(rows.collect::<arrow::array::BooleanArray>()))
}

/// `pg_sleep(seconds)`
pub(crate) fn sleep(args: &Arguments<'_>) -> Result<ArrayRef> {
    let seconds = args.arrays[0].as_primitive::<Float64Type>();
    #[expect(clippy::cast_possible_truncation, reason = "it is clamped to a day")]
    slept(args, |row, _| Ok((seconds.value(row).clamp(0.0, 86_400.0) * 1e6) as i64))
}

/// `pg_sleep_for(interval)`
pub(crate) fn sleep_for(args: &Arguments<'_>) -> Result<ArrayRef> {
    slept(args, |row, now| {
        let span = spans(args, 0).value(row);
        match (is_infinite(span), span.months > 0) {
            (true, true) => Ok(i64::MAX),
            (true, false) => Ok(0),
            (false, _) => Ok(add(now, span, 1)?.saturating_sub(now)),
        }
    })
}

/// `pg_sleep_until(moment)`
pub(crate) fn sleep_until(args: &Arguments<'_>) -> Result<ArrayRef> {
    slept(args, |row, now| Ok(stamps(args, 0).value(row).saturating_sub(now)))
}

/// Sleeps for so many microseconds from a moment on, at most a day: holds a thread of the CPU runtime, in
/// slices, as long.
fn slept(args: &Arguments<'_>, wanted: impl Fn(usize, i64) -> Result<i64>) -> Result<ArrayRef> {
    const DAY: i64 = 86_400_000_000;
    for row in (0..args.rows).filter(|&row| !args.is_null(row)) {
        let start = args.context.clock_micros();
        let wanted = wanted(row, start)?.min(DAY);
        while args.context.clock_micros() - start < wanted {
            args.context.check_cancelled()?;
            std::thread::park_timeout(std::time::Duration::from_millis(5));
        }
    }
    Ok(super::lists::nulls(args))
}
