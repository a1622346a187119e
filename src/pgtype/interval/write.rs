//! Writes intervals in each of the four styles.

use super::span::Span;
use crate::pgtype::{
    datetime::write::write_fraction,
    integer::{self, write_padded},
    style::IntervalStyle,
};
use arrow::datatypes::IntervalMonthDayNano;

/// An interval as it is read out.
struct Parts {
    years: i64,
    months: i64,
    days: i64,
    hours: i64,
    minutes: i64,
    seconds: i64,
    micros: i64,
}

impl Parts {
    fn of(span: Span) -> Self {
        let seconds = span.micros / 1_000_000;
        Self {
            years: i64::from(span.months / 12),
            months: i64::from(span.months % 12),
            days: i64::from(span.days),
            hours: seconds / 3600,
            minutes: seconds / 60 % 60,
            seconds: seconds % 60,
            micros: span.micros % 1_000_000,
        }
    }

    fn all(&self) -> [i64; 7] {
        let &Self { years, months, days, hours, minutes, seconds, micros } = self;
        [years, months, days, hours, minutes, seconds, micros]
    }

    fn has_time(&self) -> bool {
        self.all()[3..].iter().any(|&part| part != 0)
    }

    fn is_time_negative(&self) -> bool {
        self.all()[3..].iter().any(|&part| part < 0)
    }

    /// `05:06.7`, behind the hours; each without its sign.
    fn write_minutes(&self, out: &mut Vec<u8>) {
        out.push(b':');
        write_padded(self.minutes.unsigned_abs(), 2, out);
        out.push(b':');
        self.write_seconds(2, out);
    }

    fn write_seconds(&self, width: usize, out: &mut Vec<u8>) {
        write_padded(self.seconds.unsigned_abs(), width, out);
        write_fraction(self.micros.unsigned_abs(), out);
    }
}

/// Writes an interval.
pub(in crate::pgtype) fn write(
    value: IntervalMonthDayNano,
    style: IntervalStyle,
    out: &mut Vec<u8>,
) {
    let span = Span::of_arrow(value);
    if span == Span::LATE {
        return out.extend_from_slice(b"infinity");
    }
    if span == Span::EARLY {
        return out.extend_from_slice(b"-infinity");
    }
    let parts = Parts::of(span);
    match style {
        IntervalStyle::Postgres => postgres(&parts, out),
        IntervalStyle::PostgresVerbose => verbose(&parts, out),
        IntervalStyle::SqlStandard => sql_standard(&parts, out),
        IntervalStyle::Iso8601 => iso8601(&parts, out),
    }
}

/// `1 year 2 mons 3 days 04:05:06`: a positive field behind a negative one shows its sign.
fn postgres(parts: &Parts, out: &mut Vec<u8>) {
    let start = out.len();
    let mut after_negative = false;
    for (value, unit) in [(parts.years, "year"), (parts.months, "mon"), (parts.days, "day")] {
        if value == 0 {
            continue;
        }
        if out.len() > start {
            out.push(b' ');
        }
        if after_negative && value > 0 {
            out.push(b'+');
        }
        integer::write(value, out);
        out.push(b' ');
        out.extend_from_slice(unit.as_bytes());
        if value != 1 {
            out.push(b's');
        }
        after_negative = value < 0;
    }
    if out.len() == start || parts.has_time() {
        if out.len() > start {
            out.push(b' ');
        }
        if parts.is_time_negative() {
            out.push(b'-');
        } else if after_negative {
            out.push(b'+');
        }
        write_padded(parts.hours.unsigned_abs(), 2, out);
        parts.write_minutes(out);
    }
}

/// `@ 1 year 2 mons ago`: the first field decides whether all are counted backwards.
fn verbose(parts: &Parts, out: &mut Vec<u8>) {
    out.push(b'@');
    let start = out.len();
    let mut backwards = false;
    let units = ["year", "mon", "day", "hour", "min"];
    for (value, unit) in parts.all().into_iter().zip(units) {
        if value == 0 {
            continue;
        }
        if out.len() == start {
            backwards = value < 0;
        }
        let value = if backwards { -value } else { value };
        out.push(b' ');
        integer::write(value, out);
        out.push(b' ');
        out.extend_from_slice(unit.as_bytes());
        if value != 1 {
            out.push(b's');
        }
    }
    if parts.seconds != 0 || parts.micros != 0 {
        let negative = parts.seconds < 0 || parts.micros < 0;
        if out.len() == start {
            backwards = negative;
        }
        out.push(b' ');
        if negative != backwards {
            out.push(b'-');
        }
        parts.write_seconds(1, out);
        let one = parts.seconds.abs() == 1 && parts.micros == 0;
        out.extend_from_slice(if one { b" sec" } else { b" secs" });
    }
    if out.len() == start {
        out.extend_from_slice(b" 0");
    }
    if backwards {
        out.extend_from_slice(b" ago");
    }
}

/// `1-2` or `3 4:05:06`; all three parts with their signs where SQL has no form for them.
fn sql_standard(parts: &Parts, out: &mut Vec<u8>) {
    let negative = parts.all().iter().any(|&part| part < 0);
    let positive = parts.all().iter().any(|&part| part > 0);
    let has_months = parts.years != 0 || parts.months != 0;
    let has_days = parts.days != 0;
    if !negative && !positive {
        return out.push(b'0');
    }
    let sign = |negative: bool| if negative { b'-' } else { b'+' };
    let number = |value: i64, out: &mut Vec<u8>| write_padded(value.unsigned_abs(), 1, out);
    let standard = !(negative && positive) && !(has_months && (has_days || parts.has_time()));
    if !standard {
        out.push(sign(parts.years < 0 || parts.months < 0));
        number(parts.years, out);
        out.push(b'-');
        number(parts.months, out);
        out.push(b' ');
        out.push(sign(parts.days < 0));
        number(parts.days, out);
        out.push(b' ');
        out.push(sign(parts.is_time_negative()));
        number(parts.hours, out);
        return parts.write_minutes(out);
    }
    if negative {
        out.push(b'-');
    }
    if has_months {
        number(parts.years, out);
        out.push(b'-');
        return number(parts.months, out);
    }
    if has_days {
        number(parts.days, out);
        out.push(b' ');
    }
    number(parts.hours, out);
    parts.write_minutes(out);
}

/// `P1Y2M3DT4H5M6S`
fn iso8601(parts: &Parts, out: &mut Vec<u8>) {
    if parts.all() == [0; 7] {
        return out.extend_from_slice(b"PT0S");
    }
    let field = |value: i64, unit: u8, out: &mut Vec<u8>| {
        if value != 0 {
            integer::write(value, out);
            out.push(unit);
        }
    };
    out.push(b'P');
    field(parts.years, b'Y', out);
    field(parts.months, b'M', out);
    field(parts.days, b'D', out);
    if parts.has_time() {
        out.push(b'T');
    }
    field(parts.hours, b'H', out);
    field(parts.minutes, b'M', out);
    if parts.seconds != 0 || parts.micros != 0 {
        if parts.seconds < 0 || parts.micros < 0 {
            out.push(b'-');
        }
        parts.write_seconds(1, out);
        out.push(b'S');
    }
}
