//! Reads tokens one by one, for the statements that are parsed here.

use super::{
    named::{Name, TypeName, type_name},
    tokens::{NESTING_MAX, Source, fold, is},
};
use crate::{
    catalog::no_type,
    error::{Error, Result, SqlState},
    pgtype::PgType,
};
use datafusion::sql::sqlparser::{
    ast,
    dialect::{Dialect as _, PostgreSqlDialect, Precedence},
    parser::{Parser, ParserError},
    tokenizer::{Location, Span, Token, TokenWithSpan},
};

/// Walks over a statement's tokens.
#[derive(Debug, Clone)]
pub(crate) struct Cursor<'a> {
    source: &'a Source,
    tokens: &'a [TokenWithSpan],
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(source: &'a Source, tokens: &'a [TokenWithSpan]) -> Self {
        Self { source, tokens, at: 0 }
    }

    pub(crate) fn peek(&self) -> Option<&'a TokenWithSpan> {
        self.tokens.get(self.at)
    }

    pub(crate) fn is_done(&self) -> bool {
        self.at >= self.tokens.len()
    }

    /// Where the next token starts.
    pub(crate) fn location(&self) -> Location {
        match self.peek() {
            Some(token) => token.span.start,
            None => self.tokens.last().map_or(Location::new(1, 1), |last| last.span.end),
        }
    }

    pub(crate) fn position(&self) -> usize {
        self.source.position(self.location()).unwrap_or(0)
    }

    pub(crate) fn source(&self) -> &'a Source {
        self.source
    }

    pub(crate) fn unexpected(&self) -> Error {
        self.source.unexpected(self.peek())
    }

    /// Says where the next token is.
    pub(crate) fn here(&self, error: Error) -> Error {
        self.source.at(error, self.location())
    }

    pub(crate) fn unsupported(&self, what: &str) -> Error {
        self.here(Error::unsupported(format!("{what} is not supported")))
    }

    /// Nothing may be left.
    pub(crate) fn finish(&self) -> Result<()> {
        if self.is_done() { Ok(()) } else { Err(self.unexpected()) }
    }

    /// Whether the next words are these; they are not consumed.
    pub(crate) fn sees(&self, keywords: &str) -> bool {
        keywords.split(' ').enumerate().all(|(n, keyword)| {
            matches!(self.tokens.get(self.at + n), Some(TokenWithSpan { token: Token::Word(word), .. })
                if is(word, keyword))
        })
    }

    /// Consumes these words if they come next.
    pub(crate) fn accept(&mut self, keywords: &str) -> bool {
        let found = self.sees(keywords);
        if found {
            self.at += keywords.split(' ').count();
        }
        found
    }

    pub(crate) fn expect(&mut self, keywords: &str) -> Result<()> {
        for keyword in keywords.split(' ') {
            if !self.accept(keyword) {
                return Err(self.unexpected());
            }
        }
        Ok(())
    }

    /// The first of these words that comes next.
    pub(crate) fn accept_one(&mut self, keywords: &[&'static str]) -> Option<&'static str> {
        keywords.iter().find(|keyword| self.accept(keyword)).copied()
    }

    pub(crate) fn sees_token(&self, token: &Token) -> bool {
        self.peek().is_some_and(|next| next.token == *token)
    }

    pub(crate) fn accept_token(&mut self, token: &Token) -> bool {
        let found = self.sees_token(token);
        self.at += usize::from(found);
        found
    }

    pub(crate) fn expect_token(&mut self, token: &Token) -> Result<()> {
        if self.accept_token(token) { Ok(()) } else { Err(self.unexpected()) }
    }

    /// `IF EXISTS`, `IF NOT EXISTS`.
    pub(crate) fn if_exists(&mut self) -> bool {
        self.accept("IF EXISTS")
    }

    pub(crate) fn if_not_exists(&mut self) -> bool {
        self.accept("IF NOT EXISTS")
    }

    /// The word that comes next, in upper case, if it is a bare one.
    pub(crate) fn word(&self) -> Option<String> {
        match self.peek().map(|token| &token.token) {
            Some(Token::Word(word)) if word.quote_style.is_none() => {
                Some(word.value.to_ascii_uppercase())
            }
            _ => None,
        }
    }

    pub(crate) fn skip(&mut self) {
        self.at += 1;
    }

    pub(crate) fn identifier(&mut self) -> Result<String> {
        match self.peek().map(|token| &token.token) {
            Some(Token::Word(word)) => {
                self.at += 1;
                Ok(fold(&word.clone().into_ident(Span::empty())))
            }
            _ => Err(self.unexpected()),
        }
    }

    /// `name`, `schema.name`, `database.schema.name`.
    pub(crate) fn name(&mut self) -> Result<Name> {
        let position = self.position();
        let mut parts = vec![self.identifier()?];
        while self.accept_token(&Token::Period) {
            parts.push(self.identifier()?);
        }
        if parts.len() > 3 {
            return Err(Error::new(
                SqlState::SYNTAX_ERROR,
                "improper qualified name (too many dotted names)",
            )
            .at(position));
        }
        let name = parts.pop().unwrap_or_default();
        Ok(Name { schema: parts.pop(), name, position })
    }

    /// One or more, with commas between.
    pub(crate) fn list<T>(
        &mut self,
        mut one: impl FnMut(&mut Self) -> Result<T>,
    ) -> Result<Vec<T>> {
        let mut all = vec![one(self)?];
        while self.accept_token(&Token::Comma) {
            all.push(one(self)?);
        }
        Ok(all)
    }

    /// The same in parentheses.
    pub(crate) fn parenthesised<T>(
        &mut self,
        one: impl FnMut(&mut Self) -> Result<T>,
    ) -> Result<Vec<T>> {
        self.expect_token(&Token::LParen)?;
        let all = self.list(one)?;
        self.expect_token(&Token::RParen)?;
        Ok(all)
    }

    pub(crate) fn identifiers(&mut self) -> Result<Vec<String>> {
        self.parenthesised(Self::identifier)
    }

    pub(crate) fn string(&mut self) -> Result<String> {
        let text = match self.peek().map(|token| &token.token) {
            Some(Token::SingleQuotedString(text) | Token::EscapedStringLiteral(text)) => {
                text.clone()
            }
            Some(Token::DollarQuotedString(text)) => text.value.clone(),
            _ => return Err(self.unexpected()),
        };
        self.at += 1;
        Ok(text)
    }

    pub(crate) fn integer(&mut self) -> Result<i64> {
        let start = self.at;
        let negative = self.accept_token(&Token::Minus);
        if !negative {
            self.accept_token(&Token::Plus);
        }
        match self.peek().map(|token| &token.token) {
            Some(Token::Number(digits, _)) => {
                let text = if negative { format!("-{digits}") } else { digits.clone() };
                let value = text.replace('_', "").parse().map_err(|_| self.unexpected())?;
                self.at += 1;
                Ok(value)
            }
            _ => {
                self.at = start;
                Err(self.unexpected())
            }
        }
    }

    pub(crate) fn boolean(&mut self) -> Option<bool> {
        let value = match self.peek().map(|token| &token.token) {
            Some(Token::Word(word)) => word.value.to_ascii_lowercase(),
            Some(Token::SingleQuotedString(text)) => text.to_ascii_lowercase(),
            Some(Token::Number(digits, _)) => digits.clone(),
            _ => return None,
        };
        let value = match value.as_str() {
            "true" | "on" | "1" | "yes" => true,
            "false" | "off" | "0" | "no" => false,
            _ => return None,
        };
        self.at += 1;
        Some(value)
    }

    /// A setting's or an option's value: a word, a string or a number, as text.
    pub(crate) fn value(&mut self) -> Result<String> {
        match self.peek().map(|token| &token.token) {
            Some(Token::Word(word)) => {
                let text = fold(&word.clone().into_ident(Span::empty()));
                self.at += 1;
                Ok(text)
            }
            Some(Token::Number(..) | Token::Minus | Token::Plus) => {
                let negative = self.accept_token(&Token::Minus);
                if !negative {
                    self.accept_token(&Token::Plus);
                }
                let Some(Token::Number(digits, _)) = self.peek().map(|token| &token.token) else {
                    return Err(self.unexpected());
                };
                self.at += 1;
                Ok(format!("{}{digits}", if negative { "-" } else { "" }))
            }
            _ => self.string(),
        }
    }

    /// `(name = value, name, …)`: options of tables, indexes, roles.
    pub(crate) fn options(&mut self) -> Result<Vec<(String, String)>> {
        self.parenthesised(|cursor| {
            let mut name = cursor.identifier()?;
            while cursor.accept_token(&Token::Period) {
                name = format!("{name}.{}", cursor.identifier()?);
            }
            let value =
                if cursor.accept_token(&Token::Eq) { cursor.value()? } else { "true".to_owned() };
            Ok((name, value))
        })
    }

    /// Runs one of sqlparser's productions from here on. Gives what it made and its text.
    pub(crate) fn parse<T>(
        &mut self,
        production: impl FnOnce(&mut Parser<'_>) -> Result<T, ParserError>,
    ) -> Result<(T, String)> {
        let start = self.location();
        let rest = &self.tokens[self.at..];
        let mut parser = Parser::new(&PostgreSqlDialect {})
            .with_recursion_limit(NESTING_MAX)
            .with_tokens_with_locations(self.source.spoken(rest)?);
        let made = production(&mut parser).map_err(|error| self.source.syntax(&error, rest))?;
        let next = parser.peek_token();
        self.at = match next.token {
            Token::EOF => self.tokens.len(),
            _ => {
                let here = rest.iter().position(|token| token.span.start >= next.span.start);
                self.at + here.unwrap_or(rest.len())
            }
        };
        let end = match self.at {
            0 => start,
            at => self.tokens[at - 1].span.end,
        };
        Ok((made, self.source.slice(start, end).to_owned()))
    }

    pub(crate) fn expression(&mut self) -> Result<(ast::Expr, String)> {
        self.parse(|parser| parser.parse_expr())
    }

    /// An expression that ends before NOT, IS, AND and OR.
    pub(crate) fn operand(&mut self) -> Result<(ast::Expr, String)> {
        let is = PostgreSqlDialect {}.prec_value(Precedence::Is);
        self.parse(|parser| parser.parse_subexpr(is))
    }

    /// An expression of a constraint or a predicate, in parentheses; its text without them.
    pub(crate) fn expression_in_parentheses(&mut self) -> Result<String> {
        self.expect_token(&Token::LParen)?;
        let (_, text) = self.expression()?;
        self.expect_token(&Token::RParen)?;
        Ok(text)
    }

    pub(crate) fn query(&mut self) -> Result<(Box<ast::Query>, String)> {
        self.parse(|parser| parser.parse_query())
    }

    /// A type's name.
    pub(crate) fn type_name(&mut self) -> Result<TypeName> {
        let (location, at) = (self.location(), self.position());
        let (parsed, _) = self.parse(|parser| parser.parse_data_type())?;
        let mut kind = type_name(&parsed).map_err(|error| self.source.at(error, location))?;
        // `int ARRAY`, which sqlparser leaves.
        if self.accept("ARRAY") {
            kind = kind.array();
        }
        if let TypeName::Named { name, .. } = &mut kind {
            name.position = at;
        }
        Ok(kind)
    }

    /// The name of a type that needs no looking up.
    pub(crate) fn known_type(&mut self) -> Result<PgType> {
        let place = self.clone();
        match self.type_name()? {
            TypeName::Known(kind) => Ok(kind),
            TypeName::Named { name, .. } => Err(place.here(no_type(&name.to_string()))),
        }
    }

    /// The tokens that are left, and none any more.
    pub(crate) fn rest(&mut self) -> &'a [TokenWithSpan] {
        let rest = &self.tokens[self.at.min(self.tokens.len())..];
        self.at = self.tokens.len();
        rest
    }

    /// The tokens between here's parenthesis and its partner.
    pub(crate) fn group(&mut self) -> Result<&'a [TokenWithSpan]> {
        self.expect_token(&Token::LParen)?;
        let start = self.at;
        let mut depth = 1;
        while let Some(token) = self.peek() {
            match token.token {
                Token::LParen => depth += 1,
                Token::RParen => depth -= 1,
                _ => {}
            }
            self.at += 1;
            if depth == 0 {
                return Ok(&self.tokens[start..self.at - 1]);
            }
        }
        Err(self.unexpected())
    }
}
