//! `to_char` of moments and intervals.

use super::{
    Case, DAYS, ERAS, ERAS_WITH_DOTS, Field, HALVES, HALVES_WITH_DOTS, MONTHS, Node, Piece, ROMAN,
    nodes,
};
use crate::{
    error::{Error, Result, SqlState},
    pgtype::{PgType, datetime::zone, interval::is_infinite},
    sql::functions::{
        call::Arguments,
        datetime::{DAY, naive, spans, stamps},
        zone::to_local,
    },
};
use arrow::array::ArrayRef;
use chrono::{Datelike, NaiveDate};
use std::fmt::Write as _;

/// `to_char(timestamp, template)` and `to_char(timestamptz, template)`
pub(crate) fn moment(args: &Arguments<'_>) -> Result<ArrayRef> {
    let zone = matches!(args.kinds[0], PgType::Timestamptz(_)).then(|| args.context.time_zone());
    args.texts(|row| {
        let at = stamps(args, 0).value(row);
        if [i64::MAX, i64::MIN].contains(&at) {
            return Ok(None);
        }
        let local = zone.map_or(at, |zone| to_local(zone, at));
        let Some(date) = naive(local).map(|naive| naive.date()) else { return Ok(None) };
        let seconds = at.div_euclid(1_000_000);
        let shown = Shown {
            year: date.year().into(),
            month: date.month().into(),
            day: date.day().into(),
            day_of_year: date.ordinal().into(),
            micros: local.rem_euclid(DAY),
            date: Some(date),
            offset: (local - at) / 1_000_000,
            zone: zone.map_or_else(String::new, |zone| zone::abbreviation_at(zone, seconds)),
        };
        shown.write(args.text(1).value(row))
    })
}

/// `to_char(interval, template)`
pub(crate) fn interval(args: &Arguments<'_>) -> Result<ArrayRef> {
    args.texts(|row| {
        let span = spans(args, 0).value(row);
        if is_infinite(span) {
            return Ok(None);
        }
        let (months, days) = (i64::from(span.months), i64::from(span.days));
        let shown = Shown {
            year: months / 12,
            month: months % 12,
            day: days,
            day_of_year: months * 30 + days,
            micros: span.nanoseconds / 1000,
            date: None,
            offset: 0,
            zone: String::new(),
        };
        shown.write(args.text(1).value(row))
    })
}

/// What is written.
struct Shown {
    /// Years, of which 0 is 1 BC where there is a date.
    year: i64,
    month: i64,
    day: i64,
    day_of_year: i64,
    /// Microseconds of the day, or of the interval's time.
    micros: i64,
    /// `None`: an interval.
    date: Option<NaiveDate>,
    /// Seconds east of UTC.
    offset: i64,
    zone: String,
}

impl Shown {
    /// Nothing, not even an empty text, for an empty template.
    fn write(&self, template: &str) -> Result<Option<String>> {
        if template.is_empty() {
            return Ok(None);
        }
        let mut out = String::new();
        for node in nodes(template) {
            match node {
                Node::Separator(c) | Node::Space(c) | Node::Text(c) => out.push(c),
                Node::Field(piece) => {
                    let start = out.len();
                    self.field(&piece, &mut out)?;
                    let is_number = piece.field.takes_ordinal() && out.len() > start;
                    if let Some(case) = piece.ordinal.filter(|_| is_number) {
                        let ending = ordinal(&out[start..])?;
                        out.push_str(&cased(ending, case));
                    }
                }
            }
        }
        Ok(Some(out))
    }

    /// The date that an interval has not.
    fn date(&self) -> Result<NaiveDate> {
        self.date.ok_or_else(|| {
            let message = "invalid format specification for an interval value";
            Error::new(SqlState::INVALID_DATETIME_FORMAT, message)
                .hint("Intervals are not tied to specific calendar dates.")
        })
    }

    /// A year as it is shown: before Christ it counts from 1.
    fn counted(&self, year: i64) -> i64 {
        if self.date.is_none() || year > 0 { year } else { 1 - year }
    }

