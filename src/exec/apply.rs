//! The one door through which committed state changes: a record of the log, applied to a picture,
//! gives the next. The live path and recovery both come through here.

use super::state::DbState;
use crate::{
    catalog::{Catalog, Change, Constraint, Table},
    error::{Error, Result},
    ids::{ColumnId, Oid, RowId, TableId},
    storage::{
        keys::KeySpec,
        segment::{Segment, SegmentStore},
        table::TableState,
        wal::{Record, TableChange},
    },
};
use std::{collections::HashMap, sync::Arc};

/// The picture after a record. Opens the segments that the record names.
///
/// # Errors
/// XX001 when the record does not fit the picture.
pub async fn apply(store: &SegmentStore, state: &DbState, record: &Record) -> Result<DbState> {
    let mut next = state.clone();
    next.lsn = record.lsn;
    if !record.catalog.is_empty() {
        let changes: Vec<Change> = serde_json::from_slice(&record.catalog)
            .map_err(|error| damaged(record, format!("catalog changes: {error}")))?;
        apply_catalog(store, &mut next, &changes).await?;
        if next.catalog.has_webhooks() != state.catalog.has_webhooks() {
            Arc::make_mut(&mut next.catalog).begin_telling(&state.catalog, record.lsn);
        }
    }
    for change in &record.tables {
        if next.catalog.table(change.table).is_none() {
            return Err(damaged(record, format!("no table {}", change.table)));
        }
        let table = apply_rows(store, next.table(change.table), change).await?;
        next = next.with_table(change.table, table);
    }
    Ok(next)
}

async fn apply_catalog(
    store: &SegmentStore,
    state: &mut DbState,
    changes: &[Change],
) -> Result<()> {
    state.catalog = Arc::new(state.catalog.with(changes));
    let tables = Arc::make_mut(&mut state.tables);
    for change in changes {
        match change {
            Change::Table(table) => {
                let rows = tables.remove(&table.id).unwrap_or_else(TableState::empty);
                tables.insert(table.id, with_kept_keys(store, rows, table).await?);
            }
            Change::DropTable(id) => drop(tables.remove(id)),
            Change::DropIndex(id) => drop(Arc::make_mut(&mut state.indexes).remove(id)),
            _ => {}
        }
    }
    forget_orphans(state);
    Ok(())
}

/// Indexes go with their tables.
fn forget_orphans(state: &mut DbState) {
    let catalog = Arc::clone(&state.catalog);
    if state.indexes.keys().any(|&id| catalog.index(id).is_none()) {
        Arc::make_mut(&mut state.indexes).retain(|&id, _| catalog.index(id).is_some());
    }
}

/// Rows whose keys are looked up as the table's constraints of now say; a new key is built.
async fn with_kept_keys(
    store: &SegmentStore,
    mut rows: TableState,
    table: &Table,
) -> Result<TableState> {
    let kept = rows.keys();
    for gone in kept.iter().filter(|key| !table.keys().any(|(c, _)| c.id == key.constraint)) {
        rows = rows.without_key(gone.constraint);
    }
    for (key, columns) in table.keys() {
        if kept.iter().any(|kept| kept.constraint == key.id) {
            continue;
        }
        rows = if rows.next_row() == RowId(0) {
            rows.with_key(key_spec(key, columns))
        } else {
            let specs = super::table::column_specs(table)?;
            let specs: Vec<_> = columns
                .iter()
                .filter_map(|id| specs.iter().find(|s| s.id == *id).cloned())
                .collect();
            rows.build_key(store, key_spec(key, columns), &specs).await?
        };
    }
    Ok(rows)
}

/// Rows whose keys are looked up as the table's constraints say.
#[must_use]
pub fn with_keys(rows: TableState, table: &Table) -> TableState {
    table.keys().fold(rows, |rows, (key, columns)| rows.with_key(key_spec(key, columns)))
}

/// What storage is to know of a key.
pub(super) fn key_spec(key: &Constraint, columns: &[ColumnId]) -> KeySpec {
    let nulls_not_distinct = key.kind.nulls_not_distinct();
    KeySpec { nulls_not_distinct, ..KeySpec::new(key.id, columns.to_vec()) }
}

async fn apply_rows(
    store: &SegmentStore,
    rows: TableState,
    change: &TableChange,
) -> Result<TableState> {
    let mut rows = if change.truncate { rows.truncate() } else { rows };
    if rows.next_row() > change.first_row {
        return Err(Error::corrupt(
            "the log",
            format!("rows of table {} begin at {} again", change.table, change.first_row),
        ));
    }
    if !change.segments.is_empty() {
        let mut segments = Vec::with_capacity(change.segments.len());
        for meta in &change.segments {
            segments.push(Arc::new(Segment::open(store, meta.clone()).await?));
        }
        rows = rows.append_segments(&segments);
    }
    if let Some(batch) = &change.rows {
        rows = rows.append(batch);
    }
    // Last, since a transaction may have deleted rows of segments that it wrote itself.
    if !change.deletes.is_empty() {
        rows = rows.delete(&change.deletes);
    }
    Ok(rows)
}

/// The tables of a picture as the catalog's keys want them, after the manifest was read.
#[must_use]
pub fn keyed(
    catalog: &Catalog,
    tables: HashMap<TableId, TableState>,
) -> HashMap<TableId, TableState> {
    let keyed = |(id, rows): (Oid, TableState)| match catalog.table(id) {
        Some(table) => (id, with_keys(rows, table)),
        None => (id, rows),
    };
    tables.into_iter().map(keyed).collect()
}

fn damaged(record: &Record, message: String) -> Error {
    Error::corrupt(format!("log record {}", record.lsn), message)
}
