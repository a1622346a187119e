//! Text: patterns, cutting and padding, quoting, bytes.

pub(crate) mod dialect;
pub(crate) mod normal;
pub(crate) mod pattern;
pub(crate) mod regexp;

use crate::{
    error::{Error, Result, SqlState},
    pgtype::{PgType, cast::to_text},
    sql::functions::call::{Arguments, integers},
};
use arrow::{
    array::{Array, ArrayRef, AsArray, BinaryArray, Int32Array, StringArray},
    datatypes::Int32Type,
};
use std::sync::Arc;

fn length(text: &str) -> i32 {
    i32::try_from(text.chars().count()).unwrap_or(i32::MAX)
}

/// `substring(text, start, [count])`: signs from 1, those before the first counted.
pub(crate) fn substring(args: &Arguments<'_>) -> Result<ArrayRef> {
    let starts = args.arrays[1].as_primitive::<Int32Type>();
    let counts = args.arrays.get(2).map(|counts| counts.as_primitive::<Int32Type>());
    args.texts(|row| {
        let start = i64::from(starts.value(row));
        let end = match counts.map(|counts| counts.value(row)) {
            Some(count) if count < 0 => {
                return Err(Error::new(
                    SqlState::SUBSTRING_ERROR,
                    "negative substring length not allowed",
                ));
            }
            Some(count) => start + i64::from(count),
            None => i64::MAX,
        };
        let skip = usize::try_from(start.max(1) - 1).unwrap_or(0);
        let take = usize::try_from((end - start.max(1)).max(0)).unwrap_or(0);
        Ok(Some(args.text(0).value(row).chars().skip(skip).take(take).collect()))
    })
}

/// `overlay(text placing new from start [for count])`
pub(crate) fn overlay(args: &Arguments<'_>) -> Result<ArrayRef> {
    let starts = args.arrays[2].as_primitive::<Int32Type>();
    let counts = args.arrays.get(3).map(|counts| counts.as_primitive::<Int32Type>());
    args.texts(|row| {
        let (text, new) = (args.text(0).value(row), args.text(1).value(row));
        let start = starts.value(row);
        if start < 1 {
            return Err(Error::new(
                SqlState::SUBSTRING_ERROR,
                "negative substring length not allowed",
            ));
        }
        let before = usize::try_from(start - 1).unwrap_or(0);
        let count = counts.map_or_else(|| length(new), |counts| counts.value(row));
        let after = usize::try_from(i64::from(start - 1) + i64::from(count)).unwrap_or(0);
        let head: String = text.chars().take(before).collect();
        let tail: String = text.chars().skip(after).collect();
        Ok(Some(format!("{head}{new}{tail}")))
    })
}

/// `left(text, n)`
pub(crate) fn left(args: &Arguments<'_>) -> Result<ArrayRef> {
    cut(args, |text, n| {
        let count = length(text);
        let keep = if n < 0 { count.saturating_add(n).max(0) } else { n };
        text.chars().take(usize::try_from(keep).unwrap_or(0)).collect()
    })
}

/// `right(text, n)`
pub(crate) fn right(args: &Arguments<'_>) -> Result<ArrayRef> {
    cut(args, |text, n| {
        let count = length(text);
        let skip = if n < 0 { n.saturating_neg() } else { count.saturating_sub(n).max(0) };
        text.chars().skip(usize::try_from(skip).unwrap_or(0)).collect()
    })
}

/// The longest text that a function makes.
const BYTES_MAX: usize = 1 << 30;

/// `repeat(text, n)`
pub(crate) fn repeat(args: &Arguments<'_>) -> Result<ArrayRef> {
    let counts = args.arrays[1].as_primitive::<Int32Type>();
    args.texts(|row| {
        let text = args.text(0).value(row);
        let count = usize::try_from(counts.value(row)).unwrap_or(0);
        if text.len().saturating_mul(count) > BYTES_MAX {
            return Err(Error::new(SqlState::PROGRAM_LIMIT_EXCEEDED, "requested length too large"));
        }
        Ok(Some(text.repeat(count)))
    })
}