    fn field(&self, piece: &Piece<'_>, out: &mut String) -> Result<()> {
        let seconds = self.micros / 1_000_000;
        let micros = self.micros % 1_000_000;
        let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        // A sign has its own place, or one of the digits'.
        let number = |value: i64, width: usize, out: &mut String| {
            let width = if piece.fill { 0 } else { width + usize::from(value < 0) };
            let _ = write!(out, "{value:0width$}");
        };
        let fixed = |value: i64, width: usize, out: &mut String| {
            let width = if piece.fill { 0 } else { width };
            let _ = write!(out, "{value:0width$}");
        };
        let name = |name: &str, width: usize, case: Case, out: &mut String| {
            let width = if piece.fill || piece.translated { 0 } else { width };
            let _ = write!(out, "{:width$}", cased(name, case));
        };
        let fraction = |digits: u32, out: &mut String| {
            let (value, width) = (micros / 10_i64.pow(6 - digits), digits as usize);
            let _ = write!(out, "{value:0width$}");
        };
        match piece.field {
            Field::Half(case, dots) => {
                let halves = if dots { HALVES_WITH_DOTS } else { HALVES };
                let after = usize::from(hour % 24 >= 12);
                out.push_str(&cased(halves[after], case));
            }
            Field::Era(case, dots) => {
                self.date()?;
                let eras = if dots { ERAS_WITH_DOTS } else { ERAS };
                out.push_str(&cased(eras[usize::from(self.year <= 0)], case));
            }
            Field::Hour12 => number(if hour % 12 == 0 { 12 } else { hour % 12 }, 2, out),
            Field::Hour24 => number(hour, 2, out),
            Field::Minute => number(minute, 2, out),
            Field::Second => number(second, 2, out),
            Field::Fraction(digits) => fraction(digits.into(), out),
            Field::Millis => fraction(3, out),
            Field::Micros => fraction(6, out),
            Field::SecondOfDay => {
                let _ = write!(out, "{seconds}");
            }
            Field::Zone(case) => {
                self.date()?;
                out.push_str(&cased(&self.zone, case));
            }
            Field::ZoneHour => {
                self.date()?;
                let sign = if self.offset < 0 { '-' } else { '+' };
                let _ = write!(out, "{sign}{:02}", self.offset.abs() / 3600);
            }
            Field::ZoneMinute => {
                self.date()?;
                let _ = write!(out, "{:02}", self.offset.abs() / 60 % 60);
            }
            Field::Offset => {
                self.date()?;
                out.push(if self.offset < 0 { '-' } else { '+' });
                number(self.offset.abs() / 3600, 2, out);
                if self.offset % 3600 != 0 {
                    let _ = write!(out, ":{:02}", self.offset.abs() / 60 % 60);
                }
            }
            Field::Month(case) => {
                let month = self.date()?.month0() as usize;
                name(MONTHS[month], 9, case, out);
            }
            Field::ShortMonth(case) => {
                let month = self.date()?.month0() as usize;
                out.push_str(&cased(&MONTHS[month][..3], case));
            }
            Field::MonthNumber => number(self.month, 2, out),
            Field::Roman(case) => self.roman(piece, case, out),
            Field::Day(case) => {
                let day = self.date()?.weekday().num_days_from_sunday() as usize;
                name(DAYS[day], 9, case, out);
            }
            Field::ShortDay(case) => {
                let day = self.date()?.weekday().num_days_from_sunday() as usize;
                out.push_str(&cased(&DAYS[day][..3], case));
            }
            Field::DayOfYear => fixed(self.day_of_year, 3, out),
            Field::DayOfMonth => fixed(self.day, 2, out),
            Field::WeekDay => {
                let _ = write!(out, "{}", self.date()?.weekday().number_from_sunday());
            }
            Field::IsoWeekDay => {
                let _ = write!(out, "{}", self.date()?.weekday().number_from_monday());
            }
            Field::IsoDayOfYear => {
                let date = self.date()?;
                let week = i64::from(date.iso_week().week0());
                fixed(week * 7 + i64::from(date.weekday().number_from_monday()), 3, out);
            }
            Field::IsoWeek => fixed(self.date()?.iso_week().week().into(), 2, out),
            Field::IsoYear(digits) => {
                let year = self.counted(self.date()?.iso_week().year().into());
                self.year(year, digits, piece, out);
            }
            Field::Year(digits) => self.year(self.counted(self.year), digits, piece, out),
            Field::YearWithComma => {
                let year = self.counted(self.year);
                let _ = write!(out, "{},{:03}", year / 1000, year - year / 1000 * 1000);
            }
            Field::WeekOfYear => fixed((self.day_of_year - 1) / 7 + 1, 2, out),
            Field::WeekOfMonth => {
                let _ = write!(out, "{}", (self.day - 1) / 7 + 1);
            }
            Field::Quarter if self.month == 0 => {}
            Field::Quarter => {
                let _ = write!(out, "{}", (self.month - 1) / 3 + 1);
            }
            Field::Century => {
                let century = match self.year {
                    year if self.date.is_none() => year / 100,
                    year if year > 0 => (year - 1) / 100 + 1,
                    year => year / 100 - 1,
                };
                number(century, 2, out);
            }
            Field::Julian => {
                let day = i64::from(self.date()?.num_days_from_ce()) + 1_721_425;
                let _ = write!(out, "{day}");
            }
            Field::Exact => {}
        }
        Ok(())
    }

    /// The last digits of a year, or all of it.
    fn year(&self, year: i64, digits: u8, piece: &Piece<'_>, out: &mut String) {
        let value = if digits == 4 { year } else { year % 10_i64.pow(digits.into()) };
        let sign = usize::from(digits > 1 && year < 0);
        let width = if piece.fill { 0 } else { usize::from(digits) + sign };
        let _ = write!(out, "{value:0width$}");
    }

    /// The month as a Roman number; of an interval the months that are left in its last year.
    fn roman(&self, piece: &Piece<'_>, case: Case, out: &mut String) {
        let at = match self.month {
            0 if self.year == 0 => return,
            0 => i64::from(self.year < 0) * 11,
            month if month < 0 => -(month + 1),
            month => 12 - month,
        };
        let numeral = usize::try_from(at).ok().and_then(|at| ROMAN.get(at)).unwrap_or(&"");
        let width = if piece.fill { 0 } else { 4 };
        let _ = write!(out, "{:width$}", cased(numeral, case));
    }
}

/// A word as a template has it.
fn cased(word: &str, case: Case) -> String {
    match case {
        Case::Upper => word.to_uppercase(),
        Case::Title => word.to_owned(),
        Case::Lower => word.to_lowercase(),
    }
}

/// What makes a number an ordinal.
fn ordinal(number: &str) -> Result<&'static str> {
    let bytes = number.trim_start().as_bytes();
    let (last, before) = match bytes {
        [.., before, last] => (*last, Some(*before)),
        [last] => (*last, None),
        [] => (0, None),
    };
    if !last.is_ascii_digit() {
        let message = format!("\"{number}\" is not a number");
        return Err(Error::new(SqlState::INVALID_TEXT_REPRESENTATION, message));
    }
    Ok(match (before, last) {
        (Some(b'1'), _) => "th",
        (_, b'1') => "st",
        (_, b'2') => "nd",
        (_, b'3') => "rd",
        _ => "th",
    })
}
