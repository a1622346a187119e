//! Lexemes as documents and queries write them: bare, or in quotes.

use crate::error::{Error, Result, SqlState};
use std::{fmt, iter::Peekable, str::Chars};

/// Bytes of the longest lexeme.
pub(super) const BYTES_MAX: usize = 2046;
/// The last position.
pub(super) const POSITION_MAX: u16 = (1 << 14) - 1;

/// What a reader of documents reads.
pub(super) const DOCUMENT: &str = "tsvector";

/// Reads lexemes of a text.
pub(super) struct Reader<'t> {
    whole: &'t str,
    /// `tsvector` or `tsquery`.
    kind: &'static str,
    pub(super) rest: Peekable<Chars<'t>>,
}

impl<'t> Reader<'t> {
    pub(super) fn new(whole: &'t str, kind: &'static str) -> Self {
        Self { whole, kind, rest: whole.chars().peekable() }
    }

    pub(super) fn skip_spaces(&mut self) {
        while self.rest.next_if(|c| c.is_whitespace()).is_some() {}
    }

    pub(super) fn skip(&mut self, wanted: char) -> bool {
        self.rest.next_if_eq(&wanted).is_some()
    }

    pub(super) fn syntax_error(&self) -> Error {
        let Self { whole, kind, .. } = self;
        Error::new(SqlState::SYNTAX_ERROR, format!("syntax error in {kind}: \"{whole}\""))
    }

    /// The next lexeme; `None` where none begins. A bare one ends at a space, a colon, or what
    /// `ends` says.
    pub(super) fn lexeme(&mut self, ends: fn(char) -> bool) -> Result<Option<String>> {
        let mut word = String::new();
        if self.skip('\'') {
            loop {
                match self.rest.next() {
                    None => return Err(self.syntax_error()),
                    Some('\'') if self.skip('\'') => word.push('\''),
                    Some('\'') => break,
                    Some('\\') => word.push(self.escaped()?),
                    Some(c) => word.push(c),
                }
            }
            if word.is_empty() {
                return Err(self.syntax_error());
            }
        } else {
            while let Some(&c) = self.rest.peek() {
                // In a document a colon may begin a lexeme, though it cannot go on with one.
                let is_first = word.is_empty() && self.kind == DOCUMENT;
                if c.is_whitespace() || (c == ':' && !is_first) || ends(c) {
                    break;
                }
                self.rest.next();
                word.push(if c == '\\' { self.escaped()? } else { c });
            }
            if word.is_empty() {
                return Ok(None);
            }
        }
        Ok(Some(short_enough(word)?))
    }

    fn escaped(&mut self) -> Result<char> {
        self.rest.next().ok_or_else(|| {
            let message = format!("there is no escaped character: \"{}\"", self.whole);
            Error::new(SqlState::SYNTAX_ERROR, message)
        })
    }

    /// A whole number; `None` where no digit comes.
    pub(super) fn number(&mut self) -> Option<u64> {
        let mut number = None;
        while let Some(digit) = self.rest.peek().and_then(|c| c.to_digit(10)) {
            self.rest.next();
            let so_far: u64 = number.unwrap_or(0);
            number = Some(so_far.saturating_mul(10).saturating_add(u64::from(digit)));
        }
        number
    }
}

/// The lexeme, unless it is too long to be kept.
pub(super) fn short_enough(word: String) -> Result<String> {
    if word.len() > BYTES_MAX {
        let message = format!("word is too long ({} bytes, max {BYTES_MAX} bytes)", word.len());
        return Err(Error::new(SqlState::PROGRAM_LIMIT_EXCEEDED, message));
    }
    Ok(word)
}

/// A lexeme in quotes.
pub(super) struct Quoted<'a>(pub(super) &'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("'")?;
        for part in self.0.split_inclusive(['\'', '\\']) {
            f.write_str(part)?;
            if let Some(doubled) = part.chars().next_back().filter(|c| matches!(c, '\'' | '\\')) {
                write!(f, "{doubled}")?;
            }
        }
        f.write_str("'")
    }
}
