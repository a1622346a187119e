//! Templates of numbers: their patterns, and what they ask of the whole.

use crate::error::{Error, Result, SqlState};

/// A piece of a template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Piece {
    /// A character that stands for itself.
    Plain(char),
    /// `9`
    Digit,
    /// `0`
    Zero,
    /// `.`, `D`
    Point,
    /// `,`, `G`
    Group,
    /// `L`
    Currency,
    /// `MI`
    Minus,
    /// `PL`
    Plus,
    /// `SG`
    Sign,
    /// `RN`, in which case.
    Roman { upper: bool },
    /// `TH`, in which case.
    Ordinal { upper: bool },
    /// What asks something of the whole and has no place of its own.
    Silent,
}

/// Where the sign `S` stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Anchor {
    Before,
    Behind,
}

/// A template.
#[derive(Debug, Clone, Default)]
pub(super) struct Template {
    pub(super) pieces: Vec<Piece>,
    /// Digits before the point, behind it, and behind `V`.
    pub(super) before: usize,
    pub(super) behind: usize,
    pub(super) shift: usize,
    /// Where the first `0` before the point stands, and how many digits there are up to the last `0`.
    pub(super) zeros_from: Option<usize>,
    pub(super) zeros_to: usize,
    pub(super) has_point: bool,
    pub(super) shifts: bool,
    /// `FM`
    pub(super) is_bare: bool,
    pub(super) minus: bool,
    pub(super) plus: bool,
    /// `PR`
    pub(super) brackets: bool,
    pub(super) anchor: Option<Anchor>,
    /// How many digits stand before an `S` that is before the point.
    digits_before_sign: usize,
    pub(super) is_roman: bool,
    /// `EEEE`
    pub(super) is_scientific: bool,
    has_blank: bool,
}

