//! The regular expression functions that look from a place on, for the n-th match, or for a part of it.

use super::pattern::{Patterns, expand, flags, groups};
use crate::{
    error::{Error, Result, SqlState},
    sql::functions::{call::Arguments, lists::texts_as},
};
use arrow::{
    array::{ArrayRef, AsArray, BooleanArray, Int32Array},
    datatypes::Int32Type,
};
use regex::{Captures, Match, Regex};
use std::sync::Arc;

/// An optional whole number, which has a least value.
fn number(args: &Arguments<'_>, at: usize, row: usize, name: &str, least: i32) -> Result<usize> {
    let Some(array) = args.arrays.get(at) else { return Ok(usize::from(least > 0)) };
    let value = array.as_primitive::<Int32Type>().value(row);
    usize::try_from(value).ok().filter(|_| value >= least).ok_or_else(|| {
        Error::new(
            SqlState::INVALID_PARAMETER_VALUE,
            format!("invalid value for parameter \"{name}\": {value}"),
        )
    })
}

/// The flags, without the one that says "all matches", which the function refuses.
fn local_flags<'a>(args: &'a Arguments<'_>, at: usize, row: usize, name: &str) -> Result<&'a str> {
    let flags = flags(args, at, row);
    if flags.contains('g') {
        return Err(Error::new(
            SqlState::INVALID_PARAMETER_VALUE,
            format!("{name}() does not support the \"global\" option"),
        ));
    }
    Ok(flags)
}

/// The byte at which the n-th sign, from 1, begins; nothing behind the end.
fn byte_of(text: &str, sign: usize) -> Option<usize> {
    let signs = sign.saturating_sub(1);
    text.char_indices().map(|(at, _)| at).chain([text.len()]).nth(signs)
}

/// All matches from a byte on; what stands before it is still seen by look-behinds such as `\b`.
fn matches<'t>(regex: &Regex, text: &'t str, from: usize) -> impl Iterator<Item = Captures<'t>> {
    let mut next = Some(from);
    std::iter::from_fn(move || {
        let found = regex.captures_at(text, next?)?;
        let whole = found.get(0)?;
        // After an empty match the search goes on at the next sign.
        next = if whole.is_empty() {
            text[whole.end()..].chars().next().map(|sign| whole.end() + sign.len_utf8())
        } else {
            Some(whole.end())
        };
        Some(found)
    })
}

/// What a function with start, n and subexpression looks at.
struct Wanted<'t> {
    text: &'t str,
    from: Option<usize>,
    nth: usize,
    subexpression: usize,
}

impl<'t> Wanted<'t> {
    /// The n-th match's part.
    fn find(&self, regex: &Regex) -> Option<Match<'t>> {
        let found = matches(regex, self.text, self.from?).nth(self.nth - 1)?;
        found.get(self.subexpression)
    }
}

/// `regexp_count(text, pattern, [start, [flags]])`
pub(crate) fn count(args: &Arguments<'_>) -> Result<ArrayRef> {
    let mut known = Patterns::default();
    let rows = (0..args.rows).map(|row| {
        if args.is_null(row) {
            return Ok(None);
        }
        let start = number(args, 2, row, "start", 1)?;
        let regex =
            known.get(args.text(1).value(row), local_flags(args, 3, row, "regexp_count")?)?;
        let text = args.text(0).value(row);
        let count = byte_of(text, start).map_or(0, |from| matches(regex, text, from).count());
        Ok(i32::try_from(count).ok())
    });
    Ok(Arc::new(rows.collect::<Result<Int32Array>>()?))
}

/// `regexp_like(text, pattern, [flags])`
pub(crate) fn like(args: &Arguments<'_>) -> Result<ArrayRef> {
    let mut known = Patterns::default();
    let rows = (0..args.rows).map(|row| {
        if args.is_null(row) {
            return Ok(None);
        }
        let regex =
            known.get(args.text(1).value(row), local_flags(args, 2, row, "regexp_like")?)?;
        Ok(Some(regex.is_match(args.text(0).value(row))))
    });
    Ok(Arc::new(rows.collect::<Result<BooleanArray>>()?))
}

