//! Takes the text of a date, a time or an interval apart, as PostgreSQL's `ParseDateTime` does.

use super::fault::Fault;
use crate::pgtype::faults::is_space;

/// What a piece looks like before anybody knows what it means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::pgtype) enum Shape {
    /// Digits, with a point perhaps.
    Number,
    /// Something with `-`, `/` or `.` in it: a date, or the name of a zone.
    Date,
    /// Digits with colons.
    Time,
    /// A sign and digits: an offset from UTC.
    Offset,
    /// Letters.
    Word,
    /// A sign and letters.
    SignedWord,
}

/// A piece in lower case.
#[derive(Debug, Clone)]
pub(in crate::pgtype) struct Token {
    pub(in crate::pgtype) shape: Shape,
    pub(in crate::pgtype) text: String,
}

/// More pieces than any date has.
const TOKENS_MAX: usize = 25;

/// The pieces of `text`.
pub(in crate::pgtype) fn split(text: &str) -> Result<Vec<Token>, Fault> {
    let mut cursor = Cursor { bytes: text.as_bytes(), at: 0, token: String::new() };
    let mut tokens = Vec::new();
    while let Some(byte) = cursor.peek() {
        if is_space(byte) {
            cursor.at += 1;
            continue;
        }
        if tokens.len() >= TOKENS_MAX {
            return Err(Fault::Format);
        }
        let shape = match byte {
            b'0'..=b'9' => cursor.numeric(),
            b'.' => {
                cursor.push();
                cursor.run(|byte| byte.is_ascii_digit());
                Shape::Number
            }
            byte if byte.is_ascii_alphabetic() => cursor.wordy(),
            b'+' | b'-' => cursor.signed()?,
            byte if byte.is_ascii_punctuation() => {
                cursor.at += 1;
                continue;
            }
            _ => return Err(Fault::Format),
        };
        tokens.push(Token { shape, text: std::mem::take(&mut cursor.token) });
    }
    Ok(tokens)
}

struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
    token: String,
}

impl Cursor<'_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn push(&mut self) {
        if let Some(byte) = self.peek() {
            self.token.push(char::from(byte.to_ascii_lowercase()));
            self.at += 1;
        }
    }

    fn run(&mut self, is: impl Fn(u8) -> bool) {
        while self.peek().is_some_and(&is) {
            self.push();
        }
    }

    fn numeric(&mut self) -> Shape {
        self.run(|byte| byte.is_ascii_digit());
        match self.peek() {
            Some(b':') => {
                self.run(|byte| byte.is_ascii_digit() || byte == b':' || byte == b'.');
                Shape::Time
            }
            Some(mark @ (b'-' | b'/' | b'.')) => {
                self.push();
                if !self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
                    // The month may be a word.
                    self.run(|byte| byte.is_ascii_alphanumeric() || byte == mark);
                    return Shape::Date;
                }
                self.run(|byte| byte.is_ascii_digit());
                if self.peek() == Some(mark) {
                    self.run(|byte| byte.is_ascii_digit() || byte == mark);
                    Shape::Date
                } else if mark == b'.' {
                    Shape::Number
                } else {
                    Shape::Date
                }
            }
            _ => Shape::Number,
        }
    }

    fn wordy(&mut self) -> Shape {
        self.run(|byte| byte.is_ascii_alphabetic());
        let goes_on = match self.peek() {
            Some(b'-' | b'/' | b'.') => true,
            // A word that is known ends here: `j2451187`; another may be the name of a zone.
            Some(b'+' | b'0'..=b'9') => word(&self.token).is_none(),
            _ => false,
        };
        if !goes_on {
            return Shape::Word;
        }
        self.run(|byte| byte.is_ascii_alphanumeric() || b"+-/_.:".contains(&byte));
        Shape::Date
    }

    fn signed(&mut self) -> Result<Shape, Fault> {
        self.push();
        while self.peek().is_some_and(is_space) {
            self.at += 1;
        }
        match self.peek() {
            Some(byte) if byte.is_ascii_digit() => {
                self.run(|byte| byte.is_ascii_digit() || b":.-".contains(&byte));
                Ok(Shape::Offset)
            }
            Some(byte) if byte.is_ascii_alphabetic() => {
                self.run(|byte| byte.is_ascii_alphabetic());
                Ok(Shape::SignedWord)
            }
            _ => Err(Fault::Format),
        }
    }
}

