//! The state of one table: everything that is committed about its rows.
//!
//! A [`TableState`] is an immutable picture. What changes a table makes a new one that shares
//! all that did not change, so that a snapshot is a clone and a reader takes no lock. Rows lie in
//! parts, ordered by their ids: segments, and chunks of the memtable. A row never changes and
//! never moves to another id; it can only be deleted, and be dropped once it is.
//!
//! ```text
//!   append, append_segments, delete, truncate     what commits do
//!   replace                                       what flush and compaction do (compact.rs)
//!   groups, take, key_candidates, live            what readers ask
//! ```

mod group;
mod keyed;
mod live;
mod overlay;
mod parts;
#[cfg(test)]
mod tests;

pub use group::Group;

use super::{
    columns::{ColumnSpec, batch_of},
    deletes::{self, Deletes},
    paths::ObjectRef,
    segment::{Segment, SegmentMeta, SegmentStore},
};
use crate::{
    error::{Error, Result},
    ids::{RowId, RowSet},
};
use arrow::{
    array::{Array, ArrayRef, RecordBatch, UInt32Array, new_empty_array},
    compute::interleave,
};
use futures::{StreamExt, TryStreamExt, stream};
use keyed::KeyIndex;
use live::Basis;
use parts::{Inner, Part};
use roaring::RoaringTreemap;
use std::{
    collections::BTreeMap,
    ops::Range,
    sync::{Arc, OnceLock},
};

/// How many segments are opened, and row groups read, at the same time.
const PARALLEL_MAX: usize = 16;
/// Row groups from which a few rows each are read at the same time.
const TAKEN_MAX: usize = 64;
/// So many chunks of the memtable are copied as a list at each commit; older ones are settled.
const MEMTABLE_CHUNKS_MAX: usize = 64;
/// So many of them may still be joined.
const MEMTABLE_CHUNKS_KEPT: usize = 16;

/// Everything committed about one table's rows: immutable, cheap to clone, structurally shared.
#[derive(Debug, Clone)]
pub struct TableState {
    inner: Arc<Inner>,
}

impl TableState {
    /// A table without rows.
    #[must_use]
    pub fn empty() -> Self {
        Self { inner: Arc::default() }
    }

    /// Opens a table as a manifest describes it. Its keys are made known by
    /// [`TableState::with_key`].
    ///
    /// # Errors
    /// XX001 when an object is damaged, and what the store fails with.
    pub async fn open(
        store: &SegmentStore,
        segments: Vec<SegmentMeta>,
        deletes: Option<&ObjectRef>,
        next_row: RowId,
    ) -> Result<Self> {
        let deletes = match deletes {
            None => Deletes::default(),
            Some(object) => deletes::read(store, object).await?,
        };
        let opened = stream::iter(segments.into_iter().map(|meta| Segment::open(store, meta)));
        let parts: Vec<Part> = opened
            .buffered(PARALLEL_MAX)
            .map_ok(|segment| Part::Segment(Arc::new(segment)))
            .try_collect()
            .await?;
        let ascend = parts.windows(2).all(|pair| pair[0].range().end <= pair[1].range().start);
        if !ascend || parts.last().is_some_and(|last| last.range().end > next_row) {
            return Err(Error::internal("the segments of a table overlap"));
        }
        let rows = parts.iter().map(Part::rows).sum();
        let inner = Inner { parts: Arc::new(parts), next_row, rows, ..Inner::default() };
        let state = Self { inner: Arc::new(inner) };
        // Rows that are gone need no mark.
        let deletes = Deletes::from_rows(deletes.iter().filter(|&row| state.exists(RowId(row))));
        Ok(state.derive(|inner| inner.deletes = deletes))
    }

    /// The id that the next new row gets: above that of every row there ever was.
    #[must_use]
    pub fn next_row(&self) -> RowId {
        self.inner.next_row
    }

    /// How many rows there are that are not deleted.
    #[must_use]
    pub fn live_rows(&self) -> u64 {
        self.inner.rows - self.inner.deletes.len()
    }

    /// How many rows were deleted so far, whether they still take space or not.
    #[must_use]
    pub fn deleted_ever(&self) -> u64 {
        self.next_row().0.saturating_sub(self.live_rows())
    }

    /// How many rows are deleted and still take space.
    #[must_use]
    pub fn deleted_rows(&self) -> u64 {
        self.inner.deletes.len()
    }

    /// Bytes of rows that are not yet in segments.
    #[must_use]
    pub fn memtable_bytes(&self) -> u64 {
        self.inner.memtable_bytes
    }

    /// Whether rows are not yet in segments, be it that they take no bytes.
    #[must_use]
    pub fn has_memtable(&self) -> bool {
        self.inner.parts().any(|part| matches!(part, Part::Chunk(_)))
    }