fn cut(args: &Arguments<'_>, f: impl Fn(&str, i32) -> String) -> Result<ArrayRef> {
    let counts = args.arrays[1].as_primitive::<Int32Type>();
    args.texts(|row| Ok(Some(f(args.text(0).value(row), counts.value(row)))))
}

/// `split_part(text, separator, n)`
pub(crate) fn split_part(args: &Arguments<'_>) -> Result<ArrayRef> {
    let places = args.arrays[2].as_primitive::<Int32Type>();
    args.texts(|row| {
        let (text, separator, n) =
            (args.text(0).value(row), args.text(1).value(row), places.value(row));
        if n == 0 {
            return Err(Error::new(
                SqlState::INVALID_PARAMETER_VALUE,
                "field position must not be zero",
            ));
        }
        let parts: Vec<&str> =
            if separator.is_empty() { vec![text] } else { text.split(separator).collect() };
        let at = match usize::try_from(n) {
            Ok(n) => Some(n - 1),
            Err(_) => {
                usize::try_from(n.unsigned_abs()).ok().and_then(|n| parts.len().checked_sub(n))
            }
        };
        Ok(Some(at.and_then(|at| parts.get(at)).copied().unwrap_or("").to_owned()))
    })
}

/// `format(template, …)`
pub(crate) fn format(args: &Arguments<'_>) -> Result<ArrayRef> {
    let style = args.context.style();
    let texts = args.arrays[1..]
        .iter()
        .zip(&args.kinds[1..])
        .map(|(array, kind)| to_text(kind, array, &style))
        .collect::<Result<Vec<_>>>()?;
    let templates = args.text(0);
    let invalid = |message: String| Error::new(SqlState::INVALID_PARAMETER_VALUE, message);
    let rows = (0..args.rows).map(|row| {
        if templates.is_null(row) {
            return Ok(None);
        }
        let mut out = String::new();
        let mut next = 0;
        let mut chars = templates.value(row).chars().peekable();
        while let Some(c) = chars.next() {
            if c != '%' {
                out.push(c);
                continue;
            }
            if chars.peek() == Some(&'%') {
                chars.next();
                out.push('%');
                continue;
            }
            let mut spec = String::new();
            let kind = loop {
                match chars.next() {
                    Some(c @ ('s' | 'I' | 'L')) => break c,
                    Some(c) if c.is_ascii_digit() || c == '$' || c == '-' => spec.push(c),
                    Some(c) => {
                        return Err(invalid(format!(
                            "unrecognized format() type specifier \"{c}\""
                        )));
                    }
                    None => return Err(invalid("unterminated format() type specifier".into())),
                }
            };
            let (place, width) = match spec.split_once('$') {
                Some((place, width)) => (place.parse::<usize>().ok(), width.to_owned()),
                None => (None, spec),
            };
            let at = place.map_or(next, |place| place.saturating_sub(1));
            next = at + 1;
            let Some(texts) = texts.get(at) else {
                return Err(invalid("too few arguments for format()".into()));
            };
            let texts = texts.as_string::<i32>();
            let value = texts.is_valid(row).then(|| texts.value(row));
            let text = match (kind, value) {
                ('s', value) => value.unwrap_or("").to_owned(),
                ('I', Some(value)) => crate::catalog::pg::names::quote_ident(value).into_owned(),
                ('I', None) => {
                    return Err(Error::new(
                        SqlState::NULL_VALUE_NOT_ALLOWED,
                        "null values cannot be formatted as an SQL identifier",
                    ));
                }
                (_, Some(value)) => crate::catalog::pg::names::quote_literal(value),
                (_, None) => "NULL".to_owned(),
            };
            let pad = match width.strip_prefix('-') {
                Some(width) => width.parse::<usize>().map(|width| format!("{text:<width$}")),
                None => width.parse::<usize>().map(|width| format!("{text:>width$}")),
            };
            out.push_str(&pad.unwrap_or(text));
        }
        Ok(Some(out))
    });
    Ok(Arc::new(rows.collect::<Result<StringArray>>()?))
}

