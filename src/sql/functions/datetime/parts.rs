//! Parts of a date or time: extract, date_trunc, age.

use super::{
    DAY, SECOND, dates, naive, out_of_range, rows, spans, stamps, times, to_micros, typed,
};
use crate::{
    error::{Error, Result, SqlState},
    pgtype::PgType,
    sql::{
        error::from_arrow,
        functions::{
            call::Arguments,
            cast::date_micros,
            zone::{to_local, to_utc},
        },
    },
};
use arrow::{
    array::{ArrayRef, AsArray, Decimal128Array, Float64Array},
    datatypes::{
        DataType, IntervalMonthDayNano, IntervalMonthDayNanoType, TimestampMicrosecondType,
    },
};
use chrono::{Datelike, Months, NaiveDate, NaiveDateTime};
use std::sync::Arc;

/// A moment taken apart, or an interval.
pub(super) struct Parts {
    year: i64,
    month: i64,
    day: i64,
    /// Microseconds of the day, or of the interval's time.
    micros: i64,
    epoch: i128,
    date: Option<NaiveDate>,
    is_interval: bool,
}

pub(super) fn parts_of(args: &Arguments<'_>, at: usize, row: usize) -> Result<Parts> {
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
pub(super) fn part(parts: &Parts, field: &str, kind: &PgType) -> Result<i128> {
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
        crate::sql::functions::arithmetic::rescale(value, 6, scale).map(Some)
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

pub(super) fn truncate(local: i64, field: &str, kind: &PgType) -> Result<i64> {
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

pub(super) fn truncate_interval(
    span: IntervalMonthDayNano,
    field: &str,
) -> Result<IntervalMonthDayNano> {
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

pub(super) fn calendar(a: i64, b: i64) -> Result<IntervalMonthDayNano> {
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

/// The length of an interval in microseconds: a day has 24 hours, a month 30 days.
pub(crate) fn length(args: &Arguments<'_>) -> Result<ArrayRef> {
    let spans = args.arrays[0].as_primitive::<IntervalMonthDayNanoType>();
    let lengths = spans.iter().map(|span| {
        span.map(|span| {
            let days = i128::from(span.months) * 30 + i128::from(span.days);
            days * i128::from(DAY) + i128::from(span.nanoseconds) / 1000
        })
    });
    let lengths = lengths.collect::<Decimal128Array>().with_precision_and_scale(38, 0);
    Ok(Arc::new(lengths.map_err(from_arrow)?))
}
