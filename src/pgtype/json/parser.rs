//! Reads JSON by recursive descent, with PostgreSQL's words for what is wrong.

use super::{Key, Value, number};
use crate::error::{Error, Result, SqlState};
use std::collections::BTreeMap;

/// How deep arrays and objects may stand in each other: what a thread's stack can bear.
const DEPTH_MAX: usize = 1000;

/// A piece of the text as the grammar sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    End,
    Mark(u8),
    Text,
    Number,
    True,
    False,
    Null,
}

/// Reads by recursive descent; `at` stands behind the last token.
pub(super) struct Parser<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
    build: bool,
    /// Whether a key came twice in an object that was built.
    repeats: bool,
}

/// What a text is read for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// To know whether it is JSON.
    Check,
    /// To know what it says.
    Build,
}

impl<'a> Parser<'a> {
    pub(super) fn new(text: &'a str, purpose: Purpose) -> Self {
        Self { text, at: 0, depth: 0, build: purpose == Purpose::Build, repeats: false }
    }

    pub(super) fn document(mut self) -> Result<Value> {
        self.whole()
    }

    /// Whether no object of the document has a key twice.
    pub(super) fn has_unique_keys(mut self) -> Result<bool> {
        self.whole()?;
        Ok(!self.repeats)
    }

    fn whole(&mut self) -> Result<Value> {
        let (token, start) = self.next()?;
        let value = self.value(token, start)?;
        match self.next()? {
            (Token::End, _) => Ok(value),
            (_, start) => Err(self.unexpected(start, "Expected end of input, but found")),
        }
    }

    fn value(&mut self, token: Token, start: usize) -> Result<Value> {
        Ok(match token {
            Token::Mark(b'{') => self.nested(Self::object)?,
            Token::Mark(b'[') => self.nested(Self::array)?,
            Token::Text => Value::Text(self.string(start)),
            Token::Number if self.build => Value::Number(number(&self.text[start..self.at])?),
            Token::True => Value::Bool(true),
            Token::False => Value::Bool(false),
            Token::Null | Token::Number => Value::Null,
            Token::End | Token::Mark(_) => {
                return Err(self.unexpected(start, "Expected JSON value, but found"));
            }
        })
    }

