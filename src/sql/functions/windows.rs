//! Window functions that are no aggregates.

use crate::{
    error::Result,
    pgtype::PgType,
    sql::{
        binder::Binder,
        coerce::Reason,
        typed::{Typed, unmodified},
    },
};
use datafusion::{
    functions_window::{
        cume_dist::cume_dist_udwf,
        lead_lag::{lag_udwf, lead_udwf},
        nth_value::{first_value_udwf, last_value_udwf, nth_value_udwf},
        ntile::ntile_udwf,
        rank::{dense_rank_udwf, percent_rank_udwf, rank_udwf},
        row_number::row_number_udwf,
    },
    logical_expr::{Expr, WindowUDF},
};
use std::sync::Arc;

/// A window function with its arguments.
#[derive(Debug)]
pub(crate) struct Window {
    pub(crate) function: Arc<WindowUDF>,
    pub(crate) args: Vec<Expr>,
    pub(crate) result: PgType,
}

/// Whether a name is that of a window function.
pub(crate) fn is_window(name: &str) -> bool {
    is_window_only(name) || matches!(name, "first_value" | "last_value" | "nth_value")
}

/// Whether a name is that of a function that needs OVER.
pub(crate) fn is_window_only(name: &str) -> bool {
    matches!(
        name,
        "row_number"
            | "rank"
            | "dense_rank"
            | "percent_rank"
            | "cume_dist"
            | "ntile"
            | "lag"
            | "lead"
            | "first_value"
            | "last_value"
            | "nth_value"
    )
}

/// The window function of a name for some arguments.
pub(crate) fn window(
    binder: &mut Binder<'_>,
    name: &str,
    args: Vec<Typed>,
) -> Result<Option<Window>> {
    let count = args.len();
    let mut args = args.into_iter();
    let mut value = || match args.next() {
        Some(arg) => binder.settle(arg).map(Some),
        None => Ok(None),
    };
    let plain = |function: Arc<WindowUDF>, result: PgType| {
        Ok(Some(Window { function, args: Vec::new(), result }))
    };
    match (name, count) {
        ("row_number", 0) => return plain(row_number_udwf(), PgType::Int8),
        ("rank", 0) => return plain(rank_udwf(), PgType::Int8),
        ("dense_rank", 0) => return plain(dense_rank_udwf(), PgType::Int8),
        ("percent_rank", 0) => return plain(percent_rank_udwf(), PgType::Float8),
        ("cume_dist", 0) => return plain(cume_dist_udwf(), PgType::Float8),
        _ => {}
    }
    let Some(first) = value()? else { return Ok(None) };
    let second = value()?;
    let third = value()?;
    let whole = |binder: &mut Binder<'_>, typed: Typed| {
        binder.coerce(typed, &PgType::Int8, Reason::Assignment)
    };
    Ok(Some(match (name, count) {
        ("ntile", 1) => {
            let n = whole(binder, first)?;
            Window { function: ntile_udwf(), args: vec![n.expr], result: PgType::Int4 }
        }
        ("lag" | "lead", 1..=3) => {
            let result = unmodified(&first.kind);
            let mut args = vec![first.expr];
            if let Some(offset) = second {
                args.push(whole(binder, offset)?.expr);
            }
            if let Some(default) = third {
                args.push(binder.shaped(default, &result)?.expr);
            }
            let function = if name == "lag" { lag_udwf() } else { lead_udwf() };
            Window { function, args, result }
        }
        ("first_value", 1) => Window {
            function: first_value_udwf(),
            result: unmodified(&first.kind),
            args: vec![first.expr],
        },
        ("last_value", 1) => Window {
            function: last_value_udwf(),
            result: unmodified(&first.kind),
            args: vec![first.expr],
        },
        ("nth_value", 2) => {
            let Some(n) = second else { return Ok(None) };
            let n = whole(binder, n)?;
            Window {
                function: nth_value_udwf(),
                result: unmodified(&first.kind),
                args: vec![first.expr, n.expr],
            }
        }
        _ => return Ok(None),
    }))
}
