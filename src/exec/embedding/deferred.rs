//! Rows that were written without their vectors get them.
//!
//! A row that lacks its vector is one whose column is NULL. So nothing beside the table says what
//! is left to do, and nothing can be lost: after a crash the rows are looked through again.

use super::Expression;
use crate::{
    catalog::{Column, Table},
    error::{Error, Result, SqlState},
    exec::{
        locks::{Mode, Target},
        table::column_specs,
        transaction::Transaction,
        write::{Env, RowChecks, storage_schema, to_storage},
    },
    ids::{ColumnId, RowId},
    storage::{columns::ColumnSpec, table::TableState},
};
use arrow::{
    array::{Array, ArrayRef, RecordBatch, UInt64Array},
    compute::{take, take_record_batch},
};
use roaring::RoaringTreemap;
use std::sync::Arc;

/// What became of a lot.
#[derive(Debug, Default)]
pub struct Filled {
    /// How many rows have their vectors now.
    pub rows: u64,
    /// Rows whose texts no model takes, and why.
    pub failed: Vec<(RowId, Error)>,
    /// Rows that another transaction holds: to be tried again.
    pub held: RoaringTreemap,
}

/// Whether a column's values are added where they are missing.
#[must_use]
pub fn is_completed(table: &Table, column: &Column) -> bool {
    table.completes_embedding() && !column.models.is_empty()
}

/// The live rows from one on that have no value in a column.
///
/// # Errors
/// Those of reading.
pub async fn lacking(
    table: &Table,
    column: &Column,
    rows: &TableState,
    from: RowId,
) -> Result<RoaringTreemap> {
    let spec = [ColumnSpec::new(column.id, column.kind.clone())];
    let mut lacking = RoaringTreemap::new();
    debug_assert!(table.column_by_id(column.id).is_some(), "the column is the table's");
    for group in rows.groups().filter(|group| group.end_row() > from) {
        let values = group.columns(&spec).await?.swap_remove(0);
        if values.logical_null_count() == 0 {
            continue;
        }
        let (ids, live) = (group.row_ids(), group.live_mask());
        let nulls = values.logical_nulls();
        for place in 0..group.len() {
            let is_live = live.as_ref().is_none_or(|live| live.value(place));
            let is_null = nulls.as_ref().is_some_and(|nulls| nulls.is_null(place));
            if is_live && is_null && ids.row(place) >= from {
                lacking.insert(ids.row(place).0);
            }
        }
    }
    Ok(lacking)
}

/// Gives some rows the values of a column of their table, which is locked against DDL: as long as it
/// was not, the column could get another expression.
///
/// # Errors
/// What is not the fault of a row: a model that cannot be asked, locks, reading.
pub async fn fill(
    table: &Arc<Table>,
    column: ColumnId,
    rows: &[RowId],
    env: &Env,
    transaction: &mut Transaction,
) -> Result<Filled> {
    let snapshot = transaction.snapshot();
    let mut filled = Filled::default();
    let column = table.column_by_id(column).filter(|column| is_completed(table, column));
    let Some(column) = column else { return Ok(filled) };
    let text = column.generated.as_deref().unwrap_or("NULL");
    let expression = Expression::new(table, text, &column.kind, env)?;
    let state = snapshot.table(table.id);
    let live: Vec<RowId> = rows.iter().copied().filter(|&row| state.is_live(row)).collect();
    let sources = state.take(&live, &expression.specs()).await?;
    let values = values(&expression, sources.columns(), &live, env, &mut filled).await?;

    // Rows are held only now that their vectors are there: making them takes long.
    let mut kept: Vec<(u64, RowId)> = Vec::new();
    for (place, &row) in live.iter().enumerate().filter(|(place, _)| values.is_valid(*place)) {
        let target = Target::Row(table.id, row);
        match transaction.locks().try_acquire(transaction.owner(), &target, Mode::Exclusive) {
            Some(_) => kept.push((place as u64, row)),
            None => drop(filled.held.insert(row.0)),
        }
    }
    let newest = transaction.newest();
    kept.retain(|&(_, row)| newest.committed_state().table(table.id).is_live(row));
    if kept.is_empty() {
        return Ok(filled);
    }
    let ids: Vec<RowId> = kept.iter().map(|&(_, row)| row).collect();
    let places = UInt64Array::from_iter_values(kept.iter().map(|&(place, _)| place));
    let old = state.take(&ids, &column_specs(table)?).await?;
    let mut columns: Vec<ArrayRef> = old.columns().to_vec();
    let place = table.position(column.id).ok_or_else(|| Error::internal("a column is gone"))?;
    columns[place] = take(&values, &places, None)?;
    let new = to_storage(&storage_schema(table), &columns, ids.len())?;
    let (ids, new) = passing(table, ids, new, env, &mut filled).await?;
    if ids.is_empty() {
        return Ok(filled);
    }
    let gone: RoaringTreemap = ids.iter().map(|row| row.0).collect();
    transaction.delete(table, snapshot.first_own_row(table.id), &gone);
    if transaction.catalog().told_old_columns(table).is_some() {
        // To webhooks it is an update.
        transaction.replacing(table, snapshot.first_own_row(table.id), &ids);
    }
    transaction.insert(table, new);
    filled.rows = ids.len() as u64;
    Ok(filled)
}

