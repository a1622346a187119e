//! A statement's form: its text without its constants, by which statistics know statements that
//! differ in nothing else.
//!
//! ```text
//!   select  name from items where id = 7 and note = 'x'
//!   select name from items where id = $1 and note = $2
//! ```
//!
//! Secrets are constants too (`PASSWORD 'x'`), so that a form may be kept and shown. A list of
//! constants behind IN, `ARRAY[` or VALUES counts as one constant, however long it is: loading rows
//! by INSERT is one form and not one for each number of rows.

use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};
use std::{
    fmt::Write as _,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::Arc,
};

/// A longer form is cut, and what is beyond counts for nothing.
const FORM_BYTES_MAX: usize = 2048;
/// What stands for the rest of a list.
const AND_SO_ON: &str = " /*, ... */";

/// What statements have in common that differ in their constants alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Form {
    /// Equal forms have equal ones, also after a restart.
    pub id: i64,
    /// The text.
    pub text: Arc<str>,
}

impl Form {
    /// The form of a statement's tokens.
    pub(super) fn of(tokens: &[TokenWithSpan]) -> Self {
        let mut writer = Writer::new(tokens);
        let mut at = 0;
        while at < tokens.len() && writer.text.len() < FORM_BYTES_MAX {
            at = writer.take(tokens, at);
        }
        let Writer { mut text, hasher, .. } = writer;
        if at < tokens.len() || text.len() > FORM_BYTES_MAX {
            text.truncate(text.floor_char_boundary(FORM_BYTES_MAX));
            text.push('…');
        }
        Self { id: hasher.finish().cast_signed(), text: text.into() }
    }
}

struct Writer {
    text: String,
    hasher: DefaultHasher,
    /// The number of the next constant: behind those that the statement has itself.
    next: usize,
    is_glued: bool,
}

impl Writer {
    fn new(tokens: &[TokenWithSpan]) -> Self {
        let own = tokens.iter().filter_map(|token| match &token.token {
            Token::Placeholder(name) => name.strip_prefix('$')?.parse::<usize>().ok(),
            _ => None,
        });
        let next = own.max().unwrap_or(0) + 1;
        Self { text: String::new(), hasher: DefaultHasher::new(), next, is_glued: true }
    }

    /// Writes the token at a place, or the list that begins there; the place behind it.
    fn take(&mut self, tokens: &[TokenWithSpan], at: usize) -> usize {
        let token = &tokens[at].token;
        if is_constant(token) {
            self.constant();
            return at + 1;
        }
        self.token(token);
        if is_word(token, "VALUES") {
            return self.rows(tokens, at + 1);
        }
        let opens_list = match token {
            Token::LParen => at > 0 && is_word(&tokens[at - 1].token, "IN"),
            Token::LBracket => at > 0 && is_word(&tokens[at - 1].token, "ARRAY"),
            _ => false,
        };
        if !opens_list {
            return at + 1;
        }
        let end = constants(tokens, at + 1);
        let closes = tokens.get(end).map(|token| &token.token);
        if end > at + 2 && matches!(closes, Some(Token::RParen | Token::RBracket)) {
            self.constant();
            self.and_so_on();
            return end;
        }
        at + 1
    }

    /// The rows of VALUES: the first, which stands for all; the place behind them.
    fn rows(&mut self, tokens: &[TokenWithSpan], mut at: usize) -> usize {
        let Some(end) = row(tokens, at) else { return at };
        while at < end && self.text.len() < FORM_BYTES_MAX {
            at = self.take(tokens, at);
        }
        let mut last = end;
        while matches!(tokens.get(last), Some(token) if token.token == Token::Comma)
            && let Some(next) = row(tokens, last + 1)
        {
            last = next;
        }
        if last > end {
            self.and_so_on();
        }
        last
    }

    fn constant(&mut self) {
        "$".hash(&mut self.hasher);
        self.space(false);
        let number = self.next;
        self.next += 1;
        let _ = write!(self.text, "${number}");
        self.is_glued = false;
    }

    fn and_so_on(&mut self) {
        self.text.push_str(AND_SO_ON);
    }

    fn token(&mut self, token: &Token) {
        use Token::{Colon, Comma, DoubleColon, LBracket, LParen, Period, RBracket, RParen, Word};
        match token {
            Word(word) if word.quote_style.is_none() => {
                word.value.to_lowercase().hash(&mut self.hasher);
            }
            other => other.hash(&mut self.hasher),
        }
        // `count(*)` is one word with its arguments, `IN (…)` two.
        let opens = matches!(token, LParen) && self.ends_in_name();
        let clings = opens
            || matches!(token, RParen | RBracket | LBracket | Comma | Period | DoubleColon | Colon);
        self.space(clings);
        let _ = write!(self.text, "{token}");
        self.is_glued = matches!(token, LParen | LBracket | Period | DoubleColon | Colon);
    }

