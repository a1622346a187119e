//! Dates and times: arithmetic, parts, truncation, zones, now.

use crate::{
    error::{Error, Result, SqlState},
    pgtype::PgType,
    sql::functions::{
        arithmetic::division_by_zero,
        call::{Arguments, Body},
        cast::{date_micros, micros_date},
        zone::{to_local, to_utc},
    },
};
use arrow::{
    array::{ArrayRef, AsArray, Decimal128Array, Float64Array, PrimitiveArray},
    datatypes::{
        ArrowPrimitiveType, DataType, Date32Type, Float64Type, Int32Type, IntervalMonthDayNano,
        IntervalMonthDayNanoType, Time64MicrosecondType, TimestampMicrosecondType,
    },
};
use chrono::{DateTime, Datelike, Months, NaiveDate, NaiveDateTime};
use std::sync::Arc;

pub(crate) const DAY: i64 = 86_400_000_000;
const SECOND: i64 = 1_000_000;

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

fn out_of_range(what: &str) -> Error {
    Error::new(SqlState::DATETIME_FIELD_OVERFLOW, format!("{what} out of range"))
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

fn days(args: &Arguments<'_>, date: usize, count: usize, sign: i32) -> Result<ArrayRef> {
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

fn between_dates(args: &Arguments<'_>) -> Result<ArrayRef> {
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

fn at_time(args: &Arguments<'_>) -> Result<ArrayRef> {
    let made = rows::<TimestampMicrosecondType>(args, |row| {
        Ok(date_micros(dates(args, 0).value(row)).saturating_add(times(args, 1).value(row)))
    })?;
    Ok(typed(made, args))
}

/// A time of the wall clock plus months, then days, then the rest.
pub(crate) fn add(local: i64, span: IntervalMonthDayNano, sign: i64) -> Result<i64> {
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
    let rest = i64::from(span.days) * DAY + span.nanoseconds / 1000;
    rest.checked_mul(sign).and_then(|rest| micros.checked_add(rest)).ok_or_else(fault)
}

fn shift(args: &Arguments<'_>, stamp: usize, span: usize, sign: i64) -> Result<ArrayRef> {
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
fn of_micros(micros: i64) -> Result<IntervalMonthDayNano> {
    let days = i32::try_from(micros / DAY).map_err(|_| out_of_range("interval"))?;
    Ok(IntervalMonthDayNano::new(0, days, (micros % DAY) * 1000))
}

fn between(args: &Arguments<'_>) -> Result<ArrayRef> {
    let made = rows::<IntervalMonthDayNanoType>(args, |row| {
        let (a, b) = (stamps(args, 0).value(row), stamps(args, 1).value(row));
        of_micros(a.checked_sub(b).ok_or_else(|| out_of_range("interval"))?)
    })?;
    Ok(typed(made, args))
}

fn shift_time(args: &Arguments<'_>, sign: i64) -> Result<ArrayRef> {
    let made = rows::<Time64MicrosecondType>(args, |row| {
        let moved =
            times(args, 0).value(row) + sign * (spans(args, 1).value(row).nanoseconds / 1000);
        Ok(moved.rem_euclid(DAY))
    })?;
    Ok(typed(made, args))
}

fn between_times(args: &Arguments<'_>) -> Result<ArrayRef> {
    let made = rows::<IntervalMonthDayNanoType>(args, |row| {
        let micros = times(args, 0).value(row) - times(args, 1).value(row);
        Ok(IntervalMonthDayNano::new(0, 0, micros * 1000))
    })?;
    Ok(typed(made, args))
}

fn intervals(args: &Arguments<'_>, sign: i32) -> Result<ArrayRef> {
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
fn scaled(args: &Arguments<'_>, span: usize, factor: usize, divides: bool) -> Result<ArrayRef> {
    let factors = args.arrays[factor].as_primitive::<Float64Type>();
    let made = rows::<IntervalMonthDayNanoType>(args, |row| {
        let (span, factor) = (spans(args, span).value(row), factors.value(row));
        if divides && factor == 0.0 {
            return Err(division_by_zero());
        }
        let by = |value: f64| if divides { value / factor } else { value * factor };
        let months = by(f64::from(span.months));
        let days = by(f64::from(span.days)) + (months - months.trunc()) * 30.0;
        #[expect(
            clippy::cast_precision_loss,
            reason = "an interval times a float is as exact as the float"
        )]
        let micros =
            by(span.nanoseconds as f64 / 1000.0) + (days - days.trunc()) * 86_400_000_000.0;
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
    })?;
    Ok(typed(made, args))
}

pub(crate) fn naive(micros: i64) -> Option<NaiveDateTime> {
    DateTime::from_timestamp_micros(micros).map(|at| at.naive_utc())
}

// Now.

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
        PgType::Time => {
            Arc::new(PrimitiveArray::<Time64MicrosecondType>::from_value(local.rem_euclid(DAY), n))
        }
        PgType::Timestamp => {
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

// Zones.

/// `timezone(zone, timestamp)` and `timezone(zone, timestamptz)`: AT TIME ZONE.
pub(crate) fn timezone(args: &Arguments<'_>) -> Result<ArrayRef> {
    let to_zone = args.kinds[1] == PgType::Timestamptz;
    let zones = args.text(0);
    let made = rows::<TimestampMicrosecondType>(args, |row| {
        let zone = crate::pgtype::datetime::zone::parse(zones.value(row))?;
        let at = stamps(args, 1).value(row);
        Ok(if to_zone { to_local(zone, at) } else { to_utc(zone, at) })
    })?;
    Ok(typed(made, args))
}

// Parts.

/// A moment taken apart, or an interval.
struct Parts {
    year: i64,
    month: i64,
    day: i64,
    /// Microseconds of the day, or of the interval's time.
    micros: i64,
    epoch: i128,
    date: Option<NaiveDate>,
    is_interval: bool,
}

fn parts_of(args: &Arguments<'_>, at: usize, row: usize) -> Result<Parts> {
    let zone = args.context.time_zone();
    let moment = |local: i64, utc: i64| {
        let naive = naive(local).ok_or_else(|| out_of_range("timestamp"))?;
        Ok(Parts {
            year: i64::from(naive.year()),
            month: i64::from(naive.month()),
            day: i64::from(naive.day()),
            micros: local.rem_euclid(DAY),
            epoch: i128::from(utc),
            date: Some(naive.date()),
            is_interval: false,
        })
    };
    match &args.kinds[at] {
        PgType::Date => {
            let local = date_micros(dates(args, at).value(row));
            moment(local, local)
        }
        PgType::Timestamp => moment(stamps(args, at).value(row), stamps(args, at).value(row)),
        PgType::Timestamptz => {
            let utc = stamps(args, at).value(row);
            moment(to_local(zone, utc), utc)
        }
        PgType::Time => {
            let micros = times(args, at).value(row);
            Ok(Parts {
                year: 0,
                month: 0,
                day: 0,
                micros,
                epoch: i128::from(micros),
                date: None,
                is_interval: true,
            })
        }
        _ => {
            let span = spans(args, at).value(row);
            let micros = span.nanoseconds / 1000;
            let years = i128::from(span.months / 12) * 31_557_600 * i128::from(SECOND);
            let months = i128::from(span.months % 12) * 30 * i128::from(DAY);
            Ok(Parts {
                year: i64::from(span.months / 12),
                month: i64::from(span.months % 12),
                day: i64::from(span.days),
                micros,
                epoch: years
                    + months
                    + i128::from(span.days) * i128::from(DAY)
                    + i128::from(micros),
                date: None,
                is_interval: true,
            })
        }
    }
}

/// A part in millionths.
fn part(parts: &Parts, field: &str, kind: &PgType) -> Result<i128> {
    let unknown = |what: &str| {
        Error::new(
            SqlState::INVALID_PARAMETER_VALUE,
            format!("unit \"{field}\" not {what} for type {kind}"),
        )
    };
    let date = || parts.date.ok_or_else(|| unknown("supported"));
    let whole = match field {
        "year" | "years" => parts.year,
        "month" | "months" => parts.month,
        "day" | "days" => parts.day,
        "hour" | "hours" => parts.micros / (3600 * SECOND),
        "minute" | "minutes" => parts.micros / (60 * SECOND) % 60,
        "second" | "seconds" => return Ok(i128::from(parts.micros % (60 * SECOND))),
        "millisecond" | "milliseconds" => {
            return Ok(i128::from(parts.micros % (60 * SECOND)) * 1000);
        }
        "microsecond" | "microseconds" => {
            return Ok(i128::from(parts.micros % (60 * SECOND)) * 1_000_000);
        }
        "epoch" => return Ok(parts.epoch),
        "quarter" => (parts.month - i64::from(!parts.is_interval)) / 3 + 1,
        "decade" => parts.year.div_euclid(10),
        "century" => {
            if parts.is_interval {
                parts.year / 100
            } else {
                (parts.year + 99).div_euclid(100)
            }
        }
        "millennium" => {
            if parts.is_interval {
                parts.year / 1000
            } else {
                (parts.year + 999).div_euclid(1000)
            }
        }
        "dow" => i64::from(date()?.weekday().num_days_from_sunday()),
        "isodow" => i64::from(date()?.weekday().number_from_monday()),
        "doy" => i64::from(date()?.ordinal()),
        "week" => i64::from(date()?.iso_week().week()),
        "isoyear" => i64::from(date()?.iso_week().year()),
        "julian" => i64::from(date()?.num_days_from_ce()) + 1_721_425,
        "timezone" | "timezone_hour" | "timezone_minute" if *kind == PgType::Timestamptz => {
            let offset = i128::from(to_micros(date()?)) + i128::from(parts.micros) - parts.epoch;
            let offset = i64::try_from(offset).unwrap_or(0) / SECOND;
            match field {
                "timezone" => offset,
                "timezone_hour" => offset / 3600,
                _ => offset / 60 % 60,
            }
        }
        _ => return Err(unknown("recognized")),
    };
    Ok(i128::from(whole) * 1_000_000)
}

fn to_micros(date: NaiveDate) -> i64 {
    i64::from(date.num_days_from_ce() - 719_163) * DAY
}

/// `extract(field from x)`
pub(crate) fn extract(args: &Arguments<'_>) -> Result<ArrayRef> {
    let DataType::Decimal128(precision, scale) = args.result.arrow() else {
        return Err(Error::internal("a numeric is a decimal"));
    };
    let made = (0..args.rows).map(|row| {
        if args.is_null(row) {
            return Ok(None);
        }
        let field = args.text(0).value(row).to_ascii_lowercase();
        let value = part(&parts_of(args, 1, row)?, &field, &args.kinds[1])?;
        super::arithmetic::rescale(value, 6, scale).map(Some)
    });
    let made = made.collect::<Result<Decimal128Array>>()?;
    Ok(Arc::new(made.with_data_type(DataType::Decimal128(precision, scale))))
}

/// `date_part(field, x)`
pub(crate) fn date_part(args: &Arguments<'_>) -> Result<ArrayRef> {
    let made = (0..args.rows).map(|row| {
        if args.is_null(row) {
            return Ok(None);
        }
        let field = args.text(0).value(row).to_ascii_lowercase();
        let value = part(&parts_of(args, 1, row)?, &field, &args.kinds[1])?;
        #[expect(clippy::cast_precision_loss, reason = "date_part answers a float")]
        let value = value as f64 / 1e6;
        Ok(Some(value))
    });
    Ok(Arc::new(made.collect::<Result<Float64Array>>()?))
}

/// `date_trunc(field, x, [zone])`
pub(crate) fn date_trunc(args: &Arguments<'_>) -> Result<ArrayRef> {
    let fields = args.text(0);
    if args.kinds[1] == PgType::Interval {
        let made = rows::<IntervalMonthDayNanoType>(args, |row| {
            let span = spans(args, 1).value(row);
            truncate_interval(span, &fields.value(row).to_ascii_lowercase())
        })?;
        return Ok(typed(made, args));
    }
    let with_zone = args.kinds[1] == PgType::Timestamptz;
    let zones = args.arrays.get(2).map(|array| array.as_string::<i32>());
    let made = rows::<TimestampMicrosecondType>(args, |row| {
        let at = stamps(args, 1).value(row);
        let field = fields.value(row).to_ascii_lowercase();
        if !with_zone {
            return truncate(at, &field, &args.kinds[1]);
        }
        let zone = match zones {
            Some(zones) => crate::pgtype::datetime::zone::parse(zones.value(row))?,
            None => args.context.time_zone(),
        };
        Ok(to_utc(zone, truncate(to_local(zone, at), &field, &args.kinds[1])?))
    })?;
    Ok(typed(made, args))
}

fn truncate(local: i64, field: &str, kind: &PgType) -> Result<i64> {
    if local == i64::MAX || local == i64::MIN {
        return Ok(local);
    }
    let down = |unit: i64| local - local.rem_euclid(unit);
    let date = naive(local).ok_or_else(|| out_of_range("timestamp"))?.date();
    let first = |year: i32, month: u32| {
        NaiveDate::from_ymd_opt(year, month, 1)
            .map(to_micros)
            .ok_or_else(|| out_of_range("timestamp"))
    };
    let year = date.year();
    Ok(match field {
        "microsecond" | "microseconds" => local,
        "millisecond" | "milliseconds" => down(1000),
        "second" | "seconds" => down(SECOND),
        "minute" | "minutes" => down(60 * SECOND),
        "hour" | "hours" => down(3600 * SECOND),
        "day" | "days" => down(DAY),
        "week" | "weeks" => {
            to_micros(date) - i64::from(date.weekday().num_days_from_monday()) * DAY
        }
        "month" | "months" => first(year, date.month())?,
        "quarter" => first(year, (date.month() - 1) / 3 * 3 + 1)?,
        "year" | "years" => first(year, 1)?,
        "decade" => first(year.div_euclid(10) * 10, 1)?,
        "century" => first((year - 1).div_euclid(100) * 100 + 1, 1)?,
        "millennium" => first((year - 1).div_euclid(1000) * 1000 + 1, 1)?,
        _ => {
            return Err(Error::new(
                SqlState::INVALID_PARAMETER_VALUE,
                format!("unit \"{field}\" not recognized for type {kind}"),
            ));
        }
    })
}

fn truncate_interval(span: IntervalMonthDayNano, field: &str) -> Result<IntervalMonthDayNano> {
    let IntervalMonthDayNano { months, days, nanoseconds } = span;
    let rest = |unit: i64| nanoseconds / 1000 / unit * unit * 1000;
    Ok(match field {
        "year" | "years" => IntervalMonthDayNano::new(months / 12 * 12, 0, 0),
        "quarter" => IntervalMonthDayNano::new(months / 3 * 3, 0, 0),
        "month" | "months" => IntervalMonthDayNano::new(months, 0, 0),
        "day" | "days" => IntervalMonthDayNano::new(months, days, 0),
        "hour" | "hours" => IntervalMonthDayNano::new(months, days, rest(3600 * SECOND)),
        "minute" | "minutes" => IntervalMonthDayNano::new(months, days, rest(60 * SECOND)),
        "second" | "seconds" => IntervalMonthDayNano::new(months, days, rest(SECOND)),
        "millisecond" | "milliseconds" => IntervalMonthDayNano::new(months, days, rest(1000)),
        "microsecond" | "microseconds" => span,
        _ => {
            return Err(Error::new(
                SqlState::INVALID_PARAMETER_VALUE,
                format!("unit \"{field}\" not recognized for type interval"),
            ));
        }
    })
}

/// `age(a, b)`: in years, months and days of the calendar.
pub(crate) fn age(args: &Arguments<'_>) -> Result<ArrayRef> {
    let zone = (args.kinds[0] == PgType::Timestamptz).then(|| args.context.time_zone());
    let local = |micros: i64| zone.map_or(micros, |zone| to_local(zone, micros));
    let made = rows::<IntervalMonthDayNanoType>(args, |row| {
        let a = local(stamps(args, 0).value(row));
        let b = match args.arrays.get(1) {
            Some(_) => local(stamps(args, 1).value(row)),
            // One argument: how long before midnight of today.
            None => a,
        };
        let (a, b) = if args.arrays.len() > 1 {
            (a, b)
        } else {
            let today = to_local(args.context.time_zone(), args.context.transaction_micros());
            (today - today.rem_euclid(DAY), b)
        };
        calendar(a, b)
    })?;
    Ok(typed(made, args))
}

fn calendar(a: i64, b: i64) -> Result<IntervalMonthDayNano> {
    let negative = a < b;
    let (late, early) = if negative { (b, a) } else { (a, b) };
    let fault = || out_of_range("timestamp");
    let (late, early) = (naive(late).ok_or_else(fault)?, naive(early).ok_or_else(fault)?);
    let mut months = (late.year() - early.year()) * 12 + i32::try_from(late.month()).unwrap_or(0)
        - i32::try_from(early.month()).unwrap_or(0);
    let mut days = i32::try_from(late.day()).unwrap_or(0) - i32::try_from(early.day()).unwrap_or(0);
    let of_day = |at: NaiveDateTime| at.and_utc().timestamp_micros().rem_euclid(DAY);
    let mut micros = of_day(late) - of_day(early);
    if micros < 0 {
        micros += DAY;
        days -= 1;
    }
    if days < 0 {
        // The days that the month of the earlier one has.
        let next =
            early.date().with_day(1).and_then(|first| first.checked_add_months(Months::new(1)));
        let length = next.and_then(|next| next.pred_opt()).map_or(30, |last| last.day());
        days += i32::try_from(length).unwrap_or(30);
        months -= 1;
    }
    let sign = if negative { -1 } else { 1 };
    Ok(IntervalMonthDayNano::new(months * sign, days * sign, micros * 1000 * i64::from(sign)))
}

/// `make_date(year, month, day)`
pub(crate) fn make_date(args: &Arguments<'_>) -> Result<ArrayRef> {
    let column = |at: usize| args.arrays[at].as_primitive::<Int32Type>();
    let made = rows::<Date32Type>(args, |row| {
        let (year, month, day) = (column(0).value(row), column(1).value(row), column(2).value(row));
        let date = u32::try_from(month)
            .ok()
            .zip(u32::try_from(day).ok())
            .and_then(|(m, d)| NaiveDate::from_ymd_opt(year, m, d));
        date.map(|date| micros_date(to_micros(date))).ok_or_else(|| {
            Error::new(
                SqlState::DATETIME_FIELD_OVERFLOW,
                format!("date field value out of range: {year}-{month:02}-{day:02}"),
            )
        })
    })?;
    Ok(typed(made, args))
}

/// `to_timestamp(seconds)`
pub(crate) fn to_timestamp(args: &Arguments<'_>) -> Result<ArrayRef> {
    let seconds = args.arrays[0].as_primitive::<Float64Type>();
    let made = rows::<TimestampMicrosecondType>(args, |row| {
        let micros = (seconds.value(row) * 1e6).round();
        if micros.abs() > 9e18 || micros.is_nan() {
            return Err(out_of_range("timestamp"));
        }
        #[expect(clippy::cast_possible_truncation, reason = "checked just before")]
        let micros = micros as i64;
        Ok(micros)
    })?;
    Ok(typed(made, args))
}

/// `justify_days`, `justify_hours`, `justify_interval`
pub(crate) fn justify_days(args: &Arguments<'_>) -> Result<ArrayRef> {
    justified(args, |span| {
        IntervalMonthDayNano::new(span.months + span.days / 30, span.days % 30, span.nanoseconds)
    })
}

/// `justify_hours(interval)`
pub(crate) fn justify_hours(args: &Arguments<'_>) -> Result<ArrayRef> {
    justified(args, |span| {
        let day = DAY * 1000;
        let more = i32::try_from(span.nanoseconds / day).unwrap_or(0);
        IntervalMonthDayNano::new(span.months, span.days + more, span.nanoseconds % day)
    })
}

/// `justify_interval(interval)`
pub(crate) fn justify_interval(args: &Arguments<'_>) -> Result<ArrayRef> {
    justified(args, |span| {
        let day = DAY * 1000;
        let days = span.days + i32::try_from(span.nanoseconds / day).unwrap_or(0);
        IntervalMonthDayNano::new(span.months + days / 30, days % 30, span.nanoseconds % day)
    })
}

fn justified(
    args: &Arguments<'_>,
    one: fn(IntervalMonthDayNano) -> IntervalMonthDayNano,
) -> Result<ArrayRef> {
    let made = rows::<IntervalMonthDayNanoType>(args, |row| Ok(one(spans(args, 0).value(row))))?;
    Ok(typed(made, args))
}

/// `generate_series` of times.
pub(crate) fn series(args: &Arguments<'_>) -> Result<ArrayRef> {
    let PgType::Array(element) = args.result else {
        return Err(Error::internal("a series is a list"));
    };
    let zone = (**element == PgType::Timestamptz).then(|| args.context.time_zone());
    let mut lists: Vec<Vec<i64>> = Vec::with_capacity(args.rows);
    for row in 0..args.rows {
        let mut list = Vec::new();
        if !args.is_null(row) {
            let (start, stop, step) =
                (stamps(args, 0).value(row), stamps(args, 1).value(row), spans(args, 2).value(row));
            let up = step.months > 0 || step.days > 0 || step.nanoseconds > 0;
            if step == IntervalMonthDayNano::new(0, 0, 0) {
                return Err(Error::new(
                    SqlState::INVALID_PARAMETER_VALUE,
                    "step size cannot equal zero",
                ));
            }
            let mut at = start;
            while if up { at <= stop } else { at >= stop } {
                list.push(at);
                if list.len() > 10_000_000 {
                    return Err(Error::new(
                        SqlState::PROGRAM_LIMIT_EXCEEDED,
                        "generate_series makes at most 10000000 rows",
                    ));
                }
                at = match zone {
                    Some(zone) => to_utc(zone, add(to_local(zone, at), step, 1)?),
                    None => add(at, step, 1)?,
                };
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
            PgType::Interval => true,
            _ => ![i64::MAX, i64::MIN].contains(&stamps(args, 0).value(row)),
        })
    });
    Ok(Arc::new(rows.collect::<arrow::array::BooleanArray>()))
}

/// `pg_sleep(seconds)`: holds a thread of the CPU runtime, in slices, as long as it sleeps.
pub(crate) fn sleep(args: &Arguments<'_>) -> Result<ArrayRef> {
    let seconds = args.arrays[0].as_primitive::<Float64Type>();
    for row in 0..args.rows {
        if args.is_null(row) {
            continue;
        }
        let wanted = seconds.value(row).clamp(0.0, 86_400.0) * 1e6;
        let start = args.context.clock_micros();
        #[expect(clippy::cast_precision_loss, reason = "microseconds of a sleep are small numbers")]
        while ((args.context.clock_micros() - start) as f64) < wanted {
            args.context.check_cancelled()?;
            std::thread::park_timeout(std::time::Duration::from_millis(5));
        }
    }
    Ok(super::array::nulls(args))
}
