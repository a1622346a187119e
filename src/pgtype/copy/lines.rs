//! Finds the ends of lines in data that is cut anywhere.

use super::{CopyFormat, CopyOptions};
use crate::error::{Error, Result, SqlState};

/// How lines end; the first one decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LineEnd {
    Newline,
    Return,
    ReturnNewline,
}

/// What was found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// A line's length without its end, and with it.
    Line(usize, usize),
    /// The end marker `\.`, alone on its line.
    End,
    /// More data must come first.
    More,
}

/// Looks for the end of the line that begins where the data begins, and remembers how far it got.
#[derive(Debug)]
pub(super) struct Lines {
    csv: bool,
    quote: u8,
    /// The escape where it is not the quote itself.
    escape: Option<u8>,
    end: Option<LineEnd>,
    at: usize,
    quoted: bool,
    escaped: bool,
    /// Line ends inside quotes, which count as lines too.
    pub(super) inner: u64,
}

impl Lines {
    pub(super) fn new(options: &CopyOptions) -> Self {
        Self {
            csv: options.format == CopyFormat::Csv,
            quote: options.quote,
            escape: (options.escape != options.quote).then_some(options.escape),
            end: None,
            at: 0,
            quoted: false,
            escaped: false,
            inner: 0,
        }
    }

    /// Finds the end of the first line of `data`; `last` tells that nothing will follow.
    pub(super) fn find(&mut self, data: &[u8], last: bool) -> Result<Found> {
        loop {
            let rest = &data[self.at..];
            let skipped = if self.escaped {
                // What follows an escape matters whatever it is.
                (!rest.is_empty()).then_some(0)
            } else if self.csv {
                let (quote, escape) = (self.quote, self.escape.unwrap_or(self.quote));
                rest.iter().position(|&byte| {
                    byte == b'\n' || byte == b'\r' || byte == quote || byte == escape
                })
            } else {
                rest.iter().position(|&byte| byte == b'\n' || byte == b'\r' || byte == b'\\')
            };
            let Some(skipped) = skipped else {
                self.at = data.len();
                return Ok(self.rest(data, last));
            };
            self.at += skipped;
            let byte = data[self.at];
            let next = data.get(self.at + 1).copied();
            if next.is_none() && !last && (byte == b'\\' || byte == b'\r') {
                return Ok(Found::More);
            }
            if self.csv {
                self.track(byte);
            } else if byte == b'\\' {
                if next == Some(b'.') {
                    match self.marker(data, last)? {
                        Some(found) => return Ok(found),
                        None => return Ok(Found::More),
                    }
                }
                self.at += 1 + usize::from(next.is_some());
                continue;
            }
            let ends = matches!(byte, b'\n' | b'\r') && !(self.csv && self.quoted);
            if !ends {
                self.at += 1;
                continue;
            }
            let length = self.at;
            let end = self.line_end(byte, next)?;
            let whole = length + if end == LineEnd::ReturnNewline { 2 } else { 1 };
            self.end = Some(end);
            self.restart();
            return Ok(Found::Line(length, whole));
        }
    }

    /// Begins at the start of the data again.
    fn restart(&mut self) {
        self.at = 0;
        self.quoted = false;
        self.escaped = false;
    }

    fn rest(&mut self, data: &[u8], last: bool) -> Found {
        if !last || data.is_empty() {
            return Found::More;
        }
        self.restart();
        Found::Line(data.len(), data.len())
    }

    /// Follows quotes, as a switch where quotes escape themselves.
    fn track(&mut self, byte: u8) {
        if self.quoted && self.escape == Some(byte) {
            self.escaped = !self.escaped;
        }
        if byte == self.quote && !self.escaped {
            self.quoted = !self.quoted;
        }
        if self.escape != Some(byte) {
            self.escaped = false;
        }
        let counted = if self.end == Some(LineEnd::Newline) { b'\n' } else { b'\r' };
        if self.quoted && byte == counted {
            self.inner += 1;
        }
    }

    fn line_end(&self, byte: u8, next: Option<u8>) -> Result<LineEnd> {
        match (byte, self.end) {
            (b'\r', None | Some(LineEnd::ReturnNewline)) if next == Some(b'\n') => {
                Ok(LineEnd::ReturnNewline)
            }
            (b'\r', None | Some(LineEnd::Return)) => Ok(LineEnd::Return),
            (b'\r', _) => Err(self.stray("carriage return", "\\r")),
            (_, None | Some(LineEnd::Newline)) => Ok(LineEnd::Newline),
            _ => Err(self.stray("newline", "\\n")),
        }
    }

    fn stray(&self, name: &str, escape: &str) -> Error {
        let (how, hint) = if self.csv {
            ("unquoted", format!("Use quoted CSV field to represent {name}."))
        } else {
            ("literal", format!("Use \"{escape}\" to represent {name}."))
        };
        Error::new(SqlState::BAD_COPY_FILE_FORMAT, format!("{how} {name} found in data")).hint(hint)
    }

    /// `\.` at `self.at`: the end of the data where it is alone; `None` where that cannot be told
    /// yet.
    fn marker(&self, data: &[u8], last: bool) -> Result<Option<Found>> {
        let alone = match data[self.at + 2..] {
            [] if !last => return Ok(None),
            [b'\r'] if !last => return Ok(None),
            [b'\n' | b'\r', ..] => self.at == 0,
            _ => false,
        };
        if !alone {
            return Err(Error::new(
                SqlState::BAD_COPY_FILE_FORMAT,
                "end-of-copy marker is not alone on its line",
            ));
        }
        Ok(Some(Found::End))
    }
}
