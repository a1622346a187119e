//! A number laid out by a template: digit by digit, and before the first of them the sign.

use super::{
    Number, roman,
    template::{Anchor, Piece, Template},
};

/// As wide as the longest Roman numeral.
const ROMAN_WIDTH: usize = 15;

/// The digits of a number as a template wants them: rounded to its places, `#` where they do not fit.
struct Digits {
    text: Vec<u8>,
    is_negative: bool,
    /// Places before the point that the number leaves free.
    free: usize,
    /// Digits before the point.
    before: usize,
    /// Digits behind the point, of which a float has no more than it is worth.
    behind: usize,
}

/// The text of a number.
pub(super) fn written(number: &Number, template: &Template) -> String {
    if template.is_roman {
        return roman_text(number, template);
    }
    if template.is_scientific {
        return scientific(number, template);
    }
    Writer::new(digits(number, template), template).written()
}

fn digits(number: &Number, template: &Template) -> Digits {
    let before = template.before + template.shift;
    let mut behind = template.behind;
    let rounded = match number {
        Number::Decimal(text) => round(&shifted(text, template.shift), behind),
        Number::Float(value, worth) => {
            let value = value * 10_f64.powi(i32::try_from(template.shift).unwrap_or(0));
            let width = float(value.abs(), 0).len();
            behind = behind.min(worth.saturating_sub(width));
            float(value, behind)
        }
    };
    let (is_negative, text) = match rounded.strip_prefix('-') {
        Some(text) => (true, text.to_owned()),
        None => (false, rounded),
    };
    let length = text.find('.').unwrap_or(text.len());
    let free = before.saturating_sub(length);
    let text = match length > before {
        true => format!("{}.{}", "#".repeat(before), "#".repeat(behind)),
        false => text,
    };
    Digits { text: text.into_bytes(), is_negative, free, before, behind }
}

/// A float with so many digits behind the point.
fn float(value: f64, behind: usize) -> String {
    match () {
        () if value.is_nan() => "NaN".to_owned(),
        () if value.is_infinite() && value < 0.0 => "-Infinity".to_owned(),
        () if value.is_infinite() => "Infinity".to_owned(),
        () => format!("{value:.behind$}"),
    }
}

/// A decimal number times a power of ten.
fn shifted(text: &str, by: usize) -> String {
    if by == 0 || !text.ends_with(|c: char| c.is_ascii_digit()) {
        return text.to_owned();
    }
    let (whole, behind) = text.split_once('.').unwrap_or((text, ""));
    let mut behind = behind.to_owned();
    while behind.len() < by {
        behind.push('0');
    }
    let (moved, left) = behind.split_at(by);
    let (sign, whole) = whole.strip_prefix('-').map_or(("", whole), |whole| ("-", whole));
    let digits = format!("{whole}{moved}");
    let digits = digits.trim_start_matches('0');
    let digits = if digits.is_empty() { "0" } else { digits };
    format!("{sign}{digits}.{left}")
}

/// A decimal number with so many digits behind the point, rounded half away from zero.
fn round(text: &str, behind: usize) -> String {
    let (sign, digits) = text.strip_prefix('-').map_or(("", text), |digits| ("-", digits));
    if !digits.ends_with(|c: char| c.is_ascii_digit() || c == '.') {
        return text.to_owned();
    }
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    let mut all: Vec<u8> = whole.bytes().collect();
    all.extend(part.bytes().chain(std::iter::repeat(b'0')).take(behind));
    if part.as_bytes().get(behind).is_some_and(|&digit| digit >= b'5') {
        let nines = all.iter().rev().take_while(|&&digit| digit == b'9').count();
        let kept = all.len() - nines;
        all[kept..].fill(b'0');
        match kept.checked_sub(1) {
            Some(last) => all[last] += 1,
            None => all.insert(0, b'1'),
        }
    }
    let mut out: String = all.iter().map(|&digit| char::from(digit)).collect();
    let is_zero = all.iter().all(|&digit| digit == b'0');
    if behind > 0 {
        out.insert(all.len() - behind, '.');
    }
    if is_zero { out } else { format!("{sign}{out}") }
}

