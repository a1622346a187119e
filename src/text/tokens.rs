//! The default parser: how a text is cut into tokens, of which each has a kind.
//!
//! Beside words it knows compounds by hyphens, of which the parts follow the whole, numbers, versions,
//! the names of hosts and files, addresses of mail and the web, tags and entities. Whatever else there is
//! stands between tokens.

use std::collections::VecDeque;
use unicode_properties::{GeneralCategory, GeneralCategoryGroup, UnicodeGeneralCategory as _};

/// What a token is, as `ts_token_type` names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "they are named as PostgreSQL names them")]
pub enum Kind {
    AsciiWord,
    Word,
    NumWord,
    AsciiHword,
    Hword,
    NumHword,
    HwordAsciiPart,
    HwordPart,
    HwordNumPart,
    Email,
    Protocol,
    Url,
    Host,
    UrlPath,
    File,
    Sfloat,
    Float,
    Int,
    Uint,
    Version,
    Tag,
    Entity,
}

/// A piece of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token<'t> {
    /// What it is.
    pub kind: Kind,
    /// Itself.
    pub text: &'t str,
    /// Where it begins, in bytes.
    pub start: usize,
}

/// The tokens of a text, in order.
#[derive(Debug)]
pub struct Tokens<'t> {
    text: &'t str,
    at: usize,
    /// Those that lie within the last one.
    within: VecDeque<Token<'t>>,
    /// A sign here belongs to no number.
    unsigned: bool,
}

impl<'t> Tokens<'t> {
    /// Those of a text.
    #[must_use]
    pub fn of(text: &'t str) -> Self {
        Self { text, at: 0, within: VecDeque::new(), unsigned: false }
    }

    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn take(&mut self, kind: Kind, len: usize) -> Token<'t> {
        let token = Token { kind, text: &self.rest()[..len], start: self.at };
        self.at += len;
        token
    }

    fn put(&mut self, kind: Kind, start: usize, len: usize) {
        self.within.push_back(Token { kind, text: &self.text[start..start + len], start });
    }

    /// The token that begins here, if one does.
    fn here(&mut self, first: char) -> Option<Token<'t>> {
        let rest = self.rest();
        let unsigned = std::mem::take(&mut self.unsigned);
        match first {
            '<' => tag(rest).map(|len| {
                let token = self.take(Kind::Tag, len);
                if opens_code(token.text) {
                    self.at += code_end(self.rest()).unwrap_or(self.rest().len());
                }
                token
            }),
            '&' => entity(rest).map(|len| self.take(Kind::Entity, len)),
            '.' if !self.text[..self.at].ends_with('.') => {
                parent(rest).map(|len| self.take(Kind::File, len))
            }
            '/' | '~' => file(rest).map(|len| self.take(Kind::File, len)),
            '+' | '-' if !unsigned => {
                let (kind, len) = number(&rest[1..])?;
                let kind = if kind == Kind::Uint { Kind::Int } else { kind };
                (kind != Kind::Version).then(|| self.take(kind, 1 + len))
            }
            c if is_of_word(c) => Some(self.named(rest)),
            _ => None,
        }
    }

    /// What begins with a letter or a digit.
    fn named(&mut self, rest: &'t str) -> Token<'t> {
        if let Some(len) = protocol(rest) {
            return self.take(Kind::Protocol, len);
        }
        if let Some(len) = email(rest) {
            return self.take(Kind::Email, len);
        }
        if let Some(len) = host(rest) {
            return self.address(len);
        }
        let number = number(rest);
        if number.is_none_or(|(kind, _)| kind == Kind::Uint)
            && let Some(len) = file(rest)
        {
            return self.take(Kind::File, len);
        }
        let word = word(rest);
        match number {
            Some((kind, len)) if len >= word => self.take(kind, len),
            // Digits with a point are a number, whatever follows.
            Some((kind @ (Kind::Float | Kind::Version), len)) => self.take(kind, len),
            _ => self.compound(rest, word),
        }
    }

    /// A host, with the path behind it.
    fn address(&mut self, host: usize) -> Token<'t> {
        let rest = &self.rest()[host..];
        let is_of_path = |c: char| {
            c.is_ascii_graphic()
                && !matches!(c, '"' | '<' | '>' | '\\' | '^' | '`' | '{' | '|' | '}')
        };
        let path = if rest.starts_with('/') { span(rest, is_of_path) } else { 0 };
        let start = self.at;
        if path < 2 {
            return self.take(Kind::Host, host);
        }
        self.put(Kind::Host, start, host);
        self.put(Kind::UrlPath, start + host, path);
        self.take(Kind::Url, host + path)
    }

    /// Words that hyphens join; or one alone.
    fn compound(&mut self, rest: &'t str, first: usize) -> Token<'t> {
        let mut parts = vec![(0, first)];
        let mut end = first;
        while rest[end..].starts_with('-') {
            let from = end + 1;
            let len = word(&rest[from..]);
            let part = &rest[from..from + len];
            if len == 0 || part.bytes().all(|byte| byte.is_ascii_digit()) {
                break;
            }
            // The name of a host or a file begins there.
            parts.push((from, len));
            end = from + len;
        }
        let has_digit = |text: &str| text.chars().any(char::is_numeric);
        if parts.len() == 1 {
            let kind = match &rest[..first] {
                text if has_digit(text) => Kind::NumWord,
                text if text.is_ascii() => Kind::AsciiWord,
                _ => Kind::Word,
            };
            return self.take(kind, first);
        }
        let start = self.at;
        for (from, len) in parts {
            let kind = match &rest[from..from + len] {
                text if has_digit(text) => Kind::HwordNumPart,
                text if text.is_ascii() => Kind::HwordAsciiPart,
                _ => Kind::HwordPart,
            };
            self.put(kind, start + from, len);
        }
        self.unsigned = true;
        let kind = match &rest[..end] {
            text if has_digit(text) => Kind::NumHword,
            text if text.is_ascii() => Kind::AsciiHword,
            _ => Kind::Hword,
        };
        self.take(kind, end)
    }
}

