//! `interval`: months, days and microseconds that do not become each other.
//!
//! Arrow's carrier counts nanoseconds, so that an interval's time spans at most 292 years. All
//! three at their largest or smallest stand for infinity, as in PostgreSQL.

mod read;
mod write;

use super::datetime::Fault;
use crate::error::{Error, Result, SqlState};
use arrow::datatypes::IntervalMonthDayNano;

pub(super) use write::write;

/// How intervals are written: the setting `IntervalStyle`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IntervalStyle {
    /// `1 day 02:03:04`
    #[default]
    Postgres,
    /// `@ 1 day 2 hours 3 mins 4 secs`
    PostgresVerbose,
    /// `1 2:03:04`
    SqlStandard,
    /// `P1DT2H3M4S`
    Iso8601,
}

/// An interval as PostgreSQL counts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Span {
    pub(super) months: i32,
    pub(super) days: i32,
    pub(super) micros: i64,
}

impl Span {
    const LATE: Self = Self { months: i32::MAX, days: i32::MAX, micros: i64::MAX };
    const EARLY: Self = Self { months: i32::MIN, days: i32::MIN, micros: i64::MIN };

    /// What Arrow carries, in PostgreSQL's terms.
    pub(super) fn of_arrow(value: IntervalMonthDayNano) -> Self {
        let IntervalMonthDayNano { months, days, nanoseconds } = value;
        match nanoseconds {
            i64::MAX | i64::MIN => Self { months, days, micros: nanoseconds },
            _ => Self { months, days, micros: nanoseconds / 1000 },
        }
    }

    fn into_arrow(self) -> Result<IntervalMonthDayNano> {
        let out_of_range =
            || Error::new(SqlState::DATETIME_FIELD_OVERFLOW, "interval out of range");
        let nanoseconds = match self {
            Self::LATE | Self::EARLY => self.micros,
            _ => self.micros.checked_mul(1000).ok_or_else(|| {
                out_of_range().detail("The time of an interval may span at most 292 years.")
            })?,
        };
        Ok(IntervalMonthDayNano { months: self.months, days: self.days, nanoseconds })
    }
}

/// Reads an interval in any of the styles.
pub(super) fn parse(text: &str, style: IntervalStyle) -> Result<IntervalMonthDayNano> {
    let span = match read::traditional(text, style) {
        Err(Fault::Format) => read::iso8601(text),
        other => other,
    };
    span.map_err(|fault| match fault {
        Fault::Field => Error::new(
            SqlState::new(b"22015"),
            format!("interval field value out of range: \"{text}\""),
        ),
        fault => fault.error("interval", text),
    })?
    .into_arrow()
}

/// Reads the binary form: microseconds, days, months.
pub(super) fn from_binary(bytes: [u8; 16]) -> Result<IntervalMonthDayNano> {
    let mut rest = &bytes[..];
    let micros = i64::from_be_bytes(super::faults::take(&mut rest)?);
    let days = i32::from_be_bytes(super::faults::take(&mut rest)?);
    let months = i32::from_be_bytes(super::faults::take(&mut rest)?);
    Span { months, days, micros }.into_arrow()
}

/// Writes the binary form.
pub(super) fn write_binary(value: IntervalMonthDayNano, out: &mut Vec<u8>) {
    let span = Span::of_arrow(value);
    out.extend_from_slice(&span.micros.to_be_bytes());
    out.extend_from_slice(&span.days.to_be_bytes());
    out.extend_from_slice(&span.months.to_be_bytes());
}