    fn nested(&mut self, read: fn(&mut Self) -> Result<Value>) -> Result<Value> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(Error::new(SqlState::STATEMENT_TOO_COMPLEX, "stack depth limit exceeded")
                .hint(format!("JSON may be nested at most {DEPTH_MAX} levels deep.")));
        }
        let value = read(self)?;
        self.depth -= 1;
        Ok(value)
    }

    fn array(&mut self) -> Result<Value> {
        let mut items = Vec::new();
        let (mut token, mut start) = self.next()?;
        if token == Token::Mark(b']') {
            return Ok(Value::Array(items));
        }
        loop {
            let item = self.value(token, start)?;
            if self.build {
                items.push(item);
            }
            match self.next()? {
                (Token::Mark(b','), _) => (token, start) = self.next()?,
                (Token::Mark(b']'), _) => return Ok(Value::Array(items)),
                (_, start) => {
                    return Err(self.unexpected(start, "Expected \",\" or \"]\", but found"));
                }
            }
        }
    }

    fn object(&mut self) -> Result<Value> {
        let mut fields = BTreeMap::new();
        let (mut token, mut start) = self.next()?;
        if token == Token::Mark(b'}') {
            return Ok(Value::Object(fields));
        }
        let mut wanted = "Expected string or \"}\", but found";
        loop {
            if token != Token::Text {
                return Err(self.unexpected(start, wanted));
            }
            let text = self.string(start);
            match self.next()? {
                (Token::Mark(b':'), _) => {}
                (_, start) => return Err(self.unexpected(start, "Expected \":\", but found")),
            }
            let (next, at) = self.next()?;
            let value = self.value(next, at)?;
            if self.build {
                let key = Key { bytes: text.len(), text };
                self.repeats |= fields.insert(key, value).is_some();
            }
            match self.next()? {
                (Token::Mark(b','), _) => (token, start) = self.next()?,
                (Token::Mark(b'}'), _) => return Ok(Value::Object(fields)),
                (_, start) => {
                    return Err(self.unexpected(start, "Expected \",\" or \"}\", but found"));
                }
            }
            wanted = "Expected string, but found";
        }
    }

    /// The next token and where it begins.
    fn next(&mut self) -> Result<(Token, usize)> {
        let bytes = self.text.as_bytes();
        while bytes.get(self.at).is_some_and(|byte| b" \t\n\r".contains(byte)) {
            self.at += 1;
        }
        let start = self.at;
        let Some(&byte) = bytes.get(start) else { return Ok((Token::End, start)) };
        let token = match byte {
            b'{' | b'}' | b'[' | b']' | b',' | b':' => {
                self.at += 1;
                Token::Mark(byte)
            }
            b'"' => {
                self.scan_string(start)?;
                Token::Text
            }
            b'-' | b'0'..=b'9' => {
                self.scan_number(start)?;
                Token::Number
            }
            _ => {
                self.at = self.word_end(start);
                match &self.text[start..self.at] {
                    "true" => Token::True,
                    "false" => Token::False,
                    "null" => Token::Null,
                    word => {
                        if word.is_empty() {
                            self.at += self.text[start..].chars().next().map_or(1, char::len_utf8);
                        }
                        return Err(self.invalid_token(start));
                    }
                }
            }
        };
        Ok((token, start))
    }

    /// Where the run of letters, digits and bytes above 127 ends.
    fn word_end(&self, start: usize) -> usize {
        let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_' || *byte >= 128;
        start + self.text.as_bytes()[start..].iter().take_while(|byte| is_word(byte)).count()
    }

    fn scan_number(&mut self, start: usize) -> Result<()> {
        let bytes = self.text.as_bytes();
        let digits = |from: usize| {
            bytes
                .get(from..)
                .map_or(0, |rest| rest.iter().take_while(|b| b.is_ascii_digit()).count())
        };
        let mut at = start + usize::from(bytes[start] == b'-');
        let mut valid = true;
        match bytes.get(at) {
            Some(b'0') => at += 1,
            Some(b'1'..=b'9') => at += digits(at),
            _ => valid = false,
        }
        if bytes.get(at) == Some(&b'.') {
            at += 1;
            valid &= digits(at) > 0;
            at += digits(at);
        }
        if let Some(b'e' | b'E') = bytes.get(at) {
            at += 1;
            at += usize::from(matches!(bytes.get(at), Some(b'-' | b'+')));
            valid &= digits(at) > 0;
            at += digits(at);
        }
        self.at = self.word_end(at);
        if valid && self.at == at { Ok(()) } else { Err(self.invalid_token(start)) }
    }

    fn scan_string(&mut self, start: usize) -> Result<()> {
        let bytes = self.text.as_bytes();
        let mut at = start + 1;
        // Whether the last character is the first half of a pair.
        let mut half = false;
        loop {
            let byte = bytes.get(at).copied();
            if self.build && half && byte.is_some_and(|byte| byte != b'\\') {
                self.at = if byte == Some(b'"') { at + 1 } else { self.behind(at) };
                return Err(self.fault(LOW_ALONE));
            }
            match byte {
                Some(b'"') => break,
                Some(b'\\') => at = self.scan_escape(start, at + 1, &mut half)?,
                Some(byte @ 0..0x20) => {
                    self.at = at;
                    return Err(
                        self.fault(format!("Character with value 0x{byte:02x} must be escaped."))
                    );
                }
                Some(_) => at += 1,
                None => {
                    self.at = at;
                    return Err(self.invalid_token(start));
                }
            }
        }
        self.at = at + 1;
        Ok(())
    }

    /// Checks what stands behind a backslash, and tells where it ends.
    fn scan_escape(&mut self, start: usize, at: usize, half: &mut bool) -> Result<usize> {
        let bytes = self.text.as_bytes();
        match bytes.get(at) {
            None => {
                self.at = at;
                Err(self.invalid_token(start))
            }
            Some(b'u') => {
                let is_hex = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_hexdigit);
                if let Some(bad) = (at + 1..at + 5).find(|&at| !is_hex(at)) {
                    if bad >= bytes.len() {
                        self.at = bad;
                        return Err(self.invalid_token(start));
                    }
                    self.at = self.behind(bad);
                    let message = "\"\\u\" must be followed by four hexadecimal digits.";
                    return Err(self.fault(message));
                }
                if self.build {
                    self.at = at + 5;
                    *half = self.check_code(code(&self.text[at + 1..at + 5]), *half)?;
                }
                Ok(at + 5)
            }
            Some(_) if self.build && *half => {
                self.at = self.behind(at);
                Err(self.fault(LOW_ALONE))
            }
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(at + 1),
            Some(_) => {
                self.at = self.behind(at);
                let sequence = &self.text[at..self.at];
                Err(self.fault(format!("Escape sequence \"\\{sequence}\" is invalid.")))
            }
        }
    }

    /// Checks that surrogates come in pairs, and that text can hold the character; tells whether
    /// it is the first half of a pair.
    fn check_code(&self, code: u32, half: bool) -> Result<bool> {
        match (half, code) {
            (false, 0xD800..=0xDBFF) => Ok(true),
            (true, 0xD800..=0xDBFF) => Err(self.fault(HIGH_AFTER_HIGH)),
            (true, 0xDC00..=0xDFFF) => Ok(false),
            (false, 0xDC00..=0xDFFF) | (true, _) => Err(self.fault(LOW_ALONE)),
            (false, 0) => Err(Error::new(
                SqlState::UNTRANSLATABLE_CHARACTER,
                "unsupported Unicode escape sequence",
            )
            .detail("\\u0000 cannot be converted to text.")
            .context(self.line(self.at))),
            (false, _) => Ok(false),
        }
    }

    /// The end of the character that begins at `at`.
    fn behind(&self, at: usize) -> usize {
        at + self.text[at..].chars().next().map_or(0, char::len_utf8)
    }

    /// The text that a string literal stands for, which has been checked; nothing where only
    /// validity is asked.
    fn string(&self, start: usize) -> String {
        if !self.build {
            return String::new();
        }
        let mut rest = &self.text[start + 1..self.at - 1];
        let mut out = String::with_capacity(rest.len());
        let mut high = 0;
        while let Some((plain, escaped)) = rest.split_once('\\') {
            out.push_str(plain);
            let (mark, tail) = escaped.split_at(1);
            rest = tail;
            out.push(match mark {
                "b" => '\u{8}',
                "f" => '\u{c}',
                "n" => '\n',
                "r" => '\r',
                "t" => '\t',
                "u" => {
                    let (digits, tail) = tail.split_at(4);
                    rest = tail;
                    let code = match code(digits) {
                        half @ 0xD800..=0xDBFF => {
                            high = half;
                            continue;
                        }
                        low @ 0xDC00..=0xDFFF => 0x10000 + ((high & 0x3FF) << 10) + (low & 0x3FF),
                        code => code,
                    };
                    char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER)
                }
                other => {
                    out.push_str(other);
                    continue;
                }
            });
        }
        out.push_str(rest);
        out
    }

    fn fault(&self, detail: impl Into<String>) -> Error {
        invalid().detail(detail).context(self.line(self.at))
    }

    fn invalid_token(&self, start: usize) -> Error {
        self.fault(format!("Token \"{}\" is invalid.", &self.text[start..self.at]))
    }

    fn unexpected(&self, start: usize, wanted: &str) -> Error {
        let token = &self.text[start..self.at];
        if token.is_empty() {
            self.fault("The input string ended unexpectedly.")
        } else {
            self.fault(format!("{wanted} \"{token}\"."))
        }
    }

    /// The line of the fault up to it, as PostgreSQL shows it: at most some fifty bytes.
    fn line(&self, at: usize) -> String {
        let before = &self.text[..at];
        let number = before.matches('\n').count() + 1;
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let mut start = line_start;
        while at - start >= 50 {
            start = self.behind(start);
        }
        // Dots would take as much room as what they stand for.
        if start - line_start <= 3 {
            start = line_start;
        }
        let prefix = if start > line_start { "..." } else { "" };
        let ends = matches!(self.text.as_bytes().get(at), None | Some(b'\n' | b'\r'));
        let suffix = if ends { "" } else { "..." };
        format!("JSON data, line {number}: {prefix}{}{suffix}", &self.text[start..at])
    }
}

const HIGH_AFTER_HIGH: &str = "Unicode high surrogate must not follow a high surrogate.";
const LOW_ALONE: &str = "Unicode low surrogate must follow a high surrogate.";

/// The number that four hex digits stand for.
fn code(digits: &str) -> u32 {
    u32::from_str_radix(digits, 16).unwrap_or(0)
}

fn invalid() -> Error {
    Error::new(SqlState::INVALID_TEXT_REPRESENTATION, "invalid input syntax for type json")
}
