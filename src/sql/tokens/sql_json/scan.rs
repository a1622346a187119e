//! What stands between a call's parentheses, read from the left, parentheses within passed over.

use super::Fault;
use crate::sql::tokens::{self, is};
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

/// Walks over tokens.
#[derive(Clone)]
pub(super) struct Scan<'t> {
    tokens: &'t [TokenWithSpan],
    at: usize,
}

/// Clauses of fixed words: their words, their name, and what they say. The longer come first.
const FIXED: [(&[&str], &str, &str); 18] = [
    (&["WITH", "UNCONDITIONAL", "ARRAY", "WRAPPER"], "wrapper", "unconditional"),
    (&["WITH", "CONDITIONAL", "ARRAY", "WRAPPER"], "wrapper", "conditional"),
    (&["WITH", "UNCONDITIONAL", "WRAPPER"], "wrapper", "unconditional"),
    (&["WITH", "CONDITIONAL", "WRAPPER"], "wrapper", "conditional"),
    (&["WITH", "ARRAY", "WRAPPER"], "wrapper", "unconditional"),
    (&["WITH", "WRAPPER"], "wrapper", "unconditional"),
    (&["WITHOUT", "ARRAY", "WRAPPER"], "wrapper", "none"),
    (&["WITHOUT", "WRAPPER"], "wrapper", "none"),
    (&["KEEP", "QUOTES", "ON", "SCALAR", "STRING"], "quotes", "keep"),
    (&["KEEP", "QUOTES"], "quotes", "keep"),
    (&["OMIT", "QUOTES", "ON", "SCALAR", "STRING"], "quotes", "omit"),
    (&["OMIT", "QUOTES"], "quotes", "omit"),
    (&["WITH", "UNIQUE", "KEYS"], "unique", "with"),
    (&["WITH", "UNIQUE"], "unique", "with"),
    (&["WITHOUT", "UNIQUE", "KEYS"], "unique", "without"),
    (&["WITHOUT", "UNIQUE"], "unique", "without"),
    (&["NULL", "ON", "NULL"], "nulls", "null"),
    (&["ABSENT", "ON", "NULL"], "nulls", "absent"),
];

/// What is done where nothing is found or something fails, before ON EMPTY and ON ERROR.
const BEHAVIOURS: [(&[&str], &str); 8] = [
    (&["ERROR"], "error"),
    (&["NULL"], "null"),
    (&["TRUE"], "true"),
    (&["FALSE"], "false"),
    (&["UNKNOWN"], "unknown"),
    (&["EMPTY", "ARRAY"], "empty array"),
    (&["EMPTY", "OBJECT"], "empty object"),
    (&["EMPTY"], "empty array"),
];

impl<'t> Scan<'t> {
    pub(super) fn new(tokens: &'t [TokenWithSpan]) -> Self {
        Self { tokens, at: 0 }
    }

    pub(super) fn is_done(&self) -> bool {
        self.at >= self.tokens.len()
    }

    pub(super) fn taken(&self) -> usize {
        self.at
    }