/// `regexp_instr(text, pattern, [start, [n, [endoption, [flags, [subexpression]]]]])`
pub(crate) fn instr(args: &Arguments<'_>) -> Result<ArrayRef> {
    let mut known = Patterns::default();
    let rows = (0..args.rows).map(|row| {
        if args.is_null(row) {
            return Ok(None);
        }
        let text = args.text(0).value(row);
        let wanted = Wanted {
            text,
            from: byte_of(text, number(args, 2, row, "start", 1)?),
            nth: number(args, 3, row, "n", 1)?,
            subexpression: number(args, 6, row, "subexpr", 0)?,
        };
        let end = number(args, 4, row, "endoption", 0)?;
        if end > 1 {
            return Err(Error::new(
                SqlState::INVALID_PARAMETER_VALUE,
                format!("invalid value for parameter \"endoption\": {end}"),
            ));
        }
        let regex =
            known.get(args.text(1).value(row), local_flags(args, 5, row, "regexp_instr")?)?;
        let place = wanted.find(regex).map_or(0, |found| {
            let at = if end == 1 { found.end() } else { found.start() };
            text[..at].chars().count() + 1
        });
        Ok(i32::try_from(place).ok())
    });
    Ok(Arc::new(rows.collect::<Result<Int32Array>>()?))
}

/// `regexp_substr(text, pattern, [start, [n, [flags, [subexpression]]]])`
pub(crate) fn substr(args: &Arguments<'_>) -> Result<ArrayRef> {
    let mut known = Patterns::default();
    args.texts(|row| {
        let text = args.text(0).value(row);
        let wanted = Wanted {
            text,
            from: byte_of(text, number(args, 2, row, "start", 1)?),
            nth: number(args, 3, row, "n", 1)?,
            subexpression: number(args, 5, row, "subexpr", 0)?,
        };
        let regex =
            known.get(args.text(1).value(row), local_flags(args, 4, row, "regexp_substr")?)?;
        Ok(wanted.find(regex).map(|found| found.as_str().to_owned()))
    })
}

/// `regexp_replace(text, pattern, replacement, start, [n, [flags]])`: the n-th match from there on,
/// all of them for 0.
pub(crate) fn replace_from(args: &Arguments<'_>) -> Result<ArrayRef> {
    let mut known = Patterns::default();
    args.texts(|row| {
        let text = args.text(0).value(row);
        let start = number(args, 3, row, "start", 1)?;
        let flags = flags(args, 5, row);
        let nth = match args.arrays.get(4) {
            Some(_) => number(args, 4, row, "n", 0)?,
            None => usize::from(!flags.contains('g')),
        };
        let regex = known.get(args.text(1).value(row), flags)?;
        let Some(from) = byte_of(text, start) else { return Ok(Some(text.to_owned())) };
        let replacement = args.text(2).value(row);
        let (mut made, mut kept) = (String::new(), 0);
        for (at, found) in matches(regex, text, from).enumerate() {
            if nth != 0 && at + 1 != nth {
                continue;
            }
            let Some(whole) = found.get(0) else { continue };
            made.push_str(&text[kept..whole.start()]);
            expand(replacement, &found, &mut made);
            kept = whole.end();
            if nth != 0 {
                break;
            }
        }
        made.push_str(&text[kept..]);
        Ok(Some(made))
    })
}

/// `regexp_matches(text, pattern, [flags])`: a row for the first match, or with `g` for each.
pub(crate) fn all(args: &Arguments<'_>) -> Result<ArrayRef> {
    let mut known = Patterns::default();
    let (mut found, mut lengths) = (Vec::new(), Vec::with_capacity(args.rows));
    for row in 0..args.rows {
        let before = found.len();
        if !args.is_null(row) {
            let flags = flags(args, 2, row);
            let regex = known.get(args.text(1).value(row), flags)?;
            let most = if flags.contains('g') { usize::MAX } else { 1 };
            let text = args.text(0).value(row);
            found.extend(
                matches(regex, text, 0).take(most).map(|found| Some(groups(regex, &found))),
            );
        }
        lengths.push(found.len() - before);
    }
    let crate::pgtype::PgType::Array(element) = args.result else {
        return Err(Error::internal("a set is a list"));
    };
    let values = texts_as(found, element, args)?;
    let arrow::datatypes::DataType::List(field) = args.result.arrow() else {
        return Err(Error::internal("a set is a list"));
    };
    let offsets = arrow::buffer::OffsetBuffer::from_lengths(lengths);
    Ok(Arc::new(arrow::array::ListArray::new(field, offsets, values, None)))
}
