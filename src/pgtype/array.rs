//! The text of arrays: `{1,NULL,"a b"}`, with bounds in front perhaps: `[0:1]={1,2}`.
//!
//! Arrow's lists have one dimension and count from 1. Lower bounds are read and dropped; arrays
//! of more dimensions are refused.

use super::faults::is_space;
use crate::error::{Error, Result, SqlState};
use std::borrow::Cow;

/// Reads an array's text and hands on its elements, one after the other; `None` stands for NULL.
pub(super) fn read(text: &str, mut take: impl FnMut(Option<&str>) -> Result<()>) -> Result<()> {
    let mut reader = Reader { text, at: 0 };
    reader.skip();
    let bound = reader.bounds()?;
    if reader.peek() != Some(b'{') {
        return Err(reader.malformed(if bound.is_some() {
            "Array contents must start with \"{\"."
        } else {
            "Array value must start with \"{\" or dimension information."
        }));
    }
    let length = reader.list(&mut take)?;
    if bound.is_some_and(|bound| bound != length) {
        return Err(reader.malformed("Specified array dimensions do not match array contents."));
    }
    reader.skip();
    if reader.peek().is_some() {
        return Err(reader.malformed("Junk after closing right brace."));
    }
    Ok(())
}

/// 0A000: more than one dimension.
pub(super) fn too_deep() -> Error {
    Error::unsupported("arrays of more than one dimension are not supported")
        .hint("Store one array per row, or use jsonb.")
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip(&mut self) {
        while self.peek().is_some_and(is_space) {
            self.at += 1;
        }
    }

    fn malformed(&self, detail: &str) -> Error {
        Error::new(
            SqlState::INVALID_TEXT_REPRESENTATION,
            format!("malformed array literal: \"{}\"", self.text),
        )
        .detail(detail)
    }

    fn ended(&self) -> Error {
        self.malformed("Unexpected end of input.")
    }

    /// `[2:4]=`: how many elements follow; `None` where there are no bounds.
    fn bounds(&mut self) -> Result<Option<usize>> {
        if self.peek() != Some(b'[') {
            return Ok(None);
        }
        self.at += 1;
        let first = self.bound()?.ok_or_else(|| {
            self.malformed("\"[\" must introduce explicitly-specified array dimensions.")
        })?;
        let (lower, upper) = if self.peek() == Some(b':') {
            self.at += 1;
            let upper =
                self.bound()?.ok_or_else(|| self.malformed("Missing array dimension value."))?;
            (first, upper)
        } else {
            (1, first)
        };
        if self.peek() != Some(b']') {
            return Err(self.malformed("Missing \"]\" after array dimensions."));
        }
        self.at += 1;
        let limit = |message: &str| Error::new(SqlState::ARRAY_SUBSCRIPT_ERROR, message);
        if upper < lower {
            return Err(limit("upper bound cannot be less than lower bound"));
        }
        self.skip();
        if self.peek() == Some(b'[') {
            return Err(too_deep());
        }
        if self.peek() != Some(b'=') {
            return Err(self.malformed("Missing \"=\" after array dimensions."));
        }
        self.at += 1;
        self.skip();
        usize::try_from(upper - lower + 1)
            .map(Some)
            .map_err(|_| limit("array upper bound is too large"))
    }

    fn bound(&mut self) -> Result<Option<i64>> {
        let start = self.at;
        if let Some(b'-' | b'+') = self.peek() {
            self.at += 1;
        }
        let digits = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        if self.at == digits {
            self.at = start;
            return Ok(None);
        }
        let value = self.text[start..self.at].parse::<i32>().map_err(|_| {
            Error::new(SqlState::PROGRAM_LIMIT_EXCEEDED, "array bound is out of integer range")
        })?;
        Ok(Some(i64::from(value)))
    }

    /// Reads from brace to brace; tells how many elements there are.
    fn list(&mut self, take: &mut impl FnMut(Option<&str>) -> Result<()>) -> Result<usize> {
        let mut length = 0;
        self.at += 1;
        self.skip();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(length);
        }
        loop {
            self.skip();
            let element = self.element()?;
            // What follows is looked at before the element is.
            self.skip();
            match self.peek() {
                Some(b',' | b'}' | b'{') => take(element.as_deref())?,
                None => return Err(self.ended()),
                Some(_) => return Err(self.malformed("Incorrectly quoted array element.")),
            }
            length += 1;
            self.at += 1;
            match self.text.as_bytes()[self.at - 1] {
                b'{' => return Err(self.malformed("Unexpected \"{\" character.")),
                b'}' => return Ok(length),
                _ => {}
            }
        }
    }

    fn element(&mut self) -> Result<Option<Cow<'a, str>>> {
        match self.peek() {
            None => Err(self.ended()),
            Some(b'{') => Err(too_deep()),
            Some(byte @ (b',' | b'}')) => {
                Err(self.malformed(&format!("Unexpected \"{}\" character.", char::from(byte))))
            }
            Some(b'"') => self.quoted().map(Some),
            Some(_) => self.bare(),
        }
    }

    fn quoted(&mut self) -> Result<Cow<'a, str>> {
        self.at += 1;
        let start = self.at;
        let mut out: Option<String> = None;
        let mut run = start;
        loop {
            match self.peek() {
                None => return Err(self.ended()),
                Some(b'"') => break,
                Some(b'\\') => {
                    out.get_or_insert_default().push_str(&self.text[run..self.at]);
                    self.at += 1;
                    run = self.at;
                    // What follows stands for itself.
                    let length = self.text[self.at..].chars().next().map_or(0, char::len_utf8);
                    if length == 0 {
                        return Err(self.ended());
                    }
                    self.at += length;
                }
                Some(_) => self.at += 1,
            }
        }
        let rest = &self.text[run..self.at];
        self.at += 1;
        Ok(match out {
            None => Cow::Borrowed(rest),
            Some(out) => Cow::Owned(out + rest),
        })
    }

    /// An element without quotes: white space at its end is dropped, unless a backslash keeps it.
    fn bare(&mut self) -> Result<Option<Cow<'a, str>>> {
        let start = self.at;
        let mut out = String::new();
        let mut escaped = false;
        let mut kept = 0;
        loop {
            match self.peek() {
                None => return Err(self.ended()),
                Some(b',' | b'}') => break,
                Some(b'"') => return Err(self.malformed("Incorrectly quoted array element.")),
                Some(b'{') => return Err(self.malformed("Unexpected \"{\" character.")),
                Some(byte) => {
                    let mut keep = !is_space(byte);
                    if byte == b'\\' {
                        escaped = true;
                        keep = true;
                        self.at += 1;
                    }
                    let Some(character) = self.text[self.at..].chars().next() else {
                        return Err(self.ended());
                    };
                    out.push(character);
                    self.at += character.len_utf8();
                    if keep {
                        kept = out.len();
                    }
                }
            }
        }
        out.truncate(kept);
        if !escaped && out.eq_ignore_ascii_case("null") {
            return Ok(None);
        }
        Ok(Some(if escaped {
            Cow::Owned(out)
        } else {
            Cow::Borrowed(&self.text[start..start + kept])
        }))
    }
}

/// Puts quotes around the element that stands at the end of `out` where its text needs them.
pub(super) fn quote(out: &mut Vec<u8>, start: usize) {
    let text = &out[start..];
    let needs = text.is_empty()
        || text.eq_ignore_ascii_case(b"null")
        || text.iter().any(|&byte| is_space(byte) || b"\"\\{},".contains(&byte));
    if !needs {
        return;
    }
    let text = out.split_off(start);
    out.push(b'"');
    for byte in text {
        if byte == b'"' || byte == b'\\' {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out.push(b'"');
}
