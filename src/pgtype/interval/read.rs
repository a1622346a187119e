//! Reads intervals: numbers and units in any order, a clock's time, SQL's `1-2 3 4:05:06`, and
//! ISO 8601's `P1Y2M3DT4H5M6S`; by the rules of PostgreSQL's `DecodeInterval`.

use super::{qualifier::Fields, span::Span};
use crate::pgtype::{
    datetime::{
        calendar::DAY,
        clock::clock_span,
        fault::Fault,
        tokens::{self, Shape, Word, fraction, leading, leading_i32},
    },
    style::IntervalStyle,
};

const SECOND: i64 = 1_000_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;

/// What a number counts.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Unit {
    /// So many microseconds.
    Time(i64),
    /// So many days.
    Days(i32),
    Month,
    /// So many years.
    Years(i32),
}

const DAYS: Unit = Unit::Days(1);

impl Unit {
    /// What a number counts that has no unit: the last field of the type, or else seconds.
    fn unnamed(fields: Option<Fields>) -> Self {
        match fields.map(Fields::last) {
            Some(Fields::Year) => Self::Years(1),
            Some(Fields::Month) => Self::Month,
            Some(Fields::Day) => DAYS,
            Some(Fields::Hour) => Self::Time(HOUR),
            Some(Fields::Minute) => Self::Time(MINUTE),
            _ => Self::Time(SECOND),
        }
    }

    fn named(name: &str) -> Option<Self> {
        Some(match name.get(..10).unwrap_or(name) {
            "us" | "usec" | "usecs" | "usecond" | "useconds" | "microsecon" => Self::Time(1),
            "ms" | "msec" | "msecs" | "mseconds" | "millisecon" => Self::Time(1000),
            "s" | "sec" | "secs" | "second" | "seconds" => Self::Time(SECOND),
            "m" | "mm" | "min" | "mins" | "minute" | "minutes" => Self::Time(MINUTE),
            "h" | "hr" | "hrs" | "hour" | "hours" => Self::Time(HOUR),
            "d" | "day" | "days" => DAYS,
            "w" | "week" | "weeks" => Self::Days(7),
            "mon" | "mons" | "month" | "months" => Self::Month,
            "y" | "yr" | "yrs" | "year" | "years" => Self::Years(1),
            "dec" | "decs" | "decade" | "decades" => Self::Years(10),
            "c" | "cent" | "century" | "centuries" => Self::Years(100),
            "mil" | "mils" | "millennia" | "millennium" => Self::Years(1000),
            _ => return None,
        })
    }

    /// The bit by which a unit is known to have been named. A second with a fraction names its
    /// parts too.
    fn bits(self, fractional: bool) -> u32 {
        match self {
            Self::Time(SECOND) if fractional => 0b111,
            Self::Time(1) => 1,
            Self::Time(1000) => 1 << 1,
            Self::Time(SECOND) => 1 << 2,
            Self::Time(MINUTE) => 1 << 3,
            Self::Time(_) => 1 << 4,
            Self::Days(1) => 1 << 5,
            Self::Days(_) => 1 << 6,
            Self::Month => 1 << 7,
            Self::Years(1) => 1 << 8,
            Self::Years(10) => 1 << 9,
            Self::Years(100) => 1 << 10,
            Self::Years(_) => 1 << 11,
        }
    }
}

/// The bits of hours, minutes and seconds, which a clock's time names.
const CLOCK: u32 = 0b11111;

