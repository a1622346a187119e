//! Numbers of dates and times: what each means depends on those before it.

use super::{Decoder, named};
use crate::pgtype::{
    datestyle::DateOrder,
    datetime::{
        clock::{Clock, clock},
        fault::Fault,
        tokens::{Word, leading, leading_i32, micros, word},
    },
};

impl Decoder<'_> {
    /// A date in one piece, with marks between its parts.
    pub(super) fn date(&mut self, text: &str) -> Result<u32, Fault> {
        let mut parts: Vec<&str> = Vec::new();
        let bytes = text.as_bytes();
        let mut at = 0;
        while at < bytes.len() {
            while bytes.get(at).is_some_and(|byte| !byte.is_ascii_alphanumeric()) {
                at += 1;
            }
            let Some(first) = bytes.get(at) else { return Err(Fault::Format) };
            let digits = first.is_ascii_digit();
            let length =
                bytes[at..]
                    .iter()
                    .take_while(|byte| {
                        if digits { byte.is_ascii_digit() } else { byte.is_ascii_alphabetic() }
                    })
                    .count();
            parts.push(&text[at..at + length]);
            // One character behind a part is a mark, whatever it is.
            at += length + 1;
        }
        let before = self.named;
        let mut known = before;
        let mut text_month = false;
        let (words, numbers): (Vec<&str>, Vec<&str>) =
            parts.into_iter().partition(|part| part.starts_with(|c: char| c.is_ascii_alphabetic()));
        for part in words {
            match word(part) {
                Some(Word::Ignored) => continue,
                Some(Word::Month(month)) => {
                    self.month = i64::from(month);
                    text_month = true;
                }
                _ => return Err(Fault::Format),
            }
            if known & named::MONTH != 0 {
                return Err(Fault::Format);
            }
            known |= named::MONTH;
        }
        for part in numbers {
            let found = self.number(part, known, text_month)?;
            if known & found != 0 {
                return Err(Fault::Format);
            }
            known |= found;
        }
        if known & !(named::DAY_OF_YEAR | named::ZONE) != named::DATE {
            return Err(Fault::Format);
        }
        Ok(known & !before)
    }

    /// A number whose meaning depends on what is known already.
    pub(super) fn number(
        &mut self,
        text: &str,
        known: u32,
        text_month: bool,
    ) -> Result<u32, Fault> {
        use named::{DATE, DAY, DAY_OF_YEAR, MONTH, YEAR};
        let (value, rest) = leading_i32(text)?;
        if rest.len() == text.len() {
            return Err(Fault::Format);
        }
        if rest.starts_with('.') {
            if text.len() - rest.len() > 2 {
                return self.long_number(text, known | DATE);
            }
            self.fields.micros = micros(rest)?;
        } else if !rest.is_empty() {
            return Err(Fault::Format);
        }
        let length = text.len();
        if length == 3 && known & DATE == YEAR && (1..=366).contains(&value) {
            self.day_of_year = value;
            return Ok(DAY_OF_YEAR | MONTH | DAY);
        }
        let ymd = self.style.date_order == DateOrder::Ymd;
        let found = match known & DATE {
            0 if length >= 3 || ymd => YEAR,
            0 if self.style.date_order == DateOrder::Dmy => DAY,
            0 | YEAR | DAY => MONTH,
            MONTH if text_month && (length >= 3 || ymd) => YEAR,
            MONTH => DAY,
            both if both == YEAR | MONTH => {
                if text_month && length >= 3 && self.two_digits {
                    // What was taken for the year was the day.
                    self.day = self.fields.year;
                    self.fields.year = value;
                    self.two_digits = false;
                    return Ok(DAY);
                }
                DAY
            }
            both if both == MONTH | DAY => YEAR,
            DATE => return self.long_number(text, known),
            _ => return Err(Fault::Format),
        };
        match found {
            YEAR => {
                self.fields.year = value;
                self.two_digits = length <= 2;
            }
            MONTH => self.month = value,
            _ => self.day = value,
        }
        Ok(found)
    }

    /// Digits run together: `yyyymmdd`, `hhmmss`, `hhmm`.
    pub(super) fn long_number(&mut self, text: &str, known: u32) -> Result<u32, Fault> {
        let (digits, behind) = text.split_at(text.find('.').unwrap_or(text.len()));
        let part = |from: usize, to: usize| {
            digits.get(from..to).map_or(Ok(0), |part| leading(part).map(|(value, _)| value))
        };
        let length = digits.len();
        if !behind.is_empty() {
            self.fields.micros = micros(behind)?;
        } else if known & named::DATE != named::DATE && length >= 6 {
            self.day = part(length - 2, length)?;
            self.month = part(length - 4, length - 2)?;
            self.fields.year = leading_i32(&digits[..length - 4])?.0;
            self.two_digits = length == 6;
            return Ok(named::DATE);
        }
        if known & named::TIME != 0 || !(length == 6 || length == 4) {
            return Err(Fault::Format);
        }
        self.fields.hour = part(0, 2)?;
        self.fields.minute = part(2, 4)?;
        self.fields.second = if length == 6 { part(4, 6)? } else { 0 };
        Ok(named::TIME)
    }

    /// `hh:mm`, `hh:mm:ss` or `mm:ss.f`.
    pub(super) fn clock(&mut self, text: &str) -> Result<u32, Fault> {
        let Clock { hour, minute, second, micros } = clock(text)?;
        (self.fields.hour, self.fields.minute) = (hour, minute);
        (self.fields.second, self.fields.micros) = (second, micros);
        Ok(named::TIME)
    }
}