    pub(super) fn rest(&self) -> &'t [TokenWithSpan] {
        &self.tokens[self.at..]
    }

    pub(super) fn accept(&mut self, words: &[&str]) -> bool {
        let found = sees(self.rest(), words);
        self.at += if found { words.len() } else { 0 };
        found
    }

    pub(super) fn accept_token(&mut self, token: &Token) -> bool {
        let found = self.rest().first().is_some_and(|next| next.token == *token);
        self.at += usize::from(found);
        found
    }

    /// What is wrong with the token that comes next.
    pub(super) fn fault(&self) -> Fault {
        self.rest().first().map_or(Fault::End, |token| Fault::Unexpected(token.clone()))
    }

    pub(super) fn expect(&mut self, word: &str) -> Result<(), Fault> {
        if self.accept(&[word]) { Ok(()) } else { Err(self.fault()) }
    }

    pub(super) fn expect_token(&mut self, token: &Token) -> Result<(), Fault> {
        if self.accept_token(token) { Ok(()) } else { Err(self.fault()) }
    }

    /// A name, as it is looked up.
    pub(super) fn word(&mut self) -> Result<String, Fault> {
        let Some(Token::Word(word)) = self.rest().first().map(|token| &token.token) else {
            return Err(self.fault());
        };
        self.at += 1;
        Ok(match word.quote_style {
            Some(_) => word.value.clone(),
            None => word.value.to_lowercase(),
        })
    }

    pub(super) fn string(&mut self) -> Result<String, Fault> {
        match self.rest().first().map(|token| &token.token) {
            Some(Token::SingleQuotedString(text)) => {
                self.at += 1;
                Ok(text.clone())
            }
            _ => Err(self.fault()),
        }
    }

    /// The tokens between the parenthesis that comes next and its partner.
    pub(super) fn group(&mut self) -> Result<&'t [TokenWithSpan], Fault> {
        let Some(inner) = group(self.tokens, self.at) else { return Err(self.fault()) };
        self.at += inner.len() + 2;
        Ok(inner)
    }

    /// The key of a pair, which may be a column of the name `value`.
    pub(super) fn key(&mut self) -> &'t [TokenWithSpan] {
        self.until_from(1, |rest| {
            let ends = [Token::Colon, Token::Comma].contains(&rest[0].token);
            ends || keyword(&rest[0], "VALUE") || is_clause(rest)
        })
    }

    /// The tokens up to a place that is not within parentheses or brackets.
    pub(super) fn until(&mut self, ends: impl Fn(&[TokenWithSpan]) -> bool) -> &'t [TokenWithSpan] {
        self.until_from(0, ends)
    }

    /// The same, where the first tokens do not end it.
    fn until_from(
        &mut self,
        passed: usize,
        ends: impl Fn(&[TokenWithSpan]) -> bool,
    ) -> &'t [TokenWithSpan] {
        let (start, mut depth) = (self.at, 0_usize);
        while let Some(token) = self.tokens.get(self.at) {
            if depth == 0 && self.at >= start + passed && ends(self.rest()) {
                break;
            }
            match token.token {
                Token::LParen | Token::LBracket => depth += 1,
                Token::RParen | Token::RBracket => depth = depth.saturating_sub(1),
                _ => {}
            }
            self.at += 1;
        }
        &self.tokens[start..self.at]
    }

    /// `FORMAT JSON [ENCODING UTF8]`
    pub(super) fn format(&mut self) -> bool {
        let found = self.accept(&["FORMAT", "JSON"]);
        if found && self.accept(&["ENCODING"]) {
            self.at += 1;
        }
        found
    }

    /// A clause of fixed words: its name, and what it says.
    pub(super) fn fixed_clause(&mut self) -> Option<(&'static str, &'static str)> {
        if let Some((_, clause, word)) = FIXED.iter().find(|(words, ..)| self.accept(words)) {
            return Some((clause, word));
        }
        let (words, word) = behaviour(self.rest())?;
        self.at += words;
        Some((self.on()?, word))
    }

    /// `ON EMPTY`, `ON ERROR`
    pub(super) fn on(&mut self) -> Option<&'static str> {
        match () {
            () if self.accept(&["ON", "EMPTY"]) => Some("empty"),
            () if self.accept(&["ON", "ERROR"]) => Some("error"),
            () => None,
        }
    }
}

/// Whether a clause begins here.
pub(super) fn is_clause(rest: &[TokenWithSpan]) -> bool {
    sees(rest, &["PASSING"])
        || sees(rest, &["RETURNING"])
        || sees(rest, &["DEFAULT"])
        || is_format(rest)
        || FIXED.iter().any(|(words, ..)| sees(rest, words))
        || behaviour(rest).is_some()
}

pub(super) fn is_format(rest: &[TokenWithSpan]) -> bool {
    sees(rest, &["FORMAT", "JSON"])
}

pub(super) fn is_on(rest: &[TokenWithSpan]) -> bool {
    sees(rest, &["ON", "EMPTY"]) || sees(rest, &["ON", "ERROR"])
}

/// What is to be done before ON EMPTY and ON ERROR: how many words say it, and what.
fn behaviour(rest: &[TokenWithSpan]) -> Option<(usize, &'static str)> {
    let (words, word) =
        BEHAVIOURS.iter().find(|(words, _)| sees(rest, words) && is_on(&rest[words.len()..]))?;
    Some((words.len(), word))
}

pub(super) fn sees(rest: &[TokenWithSpan], words: &[&str]) -> bool {
    tokens::sees(rest, 0, words)
}

pub(super) fn keyword(token: &TokenWithSpan, keyword: &str) -> bool {
    matches!(&token.token, Token::Word(word) if is(word, keyword))
}

/// The tokens between a parenthesis and its partner.
pub(super) fn group(tokens: &[TokenWithSpan], open: usize) -> Option<&[TokenWithSpan]> {
    let mut depth = 0_usize;
    if tokens.get(open)?.token != Token::LParen {
        return None;
    }
    for (at, token) in tokens.iter().enumerate().skip(open) {
        match token.token {
            Token::LParen => depth += 1,
            Token::RParen => depth = depth.checked_sub(1)?,
            _ => {}
        }
        if depth == 0 {
            return Some(&tokens[open + 1..at]);
        }
    }
    None
}