    fn space(&mut self, clings: bool) {
        if !self.is_glued && !clings {
            self.text.push(' ');
        }
    }

    /// Whether what was written last is the name of a function.
    fn ends_in_name(&self) -> bool {
        const WORDS: [&str; 14] = [
            "in", "values", "and", "or", "not", "as", "from", "where", "on", "by", "select", "any",
            "all", "exists",
        ];
        let last = self.text.rsplit([' ', '(', ',']).next().unwrap_or_default();
        let is_name = last.chars().all(|char| char.is_alphanumeric() || "_.\"".contains(char));
        is_name && !last.is_empty() && !WORDS.contains(&last.to_lowercase().as_str())
    }
}

/// The place behind the constants with commas between them that begin at a place.
fn constants(tokens: &[TokenWithSpan], mut at: usize) -> usize {
    while tokens.get(at).is_some_and(|token| is_constant(&token.token)) {
        at += 1;
        match tokens.get(at) {
            Some(comma) if comma.token == Token::Comma => at += 1,
            _ => break,
        }
    }
    at
}

/// The place behind the parenthesis that opens at a place.
fn row(tokens: &[TokenWithSpan], at: usize) -> Option<usize> {
    if tokens.get(at)?.token != Token::LParen {
        return None;
    }
    let mut depth = 0_usize;
    for (place, token) in tokens.iter().enumerate().skip(at) {
        match token.token {
            Token::LParen => depth += 1,
            Token::RParen => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(place + 1);
        }
    }
    None
}

fn is_word(token: &Token, word: &str) -> bool {
    matches!(token, Token::Word(this) if this.quote_style.is_none()
        && this.value.eq_ignore_ascii_case(word))
}

fn is_constant(token: &Token) -> bool {
    matches!(
        token,
        Token::Number(..)
            | Token::SingleQuotedString(_)
            | Token::EscapedStringLiteral(_)
            | Token::DollarQuotedString(_)
            | Token::NationalStringLiteral(_)
            | Token::UnicodeStringLiteral(_)
            | Token::HexStringLiteral(_)
            | Token::SingleQuotedByteStringLiteral(_)
    )
}

#[cfg(test)]
mod tests {
    use crate::sql::parse;

    fn form(text: &str) -> String {
        parse(text).unwrap()[0].form().text.to_string()
    }

    #[test]
    fn constants_are_numbered_behind_parameters() {
        assert_eq!(
            form("select  name FROM items -- which\n where id = 7 and note = 'x' limit $1"),
            "select name FROM items where id = $2 and note = $3 limit $1"
        );
        assert_eq!(
            form("SELECT count(*), a.b::text FROM a ORDER BY v <-> '[1,2]' LIMIT 5"),
            "SELECT count(*), a.b::text FROM a ORDER BY v <-> $1 LIMIT $2"
        );
        assert_eq!(form("ALTER ROLE r PASSWORD 'secret'"), "ALTER ROLE r PASSWORD $1");
    }

    #[test]
    fn lists_count_as_one_constant() {
        assert_eq!(form("SELECT 1 WHERE x IN (1, 2, 3)"), "SELECT $1 WHERE x IN ($2 /*, ... */)");
        assert_eq!(form("SELECT 1 WHERE x IN (1)"), "SELECT $1 WHERE x IN ($2)");
        assert_eq!(
            form("INSERT INTO t VALUES (1, 'a', now()), (2, 'b', now()), (3, 'c', now())"),
            "INSERT INTO t VALUES ($1, $2, now()) /*, ... */"
        );
    }

    #[test]
    fn case_and_space_make_no_difference_and_names_do() {
        let id = |text: &str| parse(text).unwrap()[0].form().id;
        assert_eq!(id("SELECT a FROM t WHERE b = 1"), id("select  A from T where B = 2"));
        assert_ne!(id("SELECT a FROM t"), id("SELECT \"A\" FROM t"));
        assert_ne!(id("SELECT a FROM t"), id("SELECT a FROM u"));
        assert_eq!(id("SELECT 1 WHERE 1 IN (1, 2)"), id("SELECT 1 WHERE 1 IN (1, 2, 3)"));
    }

    #[test]
    fn a_long_form_is_cut() {
        let long = format!("SELECT {} FROM t", vec!["a"; 5000].join(", "));
        let form = form(&long);
        assert!(form.len() < 2100 && form.ends_with('…'), "{}", form.len());
    }
}
