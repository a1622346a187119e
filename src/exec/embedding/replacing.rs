//! A column gets the values of another expression, all at once.
//!
//! ```text
//!  1  ALTER TABLE … SET EXPRESSION   the column remembers its replacement; a table for values is made
//!  2  gather, lot by lot             values by row number; the old ones are searched meanwhile
//!  3  switch, under the table's lock the last values, the rows anew, their indexes, in one commit
//! ```
//!
//! A row's number stands for what the row says, since rows never change. So what was gathered stays
//! right whatever is written meanwhile, and the highest number gathered says where to go on after
//! a crash. Whoever writes meanwhile writes the old expression's values.

use super::{Expression, Lot};
use crate::{
    catalog::{Change, Column, Index as Entry, IndexKind, Replacement, Table},
    error::{Error, Result},
    exec::{
        build::{Source, Subject},
        snapshot::Snapshot,
        table::column_specs,
        transaction::Transaction,
        write::{Env, RowChecks, storage_schema, to_storage},
    },
    ids::{ColumnId, RowId, TableId},
    pgtype::PgType,
    storage::{columns::ColumnSpec, table::TableState},
};
use arrow::{
    array::{ArrayRef, AsArray, Int64Array},
    datatypes::Int64Type,
};
use std::{collections::BTreeMap, sync::Arc};

/// Rows of one lot.
pub const LOT_ROWS: usize = 256;
/// Up to so many rows may be left for the switch to gather under the lock.
const TAIL_ROWS_MAX: usize = LOT_ROWS;
/// Rows that are written anew together.
const COPIED_ROWS: usize = 4096;

/// The columns of the table of gathered values.
const ROW: ColumnId = ColumnId(1);
const VALUE: ColumnId = ColumnId(2);
/// How such tables are called, before the number of the table and of the column.
pub const VALUES_PREFIX: &str = "nearlake_embedding_";

/// The table of a replacement's values.
#[must_use]
pub fn values_table(of: &Table, column: &Column, kind: &PgType, id: crate::ids::Oid) -> Table {
    Table {
        id,
        schema: crate::catalog::PG_CATALOG,
        name: format!("{VALUES_PREFIX}{}_{}", of.id, column.id),
        owner: of.owner,
        columns: vec![
            Column::new(ROW, "row", PgType::Int8),
            Column::new(VALUE, "value", kind.clone()),
        ],
        next_column: ColumnId(3),
        constraints: Vec::new(),
        options: BTreeMap::new(),
        on_commit: None,
        comment: None,
    }
}

/// The highest row whose value is gathered.
///
/// # Errors
/// Those of reading.
pub async fn gathered_to(values: &TableState) -> Result<Option<RowId>> {
    let spec = [ColumnSpec::new(ROW, PgType::Int8)];
    let mut highest = None;
    // Lots ascend, and rows within them.
    let Some(last) = values.groups().last() else { return Ok(None) };
    let rows = last.columns(&spec).await?.swap_remove(0);
    for row in rows.as_primitive::<Int64Type>().iter().flatten() {
        highest = highest.max(Some(RowId(row.cast_unsigned())));
    }
    Ok(highest)
}

/// Gathers the values of a lot of rows, from one on; from which on the next lot begins, and how
/// many there were. Values that the table's constraints refuse are told now, while nobody waits.
///
/// # Errors
/// Those of the expression and of constraints: the replacement rests until it is mended.
pub async fn gather_checked(
    (column, replacement): (ColumnId, &Replacement),
    from: RowId,
    lot: Lot<'_>,
) -> Result<(RowId, usize)> {
    let Lot { table, env, transaction, see } = lot;
    let found = table.column_by_id(column);
    let Some(found) = found.filter(|now| now.replacement.as_deref() == Some(replacement)) else {
        return Ok((from, 0));
    };
    let new = Arc::new(replaced(table, found, replacement));
    let names = transaction.catalog().with(&[Change::Table(Arc::clone(&new))]);
    see(Arc::new(Snapshot::of_names(Arc::new(names))));
    let checks = RowChecks::new(&new, &env.context);
    see(transaction.snapshot());
    gather(table, replacement, from, (env, transaction), Some((column, &new, &checks?))).await
}

