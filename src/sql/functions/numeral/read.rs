//! The number in a text that a template describes.

use super::{
    roman,
    template::{Piece, Template},
};
use crate::error::{Error, Result, SqlState};

/// What may belong to a number, and so is not passed over for something else.
const DATA: &str = "0123456789.,+-";

/// Goes through a text as its template says.
struct Reader<'t> {
    template: &'t Template,
    text: Vec<char>,
    at: usize,
    sign: Option<char>,
    digits: String,
    before: usize,
    behind: usize,
    has_point: bool,
}

/// The number, as numeric reads it.
///
/// # Errors
/// 0A000 for EEEE, 22P02 for what is no number.
pub(super) fn number(text: &str, template: &Template) -> Result<String> {
    if template.is_scientific {
        return Err(Error::unsupported("\"EEEE\" not supported for input"));
    }
    let mut reader = Reader {
        template,
        text: text.chars().collect(),
        at: 0,
        sign: None,
        digits: String::new(),
        before: 0,
        behind: 0,
        has_point: false,
    };
    reader.read()?;
    let Reader { sign, mut digits, .. } = reader;
    if digits.ends_with('.') {
        digits.pop();
    }
    let sign = if sign == Some('-') { "-" } else { "" };
    if digits.is_empty() {
        let what = format!("invalid input syntax for type numeric: \"{}\"", sign_or_space(sign));
        return Err(Error::new(SqlState::INVALID_TEXT_REPRESENTATION, what));
    }
    if template.shifts {
        return Ok(format!("{sign}{digits}e-{}", template.shift));
    }
    Ok(format!("{sign}{digits}"))
}

fn sign_or_space(sign: &str) -> &str {
    if sign.is_empty() { " " } else { sign }
}

impl Reader<'_> {
    fn read(&mut self) -> Result<()> {
        for piece in &self.template.pieces {
            let Some(next) = self.peek() else { break };
            match piece {
                Piece::Digit | Piece::Zero | Piece::Point => {
                    self.digit(*piece);
                    self.at += 1;
                }
                Piece::Group => self.at += usize::from(next == ',' && !self.template.is_bare),
                Piece::Currency => self.pass(1),
                Piece::Ordinal { .. } => {
                    if self.sign != Some('-') && !self.template.has_point {
                        self.pass(2);
                    }
                }
                Piece::Minus => self.signed(next, "-"),
                Piece::Plus => self.signed(next, "+"),
                Piece::Sign => self.signed(next, "+-"),
                Piece::Roman { .. } => self.roman()?,
                Piece::Plain(_) => self.at += 1,
                Piece::Silent => {}
            }
        }
        Ok(())
    }

    fn peek(&self) -> Option<char> {
        self.text.get(self.at).copied()
    }

    /// Passes over what is no part of a number.
    fn pass(&mut self, most: usize) {
        for _ in 0..most {
            match self.peek() {
                Some(next) if !DATA.contains(next) => self.at += 1,
                _ => break,
            }
        }
    }

    /// Takes a sign where it has its place.
    fn signed(&mut self, next: char, signs: &str) {
        if signs.contains(next) {
            self.sign = Some(next);
            self.at += 1;
        } else {
            self.pass(1);
        }
    }

    /// Takes a sign where there is one: `-`, `+`, and `<` among brackets.
    fn any_sign(&mut self) {
        match self.peek() {
            Some('<') if self.template.brackets => self.sign = Some('-'),
            Some(sign @ ('-' | '+')) => self.sign = Some(sign),
            _ => return,
        }
        self.at += 1;
    }

    /// A digit or the point, with the signs around it. The character that was read is passed by
    /// whoever called.
    fn digit(&mut self, piece: Piece) {
        if self.peek() == Some(' ') {
            self.at += 1;
        }
        let is_anchored = self.template.anchor.is_some();
        let begins = self.before + self.behind == 0;
        if self.sign.is_none() && begins && piece != Piece::Point {
            self.any_sign();
        }
        let Some(next) = self.peek() else { return };
        let mut is_read = false;
        if next.is_ascii_digit() {
            if self.has_point && self.behind == self.template.behind {
                return;
            }
            self.digits.push(next);
            *(if self.has_point { &mut self.behind } else { &mut self.before }) += 1;
            is_read = true;
        } else if self.template.has_point && !self.has_point && next == '.' {
            self.digits.push('.');
            self.has_point = true;
            is_read = true;
        }
        if self.sign.is_some() || self.before + self.behind == 0 {
            return;
        }
        // A sign behind the last digit: where exactly the template has it cannot be told.
        if is_anchored {
            let behind = self.text.get(self.at + 1).copied();
            if let (true, Some(sign @ ('-' | '+'))) = (is_read, behind) {
                self.sign = Some(sign);
                self.at += 1;
            }
        } else if !is_read && matches!(next, '-' | '+') {
            self.sign = Some(next);
        }
    }

    fn roman(&mut self) -> Result<()> {
        let rest: String = self.text[self.at..].iter().collect();
        let text = rest.trim_start();
        let end = text.find(|c: char| !"IVXLCDM".contains(c.to_ascii_uppercase()));
        let numeral = &text[..end.unwrap_or(text.len())];
        let number = roman::number(numeral).ok_or_else(|| {
            Error::new(SqlState::INVALID_TEXT_REPRESENTATION, "invalid Roman numeral")
        })?;
        self.digits = number.to_string();
        self.at = self.text.len();
        Ok(())
    }
}