impl<'t> Iterator for Tokens<'t> {
    type Item = Token<'t>;

    fn next(&mut self) -> Option<Token<'t>> {
        if let Some(token) = self.within.pop_front() {
            return Some(token);
        }
        while let Some(first) = self.rest().chars().next() {
            if let Some(token) = self.here(first) {
                return Some(token);
            }
            self.at += first.len_utf8();
        }
        None
    }
}

/// Whether it is a letter, or a digit of any script; not what stands for a number in a line or a circle.
fn is_of_word(c: char) -> bool {
    let is_digit = || {
        let is_figure = matches!(c, '²' | '³' | '¹' | '¼'..='¾' | '\u{2070}'..='\u{218f}')
            || matches!(c, '\u{2460}'..='\u{24ff}' | '\u{2776}'..='\u{2793}');
        c.is_numeric() && !is_figure
    };
    c.is_alphabetic() || is_digit()
}

/// Bytes within which what has a shape of its own ends; looking farther for each of a text's tokens would take
/// the square of its length.
const SHAPE_MAX: usize = 2048;
/// The same for tags, which may hold pictures.
const TAG_MAX: usize = 64 << 10;
/// The same for hosts and what stands before their `@`.
const HOST_MAX: usize = 512;

/// So many bytes of the start of a text, at most.
fn head(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes.min(text.len()))]
}

/// How many bytes at the start are such.
fn span(text: &str, is_such: impl Fn(char) -> bool) -> usize {
    text.find(|c| !is_such(c)).unwrap_or(text.len())
}

/// Whether a word goes on with it: beside letters and digits what is set above, below or between these.
fn is_within_word(c: char) -> bool {
    is_of_word(c)
        || !c.is_ascii()
            && (c.general_category_group() == GeneralCategoryGroup::Mark
                || c.general_category() == GeneralCategory::Format)
}

fn word(text: &str) -> usize {
    if text.starts_with(is_of_word) { span(text, is_within_word) } else { 0 }
}

