//! A path's text into tokens.

use super::Compare;
use crate::error::{Error, Result, SqlState};
use std::{fmt, iter::Peekable, str::Chars};

/// 42601, at a token or at the end; 22P02 for no path at all.
pub(super) fn syntax_error(text: &str, near: Option<&str>) -> Error {
    if text.trim().is_empty() {
        return Error::new(
            SqlState::INVALID_TEXT_REPRESENTATION,
            format!("invalid input syntax for type jsonpath: \"{text}\""),
        );
    }
    let place = near.map_or("end".to_owned(), |near| format!("or near \"{near}\""));
    Error::new(SqlState::SYNTAX_ERROR, format!("syntax error at {place} of jsonpath input"))
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    /// A word without quotes: a key, a keyword, a method.
    Word(String),
    Text(String),
    Variable(String),
    Number(String),
    Compare(Compare),
    /// `$` by itself, and every sign that is a token of its own.
    Sign(char),
    /// `**`
    Descend,
    And,
    Or,
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Word(text) | Self::Text(text) | Self::Number(text) => f.write_str(text),
            Self::Variable(name) => write!(f, "${name}"),
            Self::Compare(compare) => f.write_str(compare.symbol()),
            Self::Sign(sign) => write!(f, "{sign}"),
            Self::Descend => f.write_str("**"),
            Self::And => f.write_str("&&"),
            Self::Or => f.write_str("||"),
        }
    }
}

pub(super) fn tokens(text: &str) -> Result<Vec<Token>> {
    let mut lexer = Lexer { text, rest: text.chars().peekable() };
    let mut all = Vec::new();
    while let Some(token) = lexer.next()? {
        all.push(token);
    }
    Ok(all)
}

struct Lexer<'t> {
    text: &'t str,
    rest: Peekable<Chars<'t>>,
}

