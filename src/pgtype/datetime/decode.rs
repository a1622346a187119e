//! Makes sense of the pieces of a date and time, by the rules of PostgreSQL's `DecodeDateTime`:
//! each piece names fields, and no field may be named twice.

use super::{
    calendar::{DAY, JULIAN, civil_of, days_of, days_of_month},
    fault::Fault,
    tokens::{Shape, Token, Word, fraction, leading_i32, split, word},
    zone::{self, Zone},
};
use crate::pgtype::style::Style;

mod numbers;

/// Fields that pieces have named, as bits.
mod named {
    pub(super) const YEAR: u32 = 1;
    pub(super) const MONTH: u32 = 1 << 1;
    pub(super) const DAY: u32 = 1 << 2;
    pub(super) const DAY_OF_YEAR: u32 = 1 << 3;
    pub(super) const TIME: u32 = 1 << 4;
    pub(super) const ZONE: u32 = 1 << 5;
    pub(super) const SUMMER: u32 = 1 << 6;
    pub(super) const HALF: u32 = 1 << 7;
    pub(super) const ERA: u32 = 1 << 8;
    pub(super) const WEEKDAY: u32 = 1 << 9;
    pub(super) const DATE: u32 = YEAR | MONTH | DAY;
}

/// What a text says.
#[derive(Debug)]
pub(super) enum Moment {
    Late,
    Early,
    Epoch,
    At(Fields),
}

/// A date, a time and an offset, all checked.
#[derive(Debug, Default, Clone)]
pub(super) struct Fields {
    pub(super) year: i64,
    pub(super) month: u32,
    pub(super) day: u32,
    hour: i64,
    minute: i64,
    second: i64,
    micros: i64,
    /// Seconds east of UTC.
    pub(super) offset: i32,
}

impl Fields {
    /// Microseconds from midnight.
    pub(super) fn time(&self) -> i64 {
        ((self.hour * 60 + self.minute) * 60 + self.second) * 1_000_000 + self.micros
    }

    fn set_day(&mut self, days: i64) {
        (self.year, self.month, self.day) = civil_of(days);
    }

    fn set_time(&mut self, micros: i64) {
        self.micros = micros % 1_000_000;
        let seconds = micros / 1_000_000;
        (self.hour, self.minute, self.second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    }

    fn overflows(&self) -> bool {
        !(0..=24).contains(&self.hour)
            || !(0..60).contains(&self.minute)
            || !(0..=60).contains(&self.second)
            || self.time() > DAY
    }
}

/// What a piece says that the next one is.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Label {
    Julian,
    Time,
    Other,
}

/// Whether a day or only a time of day is wanted.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Wanted {
    Moment,
    Time,
}

/// The state while pieces are read from left to right.
pub(super) struct Decoder<'a> {
    style: &'a Style,
    wanted: Wanted,
    fields: Fields,
    /// Month and day before they are checked.
    month: i64,
    day: i64,
    day_of_year: i64,
    named: u32,
    label: Option<Label>,
    text_month: bool,
    julian: bool,
    two_digits: bool,
    before_christ: bool,
    afternoon: Option<bool>,
    zone: Option<Zone>,
    special: Option<Moment>,
}

impl<'a> Decoder<'a> {
    /// Reads a date with or without a time.
    pub(super) fn read(text: &str, style: &'a Style) -> Result<Moment, Fault> {
        let mut decoder = Self::new(style, Wanted::Moment);
        decoder.run(&split(text)?)?;
        if let Some(special) = decoder.special.take() {
            return Ok(special);
        }
        decoder.check_date()?;
        decoder.check_half()?;
        if decoder.named & named::DATE != named::DATE {
            return Err(Fault::Format);
        }
        decoder.resolve_zone()?;
        Ok(Moment::At(decoder.fields))
    }

    /// Reads a time of day; a date with it is checked and dropped, as is a zone.
    pub(super) fn read_time(text: &str, style: &'a Style) -> Result<Fields, Fault> {
        Self::time_of_day(text, style).map(|decoder| decoder.fields)
    }

    /// Reads a time of day with its offset: the session's of the date with it, or of today, where
    /// there is no zone.
    pub(super) fn read_time_with_zone(text: &str, style: &'a Style) -> Result<Fields, Fault> {
        let mut decoder = Self::time_of_day(text, style)?;
        let dated = decoder.named & named::DATE == named::DATE;
        let zone = match decoder.zone {
            Some(Zone::Fixed(_)) => None,
            Some(Zone::Named(zone)) => Some(zone),
            None => Some(style.time_zone),
        };
        if let Some(zone) = zone.filter(|_| !dated) {
            match zone::offset_of_year(zone) {
                Some(offset) => decoder.zone = Some(Zone::Fixed(offset)),
                None => {
                    let today = decoder.local_now()?.div_euclid(DAY);
                    decoder.fields.set_day(today);
                }
            }
        }
        decoder.resolve_zone()?;
        Ok(decoder.fields)
    }