fn digits(text: &str) -> usize {
    span(text, |c| c.is_ascii_digit())
}

/// `<b>`, `</b>`, `<a href="x>y">`, `<!-- c -->`, `<!DOCTYPE html>`, `<?xml version="1.0"?>`
fn tag(text: &str) -> Option<usize> {
    let inner = &head(text, TAG_MAX)[1..];
    if let Some(comment) = inner.strip_prefix("!--") {
        return comment.find("-->").map(|end| 1 + 3 + end + 3);
    }
    if let [b'!', b'd' | b'D', ..] | [b'?', b'x' | b'X', ..] = inner.as_bytes() {
        return attributes(text, 2);
    }
    let at = 1 + tag_name(inner)?;
    match text[at..].chars().next()? {
        '>' => Some(at + 1),
        '/' if text[at + 1..].starts_with('>') => Some(at + 2),
        c if c.is_whitespace() => attributes(text, at),
        _ => None,
    }
}

/// `b`, `/b`, `x:href`
fn tag_name(inner: &str) -> Option<usize> {
    let name = inner.strip_prefix('/').unwrap_or(inner);
    let is_first =
        |c: char| c.is_ascii_alphabetic() || (name.len() == inner.len() && matches!(c, ':' | '_'));
    let is_within = |c: char| c.is_ascii_alphanumeric() || matches!(c, ':' | '_' | '.' | '-');
    name.starts_with(is_first).then(|| inner.len() - name.len() + span(name, is_within))
}

/// Where a tag ends whose attributes begin there.
fn attributes(text: &str, from: usize) -> Option<usize> {
    let mut quote = None;
    let mut chars = head(text, TAG_MAX)[from..].char_indices();
    while let Some((at, c)) = chars.next() {
        match (quote, c) {
            (None, '>') => return Some(from + at + 1),
            (None, '"' | '\'') => quote = Some(c),
            (None, c) if c.is_ascii_alphanumeric() || c.is_whitespace() => {}
            (None, c) if "#%&-./:=?_~".contains(c) => {}
            (None, _) => return None,
            (Some(_), '\\') => _ = chars.next(),
            (Some(open), _) if open == c => quote = None,
            _ => {}
        }
    }
    None
}

/// Whether what follows a tag is no text but a script or a style.
fn opens_code(tag: &str) -> bool {
    tag_name(&tag[1..]).is_some_and(|len| is_code(&tag[1..], len))
}

/// Where the tag is that ends a script or a style.
fn code_end(text: &str) -> Option<usize> {
    let ends = |at: usize| {
        let inner = text[at + 1..].strip_prefix('/')?;
        let len = tag_name(inner)?;
        (is_code(inner, len) && tag(&text[at..]).is_some()).then_some(at)
    };
    text.match_indices("</").find_map(|(at, _)| ends(at))
}

/// Whether a name of this length is one of those whose contents are no text.
fn is_code(inner: &str, name: usize) -> bool {
    let is_named = ["script", "style"].iter().any(|code| inner[..name].eq_ignore_ascii_case(code));
    is_named && inner[name..].starts_with(|c: char| c == '>' || c.is_whitespace())
}

/// `&amp;`, `&#38;`, `&#x26;`
fn entity(text: &str) -> Option<usize> {
    let inner = &text[1..];
    let (from, len) = match inner.strip_prefix('#') {
        None if inner.starts_with(|c: char| c.is_ascii_alphabetic()) => {
            (0, span(inner, |c| c.is_ascii_alphanumeric()))
        }
        None => return None,
        Some(number) => match number.strip_prefix(['x', 'X']) {
            Some(hex) => (2, span(hex, |c| c.is_ascii_hexdigit())),
            None => (1, digits(number)),
        },
    };
    let end = from + len;
    (len > 0 && inner[end..].starts_with(';')).then_some(1 + end + 1)
}

/// `https://`
fn protocol(text: &str) -> Option<usize> {
    let len = span(text, |c| c.is_ascii_alphabetic());
    (len > 0 && text[len..].starts_with("://")).then_some(len + 3)
}

