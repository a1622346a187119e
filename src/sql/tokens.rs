//! The words of a message, with operators glued as PostgreSQL reads them, and a cursor for the
//! statements that are parsed by hand.

mod merge;
mod operands;
mod overriding;
mod returning;
pub(crate) mod sql_json;
mod subscripts;
mod times;
mod variadic;

pub(crate) use self::{
    merge::{inserts_defaults, is_nothing},
    operands::{distinct_operand, symmetric_bound},
    overriding::Overriding,
    returning::returning_names,
    times::{is_local_zone, reduced_precisions},
    variadic::variadic_array,
};

use self::{
    merge::mark_merge,
    operands::{mark_distinct, mark_symmetric},
    overriding::take_overriding,
    returning::mark_names,
    subscripts::{Subscripted, take_subscripts},
    times::mark_times,
    variadic::mark_variadic,
};
use crate::error::{Error, Result, SqlState};
use datafusion::sql::sqlparser::{
    ast,
    dialect::PostgreSqlDialect,
    keywords::Keyword,
    parser::ParserError,
    tokenizer::{
        Location, Span, Token, TokenWithSpan, Tokenizer, TokenizerError, Whitespace, Word,
    },
};
use std::sync::{Arc, OnceLock};

/// How deep expressions and queries may nest.
pub(super) const NESTING_MAX: usize = 400;

/// Tokens that may stand between two commas of a list, parentheses apart.
const CHAIN_MAX: usize = 10_000;

/// A message's text, in which places are found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Source {
    text: Arc<str>,
    /// Of each line: its first byte, and how many characters come before it.
    lines: Vec<(usize, usize)>,
    /// What each INSERT overrides, by its place; known once the tokens are.
    overriding: OnceLock<Vec<(Location, Overriding)>>,
    /// The columns that SET assigns a part of, by their place, with the subscripts behind them.
    subscripts: OnceLock<Vec<Subscripted>>,
}

impl Source {
    pub(crate) fn new(text: &str) -> Self {
        let mut lines = vec![(0, 0)];
        for (characters, (byte, character)) in text.char_indices().enumerate() {
            if character == '\n' {
                lines.push((byte + 1, characters + 1));
            }
        }
        Self { text: text.into(), lines, overriding: OnceLock::new(), subscripts: OnceLock::new() }
    }

    /// The whole text.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The character at a location, from 1.
    pub(crate) fn position(&self, location: Location) -> Option<usize> {
        let line = usize::try_from(location.line).ok()?.checked_sub(1)?;
        let (_, before) = self.lines.get(line)?;
        Some(before + usize::try_from(location.column).ok()?)
    }

    /// The byte at a location.
    pub(crate) fn byte(&self, location: Location) -> usize {
        let line = usize::try_from(location.line).unwrap_or(1).saturating_sub(1);
        let Some(&(start, _)) = self.lines.get(line) else { return self.text.len() };
        let column = usize::try_from(location.column).unwrap_or(1).saturating_sub(1);
        let rest = &self.text[start..];
        start + rest.char_indices().nth(column).map_or(rest.len(), |(byte, _)| byte)
    }

    /// The text from one location up to another.
    pub(crate) fn slice(&self, start: Location, end: Location) -> &str {
        let (start, end) = (self.byte(start), self.byte(end));
        self.text.get(start..end.max(start)).unwrap_or("")
    }

    /// The text of a token.
    fn token(&self, token: &TokenWithSpan) -> &str {
        self.slice(token.span.start, token.span.end)
    }

    /// `syntax error at or near …`
    pub(crate) fn unexpected(&self, token: Option<&TokenWithSpan>) -> Error {
        match token {
            Some(token) if token.token != Token::EOF => {
                let error = Error::new(
                    SqlState::SYNTAX_ERROR,
                    format!("syntax error at or near \"{}\"", self.token(token)),
                );
                self.at(error, token.span.start)
            }
            _ => Error::new(SqlState::SYNTAX_ERROR, "syntax error at end of input").at(self
                .text
                .chars()
                .count()
                + 1),
        }
    }

    /// The error with its place.
    pub(crate) fn at(&self, error: Error, location: Location) -> Error {
        match self.position(location) {
            Some(position) => error.at(position),
            None => error,
        }
    }

    /// The message's tokens without white space and comments, operators glued.
    pub(crate) fn tokens(&self) -> Result<Vec<TokenWithSpan>> {
        let raw = Tokenizer::new(&PostgreSqlDialect {}, &self.text)
            .tokenize_with_location()
            .map_err(|error| self.lexical(&error))?;
        let mut tokens = self.glue(&raw)?;
        let overriding =
            take_overriding(&mut tokens).map_err(|token| self.unexpected(Some(&token)))?;
        self.overriding.get_or_init(|| overriding);
        let subscripts = take_subscripts(&mut tokens);
        mark_variadic(&mut tokens);
        mark_times(&mut tokens);
        self.subscripts.get_or_init(|| subscripts);
        self.refuse_long_chains(&tokens)?;
        Ok(tokens)
    }

