//! `interval`: months, days and microseconds that do not become each other.
//!
//! Arrow's carrier counts nanoseconds, so that an interval's time spans at most 292 years. All
//! three at their largest or smallest stand for infinity, as in PostgreSQL.

mod read;
mod span;
pub(super) mod write;

use super::{datetime::fault::Fault, faults::take, style::IntervalStyle};
use crate::error::{Error, Result, SqlState};
use arrow::datatypes::IntervalMonthDayNano;
use span::Span;

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
    let micros = i64::from_be_bytes(take(&mut rest)?);
    let days = i32::from_be_bytes(take(&mut rest)?);
    let months = i32::from_be_bytes(take(&mut rest)?);
    Span { months, days, micros }.into_arrow()
}

/// Writes the binary form.
pub(super) fn write_binary(value: IntervalMonthDayNano, out: &mut Vec<u8>) {
    let span = Span::of_arrow(value);
    out.extend_from_slice(&span.micros.to_be_bytes());
    out.extend_from_slice(&span.days.to_be_bytes());
    out.extend_from_slice(&span.months.to_be_bytes());
}
