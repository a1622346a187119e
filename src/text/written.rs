//! Documents as they are written, read without making anything of them: what tests a million of them
//! wants few of their lexemes.

use super::{
    document::{Place, Weight},
    lexeme::POSITION_MAX,
};
use crate::error::{Error, Result, SqlState};
use std::borrow::Cow;

/// The lexemes of a written document in their order, each with its places as they are written.
pub(super) struct Written<'t> {
    whole: &'t str,
    rest: &'t str,
}

impl<'t> Written<'t> {
    pub(super) fn of(text: &'t str) -> Self {
        Self { whole: text, rest: text }
    }

    fn read(&mut self) -> Option<(Cow<'t, str>, &'t str)> {
        let quoted = self.rest.strip_prefix('\'')?;
        // Quotes within are doubled.
        let bytes = quoted.as_bytes();
        let mut end = 0;
        loop {
            end += bytes[end..].iter().position(|&byte| byte == b'\'')?;
            if bytes.get(end + 1) != Some(&b'\'') {
                break;
            }
            end += 2;
        }
        let word = match &quoted[..end] {
            plain if !plain.contains(['\'', '\\']) => Cow::Borrowed(plain),
            doubled => Cow::Owned(doubled.replace("''", "'").replace("\\\\", "\\")),
        };
        let behind = &quoted[end + 1..];
        let end = behind.find(' ').unwrap_or(behind.len());
        let places = match &behind[..end] {
            "" => "",
            places => places.strip_prefix(':')?,
        };
        self.rest = behind[end..].strip_prefix(' ').unwrap_or_default();
        Some((word, places))
    }
}

impl<'t> Iterator for Written<'t> {
    type Item = Result<(Cow<'t, str>, &'t str)>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let read = self.read();
        if read.is_none() {
            self.rest = "";
        }
        Some(read.ok_or_else(|| not_written(self.whole)))
    }
}

/// Places as they are written.
pub(super) fn places(text: &str) -> impl Iterator<Item = Result<Place>> + '_ {
    text.split(',').map(|place| {
        let digits = place.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let weight = match &place[digits.len()..] {
            "" => Some(Weight::D),
            letter => letter.chars().next().and_then(Weight::of_letter),
        };
        let position = digits.parse().ok().filter(|&position| position <= POSITION_MAX);
        match (position, weight) {
            (Some(position), Some(weight)) => Ok(Place { position, weight }),
            _ => Err(not_written(text)),
        }
    })
}

fn not_written(text: &str) -> Error {
    Error::new(SqlState::SYNTAX_ERROR, format!("syntax error in tsvector: \"{text}\""))
}
