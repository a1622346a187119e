//! Time zones: by the names of the tz database, by abbreviation, and by offset from UTC.

use super::{
    calendar::{civil_of, days_of},
    fault::Fault,
    tokens::leading,
};
use crate::error::{Error, Result, SqlState};
use chrono::{DateTime, LocalResult, NaiveDateTime, Offset, TimeZone};
use chrono_tz::{OffsetName, TZ_VARIANTS, Tz};
use std::{collections::HashMap, sync::LazyLock};

/// All zones by their names in lower case.
static NAMES: LazyLock<HashMap<String, Tz>> =
    LazyLock::new(|| TZ_VARIANTS.iter().map(|tz| (tz.name().to_ascii_lowercase(), *tz)).collect());

/// PostgreSQL's default set of abbreviations: each an offset in seconds, or a zone whose offset
/// depends on the date.
static ABBREVIATIONS: LazyLock<HashMap<&'static str, Zone>> = LazyLock::new(|| {
    include_str!("abbreviations.tsv")
        .lines()
        .filter_map(|line| {
            let mut fields = line.split('\t');
            let (name, meaning) = (fields.next()?, fields.next()?);
            let zone = match meaning.parse() {
                Ok(offset) => Zone::Fixed(offset),
                Err(_) => Zone::Named(named(meaning)?),
            };
            Some((name, zone))
        })
        .collect()
});

/// What a text says about the zone.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Zone {
    /// Seconds east of UTC.
    Fixed(i32),
    /// A zone whose offset depends on the date.
    Named(Tz),
}

impl From<Tz> for Zone {
    fn from(zone: Tz) -> Self {
        Self::Named(zone)
    }
}

impl Zone {
    /// The zone that a function is told: by an abbreviation, by name, or as POSIX writes it, whose
    /// `+02` lies *west* of UTC.
    ///
    /// # Errors
    /// 22023 where there is no such zone.
    pub fn told(text: &str, session: Tz) -> Result<Self> {
        let zone = abbreviated(&text.to_ascii_lowercase(), session)
            .or_else(|| named(text).map(Self::Named))
            .or_else(|| posix(text).map(Self::Fixed));
        zone.ok_or_else(|| Fault::Zone(text.to_owned()).error("", text))
    }

    /// The zone of a time that is made of parts: an offset as ISO writes it, whose `+02` lies east of
    /// UTC, or what else [`Zone::told`] knows.
    ///
    /// # Errors
    /// 22023 where there is no such zone, 22009 where an offset is too large.
    pub fn of_parts(text: &str, session: Tz) -> Result<Self> {
        if text.starts_with(|c: char| c.is_ascii_digit()) {
            let what = format!("invalid input syntax for type numeric time zone: \"{text}\"");
            return Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, what)
                .hint("Numeric time zones must have \"-\" or \"+\" as first character."));
        }
        match offset(text) {
            Ok(offset) => Ok(Self::Fixed(offset)),
            Err(Fault::Displacement) => {
                let what = format!("numeric time zone \"{text}\" out of range");
                Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, what))
            }
            Err(_) => Self::told(text, session),
        }
    }
}

/// The zone of a name in any case.
#[must_use]
pub fn named(name: &str) -> Option<Tz> {
    NAMES.get(&name.to_ascii_lowercase()).copied()
}

/// The zone that `SET TIME ZONE` names: a name, or a whole number of hours east of UTC.
///
/// # Errors
/// 22023 where there is no such zone, 0A000 for offsets that are no whole hours.
pub fn parse(text: &str) -> Result<Tz> {
    let unknown = || {
        Error::new(
            SqlState::INVALID_PARAMETER_VALUE,
            format!("invalid value for parameter \"TimeZone\": \"{text}\""),
        )
    };
    let name = text.trim();
    if let Some(tz) = named(name) {
        return Ok(tz);
    }
    let hours: f64 = name.parse().map_err(|_| unknown())?;
    if hours == 0.0 {
        return Ok(Tz::UTC);
    }
    // The names of fixed zones count westward.
    let fixed = format!("Etc/GMT{:+}", -hours);
    named(&fixed).ok_or_else(|| {
        Error::unsupported(format!("time zone {text} is not supported"))
            .hint("Use a whole number of hours from -12 to 14, or a zone's name.")
    })
}

/// The zone of the longest abbreviation with which a text begins, and its length.
#[must_use]
pub fn abbreviation_before(text: &str, session: Tz) -> Option<(Zone, usize)> {
    let letters = text.bytes().take_while(u8::is_ascii_alphabetic).count();
    let lower = text[..letters].to_ascii_lowercase();
    (1..=letters).rev().find_map(|length| Some((abbreviated(&lower[..length], session)?, length)))
}

/// The zone of an abbreviation in lower case: one that the session's zone uses itself, else one
/// of PostgreSQL's default set.
pub(super) fn abbreviated(text: &str, session: Tz) -> Option<Zone> {
    // One day in winter and one in summer show both.
    let own = [1_704_067_200, 1_719_792_000].into_iter().find_map(|seconds| {
        let offset = session.offset_from_utc_datetime(&instant(seconds));
        let same = offset.abbreviation().is_some_and(|name| name.eq_ignore_ascii_case(text));
        same.then(|| Zone::Fixed(offset.fix().local_minus_utc()))
    });
    own.or_else(|| ABBREVIATIONS.get(text).copied())
}

