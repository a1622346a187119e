//! `to_date` and `to_timestamp` with a template, by the rules of PostgreSQL's `DCH_from_char`.

use super::{
    DAYS, ERAS, ERAS_WITH_DOTS, Field, HALVES, HALVES_WITH_DOTS, MONTHS, Node, Piece, ROMAN,
    found::Found, is_separator, is_space, nodes,
};
use crate::{
    error::{Error, Result, SqlState},
    pgtype::datetime::zone::{Zone, abbreviation_before},
    sql::functions::{
        call::Arguments,
        cast::micros_date,
        datetime::{rows, typed},
        zone::to_utc,
    },
};
use arrow::{
    array::ArrayRef,
    datatypes::{Date32Type, TimestampMicrosecondType},
};
use chrono_tz::Tz;

/// `to_date(text, template)`
pub(crate) fn to_date(args: &Arguments<'_>) -> Result<ArrayRef> {
    let session = args.context.time_zone();
    let made = rows::<Date32Type>(args, |row| {
        let (text, template) = (args.text(0).value(row), args.text(1).value(row));
        let beyond = format!("date out of range: \"{text}\"");
        let (local, _) = Reader::new(text, template, session).read()?.moment(text, &beyond)?;
        Ok(micros_date(local))
    })?;
    Ok(typed(made, args))
}

/// `to_timestamp(text, template)`
pub(crate) fn to_timestamp(args: &Arguments<'_>) -> Result<ArrayRef> {
    let session = args.context.time_zone();
    let made = rows::<TimestampMicrosecondType>(args, |row| {
        let (text, template) = (args.text(0).value(row), args.text(1).value(row));
        let found = Reader::new(text, template, session).read()?;
        let (local, zone) = found.moment(text, "timestamp out of range")?;
        Ok(to_utc(zone.unwrap_or(Zone::Named(session)), local))
    })?;
    Ok(typed(made, args))
}

struct Reader<'a> {
    text: &'a str,
    /// What is left of it.
    rest: &'a str,
    nodes: Vec<Node<'a>>,
    session: Tz,
    found: Found,
    /// From `FX` on.
    exact: bool,
    /// Characters that were passed over beyond those of the template.
    skipped: i64,
}

impl<'a> Reader<'a> {
    fn new(text: &'a str, template: &'a str, session: Tz) -> Self {
        let nodes = nodes(template);
        Self { text, rest: text, nodes, session, found: Found::default(), exact: false, skipped: 0 }
    }

    fn read(mut self) -> Result<Found> {
        for at in 0..self.nodes.len() {
            if self.rest.is_empty() {
                break;
            }
            let node = self.nodes[at];
            let is_exact = matches!(node, Node::Field(Piece { field: Field::Exact, .. }));
            if !self.exact && !is_exact && (matches!(node, Node::Field(_)) || at == 0) {
                self.skip_spaces();
            }
            match node {
                Node::Separator(_) | Node::Space(_) => self.separator(),
                Node::Text(_) if !self.exact && self.skipped > 0 => self.skipped -= 1,
                Node::Text(_) => self.step(),
                Node::Field(piece) => {
                    self.set_mode(&piece)?;
                    let followed = self.is_followed(at);
                    self.field(&piece, followed)?;
                    if !self.exact {
                        self.skipped = 0;
                        self.skip_spaces();
                    }
                }
            }
        }
        Ok(self.found)
    }

    fn skip_spaces(&mut self) {
        while self.rest.starts_with(is_space) {
            self.step();
            self.skipped += 1;
        }
    }

    /// Passes over one character.
    fn step(&mut self) {
        let mut chars = self.rest.chars();
        chars.next();
        self.rest = chars.as_str();
    }

    /// One separator of the template stands for one of the text, or for none.
    fn separator(&mut self) {
        if self.exact {
            return self.step();
        }
        self.skipped -= 1;
        if self.rest.starts_with(|c| is_space(c) || is_separator(c)) {
            self.step();
            self.skipped += 1;
        }
    }

    /// Whether what follows a number in the template is no digit, so that it may have any length.
    fn is_followed(&self, at: usize) -> bool {
        if let Node::Field(Piece { ordinal: Some(_), .. }) = self.nodes[at] {
            return true;
        }
        match self.nodes.get(at + 1) {
            Some(Node::Field(next)) => !next.is_digits,
            Some(Node::Text(c)) => !c.is_ascii_digit(),
            _ => true,
        }
    }