/// `concat(…)`: NULL is nothing.
pub(crate) fn concat(args: &Arguments<'_>) -> Result<ArrayRef> {
    joined(args, 0, |_| Some(String::new()))
}

/// `concat_ws(separator, …)`
pub(crate) fn concat_ws(args: &Arguments<'_>) -> Result<ArrayRef> {
    let separators = args.text(0);
    joined(args, 1, |row| separators.is_valid(row).then(|| separators.value(row).to_owned()))
}

fn joined(
    args: &Arguments<'_>,
    from: usize,
    separator: impl Fn(usize) -> Option<String>,
) -> Result<ArrayRef> {
    let style = args.context.style();
    let texts = args.arrays[from..]
        .iter()
        .zip(&args.kinds[from..])
        .map(|(array, kind)| {
            let text = to_text(kind, array, &style)?;
            if *kind != PgType::Bool {
                return Ok(text);
            }
            // The output form, not the cast's.
            let short = text.as_string::<i32>().iter().map(|t| t.map(|t| &t[..1]));
            Ok(Arc::new(short.collect::<StringArray>()) as ArrayRef)
        })
        .collect::<Result<Vec<_>>>()?;
    let rows = (0..args.rows).map(|row| {
        let separator = separator(row)?;
        let parts: Vec<&str> = texts
            .iter()
            .map(|texts| texts.as_string::<i32>())
            .filter(|texts| texts.is_valid(row))
            .map(|texts| texts.value(row))
            .collect();
        Some(parts.join(&separator))
    });
    Ok(Arc::new(rows.collect::<StringArray>()))
}

/// `bytea || bytea`
pub(crate) fn concat_bytes(args: &Arguments<'_>) -> Result<ArrayRef> {
    let (a, b) = (args.arrays[0].as_binary::<i32>(), args.arrays[1].as_binary::<i32>());
    let rows = (0..args.rows)
        .map(|row| (!args.is_null(row)).then(|| [a.value(row), b.value(row)].concat()));
    Ok(Arc::new(rows.collect::<BinaryArray>()))
}

/// `length(text)`
pub(crate) fn char_length(args: &Arguments<'_>) -> Result<ArrayRef> {
    Ok(Arc::new(args.text(0).iter().map(|text| text.map(length)).collect::<Int32Array>()))
}

/// `octet_length(text)`
pub(crate) fn octet_length(args: &Arguments<'_>) -> Result<ArrayRef> {
    Ok(Arc::new(
        args.text(0)
            .iter()
            .map(|text| text.and_then(|t| i32::try_from(t.len()).ok()))
            .collect::<Int32Array>(),
    ))
}

/// `length(bytea)`
pub(crate) fn byte_length(args: &Arguments<'_>) -> Result<ArrayRef> {
    let bytes = args.arrays[0].as_binary::<i32>();
    Ok(Arc::new(
        bytes.iter().map(|b| b.and_then(|b| i32::try_from(b.len()).ok())).collect::<Int32Array>(),
    ))
}

/// `bit_length(text)`, `bit_length(bytea)`
pub(crate) fn bit_length(args: &Arguments<'_>) -> Result<ArrayRef> {
    let bytes = match args.kinds[0] {
        PgType::Bytea => byte_length(args)?,
        _ => octet_length(args)?,
    };
    let bits = bytes.as_primitive::<Int32Type>().try_unary::<_, Int32Type, _>(|bytes| {
        bytes
            .checked_mul(8)
            .ok_or_else(|| Error::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "integer out of range"))
    });
    Ok(Arc::new(bits?))
}