    fn time_of_day(text: &str, style: &'a Style) -> Result<Self, Fault> {
        let mut decoder = Self::new(style, Wanted::Time);
        decoder.run(&split(text)?)?;
        decoder.check_date()?;
        decoder.check_half()?;
        if decoder.fields.overflows() {
            return Err(Fault::Field);
        }
        if decoder.named & named::TIME == 0 {
            return Err(Fault::Format);
        }
        // The offset of a zone with rules depends on the date.
        let dated = decoder.named & named::DATE == named::DATE;
        if let (Some(Zone::Named(zone)), false) = (decoder.zone, dated)
            && zone::offset_of_year(zone).is_none()
        {
            return Err(Fault::Format);
        }
        Ok(decoder)
    }

    fn new(style: &'a Style, wanted: Wanted) -> Self {
        Self {
            style,
            wanted,
            fields: Fields::default(),
            month: 0,
            day: 0,
            day_of_year: 0,
            named: 0,
            label: None,
            text_month: false,
            julian: false,
            two_digits: false,
            before_christ: false,
            afternoon: None,
            zone: None,
            special: None,
        }
    }

    fn run(&mut self, tokens: &[Token]) -> Result<(), Fault> {
        for (at, token) in tokens.iter().enumerate() {
            let found = match token.shape {
                Shape::Date => self.date_like(tokens, at)?,
                Shape::Time => {
                    self.take_time_label()?;
                    let found = self.clock(&token.text)?;
                    if self.wanted == Wanted::Moment && self.fields.overflows() {
                        return Err(Fault::Field);
                    }
                    found
                }
                Shape::Offset => {
                    self.zone = Some(Zone::Fixed(zone::offset(&token.text)?));
                    named::ZONE
                }
                Shape::Number => self.number_like(tokens, at)?,
                Shape::Word | Shape::SignedWord => match self.word_like(tokens, at)? {
                    Some(found) => found,
                    None => continue,
                },
            };
            if found & self.named != 0 {
                return Err(Fault::Format);
            }
            self.named |= found;
        }
        if self.label.is_some() { Err(Fault::Format) } else { Ok(()) }
    }

    /// A label in front of a time must be the one for times.
    fn take_time_label(&mut self) -> Result<(), Fault> {
        match self.label.take() {
            None | Some(Label::Time) => Ok(()),
            Some(_) => Err(Fault::Format),
        }
    }

    fn date_like(&mut self, tokens: &[Token], at: usize) -> Result<u32, Fault> {
        let text = &tokens[at].text;
        if self.wanted == Wanted::Time {
            let first_of_two = at == 0
                && tokens.len() >= 2
                && (tokens[tokens.len() - 1].shape == Shape::Date
                    || tokens[1].shape == Shape::Time);
            if first_of_two {
                return self.date(text);
            }
            if text.starts_with(|c: char| c.is_ascii_digit()) {
                return self.run_together(text);
            }
            return self.zone_name(text);
        }
        if self.label == Some(Label::Julian) {
            let (day, rest) = leading_i32(text)?;
            self.fields.set_day(day - JULIAN);
            self.keep_day();
            self.zone = Some(Zone::Fixed(zone::offset(rest)?));
            self.julian = true;
            self.label = None;
            return Ok(named::DATE | named::TIME | named::ZONE);
        }
        let month_and_day = named::MONTH | named::DAY;
        if self.label.is_none() && self.named & month_and_day != month_and_day {
            return self.date(text);
        }
        // A date stands already: this is a zone's name, or `hhmmss-zz`.
        if self.label.is_some() || text.starts_with(|c: char| c.is_ascii_digit()) {
            self.take_time_label()?;
            return self.run_together(text);
        }
        self.zone_name(text)
    }

    /// `hhmmss-zz`
    fn run_together(&mut self, text: &str) -> Result<u32, Fault> {
        if self.named & named::TIME != 0 {
            return Err(Fault::Format);
        }
        let dash = text.find('-').ok_or(Fault::Format)?;
        self.zone = Some(Zone::Fixed(zone::offset(&text[dash..])?));
        let known = if self.wanted == Wanted::Time { named::DATE } else { 0 };
        Ok(self.long_number(&text[..dash], self.named | known)? | named::ZONE)
    }

