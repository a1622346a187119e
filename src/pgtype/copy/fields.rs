//! Takes lines apart into fields: between delimiters, with backslashes or with quotes.

use super::{CopyFormat, CopyOptions};
use crate::{
    error::{Error, Result, SqlState},
    pgtype::faults::text_of_bytes,
};
use std::ops::Range;

/// The fields of one line; its memory serves the next one again.
#[derive(Debug, Default)]
pub(super) struct Fields {
    /// Fields whose text is not as it stands in the line.
    decoded: Vec<u8>,
    fields: Vec<Field>,
}

#[derive(Debug)]
enum Field {
    Null,
    Plain(Range<usize>),
    Decoded(Range<usize>),
}

impl Fields {
    /// How many fields there are.
    pub(super) fn len(&self) -> usize {
        self.fields.len()
    }

    /// A field of the line that was read last; `None` where it is NULL.
    pub(super) fn get<'a>(&'a self, line: &'a str, at: usize) -> Result<Option<&'a str>> {
        match &self.fields[at] {
            Field::Null => Ok(None),
            Field::Plain(range) => Ok(line.get(range.clone())),
            // Escapes may have made bytes that are no text.
            Field::Decoded(range) => text_of_bytes(&self.decoded[range.clone()]).map(Some),
        }
    }

    /// Takes a line apart.
    pub(super) fn read(&mut self, line: &str, options: &CopyOptions) -> Result<()> {
        self.decoded.clear();
        self.fields.clear();
        match options.format {
            CopyFormat::Csv => self.read_csv(line.as_bytes(), options),
            _ => {
                self.read_text(line.as_bytes(), options);
                Ok(())
            }
        }
    }

    fn read_text(&mut self, line: &[u8], options: &CopyOptions) {
        let delimiter = options.delimiter;
        let mut start = 0;
        loop {
            let mut at = start;
            let from = self.decoded.len();
            let mut run = start;
            let mut is_plain = true;
            loop {
                let stop = |&byte: &u8| byte == delimiter || byte == b'\\';
                at += line[at..].iter().position(stop).unwrap_or(line.len() - at);
                // A backslash at the very end stands for itself.
                if line.get(at) != Some(&b'\\') {
                    break;
                }
                is_plain = false;
                self.decoded.extend_from_slice(&line[run..at]);
                // A backslash at the very end stands for nothing.
                if at + 1 == line.len() {
                    at += 1;
                    run = at;
                    break;
                }
                let (byte, length) = unescape(&line[at + 1..]);
                self.decoded.push(byte);
                at += 1 + length;
                run = at;
            }
            let raw = &line[start..at];
            if raw == options.null.as_bytes() {
                self.decoded.truncate(from);
                self.fields.push(Field::Null);
            } else if is_plain {
                self.fields.push(Field::Plain(start..at));
            } else {
                self.decoded.extend_from_slice(&line[run..at]);
                self.fields.push(Field::Decoded(from..self.decoded.len()));
            }
            if at == line.len() {
                return;
            }
            start = at + 1;
        }
    }

    fn read_csv(&mut self, line: &[u8], options: &CopyOptions) -> Result<()> {
        let &CopyOptions { delimiter, quote, escape, .. } = options;
        let mut at = 0;
        loop {
            let start = at;
            let from = self.decoded.len();
            let mut saw_quote = false;
            // Outside and inside of quotes take turns.
            loop {
                let run = at;
                let stop = |&byte: &u8| byte == delimiter || byte == quote;
                at += line[at..].iter().position(stop).unwrap_or(line.len() - at);
                if line.get(at) != Some(&quote) {
                    if saw_quote {
                        self.decoded.extend_from_slice(&line[run..at]);
                    }
                    break;
                }
                saw_quote = true;
                self.decoded.extend_from_slice(&line[run..at]);
                at = self.quoted(line, at + 1, quote, escape)?;
            }
            self.fields.push(if saw_quote {
                Field::Decoded(from..self.decoded.len())
            } else if line[start..at] == *options.null.as_bytes() {
                Field::Null
            } else {
                Field::Plain(start..at)
            });
            if at == line.len() {
                return Ok(());
            }
            at += 1;
        }
    }

    /// Copies what stands in quotes; returns where the closing one has been passed.
    fn quoted(&mut self, line: &[u8], mut at: usize, quote: u8, escape: u8) -> Result<usize> {
        loop {
            let run = at;
            let stop = |&byte: &u8| byte == quote || byte == escape;
            at += line[at..].iter().position(stop).unwrap_or(line.len() - at);
            self.decoded.extend_from_slice(&line[run..at]);
            let Some(&byte) = line.get(at) else {
                return Err(Error::new(
                    SqlState::BAD_COPY_FILE_FORMAT,
                    "unterminated CSV quoted field",
                ));
            };
            match line.get(at + 1) {
                Some(&next) if byte == escape && (next == escape || next == quote) => {
                    self.decoded.push(next);
                    at += 2;
                }
                _ if byte == quote => return Ok(at + 1),
                _ => {
                    self.decoded.push(byte);
                    at += 1;
                }
            }
        }
    }
}

/// What stands behind a backslash: the byte it means, and how many bytes it takes.
fn unescape(rest: &[u8]) -> (u8, usize) {
    let digits = |from: usize, most: usize, radix: u32| {
        rest[from..]
            .iter()
            .take(most)
            .map_while(|byte| char::from(*byte).to_digit(radix))
            .fold((0_u32, 0), |(value, count), digit| (value * radix + digit, count + 1))
    };
    let low = |value: u32| value.to_le_bytes()[0];
    match rest[0] {
        b'0'..=b'7' => {
            let (value, count) = digits(0, 3, 8);
            (low(value), count)
        }
        b'x' => match digits(1, 2, 16) {
            (_, 0) => (b'x', 1),
            (value, count) => (low(value), count + 1),
        },
        b'b' => (8, 1),
        b'f' => (12, 1),
        b'n' => (b'\n', 1),
        b'r' => (b'\r', 1),
        b't' => (b'\t', 1),
        b'v' => (11, 1),
        byte => (byte, 1),
    }
}
