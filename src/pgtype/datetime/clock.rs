//! Hours, minutes and seconds: the time of a day, and that of an interval.

use super::{
    fault::Fault,
    tokens::{leading, leading_i32, micros},
};

/// What a clock shows.
#[derive(Debug, Default)]
pub(super) struct Clock {
    pub(super) hour: i64,
    pub(super) minute: i64,
    pub(super) second: i64,
    pub(super) micros: i64,
}

/// Hours, minutes, seconds and microseconds of `hh:mm`, `hh:mm:ss` or `mm:ss.f`; only the hours
/// are unbounded.
pub(super) fn clock(text: &str) -> Result<Clock, Fault> {
    let mut clock = Clock::default();
    let (hour, rest) = leading(text)?;
    let rest = rest.strip_prefix(':').ok_or(Fault::Format)?;
    let (minute, rest) = leading_i32(rest)?;
    (clock.hour, clock.minute) = (hour, minute);
    if rest.starts_with('.') {
        clock.micros = micros(rest)?;
        (clock.hour, clock.minute, clock.second) = (0, hour, minute);
    } else if let Some(rest) = rest.strip_prefix(':') {
        let (second, rest) = leading_i32(rest)?;
        clock.second = second;
        if rest.starts_with('.') {
            clock.micros = micros(rest)?;
        } else if !rest.is_empty() {
            return Err(Fault::Format);
        }
    } else if !rest.is_empty() {
        return Err(Fault::Format);
    }
    let bounded =
        clock.hour >= 0 && (0..60).contains(&clock.minute) && (0..=60).contains(&clock.second);
    if bounded { Ok(clock) } else { Err(Fault::Field) }
}

/// The time of an interval, in microseconds: a clock's, but for its hours. `from_minutes`: two numbers
/// are minutes and seconds.
pub(in crate::pgtype) fn clock_span(text: &str, from_minutes: bool) -> Result<i64, Fault> {
    let mut clock = clock(text)?;
    // With a point they are read as that already.
    let two_numbers = text.bytes().filter(|&byte| byte == b':').count() == 1 && !text.contains('.');
    if from_minutes && two_numbers {
        (clock.hour, clock.minute, clock.second) = (0, clock.hour, clock.minute);
        if !(0..60).contains(&clock.minute) {
            return Err(Fault::Field);
        }
    }
    let Clock { hour, minute, second, micros } = clock;
    hour.checked_mul(3600)
        .and_then(|seconds| seconds.checked_add(minute * 60 + second))
        .and_then(|seconds| seconds.checked_mul(1_000_000))
        .and_then(|span| span.checked_add(micros))
        .ok_or(Fault::Field)
}
