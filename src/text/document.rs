//! `tsvector`: the lexemes of a text, each with the places where it stands.

use super::lexeme::{BYTES_MAX, DOCUMENT, POSITION_MAX, Quoted, Reader, short_enough};
use crate::error::{Error, Result, SqlState};
use std::{collections::BTreeMap, fmt};

/// Places that are kept of a lexeme.
const PLACES_MAX: usize = 255;
/// Bytes of all lexemes and places of a document together.
const DOCUMENT_BYTES_MAX: usize = (1 << 20) - 1;

/// How much a place counts, least first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weight {
    /// What is not said to be more.
    D,
    /// More.
    C,
    /// More still.
    B,
    /// The most.
    A,
}

impl Weight {
    /// All of them, least first.
    pub const ALL: [Self; 4] = [Self::D, Self::C, Self::B, Self::A];

    /// That of a letter.
    #[must_use]
    pub fn of_letter(letter: char) -> Option<Self> {
        match letter.to_ascii_uppercase() {
            'A' => Some(Self::A),
            'B' => Some(Self::B),
            'C' => Some(Self::C),
            'D' => Some(Self::D),
            _ => None,
        }
    }

    /// Its letter.
    #[must_use]
    pub fn letter(self) -> char {
        match self {
            Self::A => 'A',
            Self::B => 'B',
            Self::C => 'C',
            Self::D => 'D',
        }
    }
}

/// Where a lexeme stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Counted in words from 1; all beyond the last that can be said have that one.
    pub position: u16,
    /// How much it counts there.
    pub weight: Weight,
}

/// A lexeme of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lexeme {
    /// Itself.
    pub word: String,
    /// Where it stands, ascending; none where that is not known.
    pub places: Vec<Place>,
}

/// A text as its lexemes, ascending by their bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Document {
    lexemes: Vec<Lexeme>,
}

impl Document {
    /// Of lexemes in any order, of which the same may come more than once.
    ///
    /// # Errors
    /// 54000 when there are too many, or one is too long.
    pub fn of(words: impl IntoIterator<Item = (String, Vec<Place>)>) -> Result<Self> {
        let mut all: BTreeMap<String, Vec<Place>> = BTreeMap::new();
        for (word, places) in words {
            all.entry(short_enough(word)?).or_default().extend(places);
        }
        let mut bytes = 0;
        let mut lexemes = Vec::with_capacity(all.len());
        for (word, mut places) in all {
            // Of two at one position the one that counts more.
            places.sort_by_key(|place| (place.position, std::cmp::Reverse(place.weight)));
            places.dedup_by_key(|place| place.position);
            places.truncate(PLACES_MAX);
            bytes += word.len() + 2 * places.len();
            lexemes.push(Lexeme { word, places });
        }
        if bytes > DOCUMENT_BYTES_MAX {
            let message = format!(
                "string is too long for tsvector ({bytes} bytes, max {DOCUMENT_BYTES_MAX} bytes)"
            );
            return Err(Error::new(SqlState::PROGRAM_LIMIT_EXCEEDED, message));
        }
        Ok(Self { lexemes })
    }

    /// Of what `Display` writes, and of what people do.
    ///
    /// # Errors
    /// 42601 for what is none, 54000 for one that is too large.
    pub fn parse(text: &str) -> Result<Self> {
        let mut reader = Reader::new(text, DOCUMENT);
        let mut words = Vec::new();
        loop {
            reader.skip_spaces();
            let Some(word) = reader.lexeme(|_| false)? else { break };
            let places = if reader.skip(':') { places(&mut reader, text)? } else { Vec::new() };
            words.push((word, places));
        }
        if reader.rest.peek().is_some() {
            return Err(reader.syntax_error());
        }
        Self::of(words)
    }

    /// Its lexemes, ascending by their bytes.
    #[must_use]
    pub fn lexemes(&self) -> &[Lexeme] {
        &self.lexemes
    }

    /// A lexeme, where it has it.
    #[must_use]
    pub fn find(&self, word: &str) -> Option<&Lexeme> {
        let at = self.lexemes.binary_search_by(|lexeme| lexeme.word.as_str().cmp(word)).ok()?;
        Some(&self.lexemes[at])
    }

    /// The lexemes that begin so.
    #[must_use]
    pub fn starting_with(&self, prefix: &str) -> &[Lexeme] {
        let from = self.lexemes.partition_point(|lexeme| lexeme.word.as_str() < prefix);
        let rest = &self.lexemes[from..];
        &rest[..rest.partition_point(|lexeme| lexeme.word.starts_with(prefix))]
    }

    /// How many words it had, as far as their places are known: of the others, one each.
    #[must_use]
    pub fn words(&self) -> usize {
        self.lexemes.iter().map(|lexeme| lexeme.places.len().max(1)).sum()
    }

    /// The same without places.
    #[must_use]
    pub fn stripped(mut self) -> Self {
        for lexeme in &mut self.lexemes {
            lexeme.places.clear();
        }
        self
    }

    /// The same with this weight at all places of the lexemes that are picked.
    #[must_use]
    pub fn weighted(mut self, weight: Weight, is_picked: impl Fn(&str) -> bool) -> Self {
        for lexeme in self.lexemes.iter_mut().filter(|lexeme| is_picked(&lexeme.word)) {
            for place in &mut lexeme.places {
                place.weight = weight;
            }
        }
        self
    }