    fn zone_name(&mut self, text: &str) -> Result<u32, Fault> {
        let zone = zone::named(text).map(Zone::Named);
        let zone = zone.or_else(|| zone::posix(text).map(Zone::Fixed));
        self.zone = Some(zone.ok_or_else(|| Fault::Zone(text.to_owned()))?);
        Ok(named::ZONE)
    }

    fn number_like(&mut self, tokens: &[Token], at: usize) -> Result<u32, Fault> {
        let text = tokens[at].text.as_str();
        if let Some(label) = self.label.take() {
            let (value, rest) = leading_i32(text)?;
            if !(rest.is_empty() || rest.starts_with('.')) {
                return Err(Fault::Format);
            }
            return match label {
                Label::Julian => {
                    self.fields.set_day(value - JULIAN);
                    self.keep_day();
                    self.julian = true;
                    if rest.is_empty() {
                        return Ok(named::DATE);
                    }
                    #[expect(clippy::cast_possible_truncation, reason = "at most a day")]
                    #[expect(clippy::cast_precision_loss, reason = "a day's microseconds fit")]
                    self.fields.set_time((fraction(rest)? * DAY as f64).round_ties_even() as i64);
                    Ok(named::DATE | named::TIME)
                }
                Label::Time => match self.long_number(text, self.named | named::DATE)? {
                    named::TIME => Ok(named::TIME),
                    _ => Err(Fault::Format),
                },
                Label::Other => Err(Fault::Format),
            };
        }
        let point = text.find('.');
        if self.wanted == Wanted::Time {
            return match point {
                Some(_)
                    if at == 0
                        && tokens.len() >= 2
                        && tokens[tokens.len() - 1].shape == Shape::Date =>
                {
                    self.date(text)
                }
                Some(point) if point > 2 => self.long_number(text, self.named | named::DATE),
                Some(_) => Err(Fault::Format),
                None if text.len() > 4 => self.long_number(text, self.named | named::DATE),
                None => self.number(text, self.named | named::DATE, false),
            };
        }
        match point {
            Some(_) if self.named & named::DATE == 0 => self.date(text),
            Some(point) if point > 2 => self.long_number(text, self.named),
            None if text.len() >= 6
                && (self.named & named::DATE == 0 || self.named & named::TIME == 0) =>
            {
                self.long_number(text, self.named)
            }
            _ => self.number(text, self.named, self.text_month),
        }
    }

    /// What a word says; `None` where it says nothing.
    fn word_like(&mut self, tokens: &[Token], at: usize) -> Result<Option<u32>, Fault> {
        let text = tokens[at].text.as_str();
        // Abbreviations of zones go before words.
        if let Some(zone) = zone::abbreviated(text, self.style.time_zone) {
            self.zone = Some(zone);
            return Ok(Some(named::ZONE));
        }
        let Some(word) = word(text) else {
            let zone = zone::named(text).ok_or(Fault::Format)?;
            self.zone = Some(Zone::Named(zone));
            return Ok(Some(named::ZONE));
        };
        let timed = self.wanted == Wanted::Time;
        Ok(Some(match word {
            Word::Ignored => return Ok(None),
            Word::Now if timed => {
                self.set_now()?;
                named::TIME
            }
            Word::Now => {
                self.set_now()?;
                named::DATE | named::TIME | named::ZONE
            }
            Word::Midnight => {
                self.fields.set_time(0);
                self.zone = Some(Zone::Fixed(0));
                named::TIME | named::ZONE
            }
            Word::Today | Word::Tomorrow | Word::Yesterday if !timed => {
                let today = self.local_now()?.div_euclid(DAY);
                self.fields.set_day(match word {
                    Word::Tomorrow => today + 1,
                    Word::Yesterday => today - 1,
                    _ => today,
                });
                self.keep_day();
                named::DATE
            }
            Word::Epoch | Word::Late | Word::Early if !timed => {
                self.special = Some(match word {
                    Word::Late => Moment::Late,
                    Word::Early => Moment::Early,
                    _ => Moment::Epoch,
                });
                named::DATE | named::TIME | named::ZONE
            }
            Word::Month(month) if !timed => {
                // A number that was taken for the month was the day.
                let number_first = self.named & named::MONTH != 0
                    && !self.text_month
                    && self.named & named::DAY == 0
                    && (1..=31).contains(&self.month);
                let found = if number_first {
                    self.day = self.month;
                    named::DAY
                } else {
                    named::MONTH
                };
                self.text_month = true;
                self.month = i64::from(month);
                found
            }
            Word::Summer => {
                let offset = match self.zone {
                    Some(Zone::Fixed(offset)) => offset,
                    _ => 0,
                };
                if !matches!(self.zone, Some(Zone::Named(_))) {
                    self.zone = Some(Zone::Fixed(offset + 3600));
                }
                named::SUMMER
            }
            Word::Am | Word::Pm => {
                self.afternoon = Some(word == Word::Pm);
                named::HALF
            }
            Word::Bc | Word::Ad => {
                self.before_christ = word == Word::Bc;
                named::ERA
            }
            Word::Weekday if !timed => named::WEEKDAY,
            Word::Julian | Word::Unit => {
                if self.label.is_some() {
                    return Err(Fault::Format);
                }
                let julian = word == Word::Julian;
                self.label = Some(if julian { Label::Julian } else { Label::Other });
                0
            }
            Word::TimeMark => {
                let dated = timed || self.named & named::DATE == named::DATE;
                let followed = tokens.get(at + 1).is_some_and(|next| {
                    matches!(next.shape, Shape::Number | Shape::Time | Shape::Date)
                });
                if !dated || !followed {
                    return Err(Fault::Format);
                }
                self.label = Some(Label::Time);
                0
            }
            _ => return Err(Fault::Format),
        }))
    }

