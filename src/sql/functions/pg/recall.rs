//! `nearlake_recall`: how much of the true answer searches by an index find, measured now.

use super::{
    call::{Call, Value},
    declare::{
        Function,
        Kind::{Float8, Int4, Object},
    },
};
use crate::{
    catalog::Privileges,
    error::{Error, Result, SqlState},
    ids::Oid,
    pgtype::RegKind,
};

/// What is measured where nobody says otherwise.
const NEIGHBOURS: i64 = 10;
const QUERIES: i64 = 100;
/// The most that can be asked for.
const NEIGHBOURS_MAX: i64 = 1000;
const QUERIES_MAX: i64 = 10_000;

pub(super) const FUNCTIONS: &[Function] = &[Function::set(
    "nearlake_recall",
    &[Object(RegKind::Class), Int4, Int4],
    &[
        ("target", Float8),
        ("recall", Float8),
        ("confidence_low", Float8),
        ("confidence_high", Float8),
        ("samples", Int4),
        ("live_samples", Int4),
    ],
    nearlake_recall,
)
.optional_last(2)
.volatile()];

fn nearlake_recall(call: &Call<'_>) -> Result<Vec<Vec<Value<'static>>>> {
    let index = call.relation(0)?;
    may_search(call, index)?;
    let k = bounded(call, 1, "k", NEIGHBOURS, NEIGHBOURS_MAX)?;
    let queries = bounded(call, 2, "queries", QUERIES, QUERIES_MAX)?;
    let measured = call.context.measure_recall(index, k, queries)?;
    Ok(vec![vec![
        measured.target.into(),
        measured.recall.into(),
        measured.low.into(),
        measured.high.into(),
        measured.samples.into(),
        measured.live_samples.into(),
    ]])
}

/// Whoever may read a table may ask how its indexes do.
pub(super) fn may_search(call: &Call<'_>, index: Oid) -> Result<()> {
    let Some(index) = call.catalog.index(index) else { return Ok(()) };
    call.catalog.check_any(call.context.user(), index.table, Privileges::SELECT)
}

fn bounded(call: &Call<'_>, place: usize, name: &str, default: i64, max: i64) -> Result<usize> {
    let number = call.int(place).unwrap_or(default);
    usize::try_from(number).ok().filter(|_| (1..=max).contains(&number)).ok_or_else(|| {
        Error::new(
            SqlState::INVALID_PARAMETER_VALUE,
            format!("{name} must be between 1 and {max}, not {number}"),
        )
    })
}
