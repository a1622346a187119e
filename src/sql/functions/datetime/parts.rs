//! Parts of a date or time: extract, date_trunc, age.

use super::{
    DAY, SECOND, dates, naive, operators::between_infinities, out_of_range, rows, spans, stamps,
    times, timetz::zoned, to_micros, typed, unit::Unit, zones,
};
use crate::{
    error::{Error, Result},
    pgtype::{PgType, interval::is_infinite},
    sql::{
        error::from_arrow,
        functions::{
            call::Arguments,
            cast::date_micros,
            zone::{offset_at, to_local, to_utc},
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

/// A moment, a time of day or an interval, taken apart.
struct Parts {
    /// Years, of which 0 is 1 BC.
    year: i64,
    month: i64,
    day: i64,
    /// Microseconds of the day, or of the interval's time.
    micros: i64,
    epoch: i128,
    /// The day, where there is one.
    date: Option<NaiveDate>,
    /// Seconds east of UTC, where they are known.
    offset: Option<i32>,
}

/// What an infinity is made of: nothing, or an infinite number.
enum Taken {
    Apart(Parts),
    Infinite { positive: bool },
}

fn taken_apart(args: &Arguments<'_>, at: usize, row: usize) -> Result<Taken> {
    let moment = |local: i64, utc: i64, offset: Option<i32>| {
        if [i64::MAX, i64::MIN].contains(&utc) {
            return Ok(Taken::Infinite { positive: utc > 0 });
        }
        let naive = naive(local).ok_or_else(|| out_of_range("timestamp"))?;
        Ok(Taken::Apart(Parts {
            year: i64::from(naive.year()),
            month: i64::from(naive.month()),
            day: i64::from(naive.day()),
            micros: local.rem_euclid(DAY),
            epoch: i128::from(utc),
            date: Some(naive.date()),
            offset,
        }))
    };
    let time = |micros: i64, epoch: i64, offset| {
        let epoch = i128::from(epoch);
        Ok(Taken::Apart(Parts { year: 0, month: 0, day: 0, micros, epoch, date: None, offset }))
    };
    match &args.kinds[at] {
        PgType::Date => {
            let local = date_micros(dates(args, at).value(row));
            moment(local, local, None)
        }
        PgType::Timestamp(_) => {
            let local = stamps(args, at).value(row);
            moment(local, local, None)
        }
        PgType::Timestamptz(_) => {
            let (zone, utc) = (args.context.time_zone(), stamps(args, at).value(row));
            moment(to_local(zone, utc), utc, Some(offset_at(zone, utc)))
        }
        PgType::Time(_) => {
            let micros = times(args, at).value(row);
            time(micros, micros, None)
        }
        PgType::Timetz(_) => {
            let at = zoned(args, at, row);
            time(at.micros, at.utc(), Some(at.offset))
        }
        _ => {
            let span = spans(args, at).value(row);
            if is_infinite(span) {
                return Ok(Taken::Infinite { positive: span.months > 0 });
            }
            let micros = span.nanoseconds / 1000;
            let years = i128::from(span.months / 12) * 31_557_600 * i128::from(SECOND);
            let months = i128::from(span.months % 12) * 30 * i128::from(DAY);
            let days = i128::from(span.days) * i128::from(DAY);
            Ok(Taken::Apart(Parts {
                year: i64::from(span.months / 12),
                month: i64::from(span.months % 12),
                day: i64::from(span.days),
                micros,
                epoch: years + months + days + i128::from(micros),
                date: None,
                offset: None,
            }))
        }
    }
}

/// Digits of a part behind the point: those of a Julian day with its time.
const PART_SCALE: i8 = 16;

/// A part, with [`PART_SCALE`] digits.
fn part(parts: &Parts, name: &str, kind: &PgType) -> Result<i128> {
    let unit = Unit::named(name, kind)?;
    let refused = || Unit::refused(name, kind);
    let date = || parts.date.ok_or_else(refused);
    let has_time = *kind != PgType::Date;
    let timed = |value: i64| if has_time { Ok(value) } else { Err(refused()) };
    // A time of day has no calendar; an interval has one of its own.
    let dated = |value: i64| match kind {
        PgType::Time(_) | PgType::Timetz(_) => Err(refused()),
        _ => Ok(value),
    };
    let is_interval = matches!(kind, PgType::Interval(_));
    // There is no year 0 to be shown, and periods of years begin with 1.
    let period = |years: i64| match parts.year {
        year if is_interval => year / years,
        year if year > 0 => (year + years - 1) / years,
        year => -((years - 1 - (year - 1)) / years),
    };
    let shown = |year: i64| if year > 0 { year } else { year - 1 };
    let seconds = parts.micros % (60 * SECOND);
    let offset = || parts.offset.map(i64::from).ok_or_else(refused);
    let whole = match unit {
        Unit::Year if is_interval => parts.year,
        Unit::Year => dated(shown(parts.year))?,
        Unit::Month => dated(parts.month)?,
        Unit::Day => dated(parts.day)?,
        Unit::Hour => timed(parts.micros / (3600 * SECOND))?,
        Unit::Minute => timed(parts.micros / (60 * SECOND) % 60)?,
        Unit::Second => return Ok(i128::from(timed(seconds)?) * MICRO),
        Unit::Millisecond => return Ok(i128::from(timed(seconds)?) * MICRO * 1000),
        Unit::Microsecond => timed(seconds)?,
        Unit::Epoch => return Ok(parts.epoch * MICRO),
        Unit::Quarter if is_interval && parts.month < 0 => parts.month / 3 - 1,
        Unit::Quarter => dated((parts.month - i64::from(!is_interval)) / 3 + 1)?,
        Unit::Decade if is_interval => parts.year / 10,
        Unit::Decade => dated(parts.year.div_euclid(10))?,
        Unit::Century => dated(period(100))?,
        Unit::Millennium => dated(period(1000))?,
        Unit::Week if is_interval => parts.day / 7,
        Unit::WeekDay => i64::from(date()?.weekday().num_days_from_sunday()),
        Unit::IsoWeekDay => i64::from(date()?.weekday().number_from_monday()),
        Unit::DayOfYear => i64::from(date()?.ordinal()),
        Unit::Week => i64::from(date()?.iso_week().week()),
        Unit::IsoYear => shown(i64::from(date()?.iso_week().year())),
        Unit::Julian => {
            let day = i128::from(date()?.num_days_from_ce()) + 1_721_425;
            let (time, whole_day) = (i128::from(parts.micros) * WHOLE, i128::from(DAY));
            return Ok(day * WHOLE + (time + whole_day / 2) / whole_day);
        }
        Unit::Zone => offset()?,
        Unit::ZoneHour => offset()? / 3600,
        Unit::ZoneMinute => offset()? / 60 % 60,
    };
    Ok(i128::from(whole) * WHOLE)
}

/// One, with the digits of a part, and a millionth.
const WHOLE: i128 = 10_i128.pow(16);
const MICRO: i128 = WHOLE / 1_000_000;

/// How many digits behind the point a part of a type has.
pub(crate) fn digits(name: &str, kind: &PgType) -> i8 {
    match Unit::named(name, kind) {
        Ok(_) if *kind == PgType::Date => 0,
        Ok(Unit::Second | Unit::Epoch) => 6,
        Ok(Unit::Millisecond) => 3,
        Ok(Unit::Julian) => PART_SCALE,
        _ => 0,
    }
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
        let (name, kind) = (args.text(0).value(row), &args.kinds[1]);
        let value = match taken_apart(args, 1, row)? {
            Taken::Apart(parts) => part(&parts, name, kind)?,
            Taken::Infinite { .. } if Unit::named(name, kind)?.is_unbounded(kind) => {
                return Err(Error::unsupported("numeric cannot hold infinity")
                    .hint("Use date_part, whose result is double precision."));
            }
            Taken::Infinite { .. } => return Ok(None),
        };
        crate::sql::functions::arithmetic::rescale(value, PART_SCALE, scale).map(Some)
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
        let (name, kind) = (args.text(0).value(row), &args.kinds[1]);
        Ok(match taken_apart(args, 1, row)? {
            Taken::Apart(parts) => {
                let value = part(&parts, name, kind)?;
                #[expect(clippy::cast_precision_loss, reason = "date_part answers a float")]
                let value = (value / MICRO) as f64 / 1e6 + (value % MICRO) as f64 / WHOLE as f64;
                Some(value)
            }
            Taken::Infinite { positive } if Unit::named(name, kind)?.is_unbounded(kind) => {
                Some(if positive { f64::INFINITY } else { f64::NEG_INFINITY })
            }
            Taken::Infinite { .. } => None,
        })
    });
    Ok(Arc::new(made.collect::<Result<Float64Array>>()?))
}

/// `date_trunc(field, x, [zone])`
pub(crate) fn date_trunc(args: &Arguments<'_>) -> Result<ArrayRef> {
    let (names, kind) = (args.text(0), &args.kinds[1]);
    if matches!(kind, PgType::Interval(_)) {
        let made = rows::<IntervalMonthDayNanoType>(args, |row| {
            truncate_interval(spans(args, 1).value(row), names.value(row), kind)
        })?;
        return Ok(typed(made, args));
    }
    let with_zone = matches!(kind, PgType::Timestamptz(_));
    let made = rows::<TimestampMicrosecondType>(args, |row| {
        let (at, name) = (stamps(args, 1).value(row), names.value(row));
        let unit = Unit::named(name, kind)?;
        if !with_zone {
            return truncate(at, unit, name, kind);
        }
        let zone = zones::told(args, 2, row)?;
        let local = to_local(zone, at);
        let begun = truncate(local, unit, name, kind)?;
        // The hour that comes twice begins twice.
        let within_day = matches!(
            unit,
            Unit::Hour | Unit::Minute | Unit::Second | Unit::Millisecond | Unit::Microsecond
        );
        Ok(if within_day { at.saturating_sub(local - begun) } else { to_utc(zone, begun) })
    })?;
    Ok(typed(made, args))
}

fn truncate(local: i64, unit: Unit, name: &str, kind: &PgType) -> Result<i64> {
    let down = |unit: i64| local - local.rem_euclid(unit);
    let finite = ![i64::MAX, i64::MIN].contains(&local);
    let date = match naive(local).filter(|_| finite) {
        Some(naive) => naive.date(),
        None if finite => return Err(out_of_range("timestamp")),
        None => NaiveDate::default(),
    };
    let first = |year: i32, month: u32| {
        NaiveDate::from_ymd_opt(year, month, 1)
            .map(to_micros)
            .ok_or_else(|| out_of_range("timestamp"))
    };
    let year = date.year();
    let begun = match unit {
        Unit::Microsecond => local,
        Unit::Millisecond => down(1000),
        Unit::Second => down(SECOND),
        Unit::Minute => down(60 * SECOND),
        Unit::Hour => down(3600 * SECOND),
        Unit::Day => down(DAY),
        Unit::Week => to_micros(date) - i64::from(date.weekday().num_days_from_monday()) * DAY,
        Unit::Month => first(year, date.month())?,
        Unit::Quarter => first(year, (date.month() - 1) / 3 * 3 + 1)?,
        Unit::Year => first(year, 1)?,
        Unit::Decade => first(year.div_euclid(10) * 10, 1)?,
        Unit::Century => first((year - 1).div_euclid(100) * 100 + 1, 1)?,
        Unit::Millennium => first((year - 1).div_euclid(1000) * 1000 + 1, 1)?,
        _ => return Err(Unit::refused(name, kind)),
    };
    Ok(if finite { begun } else { local })
}

fn truncate_interval(
    span: IntervalMonthDayNano,
    name: &str,
    kind: &PgType,
) -> Result<IntervalMonthDayNano> {
    let IntervalMonthDayNano { months, days, nanoseconds } = span;
    let of_months = |unit: i32| IntervalMonthDayNano::new(months / unit * unit, 0, 0);
    let to = |unit: i64| {
        IntervalMonthDayNano::new(months, days, nanoseconds / 1000 / unit * unit * 1000)
    };
    let begun = match Unit::named(name, kind)? {
        Unit::Millennium => of_months(12_000),
        Unit::Century => of_months(1200),
        Unit::Decade => of_months(120),
        Unit::Year => of_months(12),
        Unit::Quarter => of_months(3),
        Unit::Month => of_months(1),
        Unit::Day => IntervalMonthDayNano::new(months, days, 0),
        Unit::Hour => to(3600 * SECOND),
        Unit::Minute => to(60 * SECOND),
        Unit::Second => to(SECOND),
        Unit::Millisecond => to(1000),
        Unit::Microsecond => span,
        Unit::Week => {
            return Err(Unit::refused(name, kind).detail("Months usually have fractional weeks."));
        }
        _ => return Err(Unit::refused(name, kind)),
    };
    Ok(if is_infinite(span) { span } else { begun })
}

/// `age(a, b)`: in years, months and days of the calendar.
pub(crate) fn age(args: &Arguments<'_>) -> Result<ArrayRef> {
    let zone = matches!(args.kinds[0], PgType::Timestamptz(_)).then(|| args.context.time_zone());
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
        match between_infinities(a, b)? {
            Some(infinite) => Ok(infinite),
            None => calendar(a, b),
        }
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

/// How long an interval is: a day has 24 hours, a month 30 days.
pub(super) fn micros_of(span: IntervalMonthDayNano) -> i128 {
    let days = i128::from(span.months) * 30 + i128::from(span.days);
    days * i128::from(DAY) + i128::from(span.nanoseconds) / 1000
}

/// The length of an interval in microseconds: a day has 24 hours, a month 30 days.
pub(crate) fn length(args: &Arguments<'_>) -> Result<ArrayRef> {
    let spans = args.arrays[0].as_primitive::<IntervalMonthDayNanoType>();
    let lengths = spans.iter().map(|span| span.map(micros_of));
    let lengths = lengths.collect::<Decimal128Array>().with_precision_and_scale(38, 0);
    Ok(Arc::new(lengths.map_err(from_arrow)?))
}