impl Span {
    /// Adds a number of units; a fraction runs down into the smaller ones.
    fn add(&mut self, count: i64, fraction: f64, unit: Unit) -> Result<(), Fault> {
        match unit {
            Unit::Time(micros) => {
                self.add_micros(count, micros)?;
                self.add_fraction(fraction, micros)
            }
            Unit::Days(days) => {
                self.add_days(count, days)?;
                if days == 1 {
                    self.add_fraction(fraction, DAY)
                } else {
                    self.add_part_days(fraction, days)
                }
            }
            Unit::Month => {
                self.add_months(count, 1)?;
                self.add_part_days(fraction, 30)
            }
            Unit::Years(years) => {
                let years_count = count.checked_mul(i64::from(years));
                let years_count = years_count.filter(|&count| i32::try_from(count).is_ok());
                self.add_months(years_count.ok_or(Fault::Field)?, 12)
                    .map_err(|_| Fault::Interval)?;
                #[expect(clippy::cast_possible_truncation, reason = "at most 12,000")]
                let months = (fraction * f64::from(years) * 12.0).round_ties_even() as i64;
                self.add_months(months, 1)
            }
        }
    }

    fn add_micros(&mut self, count: i64, each: i64) -> Result<(), Fault> {
        let micros = count.checked_mul(each).and_then(|micros| self.micros.checked_add(micros));
        self.micros = micros.ok_or(Fault::Field)?;
        Ok(())
    }

    fn add_days(&mut self, count: i64, each: i32) -> Result<(), Fault> {
        let days = count.checked_mul(i64::from(each)).and_then(|days| i32::try_from(days).ok());
        self.days = days.and_then(|days| self.days.checked_add(days)).ok_or(Fault::Field)?;
        Ok(())
    }

    fn add_months(&mut self, count: i64, each: i64) -> Result<(), Fault> {
        let months = count.checked_mul(each).and_then(|months| i32::try_from(months).ok());
        let months = months.and_then(|months| self.months.checked_add(months));
        self.months = months.ok_or(Fault::Field)?;
        Ok(())
    }

    /// Adds a fraction of so many microseconds, to the nearest.
    #[expect(clippy::cast_possible_truncation, reason = "at most a day")]
    #[expect(clippy::cast_precision_loss, reason = "a day's microseconds fit")]
    fn add_fraction(&mut self, fraction: f64, micros: i64) -> Result<(), Fault> {
        let exact = fraction * micros as f64;
        let whole = exact.trunc();
        let rest = exact - whole;
        let carry = i64::from(rest > 0.5) - i64::from(rest < -0.5);
        self.add_micros(whole as i64 + carry, 1)
    }

    /// Adds a fraction of so many days: whole days, and the rest as time.
    fn add_part_days(&mut self, fraction: f64, days: i32) -> Result<(), Fault> {
        let exact = fraction * f64::from(days);
        let whole = exact.trunc();
        #[expect(clippy::cast_possible_truncation, reason = "at most 30")]
        self.add_days(whole as i64, 1)?;
        self.add_fraction(exact - whole, DAY)
    }

    fn negated(self) -> Result<Self, Fault> {
        let Self { months, days, micros } = self;
        match (months.checked_neg(), days.checked_neg(), micros.checked_neg()) {
            (Some(months), Some(days), Some(micros)) => Ok(Self { months, days, micros }),
            _ => Err(Fault::Field),
        }
    }
}