/// Reads an offset: a sign, hours, and minutes and seconds with colons or run together.
pub(super) fn offset(text: &str) -> Result<i32, Fault> {
    let bytes = text.as_bytes();
    let east = match bytes.first() {
        Some(b'+') => 1,
        Some(b'-') => -1,
        _ => return Err(Fault::Format),
    };
    let number = |text: &str| -> Result<(i64, usize), Fault> {
        let (value, rest) = leading(text).map_err(|_| Fault::Displacement)?;
        Ok((value, text.len() - rest.len()))
    };
    let (mut hours, length) = number(&text[1..])?;
    let mut rest = &text[1 + length..];
    let (mut minutes, mut seconds) = (0, 0);
    if let Some(tail) = rest.strip_prefix(':') {
        let (value, length) = number(tail)?;
        minutes = value;
        rest = &tail[length..];
        if let Some(tail) = rest.strip_prefix(':') {
            let (value, length) = number(tail)?;
            seconds = value;
            rest = &tail[length..];
        }
    } else if rest.is_empty() && text.len() > 3 {
        minutes = hours % 100;
        hours /= 100;
    }
    let bounded =
        (0..=15).contains(&hours) && (0..60).contains(&minutes) && (0..60).contains(&seconds);
    if !bounded {
        return Err(Fault::Displacement);
    }
    if !rest.is_empty() {
        return Err(Fault::Format);
    }
    i32::try_from((hours * 60 + minutes) * 60 + seconds)
        .map(|offset| offset * east)
        .map_err(|_| Fault::Displacement)
}

/// A zone as POSIX writes it: a name or none, and hours *west* of UTC.
pub(super) fn posix(text: &str) -> Option<i32> {
    let letters = text.bytes().take_while(|byte| !b"0123456789+-,".contains(byte)).count();
    let (sign, digits) = match text.as_bytes().get(letters)? {
        b'+' => (-1, &text[letters + 1..]),
        b'-' => (1, &text[letters + 1..]),
        _ => (-1, &text[letters..]),
    };
    let mut parts = digits.split(':').map(|part| {
        let plain = (1..=3).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
        if plain { part.parse::<i32>().ok() } else { None }
    });
    let hours = parts.next()??;
    let minutes = parts.next().unwrap_or(Some(0))?;
    let seconds = parts.next().unwrap_or(Some(0))?;
    let bounded = hours <= 24 && minutes < 60 && seconds < 60;
    (bounded && parts.next().is_none()).then_some(sign * (hours * 3600 + minutes * 60 + seconds))
}

/// What a zone is called at an instant: `PST`, `CEST`, or its offset where it has no such name.
#[must_use]
pub fn abbreviation_at(zone: Tz, seconds: i64) -> String {
    let offset = zone.offset_from_utc_datetime(&instant(seconds));
    if let Some(name) = offset.abbreviation() {
        return name.to_owned();
    }
    let east = offset.fix().local_minus_utc();
    let (hours, minutes) = (east.abs() / 3600, east.abs() / 60 % 60);
    let sign = if east < 0 { '-' } else { '+' };
    if minutes == 0 { format!("{sign}{hours:02}") } else { format!("{sign}{hours:02}{minutes:02}") }
}

/// How far east of UTC a zone is at an instant: seconds for seconds from 1970-01-01.
#[must_use]
pub fn offset_at(zone: Tz, seconds: i64) -> i32 {
    zone.offset_from_utc_datetime(&instant(seconds)).fix().local_minus_utc()
}

/// How far east of UTC a zone is the whole year.
pub(super) fn offset_of_year(zone: Tz) -> Option<i32> {
    // One day in winter and one in summer show both.
    let [winter, summer] = [1_704_067_200, 1_719_792_000].map(|seconds| offset_at(zone, seconds));
    (winter == summer).then_some(winter)
}

/// How far east of UTC a zone is when its clocks show a local time. Where clocks went forward
/// the offset before counts, where they went back the one after.
#[must_use]
pub fn offset_at_local(zone: Tz, local_seconds: i64) -> i32 {
    let local = instant(local_seconds);
    match zone.offset_from_local_datetime(&local) {
        LocalResult::Single(offset) => offset.fix().local_minus_utc(),
        LocalResult::Ambiguous(_, after) => after.fix().local_minus_utc(),
        LocalResult::None => offset_at(zone, seconds_of(local) - 86_400),
    }
}

fn seconds_of(local: NaiveDateTime) -> i64 {
    local.and_utc().timestamp()
}

/// An instant that chrono can hold and the tz database's rules reach: later years are replaced by
/// one before 2100 that has the same calendar.
fn instant(seconds: i64) -> NaiveDateTime {
    const LAST_RULES: i64 = 2099;
    let days = seconds.div_euclid(86_400);
    let (year, month, day) = civil_of(days);
    let year = if year > LAST_RULES {
        let weekday = |year: i64| days_of(year, 1, 1).rem_euclid(7);
        let length = |year: i64| days_of(year + 1, 1, 1) - days_of(year, 1, 1);
        (LAST_RULES - 27..=LAST_RULES)
            .find(|&like| weekday(like) == weekday(year) && length(like) == length(year))
            .unwrap_or(LAST_RULES)
    } else {
        // Before there were zones nothing changes.
        year.max(1800)
    };
    let seconds = days_of(year, month, day) * 86_400 + seconds.rem_euclid(86_400);
    DateTime::from_timestamp(seconds, 0).unwrap_or_default().naive_utc()
}
