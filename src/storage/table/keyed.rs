//! Unique keys of a table: which rows may have a key.

use super::{Inner, PARALLEL_MAX, Part, TableState};
use crate::{
    error::{Error, Result},
    ids::{Oid, RowId},
    storage::{
        columns::{ColumnSpec, column_name},
        keys::{KeyRuns, KeySpec},
        segment::{Segment, SegmentStore},
    },
};
use arrow::array::{ArrayRef, NullArray, RecordBatch};
use futures::{StreamExt, TryStreamExt, stream};
use std::{ops::Range, sync::Arc};

/// One unique constraint, and the hashes of the rows that are not in segments.
#[derive(Debug, Clone)]
pub(super) struct KeyIndex {
    spec: KeySpec,
    runs: KeyRuns,
}

impl KeyIndex {
    pub(super) fn add(&mut self, first: RowId, rows: &RecordBatch) {
        let columns =
            self.spec.columns.iter().map(|&id| rows.column_by_name(&column_name(id)).cloned());
        // A batch without a column of the key has NULL there.
        let columns: Vec<ArrayRef> = columns
            .map(|column| column.unwrap_or_else(|| Arc::new(NullArray::new(rows.num_rows()))))
            .collect();
        self.runs = self.runs.with(first, &self.spec.hashes(&columns));
    }

    pub(super) fn forget(&mut self, rows: &Range<RowId>) {
        self.runs = self.runs.without(rows);
    }

    pub(super) fn emptied(&self) -> Self {
        Self { spec: self.spec.clone(), runs: KeyRuns::default() }
    }
}

impl TableState {
    /// The constraints whose keys are kept.
    #[must_use]
    pub fn keys(&self) -> Vec<KeySpec> {
        self.inner.keys.iter().map(|key| key.spec.clone()).collect()
    }

    /// The state in which the keys of a constraint are kept from now on. Rows that are there
    /// already must have theirs: the segments in their side objects, by [`TableState::build_key`].
    #[must_use]
    pub fn with_key(&self, spec: KeySpec) -> Self {
        let state = self.without_key(spec.constraint);
        state.derive(|inner| inner.keys.push(KeyIndex { spec, runs: KeyRuns::default() }))
    }

    /// The state in which the keys of a constraint are not kept any more.
    #[must_use]
    pub fn without_key(&self, constraint: Oid) -> Self {
        self.derive(|inner| inner.keys.retain(|key| key.spec.constraint != constraint))
    }

    /// As [`TableState::with_key`], and gives the rows that are there their keys: segments that
    /// lack them get a new side object. `columns` are those of the key, in its order.
    ///
    /// # Errors
    /// XX001 when a segment is damaged, and what the store fails with.
    pub async fn build_key(
        &self,
        store: &SegmentStore,
        spec: KeySpec,
        columns: &[ColumnSpec],
    ) -> Result<Self> {
        let mut runs = KeyRuns::default();
        for part in self.inner.parts() {
            if let Part::Chunk(chunk) = &part {
                let columns = self.group(part.clone(), 0).columns(columns).await?;
                runs = runs.with(chunk.range().start, &spec.hashes(&columns));
            }
        }
        let keyed = self.keyed_segments(store, &spec, columns).await?;
        let state = self.with_side_objects(&keyed).with_key(spec);
        Ok(state.derive(|inner| {
            inner.keys.last_mut().expect("the key was added above").runs = runs;
        }))
    }

    /// The segments that lack the keys of a constraint, with them: each in a new side object. It
    /// reads and writes, so it is done before [`TableState::build_key`] wherever someone waits for
    /// that.
    ///
    /// # Errors
    /// XX001 when a segment is damaged, and what the store fails with.
    pub async fn keyed_segments(
        &self,
        store: &SegmentStore,
        spec: &KeySpec,
        columns: &[ColumnSpec],
    ) -> Result<Vec<Arc<Segment>>> {
        let mut keyed = Vec::new();
        for segment in self.segments() {
            if !segment.meta().constraints.contains(&spec.constraint) {
                keyed.push(Arc::new(self.keyed(store, segment, spec, columns).await?));
            }
        }
        Ok(keyed)
    }

    /// The state in which segments have these side objects in place of theirs. One that is not there
    /// any more is passed over.
    #[must_use]
    pub fn with_side_objects(&self, keyed: &[Arc<Segment>]) -> Self {
        if keyed.is_empty() {
            return self.clone();
        }
        self.derive(|inner| {
            for part in Arc::make_mut(&mut inner.parts) {
                let Part::Segment(segment) = part else { continue };
                let same = |keyed: &&Arc<Segment>| {
                    (&keyed.meta().id, keyed.meta().first_row)
                        == (&segment.meta().id, segment.meta().first_row)
                };
                if let Some(keyed) = keyed.iter().find(same) {
                    *part = Part::Segment(Arc::clone(keyed));
                }
            }
        })
    }

    async fn keyed(
        &self,
        store: &SegmentStore,
        segment: &Arc<Segment>,
        spec: &KeySpec,
        columns: &[ColumnSpec],
    ) -> Result<Segment> {
        let mut entries = Vec::new();
        let mut position = 0;
        for group in 0..segment.groups() {
            let hashes = spec.hashes(&segment.columns(group, columns).await?);
            for hash in hashes {
                entries.extend(hash.map(|hash| (hash, position)));
                position += 1;
            }
        }
        segment.with_key(store, spec.constraint, spec.columns.clone(), entries).await
    }

    /// For each hash the live rows whose key may have it: all that do, and few besides. The
    /// caller compares the values.
    ///
    /// # Errors
    /// XX001 when a segment is damaged, what the store fails with, and XX000 when the keys of the
    /// constraint are not kept.
    pub async fn key_candidates(&self, constraint: Oid, hashes: &[u64]) -> Result<Vec<Vec<RowId>>> {
        let missing =
            || Error::internal(format!("the keys of constraint {constraint} are not kept"));
        let key = self.inner.keys.iter().find(|key| key.spec.constraint == constraint);
        let runs = &key.ok_or_else(missing)?.runs;
        let mut found: Vec<Vec<RowId>> =
            hashes.iter().map(|&hash| runs.rows(hash).collect()).collect();
        let laid = self.inner.laid_candidates(constraint, hashes).await?;
        for (rows, laid) in found.iter_mut().zip(laid.into_iter().flatten()) {
            rows.extend(laid);
        }
        let end = self.inner.laid.as_ref().map_or(self.inner.next_row, |laid| laid.base);
        let mut reads = Vec::new();
        for segment in self.segments().filter(|segment| segment.meta().first_row < end) {
            let keys = segment.key_blocks(constraint, hashes).ok_or_else(missing)?;
            if keys.are_at_hand() {
                for (at, row) in segment.key_candidates(&keys, hashes) {
                    found[at].push(row);
                }
            } else {
                reads
                    .push(async move { Ok::<_, Error>((segment, segment.read_keys(keys).await?)) });
            }
        }
        let mut reads = stream::iter(reads).buffered(PARALLEL_MAX);
        while let Some((segment, keys)) = reads.try_next().await? {
            for (at, row) in segment.key_candidates(&keys, hashes) {
                found[at].push(row);
            }
        }
        for rows in &mut found {
            rows.retain(|&row| self.inner.is_live(row));
            rows.sort_unstable();
            rows.dedup();
        }
        Ok(found)
    }
}

impl Inner {
    fn is_live(&self, row: RowId) -> bool {
        !self.deletes.contains(row) && self.find(row).is_some()
    }
}
