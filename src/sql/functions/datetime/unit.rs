//! The units that extract, date_part and date_trunc are asked for, by their many names.

use crate::{
    error::{Error, Result, SqlState},
    pgtype::PgType,
};

/// A part of a date, a time or an interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Microsecond,
    Millisecond,
    Second,
    Minute,
    Hour,
    Day,
    Week,
    Month,
    Quarter,
    Year,
    Decade,
    Century,
    Millennium,
    Julian,
    IsoYear,
    WeekDay,
    IsoWeekDay,
    DayOfYear,
    Epoch,
    Zone,
    ZoneHour,
    ZoneMinute,
}

impl Unit {
    /// The unit of a name in any case. PostgreSQL looks at ten characters of it.
    ///
    /// # Errors
    /// 22023 where there is none such.
    pub(super) fn named(name: &str, kind: &PgType) -> Result<Self> {
        let lower = name.to_ascii_lowercase();
        let known = match lower.get(..10).unwrap_or(&lower) {
            "microsecon" | "us" | "usec" | "usecond" | "useconds" | "usecs" => Self::Microsecond,
            "millisecon" | "ms" | "msec" | "msecond" | "mseconds" | "msecs" => Self::Millisecond,
            "s" | "sec" | "second" | "seconds" | "secs" => Self::Second,
            "m" | "min" | "mins" | "minute" | "minutes" => Self::Minute,
            "h" | "hour" | "hours" | "hr" | "hrs" => Self::Hour,
            "d" | "day" | "days" => Self::Day,
            "w" | "week" | "weeks" => Self::Week,
            "mon" | "mons" | "month" | "months" => Self::Month,
            "qtr" | "quarter" => Self::Quarter,
            "y" | "year" | "years" | "yr" | "yrs" => Self::Year,
            "dec" | "decade" | "decades" | "decs" => Self::Decade,
            "c" | "cent" | "centuries" | "century" => Self::Century,
            "mil" | "millennia" | "millennium" | "mils" => Self::Millennium,
            "j" | "jd" | "julian" => Self::Julian,
            "isoyear" => Self::IsoYear,
            "dow" => Self::WeekDay,
            "isodow" => Self::IsoWeekDay,
            "doy" => Self::DayOfYear,
            "epoch" => Self::Epoch,
            "timezone" => Self::Zone,
            "timezone_h" => Self::ZoneHour,
            "timezone_m" => Self::ZoneMinute,
            _ => {
                let message = format!("unit \"{lower}\" not recognized for type {kind}");
                return Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, message));
            }
        };
        Ok(known)
    }

    /// `unit … not supported for type …`
    pub(super) fn refused(name: &str, kind: &PgType) -> Error {
        let name = name.to_ascii_lowercase();
        let message = format!("unit \"{name}\" not supported for type {kind}");
        Error::new(SqlState::FEATURE_NOT_SUPPORTED, message)
    }

    /// Whether it grows for ever, so that an infinity has an infinite one.
    pub(super) fn is_unbounded(self, kind: &PgType) -> bool {
        match self {
            Self::Year | Self::Decade | Self::Century | Self::Millennium | Self::Epoch => true,
            Self::Julian | Self::IsoYear => true,
            Self::Hour | Self::Day => matches!(kind, PgType::Interval(_)),
            _ => false,
        }
    }
}