fn roman_text(number: &Number, template: &Template) -> String {
    let rounded = match number {
        Number::Decimal(text) => round(text, 0),
        Number::Float(value, _) => float(value.round_ties_even(), 0),
    };
    let numeral = rounded.parse().ok().and_then(roman::numeral);
    let numeral = numeral.unwrap_or_else(|| "#".repeat(ROMAN_WIDTH));
    let mut out = String::new();
    for piece in &template.pieces {
        match piece {
            Piece::Plain(c) => out.push(*c),
            Piece::Roman { upper } => {
                let numeral = if *upper { numeral.clone() } else { numeral.to_ascii_lowercase() };
                match template.is_bare {
                    true => out.push_str(&numeral),
                    false => out.push_str(&format!("{numeral:>ROMAN_WIDTH$}")),
                }
            }
            _ => {}
        }
    }
    out
}

/// ` 1.23e+45`: one digit before the point, whatever the template says.
fn scientific(number: &Number, template: &Template) -> String {
    let behind = template.behind;
    let text = match number {
        Number::Float(value, _) => format!("{value:.behind$e}"),
        Number::Decimal(text) => decimal_exponent(text, behind),
    };
    let Some((mantissa, exponent)) = text.split_once('e') else {
        // NaN and infinities.
        let (before, behind) = (template.before, behind);
        return format!(" {}.{}", "#".repeat(before), "#".repeat(behind + 4));
    };
    let (sign, exponent) =
        exponent.strip_prefix('-').map_or(('+', exponent), |exponent| ('-', exponent));
    let space = if mantissa.starts_with('-') { "" } else { " " };
    format!("{space}{mantissa}e{sign}{exponent:0>2}")
}

/// A decimal number as `1.23e4`.
fn decimal_exponent(text: &str, behind: usize) -> String {
    let (sign, digits) = text.strip_prefix('-').map_or(("", text), |digits| ("-", digits));
    if !digits.ends_with(|c: char| c.is_ascii_digit()) {
        return text.to_owned();
    }
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    let all = format!("{whole}{part}");
    let Some(first) = all.find(|c| c != '0') else {
        return format!("{}e0", round("0", behind));
    };
    let place = |at: usize| i64::try_from(at).unwrap_or(i64::MAX);
    let exponent = place(whole.len()) - place(first) - 1;
    // Rounding may leave two digits before the point, as it does in PostgreSQL.
    let mantissa = round(&format!("{}.{}", &all[first..=first], &all[first + 1..]), behind);
    format!("{sign}{mantissa}e{exponent}")
}

/// Goes through a template with a number.
struct Writer<'t> {
    template: &'t Template,
    digits: Digits,
    /// Which digit comes next.
    next: usize,
    /// How many places of the template are done.
    place: usize,
    is_signed: bool,
    /// Whether the digits have begun.
    begun: bool,
    /// Whether positive numbers stand between blanks that are brackets for others.
    brackets: bool,
    /// The last digit that FM does not leave out; nothing where it leaves out none.
    last: Option<usize>,
    /// All places.
    places: usize,
    /// The digits of a float are at an end before the template is: so is the text.
    is_over: bool,
    out: String,
}

impl<'t> Writer<'t> {
    fn new(digits: Digits, template: &'t Template) -> Self {
        let is_negative = digits.is_negative;
        let (mut is_signed, mut brackets) = (false, template.brackets);
        if template.plus || template.minus {
            is_signed = template.minus;
        } else if !is_negative && template.is_bare {
            brackets = false;
            is_signed = template.anchor.is_none();
        }
        let mut last = None;
        if template.is_bare && template.has_point {
            last = digits.text.iter().position(|&digit| digit == b'.').map(|point| {
                let relevant = |at: &usize| digits.text[*at] != b'0';
                (point + 1..digits.text.len()).rev().find(relevant).unwrap_or(point)
            });
            if template.zeros_to > digits.free {
                let zero = (template.zeros_to - digits.free).min(digits.text.len() - 1);
                last = last.map(|last| last.max(zero));
            }
        }
        let mut places = (digits.before + digits.behind).saturating_sub(1);
        places += usize::from(!is_signed && digits.free == 0);
        Self {
            template,
            digits,
            next: 0,
            place: 0,
            is_signed,
            begun: false,
            brackets,
            last,
            places,
            is_over: false,
            out: String::new(),
        }
    }

