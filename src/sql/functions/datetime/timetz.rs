//! Arithmetic of `time with time zone`.

use super::{DAY, dates, moment_of, refuse_infinite, rows, spans, typed};
use crate::{
    error::Result,
    pgtype::datetime::timetz::Timetz,
    sql::{
        error::from_arrow,
        functions::{call::Arguments, cast::times_with_zone},
    },
};
use arrow::{
    array::{ArrayRef, AsArray, Decimal128Array},
    datatypes::TimestampMicrosecondType,
};
use std::sync::Arc;

/// An argument of the type.
pub(super) fn zoned(args: &Arguments<'_>, at: usize, row: usize) -> Timetz {
    Timetz::of_carried(args.arrays[at].as_binary::<i32>().value(row))
}

/// A time moved by an interval's hours, within its day; its zone stays.
pub(super) fn shift(args: &Arguments<'_>, time: usize, span: usize, sign: i64) -> Result<ArrayRef> {
    let one = |row| {
        let (at, span) = (zoned(args, time, row), spans(args, span).value(row));
        refuse_infinite(span, sign)?;
        let moved = at.micros + sign * (span.nanoseconds / 1000 % DAY);
        Ok(Timetz { micros: moved.rem_euclid(DAY), ..at })
    };
    let times = (0..args.rows).map(|row| (!args.is_null(row)).then(|| one(row)).transpose());
    Ok(times_with_zone(times.collect::<Result<Vec<_>>>()?.into_iter()))
}

/// A date at a time: a moment. The infinities stay.
pub(super) fn at_time(args: &Arguments<'_>, date: usize, time: usize) -> Result<ArrayRef> {
    let made = rows::<TimestampMicrosecondType>(args, |row| {
        moment_of(dates(args, date).value(row), zoned(args, time, row).utc())
    })?;
    Ok(typed(made, args))
}

/// A number for each value that sorts as the values do.
pub(crate) fn place(args: &Arguments<'_>) -> Result<ArrayRef> {
    let times = args.arrays[0].as_binary::<i32>().iter();
    let places = times.map(|bytes| {
        bytes.map(|bytes| bytes.iter().fold(0_i128, |number, byte| number << 8 | i128::from(*byte)))
    });
    let places = places.collect::<Decimal128Array>().with_precision_and_scale(38, 0);
    Ok(Arc::new(places.map_err(from_arrow)?))
}
