//! Templates of `to_char`, `to_date` and `to_timestamp`: what a text is made of, piece by piece.
//!
//! ```text
//!   template    a template's text into nodes          write    to_char of moments and intervals
//!   found       what numbers mean together            read     to_date, to_timestamp
//! ```

mod found;
mod read;
mod write;

pub(crate) use self::{
    read::{to_date, to_timestamp},
    write::{interval, moment},
};

/// How a word is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Case {
    Upper,
    Title,
    Lower,
}

/// What a word of a template stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    /// `A.M.` and kin, with dots or without.
    Half(Case, bool),
    /// `B.C.` and kin, with dots or without.
    Era(Case, bool),
    Century,
    Month(Case),
    ShortMonth(Case),
    Roman(Case),
    MonthNumber,
    Day(Case),
    ShortDay(Case),
    DayOfYear,
    DayOfMonth,
    WeekDay,
    IsoDayOfYear,
    IsoWeekDay,
    IsoWeek,
    /// So many digits of the year of ISO weeks.
    IsoYear(u8),
    /// So many digits of the year.
    Year(u8),
    /// `Y,YYY`
    YearWithComma,
    WeekOfYear,
    WeekOfMonth,
    Quarter,
    Julian,
    Hour12,
    Hour24,
    Minute,
    Second,
    SecondOfDay,
    /// `MS`
    Millis,
    /// `US`
    Micros,
    /// `FF1` … `FF6`
    Fraction(u8),
    Zone(Case),
    ZoneHour,
    ZoneMinute,
    Offset,
    /// From here on every character counts.
    Exact,
}

/// Words, their meaning, and whether they are digits.
const WORDS: &[(&str, Field, bool)] = {
    use Case::{Title, Upper};
    use Field as F;
    &[
        ("A.D.", F::Era(Upper, true), false),
        ("A.M.", F::Half(Upper, true), false),
        ("AD", F::Era(Upper, false), false),
        ("AM", F::Half(Upper, false), false),
        ("B.C.", F::Era(Upper, true), false),
        ("BC", F::Era(Upper, false), false),
        ("CC", F::Century, true),
        ("DAY", F::Day(Upper), false),
        ("DDD", F::DayOfYear, true),
        ("DD", F::DayOfMonth, true),
        ("DY", F::ShortDay(Upper), false),
        ("Day", F::Day(Title), false),
        ("Dy", F::ShortDay(Title), false),
        ("D", F::WeekDay, true),
        ("FF1", F::Fraction(1), true),
        ("FF2", F::Fraction(2), true),
        ("FF3", F::Fraction(3), true),
        ("FF4", F::Fraction(4), true),
        ("FF5", F::Fraction(5), true),
        ("FF6", F::Fraction(6), true),
        ("FX", F::Exact, false),
        ("HH24", F::Hour24, true),
        ("HH12", F::Hour12, true),
        ("HH", F::Hour12, true),
        ("IDDD", F::IsoDayOfYear, true),
        ("ID", F::IsoWeekDay, true),
        ("IW", F::IsoWeek, true),
        ("IYYY", F::IsoYear(4), true),
        ("IYY", F::IsoYear(3), true),
        ("IY", F::IsoYear(2), true),
        ("I", F::IsoYear(1), true),
        ("J", F::Julian, true),
        ("MI", F::Minute, true),
        ("MM", F::MonthNumber, true),
        ("MONTH", F::Month(Upper), false),
        ("MON", F::ShortMonth(Upper), false),
        ("MS", F::Millis, true),
        ("Month", F::Month(Title), false),
        ("Mon", F::ShortMonth(Title), false),
        ("OF", F::Offset, false),
        ("P.M.", F::Half(Upper, true), false),
        ("PM", F::Half(Upper, false), false),
        ("Q", F::Quarter, true),
        ("RM", F::Roman(Upper), false),
        ("SSSSS", F::SecondOfDay, true),
        ("SSSS", F::SecondOfDay, true),
        ("SS", F::Second, true),
        ("TZH", F::ZoneHour, false),
        ("TZM", F::ZoneMinute, true),
        ("TZ", F::Zone(Upper), false),
        ("US", F::Micros, true),
        ("WW", F::WeekOfYear, true),
        ("W", F::WeekOfMonth, true),
        ("Y,YYY", F::YearWithComma, true),
        ("YYYY", F::Year(4), true),
        ("YYY", F::Year(3), true),
        ("YY", F::Year(2), true),
        ("Y", F::Year(1), true),
    ]
};

impl Field {
    /// Whether `TH` behind it means something: it is a number.
    fn takes_ordinal(self) -> bool {
        !matches!(
            self,
            Self::Half(..)
                | Self::Era(..)
                | Self::Zone(_)
                | Self::ZoneHour
                | Self::ZoneMinute
                | Self::Offset
                | Self::Month(_)
                | Self::ShortMonth(_)
                | Self::Roman(_)
                | Self::Day(_)
                | Self::ShortDay(_)
                | Self::Exact
        )
    }

    /// The field of a word in lower case.
    fn lowered(self) -> Self {
        let lower = Case::Lower;
        match self {
            Self::Half(_, dots) => Self::Half(lower, dots),
            Self::Era(_, dots) => Self::Era(lower, dots),
            Self::Month(_) => Self::Month(lower),
            Self::ShortMonth(_) => Self::ShortMonth(lower),
            Self::Roman(_) => Self::Roman(lower),
            Self::Day(_) => Self::Day(lower),
            Self::ShortDay(_) => Self::ShortDay(lower),
            Self::Zone(_) => Self::Zone(lower),
            other => other,
        }
    }