    fn set_mode(&mut self, piece: &Piece<'_>) -> Result<()> {
        let (iso, gregorian) = (piece.field.is_iso(), piece.field.is_gregorian());
        if (iso || gregorian) && *self.found.is_iso.get_or_insert(iso) != iso {
            let message = "invalid combination of date conventions";
            return Err(Error::new(SqlState::INVALID_DATETIME_FORMAT, message).hint(
                "Do not mix Gregorian and ISO week date conventions in a formatting template.",
            ));
        }
        Ok(())
    }

    fn field(&mut self, piece: &Piece<'_>, followed: bool) -> Result<()> {
        let digits = piece.word.len();
        let number = |reader: &mut Self, digits: usize| reader.number(piece, digits, followed);
        match piece.field {
            Field::Exact => self.exact = true,
            Field::Half(_, dots) => {
                let words: &[&str] = if dots { &HALVES_WITH_DOTS } else { &HALVES };
                let half = self.one_of(piece, words.iter().copied())?;
                set(&mut self.found.afternoon, half, piece)?;
                self.found.clock_of_twelve = true;
            }
            Field::Era(_, dots) => {
                let words: &[&str] = if dots { &ERAS_WITH_DOTS } else { &ERAS };
                let era = self.one_of(piece, words.iter().copied())?;
                set(&mut self.found.before_christ, era, piece)?;
            }
            Field::Hour12 | Field::Hour24 => {
                let (hour, _) = number(self, 2)?;
                set(&mut self.found.hour, hour, piece)?;
                self.found.clock_of_twelve |= piece.field == Field::Hour12;
            }
            Field::Minute => {
                let (minute, _) = number(self, digits)?;
                set(&mut self.found.minute, minute, piece)?;
            }
            Field::Second => {
                let (second, _) = number(self, digits)?;
                set(&mut self.found.second, second, piece)?;
            }
            Field::SecondOfDay => {
                let (seconds, _) = number(self, digits)?;
                set(&mut self.found.second_of_day, seconds, piece)?;
            }
            Field::Millis => {
                let (value, read) = number(self, 3)?;
                let value = value * 10_i64.pow(3 - read.clamp(1, 3));
                set(&mut self.found.millis, value, piece)?;
            }
            Field::Micros | Field::Fraction(_) => {
                let most =
                    if let Field::Fraction(digits) = piece.field { digits.into() } else { 6 };
                let (value, read) = number(self, most)?;
                let value = value * 10_i64.pow(6 - read.clamp(1, 6));
                set(&mut self.found.micros, value, piece)?;
            }
            Field::Zone(_) => {
                if let Some((zone, length)) = abbreviation_before(self.rest, self.session) {
                    (self.found.zone, self.found.zone_sign) = (Some(zone), 0);
                    self.rest = &self.rest[length..];
                } else if self.rest.starts_with(|c: char| c.is_ascii_alphabetic()) {
                    return Err(invalid(self.rest, piece.word)
                        .detail("Time zone abbreviation is not recognized."));
                } else {
                    self.offset(piece, followed)?;
                }
            }
            Field::Offset => self.offset(piece, followed)?,
            Field::ZoneHour => {
                self.take_sign();
                let (hours, _) = number(self, 2)?;
                set(&mut self.found.zone_hour, hours, piece)?;
            }
            Field::ZoneMinute => {
                if self.found.zone_sign == 0 {
                    self.found.zone_sign = 1;
                }
                let (minutes, _) = number(self, 2)?;
                set(&mut self.found.zone_minute, minutes, piece)?;
            }
            Field::Month(_) => {
                let month = self.one_of(piece, MONTHS.into_iter())?;
                set(&mut self.found.month, month + 1, piece)?;
            }
            Field::ShortMonth(_) => {
                let month = self.one_of(piece, MONTHS.into_iter().map(|name| &name[..3]))?;
                set(&mut self.found.month, month + 1, piece)?;
            }
            Field::Roman(_) => {
                let at = self.one_of(piece, ROMAN.into_iter())?;
                set(&mut self.found.month, 12 - at, piece)?;
            }
            Field::MonthNumber => {
                let (month, _) = number(self, digits)?;
                set(&mut self.found.month, month, piece)?;
            }
            Field::Day(_) => {
                let day = self.one_of(piece, DAYS.into_iter())?;
                set(&mut self.found.week_day, day + 1, piece)?;
            }
            Field::ShortDay(_) => {
                let day = self.one_of(piece, DAYS.into_iter().map(|name| &name[..3]))?;
                set(&mut self.found.week_day, day + 1, piece)?;
            }
            Field::DayOfYear | Field::IsoDayOfYear => {
                let (day, _) = number(self, 3)?;
                set(&mut self.found.day_of_year, day, piece)?;
            }
            Field::DayOfMonth => {
                let (day, _) = number(self, digits)?;
                set(&mut self.found.day, day, piece)?;
            }
            Field::WeekDay => {
                let (day, _) = number(self, digits)?;
                set(&mut self.found.week_day, day, piece)?;
            }
            Field::IsoWeekDay => {
                // Numbered from Sunday like the others.
                let (day, _) = number(self, 1)?;
                set(&mut self.found.week_day, if day == 7 { 1 } else { day + 1 }, piece)?;
            }
            Field::WeekOfYear | Field::IsoWeek => {
                let (week, _) = number(self, digits)?;
                set(&mut self.found.week, week, piece)?;
            }
            // Which of its days is meant nobody knows.
            Field::Quarter => drop(number(self, digits)?),
            Field::Century => {
                let (century, _) = number(self, digits)?;
                set(&mut self.found.century, century, piece)?;
            }
            Field::YearWithComma => {
                let year = self.year_with_comma(piece)?;
                set(&mut self.found.year, year, piece)?;
                self.found.year_digits = 4;
            }
            Field::Year(digits) | Field::IsoYear(digits) => {
                let (year, read) = number(self, digits.into())?;
                let year = if digits < 4 && read < 4 { near_2020(year) } else { year };
                set(&mut self.found.year, year, piece)?;
                self.found.year_digits = digits;
            }
            Field::WeekOfMonth => {
                let (week, _) = number(self, digits)?;
                set(&mut self.found.week_of_month, week, piece)?;
            }
            Field::Julian => {
                let (day, _) = number(self, digits)?;
                set(&mut self.found.julian, day, piece)?;
            }
        }
        if piece.ordinal.is_some() && piece.field.takes_ordinal() {
            self.step();
            self.step();
        }
        Ok(())
    }

