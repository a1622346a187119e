//! What a transaction did, and how it becomes a commit.

use crate::{
    catalog::Change,
    error::{Error, Result},
    exec::{
        commit::{Base, Commit, TableCommit},
        events,
        state::States,
        table::column_specs,
    },
    ids::{IndexId, RowId, TableId},
    index::Index,
    storage::{
        columns::{batch_of, columns_of},
        table::TableState,
    },
};
use arrow::{array::BooleanArray, compute::filter_record_batch};
use roaring::RoaringTreemap;
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

/// What a transaction did so far. Cheap to clone: a savepoint is a clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Work {
    pub(super) tables: BTreeMap<TableId, Buffer>,
    pub(super) changes: Vec<Change>,
    pub(super) bases: Vec<Base>,
    pub(super) built: HashMap<IndexId, Index>,
}

/// What a transaction did to the rows of one table.
#[derive(Debug, Clone)]
pub(super) struct Buffer {
    /// Own rows, by ordinal.
    pub(super) rows: TableState,
    /// Committed rows that are deleted.
    pub(super) deletes: RoaringTreemap,
    /// Whether the committed rows are all gone.
    pub(super) truncate: bool,
    /// Own rows, by ordinal, that took the place of committed ones: kept for webhooks.
    pub(super) replaced: BTreeMap<u64, RowId>,
}

/// A place to go back to, within a statement.
#[derive(Debug, Clone)]
pub struct Mark(pub(super) Work);

impl Buffer {
    pub(super) fn over(&self, committed: &TableState) -> TableState {
        let base = if self.truncate { committed.truncate() } else { committed.clone() };
        // A table that this transaction made has no committed state that knows its keys.
        let base = if base.next_row() == RowId(0) { self.keyed(base) } else { base };
        let base = if self.deletes.is_empty() { base } else { base.delete(&self.deletes) };
        base.overlay(&self.rows)
    }

    fn keyed(&self, empty: TableState) -> TableState {
        let keys = self.rows.keys().into_iter();
        keys.fold(empty, |rows, key| rows.with_key(key))
    }

    /// The committed rows that are gone, each with the place of the row that took its place: the
    /// offset from the first of the new rows.
    fn told_of(&self) -> BTreeMap<RowId, Option<u64>> {
        let mut gone: BTreeMap<RowId, Option<u64>> =
            self.deletes.iter().map(|row| (RowId(row), None)).collect();
        if self.replaced.is_empty() {
            return gone;
        }
        // Rows of segments keep their ordinals; of the others only the live ones are committed.
        let mut offset = self.rows.segments().map(|s| s.meta().end_row().0).max().unwrap_or(0);
        for group in self.rows.groups() {
            let (ids, mask) = (group.row_ids(), group.live_mask());
            let is_segment = group.memtable_batch().is_none();
            for (at, ordinal) in ids.iter().enumerate() {
                if mask.as_ref().is_some_and(|mask| !mask.value(at)) {
                    continue;
                }
                if let Some(origin) = self.replaced.get(&ordinal.0) {
                    gone.insert(*origin, Some(if is_segment { ordinal.0 } else { offset }));
                }
                offset += u64::from(!is_segment);
            }
        }
        gone
    }

    async fn into_commit(self, table: TableId) -> Result<TableCommit> {
        let mut commit = TableCommit::new(table);
        commit.deletes = self.deletes;
        commit.truncate = self.truncate;
        for segment in self.rows.segments() {
            commit.segments.push(Arc::clone(segment));
        }
        for group in self.rows.groups() {
            let Some(batch) = group.memtable_batch() else {
                let deleted = group.deleted_rows();
                commit.own_deletes.extend(deleted.map(|row: RowId| row.0));
                continue;
            };
            let batch = match group.live_mask() {
                None => batch.clone(),
                Some(mask) => filter_record_batch(batch, &BooleanArray::new(mask, None))
                    .map_err(|error| Error::internal("own rows").source(error))?,
            };
            if batch.num_rows() > 0 {
                commit.rows.push(batch);
            }
        }
        Ok(commit)
    }
}

impl Work {
    pub(super) async fn into_commit(self, states: &States) -> Result<Commit> {
        let mut tables = Vec::new();
        let has_webhooks = states.snapshot().catalog.has_webhooks();
        for (id, buffer) in self.tables {
            let told = match has_webhooks && !buffer.deletes.is_empty() {
                true => {
                    Box::pin(events::told(&buffer.told_of(), id, &self.changes, states)).await?
                }
                false => None,
            };
            let mut table = buffer.into_commit(id).await?;
            table.told = told;
            if table.rows.windows(2).any(|pair| pair[0].schema() != pair[1].schema()) {
                // The columns changed between rows: all are committed with those of the end.
                let catalog = states.snapshot().catalog.with(&self.changes);
                if let Some(found) = catalog.table(id) {
                    let specs = column_specs(found)?;
                    for batch in &mut table.rows {
                        *batch = batch_of(&specs, columns_of(batch, &specs)?, batch.num_rows())?;
                    }
                }
            }
            if !table.is_empty() {
                tables.push(table);
            }
        }
        Ok(Commit { changes: self.changes, bases: self.bases, built: self.built, tables })
    }
}