/// Those of the new rows that constraints let pass; where one does not, each by itself.
async fn passing(
    table: &Arc<Table>,
    ids: Vec<RowId>,
    new: RecordBatch,
    env: &Env,
    filled: &mut Filled,
) -> Result<(Vec<RowId>, RecordBatch)> {
    let checks = RowChecks::new(table, &env.context)?;
    match checks.check(&new, env).await {
        Err(error) if is_of_row(&error) => {}
        checked => return checked.map(|()| (ids, new)),
    }
    let mut passed = Vec::with_capacity(ids.len());
    for (place, &row) in ids.iter().enumerate() {
        match checks.check(&new.slice(place, 1), env).await {
            Ok(()) => passed.push(place),
            Err(error) if is_of_row(&error) => filled.failed.push((row, error)),
            Err(error) => return Err(error),
        }
    }
    let places = UInt64Array::from_iter_values(passed.iter().map(|&place| place as u64));
    let ids = passed.into_iter().map(|place| ids[place]).collect();
    Ok((ids, take_record_batch(&new, &places)?))
}

/// The values of rows; where one cannot be made, each by itself.
async fn values(
    expression: &Expression,
    sources: &[ArrayRef],
    rows: &[RowId],
    env: &Env,
    filled: &mut Filled,
) -> Result<ArrayRef> {
    match expression.values(sources, rows.len(), env).await {
        Err(error) if is_of_row(&error) => {}
        made => return made,
    }
    let mut made: Vec<ArrayRef> = Vec::with_capacity(rows.len());
    let mut is_made = Vec::with_capacity(rows.len());
    for (place, &row) in rows.iter().enumerate() {
        let own: Vec<ArrayRef> = sources.iter().map(|source| source.slice(place, 1)).collect();
        match expression.values(&own, 1, env).await {
            Ok(value) => {
                made.push(value);
                is_made.push(Some(made.len() as u64 - 1));
            }
            Err(error) if is_of_row(&error) => {
                filled.failed.push((row, error));
                is_made.push(None);
            }
            Err(error) => return Err(error),
        }
    }
    let parts: Vec<&dyn Array> = made.iter().map(AsRef::as_ref).collect();
    if parts.is_empty() {
        // Nothing can be made of any row: their kind is that of no row.
        return expression
            .values(&no_rows(sources), 0, env)
            .await
            .and_then(|none| Ok(take(&none, &UInt64Array::from(is_made), None)?));
    }
    Ok(take(&arrow::compute::concat(&parts)?, &UInt64Array::from(is_made), None)?)
}

fn no_rows(sources: &[ArrayRef]) -> Vec<ArrayRef> {
    sources.iter().map(|source| source.slice(0, 0)).collect()
}

/// Whether an error is the fault of a row's own values.
fn is_of_row(error: &Error) -> bool {
    ["22", "23"].contains(&error.state().class())
        || error.state() == SqlState::PROGRAM_LIMIT_EXCEEDED
}
