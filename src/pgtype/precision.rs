//! How many digits of the second a type keeps: `timestamp(3)`, `time(0)`, `interval(6)`.
//!
//! A value is rounded half away from zero when it becomes one of such a type, whatever it comes
//! from; zero is midnight for times of a day and 2000-01-01 for timestamps, as in PostgreSQL.

use super::PgType;
use crate::error::{Error, Result, SqlState};

/// Microseconds have no more digits than these.
pub const DIGITS_MAX: u8 = 6;

/// 2000-01-01 in microseconds from 1970-01-01.
const MILLENNIUM: i64 = 946_684_800_000_000;

/// The digits that a type of times or timestamps keeps, where that is declared.
#[must_use]
pub fn of(kind: &PgType) -> Option<u8> {
    match kind {
        PgType::Time(digits)
        | PgType::Timetz(digits)
        | PgType::Timestamp(digits)
        | PgType::Timestamptz(digits) => *digits,
        _ => None,
    }
}

/// The digits as `information_schema` has them: those of a type with a second, declared or not.
#[must_use]
pub fn of_second(kind: &PgType) -> Option<i64> {
    let declared = match kind {
        PgType::Date => Some(0),
        PgType::Interval(qualifier) => qualifier.and_then(|qualifier| qualifier.precision),
        PgType::Time(_) | PgType::Timetz(_) | PgType::Timestamp(_) | PgType::Timestamptz(_) => {
            of(kind)
        }
        _ => return None,
    };
    Some(i64::from(declared.unwrap_or(DIGITS_MAX)))
}

/// Whether values of one type stay as they are under another that differs in its modifier alone;
/// `None` where the types are not that near, or have no second.
#[must_use]
pub fn keeps(from: &PgType, to: &PgType) -> Option<bool> {
    if from.oid() != to.oid() || *from == PgType::Date {
        return None;
    }
    let (least, most) = (of_second(from)?, of_second(to)?);
    Some(match to.qualifier() {
        Some(qualifier) if qualifier.fields.is_some() => from == to,
        _ => least <= most,
    })
}

/// What is kept where so many digits are asked for: at most [`DIGITS_MAX`]. [`reduced`] is the
/// warning where they were more.
///
/// # Errors
/// 22023 where they are negative.
pub(super) fn kept(kind: &PgType, asked: i64) -> Result<u8> {
    match u8::try_from(asked.min(i64::from(DIGITS_MAX))) {
        Ok(digits) => Ok(digits),
        Err(_) => Err(Error::new(
            SqlState::INVALID_PARAMETER_VALUE,
            format!("{} precision must not be negative", shown(kind, &asked.to_string())),
        )),
    }
}

/// What PostgreSQL warns of where more digits are asked for than there are.
#[must_use]
pub fn reduced(kind: &PgType, asked: &str) -> String {
    format!("{} precision reduced to maximum allowed, {DIGITS_MAX}", shown(kind, asked))
}

fn shown(kind: &PgType, digits: &str) -> String {
    match kind {
        PgType::Time(_) => format!("TIME({digits})"),
        PgType::Timetz(_) => format!("TIME({digits}) WITH TIME ZONE"),
        PgType::Timestamptz(_) => format!("TIMESTAMP({digits}) WITH TIME ZONE"),
        PgType::Interval(_) => format!("INTERVAL({digits})"),
        _ => format!("TIMESTAMP({digits})"),
    }
}

/// Microseconds with so many digits of the second; `None` where the result is beyond all of them.
pub(super) fn rounded(micros: i64, digits: u8) -> Option<i64> {
    let unit = 10_i64.pow(u32::from(DIGITS_MAX - digits.min(DIGITS_MAX)));
    let away = if micros < 0 { -(unit / 2) } else { unit / 2 };
    micros.checked_add(away).map(|micros| micros - micros % unit)
}

/// A time of day, or as much of one as `digits` keep: the last second may become 24:00.
#[must_use]
pub fn time(micros: i64, digits: Option<u8>) -> i64 {
    digits.and_then(|digits| rounded(micros, digits)).unwrap_or(micros)
}

/// A timestamp, or as much of one as `digits` keep; the infinities stay.
///
/// # Errors
/// 22008 where it was the last one that there is.
pub fn timestamp(micros: i64, digits: Option<u8>) -> Result<i64> {
    let Some(digits) = digits.filter(|_| ![i64::MAX, i64::MIN].contains(&micros)) else {
        return Ok(micros);
    };
    micros
        .checked_sub(MILLENNIUM)
        .and_then(|micros| rounded(micros, digits)?.checked_add(MILLENNIUM))
        .ok_or_else(|| Error::new(SqlState::DATETIME_FIELD_OVERFLOW, "timestamp out of range"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_digits_keep_what_fewer_hold() {
        let keeps = |from: &str, to: &str| {
            keeps(&PgType::parse(from).unwrap(), &PgType::parse(to).unwrap())
        };
        assert_eq!(keeps("timestamp(3)", "timestamp(6)"), Some(true));
        assert_eq!(keeps("timestamp", "timestamp(6)"), Some(true));
        assert_eq!(keeps("timestamp", "timestamp(5)"), Some(false));
        assert_eq!(keeps("interval year", "interval"), Some(true));
        assert_eq!(keeps("interval", "interval year"), Some(false));
        assert_eq!(keeps("interval(3)", "interval(4)"), Some(true));
        assert_eq!(keeps("timestamp(3)", "timestamptz(3)"), None);
        assert_eq!(keeps("varchar(3)", "varchar(4)"), None);
    }

    #[test]
    fn halves_go_away_from_zero() {
        let time_of = |micros, digits| time(micros, Some(digits));
        assert_eq!(time_of(500_000, 0), 1_000_000);
        assert_eq!(time_of(499_999, 0), 0);
        assert_eq!(time_of(1_234_500, 3), 1_235_000);
        assert_eq!(time_of(86_399_999_999, 0), 86_400_000_000);
        assert_eq!(time_of(123_456, 6), 123_456);
        // Before 2000 the half lies nearer to the earlier second.
        assert_eq!(timestamp(MILLENNIUM - 500_000, Some(0)).unwrap(), MILLENNIUM - 1_000_000);
        assert_eq!(timestamp(MILLENNIUM + 500_000, Some(0)).unwrap(), MILLENNIUM + 1_000_000);
        assert_eq!(timestamp(i64::MIN, Some(0)).unwrap(), i64::MIN);
        assert!(timestamp(i64::MAX - 1, Some(0)).is_err());
    }
}
