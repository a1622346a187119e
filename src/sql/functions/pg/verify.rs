//! `nearlake_verify_index`: whether a vector index is what its table wants it to be, checked now.

use super::{
    call::{Call, Value},
    declare::{
        Function,
        Kind::{Bool, Float8, Object, Text},
    },
    recall::may_search,
};
use crate::{error::Result, pgtype::RegKind};

pub(super) const FUNCTIONS: &[Function] = &[Function::set(
    "nearlake_verify_index",
    &[Object(RegKind::Class)],
    &[("check", Text), ("ok", Bool), ("measured", Float8), ("bound", Float8), ("detail", Text)],
    nearlake_verify_index,
)
.volatile()];

fn nearlake_verify_index(call: &Call<'_>) -> Result<Vec<Vec<Value<'static>>>> {
    let index = call.relation(0)?;
    may_search(call, index)?;
    let checks = call.context.verify_index(index)?;
    let row = |check: crate::sql::IndexCheck| {
        vec![
            check.check.into(),
            check.ok.into(),
            check.measured.into(),
            check.bound.into(),
            check.detail.into(),
        ]
    };
    Ok(checks.into_iter().map(row).collect())
}
