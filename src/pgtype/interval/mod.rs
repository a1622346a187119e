//! `interval`: months, days and microseconds that do not become each other.
//!
//! Arrow's carrier counts nanoseconds, so that an interval's time spans at most 292 years. All
//! three at their largest or smallest stand for infinity, as in PostgreSQL.

mod qualifier;
mod read;
mod span;
pub(super) mod write;

use super::{datetime::fault::Fault, faults::take, style::IntervalStyle};
use crate::error::{Error, Result, SqlState};
use arrow::datatypes::IntervalMonthDayNano;
use span::Span;

pub use qualifier::{Fields, Qualifier};

/// Reads an interval in any of the styles; the qualifier says what a number without a unit counts,
/// and what of it all is kept.
pub(super) fn parse(
    text: &str,
    style: IntervalStyle,
    qualifier: Option<Qualifier>,
) -> Result<IntervalMonthDayNano> {
    let fields = qualifier.and_then(|qualifier| qualifier.fields);
    let span = match read::traditional(text, style, fields) {
        Err(Fault::Format) => read::iso8601(text),
        other => other,
    };
    let span = span.map_err(|fault| match fault {
        Fault::Field => Error::new(
            SqlState::new(b"22015"),
            format!("interval field value out of range: \"{text}\""),
        ),
        fault => fault.error("interval", text),
    })?;
    adjusted(span, qualifier)
}

fn adjusted(span: Span, qualifier: Option<Qualifier>) -> Result<IntervalMonthDayNano> {
    qualifier.map_or(Ok(span), |qualifier| qualifier.adjust(span))?.into_arrow()
}

/// An interval's text.
#[must_use]
pub fn text(value: IntervalMonthDayNano, style: IntervalStyle) -> String {
    let mut out = Vec::new();
    write::write(value, style, &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

/// Whether an interval is one of the infinities.
#[must_use]
pub fn is_infinite(value: IntervalMonthDayNano) -> bool {
    [Span::LATE, Span::EARLY].contains(&Span::of_arrow(value))
}

/// The interval that is longer than any, or shorter.
#[must_use]
pub fn infinity(positive: bool) -> IntervalMonthDayNano {
    let Span { months, days, micros } = if positive { Span::LATE } else { Span::EARLY };
    IntervalMonthDayNano { months, days, nanoseconds: micros }
}

fn out_of_range() -> Error {
    Error::new(SqlState::DATETIME_FIELD_OVERFLOW, "interval out of range")
}

/// Reads the binary form: microseconds, days, months.
pub(super) fn from_binary(
    bytes: [u8; 16],
    qualifier: Option<Qualifier>,
) -> Result<IntervalMonthDayNano> {
    let mut rest = &bytes[..];
    let micros = i64::from_be_bytes(take(&mut rest)?);
    let days = i32::from_be_bytes(take(&mut rest)?);
    let months = i32::from_be_bytes(take(&mut rest)?);
    adjusted(Span { months, days, micros }, qualifier)
}

/// Writes the binary form.
pub(super) fn write_binary(value: IntervalMonthDayNano, out: &mut Vec<u8>) {
    let span = Span::of_arrow(value);
    out.extend_from_slice(&span.micros.to_be_bytes());
    out.extend_from_slice(&span.days.to_be_bytes());
    out.extend_from_slice(&span.months.to_be_bytes());
}
