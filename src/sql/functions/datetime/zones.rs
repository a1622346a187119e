//! AT TIME ZONE, AT LOCAL, and the zones that functions are told.

use super::{out_of_range, rows, spans, stamps, typed};
use crate::{
    error::{Error, Result, SqlState},
    pgtype::{
        PgType,
        datetime::{timetz::Timetz, zone::Zone},
        interval,
    },
    sql::functions::{
        call::Arguments,
        cast::times_with_zone,
        zone::{offset_at, to_local, to_utc},
    },
};
use arrow::{
    array::{ArrayRef, AsArray},
    datatypes::{IntervalMonthDayNano, TimestampMicrosecondType},
};

/// The zone that an argument names, or the session's where it is left out.
pub(super) fn told(args: &Arguments<'_>, at: usize, row: usize) -> Result<Zone> {
    let session = args.context.time_zone();
    match args.arrays.get(at) {
        Some(names) => Zone::told(names.as_string::<i32>().value(row), session),
        None => Ok(session.into()),
    }
}

/// `timezone(zone, x)` and `timezone(x)`: the zone is a name or an interval, or the session's.
pub(crate) fn timezone(args: &Arguments<'_>) -> Result<ArrayRef> {
    let at = args.arrays.len() - 1;
    let zone = |row: usize| match &args.kinds[0] {
        _ if at == 0 => Ok(args.context.time_zone().into()),
        PgType::Interval(_) => of_interval(args, spans(args, 0).value(row)),
        _ => told(args, 0, row),
    };
    let made = match &args.kinds[at] {
        PgType::Timetz(_) => {
            let now = args.context.transaction_micros();
            let times = args.arrays[at].as_binary::<i32>();
            let one = |row| {
                let offset = offset_at(zone(row)?, now);
                Ok(Timetz::of_carried(times.value(row)).at_offset(offset))
            };
            let times =
                (0..args.rows).map(|row| (!args.is_null(row)).then(|| one(row)).transpose());
            return Ok(times_with_zone(times.collect::<Result<Vec<_>>>()?.into_iter()));
        }
        PgType::Timestamptz(_) => rows::<TimestampMicrosecondType>(args, |row| {
            Ok(to_local(zone(row)?, stamps(args, at).value(row)))
        })?,
        _ => rows::<TimestampMicrosecondType>(args, |row| {
            Ok(to_utc(zone(row)?, stamps(args, at).value(row)))
        })?,
    };
    Ok(typed(made, args))
}

/// The zone that lies so far east of UTC.
fn of_interval(args: &Arguments<'_>, span: IntervalMonthDayNano) -> Result<Zone> {
    let fault = |what: &str| {
        let text = interval::text(span, args.context.style().interval_style);
        let message = format!("interval time zone \"{text}\" {what}");
        Error::new(SqlState::INVALID_PARAMETER_VALUE, message)
    };
    if interval::is_infinite(span) {
        return Err(fault("must be finite"));
    }
    if span.months != 0 || span.days != 0 {
        return Err(fault("must not include months or days"));
    }
    let seconds = i32::try_from(span.nanoseconds / 1_000_000_000);
    seconds.map(Zone::Fixed).map_err(|_| out_of_range("interval"))
}