/// The patterns, the longer first.
const WORDS: [(&str, Word); 19] = [
    ("EEEE", Word::Scientific),
    ("FM", Word::Bare),
    ("MI", Word::Minus),
    ("PL", Word::Plus),
    ("PR", Word::Brackets),
    ("RN", Word::Roman),
    ("SG", Word::Sign),
    ("SP", Word::Spelled),
    ("TH", Word::Ordinal),
    (",", Word::Group),
    (".", Word::Point),
    ("0", Word::Zero),
    ("9", Word::Digit),
    ("B", Word::Blank),
    ("C", Word::Spelled),
    ("D", Word::Point),
    ("G", Word::Group),
    ("L", Word::Currency),
    ("S", Word::Anchored),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Word {
    Scientific,
    Bare,
    Minus,
    Plus,
    Brackets,
    Roman,
    Sign,
    Spelled,
    Ordinal,
    Group,
    Point,
    Zero,
    Digit,
    Blank,
    Currency,
    Anchored,
    Shift,
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// 42601 for patterns that do not go together.
    pub(super) fn read(text: &str) -> Result<Self> {
        let mut template = Self::default();
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            if first == '"' {
                rest = template.quoted(&rest[1..]);
            } else if let Some(quote) = rest.strip_prefix("\\\"") {
                template.pieces.push(Piece::Plain('"'));
                rest = quote;
            } else if let Some((word, length)) = word(rest) {
                let is_upper = first.is_ascii_uppercase();
                let piece = template.take(word, is_upper)?;
                template.pieces.push(piece);
                rest = &rest[length..];
            } else {
                template.pieces.push(Piece::Plain(first));
                rest = &rest[first.len_utf8()..];
            }
        }
        // An `S` behind all digits stands behind the number.
        if template.anchor == Some(Anchor::Before) && template.digits_before_sign == template.before
        {
            template.anchor = Some(Anchor::Behind);
        }
        Ok(template)
    }

    /// Text in quotes; what is behind it.
    fn quoted<'t>(&mut self, text: &'t str) -> &'t str {
        let mut chars = text.char_indices();
        while let Some((at, c)) = chars.next() {
            match c {
                '"' => return &text[at + 1..],
                '\\' => self.pieces.extend(chars.next().map(|(_, c)| Piece::Plain(c))),
                c => self.pieces.push(Piece::Plain(c)),
            }
        }
        ""
    }

    /// Takes a pattern in, with what it asks of the whole.
    fn take(&mut self, word: Word, upper: bool) -> Result<Piece> {
        if self.is_scientific && word != Word::Scientific {
            return Err(fault("\"EEEE\" must be the last pattern used"));
        }
        let piece = match word {
            Word::Digit => {
                if self.brackets {
                    return Err(fault("\"9\" must be ahead of \"PR\""));
                }
                *self.digits(true) += 1;
                Piece::Digit
            }
            Word::Zero => {
                if self.brackets {
                    return Err(fault("\"0\" must be ahead of \"PR\""));
                }
                if !self.has_point {
                    self.zeros_from = self.zeros_from.or(Some(self.before));
                }
                *self.digits(false) += 1;
                self.zeros_to = self.before + self.behind;
                Piece::Zero
            }
            Word::Point => {
                if self.has_point {
                    return Err(fault("multiple decimal points"));
                }
                if self.shifts {
                    return Err(fault("cannot use \"V\" and decimal point together"));
                }
                self.has_point = true;
                Piece::Point
            }
            Word::Shift => {
                if self.has_point {
                    return Err(fault("cannot use \"V\" and decimal point together"));
                }
                self.shifts = true;
                Piece::Silent
            }
            Word::Anchored => {
                if self.anchor.is_some() {
                    return Err(fault("cannot use \"S\" twice"));
                }
                if self.plus || self.minus || self.brackets {
                    let message = "cannot use \"S\" and \"PL\"/\"MI\"/\"SG\"/\"PR\" together";
                    return Err(fault(message));
                }
                self.digits_before_sign = self.before;
                self.anchor = Some(if self.has_point { Anchor::Behind } else { Anchor::Before });
                Piece::Silent
            }
            Word::Minus | Word::Plus | Word::Sign => {
                let (name, piece) = match word {
                    Word::Minus => ("MI", Piece::Minus),
                    Word::Plus => ("PL", Piece::Plus),
                    _ => ("SG", Piece::Sign),
                };
                if self.anchor.is_some() {
                    return Err(fault(format!("cannot use \"S\" and \"{name}\" together")));
                }
                self.minus |= word != Word::Plus;
                self.plus |= word != Word::Minus;
                piece
            }
            Word::Brackets => {
                if self.anchor.is_some() || self.plus || self.minus {
                    let message = "cannot use \"PR\" and \"S\"/\"PL\"/\"MI\"/\"SG\" together";
                    return Err(fault(message));
                }
                self.brackets = true;
                Piece::Silent
            }
            Word::Scientific => {
                if self.is_scientific {
                    return Err(fault("cannot use \"EEEE\" twice"));
                }
                if self.has_blank
                    || self.is_bare
                    || self.is_signed()
                    || self.is_roman
                    || self.shifts
                {
                    return Err(fault("\"EEEE\" is incompatible with other formats").detail(
                        "\"EEEE\" may only be used together with digit and decimal point patterns.",
                    ));
                }
                self.is_scientific = true;
                Piece::Silent
            }
            Word::Roman => {
                if self.is_roman {
                    return Err(fault("cannot use \"RN\" twice"));
                }
                self.is_roman = true;
                Piece::Roman { upper }
            }
            Word::Bare => {
                self.is_bare = true;
                Piece::Silent
            }
            Word::Blank => {
                self.has_blank |= self.before + self.behind == 0;
                Piece::Silent
            }
            Word::Ordinal => Piece::Ordinal { upper },
            Word::Group => Piece::Group,
            Word::Currency => Piece::Currency,
            Word::Spelled => Piece::Silent,
        };
        let has_more = self.is_signed() || self.has_point || self.shifts || self.has_blank;
        if self.is_roman && (has_more || self.zeros_from.is_some()) {
            return Err(fault("\"RN\" is incompatible with other formats")
                .detail("\"RN\" may only be used together with \"FM\"."));
        }
        Ok(piece)
    }

    /// The count that a digit belongs to; a `0` is never behind `V`.
    fn digits(&mut self, may_shift: bool) -> &mut usize {
        match () {
            () if self.shifts && may_shift => &mut self.shift,
            () if self.has_point => &mut self.behind,
            () => &mut self.before,
        }
    }

    fn is_signed(&self) -> bool {
        self.anchor.is_some() || self.brackets || self.minus || self.plus
    }
}

/// The pattern that a text begins with, in upper or in lower case, and its length.
fn word(text: &str) -> Option<(Word, usize)> {
    let words = WORDS.iter().copied().chain([("V", Word::Shift)]);
    let found = words.into_iter().find(|(word, _)| {
        text.starts_with(word) || text.starts_with(word.to_ascii_lowercase().as_str())
    });
    found.map(|(name, word)| (word, name.len()))
}

fn fault(message: impl Into<String>) -> Error {
    Error::new(SqlState::SYNTAX_ERROR, message)
}