    /// A number of so many digits, or of any where nothing says where it ends; and how many
    /// characters it was made of.
    fn number(&mut self, piece: &Piece<'_>, digits: usize, followed: bool) -> Result<(i64, u32)> {
        const HINT: &str =
            "If your source string is not fixed-width, try using the \"FM\" modifier.";
        let before = self.rest;
        let trimmed = before.trim_start_matches(is_space);
        let window: &str = match trimmed.char_indices().nth(digits) {
            Some((end, _)) => &trimmed[..end],
            None => trimmed,
        };
        let (digits_read, rest) = if piece.fill || followed {
            let number = integer(trimmed);
            (number, &trimmed[number.len()..])
        } else {
            if window.len() < digits {
                let message =
                    format!("source string too short for \"{}\" formatting field", piece.word);
                return Err(Error::new(SqlState::INVALID_DATETIME_FORMAT, message)
                    .detail(format!(
                        "Field requires {digits} characters, but only {} remain.",
                        window.len()
                    ))
                    .hint(HINT));
            }
            let number = integer(window);
            if !number.is_empty() && number.len() < digits {
                let message = format!("invalid value \"{window}\" for \"{}\"", piece.word);
                return Err(Error::new(SqlState::INVALID_DATETIME_FORMAT, message)
                    .detail(format!(
                        "Field requires {digits} characters, but only {} could be parsed.",
                        number.len()
                    ))
                    .hint(HINT));
            }
            (number, &trimmed[number.len()..])
        };
        if digits_read.is_empty() {
            let message = format!("invalid value \"{window}\" for \"{}\"", piece.word);
            return Err(Error::new(SqlState::INVALID_DATETIME_FORMAT, message)
                .detail("Value must be an integer."));
        }
        let value = digits_read.parse::<i32>().map_err(|_| {
            let message = format!("value for \"{}\" in source string is out of range", piece.word);
            let (least, most) = (i32::MIN, i32::MAX);
            Error::new(SqlState::DATETIME_FIELD_OVERFLOW, message)
                .detail(format!("Value must be in the range {least} to {most}."))
        })?;
        self.rest = rest;
        let read = u32::try_from(before.len() - rest.len()).unwrap_or(u32::MAX);
        Ok((value.into(), read))
    }