    /// Whether it belongs to the calendar of weeks.
    fn is_iso(self) -> bool {
        matches!(self, Self::IsoDayOfYear | Self::IsoWeekDay | Self::IsoWeek | Self::IsoYear(_))
    }

    /// Whether it belongs to the calendar of months.
    fn is_gregorian(self) -> bool {
        matches!(
            self,
            Self::Century
                | Self::Month(_)
                | Self::ShortMonth(_)
                | Self::Roman(_)
                | Self::MonthNumber
                | Self::DayOfYear
                | Self::DayOfMonth
                | Self::WeekDay
                | Self::Day(_)
                | Self::ShortDay(_)
                | Self::Year(_)
                | Self::YearWithComma
                | Self::WeekOfYear
                | Self::WeekOfMonth
                | Self::Quarter
        )
    }
}

/// A field as it stands in a template.
#[derive(Debug, Clone, Copy)]
struct Piece<'t> {
    word: &'t str,
    field: Field,
    is_digits: bool,
    /// `FM`: nothing is padded, and numbers may have any length.
    fill: bool,
    /// `TM`: names are those of the language, and so are not padded.
    translated: bool,
    /// `TH`, `th`
    ordinal: Option<Case>,
}

/// A piece of a template.
#[derive(Debug, Clone, Copy)]
enum Node<'t> {
    Field(Piece<'t>),
    Separator(char),
    Space(char),
    Text(char),
}

/// The longest word with which a text begins.
fn word(text: &str) -> Option<(&str, Field, bool)> {
    let fits = |&(known, field, is_digits): &(&str, Field, bool)| {
        let found = text.get(..known.len())?;
        let has_lower = |text: &str| text.bytes().any(|byte| byte.is_ascii_lowercase());
        let has_upper = |text: &str| text.bytes().any(|byte| byte.is_ascii_uppercase());
        if found == known {
            return Some((found, field, is_digits));
        }
        let is_twin = found.eq_ignore_ascii_case(known) && !has_upper(found) && !has_lower(known);
        is_twin.then_some((found, field.lowered(), is_digits))
    };
    WORDS.iter().filter_map(fits).max_by_key(|(word, ..)| word.len())
}

/// Takes one of some words off the front of a text.
fn take<'t>(text: &mut &'t str, words: &[&str]) -> Option<&'t str> {
    let found = words.iter().find(|word| text.starts_with(**word))?;
    let (taken, rest) = text.split_at(found.len());
    *text = rest;
    Some(taken)
}

/// The pieces of a template.
fn nodes(template: &str) -> Vec<Node<'_>> {
    let mut nodes = Vec::new();
    let mut rest = template;
    while !rest.is_empty() {
        let prefix = take(&mut rest, &["FM", "fm", "TM", "tm"]).map(str::to_ascii_uppercase);
        if let Some((word, field, is_digits)) = word(rest) {
            rest = &rest[word.len()..];
            let ordinal = match take(&mut rest, &["TH", "th", "SP"]) {
                Some("TH") => Some(Case::Upper),
                Some("th") => Some(Case::Lower),
                _ => None,
            };
            nodes.push(Node::Field(Piece {
                word,
                field,
                is_digits,
                fill: prefix.as_deref() == Some("FM"),
                translated: prefix.as_deref() == Some("TM"),
                ordinal,
            }));
            continue;
        }
        let mut chars = rest.chars();
        match chars.next() {
            Some('"') => rest = quoted(chars.as_str(), &mut nodes),
            // A backslash stands for itself but before a quote.
            Some('\\') if chars.as_str().starts_with('"') => {
                nodes.push(Node::Separator('"'));
                rest = &chars.as_str()[1..];
            }
            Some(c) => {
                rest = chars.as_str();
                nodes.push(match c {
                    c if is_separator(c) => Node::Separator(c),
                    c if is_space(c) => Node::Space(c),
                    c => Node::Text(c),
                });
            }
            None => {}
        }
    }
    nodes
}

/// Text up to the quote that ends it; a backslash quotes what follows it.
fn quoted<'t>(text: &'t str, nodes: &mut Vec<Node<'t>>) -> &'t str {
    let mut chars = text.chars();
    loop {
        let c = match chars.next() {
            None | Some('"') => return chars.as_str(),
            Some('\\') => chars.next().unwrap_or('\\'),
            Some(c) => c,
        };
        nodes.push(Node::Text(c));
    }
}

fn is_separator(c: char) -> bool {
    c.is_ascii_graphic() && !c.is_ascii_alphanumeric()
}

fn is_space(c: char) -> bool {
    c.is_ascii_whitespace() || c == '\u{b}'
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] =
    ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
/// From December to January, as they are looked up.
const ROMAN: [&str; 12] =
    ["XII", "XI", "X", "IX", "VIII", "VII", "VI", "V", "IV", "III", "II", "I"];
/// Before noon, and after it.
const HALVES: [&str; 2] = ["AM", "PM"];
const HALVES_WITH_DOTS: [&str; 2] = ["A.M.", "P.M."];
const ERAS: [&str; 2] = ["AD", "BC"];
const ERAS_WITH_DOTS: [&str; 2] = ["A.D.", "B.C."];