    /// Operands one after the other nest without a parenthesis: `1 + 1 + 1 ...` is as deep as long.
    fn refuse_long_chains(&self, tokens: &[TokenWithSpan]) -> Result<()> {
        let mut lengths = vec![0];
        for token in tokens {
            match &token.token {
                Token::LParen | Token::LBracket => lengths.push(0),
                Token::RParen | Token::RBracket if lengths.len() > 1 => drop(lengths.pop()),
                Token::Comma | Token::SemiColon => *lengths.last_mut().expect("one is left") = 0,
                _ => {
                    let length = lengths.last_mut().expect("one is left");
                    *length += 1;
                    if *length > CHAIN_MAX {
                        return Err(self.at(too_deep(), token.span.start));
                    }
                }
            }
        }
        Ok(())
    }

    /// What the INSERT at a place overrides.
    pub(crate) fn overriding(&self, insert: Location) -> Option<Overriding> {
        let known = self.overriding.get()?;
        known.iter().find(|(place, _)| *place == insert).map(|(_, overriding)| *overriding)
    }

    /// The column at a place with its subscripts, where SET assigns a part of it.
    pub(crate) fn subscripts(&self, column: Location) -> Option<&[TokenWithSpan]> {
        let known = self.subscripts.get()?;
        known.iter().find(|(place, _)| *place == column).map(|(_, tokens)| tokens.as_slice())
    }

    /// pgvector's operators as one token each, all of them "other operators" by precedence; numbers
    /// with all their digits; strings that continue on the next line as one; ONLY before a table
    /// dropped, since no table has heirs.
    fn glue(&self, raw: &[TokenWithSpan]) -> Result<Vec<TokenWithSpan>> {
        let mut glued: Vec<TokenWithSpan> = Vec::with_capacity(raw.len());
        let mut newline = false;
        let mut at = 0;
        while let Some(token) = raw.get(at) {
            at += 1;
            if let Token::Whitespace(space) = &token.token {
                newline |=
                    matches!(space, Whitespace::Newline | Whitespace::SingleLineComment { .. });
                continue;
            }
            let operator = |text: &str, end: Location| TokenWithSpan {
                token: Token::CustomBinaryOperator(text.into()),
                span: Span::new(token.span.start, end),
            };
            let next = |n: usize| raw.get(at + n - 1).map(|next| &next.token);
            match &token.token {
                // `(t).*`, which is `t.*`.
                Token::Mul if expands_row(&glued) => {
                    let close = glued.len() - 2;
                    glued.remove(close);
                    glued.remove(close - 2);
                    glued.push(token.clone());
                }
                Token::Spaceship => glued.push(operator("<=>", token.span.end)),
                Token::TwoWayArrow => glued.push(operator("<->", token.span.end)),
                Token::Lt if next(1) == Some(&Token::Plus) && next(2) == Some(&Token::Gt) => {
                    glued.push(operator("<+>", raw[at + 1].span.end));
                    at += 2;
                }
                Token::Number(_, is_long) => {
                    let mut whole = token.clone();
                    while let Some(tail) = raw.get(at).filter(|tail| goes_on(&whole, tail)) {
                        whole.span.end = tail.span.end;
                        at += 1;
                    }
                    if *is_long || whole.span != token.span {
                        whole.token = self.long_number(&whole)?;
                    }
                    glued.push(whole);
                }
                // `0x1F`, which sqlparser takes for `X'1F'`.
                Token::HexStringLiteral(_) if self.token(token).starts_with('0') => {
                    let mut whole = token.clone();
                    while let Some(tail) = raw.get(at).filter(|tail| goes_on(&whole, tail)) {
                        whole.span.end = tail.span.end;
                        at += 1;
                    }
                    whole.token = self.long_number(&whole)?;
                    glued.push(whole);
                }
                Token::SingleQuotedString(text) => match glued.last_mut() {
                    Some(TokenWithSpan {
                        token: Token::SingleQuotedString(start) | Token::EscapedStringLiteral(start),
                        span,
                    }) => {
                        if !newline {
                            return Err(self.unexpected(Some(token)));
                        }
                        start.push_str(text);
                        span.end = token.span.end;
                    }
                    _ => glued.push(token.clone()),
                },
                Token::Word(word) if is(word, "ONLY") && before_relation(&glued) => {}
                // `TRIM(LEADING FROM x)`: sqlparser wants to be told that spaces go.
                Token::Word(word) if is(word, "FROM") && trims(&glued) => {
                    let space = Token::SingleQuotedString(" ".into());
                    glued.push(TokenWithSpan { token: space, span: token.span });
                    glued.push(token.clone());
                }
                // Weaker locks of rows, which are taken as the next stronger one.
                Token::Word(word)
                    if is(word, "UPDATE") && ends_with(&glued, &["FOR", "NO", "KEY"]) =>
                {
                    glued.truncate(glued.len() - 2);
                    glued.push(token.clone());
                }
                Token::Word(word) if is(word, "SHARE") && ends_with(&glued, &["FOR", "KEY"]) => {
                    glued.pop();
                    glued.push(token.clone());
                }
                _ => glued.push(token.clone()),
            }
            newline = false;
        }
        Ok(glued)
    }