/// Reads numbers and units, from right to left: a unit stands behind its number.
pub(super) fn traditional(
    text: &str,
    style: IntervalStyle,
    fields: Option<Fields>,
) -> Result<Span, Fault> {
    let tokens = tokens::split(text)?;
    let clock = |text: &str| clock_span(text, fields == Some(Fields::MinuteToSecond));
    let signed = |text: &str| text.starts_with(['-', '+']);
    // SQL: a sign in front of everything counts for everything if no other sign stands behind.
    let all_negative = style == IntervalStyle::SqlStandard
        && tokens.first().is_some_and(|first| first.text.starts_with('-'))
        && !tokens[1..].iter().any(|token| signed(&token.text));

    let mut span = Span::default();
    let mut unit: Option<Unit> = None;
    let mut unit_waits = false;
    let mut ago = false;
    let mut named = 0;
    for (at, token) in tokens.iter().enumerate().rev() {
        let text = token.text.as_str();
        let last = at + 1 == tokens.len();
        let found = match token.shape {
            Shape::Time => {
                set_clock(&mut span, clock(text)?, all_negative);
                unit = Some(DAYS);
                unit_waits = false;
                CLOCK
            }
            Shape::Offset if clock(&text[1..]).is_ok() => {
                set_clock(&mut span, clock(&text[1..])?, all_negative || text.starts_with('-'));
                unit = Some(DAYS);
                unit_waits = false;
                CLOCK
            }
            Shape::Offset | Shape::Date | Shape::Number => {
                // What is reversed must say what it is.
                let counted = unit.or((!ago).then_some(Unit::unnamed(fields)));
                let (count, part, counted) = number(text, counted)?;
                let (count, part) = match all_negative {
                    true if count > 0 => (-count, -part.abs()),
                    true => (count, -part.abs()),
                    false => (count, part),
                };
                span.add(count, part, counted)?;
                unit = Some(if counted == Unit::Time(HOUR) { DAYS } else { counted });
                unit_waits = false;
                counted.bits(part != 0.0)
            }
            Shape::Word | Shape::SignedWord => {
                if unit_waits {
                    return Err(Fault::Format);
                }
                if let Some(found) = Unit::named(text) {
                    unit = Some(found);
                    unit_waits = true;
                    continue;
                }
                if text == "ago" {
                    if !last {
                        return Err(Fault::Format);
                    }
                    ago = true;
                    continue;
                }
                match tokens::word(text) {
                    Some(Word::Ignored) => {
                        unit = None;
                        continue;
                    }
                    Some(word @ (Word::Late | Word::Early)) if last && at == 0 => {
                        return Ok(if word == Word::Late { Span::LATE } else { Span::EARLY });
                    }
                    _ => return Err(Fault::Format),
                }
            }
        };
        if found & named != 0 {
            return Err(Fault::Format);
        }
        named |= found;
    }
    if named == 0 || unit_waits {
        return Err(Fault::Format);
    }
    if ago { span.negated() } else { Ok(span) }
}

/// As in PostgreSQL, it takes the place of what fractions behind it have left.
fn set_clock(span: &mut Span, micros: i64, negative: bool) {
    span.micros = if negative { -micros } else { micros };
}

/// A number, its fraction, and its unit: `1.5`, or `1-2` for years and months.
fn number(text: &str, unit: Option<Unit>) -> Result<(i64, f64, Unit), Fault> {
    let (count, rest) = leading(text)?;
    let negative = text.starts_with('-');
    if let Some(months) = rest.strip_prefix('-') {
        let (months, rest) = leading_i32(months)?;
        if !(0..12).contains(&months) {
            return Err(Fault::Field);
        }
        if !rest.is_empty() {
            return Err(Fault::Format);
        }
        let months = if negative { -months } else { months };
        let count = count.checked_mul(12).and_then(|count| count.checked_add(months));
        return Ok((count.ok_or(Fault::Field)?, 0.0, Unit::Month));
    }
    let unit = unit.ok_or(Fault::Format)?;
    let part = if rest.is_empty() { 0.0 } else { fraction(rest)? };
    Ok((count, if negative { -part } else { part }, unit))
}

