//! Patterns: LIKE, SIMILAR TO, regular expressions.

use super::dialect::translated;
use crate::{
    error::{Error, Result, SqlState},
    sql::functions::{call::Arguments, lists::texts_as},
};
use arrow::array::{ArrayRef, AsArray, BooleanArray};
use regex::Regex;
use std::{collections::HashMap, sync::Arc};

/// `a SIMILAR TO b`
pub(crate) fn similar_to(args: &Arguments<'_>) -> Result<ArrayRef> {
    let (texts, patterns) = (args.text(0), args.text(1));
    let mut known = Patterns::default();
    let rows = (0..args.rows).map(|row| {
        if args.is_null(row) {
            return Ok(None);
        }
        let regex = known.get(&similar(patterns.value(row)), "")?;
        Ok(Some(regex.is_match(texts.value(row))))
    });
    Ok(Arc::new(rows.collect::<Result<BooleanArray>>()?))
}

/// SQL's regular expression as a common one: `%` and `_` are wild, the rest of the signs as ever.
pub(super) fn similar(pattern: &str) -> String {
    let mut out = String::from("^(?s:");
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        match c {
            '%' => out.push_str(".*"),
            '_' => out.push('.'),
            '\\' => {
                if let Some(next) = chars.next() {
                    out.push_str(&regex::escape(&next.to_string()));
                }
            }
            '.' | '^' | '$' => {
                out.push('\\');
                out.push(c);
            }
            other => out.push(other),
        }
    }
    out.push_str(")$");
    out
}

/// A LIKE pattern whose escape sign is another as one whose escape sign is the backslash.
pub(crate) fn like_escape(args: &Arguments<'_>) -> Result<ArrayRef> {
    let (patterns, escapes) = (args.text(0), args.text(1));
    args.texts(|row| {
        let escape = escapes.value(row).chars().next();
        let mut out = String::new();
        let mut chars = patterns.value(row).chars();
        while let Some(c) = chars.next() {
            if Some(c) == escape {
                out.push('\\');
                out.extend(chars.next());
            } else if c == '\\' {
                out.push_str("\\\\");
            } else {
                out.push(c);
            }
        }
        Ok(Some(out))
    })
}

/// Whether a text matches a LIKE pattern.
pub(crate) fn is_like(text: &str, pattern: &str) -> bool {
    let (text, pattern): (Vec<char>, Vec<char>) =
        (text.chars().collect(), pattern.chars().collect());
    // Where to go on when the last % has to take one more sign.
    let (mut t, mut p, mut back) = (0, 0, None);
    loop {
        match pattern.get(p) {
            Some('%') => {
                back = Some((t, p + 1));
                p += 1;
                continue;
            }
            Some('_') if t < text.len() => {
                t += 1;
                p += 1;
                continue;
            }
            Some('\\') if p + 1 < pattern.len() && text.get(t) == pattern.get(p + 1) => {
                t += 1;
                p += 2;
                continue;
            }
            Some(c) if *c != '\\' && *c != '_' && text.get(t) == Some(c) => {
                t += 1;
                p += 1;
                continue;
            }
            None if t == text.len() => return true,
            _ => {}
        }
        match back {
            Some((from, after)) if from < text.len() => {
                back = Some((from + 1, after));
                t = from + 1;
                p = after;
            }
            _ => return false,
        }
    }
}

/// Regular expressions, compiled once a batch.
#[derive(Default)]
pub(crate) struct Patterns(HashMap<(String, String), Regex>);

impl Patterns {
    /// The expression under PostgreSQL's flags.
    pub(crate) fn get(&mut self, pattern: &str, flags: &str) -> Result<&Regex> {
        let key = (pattern.to_owned(), flags.to_owned());
        if !self.0.contains_key(&key) {
            let mut options = String::new();
            for flag in flags.chars() {
                match flag {
                    'i' => options.push('i'),
                    'n' | 'm' => options.push('m'),
                    'x' => options.push('x'),
                    's' | 'g' | 'c' | 't' => {}
                    other => {
                        return Err(Error::new(
                            SqlState::INVALID_PARAMETER_VALUE,
                            format!("invalid regular expression option: \"{other}\""),
                        ));
                    }
                }
            }
            // PostgreSQL's dot takes a new line unless told otherwise.
            if !flags.contains(['n', 'm']) {
                options.push('s');
            }
            let text = if options.is_empty() {
                translated(pattern).into_owned()
            } else {
                format!("(?{options}){}", translated(pattern))
            };
            let regex = Regex::new(&text).map_err(|error| {
                Error::new(
                    SqlState::INVALID_REGULAR_EXPRESSION,
                    format!("invalid regular expression: {pattern}"),
                )
                .detail(error.to_string())
            })?;
            self.0.insert(key.clone(), regex);
        }
        Ok(&self.0[&key])
    }
}