    /// A number of which sqlparser has read the beginning: `0b101`, `0o17`, `0x1F`.
    fn long_number(&self, whole: &TokenWithSpan) -> Result<Token> {
        let text = self.token(whole);
        let digits = |radix: u32| {
            let body = &text[2..];
            !body.ends_with('_')
                && !body.contains("__")
                && body.chars().all(|c| c == '_' || c.is_digit(radix))
        };
        let prefix = text.get(..2).map(str::to_ascii_lowercase);
        let (name, radix) = match prefix.as_deref() {
            Some("0x") => ("hexadecimal", 16),
            Some("0o") => ("octal", 8),
            Some("0b") => ("binary", 2),
            _ => ("", 0),
        };
        if radix > 0 && text.len() > 2 && digits(radix) {
            return Ok(Token::Number(text.to_owned(), false));
        }
        let what = if radix > 0 && text.len() == 2 {
            format!("invalid {name} integer at or near \"{text}\"")
        } else {
            format!("trailing junk after numeric literal at or near \"{text}\"")
        };
        Err(self.at(Error::new(SqlState::SYNTAX_ERROR, what), whole.span.start))
    }

    fn lexical(&self, error: &TokenizerError) -> Error {
        let message = error.message.to_ascii_lowercase();
        let place = self.slice(error.location, Location::new(u64::MAX, 1));
        let what = if message.contains("unterminated string") {
            format!("unterminated quoted string at or near \"{place}\"")
        } else if message.contains("unterminated") && message.contains("dollar") {
            format!("unterminated dollar-quoted string at or near \"{place}\"")
        } else if message.contains("delimiter") || message.contains("quoted identifier") {
            format!("unterminated quoted identifier at or near \"{place}\"")
        } else if message.contains("comment") {
            format!("unterminated /* comment at or near \"{place}\"")
        } else {
            format!("syntax error at or near \"{place}\"")
        };
        self.at(Error::new(SqlState::SYNTAX_ERROR, what), error.location)
    }

    /// The tokens as sqlparser is to read them: what it does not know is put into words that it does.
    pub(super) fn spoken(&self, tokens: &[TokenWithSpan]) -> Result<Vec<TokenWithSpan>> {
        let mut spoken = match sql_json::is_any(tokens) {
            true => sql_json::spoken(tokens).map_err(|fault| match fault {
                sql_json::Fault::TooDeep => too_deep(),
                sql_json::Fault::Unexpected(token) => self.unexpected(Some(&token)),
                sql_json::Fault::End => self.unexpected(None),
            })?,
            false => tokens.to_vec(),
        };
        self.refuse_exclusion(&mut spoken)?;
        mark_merge(&mut spoken);
        mark_names(&mut spoken);
        // It must be readable when the operands of the others are looked for.
        mark_symmetric(&mut spoken);
        mark_distinct(&mut spoken);
        Ok(spoken)
    }

    /// EXCLUDE of a window's frame: NO OTHERS is what there is without it, and the others are not known.
    fn refuse_exclusion(&self, tokens: &mut Vec<TokenWithSpan>) -> Result<()> {
        for at in (0..tokens.len()).rev() {
            if sees(tokens, at, &["EXCLUDE", "NO", "OTHERS"]) {
                tokens.drain(at..at + 3);
                continue;
            }
            let kinds: [&[&str]; 3] =
                [&["EXCLUDE", "CURRENT", "ROW"], &["EXCLUDE", "GROUP"], &["EXCLUDE", "TIES"]];
            let behind_frame = ["ROW", "PRECEDING", "FOLLOWING"];
            let is_exclusion = at > 0
                && behind_frame.iter().any(|word| sees(tokens, at - 1, &[*word]))
                && kinds.iter().any(|words| sees(tokens, at, words));
            if is_exclusion {
                let error = Error::unsupported("EXCLUDE in a window's frame is not supported")
                    .hint("Subtract the row's own value from the window's.");
                return Err(self.at(error, tokens[at].span.start));
            }
        }
        Ok(())
    }