    /// Now as the clocks of the session's zone show it.
    fn local_now(&self) -> Result<i64, Fault> {
        let now = self.style.now.ok_or(Fault::Timeless)?;
        let offset = zone::offset_at(self.style.time_zone, now.div_euclid(1_000_000));
        Ok(now + i64::from(offset) * 1_000_000)
    }

    fn set_now(&mut self) -> Result<(), Fault> {
        let now = self.style.now.ok_or(Fault::Timeless)?;
        let local = self.local_now()?;
        let offset = i32::try_from((local - now) / 1_000_000).map_err(|_| Fault::Field)?;
        self.zone = Some(Zone::Fixed(offset));
        self.fields.set_day(local.div_euclid(DAY));
        self.fields.set_time(local.rem_euclid(DAY));
        self.keep_day();
        // The year stands as it is.
        self.julian = true;
        Ok(())
    }

    fn keep_day(&mut self) {
        self.month = i64::from(self.fields.month);
        self.day = i64::from(self.fields.day);
    }

    fn check_date(&mut self) -> Result<(), Fault> {
        let fields = &mut self.fields;
        if self.named & named::YEAR != 0 && !self.julian {
            if self.before_christ {
                if fields.year <= 0 {
                    return Err(Fault::Field);
                }
                fields.year = 1 - fields.year;
            } else if self.two_digits {
                fields.year += match fields.year {
                    0..70 => 2000,
                    70..100 => 1900,
                    _ => 0,
                };
            } else if fields.year <= 0 {
                return Err(Fault::Field);
            }
        }
        if self.named & named::DAY_OF_YEAR != 0 {
            fields.set_day(days_of(fields.year, 1, 1) + self.day_of_year - 1);
            self.keep_day();
        }
        let fields = &mut self.fields;
        if self.named & named::MONTH != 0 && !(1..=12).contains(&self.month)
            || self.named & named::DAY != 0 && !(1..=31).contains(&self.day)
        {
            return Err(Fault::MonthDay);
        }
        fields.month = u32::try_from(self.month).map_err(|_| Fault::MonthDay)?;
        fields.day = u32::try_from(self.day).map_err(|_| Fault::MonthDay)?;
        let whole = self.named & named::DATE == named::DATE;
        if whole && fields.day > days_of_month(fields.year, fields.month) {
            return Err(Fault::Field);
        }
        Ok(())
    }

    fn check_half(&mut self) -> Result<(), Fault> {
        let hour = &mut self.fields.hour;
        match self.afternoon {
            Some(_) if *hour > 12 => return Err(Fault::Field),
            Some(false) if *hour == 12 => *hour = 0,
            Some(true) if *hour != 12 => *hour += 12,
            _ => {}
        }
        Ok(())
    }

    fn resolve_zone(&mut self) -> Result<(), Fault> {
        let summer = self.named & named::SUMMER != 0;
        let named = match self.zone {
            Some(Zone::Fixed(offset)) if !summer || self.named & named::ZONE != 0 => {
                self.fields.offset = offset;
                return Ok(());
            }
            Some(Zone::Named(zone)) => zone,
            _ => self.style.time_zone,
        };
        if summer {
            return Err(Fault::Format);
        }
        let days = days_of(self.fields.year, self.fields.month, self.fields.day);
        let local = days * 86_400 + self.fields.time().div_euclid(1_000_000);
        self.fields.offset = zone::offset_at_local(named, local);
        Ok(())
    }
}
