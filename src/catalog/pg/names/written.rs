//! Names as SQL writes them: their parts, what must be quoted, keywords.

use crate::error::{Error, Result, SqlState};
use std::{borrow::Cow, collections::HashMap, sync::LazyLock};

/// The parts of a qualified name: folded to lower case unless quoted.
///
/// # Errors
/// 42602 when the text is not a name.
pub fn parts(text: &str) -> Result<Vec<String>> {
    let mut parts = Vec::new();
    let mut rest = text.trim();
    loop {
        let part = if let Some(quoted) = rest.strip_prefix('"') {
            let mut part = String::new();
            let mut letters = quoted.char_indices().peekable();
            let mut end = None;
            while let Some((place, letter)) = letters.next() {
                if letter != '"' {
                    part.push(letter);
                } else if letters.next_if(|&(_, next)| next == '"').is_some() {
                    part.push('"');
                } else {
                    end = Some(place + 1);
                    break;
                }
            }
            rest = &quoted[end.ok_or_else(|| invalid_name(text))?..];
            part
        } else {
            let end = rest.find('.').unwrap_or(rest.len());
            let (part, after) = rest.split_at(end);
            rest = after;
            let part = part.trim();
            if part.contains(|c: char| c.is_whitespace() || c == '"') {
                return Err(invalid_name(text));
            }
            part.to_lowercase()
        };
        if part.is_empty() {
            return Err(invalid_name(text));
        }
        parts.push(part);
        rest = rest.trim_start();
        match rest.strip_prefix('.') {
            Some(after) => rest = after.trim_start(),
            None if rest.is_empty() => return Ok(parts),
            None => return Err(invalid_name(text)),
        }
    }
}

pub(super) fn invalid_name(text: &str) -> Error {
    Error::new(SqlState::INVALID_NAME, format!("invalid name syntax: \"{text}\""))
}

/// A keyword of PostgreSQL's grammar.
#[derive(Debug, Clone, Copy)]
pub struct Keyword {
    /// The word.
    pub word: &'static str,
    /// `U`nreserved, `C`olumn name, `T`ype or function name, `R`eserved.
    pub category: &'static str,
    /// Whether it can be a column's alias without AS.
    pub bare_label: bool,
}

/// PostgreSQL's keywords, by word.
pub fn keywords() -> impl Iterator<Item = &'static Keyword> {
    KEYWORDS.1.iter()
}

static KEYWORDS: LazyLock<(HashMap<&'static str, usize>, Vec<Keyword>)> = LazyLock::new(|| {
    let keyword = |line: &'static str| {
        let mut fields = line.split('\t');
        let mut field = || fields.next().expect("a keyword has three fields");
        Keyword { word: field(), category: field(), bare_label: field() == "t" }
    };
    let list: Vec<_> = include_str!("../facts/keywords.tsv").lines().map(keyword).collect();
    (list.iter().enumerate().map(|(place, keyword)| (keyword.word, place)).collect(), list)
});

/// A name as it must be written in SQL: quoted where it would not be read back as it is.
#[must_use]
pub fn quote_ident(name: &str) -> Cow<'_, str> {
    let plain = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        && KEYWORDS.0.get(name).is_none_or(|&place| KEYWORDS.1[place].category == "U");
    if plain { name.into() } else { format!("\"{}\"", name.replace('"', "\"\"")).into() }
}

/// A text as a string literal.
#[must_use]
pub fn quote_literal(text: &str) -> String {
    let quoted = format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"));
    if text.contains('\\') { format!("E{quoted}") } else { quoted }
}
