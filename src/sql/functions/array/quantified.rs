//! A value compared with the elements of an array: `= ANY`, `LIKE ALL` and their kin.

use crate::{
    error::Result,
    pgtype::PgType,
    sql::{
        Context,
        error::from_arrow,
        functions::{
            call::{Arguments, Body, Call},
            lists::{list, range},
            text::pattern::is_like,
        },
    },
};
use arrow::{
    array::{Array, ArrayRef, AsArray, BooleanBuilder, ListArray, make_comparator},
    compute::SortOptions,
};
use datafusion::logical_expr::{Expr, ScalarUDF, Volatility, expr::ScalarFunction};
use std::{cmp::Ordering, sync::Arc};

/// The value and the array, if an expression is `value = ANY (array)`.
#[must_use]
pub fn as_any_of(expr: &Expr) -> Option<(&Expr, &Expr)> {
    let Expr::ScalarFunction(ScalarFunction { func, args }) = expr else { return None };
    match args.as_slice() {
        [value, array] if func.name() == "= any" => Some((value, array)),
        _ => None,
    }
}

/// The function of `value op ANY (array)` or `ALL`, over values of one type.
pub(crate) fn quantified(
    op: &str,
    all: bool,
    kind: PgType,
    context: &Arc<dyn Context>,
) -> Option<Arc<ScalarUDF>> {
    let body: Body = match (op, all) {
        ("=", false) => |args| quantify(args, false, |order| order == Ordering::Equal),
        ("=", true) => |args| quantify(args, true, |order| order == Ordering::Equal),
        ("<>", false) => |args| quantify(args, false, |order| order != Ordering::Equal),
        ("<>", true) => |args| quantify(args, true, |order| order != Ordering::Equal),
        ("<", false) => |args| quantify(args, false, |order| order == Ordering::Less),
        ("<", true) => |args| quantify(args, true, |order| order == Ordering::Less),
        ("<=", false) => |args| quantify(args, false, |order| order != Ordering::Greater),
        ("<=", true) => |args| quantify(args, true, |order| order != Ordering::Greater),
        (">", false) => |args| quantify(args, false, |order| order == Ordering::Greater),
        (">", true) => |args| quantify(args, true, |order| order == Ordering::Greater),
        (">=", false) => |args| quantify(args, false, |order| order != Ordering::Less),
        (">=", true) => |args| quantify(args, true, |order| order != Ordering::Less),
        ("~~", false) => |args| matching(args, false, false, false),
        ("~~", true) => |args| matching(args, true, false, false),
        ("~~*", false) => |args| matching(args, false, true, false),
        ("~~*", true) => |args| matching(args, true, true, false),
        ("!~~", false) => |args| matching(args, false, false, true),
        ("!~~", true) => |args| matching(args, true, false, true),
        ("!~~*", false) => |args| matching(args, false, true, true),
        ("!~~*", true) => |args| matching(args, true, true, true),
        _ => return None,
    };
    let name = format!("{op} {}", if all { "all" } else { "any" });
    let kinds = vec![kind.clone(), kind.array()];
    Some(Call::udf(&name, kinds, PgType::Bool, Volatility::Immutable, body, context))
}

fn quantify(args: &Arguments<'_>, all: bool, test: fn(Ordering) -> bool) -> Result<ArrayRef> {
    let lists = list(&args.arrays[1]);
    let value = &args.arrays[0];
    let compare =
        make_comparator(value, lists.values(), SortOptions::default()).map_err(from_arrow)?;
    three_valued(lists, args.rows, all, |row, at| {
        (value.is_valid(row) && lists.values().is_valid(at)).then(|| test(compare(row, at)))
    })
}

fn matching(args: &Arguments<'_>, all: bool, fold: bool, negated: bool) -> Result<ArrayRef> {
    let lists = list(&args.arrays[1]);
    let texts = args.text(0);
    let patterns = lists.values().as_string::<i32>();
    let fold = |text: &str| if fold { text.to_lowercase() } else { text.to_owned() };
    three_valued(lists, args.rows, all, |row, at| {
        (texts.is_valid(row) && patterns.is_valid(at))
            .then(|| is_like(&fold(texts.value(row)), &fold(patterns.value(at))) != negated)
    })
}

/// ANY is an OR of all elements, ALL an AND; NULL as in both.
fn three_valued(
    lists: &ListArray,
    rows: usize,
    all: bool,
    test: impl Fn(usize, usize) -> Option<bool>,
) -> Result<ArrayRef> {
    let mut out = BooleanBuilder::with_capacity(rows);
    for row in 0..rows {
        if lists.is_null(row) {
            out.append_null();
            continue;
        }
        let mut result = Some(all);
        for at in range(lists, row) {
            match test(row, at) {
                Some(met) if met != all => {
                    result = Some(!all);
                    break;
                }
                Some(_) => {}
                None => result = None,
            }
        }
        out.append_option(result);
    }
    Ok(Arc::new(out.finish()))
}
