//! What is true, false or unknown of items.

use super::{is_suppressible, items::Walk};
use crate::{
    error::{Error, Result, SqlState},
    pgtype::jsonpath::{Compare, Expr},
};
use regex::{Regex, RegexBuilder};
use serde_json::Value;
use std::cmp::Ordering;

impl Walk<'_> {
    /// Whether a predicate holds; `None`: unknown.
    pub(super) fn holds(self, predicate: &Expr) -> Result<Option<bool>> {
        Ok(match predicate {
            Expr::And(left, right) => match self.holds(left)? {
                Some(false) => Some(false),
                left => match self.holds(right)? {
                    Some(true) => left,
                    right => right,
                },
            },
            Expr::Or(left, right) => match self.holds(left)? {
                Some(true) => Some(true),
                left => match self.holds(right)? {
                    Some(false) => left,
                    right => right,
                },
            },
            Expr::Not(inner) => self.holds(inner)?.map(|value| !value),
            Expr::IsUnknown(inner) => Some(self.holds(inner)?.is_none()),
            Expr::Exists(inner) => self.items_of(inner)?.map(|items| !items.is_empty()),
            Expr::Compare(op, left, right) => {
                let (left, right) = (self.unwrapped_of(left)?, self.unwrapped_of(right)?);
                let (Some(left), Some(right)) = (left, right) else { return Ok(None) };
                any(self, &left, |left| any(self, &right, |right| Ok(compare(*op, left, right))))?
            }
            Expr::StartsWith(whole, start) => {
                let (whole, start) = (self.unwrapped_of(whole)?, self.items_of(start)?);
                let (Some(whole), Some(start)) = (whole, start) else { return Ok(None) };
                any(self, &whole, |whole| {
                    any(self, &start, |start| {
                        Ok(whole
                            .as_str()
                            .zip(start.as_str())
                            .map(|(whole, start)| whole.starts_with(start)))
                    })
                })?
            }
            Expr::LikeRegex(inner, pattern, flags) => {
                let Some(items) = self.unwrapped_of(inner)? else { return Ok(None) };
                let regex = regex_of(pattern, flags)?;
                any(self, &items, |item| Ok(item.as_str().map(|text| regex.is_match(text))))?
            }
            _ => return Err(Error::internal("items are no predicate")),
        })
    }

    /// The items of an operand; nothing where the path does not fit.
    fn items_of(self, expr: &Expr) -> Result<Option<Vec<Value>>> {
        match self.items(expr) {
            Ok(items) => Ok(Some(items)),
            Err(error) if is_suppressible(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn unwrapped_of(self, expr: &Expr) -> Result<Option<Vec<Value>>> {
        Ok(self.items_of(expr)?.map(|items| self.unwrapped(items)))
    }
}

/// Whether a test holds for any item: in lax mode the first that it holds for decides, in strict mode
/// one that it cannot be said of makes all unknown.
fn any(
    walk: Walk<'_>,
    items: &[Value],
    test: impl Fn(&Value) -> Result<Option<bool>>,
) -> Result<Option<bool>> {
    let mut result = Some(false);
    for item in items {
        match test(item)? {
            Some(true) if !walk.is_strict() => return Ok(Some(true)),
            Some(true) if result.is_some() => result = Some(true),
            None if walk.is_strict() => return Ok(None),
            None => result = None,
            Some(_) => {}
        }
    }
    Ok(result)
}

fn compare(op: Compare, left: &Value, right: &Value) -> Option<bool> {
    let order = match (left, right) {
        (Value::Null, Value::Null) => Ordering::Equal,
        // Null is unequal to everything else, and in no order with it.
        (Value::Null, _) | (_, Value::Null) => return Some(op == Compare::NotEqual),
        (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
        (Value::Number(a), Value::Number(b)) => match (a.as_i64(), b.as_i64()) {
            (Some(a), Some(b)) => a.cmp(&b),
            _ => a.as_f64()?.partial_cmp(&b.as_f64()?)?,
        },
        (Value::String(a), Value::String(b)) => a.cmp(b),
        _ => return None,
    };
    Some(match op {
        Compare::Equal => order.is_eq(),
        Compare::NotEqual => order.is_ne(),
        Compare::Less => order.is_lt(),
        Compare::LessOrEqual => order.is_le(),
        Compare::Greater => order.is_gt(),
        Compare::GreaterOrEqual => order.is_ge(),
    })
}

fn regex_of(pattern: &str, flags: &str) -> Result<Regex> {
    let escaped;
    let pattern = if flags.contains('q') {
        escaped = regex::escape(pattern);
        escaped.as_str()
    } else {
        pattern
    };
    RegexBuilder::new(pattern)
        .case_insensitive(flags.contains('i'))
        .dot_matches_new_line(flags.contains('s'))
        .multi_line(flags.contains('m'))
        .build()
        .map_err(|error| {
            let what = "invalid regular expression";
            Error::new(SqlState::INVALID_REGULAR_EXPRESSION, what).source(error)
        })
}