    /// The same with only the lexemes that are picked, and of these only the places that are.
    #[must_use]
    pub fn kept(mut self, is_picked: impl Fn(&str) -> bool) -> Self {
        self.lexemes.retain(|lexeme| is_picked(&lexeme.word));
        self
    }

    /// The same with only the places of these weights, and without lexemes that have none left.
    #[must_use]
    pub fn filtered(mut self, weights: &[Weight]) -> Self {
        for lexeme in &mut self.lexemes {
            lexeme.places.retain(|place| weights.contains(&place.weight));
        }
        self.lexemes.retain(|lexeme| !lexeme.places.is_empty());
        self
    }

    /// This document, and another one behind it.
    ///
    /// # Errors
    /// 54000 when it becomes too large.
    pub fn followed_by(self, other: Self) -> Result<Self> {
        let places = self.lexemes.iter().flat_map(|lexeme| &lexeme.places);
        let end = places.map(|place| place.position).max().unwrap_or(0);
        let behind = |mut lexeme: Lexeme| {
            for place in &mut lexeme.places {
                place.position = place.position.saturating_add(end).min(POSITION_MAX);
            }
            lexeme
        };
        let all = self.lexemes.into_iter().chain(other.lexemes.into_iter().map(behind));
        Self::of(all.map(|lexeme| (lexeme.word, lexeme.places)))
    }

    /// The binary form of `tsvectorsend`.
    pub fn write_binary(&self, out: &mut Vec<u8>) {
        let count = u32::try_from(self.lexemes.len()).unwrap_or(u32::MAX);
        out.extend_from_slice(&count.to_be_bytes());
        for Lexeme { word, places } in &self.lexemes {
            out.extend_from_slice(word.as_bytes());
            out.push(0);
            let count = u16::try_from(places.len()).unwrap_or(u16::MAX);
            out.extend_from_slice(&count.to_be_bytes());
            for Place { position, weight } in places {
                let packed = (*weight as u16) << 14 | position;
                out.extend_from_slice(&packed.to_be_bytes());
            }
        }
    }

    /// Out of that form.
    ///
    /// # Errors
    /// 08P01 for bytes that are none, 54000 for one that is too large.
    pub fn read_binary(mut bytes: &[u8]) -> Result<Self> {
        let count = u32::from_be_bytes(take(&mut bytes)?);
        let mut words = Vec::new();
        for _ in 0..count {
            let word = take_word(&mut bytes)?;
            let places = u16::from_be_bytes(take(&mut bytes)?);
            let mut read = || {
                let packed = u16::from_be_bytes(take(&mut bytes)?);
                if packed & POSITION_MAX == 0 {
                    return Err(not_binary("tsvector"));
                }
                let weight = Weight::ALL[usize::from(packed >> 14)];
                Ok(Place { position: packed & POSITION_MAX, weight })
            };
            words.push((word, (0..places).map(|_| read()).collect::<Result<_>>()?));
        }
        if !bytes.is_empty() {
            return Err(not_binary("tsvector"));
        }
        Self::of(words)
    }
}

/// The next bytes of a binary form.
pub(super) fn take<const N: usize>(bytes: &mut &[u8]) -> Result<[u8; N]> {
    let (taken, rest) = bytes.split_first_chunk().ok_or_else(|| not_binary("text search value"))?;
    *bytes = rest;
    Ok(*taken)
}

/// The next word of a binary form, which a zero ends.
pub(super) fn take_word(bytes: &mut &[u8]) -> Result<String> {
    let end = bytes.iter().take(BYTES_MAX + 1).position(|&byte| byte == 0);
    let end = end.ok_or_else(|| not_binary("lexeme"))?;
    let word = std::str::from_utf8(&bytes[..end]).map_err(|_| not_binary("lexeme"))?;
    if word.is_empty() {
        return Err(not_binary("lexeme"));
    }
    *bytes = &bytes[end + 1..];
    Ok(word.to_owned())
}

pub(super) fn not_binary(what: &str) -> Error {
    Error::new(SqlState::PROTOCOL_VIOLATION, format!("invalid binary form of a {what}"))
}

/// What follows a colon: `3A,7`.
fn places(reader: &mut Reader<'_>, text: &str) -> Result<Vec<Place>> {
    let mut places = Vec::new();
    loop {
        let Some(position) = reader.number() else { return Err(reader.syntax_error()) };
        if position == 0 {
            let message = format!("wrong position info in tsvector: \"{text}\"");
            return Err(Error::new(SqlState::SYNTAX_ERROR, message));
        }
        let position = u16::try_from(position).unwrap_or(u16::MAX).min(POSITION_MAX);
        let mut weight = Weight::D;
        if let Some(&letter) = reader.rest.peek() {
            let said = if letter == '*' { Some(Weight::A) } else { Weight::of_letter(letter) };
            if let Some(said) = said {
                reader.rest.next();
                weight = said;
            }
        }
        places.push(Place { position, weight });
        if reader.skip(',') {
            continue;
        }
        if reader.rest.peek().is_some_and(|c| !c.is_whitespace()) {
            return Err(reader.syntax_error());
        }
        return Ok(places);
    }
}

impl fmt::Display for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, Lexeme { word, places }) in self.lexemes.iter().enumerate() {
            let space = if at == 0 { "" } else { " " };
            write!(f, "{space}{}", Quoted(word))?;
            for (at, Place { position, weight }) in places.iter().enumerate() {
                write!(f, "{}{position}", if at == 0 { ":" } else { "," })?;
                if *weight != Weight::D {
                    write!(f, "{}", weight.letter())?;
                }
            }
        }
        Ok(())
    }
}
