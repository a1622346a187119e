//! `+`, `-`, `*`, `/` between dates, times and intervals.

use super::{DAY, add, dates, out_of_range, rows, spans, stamps, times, typed};
use crate::{
    error::{Error, Result, SqlState},
    pgtype::PgType,
    sql::functions::{
        arithmetic::division_by_zero,
        call::{Arguments, Body},
        cast::date_micros,
        zone::{to_local, to_utc},
    },
};
use arrow::{
    array::{ArrayRef, AsArray},
    datatypes::{
        Date32Type, Float64Type, Int32Type, IntervalMonthDayNano, IntervalMonthDayNanoType,
        Time64MicrosecondType, TimestampMicrosecondType,
    },
};

/// An operator on dates and times: the operands' types, the result's, and what computes it.
pub(crate) fn operator(
    op: &str,
    left: &PgType,
    right: &PgType,
) -> Option<(PgType, PgType, PgType, Body)> {
    use PgType as T;
    let of = |a: T, b: T, result: T, body: Body| Some((a, b, result, body));
    let is_integer = |kind: &T| matches!(kind, T::Int2 | T::Int4);
    let is_number = |kind: &T| {
        matches!(kind, T::Int2 | T::Int4 | T::Int8 | T::Float4 | T::Float8 | T::Numeric(_))
    };
    match (left, op, right) {
        (T::Date, "+", n) if is_integer(n) => {
            of(T::Date, T::Int4, T::Date, |args| days(args, 0, 1, 1))
        }
        (n, "+", T::Date) if is_integer(n) => {
            of(T::Int4, T::Date, T::Date, |args| days(args, 1, 0, 1))
        }
        (T::Date, "-", n) if is_integer(n) => {
            of(T::Date, T::Int4, T::Date, |args| days(args, 0, 1, -1))
        }
        (T::Date, "-", T::Date) => of(T::Date, T::Date, T::Int4, between_dates),
        (T::Date, "+", T::Time) => of(T::Date, T::Time, T::Timestamp, at_time),
        (T::Date | T::Timestamp, "+", T::Interval) => {
            of(T::Timestamp, T::Interval, T::Timestamp, |args| shift(args, 0, 1, 1))
        }
        (T::Date | T::Timestamp, "-", T::Interval) => {
            of(T::Timestamp, T::Interval, T::Timestamp, |args| shift(args, 0, 1, -1))
        }
        (T::Interval, "+", T::Date | T::Timestamp) => {
            of(T::Interval, T::Timestamp, T::Timestamp, |args| shift(args, 1, 0, 1))
        }
        (T::Timestamptz, "+", T::Interval) => {
            of(T::Timestamptz, T::Interval, T::Timestamptz, |args| shift(args, 0, 1, 1))
        }
        (T::Timestamptz, "-", T::Interval) => {
            of(T::Timestamptz, T::Interval, T::Timestamptz, |args| shift(args, 0, 1, -1))
        }
        (T::Interval, "+", T::Timestamptz) => {
            of(T::Interval, T::Timestamptz, T::Timestamptz, |args| shift(args, 1, 0, 1))
        }
        (T::Timestamptz, "-", T::Timestamptz | T::Timestamp | T::Date)
        | (T::Timestamp | T::Date, "-", T::Timestamptz) => {
            of(T::Timestamptz, T::Timestamptz, T::Interval, between)
        }
        (T::Timestamp, "-", T::Timestamp | T::Date) | (T::Date, "-", T::Timestamp) => {
            of(T::Timestamp, T::Timestamp, T::Interval, between)
        }
        (T::Time, "+", T::Interval) => {
            of(T::Time, T::Interval, T::Time, |args| shift_time(args, 1))
        }
        (T::Time, "-", T::Interval) => {
            of(T::Time, T::Interval, T::Time, |args| shift_time(args, -1))
        }
        (T::Time, "-", T::Time) => of(T::Time, T::Time, T::Interval, between_times),
        (T::Interval, "+", T::Interval) => {
            of(T::Interval, T::Interval, T::Interval, |args| intervals(args, 1))
        }
        (T::Interval, "-", T::Interval) => {
            of(T::Interval, T::Interval, T::Interval, |args| intervals(args, -1))
        }
        (T::Interval, "*", n) if is_number(n) => {
            of(T::Interval, T::Float8, T::Interval, |args| scaled(args, 0, 1, false))
        }
        (n, "*", T::Interval) if is_number(n) => {
            of(T::Float8, T::Interval, T::Interval, |args| scaled(args, 1, 0, false))
        }
        (T::Interval, "/", n) if is_number(n) => {
            of(T::Interval, T::Float8, T::Interval, |args| scaled(args, 0, 1, true))
        }
        _ => None,
    }
}

pub(super) fn days(args: &Arguments<'_>, date: usize, count: usize, sign: i32) -> Result<ArrayRef> {
    let counts = args.arrays[count].as_primitive::<Int32Type>();
    let made = rows::<Date32Type>(args, |row| {
        let day = dates(args, date).value(row);
        if day == i32::MAX || day == i32::MIN {
            return Ok(day);
        }
        counts
            .value(row)
            .checked_mul(sign)
            .and_then(|n| day.checked_add(n))
            .ok_or_else(|| out_of_range("date"))
    })?;
    Ok(typed(made, args))
}

pub(super) fn between_dates(args: &Arguments<'_>) -> Result<ArrayRef> {
    let made = rows::<Int32Type>(args, |row| {
        let (a, b) = (dates(args, 0).value(row), dates(args, 1).value(row));
        if [a, b].iter().any(|day| [i32::MAX, i32::MIN].contains(day)) {
            return Err(Error::new(
                SqlState::DATETIME_FIELD_OVERFLOW,
                "cannot subtract infinite dates",
            ));
        }
        a.checked_sub(b).ok_or_else(|| out_of_range("date"))
    })?;
    Ok(typed(made, args))
}

