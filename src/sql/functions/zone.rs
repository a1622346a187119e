//! Time zones: from the clock on the wall to UTC and back.

use crate::pgtype::datetime::zone::Zone;
use chrono::{DateTime, MappedLocalTime, NaiveDateTime, Offset, TimeZone};

/// The UTC instant of a local time; the infinities stay. A time that a change of clocks skipped
/// is read with the offset before it, one that came twice is the later one.
pub(crate) fn to_utc(zone: impl Into<Zone>, local: i64) -> i64 {
    let Some(naive) = naive(local) else { return local };
    let zone = match zone.into() {
        Zone::Fixed(offset) => return local - i64::from(offset) * 1_000_000,
        Zone::Named(zone) => zone,
    };
    match zone.from_local_datetime(&naive) {
        MappedLocalTime::Single(at) | MappedLocalTime::Ambiguous(_, at) => at.timestamp_micros(),
        MappedLocalTime::None => {
            let before = zone.offset_from_utc_datetime(&(naive - chrono::Duration::hours(24)));
            local - i64::from(before.fix().local_minus_utc()) * 1_000_000
        }
    }
}

/// What the clock on the wall shows at a UTC instant; the infinities stay.
pub(crate) fn to_local(zone: impl Into<Zone>, utc: i64) -> i64 {
    let Some(naive) = naive(utc) else { return utc };
    let offset = match zone.into() {
        Zone::Fixed(offset) => offset,
        Zone::Named(zone) => zone.offset_from_utc_datetime(&naive).fix().local_minus_utc(),
    };
    utc + i64::from(offset) * 1_000_000
}

/// Seconds that a zone is east of UTC at an instant.
pub(crate) fn offset_at(zone: impl Into<Zone>, utc: i64) -> i32 {
    i32::try_from((to_local(zone, utc) - utc) / 1_000_000).unwrap_or(0)
}

fn naive(micros: i64) -> Option<NaiveDateTime> {
    if micros == i64::MAX || micros == i64::MIN {
        return None;
    }
    DateTime::from_timestamp_micros(micros).map(|at| at.naive_utc())
}
