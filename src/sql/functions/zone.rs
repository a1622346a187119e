//! Time zones: from the clock on the wall to UTC and back. The infinities stay.

use crate::pgtype::datetime::zone::{self, Zone};

const SECOND: i64 = 1_000_000;

/// The UTC instant of a local time. A time that a change of clocks skipped is read with the offset
/// before it, one that came twice is the later one.
pub(crate) fn to_utc(zone: impl Into<Zone>, local: i64) -> i64 {
    if [i64::MAX, i64::MIN].contains(&local) {
        return local;
    }
    let offset = match zone.into() {
        Zone::Fixed(offset) => offset,
        Zone::Named(zone) => zone::offset_at_local(zone, local.div_euclid(SECOND)),
    };
    local.saturating_sub(i64::from(offset) * SECOND)
}

/// What the clock on the wall shows at a UTC instant.
pub(crate) fn to_local(zone: impl Into<Zone>, utc: i64) -> i64 {
    if [i64::MAX, i64::MIN].contains(&utc) {
        return utc;
    }
    utc.saturating_add(i64::from(offset_at(zone, utc)) * SECOND)
}

/// Seconds that a zone is east of UTC at an instant.
pub(crate) fn offset_at(zone: impl Into<Zone>, utc: i64) -> i32 {
    if [i64::MAX, i64::MIN].contains(&utc) {
        return 0;
    }
    match zone.into() {
        Zone::Fixed(offset) => offset,
        Zone::Named(zone) => zone::offset_at(zone, utc.div_euclid(SECOND)),
    }
}