    fn written(mut self) -> String {
        let is_bare = self.template.is_bare;
        for piece in &self.template.pieces {
            if self.is_over {
                break;
            }
            match piece {
                Piece::Plain(c) => self.out.push(*c),
                Piece::Digit | Piece::Zero | Piece::Point => self.digit(*piece),
                Piece::Group if self.begun => self.out.push(','),
                Piece::Currency => self.out.push(' '),
                Piece::Minus if self.digits.is_negative => self.out.push('-'),
                Piece::Plus if !self.digits.is_negative => self.out.push('+'),
                Piece::Group | Piece::Minus | Piece::Plus if is_bare => {}
                Piece::Group | Piece::Minus | Piece::Plus => self.out.push(' '),
                Piece::Sign => self.out.push(self.sign()),
                Piece::Ordinal { upper } => self.ordinal(*upper),
                Piece::Roman { .. } | Piece::Silent => {}
            }
        }
        self.out
    }

    fn sign(&self) -> char {
        if self.digits.is_negative { '-' } else { '+' }
    }

    /// Whether what comes next is the zero before the point of `0.1`, which `9` leaves blank.
    fn is_zero_before_point(&self) -> bool {
        self.template.zeros_from.is_none()
            && self.next == 0
            && self.digits.text.first() == Some(&b'0')
            && self.digits.behind != 0
    }

    /// Whether FM leaves out all behind the point.
    fn ends_at_point(&self) -> bool {
        self.last.is_some_and(|last| self.digits.text[last] == b'.')
    }

    /// A place of the template.
    fn digit(&mut self, piece: Piece) {
        let (template, free) = (self.template, self.digits.free);
        self.begun = false;
        let fills = template.zeros_from.is_some_and(|from| from <= self.place);
        let begins = self.place >= free || template.zeros_from == Some(self.place);
        if !self.is_signed && begins && (!self.is_zero_before_point() || self.ends_at_point()) {
            self.leading_sign();
        }
        if self.place < free {
            if fills {
                self.out.push('0');
                self.begun = true;
            } else if !template.is_bare {
                self.out.push(' ');
            }
        } else {
            self.own_digit(piece);
        }
        let mut end = self.places + usize::from(free > 0) + usize::from(template.has_point);
        if self.last == Some(self.next) {
            end = self.place;
        }
        if self.place + 1 == end {
            if self.is_signed && self.brackets {
                self.out.push(if self.digits.is_negative { '>' } else { ' ' });
            } else if template.anchor == Some(Anchor::Behind) {
                self.out.push(self.sign());
            }
        }
        self.place += 1;
    }

    fn leading_sign(&mut self) {
        match self.template.anchor {
            Some(Anchor::Behind) => return,
            Some(Anchor::Before) => self.out.push(self.sign()),
            None if self.brackets => {
                self.out.push(if self.digits.is_negative { '<' } else { ' ' });
            }
            None if self.digits.is_negative => self.out.push('-'),
            None if !self.template.is_bare => self.out.push(' '),
            None => {}
        }
        self.is_signed = true;
    }

    /// A digit of the number, or its point.
    fn own_digit(&mut self, piece: Piece) {
        let Some(&digit) = self.digits.text.get(self.next) else {
            self.is_over = self.last.is_none() || piece == Piece::Zero;
            return;
        };
        let is_left_out = self.last.is_some_and(|last| self.next > last) && piece != Piece::Zero;
        if digit == b'.' {
            self.out.push('.');
        } else if is_left_out {
            // FM has it so.
        } else if self.is_zero_before_point() {
            if !self.template.is_bare {
                self.out.push(' ');
            } else if self.ends_at_point() {
                self.out.push('0');
            }
        } else {
            self.out.push(char::from(digit));
            self.begun = true;
        }
        self.next += 1;
    }

    fn ordinal(&mut self, upper: bool) {
        let digits = &self.digits;
        if digits.is_negative || self.template.has_point || digits.text.first() == Some(&b'#') {
            return;
        }
        let is_teen = digits.text.len() > 1 && digits.text[digits.text.len() - 2] == b'1';
        let ending = match digits.text.last() {
            Some(b'1') if !is_teen => "st",
            Some(b'2') if !is_teen => "nd",
            Some(b'3') if !is_teen => "rd",
            _ => "th",
        };
        match upper {
            true => self.out.push_str(&ending.to_ascii_uppercase()),
            false => self.out.push_str(ending),
        }
    }
}