/// `ann@example.com`
fn email(text: &str) -> Option<usize> {
    let local =
        span(head(text, HOST_MAX), |c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'));
    let rest = text[local..].strip_prefix('@')?;
    let host = host(rest)?;
    // A port is none of it.
    let host = rest[..host].find(':').unwrap_or(host);
    (local > 0).then_some(local + 1 + host)
}

/// `www.example.com`, with a port where there is one: the last of its names has letters alone.
fn host(text: &str) -> Option<usize> {
    let text = head(text, HOST_MAX);
    let is_within = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    let is_first = |c: char| c.is_ascii_alphanumeric();
    let (mut last, mut end) = (0, 0);
    while text[end..].starts_with(is_first) {
        end += span(&text[end..], is_within);
        if !text[end..].starts_with('.') || !text[end + 1..].starts_with(is_first) {
            break;
        }
        end += 1;
        last = end;
    }
    let letters = span(&text[last..end], |c| c.is_ascii_alphabetic());
    let after = &text[last + letters..];
    let is_cut = after.starts_with(|c: char| is_of_word(c) || c == '_');
    if last == 0 || letters < 2 || is_cut {
        return None;
    }
    let port = after.strip_prefix(':').map_or(0, digits);
    Some(last + letters + if port > 0 { 1 + port } else { 0 })
}

/// `/usr/lib`, `~/.config`, `src/main.rs`, `v1.2`
fn file(text: &str) -> Option<usize> {
    let text = head(text, SHAPE_MAX);
    let is_word = |c: char| c.is_ascii_alphanumeric();
    // These are of names behind the first alone: in it they stand between words.
    let is_name = |c: char| is_word(c) || matches!(c, '-' | '_');
    // A name, which may begin with a point where a path leads to it.
    let begins = |joint: char, behind: &str| {
        let name = if joint == '/' { behind.strip_prefix('.').unwrap_or(behind) } else { behind };
        let is_first = |c: char| is_name(c) && c != '-';
        name.starts_with(is_first).then_some(behind.len() - name.len())
    };
    let (mut at, mut joints) = match text.chars().next()? {
        '/' => (1 + begins('/', &text[1..])?, 1),
        '~' if text[1..].starts_with(|c: char| c.is_ascii_alphabetic()) => (1, 1),
        '~' => return None,
        _ => (0, 0),
    };
    let by_digit = text.starts_with(|c: char| c.is_ascii_digit());
    loop {
        at += if joints == 0 { span(text, is_word) } else { span(&text[at..], is_name) };
        let Some(joint) = text[at..].chars().next().filter(|c| matches!(c, '.' | '/')) else {
            break;
        };
        // One that begins with a digit needs a path.
        if by_digit && joints == 0 && joint == '.' {
            return None;
        }
        let Some(point) = begins(joint, &text[at + 1..]) else { break };
        joints += 1;
        at += 1 + point;
    }
    if joints == 0 || text[at..].starts_with(is_of_word) {
        return None;
    }
    Some(at)
}

/// `..` by itself.
fn parent(text: &str) -> Option<usize> {
    let behind = text.strip_prefix("..")?;
    behind.chars().next().is_none_or(char::is_whitespace).then_some(2)
}

/// A number without a sign: its kind and length.
fn number(text: &str) -> Option<(Kind, usize)> {
    let mut len = digits(text);
    if len == 0 {
        return None;
    }
    let mut points = 0;
    while text[len..].starts_with('.') && digits(&text[len + 1..]) > 0 {
        len += 1 + digits(&text[len + 1..]);
        points += 1;
    }
    if points > 1 {
        return Some((Kind::Version, len));
    }
    if let Some(exponent) = text[len..].strip_prefix(['e', 'E']) {
        let sign = usize::from(exponent.starts_with(['+', '-']));
        let more = digits(&exponent[sign..]);
        let end = len + 1 + sign + more;
        if more > 0 && !text[end..].starts_with(is_of_word) {
            return Some((Kind::Sfloat, end));
        }
    }
    Some((if points == 1 { Kind::Float } else { Kind::Uint }, len))
}