pub(super) fn at_time(args: &Arguments<'_>) -> Result<ArrayRef> {
    let made = rows::<TimestampMicrosecondType>(args, |row| {
        Ok(date_micros(dates(args, 0).value(row)).saturating_add(times(args, 1).value(row)))
    })?;
    Ok(typed(made, args))
}

pub(super) fn shift(
    args: &Arguments<'_>,
    stamp: usize,
    span: usize,
    sign: i64,
) -> Result<ArrayRef> {
    let zone = (*args.result == PgType::Timestamptz).then(|| args.context.time_zone());
    let made = rows::<TimestampMicrosecondType>(args, |row| {
        let (at, span) = (stamps(args, stamp).value(row), spans(args, span).value(row));
        let Some(zone) = zone else { return add(at, span, sign) };
        // Months and days go by the clock on the wall, hours by time that passes.
        let days = IntervalMonthDayNano { nanoseconds: 0, ..span };
        let at = if span.months == 0 && span.days == 0 {
            at
        } else {
            to_utc(zone, add(to_local(zone, at), days, sign)?)
        };
        add(at, IntervalMonthDayNano { months: 0, days: 0, ..span }, sign)
    })?;
    Ok(typed(made, args))
}

/// Microseconds as days and the rest.
pub(super) fn of_micros(micros: i64) -> Result<IntervalMonthDayNano> {
    let days = i32::try_from(micros / DAY).map_err(|_| out_of_range("interval"))?;
    Ok(IntervalMonthDayNano::new(0, days, (micros % DAY) * 1000))
}

pub(super) fn between(args: &Arguments<'_>) -> Result<ArrayRef> {
    let made = rows::<IntervalMonthDayNanoType>(args, |row| {
        let (a, b) = (stamps(args, 0).value(row), stamps(args, 1).value(row));
        of_micros(a.checked_sub(b).ok_or_else(|| out_of_range("interval"))?)
    })?;
    Ok(typed(made, args))
}

pub(super) fn shift_time(args: &Arguments<'_>, sign: i64) -> Result<ArrayRef> {
    let made = rows::<Time64MicrosecondType>(args, |row| {
        let moved =
            times(args, 0).value(row) + sign * (spans(args, 1).value(row).nanoseconds / 1000);
        Ok(moved.rem_euclid(DAY))
    })?;
    Ok(typed(made, args))
}

pub(super) fn between_times(args: &Arguments<'_>) -> Result<ArrayRef> {
    let made = rows::<IntervalMonthDayNanoType>(args, |row| {
        let micros = times(args, 0).value(row) - times(args, 1).value(row);
        Ok(IntervalMonthDayNano::new(0, 0, micros * 1000))
    })?;
    Ok(typed(made, args))
}

pub(super) fn intervals(args: &Arguments<'_>, sign: i32) -> Result<ArrayRef> {
    let fault = || out_of_range("interval");
    let made = rows::<IntervalMonthDayNanoType>(args, |row| {
        let (a, b) = (spans(args, 0).value(row), spans(args, 1).value(row));
        let part =
            |a: i32, b: i32| b.checked_mul(sign).and_then(|b| a.checked_add(b)).ok_or_else(fault);
        let rest =
            b.nanoseconds.checked_mul(i64::from(sign)).and_then(|b| a.nanoseconds.checked_add(b));
        Ok(IntervalMonthDayNano::new(
            part(a.months, b.months)?,
            part(a.days, b.days)?,
            rest.ok_or_else(fault)?,
        ))
    })?;
    Ok(typed(made, args))
}

/// An interval times a number: what months and days do not hold whole goes down to days and hours.
pub(super) fn scaled(
    args: &Arguments<'_>,
    span: usize,
    factor: usize,
    divides: bool,
) -> Result<ArrayRef> {
    let factors = args.arrays[factor].as_primitive::<Float64Type>();
    let made = rows::<IntervalMonthDayNanoType>(args, |row| {
        let (span, factor) = (spans(args, span).value(row), factors.value(row));
        if divides && factor == 0.0 {
            return Err(division_by_zero());
        }
        times_factor(span, factor, divides)
    })?;
    Ok(typed(made, args))
}

/// An interval by a number: what is left of a month becomes days, what is left of a day becomes time.
fn times_factor(
    span: IntervalMonthDayNano,
    factor: f64,
    divides: bool,
) -> Result<IntervalMonthDayNano> {
    let by = |value: f64| if divides { value / factor } else { value * factor };
    let months = by(f64::from(span.months));
    let days = by(f64::from(span.days)) + (months - months.trunc()) * 30.0;
    #[expect(
        clippy::cast_precision_loss,
        reason = "an interval times a float is as exact as the float"
    )]
    let micros = by(span.nanoseconds as f64 / 1000.0) + (days - days.trunc()) * 86_400_000_000.0;
    if months.abs() > f64::from(i32::MAX)
        || days.abs() > f64::from(i32::MAX)
        || !micros.is_finite()
        || micros.abs() > 9e15
    {
        return Err(out_of_range("interval"));
    }
    #[expect(clippy::cast_possible_truncation, reason = "checked just before")]
    let made = IntervalMonthDayNano::new(
        months.trunc() as i32,
        days.trunc() as i32,
        micros.round() as i64 * 1000,
    );
    Ok(made)
}

/// An interval divided by a number that is not 0.
pub(crate) fn divided(span: IntervalMonthDayNano, by: f64) -> Result<IntervalMonthDayNano> {
    times_factor(span, by, true)
}
