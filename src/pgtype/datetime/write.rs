//! Writes dates and times as text, always by ISO 8601.

use super::{
    calendar::{DAY, civil_of},
    zone,
};
use crate::pgtype::integer::write_padded;

/// Writes a date: `2024-01-02`.
pub(in crate::pgtype) fn write_date(days: i32, out: &mut Vec<u8>) {
    match days {
        i32::MAX => out.extend_from_slice(b"infinity"),
        i32::MIN => out.extend_from_slice(b"-infinity"),
        _ => {
            let year = write_day(i64::from(days), out);
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

/// Writes a timestamp: `2024-01-02 03:04:05.5`, in `zone` with the offset behind it.
pub(in crate::pgtype) fn write_timestamp(
    micros: i64,
    zone: Option<chrono_tz::Tz>,
    out: &mut Vec<u8>,
) {
    match micros {
        i64::MAX => return out.extend_from_slice(b"infinity"),
        i64::MIN => return out.extend_from_slice(b"-infinity"),
        _ => {}
    }
    let offset = zone.map(|zone| zone::offset_at(zone, micros.div_euclid(1_000_000)));
    let shift = i64::from(offset.unwrap_or(0)) * 1_000_000;
    // Near the end of time the local time may lie beyond it; wide numbers do not mind.
    let local = i128::from(micros) + i128::from(shift);
    let day = i128::from(DAY);
    let days = i64::try_from(local.div_euclid(day)).unwrap_or(0);
    let year = write_day(days, out);
    out.push(b' ');
    write_time(i64::try_from(local.rem_euclid(day)).unwrap_or(0), out);
    if let Some(offset) = offset {
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
    write_era(year, out);
}

/// Writes year, month and day; returns the year.
fn write_day(days: i64, out: &mut Vec<u8>) -> i64 {
    let (year, month, day) = civil_of(days);
    write_padded(if year > 0 { year } else { 1 - year }.unsigned_abs(), 4, out);
    out.push(b'-');
    write_padded(u64::from(month), 2, out);
    out.push(b'-');
    write_padded(u64::from(day), 2, out);
    year
}

fn write_era(year: i64, out: &mut Vec<u8>) {
    if year <= 0 {
        out.extend_from_slice(b" BC");
    }
}