/// `strpos(text, part)`
pub(crate) fn strpos(args: &Arguments<'_>) -> Result<ArrayRef> {
    let rows = (0..args.rows).map(|row| {
        (!args.is_null(row)).then(|| {
            let text = args.text(0).value(row);
            text.find(args.text(1).value(row)).map_or(0, |at| length(&text[..at]) + 1)
        })
    });
    Ok(Arc::new(rows.collect::<Int32Array>()))
}

/// `chr(n)`
pub(crate) fn chr(args: &Arguments<'_>) -> Result<ArrayRef> {
    let codes = args.arrays[0].as_primitive::<Int32Type>();
    args.texts(|row| {
        let code = codes.value(row);
        match u32::try_from(code).ok().filter(|code| *code != 0).and_then(char::from_u32) {
            Some(c) => Ok(Some(c.to_string())),
            None if code == 0 => {
                Err(Error::new(SqlState::PROGRAM_LIMIT_EXCEEDED, "null character not permitted"))
            }
            None => Err(Error::new(
                SqlState::PROGRAM_LIMIT_EXCEEDED,
                format!("requested character not valid for encoding: {code}"),
            )),
        }
    })
}

/// `encode(bytea, format)`
pub(crate) fn encode(args: &Arguments<'_>) -> Result<ArrayRef> {
    use base64::Engine;
    let bytes = args.arrays[0].as_binary::<i32>();
    args.texts(|row| {
        let bytes = bytes.value(row);
        Ok(Some(match args.text(1).value(row).to_ascii_lowercase().as_str() {
            "hex" => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
            "base64" => {
                let text = base64::engine::general_purpose::STANDARD.encode(bytes);
                let lines: Vec<&str> = (0..text.len())
                    .step_by(76)
                    .map(|at| &text[at..(at + 76).min(text.len())])
                    .collect();
                lines.join("\n")
            }
            "escape" => bytes
                .iter()
                .map(|&byte| match byte {
                    0 | 128.. => format!("\\{byte:03o}"),
                    b'\\' => "\\\\".to_owned(),
                    byte => char::from(byte).to_string(),
                })
                .collect(),
            other => return Err(unknown_encoding(other)),
        }))
    })
}

fn unknown_encoding(name: &str) -> Error {
    Error::new(SqlState::INVALID_PARAMETER_VALUE, format!("unrecognized encoding: \"{name}\""))
}

/// `decode(text, format)`
pub(crate) fn decode(args: &Arguments<'_>) -> Result<ArrayRef> {
    use base64::Engine;
    let invalid =
        |what: &str| Error::new(SqlState::INVALID_PARAMETER_VALUE, format!("invalid {what} data"));
    let rows = (0..args.rows).map(|row| {
        if args.is_null(row) {
            return Ok(None);
        }
        let text: String = args.text(0).value(row).chars().filter(|c| !c.is_whitespace()).collect();
        let bytes = match args.text(1).value(row).to_ascii_lowercase().as_str() {
            "hex" => (0..text.len())
                .step_by(2)
                .map(|at| text.get(at..at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok()))
                .collect::<Option<Vec<u8>>>()
                .ok_or_else(|| invalid("hexadecimal"))?,
            "base64" => base64::engine::general_purpose::STANDARD
                .decode(&text)
                .map_err(|_| invalid("base64"))?,
            "escape" => args.text(0).value(row).as_bytes().to_vec(),
            other => return Err(unknown_encoding(other)),
        };
        Ok(Some(bytes))
    });
    Ok(Arc::new(
        rows.collect::<Result<Vec<Option<Vec<u8>>>>>()?.into_iter().collect::<BinaryArray>(),
    ))
}

/// `to_hex(integer)`, `to_hex(bigint)`
pub(crate) fn to_hex(args: &Arguments<'_>) -> Result<ArrayRef> {
    in_base(args, |number| format!("{number:x}"))
}

/// `to_oct(integer)`, `to_oct(bigint)`
pub(crate) fn to_oct(args: &Arguments<'_>) -> Result<ArrayRef> {
    in_base(args, |number| format!("{number:o}"))
}