pub(super) fn flags<'a>(args: &'a Arguments<'_>, at: usize, row: usize) -> &'a str {
    args.arrays.get(at).map_or("", |array| array.as_string::<i32>().value(row))
}

/// `regexp_replace(text, pattern, replacement, [flags])`
pub(crate) fn regexp_replace(args: &Arguments<'_>) -> Result<ArrayRef> {
    let mut known = Patterns::default();
    args.texts(|row| {
        let flags = flags(args, 3, row);
        let regex = known.get(args.text(1).value(row), flags)?;
        let filled = |found: &regex::Captures<'_>| {
            let mut part = String::new();
            expand(args.text(2).value(row), found, &mut part);
            part
        };
        let text = args.text(0).value(row);
        Ok(Some(if flags.contains('g') {
            regex.replace_all(text, filled).into_owned()
        } else {
            regex.replace(text, filled).into_owned()
        }))
    })
}

pub(super) fn groups(regex: &Regex, found: &regex::Captures<'_>) -> Vec<Option<String>> {
    let from = usize::from(regex.captures_len() > 1);
    (from..regex.captures_len()).map(|at| found.get(at).map(|m| m.as_str().to_owned())).collect()
}

/// A replacement with `\1` to `\9` and `\&` filled in.
pub(super) fn expand(replacement: &str, found: &regex::Captures<'_>, out: &mut String) {
    let group = |at: usize| found.get(at).map_or("", |part| part.as_str());
    let mut signs = replacement.chars();
    while let Some(sign) = signs.next() {
        if sign != '\\' {
            out.push(sign);
            continue;
        }
        match signs.next() {
            Some(digit @ '1'..='9') => out.push_str(group(digit as usize - '0' as usize)),
            Some('&') => out.push_str(group(0)),
            Some('\\') => out.push('\\'),
            Some(other) => out.extend(['\\', other]),
            None => out.push('\\'),
        }
    }
}

/// `regexp_match(text, pattern, [flags])`
pub(crate) fn regexp_match(args: &Arguments<'_>) -> Result<ArrayRef> {
    let mut known = Patterns::default();
    let rows = (0..args.rows)
        .map(|row| {
            if args.is_null(row) {
                return Ok(None);
            }
            let regex = known.get(args.text(1).value(row), flags(args, 2, row))?;
            Ok(regex.captures(args.text(0).value(row)).map(|found| groups(regex, &found)))
        })
        .collect::<Result<Vec<_>>>()?;
    texts_as(rows, args.result, args)
}

/// `regexp_split_to_array(text, pattern, [flags])`
pub(crate) fn regexp_split(args: &Arguments<'_>) -> Result<ArrayRef> {
    let mut known = Patterns::default();
    let rows = (0..args.rows)
        .map(|row| {
            if args.is_null(row) {
                return Ok(None);
            }
            let regex = known.get(args.text(1).value(row), flags(args, 2, row))?;
            Ok(Some(
                regex.split(args.text(0).value(row)).map(|part| Some(part.to_owned())).collect(),
            ))
        })
        .collect::<Result<Vec<_>>>()?;
    texts_as(rows, args.result, args)
}

/// `substring(text from pattern)`
pub(crate) fn regexp_substring(args: &Arguments<'_>) -> Result<ArrayRef> {
    let mut known = Patterns::default();
    args.texts(|row| {
        let regex = known.get(args.text(1).value(row), "")?;
        let found = regex.captures(args.text(0).value(row));
        Ok(found.and_then(|found| groups(regex, &found).into_iter().next().flatten()))
    })
}