impl Lexer<'_> {
    fn fault<T>(&self) -> Result<T> {
        let near = self.rest.clone().next().map(String::from);
        Err(syntax_error(self.text, near.as_deref()))
    }

    fn accept(&mut self, wanted: char) -> bool {
        self.rest.next_if_eq(&wanted).is_some()
    }

    fn next(&mut self) -> Result<Option<Token>> {
        loop {
            while self.rest.next_if(|c| " \t\n\r\u{c}".contains(*c)).is_some() {}
            let mut ahead = self.rest.clone();
            if ahead.next() != Some('/') || ahead.next() != Some('*') {
                break;
            }
            self.rest = ahead;
            self.comment()?;
        }
        let Some(&first) = self.rest.peek() else { return Ok(None) };
        if first.is_ascii_digit() || (first == '.' && self.digit_follows()) {
            return self.number().map(Some);
        }
        if is_word(first) {
            return self.word().map(|word| Some(Token::Word(word)));
        }
        self.rest.next();
        Ok(Some(match first {
            '"' => Token::Text(self.quoted()?),
            '$' => match self.rest.peek() {
                Some('"') => {
                    self.rest.next();
                    Token::Variable(self.quoted()?)
                }
                Some(&next) if is_word(next) => Token::Variable(self.word()?),
                _ => Token::Sign('$'),
            },
            '=' if self.accept('=') => Token::Compare(Compare::Equal),
            '!' if self.accept('=') => Token::Compare(Compare::NotEqual),
            '<' if self.accept('>') => Token::Compare(Compare::NotEqual),
            '<' if self.accept('=') => Token::Compare(Compare::LessOrEqual),
            '<' => Token::Compare(Compare::Less),
            '>' if self.accept('=') => Token::Compare(Compare::GreaterOrEqual),
            '>' => Token::Compare(Compare::Greater),
            '&' if self.accept('&') => Token::And,
            '|' if self.accept('|') => Token::Or,
            '*' if self.accept('*') => Token::Descend,
            '!' | '@' | '.' | '*' | '?' | '(' | ')' | '[' | ']' | '{' | '}' | ',' | '+' | '-'
            | '/' | '%' => Token::Sign(first),
            _ => return self.fault(),
        }))
    }

    fn comment(&mut self) -> Result<()> {
        loop {
            match self.rest.next() {
                Some('*') if self.accept('/') => return Ok(()),
                Some(_) => {}
                None => return self.fault(),
            }
        }
    }

    fn digit_follows(&self) -> bool {
        let mut ahead = self.rest.clone();
        ahead.next();
        ahead.peek().is_some_and(char::is_ascii_digit)
    }

    fn digits(&mut self, out: &mut String) {
        while let Some(digit) = self.rest.next_if(|c| c.is_ascii_digit() || *c == '_') {
            if digit != '_' {
                out.push(digit);
            }
        }
    }

    fn number(&mut self) -> Result<Token> {
        let mut text = String::new();
        self.digits(&mut text);
        // A number does not begin with a zero that says nothing.
        if text.len() > 1 && text.starts_with('0') {
            return self.fault();
        }
        if self.rest.peek() == Some(&'.') && (self.digit_follows() || !self.word_follows()) {
            self.rest.next();
            if text.is_empty() {
                text.push('0');
            }
            let mut fraction = String::new();
            self.digits(&mut fraction);
            if !fraction.is_empty() {
                text.push('.');
                text.push_str(&fraction);
            }
        }
        if self.rest.next_if(|c| matches!(c, 'e' | 'E')).is_some() {
            text.push('e');
            if let Some(sign) = self.rest.next_if(|c| matches!(c, '+' | '-')) {
                text.push(sign);
            }
            let before = text.len();
            self.digits(&mut text);
            if text.len() == before {
                return self.fault();
            }
        }
        // Words do not begin where a number ends.
        if self.rest.peek().is_some_and(|c| is_word(*c)) {
            return self.fault();
        }
        Ok(Token::Number(text))
    }

    fn word_follows(&self) -> bool {
        let mut ahead = self.rest.clone();
        ahead.next();
        ahead.peek().is_some_and(|c| is_word(*c) || *c == '*')
    }

    fn word(&mut self) -> Result<String> {
        let mut word = String::new();
        while let Some(next) = self.rest.next_if(|c| is_word(*c)) {
            word.push(if next == '\\' { self.escaped()? } else { next });
        }
        Ok(word)
    }

    fn quoted(&mut self) -> Result<String> {
        let mut text = String::new();
        loop {
            match self.rest.next() {
                Some('"') => return Ok(text),
                Some('\\') => text.push(self.escaped()?),
                Some(next) => text.push(next),
                None => return self.fault(),
            }
        }
    }

    /// What stands behind a backslash, as in JavaScript.
    fn escaped(&mut self) -> Result<char> {
        let Some(next) = self.rest.next() else { return self.fault() };
        Ok(match next {
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\u{b}',
            'x' => return self.code(2),
            'u' if self.accept('{') => {
                let mut code = 0;
                while let Some(digit) = self.rest.next_if(char::is_ascii_hexdigit) {
                    code = (code << 4 | digit.to_digit(16).unwrap_or(0)).min(0x11_0000);
                }
                match char::from_u32(code) {
                    Some(found) if code > 0 && self.accept('}') => found,
                    _ => return self.fault(),
                }
            }
            'u' => {
                let first = self.hex(4)?;
                // Two halves of a pair make one sign.
                if !(0xd800..0xdc00).contains(&first) {
                    return char::from_u32(first).filter(|_| first > 0).map_or(self.fault(), Ok);
                }
                if !self.accept('\\') || !self.accept('u') {
                    return self.fault();
                }
                let second = self.hex(4)?;
                let low = second.checked_sub(0xdc00).filter(|low| *low < 0x400);
                let code = low.map(|low| 0x1_0000 + ((first - 0xd800) << 10) + low);
                return code.and_then(char::from_u32).map_or(self.fault(), Ok);
            }
            other => other,
        })
    }

    fn hex(&mut self, digits: u32) -> Result<u32> {
        let mut code = 0;
        for _ in 0..digits {
            let digit = self.rest.next().and_then(|c| c.to_digit(16));
            let Some(digit) = digit else { return self.fault() };
            code = code << 4 | digit;
        }
        Ok(code)
    }

    fn code(&mut self, digits: u32) -> Result<char> {
        let code = self.hex(digits)?;
        char::from_u32(code).filter(|_| code > 0).map_or(self.fault(), Ok)
    }
}

fn is_word(c: char) -> bool {
    !c.is_ascii() || c.is_ascii_alphanumeric() || c == '_' || c == '\\'
}