async fn gather(
    table: &Arc<Table>,
    replacement: &Replacement,
    from: RowId,
    (env, transaction): (&Env, &mut Transaction),
    checked: Option<(ColumnId, &Table, &RowChecks)>,
) -> Result<(RowId, usize)> {
    let expression = Expression::new(table, &replacement.generated, &replacement.kind, env)?;
    let snapshot = transaction.snapshot();
    let (rows, next) = lot(&snapshot.table(table.id), from, LOT_ROWS);
    if rows.is_empty() {
        return Ok((next, 0));
    }
    let store = transaction.catalog().table(replacement.values).cloned();
    let store = store.ok_or_else(|| Error::internal("the table of values is gone"))?;
    let sources = snapshot.table(table.id).take(&rows, &expression.specs()).await?;
    let values = expression.values(sources.columns(), rows.len(), env).await?;
    if let Some((column, new, checks)) = checked
        && checks.are_any()
    {
        let old = snapshot.table(table.id).take(&rows, &column_specs(table)?).await?;
        let place = table.position(column).ok_or_else(|| Error::internal("a column is gone"))?;
        let mut columns = old.columns().to_vec();
        columns[place] = Arc::clone(&values);
        checks.check(&to_storage(&storage_schema(new), &columns, rows.len())?, env).await?;
    }
    let numbers = Int64Array::from_iter_values(rows.iter().map(|row| row.0.cast_signed()));
    let columns: [ArrayRef; 2] = [Arc::new(numbers), values];
    transaction.insert(&store, to_storage(&storage_schema(&store), &columns, rows.len())?);
    env.spill.spill(&store, transaction).await?;
    Ok((next, rows.len()))
}

/// The live rows from one on, so many at most, and from which on others come.
fn lot(state: &TableState, from: RowId, most: usize) -> (Vec<RowId>, RowId) {
    let mut rows = Vec::new();
    for group in state.groups().filter(|group| group.end_row() > from) {
        let (ids, live) = (group.row_ids(), group.live_mask());
        for place in 0..group.len() {
            let row = ids.row(place);
            if row < from || !live.as_ref().is_none_or(|live| live.value(place)) {
                continue;
            }
            if rows.len() == most {
                return (rows, row);
            }
            rows.push(row);
        }
    }
    (rows, state.next_row().max(from))
}

/// Puts the gathered values in the place of the column's, once they are all there; false when
/// there is more to gather first, or the replacement is gone by now. The table is locked against
/// all others, and what is seen is younger than the lock: rows that are not seen would be lost.
///
/// # Errors
/// Those of the last values, and of constraints.
pub async fn switch(
    (column, values): (ColumnId, TableId),
    from: RowId,
    lot: Lot<'_>,
) -> Result<bool> {
    if lot.transaction.is_behind(lot.table.id) {
        return Err(Error::internal("a replacement does not see every row of its table"));
    }
    let rows = lot.transaction.snapshot().table(lot.table.id);
    if self::lot(&rows, from, TAIL_ROWS_MAX + 1).0.len() > TAIL_ROWS_MAX {
        return Ok(false);
    }
    change_over((column, values), from, lot).await
}

/// The switch itself, however much is left to gather.
///
/// # Errors
/// Those of the last values, and of constraints.
pub async fn change_over(
    (column, values): (ColumnId, TableId),
    mut from: RowId,
    lot: Lot<'_>,
) -> Result<bool> {
    let Lot { table, env, transaction, see } = lot;
    let found = table.column_by_id(column).cloned();
    let Some((found, replacement)) =
        found.and_then(|column| Some((column.clone(), column.replacement?)))
    else {
        return Ok(false);
    };
    if replacement.values != values {
        return Ok(false);
    }
    while let (next, 1..) = gather(table, &replacement, from, (env, transaction), None).await? {
        from = next;
    }
    let new = replaced(table, &found, &replacement);
    write_anew(&new, (&found, &replacement), Lot { table, env, transaction, see }).await?;
    index_anew(table, &new, &found, env, transaction).await?;
    transaction.change([Change::DropTable(replacement.values)]);
    Ok(true)
}

/// The table with the replacement in the column's place. A new type means a new number, so that
/// nothing of the old type is ever read under it.
#[must_use]
pub fn replaced(table: &Table, column: &Column, replacement: &Replacement) -> Table {
    let mut new = table.clone();
    let mut changed = Column {
        generated: Some(replacement.generated.clone()),
        kind: replacement.kind.clone(),
        models: replacement.models.clone(),
        replacement: None,
        missing: None,
        ..column.clone()
    };
    if changed.kind != column.kind {
        (changed.id, changed.number) = (new.next_column, Some(column.attnum()));
        new.next_column.0 += 1;
    }
    if let Some(place) = table.position(column.id) {
        new.columns[place] = changed;
    }
    new
}

