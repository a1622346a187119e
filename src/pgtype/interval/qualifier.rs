//! What stands behind `interval` in a type's name: the fields that values keep, and how many digits
//! of the second (`interval day to second(3)`).

use super::span::Span;
use crate::{
    error::Result,
    pgtype::precision::{DIGITS_MAX, rounded},
};
use arrow::datatypes::IntervalMonthDayNano;
use std::fmt;

/// The fields of which an interval is made, from the first to the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each is named as SQL names it")]
pub enum Fields {
    Year,
    Month,
    Day,
    Hour,
    Minute,
    Second,
    YearToMonth,
    DayToHour,
    DayToMinute,
    DayToSecond,
    HourToMinute,
    HourToSecond,
    MinuteToSecond,
}

/// The bits of the fields in a modifier.
const YEAR: i32 = 1 << 2;
const MONTH: i32 = 1 << 1;
const DAY: i32 = 1 << 3;
const HOUR: i32 = 1 << 10;
const MINUTE: i32 = 1 << 11;
const SECOND: i32 = 1 << 12;

/// All fields, and all digits, of a modifier that says the other thing alone.
const ALL_FIELDS: i32 = 0x7fff;
const ALL_DIGITS: i32 = 0xffff;

const MINUTE_MICROS: i64 = 60_000_000;
const HOUR_MICROS: i64 = 60 * MINUTE_MICROS;

impl Fields {
    const ALL: [(Self, &'static str, i32); 13] = [
        (Self::Year, "year", YEAR),
        (Self::Month, "month", MONTH),
        (Self::Day, "day", DAY),
        (Self::Hour, "hour", HOUR),
        (Self::Minute, "minute", MINUTE),
        (Self::Second, "second", SECOND),
        (Self::YearToMonth, "year to month", YEAR | MONTH),
        (Self::DayToHour, "day to hour", DAY | HOUR),
        (Self::DayToMinute, "day to minute", DAY | HOUR | MINUTE),
        (Self::DayToSecond, "day to second", DAY | HOUR | MINUTE | SECOND),
        (Self::HourToMinute, "hour to minute", HOUR | MINUTE),
        (Self::HourToSecond, "hour to second", HOUR | MINUTE | SECOND),
        (Self::MinuteToSecond, "minute to second", MINUTE | SECOND),
    ];

    /// The fields of a name in lower case.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|(_, known, _)| *known == name).map(|(fields, ..)| fields)
    }

    fn row(self) -> (&'static str, i32) {
        let row = Self::ALL.into_iter().find(|(fields, ..)| *fields == self);
        row.map(|(_, name, bits)| (name, bits)).expect("every one is in the table")
    }

    /// Whether the last of them is the second, which alone has digits.
    #[must_use]
    pub fn has_second(self) -> bool {
        self.row().1 & SECOND != 0
    }

    /// The last of them: what a number without a unit counts.
    pub(super) fn last(self) -> Self {
        match self {
            Self::YearToMonth => Self::Month,
            Self::DayToHour => Self::Hour,
            Self::DayToMinute | Self::HourToMinute => Self::Minute,
            Self::DayToSecond | Self::HourToSecond | Self::MinuteToSecond => Self::Second,
            single => single,
        }
    }

    /// What is left of an interval: what is smaller than the last field goes, what is larger than the
    /// first stays.
    fn cut(self, span: Span) -> Span {
        let Span { months, days, micros } = span;
        match self.last() {
            Self::Year => Span { months: months / 12 * 12, days: 0, micros: 0 },
            Self::Month => Span { months, days: 0, micros: 0 },
            Self::Day => Span { months, days, micros: 0 },
            Self::Hour => Span { months, days, micros: micros / HOUR_MICROS * HOUR_MICROS },
            Self::Minute => Span { months, days, micros: micros / MINUTE_MICROS * MINUTE_MICROS },
            _ => span,
        }
    }
}

/// What a type's name says behind `interval`: at least one of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Qualifier {
    /// The fields; `None`: all.
    pub fields: Option<Fields>,
    /// The digits of the second; `None`: all.
    pub precision: Option<u8>,
}

impl Qualifier {
    /// The qualifier of a modifier.
    #[must_use]
    pub fn of_typmod(typmod: i32) -> Option<Self> {
        if typmod < 0 {
            return None;
        }
        let bits = (typmod >> 16) & ALL_FIELDS;
        let fields = Fields::ALL.into_iter().find(|(.., known)| *known == bits);
        let precision = u8::try_from(typmod & ALL_DIGITS).ok().filter(|&n| n <= DIGITS_MAX);
        let made = Self { fields: fields.map(|(fields, ..)| fields), precision };
        (made.fields.is_some() || precision.is_some()).then_some(made)
    }

    /// The modifier.
    #[must_use]
    pub fn typmod(self) -> i32 {
        let bits = self.fields.map_or(ALL_FIELDS, |fields| fields.row().1);
        (bits << 16) | self.precision.map_or(ALL_DIGITS, i32::from)
    }

    /// `information_schema.columns.interval_type`: `DAY TO SECOND(3)`.
    #[must_use]
    pub fn interval_type(self) -> Option<String> {
        self.fields.map(|_| self.to_string().trim_start().to_ascii_uppercase())
    }

    /// An interval of this type; the infinities stay.
    ///
    /// # Errors
    /// 22008 where it is the longest of all.
    pub fn adjusted(self, value: IntervalMonthDayNano) -> Result<IntervalMonthDayNano> {
        self.adjust(Span::of_arrow(value))?.into_arrow()
    }

    pub(super) fn adjust(self, span: Span) -> Result<Span> {
        if span == Span::LATE || span == Span::EARLY {
            return Ok(span);
        }
        let span = self.fields.map_or(span, |fields| fields.cut(span));
        let Some(digits) = self.precision else { return Ok(span) };
        let micros = rounded(span.micros, digits).ok_or_else(super::out_of_range)?;
        Ok(Span { micros, ..span })
    }
}

/// Behind `interval`, as `format_type` writes it: ` day to second(3)`.
impl fmt::Display for Qualifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(fields) = self.fields {
            write!(f, " {}", fields.row().0)?;
        }
        match self.precision {
            Some(digits) => write!(f, "({digits})"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modifiers_lead_back_to_the_qualifier() {
        for (fields, ..) in Fields::ALL {
            let precisions: &[Option<u8>] =
                if fields.has_second() { &[None, Some(0), Some(6)] } else { &[None] };
            for &precision in precisions {
                let made = Qualifier { fields: Some(fields), precision };
                assert_eq!(Qualifier::of_typmod(made.typmod()), Some(made));
            }
        }
        let digits = Qualifier { fields: None, precision: Some(3) };
        assert_eq!(digits.typmod(), 2_147_418_115);
        assert_eq!(Qualifier::of_typmod(digits.typmod()), Some(digits));
        assert_eq!(Qualifier::of_typmod(-1), None);
    }
}
