//! The condition of a webhook: an expression over one row.

use crate::{
    catalog::Table,
    error::{Error, Result, SqlState},
    ids::ColumnId,
    pgtype::PgType,
    sql::{
        Context, Relations,
        binder::{Binder, Place},
        coerce::Reason,
        dml::{has_subquery, row_scope},
        generated::is_immutable,
        parse::parse_expression,
        typed::bare,
    },
};
use datafusion::common::Column;
use std::sync::Arc;

/// Checks a condition over a table's rows; the columns that it reads.
///
/// # Errors
/// 42804 when it is no boolean, 42P17 when it may be another for the same row at another time, and
/// those of binding.
pub fn condition_columns(
    table: &Table,
    text: &str,
    context: &Arc<dyn Context>,
    relations: &dyn Relations,
) -> Result<Vec<ColumnId>> {
    let expr = parse_expression(text)?;
    let name = |column: &crate::catalog::Column| Column::new_unqualified(&column.name);
    let places: Vec<Column> = table.columns.iter().map(name).collect();
    let mut binder = Binder::new(context, relations, None, &[]);
    let typed = binder.apart(|binder| {
        binder.scopes.push(row_scope(table, &table.name, &places));
        binder.in_place(Place::plain("webhook conditions"), |binder| binder.expr(&expr))
    })?;
    let kind = typed.kind.clone();
    let typed = binder.coerce(typed, &PgType::Bool, Reason::Assignment).map_err(|error| {
        if error.state() != SqlState::DATATYPE_MISMATCH {
            return error;
        }
        let message = format!("argument of WHERE must be type boolean, not type {}", bare(&kind));
        Error::new(SqlState::DATATYPE_MISMATCH, message)
    })?;
    if has_subquery(&typed.expr)? {
        return Err(Error::unsupported("cannot use subquery in webhook condition")
            .hint("A condition is about one row."));
    }
    if !is_immutable(&typed.expr)? {
        return Err(Error::new(SqlState::new(b"42P17"), "webhook condition is not immutable")
            .detail("It may be another for the same row at another time."));
    }
    let used = typed.expr.column_refs();
    let reads = table.columns.iter().filter(|column| used.contains(&name(column)));
    Ok(reads.map(|column| column.id).collect())
}