/// `to_bin(integer)`, `to_bin(bigint)`
pub(crate) fn to_bin(args: &Arguments<'_>) -> Result<ArrayRef> {
    in_base(args, |number| format!("{number:b}"))
}

/// The digits of whole numbers, negative ones in two's complement of their width.
fn in_base(args: &Arguments<'_>, write: fn(i64) -> String) -> Result<ArrayRef> {
    let numbers = integers(&args.arrays[0])?;
    let mask = if args.kinds[0] == PgType::Int4 { 0xffff_ffff } else { -1 };
    args.texts(|row| Ok(Some(write(numbers.value(row) & mask))))
}

/// `unistr(text)`: its `\\0061`, `\\+000061`, `\\u0061` and `\\U00000061` are signs.
pub(crate) fn unistr(args: &Arguments<'_>) -> Result<ArrayRef> {
    let fault = |message: &str| Error::new(SqlState::SYNTAX_ERROR, message);
    args.texts(|row| {
        let (mut out, mut rest) = (Vec::new(), args.text(0).value(row));
        while let Some(sign) = rest.chars().next() {
            rest = &rest[sign.len_utf8()..];
            if sign != '\\' {
                out.extend(sign.encode_utf16(&mut [0; 2]).iter().copied());
                continue;
            }
            let (skip, length) = match rest.as_bytes().first() {
                Some(b'\\') => {
                    out.push(u16::from(b'\\'));
                    rest = &rest[1..];
                    continue;
                }
                Some(b'+') => (1, 6),
                Some(b'u') => (1, 4),
                Some(b'U') => (1, 8),
                _ => (0, 4),
            };
            let code = rest.get(skip..skip + length).and_then(|digits| {
                digits.bytes().all(|digit| digit.is_ascii_hexdigit()).then_some(digits)
            });
            let code = code.ok_or_else(|| {
                fault("invalid Unicode escape")
                    .hint("Unicode escapes must be \\XXXX, \\+XXXXXX, \\uXXXX, or \\UXXXXXXXX.")
            })?;
            let value =
                u32::from_str_radix(code, 16).map_err(|_| fault("invalid Unicode escape"))?;
            match (u16::try_from(value), char::from_u32(value)) {
                (Ok(unit), _) => out.push(unit),
                (_, Some(sign)) => out.extend(sign.encode_utf16(&mut [0; 2]).iter().copied()),
                _ => return Err(fault(&format!("invalid Unicode code point: {value:04X}"))),
            }
            rest = &rest[skip + length..];
        }
        String::from_utf16(&out).map(Some).map_err(|_| fault("invalid Unicode surrogate pair"))
    })
}

/// `pg_typeof(any)`
pub(crate) fn type_of(args: &Arguments<'_>) -> Result<ArrayRef> {
    let oid = crate::sql::typed::bare(&args.kinds[0]).oid();
    Ok(Arc::new(arrow::array::UInt32Array::from(vec![oid; args.rows])))
}

/// `reverse(text)`
pub(crate) fn reverse(args: &Arguments<'_>) -> Result<ArrayRef> {
    args.texts(|row| Ok(Some(args.text(0).value(row).chars().rev().collect())))
}

/// `num_nulls(…)` and `num_nonnulls(…)`
pub(crate) fn num_nulls(args: &Arguments<'_>) -> Result<ArrayRef> {
    count(args, |array, row| array.is_null(row))
}

/// `num_nonnulls(…)`
pub(crate) fn num_nonnulls(args: &Arguments<'_>) -> Result<ArrayRef> {
    count(args, |array, row| array.is_valid(row))
}

fn count(args: &Arguments<'_>, test: fn(&ArrayRef, usize) -> bool) -> Result<ArrayRef> {
    let rows = (0..args.rows)
        .map(|row| i32::try_from(args.arrays.iter().filter(|array| test(array, row)).count()).ok());
    Ok(Arc::new(rows.collect::<Int32Array>()))
}