/// Reads ISO 8601: designators behind the numbers, or the alternative forms
/// `P0001-02-03T04:05:06` and `P20010203T040506`.
pub(super) fn iso8601(text: &str) -> Result<Span, Fault> {
    let mut rest = text.strip_prefix('P').filter(|rest| !rest.is_empty()).ok_or(Fault::Format)?;
    let mut span = Span::default();
    let mut in_date = true;
    let mut has_field = false;
    while !rest.is_empty() {
        if let Some(tail) = rest.strip_prefix('T') {
            in_date = false;
            has_field = false;
            rest = tail;
            continue;
        }
        let field = rest;
        let (count, part, tail) = iso_number(rest)?;
        let unit = tail.chars().next();
        rest = tail.get(1..).unwrap_or("");
        let digits = field.trim_start_matches('-').bytes().take_while(u8::is_ascii_digit).count();
        match (in_date, unit) {
            (true, Some('Y')) => span.add(count, part, Unit::Years(1))?,
            (true, Some('M')) => span.add(count, part, Unit::Month)?,
            (true, Some('W')) => span.add(count, part, Unit::Days(7))?,
            (true, Some('D')) => span.add(count, part, DAYS)?,
            (true, None | Some('T')) if digits == 8 && !has_field => {
                span.add(count / 10_000, 0.0, Unit::Years(1))?;
                span.add(count / 100 % 100, 0.0, Unit::Month)?;
                span.add(count % 100, part, DAYS)?;
                in_date = false;
                continue;
            }
            (true, None | Some('T' | '-')) if !has_field => {
                rest = alternative(&mut span, tail, (count, part), DATE_PARTS, '-')?;
                if !rest.is_empty() && !rest.starts_with('T') {
                    return Err(Fault::Format);
                }
                continue;
            }
            (false, Some('H')) => span.add(count, part, Unit::Time(HOUR))?,
            (false, Some('M')) => span.add(count, part, Unit::Time(MINUTE))?,
            (false, Some('S')) => span.add(count, part, Unit::Time(SECOND))?,
            (false, None) if digits == 6 && !has_field => {
                span.add(count / 10_000, 0.0, Unit::Time(HOUR))?;
                span.add(count / 100 % 100, 0.0, Unit::Time(MINUTE))?;
                span.add(count % 100, 0.0, Unit::Time(SECOND))?;
                span.add(0, part, Unit::Time(1))?;
                return Ok(span);
            }
            (false, None | Some(':')) if !has_field => {
                rest = alternative(&mut span, tail, (count, part), TIME_PARTS, ':')?;
                return if rest.is_empty() { Ok(span) } else { Err(Fault::Format) };
            }
            _ => return Err(Fault::Format),
        }
        has_field = true;
    }
    Ok(span)
}

const DATE_PARTS: [Unit; 3] = [Unit::Years(1), Unit::Month, DAYS];
const TIME_PARTS: [Unit; 3] = [Unit::Time(HOUR), Unit::Time(MINUTE), Unit::Time(SECOND)];

/// Up to three numbers with a mark between them; returns what follows.
fn alternative<'a>(
    span: &mut Span,
    mut rest: &'a str,
    first: (i64, f64),
    units: [Unit; 3],
    mark: char,
) -> Result<&'a str, Fault> {
    span.add(first.0, first.1, units[0])?;
    for unit in &units[1..] {
        let Some(tail) = rest.strip_prefix(mark) else { break };
        let (count, part, tail) = iso_number(tail)?;
        span.add(count, part, *unit)?;
        rest = tail;
    }
    Ok(rest)
}

/// A number with a sign and a fraction perhaps, and what follows it.
fn iso_number(text: &str) -> Result<(i64, f64, &str), Fault> {
    let negative = text.starts_with('-');
    let unsigned = &text[usize::from(negative)..];
    let whole = unsigned.bytes().take_while(u8::is_ascii_digit).count();
    let mut length = whole;
    if let Some(behind) = unsigned[whole..].strip_prefix('.') {
        let digits = behind.bytes().take_while(u8::is_ascii_digit).count();
        length += if whole + digits > 0 { 1 + digits } else { 0 };
    }
    if length == 0 {
        return Err(Fault::Format);
    }
    let count = match &unsigned[..whole] {
        "" => 0,
        digits => digits.parse::<i64>().map_err(|_| Fault::Format)?,
    };
    let part = if length > whole { fraction(&unsigned[whole..length])? } else { 0.0 };
    let sign = if negative { (-1, -1.0) } else { (1, 1.0) };
    Ok((count * sign.0, part * sign.1, &unsigned[length..]))
}