/// What a known word means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::pgtype) enum Word {
    Ignored,
    Month(u32),
    Weekday,
    Am,
    Pm,
    Bc,
    Ad,
    Now,
    Today,
    Tomorrow,
    Yesterday,
    Midnight,
    Epoch,
    Late,
    Early,
    Julian,
    Unit,
    TimeMark,
    Summer,
}

/// The meaning of a word in lower case; its first ten letters count.
pub(in crate::pgtype) fn word(text: &str) -> Option<Word> {
    Some(match text.get(..10).unwrap_or(text) {
        "at" | "on" => Word::Ignored,
        "jan" | "january" => Word::Month(1),
        "feb" | "february" => Word::Month(2),
        "mar" | "march" => Word::Month(3),
        "apr" | "april" => Word::Month(4),
        "may" => Word::Month(5),
        "jun" | "june" => Word::Month(6),
        "jul" | "july" => Word::Month(7),
        "aug" | "august" => Word::Month(8),
        "sep" | "sept" | "september" => Word::Month(9),
        "oct" | "october" => Word::Month(10),
        "nov" | "november" => Word::Month(11),
        "dec" | "december" => Word::Month(12),
        "sun" | "sunday" | "mon" | "monday" | "tue" | "tues" | "tuesday" | "wed" | "weds"
        | "wednesday" | "thu" | "thur" | "thurs" | "thursday" | "fri" | "friday" | "sat"
        | "saturday" => Word::Weekday,
        "am" => Word::Am,
        "pm" => Word::Pm,
        "bc" => Word::Bc,
        "ad" => Word::Ad,
        "now" => Word::Now,
        "today" => Word::Today,
        "tomorrow" => Word::Tomorrow,
        "yesterday" => Word::Yesterday,
        "allballs" => Word::Midnight,
        "epoch" => Word::Epoch,
        "infinity" | "+infinity" => Word::Late,
        "-infinity" => Word::Early,
        "j" | "jd" | "julian" => Word::Julian,
        "d" | "dow" | "doy" | "h" | "isodow" | "isoyear" | "m" | "mm" | "s" | "y" => Word::Unit,
        "t" => Word::TimeMark,
        "dst" => Word::Summer,
        _ => return None,
    })
}

/// A whole number at the front, as C's `strtol` reads it, and what follows it. No digits are 0.
pub(in crate::pgtype) fn leading(text: &str) -> Result<(i64, &str), Fault> {
    let sign = usize::from(text.starts_with(['-', '+']));
    let digits = text[sign..].bytes().take_while(u8::is_ascii_digit).count();
    if digits == 0 {
        return Ok((0, text));
    }
    let (number, rest) = text.split_at(sign + digits);
    number.parse().map(|value| (value, rest)).map_err(|_| Fault::Field)
}

/// Like [`leading`], for a number of 32 bits.
pub(in crate::pgtype) fn leading_i32(text: &str) -> Result<(i64, &str), Fault> {
    let (value, rest) = leading(text)?;
    if i32::try_from(value).is_ok() { Ok((value, rest)) } else { Err(Fault::Field) }
}

/// The fraction that a point and digits stand for; a point alone is 0.
pub(in crate::pgtype) fn fraction(text: &str) -> Result<f64, Fault> {
    match text.strip_prefix('.') {
        Some("") => Ok(0.0),
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            text.parse().map_err(|_| Fault::Format)
        }
        _ => Err(Fault::Format),
    }
}

/// The microseconds of a fraction of a second: up to 1,000,000 when rounded up.
pub(in crate::pgtype) fn micros(text: &str) -> Result<i64, Fault> {
    #[expect(clippy::cast_possible_truncation, reason = "at most a million")]
    fraction(text).map(|fraction| (fraction * 1e6).round_ties_even() as i64)
}