/// Every row once more, with its new value.
async fn write_anew(
    new: &Table,
    (column, replacement): (&Column, &Replacement),
    lot: Lot<'_>,
) -> Result<()> {
    let Lot { table, env, transaction, see } = lot;
    let snapshot = transaction.snapshot();
    let (rows, values) = (snapshot.table(table.id), snapshot.table(replacement.values));
    let known = numbers(&values).await?;
    let value_spec = [ColumnSpec::new(VALUE, replacement.kind.clone())];
    let specs = column_specs(table)?;
    let place = table.position(column.id).ok_or_else(|| Error::internal("a column is gone"))?;
    let schema = storage_schema(new);
    transaction.truncate(table);
    let new = Arc::new(new.clone());
    transaction.change([Change::Table(Arc::clone(&new))]);
    see(transaction.snapshot());
    // Rows that came late were not checked yet, nor was any by a constraint that did.
    let checks = RowChecks::new(&new, &env.context)?;
    let mut from = RowId(0);
    loop {
        let (lot, next) = self::lot(&rows, from, COPIED_ROWS);
        if lot.is_empty() {
            return Ok(());
        }
        from = next;
        let found = lot.iter().map(|row| {
            let at = known.binary_search_by_key(&row.0, |&(row, _)| row);
            at.map(|at| known[at].1).map_err(|_| Error::internal("a row without a gathered value"))
        });
        let found: Vec<RowId> = found.collect::<Result<_>>()?;
        let gathered = Arc::clone(values.take(&found, &value_spec).await?.column(0));
        let mut columns = rows.take(&lot, &specs).await?.columns().to_vec();
        columns[place] = gathered;
        let written = to_storage(&schema, &columns, lot.len())?;
        checks.check(&written, env).await?;
        transaction.insert(&new, written);
        env.spill.spill(&new, transaction).await?;
        if env.run.cancel().is_cancelled() {
            return Err(crate::exec::run::cancelled());
        }
    }
}

/// Each row number with the row that holds its value, by number.
async fn numbers(values: &TableState) -> Result<Vec<(u64, RowId)>> {
    let spec = [ColumnSpec::new(ROW, PgType::Int8)];
    let mut known = Vec::new();
    for group in values.groups() {
        let rows = group.columns(&spec).await?.swap_remove(0);
        let (numbers, ids, live) =
            (rows.as_primitive::<Int64Type>().clone(), group.row_ids(), group.live_mask());
        let is_live = |place: &usize| live.as_ref().is_none_or(|live| live.value(*place));
        let places = (0..numbers.len()).filter(is_live);
        known.extend(places.map(|at| (numbers.value(at).cast_unsigned(), ids.row(at))));
    }
    known.sort_unstable();
    known.dedup_by_key(|(number, _)| *number);
    Ok(known)
}

/// The column's indexes over its new values. The table is locked, so that the rows have the
/// numbers now that they will have when they are committed.
async fn index_anew(
    table: &Table,
    new: &Table,
    column: &Column,
    env: &Env,
    transaction: &mut Transaction,
) -> Result<()> {
    let catalog = transaction.catalog();
    let place = table.position(column.id).ok_or_else(|| Error::internal("a column is gone"))?;
    for entry in catalog.indexes_of(table.id) {
        let IndexKind::Vector { column: indexed, metric, include } = &entry.kind else { continue };
        if *indexed != column.id {
            continue;
        }
        let (metric, include) = (*metric, include.clone());
        let kind = IndexKind::Vector { column: new.columns[place].id, metric, include };
        let index = Entry { id: transaction.fresh_oid(), kind, ..Entry::clone(entry) };
        let rows = transaction.snapshot().table(table.id);
        let source = Source::new(&index, new, rows, RowId(u64::MAX))?;
        let id = index.id;
        transaction.change([Change::DropIndex(entry.id), Change::Index(Arc::new(index))]);
        if let Some(source) = source {
            let command = "ALTER TABLE";
            let subject = Subject { process_id: 0, table: table.id, index: entry.id, command };
            let built = env.builds.build(source, subject, env.limits, &env.run).await?;
            transaction.built(id, built);
        }
    }
    Ok(())
}
