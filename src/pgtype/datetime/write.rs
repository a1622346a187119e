//! Writes dates and times as text, in the form that `DateStyle` names.

use super::{
    calendar::{DAY, civil_of},
    zone,
};
use crate::pgtype::{
    datestyle::{DateForm, DateOrder},
    integer::write_padded,
    style::Style,
};
use chrono_tz::Tz;

/// The names of days and months, as the form of old writes them.
const DAYS: [&[u8]; 7] = [b"Sun", b"Mon", b"Tue", b"Wed", b"Thu", b"Fri", b"Sat"];
const MONTHS: [&[u8]; 12] = [
    b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec",
];

/// Writes a date: `2024-01-02`.
pub(in crate::pgtype) fn write_date(days: i32, style: &Style, out: &mut Vec<u8>) {
    match days {
        i32::MAX => out.extend_from_slice(b"infinity"),
        i32::MIN => out.extend_from_slice(b"-infinity"),
        _ => {
            let year = write_day(i64::from(days), style, out);
            write_era(year, out);
        }
    }
}

/// Writes a time of day: `03:04:05.5`.
pub(in crate::pgtype) fn write_time(micros: i64, out: &mut Vec<u8>) {
    let micros = micros.unsigned_abs();
    let seconds = micros / 1_000_000;
    write_padded(seconds / 3600, 2, out);
    out.push(b':');
    write_padded(seconds / 60 % 60, 2, out);
    out.push(b':');
    write_padded(seconds % 60, 2, out);
    write_fraction(micros % 1_000_000, out);
}

/// Writes microseconds behind a point, without the zeros at their end.
pub(in crate::pgtype) fn write_fraction(micros: u64, out: &mut Vec<u8>) {
    if micros > 0 {
        out.push(b'.');
        write_padded(micros, 6, out);
        while out.last() == Some(&b'0') {
            out.pop();
        }
    }
}

/// Writes a timestamp: `2024-01-02 03:04:05.5`, in `zone` with the offset or its name behind it.
pub(in crate::pgtype) fn write_timestamp(
    micros: i64,
    zone: Option<Tz>,
    style: &Style,
    out: &mut Vec<u8>,
) {
    match micros {
        i64::MAX => return out.extend_from_slice(b"infinity"),
        i64::MIN => return out.extend_from_slice(b"-infinity"),
        _ => {}
    }
    let seconds = micros.div_euclid(1_000_000);
    let offset = zone.map(|zone| zone::offset_at(zone, seconds));
    let shift = i64::from(offset.unwrap_or(0)) * 1_000_000;
    // Near the end of time the local time may lie beyond it; wide numbers do not mind.
    let local = i128::from(micros) + i128::from(shift);
    let day = i128::from(DAY);
    let days = i64::try_from(local.div_euclid(day)).unwrap_or(0);
    let time = i64::try_from(local.rem_euclid(day)).unwrap_or(0);
    let year = if style.date_form == DateForm::Postgres {
        write_long(days, time, style.date_order, out)
    } else {
        let year = write_day(days, style, out);
        out.push(b' ');
        write_time(time, out);
        year
    };
    if let (Some(zone), Some(offset)) = (zone, offset) {
        match style.date_form {
            DateForm::Iso => write_offset(offset, out),
            _ => {
                out.push(b' ');
                out.extend_from_slice(zone::abbreviation_at(zone, seconds).as_bytes());
            }
        }
    }
    write_era(year, out);
}

/// Writes an offset from UTC in seconds: `+02`, `-03:30`.
pub(super) fn write_offset(offset: i32, out: &mut Vec<u8>) {
    out.push(if offset < 0 { b'-' } else { b'+' });
    let offset = u64::from(offset.unsigned_abs());
    write_padded(offset / 3600, 2, out);
    if offset % 3600 > 0 {
        out.push(b':');
        write_padded(offset / 60 % 60, 2, out);
    }
    if offset % 60 > 0 {
        out.push(b':');
        write_padded(offset % 60, 2, out);
    }
}

/// The year as it is shown: there is none before 1, but years before Christ.
fn shown(year: i64) -> u64 {
    if year > 0 { year } else { 1 - year }.unsigned_abs()
}

/// Writes year, month and day; returns the year.
fn write_day(days: i64, style: &Style, out: &mut Vec<u8>) -> i64 {
    let (year, month, day) = civil_of(days);
    let (month, day) = ((u64::from(month), 2), (u64::from(day), 2));
    let whole = (shown(year), 4);
    let by_day = style.date_order == DateOrder::Dmy;
    let (parts, separator) = match style.date_form {
        DateForm::Iso => ([whole, month, day], b'-'),
        DateForm::German => ([day, month, whole], b'.'),
        DateForm::Sql if by_day => ([day, month, whole], b'/'),
        DateForm::Sql => ([month, day, whole], b'/'),
        DateForm::Postgres if by_day => ([day, month, whole], b'-'),
        DateForm::Postgres => ([month, day, whole], b'-'),
    };
    for (at, (number, width)) in parts.into_iter().enumerate() {
        if at > 0 {
            out.push(separator);
        }
        write_padded(number, width, out);
    }
    year
}

/// Writes `Tue Mar 05 10:00:00 2024`; returns the year.
fn write_long(days: i64, time: i64, order: DateOrder, out: &mut Vec<u8>) -> i64 {
    let (year, month, day) = civil_of(days);
    // 1970 began on a Thursday.
    let weekday = usize::try_from((days + 4).rem_euclid(7)).unwrap_or(0);
    let month = usize::try_from(month).unwrap_or(1) - 1;
    out.extend_from_slice(DAYS[weekday]);
    out.push(b' ');
    if order == DateOrder::Dmy {
        write_padded(u64::from(day), 2, out);
        out.push(b' ');
        out.extend_from_slice(MONTHS[month]);
    } else {
        out.extend_from_slice(MONTHS[month]);
        out.push(b' ');
        write_padded(u64::from(day), 2, out);
    }
    out.push(b' ');
    write_time(time, out);
    out.push(b' ');
    write_padded(shown(year), 4, out);
    year
}

fn write_era(year: i64, out: &mut Vec<u8>) {
    if year <= 0 {
        out.extend_from_slice(b" BC");
    }
}