    /// What sqlparser says, as PostgreSQL would.
    pub(super) fn syntax(&self, error: &ParserError, tokens: &[TokenWithSpan]) -> Error {
        let message = match error {
            ParserError::RecursionLimitExceeded => {
                return too_deep();
            }
            ParserError::TokenizerError(message) | ParserError::ParserError(message) => message,
        };
        let found = message.rsplit_once(" at Line: ").and_then(|(_, place)| {
            let (line, column) = place.split_once(", Column: ")?;
            Some(Location::new(line.trim().parse().ok()?, column.trim().parse().ok()?))
        });
        if message.contains("found: EOF") {
            return self.unexpected(None);
        }
        let token = found.and_then(|place| tokens.iter().find(|t| t.span.start == place));
        match (found, token) {
            (_, Some(token)) => self.unexpected(Some(token)),
            (Some(place), None) => {
                self.at(Error::new(SqlState::SYNTAX_ERROR, "syntax error"), place)
            }
            (None, None) => {
                let text = message.to_ascii_lowercase();
                Error::new(SqlState::SYNTAX_ERROR, format!("syntax error: {text}"))
            }
        }
    }
}

/// Whether a number or what looks like one goes on with a word.
fn goes_on(number: &TokenWithSpan, tail: &TokenWithSpan) -> bool {
    number.span.end == tail.span.start
        && matches!(&tail.token, Token::Word(word) if word.quote_style.is_none())
}

/// Whether what came last is `TRIM(LEADING`, `TRIM(TRAILING` or `TRIM(BOTH`.
fn trims(before: &[TokenWithSpan]) -> bool {
    let [.., trim, paren, side] = before else { return false };
    let word = |token: &TokenWithSpan, keywords: &[&str]| match &token.token {
        Token::Word(word) => keywords.iter().any(|keyword| is(word, keyword)),
        _ => false,
    };
    word(trim, &["TRIM"])
        && paren.token == Token::LParen
        && word(side, &["LEADING", "TRAILING", "BOTH"])
}

/// Whether what came last is `(t).` at the beginning of a column.
fn expands_row(before: &[TokenWithSpan]) -> bool {
    let [.., first, open, name, close, period] = before else { return false };
    let begins = match &first.token {
        Token::Word(word) => {
            ["SELECT", "DISTINCT", "ALL", "RETURNING"].iter().any(|keyword| is(word, keyword))
        }
        other => *other == Token::Comma,
    };
    begins
        && open.token == Token::LParen
        && matches!(name.token, Token::Word(_))
        && close.token == Token::RParen
        && period.token == Token::Period
}

/// Whether what came last are these words.
fn ends_with(before: &[TokenWithSpan], keywords: &[&str]) -> bool {
    let start = before.len().checked_sub(keywords.len());
    let words = start.and_then(|start| before.get(start..)).unwrap_or_default();
    !words.is_empty()
        && words
            .iter()
            .zip(keywords)
            .all(|(token, keyword)| matches!(&token.token, Token::Word(word) if is(word, keyword)))
}

fn before_relation(tokens: &[TokenWithSpan]) -> bool {
    let last = tokens.len().saturating_sub(1);
    ["FROM", "JOIN", "UPDATE", "TABLE", "USING"]
        .iter()
        .any(|keyword| sees(tokens, last, &[keyword]))
        || sees(tokens, last.saturating_sub(1), &["MERGE", "INTO"])
}

pub(super) fn is(word: &Word, keyword: &str) -> bool {
    word.quote_style.is_none() && word.value.eq_ignore_ascii_case(keyword)
}

/// Whether these bare words stand at a place.
fn sees(tokens: &[TokenWithSpan], at: usize, words: &[&str]) -> bool {
    words.iter().enumerate().all(|(n, wanted)| {
        let token = tokens.get(at + n);
        token.is_some_and(|t| matches!(&t.token, Token::Word(word) if is(word, wanted)))
    })
}

/// An identifier as it is looked up: lower case unless quoted.
pub(crate) fn fold(ident: &ast::Ident) -> String {
    if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_lowercase() }
}

/// `SELECT * FROM` for `TABLE`.
pub(crate) fn table_as_select(tokens: &[TokenWithSpan]) -> Vec<TokenWithSpan> {
    let span = tokens[0].span;
    let word = |value: &str, keyword| TokenWithSpan {
        token: Token::Word(Word { value: value.into(), quote_style: None, keyword }),
        span,
    };
    let mut select = vec![
        word("SELECT", Keyword::SELECT),
        TokenWithSpan { token: Token::Mul, span },
        word("FROM", Keyword::FROM),
    ];
    select.extend_from_slice(&tokens[1..]);
    select
}

pub(super) fn too_deep() -> Error {
    Error::new(SqlState::STATEMENT_TOO_COMPLEX, "stack depth limit exceeded")
        .hint("Nest expressions and subqueries less deeply.")
}
