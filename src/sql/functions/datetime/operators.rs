//! `+`, `-`, `*`, `/` between dates, times and intervals.

use super::{
    DAY, dates, moment_of, moved, out_of_range, refuse_infinite, rows, spans, stamps, times,
    timetz, typed,
};
use crate::{
    error::{Error, Result, SqlState},
    pgtype::{
        PgType,
        datetime::date_in_range,
        interval::{infinity, is_infinite},
    },
    sql::functions::{
        arithmetic::division_by_zero,
        call::{Arguments, Body},
    },
};
use arrow::{
    array::{ArrayRef, AsArray},
    datatypes::{
        Date32Type, Float64Type, Int32Type, IntervalMonthDayNano, IntervalMonthDayNanoType,
        Time64MicrosecondType, TimestampMicrosecondType,
    },
};

const TIME: PgType = PgType::Time(None);
const ZONED: PgType = PgType::Timetz(None);
const STAMP: PgType = PgType::Timestamp(None);
const MOMENT: PgType = PgType::Timestamptz(None);
const SPAN: PgType = PgType::Interval(None);

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
        (T::Date, "+", T::Time(_)) => of(T::Date, TIME, STAMP, |args| at_time(args, 0, 1)),
        (T::Time(_), "+", T::Date) => of(TIME, T::Date, STAMP, |args| at_time(args, 1, 0)),
        (T::Date, "+", T::Timetz(_)) => {
            of(T::Date, ZONED, MOMENT, |args| timetz::at_time(args, 0, 1))
        }
        (T::Timetz(_), "+", T::Date) => {
            of(ZONED, T::Date, MOMENT, |args| timetz::at_time(args, 1, 0))
        }
        (T::Timetz(_), "+", T::Interval(_)) => {
            of(ZONED, SPAN, ZONED, |args| timetz::shift(args, 0, 1, 1))
        }
        (T::Interval(_), "+", T::Timetz(_)) => {
            of(SPAN, ZONED, ZONED, |args| timetz::shift(args, 1, 0, 1))
        }
        (T::Timetz(_), "-", T::Interval(_)) => {
            of(ZONED, SPAN, ZONED, |args| timetz::shift(args, 0, 1, -1))
        }
        (T::Date | T::Timestamp(_), "+", T::Interval(_)) => {
            of(STAMP, SPAN, STAMP, |args| shift(args, 0, 1, 1))
        }
        (T::Date | T::Timestamp(_), "-", T::Interval(_)) => {
            of(STAMP, SPAN, STAMP, |args| shift(args, 0, 1, -1))
        }
        (T::Interval(_), "+", T::Date | T::Timestamp(_)) => {
            of(SPAN, STAMP, STAMP, |args| shift(args, 1, 0, 1))
        }
        (T::Timestamptz(_), "+", T::Interval(_)) => {
            of(MOMENT, SPAN, MOMENT, |args| shift(args, 0, 1, 1))
        }
        (T::Timestamptz(_), "-", T::Interval(_)) => {
            of(MOMENT, SPAN, MOMENT, |args| shift(args, 0, 1, -1))
        }
        (T::Interval(_), "+", T::Timestamptz(_)) => {
            of(SPAN, MOMENT, MOMENT, |args| shift(args, 1, 0, 1))
        }
        (T::Timestamptz(_), "-", T::Timestamptz(_) | T::Timestamp(_) | T::Date)
        | (T::Timestamp(_) | T::Date, "-", T::Timestamptz(_)) => of(MOMENT, MOMENT, SPAN, between),
        (T::Timestamp(_), "-", T::Timestamp(_) | T::Date) | (T::Date, "-", T::Timestamp(_)) => {
            of(STAMP, STAMP, SPAN, between)
        }
        (T::Time(_), "+", T::Interval(_)) => of(TIME, SPAN, TIME, |args| shift_time(args, 0, 1, 1)),
        (T::Interval(_), "+", T::Time(_)) => of(SPAN, TIME, TIME, |args| shift_time(args, 1, 0, 1)),
        (T::Time(_), "-", T::Interval(_)) => {
            of(TIME, SPAN, TIME, |args| shift_time(args, 0, 1, -1))
        }
        (T::Time(_), "-", T::Time(_)) => of(TIME, TIME, SPAN, between_times),
        (T::Interval(_), "+", T::Interval(_)) => of(SPAN, SPAN, SPAN, |args| intervals(args, 1)),
        (T::Interval(_), "-", T::Interval(_)) => of(SPAN, SPAN, SPAN, |args| intervals(args, -1)),
        (T::Interval(_), "*", n) if is_number(n) => {
            of(SPAN, T::Float8, SPAN, |args| scaled(args, 0, 1, false))
        }
        (n, "*", T::Interval(_)) if is_number(n) => {
            of(T::Float8, SPAN, SPAN, |args| scaled(args, 1, 0, false))
        }
        (T::Interval(_), "/", n) if is_number(n) => {
            of(SPAN, T::Float8, SPAN, |args| scaled(args, 0, 1, true))
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
            .and_then(|day| date_in_range(day.into()))
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

fn at_time(args: &Arguments<'_>, date: usize, time: usize) -> Result<ArrayRef> {
    let made = rows::<TimestampMicrosecondType>(args, |row| {
        moment_of(dates(args, date).value(row), times(args, time).value(row))
    })?;
    Ok(typed(made, args))
}

pub(super) fn shift(
    args: &Arguments<'_>,
    stamp: usize,
    span: usize,
    sign: i64,
) -> Result<ArrayRef> {
    let zone =
        matches!(*args.result, PgType::Timestamptz(_)).then(|| args.context.time_zone().into());
    let made = rows::<TimestampMicrosecondType>(args, |row| {
        moved(zone, stamps(args, stamp).value(row), spans(args, span).value(row), sign)
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
        match between_infinities(a, b)? {
            Some(infinite) => Ok(infinite),
            None => of_micros(a.checked_sub(b).ok_or_else(|| out_of_range("interval"))?),
        }
    })?;
    Ok(typed(made, args))
}

/// What lies between two moments of which one is no moment; nothing where both are.
pub(super) fn between_infinities(a: i64, b: i64) -> Result<Option<IntervalMonthDayNano>> {
    let end = |at: i64| [i64::MAX, i64::MIN].contains(&at).then_some(at > 0);
    match (end(a), end(b)) {
        (None, None) => Ok(None),
        (Some(a), Some(b)) if a == b => Err(out_of_range("interval")),
        (Some(late), _) => Ok(Some(infinity(late))),
        (None, Some(late)) => Ok(Some(infinity(!late))),
    }
}

fn shift_time(args: &Arguments<'_>, time: usize, span: usize, sign: i64) -> Result<ArrayRef> {
    let made = rows::<Time64MicrosecondType>(args, |row| {
        let span = spans(args, span).value(row);
        refuse_infinite(span, sign)?;
        let moved = times(args, time).value(row) + sign * (span.nanoseconds / 1000);
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
        let end = |span: IntervalMonthDayNano, sign: i32| {
            is_infinite(span).then_some((span.months > 0) == (sign > 0))
        };
        match (end(a, 1), end(b, sign)) {
            (Some(a), Some(b)) if a != b => return Err(fault()),
            (Some(late), _) | (None, Some(late)) => return Ok(infinity(late)),
            (None, None) => {}
        }
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

/// Unary minus.
pub(crate) fn negated(args: &Arguments<'_>) -> Result<ArrayRef> {
    let made = rows::<IntervalMonthDayNanoType>(args, |row| {
        let span = spans(args, 0).value(row);
        if is_infinite(span) {
            return Ok(infinity(span.months < 0));
        }
        let IntervalMonthDayNano { months, days, nanoseconds } = span;
        let parts = (months.checked_neg(), days.checked_neg(), nanoseconds.checked_neg());
        let (Some(months), Some(days), Some(nanos)) = parts else {
            return Err(out_of_range("interval"));
        };
        Ok(IntervalMonthDayNano::new(months, days, nanos))
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

/// An interval by a number: what is left of a month becomes days, what is left of a day becomes time,
/// each rounded to microseconds as PostgreSQL rounds it.
fn times_factor(
    span: IntervalMonthDayNano,
    factor: f64,
    divides: bool,
) -> Result<IntervalMonthDayNano> {
    let fault = || out_of_range("interval");
    if is_infinite(span) {
        if factor.is_nan() || factor == 0.0 || divides && factor.is_infinite() {
            return Err(fault());
        }
        return Ok(infinity((span.months > 0) == (factor > 0.0)));
    }
    let by = |value: f64| if divides { value / factor } else { value * factor };
    let rounded = |seconds: f64| (seconds * 1e6).round_ties_even() / 1e6;
    #[expect(clippy::cast_possible_truncation, reason = "checked just before")]
    let whole = |value: f64| {
        let fits = value >= f64::from(i32::MIN) && value < f64::from(i32::MAX) + 1.0;
        if fits { Ok(value as i32) } else { Err(fault()) }
    };
    let (months, days) = (by(f64::from(span.months)), by(f64::from(span.days)));
    let (whole_months, mut whole_days) = (whole(months)?, whole(days)?);
    let days_of_month = rounded((months - f64::from(whole_months)) * 30.0);
    let days_left = days - f64::from(whole_days) + days_of_month - days_of_month.trunc();
    let mut seconds = rounded(days_left * 86_400.0);
    let mut add_days = |more: f64| -> Result<()> {
        whole_days = whole_days.checked_add(whole(more)?).ok_or_else(fault)?;
        Ok(())
    };
    if seconds.abs() >= 86_400.0 {
        let more = (seconds / 86_400.0).trunc();
        add_days(more)?;
        seconds -= more * 86_400.0;
    }
    add_days(days_of_month.trunc())?;
    #[expect(
        clippy::cast_precision_loss,
        reason = "an interval times a float is as exact as the float"
    )]
    let micros = (by((span.nanoseconds / 1000) as f64) + seconds * 1e6).round_ties_even();
    // What the carrier holds of it: nanoseconds of 64 bits.
    if micros.is_nan() || micros.abs() > 9.2e15 {
        return Err(fault());
    }
    #[expect(clippy::cast_possible_truncation, reason = "checked just before")]
    let micros = micros as i64;
    Ok(IntervalMonthDayNano::new(whole_months, whole_days, micros * 1000))
}

/// An interval divided by a number that is not 0.
pub(crate) fn divided(span: IntervalMonthDayNano, by: f64) -> Result<IntervalMonthDayNano> {
    times_factor(span, by, true)
}