    /// Bytes that its rows take, in the store and in memory.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let stored: u64 = self.segments().map(|segment| segment.meta().bytes).sum();
        stored + self.inner.memtable_bytes
    }

    /// The segments, in the order of their rows.
    pub fn segments(&self) -> impl Iterator<Item = &Arc<Segment>> {
        self.inner.parts.iter().filter_map(|part| match part {
            Part::Segment(segment) => Some(segment),
            Part::Chunk(_) => None,
        })
    }

    /// The state with new rows, numbered from [`TableState::next_row`] on. The batch names its
    /// columns by number: `c1`, `c2`, ….
    #[must_use]
    pub fn append(&self, rows: &RecordBatch) -> Self {
        if rows.num_rows() == 0 {
            return self.clone();
        }
        self.derive(|inner| {
            let first = inner.next_row;
            inner.memtable = inner.memtable.with(first, rows);
            inner.memtable_bytes += super::columns::batch_bytes(rows);
            inner.rows += rows.num_rows() as u64;
            inner.next_row.0 += rows.num_rows() as u64;
            for key in &mut inner.keys {
                key.add(first, rows);
            }
            if inner.memtable.chunks().len() > MEMTABLE_CHUNKS_MAX {
                inner.settle(MEMTABLE_CHUNKS_KEPT);
            }
        })
    }

    /// The state with the rows of segments whose writer numbered them from 0, all of them
    /// together; here they are numbered from [`TableState::next_row`] on.
    #[must_use]
    pub fn append_segments(&self, segments: &[Arc<Segment>]) -> Self {
        self.derive(|inner| {
            inner.settle(0);
            let base = inner.next_row.0;
            for segment in segments {
                let segment = segment.at(RowId(base + segment.meta().first_row.0));
                inner.next_row = segment.meta().end_row();
                inner.rows += segment.meta().rows;
                Arc::make_mut(&mut inner.parts).push(Part::Segment(Arc::new(segment)));
            }
        })
    }

    /// The state without these rows. A row that is not there, or not any more, is passed over.
    #[must_use]
    pub fn delete(&self, rows: &RoaringTreemap) -> Self {
        let there = rows.iter().filter(|&row| self.exists(RowId(row)));
        let deletes = self.inner.deletes.with(there);
        self.derive(|inner| inner.deletes = deletes)
    }

    /// The state without any row. No row gets the id of one that was.
    #[must_use]
    pub fn truncate(&self) -> Self {
        let keys = self.inner.keys.iter().map(KeyIndex::emptied).collect();
        let next_row = self.inner.next_row;
        Self { inner: Arc::new(Inner { next_row, keys, ..Inner::default() }) }
    }

    /// Whether a row is deleted. One that was dropped, or never was, is not.
    #[must_use]
    pub fn is_deleted(&self, row: RowId) -> bool {
        self.inner.deletes.contains(row)
    }

    /// Whether a row is there and not deleted.
    #[must_use]
    pub fn is_live(&self, row: RowId) -> bool {
        !self.is_deleted(row) && self.exists(row)
    }

    /// Whether a row is there, deleted or not.
    #[must_use]
    pub fn has(&self, row: RowId) -> bool {
        self.exists(row)
    }

    /// All rows that are not deleted. Computed when first asked for, from an earlier state's where
    /// there is one.
    #[must_use]
    pub fn live(&self) -> &Arc<RowSet> {
        self.inner.live.get_or_init(|| live::compute(&self.inner))
    }

    /// The rows in the order of their ids, in groups that are read together.
    pub fn groups(&self) -> impl Iterator<Item = Group> + '_ {
        self.inner.parts().flat_map(|part| self.groups_of(part).collect::<Vec<_>>())
    }

    /// Columns of these rows, in the order given; a row may come twice. Only what holds them is
    /// read. The batch names its columns as `append` does.
    ///
    /// # Errors
    /// XX000 when a row is not there, XX001 when what holds it is damaged.
    pub async fn take(&self, rows: &[RowId], columns: &[ColumnSpec]) -> Result<RecordBatch> {
        // By part and group: the positions wanted there.
        let mut wanted: BTreeMap<(usize, usize), Vec<u32>> = BTreeMap::new();
        let mut places = Vec::with_capacity(rows.len());
        for &row in rows {
            let (part, group, position) = self.find(row)?;
            let positions = wanted.entry((part, group)).or_default();
            places.push(((part, group), positions.len()));
            positions.push(u32::try_from(position).expect("a group is small"));
        }
        let order: BTreeMap<(usize, usize), usize> = wanted.keys().copied().zip(0..).collect();
        let places: Vec<(usize, usize)> =
            places.into_iter().map(|(group, position)| (order[&group], position)).collect();
        let reads = wanted.into_iter().map(|((part, group), positions)| async move {
            let part = self.inner.part(part).expect("the row was found there");
            self.group(part, group).take(&UInt32Array::from(positions), columns).await
        });
        let mut read: Vec<Vec<ArrayRef>> =
            stream::iter(reads).buffered(TAKEN_MAX).try_collect().await?;
        let is_in_order = places.iter().enumerate().all(|(at, place)| *place == (0, at));
        let arrays: Vec<ArrayRef> = match read.len() {
            0 => columns.iter().map(|spec| new_empty_array(&spec.kind.arrow())).collect(),
            1 if is_in_order => read.remove(0),
            _ => (0..columns.len())
                .map(|column| {
                    let parts: Vec<&dyn Array> =
                        read.iter().map(|arrays| arrays[column].as_ref()).collect();
                    Ok(interleave(&parts, &places)?)
                })
                .collect::<Result<_>>()?,
        };
        batch_of(columns, arrays, rows.len())
    }

    /// The state in which the rows of a range lie in other segments: those that a flush or a
    /// compaction of an earlier state made of them. Later deletes and appends stay; deletes of
    /// rows that were dropped are forgotten. A state that has none of the rows any more, because
    /// the table was truncated, stays as it is.
    #[must_use]
    pub fn replace(&self, old: &Range<RowId>, new: &[Arc<Segment>]) -> Self {
        let overlaps = |range: Range<RowId>| range.start < old.end && old.start < range.end;
        if !self.inner.parts().any(|part| overlaps(part.range())) {
            return self.clone();
        }
        let state = self.derive(|inner| {
            inner.replace_parts(old, new);
            for key in &mut inner.keys {
                key.forget(old);
            }
        });
        let marked = self.inner.deletes.range(old.start.0..old.end.0);
        let dropped = marked.filter(|&row| !state.exists(RowId(row)));
        let deletes = self.inner.deletes.without(dropped);
        // The same rows live. Later states must not derive theirs from an older set: it has rows
        // that were deleted since and whose deletes are forgotten here.
        let is_asked_for = self.inner.live.get().is_some() || self.inner.basis.is_some();
        let live = is_asked_for.then(|| Arc::clone(self.live()));
        let state = state.derive(|inner| {
            inner.deletes = deletes;
            inner.basis = None;
            inner.live = live.map(OnceLock::from).unwrap_or_default();
        });
        debug_assert_eq!(state.live_rows(), self.live_rows(), "no live row is lost or won");
        state
    }

    /// The groups that are not in segments, those together that have no segment between them.
    pub(super) fn unflushed(&self) -> Vec<Vec<Group>> {
        self.runs(|part| matches!(part, Part::Chunk(_)).then(|| self.group(part.clone(), 0)))
    }

    /// The segments, those together that have no unflushed rows between them.
    pub(super) fn segment_runs(&self) -> Vec<Vec<Arc<Segment>>> {
        self.runs(|part| match part {
            Part::Segment(segment) => Some(Arc::clone(segment)),
            Part::Chunk(_) => None,
        })
    }

    /// How many rows of a range are deleted and still take space.
    pub(super) fn deleted_within(&self, rows: &Range<RowId>) -> u64 {
        self.inner.deletes.range(rows.start.0..rows.end.0).count() as u64
    }

    /// Neighbouring parts of one kind.
    fn runs<T>(&self, pick: impl Fn(&Part) -> Option<T>) -> Vec<Vec<T>> {
        let mut runs: Vec<Vec<T>> = vec![Vec::new()];
        for part in self.inner.parts() {
            match (pick(&part), runs.last_mut()) {
                (Some(picked), Some(run)) => run.push(picked),
                (None, Some(run)) if !run.is_empty() => runs.push(Vec::new()),
                _ => {}
            }
        }
        runs.retain(|run| !run.is_empty());
        runs
    }

    /// Writes the deleted rows as an object; `None` when there is none.
    ///
    /// # Errors
    /// What the store fails with.
    pub async fn write_deletes(&self, store: &SegmentStore) -> Result<Option<ObjectRef>> {
        deletes::write(store, &self.inner.deletes).await
    }

    /// A new state, made by changing a copy of this one. What is copied are a few pointers.
    fn derive(&self, change: impl FnOnce(&mut Inner)) -> Self {
        let mut inner = (*self.inner).clone();
        inner.basis = match self.inner.live.get() {
            Some(live) => Some(Basis::new(live, &self.inner)),
            None => self.inner.basis.clone(),
        };
        inner.live = OnceLock::new();
        change(&mut inner);
        Self { inner: Arc::new(inner) }
    }

    fn exists(&self, row: RowId) -> bool {
        self.inner.find(row).is_some()
    }

    fn find(&self, row: RowId) -> Result<(usize, usize, usize)> {
        let found = self.inner.find(row);
        found.ok_or_else(|| Error::internal(format!("row {row} is not in its table")))
    }

    fn group(&self, part: Part, group: usize) -> Group {
        Group::new(part, group, self.inner.deletes.clone())
    }

    fn groups_of(&self, part: Part) -> impl Iterator<Item = Group> + '_ {
        (0..part.groups()).map(move |group| self.group(part.clone(), group))
    }
}
