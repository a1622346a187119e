//! What can be wrong with the text of a date, a time, an interval or a zone.

use crate::error::{Error, SqlState};

/// Why a text is no date or time.
#[derive(Debug, PartialEq)]
pub(in crate::pgtype) enum Fault {
    /// It does not look like one.
    Format,
    /// A field is beyond its bounds.
    Field,
    /// A month or a day is, which another order of them might mend.
    MonthDay,
    /// An interval is longer than any.
    Interval,
    /// A zone is further from UTC than any.
    Displacement,
    /// No zone has the name.
    Zone(String),
    /// `now` and its kin, where nobody has told the time.
    Timeless,
}

impl Fault {
    /// The error that PostgreSQL raises.
    pub(in crate::pgtype) fn error(self, kind: &str, text: &str) -> Error {
        let field = || {
            Error::new(
                SqlState::DATETIME_FIELD_OVERFLOW,
                format!("date/time field value out of range: \"{text}\""),
            )
        };
        match self {
            Self::Format => Error::new(
                SqlState::INVALID_DATETIME_FORMAT,
                format!("invalid input syntax for type {kind}: \"{text}\""),
            ),
            Self::Field => field(),
            Self::MonthDay => field().hint("Perhaps you need a different \"DateStyle\" setting."),
            Self::Interval => {
                Error::new(SqlState::DATETIME_FIELD_OVERFLOW, "interval out of range")
            }
            Self::Displacement => Error::new(
                SqlState::INVALID_TIME_ZONE_DISPLACEMENT,
                format!("time zone displacement out of range: \"{text}\""),
            ),
            Self::Zone(name) => Error::new(
                SqlState::INVALID_PARAMETER_VALUE,
                format!("time zone \"{name}\" not recognized"),
            ),
            Self::Timeless => Error::unsupported(format!(
                "\"{text}\" is not supported here: it depends on the time of the statement"
            ))
            .hint("Use now() or current_date."),
        }
    }
}
