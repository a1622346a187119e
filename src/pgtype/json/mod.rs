//! `json`, which is kept as it was written once it is known to be valid, and `jsonb`, which is
//! written anew: keys by length and then by bytes, the last of equal ones, numbers as numeric.

mod parser;
pub mod records;

use crate::error::{Error, Result, SqlState};
use parser::{Parser, Purpose};
use std::collections::BTreeMap;

/// Checks that text is JSON.
///
/// # Errors
/// 22P02 with PostgreSQL's detail and the line at fault as context.
pub fn validate(text: &str) -> Result<()> {
    Parser::new(text, Purpose::Check).document().map(|_| ())
}

/// Whether no object of a document has a key twice.
///
/// # Errors
/// 22P02 where it is no JSON.
pub fn has_unique_keys(text: &str) -> Result<bool> {
    Parser::new(text, Purpose::Build).has_unique_keys()
}

/// Writes JSON as `jsonb` prints it.
///
/// # Errors
/// 22P02 where it is no JSON, 22P05 where a string cannot be stored as text.
pub fn normalise(text: &str) -> Result<String> {
    let value = Parser::new(text, Purpose::Build).document()?;
    let mut out = String::with_capacity(text.len() + text.len() / 8);
    value.write(&mut out);
    Ok(out)
}

/// A key sorts by its length first.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    bytes: usize,
    text: String,
}

/// What a document holds; a parser that only checks makes `Null` of everything.
enum Value {
    Null,
    Bool(bool),
    Number(String),
    Text(String),
    Array(Vec<Value>),
    Object(BTreeMap<Key, Value>),
}

impl Value {
    fn write(&self, out: &mut String) {
        match self {
            Self::Null => out.push_str("null"),
            Self::Bool(true) => out.push_str("true"),
            Self::Bool(false) => out.push_str("false"),
            Self::Number(number) => out.push_str(number),
            Self::Text(text) => escape(text, out),
            Self::Array(items) => {
                out.push('[');
                for (at, item) in items.iter().enumerate() {
                    out.push_str(if at > 0 { ", " } else { "" });
                    item.write(out);
                }
                out.push(']');
            }
            Self::Object(fields) => {
                out.push('{');
                for (at, (key, value)) in fields.iter().enumerate() {
                    out.push_str(if at > 0 { ", " } else { "" });
                    escape(&key.text, out);
                    out.push_str(": ");
                    value.write(out);
                }
                out.push('}');
            }
        }
    }
}

/// Writes a string literal of JSON with the escapes that PostgreSQL writes.
pub fn escape(text: &str, out: &mut String) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\0'..='\u{1f}' => out.push_str(&format!("\\u{:04x}", u32::from(character))),
            _ => out.push(character),
        }
    }
    out.push('"');
}

/// A number of JSON as numeric prints it: without an exponent, its zeros behind the point kept.
fn number(text: &str) -> Result<String> {
    let (mantissa, power) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let overflow =
        || Error::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "value overflows numeric format");
    let power: i64 = power.parse().map_err(|_| overflow())?;
    let (negative, mantissa) = match mantissa.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, mantissa),
    };
    let (whole, behind) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if power == 0 && !negative {
        return Ok(mantissa.to_owned());
    }
    let digits = format!("{whole}{behind}");
    let zero = digits.bytes().all(|byte| byte == b'0');
    let length = |text: &str| i64::try_from(text.len()).unwrap_or(i64::MAX);
    let scale = length(behind).saturating_sub(power).max(0);
    let point = length(whole).saturating_add(power);
    // As many digits as numeric has: 131,072 before the point, 16,383 behind it.
    if scale > 16_383 || (!zero && point > 131_072) {
        return Err(overflow());
    }
    let count = |value: i64| usize::try_from(value).unwrap_or(0);
    let mut out = String::new();
    if negative && !zero {
        out.push('-');
    }
    if zero {
        out.push('0');
        if scale > 0 {
            out.push('.');
            out.push_str(&"0".repeat(count(scale)));
        }
        return Ok(out);
    }
    let split = count(point).min(digits.len());
    let whole = format!("{}{}", &digits[..split], "0".repeat(count(point) - split));
    let trimmed = whole.trim_start_matches('0');
    out.push_str(if trimmed.is_empty() { "0" } else { trimmed });
    if scale > 0 {
        out.push('.');
        out.push_str(&"0".repeat(count(-point)));
        out.push_str(&digits[split..]);
    }
    Ok(out)
}