    /// Which of some words comes next, in any case.
    fn one_of<'w>(
        &mut self,
        piece: &Piece<'_>,
        mut words: impl Iterator<Item = &'w str>,
    ) -> Result<i64> {
        let rest = self.rest;
        let begins = |word: &str| {
            rest.get(..word.len()).is_some_and(|found| found.eq_ignore_ascii_case(word))
        };
        let mut length = 0;
        let found = words.position(|word| {
            length = word.len();
            begins(word)
        });
        let Some(at) = found else {
            return Err(invalid(rest, piece.word).detail(
                "The given value did not match any of the allowed values for this field.",
            ));
        };
        self.rest = &rest[length..];
        Ok(i64::try_from(at).unwrap_or(0))
    }

    /// The sign of an offset. A separator of the template may have taken it.
    fn take_sign(&mut self) {
        if self.rest.starts_with(['+', '-', ' ']) {
            self.found.zone_sign = if self.rest.starts_with('-') { -1 } else { 1 };
            self.step();
            return;
        }
        let before = &self.text[..self.text.len() - self.rest.len()];
        self.found.zone_sign = if self.skipped > 0 && before.ends_with('-') { -1 } else { 1 };
    }

    fn offset(&mut self, piece: &Piece<'_>, followed: bool) -> Result<()> {
        self.take_sign();
        let (hours, _) = self.number(piece, 2, followed)?;
        set(&mut self.found.zone_hour, hours, piece)?;
        if let Some(rest) = self.rest.strip_prefix(':') {
            self.rest = rest;
            let (minutes, _) = self.number(piece, 2, followed)?;
            set(&mut self.found.zone_minute, minutes, piece)?;
        }
        Ok(())
    }

    /// `2,024`
    fn year_with_comma(&mut self, piece: &Piece<'_>) -> Result<i64> {
        let fault = || invalid(self.rest, piece.word);
        let trimmed = self.rest.trim_start_matches(is_space);
        let thousands = integer(trimmed);
        let tail = trimmed[thousands.len()..].strip_prefix(',').ok_or_else(fault)?;
        let years = integer(tail.get(..3).unwrap_or(tail));
        let number = |digits: &str| digits.parse::<i32>().map_err(|_| fault());
        let year = i64::from(number(thousands)?) * 1000 + i64::from(number(years)?);
        self.rest = &tail[years.len()..];
        Ok(year)
    }
}

/// The integer with which a text begins, or nothing.
fn integer(text: &str) -> &str {
    let sign = usize::from(text.starts_with(['+', '-']));
    let digits = text[sign..].bytes().take_while(u8::is_ascii_digit).count();
    if digits == 0 { "" } else { &text[..sign + digits] }
}

/// A year of fewer than four digits: the one that is nearest to 2020.
fn near_2020(year: i64) -> i64 {
    year + match year {
        ..70 => 2000,
        70..100 => 1900,
        100..520 => 2000,
        520..1000 => 1000,
        _ => 0,
    }
}

/// Keeps a number, which must be that which was there before.
fn set(field: &mut Option<i64>, value: i64, piece: &Piece<'_>) -> Result<()> {
    if field.is_some_and(|before| before != 0 && before != value) {
        let message =
            format!("conflicting values for \"{}\" field in formatting string", piece.word);
        return Err(Error::new(SqlState::INVALID_DATETIME_FORMAT, message)
            .detail("This value contradicts a previous setting for the same field type."));
    }
    *field = Some(value);
    Ok(())
}

fn invalid(text: &str, word: &str) -> Error {
    let value = text.split(is_space).next().unwrap_or(text);
    let message = format!("invalid value \"{value}\" for \"{word}\"");
    Error::new(SqlState::INVALID_DATETIME_FORMAT, message)
}
