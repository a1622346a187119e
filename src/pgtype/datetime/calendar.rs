//! The calendar: days since 1970-01-01 become dates of the Gregorian calendar and back, as far as
//! PostgreSQL's reach.

/// Microseconds of a day.
pub(in crate::pgtype) const DAY: i64 = 86_400_000_000;

/// Days between 1970-01-01, from which Arrow counts, and 2000-01-01, from which the binary forms
/// count.
pub(super) const EPOCH_DAYS: i32 = 10_957;

/// The Julian day of 1970-01-01.
pub(super) const JULIAN: i64 = 2_440_588;

/// The first microsecond that PostgreSQL knows: 4714-11-24 BC, Julian day 0.
const FIRST: i64 = -JULIAN * DAY;

/// The days from 1970-01-01 to a date of the Gregorian calendar; year 0 is 1 BC. Months beyond
/// twelve run into the next years.
pub(super) fn days_of(year: i64, month: u32, day: u32) -> i64 {
    // Years that begin in March put the leap day at their end.
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let month = i64::from((month + 9) % 12);
    let day_of_year = (153 * month + 2) / 5 + i64::from(day) - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// Year, month and day of a number of days from 1970-01-01.
pub(super) fn civil_of(days: i64) -> (i64, u32, u32) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day = days.rem_euclid(146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + era * 400 + i64::from(month <= 2);
    (year, u32::try_from(month).unwrap_or(1), u32::try_from(day).unwrap_or(1))
}

/// How many days a month has.
pub(super) fn days_of_month(year: i64, month: u32) -> u32 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// A day as a `date` carries it, if it is one.
pub fn date_in_range(days: i64) -> Option<i32> {
    // The last date that PostgreSQL knows is 5874897-12-31.
    (-JULIAN..2_147_483_494 - JULIAN).contains(&days).then(|| i32::try_from(days).ok())?
}

/// A microsecond as a `timestamp` carries it, if it is one.
pub fn timestamp_in_range(micros: i64) -> Option<i64> {
    (FIRST..i64::MAX).contains(&micros).then_some(micros)
}
