//! The functions that go with the catalog: what psql, drivers, ORMs and dashboards call beside
//! `pg_catalog` and `information_schema`.
//!
//! A function is declared in a table of its family (`call.rs` says how) and holds the session's
//! [`Context`], so that a plan that is run again asks anew. Those that return sets are lists of
//! structs in a plan ([`set_functions`]): the binder takes them apart.

mod arrays;
mod backend;
mod call;
mod comment;
mod declare;
mod describe;
mod information;
mod names;
mod privilege;
mod recall;
mod sequence;
mod session;
mod sets;
mod size;
mod udf;
mod verify;
mod visible;

use crate::{pgtype::PgType, sql::Context};
use datafusion::logical_expr::ScalarUDF;
use declare::Function;
use std::sync::Arc;
use udf::PgFunction;

/// The families of functions with one answer.
const FAMILIES: [&[Function]; 11] = [
    backend::FUNCTIONS,
    comment::FUNCTIONS,
    describe::FUNCTIONS,
    information::FUNCTIONS,
    names::FUNCTIONS,
    privilege::FUNCTIONS,
    sequence::FUNCTIONS,
    session::FUNCTIONS,
    size::FUNCTIONS,
    visible::FUNCTIONS,
    visible::ALWAYS,
];

/// The functions with one answer, for a session. Their names are unqualified: all lie in
/// `pg_catalog` but those that begin with `_pg_`, which lie in `information_schema`.
#[must_use]
pub fn functions(context: &Arc<dyn Context>) -> Vec<Arc<ScalarUDF>> {
    let declared = FAMILIES.into_iter().flatten();
    declared.map(|function| PgFunction::udf(function, context)).chain(arrays::functions()).collect()
}

/// The functions that return rows. Each answers a list of structs whose fields are the columns.
#[must_use]
pub fn set_functions(context: &Arc<dyn Context>) -> Vec<Arc<ScalarUDF>> {
    [sets::FUNCTIONS, recall::FUNCTIONS, verify::FUNCTIONS]
        .into_iter()
        .flatten()
        .map(|function| PgFunction::udf(function, context))
        .chain(arrays::sets())
        .collect()
}

/// The types that arguments without a type of their own (untyped literals, parameters) are taken
/// for; `None` for functions that are not of here, or not with so many arguments.
#[must_use]
pub fn parameter_types(function: &ScalarUDF, count: usize) -> Option<Vec<PgType>> {
    let inner = function.inner().as_ref() as &dyn std::any::Any;
    inner.downcast_ref::<PgFunction>()?.parameter_types(count)
}

#[cfg(test)]
mod tests;
