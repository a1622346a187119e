//! Committed rows that are not yet in segments, in the order of their ids.
//!
//! A list of immutable chunks. Neighbouring chunks of similar size are joined, as in a binary
//! counter, up to [`CHUNK_ROWS`] rows: a commit of one row copies O(log n) rows on average, and a
//! snapshot is a copy of the list, whose chunks are shared.

use super::{
    columns::batch_bytes,
    segment::{GROUP_ROWS, RowIds},
};
use crate::ids::RowId;
use arrow::{array::RecordBatch, compute::concat_batches};
use std::{ops::Range, sync::Arc};

/// A chunk of so many rows is never copied again.
pub const CHUNK_ROWS: usize = 4096;
/// Nor is one of so many bytes.
const CHUNK_BYTES: u64 = 16 << 20;

/// Rows with contiguous ids.
#[derive(Debug)]
pub(crate) struct Chunk {
    first: RowId,
    batch: RecordBatch,
    bytes: u64,
}

impl Chunk {
    fn new(first: RowId, batch: RecordBatch) -> Self {
        let bytes = batch_bytes(&batch);
        Self { first, batch, bytes }
    }

    pub(crate) fn range(&self) -> Range<RowId> {
        self.first..RowId(self.first.0 + self.batch.num_rows() as u64)
    }

    /// The same rows under other ids.
    pub(crate) fn at(&self, first: RowId) -> Self {
        Self { first, batch: self.batch.clone(), bytes: self.bytes }
    }

    pub(crate) fn batch(&self) -> &RecordBatch {
        &self.batch
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(crate) fn row_ids(&self) -> RowIds {
        RowIds::Contiguous { first: self.first, len: self.batch.num_rows() }
    }

    /// The rows of the chunk within a range; `None` when there is none.
    pub(crate) fn within(self: &Arc<Self>, rows: &Range<RowId>) -> Option<Arc<Self>> {
        let own = self.range();
        let (from, until) = (own.start.max(rows.start), own.end.min(rows.end));
        if (from, until) == (own.start, own.end) {
            return Some(Arc::clone(self));
        }
        let length = usize::try_from(until.0.checked_sub(from.0)?).ok().filter(|&n| n > 0)?;
        let skip = usize::try_from(from.0 - own.start.0).ok()?;
        Some(Arc::new(Self::new(from, self.batch.slice(skip, length))))
    }

    /// This chunk and the one behind it as one, if that is worth a copy.
    fn joined(&self, next: &Self) -> Option<Self> {
        let (rows, next_rows) = (self.batch.num_rows(), next.batch.num_rows());
        let is_worth = rows <= next_rows
            && rows + next_rows <= CHUNK_ROWS
            && self.bytes + next.bytes <= CHUNK_BYTES
            && self.range().end == next.first
            && self.batch.schema_ref() == next.batch.schema_ref();
        if !is_worth {
            return None;
        }
        let batch = concat_batches(self.batch.schema_ref(), [&self.batch, &next.batch]).ok()?;
        Some(Self::new(self.first, batch))
    }
}

/// The newest chunks of a table, behind all its segments.
#[derive(Debug, Clone, Default)]
pub(crate) struct Memtable {
    chunks: Vec<Arc<Chunk>>,
    /// How many rows were copied to join chunks, ever.
    copied_rows: u64,
}

impl Memtable {
    /// The memtable with rows whose ids begin with `first`.
    pub(crate) fn with(&self, first: RowId, batch: &RecordBatch) -> Self {
        let mut new = self.clone();
        let mut at = 0;
        while at < batch.num_rows() {
            // A large batch is cut, not copied: its pieces share its buffers.
            let length = GROUP_ROWS.min(batch.num_rows() - at);
            new.push(Chunk::new(RowId(first.0 + at as u64), batch.slice(at, length)));
            at += length;
        }
        new
    }

    fn push(&mut self, mut chunk: Chunk) {
        while let Some(last) = self.chunks.last()
            && let Some(joined) = last.joined(&chunk)
        {
            self.copied_rows += joined.batch.num_rows() as u64;
            self.chunks.pop();
            chunk = joined;
        }
        self.chunks.push(Arc::new(chunk));
    }

    pub(crate) fn chunks(&self) -> &[Arc<Chunk>] {
        &self.chunks
    }

    /// Takes all chunks out but the last few, which may still be joined.
    pub(crate) fn take_settled(&mut self, keep: usize) -> Vec<Arc<Chunk>> {
        let settled = self.chunks.len().saturating_sub(keep);
        self.chunks.drain(..settled).collect()
    }

    /// The memtable of other chunks.
    pub(crate) fn of(&self, chunks: Vec<Arc<Chunk>>) -> Self {
        Self { chunks, copied_rows: self.copied_rows }
    }

    #[cfg(test)]
    pub(crate) fn copied_rows(&self) -> u64 {
        self.copied_rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::{
        array::{AsArray, Int64Array},
        datatypes::{DataType, Field, Int64Type, Schema},
    };

    #[test]
    fn single_rows_are_copied_a_logarithm_of_times() {
        const ROWS: u64 = 100_000;
        let schema = Arc::new(Schema::new(vec![Field::new("c1", DataType::Int64, true)]));
        let mut memtable = Memtable::default();
        let mut snapshots = Vec::new();
        for row in 0..ROWS {
            let value = Arc::new(Int64Array::from(vec![row.cast_signed()]));
            let batch = RecordBatch::try_new(Arc::clone(&schema), vec![value]).unwrap();
            memtable = memtable.with(RowId(row), &batch);
            if row % 10_007 == 0 {
                snapshots.push((row + 1, memtable.clone()));
            }
        }
        snapshots.push((ROWS, memtable.clone()));

        assert!(memtable.copied_rows() <= 13 * ROWS, "{} copies", memtable.copied_rows());
        assert!(memtable.chunks().len() <= 50, "{} chunks", memtable.chunks().len());
        for (rows, snapshot) in snapshots {
            let values = snapshot.chunks().iter().flat_map(|chunk| {
                chunk.batch().column(0).as_primitive::<Int64Type>().values().to_vec()
            });
            assert!(values.eq(0..rows.cast_signed()));
        }
    }
}
